//! A network as an energy of binary MNIST digits: it tilts an RBM, whose Gibbs sweeps propose and whose path annealing goes along; and its
//! likelihood as a bracket, beside that of the RBM alone.
//!
//! ```text
//! cargo run --release --example mnist_discrete_energy
//! cargo run --release --example mnist_discrete_energy -- --kernels --machine target/mnist_likelihood/model.safetensors
//! cargo run --release --example mnist_discrete_energy -- --machine-epochs 500 --epochs 0
//! ```
//!
//! On one thread beside other work the first takes 50 minutes, and so does the last, the RBM alone in the same time. Test log-likelihood, in
//! nats: from below -83.205 ± 0.042, from above -83.085 ± 0.066; the RBM alone -83.171 ± 0.040 and -83.179 ± 0.086; ± 0.21 over images. (Seed 1.)
//! That is no difference. Published for a residual network and 300,000 temperatures: -80.0 (Grathwohl et al. 2021). Every layer's spectral
//! norm is at most 2: without a limit the network has pits that no chain of training visits, and short annealing overlooks (DESIGN.md).
mod common;

use clap::{Parser, ValueEnum};
use common::{
    Common, Keep, Stages, at_least_one, exit_code, falling, print_table, save_parameters, say, without_held_out,
    write_json,
};
use harmonium::base_rate::base_rate;
use harmonium::data::{Images, Redrawn, Samples, bernoulli, slice};
use harmonium::eval::{Ais, Bracket, Bracketing, bracket_tilted, mean_of};
use harmonium::io::{load_rbm, save_rbm};
#[cfg(feature = "candle")]
use harmonium::models::neural::candle::{CandleEnergy, Image};
use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::models::{Part, Product, Rbm};
use harmonium::objectives::{Contrastive, Persistent};
use harmonium::optim::{Adam, At, Optimizer, Penalty, Sgd};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::derive;
use harmonium::samplers::{BlockGibbs, DiscreteLangevin, GibbsWithGradients, Kernel, MetropolisGibbs, Moves};
use harmonium::train::{Metric, Named, Progress};
use harmonium::units::Bernoulli;
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Chains, Energy, Learn, Mat, MatRef, Params, Result, Resume, Saved, Tilted, Train};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// The RBM times what the network makes of it.
type Model<F> = Tilted<Rbm, F>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Network {
    /// Dense layers
    Dense,
    /// Convolutions two pixels apart, then a linear layer
    #[cfg(feature = "candle")]
    Conv,
}

/// Trains an RBM, tilts it by a network, trains the network, or both, and tells the likelihood from below and from above.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/mnist_discrete_energy]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Begin with this RBM (a model file) instead of training one
    #[arg(long, value_name = "FILE")]
    machine: Option<PathBuf>,
    /// Hidden units of the RBM [default: 500]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    hidden: Option<usize>,
    /// Passes over the training images of the RBM alone [default: 400]
    #[arg(long, value_name = "N")]
    machine_epochs: Option<u64>,
    /// Learning rate of the RBM alone at first; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.2)]
    machine_rate: f32,
    /// What tilts the RBM
    #[arg(long, value_enum, default_value = "dense")]
    network: Network,
    /// Units of a layer of the dense network, channels of the first convolutions [default: 256, 16]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    width: Option<usize>,
    /// Layers of the network
    #[arg(long, value_name = "N", default_value_t = 2)]
    layers: usize,
    /// Largest spectral norm of a layer of the dense network; 0: no limit
    #[arg(long, value_name = "F", default_value_t = 2.0)]
    limit: f32,
    /// Passes over the training images, with the network [default: 30]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Images of an update
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    batch: usize,
    /// Learning rate of the network (by Adam) at first; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 3e-3)]
    learning_rate: f32,
    /// Learning rate of the RBM beside the network (by plain steps) at first; it falls linearly to 0. By default the RBM stays as it was
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    rate_beside: f32,
    /// Weight decay
    #[arg(long, value_name = "F", default_value_t = 0.0001)]
    l2: f32,
    /// Persistent chains of the RBM alone
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = at_least_one())]
    machine_chains: usize,
    /// Persistent chains with the network
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = at_least_one())]
    chains: usize,
    /// Sweeps that are proposed in an update
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    k: usize,
    /// Temperatures of annealing, there and back [default: 20000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    temperatures: Option<usize>,
    /// Images that reverse annealing starts from [default: 50]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    images: Option<usize>,
    /// Measure how fast kernels forget where they were
    #[arg(long)]
    kernels: bool,
    /// Keep the last N training images out of training and tell their likelihood; the test images are not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    /// A smoke run: the defaults become 50 hidden units, 16 in a layer, one epoch each, 100 temperatures, 5 images
    #[arg(long)]
    quick: bool,
}

