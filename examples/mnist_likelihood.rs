//! The long run: the best likelihood of MNIST that this machine is known to reach, by the protocol of the publications, as a bracket.
//!
//! ```text
//! cargo run --release --example mnist_likelihood
//! cargo run --release --example mnist_likelihood -- --hidden 1000 --epochs 80
//! ```
//!
//! On two cores the first takes 34 minutes, and the log-likelihood of the test images is from -83.43 ± 0.03 to -83.41 ± 0.10 nats
//! (seed 1; other ten thousand images: ± 0.22). The second takes 4.4 minutes, and reaches from -83.46 ± 0.04 to -83.22 ± 0.09.
mod common;

use clap::Parser;
use common::{Common, Keep, at_least_one, exit_code, print_table, say, without_held_out, write_json};
use harmonium::base_rate::base_rate;
use harmonium::data::{Images, Redrawn, Samples, bernoulli, slice};
use harmonium::eval::{Ais, Bracket, Bracketing, bracket, mean_of};
use harmonium::io::save_rbm;
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::{Penalty, Schedule, Sgd};
use harmonium::report::{About, SUMMARY_FORMAT};
use harmonium::rng::derive;
use harmonium::samplers::BlockGibbs;
use harmonium::train::{
    Checkpoints, Ended, Fit, FreeEnergyGap, History, Metric, ProgressBar, Run, Snapshots, UpdateRatio,
};
use harmonium::units::Bernoulli;
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Chains, Mat, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Trains long, and tells the likelihood of the test images from below and from above.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/mnist_likelihood]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Hidden units [default: 500]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    hidden: Option<usize>,
    /// Passes over the training images, whose bits are drawn anew in each [default: 1400]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Images of an update
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    batch: usize,
    /// Learning rate of the first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.2)]
    learning_rate: f32,
    /// Weight decay
    #[arg(long, value_name = "F", default_value_t = 0.0001)]
    l2: f32,
    /// Persistent chains
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = at_least_one())]
    chains: usize,
    /// Gibbs sweeps of an update
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    k: usize,
    /// Temperatures of annealing and of reverse annealing [default: 14500]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    temperatures: Option<usize>,
    /// Images that reverse annealing starts from [default: 100]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    images: Option<usize>,
    /// Keep the last N training images out of training and tell their likelihood; the test images are not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    /// A smoke run: the defaults become 100 hidden units, one epoch, 300 temperatures, 10 images
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn hidden(&self) -> usize {
        self.hidden.unwrap_or(if self.quick { 100 } else { 500 })
    }
    fn epochs(&self) -> u64 {
        self.epochs.unwrap_or(if self.quick { 1 } else { 1400 })
    }
    /// How the likelihood is bracketed.
    fn bracketing(&self) -> Bracketing {
        let temperatures = self.temperatures.unwrap_or(if self.quick { 300 } else { 14_500 });
        let samples = self.images.unwrap_or(if self.quick { 10 } else { 100 });
        Bracketing { betas: Ais::like_sm08(temperatures), samples, seed: self.common.seed, ..Bracketing::default() }
    }
    /// The settings, for the model file and the summary.
    fn notes(&self) -> BTreeMap<String, String> {
        let notes = [
            ("hidden", self.hidden().to_string()),
            ("epochs", self.epochs().to_string()),
            ("batch", self.batch.to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("l2", self.l2.to_string()),
            ("chains", self.chains.to_string()),
            ("k", self.k.to_string()),
            ("held_out", self.held_out.to_string()),
            ("binarize", "bernoulli".to_string()),
            ("redraw", "true".to_string()),
            ("seed", self.common.seed.to_string()),
        ];
        notes.map(|(k, v)| (k.to_string(), v)).into()
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || train_and_tell(&settings))
}

/// All of a run, in order.
fn train_and_tell(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "mnist_likelihood")?;
    let folder = s.common.load()?;
    let (images, seed) = (&folder.train.images, derive(s.common.seed, "training pixels"));
    let n = without_held_out(images.n(), s.held_out)?;
    let (anew, bits) = (Redrawn { images, seed }, bernoulli(images, seed));
    let (train, fixed, held_out) = (slice(&anew, 0..n)?, slice(&bits, 0..n)?, slice(&bits, n..images.n())?);
    let mean = mean_of(&fixed)?;
    let mut rbm = Rbm::new((images.n_pixels(), Bernoulli), (s.hidden(), Bernoulli));
    rbm.initialise(&mean, 1.0 / (n + 1) as f32, s.common.seed)?;
    let mut about = About::now("mnist_likelihood", s.notes());
    about.image = Some((images.height, images.width));
    let (ended, _kept) = fit(s, &mut rbm, (&train, &held_out), (&out, &about))?;
    save_rbm(&rbm, &s.notes(), &out.join("model.safetensors"))?;
    if !ended.is_final() {
        s.keep.show(&out)?;
        return Ok(exit_code(ended));
    }
    let trained = began.elapsed().as_secs_f64();
    let base = base_rate(&rbm, &mean, 0.05)?;
    draw(s, &rbm, &base, images, &out)?;
    say("annealing, there and back");
    let test;
    let told: &dyn Samples = if s.held_out > 0 {
        &held_out
    } else {
        test = bernoulli(&folder.test.images, derive(s.common.seed, "test pixels"));
        &test
    };
    let found = bracket(&rbm, &base, told, &s.bracketing())?;
    tell(s, &found, (trained, began), &out)?;
    s.keep.show(&out)?;
    Ok(exit_code(ended))
}

