//! What is saved before a loss of power goes on after it with the same bits, and what is damaged or of
//! something else is refused and changes nothing.

use drmad::forward::{self, Forward, Stepped, Wrt};
use drmad::group::Groups;
use drmad::hypergradient::{Trainer, Validation, Wanted, Workspace, scratch_len};
use drmad::models::{Features, Mlp};

use drmad::outer::{Adam, Outer, Projected, Projection, Sgd, Sign};
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Plan, Quantised, Reversed,
    Reversible, Tail, Tape, Truncated,
};
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::state::{self, Fields, Found, State, crc32};
use drmad::train::InnerProblem;
use drmad::tuner::Tuner;
use drmad::wrap::{L2, Strength};
use drmad::{Arithmetic, Dual, Error, Fused, Scalar};

const WIDTHS: &[usize] = &[3, 4, 2];
const P: usize = 26;
const T: usize = 12;
const EXAMPLES: usize = 8;
const BATCHES: Batches = Batches {
    seed: 5,
    examples: EXAMPLES,
    size: 3,
};
const HYPER: [f32; 1] = [0.125];
const RATES: [f32; 1] = [0.25];
const MOMENTA: [f32; 1] = [0.875];
const ADAM: Optimizer = Optimizer::Adam {
    b2: 0.99,
    eps: 1e-4,
    decay: 0.1,
};
const ORIGIN: Normal<'static, f32> = Normal {
    seed: 9,
    groups: Groups::global(P),
    log_scales: &[-1.0],
};

/// What a training is made of.
#[derive(Clone, Copy)]
struct Made {
    path: &'static str,
    optimizer: Optimizer,
    schedule: bool,
    h: [f32; 1],
    rates: [f32; 1],
    momenta: [f32; 1],
    batches: Batches,
    steps: usize,
    tag: u64,
}

impl Made {
    const fn of(path: &'static str) -> Made {
        Made {
            path,
            optimizer: Optimizer::HeavyBall,
            schedule: false,
            h: HYPER,
            rates: RATES,
            momenta: MOMENTA,
            batches: BATCHES,
            steps: T,
            tag: 77,
        }
    }
}

/// Every path, and every optimizer with and without the hypergradients of rates and momenta.
fn all() -> Vec<Made> {
    let mut all: Vec<Made> = PATHS.iter().map(|path| Made::of(path)).collect();
    for optimizer in [Optimizer::HeavyBall, Optimizer::Nesterov, ADAM] {
        for path in ["tape", "checkpoints", "online"] {
            all.push(Made {
                optimizer,
                schedule: true,
                ..Made::of(path)
            });
        }
    }
    all.push(Made {
        optimizer: ADAM,
        ..Made::of("tape")
    });
    for path in ["reversible", "hats", "tail of hats"] {
        all.push(Made {
            schedule: true,
            ..Made::of(path)
        });
    }
    all
}

const PATHS: &[&str] = &[
    "tape",
    "checkpoints",
    "online",
    "reversible",
    "line",
    "published",
    "knots",
    "cubics",
    "legendre",
    "hats in full",
    "hats",
    "reversed",
    "tail of hats",
    "last steps",
    "last steps early",
];

type Row<'a> = Quantised<'a, 11>;
const fn row_len(rows: usize) -> usize {
    Row::state_len(P, rows)
}

