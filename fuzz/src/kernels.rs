//! Each kernel, optimizer and projection over C, with any numbers, sizes and pointers within C's promise.
//!
//! Every buffer is an allocation of its own of just the length that is told, so that the sanitizer sees
//! the first element beyond it. A buffer that a size makes too long to be there is a null pointer.

use drmad_c::error::Code;
use drmad_c::matrices::*;
use drmad_c::outer::*;
use drmad_c::random::*;
use drmad_c::raw::{In, Out};
use drmad_c::steps::*;
use drmad_c::stored::*;
use drmad_c::types::*;
use drmad_c::vectors::*;

use crate::bytes::Bytes;

/// Elements of a buffer that is there at all.
const MOST: usize = 1 << 12;

/// What a call is made from, and the buffers it is lent.
struct Call<'a> {
    bytes: Bytes<'a>,
    floats: Vec<Box<[f32]>>,
    words: Vec<Box<[u32]>>,
    shorts: Vec<Box<[u16]>>,
    octets: Vec<Box<[u8]>>,
}

/// Keeps a buffer for as long as the call; where it lies.
fn keep<T>(lent: &mut Vec<Box<[T]>>, buffer: Vec<T>) -> *mut T {
    lent.push(buffer.into_boxed_slice());
    lent.last_mut()
        .map_or(std::ptr::null_mut(), |x| x.as_mut_ptr())
}

impl Call<'_> {
    /// A null pointer, a misaligned one or one that another argument has, in place of this one.
    fn spoilt<T>(&mut self, pointer: *mut T, other: Option<*mut T>) -> *mut T {
        match self.bytes.byte() {
            255 => std::ptr::null_mut(),
            254 => other.unwrap_or(pointer),
            // Refused before it is looked through.
            253 if align_of::<T>() > 1 => pointer.wrapping_byte_add(1),
            _ => pointer,
        }
    }

    fn f(&mut self, n: usize) -> *mut f32 {
        if n > MOST {
            return std::ptr::null_mut();
        }
        let before = self
            .floats
            .last_mut()
            .filter(|x| x.len() >= n)
            .map(|x| x.as_mut_ptr());
        let pointer = keep(&mut self.floats, self.bytes.floats(n));
        self.spoilt(pointer, before)
    }

    fn w(&mut self, n: usize) -> *mut u32 {
        if n > MOST {
            return std::ptr::null_mut();
        }
        let words = (0..n)
            .map(|_| self.bytes.word() >> (self.bytes.byte() % 32))
            .collect();
        let pointer = keep(&mut self.words, words);
        self.spoilt(pointer, None)
    }

    fn r(&mut self, n: usize) -> In<f32> {
        // SAFETY: there are as many elements, or none is looked at; they live as long as the call.
        unsafe { In::new(self.f(n)) }
    }

    fn o(&mut self, n: usize) -> Out<f32> {
        // SAFETY: as above.
        unsafe { Out::new(self.f(n)) }
    }

    fn words_in<T>(&mut self, n: usize) -> In<T> {
        // SAFETY: as above, and any word is a `T`, an integer of 32 bits.
        unsafe { In::new(self.w(n).cast()) }
    }

    fn words_out<T>(&mut self, n: usize) -> Out<T> {
        // SAFETY: as above.
        unsafe { Out::new(self.w(n).cast()) }
    }

    fn octets(&mut self, n: usize) -> *mut u8 {
        if n > MOST {
            return std::ptr::null_mut();
        }
        let octets = (0..n).map(|_| self.bytes.byte()).collect();
        let pointer = keep(&mut self.octets, octets);
        self.spoilt(pointer, None)
    }

    fn indices(&mut self, n: usize) -> In<u16> {
        if n > MOST {
            return In::NULL;
        }
        let mut next = 0u16;
        let mut index = || {
            next = next.wrapping_add(u16::from(self.bytes.byte() % 8));
            next
        };
        let indices = (0..n).map(|_| index()).collect();
        let pointer = keep(&mut self.shorts, indices);
        // SAFETY: as above.
        unsafe { In::new(self.spoilt(pointer, None)) }
    }

    fn x(&mut self) -> f32 {
        self.bytes.float()
    }

    fn n(&mut self) -> usize {
        self.bytes.size()
    }

    /// Mostly one of the few that there are.
    fn choice(&mut self, n: usize) -> i32 {
        match self.bytes.byte() {
            byte @ 0..=250 => i32::from(byte) % n as i32,
            _ => self.bytes.word() as i32,
        }
    }

    fn adam(&mut self) -> AdamStep {
        AdamStep {
            t: self.bytes.word() >> (self.bytes.byte() % 32),
            rate: self.x(),
            b1: self.x(),
            b2: self.x(),
            eps: self.x(),
            decay: self.x(),
        }
    }

    fn turn(&mut self) -> Turn {
        Turn {
            momentum: self.x(),
            rate: self.x(),
            weight_bits: u32::from(self.bytes.byte() % 40),
            velocity_bits: u32::from(self.bytes.byte() % 40),
        }
    }
}

