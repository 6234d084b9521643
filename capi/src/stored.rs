//! Kernels: what paths store, numbers in a few levels and steps in fixed point that can be undone.
//!
//! The formulas stand at the Rust functions of `drmad::kernels`.
//!
//! Refused, before anything is written: numbers that are not finite where they are read, since they would
//! spread without a word; sizes of 0. What finite numbers overflow to is not looked at.
//! A step in fixed point that would overflow is refused as a whole.

use drmad::kernels::quantise;
use drmad::kernels::reversible::{self, Bits, FASTEST, FULL, Ratio};

use crate::check::{finite, in_arithmetic, known_arithmetic, some};
use crate::error::{Code, guard};
use crate::raw::{Door, In, Out, slices};
use crate::types::{Fixed, Turn};

/// Runs a body with `$LEVELS` the constant that a number of levels stands for.
macro_rules! with_levels {
    ($levels:expr, $LEVELS:ident => $body:expr) => {
        match $levels {
            3 => {
                const $LEVELS: u32 = 3;
                $body
            }
            7 => {
                const $LEVELS: u32 = 7;
                $body
            }
            11 => {
                const $LEVELS: u32 = 11;
                $body
            }
            15 => {
                const $LEVELS: u32 = 15;
                $body
            }
            255 => {
                const $LEVELS: u32 = 255;
                $body
            }
            _ => return Err(Code::Enum),
        }
    };
}

/// The most numbers in a block of so many levels (3, 7, 11, 15 or 255), and the words of its code.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_quantise_block(levels: u32, numbers: Out<usize>, words: Out<usize>) -> i32 {
    guard(|| {
        let (n, code) = with_levels!(levels, L => (quantise::block(L), quantise::words(L)));
        slices!(write numbers[1], write words[1]);
        numbers.fill(n);
        words.fill(code);
        Ok(())
    })
}

/// Writes a block of at most as many numbers to its words of `code`, the scale first.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_quantise(
    levels: u32,
    x: In<f32>,
    n: usize,
    code: Out<u32>,
    code_len: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let (x, code) = (door.read(x, n)?, door.write(code, code_len)?);
        with_levels!(levels, L => {
            if n > quantise::block(L) || code_len != quantise::words(L) {
                return Err(Code::Length);
            }
            let open = door.open()?;
            let x = x.slice(&open);
            finite(&[x])?;
            let code = code.slice(&open);
            // The words of a short block's end.
            code.fill(0);
            quantise::encode::<L>(x, code);
        });
        Ok(())
    })
}

/// Adds a block's numbers to `y`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_dequantise(
    arithmetic: i32,
    levels: u32,
    code: In<u32>,
    code_len: usize,
    y: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        known_arithmetic(arithmetic)?;
        some(&[n])?;
        let mut door = Door::new();
        let (code, y) = (door.read(code, code_len)?, door.write(y, n)?);
        with_levels!(levels, L => {
            if n > quantise::block(L) || code_len != quantise::words(L) {
                return Err(Code::Length);
            }
            let open = door.open()?;
            let (code, y) = (code.slice(&open), y.slice(&open));
            let scale = code.first().map_or(0.0, |scale| f32::from_bits(*scale));
            finite(&[&[scale], y])?;
            in_arithmetic!(arithmetic, A => quantise::decode::<L, A, f32>(code, y));
        });
        Ok(())
    })
}

fn bits(weight: u32, velocity: u32) -> Result<Bits, Code> {
    if [weight, velocity]
        .iter()
        .all(|bits| (1..=Bits::MOST).contains(bits))
    {
        Ok(Bits { weight, velocity })
    } else {
        Err(Code::Range)
    }
}

impl Turn {
    fn check(&self) -> Result<reversible::Turn, Code> {
        finite(&[&[self.momentum, self.rate]])?;
        let bits = bits(self.weight_bits, self.velocity_bits)?;
        let ratio = Ratio::nearest(f64::from(self.momentum)).ok_or(Code::Range)?;
        reversible::Turn::new(ratio, f64::from(self.rate), bits).ok_or(Code::Range)
    }
}

