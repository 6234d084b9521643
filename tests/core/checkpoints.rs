//! Checkpoints: the number of steps they take again against a dynamic program, and the bits of the
//! tape.

use crate::common::{Answer, Data, Noise, WIDTHS, bits, hypergradient};
use drmad::group::{Block, Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::kernels::momentum::RowSteps;
use drmad::models::{Features, Mlp};
use drmad::path::{Checkpoints, Mark, Path, Spare, Steps, Tape};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use drmad::{Arithmetic, Error, Fused, Plain};

// ------------------------------------------------------------------ how often steps are taken

/// A training whose state is the number of the step; it counts how often each is taken.
struct Counting(Vec<u64>);

impl Steps<f64> for Counting {
    fn replay(
        &mut self,
        t: usize,
        w: &mut [f64],
        v: &mut [f64],
        g: &mut [f64],
    ) -> Result<(), Error> {
        assert!(w.iter().all(|x| *x == t as f64) && v.iter().all(|x| *x == -(t as f64)));
        w.fill((t + 1) as f64);
        v.fill(-((t + 1) as f64));
        g.fill(f64::NAN);
        self.0[t] += 1;
        Ok(())
    }
    fn gradient(&mut self, _: usize, _: &[f64], _: &mut [f64]) -> Result<(), Error> {
        unreachable!("steps are taken whole")
    }
    fn optimizer(&self) -> Optimizer {
        Optimizer::HeavyBall
    }
    fn each(&self, _: usize, _: &mut dyn FnMut(Block, RowSteps<'_, f64>)) {}
}

/// Memory for `snapshots` of 2 weights and a velocity.
struct Memory(Vec<f64>, Vec<Mark>);

impl Memory {
    fn new(snapshots: usize) -> Memory {
        let len = Checkpoints::<f64>::required_len(2, snapshots, 1);
        Memory(vec![f64::NAN; len], vec![Mark::default(); snapshots])
    }

    fn offline(&mut self, steps: usize) -> Checkpoints<'_, f64> {
        Checkpoints::new(2, steps, 1, &mut self.0, &mut self.1).unwrap()
    }

    fn online(&mut self) -> Checkpoints<'_, f64> {
        Checkpoints::online(2, 1, &mut self.0, &mut self.1).unwrap()
    }
}

fn train(path: &mut Checkpoints<'_, f64>, steps: usize) {
    let path: &mut dyn Path<Fused, f64> = path;
    let (mut a, mut b) = ([f64::NAN; 2], [f64::NAN; 2]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    for t in 0..steps {
        let (w, v) = ([t as f64; 2], [-(t as f64); 2]);
        path.record(t, &w, &v, spare.again()).unwrap();
    }
    let end = [steps as f64; 2];
    path.finish(&end, &end, spare).unwrap();
}

fn recall(path: &mut Checkpoints<'_, f64>, t: usize, counting: &mut Counting) -> Result<(), Error> {
    let (mut w, mut v) = ([f64::NAN; 2], [f64::NAN; 2]);
    let (mut a, mut b) = ([f64::NAN; 2], [f64::NAN; 2]);
    let spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    let path: &mut dyn Path<Fused, f64> = path;
    path.recall(t, &mut w, Some(&mut v), counting, spare)?;
    assert_eq!((w, v), ([t as f64; 2], [-(t as f64); 2]));
    Ok(())
}

/// Trains and sweeps; how often each step was taken again.
fn counts(path: &mut Checkpoints<'_, f64>, steps: usize) -> Vec<u64> {
    train(path, steps);
    let mut counting = Counting(vec![0; steps]);
    for t in (0..steps).rev() {
        recall(path, t, &mut counting).unwrap();
    }
    assert_eq!(path.recomputed(), counting.0.iter().sum::<u64>());
    counting.0
}

const fn least(steps: usize, snapshots: usize) -> u64 {
    Checkpoints::<f64>::least_recomputed(steps, snapshots)
}

const fn most(steps: usize, snapshots: usize) -> u64 {
    Checkpoints::<f64>::most_repeated(steps, snapshots)
}

/// Tables by length and snapshots, of the least steps back over a row of states whose first is a
/// snapshot: where all is to be walked, and where the training has just walked it.
fn by_dynamic_program(length: usize, snapshots: usize) -> [Vec<Vec<u64>>; 2] {
    let mut walked = vec![vec![0; snapshots + 1]; length + 1];
    let mut trained = walked.clone();
    for l in 1..=length as u64 {
        walked[l as usize][1] = (0..l).sum();
        trained[l as usize][1] = (0..l).sum();
    }
    for s in 2..=snapshots {
        for l in 2..=length {
            // The next snapshot after m steps; what is left of it is swept with all of them.
            let best = |cost: &dyn Fn(usize) -> u64| (1..l).map(cost).min().unwrap();
            walked[l][s] = best(&|m| m as u64 + walked[l - m][s - 1] + walked[m][s]);
            trained[l][s] = best(&|m| trained[l - m][s - 1] + walked[m][s]);
        }
    }
    [walked, trained]
}

#[test]
fn the_theory_is_what_a_dynamic_program_finds() {
    let [walked, trained] = by_dynamic_program(150, 12);
    for s in 1..=12 {
        for steps in 1..=150 {
            assert_eq!(least(steps, s), trained[steps][s], "{steps} steps, {s}");
            // The end of the training is one more state, reached for nothing.
            if steps < 150 {
                assert_eq!(least(steps, s) + steps as u64, walked[steps + 1][s]);
            }
        }
    }
}

#[test]
fn a_sweep_takes_as_many_steps_again_as_the_theory_says() {
    let mut cases: Vec<(usize, usize)> = (1..=70)
        .flat_map(|steps| (1..=12).map(move |s| (steps, s)))
        .collect();
    cases.extend([(1, 1), (1, 9), (40, 39), (40, 40), (40, 50), (300, 1)]);
    cases.extend([(1000, 2), (1000, 7), (3000, 3), (3000, 40)]);
    for (steps, s) in cases {
        let mut memory = Memory::new(s);
        let counts = counts(&mut memory.offline(steps), steps);
        let total: u64 = counts.iter().sum();
        assert_eq!(total, least(steps, s), "{steps} steps, {s} snapshots");
        assert_eq!(counts.iter().max(), Some(&most(steps, s)));
        assert_eq!(total == 0, s >= steps);
    }
}

#[test]
fn no_step_is_repeated_more_than_a_binomial_coefficient_allows() {
    for s in 1..=20 {
        // A row of Pascal's triangle after another: C(s + r, s) is the sum of C(s - 1 + k, s - 1).
        let mut reached = [1u64; 40];
        for _ in 0..s {
            for r in 1..40 {
                reached[r] += reached[r - 1];
            }
        }
        for steps in 1..=35 {
            let r = reached.iter().position(|reached| *reached > steps as u64);
            assert_eq!(most(steps, s), r.unwrap() as u64 - 1, "{steps} steps, {s}");
        }
    }
    assert_eq!(most(44, 8), 1);
    assert_eq!(most(45, 8), 2);
}

#[test]
fn the_theory_holds_for_any_number() {
    let all = usize::MAX;
    assert_eq!((least(0, 3), most(0, 3)), (0, 0));
    assert_eq!((least(5, 0), most(5, 0)), (u64::MAX, u64::MAX));
    assert_eq!((least(all, all), most(all, all)), (0, 0));
    assert_eq!(least(all, 1), u64::MAX);
    assert_eq!(least(all, 2), u64::MAX);
    // With r = 2: all but s states are reached once more.
    let (steps, snapshots) = (all / 1000, all / 1_000_000);
    assert_eq!(least(steps, snapshots), (steps - snapshots) as u64);
    assert_eq!(Checkpoints::<f64>::required_len(all, 2, all), all);
}

#[test]
fn without_knowing_the_end_no_step_is_repeated_more_often() {
    // By snapshots: all steps taken again beside the least possible, and the worst of the ratios.
    for (s, share, worst) in [
        (1, 1.0, 1.0),
        (2, 1.02, 1.18),
        (3, 1.05, 1.29),
        (5, 1.09, 1.40),
        (8, 1.11, 1.54),
        (12, 1.09, 1.65),
        (20, 1.23, 1.76),
    ] {
        let (mut sum, mut least_sum, mut greatest) = (0, 0, 1.0f64);
        for steps in 1..=300 {
            let mut memory = Memory::new(s);
            let counts = counts(&mut memory.online(), steps);
            let (total, best) = (counts.iter().sum::<u64>(), least(steps, s));
            let times = most(steps, s);
            assert_eq!(counts.iter().max(), Some(&times), "{steps} steps, {s}");
            assert!(best <= total && total <= times * (steps as u64 - 1));
            assert_eq!(total == 0, s >= steps);
            sum += total;
            least_sum += best;
            if best > 0 {
                greatest = greatest.max(total as f64 / best as f64);
            }
        }
        let rounded = |x: f64| (100.0 * x).round() / 100.0;
        let measured = (rounded(sum as f64 / least_sum as f64), rounded(greatest));
        assert_eq!(measured, (share, worst), "{s} snapshots");
    }
}

#[test]
fn steps_are_recalled_in_any_order() {
    let mut memory = Memory::new(4);
    let mut noise = Noise(3);
    for online in [false, true] {
        let mut path = if online {
            memory.online()
        } else {
            memory.offline(50)
        };
        train(&mut path, 50);
        let mut counting = Counting(vec![0; 50]);
        for _ in 0..200 {
            let t = noise.word() as usize % 50;
            recall(&mut path, t, &mut counting).unwrap();
        }
    }
}

#[test]
fn a_second_training_is_counted_anew() {
    let mut memory = Memory::new(4);
    let mut path = memory.offline(50);
    let first = counts(&mut path, 50);
    assert_eq!(counts(&mut path, 50), first);
    assert_eq!(path.recomputed(), least(50, 4));
    // A shorter one is swept too.
    let shorter = counts(&mut path, 30);
    assert!(shorter.iter().sum::<u64>() >= least(30, 4));
    let mut memory = Memory::new(4);
    let mut path = memory.online();
    let first = counts(&mut path, 50);
    assert_eq!(counts(&mut path, 50), first);
}

// ------------------------------------------------------------------------- the tape's bits

const STEPS: usize = 23;
const P: usize = 74;
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};

/// A small training with penalties by tensor, rates for each step and tensor, and momenta too but
/// for Adam.
struct Small {
    data: Data,
    h: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
    w0: Vec<f32>,
}

impl Small {
    fn new(optimizer: Optimizer) -> Small {
        let around = |seed, n, middle: f32, by: f32| -> Vec<f32> {
            let noise = Noise(seed).f32s(n, by);
            noise.iter().map(|x| middle + x).collect()
        };
        let is_adam = matches!(optimizer, Optimizer::Adam { .. });
        let (rate, momenta) = if is_adam { (0.03, 6) } else { (0.3, 6 * STEPS) };
        Small {
            data: Data::small(),
            h: around(70, 6, 0.02, 0.01),
            rates: around(71, STEPS * 6, rate, rate / 3.0),
            momenta: around(72, momenta, 0.6, 0.3),
            w0: around(73, P, 0.0, 0.5),
        }
    }

    fn objective<A: Arithmetic>(&self, valid: bool) -> L2<'_, Mlp<'_, Features<'_>, A>> {
        let strength = if valid {
            Strength::Off(TENSORS)
        } else {
            Strength::Tuned(TENSORS)
        };
        L2::new(Mlp::new(self.data.features(), WIDTHS, 4).unwrap(), strength)
    }

    fn answer<A: Arithmetic>(
        &self,
        optimizer: Optimizer,
        path: &mut dyn Path<A, f32>,
        schedule: bool,
    ) -> Answer<f32> {
        let (training, validation) = (self.objective::<A>(false), self.objective::<A>(true));
        let problem = InnerProblem {
            objective: &training,
            h: &self.h,
            schedule: Schedule {
                optimizer,
                groups: TENSORS,
                rates: &self.rates,
                momenta: &self.momenta,
            },
            batches: Batches {
                seed: 5,
                examples: 8,
                size: 5,
            },
            steps: STEPS,
        };
        let validation = Validation {
            objective: &validation,
            examples: &[8, 9, 10, 11],
        };
        hypergradient(&problem, &validation, &&self.w0[..], path, schedule).unwrap()
    }
}

