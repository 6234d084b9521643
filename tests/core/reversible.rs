//! Training run backwards in fixed point: its integers against wide ones, its backward pass bit for bit, its
//! hypergradients against a tape of the same trajectory.

use crate::common::plain::derivative;
use crate::common::{
    Answer, Data, NoTraining, Noise, Rates, WIDTHS, bits, hypergradient, on_every_level, wide,
};
use crate::tolerances::*;
use drmad::group::{Block, Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Workspace};
use drmad::kernels::momentum::RowSteps;
use drmad::kernels::reduce::cosine;
use drmad::kernels::reversible::{
    Bits, DENOMINATOR, FASTEST, FULL, Fixed, Ratio, Turn, refill, spill, step, undo_kick, undo_move,
};
use drmad::models::{Features, Mlp, Quadratic};
use drmad::objective::{At, Objective, Products};
use drmad::path::{Path, Reversible, Spare, Steps, Taken, Tape};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Error, Fused, Scalar};

// ---------------------------------------------------------------- the integers

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn a_momentum_becomes_the_nearest_of_all_small_fractions() {
    let mut all: Vec<f64> = (2..=DENOMINATOR)
        .flat_map(|d| (1..d).map(move |n| f64::from(n) / f64::from(d)))
        .collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let mut worst = 0.0;
    for pair in all.windows(2) {
        let [low, high] = [pair[0], pair[1]];
        for (x, want) in [
            (low, low),
            (low + 0.49 * (high - low), low),
            (low + 0.51 * (high - low), high),
            (f64::from(high as f32), high),
        ] {
            let got = Ratio::nearest(x.clamp(Ratio::LEAST, Ratio::GREATEST)).unwrap();
            assert_eq!(got.value(), want, "of {x}");
            assert!(got.n() > 0 && got.n() < got.d() && got.d() <= DENOMINATOR);
            assert_eq!(gcd(got.n(), got.d()), 1);
        }
        worst = f64::max(worst, (high - low) / 2.0);
    }
    assert!(worst < 2.5e-4);
    for x in [
        0.0,
        0.9 * Ratio::LEAST,
        0.9995,
        1.0,
        -0.5,
        f64::NAN,
        f64::INFINITY,
    ] {
        assert_eq!(Ratio::nearest(x), None);
    }
}

/// A step by the formulas, in integers that hold everything.
fn wide_step(
    ratio: Ratio,
    [w, v, x]: [i128; 3],
    kick: i128,
    motion: impl Fn(i128) -> i128,
) -> [i128; 3] {
    let (n, d) = (i128::from(ratio.n()), i128::from(ratio.d()));
    let x = x * d + v.rem_euclid(d);
    let v = v.div_euclid(d) * n + x.rem_euclid(n) - kick;
    [w + motion(v), v, x / n]
}

/// Steps with each of `states`, and back.
fn there_and_back(turn: &Turn, g: &[f32], states: &[[i128; 3]]) -> Vec<[i128; 3]> {
    let mut w: Vec<i32> = states.iter().map(|s| s[0] as i32).collect();
    let mut v: Vec<i32> = states.iter().map(|s| s[1] as i32).collect();
    let mut x: Vec<u32> = states.iter().map(|s| s[2] as u32).collect();
    let join = |w: &[i32], v: &[i32], x: &[u32]| -> Vec<[i128; 3]> {
        let both = w.iter().zip(v).zip(x);
        both.map(|((w, v), x)| [i128::from(*w), i128::from(*v), i128::from(*x)])
            .collect()
    };
    let mut numbers = [vec![0.0f32; w.len()], vec![0.0; w.len()]];
    let [w_number, v_number] = &mut numbers;
    let fixed = Fixed {
        w: &mut w,
        v: &mut v,
        x: &mut x,
    };
    step(turn, g, fixed, w_number, v_number).unwrap();
    let after = join(&w, &v, &x);
    undo_move(turn, &v, &mut w, w_number);
    undo_kick(turn, g, &mut v, &mut x);
    assert_eq!(join(&w, &v, &x), states, "the backward pass");
    after
}

