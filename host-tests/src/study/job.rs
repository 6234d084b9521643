//! What every kind of study is handed: the file, the images, how much is wanted, and where it goes.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::data::{Dataset, Folder};
use crate::files::progress;
use crate::recipe::Recipe;
use crate::recipe::study::Study;
use crate::words::several;

/// One study, and all that its kind needs to run it.
#[derive(Debug)]
pub struct Job<'a> {
    /// The file.
    pub recipe: &'a Recipe,
    /// Its study.
    pub study: &'a Study,
    /// The images.
    pub data: &'a Dataset,
    /// The folder they are from, where they are not the ones compiled in.
    pub source: Option<Folder>,
    /// Whether the reduced form is wanted.
    pub quick: bool,
    /// Seeds of each variant.
    pub seeds: usize,
    /// Whether to go on with what an earlier run left.
    pub resume: bool,
    /// Where its files go.
    pub out: PathBuf,
}

impl Job<'_> {
    /// A bar of so many parts, on a terminal alone.
    pub fn bar(&self, ticks: usize) -> ProgressBar {
        let bar = progress(ticks);
        bar.enable_steady_tick(Duration::from_millis(250));
        bar.println(format!(
            "{}: {}",
            self.recipe.name,
            several(self.seeds, "seed")
        ));
        bar
    }
}
