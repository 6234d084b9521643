//! Hyperparameters in the examples: every wrapper and its compositions against finite differences,
//! dual numbers, nested loops, a network against a softmax regression, and whole trainings.

use crate::common::plain::{self, Set};
use crate::common::{
    BATCH, Data, Noise, WIDTHS, all_batches, all_of, assert_differences, assert_each_above,
    assert_each_close, assert_sums_close, bits, hypergradient, keeps_the_identities, magnitudes,
    wide,
};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::{
    Adjoint, Beside, Examples, Features, LearnedInputs, Logistic, Mlp, Smoothed, SoftLabels,
    Weighted,
};
use drmad::objective::{At, Objective, Products};
use drmad::path::Tape;
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Arithmetic, Error, Fused, Plain};

const CLASSES: usize = 3;
const DEPTHS: [&[usize]; 4] = [&[6, 3], &[6, 5, 3], WIDTHS, &[6, 5, 1, 7, 3]];

// ------------------------------------------------------------------ every kind, said twice

/// How a wrapper changes a [`Set`], spelled out.
#[derive(Clone, Copy)]
enum Change {
    Weights,
    Targets,
    Smoothing,
    SmoothingByLabel,
    Inputs,
    Nothing(usize),
}

/// The examples of `data` after `changes`, each of which takes its block off the front of `h`.
fn by_hand(data: &Data, changes: &[Change], h: &[f64]) -> Set {
    let mut h = h.iter().copied();
    let mut set = Set::new(data.width, CLASSES, &data.x, &data.labels);
    for change in changes {
        match change {
            Change::Weights => set.weights.iter_mut().for_each(|l| *l *= h.next().unwrap()),
            Change::Targets => {
                let numbers = set.targets.iter_mut().flatten();
                numbers.for_each(|q| *q = h.next().unwrap());
            }
            Change::Inputs => {
                let numbers = set.x.iter_mut().flatten();
                numbers.for_each(|x| *x = h.next().unwrap());
            }
            Change::Smoothing | Change::SmoothingByLabel => {
                let each = matches!(change, Change::SmoothingByLabel);
                let t: Vec<f64> = h.by_ref().take(if each { CLASSES } else { 1 }).collect();
                for (q, label) in set.targets.iter_mut().zip(&data.labels) {
                    let t = if each { t[usize::from(*label)] } else { t[0] };
                    for q in q {
                        *q = (1.0 - t) * *q + t / CLASSES as f64;
                    }
                }
            }
            Change::Nothing(n) => assert_eq!(h.by_ref().take(*n).count(), *n),
        }
    }
    assert!(h.next().is_none(), "h is longer than all blocks");
    set
}

/// What is done with each kind of examples.
trait Each {
    fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, changes: &[Change]);
}

fn weighted<D>(inner: D) -> Weighted<D> {
    Weighted { inner }
}

fn soft<D>(inner: D) -> SoftLabels<D> {
    let classes = CLASSES;
    SoftLabels { inner, classes }
}

fn smoothed<D>(inner: D, by_label: bool) -> Smoothed<D> {
    Smoothed {
        inner,
        classes: CLASSES,
        by_label,
    }
}

fn learned<D>(inner: D) -> LearnedInputs<D> {
    LearnedInputs { inner }
}

fn beside<D>(inner: D, hypers: usize) -> Beside<D> {
    Beside { inner, hypers }
}

