//! What moves the hyperparameters: the outer optimisers, projections, and parametrisations.
//!
//! Refused, before anything is written: numbers that are not finite where they are read.

use drmad::outer::{Adam, Outer, Parametrisation, Projection, Sgd, Sign};

use crate::error::guard;
use crate::raw::{Door, In, Out};
use crate::{Code, finite, in_arithmetic, known_arithmetic, some};

fn plain_step(
    rate: f32,
    d_h: In<f32>,
    h: Out<f32>,
    n: usize,
    mut outer: impl Outer<f32>,
) -> Result<(), Code> {
    some(&[n])?;
    let mut door = Door::new();
    let (d_h, h) = (door.read(d_h, n)?, door.write(h, n)?);
    let open = door.open()?;
    let (d_h, h) = (d_h.slice(&open), h.slice(&open));
    finite(&[&[rate], h, d_h])?;
    outer.step(h, d_h)?;
    Ok(())
}

/// `h <- h - rate sign(d_h)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_outer_sign(rate: f32, d_h: In<f32>, h: Out<f32>, n: usize) -> i32 {
    guard(|| plain_step(rate, d_h, h, n, Sign { rate }))
}

/// `h <- h - rate d_h`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_outer_sgd(rate: f32, d_h: In<f32>, h: Out<f32>, n: usize) -> i32 {
    guard(|| plain_step(rate, d_h, h, n, Sgd { rate }))
}

/// Adam's constants, and the steps it has taken. `.rate` alone need be set: the others are the defaults
/// where they are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OuterAdam {
    /// The rate: about the size of a step.
    pub rate: f32,
    /// How much of the first moment stays, in [0, 1); 0 is .9.
    pub b1: f32,
    /// How much of the second moment stays, in [0, 1); 0 is .999.
    pub b2: f32,
    /// What keeps the quotient finite, above 0; 0 is 1e-12.
    pub eps: f32,
    /// Steps taken; each call adds one.
    pub taken: u32,
}

/// Adam's step of `h`, with its moments `m` and `second`, zeros at the start.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_outer_adam(
    adam: Out<OuterAdam>,
    d_h: In<f32>,
    m: Out<f32>,
    second: Out<f32>,
    h: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (by, adam) = door.exchange(adam)?;
        let (d_h, m) = (door.read(d_h, n)?, door.write(m, n)?);
        let (second, h) = (door.write(second, n)?, door.write(h, n)?);
        let open = door.open()?;
        let (d_h, m) = (d_h.slice(&open), m.slice(&open));
        let (second, h) = (second.slice(&open), h.slice(&open));
        finite(&[&[by.rate, by.b1, by.b2, by.eps], d_h, m, second, h])?;
        if second.iter().any(|x| *x < 0.0) {
            return Err(Code::Range);
        }
        let mut outer = Adam::new(by.rate, m, second)?;
        for (constant, value) in [
            (&mut outer.b1, by.b1),
            (&mut outer.b2, by.b2),
            (&mut outer.eps, by.eps),
        ] {
            if value != 0.0 {
                *constant = value;
            }
        }
        outer.taken = by.taken;
        outer.step(h, d_h)?;
        let taken = outer.taken;
        adam.set(&open, OuterAdam { taken, ..by });
        Ok(())
    })
}

/// A convex set.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convex {
    /// `x_i >= 0`.
    NonNegative = 0,
    /// `low <= x_i <= high`.
    Box = 1,
    /// `x_i >= 0, sum x = total`.
    Simplex = 2,
    /// `sum |x| <= total`.
    L1Ball = 3,
    /// `low <= x_i <= high, sum x <= total`.
    CappedBox = 4,
}

/// A convex set with its bounds, which may be infinite; those it has no use for are not looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// One of `drmad_convex`.
    pub set: i32,
    /// The least number.
    pub low: f32,
    /// The greatest number.
    pub high: f32,
    /// The sum, or the greatest one.
    pub total: f32,
}

impl Set {
    fn check(&self) -> Result<Projection<f32>, Code> {
        const NON_NEGATIVE: i32 = Convex::NonNegative as i32;
        const BOX: i32 = Convex::Box as i32;
        const SIMPLEX: i32 = Convex::Simplex as i32;
        const L1_BALL: i32 = Convex::L1Ball as i32;
        const CAPPED_BOX: i32 = Convex::CappedBox as i32;
        let Set {
            low, high, total, ..
        } = *self;
        let (set, bounds) = match self.set {
            NON_NEGATIVE => (Projection::NonNegative, [0.0; 3]),
            BOX => (Projection::Box { low, high }, [low, high, 0.0]),
            SIMPLEX => (Projection::Simplex { total }, [0.0, 0.0, total]),
            L1_BALL => (Projection::L1Ball { radius: total }, [0.0, 0.0, total]),
            CAPPED_BOX => (
                Projection::CappedBox { low, high, total },
                [low, high, total],
            ),
            _ => return Err(Code::Enum),
        };
        if bounds.iter().any(|bound| bound.is_nan()) {
            return Err(Code::NotFinite);
        }
        Ok(set)
    }
}

/// Moves `x` to the nearest point of a convex set.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_project(onto: In<Set>, x: Out<f32>, n: usize) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let set = door.get(onto)?.check()?;
        let x = door.write(x, n)?;
        let open = door.open()?;
        set.project(x.slice(&open))?;
        Ok(())
    })
}

/// What a hyperparameter without bounds is of its value.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// The logarithm, of what is positive.
    Log = 0,
    /// The logit, of what lies between 0 and 1.
    Logit = 1,
}

fn parametrisation(parameter: i32) -> Result<Parametrisation, Code> {
    const LOG: i32 = Parameter::Log as i32;
    const LOGIT: i32 = Parameter::Logit as i32;
    match parameter {
        LOG => Ok(Parametrisation::Log),
        LOGIT => Ok(Parametrisation::Logit),
        _ => Err(Code::Enum),
    }
}

/// Hyperparameters become their values, in place: `exp(h)`, or `1 / (1 + exp(-h))`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_value(arithmetic: i32, parameter: i32, h: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let parameter = parametrisation(parameter)?;
        some(&[n])?;
        let mut door = Door::new();
        let h = door.write(h, n)?;
        let open = door.open()?;
        let h = h.slice(&open);
        finite(&[h])?;
        in_arithmetic!(arithmetic, A => parameter.value::<A, f32>(h));
        Ok(())
    })
}

/// Values become their hyperparameters, in place; those at a bound have none and are refused.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_invert(arithmetic: i32, parameter: i32, x: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let parameter = parametrisation(parameter)?;
        some(&[n])?;
        let mut door = Door::new();
        let x = door.write(x, n)?;
        let open = door.open()?;
        let x = x.slice(&open);
        finite(&[x])?;
        in_arithmetic!(arithmetic, A => parameter.invert::<A, f32>(x))?;
        Ok(())
    })
}

/// The derivative `d` by the values `x` becomes one by their hyperparameters, in place.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_pull_back(parameter: i32, x: In<f32>, d: Out<f32>, n: usize) -> i32 {
    guard(|| {
        let parameter = parametrisation(parameter)?;
        some(&[n])?;
        let mut door = Door::new();
        let (x, d) = (door.read(x, n)?, door.write(d, n)?);
        let open = door.open()?;
        let (x, d) = (x.slice(&open), d.slice(&open));
        finite(&[x, d])?;
        parameter.pull_back(x, d)?;
        Ok(())
    })
}
