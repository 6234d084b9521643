//! What is looked at before anything is written: an arithmetic, a flag, sizes, numbers.

use drmad::kernels::reduce::all_finite;

use crate::error::Code;

/// Runs a body with `$A` the arithmetic that a number stands for.
macro_rules! in_arithmetic {
    ($rounding:expr, $A:ident => $body:expr) => {{
        const PLAIN: i32 = $crate::types::Rounding::Plain as i32;
        const FUSED: i32 = $crate::types::Rounding::Fused as i32;
        match $rounding {
            PLAIN => {
                type $A = drmad::Plain;
                $body
            }
            #[cfg(feature = "fused")]
            FUSED => {
                type $A = drmad::Fused;
                $body
            }
            #[cfg(not(feature = "fused"))]
            FUSED => return Err($crate::error::Code::LeftOut),
            _ => return Err($crate::error::Code::Enum),
        }
    }};
}
pub(crate) use in_arithmetic;

/// Refuses an arithmetic that is not there.
pub(crate) fn known_arithmetic(rounding: i32) -> Result<(), Code> {
    in_arithmetic!(rounding, A => {
        let _ = core::marker::PhantomData::<A>;
        Ok(())
    })
}

/// Refuses numbers that are not finite.
pub(crate) fn finite(vectors: &[&[f32]]) -> Result<(), Code> {
    if vectors.iter().all(|x| all_finite(x)) {
        Ok(())
    } else {
        Err(Code::NotFinite)
    }
}

/// Refuses numbers below 0, and NaN.
pub(crate) fn no_negative(x: &[f32]) -> Result<(), Code> {
    if x.iter().all(|x| *x >= 0.0) {
        Ok(())
    } else {
        Err(Code::Range)
    }
}

/// Refuses a size of 0.
pub(crate) fn some(sizes: &[usize]) -> Result<(), Code> {
    if sizes.contains(&0) {
        Err(Code::Empty)
    } else {
        Ok(())
    }
}

/// The product of two sizes, where there is one.
pub(crate) fn times(a: usize, b: usize) -> Result<usize, Code> {
    a.checked_mul(b).ok_or(Code::Size)
}

/// A flag.
pub(crate) fn flag(value: i32) -> Result<bool, Code> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Code::Enum),
    }
}

/// Which of several a number stands for, each given by its number.
pub(crate) fn one_of<T: Copy>(number: i32, all: &[(i32, T)]) -> Result<T, Code> {
    let found = all.iter().find(|(value, _)| *value == number);
    found.map(|(_, one)| *one).ok_or(Code::Enum)
}
