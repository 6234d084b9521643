//! Properties of any training: any shape of network, any steps, snapshots, hats and knots, any map of
//! hyperparameters to weights, any optimizer.
//!
//! Each method is held against the tape or against its own theory; and memory is what `required_len` says,
//! to the number: one less is refused, one more changes no bit, and neither does what lies in it before,
//! be it NaN. That no path reads or writes outside its buffer the guards beside it tell.
//!
//! `PROPTEST_CASES=50000 cargo test -p drmad --test core properties` is the long run.

use crate::common::{Answer, Data, Noise, assert_each_close, bits, hypergradient};
use crate::tolerances::{FLOOR, TWO_EXACT_METHODS};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::models::{Features, Mlp};
use drmad::objective::Objective;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Plan, Quantised, Reversed,
    Reversible, Tail, Tape, Truncated,
};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Dual, Error, Fused, Scalar};
use proptest::prelude::*;
use proptest::sample::select;

/// A training.
#[derive(Clone, Debug)]
struct Case {
    widths: Vec<usize>,
    steps: usize,
    batch: usize,
    microbatch: usize,
    scales: (Granularity, bool),
    penalties: (Granularity, bool),
    schedule: (Granularity, bool),
    /// Whether each step has rates and momenta of its own.
    each_step: bool,
    optimizer: Optimizer,
    /// Intervals of hats and knots, snapshots, polynomials.
    count: usize,
    tail: usize,
    last: usize,
    seed: u64,
}

const EXAMPLES: usize = 9;
const TRAIN: usize = 6;
const VALID: &[u32] = &[6, 8, 7, 7];

const GRANULARITIES: [Granularity; 5] = [
    Granularity::Global,
    Granularity::Layer,
    Granularity::Tensor,
    Granularity::Unit,
    Granularity::Parameter,
];

fn by() -> impl Strategy<Value = (Granularity, bool)> {
    (select(&GRANULARITIES[..]), any::<bool>())
}

fn rules() -> impl Strategy<Value = Optimizer> {
    let adam = Optimizer::Adam {
        b2: 0.9,
        eps: 1e-3,
        decay: 0.05,
    };
    select(vec![Optimizer::HeavyBall, Optimizer::Nesterov, adam])
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (
        prop::collection::vec(1..=5usize, 2..=4),
        1..=20usize,
        1..=7usize,
        1..=7usize,
    );
    let maps = (by(), by(), by(), any::<bool>(), rules());
    let method = (1..=20usize, 0..=19usize, 1..=20usize, any::<u64>());
    (shape, maps, method).prop_map(|(shape, maps, method)| {
        let (widths, steps, batch, microbatch) = shape;
        let (scales, penalties, schedule, each_step, optimizer) = maps;
        let (count, tail, last, seed) = method;
        Case {
            widths,
            steps,
            batch,
            microbatch,
            scales,
            penalties,
            schedule,
            each_step,
            optimizer,
            count: count.min(steps),
            tail: tail.min(steps - 1),
            last: last.min(steps),
            seed,
        }
    })
}

/// What a training is a function of, in numbers.
#[derive(Clone)]
struct Inputs<S> {
    h: Vec<S>,
    rates: Vec<S>,
    momenta: Vec<S>,
    w0: Vec<S>,
}

type Net<'a> = L2<'a, Scaled<'a, Mlp<'a, Features<'a>, Fused>>>;

impl Case {
    fn weights(&self) -> usize {
        Layout::Layers(&self.widths).weights()
    }

