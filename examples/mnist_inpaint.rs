//! Fills in what is missing of digits: the lower half given the upper one, pixels that are lost, whole digits given their class. One
//! machine over pixels and label does all of it, by Gibbs sampling of what is unknown.
//!
//! ```text
//! cargo run --release --example mnist_inpaint
//! ```
//!
//! On two cores it takes some 90 s. The squared error of lower halves, given the upper ones, is 58.4 % of that of mean pixels for grey
//! levels, and 67.3 % for bits, whose noise nothing can foresee. (Seed 1, all test images.)
mod common;

use clap::Parser;
use common::{Binarize, Common, Keep, at_least_one, exit_code, print_table, say, write_json};
use harmonium::data::{Images, Samples, Stacked, one_hot};
use harmonium::eval::mean_of;
use harmonium::infer::{Draws, complete, impute};
use harmonium::io::save_rbm;
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::{Schedule, Sgd};
use harmonium::report::{About, SUMMARY_FORMAT};
use harmonium::rng::derive;
use harmonium::train::{Checkpoints, Ended, Fit, History, ProgressBar, Run, UpdateRatio};
use harmonium::units::Bernoulli;
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Chains, Mask, Mat, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const CLASSES: usize = 10;

/// Fills in what is missing of digits, and draws digits of a class.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/mnist_inpaint]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Hidden units [default: 500]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    hidden: Option<usize>,
    /// Passes over the training images [default: 12]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Learning rate of the first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.15)]
    learning_rate: f32,
    /// Gibbs sweeps before a draw
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one())]
    sweeps: usize,
    /// Test images that the error is told of [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    images: Option<usize>,
    /// A smoke run: the defaults become 100 hidden units, one epoch, 200 images
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn hidden(&self) -> usize {
        self.hidden.unwrap_or(if self.quick { 100 } else { 500 })
    }
    fn epochs(&self) -> u64 {
        self.epochs.unwrap_or(if self.quick { 1 } else { 12 })
    }
    fn notes(&self) -> BTreeMap<String, String> {
        let notes = [
            ("hidden", self.hidden().to_string()),
            ("epochs", self.epochs().to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("seed", self.common.seed.to_string()),
        ];
        notes.map(|(k, v)| (k.to_string(), v)).into()
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || train_and_fill(&settings))
}

fn train_and_fill(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "mnist_inpaint")?;
    let folder = s.common.load()?;
    let bits = Binarize::Bernoulli.encode(&folder.train.images, derive(s.common.seed, "training pixels"));
    let labels = one_hot(&folder.train.labels, CLASSES)?;
    let train = Stacked::new(vec![&bits, &labels])?;
    let mean = mean_of(&train)?;
    let mut rbm = Rbm::with_label((bits.n_rows(), Arc::new(Bernoulli)), CLASSES, (s.hidden(), Arc::new(Bernoulli)));
    rbm.initialise(&mean, 1.0 / train.n_samples() as f32, s.common.seed)?;
    let (ended, _kept) = fit(s, &mut rbm, &train, &out)?;
    save_rbm(&rbm, &s.notes(), &out.join("model.safetensors"))?;
    if !ended.is_final() {
        s.keep.show(&out)?;
        return Ok(exit_code(ended));
    }
    let images = &folder.test.images;
    let test = Binarize::Bernoulli.encode(images, derive(s.common.seed, "test pixels")).to_mat();
    pictures(s, &rbm, &mean, &test, images, &out)?;
    tell(s, &rbm, &mean, (&test, images), (&out, began))?;
    s.keep.show(&out)?;
    Ok(exit_code(ended))
}

/// Trains by persistent contrastive divergence.
fn fit(s: &Settings, rbm: &mut Rbm, train: &dyn Samples, out: &Path) -> Result<(Ended, Option<Checkpoints>)> {
    let per_epoch = train.n_samples().div_ceil(100) as u64;
    let base = [rbm.visible_bias(), &vec![0.0; rbm.n_hidden()]].concat();
    let chains = Chains::from_base(rbm, &base, 200, derive(s.common.seed, "persistent chains"));
    let mut bar = ProgressBar::new(History::new(per_epoch, vec![Box::new(UpdateRatio)]));
    bar.history.path = Some(out.join("metrics.jsonl"));
    let (mut objective, mut optimizer) = (Contrastive::pcd(1, chains), Sgd::default());
    let steps = s.epochs() * per_epoch;
    let fit = Fit {
        epochs: s.epochs(),
        learning_rate: Schedule::Linear { from: s.learning_rate, to: 0.0, steps },
        seed: s.common.seed,
        ..Fit::default()
    };
    let mut run = Run::new(rbm, &mut objective, &mut optimizer, &mut bar);
    s.keep.train(&fit, &mut run, train, (out, &About::now("mnist_inpaint", s.notes())))
}

/// The test digits with nothing said of their labels; unknown entries start at the means of the data.
fn samples(rbm: &Rbm, mean: &[f32], pixels: &Mat, unknown: impl Fn(usize, usize) -> bool) -> (Mat, Mask) {
    let (d, n) = (pixels.nrows(), pixels.ncols());
    let mask = Mask::from_fn(rbm.n_visible(), n, |i, j| i >= d || unknown(i, j));
    (Mat::from_fn(rbm.n_visible(), n, |i, j| if mask[(i, j)] { mean[i] } else { pixels[(i, j)] }), mask)
}