fn every_kind(data: &Data, each: &mut impl Each) {
    use Change::*;
    let d = data.features();
    each.see("weighted", weighted(d), &[Weights]);
    each.see("soft labels", soft(d), &[Targets]);
    each.see("smoothed", smoothed(d, false), &[Smoothing]);
    each.see("smoothed by label", smoothed(d, true), &[SmoothingByLabel]);
    each.see("learned inputs", learned(d), &[Inputs]);
    each.see("beside", beside(d, 5), &[Nothing(5)]);
    each.see("twice weighted", weighted(weighted(d)), &[Weights, Weights]);
    each.see("weighted (soft)", weighted(soft(d)), &[Targets, Weights]);
    each.see("soft (weighted)", soft(weighted(d)), &[Weights, Targets]);
    each.see(
        "smoothed (smoothed by label (soft))",
        smoothed(smoothed(soft(d), true), false),
        &[Targets, SmoothingByLabel, Smoothing],
    );
    // What an outer wrapper replaces, the inner one has no derivative by.
    each.see(
        "soft (smoothed), learned twice",
        learned(learned(soft(smoothed(d, false)))),
        &[Smoothing, Targets, Inputs, Inputs],
    );
    each.see(
        "weighted (beside (learned (smoothed by label (soft))))",
        weighted(beside(learned(smoothed(soft(d), true)), 4)),
        &[Targets, SmoothingByLabel, Inputs, Nothing(4), Weights],
    );
}

fn net<D: Examples, A: Arithmetic>(
    examples: D,
    widths: &[usize],
    microbatch: usize,
) -> Mlp<'_, D, A> {
    Mlp::new(examples, widths, microbatch).unwrap()
}

fn logistic<D: Examples>(examples: D) -> Logistic<D, Fused> {
    Logistic::new(examples, CLASSES).unwrap()
}

// ------------------------------------------------------------------------------ derivatives

#[test]
fn hyperparameters_in_examples_keep_the_identities() {
    struct Identities;
    impl Each for Identities {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, _: &[Change]) {
            keeps_the_identities(&format!("logistic, {what}"), &logistic(examples));
            for widths in DEPTHS {
                for microbatch in [1, 3, 100] {
                    let what = format!("{widths:?} by {microbatch}, {what}");
                    keeps_the_identities(&what, &net::<_, Plain>(examples, widths, microbatch));
                    keeps_the_identities(&what, &net::<_, Fused>(examples, widths, microbatch));
                }
            }
        }
    }
    every_kind(&Data::small(), &mut Identities);
}

#[test]
fn scales_and_penalties_around_them_keep_the_identities() {
    let data = Data::small();
    let groups = Groups {
        layout: Layout::Layers(WIDTHS),
        by: Granularity::Unit,
        biases: false,
    };
    let examples = weighted(learned(smoothed(soft(data.features()), false)));
    let inner = Scaled {
        inner: net::<_, Fused>(examples, WIDTHS, 3),
        groups,
    };
    let objective = L2::new(inner, Strength::Tuned(groups));
    keeps_the_identities("l2 (scaled (mlp))", &objective);
}

/// A point and a direction for examples of `hypers` hyperparameters and a network of `p` weights.
fn point(p: usize, hypers: usize) -> [Vec<f64>; 3] {
    let mut noise = Noise(300);
    [p, hypers, p].map(|n| noise.f64s(n, 1.0))
}

#[test]
fn networks_of_such_examples_agree_with_nested_loops() {
    struct Loops(Data);
    impl Each for Loops {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, changes: &[Change]) {
            for widths in DEPTHS {
                let p = Layout::Layers(widths).weights();
                let [w, h, d] = point(p, examples.hypers());
                let at =
                    |h: &[f64]| by_hand(&self.0, changes, h).loss_and_gradient(widths, &w, BATCH);
                let by_h = |f: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
                    let along = |i: usize, s: f64| {
                        let mut moved = h.clone();
                        moved[i] += s;
                        f(&moved)
                    };
                    (0..h.len())
                        .map(|i| plain::derivative(WHOLE_TRAINING_STEP, |s| along(i, s)))
                        .collect()
                };
                let dot = |g: &[f64]| -> f64 { g.iter().zip(&d).map(|(g, d)| g * d).sum() };
                let (loss, g) = at(&h);
                let (d_h, m_d) = (by_h(&|h| at(h).0), by_h(&|h| dot(&at(h).1)));
                let net = net::<_, Plain>(examples, widths, 3);
                let got = all_of(&net, &w, &h, BATCH, &d);
                // Weights and targets of both signs: so are the examples' shares.
                let sizes = magnitudes(&net, &w, &h, BATCH, &d).g;
                assert_each_close(what, &[got.loss], &[loss], SAME_FORMULA_F64);
                assert_sums_close(what, &got.g, &g, &sizes, SAME_FORMULA_F64);
                if matches!(changes, [Change::Nothing(_)]) {
                    assert!(got.d_h.iter().chain(&got.m_d).all(|x| *x == 0.0));
                } else {
                    let step = WHOLE_TRAINING_STEP;
                    assert_differences(what, &got.d_h, &d_h, step, WHOLE_TRAINING);
                    assert_differences(what, &got.m_d, &m_d, step, WHOLE_TRAINING);
                }
            }
        }
    }
    let data = Data::small();
    every_kind(&data, &mut Loops(Data::small()));
}

