//! The paths that interpolate and the one that fits polynomials, against their definitions: nested
//! loops in f64, closed forms, the tape.

use crate::common::plain;
use crate::common::{Answer, Data, NoTraining, Noise, WIDTHS, assert_close, bits, hypergradient};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::kernels::quantise::{block, words};
use drmad::kernels::reduce::cosine;
use drmad::kernels::{accumulate, interpolate};
use drmad::models::Mlp;
use drmad::path::{Full, Grid, Knots, Legendre, Path, Quantised, Rows, Spare, Stored, Tape};
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Arithmetic, Error, Fused, Plain, Real, Scalar};

/// Weights of more than one block, the last one incomplete.
/// Weights in a block of 15 or 255 levels.
const BLOCK: usize = block(255);
const MANY: usize = BLOCK + 17;

/// Shows a path a trajectory `w_0 ..= w_T`; gives the spare vectors of the sweep.
fn shown<A: Arithmetic, S: Scalar>(path: &mut dyn Path<A, S>, walk: &[Vec<S>]) -> [Vec<S>; 2] {
    let (n, steps) = (walk[0].len(), walk.len() - 1);
    let nan = || vec![S::from_f64(f64::NAN); n];
    let mut vectors = [nan(), nan()];
    let [a, b] = &mut vectors;
    let mut spare = Spare { a, b };
    for (t, w) in walk[..steps].iter().enumerate() {
        path.record(t, w, w, spare.again()).unwrap();
    }
    path.finish(&walk[steps], &walk[steps], spare).unwrap();
    // The sweep's spare vectors are others, and hold anything.
    vectors = [nan(), nan()];
    let [a, b] = &mut vectors;
    path.open(&walk[steps], Spare { a, b }).unwrap();
    vectors
}

/// The weights that a path recalls of a trajectory for `t = 0 .. T`, and the velocities.
fn recalled<A: Arithmetic, S: Scalar>(
    path: &mut dyn Path<A, S>,
    walk: &[Vec<S>],
) -> (Vec<Vec<S>>, Vec<Vec<S>>) {
    let (n, steps) = (walk[0].len(), walk.len() - 1);
    let [mut a, mut b] = shown(path, walk);
    let nan = S::from_f64(f64::NAN);
    let (mut ws, mut vs) = (vec![vec![nan; n]; steps], vec![vec![nan; n]; steps]);
    for t in (0..steps).rev() {
        let spare = Spare {
            a: &mut a,
            b: &mut b,
        };
        let v = Some(&mut vs[t][..]);
        path.recall(t, &mut ws[t], v, &mut NoTraining(n), spare)
            .unwrap();
    }
    (ws, vs)
}

/// The path of knots in full, for `body`.
fn with_knots<A: Arithmetic, S: Scalar, R>(
    hermite: bool,
    intervals: usize,
    initial: &[S],
    body: impl FnOnce(&mut dyn Path<A, S>) -> R,
) -> R {
    let n = initial.len();
    let len = Full::<S>::required_len(n, intervals + 1);
    let mut storage = vec![vec![S::from_f64(f64::NAN); len]; 2];
    let (first, second) = storage.split_at_mut(1);
    let rows = Full::new(n, intervals, &mut first[0]).unwrap();
    if hermite {
        let changes = Full::new(n, intervals + 1, &mut second[0]).unwrap();
        body(&mut Knots::<S, _, _>::hermite(n, intervals, initial, rows, changes).unwrap())
    } else {
        body(&mut Knots::<S, _, _>::new(n, intervals, initial, rows).unwrap())
    }
}

/// The path of knots in few bits, for `body`.
fn with_quantised<const LEVELS: u32, S: Real, R>(
    hermite: bool,
    intervals: usize,
    initial: impl InitialWeights<S>,
    body: impl FnOnce(&mut dyn Path<Fused, S>) -> R,
) -> R {
    let n = initial.weights();
    let len = Quantised::<LEVELS>::required_len(n, intervals + 1);
    let mut storage = vec![vec![u32::MAX; len]; 2];
    let (first, second) = storage.split_at_mut(1);
    let rows = Quantised::<LEVELS>::new(n, intervals, &mut first[0]).unwrap();
    if hermite {
        let changes = Quantised::<LEVELS>::new(n, intervals + 1, &mut second[0]).unwrap();
        body(&mut Knots::<S, _, _>::hermite(n, intervals, initial, rows, changes).unwrap())
    } else {
        body(&mut Knots::<S, _, _>::new(n, intervals, initial, rows).unwrap())
    }
}

