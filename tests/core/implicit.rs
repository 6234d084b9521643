//! Implicit differentiation: against closed forms, the exact sweep of a converged training, float64
//! differences of trainings in nested loops, and linear systems solved by elimination.

use crate::common::plain::{self, Training};
use crate::common::{
    Data, Noise, all_batches, assert_close, assert_each_close, hypergradient, wide,
};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Workspace};
use drmad::implicit::{Implicit, Solved, Solver, Stopped, scratch_len};
use drmad::models::{Features, Mlp, Quadratic};
use drmad::objective::{At, Objective, Products};
use drmad::path::{Line, Tape};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L1, L2, Strength};
use drmad::{Arithmetic, Error, Fused, Scalar};

/// All that comes out of a training and its implicit differentiation.
#[derive(Debug)]
struct Answer<S> {
    w: Vec<S>,
    /// `-x`
    minus_x: Vec<S>,
    d_h: Vec<S>,
    solved: Solved<S>,
}

fn implicit<A: Arithmetic, S: Scalar>(
    problem: &InnerProblem<'_, A, S>,
    validation: &Validation<'_, A, S>,
    w0: &[S],
    settings: &Implicit<'_, S>,
) -> Result<Answer<S>, Error> {
    let p = problem.objective.weights();
    // A number for each hyperparameter more.
    let scratch = problem.scratch_len(validation) + problem.h.len();
    let mut buffer =
        vec![S::ZERO; Workspace::<S>::required_len(p, scratch, Optimizer::HeavyBall, false)];
    let mut workspace = Workspace::new(&mut buffer, p, Optimizer::HeavyBall, false)?;
    let mut batch = vec![0; problem.batches.size];
    let mut line = Line::new(w0, problem.steps);
    problem.train(&w0, &mut line, &mut workspace, &mut batch, &mut |_, _| ())?;
    let w = workspace.w.to_vec();
    // What was there is overwritten.
    let mut d_h = vec![S::from_f64(f64::NAN); problem.h.len()];
    let solved = problem.implicit(validation, settings, &mut workspace, &mut d_h)?;
    let same = w.iter().zip(&*workspace.w).all(|(a, b)| a == b);
    assert!(same, "the weights have moved");
    Ok(Answer {
        w,
        minus_x: workspace.d_v.to_vec(),
        d_h,
        solved,
    })
}

const CG: Implicit<'static, f64> = Implicit {
    examples: &[],
    solver: Solver::ConjugateGradients,
    iterations: 100,
    tolerance: 1e-14,
    damping: 0.0,
};

fn neumann<S>(rate: S) -> Solver<S> {
    Solver::Neumann { rate }
}

// ---------------------------------------------------------------- the quadratic in closed form

/// The training `1/2 sum a (w - h)^2`, and `1/2 sum b (w - h)^2` for a validation.
struct Bowl {
    a: Vec<f32>,
    b: Vec<f32>,
    h: Vec<f64>,
    w0: Vec<f64>,
}

impl Bowl {
    fn new(a: &[f32]) -> Bowl {
        let p = a.len();
        Bowl {
            a: a.to_vec(),
            b: Noise(2).f32s(p, 0.7).iter().map(|x| 1.0 + x).collect(),
            h: Noise(3).f64s(p, 1.0),
            w0: Noise(4).f64s(p, 1.0),
        }
    }

    fn answer(&self, settings: &Implicit<'_, f64>) -> Result<Answer<f64>, Error> {
        let training = Quadratic::<Fused>::new(&self.a);
        let validation = Quadratic::<Fused>::new(&self.b);
        let problem = InnerProblem {
            objective: &training,
            h: &self.h,
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: Groups::global(self.a.len()),
                rates: &[0.1],
                momenta: &[0.5],
            },
            batches: Batches {
                seed: 0,
                examples: 1,
                size: 1,
            },
            steps: 3,
        };
        let validation = Validation {
            objective: &validation,
            examples: &[],
        };
        implicit(&problem, &validation, &self.w0, settings)
    }

    /// `dE/dw = b (w_T - h)`, which is also minus the direct term.
    fn right(&self, w: &[f64]) -> Vec<f64> {
        (0..w.len())
            .map(|i| f64::from(self.b[i]) * (w[i] - self.h[i]))
            .collect()
    }

    /// The hypergradient for this `x`: `M = -a`.
    fn d_h(&self, w: &[f64], x: &[f64]) -> Vec<f64> {
        let right = self.right(w);
        (0..w.len())
            .map(|i| -right[i] + f64::from(self.a[i]) * x[i])
            .collect()
    }
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn minus(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| -x).collect()
}

const CURVATURES: &[f32] = &[1.0, 2.5, 0.5, 1.5, 4.0, 3.0];

