//! Each kernel at the sizes of the paper's network, with bytes or multiply-adds a second, so that the
//! distance to the machine's limit can be read off.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drmad::Fused;
use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::momentum::{RowSteps, Step, adjoint, adjoint_rows, step, step_rows};
use drmad::kernels::quantise::{block, decode, encode, words};
use drmad::kernels::sparse::{Row, outer, product, shifted};
use drmad::kernels::{accumulate, activation, adam, interpolate, nesterov, reduce};

/// Weights of 784-50-50-50-10.
const P: usize = 44_860;

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect()
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    let shapes = [
        ("layer 1 forward", Form::Nn, 50, 784, 50),
        ("layer 1 gradient", Form::Tn, 784, 50, 50),
        ("hidden forward", Form::Nn, 50, 50, 50),
        ("hidden gradient", Form::Tn, 50, 50, 50),
        ("hidden backward", Form::Nt, 50, 50, 50),
        ("last forward", Form::Nn, 50, 50, 10),
        ("last backward", Form::Nt, 50, 10, 50),
    ];
    for (name, form, rows, inner, columns) in shapes {
        let shape = MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate: false,
        };
        let (a, b) = (numbers(rows * inner), numbers(inner * columns));
        let mut out = vec![0.0; rows * columns];
        let mut packed = vec![0.0; shape.required_len()];
        group.throughput(Throughput::Elements((rows * inner * columns) as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| shape.run::<Fused, _>(&a, &b, &mut out, &mut packed));
        });
    }
    group.finish();
}

/// The first layer's products on 50 images of 150 lit pixels in runs of six.
fn sparse_products(c: &mut Criterion) {
    let mut group = c.benchmark_group("sparse");
    let (n, lit, inputs, outputs) = (50, 150, 784, 50);
    let indices: Vec<u16> = (0..n * lit)
        .map(|i| (31 * (i % lit / 6) + i % lit % 6 + i / lit % 3) as u16)
        .collect();
    let values = numbers(n * lit);
    let rows = || {
        let rows = indices.chunks_exact(lit).zip(values.chunks_exact(lit));
        rows.map(|(indices, values)| Row { indices, values })
    };
    let (w, mut g) = (numbers(inputs * outputs), numbers(inputs * outputs));
    let (d, mut y) = (numbers(n * outputs), numbers(n * outputs));
    group.throughput(Throughput::Elements((n * lit * outputs) as u64));
    group.bench_function("layer 1 forward", |b| {
        b.iter(|| {
            for (x, y) in rows().zip(y.chunks_exact_mut(outputs)) {
                product::<Fused, _>(x, &w, y);
            }
        });
    });
    group.bench_function("layer 1 gradient", |b| {
        b.iter(|| {
            for (x, d) in rows().zip(d.chunks_exact(outputs)) {
                outer::<Fused, _>(x, d, &mut g);
            }
        });
    });
    group.throughput(Throughput::Elements((inputs * outputs) as u64));
    group.bench_function("shifted bias", |b| {
        b.iter(|| shifted::<Fused, _>(0.13, &w, &d[..outputs], &mut y[..outputs]));
    });
    group.bench_function("the mean's rows", |b| {
        b.iter(|| accumulate::add_to_rows::<Fused, _>(1e-9, &d[..outputs], &mut g));
    });
    group.finish();
}

