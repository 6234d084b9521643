//! The kernels against their definitions, on every vector level of this processor.

use crate::common::{Noise, bits, on_every_level, wide};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::kernels::matmul::{self, Form, MatMul};
use drmad::kernels::momentum::{self, RowSteps, Step};
use drmad::kernels::nesterov;
use drmad::kernels::quantise::{self, block};
use drmad::kernels::{accumulate, interpolate, reduce};
use drmad::models::Quadratic;
use drmad::objective::{At, Objective, Products};
use drmad::wrap::{Absolute, Penalty, Square, Strength, Term};
use drmad::{Arithmetic, Fused, Plain, Scalar};

/// Rows, inner, columns: single numbers, odd and prime ones, MNIST's layers, more columns than a
/// panel of any level (16, 56), more rows than a tile, and nothing at all.
const SHAPES: [(usize, usize, usize); 19] = [
    (1, 1, 1),
    (1, 5, 1),
    (2, 3, 8),
    (3, 1, 9),
    (4, 7, 56),
    (5, 2, 57),
    (6, 4, 16),
    (7, 3, 57),
    (7, 3, 17),
    (13, 11, 130),
    (25, 33, 113),
    (50, 784, 50),
    (50, 50, 10),
    (784, 50, 50),
    (2, 0, 3),
    (0, 2, 3),
    (2, 3, 0),
    (0, 0, 0),
    (31, 1, 41),
];

