//! Several tasks side by side, each with weights and examples of its own.
//!
//! ```text
//! L(w_1 .. w_K) = sum_k L_k(w_k)
//! ```
//!
//! The sum and not the mean, so that a task learns as fast as it would alone. All tasks see the examples
//! of the same numbers. Refused: tasks with hyperparameters, or with different numbers of weights.

use drmad::objective::{At, Objective, Products};
use drmad::{Error, Scalar};

/// The tasks; their weights lie one after another.
///
/// ```
/// use drmad::{objective::{At, Objective}, Fused};
/// use drmad_host::study::side_by_side::SideBySide;
/// let data = drmad::models::Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let one = drmad::models::Mlp::<_, Fused>::new(data, &[1, 2], 2)?;
/// let both = SideBySide::new(vec![one, one])?;
/// let mut scratch = vec![0.0; both.loss_scratch_len()];
/// let loss = both.loss(At { w: &[0.0f32; 8], h: &[], batch: &[0, 1] }, &mut scratch)?;
/// assert!((loss - 2.0 * 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SideBySide<O> {
    tasks: Vec<O>,
    each: usize,
}

impl<O: Objective> SideBySide<O> {
    /// These tasks.
    ///
    /// # Errors
    /// [`Error::Length`] for a task with hyperparameters, or with other weights than the first.
    pub fn new(tasks: Vec<O>) -> Result<Self, Error> {
        let each = tasks.first().map_or(0, O::weights);
        for task in &tasks {
            for (what, want, got) in [
                ("weights of a task", each, task.weights()),
                ("hyperparameters of a task", 0, task.hypers()),
            ] {
                if want != got {
                    return Err(Error::Length { what, want, got });
                }
            }
        }
        Ok(SideBySide { tasks, each })
    }

    /// The tasks.
    pub fn tasks(&self) -> &[O] {
        &self.tasks
    }

    /// Refuses a vector that has not one number a weight.
    fn check(&self, what: &'static str, got: usize) -> Result<(), Error> {
        let want = self.weights();
        if want == got {
            Ok(())
        } else {
            Err(Error::Length { what, want, got })
        }
    }

    fn most(&self, len: impl Fn(&O) -> usize) -> usize {
        self.tasks.iter().map(len).max().unwrap_or(0)
    }
}

impl<O: Objective> Objective for SideBySide<O> {
    type Arithmetic = O::Arithmetic;

    fn weights(&self) -> usize {
        self.tasks.len() * self.each
    }

    fn scratch_len(&self) -> usize {
        self.most(O::scratch_len)
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        _d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.check("w", at.w.len())?;
        self.check("g", g.len())?;
        let each = self.each.max(1);
        let mut sum = S::ZERO;
        let own = at.w.chunks_exact(each).zip(g.chunks_exact_mut(each));
        for (task, (w, g)) in self.tasks.iter().zip(own) {
            sum += task.gradient(At { w, ..at }, g, None, scratch)?;
        }
        Ok(sum)
    }

    fn loss_scratch_len(&self) -> usize {
        self.most(O::loss_scratch_len)
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        self.check("w", at.w.len())?;
        let mut sum = S::ZERO;
        for (task, w) in self.tasks.iter().zip(at.w.chunks_exact(self.each.max(1))) {
            sum += task.loss(At { w, ..at }, scratch)?;
        }
        Ok(sum)
    }

    fn second_order_scratch_len(&self) -> usize {
        self.most(O::second_order_scratch_len)
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        self.check("w", at.w.len())?;
        self.check("d", d.len())?;
        self.check("h_d", out.h_d.len())?;
        let each = self.each.max(1);
        let mut g = match out.g {
            Some(g) => {
                self.check("g", g.len())?;
                Some(g.chunks_exact_mut(each))
            }
            None => None,
        };
        let own = at.w.chunks_exact(each).zip(d.chunks_exact(each));
        let own = own.zip(out.h_d.chunks_exact_mut(each));
        for (task, ((w, d), h_d)) in self.tasks.iter().zip(own) {
            let out = Products {
                g: g.as_mut().and_then(Iterator::next),
                h_d,
                m_d: &mut [],
            };
            task.second_order(At { w, ..at }, d, out, scratch)?;
        }
        Ok(())
    }
}
