//! The exact path from few snapshots: the steps between them are taken again.
//!
//! A snapshot is the weights and what the optimizer remembers, `2 P` numbers for the heavy ball. With `S`
//! of them, the sweep drops those it has passed, walks from the newest to the step it is asked for,
//! and leaves further snapshots in the free places on its way. Of `l` states in a row, the first of
//! them a snapshot and `s` in all allowed, the best that can be done takes (Griewank and Walther
//! 2000, algorithm 799, "Revolve")
//!
//! ```text
//! P(l, s) = min_m { m + P(m, s) + P(l - m, s - 1) }        P(l, 1) = l (l - 1) / 2
//!         = sum of l - beta(s, k) over the k with beta(s, k) < l        beta(s, k) = C(s + k, s)
//! ```
//!
//! steps: with `s` snapshots, `beta(s, k)` states are reached without taking any step more than `k`
//! times. The next snapshot lies `m` further, for the least `r` with `beta(s, r) >= l`, at the
//! greatest of the best `m`, which is the lesser of `beta(s, r - 1)` and `l - beta(s - 1, r - 1)`.
//!
//! A training is a row of `T + 1` states: the last, `w_T`, is there when the sweep begins. Of the
//! `P(T + 1, S)` steps the training itself takes `T`; the others, the sum over `k >= 1`, are taken
//! again ([`Checkpoints::least_recomputed`]), none of them more than `r - 1` times
//! ([`Checkpoints::most_repeated`]).
//!
//! Where `T` is not known beforehand ([`Checkpoints::online`]) the training places its snapshots by
//! levels (Wang, Moin and Iaccarino 2009, algorithm 1; the state at hand is their newest checkpoint).
//! A snapshot with a higher level after it is dispensable, and the newest of these makes way for the
//! state at hand; where there is none, that state is passed over and the next stands one level
//! higher. The first step is never dispensable. The sweep is the same. No step is repeated more often
//! than where `T` is known; the number of steps taken again, counted for all `T <= 300`, is 1.02 times
//! the least possible with 2 snapshots, 1.11 with 8 and 1.23 with 20, and at worst 1.18, 1.54 and 1.76.
//!
//! Refused: no snapshots; steps recalled before the training is finished; steps beyond `T` where
//! that was said beforehand.

use super::{Kind, Path, Spare, Steps, fields_len};
use crate::error::{Error, check_len, cut};
use crate::pieces::{copy, part, split_mut};
use crate::scalar::{Arithmetic, Scalar};
use crate::state::{FIELD, Fields};

/// Which step a snapshot is of; a buffer with one for each snapshot is the caller's.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Mark {
    step: usize,
    level: usize,
    /// Its place in the storage.
    place: usize,
}

/// Where the training leaves snapshots.
#[derive(Debug)]
enum Placing {
    /// At the best places of a training of `steps` steps; the next is that of step `due`.
    Offline { steps: usize, due: usize },
    /// As levels say; `level` is that of the state at hand.
    Online { level: usize },
}

/// Snapshots of the trajectory.
///
/// ```
/// use drmad::path::{Checkpoints, Mark};
/// // 1000 steps of 10 weights by the heavy ball, from 20 snapshots.
/// let mut storage = [0.0f32; Checkpoints::<f32>::required_len(10, 20, 1)];
/// let mut marks = [Mark::default(); 20];
/// let path = Checkpoints::new(10, 1000, 1, &mut storage, &mut marks)?;
/// // The sweep takes 1750 steps again, none of them more than twice.
/// assert_eq!(Checkpoints::<f32>::least_recomputed(1000, 20), 1750);
/// assert_eq!(Checkpoints::<f32>::most_repeated(1000, 20), 2);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Checkpoints<'a, S> {
    weights: usize,
    slots: usize,
    storage: &'a mut [S],
    /// Those of the snapshots by ascending step, then those of free places.
    marks: &'a mut [Mark],
    taken: usize,
    placing: Placing,
    next: usize,
    finished: bool,
    recomputed: u64,
}

