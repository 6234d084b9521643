//! The emulation of a GPU itself: that it does what a GPU's threads do, that a missing barrier shows, and that what
//! would hang is refused. Its kernels are those of `trial.cu`, and not the crate's.

use std::process::Command;
use std::sync::OnceLock;
use std::{env, thread};

use drmad::cuda::{Error, Launch, Machine};

use crate::common::skipped;
use crate::emulated::{self, Emulated, Libraries, NO_COMPILER, Order};

/// A piece of its memory, read and written as a whole.
struct Piece<'m> {
    machine: &'m Emulated,
    address: u64,
    bytes: usize,
}

impl<'m> Piece<'m> {
    fn new(machine: &'m Emulated, bytes: usize) -> Result<Self, Error> {
        let address = machine.allocate(bytes)?;
        Ok(Piece {
            machine,
            address,
            bytes,
        })
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        assert_eq!(bytes.len(), self.bytes);
        // SAFETY: it is as long as that, and launches are waited for.
        unsafe { self.machine.write(self.address, bytes) }
    }

    fn read(&self, bytes: &mut [u8]) -> Result<(), Error> {
        assert_eq!(bytes.len(), self.bytes);
        // SAFETY: as above.
        unsafe { self.machine.read(self.address, bytes) }
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        // SAFETY: it was allocated above, and nothing has its address any longer.
        unsafe { self.machine.release(self.address, self.bytes) };
    }
}

/// What the kernels of `trial.cu` are given.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Trial {
    x: u64,
    y: u64,
    arrived: u64,
    n: u32,
    unused: u32,
}