/// Two vectors over all hyperparameters of such examples, each kind by itself.
fn each_kind(examples: impl Examples, got: &[f64], want: &[f64], floor: f64, tolerance: f64) {
    let mut first = 0;
    examples.visit_blocks(&mut |name, len| {
        let (got, want) = (&got[first..][..len], &want[first..][..len]);
        first += len;
        if want.iter().all(|x| *x == 0.0) {
            assert_eq!(got, want, "{name}");
        } else {
            assert_each_above(name, got, want, floor, tolerance);
        }
    });
    assert_eq!(first, want.len());
}

#[test]
fn a_network_without_hidden_layer_is_a_softmax_regression_of_such_examples_too() {
    struct Both;
    impl Each for Both {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, _: &[Change]) {
            let [w, h, d] = point(21, examples.hypers());
            let mlp = all_of(&net::<_, Fused>(examples, &[6, 3], 3), &w, &h, BATCH, &d);
            let logistic = all_of(&logistic(examples), &w, &h, BATCH, &d);
            let tolerance = SAME_FORMULA_F64;
            assert_each_close(what, &[mlp.loss], &[logistic.loss], tolerance);
            assert_each_close(what, &mlp.g, &logistic.g, tolerance);
            assert_each_close(what, &mlp.h_d, &logistic.h_d, tolerance);
            each_kind(examples, &mlp.d_h, &logistic.d_h, FLOOR, tolerance);
            each_kind(examples, &mlp.m_d, &logistic.m_d, FLOOR, tolerance);
        }
    }
    every_kind(&Data::small(), &mut Both);
}

#[test]
fn f32_agrees_with_f64() {
    struct Narrow;
    impl Each for Narrow {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, _: &[Change]) {
            let mlp = net::<_, Fused>(examples, WIDTHS, 3);
            let point = point(74, examples.hypers());
            let [w, h, d] = point.map(|x| x.iter().map(|x| *x as f32).collect::<Vec<f32>>());
            let got = all_of(&mlp, &w, &h, BATCH, &d);
            let (w, h, d) = (wide(&w), wide(&h), wide(&d));
            let want = all_of(&mlp, &w, &h, BATCH, &d);
            let sizes = magnitudes(&mlp, &w, &h, BATCH, &d);
            let tolerance = SAME_FORMULA_F32;
            assert_each_close(what, &[got.loss], &[want.loss], tolerance);
            assert_sums_close(what, &got.g, &want.g, &sizes.g, tolerance);
            assert_sums_close(what, &got.h_d, &want.h_d, &sizes.h_d, tolerance);
            each_kind(examples, &wide(&got.d_h), &want.d_h, FLOOR_F32, tolerance);
            each_kind(examples, &wide(&got.m_d), &want.m_d, FLOOR_F32, tolerance);
        }
    }
    every_kind(&Data::small(), &mut Narrow);
}

// ------------------------------------------------------------------------------------- bits

