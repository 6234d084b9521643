//! The values that `h` stands for, where a training looks for them.
//!
//! ```text
//! h          the blocks as they are tuned, each in its parametrisation
//! values     those of the loss, in the order of `What` | rates | momenta | logarithms of initial scales
//! ```
//!
//! A table of what is not tuned holds the training's own number. Derivatives by the values lie in the same order,
//! and become those by `h`.
//!
//! Costs a copy of `h`. Refused: entries that stand for no finite number.

use core::ops::Range;

use super::{Training, Tuned, What};
use crate::error::{Error, check_equal, check_len, cut};
use crate::kernels::accumulate::scale_rows_in_place;
use crate::objective::Differentiable;
use crate::pieces::{part, part_mut};
use crate::random::{Initial, Normal};
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::Schedule;
use crate::train::InnerProblem;

/// Where the tables begin.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub(super) rates: usize,
    pub(super) momenta: usize,
    pub(super) log_scales: usize,
    pub(super) end: usize,
}

/// The values of a training's hyperparameters.
///
/// ```
/// use drmad::{Fused, group::Granularity, layers::Layer::*, network::{Loss, Network}, training::*};
/// const NET: Network = Network { inputs: 2, layers: &[Dense(2)], loss: Loss::CrossEntropy };
/// const TUNED: &[Tuned] = &[Tuned::new(What::Momentum, Granularity::Layer), Tuned::new(What::Penalty, Granularity::Unit)];
/// const TRAINING: Training = Training { tuned: TUNED, ..Training::of(NET, 4, 10) };
/// let mut room = [0f32; Values::<f32>::required_len(&TRAINING)];
/// let values = Values::new::<Fused>(TRAINING, &[0.0, -100.0, -100.0], &mut room)?;
/// assert!(values.h().iter().all(|c| *c < 1e-40), "two penalties, all but none");
/// assert_eq!((values.schedule().momenta, values.schedule().rates), (&[0.5][..], &[0.1][..]));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Values<'v, S> {
    training: Training<'v>,
    all: &'v [S],
}

/// The derivatives by the values, table by table.
#[derive(Debug)]
pub struct Derivatives<'d, S> {
    /// By those of the loss.
    pub h: &'d mut [S],
    /// By the rates.
    pub rates: &'d mut [S],
    /// By the momenta.
    pub momenta: &'d mut [S],
    /// By the logarithms of initial scales.
    pub log_scales: &'d mut [S],
}

impl Tables {
    pub(super) const fn of(training: &Training<'_>) -> Self {
        const OF_THE_LOSS: [What; 5] = [
            What::Objective,
            What::ExampleWeight,
            What::Input,
            What::Scale,
            What::Penalty,
        ];
        let (mut rates, mut i) = (0usize, 0);
        while i < OF_THE_LOSS.len() {
            rates = rates.saturating_add(training.len_of(OF_THE_LOSS[i]));
            i += 1;
        }
        let groups = training.scheduled().len();
        let momenta = rates.saturating_add(match training.block(What::Rate) {
            Some(_) => training.len_of(What::Rate),
            None => groups,
        });
        let log_scales = momenta.saturating_add(match training.block(What::Momentum) {
            Some(_) => training.len_of(What::Momentum),
            None => groups,
        });
        Tables {
            rates,
            momenta,
            log_scales,
            end: log_scales.saturating_add(training.groups_of(What::InitialScale).len()),
        }
    }

    /// Those of derivatives in the same order.
    pub(super) fn of_derivatives<'d, S>(
        &self,
        mut d: &'d mut [S],
    ) -> Result<Derivatives<'d, S>, Error> {
        let mut next = |from: usize, to: usize| cut("derivatives", &mut d, to.saturating_sub(from));
        Ok(Derivatives {
            h: next(0, self.rates)?,
            rates: next(self.rates, self.momenta)?,
            momenta: next(self.momenta, self.log_scales)?,
            log_scales: next(self.log_scales, self.end)?,
        })
    }
}

/// Whether its values are what `h` holds: an initial scale is known by its logarithm.
const fn is_raw(block: &Tuned) -> bool {
    matches!(block.what, What::InitialScale) || block.parametrisation.is_none()
}

impl<'v, S: Scalar> Values<'v, S> {
    /// Numbers that they take.
    pub const fn required_len(training: &Training<'_>) -> usize {
        Tables::of(training).end
    }

