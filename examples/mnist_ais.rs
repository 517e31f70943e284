//! Evaluates a restricted Boltzmann machine from a model file: log Z with its error, and log-likelihoods of MNIST; that of the
//! test images from above, by annealing, and from below, by reverse annealing.
//!
//! ```text
//! cargo run --release --example mnist_ais -- --model target/mnist_rbm/model.safetensors
//! ```
//!
//! It takes about 10 s on two cores: with the model that `mnist_rbm` writes, test log-likelihood -88.7 ± 0.1 nats.
//!
//! Any safetensors file with `weights` (hidden × visible), `visible_bias` and `hidden_bias` will do.

mod common;

use clap::Parser;
use common::{Binarize, Common, at_least_one, print_table, say};
use harmonium::data::Samples;
use harmonium::eval::{Ais, Bracket, Estimate, LogPartition, Raise};
use harmonium::eval::{ais, exact_log_partition, log_likelihood, mean_of, raise};
use harmonium::io::load_rbm;
use harmonium::models::Rbm;
use harmonium::rng::derive;
use harmonium::train::check_data;
use harmonium::{Result, base_rate::base_rate};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Evaluates a restricted Boltzmann machine from a model file: log Z with its error, and log-likelihoods of MNIST.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    /// A model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// `sm08`, the 14,500 temperatures of Salakhutdinov and Murray (2008), or a number of equal steps
    #[arg(long, value_name = "sm08|N", default_value = "sm08", value_parser = schedule)]
    schedule: Schedule,
    /// Runs of annealed importance sampling
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    runs: usize,
    /// Test images that reverse annealing starts from; 0 for none
    #[arg(long, value_name = "IMAGES", default_value_t = 20)]
    raise: usize,
    /// Reverse chains of each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one())]
    raise_chains: usize,
    /// Also compute log Z exactly, by enumeration of the smaller side
    #[arg(long)]
    exact: bool,
    /// How grey pixels become bits
    #[arg(long, value_enum, default_value_t = Binarize::Bernoulli)]
    binarize: Binarize,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
    /// A smoke run: 200 temperatures, 50 runs, 5 images with 2 reverse chains each
    #[arg(long)]
    quick: bool,
}

/// The inverse temperatures, under the name they were asked for by.
#[derive(Clone, Debug)]
struct Schedule {
    name: String,
    betas: Vec<f32>,
}

fn schedule(name: &str) -> std::result::Result<Schedule, String> {
    let betas = match (name, name.parse()) {
        ("sm08", _) => Ais::sm08(),
        (_, Ok(n @ 1..=10_000_000)) => Ais::linear(n),
        _ => return Err("neither `sm08` nor a number from 1 to 10,000,000".into()),
    };
    Ok(Schedule { name: name.into(), betas })
}

fn main() -> ExitCode {
    let mut settings = Settings::parse();
    if settings.quick {
        let schedule = Schedule { name: "200".into(), betas: Ais::linear(200) };
        settings = Settings { schedule, runs: 50, raise: settings.raise.min(5), raise_chains: 2, ..settings };
    }
    common::run(settings.common.threads, || evaluate(&settings))
}

fn evaluate(s: &Settings) -> Result<()> {
    let began = Instant::now();
    let (rbm, _) = load_rbm(&s.model)?;
    let folder = s.common.load()?;
    let train = s.binarize.encode(&folder.train.images, derive(s.common.seed, "training pixels"));
    let test = s.binarize.encode(&folder.test.images, derive(s.common.seed, "test pixels"));
    check_data(&rbm, &train)?;
    if !s.json {
        let (d, h) = (rbm.n_visible(), rbm.n_hidden());
        let kinds = (rbm.visible()[0].unit.name(), rbm.hidden()[0].unit.name());
        say(format_args!("{d} {} × {h} {} units from {}", kinds.0, kinds.1, s.model.display()));
    }
    let exact = if s.exact { Some(exact_log_partition(&rbm)?) } else { None };
    let base = base_rate(&rbm, &mean_of(&train)?, 0.05)?;
    let (betas, seed) = (s.schedule.betas.clone(), s.common.seed);
    let estimate = ais(&rbm, &base, &Ais { betas: betas.clone(), runs: s.runs, seed })?;
    let mut told = Told::new(&rbm, (&train, &test), exact, &estimate)?;
    if s.raise > 0 {
        let settings = Raise { betas, samples: s.raise, chains: s.raise_chains, seed };
        told.bracket = Some(Bracket::between(&raise(&rbm, &base, &test, &settings)?, estimate));
    }
    told.seconds = began.elapsed().as_secs_f64();
    if s.json {
        told.print_json(s)
    } else {
        told.print(s)
    }
    Ok(())
}