/// Checkpoints that are held against a tape at every step.
struct Watched<'a> {
    checkpoints: Checkpoints<'a, f32>,
    tape: Tape<'a, f32>,
    slots: usize,
    recalled: usize,
}

impl<A: Arithmetic> Path<A, f32> for Watched<'_> {
    fn floats(&self) -> usize {
        Path::<A, f32>::floats(&self.checkpoints)
    }
    fn record(
        &mut self,
        t: usize,
        w: &[f32],
        v: &[f32],
        mut spare: Spare<f32>,
    ) -> Result<(), Error> {
        Path::<A, f32>::record(&mut self.tape, t, w, v, spare.again())?;
        Path::<A, f32>::record(&mut self.checkpoints, t, w, v, spare)
    }
    fn finish(&mut self, w: &[f32], v: &[f32], spare: Spare<f32>) -> Result<(), Error> {
        Path::<A, f32>::finish(&mut self.checkpoints, w, v, spare)
    }
    fn recall(
        &mut self,
        t: usize,
        w: &mut [f32],
        v: Option<&mut [f32]>,
        steps: &mut dyn Steps<f32>,
        mut spare: Spare<f32>,
    ) -> Result<(), Error> {
        let mut want = (vec![0.0; P], vec![0.0; self.slots * P]);
        let tape: &mut dyn Path<A, f32> = &mut self.tape;
        tape.recall(t, &mut want.0, Some(&mut want.1), steps, spare.again())?;
        let checkpoints: &mut dyn Path<A, f32> = &mut self.checkpoints;
        match v {
            Some(v) => {
                checkpoints.recall(t, w, Some(&mut *v), steps, spare)?;
                assert_eq!(bits(v), bits(&want.1), "v of step {t}");
            }
            None => checkpoints.recall(t, w, None, steps, spare)?,
        }
        assert_eq!(bits(w), bits(&want.0), "w of step {t}");
        self.recalled += 1;
        Ok(())
    }
}

