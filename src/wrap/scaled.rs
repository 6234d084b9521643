//! Weights with a scale: `w = s z`, one `s` a group.
//!
//! Training moves `z`; the scale says how fast and how far a group can go and, with a penalty on
//! `z`, how strongly it is held (a penalty `c z^2` is `c w^2 / s^2`). With `f(w)` the inner
//! objective, `u = s d` and all at `w = s z`:
//!
//! ```text
//! grad_z = s grad f         grad_s = sum_group z . grad f
//! H d    = s (H_f u)        M d    = sum_group d . grad f + z . (H_f u)
//! ```
//!
//! Along `(z_dot, s_dot)` the weights move by `u = s z_dot + s_dot z` and the gradient by
//! `s (H_f u) + s_dot grad f`.
//!
//! A scale may have any sign; one that must stay positive is moved by its logarithm
//! ([`Parametrisation::Log`](crate::outer::Parametrisation::Log)). Weights in no group are passed on
//! as they are (`s = 1`); with [no groups](Groups::NONE) all of them, at no cost. Refused: groups of other weights.

use crate::error::{Error, check_len, cut};
use crate::group::Groups;
use crate::kernels::accumulate::{
    Factors, add_row_dots, add_scaled_products, add_scaled_rows, scale_rows, scale_rows_in_place,
};
use crate::objective::{At, Directions, Objective, Products};
use crate::pieces::{copy, split, split_mut};
use crate::scalar::Scalar;

/// An objective of scaled weights; its block of `h` holds the `s`.
///
/// ```
/// use drmad::{group::Groups, models::Quadratic, objective::{At, Objective}, wrap::Scaled, Fused};
/// let scaled = Scaled { inner: Quadratic::<Fused>::new(&[1.0, 1.0]), groups: Groups::global(2) };
/// // h: the quadratic's minimum, then the one scale.
/// let at = At { w: &[1.0f64, 2.0], h: &[0.0, 0.0, 2.0], batch: &[] };
/// let (mut g, mut d_h, mut scratch) = ([0.0; 2], [0.0; 3], vec![0.0; scaled.scratch_len()]);
/// assert_eq!(scaled.gradient(at, &mut g, Some(&mut d_h), &mut scratch)?, 10.0);
/// assert_eq!((g, d_h[2]), ([4.0, 8.0], 10.0));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scaled<'a, O> {
    /// The objective of the scaled weights `w`.
    pub inner: O,
    /// Which weights share a scale.
    pub groups: Groups<'a>,
}

/// The vector `x` with each group's number multiplied by its scale.
fn scaled<S: Scalar>(groups: &Groups<'_>, scales: &[S], x: &[S], y: &mut [S]) {
    for block in groups.blocks() {
        match block.hyper {
            Some(_) => scale_rows(
                block.columns,
                block.hypers(scales),
                block.of(x),
                block.of_mut(y),
            ),
            None => copy(block.of(x), block.of_mut(y)),
        }
    }
}

impl<'a, O: Objective> Scaled<'a, O> {
    /// Cuts `w = s z` from the scratch; returns the inner `h` and the scales with it.
    #[allow(clippy::type_complexity)] // three slices of two lifetimes
    fn weights_at<'x, 's, S: Scalar>(
        &self,
        at: &At<'x, S>,
        scratch: &mut &'s mut [S],
    ) -> Result<(&'x [S], &'x [S], &'s [S]), Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        check_len("groups", at.w, self.groups.weights())?;
        let (inner_h, scales) = split(at.h, self.inner.hypers());
        let w = cut("scratch", scratch, at.w.len())?;
        scaled(&self.groups, scales, at.w, w);
        Ok((inner_h, scales, w))
    }

    /// Numbers of scratch for so many vectors of weights and what the inner objective needs.
    fn with_vectors(&self, vectors: usize, inner: usize) -> usize {
        (self.weights().saturating_mul(vectors)).saturating_add(inner)
    }

    /// `x *= s`, by group.
    fn rescale<S: Scalar>(&self, scales: &[S], x: &mut [S]) {
        for block in self.groups.blocks() {
            scale_rows_in_place(block.columns, block.hypers(scales), block.of_mut(x));
        }
    }

