//! The kernels' sources as one text, as a run-time compiler takes them.

use std::string::String;

macro_rules! sources {
    ($($name:literal)*) => {
        /// Names and texts; each needs those before it alone.
        const SOURCES: &[(&str, &str)] = &[$(($name, include_str!($name))),*];
    };
}

sources!(
    "source/base.cuh"
    "source/team.cuh"
    "source/math.cuh"
    "source/groups.cuh"
    "source/matmul.cuh"
    "source/network.cuh"
    "source/loss.cuh"
    "source/path.cuh"
    "source/run.cuh"
    "source/check.cuh"
    "kernels.cu"
);

/// The kernels' sources, in CUDA C++ as NVRTC takes it: one text in which a compiler's words name file and line.
///
/// `FUSED` is to be defined as 1 or 0: whether `mul_add` rounds once. Each kernel is an `extern "C"` entry point that
/// takes one pointer. `source/base.cuh`, the first of the files, has what another compiler must bring where it defines
/// `DRMAD_EMULATED`.
pub fn sources() -> String {
    let mut whole = String::new();
    for (name, text) in SOURCES {
        whole += &std::format!("#line 1 \"{name}\"\n");
        for line in text.lines() {
            let included = line.starts_with("#include \"") || line.starts_with("#pragma once");
            // Left empty, so that lines keep their numbers.
            whole += if included { "" } else { line };
            whole.push('\n');
        }
    }
    whole
}
