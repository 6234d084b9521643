//! Every objective against finite differences, dual numbers, its own symmetries, and a network
//! written in nested loops.

use crate::common::{
    All, BATCH, Data, Noise, WIDTHS, all_of, assert_each_close, assert_sums_close, bits,
    keeps_the_identities, magnitudes, plain, wide,
};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::models::{Examples, Features, Logistic, Mlp, Pixels, Quadratic};
use drmad::objective::{At, Objective, Products, by_dual_numbers};
use drmad::wrap::{L1, L2, Scaled, Strength};
use drmad::{Arithmetic, Fused, Plain};

const ALL: [Granularity; 5] = [
    Granularity::Global,
    Granularity::Layer,
    Granularity::Tensor,
    Granularity::Unit,
    Granularity::Parameter,
];

fn groups(by: Granularity, biases: bool) -> Groups<'static> {
    Groups {
        layout: Layout::Layers(WIDTHS),
        by,
        biases,
    }
}

fn net<'a, A: Arithmetic>(
    data: &'a Data,
    widths: &'a [usize],
    microbatch: usize,
) -> Mlp<'a, Features<'a>, A> {
    Mlp::new(data.features(), widths, microbatch).unwrap()
}

#[test]
fn a_quadratic_keeps_the_identities() {
    let curvature = Noise(21).f32s(10, 2.0);
    keeps_the_identities("plain", &Quadratic::<Plain>::new(&curvature));
    keeps_the_identities("fused", &Quadratic::<Fused>::new(&curvature));
}

#[test]
fn a_softmax_regression_keeps_the_identities() {
    let data = Data::small();
    let logistic = Logistic::<_, Fused>::new(data.features(), 3).unwrap();
    keeps_the_identities("logistic", &logistic);
}

#[test]
fn networks_of_any_depth_keep_the_identities() {
    let data = Data::small();
    for widths in [
        &[6, 3][..],
        &[6, 5, 3],
        &[6, 5, 4, 3],
        &[6, 5, 1, 7, 3],
        &[6, 9, 8, 7, 6, 3],
    ] {
        for microbatch in [1, 5, 100] {
            keeps_the_identities("plain", &net::<Plain>(&data, widths, microbatch));
            keeps_the_identities("fused", &net::<Fused>(&data, widths, microbatch));
        }
    }
}

#[test]
fn scales_keep_the_identities_at_every_granularity() {
    let data = Data::small();
    for by in ALL {
        for biases in [true, false] {
            let inner = net::<Fused>(&data, WIDTHS, 4);
            let groups = groups(by, biases);
            keeps_the_identities(&format!("{groups:?}"), &Scaled { inner, groups });
        }
    }
}

#[test]
fn penalties_keep_the_identities_fixed_tuned_and_off_at_every_granularity() {
    let data = Data::small();
    for by in ALL {
        for biases in [true, false] {
            let groups = groups(by, biases);
            for strength in [
                Strength::Fixed(0.3, groups),
                Strength::Tuned(groups),
                Strength::Off(groups),
            ] {
                let what = format!("{strength:?}");
                let inner = net::<Fused>(&data, WIDTHS, 4);
                keeps_the_identities(&format!("l2 {what}"), &L2::new(inner, strength));
                keeps_the_identities(&format!("l1 {what}"), &L1::new(inner, strength));
            }
        }
    }
}

#[test]
fn objectives_around_objectives_keep_the_identities() {
    let data = Data::small();
    let inner = net::<Plain>(&data, WIDTHS, 5);
    for by in ALL {
        for biases in [true, false] {
            let groups = groups(by, biases);
            let tensors = self::groups(Granularity::Tensor, true);
            let judged = L2::new(Scaled { inner, groups }, Strength::Tuned(tensors));
            let inside = Scaled {
                inner: L2::new(inner, Strength::Tuned(tensors)),
                groups,
            };
            keeps_the_identities(&format!("L2(Scaled) {groups:?}"), &judged);
            keeps_the_identities(&format!("Scaled(L2) {groups:?}"), &inside);
            let three = L1::new(inside, Strength::Tuned(groups));
            keeps_the_identities(&format!("L1(Scaled(L2)) {groups:?}"), &three);
        }
    }
}

