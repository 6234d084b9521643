//! Coupled tasks: hypergradients against differences of whole trainings, digits turned by right angles
//! pixel for pixel, and findings that no number of threads changes.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Data, Noise, assert_differences, assert_each_close, keeps_the_identities};
use drmad::Fused;
use drmad::group::{Groups, Layout};
use drmad::models::{Features, Mlp};
use drmad::objective::{At, Objective};
use drmad::path::Tape;
use drmad::wrap::{Coupled, Coupling, L2, Strength, Tasks};
use drmad_host::data::{Dataset, Split};
use drmad_host::report::findings::{Findings, Shown};
use drmad_host::study::coupled::{Training, Tuning, all, none, one, own};
use drmad_host::study::kept::Kept;
use drmad_host::study::multitask;
use drmad_host::study::rotations::{self, coupled, rotated};
use drmad_host::study::side_by_side::SideBySide;
use drmad_host::tolerances::*;

// ------------------------------------------------------------------------------ hypergradients

/// Holds the hypergradient of a training to differences of the fourth order.
fn agrees_with_differences<O: Objective, E: Objective<Arithmetic = O::Arithmetic>>(
    what: &str,
    objective: &O,
    validation: &E,
) {
    let training = Training {
        objective,
        examples: 6,
        validation,
        valid_examples: 6,
    };
    let tuning = Tuning {
        steps: 12,
        ..Tuning::default()
    };
    let mut noise = Noise(91);
    let w0 = noise.f64s(objective.weights(), 0.5);
    let h: Vec<f64> = noise.f64s(objective.hypers(), 0.05);
    let h: Vec<f64> = h.iter().map(|h| h.abs() + 0.02).collect();
    let found = |h: &[f64]| {
        let (p, steps) = (w0.len(), tuning.steps);
        let mut storage = vec![0.0; Tape::<f64>::required_len(p, steps, 0)];
        let mut tape = Tape::new(p, steps, 0, &mut storage).unwrap();
        training.hypergradient(&tuning, h, &w0, &mut tape).unwrap()
    };
    let by = |i: usize| {
        let loss = |by: f64| {
            let mut h = h.clone();
            h[i] += by;
            found(&h).valid_loss
        };
        let e = WHOLE_TRAINING_STEP;
        let (near, far) = (loss(e) - loss(-e), loss(2.0 * e) - loss(-2.0 * e));
        (8.0 * near - far) / (12.0 * e)
    };
    let want: Vec<f64> = (0..h.len()).map(by).collect();
    assert!(want.iter().all(|d| *d != 0.0), "{what}: {want:?}");
    let step = WHOLE_TRAINING_STEP;
    assert_differences(what, &found(&h).d_h, &want, step, WHOLE_TRAINING);
}

#[test]
fn the_hypergradient_by_couplings_of_columns_is_that_of_differences() {
    let [train, valid] = [3, 4].map(|seed| Data::learnable(seed, 6, 5, 3));
    let network = |data| Mlp::<_, Fused>::new(data, &[5, 3], 4).unwrap();
    let (train, valid) = (network(train.features()), network(valid.features()));
    let (tasks, groups) = (Tasks::Interleaved(3), Groups::global(18));
    let objective = Coupled {
        inner: L2::new(train, Strength::Tuned(groups)),
        coupling: Coupling::Tuned(tasks),
    };
    let validation = Coupled {
        inner: L2::new(valid, Strength::Off(groups)),
        coupling: Coupling::Off(tasks),
    };
    agrees_with_differences("columns", &objective, &validation);
}

const WIDTHS: [usize; 4] = [4, 3, 2, 3];

/// Networks of three tasks.
fn three(data: &[Data; 3]) -> SideBySide<Mlp<'_, Features<'_>, Fused>> {
    let networks = data
        .iter()
        .map(|data| Mlp::new(data.features(), &WIDTHS, 4).unwrap());
    SideBySide::new(networks.collect()).unwrap()
}

#[test]
fn the_hypergradient_by_couplings_of_layers_is_that_of_differences() {
    let [train, valid] = [5, 8].map(|seed| [0, 1, 2].map(|k| Data::learnable(seed + k, 6, 4, 3)));
    let objective = coupled(three(&train), &WIDTHS, 3, Strength::Tuned, Coupling::Tuned);
    let validation = coupled(three(&valid), &WIDTHS, 3, Strength::Off, Coupling::Off);
    assert_eq!(objective.hypers(), 1 + 3 * 6);
    agrees_with_differences("layers", &objective, &validation);
}

