//! What a GPU is for: one small training, a thousand at once, and a large network.
//!
//! `cargo bench -p drmad --features cuda --bench device [-- --device emulated] [-- --quick]` prints a line of JSON for each
//! work; `benches/peers/gpu.py` does the same work in JAX. Times are those of the kernels with their barrier,
//! data being on the device; the median of three runs. The images are noise, of which a fifth is not black.

#[path = "../tests/emulated/mod.rs"]
mod emulated;

use drmad::Fused;
use drmad::cuda::{Device, Error, Images, Inputs, Loss, Recall, Replica, Tuned, Way};
use drmad::group::Groups;
use drmad::models::SparseImages;
use drmad::random::{Batches, Normal};
use drmad::schedule::{Optimizer, Schedule};

use emulated::Order;

/// One kind of work.
struct Work {
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
    steps: usize,
    replicas: usize,
    recall: Recall,
    /// Whether the derivative by the rate is wanted, or only the backward pass.
    by_rate: bool,
}

const IMAGES: usize = 4_000;
const WIDTH: usize = 784;

const HATS: Recall = Recall::Hats {
    intervals: 8,
    spacing: 1.5,
    levels: 11,
};

const WORKS: [Work; 3] = [
    // The network of exp1.
    Work {
        name: "one small training",
        widths: &[WIDTH, 50, 50, 50, 10],
        batch: 50,
        steps: 1_000,
        replicas: 1,
        recall: HATS,
        by_rate: false,
    },
    // The chaos figure.
    Work {
        name: "1,000 rates of the chaos figure",
        widths: &[WIDTH, 200, 50, 10],
        batch: 250,
        steps: 50,
        replicas: 1_000,
        recall: Recall::Tape,
        by_rate: true,
    },
    Work {
        name: "a network of 10 million weights",
        widths: &[WIDTH, 2_800, 2_800, 10],
        batch: 1_000,
        steps: 40,
        replicas: 1,
        recall: HATS,
        by_rate: false,
    },
];

/// Bytes that look like digits to a network that does not look closely.
fn noise() -> Vec<u8> {
    let mut state = 1u64;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let high = (state >> 33) as u32;
        if high.is_multiple_of(5) {
            (high >> 8) as u8 | 1
        } else {
            0
        }
    };
    (0..IMAGES * WIDTH).map(|_| byte()).collect()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|a| a == "--quick" || a == "--test");
    let device = if arguments.iter().any(|a| a == "emulated" || a == "--test") {
        emulated::device(Order::Ascending)
    } else {
        Device::open(0)
    };
    let device = match device {
        Err(
            error @ (Error::NoDriver
            | Error::NoCompiler
            | Error::Lacks { .. }
            | Error::Machine { .. }),
        ) => {
            println!("skipped: {error}");
            return Ok(());
        }
        device => device?,
    };
    let launch = device.seconds_of_a_launch(if quick { 10 } else { 1_000 })?;
    println!(
        "{{\"device\": \"{}\", \"seconds_of_a_launch\": {launch:e}}}",
        device.name()
    );
    let pixels = noise();
    let labels: Vec<u8> = (0..IMAGES).map(|i| (i % 10) as u8).collect();
    let listed = SparseImages::required_len(&pixels);
    let (mut starts, mut indices, mut bytes) =
        (vec![0; IMAGES + 1], vec![0; listed], vec![0; listed]);
    let lists = SparseImages::pack(WIDTH, &pixels, &mut starts, &mut indices, &mut bytes)?;
    let chosen: Vec<u32> = (0..IMAGES as u32).collect();
    let mut works = WORKS;
    for work in &mut works {
        if quick {
            (work.batch, work.steps, work.replicas) = (5, 10, work.replicas.min(3));
            work.widths = &[WIDTH, 8, 10];
        }
        let loss = |chosen| Loss {
            images: Images {
                inputs: Inputs::Lists(&pixels, lists),
                labels: &labels,
                width: WIDTH,
                chosen,
                mean: 0.13,
            },
            tuned: Tuned::Nothing(0),
            scales: None,
            penalty: None,
            drop_negative_curvature: false,
        };
        let layout = drmad::group::Layout::Layers(work.widths);
        let groups = Groups::global(layout.weights());
        let initial = Normal {
            seed: 1,
            groups,
            log_scales: &[-3.0f32],
        };
        let rates: Vec<[f32; 1]> = (0..work.replicas)
            .map(|i| [0.05 + 0.1 * i as f32 / work.replicas as f32])
            .collect();
        let train = &chosen[..IMAGES - 1_000];
        let batches = Batches {
            seed: 1,
            examples: train.len(),
            size: work.batch,
        };
        let replicas: Vec<Replica<'_>> = rates
            .iter()
            .map(|rate| Replica {
                widths: work.widths,
                microbatch: work.batch,
                training: loss(train),
                validation: loss(&chosen[IMAGES - 1_000..]),
                validated: 1_000,
                h: &[],
                schedule: Schedule {
                    groups,
                    optimizer: Optimizer::HeavyBall,
                    rates: rate,
                    momenta: &[0.9],
                },
                batches,
                sweep_batches: batches,
                steps: work.steps,
                initial: &initial,
                way: Some(Way {
                    recall: work.recall,
                    tail: 0,
                    last: None,
                }),
                wants_schedule: work.by_rate,
            })
            .collect();
        let (mut forward, mut back) = (vec![], vec![]);
        for _ in 0..if quick { 1 } else { 3 } {
            let results = device.run::<Fused>(&replicas)?;
            forward.push(results.forward_seconds);
            back.push(results.back_seconds);
            if let Some(error) = results.replicas.iter().find_map(|done| done.as_ref().err()) {
                println!("some replica: {error}");
            }
        }
        let (forward, back) = (median(forward), median(back));
        println!(
            "{{\"work\": \"{}\", \"weights\": {}, \"replicas\": {}, \"steps\": {}, \"forward_seconds\": {forward:e}, \
             \"back_seconds\": {back:e}, \"launches_a_step\": {:.2}}}",
            work.name,
            layout.weights(),
            work.replicas,
            work.steps,
            forward / work.steps as f64 / launch,
        );
    }
    Ok(())
}