/// An emulation with the kernels of `trial.cu`; none without a compiler.
fn trial(order: Order) -> Option<Emulated> {
    static TRIAL: OnceLock<Result<Libraries, Error>> = OnceLock::new();
    match TRIAL.get_or_init(|| emulated::libraries(include_str!("../emulated/trial.cu"))) {
        Ok(libraries) => Some(Emulated::of(libraries, order)),
        Err(Error::Machine { what, why }) if *what == NO_COMPILER => {
            skipped(&format!("install a C++ compiler ({why})"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

const ORDERS: [Order; 4] = [
    Order::Ascending,
    Order::Descending,
    Order::Shuffled(1),
    Order::Shuffled(2),
];

fn launch(blocks: u32, threads: u32, cooperative: bool) -> Launch {
    Launch {
        fused: false,
        blocks,
        threads,
        shared: 4 * threads,
        cooperative,
    }
}

/// The first and second vector after a kernel has run, begun as `x` and `x` again.
fn run(
    machine: &Emulated,
    kernel: &str,
    launch: Launch,
    x: &[f32],
    n: u32,
) -> Result<[Vec<f32>; 2], Error> {
    let bytes = size_of_val(x);
    let [a, b] = [Piece::new(machine, bytes)?, Piece::new(machine, bytes)?];
    let arrived = Piece::new(machine, 4)?;
    let args = Piece::new(machine, size_of::<Trial>())?;
    for piece in [&a, &b] {
        piece.write(bytemuck::cast_slice(x))?;
    }
    arrived.write(&[0; 4])?;
    let trial = Trial {
        x: a.address,
        y: b.address,
        arrived: arrived.address,
        n,
        unused: 0,
    };
    args.write(bytemuck::bytes_of(&trial))?;
    // SAFETY: the kernel is given what `trial.cu` says that it takes, in pieces that outlive the call.
    unsafe { machine.launch(kernel, launch, args.address) }?;
    let mut read = [vec![0.0; x.len()], vec![0.0; x.len()]];
    a.read(bytemuck::cast_slice_mut(&mut read[0]))?;
    b.read(bytemuck::cast_slice_mut(&mut read[1]))?;
    Ok(read)
}

/// Why a kernel cannot run.
fn refusal(machine: &Emulated, kernel: &str, launch: Launch) -> String {
    let numbers = vec![1.0; 2_048];
    match run(machine, kernel, launch, &numbers, 16 << 10) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{kernel} ran"),
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| (i * i % 1_009) as f32 / 1_009.0 + 0.1)
        .collect()
}

#[test]
fn the_two_arithmetics_round_as_the_processor_does() {
    let Some(machine) = trial(Order::Ascending) else {
        return;
    };
    let x = numbers(1_000);
    for fused in [false, true] {
        let launch = Launch {
            fused,
            ..launch(3, 64, false)
        };
        let [_, y] = run(&machine, "add_scaled", launch, &x, 1_000).unwrap();
        let expected: Vec<f32> = (x.iter())
            .map(|x| {
                if fused {
                    0.1f32.mul_add(*x, *x)
                } else {
                    0.1 * x + x
                }
            })
            .collect();
        assert_eq!(bits(&y), bits(&expected));
    }
    let [plain, fused] = [false, true].map(|fused| {
        let launch = Launch {
            fused,
            ..launch(1, 32, false)
        };
        run(&machine, "add_scaled", launch, &x, 1_000).unwrap()
    });
    assert_ne!(bits(&plain[1]), bits(&fused[1]));
}

#[test]
fn no_order_of_turns_changes_what_barriers_and_shuffles_give() {
    for order in ORDERS {
        let Some(machine) = trial(order) else { return };
        for (blocks, threads) in [(1, 32), (3, 64), (5, 96), (2, 1_024), (64, 32)] {
            let size = (blocks * threads) as usize;
            let x = numbers(size);
            for cooperative in [false, true] {
                let launch = launch(blocks, threads, cooperative);
                let [_, y] = run(&machine, "turn_round", launch, &x, 3).unwrap();
                let turned = (x.chunks(threads as usize)).flat_map(|part| part.iter().rev());
                let turned: Vec<f32> = turned.map(|x| x + 1.0 + 1.0 + 1.0).collect();
                assert_eq!(bits(&y), bits(&turned), "{order:?} {blocks} x {threads}");

                let [_, y] = run(&machine, "sum_warps", launch, &x, 2).unwrap();
                let mut expected = x.clone();
                for _ in 0..2 {
                    for warp in expected.chunks_mut(32) {
                        let mut tree = warp.to_vec();
                        while tree.len() > 1 {
                            let (left, right) = tree.split_at(tree.len() / 2);
                            tree = left.iter().zip(right).map(|(a, b)| a + b).collect();
                        }
                        warp.iter_mut().for_each(|x| *x += tree[0] / 32.0);
                    }
                }
                assert_eq!(bits(&y), bits(&expected), "{order:?} {blocks} x {threads}");
            }
            let [x_round, y_round] =
                run(&machine, "send_round", launch(blocks, threads, true), &x, 7).unwrap();
            let last = if 7 % 2 == 1 { y_round } else { x_round };
            let expected =
                (0..size).map(|i| (0..7).fold(x[(i + 7 * size - 7) % size], |x, _| x + 1.0));
            assert_eq!(
                bits(&last),
                bits(&expected.collect::<Vec<_>>()),
                "{order:?}"
            );
        }
    }
}

#[test]
fn a_missing_barrier_shows_in_the_order_of_turns() {
    let x = numbers(64);
    let seen = ORDERS.map(|order| {
        let machine = trial(order)?;
        let launch = launch(1, 64, false);
        Some(bits(
            &run(&machine, "turn_round_at_once", launch, &x, 1).unwrap()[1],
        ))
    });
    if seen.iter().all(Option::is_some) {
        for i in 0..ORDERS.len() {
            for j in 0..i {
                assert_ne!(seen[i], seen[j], "{:?}, {:?}", ORDERS[i], ORDERS[j]);
            }
        }
    }
}

#[test]
fn what_nobody_has_written_is_no_number() {
    let Some(machine) = trial(Order::Ascending) else {
        return;
    };
    let [_, y] = run(&machine, "look", launch(1, 64, false), &[0.0; 64], 1).unwrap();
    assert!(y.iter().all(|y| y.is_nan()));
    let piece = Piece::new(&machine, 64).unwrap();
    let mut bytes = [0; 64];
    piece.read(&mut bytes).unwrap();
    assert_eq!(bytes, [0xff; 64]);
    assert_eq!(piece.address % 256, 0);
}

#[test]
fn kernels_that_would_hang_are_refused() {
    for order in ORDERS {
        let Some(machine) = trial(order) else { return };
        let one = launch(1, 64, false);
        for (kernel, launch, words) in [
            (
                "return_before_a_barrier",
                one,
                "63 wait at __syncthreads, 0 at __syncwarp, 0 at a shuffle, and 1 have returned",
            ),
            (
                "wait_for_different_things",
                one,
                "wait at a shuffle, and others at __syncwarp",
            ),
            (
                "wait_for_a_part",
                one,
                "a mask of some threads of a warp: 0x1",
            ),
            ("wait_for_nothing", one, "waits for what no other does"),
            // Blocks that do not run at the same time cannot wait for each other.
            (
                "send_round",
                launch(2, 32, false),
                "waits for what no other does",
            ),
            ("write_beyond", one, "beyond its 256 bytes of shared memory"),
            ("fill_the_stack", one, "more than 65536 bytes"),
            ("add_scaled", launch(1, 33, false), "33 threads in a block"),
            (
                "add_scaled",
                launch(1, 1_056, false),
                "1056 threads in a block",
            ),
            ("add_scaled", launch(0, 32, true), "no blocks"),
            ("no_such_kernel", one, "finding a kernel"),
        ] {
            let told = refusal(&machine, kernel, launch);
            assert!(told.contains(words), "{order:?} {kernel}: {told}");
        }
        // And nothing is left behind.
        let x = numbers(64);
        let [_, y] = run(&machine, "turn_round", one, &x, 2).unwrap();
        assert_eq!(y[0], x[0] + 2.0);
    }
}

#[test]
fn launches_of_several_threads_do_not_meet() {
    thread::scope(|scope| {
        for (k, order) in ORDERS.into_iter().enumerate() {
            scope.spawn(move || {
                let Some(machine) = trial(order) else {
                    return;
                };
                let x = numbers(64 * (k + 1));
                let launch = launch(k as u32 + 1, 64, true);
                let expected = run(&machine, "send_round", launch, &x, 1).unwrap();
                for _ in 0..50 {
                    let seen = run(&machine, "send_round", launch, &x, 1).unwrap();
                    assert_eq!(bits(&seen[1]), bits(&expected[1]));
                }
            });
        }
    });
}

#[test]
fn without_a_compiler_these_tests_say_that_they_are_skipped_and_fail_where_it_is_required() {
    for (required, passes) in [("", true), ("1", false)] {
        let output = Command::new(env::current_exe().unwrap())
            .args(["emulation::", "--skip", "without_a_compiler"])
            .env("CXX", "a-compiler-that-is-not-there")
            .env("CI_REQUIRED", required)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), passes, "{told}");
        assert!(told.contains("skipped: install a C++ compiler"), "{told}");
    }
}
