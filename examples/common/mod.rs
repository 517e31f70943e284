//! What all examples share: their common flags, the MNIST data, tables and summaries.
#![allow(dead_code, unreachable_pub, reason = "shared: no example uses all of it")]

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use harmonium::data::{Folder, Images, Pixels, Samples, bernoulli, threshold};
use harmonium::io::{create_folder, write_atomically};
use harmonium::train::{Checkpoints, Ended, Fit, Pause, Resumed, Run};
use harmonium::{Error, Result, Train};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};
use std::time::Duration;

/// Flags that every example has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Folder of IDX files (MNIST, Fashion-MNIST, KMNIST …), .gz or raw
    #[arg(long, value_name = "DIR", default_value = "datasets/mnist")]
    pub data: PathBuf,
    /// The same seed gives the same numbers, for any number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Threads; 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
}

impl Common {
    /// Loads the data set; the default folder is found from any working directory.
    pub fn load(&self) -> Result<Folder> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(&self.data);
        Folder::load(if self.data.is_relative() && !self.data.exists() { &beside } else { &self.data })
    }
}

/// A number from 1 on, on the command line.
pub fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// How grey pixels become bits.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binarize {
    /// On with probability intensity / 255, drawn once: the protocol of published likelihoods
    Bernoulli,
    /// On from intensity 128: another, easier data set
    Threshold,
}

impl Binarize {
    /// The bits of some images.
    pub fn encode(self, images: &Images, seed: u64) -> Pixels {
        match self {
            Self::Bernoulli => bernoulli(images, seed),
            Self::Threshold => threshold(images),
        }
    }
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bernoulli => "bernoulli",
            Self::Threshold => "threshold",
        }
    }
}

/// Flags of every example that trains.
#[derive(Args, Clone, Debug)]
pub struct Keep {
    /// Go on with the run in this folder, given the same settings; begin it if there is none. (Without this flag a run begins
    /// afresh, and checkpoints that are there move to checkpoints.earlier.)
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Epochs between two checkpoints
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    checkpoint_epochs: usize,
    /// Minutes between two checkpoints, if epochs take longer
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = minutes)]
    checkpoint_minutes: f64,
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
            (Some(old), Some(new)) if old != new => {
                Err(Error::value("--out", format!("absent, or that of --resume {}", old.display()), new.display()))
            }
            (old, new) => out_folder(&old.clone().or(new.clone()), example),
        }
    }
    /// Trains with checkpoints in `folder`, until the end or a pause, and says which. `settings` are all that the numbers
    /// depend on.
    pub fn train<M: Train + ?Sized>(
        &self,
        fit: &Fit,
        run: &mut Run<'_, M>,
        data: &dyn Samples,
        (folder, settings): (&Path, BTreeMap<String, String>),
    ) -> Result<Ended> {
        let time = |minutes: f64| Duration::from_secs_f64(60.0 * minutes);
        let per_epoch = data.n_samples().div_ceil(fit.batch.max(1)) as u64;
        let mut checkpoints = Checkpoints::open(folder, settings)?;
        checkpoints.every = Some((self.checkpoint_epochs as u64).saturating_mul(per_epoch));
        checkpoints.interval = Some(time(self.checkpoint_minutes));
        run.checkpoints = Some(checkpoints);
        run.pause = Pause { after: self.minutes.map(time), ..Pause::on_signals()? };
        if self.resume.is_some() {
            let epochs = |step: u64| format!("epoch {:.2} of {}", step as f64 / per_epoch as f64, fit.epochs);
            match fit.resume(run, data)? {
                Resumed::Afresh => say(format_args!("no checkpoint in {}: the run begins", folder.display())),
                Resumed::At(step) => say(format_args!("going on from {}", epochs(step))),
                Resumed::Earlier(step) => {
                    say(format_args!("the newest checkpoint is damaged; going on from {}", epochs(step)));
                }
            }
        }
        let ended = fit.run(run, data)?;
        // From here on there is nothing to lose: a signal ends the process.
        run.pause.disarm();
        let at = run.step as f64 / per_epoch as f64;
        match ended {
            Ended::Done => {}
            Ended::Stopped => say(format_args!("ended by its monitor at epoch {at:.2} of {}", fit.epochs)),
            Ended::Interrupted | Ended::TimeUp | Ended::Paused => {
                let why = if ended == Ended::TimeUp { "the time is up" } else { "interrupted" };
                say(format_args!("{why} at epoch {at:.2} of {}; the same command goes on with", fit.epochs));
                say(format_args!("  --resume {}", folder.display()));
            }
        }
        Ok(ended)
    }
}

/// How a process ends whose training ended so: a shell takes an interrupted one for a failure.
pub fn exit_code(ended: Ended) -> ExitCode {
    if ended == Ended::Interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS }
}

/// Runs `main` on so many threads; prints an error as a sentence.
pub fn run<T: Termination + Send>(threads: usize, main: impl FnOnce() -> Result<T> + Send) -> ExitCode {
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool,
        Err(e) => return fail(&format!("cannot start {threads} threads: {e}")),
    };
    match pool.install(main) {
        Ok(end) => end.report(),
        Err(e) => fail(&e.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

/// The folder for what a run writes, made now, so that a run does not fail at its end.
pub fn out_folder(out: &Option<PathBuf>, example: &str) -> Result<PathBuf> {
    let target = || Path::new("target").join(example);
    let dir = out.clone().unwrap_or_else(target);
    create_folder(&dir)?;
    tempfile::tempfile_in(&dir).map_err(|e| Error::io(&dir, e))?;
    Ok(dir)
}

/// Writes a JSON object to a file.
pub fn write_json(path: &Path, object: &serde_json::Value) -> Result<()> {
    write_atomically(path, |f| writeln!(f, "{object:#}"))
}

/// Prints a line; a reader who has gone (`| head`) is no reason to fail.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints rows of a name and a value, aligned.
pub fn print_table(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        say(format_args!("  {name:<width$}  {value}"));
    }
}
