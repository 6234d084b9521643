//! What `docs/questions.md` promises: its table of memory, and each answer, against independent loops,
//! finite differences or closed forms.

use crate::common::plain::derivative;
use crate::common::{assert_differences, assert_each_close, hypergradient};
use crate::tolerances::*;
use drmad::check::{self, Probes};
use drmad::forward::Forward;
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Workspace};
use drmad::objective::{At, Objective, Products, by_dual_numbers, dual_scratch_len};
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Quantised, Reversible,
    Stored, Tape,
};
use drmad::random::{Batches, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Arithmetic, Error, Fused, Scalar};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/questions.md"));

const ONE: Batches = Batches {
    seed: 0,
    examples: 1,
    size: 1,
};

// 1. Memory.

/// The weights of the papers' network, and the lengths of training in the page's table.
const P: usize = 44_860;
const LENGTHS: [usize; 3] = [100, 10_000, 1_000_000];

/// 1234567 as 1,234,567.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_pages_table_of_memory_is_what_the_code_says() {
    let hats = |_| Quantised::<11>::required_len(P, 8) + 9;
    let tangent = |count| Forward::<f32>::required_len(P, 1, Optimizer::HeavyBall, count, 0);
    type Length<'a> = &'a dyn Fn(usize) -> usize;
    let rows: [(&str, Length<'_>); 8] = [
        ("`Tape`", &|t| Tape::<f32>::required_len(P, t, 0)),
        ("`Reversible`, momentum .95", &|t| {
            Reversible::required_len(P, t, 0.95)
        }),
        ("`Checkpoints`, 20 snapshots", &|_| {
            Checkpoints::<f32>::required_len(P, 20, 1)
        }),
        ("`Knots`, 32 in 255 levels", &|_| {
            Quantised::<255>::required_len(P, 32)
        }),
        ("`Legendre`, 16 polynomials", &|_| {
            Legendre::<f32>::required_len(P, 16)
        }),
        ("`Hats`, 8 in 11 levels", &hats),
        ("`Line`, from a seed", &|_| {
            Path::<Fused, f32>::floats(&Line::new(seeded(P), 1))
        }),
        ("`Forward`, each hyperparameter", &|_| {
            tangent(1) - tangent(0)
        }),
    ];
    for (name, length) in rows {
        let [a, b, c] = LENGTHS.map(|t| grouped(length(t) as u64));
        let row = format!("| {name} | {a} | {b} | {c} |");
        assert!(PAGE.contains(&row), "the page should have\n{row}");
    }
    let both = Optimizer::ADAM.slots();
    assert_eq!(Tape::<f32>::required_len(P, 100, both), 300 * P);
    let again = |t| Checkpoints::<f32>::least_recomputed(t, 20);
    let [a, b, c] = LENGTHS.map(|t| grouped(again(t)));
    let said = format!("{a}, {b} and {c} steps");
    assert!(PAGE.contains(&said), "the page should say {said}");
    let always = Workspace::<f32>::required_len(P, 0, Optimizer::HeavyBall, false);
    assert!(PAGE.contains(&grouped(always as u64)));
}

fn seeded(weights: usize) -> Normal<'static, f32> {
    Normal {
        seed: 0,
        groups: Groups::global(weights),
        log_scales: &[0.0],
    }
}

#[test]
fn paths_of_constant_memory_use_what_the_table_says_for_a_million_steps() {
    let weights = 100;
    for steps in LENGTHS {
        let mut storage = vec![0; Quantised::<11>::required_len(weights, 8)];
        let rows = Quantised::<11>::new(weights, 8, &mut storage).unwrap();
        let floats = rows.floats() + 9;
        let grid = Grid {
            steps,
            intervals: 8,
            spacing: Grid::SPACING,
        };
        let mut factors = [0.0f32; 9];
        let hats = Hats::new(weights, grid, seeded(weights), rows, &mut factors);
        assert_eq!(Path::<Fused, f32>::floats(&hats.unwrap()), floats);

        let mut storage = vec![0.0f32; Full::<f32>::required_len(weights, 8)];
        let rows = Full::new(weights, 8, &mut storage).unwrap();
        let knots = Knots::<f32, _, _>::new(weights, 8, seeded(weights), rows).unwrap();
        assert_eq!(Path::<Fused, f32>::floats(&knots), 800);

        let mut storage = vec![0.0f32; Legendre::<f32>::required_len(weights, 8)];
        let fit = Legendre::<f32>::new(weights, steps, 8, &mut storage).unwrap();
        assert_eq!(Path::<Fused, f32>::floats(&fit), 808);

        let mut storage = vec![0.0f32; Checkpoints::<f32>::required_len(weights, 8, 1)];
        let mut marks = [Mark::default(); 8];
        let marked = size_of_val(&marks) / 4;
        let few = Checkpoints::new(weights, steps, 1, &mut storage, &mut marks).unwrap();
        assert_eq!(Path::<Fused, f32>::floats(&few), 1600 + marked);
    }
}

