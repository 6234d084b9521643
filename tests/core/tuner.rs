//! The outer loop: its optimum against a closed form, its best, its refusals, its projections and its state.

use crate::tolerances::CLOSED_FORM;
use drmad::group::Granularity;
use drmad::memory::Need;
use drmad::method::{Method, Sweep};
use drmad::models::Quadratic;
use drmad::objective::{At, ByLoss, Loss, dual_required_len, gradient_len};
use drmad::outer::{Adam, Outer, Projected, Projection, Sgd, Sign};
use drmad::state;
use drmad::training::{Model, On, Own, Session, Training, Tuned, What};
use drmad::tuner::{Best, Tuner};
use drmad::{Error, Fused, Scalar};

/// The training loss is `1/2 sum_k a_k (w_k - h_k)^2`.
const CURVATURES: &[f32] = &[1.0, 4.0];
/// The validation loss is `1/2 sum_k b_k (w_k - c_k)^2`.
const B: [f64; 2] = [2.0, 0.5];
const C: [f64; 2] = [1.0, -3.0];
const P: usize = 2;
const STEPS: usize = 12;
const TUNED: &[Tuned] = &[Tuned::new(What::Objective, Granularity::Global)];
const OWN: Own = Own {
    weights: P,
    hypers: P,
    scratch: gradient_len(P, P),
    second_order_scratch: dual_required_len(P, P, gradient_len(P, P)),
};
const TRAINING: Training<'static> = Training {
    tuned: TUNED,
    momentum: 0.5,
    rate: 0.25,
    valid_examples: 0,
    ..Training::new(Model::Own(OWN), 1, STEPS)
};
const NEED: Need<f64> = TRAINING.need(Method::TAPE);

/// The validation loss, which knows no `h`.
struct Target;

impl Loss for Target {
    type Arithmetic = Fused;

    fn weights(&self) -> usize {
        P
    }

    fn hypers(&self) -> usize {
        P
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>) -> Result<S, Error> {
        let terms = at.w.iter().zip(B).zip(C);
        Ok(terms.fold(S::ZERO, |sum, ((w, b), c)| {
            let miss = *w - S::from_f64(c);
            sum + S::from_f64(0.5 * b) * miss * miss
        }))
    }
}