/// Bits of the loss, the gradient and `H d`.
fn bits_by_weights<D: Examples>(examples: D, h: &[f32]) -> Vec<u32> {
    let (w, d) = (Noise(301).f32s(74, 1.0), Noise(302).f32s(74, 1.0));
    let all = all_of(&net::<_, Fused>(examples, WIDTHS, 3), &w, h, BATCH, &d);
    bits(&[&[all.loss][..], &all.g, &all.h_d].concat())
}

#[test]
fn hyperparameters_that_say_what_plain_examples_say_change_no_bit() {
    let data = Data::small();
    let d = data.features();
    let bare = bits_by_weights(d, &[]);
    let one_hot: Vec<f32> = Set::new(6, CLASSES, &data.x, &data.labels)
        .targets
        .concat()
        .iter()
        .map(|q| *q as f32)
        .collect();
    assert_eq!(bits_by_weights(weighted(d), &[1.0; 12]), bare);
    assert_eq!(bits_by_weights(soft(d), &one_hot), bare);
    assert_eq!(bits_by_weights(smoothed(d, false), &[0.0]), bare);
    assert_eq!(bits_by_weights(smoothed(d, true), &[0.0; 3]), bare);
    assert_eq!(bits_by_weights(learned(d), &data.x), bare);
    assert_eq!(bits_by_weights(beside(d, 3), &[7.0; 3]), bare);
}

#[test]
fn the_size_of_a_chunk_changes_no_bit_of_derivatives_by_examples() {
    struct Chunks;
    impl Each for Chunks {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, _: &[Change]) {
            let mut noise = Noise(303);
            let [w, h, d] = [74, examples.hypers(), 74].map(|n| noise.f32s(n, 1.0));
            let by = |microbatch| {
                let all = all_of(
                    &net::<_, Fused>(examples, WIDTHS, microbatch),
                    &w,
                    &h,
                    BATCH,
                    &d,
                );
                bits(&[all.d_h, all.m_d].concat())
            };
            for microbatch in [1, 2, 3, 5] {
                assert_eq!(by(microbatch), by(100), "{what} by {microbatch}");
            }
        }
    }
    every_kind(&Data::small(), &mut Chunks);
}

#[test]
fn only_examples_of_the_batch_have_derivatives() {
    let data = Data::small();
    let [w, h, d] = point(74, 12);
    let all = all_of(
        &net::<_, Fused>(weighted(data.features()), WIDTHS, 3),
        &w,
        &h,
        BATCH,
        &d,
    );
    for i in 0..12 {
        let there = BATCH.contains(&(i as u32));
        assert_eq!(
            (all.d_h[i] != 0.0, all.m_d[i] != 0.0),
            (there, there),
            "{i}"
        );
    }
}

#[test]
fn blocks_of_examples_come_before_those_of_the_weights_and_are_named() {
    let data = Data::small();
    let groups = Groups::global(74);
    let examples = weighted(beside(learned(smoothed(soft(data.features()), true)), 4));
    let objective = Scaled {
        inner: net::<_, Fused>(examples, WIDTHS, 1),
        groups,
    };
    let mut blocks = Vec::new();
    objective.visit_blocks(&mut |name, len| blocks.push((name, len)));
    let want = [
        ("target", 36),
        ("smoothing", 3),
        ("inputs", 72),
        ("ignored", 4),
        ("weight", 12),
        ("scale", 1),
    ];
    assert_eq!(blocks, want);
    assert_eq!(objective.hypers(), 128);
}

// -------------------------------------------------------------------------- whole trainings

const STEPS: usize = 12;
const BATCHES: Batches = Batches {
    seed: 5,
    examples: 8,
    size: 5,
};
const VALID: &[u32] = &[8, 9, 10, 11];
const RATE: f64 = 0.5;
const MOMENTUM: f64 = 0.6;

