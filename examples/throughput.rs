//! Times training, sampling, annealing and recall through the interface that everybody uses, and says what the work led to.
//!
//! ```text
//! cargo run --release --example throughput -- --which rbm
//! ```
//!
//! One JSON line a case: `median_s` is the time of the whole case (an epoch of 60,000 images, 1,000 sweeps of 1,000
//! chains, 14,500 temperatures of 100 runs; the storing of N/20 patterns in a Hopfield network of N spins, the recall of 100 cues
//! in 10 steps or of 10 cues in 2 sweeps), whatever part of it was timed. On two cores of an AMD EPYC (Zen 4), an epoch of
//! CD-1 with 500 hidden units takes 0.7 to 0.9 s; README.md has a table beside other programs, `benches/peers` the program
//! that makes it.
//!
//! Bernoulli units, plain gradients, no momentum, learning rate 0.05, MNIST from intensity 128 on. Weights start normal with
//! deviation 0.01 (`rbm`) or are normal with deviation 0.05 (`gibbs`, `ais`; half of all units are then on), biases are
//! zero; `--model` takes a trained machine instead. A repeat goes on where the one before it stopped.

mod common;

use clap::{Parser, ValueEnum};
use common::{Common, say};
use harmonium::data::{Pixels, Samples, real, threshold};
use harmonium::eval::{Ais, ais, ising as exact, mean_of, reconstruction_error};
use harmonium::infer::{Dynamics, Recall, overlaps, recall};
use harmonium::io::load_rbm;
use harmonium::models::hopfield::{Hebb, Hopfield};
use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::models::{Boundary, Rbm, SparseBoltzmann};
use harmonium::objectives::{Contrastive, Energies, Noise, Objective, Replay};
use harmonium::optim::{Adam, Schedule, Sgd};
use harmonium::rng::{ChainRng, derive};
use harmonium::samplers::{BlockGibbs, Langevin};
use harmonium::train::{Ended, Fit, Run, Silent};
use harmonium::units::{Bernoulli, TruncatedExponential};
use harmonium::{Chains, Energy, Error, Mat, Result, Train, base_rate::base_rate};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const VISIBLE: usize = 784;
const LEARNING_RATE: f32 = 0.05;

/// Times training, sampling, annealing and recall through the interface that everybody uses.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    /// What is timed
    #[arg(long, value_enum, default_value_t = Which::Rbm)]
    which: Which,
    /// Only cases whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    case: String,
    /// Time this part of the work, and scale the result
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = share)]
    scale: f64,
    /// Another number of hidden units than the case has
    #[arg(long, value_name = "N", value_parser = common::at_least_one())]
    hidden: Option<usize>,
    /// Another number of chains or runs than the case has
    #[arg(long, value_name = "N", value_parser = common::at_least_one())]
    chains: Option<usize>,
    /// Repeats after a first one that is not counted
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = common::at_least_one())]
    reps: usize,
    /// A model file to sample from or to anneal to, instead of random weights
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A smoke run: a hundredth of the work, two repeats
    #[arg(long)]
    quick: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Epochs of CD and PCD on MNIST
    Rbm,
    /// Block Gibbs sampling
    Gibbs,
    /// Annealed importance sampling
    Ais,
    /// Storing and recall of a Hopfield network
    Hopfield,
    /// Heat bath of Ising lattices on a checkerboard
    Ising,
    /// Training a neural energy by short Langevin runs from noise
    Langevin,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(f) if f > 0.0 && f <= 1.0 => Ok(f),
        _ => Err("not a number above 0 and at most 1".into()),
    }
}

/// One case of training.
#[derive(Clone, Copy)]
struct Training {
    hidden: usize,
    batch: usize,
    sweeps: usize,
    /// Persistent chains; none for chains that start at the data.
    chains: Option<usize>,
}

impl Training {
    fn name(&self) -> String {
        let Self { hidden, batch, sweeps, chains } = self;
        match chains {
            None => format!("cd{sweeps}_h{hidden}_b{batch}"),
            Some(chains) => format!("pcd{sweeps}_c{chains}_h{hidden}_b{batch}"),
        }
    }
}

const TRAININGS: [Training; 5] = [
    Training { hidden: 500, batch: 100, sweeps: 1, chains: None },
    Training { hidden: 500, batch: 100, sweeps: 1, chains: Some(100) },
    Training { hidden: 500, batch: 100, sweeps: 1, chains: Some(500) },
    Training { hidden: 500, batch: 100, sweeps: 10, chains: None },
    Training { hidden: 2000, batch: 500, sweeps: 1, chains: None },
];

