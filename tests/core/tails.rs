//! Reversal in floating point and how far it reaches; tails and truncated sweeps, held to the paths
//! inside them.

use crate::common::{Answer, Data, Noise, Rates, WIDTHS, bits, hypergradient, wide};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::Mlp;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Line, Mark, Path, Plan, Quantised, Replayed, Reversed,
    Reversible, Spare, Steps, Tail, Taken, Tape, Truncated,
};
use drmad::random::{Batches, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use drmad::{Arithmetic, Error, Fused, Plain, Scalar};

const STEPS: usize = 24;
const P: usize = 74;
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};
const GROUPS: usize = 6;

/// A training with penalties by tensor; rates and momenta are for each step and tensor, but for Adam's
/// momenta.
#[derive(Clone)]
struct Training<S> {
    optimizer: Optimizer,
    steps: usize,
    h: Vec<S>,
    rates: Vec<S>,
    momenta: Vec<S>,
    w0: Vec<S>,
}

impl<S: Scalar> Training<S> {
    fn new(optimizer: Optimizer) -> Self {
        let around = |seed, n, middle: f32, by: f32| -> Vec<S> {
            let noise = Noise(seed).f32s(n, by);
            noise.iter().map(|x| S::from_f32(middle + x)).collect()
        };
        let is_adam = matches!(optimizer, Optimizer::Adam { .. });
        let (rate, momenta) = if is_adam { (0.03, 1) } else { (0.3, STEPS) };
        Training {
            optimizer,
            steps: STEPS,
            h: around(300, GROUPS, 0.02, 0.01),
            rates: around(301, STEPS * GROUPS, rate, rate / 3.0),
            momenta: around(302, momenta * GROUPS, 0.8, 0.1),
            w0: around(303, P, 0.0, 0.5),
        }
    }

    /// Of one momentum throughout.
    fn constant(steps: usize, momentum: f32) -> Self {
        Training {
            steps,
            rates: vec![S::from_f32(0.3); GROUPS],
            momenta: vec![S::from_f32(momentum); GROUPS],
            ..Self::new(Optimizer::HeavyBall)
        }
    }

    fn schedule(&self) -> Schedule<'_, S> {
        Schedule {
            optimizer: self.optimizer,
            groups: TENSORS,
            rates: &self.rates,
            momenta: &self.momenta,
        }
    }

    fn answer<A: Arithmetic>(
        &self,
        path: &mut dyn Path<A, S>,
        schedule: bool,
    ) -> Result<Answer<S>, Error> {
        let data = Data::small();
        let net = || Mlp::<_, A>::new(data.features(), WIDTHS, 4).unwrap();
        let training = L2::new(net(), Strength::Tuned(TENSORS));
        let judged = L2::new(net(), Strength::Off(TENSORS));
        let problem = InnerProblem {
            objective: &training,
            h: &self.h,
            schedule: self.schedule(),
            batches: Batches {
                seed: 5,
                examples: 8,
                size: 5,
            },
            steps: self.steps,
        };
        let validation = Validation {
            objective: &judged,
            examples: &[8, 9, 10, 11],
        };
        hypergradient(&problem, &validation, &&self.w0[..], path, schedule)
    }

    /// The same, and all that the path saw and said.
    fn watched<A: Arithmetic>(
        &self,
        path: impl Path<A, S>,
        schedule: bool,
    ) -> (Answer<S>, Watched<S, impl Path<A, S>>) {
        let mut watched = Watched::new(path);
        let answer = self.answer::<A>(&mut watched, schedule).unwrap();
        (answer, watched)
    }
}

/// A path under observation.
struct Watched<S, Q> {
    path: Q,
    /// Weights and velocity before each step, and in the end.
    walk: Vec<(Vec<S>, Vec<S>)>,
    /// Those recalled, the last step first; the velocity where it was wanted.
    recalled: Vec<(Vec<S>, Vec<S>)>,
}

impl<S, Q> Watched<S, Q> {
    fn new(path: Q) -> Self {
        let (walk, recalled) = (vec![], vec![]);
        Watched {
            path,
            walk,
            recalled,
        }
    }
}

