//! The optimizers of the step against formulas in float64: a step, its adjoint, and whole trainings; Adam
//! where a gradient is or stays 0 or vanishes in an f32.

use crate::common::plain::{self, derivative};
use crate::common::{
    Answer, Data, Noise, WIDTHS, all_batches, assert_differences, assert_each_close,
    assert_sums_close, hypergradient, wide,
};
use crate::tolerances::*;
use drmad::forward::{Forward, Wrt, scratch_len};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::kernels::momentum::Step;
use drmad::kernels::{adam, momentum, nesterov};
use drmad::models::{Mlp, Quadratic};
use drmad::objective::{At, Objective};
use drmad::outer;
use drmad::path::{Path, Reversed, Reversible, Tape};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use drmad::{Arithmetic, Error, Fused, Plain, Scalar};

// --------------------------------------------------------------------- one step, written out

/// Adam's constants.
#[derive(Clone, Copy)]
struct Constants {
    b2: f64,
    eps: f64,
    decay: f64,
}

#[derive(Clone, Copy)]
enum Formula {
    HeavyBall,
    Nesterov,
    Adam(Constants),
}

const ADAM: Formula = Formula::Adam(Constants {
    b2: 0.9375,
    eps: 0.125,
    decay: 0.0,
});
const DECAYING: Formula = Formula::Adam(Constants {
    b2: 0.875,
    eps: 0.0625,
    decay: 0.25,
});
const FORMULAS: [Formula; 4] = [Formula::HeavyBall, Formula::Nesterov, ADAM, DECAYING];

impl Formula {
    fn optimizer(self) -> Optimizer {
        match self {
            Formula::HeavyBall => Optimizer::HeavyBall,
            Formula::Nesterov => Optimizer::Nesterov,
            Formula::Adam(Constants { b2, eps, decay }) => Optimizer::Adam {
                b2: b2 as f32,
                eps: eps as f32,
                decay: decay as f32,
            },
        }
    }

    /// One weight over step `t`; `v` is the velocity, or both moments.
    fn step(self, t: usize, rate: f64, momentum: f64, g: f64, v: &mut [f64; 2], w: &mut f64) {
        match self {
            Formula::HeavyBall => {
                v[0] = momentum * v[0] - (1.0 - momentum) * g;
                *w += rate * v[0];
            }
            Formula::Nesterov => {
                // The velocity moves, and the weights by where it would move next.
                v[0] = momentum * v[0] - (1.0 - momentum) * g;
                *w += rate * (momentum * v[0] - (1.0 - momentum) * g);
            }
            Formula::Adam(Constants { b2, eps, decay }) => {
                v[0] = momentum * v[0] + (1.0 - momentum) * g;
                v[1] = b2 * v[1] + (1.0 - b2) * g.powi(2);
                let m = v[0] / (1.0 - momentum.powi(t as i32 + 1));
                let n = v[1] / (1.0 - b2.powi(t as i32 + 1));
                *w = *w - rate * decay * *w - rate * m / (n.sqrt() + eps);
            }
        }
    }
}

/// All that a step depends on, a vector each; `n` is the second moment.
#[derive(Clone)]
struct Before {
    t: usize,
    rate: f64,
    momentum: f64,
    g: Vec<f64>,
    v: Vec<f64>,
    n: Vec<f64>,
    w: Vec<f64>,
}

/// More than a vector of lanes, and some left.
const N: usize = 21;

impl Before {
    fn new(t: usize) -> Before {
        let mut noise = Noise(500 + t as u64);
        Before {
            t,
            rate: 0.375,
            momentum: 0.625,
            g: noise.f64s(N, 1.0),
            v: noise.f64s(N, 1.0),
            n: noise.f64s(N, 0.5).iter().map(|n| 1.0 + n).collect(),
            w: noise.f64s(N, 1.0),
        }
    }

    /// `v`, `n` and `w` after the step.
    fn after(&self, formula: Formula) -> [Vec<f64>; 3] {
        let mut after = [self.v.clone(), self.n.clone(), self.w.clone()];
        for i in 0..N {
            let mut v = [self.v[i], self.n[i]];
            let w = &mut after[2][i];
            formula.step(self.t, self.rate, self.momentum, self.g[i], &mut v, w);
            (after[0][i], after[1][i]) = (v[0], v[1]);
        }
        after
    }
}

fn numbers<S: Scalar>(x: &[f64]) -> Vec<S> {
    x.iter().map(|x| S::from_f64(*x)).collect()
}

fn adam_step<S: Scalar>(before: &Before, constants: Constants) -> adam::Step<S> {
    let Constants { b2, eps, decay } = constants;
    let [rate, b1, b2, eps, decay] =
        [before.rate, before.momentum, b2, eps, decay].map(S::from_f64);
    adam::Step::new(before.t, rate, b1, b2, eps, decay).unwrap()
}

fn by<S: Scalar>(before: &Before) -> Step<S> {
    Step {
        rate: S::from_f64(before.rate),
        momentum: S::from_f64(before.momentum),
    }
}

const STEPS_TRIED: [usize; 5] = [0, 1, 2, 9, 1000];

fn steps_are_their_formulas<A: Arithmetic, S: Scalar>(tolerance: f64) {
    for formula in FORMULAS {
        for t in STEPS_TRIED {
            let before = Before::new(t);
            let g = numbers::<S>(&before.g);
            let [mut v, mut n, mut w] = [&before.v, &before.n, &before.w].map(|x| numbers::<S>(x));
            match formula {
                Formula::HeavyBall => momentum::step::<A, S>(by(&before), &g, &mut v, &mut w),
                Formula::Nesterov => nesterov::step::<A, S>(by(&before), &g, &mut v, &mut w),
                Formula::Adam(constants) => {
                    let step = adam_step(&before, constants);
                    adam::step::<A, S>(step, &g, &mut v, &mut n, &mut w);
                }
            }
            let want = before.after(formula);
            let parts = [
                ("v", v, &before.v),
                ("n", n, &before.n),
                ("w", w, &before.w),
            ];
            for ((what, got, from), want) in parts.into_iter().zip(want) {
                let what = format!("{:?}, step {t}, {what}", formula.optimizer());
                // What is there, and what is added to it.
                let sizes: Vec<f64> = from
                    .iter()
                    .zip(&want)
                    .map(|(from, want)| from.abs() + (want - from).abs())
                    .collect();
                assert_sums_close(&what, &got, &want, &sizes, tolerance);
            }
        }
    }
}

