//! Couplings between tasks, against nested loops and every identity; products of negative curvature
//! dropped, on curvature that is known and on a training that walks round a hill.

use crate::common::{
    All, Data, Noise, WIDTHS, assert_each_close, bits, hypergradient, keeps_the_identities, wide,
};
use crate::tolerances::*;
use drmad::group::Groups;
use drmad::hypergradient::Validation;
use drmad::kernels::reduce::norm;
use drmad::models::{Logistic, Mlp, Quadratic};
use drmad::objective::{At, Directions, Objective, Products};
use drmad::path::{Line, Path, Tape};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{Coupled, Coupling, DropNegativeCurvature, L1, L2, Scaled, Strength, Tasks};
use drmad::{Arithmetic, Error, Fused, Plain, Scalar};

const BATCH: &[u32] = &[3, 0, 7, 7, 1, 11, 4];

/// Loss, gradients and products at these examples.
fn all_of<O: Objective, S: Scalar>(objective: &O, w: &[S], h: &[S], d: &[S]) -> All<S> {
    crate::common::all_of(objective, w, h, BATCH, d)
}

fn logistic<A: Arithmetic>(data: &Data) -> Logistic<drmad::models::Features<'_>, A> {
    Logistic::new(data.features(), 3).unwrap()
}

// ------------------------------------------------------------------ what every wrapper hands on

/// The scratch of loss, gradient, products and three tangents, and the bits of all of them, with `own`
/// for each hyperparameter after the first.
fn handed_on<O: Objective>(objective: &O, own: f32) -> ([usize; 4], Vec<u32>) {
    let (p, hypers, count) = (objective.weights(), objective.hypers(), 3);
    let mut noise = Noise(44);
    let (w, d, w_dot) = (
        noise.f32s(p, 1.0),
        noise.f32s(p, 1.0),
        noise.f32s(count * p, 1.0),
    );
    let mut h = vec![own; hypers];
    h[0] = 0.75;
    // Along the first one alone.
    let mut h_dot = vec![0.0; count * hypers];
    for row in h_dot.chunks_mut(hypers) {
        row[0] = noise.number();
    }
    let at = At {
        w: &w,
        h: &h,
        batch: BATCH,
    };
    let lens = [
        objective.loss_scratch_len(),
        objective.scratch_len(),
        objective.second_order_scratch_len(),
        objective.tangents_scratch_len(count),
    ];
    // Exactly as much as is said.
    let [mut a, mut b, mut c, mut e] = lens.map(|len| vec![f32::NAN; len]);
    let mut found = bits(&[objective.loss(at, &mut a).unwrap()]);
    let (mut g, mut d_h) = (vec![f32::NAN; p], vec![f32::NAN; hypers]);
    found.extend(bits(&[objective
        .gradient(at, &mut g, Some(&mut d_h), &mut b)
        .unwrap()]));
    found.extend(bits(&g));
    found.extend(bits(&d_h[..1]));
    let (mut h_d, mut m_d) = (vec![0.0; p], vec![0.0; hypers]);
    let out = Products {
        g: Some(&mut g),
        h_d: &mut h_d,
        m_d: &mut m_d,
    };
    objective.second_order(at, &d, out, &mut c).unwrap();
    found.extend(bits(&g));
    found.extend(bits(&h_d));
    found.extend(bits(&m_d[..1]));
    let along = Directions {
        count,
        w: &w_dot,
        h: &h_dot,
    };
    let mut g_dot = vec![f32::NAN; count * p];
    let loss = objective.tangents(at, along, &mut g, &mut g_dot, &mut e);
    found.extend(bits(&[loss.unwrap()]));
    found.extend(bits(&g));
    found.extend(bits(&g_dot));
    (lens, found)
}