impl<A: Arithmetic, S: Scalar, Q: Path<A, S>> Path<A, S> for Watched<S, Q> {
    fn floats(&self) -> usize {
        self.path.floats()
    }
    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        self.path.start(w)
    }
    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.walk.push((w.to_vec(), v.to_vec()));
        self.path.record(t, w, v, spare)
    }
    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        self.path.advance(t, w, v, g, steps)
    }
    fn taken(&self) -> Option<Taken<S>> {
        self.path.taken()
    }
    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.walk.push((w.to_vec(), v.to_vec()));
        self.path.finish(w, v, spare)
    }
    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.path.open(w, spare)
    }
    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        match v {
            Some(v) => {
                self.path.recall(t, w, Some(&mut *v), steps, spare)?;
                self.recalled.push((w.to_vec(), v.to_vec()));
            }
            None => {
                self.path.recall(t, w, None, steps, spare)?;
                self.recalled.push((w.to_vec(), vec![]));
            }
        }
        Ok(())
    }
    fn plan(&self, trained: usize) -> Plan {
        self.path.plan(trained)
    }
}

fn tape<S: Scalar>(steps: usize, slots: usize) -> Tape<'static, S> {
    let storage = vec![S::from_f32(f32::NAN); Tape::<S>::required_len(P, steps, slots)];
    Tape::new(P, steps, slots, storage.leak()).unwrap()
}

fn checkpoints<S: Scalar>(steps: usize, slots: usize) -> Checkpoints<'static, S> {
    let marks = vec![Mark::default(); 3].leak();
    let storage = vec![S::from_f32(f32::NAN); Checkpoints::<S>::required_len(P, 3, slots)];
    Checkpoints::new(P, steps, slots, storage.leak(), marks).unwrap()
}

fn line(w0: &[f32], steps: usize) -> Line<&[f32]> {
    Line::new(w0, steps)
}

fn hats<A: Arithmetic>(w0: &[f32], steps: usize) -> impl Path<A, f32> {
    let steps = Grid {
        steps,
        intervals: 3,
        spacing: Grid::SPACING,
    };
    let storage = vec![0; Quantised::<15>::required_len(P, 3)].leak();
    let rows = Quantised::<15>::new(P, 3, storage).unwrap();
    Hats::new(P, steps, w0, rows, vec![f32::NAN; 4].leak()).unwrap()
}

fn knots<A: Arithmetic>(w0: &[f32]) -> impl Path<A, f32> {
    let rows = Full::new(P, 4, vec![f32::NAN; 4 * P].leak()).unwrap();
    Knots::new(P, 4, w0, rows).unwrap()
}

/// The fixed-point reversal of momenta as they are here.
fn reversible(steps: usize) -> Reversible<'static> {
    let storage = vec![u32::MAX; Reversible::required_len(P, steps, 0.69)].leak();
    Reversible::new(P, steps, 0.69, storage).unwrap()
}

fn same_bits(what: &str, got: &Answer<f32>, want: &Answer<f32>) {
    assert!(want.d_h.iter().any(|d| *d != 0.0));
    for (by, got, want) in [
        ("w_T", &got.w, &want.w),
        ("h", &got.d_h, &want.d_h),
        ("w", &got.d_w0, &want.d_w0),
        ("rates", &got.d_rates, &want.d_rates),
        ("momenta", &got.d_momenta, &want.d_momenta),
    ] {
        assert_eq!(bits(got), bits(want), "{what}: {by}");
    }
    assert_eq!(got.steps_back, want.steps_back, "{what}");
}

// ---------------------------------------------------------------------------------- the reversal

fn largest(x: impl Iterator<Item = f64>) -> f64 {
    x.fold(0.0, |largest, x| {
        assert!(!x.is_nan());
        largest.max(x.abs())
    })
}

/// The errors of weights and velocities after one step back, two, and so on, beside the largest
/// velocity there.
fn errors<S: Scalar, Q>(watched: &Watched<S, Q>) -> Vec<[f64; 2]> {
    let walk = watched.walk.iter().rev().skip(1);
    walk.zip(&watched.recalled)
        .map(|(want, got)| {
            let off = |got: &[S], want: &[S]| {
                let pairs = got.iter().zip(want);
                largest(pairs.map(|(got, want)| got.to_f64() - want.to_f64()))
            };
            let size = largest(want.1.iter().map(|v| v.to_f64()));
            [off(&got.0, &want.0), off(&got.1, &want.1)].map(|error| error / size)
        })
        .collect()
}

