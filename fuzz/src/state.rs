//! The core's states: bytes that claim to be one.

use drmad::Fused;
use drmad::group::Groups;
use drmad::hypergradient::{Trainer, Validation, Wanted, Workspace};
use drmad::models::Quadratic;
use drmad::outer::Adam;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Quantised, Reversed,
    Reversible, Tail, Tape, Truncated,
};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::state::{self, State};
use drmad::train::InnerProblem;
use drmad::tuner::Tuner;

use crate::bytes::Bytes;

const P: usize = 3;
const T: usize = 9;
const ORIGIN: &[f32] = &[0.5, -0.25, 1.0];

/// The first byte says what the rest is to be a state of; it is tried as it is, and with the checksum and
/// the length that it would need to get any further.
pub fn state(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (kind, steps) = (bytes.one_of(16), bytes.one_of(T + 2));
    let mut forged = bytes.0.to_vec();
    if let Some(mut sums) = forged.len().checked_sub(4).filter(|at| *at >= 32) {
        forged[..8].copy_from_slice(b"drmad st");
        forged[8..12].copy_from_slice(&state::LAYOUT.to_le_bytes());
        forged[16..24].copy_from_slice(&(sums as u64 + 4).to_le_bytes());
        let sum = state::crc32(&forged[..sums]).to_le_bytes();
        for byte in sum {
            forged[sums] = byte;
            sums += 1;
        }
    }
    let _ = state::newest(&[bytes.0, &forged, &[]]);
    for bytes in [bytes.0, &forged] {
        on_each(kind, steps, &mut |state| restores(bytes, state));
    }
}

/// What happens to a state; says whether it is gone on from.
type Meet<'m> = &'m mut dyn FnMut(&mut dyn State) -> bool;

fn on_each(kind: usize, steps: usize, meet: Meet<'_>) {
    match kind {
        0 => tuner(meet),
        kind => trainer(kind, steps, meet),
    }
}

/// Good states, some steps under way.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![];
    for kind in 0..16 {
        for steps in [0, T / 2, T, T + 1] {
            let mut seed = vec![kind as u8, steps as u8];
            on_each(kind, steps, &mut |state| {
                seed.extend(saved(state));
                false
            });
            seeds.push(seed);
        }
    }
    seeds
}

/// The bytes of a state as it is now.
fn saved(state: &mut dyn State) -> Vec<u8> {
    let len = state::len(state).expect("a state that can be saved");
    let mut bytes = vec![0; len];
    assert_eq!(state::save(0, state, &mut bytes), Ok(len));
    bytes
}

/// Restores; a refused state has changed nothing, and one that is taken is the one that was given.
fn restores(bytes: &[u8], state: &mut dyn State) -> bool {
    let before = saved(state);
    let restored = state::restore(bytes, state);
    let after = saved(state);
    match restored {
        // The sequence number, the zeros before it and so the checksum are not the state's.
        Ok(_) => assert_eq!(bytes[32..after.len() - 4], after[32..after.len() - 4]),
        Err(_) => assert_eq!(before, after),
    }
    restored.is_ok()
}

fn tuner(meet: Meet<'_>) {
    let (mut m, mut v, mut h) = ([0.0; 2], [0.0; 2], [1.0f32, 2.0]);
    let mut adam = Adam::new(0.1, &mut m, &mut v).expect("lengths");
    let (mut room, mut history) = ([0.0; 6], [0.0; 2]);
    let tuner = Tuner::new(&mut h, &mut adam, &mut room).expect("room");
    let mut tuner = tuner.with_history(&mut history);
    if meet(&mut tuner) {
        let _ = tuner.round_by(&mut |_, d_h| {
            d_h.copy_from_slice(&[0.5, -0.5]);
            Ok(1.0)
        });
    }
}

