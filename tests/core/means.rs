//! Losses that cancel nowhere, and means over many examples: against closed forms and sums in float64.

use drmad::kernels::activation::softmax;
use drmad::kernels::math::ln_1p;
use drmad::kernels::reduce::Total;
use drmad::models::{
    BLOCK, Examples, Features, Logistic, Mlp, Smoothed, SoftLabels, SparseImages, SparsePixels,
    Weighted,
};
use drmad::objective::{At, Directions, Objective, Products};
use drmad::{Arithmetic, Dual, Error, Fused, Plain, Scalar};

/// Half a unit of the last place of 1.
const U: f64 = 1.0 / (1 << 24) as f64;

/// Difference in units of the last place of the right one, as `f32` has them.
fn ulps(got: f32, want: f64) -> f64 {
    let exponent = want.abs().log2().floor().max(-126.0);
    (f64::from(got) - want).abs() / 2f64.powf(exponent - 23.0)
}

/// `-ln p_y` of these logits, by the others than the greatest.
fn exactly(z: &[f64], y: usize) -> f64 {
    let top = (0..z.len()).fold(0, |top, k| if z[k] > z[top] { k } else { top });
    let others = (0..z.len()).filter(|k| *k != top);
    let others: f64 = others.map(|k| (z[k] - z[top]).exp()).sum();
    others.ln_1p() - (z[y] - z[top])
}

/// The loss of one example, whose logits are the biases, by a network and by a regression, which must agree.
fn loss_of<A: Arithmetic, S: Scalar>(z: &[S], y: u8) -> S {
    let data = Features {
        x: &[0.0],
        labels: &[y],
        width: 1,
    };
    let w: Vec<S> = (z.iter().map(|_| S::ONE))
        .chain(z.iter().copied())
        .collect();
    let (widths, at) = (
        [1, z.len()],
        At {
            w: &w,
            h: &[],
            batch: &[0],
        },
    );
    let net = Mlp::<_, A>::new(data, &widths, 1).unwrap();
    let model = Logistic::<_, A>::new(data, z.len()).unwrap();
    let by_net = net
        .loss(at, &mut vec![S::ZERO; net.loss_scratch_len()])
        .unwrap();
    let by_model = model
        .loss(at, &mut vec![S::ZERO; model.loss_scratch_len()])
        .unwrap();
    assert_eq!(by_net, by_model);
    by_net
}

#[test]
fn the_logarithm_of_one_more_keeps_its_digits() {
    let mut worst = [0f64; 2];
    // Every 61st number from the least to 2^24, and all between 2^-25 and 2^-22.
    let all = (1u32..0x4b80_0000)
        .step_by(61)
        .chain(0x3300_0000..0x3480_0000);
    for x in all.map(f32::from_bits) {
        let want = f64::from(x).ln_1p();
        worst[0] = worst[0].max(ulps(ln_1p::<Plain, _>(x), want));
        worst[1] = worst[1].max(ulps(ln_1p::<Fused, _>(x), want));
        if x < 1.0 / (1 << 25) as f32 {
            assert_eq!(ln_1p::<Plain, _>(x), x);
        }
    }
    println!("ln_1p: {worst:?} ULP");
    assert!(worst[0] < 1.4 && worst[1] < 1.4, "{worst:?}");
    assert_eq!(ln_1p::<Fused, f32>(0.0).to_bits(), 0);
    assert!((ln_1p::<Fused, f64>(1e-9) / 1e-9f64.ln_1p() - 1.0).abs() < 1e-15);
}

#[test]
fn equal_logits_of_any_size_give_ln_2() {
    for z in [0.0f32, 1e4, -1e4, 1e6, 1e8, 1e30, -1e30] {
        assert_eq!(loss_of::<Plain, f32>(&[z, z], 0), std::f32::consts::LN_2);
        assert_eq!(loss_of::<Fused, f32>(&[z, z], 1), std::f32::consts::LN_2);
        let z = f64::from(z);
        assert_eq!(loss_of::<Fused, f64>(&[z, z], 1), std::f64::consts::LN_2);
    }
}