#[test]
fn every_step_is_its_formula() {
    steps_are_their_formulas::<Plain, f64>(SAME_FORMULA_F64);
    steps_are_their_formulas::<Fused, f64>(SAME_FORMULA_F64);
    steps_are_their_formulas::<Plain, f32>(SAME_FORMULA_F32);
    steps_are_their_formulas::<Fused, f32>(SAME_FORMULA_F32);
}

/// The derivative of `<d_v, v> + <d_n, n> + <d_w, w>` after the step by one number before it.
fn by_differences(
    formula: Formula,
    before: &Before,
    adjoints: &[Vec<f64>; 3],
    place: impl Fn(&mut Before) -> &mut f64,
) -> f64 {
    derivative(WHOLE_TRAINING_STEP, |s| {
        let mut moved = before.clone();
        *place(&mut moved) += s;
        let after = moved.after(formula);
        let pairs = after.iter().flatten().zip(adjoints.iter().flatten());
        pairs.map(|(x, d)| x * d).sum()
    })
}

fn adjoints_are_the_derivatives<A: Arithmetic>() {
    for formula in FORMULAS {
        for t in STEPS_TRIED {
            let before = Before::new(t);
            let mut noise = Noise(600);
            let mut adjoints = [(); 3].map(|()| noise.f64s(N, 1.0));
            if !matches!(formula, Formula::Adam(_)) {
                adjoints[1].fill(0.0);
            }
            let [mut d_v, mut d_n, mut d_w] = adjoints.clone();
            let mut d_g = vec![f64::NAN; N];
            let Before { g, v, n, w, .. } = &before;
            let derivatives = match formula {
                Formula::HeavyBall => {
                    momentum::adjoint::<A, _>(by(&before), &d_w, &mut d_v, &mut d_g);
                    None
                }
                Formula::Nesterov => {
                    let step = by(&before);
                    let both = nesterov::by_step::<A, f64>(step, v, g, &d_w, &d_v);
                    nesterov::adjoint::<A, _>(step, &d_w, &mut d_v, &mut d_g);
                    Some(both)
                }
                Formula::Adam(constants) => {
                    let step = adam_step(&before, constants);
                    let moments = adam::Before { g, m: v, n };
                    let both = adam::by_step::<A, f64>(step, moments, w, &d_w, &d_v);
                    adam::adjoint::<A, _>(step, moments, &mut d_w, &mut d_v, &mut d_n, &mut d_g);
                    Some(both)
                }
            };
            let hold = |what: &str, got: &[f64], place: fn(&mut Before, usize) -> &mut f64| {
                let want: Vec<f64> = (0..got.len())
                    .map(|i| by_differences(formula, &before, &adjoints, |x| place(x, i)))
                    .collect();
                let what = format!("{:?}, step {t}, by {what}", formula.optimizer());
                assert_differences(&what, got, &want, WHOLE_TRAINING_STEP, WHOLE_TRAINING);
            };
            hold("g", &d_g, |x, i| &mut x.g[i]);
            hold("v", &d_v, |x, i| &mut x.v[i]);
            hold("w", &d_w, |x, i| &mut x.w[i]);
            if matches!(formula, Formula::Adam(_)) {
                hold("n", &d_n, |x, i| &mut x.n[i]);
            }
            if let Some(both) = derivatives {
                hold("rate", &[both.rate], |x, _| &mut x.rate);
                hold("momentum", &[both.momentum], |x, _| &mut x.momentum);
            }
        }
    }
}

#[test]
fn every_adjoint_is_the_difference_of_steps_by_all_they_depend_on() {
    adjoints_are_the_derivatives::<Plain>();
    adjoints_are_the_derivatives::<Fused>();
}

// ---------------------------------------------------------------------------- whole trainings

const STEPS: usize = 8;
/// The seed of the initial weights, such that the differences below carry no gradient of the first step
/// over 0: there the root of Adam's second moment is `|g|`, which has a kink.
const START: u64 = 641;
const P: usize = 74;
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};
const GROUPS: usize = 6;
const BATCHES: Batches = Batches {
    seed: 5,
    examples: 8,
    size: 5,
};
const VALID: &[u32] = &[8, 9, 10, 11];

/// A training with penalties by tensor, and all that it can be derived by.
#[derive(Clone)]
struct Inputs {
    h: Vec<f64>,
    rates: Vec<f64>,
    momenta: Vec<f64>,
    w0: Vec<f64>,
}

/// Each kind of input by itself.
type Field = fn(&mut Inputs) -> &mut Vec<f64>;

impl Inputs {
    fn new(formula: Formula) -> Inputs {
        let around = |seed, n, middle: f64, by: f64| -> Vec<f64> {
            let noise = Noise(seed).f64s(n, by);
            noise.iter().map(|x| middle + x).collect()
        };
        let (rate, momenta) = match formula {
            Formula::Adam(_) => (0.1, 1),
            _ => (0.5, STEPS),
        };
        Inputs {
            h: around(510, GROUPS, 0.05, 0.03),
            rates: around(511, STEPS * GROUPS, rate, 0.4 * rate),
            momenta: around(512, momenta * GROUPS, 0.6, 0.3),
            w0: around(START, P, 0.0, 0.5),
        }
    }

    /// The gradient of the first step.
    fn first_gradient(&self, data: &Data, batch: &[u32]) -> Vec<f64> {
        let (_, mut g) = plain::loss_and_gradient(WIDTHS, &self.w0, &data.x, &data.labels, batch);
        for ((g, w), group) in g.iter_mut().zip(&self.w0).zip(plain::tensors(WIDTHS)) {
            *g += 2.0 * self.h[group as usize] * w;
        }
        g
    }