#[test]
fn both_solvers_solve_a_quadratic_with_any_damping() {
    let bowl = Bowl::new(CURVATURES);
    for damping in [0.25, 1.0, 10.0] {
        let greatest = 4.0 + damping;
        for solver in [Solver::ConjugateGradients, neumann(1.0 / greatest)] {
            let settings = Implicit {
                solver,
                iterations: 1000,
                damping,
                ..CG
            };
            let got = bowl.answer(&settings).unwrap();
            assert_eq!(got.solved.stopped, Stopped::Tolerance);
            let right = bowl.right(&got.w);
            let x: Vec<f64> = (0..6)
                .map(|i| right[i] / (f64::from(CURVATURES[i]) + damping))
                .collect();
            assert_each_close("x", &got.minus_x, &minus(&x), SOLVED);
            assert_each_close("by h", &got.d_h, &bowl.d_h(&got.w, &x), SOLVED);
            let loss: f64 = (0..6)
                .map(|i| 0.5 * right[i] * (got.w[i] - bowl.h[i]))
                .sum();
            assert_each_close("E", &[got.solved.valid_loss], &[loss], SAME_FORMULA_F64);
            let slope: Vec<f64> = (0..6)
                .map(|i| f64::from(CURVATURES[i]) * (got.w[i] - bowl.h[i]))
                .collect();
            let slope = [length(&slope)];
            assert_each_close("slope", &[got.solved.slope], &slope, SAME_FORMULA_F64);
        }
    }
}

#[test]
fn without_damping_a_quadratic_whose_minimum_is_h_gives_nothing() {
    // dw*/dh = 1, and E depends on w - h alone.
    let bowl = Bowl::new(CURVATURES);
    let got = bowl.answer(&CG).unwrap();
    let size = length(&bowl.right(&got.w));
    assert!(size > 0.1 && length(&got.d_h) <= SOLVED * size);
}

#[test]
fn conjugate_gradients_take_one_iteration_for_each_different_curvature() {
    for (curvatures, different) in [
        (&[2.0f32; 6][..], 1),
        (&[1.0, 3.0, 1.0, 3.0, 3.0, 1.0], 2),
        (&[1.0, 3.0, 2.0, 3.0, 2.0, 1.0], 3),
        (CURVATURES, 6),
    ] {
        let settings = Implicit {
            tolerance: SOLVED,
            ..CG
        };
        let got = Bowl::new(curvatures).answer(&settings).unwrap();
        assert_eq!(got.solved.iterations, different);
        assert_eq!(got.solved.stopped, Stopped::Tolerance);
    }
}

#[test]
fn a_truncated_series_is_its_closed_form() {
    let bowl = Bowl::new(CURVATURES);
    let (rate, damping) = (0.3, 0.125);
    for iterations in [1, 2, 7] {
        let settings = Implicit {
            solver: neumann(rate),
            iterations,
            damping,
            ..CG
        };
        let got = bowl.answer(&settings).unwrap();
        assert_eq!(got.solved.iterations, iterations);
        assert_eq!(got.solved.stopped, Stopped::Iterations);
        let right = bowl.right(&got.w);
        // A geometric series for each weight.
        let (mut x, mut left) = (vec![], vec![]);
        for i in 0..6 {
            let a = f64::from(CURVATURES[i]) + damping;
            let power = (1.0 - rate * a).powi(iterations as i32);
            x.push(right[i] * (1.0 - power) / a);
            left.push(right[i] * power);
        }
        assert_each_close("x", &got.minus_x, &minus(&x), SAME_FORMULA_F64);
        let want = bowl.d_h(&got.w, &x);
        assert_each_close("by h", &got.d_h, &want, SAME_FORMULA_F64);
        let residual = [length(&left) / length(&right)];
        let got = [got.solved.residual];
        assert_each_close("residual", &got, &residual, SAME_FORMULA_F64);
    }
}

#[test]
fn a_coarse_tolerance_ends_the_iterations_early() {
    let bowl = Bowl::new(CURVATURES);
    for solver in [Solver::ConjugateGradients, neumann(0.25)] {
        let mut before = usize::MAX;
        for tolerance in [1e-12, 5e-2, 1.0] {
            let settings = Implicit {
                solver,
                iterations: 1000,
                tolerance,
                ..CG
            };
            let solved = bowl.answer(&settings).unwrap().solved;
            assert_eq!(solved.stopped, Stopped::Tolerance);
            // The one carried along and the true one differ by rounding.
            assert!(solved.residual <= tolerance * (1.0 + 1e-2), "{solved:?}");
            assert!(solved.iterations < before);
            before = solved.iterations;
        }
        assert_eq!(before, 0);
    }
}