    /// Those of `h`, in `room` that has their [length](Self::required_len).
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Domain`] with the place of an entry of `h` that stands for no finite number.
    pub fn new<A: Arithmetic>(
        training: Training<'v>,
        h: &[S],
        room: &'v mut [S],
    ) -> Result<Self, Error> {
        check_len("h", h, training.hypers().len())?;
        let tables = Tables::of(&training);
        check_len("room for values", room, tables.end)?;
        for (range, value) in [
            (tables.rates..tables.momenta, training.rate),
            (tables.momenta..tables.log_scales, training.momentum),
            (tables.log_scales..tables.end, training.log_scale),
        ] {
            let table = part_mut(room, range);
            table.fill(S::from_f32(value));
        }
        for (block, range) in training.hypers().blocks() {
            let given = part(h, range.clone());
            let table = part_mut(room, place(&training, block));
            for (value, h) in table.iter_mut().zip(given) {
                *value = *h;
            }
            if let (Some(parametrisation), false) = (block.parametrisation, is_raw(block)) {
                parametrisation.value::<A, S>(table);
            }
            if let Some(j) = table.iter().position(|x| !x.is_finite()) {
                return Err(Error::Domain {
                    what: "hyperparameter",
                    index: range.start.saturating_add(j),
                    value: given.get(j).map_or(f64::NAN, |h| h.to_f64()),
                    above: f64::NEG_INFINITY,
                    below: f64::INFINITY,
                });
            }
        }
        Ok(Values {
            training,
            all: room,
        })
    }

    fn table(&self, range: Range<usize>) -> &'v [S] {
        part(self.all, range)
    }

    /// Those of the loss.
    pub fn h(&self) -> &'v [S] {
        self.table(0..Tables::of(&self.training).rates)
    }

    /// Rates and momenta, and which weights share them.
    pub fn schedule(&self) -> Schedule<'v, S> {
        let tables = Tables::of(&self.training);
        Schedule {
            groups: self.training.scheduled(),
            optimizer: self.training.optimizer,
            rates: self.table(tables.rates..tables.momenta),
            momenta: self.table(tables.momenta..tables.log_scales),
        }
    }

    /// Where the training begins, where that is not given.
    pub fn normal(&self) -> Normal<'v, S> {
        let tables = Tables::of(&self.training);
        Normal {
            seed: self.training.seed,
            groups: self.training.groups_of(What::InitialScale),
            log_scales: self.table(tables.log_scales..tables.end),
        }
    }

    /// The same, given or not.
    pub fn initial(&self, given: Option<&'v [S]>) -> Initial<'v, S> {
        match given {
            Some(w) => Initial::Given(w),
            None => Initial::Drawn(self.normal()),
        }
    }

    /// Turns trained weights into those that the network itself works with: scaled ones, where scales are tuned.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn scale(&self, w: &mut [S]) -> Result<(), Error> {
        check_len("w", w, self.training.layout().weights())?;
        let Some(scaled) = self.training.block(What::Scale) else {
            return Ok(());
        };
        let scales = self.table(place(&self.training, &scaled));
        for block in self.training.groups_of(What::Scale).blocks() {
            scale_rows_in_place(block.columns, block.hypers(scales), block.of_mut(w));
        }
        Ok(())
    }

    /// Derivatives by the values, in their order, cut into the tables.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn derivatives<'d>(&self, d: &'d mut [S]) -> Result<Derivatives<'d, S>, Error> {
        Tables::of(&self.training).of_derivatives(d)
    }

    /// The training of these values.
    pub(super) fn run<'r, A: Arithmetic>(
        &self,
        objective: &'r dyn Differentiable<A, S>,
    ) -> Result<InnerProblem<'r, A, S>, Error>
    where
        'v: 'r,
    {
        let (p, h) = (self.training.layout().weights(), self.h());
        check_equal("weights of the loss", p, objective.weights())?;
        check_equal("hyperparameters of the loss", h.len(), objective.hypers())?;
        Ok(InnerProblem {
            objective,
            h,
            schedule: self.schedule(),
            batches: self.training.batches(),
            steps: self.training.steps,
        })
    }

    /// Turns derivatives by the values, in their order, into the hypergradient `d_h`.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Diverged`] for one that is not finite. Then `d_h` is as it was.
    pub fn pull_back(&self, d: &[S], d_h: &mut [S]) -> Result<(), Error> {
        let hypers = self.training.hypers();
        check_len("derivatives", d, self.all.len())?;
        check_len("d_h", d_h, hypers.len())?;
        let mut blocks = hypers.blocks();
        if !blocks.all(|(block, _)| self.by_entries(block, d).all(|d| d.is_finite())) {
            return Err(Error::Diverged {
                what: "hypergradient",
                step: 0,
            });
        }
        for (block, range) in hypers.blocks() {
            let d_h = part_mut(d_h, range);
            for (d_h, d) in d_h.iter_mut().zip(self.by_entries(block, d)) {
                *d_h = d;
            }
        }
        Ok(())
    }

    /// The derivatives by the entries of a block.
    fn by_entries<'d>(
        &self,
        block: &Tuned,
        d: &'d [S],
    ) -> impl Iterator<Item = S> + use<'v, 'd, S> {
        let place = place(&self.training, block);
        let parametrisation = block.parametrisation.filter(|_| !is_raw(block));
        let d = part(d, place.clone());
        let with_values = d.iter().zip(self.table(place));
        with_values.map(move |(d, x)| match parametrisation {
            Some(parametrisation) => *d * parametrisation.slope(*x),
            None => *d,
        })
    }
}

/// Where the values of a block lie.
pub(super) fn place(training: &Training<'_>, block: &Tuned) -> Range<usize> {
    let (tables, hypers) = (Tables::of(training), training.hypers());
    let start = match block.what {
        What::Rate => tables.rates,
        What::Momentum => tables.momenta,
        What::InitialScale => tables.log_scales,
        _ => (training.tuned.iter())
            .filter(|other| other.what.is_of_the_loss() && other.what < block.what)
            .fold(0, |sum, other| hypers.len_of(other).saturating_add(sum)),
    };
    start..start.saturating_add(hypers.len_of(block))
}
