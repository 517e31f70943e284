//! WORK IN PROGRESS
mod common;

use clap::{Parser, ValueEnum};
use common::{Common, Keep, at_least_one, exit_code, print_table, say, write_json};
use harmonium::base_rate::base_rate;
use harmonium::data::{Images, Redrawn, Samples, bernoulli, slice};
use harmonium::eval::{Ais, LogPartition, ais, annealed_log_likelihoods, log_likelihood_bound, log_likelihood_bounds, mean_of};
use harmonium::io::save_dbm;
use harmonium::models::{Dbm, MeanField, Rbm};
use harmonium::objectives::{Contrastive, Sparsity};
use harmonium::optim::{Penalty, Schedule, Sgd};
use harmonium::report::{About, SUMMARY_FORMAT};
use harmonium::rng::derive;
use harmonium::samplers::BlockGibbs;
use harmonium::train::{Activities, Checkpoints, Ended, Fit, History, Metric, Named, Progress, ProgressBar, ReconstructionError, Run, UpdateRatio};
use harmonium::units::Bernoulli;
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Chains, Energy, Error, Mat, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// All layers at once from small random weights, by centred gradients
    Joint,
    /// Layer by layer first, then all at once
    Pretrained,
}

#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Method::Joint)]
    method: Method,
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [500, 1000])]
    hidden: Vec<usize>,
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: u64,
    #[arg(long, value_name = "N", default_value_t = 20)]
    pretraining: u64,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    batch: usize,
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    learning_rate: f32,
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    l2: f32,
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    sparsity: f32,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    chains: usize,
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one())]
    k: usize,
    #[arg(long, value_name = "F", default_value_t = 1e-3)]
    tolerance: f32,
    #[arg(long, value_name = "N", default_value_t = 30)]
    passes: usize,
    #[arg(long, value_name = "N", default_value_t = 20000, value_parser = at_least_one())]
    temperatures: usize,
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    #[arg(long)]
    plain: bool,
}

impl Settings {
    fn notes(&self) -> BTreeMap<String, String> {
        [("all".to_string(), format!("{self:?}"))].into()
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || train_and_tell(&settings))
}

