//! Whole operations over C: any run, method, results and memory within C's promise.
//!
//! The promise is that there are as many elements behind a pointer as the lengths say. So sizes that cannot
//! be there meet null pointers, and trainings that would take for ever are asked for their memory alone.

use std::ptr::null_mut;

use drmad_c::error::Code;
use drmad_c::method::{Method, TAIL_NONE};
use drmad_c::run::*;
use drmad_c::{ABI, In, Out};

use crate::bytes::Bytes;

const MOST: usize = 1 << 12;
/// What cannot be is written in whatever a refused call must leave alone.
const MARK: u32 = 0x7fc0_1234;

fn read<T>(x: &[T]) -> In<T> {
    // SAFETY: the callers keep what they lend.
    unsafe { In::new(x.as_ptr()) }
}

fn write<T>(x: &mut [T]) -> Out<T> {
    // SAFETY: as above.
    unsafe { Out::new(x.as_mut_ptr()) }
}

/// As many elements as the length says, or no pointer.
fn made<T>(n: usize, bytes: &mut Bytes<'_>, of: impl Fn(&mut Bytes<'_>) -> T) -> (Box<[T]>, In<T>) {
    if n > MOST || bytes.byte() == 255 {
        return ([].into(), In::NULL);
    }
    let x: Box<[T]> = (0..n).map(|_| of(bytes)).collect();
    let pointer = read(&x);
    (x, pointer)
}

fn grouping(bytes: &mut Bytes<'_>) -> Grouping {
    Grouping {
        by: choice(bytes, 6),
        biases: choice(bytes, 2),
    }
}

fn choice(bytes: &mut Bytes<'_>, n: usize) -> i32 {
    match bytes.byte() {
        byte @ 0..=252 => i32::from(byte) % n as i32,
        _ => bytes.word() as i32,
    }
}

/// Nearly always what it is to be.
fn nearly(bytes: &mut Bytes<'_>, right: usize) -> usize {
    match bytes.byte() {
        0..=247 => right,
        248 => right.saturating_add(1),
        249 => right.saturating_sub(1),
        _ => bytes.size(),
    }
}

/// A number that a training may survive, or any.
fn tame(bytes: &mut Bytes<'_>) -> f32 {
    match bytes.byte() {
        byte @ 0..=251 => f32::from(byte) / 256.0,
        _ => bytes.float(),
    }
}

/// The promise that a memory is there, though not that it is enough.
fn words_of(len: usize, bytes: &mut Bytes<'_>) -> Option<Vec<u32>> {
    (len <= 1 << 18).then(|| vec![0xdead_beef; nearly(bytes, len).min(1 << 18)])
}

