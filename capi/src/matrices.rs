//! Kernels: products of matrices, and of sparse rows with them.
//!
//! A matrix is row-major; each sum of a product is in ascending order, so that nothing else decides its bits.
//!
//! Refused, before anything is written: numbers that are not finite where they are read, since they would
//! spread without a word; sizes of 0. What finite numbers overflow to is not looked at.
//! Indices of a sparse row ascend.

use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::sparse::{self, Row};

use crate::check::{finite, flag, in_arithmetic, known_arithmetic, some, times};
use crate::error::{Code, guard};
use crate::raw::{Door, In, Out, slices};
use crate::types::{Operands, Product};

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
        slices!(door: write len[1]);
        len.fill(product.required_len());
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
        slices!(read indices[count], read values[count], read w[n], write y[columns]);
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
        slices!(read indices[count], read values[count], read d[columns], write g[n]);
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
        slices!(read w[n], read bias[columns], write y[columns]);
        finite(&[&[mean], w, bias])?;
        in_arithmetic!(arithmetic, A => sparse::shifted::<A, f32>(mean, w, bias, y));
        Ok(())
    })
}