    /// The validation loss after the training, in nested loops.
    fn valid_loss(&self, formula: Formula, data: &Data, batches: &[Vec<u32>]) -> f64 {
        let tensors = plain::tensors(WIDTHS);
        let mut w = self.w0.clone();
        let mut v = vec![[0.0; 2]; P];
        let gradient = |w: &[f64], batch: &[u32]| {
            plain::loss_and_gradient(WIDTHS, w, &data.x, &data.labels, batch)
        };
        for (t, batch) in batches.iter().enumerate() {
            let (_, mut g) = gradient(&w, batch);
            for i in 0..P {
                let group = tensors[i] as usize;
                g[i] += 2.0 * self.h[group] * w[i];
                let rate = self.rates[t * GROUPS + group];
                let row = if self.momenta.len() == GROUPS { 0 } else { t };
                let momentum = self.momenta[row * GROUPS + group];
                formula.step(t, rate, momentum, g[i], &mut v[i], &mut w[i]);
            }
        }
        gradient(&w, VALID).0
    }

    fn swept<A: Arithmetic>(&self, formula: Formula, data: &Data) -> Answer<f64> {
        let optimizer = formula.optimizer();
        let net = || Mlp::<_, A>::new(data.features(), WIDTHS, 4).unwrap();
        let training = L2::new(net(), Strength::Tuned(TENSORS));
        let judged = L2::new(net(), Strength::Off(TENSORS));
        let problem = InnerProblem {
            objective: &training,
            h: &self.h,
            schedule: Schedule {
                optimizer,
                groups: TENSORS,
                rates: &self.rates,
                momenta: &self.momenta,
            },
            batches: BATCHES,
            steps: STEPS,
        };
        let validation = Validation {
            objective: &judged,
            examples: VALID,
        };
        let slots = optimizer.slots();
        let mut storage = vec![f64::NAN; Tape::<f64>::required_len(P, STEPS, slots)];
        let mut tape = Tape::new(P, STEPS, slots, &mut storage).unwrap();
        hypergradient(&problem, &validation, &&self.w0[..], &mut tape, true).unwrap()
    }
}

#[test]
fn hypergradients_of_every_rule_are_differences_of_whole_trainings_in_nested_loops() {
    let data = Data::small();
    let batches = all_batches(&BATCHES, STEPS);
    let sides = |inputs: &Inputs| -> Vec<bool> {
        let g = inputs.first_gradient(&data, &batches[0]);
        g.iter().map(|g| *g > 0.0).collect()
    };
    for formula in FORMULAS {
        let inputs = Inputs::new(formula);
        let answer = inputs.swept::<Fused>(formula, &data);
        let loss = inputs.valid_loss(formula, &data, &batches);
        assert_each_close("E", &[answer.valid_loss], &[loss], TWO_EXACT_METHODS);
        let fields: [(&str, Field, &[f64]); 4] = [
            ("h", |x| &mut x.h, &answer.d_h),
            ("rates", |x| &mut x.rates, &answer.d_rates),
            ("momenta", |x| &mut x.momenta, &answer.d_momenta),
            ("w_0", |x| &mut x.w0, &answer.d_w0),
        ];
        for (what, field, got) in fields {
            let want: Vec<f64> = (0..got.len())
                .map(|i| {
                    derivative(WHOLE_TRAINING_STEP, |s| {
                        let mut moved = inputs.clone();
                        field(&mut moved)[i] += s;
                        assert_eq!(sides(&moved), sides(&inputs), "{what} {i}: a kink");
                        moved.valid_loss(formula, &data, &batches)
                    })
                })
                .collect();
            let what = format!("{:?}, by {what}", formula.optimizer());
            let (step, tolerance) = (WHOLE_TRAINING_STEP, WHOLE_TRAINING_OF_RULES);
            assert_differences(&what, got, &want, step, tolerance);
        }
    }
}

// ------------------------------------------------------------------ Adam without gradients

/// `scale / 2 sum (w_i - h_i)^2` over the weights `i` whose example is in the batch: the others have no
/// gradient. `fixed` has all of them at 1/2 in place of `h`, and takes no notice of batches.
struct Lamps<A> {
    weights: usize,
    scale: f64,
    fixed: bool,
    arithmetic: A,
}

impl<A: Arithmetic> Objective for Lamps<A> {
    type Arithmetic = A;
    fn weights(&self) -> usize {
        self.weights
    }
    fn hypers(&self) -> usize {
        self.weights
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        let _ = self.arithmetic;
        let (scale, half) = (S::from_f64(self.scale), S::from_f32(0.5));
        let mut loss = S::ZERO;
        for (i, (g, w)) in g.iter_mut().zip(at.w).enumerate() {
            let miss = *w - if self.fixed { half } else { at.h[i] };
            let lit = self.fixed || at.batch.contains(&(i as u32));
            *g = if lit { scale * miss } else { S::ZERO };
            loss += half * *g * miss;
        }
        if let Some(d_h) = d_h {
            for (d_h, g) in d_h.iter_mut().zip(g.iter()) {
                *d_h = if self.fixed { S::ZERO } else { -*g };
            }
        }
        Ok(loss)
    }
}

const LAMPS: usize = 9;
/// The last weight is that of no example.
const RARE: Batches = Batches {
    seed: 11,
    examples: LAMPS - 1,
    size: 2,
};
const LAMP_STEPS: usize = 7;

/// Weight `i` after the training, and its derivatives by its `h`, by itself before, and by each rate:
/// the step's own formula derived by hand, and 0 taken for the derivative of the root of 0.
struct Lamp {
    w: f64,
    by_h: f64,
    by_w0: f64,
    by_rates: Vec<f64>,
    /// The sums of the magnitudes that these are made of, in this order: Adam's derivative is the difference
    /// of two terms, which for a steady gradient are the same but for `eps`.
    sizes: Vec<f64>,
    /// The first step with a gradient.
    lit: Option<usize>,
}

