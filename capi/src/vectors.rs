//! Kernels: vectors, rows of matrices, functions and sums.
//!
//! The formulas, and the order in which a kernel adds, stand at the Rust functions of `drmad::kernels`.
//! All vectors of a call have the `n` elements that it names, unless another length is given.
//!
//! Refused, before anything is written: numbers that are not finite where they are read, since they would
//! spread without a word; sizes of 0. What finite numbers overflow to is not looked at.
//! `exp`, `tanh` and `ln` take infinities, which have values there.

use drmad::Scalar;
use drmad::kernels::{accumulate, activation, interpolate, reduce};

use crate::check::{finite, in_arithmetic, known_arithmetic, no_negative, some, times};
use crate::error::{Code, guard};
use crate::raw::{In, Out, slices};

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
        slices!(read x0[n], read x1[n], write y[n]);
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
        slices!(read x[n], write y[n]);
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
        slices!(read x[n], write y[n]);
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
        slices!(read a[rows], read x[n], write y[n]);
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
        slices!(read a[rows], read x[n], write y[n]);
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
        slices!(read x[n], read y[n], write h[rows]);
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
        slices!(read x[n], write h[rows]);
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
        slices!(read x[n], write y[columns]);
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
        slices!(read x[n], write result[1]);
        finite(&[x])?;
        result.fill(reduce::sum(x));
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
        slices!(read x[n], read y[n], write result[1]);
        finite(&[x, y])?;
        let dot = in_arithmetic!(arithmetic, A => reduce::dot::<A, f32>(x, y));
        result.fill(dot);
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
        slices!(read x[n], write y[n]);
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
        slices!(read x[n], write y[n]);
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
        slices!(write x[n]);
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
        slices!(read y[n], write d[n]);
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
        slices!(read y[n], read r_y[n], write d[n], write r_d[n]);
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
        slices!(write z[n], write p[n], write log_sums[rows]);
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
        slices!(read p[n], write r[n]);
        finite(&[p, r])?;
        in_arithmetic!(arithmetic, A => activation::softmax_r::<A, f32>(classes, p, r));
        Ok(())
    })
}
