//! Matrix products over skinny row-major matrices.
//!
//! `c_ij = [c_ij or 0] + sum_k a_ik b_kj`, the inner index `k` ascending, one accumulator for each
//! output: `acc = mul_add(a_ik, b_kj, acc)`. Nothing else is promised about order, and nothing else
//! matters: tiles, vector widths and the packing of `b` change which outputs are computed together,
//! never an output's own sum. [`reference()`] is the definition in five lines; the fast form is held
//! to its bits.
//!
//! An MLP's passes need three forms. For `n` examples, a layer of `i` inputs and `o` outputs:
//!
//! | form | product | in an MLP |
//! |---|---|---|
//! | [`Form::Nn`] | `a b` | `x (n x i) . W (i x o)`: forward |
//! | [`Form::Tn`] | `a' b` | `x' (i x n) . d (n x o)`: gradient by weights |
//! | [`Form::Nt`] | `a b'` | `d (n x o) . W' (o x i)`: gradient by inputs |
//!
//! and the fourth is any of them with `accumulate`, which goes on adding to `c`: the product rule
//! of the R-operator, a bias as the start of a sum, a batch in pieces with the bits of the whole.
//!
//! How: `b` is packed into panels as wide as a register tile and padded with zeros, so that the
//! inner loop has no remainder; a tile of `R` rows and `V` vectors of `W` numbers stays in registers
//! for the whole inner index. The tile is a function of the vector [level](super::dispatch).

use super::dispatch::{Kernel, Level, run_kernel};
use crate::error::{Error, check_len, cut};
use crate::pieces::{piece, piece_mut};
use crate::scalar::{Arithmetic, Scalar};

/// Numbers in a short vector of a tile: 256 bits of f32.
const WIDTH: usize = 8;

/// Columns of the widest panel, and what narrower ones are padded to, of all levels a target may have.
const PANEL: usize = if cfg!(target_arch = "x86_64") {
    48
} else {
    2 * WIDTH
};
const PADDING: usize = if cfg!(target_arch = "x86_64") {
    2 * WIDTH
} else {
    WIDTH
};

/// Which operand is transposed. All are row-major as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Form {
    /// `a` is rows x inner, `b` is inner x columns.
    Nn,
    /// `a` is inner x rows, `b` is inner x columns.
    Tn,
    /// `a` is rows x inner, `b` is columns x inner.
    Nt,
}

/// The shape of a product `c (rows x columns) = a . b`.
///
/// ```
/// use drmad::{kernels::matmul::{Form, MatMul}, Fused};
/// const PRODUCT: MatMul = MatMul { form: Form::Nn, rows: 1, inner: 2, columns: 1, accumulate: false };
/// let mut c = [0.0f32];
/// let mut packed = [0.0; PRODUCT.required_len()];
/// PRODUCT.run::<Fused, _>(&[1.0, 2.0], &[3.0, 4.0], &mut c, &mut packed)?;
/// assert_eq!(c, [11.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MatMul {
    /// Which operand is transposed.
    pub form: Form,
    /// Rows of `c`.
    pub rows: usize,
    /// Length of each sum.
    pub inner: usize,
    /// Columns of `c`.
    pub columns: usize,
    /// Whether to add to `c`; otherwise `c` is overwritten.
    pub accumulate: bool,
}

impl MatMul {
    /// Length of the scratch that [`run`](Self::run) packs `b` into.
    pub const fn required_len(&self) -> usize {
        // A panel is packed where the one before was.
        let vectors = self.columns.div_ceil(PADDING);
        let columns = if vectors < PANEL / PADDING {
            vectors * PADDING
        } else {
            PANEL
        };
        self.inner.saturating_mul(columns)
    }

    fn check<S>(&self, a: &[S], b: &[S], c: &[S]) -> Result<(), Error> {
        check_len("a", a, self.rows.saturating_mul(self.inner))?;
        check_len("b", b, self.inner.saturating_mul(self.columns))?;
        check_len("c", c, self.rows.saturating_mul(self.columns))
    }

    /// Computes the product. `a` has rows x inner numbers, `b` inner x columns, `c` rows x columns,
    /// `packed` at least [`required_len`](Self::required_len).
    ///
    /// # Errors
    /// [`Error::Length`] for a buffer of another length.
    pub fn run<A: Arithmetic, S: Scalar>(
        &self,
        a: &[S],
        b: &[S],
        c: &mut [S],
        packed: &mut [S],
    ) -> Result<(), Error> {
        self.check(a, b, c)?;
        let mut packed = packed;
        let packed = cut("packed", &mut packed, self.required_len())?;
        // Numbers that carry derivatives fill no vectors: tiles of them are no faster than the definition, and
        // tens of kilobytes of code.
        if const { S::BYTES > size_of::<f64>() } {
            return reference::<A, S>(self, a, b, c);
        }
        run_kernel(Job::<A, S> {
            shape: *self,
            a,
            b,
            c,
            packed,
            arithmetic: A::default(),
        });
        Ok(())
    }
}

