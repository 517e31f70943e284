//! An energy of MNIST digits at every level of noise, learned by denoising score matching; digits are drawn from pure noise by annealed
//! Langevin dynamics, and noisy test digits are denoised.
//!
//! ```text
//! cargo run --release --example mnist_score_matching
//! ```
//!
//! On two cores it takes some 27 minutes: of 1,000 samples a classifier gives 79.8 % a class with a probability above 0.9 (of test images
//! 95.7 %); all ten classes are among them. (Seed 1.) How samples are led out of noise was chosen by the same share, of other draws of the
//! same network: from 74.7 to 79.8 %. Widths and epochs were not searched.
mod common;

use clap::{Parser, ValueEnum};
use common::{Common, Judge, Keep, at_least_one, beside, exit_code, print_table, say, without_held_out, write_json};
use harmonium::data::{Folder, Samples, Stacked, real, slice};
use harmonium::eval::mean_of;
use harmonium::models::neural::{Activation, NoisyEnergy};
use harmonium::objectives::{DenoisingScoreMatching, NoiseLevels, Objective};
use harmonium::optim::{Adam, Schedule};
use harmonium::report::{About, SUMMARY_FORMAT};
use harmonium::rng::{ChainRng, derive};
use harmonium::samplers::{AnnealedLangevin, ProbabilityFlow};
use harmonium::train::{Checkpoints, Ended, Fit, History, Metric, MovingAverage, Named, Progress, ProgressBar, Run};
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Batch, Chains, Learn, Mat, MatRef, Result, Train};
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Noise that samples begin with, in units of the pixels' range.
const FIRST: f32 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The probability flow, by Heun's method
    Flow,
    /// Annealed Langevin dynamics
    Langevin,
}

/// Learns an energy of digits with noise of every size, and draws digits from noise.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/mnist_score_matching]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Units of each hidden layer [default: 1536]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    hidden: Option<usize>,
    /// Hidden layers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    layers: usize,
    /// Passes over the training images [default: 75]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Images of an update
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one())]
    batch: usize,
    /// Adam's learning rate; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.001)]
    learning_rate: f32,
    /// Mean of the logarithm of the noise that is learned from
    #[arg(long, value_name = "F", default_value_t = -1.0, allow_negative_numbers = true)]
    noise_mean: f32,
    /// Its standard deviation
    #[arg(long, value_name = "F", default_value_t = 1.4)]
    noise_deviation: f32,
    /// Decay of the moving average of the parameters that is drawn from
    #[arg(long, value_name = "F", default_value_t = 0.999)]
    average: f32,
    /// Levels of noise that samples are led through [default: 150]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    levels: Option<usize>,
    /// Langevin steps at each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one())]
    steps: usize,
    /// Variance of a step in units of the level's
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    step_size: f32,
    /// How samples are led out of noise
    #[arg(long, value_enum, default_value = "flow")]
    by: By,
    /// Noise that is put back before every level of the flow, in shares of it
    #[arg(long, value_name = "F", default_value_t = 0.5)]
    churn: f32,
    /// Noise of the last level, which one step takes away in the end
    #[arg(long, value_name = "F", default_value_t = 0.2)]
    last_noise: f32,
    /// Samples that are judged [default: 1000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    samples: Option<usize>,
    /// Keep the last N training images out of training and denoise them; the test images are not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    /// A smoke run: the defaults become 64 hidden units, one epoch, 5 levels, 50 samples
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn epochs(&self) -> u64 {
        self.epochs.unwrap_or(if self.quick { 1 } else { 75 })
    }
    fn hidden(&self) -> Vec<(usize, Activation)> {
        vec![(self.hidden.unwrap_or(if self.quick { 64 } else { 1536 }), Activation::Silu); self.layers]
    }
    fn levels(&self) -> usize {
        self.levels.unwrap_or(if self.quick { 5 } else { 150 })
    }
    fn samples(&self) -> usize {
        self.samples.unwrap_or(if self.quick { 50 } else { 1000 })
    }
    fn notes(&self) -> BTreeMap<String, String> {
        let notes = [
            ("hidden", format!("{} x {}", self.hidden()[0].0, self.layers)),
            ("epochs", self.epochs().to_string()),
            ("batch", self.batch.to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("noise", format!("log-normal, {} ± {}", self.noise_mean, self.noise_deviation)),
            ("average", self.average.to_string()),
            ("held_out", self.held_out.to_string()),
            ("seed", self.common.seed.to_string()),
        ];
        notes.map(|(k, v)| (k.to_string(), v)).into()
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || train_and_draw(&settings))
}