struct Told {
    exact: Option<f64>,
    estimate: LogPartition,
    bracket: Option<Bracket>,
    train: f64,
    test: f64,
    sampling_error: f64,
    seconds: f64,
}

impl Told {
    /// Likelihoods by the exact log Z, where there is one.
    fn new(
        rbm: &Rbm,
        (train, test): (&dyn Samples, &dyn Samples),
        exact: Option<f64>,
        estimate: &LogPartition,
    ) -> Result<Self> {
        let log_z = exact.map_or_else(|| estimate.clone(), LogPartition::exact);
        let (train, test) = (log_likelihood(rbm, train, &log_z)?, log_likelihood(rbm, test, &log_z)?);
        let sampling_error = test.sampling_error;
        let (estimate, train, test) = (estimate.clone(), train.value, test.value);
        Ok(Self { exact, estimate, bracket: None, train, test, sampling_error, seconds: 0.0 })
    }
    fn print_json(&self, s: &Settings) {
        let mut object = serde_json::json!({
            "log_partition": self.exact.unwrap_or(self.estimate.value),
            "log_partition_stderr": if self.exact.is_some() { 0.0 } else { self.estimate.standard_error },
            "ess": self.estimate.effective_sample_size,
            "train_log_likelihood": self.train,
            "test_log_likelihood": self.test,
            "test_log_likelihood_sampling_error": self.sampling_error,
            "exact": self.exact.is_some(),
            "schedule": s.schedule.name,
            "runs": s.runs,
            "seed": s.common.seed,
            "binarize": s.binarize.name(),
            "seconds": self.seconds,
        });
        if self.exact.is_some() {
            object["ais_log_partition"] = self.estimate.value.into();
            object["ais_log_partition_stderr"] = self.estimate.standard_error.into();
        }
        if let Some(b) = &self.bracket {
            object["test_log_likelihood_lower"] = b.lower.value.into();
            object["test_log_likelihood_lower_stderr"] = b.lower.standard_error.into();
            object["test_log_likelihood_upper"] = b.upper.value.into();
            object["test_log_likelihood_upper_stderr"] = b.upper.standard_error.into();
            object["raise_images"] = b.samples.into();
            object["raise_chains"] = s.raise_chains.into();
        }
        say(format_args!("{object}"));
        self.warning().iter().for_each(|w| eprintln!("warning: {w}"));
    }
    fn warning(&self) -> Option<String> {
        self.bracket.as_ref().map_or_else(|| self.estimate.warning(), Bracket::warning)
    }
    fn print(&self, s: &Settings) {
        let (e, error) = (&self.estimate, if self.exact.is_some() { 0.0 } else { self.estimate.standard_error });
        let mut rows = vec![("log Z (AIS)", format!("{:10.3} ± {:.3} nats", e.value, e.standard_error))];
        rows.extend(self.exact.map(|z| ("log Z (exact)", format!("{z:10.4} nats"))));
        rows.extend([
            ("effective sample size", format!("{:10.1} of {} runs", e.effective_sample_size, s.runs)),
            ("training log-likelihood", format!("{:10.3} ± {error:.3} nats", self.train)),
            ("test log-likelihood", format!("{:10.3} ± {error:.3} nats", self.test)),
            ("  spread over images", format!("{:10} ± {:.3} nats", "", self.sampling_error)),
        ]);
        if let Some(b) = &self.bracket {
            let told = |e: Estimate| format!("{:10.3} ± {:.3} nats", e.value, e.standard_error);
            let from = format!("{} chains from each of {} images", s.raise_chains, b.samples);
            rows.push(("  from below (RAISE)", format!("{}, {from}", told(b.lower))));
            rows.push(("  from above (AIS)", told(b.upper)));
            rows.push(("  gap", told(b.gap())));
        }
        rows.push(("time", format!("{:10.1} s", self.seconds)));
        print_table(&rows);
        self.warning().iter().for_each(|w| say(format_args!("\n  warning: {w}")));
    }
}
