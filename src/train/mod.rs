//! Training: batch → gradient → penalties → step → monitor. One loop for every model and every objective.
//!
//! A run is a function of settings, seed and data: the order of the data follows from seed and epoch, schedules from the
//! step. Cut at any update and continued from a [checkpoint](Checkpoints), it has the same bits. It neither evaluates nor
//! draws; monitors do.

mod activities;
mod average;
#[cfg(feature = "candle")]
mod calm;
mod checkpoints;
mod history;
mod learner;
mod metrics;
mod monitor;
mod pause;
mod run;
mod snapshots;
pub use activities::Activities;
pub use average::MovingAverage;
pub use checkpoints::{Checkpoints, Resumed};
pub use history::{History, Record};
pub use learner::Learner;
pub(crate) use metrics::update_ratio;
pub use metrics::{
    AcceptanceRate, EnergyGap, FreeEnergyGap, LogLikelihoodEnd, Metric, Named, PseudoLogLikelihood,
    ReconstructionError, SwapRate, UpdateRatio,
};
pub use monitor::{EarlyStopping, Monitor, Progress, Silent};
pub use pause::{Ended, Pause};
pub use run::Run;
pub use snapshots::{Histogram, Look, Snapshots};

#[cfg(feature = "progress")]
mod bar;
#[cfg(feature = "progress")]
pub use bar::ProgressBar;

use crate::data::{Batches, Minibatch, Samples, in_chunks};
use crate::optim::{At, Optimizer, Penalty, Schedule, clip_norm, max_norm};
use crate::rng::derive;
use crate::{Batch, Block, Error, Learn, Mask, Mat, Params, Result, Resume, linalg};
use std::collections::BTreeMap;
use std::time::Instant;

/// Settings of a run.
///
/// ```
/// use harmonium::{data::bars_and_stripes, models::Rbm, objectives::Contrastive, optim::{Schedule, Sgd}};
/// use harmonium::{train::{Fit, Run, Silent}, units::Bernoulli};
/// let data = bars_and_stripes(3)?.sample(500, 1)?;
/// let mut rbm = Rbm::new((9, Bernoulli), (8, Bernoulli));
/// rbm.initialise(&[0.5; 9], 0.0, 1)?;
/// let (mut objective, mut optimizer, mut monitor) = (Contrastive::cd(1, 1), Sgd::default(), Silent);
/// let fit = Fit { epochs: 2, batch: 50, learning_rate: Schedule::Constant(0.1), ..Fit::default() };
/// let mut run = Run::new(&mut rbm, &mut objective, &mut optimizer, &mut monitor);
/// fit.run(&mut run, &data)?;
/// assert_eq!(run.step, 20);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Passes over the data.
    pub epochs: u64,
    /// Samples of an update.
    pub batch: usize,
    /// By step, not by epoch.
    pub learning_rate: Schedule,
    /// What keeps weights small.
    pub penalty: Penalty,
    /// The largest norm of the weights into a unit.
    pub max_norm: Option<f32>,
    /// Whether softmax units are kept in their [zero-sum gauge](crate::models::zero_sum): projected after every update, before
    /// norms are bounded. The distribution does not change; weight decay then sees the least weights that mean the same.
    pub zero_sum: bool,
    /// The largest norm of a gradient.
    pub clip_norm: Option<f32>,
    /// What the order of the data follows from.
    pub seed: u64,
}

impl Default for Fit {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 100,
            learning_rate: Schedule::Constant(0.05),
            penalty: Penalty::default(),
            max_norm: None,
            zero_sum: false,
            clip_norm: None,
            seed: 0,
        }
    }
}

