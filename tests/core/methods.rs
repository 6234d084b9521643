//! Every backward pass by its description: the path has the bits of the one made by hand, in the memory that it says
//! and in no less.

use bytemuck::Pod;

use crate::common::{Answer, Data, Noise, WIDTHS, hypergradient};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::method::{Extent, Recall, Sweep};
use drmad::models::Mlp;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Levels, Line, Mark, Path, Plan, Quantised,
    Reversed, Reversible, Tail, Tape, Truncated,
};
use drmad::random::{Batches, Initial, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use drmad::{Error, Fused, Real};

const STEPS: usize = 24;
/// A reversed step is exact enough for all of these.
const MOMENTUM: f32 = 0.875;
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};
const P: usize = TENSORS.weights();

/// A training, and what its optimizer is.
struct Made<S> {
    data: Data,
    optimizer: Optimizer,
    h: Vec<S>,
    log_scales: Vec<S>,
    w0: Vec<S>,
}

impl<S: Real + Pod> Made<S> {
    fn new(optimizer: Optimizer) -> Self {
        let numbers = |x: Vec<f32>| -> Vec<S> { x.into_iter().map(S::from_f32).collect() };
        Made {
            data: Data::small(),
            optimizer,
            h: numbers(vec![0.01; 6]),
            log_scales: numbers(vec![-0.5; 6]),
            w0: numbers(Noise(5).f32s(P, 0.5)),
        }
    }

    fn drawn(&self) -> Initial<'_, S> {
        Initial::Drawn(Normal {
            seed: 3,
            groups: TENSORS,
            log_scales: &self.log_scales,
        })
    }

    fn schedule<'a>(&self, numbers: &'a [S; 2]) -> Schedule<'a, S> {
        let [rates, momenta] = numbers.each_ref().map(core::slice::from_ref);
        Schedule {
            groups: Groups::global(P),
            optimizer: self.optimizer,
            rates,
            momenta,
        }
    }

    fn numbers(&self) -> [S; 2] {
        let rate = if self.optimizer == Optimizer::ADAM {
            0.05
        } else {
            0.5
        };
        [rate, MOMENTUM].map(S::from_f32)
    }

    fn extent(&self, schedule: bool) -> Extent {
        Extent::of(&self.schedule(&self.numbers()), STEPS, schedule)
    }

    fn over(
        &self,
        initial: Initial<'_, S>,
        path: &mut dyn Path<Fused, S>,
        schedule: bool,
    ) -> Answer<S> {
        let net = Mlp::<_, Fused>::new(self.data.features(), WIDTHS, 4).unwrap();
        let training = L2::new(net, Strength::Tuned(TENSORS));
        let judged = L2::new(net, Strength::Off(TENSORS));
        let numbers = self.numbers();
        let problem = InnerProblem {
            objective: &training,
            h: &self.h,
            schedule: self.schedule(&numbers),
            batches: Batches {
                seed: 5,
                examples: 8,
                size: 5,
            },
            steps: STEPS,
        };
        let validation = Validation {
            objective: &judged,
            examples: &[8, 9, 10, 11],
        };
        hypergradient(&problem, &validation, &initial, path, schedule).unwrap()
    }

    /// What the described path gives, in exactly the memory that it needs; and that it refuses one number less,
    /// where it needs any.
    fn described(&self, sweep: Sweep, initial: Initial<'_, S>, schedule: bool) -> Answer<S> {
        let of = self.extent(schedule);
        let len = sweep.need::<S>(of).len();
        // What is in it does not matter.
        let mut memory = vec![S::from_f32(f32::NAN); len];
        let answer = {
            let mut path = sweep.path::<Fused, S>(of, initial, &mut memory).unwrap();
            self.over(initial, &mut path, schedule)
        };
        if let Some(memory) = len.checked_sub(1).map(|less| &mut memory[..less]) {
            let Err(Error::Length { want, got, .. }) =
                sweep.path::<Fused, S>(of, initial, memory).map(|_| ())
            else {
                panic!("{sweep:?} is content with {} of {len} numbers", len - 1);
            };
            assert!(got < want, "{sweep:?}: {got} of {want}");
        }
        answer
    }

    /// Holds a described path to one made by hand.
    fn holds(&self, sweep: Sweep, initial: Initial<'_, S>, by_hand: &mut dyn Path<Fused, S>) {
        for schedule in [false, true] {
            let want = self.over(initial, by_hand, schedule);
            let got = self.described(sweep, initial, schedule);
            assert_eq!(got, want, "{sweep:?}, with the schedule's: {schedule}");
        }
    }
}

