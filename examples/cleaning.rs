//! Wrong labels found by their weights: `cargo run --release --example cleaning`.
//!
//! A third of 300 labels are wrong, and nobody knows which; 60 others have been looked at. Every one of
//! the 300 gets a weight between 0 and 1, and the hypergradient of the loss on the 60 says which weights
//! ought to fall (data hyper-cleaning, Franceschi et al. 2017). No label is ever compared with the truth
//! but to count how many were found.

use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::models::{Beside, Features, Logistic, Weighted};
use drmad::objective::{At, Objective};
use drmad::outer::{Adam, Outer, Projected, Projection};
use drmad::path::Tape;
use drmad::random::{Batches, Normal, Origin};
use drmad::train::{Rule, Run, Schedule};
use drmad::{Error, Plain};

const TRAINED: usize = 300;
const CLEAN: usize = 60;
const TESTED: usize = 600;
const WIDTH: usize = 4;
const CLASSES: usize = 3;
const STEPS: usize = 60;
const RULE: Rule = Rule::HeavyBall;

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

/// The share of examples whose most probable class is another.
fn error(w: &[f32], data: Features<'_>) -> Result<f32, Error> {
    let count = data.labels.len();
    let mut wrong = 0;
    for (i, label) in data.labels.iter().enumerate() {
        // The loss of each class as if it were the label.
        let x = &data.x[i * WIDTH..][..WIDTH];
        let mut losses = [0.0; CLASSES];
        for (class, loss) in losses.iter_mut().enumerate() {
            let one = Features {
                x,
                labels: &[class as u8],
                width: WIDTH,
            };
            let model = Logistic::<_, Plain>::new(one, CLASSES)?;
            let mut scratch = vec![0.0; model.loss_scratch_len()];
            *loss = model.loss(
                At {
                    w,
                    h: &[],
                    batch: &[0],
                },
                &mut scratch,
            )?;
        }
        let best = (0..CLASSES).min_by(|a, b| losses[*a].total_cmp(&losses[*b]));
        wrong += usize::from(best != Some(usize::from(*label)));
    }
    Ok(wrong as f32 / count as f32)
}

fn main() -> Result<(), Error> {
    let mut train = clouds(1, TRAINED);
    let (clean, test) = (clouds(2, CLEAN), clouds(3, TESTED));
    // Every third label, of each class in turn, becomes the next one.
    let is_wrong = |i: usize| (i / CLASSES).is_multiple_of(3);
    for (i, label) in train.1.iter_mut().enumerate().filter(|(i, _)| is_wrong(*i)) {
        *label = ((i + 1) % CLASSES) as u8;
    }

    let training = Logistic::<_, Plain>::new(
        Weighted {
            inner: features(&train),
        },
        CLASSES,
    )?;
    let beside = Beside {
        inner: features(&clean),
        hypers: TRAINED,
    };
    let outside = Logistic::<_, Plain>::new(beside, CLASSES)?;
    let examples: Vec<u32> = (0..CLEAN as u32).collect();
    let validation = Validation {
        objective: &outside,
        examples: &examples,
    };
    let p = training.weights();
    let len = Workspace::<f32>::required_len(p, scratch_len(&training, &outside), RULE, false);
    let (mut buffer, mut batch) = (vec![0.0; len], [0; TRAINED]);
    let mut storage = vec![0.0; Tape::<f32>::required_len(p, STEPS, 0)];

    let (mut m, mut v) = ([0.0; TRAINED], [0.0; TRAINED]);
    let inner = Adam::new(0.05, &mut m, &mut v)?;
    let onto = Projection::Box {
        low: 0.0,
        high: 1.0,
    };
    let mut outer = Projected { inner, onto };
    let mut weights = [1.0f32; TRAINED];
    let mut errors = vec![];
    println!(
        "{:>5} {:>9} {:>11} {:>8} {:>8}",
        "", "E", "test error", "found", "falsely"
    );
    for step in 0..=40 {
        let schedule = Schedule {
            groups: Groups::global(p),
            rule: RULE,
            rates: &[1.0],
            momenta: &[0.8],
        };
        let batches = Batches {
            seed: 1,
            examples: TRAINED,
            size: TRAINED,
        };
        let run = Run {
            objective: &training,
            h: &weights,
            schedule,
            batches,
            steps: STEPS,
        };
        let mut workspace = Workspace::new(&mut buffer, p, RULE, false)?;
        let mut tape = Tape::new(p, STEPS, 0, &mut storage)?;
        run.walk(
            &&vec![0.0; p][..],
            &mut tape,
            &mut workspace,
            &mut batch,
            &mut |_, _| (),
        )?;
        let test_error = error(workspace.w, features(&test))?;
        let mut d_h = [0.0; TRAINED];
        let wanted = Wanted {
            d_h: &mut d_h,
            schedule: None,
        };
        let outcome = run.back(&validation, &mut tape, &mut workspace, &mut batch, wanted)?;
        let low = |i: &usize| weights[*i] < 0.5;
        let found = (0..TRAINED).filter(|i| is_wrong(*i)).filter(low).count();
        let falsely = (0..TRAINED).filter(|i| !is_wrong(*i)).filter(low).count();
        if step % 8 == 0 {
            let percent = 100.0 * test_error;
            println!(
                "{step:>5} {:>9.5} {percent:>9.1} % {found:>8} {falsely:>8}",
                outcome.valid_loss
            );
        }
        errors.push((test_error, found, falsely));
        outer.step(&mut weights, &d_h)?;
    }
    let wrong = (0..TRAINED).filter(|i| is_wrong(*i)).count();
    let ((before, ..), (after, found, falsely)) = (errors[0], errors[40]);
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
