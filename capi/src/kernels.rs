//! The kernels, each in both arithmetics.
//!
//! The formulas, and the order in which a kernel adds, stand at the Rust functions of `drmad::kernels`.
//! All vectors of a call have the `n` elements that it names, unless another length is given.
//!
//! Refused, before anything is written: numbers that are not finite where they are read, since they would
//! spread without a word (`exp`, `tanh` and `ln` take infinities, which have values there); sizes of 0.
//! What finite numbers overflow to is not looked at.

use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::momentum::Step;
use drmad::kernels::reversible::{self, Bits, FASTEST, FULL, Ratio};
use drmad::kernels::sparse::{self, Row};
use drmad::kernels::{
    accumulate, activation, adam, interpolate, momentum, nesterov, quantise, reduce,
};
use drmad::random::{self, Batches, Normal, Origin};
use drmad::{Scalar, group};

use crate::error::guard;
use crate::raw::{Door, In, Out};
use crate::{Code, finite, flag, in_arithmetic, known_arithmetic, some, times};

/// A rate and a momentum in [0, 1).
fn step(rate: f32, momentum: f32) -> Result<Step<f32>, Code> {
    finite(&[&[rate, momentum]])?;
    if (0.0..1.0).contains(&momentum) {
        Ok(Step { rate, momentum })
    } else {
        Err(Code::Range)
    }
}

/// The heavy ball's step: `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_momentum_step(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    g: In<f32>,
    v: Out<f32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        let mut door = Door::new();
        let (g, v, w) = (door.read(g, n)?, door.write(v, n)?, door.write(w, n)?);
        let open = door.open()?;
        let (g, v, w) = (g.slice(&open), v.slice(&open), w.slice(&open));
        finite(&[g, v, w])?;
        in_arithmetic!(arithmetic, A => momentum::step::<A, f32>(by, g, v, w));
        Ok(())
    })
}

/// That step back, for the adjoints: `d_v <- d_v + rate d_w`, `d_g = -(1 - momentum) d_v`,
/// `d_v <- momentum d_v`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_momentum_adjoint(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    d_w: In<f32>,
    d_v: Out<f32>,
    d_g: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        let mut door = Door::new();
        let (d_w, d_v, d_g) = (door.read(d_w, n)?, door.write(d_v, n)?, door.write(d_g, n)?);
        let open = door.open()?;
        let (d_w, d_v, d_g) = (d_w.slice(&open), d_v.slice(&open), d_g.slice(&open));
        finite(&[d_w, d_v])?;
        in_arithmetic!(arithmetic, A => momentum::adjoint::<A, f32>(by, d_w, d_v, d_g));
        Ok(())
    })
}

/// Nesterov's step: `v <- momentum v - (1 - momentum) g`, `w <- w + rate (momentum v - (1 - momentum) g)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_nesterov_step(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    g: In<f32>,
    v: Out<f32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        let mut door = Door::new();
        let (g, v, w) = (door.read(g, n)?, door.write(v, n)?, door.write(w, n)?);
        let open = door.open()?;
        let (g, v, w) = (g.slice(&open), v.slice(&open), w.slice(&open));
        finite(&[g, v, w])?;
        in_arithmetic!(arithmetic, A => nesterov::step::<A, f32>(by, g, v, w));
        Ok(())
    })
}

/// That step back, for the adjoints; writes the direction `d_g`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_nesterov_adjoint(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    d_w: In<f32>,
    d_v: Out<f32>,
    d_g: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        let mut door = Door::new();
        let (d_w, d_v, d_g) = (door.read(d_w, n)?, door.write(d_v, n)?, door.write(d_g, n)?);
        let open = door.open()?;
        let (d_w, d_v, d_g) = (d_w.slice(&open), d_v.slice(&open), d_g.slice(&open));
        finite(&[d_w, d_v])?;
        in_arithmetic!(arithmetic, A => nesterov::adjoint::<A, f32>(by, d_w, d_v, d_g));
        Ok(())
    })
}

/// The derivatives by the rate and by the momentum of Nesterov's step, to `d_step[0]` and `d_step[1]`:
/// from velocity and gradient before the step and the adjoints after it.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_nesterov_by_step(
    arithmetic: i32,
    rate: f32,
    momentum: f32,
    v: In<f32>,
    g: In<f32>,
    d_w: In<f32>,
    d_v: In<f32>,
    d_step: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let by = step(rate, momentum)?;
        some(&[n])?;
        let mut door = Door::new();
        let (v, g) = (door.read(v, n)?, door.read(g, n)?);
        let (d_w, d_v) = (door.read(d_w, n)?, door.read(d_v, n)?);
        let d_step = door.write(d_step, 2)?;
        let open = door.open()?;
        let (v, g, d_w, d_v) = (
            v.slice(&open),
            g.slice(&open),
            d_w.slice(&open),
            d_v.slice(&open),
        );
        finite(&[v, g, d_w, d_v])?;
        let d = in_arithmetic!(arithmetic, A => nesterov::by_step::<A, f32>(by, v, g, d_w, d_v));
        d_step.slice(&open).copy_from_slice(&[d.rate, d.momentum]);
        Ok(())
    })
}

