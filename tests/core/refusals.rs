//! Every refusal: the right error for each bad input, with its numbers in the message.

use crate::common::{Answer, Data, NoTraining, Noise, WIDTHS, hypergradient};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Outcome, Validation, Wanted, Workspace};
use drmad::kernels::adam;
use drmad::kernels::dispatch::{self, Level};
use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::reversible::{Bits, Ratio, Turn};
use drmad::models::{Examples, Features, LearnedInputs, Logistic, Mlp, Pixels, Quadratic};
use drmad::objective::{At, Objective, Products, by_dual_numbers};
use drmad::outer::{Adam, Outer, Sgd, Sign};
use drmad::path::{Full, Grid, Hats, Line, Path, Plan, Quantised, Spare, Tape};
use drmad::random::{self, Batches, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L1, L2, Scaled, Strength};
use drmad::{Error, Fused, Plain, Scalar, check};

/// The error, and that its message names all of `words`.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, want: Error, words: &[&str]) {
    let error = result.expect_err("this should have been refused");
    assert_eq!(error, want);
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
    assert!(!message.contains('\n'));
}

#[track_caller]
fn wrong_length<T: std::fmt::Debug>(
    result: Result<T, Error>,
    what: &'static str,
    want: usize,
    got: usize,
) {
    let words = [what, &want.to_string(), &got.to_string()];
    refused(result, Error::Length { what, want, got }, &words);
}

/// How the error came: by its kind and name, where its number is not known beforehand.
#[track_caller]
fn not_finite<T: std::fmt::Debug>(result: Result<T, Error>, expected: &str) -> usize {
    let error = result.expect_err("this should have been refused");
    let (Error::NonFinite { what, step } | Error::Diverged { what, step }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(what, expected);
    assert!(error.to_string().contains(&format!("step {step}")));
    step
}

const FLAT: Groups<'static> = Groups::global(4);
const CURVATURE: &[f32] = &[1.0, 2.0, 0.5, 1.5];
const ONE: Batches = Batches {
    seed: 0,
    examples: 1,
    size: 1,
};

/// A training of the quadratic of four weights that is right in every way.
fn run<'a>(objective: &'a Quadratic<'a, Fused>) -> InnerProblem<'a, Fused, f32> {
    InnerProblem {
        objective,
        h: &[0.1, 0.2, 0.3, 0.4],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: FLAT,
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: ONE,
        steps: 10,
    }
}

#[test]
fn a_training_of_no_steps_is_refused() {
    let bowl = Quadratic::new(CURVATURE);
    let problem = InnerProblem {
        steps: 0,
        ..run(&bowl)
    };
    refused(problem.check(), Error::NoSteps, &["step"]);
}

#[test]
fn empty_batches_are_refused() {
    let bowl = Quadratic::new(CURVATURE);
    for batches in [Batches { size: 0, ..ONE }, Batches { examples: 0, ..ONE }] {
        let problem = InnerProblem {
            batches,
            ..run(&bowl)
        };
        refused(problem.check(), Error::EmptyBatch, &["example"]);
        refused(batches.fill(0, &mut [0]), Error::EmptyBatch, &[]);
    }
    // Where there can be so many.
    if let Some(examples) = 1usize.checked_shl(32) {
        let too_many = Batches { examples, ..ONE };
        let want = Error::Range {
            what: "number of examples",
            value: 4_294_967_296.0,
            least: 0.0,
            greatest: 4_294_967_295.0,
        };
        refused(too_many.fill(0, &mut [0]), want, &["4294967296"]);
    }
    let data = Data::small();
    let mlp = Mlp::<_, Fused>::new(data.features(), WIDTHS, 4).unwrap();
    let logistic = Logistic::<_, Fused>::new(data.features(), 3).unwrap();
    fn empty<O: Objective>(objective: &O) {
        let p = objective.weights();
        let w = vec![0.0f32; p];
        let at = At {
            w: &w,
            h: &[],
            batch: &[],
        };
        let mut scratch = vec![0.0; objective.second_order_scratch_len() + p];
        let mut g = vec![0.0; p];
        let loss = objective.loss(at, &mut scratch);
        refused(loss, Error::EmptyBatch, &[]);
        let loss = objective.gradient(at, &mut g, None, &mut scratch);
        refused(loss, Error::EmptyBatch, &[]);
        let out = Products {
            g: None,
            h_d: &mut g,
            m_d: &mut [],
        };
        let done = objective.second_order(at, &w, out, &mut scratch);
        refused(done, Error::EmptyBatch, &[]);
    }
    empty(&mlp);
    empty(&logistic);
}

#[test]
fn a_momentum_outside_0_to_1_is_refused_with_its_step() {
    let bowl = Quadratic::new(CURVATURE);
    for (bad, word) in [
        (1.0f32, "1"),
        (-0.1, "-0.1"),
        (1.5, "1.5"),
        (-1e-9, "-0.00"),
    ] {
        let mut momenta = [0.5; 10];
        momenta[7] = bad;
        let mut problem = run(&bowl);
        problem.schedule.momenta = &momenta;
        let want = |step| Error::Momentum {
            value: f64::from(bad),
            step,
        };
        refused(problem.check(), want(7), &[word, "step 7"]);
        problem.schedule.momenta = &momenta[7..8];
        refused(problem.check(), want(0), &[word, "step 0"]);
    }
    let nearly = [1.0f32.next_down()];
    let mut problem = run(&bowl);
    problem.schedule.momenta = &nearly;
    problem.check().unwrap();
}

#[test]
fn numbers_that_are_not_finite_are_refused_at_the_door() {
    let bowl = Quadratic::new(CURVATURE);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut table = [0.5; 10];
        table[3] = bad;
        let mut with = run(&bowl);
        with.schedule.momenta = &table;
        assert_eq!(not_finite(with.check(), "momenta"), 3);
        let mut with = run(&bowl);
        with.schedule.rates = &table;
        assert_eq!(not_finite(with.check(), "rates"), 3);
        let h = [0.0, bad, 0.0, 0.0];
        let with = InnerProblem {
            h: &h,
            ..run(&bowl)
        };
        not_finite(with.check(), "h");
    }
}