#[test]
fn a_network_without_hidden_layer_is_a_softmax_regression() {
    let data = Data::small();
    let widths = [6, 3];
    let mlp = net::<Fused>(&data, &widths, 3);
    let logistic = Logistic::<_, Fused>::new(data.features(), 3).unwrap();
    let (w, d) = (Noise(22).f64s(21, 1.0), Noise(23).f64s(21, 1.0));
    let a = all_of(&mlp, &w, &[], BATCH, &d);
    let b = all_of(&logistic, &w, &[], BATCH, &d);
    assert_each_close("loss", &[a.loss], &[b.loss], SAME_FORMULA_F64);
    assert_each_close("gradient", &a.g, &b.g, SAME_FORMULA_F64);
    assert_each_close("H d", &a.h_d, &b.h_d, SAME_FORMULA_F64);
}

#[test]
fn a_network_agrees_with_nested_loops() {
    let data = Data::small();
    for widths in [&[6, 3][..], &[6, 5, 3], &[6, 5, 4, 3], &[6, 5, 1, 7, 3]] {
        let p = Layout::Layers(widths).weights();
        let (w, d) = (Noise(24).f64s(p, 1.0), vec![0.0; p]);
        let (loss, g) = plain::loss_and_gradient(widths, &w, &data.x, &data.labels, BATCH);
        let got = all_of(&net::<Plain>(&data, widths, 3), &w, &[], BATCH, &d);
        assert_each_close("loss", &[got.loss], &[loss], SAME_FORMULA_F64);
        assert_each_close("gradient", &got.g, &g, SAME_FORMULA_F64);
        assert!(got.h_d.iter().all(|x| *x == 0.0));

        let w: Vec<f32> = w.iter().map(|w| *w as f32).collect();
        let d = vec![0.0; p];
        let (loss, g) = plain::loss_and_gradient(widths, &wide(&w), &data.x, &data.labels, BATCH);
        let net = net::<Fused>(&data, widths, 3);
        let got = all_of(&net, &w, &[], BATCH, &d);
        let sizes = magnitudes(&net, &wide(&w), &[], BATCH, &wide(&d)).g;
        assert_each_close("loss in f32", &[got.loss], &[loss], SAME_FORMULA_F32);
        assert_sums_close("gradient in f32", &got.g, &g, &sizes, SAME_FORMULA_F32);
    }
}

fn r_operator_in_f32<A: Arithmetic>() {
    let data = Data::small();
    for widths in [&[6, 3][..], &[6, 5, 3], &[6, 5, 4, 3], &[6, 5, 1, 7, 3]] {
        let mlp = net::<A>(&data, widths, 3);
        let p = mlp.weights();
        let (w, d) = (Noise(25).f32s(p, 1.0), Noise(26).f32s(p, 1.0));
        let by_hand = all_of(&mlp, &w, &[], BATCH, &d);
        let exact = all_of(&mlp, &wide(&w), &[], BATCH, &wide(&d));
        let mut dual = vec![0.0; p];
        let out = Products {
            g: None,
            h_d: &mut dual,
            m_d: &mut [],
        };
        let at = At {
            w: &w,
            h: &[],
            batch: BATCH,
        };
        let mut scratch = vec![0.0; 2 * (2 * p + mlp.scratch_len())];
        by_dual_numbers(&mlp, at, &d, out, &mut scratch).unwrap();
        let sizes = magnitudes(&mlp, &wide(&w), &[], BATCH, &wide(&d)).h_d;
        for (what, got) in [("R-operator", &by_hand.h_d), ("dual numbers", &dual)] {
            assert_sums_close(what, got, &exact.h_d, &sizes, SAME_FORMULA_F32);
        }
    }
}