/// All of a run, in order.
fn train_and_draw(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "mnist_score_matching")?;
    let folder = s.common.load()?;
    let (height, width) = (folder.train.images.height, folder.train.images.width);
    let pixels = real(&folder.train.images);
    let n = without_held_out(pixels.n_samples(), s.held_out)?;
    let (train, held_out) = (slice(&pixels, 0..n)?, slice(&pixels, n..pixels.n_samples())?);
    let mean = mean_of(&train)?;
    let mut model = NoisyEnergy::new(&mean, deviation(&train, &mean), 0.01..=20.0, &s.hidden())?;
    model.initialise(s.common.seed);
    let mut about = About::now("mnist_score_matching", s.notes());
    about.image = Some((height, width));
    let (ended, _kept) = fit(s, &mut model, &train, (&out, &about))?;
    if !ended.is_final() {
        s.keep.show(&out)?;
        return Ok(exit_code(ended));
    }
    let trained = began.elapsed().as_secs_f64();
    let mut chains = Chains::new(noise(s, &model, s.samples()), derive(s.common.seed, "drawing"));
    let steps = if s.by == By::Langevin { format!(" of {} steps", s.steps) } else { String::new() };
    say(format_args!("{} samples from noise, {} levels{steps}", s.samples(), s.levels()));
    draw(s, &model, &mut chains, (height, width), &out)?;
    let samples = chains.states.x().rows(1, height * width).clone_owned();
    let told = if s.held_out > 0 { held_out.to_mat() } else { real(&folder.test.images).to_mat() };
    denoise(s, &model, told.as_view(), (height, width), &out)?;
    tell(s, (&folder, train.to_mat().as_view(), told.as_view()), &samples, (trained, began), &out)?;
    s.keep.show(&out)?;
    Ok(exit_code(ended))
}

/// The standard deviation of pixels about their means, over all pixels.
fn deviation(data: &dyn Samples, mean: &[f32]) -> f32 {
    let x = data.to_mat();
    let square = |(x, m): (&f32, &f32)| f64::from(x - m).powi(2);
    let sum: f64 = x.column_iter().map(|c| c.iter().zip(mean).map(square).sum::<f64>()).sum();
    (sum / x.len() as f64).sqrt() as f32
}

/// Trains; the model ends with the average of its parameters.
fn fit(
    s: &Settings,
    model: &mut NoisyEnergy,
    train: &dyn Samples,
    (out, about): (&Path, &About),
) -> Result<(Ended, Option<Checkpoints>)> {
    let levels = NoiseLevels::LogNormal { mean: s.noise_mean, deviation: s.noise_deviation };
    let objective = |seed: &str| -> Result<DenoisingScoreMatching> {
        let mut objective = DenoisingScoreMatching::new(levels.clone(), derive(s.common.seed, seed))?;
        objective.data_deviation = Some(model.deviation());
        Ok(objective)
    };
    let (mut objective, judge) = (objective("noise of training")?, objective("noise of looks")?);
    // Of the same images with the same noise at every look, for a smooth curve.
    let probe = slice(train, 0..train.n_samples().min(2000))?.to_mat().insert_row(0, 0.0);
    let loss = move |p: &Progress<'_, NoisyEnergy>| {
        let weights = vec![1.0; probe.ncols()];
        let batch = Batch { x: probe.as_view(), weights: &weights, missing: None, step: 0 };
        let report = judge.clone().gradient(p.model, &batch, &mut p.model.params().zeros_like())?;
        Ok(report.loss.unwrap_or(f64::NAN) / (probe.nrows() - 1) as f64)
    };
    let metrics: Vec<Box<dyn Metric<NoisyEnergy>>> = vec![Box::new(Named { name: "loss".into(), measure: loss })];
    let per_epoch = train.n_samples().div_ceil(s.batch) as u64;
    let mut bar = ProgressBar::new(History::new(per_epoch, metrics));
    bar.history.path = Some(out.join("metrics.jsonl"));
    let mut monitor = (bar, MovingAverage::new(model.params(), s.average)?);
    let clean = Mat::zeros(1, train.n_samples());
    let data = Stacked::new(vec![&clean, train])?;
    let fit = Fit {
        epochs: s.epochs(),
        batch: s.batch,
        learning_rate: Schedule::Linear { from: s.learning_rate, to: 0.0, steps: s.epochs() * per_epoch },
        clip_norm: Some(10.0),
        seed: s.common.seed,
        ..Fit::default()
    };
    let mut optimizer = Adam::default();
    let mut run = Run::new(model, &mut objective, &mut optimizer, &mut monitor);
    let ended = s.keep.train(&fit, &mut run, &data, (out, about))?;
    let (_, average) = monitor;
    model.update(&mut |p| average.copy_to(p));
    Ok(ended)
}

/// Pure noise: where samples begin.
fn noise(s: &Settings, model: &NoisyEnergy, n: usize) -> Mat {
    let mut rng = ChainRng::new(derive(s.common.seed, "noise to begin with"));
    let mut x = Mat::zeros(model.mean().len() + 1, n);
    for mut column in x.column_iter_mut() {
        column[0] = FIRST;
        column.iter_mut().skip(1).zip(model.mean()).for_each(|(x, m)| {
            let z: f32 = StandardNormal.sample(&mut rng);
            *x = m + FIRST * z;
        });
    }
    x
}

