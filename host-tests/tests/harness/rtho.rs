//! Hyperparameters tuned by forward mode on digits: its first hypergradient against the sweep's, what
//! blocks begin with, and the same bits on any number of threads.

use crate::common::{Answer, assert_each_close, hypergradient};
use drmad::Fused;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::Mlp;
use drmad::objective::Objective;
use drmad::path::Tape;
use drmad::random::{Batches, Normal, choose};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use drmad_host::data::Dataset;
use drmad_host::inputs::{Images, Inputs};
use drmad_host::report::findings::{Findings, Shown};
use drmad_host::study::kept::Kept;
use drmad_host::study::rtho::run;
use drmad_host::study::rtho::schemes::{Scheme, Settings, train};
use drmad_host::tolerances::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const SETTINGS: &str = r#"{
    "layers": [784, 8, 10], "train": 60, "valid": 40, "test": 30, "batch": 20,
    "rate": 0.5, "momentum": 0.5, "penalty": 0.01, "log-scale": -2.0,
    "full-runs": [2, 6], "real-time": [3, 6], "warm-restarts": [3, 6], "seeds": 2
}"#;

fn settings() -> Settings {
    serde_json::from_str(SETTINGS).unwrap()
}

#[test]
fn the_first_hypergradient_is_that_of_the_sweep_over_the_tape() {
    let (settings, data, seed) = (settings(), Dataset::mnist().unwrap(), 1);
    let widths = &settings.layers[..];
    let mut chosen = vec![0; 100];
    choose(seed, &mut vec![0; data.train.len()], &mut chosen).unwrap();
    let (trained, outer) = chosen.split_at(60);
    // Dense images are the same numbers by other sums.
    let images = Images::new(Inputs::Dense, &data.train, data.mean_pixel()).unwrap();
    let of = |set| Mlp::<_, Fused>::new(images.choose(set), widths, 20).unwrap();
    let p = of(trained).weights();
    let everywhere = Groups::global(p);
    let objective = L2::new(of(trained), Strength::Tuned(everywhere));
    let validation = L2::new(of(outer), Strength::Off(everywhere));
    let problem = InnerProblem {
        objective: &objective,
        h: &[0.01f32],
        schedule: Schedule {
            groups: everywhere,
            optimizer: Optimizer::HeavyBall,
            rates: &[0.5],
            momenta: &[0.5],
        },
        batches: Batches {
            seed,
            examples: 60,
            size: 20,
        },
        steps: 6,
    };
    let initial = Normal {
        seed,
        groups: Groups {
            layout: Layout::Layers(widths),
            by: Granularity::Layer,
            biases: true,
        },
        log_scales: &[-2.0f32; 2],
    };
    let examples: Vec<u32> = (0..40).collect();
    let validation = Validation {
        objective: &validation,
        examples: &examples,
    };
    let mut storage = vec![0.0; Tape::<f32>::required_len(p, 6, 1)];
    let mut tape = Tape::new(p, 6, 1, &mut storage).unwrap();
    let swept = hypergradient(&problem, &validation, &initial, &mut tape, true).unwrap();
    let Answer {
        valid_loss,
        d_h,
        d_rates,
        d_momenta,
        ..
    } = swept;
    let want = [valid_loss, d_h[0], d_rates[0], d_momenta[0]].map(f64::from);
    assert!(want.iter().all(|x| *x != 0.0));
    for scheme in [Scheme::FullRuns, Scheme::RealTime, Scheme::WarmRestarts] {
        let first = &train(&settings, &data, scheme, seed, &|| ())
            .unwrap()
            .blocks[0];
        let got = [first.loss]
            .into_iter()
            .chain(first.hypergradient.iter().map(|d| f64::from(*d)));
        for (got, want) in got.zip(&want) {
            assert_each_close(scheme.name(), &[got], &[*want], F32_SWEEP);
        }
    }
}

#[test]
fn schemes_differ_in_what_a_block_begins_with() {
    let (settings, data) = (settings(), Dataset::mnist().unwrap());
    // With the hyperparameters held, a full run is the same again, and real time is the fixed training.
    let held = Settings {
        full_rate: 0.0,
        outer_rate: 0.0,
        ..settings
    };
    let losses = |scheme| -> Vec<f64> {
        let trained = train(&held, &data, scheme, 0, &|| ()).unwrap();
        trained.blocks.iter().map(|block| block.loss).collect()
    };
    let [full, real, warm, fixed] = Scheme::ALL.map(losses);
    assert_eq!(full[0], full[1]);
    assert_eq!(real, fixed);
    // A restart without velocity is another training from the second block on.
    assert_eq!(warm[0], real[0]);
    assert_ne!(warm[1], real[1]);
}

/// All that was found but the seconds.
fn timeless(mut findings: Findings) -> String {
    findings.seconds = 0.0;
    for variant in &mut findings.variants {
        variant.metrics.retain(|metric| metric.name != "seconds");
    }
    findings.figures.retain(|figure| match figure {
        Shown::Curves(curves) => curves.x_label != "seconds",
        _ => true,
    });
    serde_json::to_string(&findings).unwrap()
}

#[test]
fn one_thread_and_two_find_the_same_bits() {
    let (settings, data) = (settings(), Dataset::mnist().unwrap());
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let (pool, ticks) = (pool.build().unwrap(), AtomicUsize::new(0));
        let each = || {
            ticks.fetch_add(1, Ordering::Relaxed);
        };
        let findings = pool
            .install(|| run(&settings, &data, &Kept::default(), &each))
            .unwrap();
        assert_eq!(ticks.into_inner(), settings.ticks());
        assert!(
            findings
                .variants
                .iter()
                .all(|variant| variant.failed.is_none())
        );
        timeless(findings)
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn what_cannot_be_drawn_or_tuned_is_refused() {
    let data = Dataset::mnist().unwrap();
    let refused = |settings: Settings| {
        run(&settings, &data, &Kept::default(), &|| ())
            .unwrap_err()
            .to_string()
    };
    let base = settings();
    for (settings, word) in [
        (
            Settings {
                train: 60_000,
                ..base.clone()
            },
            "training images",
        ),
        (
            Settings {
                layers: vec![5, 10],
                ..base.clone()
            },
            "pixels",
        ),
        (
            Settings {
                layers: vec![],
                ..base.clone()
            },
            "network",
        ),
        (
            Settings {
                momentum: 1.0,
                ..base.clone()
            },
            "momentum",
        ),
        (
            Settings {
                penalty: 0.0,
                ..base.clone()
            },
            "penalty",
        ),
        (
            Settings {
                full_runs: [1, 0],
                ..base.clone()
            },
            "at least one",
        ),
    ] {
        let error = refused(settings);
        assert!(error.contains(word), "{error}");
    }
}