/// The constants of a step of Adam.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// The step, from 0.
    pub t: u32,
    /// The rate.
    pub rate: f32,
    /// How much of the first moment stays, in [0, 1).
    pub b1: f32,
    /// How much of the second moment stays, in [0, 1).
    pub b2: f32,
    /// What is added to the root, at least `2^-55 / sqrt(1 - b2)`: 8.8e-16 for .999.
    pub eps: f32,
    /// How much a weight shrinks, divided by the rate (PyTorch's `weight_decay` of `AdamW`), at least 0.
    pub decay: f32,
}

impl AdamStep {
    fn check(&self) -> Result<adam::Step<f32>, Code> {
        let AdamStep {
            t,
            rate,
            b1,
            b2,
            eps,
            decay,
        } = *self;
        finite(&[&[rate, b1, b2, eps, decay]])?;
        Ok(adam::Step::new(t as usize, rate, b1, b2, eps, decay)?)
    }
}

/// Refuses gradients after which a second moment would outgrow the numbers.
fn no_great(arithmetic: i32, by: adam::Step<f32>, g: &[f32], second: &[f32]) -> Result<(), Code> {
    let outgrown = in_arithmetic!(arithmetic, A => {
        let after = g.iter().zip(second).map(|(g, n)| by.second::<A>(*g, *n));
        adam::too_great(by, after)
    });
    match outgrown {
        None => Ok(()),
        Some(_) => Err(Code::Diverged),
    }
}

/// Refuses second moments below 0.
fn no_negative(x: &[f32]) -> Result<(), Code> {
    if x.iter().all(|x| *x >= 0.0) {
        Ok(())
    } else {
        Err(Code::Range)
    }
}

/// Adam's step of the moments `m` and `second`, and of the weights.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_adam_step(
    arithmetic: i32,
    by: In<AdamStep>,
    g: In<f32>,
    m: Out<f32>,
    second: Out<f32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let by = door.get(by)?.check()?;
        let (g, m) = (door.read(g, n)?, door.write(m, n)?);
        let (second, w) = (door.write(second, n)?, door.write(w, n)?);
        let open = door.open()?;
        let (g, m) = (g.slice(&open), m.slice(&open));
        let (second, w) = (second.slice(&open), w.slice(&open));
        finite(&[g, m, second, w])?;
        no_negative(second)?;
        no_great(arithmetic, by, g, second)?;
        in_arithmetic!(arithmetic, A => adam::step::<A, f32>(by, g, m, second, w));
        Ok(())
    })
}

/// That step back, for the adjoints: from gradient and moments before it; writes the direction `d_g`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_adam_adjoint(
    arithmetic: i32,
    by: In<AdamStep>,
    g: In<f32>,
    m: In<f32>,
    second: In<f32>,
    d_w: Out<f32>,
    d_m: Out<f32>,
    d_second: Out<f32>,
    d_g: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let by = door.get(by)?.check()?;
        let (g, m, second) = (door.read(g, n)?, door.read(m, n)?, door.read(second, n)?);
        let (d_w, d_m) = (door.write(d_w, n)?, door.write(d_m, n)?);
        let (d_second, d_g) = (door.write(d_second, n)?, door.write(d_g, n)?);
        let open = door.open()?;
        let (g, m, second) = (g.slice(&open), m.slice(&open), second.slice(&open));
        let (d_w, d_m) = (d_w.slice(&open), d_m.slice(&open));
        let (d_second, d_g) = (d_second.slice(&open), d_g.slice(&open));
        finite(&[g, m, second, d_w, d_m, d_second])?;
        no_negative(second)?;
        no_great(arithmetic, by, g, second)?;
        let before = adam::Before { g, m, n: second };
        in_arithmetic!(arithmetic, A => {
            adam::adjoint::<A, f32>(by, before, d_w, d_m, d_second, d_g);
        });
        Ok(())
    })
}

