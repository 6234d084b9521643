//! Which vector width the kernels run on: the one place of the core with `unsafe`.
//!
//! Every kernel is an inlined closure, or a struct of its arguments where the body depends on the
//! level; `run` compiles it once for each [`Level`] and jumps to the widest one the processor has. The bits do not
//! depend on the level: kernels vectorise over outputs, never over a sum, so the level is a matter
//! of speed alone and may be changed at any time ([`force`]).
//!
//! With the feature `std` the processor is asked once, at run time. Without it the level is what
//! the target was compiled for. AArch64, RISC-V and Cortex-M have one level, their baseline.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU8, Ordering};

use crate::error::Error;

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Level {
    /// What the target was compiled for: SSE2 on x86-64, NEON on AArch64, no vectors on Cortex-M.
    /// Without a hardware multiply-add [`Fused`](crate::Fused) runs in software here: right, and slow.
    Baseline = 1,
    /// AVX2 and FMA: 16 registers of 256 bits.
    Avx2 = 2,
    /// AVX-512 F, VL, DQ and BW: 32 registers of up to 512 bits.
    Avx512 = 3,
}

impl Level {
    /// All levels, narrowest first.
    pub const ALL: [Level; 3] = [Level::Baseline, Level::Avx2, Level::Avx512];

    /// The name used on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Level::Baseline => true,
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Level::Avx2 => {
                std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Level::Avx512 => {
                Level::Avx2.is_available()
                    && std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512dq")
                    && std::is_x86_feature_detected!("avx512bw")
            }
            #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
            _ => false,
        }
    }

    /// The widest level this processor has.
    pub fn widest() -> Level {
        let mut widest = Level::Baseline;
        for level in Level::ALL {
            if level.is_available() {
                widest = level;
            }
        }
        widest
    }
}

/// 0: the processor has not been asked yet.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The level the kernels run on now.
#[inline]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        3 => Level::Avx512,
        2 => Level::Avx2,
        1 => Level::Baseline,
        _ => {
            let widest = Level::widest();
            LEVEL.store(widest as u8, Ordering::Relaxed);
            widest
        }
    }
}

/// Runs all kernels of this process on `level` from now on.
///
/// # Errors
/// [`Error::Level`] where the processor lacks it.
///
/// ```
/// use drmad::kernels::dispatch::{force, level, Level};
/// force(Level::Baseline)?;
/// assert_eq!(level(), Level::Baseline);
/// # Ok::<(), drmad::Error>(())
/// ```
pub fn force(level: Level) -> Result<(), Error> {
    if !level.is_available() {
        return Err(Error::Level {
            wanted: level.name(),
            widest: Level::widest().name(),
        });
    }
    LEVEL.store(level as u8, Ordering::Relaxed);
    Ok(())
}

/// A kernel with its arguments. The body must be `#[inline(always)]`, and so must all it calls in its
/// loops: only what is inlined is compiled for the level.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;
    /// The body, for the level `LEVEL as u8`.
    fn run<const LEVEL: u8>(self) -> Self::Output;
}

/// Runs a closure on the present [`level`], but for AVX-512: what is bound by memory gains nothing by longer
/// vectors, and the compiler pairs short ones at the cost of shuffles. It must be `#[inline(always)]`, and
/// `move`: what it holds by reference might alias what it writes, and then nothing vectorises.
///
/// The loops of an objective of one's own belong into it: outside of it a multiply-add of
/// [`Fused`](crate::Fused) is a call where the target alone has no instruction for it. The bits are the same.
///
/// ```
/// use drmad::{kernels::dispatch::run, Arithmetic, Fused};
/// let (x, w) = ([1.0f32, 2.0], [3.0, 4.0]);
/// let (x, w) = (&x, &w);
/// let z = run(
///     #[inline(always)]
///     move || x.iter().zip(w).fold(0.0, |z, (x, w)| Fused::mul_add(*x, *w, z)),
/// );
/// assert_eq!(z, 11.0);
/// ```
#[inline]
pub fn run<R>(body: impl FnOnce() -> R) -> R {
    // The bound makes the closure one that is called once. A closure of another kind would be called
    // through a shim of the compiler's, which is not inlined and so not compiled for the level.
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        if level() >= Level::Avx2 {
            // SAFETY: as in `run_kernel`.
            return unsafe { avx2(body) };
        }
    }
    body()
}

/// Runs `kernel` on the present [`level`].
#[inline]
pub(crate) fn run_kernel<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<{ Level::Avx2 as u8 }>()
        }
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
        fn avx512<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<{ Level::Avx512 as u8 }>()
        }
        match level() {
            // SAFETY: `LEVEL` only ever holds a level for which `is_available` was true on this
            // processor (`widest` and `force` ask it): the instructions exist here.
            Level::Avx512 => return unsafe { avx512(kernel) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(kernel) },
            Level::Baseline => {}
        }
    }
    // Other processors have one level.
    kernel.run::<{ Level::Baseline as u8 }>()
}
