//! Kernels: what is random, each a function of a seed and counters: initial weights, batches, choices.
//!
//! Refused: sizes of 0, and 2^32 examples and more.

use drmad::group;
use drmad::random::{self, Batches, InitialWeights, Normal};

use crate::check::{finite, some};
use crate::error::{Code, guard};
use crate::raw::{Out, slices};

/// Numbers `first ..` of the normal ones that a seed stands for, times `exp(log_scale)`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_normal(
    seed: u64,
    log_scale: f32,
    first: usize,
    x: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let end = first.checked_add(n).ok_or(Code::Size)?;
        finite(&[&[log_scale]])?;
        slices!(write x[n]);
        let normal = Normal {
            seed,
            groups: group::Groups::global(end),
            log_scales: &[log_scale],
        };
        normal.fill(first, x);
        Ok(())
    })
}

/// The examples of step `t`, `n` of those below `examples`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_batch(
    seed: u64,
    examples: usize,
    t: usize,
    batch: Out<u32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[examples, n])?;
        if u32::try_from(examples).is_err() {
            return Err(Code::Range);
        }
        slices!(write batch[n]);
        let batches = Batches {
            seed,
            examples,
            size: n,
        };
        batches.fill(t, batch)?;
        Ok(())
    })
}

/// Draws `n` different numbers below `pool_len` in random order; `pool` is overwritten.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_choose(
    seed: u64,
    pool: Out<u32>,
    pool_len: usize,
    chosen: Out<u32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[pool_len, n])?;
        if u32::try_from(pool_len).is_err() {
            return Err(Code::Range);
        }
        if n > pool_len {
            return Err(Code::Length);
        }
        slices!(write pool[pool_len], write chosen[n]);
        random::choose(seed, pool, chosen)?;
        Ok(())
    })
}
