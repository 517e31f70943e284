//! What all examples share: their common flags, the MNIST data, tables and summaries.
#![allow(dead_code, unreachable_pub, reason = "shared: no example uses all of it")]

#[cfg(all(feature = "viz", feature = "signals"))]
mod keep;
#[cfg(all(feature = "viz", feature = "signals"))]
#[allow(unused_imports, reason = "shared: not every example trains")]
pub use keep::{Keep, exit_code};

#[cfg(all(feature = "viz", feature = "signals", feature = "progress"))]
mod stage;
#[cfg(all(feature = "viz", feature = "signals", feature = "progress"))]
#[allow(unused_imports, reason = "shared: not every example has stages")]
pub use stage::{Stages, falling};

mod judge;
#[allow(unused_imports, reason = "shared: not every example draws digits")]
pub use judge::{Judge, Verdict, beside};

mod normal;
#[allow(unused_imports, reason = "shared: not every example has real units")]
pub use normal::{Normal, share, start};

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use harmonium::data::{Folder, Images, Pixels, bernoulli, threshold};
use harmonium::io::{Tensor, TensorFile, Values, create_folder, write_atomically};
use harmonium::params::Slot;
use harmonium::{Error, Params, Result};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

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

/// How many of `n` images are left for training without the last `held_out`: at least one.
pub fn without_held_out(n: usize, held_out: usize) -> Result<usize> {
    let left = n.checked_sub(held_out).filter(|&left| left > 0);
    left.ok_or_else(|| Error::value("--held-out", format!("below {n} images"), held_out))
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

/// What the pixels of training images are.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Grey levels, as means of bits
    Grey,
    /// Bits that are drawn anew in every epoch: noise against overfitting
    Bits,
}
impl Inputs {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::Bits => "bits",
        }
    }
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

/// Writes parameters by their names, with notes.
pub fn save_parameters(params: &Params, notes: BTreeMap<String, String>, path: &Path) -> Result<()> {
    let tensor = |(k, slot): (usize, &Slot)| {
        // Column by column: the last axis of a tensor runs over rows.
        let shape = vec![slot.columns, slot.rows];
        (slot.name.clone(), Tensor { shape, values: Values::F32(params.slice(k).to_vec()) })
    };
    let tensors = params.slots().iter().enumerate().filter(|(_, s)| s.rows * s.columns > 0).map(tensor).collect();
    TensorFile { metadata: notes, tensors }.write(path)
}

/// Prints a line; a reader who has gone (`| head`) is no reason to fail.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The share of samples whose class is wrong.
pub fn share_wrong(found: &[usize], labels: &[u8]) -> f64 {
    found.iter().zip(labels).filter(|(a, b)| **a != usize::from(**b)).count() as f64 / labels.len() as f64
}

/// Prints rows of a name and a value, aligned.
pub fn print_table(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        say(format_args!("  {name:<width$}  {value}"));
    }
}