impl Settings {
    /// What was asked for, or a default.
    fn or<T>(&self, asked: Option<T>, full: T, quick: T) -> T {
        asked.unwrap_or(if self.quick { quick } else { full })
    }
    fn machine_epochs(&self) -> u64 {
        self.or(self.machine_epochs, 400, 1)
    }
    fn epochs(&self) -> u64 {
        self.or(self.epochs, 30, 1)
    }
    fn width(&self) -> usize {
        match self.network {
            Network::Dense => self.or(self.width, 256, 16),
            #[cfg(feature = "candle")]
            Network::Conv => self.or(self.width, 16, 4),
        }
    }
    fn bracketing(&self) -> Bracketing {
        let (temperatures, samples) = (self.or(self.temperatures, 20_000, 100), self.or(self.images, 50, 5));
        Bracketing { betas: Ais::like_sm08(temperatures), samples, seed: self.common.seed, ..Bracketing::default() }
    }
    /// Settings of the RBM, for its model file and its stage.
    fn machine_notes(&self) -> BTreeMap<String, String> {
        let notes = [
            ("hidden", self.or(self.hidden, 500, 50).to_string()),
            ("machine_epochs", self.machine_epochs().to_string()),
            ("machine_rate", self.machine_rate.to_string()),
            ("batch", self.batch.to_string()),
            ("l2", self.l2.to_string()),
            ("machine_chains", self.machine_chains.to_string()),
            ("held_out", self.held_out.to_string()),
            ("binarize", "bernoulli".to_string()),
            ("redraw", "true".to_string()),
            ("seed", self.common.seed.to_string()),
        ];
        notes.map(|(k, v)| (k.to_string(), v)).into()
    }
    /// All settings.
    fn notes(&self) -> BTreeMap<String, String> {
        let more = [
            ("machine", self.machine.as_ref().map_or("trained here".into(), |path| path.display().to_string())),
            ("network", format!("{:?}", self.network)),
            ("width", self.width().to_string()),
            ("layers", self.layers.to_string()),
            ("limit", self.limit.to_string()),
            ("epochs", self.epochs().to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("rate_beside", self.rate_beside.to_string()),
            ("chains", self.chains.to_string()),
            ("k", self.k.to_string()),
        ];
        self.machine_notes().into_iter().chain(more.map(|(k, v)| (k.to_string(), v))).collect()
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || train_and_tell(&settings))
}

/// All of a run, in order.
fn train_and_tell(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "mnist_discrete_energy")?;
    let folder = s.common.load()?;
    let (images, seed) = (&folder.train.images, derive(s.common.seed, "training pixels"));
    let n = without_held_out(images.n(), s.held_out)?;
    let (anew, bits) = (Redrawn { images, seed }, bernoulli(images, seed));
    let (train, fixed, held_out) = (slice(&anew, 0..n)?, slice(&bits, 0..n)?, slice(&bits, n..images.n())?);
    let mean = mean_of(&fixed)?;
    let stages = Stages::begin(&s.keep, &out, "mnist_discrete_energy", &s.notes())?;
    let Some(rbm) = machine(s, &stages, (&train, &mean), &out)? else { return Ok(exit_code(stages.ended())) };
    let alone = began.elapsed().as_secs_f64();
    let told = match s.held_out {
        0 => bernoulli(&folder.test.images, derive(s.common.seed, "test pixels")).to_mat(),
        _ => held_out.to_mat(),
    };
    let data = Data { images, train: &train, fixed: &fixed, held_out: &held_out, told: &told, mean: &mean };
    match s.network {
        Network::Dense => {
            let network = dense(s, &rbm)?;
            let Some(model) = rest(s, &stages, (rbm, network), &data, (began, alone, &out))? else {
                return Ok(exit_code(stages.ended()));
            };
            if s.kernels {
                compare(s, &model, &fixed)?;
            }
        }
        #[cfg(feature = "candle")]
        Network::Conv => {
            let network = convolutional(s, images)?;
            if rest(s, &stages, (rbm, network), &data, (began, alone, &out))?.is_none() {
                return Ok(exit_code(stages.ended()));
            }
        }
    }
    s.keep.show(&out)?;
    Ok(exit_code(stages.ended()))
}

