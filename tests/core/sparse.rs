//! Sparse rows: their products against the dense ones bit for bit, and a network on them against the
//! same network on whole images.

use crate::common::{
    BATCH, Noise, assert_each_above, assert_each_close, bits, keeps_the_identities, on_every_level,
};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::kernels::accumulate::add_to_rows;
use drmad::kernels::matmul::{self, Form, MatMul};
use drmad::kernels::sparse::{Row, outer, product, shifted};
use drmad::models::{
    Beside, Examples, LearnedInputs, Mlp, Pixels, Smoothed, SparseImages, SparsePixels, Weighted,
};
use drmad::objective::{At, Objective, Products};
use drmad::wrap::Scaled;
use drmad::{Arithmetic, Error, Fused, Plain, Scalar};

const MEAN: f32 = 0.13;

/// Rows of numbers of which four in five are zero, dense and as lists.
struct Sparse<S> {
    dense: Vec<S>,
    lists: Vec<(Vec<u16>, Vec<S>)>,
}

impl<S: Scalar> Sparse<S> {
    fn draw(rows: usize, width: usize, convert: impl Fn(f32) -> S) -> Self {
        let mut noise = Noise(7);
        let mut dense = Vec::new();
        let mut lists = Vec::new();
        for _ in 0..rows {
            let (mut indices, mut values) = (vec![], vec![]);
            for i in 0..width {
                let x = if noise.number() > 0.6 {
                    convert(noise.number())
                } else {
                    S::ZERO
                };
                dense.push(x);
                if x != S::ZERO {
                    indices.push(i as u16);
                    values.push(x);
                }
            }
            lists.push((indices, values));
        }
        Sparse { dense, lists }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_, S>> {
        let row = |(indices, values)| Row { indices, values };
        self.lists
            .iter()
            .map(move |(indices, values)| row((&indices[..], &values[..])))
    }
}

fn products_are_the_dense_ones<A: Arithmetic, S: Scalar>(convert: impl Fn(f32) -> S + Copy) {
    let (rows, inputs) = (9, 61);
    let x = Sparse::draw(rows, inputs, convert);
    on_every_level(|level| {
        for columns in [1, 2, 7, 8, 9, 15, 16, 33, 50, 55, 56, 57, 63, 64, 130] {
            let mut noise = Noise(8);
            let mut draw = |n| -> Vec<S> { noise.f32s(n, 1.0).into_iter().map(convert).collect() };
            let what = format!("{} {level:?} {columns} columns", A::NAME);
            let dense = |form| MatMul {
                form,
                rows: if form == Form::Tn { inputs } else { rows },
                inner: if form == Form::Tn { rows } else { inputs },
                columns,
                accumulate: true,
            };

            let (w, mut y) = (draw(inputs * columns), draw(rows * columns));
            let mut want = y.clone();
            matmul::reference::<A, S>(&dense(Form::Nn), &x.dense, &w, &mut want).unwrap();
            for (x, y) in x.rows().zip(y.chunks_exact_mut(columns)) {
                product::<A, S>(x, &w, y);
            }
            assert!(check_equal(&y, &want), "product, {what}");

            let (d, mut g) = (draw(rows * columns), draw(inputs * columns));
            let mut want = g.clone();
            matmul::reference::<A, S>(&dense(Form::Tn), &x.dense, &d, &mut want).unwrap();
            for (x, d) in x.rows().zip(d.chunks_exact(columns)) {
                outer::<A, S>(x, d, &mut g);
            }
            assert!(check_equal(&g, &want), "outer, {what}");

            let (mean, bias, mut start) = (convert(0.37), draw(columns), draw(columns));
            shifted::<A, S>(mean, &w, &bias, &mut start);
            for (c, start) in start.iter().enumerate() {
                let sum = w[c..].iter().step_by(columns).fold(S::ZERO, |s, w| s + *w);
                let want = A::mul_add(-mean, sum, bias[c]);
                assert!(check_equal(&[*start], &[want]), "shifted, {what}");
            }
            let mut moved = g.clone();
            add_to_rows::<A, S>(mean, &bias, &mut moved);
            for (i, moved) in moved.iter().enumerate() {
                let want = A::mul_add(mean, bias[i % columns], g[i]);
                assert!(check_equal(&[*moved], &[want]), "rows, {what}");
            }
        }
    });
}

/// Equal bit for bit: `f32` is exact in `f64`.
fn check_equal<S: Scalar>(a: &[S], b: &[S]) -> bool {
    let bits = |x: &[S]| -> Vec<u64> { x.iter().map(|x| x.to_f64().to_bits()).collect() };
    bits(a) == bits(b)
}

#[test]
fn sparse_products_have_the_bits_of_the_dense_ones_on_every_level() {
    products_are_the_dense_ones::<Plain, f32>(|x| x);
    products_are_the_dense_ones::<Fused, f32>(|x| x);
    products_are_the_dense_ones::<Plain, f64>(f64::from);
    products_are_the_dense_ones::<Fused, f64>(f64::from);
}

#[test]
fn an_index_without_a_row_is_skipped() {
    for columns in [1, 8, 20] {
        let x = Row {
            indices: &[1, 3, u16::MAX],
            values: &[1.0f32; 3],
        };
        let (w, d) = (vec![1.0; 3 * columns], vec![2.0; columns]);
        let (mut y, mut g) = (vec![0.5; columns], vec![0.5; 3 * columns]);
        product::<Fused, _>(x, &w, &mut y);
        assert_eq!(y, vec![1.5; columns]);
        outer::<Fused, _>(x, &d, &mut g);
        let [row, other] = [2.5, 0.5].map(|g| vec![g; columns]);
        assert_eq!(g, [&other[..], &row, &other].concat());
    }
    product::<Fused, f32>(Row::default(), &[], &mut []);
    outer::<Fused, f32>(Row::default(), &[], &mut []);
}

/// Images of `WIDTH` bytes, dense and listed: one all zero, one all 255, one with a lit byte at
/// either end, and others a fifth of whose bytes are lit.
struct Images {
    bytes: Vec<u8>,
    labels: Vec<u8>,
    starts: Vec<u32>,
    indices: Vec<u16>,
    lit: Vec<u8>,
}

const WIDTH: usize = 23;
const LAYERS: &[usize] = &[WIDTH, 9, 5, 3];
/// Every image once, in another order, and one of them twice.
const CHOSEN: &[u32] = &[3, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 5];
const ALL: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];