#[test]
fn every_wrapper_hands_on_the_scratch_and_the_bits_of_a_network() {
    let data = Data::small();
    let net = || {
        let net = Mlp::<_, Fused>::new(data.features(), WIDTHS, 3).unwrap();
        let groups = Groups::global(net.weights());
        // Strong enough that no curvature is negative.
        L2::new(net, Strength::Tuned(groups))
    };
    let p = net().weights();
    let groups = Groups::global(p);
    let (inner, want) = handed_on(&net(), 0.0);
    let tasks = Tasks::Stacked(1);
    let beside = |own: [usize; 4]| [0, 1, 2, 3].map(|i| inner[i] + own[i]);
    let cases = [
        (
            "Psd",
            beside([0, 0, p, 0]),
            handed_on(&DropNegativeCurvature { inner: net() }, 0.0),
        ),
        (
            "Coupled",
            inner,
            handed_on(
                &Coupled {
                    inner: net(),
                    coupling: Coupling::Off(tasks),
                },
                0.5,
            ),
        ),
        (
            "L2",
            inner,
            handed_on(&L2::new(net(), Strength::Off(groups)), 0.5),
        ),
        (
            "L1",
            inner,
            handed_on(&L1::new(net(), Strength::Off(groups)), 0.5),
        ),
        (
            "Scaled",
            beside([p, p, 4 * p, 4 * p]),
            handed_on(
                &Scaled {
                    inner: net(),
                    groups,
                },
                1.0,
            ),
        ),
    ];
    for (what, lens, (got_lens, got)) in cases {
        assert_eq!(got_lens, lens, "{what}");
        assert_eq!(got, want, "{what}");
    }
    // The couplings' own part needs no more than its squares and a task's weights.
    let tuned = Coupled {
        inner: net(),
        coupling: Coupling::Tuned(tasks),
    };
    assert_eq!(tuned.tangents_scratch_len(3), inner[3].max(1 + p));
}

// -------------------------------------------------------------------------------- couplings

#[test]
fn couplings_keep_the_identities_in_all_layouts_tuned_and_off() {
    let data = Data::small();
    // 21 weights.
    for tasks in [
        Tasks::Interleaved(3),
        Tasks::Stacked(3),
        Tasks::Interleaved(7),
        Tasks::Stacked(7),
        Tasks::Interleaved(1),
        Tasks::Stacked(21),
        Tasks::Slices {
            tasks: 3,
            start: 2,
            len: 4,
        },
    ] {
        for coupling in [Coupling::Tuned(tasks), Coupling::Off(tasks)] {
            let inner = logistic::<Fused>(&data);
            keeps_the_identities(&format!("{coupling:?}"), &Coupled { inner, coupling });
            let inner = logistic::<Plain>(&data);
            keeps_the_identities(&format!("{coupling:?}"), &Coupled { inner, coupling });
        }
    }
}

#[test]
fn couplings_compose_with_scales_and_penalties() {
    let data = Data::small();
    let (groups, coupling) = (Groups::global(21), Coupling::Tuned(Tasks::Interleaved(3)));
    let coupled = Coupled {
        inner: L2::new(logistic::<Fused>(&data), Strength::Tuned(groups)),
        coupling,
    };
    keeps_the_identities("Coupled(L2)", &coupled);
    let scaled = Scaled {
        inner: coupled,
        groups,
    };
    keeps_the_identities("Scaled(Coupled(L2))", &scaled);
    let mut blocks = vec![];
    scaled.visit_blocks(&mut |name, len| blocks.push((name, len)));
    assert_eq!(blocks, [("l2", 1), ("coupling", 6), ("scale", 1)]);
}

/// Four tasks of five weights on a flat quadratic: the couplings alone, in nested loops with the
/// symmetric matrix written out. `at(task, element)` is the place of a weight.
fn by_loops(
    [w, d, a]: [&[f64]; 3],
    at: impl Fn(usize, usize) -> usize,
) -> (f64, [Vec<f64>; 2], [Vec<f64>; 2]) {
    let (tasks, each) = (4, 5);
    let mut matrix = [[0.0; 4]; 4];
    let mut packed = a.iter();
    for j in 0..tasks {
        for k in j..tasks {
            matrix[j][k] = *packed.next().unwrap();
            matrix[k][j] = matrix[j][k];
        }
    }
    let mut loss = 0.0;
    let (mut g, mut h_d) = (vec![0.0; 20], vec![0.0; 20]);
    let (mut d_a, mut m_d) = (vec![], vec![]);
    for j in 0..tasks {
        for k in 0..tasks {
            let (mut square, mut slope) = (0.0, 0.0);
            for e in 0..each {
                let apart = |x: &[f64]| x[at(j, e)] - if j == k { 0.0 } else { x[at(k, e)] };
                square += apart(w) * apart(w);
                slope += 2.0 * apart(w) * apart(d);
                g[at(j, e)] += 2.0 * matrix[j][k] * apart(w);
                h_d[at(j, e)] += 2.0 * matrix[j][k] * apart(d);
            }
            if j <= k {
                loss += matrix[j][k] * square;
                d_a.push(square);
                m_d.push(slope);
            }
        }
    }
    (loss, [g, d_a], [h_d, m_d])
}

