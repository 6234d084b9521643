//! Ten steps of the work called exp1: 784-50-50-50-10, batches of 50, a scale for each weight, a
//! penalty on `z`; forward, and backward over each path, on images whole and sparse.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drmad::Fused;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::models::{Examples, Mlp, Pixels, SparseImages, SparsePixels};
use drmad::path::{
    Checkpoints, Grid, Hats, Knots, Legendre, Line, Mark, Path, Quantised, Reversed, Reversible,
    Tape,
};
use drmad::random::{Batches, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Scaled, Strength};

const WIDTHS: &[usize] = &[784, 50, 50, 50, 10];
const P: usize = 44_860;
const STEPS: usize = 10;

fn exp1(c: &mut Criterion) {
    // As sparse as MNIST: a fifth of the pixels are lit.
    let bytes: Vec<u8> = (0..1000 * 784u32)
        .map(|i| i.wrapping_mul(2_654_435_761) >> 24)
        .map(|x| if x < 49 { (5 * x) as u8 } else { 0 })
        .collect();
    let labels: Vec<u8> = (0..1000).map(|i| (i % 10) as u8).collect();
    let chosen: Vec<u32> = (0..1000).collect();
    let (width, mean) = (784, 0.13);
    let pixels = Pixels {
        bytes: &bytes,
        labels: &labels,
        width,
        chosen: &chosen,
        mean,
    };
    let n = SparseImages::required_len(&bytes);
    let (mut starts, mut indices, mut lit) = (vec![0; 1001], vec![0; n], vec![0; n]);
    let images = SparseImages::pack(width, &bytes, &mut starts, &mut indices, &mut lit)
        .expect("whole images");
    let sparse = SparsePixels {
        images,
        labels: &labels,
        chosen: &chosen,
        mean,
    };
    ten_steps(c, "exp1", pixels);
    ten_steps(c, "exp1 sparse", sparse);
}

fn ten_steps<D: Examples + Copy>(c: &mut Criterion, name: &str, pixels: D) {
    let network = || Mlp::<_, Fused>::new(pixels, WIDTHS, 50).expect("a good network");
    let groups = Groups {
        layout: Layout::Layers(WIDTHS),
        by: Granularity::Parameter,
        biases: true,
    };
    let everywhere = Groups::global(P);
    let scaled = || Scaled {
        inner: network(),
        groups,
    };
    let training = L2::new(scaled(), Strength::Fixed(0.018, everywhere));
    let outside = scaled();
    let h = vec![1.2f32; P];
    let problem = InnerProblem {
        objective: &training,
        h: &h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: everywhere,
            rates: &[0.05],
            momenta: &[0.95],
        },
        batches: Batches {
            seed: 1,
            examples: 1000,
            size: 50,
        },
        steps: STEPS,
    };
    let initial = Normal {
        seed: 1,
        groups: everywhere,
        log_scales: &[-3.0],
    };
    let mut buffer = vec![
        0.0;
        Workspace::<f32>::required_len(
            P,
            scratch_len(&training, &outside),
            Optimizer::HeavyBall,
            false
        )
    ];
    let mut workspace =
        Workspace::new(&mut buffer, P, Optimizer::HeavyBall, false).expect("long enough");
    let (mut batch, mut d_h) = (vec![0; 50], vec![0.0; P]);
    let examples: Vec<u32> = (0..50).collect();
    let validation = Validation {
        objective: &outside,
        examples: &examples,
    };
    let mut stored = vec![0.0; Tape::<f32>::required_len(P, STEPS, 0)];
    let mut tape = Tape::new(P, STEPS, 0, &mut stored).expect("long enough");
    let mut line = Line::new(initial, STEPS);
    let grid = Grid {
        steps: STEPS,
        intervals: 4,
        spacing: Grid::SPACING,
    };
    let mut words = vec![0; Quantised::<11>::required_len(P, 4)];
    let mut factors = [0.0; 5];
    let rows = Quantised::<11>::new(P, 4, &mut words).expect("long enough");
    let mut hats = Hats::new(P, grid, initial, rows, &mut factors).expect("good knots");

    let mut snapshots = vec![0.0; Checkpoints::<f32>::required_len(P, 3, 1)];
    let mut marks = [Mark::default(); 3];
    let mut checkpoints =
        Checkpoints::new(P, STEPS, 1, &mut snapshots, &mut marks).expect("long enough");
    let mut lost = vec![0; Reversible::required_len(P, STEPS, 0.95)];
    let mut reversible = Reversible::new(P, STEPS, 0.95, &mut lost).expect("long enough");
    let mut points = vec![0; Quantised::<255>::required_len(P, 4)];
    let rows = Quantised::<255>::new(P, 4, &mut points).expect("long enough");
    let mut knots = Knots::<f32, _, _>::new(P, 4, initial, rows).expect("good knots");
    let mut sums = vec![0.0; Legendre::<f32>::required_len(P, 4)];
    let mut legendre = Legendre::<f32>::new(P, STEPS, 4, &mut sums).expect("long enough");
    let mut reversed = Reversed;

    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(STEPS as u64));
    let paths: [(&str, &mut dyn Path<Fused, f32>); 8] = [
        ("tape", &mut tape),
        ("checkpoints", &mut checkpoints),
        ("reversible", &mut reversible),
        ("line", &mut line),
        ("knots", &mut knots),
        ("legendre", &mut legendre),
        ("hats", &mut hats),
        ("reversed", &mut reversed),
    ];
    for (name, path) in paths {
        group.bench_function(format!("forward ({name})"), |b| {
            b.iter(|| {
                problem
                    .train(&initial, path, &mut workspace, &mut batch, &mut |_, _| ())
                    .expect("training converges");
            });
        });
        group.bench_function(format!("backward ({name})"), |b| {
            b.iter(|| {
                let wanted = Wanted {
                    d_h: &mut d_h,
                    schedule: None,
                };
                problem
                    .backward(&validation, path, &mut workspace, &mut batch, wanted)
                    .expect("the sweep stays finite");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exp1);
criterion_main!(benches);