/// What is learned from, and what is told.
#[derive(Clone, Copy)]
struct Data<'a> {
    images: &'a Images,
    train: &'a dyn Samples,
    fixed: &'a dyn Samples,
    held_out: &'a dyn Samples,
    told: &'a Mat,
    mean: &'a [f32],
}

/// Tilts the RBM by a network, draws, and tells the likelihood; none if training paused.
fn rest<F: Part>(
    s: &Settings,
    stages: &Stages<'_>,
    (rbm, network): (Rbm, F),
    data: &Data<'_>,
    (began, alone, out): (Instant, f64, &Path),
) -> Result<Option<Model<F>>> {
    let Some(model) = tilt(s, stages, (rbm, network), data)? else { return Ok(None) };
    save_parameters(model.params(), s.notes(), &out.join("model.safetensors"))?;
    let trained = began.elapsed().as_secs_f64();
    draw(s, &model, (data.images, data.fixed), out)?;
    say("annealing, there and back");
    let base = base_rate(&model, data.mean, 0.05)?;
    let found = bracket_tilted(&model, &base, data.told, &s.bracketing())?;
    tell(s, &found, [alone, trained, began.elapsed().as_secs_f64()], out)?;
    Ok(Some(model))
}

/// A dense network that is zero at first.
fn dense(s: &Settings, rbm: &Rbm) -> Result<NeuralEnergy> {
    let layers = vec![(s.width(), Activation::Silu); s.layers];
    let mut network = NeuralEnergy::new(0, &[(rbm.n_visible(), Arc::new(Bernoulli))], &layers);
    if s.limit > 0.0 {
        network = network.spectral(s.limit)?;
    }
    network.initialise(&[], derive(s.common.seed, "network"))?;
    network.update(&mut |p| p.slice_mut(2 * s.layers).fill(0.0));
    Ok(network)
}

/// A convolutional one, likewise.
#[cfg(feature = "candle")]
fn convolutional(s: &Settings, images: &Images) -> Result<CandleEnergy> {
    let (image, n) = (Image::grey(images.height, images.width), s.width());
    let mut network =
        CandleEnergy::convolutional(Arc::new(Bernoulli), image, &[n, 2 * n, 2 * n, 4 * n], Activation::Silu)?;
    network.initialise(&[], derive(s.common.seed, "network"))?;
    // The last weights of the network stand before its last bias, and the units' bias after that.
    let slots = network.params().slots().len();
    let last = (0..slots).rev().filter(|k| network.params().slots()[*k].role.is_weights()).max();
    network.update(&mut |p| last.into_iter().for_each(|k| p.slice_mut(k).fill(0.0)));
    Ok(network)
}

/// The RBM, by centred PCD; none if its training paused.
fn machine(
    s: &Settings,
    stages: &Stages<'_>,
    (train, mean): (&dyn Samples, &[f32]),
    out: &Path,
) -> Result<Option<Rbm>> {
    if let Some(path) = &s.machine {
        return Ok(Some(load_rbm(path)?.0));
    }
    let (n, epochs) = (train.n_samples(), s.machine_epochs());
    let mut rbm = Rbm::new((mean.len(), Bernoulli), (s.or(s.hidden, 500, 50), Bernoulli));
    rbm.initialise(mean, 1.0 / (n + 1) as f32, s.common.seed)?;
    let independent = [rbm.visible_bias(), &vec![0.0; rbm.n_hidden()]].concat();
    let chains = Chains::from_base(&rbm, &independent, s.machine_chains, derive(s.common.seed, "persistent chains"));
    let (mut pcd, mut sgd) = (Contrastive::pcd(1, chains), Sgd::default());
    let mut fit = falling(epochs, s.machine_rate, s.batch, n, s.common.seed);
    fit.penalty = Penalty { l1: 0.0, l2: s.l2 };
    let stage = ("machine", s.machine_notes());
    let done = stages.train(stage, &fit, &mut rbm, (&mut pcd, &mut sgd), (train, vec![]))?;
    save_rbm(&rbm, &s.machine_notes(), &out.join("machine.safetensors"))?;
    Ok(done.then_some(rbm))
}

