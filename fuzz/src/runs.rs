//! Operations on a training over C: any training, method, results and memory within C's promise.
//!
//! The promise is that there are as many elements behind a pointer as the lengths say. So sizes that cannot
//! be there meet null pointers, and trainings that would take for ever are asked for their memory alone.

use std::ptr::null_mut;

use drmad_c::error::Code;
use drmad_c::operations::*;
use drmad_c::raw::{In, Out};
use drmad_c::types::*;

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

/// Examples and what their pointers point to.
struct Data {
    features: Box<[f32]>,
    pixels: Box<[u8]>,
    labels: Box<[u8]>,
    targets: Box<[f32]>,
    given: Examples,
}

impl Data {
    fn new(b: &mut Bytes<'_>, len: usize, inputs: usize, outputs: usize) -> Self {
        let (all, as_many) = (len.saturating_mul(inputs), len.saturating_mul(outputs));
        let mut data = Data {
            features: [].into(),
            pixels: [].into(),
            labels: [].into(),
            targets: [].into(),
            given: Examples {
                len,
                features: In::NULL,
                pixels: In::NULL,
                mean: tame(b),
                labels: In::NULL,
                targets: In::NULL,
            },
        };
        match b.byte() {
            0..=119 => (data.features, data.given.features) = made(all, b, |b| b.float()),
            120..=239 => (data.pixels, data.given.pixels) = made(all, b, |b| b.byte()),
            _ => {}
        }
        match b.byte() {
            0..=179 => {
                (data.labels, data.given.labels) = made(len, b, |b| match b.byte() {
                    byte @ 0..=252 => (usize::from(byte) % outputs.clamp(1, 256)) as u8,
                    byte => byte,
                });
            }
            180..=245 => (data.targets, data.given.targets) = made(as_many, b, tame),
            _ => {}
        }
        data
    }
}

