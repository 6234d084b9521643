//! An objective of one's own: `cargo run --release --example own_objective`.
//!
//! A sensor's reading decays towards a rest value, and some readings are wild. The curve
//! `w_0 + w_1 exp(-x)` is fitted with pseudo-Huber's loss, whose width `exp(h_0)` says what counts as
//! wild, and a penalty `exp(h_1) |w|^2`. One function, the gradient, is written, once for all scalars:
//! dual numbers make the second-order products of it. `drmad::check` measures whether it is right, and
//! then both hyperparameters are tuned on readings that were kept aside.

use drmad::check::{self, Probes};
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::objective::{At, Objective};
use drmad::outer::{Adam, Outer};
use drmad::path::Tape;
use drmad::random::{Batches, Normal, Origin};
use drmad::train::{Rule, Run, Schedule};
use drmad::{Error, Plain, Scalar};

const READINGS: usize = 60;
const TRAINED: usize = 40;
const TRUTH: [f32; 2] = [0.5, 2.0];
const STEPS: usize = 200;

/// The mean of `s^2 (sqrt(1 + (r / s)^2) - 1)` over a batch, with `r = w_0 + w_1 exp(-x) - y` and
/// `s = exp(h_0)`, and `exp(h_1) |w|^2`.
struct Robust<'a> {
    x: &'a [f32],
    y: &'a [f32],
}

impl Objective for Robust<'_> {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        2
    }

    fn hypers(&self) -> usize {
        2
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let ([w0, w1], [h0, h1], [g0, g1]) = (at.w, at.h, &mut *g) else {
            let (what, want, got) = ("weights of the curve", 2, at.w.len());
            return Err(Error::Length { what, want, got });
        };
        let s = h0.exp::<Plain>();
        let share = S::ONE / S::from_usize(at.batch.len());
        let (mut loss, mut by_s) = (S::ZERO, S::ZERO);
        (*g0, *g1) = (S::ZERO, S::ZERO);
        for i in at.batch {
            let (index, len) = (*i as usize, self.x.len());
            let (Some(x), Some(y)) = (self.x.get(index), self.y.get(index)) else {
                return Err(Error::Index {
                    what: "reading",
                    index,
                    len,
                });
            };
            let curve = S::from_f32(-*x).exp::<Plain>();
            let r = *w0 + *w1 * curve - S::from_f32(*y);
            let root = (S::ONE + (r / s) * (r / s)).sqrt();
            loss += share * s * s * (root - S::ONE);
            by_s += share * (s + s) * (root - S::ONE) - share * r * r / (root * s);
            let slope = share * r / root;
            *g0 += slope;
            *g1 += slope * curve;
        }
        let penalty = h1.exp::<Plain>();
        let squares = *w0 * *w0 + *w1 * *w1;
        *g0 += (penalty + penalty) * *w0;
        *g1 += (penalty + penalty) * *w1;
        if let Some([d0, d1]) = d_h {
            (*d0, *d1) = (by_s * s, penalty * squares);
        }
        Ok(loss + penalty * squares)
    }
}

/// Half the mean of `r^2`, whatever `h`: what the fit is judged by.
struct Squares<'a> {
    x: &'a [f32],
    y: &'a [f32],
}

impl Objective for Squares<'_> {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        2
    }

    fn hypers(&self) -> usize {
        2
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let share = S::ONE / S::from_usize(at.batch.len());
        let mut loss = S::ZERO;
        g.fill(S::ZERO);
        for i in at.batch {
            let curve = S::from_f32(-self.x[*i as usize]).exp::<Plain>();
            let r = at.w[0] + at.w[1] * curve - S::from_f32(self.y[*i as usize]);
            loss += S::from_f32(0.5) * share * r * r;
            g[0] += share * r;
            g[1] += share * r * curve;
        }
        if let Some(d_h) = d_h {
            d_h.fill(S::ZERO);
        }
        Ok(loss)
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

/// Trains; the validation loss, its hypergradient and the weights.
fn train(
    h: &[f32; 2],
    objective: &Robust<'_>,
    outside: &Squares<'_>,
) -> Result<(f32, [f32; 2], [f32; 2]), Error> {
    let rule = Rule::HeavyBall;
    let schedule = Schedule {
        groups: Groups::global(2),
        rule,
        rates: &[0.5],
        momenta: &[0.5],
    };
    let batches = Batches {
        seed: 1,
        examples: TRAINED,
        size: TRAINED,
    };
    let run = Run {
        objective,
        h,
        schedule,
        batches,
        steps: STEPS,
    };
    let scratch = scratch_len(objective, outside);
    let mut buffer = vec![0.0; Workspace::<f32>::required_len(2, scratch, rule, false)];
    let mut workspace = Workspace::new(&mut buffer, 2, rule, false)?;
    let mut storage = [0.0; Tape::<f32>::required_len(2, STEPS, 0)];
    let (mut tape, mut batch) = (Tape::new(2, STEPS, 0, &mut storage)?, [0; TRAINED]);
    run.walk(
        &&[0.0, 0.0][..],
        &mut tape,
        &mut workspace,
        &mut batch,
        &mut |_, _| (),
    )?;
    let w = [workspace.w[0], workspace.w[1]];
    let examples: Vec<u32> = (TRAINED as u32..READINGS as u32).collect();
    let validation = Validation {
        objective: outside,
        examples: &examples,
    };
    let mut d_h = [0.0; 2];
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: None,
    };
    let outcome = run.back(&validation, &mut tape, &mut workspace, &mut batch, wanted)?;
    Ok((outcome.valid_loss, d_h, w))
}

fn main() -> Result<(), Error> {
    let (x, y) = readings();
    let objective = Robust { x: &x, y: &y };

    println!("is the gradient right?");
    let at = At {
        w: &[0.3, 1.1],
        h: &[-0.4, -3.0],
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
    let outside = Squares { x: &x, y: &y };
    let (mut m, mut v, mut h) = ([0.0; 2], [0.0; 2], [2.0f32, -2.0]);
    let mut adam = Adam::new(0.15, &mut m, &mut v)?;
    let mut losses = vec![];
    for step in 0..=120 {
        let (loss, d_h, w) = train(&h, &objective, &outside)?;
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