/// The RBM tilted by a network that is zero at first, both trained on; none if it paused.
fn tilt<F: Part>(
    s: &Settings,
    stages: &Stages<'_>,
    (rbm, network): (Rbm, F),
    data: &Data<'_>,
) -> Result<Option<Model<F>>> {
    let (seed, Data { train, fixed, held_out, .. }) = (derive(s.common.seed, "network"), *data);
    let mut model = Tilted::new(rbm, network)?;
    let chains = settled(s, model.machine(), fixed, (s.chains, "chains of the tilted machine"))?;
    let mut objective = Contrastive::new(Persistent::new(MetropolisGibbs::new(s.k), chains));
    let machine = model.machine().params().as_slice().len();
    let mut apart = Apart { machine, ratio: s.rate_beside / s.learning_rate, adam: Adam::default(), plain: vec![] };
    let fit = falling(s.epochs(), s.learning_rate, s.batch, train.n_samples(), seed);
    let first =
        |samples: &dyn Samples| -> Result<Mat> { Ok(slice(samples, 0..samples.n_samples().min(5000))?.to_mat()) };
    let accepted = |p: &Progress<'_, Model<F>>| Ok(p.report.moves.rate());
    let mut metrics: Vec<Box<dyn Metric<Model<F>>>> =
        vec![Box::new(Named { name: "accepted".into(), measure: accepted })];
    if held_out.n_samples() > 0 {
        let (seen, unseen) = (first(fixed)?, first(held_out)?);
        let gap = move |p: &Progress<'_, Model<F>>| {
            let of = |v: &Mat| -> Result<f64> {
                Ok(p.model.free_energy(v.as_view())?.iter().sum::<f64>() / v.ncols() as f64)
            };
            Ok(of(&unseen)? - of(&seen)?)
        };
        metrics.push(Box::new(Named { name: "free_energy_gap".into(), measure: gap }));
    }
    let stage = ("network", s.notes());
    Ok(stages.train(stage, &fit, &mut model, (&mut objective, &mut apart), (train, metrics))?.then_some(model))
}

/// Adam for the network; plain steps for the machine, whose parameters come first: centred gradients need no other scale.
struct Apart {
    machine: usize,
    ratio: f32, // of the machine's rate to the network's
    adam: Adam,
    plain: Vec<f32>,
}
impl Optimizer for Apart {
    fn direct(&mut self, grad: &mut Params, at: At) -> f32 {
        self.plain.clear();
        self.plain.extend(grad.as_slice()[..self.machine].iter().map(|g| self.ratio * g));
        let far = self.adam.direct(grad, at);
        grad.as_mut_slice()[..self.machine].copy_from_slice(&self.plain);
        far
    }
    fn check(&self, steps: u64, parameters: usize) -> Result<()> {
        self.adam.check(steps, parameters)
    }
}
impl Resume for Apart {
    fn save(&self, to: &mut Saved) {
        self.adam.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.adam.load(from)
    }
}

/// Chains of the RBM alone, some hundred sweeps away from training images.
fn settled(s: &Settings, rbm: &Rbm, fixed: &dyn Samples, (n, purpose): (usize, &str)) -> Result<Chains> {
    let starts = slice(fixed, 0..n.min(fixed.n_samples()))?.to_mat();
    let mut chains = Chains::at_visible(rbm, starts.as_view(), derive(s.common.seed, purpose))?;
    chains.advance(&BlockGibbs::new(if s.quick { 20 } else { 500 }), rbm);
    Ok(chains)
}

/// Chains of the model, far from where they started.
fn drawn<F: Part>(s: &Settings, model: &Model<F>, fixed: &dyn Samples, n: usize) -> Result<(Chains, Moves)> {
    let mut chains = settled(s, model.machine(), fixed, (n, "dreams"))?;
    let moves = chains.advance(&MetropolisGibbs::new(if s.quick { 20 } else { 2000 }), model);
    Ok((chains, moves))
}

