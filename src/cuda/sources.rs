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

/// What makes of them a program for the processor.
pub(super) const EMULATION: &str = include_str!("emulation.h");

/// All of them in their order, with what a compiler says of them named by file and line.
pub(super) fn whole() -> String {
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
