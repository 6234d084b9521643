//! The GPU's kernels have the processor's bits, in an emulation (which needs a C++ compiler). `drmad check
//! --device cuda` asks the same of a GPU.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use drmad::cuda::{self, Buffer, Kernels, Spread};
use drmad::models::BLOCK;
use drmad::{Fused, Plain};
use drmad_host::data::Dataset;
use drmad_host::device::{Device, check};
use drmad_host::experiment::Experiment;
use drmad_host::inputs::Inputs;
use drmad_host::method::{Method, Name};

use crate::common::skipped;
use crate::emulated::{self, NO_COMPILER, Order};

/// An emulation whose threads take turns in this order; none without a compiler.
fn emulated(order: Order, threads: u32, blocks: u32) -> Option<cuda::Device> {
    match emulated::device(order) {
        Ok(mut device) => {
            device.spread = Spread {
                threads,
                blocks: Some(blocks),
            };
            Some(device)
        }
        Err(cuda::Error::Machine { what, why }) if what == NO_COMPILER => {
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
    // Where one is missing all are, which is said once.
    devices
        .map_while(|(order, threads, blocks)| emulated(order, threads, blocks))
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
        let drop_negative_curvature = Method {
            drop_negative_curvature: true,
            ..Method::new(Name::Line)
        };
        compare(&device, &scaled, &drop_negative_curvature, 1);
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

/// A call of a kernel: its name, its inputs, and the lengths of its outputs.
type Call = (&'static str, Vec<Buffer>, Vec<usize>);

/// A call of each kernel that is as it should be.
fn calls() -> Vec<Call> {
    let x = |n| vec![0.5f32.to_bits(); n];
    let i = |n| vec![n];
    vec![
        (
            "momentum_step",
            vec![x(1), x(1), x(5), x(5), x(5)],
            vec![5, 5],
        ),
        ("momentum_adjoint", vec![x(1), x(1), x(5), x(5)], vec![5, 5]),
        (
            "momentum_undo",
            vec![x(1), x(1), x(5), x(5), x(5)],
            vec![5, 5],
        ),
        ("between", vec![i(2), i(3), x(5), x(5)], vec![2, 5]),
        ("exp", vec![x(5)], vec![5]),
        ("ln", vec![x(5)], vec![5]),
        ("tanh", vec![x(5)], vec![5]),
        ("tanh_adjoint", vec![x(5), x(5), x(5), x(5)], vec![5, 5]),
        ("softmax", vec![i(3), x(6), x(6)], vec![6, 6, 2, 6]),
        ("reduce", vec![x(5), x(5)], vec![1, 1, 2, 2, 1]),
        ("all_finite", vec![x(5)], vec![1]),
        (
            "matmul",
            vec![i(0), i(2), i(3), i(4), x(6), x(12), x(8)],
            vec![8, 8],
        ),
        (
            "by_rows",
            vec![i(3), x(2), x(2), x(6), x(6), x(6), x(6)],
            vec![6, 6, 2, 2, 6, 2],
        ),
        ("quantise", vec![i(11), x(5), x(5)], vec![10, 5]),
    ]
}

/// What a kernel says of buffers that it cannot take; it must leave the outputs alone.
#[track_caller]
fn refusal(device: &cuda::Device, kernel: &str, inputs: &[Buffer], outputs: &[usize]) -> String {
    let mut given: Vec<Buffer> = outputs.iter().map(|n| vec![7; *n]).collect();
    let refused = device.kernel::<Plain>(kernel, inputs, &mut given);
    let Err(error @ cuda::Error::Kernel { .. }) = &refused else {
        panic!("{kernel} of {inputs:?}, {outputs:?}: {refused:?}");
    };
    assert!(given.iter().flatten().all(|word| *word == 7), "{kernel}");
    let told = error.to_string();
    assert!(told.starts_with(&format!("{kernel}: ")), "{told}");
    told
}

#[test]
fn no_kernel_is_launched_on_buffers_that_it_does_not_take() {
    let Some(mut device) = emulated(Order::Ascending, 32, 1) else {
        return;
    };
    let names: Vec<_> = calls().iter().map(|(kernel, ..)| *kernel).collect();
    assert_eq!(names, Kernels::ALL);
    for (kernel, inputs, outputs) in calls() {
        let mut given: Vec<Buffer> = outputs.iter().map(|n| vec![7; *n]).collect();
        (device.kernel::<Plain>(kernel, &inputs, &mut given))
            .unwrap_or_else(|error| panic!("{kernel}: {error}"));
        refusal(&device, kernel, &[], &outputs);
        refusal(&device, kernel, &inputs, &[]);
        for k in 0..inputs.len() {
            let with = |change: &dyn Fn(&mut Vec<Buffer>)| {
                let mut inputs = inputs.clone();
                change(&mut inputs);
                inputs
            };
            for changed in [
                with(&|inputs| drop(inputs.remove(k))),
                with(&|inputs| inputs.push(vec![1])),
                with(&|inputs| inputs.insert(k, vec![])),
            ] {
                refusal(&device, kernel, &changed, &outputs);
            }
            if kernel == "all_finite" {
                // Its only input may have any length.
                continue;
            }
            let lengths = [
                with(&|inputs| {
                    inputs[k].pop();
                }),
                with(&|inputs| inputs[k].push(1)),
                with(&|inputs| inputs[k].clear()),
            ];
            for changed in lengths {
                refusal(&device, kernel, &changed, &outputs);
            }
        }
        for (k, right) in outputs.iter().enumerate() {
            for length in [0, right - 1, right + 1, 1_000] {
                let mut outputs = outputs.clone();
                outputs[k] = length;
                refusal(&device, kernel, &inputs, &outputs);
            }
            let mut outputs = outputs.clone();
            outputs.remove(k);
            refusal(&device, kernel, &inputs, &outputs);
        }
    }
    // Integers that divide, choose or count: none, too many, and a float where one should stand.
    let float = 3.0f32.to_bits();
    for (kernel, place, values) in [
        ("between", 1, &[0][..]),
        ("softmax", 0, &[0, 1, 1 << 31, u32::MAX, float]),
        ("matmul", 0, &[3, u32::MAX, float]),
        ("matmul", 1, &[0, 1, 1 << 30, 1 << 31, u32::MAX, float]),
        ("matmul", 2, &[0, 1, 1 << 30, 1 << 31, u32::MAX, float]),
        ("matmul", 3, &[0, 1, 1 << 30, 1 << 31, u32::MAX, float]),
        ("by_rows", 0, &[0, 1, 1 << 31, u32::MAX, float]),
        ("quantise", 0, &[0, 1, 2, 12, 256, u32::MAX, float]),
    ] {
        let (_, inputs, outputs) = (calls().into_iter().find(|call| call.0 == kernel)).unwrap();
        for value in values {
            let mut inputs = inputs.clone();
            inputs[place] = vec![*value];
            refusal(&device, kernel, &inputs, &outputs);
        }
    }
    // Products that are 0 in 32 bits, and in 64 bits.
    let none = Buffer::new;
    for [rows, inner, columns] in [[1 << 16, 1 << 16, 0], [1 << 30, 1 << 30, 1 << 30]] {
        let sizes = [0, rows, inner, columns].map(|n| vec![n]);
        let inputs = [&sizes[..], &[none(), none(), none()]].concat();
        refusal(&device, "matmul", &inputs, &[0, 0]);
    }
    // A block of 11 levels has 81 numbers.
    let many = |n| [vec![11], vec![0; n], vec![0; n]];
    refusal(&device, "quantise", &many(82), &[10, 82]);
    assert_eq!(
        refusal(&device, "momentum_step", &[], &[]),
        "momentum_step: buffers to read: 5 numbers wanted, 0 given"
    );
    let softmax = [vec![0], vec![], vec![]];
    assert_eq!(
        refusal(&device, "softmax", &softmax, &[0; 4]),
        "softmax: classes is 0: it must lie in 1 ..= 2147483647"
    );
    let softmax = [vec![3], vec![0; 5], vec![0; 6]];
    assert_eq!(
        refusal(&device, "softmax", &softmax, &[6, 6, 2, 6]),
        "softmax: z: 6 numbers wanted, 5 given"
    );
    // Nothing at all is as good as anything.
    let mut empty = [none(), none()];
    let sizes = [vec![0], vec![0], vec![0], vec![0], none(), none(), none()];
    device
        .kernel::<Plain>("matmul", &sizes, &mut empty)
        .unwrap();
    for unknown in ["", "sizes", "walk_replicas", "momentum_step\0", "no_such"] {
        let refused = device.kernel::<Plain>(unknown, &[], &mut []);
        assert_eq!(refused, Err(cuda::Error::NoKernel(unknown.into())));
    }
    // Threads and blocks, wherever something is launched.
    let experiment = check::small("mnist-units").unwrap();
    for (threads, blocks) in [
        (0, Some(1)),
        (31, Some(1)),
        (33, None),
        (288, Some(1)),
        (u32::MAX, None),
        (u32::MAX - 31, Some(1)),
        (32, Some(0)),
        (32, Some(1_000)),
        (32, Some(u32::MAX)),
    ] {
        device.spread = Spread { threads, blocks };
        let mut y = [vec![7; 5]];
        let refused = [
            device.kernel::<Plain>("exp", &[vec![0; 5]], &mut y).err(),
            device.seconds_of_a_launch(1).err(),
        ];
        let [kernel, launch] = refused.map(|error| error.map(|error| error.to_string()));
        let kernel = kernel.expect("no such launch");
        let (what, value) = match blocks {
            Some(blocks) if threads == 32 => ("blocks", blocks),
            _ => ("threads", threads),
        };
        assert!(
            kernel.contains(what) && kernel.contains(&value.to_string()),
            "{kernel}"
        );
        // That one takes one block whatever is asked for.
        assert_eq!(launch.is_some(), what == "threads", "{launch:?}");
    }
    let device = Device::Cuda(device);
    let tape = Method::new(Name::Tape);
    let refused = check::trainings::<Plain>(&device, &experiment, &tape, 1, data());
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(
        refused.contains("blocks of a replica is 4294967295"),
        "{refused}"
    );
}

/// The tests of this file in a process of their own.
fn these_tests(required: bool) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args([
            "cuda::",
            "--skip",
            "without_a_compiler",
            "--skip",
            "assembly",
        ])
        .env("CXX", "a-compiler-that-is-not-there")
        .env("CI_REQUIRED", if required { "1" } else { "" })
        .stdin(Stdio::null());
    let output = command.output().expect("the tests");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), told)
}

#[test]
fn without_a_compiler_these_tests_say_that_they_are_skipped_and_fail_where_it_is_required() {
    let (passed, told) = these_tests(false);
    assert!(passed, "{told}");
    let said = told.matches("skipped: install a C++ compiler").count();
    // All but the one that asks for a GPU.
    assert_eq!(said, 6, "{told}");
    let (passed, told) = these_tests(true);
    assert!(!passed, "{told}");
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
