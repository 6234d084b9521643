//! Hyperparameters tuned while training goes on, and then a warm restart with what they have become
//! (Franceschi et al. 2017, section 3.3): `cargo run --release --example rtho`.
//!
//! A small network learns three overlapping clouds of points from 240 of them. Its penalty, rate and
//! momentum begin at poor values. Every ten steps the hypergradient of the validation loss is read
//! from three tangents, Adam moves the logarithms of penalty and rate and the logit of the momentum,
//! and training goes on from where it is, its tangents with it.

use drmad::forward::{Forward, Wrt, scratch_len};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::{Features, Mlp};
use drmad::objective::Objective;
use drmad::outer::Parametrisation::{Log, Logit};
use drmad::outer::{Adam, Outer};
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use drmad::{Error, Fused};

const WIDTHS: &[usize] = &[6, 12, 3];
const TRAINED: usize = 240;
const EXAMPLES: usize = 600;
const ROUNDS: usize = 40;
const BLOCK: usize = 10;
const RULE: Optimizer = Optimizer::HeavyBall;
/// Log penalty, log rate and logit momentum at the start.
const START: [f32; 3] = [-3.0, -5.0, 0.0];

type Training<'a> = L2<'a, Mlp<'a, Features<'a>, Fused>>;

/// Penalty, rate and momentum of these hyperparameters.
fn values(mut lambda: [f32; 3]) -> [f32; 3] {
    let (logs, logit) = lambda.split_at_mut(2);
    Log.value::<Fused, _>(logs);
    Logit.value::<Fused, _>(logit);
    lambda
}

fn training<'a>(objective: &'a Training<'a>, values: &'a [f32; 3]) -> InnerProblem<'a, Fused, f32> {
    let (h, rest) = values.split_at(1);
    let (rates, momenta) = rest.split_at(1);
    let groups = Groups::global(objective.weights());
    InnerProblem {
        objective,
        h,
        schedule: Schedule {
            groups,
            optimizer: RULE,
            rates,
            momenta,
        },
        batches: Batches {
            seed: 1,
            examples: TRAINED,
            size: 20,
        },
        steps: ROUNDS * BLOCK,
    }
}

/// Points about the corners of a triangle, their classes in turn.
fn clouds() -> (Vec<f32>, Vec<u8>) {
    let normal = Normal {
        seed: 3,
        groups: Groups::global(EXAMPLES * WIDTHS[0]),
        log_scales: &[0.0f32],
    };
    let mut x = vec![0.0; EXAMPLES * WIDTHS[0]];
    normal.fill(0, &mut x);
    let labels: Vec<u8> = (0..EXAMPLES).map(|i| (i % 3) as u8).collect();
    for (x, label) in x.chunks_mut(WIDTHS[0]).zip(&labels) {
        x[usize::from(*label)] += 1.5;
    }
    (x, labels)
}

/// One stage of training from where `forward` is; the validation loss at its end.
fn stage(
    objectives: [&Training<'_>; 2],
    forward: &mut Forward<'_, f32>,
    lambda: &mut [f32; 3],
    outer_rate: f32,
) -> Result<f32, Error> {
    let [objective, outside] = objectives;
    let examples: Vec<u32> = (TRAINED as u32..EXAMPLES as u32).collect();
    let validation = Validation {
        objective: outside,
        examples: &examples,
    };
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    let mut outer = Adam::new(outer_rate, &mut m, &mut v)?;
    let mut loss = f32::NAN;
    for round in 0..ROUNDS {
        let values = values(*lambda);
        let problem = training(objective, &values);
        let steps = round * BLOCK..(round + 1) * BLOCK;
        problem.forward(steps, forward, &mut [0; 20], &mut |_, _| ())?;
        let mut d = [0.0; 3];
        loss = problem.hypergradient(&validation, forward, &mut d)?;
        if (round + 1) % 8 == 0 {
            let (t, [penalty, rate, momentum]) = ((round + 1) * BLOCK, values);
            println!("{t:>6} {penalty:>9.5} {rate:>9.5} {momentum:>9.5} {loss:>9.5}");
        }
        Log.pull_back(&values[..2], &mut d[..2])?;
        Logit.pull_back(&values[2..], &mut d[2..])?;
        outer.step(lambda, &d)?;
    }
    Ok(loss)
}

fn main() -> Result<(), Error> {
    let (x, labels) = clouds();
    let data = Features {
        x: &x,
        labels: &labels,
        width: WIDTHS[0],
    };
    let net = Mlp::<_, Fused>::new(data, WIDTHS, 20)?;
    let everywhere = Groups::global(net.weights());
    let objective = L2::new(net, Strength::Tuned(everywhere));
    let outside = L2::new(net, Strength::Off(everywhere));
    let initial = Normal {
        seed: 9,
        groups: Groups {
            layout: Layout::Layers(WIDTHS),
            by: Granularity::Layer,
            biases: true,
        },
        log_scales: &[-1.0, -1.0],
    };

    let wrt = [Wrt::Hyper(0), Wrt::Rate(0), Wrt::Momentum(0)];
    let scratch = scratch_len(&objective, &outside, wrt.len());
    let len = Forward::<f32>::required_len(net.weights(), 1, RULE, wrt.len(), scratch);
    let mut buffer = vec![0.0; len];
    let mut forward = Forward::new(&mut buffer, &training(&objective, &values(START)), &wrt)?;
    let objectives = [&objective, &outside];
    let mut table = |title: &str, restart: bool, lambda: &mut [f32; 3], outer_rate: f32| {
        println!("{title}");
        println!(
            "{:>6} {:>9} {:>9} {:>9} {:>9}",
            "step", "penalty", "rate", "momentum", "E"
        );
        if restart {
            forward.restart();
        } else {
            forward.start(&initial)?;
        }
        stage(objectives, &mut forward, lambda, outer_rate)
    };
    let mut lambda = START;
    let fixed = table("fixed", false, &mut lambda, 0.0)?;
    let tuned = table("in real time", false, &mut lambda, 0.1)?;
    let again = table("after a warm restart", true, &mut lambda, 0.1)?;
    println!("validation loss: {fixed:.4} fixed, {tuned:.4} tuned, {again:.4} restarted");
    assert!(tuned < 0.9 * fixed && again < tuned + 0.01);
    Ok(())
}
