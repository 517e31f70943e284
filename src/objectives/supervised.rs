//! Supervised learning: the gradient of `-log p(y | u)` of a network's outputs, by one pass forwards and one backwards.
//!
//! Cross-entropy where the outputs are classes or bits, half the squared error where they are Gaussian: it is the units that say.

use super::batch::{refuse_missing, shares, without_absent};
use super::{Objective, Report};
use crate::linalg::col;
use crate::models::neural::{Noise, Predictor, Work};
use crate::{Batch, Energy, Error, Params, Result, Resume, Saved};

/// `∇ -log p(y | u)`, averaged over the batch, of a [`Predictor`]; the loss it reports is that average, in nats.
///
/// With [`Noise`], of a network of which some units are left out, say, others for every sample and update.
///
/// ```
/// use harmonium::{Batch, Learn, Mat, objectives::{Objective, Supervised}, units::Bernoulli};
/// use harmonium::models::neural::{Activation, Predictor};
/// use std::sync::Arc;
/// let net = Predictor::new(3, &[(4, Activation::Tanh)], &[(1, Arc::new(Bernoulli))]);
/// let x = Mat::zeros(4, 5); // three inputs and one output, of five samples
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
/// let report = Supervised::new(1).gradient(&net, &batch, &mut net.params().zeros_like())?;
/// assert!((report.loss.unwrap_or(0.0) - 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug)]
pub struct Supervised {
    /// What is left out, or added, at random.
    pub noise: Noise,
    work: Work,
    weights: Vec<f32>,
}
impl Supervised {
    /// Without noise; `seed` is for what it draws.
    pub fn new(seed: u64) -> Self {
        Self { noise: Noise::default(), work: Work::new(seed), weights: vec![] }
    }
    /// The same with dropout, or other noise.
    pub fn with_noise(self, noise: Noise) -> Self {
        Self { noise, ..self }
    }
}

impl Objective<Predictor> for Supervised {
    /// # Errors
    /// [`Error::Shape`] if the batch has not the model's rows, [`Error::Value`] if entries are missing, and those of [`Noise::check`].
    fn gradient(&mut self, model: &Predictor, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        if batch.x.nrows() != model.n_rows() {
            return Err(Error::shape("rows of inputs and outputs", model.n_rows(), batch.x.nrows()));
        }
        self.noise.check(model.network().n_layers())?;
        refuse_missing(batch, "missing entries of supervised data", "none")?;
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        let loss = self.propagate(model, x, grad);
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
impl Supervised {
    /// Both passes, and what the units' own parameters learn.
    fn propagate(&mut self, model: &Predictor, x: crate::MatRef<'_>, grad: &mut Params) -> f64 {
        let (n, weights) = (model.n_given(), &self.weights);
        let network = model.network();
        network.pass(&mut self.work, x.rows(0, n), self.noise, &|j, field, delta| {
            model.means(field, delta);
            delta.iter_mut().zip(&col(&x, j)[n..]).for_each(|(d, y)| *d = weights[j] * (*d - y));
        });
        network.pass_back(&mut self.work, self.noise, grad);
        for slot in 2 * network.n_layers()..grad.slots().len() {
            grad.slice_mut(slot).fill(0.0);
        }
        // The last layer is linear: its activities are the fields of what is predicted.
        let fields = self.work.activities(network.rows(network.n_layers()));
        let minus: Vec<f32> = weights.iter().map(|w| -w).collect();
        model.grad_units(x, fields, [weights, &minus], grad);
        let loss = |(j, w): (usize, &f32)| f64::from(*w) * model.loss(col(&fields, j), col(&x, j));
        weights.iter().enumerate().filter(|(_, w)| **w != 0.0).map(loss).sum()
    }
}
/// The streams of noise.
impl Resume for Supervised {
    fn save(&self, to: &mut Saved) {
        self.work.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.work.load(from)
    }
}
