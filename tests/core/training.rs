//! The described training against a program that shares no code with it: nested loops in float64, differentiated by
//! fourth-order differences of whole trainings.

use drmad::group::Granularity;
use drmad::layers::Layer::{self, Dense, Relu, Tanh};
use drmad::method::{Method, Recall, Sweep};
use drmad::models::{Features, Quadratic};
use drmad::network::{Loss, Network};
use drmad::outer::Parametrisation;
use drmad::path::Levels;
use drmad::random::{InitialWeights, Normal};
use drmad::training::{
    Compiled, Input, Model, On, Own, Session, Source, Target, Training, Tuned, What,
};
use drmad::{Error, Fused};

use crate::tolerances;

/// Examples with numbers to predict.
struct Regression {
    x: Vec<f32>,
    y: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Source for Regression {
    fn len(&self) -> usize {
        self.x.len() / self.inputs
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn targets(&self) -> Option<usize> {
        Some(self.outputs)
    }

    fn input(&self, i: u32) -> Result<Input<'_>, Error> {
        let row = &self.x[self.inputs * i as usize..][..self.inputs];
        Ok(Input::Numbers(row))
    }

    fn target(&self, i: u32) -> Result<Target<'_>, Error> {
        let row = &self.y[self.outputs * i as usize..][..self.outputs];
        Ok(Target::Numbers(row))
    }
}

/// Fixed pseudo-random numbers in -1 .. 1 (SplitMix64), which share nothing with the crate's.
struct Noise(u64);

impl Noise {
    fn number(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / 8_388_608.0 - 1.0
    }

    fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number() as f32).collect()
    }
}

const INPUTS: usize = 3;
const OUTPUTS: usize = 2;
const EXAMPLES: usize = 9;

fn regression(seed: u64) -> Regression {
    let mut noise = Noise(seed);
    Regression {
        x: noise.f32s(EXAMPLES * INPUTS),
        y: noise.f32s(EXAMPLES * OUTPUTS),
        inputs: INPUTS,
        outputs: OUTPUTS,
    }
}

/// The classes of the same examples.
fn labels(data: &Regression) -> Vec<u8> {
    let rows = data.y.chunks(OUTPUTS);
    rows.map(|y| u8::from(y[1] > y[0])).collect()
}

const DEPTHS: [&[Layer]; 3] = [
    &[Dense(OUTPUTS)],
    &[Dense(4), Tanh, Dense(OUTPUTS)],
    &[Dense(4), Relu, Dense(3), Tanh, Dense(OUTPUTS)],
];

fn each_step(what: What, by: Granularity) -> Tuned {
    Tuned {
        each_step: true,
        ..Tuned::new(what, by)
    }
}

/// A training of a network with all that can be tuned of one at once, out of order.
fn training<'a>(layers: &'a [Layer], loss: Loss, tuned: &'a [Tuned]) -> Training<'a> {
    let network = Network {
        inputs: INPUTS,
        layers,
        loss,
    };
    Training {
        tuned,
        batch: 4,
        microbatch: Some(3),
        log_scale: -0.5,
        l2: 0.01,
        seed: 5,
        ..Training::of(network, EXAMPLES, 7)
    }
}