#[test]
fn a_reversal_recalls_weights_and_velocities_to_the_rounding_that_has_grown() {
    let training = Training::<f64>::new(Optimizer::HeavyBall);
    let (_, watched) = training.watched::<Fused>(Reversed, true);
    assert_eq!(watched.recalled.len(), STEPS);
    // At rest there is no velocity to compare with.
    let mut grown = 1.0;
    for (back, [w, v]) in errors(&watched)[..STEPS - 1].iter().enumerate() {
        let row = &training.momenta[(STEPS - 1 - back) * GROUPS..][..GROUPS];
        grown /= row.iter().fold(1.0, |least: f64, x| least.min(*x));
        assert!(*v <= REVERSED * grown * F64_ROUNDING, "{back}: {v:e}");
        assert!(*w <= REVERSED * grown * F64_ROUNDING, "{back}: {w:e}");
    }
    assert!(grown > 100.0);
    // The velocity of a sweep that does not ask for it is another vector with the same bits.
    let (_, without) = training.watched::<Fused>(Reversed, false);
    for (without, with) in without.recalled.iter().zip(&watched.recalled) {
        assert_eq!(without.0, with.0);
    }
}

#[test]
fn rounding_grows_by_the_inverse_momentum_a_step_and_reach_says_how_far_that_is_well() {
    for momentum in [0.5, 0.8, 0.9, 0.95] {
        let mut training = Training::<f32>::constant(1, momentum);
        let reach = Reversed::reach(&training.schedule(), usize::MAX);
        training.steps = 2 * reach + 10;
        // Nonsense may well diverge.
        let mut watched = Watched::new(Reversed);
        let _ = training.answer::<Fused>(&mut watched, true);
        let errors = errors(&watched);
        let velocity = |back: usize| errors[back - 1][1];
        println!(
            "{momentum}: {:e} after {reach}, {:e} after twice as many",
            velocity(reach),
            velocity(2 * reach)
        );
        // One rounding has grown to 2^-9; those of all steps together are a random walk.
        let all = 1.0 / (1.0 - f64::from(momentum).powi(2)).sqrt();
        let promised = REVERSED_REACH * all / 512.0;
        assert!((1..=reach).all(|back| velocity(back) < promised));
        assert!(velocity(2 * reach) > promised);
        // From a quarter of the reach on, where no single rounding counts.
        let first = reach / 4;
        let growth = (velocity(reach) / velocity(first)).ln() / (reach - first) as f64;
        let want = -f64::from(momentum).ln();
        println!("growth {growth}, {want}");
        assert!((growth / want - 1.0).abs() < REVERSED_GROWTH);
    }
}

/// The steps back whose factors `1 / gamma`, of the least momentum each, multiply to less than `2^15`.
fn reach_by_hand(momenta: &[f32], steps: usize) -> usize {
    let least = |t: usize| {
        let row = &momenta[if momenta.len() == GROUPS {
            0
        } else {
            t * GROUPS
        }..][..GROUPS];
        row.iter()
            .fold(1.0, |least: f64, x| least.min(f64::from(*x)))
    };
    let fits = |back: usize| (steps - back..steps).map(least).product::<f64>() > 0.5f64.powi(15);
    (0..=steps).take_while(|back| fits(*back)).last().unwrap()
}

#[test]
fn reach_is_that_of_the_least_momentum_of_each_step() {
    let mut training = Training::<f32>::new(Optimizer::HeavyBall);
    let reach = |training: &Training<f32>, steps| {
        let got = Reversed::reach(&training.schedule(), steps);
        assert_eq!(got, reach_by_hand(&training.momenta, steps));
        got
    };
    let whole = reach(&training, STEPS);
    assert!(0 < whole && whole <= STEPS);
    // One group that forgets sooner bounds them all, and a momentum of 0 is the end.
    for row in training.momenta.chunks_mut(GROUPS) {
        row[4] = 0.4;
    }
    assert_eq!(reach(&training, STEPS), 11);
    training.momenta[(STEPS - 5) * GROUPS + 2] = 0.0;
    assert_eq!(reach(&training, STEPS), 4);
    for (momentum, want) in [(0.5, 14), (0.9, 98), (0.99, 1034)] {
        let training = Training::<f32>::constant(2000, momentum);
        assert_eq!(reach(&training, 2000), want);
        assert_eq!(reach(&training, want - 3), want - 3);
    }
}

