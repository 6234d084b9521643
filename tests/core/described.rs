//! What describes a training before it runs: memory that adds, and hyperparameters by name; against closed
//! forms.

use crate::common::assert_each_close;
use crate::tolerances::SAME_FORMULA_F64;
use drmad::group::{Granularity, Groups, Layout, Member};
use drmad::memory::Need;
use drmad::outer::Parametrisation;
use drmad::training::{Hypers, Tuned, What};
use drmad::{Error, Fused};

// ------------------------------------------------------------------------------------------- memory

#[test]
fn memory_that_cannot_be_counted_is_the_most_there_is() {
    const MOST: usize = usize::MAX;
    let most = Need::<f32>::numbers(MOST);
    assert_eq!(most.and(Need::numbers(1)).len(), MOST);
    assert_eq!(Need::<f32>::numbers(MOST / 2).times(3).len(), MOST);
    assert_eq!(Need::<f32>::numbers(MOST / 2).bytes(), MOST);
    assert_eq!(Need::<f64>::words(MOST).len(), MOST / 2 + 1);
    assert_eq!(Need::<f64>::words(MOST).bytes(), MOST);
}

#[test]
fn words_share_a_number_of_64_bits_and_side_by_side_adds_where_one_after_the_other_does_not() {
    let lens = |words| {
        [
            Need::<f32>::words(words).len(),
            Need::<f64>::words(words).len(),
        ]
    };
    assert_eq!([0, 1, 2, 3].map(lens), [[0, 0], [1, 1], [2, 1], [3, 2]]);
    let (a, b) = (Need::<f64>::numbers(5), Need::words(5));
    assert_eq!(
        [a.and(b), a.or(b), b.or(a), b.times(4)].map(Need::len),
        [8, 5, 5, 12]
    );
    assert_eq!([a.bytes(), b.bytes()], [40, 24]);
    assert!(Need::<f32>::NOTHING.is_empty() && Need::<f32>::words(0).is_empty() && !b.is_empty());
}

// ---------------------------------------------------------------------------------- hyperparameters

const STEPS: usize = 3;
const EXAMPLES: usize = 2;
/// 3 x 2 weights, 2 biases, 2 x 2 weights, 2 biases.
const LAYOUT: Layout<'static> = Layout::Layers(&[3, 2, 2]);

/// A block of each kind.
const TUNED: &[Tuned] = &[
    Tuned::new(What::Objective, Granularity::Global),
    Tuned::new(What::ExampleWeight, Granularity::Global),
    Tuned::new(What::Input, Granularity::Global),
    Tuned::new(What::Scale, Granularity::Unit),
    Tuned::new(What::Penalty, Granularity::Parameter),
    Tuned::new(What::InitialScale, Granularity::Tensor),
    Tuned {
        each_step: true,
        ..Tuned::new(What::Rate, Granularity::Layer)
    },
    Tuned::new(What::Momentum, Granularity::Global),
];

fn hypers(tuned: &[Tuned]) -> Hypers<'_> {
    Hypers {
        tuned,
        layout: LAYOUT,
        examples: EXAMPLES,
        own: 2,
        steps: STEPS,
    }
}

/// All names, written down.
const NAMES: &str = "\
hyperparameter 0
hyperparameter 1
weight of example 0
weight of example 1
input 0 of example 0
input 1 of example 0
input 2 of example 0
input 0 of example 1
input 1 of example 1
input 2 of example 1
scale, layer 1, unit 0
scale, layer 1, unit 1
scale, layer 1, unit 2
scale, layer 2, unit 0
scale, layer 2, unit 1
penalty, layer 1, weight 0 to 0
penalty, layer 1, weight 0 to 1
penalty, layer 1, weight 1 to 0
penalty, layer 1, weight 1 to 1
penalty, layer 1, weight 2 to 0
penalty, layer 1, weight 2 to 1
penalty, layer 1, bias 0
penalty, layer 1, bias 1
penalty, layer 2, weight 0 to 0
penalty, layer 2, weight 0 to 1
penalty, layer 2, weight 1 to 0
penalty, layer 2, weight 1 to 1
penalty, layer 2, bias 0
penalty, layer 2, bias 1
initial scale, layer 1, weights
initial scale, layer 1, biases
initial scale, layer 2, weights
initial scale, layer 2, biases
rate, layer 1, step 0
rate, layer 2, step 0
rate, layer 1, step 1
rate, layer 2, step 1
rate, layer 1, step 2
rate, layer 2, step 2
momentum";

/// Where the blocks begin, and where the last one ends.
const STARTS: [usize; 9] = [0, 2, 4, 10, 15, 29, 33, 39, 40];