// The objective of most answers, and its training in plain loops.

/// `m^4 / 4 + m^2 / 2 + h_1 w_1` with `m = w_0 + x w_2 - h_0` and an input `x` that is always 0, so the
/// last weight's gradient is too.
struct Toy;

impl Objective for Toy {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        3
    }

    fn hypers(&self) -> usize {
        2
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let x = S::ZERO;
        let miss = at.w[0] + x * at.w[2] - at.h[0];
        let square = miss * miss;
        let slope = miss * square + miss;
        g.copy_from_slice(&[slope, at.h[1], x * slope]);
        if let Some(d_h) = d_h {
            d_h.copy_from_slice(&[-g[0], at.w[1]]);
        }
        let [half, quarter] = [0.5, 0.25].map(S::from_f32);
        Ok(quarter * square * square + half * square + at.h[1] * at.w[1])
    }
}

/// `(w_0 - 1)^2 / 2 + w_1 + w_2`, which does not look at `h`.
struct Outside;

impl Objective for Outside {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        3
    }

    fn hypers(&self) -> usize {
        2
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let miss = at.w[0] - S::ONE;
        g.copy_from_slice(&[miss, S::ONE, S::ONE]);
        if let Some(d_h) = d_h {
            d_h.fill(S::ZERO);
        }
        Ok(miss * miss * S::from_f32(0.5) + at.w[1] + at.w[2])
    }
}

fn judged<S: Scalar>() -> Validation<'static, Fused, S> {
    Validation {
        objective: &Outside,
        examples: &[],
    }
}

/// So near the minimum that Adam passes it: on the way there its steps hardly depend on `h`.
const W0: [f64; 3] = [0.9, 0.3, 0.7];
const H: [f64; 2] = [0.5, 0.25];
const STEPS: usize = 12;
const RULES: [Optimizer; 3] = [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM];

/// Rates and momenta, one a step; Adam's momentum is one for all.
fn tables(optimizer: Optimizer) -> (Vec<f64>, Vec<f64>) {
    let momenta = match optimizer {
        Optimizer::Adam { .. } => vec![0.9],
        _ => (0..STEPS).map(|t| 0.5 + 0.02 * t as f64).collect(),
    };
    (
        (0..STEPS).map(|t| 0.1 - 0.003 * t as f64).collect(),
        momenta,
    )
}

/// The validation loss after training, one weight after another, by the optimizers as published.
fn trained(optimizer: Optimizer, h: &[f64], rates: &[f64], momenta: &[f64]) -> f64 {
    let mut w = W0;
    for i in 0..3 {
        let (mut m, mut n) = (0.0, 0.0);
        for (t, rate) in rates.iter().enumerate() {
            let momentum = if momenta.len() == 1 {
                momenta[0]
            } else {
                momenta[t]
            };
            let miss = w[0] - h[0];
            let g = [miss.powi(3) + miss, h[1], 0.0][i];
            let slope = (1.0 - momentum) * g;
            m = momentum * m
                + if matches!(optimizer, Optimizer::Adam { .. }) {
                    slope
                } else {
                    -slope
                };
            w[i] += rate
                * match optimizer {
                    Optimizer::HeavyBall => m,
                    Optimizer::Nesterov => momentum * m - slope,
                    Optimizer::Adam { b2, eps, .. } => {
                        let (b2, eps) = (f64::from(b2), f64::from(eps));
                        n = b2 * n + (1.0 - b2) * g * g;
                        let unbiased = |x: f64, b: f64| x / (1.0 - b.powi(t as i32 + 1));
                        -unbiased(m, momentum) / (unbiased(n, b2).sqrt() + eps)
                    }
                };
        }
    }
    0.5 * (w[0] - 1.0) * (w[0] - 1.0) + w[1] + w[2]
}

