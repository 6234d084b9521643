//! A training of a million steps and the backward pass through all of them, in memory that does not know
//! how many there were: `cargo run --release --example million`.
//!
//! A small network learns four overlapping clouds of points, with a penalty for each unit. Eight hats
//! stand for the path, so what is kept of ten thousand steps and of a million is as long. On a path that
//! is not the true one a direction of negative curvature could grow with every step, and a million of
//! them is beyond any number: products of negative curvature are dropped. At ten thousand
//! steps the tape is affordable, and the two hypergradients are compared.

use std::time::Instant;

use drmad::group::{Granularity, Groups};
use drmad::kernels::reduce::cosine;
use drmad::layers::Layer::{Dense, Tanh};
use drmad::method::{Method, Sweep};
use drmad::models::Features;
use drmad::network::{Loss, Network};
use drmad::random::{InitialWeights, Normal};
use drmad::training::{Losses, Session, Training, Tuned, What};
use drmad::{Error, Fused};

const INPUTS: usize = 16;
const TRAINED: usize = 200;
const EXAMPLES: usize = 400;
const SHORT: usize = 10_000;
const LONG: usize = 1_000_000;

/// The training: `steps` of it.
const fn training(steps: usize) -> Training<'static> {
    const TUNED: &[Tuned] = &[Tuned::new(What::Penalty, Granularity::Unit)];
    const NETWORK: Network<'static> = Network {
        inputs: INPUTS,
        layers: &[Dense(8), Tanh, Dense(4)],
        loss: Loss::CrossEntropy,
    };
    Training {
        tuned: TUNED,
        rate: 0.05,
        log_scale: -1.5,
        batch: 4,
        seed: 1,
        ..Training::of(NETWORK, TRAINED, steps)
    }
}

const H: usize = training(SHORT).hypers().len();

/// Points about four corners, their classes in turn.
fn clouds() -> (Vec<f32>, Vec<u8>) {
    let normal = Normal {
        seed: 3,
        groups: Groups::global(EXAMPLES * INPUTS),
        log_scales: &[0.0f32],
    };
    let mut x = vec![0.0; EXAMPLES * INPUTS];
    normal.fill(0, &mut x);
    let labels: Vec<u8> = (0..EXAMPLES).map(|i| (i % 4) as u8).collect();
    for (x, label) in x.chunks_mut(INPUTS).zip(&labels) {
        x[usize::from(*label)] += 1.5;
    }
    (x, labels)
}

/// What one training and its backward pass came to.
struct Outcome {
    hypergradient: [f32; H],
    floats: usize,
    /// The training loss of the first and the last step.
    losses: [f32; 2],
}

/// The most memory this process ever held, in kB, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Trains, comes back, and says what it took.
fn there_and_back(
    training: Training<'_>,
    sweep: Sweep,
    losses: &Losses<'_, Fused>,
) -> Result<Outcome, Error> {
    let sweep = Sweep {
        drops_negative_curvature: true,
        ..sweep
    };
    let mut memory = vec![0.0; training.need::<f32>(Method::Sweep(sweep)).len()];
    let mut session = Session::new(training, sweep, losses.on(), &[-5.0; H], &mut memory)?;
    let (mut first, mut last) = (f32::NAN, f32::NAN);
    let clock = Instant::now();
    session.train(&mut |t, loss| {
        if t == 0 {
            first = loss;
        }
        last = loss;
    })?;
    let forward = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    session.advance(usize::MAX, &mut |_, _| ())?;
    let backward = clock.elapsed().as_secs_f64();
    let mut hypergradient = [0.0; H];
    session.hypergradient(&mut hypergradient)?;
    let (name, steps, floats) = (sweep.recall.name(), training.steps, session.floats());
    println!("{name:>5} {steps:>9} {floats:>9} {forward:>9.2} {backward:>9.2}");
    Ok(Outcome {
        hypergradient,
        floats,
        losses: [first, last],
    })
}

fn main() -> Result<(), Error> {
    let (x, labels) = clouds();
    let (x, valid_x) = x.split_at(TRAINED * INPUTS);
    let (labels, valid_labels) = labels.split_at(TRAINED);
    let [train, valid] = [(x, labels), (valid_x, valid_labels)].map(|(x, labels)| Features {
        x,
        labels,
        width: INPUTS,
    });
    let losses = training(SHORT).losses::<Fused>(&train, &valid)?;

    println!(
        "{:>5} {:>9} {:>9} {:>9} {:>9}",
        "path", "steps", "floats", "forward s", "back s"
    );
    let short = there_and_back(training(SHORT), Sweep::HATS, &losses)?;
    let before = peak();
    let long = there_and_back(training(LONG), Sweep::HATS, &losses)?;
    let after = peak();
    let exact = there_and_back(training(SHORT), Sweep::TAPE, &losses)?;

    let angle = cosine(&short.hypergradient, &exact.hypergradient);
    println!("cosine of hats to tape after {SHORT} steps: {angle:.5}");
    let [first, last] = long.losses;
    println!("training loss of the million: {first:.3} at first, {last:.3} at last");
    match before.zip(after) {
        Some((before, after)) => {
            println!("peak memory: {before} kB after {SHORT} steps, {after} kB after {LONG}");
            // A tape of the million would take 688,000 kB; this much the system's own pages may move.
            assert!(after - before < 512);
        }
        None => println!("peak memory: this system does not tell"),
    }
    assert_eq!(short.floats, long.floats);
    assert!(long.hypergradient.iter().all(|d| d.is_finite()));
    assert!(long.hypergradient.iter().any(|d| *d != 0.0));
    assert!(angle > 0.99 && last < first);
    Ok(())
}