#[test]
fn a_step_by_any_fraction_is_the_formula_at_the_borders_of_every_division() {
    let bits = Bits {
        weight: 26,
        velocity: 28,
    };
    for d in 2..=DENOMINATOR {
        // Each numerator for small denominators; then the ends and the middle.
        let numerators: Vec<u32> = match d {
            ..=64 => (1..d).collect(),
            _ => vec![1, 2, 3, d / 2, d / 2 + 1, d - 2, d - 1],
        };
        for n in numerators.into_iter().filter(|n| gcd(*n, d) == 1) {
            let ratio = Ratio::nearest(f64::from(n) / f64::from(d)).unwrap();
            assert_eq!((ratio.n(), ratio.d()), (n, d));
            let turn = Turn::new(ratio, 0.0, bits).unwrap();
            let top = i128::from(FASTEST);
            let d = i128::from(d);
            let mut states = vec![];
            for middle in [
                -top + d + 1,
                -d,
                0,
                d,
                top / 2 / d * d,
                top / d * d - d,
                top - d - 1,
            ] {
                for v in [middle - d, middle - 1, middle, middle + 1, middle + d] {
                    for x in [
                        0,
                        1,
                        i128::from(n),
                        i128::from(FULL) / 2,
                        i128::from(FULL) - 1,
                    ] {
                        states.push([0, v.clamp(-top, top), x]);
                    }
                }
            }
            let g = vec![0.0; states.len()];
            let got = there_and_back(&turn, &g, &states);
            for (got, state) in got.iter().zip(&states) {
                let want = wide_step(ratio, *state, 0, |_| 0);
                assert_eq!(*got, want, "{n}/{d} from {state:?}");
                assert!(want[2] <= i128::from(ratio.grow(state[2] as u32)));
            }
        }
    }
}

#[test]
fn a_step_is_the_formula_at_any_rate_on_every_level() {
    let bits = Bits {
        weight: 24,
        velocity: 27,
    };
    for rate in [0.05f32, -0.3, 1e-6, 1e-12, 7.9, 100.0, 0.0, 1.0 / 3.0] {
        let ratio = Ratio::nearest(f64::from(0.95f32)).unwrap();
        let turn = Turn::new(ratio, f64::from(rate), bits).unwrap();
        let mut noise = Noise(1);
        let mut integer = |most: u64| (noise.word() % (2 * most + 1)) as i128 - most as i128;
        // A rate of 24 bits is exact: alpha v is this number by 2^-60.
        let alpha = (f64::from(rate) * 2f64.powi(60 - 3)) as i128;
        let motion = |v: i128| (alpha * v + (1 << 59)) >> 60;
        let fast = (FASTEST as u64 / 4).min((2e9 / f64::from(rate.abs() / 8.0)) as u64 / 8);
        let states: Vec<[i128; 3]> = (0..1003)
            .map(|_| {
                [
                    integer(1 << 29),
                    integer(fast),
                    integer(1 << 19) + (1 << 19),
                ]
            })
            .collect();
        let share = f64::from(ratio.d() - ratio.n()) / f64::from(ratio.d());
        let g: Vec<f32> = Noise(2).f32s(states.len(), (fast as f64 / 2f64.powi(27) / share) as f32);
        let want: Vec<[i128; 3]> = states
            .iter()
            .zip(&g)
            .map(|(state, g)| {
                let kick = (f64::from(*g) * (share * 2f64.powi(27))).round_ties_even();
                wide_step(ratio, *state, kick as i128, motion)
            })
            .collect();
        on_every_level(|level| {
            assert_eq!(
                there_and_back(&turn, &g, &states),
                want,
                "{rate} on {level:?}"
            );
        });
    }
}

#[test]
fn spilled_bits_come_back() {
    let want: Vec<u32> = (0..77).map(|i| i * 0x0123_4567).collect();
    let mut x = want.clone();
    let mut bytes = vec![0; 77];
    spill(&mut x, &mut bytes);
    for ((x, byte), want) in x.iter().zip(&bytes).zip(&want) {
        assert_eq!((*x, u32::from(*byte)), (want / 256, want % 256));
    }
    refill(&mut x, &bytes);
    assert_eq!(x, want);
}

// ---------------------------------------------------------------- whole trainings

const P: usize = 74;
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};