/// The validation loss after training, in nested loops: nothing of the crate is used but the numbers of the examples
/// of each batch and standard normal numbers.
fn plain(training: &Training<'_>, train: &Regression, valid: &Regression, h: &[f64]) -> f64 {
    let Model::Network { network, .. } = training.model else {
        unreachable!("a network")
    };
    let mut widths = vec![network.inputs];
    let mut activations = vec![];
    for layer in network.layers {
        match layer {
            Dense(n) => {
                widths.push(*n);
                activations.push(None);
            }
            other => *activations.last_mut().unwrap() = Some(*other),
        }
    }
    let p: usize = widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum();
    let steps = training.steps;
    // Which hyperparameter of a kind weight `i` has.
    let group = |by: Granularity, biases: bool, i: usize| -> Option<usize> {
        let (mut start, mut units, mut tensors) = (0, 0, 0);
        for (l, pair) in widths.windows(2).enumerate() {
            let matrix = pair[0] * pair[1];
            let all = matrix + pair[1];
            if i < start + all {
                let bias = i >= start + matrix;
                if bias && !biases {
                    return None;
                }
                return Some(match by {
                    Granularity::Global => 0,
                    Granularity::Layer => l,
                    Granularity::Tensor => tensors + usize::from(bias),
                    Granularity::Unit if bias => units + pair[0],
                    Granularity::Unit => units + (i - start) / pair[1],
                    Granularity::Parameter => i,
                });
            }
            start += all;
            units += pair[0] + usize::from(biases);
            tensors += 1 + usize::from(biases);
        }
        unreachable!("weight {i}")
    };
    let groups = |block: &Tuned| {
        let spares = matches!(block.what, What::Scale | What::Penalty);
        let biases = !spares || matches!(block.by, Granularity::Tensor | Granularity::Parameter);
        let of: Vec<_> = (0..p).map(|i| group(block.by, biases, i)).collect();
        let count = of.iter().flatten().max().unwrap() + 1;
        (of, count)
    };
    // What each weight has of each kind, at each step.
    let natural = |block: &Tuned, h: f64| match block.parametrisation {
        Some(Parametrisation::Log) => h.exp(),
        Some(Parametrisation::Logit) => 1.0 / (1.0 + (-h).exp()),
        None => h,
    };
    let table = |what: What, fixed: f64| -> Vec<Vec<f64>> {
        let mut start = 0;
        for block in training.tuned {
            let (of, count) = match block.what {
                What::ExampleWeight => ((0..EXAMPLES).map(Some).collect(), EXAMPLES),
                What::Input => (vec![], EXAMPLES * INPUTS),
                _ => groups(block),
            };
            let len = if block.each_step {
                count * steps
            } else {
                count
            };
            if block.what == what {
                return (0..steps)
                    .map(|t| {
                        let first = start + if block.each_step { t * count } else { 0 };
                        let at = |j: &Option<usize>| {
                            j.map_or(f64::NAN, |j| natural(block, h[first + j]))
                        };
                        of.iter().map(at).collect()
                    })
                    .collect();
            }
            start += len;
        }
        let many = if what == What::ExampleWeight {
            EXAMPLES
        } else {
            p
        };
        vec![vec![fixed; many]; steps]
    };
    let rates = table(What::Rate, f64::from(training.rate));
    let momenta = table(What::Momentum, f64::from(training.momentum));
    let spreads = table(What::InitialScale, f64::from(training.log_scale).exp());
    let scales = table(What::Scale, 1.0);
    let penalties = table(What::Penalty, f64::from(training.l2));
    let weights = table(What::ExampleWeight, 1.0);

    // Loss of an example, and its gradient.
    let one = |w: &[f64], x: &[f32], y: &[f32], label: usize| -> (f64, Vec<f64>) {
        let mut layers = vec![x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()];
        let mut start = 0;
        for (l, pair) in widths.windows(2).enumerate() {
            let a = &layers[l];
            let z: Vec<f64> = (0..pair[1])
                .map(|k| {
                    let sum: f64 = (0..pair[0])
                        .map(|i| a[i] * w[start + i * pair[1] + k])
                        .sum();
                    let z = sum + w[start + pair[0] * pair[1] + k];
                    match activations[l] {
                        Some(Tanh) => z.tanh(),
                        Some(Relu) => z.max(0.0),
                        _ => z,
                    }
                })
                .collect();
            layers.push(z);
            start += (pair[0] + 1) * pair[1];
        }
        let z = layers.last().unwrap();
        let (loss, mut d): (f64, Vec<f64>) = match network.loss {
            Loss::SquaredError => {
                let e: Vec<f64> = z.iter().zip(y).map(|(z, y)| z - f64::from(*y)).collect();
                (0.5 * e.iter().map(|e| e * e).sum::<f64>(), e)
            }
            _ => {
                let sum: f64 = z.iter().map(|z| z.exp()).sum();
                let d = (0..z.len()).map(|k| z[k].exp() / sum - f64::from(u8::from(k == label)));
                (sum.ln() - z[label], d.collect())
            }
        };
        let mut g = vec![0.0; w.len()];
        for (l, pair) in widths.windows(2).enumerate().rev() {
            start -= (pair[0] + 1) * pair[1];
            let a = &layers[l];
            let mut before = vec![0.0; pair[0]];
            for k in 0..pair[1] {
                g[start + pair[0] * pair[1] + k] = d[k];
                for i in 0..pair[0] {
                    g[start + i * pair[1] + k] = a[i] * d[k];
                    before[i] += w[start + i * pair[1] + k] * d[k];
                }
            }
            if l > 0 {
                for (d, a) in before.iter_mut().zip(a) {
                    *d *= match activations[l - 1] {
                        Some(Tanh) => 1.0 - a * a,
                        Some(Relu) => f64::from(u8::from(*a > 0.0)),
                        _ => 1.0,
                    };
                }
            }
            d = before;
        }
        (loss, g)
    };
    let mut z = vec![0.0f64; p];
    let normal = Normal {
        seed: training.seed,
        groups: drmad::group::Groups::global(p),
        log_scales: &[0.0],
    };
    normal.fill(0, &mut z);
    for (z, spread) in z.iter_mut().zip(&spreads[0]) {
        *z *= spread;
    }
    let or_one = |s: f64| if s.is_nan() { 1.0 } else { s };
    let scaled = |z: &[f64]| -> Vec<f64> {
        z.iter()
            .zip(&scales[0])
            .map(|(z, s)| z * or_one(*s))
            .collect()
    };
    let mut v = vec![0.0; p];
    let train_labels = labels(train);
    for t in 0..steps {
        let mut batch = vec![0; training.batch];
        training.batches().fill(t, &mut batch).unwrap();
        let w = scaled(&z);
        let mut g = vec![0.0; p];
        for i in &batch {
            let i = *i as usize;
            let (x, y) = (
                &train.x[i * INPUTS..][..INPUTS],
                &train.y[i * OUTPUTS..][..OUTPUTS],
            );
            let share = weights[0][i] / batch.len() as f64;
            let (_, of_one) = one(&w, x, y, usize::from(train_labels[i]));
            for (g, d) in g.iter_mut().zip(of_one) {
                *g += share * d;
            }
        }
        for i in 0..p {
            let penalty = match penalties[0][i] {
                c if c.is_nan() => 0.0,
                c => 2.0 * c * z[i],
            };
            let g = g[i] * or_one(scales[0][i]) + penalty;
            v[i] = momenta[t][i] * v[i] - (1.0 - momenta[t][i]) * g;
            z[i] += rates[t][i] * v[i];
        }
    }
    let (w, valid_labels) = (scaled(&z), labels(valid));
    let losses = (0..EXAMPLES).map(|i| {
        let (x, y) = (
            &valid.x[i * INPUTS..][..INPUTS],
            &valid.y[i * OUTPUTS..][..OUTPUTS],
        );
        one(&w, x, y, usize::from(valid_labels[i])).0
    });
    losses.sum::<f64>() / EXAMPLES as f64
}

