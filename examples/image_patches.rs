//! Features of image patches: a machine of real pixels, whose precision is learned, and binary hidden units.
//!
//! ```text
//! cargo run --release --example image_patches
//! cargo run --release --example image_patches -- --images my_photos
//! ```
//!
//! On two cores the first takes 25 s; held-out patches have a log-likelihood of -77.56 ± 0.02 nats, where a normal distribution gives them
//! -92.66, and the filters are edges, each in a place and a direction of its own. (Seed 1; a bracket by annealing and its reversal.)
//!
//! Patches are whitened by their principal components. Pictures show weights and samples where components are patches again, in
//! whitened grey levels.
mod common;

use clap::Parser;
use common::{Keep, Normal, at_least_one, exit_code, print_table, say, share, start, write_json};
use harmonium::base_rate::base_rate;
use harmonium::data::{DeadLeaves, Images, Samples, Whiten, Whitening, patches, read_patches};
use harmonium::eval::{Ais, Bracket, Bracketing, Estimate, bracket, mean_of};
use harmonium::io::save_rbm;
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, Objective};
use harmonium::optim::{Schedule, Sgd};
use harmonium::rand::RngExt;
use harmonium::report::{About, SUMMARY_FORMAT};
use harmonium::rng::derive;
use harmonium::samplers::BlockGibbs;
use harmonium::train::{Checkpoints, Ended, Fit, FreeEnergyGap, History, Metric, ProgressBar, Run, UpdateRatio};
use harmonium::units::{Bernoulli, LogPrecision};
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{ChainRng, Chains, Energy, Mat, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Learns features of image patches by a machine of real pixels whose precision is learned.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    keep: Keep,
    /// Folder of pictures (PNG, JPEG, BMP, PNM) [default: images of fallen leaves, drawn anew]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Folder for what is written [default: target/image_patches]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Height and width of a patch
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = at_least_one())]
    side: usize,
    /// Patches to learn from [default: 50000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    patches: Option<usize>,
    /// Hidden units
    #[arg(long, value_name = "N", default_value_t = 144, value_parser = at_least_one())]
    hidden: usize,
    /// Passes over the patches [default: 60]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Learning rate of the first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.2)]
    learning_rate: f32,
    /// The least radius of a leaf
    #[arg(long, value_name = "F", default_value_t = 3.0)]
    smallest: f64,
    /// Standard deviation of the weights at the start
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    deviation: f32,
    /// Gibbs sweeps of an update
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    k: usize,
    /// Persistent chains, or 0 for chains that start at the data
    #[arg(long, value_name = "N", default_value_t = 200)]
    chains: usize,
    /// The share of patches for which a hidden unit is on at the start
    #[arg(long, value_name = "F", default_value_t = 0.03, value_parser = share)]
    target: f32,
    /// Principal components of the patches that are kept, and made white
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one())]
    components: usize,
    /// The same seed gives the same numbers, for any number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads; 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// A smoke run: the defaults become 3000 patches, 3 epochs
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn patches(&self) -> usize {
        self.patches.unwrap_or(if self.quick { 3000 } else { 50_000 })
    }
    fn epochs(&self) -> u64 {
        self.epochs.unwrap_or(if self.quick { 3 } else { 60 })
    }
    /// The settings, for the model file and the summary.
    fn notes(&self) -> BTreeMap<String, String> {
        let source = self.images.as_ref().map_or("dead leaves".into(), |dir| dir.display().to_string());
        let notes = [
            ("source", source),
            ("side", self.side.to_string()),
            ("patches", self.patches().to_string()),
            ("hidden", self.hidden.to_string()),
            ("epochs", self.epochs().to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("method", if self.chains == 0 { "cd" } else { "pcd" }.to_string()),
            ("k", self.k.to_string()),
            ("chains", self.chains.to_string()),
            ("target", self.target.to_string()),
            ("deviation", self.deviation.to_string()),
            ("smallest", self.smallest.to_string()),
            ("components", self.components.to_string()),
            ("seed", self.seed.to_string()),
        ];
        notes.map(|(k, v)| (k.to_string(), v)).into()
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.threads, || train_and_tell(&settings))
}

/// Whitened patches: components × patches.
struct Data {
    train: Mat,
    held_out: Mat,
    /// The principal directions, pixels × components: where components are seen as patches.
    directions: Mat,
}