/// `C(s + r, s)` from `C(s + r - 1, s)`, for `r > 0`.
const fn next_beta(beta: u64, s: u64, r: u64) -> u64 {
    // Divided before it is multiplied: the product itself may not fit where the result does.
    let (sum, r) = (s.saturating_add(r), if r == 0 { 1 } else { r });
    let rest = (beta % r).saturating_mul(sum) / r;
    (beta / r).saturating_mul(sum).saturating_add(rest)
}

/// How far after the first of `l > 1` states the next of `s > 1` snapshots lies.
const fn split(l: u64, s: u64) -> u64 {
    let (mut before, mut last, mut r) = (0, 1, 1);
    loop {
        let beta = next_beta(last, s, r);
        if beta >= l {
            break;
        }
        (before, last, r) = (last, beta, r + 1);
    }
    // beta(s - 1, r - 1) is the difference of the two.
    let short = l - (last - before);
    if last < short { last } else { short }
}

/// The steps that the sweep takes again, and how often it takes any of them at most.
const fn cost(steps: usize, snapshots: usize) -> (u64, u64) {
    let (l, s) = ((steps as u64).saturating_add(1), snapshots as u64);
    if s == 0 {
        return (u64::MAX, u64::MAX);
    }
    let (mut total, mut r) = (0u64, 1);
    let mut beta = next_beta(1, s, r);
    while beta < l && total < u64::MAX {
        total = total.saturating_add(l - beta);
        r += 1;
        beta = next_beta(beta, s, r);
    }
    (total, r - 1)
}

impl<'a, S: Scalar> Checkpoints<'a, S> {
    /// Numbers of storage for `weights` and `snapshots`, with `slots` vectors of what the optimizer
    /// remembers: [`Optimizer::slots`](crate::schedule::Optimizer::slots).
    pub const fn required_len(weights: usize, snapshots: usize, slots: usize) -> usize {
        weights
            .saturating_mul(snapshots)
            .saturating_mul(slots.saturating_add(1))
    }

    /// The steps that a sweep over `steps` steps takes again with the best use of `snapshots`, as
    /// [`new`](Self::new) makes: `P(T + 1, S) - T` (Griewank and Walther 2000, theorem 1). None where
    /// every step has its snapshot; `u64::MAX` where the number does not fit, or without snapshots.
    ///
    /// ```
    /// use drmad::path::Checkpoints;
    /// let again = |snapshots| Checkpoints::<f32>::least_recomputed(1000, snapshots);
    /// assert_eq!([1, 2, 10, 1000].map(again), [499_500, 27_864, 2640, 0]);
    /// ```
    pub const fn least_recomputed(steps: usize, snapshots: usize) -> u64 {
        cost(steps, snapshots).0
    }

    /// How often any step is taken again at most, with the best use of `snapshots` as with
    /// [`online`](Self::online): `r - 1` for the least `r` with `C(S + r, S) > T`.
    ///
    /// ```
    /// use drmad::path::Checkpoints;
    /// let times = |snapshots| Checkpoints::<f32>::most_repeated(1000, snapshots);
    /// assert_eq!([1, 2, 10, 1000].map(times), [999, 43, 3, 0]);
    /// ```
    pub const fn most_repeated(steps: usize, snapshots: usize) -> u64 {
        cost(steps, snapshots).1
    }

    /// Bytes of its [state](Path::state).
    pub const fn state_len(weights: usize, snapshots: usize, slots: usize) -> usize {
        let marks = snapshots.saturating_mul(3 * FIELD);
        Self::required_len(weights, snapshots, slots)
            .saturating_mul(S::BYTES)
            .saturating_add(marks)
            .saturating_add(fields_len(4, 5))
    }

    /// Snapshots of a training of `steps` steps, as many as there are `marks`. A shorter training may
    /// use them too, but not at their best.
    ///
    /// # Errors
    /// [`Error::NoSteps`]; otherwise as [`online`](Self::online).
    pub fn new(
        weights: usize,
        steps: usize,
        slots: usize,
        storage: &'a mut [S],
        marks: &'a mut [Mark],
    ) -> Result<Self, Error> {
        if steps == 0 {
            return Err(Error::NoSteps);
        }
        let placing = Placing::Offline { steps, due: 0 };
        Self::placed(placing, weights, slots, storage, marks)
    }