#[test]
fn a_validation_gradient_of_zero_or_almost_zero_is_solved_too() {
    let mut bowl = Bowl::new(CURVATURES);
    bowl.b = vec![0.0; 6];
    let got = bowl.answer(&CG).unwrap();
    assert_eq!((got.solved.residual, got.solved.iterations), (0.0, 0));
    assert!(got.d_h.iter().all(|d| *d == 0.0));

    // Its squares vanish in f32.
    bowl.b = vec![1e-30; 6];
    let (training, judged) = (
        Quadratic::<Fused>::new(&bowl.a),
        Quadratic::<Fused>::new(&bowl.b),
    );
    let narrow = |x: &[f64]| -> Vec<f32> { x.iter().map(|x| *x as f32).collect() };
    let h = narrow(&bowl.h);
    let problem = InnerProblem {
        objective: &training,
        h: &h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(6),
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps: 3,
    };
    let validation = Validation {
        objective: &judged,
        examples: &[],
    };
    let settings = Implicit {
        examples: &[],
        solver: Solver::ConjugateGradients,
        iterations: 20,
        tolerance: 1e-6,
        damping: 1.0,
    };
    let got = implicit(&problem, &validation, &narrow(&bowl.w0), &settings).unwrap();
    assert_eq!(got.solved.stopped, Stopped::Tolerance);
    let bowl = Bowl {
        h: wide(&h),
        ..bowl
    };
    let w = wide(&got.w);
    let right = bowl.right(&w);
    let x: Vec<f64> = (0..6)
        .map(|i| right[i] / (f64::from(CURVATURES[i]) + 1.0))
        .collect();
    assert_each_close("by h", &got.d_h, &bowl.d_h(&w, &x), F32_SWEEP);
}

#[test]
fn right_hand_sides_from_the_least_number_to_the_greatest_have_their_closed_form() {
    let (a, h, w0) = ([1.0f32, 2.0, 3.0], [0.25f32, -0.5, 0.125], [0.5; 3]);
    let least = f64::from(f32::from_bits(1));
    for size in [
        1e-45f32, 1e-44, 2.9e-39, 1e-38, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 1e38,
    ] {
        for solver in [Solver::ConjugateGradients, neumann(0.4)] {
            let what = format!("{size:e}, {solver:?}");
            let (training, b) = (Quadratic::<Fused>::new(&a), [size; 3]);
            let judged = Quadratic::<Fused>::new(&b);
            let problem = InnerProblem {
                objective: &training,
                h: &h,
                schedule: Schedule {
                    optimizer: Optimizer::HeavyBall,
                    groups: Groups::global(3),
                    rates: &[0.1],
                    momenta: &[0.5],
                },
                batches: Batches {
                    seed: 0,
                    examples: 1,
                    size: 1,
                },
                steps: 3,
            };
            let validation = Validation {
                objective: &judged,
                examples: &[],
            };
            let settings = Implicit {
                examples: &[],
                solver,
                iterations: 50,
                tolerance: 1e-6,
                damping: 1.0,
            };
            let got = implicit(&problem, &validation, &w0, &settings).expect(&what);
            assert_eq!(got.solved.stopped, Stopped::Tolerance, "{what}");
            assert!(got.solved.residual <= 2e-6, "{what}: {:?}", got.solved);
            for i in 0..3 {
                // dE/dw and the direct term are products in f32; (a + 1) x is dE/dw.
                let right = f64::from(size * (got.w[i] - h[i]));
                let x = right / (f64::from(a[i]) + 1.0);
                let near = |got: f32, want: f64| {
                    (f64::from(got) - want).abs() <= F32_SWEEP * right.abs() + 3.0 * least
                };
                assert!(near(got.minus_x[i], -x), "{what}: {:?}", got.minus_x);
                assert!(near(got.d_h[i], -x), "{what}: {:?}", got.d_h);
            }
        }
    }
}

// ------------------------------------------------------------------------- negative curvature

/// Conjugate gradients on a diagonal matrix in nested loops, up to a direction whose curvature is not
/// positive: `x` before it, and the number of products with it.
fn truncated(a: &[f64], b: &[f64]) -> (Vec<f64>, usize) {
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    let (mut x, mut r, mut d) = (vec![0.0; b.len()], b.to_vec(), b.to_vec());
    for products in 1.. {
        let a_d: Vec<f64> = a.iter().zip(&d).map(|(a, d)| a * d).collect();
        if dot(&d, &a_d) <= 0.0 {
            return (x, products);
        }
        let (step, before) = (dot(&r, &r) / dot(&d, &a_d), dot(&r, &r));
        for i in 0..b.len() {
            x[i] += step * d[i];
            r[i] -= step * a_d[i];
        }
        let keep = dot(&r, &r) / before;
        for i in 0..b.len() {
            d[i] = r[i] + keep * d[i];
        }
    }
    unreachable!()
}

