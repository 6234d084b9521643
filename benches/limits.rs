//! How near the kernels come to the limits of this machine, on each vector level it has.
//!
//! The limits are measured too: multiply-adds of numbers that stay in registers; reading and writing at
//! the memory level of the paper's network and of a vector far beyond the caches; and for each kernel on
//! long vectors the plainest loop that reads and writes as much. Everything runs in turn, round after
//! round, and the medians are printed as a table in Markdown. An argument sets the rounds.
//!
//! The baseline has no hardware multiply-add: there the arithmetic is plain, elsewhere fused.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

use drmad::kernels::dispatch::{Level, force, level};
use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::momentum::{Step, adjoint, step};
use drmad::kernels::{accumulate, interpolate, reduce};
use drmad::{Arithmetic, Fused, Plain};

/// Weights of 784-50-50-50-10: three such vectors fit the second cache.
const P: usize = 44_860;
/// A vector that fits no cache.
const FAR: usize = 64 << 20;

/// Runs a closure compiled for the present level, as the kernels' own dispatch does. It must be
/// `#[inline(always)]`.
fn on_level<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
        fn avx512<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        match level() {
            // SAFETY: only a level that this processor has can be in force.
            Level::Avx512 => return unsafe { avx512(body) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(body) },
            Level::Baseline => {}
        }
    }
    body()
}

/// Multiply-adds in each of 12 vectors, one after another in each.
const STEPS: usize = 1_000;

/// 12 vectors of `W` numbers, multiplied and added to as often as [`STEPS`] says.
#[inline(always)]
fn chains<A: Arithmetic, const W: usize>() {
    let (a, b) = (black_box(0.5f32), black_box(1.0f32));
    let mut chains = [[b; W]; 12];
    // Written out, for a loop over the chains may be vectorised across them.
    macro_rules! each {
        ($($c:literal)*) => { $(chains[$c] = chains[$c].map(#[inline(always)] |x| A::mul_add(x, a, b));)* };
    }
    for _ in 0..STEPS {
        each!(0 1 2 3 4 5 6 7 8 9 10 11);
    }
    black_box(chains);
}

/// The sum in `LANES` lanes.
#[inline(always)]
fn read<const LANES: usize>(x: &[f32]) {
    let mut lanes = [0.0; LANES];
    for x in x.as_chunks::<LANES>().0 {
        let mut next = lanes;
        for l in 0..LANES {
            next[l] = lanes[l] + x[l];
        }
        lanes = next;
    }
    black_box(lanes);
}

/// Three vectors of one length, each aligned to 64 bytes.
struct Vectors {
    storage: Vec<f32>,
    len: usize,
}

impl Vectors {
    fn new(len: usize) -> RefCell<Self> {
        let numbers = 0..3 * len.next_multiple_of(16) + 16;
        let storage = numbers.map(|i| 0.01 + (i % 97) as f32 / 97.0).collect();
        RefCell::new(Vectors { storage, len })
    }

    fn split(&mut self) -> [&mut [f32]; 3] {
        let to_line = self.storage.as_ptr().align_offset(64);
        let (_, rest) = self.storage.split_at_mut(to_line);
        let padded = self.len.next_multiple_of(16);
        let (x, rest) = rest.split_at_mut(padded);
        let (y, z) = rest.split_at_mut(padded);
        [x, y, z].map(|x| &mut x[..self.len])
    }
}

/// What is timed.
struct Job<'a> {
    name: String,
    level: Level,
    /// Floating-point operations or bytes of a call.
    work: usize,
    unit: &'static str,
    /// The job that is its limit.
    limit: usize,
    run: Box<dyn FnMut() + 'a>,
    calls: usize,
    seconds: Vec<f64>,
}

impl Job<'_> {
    /// Seconds of a call, after one that brings into the caches what fits them.
    fn time(&mut self) -> f64 {
        force(self.level).expect("a level that is available");
        (self.run)();
        let clock = Instant::now();
        for _ in 0..self.calls {
            (self.run)();
        }
        clock.elapsed().as_secs_f64() / self.calls as f64
    }

    fn median(&self) -> f64 {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }

    fn rate(&self) -> f64 {
        self.work as f64 / self.median() / 1e9
    }
}

/// All jobs of one level.
struct Jobs<'a> {
    level: Level,
    all: Vec<Job<'a>>,
}

