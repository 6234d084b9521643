//! The papers' experiments: what an experiment's file compares, over how many seeds, and what came out.
//!
//! A study writes [`Findings`]. Most are [trainings](tuned): variants of one experiment, each tuned with
//! each seed. The others have settings of their own and a module each.
//!
//! | kind | what it does |
//! |---|---|
//! | [`tuned`] | tunes each variant with each seed |
//! | [`cleaning`] | the same, with weights of examples that find wrong labels |
//! | [`precision`] | runs a training backwards with few bits |
//! | [`rtho`] | tunes rate, momentum and penalty while training goes on |
//! | [`multitask`] | couples the columns of a softmax |
//! | [`rotations`] | couples networks for turned digits, layer by layer |
//! | [`chaos`] | moves one hyperparameter along an axis |
//! | [`average`] | takes many hypergradients at the start |
//! | [`headline`] | times methods like for like, and weighs their memory |
//!
//! Everything goes into a folder for each experiment. What is done there is left alone by a run that
//! resumes, and a training half done goes on from its own state. The reduced form of a study whose page is
//! there keeps no states of its variants: they are large, and it is made again within a minute.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Folder};
use crate::files;
use crate::recipe::study::{Kind, Published, Study};
use crate::recipe::{self, Recipe};
use crate::report::experiments::{self, markdown};
use crate::report::findings::{Compared, Findings, Unit, Variant};

use job::Job;
use kept::Kept;
use spent::Spent;

pub mod average;
pub mod chaos;
pub mod cleaning;
pub mod coupled;
pub mod half;
pub mod headline;
pub mod job;
pub mod kept;
pub mod multitask;
pub mod precision;
pub mod rotations;
pub mod rtho;
pub mod side_by_side;
pub mod spent;
pub mod tuned;

impl Study {
    /// Whether all its variants can be run, in both forms.
    ///
    /// # Errors
    /// The first that cannot, by name; settings that mean nothing.
    pub fn check(&self, recipe: &Recipe) -> Result<()> {
        for quick in [false, self.quick.is_some()] {
            match self.kind {
                Kind::Tuned => tuned::variants(recipe, self, quick).map(drop)?,
                Kind::Precision => self
                    .settings_of::<precision::Settings>(quick, None)
                    .map(drop)?,
                Kind::Rtho => self
                    .settings_of::<rtho::schemes::Settings>(quick, Some(1))
                    .map(drop)?,
                Kind::Multitask => self
                    .settings_of::<multitask::Settings>(quick, Some(1))
                    .map(drop)?,
                Kind::Rotations => self
                    .settings_of::<rotations::Settings>(quick, Some(1))
                    .map(drop)?,
                Kind::Chaos => chaos::plan(recipe, self, quick).map(drop)?,
                Kind::AverageGradient => average::plan(recipe, self, quick).map(drop)?,
                Kind::Headline => {
                    let settings: headline::Settings = self.settings_of(quick, None)?;
                    settings.check(recipe)?;
                }
                Kind::Cleaning => cleaning::variants(recipe, self, quick).map(drop)?,
            }
        }
        Ok(())
    }
}

/// The names of all files that have a study.
pub fn names() -> impl Iterator<Item = &'static str> {
    recipe::names().filter(|name| Recipe::find(name).is_ok_and(|recipe| recipe.study.is_some()))
}

/// Some studies to run, one after the other.
#[derive(Debug)]
pub struct Studies<'a> {
    /// Which.
    pub recipes: Vec<Recipe>,
    /// The images.
    pub data: &'a Dataset,
    /// The folder they are from, where they are not the ones compiled in.
    pub source: Option<Folder>,
    /// Whether the reduced forms are wanted.
    pub quick: bool,
    /// Seeds, where they are not those of the files.
    pub seeds: Option<usize>,
    /// Whether to go on with what an earlier run left.
    pub resume: bool,
    /// Where everything goes.
    pub out: PathBuf,
}

/// What determines findings, and so must be the same where they are left alone.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    version: String,
    recipe: String,
    data: Option<Folder>,
    quick: bool,
    seeds: usize,
    findings: Findings,
}

impl Studies<'_> {
    /// Runs them, each with a page of its own, and writes the page of all.
    ///
    /// # Errors
    /// A file without a study; what the file system refuses; a study that fails as a whole.
    pub fn run(&self) -> Result<()> {
        // One study has all of its files in a folder of its own, so others may run beside it.
        let _claim = match self.recipes.len() {
            1 => None,
            _ => Some(files::claim(&self.out)?),
        };
        let mut all = vec![];
        for recipe in &self.recipes {
            let Some(study) = &recipe.study else {
                bail!(
                    "{} has no [study]: run it with `drmad tune {}`; those with one are {}",
                    recipe.name,
                    recipe.name,
                    names().collect::<Vec<_>>().join(", ")
                );
            };
            ensure!(
                study.quick.is_some() || !self.quick,
                "{} has no quick form: say what is smaller in it, such as quick = {{ seeds = 1, steps = 50 }} \
                 below [study], or leave out --quick",
                recipe.name
            );
            let job = Job {
                recipe,
                study,
                data: self.data,
                source: self.source.clone(),
                quick: self.quick,
                seeds: self.seeds.unwrap_or(study.seeds(self.quick)),
                resume: self.resume,
                out: self.out.join(&recipe.name),
            };
            let findings = job
                .findings()
                .with_context(|| format!("the experiment {}", recipe.name))?;
            say!("{}", experiments::text(&findings));
            all.push(findings);
        }
        let page = match &all[..] {
            [one] => self.out.join(&one.name).join("report.html"),
            _ => self.out.join("report.html"),
        };
        if all.len() > 1 {
            files::write(&page, experiments::render(&all)?.as_bytes())?;
            let text = markdown::markdown(&all, "experiments")?;
            files::write(&self.out.join("experiments.md"), text.as_bytes())?;
            for findings in &all {
                for (name, picture) in markdown::picture_files(findings)? {
                    let path = self.out.join("experiments").join(name);
                    files::write(&path, picture.as_bytes())?;
                }
            }
        }
        say!("report: {}", page.display());
        Ok(())
    }
}

