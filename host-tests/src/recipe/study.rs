//! The table `[study]` of an experiment's file: what is compared, over how many seeds, beside which values.
//!
//! It is read and nothing more; what its kind does with it is of [`study`](crate::study).
//!
//! Refused: keys that mean nothing, numbers that are not within their [bounds](setting).

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::setting::{self, Unknown};

/// What `drmad experiment` makes of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Study {
    /// Whose experiment it is.
    pub source: String,
    /// What is done and what it shows.
    pub about: String,
    /// What kind it is.
    #[serde(default)]
    pub kind: Kind,
    /// The title, where it is no training and has none.
    #[serde(default)]
    pub title: Option<String>,
    /// The seeds of each variant.
    #[serde(default = "three")]
    pub seeds: usize,
    /// What else there is to say.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The variants whose curves are drawn; all where none is named.
    #[serde(default)]
    pub curves: Vec<String>,
    /// The variant that others are compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// What is compared: each a name, and keys that are put over the file's own. `from` is the name of a
    /// variant before it, whose tuned hyperparameters it starts from.
    #[serde(default)]
    pub variants: Vec<Table>,
    /// Published values.
    #[serde(default)]
    pub published: Vec<Published>,
    /// The settings of kinds that have some.
    #[serde(default)]
    pub settings: Table,
    /// Keys that the reduced form puts over all others: `seeds`, those of the experiment, and of kinds
    /// that are no training those of the settings; of those that have both, the settings' are `settings`. A
    /// study without has no reduced form; an empty one says that the full form is reduced enough.
    #[serde(default)]
    pub quick: Option<Table>,
}

const fn three() -> usize {
    3
}

/// The kinds of studies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// [`tuned`](crate::study::tuned).
    #[default]
    Tuned,
    /// [`cleaning`](crate::study::cleaning).
    Cleaning,
    /// [`precision`](crate::study::precision).
    Precision,
    /// [`rtho`](crate::study::rtho).
    Rtho,
    /// [`multitask`](crate::study::multitask).
    Multitask,
    /// [`rotations`](crate::study::rotations).
    Rotations,
    /// [`chaos`](crate::study::chaos).
    Chaos,
    /// [`average`](crate::study::average).
    AverageGradient,
    /// [`headline`](crate::study::headline).
    Headline,
}

/// A published value, and which of ours stands beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Published {
    /// What it is of.
    pub what: String,
    /// The value, where there is one.
    #[serde(default)]
    pub value: Option<f64>,
    /// Ours: of this variant.
    pub variant: String,
    /// Ours: this metric.
    pub metric: String,
    /// Why they differ.
    #[serde(default)]
    pub remark: String,
}

impl Study {
    /// A study from its table.
    ///
    /// # Errors
    /// Keys that are missing or mean nothing, seeds that there cannot be.
    pub fn read(table: Value) -> Result<Self> {
        if let Value::Table(table) = &table {
            let reduced = table.get("quick").and_then(Value::as_table);
            for table in std::iter::once(table).chain(reduced) {
                let seeds = table.get_key_value("seeds");
                let seeds = seeds.map(|(key, seeds)| (key.clone(), seeds.clone()));
                setting::check(&seeds.into_iter().collect(), setting::STUDY, Unknown::Left)?;
            }
        }
        Ok(table.try_into()?)
    }

    /// Whether its experiment is a training.
    pub fn trains(&self) -> bool {
        matches!(
            self.kind,
            Kind::Tuned | Kind::Cleaning | Kind::Chaos | Kind::AverageGradient
        )
    }

    /// Whether the curves of this variant are wanted.
    pub fn draws_curve_of(&self, variant: &str) -> bool {
        self.curves.is_empty() || self.curves.iter().any(|name| name == variant)
    }

    /// The seeds of each variant.
    pub fn seeds(&self, quick: bool) -> usize {
        let own = self.reduced(quick).remove("seeds");
        let own = own.as_ref().and_then(Value::as_integer);
        own.map_or(self.seeds, |n| usize::try_from(n).unwrap_or(1))
    }

    /// The keys that are put over all others: those of the reduced form where that is wanted.
    pub fn reduced(&self, quick: bool) -> Table {
        let own = self.quick.clone().filter(|_| quick);
        own.unwrap_or_default()
    }

    /// The settings of a kind that is no training, with so many seeds where it has some.
    ///
    /// # Errors
    /// Settings that mean nothing.
    pub fn settings_of<T: for<'de> Deserialize<'de>>(
        &self,
        quick: bool,
        seeds: Option<usize>,
    ) -> Result<T> {
        let mut table = self.settings.clone();
        setting::put_over(&mut table, self.reduced(quick));
        if let Some(seeds) = seeds {
            table.insert("seeds".to_string(), i64::try_from(seeds)?.into());
        }
        settings_in(table)
    }
}

/// Settings from their table, whose numbers are within their bounds.
pub(super) fn settings_in<T: for<'de> Deserialize<'de>>(table: Table) -> Result<T> {
    let read = || {
        setting::check(&table, setting::STUDY, Unknown::Left)?;
        anyhow::Ok(table.clone().try_into()?)
    };
    read().context("its [study.settings]")
}