/// Runs `body` with the losses, and initial weights `w0`.
fn on<T>(w0: &[f64; P], body: impl FnOnce(On<'_, Fused, f64>) -> T) -> T {
    let (bowl, target) = (Quadratic::<Fused>::new(CURVATURES), ByLoss(Target));
    body(On {
        training: &bowl,
        validation: &target,
        initial: Some(w0),
    })
}

/// The trained weight `k` is `r w_0 + (1 - r) h`: this is `r`, by the recurrence of the heavy ball.
fn share_of_the_start(k: usize) -> f64 {
    let (a, rate, momentum) = (f64::from(CURVATURES[k]), 0.25, 0.5);
    let (mut w, mut v) = (1.0, 0.0);
    for _ in 0..STEPS {
        v = momentum * v - (1.0 - momentum) * a * w;
        w += rate * v;
    }
    w
}

#[test]
fn a_quadratic_is_tuned_to_the_optimum_of_its_closed_form() {
    let w0 = [0.5, 2.0];
    let (mut h, mut sgd) = ([0.0; P], Sgd { rate: 0.75 });
    let (mut room, mut memory) = ([0.0; 3 * P], [0.0; NEED.len()]);
    let mut tuner = Tuner::new(&mut h, &mut sgd, &mut room).unwrap();
    on(&w0, |on| {
        for _ in 0..200 {
            tuner
                .round(&TRAINING, Method::TAPE, on, &mut memory)
                .unwrap();
        }
    });
    for k in 0..P {
        let r = share_of_the_start(k);
        let want = (C[k] - r * w0[k]) / (1.0 - r);
        let got = tuner.h()[k];
        assert!(
            (got - want).abs() <= CLOSED_FORM * want.abs(),
            "{k}: {got} and {want}"
        );
    }
    assert!(tuner.best().unwrap().loss < 1e-20);
}

#[test]
fn the_mean_over_two_trainings_is_tuned_to_its_own_optimum() {
    let starts = [[0.5, 2.0], [-1.5, 0.0]];
    let (mut h, mut sgd) = ([0.0; P], Sgd { rate: 0.75 });
    let (mut room, mut memory) = ([0.0; 3 * P], [0.0; NEED.len()]);
    let mut tuner = Tuner::new(&mut h, &mut sgd, &mut room).unwrap();
    for _ in 0..200 {
        tuner
            .round_by(&mut |h, d_h| {
                d_h.fill(0.0);
                let (mut one, mut loss) = ([0.0; P], 0.0);
                for w0 in &starts {
                    let came = on(w0, |on| {
                        TRAINING.hypergradient(Method::TAPE, on, h, &mut one, &mut memory)
                    })?;
                    loss += 0.5 * came.valid_loss;
                    for (d, one) in d_h.iter_mut().zip(one) {
                        *d += 0.5 * one;
                    }
                }
                Ok(loss)
            })
            .unwrap();
    }
    for k in 0..P {
        // The mean of `(r w_0 + (1 - r) h - c)^2` over both `w_0`.
        let (r, start) = (share_of_the_start(k), 0.5 * (starts[0][k] + starts[1][k]));
        let want = (C[k] - r * start) / (1.0 - r);
        let got = tuner.h()[k];
        assert!(
            (got - want).abs() <= CLOSED_FORM * want.abs(),
            "{k}: {got} and {want}"
        );
    }
}

#[test]
fn a_round_by_a_session_has_the_bits_of_a_round() {
    let w0 = [0.5, 2.0];
    let rounds = |by_session: bool| {
        let (mut h, mut m, mut v) = ([0.0; P], [0.0; P], [0.0; P]);
        let mut adam = Adam::new(0.1, &mut m, &mut v).unwrap();
        let (mut room, mut memory) = ([0.0; 3 * P], [0.0; NEED.len()]);
        let mut tuner = Tuner::new(&mut h, &mut adam, &mut room).unwrap();
        on(&w0, |on| {
            for _ in 0..5 {
                if !by_session {
                    tuner
                        .round(&TRAINING, Method::TAPE, on, &mut memory)
                        .unwrap();
                    continue;
                }
                let mut session =
                    Session::new(TRAINING, Sweep::TAPE, on, tuner.h(), &mut memory).unwrap();
                let outcome = loop {
                    if let Some(outcome) = session.advance(5, &mut |_, _| ()).unwrap() {
                        break outcome;
                    }
                };
                tuner
                    .round_by(&mut |_, d_h| {
                        session.hypergradient(d_h)?;
                        Ok(outcome.valid_loss)
                    })
                    .unwrap();
            }
        });
        (tuner.h().to_vec(), tuner.best().unwrap().loss)
    };
    assert_eq!(rounds(true), rounds(false));
}

/// Losses by list, with a hypergradient that steps of one size follow.
fn take<O: Outer<f32>>(tuner: &mut Tuner<'_, f32, O>, loss: f32) -> Result<f32, Error> {
    tuner.round_by(&mut |_, d_h| {
        d_h.fill(-1.0);
        Ok(loss)
    })
}

#[test]
fn the_first_of_the_best_rounds_is_kept_and_as_many_losses_as_there_is_room_for() {
    let (mut h, mut sign, mut room) = ([0.0; 2], Sign { rate: 1.0 }, [f32::NAN; 7]);
    let mut history = [f32::NAN; 3];
    let mut tuner = Tuner::new(&mut h, &mut sign, &mut room)
        .unwrap()
        .with_history(&mut history);
    assert_eq!((tuner.best(), tuner.history()), (None, &[][..]));
    let best = |round: usize, loss| (round, loss, vec![round as f32; 2]);
    for (loss, want) in [
        (5.0, best(0, 5.0)),
        (7.0, best(0, 5.0)),
        (-1.0, best(2, -1.0)),
        (-1.0, best(2, -1.0)),
        (0.0, best(2, -1.0)),
    ] {
        assert_eq!(take(&mut tuner, loss), Ok(loss));
        let Best { round, loss, h } = tuner.best().unwrap();
        assert_eq!((round, loss, h.to_vec()), want);
    }
    assert_eq!((tuner.rounds(), tuner.h()), (5, &[5.0; 2][..]));
    assert_eq!(tuner.history(), [5.0, 7.0, -1.0]);
    let (mut short, mut h) = ([0.0f32; 5], [0.0; 2]);
    let refused = Tuner::new(&mut h, &mut sign, &mut short).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "memory of the tuner: 2 numbers wanted, 1 given"
    );
}

/// An optimizer that spoils the hyperparameters before it refuses.
struct Spoils(bool);

impl Outer<f32> for Spoils {
    fn step(&mut self, h: &mut [f32], _: &[f32]) -> Result<(), Error> {
        h.fill(f32::NAN);
        if self.0 {
            return Err(Error::NoSteps);
        }
        h.fill(1.0);
        Ok(())
    }
}