/// Leads chains out of noise; and the film of ten of them, one a row.
fn draw(s: &Settings, model: &NoisyEnergy, chains: &mut Chains, size: (usize, usize), out: &Path) -> Result<()> {
    const FRAMES: usize = 12;
    let given = |sigma: f32, given: &mut [f32]| given[0] = sigma;
    let pixels = size.0 * size.1;
    let shown = chains.states.ncols().min(10);
    let mut langevin = AnnealedLangevin::geometric(FIRST, s.last_noise, s.levels(), s.steps)?;
    langevin.epsilon = s.step_size;
    let flow = ProbabilityFlow { churn: s.churn, ..ProbabilityFlow::new(FIRST, s.last_noise, s.levels())? };
    let sigmas = if s.by == By::Flow { &flow.sigmas } else { &langevin.sigmas };
    let mut film = vec![];
    let part = sigmas.len().div_ceil(FRAMES);
    let frames = sigmas.len().div_ceil(part);
    for (k, some) in sigmas.chunks(part).enumerate() {
        let (sigmas, next) = (some.to_vec(), sigmas.get((k + 1) * part).copied());
        match s.by {
            By::Flow => {
                let some = ProbabilityFlow { sigmas, end: next.unwrap_or(0.0), ..flow.clone() };
                some.run_given(chains, model, given)?;
            }
            By::Langevin => {
                let some = AnnealedLangevin { sigmas, denoise: next.is_none(), ..langevin.clone() };
                some.run_given(chains, model, given)?;
            }
        }
        film.push(chains.states.x().columns(0, shown).rows(1, pixels).clone_owned());
    }
    // A row a chain.
    let frame = |k: usize| film[k % frames].column(k / frames);
    let picture = Mat::from_fn(pixels, shown * frames, |i, k| frame(k)[i]);
    let grid = Grid { columns: frames, scale: 2, ..Grid::default() };
    save_png(&grid.tile(picture.as_view(), size.0, size.1, Shade::Unit)?, &out.join("film.png"))
}

/// Ten images with noise of 0.5, what they are denoised to in one step, and what they were: rows of a picture.
fn denoise(s: &Settings, model: &NoisyEnergy, images: MatRef<'_>, size: (usize, usize), out: &Path) -> Result<()> {
    const SIGMA: f32 = 0.5;
    let mut rng = ChainRng::new(derive(s.common.seed, "noise to take away"));
    let shown = images.columns(0, images.ncols().min(10));
    let noisy = shown.map(|x| {
        let z: f32 = StandardNormal.sample(&mut rng);
        x + SIGMA * z
    });
    let clean = model.denoise(noisy.clone().insert_row(0, SIGMA).as_view())?;
    let n = shown.ncols();
    let all = Mat::from_fn(images.nrows(), 3 * n, |i, k| match k / n {
        0 => noisy[(i, k)],
        1 => clean[(i, k - n)],
        _ => shown[(i, k - 2 * n)],
    });
    let grid = Grid { columns: n, ..Grid::default() };
    save_png(&grid.tile(all.as_view(), size.0, size.1, Shade::Unit)?, &out.join("denoised.png"))
}

/// What a classifier says of the samples, and which training images are nearest to them.
fn tell(
    s: &Settings,
    (folder, train, other): (&Folder, MatRef<'_>, MatRef<'_>),
    samples: &Mat,
    (trained, began): (f64, Instant),
    out: &Path,
) -> Result<()> {
    let size = (folder.train.images.height, folder.train.images.width);
    let shown = samples.columns(0, samples.ncols().min(100));
    save_png(&Grid::default().tile(shown, size.0, size.1, Shade::Unit)?, &out.join("samples.png"))?;
    let pairs = beside(samples.columns(0, samples.ncols().min(50)), train)?;
    let grid = Grid { columns: 10, ..Grid::default() };
    save_png(&grid.tile(pairs.as_view(), size.0, size.1, Shade::Unit)?, &out.join("nearest.png"))?;
    let judge = Judge::train(&folder.train, if s.quick { 1 } else { 12 }, s.common.seed)?;
    let verdict = judge.look(samples.map(|x| x.clamp(0.0, 1.0)).as_view())?;
    let of_others = judge.look(other.columns(0, other.ncols().min(samples.ncols())))?.sure;
    let seconds = began.elapsed().as_secs_f64();
    let summary = serde_json::json!({
        "format": SUMMARY_FORMAT, "sure_share": verdict.sure, "sure_by_class": verdict.classes,
        "sure_share_of_others": of_others,
        "samples": samples.ncols(), "levels": s.levels(), "steps": s.steps, "step_size": s.step_size,
        "seconds_of_training": trained, "seconds": seconds, "threads": rayon::current_num_threads(),
        "settings": s.notes(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say("");
    print_table(&[
        ("samples with a class above 0.9", format!("{:.1} %", 100.0 * verdict.sure)),
        (
            if s.held_out > 0 { "held-out images with one" } else { "test images with one" },
            format!("{:.1} %", 100.0 * of_others),
        ),
        ("of them, of digits 0 to 9", format!("{:?}", verdict.classes)),
        ("time of training", format!("{trained:.0} s")),
        ("time of it all", format!("{seconds:.0} s")),
    ]);
    say(format_args!(
        "\nwritten to {}: samples.png, film.png (a row a chain), denoised.png, and nearest.png, in which",
        out.display()
    ));
    say("every second image is the training image nearest to the sample before it");
    Ok(())
}