/// A training of a small network, with rates and momenta for each step and tensor.
struct Training {
    data: Data,
    w0: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
    least: f32,
    steps: usize,
    bits: Bits,
}

impl Training {
    fn new(steps: usize) -> Training {
        let around = |seed, middle: f32, by: f32| -> Vec<f32> {
            let noise = Noise(seed).f32s(steps * 6, by);
            noise.iter().map(|x| middle + x).collect()
        };
        Training {
            data: Data::small(),
            w0: Noise(3).f32s(P, 0.8),
            rates: around(4, 0.3, 0.2),
            momenta: around(5, 0.8, 0.15),
            least: 0.65,
            steps,
            bits: Reversible::BITS,
        }
    }

    /// With one rate and one momentum for all.
    fn constant(steps: usize, rate: f32, momentum: f32) -> Training {
        Training {
            rates: vec![rate; 6],
            momenta: vec![momentum; 6],
            least: momentum,
            ..Training::new(steps)
        }
    }

    fn storage(&self) -> Vec<u32> {
        vec![u32::MAX; Reversible::required_len(P, self.steps, self.least)]
    }

    fn path<'a>(&self, storage: &'a mut [u32]) -> Reversible<'a> {
        let path = Reversible::new(P, self.steps, self.least, storage).unwrap();
        path.with(self.bits).unwrap()
    }

    fn run<'a, O: Objective>(&'a self, objective: &'a O) -> InnerProblem<'a, O::Arithmetic, f32> {
        InnerProblem {
            objective,
            h: &[],
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: TENSORS,
                rates: &self.rates,
                momenta: &self.momenta,
            },
            batches: Batches {
                seed: 5,
                examples: 8,
                size: 5,
            },
            steps: self.steps,
        }
    }

    fn network(&self) -> Mlp<'_, Features<'_>, Fused> {
        Mlp::new(self.data.features(), WIDTHS, 3).unwrap()
    }

    fn answer(&self, path: &mut dyn Path<Fused, f32>) -> Result<Answer<f32>, Error> {
        let network = self.network();
        let validation = Validation {
            objective: &network,
            examples: &[8, 9, 10, 11],
        };
        hypergradient(&self.run(&network), &validation, &&self.w0[..], path, true)
    }

    /// Trains `objective` without a sweep; `(w_T, v_T)`.
    fn train<O: Objective>(
        &self,
        objective: &O,
        path: &mut dyn Path<O::Arithmetic, f32>,
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        let problem = self.run(objective);
        let (optimizer, scratch) = (problem.schedule.optimizer, objective.scratch_len());
        let mut buffer = vec![0.0; Workspace::<f32>::required_len(P, scratch, optimizer, false)];
        let mut workspace = Workspace::new(&mut buffer, P, optimizer, false)?;
        let w0 = &self.w0[..];
        problem.train(&w0, path, &mut workspace, &mut [0; 5], &mut |_, _| ())?;
        let (w, v) = (workspace.w.to_vec(), workspace.v.to_vec());
        Ok((w, v))
    }
}

/// A tape of the trajectory that another path takes.
struct Taped<P> {
    inner: P,
    walk: Vec<(Vec<f32>, Vec<f32>)>,
}

impl<P: Path<Fused, f32>> Path<Fused, f32> for Taped<P> {
    fn floats(&self) -> usize {
        0
    }
    fn start(&mut self, w: &mut [f32]) -> Result<(), Error> {
        self.inner.start(w)
    }
    fn record(
        &mut self,
        t: usize,
        w: &[f32],
        v: &[f32],
        spare: Spare<'_, f32>,
    ) -> Result<(), Error> {
        self.walk.push((w.to_vec(), v.to_vec()));
        self.inner.record(t, w, v, spare)
    }
    fn advance(
        &mut self,
        t: usize,
        w: &mut [f32],
        v: &mut [f32],
        g: &[f32],
        steps: &mut dyn Steps<f32>,
    ) -> Result<bool, Error> {
        self.inner.advance(t, w, v, g, steps)
    }
    fn taken(&self) -> Option<Taken<f32>> {
        self.inner.taken()
    }
    fn recall(
        &mut self,
        t: usize,
        w: &mut [f32],
        v: Option<&mut [f32]>,
        _: &mut dyn Steps<f32>,
        _: Spare<'_, f32>,
    ) -> Result<(), Error> {
        w.copy_from_slice(&self.walk[t].0);
        v.unwrap_or_default().copy_from_slice(&self.walk[t].1);
        Ok(())
    }
}