/// All ten of the heavy ball, with their defaults.
fn ten<S: Real + Pod>() {
    let made = Made::<S>::new(Optimizer::HeavyBall);
    let initial = made.drawn();
    let zeros = |len| vec![S::ZERO; len];
    let words = |len| vec![0u32; len];
    let mut seen = vec![];
    for recall in Recall::ALL {
        seen.push(recall.name());
        let sweep = Sweep::over(recall);
        match recall.name() {
            "tape" => {
                for schedule in [false, true] {
                    let slots = usize::from(schedule);
                    let mut storage = zeros(STEPS * P * (slots + 1));
                    let mut tape = Tape::new(P, STEPS, slots, &mut storage).unwrap();
                    let want = made.over(initial, &mut tape, schedule);
                    assert_eq!(made.described(sweep, initial, schedule), want);
                }
            }
            "checkpoints" => {
                let (mut storage, mut marks) = (zeros(2 * 10 * P), [Mark::default(); 10]);
                let path = Checkpoints::new(P, STEPS, 1, &mut storage, &mut marks);
                made.holds(sweep, initial, &mut path.unwrap());
            }
            "reversible" => {
                let mut storage = words(Reversible::required_len(P, STEPS, MOMENTUM));
                let path = Reversible::new(P, STEPS, MOMENTUM, &mut storage);
                made.holds(sweep, initial, &mut path.unwrap());
            }
            "line" => made.holds(sweep, initial, &mut Line::new(initial, STEPS)),
            "line-published" => {
                let mut line = Line::new(initial, STEPS).with(Plan::published(STEPS));
                made.holds(sweep, initial, &mut line);
            }
            "knots" => {
                let mut storage = words(Quantised::<255>::required_len(P, 32));
                let rows = Quantised::<255>::new(P, 32, &mut storage).unwrap();
                let path = Knots::new(P, 32, initial, rows);
                made.holds(sweep, initial, &mut path.unwrap());
            }
            "hermite" => {
                let mut storage = [32, 33].map(|k| words(Quantised::<255>::required_len(P, k)));
                let [rows, changes] = &mut storage;
                let rows = Quantised::<255>::new(P, 32, rows).unwrap();
                let changes = Quantised::<255>::new(P, 33, changes).unwrap();
                let path = Knots::hermite(P, 32, initial, rows, changes);
                made.holds(sweep, initial, &mut path.unwrap());
            }
            "legendre" => {
                let mut storage = zeros(Legendre::<S>::required_len(P, 16));
                let path = Legendre::new(P, STEPS, 16, &mut storage);
                made.holds(sweep, initial, &mut path.unwrap());
            }
            "hats" => {
                // Momentum allows 77 steps backwards: half of the training is less.
                let (inner, intervals) = (STEPS / 2, 8);
                let grid = Grid {
                    steps: inner,
                    intervals,
                    spacing: Grid::spacing(intervals),
                };
                let mut storage = words(Quantised::<11>::required_len(P, intervals));
                let mut factors = zeros(intervals + 1);
                let rows = Quantised::<11>::new(P, intervals, &mut storage).unwrap();
                let hats = Hats::new(P, grid, initial, rows, &mut factors).unwrap();
                let path = Tail::new(hats, STEPS, STEPS - inner);
                made.holds(sweep, initial, &mut path.unwrap());
            }
            "reversed" => made.holds(sweep, initial, &mut Reversed),
            other => panic!("no path by hand is {other}"),
        }
    }
    let names =
        "hats tape checkpoints reversible line line-published knots hermite legendre reversed";
    assert_eq!(seen.join(" "), names);
}