fn same_bits_as_the_tape<A: Arithmetic>(optimizer: Optimizer, schedule: bool) {
    let small = Small::new(optimizer);
    let slots = optimizer.slots();
    let mut numbers = vec![f32::NAN; Tape::<f32>::required_len(P, STEPS, slots)];
    let mut tape = Tape::new(P, STEPS, slots, &mut numbers).unwrap();
    let want = small.answer::<A>(optimizer, &mut tape, schedule);
    assert!(want.d_h.iter().any(|x| *x != 0.0));
    for s in [1, 2, 3, 5, 22, 23, 30] {
        for online in [false, true] {
            let len = Checkpoints::<f32>::required_len(P, s, slots);
            let (mut storage, mut marks) = (vec![f32::NAN; len], vec![Mark::default(); s]);
            let (storage, marks) = (&mut storage[..], &mut marks[..]);
            let mut numbers = vec![f32::NAN; Tape::<f32>::required_len(P, STEPS, slots)];
            let mut path = Watched {
                checkpoints: if online {
                    Checkpoints::online(P, slots, storage, marks).unwrap()
                } else {
                    Checkpoints::new(P, STEPS, slots, storage, marks).unwrap()
                },
                tape: Tape::new(P, STEPS, slots, &mut numbers).unwrap(),
                slots,
                recalled: 0,
            };
            let got = small.answer::<A>(optimizer, &mut path, schedule);
            assert_eq!(path.recalled, STEPS);
            assert_eq!(path.checkpoints.recomputed() == 0, s >= STEPS);
            for (what, got, want) in [
                ("h", &got.d_h, &want.d_h),
                ("w_0", &got.d_w0, &want.d_w0),
                ("rates", &got.d_rates, &want.d_rates),
                ("momenta", &got.d_momenta, &want.d_momenta),
            ] {
                assert_eq!(
                    bits(got),
                    bits(want),
                    "{optimizer:?}, {s} snapshots: by {what}"
                );
            }
        }
    }
}

