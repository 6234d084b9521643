//! Bad input gets its code, whichever argument it comes by, and leaves every buffer as it was.
//!
//! Each function stands here once, with good arguments. The faults are put into them one by one: a null
//! pointer, a misaligned one, each overlap with what is written, NaN in what is read, no element and
//! too many, an unknown arithmetic.

use drmad_c::error::Code;
use drmad_c::matrices::*;
use drmad_c::outer::*;
use drmad_c::random::*;
use drmad_c::raw::{In, Out};
use drmad_c::steps::*;
use drmad_c::stored::*;
use drmad_c::types::{AdamStep, Convex, Fixed, OuterAdam, Parametrisation, Product, Set, Turn};
use drmad_c::vectors::*;

/// The type of a buffer's elements.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    F32,
    /// Integers of this alignment.
    Other(usize),
    /// A struct of this alignment.
    Struct(usize),
}

/// One buffer of a call.
#[derive(Clone)]
struct Buffer {
    bytes: Vec<u8>,
    of: Type,
    writes: bool,
    /// NaN in it is refused.
    reads: bool,
}

fn f32s(x: &[f32], reads: bool, writes: bool) -> Buffer {
    let bytes = x.iter().flat_map(|x| x.to_ne_bytes()).collect();
    Buffer {
        bytes,
        of: Type::F32,
        writes,
        reads,
    }
}

/// Read only.
fn read(x: &[f32]) -> Buffer {
    f32s(x, true, false)
}

/// Read and written.
fn update(x: &[f32]) -> Buffer {
    f32s(x, true, true)
}

/// Written only.
fn write(n: usize) -> Buffer {
    f32s(&vec![7.0; n], false, true)
}

fn other(bytes: Vec<u8>, align: usize, writes: bool) -> Buffer {
    Buffer {
        bytes,
        of: Type::Other(align),
        writes,
        reads: false,
    }
}

fn record<T: Copy>(x: T, writes: bool) -> Buffer {
    Buffer {
        of: Type::Struct(align_of::<T>()),
        ..other(bytes(x), 4, writes)
    }
}

fn words(x: &[u32], writes: bool) -> Buffer {
    other(x.iter().flat_map(|x| x.to_ne_bytes()).collect(), 4, writes)
}

/// The call with pointers to its buffers, its first size, and its arithmetic.
type Call = fn(&[*mut u8], usize, i32) -> i32;

struct Case {
    name: &'static str,
    n: usize,
    buffers: Vec<Buffer>,
    /// Whether it has an arithmetic.
    has_arithmetic: bool,
    /// Whether its size can be too large or 0.
    has_size: bool,
    call: Call,
}

fn i<T>(p: *mut u8) -> In<T> {
    // SAFETY: the buffers outlive the call; faults are what this test is about.
    unsafe { In::new(p.cast()) }
}

fn o<T>(p: *mut u8) -> Out<T> {
    // SAFETY: as above.
    unsafe { Out::new(p.cast()) }
}

/// Memory for all buffers, far apart, each at a multiple of 16 bytes.
struct Arena {
    memory: Vec<u128>,
    places: Vec<usize>,
}

impl Arena {
    fn new(buffers: &[Buffer]) -> Self {
        let mut places = vec![];
        let mut len = 0;
        for buffer in buffers {
            places.push(len);
            len += buffer.bytes.len().div_ceil(16) + 2;
        }
        let mut arena = Arena {
            memory: vec![0x5a5a_5a5a; len],
            places,
        };
        for (k, buffer) in buffers.iter().enumerate() {
            let place = arena.pointer(k);
            // SAFETY: there is room for it.
            unsafe { place.copy_from_nonoverlapping(buffer.bytes.as_ptr(), buffer.bytes.len()) };
        }
        arena
    }

    fn pointer(&mut self, k: usize) -> *mut u8 {
        let place = self.places[k];
        self.memory.as_mut_ptr().wrapping_add(place).cast()
    }

    fn pointers(&mut self) -> Vec<*mut u8> {
        (0..self.places.len()).map(|k| self.pointer(k)).collect()
    }
}

