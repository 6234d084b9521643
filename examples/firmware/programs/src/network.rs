//! A network on the images in flash whose penalties tune themselves.
//!
//! A penalty for each unit, that is for the weights that leave one pixel or one hidden unit, goes against the sign of the
//! hypergradient of the validation loss, which comes back along hats. Adam would take two more numbers for each of them.

use drmad::group::Granularity;
use drmad::layers::Layer;
use drmad::memory::{Buffer, Need};
use drmad::method::Method;
use drmad::models::Examples;
use drmad::network::{Loss, Network};
use drmad::outer::Sign;
use drmad::training::{Model, On, Session, Training, Tuned, What};
use drmad::tuner::Tuner;
use drmad::{Error, Plain};

use crate::images::{CLASSES, PIXELS, in_flash};
use crate::{DOWN, Judged, Report, fnv1a64};

/// The backward pass.
pub const METHOD: Method = Method::HATS;

/// A training of these layers, with a penalty for each unit.
pub const fn training(
    layers: &'static [Layer],
    examples: usize,
    steps: usize,
) -> Training<'static> {
    const UNITS: &[Tuned] = &[Tuned::new(What::Penalty, Granularity::Unit)];
    let network = Network {
        inputs: PIXELS,
        layers,
        loss: Loss::CrossEntropy,
    };
    let model = Model::Network {
        network,
        sparse: true,
    };
    Training {
        tuned: UNITS,
        rate: 0.3,
        seed: 1,
        ..Training::new(model, examples, steps)
    }
}

/// All the memory of a program, but for its stack: hyperparameters, tuner and training.
pub const fn need(training: &Training<'_>) -> Need<f32> {
    let hypers = training.hypers().len();
    Need::numbers(hypers)
        .and(Tuner::need(hypers))
        .and(training.need(METHOD))
}

/// Tunes from penalties of the logarithm `start`, for some rounds.
///
/// # Errors
/// What the crate refuses.
pub fn tune(
    training: &Training<'static>,
    start: f32,
    rounds: usize,
    memory: &mut [f32],
) -> Result<Report, Error> {
    let hypers = training.hypers().len();
    let mut memory = Buffer::new("memory of the program", memory);
    let h = memory.numbers(hypers)?;
    let tuning = memory.numbers(Tuner::<f32>::need(hypers).len())?;
    let room = memory.numbers(training.need::<f32>(METHOD).len())?;

    let [train, valid, unseen] = in_flash(training.examples, training.valid_examples)?;
    let [loss, validation] = training.losses_of::<Plain, _>(train, valid)?;
    let on = On {
        training: &loss,
        validation: &validation,
        initial: None,
    };
    let [_, to_test] = training.losses_of::<Plain, _>(train, unseen)?;
    // The share of unseen images that the network takes for another digit, trained with these penalties.
    let test_error = |h: &[f32], room: &mut [f32]| -> Result<f32, Error> {
        let mut session = Session::new(*training, METHOD.sweep(), on, h, room)?;
        session.train(&mut |_, _| ())?;
        let (w, scratch) = session.weights_and_scratch();
        let mut wrong = 0;
        for i in 0..unseen.len() as u32 {
            let mut classes = [0.0; CLASSES];
            to_test.inner.predict(w, &[i], &mut classes, scratch)?;
            let ranked = classes.iter().enumerate();
            let best = ranked.max_by(|a, b| a.1.total_cmp(b.1));
            let right = best.is_some_and(|(class, _)| unseen.label(i) == Ok(class));
            wrong += usize::from(!right);
        }
        Ok(wrong as f32 / unseen.len() as f32)
    };

    h.fill(start);
    let mut sign = Sign { rate: DOWN };
    let mut tuner = Tuner::new(h, &mut sign, tuning)?;
    let mut report = Report::default();
    report.before.test_error = test_error(tuner.h(), room)?;
    for _ in 0..rounds {
        let outcome = tuner.round(training, METHOD, on, room)?;
        report.round(outcome.valid_loss)?;
        report.hash = fnv1a64(tuner.hypergradient());
    }
    let best = tuner.best().ok_or(Error::NoSteps)?;
    report.after = Judged {
        valid_loss: best.loss,
        test_error: test_error(best.h, room)?,
    };
    report.before.valid_loss = report.losses.first().copied().unwrap_or(f32::NAN);
    Ok(report)
}