#[test]
fn a_described_path_has_the_bits_of_the_one_made_by_hand_in_f32() {
    ten::<f32>();
}

#[test]
fn a_described_path_has_the_bits_of_the_one_made_by_hand_in_f64() {
    ten::<f64>();
}

/// Hats, knots and cubics in rows of so many levels, or in full.
fn in_rows<const LEVELS: u32>(levels: Levels) {
    let made = Made::<f32>::new(Optimizer::HeavyBall);
    let (initial, k) = (Initial::Given(&made.w0[..]), 5);
    let mut storage = [k, k + 1].map(|k| vec![0; Quantised::<LEVELS>::required_len(P, k)]);
    let mut full = [k, k + 1].map(|k| vec![0.0f32; k * P]);
    let spacing = Some(1.5);
    let grid = Grid {
        steps: STEPS,
        intervals: k,
        spacing: 1.5,
    };
    let hats = Sweep {
        tail: Some(0),
        ..Sweep::over(Recall::Hats {
            intervals: k,
            levels,
            spacing,
        })
    };
    let knots = Sweep::over(Recall::Knots {
        intervals: k,
        levels,
    });
    let hermite = Sweep::over(Recall::Hermite {
        intervals: k,
        levels,
    });
    let mut factors = vec![0.0; k + 1];
    let [a, b] = &mut storage;
    let [full_a, full_b] = &mut full;
    if levels == Levels::Full {
        let rows = Full::new(P, k, full_a).unwrap();
        made.holds(
            hats,
            initial,
            &mut Hats::new(P, grid, initial, rows, &mut factors).unwrap(),
        );
        let rows = Full::new(P, k, full_a).unwrap();
        made.holds(
            knots,
            initial,
            &mut Knots::new(P, k, initial, rows).unwrap(),
        );
        let rows = Full::new(P, k, full_a).unwrap();
        let changes = Full::new(P, k + 1, full_b).unwrap();
        made.holds(
            hermite,
            initial,
            &mut Knots::hermite(P, k, initial, rows, changes).unwrap(),
        );
        return;
    }
    let rows = Quantised::<LEVELS>::new(P, k, a).unwrap();
    made.holds(
        hats,
        initial,
        &mut Hats::new(P, grid, initial, rows, &mut factors).unwrap(),
    );
    let rows = Quantised::<LEVELS>::new(P, k, a).unwrap();
    made.holds(
        knots,
        initial,
        &mut Knots::new(P, k, initial, rows).unwrap(),
    );
    let rows = Quantised::<LEVELS>::new(P, k, a).unwrap();
    let changes = Quantised::<LEVELS>::new(P, k + 1, b).unwrap();
    made.holds(
        hermite,
        initial,
        &mut Knots::hermite(P, k, initial, rows, changes).unwrap(),
    );
}

#[test]
fn rows_of_every_kind_are_those_made_by_hand() {
    in_rows::<3>(Levels::Three);
    in_rows::<7>(Levels::Seven);
    in_rows::<11>(Levels::Eleven);
    in_rows::<15>(Levels::Fifteen);
    in_rows::<255>(Levels::Most);
    in_rows::<255>(Levels::Full);
    let counts = Levels::ALL.map(Levels::count);
    assert_eq!(counts, [3, 7, 11, 15, 255, 0]);
    assert_eq!(counts.map(Levels::of), Levels::ALL.map(Some));
    assert_eq!(Levels::of(12), None);
}