fn train_and_tell(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    let out = s.keep.folder(&s.out, "mnist_dbm")?;
    let folder = s.common.load()?;
    let (images, seed) = (&folder.train.images, derive(s.common.seed, "training pixels"));
    let n = images.n() - s.held_out;
    let (anew, bits) = (Redrawn { images, seed }, bernoulli(images, seed));
    let (train, fixed, held_out) = (slice(&anew, 0..n)?, slice(&bits, 0..n)?, slice(&bits, n..images.n())?);
    let mean = mean_of(&fixed)?;
    let layer = |n: usize| (n, Arc::new(Bernoulli) as _);
    let layers: Vec<_> = [images.n_pixels()].into_iter().chain(s.hidden.iter().copied()).map(layer).collect();
    let mut dbm = Dbm::new(&layers);
    dbm.inference = MeanField { tolerance: s.tolerance, passes: s.passes };
    if s.method == Method::Joint {
        dbm.initialise(&mean, 1.0 / (n + 1) as f32, s.common.seed)?;
    } else {
        let mut machines = vec![];
        for l in 1..dbm.n_layers() {
            let mut machine = dbm.machine_of_layer(l)?;
            let mut data = Activities::new(&machines, &train)?;
            data.factor = if dbm.n_layers() > 2 { 2.0 } else { 1.0 };
            data.drawn = Some(derive(s.common.seed, "activities"));
            machine.initialise(&data.mean()?, 1.0 / (n + 1) as f32, derive(s.common.seed, &format!("layer {l}")))?;
            let per_epoch = n.div_ceil(s.batch) as u64;
            let steps = s.pretraining * per_epoch;
            let mut bar = ProgressBar::new(History::new(per_epoch, vec![Box::new(UpdateRatio) as Box<dyn Metric<Rbm>>]));
            let (mut objective, mut optimizer) = (Contrastive::cd(1, s.common.seed), Sgd::default());
            let fit = Fit {
                epochs: s.pretraining,
                batch: s.batch,
                learning_rate: Schedule::Linear { from: 0.05, to: 0.0, steps },
                penalty: Penalty { l1: 0.0, l2: 2e-4 },
                seed: s.common.seed,
                ..Fit::default()
            };
            fit.run(&mut Run::new(&mut machine, &mut objective, &mut optimizer, &mut bar), &data)?;
            machines.push(machine);
            say(format_args!("layer {l}: {:.1} s", began.elapsed().as_secs_f64()));
        }
        dbm.compose(&machines)?;
    }
    let per_epoch = n.div_ceil(s.batch) as u64;
    let steps = s.epochs * per_epoch;
    let about = About::now("mnist_dbm", s.notes());
    let probe = slice(&fixed, 0..200)?.to_mat();
    let measure = |p: &Progress<'_, Dbm>| {
        let mut states = harmonium::States::default();
        states.clamp(p.model.n_rows(), probe.as_view());
        harmonium::Learn::infer(p.model, &mut states);
        Ok(f64::from(states.x().rows(p.model.rows(1).start, p.model.rows(1).len()).mean()))
    };
    let mut bar = ProgressBar::new(History::new(per_epoch, vec![Box::new(UpdateRatio) as Box<dyn Metric<Dbm>>, Box::new(ReconstructionError(probe.clone())), Box::new(Named { name: "activity1".into(), measure })]));
    bar.history.path = Some(out.join("metrics.jsonl"));
    let base = base_rate(&dbm, &mean, 0.05)?;
    let chains = Chains::from_base(&dbm, &base, s.chains, derive(s.common.seed, "persistent chains"));
    let (mut objective, mut optimizer) = (Contrastive::pcd(s.k, chains), Sgd::default());
    if s.plain { objective = objective.plain(); }
    if s.sparsity > 0.0 { objective = objective.sparse(Sparsity::new(0.1, s.sparsity)); }
    let fit = Fit {
        epochs: s.epochs,
        batch: s.batch,
        learning_rate: Schedule::Linear { from: s.learning_rate, to: 0.0, steps },
        penalty: Penalty { l1: 0.0, l2: s.l2 },
        seed: s.common.seed,
        ..Fit::default()
    };
    let mut run = Run::new(&mut dbm, &mut objective, &mut optimizer, &mut bar);
    let (ended, _kept) = s.keep.train(&fit, &mut run, &train, (&out, &about))?;
    save_dbm(&dbm, &s.notes(), &out.join("model.safetensors"))?;
    say(format_args!("trained: {:.1} s", began.elapsed().as_secs_f64()));
    dbm.inference = MeanField { tolerance: 1e-5, passes: 100 };
    let log_z = ais(&dbm, &base, &Ais { betas: Ais::linear(s.temperatures), runs: 100, seed: s.common.seed })?;
    let test;
    let told: &dyn Samples = if s.held_out > 0 { &held_out } else { test = bernoulli(&folder.test.images, derive(s.common.seed, "test pixels")); &test };
    let bound = log_likelihood_bound(&dbm, told, &log_z)?;
    let of_train = log_likelihood_bound(&dbm, &slice(&fixed, 0..10000)?, &log_z)?;
    say(format_args!("log Z {:.2} ± {:.2}, ess {:.1}; bound {:.2}; train {:.2}; {:.0} s", log_z.value, log_z.standard_error, log_z.effective_sample_size, bound.value, of_train.value, began.elapsed().as_secs_f64()));
    let some = harmonium::data::spread(told, 20);
    let annealed = annealed_log_likelihoods(&dbm, some.as_view(), &log_z, &Ais { betas: Ais::linear(500), runs: 20, seed: 1 })?;
    let bounds = log_likelihood_bounds(&dbm, &some, &log_z)?;
    let n = bounds.len() as f64;
    say(format_args!("of 20: bound {:.3}, annealed {:.3}; {:.0} s", bounds.iter().sum::<f64>() / n, annealed.iter().map(|a| a.value).sum::<f64>() / n, began.elapsed().as_secs_f64()));
    let (height, width, grid) = (images.height, images.width, Grid { columns: 10, ..Grid::default() });
    let mut chains = Chains::from_base(&dbm, &base, 100, derive(s.common.seed, "dreams"));
    chains.advance(&BlockGibbs::new(2000), &dbm);
    let last = dbm.blocks().len() - 1;
    let mean = chains.states.mean(&dbm, last);
    save_png(&grid.tile(mean, height, width, Shade::Unit)?, &out.join("samples.png"))?;
    Ok(exit_code(ended))
}