#[test]
fn conjugate_gradients_stop_at_negative_curvature_with_what_they_have() {
    for curvatures in [
        [1.0f32, 2.5, 0.5, -0.25, 4.0, 3.0],
        [1.0, 2.5, 0.5, 0.25, -8.0, -0.5],
        [-1.0; 6],
        [0.0; 6],
    ] {
        let bowl = Bowl::new(&curvatures);
        let got = bowl.answer(&CG).unwrap();
        assert_eq!(got.solved.stopped, Stopped::Curvature, "{curvatures:?}");
        let right = bowl.right(&got.w);
        let a = wide(&curvatures);
        let (x, products) = truncated(&a, &right);
        assert_eq!(got.solved.iterations, products);
        if products == 1 {
            // The direct term alone.
            assert_eq!(got.d_h, minus(&right));
            assert_eq!(got.solved.residual, 1.0);
        } else {
            assert_each_close("x", &got.minus_x, &minus(&x), SOLVED);
            assert_each_close("by h", &got.d_h, &bowl.d_h(&got.w, &x), SOLVED);
            let left: Vec<f64> = (0..6).map(|i| right[i] - a[i] * x[i]).collect();
            let residual = [length(&left) / length(&right)];
            assert_each_close("residual", &[got.solved.residual], &residual, SOLVED);
        }
    }
}

#[test]
fn enough_damping_heals_negative_curvature() {
    let curvatures = [1.0f32, 2.5, 0.5, -0.25, 4.0, 3.0];
    let bowl = Bowl::new(&curvatures);
    for (damping, stopped) in [
        (0.0, Stopped::Curvature),
        (0.125, Stopped::Curvature),
        (0.5, Stopped::Tolerance),
    ] {
        let got = bowl.answer(&Implicit { damping, ..CG }).unwrap();
        assert_eq!(got.solved.stopped, stopped, "damping {damping}");
    }
}

#[test]
fn a_series_at_too_high_a_rate_is_refused_with_its_iteration() {
    let bowl = Bowl::new(CURVATURES);
    // A rate of 2 / 4 is the limit for a curvature of 4; damping lowers it.
    for (rate, damping, iterations, converges) in [
        (0.45, 0.0, 1000, true),
        (0.55, 0.0, 1000, false),
        (0.45, 1.0, 1000, false),
        (1e300, 0.0, 1000, false),
        (f64::MAX, 0.0, 1, false),
    ] {
        let settings = Implicit {
            solver: neumann(rate),
            iterations,
            damping,
            ..CG
        };
        let got = bowl.answer(&settings);
        if converges {
            assert_eq!(got.unwrap().solved.stopped, Stopped::Tolerance);
            continue;
        }
        let error = got.unwrap_err();
        let Error::Unsolved {
            iterations,
            residual,
        } = error
        else {
            panic!("{error:?}")
        };
        assert!(residual.is_nan() || residual > 2.0);
        // The first iteration at which the closed form has grown to twice its start.
        let right = bowl.right(&bowl.answer(&CG).unwrap().w);
        let first = (1..)
            .find(|k| {
                let left: Vec<f64> = (0..6)
                    .map(|i| {
                        let a = f64::from(CURVATURES[i]) + damping;
                        right[i] * (1.0 - rate * a).powi(*k)
                    })
                    .collect();
                length(&left) > 2.0 * length(&right)
            })
            .unwrap();
        assert_eq!(iterations, first as usize);
        let message = error.to_string();
        for word in ["iteration", &iterations.to_string(), "rate", "damping"] {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
        assert!(!message.contains('\n'));
    }
}

// ------------------------------------------------- a softmax regression, trained to convergence

const WIDTHS: &[usize] = &[4, 3];
const P: usize = 15;
const STEPS: usize = 240;
const RATE: f64 = 1.0;
const MOMENTUM: f64 = 0.5;
/// One group a row of weights, and one of the biases.
const UNITS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Unit,
    biases: true,
};
/// The biases in none.
const NO_BIASES: Groups<'static> = Groups {
    biases: false,
    ..UNITS
};
const TRAIN: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7];
const VALID: &[u32] = &[8, 9, 10, 11];
/// Each step sees all examples.
const ALL: Batches = Batches {
    seed: 1,
    examples: 8,
    size: 8,
};

type Held<'a> = L2<'a, Mlp<'a, Features<'a>, Fused>>;

/// A softmax regression whose penalties `h`, one for each group, make it strongly convex: curvatures
/// lie between twice the least of the coefficients, .3, and about 2.
struct Convex {
    data: Data,
    h: Vec<f64>,
    w0: Vec<f64>,
    trained: Groups<'static>,
}

impl Convex {
    fn new(trained: Groups<'static>) -> Convex {
        let noise = Noise(21).f64s(5, 0.1);
        Convex {
            data: Data::learnable(20, 12, 4, 3),
            h: noise.iter().map(|x| 0.25 + x).collect(),
            w0: Noise(22).f64s(P, 0.5),
            trained,
        }
    }