#[test]
fn tails_and_last_steps_go_around_a_path_as_by_hand() {
    let made = Made::<f32>::new(Optimizer::HeavyBall);
    let initial = made.drawn();
    let line = Sweep::over(Recall::Line);
    let inner = |steps| Line::new(initial, steps);
    let (tail, last) = (Some(4), Some(10));
    let mut by_hand = Tail::new(inner(STEPS - 4), STEPS, 4).unwrap();
    made.holds(Sweep { tail, ..line }, initial, &mut by_hand);
    let mut by_hand = Truncated::early(inner(STEPS), STEPS, 10).unwrap();
    made.holds(Sweep { last, ..line }, initial, &mut by_hand);
    let by_hand = Tail::new(inner(STEPS - 4), STEPS, 4).unwrap();
    let mut by_hand = Truncated::early(by_hand, STEPS, 10).unwrap();
    made.holds(Sweep { tail, last, ..line }, initial, &mut by_hand);

    // A tape that sees the last steps alone.
    let sweep = Sweep {
        last,
        ..Sweep::TAPE
    };
    let mut storage = vec![0.0; 10 * P];
    let tape = Tape::new(P, 10, 0, &mut storage).unwrap();
    let want = made.over(
        initial,
        &mut Truncated::new(tape, STEPS, 10).unwrap(),
        false,
    );
    assert_eq!(want.steps_back, 10);
    assert_eq!(made.described(sweep, initial, false), want);
    let tape = Tape::new(P, 10 - 4, 0, &mut storage).unwrap();
    let tape = Tail::new(tape, 10, 4).unwrap();
    let want = made.over(
        initial,
        &mut Truncated::new(tape, STEPS, 10).unwrap(),
        false,
    );
    // Memory is for any tail.
    let (of, mut memory) = (made.extent(false), vec![f32::NAN; 10 * P]);
    let mut path = Sweep { tail, ..sweep }
        .path::<Fused, _>(of, initial, &mut memory)
        .unwrap();
    assert_eq!(made.over(initial, &mut path, false), want);
}

#[test]
fn adam_and_nesterov_go_back_over_tape_and_checkpoints_with_what_the_rule_remembers() {
    for (optimizer, slots) in [(Optimizer::Nesterov, 1), (Optimizer::ADAM, 2)] {
        let made = Made::<f64>::new(optimizer);
        let initial = made.drawn();
        let mut storage = vec![0.0; STEPS * P * (slots + 1)];
        let mut tape = Tape::new(P, STEPS, slots, &mut storage).unwrap();
        let want = made.over(initial, &mut tape, true);
        for recall in [Recall::Tape, Recall::Checkpoints { snapshots: 3 }] {
            assert_eq!(made.described(Sweep::over(recall), initial, true), want);
        }
    }
}

#[test]
fn memory_is_what_the_table_says() {
    const OF: Extent = Extent {
        weights: 1000,
        steps: 50,
        optimizer: Optimizer::HeavyBall,
        recalls: false,
        momentum: 0.5,
        reach: 15,
    };
    let need = |recall, of| Sweep::over(recall).need::<f32>(of).len();
    let (tape, recalls) = (
        Recall::Tape,
        Extent {
            recalls: true,
            ..OF
        },
    );
    assert_eq!(
        [need(tape, OF), need(tape, recalls)],
        [50 * 1000, 2 * 50 * 1000]
    );
    let last = Sweep {
        last: Some(7),
        ..Sweep::TAPE
    };
    assert_eq!(last.need::<f32>(OF).len(), 7 * 1000);
    let (intervals, levels) = (6, Levels::Full);
    assert_eq!(need(Recall::Knots { intervals, levels }, OF), 6 * 1000);
    assert_eq!(need(Recall::Hermite { intervals, levels }, OF), 13 * 1000);
    // And a number for each, which the recurrence works in.
    assert_eq!(need(Recall::Legendre { polynomials: 4 }, OF), 4 * 1001);
    for recall in [
        Recall::Line,
        Recall::PublishedLine { rate_scale: 2.0 },
        Recall::Reversed,
    ] {
        assert_eq!(need(recall, OF), 0);
    }
    // The marks of ten snapshots are a few words each.
    let checkpoints = need(Recall::Checkpoints { snapshots: 10 }, OF);
    assert!((20_000..20_100).contains(&checkpoints), "{checkpoints}");
    // A bit a step and weight, where momentum is a half.
    let reversible = need(Recall::Reversible, OF);
    assert!(
        (50 * 1000 / 32..50 * 1000 / 32 + 4_000).contains(&reversible),
        "{reversible}"
    );
}