fn lamp(i: usize, scale: f64, w0: f64, h: f64, rates: &[f64], b1: f64, c: Constants) -> Lamp {
    let batches = all_batches(&RARE, LAMP_STEPS);
    // The directions: h, w_0, and each rate.
    let count = 2 + LAMP_STEPS;
    let (mut w, mut m, mut n) = (w0, 0.0f64, 0.0f64);
    let (mut w_dot, mut m_dot, mut n_dot) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
    w_dot[1] = 1.0;
    let (mut w_size, mut m_size, mut n_size) = (w_dot.clone(), m_dot.clone(), n_dot.clone());
    let mut size = w0.abs();
    let mut first = None;
    for (t, batch) in batches.iter().enumerate() {
        let a = if batch.contains(&(i as u32)) {
            scale
        } else {
            0.0
        };
        if a != 0.0 && first.is_none() {
            first = Some(t);
        }
        let g = a * (w - h);
        let (c1, c2) = (
            1.0 / (1.0 - b1.powi(t as i32 + 1)),
            1.0 / (1.0 - c.b2.powi(t as i32 + 1)),
        );
        m = b1 * m + (1.0 - b1) * g;
        n = c.b2 * n + (1.0 - c.b2) * g * g;
        let root = (c2 * n).sqrt();
        let u = c1 * m / (root + c.eps);
        for d in 0..count {
            let g_dot = a * (w_dot[d] - f64::from(u8::from(d == 0)));
            m_dot[d] = b1 * m_dot[d] + (1.0 - b1) * g_dot;
            n_dot[d] = c.b2 * n_dot[d] + (1.0 - c.b2) * 2.0 * g * g_dot;
            let root_dot = if root > 0.0 {
                c2 * n_dot[d] / (2.0 * root)
            } else {
                0.0
            };
            let u_dot = (c1 * m_dot[d] - u * root_dot) / (root + c.eps);
            let rate_dot = f64::from(u8::from(d == 2 + t));
            let g_size = a * (w_size[d] + f64::from(u8::from(d == 0)));
            m_size[d] = b1 * m_size[d] + (1.0 - b1) * g_size;
            n_size[d] = c.b2 * n_size[d] + (1.0 - c.b2) * 2.0 * g.abs() * g_size;
            let root_size = if root > 0.0 {
                c2 * n_size[d] / (2.0 * root)
            } else {
                0.0
            };
            let u_size = (c1 * m_size[d] + u.abs() * root_size) / (root + c.eps);
            w_size[d] = (1.0 - rates[t] * c.decay) * w_size[d]
                + rates[t] * u_size
                + rate_dot * (u.abs() + c.decay * w.abs());
            w_dot[d] = (1.0 - rates[t] * c.decay) * w_dot[d]
                - rates[t] * u_dot
                - rate_dot * (u + c.decay * w);
        }
        w = (1.0 - rates[t] * c.decay) * w - rates[t] * u;
        size += rates[t] * u.abs();
    }
    let by_e = w - 0.5;
    let by_size = w.abs() + 0.5;
    let sizes = [size].into_iter().chain(w_size.iter().map(|d| by_size * d));
    Lamp {
        w,
        by_h: by_e * w_dot[0],
        by_w0: by_e * w_dot[1],
        by_rates: w_dot[2..].iter().map(|d| by_e * d).collect(),
        sizes: sizes.collect(),
        lit: first,
    }
}

fn lamps<A: Arithmetic, S: Scalar>(scale: f64, optimizer: Optimizer, tolerance: f64) {
    let Optimizer::Adam { b2, eps, decay } = optimizer else {
        unreachable!()
    };
    let constants = Constants {
        b2: f64::from(b2),
        eps: f64::from(eps),
        decay: f64::from(decay),
    };
    let mut noise = Noise(520);
    let (w0, h) = (noise.f32s(LAMPS, 1.0), noise.f32s(LAMPS, 1.0));
    let rates: Vec<f32> = noise
        .f32s(LAMP_STEPS, 0.02)
        .iter()
        .map(|x| 0.05 + x)
        .collect();
    let b1 = 0.75;
    let narrow = |x: &[f32]| -> Vec<S> { x.iter().map(|x| S::from_f32(*x)).collect() };
    let training = Lamps {
        weights: LAMPS,
        scale,
        fixed: false,
        arithmetic: A::default(),
    };
    let judged = Lamps {
        scale: 1.0,
        fixed: true,
        ..training
    };
    let problem = InnerProblem {
        objective: &training,
        h: &narrow(&h),
        schedule: Schedule {
            optimizer,
            groups: Groups::global(LAMPS),
            rates: &narrow(&rates),
            momenta: &[S::from_f32(b1)],
        },
        batches: RARE,
        steps: LAMP_STEPS,
    };
    let validation = Validation {
        objective: &judged,
        examples: &[],
    };
    let mut storage = vec![S::ZERO; Tape::<S>::required_len(LAMPS, LAMP_STEPS, 2)];
    let mut tape = Tape::new(LAMPS, LAMP_STEPS, 2, &mut storage).unwrap();
    let w0_here = narrow(&w0);
    let got = hypergradient(&problem, &validation, &&w0_here[..], &mut tape, true).unwrap();

    let rates = wide(&rates);
    let (mut w, mut by_h, mut by_w0) = (vec![], vec![], vec![]);
    let mut by_rates = vec![0.0; LAMP_STEPS];
    let (mut of_w, mut of_h, mut of_w0) = (vec![], vec![], vec![]);
    let mut of_rates = vec![0.0; LAMP_STEPS];
    let mut lit = vec![];
    for i in 0..LAMPS {
        let (w0, h) = (f64::from(w0[i]), f64::from(h[i]));
        let lamp = lamp(i, scale, w0, h, &rates, f64::from(b1), constants);
        w.push(lamp.w);
        by_h.push(lamp.by_h);
        by_w0.push(lamp.by_w0);
        of_w.push(lamp.sizes[0]);
        of_h.push(lamp.sizes[1]);
        of_w0.push(lamp.sizes[2]);
        for (sum, size) in of_rates.iter_mut().zip(&lamp.sizes[3..]) {
            *sum += size;
        }
        for (sum, d) in by_rates.iter_mut().zip(lamp.by_rates) {
            *sum += d;
        }
        lit.push(lamp.lit);
    }
    assert_eq!(lit[LAMPS - 1], None, "no gradient ever");
    assert!(lit.contains(&Some(0)), "a gradient from the first step on");
    assert!(
        lit.iter().any(|first| *first > Some(2)),
        "a gradient later: {lit:?}"
    );
    let what = format!("{optimizer:?}, scale {scale:e}");
    for (of, got, want, sizes) in [
        ("w_T", &got.w, &w, &of_w),
        ("by h", &got.d_h, &by_h, &of_h),
        ("by w_0", &got.d_w0, &by_w0, &of_w0),
        ("by rates", &got.d_rates, &by_rates, &of_rates),
    ] {
        assert_sums_close(&format!("{what}, {of}"), got, want, sizes, tolerance);
    }
    assert!(got.d_momenta[0].is_finite());
    // A weight without a gradient only decays.
    let kept: f64 = rates
        .iter()
        .map(|rate| 1.0 - rate * constants.decay)
        .product();
    let last = LAMPS - 1;
    assert_eq!(got.d_h[last], S::ZERO);
    let end = got.w[last].to_f64() - 0.5;
    assert_each_close("decay", &got.d_w0[last..], &[end * kept], tolerance);
}