    fn objective(&self, valid: bool) -> Held<'_> {
        let strength = if valid {
            Strength::Off(UNITS)
        } else {
            Strength::Tuned(UNITS)
        };
        L2::new(Mlp::new(self.data.features(), WIDTHS, 5).unwrap(), strength)
    }

    fn with<S: Scalar, T>(
        &self,
        body: impl FnOnce(&InnerProblem<'_, Fused, S>, &Validation<'_, Fused, S>, &[S]) -> T,
    ) -> T {
        let numbers = |x: &[f64]| -> Vec<S> { x.iter().map(|x| S::from_f64(*x)).collect() };
        let (training, judged) = (self.objective(false), self.objective(true));
        let (h, w0) = (numbers(&self.h), numbers(&self.w0));
        let groups = self.trained.len();
        let problem = InnerProblem {
            objective: &training,
            h: &h,
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: self.trained,
                rates: &vec![S::from_f64(RATE); groups],
                momenta: &vec![S::from_f64(MOMENTUM); groups],
            },
            batches: ALL,
            steps: STEPS,
        };
        let validation = Validation {
            objective: &judged,
            examples: VALID,
        };
        body(&problem, &validation, &w0)
    }

    fn answer<S: Scalar>(&self, settings: &Implicit<'_, S>) -> Result<Answer<S>, Error> {
        self.with(|problem, validation, w0| implicit(problem, validation, w0, settings))
    }

    /// By the exact sweep through the whole training.
    fn by_tape(&self) -> Vec<f64> {
        let mut storage = vec![0.0; Tape::<f64>::required_len(P, STEPS, 0)];
        let mut tape = Tape::new(P, STEPS, 0, &mut storage).unwrap();
        self.with(|problem, validation, w0| {
            hypergradient(problem, validation, &w0, &mut tape, false)
                .unwrap()
                .d_h
        })
    }

    /// The same training in nested loops.
    fn plain<'a>(&'a self, h: &[f64], batches: &'a [Vec<u32>]) -> Training<'a> {
        let trained = plain::units(WIDTHS, self.trained.biases);
        let rates = vec![RATE; self.trained.len()];
        Training {
            widths: WIDTHS,
            x: &self.data.x,
            labels: &self.data.labels,
            batches,
            start: self.w0.clone(),
            scales: vec![1.0; P],
            l2: plain::spread(h, &plain::units(WIDTHS, true), f64::NAN),
            l1: vec![0.0; P],
            rates: vec![plain::spread(&rates, &trained, 0.0); STEPS],
            momenta: vec![vec![MOMENTUM; P]; STEPS],
        }
    }

    /// The training's gradient at `w`, in nested loops.
    fn slope(&self, w: &[f64]) -> Vec<f64> {
        let (_, mut g) =
            plain::loss_and_gradient(WIDTHS, w, &self.data.x, &self.data.labels, TRAIN);
        let units = plain::units(WIDTHS, true);
        for i in 0..P {
            g[i] += 2.0 * self.h[units[i] as usize] * w[i];
        }
        g
    }

    /// The Hessian at `w` by differences of that.
    fn hessian(&self, w: &[f64]) -> Vec<Vec<f64>> {
        let entry = |i: usize, j: usize| {
            plain::derivative(HESSIAN_STEP, |s| {
                let mut moved = w.to_vec();
                moved[j] += s;
                self.slope(&moved)[i]
            })
        };
        (0..P)
            .map(|i| (0..P).map(|j| entry(i, j)).collect())
            .collect()
    }

    /// `dE/dw` at `w`, in nested loops.
    fn right(&self, w: &[f64]) -> Vec<f64> {
        plain::loss_and_gradient(WIDTHS, w, &self.data.x, &self.data.labels, VALID).1
    }
}

const SETTINGS: Implicit<'static, f64> = Implicit {
    examples: TRAIN,
    ..CG
};
/// Half of the limit.
const SERIES: Implicit<'static, f64> = Implicit {
    solver: Solver::Neumann { rate: 0.5 },
    iterations: 1000,
    ..SETTINGS
};

#[test]
fn after_convergence_it_is_the_hypergradient_of_the_exact_sweep() {
    for trained in [UNITS, NO_BIASES] {
        let convex = Convex::new(trained);
        let want = convex.by_tape();
        for settings in [SETTINGS, SERIES] {
            let got = convex.answer(&settings).unwrap();
            assert_eq!(got.solved.stopped, Stopped::Tolerance);
            assert!(got.solved.slope < CONVERGED, "{}", got.solved.slope);
            assert!(got.solved.residual < SOLVED, "{}", got.solved.residual);
            assert_each_close("by h", &got.d_h, &want, SOLVED);
        }
    }
}

#[test]
fn after_convergence_it_is_the_difference_of_trainings_in_nested_loops() {
    for trained in [UNITS, NO_BIASES] {
        let convex = Convex::new(trained);
        let batches = all_batches(&ALL, STEPS);
        let want: Vec<f64> = (0..5)
            .map(|j| {
                plain::derivative(WHOLE_TRAINING_STEP, |s| {
                    let mut moved = convex.h.clone();
                    moved[j] += s;
                    convex.plain(&moved, &batches).valid_loss(VALID)
                })
            })
            .collect();
        let got = convex.answer(&SETTINGS).unwrap();
        assert_each_close("by h", &got.d_h, &want, WHOLE_TRAINING);
        // A penalty on weights that nothing moves changes nothing.
        assert!(trained.biases || (got.d_h[4], want[4]) == (0.0, 0.0));
    }
}