fn vectors(c: &mut Criterion) {
    let mut group = c.benchmark_group("vectors");
    let by = Step {
        rate: 0.05,
        momentum: 0.95,
    };
    let (x, y) = (numbers(P), numbers(P));
    let (mut v, mut w) = (numbers(P), numbers(P));
    let bytes = |streams: usize| Throughput::Bytes((streams * P * 4) as u64);
    group.throughput(bytes(5));
    group.bench_function("momentum step", |b| {
        b.iter(|| step::<Fused, _>(by, &x, &mut v, &mut w));
    });
    group.bench_function("momentum adjoint", |b| {
        b.iter(|| adjoint::<Fused, _>(by, &x, &mut v, &mut w));
    });
    group.bench_function("nesterov step", |b| {
        b.iter(|| nesterov::step::<Fused, _>(by, &x, &mut v, &mut w));
    });
    // A rate and a momentum for each weight.
    let (each_rate, each_momentum) = (vec![0.05; P], vec![0.95; P]);
    let each = RowSteps {
        columns: 1,
        rates: &each_rate,
        rate_scale: 1.0,
        momenta: &each_momentum,
    };
    group.throughput(bytes(7));
    group.bench_function("momentum step, a rate each", |b| {
        b.iter(|| step_rows::<Fused, _>(each, &x, &mut v, &mut w));
    });
    group.bench_function("momentum adjoint, a rate each", |b| {
        b.iter(|| adjoint_rows::<Fused, _>(each, &x, &mut v, &mut w));
    });
    group.bench_function("nesterov step, a rate each", |b| {
        b.iter(|| nesterov::step_rows::<Fused, _>(each, &x, &mut v, &mut w));
    });
    let mut n = vec![0.5; P];
    let rates = adam::Step::new(9, 0.001, 0.9, 0.999, 1e-8, 0.0).expect("good constants");
    group.bench_function("adam step", |b| {
        b.iter(|| adam::step::<Fused, _>(rates, &x, &mut v, &mut n, &mut w));
    });
    group.throughput(bytes(3));
    group.bench_function("interpolate", |b| {
        b.iter(|| interpolate::between::<Fused, _>(3, 7, &x, &y, &mut w));
    });
    group.bench_function("accumulate", |b| {
        b.iter(|| accumulate::add_scaled::<Fused, _>(1e-9, &x, &mut w));
    });
    group.throughput(bytes(5));
    group.bench_function("bend", |b| {
        let (x, f) = ([&x[..], &y], [&y[..], &x]);
        b.iter(|| interpolate::bend::<Fused, _>([0.1, 0.2], 7, x, f, &mut w));
    });
    group.throughput(bytes(9));
    group.bench_function("combine eight", |b| {
        let eight = numbers(8 * P);
        b.iter(|| accumulate::combine::<Fused, _>(&x[..8], &eight, &mut w));
    });
    let rows = numbers(P / 50);
    group.bench_function("scale rows", |b| {
        b.iter(|| accumulate::scale_rows(50, &rows, &x, &mut w));
    });
    group.throughput(bytes(2));
    group.bench_function("dot", |b| b.iter(|| reduce::dot::<Fused, _>(&x, &y)));
    let mut sums = numbers(P / 50);
    group.bench_function("row dots", |b| {
        b.iter(|| accumulate::add_row_dots::<Fused, _>(50, &x, &y, &mut sums));
    });
    group.throughput(bytes(1));
    group.bench_function("sum", |b| b.iter(|| reduce::sum(&x)));
    group.finish();
}

fn functions(c: &mut Criterion) {
    let mut group = c.benchmark_group("functions");
    let n = 7_500;
    group.throughput(Throughput::Elements(n as u64));
    let x = numbers(n);
    let mut y = numbers(n);
    group.bench_function("tanh", |b| b.iter(|| activation::tanh::<Fused, _>(&mut y)));
    group.bench_function("exp", |b| {
        b.iter(|| activation::exp::<Fused, _>(&x, &mut y));
    });
    group.bench_function("tanh adjoint and its tangent", |b| {
        let (mut d, mut r_d) = (numbers(n), numbers(n));
        b.iter(|| activation::tanh_adjoint_r::<Fused, _>(&x, &y, &mut d, &mut r_d));
    });
    let (mut z, mut p, mut log_sums) = (numbers(500), vec![0.0; 500], vec![0.0; 50]);
    group.throughput(Throughput::Elements(500));
    group.bench_function("softmax", |b| {
        b.iter(|| activation::softmax::<Fused, _>(10, &mut z, &mut p, &mut log_sums));
    });
    group.bench_function("softmax, tangent", |b| {
        let p = vec![0.1; 500];
        b.iter(|| activation::softmax_r::<Fused, _>(10, &p, &mut z));
    });
    group.throughput(Throughput::Elements(block(11) as u64));
    let difference = numbers(block(11));
    let mut code = [0; words(11)];
    group.bench_function("encode in 11 levels", |b| {
        b.iter(|| encode::<11>(&difference, &mut code));
    });
    let mut y = numbers(block(11));
    group.bench_function("decode from 11 levels", |b| {
        b.iter(|| decode::<11, Fused, _>(&code, &mut y));
    });
    group.finish();
}

criterion_group!(benches, products, sparse_products, vectors, functions);
criterion_main!(benches);