#[test]
fn a_nearly_certain_example_keeps_its_digits_and_a_wrong_one_too() {
    assert!((loss_of::<Fused, f32>(&[10.0, 0.0], 0) - 4.539_889_9e-5).abs() < 1e-11);
    let (mut right, mut wrong) = (0f64, 0f64);
    for t in 0..=100u8 {
        let t = f32::from(t);
        let want = f64::from(-t).exp().ln_1p();
        for shift in [0.0, 1e6] {
            for got in [
                loss_of::<Plain, f32>(&[t + shift, shift], 0),
                loss_of::<Fused, f32>(&[t + shift, shift], 0),
            ] {
                right = right.max(ulps(got, want));
            }
            let got = loss_of::<Fused, f32>(&[t + shift, shift], 1);
            wrong = wrong.max(ulps(got, want + f64::from(t)));
        }
        let got = loss_of::<Fused, f64>(&[f64::from(t), 0.0], 0);
        assert!((got / want - 1.0).abs() < 1e-15, "{t}");
    }
    println!("right {right}, wrong {wrong} ULP");
    assert!(right < 1.5 && wrong < 1.0, "{right} {wrong}");
}

#[test]
fn a_certain_loss_has_a_tangent() {
    for t in 0..=80u8 {
        let t = f32::from(t);
        let z = [Dual::new(t, 1.0f32), Dual::new(0.0, 0.0)];
        let got = loss_of::<Fused, Dual<f32>>(&z, 0);
        assert_eq!(got.value(), loss_of::<Fused, f32>(&[t, 0.0], 0));
        let want = -1.0 / (1.0 + f64::from(t).exp());
        assert!(
            ulps(got.tangent(), want) < 4.0,
            "{t}: {} {want}",
            got.tangent()
        );
    }
}

#[test]
fn many_classes_keep_their_digits() {
    for classes in [10usize, 200] {
        for (margin, y) in [(0.0, 3), (5.0, 3), (20.0, 3), (20.0, 7), (60.0, 3)] {
            let mut z: Vec<f32> = (0..classes)
                .map(|k| ((k * 37) % 101) as f32 / 50.0 + 1e3)
                .collect();
            z[3] = 1003.0 + margin;
            let exact: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
            let got = loss_of::<Fused, f32>(&z, y);
            let off = ulps(got, exactly(&exact, usize::from(y)));
            assert!(off < classes as f64 + 4.0, "{classes} {margin} {y}: {off}");
        }
    }
    // More than labels of a byte can name: the kernel itself.
    let mut z: Vec<f32> = (0..1000).map(|k| ((k * 37) % 101) as f32 / 50.0).collect();
    z[500] = 20.0;
    let exact: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
    let (mut p, mut log_sum) = (vec![0.0; 1000], [0.0]);
    softmax::<Fused, f32>(1000, &mut z, &mut p, &mut log_sum);
    assert!(ulps(log_sum[0], exactly(&exact, 500)) < 100.0);
    assert!(ulps(log_sum[0] - z[1], exactly(&exact, 1)) < 2.0);
}

#[test]
fn derivatives_by_an_examples_weight_and_targets_cancel_nowhere() {
    let data = Features {
        x: &[0.0],
        labels: &[0],
        width: 1,
    };
    for (z, bound) in [
        ([1e6f32, 1e6], 1.0),
        ([1e8, 1e8], 1.0),
        ([1010.0, 1000.0], 3.0),
    ] {
        let exact = z.map(f64::from);
        let w = [0.0, 0.0, z[0], z[1]];
        let (mut g, mut d_h) = ([0.0f32; 4], [0.0f32; 2]);
        let net = Mlp::<_, Fused>::new(Weighted { inner: data }, &[1, 2], 1).unwrap();
        let mut scratch = vec![0.0; net.scratch_len()];
        let at = At {
            w: &w,
            h: &[1.0],
            batch: &[0],
        };
        net.gradient(at, &mut g, Some(&mut d_h[..1]), &mut scratch)
            .unwrap();
        assert!(ulps(d_h[0], exactly(&exact, 0)) < bound, "{d_h:?}");
        let soft = SoftLabels {
            inner: data,
            classes: 2,
        };
        let net = Mlp::<_, Fused>::new(soft, &[1, 2], 1).unwrap();
        let at = At {
            w: &w,
            h: &[0.5, 0.5],
            batch: &[0],
        };
        net.gradient(at, &mut g, Some(&mut d_h), &mut scratch)
            .unwrap();
        for k in 0..2 {
            assert!(ulps(d_h[k], exactly(&exact, k)) < bound, "{d_h:?}");
        }
    }
}

// ---------------------------------------------------------------------------- many examples

/// Examples that are made from their numbers: one input, alike or not.
#[derive(Clone, Copy)]
struct Made {
    count: usize,
    alike: bool,
}

impl Made {
    fn x(&self, i: u32) -> f32 {
        match self.alike {
            true => 0.0,
            false => ((i.wrapping_mul(2_654_435_761) >> 8) as f32 - 4e6) / 8_388_608.0,
        }
    }