#[test]
fn tasks_side_by_side_keep_the_identities_alone_and_coupled() {
    let data = [11, 12, 13].map(|seed| Data::learnable(seed, 12, 4, 3));
    keeps_the_identities("side by side", &three(&data));
    let coupled = coupled(three(&data), &WIDTHS, 3, Strength::Tuned, Coupling::Tuned);
    keeps_the_identities("coupled by layer", &coupled);
}

#[test]
fn the_loss_of_coupled_layers_is_the_tasks_own_and_the_formula() {
    let data = [11, 12, 13].map(|seed| Data::learnable(seed, 12, 4, 3));
    let side = three(&data);
    let objective = coupled(side.clone(), &WIDTHS, 3, Strength::Tuned, Coupling::Tuned);
    let p = Layout::Layers(&WIDTHS).weights();
    let mut noise = Noise(92);
    let (w, h) = (noise.f64s(3 * p, 1.0), noise.f64s(19, 1.0));
    let batch = &[0, 3, 5];
    let loss =
        |at, objective: &dyn Fn(At<'_, f64>, &mut [f64]) -> f64| objective(at, &mut [0.0; 2000]);
    let at = |h| At { w: &w, h, batch };
    let got = loss(at(&h), &|at, scratch| objective.loss(at, scratch).unwrap());

    let mut want = h[0] * w.iter().map(|w| w * w).sum::<f64>();
    for (task, w) in side.tasks().iter().zip(w.chunks(p)) {
        let at = At { w, h: &[], batch };
        want += task
            .loss(at, &mut vec![0.0; task.loss_scratch_len()])
            .unwrap();
    }
    let mut a = h[1..].iter();
    let mut first = 0;
    for pair in WIDTHS.windows(2) {
        let layer = first..first + (pair[0] + 1) * pair[1];
        for j in 0..3 {
            for k in j..3 {
                let apart = |i: usize| w[j * p + i] - if j == k { 0.0 } else { w[k * p + i] };
                want += a.next().unwrap() * layer.clone().map(|i| apart(i) * apart(i)).sum::<f64>();
            }
        }
        first = layer.end;
    }
    assert_each_close("loss", &[got], &[want], SAME_FORMULA_F64);
}

#[test]
fn a_number_ties_all_pairs_or_stands_for_one_coupling() {
    let tasks = Tasks::Stacked(3);
    assert_eq!(none(tasks, 2), [None; 12]);
    let (x, y) = (None, Some(0));
    assert_eq!(one(tasks, 2), [x, y, y, x, y, x, x, y, y, x, y, x]);
    let n = Some;
    assert_eq!(
        own(tasks, 2),
        [n(0), x, x, n(1), x, n(2), n(3), x, x, n(4), x, n(5)]
    );
    assert_eq!(all(tasks, 2), (0..12).map(Some).collect::<Vec<_>>());
}

// ----------------------------------------------------------------------------------- rotations

#[test]
fn turning_by_right_angles_moves_pixels_and_changes_none() {
    let (rows, columns) = (28, 28);
    let mut noise = Noise(93);
    let image: Vec<u8> = (0..rows * columns).map(|_| noise.word() as u8).collect();
    let turned = |degrees| rotated(&image, rows, columns, degrees);
    let moved = |from: &dyn Fn(usize, usize) -> (usize, usize)| -> Vec<u8> {
        let each = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        each.map(|(row, column)| from(row, column))
            .map(|(row, column)| image[row * columns + column])
            .collect()
    };
    assert_eq!(turned(0.0), image);
    assert_eq!(turned(90.0), moved(&|row, column| (column, 27 - row)));
    assert_eq!(turned(180.0), moved(&|row, column| (27 - row, 27 - column)));
    assert_eq!(turned(270.0), moved(&|row, column| (27 - column, row)));
    assert_eq!(turned(-90.0), turned(270.0));
    assert_eq!(turned(720.0), image);
}

#[test]
fn a_turn_there_and_back_blurs_an_image_but_leaves_it_in_place() {
    // A broad blot off the middle, which is smooth enough to be interpolated.
    let blot = |row: usize, column: usize| {
        let [down, right] = [row as f64 - 10.0, column as f64 - 16.0];
        (200.0 * (-(down * down + right * right) / 32.0).exp()) as u8
    };
    let image: Vec<u8> = (0..28 * 28).map(|i| blot(i / 28, i % 28)).collect();
    let back = rotated(&rotated(&image, 28, 28, 30.0), 28, 28, -30.0);
    let apart = |other: &[u8]| image.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart(&back) <= Some(TURNED_TWICE), "{:?}", apart(&back));
    assert!(apart(&rotated(&image, 28, 28, 30.0)) > Some(5 * TURNED_TWICE));
}

// ------------------------------------------------------------------------------ the experiments

