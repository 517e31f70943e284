//! A deep autoencoder of MNIST (Hinton and Salakhutdinov, 2006): a stack of RBMs, unrolled into a network that gives its input back
//! through a code of 30 numbers; principal components as many beside it.
//!
//! ```text
//! cargo run --release --example mnist_autoencoder
//! cargo run --release --example mnist_autoencoder -- --code 2
//! ```
//!
//! The squared error of a test image is 3.02 by the network, 20.45 by the unrolled stack before back-propagation, and 13.87 by principal
//! components (published: 3.00 and 13.87). Seed 1; 20 minutes on two cores that four other runs shared, some 8 alone. It draws
//! `reconstructions.png` (images, the network's, components') and `map.png`, codes in the plane: the second command makes codes of two
//! numbers, for a map that is the code.
mod common;

use clap::Parser;
use common::{Common, Keep, Stages, at_least_one, exit_code, falling, print_table, say, without_held_out, write_json};
use harmonium::data::{Images, Samples, Stacked, Whiten, Whitening, real, slice};
use harmonium::io::{save_dbn, save_predictor};
use harmonium::models::neural::{Activation, Predictor};
use harmonium::models::{Dbn, Rbm};
use harmonium::objectives::{Contrastive, Supervised};
use harmonium::optim::{Adam, Penalty, Schedule, Sgd};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::derive;
use harmonium::train::{Activities, Fit, Metric, Named, Progress};
use harmonium::units::{Bernoulli, Gaussian};
use harmonium::viz::{Grid, Shade, map, save_png};
use harmonium::{Mat, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Learns to give digits back through a code of a few numbers: layers one by one, then the unrolled network by back-propagation.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/mnist_autoencoder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Hidden units of every layer below the code [default: 1000,500,250]
    #[arg(long, value_name = "N,N,N", value_delimiter = ',')]
    hidden: Vec<usize>,
    /// Numbers of a code
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = at_least_one())]
    code: usize,
    /// Passes over the training images, for each layer [default: 10]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Passes of back-propagation [default: 50]
    #[arg(long, value_name = "N")]
    fine_tuning: Option<u64>,
    /// Learning rate of a layer's first update; it falls linearly to 0 (a hundredth of it for the code, whose units are real)
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    learning_rate: f32,
    /// Learning rate (Adam) of back-propagation's first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.001)]
    fine_tuning_rate: f32,
    /// Back-propagation from random weights instead: no layer is learned before
    #[arg(long)]
    random: bool,
    /// Images of an update
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    batch: usize,
    /// Keep the last N training images out of training and tell of them; the test images are not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    /// A smoke run: the defaults become 100,50 hidden units, one pass each
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn hidden(&self) -> Vec<usize> {
        match (self.hidden.is_empty(), self.quick) {
            (false, _) => self.hidden.clone(),
            (true, true) => vec![100, 50],
            (true, false) => vec![1000, 500, 250],
        }
    }
    fn epochs(&self) -> u64 {
        if self.random { 0 } else { self.epochs.unwrap_or(if self.quick { 1 } else { 10 }) }
    }
    fn fine_tuning(&self) -> u64 {
        self.fine_tuning.unwrap_or(if self.quick { 1 } else { 50 })
    }
    /// The settings that layers depend on, or those of back-propagation as well.
    fn notes(&self, all: bool) -> BTreeMap<String, String> {
        let fine_tuning =
            [("fine_tuning", self.fine_tuning().to_string()), ("fine_tuning_rate", self.fine_tuning_rate.to_string())];
        let notes = [
            ("hidden", format!("{:?}", self.hidden())),
            ("code", self.code.to_string()),
            ("epochs", self.epochs().to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("random", self.random.to_string()),
            ("batch", self.batch.to_string()),
            ("held_out", self.held_out.to_string()),
            ("seed", self.common.seed.to_string()),
        ];
        let all = notes.into_iter().chain(fine_tuning.into_iter().filter(|_| all));
        all.map(|(k, v)| (k.to_string(), v)).collect()
    }
    /// How a stage trains.
    fn fit(&self, epochs: u64, rate: f32, n: usize) -> Fit {
        falling(epochs, rate, self.batch, n, self.common.seed)
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || train_and_tell(&settings))
}