#[test]
fn the_residual_and_the_slope_are_the_true_ones() {
    for trained in [UNITS, NO_BIASES] {
        let convex = Convex::new(trained);
        let last = if trained.biases { P } else { P - 3 };
        for (settings, iterations) in [(SETTINGS, 1), (SETTINGS, 2), (SERIES, 1), (SERIES, 3)] {
            for damping in [0.0, 0.3] {
                let settings = Implicit {
                    iterations,
                    damping,
                    ..settings
                };
                let got = convex.answer(&settings).unwrap();
                assert_eq!(got.solved.stopped, Stopped::Iterations);
                assert_eq!(got.solved.iterations, iterations);
                let (hessian, right) = (convex.hessian(&got.w), convex.right(&got.w));
                let mut left = vec![];
                for i in 0..last {
                    let h_x: f64 = (0..P).map(|j| -hessian[i][j] * got.minus_x[j]).sum();
                    left.push(right[i] - h_x + damping * got.minus_x[i]);
                }
                let want = [length(&left) / length(&right[..last])];
                assert!(want[0] > 1e-3, "nothing left to compare");
                assert_each_close(
                    "residual",
                    &[got.solved.residual],
                    &want,
                    HESSIAN_BY_DIFFERENCES,
                );
                assert!(got.minus_x[last..].iter().all(|x| *x == 0.0));
            }
        }
    }
    // Half of the examples: w_T is not where their gradient vanishes.
    let convex = Convex::new(UNITS);
    let settings = Implicit {
        examples: &TRAIN[..4],
        ..SETTINGS
    };
    let got = convex.answer(&settings).unwrap();
    let (_, g) = plain::loss_and_gradient(
        WIDTHS,
        &got.w,
        &convex.data.x,
        &convex.data.labels,
        &TRAIN[..4],
    );
    let penalty = convex.slope(&got.w);
    let (_, all) =
        plain::loss_and_gradient(WIDTHS, &got.w, &convex.data.x, &convex.data.labels, TRAIN);
    let slope: Vec<f64> = (0..P).map(|i| g[i] + penalty[i] - all[i]).collect();
    let want = [length(&slope)];
    assert!(want[0] > 1e-2);
    assert_each_close("slope", &[got.solved.slope], &want, SAME_FORMULA_F64);
}

#[test]
fn a_damped_system_is_solved_as_by_elimination() {
    let convex = Convex::new(UNITS);
    let damping = 0.7;
    for settings in [SETTINGS, SERIES] {
        let got = convex
            .answer(&Implicit {
                damping,
                ..settings
            })
            .unwrap();
        let mut matrix = convex.hessian(&got.w);
        for i in 0..P {
            matrix[i][i] += damping;
        }
        let x = plain::solve(matrix, convex.right(&got.w));
        assert_each_close("x", &got.minus_x, &minus(&x), HESSIAN_BY_DIFFERENCES);
    }
}

#[test]
fn in_f32_it_agrees_with_f64_to_single_precision() {
    let convex = Convex::new(UNITS);
    let want = convex.answer(&SETTINGS).unwrap();
    for solver in [Solver::ConjugateGradients, neumann(0.5f32)] {
        let settings = Implicit {
            examples: TRAIN,
            solver,
            iterations: 200,
            tolerance: 1e-6,
            damping: 0.0,
        };
        let got = convex.answer(&settings).unwrap();
        assert_eq!(got.solved.stopped, Stopped::Tolerance);
        // It ended with a residual, which is in each entry alike.
        assert_close("by h", &got.d_h, &want.d_h, F32_SWEEP);
        // Without a tolerance to end at, rounding does no harm.
        let settings = Implicit {
            iterations: 1000,
            tolerance: 0.0,
            ..settings
        };
        let got = convex.answer(&settings).unwrap();
        assert_each_close("by h", &got.d_h, &want.d_h, F32_SWEEP);
    }
}

#[test]
fn the_direct_term_is_what_the_sweep_starts_from() {
    let bowl = Bowl::new(CURVATURES);
    let (training, judged) = (
        Quadratic::<Fused>::new(&bowl.a),
        Quadratic::<Fused>::new(&bowl.b),
    );
    let mut buffer = vec![0.0; Workspace::<f64>::required_len(6, 100, Optimizer::HeavyBall, false)];
    let mut workspace = Workspace::new(&mut buffer, 6, Optimizer::HeavyBall, false).unwrap();
    workspace.w.copy_from_slice(&bowl.w0);
    let problem = InnerProblem {
        objective: &training,
        h: &bowl.h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(6),
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: ALL,
        steps: 1,
    };
    let validation = Validation {
        objective: &judged,
        examples: &[],
    };
    let mut d_h = vec![f64::NAN; 6];
    problem
        .direct(&validation, &mut workspace, &mut d_h)
        .unwrap();
    let right = bowl.right(&bowl.w0);
    assert_each_close("dE/dw", workspace.d_w, &right, SAME_FORMULA_F64);
    assert_each_close("dE/dh", &d_h, &minus(&right), SAME_FORMULA_F64);
    let error = problem.direct(&validation, &mut workspace, &mut d_h[1..]);
    let want = Error::Length {
        what: "d_h",
        want: 6,
        got: 5,
    };
    assert_eq!(error, Err(want));
}