fn unsupported<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_reversal_refuses_momentum_0_and_other_rules() {
    let mut training = Training::<f32>::new(Optimizer::HeavyBall);
    training.momenta[7 * GROUPS + 3] = 0.0;
    for schedule in [false, true] {
        let mut path = Watched::new(Reversed);
        let refused = training.answer::<Fused>(&mut path, schedule);
        unsupported(refused, "momentum 0");
        assert_eq!(path.recalled.len(), STEPS - 8, "the step of that momentum");
    }
    for optimizer in [Optimizer::Nesterov, Optimizer::ADAM] {
        let training = Training::<f32>::new(optimizer);
        let refused = training.answer::<Fused>(&mut Reversed, true);
        unsupported(refused, "another optimizer than the heavy ball");
        let mut tail = Tail::new(tape(STEPS - 1, optimizer.slots()), STEPS, 1).unwrap();
        unsupported(
            training.answer::<Fused>(&mut tail, true),
            "another optimizer than the heavy ball",
        );
    }
}

// -------------------------------------------------------------------------------------- the tail

const LAST: usize = 9;
const FIRST: usize = STEPS - LAST;

/// `path`, made for the steps before the tail and told of these, as it recalls them where the tail ended
/// at `end`.
fn alone<A: Arithmetic>(
    training: &Training<f32>,
    path: &mut dyn Path<A, f32>,
    walk: &[(Vec<f32>, Vec<f32>)],
    end: &(Vec<f32>, Vec<f32>),
) -> Vec<(Vec<f32>, Vec<f32>)> {
    let (mut a, mut b) = (vec![f32::NAN; P], vec![f32::NAN; P]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    path.start(&mut walk[0].0.clone()).unwrap();
    for (t, (w, v)) in walk[..FIRST].iter().enumerate() {
        path.record(t, w, v, spare.again()).unwrap();
    }
    let (w, v) = &walk[FIRST];
    path.finish(w, v, spare.again()).unwrap();
    let (mut w, mut v) = end.clone();
    spare.a.copy_from_slice(&v);
    path.open(&w, spare.again()).unwrap();
    let mut steps = Rates(training.schedule());
    (0..FIRST)
        .rev()
        .map(|t| {
            path.recall(t, &mut w, Some(&mut v), &mut steps, spare.again())
                .unwrap();
            (w.clone(), v.clone())
        })
        .collect()
}

fn is_reversed_and_then_the_inner_path<A: Arithmetic>(
    what: &str,
    make: impl Fn() -> Box<dyn Path<A, f32>>,
) {
    let training = Training::<f32>::new(Optimizer::HeavyBall);
    let (_, reversed) = training.watched::<A>(Reversed, true);
    let tail = || Tail::new(make(), STEPS, LAST).unwrap();
    let (_, got) = training.watched::<A>(tail(), true);
    assert_eq!(got.recalled[..LAST], reversed.recalled[..LAST], "{what}");
    let end = &reversed.recalled[LAST - 1];
    let before = alone(&training, &mut make(), &got.walk, end);
    assert_eq!(got.recalled[LAST..], before, "{what}");
    // The weights are the same where no velocities are wanted.
    let (_, without) = training.watched::<A>(tail(), false);
    for (without, with) in without.recalled.iter().zip(&got.recalled) {
        assert_eq!(bits(&without.0), bits(&with.0), "{what}");
    }
    assert_eq!(tail().floats(), make().floats());
}

fn tails_of_shortcuts<A: Arithmetic>() {
    let w0: &[f32] = Training::<f32>::new(Optimizer::HeavyBall).w0.leak();
    is_reversed_and_then_the_inner_path::<A>("line", || Box::new(line(w0, FIRST)));
    is_reversed_and_then_the_inner_path::<A>("hats", || Box::new(hats::<A>(w0, FIRST)));
    is_reversed_and_then_the_inner_path::<A>("knots", || Box::new(knots::<A>(w0)));
}

#[test]
fn a_tail_is_the_reversal_and_then_the_inner_path_of_the_steps_before_bit_for_bit() {
    tails_of_shortcuts::<Plain>();
    tails_of_shortcuts::<Fused>();
}

#[test]
fn before_the_tail_exact_paths_are_exact_bit_for_bit() {
    let training = Training::<f32>::new(Optimizer::HeavyBall);
    let paths: [Box<dyn Path<Fused, f32>>; 2] =
        [Box::new(tape(FIRST, 1)), Box::new(checkpoints(FIRST, 1))];
    for path in paths {
        let tail = Tail::new(path, STEPS, LAST).unwrap();
        let (_, watched) = training.watched::<Fused>(tail, true);
        let before = watched.walk[..FIRST].iter().rev();
        for (t, (got, want)) in watched.recalled[LAST..].iter().zip(before).enumerate() {
            assert_eq!(bits(&got.0), bits(&want.0), "w {t} steps before the tail");
            assert_eq!(bits(&got.1), bits(&want.1), "v {t} steps before the tail");
        }
    }
}

#[test]
fn a_tail_of_no_steps_is_the_inner_path() {
    for optimizer in [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM] {
        let training = Training::<f32>::new(optimizer);
        let w0 = &training.w0;
        let all = || -> [Box<dyn Path<Fused, f32> + '_>; 4] {
            [
                Box::new(tape(STEPS, optimizer.slots())),
                Box::new(checkpoints(STEPS, optimizer.slots())),
                Box::new(line(w0, STEPS)),
                Box::new(hats::<Fused>(w0, STEPS)),
            ]
        };
        for schedule in [false, true] {
            for (i, (inner, mut path)) in all().into_iter().zip(all()).enumerate() {
                if i > 1 && optimizer.recalls(schedule) && optimizer != Optimizer::HeavyBall {
                    continue; // these have no velocities of other optimizers
                }
                let mut tail = Tail::new(inner, STEPS, 0).unwrap();
                let got = training.answer::<Fused>(&mut tail, schedule).unwrap();
                let want = training.answer::<Fused>(&mut path, schedule).unwrap();
                same_bits(&format!("{optimizer:?}, path {i}"), &got, &want);
            }
        }
    }
}

#[test]
fn a_tail_of_all_steps_is_refused() {
    for (trained, steps) in [(5, 5), (5, 6), (1, 1), (0, 0), (5, usize::MAX)] {
        let refused = Tail::new(tape::<f32>(5, 0), trained, steps).unwrap_err();
        let want = Error::Range {
            what: "steps of the tail",
            value: steps as f64,
            least: 0.0,
            greatest: trained.saturating_sub(1) as f64,
        };
        assert_eq!(refused, want);
    }
}

#[test]
fn paths_inside_others_must_be_made_for_their_steps_and_walk_back_every_one() {
    let training = Training::<f32>::new(Optimizer::HeavyBall);
    let w0 = &training.w0[..];
    let tail = |line| Tail::new(line, STEPS, LAST).unwrap();
    let early = |line| Truncated::early(line, STEPS, LAST).unwrap();
    let paths: [(Box<dyn Path<Fused, f32> + '_>, usize); 2] = [
        (Box::new(tail(line(w0, STEPS))), FIRST),
        (Box::new(early(line(w0, FIRST))), STEPS),
    ];
    for (mut path, want) in paths {
        let refused = training.answer::<Fused>(&mut path, false).unwrap_err();
        let (what, got) = ("steps of the inner path's plan", STEPS + FIRST - want);
        assert_eq!(refused, Error::Length { what, want, got });
    }
    let published = |steps| line(w0, steps).with(Plan::published(steps));
    let paths: [Box<dyn Path<Fused, f32> + '_>; 4] = [
        Box::new(tail(published(FIRST))),
        Box::new(early(published(STEPS))),
        Box::new(Tail::new(Truncated::new(tape(3, 1), FIRST, 3).unwrap(), STEPS, LAST).unwrap()),
        Box::new(
            Truncated::early(Truncated::new(tape(9, 1), STEPS, 9).unwrap(), STEPS, 4).unwrap(),
        ),
    ];
    for mut path in paths {
        let refused = training.answer::<Fused>(&mut path, false);
        unsupported(refused, "does not walk back every step");
    }
}

/// A training that learns, and the error of its hypergradient over `path` beside the tape's.
fn learns(seed: u64, path: &mut dyn Path<Fused, f32>) -> Answer<f32> {
    let data = Data::learnable(seed, 150, WIDTHS[0], WIDTHS[3]);
    let net = || Mlp::<_, Fused>::new(data.features(), WIDTHS, 16).unwrap();
    let training = L2::new(net(), Strength::Tuned(TENSORS));
    let judged = L2::new(net(), Strength::Off(TENSORS));
    let problem = InnerProblem {
        objective: &training,
        h: &[0.0025; GROUPS],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: TENSORS,
            rates: &[0.3; GROUPS],
            momenta: &[0.9; GROUPS],
        },
        batches: Batches {
            seed,
            examples: 100,
            size: 16,
        },
        steps: LONG,
    };
    let valid: Vec<u32> = (100..150).collect();
    let validation = Validation {
        objective: &judged,
        examples: &valid,
    };
    hypergradient(&problem, &validation, &NORMAL, path, false).unwrap()
}

const LONG: usize = 200;
const NORMAL: Normal<'static, f32> = Normal {
    seed: 9,
    groups: Groups::global(P),
    log_scales: &[-1.0],
};