#[test]
fn tables_of_another_length_are_refused() {
    let bowl = Quadratic::new(CURVATURE);
    for n in [0, 2, 9, 11] {
        let table = vec![0.5; n];
        let mut with = run(&bowl);
        with.schedule.rates = &table;
        wrong_length(with.check(), "rates", 10, n);
        let mut with = run(&bowl);
        with.schedule.momenta = &table;
        wrong_length(with.check(), "momenta", 10, n);
    }
    let with = InnerProblem {
        h: &[0.0; 3],
        ..run(&bowl)
    };
    wrong_length(with.check(), "h", 4, 3);
    let mut with = run(&bowl);
    with.schedule.groups = Groups::global(5);
    wrong_length(with.check(), "weights of the schedule's groups", 4, 5);
}

/// The hypergradient of the quadratic by vectors of the given lengths: those of a workspace, then batch, d_h, d_rates,
/// d_momenta.
fn by_vectors_of(lengths: [usize; 12]) -> Result<Outcome<f32>, Error> {
    let bowl = Quadratic::new(CURVATURE);
    let [
        mut w,
        mut v,
        mut g,
        mut d_w,
        mut d_v,
        mut d_g,
        mut a,
        mut b,
        _,
        mut d_h,
        mut d_rates,
        mut d_momenta,
    ] = lengths.map(|n| vec![0.0f32; n]);
    let mut scratch = vec![0.0; bowl.second_order_scratch_len()];
    let mut workspace = Workspace {
        w: &mut w,
        v: &mut v,
        g: &mut g,
        d_w: &mut d_w,
        d_v: &mut d_v,
        d_g: &mut d_g,
        spare: [&mut a, &mut b],
        scratch: &mut scratch,
    };
    let mut batch = vec![0; lengths[8]];
    let initial = &[0.0f32; 4][..];
    let mut line = Line::new(initial, 10);
    let problem = run(&bowl);
    problem.train(
        &initial,
        &mut line,
        &mut workspace,
        &mut batch,
        &mut |_, _| (),
    )?;
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: Some((&mut d_rates, &mut d_momenta)),
    };
    problem.backward(&validation, &mut line, &mut workspace, &mut batch, wanted)
}

#[test]
fn vectors_of_another_length_are_refused_on_the_way_there_or_back() {
    let right = [4, 4, 4, 4, 4, 4, 4, 4, 1, 4, 1, 1];
    assert_eq!(by_vectors_of(right).unwrap().steps_back, 10);
    let names: [&[&str]; 12] = [
        &["w"],
        &["v"],
        &["g"],
        // What the backward pass needs is lent to the path on the way there.
        &["spare a"],
        &["spare b", "d_v"],
        &["d_g"],
        &["spare a"],
        &["spare b"],
        &["batch"],
        &["d_h"],
        &["d_rates"],
        &["d_momenta"],
    ];
    for (i, names) in names.into_iter().enumerate() {
        for n in [0, right[i] - 1, right[i] + 1] {
            let mut lengths = right;
            lengths[i] = n;
            let Err(Error::Length { what, want, .. }) = by_vectors_of(lengths) else {
                panic!("{names:?} of {n}");
            };
            assert!(
                names.contains(&what) && want == right[i],
                "{names:?}: {what}, {want}"
            );
        }
    }
}

#[test]
fn a_workspace_refuses_a_buffer_too_short_for_its_vectors() {
    let mut buffer = vec![0.0f32; 59];
    let left = |result: Result<Workspace<'_, f32>, Error>| result.map(|w| w.scratch.len());
    wrong_length(
        left(Workspace::new(&mut buffer, 10, Optimizer::HeavyBall, false)),
        "workspace",
        10,
        9,
    );
    wrong_length(
        left(Workspace::new(&mut buffer, 8, Optimizer::HeavyBall, true)),
        "workspace",
        8,
        3,
    );
    assert_eq!(
        left(Workspace::new(&mut buffer, 7, Optimizer::HeavyBall, true)),
        Ok(3)
    );
    assert_eq!(
        left(Workspace::new(&mut buffer, 7, Optimizer::HeavyBall, false)),
        Ok(17)
    );
}

#[test]
fn a_workspace_without_room_for_the_schedule_refuses_its_hypergradients() {
    let bowl = Quadratic::new(CURVATURE);
    let problem = run(&bowl);
    let mut buffer =
        vec![0.0f32; Workspace::<f32>::required_len(4, 100, Optimizer::HeavyBall, false)];
    let mut workspace = Workspace::new(&mut buffer, 4, Optimizer::HeavyBall, false).unwrap();
    let initial = [0.0f32; 4];
    let mut line = Line::new(&initial[..], 10);
    problem
        .train(
            &&initial[..],
            &mut line,
            &mut workspace,
            &mut [0],
            &mut |_, _| (),
        )
        .unwrap();
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let (mut d_h, mut d_rates, mut d_momenta) = ([0.0; 4], [0.0], [0.0]);
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: Some((&mut d_rates, &mut d_momenta)),
    };
    let back = problem.backward(&validation, &mut line, &mut workspace, &mut [0], wanted);
    wrong_length(back, "spare a", 4, 0);
}

