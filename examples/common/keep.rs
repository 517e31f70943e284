//! What examples that train share: checkpoints, pauses, the report.

use super::{at_least_one, out_folder, say};
use clap::Args;
use harmonium::data::Samples;
use harmonium::report::{About, Report};
use harmonium::train::{Checkpoints, Ended, Fit, Learner, Pause, Resumed, Run};
use harmonium::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Flags of every example that trains.
#[derive(Args, Clone, Debug)]
pub struct Keep {
    /// Go on with the run in this folder, given the same settings; begin it if there is none. (Without this flag a run begins
    /// afresh, and what an earlier one left in the folder moves to subfolders `earlier`.)
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Epochs between two checkpoints
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    checkpoint_epochs: usize,
    /// Minutes between two checkpoints, if epochs take longer
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = minutes)]
    checkpoint_minutes: f64,
    /// Make a page of the run to look at, report.html
    #[arg(long)]
    pub report: bool,
    /// Pause training after so many minutes, with a checkpoint
    #[arg(long, value_name = "F", value_parser = minutes)]
    minutes: Option<f64>,
}

/// A length of time on the command line.
fn minutes(text: &str) -> std::result::Result<f64, String> {
    let n: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    if (0.0..1e9).contains(&n) { Ok(n) } else { Err("not a number of minutes from 0 to 1e9".into()) }
}

impl Keep {
    /// The folder of a run: that of the run to go on with, or a new one.
    pub fn folder(&self, out: &Option<PathBuf>, example: &str) -> Result<PathBuf> {
        match (&self.resume, out) {
            (Some(old), Some(new)) if absolute(old) != absolute(new) => {
                Err(Error::value("--out", format!("absent, or that of --resume {}", old.display()), new.display()))
            }
            (old, new) => out_folder(&old.clone().or(new.clone()), example),
        }
    }
    /// Makes the page of a run, if it is asked for, and prints its summary.
    pub fn show(&self, folder: &Path) -> Result<()> {
        if self.report {
            let report = Report::read(folder)?;
            let path = report.write(folder)?;
            say(format_args!("\n{report}\nreport: {}", path.display()));
        }
        Ok(())
    }
    /// Trains with checkpoints in `folder`, until the end or a pause; says which, and what keeps others out of the folder until
    /// it is dropped. The settings that `about` names are all that the numbers depend on.
    pub fn train<M: Learner + ?Sized>(
        &self,
        fit: &Fit,
        run: &mut Run<'_, M>,
        data: &dyn Samples,
        (folder, about): (&Path, &About),
    ) -> Result<(Ended, Option<Checkpoints>)> {
        self.train_stage(fit, run, data, (folder, about), (folder, Duration::ZERO))
    }
    /// The same as a stage of the run in the folder `whole`, which has taken some time already.
    pub fn train_stage<M: Learner + ?Sized>(
        &self,
        fit: &Fit,
        run: &mut Run<'_, M>,
        data: &dyn Samples,
        (folder, about): (&Path, &About),
        (whole, spent): (&Path, Duration),
    ) -> Result<(Ended, Option<Checkpoints>)> {
        let time = |minutes: f64| Duration::from_secs_f64(60.0 * minutes);
        let per_epoch = data.n_samples().div_ceil(fit.batch.max(1)) as u64;
        // First of all, for it keeps others out of the folder.
        let mut checkpoints = Checkpoints::open(folder, about.settings.clone())?;
        checkpoints.every = Some((self.checkpoint_epochs as u64).saturating_mul(per_epoch));
        checkpoints.interval = Some(time(self.checkpoint_minutes));
        run.checkpoints = Some(checkpoints);
        run.pause = Pause { after: self.minutes.map(|m| time(m).saturating_sub(spent)), ..Pause::on_signals()? };
        self.resume_or_begin(fit, run, data, (folder, about))?;
        let ended = fit.run(run, data).inspect_err(|e| {
            let outside = matches!(e, Error::Io { .. });
            if outside && run.checkpoints.as_ref().is_some_and(|kept| kept.last().is_some()) {
                say(format_args!("the last checkpoint is good; once the cause is gone, --resume {}", whole.display()));
            }
        })?;
        // From here on there is nothing to lose: a signal ends the process.
        run.pause.disarm();
        let at = run.step as f64 / per_epoch as f64;
        match ended {
            Ended::Done => {}
            Ended::Stopped => say(format_args!("ended by its monitor at epoch {at:.2} of {}", fit.epochs)),
            Ended::Interrupted | Ended::TimeUp | Ended::Paused => {
                let why = if ended == Ended::TimeUp { "the time is up" } else { "interrupted" };
                say(format_args!("{why} at epoch {at:.2} of {}; the same command goes on with", fit.epochs));
                say(format_args!("  --resume {}", whole.display()));
            }
        }
        Ok((ended, run.checkpoints.take()))
    }
    /// Goes on with the run in `folder`, or puts it away; but nothing is moved for a command that cannot run.
    fn resume_or_begin<M: Learner + ?Sized>(
        &self,
        fit: &Fit,
        run: &mut Run<'_, M>,
        data: &dyn Samples,
        (folder, about): (&Path, &About),
    ) -> Result<()> {
        let epochs = |step: u64| {
            let per_epoch = data.n_samples().div_ceil(fit.batch.max(1)) as f64;
            format!("epoch {:.2} of {}", step as f64 / per_epoch, fit.epochs)
        };
        let resumed = match self.resume {
            Some(_) => fit.resume(run, data)?,
            None => fit.check(run, data).map(|()| Resumed::Afresh)?,
        };
        match resumed {
            Resumed::Afresh => {
                if self.resume.is_some() {
                    say(format_args!("no checkpoint in {}: the run begins", folder.display()));
                }
                about.begin(folder)?;
            }
            Resumed::At(step) => say(format_args!("going on from {}", epochs(step))),
            Resumed::Earlier(step) => {
                say(format_args!("the newest checkpoint is damaged; going on from {}", epochs(step)));
            }
        }
        Ok(())
    }
}

/// A folder whichever way it is named, as far as it exists.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// How a process ends whose training ended so: a shell takes an interrupted one for a failure.
pub fn exit_code(ended: Ended) -> ExitCode {
    if ended == Ended::Interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS }
}