impl Case {
    /// The call on an arena of its own, after a fault was put in; refused with `want`, nothing written.
    fn refuses(
        &self,
        fault: &str,
        want: Code,
        n: usize,
        arithmetic: i32,
        buffers: &[Buffer],
        spoil: impl Fn(&mut Vec<*mut u8>),
    ) {
        let mut arena = Arena::new(buffers);
        let before = arena.memory.clone();
        let mut pointers = arena.pointers();
        spoil(&mut pointers);
        let got = (self.call)(&pointers, n, arithmetic);
        assert_eq!(got, want as i32, "{}: {fault}", self.name);
        assert!(
            arena.memory == before,
            "{}: {fault}: something was written",
            self.name
        );
    }

    fn check(&self) {
        for arithmetic in [0, 1] {
            let mut arena = Arena::new(&self.buffers);
            let before = arena.memory.clone();
            let pointers = arena.pointers();
            assert_eq!(
                (self.call)(&pointers, self.n, arithmetic),
                0,
                "{}",
                self.name
            );
            assert!(arena.memory != before, "{} does nothing", self.name);
        }
        let all = &self.buffers;
        for (k, buffer) in all.iter().enumerate() {
            self.refuses(&format!("null {k}"), Code::Null, self.n, 0, all, |p| {
                p[k] = std::ptr::null_mut();
            });
            let align = match buffer.of {
                Type::F32 => 4,
                Type::Other(align) | Type::Struct(align) => align,
            };
            if align > 1 {
                let fault = format!("misaligned {k}");
                self.refuses(&fault, Code::Misaligned, self.n, 0, all, |p| {
                    p[k] = p[k].wrapping_add(1);
                });
            }
            for other in (0..all.len()).filter(|other| *other != k) {
                if buffer.writes || all[other].writes {
                    let fault = format!("{k} on {other}");
                    // What else stands in a struct's place would be refused for other reasons.
                    if !matches!(buffer.of, Type::Struct(_)) {
                        self.refuses(&fault, Code::Overlap, self.n, 0, all, |p| p[k] = p[other]);
                    }
                }
            }
            if buffer.reads {
                for bad in [f32::NAN, f32::NEG_INFINITY] {
                    for place in [0, buffer.bytes.len() / 4 - 1] {
                        let takes_infinities =
                            ["exp", "tanh", "ln"].contains(&self.name) && bad.is_infinite();
                        if takes_infinities {
                            continue;
                        }
                        let mut spoiled = all.clone();
                        spoiled[k].bytes[4 * place..][..4].copy_from_slice(&bad.to_ne_bytes());
                        let fault = format!("{bad} in {k} at {place}");
                        self.refuses(&fault, Code::NotFinite, self.n, 0, &spoiled, |_| ());
                    }
                }
            }
        }
        if self.has_arithmetic {
            for unknown in [-1, 2, i32::MAX] {
                self.refuses("arithmetic", Code::Enum, self.n, unknown, all, |_| ());
            }
        }
        if self.has_size {
            self.refuses("no element", Code::Empty, 0, 0, all, |_| ());
            for many in [usize::MAX, usize::MAX / 2, usize::MAX / 8 + 1] {
                self.refuses("too many", Code::Size, many, 0, all, |_| ());
            }
        }
    }
}

const X: &[f32] = &[1.0, -2.0, 0.5, 3.0, -0.25, 4.0];
const Y: &[f32] = &[0.5, 1.0, -1.5, 2.0, 0.75, -3.0];
const POSITIVE: &[f32] = &[1.0, 2.0, 0.5, 3.0, 0.25, 4.0];
/// A matrix of 2 rows and 3 columns is a vector of 6.
const N: usize = 6;

fn bytes<T: Copy>(x: T) -> Vec<u8> {
    let pointer = (&raw const x).cast::<u8>();
    // SAFETY: the structs here have no padding, and numbers are bytes.
    unsafe { std::slice::from_raw_parts(pointer, size_of::<T>()) }.to_vec()
}

fn shape() -> Buffer {
    let shape = Product {
        operands: 0,
        accumulate: 1,
        rows: 2,
        inner: 3,
        columns: 2,
    };
    record(shape, false)
}

fn adam() -> Buffer {
    let by = AdamStep {
        t: 3,
        rate: 0.1,
        b1: 0.9,
        b2: 0.99,
        eps: 1e-4,
        decay: 0.1,
    };
    record(by, false)
}