#[test]
fn every_step_and_hypergradient_has_the_bits_of_the_tape() {
    for optimizer in [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM] {
        for schedule in [false, true] {
            same_bits_as_the_tape::<Plain>(optimizer, schedule);
            same_bits_as_the_tape::<Fused>(optimizer, schedule);
        }
    }
}

// ------------------------------------------------------------------------------- refusals

#[track_caller]
fn refused<T>(result: Result<T, Error>, want: Error, text: &str) {
    let error = result.err().expect("it was not refused");
    assert_eq!(error, want);
    assert_eq!(error.to_string(), text);
}

#[test]
fn checkpoints_refuse_what_they_cannot_hold() {
    let new = |steps, storage: &mut [f64], marks: &mut [Mark]| {
        Checkpoints::new(2, steps, 1, storage, marks).map(|_| ())
    };
    let mut marks = [Mark::default(); 3];
    let range = Error::Range {
        what: "number of snapshots",
        value: 0.0,
        least: 1.0,
        greatest: f64::INFINITY,
    };
    let text = "number of snapshots is 0: it must lie in 1 ..= inf";
    refused(new(5, &mut [0.0; 12], &mut []), range, text);
    let online = Checkpoints::online(2, 1, &mut [0.0f64; 12], &mut []).map(|_| ());
    refused(online, range, text);
    let length = Error::Length {
        what: "storage of the checkpoints",
        want: 12,
        got: 11,
    };
    let text = "storage of the checkpoints: 12 numbers wanted, 11 given";
    refused(new(5, &mut [0.0; 11], &mut marks), length, text);
    let online = Checkpoints::online(2, 1, &mut [0.0f64; 11], &mut marks).map(|_| ());
    refused(online, length, text);
    let text = "a training needs at least one step";
    refused(new(0, &mut [0.0; 12], &mut marks), Error::NoSteps, text);
    new(5, &mut [0.0; 13], &mut marks).unwrap();
    // Lengths that no machine has do not overflow.
    let huge = Checkpoints::<f64>::online(usize::MAX, usize::MAX, &mut [], &mut marks);
    assert!(matches!(huge, Err(Error::Length { .. })));
    let mut nothing = Checkpoints::<f64>::online(0, usize::MAX, &mut [], &mut marks).unwrap();
    let spare = Spare {
        a: &mut [],
        b: &mut [],
    };
    Path::<Fused, f64>::record(&mut nothing, 0, &[], &[], spare).unwrap();
}