/// Whether a pixel of an image is unknown.
type Unknown<'a> = &'a dyn Fn(usize, usize) -> bool;

/// Half digits, digits with lost pixels, digits of a class.
fn pictures(s: &Settings, rbm: &Rbm, mean: &[f32], test: &Mat, images: &Images, out: &Path) -> Result<()> {
    let (height, width, d) = (images.height, images.width, images.n_pixels());
    let draws =
        |k: u64| Draws { sweeps: s.sweeps, seed: derive(s.common.seed, &format!("picture {k}")), ..Draws::default() };
    let pixels = test.columns(0, 10).clone_owned();
    let lost = |i: usize, j: usize| (i * 7919 + j * 104_729) % 1009 < 706; // about 70 %, spread evenly
    let kinds: [(&str, Unknown<'_>); 2] = [("halves.png", &|i, _| i >= d / 2), ("lost.png", &lost)];
    for (name, unknown) in kinds {
        let (x, mask) = samples(rbm, mean, &pixels, unknown);
        let grey = |i: usize, j: usize| if mask[(i, j)] { 0.35 } else { x[(i, j)] };
        let mut rows = vec![pixels.clone(), Mat::from_fn(d, 10, grey)];
        for k in 0..3 {
            rows.push(complete(rbm, x.as_view(), &mask, &draws(k))?.rows(0, d).clone_owned());
        }
        rows.push(impute(rbm, x.as_view(), &mask, &draws(3))?.mean.rows(0, d).clone_owned());
        save(&rows, (height, width), &out.join(name))?;
    }
    // A column a class, a row a draw: the label is known, all pixels are not.
    let mut rows = vec![];
    for k in 4..12 {
        let x = Mat::from_fn(rbm.n_visible(), CLASSES, |i, j| if i < d { mean[i] } else { f32::from(i - d == j) });
        let unknown = Mask::from_fn(rbm.n_visible(), CLASSES, |i, _| i < d);
        let long = Draws { sweeps: 40 * s.sweeps, chains: 1, averaged: 1, ..draws(k) };
        rows.push(impute(rbm, x.as_view(), &unknown, &long)?.mean.rows(0, d).clone_owned());
    }
    save(&rows, (height, width), &out.join("classes.png"))
}
/// Rows of ten images each.
fn save(rows: &[Mat], (height, width): (usize, usize), path: &Path) -> Result<()> {
    let all = Mat::from_fn(height * width, 10 * rows.len(), |i, j| rows[j / 10][(i, j % 10)]);
    save_png(&Grid { columns: 10, ..Grid::default() }.tile(all.as_view(), height, width, Shade::Unit)?, path)
}

/// The error of the lower halves, and how often the label is right.
fn tell(
    s: &Settings,
    rbm: &Rbm,
    mean: &[f32],
    (test, images): (&Mat, &Images),
    (out, began): (&Path, Instant),
) -> Result<()> {
    let n = s.images.unwrap_or(if s.quick { 200 } else { test.ncols() }).min(test.ncols());
    let (pixels, d) = (test.columns(0, n).clone_owned(), images.n_pixels());
    let (x, mask) = samples(rbm, mean, &pixels, |i, _| i >= d / 2);
    let draws = Draws { sweeps: s.sweeps, seed: derive(s.common.seed, "lower halves"), ..Draws::default() };
    let guess = impute(rbm, x.as_view(), &mask, &draws)?.mean;
    let squares = |of: &dyn Fn(usize, usize) -> f32, truth: &dyn Fn(usize, usize) -> f32| -> f64 {
        let one = |j: usize| (d / 2..d).map(|i| f64::from(of(i, j) - truth(i, j)).powi(2)).sum::<f64>();
        (0..n).map(one).sum::<f64>() / n as f64
    };
    let bit = |i: usize, j: usize| pixels[(i, j)];
    let grey = |i: usize, j: usize| f32::from(images.image(j)[i]) / 255.0;
    let (guessed, of_mean) = (|i: usize, j: usize| guess[(i, j)], |i: usize, _: usize| mean[i]);
    let (bits, bits_mean) = (squares(&guessed, &bit), squares(&of_mean, &bit));
    let (greys, greys_mean) = (squares(&guessed, &grey), squares(&of_mean, &grey));
    let summary = serde_json::json!({
        "format": SUMMARY_FORMAT,
        "lower_half_squared_error": bits, "lower_half_squared_error_of_mean": bits_mean, "ratio": bits / bits_mean,
        "lower_half_squared_error_grey": greys, "lower_half_squared_error_grey_of_mean": greys_mean,
        "ratio_grey": greys / greys_mean, "images": n, "seconds": began.elapsed().as_secs_f64(), "settings": s.notes(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\nsquared error of the lower half of {n} test digits, given the upper half:"));
    let row = |own: f64, baseline: f64| {
        format!("{own:.2}, {:.1} % of the {baseline:.2} of mean pixels", 100.0 * own / baseline)
    };
    print_table(&[
        ("bits", row(bits, bits_mean)),
        ("grey levels", row(greys, greys_mean)),
        ("time of it all", format!("{:.1} s", began.elapsed().as_secs_f64())),
    ]);
    say(format_args!(
        "\nwritten to {}: halves.png and lost.png (truth, what is known, three draws, the mean), classes.png",
        out.display()
    ));
    Ok(())
}
