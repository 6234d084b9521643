//! A training run backwards with few bits: half precision against its definition, the valley against
//! differences, backward passes bit for bit, and hypergradients against a training written out in float64.

use crate::common::{Noise, assert_close, assert_differences, keeps_the_identities};
use drmad::kernels::reduce::cosine;
use drmad::{Plain, Scalar};
use drmad_host::report::findings::Findings;
use drmad_host::study::half::Half;
use drmad_host::study::precision::reversal::{
    BITS_16, BITS_32, Measured, Training, Valley, held, measure, truth,
};
use drmad_host::study::precision::{Settings, run};
use drmad_host::tolerances::*;

const START: [f64; 2] = [1.4, 3.9];

fn trainings() -> Vec<Training> {
    Settings::default().trainings
}

/// The training of the public code's figure of the naive reversal.
fn naive() -> Training {
    Training::from((46, -5.5, 0.8))
}

// ---------------------------------------------------------------- half precision

/// All finite numbers of half precision that are not negative, in order, from their bits.
fn halves() -> Vec<f64> {
    let of = |bits: i32| {
        let (exponent, fraction) = (bits >> 10, f64::from(bits & 1023));
        match exponent {
            0 => fraction * 2f64.powi(-24),
            _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
        }
    };
    (0..0x7c00).map(of).collect()
}

#[test]
fn rounding_to_half_precision_takes_the_nearest_number_and_ties_to_even() {
    let all = halves();
    for (i, pair) in all.windows(2).enumerate() {
        let [low, high] = [pair[0], pair[1]];
        let middle = (low + high) / 2.0;
        let even = if i % 2 == 0 { low } else { high };
        let near = 1e-6 * (high - low);
        for (x, want) in [
            (low, low),
            (middle - near, low),
            (middle, even),
            (middle + near, high),
        ] {
            assert_eq!(Half::from_f64(x).to_f64(), want, "of {x}");
            assert_eq!(Half::from_f64(-x).to_f64(), -want, "of {}", -x);
        }
    }
    assert_eq!(all.last(), Some(&65504.0));
    assert_eq!(Half::from_f64(65519.9).to_f64(), 65504.0);
    assert_eq!(Half::from_f64(65520.0).to_f64(), f64::INFINITY);
    assert_eq!(Half::from_f64(-1e30).to_f64(), f64::NEG_INFINITY);
    assert!(Half::from_f64(f64::NAN).to_f64().is_nan());
}

#[test]
fn an_operation_in_half_precision_rounds_the_exact_result_once() {
    let mut noise = Noise(1);
    let mut number = || Half::from_f64(f64::from(noise.number()) * 8.0);
    for _ in 0..10_000 {
        let (a, b, c) = (number(), number(), number());
        let [x, y, z] = [a, b, c].map(Half::to_f64);
        assert_eq!((a + b).to_f64(), Half::from_f64(x + y).to_f64());
        assert_eq!((a - b).to_f64(), Half::from_f64(x - y).to_f64());
        assert_eq!((a * b).to_f64(), Half::from_f64(x * y).to_f64());
        assert_eq!(a.fused(b, c).to_f64(), Half::from_f64(x * y + z).to_f64());
        let (quotient, unit) = ((a / b).to_f64(), 2f64.powi(-11));
        assert!(y == 0.0 || (quotient - x / y).abs() <= unit * (x / y).abs());
        assert!((a.abs().sqrt().to_f64() - x.abs().sqrt()).abs() <= unit * x.abs().sqrt());
    }
    assert_eq!(Half::from_f64(1.0).exp::<Plain>().to_f64(), 2.71875);
}

// ---------------------------------------------------------------- the valley

#[test]
fn the_valley_keeps_the_identities() {
    keeps_the_identities("the valley", &Valley);
}