#[test]
fn scratch_one_number_short_is_refused_by_every_objective() {
    fn short<O: Objective>(objective: &O) {
        let (p, hypers) = (objective.weights(), objective.hypers());
        let (w, h) = (vec![0.1f32; p], vec![0.1; hypers]);
        let at = At {
            w: &w,
            h: &h,
            batch: &[0, 1, 2],
        };
        let (mut g, mut d_h) = (vec![0.0; p], vec![0.0; hypers]);
        let refuses = |result: Result<(), Error>, len: usize| {
            if let Err(Error::Length { what, want, got }) = result {
                assert_eq!((what, want > got), ("scratch", true));
            } else {
                panic!("{len} numbers of scratch: {result:?}");
            }
        };
        let len = objective.scratch_len();
        let mut gradient = |n: usize| {
            let mut scratch = vec![0.0; n];
            objective
                .gradient(at, &mut g, Some(&mut d_h), &mut scratch)
                .map(|_| ())
        };
        gradient(len).unwrap();
        if len > 0 {
            refuses(gradient(len - 1), len - 1);
        }
        let len = objective.loss_scratch_len();
        let loss = |n: usize| objective.loss(at, &mut vec![0.0; n]).map(|_| ());
        loss(len).unwrap();
        refuses(loss(len - 1), len - 1);
        let len = objective.second_order_scratch_len();
        let mut products = |n: usize| {
            let out = Products {
                g: None,
                h_d: &mut g,
                m_d: &mut d_h,
            };
            objective.second_order(at, &w, out, &mut vec![0.0; n])
        };
        products(len).unwrap();
        refuses(products(len - 1), len - 1);
    }
    let data = Data::small();
    short(&Quadratic::<Fused>::new(CURVATURE));
    short(&Logistic::<_, Fused>::new(data.features(), 3).unwrap());
    let one = [6, 3];
    short(&Mlp::<_, Fused>::new(data.features(), &one, 2).unwrap());
    let mlp = Mlp::<_, Fused>::new(data.features(), WIDTHS, 4).unwrap();
    short(&mlp);
    let groups = Groups {
        layout: Layout::Layers(WIDTHS),
        by: Granularity::Unit,
        biases: false,
    };
    let scaled = Scaled { inner: mlp, groups };
    short(&scaled);
    short(&L2::new(scaled, Strength::Tuned(groups)));
    short(&Scaled {
        inner: L1::new(mlp, Strength::Fixed(0.1, groups)),
        groups,
    });
    // The penalty's own need is the greater one.
    let parameters = Groups {
        by: Granularity::Parameter,
        ..groups
    };
    short(&L1::new(
        Quadratic::<Fused>::new(CURVATURE),
        Strength::Tuned(Groups::global(4)),
    ));
    short(&L2::new(mlp, Strength::Off(parameters)));
}

#[test]
fn every_objective_refuses_vectors_of_another_length() {
    fn other<O: Objective>(objective: &O) {
        let (p, hypers) = (objective.weights(), objective.hypers());
        let gradient = |w: usize, h: usize, g: usize, d_h: usize| {
            let (w, h) = (vec![0.1f32; w], vec![0.1; h]);
            let at = At {
                w: &w,
                h: &h,
                batch: &[0],
            };
            let (mut g, mut d_h) = (vec![0.0; g], vec![0.0; d_h]);
            let mut scratch = vec![0.0; objective.scratch_len()];
            objective.gradient(at, &mut g, Some(&mut d_h), &mut scratch)
        };
        gradient(p, hypers, p, hypers).unwrap();
        wrong_length(gradient(p - 1, hypers, p, hypers), "w", p, p - 1);
        wrong_length(gradient(p + 1, hypers, p, hypers), "w", p, p + 1);
        wrong_length(gradient(p, hypers, p - 1, hypers), "g", p, p - 1);
        if hypers > 0 {
            wrong_length(gradient(p, hypers - 1, p, hypers), "h", hypers, hypers - 1);
            wrong_length(
                gradient(p, hypers, p, hypers - 1),
                "d_h",
                hypers,
                hypers - 1,
            );
        }
        let products = |d: usize, h_d: usize, m_d: usize| {
            let (w, h, d) = (vec![0.1f32; p], vec![0.1; hypers], vec![0.1; d]);
            let at = At {
                w: &w,
                h: &h,
                batch: &[0],
            };
            let (mut h_d, mut m_d) = (vec![0.0; h_d], vec![0.0; m_d]);
            let out = Products {
                g: None,
                h_d: &mut h_d,
                m_d: &mut m_d,
            };
            let mut scratch = vec![0.0; objective.second_order_scratch_len()];
            objective.second_order(at, &d, out, &mut scratch)
        };
        products(p, p, hypers).unwrap();
        wrong_length(products(p - 1, p, hypers), "d", p, p - 1);
        wrong_length(products(p, p + 1, hypers), "h_d", p, p + 1);
        if hypers > 0 {
            wrong_length(products(p, p, hypers - 1), "m_d", hypers, hypers - 1);
        }
    }
    let data = Data::small();
    other(&Quadratic::<Fused>::new(CURVATURE));
    other(&Logistic::<_, Fused>::new(data.features(), 3).unwrap());
    let mlp = Mlp::<_, Fused>::new(data.features(), WIDTHS, 4).unwrap();
    other(&mlp);
    let groups = Groups {
        layout: Layout::Layers(WIDTHS),
        by: Granularity::Unit,
        biases: false,
    };
    other(&Scaled { inner: mlp, groups });
    other(&L2::new(mlp, Strength::Tuned(groups)));
    other(&L1::new(
        Scaled { inner: mlp, groups },
        Strength::Off(groups),
    ));
}

#[test]
fn wrappers_refuse_groups_of_other_weights() {
    let bowl = Quadratic::<Fused>::new(CURVATURE);
    let groups = Groups::global(5);
    let at = At {
        w: &[0.0f32; 4],
        h: &[0.0; 5],
        batch: &[],
    };
    let mut scratch = [0.0; 100];
    let loss = Scaled {
        inner: bowl,
        groups,
    }
    .loss(at, &mut scratch);
    wrong_length(loss, "groups", 5, 4);
    let loss = L2::new(bowl, Strength::Tuned(groups)).loss(at, &mut scratch);
    wrong_length(loss, "groups", 5, 4);
}

#[test]
fn dual_numbers_and_checks_refuse_short_scratch() {
    let bowl = Quadratic::<Fused>::new(CURVATURE);
    let x = [0.0f64; 4];
    let at = At {
        w: &x,
        h: &x,
        batch: &[],
    };
    let (mut h_d, mut m_d) = ([0.0; 4], [0.0; 4]);
    let out = Products {
        g: None,
        h_d: &mut h_d,
        m_d: &mut m_d,
    };
    wrong_length(
        by_dual_numbers(&bowl, at, &x, out, &mut [0.0; 31]),
        "scratch",
        32,
        31,
    );
    let probes = check::Probes {
        d: &x,
        e: &x,
        q: &x,
        step: 1e-5,
    };
    let len = check::required_len(&bowl);
    check::objective(&bowl, at, probes, &mut vec![0.0; len], &mut |_| ()).unwrap();
    let short = check::objective(&bowl, at, probes, &mut vec![0.0; len - 1], &mut |_| ());
    assert!(
        matches!(
            short,
            Err(Error::Length {
                what: "scratch",
                ..
            })
        ),
        "{short:?}"
    );
    let probes = check::Probes {
        q: &x[..3],
        ..probes
    };
    let short = check::objective(&bowl, at, probes, &mut vec![0.0; len], &mut |_| ());
    wrong_length(short, "q", 4, 3);
}