/// The definition: what [`MatMul::run`] must equal bit for bit.
///
/// ```
/// use drmad::{kernels::matmul::{reference, Form, MatMul}, Plain};
/// let product = MatMul { form: Form::Nn, rows: 1, inner: 2, columns: 1, accumulate: true };
/// let mut c = [1.0f32];
/// reference::<Plain, _>(&product, &[1.0, 2.0], &[3.0, 4.0], &mut c)?;
/// assert_eq!(c, [12.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
///
/// # Errors
/// As [`MatMul::run`].
pub fn reference<A: Arithmetic, S: Scalar>(
    shape: &MatMul,
    a: &[S],
    b: &[S],
    c: &mut [S],
) -> Result<(), Error> {
    shape.check(a, b, c)?;
    let MatMul {
        form,
        rows,
        inner,
        columns,
        accumulate,
    } = *shape;
    for (i, c) in c.chunks_exact_mut(columns.max(1)).enumerate().take(rows) {
        for (j, c) in c.iter_mut().enumerate() {
            let mut sum = if accumulate { *c } else { S::ZERO };
            for k in 0..inner {
                let (a, b) = match form {
                    Form::Nn => (a.get(i * inner + k), b.get(k * columns + j)),
                    Form::Tn => (a.get(k * rows + i), b.get(k * columns + j)),
                    Form::Nt => (a.get(i * inner + k), b.get(j * inner + k)),
                };
                // All of them are there.
                if let (Some(a), Some(b)) = (a, b) {
                    sum = A::mul_add(*a, *b, sum);
                }
            }
            *c = sum;
        }
    }
    Ok(())
}

/// A product with its buffers, whose lengths fit.
struct Job<'a, A, S> {
    shape: MatMul,
    a: &'a [S],
    b: &'a [S],
    c: &'a mut [S],
    packed: &'a mut [S],
    arithmetic: A,
}

impl<A: Arithmetic, S: Scalar> Kernel for Job<'_, A, S> {
    type Output = ();

    #[inline(always)]
    fn run<const LEVEL: u8>(mut self) {
        // Accumulators beyond the registers spill and cost a factor of three: 8 x 3 of twice the length
        // needs the 32 registers of AVX-512, 6 x 2 fits the 16 of AVX2 (and the 32 half as long of NEON),
        // 6 x 1 of half the length the 16 of SSE2, and a scalar machine keeps a small tile.
        if LEVEL == Level::Avx512 as u8 {
            self.panels::<8, 3, { 2 * WIDTH }>();
        } else if LEVEL == Level::Avx2 as u8 || cfg!(target_arch = "aarch64") {
            self.panels::<6, 2, WIDTH>();
        } else if cfg!(target_arch = "x86_64") {
            self.panels::<6, 1, WIDTH>();
        } else {
            self.panels::<2, 1, WIDTH>();
        }
    }
}

impl<A: Arithmetic, S: Scalar> Job<'_, A, S> {
    /// Cuts the columns into panels of `V` vectors of `W`; the last one is narrower.
    #[inline(always)]
    fn panels<const R: usize, const V: usize, const W: usize>(&mut self) {
        let _ = self.arithmetic;
        let mut first = 0;
        while first < self.shape.columns {
            let here = (self.shape.columns - first).min(V * W);
            match here.div_ceil(W) {
                1 if here <= WIDTH => self.panel::<R, 1, WIDTH>(first, here),
                1 => self.panel::<R, 1, W>(first, here),
                2 if V >= 2 => self.panel::<R, 2, W>(first, here),
                _ => self.panel::<R, V, W>(first, here),
            }
            first += here;
        }
    }

    /// Packs and multiplies the columns from `first` on, `here` of them, which `V` vectors hold.
    #[inline(always)]
    fn panel<const R: usize, const V: usize, const W: usize>(&mut self, first: usize, here: usize) {
        let MatMul {
            form,
            rows,
            inner,
            columns,
            ..
        } = self.shape;
        let (panel, _) = self.packed.as_chunks_mut::<W>();
        let (panel, _) = panel.as_chunks_mut::<V>();
        let Some(panel) = panel.get_mut(..inner) else {
            return;
        };
        match form {
            Form::Nn | Form::Tn => {
                for (row, b) in panel.iter_mut().zip(self.b.chunks_exact(columns)) {
                    load(piece(b, first, here), row);
                }
            }
            Form::Nt => {
                if here < V * W {
                    for row in panel.iter_mut() {
                        if let Some(last) = row.last_mut() {
                            *last = [S::ZERO; W];
                        }
                    }
                }
                for (j, b) in self
                    .b
                    .chunks_exact(inner.max(1))
                    .skip(first)
                    .take(here)
                    .enumerate()
                {
                    for (row, b) in panel.iter_mut().zip(b) {
                        if let Some(row) = row.as_flattened_mut().get_mut(j) {
                            *row = *b;
                        }
                    }
                }
            }
        }
        let mut i = 0;
        while i + R <= rows {
            self.tile::<R, V, W>(i, first, here);
            i += R;
        }
        while i + 2 <= rows {
            self.tile::<2, V, W>(i, first, here);
            i += 2;
        }
        if i < rows {
            self.tile::<1, V, W>(i, first, here);
        }
    }

    /// The rows from `i` on of the packed panel's `here` columns.
    #[inline(always)]
    fn tile<const R: usize, const V: usize, const W: usize>(
        &mut self,
        i: usize,
        first: usize,
        here: usize,
    ) {
        let MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate,
        } = self.shape;
        let (panel, _) = self.packed.as_chunks::<W>();
        let (panel, _) = panel.as_chunks::<V>();
        let Some(panel) = panel.get(..inner) else {
            return;
        };
        // The accumulators themselves are never indexed by a variable nor borrowed by a copy of
        // variable length: either would put them into memory.
        let mut buffer = [[[S::ZERO; W]; V]; R];
        if accumulate {
            for (r, row) in buffer.iter_mut().enumerate() {
                load(piece(self.c, (i + r) * columns + first, here), row);
            }
        }
        let buffer = match form {
            Form::Nn | Form::Nt => {
                let mut a: [&[S]; R] = [&[]; R];
                for (r, a) in a.iter_mut().enumerate() {
                    let row = self.a.get((i + r) * inner..).and_then(|a| a.get(..inner));
                    let Some(row) = row else { return };
                    *a = row;
                }
                sum::<A, S, R, V, W, _>(buffer, panel, 0..inner, |k, r| a[r][*k])
            }
            Form::Tn => {
                if i + R > rows {
                    return;
                }
                let a = self.a.chunks_exact(rows.max(1));
                let a = a.map_while(|a| a.get(i..)?.first_chunk::<R>());
                sum::<A, S, R, V, W, _>(buffer, panel, a, |a, r| a[r])
            }
        };
        for (r, row) in buffer.iter().enumerate() {
            store(row, piece_mut(self.c, (i + r) * columns + first, here));
        }
    }
}