fn main() -> ExitCode {
    let mut settings = Settings::parse();
    if settings.quick {
        settings = Settings { scale: 0.01, reps: 2, ..settings };
    }
    common::run(settings.common.threads, || measure(&settings))
}

fn measure(s: &Settings) -> Result<()> {
    match s.which {
        Which::Rbm => {
            let data = threshold(&s.common.load()?.train.images);
            let mut cases = TRAININGS.iter().filter(|t| t.name().contains(&s.case));
            let other = |t: &Training| Training {
                hidden: s.hidden.unwrap_or(t.hidden),
                chains: t.chains.map(|n| s.chains.unwrap_or(n)),
                ..*t
            };
            cases.try_for_each(|t| training(s, &other(t), &data))
        }
        Which::Gibbs => gibbs(s),
        Which::Ais => annealing(s),
        Which::Hopfield => SPINS.iter().try_for_each(|&n| hopfield(s, n)),
        Which::Ising => LATTICES.iter().try_for_each(|&case| ising(s, case)),
        Which::Langevin => langevin(s),
    }
}

/// Epochs of one machine, trained further from repeat to repeat.
fn training(s: &Settings, t: &Training, data: &Pixels) -> Result<()> {
    if data.n_rows() != VISIBLE {
        return Err(Error::shape("pixels of an image", VISIBLE, data.n_rows()));
    }
    let mut rbm = random(t.hidden, Rbm::INITIAL_DEVIATION, s.common.seed);
    let mut objective: Box<dyn Objective<Rbm>> = match t.chains {
        None => Box::new(Contrastive::cd(t.sweeps, s.common.seed).plain()),
        Some(n) => Box::new(Contrastive::pcd(t.sweeps, Chains::new(coins(&rbm, n, s.common.seed), 1)).plain()),
    };
    let whole = data.n_samples() / t.batch;
    let updates = ((s.scale * whole as f64) as u64).max(1);
    let fit = Fit {
        epochs: u64::MAX,
        batch: t.batch,
        learning_rate: Schedule::Constant(LEARNING_RATE),
        seed: s.common.seed,
        ..Fit::default()
    };
    let (mut optimizer, mut silent) = (Sgd::default(), Silent);
    let mut run = Run::new(&mut rbm, &mut objective, &mut optimizer, &mut silent);
    let times = timed(s.reps, || {
        run.pause.at = Some(run.step + updates);
        match fit.run(&mut run, data)? {
            Ended::Paused => Ok(()),
            ended => Err(Error::value("the end of a run to be timed", "a pause", format!("{ended:?}"))),
        }
    })?;
    let error =
        reconstruction_error(&rbm, harmonium::data::slice(data, 0..1000.min(data.n_samples()))?.to_mat().as_view())?;
    let said = json!({ "reconstruction_error": error, "weights": "trained from normal ones of deviation 0.01" });
    report(s, &t.name(), &times, ("samples/s", data.n_samples() as f64), updates as f64 / whole as f64, said)
}

/// Sweeps of many chains.
fn gibbs(s: &Settings) -> Result<()> {
    const SWEEPS: f64 = 1000.0;
    let (n, (rbm, weights)) = (s.chains.unwrap_or(1000), machine(s)?);
    let name = format!("gibbs_{}x{}_c{n}_s{SWEEPS}", rbm.n_visible(), rbm.n_hidden());
    if !name.contains(&s.case) {
        return Ok(());
    }
    let sweeps = ((s.scale * SWEEPS) as usize).max(1);
    let mut chains = Chains::new(coins(&rbm, n, s.common.seed), s.common.seed);
    let times = timed(s.reps, || {
        chains.advance(&BlockGibbs::new(sweeps), &rbm);
        Ok(())
    })?;
    let on = |rows: std::ops::Range<usize>| chains.states.x().rows_range(rows).mean();
    let (v, h) = (on(0..rbm.n_visible()), on(rbm.n_visible()..rbm.n_visible() + rbm.n_hidden()));
    let said = json!({ "visible_on": v, "hidden_on": h, "weights": weights });
    report(s, &name, &times, ("chain-sweeps/s", n as f64 * SWEEPS), sweeps as f64 / SWEEPS, said)
}