fn long_hats(steps: usize) -> impl Path<Fused, f32> {
    let grid = Grid {
        steps,
        intervals: 4,
        spacing: Grid::SPACING,
    };
    let storage = vec![0; Quantised::<15>::required_len(P, 4)].leak();
    let rows = Quantised::<15>::new(P, 4, storage).unwrap();
    Hats::new(P, grid, NORMAL, rows, vec![f32::NAN; 5].leak()).unwrap()
}

#[test]
fn hats_with_a_tail_come_closer_to_the_tape_than_without() {
    let mut sums = [0.0; 2];
    for seed in 400..405 {
        let taped = learns(seed, &mut tape(LONG, 0));
        assert!(taped.losses[LONG - 1] < 0.7 * taped.losses[0]);
        let error = |path: &mut dyn Path<Fused, f32>| {
            let got = learns(seed, path);
            assert_eq!(bits(&got.w), bits(&taped.w));
            let miss = wide(&got.d_h).into_iter().zip(wide(&taped.d_h));
            let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            length(&miss.map(|(x, y)| x - y).collect::<Vec<_>>()) / length(&wide(&taped.d_h))
        };
        // Half of what momentum 0.9 reaches.
        let with = error(&mut Tail::new(long_hats(LONG - 49), LONG, 49).unwrap());
        let without = error(&mut long_hats(LONG));
        println!("{seed}: {with} with a tail, {without} without");
        sums[0] += with;
        sums[1] += without;
    }
    let [with, without] = sums;
    assert!(
        with < 0.5 * without,
        "{with} with a tail, {without} without"
    );
}

