//! Runs of several stages: one training after another, each with checkpoints and settings in a folder of its own.

use super::{Keep, say};
use harmonium::data::Samples;
use harmonium::io::create_folder;
use harmonium::objectives::Objective;
use harmonium::optim::{Optimizer, Schedule};
use harmonium::report::About;
use harmonium::train::{Ended, Fit, History, Learner, Metric, ProgressBar, Run, UpdateRatio};
use harmonium::{Error, Result};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What all stages of a run share.
pub struct Stages<'a> {
    keep: &'a Keep,
    out: &'a Path,
    program: &'a str,
    began: Instant,
    ended: Cell<Ended>,
}

impl<'a> Stages<'a> {
    /// The stages of a run in the folder `out`, each in a subfolder that has its name. Unless it goes on, what another run left there
    /// moves to subfolders `earlier`.
    pub fn begin(keep: &'a Keep, out: &'a Path, program: &'a str, settings: &BTreeMap<String, String>) -> Result<Self> {
        if keep.resume.is_none() {
            put_stages_away(out)?;
            About::now(program, settings.clone()).begin(out)?;
        }
        Ok(Self { keep, out, program, began: Instant::now(), ended: Cell::new(Ended::Done) })
    }
    /// How the last stage ended.
    pub fn ended(&self) -> Ended {
        self.ended.get()
    }
    /// Trains until the end of the stage, or a pause; whether it came to its end. The stage's name stands before its progress; its
    /// settings are all that its numbers depend on; `metrics` are looked at every epoch.
    pub fn train<'m, M: Learner + ?Sized + 'm>(
        &self,
        (name, settings): (&str, BTreeMap<String, String>),
        fit: &Fit,
        model: &mut M,
        (objective, optimizer): (&mut dyn Objective<M>, &mut dyn Optimizer),
        (data, metrics): (&dyn Samples, Vec<Box<dyn Metric<M> + 'm>>),
    ) -> Result<bool> {
        let began = Instant::now();
        let folder = self.out.join(name.replace(' ', "-"));
        create_folder(&folder)?;
        let per_epoch = data.n_samples().div_ceil(fit.batch.max(1)) as u64;
        let mut all: Vec<Box<dyn Metric<M> + 'm>> = vec![Box::new(UpdateRatio)];
        all.extend(metrics);
        let mut bar = ProgressBar::new(History::new(per_epoch, all));
        bar.history.path = Some(folder.join("metrics.jsonl"));
        bar.name = name.into();
        let mut run = Run::new(model, objective, optimizer, &mut bar);
        let about = About::now(self.program, settings);
        let whole = (self.out, self.began.elapsed());
        let (ended, _kept) = self.keep.train_stage(fit, &mut run, data, (&folder, &about), whole)?;
        let epochs = run.step as f64 / per_epoch.max(1) as f64;
        let last = bar.history.records.last().map(|r| r.values.clone()).unwrap_or_default();
        let told = bar.history.names().into_iter().zip(last).skip(1); // the update ratio ends at zero
        let told: String = told.map(|(name, v)| format!("; {} {v:.3}", name.replace('_', " "))).collect();
        say(format_args!("{name}: {epochs:.0} epochs, {:.1} s{told}", began.elapsed().as_secs_f64()));
        self.keep.show(&folder)?;
        self.ended.set(ended);
        Ok(ended.is_final())
    }
}

/// How a stage over `n` samples trains: at a rate that falls linearly to 0.
pub fn falling(epochs: u64, rate: f32, batch: usize, n: usize, seed: u64) -> Fit {
    let mut fit = Fit { epochs, batch, seed, ..Fit::default() };
    fit.learning_rate = Schedule::Linear { from: rate, to: 0.0, steps: fit.steps(n) };
    fit
}

/// Moves the stages of an earlier run to a folder that is not in use.
fn put_stages_away(out: &Path) -> Result<()> {
    let read = |e| Error::io(out, e);
    let mut stages: Vec<PathBuf> = vec![];
    for entry in std::fs::read_dir(out).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.join("checkpoints").is_dir() && path.join("run.json").is_file() {
            stages.push(path);
        }
    }
    if stages.is_empty() {
        return Ok(());
    }
    let place = (1..).map(|k| out.join("earlier").join(format!("stages-{k}"))).find(|place| !place.exists());
    let Some(place) = place else { return Ok(()) };
    create_folder(&place)?;
    for stage in stages {
        let name = stage.file_name().unwrap_or_default();
        std::fs::rename(&stage, place.join(name)).map_err(|e| Error::io(&stage, e))?;
    }
    Ok(())
}