    /// `y += s_dot x`, by group.
    fn add_shifted<S: Scalar>(&self, s_dot: &[S], x: &[S], y: &mut [S]) {
        for block in self.groups.blocks() {
            add_scaled_rows::<O::Arithmetic, S>(
                block.columns,
                block.hypers(s_dot),
                block.of(x),
                block.of_mut(y),
            );
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<O: Objective> Objective for Scaled<'_, O> {
    type Arithmetic = O::Arithmetic;

    fn weights(&self) -> usize {
        self.inner.weights()
    }

    fn hypers(&self) -> usize {
        self.inner.hypers().saturating_add(self.groups.len())
    }

    fn scratch_len(&self) -> usize {
        if self.groups.is_empty() {
            return self.inner.scratch_len();
        }
        self.with_vectors(1, self.inner.scratch_len())
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        if self.groups.is_empty() {
            return self.inner.gradient(at, g, d_h, scratch);
        }
        check_len("g", g, self.weights())?;
        let (h, scales, w) = self.weights_at(&at, &mut scratch)?;
        let inner_at = At { w, h, ..at };
        let loss = match d_h {
            None => self.inner.gradient(inner_at, g, None, scratch)?,
            Some(d_h) => {
                check_len("d_h", d_h, self.hypers())?;
                let (inner_d_h, d_s) = split_mut(d_h, self.inner.hypers());
                let loss = self.inner.gradient(inner_at, g, Some(inner_d_h), scratch)?;
                d_s.fill(S::ZERO);
                for block in self.groups.blocks() {
                    add_row_dots::<O::Arithmetic, S>(
                        block.columns,
                        block.of(at.w),
                        block.of(g),
                        block.hypers_mut(d_s),
                    );
                }
                loss
            }
        };
        self.rescale(scales, g);
        Ok(loss)
    }

    fn loss_scratch_len(&self) -> usize {
        if self.groups.is_empty() {
            return self.inner.loss_scratch_len();
        }
        self.with_vectors(1, self.inner.loss_scratch_len())
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, mut scratch: &mut [S]) -> Result<S, Error> {
        if self.groups.is_empty() {
            return self.inner.loss(at, scratch);
        }
        let (h, _, w) = self.weights_at(&at, &mut scratch)?;
        self.inner.loss(At { w, h, ..at }, scratch)
    }

    fn second_order_scratch_len(&self) -> usize {
        if self.groups.is_empty() {
            return self.inner.second_order_scratch_len();
        }
        self.with_vectors(4, self.inner.second_order_scratch_len())
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        mut scratch: &mut [S],
    ) -> Result<(), Error> {
        if self.groups.is_empty() {
            return self.inner.second_order(at, d, out, scratch);
        }
        let p = self.weights();
        check_len("d", d, p)?;
        check_len("h_d", out.h_d, p)?;
        check_len("m_d", out.m_d, self.hypers())?;
        let (h, scales, w) = self.weights_at(&at, &mut scratch)?;
        let u = cut("scratch", &mut scratch, p)?;
        let h_u = cut("scratch", &mut scratch, p)?;
        // The gradient by `w` is needed in any case, and where it is wanted by `z` has a place already.
        let wanted = out.g.is_some();
        let g = match out.g {
            Some(g) => g,
            None => cut("scratch", &mut scratch, p)?,
        };
        check_len("g", g, p)?;
        scaled(&self.groups, scales, d, u);
        h_u.fill(S::ZERO);
        let (inner_m_d, m_d) = split_mut(out.m_d, self.inner.hypers());
        self.inner.second_order(
            At { w, h, ..at },
            u,
            Products {
                g: Some(&mut *g),
                h_d: &mut *h_u,
                m_d: inner_m_d,
            },
            scratch,
        )?;
        for block in self.groups.blocks() {
            match block.hyper {
                Some(_) => add_scaled_products::<O::Arithmetic, S>(
                    block.columns,
                    block.hypers(scales),
                    Factors {
                        d: block.of(d),
                        g: block.of(g),
                        z: block.of(at.w),
                        h_u: block.of(h_u),
                    },
                    block.of_mut(out.h_d),
                    block.hypers_mut(m_d),
                ),
                None => {
                    for (sum, h_u) in block.of_mut(out.h_d).iter_mut().zip(block.of(h_u)) {
                        *sum += *h_u;
                    }
                }
            }
        }
        if wanted {
            self.rescale(scales, g);
        }
        Ok(())
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        let inner = self.inner.tangents_scratch_len(count);
        if self.groups.is_empty() {
            return inner;
        }
        self.with_vectors(count.saturating_add(1), inner)
    }

    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        if self.groups.is_empty() {
            return self.inner.tangents(at, along, g, g_dot, scratch);
        }
        along.check(self, g, g_dot)?;
        let (h, scales, w) = self.weights_at(&at, &mut scratch)?;
        let inner_dot = cut("scratch", &mut scratch, g_dot.len())?;
        // The own part of each direction, and the rows of its result.
        let (p, own) = (w.len().max(1), h.len()..self.hypers());
        let shifts = || {
            along
                .rows()
                .map(|(_, h_dot)| h_dot.get(own.clone()).unwrap_or(&[]))
        };
        // The result's place holds `u` while the inner objective computes.
        for (((z_dot, _), s_dot), u) in along.rows().zip(shifts()).zip(g_dot.chunks_exact_mut(p)) {
            scaled(&self.groups, scales, z_dot, u);
            self.add_shifted(s_dot, at.w, u);
        }
        let inner_along = Directions { w: g_dot, ..along };
        let loss = self
            .inner
            .tangents(At { w, h, ..at }, inner_along, g, inner_dot, scratch)?;
        for ((s_dot, inner_dot), g_dot) in shifts()
            .zip(inner_dot.chunks_exact(p))
            .zip(g_dot.chunks_exact_mut(p))
        {
            scaled(&self.groups, scales, inner_dot, g_dot);
            self.add_shifted(s_dot, g, g_dot);
        }
        self.rescale(scales, g);
        Ok(loss)
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.inner.visit_blocks(visit);
        if !self.groups.is_empty() {
            visit("scale", self.groups.len());
        }
    }
}
