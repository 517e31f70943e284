//! Regression by draws: an energy head on a small network learns conditional distributions that are known, by the energy score alone; its loss
//! beside the least there is, its draws beside the truth.
//!
//! ```text
//! cargo run --release --features candle --example energy_head_regression
//! ```
//!
//! Seed 1, 132 s on two cores. Above the least energy score there is: a wave with growing noise +0.52 ± 0.66 %, two branches -0.84 ± 0.44 %, a
//! mixture in the plane -0.02 ± 0.23 %. Energy distance between draws and truth: -0.0001 ± 0.0005, -0.0003 ± 0.0002, -0.0000 ± 0.0004, as that of
//! truth and truth. The picture shows more than these numbers: densities have creases, for a head folds its noise onto them.
#[path = "../common/mod.rs"]
mod common;
mod toys;

use clap::Parser;
use common::{at_least_one, out_folder, print_table, say, write_json};
use harmonium::eval::{Estimate, energy_distance};
use harmonium::models::calm::{HeadSettings, ImplicitDensity};
use harmonium::models::neural::Activation;
use harmonium::objectives::{ScoredDraws, energy_score};
use harmonium::optim::{Adam, Schedule};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::{ChainRng, derive};
use harmonium::train::{Fit, MovingAverage, Run};
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Mat, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use toys::{SIDE, Toy};

/// Test samples whose loss is told, and draws for each.
const TEST: [usize; 2] = [20_000, 32];
/// Samples of each of two sets whose distance is told; with their inputs they are triples at most.
const COMPARED: usize = 6000;
/// Inputs that a picture of the plane shows, and the side of a picture.
const SHOWN: [f64; 4] = [-1.5, -0.5, 0.5, 1.5];
const SIZE: usize = 160;

/// Conditional distributions learned from draws by the energy score.
#[derive(Parser, Clone, Debug)]
struct Settings {
    /// The same seed gives the same numbers, for any number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads; 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Folder for what is written [default: target/energy_head_regression]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Samples to learn from
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = at_least_one())]
    samples: usize,
    /// Updates, of 100 samples each [default: 6000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    updates: Option<usize>,
    /// Draws for each sample of an update; at least 2
    #[arg(long, value_name = "N", default_value_t = 8)]
    draws: usize,
    /// Units of the network's layers, and of the head's
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one())]
    width: usize,
    /// Adam's learning rate; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.003)]
    learning_rate: f32,
    /// A smoke run: 50 updates
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.threads, || compare(&settings))
}

/// What one toy set came to.
struct Outcome {
    toy: Toy,
    loss: Estimate,
    least: f64,
    distance: Estimate,
    floor: Estimate,
    seconds: f64,
    pictures: Vec<Vec<f32>>,
}