#[test]
fn matrix_products_refuse_buffers_of_another_length() {
    let shape = MatMul {
        form: Form::Nt,
        rows: 2,
        inner: 3,
        columns: 5,
        accumulate: false,
    };
    let product = |a: usize, b: usize, c: usize, packed: usize| {
        shape.run::<Plain, f32>(
            &vec![0.0; a],
            &vec![0.0; b],
            &mut vec![0.0; c],
            &mut vec![0.0; packed],
        )
    };
    let packed = shape.required_len();
    product(6, 15, 10, packed).unwrap();
    wrong_length(product(5, 15, 10, packed), "a", 6, 5);
    wrong_length(product(6, 16, 10, packed), "b", 15, 16);
    wrong_length(product(6, 15, 9, packed), "c", 10, 9);
    wrong_length(product(6, 15, 10, packed - 1), "packed", packed, packed - 1);
}

#[test]
fn networks_of_impossible_shape_are_refused() {
    let data = Data::small();
    let net = |widths: &'static [usize], microbatch| {
        Mlp::<_, Fused>::new(data.features(), widths, microbatch).map(|_| ())
    };
    let range = |what, value, least| Error::Range {
        what,
        value,
        least,
        greatest: f64::INFINITY,
    };
    refused(
        net(&[], 1),
        range("number of widths", 0.0, 2.0),
        &["0", "2"],
    );
    refused(
        net(&[6], 1),
        range("number of widths", 1.0, 2.0),
        &["1", "2"],
    );
    refused(
        net(&[6, 0, 3], 1),
        range("width", 0.0, 1.0),
        &["width", "0", "1"],
    );
    refused(
        net(&[6, 3], 0),
        range("microbatch", 0.0, 1.0),
        &["microbatch", "0", "1"],
    );
    wrong_length(net(&[7, 3], 1), "inputs of the first layer", 6, 7);
    let logistic = Logistic::<_, Fused>::new(data.features(), 0).map(|_| ());
    refused(logistic, range("classes", 0.0, 1.0), &["classes", "0"]);

    let mlp = Mlp::<_, Fused>::new(data.features(), WIDTHS, 2).unwrap();
    let (w, mut scratch) = (vec![0.0f32; 74], vec![0.0; mlp.scratch_len()]);
    let predicted = mlp.predict(&w, &[0, 1, 2], &mut [0.0; 9], &mut scratch);
    wrong_length(predicted, "batch", 2, 3);
    let predicted = mlp.predict(&w, &[0, 1], &mut [0.0; 5], &mut scratch);
    wrong_length(predicted, "probabilities", 6, 5);
}

#[test]
fn examples_and_classes_out_of_range_are_refused() {
    let data = Data::small();
    let index = |what, index, len| Error::Index { what, index, len };
    fn both<O: Objective>(objective: &O, batch: &[u32], want: Error, words: &[&str]) {
        let p = objective.weights();
        let w = vec![0.0f32; p];
        let at = At {
            w: &w,
            h: &[],
            batch,
        };
        let mut scratch = vec![0.0; p + objective.second_order_scratch_len()];
        refused(objective.loss(at, &mut scratch), want, words);
        let mut h_d = vec![0.0; p];
        let out = Products {
            g: None,
            h_d: &mut h_d,
            m_d: &mut [],
        };
        refused(
            objective.second_order(at, &w, out, &mut scratch),
            want,
            words,
        );
    }
    let mlp = Mlp::<_, Fused>::new(data.features(), WIDTHS, 4).unwrap();
    both(
        &mlp,
        &[0, 12],
        index("example", 12, 12),
        &["example 12", "12"],
    );
    both(
        &mlp,
        &[u32::MAX],
        index("example", u32::MAX as usize, 12),
        &["4294967295"],
    );
    let logistic = Logistic::<_, Fused>::new(data.features(), 3).unwrap();
    both(
        &logistic,
        &[12],
        index("label", 12, 12),
        &["label 12", "12"],
    );

    let mut labels = data.labels.clone();
    labels[5] = 3;
    let wrong = Features {
        labels: &labels,
        ..data.features()
    };
    let mlp = Mlp::<_, Fused>::new(wrong, WIDTHS, 4).unwrap();
    both(&mlp, &[4, 5], index("class", 3, 3), &["class 3", "3"]);
    let logistic = Logistic::<_, Fused>::new(wrong, 3).unwrap();
    both(&logistic, &[4, 5], index("class", 3, 3), &["class 3", "3"]);

    let pixels = Pixels {
        bytes: &[0; 8],
        labels: &[1, 1],
        width: 4,
        chosen: &[0, 2],
        mean: 0.0,
    };
    let mut x = [0.0f32; 4];
    let gather = |i, x: &mut [f32]| pixels.gather::<Fused, f32>(&[i], x);
    gather(0, &mut x).unwrap();
    refused(gather(1, &mut x), index("example", 2, 2), &["example 2"]);
    refused(gather(2, &mut x), index("example", 2, 2), &["example 2"]);
    refused(pixels.label(1), index("label", 2, 2), &["label 2"]);
    wrong_length(gather(0, &mut x[..3]), "x", 4, 3);
}

// --------------------------------------------------------------------- trainings that go astray

/// Trains and sweeps the quadratic from `w0` at a constant rate and momentum.
fn bowl(
    h: [f32; 4],
    w0: [f32; 4],
    rate: f32,
    steps: usize,
    path: &mut dyn Path<Plain, f32>,
) -> (Vec<f32>, Result<(), Error>) {
    let bowl = Quadratic::<Plain>::new(CURVATURE);
    let problem = InnerProblem {
        objective: &bowl,
        h: &h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: FLAT,
            rates: &[rate],
            momenta: &[0.0],
        },
        batches: ONE,
        steps,
    };
    let mut buffer =
        vec![0.0f32; Workspace::<f32>::required_len(4, 100, Optimizer::HeavyBall, false)];
    let mut workspace = Workspace::new(&mut buffer, 4, Optimizer::HeavyBall, false).unwrap();
    let mut losses = vec![];
    let done = problem.train(&&w0[..], path, &mut workspace, &mut [0], &mut |_, loss| {
        losses.push(loss);
    });
    (losses, done)
}

