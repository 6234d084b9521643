//! Arbitrary bytes at every door of `drmad`.
//!
//! Each target is a function of bytes that must return: no panic, no overflow, no access that the
//! sanitizer sees, no memory that a header claims and the bytes do not hold, and what is accepted must be
//! what its description says. `fuzz/run` runs them all; `fuzz/corpus` holds what they begin with.
//!
//! | target | what it is given to |
//! |---|---|
//! | `idx` | a data set's IDX files |
//! | `gz` | the same packed, then damaged |
//! | `npy` | a data set's NPY files |
//! | `numbers` | the vector of `--hyper` |
//! | `experiment` | experiment files, their variants and methods |
//! | `cli` | the command line |
//! | `resume` | the state of `tune --resume`, and the rest of that run |
//! | `state` | the core's states of optimizers and trainings with every kind of path |
//! | `kernels` | each kernel, optimizer and projection over C |
//! | `runs` | trainings, hypergradients and predictions over C |
//! | `planner` | every `required_len`, `state_len` and table of sizes |

mod bytes;
mod files;
mod kernels;
mod planner;
mod resume;
mod runs;
mod state;
mod words;

/// A door.
pub struct Target {
    /// Its corpus's folder.
    pub name: &'static str,
    /// What it does with the bytes.
    pub run: fn(&[u8]),
    /// What its corpus begins with, where arbitrary bytes would be long in finding it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    target("idx", files::idx, files::idx_seeds),
    target("gz", files::gz, files::gz_seeds),
    target("npy", files::npy, files::npy_seeds),
    target("numbers", files::numbers, files::numbers_seeds),
    target("experiment", words::experiment, words::experiment_seeds),
    target("cli", words::cli, words::cli_seeds),
    target("resume", resume::resume, resume::seeds),
    target("state", state::state, state::seeds),
    target("kernels", kernels::kernels, || noise(200)),
    target("runs", runs::runs, || noise(200)),
    target("planner", planner::planner, || noise(20)),
];

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// A byte for each choice: enough for whole calls.
fn noise(count: u32) -> Vec<Vec<u8>> {
    let byte = |seed: u32, i: u32| {
        let mixed = (seed * 2_654_435 + i).wrapping_mul(2_246_822_519);
        (mixed >> 24) as u8 & if i % 7 < 4 { 0x7f } else { 0xff }
    };
    (0..count)
        .map(|seed| (0..600).map(|i| byte(seed, i)).collect())
        .collect()
}