fn trainer(kind: usize, steps: usize, meet: Meet<'_>) {
    let mut numbers = [0.0; 64];
    let (mut words, mut more_words) = ([0; 64], [0; 64]);
    let (mut marks, mut factors) = ([Mark::default(); 3], [0.0; 4]);
    let optimizer = match kind {
        13 => Optimizer::Nesterov,
        14 => Optimizer::ADAM,
        _ => Optimizer::HeavyBall,
    };
    let grid = |steps| Grid {
        steps,
        intervals: 3,
        spacing: 2.0,
    };
    let row = |words| Quantised::<11>::new(P, 4, words).expect("rows");
    match kind {
        1 => on(
            optimizer,
            &mut Checkpoints::new(P, T, 1, &mut numbers, &mut marks).expect("path"),
            steps,
            meet,
        ),
        2 => on(
            optimizer,
            &mut Checkpoints::online(P, 1, &mut numbers, &mut marks).expect("path"),
            steps,
            meet,
        ),
        3 => on(
            optimizer,
            &mut Reversible::new(P, T, 0.5, &mut words).expect("path"),
            steps,
            meet,
        ),
        4 => on(optimizer, &mut Line::new(ORIGIN, T), steps, meet),
        5 => {
            let mut path = Knots::<f32, _, _>::new(P, 4, ORIGIN, row(&mut words)).expect("path");
            on(optimizer, &mut path, steps, meet);
        }
        6 => {
            let rows = Quantised::<11>::new(P, 5, &mut more_words).expect("rows");
            let mut path =
                Knots::<f32, _, _>::hermite(P, 4, ORIGIN, row(&mut words), rows).expect("path");
            on(optimizer, &mut path, steps, meet);
        }
        7 => on(
            optimizer,
            &mut Legendre::new(P, T, 3, &mut numbers).expect("path"),
            steps,
            meet,
        ),
        8 => {
            let rows = Full::new(P, 3, &mut numbers).expect("rows");
            let mut path = Hats::new(P, grid(T), ORIGIN, rows, &mut factors).expect("path");
            on(optimizer, &mut path, steps, meet);
        }
        9 | 10 => {
            let tail = 3 * (kind - 9);
            let rows = Quantised::<11>::new(P, 3, &mut words).expect("rows");
            let mut hats = Hats::new(P, grid(T - tail), ORIGIN, rows, &mut factors).expect("path");
            match tail {
                0 => on(optimizer, &mut hats, steps, meet),
                _ => on(
                    optimizer,
                    &mut Tail::new(hats, T, tail).expect("path"),
                    steps,
                    meet,
                ),
            }
        }
        11 => on(optimizer, &mut Reversed, steps, meet),
        12 => {
            let tape = Tape::new(P, 5, 1, &mut numbers).expect("path");
            on(
                optimizer,
                &mut Truncated::new(tape, T, 5).expect("path"),
                steps,
                meet,
            );
        }
        _ => {
            let mut numbers = [0.0; 128];
            on(
                optimizer,
                &mut Tape::new(P, T, optimizer.slots(), &mut numbers).expect("path"),
                steps,
                meet,
            );
        }
    }
}

/// A training on this path that is some steps under way when the state comes.
fn on(optimizer: Optimizer, path: &mut dyn Path<Fused, f32>, steps: usize, meet: Meet<'_>) {
    let bowl = Quadratic::<Fused>::new(&[1.0, 4.0, 0.5]);
    let schedule = Schedule {
        groups: Groups::global(P),
        optimizer,
        rates: &[0.25f32],
        momenta: &[0.5],
    };
    let problem = InnerProblem {
        objective: &bowl,
        h: &[0.0, 0.5, -1.0],
        schedule,
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps: T,
    };
    let mut buffer = [0.0; 64];
    let wants_schedule = optimizer != Optimizer::HeavyBall;
    let workspace = Workspace::new(&mut buffer, P, optimizer, wants_schedule).expect("room");
    let (mut batch, mut d_h) = ([0], [0.0; P]);
    let (mut d_rates, mut d_momenta) = ([0.0], [0.0]);
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: wants_schedule.then_some((&mut d_rates[..], &mut d_momenta[..])),
    };
    let mut trainer = Trainer::new(path, workspace, &mut batch, wanted);
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let go = |trainer: &mut Trainer<'_, Fused, f32>, steps| {
        problem.advance(trainer, &ORIGIN, &validation, steps, &mut |_, _| ())
    };
    let _ = go(&mut trainer, steps);
    if meet(&mut problem.state(&mut trainer, 0)) {
        for _ in 0..3 {
            let _ = go(&mut trainer, T);
        }
    }
}