    fn y(&self, i: u32) -> usize {
        usize::from(!self.alike && i.is_multiple_of(3))
    }
}

impl Examples for Made {
    fn len(&self) -> usize {
        self.count
    }

    fn inputs(&self) -> usize {
        1
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        for (i, x) in batch.iter().zip(x) {
            *x = S::from_f32(self.x(*i));
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        Ok(self.y(i))
    }
}

fn batch(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}

/// Loss, gradient and derivatives by `h`.
fn gradient_of<O: Objective>(
    model: &O,
    w: &[f32],
    h: &[f32],
    batch: &[u32],
) -> (f32, Vec<f32>, Vec<f32>) {
    let (mut g, mut d_h) = (vec![f32::NAN; w.len()], vec![f32::NAN; h.len()]);
    let mut scratch = vec![f32::NAN; model.scratch_len()];
    let at = At { w, h, batch };
    let loss = model
        .gradient(at, &mut g, Some(&mut d_h), &mut scratch)
        .unwrap();
    let mut scratch = vec![f32::NAN; model.loss_scratch_len()];
    assert_eq!(model.loss(at, &mut scratch).unwrap(), loss);
    (loss, g, d_h)
}

#[test]
fn the_mean_of_up_to_ten_million_equal_examples_is_theirs() {
    for (count, classes) in [(1_000, 10), (59_000, 10), (10_000_000, 2)] {
        let data = Made { count, alike: true };
        let (widths, batch) = ([1, classes], batch(count));
        let w = vec![0.0; 2 * classes];
        let check = |(loss, g, _): (f32, Vec<f32>, Vec<f32>)| {
            let k = classes as f64;
            assert!(ulps(loss, k.ln()) < 3.0, "{count}: {loss}");
            for (j, g) in g[classes..].iter().enumerate() {
                let want = 1.0 / k - f64::from(u8::from(j == 0));
                let bound = (BLOCK as f64 + 8.0) * U * want.abs();
                assert!(
                    (f64::from(*g) - want).abs() < bound,
                    "{count}, {j}: {g} {want}"
                );
            }
        };
        let net = Mlp::<_, Fused>::new(data, &widths, 1000).unwrap();
        let (mut g, mut scratch) = (vec![f32::NAN; w.len()], vec![f32::NAN; net.scratch_len()]);
        let at = At {
            w: &w,
            h: &[],
            batch: &batch,
        };
        let loss = net.gradient(at, &mut g, None, &mut scratch).unwrap();
        check((loss, g, vec![]));
        if count < 1_000_000 {
            let model = Logistic::<_, Plain>::new(data, classes).unwrap();
            check(gradient_of(&model, &w, &[], &batch));
        }
    }
}

/// What a mean over examples must be, and the mean of the terms' sizes: in float64.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    size: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, x: f64) {
        self.sum += x;
        self.size += x.abs();
        self.count += 1.0;
    }

    /// The terms themselves are computed with some roundings, of which none is as large as `own` in `U`.
    #[track_caller]
    fn check(&self, got: f32, own: f64) {
        let (want, size) = (self.sum / self.count, self.size / self.count);
        let off = (f64::from(got) - want).abs() / (U * size);
        assert!(
            off < BLOCK as f64 + 3.0 + own,
            "{got} {want}: {off} of {}",
            self.count
        );
    }
}

/// Two classes, one input and a smoothing, in float64.
#[derive(Default)]
struct Reference {
    loss: Mean,
    g: [Mean; 4],
    h_d: [Mean; 4],
    d_t: Mean,
    m_d: Mean,
}

impl Reference {
    fn of(data: &Made, w: [f64; 4], d: [f64; 4], t: f64) -> Self {
        let mut all = Reference::default();
        for i in 0..data.count as u32 {
            let (x, y) = (f64::from(data.x(i)), data.y(i));
            let at = |w: [f64; 4]| [w[0] * x + w[2], w[1] * x + w[3]];
            let (z, r_z) = (at(w), at(d));
            let e = z.map(f64::exp);
            let p = e.map(|e_k| e_k / (e[0] + e[1]));
            let s = (e[0] + e[1]).ln();
            let r_s = p[0] * r_z[0] + p[1] * r_z[1];
            let away = |k: usize| 0.5 - f64::from(u8::from(k == y));
            let q = |k| f64::from(u8::from(k == y)) + t * away(k);
            all.loss.add((0..2).map(|k| q(k) * (s - z[k])).sum());
            all.d_t.add((0..2).map(|k| away(k) * (s - z[k])).sum());
            all.m_d.add((0..2).map(|k| away(k) * (r_s - r_z[k])).sum());
            for k in 0..2 {
                let (d, r_d) = (p[k] - q(k), p[k] * (r_z[k] - r_s));
                for (j, x) in [(k, x), (2 + k, 1.0)] {
                    all.g[j].add(d * x);
                    all.h_d[j].add(r_d * x);
                }
            }
        }
        all
    }
}

