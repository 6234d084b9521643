//! The identities that every objective must satisfy, offered to users for their own.
//!
//! With a direction `d` and a probe `e` of weights, and a probe `q` of hyperparameters:
//!
//! ```text
//! gradient       <grad_w L, d>    = dL(w + s d, h) / ds            finite differences
//! by hypers      <grad_h L, q>    = dL(w, h + s q) / ds            finite differences
//! H d            <H d, e>         = d<grad_w L(w + s d, h), e> / ds   finite differences
//! M d            <M d, q>         = d<grad_w L(w, h + s q), d> / ds   finite differences
//! symmetry       <d, H e>         = <e, H d>
//! tangents       <g_dot, e>       = d<grad_w L(w + s d, h + s q), e> / ds   finite differences
//! adjoints       <g_dot, e>       = <H e, d> + <M e, q>
//! dual numbers   H d, M d, g_dot  = the check_equal from dual numbers
//! bookkeeping    products are added to what is there, the gradient beside them is the gradient
//! ```
//!
//! with `g_dot` the derivative of the gradient along `(d, q)`, taken together with that along `(e, -q)`.
//!
//! All in f64, whatever the objective's usual scalar, with central differences. A [`Deviation`]
//! carries both sides. Refused: a verdict; what is small enough is for the caller to say, with a reason.

use crate::error::{Error, check_len, cut};
use crate::objective::{
    At, Directions, Objective, Products, by_dual_numbers, dual_scratch_len,
    tangents_by_dual_numbers,
};
use crate::pieces::{copy, piece, piece_mut};
use crate::scalar::Arithmetic;

/// Two numbers that should be equal.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Deviation {
    /// What is compared.
    pub identity: &'static str,
    /// The derivative under test.
    pub got: f64,
    /// What it should be.
    pub want: f64,
    /// The size that differences are measured against.
    pub scale: f64,
}

impl Deviation {
    /// The relative error.
    pub fn error(&self) -> f64 {
        let difference = (self.got - self.want).abs();
        if difference == 0.0 {
            0.0
        } else {
            difference / self.scale.max(f64::MIN_POSITIVE)
        }
    }
}

/// Directions along which an objective is checked.
#[derive(Clone, Copy, Debug)]
pub struct Probes<'a> {
    /// A direction of weights (`P`).
    pub d: &'a [f64],
    /// Another (`P`).
    pub e: &'a [f64],
    /// A direction of hyperparameters (`H`).
    pub q: &'a [f64],
    /// The step of the finite differences.
    pub step: f64,
}

