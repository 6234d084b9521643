//! Projections against their definition: the nearest point of a set, by the variational inequality
//! and by solutions that sort; parametrisations against differences.

use crate::common::{Noise, assert_close, assert_each_close, bits, on_every_level};
use crate::tolerances::*;
use drmad::outer::Parametrisation::{self, Log, Logit};
use drmad::outer::{Adam, Outer, Projected, Projection, Sgd};
use drmad::{Dual, Error, Fused, Plain};

fn projected(onto: Projection<f64>, x: &[f64]) -> Vec<f64> {
    let mut y = x.to_vec();
    onto.project(&mut y).unwrap();
    y
}

/// The nearest point of any of the sets with a sum, by sorting: between two neighbours among the
/// thresholds at which a number reaches a bound the sum is a straight line, solved there.
fn by_sorting(x: &[f64], low: f64, high: f64, total: f64) -> Vec<f64> {
    let at = |t: f64| -> Vec<f64> { x.iter().map(|x| (x - t).max(low).min(high)).collect() };
    let sum = |t: f64| at(t).iter().sum::<f64>();
    let mut kinks: Vec<f64> = x
        .iter()
        .flat_map(|x| [x - low, x - high])
        .filter(|t| t.is_finite())
        .collect();
    let top = x.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    kinks.push(top - low);
    kinks.push(top - low - total.abs() - 1.0);
    kinks.sort_by(f64::total_cmp);
    // The last kink whose sum is still at least the total.
    let after = kinks.partition_point(|t| sum(*t) >= total);
    assert!(after > 0, "no threshold gives so great a sum");
    let (left, right) = (
        kinks[after - 1],
        *kinks.get(after).unwrap_or(&kinks[after - 1]),
    );
    let (s, e) = (sum(left), sum(right));
    at(if s > e {
        left + (right - left) * (s - total) / (s - e)
    } else {
        left
    })
}

/// A random point of the set, not always inside.
fn feasible(onto: Projection<f64>, n: usize, noise: &mut Noise) -> Vec<f64> {
    let mut unit = || 0.5 + 0.5 * f64::from(noise.number());
    let mut z: Vec<f64> = (0..n).map(|_| unit()).collect();
    let mut shrink = 1.0;
    if unit() < 0.5 {
        shrink = unit();
    }
    let scale_to = |z: &mut [f64], total: f64| {
        // Powers make some numbers large among small ones.
        z.iter_mut().for_each(|z| *z = z.powi(8));
        let sum: f64 = z.iter().sum();
        z.iter_mut().for_each(|z| *z *= total / sum);
    };
    match onto {
        Projection::NonNegative => z.iter_mut().for_each(|z| *z *= 5.0),
        Projection::Box { low, high } => z.iter_mut().for_each(|z| *z = low + (high - low) * *z),
        Projection::Simplex { total } => scale_to(&mut z, total),
        Projection::L1Ball { radius } => {
            scale_to(&mut z, radius * shrink);
            for z in z.iter_mut().step_by(2) {
                *z = -*z;
            }
        }
        Projection::CappedBox { low, high, total } => {
            // A segment from the lowest corner, or from one within infinite bounds, cut where the
            // sum is reached.
            let high = high.min(9.0);
            let low = low.max(high - 9.0);
            let room = total - n as f64 * low;
            z.iter_mut().for_each(|z| *z *= high - low);
            let sum: f64 = z.iter().sum();
            let by = shrink * (room / sum).min(1.0);
            z.iter_mut().for_each(|z| *z = low + by * *z);
        }
    }
    z
}

