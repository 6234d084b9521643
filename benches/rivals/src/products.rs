//! The dense products.

use std::error::Error;

use drmad::Fused;
use drmad::kernels::matmul::{Form, MatMul};

use crate::{Effort, median, race};

/// An error of a product, of its greatest number: up to 784 roundings of 6e-8 that mostly cancel.
const TOLERANCE: f64 = 5e-6;

const SHAPES: &[(&str, Form, usize, usize, usize)] = &[
    ("50x784 . 784x50", Form::Nn, 50, 784, 50),
    ("(50x784)' . 50x50", Form::Tn, 784, 50, 50),
    ("50x50 . 50x50", Form::Nn, 50, 50, 50),
    ("(50x50)' . 50x50", Form::Tn, 50, 50, 50),
    ("50x50 . (50x50)'", Form::Nt, 50, 50, 50),
    ("50x50 . 50x10", Form::Nn, 50, 50, 10),
    ("(50x50)' . 50x10", Form::Tn, 50, 50, 10),
    ("50x10 . (50x10)'", Form::Nt, 50, 10, 50),
];

const NAMES: [&str; 3] = ["drmad", "matrixmultiply", "gemm"];

fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed;
    let next = |_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(next).collect()
}

/// Prints GFLOP/s and ratios of every shape.
pub fn compare(effort: Effort) -> Result<(), Box<dyn Error>> {
    println!("GFLOP/s, median (best); ratios of medians");
    print!("{:<20}", "");
    for name in NAMES {
        print!("{name:>18}");
    }
    println!("{:>18}{:>8}", NAMES[1], NAMES[2]);
    for &(name, form, rows, inner, columns) in SHAPES {
        let shape = MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate: false,
        };
        let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
        let mut packed = vec![0.0; shape.required_len()];
        let mut out = [(); 3].map(|()| vec![0.0f32; rows * columns]);
        let [ours, by_matrixmultiply, by_gemm] = &mut out;
        // Distances between the rows and between the columns of each operand.
        let a_strides = match form {
            Form::Tn => (1, rows as isize),
            _ => (inner as isize, 1),
        };
        let b_strides = match form {
            Form::Nt => (1, inner as isize),
            _ => (columns as isize, 1),
        };
        let (m, k, n) = (rows, inner, columns);
        let (a_ref, b_ref) = (&a[..], &b[..]);
        let seconds = race(
            effort,
            &mut [
                (
                    NAMES[0],
                    Box::new(|| {
                        let done = shape.run::<Fused, _>(a_ref, b_ref, ours, &mut packed);
                        done.expect("the lengths fit");
                    }),
                ),
                (
                    NAMES[1],
                    // SAFETY: the strides reach no further than the lengths of a, b and the output.
                    Box::new(|| unsafe {
                        matrixmultiply::sgemm(
                            m,
                            k,
                            n,
                            1.0,
                            a_ref.as_ptr(),
                            a_strides.0,
                            a_strides.1,
                            b_ref.as_ptr(),
                            b_strides.0,
                            b_strides.1,
                            0.0,
                            by_matrixmultiply.as_mut_ptr(),
                            n as isize,
                            1,
                        );
                    }),
                ),
                (
                    NAMES[2],
                    // SAFETY: as above.
                    Box::new(|| unsafe {
                        gemm::gemm(
                            m,
                            n,
                            k,
                            by_gemm.as_mut_ptr(),
                            1,
                            n as isize,
                            false,
                            a_ref.as_ptr(),
                            a_strides.1,
                            a_strides.0,
                            b_ref.as_ptr(),
                            b_strides.1,
                            b_strides.0,
                            0.0,
                            1.0,
                            false,
                            false,
                            false,
                            gemm::Parallelism::None,
                        );
                    }),
                ),
            ],
        );
        let at = |i: usize, j: usize, strides: (isize, isize)| {
            i * strides.0 as usize + j * strides.1 as usize
        };
        let want: Vec<f64> = (0..m * n)
            .map(|ij| {
                let term = |l| {
                    let (a, b) = (a[at(ij / n, l, a_strides)], b[at(l, ij % n, b_strides)]);
                    f64::from(a) * f64::from(b)
                };
                (0..k).map(term).sum()
            })
            .collect();
        let greatest = want.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        for (rival, out) in NAMES.iter().zip(&out) {
            let errors = out.iter().zip(&want).map(|(x, y)| f64::from(*x) - y);
            // In this order what is not a number comes last.
            let error = errors.map(f64::abs).max_by(f64::total_cmp).unwrap_or(0.0) / greatest;
            if error.is_nan() || error > TOLERANCE {
                return Err(format!("{rival} is off by {error:.1e} in {name}").into());
            }
        }
        let speed = |seconds: f64| (2 * m * k * n) as f64 / seconds / 1e9;
        print!("{name:<20}");
        for seconds in &seconds {
            let (middle, best) = (speed(median(seconds)), speed(seconds[0]));
            print!("{:>18}", format!("{middle:.1} ({best:.1})"));
        }
        let ratio = |rival: usize| median(&seconds[rival]) / median(&seconds[0]);
        println!("{:>18.2}{:>8.2}", ratio(1), ratio(2));
    }
    Ok(())
}