impl Fit {
    /// Updates in a run over so many samples.
    pub fn steps(&self, n_samples: usize) -> u64 {
        self.epochs.saturating_mul(n_samples.div_ceil(self.batch.max(1)) as u64)
    }
    /// Runs from `run.step` to the last epoch, or until the monitor breaks or the run is [paused](Pause). With
    /// [`Run::checkpoints`], writes one whenever it is due and when it comes back; those that another run left in the
    /// folder are put away, unless [`Fit::resume`] went on from them. A run that has done all its epochs goes on, in the
    /// same process, with a [`Fit`] of more.
    ///
    /// # Errors
    /// - [`Error::Shape`] if the data have not one row a visible unit;
    /// - [`Error::Value`] if there are no data, the batch is empty, a setting is not a number, or a datum is not in the
    ///   range of its unit kind (NaN never is);
    /// - [`Error::NonFinite`] if a parameter would be; the model keeps its last finite parameters;
    /// - [`Error::Io`] if a checkpoint cannot be written, [`Error::Value`] if the state has a number that is not finite;
    ///   the last good checkpoint stays;
    /// - whatever the objective or a monitor reports.
    pub fn run<M: Learner + ?Sized>(&self, run: &mut Run<'_, M>, data: &dyn Samples) -> Result<Ended> {
        self.check(run, data)?;
        if let Some(checkpoints) = &mut run.checkpoints {
            checkpoints.begin(|| self.identity(&*run.model, data))?;
        }
        let ended = self.updates(run, data).map_err(|error| match (error, &run.checkpoints) {
            (Error::NonFinite { step, slot, .. }, Some(kept)) => {
                Error::NonFinite { step, slot, checkpoint: kept.last().map(Into::into) }
            }
            (error, _) => error,
        })?;
        run.keep()?;
        Ok(ended)
    }
    /// Continues the run of the newest good checkpoint in [`Run::checkpoints`], if there is one. [`Fit::run`] then does
    /// the rest, or nothing if the run has ended.
    ///
    /// # Errors
    /// - [`Error::Value`] if the checkpoint was made with other settings, another model or other data, with the name of
    ///   the setting;
    /// - [`Error::Format`] if no checkpoint is whole, or the newest is of another version;
    /// - [`Error::Missing`] if the state is not that of such a run; the model must not be used then;
    /// - those of [`Fit::run`] about data, and [`Error::Io`].
    pub fn resume<M: Learner + ?Sized>(&self, run: &mut Run<'_, M>, data: &dyn Samples) -> Result<Resumed> {
        self.check(run, data)?;
        let identity = self.identity(&*run.model, data);
        let Some(checkpoints) = &mut run.checkpoints else { return Ok(Resumed::Afresh) };
        let Some((state, resumed)) = checkpoints.load(identity)? else { return Ok(Resumed::Afresh) };
        run.load(&state)?;
        Ok(resumed)
    }
    /// Whether the settings make sense, and the data fit the model: what [`Fit::run`] asks first.
    ///
    /// # Errors
    /// Those of [`Fit::run`] about settings and data.
    pub fn check<M: Learner + ?Sized>(&self, run: &Run<'_, M>, data: &dyn Samples) -> Result<()> {
        self.validate(data.n_samples())?;
        run.optimizer.check(self.steps(data.n_samples()), run.model.parameters().as_slice().len())?;
        check_samples((run.model.n_data_rows(), &run.model.data_blocks()), data)
    }
    /// What the numbers of a run depend on, by name, as far as it is known here: a checkpoint of another is refused.
    fn identity<M: Learner + ?Sized>(&self, model: &M, data: &dyn Samples) -> BTreeMap<String, String> {
        let slots = model.parameters().slots().iter().map(|s| format!("{} {} × {}", s.name, s.rows, s.columns));
        let list = |parts: &mut dyn Iterator<Item = String>| parts.collect::<Vec<_>>().join(", ");
        let settings = [
            ("Fit::epochs", self.epochs.to_string()),
            ("Fit::batch", self.batch.to_string()),
            ("Fit::learning_rate", format!("{:?}", self.learning_rate)),
            ("Fit::penalty", format!("{:?}", self.penalty)),
            ("Fit::max_norm", format!("{:?}", self.max_norm)),
            ("Fit::clip_norm", format!("{:?}", self.clip_norm)),
            ("Fit::seed", self.seed.to_string()),
            ("blocks of the model", model.describe()),
            ("parameters of the model", list(&mut slots.into_iter())),
            ("data", format!("{} × {}, checksum {:08x}", data.n_rows(), data.n_samples(), checksum(data))),
        ];
        // What came later is named where it is set, so that earlier checkpoints stay those of the same run.
        let later = self.zero_sum.then(|| ("Fit::zero_sum", "true".to_string()));
        settings.into_iter().chain(later).map(|(name, value)| (name.to_string(), value)).collect()
    }
    /// The loop.
    fn updates<M: Learner + ?Sized>(&self, run: &mut Run<'_, M>, data: &dyn Samples) -> Result<Ended> {
        let mut batches = Batches::new(data.n_samples(), self.batch, derive(self.seed, "order of the data"))?;
        let (per_epoch, mut grad) = (batches.per_epoch(), run.model.parameters().zeros_like());
        let steps = self.epochs.saturating_mul(per_epoch);
        let began = Instant::now();
        while run.step < steps && !run.stopped {
            if let Some(ended) = run.pause.is_due(run.step, began) {
                return Ok(ended);
            }
            let step = run.step;
            let Minibatch { x, weights, missing, .. } = batches.load(data, step);
            let batch = Batch { x, weights, missing, step };
            let report = run.objective.gradient(run.model, &batch, &mut grad)?;
            let at = At { step, learning_rate: self.learning_rate.at(step) };
            self.step(run.model, run.optimizer, &mut grad, at)?;
            run.step += 1;
            let progress = Progress {
                model: &*run.model,
                done: run.step,
                steps,
                per_epoch,
                before: &grad,
                report,
                learning_rate: at.learning_rate,
            };
            run.stopped = run.monitor.observe(&progress)?.is_break();
            if run.checkpoints.as_ref().is_some_and(|c| c.is_due(run.step)) {
                run.keep()?;
            }
        }
        Ok(if run.stopped { Ended::Stopped } else { Ended::Done })
    }
    /// Gradient → penalties → step, checked before it is taken; `grad` ends as the parameters before it.
    fn step<M: Learner + ?Sized>(
        &self,
        model: &mut M,
        optimizer: &mut dyn Optimizer,
        grad: &mut Params,
        at: At,
    ) -> Result<()> {
        self.penalty.add(model.parameters(), grad);
        if let Some(limit) = self.clip_norm {
            clip_norm(grad, limit);
        }
        let far = optimizer.direct(grad, at);
        if let Some(index) = linalg::step_from(model.parameters().as_slice(), far, grad.as_mut_slice()) {
            let slot = grad.slot_of(index).name.clone();
            return Err(Error::NonFinite { step: at.step, slot, checkpoint: None });
        }
        let gauge = self.zero_sum.then(|| model.gauge());
        model.change(&mut |params| {
            params.exchange(grad);
            if let Some(gauge) = &gauge {
                gauge(params);
            }
            if let Some(limit) = self.max_norm {
                max_norm(params, limit);
            }
        });
        Ok(())
    }
    fn validate(&self, n_samples: usize) -> Result<()> {
        let positive = |what: &str, v: Option<f32>| match v {
            Some(v) if v.is_nan() || v <= 0.0 => Err(Error::value(what, "above 0", v)),
            _ => Ok(()),
        };
        positive("the largest norm of weights", self.max_norm)?;
        positive("the largest norm of a gradient", self.clip_norm)?;
        let last = self.learning_rate.at(self.steps(n_samples));
        let rates = [self.learning_rate.at(0), last, self.penalty.l1, self.penalty.l2];
        let names = ["learning rate", "last learning rate", "L1 penalty", "L2 penalty"];
        match rates.iter().zip(names).find(|(v, _)| !v.is_finite() || **v < 0.0) {
            Some((v, what)) => Err(Error::value(format!("the {what}"), "a number, at least 0", v)),
            None => Ok(()),
        }
    }
}

