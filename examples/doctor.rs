//! A doctor for a trained machine: a model file and the data that it was trained on; what is out of its range, and what to do.
//!
//! ```text
//! cargo run --release --example doctor -- --model target/mnist_rbm/model.safetensors
//! cargo run --release --example doctor -- --model target/mnist_rbm/model.safetensors --ladder 20
//! cargo run --release --example doctor -- --model my.safetensors --npy my_data.npy
//! ```
//!
//! Of the first machine of `mnist_rbm` (seed 1) it finds, in 4 s on two cores, that chains which began at the data and at independent
//! pixels are still apart after 1,500 sweeps (split R̂ 1.66): block Gibbs sampling is slow there. With `--ladder 20` states exchange
//! at a rate of 0.5 between any two temperatures, and a state takes some 120 advances to the hottest one and back (9 s).
mod common;

use clap::Parser;
use common::{Binarize, Common, at_least_one, out_folder, print_table, say};
use harmonium::base_rate::base_rate;
use harmonium::data::{Csv, Samples, read_npy, slice};
use harmonium::doctor::Doctor;
use harmonium::eval::mean_of;
use harmonium::io::load_rbm;
use harmonium::models::Rbm;
use harmonium::rng::derive;
use harmonium::samplers::Tempering;
use harmonium::{Energy, Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Says what is out of its range in a trained machine, and what to do.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    /// The machine: safetensors
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The data that it was trained on, instead of the images of --data: a NumPy array, units × samples
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    npy: Option<PathBuf>,
    /// The same as a table of numbers, a sample a line
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// How grey pixels of images become bits [default: as the model file says, or bernoulli]
    #[arg(long, value_enum)]
    binarize: Option<Binarize>,
    /// The last N samples were kept out of training [default: as the model file says, or none]
    #[arg(long, value_name = "N")]
    held_out: Option<usize>,
    /// Gibbs sweeps of an update, if it was trained by CD or PCD [default: as the model file says, or not known]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    k: Option<usize>,
    /// Chains began at the data: CD [default: as the model file says, or PCD]
    #[arg(long)]
    cd: bool,
    /// What the mean activity of hidden units should be
    #[arg(long, value_name = "F")]
    target: Option<f32>,
    /// Gibbs sweeps of the chains that are looked at
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = at_least_one())]
    sweeps: usize,
    /// Sample by parallel tempering as well, at so many temperatures, and tell how they exchange
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    ladder: Option<usize>,
    /// Folder for doctor.json [default: target/doctor]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || examine(&settings).map(|()| ExitCode::SUCCESS))
}

fn examine(s: &Settings) -> Result<()> {
    let out = out_folder(&s.out, "doctor")?;
    let (rbm, notes) = load_rbm(&s.model)?;
    let data = data(s, &notes)?;
    let number = |key: &str| notes.get(key).and_then(|text| text.parse::<usize>().ok());
    let held_out = s.held_out.or(number("held_out")).unwrap_or(0);
    let all = data.n_samples();
    let n = all.checked_sub(held_out).filter(|&n| n > 0);
    let n = n.ok_or_else(|| Error::value("--held-out", format!("below {all} samples"), held_out))?;
    let (train, held_out) = (slice(&*data, 0..n)?, slice(&*data, n..all)?);
    let doctor = Doctor {
        k: s.k.or(number("k")),
        persistent: !s.cd && notes.get("method").is_none_or(|method| method != "cd"),
        target: s.target,
        sweeps: s.sweeps,
        seed: s.common.seed,
        ..Doctor::default()
    };
    let others = (held_out.n_samples() > 0).then_some(&held_out as &dyn Samples);
    let diagnosis = doctor.examine(&rbm, &train, others)?;
    say(diagnosis.to_string().trim_end());
    diagnosis.write(&out.join("doctor.json"))?;
    if let Some(ladder) = s.ladder {
        temper(s, &rbm, &train, ladder)?;
    }
    say(format_args!("\nwritten to {}", out.join("doctor.json").display()));
    Ok(())
}

/// The data that the machine was trained on.
fn data(s: &Settings, notes: &BTreeMap<String, String>) -> Result<Box<dyn Samples>> {
    if let Some(path) = &s.npy {
        return Ok(Box::new(read_npy(path)?));
    }
    if let Some(path) = &s.csv {
        return Ok(Box::new(Csv::default().read(path)?.values));
    }
    let threshold = notes.get("binarize").is_some_and(|name| name == Binarize::Threshold.name());
    let by_file = if threshold { Binarize::Threshold } else { Binarize::Bernoulli };
    let images = s.common.load()?.train.images;
    Ok(Box::new(s.binarize.unwrap_or(by_file).encode(&images, derive(s.common.seed, "training pixels"))))
}

/// Parallel tempering on a ladder that tunes itself: how temperatures exchange, and how many would do.
fn temper(s: &Settings, rbm: &Rbm, train: &dyn Samples, n: usize) -> Result<()> {
    let base = base_rate(rbm, &mean_of(train)?, 0.05)?;
    let mut tempering = Tempering::new(rbm, Tempering::linear(n.max(2), 0.0), base, 20, s.common.seed)?;
    let before = s.sweeps / 3;
    tempering.sample(rbm, before.div_ceil(2));
    tempering.tune()?;
    tempering.sample(rbm, before / 2);
    tempering.tune()?;
    tempering.reset_rates();
    let trips = tempering.round_trips();
    tempering.sample(rbm, s.sweeps);
    let rates = tempering.swap_rates();
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let ladder: Vec<String> = tempering.betas().iter().map(|beta| format!("{beta:.3}")).collect();
    let trips = (tempering.round_trips() - trips) as f64 / 20.0;
    say(format_args!("\nparallel tempering of {} units, 20 systems:", rbm.n_rows()));
    print_table(&[
        ("inverse temperatures", ladder.join(" ")),
        ("swap rates", format!("{mean:.2} on average, {least:.2} at least")),
        ("round trips a system", format!("{trips:.1} in {} advances", s.sweeps)),
        ("temperatures for rates of 0.4", tempering.temperatures_for(0.4)?.to_string()),
    ]);
    Ok(())
}
