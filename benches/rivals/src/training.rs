//! The training: 784-50-50-50-10, tanh, softmax, batches of 50, heavy ball, on MNIST.
//!
//! Candle does what its users would write: `Linear` layers, `cross_entropy`, `backward`, and a heavy
//! ball by hand, as its SGD has no momentum. The images are one tensor of which each step selects rows.

use std::error::Error;
use std::io::Read;

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::Linear;
use drmad::Fused;
use drmad::group::Groups;
use drmad::hypergradient::{Workspace, scratch_len};
use drmad::models::{Examples, Mlp, Pixels, SparseImages, SparsePixels};
use drmad::path::Line;
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;

use crate::{Effort, median, race};

const WIDTHS: &[usize] = &[784, 50, 50, 50, 10];
const EXAMPLES: usize = 10_000;
const BATCHES: Batches = Batches {
    seed: 1,
    examples: EXAMPLES,
    size: 50,
};
const STEPS: usize = 100;
const RATE: f32 = 0.5;
const MOMENTUM: f32 = 0.95;
const MEAN: f32 = 0.13;
const ORIGIN: Normal<f32> = Normal {
    seed: 1,
    groups: Groups::global(44_860),
    log_scales: &[-2.0],
};
/// The relative difference of the last steps' losses: roundings of 100 steps.
const TOLERANCE: f32 = 1e-4;

/// The start of an IDX file behind its header.
fn read(frame: &[u8], header: usize, len: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(frame)?
        .take((header + len) as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes.split_off(header))
}

/// The losses of drmad's training.
fn ours<D: Examples>(examples: D) -> Result<impl FnMut() -> Vec<f32>, drmad::Error> {
    let network = Mlp::<_, Fused>::new(examples, WIDTHS, 50)?;
    let (p, scratch) = (ORIGIN.weights(), scratch_len(&network, &network));
    let len = Workspace::<f32>::required_len(p, scratch, Optimizer::HeavyBall, false);
    let (mut buffer, mut batch) = (vec![0.0; len], vec![0; 50]);
    Ok(move || {
        let problem = InnerProblem {
            objective: &network,
            h: &[],
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: Groups::global(p),
                rates: &[RATE],
                momenta: &[MOMENTUM],
            },
            batches: BATCHES,
            steps: STEPS,
        };
        let mut workspace =
            Workspace::new(&mut buffer, p, Optimizer::HeavyBall, false).expect("long enough");
        let (mut path, mut losses) = (Line::new(ORIGIN, STEPS), vec![]);
        let each = &mut |_, loss| losses.push(loss);
        problem
            .train(&ORIGIN, &mut path, &mut workspace, &mut batch, each)
            .expect("training converges");
        losses
    })
}

/// The same of candle's.
struct Candle {
    images: Tensor,
    labels: Tensor,
    batches: Vec<Tensor>,
}

impl Candle {
    fn new(bytes: &[u8], labels: &[u8]) -> Result<Self, Box<dyn Error>> {
        let cpu = &Device::Cpu;
        let images: Vec<f32> = bytes.iter().map(|x| f32::from(*x) / 255.0 - MEAN).collect();
        let mut batches = vec![];
        for t in 0..STEPS {
            let mut batch = vec![0; 50];
            BATCHES.fill(t, &mut batch)?;
            batches.push(Tensor::new(batch, cpu)?);
        }
        Ok(Candle {
            images: Tensor::from_vec(images, (EXAMPLES, 784), cpu)?,
            labels: Tensor::new(labels, cpu)?.to_dtype(DType::U32)?,
            batches,
        })
    }