/// The derivatives of `f` by each number of `x`.
fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let along = |i: usize, s: f64| {
        let mut moved = x.to_vec();
        moved[i] += s;
        f(&moved)
    };
    (0..x.len())
        .map(|i| derivative(WHOLE_TRAINING_STEP, |s| along(i, s)))
        .collect()
}

#[track_caller]
fn close_to_differences(what: &str, got: &[f64], want: &[f64]) {
    assert_differences(what, got, want, WHOLE_TRAINING_STEP, WHOLE_TRAINING);
}

/// Exactly, with the hypergradients of the schedule.
fn swept<S: Scalar>(optimizer: Optimizer, h: &[f64]) -> crate::common::Answer<S> {
    let to = |x: &[f64]| -> Vec<S> { x.iter().map(|x| S::from_f64(*x)).collect() };
    let (rates, momenta) = tables(optimizer);
    let (h, w0, rates, momenta) = (to(h), to(&W0), to(&rates), to(&momenta));
    let problem = InnerProblem {
        objective: &Toy,
        h: &h,
        schedule: Schedule {
            groups: Groups::global(3),
            optimizer,
            rates: &rates,
            momenta: &momenta,
        },
        batches: ONE,
        steps: STEPS,
    };
    let mut storage = vec![S::ZERO; Tape::<S>::required_len(3, STEPS, optimizer.slots())];
    let mut tape = Tape::new(3, STEPS, optimizer.slots(), &mut storage).unwrap();
    hypergradient(&problem, &judged(), &&w0[..], &mut tape, true).unwrap()
}

// 2. Adam's square root.

#[test]
fn a_weight_whose_gradient_is_always_zero_leaves_adams_hypergradient_finite_and_exact() {
    let (rates, momenta) = tables(Optimizer::ADAM);
    let answer = swept::<f64>(Optimizer::ADAM, &H);
    let want = differences(&H, |h| trained(Optimizer::ADAM, h, &rates, &momenta));
    close_to_differences("h", &answer.d_h, &want);
    // The idle weight stays where it is, and so does its derivative.
    assert_eq!((answer.w[2], answer.d_w0[2]), (W0[2], 1.0));
}

#[test]
fn where_a_zero_gradient_depends_on_h_adams_derivative_is_one_over_eps() {
    // With h_1 = 0 the gradient of w_1 is 0 at every step, and each moves it by -rate h_1 / eps.
    let (rates, _) = tables(Optimizer::ADAM);
    let answer = swept::<f64>(Optimizer::ADAM, &[H[0], 0.0]);
    let want = -rates.iter().sum::<f64>() / f64::from(1e-8f32);
    assert_each_close("h_1", &answer.d_h[1..], &[want], CLOSED_FORM);
    assert!(answer.d_h[0].is_finite());
}

#[test]
fn adams_hypergradient_in_f32_is_finite_however_small_a_gradient_is() {
    for exponent in 1..=46 {
        // Their squares leave the normal numbers, then all numbers.
        let answer = swept::<f32>(Optimizer::ADAM, &[H[0], 10f64.powi(-exponent)]);
        assert!(answer.d_h.iter().all(|d| d.is_finite()), "1e-{exponent}");
    }
}

// 3. Silently wrong or zero.

/// A place for a mistake.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    GradientLacksATerm,
    AValueLosesItsTangent,
    HyperHasTheOtherSign,
    ProductLacksATerm,
    MixedProductHasTheOtherSign,
    ProductsAreOverwritten,
}

/// [`Toy`] with a mistake in its gradient or in a second-order product written by hand.
struct Faulty(Fault);