fn order(want: usize, got: usize) -> (Error, String) {
    let text = format!(
        "step {got} came where step {want} was due: record ascending from 0, recall descending"
    );
    (Error::Order { want, got }, text)
}

fn index(index: usize, len: usize) -> (Error, String) {
    let what = "step of the checkpoints";
    let text = format!("{what} {index} does not exist: there are {len}");
    (Error::Index { what, index, len }, text)
}

#[test]
fn checkpoints_refuse_steps_out_of_turn_and_beyond_the_end() {
    let mut memory = Memory::new(2);
    let mut path = memory.offline(3);
    let record = |path: &mut Checkpoints<'_, f64>, t, w: &[f64], v: &[f64]| {
        let spare = Spare {
            a: &mut [0.0; 2],
            b: &mut [0.0; 2],
        };
        Path::<Fused, f64>::record(path, t, w, v, spare)
    };
    let x = [0.0; 2];
    let counting = &mut Counting(vec![0; 9]);
    let check = |result: Result<(), Error>, (want, text): (Error, String)| {
        refused(result, want, &text);
    };
    check(record(&mut path, 1, &x, &x), order(0, 1));
    check(recall(&mut path, 0, counting), order(0, 0));
    record(&mut path, 0, &x, &x).unwrap();
    check(record(&mut path, 2, &x, &x), order(1, 2));
    // What is recalled is swept away behind: not before the training is finished.
    check(recall(&mut path, 0, counting), order(1, 0));
    record(&mut path, 1, &x, &x).unwrap();
    check(record(&mut path, 1, &x, &x), order(2, 1));
    record(&mut path, 2, &x, &x).unwrap();
    check(record(&mut path, 3, &x, &x), index(3, 3));
    train(&mut path, 3);
    check(recall(&mut path, 3, counting), index(3, 3));
    check(record(&mut path, 3, &x, &x), order(0, 3));
    recall(&mut path, 2, counting).unwrap();

    // Without an end there is nothing beyond it.
    let mut memory = Memory::new(2);
    let mut path = memory.online();
    train(&mut path, 9);
    check(recall(&mut path, 9, counting), index(9, 9));
    recall(&mut path, 8, counting).unwrap();
    let spare = || Spare {
        a: &mut [],
        b: &mut [],
    };
    Path::<Fused, f64>::finish(&mut path, &x, &x, spare()).unwrap();
    let mut memory = Memory::new(2);
    let mut untrained = memory.online();
    Path::<Fused, f64>::finish(&mut untrained, &x, &x, spare()).unwrap();
    check(recall(&mut untrained, 0, counting), index(0, 0));
}