fn compare(s: &Settings) -> Result<()> {
    let (began, out) = (Instant::now(), out_folder(&s.out, "energy_head_regression")?);
    let mut outcomes = vec![];
    for toy in Toy::ALL {
        let outcome = learn_and_judge(s, toy, derive(s.seed, toy.name()))?;
        tell(&outcome);
        outcomes.push(outcome);
    }
    let images: Vec<&Vec<f32>> = outcomes.iter().flat_map(|o| &o.pictures).collect();
    let images = Mat::from_vec(SIZE * SIZE, images.len(), images.into_iter().flatten().copied().collect());
    let grid = Grid { columns: 2, scale: 2, ..Grid::default() };
    save_png(&grid.tile(images.as_view(), SIZE, SIZE, Shade::Unit)?, &out.join("draws.png"))?;
    let object = |o: &Outcome| {
        serde_json::json!({
            "set": o.toy.name(), "loss": o.loss.value, "loss_stderr": o.loss.standard_error, "least_loss": o.least,
            "energy_distance": o.distance.value, "energy_distance_stderr": o.distance.standard_error,
            "energy_distance_of_truth": o.floor.value, "energy_distance_of_truth_stderr": o.floor.standard_error,
            "seconds": o.seconds,
        })
    };
    let summary = serde_json::json!({
        "program": "energy_head_regression", "format": SUMMARY_FORMAT, "seed": s.seed,
        "sets": outcomes.iter().map(object).collect::<Vec<_>>(), "seconds": began.elapsed().as_secs_f64(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\ntime of it all: {:.1} s", began.elapsed().as_secs_f64()));
    say(format_args!(
        "\nwritten to {}: draws.png (a row a set: the truth, and draws of the head; input to the right, answer",
        out.display()
    ));
    say("upwards, of the mixture the plane at four inputs), summary.json");
    Ok(())
}
fn tell(o: &Outcome) {
    say(format_args!("\n{}", o.toy.name()));
    let above = 100.0 * (o.loss.value / o.least - 1.0);
    let error = 100.0 * o.loss.standard_error / o.least;
    print_table(&[
        ("energy score", format!("{:.4}, the least there is {:.4}: {above:+.2} ± {error:.2} %", o.loss.value, o.least)),
        ("energy distance to truth", format!("{:.5} ± {:.5}", o.distance.value, o.distance.standard_error)),
        ("of truth to truth", format!("{:.5} ± {:.5}", o.floor.value, o.floor.standard_error)),
        ("time of training", format!("{:.1} s", o.seconds)),
    ]);
}

fn learn_and_judge(s: &Settings, toy: Toy, seed: u64) -> Result<Outcome> {
    let (began, data) = (Instant::now(), toy.sample(s.samples, derive(seed, "training set")));
    let model = learn(s, toy, &data, seed)?;
    let seconds = began.elapsed().as_secs_f64();
    let compared = toy.sample(COMPARED, derive(seed, "compared"));
    let again = toy.sample(COMPARED, derive(seed, "compared with"));
    Ok(Outcome {
        toy,
        loss: test_loss(&model, toy, seed)?,
        least: toy.least_loss(),
        distance: energy_distance(drawn(&model, &again, seed)?.as_view(), compared.as_view())?,
        floor: energy_distance(again.as_view(), compared.as_view())?,
        seconds,
        pictures: pictures(&model, toy, seed)?,
    })
}
/// A network of two layers with a head; it ends as a moving average of what it was.
fn learn(s: &Settings, toy: Toy, data: &Mat, seed: u64) -> Result<ImplicitDensity> {
    let layers = [(s.width, Activation::Silu); 2];
    let head = HeadSettings { noise: 8, width: s.width, blocks: 2 };
    let mut model = ImplicitDensity::new(1, &layers, toy.outputs(), head)?;
    model.initialise(derive(seed, "model"));
    let mut fit = Fit { batch: 100, seed, clip_norm: Some(1.0), ..Fit::default() };
    let updates = s.updates.unwrap_or(if s.quick { 50 } else { 6000 });
    // A pass over fewer data for a few updates is one over all, cut short: no data are looked at that are not there.
    let data = data.columns(0, data.ncols().min(100 * updates)).clone_owned();
    fit.epochs = updates.div_ceil(data.ncols().div_ceil(fit.batch)) as u64;
    fit.learning_rate = Schedule::Linear { from: s.learning_rate, to: 0.0, steps: fit.steps(data.ncols()) };
    let (mut objective, mut adam) = (ScoredDraws::new(s.draws, seed), Adam::default());
    let mut average = MovingAverage::new(model.params(), 0.999)?;
    fit.run(&mut Run::new(&mut model, &mut objective, &mut adam, &mut average), &data)?;
    model.update(&mut |p| average.copy_to(p));
    Ok(model)
}
/// The mean loss of test answers, each at draws of its own.
fn test_loss(model: &ImplicitDensity, toy: Toy, seed: u64) -> Result<Estimate> {
    let [n, draws] = TEST;
    let test = toy.sample(n, derive(seed, "test set"));
    let x = model.sample(test.rows(0, 1).clone_owned().as_view(), draws, derive(seed, "test draws"))?;
    let loss = |j: usize| {
        let y = test.view((1, j), (toy.outputs(), 1)).clone_owned();
        energy_score(x.columns(j * draws, draws), y.as_view(), 1.0)
    };
    Ok(Estimate::of(&(0..n).map(loss).collect::<Result<Vec<_>>>()?))
}
/// The inputs of some samples, and draws for them.
fn drawn(model: &ImplicitDensity, like: &Mat, seed: u64) -> Result<Mat> {
    let inputs = like.rows(0, 1).clone_owned();
    let mut out = like.clone();
    out.rows_mut(1, like.nrows() - 1).copy_from(&model.sample(inputs.as_view(), 1, derive(seed, "draws"))?);
    Ok(out)
}

/// The truth, and draws: how often answers fall on each point, brighter where more often.
fn pictures(model: &ImplicitDensity, toy: Toy, seed: u64) -> Result<Vec<Vec<f32>>> {
    const DRAWN: usize = 400_000;
    let mut rng = ChainRng::new(derive(seed, "pictures"));
    let u: Vec<f64> = match toy {
        Toy::Plane => (0..DRAWN).map(|k| SHOWN[k % SHOWN.len()]).collect(),
        _ => (0..DRAWN).map(|k| SIDE * (2.0 * (k as f64 + 0.5) / DRAWN as f64 - 1.0)).collect(),
    };
    let truth = toy.answers(&u, &mut rng);
    let of_model = drawn(model, &truth, seed)?;
    Ok([truth, of_model].iter().map(|x| histogram(x, toy)).collect())
}
fn histogram(x: &Mat, toy: Toy) -> Vec<f32> {
    let ([low, high], mut counts) = (toy.shown(), vec![0f32; SIZE * SIZE]);
    let place = |v: f32, low: f64, high: f64| {
        let at = (f64::from(v) - low) / (high - low) * SIZE as f64;
        (0.0..SIZE as f64).contains(&at).then_some(at as usize)
    };
    for c in x.column_iter() {
        let at = match toy {
            Toy::Plane => place(c[1], low, high).zip(place(c[2], low, high)),
            _ => place(c[0], -SIDE, SIDE).zip(place(c[1], low, high)),
        };
        if let Some((across, up)) = at {
            counts[(SIZE - 1 - up) * SIZE + across] += 1.0;
        }
    }
    // The square root, for densities are of many sizes; the brightest is that of some hundred answers a point.
    counts.iter().map(|c| (c / 150.0).sqrt().min(1.0)).collect()
}
