//! The GPU's kernels have the processor's bits, in an emulation (which needs a C++ compiler). `drmad check
//! --device cuda` asks the same of a GPU.

use std::sync::OnceLock;

use drmad::cuda::{self, Order, Spread};
use drmad::models::BLOCK;
use drmad::{Fused, Plain};
use drmad_host::data::Dataset;
use drmad_host::device::{Device, check};
use drmad_host::experiment::Experiment;
use drmad_host::inputs::Inputs;
use drmad_host::method::{Method, Name};

/// Something is missing: says so, and fails where it should have been installed.
fn skipped(what: &str) {
    println!("skipped: {what}");
    assert!(std::env::var("CI_REQUIRED").as_deref() != Ok("1"), "{what}");
}

/// An emulation whose threads take turns in this order; none without a compiler.
fn emulated(order: Order, threads: u32, blocks: u32) -> Option<cuda::Device> {
    match cuda::Device::emulated(order) {
        Ok(mut device) => {
            device.spread = Spread {
                threads,
                blocks: Some(blocks),
            };
            Some(device)
        }
        Err(cuda::Error::Machine { what, why }) if what.contains("compiler") => {
            skipped(&format!("install a C++ compiler ({why})"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Other orders of turns, more threads than a warp, more blocks than one.
fn devices() -> Vec<cuda::Device> {
    let ways = [
        (Order::Ascending, 32, 1),
        (Order::Descending, 96, 1),
        (Order::Shuffled(7), 64, 3),
    ];
    let devices = ways.into_iter();
    devices
        .filter_map(|(order, threads, blocks)| emulated(order, threads, blocks))
        .collect()
}

fn data() -> &'static Dataset {
    static DATA: OnceLock<Dataset> = OnceLock::new();
    DATA.get_or_init(|| Dataset::mnist().unwrap())
}

#[test]
fn every_kernel_of_the_device_has_the_golden_bits() {
    for device in devices() {
        let all = [
            check::kernels::<Fused>(&device).unwrap(),
            check::kernels::<Plain>(&device).unwrap(),
        ];
        for (name, compared) in all.into_iter().flatten() {
            assert_eq!(compared.differing, 0, "{name}: {compared}");
        }
        let names: Vec<_> = cuda::Kernels::ALL.to_vec();
        let seen = check::kernels::<Plain>(&device).unwrap();
        for kernel in names {
            let of_it = |name: &str| name.split('-').next() == Some(kernel);
            assert!(seen.iter().any(|(name, _)| of_it(name)), "{kernel}");
        }
    }
}

fn compare(device: &Device, experiment: &Experiment, method: &Method, draws: usize) {
    let what = format!("{} by {}", experiment.name, method.describe());
    let compared = check::trainings::<Fused>(device, experiment, method, draws, data());
    let compared = compared.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    assert!(compared.numbers > 1_000, "{what}: {compared}");
    assert_eq!(compared.differing, 0, "{what}: {compared}");
}

#[test]
fn every_way_back_has_the_processors_bits() {
    let Some(device) = emulated(Order::Ascending, 32, 1) else {
        return;
    };
    let device = Device::Cuda(device);
    let experiment = check::small("mnist-units").unwrap();
    for method in check::methods() {
        compare(&device, &experiment, &method, 1);
    }
    let tape = Method::new(Name::Tape);
    let plain = check::trainings::<Plain>(&device, &experiment, &tape, 1, data()).unwrap();
    assert_eq!(plain.differing, 0);
    let whole = Experiment {
        inputs: Inputs::Dense,
        ..check::small("mnist-layers").unwrap()
    };
    compare(&device, &whole, &tape, 1);
}

#[test]
fn batches_of_more_than_a_block_have_the_processors_bits() {
    let Some(device) = emulated(Order::Ascending, 32, 1) else {
        return;
    };
    let device = Device::Cuda(device);
    // A batch of two blocks, in which some examples stand twice; a validation set of two.
    for (name, inputs) in [
        ("mnist-units", Inputs::Sparse),
        ("schedules", Inputs::Dense),
        ("hyper-cleaning", Inputs::Sparse),
        ("learned-data", Inputs::Dense),
    ] {
        let mut large = check::small(name).unwrap();
        (large.layers, large.inputs) = (vec![784, 3, 10], inputs);
        (large.steps, large.batch) = (2, BLOCK + 200);
        (large.examples.train, large.examples.valid) = (BLOCK + 100, BLOCK + 50);
        if name == "learned-data" {
            large.examples.train = 60;
        }
        compare(&device, &large, &Method::new(Name::Tape), 1);
    }
}

#[test]
fn neither_turns_nor_threads_nor_blocks_change_a_bit() {
    for device in devices() {
        let device = Device::Cuda(device);
        for name in check::EXPERIMENTS {
            let experiment = check::small(name).unwrap();
            // With velocities, weights alone tell less; the line needs a barrier more.
            let method = match experiment.tunes_schedule() {
                true => Method::new(Name::Line),
                false => Method::new(Name::Hats),
            };
            let draws = if name == "mnist-units" { 2 } else { 1 };
            compare(&device, &experiment, &method, draws);
        }
        // Curvature that is dropped; scales and a schedule at once.
        let scaled = check::small("mnist-units").unwrap();
        let psd = Method {
            psd: true,
            ..Method::new(Name::Line)
        };
        compare(&device, &scaled, &psd, 1);
        let mut both = check::small("schedules").unwrap();
        both.tuned.extend(scaled.tuned.iter().cloned());
        both.log_l2 = scaled.log_l2;
        compare(&device, &both, &Method::new(Name::Tape), 1);
        // What leaves the finite numbers does so at the same step.
        let mut wild = scaled;
        wild.rate = 1e38;
        let tape = Method::new(Name::Tape);
        let compared = check::trainings::<Fused>(&device, &wild, &tape, 1, data()).unwrap();
        assert_eq!((compared.numbers, compared.differing), (1, 0));
    }
}

#[test]
fn what_does_not_fit_at_once_runs_in_turns_and_what_never_fits_says_how_much_it_needs() {
    let Some(mut device) = emulated(Order::Ascending, 32, 1) else {
        return;
    };
    let experiment = check::small("mnist-units").unwrap();
    let hats = Method::new(Name::Hats);
    device.most_bytes = Some(1 << 20);
    let mut device = Device::Cuda(device);
    let refused = check::trainings::<Fused>(&device, &experiment, &hats, 1, data());
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("1048576 free"), "{refused}");
    let needed = refused.split(' ').find_map(|word| word.parse::<u64>().ok());
    let needed = needed.expect("the bytes that one replica needs");
    assert!(needed > 1 << 20, "{refused}");
    // Enough for one at a time, and not for three.
    if let Device::Cuda(device) = &mut device {
        device.most_bytes = Some(needed + 1_000);
    }
    compare(&device, &experiment, &hats, 3);
}

/// Instructions of the GPU's assembly, the type's suffix and all before it.
fn instructions(assembly: &str) -> impl Iterator<Item = &str> {
    let words = assembly.split_whitespace();
    // What begins with a point declares a register or a parameter.
    let instructions = words.filter(|word| !word.starts_with('.'));
    instructions.filter(|word| {
        [".f16", ".bf16", ".tf32", ".f32", ".f64"]
            .iter()
            .any(|of| word.contains(of))
    })
}

#[test]
fn the_gpus_assembly_contracts_flushes_and_approximates_nothing() {
    for capability in [75, 80, 90] {
        for fused in [false, true] {
            let assembly = match cuda::assembly(capability, fused) {
                Err(cuda::Error::NoCompiler) => {
                    return skipped(
                        "install NVRTC: pip install nvidia-cuda-nvrtc-cu12, its folder on LD_LIBRARY_PATH",
                    );
                }
                assembly => assembly.unwrap_or_else(|error| panic!("{capability}: {error}")),
            };
            let mut arithmetic = 0;
            for instruction in instructions(&assembly) {
                let (name, rest) = instruction.split_once('.').unwrap();
                let exact = match name {
                    // One rounding, to nearest, and never one of two operations unless it was asked for.
                    "add" | "sub" | "mul" | "div" | "rcp" | "sqrt" => rest == "rn.f32",
                    "fma" => fused && rest == "rn.f32",
                    "cvt" => rest.starts_with("rn.f32.") || rest.starts_with("rzi."),
                    // These round nothing.
                    "ld" | "st" | "mov" | "setp" | "selp" | "neg" | "abs" => !rest.contains("ftz"),
                    _ => false,
                };
                assert!(exact, "compute_{capability}, fused {fused}: {instruction}");
                arithmetic += usize::from(rest == "rn.f32");
            }
            assert!(arithmetic > 500, "{arithmetic} instructions of arithmetic");
            assert_eq!(assembly.contains("fma.rn.f32"), fused);
            // That cache is not told of what other blocks write.
            assert!(!assembly.contains("ld.global.nc"), "compute_{capability}");
        }
    }
}

#[test]
fn without_a_gpu_the_error_says_so() {
    let error = match cuda::Device::open(0) {
        // Here is one: it must have the processor's bits, and what is beyond the last is refused.
        Ok(device) => {
            check::run(&Device::Cuda(device), data()).unwrap();
            cuda::Device::open(1_000).err().expect("so many GPUs")
        }
        Err(error) => error,
    };
    let told = error.to_string();
    assert!(
        told.contains("NVIDIA driver") || told.contains("NVRTC") || told.contains("GPU"),
        "{told}"
    );
}
