//! Score matching: the energy's slopes are fitted to those of the data, and log Z never appears.
//!
//! The expected squared difference of two scores, `½⟨‖∇E + ∇log p‖²⟩`, is but for a constant `⟨½‖∇E‖² - tr ∇²E⟩`, which needs no density
//! of the data. The trace is a sum over all units ([`ScoreMatching`], for few), or an average over random directions
//! ([`SlicedScoreMatching`]). With noise of known size added to the data, the slope is known at every sample, and no second derivative is
//! needed: [`super::DenoisingScoreMatching`].
//!
//! For real units without bounds alone: a density that ends at a border has terms there that are not in the loss.
//!
//! ## References
//! - Hyvärinen, "Estimation of non-normalized statistical models by score matching", 2005.
//! - Song, Garg, Shi and Ermon, "Sliced score matching: a scalable approach to density and score estimation", 2019.

use super::batch::{check_weights, refuse_missing, shares, without_absent};
use super::{Objective, Report};
use crate::linalg::{col, dot, normals_to};
use crate::rng::{ChainRng, derive};
use crate::samplers::Chains;
use crate::{Batch, Curved, Error, Learn, Mat, MatRef, Params, Result, Resume, Saved, Score, States};
use rand::RngExt;
use std::sync::Mutex;

/// `∇ ⟨½‖∇E‖² - tr ∇²E⟩`, exactly: every unit is a direction, so it costs as many passes as there are units. The loss it reports is that
/// average, which has no unit of its own; only differences between models of the same data mean something.
///
/// ```
/// use harmonium::models::neural::{Activation, NeuralEnergy};
/// use harmonium::{Batch, Learn, Mat, objectives::{Objective, ScoreMatching}, units::Gaussian};
/// use std::sync::Arc;
/// let model = NeuralEnergy::new(0, &[(2, Arc::new(Gaussian))], &[(4, Activation::Silu)]); // E = ½‖x‖²
/// let x = Mat::from_element(2, 5, 1.0);
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
/// let report = ScoreMatching::default().gradient(&model, &batch, &mut model.params().zeros_like())?;
/// assert!((report.loss.unwrap_or(0.0) + 1.0).abs() < 1e-6); // ½·2 - 2
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScoreMatching {
    weights: Vec<f32>,
}