// -------------------------------------------------------------------------- truncated sweeps

/// The last steps of a path that knows all, independently of [`Truncated`].
struct Cut<Q> {
    path: Q,
    last: usize,
    trained: usize,
}

impl<A: Arithmetic, Q: Path<A, f32>> Path<A, f32> for Cut<Q> {
    fn floats(&self) -> usize {
        self.path.floats()
    }
    fn start(&mut self, w: &mut [f32]) -> Result<(), Error> {
        self.path.start(w)
    }
    fn record(&mut self, t: usize, w: &[f32], v: &[f32], spare: Spare<f32>) -> Result<(), Error> {
        self.path.record(t, w, v, spare)
    }
    fn advance(
        &mut self,
        t: usize,
        w: &mut [f32],
        v: &mut [f32],
        g: &[f32],
        steps: &mut dyn Steps<f32>,
    ) -> Result<bool, Error> {
        self.path.advance(t, w, v, g, steps)
    }
    fn taken(&self) -> Option<Taken<f32>> {
        self.path.taken()
    }
    fn finish(&mut self, w: &[f32], v: &[f32], spare: Spare<f32>) -> Result<(), Error> {
        self.path.finish(w, v, spare)
    }
    fn open(&mut self, w: &[f32], spare: Spare<f32>) -> Result<(), Error> {
        self.path.open(w, spare)
    }
    fn recall(
        &mut self,
        s: usize,
        w: &mut [f32],
        v: Option<&mut [f32]>,
        steps: &mut dyn Steps<f32>,
        spare: Spare<f32>,
    ) -> Result<(), Error> {
        let t = self.trained - self.last + s;
        self.path.recall(t, w, v, steps, spare)
    }
    fn plan(&self, trained: usize) -> Plan {
        Plan {
            steps: self.last,
            trained,
            batches: Replayed::Last,
            rate_scale: 1.0,
        }
    }
}