/// The derivatives by the rate and by `b1` of Adam's step, to `d_step[0]` and `d_step[1]`: from what was
/// before the step and the adjoints after it.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_adam_by_step(
    arithmetic: i32,
    by: In<AdamStep>,
    g: In<f32>,
    m: In<f32>,
    second: In<f32>,
    w: In<f32>,
    d_w: In<f32>,
    d_m: In<f32>,
    d_step: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let by = door.get(by)?.check()?;
        let (g, m, second) = (door.read(g, n)?, door.read(m, n)?, door.read(second, n)?);
        let (w, d_w, d_m) = (door.read(w, n)?, door.read(d_w, n)?, door.read(d_m, n)?);
        let d_step = door.write(d_step, 2)?;
        let open = door.open()?;
        let (g, m, second) = (g.slice(&open), m.slice(&open), second.slice(&open));
        let (w, d_w, d_m) = (w.slice(&open), d_w.slice(&open), d_m.slice(&open));
        finite(&[g, m, second, w, d_w, d_m])?;
        no_negative(second)?;
        no_great(arithmetic, by, g, second)?;
        let before = adam::Before { g, m, n: second };
        let d = in_arithmetic!(arithmetic, A => {
            adam::by_step::<A, f32>(by, before, w, d_w, d_m)
        });
        d_step.slice(&open).copy_from_slice(&[d.rate, d.momentum]);
        Ok(())
    })
}

/// `y = (1 - b) x0 + b x1` with `b = i / of`, exact at both ends.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_between(
    arithmetic: i32,
    i: usize,
    of: usize,
    x0: In<f32>,
    x1: In<f32>,
    y: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n, of])?;
        if i > of {
            return Err(Code::Range);
        }
        let mut door = Door::new();
        let (x0, x1, y) = (door.read(x0, n)?, door.read(x1, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (x0, x1, y) = (x0.slice(&open), x1.slice(&open), y.slice(&open));
        finite(&[x0, x1])?;
        in_arithmetic!(arithmetic, A => interpolate::between::<A, f32>(i, of, x0, x1, y));
        Ok(())
    })
}

/// `y += a x`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_add_scaled(
    arithmetic: i32,
    a: f32,
    x: In<f32>,
    y: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (x, y) = (door.read(x, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (x, y) = (x.slice(&open), y.slice(&open));
        finite(&[&[a], x, y])?;
        in_arithmetic!(arithmetic, A => accumulate::add_scaled::<A, f32>(a, x, y));
        Ok(())
    })
}

/// `y = a x`: the same in both arithmetics.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_scale(a: f32, x: In<f32>, y: Out<f32>, n: usize) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (x, y) = (door.read(x, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (x, y) = (x.slice(&open), y.slice(&open));
        finite(&[&[a], x])?;
        accumulate::scale(a, x, y);
        Ok(())
    })
}

/// `y_rc = a_r x_rc` of a matrix, rows x columns: the same in both arithmetics.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_scale_rows(
    rows: usize,
    columns: usize,
    a: In<f32>,
    x: In<f32>,
    y: Out<f32>,
) -> i32 {
    guard(|| {
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (a, x, y) = (door.read(a, rows)?, door.read(x, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (a, x, y) = (a.slice(&open), x.slice(&open), y.slice(&open));
        finite(&[a, x])?;
        accumulate::scale_rows(columns, a, x, y);
        Ok(())
    })
}

/// `y_rc += a_r x_rc` of a matrix, rows x columns.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_add_scaled_rows(
    arithmetic: i32,
    rows: usize,
    columns: usize,
    a: In<f32>,
    x: In<f32>,
    y: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (a, x, y) = (door.read(a, rows)?, door.read(x, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (a, x, y) = (a.slice(&open), x.slice(&open), y.slice(&open));
        finite(&[a, x, y])?;
        in_arithmetic!(arithmetic, A => accumulate::add_scaled_rows::<A, f32>(columns, a, x, y));
        Ok(())
    })
}

/// `h_r += sum_c x_rc y_rc` of matrices, rows x columns: how a derivative by weights becomes one by
/// hyperparameters.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_add_row_dots(
    arithmetic: i32,
    rows: usize,
    columns: usize,
    x: In<f32>,
    y: In<f32>,
    h: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (x, y, h) = (door.read(x, n)?, door.read(y, n)?, door.write(h, rows)?);
        let open = door.open()?;
        let (x, y, h) = (x.slice(&open), y.slice(&open), h.slice(&open));
        finite(&[x, y, h])?;
        in_arithmetic!(arithmetic, A => accumulate::add_row_dots::<A, f32>(columns, x, y, h));
        Ok(())
    })
}

