//! A training of a million steps and the way back through all of them, in memory that does not know
//! how many there were: `cargo run --release --example million`.
//!
//! A small network learns four overlapping clouds of points, with a penalty for each unit. Eight hats
//! stand for the path, so what is kept of ten thousand steps and of a million is as long. On a path that
//! is not the true one a direction of negative curvature could grow with every step, and a million of
//! them is beyond any number: products of negative curvature are dropped ([`Psd`]). At ten thousand
//! steps the tape is affordable, and the two hypergradients are compared.

use std::time::Instant;

use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::kernels::reduce::cosine;
use drmad::models::{Features, Mlp};
use drmad::objective::Objective;
use drmad::path::{Grid, Hats, Path, Quantised, Reversed, Tail, Tape};
use drmad::random::{Batches, Normal, Origin};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{L2, Psd, Strength};
use drmad::{Error, Fused};

const WIDTHS: &[usize] = &[16, 8, 4];
const LAYOUT: Layout<'static> = Layout::Layers(WIDTHS);
const P: usize = LAYOUT.weights();
const TRAINED: usize = 200;
const EXAMPLES: usize = 400;
const BATCH: usize = 4;
const RULE: Rule = Rule::HeavyBall;
const SHORT: usize = 10_000;
const LONG: usize = 1_000_000;
const K: usize = 8;

/// Which weights share a penalty: those that leave a unit.
const UNITS: Groups<'static> = Groups {
    layout: LAYOUT,
    by: Granularity::Unit,
    biases: false,
};

type Loss<'a> = Psd<L2<'a, Mlp<'a, Features<'a>, Fused>>>;

/// Points about four corners, their classes in turn.
fn clouds() -> (Vec<f32>, Vec<u8>) {
    let normal = Normal {
        seed: 3,
        groups: Groups::global(EXAMPLES * WIDTHS[0]),
        log_scales: &[0.0f32],
    };
    let mut x = vec![0.0; EXAMPLES * WIDTHS[0]];
    normal.fill(0, &mut x);
    let labels: Vec<u8> = (0..EXAMPLES).map(|i| (i % 4) as u8).collect();
    for (x, label) in x.chunks_mut(WIDTHS[0]).zip(&labels) {
        x[usize::from(*label)] += 1.5;
    }
    (x, labels)
}

/// What one training and its way back came to.
struct Outcome {
    hypergradient: Vec<f32>,
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

/// The training: `steps` of it.
fn run<'a>(objective: &'a Loss<'a>, h: &'a [f32], steps: usize) -> Run<'a, Fused, f32> {
    Run {
        objective,
        h,
        schedule: Schedule {
            groups: Groups::global(P),
            rule: RULE,
            rates: &[0.05],
            momenta: &[0.9],
        },
        batches: Batches {
            seed: 1,
            examples: TRAINED,
            size: BATCH,
        },
        steps,
    }
}

/// Trains, comes back, and says what it took.
fn there_and_back(
    name: &str,
    run: &Run<'_, Fused, f32>,
    outside: &Loss<'_>,
    origin: &Normal<'_, f32>,
    path: &mut dyn Path<Fused, f32>,
) -> Result<Outcome, Error> {
    let examples: Vec<u32> = (TRAINED as u32..EXAMPLES as u32).collect();
    let validation = Validation {
        objective: outside,
        examples: &examples,
    };
    let scratch = run.scratch_len(&validation);
    let mut buffer = vec![0.0; Workspace::<f32>::required_len(P, scratch, RULE, false)];
    let mut workspace = Workspace::new(&mut buffer, P, RULE, false)?;
    let (mut first, mut last) = (f32::NAN, f32::NAN);
    let clock = Instant::now();
    run.walk(
        origin,
        path,
        &mut workspace,
        &mut [0; BATCH],
        &mut |t, loss| {
            if t == 0 {
                first = loss;
            }
            last = loss;
        },
    )?;
    let forward = clock.elapsed().as_secs_f64();
    let mut hypergradient = vec![0.0; run.h.len()];
    let wanted = Wanted {
        d_h: &mut hypergradient,
        schedule: None,
    };
    let clock = Instant::now();
    run.back(&validation, path, &mut workspace, &mut [0; BATCH], wanted)?;
    let backward = clock.elapsed().as_secs_f64();
    let (steps, floats) = (run.steps, path.floats());
    println!("{name:>5} {steps:>9} {floats:>9} {forward:>9.2} {backward:>9.2}");
    Ok(Outcome {
        hypergradient,
        floats,
        losses: [first, last],
    })
}

fn main() -> Result<(), Error> {
    let (x, labels) = clouds();
    let data = Features {
        x: &x,
        labels: &labels,
        width: WIDTHS[0],
    };
    let net = Mlp::<_, Fused>::new(data, WIDTHS, BATCH)?;
    let of = |strength| Psd {
        inner: L2::new(net, strength),
    };
    let objective = of(Strength::Tuned(UNITS));
    let outside = of(Strength::Off(UNITS));
    let h = vec![0.0067; objective.hypers()];
    let origin = Normal {
        seed: 9,
        groups: Groups::global(P),
        log_scales: &[-1.5],
    };

    println!(
        "{:>5} {:>9} {:>9} {:>9} {:>9}",
        "path", "steps", "floats", "forward s", "back s"
    );
    let hats = |steps| {
        let run = run(&objective, &h, steps);
        let tail = Reversed::reach(&run.schedule, steps);
        let knots = Grid {
            steps: steps - tail,
            intervals: K,
            spacing: Grid::spacing(K),
        };
        let mut storage = [0; Quantised::<11>::required_len(P, K)];
        let rows = Quantised::<11>::new(P, K, &mut storage)?;
        let mut factors = [0.0; K + 1];
        let hats = Hats::new(P, knots, origin, rows, &mut factors)?;
        let mut path = Tail::new(hats, steps, tail)?;
        there_and_back("hats", &run, &outside, &origin, &mut path)
    };
    let short = hats(SHORT)?;
    let before = peak();
    let long = hats(LONG)?;
    let after = peak();
    let mut storage = vec![0.0; Tape::<f32>::required_len(P, SHORT, 0)];
    let mut tape = Tape::new(P, SHORT, 0, &mut storage)?;
    let run = run(&objective, &h, SHORT);
    let exact = there_and_back("tape", &run, &outside, &origin, &mut tape)?;

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