fn cut<Q>(path: Q, last: usize) -> Cut<Q> {
    Cut {
        path,
        last,
        trained: STEPS,
    }
}

const RULES: [Optimizer; 3] = [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM];

#[test]
fn exact_paths_of_the_last_steps_are_a_full_tape_cut_off_there() {
    for optimizer in RULES {
        let (training, slots) = (Training::<f32>::new(optimizer), optimizer.slots());
        for last in [1, 2, LAST, STEPS - 1, STEPS] {
            for schedule in [false, true] {
                let mut full = cut(tape(STEPS, slots), last);
                let want = training.answer::<Fused>(&mut full, schedule).unwrap();
                let truncated = Truncated::new(tape(last, slots), STEPS, last).unwrap();
                assert_eq!(
                    Path::<Fused, f32>::floats(&truncated),
                    P * last * (1 + slots)
                );
                let few = Truncated::new(checkpoints(last, slots), STEPS, last).unwrap();
                let alone = Path::<Fused, f32>::floats(&checkpoints(last, slots));
                assert_eq!(Path::<Fused, f32>::floats(&few), alone);
                let paths: [Box<dyn Path<Fused, f32>>; 2] = [Box::new(truncated), Box::new(few)];
                for mut path in paths {
                    let got = training.answer::<Fused>(&mut path, schedule).unwrap();
                    assert_eq!(got.steps_back, last);
                    same_bits(&format!("{optimizer:?}, the last {last}"), &got, &want);
                    // Rates of steps that were left out have no derivative.
                    if schedule {
                        let (before, after) = got.d_rates.split_at((STEPS - last) * GROUPS);
                        assert!(before.iter().all(|d| *d == 0.0));
                        assert!(after.iter().all(|d| *d != 0.0));
                    }
                }
            }
        }
    }
}

#[test]
fn a_truncated_sweep_is_the_whole_one_over_those_steps_alone() {
    // Trained to where the last steps begin, the velocity kept: the derivative of what follows by all
    // rates is that of a whole sweep, whose later rates do not know of the earlier steps.
    let training = Training::<f64>::new(Optimizer::HeavyBall);
    let whole = training.answer::<Fused>(&mut tape(STEPS, 1), true).unwrap();
    let mut path = Truncated::new(tape(LAST, 1), STEPS, LAST).unwrap();
    let truncated = training.answer::<Fused>(&mut path, true).unwrap();
    let kept = FIRST * GROUPS..;
    assert_eq!(truncated.d_rates[kept.clone()], whole.d_rates[kept.clone()]);
    assert_eq!(truncated.d_momenta[kept.clone()], whole.d_momenta[kept]);
    assert_ne!(truncated.d_h, whole.d_h);
}