/// Calls `body` with a path in memory that holds anything, and with the length of its state.
fn on(made: &Made, body: &mut dyn FnMut(&mut dyn Path<Fused, f32>, usize)) {
    let (steps, slots) = (made.steps, made.optimizer.slots());
    let mut numbers = vec![f32::NAN; 10_000];
    let mut words = vec![0xdead_beef; 10_000];
    let mut more_words = words.clone();
    let mut marks = [Mark::default(); 3];
    let mut factors = [f32::NAN; 5];
    let grid = |steps| Grid {
        steps,
        intervals: 4,
        spacing: 2.0,
    };
    match made.path {
        "tape" => body(
            &mut Tape::new(P, steps, slots, &mut numbers).unwrap(),
            Tape::<f32>::state_len(P, steps, slots),
        ),
        "checkpoints" => body(
            &mut Checkpoints::new(P, steps, slots, &mut numbers, &mut marks).unwrap(),
            Checkpoints::<f32>::state_len(P, 3, slots),
        ),
        "online" => body(
            &mut Checkpoints::online(P, slots, &mut numbers, &mut marks).unwrap(),
            Checkpoints::<f32>::state_len(P, 3, slots),
        ),
        "reversible" => body(
            &mut Reversible::new(P, steps, MOMENTA[0], &mut words).unwrap(),
            Reversible::state_len(P, steps, MOMENTA[0]),
        ),
        "line" => body(
            &mut Line::new(ORIGIN, steps),
            Line::<Normal<'_, f32>>::STATE_LEN,
        ),
        "published" => body(
            &mut Line::new(ORIGIN, steps).with(Plan {
                steps: 5,
                ..Plan::published(steps)
            }),
            Line::<Normal<'_, f32>>::STATE_LEN,
        ),
        "knots" => {
            let rows = Row::new(P, 4, &mut words).unwrap();
            body(
                &mut Knots::<f32, _, _>::new(P, 4, ORIGIN, rows).unwrap(),
                Knots::<f32, Normal<'_, f32>, Row<'_>>::state_len(row_len(4), None),
            )
        }
        "cubics" => {
            let rows = Row::new(P, 4, &mut words).unwrap();
            let changes = Row::new(P, 5, &mut more_words).unwrap();
            let len =
                Knots::<f32, Normal<'_, f32>, Row<'_>>::state_len(row_len(4), Some(row_len(5)));
            body(
                &mut Knots::<f32, _, _>::hermite(P, 4, ORIGIN, rows, changes).unwrap(),
                len,
            )
        }
        "legendre" => body(
            &mut Legendre::new(P, steps, 3, &mut numbers).unwrap(),
            Legendre::<f32>::state_len(P, 3),
        ),
        "hats in full" => {
            let rows = Full::new(P, 4, &mut numbers).unwrap();
            let len = Hats::<f32, Normal<'_, f32>, Full<'_, f32>>::state_len(
                4,
                Full::<f32>::state_len(P, 4),
            );
            body(
                &mut Hats::new(P, grid(steps), ORIGIN, rows, &mut factors).unwrap(),
                len,
            )
        }
        "hats" | "tail of hats" => {
            let rows = Row::new(P, 4, &mut words).unwrap();
            let len = Hats::<f32, Normal<'_, f32>, Row<'_>>::state_len(4, row_len(4));
            let tail = if made.path == "hats" { 0 } else { 3 };
            let mut hats = Hats::new(P, grid(steps - tail), ORIGIN, rows, &mut factors).unwrap();
            if tail == 0 {
                body(&mut hats, len)
            } else {
                let mut tail = Tail::new(hats, steps, tail).unwrap();
                body(&mut tail, Tail::<Line<Normal<'_, f32>>>::state_len(len))
            }
        }
        "reversed" => body(&mut Reversed, Reversed::STATE_LEN),
        "last steps" => {
            let tape = Tape::new(P, 5, slots, &mut numbers).unwrap();
            let len = Tape::<f32>::state_len(P, 5, slots);
            body(
                &mut Truncated::new(tape, steps, 5).unwrap(),
                Truncated::<Tape<'_, f32>>::state_len(len),
            )
        }
        "last steps early" => {
            let tape = Tape::new(P, steps, slots, &mut numbers).unwrap();
            let len = Tape::<f32>::state_len(P, steps, slots);
            body(
                &mut Truncated::early(tape, steps, 5).unwrap(),
                Truncated::<Tape<'_, f32>>::state_len(len),
            )
        }
        other => panic!("no path {other}"),
    }
}

/// The bits of all that comes out.
type Answer = Vec<u32>;

fn bits<'a>(x: impl IntoIterator<Item = &'a f32>) -> Answer {
    x.into_iter().map(|x| x.to_bits()).collect()
}

fn data() -> (Vec<f32>, Vec<u8>) {
    let mut x = vec![0.0; EXAMPLES * WIDTHS[0]];
    let normal = Normal {
        seed: 3,
        groups: Groups::global(x.len()),
        log_scales: &[0.0f32],
    };
    normal.fill(0, &mut x);
    let labels = x.chunks(3).map(|x| u8::from(x[0] > x[1])).collect();
    (x, labels)
}

/// What is done with a machine and its trainer, whose state has this length.
type Body<'b> = dyn FnMut(&Machine<'_>, &mut Trainer<'_, Fused, f32>, usize) + 'b;

/// A machine that has just got power: nothing is in its memory.
struct Boot<'b> {
    made: &'b Made,
    body: &'b mut Body<'b>,
}

type Net<'a> = L2<'a, Mlp<'a, Features<'a>, Fused>>;

struct Machine<'a> {
    problem: InnerProblem<'a, Fused, f32>,
    judged: &'a Net<'a>,
}

const VALID: &[u32] = &[6, 7];

impl Machine<'_> {
    fn validation(&self) -> Validation<'_, Fused, f32> {
        Validation {
            objective: self.judged,
            examples: VALID,
        }
    }

    fn advance(
        &self,
        trainer: &mut Trainer<'_, Fused, f32>,
        steps: usize,
    ) -> Result<Option<Answer>, Error> {
        let done =
            self.problem
                .advance(trainer, &ORIGIN, &self.validation(), steps, &mut |_, _| ())?;
        Ok(done.map(|outcome| {
            let mut answer = bits([&outcome.valid_loss]);
            answer.push(outcome.steps_back as u32);
            answer.extend(bits(&*trainer.wanted.d_h));
            answer.extend(bits(&*trainer.workspace.d_w));
            if let Some((rates, momenta)) = &trainer.wanted.schedule {
                answer.extend(bits(&**rates));
                answer.extend(bits(&**momenta));
            }
            answer
        }))
    }
}