fn rows_step_as_each_alone<A: Arithmetic>() {
    let mut noise = Noise(90);
    for (rows, columns) in [(1, 83), (83, 1), (7, 13), (1, 1), (3, 0), (0, 3)] {
        let n = rows * columns;
        let [rates, momenta] = [0.3, 0.5].map(|scale| noise.f32s(rows, scale));
        let momenta: Vec<f32> = momenta.iter().map(|x| x.abs()).collect();
        let [x, y, z] = [(); 3].map(|()| noise.f32s(n, 1.3));
        let rate_scale = 0.7;
        let by = RowSteps {
            columns,
            rates: &rates,
            rate_scale,
            momenta: &momenta,
        };
        type Alone = fn(Step<f32>, &[f32], &mut [f32], &mut [f32]);
        type Together = fn(RowSteps<'_, f32>, &[f32], &mut [f32], &mut [f32]);
        let kernels: [(Alone, Together); 4] = [
            (momentum::step::<A, f32>, momentum::step_rows::<A, f32>),
            (
                momentum::adjoint::<A, f32>,
                momentum::adjoint_rows::<A, f32>,
            ),
            (nesterov::step::<A, f32>, nesterov::step_rows::<A, f32>),
            (
                nesterov::adjoint::<A, f32>,
                nesterov::adjoint_rows::<A, f32>,
            ),
        ];
        for (alone, together) in kernels {
            let (mut y1, mut z1) = (y.clone(), z.clone());
            for r in 0..rows {
                let by = Step {
                    rate: rates[r] * rate_scale,
                    momentum: momenta[r],
                };
                let row = r * columns..(r + 1) * columns;
                alone(by, &x[row.clone()], &mut y1[row.clone()], &mut z1[row]);
            }
            on_every_level(|level| {
                let (mut y2, mut z2) = (y.clone(), z.clone());
                together(by, &x, &mut y2, &mut z2);
                assert_eq!(bits(&y1), bits(&y2), "{rows} x {columns} on {level:?}");
                assert_eq!(bits(&z1), bits(&z2), "{rows} x {columns} on {level:?}");
            });
        }
    }
}

#[test]
fn a_step_of_rows_has_the_bits_of_a_step_of_each_row() {
    rows_step_as_each_alone::<Plain>();
    rows_step_as_each_alone::<Fused>();
}

fn products_equal_the_reference<A: Arithmetic, S: Scalar>(convert: impl Fn(f32) -> S) {
    on_every_level(|level| {
        let mut noise = Noise(3);
        for form in [Form::Nn, Form::Tn, Form::Nt] {
            for (rows, inner, columns) in SHAPES {
                for accumulate in [false, true] {
                    let shape = MatMul {
                        form,
                        rows,
                        inner,
                        columns,
                        accumulate,
                    };
                    let mut draw =
                        |n| -> Vec<S> { noise.f32s(n, 1.0).into_iter().map(&convert).collect() };
                    let (a, b) = (draw(rows * inner), draw(inner * columns));
                    let mut c = draw(rows * columns);
                    // What was in the scratch must not matter.
                    let mut packed = vec![S::from_f64(f64::NAN); shape.required_len()];
                    let mut want = c.clone();
                    matmul::reference::<A, S>(&shape, &a, &b, &mut want).unwrap();
                    shape.run::<A, S>(&a, &b, &mut c, &mut packed).unwrap();
                    for (i, (c, want)) in c.iter().zip(&want).enumerate() {
                        assert!(
                            c.to_f64().to_bits() == want.to_f64().to_bits(),
                            "{} {level:?} {shape:?} element {i}: {c:?}, not {want:?}",
                            A::NAME
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn matrix_products_have_the_bits_of_the_reference() {
    products_equal_the_reference::<Plain, f32>(|x| x);
    products_equal_the_reference::<Fused, f32>(|x| x);
}

#[test]
fn matrix_products_of_f64_have_the_bits_of_the_reference() {
    products_equal_the_reference::<Fused, f64>(f64::from);
}

#[test]
fn the_reference_product_is_the_sum_over_the_inner_index_in_all_three_forms() {
    let (rows, inner, columns) = (3, 4, 5);
    let mut noise = Noise(4);
    let (a, b) = (
        noise.f32s(rows * inner, 1.0),
        noise.f32s(inner * columns, 1.0),
    );
    let transposed = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
        (0..rows * columns)
            .map(|i| x[i % rows * columns + i / rows])
            .collect()
    };
    let mut want = vec![0.0f32; rows * columns];
    for i in 0..rows {
        for j in 0..columns {
            for k in 0..inner {
                want[i * columns + j] += a[i * inner + k] * b[k * columns + j];
            }
        }
    }
    for (form, a, b) in [
        (Form::Nn, a.clone(), b.clone()),
        (Form::Tn, transposed(&a, rows, inner), b.clone()),
        (Form::Nt, a.clone(), transposed(&b, inner, columns)),
    ] {
        let shape = MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate: false,
        };
        let mut c = vec![f32::NAN; rows * columns];
        matmul::reference::<Plain, _>(&shape, &a, &b, &mut c).unwrap();
        assert_eq!(bits(&c), bits(&want), "{form:?}");
    }
}

#[test]
fn a_product_in_pieces_of_the_inner_index_has_the_bits_of_the_whole() {
    let (rows, inner, columns) = (7, 12, 11);
    let mut noise = Noise(5);
    let (a, b) = (
        noise.f32s(inner * rows, 1.0),
        noise.f32s(inner * columns, 1.0),
    );
    on_every_level(|level| {
        let product = |inner, accumulate| MatMul {
            form: Form::Tn,
            rows,
            inner,
            columns,
            accumulate,
        };
        let mut packed = vec![0.0; product(inner, false).required_len()];
        let (mut whole, mut pieces) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
        product(inner, false)
            .run::<Fused, _>(&a, &b, &mut whole, &mut packed)
            .unwrap();
        for from in (0..inner).step_by(5) {
            let to = (from + 5).min(inner);
            product(to - from, from > 0)
                .run::<Fused, _>(
                    &a[from * rows..to * rows],
                    &b[from * columns..to * columns],
                    &mut pieces,
                    &mut packed,
                )
                .unwrap();
        }
        assert_eq!(bits(&whole), bits(&pieces), "{level:?}");
    });
}

/// Element `i` goes to lane `i % 32`; then the lanes are folded in halves.
fn lanes_and_tree(n: usize, add: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 32];
    for i in 0..n {
        lanes[i % 32] = add(i, lanes[i % 32]);
    }
    for half in [16, 8, 4, 2, 1] {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
    }
    lanes[0]
}

const LENGTHS: [usize; 9] = [0, 1, 2, 31, 32, 33, 64, 95, 1000];

#[test]
fn sums_and_dot_products_have_the_bits_of_their_lanes_and_tree() {
    on_every_level(|level| {
        let mut noise = Noise(6);
        for n in LENGTHS {
            let (x, y) = (noise.f32s(n, 1.0), noise.f32s(n, 3.0));
            let sum = lanes_and_tree(n, |i, lane| lane + x[i]);
            let plain = lanes_and_tree(n, |i, lane| x[i] * y[i] + lane);
            let fused = lanes_and_tree(n, |i, lane| x[i].mul_add(y[i], lane));
            let got = [
                reduce::sum(&x),
                reduce::dot::<Plain, _>(&x, &y),
                reduce::dot::<Fused, _>(&x, &y),
            ];
            assert_eq!(bits(&got), bits(&[sum, plain, fused]), "{level:?} {n}");
        }
    });
}

#[test]
fn a_dot_product_works_on_the_shorter_of_two_vectors() {
    let x = Noise(7).f32s(50, 1.0);
    assert_eq!(
        reduce::dot::<Fused, _>(&x, &x[..33]).to_bits(),
        reduce::dot::<Fused, _>(&x[..33], &x).to_bits()
    );
    assert_eq!(
        reduce::dot::<Fused, _>(&x, &x[..33]).to_bits(),
        reduce::dot::<Fused, _>(&x[..33], &x[..33]).to_bits()
    );
}

#[test]
fn one_number_that_is_not_finite_is_found_wherever_it_stands() {
    on_every_level(|level| {
        for n in LENGTHS {
            let mut x = vec![f32::MAX; n];
            assert!(reduce::all_finite(&x), "{level:?} {n}");
            for i in 0..n {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[i] = bad;
                    assert!(!reduce::all_finite(&x), "{level:?} {n} {i}");
                }
                x[i] = -f32::MAX;
            }
        }
    });
}

#[test]
fn cosine_and_norm_are_those_of_float64() {
    let (x, y) = (Noise(8).f32s(100, 1.0), Noise(9).f32s(100, 1.0));
    let dot =
        |x: &[f32], y: &[f32]| -> f64 { wide(x).iter().zip(wide(y)).map(|(x, y)| x * y).sum() };
    let cosine = dot(&x, &y) / (dot(&x, &x).sqrt() * dot(&y, &y).sqrt());
    assert!((reduce::cosine(&x, &y) - cosine).abs() <= SAME_FORMULA_F64);
    assert!((reduce::norm(&x) - dot(&x, &x).sqrt()).abs() <= SAME_FORMULA_F64 * 10.0);
    assert_eq!(reduce::cosine(&x, &[0.0; 100]), 0.0);
    // 3, 4 and 5 at either end of the numbers; in f64 their squares do not exist.
    for unit in [
        f64::from_bits(1),
        1e-320,
        1e-200,
        1e-160,
        1e160,
        1e200,
        1e307,
    ] {
        let (x, y) = ([3.0 * unit, 4.0 * unit], [4.0 * unit, -3.0 * unit]);
        let off = reduce::norm(&x) / unit / 5.0 - 1.0;
        assert!(off.abs() <= SAME_FORMULA_F64, "{unit:e}: off by {off:e}");
        // The unit may be rounded, as 1e-320 is.
        let one = reduce::cosine(&x, &x);
        assert!((one - 1.0).abs() <= SAME_FORMULA_F64, "{unit:e}: {one}");
        assert_eq!(reduce::cosine(&x, &y), 0.0, "{unit:e}");
    }
    for unit in [f32::from_bits(1), f32::MIN_POSITIVE, (2.0f32).powi(125)] {
        assert_eq!(
            reduce::norm(&[3.0 * unit, 4.0 * unit]),
            5.0 * f64::from(unit)
        );
    }
    assert_eq!(reduce::norm::<f64>(&[]), 0.0);
    assert_eq!(reduce::norm(&[f64::INFINITY, 1.0]), f64::INFINITY);
    assert!(reduce::norm(&[1.0, f64::NAN]).is_nan());
}

/// With zeros of both signs.
fn two_ends(n: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut x0, mut x1) = (Noise(10).f32s(n, 1.0), Noise(11).f32s(n, 1.0));
    // Beside an end of -0 a positive number, whose share of 0 would make it +0.
    (x0[0], x1[0]) = (-0.0, 1.0);
    (x0[1], x1[1]) = (1.0, -0.0);
    (x0[2], x1[2]) = (0.0, -0.0);
    (x0, x1)
}

fn meets_both_ends<A: Arithmetic>() {
    let (x0, x1) = two_ends(70);
    on_every_level(|level| {
        for n in [1, 2, 3, 7, 1000] {
            let mut y = vec![f32::NAN; 70];
            interpolate::between::<A, _>(0, n, &x0, &x1, &mut y);
            assert_eq!(bits(&y), bits(&x0), "{level:?}");
            for beyond in [0, 1, 1000] {
                interpolate::between::<A, _>(n + beyond, n, &x0, &x1, &mut y);
                assert_eq!(bits(&y), bits(&x1), "{level:?}");
            }
        }
    });
}

#[test]
fn interpolation_meets_both_ends_bit_for_bit_signed_zeros_included() {
    meets_both_ends::<Plain>();
    meets_both_ends::<Fused>();
}

#[test]
fn interpolation_is_one_product_and_one_multiply_add_with_weights_from_integers() {
    let (x0, x1) = two_ends(70);
    on_every_level(|level| {
        for (i, n) in [(1, 2), (1, 3), (2, 3), (999, 1000)] {
            let (a, b) = ((n - i) as f32 / n as f32, i as f32 / n as f32);
            let (mut plain, mut fused) = (vec![0.0; 70], vec![0.0; 70]);
            interpolate::between::<Plain, _>(i, n, &x0, &x1, &mut plain);
            interpolate::between::<Fused, _>(i, n, &x0, &x1, &mut fused);
            for j in 0..70 {
                assert_eq!(
                    plain[j].to_bits(),
                    (b * x1[j] + a * x0[j]).to_bits(),
                    "{level:?}"
                );
                assert_eq!(
                    fused[j].to_bits(),
                    b.mul_add(x1[j], a * x0[j]).to_bits(),
                    "{level:?}"
                );
            }
        }
    });
}

/// A step, and what it should be in float64 with the size that its error is relative to.
fn momentum_agrees<A: Arithmetic>() {
    let n = 101;
    let by = Step {
        rate: 0.3f32,
        momentum: 0.9,
    };
    let (rate, gamma) = (f64::from(by.rate), f64::from(by.momentum));
    on_every_level(|level| {
        let mut noise = Noise(12);
        let (g, v0, w0) = (noise.f32s(n, 2.0), noise.f32s(n, 1.0), noise.f32s(n, 1.0));
        let (mut v, mut w) = (v0.clone(), w0.clone());
        momentum::step::<A, _>(by, &g, &mut v, &mut w);
        let (d_w, d_v0) = (&g, &v0);
        let (mut d_v, mut d_g) = (d_v0.clone(), vec![f32::NAN; n]);
        momentum::adjoint::<A, _>(by, d_w, &mut d_v, &mut d_g);
        for i in 0..n {
            let close = |what: &str, got: f32, want: f64, size: f64| {
                let error = (f64::from(got) - want).abs();
                assert!(
                    error <= MOMENTUM_F32 * size,
                    "{} {level:?} {what} {i}: {got}, not {want}",
                    A::NAME
                );
            };
            let (g, v0, w0) = (f64::from(g[i]), f64::from(v0[i]), f64::from(w0[i]));
            let want = gamma * v0 - (1.0 - gamma) * g;
            close("v", v[i], want, v0.abs() + g.abs());
            close("w", w[i], w0 + rate * want, w0.abs() + v0.abs() + g.abs());
            let d = v0 + rate * g;
            close("d_v", d_v[i], gamma * d, v0.abs() + g.abs());
            close("d_g", d_g[i], -(1.0 - gamma) * d, v0.abs() + g.abs());
        }
    });
}

#[test]
fn momentum_step_and_adjoint_are_those_of_float64_to_four_roundings() {
    momentum_agrees::<Plain>();
    momentum_agrees::<Fused>();
}

#[test]
fn the_momentum_adjoint_is_the_transpose_of_the_step() {
    // <d_v, dv'> + <d_w, dw'> = <back(d_v), dv> + <d_g, dg> + <d_w, dw> for any perturbation.
    let by = Step {
        rate: 0.3,
        momentum: 0.8,
    };
    let mut noise = Noise(13);
    let n = 20;
    let (g, v, w) = (noise.f64s(n, 1.0), noise.f64s(n, 1.0), noise.f64s(n, 1.0));
    let (d_v, d_w) = (noise.f64s(n, 1.0), noise.f64s(n, 1.0));
    // The step is linear: it is its own derivative.
    let (mut v1, mut w1) = (v.clone(), w.clone());
    momentum::step::<Plain, f64>(by, &g, &mut v1, &mut w1);
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    let forward = dot(&d_v, &v1) + dot(&d_w, &w1);
    let (mut back, mut d_g) = (d_v.clone(), vec![0.0; n]);
    momentum::adjoint::<Plain, f64>(by, &d_w, &mut back, &mut d_g);
    let backward = dot(&back, &v) + dot(&d_g, &g) + dot(&d_w, &w);
    assert!((forward - backward).abs() <= SAME_FORMULA_F64 * n as f64);
}

fn round_trip<const LEVELS: u32>() {
    let m = (LEVELS / 2) as f32;
    on_every_level(|level| {
        let mut noise = Noise(14);
        for n in [0, 1, 2, 7, 33, block(LEVELS) - 1, block(LEVELS)] {
            for scale in [1e-30f32, 1e-3, 1.0, 1e30] {
                let x = noise.f32s(n, scale);
                let top = x.iter().fold(0.0, |top: f32, x| top.max(x.abs()));
                let step = f64::from(top / m);
                let mut code = vec![u32::MAX; quantise::words(LEVELS)];
                quantise::encode::<LEVELS>(&x, &mut code);
                let mut y = vec![0.0f32; n];
                quantise::decode::<LEVELS, Plain, _>(&code, &mut y);
                for (x, y) in x.iter().zip(&y) {
                    let error = (f64::from(*x) - f64::from(*y)).abs();
                    assert!(
                        error <= HALF_A_STEP * step,
                        "{LEVELS} levels, {level:?}, {n} of scale {scale}: {x} came back as {y}"
                    );
                    if x.abs() == top {
                        assert!(
                            error <= 4.0 * F32_ROUNDING * f64::from(top),
                            "the greatest has a code of its own: {x}, {y}"
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn quantised_numbers_come_back_within_half_a_step() {
    round_trip::<3>();
    round_trip::<7>();
    round_trip::<11>();
    round_trip::<15>();
    round_trip::<255>();
}

fn nothing_comes_back<const LEVELS: u32>() {
    for tiny in [
        0.0,
        -0.0,
        f32::from_bits(1),
        -f32::from_bits(1),
        f32::MIN_POSITIVE,
    ] {
        let mut code = vec![u32::MAX; quantise::words(LEVELS)];
        quantise::encode::<LEVELS>(&vec![tiny; block(LEVELS)], &mut code);
        let mut y = vec![0.0f32; block(LEVELS)];
        quantise::decode::<LEVELS, Fused, _>(&code, &mut y);
        assert!(
            y.iter().all(|y| y.abs() <= tiny.abs()),
            "{LEVELS} levels: {tiny:e} came back as {:e}",
            y[0]
        );
    }
}

#[test]
fn blocks_of_zeros_and_of_subnormals_come_back_as_next_to_nothing() {
    nothing_comes_back::<3>();
    nothing_comes_back::<7>();
    nothing_comes_back::<11>();
    nothing_comes_back::<15>();
    nothing_comes_back::<255>();
}

#[test]
fn decoding_adds_to_what_is_there() {
    let mut code = vec![0; quantise::words(255)];
    quantise::encode::<255>(&[127.0, -64.0, 3.0], &mut code);
    let mut y = [1.0f32, 2.0, -3.0];
    quantise::decode::<255, Plain, _>(&code, &mut y);
    assert_eq!(y, [128.0, -62.0, 0.0]);
}

/// Rows and columns of the row kernels, 1 x n and n x 1 among them.
const ROWS: [(usize, usize); 7] = [
    (1, 1),
    (1, 70),
    (70, 1),
    (1030, 1),
    (3, 33),
    (33, 3),
    (0, 4),
];

fn row_kernels_are_their_loops<A: Arithmetic>() {
    on_every_level(|level| {
        let mut noise = Noise(15);
        for (rows, columns) in ROWS {
            let what = format!("{} {level:?} {rows} x {columns}", A::NAME);
            let n = rows * columns;
            let (a, x, y0) = (
                noise.f32s(rows, 1.0),
                noise.f32s(n, 1.0),
                noise.f32s(n, 1.0),
            );
            let of = |i: usize| a[i / columns];
            let each =
                |f: &dyn Fn(usize) -> f32| -> Vec<u32> { (0..n).map(|i| f(i).to_bits()).collect() };

            let mut y = y0.clone();
            accumulate::scale_rows(columns, &a, &x, &mut y);
            assert_eq!(bits(&y), each(&|i| of(i) * x[i]), "scale_rows {what}");
            let mut y = y0.clone();
            accumulate::scale_rows_in_place(columns, &a, &mut y);
            let want = each(&|i| of(i) * y0[i]);
            assert_eq!(bits(&y), want, "scale_rows_in_place {what}");
            accumulate::scale(0.3, &x, &mut y);
            assert_eq!(bits(&y), each(&|i| 0.3 * x[i]), "scale {what}");

            let mut y = y0.clone();
            accumulate::add_scaled_rows::<A, _>(columns, &a, &x, &mut y);
            let want = each(&|i| A::mul_add(of(i), x[i], y0[i]));
            assert_eq!(bits(&y), want, "add_scaled_rows {what}");
            let mut y = y0.clone();
            accumulate::add_scaled::<A, _>(0.3, &x, &mut y);
            let want = each(&|i| A::mul_add(0.3, x[i], y0[i]));
            assert_eq!(bits(&y), want, "add_scaled {what}");

            let (d, g) = (noise.f32s(n, 1.0), noise.f32s(n, 1.0));
            let of = accumulate::Factors {
                d: &d,
                g: &g,
                z: &x,
                h_u: &y0,
            };
            let (mut m, mut h_d) = (a.clone(), g.clone());
            accumulate::add_scaled_products::<A, _>(columns, &a, of, &mut h_d, &mut m);
            let want = each(&|i| A::mul_add(a[i / columns], y0[i], g[i]));
            assert_eq!(bits(&h_d), want, "add_scaled_products, h_d {what}");
            for r in 0..rows {
                let both = |i: usize, sum| A::mul_add(x[i], y0[i], A::mul_add(d[i], g[i], sum));
                let want = if columns == 1 {
                    both(r, a[r])
                } else {
                    a[r] + lanes_and_tree(columns, |i, lane| both(r * columns + i, lane))
                };
                assert_eq!(
                    m[r].to_bits(),
                    want.to_bits(),
                    "add_scaled_products, m {what}"
                );
            }

            let row = |r: usize| r * columns..(r + 1) * columns;
            let mut h = a.clone();
            accumulate::add_row_dots::<A, _>(columns, &x, &y0, &mut h);
            for r in 0..rows {
                // A row of one is a multiply-add, any other the sum of a dot product.
                let want = if columns == 1 {
                    A::mul_add(x[r], y0[r], a[r])
                } else {
                    a[r] + lanes_and_tree(columns, |i, lane| {
                        A::mul_add(x[row(r)][i], y0[row(r)][i], lane)
                    })
                };
                assert_eq!(h[r].to_bits(), want.to_bits(), "add_row_dots {what}");
            }
            let mut h = a.clone();
            accumulate::add_row_sums(columns, &x, &mut h);
            for r in 0..rows {
                let sum = lanes_and_tree(columns, |i, lane| lane + x[row(r)][i]);
                assert_eq!(
                    h[r].to_bits(),
                    (a[r] + sum).to_bits(),
                    "add_row_sums {what}"
                );
            }

            let start = noise.f32s(columns, 1.0);
            let mut sums = start.clone();
            accumulate::add_rows(&x, &mut sums);
            let mut want = start;
            for r in 0..rows {
                for c in 0..columns {
                    want[c] += x[r * columns + c];
                }
            }
            assert_eq!(bits(&sums), bits(&want), "add_rows {what}");
        }
    });
}

#[test]
fn row_kernels_have_the_bits_of_their_loops() {
    row_kernels_are_their_loops::<Plain>();
    row_kernels_are_their_loops::<Fused>();
}

/// A tuned penalty by row, and a fixed one, on a loss that is 0 everywhere. `r` and `slope` are its
/// function and the derivative of that, `curvature` the second one.
fn penalties_are_their_loops<A: Arithmetic, R: Term>(
    r: fn(f32) -> f32,
    slope: fn(f32) -> f32,
    curvature: f32,
) {
    on_every_level(|level| {
        let mut noise = Noise(16);
        for (rows, columns) in ROWS {
            let (n, widths) = (rows * columns, [rows, columns]);
            let what = format!("{} {} {level:?} {rows} x {columns}", R::NAME, A::NAME);
            // The biases are in no group.
            let p = n + columns;
            let (w, d, c) = (
                noise.f32s(p, 1.0),
                noise.f32s(p, 1.0),
                noise.f32s(rows, 1.0),
            );
            let by = |by| Groups {
                layout: Layout::Layers(&widths),
                by,
                biases: false,
            };
            let flat = vec![0.0; p];
            let inner = || Quadratic::<A>::new(&flat);
            let tuned = Strength::Tuned(by(Granularity::Unit));
            let fixed = Strength::Fixed(0.3, by(Granularity::Parameter));
            let one = [0.3];
            for (strength, c, columns) in [(tuned, &c[..], columns), (fixed, &one[..], n)] {
                let penalty = Penalty::<_, R>::new(inner(), strength);
                let is_fixed = strength == fixed;
                let own = if is_fixed { &[][..] } else { c };
                let h = [&flat[..], own].concat();
                let (mut g, mut m_d) = (vec![0.0; p], vec![0.0; h.len()]);
                let (mut d_h, mut h_d) = (m_d.clone(), g.clone());
                let len = (penalty.scratch_len())
                    .max(penalty.loss_scratch_len())
                    .max(penalty.second_order_scratch_len());
                let mut scratch = vec![f32::NAN; len];
                let at = At {
                    w: &w,
                    h: &h,
                    batch: &[],
                };
                let loss = penalty.gradient(at, &mut g, Some(&mut d_h), &mut scratch);
                let same = penalty.loss(at, &mut scratch).unwrap();
                let mut beside = vec![0.0; p];
                let out = Products {
                    g: Some(&mut beside),
                    h_d: &mut h_d,
                    m_d: &mut m_d,
                };
                penalty.second_order(at, &d, out, &mut scratch).unwrap();

                let of = |i: usize| if i < n { c[i / columns.max(1)] } else { 0.0 };
                let each = |f: &dyn Fn(usize) -> f32| -> Vec<f32> { (0..p).map(f).collect() };
                let want = each(&|i| A::mul_add(of(i), slope(w[i]), 0.0));
                assert_eq!(g, want, "gradient of {what}");
                assert_eq!(beside, want, "gradient beside the products of {what}");
                let want = each(&|i| A::mul_add(of(i), curvature * d[i], 0.0));
                assert_eq!(h_d, want, "H d of {what}");
                // A row of one is a sum by itself.
                let rows_of = |add: &dyn Fn(usize, f32) -> f32| -> Vec<f32> {
                    let row =
                        |j: usize| lanes_and_tree(columns, |i, lane| add(j * columns + i, lane));
                    (0..c.len()).map(row).collect()
                };
                let sums = rows_of(&|i, lane| lane + r(w[i]));
                let want = lanes_and_tree(c.len(), |j, lane| A::mul_add(c[j], sums[j], lane));
                assert_eq!(loss, Ok(want), "{what}");
                assert_eq!(same, want, "loss alone of {what}");
                if !is_fixed {
                    assert_eq!(d_h[p..], sums, "by coefficients of {what}");
                    let want = rows_of(&|i, lane| A::mul_add(slope(w[i]), d[i], lane));
                    assert_eq!(m_d[p..], want, "M d of {what}");
                }
            }
        }
    });
}

#[test]
fn penalties_have_the_bits_of_their_loops() {
    penalties_are_their_loops::<Plain, Square>(|w| w * w, |w| w + w, 2.0);
    penalties_are_their_loops::<Fused, Square>(|w| w * w, |w| w + w, 2.0);
    penalties_are_their_loops::<Plain, Absolute>(f32::abs, f32::signum, 0.0);
    penalties_are_their_loops::<Fused, Absolute>(f32::abs, f32::signum, 0.0);
}

#[test]
fn kernels_work_on_the_shortest_of_their_slices() {
    let x = [1.0f32, 2.0, 3.0];
    let mut y = [0.0f32; 2];
    accumulate::add_scaled::<Fused, _>(1.0, &x, &mut y);
    assert_eq!(y, [1.0, 2.0]);
    let mut y = [0.0f32; 5];
    accumulate::scale(2.0, &x, &mut y);
    assert_eq!(y, [2.0, 4.0, 6.0, 0.0, 0.0]);
    accumulate::scale_rows(2, &[1.0, 1.0], &x, &mut y);
    assert_eq!(y, [1.0, 2.0, 6.0, 0.0, 0.0]);
    accumulate::add_rows(&x, &mut [] as &mut [f32]);
    accumulate::add_row_sums(0, &x, &mut y);
    quantise::encode::<15>(&x, &mut []);
    quantise::decode::<15, Fused, f32>(&[], &mut y);
}
