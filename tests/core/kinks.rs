//! One convention at every kink: the derivative there is 0, for all scalars, of every order, in the sweep
//! and in forward mode.

use crate::common::hypergradient;
use drmad::forward::{self, Forward, Wrt};
use drmad::group::Groups;
use drmad::hypergradient::Validation;
use drmad::objective::{At, Objective};
use drmad::path::Tape;
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Dual, Error, Fused, Scalar};

#[test]
fn an_absolute_value_is_without_a_sign_in_f32_and_f64() {
    for x in [0.0f64, -0.0] {
        assert_eq!(Scalar::abs(x as f32).to_bits(), 0);
        assert_eq!(Scalar::abs(x).to_bits(), 0);
        assert_eq!(Scalar::sign(x), 0.0);
    }
    assert_eq!([3.0f64, -3.0].map(Scalar::abs), [3.0; 2]);
    assert_eq!([3.0f32, -3.0].map(Scalar::sign), [1.0, -1.0]);
    assert!(Scalar::abs(f32::NAN).is_nan() && Scalar::abs(-f64::NAN).is_nan());
    assert_eq!(Scalar::abs(f32::NEG_INFINITY), f32::INFINITY);
}

/// Value, slope and second derivative of `f` at `x`, by nested dual numbers.
fn derivatives(f: fn(Dual<Dual<f64>>) -> Dual<Dual<f64>>, x: f64) -> [f64; 3] {
    let seed = Dual::new(Dual::new(x, 1.0), Dual::new(1.0, 0.0));
    let y = f(seed);
    [
        y.value().value(),
        y.tangent().value(),
        y.tangent().tangent(),
    ]
}

fn dual_slopes<S: Scalar>() {
    let along = |x| Dual::new(S::from_f32(x), S::from_f32(5.0));
    for (x, value, slope) in [
        (2.0, 2.0, 5.0),
        (-2.0, 2.0, -5.0),
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, 0.0),
    ] {
        let y = along(x).abs();
        assert_eq!(y.value().to_f64().to_bits(), f64::to_bits(value), "|{x}|");
        assert_eq!(y.tangent().to_f64(), slope, "slope of |{x}|");
        // The sign is a constant.
        assert_eq!(along(x).sign().tangent().to_f64(), 0.0);
    }
    for x in [0.0, -0.0] {
        assert_eq!(along(x).sqrt().tangent().to_f64(), 0.0, "the root at {x}");
    }
    // A branch is that of the values, whatever the tangents are.
    assert!(along(0.0) == Dual::ZERO && along(-0.0) == Dual::ZERO);
    assert!(along(1.0) == Dual::ONE && along(1.0) != Dual::ZERO);
}

#[test]
fn slopes_at_kinks_are_0_for_dual_numbers_of_all_scalars() {
    dual_slopes::<f32>();
    dual_slopes::<f64>();
    dual_slopes::<Dual<f32>>();
    dual_slopes::<Dual<f64>>();
    assert_eq!(derivatives(|x| x.abs(), 0.0), [0.0; 3]);
    assert_eq!(derivatives(|x| x.abs(), -1.5), [1.5, -1.0, 0.0]);
    assert_eq!(derivatives(|x| x.abs() * x, -1.5), [-2.25, 3.0, -2.0]);
    assert_eq!(derivatives(|x| x.abs() * x, 0.0), [0.0; 3]);
    // A norm at the origin.
    assert_eq!(derivatives(|x| (x * x).sqrt(), 0.0), [0.0; 3]);
    let ramp = |x| if x > Dual::ZERO { x } else { Dual::ZERO };
    assert_eq!(derivatives(ramp, 0.0), [0.0; 3]);
}

/// `h sum |w|`, with its gradient as a user writes it.
struct Absolutes;

impl Objective for Absolutes {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        2
    }
    fn hypers(&self) -> usize {
        1
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        let mut sum = S::ZERO;
        for (g, w) in g.iter_mut().zip(at.w) {
            *g = at.h[0] * w.sign();
            sum += w.abs();
        }
        if let Some(d_h) = d_h {
            d_h[0] = sum;
        }
        Ok(at.h[0] * sum)
    }
}

/// `sum w`.
struct Sum;

impl Objective for Sum {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        2
    }
    fn hypers(&self) -> usize {
        1
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        g.fill(S::ONE);
        if let Some(d_h) = d_h {
            d_h.fill(S::ZERO);
        }
        Ok(at.w[0] + at.w[1])
    }
}

/// By the sweep over a tape, and by forward mode.
fn by_both_modes<S: Scalar>(w0: [f64; 2]) -> [f64; 2] {
    const STEPS: usize = 3;
    let (rates, momenta) = ([S::from_f64(0.25)], [S::from_f64(0.5)]);
    let problem = InnerProblem {
        objective: &Absolutes,
        h: &[S::from_f64(0.125)],
        schedule: Schedule {
            groups: Groups::global(2),
            optimizer: Optimizer::HeavyBall,
            rates: &rates,
            momenta: &momenta,
        },
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps: STEPS,
    };
    let validation = Validation {
        objective: &Sum,
        examples: &[],
    };
    let w0 = w0.map(S::from_f64);
    let mut storage = vec![S::ZERO; Tape::<S>::required_len(2, STEPS, 0)];
    let mut tape = Tape::new(2, STEPS, 0, &mut storage).unwrap();
    let swept = hypergradient(&problem, &validation, &&w0[..], &mut tape, false).unwrap();

    let scratch = forward::scratch_len(&Absolutes, &Sum, 1);
    let len = Forward::<S>::required_len(2, 1, Optimizer::HeavyBall, 1, scratch);
    let mut buffer = vec![S::ZERO; len];
    let mut forward = Forward::new(&mut buffer, &problem, &[Wrt::Hyper(0)]).unwrap();
    forward.start(&&w0[..]).unwrap();
    problem
        .forward(0..STEPS, &mut forward, &mut [0], &mut |_, _| ())
        .unwrap();
    let mut d = [S::ZERO];
    problem
        .hypergradient(&validation, &mut forward, &mut d)
        .unwrap();
    [swept.d_h[0].to_f64(), d[0].to_f64()]
}

#[test]
fn the_sweep_and_forward_mode_agree_on_a_weight_at_its_kink() {
    // Of a weight that keeps its sign `v_t = -(1 - 2^-t) h`, so dw/dh = -(1/2 + 3/4 + 7/8) / 4; one at 0
    // stays there, whatever h is.
    let moved = -0.53125;
    for (w0, want) in [
        ([0.0, 1.0], moved),
        ([-0.0, 1.0], moved),
        ([0.0, -1.0], -moved),
        ([0.0, 0.0], 0.0),
        ([1.0, 1.0], 2.0 * moved),
    ] {
        assert_eq!(by_both_modes::<f32>(w0), [want; 2], "from {w0:?}");
        assert_eq!(by_both_modes::<f64>(w0), [want; 2], "from {w0:?}");
    }
}