fn turn() -> Buffer {
    let by = Turn {
        momentum: 0.9,
        rate: 0.1,
        weight_bits: 26,
        velocity_bits: 28,
    };
    record(by, false)
}

fn case(name: &'static str, buffers: Vec<Buffer>, has_arithmetic: bool, call: Call) -> Case {
    let (n, has_size) = (N, true);
    Case {
        name,
        n,
        buffers,
        has_arithmetic,
        has_size,
        call,
    }
}

/// With the first of its sizes 2.
fn rows(name: &'static str, buffers: Vec<Buffer>, has_arithmetic: bool, call: Call) -> Case {
    Case {
        n: 2,
        ..case(name, buffers, has_arithmetic, call)
    }
}

fn cases() -> Vec<Case> {
    let indices = || {
        other(
            [0u16, 1].iter().flat_map(|x| x.to_ne_bytes()).collect(),
            2,
            false,
        )
    };
    vec![
        case(
            "momentum_step",
            vec![read(X), update(Y), update(X)],
            true,
            |p, n, a| drmad_momentum_step(a, 0.1, 0.9, i(p[0]), o(p[1]), o(p[2]), n),
        ),
        case(
            "momentum_adjoint",
            vec![read(X), update(Y), write(N)],
            true,
            |p, n, a| drmad_momentum_adjoint(a, 0.1, 0.9, i(p[0]), o(p[1]), o(p[2]), n),
        ),
        case(
            "nesterov_step",
            vec![read(X), update(Y), update(X)],
            true,
            |p, n, a| drmad_nesterov_step(a, 0.1, 0.9, i(p[0]), o(p[1]), o(p[2]), n),
        ),
        case(
            "nesterov_adjoint",
            vec![read(X), update(Y), write(N)],
            true,
            |p, n, a| drmad_nesterov_adjoint(a, 0.1, 0.9, i(p[0]), o(p[1]), o(p[2]), n),
        ),
        case(
            "nesterov_by_step",
            vec![read(X), read(Y), read(X), read(Y), write(2)],
            true,
            |p, n, a| {
                drmad_nesterov_by_step(a, 0.1, 0.9, i(p[0]), i(p[1]), i(p[2]), i(p[3]), o(p[4]), n)
            },
        ),
        case(
            "adam_step",
            vec![adam(), read(X), update(Y), update(POSITIVE), update(X)],
            true,
            |p, n, a| drmad_adam_step(a, i(p[0]), i(p[1]), o(p[2]), o(p[3]), o(p[4]), n),
        ),
        case(
            "adam_adjoint",
            vec![
                adam(),
                read(X),
                read(Y),
                read(POSITIVE),
                update(X),
                update(Y),
                update(X),
                write(N),
            ],
            true,
            |p, n, a| {
                let (d_w, d_m, d_second, d_g) = (o(p[4]), o(p[5]), o(p[6]), o(p[7]));
                drmad_adam_adjoint(
                    a,
                    i(p[0]),
                    i(p[1]),
                    i(p[2]),
                    i(p[3]),
                    d_w,
                    d_m,
                    d_second,
                    d_g,
                    n,
                )
            },
        ),
        case(
            "adam_by_step",
            vec![
                adam(),
                read(X),
                read(Y),
                read(POSITIVE),
                read(X),
                read(Y),
                read(X),
                write(2),
            ],
            true,
            |p, n, a| {
                let (w, d_w, d_m) = (i(p[4]), i(p[5]), i(p[6]));
                drmad_adam_by_step(
                    a,
                    i(p[0]),
                    i(p[1]),
                    i(p[2]),
                    i(p[3]),
                    w,
                    d_w,
                    d_m,
                    o(p[7]),
                    n,
                )
            },
        ),
        case(
            "between",
            vec![read(X), read(Y), write(N)],
            true,
            |p, n, a| drmad_between(a, 1, 3, i(p[0]), i(p[1]), o(p[2]), n),
        ),
        case("add_scaled", vec![read(X), update(Y)], true, |p, n, a| {
            drmad_add_scaled(a, 0.5, i(p[0]), o(p[1]), n)
        }),
        case("scale", vec![read(X), write(N)], false, |p, n, _| {
            drmad_scale(0.5, i(p[0]), o(p[1]), n)
        }),
        rows(
            "scale_rows",
            vec![read(&X[..2]), read(X), write(N)],
            false,
            |p, n, _| drmad_scale_rows(n, 3, i(p[0]), i(p[1]), o(p[2])),
        ),
        rows(
            "add_scaled_rows",
            vec![read(&X[..2]), read(X), update(Y)],
            true,
            |p, n, a| drmad_add_scaled_rows(a, n, 3, i(p[0]), i(p[1]), o(p[2])),
        ),
        rows(
            "add_row_dots",
            vec![read(X), read(Y), update(&X[..2])],
            true,
            |p, n, a| drmad_add_row_dots(a, n, 3, i(p[0]), i(p[1]), o(p[2])),
        ),
        rows(
            "add_row_sums",
            vec![read(X), update(&Y[..2])],
            false,
            |p, n, _| drmad_add_row_sums(n, 3, i(p[0]), o(p[1])),
        ),
        rows(
            "add_rows",
            vec![read(X), update(&Y[..3])],
            false,
            |p, n, _| drmad_add_rows(n, 3, i(p[0]), o(p[1])),
        ),
        case("sum", vec![read(X), write(1)], false, |p, n, _| {
            drmad_sum(i(p[0]), n, o(p[1]))
        }),
        case("dot", vec![read(X), read(Y), write(1)], true, |p, n, a| {
            drmad_dot(a, i(p[0]), i(p[1]), n, o(p[2]))
        }),
        Case {
            has_size: false,
            ..case(
                "matmul",
                vec![shape(), read(X), read(Y), update(&X[..4]), write(3 * 16)],
                true,
                |p, _, a| drmad_matmul(a, i(p[0]), i(p[1]), i(p[2]), o(p[3]), o(p[4]), 3 * 16),
            )
        },
        Case {
            has_size: false,
            ..case(
                "matmul_required_len",
                vec![
                    shape(),
                    other(vec![0; size_of::<usize>()], align_of::<usize>(), true),
                ],
                false,
                |p, _, _| drmad_matmul_required_len(i(p[0]), o(p[1])),
            )
        },
        rows(
            "sparse_product",
            vec![indices(), read(&X[..2]), read(X), update(&Y[..3])],
            true,
            |p, n, a| drmad_sparse_product(a, i(p[0]), i(p[1]), 2, i(p[2]), n, 3, o(p[3])),
        ),
        rows(
            "sparse_outer",
            vec![indices(), read(&X[..2]), read(&Y[..3]), update(X)],
            true,
            |p, n, a| drmad_sparse_outer(a, i(p[0]), i(p[1]), 2, i(p[2]), n, 3, o(p[3])),
        ),
        rows(
            "sparse_shifted",
            vec![read(X), read(&Y[..3]), write(3)],
            true,
            |p, n, a| drmad_sparse_shifted(a, 0.5, i(p[0]), i(p[1]), n, 3, o(p[2])),
        ),
        case("exp", vec![read(X), write(N)], true, |p, n, a| {
            drmad_exp(a, i(p[0]), o(p[1]), n)
        }),
        case("ln", vec![read(POSITIVE), write(N)], true, |p, n, a| {
            drmad_ln(a, i(p[0]), o(p[1]), n)
        }),
        case("tanh", vec![update(X)], true, |p, n, a| {
            drmad_tanh(a, o(p[0]), n)
        }),
        case("tanh_adjoint", vec![read(X), update(Y)], true, |p, n, a| {
            drmad_tanh_adjoint(a, i(p[0]), o(p[1]), n)
        }),
        case(
            "tanh_adjoint_r",
            vec![read(X), read(Y), update(X), update(Y)],
            true,
            |p, n, a| drmad_tanh_adjoint_r(a, i(p[0]), i(p[1]), o(p[2]), o(p[3]), n),
        ),
        rows(
            "softmax",
            vec![update(X), write(6), write(2)],
            true,
            |p, n, a| drmad_softmax(a, n, 3, o(p[0]), o(p[1]), o(p[2])),
        ),
        rows("softmax_r", vec![read(X), update(Y)], true, |p, n, a| {
            drmad_softmax_r(a, n, 3, i(p[0]), o(p[1]))
        }),
        case(
            "quantise",
            vec![read(X), words(&[9; 10], true)],
            false,
            |p, n, _| drmad_quantise(11, i(p[0]), n, o(p[1]), 10),
        ),
        case(
            "dequantise",
            vec![words(&[0x3f80_0000; 10], false), update(X)],
            true,
            |p, n, a| drmad_dequantise(a, 11, i(p[0]), 10, o(p[1]), n),
        ),
        case(
            "reversible_step",
            vec![
                turn(),
                read(X),
                words(&[1 << 20; N], true),
                words(&[1 << 18; N], true),
                words(&[5; N], true),
                write(N),
                write(N),
            ],
            false,
            |p, n, _| {
                let fixed = Fixed {
                    w: o(p[2]),
                    v: o(p[3]),
                    x: o(p[4]),
                };
                drmad_reversible_step(
                    i(p[0]),
                    i(p[1]),
                    i((&raw const fixed).cast_mut().cast()),
                    o(p[5]),
                    o(p[6]),
                    n,
                )
            },
        ),
        case(
            "reversible_undo_move",
            vec![
                turn(),
                words(&[1 << 18; N], false),
                words(&[1 << 20; N], true),
                write(N),
            ],
            false,
            |p, n, _| drmad_reversible_undo_move(i(p[0]), i(p[1]), o(p[2]), o(p[3]), n),
        ),
        case(
            "reversible_undo_kick",
            vec![
                turn(),
                read(X),
                words(&[1 << 18; N], true),
                words(&[5; N], true),
            ],
            false,
            |p, n, _| drmad_reversible_undo_kick(i(p[0]), i(p[1]), o(p[2]), o(p[3]), n),
        ),
        case(
            "reversible_spill",
            vec![words(&[0x1234; N], true), other(vec![0; N], 1, true)],
            false,
            |p, n, _| drmad_reversible_spill(o(p[0]), o(p[1]), n),
        ),
        case(
            "reversible_refill",
            vec![words(&[0x12; N], true), other(vec![0x34; N], 1, false)],
            false,
            |p, n, _| drmad_reversible_refill(o(p[0]), i(p[1]), n),
        ),
        case(
            "reversible_fix",
            vec![read(X), words(&[0; N], true)],
            false,
            |p, n, _| drmad_reversible_fix(26, i(p[0]), o(p[1]), n),
        ),
        case(
            "reversible_view",
            vec![words(&[77; N], false), write(N)],
            false,
            |p, n, _| drmad_reversible_view(26, i(p[0]), o(p[1]), n),
        ),
        case("normal", vec![write(N)], false, |p, n, _| {
            drmad_normal(1, -1.0, 0, o(p[0]), n)
        }),
        case("batch", vec![words(&[99; N], true)], false, |p, n, _| {
            drmad_batch(1, 50, 2, o(p[0]), n)
        }),
        case("outer_sign", vec![read(X), update(Y)], false, |p, n, _| {
            drmad_outer_sign(0.1, i(p[0]), o(p[1]), n)
        }),
        case("outer_sgd", vec![read(X), update(Y)], false, |p, n, _| {
            drmad_outer_sgd(0.1, i(p[0]), o(p[1]), n)
        }),
        case(
            "outer_adam",
            vec![
                record(
                    OuterAdam {
                        rate: 0.1,
                        b1: 0.0,
                        b2: 0.0,
                        eps: 0.0,
                        taken: 0,
                    },
                    true,
                ),
                read(X),
                update(Y),
                update(POSITIVE),
                update(X),
            ],
            false,
            |p, n, _| drmad_outer_adam(o(p[0]), i(p[1]), o(p[2]), o(p[3]), o(p[4]), n),
        ),
        case(
            "project",
            vec![
                record(
                    Set {
                        set: Convex::Simplex as i32,
                        low: 0.0,
                        high: 0.0,
                        total: 1.0,
                    },
                    false,
                ),
                update(X),
            ],
            false,
            |p, n, _| drmad_project(i(p[0]), o(p[1]), n),
        ),
        case("value", vec![update(X)], true, |p, n, a| {
            drmad_value(a, Parametrisation::Log as i32, o(p[0]), n)
        }),
        case("invert", vec![update(POSITIVE)], true, |p, n, a| {
            drmad_invert(a, Parametrisation::Log as i32, o(p[0]), n)
        }),
        case("pull_back", vec![read(X), update(Y)], false, |p, n, _| {
            drmad_pull_back(Parametrisation::Logit as i32, i(p[0]), o(p[1]), n)
        }),
    ]
}