#[test]
fn the_r_operator_and_dual_numbers_agree_in_f32() {
    r_operator_in_f32::<Plain>();
    r_operator_in_f32::<Fused>();
}

#[test]
fn products_are_added_to_what_is_there() {
    let data = Data::small();
    let objective = Scaled {
        inner: L2::new(
            net::<Plain>(&data, WIDTHS, 4),
            Strength::Tuned(groups(Granularity::Tensor, true)),
        ),
        groups: groups(Granularity::Unit, false),
    };
    let (p, hypers) = (objective.weights(), objective.hypers());
    let mut noise = Noise(27);
    let (w, h, d) = (
        noise.f64s(p, 1.0),
        noise.f64s(hypers, 1.0),
        noise.f64s(p, 1.0),
    );
    let alone = all_of(&objective, &w, &h, BATCH, &d);
    let (h_d0, m_d0) = (noise.f64s(p, 1.0), noise.f64s(hypers, 1.0));
    let (mut h_d, mut m_d) = (h_d0.clone(), m_d0.clone());
    let at = At {
        w: &w,
        h: &h,
        batch: BATCH,
    };
    let out = Products {
        g: None,
        h_d: &mut h_d,
        m_d: &mut m_d,
    };
    let mut scratch = vec![0.0; objective.second_order_scratch_len()];
    objective.second_order(at, &d, out, &mut scratch).unwrap();
    let sum = |x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x + y).collect() };
    assert_each_close("H d", &h_d, &sum(&h_d0, &alone.h_d), SAME_FORMULA_F64);
    assert_each_close("M d", &m_d, &sum(&m_d0, &alone.m_d), SAME_FORMULA_F64);
}

/// Gradient, loss and `H d` of twelve examples in pieces of `microbatch`.
fn in_microbatches<A: Arithmetic>(microbatch: usize) -> All<f32> {
    let data = Data::small();
    let p = Layout::Layers(WIDTHS).weights();
    let (w, d) = (Noise(28).f32s(p, 1.0), Noise(29).f32s(p, 1.0));
    let batch: Vec<u32> = (0..12).collect();
    all_of(&net::<A>(&data, WIDTHS, microbatch), &w, &[], &batch, &d)
}

const MICROBATCHES: [usize; 8] = [1, 2, 3, 5, 7, 11, 13, 100];

#[test]
fn the_size_of_a_chunk_changes_no_bit_of_a_gradient() {
    for microbatch in MICROBATCHES {
        let (plain, fused) = (
            in_microbatches::<Plain>(microbatch).g,
            in_microbatches::<Fused>(microbatch).g,
        );
        assert_eq!(
            bits(&plain),
            bits(&in_microbatches::<Plain>(12).g),
            "{microbatch}"
        );
        assert_eq!(
            bits(&fused),
            bits(&in_microbatches::<Fused>(12).g),
            "{microbatch}"
        );
    }
}

#[test]
fn the_size_of_a_chunk_changes_no_bit_of_a_loss() {
    let whole = in_microbatches::<Fused>(12).loss;
    for microbatch in MICROBATCHES {
        assert_eq!(
            in_microbatches::<Fused>(microbatch).loss.to_bits(),
            whole.to_bits()
        );
    }
}

#[test]
fn the_size_of_a_chunk_changes_products_by_no_more_than_rounding() {
    let whole = in_microbatches::<Fused>(12);
    for microbatch in MICROBATCHES {
        let pieces = in_microbatches::<Fused>(microbatch);
        assert_each_close("H d", &pieces.h_d, &wide(&whole.h_d), SAME_FORMULA_F32);
    }
}

