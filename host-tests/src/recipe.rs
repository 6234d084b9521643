//! Experiments as files: short, to be copied, changed and run.
//!
//! A file is TOML. Its keys are those of an [`Experiment`], in kebab-case; `like = "NAME"` takes all that
//! the file leaves out from another. The table `[study]` says what `drmad experiment` makes of it: its
//! [`variants`](Study::variants) are tables of the same keys, each put over the file's own.
//!
//! ```toml
//! title = "Half the digits, a wider network"
//! like = "mnist-units"
//! layers = [784, 100, 50, 10]
//! examples.train = 7_500
//! ```
//!
//! The files in `experiments/` are compiled in. A name that ends in `.toml` is a file of the user's.
//!
//! What a block tunes has no value beside it: with a block of rates, momenta, initial scales or penalties
//! there is no `rate`, `momentum`, `log-scale` or `log-l2`, and one that comes from below, with `like` or from
//! the file under a variant, is left out.
//!
//! Refused: keys that mean nothing, numbers that are not within their [bounds](crate::setting), values of what
//! is tuned, files that are like themselves.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value};

use crate::experiment::{Experiment, What};
use crate::setting::{self, Unknown, put_over};

use study::{Study, settings_in};

pub mod study;

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../experiments/", $name, ".toml"))),)*]
    };
}

/// The files compiled in, in the order in which they are listed.
const FILES: &[(&str, &str)] = &files! {
    "mnist-units" "mnist-scales" "mnist-layers" "mnist-global" "mnist-l2-units" "mnist-l2"
    "headline" "hyperserver-mnist" "hyperserver-mnist-large" "schedules" "average-gradient"
    "chaos" "pixel-penalties" "learned-data" "granularity" "reverse-precision" "hyper-cleaning"
    "rtho" "multitask" "completions" "rotations"
};

/// The experiment that is run where none is named.
pub const DEFAULT: &str = "mnist-units";

/// What is taken from another file at most so many times in a row.
const MOST_LIKE: usize = 8;

/// A file, read.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name: that of the file, without its ending.
    pub name: String,
    /// Its text.
    text: String,
    /// The keys of the experiment, those of `like` among them.
    table: Table,
    /// Those of them that the file gives itself.
    own: Table,
    /// What `drmad experiment` makes of it.
    pub study: Option<Study>,
}

impl Recipe {
    /// The file of this name, compiled in or, where it ends in `.toml`, the user's.
    ///
    /// # Errors
    /// A name that there is not, with those there are; a file that cannot be read or has keys that mean
    /// nothing.
    pub fn find(name: &str) -> Result<Self> {
        let (name, text) = if name.ends_with(".toml") {
            let path = Path::new(name);
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read the experiment {}", path.display()))?;
            // Results go to a folder of this name.
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let plain = |c: char| c.is_alphanumeric() || "-_ ".contains(c);
            ensure!(
                !stem.is_empty() && stem.chars().all(plain),
                "{}: name the file with letters, digits, - and _ alone, as results go to a folder of that name",
                path.display()
            );
            (stem.into_owned(), text)
        } else {
            let found = FILES.iter().find(|(file, _)| *file == name);
            let Some((name, text)) = found else {
                bail!(
                    "no experiment is called {name}: there are {}, and files that end in .toml",
                    names().collect::<Vec<_>>().join(", ")
                );
            };
            ((*name).to_string(), (*text).to_string())
        };
        Self::parse(&name, &text).with_context(|| format!("the experiment {name}"))
    }