#[test]
fn every_hypergradient_by_examples_is_the_difference_of_whole_trainings_in_nested_loops() {
    struct Trainings(Data);
    impl Each for Trainings {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, changes: &[Change]) {
            let batches = all_batches(&BATCHES, STEPS);
            let [w0, h, _] = point(74, examples.hypers());
            let judge = Set::new(6, CLASSES, &self.0.x, &self.0.labels);
            let valid_loss = |h: &[f64]| {
                let set = by_hand(&self.0, changes, h);
                let (mut w, mut v) = (w0.clone(), vec![0.0; 74]);
                for batch in &batches {
                    let (_, g) = set.loss_and_gradient(WIDTHS, &w, batch);
                    for ((w, v), g) in w.iter_mut().zip(&mut v).zip(g) {
                        *v = MOMENTUM * *v - (1.0 - MOMENTUM) * g;
                        *w += RATE * *v;
                    }
                }
                judge.loss_and_gradient(WIDTHS, &w, VALID).0
            };
            let want: Vec<f64> = (0..h.len())
                .map(|i| {
                    plain::derivative(WHOLE_TRAINING_STEP, |s| {
                        let mut moved = h.clone();
                        moved[i] += s;
                        valid_loss(&moved)
                    })
                })
                .collect();

            let training = net::<_, Fused>(examples, WIDTHS, 3);
            let judged = net::<_, Fused>(beside(self.0.features(), h.len()), WIDTHS, 3);
            let problem = InnerProblem {
                objective: &training,
                h: &h,
                schedule: Schedule {
                    optimizer: Optimizer::HeavyBall,
                    groups: Groups::global(74),
                    rates: &[RATE],
                    momenta: &[MOMENTUM],
                },
                batches: BATCHES,
                steps: STEPS,
            };
            let validation = Validation {
                objective: &judged,
                examples: VALID,
            };
            let mut storage = vec![f64::NAN; Tape::<f64>::required_len(74, STEPS, 0)];
            let mut tape = Tape::new(74, STEPS, 0, &mut storage).unwrap();
            let got = hypergradient(&problem, &validation, &&w0[..], &mut tape, false).unwrap();
            let valid = [valid_loss(&h)];
            assert_each_close(what, &[got.valid_loss], &valid, TWO_EXACT_METHODS);
            if matches!(changes, [Change::Nothing(_)]) {
                assert!(got.d_h.iter().all(|x| *x == 0.0));
            } else {
                let step = WHOLE_TRAINING_STEP;
                assert_differences(what, &got.d_h, &want, step, WHOLE_TRAINING);
            }
        }
    }
    every_kind(&Data::small(), &mut Trainings(Data::small()));
}

// --------------------------------------------------------------------------------- refusals

/// The error, and that its message names all of `words`.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, want: Error, words: &[&str]) {
    let error = result.expect_err("this should have been refused");
    assert_eq!(error, want);
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
}

#[track_caller]
fn wrong_length<T: std::fmt::Debug>(
    result: Result<T, Error>,
    what: &'static str,
    want: usize,
    got: usize,
) {
    let words = [what, &want.to_string(), &got.to_string()];
    refused(result, Error::Length { what, want, got }, &words);
}

/// Lengths of `h`, `d_h` or `m_d`, and what there is too little of scratch.
struct Lengths {
    h: usize,
    by_h: usize,
    less: usize,
}

fn gradient<O: Objective>(objective: &O, lengths: Lengths) -> Result<f32, Error> {
    let p = objective.weights();
    let at = At {
        w: &vec![0.1; p],
        h: &vec![0.1; lengths.h],
        batch: BATCH,
    };
    let mut scratch = vec![0.0; objective.scratch_len() - lengths.less];
    let mut d_h = vec![0.0; lengths.by_h];
    objective.gradient(at, &mut vec![0.0; p], Some(&mut d_h), &mut scratch)
}

fn products<O: Objective>(objective: &O, lengths: Lengths) -> Result<(), Error> {
    let p = objective.weights();
    let at = At {
        w: &vec![0.1f32; p],
        h: &vec![0.1; lengths.h],
        batch: BATCH,
    };
    let out = Products {
        g: None,
        h_d: &mut vec![0.0; p],
        m_d: &mut vec![0.0; lengths.by_h],
    };
    let mut scratch = vec![0.0; objective.second_order_scratch_len() - lengths.less];
    objective.second_order(at, &vec![1.0; p], out, &mut scratch)
}

