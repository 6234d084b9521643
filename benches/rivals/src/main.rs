//! drmad beside other crates of Rust, on one thread, in turn.
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo run --release            # a minute
//! RAYON_NUM_THREADS=1 cargo run --release -- --quick # a second: whether it runs and agrees
//! ```
//!
//! - [`products`]: the dense products of a network 784-50-50-50-10 in batches of 50, with
//!   `matrixmultiply` and `gemm`.
//! - [`training`]: its training, with `candle`.
//!
//! All take the same numbers and must agree before a time is printed. Everything is built by cargo's
//! release profile with `lto = "fat"` and one codegen unit, for the baseline of the target, and without
//! features that bring threads or foreign libraries; drmad, gemm (candle's products are gemm's) and
//! matrixmultiply pick their vectors at run time. A ratio is the rival's time divided by ours: above 1
//! we are faster.

mod products;
mod training;

use std::time::Instant;

/// How much to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds; each times every contender once.
    pub rounds: usize,
    /// Seconds that a contender is kept busy in a round.
    pub seconds: f64,
}

/// One contender: its name, and a call that does the work once.
pub type Contender<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// Seconds of one call: of each contender, of each round, ascending. Rounds take the contenders in
/// turn, so that what else the machine does hits all alike.
pub fn race(effort: Effort, contenders: &mut [Contender]) -> Vec<Vec<f64>> {
    let time = |work: &mut dyn FnMut(), calls: usize| {
        let clock = Instant::now();
        (0..calls).for_each(|_| work());
        clock.elapsed().as_secs_f64() / calls as f64
    };
    let calls: Vec<usize> = contenders
        .iter_mut()
        .map(|(_, work)| {
            time(work, 1);
            ((effort.seconds / time(work, 1)) as usize).clamp(1, 1_000_000)
        })
        .collect();
    let mut seconds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds {
        for (((_, work), calls), seconds) in contenders.iter_mut().zip(&calls).zip(&mut seconds) {
            seconds.push(time(work, *calls));
        }
    }
    for seconds in &mut seconds {
        seconds.sort_by(f64::total_cmp);
    }
    seconds
}

/// The middle one.
pub fn median(ascending: &[f64]) -> f64 {
    ascending[ascending.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [one] if one == "--quick" => true,
        _ => return Err("usage: rivals [--quick]".into()),
    };
    // Candle hands its products to as many threads as this says.
    if candle_core::utils::get_num_threads() != 1 {
        return Err("run it with RAYON_NUM_THREADS=1: one thread each".into());
    }
    // A slice of two milliseconds mostly passes without an interruption.
    let (rounds, seconds) = if quick { (1, 1e-3) } else { (201, 2e-3) };
    products::compare(Effort { rounds, seconds })?;
    println!();
    let rounds = if quick { 1 } else { 31 };
    training::compare(Effort { rounds, seconds })
}