#[test]
fn hypergradients_are_those_of_a_tape_of_the_same_walk_bit_for_bit() {
    for training in [
        Training::new(120),
        Training::constant(400, 0.1, 0.95),
        Training::constant(50, 0.1, 1.0 / 1024.0),
        Training {
            bits: Bits {
                weight: 12,
                velocity: 14,
            },
            ..Training::new(120)
        },
    ] {
        let mut storage = training.storage();
        let mut path = training.path(&mut storage);
        let got = training.answer(&mut path).unwrap();
        assert!(path.is_at_start());
        assert_eq!(path.weights().len(), P);

        let mut storage = training.storage();
        let inner = training.path(&mut storage);
        let mut taped = Taped {
            inner,
            walk: vec![],
        };
        let want = training.answer(&mut taped).unwrap();
        for (what, got, want) in [
            ("w_T", &got.w, &want.w),
            ("w_0", &got.d_w0, &want.d_w0),
            ("rates", &got.d_rates, &want.d_rates),
            ("momenta", &got.d_momenta, &want.d_momenta),
        ] {
            assert_eq!(bits(got), bits(want), "{what}");
        }
        assert_eq!(got, want);
    }
}

/// A heavy ball in a bowl of one weight, in float64; the validation loss is half of `w^2`.
fn bowl_in_f64(h: f64, rate: f64, momentum: f64, steps: usize) -> f64 {
    let (mut w, mut v) = (0.75, 0.0);
    for _ in 0..steps {
        v = momentum * v - (1.0 - momentum) * 1.5 * (w - h);
        w += rate * v;
    }
    w * w / 2.0
}

#[test]
fn hypergradients_are_those_of_the_fractions_that_the_training_took_for_momenta() {
    let (h, rate, steps) = (0.25, 0.125, 60);
    // Near fractions of small numbers: great denominators make the training itself coarser.
    for momentum in [0.95f32, 0.95002, 0.50012, 0.80005, 0.90004] {
        // The nearest fraction, by trying all of them.
        let given = f64::from(momentum);
        let fraction = (2..=1024)
            .map(f64::from)
            .map(|d| ((given * d).round().clamp(1.0, d - 1.0)) / d)
            .min_by(|a, b| (a - given).abs().total_cmp(&(b - given).abs()))
            .unwrap();
        let problem = InnerProblem {
            objective: &Quadratic::<Fused>::new(&[1.5]),
            h: &[h],
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: Groups::global(1),
                rates: &[rate],
                momenta: &[f64::from(momentum)],
            },
            batches: Batches {
                seed: 0,
                examples: 1,
                size: 1,
            },
            steps,
        };
        let validation = Validation {
            objective: &Half,
            examples: &[],
        };
        let mut storage = vec![0; Reversible::required_len(1, steps, momentum)];
        let path = Reversible::new(1, steps, momentum, &mut storage).unwrap();
        let mut path = path
            .with(Bits {
                weight: 30,
                velocity: 29,
            })
            .unwrap();
        let got = hypergradient(&problem, &validation, &&[0.75f64][..], &mut path, true).unwrap();
        let by = |f: &dyn Fn(f64) -> f64| derivative(1e-4, f);
        for (what, got, want) in [
            (
                "h",
                got.d_h[0],
                by(&|s| bowl_in_f64(h + s, rate, fraction, steps)),
            ),
            (
                "the rate",
                got.d_rates[0],
                by(&|s| bowl_in_f64(h, rate + s, fraction, steps)),
            ),
            (
                "the momentum",
                got.d_momenta[0],
                by(&|s| bowl_in_f64(h, rate, fraction + s, steps)),
            ),
        ] {
            // What a word gives up moves a velocity by up to a denominator of its units of 2^-29. A momentum
            // that is off by 2e-5 shows at 2e-4.
            assert!(
                (got - want).abs() < 2e-6 * (want.abs() + 0.01),
                "by {what} at {momentum}: {got}, not {want}"
            );
        }
    }
}

