//! How the work grows with the weights: counted, not timed.

use std::cell::Cell;

use crate::common::counted::{Counted, Counts};
use crate::common::{Noise, hypergradient};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::Quadratic;
use drmad::path::{Full, Grid, Hats, Knots, Line, Path, Quantised, Rows, Stored, Tail, Truncated};
use drmad::random::{Batches, InitialWeights};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Error, Fused};

const STEPS: usize = 24;
const INTERVALS: usize = 5;

/// Numbers asked for, and calls that asked for them.
#[derive(Default)]
struct Asked {
    numbers: Cell<usize>,
    calls: Cell<usize>,
}

impl Asked {
    fn note(&self, numbers: usize) {
        self.numbers.set(self.numbers.get() + numbers);
        self.calls.set(self.calls.get() + 1);
    }
}

/// Initial weights that count what they are asked for.
#[derive(Clone, Copy)]
struct From<'a>(&'a [f32], &'a Asked);

impl InitialWeights<f32> for From<'_> {
    fn fill(&self, first: usize, out: &mut [f32]) {
        self.1.note(out.len());
        self.0.fill(first, out);
    }
    fn weights(&self) -> usize {
        self.0.len()
    }
    fn floats(&self) -> usize {
        0
    }
}

/// Rows that count what is read and written.
struct Watched<'a, R>(R, &'a Asked);

impl<R: Stored> Stored for Watched<'_, R> {
    fn floats(&self) -> usize {
        self.0.floats()
    }
    fn check(&self, weights: usize, rows: usize) -> Result<(), Error> {
        self.0.check(weights, rows)
    }
    fn copy(&mut self, from: usize, to: usize) {
        self.0.copy(from, to);
    }
}

impl<R: Rows<Fused, f32>> Rows<Fused, f32> for Watched<'_, R> {
    fn block(&self) -> usize {
        self.0.block()
    }
    fn read(&self, k: usize, first: usize, x: &mut [f32]) {
        self.1.note(x.len());
        self.0.read(k, first, x);
    }
    fn write(&mut self, k: usize, first: usize, x: &[f32], before: &[f32]) {
        self.1.note(x.len());
        self.0.write(k, first, x, before);
    }
    fn read_alone(&self, k: usize, first: usize, x: &mut [f32]) {
        self.1.note(x.len());
        self.0.read_alone(k, first, x);
    }
}

/// What a training of `p` weights, each with a rate of its own, asks its path's origin and rows for, and
/// how often it evaluates the objective.
fn work(what: &str, p: usize) -> [usize; 6] {
    let (w0, curvature) = (Noise(1).f32s(p, 1.0), vec![0.5; p]);
    let (asked, stored, counts) = (Asked::default(), Asked::default(), Counts::default());
    let initial = From(&w0, &asked);
    let bowl = Quadratic::<Fused>::new(&curvature);
    let counted = Counted {
        inner: &bowl,
        counts: &counts,
    };
    let (h, rates, momenta) = (vec![0.0; p], Noise(2).f32s(p, 0.1), vec![0.5; p]);
    let schedule = Schedule {
        groups: Groups {
            layout: Layout::Flat(p),
            by: Granularity::Parameter,
            biases: true,
        },
        optimizer: Optimizer::HeavyBall,
        rates: &rates,
        momenta: &momenta,
    };
    let problem = InnerProblem {
        objective: &counted,
        h: &h,
        schedule,
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps: STEPS,
    };
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let go = |path: &mut dyn Path<Fused, f32>| {
        hypergradient(&problem, &validation, &&w0[..], path, false).unwrap();
    };
    type Packed<'a> = Quantised<'a, 11>;
    let mut words = [0, 1].map(|_| vec![0; Packed::required_len(p, INTERVALS + 1)]);
    let [rows, changes] = &mut words;
    let packed = Watched(Packed::new(p, INTERVALS, rows).unwrap(), &stored);
    let mut numbers = vec![0.0; Full::<f32>::required_len(p, INTERVALS)];
    let mut factors = [0.0; INTERVALS + 1];
    let grid = |steps| Grid {
        steps,
        intervals: INTERVALS,
        spacing: 2.0,
    };
    match what {
        "line" => go(&mut Line::new(initial, STEPS)),
        "last steps of the line" => {
            let line = Line::new(initial, STEPS);
            go(&mut Truncated::early(line, STEPS, 7).unwrap());
        }
        "hats" => {
            let rows = packed;
            go(&mut Hats::new(p, grid(STEPS), initial, rows, &mut factors).unwrap());
        }
        "hats in full" => {
            let rows = Watched(Full::new(p, INTERVALS, &mut numbers).unwrap(), &stored);
            go(&mut Hats::new(p, grid(STEPS), initial, rows, &mut factors).unwrap());
        }
        "tail of hats" => {
            let rows = packed;
            let hats = Hats::new(p, grid(STEPS - 3), initial, rows, &mut factors).unwrap();
            go(&mut Tail::new(hats, STEPS, 3).unwrap());
        }
        "knots" => {
            let rows = packed;
            go(&mut Knots::new(p, INTERVALS, initial, rows).unwrap());
        }
        "cubics" => {
            let rows = packed;
            let changes = Watched(Packed::new(p, INTERVALS + 1, changes).unwrap(), &stored);
            go(&mut Knots::hermite(p, INTERVALS, initial, rows, changes).unwrap());
        }
        other => panic!("no path {other}"),
    }
    [
        asked.numbers.get(),
        asked.calls.get(),
        stored.numbers.get(),
        stored.calls.get(),
        counts.gradients.get(),
        counts.products.get(),
    ]
}

#[test]
fn what_paths_ask_for_grows_as_the_weights_and_no_faster() {
    for what in [
        "line",
        "last steps of the line",
        "hats",
        "hats in full",
        "tail of hats",
        "knots",
        "cubics",
    ] {
        let (few, many) = (work(what, 1000), work(what, 8000));
        for (i, (few, many)) in few.into_iter().zip(many).enumerate() {
            let most = match i {
                // As often, however many weights there are.
                4 | 5 => few,
                // Calls are whole blocks.
                _ => 8 * few + few / 4,
            };
            assert!(
                many <= most,
                "{what}, count {i}: {few} of 1000, {many} of 8000"
            );
        }
        assert!(few[0] >= 1000, "{what} asks for its initial weights");
    }
}

#[test]
fn a_schedule_of_a_rate_each_is_one_block() {
    for p in [10, 1000] {
        let rates = vec![0.1f32; p];
        let schedule = Schedule {
            groups: Groups {
                layout: Layout::Flat(p),
                by: Granularity::Parameter,
                biases: true,
            },
            optimizer: Optimizer::HeavyBall,
            rates: &rates,
            momenta: &rates,
        };
        let mut pieces = 0;
        schedule.each(3, |block, by| {
            assert_eq!((block.start, block.rows, block.columns), (0, p, 1));
            assert_eq!((by.rates.len(), by.momenta.len()), (p, p));
            pieces += 1;
        });
        assert_eq!(pieces, 1);
    }
}