impl<'a> Jobs<'a> {
    /// Adds a job and returns its place. Without a limit it is one itself.
    fn add(
        &mut self,
        name: impl Into<String>,
        (work, unit): (usize, &'static str),
        limit: Option<usize>,
        run: impl FnMut() + 'a,
    ) -> usize {
        let place = self.all.len();
        self.all.push(Job {
            name: name.into(),
            level: self.level,
            work,
            unit,
            limit: limit.unwrap_or(place),
            run: Box::new(run),
            calls: 1,
            seconds: vec![],
        });
        place
    }

    /// Adds a job on vectors, which reads and writes `streams` times their length.
    fn vectors(
        &mut self,
        vectors: &'a RefCell<Vectors>,
        name: &str,
        streams: usize,
        limit: Option<usize>,
        run: fn([&mut [f32]; 3]),
    ) -> usize {
        let len = vectors.borrow().len;
        let name = format!("{name}, {len} floats");
        self.add(name, (4 * streams * len, "GB/s"), limit, move || {
            run(vectors.borrow_mut().split());
        })
    }
}

/// The shapes of the paper's network at 50 examples.
fn products<A: Arithmetic + 'static>(jobs: &mut Jobs) {
    let flops = |multiply_adds| (2 * multiply_adds, "GFLOP/s");
    let peak = match jobs.level {
        Level::Avx512 => jobs.add("multiply-adds", flops(STEPS * 12 * 16), None, || {
            on_level(
                #[inline(always)]
                || chains::<A, 16>(),
            )
        }),
        Level::Avx2 => jobs.add("multiply-adds", flops(STEPS * 12 * 8), None, || {
            on_level(
                #[inline(always)]
                || chains::<A, 8>(),
            )
        }),
        Level::Baseline => jobs.add("multiply-adds", flops(STEPS * 12 * 4), None, || {
            on_level(
                #[inline(always)]
                || chains::<A, 4>(),
            )
        }),
    };
    for (form, rows, inner, columns) in [
        (Form::Nn, 50, 784, 50),
        (Form::Tn, 784, 50, 50),
        (Form::Nn, 50, 50, 50),
        (Form::Tn, 50, 50, 50),
        (Form::Nt, 50, 50, 50),
        (Form::Nn, 50, 50, 10),
        (Form::Tn, 50, 50, 10),
        (Form::Nt, 50, 10, 50),
    ] {
        let product = MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate: false,
        };
        let numbers = |n| -> Vec<f32> { (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect() };
        let (a, b) = (numbers(rows * inner), numbers(inner * columns));
        let (mut c, mut packed) = (numbers(rows * columns), numbers(product.required_len()));
        let name = format!("product {form:?} {rows} x {inner} x {columns}");
        let work = flops(rows * inner * columns);
        jobs.add(name, work, Some(peak), move || {
            let done = product.run::<A, _>(&a, &b, &mut c, &mut packed);
            done.expect("buffers that fit");
        });
    }
}

const BY: Step<f32> = Step {
    rate: 0.05,
    momentum: 0.95,
};

