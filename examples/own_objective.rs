//! An objective of one's own: `cargo run --release --example own_objective`.
//!
//! A sensor's reading decays towards a rest value, and some readings are wild. The curve
//! `w_0 + w_1 exp(-x)` is fitted with pseudo-Huber's loss, whose width `exp(h_0)` says what counts as
//! wild, and a penalty `exp(h_1) |w|^2`. The loss alone is written, once for all scalars: dual numbers make the
//! gradient of it, and dual numbers of them the second-order products. `drmad::check` measures whether they are
//! right, and then both hyperparameters are tuned on readings that were kept aside.

use drmad::check::{self, Probes};
use drmad::group::{Granularity, Groups};
use drmad::method::{Method, Sweep};
use drmad::objective::{At, ByLoss, Loss};
use drmad::outer::{Adam, Outer, Parametrisation::Log};
use drmad::random::{InitialWeights, Normal};
use drmad::training::{Model, On, Own, Session, Training, Tuned, What};
use drmad::{Error, Plain, Scalar};

const READINGS: usize = 60;
const TRAINED: usize = 40;
const TRUTH: [f32; 2] = [0.5, 2.0];
const STEPS: usize = 200;

/// The mean of `s^2 (sqrt(1 + (r / s)^2) - 1)` over a batch, with `r = w_0 + w_1 exp(-x) - y`, and
/// `c |w|^2`; the hyperparameters are `s` and `c`.
#[derive(Clone, Copy)]
struct Robust<'a> {
    x: &'a [f32],
    y: &'a [f32],
}

impl Robust<'_> {
    /// The residual of a reading.
    fn residual<S: Scalar>(&self, w: &[S], i: u32) -> S {
        let curve = S::from_f32(-self.x[i as usize]).exp::<Plain>();
        w[0] + w[1] * curve - S::from_f32(self.y[i as usize])
    }
}

impl Loss for Robust<'_> {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        2
    }

    fn hypers(&self) -> usize {
        2
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>) -> Result<S, Error> {
        let [s, penalty] = [at.h[0], at.h[1]];
        let mut loss = S::ZERO;
        for i in at.batch {
            let r = self.residual(at.w, *i) / s;
            loss += s * s * ((S::ONE + r * r).sqrt() - S::ONE);
        }
        let squares = at.w[0] * at.w[0] + at.w[1] * at.w[1];
        Ok(loss / S::from_usize(at.batch.len()) + penalty * squares)
    }
}

/// Half the mean of `r^2`, whatever `h`: what the fit is judged by.
struct Squares<'a>(Robust<'a>);

impl Loss for Squares<'_> {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        2
    }

    fn hypers(&self) -> usize {
        2
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>) -> Result<S, Error> {
        let squares = at.batch.iter().map(|i| {
            let r = self.0.residual(at.w, *i);
            r * r
        });
        let sum = squares.fold(S::ZERO, |sum, square| sum + square);
        Ok(sum / S::from_usize(2 * at.batch.len()))
    }
}

/// Readings of the curve, with noise, every fifth of the trained ones wild.
fn readings() -> (Vec<f32>, Vec<f32>) {
    let groups = Groups::global(READINGS);
    let mut noise = vec![0.0; READINGS];
    let normal = Normal {
        seed: 5,
        groups,
        log_scales: &[-3.0f32],
    };
    normal.fill(0, &mut noise);
    let x: Vec<f32> = (0..READINGS)
        .map(|i| 3.0 * (i % 20) as f32 / 20.0)
        .collect();
    let wild = |i: usize| {
        if i < TRAINED && i.is_multiple_of(5) {
            4.0
        } else {
            0.0
        }
    };
    let y = x.iter().zip(&noise).enumerate();
    let y = y.map(|(i, (x, noise))| TRUTH[0] + TRUTH[1] * (-x).exp() + noise + wild(i));
    let y = y.collect();
    (x, y)
}

/// The training, in which both hyperparameters are moved by their logarithms.
const TRAINING: Training = Training {
    tuned: &[Tuned {
        parametrisation: Some(Log),
        ..Tuned::new(What::Objective, Granularity::Global)
    }],
    valid_examples: READINGS - TRAINED,
    rate: 0.5,
    momentum: 0.5,
    batch: TRAINED,
    seed: 1,
    ..Training::new(Model::Own(Own::by_loss(2, 2)), TRAINED, STEPS)
};

fn main() -> Result<(), Error> {
    let (x, y) = readings();
    let objective = ByLoss(Robust { x: &x, y: &y });

    println!("is the gradient right?");
    let at = At {
        w: &[0.3, 1.1],
        h: &[0.67, 0.05],
        batch: &[0, 3, 5, 11],
    };
    let probes = Probes {
        d: &[0.7, -0.4],
        e: &[-0.2, 0.9],
        q: &[0.5, -0.8],
        step: 1e-5,
    };
    let mut scratch = vec![0.0; check::required_len(&objective)];
    let mut worst: f64 = 0.0;
    check::objective(&objective, at, probes, &mut scratch, &mut |deviation| {
        println!(
            "  {:<32} off by {:.1e}",
            deviation.identity,
            deviation.error()
        );
        worst = worst.max(deviation.error());
    })?;
    assert!(worst < 1e-7, "the gradient is wrong by {worst:e}");

    println!(
        "\n{:>5} {:>9} {:>9} {:>10} {:>8} {:>8}",
        "", "width", "penalty", "E", "w_0", "w_1"
    );
    let aside = Robust {
        x: &x[TRAINED..],
        y: &y[TRAINED..],
    };
    let on = On {
        training: &objective,
        validation: &ByLoss(Squares(aside)),
        initial: Some(&[0.0, 0.0]),
    };
    let mut memory = [0.0; TRAINING.need::<f32>(Method::TAPE).len()];
    let (mut m, mut v, mut h) = ([0.0; 2], [0.0; 2], [2.0f32, -2.0]);
    let mut adam = Adam::new(0.15, &mut m, &mut v)?;
    let mut losses = vec![];
    for step in 0..=120 {
        let mut session = Session::new(TRAINING, Sweep::TAPE, on, &h, &mut memory)?;
        let w = session.train(&mut |_, _| ())?.to_vec();
        let outcome = session.advance(usize::MAX, &mut |_, _| ())?;
        let (loss, mut d_h) = (outcome.map_or(f32::NAN, |found| found.valid_loss), [0.0; 2]);
        session.hypergradient(&mut d_h)?;
        if step % 20 == 0 {
            let [width, penalty] = h.map(f32::exp);
            println!(
                "{step:>5} {width:>9.4} {penalty:>9.5} {loss:>10.6} {:>8.4} {:>8.4}",
                w[0], w[1]
            );
        }
        losses.push(loss);
        if step == 120 {
            println!("\nthe truth was {} and {}", TRUTH[0], TRUTH[1]);
            assert!((w[0] - TRUTH[0]).abs() < 0.1 && (w[1] - TRUTH[1]).abs() < 0.15);
        }
        adam.step(&mut h, &d_h)?;
    }
    assert!(
        losses[120] < 0.05 * losses[0],
        "{} is not much less than {}",
        losses[120],
        losses[0]
    );
    Ok(())
}
