//! The kernels on the processor: the same sources compiled as C++ by the machine's own compiler, with
//! `emulation.h` for a GPU's threads.
//!
//! Slow, and a check of logic and bits alone: it says nothing of a GPU's speed, nor of its memory's order.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc};
use std::boxed::Box;
use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::string::{String, ToString};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, format, fs, io, process};

use libloading::Library;

use super::machine::{Launch, Machine, Memory};
use super::{Error, sources};

/// In which order the threads of an emulation take turns. A result that depends on it lacks a barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The first first.
    #[default]
    Ascending,
    /// The last first.
    Descending,
    /// Another order in each round, from a seed.
    Shuffled(u64),
}

/// An entry point of the sources.
type Kernel = unsafe extern "C" fn(*const c_void);
/// `emulate` of `emulation.h`.
type Emulate =
    unsafe extern "C" fn(Kernel, u32, u32, u32, u32, u32, u64, *const c_void) -> *const c_char;

/// An emulation.
pub(super) struct Emulated {
    libraries: &'static Libraries,
    order: Order,
}

/// The kernels, in products and sums apart, and fused.
type Libraries = [Library; 2];

/// Compiled once, whatever is emulated: they are the same for all.
static LIBRARIES: OnceLock<Result<Libraries, Error>> = OnceLock::new();

fn libraries(kernels: &str) -> Result<Libraries, Error> {
    let folder = Folder::new()?;
    Ok([
        load(&folder, kernels, false)?,
        load(&folder, kernels, true)?,
    ])
}

fn failed(what: &'static str, why: impl ToString) -> Error {
    Error::Machine {
        what,
        why: why.to_string(),
    }
}