#[test]
fn lengths_other_than_those_of_the_hyperparameters_are_refused() {
    fn other<O: Objective>(objective: &O) {
        let n = objective.hypers();
        let lengths = |h, by_h| Lengths { h, by_h, less: 0 };
        gradient(objective, lengths(n, n)).unwrap();
        products(objective, lengths(n, n)).unwrap();
        for wrong in [0, n - 1, n + 1] {
            wrong_length(gradient(objective, lengths(wrong, n)), "h", n, wrong);
            wrong_length(gradient(objective, lengths(n, wrong)), "d_h", n, wrong);
            wrong_length(products(objective, lengths(wrong, n)), "h", n, wrong);
            wrong_length(products(objective, lengths(n, wrong)), "m_d", n, wrong);
        }
    }
    struct Other;
    impl Each for Other {
        fn see<D: Examples + Copy>(&mut self, _: &str, examples: D, _: &[Change]) {
            other(&net::<_, Fused>(examples, WIDTHS, 4));
            other(&logistic(examples));
        }
    }
    every_kind(&Data::small(), &mut Other);
}

#[test]
fn scratch_one_number_short_is_refused_by_models_of_such_examples() {
    fn short<O: Objective>(objective: &O) {
        let n = objective.hypers();
        let lengths = |less| Lengths {
            h: n,
            by_h: n,
            less,
        };
        gradient(objective, lengths(0)).unwrap();
        products(objective, lengths(0)).unwrap();
        for result in [
            gradient(objective, lengths(1)).map(|_| ()),
            products(objective, lengths(1)),
        ] {
            let Err(Error::Length { what, want, got }) = result else {
                panic!("{result:?}");
            };
            assert_eq!((what, want > got), ("scratch", true));
        }
    }
    struct Short;
    impl Each for Short {
        fn see<D: Examples + Copy>(&mut self, _: &str, examples: D, _: &[Change]) {
            short(&net::<_, Fused>(examples, WIDTHS, 4));
            short(&net::<_, Fused>(examples, &[6, 3], 4));
            short(&logistic(examples));
        }
    }
    every_kind(&Data::small(), &mut Short);
}

#[test]
fn examples_and_classes_that_do_not_exist_are_refused() {
    struct Beyond;
    impl Each for Beyond {
        fn see<D: Examples + Copy>(&mut self, what: &str, examples: D, _: &[Change]) {
            let mlp = net::<_, Fused>(examples, WIDTHS, 4);
            let (w, h) = (vec![0.1f32; 74], vec![0.1; examples.hypers()]);
            let mut scratch = vec![0.0; mlp.scratch_len()];
            for i in [12, u32::MAX] {
                let at = At {
                    w: &w,
                    h: &h,
                    batch: &[0, i],
                };
                let want = Error::Index {
                    what: "example",
                    index: i as usize,
                    len: 12,
                };
                refused(mlp.loss(at, &mut scratch), want, &[&format!("example {i}")]);
                // Each part by itself; where the plain one is meant, the label tells.
                let given = examples.gives();
                if given.weights {
                    refused(examples.weight::<Fused, _>(&h, i), want, &[]);
                }
                for by in [
                    given.inputs.then_some(Adjoint::Inputs(&[0.0; 6][..])),
                    given.weights.then_some(Adjoint::Weight(0.0)),
                ] {
                    let Some(by) = by else { continue };
                    let mut d_h = vec![0.0; h.len()];
                    let pulled = examples.pull::<Fused, f32>(&h, i, by, &mut d_h);
                    assert!(matches!(pulled, Err(Error::Index { .. })), "{what}");
                }
                if given.targets.is_some() {
                    let target = examples.target::<Fused, _>(&h, i, 0);
                    assert!(matches!(target, Err(Error::Index { .. })), "{what}");
                }
            }
        }
    }
    let data = Data::small();
    every_kind(&data, &mut Beyond);

    let index = |what, index, len| Error::Index { what, index, len };
    let soft = soft(data.features());
    let h = [0.5f32; 36];
    let want = index("class", 3, 3);
    refused(soft.target::<Fused, _>(&h, 0, 3), want, &["class 3"]);
    let by = Adjoint::Target(3, 1.0);
    let pulled = soft.pull::<Fused, _>(&h, 0, by, &mut [0.0; 36]);
    refused(pulled, want, &["class 3"]);

    // Soft labels or not, a label is one of the classes.
    let mut labels = data.labels.clone();
    labels[3] = 3;
    let wrong = Features {
        labels: &labels,
        ..data.features()
    };
    let lengths = |n| Lengths {
        h: n,
        by_h: n,
        less: 0,
    };
    let mlp = net::<_, Fused>(self::soft(wrong), WIDTHS, 4);
    refused(gradient(&mlp, lengths(36)), want, &["class 3"]);
    let by_label = smoothed(wrong, true);
    let target = by_label.target::<Fused, _>(&[0.1f32; 3], 3, 0);
    refused(target, want, &["class 3"]);
}