/// All of a run, in order.
fn train_and_tell(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "image_patches")?;
    let data = whitened(s)?;
    let mut rbm = Rbm::new((s.components, LogPrecision), (s.hidden, Bernoulli));
    rbm.initialise(&mean_of(&data.train)?, 0.0, s.seed)?;
    start(&mut rbm, s.deviation, s.target);
    let (ended, _kept) = fit(s, &mut rbm, &data, &out)?;
    save_rbm(&rbm, &s.notes(), &out.join("model.safetensors"))?;
    if !ended.is_final() {
        s.keep.show(&out)?;
        return Ok(exit_code(ended));
    }
    let trained = began.elapsed().as_secs_f64();
    draw(s, &rbm, &data, &out)?;
    tell(s, &rbm, &data, (trained, began), &out)?;
    s.keep.show(&out)?;
    Ok(exit_code(ended))
}

/// Patches to learn from and others, of other images where they are drawn, whitened by what the first have in common.
fn whitened(s: &Settings) -> Result<Data> {
    let n = s.patches();
    let (mut train, mut held_out) = (cut(s, n, "training patches")?, cut(s, n.div_ceil(10), "held-out patches")?);
    let whiten = Whiten::fit(&train, Whitening::Pca { components: s.components }, 1e-9)?;
    whiten.apply(&mut train)?;
    whiten.apply(&mut held_out)?;
    let mut directions = whiten.backward.clone();
    directions.column_iter_mut().for_each(|mut column| {
        column.normalize_mut();
    });
    let kept = whiten.eigenvalues[..s.components].iter().sum::<f64>() / whiten.eigenvalues.iter().sum::<f64>();
    say(format_args!(
        "{n} patches of {}×{} pixels, {} components with {:.1} % of the variance, {} hidden units",
        s.side,
        s.side,
        s.components,
        100.0 * kept,
        s.hidden
    ));
    Ok(Data { train, held_out, directions })
}

/// Patches without steps between grey levels: a density of values that are whole numbers has no bound.
fn cut(s: &Settings, n: usize, name: &str) -> Result<Mat> {
    const AN_IMAGE: usize = 125; // patches
    let seed = derive(s.seed, name);
    let mut all = match &s.images {
        Some(dir) => read_patches(dir, n, s.side, seed)?,
        None => patches(&leaves(s, n.div_ceil(AN_IMAGE), seed)?, n, s.side, seed)?,
    };
    let mut rng = ChainRng::new(derive(seed, "between grey levels"));
    all.apply(|x| *x += rng.random::<f32>() / 255.0);
    Ok(all)
}

/// Fallen leaves, drawn finer than they are seen: edges are as soft as those of photographs.
fn leaves(s: &Settings, n: usize, seed: u64) -> Result<Images> {
    const FINER: usize = 4;
    let fine = FINER * 96;
    let leaves = DeadLeaves { height: fine, width: fine, smallest: s.smallest * FINER as f64, largest: fine as f64 };
    let large = leaves.images(n, seed)?;
    let (height, width) = (fine / FINER, fine / FINER);
    let mut pixels = Vec::with_capacity(large.n() * height * width);
    for n in 0..large.n() {
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let part =
                |k: usize| u32::from(large.image(n)[(FINER * row + k / FINER) * fine + FINER * column + k % FINER]);
            pixels.push(((0..FINER * FINER).map(part).sum::<u32>() / (FINER * FINER) as u32) as u8);
        }
    }
    Ok(Images { pixels, height, width })
}

fn fit(s: &Settings, rbm: &mut Rbm, data: &Data, out: &Path) -> Result<(Ended, Option<Checkpoints>)> {
    let per_epoch = data.train.n_samples().div_ceil(100) as u64;
    let some = |m: &Mat| m.columns(0, m.ncols().min(2000)).clone_owned();
    let gap = FreeEnergyGap { train: some(&data.train), held_out: some(&data.held_out) };
    let metrics: Vec<Box<dyn Metric<Rbm>>> = vec![Box::new(UpdateRatio), Box::new(gap)];
    let mut bar = ProgressBar::new(History::new(per_epoch, metrics));
    bar.history.path = Some(out.join("metrics.jsonl"));
    let steps = s.epochs() * per_epoch;
    let fit = Fit {
        epochs: s.epochs(),
        learning_rate: Schedule::Linear { from: s.learning_rate, to: 0.0, steps },
        seed: s.seed,
        ..Fit::default()
    };
    let mut objective: Box<dyn Objective<Rbm>> = if s.chains == 0 {
        Box::new(Contrastive::cd(s.k, s.seed))
    } else {
        let base = base_rate(rbm, &mean_of(&data.train)?, 0.0)?;
        let chains = Chains::from_base(rbm, &base, s.chains, derive(s.seed, "persistent chains"));
        Box::new(Contrastive::pcd(s.k, chains))
    };
    let mut optimizer = Sgd::default();
    let mut run = Run::new(rbm, &mut *objective, &mut optimizer, &mut bar);
    s.keep.train(&fit, &mut run, &data.train, (out, &About::now("image_patches", s.notes())))
}