// ---------------------------------------------------------------------------------- refusals

#[test]
fn settings_out_of_range_are_refused() {
    let bowl = Bowl::new(CURVATURES);
    let range = |settings, what, value, least, greatest| {
        let want = Error::Range {
            what,
            value,
            least,
            greatest,
        };
        assert_eq!(bowl.answer(&settings).unwrap_err(), want);
    };
    let infinity = f64::INFINITY;
    let none = Implicit {
        iterations: 0,
        ..CG
    };
    range(none, "iterations", 0.0, 1.0, infinity);
    for tolerance in [-1e-3, 1.5] {
        let settings = Implicit { tolerance, ..CG };
        range(settings, "tolerance", tolerance, 0.0, 1.0);
    }
    let damping = Implicit {
        damping: -0.5,
        ..CG
    };
    range(damping, "damping", -0.5, 0.0, infinity);
    let rate = Implicit {
        solver: neumann(-0.1),
        ..CG
    };
    range(rate, "rate of the series", -0.1, 0.0, infinity);
    for x in [f64::NAN, infinity] {
        for (settings, what) in [
            (Implicit { tolerance: x, ..CG }, "tolerance"),
            (Implicit { damping: x, ..CG }, "damping"),
            (
                Implicit {
                    solver: neumann(x),
                    ..CG
                },
                "rate of the series",
            ),
        ] {
            let error = bowl.answer(&settings).unwrap_err();
            assert_eq!(error, Error::NonFinite { what, step: 0 });
        }
    }
}