/// Kernels on long vectors, each after a loop that reads and writes as much.
fn vectors<'a, A: Arithmetic + 'static>(jobs: &mut Jobs<'a>, on: &'a RefCell<Vectors>) {
    let reading = jobs.vectors(on, "read", 1, None, |[x, ..]| match level() {
        Level::Avx512 => on_level(
            #[inline(always)]
            move || read::<128>(x),
        ),
        Level::Avx2 => on_level(
            #[inline(always)]
            move || read::<64>(x),
        ),
        Level::Baseline => on_level(
            #[inline(always)]
            move || read::<32>(x),
        ),
    });
    jobs.vectors(on, "write", 1, None, |[_, _, z]| {
        let value = black_box(0.25);
        on_level(
            #[inline(always)]
            move || {
                for z in z {
                    *z = value;
                }
            },
        );
    });
    jobs.vectors(on, "dot product", 2, Some(reading), |[x, y, _]| {
        black_box(reduce::dot::<A, _>(x, y));
    });

    let mix = jobs.vectors(on, "2 read, 1 of them written", 3, None, |[x, y, _]| {
        on_level(
            #[inline(always)]
            move || {
                for (y, x) in y.iter_mut().zip(&*x) {
                    *y += *x;
                }
            },
        );
    });
    jobs.vectors(on, "accumulate", 3, Some(mix), |[x, y, _]| {
        accumulate::add_scaled::<A, _>(1e-9, x, y);
    });
    jobs.vectors(on, "accumulate rows of 50", 3, Some(mix), |[x, y, z]| {
        accumulate::add_scaled_rows::<A, _>(50, &z[..x.len() / 50], x, y);
    });
    jobs.vectors(
        on,
        "dot products of rows of 50",
        2,
        Some(reading),
        |[x, y, z]| {
            accumulate::add_row_dots::<A, _>(50, x, y, &mut z[..x.len() / 50]);
        },
    );

    let mix = jobs.vectors(on, "2 read, 1 other written", 3, None, |[x, y, z]| {
        on_level(
            #[inline(always)]
            move || {
                for ((z, x), y) in z.iter_mut().zip(&*x).zip(&*y) {
                    *z = *x + *y;
                }
            },
        );
    });
    jobs.vectors(on, "interpolate", 3, Some(mix), |[x, y, z]| {
        interpolate::between::<A, _>(3, 7, x, y, z);
    });

    let mix = jobs.vectors(on, "3 read, 2 of them written", 5, None, |[x, y, z]| {
        on_level(
            #[inline(always)]
            move || {
                for ((z, y), x) in z.iter_mut().zip(y).zip(&*x) {
                    *y = *x - *y;
                    *z += *y;
                }
            },
        );
    });
    jobs.vectors(on, "momentum step", 5, Some(mix), |[g, v, w]| {
        step::<A, _>(BY, g, v, w);
    });

    let mix = jobs.vectors(
        on,
        "2 read, 1 of them and 1 other written",
        4,
        None,
        |[x, y, z]| {
            on_level(
                #[inline(always)]
                move || {
                    for ((z, y), x) in z.iter_mut().zip(y).zip(&*x) {
                        *y = *x - *y;
                        *z = *y;
                    }
                },
            );
        },
    );
    jobs.vectors(on, "momentum adjoint", 4, Some(mix), |[d_w, d_v, d_g]| {
        adjoint::<A, _>(BY, d_w, d_v, d_g);
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let test = arguments.iter().any(|argument| argument == "--test");
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok());
    let (rounds, far, at_least) = match (test, rounds) {
        (true, _) => (1, 1 << 20, 0.0),
        // So short that on a busy machine most of them are not interrupted.
        (false, rounds) => (rounds.unwrap_or(21), FAR, 3e-4),
    };
    let (near, far) = (&Vectors::new(P), &Vectors::new(far));
    println!("| kernel | level | GFLOP/s or GB/s | % of peak |\n|---|---|---:|---:|");
    let mut levels: Vec<Jobs> = vec![];
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        let mut jobs = Jobs { level, all: vec![] };
        match level {
            Level::Baseline => {
                products::<Plain>(&mut jobs);
                vectors::<Plain>(&mut jobs, near);
                vectors::<Plain>(&mut jobs, far);
            }
            _ => {
                products::<Fused>(&mut jobs);
                vectors::<Fused>(&mut jobs, near);
                vectors::<Fused>(&mut jobs, far);
            }
        }
        for job in &mut jobs.all {
            let seconds = (0..5).map(|_| job.time()).fold(f64::INFINITY, f64::min);
            job.calls = (at_least / seconds).ceil().max(1.0) as usize;
        }
        levels.push(jobs);
    }
    for _ in 0..rounds {
        for job in levels.iter_mut().flat_map(|jobs| &mut jobs.all) {
            let seconds = job.time();
            job.seconds.push(seconds);
        }
    }
    for jobs in &levels {
        for job in &jobs.all {
            let percent = 100.0 * job.rate() / jobs.all[job.limit].rate();
            let (name, level, rate, unit) = (&job.name, job.level.name(), job.rate(), job.unit);
            println!("| {name} | {level} | {rate:.1} {unit} | {percent:.0} |");
        }
    }
}
