//! The golden bits, on every vector level: every kernel and some whole runs in full ([`vectors`]), and
//! here the hashes of more trainings and sweeps than anyone would port.
//!
//! A changed bit is a breaking change. `golden/vectors/` is for other implementations: what goes in and
//! what comes out (`docs/porting.md`).

#[path = "../common/mod.rs"]
mod common;
#[path = "../../host-tests/src/tolerances.rs"]
#[allow(dead_code, unreachable_pub)] // the table of all tests
mod tolerances;
mod vectors;

use std::path::PathBuf;

use common::{Answer, Data, Noise, WIDTHS, bits, hypergradient, on_every_level};
use drmad::forward::{self, Forward, Wrt};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Workspace};
use drmad::implicit::{self, Implicit, Solver};
use drmad::models::{Features, LearnedInputs, Logistic, Mlp, SoftLabels, Weighted};
use drmad::objective::Objective;
use drmad::outer::Parametrisation;
use drmad::path::{
    Checkpoints, Grid, Hats, Knots, Legendre, Line, Mark, Path, Quantised, Reversed, Reversible,
    Tail, Tape, Truncated,
};
use drmad::random::{Batches, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{Coupled, Coupling, L2, Scaled, Strength, Tasks};
use drmad::{Arithmetic, Fused, Plain};

const HEADER: &str = "\
# One result a line: name, arithmetic (plain, fused, or any where none is used), then its f32 bits
# as u32 words in hex, or for more than 16 of them fnv1a64:count:hash, the 64-bit FNV-1a hash of
# the words' bytes, each word's lowest byte first.
";

/// 64-bit FNV-1a.
fn fnv1a64(words: &[u32]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The lines of a golden file.
struct Lines(Vec<String>);

impl Lines {
    fn words(&mut self, name: &str, arithmetic: &str, words: &[u32]) {
        let result = if words.len() <= 16 {
            let hex: Vec<String> = words.iter().map(|word| format!("{word:08x}")).collect();
            hex.join(" ")
        } else {
            format!("fnv1a64:{}:{:016x}", words.len(), fnv1a64(words))
        };
        self.0.push(format!("{name} {arithmetic} {result}"));
    }

    fn numbers(&mut self, name: &str, arithmetic: &str, x: &[f32]) {
        assert!(
            x.iter().all(|x| !x.is_nan()),
            "{name}: which NaN is not promised"
        );
        self.words(name, arithmetic, &bits(x));
    }
}

const STEPS: usize = 20;
const P: usize = 74;
const LAYOUT: Layout<'static> = Layout::Layers(WIDTHS);
const TENSORS: Groups<'static> = Groups {
    layout: LAYOUT,
    by: Granularity::Tensor,
    biases: true,
};
const UNITS: Groups<'static> = Groups {
    layout: LAYOUT,
    by: Granularity::Unit,
    biases: false,
};
const ORIGIN: Normal<'static, f32> = Normal {
    seed: 4,
    groups: TENSORS,
    log_scales: &[-0.5; 6],
};
const VALID: &[u32] = &[8, 9, 10, 11];
const BATCHES: Batches = Batches {
    seed: 3,
    examples: 8,
    size: 5,
};

/// A training with scales by unit and penalties and rates by tensor.
struct Small {
    data: Data,
    h: Vec<f32>,
    rates: Vec<f32>,
}

type Penalised<'a, A> = L2<'a, Scaled<'a, Mlp<'a, Features<'a>, A>>>;

impl Small {
    fn new<A: Arithmetic>() -> Small {
        let mut noise = Noise(210);
        let mut h = [
            noise.f32s(15, 0.3),
            noise.f32s(6, 1.0).iter().map(|x| x - 5.0).collect(),
        ]
        .concat();
        Parametrisation::Log.value::<A, _>(&mut h);
        Small {
            data: Data::small(),
            h,
            rates: noise.f32s(STEPS * 6, 0.2).iter().map(|x| 0.5 + x).collect(),
        }
    }

    fn objective<'a, A: Arithmetic>(&'a self, strength: Strength<'a>) -> Penalised<'a, A> {
        let inner = Mlp::new(self.data.features(), WIDTHS, 4).unwrap();
        let groups = UNITS;
        L2::new(Scaled { inner, groups }, strength)
    }