const SETS: [Projection<f64>; 11] = [
    Projection::NonNegative,
    Projection::Box {
        low: -0.5,
        high: 0.25,
    },
    Projection::Simplex { total: 1.0 },
    Projection::Simplex { total: 40.0 },
    Projection::L1Ball { radius: 1.0 },
    Projection::L1Ball { radius: 1e-3 },
    Projection::CappedBox {
        low: 0.0,
        high: 1.0,
        total: 1.5,
    },
    Projection::CappedBox {
        low: 0.0,
        high: 0.1,
        total: 0.3,
    },
    Projection::CappedBox {
        low: -0.25,
        high: 0.5,
        total: -0.2,
    },
    Projection::CappedBox {
        low: 0.0,
        high: f64::INFINITY,
        total: 1.0,
    },
    Projection::CappedBox {
        low: f64::NEG_INFINITY,
        high: 0.5,
        total: 0.0,
    },
];

/// Lengths for which all of [`SETS`] have points.
const LENGTHS: [usize; 5] = [1, 2, 5, 31, 100];

fn has_points(onto: Projection<f64>, n: usize) -> bool {
    onto.check(n).is_ok()
}

#[test]
fn no_point_of_the_set_lies_on_the_side_of_what_was_projected() {
    let mut noise = Noise(80);
    for onto in SETS {
        for n in LENGTHS {
            for scale in [0.01, 1.0, 30.0] {
                if !has_points(onto, n) {
                    continue;
                }
                let x = noise.f64s(n, scale);
                let p = projected(onto, &x);
                inside(onto, &p);
                for _ in 0..20 {
                    // <x - P x, z - P x> <= 0 for every z of a convex set, and for P x alone.
                    let z = feasible(onto, n, &mut noise);
                    let mut product = 0.0;
                    let (mut farthest, mut size) = (0.0f64, 0.0);
                    for i in 0..n {
                        product += (x[i] - p[i]) * (z[i] - p[i]);
                        farthest = farthest.max((x[i] - p[i]).abs());
                        size += z[i].abs() + p[i].abs();
                    }
                    assert!(
                        product <= PROJECTION_F64 * farthest * size,
                        "{onto:?}: {product:e}\n{x:?}\n{p:?}\n{z:?}"
                    );
                }
            }
        }
    }
}

/// That a point lies in its set, up to the rounding of its numbers.
#[track_caller]
fn inside(onto: Projection<f64>, p: &[f64]) {
    let sum: f64 = p.iter().sum();
    let magnitudes: f64 = p.iter().map(|x| x.abs()).sum();
    let slack = PROJECTION_F64 * (1.0 + magnitudes);
    let holds = match onto {
        Projection::NonNegative => p.iter().all(|x| *x >= 0.0),
        Projection::Box { low, high } => p.iter().all(|x| low <= *x && *x <= high),
        Projection::Simplex { total } => {
            p.iter().all(|x| *x >= 0.0) && (sum - total).abs() <= slack
        }
        Projection::L1Ball { radius } => magnitudes <= radius + slack,
        Projection::CappedBox { low, high, total } => {
            p.iter().all(|x| low <= *x && *x <= high) && sum <= total + slack
        }
    };
    assert!(holds, "{onto:?}: {p:?}");
}

#[test]
fn projections_agree_with_solutions_that_sort() {
    let mut noise = Noise(81);
    for n in LENGTHS {
        for scale in [0.01, 1.0, 1e6] {
            let mut x = noise.f64s(n, scale);
            // Ties.
            for i in (3..n).step_by(3) {
                x[i] = x[i - 1];
            }
            let near = |what: &str, got: &[f64], want: &[f64], total: f64| {
                for (got, want) in got.iter().zip(want) {
                    let error = (got - want).abs();
                    assert!(
                        error <= PROJECTION_F64 * (scale + total),
                        "{what}: {error:e}"
                    );
                }
            };
            let p = projected(Projection::Simplex { total: 2.0 }, &x);
            let want = by_sorting(&x, 0.0, f64::INFINITY, 2.0);
            near("simplex", &p, &want, 2.0);

            let p = projected(Projection::L1Ball { radius: 0.002 }, &x);
            let magnitudes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
            if magnitudes.iter().sum::<f64>() > 0.002 {
                let want = by_sorting(&magnitudes, 0.0, f64::INFINITY, 0.002);
                let signed: Vec<f64> = want.iter().zip(&x).map(|(p, x)| p * x.signum()).collect();
                near("l1 ball", &p, &signed, 0.002);
            }

            let (low, high, total) = (-0.004, 0.006, 0.001);
            if has_points(Projection::CappedBox { low, high, total }, n) {
                let p = projected(Projection::CappedBox { low, high, total }, &x);
                let clamped: f64 = x.iter().map(|x| x.max(low).min(high)).sum();
                let want = if clamped > total {
                    by_sorting(&x, low, high, total)
                } else {
                    x.iter().map(|x| x.max(low).min(high)).collect()
                };
                near("capped box", &p, &want, 0.001);
            }
        }
    }
}