impl Boot<'_> {
    fn go(self) {
        let Boot { made, body } = self;
        let (x, labels) = data();
        let features = Features {
            x: &x,
            labels: &labels,
            width: WIDTHS[0],
        };
        let groups = Groups::global(P);
        let net = || Mlp::<_, Fused>::new(features, WIDTHS, 3).unwrap();
        let training = L2::new(net(), Strength::Tuned(groups));
        let judged = L2::new(net(), Strength::Off(groups));
        let problem = InnerProblem {
            objective: &training,
            h: &made.h,
            schedule: Schedule {
                groups,
                optimizer: made.optimizer,
                rates: &made.rates,
                momenta: &made.momenta,
            },
            batches: made.batches,
            steps: made.steps,
        };
        let machine = Machine {
            problem,
            judged: &judged,
        };
        on(made, &mut |path, path_len| {
            let scratch = scratch_len(&training, &judged);
            let len = Workspace::<f32>::required_len(P, scratch, made.optimizer, made.schedule);
            let mut buffer = vec![f32::NAN; len];
            let workspace = Workspace::new(&mut buffer, P, made.optimizer, made.schedule).unwrap();
            let mut batch = vec![u32::MAX; made.batches.size];
            let (mut d_h, mut d_rates, mut d_momenta) = ([f32::NAN], [f32::NAN], [f32::NAN]);
            let wanted = Wanted {
                d_h: &mut d_h,
                schedule: made
                    .schedule
                    .then_some((&mut d_rates[..], &mut d_momenta[..])),
            };
            let tables = made.schedule.then_some((1, 1));
            let state_len =
                Trainer::<Fused, f32>::state_len(P, 1, made.optimizer, tables, path_len);
            let mut trainer = Trainer::new(path, workspace, &mut batch, wanted);
            body(&machine, &mut trainer, state_len);
        });
    }
}

/// Takes a training that was saved, or a new one, some steps further on a machine without a memory.
fn boot(made: &Made, saved: Option<&[u8]>, steps: usize) -> (Option<Answer>, Vec<u8>) {
    let mut result = None;
    Boot {
        made,
        body: &mut |machine, trainer, len| {
            if let Some(saved) = saved {
                let mut state = machine.problem.state(trainer, made.tag);
                assert_eq!(state::restore(saved, &mut state), Ok(1), "{}", made.path);
            }
            let answer = machine.advance(trainer, steps).unwrap();
            let mut saved = vec![0; len];
            let mut state = machine.problem.state(trainer, made.tag);
            assert_eq!(state::len(&mut state), Ok(len), "{}", made.path);
            assert_eq!(state::save(1, &mut state, &mut saved), Ok(len));
            result = Some((answer, saved));
        },
    }
    .go();
    result.unwrap()
}

/// The answer without a trainer, and how many steps it takes.
fn uninterrupted(made: &Made) -> (Answer, usize) {
    let mut result = None;
    Boot {
        made,
        body: &mut |machine, trainer, _| {
            let Trainer {
                path,
                workspace,
                batch,
                wanted,
                ..
            } = trainer;
            let problem = &machine.problem;
            problem
                .train(&ORIGIN, *path, workspace, batch, &mut |_, _| ())
                .unwrap();
            let again = Wanted {
                d_h: wanted.d_h,
                schedule: wanted
                    .schedule
                    .as_mut()
                    .map(|(rates, momenta)| (&mut **rates, &mut **momenta)),
            };
            let outcome = problem
                .backward(&machine.validation(), *path, workspace, batch, again)
                .unwrap();
            let mut answer = bits([&outcome.valid_loss]);
            answer.push(outcome.steps_back as u32);
            answer.extend(bits(&*wanted.d_h));
            answer.extend(bits(&*workspace.d_w));
            if let Some((rates, momenta)) = &wanted.schedule {
                answer.extend(bits(&**rates));
                answer.extend(bits(&**momenta));
            }
            result = Some((answer, made.steps + outcome.steps_back));
        },
    }
    .go();
    result.unwrap()
}

#[test]
fn a_training_cut_at_any_step_ends_with_the_bits_of_one_that_was_not() {
    for made in all() {
        let what = format!(
            "{}, {:?}, schedule {}",
            made.path, made.optimizer, made.schedule
        );
        let (want, steps) = uninterrupted(&made);
        let (whole, _) = boot(&made, None, usize::MAX);
        assert_eq!(whole.as_ref(), Some(&want), "{what}: in one go");
        for cut in 0..steps {
            let (none, saved) = boot(&made, None, cut);
            assert_eq!(none, None, "{what}: not done after {cut} of {steps}");
            let (got, _) = boot(&made, Some(&saved), steps - cut);
            assert_eq!(got.as_ref(), Some(&want), "{what}: cut after {cut} steps");
        }
        let (mut got, mut saved) = boot(&made, None, 1);
        for _ in 1..steps {
            assert_eq!(got, None, "{what}");
            (got, saved) = boot(&made, Some(&saved), 1);
        }
        assert_eq!(got, Some(want), "{what}: cut after every step");
    }
}