fn couplings_agree_with_nested_loops<A: Arithmetic>() {
    let flat = Quadratic::<A>::new(&[0.0; 20]);
    let mut noise = Noise(71);
    let (w, d, a) = (
        noise.f32s(20, 1.0),
        noise.f32s(20, 1.0),
        noise.f32s(10, 1.0),
    );
    let h = [&[0.0; 20][..], &a].concat();
    let whole = Tasks::Slices {
        tasks: 4,
        start: 0,
        len: 5,
    };
    for tasks in [Tasks::Interleaved(4), Tasks::Stacked(4), whole] {
        let at = |task: usize, element: usize| match tasks {
            Tasks::Interleaved(_) => element * 4 + task,
            Tasks::Stacked(_) | Tasks::Slices { .. } => task * 5 + element,
        };
        let (loss, [g, d_a], [h_d, m_d]) = by_loops([&wide(&w), &wide(&d), &wide(&a)], at);
        let coupled = Coupled {
            inner: flat,
            coupling: Coupling::Tuned(tasks),
        };
        let got = all_of(&coupled, &wide(&w), &wide(&h), &wide(&d));
        assert_each_close("loss", &[got.loss], &[loss], SAME_FORMULA_F64);
        assert_each_close("gradient", &got.g, &g, SAME_FORMULA_F64);
        assert_each_close("by couplings", &got.d_h[20..], &d_a, SAME_FORMULA_F64);
        assert_each_close("H d", &got.h_d, &h_d, SAME_FORMULA_F64);
        assert_each_close("M d", &got.m_d[20..], &m_d, SAME_FORMULA_F64);
        let got = all_of(&coupled, &w, &h, &d);
        assert_each_close("loss in f32", &[got.loss], &[loss], SAME_FORMULA_F32);
        assert_each_close("gradient in f32", &got.g, &g, SAME_FORMULA_F32);
        assert_each_close("H d in f32", &got.h_d, &h_d, SAME_FORMULA_F32);
        assert_each_close("M d in f32", &got.m_d[20..], &m_d, SAME_FORMULA_F32);
    }
}

#[test]
fn couplings_agree_with_nested_loops_over_the_symmetric_matrix() {
    couplings_agree_with_nested_loops::<Plain>();
    couplings_agree_with_nested_loops::<Fused>();
}

#[test]
fn the_layout_of_the_tasks_changes_no_bit() {
    let (tasks, each) = (3, 70);
    let mut noise = Noise(72);
    let (w, d) = (noise.f32s(210, 1.0), noise.f32s(210, 1.0));
    let h = [vec![0.0; 210], noise.f32s(6, 1.0)].concat();
    let turned = |x: &[f32]| -> Vec<f32> {
        (0..tasks * each)
            .map(|i| x[i % tasks * each + i / tasks])
            .collect()
    };
    let of = |tasks, w: &[f32], d: &[f32]| {
        let coupled = Coupled {
            inner: Quadratic::<Fused>::new(&[0.0; 210]),
            coupling: Coupling::Tuned(tasks),
        };
        all_of(&coupled, w, &h, d)
    };
    let stacked = of(Tasks::Stacked(3), &w, &d);
    let whole = Tasks::Slices {
        tasks: 3,
        start: 0,
        len: 70,
    };
    assert_eq!(of(whole, &w, &d), stacked);
    let interleaved = of(Tasks::Interleaved(3), &turned(&w), &turned(&d));
    assert_eq!(stacked.loss.to_bits(), interleaved.loss.to_bits());
    assert_eq!(bits(&turned(&stacked.g)), bits(&interleaved.g));
    assert_eq!(bits(&turned(&stacked.h_d)), bits(&interleaved.h_d));
    assert_eq!(bits(&stacked.d_h[210..]), bits(&interleaved.d_h[210..]));
    assert_eq!(bits(&stacked.m_d[210..]), bits(&interleaved.m_d[210..]));
}