#[test]
fn projections_of_a_few_numbers_are_the_known_ones() {
    fn check_equal(onto: Projection<f32>, x: &[f32], want: &[f32]) {
        let mut y = x.to_vec();
        onto.project(&mut y).unwrap();
        assert_eq!(y, want, "{onto:?} of {x:?}");
    }
    let inf = f32::INFINITY;
    check_equal(Projection::NonNegative, &[1.0, -1.0, 0.0], &[1.0, 0.0, 0.0]);
    let below = Projection::Box {
        low: -inf,
        high: 0.5,
    };
    check_equal(below, &[1.0, -9.0], &[0.5, -9.0]);
    // One number.
    check_equal(Projection::Simplex { total: 1.0 }, &[-7.0], &[1.0]);
    check_equal(Projection::L1Ball { radius: 1.0 }, &[-7.0], &[-1.0]);
    let capped = Projection::CappedBox {
        low: 0.0,
        high: 1.0,
        total: 0.5,
    };
    check_equal(capped, &[7.0], &[0.5]);
    // Ties: all alike, and all alike but one.
    check_equal(Projection::Simplex { total: 1.0 }, &[3.0; 4], &[0.25; 4]);
    check_equal(Projection::L1Ball { radius: 2.0 }, &[-3.0; 4], &[-0.5; 4]);
    check_equal(capped, &[9.0; 4], &[0.125; 4]);
    check_equal(
        Projection::Simplex { total: 1.0 },
        &[0.5, 0.5, 0.5, -4.0],
        &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0],
    );
    // Sets of one point.
    check_equal(Projection::Simplex { total: 0.0 }, &[3.0, -1.0], &[0.0; 2]);
    check_equal(Projection::L1Ball { radius: 0.0 }, &[3.0, -1.0], &[0.0; 2]);
    let point = Projection::CappedBox {
        low: 0.25,
        high: 0.25,
        total: 1.0,
    };
    check_equal(point, &[3.0, -1.0, 0.0, 0.25], &[0.25; 4]);
    let lowest = Projection::CappedBox {
        low: 0.25,
        high: 9.0,
        total: 1.0,
    };
    check_equal(lowest, &[3.0, -1.0, 0.0, 0.25], &[0.25; 4]);
    // Numbers beside which the sum vanishes.
    check_equal(
        Projection::Simplex { total: 1.0 },
        &[1e38, 1e38, 3.0],
        &[0.5, 0.5, 0.0],
    );
    check_equal(
        Projection::L1Ball { radius: 1.0 },
        &[1e38, -1e38, -3e38],
        &[0.0, 0.0, -1.0],
    );
    // The first stays at its bound whatever the threshold.
    let capped = Projection::CappedBox {
        low: 0.0,
        high: 1.0,
        total: 1.5,
    };
    check_equal(capped, &[1e38, 0.5, 0.5], &[1.0, 0.25, 0.25]);
    // Nothing.
    for onto in [
        Projection::NonNegative,
        below,
        capped,
        Projection::Simplex { total: 0.0 },
        Projection::L1Ball { radius: 1.0 },
    ] {
        check_equal(onto, &[], &[]);
    }
}