#[test]
fn every_kernel_refuses_every_fault_and_writes_nothing() {
    for case in cases() {
        case.check();
    }
}

/// A call on good buffers with another fault in its numbers.
#[test]
fn numbers_out_of_range_have_their_codes() {
    let mut x = [1.0f32, 2.0];
    let mut y = [3.0f32, 4.0];
    let (mut code, mut whole) = ([0u32; 10], [0i32; 2]);
    let (px, pcode) = (x.as_mut_ptr(), code.as_mut_ptr());
    // SAFETY: each call borrows each buffer once, with its length.
    let (xi, xo) = unsafe { (In::new(px.cast_const()), Out::new(px)) };
    let (code_in, code_out) = unsafe { (In::new(pcode.cast_const()), Out::new(pcode)) };
    let yo = unsafe { Out::new(y.as_mut_ptr()) };
    let whole_out = unsafe { Out::new(whole.as_mut_ptr()) };
    let of = |code: Code| code as i32;

    for momentum in [-0.1, 1.0, 2.0] {
        let got = drmad_momentum_adjoint(0, 0.1, momentum, In::NULL, Out::NULL, Out::NULL, 2);
        assert_eq!(got, of(Code::Range));
    }
    assert_eq!(drmad_between(0, 4, 3, xi, xi, yo, 2), of(Code::Range));
    assert_eq!(drmad_between(0, 0, 0, xi, xi, yo, 2), of(Code::Empty));
    assert_eq!(
        drmad_add_scaled(0, f32::NAN, xi, yo, 2),
        of(Code::NotFinite)
    );
    assert_eq!(drmad_quantise(5, xi, 2, code_out, 10), of(Code::Enum));
    assert_eq!(drmad_quantise(11, xi, 2, code_out, 9), of(Code::Length));
    assert_eq!(
        drmad_dequantise(0, 11, code_in, 11, yo, 2),
        of(Code::Length)
    );
    assert_eq!(drmad_reversible_fix(31, xi, whole_out, 2), of(Code::Range));
    assert_eq!(
        drmad_reversible_fix(30, xi, whole_out, 2),
        of(Code::Overflow)
    );
    for no_other in [0, 1, 4, -1] {
        assert_eq!(drmad_value(0, no_other, yo, 2), of(Code::Enum));
    }
    assert_eq!(
        drmad_invert(0, Parametrisation::Logit as i32, yo, 2),
        of(Code::Range)
    );
    assert_eq!((y, whole, code), ([3.0, 4.0], [0; 2], [0; 10]));

    let negative = [-1.0f32];
    let negative = unsafe { In::new(negative.as_ptr()) };
    assert_eq!(drmad_ln(0, negative, yo, 1), of(Code::Range));
    let twice = [1u16, 1];
    let far = [0u16, 9];
    let [twice, far] = [&twice, &far].map(|x| unsafe { In::new(x.as_ptr()) });
    assert_eq!(
        drmad_sparse_product(0, twice, xi, 2, xi, 2, 1, yo),
        of(Code::Order)
    );
    assert_eq!(
        drmad_sparse_product(0, far, xi, 2, xi, 2, 1, yo),
        of(Code::Index)
    );
    for set in [
        (Convex::Box, [1.0, 0.0, 0.0], Code::EmptySet),
        (Convex::Simplex, [0.0, 0.0, -1.0], Code::EmptySet),
        (Convex::CappedBox, [0.0, 1.0, f32::NAN], Code::NotFinite),
    ] {
        let (kind, [low, high, total], want) = set;
        let set = kind as i32;
        let set = Set {
            set,
            low,
            high,
            total,
        };
        assert_eq!(
            drmad_project(unsafe { In::new(&raw const set) }, yo, 2),
            of(want)
        );
    }
    assert_eq!(y, [3.0, 4.0]);
    let mut pool = [0u32; 3];
    let pool = unsafe { Out::new(pool.as_mut_ptr()) };
    assert_eq!(drmad_choose(1, pool, 3, code_out, 4), of(Code::Length));
    assert_eq!(drmad_choose(1, pool, 3, code_out, 3), 0);
    assert_eq!(drmad_tanh(0, xo, 2), 0);
}

