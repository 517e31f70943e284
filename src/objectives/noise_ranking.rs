//! Noise-contrastive estimation by rank, for conditional energies of real answers, `E(y | u)`: the answer must stand out among proposals
//! that are drawn around it, whose density is known. No normaliser is learned, for it is that of the input, and falls out.
//!
//! The proposals of a datum `y₀` are draws of a mixture of normal distributions centred on it, of several widths: the narrow ones tell
//! where the peak is, the wide ones what is far from it.
//!
//! ## References
//! - Ma and Collins, "Noise contrastive estimation and negative sampling for conditional models: consistency and statistical
//!   efficiency", 2018.
//! - Gustafsson, Danelljan, Timofte and Schön, "How to train your energy-based model for regression", 2020 (also for `NCE+`, where the
//!   answer is noisy itself).

use super::batch::{check_weights, refuse_missing, shares};
use super::{Objective, Report};
use crate::linalg::{by_columns, col};
use crate::rng::{ChainRng, StreamSet, Streams, derive};
use crate::{Batch, Error, Learn, Mat, Params, Result, Resume, Saved};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;

/// Numbers in the states that are judged at once, unless one datum alone has more.
const AT_ONCE: usize = 1 << 20;
/// States that are judged at once, unless one datum alone has more.
const MOST: usize = 1 << 12;
/// States whose energies one task computes.
const CHUNK: usize = 256;

/// `∇ -log [e^{-E(y₀ | u)} / q(y₀)] / Σₘ [e^{-E(yₘ | u)} / q(yₘ)]`, the sum running over `y₀` and its proposals `yₘ` from `q`, averaged
/// over the batch; the loss it reports is that average: `log(1 + proposals)` if the model does not know better than `q`.
///
/// `q` is the mixture, in equal shares, of normal distributions around the datum with these deviations. `y₀` is the datum; with
/// [`NoiseRanking::blurred`], the datum with noise of the same mixture, its variances less by a factor.
///
/// ```
/// use harmonium::models::neural::{Activation, Predictor};
/// use harmonium::objectives::{NoiseRanking, Objective};
/// use harmonium::{Batch, Learn, Mat, units::Gaussian};
/// use std::sync::Arc;
/// let net = Predictor::new(1, &[(8, Activation::Tanh)], &[(1, Arc::new(Gaussian))]);
/// let x = Mat::from_element(2, 4, 0.5); // an input and its answer, of four samples
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step: 0 };
/// let mut objective = NoiseRanking::new(64, &[0.1, 0.8], 1).blurred(0.025);
/// assert!(objective.gradient(&net, &batch, &mut net.params().zeros_like())?.loss.is_some());
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NoiseRanking {
    /// How many proposals each datum has.
    pub proposals: usize,
    /// Deviations of the mixture.
    pub deviations: Vec<f32>,
    /// Variances of the noise that is added to the datum itself, as a share of those of the mixture; 0 for none.
    pub blur: f32,
    streams: StreamSet,
    weights: Vec<f32>,
    states: Mat,
    log_q: Vec<f64>,
    energies: Vec<f64>,
    signs: Vec<f32>,
}