/// Half the square of the weight.
struct Half;

impl Objective for Half {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        1
    }
    fn hypers(&self) -> usize {
        1
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        g[0] = at.w[0];
        d_h.into_iter().for_each(|d_h| d_h[0] = S::ZERO);
        Ok(S::from_f64(0.5) * at.w[0] * at.w[0])
    }
}

#[test]
fn the_training_in_fixed_point_is_the_training_in_f32_but_for_rounding() {
    // Tenths, twentieths: the fractions are the momenta.
    let mut training = Training::new(80);
    for momentum in &mut training.momenta {
        *momentum = (*momentum * 20.0).round() / 20.0;
    }
    let mut storage = training.storage();
    let mut path = training.path(&mut storage);
    let got = training.answer(&mut path).unwrap();
    let mut storage = vec![0.0; Tape::<f32>::required_len(P, 80, 1)];
    let mut tape = Tape::new(P, 80, 1, &mut storage).unwrap();
    let want = training.answer(&mut tape).unwrap();
    // A unit of the weights is the same for each of them.
    crate::common::assert_close("w_T", &got.w, &wide(&want.w), F32_SWEEP);
    for (what, got, want) in [
        ("w_0", &got.d_w0, &want.d_w0),
        ("rates", &got.d_rates, &want.d_rates),
        ("momenta", &got.d_momenta, &want.d_momenta),
    ] {
        let cosine = cosine(&wide(got), &wide(want));
        assert!(
            cosine >= REVERSIBLE_COSINE,
            "{what}: 1 - {:e}",
            1.0 - cosine
        );
    }
}

/// The backward pass, step by step.
fn walk_back<O: Objective>(
    training: &Training,
    objective: &O,
    path: &mut Reversible<'_>,
    w: &mut [f32],
) -> Result<(), Error> {
    struct Gradients<'a, O> {
        training: &'a Training,
        objective: &'a O,
    }
    impl<O: Objective> Steps<f32> for Gradients<'_, O> {
        fn replay(
            &mut self,
            _: usize,
            _: &mut [f32],
            _: &mut [f32],
            _: &mut [f32],
        ) -> Result<(), Error> {
            unreachable!("reversal replays no step")
        }
        fn gradient(&mut self, t: usize, w: &[f32], g: &mut [f32]) -> Result<(), Error> {
            let mut batch = [0; 5];
            self.training
                .run(self.objective)
                .batches
                .fill(t, &mut batch)?;
            let at = At {
                w,
                h: &[],
                batch: &batch,
            };
            let mut scratch = vec![0.0; self.objective.scratch_len()];
            self.objective
                .gradient(at, g, None, &mut scratch)
                .map(|_| ())
        }
        fn optimizer(&self) -> Optimizer {
            Optimizer::HeavyBall
        }
        fn each(&self, t: usize, body: &mut dyn FnMut(Block, RowSteps<'_, f32>)) {
            self.training.run(self.objective).schedule.each(t, body);
        }
    }
    let mut steps = Gradients {
        training,
        objective,
    };
    for t in (0..training.steps).rev() {
        let (mut a, mut b) = (vec![0.0; P], vec![0.0; P]);
        let spare = Spare {
            a: &mut a,
            b: &mut b,
        };
        Path::<O::Arithmetic, f32>::recall(path, t, w, None, &mut steps, spare)?;
    }
    Ok(())
}

#[test]
fn after_as_many_steps_back_the_walk_is_where_it_began_bit_for_bit() {
    let training = Training::constant(1000, 0.1, 0.95);
    let network = training.network();
    let mut storage = training.storage();
    let mut path = training.path(&mut storage);
    // The start as the path rounds it.
    let mut w0 = training.w0.clone();
    Path::<Fused, f32>::start(&mut path, &mut w0).unwrap();
    let fixed = path.weights().to_vec();
    assert!(path.is_at_start());

    let (mut w, _) = training.train(&network, &mut path).unwrap();
    assert!(!path.is_at_start() && path.weights() != fixed);
    walk_back(&training, &network, &mut path, &mut w).unwrap();
    assert!(path.is_at_start());
    assert_eq!(path.weights(), fixed);
    assert!(path.velocities().iter().all(|v| *v == 0));
    assert_eq!(bits(&w), bits(&w0));
    for (w, given) in w0.iter().zip(&training.w0) {
        assert!((w - given).abs() <= 2f32.powi(-27));
    }
}