/// Samples; and the samples of the RBM alone.
fn draw<F: Part>(s: &Settings, model: &Model<F>, (images, fixed): (&Images, &dyn Samples), out: &Path) -> Result<()> {
    let (height, width, grid) = (images.height, images.width, Grid { columns: 10, ..Grid::default() });
    let (mut chains, moves) = drawn(s, model, fixed, 100)?;
    say(format_args!("samples: {:.0} % of proposed sweeps taken", 100.0 * moves.rate()));
    let (_, mean) = chains.states.x_and_means(model.machine(), model.machine().visible_blocks());
    save_png(&grid.tile(mean, height, width, Shade::Unit)?, &out.join("means.png"))?;
    let x = chains.states.x();
    save_png(&grid.tile(x.rows(0, height * width), height, width, Shade::Unit)?, &out.join("samples.png"))
}

/// How much of where they were chains still know, by kernel and time: sweeps that are taken or not, against kernels that follow the gradient
/// of the same energy as a network.
fn compare(s: &Settings, model: &Model<NeuralEnergy>, fixed: &dyn Samples) -> Result<()> {
    let (chains, _) = drawn(s, model, fixed, 128)?;
    let v = chains.states.x().rows(0, model.n_visible()).clone_owned();
    let network = NeuralEnergy::from_rbm(model.machine())?;
    let product = Product::of(vec![(1.0, Box::new(network)), (1.0, Box::new(model.tilt().clone()))])?;
    say("\nkernel                     moves   taken   seconds  correlation left");
    forget("sweeps, taken or not", (model, chains), &|k| MetropolisGibbs::new(k));
    let starts = || Chains::new(v.clone(), s.common.seed);
    forget("Gibbs with gradients", (&product, starts()), &|k| GibbsWithGradients::new(4 * k));
    for step in [0.1, 0.2] {
        forget(&format!("discrete Langevin, {step}"), (&product, starts()), &|k| DiscreteLangevin::new(step, 4 * k));
    }
    Ok(())
}

/// A line of that table after ever more moves.
fn forget<M: Energy, K: Kernel<M>>(name: &str, (model, mut chains): (&M, Chains), kernel: &dyn Fn(usize) -> K) {
    let visible = model.blocks().iter().map(|b| b.rows.clone()).find(|rows| rows.start == 0).unwrap_or(0..0).end;
    let start = chains.states.x().rows(0, visible).clone_owned();
    let (mut moves, mut seconds) = (Moves::default(), 0.0);
    for more in [10, 40, 150] {
        let began = Instant::now();
        moves = moves + chains.advance(&kernel(more), model);
        seconds += began.elapsed().as_secs_f64();
        let done = moves.proposed / chains.states.ncols().max(1) as u64;
        let left = correlation(start.as_view(), chains.states.x().rows(0, visible));
        say(format_args!("{name:<24} {done:>7}  {:>5.1} %  {seconds:>8.2}  {left:.3}", 100.0 * moves.rate()));
    }
}

/// `Σ (x - m)(y - m) / Σ (x - m)²` over all units and chains, `m` being the means of units over chains at both times.
fn correlation(x: MatRef<'_>, y: MatRef<'_>) -> f64 {
    let (mut both, mut own) = (0.0, 0.0);
    for (x, y) in x.row_iter().zip(y.row_iter()) {
        let n = f64::from(u32::try_from(x.len()).unwrap_or(u32::MAX));
        let mean = |r: f32| f64::from(r) / n;
        let (mx, my) = (mean(x.sum()), mean(y.sum()));
        both += x.iter().zip(y.iter()).map(|(x, y)| (f64::from(*x) - mx) * (f64::from(*y) - my)).sum::<f64>();
        own += x.iter().map(|x| (f64::from(*x) - mx).powi(2)).sum::<f64>();
    }
    both / own
}

fn tell(s: &Settings, found: &Bracket, [alone, trained, all]: [f64; 3], out: &Path) -> Result<()> {
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
        "seconds_of_the_machine": alone,
        "seconds_of_training": trained,
        "seconds": all,
        "threads": rayon::current_num_threads(),
        "settings": s.notes(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\n{} log-likelihood: {found}", set.replace('_', "-")));
    print_table(&[
        ("over other images", format!("± {:.2} nats", found.sampling_error)),
        ("effective sample size", format!("{:.0} of 100", found.log_partition.effective_sample_size)),
        ("time of the RBM", format!("{:.1} min", alone / 60.0)),
        ("time of training", format!("{:.1} min", trained / 60.0)),
        ("time of it all", format!("{:.1} min", all / 60.0)),
    ]);
    say(format_args!("\nwritten to {}", out.display()));
    Ok(())
}