/// The derivative of `f` by each entry of `h`, by fourth-order differences.
fn differences(h: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = tolerances::WHOLE_TRAINING_STEP;
    (0..h.len())
        .map(|j| {
            let at = |k: f64| {
                let mut h = h.to_vec();
                h[j] += k * step;
                f(&h)
            };
            (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step)
        })
        .collect()
}

/// An `h` for each block near to what is usual.
fn start(training: &Training<'_>) -> Vec<f64> {
    let (hypers, mut noise) = (training.hypers(), Noise(3));
    let mut h = vec![];
    for (block, range) in hypers.blocks() {
        let centre = match block.what {
            What::Rate => -1.2,
            What::Momentum => 0.7,
            What::InitialScale => -0.5,
            What::Penalty => -3.0,
            What::ExampleWeight => 0.9,
            _ => 0.1,
        };
        h.extend(range.map(|_| centre + 0.2 * noise.number()));
    }
    h
}

fn hypergradient<S: drmad::Real + bytemuck::Pod>(
    training: &Training<'_>,
    method: Method,
    on: On<'_, Fused, S>,
    h: &[f64],
) -> (S, Vec<S>)
where
    Fused: Compiled<S>,
{
    let h: Vec<S> = h.iter().map(|h| S::from_f64(*h)).collect();
    // What was in the memory must not matter, and the promised length must do.
    let mut memory = vec![S::from_f64(f64::NAN); training.need::<S>(method).len()];
    let mut d_h = vec![S::from_f64(f64::NAN); h.len()];
    let outcome = training.hypergradient(method, on, &h, &mut d_h, &mut memory);
    (outcome.unwrap().valid_loss, d_h)
}

