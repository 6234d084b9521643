//! What a training comes to without a backward pass: its weights, their validation loss, and what a network predicts with
//! them.
//!
//! All of it works in the memory of a hypergradient, which a program that tunes has: the [`need`](Training::need) of
//! [`Method::Direct`] is enough, beside that of the method that trains.
//!
//! A training costs its steps, the validation loss one pass over its examples, predictions two: one to see that all
//! of them are finite, one to write them.
//!
//! Refused: weights or predictions that are not finite, before anything is written.

use bytemuck::Pod;

use super::front::Compiled;
use super::network::NetworkLoss;
use super::room::Room;
use super::session::{Session, finite_loss};
use super::{Observer, On, Training};
use crate::error::{Error, check_len, cut};
use crate::hypergradient::Workspace;
use crate::kernels::reduce::all_finite;
use crate::method::Method;
use crate::objective::At;
use crate::pieces::{copy, part_mut};
use crate::scalar::{Arithmetic, Real};

impl Training<'_> {
    /// Trains with hyperparameters `h` as a method does (one of them in fixed point), and writes the trained weights
    /// to `w`. Returns their validation loss.
    ///
    /// ```
    /// use drmad::{Fused, layers::Layer::*, method::Method, models::Features, network::{Loss, Network}, training::*};
    /// const NET: Network = Network { inputs: 1, layers: &[Dense(2)], loss: Loss::CrossEntropy };
    /// const TRAINING: Training = Training::of(NET, 2, 50);
    /// let two = Features { x: &[-1.0, 1.0], labels: &[0, 1], width: 1 };
    /// let (losses, mut w, mut p) = (TRAINING.losses::<Fused>(&two, &two)?, [0.0; 4], [0.0; 4]);
    ///
    /// let mut memory = [0f32; TRAINING.need::<f32>(Method::Direct).len()];
    /// let loss = TRAINING.train(Method::Direct, losses.on(), &[], &mut w, &mut memory, &mut ())?;
    /// assert_eq!(TRAINING.valid_loss(losses.on(), &[], &w, &mut memory)?, loss);
    /// TRAINING.predict(&losses.validation, &[], &w, &mut p, &mut memory)?;
    /// assert!(p[0] > 0.5 && p[3] > 0.5, "each example is of its own class");
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`hypergradient`](Self::hypergradient). Then `w` is as it was.
    pub fn train<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        w: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<S, Error> {
        check_len("w", w, self.layout().weights())?;
        let mut session = Session::new(*self, method.sweep(), on, h, memory)?;
        session.train(&mut |t, loss| observer.step(t, loss))?;
        observer.trained(session.weights());
        let valid_loss = session.valid_loss()?;
        copy(session.weights(), w);
        Ok(valid_loss)
    }

    /// The validation loss at trained weights `w`.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::Length`]; [`Error::Diverged`] for a loss that is not finite.
    pub fn valid_loss<A: Arithmetic, S: Real + Pod>(
        &self,
        on: On<'_, A, S>,
        h: &[S],
        w: &[S],
        memory: &mut [S],
    ) -> Result<S, Error> {
        self.check()?;
        let Room {
            values,
            workspace,
            examples: batch,
            ..
        } = self.cut::<A, S>(Method::Direct, h, memory)?;
        let (p, schedule) = (self.layout().weights(), self.tunes_schedule());
        let workspace = Workspace::new(workspace, p, self.optimizer, schedule)?;
        let h = values.h();
        finite_loss(on.validation, At { w, h, batch }, workspace.scratch)
    }

    /// What the network says of each example of a validation loss of this training, at trained weights `w`:
    /// probabilities, or with squared error its outputs (examples x outputs).
    ///
    /// # Errors
    /// As [`valid_loss`](Self::valid_loss). Then `outputs` are as they were.
    pub fn predict<A: Compiled<S>, S: Real + Pod>(
        &self,
        loss: &NetworkLoss<'_, A>,
        h: &[S],
        w: &[S],
        outputs: &mut [S],
        memory: &mut [S],
    ) -> Result<(), Error> {
        self.check()?;
        let Room {
            values,
            workspace: mut rest,
            examples,
            ..
        } = self.cut::<A, S>(Method::Direct, h, memory)?;
        let (p, width) = (self.layout().weights(), self.layout().outputs());
        check_len("w", w, p)?;
        let want = examples.len().saturating_mul(width);
        check_len("outputs", outputs, want)?;
        let scaled = cut("memory of the training", &mut rest, p)?;
        let room = cut("memory of the training", &mut rest, p)?;
        copy(w, scaled);
        values.scale(scaled)?;
        // An example at least, since each output has a bias. Its bits do not depend on what else is in the batch.
        let most = self.microbatch().min(p.checked_div(width).unwrap_or(0));
        for writes in [false, true] {
            let mut outputs = &mut *outputs;
            for batch in examples.chunks(most.max(1)) {
                let count = batch.len().saturating_mul(width);
                let to = cut("outputs", &mut outputs, count)?;
                let room = part_mut(room, 0..count);
                let to = if writes { to } else { room };
                loss.predict(scaled, batch, to, rest)?;
                if !all_finite(to) {
                    return Err(Error::Diverged {
                        what: "prediction",
                        step: self.steps,
                    });
                }
            }
        }
        Ok(())
    }
}