#[test]
fn models_of_other_classes_than_their_targets_are_refused() {
    let data = Data::small();
    let what = "classes of the targets";
    let soft = SoftLabels {
        inner: data.features(),
        classes: 4,
    };
    let mlp = Mlp::<_, Fused>::new(soft, WIDTHS, 4).map(|_| ());
    wrong_length(mlp, what, 4, 3);
    let logistic = Logistic::<_, Fused>::new(weighted(soft), 3).map(|_| ());
    wrong_length(logistic, what, 4, 3);
}

#[test]
fn buffers_of_another_length_are_refused_by_the_examples_themselves() {
    let data = Data::small();
    let learned = learned(data.features());
    let h = vec![0.5f32; 72];
    let inputs = |h: &[f32], x: &mut [f32]| learned.inputs_at::<Fused, _>(h, &[3], x);
    inputs(&h, &mut [0.0; 6]).unwrap();
    wrong_length(inputs(&h, &mut [0.0; 5]), "x", 6, 5);
    wrong_length(inputs(&h[1..], &mut [0.0; 6]), "h", 72, 71);
    let pull =
        |d_x: &[f32], d_h: &mut [f32]| learned.pull::<Fused, _>(&h, 3, Adjoint::Inputs(d_x), d_h);
    pull(&[0.0; 6], &mut [0.0; 72]).unwrap();
    wrong_length(
        pull(&[0.0; 5], &mut [0.0; 72]),
        "adjoint of the inputs",
        6,
        5,
    );
    wrong_length(pull(&[0.0; 6], &mut [0.0; 71]), "d_h", 72, 71);
    let weighted = weighted(data.features());
    wrong_length(weighted.weight::<Fused, _>(&h, 3), "h", 12, 72);
}

#[test]
fn predictions_need_no_hyperparameters_but_of_inputs() {
    let data = Data::small();
    let (w, mut scratch) = (Noise(304).f32s(74, 1.0), vec![0.0; 1000]);
    let (mut bare, mut same) = ([0.0; 21], [0.0; 21]);
    let plain = net::<_, Fused>(data.features(), WIDTHS, 7);
    plain.predict(&w, BATCH, &mut bare, &mut scratch).unwrap();
    let softened = net::<_, Fused>(weighted(soft(data.features())), WIDTHS, 7);
    softened
        .predict(&w, BATCH, &mut same, &mut scratch)
        .unwrap();
    assert_eq!(bits(&same), bits(&bare));
    let learned = net::<_, Fused>(learned(data.features()), WIDTHS, 7);
    let predicted = learned.predict(&w, BATCH, &mut same, &mut scratch);
    wrong_length(predicted, "h", 72, 0);
}