#[test]
fn what_a_training_has_not_is_refused() {
    let made = Made::<f32>::new(Optimizer::HeavyBall);
    let of = made.extent(false);
    let refused = |sweep: Sweep, of: Extent| {
        let mut memory = vec![0.0; sweep.need::<f32>(of).len()];
        (sweep
            .path::<Fused, f32>(of, made.drawn(), &mut memory)
            .map(|_| ()))
        .unwrap_err()
    };
    let range = |sweep, word: &str, bounds: [f64; 3]| {
        let Error::Range {
            what,
            value,
            least,
            greatest,
        } = refused(sweep, of)
        else {
            panic!("{sweep:?}")
        };
        assert!(what.contains(word), "{what}");
        assert_eq!([value, least, greatest], bounds);
    };
    let line = Sweep::over(Recall::Line);
    range(
        Sweep {
            last: Some(25),
            ..line
        },
        "last steps",
        [25.0, 1.0, 24.0],
    );
    range(
        Sweep {
            last: Some(0),
            ..line
        },
        "last steps",
        [0.0, 1.0, 24.0],
    );
    range(
        Sweep {
            tail: Some(24),
            ..line
        },
        "tail",
        [24.0, 0.0, 23.0],
    );
    let short = Sweep {
        last: Some(5),
        tail: Some(5),
        ..Sweep::TAPE
    };
    range(short, "tail", [5.0, 0.0, 4.0]);
    let polynomials = Sweep::over(Recall::Legendre { polynomials: 25 });
    range(polynomials, "polynomials", [25.0, 1.0, 24.0]);
    let levels = Levels::Eleven;
    let hats = Recall::Hats {
        intervals: 25,
        levels,
        spacing: None,
    };
    range(Sweep::over(hats), "hats", [25.0, 1.0, 24.0]);

    let unsupported = |sweep, of, word: &str| {
        let Error::Unsupported { what } = refused(sweep, of) else {
            panic!("{sweep:?}")
        };
        assert!(what.contains(word), "{what}");
    };
    for recall in [
        Recall::Reversible,
        Recall::Reversed,
        Recall::PublishedLine { rate_scale: 1.0 },
    ] {
        let tail = Some(3);
        unsupported(
            Sweep {
                tail,
                ..Sweep::over(recall)
            },
            of,
            "tail of a path",
        );
    }
    let optimizer = Optimizer::ADAM;
    let adam = Extent {
        optimizer,
        reach: 0,
        ..of
    };
    unsupported(Sweep::over(Recall::Reversed), adam, "another optimizer");
    unsupported(
        Sweep {
            tail: Some(1),
            ..line
        },
        adam,
        "another optimizer",
    );
    unsupported(
        line,
        Extent {
            recalls: true,
            ..adam
        },
        "another optimizer",
    );
}

#[test]
fn an_exact_sweep_is_one_that_leaves_nothing_out() {
    let exact = Recall::ALL.map(|recall| Sweep::over(recall).is_exact());
    let want =
        Recall::ALL.map(|recall| matches!(recall.name(), "tape" | "checkpoints" | "reversible"));
    assert_eq!(exact, want);
    let tape = Sweep::TAPE;
    assert!(
        Sweep {
            tail: Some(0),
            ..tape
        }
        .is_exact()
    );
    assert!(
        !Sweep {
            tail: Some(1),
            ..tape
        }
        .is_exact()
    );
    assert!(
        !Sweep {
            last: Some(1),
            ..tape
        }
        .is_exact()
    );
    assert!(
        !Sweep {
            drops_negative_curvature: true,
            ..tape
        }
        .is_exact()
    );
}
