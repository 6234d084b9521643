//! Wrong labels found by their weights: `cargo run --release --example cleaning`.
//!
//! A third of 300 labels are wrong, and nobody knows which; 60 others have been looked at. Every one of
//! the 300 gets a weight between 0 and 1, and the hypergradient of the loss on the 60 says which weights
//! ought to fall (data hyper-cleaning, Franceschi et al. 2017). No label is ever compared with the truth
//! but to count how many were found.

use drmad::group::{Granularity, Groups};
use drmad::layers::Layer::Dense;
use drmad::method::{Method, Sweep};
use drmad::models::Features;
use drmad::network::{Loss, Network};
use drmad::outer::{Adam, Projected, Projection};
use drmad::random::{InitialWeights, Normal};
use drmad::training::{On, Session, Training, Tuned, What};
use drmad::tuner::Tuner;
use drmad::{Error, Plain};

const TRAINED: usize = 300;
const CLEAN: usize = 60;
const TESTED: usize = 600;
const WIDTH: usize = 4;
const CLASSES: usize = 3;

/// Softmax regression, on all examples in each step, with a weight for each.
const TRAINING: Training = Training {
    valid_examples: CLEAN,
    tuned: &[Tuned::new(What::ExampleWeight, Granularity::Global)],
    rate: 1.0,
    momentum: 0.8,
    batch: TRAINED,
    ..Training::of(
        Network {
            inputs: WIDTH,
            layers: &[Dense(CLASSES)],
            loss: Loss::CrossEntropy,
        },
        TRAINED,
        60,
    )
};
const P: usize = TRAINING.layout().weights();

/// Points about three corners, and their classes.
fn clouds(seed: u64, count: usize) -> (Vec<f32>, Vec<u8>) {
    let mut x = vec![0.0; count * WIDTH];
    let normal = Normal {
        seed,
        groups: Groups::global(x.len()),
        log_scales: &[-0.7f32],
    };
    normal.fill(0, &mut x);
    let labels: Vec<u8> = (0..count).map(|i| (i % CLASSES) as u8).collect();
    for (x, label) in x.chunks_mut(WIDTH).zip(&labels) {
        x[usize::from(*label)] += 1.5;
    }
    (x, labels)
}

fn features<'a>((x, labels): &'a (Vec<f32>, Vec<u8>)) -> Features<'a> {
    Features {
        x,
        labels,
        width: WIDTH,
    }
}

/// The share of test examples that the network takes for another class, trained with these weights.
fn test_error(
    on: On<'_, Plain, f32>,
    test: Features<'_>,
    weights: &[f32],
    memory: &mut [f32],
) -> Result<f32, Error> {
    let tested = Training {
        valid_examples: TESTED,
        ..TRAINING
    };
    let loss = tested.validation_loss::<Plain>(&test)?;
    let mut session = Session::new(TRAINING, Sweep::TAPE, on, weights, memory)?;
    session.train(&mut |_, _| ())?;
    let (w, scratch) = session.weights_and_scratch();
    let mut wrong = 0;
    for (i, label) in test.labels.iter().enumerate() {
        let mut classes = [0.0; CLASSES];
        loss.predict(w, &[i as u32], &mut classes, scratch)?;
        let best = (0..CLASSES).max_by(|a, b| classes[*a].total_cmp(&classes[*b]));
        wrong += usize::from(best != Some(usize::from(*label)));
    }
    Ok(wrong as f32 / TESTED as f32)
}

fn main() -> Result<(), Error> {
    let mut train = clouds(1, TRAINED);
    let (clean, test) = (clouds(2, CLEAN), clouds(3, TESTED));
    // Every third label, of each class in turn, becomes the next one.
    let is_wrong = |i: usize| (i / CLASSES).is_multiple_of(3);
    for (i, label) in train.1.iter_mut().enumerate().filter(|(i, _)| is_wrong(*i)) {
        *label = ((i + 1) % CLASSES) as u8;
    }
    let (train, clean, test) = (features(&train), features(&clean), features(&test));
    let losses = TRAINING.losses::<Plain>(&train, &clean)?;
    let on = On {
        initial: Some(&[0.0; P]),
        ..losses.on()
    };

    let mut weights = [1.0f32; TRAINED];
    let (mut m, mut v) = ([0.0; TRAINED], [0.0; TRAINED]);
    let unit = Projection::Box {
        low: 0.0,
        high: 1.0,
    };
    let mut outer = Projected {
        inner: Adam::new(0.05, &mut m, &mut v)?,
        onto: &[(0..TRAINED, unit)],
    };
    let mut room = vec![0.0; Tuner::<f32>::need(TRAINED).len()];
    let mut memory = vec![0.0; TRAINING.need::<f32>(Method::TAPE).len()];
    let mut tuner = Tuner::new(&mut weights, &mut outer, &mut room)?;

    // How many wrong labels have a low weight, and how many right ones.
    let found = |weights: &[f32]| {
        let low = |wrong: bool| {
            let of_a_kind = (0..TRAINED).filter(move |i| is_wrong(*i) == wrong);
            of_a_kind.filter(|i| weights[*i] < 0.5).count()
        };
        (low(true), low(false))
    };
    println!(
        "{:>5} {:>9} {:>11} {:>8} {:>8}",
        "", "E", "test error", "found", "falsely"
    );
    let before = test_error(on, test, tuner.h(), &mut memory)?;
    for round in 0..=40 {
        let (right, falsely) = found(tuner.h());
        let error = test_error(on, test, tuner.h(), &mut memory)?;
        let outcome = tuner.round(&TRAINING, Method::TAPE, on, &mut memory)?;
        if round % 8 == 0 {
            println!(
                "{round:>5} {:>9.5} {:>9.1} % {right:>8} {falsely:>8}",
                outcome.valid_loss,
                100.0 * error
            );
        }
    }
    let best = tuner.best().ok_or(Error::NoSteps)?;
    let after = test_error(on, test, best.h, &mut memory)?;
    let wrong = (0..TRAINED).filter(|i| is_wrong(*i)).count();
    let (found, falsely) = found(best.h);
    println!("\n{found} of {wrong} wrong labels found, {falsely} right ones with them");
    println!(
        "test error: {:.1} % before, {:.1} % after",
        100.0 * before,
        100.0 * after
    );
    assert!(
        found * 10 >= wrong * 8,
        "fewer than eight in ten were found"
    );
    assert!(
        falsely * 10 <= found * 2,
        "more than two in ten were found falsely"
    );
    assert!(after <= before);
    Ok(())
}
