//! Products of sparse rows with dense matrices: the input layer of a network on images that are
//! mostly black.
//!
//! A sparse row `x` is a list of (index, value) pairs, the indices ascending; what is not listed is
//! zero. Inputs less their mean `m` are not sparse, but the mean moves into the bias: with `x = p - m`
//!
//! ```text
//! x W = p W - m sum_i W_i                        sum_b x_bi d_b = sum_b p_bi d_b - m sum_b d_b
//! ```
//!
//! so a [`product`] starts from a [`shifted`] bias, and [`outer`] products end with one row, the same
//! for all ([`add_to_rows`](super::accumulate::add_to_rows)).
//!
//! Order of arithmetic: one accumulator for each output, `acc = mul_add(value, other, acc)`, over the
//! indices as they ascend in a product, over the rows as the caller gives them in a sum of outer
//! products. That is the order of [`matmul`](super::matmul) without its zeros, and to add a product
//! with zero leaves an accumulator as it is: the bits are those of the dense products. (But for an
//! accumulator that starts as -0, and where the dense factor is not finite.)
//!
//! How: the columns are cut into tiles that stay in registers. Where they do not fill the last vector
//! of a tile it reaches back over the one before; both compute the same.
//!
//! Refused: indices of more than 16 bits. An index without a row in the matrix is skipped, and what an
//! index that is given twice means is up to the order of arithmetic: it counts twice.

use super::accumulate::add_rows;
use super::dispatch::{Kernel, Level, run, run_kernel};
use crate::scalar::{Arithmetic, Scalar};

/// Numbers in a vector of the tile.
const WIDTH: usize = 8;

/// A sparse row, with a value for each index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row<'a, S> {
    /// Where the values stand, ascending.
    pub indices: &'a [u16],
    /// The values, in the same order.
    pub values: &'a [S],
}

/// `y_c = bias_c - mean sum_i w_ic`, the rows of `w` in ascending order: what a [`product`] of inputs
/// less their mean starts from.
///
/// ```
/// use drmad::{kernels::sparse::shifted, Fused};
/// let mut y = [0.0f32; 2];
/// shifted::<Fused, _>(0.5, &[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0], &mut y);
/// assert_eq!(y, [8.0, 17.0]);
/// ```
pub fn shifted<A: Arithmetic, S: Scalar>(mean: S, w: &[S], bias: &[S], y: &mut [S]) {
    y.fill(S::ZERO);
    add_rows(w, y);
    run(
        #[inline(always)]
        move || {
            for (y, bias) in y.iter_mut().zip(bias) {
                *y = A::mul_add(-mean, *y, *bias);
            }
        },
    );
}

/// `y_c += sum_i x_i w_ic`; `w` has as many columns as `y`.
///
/// ```
/// use drmad::{kernels::sparse::{product, Row}, Fused};
/// let x = Row { indices: &[0, 2], values: &[1.0f32, 2.0] };
/// let mut y = [0.5, 0.0];
/// product::<Fused, _>(x, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut y);
/// assert_eq!(y, [11.5, 14.0]);
/// ```
pub fn product<A: Arithmetic, S: Scalar>(x: Row<'_, S>, w: &[S], y: &mut [S]) {
    run_kernel(Tiles {
        columns: y.len(),
        each: Product::<A, S> {
            x,
            w,
            y,
            arithmetic: A::default(),
        },
    });
}

/// `g_ic += x_i d_c`; `g` has as many columns as `d`.
///
/// ```
/// use drmad::{kernels::sparse::{outer, Row}, Fused};
/// let x = Row { indices: &[0, 2], values: &[1.0f32, 2.0] };
/// let mut g = [0.0; 6];
/// outer::<Fused, _>(x, &[1.0, 10.0], &mut g);
/// assert_eq!(g, [1.0, 10.0, 0.0, 0.0, 2.0, 20.0]);
/// ```
pub fn outer<A: Arithmetic, S: Scalar>(x: Row<'_, S>, d: &[S], g: &mut [S]) {
    run_kernel(Tiles {
        columns: d.len(),
        each: Outer::<A, S> {
            x,
            d,
            g,
            arithmetic: A::default(),
        },
    });
}

/// What is done with each tile of columns.
trait Tile {
    /// The columns from `first` on, `here` of them: `F` full vectors and one that ends where they do.
    fn tile<const F: usize>(&mut self, first: usize, here: usize);
    /// The same for fewer columns than a vector has.
    fn narrow(&mut self, first: usize, here: usize);
}

/// A kernel that goes through its columns by tiles.
struct Tiles<T> {
    columns: usize,
    each: T,
}

impl<T: Tile> Kernel for Tiles<T> {
    type Output = ();

    #[inline(always)]
    fn run<const LEVEL: u8>(mut self) {
        // Beside the accumulators there is one value: 7 vectors fit the 16 registers of AVX2.
        if LEVEL >= Level::Avx2 as u8 {
            self.tiles::<7>();
        } else if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            self.tiles::<4>();
        } else {
            self.tiles::<1>();
        }
    }
}