/// The training in plain float64, with a rate and a momentum for each step; the loss at its end.
fn loss_at_the_end(rates: &[f64], momenta: &[f64]) -> f64 {
    let valley = |y: f64, x: f64| 100.0 * (x - y * y).powi(2) + (1.0 - y).powi(2) + 200.0 * y;
    let logistic = |r: f64| 1.0 / (1.0 + (-r).exp());
    let ([mut y, mut x], [mut v_y, mut v_x]) = (START, [0.0; 2]);
    for (rate, momentum) in rates.iter().zip(momenta) {
        let s = logistic(valley(y, x) / 500.0);
        let slope = 800.0 / 500.0 * s * (1.0 - s);
        let g_y = slope * (-400.0 * y * (x - y * y) - 2.0 * (1.0 - y) + 200.0);
        let g_x = slope * 200.0 * (x - y * y);
        v_y = momentum * v_y - (1.0 - momentum) * g_y;
        v_x = momentum * v_x - (1.0 - momentum) * g_x;
        y += rate * v_y;
        x += rate * v_x;
    }
    800.0 * logistic(valley(y, x) / 500.0)
}

#[test]
fn the_hypergradient_of_every_rate_and_momentum_is_that_of_finite_differences() {
    for training in trainings() {
        let steps = training.steps;
        let hypers = [
            vec![training.log_rate.exp(); steps],
            vec![training.momentum; steps],
        ];
        let mut want = vec![];
        for kind in 0..2 {
            for t in 0..steps {
                let loss = |by: f64| {
                    let mut hypers = hypers.clone();
                    hypers[kind][t] += by;
                    loss_at_the_end(&hypers[0], &hypers[1])
                };
                // Of the fourth order.
                let e = VALLEY_STEP;
                let (near, far) = (loss(e) - loss(-e), loss(2.0 * e) - loss(-2.0 * e));
                want.push((8.0 * near - far) / (12.0 * e));
            }
        }
        let got = truth(START, training).unwrap();
        let (got, want) = (got.split_at(steps), want.split_at(steps));
        // Losses of some 500, not of 1.
        let step = VALLEY_STEP / 500.0;
        assert_differences("by rates", got.0, want.0, step, VALLEY_DIFFERENCES);
        assert_differences("by momenta", got.1, want.1, step, VALLEY_DIFFERENCES);
    }
}

// ---------------------------------------------------------------- the backward pass

fn returns(measured: &Measured, training: Training) {
    assert_eq!(measured.back.len(), training.steps);
    assert_eq!(measured.same, training.steps);
    assert!(measured.errors().iter().all(|e| *e == 0.0));
    let forth: Vec<_> = measured.there.iter().rev().copied().collect();
    assert_eq!(measured.back, forth);
    assert_ne!(measured.there.first(), measured.there.last());
}

#[test]
fn the_information_buffer_returns_to_the_start_bit_for_bit() {
    for training in trainings() {
        returns(
            &measure::<f32>(START, training, Some(BITS_32)).unwrap(),
            training,
        );
        returns(
            &measure::<f32>(START, training, Some(BITS_16)).unwrap(),
            training,
        );
        returns(
            &measure::<Half>(START, training, Some(BITS_16)).unwrap(),
            training,
        );
    }
}

#[test]
fn a_velocity_beyond_16_bits_is_refused() {
    // A start so steep that the first step is faster than 256.
    let steep = Training::from((5, -5.5, 0.1));
    let error = measure::<f32>([2.1, 3.1], steep, Some(BITS_16)).unwrap_err();
    assert!(
        matches!(
            error,
            drmad::Error::Overflow {
                what: "velocity",
                ..
            }
        ),
        "{error}"
    );
    assert!(measure::<f32>([2.1, 3.1], steep, Some(BITS_32)).is_err());
}

#[test]
fn sixteen_bits_train_well_where_the_momentum_has_a_small_denominator() {
    let of = |momentum| {
        let training = Training {
            momentum,
            ..naive()
        };
        let truth = truth(START, training).unwrap();
        let few = measure::<f32>(START, training, Some(BITS_16)).unwrap();
        let many = measure::<f32>(START, training, Some(BITS_32)).unwrap();
        [few, many].map(|measured| cosine(&measured.exact, &truth))
    };
    let ([fifths, wide_fifths], [half, wide_half]) = (of(0.8), of(819.0 / 1024.0));
    assert!(fifths > 0.999 && half < 0.9, "{fifths} {half}");
    assert!(wide_fifths > 0.999_999 && wide_half > 0.999_999);
}

