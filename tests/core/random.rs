//! Random numbers: what each is a function of, and that they look random.

use crate::common::{WIDTHS, all_batches, bits};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::random::{Batches, InitialWeights, Normal, choose, mix};

/// Examples and batch size: equal, prime, one, a batch larger than several epochs, a power of two
/// (whose strides must be odd), highly composite.
const SIZES: [(usize, usize); 11] = [
    (1, 1),
    (1, 5),
    (2, 3),
    (7, 7),
    (10, 3),
    (13, 5),
    (97, 10),
    (5, 23),
    (64, 64),
    (720, 7),
    (1009, 100),
];

/// The examples of the first `n` positions.
fn stream(batches: Batches, n: usize) -> Vec<u32> {
    let steps = n.div_ceil(batches.size);
    let mut all = all_batches(&batches, steps).concat();
    all.truncate(n);
    all
}

#[test]
fn each_epoch_sees_each_example_exactly_once() {
    for (examples, size) in SIZES {
        for seed in 0..5 {
            let batches = Batches {
                seed,
                examples,
                size,
            };
            for (epoch, of) in stream(batches, 6 * examples).chunks(examples).enumerate() {
                let mut seen = of.to_vec();
                seen.sort();
                let each: Vec<u32> = (0..examples as u32).collect();
                assert_eq!(seen, each, "{batches:?}, epoch {epoch}");
            }
        }
    }
}

#[test]
fn a_batch_is_a_function_of_seed_and_step_alone() {
    for (examples, size) in SIZES {
        let batches = Batches {
            seed: 3,
            examples,
            size,
        };
        let ascending = all_batches(&batches, 20);
        for t in (0..20).rev() {
            let mut batch = vec![u32::MAX; size];
            batches.fill(t, &mut batch).unwrap();
            assert_eq!(batch, ascending[t], "{batches:?} {t}");
        }
    }
}

#[test]
fn the_size_of_a_batch_only_cuts_the_same_stream() {
    let of = |size| {
        let batches = Batches {
            seed: 4,
            examples: 97,
            size,
        };
        stream(batches, 500)
    };
    for size in [1, 2, 10, 97, 200] {
        assert_eq!(of(size), of(7), "{size}");
    }
}