/// A folder that is gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Error> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let mut made = Err(io::ErrorKind::AlreadyExists.into());
        // A name that is taken is somebody else's, and what is loaded from here must be our own.
        for _ in 0..1_000 {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("drmad-{}-{next}", process::id()));
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            made = builder.create(&path).map(|()| Folder(path));
            match &made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                _ => break,
            }
        }
        made.map_err(|error| failed("making a folder", error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Compiles the sources and loads the result.
fn load(folder: &Folder, kernels: &str, fused: bool) -> Result<Library, Error> {
    let name = if fused { "fused" } else { "plain" };
    let (source, library) = (
        folder.0.join(format!("{name}.cpp")),
        folder.0.join(format!("{name}.so")),
    );
    let text = format!("{}\n{kernels}", sources::EMULATION);
    fs::write(&source, text).map_err(|error| failed("writing the kernels", error))?;
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(&compiler);
    command.args([
        "-std=c++17",
        "-O2",
        "-fPIC",
        "-shared",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]);
    // Nothing is contracted or reordered; a number that is no number stays one. Unrolling is a GPU's affair.
    command.args([
        "-ffp-contract=off",
        "-fno-fast-math",
        "-Wno-unknown-pragmas",
    ]);
    command.args(["-ftls-model=initial-exec"]);
    #[cfg(target_arch = "x86_64")]
    if fused && std::is_x86_feature_detected!("fma") {
        // The same bits in one instruction.
        command.arg("-mfma");
    }
    command.arg(format!("-DFUSED={}", u8::from(fused)));
    command.arg(&source).arg("-o").arg(&library);
    let output = command.output().map_err(|error| Error::Machine {
        what: "the emulation needs a C++ compiler",
        why: format!("{compiler}: {error}; install one, or name it in CXX"),
    })?;
    if !output.status.success() {
        return Err(Error::Sources(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    // SAFETY: the library is made of our own sources and runs nothing when it is loaded.
    unsafe { Library::new(&library) }.map_err(|error| failed("loading the kernels", error))
}

impl Emulated {
    /// Compiles and loads the kernels.
    pub(super) fn boxed(order: Order) -> Result<Box<dyn Machine>, Error> {
        let libraries = LIBRARIES.get_or_init(|| libraries(&sources::whole()));
        let libraries = libraries.as_ref().map_err(Error::clone)?;
        Ok(Box::new(Emulated { libraries, order }))
    }
}

/// Where memory begins on the processor, too.
const ALIGNMENT: usize = 256;

impl Machine for Emulated {
    fn name(&self) -> String {
        "emulation on this processor".into()
    }

    fn free(&self) -> Result<u64, Error> {
        // Nothing asks the system; what it cannot give of what can be addressed is an error of the allocation.
        Ok(isize::MAX as u64)
    }

    fn processors(&self) -> u32 {
        1
    }

    fn resident(&self, _kernel: &str, _launch: Launch) -> Result<u32, Error> {
        // Stacks of that many threads are no matter.
        Ok(64)
    }

    fn allocate(&self, bytes: usize) -> Result<Memory, Error> {
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT)
            .map_err(|error| failed("allocating", error))?;
        // SAFETY: the layout is of at least one byte.
        let pointer = unsafe { alloc(layout) };
        if pointer.is_null() {
            return Err(failed(
                "allocating",
                format!("{bytes} bytes are not to be had"),
            ));
        }
        // What nobody has written is no number, in floating point.
        // SAFETY: all of it was allocated above.
        unsafe { pointer.write_bytes(0xff, bytes) };
        let address = pointer.expose_provenance() as u64;
        Ok(Memory::new(address, bytes, move || {
            // SAFETY: it was allocated with this layout and is given back once.
            unsafe {
                dealloc(
                    core::ptr::with_exposed_provenance_mut(address as usize),
                    layout,
                )
            };
        }))
    }

    fn write(&self, to: &Memory, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let address = to.part(offset, bytes.len())? as usize;
        // SAFETY: the part lies in memory that is allocated, which no reference is to.
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u8>(address)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Ok(())
    }

    fn read(&self, from: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let address = from.part(offset, bytes.len())? as usize;
        // SAFETY: as above.
        unsafe {
            core::ptr::with_exposed_provenance::<u8>(address)
                .copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len());
        }
        Ok(())
    }

    fn launch(&self, kernel: &str, launch: Launch, args: u64) -> Result<(), Error> {
        let library = &self.libraries[usize::from(launch.fused)];
        let missing = |error: libloading::Error| failed("finding a kernel", error);
        // SAFETY: every entry point of the sources has this type, and so has `emulate`.
        let (entry, emulate) = unsafe {
            (
                library.get::<Kernel>(kernel).map_err(missing)?,
                library.get::<Emulate>("emulate").map_err(missing)?,
            )
        };
        let (order, seed) = match self.order {
            Order::Ascending => (0, 0),
            Order::Descending => (1, 0),
            Order::Shuffled(seed) => (2, seed),
        };
        let Launch {
            blocks,
            threads,
            shared,
            cooperative,
            ..
        } = launch;
        let args = core::ptr::with_exposed_provenance::<c_void>(args as usize);
        // SAFETY: what the kernel is given was placed by this module, in memory that outlives the call.
        let why = unsafe {
            emulate(
                *entry,
                blocks,
                threads,
                shared,
                u32::from(cooperative),
                order,
                seed,
                args,
            )
        };
        if why.is_null() {
            return Ok(());
        }
        // SAFETY: it is a text that lasts until this thread's next launch.
        let why = unsafe { CStr::from_ptr(why) };
        Err(failed("running a kernel", why.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::{thread, vec, vec::Vec};

    use super::*;

    /// Says what is missing, also of a test that passes, and fails with `CI_REQUIRED=1`, where it should be there.
    fn skipped(what: &str) {
        writeln!(io::stderr(), "skipped: {what}").expect("standard error");
        let required = env::var("CI_REQUIRED").as_deref() == Ok("1");
        assert!(!required, "missing: {what}");
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
        match TRIAL.get_or_init(|| libraries(include_str!("trial.cu"))) {
            Ok(libraries) => Some(Emulated { libraries, order }),
            Err(Error::Machine { what, why }) if what.contains("compiler") => {
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
        let [a, b] = [machine.allocate(bytes)?, machine.allocate(bytes)?];
        let arrived = machine.allocate(4)?;
        let args = machine.allocate(size_of::<Trial>())?;
        for memory in [&a, &b] {
            machine.write(memory, 0, bytemuck::cast_slice(x))?;
        }
        machine.write(&arrived, 0, &[0; 4])?;
        let trial = Trial {
            x: a.address(),
            y: b.address(),
            arrived: arrived.address(),
            n,
            unused: 0,
        };
        machine.write(&args, 0, bytemuck::bytes_of(&trial))?;
        machine.launch(kernel, launch, args.address())?;
        let mut read = [vec![0.0; x.len()], vec![0.0; x.len()]];
        machine.read(&a, 0, bytemuck::cast_slice_mut(&mut read[0]))?;
        machine.read(&b, 0, bytemuck::cast_slice_mut(&mut read[1]))?;
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
        let memory = machine.allocate(64).unwrap();
        let mut bytes = [0; 64];
        machine.read(&memory, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [0xff; 64]);
        assert_eq!(memory.address() % 256, 0);
        assert!(machine.read(&memory, 1, &mut bytes).is_err());
        assert!(machine.write(&memory, usize::MAX, &bytes).is_err());
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
                .args(["cuda::emulated::", "--skip", "without_a_compiler"])
                .env("CXX", "a-compiler-that-is-not-there")
                .env("CI_REQUIRED", required)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), passes, "{told}");
            assert!(told.contains("skipped: install a C++ compiler"), "{told}");
        }
    }
}