#[test]
fn every_hyperparameter_has_its_name_and_there_is_none_beyond() {
    let hypers = hypers(TUNED);
    assert_eq!(hypers.check(), Ok(()));
    let names: Vec<String> = (0..hypers.len())
        .map(|j| hypers.name(j).unwrap().to_string())
        .collect();
    assert_eq!(names, NAMES.lines().collect::<Vec<_>>());
    assert_eq!(hypers.name(names.len()), None);
    assert_eq!(hypers.name(usize::MAX), None);
}

#[test]
fn blocks_lie_one_after_another_in_their_order() {
    let hypers = hypers(TUNED);
    let ranges: Vec<_> = hypers.blocks().map(|(_, range)| range).collect();
    let want: Vec<_> = STARTS.windows(2).map(|ends| ends[0]..ends[1]).collect();
    assert_eq!(ranges, want);
    for (i, block) in TUNED.iter().enumerate() {
        assert_eq!(hypers.len_of(block), want[i].len());
        assert_eq!(hypers.block(block.what), Some((block, want[i].clone())));
    }
    assert_eq!(self::hypers(&TUNED[..4]).block(What::Rate), None);
    assert!(self::hypers(&[]).is_empty() && !hypers.is_empty());
}

#[test]
fn values_are_exponentials_logistic_functions_and_the_numbers_themselves() {
    let hypers = hypers(TUNED);
    let h: Vec<f64> = (0..40).map(|j| 0.1 * f64::from(j) - 1.7).collect();
    let mut values = h.clone();
    hypers.values::<Fused, f64>(&mut values).unwrap();
    let value = |j: usize| match j {
        0..10 => h[j],
        39 => 1.0 / (1.0 + (-h[j]).exp()),
        _ => h[j].exp(),
    };
    let want: Vec<f64> = (0..40).map(value).collect();
    assert_each_close("values", &values, &want, SAME_FORMULA_F64);
}

#[test]
fn a_block_may_have_another_parametrisation_than_its_kind() {
    let block = Tuned {
        parametrisation: None,
        ..Tuned::new(What::Rate, Granularity::Global)
    };
    let tuned = [block];
    let mut h = [-2.0f32];
    hypers(&tuned).values::<Fused, f32>(&mut h).unwrap();
    assert_eq!(h, [-2.0]);
    let logit = Some(Parametrisation::Logit);
    let tuned = [Tuned {
        parametrisation: logit,
        ..block
    }];
    let mut h = [0.0f32];
    hypers(&tuned).values::<Fused, f32>(&mut h).unwrap();
    assert_eq!(h, [0.5]);
}

#[test]
fn blocks_that_cannot_be_are_refused() {
    let unsupported = |tuned: &[Tuned], word: &str| {
        let Err(Error::Unsupported { what }) = hypers(tuned).check() else {
            panic!("{tuned:?} is not refused");
        };
        assert!(what.contains(word), "{what}");
    };
    let rate = Tuned::new(What::Rate, Granularity::Layer);
    let scale = Tuned::new(What::Scale, Granularity::Unit);
    let global = Granularity::Global;
    unsupported(&[rate, scale, Tuned { by: global, ..rate }], "two blocks");
    for what in TUNED.iter().map(|block| block.what) {
        let block = Tuned {
            each_step: true,
            ..Tuned::new(what, global)
        };
        if matches!(what, What::Rate | What::Momentum) {
            assert_eq!(hypers(&[block]).check(), Ok(()));
        } else {
            unsupported(&[block], "step to step");
        }
    }
}

#[test]
fn vectors_of_another_length_and_values_without_end_are_refused() {
    let hypers = hypers(TUNED);
    for got in [39, 41] {
        let mut other = vec![0.0f32; got];
        let (what, want) = ("h", 40);
        let refused = Err(Error::Length { what, want, got });
        assert_eq!(hypers.values::<Fused, f32>(&mut other), refused);
    }
    let mut h = [0.0f32; 40];
    h[33] = 100.0;
    let values = hypers.values::<Fused, f32>(&mut h);
    let what = "value of a hyperparameter";
    assert_eq!(values, Err(Error::NonFinite { what, step: 0 }));
}

#[test]
fn weights_without_structure_are_named_by_their_number_or_are_all_weights() {
    let groups = |by| Groups {
        layout: Layout::Flat(3),
        by,
        biases: true,
    };
    assert_eq!(Layout::Flat(3).inputs(), 1);
    assert_eq!(
        [LAYOUT, Layout::Layers(&[])].map(|layout| layout.inputs()),
        [3, 1]
    );
    assert_eq!(
        groups(Granularity::Parameter).member(2),
        Some(Member::Number(2))
    );
    assert_eq!(groups(Granularity::Parameter).member(3), None);
    assert_eq!(
        groups(Granularity::Global).member(0),
        Some(Member::Everything)
    );
    assert_eq!(Member::Number(2).to_string(), "weight 2");
    assert_eq!(Member::Everything.to_string(), "all weights");
}
