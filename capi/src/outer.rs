//! What moves the hyperparameters: the outer optimizers, projections, and parametrisations.
//!
//! Refused, before anything is written: numbers that are not finite where they are read.

use drmad::outer::{Adam, Outer, Parametrisation, Projection, Sgd, Sign};

use crate::check::{finite, in_arithmetic, known_arithmetic, no_negative, one_of, some};
use crate::error::{Code, guard};
use crate::raw::{Door, In, Out, slices};
use crate::types::{self, Convex, OuterAdam, Set};

fn plain_step(
    rate: f32,
    d_h: In<f32>,
    h: Out<f32>,
    n: usize,
    mut outer: impl Outer<f32>,
) -> Result<(), Code> {
    some(&[n])?;
    slices!(read d_h[n], write h[n]);
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
        no_negative(second)?;
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
        slices!(door: write x[n]);
        set.project(x)?;
        Ok(())
    })
}

/// One that changes anything.
fn known_parametrisation(number: i32) -> Result<Parametrisation, Code> {
    one_of(
        number,
        &[
            (types::Parametrisation::Log as i32, Parametrisation::Log),
            (types::Parametrisation::Logit as i32, Parametrisation::Logit),
        ],
    )
}

/// Hyperparameters become their values, in place: `exp(h)`, or `1 / (1 + exp(-h))`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_value(arithmetic: i32, parametrisation: i32, h: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = known_parametrisation(parametrisation)?;
        some(&[n])?;
        slices!(write h[n]);
        finite(&[h])?;
        in_arithmetic!(arithmetic, A => by.value::<A, f32>(h));
        Ok(())
    })
}

/// Values become their hyperparameters, in place; those at a bound have none and are refused.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_invert(
    arithmetic: i32,
    parametrisation: i32,
    x: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = known_parametrisation(parametrisation)?;
        some(&[n])?;
        slices!(write x[n]);
        finite(&[x])?;
        in_arithmetic!(arithmetic, A => by.invert::<A, f32>(x))?;
        Ok(())
    })
}

/// The derivative `d` by the values `x` becomes one by their hyperparameters, in place.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_pull_back(parametrisation: i32, x: In<f32>, d: Out<f32>, n: usize) -> i32 {
    guard(|| {
        let by = known_parametrisation(parametrisation)?;
        some(&[n])?;
        slices!(read x[n], write d[n]);
        finite(&[x, d])?;
        by.pull_back(x, d)?;
        Ok(())
    })
}