#[test]
fn adam_is_right_where_the_gradient_is_0_for_a_while_or_for_good_or_vanishes() {
    let decaying = Optimizer::Adam {
        b2: 0.99,
        eps: 1e-8,
        decay: 0.3,
    };
    for optimizer in [Optimizer::ADAM, decaying] {
        for scale in [1.0, 1e-3, 1e-8, 1e-20, 1e-25, 1e-160] {
            lamps::<Plain, f64>(scale, optimizer, TWO_EXACT_METHODS);
            lamps::<Fused, f64>(scale, optimizer, TWO_EXACT_METHODS);
        }
        for scale in [1.0, 1e-3, 1e-8, 1e-20, 1e-25] {
            lamps::<Plain, f32>(scale, optimizer, F32_SWEEP);
            lamps::<Fused, f32>(scale, optimizer, F32_SWEEP);
        }
    }
}

// ---------------------------------------------------------------------------------- refusals

fn trained(optimizer: Optimizer, momenta: &[f32]) -> Result<Answer<f32>, Error> {
    let bowl = Quadratic::<Fused>::new(&[1.0, 2.0]);
    let problem = InnerProblem {
        objective: &bowl,
        h: &[0.0f32, 1.0],
        schedule: Schedule {
            optimizer,
            groups: Groups::global(2),
            rates: &[0.1],
            momenta,
        },
        batches: BATCHES,
        steps: 3,
    };
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let mut storage = vec![0.0; Tape::<f32>::required_len(2, 3, 2)];
    let mut tape = Tape::new(2, 3, optimizer.slots(), &mut storage).unwrap();
    hypergradient(&problem, &validation, &&[1.0, -1.0][..], &mut tape, true)
}

