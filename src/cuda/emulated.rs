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
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, format, fs, process};

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

fn libraries() -> Result<Libraries, Error> {
    let folder = Folder::new()?;
    Ok([load(&folder, false)?, load(&folder, true)?])
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("drmad-{}-{next}", process::id()));
        fs::create_dir_all(&path).map_err(|error| failed("making a folder", error))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Compiles the sources and loads the result.
fn load(folder: &Folder, fused: bool) -> Result<Library, Error> {
    let name = if fused { "fused" } else { "plain" };
    let (source, library) = (
        folder.0.join(format!("{name}.cpp")),
        folder.0.join(format!("{name}.so")),
    );
    let text = format!("{}\n{}", sources::EMULATION, sources::whole());
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
        let libraries = LIBRARIES.get_or_init(libraries).as_ref();
        let libraries = libraries.map_err(Error::clone)?;
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
        // Nothing asks the system; what it cannot give is an error of the allocation.
        Ok(u64::MAX)
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
        // SAFETY: it is a constant text of the library, which stays loaded.
        let why = unsafe { CStr::from_ptr(why) };
        Err(failed("running a kernel", why.to_string_lossy()))
    }
}
