//! Numbers and sizes at their ends: what comes out is a result, finite in every number, or an error that
//! says what went wrong and where; never a NaN without a word.

use std::hint::black_box;

use crate::common::{Answer, Data, Noise, bits, hypergradient};
use drmad::forward::{Forward, Wrt};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, scratch_len};
use drmad::models::{Features, Mlp, Quadratic};
use drmad::outer::{Adam, Outer, Projection, Sgd, Sign};
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Quantised, Reversed,
    Reversible, Tail, Tape,
};
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Error, Fused};

/// The ends of the numbers, and what lies beyond them.
const ENDS: [f32; 16] = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1.1e-38,
    f32::MIN_POSITIVE,
    1e-30,
    1e30,
    -1e30,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    // NaNs with payloads, one quiet and one signalling.
    f32::from_bits(0xffc0_1234),
    f32::from_bits(0x7f80_0001),
];

const WIDTHS: &[usize] = &[3, 2, 2];
const P: usize = 4 * 2 + 3 * 2;
const STEPS: usize = 8;

const fn by(by: Granularity, biases: bool) -> Groups<'static> {
    Groups {
        layout: Layout::Layers(WIDTHS),
        by,
        biases,
    }
}

const UNITS: Groups<'static> = by(Granularity::Unit, true);
const TENSORS: Groups<'static> = by(Granularity::Tensor, true);
const ADAM: Optimizer = Optimizer::Adam {
    b2: 0.9,
    eps: 1e-8,
    decay: 0.1,
};

/// All numbers of a training.
#[derive(Clone)]
struct Inputs {
    x: Vec<f32>,
    w0: Vec<f32>,
    h: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
}

impl Inputs {
    fn new() -> Self {
        let mut noise = Noise(3);
        Inputs {
            x: noise.f32s(6 * WIDTHS[0], 1.0),
            w0: noise.f32s(P, 0.5),
            h: [vec![1.0; UNITS.len()], vec![0.01; TENSORS.len()]].concat(),
            rates: vec![0.3; TENSORS.len()],
            momenta: vec![0.6; TENSORS.len()],
        }
    }

    fn fields(&mut self) -> [&mut Vec<f32>; 5] {
        let Inputs {
            x,
            w0,
            h,
            rates,
            momenta,
        } = self;
        [x, w0, h, rates, momenta]
    }

    /// The training, its validation, and what `then` makes of the two.
    fn with<R>(
        &self,
        optimizer: Optimizer,
        then: impl FnOnce(&Training<'_>, &Validation<'_, Fused, f32>) -> R,
    ) -> R {
        let features = Features {
            x: &self.x,
            labels: &[0, 1, 1, 0, 1, 0],
            width: WIDTHS[0],
        };
        let objective = |strength| {
            let inner = Mlp::<_, Fused>::new(features, WIDTHS, 2).unwrap();
            let groups = UNITS;
            L2::new(Scaled { inner, groups }, strength)
        };
        let objective = [Strength::Tuned(TENSORS), Strength::Off(TENSORS)].map(objective);
        let problem = InnerProblem {
            objective: &objective[0],
            h: &self.h,
            schedule: Schedule {
                groups: TENSORS,
                optimizer,
                rates: &self.rates,
                momenta: &self.momenta,
            },
            batches: Batches {
                seed: 1,
                examples: 4,
                size: 3,
            },
            steps: STEPS,
        };
        let validation = Validation {
            objective: &objective[1],
            examples: &[4, 5],
        };
        then(&problem, &validation)
    }

    /// The hypergradient by a sweep over a path.
    fn over(
        &self,
        optimizer: Optimizer,
        path: &mut dyn Path<Fused, f32>,
        schedule: bool,
    ) -> Result<Answer<f32>, Error> {
        self.with(optimizer, |problem, validation| {
            hypergradient(problem, validation, &&self.w0[..], path, schedule)
        })
    }