#[test]
fn what_is_done_can_be_saved_and_read_again() {
    let made = Made::of("hats");
    let (want, steps) = uninterrupted(&made);
    let (_, saved) = boot(&made, None, steps);
    assert_eq!(boot(&made, Some(&saved), 0).0, Some(want));
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused_and_changes_nothing() {
    let made = Made::of("line");
    let (_, saved) = boot(&made, None, 7);
    Boot {
        made: &made,
        body: &mut |machine, trainer, len| {
            machine.advance(trainer, 3).unwrap();
            let mut before = vec![0; len];
            state::save(
                2,
                &mut machine.problem.state(trainer, made.tag),
                &mut before,
            )
            .unwrap();
            let mut after = vec![0; len];
            let mut refused = |damaged: &[u8], what: &str| {
                let mut state = machine.problem.state(trainer, made.tag);
                let error = state::restore(damaged, &mut state).expect_err(what);
                assert!(matches!(error, Error::Saved { .. }), "{what}: {error}");
                assert_eq!(state::newest(&[damaged]), None, "{what}");
                state::save(2, &mut state, &mut after).unwrap();
                assert_eq!(before, after, "{what}");
            };
            let mut damaged = saved.clone();
            for bit in 0..8 * saved.len() {
                damaged[bit / 8] ^= 1 << (bit % 8);
                refused(&damaged, &format!("bit {bit} flipped"));
                damaged[bit / 8] ^= 1 << (bit % 8);
            }
            for len in 0..saved.len() {
                refused(&saved[..len], &format!("{len} bytes left"));
            }
            refused(&vec![0xff; len], "erased flash");
            refused(&vec![0; len], "zeros");
            // The state itself is still taken, also with something behind it.
            let mut longer = saved.clone();
            longer.extend([0xff; 100]);
            let mut state = machine.problem.state(trainer, made.tag);
            assert_eq!(state::restore(&longer, &mut state), Ok(1));
            state::save(1, &mut state, &mut after).unwrap();
            assert_eq!(saved, after);
        },
    }
    .go();
}

#[test]
fn a_state_of_something_else_is_refused_by_name() {
    let made = Made::of("hats");
    let (_, saved) = boot(&made, None, 7);
    let refusal = |other: Made| {
        let mut refusal = None;
        Boot {
            made: &other,
            body: &mut |machine, trainer, _| {
                machine.advance(trainer, 3).unwrap();
                let mut state = machine.problem.state(trainer, other.tag);
                let len = state::len(&mut state).unwrap();
                let (mut before, mut after) = (vec![0; len], vec![0; len]);
                state::save(2, &mut state, &mut before).unwrap();
                let Err(Error::Saved { what, want, got }) = state::restore(&saved, &mut state)
                else {
                    panic!("{} is not refused as a saved state", other.path);
                };
                assert_ne!(want, got);
                state::save(2, &mut state, &mut after).unwrap();
                assert_eq!(before, after);
                refusal = Some(what);
            },
        }
        .go();
        refusal.unwrap()
    };
    for (other, what) in [
        (Made { tag: 78, ..made }, "tag"),
        (Made { steps: 13, ..made }, "number of steps"),
        (
            Made {
                optimizer: Optimizer::Nesterov,
                ..made
            },
            "optimizer",
        ),
        // Stale: from before the last step of the tuner.
        (Made { h: [0.126], ..made }, "hyperparameters"),
        (
            Made {
                rates: [0.26],
                ..made
            },
            "rates",
        ),
        (
            Made {
                momenta: [0.5],
                ..made
            },
            "momenta",
        ),
        (
            Made {
                batches: Batches { seed: 6, ..BATCHES },
                ..made
            },
            "seed of the batches",
        ),
        (
            Made {
                batches: Batches { size: 2, ..BATCHES },
                ..made
            },
            "examples in a batch",
        ),
        (
            Made {
                path: "hats in full",
                ..made
            },
            "levels of the rows",
        ),
        (
            Made {
                path: "line",
                ..made
            },
            "kind of path",
        ),
        (
            Made {
                path: "tail of hats",
                ..made
            },
            "kind of path",
        ),
        (
            Made {
                schedule: true,
                ..made
            },
            "numbers of the workspace",
        ),
    ] {
        assert_eq!(refusal(other), what);
    }
    let (mut h, mut outer, mut room) = ([1.0f32], Sgd { rate: 0.1 }, [0.0; 3]);
    let mut tuner = Tuner::new(&mut h, &mut outer, &mut room).unwrap();
    let Err(Error::Saved { what, want, got }) = state::restore(&saved, &mut tuner) else {
        panic!("a training is no tuner");
    };
    assert_eq!((what, want, got), ("kind of state", 1, 2));
    assert_eq!((tuner.h(), tuner.rounds()), (&[1.0][..], 0));
}

#[test]
fn of_two_slots_one_is_whole_wherever_the_write_is_torn() {
    let made = Made::of("line");
    let state_of = |steps, sequence| {
        let mut saved = vec![];
        Boot {
            made: &made,
            body: &mut |machine, trainer, len| {
                machine.advance(trainer, steps).unwrap();
                saved.resize(len, 0);
                let mut state = machine.problem.state(trainer, made.tag);
                state::save(sequence, &mut state, &mut saved).unwrap();
            },
        }
        .go();
        saved
    };
    let (oldest, old, new) = (state_of(3, 3), state_of(4, 4), state_of(5, 5));
    let erased = vec![0xff; new.len()];
    let whole = |slot, sequence| Some(Found { slot, sequence });
    for behind in [&oldest, &erased] {
        for torn in 0..=new.len() {
            let slot = [&new[..torn], &behind[torn..]].concat();
            let want = if torn == new.len() {
                whole(1, 5)
            } else {
                whole(0, 4)
            };
            assert_eq!(state::newest(&[&old, &slot]), want, "torn at {torn}");
            let want = want.map(|found| Found {
                slot: 1 - found.slot,
                ..found
            });
            assert_eq!(state::newest(&[&slot, &old]), want, "torn at {torn}");
        }
    }
    assert_eq!(state::newest(&[&erased, &erased[..0]]), None);
    assert_eq!(state::newest(&[&old, &old]), whole(0, 4));
}

#[test]
fn bytes_that_pass_the_checksum_and_cannot_be_never_panic() {
    let mut word = 1u64;
    let mut noise = move || {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        word >> 33
    };
    let mut taken = 0;
    for made in all() {
        let (_, steps) = uninterrupted(&made);
        for cut in [0, 5, T, T + 2] {
            let (_, saved) = boot(&made, None, cut);
            let end = saved.len() - 4;
            let counts: Vec<usize> = (32..end - 8)
                .step_by(4)
                .filter(|at| {
                    let count = u64::from_le_bytes(saved[*at..at + 8].try_into().unwrap());
                    count < 100 || count == u64::MAX
                })
                .collect();
            for trial in 0..300 {
                let mut forged = saved.clone();
                // Every other one in what may be a count: the others are numbers for the most part.
                let at = match noise() as usize {
                    any if trial % 2 == 0 => 32 + 4 * (any % ((end - 32) / 4)),
                    any => counts[any % counts.len()],
                };
                let value = match trial / 2 % 4 {
                    0 => noise() as u32,
                    1 => u32::MAX,
                    2 => noise() as u32 % 20,
                    _ => 0,
                };
                forged[at..at + 4].copy_from_slice(&value.to_le_bytes());
                let checksum = crc32(&forged[..end]);
                forged[end..].copy_from_slice(&checksum.to_le_bytes());
                Boot {
                    made: &made,
                    body: &mut |machine, trainer, _| {
                        let mut state = machine.problem.state(trainer, made.tag);
                        if state::restore(&forged, &mut state).is_ok() {
                            taken += 1;
                            drop(state);
                            // An answer or an error.
                            let _ = machine.advance(trainer, steps);
                        }
                    },
                }
                .go();
            }
        }
    }
    assert!(taken > 100, "only {taken} were taken");
}

/// A saved state with this number in place of the 8 bytes at `at`, under the checksum that it needs.
fn forged(saved: &[u8], at: usize, value: u64) -> Vec<u8> {
    // The buffer may be longer than the state.
    let len = u64::from_le_bytes(saved[16..24].try_into().unwrap()) as usize;
    let mut forged = saved[..len].to_vec();
    let end = len - 4;
    forged[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let checksum = crc32(&forged[..end]);
    forged[end..].copy_from_slice(&checksum.to_le_bytes());
    forged
}

/// Where the steps trained lie in a trainer's state, and the steps swept behind them: after the header,
/// what every state begins with, and the thirteen parts of the fingerprint.
const WALKED: usize = 32 + 8 * (3 + 13);

#[test]
fn counts_beyond_their_plan_are_refused_by_name_and_change_nothing() {
    for made in all() {
        let (_, steps) = uninterrupted(&made);
        let back = (steps - T) as u64;
        for (cut, at, value, want) in [
            (5, WALKED, T as u64 + 1, ("steps trained", T as u64)),
            (5, WALKED, u64::MAX, ("steps trained", T as u64)),
            (5, WALKED, 1 << 32, ("steps trained", T as u64)),
            // There is no step back before the last one there.
            (5, WALKED + 8, 1, ("steps swept", 0)),
            (T + 2, WALKED + 8, back + 1, ("steps swept", back)),
            (T + 2, WALKED + 8, T as u64 + 1, ("steps swept", back)),
            (T + 2, WALKED + 8, u64::MAX, ("steps swept", back)),
        ] {
            let (_, saved) = boot(&made, None, cut);
            let forged = forged(&saved, at, value);
            Boot {
                made: &made,
                body: &mut |machine, trainer, len| {
                    machine.advance(trainer, 3).unwrap();
                    let mut state = machine.problem.state(trainer, made.tag);
                    let (mut before, mut after) = (vec![0; len], vec![0; len]);
                    state::save(2, &mut state, &mut before).unwrap();
                    let (what, want) = want;
                    let refused = Error::Saved {
                        what,
                        want,
                        got: value,
                    };
                    let got = state::restore(&forged, &mut state);
                    assert_eq!(got, Err(refused), "{}", made.path);
                    state::save(2, &mut state, &mut after).unwrap();
                    assert_eq!(before, after, "{}", made.path);
                },
            }
            .go();
        }
    }
}

/// Every field that may be a count is forged: the training is refused, fails, or comes to its end.
#[test]
fn whatever_count_is_forged_a_training_that_is_restored_comes_to_its_end() {
    let (mut taken, mut refused) = (0, 0);
    for made in all() {
        let (_, steps) = uninterrupted(&made);
        for cut in [1, 5, T, T + 2] {
            let (_, saved) = boot(&made, None, cut);
            let is_count = |at: &usize| {
                let count = u64::from_le_bytes(saved[*at..at + 8].try_into().unwrap());
                (1..100).contains(&count) || count == u64::MAX
            };
            let end = saved.len() - 4;
            for at in (WALKED..end - 8).step_by(4).filter(is_count) {
                let values = [
                    0,
                    T as u64,
                    T as u64 + 1,
                    1 << 20,
                    1 << 32,
                    u64::MAX - 1,
                    u64::MAX,
                ];
                for value in values {
                    let forged = forged(&saved, at, value);
                    Boot {
                        made: &made,
                        body: &mut |machine, trainer, _| {
                            let what = format!("{}, cut {cut}, {value} at {at}", made.path);
                            let mut state = machine.problem.state(trainer, made.tag);
                            if let Err(error) = state::restore(&forged, &mut state) {
                                assert!(matches!(error, Error::Saved { .. }), "{what}: {error}");
                                refused += 1;
                                return;
                            }
                            drop(state);
                            taken += 1;
                            // One step at a time, and no more of them than there are.
                            let ended = (0..=steps)
                                .any(|_| !matches!(machine.advance(trainer, 1), Ok(None)));
                            assert!(ended, "{what}: never done");
                        },
                    }
                    .go();
                }
            }
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 100 && refused > 1000);
}

/// A tuner that has taken some rounds, saved, and the same hyperparameters from there on.
fn tuned(outer: &mut dyn Outer<f32>, from: Option<&[u8]>, rounds: u64) -> (Vec<u32>, Vec<u8>) {
    let (mut h, mut room) = ([0.25, 0.5, 0.25], [0.0; 9]);
    if from.is_some() {
        (h, room) = ([f32::NAN; 3], [f32::NAN; 9]);
    }
    let mut tuner = Tuner::new(&mut h, outer, &mut room).unwrap();
    if let Some(saved) = from {
        state::restore(saved, &mut tuner).unwrap();
    }
    for _ in 0..rounds {
        let round = tuner.rounds() as f32;
        tuner
            .round_by(&mut |h, d_h| {
                d_h.copy_from_slice(&[h[0] * h[1] - 0.3, h[1] - h[2], round]);
                Ok(-round)
            })
            .unwrap();
    }
    let mut saved = vec![0; state::len(&mut tuner).unwrap()];
    state::save(0, &mut tuner, &mut saved).unwrap();
    (bits(tuner.h()), saved)
}

#[test]
fn a_tuner_cut_after_any_step_goes_on_with_the_same_bits() {
    type With<'a> = &'a dyn Fn(Option<&[u8]>, u64) -> (Vec<u32>, Vec<u8>);
    let adam = |from: Option<&[u8]>, steps| {
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        if from.is_some() {
            (m, v) = ([f32::NAN; 3], [f32::NAN; 3]);
        }
        let inner = Adam::new(0.05, &mut m, &mut v).unwrap();
        let onto = &[(0..3, Projection::Simplex { total: 1.0 })];
        tuned(&mut Projected { inner, onto }, from, steps)
    };
    let sgd = |from: Option<&[u8]>, steps| tuned(&mut Sgd { rate: 0.01 }, from, steps);
    let sign = |from: Option<&[u8]>, steps| tuned(&mut Sign { rate: 0.01 }, from, steps);
    for (with, len) in [
        (&adam as With<'_>, Adam::<f32>::state_len(3)),
        (&sgd, Sgd::<f32>::STATE_LEN),
        (&sign, Sign::<f32>::STATE_LEN),
    ] {
        let (want, _) = with(None, 9);
        for cut in 0..=9 {
            let (_, saved) = with(None, cut);
            assert_eq!(saved.len(), Tuner::<f32>::state_len(3, 0, len));
            assert_eq!(with(Some(&saved), 9 - cut).0, want, "cut after {cut}");
        }
    }
    // Neither takes the other's.
    let (mut h, mut sgd, mut room) = ([1.0f32; 3], Sgd { rate: 0.01 }, [0.0; 9]);
    let mut tuner = Tuner::new(&mut h, &mut sgd, &mut room).unwrap();
    let error = state::restore(&sign(None, 1).1, &mut tuner).unwrap_err();
    assert_eq!(
        error.to_string(),
        "saved state: kind of optimizer is 0x2, not 0x1"
    );
}

/// Tuning in real time for some blocks of steps, from what was saved.
fn in_real_time(saved: Option<&[u8]>, blocks: usize) -> (Vec<u32>, Vec<u8>) {
    const BLOCK: usize = 3;
    const WRT: [Wrt; 2] = [Wrt::Hyper(0), Wrt::Rate(0)];
    let (x, labels) = data();
    let features = Features {
        x: &x,
        labels: &labels,
        width: WIDTHS[0],
    };
    let groups = Groups::global(P);
    let net = || Mlp::<_, Fused>::new(features, WIDTHS, 3).unwrap();
    let training = L2::new(net(), Strength::Tuned(groups));
    let judged = L2::new(net(), Strength::Off(groups));
    let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
    let mut adam = Adam::new(0.01, &mut m, &mut v).unwrap();
    let (mut h, mut room, mut t) = ([HYPER[0], RATES[0]], [0.0; 6], 0);
    let mut tuner = Tuner::new(&mut h, &mut adam, &mut room).unwrap();
    let scratch = forward::scratch_len(&training, &judged, 2);
    let optimizer = Optimizer::HeavyBall;
    let mut buffer = vec![f32::NAN; Forward::<f32>::required_len(P, 1, optimizer, 2, scratch)];
    let with = |h: &[f32], body: &mut dyn FnMut(&InnerProblem<'_, Fused, f32>)| {
        let (h, rates) = h.split_at(1);
        body(&InnerProblem {
            objective: &training,
            h,
            schedule: Schedule {
                groups,
                optimizer,
                rates,
                momenta: &MOMENTA,
            },
            batches: BATCHES,
            steps: 100,
        });
    };
    let mut forward = None;
    let mut buffer = Some(&mut buffer[..]);
    with(tuner.h(), &mut |problem| {
        forward = buffer
            .take()
            .map(|buffer| Forward::new(buffer, problem, &WRT).unwrap());
    });
    let mut forward = forward.unwrap();
    forward.start(&ORIGIN).unwrap();
    if let Some(saved) = saved {
        let training = Stepped {
            forward: &mut forward,
            t: &mut t,
            tag: 0,
        };
        state::restore(saved, &mut (&mut tuner, training)).unwrap();
    }
    for _ in 0..blocks {
        tuner
            .round_by(&mut |h, d_h| {
                let mut loss = Err(Error::NoSteps);
                with(h, &mut |problem| {
                    problem
                        .forward(t..t + BLOCK, &mut forward, &mut [0; 3], &mut |_, _| ())
                        .unwrap();
                    let validation = Validation {
                        objective: &judged,
                        examples: VALID,
                    };
                    loss = problem.hypergradient(&validation, &mut forward, d_h);
                });
                loss
            })
            .unwrap();
        t += BLOCK;
    }
    let mut answer = bits(tuner.h());
    answer.extend(bits(&*forward.w));
    answer.extend(bits(&*forward.w_dot));
    let len = Stepped::<f32>::state_len(P, 1, optimizer, 2)
        + Tuner::<f32>::state_len(2, 0, Adam::<f32>::state_len(2));
    let training = Stepped {
        forward: &mut forward,
        t: &mut t,
        tag: 0,
    };
    let mut saved = vec![0; len];
    state::save(0, &mut (tuner, training), &mut saved).unwrap();
    (answer, saved)
}

#[test]
fn tuning_in_real_time_cut_after_any_block_goes_on_with_the_same_bits() {
    let (want, _) = in_real_time(None, 6);
    for cut in 0..=6 {
        let (_, saved) = in_real_time(None, cut);
        assert_eq!(in_real_time(Some(&saved), 6 - cut).0, want, "cut at {cut}");
    }
    // Behind the tuner's fields, what every state begins with and four lengths is the step that is due.
    let (_, saved) = in_real_time(None, 2);
    let at = Tuner::<f32>::state_len(2, 0, Adam::<f32>::state_len(2)) - 4 + 8 * (3 + 4);
    assert_eq!(saved[at..at + 8], 6u64.to_le_bytes());
    for t in [101, 1 << 32, u64::MAX] {
        let forged = forged(&saved, at, t);
        let refused = std::panic::catch_unwind(|| in_real_time(Some(&forged), 1)).unwrap_err();
        let said = refused.downcast_ref::<String>().unwrap();
        assert!(
            said.contains(r#"Saved { what: "step", want: 100,"#),
            "{said}"
        );
    }
}

/// A state of one of everything.
struct Everything {
    numbers: [f32; 2],
    wide: f64,
    dual: Dual<f32>,
    words: [u32; 1],
    bytes: [u8; 4],
    count: usize,
    none: usize,
    flag: bool,
    long: u64,
}

impl State for Everything {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.same("answer", 42)?;
        fields.numbers(&mut self.numbers)?;
        self.wide.state(fields)?;
        self.dual.state(fields)?;
        fields.words(&mut self.words)?;
        fields.bytes(&mut self.bytes)?;
        fields.count("count", &mut self.count, 10)?;
        fields.count("none", &mut self.none, usize::MAX)?;
        fields.flag("flag", &mut self.flag)?;
        fields.long(&mut self.long)
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut state = Everything {
        numbers: [1.0, -2.0],
        wide: 0.5,
        dual: Dual::new(3.0, 4.0),
        words: [0x0102_0304],
        bytes: [9, 8, 7, 6],
        count: 5,
        none: usize::MAX,
        flag: true,
        long: 0x1122_3344_5566_7788,
    };
    let mut saved = [0xaa; 150];
    let len = state::save(0x0a0b, &mut state, &mut saved).unwrap();
    let mut want: Vec<u8> = b"drmad st".to_vec();
    want.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    want.extend((len as u64).to_le_bytes());
    want.extend([0x0b, 0x0a, 0, 0, 0, 0, 0, 0]);
    want.extend([42, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    want.extend([0, 0, 0, 0, 0, 0, 0xe0, 0x3f]);
    want.extend([0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40]);
    want.extend([4, 3, 2, 1, 9, 8, 7, 6]);
    want.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([0xff; 8]);
    want.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    want.extend(crc32(&want).to_le_bytes());
    assert_eq!(saved[..len], want);
    assert_eq!(saved[len..], [0xaa; 150][len..]);

    // By pieces it is the same.
    let mut streamed = vec![];
    state::stream(0x0a0b, &mut state, &mut |bytes| {
        streamed.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!(streamed, want);
    let full = Error::Unsupported { what: "full" };
    assert_eq!(state::stream(1, &mut state, &mut |_| Err(full)), Err(full));

    let mut short = [0xaa; 100];
    let error = state::save(1, &mut state, &mut short).unwrap_err();
    let what = "buffer of the state";
    let got = 100;
    assert_eq!(
        error,
        Error::Length {
            what,
            want: len,
            got
        }
    );
    assert_eq!(short, [0xaa; 100]);

    // A count that cannot be, under a checksum that fits.
    let mut forged = want.clone();
    forged[72] = 11;
    let end = forged.len() - 4;
    let checksum = crc32(&forged[..end]);
    forged[end..].copy_from_slice(&checksum.to_le_bytes());
    state.numbers = [7.0, 7.0];
    let error = state::restore(&forged, &mut state).unwrap_err();
    let (what, want_at_most, got) = ("count", 10, 11);
    let want_at_most = Error::Saved {
        what,
        want: want_at_most,
        got,
    };
    assert_eq!(error, want_at_most);
    assert_eq!(state.numbers, [7.0, 7.0]);
    assert_eq!(state::restore(&want, &mut state), Ok(0x0a0b));
    assert_eq!(state.numbers, [1.0, -2.0]);
    assert_eq!(state.dual.tangent(), 4.0);

    // Another version of the layout says so.
    let mut earlier = want;
    earlier[8] = 1;
    let error = state::restore(&earlier, &mut state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "saved state: layout's version is 0x1, not 0x3"
    );
}

#[test]
fn after_an_error_a_trainer_begins_again() {
    let made = Made {
        rates: [1e38],
        ..Made::of("tape")
    };
    Boot {
        made: &made,
        body: &mut |machine, trainer, _| {
            assert!(machine.advance(trainer, 2 * T).is_err());
            assert_eq!(trainer.progress().walked, 0);
        },
    }
    .go();
}

/// A path of the user's that does not say what its state is.
struct Nowhere;

impl<A: Arithmetic, S: Scalar> Path<A, S> for Nowhere {
    fn floats(&self) -> usize {
        0
    }
    fn record(
        &mut self,
        _: usize,
        _: &[S],
        _: &[S],
        _: drmad::path::Spare<'_, S>,
    ) -> Result<(), Error> {
        Ok(())
    }
    fn recall(
        &mut self,
        _: usize,
        _: &mut [S],
        _: Option<&mut [S]>,
        _: &mut dyn drmad::path::Steps<S>,
        _: drmad::path::Spare<'_, S>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn a_path_that_does_not_say_what_it_remembers_is_not_saved() {
    struct Of<P>(P);
    impl<P: Path<Fused, f32>> State for Of<P> {
        fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
            self.0.state(fields)
        }
    }
    let mut buffer = [0xaa; 100];
    let error = state::save(1, &mut Of(Nowhere), &mut buffer).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert_eq!(buffer, [0xaa; 100]);
}

#[test]
fn the_state_of_a_training_that_cannot_be_is_as_long_as_can_be() {
    for optimizer in [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM] {
        for weights in [usize::MAX, usize::MAX / 2, usize::MAX / 9] {
            let len = Trainer::<Fused, f32>::state_len(weights, 0, optimizer, None, 0);
            assert_eq!(len, usize::MAX, "{weights} weights by {optimizer:?}");
        }
    }
}

/// With a checksum that fits, whatever else is wrong.
#[test]
fn a_state_that_is_taken_is_saved_again_as_it_was_whichever_byte_was_changed() {
    let (_, saved) = {
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        tuned(&mut Adam::new(0.05, &mut m, &mut v).unwrap(), None, 2)
    };
    let (from, end) = (32, saved.len() - 4);
    let mut taken = 0;
    for (place, change) in (from..end).flat_map(|place| [(place, 1), (place, 0x80), (place, 0xff)])
    {
        let mut forged = saved.clone();
        forged[place] ^= change;
        let sum = crc32(&forged[..end]).to_le_bytes();
        forged[end..].copy_from_slice(&sum);
        let (mut m, mut v, mut h, mut room) = ([0.0; 3], [0.0; 3], [0.0f32; 3], [0.0; 9]);
        let mut adam = Adam::new(0.05, &mut m, &mut v).unwrap();
        let mut tuner = Tuner::new(&mut h, &mut adam, &mut room).unwrap();
        if state::restore(&forged, &mut tuner).is_ok() {
            taken += 1;
            let mut again = vec![0; saved.len()];
            state::save(0, &mut tuner, &mut again).unwrap();
            assert_eq!(again[from..end], forged[from..end], "byte {place}");
        }
    }
    // Numbers may be any; the fingerprint and counts may not.
    assert!(taken > 3 * 4 * 9 && taken < 3 * (end - from), "{taken}");
}