#[test]
fn a_threshold_beyond_the_bounds_precision_still_gives_a_point_inside() {
    let mut x = [1e38f32, 1e38, 3.0];
    Projection::CappedBox {
        low: 0.0,
        high: 1.0,
        total: 1.0,
    }
    .project(&mut x)
    .unwrap();
    assert!(x.iter().all(|x| (0.0..=1.0).contains(x)) && x.iter().sum::<f32>() <= 1.0);
}

#[test]
fn a_point_inside_keeps_its_bits() {
    let x = [0.1f32, 0.0, -0.0, 0.3, 1e-40, 0.6];
    let sum = x.iter().map(|x| f64::from(*x)).sum::<f64>();
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    for onto in [
        Projection::NonNegative,
        Projection::Box {
            low: 0.0,
            high: 0.6,
        },
        Projection::L1Ball { radius: 1.5 },
        Projection::CappedBox {
            low: 0.0,
            high: 0.7,
            total: 1.5,
        },
    ] {
        let mut y = x;
        onto.project(&mut y).unwrap();
        assert_eq!(bits(&y), bits(&x), "{onto:?}");
    }
    let inside = |y: &[f64]| y.iter().zip(&wide).all(|(a, b)| a.to_bits() == b.to_bits());
    let simplex = projected(Projection::Simplex { total: sum }, &wide);
    assert!(inside(&simplex));
    // On the boundary, too.
    assert!(inside(&projected(
        Projection::L1Ball { radius: sum },
        &wide
    )));
    let negative = [-0.1f32, 0.25, -0.0];
    let mut y = negative;
    Projection::L1Ball { radius: 1.0 }.project(&mut y).unwrap();
    assert_eq!(bits(&y), bits(&negative));
}

#[test]
fn to_project_twice_is_to_project_once_up_to_rounding() {
    let mut noise = Noise(82);
    for onto in SETS {
        for n in LENGTHS {
            if has_points(onto, n) {
                let once = projected(onto, &noise.f64s(n, 3.0));
                let twice = projected(onto, &once);
                for (a, b) in once.iter().zip(&twice) {
                    assert!((a - b).abs() <= PROJECTION_F64, "{onto:?} {a} {b}");
                }
            }
        }
    }
}

#[test]
fn projections_keep_the_order_and_shift_with_the_numbers() {
    // onto a simplex, adding one number to all changes nothing
    let x = Noise(83).f64s(50, 1.0);
    let moved: Vec<f64> = x.iter().map(|x| x + 4.0).collect();
    let (a, b) = (
        projected(Projection::Simplex { total: 3.0 }, &x),
        projected(Projection::Simplex { total: 3.0 }, &moved),
    );
    assert_close("moved", &b, &a, PROJECTION_F64);
    for i in 1..50 {
        if x[i] > x[i - 1] {
            assert!(a[i] >= a[i - 1]);
        }
    }
}