#[test]
fn the_order_of_a_batch_changes_nothing_but_rounding() {
    let data = Data::small();
    let mlp = net::<Fused>(&data, WIDTHS, 5);
    let (w, d) = (
        Noise(30).f64s(mlp.weights(), 1.0),
        Noise(31).f64s(mlp.weights(), 1.0),
    );
    let up = all_of(&mlp, &w, &[], &[0, 1, 2, 3, 4, 5, 6], &d);
    let mixed = all_of(&mlp, &w, &[], &[6, 2, 0, 5, 1, 3, 4], &d);
    assert_each_close("loss", &[mixed.loss], &[up.loss], SAME_FORMULA_F64);
    assert_each_close("gradient", &mixed.g, &up.g, SAME_FORMULA_F64);
    assert_each_close("H d", &mixed.h_d, &up.h_d, SAME_FORMULA_F64);
}

#[test]
fn an_example_twice_in_a_batch_counts_twice() {
    let data = Data::small();
    let mlp = net::<Fused>(&data, WIDTHS, 2);
    let p = mlp.weights();
    let (w, d) = (Noise(32).f64s(p, 1.0), Noise(33).f64s(p, 1.0));
    let [both, first, second] =
        [&[4, 4, 9][..], &[4], &[9]].map(|batch| all_of(&mlp, &w, &[], batch, &d));
    let want: Vec<f64> = (0..p)
        .map(|i| (2.0 * first.g[i] + second.g[i]) / 3.0)
        .collect();
    assert_each_close("gradient", &both.g, &want, SAME_FORMULA_F64);
}

#[test]
fn inputs_padded_with_zeros_change_no_bit() {
    let data = Data::small();
    let padded = Data {
        x: data
            .x
            .chunks(6)
            .flat_map(|x| [x, &[0.0; 3]].concat())
            .collect(),
        labels: data.labels.clone(),
        width: 9,
    };
    let (small, wide) = ([6, 5, 4, 3], [9, 5, 4, 3]);
    let (narrow, padded) = (
        net::<Fused>(&data, &small, 4),
        net::<Fused>(&padded, &wide, 4),
    );
    let (w, d) = (
        Noise(34).f32s(narrow.weights(), 1.0),
        Noise(35).f32s(narrow.weights(), 1.0),
    );
    // Three more rows of the first matrix, which see nothing but zeros.
    let more = |x: &[f32]| [&x[..30], &[0.7; 15], &x[30..]].concat();
    let a = all_of(&narrow, &w, &[], BATCH, &d);
    let b = all_of(&padded, &more(&w), &[], BATCH, &more(&d));
    let less = |x: &[f32]| bits(&[&x[..30], &x[45..]].concat());
    assert_eq!(a.loss.to_bits(), b.loss.to_bits());
    assert_eq!(bits(&a.g), less(&b.g));
    assert_eq!(bits(&a.h_d), less(&b.h_d));
    assert!(b.g[30..45].iter().chain(&b.h_d[30..45]).all(|x| *x == 0.0));
}

#[test]
fn predictions_are_probabilities_of_the_loss() {
    let data = Data::small();
    let mlp = net::<Fused>(&data, WIDTHS, 8);
    let w = Noise(36).f64s(mlp.weights(), 1.0);
    let mut p = vec![f64::NAN; BATCH.len() * 3];
    let mut scratch = vec![f64::NAN; mlp.scratch_len()];
    mlp.predict(&w, BATCH, &mut p, &mut scratch).unwrap();
    let mut loss = 0.0;
    for (i, p) in BATCH.iter().zip(p.chunks(3)) {
        assert!((p.iter().sum::<f64>() - 1.0).abs() <= SAME_FORMULA_F64);
        loss -= p[usize::from(data.labels[*i as usize])].ln() / BATCH.len() as f64;
    }
    let got = all_of(&mlp, &w, &[], BATCH, &w).loss;
    assert_each_close("loss", &[got], &[loss], SAME_FORMULA_F64);
}