/// The steps that are kept, by the definition: every `s`-th, where `s` is the least power of two for
/// which those before `T` are no more than `K`; and `T`.
fn kept(steps: usize, intervals: usize) -> Vec<usize> {
    let mut stride = 1;
    while steps.div_ceil(stride) > intervals {
        stride *= 2;
    }
    let mut kept: Vec<usize> = (0..steps).step_by(stride).collect();
    kept.push(steps);
    kept
}

/// Steps and intervals: few and many, the first odd and even counts at which knots are dropped.
fn all_sizes() -> Vec<(usize, usize)> {
    let mut all = vec![];
    for intervals in [1, 2, 3, 4, 5, 8, 13] {
        for steps in [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 17, 31, 64, 65, 100] {
            all.push((steps, intervals));
        }
    }
    all
}

/// A trajectory from normal steps, of no shape at all.
fn rough<S: Scalar>(steps: usize, n: usize) -> Vec<Vec<S>> {
    let numbers = |t: usize| Noise(300 + t as u64).f32s(n, 1.0);
    (0..=steps)
        .map(|t| numbers(t).into_iter().map(S::from_f32).collect())
        .collect()
}

/// A trajectory whose weights are polynomials of time, of this degree.
fn polynomial(steps: usize, n: usize, degree: usize) -> Vec<Vec<f64>> {
    let c: Vec<Vec<f64>> = (0..=degree)
        .map(|j| Noise(400 + j as u64).f64s(n, 1.0))
        .collect();
    (0..=steps)
        .map(|t| {
            let x = t as f64 / steps as f64;
            (0..n)
                .map(|i| (0..=degree).map(|j| c[j][i] * x.powi(j as i32)).sum())
                .collect()
        })
        .collect()
}

/// The velocities `(w_t - w_{t-1}) / alpha` of a trajectory with the rate 1/2.
fn velocities(walk: &[Vec<f64>], t: usize) -> Vec<f64> {
    let n = walk[0].len();
    if t == 0 {
        return vec![0.0; n];
    }
    (0..n)
        .map(|i| 2.0 * (walk[t][i] - walk[t - 1][i]))
        .collect()
}

// ----------------------------------------------------------------------------------- the knots

fn knots_are_met<A: Arithmetic>() {
    for (steps, intervals) in all_sizes() {
        let mut walk = rough::<f32>(steps, MANY);
        for w in &mut walk {
            w[3] = -0.0;
        }
        let kept = kept(steps, intervals);
        for hermite in [false, true] {
            let (ws, vs) =
                with_knots::<A, f32, _>(hermite, intervals, &walk[0], |path| recalled(path, &walk));
            for &t in &kept[..kept.len() - 1] {
                let what = format!("hermite {hermite}, {steps} steps, K = {intervals}, {t}");
                assert_eq!(bits(&ws[t]), bits(&walk[t]), "{what}");
            }
            assert!(vs[0].iter().all(|v| *v == 0.0), "training begins at rest");
            // A cubic knows the step after a knot too, so with every second step kept it knows all.
            let missed = (0..steps).any(|t| ws[t] != walk[t]);
            assert!(hermite || missed == (kept.len() <= steps));
        }
    }
}

#[test]
fn paths_meet_their_knots_bit_for_bit_however_long_the_walk() {
    knots_are_met::<Plain>();
    knots_are_met::<Fused>();
}

#[test]
fn lines_between_knots_are_those_of_nested_loops() {
    for (steps, intervals) in all_sizes() {
        let walk = rough::<f64>(steps, MANY);
        let (ws, vs) =
            with_knots::<Fused, f64, _>(false, intervals, &walk[0], |path| recalled(path, &walk));
        let mut want = walk.clone();
        for ends in kept(steps, intervals).windows(2) {
            for t in ends[0]..ends[1] {
                let b = (t - ends[0]) as f64 / (ends[1] - ends[0]) as f64;
                for i in 0..MANY {
                    want[t][i] = (1.0 - b) * walk[ends[0]][i] + b * walk[ends[1]][i];
                }
            }
        }
        for t in 0..steps {
            assert_close("weights", &ws[t], &want[t], INTERPOLANTS_F64);
            if t > 0 {
                assert_close("velocity", &vs[t], &velocities(&want, t), INTERPOLANTS_F64);
            }
        }
    }
}

/// The polynomial through these points, at `x`.
fn through(points: &[(f64, f64)], x: f64) -> f64 {
    let mut sum = 0.0;
    for (j, (xj, yj)) in points.iter().enumerate() {
        let mut term = *yj;
        for (k, (xk, _)) in points.iter().enumerate() {
            if k != j {
                term *= (x - xk) / (xj - xk);
            }
        }
        sum += term;
    }
    sum
}

