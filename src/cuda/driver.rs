//! A GPU by NVIDIA's driver, the kernels compiled by NVRTC for the GPU at hand.
//!
//! Both libraries are loaded when a device is opened. `cudarc` panics where one is missing, or lacks a function when
//! that is called: so both are looked for first, and in each of them every function that is called from here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::format;
use std::string::{String, ToString};
use std::sync::{Arc, OnceLock};
use std::vec::Vec;

use cudarc::driver::sys::{self as driver, CUdevice_attribute as Attribute};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, DriverError, result};
use cudarc::nvrtc::result::{
    NvrtcError, compile_program, create_program, destroy_program, get_program_log, get_ptx,
};
use cudarc::nvrtc::{Ptx, sys as nvrtc};
use libloading::Library;

use super::machine::{Launch, Machine};
use super::{Error, sources};

/// A GPU.
pub(super) struct Driver {
    context: Arc<CudaContext>,
    /// In products and sums apart, and fused: each compiled when it is first asked for, which takes seconds.
    modules: [OnceLock<Result<Arc<CudaModule>, Error>>; 2],
    /// Its compute capability.
    capability: u32,
    name: String,
    processors: u32,
    /// Bytes of free memory that are not to be allocated.
    kept: u64,
}

/// Bytes of memory that each thread's stack takes, rounded up: NVRTC 12.9 tells of 1.7 KiB for the largest kernel.
const STACK: u64 = 2 << 10;

fn failed(what: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::Machine {
        what,
        why: match error.error_string() {
            Ok(words) => words.to_string_lossy().into_owned(),
            // It has no words for it.
            Err(_) => format!("{:?}", error.0),
        },
    }
}

/// The functions of the driver that are called from here, by `cudarc` and the values of its that are dropped.
const OF_THE_DRIVER: &[&str] = &[
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDriverGetVersion",
    "cuGetErrorString",
    "cuInit",
    "cuLaunchCooperativeKernel",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoD_v2",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags",
];

/// The same of NVRTC.
const OF_NVRTC: &[&str] = &[
    "nvrtcCompileProgram",
    "nvrtcCreateProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetCUBIN",
    "nvrtcGetCUBINSize",
    "nvrtcGetPTX",
    "nvrtcGetPTXSize",
    "nvrtcGetProgramLog",
    "nvrtcGetProgramLogSize",
    "nvrtcVersion",
];

/// Refuses a library that lacks one of these functions.
fn has(
    name: &'static str,
    library: &Library,
    functions: &'static [&'static str],
) -> Result<(), Error> {
    for function in functions {
        // SAFETY: it is looked for, and not called.
        if unsafe { library.get::<unsafe extern "C" fn()>(*function) }.is_err() {
            return Err(Error::Lacks {
                library: name,
                function,
            });
        }
    }
    Ok(())
}

/// What messages call the two libraries.
const DRIVER: &str = "NVIDIA's driver";
const NVRTC: &str = "NVRTC";

/// The oldest CUDA whose libraries are taken, as the driver counts: 12.0.
const OLDEST: i32 = 12_000;

/// Refuses a library of another age; `version` is as the driver counts.
fn recent(library: &'static str, version: i32) -> Result<(), Error> {
    if version >= OLDEST {
        return Ok(());
    }
    Err(Error::Machine {
        what: library,
        why: format!(
            "it is of CUDA {}.{}, and 12.0 is needed: install a newer one",
            version / 1000,
            version % 1000 / 10
        ),
    })
}

/// What the kernels are compiled to, for GPUs of a compute capability, such as 90.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Assembly, to be looked at.
    Assembly(u32),
    /// What a GPU of that capability runs, whatever assembly its driver knows.
    Binary(u32),
}