#[test]
fn a_gradient_that_is_another_one_on_the_way_back_is_noticed() {
    let training = Training::constant(60, 0.1, 0.9);
    let network = training.network();
    let mut storage = training.storage();
    let mut path = training.path(&mut storage);
    let (mut w, _) = training.train(&network, &mut path).unwrap();
    let other = Quadratic::<Fused>::new(&[1.0; P]);
    let h = [0.0; P];
    struct Hypers<'a, O>(O, &'a [f32]);
    impl<O: Objective> Objective for Hypers<'_, O> {
        type Arithmetic = O::Arithmetic;
        fn weights(&self) -> usize {
            self.0.weights()
        }
        fn hypers(&self) -> usize {
            0
        }
        fn scratch_len(&self) -> usize {
            self.0.scratch_len()
        }
        fn gradient<S: Scalar>(
            &self,
            at: At<'_, S>,
            g: &mut [S],
            _: Option<&mut [S]>,
            scratch: &mut [S],
        ) -> Result<S, Error> {
            let h: Vec<S> = self.1.iter().map(|h| S::from_f32(*h)).collect();
            self.0.gradient(At { h: &h, ..at }, g, None, scratch)
        }
    }
    let error = walk_back(&training, &Hypers(other, &h), &mut path, &mut w).unwrap_err();
    assert!(error.to_string().contains("not the same twice"), "{error}");
}

#[test]
fn storage_is_the_information_that_the_momentum_loses() {
    let p = 1000;
    for (momentum, n) in [
        (0.5f32, 1.0f64),
        (0.9, 9.0),
        (0.95, 19.0),
        (0.99, 99.0),
        (1.0 / 3.0, 1.0),
        (0.622_459_35, 600.0),
        (1023.0 / 1024.0, 1023.0),
    ] {
        let lost = -f64::from(momentum).log2();
        let steps = (1e4 / lost) as usize;
        let words = Reversible::required_len(p, steps, momentum);
        let bits = words as f64 * 32.0 / p as f64 - 96.0;
        let want = steps as f64 * lost;
        assert!(
            bits / want - 1.0 < REVERSIBLE_SIZE && bits > want - 32.0,
            "{momentum}: {bits} bits of {want}"
        );
        // And the constant, for few steps.
        let steps = (100.0 / lost) as usize;
        let words = Reversible::required_len(p, steps, momentum);
        let bits = words as f64 * 32.0 / p as f64 - 96.0;
        let want = steps as f64 * lost + n.log2() - 21.0;
        assert!(
            bits < want * (1.0 + REVERSIBLE_SIZE) + 9.0,
            "{momentum}: {bits} bits of {want}"
        );
    }
}

#[test]
fn a_greater_momentum_never_needs_more_room() {
    let mut ratios: Vec<f32> = (1..100).map(|i| i as f32 / 100.0).collect();
    ratios.extend([
        1023.0 / 1024.0,
        1021.0 / 1022.0,
        1.0 / 1024.0,
        511.0 / 1023.0,
    ]);
    ratios.sort_by(f32::total_cmp);
    for steps in [1, 7, 30, 100, 1000] {
        let lens: Vec<usize> = ratios
            .iter()
            .map(|m| Reversible::required_len(8, steps, *m))
            .collect();
        assert!(lens.is_sorted_by(|a, b| a >= b), "{lens:?}");
    }
}

/// Of no weights the words are the spills alone.
#[test]
fn horizons_of_any_length_are_planned_at_once_and_as_step_by_step() {
    let momenta = [
        1.0 / 1024.0,
        0.03,
        0.5,
        0.6,
        0.9,
        0.95,
        0.99,
        1023.0 / 1024.0,
    ];
    for momentum in momenta {
        let ratio = Ratio::nearest(momentum).unwrap();
        let (mut bound, mut spills) = (0, 0);
        for steps in 1..=300_000 {
            while bound >= FULL {
                bound >>= 8;
                spills += 1;
            }
            bound = ratio.grow(bound);
            if steps < 2000 || steps % 997 == 0 {
                let words = Reversible::required_len(0, steps, momentum as f32);
                assert_eq!(words, spills, "{momentum}, {steps} steps");
            }
        }
        // Each step loses `-log2(momentum)` bits, and a spill takes eight.
        let longest = Reversible::required_len(0, usize::MAX / 4, momentum as f32);
        let a_step = longest as f64 / (usize::MAX / 4) as f64;
        let want = -momentum.log2() / 8.0;
        assert!(
            (a_step / want - 1.0).abs() < REVERSIBLE_SIZE,
            "{a_step} of {want}"
        );
    }
}