#[test]
fn hermite_goes_through_its_knots_and_the_steps_that_leave_them() {
    for (steps, intervals) in all_sizes() {
        let walk = rough::<f64>(steps, MANY);
        let (ws, vs) =
            with_knots::<Fused, f64, _>(true, intervals, &walk[0], |path| recalled(path, &walk));
        let mut want = walk.clone();
        for ends in kept(steps, intervals).windows(2) {
            let (from, to) = (ends[0], ends[1]);
            let mut nodes = if to == steps {
                vec![from, from + 1, to - 1, to]
            } else {
                vec![from, from + 1, to, to + 1]
            };
            nodes.sort_unstable();
            nodes.dedup();
            for t in from + 1..to {
                for i in 0..MANY {
                    let points: Vec<_> = nodes.iter().map(|s| (*s as f64, walk[*s][i])).collect();
                    want[t][i] = through(&points, t as f64);
                }
            }
        }
        for t in 0..steps {
            assert_close("weights", &ws[t], &want[t], INTERPOLANTS_F64);
            if t > 0 {
                assert_close("velocity", &vs[t], &velocities(&want, t), INTERPOLANTS_F64);
            }
        }
    }
}

#[test]
fn constant_velocity_is_recalled_by_lines_and_cubic_walks_by_hermite() {
    for (steps, intervals) in all_sizes() {
        for (hermite, degree) in [(false, 1), (true, 1), (true, 2), (true, 3)] {
            let walk = polynomial(steps, MANY, degree);
            let (ws, vs) = with_knots::<Fused, f64, _>(hermite, intervals, &walk[0], |path| {
                recalled(path, &walk)
            });
            for t in 0..steps {
                let what = format!("degree {degree}, {steps} steps, K = {intervals}, {t}");
                assert_close(&what, &ws[t], &walk[t], INTERPOLANTS_F64);
                if t > 0 {
                    let differences = velocities(&walk, t);
                    for (got, want) in vs[t].iter().zip(&differences) {
                        assert!((got - want).abs() <= DIFFERENCED_POLYNOMIALS, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn lines_do_not_recall_a_quadratic_walk() {
    let walk = polynomial(64, MANY, 2);
    let (ws, _) = with_knots::<Fused, f64, _>(false, 8, &walk[0], |path| recalled(path, &walk));
    assert!(crate::common::relative_error(&ws[4], &walk[4]) > 1e-4);
}

fn quantised_knots_are_close<const LEVELS: u32>() {
    let m = f64::from(LEVELS / 2);
    for (steps, intervals) in all_sizes() {
        let walk = rough::<f64>(steps, MANY);
        let (ws, _) = with_quantised::<LEVELS, f64, _>(false, intervals, &walk[0][..], |p| {
            recalled(p, &walk)
        });
        // Weights in -1 .. 1 differ by less than 2.
        let step = 2.0 / m;
        assert_eq!(ws[0], walk[0], "w_0 differs by nothing from w_0");
        for t in kept(steps, intervals) {
            if t == steps {
                continue;
            }
            for (got, want) in ws[t].iter().zip(&walk[t]) {
                assert!(
                    (got - want).abs() <= HALF_A_STEP * step,
                    "{LEVELS} bits, {steps} steps, K = {intervals}, {t}"
                );
            }
        }
    }
}

#[test]
fn quantised_knots_are_within_half_a_step_however_often_they_were_moved() {
    quantised_knots_are_close::<255>();
    quantised_knots_are_close::<15>();
}

#[test]
fn quantised_hermite_is_as_close_as_its_changes() {
    // Changes of 8 bits, of a trajectory that is smooth: the bump of an interval of 8 steps multiplies
    // their error by less than 2.
    let walk = polynomial(64, MANY, 3);
    let (full, _) = with_knots::<Fused, f64, _>(true, 8, &walk[0], |path| recalled(path, &walk));
    let (ws, _) =
        with_quantised::<255, f64, _>(true, 8, &walk[0][..], |path| recalled(path, &walk));
    let top = |f: &dyn Fn(usize, usize) -> f64| {
        (0..64)
            .flat_map(|t| (0..MANY).map(move |i| (t, i)))
            .map(|(t, i)| f(t, i).abs())
            .fold(0.0, f64::max)
    };
    let away = top(&|t, i| walk[t + 1][i] - walk[0][i]);
    let change = top(&|t, i| walk[t + 1][i] - walk[t][i]);
    let error = top(&|t, i| ws[t][i] - full[t][i]);
    let allowed = HALF_A_STEP * (away + 4.0 * change) / 127.0;
    assert!(error <= allowed, "{error} of {allowed}");
    assert!(error > 0.0, "8 bits cannot be exact");
}

// -------------------------------------------------------------------------------- polynomials

fn with_legendre<A: Arithmetic, S: Scalar, R>(
    n: usize,
    steps: usize,
    polynomials: usize,
    body: impl FnOnce(&mut dyn Path<A, S>) -> R,
) -> (R, Vec<S>) {
    let len = Legendre::<S>::required_len(n, polynomials);
    let mut storage = vec![S::from_f64(f64::NAN); len];
    let mut path = Legendre::<S>::new(n, steps, polynomials, &mut storage).unwrap();
    let answer = body(&mut path);
    (answer, storage)
}

/// The values `p_j(t)`, row by row: the coefficients of a trajectory over the unit vectors.
fn values<A: Arithmetic>(steps: usize, polynomials: usize) -> Vec<Vec<f64>> {
    let n = steps + 1;
    let unit = |t: usize| -> Vec<f64> { (0..n).map(|i| f64::from(i == t)).collect() };
    let (_, storage) = with_legendre::<A, f64, _>(n, steps, polynomials, |path| {
        let (mut a, mut b) = (vec![], vec![]);
        let mut spare = Spare {
            a: &mut a,
            b: &mut b,
        };
        for t in 0..steps {
            path.record(t, &unit(t), &[], spare.again()).unwrap();
        }
        path.finish(&unit(steps), &[], spare).unwrap();
    });
    // The storage begins with the values or with the coefficients; these are the longer part.
    storage[polynomials..]
        .chunks(n)
        .map(<[f64]>::to_vec)
        .collect()
}

fn greatest_deviation<A: Arithmetic>(steps: usize, polynomials: usize) -> f64 {
    let p = values::<A>(steps, polynomials);
    let mut worst = 0.0f64;
    for j in 0..polynomials {
        for k in 0..=j {
            let dot: f64 = p[j].iter().zip(&p[k]).map(|(x, y)| x * y).sum();
            worst = worst.max((dot - f64::from(j == k)).abs());
        }
    }
    worst
}

#[test]
fn polynomials_of_2000_steps_are_orthonormal() {
    for deviation in [
        greatest_deviation::<Plain>(2000, 32),
        greatest_deviation::<Fused>(2000, 32),
    ] {
        println!("{deviation:e}");
        assert!(deviation <= ORTHONORMAL, "{deviation:e}");
    }
}

#[test]
fn polynomials_are_orthonormal_up_to_twice_the_root_of_the_steps() {
    for steps in [1, 2, 3, 4, 10, 50, 100, 500] {
        let most = (2.0 * f64::from(steps as u32).sqrt()) as usize;
        let deviation = greatest_deviation::<Fused>(steps, most.min(steps + 1));
        assert!(deviation <= ORTHONORMAL, "{steps}: {deviation:e}");
    }
}

#[test]
fn walks_that_are_polynomials_of_time_are_recalled() {
    for (steps, polynomials) in [(1, 1), (1, 2), (2, 3), (7, 4), (7, 8), (100, 8), (500, 3)] {
        for degree in 0..polynomials.min(6) {
            let walk = polynomial(steps, MANY, degree);
            let ((ws, vs), _) = with_legendre::<Fused, f64, _>(MANY, steps, polynomials, |path| {
                recalled(path, &walk)
            });
            for t in 0..steps {
                let what = format!("degree {degree} of {polynomials}, {steps} steps, {t}");
                assert_close(&what, &ws[t], &walk[t], LEGENDRE_F64);
                for (got, want) in vs[t].iter().zip(velocities(&walk, t)) {
                    assert!((got - want).abs() <= DIFFERENCED_POLYNOMIALS, "{what}");
                }
            }
        }
    }
    let walk = polynomial(100, MANY, 4);
    let ((ws, _), _) = with_legendre::<Fused, f64, _>(MANY, 100, 4, |path| recalled(path, &walk));
    assert!(
        crate::common::relative_error(&ws[0], &walk[0]) > 1e-4,
        "degree 4 with r = 4"
    );
}

#[test]
fn polynomials_are_the_dense_least_squares_fit() {
    for (steps, polynomials) in [(5, 2), (5, 6), (40, 4), (97, 6)] {
        let walk = rough::<f64>(steps, MANY);
        let ((ws, _), _) =
            with_legendre::<Fused, f64, _>(MANY, steps, polynomials, |path| recalled(path, &walk));
        // The normal equations in powers of time in -1 .. 1.
        let design = |t: usize, j: usize| (2.0 * t as f64 / steps as f64 - 1.0).powi(j as i32);
        let sum = |f: &dyn Fn(usize) -> f64| -> f64 { (0..=steps).map(f).sum() };
        let gram: Vec<Vec<f64>> = (0..polynomials)
            .map(|j| {
                (0..polynomials)
                    .map(|k| sum(&|t| design(t, j) * design(t, k)))
                    .collect()
            })
            .collect();
        let mut fit = vec![vec![0.0; MANY]; steps + 1];
        for i in 0..MANY {
            let b = (0..polynomials)
                .map(|j| sum(&|t| design(t, j) * walk[t][i]))
                .collect();
            let c = plain::solve(gram.clone(), b);
            for (t, fit) in fit.iter_mut().enumerate() {
                fit[i] = c.iter().enumerate().map(|(j, c)| c * design(t, j)).sum();
            }
        }
        for t in 0..steps {
            assert_close("weights", &ws[t], &fit[t], LEGENDRE_F64);
        }
    }
}

#[test]
fn one_polynomial_is_the_mean() {
    let walk = rough::<f64>(9, MANY);
    let ((ws, vs), _) = with_legendre::<Plain, f64, _>(MANY, 9, 1, |path| recalled(path, &walk));
    let mean: Vec<f64> = (0..MANY)
        .map(|i| walk.iter().map(|w| w[i]).sum::<f64>() / 10.0)
        .collect();
    for t in 0..9 {
        assert_close("mean", &ws[t], &mean, LEGENDRE_F64);
        assert!(vs[t].iter().all(|v| *v == 0.0));
    }
}

// ------------------------------------------------------------------------------------- kernels

#[test]
fn outer_products_and_combinations_are_nested_loops_on_every_level() {
    crate::common::on_every_level(|level| {
        for (rows, n) in [
            (1, 1),
            (3, 7),
            (5, 1024),
            (4, 1025),
            (2, 3000),
            (0, 5),
            (3, 0),
        ] {
            let (a, x) = (Noise(500).f32s(rows, 1.0), Noise(501).f32s(n, 1.0));
            let start = Noise(502).f32s(rows * n, 1.0);
            let (mut outer, mut want) = (start.clone(), start.clone());
            accumulate::add_outer::<Fused, f32>(&a, &x, &mut outer);
            for j in 0..rows {
                for c in 0..n {
                    want[j * n + c] = a[j].mul_add(x[c], want[j * n + c]);
                }
            }
            assert_eq!(bits(&outer), bits(&want), "{}", level.name());
            let mut sum = vec![f32::NAN; n];
            accumulate::combine::<Plain, f32>(&a, &start, &mut sum);
            for c in 0..n {
                let want = (0..rows).fold(0.0f32, |sum, j| a[j] * start[j * n + c] + sum);
                assert_eq!(sum[c].to_bits(), want.to_bits(), "{}", level.name());
            }
        }
    });
}

#[test]
fn bending_is_its_formula_on_every_level() {
    crate::common::on_every_level(|level| {
        let n = 100;
        let of = |seed| Noise(seed).f32s(n, 1.0);
        let (x0, x1, f0, f1, y) = (of(510), of(511), of(512), of(513), of(514));
        let g = [0.8, -0.3];
        let mut got = y.clone();
        interpolate::bend::<Fused, f32>(g, 5, [&x0, &x1], [&f0, &f1], &mut got);
        let want: Vec<f64> = (0..n)
            .map(|i| {
                let [x0, x1, f0, f1, y] = [x0[i], x1[i], f0[i], f1[i], y[i]].map(f64::from);
                let chord = (x1 - x0) / 5.0;
                y + g[0] * (f0 - chord) + g[1] * (f1 - chord)
            })
            .collect();
        assert_close(level.name(), &got, &want, BENT_F32);
    });
}

// ---------------------------------------------------------------------- a training that learns

const LONG: usize = 200;
const P: usize = 74;
const UNITS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Unit,
    biases: false,
};
const NORMAL: Normal<'static, f32> = Normal {
    seed: 9,
    groups: Groups::global(P),
    log_scales: &[-1.0],
};

/// A training of 200 steps from normal weights; `h` are the scales of units.
fn long(
    path: &mut dyn Path<Fused, f32>,
    steps: usize,
    schedule: bool,
) -> Result<Answer<f32>, Error> {
    let data = Data::learnable(90, 150, WIDTHS[0], WIDTHS[3]);
    let objective = Scaled {
        inner: Mlp::<_, Fused>::new(data.features(), WIDTHS, 16).unwrap(),
        groups: UNITS,
    };
    let everywhere = Groups::global(P);
    let training = L2::new(objective, Strength::Fixed(1e-3, everywhere));
    let problem = InnerProblem {
        objective: &training,
        h: &[1.0; 15],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: everywhere,
            rates: &[0.3],
            momenta: &[0.9],
        },
        batches: Batches {
            seed: 8,
            examples: 100,
            size: 16,
        },
        steps,
    };
    let valid: Vec<u32> = (100..150).collect();
    let validation = Validation {
        objective: &objective,
        examples: &valid,
    };
    hypergradient(&problem, &validation, &NORMAL, path, schedule)
}

fn taped(steps: usize, schedule: bool) -> Answer<f32> {
    let mut storage = vec![0.0; Tape::<f32>::required_len(P, steps, 0)];
    let mut tape = Tape::new(P, steps, 0, &mut storage).unwrap();
    long(&mut tape, steps, schedule).unwrap()
}

fn start() -> Vec<f32> {
    let mut w0 = vec![0.0; P];
    NORMAL.fill(0, &mut w0);
    w0
}

#[test]
fn up_to_k_steps_knots_are_the_tape_with_its_bits() {
    let w0 = start();
    for steps in [1, 2, 19, 20] {
        let tape = taped(steps, true);
        for hermite in [false, true] {
            let mut again = |path: &mut dyn Path<Fused, f32>| long(path, steps, true).unwrap();
            let got = with_knots::<Fused, f32, _>(hermite, 20, &w0, &mut again);
            assert_eq!(got, tape, "hermite {hermite}, {steps} steps");
        }
    }
    let got = with_knots::<Fused, f32, _>(false, 20, &w0, |path| long(path, 21, true).unwrap());
    assert_ne!(got.d_h, taped(21, true).d_h);
}

#[test]
fn a_path_can_be_used_again_for_another_length() {
    let w0 = start();
    with_knots::<Fused, f32, _>(true, 8, &w0, |path| {
        let first = long(path, 60, true).unwrap();
        long(path, 7, true).unwrap();
        assert_eq!(long(path, 60, true).unwrap(), first);
    });
    let (_, _) = with_legendre::<Fused, f32, _>(P, 60, 8, |path| {
        let first = long(path, 60, true).unwrap();
        assert_eq!(long(path, 60, true).unwrap(), first);
    });
}

#[test]
fn interpolants_point_where_the_tape_does() {
    let w0 = start();
    let tape = taped(LONG, false);
    let check = |what: &str, answer: Answer<f32>| {
        assert_eq!(
            bits(&answer.w),
            bits(&tape.w),
            "{what} touched the training"
        );
        let cosine = cosine(&answer.d_h, &tape.d_h);
        println!("{what}: cosine {cosine}");
        assert!(cosine > INTERPOLANTS_COSINE, "{what}: cosine {cosine}");
    };
    let problem = |path: &mut dyn Path<Fused, f32>| long(path, LONG, false).unwrap();
    check(
        "lines",
        with_knots::<Fused, f32, _>(false, 32, &w0, problem),
    );
    check(
        "hermite",
        with_knots::<Fused, f32, _>(true, 32, &w0, problem),
    );
    check(
        "lines, 8 bits",
        with_quantised::<255, f32, _>(false, 32, NORMAL, problem),
    );
    check(
        "hermite, 8 bits",
        with_quantised::<255, f32, _>(true, 32, NORMAL, problem),
    );
    check(
        "legendre",
        with_legendre::<Fused, f32, _>(P, LONG, 16, problem).0,
    );
}

#[test]
fn quantised_knots_from_a_seed_have_the_bits_of_those_from_memory() {
    let w0 = start();
    let problem = |path: &mut dyn Path<Fused, f32>| long(path, 60, false).unwrap();
    let seed = with_quantised::<15, f32, _>(true, 8, NORMAL, problem);
    let memory = with_quantised::<15, f32, _>(true, 8, &w0[..], problem);
    assert_eq!(bits(&seed.d_h), bits(&memory.d_h));
}

// ------------------------------------------------------------------------ lengths and refusals

#[test]
fn interpolants_say_how_much_they_remember() {
    let floats = |path: &mut dyn Path<Fused, f32>| path.floats();
    let w0 = start();
    // The origin, where it is in memory, counts too.
    assert_eq!(with_knots::<Fused, f32, _>(false, 8, &w0, floats), 9 * P);
    assert_eq!(with_knots::<Fused, f32, _>(true, 8, &w0, floats), 18 * P);
    let row = P.div_ceil(BLOCK) * words(15);
    assert_eq!(
        with_quantised::<15, f32, _>(false, 8, NORMAL, floats),
        8 * row
    );
    assert_eq!(
        with_quantised::<15, f32, _>(true, 8, NORMAL, floats),
        17 * row
    );
    assert_eq!(
        with_legendre::<Fused, f32, _>(P, 20, 8, floats).0,
        8 * P + 8
    );
    assert_eq!(Legendre::<f32>::required_len(usize::MAX, 2), usize::MAX);
}

fn range(result: Result<(), Error>) {
    assert!(matches!(result, Err(Error::Range { .. })), "{result:?}");
}

fn length(result: Result<(), Error>, name: &str, numbers: (usize, usize)) {
    match result {
        Err(Error::Length { what, want, got }) => {
            assert_eq!((what, (want, got)), (name, numbers));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_numbers_of_knots_and_polynomials_are_refused() {
    let make = |steps, r| Legendre::<f64>::new(4, steps, r, &mut [0.0; 500]).map(|_| ());
    assert_eq!(make(0, 1), Err(Error::NoSteps));
    range(make(10, 0));
    range(make(10, 12));
    range(make(10, usize::MAX));
    make(10, 11).unwrap();
    let short = Legendre::<f64>::new(4, 10, 3, &mut [0.0; 14]).map(|_| ());
    length(short, "storage of the polynomials", (15, 14));

    let initial = [0.0f64; 4];
    let knots = |intervals, weights: usize, rows, changes| {
        let (mut first, mut second) = ([0.0; 100], [0.0; 100]);
        let rows = Full::new(4, rows, &mut first).unwrap();
        let changes = Full::new(4, changes, &mut second).unwrap();
        let initial = &initial[..weights];
        Knots::<f64, _, _>::hermite(4, intervals, initial, rows, changes).map(|_| ())
    };
    knots(8, 4, 8, 9).unwrap();
    range(knots(0, 4, 0, 1));
    length(knots(8, 3, 8, 9), "initial weights", (4, 3));
    length(knots(8, 4, 7, 9), "storage of the rows", (32, 28));
    length(knots(8, 4, 8, 8), "storage of the rows", (36, 32));
}

/// What a path says of a trajectory told in this order, with vectors of this length.
fn told(
    path: &mut dyn Path<Fused, f32>,
    n: usize,
    steps: &[usize],
    finish: bool,
) -> Result<(), Error> {
    let (mut a, mut b, w) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    for t in steps {
        path.record(*t, &w, &w, spare.again())?;
    }
    if finish {
        path.finish(&w, &w, spare)?;
    }
    Ok(())
}

#[test]
fn steps_out_of_turn_and_other_lengths_are_refused() {
    let order = |want, got| Err(Error::Order { want, got });
    let w0 = vec![0.0; P];
    let knots = |path: &mut dyn Path<Fused, f32>| {
        assert_eq!(told(path, P, &[0, 1, 3], false), order(2, 3));
        assert_eq!(told(path, P, &[0, 1, 1], false), order(2, 1));
        length(told(path, 3, &[0], false), "w", (P, 3));
        told(path, P, &[0, 1, 2], true).unwrap();
        assert_eq!(told(path, P, &[3], false), order(3, 3), "it has ended");
    };
    with_knots::<Fused, f32, _>(true, 8, &w0, knots);
    with_knots::<Fused, f32, _>(false, 8, &w0, |path| {
        assert_eq!(told(path, P, &[1], false), order(0, 1));
        assert_eq!(told(path, P, &[], true), Err(Error::NoSteps));
    });
    with_legendre::<Fused, f32, _>(P, 5, 3, |path| {
        assert_eq!(told(path, P, &[0, 1, 3], false), order(2, 3));
        assert_eq!(told(path, P, &[0, 1], true), order(2, 5));
        length(told(path, 3, &[0], false), "w", (P, 3));
        let beyond = Error::Index {
            what: "step of the polynomials",
            index: 5,
            len: 5,
        };
        assert_eq!(told(path, P, &[0, 1, 2, 3, 4, 5], false), Err(beyond));
        told(path, P, &[0, 1, 2, 3, 4], true).unwrap();
    });
}

#[test]
fn recalling_too_early_or_out_of_order_is_refused() {
    let walk = rough::<f32>(20, P);
    let recall = |path: &mut dyn Path<Fused, f32>, t, n| {
        let (mut a, mut b, mut w) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let spare = Spare {
            a: &mut a,
            b: &mut b,
        };
        path.recall(t, &mut w, None, &mut NoTraining(n), spare)
    };
    with_knots::<Fused, f32, _>(false, 4, &walk[0], |path| {
        assert!(matches!(recall(path, 3, P), Err(Error::Unsupported { .. })));
        told(path, P, &[0, 1], false).unwrap();
        let (mut a, mut b) = (vec![0.0; P], vec![0.0; P]);
        let spare = Spare {
            a: &mut a,
            b: &mut b,
        };
        let early = path.open(&walk[0], spare);
        assert!(matches!(early, Err(Error::Unsupported { .. })), "{early:?}");
        shown(path, &walk);
        recall(path, 9, P).unwrap();
        // The stride is 8, and 9 lies in 8 ..= 16.
        recall(path, 16, P).unwrap();
        assert_eq!(recall(path, 17, P), Err(Error::Order { want: 16, got: 17 }));
        assert!(matches!(recall(path, 20, P), Err(Error::Index { .. })));
        length(recall(path, 3, 5), "w", (P, 5));
    });
    with_legendre::<Fused, f32, _>(P, 20, 4, |path| {
        assert_eq!(recall(path, 3, P), Err(Error::Order { want: 0, got: 20 }));
        shown(path, &walk);
        recall(path, 9, P).unwrap();
        assert!(matches!(recall(path, 20, P), Err(Error::Index { .. })));
        length(recall(path, 3, 5), "w", (P, 5));
    });
}

#[test]
fn rows_by_themselves_can_be_copied_and_rows_out_of_reach_are_left() {
    let x: Vec<f32> = (0..100).map(|i| i as f32 - 50.0).collect();
    let zeros = [0.0; 100];
    let mut storage = vec![0; Quantised::<255>::required_len(100, 3)];
    let mut rows = Quantised::<255>::new(100, 3, &mut storage).unwrap();
    let rows: &mut dyn Rows<Fused, f32> = &mut rows;
    rows.write(2, 0, &x[..BLOCK], &zeros);
    rows.write(2, BLOCK, &x[BLOCK..], &zeros);
    let read = |rows: &dyn Rows<Fused, f32>, k| {
        let mut y = [0.0; 100];
        let (low, high) = y.split_at_mut(BLOCK);
        rows.read_alone(k, 0, low);
        rows.read_alone(k, BLOCK, high);
        y
    };
    let two = read(rows, 2);
    rows.copy(2, 1);
    assert_eq!(read(rows, 1), two);
    assert!(two.iter().zip(&x).all(|(y, x)| (y - x).abs() <= 0.25));
    rows.copy(1, 4);
    rows.copy(4, 2);
    rows.copy(usize::MAX, usize::MAX);
    assert_eq!(read(rows, 2), two);

    let mut y = [7.0; BLOCK];
    rows.write(usize::MAX, usize::MAX, &x[..BLOCK], &zeros);
    rows.read_alone(usize::MAX, usize::MAX, &mut y);
    assert_eq!((read(rows, 2), y), (two, [7.0; BLOCK]));
    let mut storage = [1.0; 4];
    let mut full = Full::new(2, 2, &mut storage).unwrap();
    let full: &mut dyn Rows<Fused, f32> = &mut full;
    full.write(usize::MAX, usize::MAX, &[3.0], &[0.0]);
    full.read(usize::MAX, 1, &mut y);
    assert_eq!((storage, y), ([1.0; 4], [7.0; BLOCK]));
}

#[test]
fn rows_for_other_blocks_are_refused_though_they_take_as_much_storage() {
    // Two blocks of 8 rows, one block of 16.
    let mut storage = vec![0; Quantised::<15>::required_len(100, 8)];
    let rows = Quantised::<15>::new(100, 8, &mut storage).unwrap();
    assert_eq!(Quantised::<15>::required_len(64, 16), rows.floats());
    let got = rows.check(64, 16);
    length(got, "blocks of the rows", (1, 2));
    rows.check(100, 8).unwrap();
}

#[test]
fn a_grid_that_was_not_checked_has_its_knots_within_the_steps() {
    let knots = |steps, intervals| Grid {
        steps,
        intervals,
        spacing: 1.0,
    };
    assert_eq!(knots(1, 5).step(2), 0);
    assert_eq!(knots(0, usize::MAX).step(usize::MAX - 1), 0);
    assert_eq!(knots(3, 0).step(0), 3);
}