    fn run<'a, O: Objective>(
        &'a self,
        objective: &'a O,
        optimizer: Optimizer,
        momenta: &'a [f32],
    ) -> InnerProblem<'a, O::Arithmetic, f32> {
        InnerProblem {
            objective,
            h: &self.h,
            schedule: Schedule {
                optimizer,
                groups: TENSORS,
                rates: &self.rates,
                momenta,
            },
            batches: BATCHES,
            steps: STEPS,
        }
    }

    fn answer<A: Arithmetic>(
        &self,
        optimizer: Optimizer,
        momenta: &[f32],
        path: &mut dyn Path<A, f32>,
    ) -> Answer<f32> {
        let training = self.objective::<A>(Strength::Tuned(TENSORS));
        let objective = &self.objective::<A>(Strength::Off(TENSORS));
        let validation = Validation {
            objective,
            examples: VALID,
        };
        let problem = self.run(&training, optimizer, momenta);
        hypergradient(&problem, &validation, &ORIGIN, path, true).unwrap()
    }
}

/// The lines of a sweep; those of its training too where `whole` says so.
fn answer<A: Arithmetic>(lines: &mut Lines, name: &str, answer: &Answer<f32>, whole: bool) {
    let mut put = |what: &str, x: &[f32]| lines.numbers(&format!("{name}_{what}"), A::NAME, x);
    if whole {
        put("losses", &answer.losses);
        put("w_T", &answer.w);
        put("valid_loss", &[answer.valid_loss]);
    }
    put("d_h", &answer.d_h);
    put("d_w_0", &answer.d_w0);
    put("d_rates", &answer.d_rates);
    put("d_momenta", &answer.d_momenta);
}

fn tape(steps: usize, slots: usize) -> Tape<'static, f32> {
    let storage = vec![0.0; Tape::<f32>::required_len(P, steps, slots)];
    Tape::new(P, steps, slots, storage.leak()).unwrap()
}

fn hats<A: Arithmetic>(steps: usize) -> impl Path<A, f32> {
    let knots = Grid {
        steps,
        intervals: 4,
        spacing: Grid::SPACING,
    };
    let storage = vec![0; Quantised::<11>::required_len(P, 4)].leak();
    let rows = Quantised::<11>::new(P, 4, storage).unwrap();
    Hats::new(P, knots, ORIGIN, rows, vec![0.0; 5].leak()).unwrap()
}

const MOMENTA: &[f32] = &[0.5, 0.6, 0.7, 0.8, 0.9, 0.0];

fn sweeps<A: Arithmetic>(lines: &mut Lines) {
    let small = Small::new::<A>();
    let mut put = |name: &str, path: &mut dyn Path<A, f32>| {
        let got = small.answer::<A>(Optimizer::HeavyBall, MOMENTA, path);
        answer::<A>(lines, name, &got, name == "tape");
    };
    put("tape", &mut tape(STEPS, 1));
    put("line", &mut Line::new(ORIGIN, STEPS));
    put("hats_11_levels", &mut hats::<A>(STEPS));
}

fn rows(count: usize) -> Quantised<'static, 255> {
    let storage = vec![0; Quantised::<255>::required_len(P, count)];
    Quantised::new(P, count, storage.leak()).unwrap()
}

/// Momenta that a reversal can undo.
const HIGH: &[f32] = &[0.8, 0.85, 0.9, 0.95, 0.875, 0.9];