#[test]
fn a_million_numbers_are_projected_with_the_same_bits_on_every_vector_level() {
    let x = Noise(84).f32s(1_000_000, 1.0);
    type Case = (&'static str, fn(&mut [f32]) -> Result<(), Error>, f64);
    let cases: [Case; 3] = [
        (
            "simplex",
            |x| Projection::Simplex { total: 100.0 }.project(x),
            100.0,
        ),
        (
            "l1 ball",
            |x| Projection::L1Ball { radius: 100.0 }.project(x),
            100.0,
        ),
        (
            "capped box",
            |x| {
                Projection::CappedBox {
                    low: 0.0,
                    high: 0.5,
                    total: 1e5,
                }
                .project(x)
            },
            1e5,
        ),
    ];
    for (what, project, total) in cases {
        let mut first: Option<Vec<f32>> = None;
        on_every_level(|level| {
            let mut y = x.clone();
            project(&mut y).unwrap();
            let sum: f64 = y.iter().map(|y| f64::from(y.abs())).sum();
            assert!((sum - total).abs() <= F32_ROUNDING * total, "{what}: {sum}");
            // One threshold, common to all that are free.
            let mut thresholds = x
                .iter()
                .zip(&y)
                .filter(|(_, y)| **y != 0.0 && y.abs() < 0.5)
                .map(|(x, y)| f64::from(x.abs()) - f64::from(y.abs()));
            let t = thresholds.next().unwrap();
            assert!(thresholds.all(|other| (other - t).abs() <= 2.0 * F32_ROUNDING));
            assert!(
                x.iter()
                    .zip(&y)
                    .all(|(x, y)| *y != 0.0 || f64::from(*x) <= t + 2.0 * F32_ROUNDING)
            );
            match &first {
                None => first = Some(y),
                Some(first) => assert_eq!(bits(&y), bits(first), "{what}, {level:?}"),
            }
        });
    }
}

/// The error of an empty set, and that `x` stays.
#[track_caller]
fn empty(onto: Projection<f64>, n: usize, least: f64, greatest: f64) {
    let mut x = vec![0.75; n];
    let error = onto.project(&mut x).unwrap_err();
    let Error::EmptySet {
        least: got_least,
        greatest: got_greatest,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((got_least, got_greatest), (least, greatest));
    let message = error.to_string();
    assert!(message.contains(&format!("{least}")) && message.contains(&format!("{greatest}")));
    assert_eq!(x, vec![0.75; n]);
    assert_eq!(onto.check(n), Err(error));
}

#[test]
fn projections_onto_nothing_are_refused_with_their_bounds() {
    let inf = f64::INFINITY;
    let capped = |low, high, total| Projection::CappedBox { low, high, total };
    let of_box = |low, high| Projection::Box { low, high };
    empty(of_box(1.0, 0.5), 2, 1.0, 0.5);
    empty(of_box(inf, inf), 2, inf, inf);
    empty(of_box(-inf, -inf), 2, -inf, -inf);
    empty(Projection::L1Ball { radius: -1.0 }, 2, 0.0, -1.0);
    empty(Projection::Simplex { total: -0.5 }, 2, 0.0, -0.5);
    empty(Projection::Simplex { total: 0.5 }, 0, 0.5, 0.0);
    empty(Projection::Simplex { total: inf }, 3, inf, f64::MAX);
    empty(capped(1.0, 0.5, 9.0), 2, 1.0, 0.5);
    empty(capped(0.25, 0.5, 0.9), 4, 1.0, 0.9);
    empty(capped(0.0, 0.5, -0.1), 0, 0.0, -0.1);
    empty(capped(-inf, 0.5, -inf), 2, -inf, -inf);
    for onto in [
        of_box(f64::NAN, 1.0),
        Projection::L1Ball { radius: f64::NAN },
        Projection::Simplex { total: f64::NAN },
        capped(0.0, 1.0, f64::NAN),
    ] {
        assert!(matches!(onto.check(2), Err(Error::EmptySet { .. })));
    }
}

#[test]
fn numbers_that_are_not_finite_are_not_projected() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for onto in SETS {
            let mut x = [0.5, bad, 3.0];
            let want = Error::NonFinite {
                what: "point to project",
                step: 0,
            };
            if has_points(onto, 3) {
                assert_eq!(onto.project(&mut x), Err(want));
                assert_eq!((x[0], x[2]), (0.5, 3.0));
            }
        }
    }
    assert!(Projection::NonNegative.project(&mut [f32::NAN]).is_err());
    assert!(
        Projection::Box {
            low: 0.0,
            high: 1.0
        }
        .project(&mut [f32::NAN])
        .is_err()
    );
}

