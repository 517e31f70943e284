//! A deep belief net learns digits and their labels, classifies them, and dreams of each class (Hinton, Osindero and Teh, 2006).
//!
//! ```text
//! cargo run --release --example mnist_dbn
//! cargo run --release --example mnist_dbn -- --epochs 15 --unsupervised --fine-tuning 40
//! cargo run --release --example mnist_dbn -- --epochs 15 --labelled 1000 --fine-tuning 200 --fine-tuning-rate 0.05 --drop-hidden 0.3
//! ```
//!
//! Of the test images, the first takes 2.83 % for another digit after learning layer by layer, and 1.93 % after up-down learning; it
//! draws `dreams.png`. The second, back-propagation from layers that saw no label: 1.28 % (1.38 % with `--random`, from random weights).
//! The third, with a thousand labels: 6.42 % (10.28 % with `--random`). Seed 1; 7.5 minutes on two cores for the first, 16 and 5 beside other runs.
mod common;

use clap::Parser;
use common::{
    Common, Inputs, Keep, Stages, at_least_one, exit_code, falling, print_table, say, share_wrong, without_held_out,
    write_json,
};
use harmonium::base_rate::base_rate;
use harmonium::data::{Folder, Redrawn, Samples, Stacked, bernoulli, one_hot, real, slice, spread};
use harmonium::eval::{Ais, BeliefNetBound, Estimate, ais, belief_net_bounds};
use harmonium::infer::{Draws, dream, label_by_gibbs};
use harmonium::io::{save_dbn, save_predictor};
use harmonium::models::neural::{Activation, Noise, Predictor};
use harmonium::models::{Dbn, Rbm};
use harmonium::objectives::{Contrastive, Objective, Supervised, UpDown};
use harmonium::optim::{Penalty, Schedule, Sgd};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::derive;
use harmonium::train::{Activities, Fit, Metric, Named, Progress};
use harmonium::units::{Bernoulli, Softmax};
use harmonium::viz::{Grid, Shade, save_png};
use harmonium::{Chains, Error, Mat, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const CLASSES: usize = 10;

/// Learns digits and their labels layer by layer, then all layers at once, both ways; classifies, and dreams of each class.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/mnist_dbn]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Hidden units of every layer [default: 500,500,2000]
    #[arg(long, value_name = "N,N,N", value_delimiter = ',')]
    hidden: Vec<usize>,
    /// Passes over the training images, for each layer [default: 20]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Passes of up-down learning [default: 30]
    #[arg(long, value_name = "N")]
    up_down: Option<u64>,
    /// Passes of discriminative learning by back-propagation; its error is told beside that of the net [default: 0; 40 for --random and
    /// --labelled]
    #[arg(long, value_name = "N")]
    fine_tuning: Option<u64>,
    /// Learning rate of a layer's first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    learning_rate: f32,
    /// Learning rate of up-down learning's first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.01)]
    up_down_rate: f32,
    /// Persistent chains at the top in up-down learning, where dreams begin; or 0 for contrastive divergence of three to ten sweeps
    #[arg(long, value_name = "N", default_value_t = 100)]
    dreams: usize,
    /// Gibbs sweeps of theirs in an update
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    k: usize,
    /// Learning rate of back-propagation's first update; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.1)]
    fine_tuning_rate: f32,
    /// Momentum of all stages
    #[arg(long, value_name = "F", default_value_t = 0.9)]
    momentum: f32,
    /// Weight decay of layers
    #[arg(long, value_name = "F", default_value_t = 0.0002)]
    l2: f32,
    /// The share of inputs that back-propagation leaves out of an update
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    drop_inputs: f32,
    /// The share of hidden units that back-propagation leaves out of an update
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    drop_hidden: f32,
    /// The largest norm of the weights into a unit in back-propagation
    #[arg(long, value_name = "F")]
    max_norm: Option<f32>,
    /// Back-propagation from random weights instead: no layer is learned before
    #[arg(long)]
    random: bool,
    /// No label at the top: layers learn from images alone
    #[arg(long)]
    unsupervised: bool,
    /// So many persistent chains for every layer, instead of contrastive divergence; without momentum
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    chains: Option<usize>,
    /// Tell a lower bound on the log-likelihood of the images as bits, with log Z of the top by annealing through so many temperatures
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    bound: Option<usize>,
    /// Use the labels of the first N training images alone, in back-propagation; layers learn from all images, without labels
    #[arg(long, value_name = "N")]
    labelled: Option<usize>,
    /// What pixels are in training; those that are classified are grey levels
    #[arg(long, value_enum, default_value_t = Inputs::Bits)]
    inputs: Inputs,
    /// Images of an update
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one())]
    batch: usize,
    /// Keep the last N training images out of training and classify them; the test images are not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    /// A smoke run: the defaults become 100,50,100 hidden units, one pass each
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn hidden(&self) -> Vec<usize> {
        match (self.hidden.is_empty(), self.quick) {
            (false, _) => self.hidden.clone(),
            (true, true) => vec![100, 50, 100],
            (true, false) => vec![500, 500, 2000],
        }
    }
    fn epochs(&self) -> u64 {
        if self.random { 0 } else { self.epochs.unwrap_or(if self.quick { 1 } else { 20 }) }
    }
    fn up_down(&self) -> u64 {
        let none = self.random || self.unsupervised();
        if none { 0 } else { self.up_down.unwrap_or(if self.quick { 1 } else { 30 }) }
    }
    fn fine_tuning(&self) -> u64 {
        let nothing_else = self.random || self.labelled.is_some();
        self.fine_tuning.unwrap_or(if self.quick {
            1
        } else if nothing_else {
            40
        } else {
            0
        })
    }
    fn unsupervised(&self) -> bool {
        self.unsupervised || self.labelled.is_some()
    }
    fn noise(&self) -> Noise {
        Noise { drop_inputs: self.drop_inputs, drop_hidden: self.drop_hidden, ..Noise::default() }
    }
    /// The settings that layers depend on; with those of up-down learning; with those of back-propagation as well. Each stage has its own,
    /// so that one that was not begun may be done with other settings on what was learned before (`--resume`).
    fn notes(&self, stages: usize) -> BTreeMap<String, String> {
        let layers = vec![
            ("hidden", format!("{:?}", self.hidden())),
            ("epochs", self.epochs().to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("momentum", self.momentum.to_string()),
            ("l2", self.l2.to_string()),
            ("unsupervised", self.unsupervised().to_string()),
            ("inputs", self.inputs.name().into()),
            ("batch", self.batch.to_string()),
            ("held_out", self.held_out.to_string()),
            ("seed", self.common.seed.to_string()),
        ];
        let up_down = vec![
            ("up_down", self.up_down().to_string()),
            ("up_down_rate", self.up_down_rate.to_string()),
            ("dreams", self.dreams.to_string()),
            ("k", self.k.to_string()),
        ];
        let fine_tuning = vec![
            ("fine_tuning", self.fine_tuning().to_string()),
            ("fine_tuning_rate", self.fine_tuning_rate.to_string()),
            ("drop_inputs", self.drop_inputs.to_string()),
            ("drop_hidden", self.drop_hidden.to_string()),
            ("max_norm", format!("{:?}", self.max_norm)),
            ("random", self.random.to_string()),
            ("labelled", format!("{:?}", self.labelled)),
        ];
        let chains = self.chains.map(|n| ("chains", n.to_string()));
        let all = [layers, up_down, fine_tuning].into_iter().take(stages).flatten().chain(chains);
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

/// Images that are told of, and their labels.
struct Told {
    set: &'static str,
    pixels: Mat,
    /// The same images as bits.
    bits: Mat,
    labels: Vec<u8>,
}
impl Told {
    fn of(s: &Settings, folder: &Folder, n: usize) -> Result<Self> {
        let all = &folder.train;
        Ok(if s.held_out > 0 {
            let part = |samples: &dyn Samples| Ok::<Mat, Error>(slice(samples, n..all.images.n())?.to_mat());
            let bits = bernoulli(&all.images, derive(s.common.seed, "training pixels"));
            let (pixels, bits) = (part(&real(&all.images))?, part(&bits)?);
            Self { set: "held-out", pixels, bits, labels: all.labels[n..].to_vec() }
        } else {
            let bits = bernoulli(&folder.test.images, derive(s.common.seed, "test pixels")).to_mat();
            let pixels = real(&folder.test.images).to_mat();
            Self { set: "test", pixels, bits, labels: folder.test.labels.clone() }
        })
    }
    fn error(&self, found: &[usize]) -> f64 {
        100.0 * share_wrong(found, &self.labels)
    }
}

/// All of a run, in order.
fn train_and_tell(s: &Settings) -> Result<ExitCode> {
    let began = Instant::now();
    s.noise().check(s.hidden().len() + 1)?;
    let out = s.keep.folder(&s.out, "mnist_dbn")?;
    let folder = s.common.load()?;
    let all = &folder.train;
    let n = without_held_out(all.images.n(), s.held_out)?;
    let (grey, labels) = (real(&all.images), one_hot(&all.labels, CLASSES)?);
    let anew = Redrawn { images: &all.images, seed: derive(s.common.seed, "training pixels") };
    let inputs: &dyn Samples = if s.inputs == Inputs::Bits { &anew } else { &grey };
    let (pixels, labels) = (slice(inputs, 0..n)?, slice(&labels, 0..n)?);
    let told = Told::of(s, &folder, n)?;
    let stages = Stages::begin(&s.keep, &out, "mnist_dbn", &s.notes(3))?;
    let mut results = Results::new(&told);
    let net = if s.random {
        let hidden: Vec<_> = s.hidden().into_iter().map(|n| (n, Activation::Sigmoid)).collect();
        let mut net = Predictor::new(pixels.n_rows(), &hidden, &[(CLASSES, Arc::new(Softmax { q: CLASSES }))]);
        net.network_mut().initialise(s.common.seed);
        Some(net)
    } else {
        let Some(mut dbn) = greedy(s, &stages, (&pixels, &labels))? else {
            return Ok(exit_code(stages.ended()));
        };
        if !s.unsupervised() {
            results.add("layer by layer", told.error(&dbn.classify(told.pixels.as_view())?));
        }
        if s.up_down() > 0 {
            if !up_down(s, &stages, &mut dbn, (&pixels, &labels), &told)? {
                return Ok(exit_code(stages.ended()));
            }
            results.add("up-down", told.error(&dbn.classify(told.pixels.as_view())?));
            let draws = Draws { sweeps: 20, chains: 2, averaged: 50, seed: s.common.seed };
            let some = told.pixels.columns(0, told.pixels.ncols().min(1000));
            let found: Vec<usize> = label_by_gibbs(&dbn, some, &draws)?.column_iter().map(|p| p.imax()).collect();
            let by_gibbs = 100.0 * share_wrong(&found, &told.labels[..found.len()]);
            say(format_args!("by Gibbs sampling of the label, of the first {}: {by_gibbs:.2} %", found.len()));
        }
        save_dbn(&dbn, &s.notes(2), &out.join("model.safetensors"))?;
        if let Some(temperatures) = s.bound {
            results.bound(s, &dbn, temperatures, (&pixels, &told))?;
        }
        draw(s, &dbn, (all.images.height, all.images.width), &out)?;
        (s.fine_tuning() > 0).then(|| dbn.to_classifier(CLASSES)).transpose()?
    };
    if let Some(mut net) = net {
        if !fine_tune(s, &stages, &mut net, (&pixels, &labels), &told)? {
            return Ok(exit_code(stages.ended()));
        }
        results.add("back-propagation", told.error(&net.classify(told.pixels.as_view())?));
        save_predictor(&net, &s.notes(3), &out.join("network.safetensors"))?;
    }
    results.write(s, &out, began)?;
    Ok(ExitCode::SUCCESS)
}

/// What is told at the end: a table and a summary.
struct Results {
    set: &'static str,
    n: f64,
    rows: Vec<(String, String)>,
    summary: serde_json::Value,
}
impl Results {
    fn new(told: &Told) -> Self {
        let summary = serde_json::json!({ "format": SUMMARY_FORMAT });
        Self { set: told.set, n: told.labels.len() as f64, rows: vec![], summary }
    }
    /// Of so many percent of the images, the class was wrong.
    fn add(&mut self, what: &str, percent: f64) {
        say(format_args!("{what}: {percent:.2} % of the {} images wrong", self.set));
        let deviation = (percent * (100.0 - percent) / self.n).sqrt();
        self.rows.push((format!("{} error, {what}", self.set), format!("{percent:.2} ± {deviation:.2} %")));
        let name = |text: &str| text.replace([' ', '-'], "_");
        self.summary[format!("{}_error_{}", name(self.set), name(what))] = percent.into();
    }
    /// A bound on the likelihood of the images as bits, and of a hundred of them from more draws.
    fn bound(
        &mut self,
        s: &Settings,
        dbn: &Dbn,
        temperatures: usize,
        (train, told): (&dyn Samples, &Told),
    ) -> Result<()> {
        say("annealing the machine at the top");
        let mean = dbn.up(spread(train, 5000).as_view())?.column_mean();
        let label = vec![1.0 / CLASSES as f32; dbn.n_label()];
        let base = base_rate(dbn.top(), &[mean.as_slice(), &label].concat(), 0.05)?;
        let settings = Ais { betas: Ais::linear(temperatures), seed: s.common.seed, ..Ais::default() };
        let log_z = ais(dbn.top(), &base, &settings)?;
        let seed = derive(s.common.seed, "recognition");
        let found = belief_net_bounds(dbn, &told.bits, &log_z, 20, seed)?;
        let some = belief_net_bounds(dbn, &spread(&told.bits, 100), &log_z, 2000, seed)?;
        let bound = Estimate::of(&found.iter().map(|b| b.bound.value).collect::<Vec<_>>());
        let mean = |of: &dyn Fn(&BeliefNetBound) -> f64| some.iter().map(of).sum::<f64>() / some.len() as f64;
        let (at_least, weighted) = (mean(&|b| b.bound.value), mean(&|b| b.weighted));
        let value = format!(
            "{:.2} ± {:.2} nats (± {:.2} over other images)",
            bound.value, log_z.standard_error, bound.standard_error
        );
        self.rows.push((format!("{} log-likelihood, at least", self.set), value));
        let value = format!("{at_least:.2}, and {weighted:.2} by weighing 2000 draws");
        self.rows.push((format!("of {} of them, at least", some.len()), value));
        let set = self.set.replace('-', "_");
        self.summary[format!("{set}_log_likelihood_bound")] = bound.value.into();
        self.summary[format!("{set}_log_likelihood_bound_stderr")] = log_z.standard_error.into();
        self.summary[format!("{set}_log_likelihood_bound_sampling_error")] = bound.standard_error.into();
        self.summary["bound_of_some"] = at_least.into();
        self.summary["weighted_of_some"] = weighted.into();
        self.summary["log_partition_of_top"] = log_z.value.into();
        self.summary["effective_sample_size"] = log_z.effective_sample_size.into();
        log_z.warning().iter().for_each(|warning| say(format_args!("  warning: {warning}")));
        Ok(())
    }
    fn write(mut self, s: &Settings, out: &Path, began: Instant) -> Result<()> {
        self.summary["seconds"] = began.elapsed().as_secs_f64().into();
        self.summary["threads"] = rayon::current_num_threads().into();
        self.summary["settings"] = serde_json::to_value(s.notes(3)).unwrap_or_default();
        write_json(&out.join("summary.json"), &self.summary)?;
        self.rows.push(("time of it all".into(), format!("{:.1} min", began.elapsed().as_secs_f64() / 60.0)));
        say("");
        print_table(&self.rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>());
        say(format_args!("\nwritten to {}", out.display()));
        Ok(())
    }
}

/// Every layer as an RBM, on the drawn activities of the one below; the last beside labels. Nothing, if it was paused.
fn greedy(s: &Settings, stages: &Stages<'_>, (pixels, labels): (&dyn Samples, &dyn Samples)) -> Result<Option<Dbn>> {
    let (hidden, mut stack) = (s.hidden(), Vec::<Rbm>::new());
    for (k, &h) in hidden.iter().enumerate() {
        let mut below = Activities::new(&stack, pixels)?;
        below.drawn = Some(derive(s.common.seed, "activities"));
        let (visible, hidden_units) = ((below.n_rows(), Arc::new(Bernoulli) as _), (h, Arc::new(Bernoulli) as _));
        let labelled = k + 1 == hidden.len() && !s.unsupervised();
        let both = Stacked::new(vec![&below, labels])?;
        let (mut rbm, data): (Rbm, &dyn Samples) = match labelled {
            true => (Rbm::with_label(visible, CLASSES, hidden_units), &both),
            false => (Rbm::with_units(visible, hidden_units), &below),
        };
        let (n, seed) = (data.n_samples(), derive(s.common.seed, &format!("layer {}", k + 1)));
        rbm.initialise(&harmonium::eval::mean_of(data)?, 1.0 / (n + 1) as f32, seed)?;
        let momentum = if s.chains.is_some() { 0.0 } else { s.momentum };
        let (mut learned, mut sgd) = (objective(s, &rbm, seed), Sgd::new(Schedule::Constant(momentum)));
        let fit = Fit { penalty: Penalty { l1: 0.0, l2: s.l2 }, ..s.fit(s.epochs(), s.learning_rate, n) };
        let stage = (&*format!("layer {}", k + 1), s.notes(1));
        if !stages.train(stage, &fit, &mut rbm, (&mut *learned, &mut sgd), (data, vec![]))? {
            return Ok(None);
        }
        stack.push(rbm);
    }
    Ok(Some(Dbn::from_stack(stack)?))
}

/// Contrastive divergence, or its persistent kind.
fn objective(s: &Settings, rbm: &Rbm, seed: u64) -> Box<dyn Objective<Rbm>> {
    let Some(chains) = s.chains else { return Box::new(Contrastive::cd(1, seed)) };
    let independent = [rbm.visible_bias(), &vec![0.0; rbm.n_hidden()]].concat();
    Box::new(Contrastive::pcd(1, Chains::from_base(rbm, &independent, chains, derive(seed, "persistent chains"))))
}

/// All layers at once, both ways.
fn up_down(
    s: &Settings,
    stages: &Stages<'_>,
    dbn: &mut Dbn,
    (pixels, labels): (&dyn Samples, &dyn Samples),
    told: &Told,
) -> Result<bool> {
    let both = Stacked::new(vec![pixels, labels])?;
    let fit = s.fit(s.up_down(), s.up_down_rate, both.n_samples());
    let mut objective = both_ways(s, dbn, fit.steps(both.n_samples()));
    let mut metrics: Vec<Box<dyn Metric<Dbn> + '_>> = vec![];
    if s.held_out > 0 {
        let measure = |p: &Progress<'_, Dbn>| Ok(told.error(&p.model.classify(told.pixels.as_view())?));
        metrics.push(Box::new(Named { name: "error_percent".into(), measure }));
    }
    let mut sgd = Sgd::new(Schedule::Constant(s.momentum));
    stages.train(("up-down", s.notes(2)), &fit, dbn, (&mut *objective, &mut sgd), (&both, metrics))
}

/// Up-down learning with persistent chains at the top, or with chains from the data, of three to ten sweeps.
fn both_ways(s: &Settings, dbn: &Dbn, steps: u64) -> Box<dyn Objective<Dbn>> {
    let (top, seed, mean_dreams) = (dbn.top(), s.common.seed, s.inputs == Inputs::Grey);
    if s.dreams == 0 {
        let k = Schedule::Linear { from: 3.0, to: 10.0, steps };
        let mut objective = UpDown::new(3, seed).with_k(k);
        objective.mean_dreams = mean_dreams;
        return Box::new(objective);
    }
    let independent = [top.visible_bias(), &vec![0.0; top.n_hidden()]].concat();
    let chains = Chains::from_base(top, &independent, s.dreams, derive(seed, "dreams"));
    let mut objective = UpDown::persistent(s.k, chains, seed);
    objective.mean_dreams = mean_dreams;
    Box::new(objective)
}

/// Back-propagation of the error of classes.
fn fine_tune(
    s: &Settings,
    stages: &Stages<'_>,
    net: &mut Predictor,
    (pixels, labels): (&dyn Samples, &dyn Samples),
    told: &Told,
) -> Result<bool> {
    let both = Stacked::new(vec![pixels, labels])?;
    let data = slice(&both, 0..s.labelled.unwrap_or(both.n_samples()).min(both.n_samples()))?;
    let fit = Fit { max_norm: s.max_norm, ..s.fit(s.fine_tuning(), s.fine_tuning_rate, data.n_samples()) };
    let mut objective = Supervised::new(s.common.seed).with_noise(s.noise());
    let mut metrics: Vec<Box<dyn Metric<Predictor> + '_>> = vec![];
    if s.held_out > 0 {
        let measure = |p: &Progress<'_, Predictor>| Ok(told.error(&p.model.classify(told.pixels.as_view())?));
        metrics.push(Box::new(Named { name: "error_percent".into(), measure }));
    }
    let mut sgd = Sgd::new(Schedule::Constant(s.momentum));
    stages.train(("back-propagation", s.notes(3)), &fit, net, (&mut objective, &mut sgd), (&data, metrics))
}

/// Ten dreams of each class, a row each; without labels, a hundred of whatever it is.
fn draw(s: &Settings, dbn: &Dbn, (height, width): (usize, usize), out: &Path) -> Result<()> {
    let draws = Draws { sweeps: if s.quick { 100 } else { 1000 }, seed: s.common.seed, ..Draws::default() };
    let dreams = match dbn.n_label() {
        0 => dream(dbn, None, 100, &draws)?.mean,
        _ => {
            let mut all = Mat::zeros(dbn.n_visible(), 10 * CLASSES);
            for class in 0..CLASSES {
                all.columns_mut(10 * class, 10).copy_from(&dream(dbn, Some(class), 10, &draws)?.mean);
            }
            all
        }
    };
    let grid = Grid { columns: 10, ..Grid::default() };
    save_png(&grid.tile(dreams.as_view(), height, width, Shade::Unit)?, &out.join("dreams.png"))
}