#[test]
fn couplings_that_are_off_or_zero_change_no_bit() {
    let data = Data::small();
    let mut noise = Noise(73);
    let (w, d) = (noise.f32s(21, 1.0), noise.f32s(21, 1.0));
    let inner = logistic::<Fused>(&data);
    let bare = all_of(&inner, &w, &[], &d);
    let tasks = Tasks::Interleaved(3);
    for (coupling, h) in [(Coupling::Off(tasks), 0.7), (Coupling::Tuned(tasks), 0.0)] {
        let coupled = all_of(&Coupled { inner, coupling }, &w, &[h; 6], &d);
        assert_eq!(bare.loss.to_bits(), coupled.loss.to_bits());
        assert_eq!(bits(&bare.g), bits(&coupled.g));
        assert_eq!(bits(&bare.h_d), bits(&coupled.h_d));
        let unused = coupling == Coupling::Off(tasks);
        assert_eq!(coupled.d_h == [0.0; 6], unused);
        assert_eq!(coupled.m_d == [0.0; 6], unused);
    }
}

#[test]
fn every_pair_of_tasks_has_its_own_coupling() {
    for k in [0, 1, 2, 7] {
        let tasks = Tasks::Stacked(k);
        let upper: Vec<usize> = (0..k)
            .flat_map(|i| (i..k).map(move |j| (i, j)))
            .map(|(i, j)| {
                assert_eq!(tasks.coupling(i, j), tasks.coupling(j, i));
                tasks.coupling(i, j).unwrap()
            })
            .collect();
        assert_eq!(upper, (0..tasks.couplings()).collect::<Vec<_>>());
        assert_eq!(tasks.coupling(0, k), None);
    }
}

#[test]
fn weights_that_are_no_multiple_of_the_tasks_and_slices_beyond_one_are_refused() {
    let inner = Quadratic::<Fused>::new(&[1.0; 7]);
    for (k, whole) in [(3, 6), (0, 0), (8, 0)] {
        for tasks in [Tasks::Interleaved(k), Tasks::Stacked(k)] {
            let coupled = Coupled {
                inner,
                coupling: Coupling::Tuned(tasks),
            };
            let h = vec![0.0f32; coupled.hypers()];
            let at = At {
                w: &[0.0; 7],
                h: &h,
                batch: &[],
            };
            let want = Error::Length {
                what: "weights of the tasks",
                want: 7,
                got: whole,
            };
            let mut scratch = vec![0.0; 100];
            assert_eq!(coupled.loss(at, &mut scratch), Err(want));
        }
    }
    for (start, len, want) in [(0, 8, 8), (6, 2, 8), (1, usize::MAX, usize::MAX)] {
        let coupled = Coupled {
            inner,
            coupling: Coupling::Tuned(Tasks::Slices {
                tasks: 1,
                start,
                len,
            }),
        };
        let at = At {
            w: &[0.0f32; 7],
            h: &[0.0; 8],
            batch: &[],
        };
        let what = "weights of a task";
        let error = Error::Length { what, want, got: 7 };
        assert_eq!(coupled.loss(at, &mut [0.0; 100]), Err(error));
        assert!(coupled.scratch_len() > 0);
    }
    let huge = Coupled {
        inner,
        coupling: Coupling::Tuned(Tasks::Stacked(usize::MAX)),
    };
    let at = At {
        w: &[0.0f32; 7],
        h: &[],
        batch: &[],
    };
    assert!(matches!(
        huge.loss(at, &mut [0.0; 7]),
        Err(Error::Length { what: "h", .. })
    ));
    assert!(huge.scratch_len() > 0);
}

// --------------------------------------------------------------------------- curvature dropped

