//! A GPU's threads emulated on the processor: the kernels' own sources, compiled as C++ by the machine's compiler, with
//! `emulation.h` for blocks, barriers, shuffles and shared memory.
//!
//! Compiling takes some seconds, once in a program. A training takes hundreds of times as long as on the processor: this
//! is a check of logic and bits alone, and says nothing of a GPU's speed, nor of its memory's order.
//!
//! Refused: a machine without a C++ compiler ([`NO_COMPILER`]), and kernels that would hang a GPU.
#![allow(dead_code)] // each program uses its own part

use std::alloc::{Layout, LayoutError, alloc, dealloc};
use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io, process};

use drmad::cuda::{self, Device, Error, Launch, Machine};
use libloading::Library;

/// What is wrong where there is no compiler, in [`Error::Machine`].
pub(crate) const NO_COMPILER: &str = "the emulation needs a C++ compiler";

/// In which order the threads of an emulation take turns. A result that depends on it lacks a barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
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
pub(crate) struct Emulated {
    libraries: &'static Libraries,
    order: Order,
}

/// The kernels, in products and sums apart, and fused.
pub(crate) type Libraries = [Library; 2];

/// Kernels compiled.
pub(crate) fn libraries(kernels: &str) -> Result<Libraries, Error> {
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
    let text = format!("{}\n{kernels}", include_str!("emulation.h"));
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
        what: NO_COMPILER,
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
    /// An emulation with kernels of one's own.
    pub(crate) fn of(libraries: &'static Libraries, order: Order) -> Self {
        Emulated { libraries, order }
    }
}

/// A device whose threads take turns in this order.
pub(crate) fn device(order: Order) -> Result<Device, Error> {
    /// Compiled once, whatever is emulated: they are the same for all.
    static LIBRARIES: OnceLock<Result<Libraries, Error>> = OnceLock::new();
    let libraries = LIBRARIES.get_or_init(|| libraries(&cuda::sources()));
    let libraries = libraries.as_ref().map_err(Error::clone)?;
    let mut device = Device::on(Emulated::of(libraries, order))?;
    // Of the fewest threads that a block can have, each turn costs least.
    device.spread.threads = 32;
    Ok(device)
}

/// Where memory begins on the processor, too.
const ALIGNMENT: usize = 256;

fn layout(bytes: usize) -> Result<Layout, LayoutError> {
    Layout::from_size_align(bytes.max(1), ALIGNMENT)
}

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

    fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        let layout = layout(bytes).map_err(|error| failed("allocating", error))?;
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
        Ok(pointer.expose_provenance() as u64)
    }

    unsafe fn release(&self, address: u64, bytes: usize) {
        let layout = layout(bytes).expect("what was allocated");
        // SAFETY: the caller's: it was allocated with this layout and is given back once.
        unsafe { dealloc(with_exposed_provenance_mut(address as usize), layout) };
    }

    unsafe fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        // SAFETY: the caller's: they lie in memory that is allocated, which no reference is to.
        unsafe {
            with_exposed_provenance_mut::<u8>(address as usize)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Ok(())
    }

    unsafe fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        // SAFETY: as above.
        unsafe {
            with_exposed_provenance::<u8>(address as usize)
                .copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len());
        }
        Ok(())
    }

    unsafe fn launch(&self, kernel: &str, launch: Launch, args: u64) -> Result<(), Error> {
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
        let args = with_exposed_provenance::<c_void>(args as usize);
        // SAFETY: the caller's: what the kernel is given lies in memory that outlives the call.
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