/// `h_r += sum_c x_rc` of a matrix, rows x columns: the same in both arithmetics.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_add_row_sums(rows: usize, columns: usize, x: In<f32>, h: Out<f32>) -> i32 {
    guard(|| {
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (x, h) = (door.read(x, n)?, door.write(h, rows)?);
        let open = door.open()?;
        let (x, h) = (x.slice(&open), h.slice(&open));
        finite(&[x, h])?;
        accumulate::add_row_sums(columns, x, h);
        Ok(())
    })
}

/// `y_c += sum_r x_rc` of a matrix, rows x columns: the same in both arithmetics.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_add_rows(rows: usize, columns: usize, x: In<f32>, y: Out<f32>) -> i32 {
    guard(|| {
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (x, y) = (door.read(x, n)?, door.write(y, columns)?);
        let open = door.open()?;
        let (x, y) = (x.slice(&open), y.slice(&open));
        finite(&[x, y])?;
        accumulate::add_rows(x, y);
        Ok(())
    })
}

/// The sum of a vector: the same in both arithmetics.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_sum(x: In<f32>, n: usize, result: Out<f32>) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (x, result) = (door.read(x, n)?, door.write(result, 1)?);
        let open = door.open()?;
        let x = x.slice(&open);
        finite(&[x])?;
        result.set(&open, reduce::sum(x));
        Ok(())
    })
}

/// The dot product of two vectors.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_dot(
    arithmetic: i32,
    x: In<f32>,
    y: In<f32>,
    n: usize,
    result: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (x, y, result) = (door.read(x, n)?, door.read(y, n)?, door.write(result, 1)?);
        let open = door.open()?;
        let (x, y) = (x.slice(&open), y.slice(&open));
        finite(&[x, y])?;
        let dot = in_arithmetic!(arithmetic, A => reduce::dot::<A, f32>(x, y));
        result.set(&open, dot);
        Ok(())
    })
}

/// Which operand of a matrix product is transposed. All are row-major as stored.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// `a` is rows x inner, `b` is inner x columns.
    Nn = 0,
    /// `a` is inner x rows, `b` is inner x columns.
    Tn = 1,
    /// `a` is rows x inner, `b` is columns x inner.
    Nt = 2,
}

/// The shape of a matrix product `c (rows x columns) = a b`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// One of `drmad_operands`.
    pub operands: i32,
    /// 1 to add to `c`, 0 to overwrite it.
    pub accumulate: i32,
    /// Rows of `c`.
    pub rows: usize,
    /// Length of each sum.
    pub inner: usize,
    /// Columns of `c`.
    pub columns: usize,
}

impl Product {
    fn check(&self) -> Result<MatMul, Code> {
        const NN: i32 = Operands::Nn as i32;
        const TN: i32 = Operands::Tn as i32;
        const NT: i32 = Operands::Nt as i32;
        let Product {
            rows,
            inner,
            columns,
            ..
        } = *self;
        let form = match self.operands {
            NN => Form::Nn,
            TN => Form::Tn,
            NT => Form::Nt,
            _ => return Err(Code::Enum),
        };
        let accumulate = flag(self.accumulate)?;
        some(&[rows, inner, columns])?;
        for (a, b) in [(rows, inner), (inner, columns), (rows, columns)] {
            times(a, b)?;
        }
        let product = MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate,
        };
        match product.required_len() {
            usize::MAX => Err(Code::Size),
            _ => Ok(product),
        }
    }
}

/// How many floats `drmad_matmul` packs `b` into.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_matmul_required_len(shape: In<Product>, len: Out<usize>) -> i32 {
    guard(|| {
        let mut door = Door::new();
        let product = door.get(shape)?.check()?;
        let len = door.write(len, 1)?;
        let open = door.open()?;
        len.set(&open, product.required_len());
        Ok(())
    })
}

/// A matrix product, each sum in ascending order.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_matmul(
    arithmetic: i32,
    shape: In<Product>,
    a: In<f32>,
    b: In<f32>,
    c: Out<f32>,
    packed: Out<f32>,
    packed_len: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        let mut door = Door::new();
        let product = door.get(shape)?.check()?;
        let MatMul {
            rows,
            inner,
            columns,
            accumulate,
            ..
        } = product;
        let (a, b) = (door.read(a, rows * inner)?, door.read(b, inner * columns)?);
        let (c, packed) = (
            door.write(c, rows * columns)?,
            door.write(packed, packed_len)?,
        );
        if packed_len < product.required_len() {
            return Err(Code::Length);
        }
        let open = door.open()?;
        let (a, b) = (a.slice(&open), b.slice(&open));
        let (c, packed) = (c.slice(&open), packed.slice(&open));
        finite(&[a, b, if accumulate { &*c } else { &[] }])?;
        in_arithmetic!(arithmetic, A => product.run::<A, f32>(a, b, c, packed))?;
        Ok(())
    })
}