impl<M: Curved + ?Sized> Objective<M> for ScoreMatching {
    /// # Errors
    /// [`Error::Intractable`] if the model has latent, discrete or bounded units, [`Error::Shape`] if the batch has not its rows or a
    /// weight for each sample, [`Error::Value`] if entries are missing or a weight is no number.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        check(model, batch)?;
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let (given, rows) = (model.n_given(), model.n_rows());
        let present: Vec<usize> = (0..batch.x.ncols()).filter(|&j| self.weights[j] != 0.0).collect();
        let mut loss = 0.0;
        // Bounded memory: whole samples, each once for every unit.
        for part in present.chunks((AT_ONCE / rows).max(1)) {
            let n = (rows - given) * part.len();
            let sample = |k: usize| part[k / (rows - given)];
            let x = Mat::from_fn(rows, n, |i, k| batch.x[(i, sample(k))]);
            let u = Mat::from_fn(rows, n, |i, k| f32::from(i == given + k % (rows - given)));
            let weights: Vec<f32> = (0..n).map(|k| self.weights[sample(k)]).collect();
            loss += sliced(model, (x.as_view(), u.as_view()), &weights, true, grad);
        }
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// Columns of a pass.
const AT_ONCE: usize = 16_384;

/// `Σ wₙ (½sₙ² - cₙ)` with slopes and curvatures along `u`, or without the squares, and its gradient, added.
fn sliced<M: Curved + ?Sized>(
    model: &M,
    (x, u): (MatRef<'_>, MatRef<'_>),
    weights: &[f32],
    squares: bool,
    grad: &mut Params,
) -> f64 {
    let losses = Mutex::new(vec![0.0; x.ncols()]);
    let weigh = |n: usize, slope: f64, curvature: f64| {
        let (weight, slope) = (f64::from(weights[n]), if squares { slope } else { 0.0 });
        // Each to its own place: their sum does not depend on who comes first.
        losses.lock().unwrap_or_else(|e| e.into_inner())[n] = weight * (0.5 * slope * slope - curvature);
        [weight * slope, -weight]
    };
    model.grad_curvatures(x, u, &weigh, grad);
    losses.into_inner().unwrap_or_else(|e| e.into_inner()).iter().sum()
}

/// The same along random directions `v` of independent signs, of which `⟨vvᵀ⟩ = 1`: `∇ ⟨½(vᵀ∇E)² - vᵀ∇²E v⟩`, unbiased for what
/// [`ScoreMatching`] computes. Costs one pass of three orders for every direction.
#[derive(Clone, Debug)]
pub struct SlicedScoreMatching {
    /// Directions of a sample and update.
    pub directions: usize,
    /// Whether the first term, whose average over directions is known, is taken exactly: `½‖∇E‖²`. Less variance, for a pass of two orders
    /// more (Song and others' SSM-VR).
    pub variance_reduced: bool,
    chains: Chains,
    weights: Vec<f32>,
}
impl SlicedScoreMatching {
    /// One direction, the first term exactly.
    pub fn new(seed: u64) -> Self {
        let chains = Chains::new(Mat::zeros(0, 0), derive(seed, "directions of slices"));
        Self { directions: 1, variance_reduced: true, chains, weights: vec![] }
    }
}

impl<M: Curved + ?Sized> Objective<M> for SlicedScoreMatching {
    /// # Errors
    /// Those of [`ScoreMatching`]; [`Error::Value`] if there are no directions.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        check(model, batch)?;
        if self.directions == 0 {
            return Err(Error::value("directions of a sample", "at least 1", 0));
        }
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        let mut loss = 0.0;
        if self.variance_reduced {
            loss += half_square(model, x, &self.weights, grad);
        }
        let share: Vec<f32> = self.weights.iter().map(|w| w / self.directions as f32).collect();
        for _ in 0..self.directions {
            self.chains.reshape(x.nrows(), x.ncols());
            let given = model.n_given();
            self.chains.each(|slab, rng| {
                for (j, mut v) in slab.x_mut().column_iter_mut().enumerate() {
                    let (v, rng) = (v.as_mut_slice(), rng.column(j));
                    v[..given].fill(0.0);
                    signs(&mut v[given..], rng);
                }
            });
            loss += sliced(model, (x, self.chains.states.x()), &share, !self.variance_reduced, grad);
        }
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// Independent signs.
fn signs(out: &mut [f32], rng: &mut ChainRng) {
    for chunk in out.chunks_mut(64) {
        let bits: u64 = rng.random();
        chunk.iter_mut().enumerate().for_each(|(k, v)| *v = if bits >> k & 1 == 1 { 1.0 } else { -1.0 });
    }
}
/// `Σ wₙ ½‖∇E‖²` over the units, and its gradient, added.
fn half_square<M: Curved + ?Sized>(model: &M, x: MatRef<'_>, weights: &[f32], grad: &mut Params) -> f64 {
    let mut states = States::new(x.clone_owned());
    let slopes = slopes(model, &mut states);
    model.grad_slopes(x, slopes.as_view(), weights, grad);
    let square =
        |(j, w): (usize, &f32)| 0.5 * f64::from(*w) * dot(col(&slopes.as_view(), j), col(&slopes.as_view(), j));
    weights.iter().enumerate().filter(|(_, w)| **w != 0.0).map(square).sum()
}
/// `∇E` by the units, zeros for given rows, in parallel.
fn slopes<M: Score + ?Sized>(model: &M, states: &mut States) -> Mat {
    let given = model.n_given();
    let parts = states.par(|_, slab| {
        let mut out = Mat::zeros(slab.x().nrows(), slab.ncols());
        model.grad_x(slab.x(), out.as_view_mut());
        out.rows_range_mut(..given).fill(0.0);
        out
    });
    let mut all = Vec::with_capacity(states.as_slice().len());
    parts.iter().for_each(|p| all.extend_from_slice(p.as_slice()));
    Mat::from_vec(states.x().nrows(), states.ncols(), all)
}
/// The streams of the directions.
impl Resume for SlicedScoreMatching {
    fn save(&self, to: &mut Saved) {
        self.chains.streams().save(to.child_mut("directions"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.chains.streams_mut().load(from.child("directions")?)
    }
}
/// It has no state.
impl Resume for ScoreMatching {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}

/// What all kinds of score matching ask of a model and a batch.
pub(super) fn check<M: Learn + ?Sized>(model: &M, batch: &Batch<'_>) -> Result<()> {
    let intractable = |what: String| Err(Error::Intractable { what, instead: "contrastive learning" });
    if model.n_visible() != model.n_rows() {
        return intractable("score matching of a model with latent units (sum them out first: `Collapsed`)".into());
    }
    let bounded = |u: &dyn crate::Unit| *u.range().start() > f32::MIN || *u.range().end() < f32::MAX;
    if let Some(b) = model.blocks().iter().find(|b| b.unit.support().is_some() || bounded(&*b.unit)) {
        return intractable(format!(
            "score matching of {} units, which are not real numbers without bounds",
            b.unit.name()
        ));
    }
    check_weights(batch)?;
    if batch.x.nrows() != model.n_rows() {
        return Err(Error::shape("rows of samples", model.n_rows(), batch.x.nrows()));
    }
    refuse_missing(batch, "missing entries of the data", "none, for score matching")
}

/// Fills the rows of the units of a column with normal numbers; those that are given, with zeros.
pub(super) fn noise_to(column: &mut [f32], given: usize, rng: &mut ChainRng) {
    column[..given].fill(0.0);
    normals_to(&mut column[given..], rng);
}