#[test]
fn epochs_and_seeds_differ_in_their_order() {
    let of = |seed| {
        let batches = Batches {
            seed,
            examples: 1000,
            size: 50,
        };
        stream(batches, 10_000)
    };
    let mut orders: Vec<Vec<u32>> = (0..20)
        .flat_map(|seed| {
            of(seed)
                .chunks(1000)
                .map(<[u32]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect();
    let all = orders.len();
    orders.sort();
    orders.dedup();
    assert_eq!((all, orders.len()), (200, 200));
}

#[test]
fn steps_far_away_have_batches_too() {
    let batches = Batches {
        seed: 1,
        examples: 10,
        size: 3,
    };
    for t in [
        u32::MAX as usize,
        usize::MAX / 1000,
        usize::MAX / 3,
        usize::MAX,
    ] {
        let mut batch = [u32::MAX; 3];
        batches.fill(t, &mut batch).unwrap();
        assert!(batch.iter().all(|i| *i < 10), "{t}: {batch:?}");
    }
}

/// Two hundred weights in all granularities, as far as their number allows.
fn normals() -> Vec<(Groups<'static>, Vec<f32>)> {
    let mut all = vec![];
    for by in [
        Granularity::Global,
        Granularity::Layer,
        Granularity::Tensor,
        Granularity::Unit,
        Granularity::Parameter,
    ] {
        for biases in [true, false] {
            let groups = Groups {
                layout: Layout::Layers(WIDTHS),
                by,
                biases,
            };
            let scales = (0..groups.len()).map(|j| -0.1 * j as f32).collect();
            all.push((groups, scales));
        }
    }
    all
}

#[test]
fn pieces_of_initial_weights_have_the_bits_of_the_whole() {
    for (groups, log_scales) in normals() {
        let normal = Normal {
            seed: 5,
            groups,
            log_scales: &log_scales,
        };
        let n = groups.weights();
        let mut whole = vec![f32::NAN; n];
        normal.fill(0, &mut whole);
        for first in 0..=n {
            for len in [0, 1, 2, 7, 16, 17, n] {
                let len = len.min(n - first);
                let mut piece = vec![f32::NAN; len];
                normal.fill(first, &mut piece);
                let want = &whole[first..first + len];
                assert_eq!(bits(&piece), bits(want), "{groups:?} {first} {len}");
            }
        }
    }
}

#[test]
fn a_group_scales_its_weights_and_a_weight_in_none_starts_at_0() {
    for (groups, log_scales) in normals() {
        let fill = |log_scales: &[f32]| {
            let normal = Normal {
                seed: 5,
                groups,
                log_scales,
            };
            let mut w = vec![f32::NAN; groups.weights()];
            normal.fill(0, &mut w);
            w
        };
        let (one, scaled) = (fill(&vec![0.0; log_scales.len()]), fill(&log_scales));
        let mut map = vec![0; groups.weights()];
        groups.map(&mut map).unwrap();
        for (i, group) in map.iter().enumerate() {
            match usize::try_from(*group) {
                Err(_) => assert_eq!((one[i], scaled[i]), (0.0, 0.0)),
                Ok(group) => {
                    let ratio = f64::from(scaled[i]) / f64::from(one[i]);
                    let want = f64::from(log_scales[group]).exp();
                    assert!((ratio / want - 1.0).abs() <= SCALED_F32, "{groups:?} {i}");
                    assert!(one[i] != 0.0);
                }
            }
        }
    }
}

const MANY: usize = 100_000;

fn draws(seed: u64) -> Vec<f64> {
    let normal = Normal {
        seed,
        groups: Groups::global(MANY),
        log_scales: &[0.0f32],
    };
    let mut x = vec![0.0; MANY];
    normal.fill(0, &mut x);
    crate::common::wide(&x)
}

#[test]
fn initial_weights_have_the_moments_of_a_normal_distribution() {
    let n = MANY as f64;
    for seed in [0, 1, u64::MAX] {
        let x = draws(seed);
        let moment = |k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / n;
        // The variances of a mean of x, x^2, x^3 and x^4 are 1, 2, 15 and 96 over n.
        for (k, want, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let off = (moment(k) - want) / f64::sqrt(variance / n);
            assert!(
                off.abs() < SIGMAS,
                "seed {seed}: moment {k} is {off} sigmas off"
            );
        }
        // Neighbours, and neighbours in the generator's blocks, know nothing of each other.
        for lag in [1, 2, 16, 64] {
            let product: f64 = x.iter().zip(&x[lag..]).map(|(x, y)| x * y).sum();
            let off = product / n.sqrt();
            assert!(off.abs() < SIGMAS, "seed {seed}: {off} sigmas at lag {lag}");
        }
        let beyond = x.iter().filter(|x| x.abs() > 3.0).count() as f64;
        let off = (beyond - 0.0027 * n) / f64::sqrt(0.0027 * n);
        assert!(off.abs() < SIGMAS, "seed {seed}: {beyond} beyond 3");
        assert!(x.iter().all(|x| x.abs() < 5.5));
    }
}

#[test]
fn different_seeds_give_unrelated_weights() {
    let x = draws(0);
    for seed in [1, 2, 1 << 32, u64::MAX] {
        let y = draws(seed);
        let same = x.iter().zip(&y).filter(|(x, y)| x == y).count();
        assert!(same < 5, "{same} of {MANY}");
        let product: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        assert!((product / (MANY as f64).sqrt()).abs() < SIGMAS);
    }
}

#[test]
fn every_bit_of_a_seed_and_of_a_counter_matters_alone() {
    let seed = 0x0123_4567_89ab_cdef;
    let w = |seed| {
        let mut w = [0.0f32; 4];
        Normal {
            seed,
            groups: Groups::global(4),
            log_scales: &[0.0],
        }
        .fill(0, &mut w);
        bits(&w)
    };
    let batch = |seed| {
        let mut batch = [0; 4];
        Batches {
            seed,
            examples: 1_000_003,
            size: 4,
        }
        .fill(3, &mut batch)
        .unwrap();
        batch.to_vec()
    };
    let chosen = |seed| {
        let (mut pool, mut chosen) = ([0; 1000], [0; 4]);
        choose(seed, &mut pool, &mut chosen).unwrap();
        chosen.to_vec()
    };
    let mixed = |counter| mix(seed, &[counter, 7]);
    for bit in 0..64 {
        let other = seed ^ (1 << bit);
        assert_ne!(w(seed), w(other), "weights, bit {bit}");
        assert_ne!(batch(seed), batch(other), "batches, bit {bit}");
        assert_ne!(chosen(seed), chosen(other), "choice, bit {bit}");
        // Half of the bits change, as in a random function: 16 is 4 standard deviations off.
        for (a, b) in [
            (mix(seed, &[]), mix(other, &[])),
            (mix(seed, &[3, 7]), mix(other, &[3, 7])),
            (mixed(seed), mixed(other)),
        ] {
            let changed = (a ^ b).count_ones();
            assert!((16..=48).contains(&changed), "bit {bit}: {changed} change");
        }
    }
}

#[test]
fn mixing_is_the_written_formula_and_counters_are_not_summed() {
    // SplitMix64 as published, in integers of 128 bits that are cut to 64.
    let f = |x: u128| {
        let cut = |x: u128| x & u128::from(u64::MAX);
        let z = cut(x + 0x9e37_79b9_7f4a_7c15);
        let z = cut((z ^ (z >> 30)) * 0xbf58_476d_1ce4_e5b9);
        let z = cut((z ^ (z >> 27)) * 0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let words = [0, 1, 2, 20, 1 << 32, 1 << 54, 3 << 54, u64::MAX];
    let mut seen = std::collections::BTreeSet::new();
    for seed in words {
        assert_eq!(u128::from(mix(seed, &[])), f(u128::from(seed)));
        assert!(seen.insert(mix(seed, &[])));
        for a in words {
            assert!(seen.insert(mix(seed, &[a])), "{seed}, {a}");
            for b in words {
                let want = f(f(f(u128::from(seed)) ^ u128::from(a)) ^ u128::from(b));
                assert_eq!(u128::from(mix(seed, &[a, b])), want, "{seed}, {a}, {b}");
                assert!(seen.insert(mix(seed, &[a, b])), "{seed}, {a}, {b}");
            }
        }
    }
    // What was once one seed: 2^32 of the seed for one meta-iteration.
    assert_ne!(mix(1 << 32, &[0, 0]), mix(0, &[1, 0]));
}

/// A piece far behind: what lies before it is not looked at, or this would not end.
#[test]
fn a_piece_of_initial_weights_costs_no_more_for_the_rows_before_it() {
    let far = 1usize << 60;
    let wide = [1usize << 40, 1 << 20];
    for (layout, by) in [
        (Layout::Flat(far), Granularity::Parameter),
        (Layout::Layers(&wide), Granularity::Parameter),
        (Layout::Layers(&wide), Granularity::Unit),
    ] {
        let groups = Groups {
            layout,
            by,
            biases: true,
        };
        let normal = Normal {
            seed: 5,
            groups,
            log_scales: &[0.0f32],
        };
        let mut piece = [f32::NAN; 81];
        let first = groups.weights() - piece.len();
        normal.fill(first, &mut piece);
        // A group without a scale starts at 0.
        assert_eq!(piece, [0.0; 81], "{layout:?} by {by:?}");
    }
}

#[test]
fn a_choice_is_of_different_indices_and_a_function_of_its_seed() {
    for n in [0, 1, 2, 10, 1000] {
        for wanted in [0, 1, n / 2, n] {
            let wanted = wanted.min(n);
            let of = |seed| {
                let (mut pool, mut chosen) = (vec![u32::MAX; n], vec![u32::MAX; wanted]);
                choose(seed, &mut pool, &mut chosen).unwrap();
                chosen
            };
            let chosen = of(7);
            assert_eq!(chosen, of(7));
            let mut sorted = chosen.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(sorted.len(), wanted, "different");
            assert!(sorted.iter().all(|i| (*i as usize) < n));
            if wanted >= 10 {
                assert_ne!(chosen, of(8));
                assert_ne!(chosen, sorted, "in random order");
            }
        }
    }
    let error = choose(7, &mut [], &mut [0]).unwrap_err();
    let (what, want, got) = ("pool", 1, 0);
    assert_eq!(error, drmad::Error::Length { what, want, got });
}

#[test]
fn a_choice_favours_no_index() {
    let (n, wanted, draws) = (20, 5, 4000);
    let mut counts = vec![0.0f64; n];
    for seed in 0..draws {
        let (mut pool, mut chosen) = (vec![0; n], vec![0; wanted]);
        choose(seed, &mut pool, &mut chosen).unwrap();
        for i in chosen {
            counts[i as usize] += 1.0;
        }
    }
    let share = wanted as f64 / n as f64;
    for (i, count) in counts.iter().enumerate() {
        let off = (count - share * draws as f64) / (draws as f64 * share * (1.0 - share)).sqrt();
        assert!(off.abs() < SIGMAS, "index {i}: {off} sigmas off");
    }
}

#[test]
fn batches_of_sorted_examples_miss_classes_that_batches_of_shuffled_ones_have() {
    // A thousand examples of ten classes, by fifties.
    const EXAMPLES: usize = 1000;
    let mut order = vec![0; EXAMPLES];
    choose(9, &mut vec![0; EXAMPLES], &mut order).unwrap();
    let (mut sorted, mut shuffled, mut batches) = (0, 0, 0);
    for seed in 0..20 {
        let all = Batches {
            seed,
            examples: EXAMPLES,
            size: 50,
        };
        for batch in all_batches(&all, 200) {
            let missed = |class: &dyn Fn(u32) -> u32| {
                let has = |wanted| batch.iter().any(|i| class(*i) == wanted);
                (0..10).filter(|wanted| !has(*wanted)).count()
            };
            sorted += missed(&|i| i / 100);
            shuffled += missed(&|i| order[i as usize] / 100);
            batches += 1;
        }
    }
    let [sorted, shuffled] = [sorted, shuffled].map(|n| n as f64 / f64::from(batches));
    // Without a class are C(900, 50) / C(1000, 50) of all sets of fifty.
    let expected = 10.0
        * (0..50)
            .map(|i| f64::from(900 - i) / f64::from(1000 - i))
            .product::<f64>();
    eprintln!(
        "classes that a batch misses: {sorted} sorted, {shuffled} shuffled, {expected} expected"
    );
    assert!((shuffled / expected - 1.0).abs() < 0.25 && sorted > 5.0 * expected);
}