/// Refuses indices that do not ascend, or have no row.
fn ascending(indices: &[u16], rows: usize) -> Result<(), Code> {
    if indices.iter().any(|i| usize::from(*i) >= rows) {
        return Err(Code::Index);
    }
    if indices.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(Code::Order)
    }
}

/// `y_c += sum_i x_i w_ic` for a sparse row `x` of `count` values at ascending `indices` and a matrix `w`,
/// rows x columns.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_sparse_product(
    arithmetic: i32,
    indices: In<u16>,
    values: In<f32>,
    count: usize,
    w: In<f32>,
    rows: usize,
    columns: usize,
    y: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (indices, values) = (door.read(indices, count)?, door.read(values, count)?);
        let (w, y) = (door.read(w, n)?, door.write(y, columns)?);
        let open = door.open()?;
        let (indices, values) = (indices.slice(&open), values.slice(&open));
        let (w, y) = (w.slice(&open), y.slice(&open));
        ascending(indices, rows)?;
        finite(&[values, w, y])?;
        let x = Row { indices, values };
        in_arithmetic!(arithmetic, A => sparse::product::<A, f32>(x, w, y));
        Ok(())
    })
}

/// `g_ic += x_i d_c` for a sparse row `x` as above and a matrix `g`, rows x columns.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_sparse_outer(
    arithmetic: i32,
    indices: In<u16>,
    values: In<f32>,
    count: usize,
    d: In<f32>,
    rows: usize,
    columns: usize,
    g: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (indices, values) = (door.read(indices, count)?, door.read(values, count)?);
        let (d, g) = (door.read(d, columns)?, door.write(g, n)?);
        let open = door.open()?;
        let (indices, values) = (indices.slice(&open), values.slice(&open));
        let (d, g) = (d.slice(&open), g.slice(&open));
        ascending(indices, rows)?;
        finite(&[values, d, g])?;
        let x = Row { indices, values };
        in_arithmetic!(arithmetic, A => sparse::outer::<A, f32>(x, d, g));
        Ok(())
    })
}

/// `y_c = bias_c - mean sum_i w_ic` for a matrix `w`, rows x columns: what a sparse product of inputs less
/// their mean starts from.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_sparse_shifted(
    arithmetic: i32,
    mean: f32,
    w: In<f32>,
    bias: In<f32>,
    rows: usize,
    columns: usize,
    y: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, columns])?;
        let n = times(rows, columns)?;
        let mut door = Door::new();
        let (w, bias) = (door.read(w, n)?, door.read(bias, columns)?);
        let y = door.write(y, columns)?;
        let open = door.open()?;
        let (w, bias, y) = (w.slice(&open), bias.slice(&open), y.slice(&open));
        finite(&[&[mean], w, bias])?;
        in_arithmetic!(arithmetic, A => sparse::shifted::<A, f32>(mean, w, bias, y));
        Ok(())
    })
}

/// Refuses NaN, and lets infinities pass.
fn numbers(x: &[f32]) -> Result<(), Code> {
    if x.iter().any(|x| x.is_nan()) {
        Err(Code::NotFinite)
    } else {
        Ok(())
    }
}

/// `y = exp(x)`; infinities are taken, NaN is refused.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_exp(arithmetic: i32, x: In<f32>, y: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (x, y) = (door.read(x, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (x, y) = (x.slice(&open), y.slice(&open));
        numbers(x)?;
        in_arithmetic!(arithmetic, A => activation::exp::<A, f32>(x, y));
        Ok(())
    })
}

/// `y = ln(x)`; 0 and infinity are taken, what is below 0 or NaN is refused.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_ln(arithmetic: i32, x: In<f32>, y: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (x, y) = (door.read(x, n)?, door.write(y, n)?);
        let open = door.open()?;
        let (x, y) = (x.slice(&open), y.slice(&open));
        numbers(x)?;
        no_negative(x)?;
        in_arithmetic!(arithmetic, A => {
            for (y, x) in y.iter_mut().zip(x) {
                *y = Scalar::ln::<A>(*x);
            }
        });
        Ok(())
    })
}

/// `x <- tanh(x)`; infinities are taken, NaN is refused.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_tanh(arithmetic: i32, x: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let x = door.write(x, n)?;
        let open = door.open()?;
        let x = x.slice(&open);
        numbers(x)?;
        in_arithmetic!(arithmetic, A => activation::tanh::<A, f32>(x));
        Ok(())
    })
}

