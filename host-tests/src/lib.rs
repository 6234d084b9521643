//! The host harness of [`drmad`]: the papers' MNIST experiments, every method side by side.
//!
//! | module | what it does |
//! |---|---|
//! | [`data`] | MNIST, compiled in, and any other dataset, IDX or NPY |
//! | [`experiment`] | the settings of each experiment |
//! | [`recipe`] | experiments as files |
//! | [`setting`] | what each setting may be, in a file and on the command line |
//! | [`inputs`] | images as a network reads them: whole or sparse |
//! | [`method`] | the ways to a hypergradient, with their memory |
//! | [`divergence`] | what leaves the finite numbers, told from what goes wrong |
//! | [`problem`] | an experiment with its data drawn: hyperparameters to hypergradients |
//! | [`counted`] | an objective that counts its evaluations |
//! | [`memory`] | what this process takes |
//! | [`provenance`] | what a report says of how it came to be |
//! | [`statistics`] | means and medians |
//! | [`tolerances`] | how close is close enough, and why |
//! | [`reduction`] | how clients' hypergradients become one |
//! | [`tune`] | the outer loop, which survives a kill |
//! | [`device`] | where trainings run: the cores, or a GPU |
//! | [`server`] | the same with clients that are threads, or processes on many machines |
//! | [`dump`] | a result with all that is needed to compute it again elsewhere |
//! | [`frontier`] | every method on one experiment |
//! | [`scaling`] | how time and memory grow, method by method |
//! | [`study`] | the papers' experiments: variants, seeds, findings |
//! | [`verify`] | `drmad check` |
//! | [`report`] | the page with the pictures |
//! | [`words`] | numbers as people read them |
//! | [`interrupt`] | Control-C |
//! | [`cli`] | the command line |

/// `println!` for output that somebody may stop reading: the work goes on to its end, where the standard
/// macro panics.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::files::say(format_args!($($words)*))
    };
}

/// `eprintln!` in the same way.
macro_rules! warn {
    ($($words:tt)*) => {
        $crate::files::warn(format_args!($($words)*))
    };
}

pub mod cli;
pub mod counted;
pub mod data;
pub mod device;
pub mod divergence;
pub mod dump;
pub mod experiment;
pub mod files;
pub mod frontier;
pub mod inputs;
pub mod interrupt;
mod json;
pub mod memory;
pub mod method;
pub mod problem;
pub mod provenance;
pub mod quality;
pub mod recipe;
pub mod reduction;
pub mod report;
pub mod scaling;
pub mod server;
pub mod setting;
pub mod statistics;
pub mod study;
pub mod tolerances;
pub mod trained;
pub mod tune;
mod tuner;
pub mod verify;
pub mod words;