/// Temperatures of annealed importance sampling.
fn annealing(s: &Settings) -> Result<()> {
    const TEMPERATURES: f64 = 14_500.0;
    let (runs, (rbm, weights)) = (s.chains.unwrap_or(100), machine(s)?);
    let name = format!("ais_{}x{}_c{runs}_t{TEMPERATURES}", rbm.n_visible(), rbm.n_hidden());
    if !name.contains(&s.case) {
        return Ok(());
    }
    let n = ((s.scale * TEMPERATURES) as usize).max(2);
    let base = match &s.model {
        None => base_rate(&rbm, &[], 0.0)?, // uniform, as the machine itself nearly is
        Some(_) => base_rate(&rbm, &mean_of(&threshold(&s.common.load()?.train.images))?, 0.05)?,
    };
    let (mut seed, mut values) = (s.common.seed, vec![]);
    let times = timed(s.reps, || {
        seed += 1;
        values.push(ais(&rbm, &base, &Ais { betas: Ais::linear(n), runs, seed })?.value);
        Ok(())
    })?;
    let said = json!({ "log_z": values, "weights": weights });
    report(s, &name, &times, ("temps/s", TEMPERATURES), n as f64 / TEMPERATURES, said)
}

/// Sizes of Hopfield networks.
const SPINS: [usize; 3] = [1024, 2048, 4096];

/// Storing N/20 random patterns; recall from patterns of which every tenth spin is turned, and from random states, which move longer.
fn hopfield(s: &Settings, n: usize) -> Result<()> {
    let p = n / 20;
    let mut rng = ChainRng::new(derive(s.common.seed, "patterns"));
    let mut coins = |columns: usize, share: f32| {
        Mat::from_fn(n, columns, |_, _| if rng.random::<f32>() < share { -1.0 } else { 1.0 })
    };
    let (patterns, random) = (coins(p, 0.5), coins(100, 0.5));
    let cues = Mat::from_fn(n, 100, |i, j| patterns[(i, j % p)]).component_mul(&coins(100, 0.1));
    let store = || -> Result<Hopfield> {
        let mut hebb = Hebb::new(n)?;
        hebb.store(patterns.as_view())?;
        hebb.network()
    };
    let name = format!("store_n{n}_p{p}");
    if name.contains(&s.case) {
        let times = timed(s.reps, || store().map(drop))?;
        report(s, &name, &times, ("patterns/s", p as f64), 1.0, json!({}))?;
    }
    let network = store()?;
    for (kind, cues, dynamics, sweeps) in [
        ("sync", cues.columns(0, 100), Dynamics::Synchronous, 10),
        ("sync_random", random.columns(0, 100), Dynamics::Synchronous, 10),
        ("async", cues.columns(0, 10), Dynamics::Random, 2),
    ] {
        let name = format!("{kind}_n{n}_{}probes_x{sweeps}", cues.ncols());
        if name.contains(&s.case) {
            let how = Recall { dynamics, sweeps, seed: s.common.seed, trace: false };
            let mut last = None;
            let times = timed(s.reps, || recall(&network, cues, &how).map(|r| last = Some(r)))?;
            let Some(last) = last else { continue };
            let used = last.sweeps.iter().sum::<usize>() as f64 / cues.ncols() as f64;
            let m = overlaps(patterns.as_view(), last.states.as_view())?;
            let overlap = m.column_iter().map(|m| f64::from(m.max())).sum::<f64>() / cues.ncols() as f64;
            let said = json!({ "sweeps_used": used, "overlap": overlap });
            report(s, &name, &times, ("unit-updates/s", (n * sweeps * cues.ncols()) as f64), 1.0, said)?;
        }
    }
    Ok(())
}

/// Sides of square lattices, chains, sweeps.
const LATTICES: [(usize, usize, usize); 2] = [(64, 64, 1000), (512, 8, 100)];

/// Sweeps of periodic lattices at coupling 0.4, from all spins up.
fn ising(s: &Settings, (side, chains, sweeps): (usize, usize, usize)) -> Result<()> {
    let name = format!("ising_{side}x{side}_c{chains}_s{sweeps}");
    if !name.contains(&s.case) {
        return Ok(());
    }
    let model = SparseBoltzmann::ising(&[side, side], Boundary::Periodic, 0.4)?;
    let mut chains_of = Chains::new(Mat::from_element(side * side, chains, 1.0), s.common.seed);
    let some = ((s.scale * sweeps as f64) as usize).max(1);
    let times = timed(s.reps, || {
        chains_of.advance(&BlockGibbs::new(some), &model);
        Ok(())
    })?;
    let mut energies = vec![0.0; chains];
    model.energy(chains_of.states.x(), &mut energies);
    let energy = energies.iter().sum::<f64>() / (0.4 * (chains * side * side) as f64);
    let said = json!({ "energy_of_a_spin": energy, "exact": exact::energy([side, side], f64::from(0.4f32))? });
    let spins = (side * side * chains * sweeps) as f64;
    report(s, &name, &times, ("spin-updates/s", spins), some as f64 / sweeps as f64, said)
}