/// All that a tuner is.
fn all<O: Outer<f32>>(tuner: &mut Tuner<'_, f32, O>) -> Vec<u8> {
    let mut bytes = vec![0; state::len(tuner).unwrap()];
    state::save(0, tuner, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_refused_round_changes_nothing() {
    let (mut h, mut m, mut v, mut room) = ([0.5; 2], [0.0; 2], [0.0; 2], [0.0; 6]);
    let (mut history, onto) = ([0.0; 4], &[(0..2, Projection::NonNegative)]);
    let inner = Adam::new(0.125, &mut m, &mut v).unwrap();
    let mut outer = Projected { inner, onto };
    let mut tuner = Tuner::new(&mut h, &mut outer, &mut room)
        .unwrap()
        .with_history(&mut history);
    for taken in 0..3 {
        let before = all(&mut tuner);
        for (loss, d, want) in [
            (f32::NAN, 1.0, "validation loss"),
            (f32::NEG_INFINITY, 1.0, "validation loss"),
            (-10.0, f32::NAN, "hypergradient"),
            (-10.0, f32::INFINITY, "hypergradient"),
            (-10.0, 1e30, "square of the hypergradient"),
        ] {
            let refused = tuner.round_by(&mut |_, d_h| {
                d_h.fill(d);
                Ok(loss)
            });
            let Err(Error::NonFinite { what, step }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!((what, step), (want, taken));
            assert_eq!(all(&mut tuner), before, "{want}");
        }
        let diverged = Err(Error::Diverged { what: "w", step: 7 });
        assert_eq!(tuner.round_by(&mut |_, _| diverged), diverged);
        assert_eq!(all(&mut tuner), before);
        take(&mut tuner, 1.0).unwrap();
    }
    // Nor does an optimizer that leaves its hyperparameters half moved, nor a set that is none.
    let (mut h, mut spoils, mut room) = ([0.5; 2], Spoils(true), [0.0; 6]);
    let mut tuner = Tuner::new(&mut h, &mut spoils, &mut room).unwrap();
    assert_eq!(take(&mut tuner, 1.0), Err(Error::NoSteps));
    assert_eq!((tuner.h(), tuner.best()), (&[0.5; 2][..], None));
    let (inner, onto) = (Sgd { rate: 1.0 }, &[(1..3, Projection::NonNegative)]);
    let (mut h, mut outer, mut room) = ([0.5; 2], Projected { inner, onto }, [0.0; 6]);
    let mut tuner = Tuner::new(&mut h, &mut outer, &mut room).unwrap();
    assert_eq!(
        take(&mut tuner, 1.0).unwrap_err().to_string(),
        "hyperparameter to project 3 does not exist: there are 2"
    );
    assert_eq!((tuner.h(), tuner.best()), (&[0.5; 2][..], None));
}

#[test]
fn a_training_that_diverges_leaves_the_best_and_the_hyperparameters() {
    const RATE: Training<'static> = Training {
        tuned: &[TUNED[0], Tuned::new(What::Rate, Granularity::Global)],
        steps: 2000,
        ..TRAINING
    };
    let (mut h, mut sgd) = ([0.0, 0.0, -2.0], Sgd { rate: -1e3 });
    let (mut room, mut memory) = ([0.0; 9], vec![0.0; RATE.need::<f64>(Method::TAPE).len()]);
    let mut tuner = Tuner::new(&mut h, &mut sgd, &mut room).unwrap();
    on(&[0.5, 2.0], |on| {
        // The first step goes up, and far: the rate becomes one with which nothing converges.
        tuner
            .round_by(&mut |_, d_h| {
                d_h.copy_from_slice(&[0.0, 0.0, 0.008]);
                Ok(3.0)
            })
            .unwrap();
        let h = tuner.h().to_vec();
        assert_eq!(h, [0.0, 0.0, 6.0]);
        for _ in 0..2 {
            let refused = tuner.round(&RATE, Method::TAPE, on, &mut memory);
            assert!(
                matches!(refused, Err(Error::Diverged { .. })),
                "{refused:?}"
            );
            assert_eq!((tuner.h(), tuner.rounds()), (&h[..], 1));
            let best = tuner.best().unwrap();
            assert_eq!((best.loss, best.h), (3.0, &[0.0, 0.0, -2.0][..]));
        }
    });
}

#[test]
fn projections_hold_after_every_round_and_touch_nothing_else() {
    let onto = &[
        (0..3, Projection::Simplex { total: 1.0 }),
        (
            4..5,
            Projection::Box {
                low: 0.0,
                high: 1.0,
            },
        ),
    ];
    let inner = Sgd { rate: 0.5f32 };
    let (mut h, mut room) = ([0.25, 0.5, 0.25, 7.0, 0.5], [0.0; 15]);
    let mut outer = Projected { inner, onto };
    let mut tuner = Tuner::new(&mut h, &mut outer, &mut room).unwrap();
    let mut free = 7.0;
    for round in 0..20 {
        let d = [1.0, -0.5, 0.25 * round as f32, -2.0, -1.0];
        tuner
            .round_by(&mut |_, d_h| {
                d_h.copy_from_slice(&d);
                Ok(0.0)
            })
            .unwrap();
        free += 1.0;
        let h = tuner.h();
        assert!((h[..3].iter().sum::<f32>() - 1.0).abs() <= 4.0 * f32::EPSILON);
        assert!(h[..3].iter().all(|x| *x >= 0.0));
        assert_eq!(h[3..], [free, 1.0]);
    }
}

/// Rounds on from what was saved, and all that the tuner is afterwards.
fn resumed(saved: Option<&[u8]>, rounds: usize) -> Vec<u8> {
    const H: usize = P;
    const LEN: usize = Tuner::<f64>::state_len(H, 4, Adam::<f64>::state_len(H));
    let (mut h, mut m, mut v) = ([0.25, -0.5], [0.0; H], [0.0; H]);
    if saved.is_some() {
        (h, m, v) = ([f64::NAN; H], [f64::NAN; H], [f64::NAN; H]);
    }
    let onto = &[(0..1, Projection::NonNegative)];
    let inner = Adam::new(0.5, &mut m, &mut v).unwrap();
    let mut outer = Projected { inner, onto };
    let (mut history, mut room) = ([f64::NAN; 4], [f64::NAN; 3 * H]);
    let mut memory = [0.0; NEED.len()];
    let mut tuner = Tuner::new(&mut h, &mut outer, &mut room)
        .unwrap()
        .with_history(&mut history)
        .with_tag(9);
    if let Some(saved) = saved {
        assert_eq!(state::restore(saved, &mut tuner), Ok(3));
    }
    on(&[0.5, 2.0], |on| {
        for _ in 0..rounds {
            tuner
                .round(&TRAINING, Method::TAPE, on, &mut memory)
                .unwrap();
        }
    });
    let mut bytes = vec![0; LEN];
    assert_eq!(state::save(3, &mut tuner, &mut bytes), Ok(LEN));
    bytes
}

#[test]
fn a_tuner_saved_and_restored_after_any_round_goes_on_with_the_same_bits() {
    let want = resumed(None, 8);
    for cut in 1..=8 {
        let saved = resumed(None, cut);
        assert_eq!(resumed(Some(&saved), 8 - cut), want, "cut after {cut}");
    }
}

type Body<'b> = &'b mut dyn FnMut(&mut Tuner<'_, f32, Sgd<f32>>);

#[test]
fn another_tuners_state_is_refused_and_changes_nothing() {
    let state_of = |tag, hypers: usize, losses: usize, body: Body<'_>| {
        let (mut h, mut room) = (vec![0.5; hypers], vec![0.0; 3 * hypers]);
        let (mut sgd, mut history) = (Sgd { rate: 1.0 }, vec![0.0; losses]);
        let tuner = Tuner::new(&mut h, &mut sgd, &mut room).unwrap();
        body(&mut tuner.with_history(&mut history).with_tag(tag));
    };
    let mut saved = vec![];
    state_of(1, 2, 3, &mut |tuner| {
        take(tuner, 2.0).unwrap();
        saved = all(tuner);
    });
    for (tag, hypers, losses, want) in [
        (2, 2, 3, "tag"),
        (1, 3, 3, "hyperparameters"),
        (1, 2, 4, "losses of the history"),
    ] {
        state_of(tag, hypers, losses, &mut |tuner| {
            let before = all(tuner);
            let Err(Error::Saved { what, .. }) = state::restore(&saved, tuner) else {
                panic!("{want} taken");
            };
            assert_eq!((what, all(tuner)), (want, before.clone()));
        });
    }
    // The best of a round that there has not been.
    let (end, at) = (saved.len() - 4, 32 + 8 * 6);
    assert_eq!(saved[at - 8..at], 1u64.to_le_bytes());
    saved[at] = 1;
    let sum = state::crc32(&saved[..end]).to_le_bytes();
    saved[end..].copy_from_slice(&sum);
    state_of(1, 2, 3, &mut |tuner| {
        assert_eq!(
            state::restore(&saved, tuner).unwrap_err().to_string(),
            "saved state: round of the best is 0x1, not 0x0"
        );
    });
}