/// Entry by entry: an error is relative to the entry, or as much as this.
#[track_caller]
fn assert_each_close(
    training: &Training<'_>,
    got: &[f64],
    want: &[f64],
    tolerance: f64,
    rounding: f64,
) {
    for (block, range) in training.hypers().blocks() {
        assert!(
            want[range.clone()].iter().any(|x| *x != 0.0),
            "{block:?} moves nothing"
        );
        for j in range {
            let (got, want) = (got[j], want[j]);
            let error = (got - want).abs();
            assert!(
                error <= tolerance * want.abs() + rounding,
                "{block:?} {j}: {got} for {want}, {error:e} off"
            );
        }
    }
}

/// What the rounding of losses of order 1 makes of a difference.
const ROUNDING: f64 = tolerances::DIFFERENCED_LOSSES / tolerances::WHOLE_TRAINING_STEP;

/// The blocks that may be tuned at once, the inputs of examples apart.
fn everything(by: Granularity, scheduled: Granularity) -> Vec<Tuned> {
    vec![
        each_step(What::Momentum, scheduled),
        Tuned::new(What::Penalty, by),
        Tuned::new(What::ExampleWeight, by),
        each_step(What::Rate, scheduled),
        Tuned::new(What::Scale, by),
        Tuned::new(What::InitialScale, by),
    ]
}

#[test]
fn every_block_of_every_network_has_the_derivative_of_a_program_of_its_own() {
    let (train, valid) = (regression(1), regression(2));
    let [train_labels, valid_labels] = [&train, &valid].map(labels);
    let [train_classes, valid_classes] =
        [(&train, &train_labels), (&valid, &valid_labels)].map(|(data, labels)| Features {
            x: &data.x,
            labels,
            width: INPUTS,
        });
    for (k, layers) in DEPTHS.into_iter().enumerate() {
        for loss in [Loss::CrossEntropy, Loss::SquaredError] {
            let (by, scheduled) = [
                (Granularity::Parameter, Granularity::Global),
                (Granularity::Unit, Granularity::Tensor),
                (Granularity::Layer, Granularity::Unit),
            ][k];
            let tuned = everything(by, scheduled);
            let training = training(layers, loss, &tuned);
            let (train_source, valid_source): (&dyn Source, &dyn Source) = match loss {
                Loss::SquaredError => (&train, &valid),
                _ => (&train_classes, &valid_classes),
            };
            let losses = training
                .losses::<Fused>(train_source, valid_source)
                .unwrap();
            let h = start(&training);
            let (valid_loss, d_h) = hypergradient::<f64>(&training, Method::TAPE, losses.on(), &h);
            let of = |h: &[f64]| plain(&training, &train, &valid, h);
            assert!((valid_loss - of(&h)).abs() < tolerances::TWO_EXACT_METHODS);
            let want = differences(&h, of);
            assert_each_close(&training, &d_h, &want, tolerances::WHOLE_TRAINING, ROUNDING);
        }
    }
}