    fn groups(&self, (by, biases): (Granularity, bool)) -> Groups<'_> {
        Groups {
            layout: Layout::Layers(&self.widths),
            by,
            biases,
        }
    }

    fn inputs<S: Scalar>(&self) -> Inputs<S> {
        let mut noise = Noise(self.seed);
        let mut numbers = |n: usize, middle: f32, width: f32| -> Vec<S> {
            let numbers = (0..n).map(|_| S::from_f32(middle + width * noise.number()));
            numbers.collect()
        };
        let hypers = |by| self.groups(by).len();
        let groups = hypers(self.schedule);
        let table = groups * if self.each_step { self.steps } else { 1 };
        // Adam's first moment keeps one rate through all steps.
        let momenta = match self.optimizer {
            Optimizer::Adam { .. } => groups,
            _ => table,
        };
        let mut h = numbers(hypers(self.scales), 0.9, 0.3);
        h.extend(numbers(hypers(self.penalties), 0.02, 0.02));
        Inputs {
            h,
            rates: numbers(table, 0.2, 0.1),
            momenta: numbers(momenta, 0.7, 0.2),
            w0: numbers(self.weights(), 0.0, 0.7),
        }
    }

    fn data(&self) -> Data {
        Data::learnable(
            self.seed,
            EXAMPLES,
            self.widths[0],
            self.widths[self.widths.len() - 1],
        )
    }

    fn batches(&self) -> Batches {
        Batches {
            seed: self.seed,
            examples: TRAIN,
            size: self.batch,
        }
    }

    /// The training's objective and the validation's.
    fn objectives<'a>(&'a self, data: &'a Data) -> [Net<'a>; 2] {
        let penalties = self.groups(self.penalties);
        [Strength::Tuned(penalties), Strength::Off(penalties)].map(|strength| {
            let inner = Scaled {
                inner: Mlp::new(data.features(), &self.widths, self.microbatch).unwrap(),
                groups: self.groups(self.scales),
            };
            L2::new(inner, strength)
        })
    }

    fn run<'a, S: Scalar>(
        &'a self,
        objective: &'a Net<'a>,
        inputs: &'a Inputs<S>,
    ) -> InnerProblem<'a, Fused, S> {
        InnerProblem {
            objective,
            h: &inputs.h,
            schedule: Schedule {
                groups: self.groups(self.schedule),
                optimizer: self.optimizer,
                rates: &inputs.rates,
                momenta: &inputs.momenta,
            },
            batches: self.batches(),
            steps: self.steps,
        }
    }

    fn answer<S: Scalar>(
        &self,
        inputs: &Inputs<S>,
        path: &mut dyn Path<Fused, S>,
        schedule: bool,
    ) -> Result<Answer<S>, Error> {
        let data = self.data();
        let [objective, judged] = self.objectives(&data);
        let validation = Validation {
            objective: &judged,
            examples: VALID,
        };
        let problem = self.run(&objective, inputs);
        hypergradient(&problem, &validation, &&inputs.w0[..], path, schedule)
    }

    fn taped<S: Scalar>(&self, inputs: &Inputs<S>, schedule: bool) -> Answer<S> {
        let (p, slots) = (self.weights(), self.optimizer.slots());
        let mut storage = vec![S::ZERO; Tape::<S>::required_len(p, self.steps, slots)];
        let mut tape = Tape::new(p, self.steps, slots, &mut storage).unwrap();
        self.answer(inputs, &mut tape, schedule).unwrap()
    }
}

/// All bits of an answer.
fn all_bits(answer: &Answer<f32>) -> Vec<u32> {
    let mut all = bits(&answer.numbers());
    all.push(answer.steps_back as u32);
    all
}

/// The paths that have storage.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tape,
    Checkpoints,
    Online,
    Reversible,
    Knots,
    Hermite,
    Legendre,
    Hats,
    TailOfHats,
    Last,
}

const KINDS: [Kind; 10] = [
    Kind::Tape,
    Kind::Checkpoints,
    Kind::Online,
    Kind::Reversible,
    Kind::Knots,
    Kind::Hermite,
    Kind::Legendre,
    Kind::Hats,
    Kind::TailOfHats,
    Kind::Last,
];

/// Storage of a length, with guards before and behind, all of it filled with one pattern.
struct Guarded {
    words: Vec<u32>,
    fill: u32,
}

const GUARD: usize = 5;

impl Guarded {
    fn new(len: usize, fill: u32) -> Self {
        Guarded {
            words: vec![fill; len + 2 * GUARD],
            fill,
        }
    }

    fn words(&mut self) -> &mut [u32] {
        let end = self.words.len() - GUARD;
        &mut self.words[GUARD..end]
    }

    fn floats(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.words())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let n = self.words.len();
        for i in (0..GUARD).chain(n - GUARD..n) {
            assert_eq!(self.words[i], self.fill, "something was written outside");
        }
    }
}