    /// Snapshots of a training of as many steps as it will take.
    ///
    /// ```
    /// use drmad::path::{Checkpoints, Mark};
    /// let (mut storage, mut marks) = ([0.0f32; Checkpoints::<f32>::required_len(10, 10, 1)], [Mark::default(); 10]);
    /// let path = Checkpoints::online(10, 1, &mut storage, &mut marks)?;
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Range`] where there are no marks, [`Error::Length`] where the storage is too short.
    pub fn online(
        weights: usize,
        slots: usize,
        storage: &'a mut [S],
        marks: &'a mut [Mark],
    ) -> Result<Self, Error> {
        let placing = Placing::Online { level: usize::MAX };
        Self::placed(placing, weights, slots, storage, marks)
    }

    fn placed(
        placing: Placing,
        weights: usize,
        slots: usize,
        storage: &'a mut [S],
        marks: &'a mut [Mark],
    ) -> Result<Self, Error> {
        if marks.is_empty() {
            return Err(Error::Range {
                what: "number of snapshots",
                value: 0.0,
                least: 1.0,
                greatest: f64::INFINITY,
            });
        }
        let mut storage = storage;
        let want = Self::required_len(weights, marks.len(), slots);
        let storage = cut("storage of the checkpoints", &mut storage, want)?;
        for (place, mark) in marks.iter_mut().enumerate() {
            mark.place = place;
        }
        Ok(Checkpoints {
            weights,
            slots,
            storage,
            marks,
            taken: 0,
            placing,
            next: 0,
            finished: false,
            recomputed: 0,
        })
    }

    /// Steps taken again since the training began.
    pub const fn recomputed(&self) -> u64 {
        self.recomputed
    }

    fn free(&self) -> usize {
        self.marks.len().saturating_sub(self.taken)
    }

    /// The best step for the next snapshot on the way from the newest, of step `from`, to `end`; `end`
    /// itself where none is free.
    fn next_snapshot(&self, from: usize, end: usize) -> usize {
        match self.free() as u64 {
            0 => end,
            free => from + split((end - from) as u64 + 1, free + 1) as usize,
        }
    }

    /// The newest snapshot that a later one, or the state at hand, stands above.
    fn dispensable(&self, level: usize) -> Option<usize> {
        let mut highest = level;
        let taken = part(self.marks, 0..self.taken);
        taken.iter().rposition(|mark| {
            let below = mark.level < highest;
            highest = highest.max(mark.level);
            below
        })
    }

    fn snapshot(&mut self, place: usize) -> Option<(&mut [S], &mut [S])> {
        let each = Self::required_len(self.weights, 1, self.slots);
        let snapshot = self.storage.get_mut(place * each..(place + 1) * each)?;
        Some(split_mut(snapshot, self.weights))
    }

    /// Stores the state before step `t` in a free place.
    fn store(&mut self, t: usize, level: usize, w: &[S], v: &[S]) {
        let Some(mark) = self.marks.get_mut(self.taken) else {
            return;
        };
        (mark.step, mark.level) = (t, level);
        let place = mark.place;
        if let Some((stored_w, stored_v)) = self.snapshot(place) {
            copy(w, stored_w);
            copy(v, stored_v);
            self.taken += 1;
        }
    }

    /// Frees the place of one snapshot.
    fn remove(&mut self, index: usize) {
        if let Some(later @ [_, ..]) = self.marks.get_mut(index..self.taken) {
            later.rotate_left(1);
            self.taken -= 1;
        }
    }
}

impl<A: Arithmetic, S: Scalar> Path<A, S> for Checkpoints<'_, S> {
    fn floats(&self) -> usize {
        self.storage.len() + size_of_val(self.marks) / size_of::<f32>()
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], _spare: Spare<'_, S>) -> Result<(), Error> {
        let want = if self.finished { 0 } else { self.next };
        if t != 0 && t != want {
            return Err(Error::Order { want, got: t });
        }
        check_len("w", w, self.weights)?;
        check_len("v", v, self.slots.saturating_mul(self.weights))?;
        if t == 0 {
            (self.taken, self.finished, self.recomputed) = (0, false, 0);
        }
        match self.placing {
            Placing::Offline { steps, .. } if t >= steps => {
                return Err(Error::Index {
                    what: "step of the checkpoints",
                    index: t,
                    len: steps,
                });
            }
            Placing::Offline { steps, due } => {
                if t == 0 || t == due {
                    self.store(t, 0, w, v);
                    let due = self.next_snapshot(t, steps);
                    self.placing = Placing::Offline { steps, due };
                }
            }
            Placing::Online { level } => {
                let level = if t == 0 { usize::MAX } else { level };
                if self.free() == 0
                    && let Some(index) = self.dispensable(level)
                {
                    self.remove(index);
                }
                let level = if self.free() == 0 {
                    level.saturating_add(1)
                } else {
                    self.store(t, level, w, v);
                    0
                };
                self.placing = Placing::Online { level };
            }
        }
        self.next = t + 1;
        Ok(())
    }

    fn finish(&mut self, _w: &[S], _v: &[S], _spare: Spare<'_, S>) -> Result<(), Error> {
        self.finished = true;
        Ok(())
    }

    /// # Errors
    /// [`Error::Order`] before the training is [finished](Self::finish), which sweeps its snapshots
    /// away; [`Error::Index`] for a step that was not trained; [`Error::Length`], also where the optimizer
    /// remembers more than the spare vector holds and `v` is not given; what the objective refuses.
    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        if !self.finished {
            return Err(Error::Order {
                want: self.next,
                got: t,
            });
        }
        let (v, g) = (v.unwrap_or(spare.a), spare.b);
        check_len("w", w, self.weights)?;
        check_len("v", v, self.slots.saturating_mul(self.weights))?;
        check_len("spare b", g, self.weights)?;
        let taken = part(self.marks, 0..self.taken);
        let earlier = taken.partition_point(|mark| mark.step <= t);
        let newest = taken.get(..earlier).and_then(<[Mark]>::last).copied();
        let (Some(newest), true) = (newest, t < self.next) else {
            return Err(Error::Index {
                what: "step of the checkpoints",
                index: t,
                len: self.next,
            });
        };
        self.taken = earlier;
        if let Some((stored_w, stored_v)) = self.snapshot(newest.place) {
            copy(stored_w, w);
            copy(stored_v, v);
        }
        let mut at = newest.step;
        while at < t {
            let next = self.next_snapshot(at, t);
            for step in at..next {
                steps.replay(step, w, v, g)?;
                self.recomputed = self.recomputed.saturating_add(1);
            }
            at = next;
            if at < t {
                self.store(at, 0, w, v);
            }
        }
        Ok(())
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let snapshots = self.marks.len();
        let (steps, place) = match &mut self.placing {
            Placing::Offline { steps, due } => (*steps, due),
            Placing::Online { level } => (0, level),
        };
        fields.path(
            Kind::Checkpoints,
            &[self.weights, self.slots, snapshots, steps],
        )?;
        // Of an unknown number of steps it is a level.
        let greatest = if steps == 0 { usize::MAX } else { steps };
        fields.count("snapshot to come", place, greatest)?;
        let next = fields.count("steps recorded", &mut self.next, greatest)?;
        let taken = fields.count("snapshots taken", &mut self.taken, snapshots)?;
        fields.flag("end of the training", &mut self.finished)?;
        fields.long(&mut self.recomputed)?;
        let mut due = 0;
        for (i, mark) in self.marks.iter_mut().enumerate() {
            // The first is of step 0, and each of those taken of a later step than the one before.
            let last = match i {
                _ if i >= taken => greatest,
                0 => 0,
                _ => next.saturating_sub(1),
            };
            let step = fields.count("step of a snapshot", &mut mark.step, last)?;
            if i < taken && step < due {
                return Err(Error::Saved {
                    what: "step of a snapshot",
                    want: due as u64,
                    got: step as u64,
                });
            }
            due = step.saturating_add(1);
            fields.count("level of a snapshot", &mut mark.level, usize::MAX)?;
            fields.count(
                "place of a snapshot",
                &mut mark.place,
                snapshots.saturating_sub(1),
            )?;
        }
        fields.numbers(self.storage)
    }
}