const W: [f32; 4] = [0.7, -0.4, 0.1, 0.3];
const D: [f32; 4] = [0.5, 1.0, -0.25, 0.125];
const T: f32 = 0.1;

/// Everything that an objective has to say of many examples, beside the reference.
fn holds(model: &impl Objective, count: usize, smoothed: bool) {
    let data = Made {
        count,
        alike: false,
    };
    let h: &[f32] = if smoothed { &[T] } else { &[] };
    let t = if smoothed { f64::from(T) } else { 0.0 };
    let want = Reference::of(&data, W.map(f64::from), D.map(f64::from), t);
    let batch = batch(count);
    let (loss, g, d_h) = gradient_of(model, &W, h, &batch);
    // The loss has no blocks: three roundings, and the terms' own.
    let off = f64::from(loss) - want.loss.sum / want.loss.count;
    assert!(
        off.abs() < 8.0 * U * want.loss.size / want.loss.count,
        "{off}"
    );
    let vectors = |got: &[f32], want: &[Mean]| {
        for (got, want) in got.iter().zip(want) {
            want.check(*got, 16.0);
        }
    };
    vectors(&g, &want.g);
    vectors(&d_h, std::slice::from_ref(&want.d_t));
    let (mut again, mut h_d, mut m_d) = (vec![f32::NAN; 4], vec![0.0; 4], vec![0.0; h.len()]);
    let mut scratch = vec![f32::NAN; model.second_order_scratch_len()];
    let at = At {
        w: &W,
        h,
        batch: &batch,
    };
    let out = Products {
        g: Some(&mut again),
        h_d: &mut h_d,
        m_d: &mut m_d,
    };
    model.second_order(at, &D, out, &mut scratch).unwrap();
    assert_eq!(again, g);
    vectors(&h_d, &want.h_d);
    vectors(&m_d, std::slice::from_ref(&want.m_d));
    let (along, zeros) = ([D, D].concat(), vec![0.0; 2 * h.len()]);
    let along = Directions {
        count: 2,
        w: &along,
        h: &zeros,
    };
    let mut g_dot = vec![f32::NAN; 8];
    let mut scratch = vec![f32::NAN; model.tangents_scratch_len(2)];
    let same = model
        .tangents(at, along, &mut again, &mut g_dot, &mut scratch)
        .unwrap();
    assert_eq!((same, again), (loss, g));
    vectors(&g_dot[..4], &want.h_d);
    vectors(&g_dot[4..], &want.h_d);
}

#[test]
fn means_over_many_examples_keep_their_bound() {
    for count in [1_000, 1_025, 10_000, 300_000] {
        let data = Made {
            count,
            alike: false,
        };
        let smoothed = Smoothed {
            inner: data,
            classes: 2,
            by_label: false,
        };
        holds(
            &Mlp::<_, Plain>::new(data, &[1, 2], 100).unwrap(),
            count,
            false,
        );
        holds(
            &Mlp::<_, Fused>::new(smoothed, &[1, 2], 1000).unwrap(),
            count,
            true,
        );
        holds(&Logistic::<_, Fused>::new(data, 2).unwrap(), count, false);
        holds(
            &Logistic::<_, Plain>::new(smoothed, 2).unwrap(),
            count,
            true,
        );
    }
}

#[test]
fn a_mean_over_many_examples_has_the_same_bits_in_pieces_of_any_size() {
    let count = 2 * BLOCK + 500;
    let smoothed = Smoothed {
        inner: Made {
            count,
            alike: false,
        },
        classes: 2,
        by_label: false,
    };
    let w: Vec<f32> = (0..6 + 8).map(|i| 0.3 - 0.05 * i as f32).collect();
    let of = |microbatch| {
        let net = Mlp::<_, Fused>::new(smoothed, &[1, 3, 2], microbatch).unwrap();
        gradient_of(&net, &w, &[T], &batch(count))
    };
    let want = of(50);
    for microbatch in [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 5000] {
        assert_eq!(of(microbatch), want);
    }
}