// ---------------------------------------------------------------- what is refused

#[test]
fn momenta_that_cannot_be_reversed_are_refused() {
    let mut storage = vec![0; 1000];
    let error = Reversible::new(4, 5, 0.0, &mut storage).unwrap_err();
    assert!(error.to_string().contains("momentum 0 with reversal"));
    for momentum in [1e-4f32, 0.9999, f32::NAN] {
        let error = Reversible::new(4, 5, momentum, &mut storage).unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{error}");
        assert_eq!(Reversible::required_len(4, 5, momentum), usize::MAX);
    }
    for (momentum, words) in [(0.0, "momentum 0 with reversal"), (0.6, "must lie in 0.65")] {
        let mut training = Training::new(8);
        training.momenta[3 * 6 + 1] = momentum;
        let mut storage = training.storage();
        let error = training
            .answer(&mut training.path(&mut storage))
            .unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn storage_too_short_and_bits_out_of_range_are_refused() {
    let want = Reversible::required_len(4, 500, 0.9);
    let mut storage = vec![0; want];
    assert_eq!(
        Reversible::new(4, 500, 0.9, &mut storage[1..]).unwrap_err(),
        Error::Length {
            what: "storage of the reversal",
            want,
            got: want - 1
        }
    );
    for (weight, velocity) in [(0, 28), (31, 28), (26, 0), (26, 31)] {
        let path = Reversible::new(4, 500, 0.9, &mut storage).unwrap();
        let error = path.with(Bits { weight, velocity }).unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{error}");
    }
}

#[test]
fn a_rate_beyond_the_integers_is_refused() {
    let training = Training::constant(3, 1e10, 0.9);
    let mut storage = training.storage();
    let error = training
        .answer(&mut training.path(&mut storage))
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Range {
                what: "rate with reversal",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn steps_out_of_order_are_refused() {
    let (w, v) = (&mut [0.5f32; 4], &mut [0.0; 4]);
    let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    let mut storage = vec![0; Reversible::required_len(4, 2, 0.9)];
    let mut path = Reversible::new(4, 2, 0.9, &mut storage).unwrap();
    let path: &mut dyn Path<Fused, f32> = &mut path;
    let steps = &mut NoTraining(4);
    let error = path.record(0, w, v, spare.again()).unwrap_err();
    assert!(error.to_string().contains("not started"));
    let untrained = |t| Error::Index {
        what: "step of the reversal",
        index: t,
        len: 0,
    };
    assert_eq!(
        path.recall(1, w, None, steps, spare.again()),
        Err(untrained(1))
    );
    path.start(w).unwrap();
    assert_eq!(
        path.recall(0, w, None, steps, spare.again()),
        Err(untrained(0))
    );
    let order = Error::Order { want: 0, got: 1 };
    assert_eq!(path.record(1, w, v, spare.again()), Err(order));
    assert_eq!(path.advance(1, w, v, &[0.0; 4], steps), Err(order));
    // The momentum of these steps is 0, and a step that failed half-way is no step.
    let error = path.advance(0, w, v, &[0.0; 4], steps).unwrap_err();
    assert!(error.to_string().contains("momentum 0 with reversal"));
    let error = path.record(0, w, v, spare.again()).unwrap_err();
    assert!(error.to_string().contains("failed"));
    assert!(matches!(
        path.start(&mut [0.0f32; 3]),
        Err(Error::Length {
            what: "w",
            want: 4,
            got: 3
        })
    ));
}

/// `slope . w`: a gradient that is given.
struct Slope(Vec<f32>);

impl Objective for Slope {
    type Arithmetic = Fused;
    fn weights(&self) -> usize {
        P
    }
    fn hypers(&self) -> usize {
        0
    }
    fn scratch_len(&self) -> usize {
        0
    }
    fn gradient<S: Scalar>(
        &self,
        _: At<'_, S>,
        g: &mut [S],
        _: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        for (g, slope) in g.iter_mut().zip(&self.0) {
            *g = S::from_f32(*slope);
        }
        Ok(S::ZERO)
    }
    fn second_order<S: Scalar>(
        &self,
        _: At<'_, S>,
        _: &[S],
        _: Products<'_, S>,
        _: &mut [S],
    ) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn what_overflows_is_named_with_its_step_weight_and_range() {
    let overflow = |training: &Training, slope: f32| {
        let mut slopes = vec![0.0; P];
        slopes[41] = slope;
        let mut storage = training.storage();
        let mut path = training.path(&mut storage);
        let error = training.train(&Slope(slopes), &mut path).unwrap_err();
        // Nothing is left that could be walked back over.
        assert!(!path.is_at_start());
        error
    };
    let near = |x: f64, want: f64| (x - want).abs() < 1e-3 * want.abs();

    // v after t steps is (.5^t - 1) slope, which reaches -4 after the fourth.
    let training = Training::constant(20, 1e-3, 0.5);
    let Error::Overflow {
        what,
        step,
        weight,
        value,
        least,
        greatest,
    } = overflow(&training, 4.2)
    else {
        panic!("no overflow");
    };
    assert_eq!((what, step, weight), ("velocity", 4, 41));
    assert!(near(value, -4.2 * 31.0 / 32.0) && near(least, -4.0) && near(greatest, 4.0));

    let Error::Overflow {
        what,
        step,
        weight,
        value,
        greatest,
        ..
    } = overflow(&training, -9.0)
    else {
        panic!("no overflow");
    };
    assert_eq!((what, step, weight), ("gradient", 0, 41));
    assert!(near(value, -9.0) && near(greatest, 8.0));

    // w moves by 2 (1 - .5^t) 5.
    let mut training = Training::constant(20, 5.0, 0.5);
    training.w0 = vec![0.0; P];
    let Error::Overflow {
        what,
        step,
        weight,
        value,
        greatest,
        ..
    } = overflow(&training, -2.0)
    else {
        panic!("no overflow");
    };
    // 5 + 7.5 + 8.75 + 9.375 = 30.6, and the fifth step adds 9.7.
    assert_eq!((what, step, weight), ("value", 4, 41));
    assert!(near(value, 40.3125) && near(greatest, 32.0));

    // A single step of more than 2^31 units.
    let training = Training::constant(20, 1000.0, 0.5);
    assert!(matches!(
        overflow(&training, -2.0),
        Error::Overflow {
            what: "value",
            step: 0,
            weight: 41,
            ..
        }
    ));

    let training = Training::constant(20, 0.1, 0.5);
    for slope in [f32::NAN, f32::INFINITY] {
        assert_eq!(
            overflow(&training, slope),
            Error::Diverged {
                what: "gradient",
                step: 0
            }
        );
    }

    let mut training = Training::constant(20, 0.1, 0.5);
    training.w0[7] = -33.0;
    let error = overflow(&training, 0.0);
    assert!(matches!(
        error,
        Error::Overflow {
            what: "value",
            step: 0,
            weight: 7,
            value: -33.0,
            ..
        }
    ));
    let words = error.to_string();
    assert!(
        words.contains("value of weight 7 is -33 at step 0"),
        "{words}"
    );
}

#[test]
fn other_rules_are_refused() {
    let mut other = Rates(Schedule {
        groups: Groups::global(4),
        optimizer: Optimizer::Nesterov,
        rates: &[0.1],
        momenta: &[0.9],
    });
    let mut storage = vec![0; Reversible::required_len(4, 2, 0.9)];
    let mut path = Reversible::new(4, 2, 0.9, &mut storage).unwrap();
    let path: &mut dyn Path<Fused, f32> = &mut path;
    let (w, v) = (&mut [0.5f32; 4], &mut [0.0; 4]);
    path.start(w).unwrap();
    let error = path.advance(0, w, v, &[0.0; 4], &mut other).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}