#[test]
fn a_scale_of_one_and_a_penalty_that_is_off_change_no_bit_of_the_loss() {
    let data = Data::small();
    let inner = net::<Fused>(&data, WIDTHS, 8);
    let (w, d) = (
        Noise(37).f32s(inner.weights(), 1.0),
        Noise(38).f32s(inner.weights(), 1.0),
    );
    let groups = groups(Granularity::Unit, true);
    let wrapped = L1::new(Scaled { inner, groups }, Strength::Off(groups));
    let h = [vec![1.0; groups.len()], vec![3.0; groups.len()]].concat();
    let (bare, wrapped) = (
        all_of(&inner, &w, &[], BATCH, &d),
        all_of(&wrapped, &w, &h, BATCH, &d),
    );
    assert_eq!(bare.loss.to_bits(), wrapped.loss.to_bits());
    assert_eq!(bits(&bare.g), bits(&wrapped.g));
    assert!(wrapped.d_h[groups.len()..].iter().all(|x| *x == 0.0));
    assert!(wrapped.m_d[groups.len()..].iter().all(|x| *x == 0.0));
}

#[test]
fn groups_map_each_weight_to_its_row_or_tensor() {
    let map = |by, biases| {
        let groups = groups(by, biases);
        let mut map = vec![i64::MIN; groups.weights()];
        groups.map(&mut map).unwrap();
        let most = map.iter().max().unwrap() + 1;
        assert_eq!(groups.len() as i64, most, "{groups:?}");
        map
    };
    assert_eq!(map(Granularity::Unit, true), plain::units(WIDTHS, true));
    assert_eq!(map(Granularity::Unit, false), plain::units(WIDTHS, false));
    assert_eq!(map(Granularity::Tensor, true), plain::tensors(WIDTHS));
    let each: Vec<i64> = (0..74).collect();
    assert_eq!(map(Granularity::Parameter, true), each);
    assert_eq!(map(Granularity::Global, true), vec![0; 74]);
    let layers: Vec<i64> = plain::tensors(WIDTHS).iter().map(|t| t / 2).collect();
    assert_eq!(map(Granularity::Layer, true), layers);
    let without: Vec<i64> = plain::tensors(WIDTHS)
        .iter()
        .map(|t| if t % 2 == 0 { t / 2 } else { -1 })
        .collect();
    assert_eq!(map(Granularity::Layer, false), without);
    assert_eq!(map(Granularity::Tensor, false), without);
}

#[test]
fn a_pixel_is_its_byte_over_255_less_the_mean() {
    let bytes: Vec<u8> = (0..=255).collect();
    let pixels = Pixels {
        bytes: &bytes,
        labels: &[9, 8, 7, 6],
        width: 64,
        chosen: &[2, 0, 3],
        mean: 0.1,
    };
    let mut x = vec![f32::NAN; 128];
    pixels.gather::<Fused, _>(&[2, 0], &mut x).unwrap();
    for (i, x) in x.iter().enumerate() {
        let byte = if i < 64 { 192 + i } else { 64 + i };
        let want = (byte as f32).mul_add(1.0 / 255.0, -0.1);
        assert_eq!(x.to_bits(), want.to_bits(), "{i}");
    }
    assert_eq!([0, 1, 2].map(|i| pixels.label(i).unwrap()), [7, 9, 6]);
}

#[test]
fn blocks_of_hyperparameters_are_named_in_their_order() {
    let data = Data::small();
    let (units, tensors) = (
        groups(Granularity::Unit, false),
        groups(Granularity::Tensor, true),
    );
    let inner = Scaled {
        inner: L2::new(net::<Fused>(&data, WIDTHS, 1), Strength::Tuned(tensors)),
        groups: units,
    };
    let objective = L1::new(inner, Strength::Off(tensors));
    let mut blocks = Vec::new();
    objective.visit_blocks(&mut |name, len| blocks.push((name, len)));
    assert_eq!(blocks, [("l2", 6), ("scale", 15), ("l1", 6)]);
    assert_eq!(objective.hypers(), 27);
}