/// CRC-32 of some hundred samples, spread evenly: tells data sets apart without reading them whole.
fn checksum(data: &dyn Samples) -> u32 {
    const PROBES: usize = 500;
    let index: Vec<usize> = (0..data.n_samples()).step_by(data.n_samples().div_ceil(PROBES).max(1)).collect();
    let mut probes = Mat::zeros(data.n_rows(), index.len());
    data.gather(0, &index, probes.columns_mut(0, index.len()));
    let mut crc = crc32fast::Hasher::new();
    probes.iter().for_each(|x| crc.update(&x.to_le_bytes()));
    let mut weights = vec![1.0; index.len()];
    data.weigh(&index, &mut weights);
    if weights.iter().any(|w| *w != 1.0) {
        weights.iter().for_each(|w| crc.update(&w.to_le_bytes()));
    }
    if data.has_missing() {
        let mut missing = Mask::repeat(data.n_rows(), index.len(), false);
        data.mark_missing(&index, missing.columns_mut(0, index.len()));
        missing.iter().for_each(|m| crc.update(&[u8::from(*m)]));
    }
    crc.finalize()
}

/// Whether the data fit the visible units of a model.
///
/// # Errors
/// [`Error::Shape`] or [`Error::Value`], with the first unit and sample that do not, or if there are no samples.
pub fn check_data<M: Learn + ?Sized>(model: &M, data: &dyn Samples) -> Result<()> {
    let d = model.n_visible();
    let blocks: Vec<Block> = model.blocks().iter().filter(|b| b.rows.end <= d).cloned().collect();
    check_samples((d, &blocks), data)
}

/// Whether samples of so many rows have units of these blocks.
fn check_samples((d, blocks): (usize, &[Block]), data: &dyn Samples) -> Result<()> {
    if data.n_rows() != d {
        return Err(Error::shape("rows of the data", format!("{d} visible units"), data.n_rows()));
    }
    let blocks = || blocks.iter();
    let (mut index, mut weights) = (vec![], vec![]);
    in_chunks(data, |first, x| {
        index.clear();
        index.extend(first..first + x.ncols());
        weights.clear();
        weights.resize(x.ncols(), 1.0);
        data.weigh(&index, &mut weights);
        let within = |values: &[f32], block: &Block| {
            let range = block.unit.range();
            // All of a column, without a branch, so that it vectorises.
            values.iter().fold(true, |all, v| all & (v >= range.start()) & (v <= range.end()))
        };
        // A sample of weight zero is absent, whatever it holds.
        let fits = |j: usize| weights[j] == 0.0 || blocks().all(|b| within(&linalg::col(&x, j)[b.rows.clone()], b));
        let Some(j) = linalg::first(x.ncols(), |j| !fits(j)) else { return Ok(()) };
        let wrong = |b: &Block| {
            let (range, values) = (b.unit.range(), &linalg::col(&x, j)[b.rows.clone()]);
            let i = values.iter().position(|v| !range.contains(v))?;
            let what = format!("unit {} of sample {}", b.rows.start + i, first + j);
            Some(Error::value(what, format!("within {range:?} for {} units", b.unit.name()), values[i]))
        };
        blocks().find_map(wrong).map_or(Ok(()), Err)
    })
}