/// The answer by a path in storage that is `more` numbers longer than it must be and holds `fill`.
fn stored(case: &Case, kind: Kind, more: isize, fill: u32) -> Result<Answer<f32>, Error> {
    let inputs = case.inputs::<f32>();
    let (p, steps, slots, k) = (
        case.weights(),
        case.steps,
        case.optimizer.slots(),
        case.count,
    );
    let guarded = |len: usize| Guarded::new(len.checked_add_signed(more).unwrap(), fill);
    let exactly = |len: usize| Guarded::new(len, fill);
    let go = |path: &mut dyn Path<Fused, f32>| case.answer(&inputs, path, false);
    let w0 = &inputs.w0[..];
    match kind {
        Kind::Tape => {
            let mut storage = guarded(Tape::<f32>::required_len(p, steps, slots));
            go(&mut Tape::new(p, steps, slots, storage.floats())?)
        }
        Kind::Checkpoints => {
            let mut storage = guarded(Checkpoints::<f32>::required_len(p, k, slots));
            let mut marks = vec![Mark::default(); k];
            go(&mut Checkpoints::new(
                p,
                steps,
                slots,
                storage.floats(),
                &mut marks,
            )?)
        }
        Kind::Online => {
            // One snapshot alone has nothing to thin.
            let k = k.max(2);
            let mut storage = guarded(Checkpoints::<f32>::required_len(p, k, slots));
            let mut marks = vec![Mark::default(); k];
            go(&mut Checkpoints::online(
                p,
                slots,
                storage.floats(),
                &mut marks,
            )?)
        }
        Kind::Reversible => {
            let least = inputs.momenta.iter().copied().fold(1.0, f32::min);
            let mut storage = guarded(Reversible::required_len(p, steps, least));
            go(&mut Reversible::new(p, steps, least, storage.words())?)
        }
        Kind::Knots => {
            let mut storage = guarded(Quantised::<11>::required_len(p, k));
            let rows = Quantised::<11>::new(p, k, storage.words())?;
            go(&mut Knots::<f32, _, _>::new(p, k, w0, rows)?)
        }
        Kind::Hermite => {
            let mut storage = guarded(Full::<f32>::required_len(p, k));
            let mut changes = exactly(Full::<f32>::required_len(p, k + 1));
            let rows = Full::new(p, k, storage.floats())?;
            let changes = Full::new(p, k + 1, changes.floats())?;
            go(&mut Knots::<f32, _, _>::hermite(p, k, w0, rows, changes)?)
        }
        Kind::Legendre => {
            let mut storage = guarded(Legendre::<f32>::required_len(p, k));
            go(&mut Legendre::new(p, steps, k, storage.floats())?)
        }
        Kind::Hats | Kind::TailOfHats => {
            let tail = match kind {
                Kind::Hats => 0,
                _ => case.tail,
            };
            let k = k.min(steps - tail);
            let mut storage = guarded(Quantised::<15>::required_len(p, k));
            let mut factors = exactly(k + 1);
            let rows = Quantised::<15>::new(p, k, storage.words())?;
            let grid = Grid {
                steps: steps - tail,
                intervals: k,
                spacing: 1.5,
            };
            let mut hats = Hats::new(p, grid, w0, rows, factors.floats())?;
            match kind {
                Kind::Hats => go(&mut hats),
                _ => go(&mut Tail::new(hats, steps, tail)?),
            }
        }
        Kind::Last => {
            let mut storage = guarded(Tape::<f32>::required_len(p, case.last, slots));
            let tape = Tape::new(p, case.last, slots, storage.floats())?;
            go(&mut Truncated::new(tape, steps, case.last)?)
        }
    }
}

/// The optimizers that a path takes: those that recall weights alone take the heavy ball.
fn takes(kind: Kind, optimizer: Optimizer) -> bool {
    let exact = matches!(
        kind,
        Kind::Tape | Kind::Checkpoints | Kind::Online | Kind::Last
    );
    exact || optimizer == Optimizer::HeavyBall
}