/// The kernels compiled.
///
/// # Errors
/// [`Error::NoCompiler`]; [`Error::Sources`] with the compiler's words, where it warns too.
pub(super) fn compile(target: Target, fused: bool) -> Result<Vec<u8>, Error> {
    // SAFETY: it only looks for the library.
    if !unsafe { nvrtc::is_culib_present() } {
        return Err(Error::NoCompiler);
    }
    // SAFETY: the library is there.
    has(NVRTC, unsafe { nvrtc::culib() }, OF_NVRTC)?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library has this function.
    unsafe { nvrtc::nvrtcVersion(&raw mut major, &raw mut minor) }
        .result()
        .map_err(refused)?;
    recent(
        NVRTC,
        major
            .saturating_mul(1000)
            .saturating_add(minor.saturating_mul(10)),
    )?;
    let text =
        CString::new(sources::sources()).map_err(|error| Error::Sources(error.to_string()))?;
    let program = create_program(&text, Some(c"kernels.cu")).map_err(refused)?;
    let architecture = match target {
        Target::Assembly(capability) => format!("compute_{capability}"),
        Target::Binary(capability) => format!("sm_{capability}"),
    };
    let options: Vec<String> = [
        format!("--gpu-architecture={architecture}"),
        format!("-DFUSED={}", u8::from(fused)),
        "--std=c++17".into(),
        // What decides bits: nothing is contracted, flushed or approximated.
        "--fmad=false".into(),
        "--ftz=false".into(),
        "--prec-div=true".into(),
        "--prec-sqrt=true".into(),
    ]
    .into();
    // SAFETY: the program was created above and is destroyed below.
    let (compiled, log, result) = unsafe {
        let compiled = compile_program(program, &options);
        let log = get_program_log(program).map_err(refused);
        let result = match target {
            Target::Assembly(_) => get_ptx(program).map_err(refused),
            Target::Binary(_) => binary(program),
        };
        let _ = destroy_program(program);
        (compiled, log, result)
    };
    let bytes = |of: Vec<c_char>| -> Vec<u8> { of.into_iter().map(|byte| byte as u8).collect() };
    let log = bytes(log?);
    let log = match CStr::from_bytes_until_nul(&log) {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => String::from_utf8_lossy(&log).into_owned(),
    };
    if compiled.is_err() || !log.trim().is_empty() {
        return Err(Error::Sources(log));
    }
    Ok(bytes(result?))
}

fn refused(error: NvrtcError) -> Error {
    Error::Sources(format!("{error:?}"))
}

/// What a compiled program's GPU runs.
///
/// # Safety
/// The program exists.
unsafe fn binary(program: nvrtc::nvrtcProgram) -> Result<Vec<c_char>, Error> {
    let mut size = 0;
    // SAFETY: the program exists, and the buffer has the size that the compiler names.
    unsafe {
        nvrtc::nvrtcGetCUBINSize(program, &raw mut size)
            .result()
            .map_err(refused)?;
        let mut binary = std::vec![0; size];
        nvrtc::nvrtcGetCUBIN(program, binary.as_mut_ptr())
            .result()
            .map_err(refused)?;
        Ok(binary)
    }
}

impl Driver {
    /// Opens the GPU of this number.
    pub(super) fn open(number: usize) -> Result<Self, Error> {
        // SAFETY: it only looks for the library.
        if !unsafe { driver::is_culib_present() } {
            return Err(Error::NoDriver);
        }
        // SAFETY: the library is there.
        has(DRIVER, unsafe { driver::culib() }, OF_THE_DRIVER)?;
        let mut version = 0;
        // SAFETY: the library has this function, which needs no device.
        unsafe { driver::cuDriverGetVersion(&raw mut version) }
            .result()
            .map_err(failed("asking the driver"))?;
        recent(DRIVER, version)?;
        let count = CudaContext::device_count().map_err(failed("counting GPUs"))?;
        let count = usize::try_from(count).unwrap_or(0);
        if number >= count {
            return Err(Error::NoDevice { number, count });
        }
        let context = CudaContext::new(number).map_err(failed("opening the GPU"))?;
        let attribute = |attribute| -> Result<u32, Error> {
            let value = context
                .attribute(attribute)
                .map_err(failed("asking the GPU"))?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let capability = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
            .saturating_mul(10)
            .saturating_add(attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )?);
        let processors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let threads = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?;
        // The driver gives a stack to every thread that the GPU could hold (on 132 processors 0.5 GB); the rest is
        // for the kernels themselves and what lies between pieces.
        let stacks = STACK.saturating_mul(u64::from(threads) * u64::from(processors));
        let kept = stacks.saturating_add(64 << 20);
        Ok(Driver {
            modules: [OnceLock::new(), OnceLock::new()],
            capability,
            name: context.name().map_err(failed("asking the GPU"))?,
            processors,
            kept,
            context,
        })
    }