/// Inputs of examples, which are tuned without their weights.
#[test]
fn inputs_that_are_tuned_have_their_derivative() {
    let (train, valid) = (regression(1), regression(2));
    let tuned = [Tuned::new(What::Input, Granularity::Global)];
    let training = training(DEPTHS[2], Loss::SquaredError, &tuned);
    let losses = training.losses::<Fused>(&train, &valid).unwrap();
    let h: Vec<f64> = train.x.iter().map(|x| f64::from(*x)).collect();
    let (_, d_h) = hypergradient::<f64>(&training, Method::TAPE, losses.on(), &h);
    let step = 1.0 / 4096.0;
    for j in [0, 4, 26] {
        // Exact in f32, as the examples are.
        let at = |k: f32| {
            let mut moved = regression(1);
            moved.x[j] += k * step;
            plain(&training, &moved, &valid, &[])
        };
        let want = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * f64::from(step));
        assert!(
            (d_h[j] - want).abs() <= tolerances::CENTRAL_DIFFERENCES,
            "{j}: {} {want}",
            d_h[j]
        );
    }
}

/// What is trained in the tests of methods and memory.
fn classes(data: &Regression) -> (Vec<f32>, Vec<u8>) {
    (data.x.clone(), labels(data))
}

#[test]
fn all_exact_methods_agree_and_the_shortcuts_are_near() {
    let (x, labels) = classes(&regression(1));
    let data = Features {
        x: &x,
        labels: &labels,
        width: INPUTS,
    };
    let tuned = [
        Tuned::new(What::Penalty, Granularity::Unit),
        each_step(What::Rate, Granularity::Layer),
        Tuned::new(What::InitialScale, Granularity::Tensor),
    ];
    let training = Training {
        steps: 20,
        ..training(DEPTHS[1], Loss::CrossEntropy, &tuned)
    };
    let losses = training.losses::<Fused>(&data, &data).unwrap();
    let h = start(&training);
    let (loss, tape) = hypergradient::<f64>(&training, Method::TAPE, losses.on(), &h);
    let checkpoints = Method::Sweep(Sweep::over(Recall::Checkpoints { snapshots: 3 }));
    assert_eq!(
        hypergradient::<f64>(&training, checkpoints, losses.on(), &h),
        (loss, tape.clone())
    );
    let (_, forward) = hypergradient::<f64>(&training, Method::Forward, losses.on(), &h);
    // An initial scale is the sum over its weights, of both signs.
    let largest = tape.iter().fold(0.0f64, |size, x| size.max(x.abs()));
    let floor = tolerances::TWO_EXACT_METHODS * tolerances::FLOOR_F32 * largest;
    assert_each_close(
        &training,
        &forward,
        &tape,
        tolerances::TWO_EXACT_METHODS,
        floor,
    );
    let size = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for recall in Recall::ALL {
        if let Recall::PublishedLine { .. } | Recall::Line = recall {
            continue;
        }
        let (_, near) = hypergradient::<f64>(
            &training,
            Method::Sweep(Sweep::over(recall)),
            losses.on(),
            &h,
        );
        let dot: f64 = near.iter().zip(&tape).map(|(a, b)| a * b).sum();
        let cosine = dot / size(&near) / size(&tape);
        assert!(
            cosine > tolerances::INTERPOLANTS_COSINE,
            "{}: {cosine}",
            recall.name()
        );
    }
}