#[test]
fn velocities_that_weights_do_not_tell_are_refused() {
    let training = Training::<f32>::new(Optimizer::HeavyBall);
    // That before the last steps is not 0. Nobody asks for it where the schedule is not wanted.
    let last = || Truncated::new(tape(LAST, 0), STEPS, LAST).unwrap();
    unsupported(training.answer::<Fused>(&mut last(), true), "last steps");
    let mut full = cut(tape(STEPS, 0), LAST);
    let want = training.answer::<Fused>(&mut full, false).unwrap();
    let got = training.answer::<Fused>(&mut last(), false).unwrap();
    same_bits("without the schedule", &got, &want);
    // All the steps are a whole training, which begins at rest.
    let mut all = Truncated::new(tape(STEPS, 0), STEPS, STEPS).unwrap();
    let want = training.answer::<Fused>(&mut tape(STEPS, 0), true).unwrap();
    same_bits(
        "all",
        &training.answer::<Fused>(&mut all, true).unwrap(),
        &want,
    );

    // A step of rate 0 moves nothing, but its velocity is what the derivative by the rate is made of.
    let mut training = Training::<f32>::new(Optimizer::HeavyBall);
    training.rates[..GROUPS].fill(0.0);
    let kept = training.answer::<Fused>(&mut tape(STEPS, 1), true).unwrap();
    assert!(kept.d_rates[..GROUPS].iter().all(|d| *d != 0.0));
    let w0 = &training.w0[..];
    let weights_alone: [Box<dyn Path<Fused, f32> + '_>; 4] = [
        Box::new(tape(STEPS, 0)),
        Box::new(line(w0, STEPS)),
        Box::new(hats::<Fused>(w0, STEPS)),
        Box::new(knots::<Fused>(w0)),
    ];
    for mut path in weights_alone {
        unsupported(training.answer::<Fused>(&mut path, true), "a rate is 0");
        training.answer::<Fused>(&mut path, false).unwrap();
    }
}

fn early<Q: Path<Fused, f32>>(what: &str, training: &Training<f32>, make: impl Fn() -> Q) {
    let (whole, all) = training.watched::<Fused>(make(), true);
    for last in [1, LAST, STEPS] {
        for schedule in [false, true] {
            let path = Truncated::early(make(), STEPS, last).unwrap();
            assert_eq!(path.floats(), make().floats());
            let (got, seen) = training.watched::<Fused>(path, schedule);
            let want = training
                .answer::<Fused>(&mut cut(make(), last), schedule)
                .unwrap();
            same_bits(&format!("{what}, the last {last}"), &got, &want);
            assert_eq!(seen.recalled.len(), last);
            for (seen, all) in seen.recalled.iter().zip(&all.recalled) {
                assert_eq!(bits(&seen.0), bits(&all.0));
                assert!(!schedule || bits(&seen.1) == bits(&all.1));
            }
            if last == STEPS && schedule {
                same_bits(&format!("{what}, all"), &got, &whole);
            }
        }
    }
}

#[test]
fn truncated_early_a_path_of_all_steps_recalls_the_last_of_them() {
    for optimizer in RULES {
        let training = Training::<f32>::new(optimizer);
        early("tape", &training, || tape(STEPS, optimizer.slots()));
        early("checkpoints", &training, || {
            checkpoints(STEPS, optimizer.slots())
        });
    }
    let training = Training::<f32>::new(Optimizer::HeavyBall);
    let w0 = &training.w0[..];
    early("line", &training, || line(w0, STEPS));
    early("hats", &training, || hats::<Fused>(w0, STEPS));
    early("knots", &training, || knots::<Fused>(w0));
    early("reversible", &training, || reversible(STEPS));
    early("reversed", &training, || Reversed);
    early("tail", &training, || {
        Tail::new(hats::<Fused>(w0, FIRST), STEPS, LAST).unwrap()
    });
}

#[test]
fn a_truncation_to_no_steps_or_more_than_there_are_is_refused() {
    let path = || tape::<f32>(4, 0);
    for (trained, last) in [(10, 0), (10, 11), (10, usize::MAX), (0, 0), (0, 1)] {
        let want = Error::Range {
            what: "number of last steps",
            value: last as f64,
            least: 1.0,
            greatest: trained as f64,
        };
        assert_eq!(Truncated::new(path(), trained, last).unwrap_err(), want);
        assert_eq!(Truncated::early(path(), trained, last).unwrap_err(), want);
    }
    let training = Training::<f32>::new(Optimizer::HeavyBall);
    let mut late = Truncated::new(reversible(LAST), STEPS, LAST).unwrap();
    let refused = training.answer::<Fused>(&mut late, false);
    unsupported(refused, "not started");
    // A truncation of another training.
    let mut other = Truncated::new(tape(4, 0), STEPS - 1, 4).unwrap();
    let refused = training.answer::<Fused>(&mut other, false).unwrap_err();
    assert!(matches!(
        refused,
        Error::Index { .. } | Error::Length { .. }
    ));
}