/// The weights of every hidden unit, those of widest reach first; patches; and patches that the machine draws.
fn draw(s: &Settings, rbm: &Rbm, data: &Data, out: &Path) -> Result<()> {
    let grid = Grid { columns: 12, scale: 3, ..Grid::default() };
    let mut order: Vec<usize> = (0..rbm.n_hidden()).collect();
    let norms: Vec<f32> = rbm.weights().row_iter().map(|row| row.norm_squared()).collect();
    order.sort_by(|&a, &b| norms[b].total_cmp(&norms[a]));
    let filters = &data.directions * rbm.weights().transpose().select_columns(order.iter().take(144));
    save_png(&grid.tile(filters.as_view(), s.side, s.side, Shade::Symmetric)?, &out.join("filters.png"))?;
    let base = base_rate(rbm, &mean_of(&data.train)?, 0.0)?;
    let mut chains = Chains::from_base(rbm, &base, 72, derive(s.seed, "dreams"));
    chains.advance(&BlockGibbs::new(500), rbm);
    let (_, means) = chains.states.x_and_means(rbm, rbm.visible_blocks());
    let mut both = Mat::zeros(s.side * s.side, 144);
    both.columns_mut(0, 72).copy_from(&(&data.directions * data.held_out.columns(0, 72)));
    both.columns_mut(72, 72).copy_from(&(&data.directions * means));
    let shade = Shade::Range(-4.0, 4.0);
    save_png(&grid.tile(both.as_view(), s.side, s.side, shade)?, &out.join("samples.png"))
}

fn tell(s: &Settings, rbm: &Rbm, data: &Data, (trained, began): (f64, Instant), out: &Path) -> Result<()> {
    let bracketing = Bracketing {
        betas: Ais::like_sm08(if s.quick { 300 } else { 5000 }),
        samples: if s.quick { 10 } else { 100 },
        seed: s.seed,
        ..Bracketing::default()
    };
    let base = base_rate(rbm, &mean_of(&data.train)?, 0.0)?;
    let found: Bracket = bracket(rbm, &base, &data.held_out, &bracketing)?;
    let full = Normal::fit(&data.train)?;
    let [normal, independent] =
        [full.log_p(&data.held_out), full.shrunk(1.0)?.log_p(&data.held_out)].map(|log_p| Estimate::of(&log_p).value);
    let precisions: Vec<f32> = rbm.theta(Rbm::VISIBLE, &[]).iter().map(|t| t.exp()).collect();
    let (low, high) = precisions.iter().fold((f32::MAX, 0f32), |(l, h), &p| (l.min(p), h.max(p)));
    let mean = precisions.iter().sum::<f32>() / precisions.len() as f32;
    let activity = harmonium::doctor::Activity::of(rbm, &data.held_out)?;
    let seconds = began.elapsed().as_secs_f64();
    let summary = serde_json::json!({
        "format": SUMMARY_FORMAT,
        "held_out_log_likelihood": found.upper.value,
        "held_out_log_likelihood_stderr": found.upper.standard_error,
        "held_out_log_likelihood_lower": found.lower.value,
        "held_out_log_likelihood_lower_stderr": found.lower.standard_error,
        "held_out_log_likelihood_sampling_error": found.sampling_error,
        "normal_log_likelihood": normal,
        "independent_log_likelihood": independent,
        "least_precision": low, "mean_precision": mean, "greatest_precision": high,
        "mean_activity": activity.mean,
        "warning": found.warning(),
        "seconds_of_training": trained,
        "seconds": seconds,
        "threads": rayon::current_num_threads(),
        "settings": s.notes(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say("\nlog-likelihood of held-out patches, whitened, nats a patch:");
    print_table(&[
        ("the machine", found.to_string()),
        ("over other patches", format!("± {:.2}", found.sampling_error)),
        ("a normal distribution", format!("{normal:.2}")),
        ("one of independent pixels", format!("{independent:.2}")),
        ("precisions", format!("{low:.2} to {high:.2}, {mean:.2} on average; 1 at the start")),
        (
            "mean activity",
            format!(
                "{:.3} ({} hidden units idle)",
                activity.mean,
                activity.dead + activity.saturated + activity.silent
            ),
        ),
        ("time of training", format!("{trained:.1} s")),
        ("time of it all", format!("{seconds:.1} s")),
    ]);
    say(format_args!("\nwritten to {}", out.display()));
    Ok(())
}
