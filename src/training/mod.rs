//! A training is data.

mod tuned;

pub use tuned::{Hypers, Name, Of, Tuned, What};