/// A step in fixed point that overflows at its last weight moves none.
#[test]
fn a_step_that_overflows_is_refused_as_a_whole() {
    let turn = Turn {
        momentum: 0.9,
        rate: 0.1,
        weight_bits: 26,
        velocity_bits: 28,
    };
    let g = [0.5f32, 1e6];
    let (mut fw, mut fv, mut fx) = ([1 << 20; 2], [1 << 18; 2], [5u32; 2]);
    let (mut w, mut v) = ([7.0f32; 2], [8.0f32; 2]);
    let step = |g: &[f32],
                fw: &mut [i32; 2],
                fv: &mut [i32; 2],
                fx: &mut [u32; 2],
                w: &mut [f32; 2],
                v: &mut [f32; 2]| {
        // SAFETY: buffers of two numbers each.
        unsafe {
            let fixed = Fixed {
                w: Out::new(fw.as_mut_ptr()),
                v: Out::new(fv.as_mut_ptr()),
                x: Out::new(fx.as_mut_ptr()),
            };
            let (w, v) = (Out::new(w.as_mut_ptr()), Out::new(v.as_mut_ptr()));
            drmad_reversible_step(
                In::new(&raw const turn),
                In::new(g.as_ptr()),
                In::new(&raw const fixed),
                w,
                v,
                2,
            )
        }
    };
    let got = step(&g, &mut fw, &mut fv, &mut fx, &mut w, &mut v);
    assert_eq!(got, Code::Overflow as i32);
    assert_eq!(
        (fw, fv, fx, w, v),
        ([1 << 20; 2], [1 << 18; 2], [5; 2], [7.0; 2], [8.0; 2])
    );
    assert_eq!(
        step(&[0.5, 0.25], &mut fw, &mut fv, &mut fx, &mut w, &mut v),
        0
    );
    assert_ne!(fw, [1 << 20; 2]);
    fx = [1 << 21; 2];
    assert_eq!(
        step(&[0.5, 0.25], &mut fw, &mut fv, &mut fx, &mut w, &mut v),
        Code::Range as i32
    );
}