impl Images {
    fn new() -> Self {
        let mut noise = Noise(5);
        let mut bytes = vec![0; WIDTH];
        bytes.extend([255; WIDTH]);
        let mut ends = [0; WIDTH];
        (ends[0], ends[WIDTH - 1]) = (1, 200);
        bytes.extend(ends);
        for _ in 0..11 * WIDTH {
            let lit = noise.number() > 0.6;
            bytes.push(if lit { noise.word() as u8 } else { 0 });
        }
        let n = SparseImages::required_len(&bytes);
        let (mut starts, mut indices, mut lit) = (vec![9; 15], vec![9; n], vec![9; n]);
        SparseImages::pack(WIDTH, &bytes, &mut starts, &mut indices, &mut lit).unwrap();
        Images {
            bytes,
            labels: (0..14).map(|i| i % 3).collect(),
            starts,
            indices,
            lit,
        }
    }

    fn dense(&self, mean: f32) -> Pixels<'_> {
        Pixels {
            bytes: &self.bytes,
            labels: &self.labels,
            width: WIDTH,
            chosen: CHOSEN,
            mean,
        }
    }

    fn sparse(&self, mean: f32) -> SparsePixels<'_> {
        SparsePixels {
            images: SparseImages::new(WIDTH, &self.starts, &self.indices, &self.lit).unwrap(),
            labels: &self.labels,
            chosen: CHOSEN,
            mean,
        }
    }
}

fn network<D: Examples, A: Arithmetic>(examples: D, microbatch: usize) -> Mlp<'static, D, A> {
    Mlp::new(examples, LAYERS, microbatch).unwrap()
}