/// Refuses velocities and remainders that a step cannot begin with.
fn can_turn(v: &[i32], x: &[u32]) -> Result<(), Code> {
    if v.iter().any(|v| v.unsigned_abs() > FASTEST as u32) || x.iter().any(|x| *x >= FULL) {
        Err(Code::Range)
    } else {
        Ok(())
    }
}

/// The heavy ball's step in fixed point: the integers move, `w` and `v` get the nearest numbers.
/// A step that overflows is refused as a whole, so it is taken twice: once to see whether it does.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_step(
    turn: In<Turn>,
    g: In<f32>,
    fixed: In<Fixed>,
    w: Out<f32>,
    v: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let turn = door.get(turn)?.check()?;
        let Fixed {
            w: fw,
            v: fv,
            x: fx,
        } = door.get(fixed)?;
        slices!(door: read g[n], write fw[n], write fv[n], write fx[n], write w[n], write v[n]);
        finite(&[g])?;
        can_turn(fv, fx)?;
        let weights = fw.iter().zip(fv.iter()).zip(fx.iter()).zip(g);
        for (((i, j), x), g) in weights {
            let (mut i, mut j, mut x) = ([*i], [*j], [*x]);
            let one = reversible::Fixed {
                w: &mut i,
                v: &mut j,
                x: &mut x,
            };
            reversible::step(&turn, &[*g], one, &mut [0.0], &mut [0.0])
                .map_err(|_| Code::Overflow)?;
        }
        let all = reversible::Fixed {
            w: fw,
            v: fv,
            x: fx,
        };
        reversible::step(&turn, g, all, w, v).map_err(|_| Code::Overflow)
    })
}

/// Takes back the motion of the weights in that step; `w` gets the nearest numbers.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_undo_move(
    turn: In<Turn>,
    fixed_v: In<i32>,
    fixed_w: Out<i32>,
    w: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let turn = door.get(turn)?.check()?;
        slices!(door: read fixed_v[n], write fixed_w[n], write w[n]);
        can_turn(fixed_v, &[])?;
        reversible::undo_move(&turn, fixed_v, fixed_w, w);
        Ok(())
    })
}

/// Takes back the rest of that step, from its gradient at those weights.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_undo_kick(
    turn: In<Turn>,
    g: In<f32>,
    fixed_v: Out<i32>,
    fixed_x: Out<u32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let mut door = Door::new();
        let turn = door.get(turn)?.check()?;
        slices!(door: read g[n], write fixed_v[n], write fixed_x[n]);
        finite(&[g])?;
        can_turn(fixed_v, &[])?;
        reversible::undo_kick(&turn, g, fixed_v, fixed_x);
        Ok(())
    })
}

/// Moves the lowest 8 bits of each `x` to `bytes`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_spill(x: Out<u32>, bytes: Out<u8>, n: usize) -> i32 {
    guard(|| {
        some(&[n])?;
        slices!(write x[n], write bytes[n]);
        reversible::spill(x, bytes);
        Ok(())
    })
}

/// Takes them back.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_refill(x: Out<u32>, bytes: In<u8>, n: usize) -> i32 {
    guard(|| {
        some(&[n])?;
        slices!(write x[n], read bytes[n]);
        if x.iter().any(|x| *x >= 1 << 24) {
            return Err(Code::Range);
        }
        reversible::refill(x, bytes);
        Ok(())
    })
}

/// The integers with `fraction_bits` nearest to numbers.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_fix(
    fraction_bits: u32,
    x: In<f32>,
    fixed: Out<i32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let bits = bits(fraction_bits, fraction_bits)?;
        slices!(read x[n], write fixed[n]);
        finite(&[x])?;
        let most = bits.greatest_weight();
        if x.iter().any(|x| f64::from(*x).abs() > most) {
            return Err(Code::Overflow);
        }
        reversible::fix(bits, x, fixed).map_err(|_| Code::Overflow)
    })
}

/// The numbers nearest to integers with `fraction_bits`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_reversible_view(
    fraction_bits: u32,
    fixed: In<i32>,
    x: Out<f32>,
    n: usize,
) -> i32 {
    guard(|| {
        some(&[n])?;
        let bits = bits(fraction_bits, fraction_bits)?;
        slices!(read fixed[n], write x[n]);
        reversible::view(bits.weight_unit(), fixed, x);
        Ok(())
    })
}