/// Six classes of noisy images of 5 x 5 pixels, each class with a bright spot of its own.
fn small() -> Dataset {
    let split = |seed, count: usize| {
        let (mut noise, labels) = (Noise(seed), (0..count).map(|i| (i % 6) as u8));
        let labels: Vec<u8> = labels.collect();
        let pixels = labels.iter().flat_map(|class| {
            let spot = 4 * usize::from(*class);
            let noise = &mut noise;
            let of = move |i| (noise.word() % 80) as u8 + if i == spot { 160 } else { 0 };
            (0..25).map(of).collect::<Vec<_>>()
        });
        Split::new(pixels.collect(), labels.clone(), 5, 5)
    };
    Dataset {
        train: split(94, 240),
        test: split(95, 60),
    }
}

/// Findings on so many threads, and how often they were told of.
fn on_threads(
    threads: usize,
    run: impl Fn(&(dyn Fn() + Sync)) -> Findings + Sync,
) -> (Findings, usize) {
    let (told, pool) = (AtomicUsize::new(0), rayon::ThreadPoolBuilder::new());
    let pool = pool.num_threads(threads).build().unwrap();
    let each = || {
        told.fetch_add(1, Ordering::Relaxed);
    };
    let findings = pool.install(|| run(&each));
    (findings, told.into_inner())
}

/// Every number but the seconds.
fn numbers(findings: &Findings) -> Vec<u64> {
    let metrics = findings.variants.iter().flat_map(|v| &v.metrics);
    let metrics = metrics.filter(|m| m.name != "seconds");
    let mut numbers: Vec<f64> = metrics.flat_map(|m| m.values.clone()).collect();
    for figure in &findings.figures {
        match figure {
            Shown::Matrix(matrix) => numbers.extend(&matrix.values),
            Shown::Curves(curves) => {
                numbers.extend(curves.series.iter().flat_map(|c| c.y.iter().flatten()));
            }
            _ => (),
        }
    }
    numbers.into_iter().map(f64::to_bits).collect()
}

/// The claims that hold for both experiments.
fn holds(
    ticks: usize,
    seeds: usize,
    run: impl Fn(&(dyn Fn() + Sync)) -> Findings + Sync,
) -> Findings {
    let (one, told) = on_threads(1, &run);
    let (two, told_again) = on_threads(2, &run);
    assert_eq!((told, told_again), (ticks, ticks));
    assert_eq!(numbers(&one), numbers(&two));
    assert!(
        numbers(&one)
            .into_iter()
            .all(|x| f64::from_bits(x).is_finite())
    );
    for metric in one.variants.iter().flat_map(|v| &v.metrics) {
        assert_eq!(metric.values.len(), seeds, "{}", metric.name);
    }
    // Tuning keeps the best of what it saw, which the start is part of.
    for figure in &one.figures {
        let Shown::Curves(curves) = figure else {
            continue;
        };
        for (curve, variant) in curves.series.iter().zip(&one.variants) {
            let found = variant.metrics.iter().find(|m| m.name == "validation loss");
            for (y, found) in curve.y.iter().zip(&found.unwrap().values) {
                assert!(*found < y[0], "{}: {y:?}", curve.name);
                assert_eq!(y.iter().copied().fold(f64::INFINITY, f64::min), *found);
            }
        }
    }
    drmad_host::report::experiments::render(std::slice::from_ref(&one)).unwrap();
    one
}

#[test]
fn two_threads_change_no_bit_of_the_coupled_columns() {
    let text = r#"{"train-per-class": 2, "valid-per-class": 8, "seeds": 2,
        "tuning": {"steps": 20, "meta-steps": 5}}"#;
    let settings: multitask::Settings = serde_json::from_str(text).unwrap();
    let data = small();
    let findings = holds(settings.ticks(), 2, |each| {
        multitask::run(&settings, &data, &Kept::default(), each).unwrap()
    });
    let matrix = findings.figures.iter().find_map(|figure| match figure {
        Shown::Matrix(matrix) => Some(matrix),
        _ => None,
    });
    let values = &matrix.unwrap().values;
    assert_eq!(values.len(), 36);
    for (j, k) in (0..6).flat_map(|j| (0..6).map(move |k| (j, k))) {
        assert_eq!(values[6 * j + k], values[6 * k + j]);
        assert!(values[6 * j + k] >= 0.0);
    }
}

#[test]
fn two_threads_change_no_bit_of_the_coupled_layers() {
    let text = r#"{"angles": [0, 90, 180], "hidden": [4, 3], "train-per-class": 2,
        "valid-per-class": 6, "test": 30, "seeds": 2, "tuning": {"steps": 20, "meta-steps": 5}}"#;
    let settings: rotations::Settings = serde_json::from_str(text).unwrap();
    let data = small();
    let findings = holds(settings.ticks(), 2, |each| {
        rotations::run(&settings, &data, &Kept::default(), each).unwrap()
    });
    let matrices = findings.figures.iter();
    let matrices = matrices.filter(|figure| matches!(figure, Shown::Matrix(_)));
    assert_eq!(matrices.count(), 3);
}