/// What the bytes come to: a training, and what is done with it.
pub fn runs(data: &[u8]) {
    let mut bytes = Bytes(data);
    let b = &mut bytes;
    let what = b.one_of(6);
    let units = |b: &mut Bytes<'_>| match b.byte() {
        byte @ 0..=250 => 1 + usize::from(byte) % 6,
        _ => b.size(),
    };
    let (inputs, outputs) = (units(b), units(b));
    let mut layers = vec![];
    for _ in 0..b.one_of(3) {
        let units = units(b);
        layers.push(Layer { kind: 0, units });
        let (kind, units) = (choice(b, 3), 0);
        if kind != 0 {
            layers.push(Layer { kind, units });
        }
    }
    let last = match b.byte() {
        0..=250 => 0,
        _ => choice(b, 3),
    };
    layers.push(Layer {
        kind: last,
        units: outputs,
    });
    let blocks: Vec<Tuned> = (0..b.one_of(5))
        .map(|_| Tuned {
            what: choice(b, 7),
            by: choice(b, 5),
            each_step: i32::from(b.byte() > 220),
            parametrisation: choice(b, 4),
        })
        .collect();
    let steps = match b.byte() {
        byte @ 0..=247 => 1 + usize::from(byte) % 24,
        _ => b.size(),
    };
    let (len, valid_len) = (nearly(b, 1 + b.0.len() % 7), nearly(b, 2));
    let train = Data::new(b, len, inputs, outputs);
    let valid = Data::new(b, valid_len, inputs, outputs);
    let mut training = Training {
        abi: nearly(b, ABI as usize) as u32,
        arithmetic: choice(b, 2),
        inputs,
        layers: read(&layers),
        layers_len: layers.len(),
        loss: choice(b, 2),
        l2: tame(b),
        train: train.given,
        valid: valid.given,
        tuned: read(&blocks),
        tuned_len: blocks.len(),
        h: In::NULL,
        h_len: 0,
        optimizer: choice(b, 3),
        b2: tame(b),
        eps: tame(b),
        decay: tame(b),
        rate: tame(b),
        momentum: tame(b),
        batch: nearly(b, 2),
        microbatch: nearly(b, 2),
        steps,
        seed: b.long(),
        initial: In::NULL,
        initial_len: 0,
        log_scale: tame(b),
        each: None,
        context: null_mut(),
    };
    let method = Method {
        name: choice(b, 14),
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
        drops_negative_curvature: i32::from(b.byte() > 200),
        rate: tame(b),
        tolerance: tame(b),
        damping: tame(b),
    };
    let mut sizes = Sizes::default();
    let asked = drmad_sizes(
        read(std::slice::from_ref(&training)),
        read(&[method]),
        write(std::slice::from_mut(&mut sizes)),
    );
    assert_ne!(
        asked,
        Code::Internal as i32,
        "a panic was caught at the border"
    );
    training.h_len = nearly(b, sizes.hypers);
    let (h, place) = made(training.h_len, b, tame);
    training.h = place;
    let w: Box<[f32]>;
    (w, training.initial) = made(sizes.weights, b, tame);
    if b.flag() {
        training.initial_len = nearly(b, sizes.weights);
    } else {
        training.initial = In::NULL;
    }
    let once = std::slice::from_ref(&training);
    let mut places: [Box<[f32]>; 2] = [training.h_len, sizes.weights].map(|n| {
        let n = if b.flag() { nearly(b, n) } else { 0 };
        vec![f32::from_bits(MARK); if n > MOST { 0 } else { n }].into()
    });
    let out = |x: &mut [f32]| if x.is_empty() { Out::NULL } else { write(x) };
    let [d_h_len, d_w0_len] = places.each_ref().map(|x| x.len());
    let [d_h, d_w0] = places.each_mut().map(|x| out(x));
    let mut results = Results {
        d_h,
        d_h_len,
        d_w0,
        d_w0_len,
        valid_loss: f32::from_bits(MARK),
        steps_back: 0,
        residual: 0.0,
        slope: 0.0,
    };
    if asked == 0 {
        names_and_values(once, sizes.hypers, &h);
    }
    // So many steps are a matter of time alone.
    if steps > 64 || training.batch > 64 {
        return;
    }
    let Some(mut memory) = words_of(sizes.memory, b) else {
        return;
    };
    let (len, given) = (memory.len(), write(&mut memory));
    let mut loss = f32::from_bits(MARK);
    let mut rows: Box<[f32]> = [].into();
    let code = match what {
        0..=2 => {
            let results = write(std::slice::from_mut(&mut results));
            drmad_hypergradient(read(once), read(&[method]), given, len, results)
        }
        3 => {
            let loss = write(std::slice::from_mut(&mut loss));
            drmad_train(
                read(once),
                read(&[method]),
                given,
                len,
                d_w0,
                d_w0_len,
                loss,
            )
        }
        4 => {
            let loss = write(std::slice::from_mut(&mut loss));
            drmad_valid_loss(read(once), given, len, read(&w), w.len(), loss)
        }
        _ => {
            let n = valid_len.saturating_mul(outputs);
            if n > MOST {
                return;
            }
            rows = vec![f32::from_bits(MARK); n].into();
            drmad_predict(
                read(once),
                given,
                len,
                read(&w),
                w.len(),
                write(&mut rows),
                n,
            )
        }
    };
    assert_ne!(
        code,
        Code::Internal as i32,
        "a panic was caught at the border"
    );
    assert!(code != 0 || asked == 0 || what > 3);
    assert!(code != 0 || len >= sizes.memory || what > 3);
    for row in rows
        .chunks_exact(outputs.max(1))
        .filter(|_| code == 0 && training.loss == 0)
    {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{row:?}");
    }
    let written = places.iter().chain([&rows]).flat_map(|x| x.iter());
    for x in written.chain([&results.valid_loss, &loss]) {
        let mark = x.to_bits() == MARK;
        assert!(mark || code == 0, "a refused call wrote a result");
        assert!(mark || x.is_finite(), "a result that is no number");
    }
}

/// A name for each hyperparameter and no more, and values that are finite or none.
fn names_and_values(training: &[Training], hypers: usize, h: &[f32]) {
    let mut name = [77; NAME_LEN];
    for j in [0, hypers / 2, hypers.saturating_sub(1), hypers] {
        let code = drmad_hyper_name(read(training), j, write(&mut name), NAME_LEN);
        assert!(code != 0 || (j < hypers && name.contains(&0)));
    }
    let (before, mut values) = (h.to_vec(), h.to_vec());
    if !values.is_empty() && drmad_hyper_values(read(training), write(&mut values), h.len()) == 0 {
        assert!(values.iter().all(|x| x.is_finite()));
    } else {
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(&before), "a refused call wrote a value");
    }
}
