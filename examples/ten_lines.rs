//! Ten lines to a hypergradient: `cargo run --release --example ten_lines`.
//!
//! Two weights roll down a bowl whose minimum is `h`, twenty steps of the heavy ball. How does the loss at
//! the end depend on `h`, and on the rate and the momentum of the way there? The answers are compared
//! with trainings at hyperparameters a little to the left and to the right.

use drmad::{Error, Fused};
use drmad::{
    group::Groups, hypergradient::*, models::Quadratic, objective::dual_required_len, path::Tape,
    random::Batches, train::*,
};

const RULE: Rule = Rule::HeavyBall;
/// What dual numbers need to make second-order products of two weights and two hyperparameters is in it.
const SPACE: usize = Workspace::<f64>::required_len(2, dual_required_len(2, 2, 0), RULE, true);

/// The loss at the end, and its derivatives by `h`, by the rate and by the momentum.
type Answer = (f64, [f64; 2], f64, f64);

fn answer(h: [f64; 2], rate: f64, momentum: f64) -> Result<Answer, Error> {
    let bowl = Quadratic::<Fused>::new(&[1.0, 10.0]);
    let schedule = Schedule {
        groups: Groups::global(2),
        rule: RULE,
        rates: &[rate],
        momenta: &[momentum],
    };
    let batches = Batches {
        seed: 0,
        examples: 1,
        size: 1,
    };
    let run = Run {
        objective: &bowl,
        h: &h,
        schedule,
        batches,
        steps: 20,
    };
    let mut buffer = [0.0; SPACE];
    let mut workspace = Workspace::new(&mut buffer, 2, RULE, true)?;
    let (mut storage, mut batch) = ([0.0; Tape::<f64>::required_len(2, 20, 1)], [0]);
    let (mut d_h, mut d_rate, mut d_momentum) = ([0.0; 2], [0.0], [0.0]);
    let mut tape = Tape::new(2, 20, 1, &mut storage)?;
    run.walk(
        &&[1.0, 1.0][..],
        &mut tape,
        &mut workspace,
        &mut batch,
        &mut |_, _| (),
    )?;
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: Some((&mut d_rate, &mut d_momentum)),
    };
    let outcome = run.back(&validation, &mut tape, &mut workspace, &mut batch, wanted)?;
    Ok((outcome.valid_loss, d_h, d_rate[0], d_momentum[0]))
}

fn main() -> Result<(), Error> {
    let (h, rate, momentum) = ([0.0, 0.5], 0.1, 0.5);
    let (loss, d_h, d_rate, d_momentum) = answer(h, rate, momentum)?;
    println!("the loss at the end: {loss:.6}\n");
    println!("{:<10} {:>14} {:>14}", "by", "hypergradient", "differences");
    let e = 1e-6;
    let difference = |left: Answer, right: Answer| (right.0 - left.0) / (2.0 * e);
    for (name, d, difference) in [
        (
            "h_0",
            d_h[0],
            difference(
                answer([h[0] - e, h[1]], rate, momentum)?,
                answer([h[0] + e, h[1]], rate, momentum)?,
            ),
        ),
        (
            "h_1",
            d_h[1],
            difference(
                answer([h[0], h[1] - e], rate, momentum)?,
                answer([h[0], h[1] + e], rate, momentum)?,
            ),
        ),
        (
            "rate",
            d_rate,
            difference(
                answer(h, rate - e, momentum)?,
                answer(h, rate + e, momentum)?,
            ),
        ),
        (
            "momentum",
            d_momentum,
            difference(
                answer(h, rate, momentum - e)?,
                answer(h, rate, momentum + e)?,
            ),
        ),
    ] {
        println!("{name:<10} {d:>14.9} {difference:>14.9}");
        assert!(
            (d - difference).abs() < 1e-8,
            "{name}: {d} is not {difference}"
        );
    }
    Ok(())
}
