//! The last steps backwards, the rest by another path.
//!
//! The adjoints are largest at the end of training, and there the naive [reversal](Reversed) is
//! still exact for as many steps as the momentum allows ([`Reversed::reach`]). It needs no memory, so
//! a shortcut that has to remember only what was before is better for the same memory, at the price
//! of a gradient for each step of the tail. The inner path is made for a training that ends where the
//! tail begins.
//!
//! Refused: a tail of all the steps; a path made for another number of steps, with a plan of its own, or
//! that takes the steps itself; what the reversal refuses, if there is a tail.

use super::{Kind, Path, Reversed, Spare, Steps, fields_len, walks_every_step};
use crate::error::Error;
use crate::scalar::{Arithmetic, Scalar};
use crate::state::Fields;

/// A path with an exact end.
///
/// ```
/// use drmad::path::{Line, Tail};
/// let w0 = [0.0f32; 10];
/// let line = Line::new(&w0[..], 800);
/// let path = Tail::new(line, 1000, 200)?;
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Tail<P> {
    path: P,
    tail: Reversed,
    trained: usize,
    /// The first step of the tail.
    first: usize,
}

impl<P> Tail<P> {
    /// Bytes of its [state](Path::state), with a path of so many.
    pub const fn state_len(path: usize) -> usize {
        path.saturating_add(fields_len(2, 0))
    }

    /// The last `steps` of a training of `trained` steps backwards, the others by `path`, which is
    /// made for so many less.
    ///
    /// # Errors
    /// [`Error::Range`] where nothing is left for the path.
    pub fn new(path: P, trained: usize, steps: usize) -> Result<Self, Error> {
        if steps >= trained {
            return Err(Error::Range {
                what: "steps of the tail",
                value: steps as f64,
                least: 0.0,
                greatest: trained.saturating_sub(1) as f64,
            });
        }
        Ok(Tail {
            path,
            tail: Reversed,
            trained,
            first: trained - steps,
        })
    }
}

impl<A: Arithmetic, S: Scalar, P: Path<A, S>> Path<A, S> for Tail<P> {
    fn floats(&self) -> usize {
        self.path.floats()
    }

    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        walks_every_step(&self.path, self.first)?;
        self.path.start(w)
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        if t < self.first {
            self.path.record(t, w, v, spare)
        } else if t == self.first {
            self.path.finish(w, v, spare)
        } else {
            Ok(())
        }
    }

    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        if self.first == self.trained {
            self.path.finish(w, v, spare)
        } else {
            Ok(())
        }
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        mut spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        if t >= self.first {
            return Path::<A, S>::recall(&mut self.tail, t, w, v, steps, spare);
        }
        if t + 1 == self.first {
            // The reversal has left here what its training ended with.
            if let Some(v) = &v {
                for (spare, v) in spare.a.iter_mut().zip(v.iter()) {
                    *spare = *v;
                }
            }
            self.path.open(w, spare.again())?;
        }
        self.path.recall(t, w, v, steps, spare)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.path(Kind::Tail, &[self.trained, self.first])?;
        self.path.state(fields)
    }
}