impl Objective for Faulty {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        3
    }

    fn hypers(&self) -> usize {
        2
    }

    fn loss_scratch_len(&self) -> usize {
        3
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        Toy.gradient(at, &mut scratch[..3], None, &mut [])
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        mut d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        let loss = Toy.gradient(at, g, d_h.as_deref_mut(), scratch)?;
        match (self.0, d_h) {
            (Fault::GradientLacksATerm, _) => g[0] = at.w[0] - at.h[0],
            (Fault::AValueLosesItsTangent, _) => g[0] = S::from_f64(g[0].to_f64()),
            (Fault::HyperHasTheOtherSign, Some(d_h)) => d_h[0] = -d_h[0],
            _ => {}
        }
        Ok(loss)
    }

    fn second_order_scratch_len(&self) -> usize {
        dual_scratch_len(self)
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        let Products { g, h_d, m_d } = out;
        if self.0 == Fault::ProductsAreOverwritten {
            h_d.fill(S::ZERO);
        }
        let before = m_d[0];
        let out = Products {
            g,
            h_d: &mut *h_d,
            m_d: &mut *m_d,
        };
        by_dual_numbers(self, at, d, out, scratch)?;
        match self.0 {
            // The curvature is 3 (w_0 - h_0)^2 + 1.
            Fault::ProductLacksATerm => h_d[0] -= d[0],
            Fault::MixedProductHasTheOtherSign => m_d[0] = before + before - m_d[0],
            _ => {}
        }
        Ok(())
    }
}

/// The identities that do not hold at a random point.
fn caught(fault: Fault) -> Vec<&'static str> {
    let mut noise = crate::common::Noise(3);
    let mut probe = |n| noise.f64s(n, 1.0);
    let (w, h, d, e, q) = (probe(3), probe(2), probe(3), probe(3), probe(2));
    let objective = Faulty(fault);
    let at = At {
        w: &w,
        h: &h,
        batch: &[],
    };
    let probes = Probes {
        d: &d,
        e: &e,
        q: &q,
        step: CENTRAL_STEP,
    };
    let mut scratch = vec![f64::NAN; check::required_len(&objective)];
    let mut caught = vec![];
    check::objective(&objective, at, probes, &mut scratch, &mut |deviation| {
        // A NaN is not small either.
        let holds = deviation.error() <= CENTRAL_DIFFERENCES;
        if !holds {
            caught.push(deviation.identity);
        }
    })
    .unwrap();
    caught
}

#[test]
fn a_mistake_in_any_derivative_is_caught_by_the_identity_of_its_name() {
    assert!(caught(Fault::None).is_empty());
    for (fault, name) in [
        (Fault::GradientLacksATerm, "gradient by weights"),
        (Fault::AValueLosesItsTangent, "H d"),
        (Fault::HyperHasTheOtherSign, "gradient by hyperparameters"),
        (Fault::ProductLacksATerm, "H d"),
        (Fault::MixedProductHasTheOtherSign, "M d"),
        (Fault::ProductsAreOverwritten, "H d is added"),
    ] {
        let names = caught(fault);
        assert!(names.contains(&name), "{fault:?}: {names:?}");
    }
}

#[test]
fn a_validation_loss_without_h_has_a_direct_term_of_zero_and_an_exact_hypergradient() {
    for optimizer in RULES {
        let (rates, momenta) = tables(optimizer);
        let problem = InnerProblem {
            objective: &Toy,
            h: &H,
            schedule: Schedule {
                groups: Groups::global(3),
                optimizer,
                rates: &rates,
                momenta: &momenta,
            },
            batches: ONE,
            steps: STEPS,
        };
        let mut buffer = vec![1.0; Workspace::<f64>::required_len(3, 0, optimizer, false)];
        let mut workspace = Workspace::new(&mut buffer, 3, optimizer, false).unwrap();
        let mut direct = [f64::NAN; 2];
        problem
            .direct(&judged(), &mut workspace, &mut direct)
            .unwrap();
        assert_eq!(direct, [0.0; 2]);
        let want = differences(&H, |h| trained(optimizer, h, &rates, &momenta));
        let what = format!("{optimizer:?}");
        close_to_differences(&what, &swept::<f64>(optimizer, &H).d_h, &want);
    }
}

/// `(|w|^2 - 1)^2 / 4 + h w_0`: a valley in a ring around a hill, a little lower on the left.
struct Ring;

impl Objective for Ring {
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
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let [x, y] = [at.w[0], at.w[1]];
        let above = Fused::mul_add(x, x, y * y) - S::ONE;
        g.copy_from_slice(&[Fused::mul_add(above, x, at.h[0]), above * y]);
        if let Some(d_h) = d_h {
            d_h[0] = x;
        }
        Ok(Fused::mul_add(
            above * above,
            S::from_f32(0.25),
            at.h[0] * x,
        ))
    }
}

