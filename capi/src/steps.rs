//! Kernels: the optimizers' steps, and each step back.
//!
//! The formulas stand at the Rust functions of `drmad::kernels`. All vectors of a call have the `n` elements that it
//! names. A step costs one pass over them.
//!
//! Refused, before anything is written: numbers that are not finite where they are read, since they would
//! spread without a word; sizes of 0. What finite numbers overflow to is not looked at.
//! A momentum lies in [0, 1).

use drmad::kernels::momentum::Step;
use drmad::kernels::{adam, momentum, nesterov};

use crate::check::{finite, in_arithmetic, known_arithmetic, no_negative, some};
use crate::error::{Code, guard};
use crate::raw::{Door, In, Out, slices};
use crate::types::AdamStep;

/// A rate and a momentum in [0, 1).
fn step(rate: f32, momentum: f32) -> Result<Step<f32>, Code> {
    finite(&[&[rate, momentum]])?;
    if (0.0..1.0).contains(&momentum) {
        Ok(Step { rate, momentum })
    } else {
        Err(Code::Range)
    }
}

/// The heavy ball's step: `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_momentum_step(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    g: In<f32>,
    v: Out<f32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        slices!(read g[n], write v[n], write w[n]);
        finite(&[g, v, w])?;
        in_arithmetic!(arithmetic, A => momentum::step::<A, f32>(by, g, v, w));
        Ok(())
    })
}

/// That step back, for the adjoints: `d_v <- d_v + rate d_w`, `d_g = -(1 - momentum) d_v`,
/// `d_v <- momentum d_v`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_momentum_adjoint(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    d_w: In<f32>,
    d_v: Out<f32>,
    d_g: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        slices!(read d_w[n], write d_v[n], write d_g[n]);
        finite(&[d_w, d_v])?;
        in_arithmetic!(arithmetic, A => momentum::adjoint::<A, f32>(by, d_w, d_v, d_g));
        Ok(())
    })
}

/// Nesterov's step: `v <- momentum v - (1 - momentum) g`, `w <- w + rate (momentum v - (1 - momentum) g)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_nesterov_step(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    g: In<f32>,
    v: Out<f32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        slices!(read g[n], write v[n], write w[n]);
        finite(&[g, v, w])?;
        in_arithmetic!(arithmetic, A => nesterov::step::<A, f32>(by, g, v, w));
        Ok(())
    })
}

/// That step back, for the adjoints; writes the direction `d_g`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_nesterov_adjoint(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    d_w: In<f32>,
    d_v: Out<f32>,
    d_g: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        slices!(read d_w[n], write d_v[n], write d_g[n]);
        finite(&[d_w, d_v])?;
        in_arithmetic!(arithmetic, A => nesterov::adjoint::<A, f32>(by, d_w, d_v, d_g));
        Ok(())
    })
}

/// The derivatives by the rate and by the momentum of Nesterov's step, to `d_step[0]` and `d_step[1]`:
/// from velocity and gradient before the step and the adjoints after it.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_nesterov_by_step(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    v: In<f32>,
    g: In<f32>,
    d_w: In<f32>,
    d_v: In<f32>,
    d_step: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        slices!(read v[n], read g[n], read d_w[n], read d_v[n], write d_step[2]);
        finite(&[v, g, d_w, d_v])?;
        let d = in_arithmetic!(arithmetic, A => nesterov::by_step::<A, f32>(by, v, g, d_w, d_v));
        d_step.copy_from_slice(&[d.rate, d.momentum]);
        Ok(())
    })
}

impl AdamStep {
    fn check(&self) -> Result<adam::Step<f32>, Code> {
        let AdamStep {
            t,
            rate,
            b1,
            b2,
            eps,
            decay,
        } = *self;
        finite(&[&[rate, b1, b2, eps, decay]])?;
        Ok(adam::Step::new(t as usize, rate, b1, b2, eps, decay)?)
    }
}

/// Refuses gradients after which a second moment would outgrow the numbers.
fn no_great(arithmetic: i32, by: adam::Step<f32>, g: &[f32], second: &[f32]) -> Result<(), Code> {
    let outgrown = in_arithmetic!(arithmetic, A => {
        let after = g.iter().zip(second).map(|(g, n)| by.second::<A>(*g, *n));
        adam::too_great(by, after)
    });
    match outgrown {
        None => Ok(()),
        Some(_) => Err(Code::Diverged),
    }
}

/// Adam's step of the moments `m` and `second`, and of the weights.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_adam_step(
    arithmetic: i32,
    by: In<AdamStep>,
    g: In<f32>,
    m: Out<f32>,
    second: Out<f32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let by = door.get(by)?.check()?;
        slices!(door: read g[n], write m[n], write second[n], write w[n]);
        finite(&[g, m, second, w])?;
        no_negative(second)?;
        no_great(arithmetic, by, g, second)?;
        in_arithmetic!(arithmetic, A => adam::step::<A, f32>(by, g, m, second, w));
        Ok(())
    })
}

/// That step back, for the adjoints: from gradient and moments before it; writes the direction `d_g`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_adam_adjoint(
    arithmetic: i32,
    by: In<AdamStep>,
    g: In<f32>,
    m: In<f32>,
    second: In<f32>,
    d_w: Out<f32>,
    d_m: Out<f32>,
    d_second: Out<f32>,
    d_g: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let by = door.get(by)?.check()?;
        slices!(door: read g[n], read m[n], read second[n], write d_w[n], write d_m[n], write d_second[n], write d_g[n]);
        finite(&[g, m, second, d_w, d_m, d_second])?;
        no_negative(second)?;
        no_great(arithmetic, by, g, second)?;
        let before = adam::Before { g, m, n: second };
        in_arithmetic!(arithmetic, A => {
            adam::adjoint::<A, f32>(by, before, d_w, d_m, d_second, d_g);
        });
        Ok(())
    })
}

/// The derivatives by the rate and by `b1` of Adam's step, to `d_step[0]` and `d_step[1]`: from what was
/// before the step and the adjoints after it.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_adam_by_step(
    arithmetic: i32,
    by: In<AdamStep>,
    g: In<f32>,
    m: In<f32>,
    second: In<f32>,
    w: In<f32>,
    d_w: In<f32>,
    d_m: In<f32>,
    d_step: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let by = door.get(by)?.check()?;
        slices!(door: read g[n], read m[n], read second[n], read w[n], read d_w[n], read d_m[n], write d_step[2]);
        finite(&[g, m, second, w, d_w, d_m])?;
        no_negative(second)?;
        no_great(arithmetic, by, g, second)?;
        let before = adam::Before { g, m, n: second };
        let d = in_arithmetic!(arithmetic, A => {
            adam::by_step::<A, f32>(by, before, w, d_w, d_m)
        });
        d_step.copy_from_slice(&[d.rate, d.momentum]);
        Ok(())
    })
}