    /// A file's text.
    ///
    /// # Errors
    /// Text that is not TOML, keys that mean nothing, `like` without an end.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut table: Table = text.parse()?;
        let study = match table.remove("study") {
            Some(study) => Some(Study::read(study).context("its [study]")?),
            None => None,
        };
        let mut own = table.clone();
        own.remove("like");
        for _ in 0..MOST_LIKE {
            let Some(like) = table.remove("like") else {
                break;
            };
            let like = like
                .as_str()
                .context("like: give the name of an experiment")?;
            let found = FILES.iter().find(|(file, _)| *file == like);
            let (_, text) =
                found.with_context(|| format!("like = {like}: there is no such experiment"))?;
            let mut below: Table = text.parse()?;
            below.remove("study");
            // Its title is of its own network and data.
            below.insert("title".to_string(), format!("{name}, like {like}").into());
            put_over(&mut below, table);
            table = below;
        }
        if table.contains_key("like") {
            bail!("like: more than {MOST_LIKE} files, each like the next");
        }
        let recipe = Recipe {
            name: name.to_string(),
            text: text.to_string(),
            table,
            own,
            study,
        };
        if recipe.trains() {
            recipe.experiment()?;
        }
        Ok(recipe)
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a training, and not a study of another kind.
    pub fn trains(&self) -> bool {
        self.study.as_ref().is_none_or(Study::trains)
    }

    /// Its experiment.
    ///
    /// # Errors
    /// Keys that are missing or mean nothing; settings that cannot be run.
    pub fn experiment(&self) -> Result<Experiment> {
        self.with(&[])
    }

    /// Its experiment with some tables put over it, one after the other.
    ///
    /// # Errors
    /// As [`experiment`](Self::experiment).
    pub fn with(&self, over: &[&Table]) -> Result<Experiment> {
        let mut table = self.table.clone();
        for over in over {
            put_over(&mut table, (*over).clone());
        }
        setting::check(&table, setting::EXPERIMENT, Unknown::Left)?;
        let layers: Vec<&Table> = std::iter::once(&self.own)
            .chain(over.iter().copied())
            .collect();
        start_what_is_tuned(&mut table, &layers)?;
        let mut experiment: Experiment = table.try_into()?;
        experiment.name.clone_from(&self.name);
        experiment.check()?;
        Ok(experiment)
    }

    /// The experiment of a kind that trains and has settings, and those: the reduced form's own
    /// `settings` go over the settings, and its other keys over the experiment.
    ///
    /// # Errors
    /// As [`experiment`](Self::experiment), and settings that mean nothing.
    pub fn with_settings<T>(&self, study: &Study, quick: bool) -> Result<(Experiment, T)>
    where
        T: for<'de> Deserialize<'de>,
    {
        let mut over = study.reduced(quick);
        over.remove("seeds");
        let mut settings = study.settings.clone();
        if let Some(Value::Table(own)) = over.remove("settings") {
            put_over(&mut settings, own);
        }
        Ok((self.with(&[&over])?, settings_in(settings)?))
    }
}

/// Puts in the place of a value that is tuned what it starts from, and takes away a penalty that is. Of
/// `layers` each is put over the one before.
fn start_what_is_tuned(table: &mut Table, layers: &[&Table]) -> Result<()> {
    let blocks = layers.iter().rposition(|layer| layer.contains_key("tuned"));
    for what in [
        What::Rate,
        What::Momentum,
        What::InitialScale,
        What::Penalty,
    ] {
        let Some((key, name)) = what.fixed() else {
            continue;
        };
        let tuned = table.get("tuned").and_then(Value::as_array);
        let block = tuned.into_iter().flatten().find(|block| {
            let of = block.get("what").and_then(Value::as_str);
            of == Some(name)
        });
        let Some(block) = block else { continue };
        ensure!(
            layers
                .iter()
                .skip(blocks.unwrap_or(0))
                .all(|layer| !layer.contains_key(key)),
            "{key} is given and tuned: leave it out, its block says where it starts"
        );
        let start = block.get("start");
        let start = start.and_then(|start| {
            let whole = start.as_integer().map(|start| start as f64);
            whole.or(start.as_float())
        });
        table.remove(key);
        if let (Some(start), true) = (start, what != What::Penalty) {
            let start = what.value_of(start as f32);
            table.insert(key.to_string(), f64::from(start).into());
        }
    }
    Ok(())
}

/// The names of the files compiled in.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The experiment compiled in under this name.
///
/// # Errors
/// As [`Recipe::find`].
pub fn find(name: &str) -> Result<Experiment> {
    Recipe::find(name)?.experiment()
}