/// Where Adam's quotient would be 0 / 0, or a square beyond the numbers, nothing is written.
#[test]
fn constants_and_gradients_at_the_ends_of_adam_are_refused_as_in_a_training() {
    let good = AdamStep {
        t: 0,
        rate: 0.1,
        b1: 0.9,
        b2: 0.999,
        eps: 1e-8,
        decay: 0.0,
    };
    let step = |by: AdamStep, g: f32| {
        let (g, mut m, mut n, mut w) = ([g], [0.0f32], [0.0f32], [1.0f32]);
        // SAFETY: buffers of one number each.
        let code = unsafe {
            drmad_adam_step(
                0,
                In::new(&raw const by),
                In::new(g.as_ptr()),
                Out::new(m.as_mut_ptr()),
                Out::new(n.as_mut_ptr()),
                Out::new(w.as_mut_ptr()),
                1,
            )
        };
        (code, [m[0], n[0], w[0]])
    };
    let untouched = [0.0, 0.0, 1.0];
    assert_eq!(step(good, 0.0), (0, untouched));
    let (code, [_, _, w]) = step(good, 9e18);
    assert!(code == 0 && (w - 0.9).abs() < 1e-6, "{code}, {w}");
    // 2^-55 / sqrt(.001) is 8.8e-16.
    for eps in [0.0, f32::MIN_POSITIVE, 8.7e-16] {
        let by = AdamStep { eps, ..good };
        assert_eq!(step(by, 0.0), (Code::Range as i32, untouched), "{eps:e}");
    }
    for by in [
        AdamStep { b1: 1.0, ..good },
        AdamStep { b2: 1.0, ..good },
        AdamStep { b2: -0.1, ..good },
        AdamStep {
            decay: -1.0,
            ..good
        },
    ] {
        assert_eq!(step(by, 1.0), (Code::Range as i32, untouched), "{by:?}");
    }
    for g in [2e19, 1e25, -3e38] {
        assert_eq!(step(good, g), (Code::Diverged as i32, untouched), "{g:e}");
    }
}
