//! Digits as memories: black-and-white MNIST images are stored in Hopfield networks by every rule, and recalled from noisy images,
//! images with a hole, and halves.
//!
//! ```text
//! cargo run --release --example mnist_hopfield
//! ```
//!
//! On two cores it takes 20 s. Digits are so alike that Hebb's rule holds none of ten. The projection without self-couplings recalls
//! all of 50 digits from 10 % of noise, 98 % from images with a hole, 62 % from the upper half; of 200 digits 80.5 %, 10.5 % and
//! 2.5 %. Perceptrons hold all, but in small basins. Of 10,000 digits in grey levels a modern
//! Hopfield network recalls 98.9 % from their upper halves in one update; Hebb's rule and the projection none. (Seed 1.)
mod common;

use clap::Parser;
use common::{Common, at_least_one, out_folder, print_table, say, write_json};
use harmonium::data::{Images, Samples, order, threshold};
use harmonium::infer::{Recall, overlaps, recall};
use harmonium::models::ModernHopfield;
use harmonium::models::hopfield::{
    Hebb, Hopfield, Perceptron, Projected, PseudoInverse, Storkey, SymmetricPerceptron, Unlearning,
};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::{ChainRng, derive};
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Mat, Result};
use rand::RngExt;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Digits as memories of Hopfield networks.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    /// Folder for what is written [default: target/mnist_hopfield]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How many digits are stored; given several times, one table each [default: 10, 50, 200]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    stored: Vec<usize>,
    /// The share of pixels that noise turns
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    noise: f32,
    /// A smoke run: 10 and 50 digits, few sweeps of learning
    #[arg(long)]
    quick: bool,
}