/// Trains by centred PCD.
fn fit(
    s: &Settings,
    rbm: &mut Rbm,
    (train, held_out): (&dyn Samples, &dyn Samples),
    (out, about): (&Path, &About),
) -> Result<(Ended, Option<Checkpoints>)> {
    let per_epoch = train.n_samples().div_ceil(s.batch) as u64;
    let steps = s.epochs() * per_epoch;
    let first =
        |samples: &dyn Samples| -> Result<Mat> { Ok(slice(samples, 0..samples.n_samples().min(5000))?.to_mat()) };
    let mut metrics: Vec<Box<dyn Metric<Rbm>>> = vec![Box::new(UpdateRatio)];
    if held_out.n_samples() > 0 {
        metrics.push(Box::new(FreeEnergyGap { train: first(train)?, held_out: first(held_out)? }));
    }
    let mut bar = ProgressBar::new(History::new(per_epoch, metrics));
    bar.history.path = Some(out.join("metrics.jsonl"));
    let mut snapshots = Snapshots::new(steps, first(train)?.columns(0, 100).clone_owned(), s.common.seed);
    snapshots.path = Some(out.join("snapshots.safetensors"));
    let mut monitor = (bar, snapshots);
    let independent = [rbm.visible_bias(), &vec![0.0; rbm.n_hidden()]].concat();
    let chains = Chains::from_base(rbm, &independent, s.chains, derive(s.common.seed, "persistent chains"));
    let (mut objective, mut optimizer) = (Contrastive::pcd(s.k, chains), Sgd::default());
    let fit = Fit {
        epochs: s.epochs(),
        batch: s.batch,
        learning_rate: Schedule::Linear { from: s.learning_rate, to: 0.0, steps },
        penalty: Penalty { l1: 0.0, l2: s.l2 },
        seed: s.common.seed,
        ..Fit::default()
    };
    let mut run = Run::new(rbm, &mut objective, &mut optimizer, &mut monitor);
    s.keep.train(&fit, &mut run, train, (out, about))
}

/// Filters, and samples of chains that ran long from the base rates.
fn draw(s: &Settings, rbm: &Rbm, base: &[f32], images: &Images, out: &Path) -> Result<()> {
    let (height, width, grid) = (images.height, images.width, Grid { columns: 10, ..Grid::default() });
    let filters = rbm.weights().transpose();
    let shown = filters.columns(0, filters.ncols().min(100));
    save_png(&grid.tile(shown, height, width, Shade::Symmetric)?, &out.join("filters.png"))?;
    let mut chains = Chains::from_base(rbm, base, 100, derive(s.common.seed, "dreams"));
    chains.advance(&BlockGibbs::new(if s.quick { 100 } else { 5000 }), rbm);
    let (_, mean) = chains.states.x_and_means(rbm, rbm.visible_blocks());
    save_png(&grid.tile(mean, height, width, Shade::Unit)?, &out.join("samples.png"))
}

fn tell(s: &Settings, found: &Bracket, (trained, began): (f64, Instant), out: &Path) -> Result<()> {
    let set = if s.held_out > 0 { "held_out" } else { "test" };
    let summary = serde_json::json!({
        "format": SUMMARY_FORMAT,
        format!("{set}_log_likelihood"): found.upper.value,
        format!("{set}_log_likelihood_stderr"): found.upper.standard_error,
        format!("{set}_log_likelihood_lower"): found.lower.value,
        format!("{set}_log_likelihood_lower_stderr"): found.lower.standard_error,
        format!("{set}_log_likelihood_sampling_error"): found.sampling_error,
        "log_partition": found.log_partition.value,
        "effective_sample_size": found.log_partition.effective_sample_size,
        "warning": found.warning(),
        "seconds_of_training": trained,
        "seconds": began.elapsed().as_secs_f64(),
        "threads": rayon::current_num_threads(),
        "settings": s.notes(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\n{} log-likelihood: {found}", set.replace('_', "-")));
    print_table(&[
        ("over other images", format!("± {:.2} nats", found.sampling_error)),
        ("time of training", format!("{:.1} min", trained / 60.0)),
        ("time of it all", format!("{:.1} min", began.elapsed().as_secs_f64() / 60.0)),
    ]);
    say(format_args!("\nwritten to {}", out.display()));
    Ok(())
}