#[test]
fn constants_of_adam_out_of_range_are_refused_with_their_range() {
    let Optimizer::Adam { b2, eps, decay } = Optimizer::ADAM else {
        unreachable!()
    };
    let adam = |b2, eps, decay| trained(Optimizer::Adam { b2, eps, decay }, &[0.9]);
    assert!(adam(b2, eps, decay).is_ok());
    assert!(adam(0.0, adam::least_eps(0.0), 0.0).is_ok());
    assert!(adam(1.0 - f32::EPSILON / 2.0, eps, 2.0).is_ok());
    for (b2, eps, decay, words) in [
        (1.0, eps, decay, "b2 is 1: it must lie in 0 ..= 0.9999999"),
        (-0.5, eps, decay, "b2 is -0.5: it must lie in 0 ..="),
        (f32::NAN, eps, decay, "b2 is NaN"),
        (b2, 0.0, decay, "eps is 0: it must lie in"),
        (b2, -1.0, decay, "eps is -1: it must lie in"),
        // 2^-55 / sqrt(.001)
        (
            b2,
            8.7e-16,
            decay,
            "eps is 0.0000000000000008699999809213047: it must lie in 0.000000000000000877",
        ),
        (b2, f32::MIN_POSITIVE, decay, "eps is 0.0000"),
        (b2, f32::INFINITY, decay, "eps is inf"),
        (b2, eps, -0.25, "decay is -0.25: it must lie in 0 ..="),
        (b2, eps, f32::NAN, "decay is NaN"),
    ] {
        let error = adam(b2, eps, decay).unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{error:?}");
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

#[test]
fn a_step_of_adam_and_the_outer_one_have_the_constants_of_a_training_checked() {
    let new = |b1, b2, eps, decay| adam::Step::new(0, 0.1f32, b1, b2, eps, decay).map(|_| ());
    assert_eq!(new(0.9, 0.999, 1e-8, 0.0), Ok(()));
    for (b1, b2, eps, decay) in [
        (0.9, 0.999, 0.0, 0.0),
        (0.9, 0.999, f32::MIN_POSITIVE, 0.0),
        (0.9, 1.0, 1e-8, 0.0),
        (0.9, f32::NAN, 1e-8, 0.0),
        (0.9, 0.999, 1e-8, -1.0),
    ] {
        let refused = new(b1, b2, eps, decay);
        assert!(matches!(refused, Err(Error::Range { .. })), "{refused:?}");
    }
    for b1 in [1.0, -0.1, f32::NAN] {
        let refused = new(b1, 0.999, 1e-8, 0.0);
        assert!(
            matches!(refused, Err(Error::Momentum { .. })),
            "{refused:?}"
        );
    }
    let refused = adam::Step::new(7, f32::INFINITY, 0.9, 0.999, 1e-8, 0.0).map(|_| ());
    assert_eq!(
        refused,
        Err(Error::NonFinite {
            what: "rate",
            step: 7
        })
    );

    let outer = |set: fn(&mut outer::Adam<'_, f32>)| {
        let (mut m, mut v, mut h) = ([0.0], [0.0], [1.0]);
        let mut adam = outer::Adam::new(0.1, &mut m, &mut v).unwrap();
        set(&mut adam);
        let done = outer::Outer::step(&mut adam, &mut h, &[0.0]);
        (done, h[0])
    };
    assert_eq!(outer(|_| ()), (Ok(()), 1.0));
    let sets: [fn(&mut outer::Adam<'_, f32>); 3] = [
        |adam| adam.eps = 0.0,
        |adam| adam.eps = f32::MIN_POSITIVE,
        |adam| adam.b2 = 1.0,
    ];
    for set in sets {
        let (refused, h) = outer(set);
        assert!(matches!(refused, Err(Error::Range { .. })), "{refused:?}");
        assert_eq!(h, 1.0);
    }
    let (refused, _) = outer(|adam| adam.b1 = 1.0);
    assert!(
        matches!(refused, Err(Error::Momentum { .. })),
        "{refused:?}"
    );
}

/// A gradient of `scale (h + k)`, where `k` is the number of the step's example: whatever the weight is.
struct Ramp {
    scale: f64,
}

impl Objective for Ramp {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        1
    }
    fn hypers(&self) -> usize {
        1
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _: &mut [S],
    ) -> Result<S, Error> {
        let scale = S::from_f64(self.scale);
        let k = S::from_usize(at.batch.first().map_or(0, |i| *i as usize));
        g[0] = scale * (at.h[0] + k);
        if let Some(d_h) = d_h {
            d_h[0] = scale * at.w[0];
        }
        Ok(S::ZERO)
    }
}

const RAMP_STEPS: usize = 10;
const RAMP: Batches = Batches {
    seed: 3,
    examples: 4,
    size: 1,
};

/// Ten steps of Adam on it, from 0, with a validation loss that is the weight.
fn ramp(scale: f64, optimizer: Optimizer) -> Result<Answer<f32>, Error> {
    struct Weight;
    impl Objective for Weight {
        type Arithmetic = Fused;
        fn weights(&self) -> usize {
            1
        }
        fn hypers(&self) -> usize {
            1
        }
        fn gradient<S: Scalar>(
            &self,
            at: At<'_, S>,
            g: &mut [S],
            d_h: Option<&mut [S]>,
            _: &mut [S],
        ) -> Result<S, Error> {
            g[0] = S::ONE;
            d_h.into_iter().for_each(|d_h| d_h[0] = S::ZERO);
            Ok(at.w[0])
        }
    }
    let problem = InnerProblem {
        objective: &Ramp { scale },
        h: &[0.5f32],
        schedule: Schedule {
            optimizer,
            groups: Groups::global(1),
            rates: &[0.125],
            momenta: &[0.75],
        },
        batches: RAMP,
        steps: RAMP_STEPS,
    };
    let validation = Validation {
        objective: &Weight,
        examples: &[],
    };
    let mut storage = vec![0.0; Tape::<f32>::required_len(1, RAMP_STEPS, 2)];
    let mut tape = Tape::new(1, RAMP_STEPS, 2, &mut storage).unwrap();
    hypergradient(&problem, &validation, &&[0.0][..], &mut tape, false)
}

/// The weight that it ends in, in float64.
fn ramp_in_f64(scale: f64, h: f64, constants: Constants) -> f64 {
    let (mut v, mut w) = ([0.0; 2], 0.0);
    for (t, batch) in all_batches(&RAMP, RAMP_STEPS).iter().enumerate() {
        let g = scale * (h + f64::from(batch[0]));
        Formula::Adam(constants).step(t, 0.125, 0.75, g, &mut v, &mut w);
    }
    w
}

#[test]
fn adam_at_the_ends_of_f32_is_adam_in_float64_or_an_error_that_names_the_moment() {
    let b2 = 0.999f32;
    for eps in [1e-8, 1e-12, adam::least_eps(b2)] {
        let (optimizer, constants) = (
            Optimizer::Adam {
                b2,
                eps,
                decay: 0.0,
            },
            Constants {
                b2: f64::from(b2),
                eps: f64::from(eps),
                decay: 0.0,
            },
        );
        for exponent in -30..=18 {
            let scale = f64::from(10f32.powi(exponent));
            let got = ramp(scale, optimizer).unwrap();
            let want = ramp_in_f64(scale, 0.5, constants);
            let by_h = derivative(1e-3, |s| ramp_in_f64(scale, 0.5 + s, constants));
            // In units of all ten steps: a millionth of each is what `eps` hides, the rest is rounding.
            for (what, got, want) in [("w", got.w[0], want), ("d_h", got.d_h[0], by_h)] {
                let miss = (f64::from(got) - want).abs();
                assert!(
                    miss < 4e-6 * 1.25,
                    "{what} of a gradient of {scale:e} with eps {eps:e}: {got:e}, not {want:e}"
                );
            }
        }
        // Their squares, or quotients by these, are beyond f32.
        for scale in [2e19, 1e22, 1e25, 3e37] {
            let refused = ramp(scale, optimizer).unwrap_err();
            let Error::Moment {
                step: 0,
                weight: 0,
                gradient,
            } = refused
            else {
                panic!("{refused:?}")
            };
            let first = scale * (0.5 + f64::from(all_batches(&RAMP, 1)[0][0]));
            assert!((gradient / first - 1.0).abs() < 1e-6);
            let said = refused.to_string();
            assert!(said.starts_with("second moment of weight 0 is too great at step 0"));
            assert!(said.contains("divide the loss by a constant"), "{said}");
        }
    }
}

#[test]
fn momenta_of_adam_that_change_from_step_to_step_are_refused() {
    let error = trained(Optimizer::ADAM, &[0.9, 0.8, 0.7]).unwrap_err();
    let (what, want, got) = ("momenta of Adam", 1, 3);
    assert_eq!(error, Error::Length { what, want, got });
    assert_eq!(
        error.to_string(),
        "momenta of Adam: 1 numbers wanted, 3 given"
    );
    assert!(trained(Optimizer::Nesterov, &[0.9, 0.8, 0.7]).is_ok());
}

// ------------------------------------------------------------------------- in PyTorch's terms

/// `sum a (w - h)^2 / 2` over two weights.
const CURVATURES: [f32; 2] = [1.0, 6.0];
const MINIMUM: [f64; 2] = [0.5, -0.25];
const FIRST: [f64; 2] = [1.5, 0.75];
const TURNS: usize = 12;

fn slopes(w: &[f64; 2]) -> [f64; 2] {
    [0, 1].map(|i| f64::from(CURVATURES[i]) * (w[i] - MINIMUM[i]))
}

fn bowl_loss(w: &[f64]) -> f64 {
    let each = (0..2).map(|i| f64::from(CURVATURES[i]) * (w[i] - MINIMUM[i]).powi(2));
    0.5 * each.sum::<f64>()
}

/// The weights that `torch.optim.SGD(lr, momentum, nesterov=...)` leaves, as its documentation writes it
/// (dampening 0); `lr` and `momentum` may differ from step to step.
fn pytorch_sgd(nesterov: bool, lr: &[f64], momentum: &[f64]) -> [f64; 2] {
    let (mut w, mut buf) = (FIRST, [0.0; 2]);
    for (t, (lr, momentum)) in lr.iter().zip(momentum).enumerate() {
        let g = slopes(&w);
        for i in 0..2 {
            buf[i] = if t == 0 {
                g[i]
            } else {
                momentum * buf[i] + g[i]
            };
            let by = if nesterov {
                g[i] + momentum * buf[i]
            } else {
                buf[i]
            };
            w[i] -= lr * by;
        }
    }
    w
}

/// The crate's training on the bowl.
fn on_the_bowl(optimizer: Optimizer, rates: &[f64], momenta: &[f64]) -> Answer<f64> {
    let bowl = Quadratic::<Fused>::new(&CURVATURES);
    let steps = rates.len();
    let problem = InnerProblem {
        objective: &bowl,
        h: &MINIMUM,
        schedule: Schedule {
            optimizer,
            groups: Groups::global(2),
            rates,
            momenta,
        },
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps,
    };
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let slots = optimizer.slots();
    let mut storage = vec![f64::NAN; Tape::<f64>::required_len(2, steps, slots)];
    let mut tape = Tape::new(2, steps, slots, &mut storage).unwrap();
    hypergradient(&problem, &validation, &&FIRST[..], &mut tape, true).unwrap()
}

/// Rates that differ from step to step.
fn falling() -> Vec<f64> {
    (0..TURNS).map(|t| 0.3 / (1.0 + 0.2 * t as f64)).collect()
}

#[test]
fn pytorchs_rate_is_ours_times_one_minus_the_momentum_and_so_are_the_derivatives() {
    for (optimizer, nesterov) in [(Optimizer::HeavyBall, false), (Optimizer::Nesterov, true)] {
        let (rates, momentum) = (falling(), 0.7);
        let got = on_the_bowl(optimizer, &rates, &[momentum]);
        let lr: Vec<f64> = rates.iter().map(|rate| rate * (1.0 - momentum)).collect();
        let trained = |lr: &[f64], momentum| pytorch_sgd(nesterov, lr, &[momentum; TURNS]);
        let want = trained(&lr, momentum);
        assert_each_close(&format!("{optimizer:?}, w"), &got.w, &want, CLOSED_FORM);
        // By their rates, and by their momentum while those stay.
        let by_lr: Vec<f64> = (0..TURNS)
            .map(|t| {
                derivative(WHOLE_TRAINING_STEP, |s| {
                    let mut lr = lr.clone();
                    lr[t] += s;
                    bowl_loss(&trained(&lr, momentum))
                })
            })
            .collect();
        let theirs: Vec<f64> = got.d_rates.iter().map(|d| d / (1.0 - momentum)).collect();
        let (step, tolerance) = (WHOLE_TRAINING_STEP, WHOLE_TRAINING);
        assert_differences(
            &format!("{optimizer:?}, lr"),
            &theirs,
            &by_lr,
            step,
            tolerance,
        );
        let by_momentum = derivative(WHOLE_TRAINING_STEP, |s| {
            bowl_loss(&trained(&lr, momentum + s))
        });
        let through_rates: f64 = got
            .d_rates
            .iter()
            .zip(&rates)
            .map(|(d, rate)| d * rate)
            .sum();
        let theirs = got.d_momenta[0] + through_rates / (1.0 - momentum);
        let what = format!("{optimizer:?}, momentum");
        assert_differences(&what, &[theirs], &[by_momentum], step, tolerance);
    }
}

#[test]
fn where_the_momentum_changes_no_rate_of_pytorchs_takes_the_second_step() {
    let rates = [0.2, 0.2];
    // How far the second step stays from all that PyTorch can take, as a share of its length.
    let missed = |nesterov: bool, momenta: [f64; 2]| {
        let optimizer = if nesterov {
            Optimizer::Nesterov
        } else {
            Optimizer::HeavyBall
        };
        let after = on_the_bowl(optimizer, &rates, &momenta).w;
        // The one rate of the first step that ends where ours does; of the second one all are tried at once.
        let first = on_the_bowl(optimizer, &rates[..1], &momenta[..1]).w;
        let unit = pytorch_sgd(nesterov, &[1.0], &momenta[..1]);
        let lr = (first[0] - FIRST[0]) / (unit[0] - FIRST[0]);
        let theirs = pytorch_sgd(nesterov, &[lr], &momenta[..1]);
        assert_each_close("the first step", &first, &theirs, CLOSED_FORM);
        let end = pytorch_sgd(nesterov, &[lr, 1.0], &momenta);
        let [ours, theirs] =
            [[after[0], after[1]], end].map(|w| [w[0] - first[0], w[1] - first[1]]);
        let across = ours[0] * theirs[1] - ours[1] * theirs[0];
        across.abs() / (ours[0].hypot(ours[1]) * theirs[0].hypot(theirs[1]))
    };
    for nesterov in [false, true] {
        assert!(missed(nesterov, [0.7, 0.7]) < CLOSED_FORM);
        let missed = missed(nesterov, [0.1, 0.9]);
        assert!(missed > 0.1, "{missed}");
    }
}

#[test]
fn adamws_decay_is_multiplied_by_the_rate_as_in_pytorch_and_not_as_in_the_papers_algorithm() {
    let (b1, b2, eps, decay) = (0.9, 0.999f32, 1e-8f32, 0.25f32);
    let rates = falling();
    let got = on_the_bowl(Optimizer::Adam { b2, eps, decay }, &rates, &[b1]).w;
    let [b2, eps, decay] = [b2, eps, decay].map(f64::from);
    // `shrink` says what a step takes off a weight beside Adam's step; PyTorch does so first.
    let trained = |shrink: &dyn Fn(f64) -> f64| {
        let (mut w, mut m, mut v) = (FIRST, [0.0; 2], [0.0; 2]);
        for (t, rate) in rates.iter().enumerate() {
            let (g, turn) = (slopes(&w), t as i32 + 1);
            for i in 0..2 {
                w[i] *= 1.0 - shrink(*rate);
                m[i] = b1 * m[i] + (1.0 - b1) * g[i];
                v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
                let root = v[i].sqrt() / (1.0 - b2.powi(turn)).sqrt();
                w[i] -= rate / (1.0 - b1.powi(turn)) * m[i] / (root + eps);
            }
        }
        w
    };
    assert_each_close("PyTorch", &got, &trained(&|rate| rate * decay), CLOSED_FORM);
    let paper = trained(&|_| decay);
    assert!((got[1] - paper[1]).abs() > 0.1, "{got:?} {paper:?}");
}

// ------------------------------------------------------------------ a rate and a momentum for each weight

/// Rates, momenta, minima and curvatures of some weights whose losses do not know of one another.
struct Apart {
    curvature: Vec<f32>,
    minimum: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
    start: Vec<f32>,
}

impl Apart {
    fn new(weights: usize) -> Apart {
        let between = |seed, low: f32, high: f32| {
            let numbers = Noise(seed).f32s(weights, 1.0);
            let place = |x: &f32| (low + high) / 2.0 + (high - low) / 2.0 * x.clamp(-1.0, 1.0);
            numbers.iter().map(place).collect()
        };
        Apart {
            curvature: between(1, 0.25, 1.0),
            minimum: between(2, -1.0, 1.0),
            rates: between(3, 0.05, 0.2),
            momenta: between(4, 0.6, 0.9),
            start: between(5, -1.0, 1.0),
        }
    }

    /// One of them alone.
    fn only(&self, i: usize) -> Apart {
        let one = |x: &[f32]| vec![x[i]];
        Apart {
            curvature: one(&self.curvature),
            minimum: one(&self.minimum),
            rates: one(&self.rates),
            momenta: one(&self.momenta),
            start: one(&self.start),
        }
    }

    /// Weights, and derivatives by initial weights, minima, rates and momenta.
    fn sweep(&self, optimizer: Optimizer, path: &str) -> [Vec<f32>; 5] {
        const STEPS: usize = 7;
        let p = self.start.len();
        let bowl = Quadratic::<Fused>::new(&self.curvature);
        let problem = self.run(&bowl, optimizer, STEPS);
        let validation = Validation {
            objective: &bowl,
            examples: &[],
        };
        let mut numbers = vec![0.0; Tape::<f32>::required_len(p, STEPS, optimizer.slots())];
        let mut words = vec![0; Reversible::required_len(p, STEPS, 0.5)];
        let mut tape = Tape::new(p, STEPS, optimizer.slots(), &mut numbers).unwrap();
        let mut exact = Reversible::new(p, STEPS, 0.5, &mut words).unwrap();
        let mut naive = Reversed;
        let path: &mut dyn Path<Fused, f32> = match path {
            "tape" => &mut tape,
            "exact" => &mut exact,
            _ => &mut naive,
        };
        let answer = hypergradient(&problem, &validation, &&self.start[..], path, true).unwrap();
        [
            answer.w,
            answer.d_w0,
            answer.d_h,
            answer.d_rates,
            answer.d_momenta,
        ]
    }

    /// The tangents of weights and of what the optimizer remembers by a rate, a momentum and a minimum of weight `i`.
    fn tangents(&self, optimizer: Optimizer, i: usize) -> [Vec<f32>; 2] {
        let p = self.start.len();
        let bowl = Quadratic::<Fused>::new(&self.curvature);
        let problem = self.run(&bowl, optimizer, 5);
        let wrt = [Wrt::Rate(i), Wrt::Momentum(i), Wrt::Hyper(i)];
        let scratch = scratch_len(&bowl, &bowl, wrt.len());
        let len = Forward::<f32>::required_len(p, p, optimizer, wrt.len(), scratch);
        let mut buffer = vec![0.0; len];
        let mut forward = Forward::new(&mut buffer, &problem, &wrt).unwrap();
        forward.start(&&self.start[..]).unwrap();
        problem
            .forward(0..5, &mut forward, &mut [0], &mut |_, _| ())
            .unwrap();
        [forward.w_dot.to_vec(), forward.v_dot.to_vec()]
    }

    fn run<'a>(
        &'a self,
        bowl: &'a Quadratic<'a, Fused>,
        optimizer: Optimizer,
        steps: usize,
    ) -> InnerProblem<'a, Fused, f32> {
        let groups = Groups {
            layout: Layout::Flat(self.start.len()),
            by: Granularity::Parameter,
            biases: true,
        };
        let schedule = Schedule {
            groups,
            optimizer,
            rates: &self.rates,
            momenta: &self.momenta,
        };
        let batches = Batches {
            seed: 0,
            examples: 1,
            size: 1,
        };
        InnerProblem {
            objective: bowl,
            h: &self.minimum,
            schedule,
            batches,
            steps,
        }
    }
}