/// Numbers of f64 scratch that [`objective`] needs.
pub fn required_len<O: Objective>(objective: &O) -> usize {
    let (p, h) = (objective.weights(), objective.hypers());
    let inner = objective
        .second_order_scratch_len()
        .max(objective.scratch_len())
        .max(objective.loss_scratch_len())
        .max(objective.tangents_scratch_len(2))
        .max(dual_scratch_len(objective));
    (p.saturating_mul(11))
        .saturating_add(h.saturating_mul(7))
        .saturating_add(inner)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// `y = x + s d`.
fn shift(x: &[f64], s: f64, d: &[f64], y: &mut [f64]) {
    for ((y, x), d) in y.iter_mut().zip(x).zip(d) {
        *y = x + s * d;
    }
}

/// The greatest difference between two vectors, beside the greatest magnitude of the second.
fn compare(identity: &'static str, got: &[f64], want: &[f64]) -> Deviation {
    let mut worst = Deviation {
        identity,
        got: 0.0,
        want: 0.0,
        scale: 0.0,
    };
    for (got, want) in got.iter().zip(want) {
        let (here, least) = ((got - want).abs(), (worst.got - worst.want).abs());
        if here.is_nan() || here > least {
            (worst.got, worst.want) = (*got, *want);
        }
        worst.scale = worst.scale.max(want.abs());
    }
    worst
}

/// Measures the identities at a point and hands each to `report`.
///
/// ```
/// use drmad::{check, models::Quadratic, objective::At, Fused};
/// let bowl = Quadratic::<Fused>::new(&[1.0, 3.0]);
/// let at = At { w: &[0.5, 0.2], h: &[0.0, 0.1], batch: &[] };
/// let probes = check::Probes { d: &[1.0, 0.3], e: &[0.2, 1.0], q: &[1.0, 1.0], step: 1e-5 };
/// let mut scratch = vec![0.0; check::required_len(&bowl)];
/// check::objective(&bowl, at, probes, &mut scratch, &mut |deviation| {
///     assert!(deviation.error() < 1e-8, "{deviation:?}");
/// })?;
/// # Ok::<(), drmad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`], and what the objective refuses.
pub fn objective<O: Objective>(
    objective: &O,
    at: At<'_, f64>,
    probes: Probes<'_>,
    scratch: &mut [f64],
    report: &mut dyn FnMut(Deviation),
) -> Result<(), Error> {
    // What is the same for all objectives is compiled once.
    identities(objective, objective, at, probes, scratch, report)
}

/// The products of an objective by dual numbers.
trait ByDualNumbers {
    fn second_order(
        &self,
        at: At<'_, f64>,
        d: &[f64],
        out: Products<'_, f64>,
        scratch: &mut [f64],
    ) -> Result<(), Error>;

    fn tangents(
        &self,
        at: At<'_, f64>,
        along: Directions<'_, f64>,
        out: [&mut [f64]; 2],
        scratch: &mut [f64],
    ) -> Result<(), Error>;
}

impl<O: Objective> ByDualNumbers for O {
    fn second_order(
        &self,
        at: At<'_, f64>,
        d: &[f64],
        out: Products<'_, f64>,
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        by_dual_numbers(self, at, d, out, scratch)
    }

    fn tangents(
        &self,
        at: At<'_, f64>,
        along: Directions<'_, f64>,
        [g, g_dot]: [&mut [f64]; 2],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        tangents_by_dual_numbers(self, at, along, g, g_dot, scratch).map(|_| ())
    }
}

fn identities<A: Arithmetic>(
    objective: &dyn crate::objective::Differentiable<A, f64>,
    by_dual_numbers: &dyn ByDualNumbers,
    at: At<'_, f64>,
    probes: Probes<'_>,
    mut scratch: &mut [f64],
    report: &mut dyn FnMut(Deviation),
) -> Result<(), Error> {
    let (p, hypers) = (objective.weights(), objective.hypers());
    let Probes { d, e, q, step } = probes;
    check_len("w", at.w, p)?;
    check_len("d", d, p)?;
    check_len("e", e, p)?;
    check_len("q", q, hypers)?;
    let moved_w = cut("scratch", &mut scratch, p)?;
    let g = cut("scratch", &mut scratch, p)?;
    let h_d = cut("scratch", &mut scratch, p)?;
    let h_e = cut("scratch", &mut scratch, p)?;
    let h_dual = cut("scratch", &mut scratch, p)?;
    let moved_h = cut("scratch", &mut scratch, hypers)?;
    let d_h = cut("scratch", &mut scratch, hypers)?;
    let m_d = cut("scratch", &mut scratch, hypers)?;
    let m_e = cut("scratch", &mut scratch, hypers)?;
    let m_dual = cut("scratch", &mut scratch, hypers)?;
    let w_dot = cut("scratch", &mut scratch, 2 * p)?;
    let h_dot = cut("scratch", &mut scratch, 2 * hypers)?;
    let g_dot = cut("scratch", &mut scratch, 2 * p)?;
    let g_dual = cut("scratch", &mut scratch, 2 * p)?;

    objective.gradient(at, g, Some(d_h), scratch)?;
    let (g_d, d_h_q) = (dot(g, d), dot(d_h, q));
    let scale = crate::Scalar::sqrt(dot(g, g) * dot(d, d));

    let mut losses = [0.0; 2];
    let mut slopes = [0.0; 2];
    for (i, s) in [-step, step].into_iter().enumerate() {
        shift(at.w, s, d, moved_w);
        let moved = At { w: moved_w, ..at };
        losses[i] = objective.loss(moved, scratch)?;
        objective.gradient(moved, g, None, scratch)?;
        slopes[i] = dot(g, e);
    }
    let central = |x: [f64; 2]| (x[1] - x[0]) / (2.0 * step);
    report(Deviation {
        identity: "gradient by weights",
        got: g_d,
        want: central(losses),
        scale: scale.max(g_d.abs()),
    });
    let h_want = central(slopes);

    for (direction, h_d, m_d) in [(d, &mut *h_d, &mut *m_d), (e, &mut *h_e, &mut *m_e)] {
        h_d.fill(0.0);
        m_d.fill(0.0);
        let out = Products { g: None, h_d, m_d };
        objective.second_order(at, direction, out, scratch)?;
    }
    // Products are added to what is there, so here something is.
    m_d.fill(1.0);
    h_dual.fill(1.0);
    let out = Products {
        g: Some(g),
        h_d: h_dual,
        m_d,
    };
    objective.second_order(at, d, out, scratch)?;
    for x in h_dual.iter_mut().chain(m_d.iter_mut()) {
        *x -= 1.0;
    }
    report(compare("H d is added", h_dual, h_d));
    objective.gradient(at, moved_w, None, scratch)?;
    report(compare("gradient beside the products", g, moved_w));
    let size = crate::Scalar::sqrt(dot(h_d, h_d) * dot(e, e));
    report(Deviation {
        identity: "H d",
        got: dot(h_d, e),
        want: h_want,
        scale: size,
    });
    report(Deviation {
        identity: "symmetry of H",
        got: dot(d, h_e),
        want: dot(e, h_d),
        scale: size,
    });
    if hypers > 0 {
        for (i, s) in [-step, step].into_iter().enumerate() {
            shift(at.h, s, q, moved_h);
            let moved = At { h: moved_h, ..at };
            losses[i] = objective.loss(moved, scratch)?;
            objective.gradient(moved, g, None, scratch)?;
            slopes[i] = dot(g, d);
        }
        report(Deviation {
            identity: "gradient by hyperparameters",
            got: d_h_q,
            want: central(losses),
            scale: crate::Scalar::sqrt(dot(d_h, d_h) * dot(q, q)),
        });
        report(Deviation {
            identity: "M d",
            got: dot(m_d, q),
            want: central(slopes),
            scale: crate::Scalar::sqrt(dot(m_d, m_d) * dot(q, q)),
        });
    }
    h_dual.fill(0.0);
    m_dual.fill(0.0);
    let out = Products {
        g: None,
        h_d: h_dual,
        m_d: m_dual,
    };
    by_dual_numbers.second_order(at, d, out, scratch)?;
    report(compare("H d by dual numbers", h_d, h_dual));
    if hypers > 0 {
        report(compare("M d by dual numbers", m_d, m_dual));
    }

    for (row, (d, sign)) in [(d, 1.0), (e, -1.0)].into_iter().enumerate() {
        copy(d, piece_mut(w_dot, row * p, p));
        for (h_dot, q) in piece_mut(h_dot, row * hypers, hypers).iter_mut().zip(q) {
            *h_dot = sign * q;
        }
    }
    let along = Directions {
        count: 2,
        w: w_dot,
        h: h_dot,
    };
    objective.tangents(at, along, g, g_dot, scratch)?;
    objective.gradient(at, moved_w, None, scratch)?;
    report(compare("gradient beside the tangents", g, moved_w));
    by_dual_numbers.tangents(at, along, [&mut *g, g_dual], scratch)?;
    report(compare("tangents by dual numbers", g_dot, g_dual));
    for (slope, s) in slopes.iter_mut().zip([-step, step]) {
        shift(at.w, s, d, moved_w);
        shift(at.h, s, q, moved_h);
        let moved = At {
            w: moved_w,
            h: moved_h,
            ..at
        };
        objective.gradient(moved, g, None, scratch)?;
        *slope = dot(g, e);
    }
    let got = dot(piece(g_dot, 0, p), e);
    let size = crate::Scalar::sqrt(dot(piece(g_dot, 0, p), piece(g_dot, 0, p)) * dot(e, e));
    for (identity, want) in [
        ("tangents", central(slopes)),
        ("adjoints of the tangents", dot(h_e, d) + dot(m_e, q)),
    ] {
        report(Deviation {
            identity,
            got,
            want,
            scale: size,
        });
    }
    Ok(())
}