#[test]
fn vectors_of_another_length_are_refused() {
    let bowl = Bowl::new(CURVATURES);
    let objective = Quadratic::<Fused>::new(&bowl.a);
    let other = Quadratic::<Fused>::new(&bowl.a[1..]);
    let problem = InnerProblem {
        objective: &objective,
        h: &bowl.h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(6),
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: ALL,
        steps: 1,
    };
    let own = Validation {
        objective: &objective,
        examples: &[],
    };
    let scratch = scratch_len(&objective, &objective);
    assert_eq!(scratch, 2 * (4 * 6) + 6);
    let refused = |short: usize, scratch: usize| {
        let mut vectors: Vec<Vec<f64>> = (0..6)
            .map(|i| vec![0.5; if i == short { 5 } else { 6 }])
            .collect();
        let [w, v, g, d_w, d_v, d_g] = &mut vectors[..] else {
            unreachable!()
        };
        let mut numbers = vec![0.0; scratch];
        let mut workspace = Workspace {
            w,
            v,
            g,
            d_w,
            d_v,
            d_g,
            spare: [&mut [], &mut []],
            scratch: &mut numbers,
        };
        let mut d_h = vec![0.0; if short == 6 { 5 } else { 6 }];
        problem.implicit(&own, &CG, &mut workspace, &mut d_h)
    };
    let names = ["w", "v", "g", "d_w", "d_v", "d_g", "d_h"];
    for (short, what) in names.into_iter().enumerate() {
        let want = Error::Length {
            what,
            want: 6,
            got: 5,
        };
        assert_eq!(refused(short, scratch), Err(want));
    }
    assert!(refused(7, scratch).is_ok());
    for scratch in [5, scratch - 1] {
        let error = refused(7, scratch).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Length {
                    what: "scratch",
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let judged = Validation {
        objective: &other,
        examples: &[],
    };
    let error = implicit(&problem, &judged, &bowl.w0, &CG).unwrap_err();
    let want = Error::Length {
        what: "weights of the validation loss",
        want: 6,
        got: 5,
    };
    assert_eq!(error, want);
}

/// A slope with a given curvature, whose `M d` is infinite.
struct Broken(f64);

impl Objective for Broken {
    type Arithmetic = Fused;
    fn weights(&self) -> usize {
        2
    }
    fn hypers(&self) -> usize {
        1
    }
    fn gradient<S: Scalar>(
        &self,
        _: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        g.fill(S::ONE);
        if let Some(d_h) = d_h {
            d_h.fill(S::ONE);
        }
        Ok(S::ONE)
    }
    fn second_order_scratch_len(&self) -> usize {
        0
    }
    fn second_order<S: Scalar>(
        &self,
        _: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        _: &mut [S],
    ) -> Result<(), Error> {
        for (sum, d) in out.h_d.iter_mut().zip(d) {
            *sum += *d * S::from_f64(self.0);
        }
        out.m_d[0] += d[0] * S::from_f64(1e300) * S::from_f64(1e300);
        Ok(())
    }
}

#[test]
fn products_that_are_no_numbers_are_refused_never_returned() {
    let answer = |curvature, solver| {
        let objective = Broken(curvature);
        let problem = InnerProblem {
            objective: &objective,
            h: &[0.0],
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: Groups::global(2),
                rates: &[0.1],
                momenta: &[0.5],
            },
            batches: ALL,
            steps: 1,
        };
        let validation = Validation {
            objective: &objective,
            examples: &[],
        };
        let settings = Implicit { solver, ..CG };
        implicit(&problem, &validation, &[0.0; 2], &settings).unwrap_err()
    };
    for solver in [Solver::ConjugateGradients, neumann(0.1)] {
        for curvature in [f64::NAN, f64::INFINITY] {
            let error = answer(curvature, solver);
            assert!(
                matches!(error, Error::Unsolved { iterations: 1, .. }),
                "{error:?}"
            );
        }
        let error = answer(1.0, solver);
        let want = Error::Diverged {
            what: "hypergradient",
            step: 1,
        };
        assert_eq!(error, want);
    }
}

// --------------------------------------------------------------------- a penalty with a kink

/// `sum a (w - h)^2 / 2 + c sum |w|`, and `sum q (w - h)^2 / 2` for a validation. Its minimum is at the soft
/// threshold `sign(h) max(|h| - c / a, 0)`, which holds the last two weights at 0.
const STEEP: [f32; 4] = [1.0, 2.0, 1.0, 2.0];
const JUDGED: [f32; 4] = [1.0, 0.5, 2.0, 1.0];
const PULLED: [f64; 5] = [1.0, -0.8, 0.05, -0.04, 0.2];

#[test]
fn under_l1_implicit_differentiation_errs_by_each_weight_that_is_held_at_zero() {
    let groups = Groups::global(4);
    let training = L1::new(Quadratic::<Fused>::new(&STEEP), Strength::Tuned(groups));
    let judged = L1::new(Quadratic::<Fused>::new(&JUDGED), Strength::Off(groups));
    let validation = Validation {
        objective: &judged,
        examples: &[],
    };
    let (a, q, c) = (STEEP.map(f64::from), JUDGED.map(f64::from), PULLED[4]);
    let soft = |i: usize| PULLED[i].signum() * (PULLED[i].abs() - c / a[i]).max(0.0);
    let held = |i: &usize| soft(*i) == 0.0;
    assert_eq!((0..4).filter(held).collect::<Vec<_>>(), [2, 3]);
    // dw/dc = -sign(w) / a where it is free.
    let free = |i: &usize| -soft(*i).signum() / a[*i] * q[*i] * (soft(*i) - PULLED[*i]);
    let truth: f64 = (0..4).filter(|i| !held(i)).map(|i| free(&i)).sum();
    assert!((truth - 0.225).abs() < 1e-12);

    let rate = 0.001;
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    for steps in 20_000..20_040 {
        let problem = InnerProblem {
            objective: &training,
            h: &PULLED,
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups,
                rates: &[rate],
                momenta: &[0.0],
            },
            batches: Batches {
                seed: 0,
                examples: 1,
                size: 1,
            },
            steps,
        };
        let got = implicit(&problem, &validation, &[0.3; 4], &CG).unwrap();
        for i in 0..4 {
            // About the kink it goes to and fro, by a step at most.
            assert!((got.w[i] - soft(i)).abs() < 2.0 * rate * c, "{:?}", got.w);
        }
        // By c: each held weight counts as if it were free, on the side where it happens to be.
        let right = |i: usize| q[i] * (got.w[i] - PULLED[i]);
        let added: f64 = (0..4)
            .filter(held)
            .map(|i| -got.w[i].signum() * right(i) / a[i])
            .sum();
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-6, "{got} {want}");
        near(got.d_h[4], truth + added);
        (least, greatest) = (least.min(got.d_h[4]), greatest.max(got.d_h[4]));
        // By what pulls at a weight: right where it is free; where it is held dE/dh is q h, and nothing comes.
        for i in 0..4 {
            near(got.d_h[i], 0.0);
            assert!(!held(&i) || (q[i] * PULLED[i]).abs() > 0.03);
        }
        // What says so: the slope that no step can take away.
        let slopes: f64 = (0..4)
            .filter(held)
            .map(|i| (c - a[i] * PULLED[i].abs()).powi(2))
            .sum();
        assert!(got.solved.slope > 0.99 * slopes.sqrt());
    }
    // As `implicit` and docs/which-method.md have it.
    assert!(
        (least - 0.105).abs() < 5e-3 && (greatest - 0.345).abs() < 5e-3,
        "{least} {greatest}"
    );
}