#[test]
fn columns_that_share_one_coupling_add_up_to_nothing_so_that_it_is_another_penalty() {
    let data = Data::learnable(3, 6, 5, 3);
    let network = Mlp::<_, Fused>::new(data.features(), &[5, 3], 4).unwrap();
    let tasks = Tasks::Interleaved(3);
    let objective = Coupled {
        inner: L2::new(network, Strength::Tuned(Groups::global(18))),
        coupling: Coupling::Tuned(tasks),
    };
    let training = Training {
        objective: &objective,
        examples: 6,
        validation: &objective,
        valid_examples: 6,
    };
    let tuning = Tuning::default();
    let trained = |couplings: [f64; 6]| {
        let h = [&[0.01], &couplings[..]].concat();
        let mut storage = vec![0.0; Tape::<f64>::required_len(18, tuning.steps, 0)];
        let mut tape = Tape::new(18, tuning.steps, 0, &mut storage).unwrap();
        let found = training.hypergradient(&tuning, &h, &[0.0; 18], &mut tape);
        let sum = |row: &[f64]| row.iter().sum::<f64>().abs();
        let w = found.unwrap().w;
        assert!(w.iter().any(|w| w.abs() > 0.1));
        w.chunks(3).map(sum).fold(0.0, f64::max)
    };
    assert!(trained([0.0, 0.2, 0.2, 0.0, 0.2, 0.0]) < TWO_EXACT_METHODS);
    // A penalty for each does not leave the sum alone.
    assert!(trained([0.2, 0.2, 0.2, 0.0, 0.2, 0.0]) > 0.01);
}

#[test]
fn settings_that_are_not_given_are_those_of_the_full_experiment() {
    let text = r#"{"seeds": 1, "tuning": {"meta-steps": 7}}"#;
    let given: rotations::Settings = serde_json::from_str(text).unwrap();
    let mut want = rotations::Settings {
        seeds: 1,
        ..rotations::Settings::default()
    };
    want.tuning.meta_steps = 7;
    let text = |settings| serde_json::to_string(settings).unwrap();
    assert_eq!(text(&given), text(&want));
    assert_eq!(given.ticks(), 5 * 8);
}

#[test]
fn settings_refuse_what_they_do_not_know_and_too_few_examples() {
    assert!(serde_json::from_str::<multitask::Settings>(r#"{"seed": 3}"#).is_err());
    assert!(serde_json::from_str::<rotations::Settings>(r#"{"tuning": {"step": 3}}"#).is_err());
    let text = r#"{"train-per-class": 100, "valid-per-class": 100}"#;
    let settings: multitask::Settings = serde_json::from_str(text).unwrap();
    let error = multitask::run(&settings, &small(), &Kept::default(), &|| ()).unwrap_err();
    assert!(
        error.to_string().contains("fewer than the 200 images"),
        "{error}"
    );
}

#[test]
fn a_variant_that_diverges_is_named_and_the_others_are_measured() {
    let text = r#"{"train-per-class": 2, "valid-per-class": 8, "seeds": 2,
        "tuning": {"steps": 20, "meta-steps": 2, "coupling": 1e30}}"#;
    let settings: multitask::Settings = serde_json::from_str(text).unwrap();
    let columns = multitask::run(&settings, &small(), &Kept::default(), &|| ()).unwrap();
    let text = r#"{"angles": [0, 90], "hidden": [4, 3], "train-per-class": 2, "seeds": 2,
        "valid-per-class": 6, "test": 30, "tuning": {"steps": 20, "meta-steps": 2, "coupling": 1e30}}"#;
    let settings: rotations::Settings = serde_json::from_str(text).unwrap();
    let layers = rotations::run(&settings, &small(), &Kept::default(), &|| ()).unwrap();
    for (findings, uncoupled) in [(columns, 1), (layers, 2)] {
        for (v, variant) in findings.variants.iter().enumerate() {
            let diverged = v >= uncoupled;
            let said = variant.failed.as_deref().unwrap_or_default();
            assert_eq!(
                said.contains("not finite"),
                diverged,
                "{}: {said}",
                variant.name
            );
            let measured = if diverged { 0 } else { 2 };
            assert_eq!(
                variant.metrics[0].values.len(),
                measured,
                "{}",
                variant.name
            );
        }
        let page = drmad_host::report::experiments::render(&[findings]).unwrap();
        assert!(page.contains("not finite at step"));
    }
}