#[test]
fn memory_is_what_was_promised_and_not_a_number_less() {
    let (x, labels) = classes(&regression(1));
    let data = Features {
        x: &x,
        labels: &labels,
        width: INPUTS,
    };
    let alone = [Tuned::new(What::Penalty, Granularity::Layer)];
    let many = everything(Granularity::Unit, Granularity::Layer);
    let mut methods: Vec<Method> = Recall::ALL
        .map(|recall| Method::Sweep(Sweep::over(recall)))
        .to_vec();
    methods.extend([
        Method::Forward,
        Method::Direct,
        Method::IMPLICIT,
        Method::Sweep(Sweep {
            drops_negative_curvature: true,
            ..Sweep::HATS
        }),
        Method::Sweep(Sweep {
            last: Some(5),
            ..Sweep::TAPE
        }),
        Method::Sweep(Sweep::over(Recall::Knots {
            intervals: 3,
            levels: Levels::Full,
        })),
    ]);
    for tuned in [&alone[..], &many] {
        for microbatch in [None, Some(1), Some(3)] {
            let training = Training {
                steps: 20,
                microbatch,
                ..training(DEPTHS[1], Loss::CrossEntropy, tuned)
            };
            let losses = training.losses::<Fused>(&data, &data).unwrap();
            let (h, n) = (start(&training), training.hypers().len());
            let h: Vec<f32> = h.iter().map(|h| *h as f32).collect();
            for method in &methods {
                let (mut d_h, want) = (vec![0.0; n], training.need::<f32>(*method).len());
                let mut with = |len: usize| {
                    let mut memory = vec![f32::NAN; len];
                    training.hypergradient(*method, losses.on(), &h, &mut d_h, &mut memory)
                };
                match with(want) {
                    Ok(_) => {}
                    // What a method has no derivative by, or does not go together.
                    Err(Error::Unsupported { .. } | Error::Range { .. }) => continue,
                    Err(other) => panic!("{}: {other}", method.name()),
                }
                let less = with(want - 1);
                assert!(
                    matches!(less, Err(Error::Length { .. })),
                    "{}: {less:?}",
                    method.name()
                );
            }
        }
    }
}

#[test]
fn a_session_by_steps_and_one_restored_have_the_bits_of_one_call() {
    let (x, labels) = classes(&regression(1));
    let data = Features {
        x: &x,
        labels: &labels,
        width: INPUTS,
    };
    let tuned = everything(Granularity::Unit, Granularity::Layer);
    let training = training(DEPTHS[1], Loss::CrossEntropy, &tuned);
    let losses = training.losses::<Fused>(&data, &data).unwrap();
    let h64 = start(&training);
    let h: Vec<f32> = h64.iter().map(|h| *h as f32).collect();
    for recall in Recall::ALL {
        let sweep = Sweep::over(match recall {
            Recall::Hats {
                levels, spacing, ..
            } => Recall::Hats {
                intervals: 3,
                levels,
                spacing,
            },
            Recall::Legendre { .. } => Recall::Legendre { polynomials: 3 },
            other => other,
        });
        let method = Method::Sweep(sweep);
        let mut memory = vec![f32::NAN; training.need::<f32>(method).len()];
        let mut bytes = vec![0xff; training.state_len::<f32>(method)];
        let mut whole = vec![0.0; h.len()];
        if let Err(Error::Unsupported { .. }) =
            training.hypergradient(method, losses.on(), &h, &mut whole, &mut memory)
        {
            continue;
        }
        for steps in [1, 4] {
            let mut d_h = vec![0.0; h.len()];
            let mut saved = false;
            loop {
                // A new session each time, as after a loss of power.
                memory.fill(f32::NAN);
                let mut session =
                    Session::<Fused, f32>::new(training, sweep, losses.on(), &h, &mut memory)
                        .unwrap();
                if saved {
                    session.restore(9, &bytes).unwrap();
                }
                assert!(session.hypergradient(&mut d_h).is_err(), "it is not done");
                if session.advance(steps, &mut |_, _| ()).unwrap().is_some() {
                    session.hypergradient(&mut d_h).unwrap();
                    break;
                }
                session.save(0, 9, &mut bytes).unwrap();
                saved = true;
            }
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&d_h), bits(&whole), "{} by {steps}", recall.name());
        }
    }
}

