//! What is done with a training: its lengths and names, training, hypergradients, validation loss, prediction.
//!
//! Every operation looks at all of the training and at all buffers, then works in the caller's `memory` alone, and
//! writes its results at the end: a call that is refused, or whose training diverges half way, leaves every result
//! as it was. What `memory` holds afterwards means nothing. The same arguments give the same bits, in any call
//! and on any machine.
//!
//! Refused: objectives of one's own, sparse rows, couplings; these are for Rust.

use core::ffi::{c_char, c_void};
use core::fmt::{self, Write};

use drmad::implicit::Solved;
use drmad::method::Method;
use drmad::training::Observer;

use crate::check::{finite, in_arithmetic, times};
use crate::error::{Code, guard};
use crate::raw::{In, Out};
use crate::training::Plan;
use crate::types::{self, Results, Sizes, Training};

/// Lengths of the buffers of a training with a method. Nothing but the description is looked at: no example, no
/// hyperparameter.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_sizes(
    training: In<Training>,
    method: In<types::Method>,
    sizes: Out<Sizes>,
) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let method = door.get(method)?.method()?;
        let sizes = door.write(sizes, 1)?;
        let open = door.open()?;
        let all = Sizes {
            weights: plan.weights(),
            hypers: plan.hypers(),
            memory: plan.memory(method)?,
        };
        sizes.set(&open, all);
        Ok(())
    })
}

/// A name as it is written, which ends with a zero.
struct Text {
    bytes: [u8; types::NAME_LEN],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.len.saturating_add(part.len());
        // The last byte stays 0.
        let room = self.bytes.split_last_mut().map(|(_, room)| room);
        let place = room.and_then(|room| room.get_mut(self.len..end));
        place.ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The name of hyperparameter `j`, such as "penalty, layer 1, unit 3", with a zero at its end. DRMAD_NAME_LEN bytes
/// are enough for any.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_hyper_name(
    training: In<Training>,
    j: usize,
    name: Out<c_char>,
    name_len: usize,
) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let name = door.write(name, name_len)?;
        let open = door.open()?;
        let found = plan.training().hypers().name(j).ok_or(Code::Index)?;
        let mut text = Text {
            bytes: [0; types::NAME_LEN],
            len: 0,
        };
        write!(text, "{found}").map_err(|_| Code::Internal)?;
        let bytes = text.bytes.get(..=text.len).unwrap_or_default();
        let name = name.slice(&open);
        let name = name.get_mut(..bytes.len()).ok_or(Code::Length)?;
        for (to, byte) in name.iter_mut().zip(bytes) {
            *to = *byte as c_char;
        }
        Ok(())
    })
}

/// A vector of the training's hyperparameters becomes their natural values, in place. Its own `h` is not looked at.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_hyper_values(training: In<Training>, h: Out<f32>, n: usize) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let h = door.write(h, n)?;
        let open = door.open()?;
        if n != plan.hypers() {
            return Err(Code::Length);
        }
        let h = h.slice(&open);
        finite(&[h])?;
        let hypers = plan.training().hypers();
        in_arithmetic!(plan.given.arithmetic, A => hypers.values::<A, f32>(h))?;
        Ok(())
    })
}

/// Who looks on: the caller, and the results.
struct Seen<'r> {
    each: Option<extern "C" fn(*mut c_void, usize, f32)>,
    context: *mut c_void,
    /// Empty where it is not wanted.
    d_w0: &'r mut [f32],
    solved: Option<Solved<f32>>,
}

impl<'r> Seen<'r> {
    fn by(training: &Training, d_w0: &'r mut [f32]) -> Self {
        Seen {
            each: training.each,
            context: training.context,
            d_w0,
            solved: None,
        }
    }
}

impl Observer<f32> for Seen<'_> {
    fn step(&mut self, t: usize, loss: f32) {
        if let Some(each) = self.each {
            each(self.context, t, loss);
        }
    }

    fn solved(&mut self, solved: Solved<f32>) {
        self.solved = Some(solved);
    }

    fn by_initial_weights(&mut self, d_w0: &[f32]) {
        for (to, d) in self.d_w0.iter_mut().zip(d_w0) {
            *to = *d;
        }
    }
}

