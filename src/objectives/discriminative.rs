//! Discriminative learning of a classification RBM: the exact gradient of `-log p(y | x)`.
//!
//! The label sums over its few classes, so nothing is sampled. Samples whose label is missing are absent: they teach a generative
//! objective, beside this one in a [`super::Sum`].
//!
//! ## References
//! - Larochelle and Bengio, "Classification using discriminative restricted Boltzmann machines", 2008.

use super::{Objective, Report};
use crate::linalg::{add_columns, add_outer, axpy, col};
use crate::models::Rbm;
use crate::{Batch, Energy, Error, Learn, Params, Result, Resume, Saved, States};
use std::ops::Range;

/// `∇ -log p(y | x)`, averaged over the batch, of a machine whose last visible range is the label ([`Rbm::with_label`]).
///
/// A label may be soft: numbers that sum to one weigh the classes.
///
/// ```
/// use harmonium::objectives::{Contrastive, Discriminative, Sum};
/// // The hybrid objective of Larochelle and Bengio: discriminative, and a hundredth generative.
/// let hybrid = Sum::new(vec![(1.0, Box::new(Discriminative::default())), (0.01, Box::new(Contrastive::cd(1, 7)))]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Discriminative {
    states: States,
    weights: Vec<f32>,
    parts: Vec<Part>,
}

/// What one slab adds to the gradient, and its scratch memory.
#[derive(Clone, Debug, Default)]
struct Part {
    loss: f64,
    label_weights: Vec<f32>, // hidden × classes
    label_bias: Vec<f32>,
    hidden_theta: Vec<f32>,
    shifted: Vec<f32>,
    means: Vec<f32>,
    log_p: Vec<f64>,
}

impl Part {
    fn begin(&mut self, model: &Rbm, classes: usize) {
        self.loss = 0.0;
        let zeros = |v: &mut Vec<f32>, n: usize| {
            v.clear();
            v.resize(n, 0.0);
        };
        zeros(&mut self.label_weights, model.n_hidden() * classes);
        zeros(&mut self.label_bias, classes);
        zeros(&mut self.hidden_theta, model.params().slice(HIDDEN_THETA).len());
        zeros(&mut self.shifted, model.n_hidden());
        zeros(&mut self.means, model.n_hidden());
        self.log_p.resize(classes, 0.0);
    }
    /// One sample of weight `w` with the label `target`: what its label's weights and biases learn is added up, and what all other
    /// weights into the hidden units learn, `Σ_k (t_k - p_k) E[h | x, k]`, is left in `factor`.
    fn add(
        &mut self,
        model: &Rbm,
        label: &Range<usize>,
        (w, target): (f32, &[f32]),
        (field, factor): (&[f32], &mut [f32]),
    ) {
        model.log_probabilities(label, field, &mut self.shifted, &mut self.log_p);
        factor.fill(0.0);
        let h = model.n_hidden();
        for (k, &t) in target.iter().enumerate() {
            let log_p = self.log_p[k];
            let pull = t - log_p.exp() as f32;
            if t != 0.0 {
                self.loss -= f64::from(w) * f64::from(t) * log_p;
            }
            self.label_bias[k] -= w * pull;
            model.fields_of_class(label, k, field, &mut self.shifted);
            self.respond(model, w * pull);
            axpy(pull, &self.means, factor);
            axpy(-w * pull, &self.means, &mut self.label_weights[k * h..][..h]);
        }
    }
    /// The hidden units' means at the shifted fields, and what their own parameters learn there.
    fn respond(&mut self, model: &Rbm, weight: f32) {
        let (d, mut at) = (model.n_visible(), 0);
        for b in model.hidden_blocks() {
            let (block, theta) = (&model.blocks()[b], model.theta(b, &[]));
            let rows = block.rows.start - d..block.rows.end - d;
            let field = &self.shifted[rows.clone()];
            block.unit.mean(theta, field, &mut self.means[rows]);
            let own = &mut self.hidden_theta[at..at + theta.len()];
            block.unit.expected_grad_theta(theta, field, weight, own);
            at += theta.len();
        }
    }
}

/// Slots of an RBM's parameters.
const WEIGHTS: usize = 0;
const VISIBLE_BIAS: usize = 1;
const HIDDEN_BIAS: usize = 2;
const HIDDEN_THETA: usize = 3;

impl Discriminative {
    /// Weights that sum to one, zero where a label is missing; an error if anything else is.
    fn weigh(&mut self, label: &Range<usize>, batch: &Batch<'_>) -> Result<()> {
        self.weights.clear();
        self.weights.extend_from_slice(batch.weights);
        if let Some(missing) = &batch.missing {
            for (w, gaps) in self.weights.iter_mut().zip(missing.column_iter()) {
                let gaps = |mut rows: Range<usize>| rows.any(|i| gaps[i]);
                if gaps(label.clone()) {
                    *w = 0.0;
                } else if *w != 0.0 && gaps(0..label.start) {
                    let allowed = "in labels alone, where the label is learned by its exact gradient";
                    return Err(Error::value("missing entries of the data", allowed, "some of other units"));
                }
            }
        }
        let total: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        if total > 0.0 {
            self.weights.iter_mut().for_each(|w| *w = (f64::from(*w) / total) as f32);
        }
        Ok(())
    }
    /// The pass over samples: factors are left in the hidden rows of the states, the rest in the parts.
    fn pass(&mut self, model: &Rbm, label: &Range<usize>, batch: &Batch<'_>) {
        self.states.clamp(model.n_rows(), batch.x.rows(0, label.start)); // the label at zero
        let (weights, d) = (&self.weights, model.n_visible());
        self.states.par_with(&mut self.parts, |columns, slab, part: &mut Part| {
            part.begin(model, label.len());
            model.hidden_blocks().for_each(|b| _ = slab.field(model, b));
            for (j, (field, x)) in columns.zip(slab.fields_and_x()) {
                if weights[j] != 0.0 {
                    let target = &col(&batch.x, j)[label.clone()];
                    part.add(model, label, (weights[j], target), (field, &mut x[d..]));
                }
            }
        });
    }
}

impl Objective<Rbm> for Discriminative {
    /// # Errors
    /// [`Error::Value`] if the machine has no label, or entries other than labels are missing; [`Error::Shape`] if the batch has
    /// not its rows.
    fn gradient(&mut self, model: &Rbm, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let label = model.label_rows()?;
        if batch.x.nrows() != label.end {
            return Err(Error::shape("rows of samples with labels", label.end, batch.x.nrows()));
        }
        grad.as_mut_slice().fill(0.0);
        self.weigh(&label, batch)?;
        self.pass(model, &label, batch);
        let (x, h) = (self.states.x(), model.n_hidden());
        let factors = x.rows(label.end, h);
        let (of_others, of_label) = grad.slice_mut(WEIGHTS).split_at_mut(label.start * h);
        add_outer(-1.0, factors, x.rows(0, label.start), &self.weights, of_others);
        self.parts.iter().for_each(|part| axpy(1.0, &part.label_weights, of_label));
        add_columns(grad.slice_mut(HIDDEN_BIAS), -1.0, factors, &self.weights);
        for part in &self.parts {
            axpy(1.0, &part.label_bias, &mut grad.slice_mut(VISIBLE_BIAS)[label.clone()]);
            axpy(1.0, &part.hidden_theta, grad.slice_mut(HIDDEN_THETA));
        }
        Ok(Report { loss: Some(self.parts.iter().map(|p| p.loss).sum()), ..Report::default() })
    }
}
/// It has no state.
impl Resume for Discriminative {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
