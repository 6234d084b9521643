//! Ten lines to a hypergradient: `cargo run --release --example ten_lines`.
//!
//! Two weights roll down a bowl whose minimum is `h`, twenty steps of the heavy ball. How does the loss at
//! the end depend on `h`, and on the rate and the momentum of the way there? The answers are compared
//! with trainings at hyperparameters a little to the left and to the right.

use drmad::group::Granularity::Global;
use drmad::training::{Model, On, Own, Training, Tuned, What};
use drmad::{Error, Fused, Scalar, method::Method, objective};

/// `1/2 (w_0 - h_0)^2 + 5 (w_1 - h_1)^2`: the loss alone, from which dual numbers make all else.
struct Bowl;

impl objective::Loss for Bowl {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        2
    }

    fn hypers(&self) -> usize {
        2
    }

    fn loss<S: Scalar>(&self, at: objective::At<'_, S>) -> Result<S, Error> {
        let (a, b) = (at.w[0] - at.h[0], at.w[1] - at.h[1]);
        Ok(S::from_f32(0.5) * (a * a) + S::from_f32(5.0) * (b * b))
    }
}

/// What is trained, and what of it is tuned, in the order of `h`.
const TRAINING: Training = Training {
    tuned: &[
        Tuned::new(What::Objective, Global),
        Tuned::new(What::Rate, Global),
        Tuned::new(What::Momentum, Global),
    ],
    // A bowl has no examples to be validated on.
    valid_examples: 0,
    ..Training::new(Model::Own(Own::by_loss(2, 2)), 1, 20)
};
const H: usize = TRAINING.hypers().len();

/// The loss at the end, and its derivatives.
fn answer(h: [f64; H]) -> Result<(f64, [f64; H]), Error> {
    let bowl = objective::ByLoss(Bowl);
    let on = On {
        training: &bowl,
        validation: &bowl,
        initial: Some(&[1.0, 1.0]),
    };
    let (mut memory, mut d_h) = ([0.0; TRAINING.need::<f64>(Method::TAPE).len()], [0.0; H]);
    let outcome = TRAINING.hypergradient(Method::TAPE, on, &h, &mut d_h, &mut memory)?;
    Ok((outcome.valid_loss, d_h))
}

fn main() -> Result<(), Error> {
    // The logarithm of a rate of .1, and the logit of a momentum of .5.
    let h = [0.0, 0.5, -core::f64::consts::LN_10, 0.0];
    let (loss, d_h) = answer(h)?;
    println!("the loss at the end: {loss:.6}\n");
    println!("{:<18} {:>14} {:>14}", "by", "hypergradient", "differences");
    let e = 1e-6;
    for (j, d) in d_h.into_iter().enumerate() {
        let at = |shift: f64| {
            let mut h = h;
            h[j] += shift;
            answer(h).map(|answer| answer.0)
        };
        let difference = (at(e)? - at(-e)?) / (2.0 * e);
        let name = TRAINING.hypers().name(j).expect("one of them").to_string();
        println!("{name:<18} {d:>14.9} {difference:>14.9}");
        assert!(
            (d - difference).abs() < 1e-8,
            "{name}: {d} is not {difference}"
        );
    }
    Ok(())
}