    fn function(&self, kernel: &str, fused: bool) -> Result<CudaFunction, Error> {
        let module = self.modules[usize::from(fused)].get_or_init(|| {
            let binary = compile(Target::Binary(self.capability), fused)?;
            self.context
                .load_module(Ptx::from_binary(binary))
                .map_err(failed("loading the kernels"))
        });
        let module = module.as_ref().map_err(Error::clone)?;
        self.enter()?;
        module
            .load_function(kernel)
            .map_err(failed("finding a kernel"))
    }

    /// Makes the GPU this thread's: whoever asks the driver anything about it must have done so.
    fn enter(&self) -> Result<(), Error> {
        self.context
            .bind_to_thread()
            .map_err(failed("entering the GPU's context"))
    }
}

impl Machine for Driver {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn free(&self) -> Result<u64, Error> {
        let (free, _) = self
            .context
            .mem_get_info()
            .map_err(failed("asking for free memory"))?;
        Ok((free as u64).saturating_sub(self.kept))
    }

    fn processors(&self) -> u32 {
        self.processors
    }

    fn resident(&self, kernel: &str, launch: Launch) -> Result<u32, Error> {
        let function = self.function(kernel, launch.fused)?;
        let each = function
            .occupancy_max_active_blocks_per_multiprocessor(
                launch.threads,
                launch.shared as usize,
                None,
            )
            .map_err(failed("asking how many blocks fit"))?;
        Ok(each.saturating_mul(self.processors))
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        self.enter()?;
        // SAFETY: the memory is written before it is read, by the host or by a kernel.
        unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| {
            match (error.0, self.free()) {
                // Others use the device, too.
                (driver::CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok(free)) => Error::Memory {
                    needed: bytes as u64,
                    free,
                },
                _ => failed("allocating")(error),
            }
        })
    }

    unsafe fn release(&self, address: u64, _bytes: usize) {
        if self.enter().is_ok() {
            // SAFETY: it was allocated here, is freed once, and no kernel is running: launches are waited for.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    unsafe fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: the caller's: the bytes lie in memory that is allocated.
        unsafe { result::memcpy_htod_sync(address, bytes) }.map_err(failed("writing to the GPU"))
    }

    unsafe fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: as above.
        unsafe { result::memcpy_dtoh_sync(bytes, address) }.map_err(failed("reading from the GPU"))
    }

    unsafe fn launch(&self, kernel: &str, launch: Launch, args: u64) -> Result<(), Error> {
        let function = self.function(kernel, launch.fused)?;
        let mut args = args;
        let mut parameters = [(&raw mut args).cast::<c_void>()];
        let (blocks, threads) = ((launch.blocks, 1, 1), (launch.threads, 1, 1));
        let stream = result::stream::null();
        // SAFETY: every entry point takes one pointer; the caller has placed what it points to.
        let launched = unsafe {
            let run = if launch.cooperative {
                result::launch_cooperative_kernel
            } else {
                result::launch_kernel
            };
            run(
                function.cu_function(),
                blocks,
                threads,
                launch.shared,
                stream,
                &mut parameters,
            )
        };
        launched.map_err(failed("launching a kernel"))?;
        result::ctx::synchronize().map_err(failed("running a kernel"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_refused_in_words() {
        let Err(error) = Driver::open(1_000_000) else {
            panic!("so many GPUs");
        };
        let told = error.to_string();
        let words = [
            "no NVIDIA driver",
            "no GPU 1000000",
            "NVIDIA's driver",
            "counting GPUs",
        ];
        assert!(words.iter().any(|words| told.contains(words)), "{told}");
    }

    #[test]
    fn a_library_of_another_age_is_refused_with_both_versions() {
        assert_eq!(recent("NVRTC", 12_000), Ok(()));
        let told = recent("NVRTC", 11_040).map_err(|error| error.to_string());
        assert_eq!(
            told,
            Err("NVRTC: it is of CUDA 11.4, and 12.0 is needed: install a newer one".into())
        );
    }
}