/// Updates of a dense energy of grey images: twenty Langevin steps of 128 chains from noise, then one step of Adam.
fn langevin(s: &Settings) -> Result<()> {
    const CASE: &str = "langevin_784-256-256-1_b128_k20";
    const UPDATES: f64 = 50.0;
    if !CASE.contains(&s.case) {
        return Ok(());
    }
    let data = real(&s.common.load()?.train.images);
    let layers = [(256, Activation::Silu), (256, Activation::Silu)];
    let mut model = NeuralEnergy::new(0, &[(VISIBLE, Arc::new(TruncatedExponential))], &layers);
    model.initialise(&[], s.common.seed)?;
    let short_run = Langevin::short_run(5.0, 0.005, 20);
    let replay =
        Replay::new(&model, short_run, Noise::Uniform(0.0..=1.0), [128, 128], s.common.seed)?.restarting(1.0)?;
    let mut objective = Contrastive::new(replay).plain().watched(Energies::penalised(0.01).within(f64::INFINITY));
    let updates = ((s.scale * UPDATES) as u64).max(1);
    let fit = Fit { epochs: u64::MAX, batch: 128, learning_rate: Schedule::Constant(1e-4), ..Fit::default() };
    let (mut optimizer, mut silent) = (Adam::default(), Silent);
    let mut run = Run::new(&mut model, &mut objective, &mut optimizer, &mut silent);
    let times = timed(s.reps, || {
        run.pause.at = Some(run.step + updates);
        fit.run(&mut run, &data).map(|_| ())
    })?;
    let mut energies = vec![0.0; 1000.min(data.n_samples())];
    model.energy(harmonium::data::slice(&data, 0..energies.len())?.to_mat().as_view(), &mut energies);
    let mean = energies.iter().sum::<f64>() / energies.len() as f64;
    report(s, CASE, &times, ("updates/s", UPDATES), updates as f64 / UPDATES, json!({ "mean_energy_of_data": mean }))
}

/// The machine to sample, and what its weights are.
fn machine(s: &Settings) -> Result<(Rbm, String)> {
    Ok(match &s.model {
        Some(path) => (load_rbm(path)?.0, path.display().to_string()),
        None => (random(s.hidden.unwrap_or(500), 0.05, s.common.seed), "normal, deviation 0.05".into()),
    })
}

/// A machine with normal weights and no biases.
fn random(hidden: usize, deviation: f32, seed: u64) -> Rbm {
    let mut rbm = Rbm::new((VISIBLE, Bernoulli), (hidden, Bernoulli));
    let mut rng = ChainRng::new(derive(seed, "weights"));
    rbm.update(&mut |p| {
        let normal =
            |w: &mut f32| *w = deviation * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut rng);
        p.slice_mut(0).iter_mut().for_each(normal);
    });
    rbm
}

/// States with visible units on or off by fair coins.
fn coins(rbm: &Rbm, columns: usize, seed: u64) -> Mat {
    let mut rng = ChainRng::new(derive(seed, "coins"));
    let d = rbm.n_visible();
    Mat::from_fn(d + rbm.n_hidden(), columns, |i, _| (i < d && rng.random::<bool>()) as u8 as f32)
}

/// Seconds of some calls of `f`, after one that is not counted.
fn timed(reps: usize, mut f: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    f()?;
    let one = |_| {
        let began = Instant::now();
        f().map(|()| began.elapsed().as_secs_f64())
    };
    (0..reps).map(one).collect()
}

/// Prints a case, its times scaled to the whole of its work.
fn report(
    s: &Settings,
    case: &str,
    times: &[f64],
    (unit, amount): (&str, f64),
    part: f64,
    mut said: serde_json::Value,
) -> Result<()> {
    let mut whole: Vec<f64> = times.iter().map(|t| t / part).collect();
    let round = |t: f64| (t * 1e6).round() / 1e6;
    let in_order: Vec<f64> = whole.iter().copied().map(round).collect();
    whole.sort_by(f64::total_cmp);
    let median = (whole[whole.len() / 2] + whole[(whole.len() - 1) / 2]) / 2.0;
    let which = s.which.to_possible_value().map_or_else(String::new, |v| v.get_name().into());
    let mut line = json!({
        "which": which, "peer": "harmonium", "case": case, "threads": rayon::current_num_threads(),
        "median_s": round(median), "throughput": round(amount / median), "unit": unit,
        "measured_fraction": round(part), "times_s": in_order, "seed": s.common.seed,
    });
    if let (Some(line), Some(said)) = (line.as_object_mut(), said.as_object_mut()) {
        line.append(said);
    }
    say(line);
    Ok(())
}