/// What is recalled from a cue: digits × spins, by any memory.
type Memory = Box<dyn Fn(&Mat) -> Result<Mat>>;
/// A rule: its name, and how it makes a memory of some patterns (pixels × digits), for at most so many sweeps of learning.
type Rule = (&'static str, fn(&Mat, usize, u64) -> Result<Memory>);

/// The rules. A modern (continuous) network, which is no network of couplings, is beside them where far more digits are stored.
const RULES: [Rule; 7] = [
    ("Hebb", |x, _, seed| Ok(moving(hebb(x)?, seed))),
    ("unlearning", |x, _, seed| {
        let mut rule = Unlearning::new(hebb(x)?, 0.01, seed)?;
        rule.dream(5 * x.ncols());
        Ok(moving(rule.network().clone(), seed))
    }),
    ("Storkey", |x, _, seed| {
        let mut rule = Storkey::new(x.nrows())?;
        rule.store(x.as_view())?;
        Ok(moving(rule.network()?, seed))
    }),
    ("projection, own dropped", |x, _, seed| Ok(moving(projection(x, Projected::Dropped)?, seed))),
    ("projection, own kept", |x, _, seed| Ok(moving(projection(x, Projected::WithOwn)?, seed))),
    ("symmetric perceptron", |x, sweeps, seed| {
        let mut rule = SymmetricPerceptron::new(x.nrows(), MARGIN)?;
        rule.store(x.as_view())?;
        rule.learn(sweeps);
        Ok(moving(rule.network(), seed))
    }),
    ("perceptron", |x, sweeps, seed| {
        let mut rule = Perceptron::new(x.nrows(), MARGIN)?;
        rule.store(x.as_view())?;
        rule.learn(sweeps);
        Ok(moving(rule.network(), seed))
    }),
];
/// Of both perceptrons.
const MARGIN: f64 = 0.5;

fn hebb(x: &Mat) -> Result<Hopfield> {
    let mut rule = Hebb::new(x.nrows())?;
    rule.store(x.as_view())?;
    rule.network()
}
fn projection(x: &Mat, diagonal: Projected) -> Result<Hopfield> {
    let mut rule = PseudoInverse::new(x.nrows())?;
    rule.store(x.as_view())?;
    Ok(rule.network(diagonal))
}
/// A network that moves spin by spin until it is at rest.
fn moving(network: Hopfield, seed: u64) -> Memory {
    Box::new(move |cues| Ok(recall(&network, cues.as_view(), &Recall { seed, ..Recall::default() })?.states))
}

fn main() -> ExitCode {
    let mut settings = Settings::parse();
    if settings.stored.is_empty() {
        settings.stored = if settings.quick { vec![10, 50] } else { vec![10, 50, 200] };
    }
    common::run(settings.common.threads, || all_sizes(&settings))
}

fn all_sizes(s: &Settings) -> Result<()> {
    let began = Instant::now();
    let out = out_folder(&s.out, "mnist_hopfield")?;
    let train = s.common.load()?.train;
    let images = threshold(&train.images);
    let side = (train.images.height, train.images.width);
    let chosen = order(images.n_samples(), derive(s.common.seed, "digits"), 0);
    let (mut rows, mut told) = (vec![], vec![]);
    for &n in &s.stored {
        let index = &chosen[..n.min(chosen.len())];
        let mut x = Mat::zeros(images.n_rows(), index.len());
        images.gather(0, index, x.as_view_mut());
        x.apply(|v| *v = 2.0 * *v - 1.0);
        let cues = cues(s, &x, side);
        let mut pictures: Vec<Mat> = cues.iter().map(|(_, cue)| shown(cue)).collect();
        for (name, memory) in RULES {
            let memory = memory(&x, if s.quick { 20 } else { 200 }, derive(s.common.seed, name))?;
            let mut line = vec![];
            for ((kind, cue), picture) in cues.iter().zip(&mut pictures) {
                let found = memory(cue)?;
                let (exact, overlap) = judged(&x, &found)?;
                *picture = below(picture, &shown(&found));
                line.push(format!("{:5.1} %, {overlap:.3}", 100.0 * exact));
                told.push(
                    json!({ "stored": x.ncols(), "rule": name, "cue": kind, "exact": exact, "overlap": overlap }),
                );
            }
            say(format_args!("{n} digits, {name}: {}", line.join("; ")));
            rows.push((format!("{n} digits, {name}"), line.join("   ")));
        }
        for ((kind, _), picture) in cues.iter().zip(&pictures) {
            draw(&below(picture, &shown(&x)), side, x.ncols(), &out.join(format!("{kind}-{n}.png")))?;
        }
    }
    let modern = many(s, (&train.images, &images), &chosen, (&out, &mut rows))?;
    rows.push(("time of it all".into(), format!("{:.1} s", began.elapsed().as_secs_f64())));
    say(
        "\nrecalled without any error, and the mean overlap, from noise, from an image with a hole, from the upper half:",
    );
    print_table(&rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>());
    let summary = json!({
        "format": SUMMARY_FORMAT, "recalled": told, "many": modern, "seconds": began.elapsed().as_secs_f64(),
        "settings": { "stored": s.stored, "noise": s.noise, "margin": MARGIN, "quick": s.quick, "seed": s.common.seed },
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!(
        "\nwritten to {}: in every picture the cues, what each rule makes of them (rows in",
        out.display()
    ));
    say("the order of the table), and the truth");
    Ok(())
}

/// Inverse temperature of the modern network, for pixels in -1..1.
const BETA: f32 = 3.0;
/// A grey image is recalled if what is wrong is this share of its length at most.
const NEAR: f32 = 0.1;

/// Far more digits than pixels, in grey levels, recalled from their upper halves by a modern Hopfield network in one update; beside it the
/// classical rules, in black and white.
fn many(
    s: &Settings,
    (grey, black): (&Images, &dyn Samples),
    chosen: &[usize],
    (out, rows): (&Path, &mut Vec<(String, String)>),
) -> Result<serde_json::Value> {
    let n = if s.quick { 1000 } else { 10_000 }.min(chosen.len());
    let (height, width) = (grey.height, grey.width);
    let x =
        Mat::from_fn(grey.n_pixels(), n, |i, j| f32::from(grey.pixels[chosen[j] * grey.n_pixels() + i]) / 127.5 - 1.0);
    // What is not known is halfway between black and white.
    let cues = Mat::from_fn(x.nrows(), n, |i, j| if i / width < height / 2 { x[(i, j)] } else { 0.0 });
    let began = Instant::now();
    let memory = ModernHopfield::storing(x.as_view(), f64::from(BETA))?;
    let found = memory.updated(cues.as_view())?;
    let seconds = began.elapsed().as_secs_f64();
    let near = |j: &usize| (x.column(*j) - found.column(*j)).norm() <= NEAR * x.column(*j).norm();
    let recalled = (0..n).filter(near).count() as f64 / n as f64;
    rows.push((
        format!("{n} digits, modern Hopfield network, one update from the upper half"),
        format!("{:.2} % recalled within {NEAR} of their length ({seconds:.1} s)", 100.0 * recalled),
    ));
    let mut bits = Mat::zeros(x.nrows(), n);
    black.gather(0, &chosen[..n], bits.as_view_mut());
    bits.apply(|v| *v = 2.0 * *v - 1.0);
    let halves = &cues_of_halves(&bits, (height, width));
    let mut told = vec![json!({ "rule": "modern", "stored": n, "recalled": recalled, "seconds": seconds })];
    for (name, network) in [("Hebb", hebb(&bits)?), ("projection, own dropped", projection(&bits, Projected::Dropped)?)]
    {
        let (exact, overlap) = judged(&bits, &moving(network, s.common.seed)(halves)?)?;
        rows.push((
            format!("{n} digits, {name}, from the upper half"),
            format!("{:.2} %, {overlap:.3}", 100.0 * exact),
        ));
        told.push(json!({ "rule": name, "stored": n, "recalled": exact, "overlap": overlap }));
    }
    let pictures = below(&below(&shown(&cues), &shown(&found)), &shown(&x));
    draw(&pictures, (height, width), n, &out.join("modern.png"))?;
    Ok(told.into())
}
fn cues_of_halves(x: &Mat, (height, width): (usize, usize)) -> Mat {
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| if i / width < height / 2 { x[(i, j)] } else { -1.0 })
}

/// The cues of some images by kind: pixels turned, a black square in the middle, the lower half black.
fn cues(s: &Settings, x: &Mat, (height, width): (usize, usize)) -> [(&'static str, Mat); 3] {
    let mut rng = ChainRng::new(derive(s.common.seed, "noise"));
    let blackened = |black: &dyn Fn(usize, usize) -> bool| {
        Mat::from_fn(x.nrows(), x.ncols(), |i, j| if black(i / width, i % width) { -1.0 } else { x[(i, j)] })
    };
    let middle = |at: usize, side: usize| (side / 3..side - side / 3).contains(&at);
    let noisy = x.map(|v| if rng.random::<f32>() < s.noise { -v } else { v });
    let hole = blackened(&|r, c| middle(r, height) && middle(c, width));
    [("noise", noisy), ("hole", hole), ("half", cues_of_halves(x, (height, width)))]
}
/// The share of images recalled without any error, and their mean overlap with the truth.
fn judged(x: &Mat, found: &Mat) -> Result<(f64, f64)> {
    let n = x.ncols() as f64;
    let exact = x.column_iter().zip(found.column_iter()).filter(|(x, f)| x == f).count() as f64 / n;
    let mut overlap = 0.0;
    for j in 0..x.ncols() {
        overlap += f64::from(overlaps(x.columns(j, 1), found.columns(j, 1))?[0]) / n;
    }
    Ok((exact, overlap))
}

/// Images shown of each kind.
const SHOWN: usize = 10;

fn shown(x: &Mat) -> Mat {
    x.columns(0, SHOWN.min(x.ncols())).clone_owned()
}
/// More images, the next row of a picture.
fn below(a: &Mat, b: &Mat) -> Mat {
    let n = a.ncols();
    let mut both = a.clone().resize_horizontally(n + b.ncols(), 0.0);
    both.columns_mut(n, b.ncols()).copy_from(b);
    both
}
fn draw(images: &Mat, (height, width): (usize, usize), stored: usize, path: &Path) -> Result<()> {
    let grid = Grid { columns: SHOWN.min(stored), scale: 2, ..Grid::default() };
    save_png(&grid.tile(images.as_view(), height, width, Shade::Range(-1.0, 1.0))?, path)
}