impl NoiseRanking {
    /// So many proposals a datum, from a mixture with these deviations, drawn anew in every update.
    pub fn new(proposals: usize, deviations: &[f32], seed: u64) -> Self {
        let streams = StreamSet::new(derive(seed, "proposals around data"), 0);
        let (states, deviations) = (Mat::zeros(0, 0), deviations.to_vec());
        let (weights, log_q, energies, signs) = (vec![], vec![], vec![], vec![]);
        Self { proposals, deviations, blur: 0.0, streams, weights, states, log_q, energies, signs }
    }
    /// The same with noise in the data, whose variances are this share of those of the mixture: `NCE+`.
    pub fn blurred(self, share: f32) -> Self {
        Self { blur: share, ..self }
    }
    fn check<M: Learn + ?Sized>(&self, model: &M, batch: &Batch<'_>) -> Result<()> {
        if model.n_visible() != model.n_rows() {
            let what = "ranking data among noise by a machine with latent units".into();
            return Err(Error::Intractable {
                what,
                instead: "a model without latent units, or contrastive divergence",
            });
        }
        if let Some(block) = model.blocks().iter().find(|b| b.unit.support().is_some()) {
            let what = format!("ranking {} units among noise, which is real", block.unit.name());
            return Err(Error::Intractable { what, instead: "noise-contrastive estimation" });
        }
        if self.proposals == 0 {
            return Err(Error::value("the number of proposals", "at least 1", 0));
        }
        let wrong = self.deviations.iter().find(|d| !d.is_finite() || **d <= 0.0);
        if wrong.is_some() || self.deviations.is_empty() {
            let got = format!("{:?}", self.deviations);
            return Err(Error::value("the deviations of proposals", "above 0, at least one of them", got));
        }
        if !self.blur.is_finite() || self.blur < 0.0 {
            return Err(Error::value("the share of noise in the data", "a number, at least 0", self.blur));
        }
        check_weights(batch)?;
        if batch.x.nrows() != model.n_rows() {
            return Err(Error::shape("rows of samples", model.n_rows(), batch.x.nrows()));
        }
        refuse_missing(batch, "missing entries of the data", "none, to rank them among noise")
    }
    /// Writes a datum and its proposals from column `at` on.
    fn propose(&mut self, (given, x): (usize, &[f32]), at: usize, streams: &mut ChainRng) {
        let blur = self.blur.sqrt();
        for k in at..=at + self.proposals {
            let mut column = self.states.column_mut(k);
            column.copy_from_slice(x);
            let scale = if k == at { blur } else { 1.0 };
            if scale > 0.0 {
                let deviation = scale * self.deviations[streams.random_range(0..self.deviations.len())];
                for y in &mut column.as_mut_slice()[given..] {
                    let z: f32 = StandardNormal.sample(streams);
                    *y += deviation * z;
                }
            }
            self.log_q[k] = log_mixture(&self.deviations, &column.as_slice()[given..], &x[given..]);
        }
    }
    /// The weighted loss of `n` data that were proposed for, from number `first` on; its gradient is added to `grad`.
    fn judge<M: Learn + ?Sized>(&mut self, model: &M, (first, n): (usize, usize), grad: &mut Params) -> f64 {
        let (each, mut loss) = (1 + self.proposals, 0.0);
        let states = self.states.columns(0, n * each);
        self.energies.resize(n * each, 0.0);
        by_columns(states, CHUNK, &mut self.energies, |x, out| model.energy(x, out));
        self.signs.clear();
        for (j, energies) in self.energies.chunks_exact_mut(each).enumerate() {
            let weight = f64::from(self.weights[first + j]);
            if weight == 0.0 {
                self.signs.resize(self.signs.len() + each, 0.0);
                continue;
            }
            let log_q = &self.log_q[j * each..][..each];
            energies.iter_mut().zip(log_q).for_each(|(e, q)| *e = -*e - q);
            let most = energies.iter().fold(f64::NEG_INFINITY, |m, e| m.max(*e));
            let sum: f64 = energies.iter().map(|e| (e - most).exp()).sum();
            loss += weight * (most + sum.ln() - energies[0]);
            let part = |(k, e): (usize, &f64)| {
                let own = if k == 0 { 1.0 } else { 0.0 };
                (weight * (own - (e - most).exp() / sum)) as f32
            };
            self.signs.extend(energies.iter().enumerate().map(part));
        }
        model.grad_params(states, &self.signs, grad);
        loss
    }
}
/// `log (1/K) Σ N(y; centre, σ²)`
fn log_mixture(deviations: &[f32], y: &[f32], centre: &[f32]) -> f64 {
    let square: f64 = y.iter().zip(centre).map(|(y, c)| (f64::from(*y) - f64::from(*c)).powi(2)).sum();
    let one = |s: &f32| {
        let s = f64::from(*s);
        -0.5 * square / (s * s) - y.len() as f64 * (s.ln() + 0.5 * TAU.ln())
    };
    let most = deviations.iter().map(one).fold(f64::NEG_INFINITY, f64::max);
    most + (deviations.iter().map(|s| (one(s) - most).exp()).sum::<f64>() / deviations.len() as f64).ln()
}

impl<M: Learn + ?Sized> Objective<M> for NoiseRanking {
    /// # Errors
    /// [`Error::Intractable`] if the model has latent or discrete units, [`Error::Shape`] if the batch has not its rows or a weight for
    /// each sample, [`Error::Value`] if entries are missing, a weight is no number, or the settings are outside their range.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.check(model, batch)?;
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let (n, rows, each) = (batch.x.ncols(), model.n_rows(), 1 + self.proposals);
        let columns = (AT_ONCE / rows.max(1)).min(MOST);
        let at_once = (columns / each).max(1).min(n);
        if self.states.shape() != (rows, at_once * each) {
            self.states = Mat::zeros(rows, at_once * each);
            self.log_q.resize(at_once * each, 0.0);
        }
        self.streams.cover(n);
        let (mut own, mut loss) = (std::mem::replace(&mut self.streams, StreamSet::new(0, 0)), 0.0);
        let (mut streams, nothing) = (Streams(own.as_mut_slice()), vec![0.0; rows]);
        for first in (0..n).step_by(at_once) {
            let last = (first + at_once).min(n);
            for j in first..last {
                let x = if self.weights[j] == 0.0 { &nothing } else { col(&batch.x, j) };
                self.propose((model.n_given(), x), (j - first) * each, streams.column(j));
            }
            loss += self.judge(model, (first, last - first), grad);
        }
        self.streams = own;
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}

/// The streams that proposals are drawn from.
impl Resume for NoiseRanking {
    fn save(&self, to: &mut Saved) {
        self.streams.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.streams.load(from)
    }
}