#[test]
fn an_objective_of_ones_own_is_trained_by_the_same_door() {
    // w <- w - rate a (w - h), from 1: a closed form.
    let bowl = Quadratic::<Fused>::new(&[1.0, 2.0]);
    let tuned = [
        Tuned::new(What::Rate, Granularity::Global),
        Tuned::new(What::Objective, Granularity::Global),
    ];
    let training = Training {
        tuned: &tuned,
        momentum: 0.0,
        valid_examples: 0,
        ..Training::new(Model::Own(Own::new(2, 2, 0)), 1, 3)
    };
    let on = On {
        training: &bowl,
        validation: &bowl,
        initial: Some(&[1.0, 1.0]),
    };
    let (rate, minimum) = (0.1f64, [0.25, -0.5]);
    let h = [rate.ln(), minimum[0], minimum[1]];
    let (loss, d_h) = hypergradient::<f64>(&training, Method::TAPE, on, &h);
    let mut want = (0.0, [0.0; 3]);
    for (k, a) in [1.0, 2.0f64].into_iter().enumerate() {
        let kept = 1.0 - rate * a;
        let miss = (1.0 - minimum[k]) * kept.powi(3);
        want.0 += 0.5 * a * miss * miss;
        want.1[0] += rate * a * miss * (1.0 - minimum[k]) * 3.0 * kept.powi(2) * -a;
        want.1[1 + k] = a * miss * -kept.powi(3);
    }
    assert!((loss - want.0).abs() < tolerances::CLOSED_FORM);
    for (got, want) in d_h.iter().zip(want.1) {
        assert!(
            (got - want).abs() < tolerances::CLOSED_FORM,
            "{d_h:?} {want:?}"
        );
    }
}

#[test]
fn what_cannot_be_trained_is_refused_with_what_to_do() {
    let fine = training(DEPTHS[1], Loss::CrossEntropy, &[]);
    let both = [
        Tuned::new(What::ExampleWeight, Granularity::Global),
        Tuned::new(What::Input, Granularity::Global),
    ];
    let apart = [
        Tuned::new(What::Rate, Granularity::Layer),
        Tuned::new(What::Momentum, Granularity::Global),
    ];
    let raw = [Tuned {
        parametrisation: None,
        ..Tuned::new(What::InitialScale, Granularity::Global)
    }];
    let twice = [Tuned::new(What::Rate, Granularity::Layer); 2];
    let stepped = [each_step(What::Penalty, Granularity::Layer)];
    for tuned in [&both[..], &apart, &raw, &twice, &stepped] {
        let refused = Training { tuned, ..fine }.check();
        assert!(
            matches!(refused, Err(Error::Unsupported { .. })),
            "{tuned:?}: {refused:?}"
        );
    }
    for bad in [f32::NAN, f32::INFINITY] {
        for training in [
            Training { rate: bad, ..fine },
            Training {
                momentum: bad,
                ..fine
            },
            Training {
                log_scale: bad,
                ..fine
            },
            Training { l2: bad, ..fine },
        ] {
            let refused = training.check();
            assert!(
                matches!(refused, Err(Error::NonFinite { .. })),
                "{refused:?}"
            );
        }
    }
    for layers in [
        &[][..],
        &[Tanh, Dense(2)],
        &[Dense(2), Tanh, Relu, Dense(2)],
        &[Dense(2), Tanh],
    ] {
        assert!(matches!(
            training(layers, Loss::CrossEntropy, &[]).check(),
            Err(Error::Unsupported { .. })
        ));
    }
    assert!(matches!(
        training(&[Dense(0)], Loss::CrossEntropy, &[]).check(),
        Err(Error::Range { .. })
    ));
    let own = Training::new(Model::Own(Own::new(2, 2, 0)), 1, 3);
    assert!(
        matches!(own.check(), Err(Error::Unsupported { .. })),
        "its hyperparameters are not tuned"
    );
}