#[test]
fn a_diverging_training_stops_at_the_step_of_its_first_infinite_loss() {
    let (rate, steps) = (1e3, 50);
    let w0 = [1.0f32; 4];
    // The same in one line: without momentum a weight is multiplied by 1 - rate a.
    let first = (0..steps)
        .find(|t| {
            let loss =
                |a: f32| 0.5 * a * ((1.0 - f64::from(rate * a)).powi(*t as i32) as f32).powi(2);
            !CURVATURE.iter().map(|a| loss(*a)).sum::<f32>().is_finite()
        })
        .unwrap();
    let mut line = Line::new(&w0[..], steps);
    let (losses, done) = bowl([0.0; 4], w0, rate, steps, &mut line);
    let want = Error::Diverged {
        what: "training loss",
        step: first,
    };
    refused(done, want, &["training loss", &format!("step {first}")]);
    assert_eq!(losses.len(), first);
    assert!(losses.iter().all(|loss| loss.is_finite()));

    // Stopped one step earlier every loss is finite, and the weights are what is refused or not.
    let (losses, done) = bowl([0.0; 4], w0, rate, first, &mut line);
    assert_eq!(losses.len(), first);
    done.unwrap();
}

#[test]
fn weights_that_are_infinite_after_the_last_step_are_refused() {
    let w0 = [0.4f32; 4];
    let mut line = Line::new(&w0[..], 1);
    let (_, done) = bowl([0.0; 4], w0, f32::MAX, 1, &mut line);
    done.unwrap();
    let (losses, done) = bowl([0.0; 4], [9.0; 4], f32::MAX, 1, &mut line);
    assert_eq!(losses.len(), 1);
    assert_eq!(not_finite(done, "weights"), 1);
}

/// A small network trained at `rate`, with a path of hats so that they see whatever comes.
fn network(rate: f32, scale: f32) -> Result<Answer<f32>, Error> {
    let data = Data::small();
    let net = Mlp::<_, Fused>::new(data.features(), WIDTHS, 4).unwrap();
    let steps = 40;
    let problem = InnerProblem {
        objective: &net,
        h: &[],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(74),
            rates: &[rate],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 1,
            examples: 8,
            size: 4,
        },
        steps,
    };
    let knots = Grid {
        steps,
        intervals: 4,
        spacing: 1.5,
    };
    let w0 = Noise(100).f32s(74, scale);
    let mut storage = vec![0; Quantised::<15>::required_len(74, 4)];
    let rows = Quantised::<15>::new(74, 4, &mut storage).unwrap();
    let mut factors = [0.0; 5];
    let mut hats = Hats::new(74, knots, &w0[..], rows, &mut factors).unwrap();
    let validation = Validation {
        objective: &net,
        examples: &[8, 9, 10, 11],
    };
    hypergradient(&problem, &validation, &&w0[..], &mut hats, false)
}

#[test]
fn a_network_never_returns_numbers_that_are_not_finite_however_it_is_trained() {
    let (mut fine, mut refused) = (0, 0);
    for rate in [0.1, 10.0, 1e5, 1e10, 1e20, 1e30, 1e38, -1.0, -1e30] {
        for scale in [1.0, 1e10, 1e20, 1e38] {
            match network(rate, scale) {
                Ok(answer) => {
                    fine += 1;
                    let all = [&answer.losses, &answer.w, &answer.d_w0];
                    let finite = all.iter().all(|x| x.iter().all(|x| x.is_finite()));
                    assert!(finite && answer.valid_loss.is_finite(), "{rate} {scale}");
                }
                Err(Error::Diverged { step, .. }) => {
                    refused += 1;
                    assert!(step <= 40);
                }
                Err(other) => panic!("{rate} {scale}: {other}"),
            }
        }
    }
    assert!(fine > 0 && refused > 0, "{fine} fine, {refused} refused");
}

/// `sum w`: a loss with a gradient everywhere.
struct Slope;

impl Objective for Slope {
    type Arithmetic = Plain;
    fn weights(&self) -> usize {
        4
    }
    fn hypers(&self) -> usize {
        4
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        g.fill(S::ONE);
        if let Some(d_h) = d_h {
            d_h.fill(S::ZERO);
        }
        Ok(at.w.iter().fold(S::ZERO, |sum, w| sum + *w))
    }
}

#[test]
fn an_exploding_adjoint_is_refused_with_its_step_though_training_stands_still() {
    // At the minimum nothing moves; the adjoint is multiplied by 1 - rate a = -1999 a step.
    let minimum = [0.5f32; 4];
    let (rate, steps) = (1e3f32, 30);
    let exploded = (1..).find(|n| !1999.0f32.powi(*n).is_finite()).unwrap() as usize;
    let bowl = Quadratic::<Plain>::new(CURVATURE);
    let problem = InnerProblem {
        objective: &bowl,
        h: &minimum,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: FLAT,
            rates: &[rate],
            momenta: &[0.0],
        },
        batches: ONE,
        steps,
    };
    let validation = Validation {
        objective: &Slope,
        examples: &[],
    };
    let mut line = Line::new(&minimum[..], steps);
    let answer = hypergradient(&problem, &validation, &&minimum[..], &mut line, false);
    let step = steps - exploded;
    let want = Error::Diverged {
        what: "adjoint of the weights",
        step,
    };
    refused(answer, want, &["adjoint", &format!("step {step}")]);
}

/// `f32::MAX` times the weights, twice over: its value is infinite.
struct Cliff;

impl Objective for Cliff {
    type Arithmetic = Fused;
    fn weights(&self) -> usize {
        4
    }
    fn hypers(&self) -> usize {
        4
    }
    fn gradient<S: Scalar>(
        &self,
        _at: At<'_, S>,
        g: &mut [S],
        _d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        g.fill(S::ONE);
        Ok(S::from_f32(f32::MAX) * S::from_f32(2.0))
    }
}

#[test]
fn an_infinite_validation_loss_is_refused() {
    let bowl = Quadratic::new(CURVATURE);
    let validation = Validation {
        objective: &Cliff,
        examples: &[],
    };
    let w0 = [0.0f32; 4];
    let mut line = Line::new(&w0[..], 10);
    let answer = hypergradient(&run(&bowl), &validation, &&w0[..], &mut line, false);
    assert_eq!(not_finite(answer, "validation loss"), 10);
}