impl Job<'_> {
    /// Runs it, or reads what an earlier run found where that was the same.
    fn findings(&self) -> Result<Findings> {
        let _claim = files::claim(&self.out)?;
        let path = self.out.join("findings.json");
        if self.resume
            && let Ok(text) = std::fs::read(&path)
            && let Ok(made) = serde_json::from_slice::<Made>(&text)
            && made.is_of(self)
        {
            self.clear()?;
            return Ok(made.findings);
        }
        let spent = Spent::new(&self.out, self.resume);
        let mut findings = match self.study.kind {
            Kind::Tuned => tuned::run(self, &spent)?,
            Kind::Precision => precision::run(&self.study.settings_of(self.quick, None)?)?,
            Kind::Rtho => self.seen(&spent, rtho::schemes::Settings::ticks, rtho::run)?,
            Kind::Multitask => self.seen(&spent, multitask::Settings::ticks, multitask::run)?,
            Kind::Rotations => self.seen(&spent, rotations::Settings::ticks, rotations::run)?,
            Kind::Chaos => chaos::run(self)?,
            Kind::AverageGradient => average::run(self)?,
            Kind::Headline => {
                headline::run(self, &self.study.settings_of(self.quick, None)?, &spent)?
            }
            Kind::Cleaning => cleaning::run(self, &spent)?,
        };
        findings = self.named(findings);
        findings.seconds = spent.seconds();
        let page = experiments::render(std::slice::from_ref(&findings))?;
        files::write(&self.out.join("report.html"), page.as_bytes())?;
        let made = Made {
            version: env!("CARGO_PKG_VERSION").to_string(),
            recipe: self.recipe.text().to_string(),
            data: self.source.clone(),
            quick: self.quick,
            seeds: self.seeds,
            findings,
        };
        files::write(&path, &serde_json::to_vec(&made)?)?;
        self.clear()?;
        Ok(made.findings)
    }

    /// Removes what nobody reads once the findings are there.
    fn clear(&self) -> Result<()> {
        match self.study.kind {
            Kind::Tuned | Kind::Cleaning if self.quick => tuned::clear(self),
            _ => Ok(()),
        }
    }

    /// Runs a kind with settings of its own, `ticks` parts long, with a bar.
    fn seen<T: Serialize + for<'de> Deserialize<'de>>(
        &self,
        spent: &Spent,
        ticks: impl Fn(&T) -> usize,
        run: impl Fn(&T, &Dataset, &Kept, &(dyn Fn() + Sync)) -> Result<Findings>,
    ) -> Result<Findings> {
        let settings = self.study.settings_of(self.quick, Some(self.seeds))?;
        let told = serde_json::to_string(&(&settings, &self.source))?;
        let kept = Kept::new(self.out.join("parts"), self.resume, told, spent);
        let bar = self.bar(ticks(&settings));
        let found = run(&settings, self.data, &kept, &|| bar.inc(1));
        bar.finish_and_clear();
        found
    }

    /// What was found, with the words of the file.
    fn named(&self, mut findings: Findings) -> Findings {
        let study = self.study;
        findings.name.clone_from(&self.recipe.name);
        findings.title = study.title.clone().unwrap_or(findings.title);
        findings.source.clone_from(&study.source);
        findings.about.clone_from(&study.about);
        findings.quick = self.quick;
        findings.notes.splice(0..0, study.notes.iter().cloned());
        let published = study.published.iter();
        let compared = published.map(|published| beside(published, &findings.variants));
        let compared: Vec<Compared> = compared.collect();
        findings.compared.extend(compared);
        findings
    }
}

impl Made {
    fn is_of(&self, job: &Job<'_>) -> bool {
        self.version == env!("CARGO_PKG_VERSION")
            && self.recipe == job.recipe.text()
            && self.data == job.source
            && self.quick == job.quick
            && self.seeds == job.seeds
    }
}

/// A published value with ours beside it.
fn beside(published: &Published, variants: &[Variant]) -> Compared {
    let variant = variants.iter().find(|v| v.name == published.variant);
    let metric = variant.and_then(|v| v.metrics.iter().find(|m| m.name == published.metric));
    Compared {
        what: published.what.clone(),
        published: published.value,
        ours: metric.map_or(vec![], |metric| metric.values.clone()),
        unit: metric.map_or(Unit::Number, |metric| metric.unit),
        remark: published.remark.clone(),
    }
}