    /// The same by forward mode, in some directions.
    fn forward(&self, optimizer: Optimizer) -> Result<Vec<f32>, Error> {
        const WRT: &[Wrt] = &[Wrt::Hyper(0), Wrt::Hyper(7), Wrt::Rate(1), Wrt::Momentum(2)];
        self.with(optimizer, |problem, validation| {
            let scratch = problem.forward_scratch_len(validation, WRT.len());
            let hypers = self.h.len();
            let len = Forward::<f32>::required_len(P, hypers, optimizer, WRT.len(), scratch);
            let mut buffer = vec![f32::NAN; len];
            let mut forward = Forward::new(&mut buffer, problem, WRT)?;
            forward.start(&&self.w0[..])?;
            problem.forward(0..STEPS, &mut forward, &mut [0; 3], &mut |_, _| ())?;
            let mut d = vec![f32::NAN; WRT.len()];
            let loss = problem.hypergradient(validation, &mut forward, &mut d)?;
            d.push(loss);
            Ok(d)
        })
    }

    /// Calls `then` with what each method makes of this training.
    fn each(&self, optimizer: Optimizer, mut then: impl FnMut(&str, Result<Vec<f32>, Error>)) {
        const NAMES: [&str; 11] = [
            "tape",
            "tape with schedule",
            "checkpoints with schedule",
            "reversible",
            "line",
            "knots",
            "hermite",
            "legendre",
            "hats in full",
            "tail of hats",
            "reversed",
        ];
        for name in NAMES {
            then(
                name,
                self.by_name(name, optimizer).map(|answer| answer.numbers()),
            );
        }
        then("forward", self.forward(optimizer));
    }

    fn by_name(&self, name: &str, optimizer: Optimizer) -> Result<Answer<f32>, Error> {
        let (w0, slots) = (&self.w0[..], optimizer.slots());
        let (mut numbers, mut more_numbers) = (vec![f32::NAN; 1000], vec![f32::NAN; 1000]);
        let (mut words, mut marks) = (vec![!0; 1000], [Mark::default(); 3]);
        let mut factors = [f32::NAN; 4];
        let grid = |steps| Grid {
            steps,
            intervals: 3,
            spacing: 1.5,
        };
        match name {
            "tape" => {
                // The heavy ball's velocities can be told from its weights.
                let slots = if optimizer == Optimizer::HeavyBall {
                    0
                } else {
                    slots
                };
                self.over(
                    optimizer,
                    &mut Tape::new(P, STEPS, slots, &mut numbers)?,
                    false,
                )
            }
            "tape with schedule" => self.over(
                optimizer,
                &mut Tape::new(P, STEPS, slots, &mut numbers)?,
                true,
            ),
            "checkpoints with schedule" => {
                let mut path = Checkpoints::new(P, STEPS, slots, &mut numbers, &mut marks)?;
                self.over(optimizer, &mut path, true)
            }
            "reversible" => self.over(
                optimizer,
                &mut Reversible::new(P, STEPS, 0.6, &mut words)?,
                false,
            ),
            "line" => self.over(optimizer, &mut Line::new(w0, STEPS), false),
            "knots" => {
                let rows = Quantised::<11>::new(P, 3, &mut words)?;
                self.over(
                    optimizer,
                    &mut Knots::<f32, _, _>::new(P, 3, w0, rows)?,
                    false,
                )
            }
            "hermite" => {
                let rows = Full::new(P, 3, &mut numbers)?;
                let changes = Full::new(P, 4, &mut more_numbers)?;
                let mut path = Knots::<f32, _, _>::hermite(P, 3, w0, rows, changes)?;
                self.over(optimizer, &mut path, false)
            }
            "legendre" => self.over(
                optimizer,
                &mut Legendre::new(P, STEPS, 3, &mut numbers)?,
                false,
            ),
            "hats in full" => {
                let rows = Full::new(P, 3, &mut numbers)?;
                let mut path = Hats::new(P, grid(STEPS), w0, rows, &mut factors)?;
                self.over(optimizer, &mut path, false)
            }
            "tail of hats" => {
                let rows = Quantised::<11>::new(P, 3, &mut words)?;
                let hats = Hats::new(P, grid(STEPS - 3), w0, rows, &mut factors)?;
                self.over(optimizer, &mut Tail::new(hats, STEPS, 3)?, false)
            }
            "reversed" => self.over(optimizer, &mut Reversed, false),
            other => panic!("no method {other}"),
        }
    }
}