/// `row` from `x`, which may be shorter by less than a vector; the rest is 0. Vector by vector, since a
/// copy of variable length is a call, and there are thousands of them in a product.
#[inline(always)]
fn load<S: Scalar, const V: usize, const W: usize>(x: &[S], row: &mut [[S; W]; V]) {
    let (full, rest) = x.as_chunks::<W>();
    for (v, row) in row.iter_mut().enumerate() {
        if let Some(x) = full.get(v) {
            *row = *x;
        } else {
            *row = [S::ZERO; W];
            for (row, x) in row.iter_mut().zip(rest) {
                *row = *x;
            }
        }
    }
}

/// The start of `row` to `x`, likewise.
#[inline(always)]
fn store<S: Scalar, const V: usize, const W: usize>(row: &[[S; W]; V], x: &mut [S]) {
    let (full, rest) = x.as_chunks_mut::<W>();
    let vectors = full.len();
    for (v, row) in row.iter().enumerate() {
        if let Some(x) = full.get_mut(v) {
            *x = *row;
        } else if v == vectors {
            for (x, row) in rest.iter_mut().zip(row) {
                *x = *row;
            }
        }
    }
}

/// A tile of sums: `R` rows of `V` vectors.
type Tile<S, const R: usize, const V: usize, const W: usize> = [[[S; W]; V]; R];

/// `start_rj + sum_k a(k)_r panel_kj`, in registers, where `inner` has what `a` needs of each `k`.
#[inline(always)]
fn sum<A: Arithmetic, S: Scalar, const R: usize, const V: usize, const W: usize, K>(
    start: Tile<S, R, V, W>,
    panel: &[[[S; W]; V]],
    inner: impl Iterator<Item = K>,
    a: impl Fn(&K, usize) -> S,
) -> Tile<S, R, V, W> {
    // The rows are written out, not looped over: whether such a loop is unrolled depends on where this
    // is inlined, and where it is not, every sum goes through memory.
    macro_rules! each_row {
        ($sums:ident, $k:ident, $b:ident: $($r:literal)*) => {
            $(if R > $r {
                $sums[$r] = add_row::<A, S, V, W>($sums[$r], a(&$k, $r), $b);
            })*
        };
    }
    const { assert!(R <= 8) };
    let mut sums = start;
    for (b, k) in panel.iter().zip(inner) {
        // Loaded whole: the compiler would put some vectors together from pieces.
        let b = *b;
        each_row!(sums, k, b: 0 1 2 3 4 5 6 7);
    }
    sums
}

/// `sums_j + a b_j`, of one row.
#[inline(always)]
fn add_row<A: Arithmetic, S: Scalar, const V: usize, const W: usize>(
    sums: [[S; W]; V],
    a: S,
    b: [[S; W]; V],
) -> [[S; W]; V] {
    let mut next = sums;
    for v in 0..V {
        for j in 0..W {
            next[v][j] = A::mul_add(a, b[v][j], sums[v][j]);
        }
    }
    next
}