/// Fewer than by default: the whole file is to take seconds. `PROPTEST_CASES` has more.
fn some(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|cases| cases.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(some(512))]

    #[test]
    fn storage_is_what_required_len_says_and_its_contents_do_not_matter(
        case in cases(),
        kind in select(&KINDS[..]),
        fill in any::<u32>(),
    ) {
        let case = match takes(kind, case.optimizer) {
            true => case,
            false => Case { optimizer: Optimizer::HeavyBall, ..case },
        };
        let want = stored(&case, kind, 0, 0).map(|answer| all_bits(&answer));
        prop_assert!(want.is_ok(), "{:?}", want);
        for (more, fill) in [(0, fill), (0, f32::NAN.to_bits()), (0, !0), (1, fill), (7, !0)] {
            let got = stored(&case, kind, more, fill).map(|answer| all_bits(&answer));
            prop_assert_eq!(&got, &want, "{} more, filled with {:#x}", more, fill);
        }
        let short = stored(&case, kind, -1, 0);
        prop_assert!(matches!(short, Err(Error::Length { .. })), "{:?}", short);
    }

    #[test]
    fn the_workspace_is_what_required_len_says(
        case in cases(),
        schedule in any::<bool>(),
        fill in any::<u32>(),
    ) {
        let (data, inputs, p) = (case.data(), case.inputs::<f32>(), case.weights());
        let [objective, judged] = case.objectives(&data);
        let problem = case.run(&objective, &inputs);
        let exact = Workspace::<f32>::required_len(p, scratch_len(&objective, &judged), case.optimizer, schedule);
        let slots = case.optimizer.slots();
        let answer = |len: usize, fill: u32| -> Result<Vec<u32>, Error> {
            let mut storage = vec![0.0; Tape::<f32>::required_len(p, case.steps, slots)];
            let mut tape = Tape::new(p, case.steps, slots, &mut storage)?;
            let mut buffer = Guarded::new(len, fill);
            let mut workspace = Workspace::new(buffer.floats(), p, case.optimizer, schedule)?;
            let mut batch = vec![fill; case.batch];
            problem.train(&&inputs.w0[..], &mut tape, &mut workspace, &mut batch, &mut |_, _| ())?;
            let mut d_h = vec![f32::from_bits(fill); inputs.h.len()];
            let mut d_rates = vec![f32::from_bits(fill); inputs.rates.len()];
            let mut d_momenta = vec![f32::from_bits(fill); inputs.momenta.len()];
            let wanted = Wanted {
                d_h: &mut d_h,
                schedule: schedule.then_some((&mut d_rates[..], &mut d_momenta[..])),
            };
            let validation = Validation { objective: &judged, examples: VALID };
            problem.backward(&validation, &mut tape, &mut workspace, &mut batch, wanted)?;
            if !schedule {
                d_rates.clear();
                d_momenta.clear();
            }
            Ok([&d_h[..], workspace.d_w, &d_rates, &d_momenta].iter().flat_map(|x| bits(x)).collect())
        };
        let want = answer(exact, 0);
        prop_assert!(want.is_ok());
        prop_assert_eq!(&answer(exact, fill), &want);
        prop_assert_eq!(&answer(exact, f32::NAN.to_bits()), &want);
        prop_assert_eq!(&answer(exact + 1, !0), &want);
        // The heavy ball's sweep with a schedule lends `Scaled` the gradient that it has room for.
        if !(schedule && case.optimizer == Optimizer::HeavyBall) {
            let short = answer(exact - 1, 0);
            prop_assert!(matches!(short, Err(Error::Length { .. })), "{:?}", short);
        }
    }

    #[test]
    fn checkpoints_are_the_tape_bit_for_bit_and_recompute_what_the_theory_says(
        case in cases(),
        schedule in any::<bool>(),
    ) {
        let (p, slots, inputs) = (case.weights(), case.optimizer.slots(), case.inputs::<f32>());
        let want = all_bits(&case.taped(&inputs, schedule));
        let mut storage = vec![f32::NAN; Checkpoints::<f32>::required_len(p, case.count, slots)];
        let mut marks = vec![Mark::default(); case.count];
        let mut path = Checkpoints::new(p, case.steps, slots, &mut storage, &mut marks).unwrap();
        let got = all_bits(&case.answer(&inputs, &mut path, schedule).unwrap());
        prop_assert_eq!(got, want);
        let least = Checkpoints::<f32>::least_recomputed(case.steps, case.count);
        prop_assert_eq!(path.recomputed(), least);
    }

    #[test]
    fn the_tape_of_any_training_is_forward_mode_in_every_direction(
        case in cases(),
        field in 0..4usize,
        place in any::<prop::sample::Index>(),
    ) {
        let inputs = case.inputs::<f64>();
        let answer = case.taped(&inputs, true);
        let mut moved = case.inputs::<Dual<f64>>();
        let by = [&answer.d_h, &answer.d_rates, &answer.d_momenta, &answer.d_w0][field];
        let x = [&mut moved.h, &mut moved.rates, &mut moved.momenta, &mut moved.w0];
        let [h, rates, momenta, w0] = x;
        let x = [h, rates, momenta, w0].into_iter().nth(field).unwrap();
        // There may be no penalty or no rate at all: biases without weights have none.
        if !x.is_empty() {
            let i = place.index(x.len());
            x[i] = Dual::new(x[i].value(), 1.0);
            let tangent = case.taped(&moved, false).valid_loss.tangent();
            // Some are 0 in theory and rounding in truth, such as that by Adam's momentum of the first step.
            let floor = FLOOR * by.iter().fold(1.0, |size: f64, d| size.max(d.abs()));
            let error = (by[i] - tangent).abs() / tangent.abs().max(floor);
            prop_assert!(error <= 10.0 * TWO_EXACT_METHODS, "{} and {}", by[i], tangent);
        }
    }

    #[test]
    fn a_reversal_comes_back_to_where_it_began_whatever_the_training(case in cases()) {
        let case = Case { optimizer: Optimizer::HeavyBall, ..case };
        let (inputs, data, p) = (case.inputs::<f32>(), case.data(), case.weights());
        let [objective, judged] = case.objectives(&data);
        let problem = case.run(&objective, &inputs);
        let least = inputs.momenta.iter().copied().fold(1.0, f32::min);
        let mut storage = vec![!0; Reversible::required_len(p, case.steps, least)];
        let mut path = Reversible::new(p, case.steps, least, &mut storage).unwrap();
        let mut first = inputs.w0.clone();
        Path::<Fused, f32>::start(&mut path, &mut first).unwrap();
        let len = Workspace::<f32>::required_len(p, scratch_len(&objective, &judged), case.optimizer, false);
        let mut buffer = vec![f32::NAN; len];
        let mut workspace = Workspace::new(&mut buffer, p, case.optimizer, false).unwrap();
        let (mut batch, mut d_h) = (vec![0; case.batch], vec![0.0; inputs.h.len()]);
        problem.train(&&inputs.w0[..], &mut path, &mut workspace, &mut batch, &mut |_, _| ()).unwrap();
        let validation = Validation { objective: &judged, examples: VALID };
        let wanted = Wanted { d_h: &mut d_h, schedule: None };
        problem.backward(&validation, &mut path, &mut workspace, &mut batch, wanted).unwrap();
        prop_assert_eq!(bits(workspace.w), bits(&first));
    }

    #[test]
    fn fits_with_a_knot_for_each_step_are_the_tape(case in cases()) {
        let case = Case { optimizer: Optimizer::HeavyBall, ..case };
        let (inputs, p, steps) = (case.inputs::<f64>(), case.weights(), case.steps);
        let want = case.taped(&inputs, false);
        let w0 = &inputs.w0[..];
        let mut storage = vec![f64::NAN; Full::<f64>::required_len(p, steps)];
        let rows = Full::new(p, steps, &mut storage).unwrap();
        let mut knots = Knots::<f64, _, _>::new(p, steps, w0, rows).unwrap();
        let got = case.answer(&inputs, &mut knots, false).unwrap();
        prop_assert_eq!(&got.d_h, &want.d_h, "knots have its bits");
        let mut storage = vec![f64::NAN; Full::<f64>::required_len(p, steps)];
        let rows = Full::new(p, steps, &mut storage).unwrap();
        let (mut factors, spacing) = (vec![f64::NAN; steps + 1], 1.0);
        let grid = Grid { steps, intervals: steps, spacing };
        let mut hats = Hats::new(p, grid, w0, rows, &mut factors).unwrap();
        let got = case.answer(&inputs, &mut hats, false).unwrap();
        if want.d_h.iter().any(|d| *d != 0.0) {
            // A solve of a tridiagonal system that is diagonal here, at each step.
            assert_each_close("hats", &got.d_h, &want.d_h, 10.0 * TWO_EXACT_METHODS);
        }
    }

    #[test]
    fn of_one_step_every_path_that_keeps_its_ends_is_the_tape(case in cases()) {
        let case = Case { steps: 1, count: 1, tail: 0, last: 1, each_step: false, optimizer: Optimizer::HeavyBall, ..case };
        let (inputs, p) = (case.inputs::<f32>(), case.weights());
        let want = all_bits(&case.taped(&inputs, false));
        let w0 = &inputs.w0[..];
        let mut numbers = vec![f32::NAN; p];
        let mut line = Line::new(w0, 1);
        prop_assert_eq!(&all_bits(&case.answer(&inputs, &mut line, false).unwrap()), &want);
        let mut published = Line::new(w0, 1).with(Plan::published(1));
        prop_assert_eq!(&all_bits(&case.answer(&inputs, &mut published, false).unwrap()), &want);
        let rows = Full::new(p, 1, &mut numbers).unwrap();
        let mut knots = Knots::<f32, _, _>::new(p, 1, w0, rows).unwrap();
        prop_assert_eq!(&all_bits(&case.answer(&inputs, &mut knots, false).unwrap()), &want);
        let mut factors = [f32::NAN; 2];
        let rows = Full::new(p, 1, &mut numbers).unwrap();
        let grid = Grid { steps: 1, intervals: 1, spacing: 1.5 };
        let mut hats = Hats::new(p, grid, w0, rows, &mut factors).unwrap();
        prop_assert_eq!(&all_bits(&case.answer(&inputs, &mut hats, false).unwrap()), &want);
        let mut numbers = vec![f32::NAN; Legendre::<f32>::required_len(p, 1)];
        let mut legendre = Legendre::new(p, 1, 1, &mut numbers).unwrap();
        let got = case.answer(&inputs, &mut legendre, false).unwrap();
        // One polynomial is the mean of both ends, and not exact.
        prop_assert!(got.d_h.iter().all(|d| d.is_finite()));
        // Running backwards comes to w_0 but for its rounding.
        let got = case.answer(&inputs, &mut Reversed, false).unwrap();
        prop_assert!(got.d_h.iter().all(|d| d.is_finite()));
    }

    #[test]
    fn the_last_of_all_steps_are_all(case in cases(), schedule in any::<bool>()) {
        let case = Case { last: case.steps, ..case };
        let (inputs, p, slots) = (case.inputs::<f32>(), case.weights(), case.optimizer.slots());
        let want = all_bits(&case.taped(&inputs, schedule));
        let mut storage = vec![f32::NAN; Tape::<f32>::required_len(p, case.steps, slots)];
        let tape = Tape::new(p, case.steps, slots, &mut storage).unwrap();
        let mut path = Truncated::new(tape, case.steps, case.last).unwrap();
        prop_assert_eq!(all_bits(&case.answer(&inputs, &mut path, schedule).unwrap()), want);
    }

    #[test]
    fn groups_are_a_map_onto_their_hyperparameters(
        widths in prop::collection::vec(0..=6usize, 0..=5),
        by in by(),
        flat in prop::option::of(0..40usize),
    ) {
        let layout = flat.map_or(Layout::Layers(&widths), Layout::Flat);
        let groups = Groups { layout, by: by.0, biases: by.1 };
        let mut map = vec![i64::MIN; groups.weights()];
        groups.map(&mut map).unwrap();
        // Every weight has one hyperparameter that there is, or none, and they ascend with the weights.
        let mut last = 0;
        for hyper in map.iter().filter(|hyper| **hyper != -1) {
            prop_assert!((last..groups.len() as i64).contains(hyper), "{:?}", map);
            last = *hyper;
        }
        // Where no layer is empty, no hyperparameter is idle.
        if by.1 && !widths.contains(&0) && flat != Some(0) && !map.is_empty() {
            prop_assert_eq!(last as usize + 1, groups.len());
        }
        let mut end = 0;
        for block in groups.blocks() {
            prop_assert_eq!(block.start, end);
            prop_assert!(by.1 || block.hyper.is_some() || block.rows == 1);
            end += block.len();
        }
        prop_assert_eq!(end, groups.weights());
        // One less or more is refused.
        prop_assert!(groups.map(&mut vec![0; map.len() + 1]).is_err());
    }
}

/// Otherwise the tests above would pass for nothing.
#[test]
fn a_guard_notices_a_write_and_a_case_has_hyperparameters() {
    let noticed = std::panic::catch_unwind(|| {
        let mut guarded = Guarded::new(3, 7);
        let end = guarded.words.len() - GUARD;
        guarded.words[end] = 0;
    });
    assert!(noticed.is_err());
    let objective = |case: &Case| case.objectives(&case.data())[0].hypers();
    let case = Case {
        widths: vec![2, 2],
        steps: 1,
        batch: 1,
        microbatch: 1,
        scales: (Granularity::Unit, false),
        penalties: (Granularity::Parameter, true),
        schedule: (Granularity::Global, true),
        each_step: false,
        optimizer: Optimizer::HeavyBall,
        count: 1,
        tail: 0,
        last: 1,
        seed: 0,
    };
    assert_eq!(objective(&case), 2 + 6);
}