const OTHER_RULES: [Optimizer; 3] = [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM];

#[test]
fn a_weight_with_a_rate_of_its_own_is_trained_and_swept_as_it_is_alone() {
    // More than whole pieces of rows, and vectors of any width.
    let all = Apart::new(77);
    let mut ways: Vec<_> = OTHER_RULES.map(|optimizer| (optimizer, "tape")).to_vec();
    ways.extend(["exact", "naive"].map(|path| (Optimizer::HeavyBall, path)));
    for (optimizer, path) in ways {
        let together = all.sweep(optimizer, path);
        for i in 0..77 {
            let alone = all.only(i).sweep(optimizer, path);
            for (together, alone) in together.iter().zip(&alone) {
                assert_eq!(
                    together[i].to_bits(),
                    alone[0].to_bits(),
                    "{optimizer:?} over {path}, weight {i}"
                );
            }
        }
    }
}

#[test]
fn a_tangent_by_the_rate_of_one_weight_is_that_of_the_weight_alone() {
    let all = Apart::new(77);
    for optimizer in OTHER_RULES {
        for i in [0, 31, 32, 76] {
            let (together, alone) = (
                all.tangents(optimizer, i),
                all.only(i).tangents(optimizer, 0),
            );
            for (together, alone) in together.iter().zip(&alone) {
                for (together, alone) in together.chunks(77).zip(alone) {
                    for (k, dot) in together.iter().enumerate() {
                        let want = if k == i { *alone } else { 0.0 };
                        assert_eq!(*dot, want, "{optimizer:?}, weight {k} by the rate of {i}");
                    }
                }
            }
        }
    }
}