impl<T: Tile> Tiles<T> {
    #[inline(always)]
    fn tiles<const V: usize>(&mut self) {
        let mut first = 0;
        while first < self.columns {
            let here = (self.columns - first).min(V * WIDTH);
            match here.div_ceil(WIDTH) {
                _ if here < WIDTH => self.each.narrow(first, here),
                2 if V >= 2 => self.each.tile::<1>(first, here),
                3 if V >= 3 => self.each.tile::<2>(first, here),
                4 if V >= 4 => self.each.tile::<3>(first, here),
                5 if V >= 5 => self.each.tile::<4>(first, here),
                6 if V >= 6 => self.each.tile::<5>(first, here),
                7 if V >= 7 => self.each.tile::<6>(first, here),
                _ => self.each.tile::<0>(first, here),
            }
            first += here;
        }
    }
}

/// Columns `first ..` of row `i`, `here` of them.
#[inline(always)]
fn piece<S>(x: &[S], columns: usize, i: u16, first: usize, here: usize) -> Option<&[S]> {
    let start = usize::from(i).checked_mul(columns)?.checked_add(first)?;
    x.get(start..start.checked_add(here)?)
}

/// The same to write to.
#[inline(always)]
fn piece_mut<S>(
    x: &mut [S],
    columns: usize,
    i: u16,
    first: usize,
    here: usize,
) -> Option<&mut [S]> {
    let start = usize::from(i).checked_mul(columns)?.checked_add(first)?;
    x.get_mut(start..start.checked_add(here)?)
}

/// The numbers of a tile in registers. The last vector may hold some of the one before.
#[derive(Clone, Copy)]
struct Vectors<S, const F: usize> {
    full: [[S; WIDTH]; F],
    end: [S; WIDTH],
}

impl<S: Scalar, const F: usize> Vectors<S, F> {
    /// The vectors of a piece, unless it is shorter than one of them.
    #[inline(always)]
    fn load(x: &[S]) -> Option<Self> {
        let (full, _) = x.as_chunks::<WIDTH>();
        Some(Vectors {
            full: *full.first_chunk()?,
            end: *x.last_chunk()?,
        })
    }

    #[inline(always)]
    fn store(&self, x: &mut [S]) {
        let (full, _) = x.as_chunks_mut::<WIDTH>();
        if let Some(full) = full.first_chunk_mut() {
            *full = self.full;
        }
        if let Some(end) = x.last_chunk_mut() {
            *end = self.end;
        }
    }

    /// `self += a x`.
    #[inline(always)]
    fn add<A: Arithmetic>(&mut self, a: S, x: &Self) {
        for (sums, x) in self.full.iter_mut().zip(&x.full) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = A::mul_add(a, *x, *sum);
            }
        }
        for (sum, x) in self.end.iter_mut().zip(&x.end) {
            *sum = A::mul_add(a, *x, *sum);
        }
    }
}

struct Product<'a, A, S> {
    x: Row<'a, S>,
    w: &'a [S],
    y: &'a mut [S],
    arithmetic: A,
}

impl<A: Arithmetic, S: Scalar> Tile for Product<'_, A, S> {
    #[inline(always)]
    fn tile<const F: usize>(&mut self, first: usize, here: usize) {
        let _ = self.arithmetic;
        let columns = self.y.len();
        let y = &mut self.y[first..][..here];
        let Some(mut sums) = Vectors::<S, F>::load(y) else {
            return;
        };
        for (i, x) in self.x.indices.iter().zip(self.x.values) {
            let w = piece(self.w, columns, *i, first, here);
            if let Some(w) = w.and_then(Vectors::load) {
                sums.add::<A>(*x, &w);
            }
        }
        sums.store(y);
    }

    #[inline(always)]
    fn narrow(&mut self, first: usize, here: usize) {
        let columns = self.y.len();
        let y = &mut self.y[first..][..here];
        for (i, x) in self.x.indices.iter().zip(self.x.values) {
            if let Some(w) = piece(self.w, columns, *i, first, here) {
                for (y, w) in y.iter_mut().zip(w) {
                    *y = A::mul_add(*x, *w, *y);
                }
            }
        }
    }
}

struct Outer<'a, A, S> {
    x: Row<'a, S>,
    d: &'a [S],
    g: &'a mut [S],
    arithmetic: A,
}

impl<A: Arithmetic, S: Scalar> Tile for Outer<'_, A, S> {
    #[inline(always)]
    fn tile<const F: usize>(&mut self, first: usize, here: usize) {
        let _ = self.arithmetic;
        let Some(d) = Vectors::<S, F>::load(&self.d[first..][..here]) else {
            return;
        };
        for (i, x) in self.x.indices.iter().zip(self.x.values) {
            if let Some(g) = piece_mut(self.g, self.d.len(), *i, first, here)
                && let Some(mut sums) = Vectors::<S, F>::load(g)
            {
                sums.add::<A>(*x, &d);
                sums.store(g);
            }
        }
    }

    #[inline(always)]
    fn narrow(&mut self, first: usize, here: usize) {
        let d = &self.d[first..][..here];
        for (i, x) in self.x.indices.iter().zip(self.x.values) {
            if let Some(g) = piece_mut(self.g, self.d.len(), *i, first, here) {
                for (g, d) in g.iter_mut().zip(d) {
                    *g = A::mul_add(*x, *d, *g);
                }
            }
        }
    }
}
