//! The structs of `source/*.cuh`, field by field: how a replica lies in the device's memory.
//!
//! An address is a number of 64 bits, 0 for none. No struct has padding. A count is a number of 32 bits, and
//! what is more than [`MOST`] is refused where it is written here: kernels multiply and add indices in 32 bits.

use bytemuck::{Pod, Zeroable};

use super::Error;

/// The most that a kernel counts of anything: its indices fit an `i32` too, and neither twice as many nor the
/// stride of a thread past the last of them leaves a `u32`.
pub(super) const MOST: u32 = i32::MAX as u32;

/// A count as kernels take it.
///
/// # Errors
/// [`Range`](crate::Error::Range) for more than [`MOST`], with both numbers.
pub(super) fn counted(what: &'static str, count: usize) -> Result<u32, Error> {
    match u32::try_from(count) {
        Ok(count) if count <= MOST => Ok(count),
        _ => Err(crate::Error::Range {
            what,
            value: count as f64,
            least: 0.0,
            greatest: f64::from(MOST),
        }
        .into()),
    }
}

/// A product of sizes; of more than there are numbers the greatest one, which nothing counts and no memory holds.
pub(super) fn product<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// Declares structs that lie as they are written.
macro_rules! laid_out {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
            pub(super) struct $name {
                $(pub(super) $field: $type,)*
            }
        )*
    };
}

laid_out! {
    Block { start: u32, rows: u32, columns: u32, hyper: i32 }
    Groups { blocks: u64, count: u32, hypers: u32 }
    Layer { inputs: u32, outputs: u32, start: u32, before: u32 }
    Network { layers: u64, depth: u32, microbatch: u32, weights: u32, units: u32 }
    Images {
        pixels: u64, features: u64, labels: u64, chosen: u64, starts: u64, indices: u64, bytes: u64,
        count: u32, mean: f32,
    }
    Examples { images: Images, tuned: u32, hypers: u32 }
    Loss {
        examples: Examples, scales: Groups, penalised: Groups, penalty: u32, coefficient: f32, hypers: u32,
        drop_negative_curvature: u32,
    }
    Batches { epochs: u64, size: u32, examples: u32 }
    Schedule { groups: Groups, rates: u64, momenta: u64, rates_len: u32, momenta_len: u32 }
    Path {
        storage: u64, codes: u64, marks: u64, knots: u64, factors: u64, kind: u32, trained: u32, back: u32,
        first: u32, spread: u32, seen_from: u32, tail_from: u32, rate_scale: f32, slots: u32, snapshots: u32,
        intervals: u32, levels: u32,
    }
    Vectors {
        w: u64, v: u64, g: u64, d_w: u64, d_v: u64, d_g: u64, spare_a: u64, spare_b: u64, w0: u64,
    }
    Scratch {
        example: u64, image: u64, counts: u64, lists: u64, a: u64, r_a: u64, d: u64, d_before: u64,
        log_sums: u64, losses: u64, shares: u64, pulled: u64, shifted: u64, r_shifted: u64, sums: u64, w: u64,
        u: u64, h_u: u64, g: u64, dropped: u64, penalties: u64, block_g: u64, rest_g: u64, block_h_d: u64,
        rest_h_d: u64, block_d_h: u64, rest_d_h: u64,
    }
    Replica {
        net: Network, training: Loss, validation: Loss, batches: Batches, sweep_batches: Batches,
        schedule: Schedule, path: Path, x: Vectors, scratch: Scratch, h: u64, losses: u64, valid_loss: u64,
        d_h: u64, d_rates: u64, d_momenta: u64, status: u64, arrived: u64, steps: u32, validated: u32,
    }
    Status { code: u32, step: u32, bad: u32, flag: u32 }
    /// What an entry point over replicas is given.
    Teams { replicas: u64, blocks: u32, count: u32 }
    /// A buffer of a golden vector, and what an entry point of one is given.
    Buffer { address: u64, count: u32, unused: u32 }
    Vector { input: u64, output: u64, arrived: u64, blocks: u32, unused: u32 }
}