#[test]
fn sparse_rows_of_many_examples_have_their_mean_subtracted_once() {
    const COUNT: usize = 3000;
    let bytes: Vec<u8> = (0..2 * COUNT)
        .map(|i| if i % 3 == 0 { 0 } else { (i * 89 % 256) as u8 })
        .collect();
    let labels: Vec<u8> = (0..COUNT).map(|i| (i % 5 / 3) as u8).collect();
    let chosen = batch(COUNT);
    let len = SparseImages::required_len(&bytes);
    let (mut starts, mut indices, mut lit) = (vec![0; COUNT + 1], vec![0; len], vec![0; len]);
    let data = SparsePixels {
        images: SparseImages::pack(2, &bytes, &mut starts, &mut indices, &mut lit).unwrap(),
        labels: &labels,
        chosen: &chosen,
        mean: 0.25,
    };
    let w = [0.5f32, -0.5, 0.25, 0.75, 0.1, -0.2];
    let net = Mlp::<_, Fused>::new(data, &[2, 2], 64).unwrap();
    let (_, g, _) = gradient_of(&net, &w, &[], &chosen);
    let (mut want, mut size) = ([0f64; 6], 0f64);
    for (image, label) in bytes.chunks(2).zip(&labels) {
        let x = [0, 1].map(|i| f64::from(image[i]) / 255.0 - 0.25);
        let z = [0, 1]
            .map(|k| f64::from(w[4 + k]) + x[0] * f64::from(w[k]) + x[1] * f64::from(w[2 + k]));
        let e = z.map(f64::exp);
        for k in 0..2 {
            let d = e[k] / (e[0] + e[1]) - f64::from(u8::from(usize::from(*label) == k));
            for (j, x) in [(k, x[0]), (2 + k, x[1]), (4 + k, 1.0)] {
                want[j] += d * x / COUNT as f64;
            }
            size += d.abs() / COUNT as f64;
        }
    }
    for (g, want) in g.iter().zip(want) {
        // The images' terms and the mean's are two sums.
        let off = (f64::from(*g) - want).abs() / (U * size);
        assert!(off < 2.0 * BLOCK as f64, "{g} {want} {off}");
    }
}

#[test]
fn a_large_batch_is_refused_where_there_is_scratch_for_small_ones_alone() {
    let data = Made {
        count: 5000,
        alike: false,
    };
    let all = batch(BLOCK + 1);
    let net = Mlp::<_, Plain>::new(data, &[1, 2], 10).unwrap();
    let small = net.with_batches_of(50);
    // Two vectors for each that is summed into; a batch of one block needs none of them.
    let more = [
        net.scratch_len() - small.scratch_len(),
        net.second_order_scratch_len() - small.second_order_scratch_len(),
        net.tangents_scratch_len(3) - small.tangents_scratch_len(3),
    ];
    assert_eq!(more, [8, 16, 32]);
    assert_eq!(net.loss_scratch_len(), small.loss_scratch_len());
    let refused = |got: usize| {
        Err(Error::Length {
            what: "scratch",
            want: got + 8,
            got,
        })
    };
    let at = |batch| At {
        w: &W,
        h: &[],
        batch,
    };
    let mut g = [0.0; 4];
    let mut scratch = vec![0.0; small.scratch_len()];
    let got = small.gradient(at(&all), &mut g, None, &mut scratch);
    assert_eq!(got, refused(scratch.len()));
    assert!(
        small
            .gradient(at(&all[1..]), &mut g, None, &mut scratch)
            .is_ok()
    );
    assert!(small.loss(at(&all), &mut scratch).is_ok());
    let model = Logistic::<_, Plain>::new(data, 2)
        .unwrap()
        .with_batches_of(BLOCK);
    let mut scratch = vec![0.0; model.scratch_len()];
    let got = model.gradient(at(&all), &mut g, None, &mut scratch);
    assert_eq!(got, refused(scratch.len()));
    // The scratch tells; who has it may do it.
    let mut scratch = vec![0.0; net.scratch_len()];
    assert!(small.gradient(at(&all), &mut g, None, &mut scratch).is_ok());
}

#[test]
fn a_total_of_up_to_ten_million_terms_keeps_its_bound() {
    for count in [1_000u32, 100_000, 10_000_000] {
        let (mut total, mut sum, mut size) = (Total::default(), 0f64, 0f64);
        for i in 0..count {
            // Of both signs, most of them positive, over six powers of ten.
            let x = (i.wrapping_mul(2_654_435_761) >> 8) as f32 - 4e6;
            let x = if i.is_multiple_of(7) {
                x
            } else {
                1e-6 * x.abs()
            };
            total.add(x);
            sum += f64::from(x);
            size += f64::from(x.abs());
        }
        let off = (f64::from(total.value()) - sum).abs() / (U * size);
        assert!(off < 3.0, "{count}: {off}");
    }
}
