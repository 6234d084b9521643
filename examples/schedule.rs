//! The rate and the momentum of every single step, tuned: `cargo run --release --example schedule`.
//!
//! Twenty steps have to come down a bowl that is fifty times steeper one way than the other. One rate for
//! all of them is too fast for the steep way or too slow for the flat one. The sweep gives the derivative
//! of the last loss by all forty numbers at the price of two dot products a step, and Adam moves their
//! logarithms and logits.

use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::models::Quadratic;
use drmad::objective::dual_required_len;
use drmad::outer::Parametrisation::{Log, Logit};
use drmad::outer::{Adam, Outer};
use drmad::path::Tape;
use drmad::random::Batches;
use drmad::train::{Rule, Run, Schedule};
use drmad::{Error, Plain};

const CURVATURES: &[f32] = &[1.0, 3.0, 10.0, 50.0];
const P: usize = CURVATURES.len();
const STEPS: usize = 20;
const RULE: Rule = Rule::HeavyBall;
const SPACE: usize = Workspace::<f32>::required_len(P, dual_required_len(P, P, 0), RULE, true);

type Table = [f32; STEPS];

/// The last loss of a training, and its derivatives by rates and momenta.
fn train(rates: &Table, momenta: &Table) -> Result<(f32, Table, Table), Error> {
    let bowl = Quadratic::<Plain>::new(CURVATURES);
    let schedule = Schedule {
        groups: Groups::global(P),
        rule: RULE,
        rates,
        momenta,
    };
    let batches = Batches {
        seed: 0,
        examples: 1,
        size: 1,
    };
    let run = Run {
        objective: &bowl,
        h: &[0.0; P],
        schedule,
        batches,
        steps: STEPS,
    };
    let mut buffer = [0.0; SPACE];
    let mut workspace = Workspace::new(&mut buffer, P, RULE, true)?;
    let mut storage = [0.0; Tape::<f32>::required_len(P, STEPS, 1)];
    let (mut tape, mut batch) = (Tape::new(P, STEPS, 1, &mut storage)?, [0]);
    run.walk(
        &&[1.0; P][..],
        &mut tape,
        &mut workspace,
        &mut batch,
        &mut |_, _| (),
    )?;
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let (mut d_rates, mut d_momenta) = ([0.0; STEPS], [0.0; STEPS]);
    let wanted = Wanted {
        d_h: &mut [0.0; P],
        schedule: Some((&mut d_rates, &mut d_momenta)),
    };
    let outcome = run.back(&validation, &mut tape, &mut workspace, &mut batch, wanted)?;
    Ok((outcome.valid_loss, d_rates, d_momenta))
}

/// The best of some constant rates and momenta.
fn best_constant() -> Result<(f32, f32, f32), Error> {
    let mut best = (f32::INFINITY, 0.0, 0.0);
    for rate in (1..60).map(|i| 0.005 * i as f32) {
        for momentum in (0..19).map(|i| 0.05 * i as f32) {
            if let Ok((loss, ..)) = train(&[rate; STEPS], &[momentum; STEPS])
                && loss < best.0
            {
                best = (loss, rate, momentum);
            }
        }
    }
    Ok(best)
}

fn main() -> Result<(), Error> {
    let (constant, rate, momentum) = best_constant()?;
    println!(
        "the best constants: rate {rate:.3}, momentum {momentum:.2}, last loss {constant:.2e}"
    );

    // The logarithms of the rates, then the logits of the momenta.
    let mut lambda = [0.0; 2 * STEPS];
    let (logs, logits) = lambda.split_at_mut(STEPS);
    logs.fill(rate);
    logits.fill(momentum.max(0.05));
    Log.invert::<Plain, _>(logs)?;
    Logit.invert::<Plain, _>(logits)?;
    let (mut m, mut v) = ([0.0; 2 * STEPS], [0.0; 2 * STEPS]);
    let mut adam = Adam::new(0.02, &mut m, &mut v)?;
    let mut best = (f32::INFINITY, [0.0; STEPS], [0.0; STEPS]);
    for step in 0..=400 {
        let (mut rates, mut momenta) = ([0.0; STEPS], [0.0; STEPS]);
        rates.copy_from_slice(&lambda[..STEPS]);
        momenta.copy_from_slice(&lambda[STEPS..]);
        Log.value::<Plain, _>(&mut rates);
        Logit.value::<Plain, _>(&mut momenta);
        let (loss, mut d_rates, mut d_momenta) = train(&rates, &momenta)?;
        if step % 100 == 0 {
            println!("{step:>6} steps of Adam: {loss:.2e}");
        }
        if loss < best.0 {
            best = (loss, rates, momenta);
        }
        Log.pull_back(&rates, &mut d_rates)?;
        Logit.pull_back(&momenta, &mut d_momenta)?;
        // The loss falls by powers of ten: it is its logarithm that goes down.
        let d: Vec<f32> = d_rates.iter().chain(&d_momenta).map(|d| d / loss).collect();
        adam.step(&mut lambda, &d)?;
    }
    let (tuned, rates, momenta) = best;
    println!("\n{:>4} {:>8} {:>9}", "step", "rate", "momentum");
    for (t, (rate, momentum)) in rates.iter().zip(&momenta).enumerate() {
        let bar = "#".repeat((200.0 * rate) as usize);
        println!("{t:>4} {rate:>8.4} {momentum:>9.4}  {bar}");
    }
    println!("\nlast loss: {constant:.2e} with the best constants, {tuned:.2e} with a schedule");
    assert!(tuned < 0.1 * constant);
    Ok(())
}