#[test]
fn hypergradients_of_the_schedule_that_are_not_finite_are_refused() {
    // The line divides its chord by each step's rate: by 1e-45 it is infinite.
    let bowl = Quadratic::new(CURVATURE);
    let mut rates = [0.1f32; 10];
    rates[4] = f32::from_bits(1);
    let mut problem = run(&bowl);
    problem.schedule.rates = &rates;
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let w0 = [3.0f32; 4];
    let mut line = Line::new(&w0[..], 10);
    let answer = hypergradient(&problem, &validation, &&w0[..], &mut line, true);
    not_finite(answer, "hypergradient");
}

// --------------------------------------------------------------------------------------- paths

fn knots(steps: usize, intervals: usize, spacing: f32) -> Result<(), Error> {
    let knots = Grid {
        steps,
        intervals,
        spacing,
    };
    let mut storage = vec![0.0; 1000];
    let rows = Full::new(4, intervals, &mut storage).unwrap();
    let mut factors = vec![0.0; intervals + 1];
    let initial = [0.0f32; 4];
    Hats::new(4, knots, &initial[..], rows, &mut factors).map(|_| ())
}

#[test]
fn knots_out_of_range_are_refused() {
    knots(10, 10, 1.5).unwrap();
    refused(knots(0, 1, 1.5), Error::NoSteps, &[]);
    let what = "number of knots' intervals";
    for intervals in [0, 11] {
        let want = Error::Range {
            what,
            value: intervals as f64,
            least: 1.0,
            greatest: 10.0,
        };
        refused(
            knots(10, intervals, 1.5),
            want,
            &[&intervals.to_string(), "1 ..= 10"],
        );
    }
    for spacing in [0.0f32, 0.05, 10.5, -1.0, f32::INFINITY] {
        let want = Error::Range {
            what: "spacing",
            value: f64::from(spacing),
            least: 0.1,
            greatest: 10.0,
        };
        refused(knots(10, 2, spacing), want, &["spacing", "0.1 ..= 10"]);
    }
    assert!(knots(10, 2, f32::NAN).is_err());
}

#[test]
fn paths_refuse_storage_that_is_too_short() {
    let mut storage = vec![0.0f32; 39];
    wrong_length(
        Tape::new(4, 10, 0, &mut storage).map(|_| ()),
        "storage of the tape",
        40,
        39,
    );
    wrong_length(
        Tape::new(4, 5, 1, &mut storage).map(|_| ()),
        "storage of the tape",
        40,
        39,
    );
    Tape::new(3, 13, 0, &mut storage).unwrap();
    let hats = "storage of the rows";
    wrong_length(Full::new(4, 10, &mut storage).map(|_| ()), hats, 40, 39);
    let mut words = vec![0; 175];
    let rows = Quantised::<15>::new(100, 8, &mut words).map(|_| ());
    wrong_length(rows, hats, 176, 175);
    let rows = Full::new(4, 8, &mut storage).unwrap();
    let (initial, mut factors) = ([0.0f32; 4], vec![0.0; 8]);
    let knots = Grid {
        steps: 10,
        intervals: 8,
        spacing: 1.0,
    };
    let hats = Hats::new(4, knots, &initial[..], rows, &mut factors);
    wrong_length(hats.map(|_| ()), "factors", 9, 8);
}