fn other_paths<A: Arithmetic>(lines: &mut Lines) {
    let small = Small::new::<A>();
    let sweep = |momenta, path: &mut dyn Path<A, f32>| {
        small.answer::<A>(Optimizer::HeavyBall, momenta, path)
    };
    let mut put = |name: &str, path: &mut dyn Path<A, f32>| {
        let whole = name == "reversible";
        answer::<A>(lines, name, &sweep(HIGH, path), whole);
    };
    let storage = vec![0; Reversible::required_len(P, STEPS, 0.8)].leak();
    let mut reversible = Reversible::new(P, STEPS, 0.8, storage).unwrap();
    put("reversible", &mut reversible);
    put("reversed", &mut Reversed);
    let mut tail = Tail::new(hats::<A>(STEPS - 8), STEPS, 8).unwrap();
    put("hats_11_levels_tail", &mut tail);
    let mut last = Truncated::new(tape(8, 1), STEPS, 8).unwrap();
    put("last_steps", &mut last);
    let mut knots = Knots::new(P, 4, ORIGIN, rows(4)).unwrap();
    put("knots_255_levels", &mut knots);
    let mut cubics = Knots::<f32, _, _>::hermite(P, 4, ORIGIN, rows(4), rows(5)).unwrap();
    put("hermite_255_levels", &mut cubics);
    let mut storage = vec![0.0; Legendre::<f32>::required_len(P, 5)];
    let mut legendre = Legendre::new(P, STEPS, 5, &mut storage).unwrap();
    put("legendre", &mut legendre);

    let mut storage = vec![0.0; Checkpoints::<f32>::required_len(P, 4, 1)];
    let mut marks = [Mark::default(); 4];
    let mut few = Checkpoints::new(P, STEPS, 1, &mut storage, &mut marks).unwrap();
    let few = sweep(MOMENTA, &mut few);
    assert_eq!(few, sweep(MOMENTA, &mut tape(STEPS, 1)));
    answer::<A>(lines, "checkpoints", &few, false);
}

fn other_rules<A: Arithmetic>(lines: &mut Lines) {
    let mut small = Small::new::<A>();
    let got = small.answer::<A>(Optimizer::Nesterov, MOMENTA, &mut tape(STEPS, 1));
    answer::<A>(lines, "nesterov", &got, true);
    let decaying = Optimizer::Adam {
        b2: 0.99,
        eps: 1e-4,
        decay: 0.1,
    };
    small.rates.iter_mut().for_each(|rate| *rate *= 0.0625);
    let got = small.answer::<A>(decaying, MOMENTA, &mut tape(STEPS, 2));
    answer::<A>(lines, "adam", &got, true);
}

fn other_methods<A: Arithmetic>(lines: &mut Lines) {
    let small = Small::new::<A>();
    let training = small.objective::<A>(Strength::Tuned(TENSORS));
    let objective = &small.objective::<A>(Strength::Off(TENSORS));
    let validation = Validation {
        objective,
        examples: VALID,
    };
    let (optimizer, p) = (Optimizer::HeavyBall, P);
    let problem = small.run(&training, optimizer, MOMENTA);
    let mut batch = [0; 5];

    let wrt = [
        Wrt::Hyper(0),
        Wrt::Hyper(20),
        Wrt::Rate(7),
        Wrt::Rate(115),
        Wrt::Momentum(2),
    ];
    let scratch = forward::scratch_len(&training, objective, wrt.len());
    let len = Forward::<f32>::required_len(p, small.h.len(), optimizer, wrt.len(), scratch);
    let mut buffer = vec![0.0; len];
    let mut tangents = Forward::new(&mut buffer, &problem, &wrt).unwrap();
    tangents.start(&ORIGIN).unwrap();
    problem
        .forward(0..STEPS, &mut tangents, &mut batch, &mut |_, _| ())
        .unwrap();
    let mut d = [0.0; 5];
    problem
        .hypergradient(&validation, &mut tangents, &mut d)
        .unwrap();
    lines.numbers("forward_d", A::NAME, &d);

    let scratch = implicit::scratch_len(&training, objective);
    let mut buffer = vec![0.0; Workspace::<f32>::required_len(p, scratch, optimizer, false)];
    let mut workspace = Workspace::new(&mut buffer, p, optimizer, false).unwrap();
    let mut line = Line::new(ORIGIN, STEPS);
    problem
        .train(
            &ORIGIN,
            &mut line,
            &mut workspace,
            &mut batch,
            &mut |_, _| (),
        )
        .unwrap();
    let settings = Implicit {
        examples: &[0, 1, 2, 3, 4, 5, 6, 7],
        solver: Solver::ConjugateGradients,
        iterations: 6,
        tolerance: 0.0,
        damping: 1.0,
    };
    let mut d_h = vec![0.0; small.h.len()];
    let solved = problem.implicit(&validation, &settings, &mut workspace, &mut d_h);
    assert_eq!(solved.unwrap().iterations, 6);
    lines.numbers("conjugate_gradients_d_h", A::NAME, &d_h);
}

