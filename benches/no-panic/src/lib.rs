//! One function for each public operation of drmad, on inputs of which the compiler knows nothing.
//!
//! The panic handler calls a function that does not exist. `run` links each operation alone, and what
//! cannot be reached is thrown away: so an operation links exactly where no panic can be reached from it.
//! A path, a row or an optimizer is behind a pointer in the operations that take one, so all of its
//! methods are in its link.
#![no_std]

use drmad::check::{self, Probes};
use drmad::forward::{Forward, Stepped, Wrt};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Trainer, Validation, Wanted, Workspace};
use drmad::implicit::{Implicit, Solver};
use drmad::kernels::accumulate::{self, Factors};
use drmad::kernels::matmul::{self, Form, MatMul};
use drmad::kernels::momentum::{self, Moving, Step};
use drmad::kernels::reversible::{self, Bits, Fixed, Ratio, Turn};
use drmad::kernels::sparse::{self, Row};
use drmad::kernels::{activation, adam, interpolate, math, nesterov, quantise, reduce};
use drmad::layers::Layer;
use drmad::memory::{Buffer, Need};
use drmad::method::{Extent, Method, Sweep};
use drmad::models::{
    Beside, Features, Inputs, LearnedInputs, Logistic, Mlp, Pass, Pixels, Quadratic, Smoothed,
    SoftLabels, SparseImages, SparsePixels, Weighted,
};
use drmad::network::{self, Network};
use drmad::objective::{self, At, ByLoss, Directions, Objective, Products};
use drmad::outer::{Adam, Outer, Parametrisation, Projected, Projection, Sgd, Sign};
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Levels, Line, Mark, Path, Plan, Quantised,
    Replayed, Reversed, Reversible, Tail, Tape, Truncated,
};
use drmad::random::{self, Batches, Initial, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::state;
use drmad::train::InnerProblem;
use drmad::training::{Hypers, Model, Name, On, Own, Session, Training, Tuned, Values, What};
use drmad::tuner::Tuner;
use drmad::wrap::{Coupled, Coupling, DropNegativeCurvature, L1, L2, Scaled, Strength, Tasks};
use drmad::{Dual, Error, Plain};

unsafe extern "C" {
    fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it does not exist, so nothing that calls it is ever linked.
    unsafe { a_panic_can_be_reached() }
}

/// What an operation is given.
pub struct Input<'a> {
    f: [&'a mut [f32]; 10],
    wide: [&'a mut [f64]; 5],
    words: [&'a mut [u32]; 5],
    ints: [&'a mut [i32]; 2],
    bytes: [&'a mut [u8]; 3],
    shorts: &'a mut [u16],
    longs: &'a mut [i64],
    marks: &'a mut [Mark],
    duals: [&'a mut [Dual<f32>]; 3],
    widths: &'a [usize],
    layers: &'a [Layer],
    loss: network::Loss,
    method: Method,
    model: Model<'a>,
    wrt: &'a [Wrt],
    n: [usize; 8],
    x: [f32; 6],
    y: [f64; 3],
    optimizer: Optimizer,
    sweep: Sweep,
    extent: Extent,
    tuned: &'a [Tuned],
    what: What,
    named: Option<Name>,
    granularity: Granularity,
    form: Form,
    tasks: Tasks,
    coupling: Coupling,
    projection: Projection<f32>,
    parametrisation: Parametrisation,
    solver: Solver<f32>,
    plan: Plan,
    by: Step<f32>,
    adam: adam::Step<f32>,
    adam_dual: adam::Step<Dual<f32>>,
    by_dual: Step<Dual<f32>>,
    turn: Turn,
    ratio: Ratio,
    flag: bool,
    failed: Option<Error>,
    out: [f64; 4],
}

type In<'i, 'a> = &'i mut Input<'a>;

impl<'a> Input<'a> {
    fn groups(&self) -> Groups<'a> {
        Groups {
            layout: if self.flag {
                Layout::Layers(self.widths)
            } else {
                Layout::Flat(self.n[7])
            },
            by: self.granularity,
            biases: self.flag,
        }
    }

    /// Any training.
    fn training(&self) -> Training<'a> {
        Training {
            model: self.model,
            examples: self.n[0],
            valid_examples: self.n[1],
            tuned: self.tuned,
            optimizer: self.optimizer,
            rate: self.x[0],
            momentum: self.x[1],
            log_scale: self.x[2],
            l2: self.x[3],
            batch: self.n[2],
            microbatch: self.flag.then_some(self.n[3]),
            steps: self.n[4],
            seed: self.n[5] as u64,
        }
    }

    fn batches(&self) -> Batches {
        Batches {
            seed: self.n[0] as u64,
            examples: self.n[1],
            size: self.n[2],
        }
    }
}

macro_rules! operations {
    ($($name:ident($x:ident) $body:block)*) => {
        $(
            /// See `run`.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name($x: In<'_, '_>) $body
        )*
    };
}

/// What came of an operation that may refuse.
fn put<T>(failed: &mut Option<Error>, result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(it) => Some(it),
        Err(error) => {
            *failed = Some(error);
            None
        }
    }
}

/// Where text goes of which only the length is kept.
struct Length(usize);

impl core::fmt::Write for Length {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.0 = self.0.wrapping_add(s.len());
        Ok(())
    }
}

/// How long it is as text.
fn text(it: &impl core::fmt::Display) -> usize {
    use core::fmt::Write;
    let mut length = Length(0);
    // What is written into a length always fits.
    let _ = write!(length, "{it}");
    length.0
}

#[cfg(feature = "control")]
operations! {
    control(x) { x.f[0][x.n[0]] = 1.0; }
}

mod kernels;
mod methods;
mod objectives;
