//! The GPU's kernels have the processor's bits: in an emulation everywhere (which needs a C++ compiler), and on
//! a GPU where there is one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use drmad::cuda::{self, Kernels, Order, Spread};
use drmad::{Arithmetic, Fused, Plain};
use drmad_host::data::Dataset;
use drmad_host::device::{Device, Job};
use drmad_host::experiment::{Counts, Experiment};
use drmad_host::inputs::Inputs;
use drmad_host::method::{Method, Name};
use drmad_host::problem::{Population, Trained};
use drmad_host::recipe;

/// Something is missing: says so, and fails where CI has installed it.
fn skipped(what: &str) {
    println!("skipped: {what}");
    assert!(std::env::var("CI_REQUIRED").as_deref() != Ok("1"), "{what}");
}

/// An emulation whose threads take turns in this order; none without a compiler.
fn emulated(order: Order) -> Option<cuda::Device> {
    match cuda::Device::emulated(order) {
        Ok(device) => Some(device),
        Err(cuda::Error::Machine { what, why }) if what.contains("compiler") => {
            skipped(&format!("install a C++ compiler ({why})"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// How launches are spread in these tests: more blocks than one, and more threads than a warp.
const SPREADS: [(Order, u32, u32); 3] = [
    (Order::Ascending, 32, 1),
    (Order::Descending, 96, 1),
    (Order::Shuffled(7), 64, 3),
];

fn devices() -> Vec<cuda::Device> {
    let devices = SPREADS.into_iter().filter_map(|(order, threads, blocks)| {
        let mut device = emulated(order)?;
        device.spread = Spread {
            threads,
            blocks: Some(blocks),
        };
        Some(device)
    });
    devices.collect()
}

fn words(hex: &str) -> Vec<u32> {
    let words = hex.split_whitespace();
    words
        .map(|word| u32::from_str_radix(word, 16).unwrap())
        .collect()
}

/// What a golden vector's file holds.
struct Vector {
    kernel: String,
    inputs: Vec<Vec<u32>>,
    /// By arithmetic: names and words.
    outputs: BTreeMap<&'static str, Vec<(String, Vec<u32>)>>,
}

fn vectors() -> Vec<(String, Vector)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/vectors");
    let mut vectors = vec![];
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut vector = Vector {
            kernel: String::new(),
            inputs: vec![],
            outputs: BTreeMap::new(),
        };
        // One entry a line, in their order, which a map would lose.
        for line in text.lines().filter(|line| line.contains(':')) {
            let parts: Vec<&str> = line.split('"').collect();
            let (key, value) = (parts[1], parts[3]);
            let (role, name) = key.split_once(' ').unwrap_or((key, ""));
            let mut put = |arithmetic: &'static str| {
                let output = (name.to_string(), words(value));
                vector.outputs.entry(arithmetic).or_default().push(output);
            };
            match role {
                "kernel" => vector.kernel = value.to_string(),
                "in" => vector.inputs.push(words(value)),
                "out" => {
                    put(Plain::NAME);
                    put(Fused::NAME);
                }
                "plain" => put(Plain::NAME),
                "fused" => put(Fused::NAME),
                role => panic!("{role}"),
            }
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        vectors.push((name, vector));
    }
    vectors.sort_by(|(a, _), (b, _)| a.cmp(b));
    vectors
}

/// Outputs that are the host's alone.
const NOT_OF_THE_DEVICE: [&str; 2] = ["f64 norm", "f64 cosine"];

fn check_kernels<A: Arithmetic>(device: &cuda::Device) -> usize {
    let mut passed = 0;
    for (name, vector) in vectors() {
        if !Kernels::ALL.contains(&vector.kernel.as_str()) {
            continue;
        }
        let expected = &vector.outputs[A::NAME];
        // Numbers that the kernel must overwrite; flags that it must leave are set.
        let mut got: Vec<Vec<u32>> = expected
            .iter()
            .map(|(name, words)| vec![u32::from(name.contains("all_finite")); words.len()])
            .collect();
        device
            .kernel::<A>(&vector.kernel, &vector.inputs, &mut got)
            .unwrap();
        for ((what, want), got) in expected.iter().zip(&got) {
            if NOT_OF_THE_DEVICE.contains(&what.as_str()) {
                continue;
            }
            let differs = got.iter().zip(want).position(|(got, want)| got != want);
            assert_eq!(differs, None, "{name}, {what}, {}", A::NAME);
            passed += 1;
        }
    }
    passed
}

#[test]
fn every_kernel_of_the_device_has_the_golden_bits() {
    for device in devices() {
        // Of every kernel there is a vector, and of none less is compared than now.
        let passed = check_kernels::<Fused>(&device) + check_kernels::<Plain>(&device);
        assert!(passed >= 150, "{passed}");
    }
}

fn data() -> &'static Dataset {
    static DATA: OnceLock<Dataset> = OnceLock::new();
    DATA.get_or_init(|| Dataset::mnist().unwrap())
}

/// An experiment small enough for an emulation, with batches that go over the end of an epoch.
fn small(name: &str) -> Experiment {
    let mut experiment = recipe::find(name).expect("there");
    experiment.layers = match experiment.layers.len() {
        2 => vec![784, 10],
        3 => vec![784, 7, 10],
        _ => vec![784, 9, 6, 10],
    };
    experiment.steps = 11;
    experiment.batch = 7;
    experiment.examples = Counts {
        train: 30,
        valid: 17,
        test: 10,
        wrong_labels: experiment.examples.wrong_labels.min(5),
        ..experiment.examples
    };
    experiment.outer.clients = None;
    experiment
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn same(what: &str, here: &Trained, there: &Trained) {
    assert_eq!(bits(&here.losses), bits(&there.losses), "{what}: losses");
    assert_eq!(bits(&here.w), bits(&there.w), "{what}: weights");
    let (Some(here), Some(there)) = (&here.back, &there.back) else {
        assert_eq!(here.back.is_some(), there.back.is_some(), "{what}");
        return;
    };
    assert_eq!(
        here.valid_loss.to_bits(),
        there.valid_loss.to_bits(),
        "{what}: validation loss"
    );
    assert_eq!(
        bits(&here.hypergradient),
        bits(&there.hypergradient),
        "{what}: hypergradient"
    );
    assert_eq!(here.products, there.products, "{what}: products");
    assert_eq!(here.gradients, there.gradients, "{what}: gradients");
}

/// Trains `draws` draws on both, and compares all bits.
fn compare<A: Arithmetic>(
    device: &Device,
    experiment: &Experiment,
    methods: &[Method],
    draws: usize,
) {
    let population = Population::new(experiment, data()).unwrap();
    let problems: Vec<_> = (0..draws)
        .map(|draw| population.draw(3, 0, draw).unwrap())
        .collect();
    let hyper = experiment.start();
    for method in methods {
        let jobs: Vec<Job<'_>> = problems
            .iter()
            .map(|problem| Job {
                problem,
                hyper: &hyper,
                method: Some(method),
            })
            .collect();
        let what = format!("{} by {}, {}", experiment.name, method.describe(), A::NAME);
        let here = Device::Cpu.train::<A>(&jobs, &|| ()).unwrap();
        let there = device.train::<A>(&jobs, &|| ());
        let there = there.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        for (here, there) in here.iter().zip(&there) {
            match (here, there) {
                (Ok(here), Ok(there)) => same(&what, here, there),
                (Err(here), Err(there)) => {
                    assert_eq!(here.to_string(), there.to_string(), "{what}");
                }
                (here, there) => {
                    panic!("{what}: {:?} and {:?}", here.is_ok(), there.as_ref().err())
                }
            }
        }
    }
}

fn methods() -> Vec<Method> {
    let of = Method::new;
    vec![
        of(Name::Tape),
        of(Name::Hats),
        Method {
            tail: Some(0),
            knots: 3,
            ..of(Name::Hats)
        },
        Method {
            levels: 0,
            tail: Some(2),
            knots: 4,
            ..of(Name::Hats)
        },
        of(Name::Line),
        of(Name::LinePublished),
        Method {
            snapshots: 3,
            ..of(Name::Checkpoints)
        },
        of(Name::Reversed),
        of(Name::Direct),
        Method {
            psd: true,
            ..of(Name::Line)
        },
        Method {
            last: Some(5),
            ..of(Name::Tape)
        },
        Method {
            last: Some(8),
            tail: Some(3),
            ..of(Name::Hats)
        },
        Method {
            fresh_batches: true,
            validate_on: Some(9),
            ..of(Name::Tape)
        },
    ]
}

#[test]
fn whole_trainings_have_the_processors_bits() {
    for (i, device) in devices().into_iter().enumerate() {
        let device = Device::Cuda(device);
        // Scales by unit with a fixed penalty: every method.
        let experiment = small("mnist-units");
        if i == 0 {
            compare::<Fused>(&device, &experiment, &methods(), 2);
            compare::<Plain>(&device, &experiment, &methods()[..2], 1);
        }
        let few = [Method::new(Name::Tape), Method::new(Name::Hats)];
        compare::<Fused>(&device, &experiment, &few, 2);
        // Other blocks of hyperparameters: penalties and scales of other groups, schedules, weights of
        // examples, learned images.
        for name in [
            "mnist-l2-units",
            "mnist-global",
            "schedules",
            "hyper-cleaning",
            "learned-data",
        ] {
            let experiment = small(name);
            let few = match experiment.tunes_schedule() {
                true => [Method::new(Name::Tape), Method::new(Name::Line)],
                false => few,
            };
            compare::<Fused>(&device, &experiment, &few, 1);
        }
    }
}

#[test]
fn inputs_that_are_read_whole_have_them_too() {
    let Some(device) = emulated(Order::Ascending) else {
        return;
    };
    let experiment = Experiment {
        inputs: Inputs::Dense,
        ..small("mnist-layers")
    };
    compare::<Fused>(
        &Device::Cuda(device),
        &experiment,
        &[Method::new(Name::Tape)],
        1,
    );
}
