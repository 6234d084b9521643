//! The rate and the momentum of every single step, tuned: `cargo run --release --example schedule`.
//!
//! Twenty steps have to come down a bowl that is fifty times steeper one way than the other. One rate for
//! all of them is too fast for the steep way or too slow for the flat one. The sweep gives the derivative
//! of the last loss by all forty numbers at the price of two dot products a step, and Adam moves their
//! logarithms and logits.

use drmad::group::Granularity::Global;
use drmad::method::Method;
use drmad::objective::{At, ByLoss, Loss};
use drmad::outer::Adam;
use drmad::outer::Parametrisation::{Log, Logit};
use drmad::training::{Model, On, Own, Training, Tuned, What};
use drmad::tuner::Tuner;
use drmad::{Error, Plain, Scalar};

const CURVATURES: &[f32] = &[1.0, 3.0, 10.0, 50.0];
const P: usize = CURVATURES.len();
const STEPS: usize = 20;

/// The logarithms of the rates, then the logits of the momenta.
const TUNED: &[Tuned] = &[
    Tuned {
        each_step: true,
        ..Tuned::new(What::Rate, Global)
    },
    Tuned {
        each_step: true,
        ..Tuned::new(What::Momentum, Global)
    },
];
const TRAINING: Training = Training {
    tuned: TUNED,
    valid_examples: 0,
    ..Training::new(Model::Own(Own::by_loss(P, 0)), 1, STEPS)
};
const H: usize = TRAINING.hypers().len();

/// `1/2 sum_k a_k w_k^2`.
struct Bowl;

impl Loss for Bowl {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        P
    }

    fn hypers(&self) -> usize {
        0
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>) -> Result<S, Error> {
        let terms = CURVATURES.iter().zip(at.w);
        Ok(terms.fold(S::ZERO, |sum, (a, w)| sum + S::from_f32(0.5 * a) * *w * *w))
    }
}

/// The last loss of a training, and its derivative.
fn train(h: &[f32], d_h: &mut [f32]) -> Result<f32, Error> {
    let bowl = ByLoss(Bowl);
    let on = On {
        training: &bowl,
        validation: &bowl,
        initial: Some(&[1.0; P]),
    };
    let mut memory = [0.0; TRAINING.need::<f32>(Method::TAPE).len()];
    let outcome = TRAINING.hypergradient(Method::TAPE, on, h, d_h, &mut memory)?;
    Ok(outcome.valid_loss)
}

/// The best of some constant rates and momenta: its last loss, they themselves, and their `h`.
fn best_constant() -> Result<(f32, f32, f32, [f32; H]), Error> {
    let mut best = (f32::INFINITY, 0.0, 0.0, [0.0; H]);
    for rate in (1..60).map(|i| 0.005 * i as f32) {
        for momentum in (1..19).map(|i| 0.05 * i as f32) {
            let mut h = [rate; H];
            h[STEPS..].fill(momentum);
            Log.invert::<Plain, _>(&mut h[..STEPS])?;
            Logit.invert::<Plain, _>(&mut h[STEPS..])?;
            if let Ok(loss) = train(&h, &mut [0.0; H])
                && loss < best.0
            {
                best = (loss, rate, momentum, h);
            }
        }
    }
    Ok(best)
}

fn main() -> Result<(), Error> {
    let (constant, rate, momentum, mut h) = best_constant()?;
    println!(
        "the best constants: rate {rate:.3}, momentum {momentum:.2}, last loss {constant:.2e}"
    );

    let (mut m, mut v, mut room) = ([0.0; H], [0.0; H], [0.0; 3 * H]);
    let mut adam = Adam::new(0.02, &mut m, &mut v)?;
    let mut tuner = Tuner::new(&mut h, &mut adam, &mut room)?;
    for round in 0..=400 {
        // The loss falls by powers of ten: it is its logarithm that goes down.
        let log = tuner.round_by(&mut |h, d_h| {
            let loss = train(h, d_h)?;
            for d in d_h {
                *d /= loss;
            }
            Ok(loss.ln())
        })?;
        if round % 100 == 0 {
            println!("{round:>6} steps of Adam: {:.2e}", log.exp());
        }
    }
    let best = tuner.best().ok_or(Error::NoSteps)?;
    let (tuned, mut values) = (best.loss.exp(), [0.0; H]);
    values.copy_from_slice(best.h);
    TRAINING.hypers().values::<Plain, _>(&mut values)?;
    println!("\n{:>4} {:>8} {:>9}", "step", "rate", "momentum");
    let (rates, momenta) = values.split_at(STEPS);
    for (t, (rate, momentum)) in rates.iter().zip(momenta).enumerate() {
        let bar = "#".repeat((200.0 * rate) as usize);
        println!("{t:>4} {rate:>8.4} {momentum:>9.4}  {bar}");
    }
    println!("\nlast loss: {constant:.2e} with the best constants, {tuned:.2e} with a schedule");
    assert!(tuned < 0.1 * constant);
    Ok(())
}