/// What a path says to being told steps in this order.
fn told(path: &mut dyn Path<Plain, f32>, steps: &[usize], finish: bool) -> Result<(), Error> {
    let (w, v) = ([0.0f32; 4], [0.0f32; 4]);
    let (mut a, mut b) = ([0.0f32; 4], [0.0f32; 4]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    for t in steps {
        path.record(*t, &w, &v, spare.again())?;
    }
    if finish {
        path.finish(&w, &v, spare)?;
    }
    Ok(())
}

fn order<T: std::fmt::Debug>(result: Result<T, Error>, want: usize, got: usize) {
    let words = [&*format!("step {got}"), &*format!("step {want} was due")];
    refused(result, Error::Order { want, got }, &words);
}

#[test]
fn steps_recorded_out_of_order_are_refused() {
    let mut storage = vec![0.0f32; 40];
    let mut tape = Tape::new(4, 10, 0, &mut storage).unwrap();
    order(told(&mut tape, &[0, 1, 3], false), 2, 3);
    order(told(&mut tape, &[0, 1, 1], false), 2, 1);
    let beyond: Vec<usize> = (0..11).collect();
    let index = Error::Index {
        what: "step of the tape",
        index: 10,
        len: 10,
    };
    refused(told(&mut tape, &beyond, false), index, &["10"]);

    let initial = [0.0f32; 4];
    let mut factors = [0.0f32; 3];
    let mut storage = vec![0.0f32; 100];
    let rows = Full::new(4, 2, &mut storage).unwrap();
    let knots = Grid {
        steps: 10,
        intervals: 2,
        spacing: 1.0,
    };
    let mut hats = Hats::new(4, knots, &initial[..], rows, &mut factors).unwrap();
    order(told(&mut hats, &[0, 1, 3], false), 2, 3);
    order(told(&mut hats, &[0, 1, 1], false), 2, 1);
    order(told(&mut hats, &[0, 1, 2], true), 3, 10);
    let index = Error::Index {
        what: "step of the hats",
        index: 10,
        len: 10,
    };
    refused(told(&mut hats, &beyond, false), index, &["10"]);
}

#[test]
fn hats_recalled_out_of_order_are_refused() {
    let initial = [0.0f32; 4];
    let mut factors = [0.0f32; 3];
    let mut storage = vec![0.0f32; 100];
    let rows = Full::new(4, 2, &mut storage).unwrap();
    let knots = Grid {
        steps: 10,
        intervals: 2,
        spacing: 1.0,
    };
    let mut hats = Hats::new(4, knots, &initial[..], rows, &mut factors).unwrap();
    let path: &mut dyn Path<Plain, f32> = &mut hats;
    let all: Vec<usize> = (0..10).collect();
    told(path, &all, true).unwrap();
    let (mut a, mut b, mut w) = ([0.0f32; 4], [0.0f32; 4], [0.0f32; 4]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    path.open(&[0.0; 4], spare.again()).unwrap();
    let mut recall = |t| path.recall(t, &mut w, None, &mut NoTraining(4), spare.again());
    recall(9).unwrap();
    recall(4).unwrap();
    // Grid are at 0, 5 and 10: the interval after 5 is gone.
    order(recall(5), 4, 5);
}

#[test]
fn a_tape_refuses_to_recall_a_step_that_it_has_not_seen() {
    let mut storage = vec![0.0f32; 40];
    let mut tape = Tape::new(4, 10, 0, &mut storage).unwrap();
    let path: &mut dyn Path<Plain, f32> = &mut tape;
    told(path, &[0, 1, 2], false).unwrap();
    let (mut a, mut b, mut w) = ([0.0f32; 4], [0.0f32; 4], [0.0f32; 4]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    let mut recall = |t| path.recall(t, &mut w, None, &mut NoTraining(4), spare.again());
    recall(2).unwrap();
    let index = |index| Error::Index {
        what: "step of the tape",
        index,
        len: 3,
    };
    refused(recall(3), index(3), &["3"]);
    refused(recall(99), index(99), &["99"]);
    refused(
        recall(usize::MAX),
        index(usize::MAX),
        &[&usize::MAX.to_string()],
    );
}

#[test]
fn a_path_made_for_another_number_of_steps_is_refused() {
    let bowl = Quadratic::new(CURVATURE);
    let problem = run(&bowl);
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let w0 = [0.0f32; 4];
    let with = |path: &mut dyn Path<Fused, f32>| {
        hypergradient(&problem, &validation, &&w0[..], path, false).map(|_| ())
    };
    with(&mut Line::new(&w0[..], 10)).unwrap();
    for trained in [9, 11] {
        let what = "steps of the path's plan";
        wrong_length(with(&mut Line::new(&w0[..], trained)), what, 10, trained);
        let plan = Plan::published(10 * trained);
        wrong_length(
            with(&mut Line::new(&w0[..], 10).with(plan)),
            what,
            10,
            10 * trained,
        );
        let knots = Grid {
            steps: trained,
            intervals: 2,
            spacing: 1.0,
        };
        let mut storage = vec![0.0f32; 12];
        let rows = Full::new(4, 2, &mut storage).unwrap();
        let mut factors = [0.0; 3];
        let mut hats = Hats::new(4, knots, &w0[..], rows, &mut factors).unwrap();
        assert!(with(&mut hats).is_err());
    }
    let mut storage = vec![0.0f32; 36];
    let mut tape = Tape::new(4, 9, 0, &mut storage).unwrap();
    assert!(with(&mut tape).is_err());
}

#[test]
fn a_plan_beyond_the_training_is_refused() {
    use drmad::path::Replayed;
    let bowl = Quadratic::new(CURVATURE);
    let problem = run(&bowl);
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let w0 = [0.0f32; 4];
    for steps in [0, 11] {
        let plan = Plan {
            steps,
            trained: 10,
            batches: Replayed::First,
            rate_scale: 1.0,
        };
        let mut line = Line::new(&w0[..], 10).with(plan);
        let answer = hypergradient(&problem, &validation, &&w0[..], &mut line, false);
        let want = Error::Range {
            what: "steps back",
            value: steps as f64,
            least: 1.0,
            greatest: 10.0,
        };
        refused(answer, want, &[&steps.to_string(), "10"]);
        let _ = plan.step(3);
    }
}

// -------------------------------------------------------------------------------------- outside

#[test]
fn outer_optimizers_refuse_what_is_not_finite_and_change_nothing() {
    let (mut m, mut v) = ([0.0f32; 3], [0.0f32; 3]);
    {
        let mut adam = Adam::new(0.1, &mut m, &mut v).unwrap();
        adam.step(&mut [0.0; 3], &[1.0, -2.0, 3.0]).unwrap();
        assert_eq!(adam.taken, 1);
    }
    let state = (m, v);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let d_h = [1.0, bad, 1.0];
        let mut h = [0.1f32, 0.2, 0.3];
        let mut adam = Adam::new(0.1, &mut m, &mut v).unwrap();
        adam.taken = 1;
        assert_eq!(not_finite(adam.step(&mut h, &d_h), "hypergradient"), 1);
        assert_eq!(adam.taken, 1);
        not_finite(Sgd { rate: 0.1 }.step(&mut h, &d_h), "hypergradient");
        not_finite(Sign { rate: 0.1 }.step(&mut h, &d_h), "hypergradient");
        assert_eq!(h, [0.1, 0.2, 0.3]);
        assert_eq!((m, v), state);
    }
}

#[test]
fn outer_optimizers_refuse_vectors_of_another_length_and_change_nothing() {
    let mut h = [0.5f32; 3];
    wrong_length(
        Sgd { rate: 0.1 }.step(&mut h, &[1.0; 2]),
        "hypergradient",
        3,
        2,
    );
    wrong_length(
        Sign { rate: 0.1 }.step(&mut h, &[1.0; 4]),
        "hypergradient",
        3,
        4,
    );
    let (mut m, mut v) = ([0.0f32; 2], [0.0f32; 2]);
    let mut adam = Adam::new(0.1, &mut m, &mut v).unwrap();
    wrong_length(adam.step(&mut h, &[1.0; 3]), "moments", 3, 2);
    assert_eq!(h, [0.5; 3]);
    assert_eq!((m, v), ([0.0; 2], [0.0; 2]));
    wrong_length(
        Adam::new(0.1, &mut m, &mut v[..1]).map(|_| ()),
        "second moment",
        2,
        1,
    );
}

#[test]
fn random_numbers_and_groups_refuse_buffers_of_another_length() {
    let batches = Batches {
        seed: 1,
        examples: 10,
        size: 3,
    };
    wrong_length(batches.fill(0, &mut [0; 4]), "batch", 3, 4);
    wrong_length(random::choose(1, &mut [0; 3], &mut [0; 4]), "pool", 4, 3);
    let normal = Normal {
        seed: 1,
        groups: FLAT,
        log_scales: &[0.0f32],
    };
    let x = [0.0f32; 4];
    wrong_length(normal.adjoint(&x[..3], &x, &mut [0.0]), "w0", 4, 3);
    wrong_length(normal.adjoint(&x, &x[..2], &mut [0.0]), "d_w", 4, 2);
    wrong_length(normal.adjoint(&x, &x, &mut [0.0; 2]), "d_log_scales", 1, 2);
    wrong_length(FLAT.map(&mut [0; 5]), "map", 4, 5);
}

#[test]
fn a_vector_level_that_is_lacking_is_refused() {
    let error = Error::Level {
        wanted: "avx512",
        widest: "baseline",
    };
    let message = error.to_string();
    assert!(
        message.contains("avx512") && message.contains("baseline"),
        "{message}"
    );
    for level in Level::ALL {
        if !level.is_available() {
            let want = Error::Level {
                wanted: level.name(),
                widest: Level::widest().name(),
            };
            refused(dispatch::force(level), want, &[level.name()]);
        }
    }
}

/// Hats of a training of the quadratic, with rows for `K` intervals and initial weights of `weights`.
fn hats_with(rows: usize, weights: usize) -> Result<(), Error> {
    let knots = Grid {
        steps: 10,
        intervals: 4,
        spacing: 1.5,
    };
    let mut storage = vec![0.0; 1000];
    let rows = Full::new(4, rows, &mut storage)?;
    let mut factors = [0.0; 5];
    let initial = vec![0.0f32; weights];
    Hats::new(4, knots, &initial[..], rows, &mut factors).map(|_| ())
}

#[test]
fn rows_and_origins_made_for_others_are_refused() {
    hats_with(4, 4).unwrap();
    wrong_length(hats_with(3, 4), "storage of the rows", 16, 12);
    wrong_length(hats_with(4, 3), "initial weights", 4, 3);
}

#[test]
fn a_fit_that_was_never_finished_is_not_swept() {
    let knots = Grid {
        steps: 10,
        intervals: 4,
        spacing: 1.5,
    };
    let mut storage = [0.0; 20];
    let rows = Full::new(4, 4, &mut storage).unwrap();
    let (mut factors, initial) = ([0.0; 5], [0.0f32; 4]);
    let mut hats = Hats::new(4, knots, &initial[..], rows, &mut factors).unwrap();
    let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
    let spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    let want = Error::Order { want: 0, got: 10 };
    let open = Path::<Fused, f32>::open(&mut hats, &initial, spare);
    refused(open, want, &["step 10", "step 0"]);
}

#[test]
fn a_validation_loss_of_other_hyperparameters_is_refused() {
    let data = Data::small();
    let mlp = || Mlp::<_, Fused>::new(data.features(), WIDTHS, 4).unwrap();
    let groups = Groups::global(mlp().weights());
    let scaled = Scaled {
        inner: mlp(),
        groups,
    };
    let problem = InnerProblem {
        objective: &scaled,
        h: &[0.1f32],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups,
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 0,
            examples: 12,
            size: 4,
        },
        steps: 3,
    };
    let bare = mlp();
    let validation = Validation {
        objective: &bare,
        examples: &[0, 1],
    };
    let w0 = vec![0.1f32; bare.weights()];
    let mut line = Line::new(&w0[..], 3);
    let answer = hypergradient(&problem, &validation, &&w0[..], &mut line, false);
    wrong_length(answer, "hyperparameters of the validation loss", 1, 0);
    let short = &w0[1..];
    let answer = hypergradient(&problem, &validation, &short, &mut line, false);
    let got = short.len();
    wrong_length(answer, "initial weights", got + 1, got);
}

#[test]
fn numbers_of_any_size_are_taken_without_overflow() {
    const MOST: usize = usize::MAX;
    let adam = |t| adam::Step::new(t, 0.1f32, 0.9, 0.999, 1e-8, 0.0).unwrap();
    assert_eq!(adam(u32::MAX as usize), adam(u32::MAX as usize - 1));
    adam(MOST);
    assert_eq!(Tape::<f32>::required_len(2, 3, MOST), MOST);
    assert!(Tape::<f32>::new(0, 3, MOST, &mut []).is_ok());
    let plan = Plan {
        steps: MOST,
        ..Plan::every(MOST)
    };
    assert_eq!(plan.step(MOST - 1), MOST - 1);
    let bits = Bits {
        weight: 1 << 31,
        velocity: u32::MAX,
    };
    let _ = (bits.greatest_weight(), bits.greatest_velocity());
    let _ = Turn::new(Ratio::nearest(0.5).unwrap(), 0.1, bits);

    let groups = Groups {
        layout: Layout::Layers(&[MOST, MOST, MOST]),
        by: Granularity::Parameter,
        biases: true,
    };
    assert_eq!((groups.weights(), groups.len()), (MOST, MOST));
    assert_eq!(groups.blocks().last().unwrap().of(&[1.0]), [0.0; 0]);
    let (rates, momenta, optimizer) = (&[0.1f32; 2][..], &[0.5][..], Optimizer::HeavyBall);
    let schedule = Schedule {
        groups: Groups::global(1),
        optimizer,
        rates,
        momenta,
    };
    assert_eq!(schedule.step(MOST, 0).rate, 0.0);
    let wide = Features {
        x: &[],
        labels: &[0],
        width: MOST,
    };
    let logistic = Logistic::<_, Fused>::new(wide, 2).unwrap();
    assert_eq!(logistic.second_order_scratch_len(), MOST);
    assert_eq!(logistic.loss_scratch_len(), MOST);
    let flat = Groups {
        layout: Layout::Flat(MOST),
        by: Granularity::Parameter,
        biases: true,
    };
    let bowl = Quadratic::<Fused>::new(&[1.0, 2.0]);
    let held = L2::new(bowl, Strength::Tuned(flat));
    assert_eq!(
        [
            held.hypers(),
            held.scratch_len(),
            check::required_len(&held)
        ],
        [MOST; 3]
    );
    let scaled = Scaled {
        inner: logistic,
        groups: flat,
    };
    assert_eq!(scaled.hypers(), MOST);
    assert_eq!(
        [scaled.scratch_len(), scaled.tangents_scratch_len(MOST)],
        [MOST; 2]
    );
    assert_eq!(drmad::implicit::scratch_len(&scaled, &scaled), MOST);
    assert_eq!(drmad::forward::scratch_len(&scaled, &scaled, 2), MOST);
    let learned = LearnedInputs { inner: wide };
    let h = [];
    assert!(
        learned
            .inputs_at::<Fused, f32>(&h, &[0, 0], &mut [])
            .is_err()
    );
}
