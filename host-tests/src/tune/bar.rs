//! How far a run of the outer loop is.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::experiment::Experiment;
use crate::files::progress;

/// The progress of the whole run, on a terminal alone, or of a part of a larger whole.
pub(super) struct Bar<'a> {
    bar: Cow<'a, ProgressBar>,
}

/// The training steps of a run that a bar counts.
pub fn ticks(experiment: &Experiment) -> usize {
    let outer = &experiment.outer;
    let trainings = outer.meta_steps.saturating_mul(outer.trainings());
    experiment.steps.saturating_mul(trainings.saturating_add(1))
}

impl<'a> Bar<'a> {
    pub(super) fn new(
        whole: Option<&'a ProgressBar>,
        experiment: &Experiment,
        done: usize,
    ) -> Self {
        let bar = match whole {
            Some(bar) => Cow::Borrowed(bar),
            None => {
                let bar = progress(ticks(experiment));
                bar.enable_steady_tick(Duration::from_millis(250));
                Cow::Owned(bar)
            }
        };
        let done = done.saturating_mul(experiment.outer.trainings());
        bar.inc(experiment.steps.saturating_mul(done) as u64);
        if whole.is_none() {
            bar.reset_eta();
        }
        Bar { bar }
    }

    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// A line on standard output, with the bar out of its way.
    pub(super) fn println(&self, line: &str) {
        if let Cow::Owned(bar) = &self.bar {
            bar.suspend(|| say!("{line}"));
        }
    }

    pub(super) fn finish(&self) {
        if let Cow::Owned(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