/// What the bytes come to: a run, and what is done with it.
pub fn runs(data: &[u8]) {
    let mut bytes = Bytes(data);
    let b = &mut bytes;
    let what = b.one_of(6);
    let widths: Vec<usize> = (0..1 + b.one_of(5))
        .map(|_| match b.byte() {
            byte @ 0..=250 => 1 + usize::from(byte) % 6,
            _ => b.size(),
        })
        .collect();
    let (inputs, classes) = (widths[0], *widths.last().unwrap_or(&0));
    let examples = nearly(b, 1 + b.0.len() % 7);
    let (train, valid_len) = (nearly(b, examples.div_ceil(2)), nearly(b, 2));
    let steps = match b.byte() {
        byte @ 0..=247 => 1 + usize::from(byte) % 24,
        _ => b.size(),
    };
    let (features, pixels) = match b.byte() {
        0..=119 => (inputs.saturating_mul(examples), 0),
        120..=239 => (0, inputs.saturating_mul(examples)),
        _ => (0, 0),
    };
    let (_x, x) = match features {
        0 => ([].into(), In::NULL),
        n => made(n, b, |b| b.float()),
    };
    let (_bytes, pixels) = match pixels {
        0 => ([].into(), In::NULL),
        n => made(n, b, |b| b.byte()),
    };
    let (_labels, labels) = made(examples, b, |b| match b.byte() {
        byte @ 0..=252 => (usize::from(byte) % classes.clamp(1, 256)) as u8,
        byte => byte,
    });
    let (_valid, valid) = made(valid_len, b, |b| match b.byte() {
        byte @ 0..=252 => (usize::from(byte) % examples.max(1)) as u32,
        _ => b.word(),
    });
    let mut run = Run {
        abi: nearly(b, ABI as usize) as u32,
        arithmetic: choice(b, 2),
        widths: read(&widths),
        widths_len: widths.len(),
        features: x,
        pixels,
        mean: tame(b),
        labels,
        examples,
        train,
        valid,
        valid_len,
        batch: nearly(b, 2),
        chunk: nearly(b, 2),
        batch_seed: b.long(),
        scale: grouping(b),
        penalty: grouping(b),
        l2: 0.0,
        h: In::NULL,
        h_len: 0,
        rule: choice(b, 3),
        b2: tame(b),
        eps: tame(b),
        decay: tame(b),
        groups: grouping(b),
        rates: In::NULL,
        rates_len: 0,
        momenta: In::NULL,
        momenta_len: 0,
        steps,
        w0: In::NULL,
        w0_len: 0,
        w0_seed: b.long(),
        w0_groups: grouping(b),
        log_scales: In::NULL,
        log_scales_len: 0,
        each: None,
        context: null_mut(),
    };
    if run.penalty.by == 0 {
        run.l2 = tame(b);
    }
    let mut sizes = Sizes::default();
    let known = drmad_sizes(read(&[run]), write(std::slice::from_mut(&mut sizes))) == 0;
    let table = |b: &mut Bytes<'_>| match b.flag() {
        true => sizes.groups,
        false => sizes.groups.saturating_mul(steps),
    };
    run.h_len = nearly(b, sizes.hypers);
    let rates = table(b);
    run.rates_len = nearly(b, rates);
    let momenta = table(b);
    run.momenta_len = nearly(b, momenta);
    let given = b.flag();
    if given {
        run.w0_len = nearly(b, sizes.weights);
    } else {
        run.log_scales_len = nearly(b, sizes.log_scales);
    }
    let (_h, h) = made(run.h_len, b, tame);
    let (_rates, rates) = made(run.rates_len, b, tame);
    let (_momenta, momenta) = made(run.momenta_len, b, tame);
    let (_w0, w0) = made(run.w0_len, b, tame);
    let (_scales, log_scales) = made(run.log_scales_len, b, tame);
    (run.h, run.rates, run.momenta) = (h, rates, momenta);
    run.log_scales = log_scales;
    if given {
        run.w0 = w0;
    }
    let mut places: [Box<[f32]>; 6] = [
        run.h_len,
        run.rates_len,
        run.momenta_len,
        sizes.weights,
        run.log_scales_len,
        sizes.weights,
    ]
    .map(|n| {
        let n = if b.flag() { nearly(b, n) } else { 0 };
        let n = if n > MOST { 0 } else { n };
        vec![f32::from_bits(MARK); n].into()
    });
    let out = |x: &mut [f32]| if x.is_empty() { Out::NULL } else { write(x) };
    let lens = places.each_ref().map(|x| x.len());
    let [d_h, d_rates, d_momenta, d_w0, d_log_scales, w] = places.each_mut().map(|x| out(x));
    let mut results = Results {
        d_h,
        d_h_len: lens[0],
        d_rates,
        d_rates_len: lens[1],
        d_momenta,
        d_momenta_len: lens[2],
        d_w0,
        d_w0_len: lens[3],
        d_log_scales,
        d_log_scales_len: lens[4],
        w,
        w_len: lens[5],
        valid_loss: f32::from_bits(MARK),
        steps_back: 0,
        residual: 0.0,
        slope: 0.0,
    };
    let method = Method {
        path: choice(b, 10),
        levels: [0, 1, 3, 7, 11, 15, 255, 256][b.one_of(8)],
        size: match b.byte() {
            byte @ 0..=247 => usize::from(byte) % 8,
            _ => b.size(),
        },
        spacing: [0.0, 1.0, 1.5, f32::NAN][b.one_of(4)],
        tail: match b.byte() {
            byte @ 0..=63 => usize::from(byte) % 8,
            64..=127 => TAIL_NONE,
            128..=250 => 0,
            _ => b.size(),
        },
        last: if b.byte() < 200 { 0 } else { b.size() },
    };
    let system = System {
        solver: choice(b, 2),
        rate: tame(b),
        iterations: b.one_of(9),
        tolerance: tame(b),
        damping: tame(b),
    };
    let once = std::slice::from_ref(&run);
    let mut words = 0;
    let told = write(std::slice::from_mut(&mut words));
    let asked = match what {
        0..=2 => {
            drmad_hypergradient_required_len(read(once), read(&[method]), read(&[results]), told)
        }
        3 => drmad_implicit_required_len(read(once), read(&[system]), read(&[results]), told),
        4 => drmad_train_required_len(read(once), told),
        _ => drmad_predict_required_len(read(once), told),
    };
    assert_ne!(
        asked,
        Code::Internal as i32,
        "a panic was caught at the border"
    );
    assert!(asked != 0 || known);
    // So many steps are a matter of time alone.
    if steps > 64 || run.batch > 64 {
        return;
    }
    let Some(mut memory) = words_of(words, b) else {
        return;
    };
    let len = memory.len();
    let lent = write(&mut memory);
    let mut loss = f32::from_bits(MARK);
    let code = match what {
        0..=2 => drmad_hypergradient(
            read(once),
            read(&[method]),
            lent,
            len,
            write(std::slice::from_mut(&mut results)),
        ),
        3 => drmad_implicit(
            read(once),
            read(&[system]),
            lent,
            len,
            write(std::slice::from_mut(&mut results)),
        ),
        4 => {
            let loss = write(std::slice::from_mut(&mut loss));
            drmad_train(read(once), lent, len, results.w, results.w_len, loss)
        }
        _ => {
            let n = valid_len.saturating_mul(classes);
            if n > MOST {
                return;
            }
            let mut p: Box<[f32]> = vec![f32::from_bits(MARK); n].into();
            let code = drmad_predict(read(once), w0, run.w0_len, lent, len, write(&mut p), n);
            for row in p.chunks_exact(classes.max(1)).filter(|_| code == 0) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{row:?}");
            }
            assert!(code == 0 || p.iter().all(|p| p.to_bits() == MARK));
            code
        }
    };
    assert_ne!(
        code,
        Code::Internal as i32,
        "a panic was caught at the border"
    );
    // The length that was told is enough, and one word less is not. (Training and prediction have lengths
    // of their own beside.)
    assert!(
        what > 3 || asked != 0 || len < words || code != Code::Length as i32,
        "{words} words were told, {len} given and refused: rule {}, {method:?}",
        run.rule
    );
    assert!(code != 0 || (asked == 0 && len >= words));
    let all = places
        .iter()
        .flat_map(|x| x.iter())
        .chain([&results.valid_loss]);
    for x in all.filter(|_| what < 4) {
        if code == 0 {
            assert!(x.is_finite(), "a result that is no number");
        } else {
            assert_eq!(x.to_bits(), MARK, "a refused call wrote a result");
        }
    }
}