#[test]
fn listed_images_are_the_whole_ones() {
    let images = Images::new();
    let (dense, sparse) = (images.dense(MEAN), images.sparse(MEAN));
    assert_eq!((sparse.len(), sparse.inputs()), (dense.len(), WIDTH));
    assert_eq!((dense.sparse(), sparse.sparse()), (None, Some(MEAN)));
    let mut x = [[f32::NAN; WIDTH]; 2];
    for i in ALL {
        dense.gather::<Plain, _>(&[*i], &mut x[0]).unwrap();
        sparse.gather::<Plain, _>(&[*i], &mut x[1]).unwrap();
        assert_eq!(bits(&x[0]), bits(&x[1]), "{i}");
        assert_eq!(dense.label(*i), sparse.label(*i));

        let indices = sparse.indices(*i).unwrap();
        images
            .dense(0.0)
            .gather::<Fused, _>(&[*i], &mut x[0])
            .unwrap();
        x[1].fill(f32::NAN);
        sparse.values::<Fused, _>(*i, &mut x[1]).unwrap();
        let lit: Vec<usize> = (0..WIDTH).filter(|k| x[0][*k] != 0.0).collect();
        assert!(
            lit.iter().eq(indices
                .iter()
                .map(|k| usize::from(*k))
                .collect::<Vec<_>>()
                .iter())
        );
        let values: Vec<f32> = lit.iter().map(|k| x[0][*k]).collect();
        assert_eq!(bits(&x[1][..lit.len()]), bits(&values), "{i}");
    }
    // The empty image and the full one are examples 1 and 2.
    assert_eq!([1, 2].map(|i| sparse.indices(i).unwrap().len()), [0, WIDTH]);
}