    fn train(&self) -> candle_core::Result<Vec<f32>> {
        let mut w = vec![0.0; ORIGIN.weights()];
        ORIGIN.fill(0, &mut w);
        let (mut variables, mut layers, mut rest) = (vec![], vec![], &w[..]);
        for pair in WIDTHS.windows(2) {
            let (n, m) = (pair[0], pair[1]);
            let (matrix, after) = rest.split_at(n * m);
            let (biases, after) = after.split_at(m);
            rest = after;
            // Candle's layers hold outputs x inputs.
            let matrix = Tensor::from_slice(matrix, (n, m), &Device::Cpu)?.t()?;
            let matrix = Var::from_tensor(&matrix.contiguous()?)?;
            let biases = Var::new(biases, &Device::Cpu)?;
            layers.push(Linear::new(
                matrix.as_tensor().clone(),
                Some(biases.as_tensor().clone()),
            ));
            variables.extend([matrix, biases]);
        }
        let mut velocities: Vec<Tensor> = variables
            .iter()
            .map(|w| w.zeros_like())
            .collect::<Result<_, _>>()?;
        let (last, hidden) = layers.split_last().expect("four layers");
        let mut losses = vec![];
        for batch in &self.batches {
            let mut x = self.images.index_select(batch, 0)?;
            for layer in hidden {
                x = layer.forward(&x)?.tanh()?;
            }
            let labels = self.labels.index_select(batch, 0)?;
            let loss = candle_nn::loss::cross_entropy(&last.forward(&x)?, &labels)?;
            let gradients = loss.backward()?;
            for (w, v) in variables.iter().zip(&mut velocities) {
                let g = gradients.get(w).expect("every layer is used");
                let momentum = f64::from(MOMENTUM);
                *v = ((&*v * momentum)? - (g * (1.0 - momentum))?)?;
                w.set(&(w.as_tensor() + (&*v * f64::from(RATE))?)?)?;
            }
            losses.push(loss.to_scalar::<f32>()?);
        }
        Ok(losses)
    }
}

/// Prints the losses, the seconds of a step, and the ratios.
pub fn compare(effort: Effort) -> Result<(), Box<dyn Error>> {
    const IMAGES: &[u8] = include_bytes!("../../../host-tests/data/train-images-idx3-ubyte.zst");
    const LABELS: &[u8] = include_bytes!("../../../host-tests/data/train-labels-idx1-ubyte.zst");
    let bytes = read(IMAGES, 16, EXAMPLES * 784)?;
    let labels = &read(LABELS, 8, EXAMPLES)?[..];
    let chosen: &Vec<u32> = &(0..EXAMPLES as u32).collect();
    let n = SparseImages::required_len(&bytes);
    let (mut starts, mut indices) = (vec![0; EXAMPLES + 1], vec![0; n]);
    let mut lit = vec![0; n];
    let mut sparse = ours(SparsePixels {
        images: SparseImages::pack(784, &bytes, &mut starts, &mut indices, &mut lit)?,
        labels,
        chosen,
        mean: MEAN,
    })?;
    let mut dense = ours(Pixels {
        bytes: &bytes,
        labels,
        width: 784,
        chosen,
        mean: MEAN,
    })?;
    let candle = Candle::new(&bytes, labels)?;

    let (a, b, c) = (sparse(), dense(), candle.train()?);
    let last = [a[STEPS - 1], b[STEPS - 1], c[STEPS - 1]];
    println!(
        "loss {:.4} before step 0; after {STEPS} steps {last:.7?}",
        b[0]
    );
    for loss in last {
        let error = (loss / last[1] - 1.0).abs();
        if error.is_nan() || error > TOLERANCE {
            return Err("the losses disagree".into());
        }
    }
    let mut contenders: [crate::Contender; 3] = [
        ("drmad, sparse inputs", Box::new(|| drop(sparse()))),
        ("drmad, dense inputs", Box::new(|| drop(dense()))),
        (
            "candle",
            Box::new(|| drop(candle.train().expect("as before"))),
        ),
    ];
    let seconds = race(effort, &mut contenders);
    println!("microseconds a step, median (best)");
    for ((name, _), seconds) in contenders.iter().zip(&seconds) {
        let step = |seconds: f64| 1e6 * seconds / STEPS as f64;
        println!(
            "{name:<24}{:>8.1} ({:.1})",
            step(median(seconds)),
            step(seconds[0])
        );
    }
    for (name, ours) in [("sparse", 0), ("dense", 1)] {
        let ratio = median(&seconds[2]) / median(&seconds[ours]);
        println!("{:<24}{ratio:>8.2}", format!("candle / {name}"));
    }
    Ok(())
}
