//! The losses of a described network on examples.
//!
//! The training's is that of the network on examples, with what of them is tuned, on weights that are scaled where
//! scales are tuned, with a penalty. The validation's is the same without weights or inputs of examples of its own
//! and without a penalty; it has the same `h`, and passes over what belongs to the training alone.
//!
//! Refused: examples of another width, or with other targets, than the network's.

use super::examples::{Lent, Own};
use super::{Model, Source, Training, What};
use crate::error::{Error, check_equal};
use crate::group::Groups;
use crate::models::{Examples, Mlp};
use crate::objective::{At, Directions, Objective, Products};
use crate::scalar::{Arithmetic, Scalar};
use crate::wrap::{L2, Scaled, Strength};

/// A described network's loss on examples.
#[derive(Clone, Copy)]
pub struct NetworkLoss<'a, A> {
    inner: L2<'a, Scaled<'a, Mlp<'a, Lent<'a>, A>>>,
}

/// A described network's losses: [`Training::losses`].
#[derive(Clone, Copy)]
pub struct Losses<'a, A> {
    /// That of the training.
    pub training: NetworkLoss<'a, A>,
    /// That of the validation.
    pub validation: NetworkLoss<'a, A>,
}

impl<'a> Training<'a> {
    /// The losses of its network, trained on these examples and validated on those.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::Length`] for other numbers of examples, inputs or targets than
    /// it says; [`Error::Unsupported`] where no network is trained, or the examples are sparse and the
    /// description says they are not.
    pub fn losses<'s, A: Arithmetic>(
        &self,
        train: &'s dyn Source,
        valid: &'s dyn Source,
    ) -> Result<Losses<'s, A>, Error>
    where
        'a: 's,
    {
        Ok(Losses {
            training: self.loss(train)?,
            validation: self.validation_loss(valid)?,
        })
    }

    /// The same on examples of a type of one's own, where neither they nor scales are tuned: the training's and the
    /// validation's. They are compiled where this is called, with what these examples need and no more, which spares
    /// firmware flash.
    ///
    /// ```
    /// use drmad::{Plain, layers::Layer::*, method::Method, models::Features, network::{Loss, Network}, training::*};
    /// const NET: Network = Network { inputs: 2, layers: &[Dense(2)], loss: Loss::CrossEntropy };
    /// const TUNED: &[Tuned] = &[Tuned::new(What::Penalty, drmad::group::Granularity::Unit)];
    /// const TRAINING: Training = Training { tuned: TUNED, ..Training::of(NET, 2, 30) };
    /// let two = Features { x: &[1.0, 0.0, 0.0, 1.0], labels: &[0, 1], width: 2 };
    ///
    /// let [training, validation] = &TRAINING.losses_of::<Plain, _>(two, two)?;
    /// let (mut memory, mut d_h) = ([0f32; TRAINING.need::<f32>(Method::TAPE).len()], [[0.0; 2]; 2]);
    /// let on = On { training, validation, initial: None };
    /// TRAINING.hypergradient(Method::TAPE, on, &[-5.0; 2], &mut d_h[0], &mut memory)?;
    /// let losses = TRAINING.losses::<Plain>(&two, &two)?;
    /// TRAINING.hypergradient(Method::TAPE, losses.on(), &[-5.0; 2], &mut d_h[1], &mut memory)?;
    /// assert_eq!(d_h[0], d_h[1]);
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`losses`](Self::losses); [`Error::Unsupported`] where scales, or weights or inputs of examples, are tuned.
    pub fn losses_of<'s, A: Arithmetic, D: Examples>(
        &self,
        train: D,
        valid: D,
    ) -> Result<[L2<'s, Mlp<'s, D, A>>; 2], Error>
    where
        'a: 's,
    {
        if self.of_examples() > 0 || self.block(What::Scale).is_some() {
            return Err(Error::Unsupported {
                what: "scales, and weights and inputs of examples, with examples of a type of one's own: lend them as a Source",
            });
        }
        check_equal("examples trained on", self.examples, train.len())?;
        check_equal("examples validated on", self.valid_examples, valid.len())?;
        let (rows, valid_rows) = (train.sparse().is_some(), valid.sparse().is_some());
        let [tuned, off] = self.strengths();
        Ok([
            L2::new(self.network(train, rows, self.batch)?, tuned),
            L2::new(self.network(valid, valid_rows, self.valid_examples)?, off),
        ])
    }

    /// How strong a penalty is: the training's, and the validation's, which passes over what is tuned of it.
    const fn strengths(&self) -> [Strength<'a>; 2] {
        let groups = self.groups_of(What::Penalty);
        match self.block(What::Penalty) {
            Some(_) => [Strength::Tuned(groups), Strength::Off(groups)],
            None if self.l2 == 0.0 => [Strength::Nothing; 2],
            None => [Strength::Fixed(self.l2, groups), Strength::Nothing],
        }
    }

    /// The training loss of its network on examples.
    ///
    /// # Errors
    /// As [`losses`](Self::losses).
    pub fn loss<'s, A: Arithmetic>(
        &self,
        source: &'s dyn Source,
    ) -> Result<NetworkLoss<'s, A>, Error>
    where
        'a: 's,
    {
        check_equal("examples trained on", self.examples, source.len())?;
        let own = match (self.block(What::ExampleWeight), self.block(What::Input)) {
            (Some(_), _) => Own::Weights,
            (None, Some(_)) => Own::Inputs,
            (None, None) => Own::Nothing(0),
        };
        let [strength, _] = self.strengths();
        self.on(Lent::new(source, own), self.batch, strength)
    }

    /// Its validation loss on examples.
    ///
    /// # Errors
    /// As [`losses`](Self::losses).
    pub fn validation_loss<'s, A: Arithmetic>(
        &self,
        source: &'s dyn Source,
    ) -> Result<NetworkLoss<'s, A>, Error>
    where
        'a: 's,
    {
        check_equal("examples validated on", self.valid_examples, source.len())?;
        let [_, strength] = self.strengths();
        let lent = Lent::new(source, Own::Nothing(self.of_examples()));
        self.on(lent, self.valid_examples, strength)
    }

    fn on<'s, A: Arithmetic>(
        &self,
        examples: Lent<'s>,
        most: usize,
        strength: Strength<'s>,
    ) -> Result<NetworkLoss<'s, A>, Error>
    where
        'a: 's,
    {
        let inner = self.network(examples, examples.is_sparse(), most)?;
        let groups = match self.block(What::Scale) {
            Some(_) => self.groups_of(What::Scale),
            None => Groups::NONE,
        };
        Ok(NetworkLoss {
            inner: L2::new(Scaled { inner, groups }, strength),
        })
    }

    /// Its network on examples, whose rows are sparse or not, in batches of at most so many.
    fn network<'s, A: Arithmetic, D: Examples>(
        &self,
        examples: D,
        is_sparse: bool,
        most: usize,
    ) -> Result<Mlp<'s, D, A>, Error>
    where
        'a: 's,
    {
        self.check()?;
        let microbatch = self.microbatch();
        let (net, sparse) = match self.model {
            Model::Network { network, sparse } => (Mlp::of(network, examples, microbatch)?, sparse),
            Model::Widths { widths, sparse } => (Mlp::new(examples, widths, microbatch)?, sparse),
            Model::Own(_) => {
                return Err(Error::Unsupported {
                    what: "the network of a training of an objective of one's own",
                });
            }
        };
        if is_sparse != sparse {
            return Err(Error::Unsupported {
                what: "examples that come as sparse rows where the training says they do not, or the other way round",
            });
        }
        Ok(net.with_batches_of(most))
    }
}

impl<A: Arithmetic> NetworkLoss<'_, A> {
    pub(super) fn tell<S: Scalar>(
        &self,
        w: &[S],
        batch: &[u32],
        outputs: &mut [S],
        scratch: &mut [S],
    ) -> Result<(), Error> {
        self.inner.inner.inner.predict(w, batch, outputs, scratch)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<A: Arithmetic> Objective for NetworkLoss<'_, A> {
    type Arithmetic = A;

    fn weights(&self) -> usize {
        self.inner.weights()
    }

    fn hypers(&self) -> usize {
        self.inner.hypers()
    }

    fn scratch_len(&self) -> usize {
        self.inner.scratch_len()
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.inner.gradient(at, g, d_h, scratch)
    }

    fn loss_scratch_len(&self) -> usize {
        self.inner.loss_scratch_len()
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        self.inner.loss(at, scratch)
    }

    fn second_order_scratch_len(&self) -> usize {
        self.inner.second_order_scratch_len()
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        self.inner.second_order(at, d, out, scratch)
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        self.inner.tangents_scratch_len(count)
    }

    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.inner.tangents(at, along, g, g_dot, scratch)
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.inner.visit_blocks(visit);
    }
}