#[test]
fn naive_reversal_misses_the_start_in_half_precision() {
    let measured = measure::<Half>(START, naive(), None).unwrap();
    let errors = measured.errors();
    assert!(errors[45] > 0.5, "{errors:?}");
    // It begins well: within the rounding of weights of order 1.
    assert!(errors[..10].iter().all(|e| *e < 2.0 * Half::EPSILON));
    let found = measured.found.unwrap();
    assert!(cosine(&found, &measured.exact) < 0.9);
}

#[test]
fn naive_reversal_is_lost_the_sooner_the_smaller_the_momentum() {
    let of = |momentum: f64| {
        let training = Training {
            momentum,
            ..naive()
        };
        let measured = measure::<f32>(START, training, None).unwrap();
        let growth = measured.growth().unwrap() * momentum;
        assert!(
            (growth - 1.0).abs() < REVERSED_GROWTH,
            "{momentum}: {growth}"
        );
        measured.at_start(training).unwrap()
    };
    let [slow, middle, fast] = [0.9, 0.8, 0.5].map(of);
    assert!(
        slow < 1e-3 && middle < 0.1 && fast > 1.0,
        "{slow} {middle} {fast}"
    );
    // Beside .9 each rounding has grown (.9 / .5)^46 times more at the start.
    assert!(slow < middle / 10.0 && middle < fast / 10.0);
}

#[test]
fn the_hypergradient_with_the_buffer_is_that_of_the_same_walk_remembered() {
    for training in trainings() {
        let measured = measure::<f32>(START, training, Some(BITS_32)).unwrap();
        assert_eq!(measured.found.as_ref().unwrap(), &measured.exact);
        let truth = truth(START, training).unwrap();
        // The valley makes one rounding grow into all entries alike.
        for kind in [0..training.steps, training.steps..2 * training.steps] {
            let (got, want) = (&measured.exact[kind.clone()], &truth[kind]);
            assert_close("f32 against f64", got, want, VALLEY_F32);
        }
        let half = measure::<Half>(START, training, Some(BITS_16)).unwrap();
        assert_eq!(half.found.as_ref().unwrap(), &half.exact);
    }
}

// ---------------------------------------------------------------- bits, and the page

#[test]
fn the_buffer_holds_what_the_momentum_loses_and_little_more() {
    for momentum in [0.99f32, 0.9, 0.8, 0.5] {
        let momentum = f64::from(momentum);
        let held = held(momentum, 10_000);
        let lost = 10_000.0 * -momentum.log2();
        assert!(held[9_999] >= lost, "momentum {momentum}");
        assert!(
            held[9_999] <= (1.0 + REVERSIBLE_SIZE) * lost + 8.0,
            "momentum {momentum}"
        );
    }
}

#[test]
fn the_findings_have_every_way_of_every_training() {
    let findings: Findings = run(&serde_json::from_str("{}").unwrap()).unwrap();
    assert_eq!(findings.variants.len(), 5 * trainings().len());
    let of = |name: &str, metric: &str| {
        let variant = findings.variants.iter().find(|v| v.name == name).unwrap();
        let metric = variant.metrics.iter().find(|m| m.name == metric);
        metric.map(|metric| metric.values[0])
    };
    assert_eq!(
        of("half, information buffer", "error at the start"),
        Some(0.0)
    );
    assert_eq!(
        of("f32, information buffer", "steps back bit for bit"),
        Some(50.0)
    );
    assert!(of("half, reversed, momentum 0.8", "error at the start") > Some(0.5));
    // Only where the backward pass was lost is there no hypergradient.
    let failed = findings.variants.iter().filter(|v| v.failed.is_some());
    let failed: Vec<_> = failed.map(|v| &v.name[..]).collect();
    assert_eq!(failed, ["half, reversed, momentum 0.5"]);
    let text = serde_json::to_string(&findings).unwrap();
    let again: Findings = serde_json::from_str(&text).unwrap();
    assert_eq!(again.figures.len(), findings.figures.len());
}
