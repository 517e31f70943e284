//! Noise-contrastive estimation: the model learns to tell data from noise whose density is known, and so how dense the data are, their
//! normaliser included.
//!
//! With equal chances for a datum and each of its `ν` noise samples, the best guess is a logistic function of `log p(x) - log p_n(x) -
//! log ν`; learning it is logistic regression with `log p(x) = -E(x)`. So the energy must be able to be normalised by itself: a
//! [`crate::models::Normalised`] model has its log-partition as a parameter.
//!
//! ## References
//! - Gutmann and Hyvärinen, "Noise-contrastive estimation: a new estimation principle for unnormalized statistical models", 2010.
//! - Gutmann and Hyvärinen, "Noise-contrastive estimation of unnormalized statistical models, with applications to natural image
//!   statistics", 2012.

use super::batch::{check_weights, refuse_missing, shares};
use super::noise::NoiseDensity;
use super::{Objective, Report};
use crate::linalg::by_columns;
use crate::rng::{StreamSet, Streams, derive};
use crate::{Batch, Error, Learn, Mat, Params, Result, Resume, Saved};

/// States whose energies one task computes.
const CHUNK: usize = 256;

/// `∇ -[log h(x) + Σₖ log(1 - h(yₖ))]`, averaged over the batch, with `ν` draws `yₖ` of noise for every datum `x`, and `h = p / (p + ν
/// p_n)`, `p = exp(-E)`. The loss it reports is that average: `log(1 + ν) + ν log(1 + 1/ν)` if the model is the noise, which is
/// `2 log 2` at `ν = 1`, and less if data can be told from it.
///
/// Given rows of noise are those of its datum.
///
/// ```
/// use harmonium::models::{Boltzmann, Normalised};
/// use harmonium::objectives::{BaseRateNoise, NoiseContrastive, Objective};
/// use harmonium::{Batch, Learn, Mat, units::Spin};
/// let mut model = Normalised::new(Boltzmann::new((3, Spin)));
/// model.set_log_partition(8f32.ln()); // the model is normalised, and the same as the noise
/// let noise = BaseRateNoise::new(&model, &[0.0; 3], 0.0)?;
/// let x = Mat::from_element(3, 4, 1.0);
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step: 0 };
/// let mut objective = NoiseContrastive::new(noise, 1, 7);
/// let report = objective.gradient(&model, &batch, &mut model.params().zeros_like())?;
/// assert!((report.loss.unwrap_or(0.0) - 2.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NoiseContrastive<N> {
    /// What the data are told from.
    pub noise: N,
    /// `ν`, the number of noise samples a datum.
    pub ratio: usize,
    streams: StreamSet,
    weights: Vec<f32>,
    states: Mat, // data, then the noise of each datum in turn
    energies: Vec<f64>,
    log_noise: Vec<f64>,
}

impl<N: NoiseDensity> NoiseContrastive<N> {
    /// So many noise samples a datum, drawn anew in every update.
    pub fn new(noise: N, ratio: usize, seed: u64) -> Self {
        let streams = StreamSet::new(derive(seed, "noise that data are told from"), 0);
        let (weights, energies, log_noise) = (vec![], vec![], vec![]);
        Self { noise, ratio, streams, weights, states: Mat::zeros(0, 0), energies, log_noise }
    }
    fn check<M: Learn + ?Sized>(&self, model: &M, batch: &Batch<'_>) -> Result<()> {
        if model.n_visible() != model.n_rows() {
            let what = "telling data from noise by a machine with latent units".into();
            return Err(Error::Intractable {
                what,
                instead: "a model without latent units, or contrastive divergence",
            });
        }
        if self.ratio == 0 {
            return Err(Error::value("the number of noise samples a datum", "at least 1", 0));
        }
        check_weights(batch)?;
        if batch.x.nrows() != model.n_rows() {
            return Err(Error::shape("rows of samples", model.n_rows(), batch.x.nrows()));
        }
        if self.noise.n_rows() + model.n_given() != model.n_rows() {
            let own = model.n_rows() - model.n_given();
            return Err(Error::shape("rows of noise", own, self.noise.n_rows()));
        }
        refuse_missing(batch, "missing entries of the data", "none, to tell them from noise")
    }
    /// Data (zeros where a sample is absent) and noise side by side.
    fn fill<M: Learn + ?Sized>(&mut self, model: &M, batch: &Batch<'_>) {
        let (n, rows, given) = (batch.x.ncols(), model.n_rows(), model.n_given());
        let noise = n * self.ratio;
        if self.states.shape() != (rows, n + noise) {
            self.states = Mat::zeros(rows, n + noise);
        }
        for j in 0..n {
            let mut own = self.states.column_mut(j);
            if self.weights[j] == 0.0 {
                own.fill(0.0);
            } else {
                own.copy_from(&batch.x.column(j));
            }
        }
        let (data, mut drawn) = self.states.columns_range_pair_mut(0..n, n..);
        for (k, mut column) in drawn.column_iter_mut().enumerate() {
            column.rows_mut(0, given).copy_from(&data.column(k / self.ratio).rows(0, given));
        }
        self.streams.cover(noise);
        self.noise.draw(drawn.rows_range_mut(given..), &mut Streams(self.streams.as_mut_slice()));
    }
}

impl<M: Learn + ?Sized, N: NoiseDensity> Objective<M> for NoiseContrastive<N> {
    /// # Errors
    /// [`Error::Intractable`] if the model has latent units, [`Error::Shape`] if the batch has not its rows or a weight for each sample,
    /// or the noise not its rows, [`Error::Value`] if entries are missing, a weight is no number, or there are no noise samples.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.check(model, batch)?;
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        self.fill(model, batch);
        let (all, n, given) = (self.states.ncols(), batch.x.ncols(), model.n_given());
        self.energies.resize(all, 0.0);
        self.log_noise.resize(all, 0.0);
        let (noise, states) = (&self.noise, self.states.columns(0, all));
        by_columns(states, CHUNK, &mut self.energies, |x, out| model.energy(x, out));
        by_columns(states, CHUNK, &mut self.log_noise, |x, out| noise.log_density(x.rows_range(given..), out));
        let (log_ratio, mut loss) = ((self.ratio as f64).ln(), 0.0);
        for j in 0..n {
            let weight = self.weights[j];
            let mut judge = |k: usize, sign: f32| {
                // How much the model is for noise, of a datum; for data, of noise.
                let against = f64::from(sign) * (self.energies[k] + self.log_noise[k] + log_ratio);
                if weight != 0.0 {
                    loss += f64::from(weight) * softplus(against);
                }
                let part = if weight == 0.0 { 0.0 } else { f64::from(weight) / (1.0 + (-against).exp()) };
                self.energies[k] = f64::from(sign) * part;
            };
            judge(j, 1.0);
            (n + j * self.ratio..n + (j + 1) * self.ratio).for_each(|k| judge(k, -1.0));
        }
        let signs: Vec<f32> = self.energies.iter().map(|s| *s as f32).collect();
        model.grad_params(states, &signs, grad);
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// `log(1 + eˣ)`
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The streams that noise is drawn from.
impl<N> Resume for NoiseContrastive<N> {
    fn save(&self, to: &mut Saved) {
        self.streams.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.streams.load(from)
    }
}