/// Trains, and takes the derivative of the validation loss by the hyperparameters.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_hypergradient(
    training: In<Training>,
    method: In<types::Method>,
    memory: Out<u32>,
    memory_len: usize,
    results: Out<Results>,
) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let readings = plan.admit(&mut door)?;
        let method = door.get(method)?.method()?;
        let memory = door.write(memory, memory_len)?;
        let (given, results) = door.exchange(results)?;
        let (d_h, d_w0) = (
            door.write(given.d_h, given.d_h_len)?,
            door.write(given.d_w0, given.d_w0_len)?,
        );
        let open = door.open()?;
        let has_d_w0 = !given.d_w0.is_null();
        let weights = if has_d_w0 { plan.weights() } else { 0 };
        if given.d_h_len != plan.hypers() || given.d_w0_len != weights {
            return Err(Code::Length);
        }
        if has_d_w0 && !matches!(method, Method::Sweep(_)) {
            return Err(Code::Unsupported);
        }
        plan.check_memory(method, memory_len)?;
        let c = readings.check(&plan, &open)?;
        let (d_h, memory) = (
            d_h.slice(&open),
            bytemuck::cast_slice_mut(memory.slice(&open)),
        );
        let mut seen = Seen::by(&plan.given, d_w0.slice(&open));
        let outcome = in_arithmetic!(plan.given.arithmetic, A => {
            let losses = c.losses::<A>()?;
            c.training.observed(method, c.on(&losses), c.h, d_h, memory, &mut seen)?
        });
        let [residual, slope] = seen.solved.map_or([0.0; 2], |s| [s.residual, s.slope]);
        let all = Results {
            valid_loss: outcome.valid_loss,
            steps_back: seen.solved.map_or(outcome.steps_back, |s| s.iterations),
            residual: residual as f32,
            slope: slope as f32,
            ..given
        };
        results.set(&open, all);
        Ok(())
    })
}

/// Trains as the method does: the trained weights to `w`, their validation loss to `valid_loss`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_train(
    training: In<Training>,
    method: In<types::Method>,
    memory: Out<u32>,
    memory_len: usize,
    w: Out<f32>,
    w_len: usize,
    valid_loss: Out<f32>,
) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let readings = plan.admit(&mut door)?;
        let method = door.get(method)?.method()?;
        let memory = door.write(memory, memory_len)?;
        let (w, valid_loss) = (door.write(w, w_len)?, door.write(valid_loss, 1)?);
        let open = door.open()?;
        if w_len != plan.weights() {
            return Err(Code::Length);
        }
        plan.check_memory(method, memory_len)?;
        let c = readings.check(&plan, &open)?;
        let (w, memory) = (
            w.slice(&open),
            bytemuck::cast_slice_mut(memory.slice(&open)),
        );
        let mut seen = Seen::by(&plan.given, &mut []);
        let loss = in_arithmetic!(plan.given.arithmetic, A => {
            let losses = c.losses::<A>()?;
            c.training.train(method, c.on(&losses), c.h, w, memory, &mut seen)?
        });
        valid_loss.set(&open, loss);
        Ok(())
    })
}

/// The validation loss at weights `w`, without training. The memory of any method is enough.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_valid_loss(
    training: In<Training>,
    memory: Out<u32>,
    memory_len: usize,
    w: In<f32>,
    w_len: usize,
    valid_loss: Out<f32>,
) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let readings = plan.admit(&mut door)?;
        let (w, memory) = (door.read(w, w_len)?, door.write(memory, memory_len)?);
        let valid_loss = door.write(valid_loss, 1)?;
        let open = door.open()?;
        if w_len != plan.weights() {
            return Err(Code::Length);
        }
        plan.check_memory(Method::Direct, memory_len)?;
        let c = readings.check(&plan, &open)?;
        let (w, memory) = (
            w.slice(&open),
            bytemuck::cast_slice_mut(memory.slice(&open)),
        );
        finite(&[w])?;
        let loss = in_arithmetic!(plan.given.arithmetic, A => {
            let losses = c.losses::<A>()?;
            c.training.valid_loss(c.on(&losses), c.h, w, memory)?
        });
        valid_loss.set(&open, loss);
        Ok(())
    })
}

/// What the network says of each validation example at weights `w`: probabilities, or with squared error its
/// outputs, valid.len x outputs of the network. The memory of any method is enough.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_predict(
    training: In<Training>,
    memory: Out<u32>,
    memory_len: usize,
    w: In<f32>,
    w_len: usize,
    outputs: Out<f32>,
    outputs_len: usize,
) -> i32 {
    guard(|| {
        let (plan, mut door) = Plan::read(training)?;
        let readings = plan.admit(&mut door)?;
        let (w, memory) = (door.read(w, w_len)?, door.write(memory, memory_len)?);
        let outputs = door.write(outputs, outputs_len)?;
        let open = door.open()?;
        let want = times(plan.given.valid.len, plan.outputs())?;
        if w_len != plan.weights() || outputs_len != want {
            return Err(Code::Length);
        }
        plan.check_memory(Method::Direct, memory_len)?;
        let c = readings.check(&plan, &open)?;
        let (w, memory) = (
            w.slice(&open),
            bytemuck::cast_slice_mut(memory.slice(&open)),
        );
        finite(&[w])?;
        let outputs = outputs.slice(&open);
        in_arithmetic!(plan.given.arithmetic, A => {
            let losses = c.losses::<A>()?;
            c.training.predict(&losses.validation, c.h, w, outputs, memory)?;
        });
        Ok(())
    })
}