/// Loss, gradient, `H d`, the gradient beside it, and predictions of the first examples.
fn all_of<O, D, A, S>(net: &Mlp<'static, D, A>, objective: &O, batch: &[u32]) -> [Vec<S>; 5]
where
    O: Objective,
    D: Examples,
    A: Arithmetic,
    S: Scalar,
{
    let convert = |x: Vec<f32>| -> Vec<S> { x.into_iter().map(S::from_f32).collect() };
    let p = objective.weights();
    let (w, d) = (
        convert(Noise(1).f32s(p, 0.7)),
        convert(Noise(2).f32s(p, 1.0)),
    );
    let h = convert(Noise(3).f32s(objective.hypers(), 0.5));
    let at = At {
        w: &w,
        h: &h,
        batch,
    };
    let nan = S::from_f64(f64::NAN);
    let mut scratch = vec![nan; objective.loss_scratch_len()];
    let mut loss = vec![objective.loss(at, &mut scratch).unwrap()];
    let (mut g, mut beside) = (vec![nan; p], vec![nan; p]);
    let mut scratch = vec![nan; objective.scratch_len()];
    loss.push(objective.gradient(at, &mut g, None, &mut scratch).unwrap());
    let (mut h_d, mut m_d) = (convert(Noise(4).f32s(p, 1.0)), vec![S::ZERO; h.len()]);
    let mut scratch = vec![nan; objective.second_order_scratch_len()];
    let out = Products {
        g: Some(&mut beside),
        h_d: &mut h_d,
        m_d: &mut m_d,
    };
    objective.second_order(at, &d, out, &mut scratch).unwrap();
    let mut predictions = vec![nan; 3];
    let mut scratch = vec![nan; net.scratch_len()];
    net.predict(&w, &batch[..1], &mut predictions, &mut scratch)
        .unwrap();
    [loss, g, beside, h_d, predictions]
}

fn network_of_mean_0<A: Arithmetic>() {
    let images = Images::new();
    on_every_level(|level| {
        for microbatch in [1, 4, 15, 40] {
            let dense = network::<_, A>(images.dense(0.0), microbatch);
            let sparse = network::<_, A>(images.sparse(0.0), microbatch);
            let dense = all_of::<_, _, _, f32>(&dense, &dense, ALL);
            let sparse = all_of::<_, _, _, f32>(&sparse, &sparse, ALL);
            for (dense, sparse) in dense.iter().zip(&sparse) {
                assert_eq!(
                    bits(dense),
                    bits(sparse),
                    "{level:?}, pieces of {microbatch}"
                );
            }
        }
    });
}

#[test]
fn without_a_mean_a_network_has_the_bits_of_the_dense_one_on_every_level() {
    network_of_mean_0::<Plain>();
    network_of_mean_0::<Fused>();
}

fn network_of_a_mean<A: Arithmetic>() {
    let images = Images::new();
    for microbatch in [1, 4, 15] {
        let net = network::<_, A>(images.dense(MEAN), microbatch);
        let want = all_of::<_, _, _, f64>(&net, &net, ALL);
        let net = network::<_, A>(images.sparse(MEAN), microbatch);
        let (got, short) = (
            all_of::<_, _, _, f64>(&net, &net, ALL),
            all_of::<_, _, _, f32>(&net, &net, ALL),
        );
        for ((got, short), want) in got.iter().zip(&short).zip(&want) {
            assert_each_close("in f64", got, want, SAME_FORMULA_F64);
            assert_each_above("in f32", short, want, FLOOR_F32, SAME_FORMULA_F32);
        }
    }
}

#[test]
fn with_a_mean_a_network_agrees_with_dense_centred_inputs() {
    network_of_a_mean::<Plain>();
    network_of_a_mean::<Fused>();
}

#[test]
fn pieces_change_no_bit_of_loss_and_gradient() {
    let images = Images::new();
    let of = |microbatch| {
        let net = network::<_, Fused>(images.sparse(MEAN), microbatch);
        all_of::<_, _, _, f32>(&net, &net, ALL)
    };
    let [loss, g, beside, _, predictions] = of(15);
    assert_eq!(bits(&g), bits(&beside));
    for microbatch in [1, 2, 7, 100] {
        let other = of(microbatch);
        for (whole, pieces) in [&loss, &g, &beside].into_iter().zip(&other) {
            assert_eq!(bits(whole), bits(pieces), "pieces of {microbatch}");
        }
        assert_eq!(
            bits(&predictions),
            bits(&other[4]),
            "pieces of {microbatch}"
        );
    }
}

#[test]
fn empty_and_full_images_are_examples_like_others() {
    let images = Images::new();
    for batch in [&[1][..], &[2], &[1, 2], &[3, 1, 1]] {
        let net = network::<_, Fused>(images.dense(MEAN), 15);
        let want = all_of::<_, _, _, f64>(&net, &net, batch);
        let net = network::<_, Fused>(images.sparse(MEAN), 15);
        let got = all_of::<_, _, _, f64>(&net, &net, batch);
        for (got, want) in got.iter().zip(&want) {
            assert_each_close(&format!("{batch:?}"), got, want, SAME_FORMULA_F64);
        }
    }
}

#[test]
fn networks_on_sparse_rows_keep_the_identities() {
    let images = Images::new();
    let inner = images.sparse(MEAN);
    let groups = Groups {
        layout: Layout::Layers(LAYERS),
        by: Granularity::Unit,
        biases: false,
    };
    assert!(BATCH.iter().all(|i| (*i as usize) < CHOSEN.len()));
    for microbatch in [1, 5, 100] {
        keeps_the_identities("sparse", &network::<_, Plain>(inner, microbatch));
        let net = network::<_, Fused>(inner, microbatch);
        keeps_the_identities("sparse", &net);
        keeps_the_identities("scaled", &Scaled { inner: net, groups });
        let weighted = Weighted {
            inner: Smoothed {
                inner: Beside { inner, hypers: 2 },
                classes: 3,
                by_label: false,
            },
        };
        assert_eq!(weighted.sparse(), Some(MEAN));
        keeps_the_identities("weighted", &network::<_, Fused>(weighted, microbatch));
    }
}

#[test]
fn learned_inputs_are_not_sparse() {
    let images = Images::new();
    let (dense, sparse) = (images.dense(MEAN), images.sparse(MEAN));
    let (dense, sparse) = (
        LearnedInputs { inner: dense },
        LearnedInputs { inner: sparse },
    );
    assert_eq!(sparse.sparse(), None);
    let at = At {
        w: &Noise(1).f32s(Layout::Layers(LAYERS).weights(), 1.0),
        h: &Noise(2).f32s(sparse.hypers(), 1.0),
        batch: ALL,
    };
    let loss = |net: &dyn Fn(&mut [f32]) -> Result<f32, Error>| net(&mut [0.0; 2000]).unwrap();
    let (dense, sparse) = (
        network::<_, Fused>(dense, 4),
        network::<_, Fused>(sparse, 4),
    );
    let [a, b] = [
        loss(&|scratch| dense.loss(at, scratch)),
        loss(&|scratch| sparse.loss(at, scratch)),
    ];
    assert_eq!(a.to_bits(), b.to_bits());
}

/// Examples that promise rows and have none.
struct Hollow;

impl Examples for Hollow {
    fn len(&self) -> usize {
        1
    }

    fn inputs(&self) -> usize {
        WIDTH
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, _: &[u32], _: &mut [S]) -> Result<(), Error> {
        Ok(())
    }

    fn label(&self, _: u32) -> Result<usize, Error> {
        Ok(0)
    }

    fn sparse(&self) -> Option<f32> {
        Some(0.0)
    }
}

/// What loss, gradient and second order refuse `batch` with.
fn refusal<D: Examples>(examples: D, batch: &[u32]) -> Error {
    let net = network::<_, Fused>(examples, 4);
    let p = net.weights();
    let (w, mut g, mut h_d) = (vec![0.1f32; p], vec![0.0; p], vec![0.0; p]);
    let at = At {
        w: &w,
        h: &[],
        batch,
    };
    let mut scratch = vec![0.0; net.second_order_scratch_len()];
    let error = net.loss(at, &mut scratch).unwrap_err();
    let again = net.gradient(at, &mut g, None, &mut scratch).unwrap_err();
    assert_eq!(error, again);
    let out = Products {
        g: None,
        h_d: &mut h_d,
        m_d: &mut [],
    };
    let again = net.second_order(at, &w, out, &mut scratch).unwrap_err();
    assert_eq!(error, again);
    error
}

#[test]
fn what_does_not_exist_is_refused() {
    let images = Images::new();
    let whole = images.sparse(MEAN);
    let missing = |what, index, len| Error::Index { what, index, len };
    assert_eq!(refusal(whole, &[0, 15]), missing("example", 15, 15));
    let chosen = SparsePixels {
        chosen: &[0, 14],
        ..whole
    };
    assert_eq!(refusal(chosen, &[0, 1]), missing("example", 14, 14));
    let unlabelled = SparsePixels {
        labels: &images.labels[..13],
        ..whole
    };
    assert_eq!(refusal(unlabelled, &[13]), missing("label", 13, 13));
    let classless = SparsePixels {
        labels: &[3; 14],
        ..whole
    };
    assert_eq!(refusal(classless, &[0]), missing("class", 3, 3));
    assert!(matches!(refusal(Hollow, &[0]), Error::Unsupported { .. }));
    let mut short = [0.0f32; WIDTH - 1];
    let error = whole.values::<Fused, _>(2, &mut short).unwrap_err();
    let (want, got) = (WIDTH, WIDTH - 1);
    let what = "values";
    assert_eq!(error, Error::Length { what, want, got });
    let error = whole.gather::<Fused, _>(&[2], &mut short).unwrap_err();
    assert_eq!(
        error,
        Error::Length {
            what: "x",
            want,
            got
        }
    );
}

#[test]
fn lists_that_are_none_are_refused() {
    let new = |width, starts, indices: &[u16]| {
        let bytes = vec![1; indices.len()];
        let error = SparseImages::new(width, starts, indices, &bytes).err();
        error.map(|error| error.to_string())
    };
    assert_eq!(new(4, &[0, 2, 2, 3], &[0, 3, 3]), None);
    assert_eq!(new(65_536, &[0, 1], &[65_535]), None);
    for (width, starts, indices, says) in [
        (0, &[0][..], &[][..], "bytes of an image is 0"),
        (65_537, &[0], &[], "bytes of an image is 65537"),
        (4, &[], &[], "starts: 1 numbers wanted, 0 given"),
        (4, &[1, 1], &[0], "the first start is 1"),
        (4, &[0, 1], &[0, 1], "the last start is 1"),
        (4, &[0, 3], &[0, 1], "the last start is 3"),
        (4, &[0, 2, 1, 2], &[0, 1], "the start of an image is 1"),
        (4, &[0, 7, 2], &[0, 1], "the start of an image is 7"),
        (4, &[0, 2], &[1, 1], "the index of a byte is 1"),
        (4, &[0, 2], &[1, 0], "the index of a byte is 0"),
        (4, &[0, 1], &[4], "the index of a byte is 4"),
    ] {
        let error = new(width, starts, indices).expect(says);
        assert!(error.starts_with(says), "{error}");
    }
    let error = SparseImages::new(4, &[0, 1], &[0], &[]).unwrap_err();
    assert_eq!(error.to_string(), "bytes: 1 numbers wanted, 0 given");
    for (width, images, lens, says) in [
        (0, 4, [2, 4, 4], "bytes of an image is 0"),
        (4, 5, [2, 5, 5], "images: 4 numbers wanted, 5 given"),
        (4, 8, [2, 8, 8], "starts: 3 numbers wanted, 2 given"),
        (4, 8, [3, 7, 8], "indices: 8 numbers wanted, 7 given"),
        (4, 8, [3, 8, 7], "bytes: 8 numbers wanted, 7 given"),
    ] {
        let (mut starts, mut indices, mut bytes) = (vec![], vec![], vec![]);
        starts.resize(lens[0], 0u32);
        indices.resize(lens[1], 0u16);
        bytes.resize(lens[2], 0u8);
        let error = SparseImages::pack(
            width,
            &vec![1; images],
            &mut starts,
            &mut indices,
            &mut bytes,
        );
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}