/// All of a run, in order.
fn train_and_tell(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "mnist_autoencoder")?;
    let folder = s.common.load()?;
    let images = &folder.train.images;
    let n = without_held_out(images.n(), s.held_out)?;
    let pixels = real(images);
    let train = slice(&pixels, 0..n)?;
    let (set, told, labels) = if s.held_out > 0 {
        ("held-out", slice(&pixels, n..images.n())?.to_mat(), folder.train.labels[n..].to_vec())
    } else {
        ("test", real(&folder.test.images).to_mat(), folder.test.labels.clone())
    };
    let stages = Stages::begin(&s.keep, &out, "mnist_autoencoder", &s.notes(true))?;
    let Some((mut net, before)) = start(s, &stages, &train, &told, &out)? else {
        return Ok(exit_code(stages.ended()));
    };
    if !fine_tune(s, &stages, &mut net, &train, &told)? {
        return Ok(exit_code(stages.ended()));
    }
    save_predictor(&net, &s.notes(true), &out.join("network.safetensors"))?;
    let code = s.hidden().len() + 1;
    let codes = net.network().forward_to(code, told.as_view())?;
    let (back, by_components) = (net.predict(told.as_view())?, components(&train, &told, s.code)?);
    let errors = [squared_error(&back, &told), squared_error(&by_components, &told)];
    draw((images, &told), (&back, &by_components), &out)?;
    save_png(&map(&in_the_plane(&codes)?, &labels)?, &out.join("map.png"))?;
    let summary = serde_json::json!({
        "format": SUMMARY_FORMAT,
        format!("{}_squared_error", set.replace('-', "_")): errors[0],
        format!("{}_squared_error_of_components", set.replace('-', "_")): errors[1],
        format!("{}_squared_error_before_back_propagation", set.replace('-', "_")): before,
        "seconds": began.elapsed().as_secs_f64(),
        "threads": rayon::current_num_threads(),
        "settings": s.notes(true),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\nsquared error of a {set} image:"));
    print_table(&[
        (&format!("{} numbers by the network", s.code), format!("{:.2}", errors[0])),
        ("the same before back-propagation", before.map_or("-".into(), |e| format!("{e:.2}"))),
        (&format!("{} principal components", s.code), format!("{:.2}", errors[1])),
        ("time of it all", format!("{:.1} min", began.elapsed().as_secs_f64() / 60.0)),
    ]);
    say(format_args!("\nwritten to {}", out.display()));
    Ok(ExitCode::SUCCESS)
}

/// The network to begin with, and its error: the unrolled stack, or random weights. Nothing, if it was paused.
fn start(
    s: &Settings,
    stages: &Stages<'_>,
    train: &dyn Samples,
    told: &Mat,
    out: &Path,
) -> Result<Option<(Predictor, Option<f64>)>> {
    let hidden = s.hidden();
    if s.random {
        let up = hidden.iter().map(|n| (*n, Activation::Sigmoid)).chain([(s.code, Activation::Linear)]);
        let down = hidden.iter().rev().map(|n| (*n, Activation::Sigmoid));
        let layers: Vec<_> = up.chain(down).collect();
        let mut net = Predictor::new(train.n_rows(), &layers, &[(train.n_rows(), Arc::new(Bernoulli))]);
        net.network_mut().initialise(s.common.seed);
        return Ok(Some((net, None)));
    }
    let mut stack = Vec::<Rbm>::new();
    for k in 0..=hidden.len() {
        let data = Activities::new(&stack, train)?;
        let (d, seed) = (data.n_rows(), derive(s.common.seed, &format!("layer {}", k + 1)));
        let is_code = k == hidden.len();
        let mut rbm = match is_code {
            true => Rbm::new((d, Bernoulli), (s.code, Gaussian)),
            false => Rbm::new((d, Bernoulli), (hidden[k], Bernoulli)),
        };
        rbm.initialise(&data.mean()?, 1.0 / (data.n_samples() + 1) as f32, seed)?;
        let rate = if is_code { 0.01 * s.learning_rate } else { s.learning_rate };
        let fit = Fit { penalty: Penalty { l1: 0.0, l2: 2e-4 }, ..s.fit(s.epochs(), rate, data.n_samples()) };
        let (mut cd, mut sgd) = (Contrastive::cd(1, seed), Sgd::new(Schedule::Constant(0.9)));
        let name = if is_code { "code".to_string() } else { format!("layer {}", k + 1) };
        if !stages.train((&name, s.notes(false)), &fit, &mut rbm, (&mut cd, &mut sgd), (&data, vec![]))? {
            return Ok(None);
        }
        stack.push(rbm);
    }
    let dbn = Dbn::from_stack(stack)?;
    save_dbn(&dbn, &s.notes(false), &out.join("model.safetensors"))?;
    let net = dbn.to_autoencoder()?;
    let before = squared_error(&net.predict(told.as_view())?, told);
    Ok(Some((net, Some(before))))
}

/// Back-propagation of the cross-entropy of pixels.
fn fine_tune(s: &Settings, stages: &Stages<'_>, net: &mut Predictor, train: &dyn Samples, told: &Mat) -> Result<bool> {
    let both = Stacked::new(vec![train, train])?; // what comes in, and what is to come out
    let mut metrics: Vec<Box<dyn Metric<Predictor> + '_>> = vec![];
    if s.held_out > 0 {
        let measure = |p: &Progress<'_, Predictor>| Ok(squared_error(&p.model.predict(told.as_view())?, told));
        metrics.push(Box::new(Named { name: "squared_error".into(), measure }));
    }
    let fit = s.fit(s.fine_tuning(), s.fine_tuning_rate, both.n_samples());
    let mut objective = Supervised::new(s.common.seed);
    stages.train(
        ("back-propagation", s.notes(true)),
        &fit,
        net,
        (&mut objective, &mut Adam::default()),
        (&both, metrics),
    )
}

/// `Σ (vᵢ - v̂ᵢ)²` over pixels, averaged over images.
fn squared_error(back: &Mat, images: &Mat) -> f64 {
    let squares = back.iter().zip(images.iter()).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / images.ncols() as f64
}

/// Images from so many principal components of the training images.
fn components(train: &dyn Samples, images: &Mat, n: usize) -> Result<Mat> {
    let whiten = Whiten::fit(train, Whitening::Pca { components: n }, 1e-9)?;
    let mut back = images.clone();
    whiten.apply(&mut back)?;
    whiten.invert(&mut back)?;
    Ok(back)
}

/// Codes of two numbers as they are, longer ones by their two first principal components.
fn in_the_plane(codes: &Mat) -> Result<Vec<(f64, f64)>> {
    let mut codes = codes.clone();
    if codes.nrows() > 2 {
        Whiten::fit(&codes.clone(), Whitening::Pca { components: 2 }, 1e-9)?.apply(&mut codes)?;
    }
    let second = codes.nrows() - 1;
    Ok(codes.column_iter().map(|c| (f64::from(c[0]), f64::from(c[second]))).collect())
}

/// Ten images of each: as they are, through the network, and through principal components.
fn draw((images, told): (&Images, &Mat), (back, by_components): (&Mat, &Mat), out: &Path) -> Result<()> {
    let n = told.ncols().min(20);
    let all: Vec<f32> =
        [told, back, by_components].iter().flat_map(|m| m.columns(0, n).iter().copied().collect::<Vec<_>>()).collect();
    let rows = Mat::from_vec(told.nrows(), 3 * n, all);
    let grid = Grid { columns: n, ..Grid::default() };
    let picture = grid.tile(rows.as_view(), images.height, images.width, Shade::Unit)?;
    save_png(&picture, &out.join("reconstructions.png"))
}