/// `d <- d (1 - y^2)` for `y = tanh(x)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_tanh_adjoint(arithmetic: i32, y: In<f32>, d: Out<f32>, n: usize) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (y, d) = (door.read(y, n)?, door.write(d, n)?);
        let open = door.open()?;
        let (y, d) = (y.slice(&open), d.slice(&open));
        finite(&[y, d])?;
        in_arithmetic!(arithmetic, A => activation::tanh_adjoint::<A, f32>(y, d));
        Ok(())
    })
}

/// Its R-pass: `r_d <- r_d (1 - y^2) - 2 y r_y d`, then `d <- d (1 - y^2)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_tanh_adjoint_r(
    arithmetic: i32,
    y: In<f32>,
    r_y: In<f32>,
    d: Out<f32>,
    r_d: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (y, r_y) = (door.read(y, n)?, door.read(r_y, n)?);
        let (d, r_d) = (door.write(d, n)?, door.write(r_d, n)?);
        let open = door.open()?;
        let (y, r_y, d, r_d) = (
            y.slice(&open),
            r_y.slice(&open),
            d.slice(&open),
            r_d.slice(&open),
        );
        finite(&[y, r_y, d, r_d])?;
        in_arithmetic!(arithmetic, A => activation::tanh_adjoint_r::<A, f32>(y, r_y, d, r_d));
        Ok(())
    })
}

/// Softmax of each row of logits `z`, rows x classes, to `p`. Each row of `z` becomes itself less its greatest,
/// and `ln sum exp z` of that goes to `log_sums`: `log_sum - z` is `-ln p`, and cancels nowhere.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_softmax(
    arithmetic: i32,
    rows: usize,
    classes: usize,
    z: Out<f32>,
    p: Out<f32>,
    log_sums: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, classes])?;
        let n = times(rows, classes)?;
        let mut door = Door::new();
        let (z, p, log_sums) = (
            door.write(z, n)?,
            door.write(p, n)?,
            door.write(log_sums, rows)?,
        );
        let open = door.open()?;
        let (z, p, log_sums) = (z.slice(&open), p.slice(&open), log_sums.slice(&open));
        finite(&[z])?;
        in_arithmetic!(arithmetic, A => activation::softmax::<A, f32>(classes, z, p, log_sums));
        Ok(())
    })
}

/// Its R-pass: `r <- p (r - sum_k p_k r_k)` in each row of `p` and `r`, rows x classes.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_softmax_r(
    arithmetic: i32,
    rows: usize,
    classes: usize,
    p: In<f32>,
    r: Out<f32>,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[rows, classes])?;
        let n = times(rows, classes)?;
        let mut door = Door::new();
        let (p, r) = (door.read(p, n)?, door.write(r, n)?);
        let open = door.open()?;
        let (p, r) = (p.slice(&open), r.slice(&open));
        finite(&[p, r])?;
        in_arithmetic!(arithmetic, A => activation::softmax_r::<A, f32>(classes, p, r));
        Ok(())
    })
}

/// Runs a body with `$LEVELS` the constant that a number of levels stands for.
macro_rules! with_levels {
    ($levels:expr, $LEVELS:ident => $body:expr) => {
        match $levels {
            3 => {
                const $LEVELS: u32 = 3;
                $body
            }
            7 => {
                const $LEVELS: u32 = 7;
                $body
            }
            11 => {
                const $LEVELS: u32 = 11;
                $body
            }
            15 => {
                const $LEVELS: u32 = 15;
                $body
            }
            255 => {
                const $LEVELS: u32 = 255;
                $body
            }
            _ => return Err(Code::Enum),
        }
    };
}
/// The most numbers in a block of so many levels (3, 7, 11, 15 or 255), and the words of its code.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_quantise_block(levels: u32, numbers: Out<usize>, words: Out<usize>) -> i32 {
    guard(|| {
        let (n, code) = with_levels!(levels, L => (quantise::block(L), quantise::words(L)));
        let mut door = Door::new();
        let (numbers, words) = (door.write(numbers, 1)?, door.write(words, 1)?);
        let open = door.open()?;
        numbers.set(&open, n);
        words.set(&open, code);
        Ok(())
    })
}

/// Writes a block of at most as many numbers to its words of `code`, the scale first.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_quantise(
    levels: u32,
    x: In<f32>,
    n: usize,
    code: Out<u32>,
    code_len: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (x, code) = (door.read(x, n)?, door.write(code, code_len)?);
        with_levels!(levels, L => {
            if n > quantise::block(L) || code_len != quantise::words(L) {
                return Err(Code::Length);
            }
            let open = door.open()?;
            let x = x.slice(&open);
            finite(&[x])?;
            let code = code.slice(&open);
            // The words of a short block's end.
            code.fill(0);
            quantise::encode::<L>(x, code);
        });
        Ok(())
    })
}