type Training<'a> = InnerProblem<'a, Fused, f32>;

/// Counts results, which must be finite, and refusals, which must say where.
#[derive(Default)]
struct Tally {
    results: usize,
    refused: usize,
}

impl Tally {
    #[track_caller]
    fn add(&mut self, what: &str, got: Result<Vec<f32>, Error>) {
        match got {
            Ok(numbers) => {
                self.results += 1;
                assert!(!numbers.is_empty());
                assert!(numbers.iter().all(|x| x.is_finite()), "{what}: {numbers:?}");
            }
            Err(error) => {
                self.refused += 1;
                let text = error.to_string();
                match error {
                    Error::NonFinite { step, .. }
                    | Error::Diverged { step, .. }
                    | Error::Moment { step, .. }
                    | Error::Momentum { step, .. }
                    | Error::Overflow { step, .. } => {
                        assert!(step <= STEPS, "{what}: {text}");
                        assert!(text.contains(&format!("step {step}")), "{what}: {text}");
                    }
                    Error::Unsupported { .. } | Error::Range { .. } => {}
                    other => panic!("{what}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn whatever_number_stands_anywhere_every_method_gives_finite_numbers_or_says_at_which_step_not() {
    let mut tally = Tally::default();
    for optimizer in [Optimizer::HeavyBall, Optimizer::Nesterov, ADAM] {
        for field in 0..5 {
            for end in ENDS {
                // One of them, the last, and all.
                for places in 0..3 {
                    let mut inputs = Inputs::new();
                    let x = &mut inputs.fields()[field][..];
                    let n = x.len();
                    let (from, to) = [(0, 1), (n - 1, n), (0, n)][places];
                    x[from..to].fill(end);
                    inputs.each(optimizer, |method, got| {
                        let what =
                            format!("{method}, {optimizer:?}, {end:e} in {field} at {from}..{to}");
                        tally.add(&what, got);
                    });
                }
            }
        }
    }
    let Tally { results, refused } = tally;
    assert!(
        results > 1000 && refused > 1000,
        "{results} results, {refused} refused"
    );
}

#[test]
fn where_nothing_moves_them_the_smallest_numbers_keep_their_bits() {
    let mut inputs = Inputs::new();
    inputs.rates.fill(0.0);
    // Not -0.0: its sum with 0 is 0.
    let least = [1e-45, -1e-45, 0.0, 1.1e-38, f32::MIN_POSITIVE, -1e-40];
    for (w, least) in inputs.w0.iter_mut().zip(least.iter().cycle()) {
        *w = *least;
    }
    for name in ["tape", "line", "hats in full"] {
        let answer = inputs.by_name(name, Optimizer::HeavyBall).unwrap();
        assert_eq!(bits(&answer.w), bits(&inputs.w0), "{name}");
    }
}

#[test]
fn weights_of_1e30_are_trained_or_refused_with_their_step() {
    let mut tally = Tally::default();
    for scale in [1e10, 1e20, 1e30, 1e38] {
        for (k, _) in ENDS.iter().enumerate() {
            let mut inputs = Inputs::new();
            inputs.w0 = Noise(k as u64).f32s(P, scale);
            for optimizer in [Optimizer::HeavyBall, Optimizer::Nesterov, ADAM] {
                inputs.each(optimizer, |method, got| {
                    tally.add(
                        &format!("{method}, {optimizer:?}, weights of {scale:e}"),
                        got,
                    );
                });
            }
        }
    }
    let Tally { results, refused } = tally;
    assert!(
        results > 100 && refused > 100,
        "{results} results, {refused} refused"
    );
}

#[test]
fn one_weight_one_step_and_one_example_are_a_training() {
    // v = -(1 - gamma) (w - h), w + alpha v: from 1, the weight after it is .75.
    let bowl = Quadratic::<Fused>::new(&[1.0]);
    let problem = InnerProblem {
        objective: &bowl,
        h: &[0.0],
        schedule: Schedule {
            groups: Groups::global(1),
            optimizer: Optimizer::HeavyBall,
            rates: &[0.5f32],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps: 1,
    };
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let initial = &[1.0f32][..];
    let mut storage = [f32::NAN; 2];
    let mut tape = Tape::new(1, 1, 1, &mut storage).unwrap();
    let answer = hypergradient(&problem, &validation, &initial, &mut tape, true).unwrap();
    // E = (w - h)^2 / 2 with dw/dh = alpha (1 - gamma).
    assert_eq!((answer.w[0], answer.valid_loss), (0.75, 0.281_25));
    assert_eq!(answer.d_h, [0.75 * (0.25 - 1.0)]);
    assert_eq!(answer.d_rates, [0.75 * -0.5]);

    // One class has nothing to learn: its loss is 0, and so is everything behind it.
    let data = Data {
        x: vec![0.3],
        labels: vec![0],
        width: 1,
    };
    let net = Mlp::<_, Fused>::new(data.features(), &[1, 1], 1).unwrap();
    let problem = InnerProblem {
        objective: &net,
        h: &[],
        schedule: Schedule {
            groups: Groups::global(2),
            ..problem.schedule
        },
        batches: problem.batches,
        steps: 1,
    };
    let validation = Validation {
        objective: &net,
        examples: &[0],
    };
    let initial = &[0.5f32, -0.5][..];
    let mut line = Line::new(initial, 1);
    let answer = hypergradient(&problem, &validation, &initial, &mut line, false).unwrap();
    assert_eq!((answer.valid_loss, answer.w), (0.0, initial.to_vec()));
    assert_eq!(answer.d_w0, [0.0, 0.0]);
}

/// 100,000 steps of a network of 14 weights.
#[test]
fn a_hundred_thousand_steps_there_and_back_are_exact_where_the_path_is() {
    const LONG: usize = 100_000;
    let inputs = Inputs::new();
    let w0 = &inputs.w0[..];
    let over = |path: &mut dyn Path<Fused, f32>| {
        inputs.with(Optimizer::HeavyBall, |problem, validation| {
            let problem = InnerProblem {
                steps: LONG,
                ..*problem
            };
            hypergradient(&problem, validation, &w0, path, false)
        })
    };
    let mut storage = vec![f32::NAN; Tape::<f32>::required_len(P, LONG, 0)];
    let exact = over(&mut Tape::new(P, LONG, 0, &mut storage).unwrap()).unwrap();
    assert_eq!((exact.losses.len(), exact.steps_back), (LONG, LONG));
    assert!(exact.numbers().iter().all(|x| x.is_finite()));
    assert!(exact.d_h.iter().any(|d| *d != 0.0));

    let mut storage = vec![f32::NAN; Checkpoints::<f32>::required_len(P, 60, 1)];
    let mut marks = [Mark::default(); 60];
    let mut path = Checkpoints::new(P, LONG, 1, &mut storage, &mut marks).unwrap();
    assert_eq!(bits(&over(&mut path).unwrap().d_h), bits(&exact.d_h));
    assert_eq!(
        path.recomputed(),
        Checkpoints::<f32>::least_recomputed(LONG, 60)
    );

    let mut words = vec![!0; Reversible::required_len(P, LONG, 0.6)];
    let mut path = Reversible::new(P, LONG, 0.6, &mut words).unwrap();
    let reversible = over(&mut path).unwrap();
    assert!(reversible.numbers().iter().all(|x| x.is_finite()));

    let mut words = vec![!0; Quantised::<11>::required_len(P, 64)];
    let mut factors = [f32::NAN; 65];
    let rows = Quantised::<11>::new(P, 64, &mut words).unwrap();
    let grid = Grid {
        steps: LONG,
        intervals: 64,
        spacing: 1.5,
    };
    let mut path = Hats::new(P, grid, w0, rows, &mut factors).unwrap();
    // A fit so coarse may diverge on the backward pass; then it says at which step.
    match over(&mut path) {
        Ok(answer) => assert!(answer.numbers().iter().all(|x| x.is_finite())),
        Err(Error::Diverged { step, .. }) => assert!(step <= LONG),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn ten_million_weights_are_trained_and_swept_in_the_line_s_memory() {
    const WIDE: &[usize] = &[40_000, 250];
    let layout = Layout::Layers(WIDE);
    let p = layout.weights();
    assert!(p > 10_000_000);
    let data = Data {
        x: Noise(2).f32s(3 * WIDE[0], 0.1),
        labels: vec![0, 249, 7],
        width: WIDE[0],
    };
    let groups = Groups {
        layout,
        by: Granularity::Tensor,
        biases: true,
    };
    let objective = |strength| {
        let net = Mlp::<_, Fused>::new(data.features(), WIDE, 1).unwrap();
        L2::new(net, strength)
    };
    let (training, judged) = (
        objective(Strength::Tuned(groups)),
        objective(Strength::Off(groups)),
    );
    // The scratch does not grow with the weights beyond what one product packs.
    assert!(scratch_len(&training, &judged) < 2 * p);
    let problem = InnerProblem {
        objective: &training,
        h: &[1e-4f32, 0.0],
        schedule: Schedule {
            groups: Groups::global(p),
            optimizer: Optimizer::HeavyBall,
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 0,
            examples: 2,
            size: 1,
        },
        steps: 2,
    };
    let validation = Validation {
        objective: &judged,
        examples: &[2],
    };
    let initial = Normal {
        seed: 4,
        groups: Groups::global(p),
        log_scales: &[-5.0f32],
    };
    assert_eq!(InitialWeights::<f32>::floats(&initial), 0);
    let mut line = Line::new(initial, 2);
    assert_eq!(Path::<Fused, f32>::floats(&line), 0);
    let answer = hypergradient(&problem, &validation, &initial, &mut line, false).unwrap();
    assert!(answer.w.iter().chain(&answer.d_h).all(|x| x.is_finite()));
    assert!(answer.d_h[0] != 0.0);
}

#[test]
fn outer_optimizers_and_projections_leave_finite_numbers_or_refuse_and_change_nothing() {
    let mut tally = Tally::default();
    for rate in ENDS {
        for d in ENDS {
            for start in ENDS {
                let h = [start, 1.0, -2.0];
                let d = [0.5, d, d];
                let mut step = |name: &str, outer: &mut dyn Outer<f32>| {
                    let mut moved = h;
                    let what = format!("{name} from {h:?} by {rate:e} down {d:?}");
                    let done = outer.step(&mut moved, &d);
                    if done.is_err() {
                        assert_eq!(bits(&moved), bits(&h), "{what}");
                    }
                    // What is not finite at the start and is left alone is the caller's own.
                    if h.iter().all(|h| h.is_finite()) {
                        tally.add(&what, done.map(|()| moved.to_vec()));
                    }
                };
                step("sign", &mut Sign { rate });
                step("sgd", &mut Sgd { rate });
                let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
                if let Ok(mut adam) = Adam::new(rate, &mut m, &mut v) {
                    step("adam", &mut adam);
                }
            }
        }
    }
    for (low, high) in ENDS.iter().flat_map(|low| ENDS.map(|high| (*low, high))) {
        for onto in [
            Projection::NonNegative,
            Projection::Box { low, high },
            Projection::Simplex { total: high },
            Projection::L1Ball { radius: high },
            Projection::CappedBox {
                low,
                high,
                total: 1.0,
            },
        ] {
            for x in [[0.5, -1.5, 3.0], [1e30, -1e30, 1e-45], [f32::MAX; 3]] {
                let mut moved = x;
                let done = onto.project(&mut moved);
                if done.is_err() {
                    assert_eq!(bits(&moved), bits(&x));
                }
                let finite = [low, high].iter().all(|x| x.is_finite());
                if finite && !matches!(done, Err(Error::EmptySet { .. })) {
                    tally.add(&format!("{onto:?} of {x:?}"), done.map(|()| moved.to_vec()));
                }
            }
        }
    }
    let Tally { results, refused } = tally;
    assert!(
        results > 100 && refused > 100,
        "{results} results, {refused} refused"
    );
}

/// These tests, and all others, are built with them: the profile `dev` has them on.
#[test]
fn arithmetic_that_overflows_panics_in_the_tests_profile() {
    let overflows = std::panic::catch_unwind(|| black_box(u8::MAX) + black_box(1));
    assert!(overflows.is_err());
}