#[test]
fn checkpoints_refuse_other_lengths() {
    let mut memory = Memory::new(2);
    let mut path = memory.offline(3);
    train(&mut path, 3);
    let length = |what, want, got| Error::Length { what, want, got };
    let x = &[0.0; 4][..];
    for (w, v, error) in [(1, 2, length("w", 2, 1)), (2, 4, length("v", 2, 4))] {
        let spare = Spare {
            a: &mut [0.0; 2],
            b: &mut [0.0; 2],
        };
        let done = Path::<Fused, f64>::record(&mut path, 0, &x[..w], &x[..v], spare);
        assert_eq!(done, Err(error));
    }
    for (w, v, a, b, error) in [
        (3, Some(2), 2, 2, length("w", 2, 3)),
        (2, Some(1), 2, 2, length("v", 2, 1)),
        (2, None, 1, 2, length("v", 2, 1)),
        (2, Some(2), 2, 3, length("spare b", 2, 3)),
    ] {
        let mut buffers = [[0.0; 4]; 4];
        let [x, y, spare_a, spare_b] = &mut buffers;
        let spare = Spare {
            a: &mut spare_a[..a],
            b: &mut spare_b[..b],
        };
        let v = v.map(|v| &mut y[..v]);
        let counting = &mut Counting(vec![0; 3]);
        let path: &mut dyn Path<Fused, f64> = &mut path;
        let done = path.recall(2, &mut x[..w], v, counting, spare);
        assert_eq!(done, Err(error));
    }
    recall(&mut path, 2, &mut Counting(vec![0; 3])).unwrap();
}

#[test]
fn what_stops_a_replay_stops_the_sweep_and_leaves_the_snapshots_whole() {
    struct Refusing;
    impl Steps<f64> for Refusing {
        fn replay(
            &mut self,
            t: usize,
            _: &mut [f64],
            _: &mut [f64],
            _: &mut [f64],
        ) -> Result<(), Error> {
            Err(Error::NonFinite { what: "x", step: t })
        }
        fn gradient(&mut self, _: usize, _: &[f64], _: &mut [f64]) -> Result<(), Error> {
            unreachable!("steps are taken whole")
        }
        fn optimizer(&self) -> Optimizer {
            Optimizer::HeavyBall
        }
        fn each(&self, _: usize, _: &mut dyn FnMut(Block, RowSteps<'_, f64>)) {}
    }
    let mut memory = Memory::new(1);
    let mut path = memory.offline(5);
    train(&mut path, 5);
    let (mut w, mut v, mut a, mut b) = ([0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]);
    let spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    let steps = &mut Refusing;
    let done = Path::<Fused, f64>::recall(&mut path, 3, &mut w, Some(&mut v), steps, spare);
    assert_eq!(done, Err(Error::NonFinite { what: "x", step: 0 }));
    assert_eq!(path.recomputed(), 0);
    recall(&mut path, 3, &mut Counting(vec![0; 5])).unwrap();
}