#[test]
fn products_are_the_inner_ones_where_curvature_is_not_negative_and_dropped_where_it_is() {
    let curvature = [2.0f32, 1.0, -3.0, 0.0];
    let inner = Quadratic::<Fused>::new(&curvature);
    let drop_negative_curvature = DropNegativeCurvature { inner };
    let w = Noise(74).f32s(4, 1.0);
    let h = [0.1, 0.2, 0.3, 0.4];
    for (d, kept) in [
        ([1.0, 1.0, 0.9, 5.0], true),   // 2 + 1 - 2.43
        ([1.0, 1.0, 1.1, 5.0], false),  // 2 + 1 - 3.63
        ([0.0, 0.0, 0.0, -2.0], true),  // 0
        ([0.0, 0.0, 1e-3, 0.0], false), // -3e-6
    ] {
        let (all, got) = (
            all_of(&inner, &w, &h, &d),
            all_of(&drop_negative_curvature, &w, &h, &d),
        );
        assert_eq!(got.loss.to_bits(), all.loss.to_bits());
        assert_eq!(bits(&got.g), bits(&all.g));
        assert_eq!(bits(&got.d_h), bits(&all.d_h));
        assert_eq!(bits(&got.m_d), bits(&all.m_d));
        let want = if kept { all.h_d } else { vec![0.0; 4] };
        assert_eq!(got.h_d, want, "{d:?}");

        // And they are added to what is there.
        let (mut h_d, mut m_d) = ([1.0, 2.0, 3.0, 4.0], [1.0; 4]);
        let at = At {
            w: &w,
            h: &h,
            batch: &[],
        };
        let out = Products {
            g: None,
            h_d: &mut h_d,
            m_d: &mut m_d,
        };
        let mut scratch = vec![f32::NAN; drop_negative_curvature.second_order_scratch_len()];
        drop_negative_curvature
            .second_order(at, &d, out, &mut scratch)
            .unwrap();
        for i in 0..4 {
            assert_eq!(h_d[i], (i + 1) as f32 + want[i]);
            assert_eq!(m_d[i], 1.0 + all.m_d[i]);
        }
    }
}

#[test]
fn a_convex_objective_keeps_the_identities_with_its_negative_curvature_dropped() {
    let data = Data::small();
    let coupled = Coupled {
        inner: logistic::<Fused>(&data),
        coupling: Coupling::Off(Tasks::Interleaved(3)),
    };
    keeps_the_identities("Psd", &DropNegativeCurvature { inner: coupled });
}

/// A valley along the unit circle round a hill, tilted by `h` along the first axis:
/// `(|w|^2 - 1)^2 / 4 - h w_0`.
struct Valley;

impl Objective for Valley {
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
        let (&[x, y], &[h]) = (at.w, at.h) else {
            panic!("{at:?}")
        };
        let above = x * x + y * y - S::ONE;
        g.copy_from_slice(&[above * x - h, above * y]);
        if let Some(d_h) = d_h {
            d_h.fill(-x);
        }
        Ok(S::from_f32(0.25) * above * above - h * x)
    }
}

/// Trains from the valley's far end to its low one, 200 steps; returns `dE/dh` and the norm of
/// `dE/dw_0`, where `E` is the distance to `(0, 1)`, halved and squared.
fn round_the_hill<O: Objective<Arithmetic = Fused>>(
    valley: &O,
    path: &mut dyn Path<Fused, f64>,
) -> [f64; 2] {
    let problem = InnerProblem {
        objective: valley,
        h: &[0.3],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(2),
            rates: &[0.2],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps: 200,
    };
    /// `|w - (0, 1)|^2 / 2`, with an `h` that it does not see.
    struct Target;
    impl Objective for Target {
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
            g.copy_from_slice(&[at.w[0], at.w[1] - S::ONE]);
            if let Some(d_h) = d_h {
                d_h.fill(S::ZERO);
            }
            Ok((g[0] * g[0] + g[1] * g[1]) * S::from_f32(0.5))
        }
    }
    let validation = Validation {
        objective: &Target,
        examples: &[0],
    };
    let answer = hypergradient(&problem, &validation, &START, path, false).unwrap();
    [answer.d_h[0], norm(&answer.d_w0)]
}

const START: &[f64] = &[-1.0, 0.05];

#[test]
fn the_line_over_a_hill_stays_bounded_without_negative_curvature_and_explodes_with_it() {
    let line = || Line::new(START, 200);
    let mut storage = vec![0.0; Tape::<f64>::required_len(2, 200, 0)];
    let mut tape = Tape::new(2, 200, 0, &mut storage).unwrap();
    let exact = round_the_hill(&Valley, &mut tape);
    let plain = round_the_hill(&Valley, &mut line());
    let drop_negative_curvature =
        round_the_hill(&DropNegativeCurvature { inner: Valley }, &mut line());
    // .42, and adjoints that died out; 2e8 of the wrong sign, 9e8; .50, .78.
    assert!(exact[0] > 0.0 && exact[1] < 0.1, "{exact:?}");
    assert!(plain[0] < -1e7 && plain[1] > 1e7, "{plain:?}");
    assert!(
        drop_negative_curvature[0] > 0.0 && drop_negative_curvature[0] < 2.0 * exact[0],
        "{drop_negative_curvature:?}"
    );
    assert!(
        drop_negative_curvature[1] < 1.5,
        "no more than at the start: {drop_negative_curvature:?}"
    );
}