/// Training on the first objective, validation on the second.
fn other_objective<A: Arithmetic, O: Objective<Arithmetic = A>>(
    lines: &mut Lines,
    name: &str,
    [training, judged]: [&O; 2],
    h: &[f32],
) {
    let p = training.weights();
    let problem = InnerProblem {
        objective: training,
        h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(p),
            rates: &[0.5],
            momenta: &[0.75],
        },
        batches: BATCHES,
        steps: STEPS,
    };
    let validation = Validation {
        objective: judged,
        examples: VALID,
    };
    let w0 = Noise(211).f32s(p, 0.5);
    let mut storage = vec![0.0; Tape::<f32>::required_len(p, STEPS, 0)];
    let mut tape = Tape::new(p, STEPS, 0, &mut storage).unwrap();
    let got = hypergradient(&problem, &validation, &&w0[..], &mut tape, false).unwrap();
    lines.numbers(&format!("{name}_w_T"), A::NAME, &got.w);
    lines.numbers(&format!("{name}_d_h"), A::NAME, &got.d_h);
}

fn other_objectives<A: Arithmetic>(lines: &mut Lines) {
    let data = Data::small();
    let inner = data.features();
    let net = |examples| Mlp::<_, A>::new(examples, WIDTHS, 4).unwrap();
    // Those of the validation, 8 and on, have hyperparameters too.
    let inner = Weighted {
        inner: SoftLabels {
            inner: LearnedInputs { inner },
            classes: WIDTHS[3],
        },
    };
    let mut noise = Noise(212);
    let positive = |x: Vec<f32>| -> Vec<f32> { x.iter().map(|x| 1.0 + x).collect() };
    let h = [
        noise.f32s(12 * 6, 1.0),
        positive(noise.f32s(12 * 3, 0.5)),
        positive(noise.f32s(12, 0.5)),
    ];
    let net = net(inner);
    other_objective::<A, _>(lines, "weighted_soft_learned", [&net, &net], &h.concat());

    let tasks = Tasks::Interleaved(3);
    let coupled = |coupling| Coupled {
        inner: Logistic::<_, A>::new(data.features(), 3).unwrap(),
        coupling,
    };
    let both = [
        &coupled(Coupling::Tuned(tasks)),
        &coupled(Coupling::Off(tasks)),
    ];
    let couplings = Noise(213).f32s(6, 0.05);
    other_objective::<A, _>(lines, "coupled", both, &couplings);
}

fn others<A: Arithmetic>(lines: &mut Lines) {
    other_paths::<A>(lines);
    other_rules::<A>(lines);
    other_methods::<A>(lines);
    other_objectives::<A>(lines);
}

fn hypergradients() -> Vec<String> {
    let mut lines = Lines(vec![]);
    sweeps::<Plain>(&mut lines);
    sweeps::<Fused>(&mut lines);
    others::<Plain>(&mut lines);
    others::<Fused>(&mut lines);
    lines.0
}

fn file(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("golden").join(name)
}

const HASHES: &str = "hypergradients.txt";

#[test]
fn every_sweep_has_its_golden_bits() {
    let text = std::fs::read_to_string(file(HASHES)).unwrap();
    let want: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    on_every_level(|level| {
        let got = hypergradients();
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "{HASHES} on {level:?}");
        }
        assert_eq!(got.len(), want.len(), "another number of results");
    });
}

#[test]
fn every_vector_has_its_golden_bits() {
    let folder = file("vectors");
    let mut there: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    on_every_level(|level| {
        let vectors = vectors::all();
        assert!(
            vectors.keys().eq(&there),
            "the files of golden/vectors are {there:?}, computed are {:?}",
            vectors.keys()
        );
        for (name, got) in &vectors {
            let want = std::fs::read_to_string(folder.join(name)).unwrap();
            for (got, want) in got.lines().zip(want.lines()) {
                assert_eq!(got, want, "{name} on {level:?}");
            }
            assert_eq!(*got, want, "{name} on {level:?}");
        }
    });
}

#[test]
fn the_hash_is_fnv_1a() {
    // The published values for no bytes and for "chongo was here!", whose length is four words.
    let bytes = b"chongo was here!";
    let words: Vec<u32> = bytes
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(fnv1a64(&[]), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a64(&words), 0x858e_2fa3_2a55_e61d);
}

#[test]
#[ignore = "writes golden files: run on purpose"]
fn write_the_golden_files() {
    let folder = file("vectors");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("{HEADER}{}\n", hypergradients().join("\n"));
    std::fs::write(file(HASHES), text).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for (name, text) in vectors::all() {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
