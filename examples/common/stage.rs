//! Runs of several stages: one training after another, each with checkpoints in a folder of its own.

use super::{Keep, say};
use harmonium::Result;
use harmonium::data::Samples;
use harmonium::objectives::Objective;
use harmonium::optim::Optimizer;
use harmonium::report::About;
use harmonium::train::{Ended, Fit, History, Learner, Metric, ProgressBar, Run, UpdateRatio};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// What all stages of a run share.
pub struct Stages<'a> {
    /// Checkpoints, pauses.
    pub keep: &'a Keep,
    /// The folder of the run: a stage is in a subfolder that has its name.
    pub out: &'a Path,
    /// The name of the example.
    pub program: &'a str,
    /// The settings that numbers depend on.
    pub notes: BTreeMap<String, String>,
}

impl Stages<'_> {
    /// Trains until the end of the stage, or a pause. The stage's name stands before its progress; `metrics` are looked at every epoch.
    pub fn train<'m, M: Learner + ?Sized + 'm>(
        &self,
        name: &str,
        fit: &Fit,
        model: &mut M,
        (objective, optimizer): (&mut dyn Objective<M>, &mut dyn Optimizer),
        (data, metrics): (&dyn Samples, Vec<Box<dyn Metric<M> + 'm>>),
    ) -> Result<Ended> {
        let began = Instant::now();
        let folder = self.out.join(name.replace(' ', "-"));
        harmonium::io::create_folder(&folder)?;
        let per_epoch = data.n_samples().div_ceil(fit.batch.max(1)) as u64;
        let mut all: Vec<Box<dyn Metric<M> + 'm>> = vec![Box::new(UpdateRatio)];
        all.extend(metrics);
        let mut bar = ProgressBar::new(History::new(per_epoch, all));
        bar.history.path = Some(folder.join("metrics.jsonl"));
        bar.name = name.into();
        let mut run = Run::new(model, objective, optimizer, &mut bar);
        let about = About::now(self.program, self.notes.clone());
        let (ended, _kept) = self.keep.train(fit, &mut run, data, (&folder, &about))?;
        let last: Vec<String> =
            bar.history.records.last().iter().flat_map(|r| &r.values).map(|v| format!("{v:.4}")).collect();
        let told = bar.history.names().into_iter().zip(last).map(|(name, v)| format!("{} {v}", name.replace('_', " ")));
        let told = told.collect::<Vec<_>>().join(", ");
        say(format_args!("{name}: {} epochs in {:.1} s; {told}", fit.epochs, began.elapsed().as_secs_f64()));
        Ok(ended)
    }
}