#[test]
fn a_projected_optimizer_steps_and_then_projects() {
    let onto = Projection::CappedBox {
        low: 0.0,
        high: 1.0,
        total: 1.5,
    };
    let (h, d) = ([0.2f32, 0.9, 0.4], [-1.0, -0.5, 3.0]);
    let (mut got, mut want) = (h, h);
    let inner = Sgd { rate: 0.5 };
    let all = &[(0..3, onto)];
    Projected { inner, onto: all }.step(&mut got, &d).unwrap();
    let mut sgd = inner;
    sgd.step(&mut want, &d).unwrap();
    Projection::CappedBox {
        low: 0.0,
        high: 1.0,
        total: 1.5,
    }
    .project(&mut want)
    .unwrap();
    assert_eq!(got, want);

    // A refused step changes neither the hyperparameters nor the optimizer's state.
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    let inner = Adam::new(0.1f32, &mut m, &mut v).unwrap();
    let onto = &[(0..3, Projection::Simplex { total: -1.0 })];
    let mut outer = Projected { inner, onto };
    let mut got = h;
    assert!(outer.step(&mut got, &d).is_err());
    assert_eq!((got, outer.inner.taken), (h, 0));
}

// ------------------------------------------------------------------------------ parametrisations

#[test]
fn values_and_their_hyperparameters_invert_each_other() {
    let h = Noise(85).f32s(1000, 8.0);
    for of in [Log, Logit] {
        let mut x = h.clone();
        of.value::<Fused, _>(&mut x);
        for (x, h) in x.iter().zip(&h) {
            let h = f64::from(*h);
            let want = match of {
                Log => h.exp(),
                Logit => 1.0 / (1.0 + (-h).exp()),
            };
            let error = (f64::from(*x) - want).abs() / want;
            assert!(error <= PARAMETRISED_F32, "{of:?} {h}: {error:e}");
        }
        let mut back: Vec<f64> = h.iter().map(|h| f64::from(*h)).collect();
        let want = back.clone();
        of.value::<Plain, _>(&mut back);
        of.invert::<Plain, _>(&mut back).unwrap();
        assert_each_close("inverse", &back, &want, SAME_FORMULA_F64);
    }
}

#[test]
fn a_pull_back_is_the_derivative_of_the_value() {
    let h = Noise(86).f64s(20, 4.0);
    for of in [Log, Logit] {
        let at = |by: f64| -> Vec<f64> {
            let mut x: Vec<f64> = h.iter().map(|h| h + by).collect();
            of.value::<Fused, _>(&mut x);
            x
        };
        let (up, down) = (at(CENTRAL_STEP), at(-CENTRAL_STEP));
        let want: Vec<f64> = up
            .iter()
            .zip(&down)
            .map(|(up, down)| 3.0 * (up - down) / (2.0 * CENTRAL_STEP))
            .collect();
        let mut d = vec![3.0; 20];
        of.pull_back(&at(0.0), &mut d).unwrap();
        assert_each_close("pull-back", &d, &want, CENTRAL_DIFFERENCES);
        let mut dual: Vec<Dual<f64>> = h.iter().map(|h| Dual::new(*h, 3.0)).collect();
        of.value::<Fused, _>(&mut dual);
        let tangents: Vec<f64> = dual.iter().map(|x| x.tangent()).collect();
        assert_each_close("tangent", &d, &tangents, SAME_FORMULA_F64);
    }
}

#[test]
fn values_at_or_beyond_their_bounds_have_no_hyperparameter() {
    #[track_caller]
    fn refused(of: Parametrisation, bad: f64, below: f64) {
        let mut x = [0.5, 0.25, bad];
        let error = of.invert::<Fused, _>(&mut x).unwrap_err();
        let Error::Domain {
            index: 2,
            value,
            above: 0.0,
            below: got,
            ..
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((value.to_bits(), got), (bad.to_bits(), below));
        assert_eq!(x[..2], [0.5, 0.25]);
        assert!(error.to_string().contains("value 2 is"));
    }
    for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        refused(Log, bad, f64::INFINITY);
        refused(Logit, bad, 1.0);
    }
    refused(Logit, 1.0, 1.0);
    refused(Logit, 1.5, 1.0);
    assert_eq!(
        Log.pull_back(&[1.0f32], &mut [1.0, 2.0]),
        Err(Error::Length {
            what: "values",
            want: 2,
            got: 1
        })
    );
}