fn one<T>(x: &T) -> In<T> {
    // SAFETY: it outlives the call, which does not write it.
    unsafe { In::new(x) }
}

fn told<T>(x: &mut T) -> Out<T> {
    // SAFETY: it outlives the call.
    unsafe { Out::new(x) }
}

/// The first byte says which.
pub fn kernels(data: &[u8]) {
    let mut call = Call {
        bytes: Bytes(data),
        floats: vec![],
        words: vec![],
        shorts: vec![],
        octets: vec![],
    };
    let c = &mut call;
    let which = c.bytes.one_of(50);
    let (a, n) = (c.choice(2), c.n());
    // Of a matrix.
    let m = c.n();
    let all = n.saturating_mul(m);
    let code = match which {
        0 => drmad_momentum_step(a, c.x(), c.x(), c.r(n), c.o(n), c.o(n), n),
        1 => drmad_momentum_adjoint(a, c.x(), c.x(), c.r(n), c.o(n), c.o(n), n),
        2 => drmad_nesterov_step(a, c.x(), c.x(), c.r(n), c.o(n), c.o(n), n),
        3 => drmad_nesterov_adjoint(a, c.x(), c.x(), c.r(n), c.o(n), c.o(n), n),
        4 => drmad_nesterov_by_step(a, c.x(), c.x(), c.r(n), c.r(n), c.r(n), c.r(n), c.o(2), n),
        5 => drmad_adam_step(a, one(&c.adam()), c.r(n), c.o(n), c.o(n), c.o(n), n),
        6 => {
            let by = c.adam();
            let (g, m, v) = (c.r(n), c.r(n), c.r(n));
            drmad_adam_adjoint(a, one(&by), g, m, v, c.o(n), c.o(n), c.o(n), c.o(n), n)
        }
        7 => {
            let by = c.adam();
            let (g, m, v) = (c.r(n), c.r(n), c.r(n));
            drmad_adam_by_step(a, one(&by), g, m, v, c.r(n), c.r(n), c.r(n), c.o(2), n)
        }
        8 => {
            let (i, of) = (c.n(), c.n());
            drmad_between(a, i, of, c.r(n), c.r(n), c.o(n), n)
        }
        9 => drmad_add_scaled(a, c.x(), c.r(n), c.o(n), n),
        10 => drmad_scale(c.x(), c.r(n), c.o(n), n),
        11 => drmad_scale_rows(n, m, c.r(n), c.r(all), c.o(all)),
        12 => drmad_add_scaled_rows(a, n, m, c.r(n), c.r(all), c.o(all)),
        13 => drmad_add_row_dots(a, n, m, c.r(all), c.r(all), c.o(n)),
        14 => drmad_add_row_sums(n, m, c.r(all), c.o(n)),
        15 => drmad_add_rows(n, m, c.r(all), c.o(m)),
        16 => drmad_sum(c.r(n), n, c.o(1)),
        17 => drmad_dot(a, c.r(n), c.r(n), n, c.o(1)),
        18 => {
            let inner = c.n();
            let shape = Product {
                operands: c.choice(3),
                accumulate: c.choice(2),
                rows: n,
                inner,
                columns: m,
            };
            let mut len = 0;
            let code = drmad_matmul_required_len(one(&shape), told(&mut len));
            if code != 0 {
                return;
            }
            let packed = len.saturating_sub(usize::from(c.bytes.byte() == 0));
            let (x, y) = (n.saturating_mul(inner), inner.saturating_mul(m));
            let got = drmad_matmul(
                a,
                one(&shape),
                c.r(x),
                c.r(y),
                c.o(all),
                c.o(packed),
                packed,
            );
            assert!(got != 0 || packed == len);
            got
        }
        19 => {
            let count = c.n();
            drmad_sparse_product(
                a,
                c.indices(count),
                c.r(count),
                count,
                c.r(all),
                n,
                m,
                c.o(m),
            )
        }
        20 => {
            let count = c.n();
            drmad_sparse_outer(
                a,
                c.indices(count),
                c.r(count),
                count,
                c.r(m),
                n,
                m,
                c.o(all),
            )
        }
        21 => drmad_sparse_shifted(a, c.x(), c.r(all), c.r(m), n, m, c.o(m)),
        22 => drmad_exp(a, c.r(n), c.o(n), n),
        23 => drmad_ln(a, c.r(n), c.o(n), n),
        24 => drmad_tanh(a, c.o(n), n),
        25 => drmad_tanh_adjoint(a, c.r(n), c.o(n), n),
        26 => drmad_tanh_adjoint_r(a, c.r(n), c.r(n), c.o(n), c.o(n), n),
        27 => drmad_softmax(a, n, m, c.o(all), c.o(all), c.o(n)),
        28 => drmad_softmax_r(a, n, m, c.r(all), c.o(all)),
        29..=31 => {
            let levels = [3, 7, 11, 15, 255, m as u32][c.bytes.one_of(6)];
            let (mut numbers, mut words) = (0, 0);
            let code = drmad_quantise_block(levels, told(&mut numbers), told(&mut words));
            let len = if c.bytes.flag() { words } else { c.n() };
            let n = if c.bytes.flag() { numbers } else { n };
            let got = match which {
                29 => drmad_quantise(levels, c.r(n), n, c.words_out(len), len),
                _ => drmad_dequantise(a, levels, c.words_in(len), len, c.o(n), n),
            };
            assert!(got != 0 || code == 0);
            got
        }
        32 => {
            let fixed = Fixed {
                w: c.words_out(n),
                v: c.words_out(n),
                x: c.words_out(n),
            };
            drmad_reversible_step(one(&c.turn()), c.r(n), one(&fixed), c.o(n), c.o(n), n)
        }
        33 => drmad_reversible_undo_move(one(&c.turn()), c.words_in(n), c.words_out(n), c.o(n), n),
        34 => drmad_reversible_undo_kick(one(&c.turn()), c.r(n), c.words_out(n), c.words_out(n), n),
        35 => {
            // SAFETY: as the other buffers.
            let octets = unsafe { Out::new(c.octets(n)) };
            drmad_reversible_spill(c.words_out(n), octets, n)
        }
        36 => {
            // SAFETY: as the other buffers.
            let octets = unsafe { In::new(c.octets(n)) };
            drmad_reversible_refill(c.words_out(n), octets, n)
        }
        37 => drmad_reversible_fix(u32::from(c.bytes.byte() % 40), c.r(n), c.words_out(n), n),
        38 => drmad_reversible_view(u32::from(c.bytes.byte() % 40), c.words_in(n), c.o(n), n),
        39 => drmad_normal(c.bytes.long(), c.x(), m, c.o(n), n),
        40 => drmad_batch(c.bytes.long(), m, c.n(), c.words_out(n), n),
        41 => drmad_choose(c.bytes.long(), c.words_out(m), m, c.words_out(n), n),
        42 => drmad_outer_sign(c.x(), c.r(n), c.o(n), n),
        43 => drmad_outer_sgd(c.x(), c.r(n), c.o(n), n),
        44 => {
            let mut adam = OuterAdam {
                rate: c.x(),
                b1: c.x(),
                b2: c.x(),
                eps: c.x(),
                taken: c.bytes.word() >> (c.bytes.byte() % 32),
            };
            drmad_outer_adam(told(&mut adam), c.r(n), c.o(n), c.o(n), c.o(n), n)
        }
        45 => {
            let set = Set {
                set: c.choice(5),
                low: c.x(),
                high: c.x(),
                total: c.x(),
            };
            let x = c.o(n);
            drmad_project(one(&set), x, n)
        }
        46 => drmad_value(a, c.choice(4), c.o(n), n),
        47 => drmad_invert(a, c.choice(4), c.o(n), n),
        48 => drmad_pull_back(c.choice(4), c.r(n), c.o(n), n),
        _ => {
            // SAFETY: a static string, whatever the code.
            let text = unsafe { std::ffi::CStr::from_ptr(drmad_c::error::drmad_error_text(a)) };
            assert!(!text.is_empty());
            return;
        }
    };
    assert_ne!(
        code,
        Code::Internal as i32,
        "a panic was caught at the border"
    );
}