/// Adds a block's numbers to `y`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_dequantise(
    arithmetic: i32,
    levels: u32,
    code: In<u32>,
    code_len: usize,
    y: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (code, y) = (door.read(code, code_len)?, door.write(y, n)?);
        with_levels!(levels, L => {
            if n > quantise::block(L) || code_len != quantise::words(L) {
                return Err(Code::Length);
            }
            let open = door.open()?;
            let (code, y) = (code.slice(&open), y.slice(&open));
            let scale = code.first().map_or(0.0, |scale| f32::from_bits(*scale));
            finite(&[&[scale], y])?;
            in_arithmetic!(arithmetic, A => quantise::decode::<L, A, f32>(code, y));
        });
        Ok(())
    })
}

/// The constants of a step in fixed point.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The momentum: the nearest fraction with a denominator of at most 1024 is taken.
    pub momentum: f32,
    /// The rate.
    pub rate: f32,
    /// Bits of a weight that are a fraction, 1 to 30; 26 serves most trainings.
    pub weight_bits: u32,
    /// Bits of a velocity that are a fraction, 1 to 30; 28 serves most trainings.
    pub velocity_bits: u32,
}

fn bits(weight: u32, velocity: u32) -> Result<Bits, Code> {
    if [weight, velocity]
        .iter()
        .all(|bits| (1..=Bits::MOST).contains(bits))
    {
        Ok(Bits { weight, velocity })
    } else {
        Err(Code::Range)
    }
}

impl Turn {
    fn check(&self) -> Result<reversible::Turn, Code> {
        finite(&[&[self.momentum, self.rate]])?;
        let bits = bits(self.weight_bits, self.velocity_bits)?;
        let ratio = Ratio::nearest(f64::from(self.momentum)).ok_or(Code::Range)?;
        reversible::Turn::new(ratio, f64::from(self.rate), bits).ok_or(Code::Range)
    }
}

/// The integers of some weights: three buffers of the call's `n`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// The weights.
    pub w: Out<i32>,
    /// The velocities.
    pub v: Out<i32>,
    /// What the momentum has cut off, below 2^21; greater ones are to be spilled first.
    pub x: Out<u32>,
}

/// Refuses velocities and remainders that a step cannot begin with.
fn can_turn(v: &[i32], x: &[u32]) -> Result<(), Code> {
    if v.iter().any(|v| v.unsigned_abs() > FASTEST as u32) || x.iter().any(|x| *x >= FULL) {
        Err(Code::Range)
    } else {
        Ok(())
    }
}

/// The heavy ball's step in fixed point: the integers move, `w` and `v` get the nearest numbers.
/// A step that overflows is refused as a whole, so it is taken twice: once to see whether it does.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_step(
    turn: In<Turn>,
    g: In<f32>,
    fixed: In<Fixed>,
    w: Out<f32>,
    v: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let turn = door.get(turn)?.check()?;
        let fixed = door.get(fixed)?;
        let g = door.read(g, n)?;
        let (fw, fv, fx) = (
            door.write(fixed.w, n)?,
            door.write(fixed.v, n)?,
            door.write(fixed.x, n)?,
        );
        let (w, v) = (door.write(w, n)?, door.write(v, n)?);
        let open = door.open()?;
        let (fw, fv, fx) = (fw.slice(&open), fv.slice(&open), fx.slice(&open));
        let (g, w, v) = (g.slice(&open), w.slice(&open), v.slice(&open));
        finite(&[g])?;
        can_turn(fv, fx)?;
        let weights = fw.iter().zip(fv.iter()).zip(fx.iter()).zip(g);
        for (((i, j), x), g) in weights {
            let (mut i, mut j, mut x) = ([*i], [*j], [*x]);
            let one = reversible::Fixed {
                w: &mut i,
                v: &mut j,
                x: &mut x,
            };
            reversible::step(&turn, &[*g], one, &mut [0.0], &mut [0.0])
                .map_err(|_| Code::Overflow)?;
        }
        let all = reversible::Fixed {
            w: fw,
            v: fv,
            x: fx,
        };
        reversible::step(&turn, g, all, w, v).map_err(|_| Code::Overflow)
    })
}

/// Takes back the motion of the weights in that step; `w` gets the nearest numbers.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_undo_move(
    turn: In<Turn>,
    fixed_v: In<i32>,
    fixed_w: Out<i32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let turn = door.get(turn)?.check()?;
        let (fixed_v, fixed_w, w) = (
            door.read(fixed_v, n)?,
            door.write(fixed_w, n)?,
            door.write(w, n)?,
        );
        let open = door.open()?;
        let (fixed_v, fixed_w) = (fixed_v.slice(&open), fixed_w.slice(&open));
        can_turn(fixed_v, &[])?;
        reversible::undo_move(&turn, fixed_v, fixed_w, w.slice(&open));
        Ok(())
    })
}

