//! The losses of a described network on examples.
//!
//! The training's is that of the network on examples, with what of them is tuned, on weights that are scaled where
//! scales are tuned, with a penalty. The validation's is the same without weights or inputs of examples of its own
//! and without a penalty; it has the same `h`, and passes over what belongs to the training alone.
//!
//! Refused: examples of another width, or with other targets, than the network's.

use bytemuck::Pod;

use super::examples::{Lent, Own};
use super::{Compiled, Model, On, Source, Training, What};
use crate::error::{Error, same};
use crate::group::Groups;
use crate::models::Mlp;
use crate::objective::{self, At, Directions, Objective, Products};
use crate::scalar::{Arithmetic, Real, Scalar};
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

impl<A: Arithmetic> Losses<'_, A> {
    /// What a training is run on, from initial weights of its seed.
    pub fn on<S: Real + Pod>(&self) -> On<'_, A, S>
    where
        A: Compiled<S>,
    {
        On {
            training: self.training.pointer(),
            validation: self.validation.pointer(),
            initial: None,
        }
    }
}

impl<A: Arithmetic> NetworkLoss<'_, A> {
    /// A pointer to it as it is compiled with the crate: no program that uses it compiles it once more.
    pub fn pointer<S: Real + Pod>(&self) -> &dyn objective::Differentiable<A, S>
    where
        A: Compiled<S>,
    {
        A::pointer(self)
    }
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
        same("examples trained on", self.examples, source.len())?;
        let own = match (self.block(What::ExampleWeight), self.block(What::Input)) {
            (Some(_), _) => Own::Weights,
            (None, Some(_)) => Own::Inputs,
            (None, None) => Own::Nothing(0),
        };
        let strength = match self.block(What::Penalty) {
            Some(_) => Strength::Tuned(self.groups_of(What::Penalty)),
            None if self.l2 == 0.0 => Strength::Nothing,
            None => Strength::Fixed(self.l2, Groups::global(self.layout().weights())),
        };
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
        same("examples validated on", self.valid_examples, source.len())?;
        let strength = match self.block(What::Penalty) {
            Some(_) => Strength::Off(self.groups_of(What::Penalty)),
            None => Strength::Nothing,
        };
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
        self.check()?;
        let (is_sparse, chunk) = (examples.is_sparse(), self.chunk());
        let (inner, sparse) = match self.model {
            Model::Network { network, sparse } => (Mlp::of(network, examples, chunk)?, sparse),
            Model::Widths { widths, sparse } => (Mlp::new(examples, widths, chunk)?, sparse),
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
        let inner = inner.with_batches_of(most);
        let groups = match self.block(What::Scale) {
            Some(_) => self.groups_of(What::Scale),
            None => Groups::NONE,
        };
        Ok(NetworkLoss {
            inner: L2::new(Scaled { inner, groups }, strength),
        })
    }
}

impl<A: Arithmetic> NetworkLoss<'_, A> {
    /// Probabilities, or with squared error outputs, of the examples of a batch of at most a microbatch
    /// (batch x outputs), at the network's own weights: scaled ones, where scales are tuned.
    ///
    /// # Errors
    /// As [`Mlp::predict`].
    pub fn predict<S: Real + Pod>(
        &self,
        w: &[S],
        batch: &[u32],
        outputs: &mut [S],
        scratch: &mut [S],
    ) -> Result<(), Error>
    where
        A: Compiled<S>,
    {
        A::predict(self, w, batch, outputs, scratch)
    }

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