#[test]
fn a_line_across_a_hill_is_an_error_with_its_step_where_the_tape_is_finite() {
    let (steps, w0) = (2000, [1.0f32, 0.1]);
    let problem = InnerProblem {
        objective: &Ring,
        h: &[0.1],
        schedule: Schedule {
            groups: Groups::global(2),
            optimizer: Optimizer::HeavyBall,
            rates: &[0.5],
            momenta: &[0.0],
        },
        batches: ONE,
        steps,
    };
    let validation = Validation {
        objective: &Ring,
        examples: &[],
    };
    let mut storage = vec![0.0; Tape::<f32>::required_len(2, steps, 0)];
    let mut tape = Tape::new(2, steps, 0, &mut storage).unwrap();
    let exact = hypergradient(&problem, &validation, &&w0[..], &mut tape, false).unwrap();
    assert!(exact.w[0] < -0.9, "it ends on the other side");
    let mut line = Line::new(&w0[..], steps);
    let error = hypergradient(&problem, &validation, &&w0[..], &mut line, false).unwrap_err();
    let Error::Diverged { what, step } = error else {
        panic!("{error}");
    };
    assert_eq!(what, "adjoint of the weights");
    // It grows on the hill, in the middle of the line.
    assert!((1..steps / 2 + steps / 4).contains(&step), "{step}");
}

#[test]
fn a_hyperparameter_that_nothing_reads_gets_a_zero_and_no_warning() {
    /// [`Toy`] with `h_1` forgotten.
    struct Forgetful;
    impl Objective for Forgetful {
        type Arithmetic = Fused;
        fn weights(&self) -> usize {
            3
        }
        fn hypers(&self) -> usize {
            2
        }
        fn gradient<S: Scalar>(
            &self,
            at: At<'_, S>,
            g: &mut [S],
            d_h: Option<&mut [S]>,
            scratch: &mut [S],
        ) -> Result<S, Error> {
            let h = &[at.h[0], S::ZERO];
            let mut ignored = [S::ZERO; 2];
            let loss = Toy.gradient(At { h, ..at }, g, Some(&mut ignored), scratch)?;
            if let Some(d_h) = d_h {
                d_h.copy_from_slice(&[ignored[0], S::ZERO]);
            }
            Ok(loss)
        }
    }
    let problem = InnerProblem {
        objective: &Forgetful,
        h: &H,
        schedule: Schedule {
            groups: Groups::global(3),
            optimizer: Optimizer::HeavyBall,
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: ONE,
        steps: STEPS,
    };
    let mut storage = vec![0.0; Tape::<f64>::required_len(3, STEPS, 0)];
    let mut tape = Tape::new(3, STEPS, 0, &mut storage).unwrap();
    let answer = hypergradient(&problem, &judged(), &&W0[..], &mut tape, false).unwrap();
    assert!(answer.d_h[0] != 0.0);
    assert_eq!(answer.d_h[1], 0.0);
}

// 4. Rates and momenta.

#[test]
fn the_hypergradient_by_the_rate_and_the_momentum_of_one_step_is_the_difference_of_trainings() {
    for optimizer in RULES {
        let (rates, momenta) = tables(optimizer);
        let answer = swept::<f64>(optimizer, &H);
        let want = differences(&rates, |rates| trained(optimizer, &H, rates, &momenta));
        let what = format!("{optimizer:?}, rates");
        close_to_differences(&what, &answer.d_rates, &want);
        let want = differences(&momenta, |momenta| trained(optimizer, &H, &rates, momenta));
        let what = format!("{optimizer:?}, momenta");
        close_to_differences(&what, &answer.d_momenta, &want);
    }
}

#[test]
fn momenta_of_adam_that_change_from_step_to_step_are_refused() {
    let problem = InnerProblem {
        objective: &Toy,
        h: &H,
        schedule: Schedule {
            groups: Groups::global(3),
            optimizer: Optimizer::ADAM,
            rates: &[0.1],
            momenta: &[0.9; STEPS],
        },
        batches: ONE,
        steps: STEPS,
    };
    let refused = Error::Length {
        what: "momenta of Adam",
        want: 1,
        got: STEPS,
    };
    assert_eq!(problem.check(), Err(refused));
}