/// Takes back the rest of that step, from its gradient at those weights.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_undo_kick(
    turn: In<Turn>,
    g: In<f32>,
    fixed_v: Out<i32>,
    fixed_x: Out<u32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let turn = door.get(turn)?.check()?;
        let (g, fixed_v, fixed_x) = (
            door.read(g, n)?,
            door.write(fixed_v, n)?,
            door.write(fixed_x, n)?,
        );
        let open = door.open()?;
        let (g, fixed_v, fixed_x) = (g.slice(&open), fixed_v.slice(&open), fixed_x.slice(&open));
        finite(&[g])?;
        can_turn(fixed_v, &[])?;
        reversible::undo_kick(&turn, g, fixed_v, fixed_x);
        Ok(())
    })
}

/// Moves the lowest 8 bits of each `x` to `bytes`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_spill(x: Out<u32>, bytes: Out<u8>, n: usize) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (x, bytes) = (door.write(x, n)?, door.write(bytes, n)?);
        let open = door.open()?;
        reversible::spill(x.slice(&open), bytes.slice(&open));
        Ok(())
    })
}

/// Takes them back.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_refill(x: Out<u32>, bytes: In<u8>, n: usize) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (x, bytes) = (door.write(x, n)?, door.read(bytes, n)?);
        let open = door.open()?;
        let (x, bytes) = (x.slice(&open), bytes.slice(&open));
        if x.iter().any(|x| *x >= 1 << 24) {
            return Err(Code::Range);
        }
        reversible::refill(x, bytes);
        Ok(())
    })
}

/// The integers with `fraction_bits` nearest to numbers.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_fix(
    fraction_bits: u32,
    x: In<f32>,
    fixed: Out<i32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let bits = bits(fraction_bits, fraction_bits)?;
        let mut door = Door::new();
        let (x, fixed) = (door.read(x, n)?, door.write(fixed, n)?);
        let open = door.open()?;
        let x = x.slice(&open);
        finite(&[x])?;
        let most = bits.greatest_weight();
        if x.iter().any(|x| f64::from(*x).abs() > most) {
            return Err(Code::Overflow);
        }
        reversible::fix(bits, x, fixed.slice(&open)).map_err(|_| Code::Overflow)
    })
}

/// The numbers nearest to integers with `fraction_bits`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_view(
    fraction_bits: u32,
    fixed: In<i32>,
    x: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let bits = bits(fraction_bits, fraction_bits)?;
        let mut door = Door::new();
        let (fixed, x) = (door.read(fixed, n)?, door.write(x, n)?);
        let open = door.open()?;
        reversible::view(bits.weight_unit(), fixed.slice(&open), x.slice(&open));
        Ok(())
    })
}

/// Numbers `first ..` of the normal ones that a seed stands for, times `exp(log_scale)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_normal(
    seed: u64,
    log_scale: f32,
    first: usize,
    x: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let end = first.checked_add(n).ok_or(Code::Size)?;
        finite(&[&[log_scale]])?;
        let mut door = Door::new();
        let x = door.write(x, n)?;
        let open = door.open()?;
        let normal = Normal {
            seed,
            groups: group::Groups::global(end),
            log_scales: &[log_scale],
        };
        normal.fill(first, x.slice(&open));
        Ok(())
    })
}

/// The examples of step `t`, `n` of those below `examples`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_batch(
    seed: u64,
    examples: usize,
    t: usize,
    batch: Out<u32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[examples, n])?;
        if u32::try_from(examples).is_err() {
            return Err(Code::Range);
        }
        let mut door = Door::new();
        let batch = door.write(batch, n)?;
        let open = door.open()?;
        let batches = Batches {
            seed,
            examples,
            size: n,
        };
        batches.fill(t, batch.slice(&open))?;
        Ok(())
    })
}

/// Draws `n` different numbers below `pool_len` in random order; `pool` is overwritten.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_choose(
    seed: u64,
    pool: Out<u32>,
    pool_len: usize,
    chosen: Out<u32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[pool_len, n])?;
        if u32::try_from(pool_len).is_err() {
            return Err(Code::Range);
        }
        if n > pool_len {
            return Err(Code::Length);
        }
        let mut door = Door::new();
        let (pool, chosen) = (door.write(pool, pool_len)?, door.write(chosen, n)?);
        let open = door.open()?;
        random::choose(seed, pool.slice(&open), chosen.slice(&open))?;
        Ok(())
    })
}
