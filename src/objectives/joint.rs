//! Joint learning of a classifier and the energy of its inputs (JEM): `-log p(x, y) = -log p(y | x) - log p(x)`.
//!
//! The first term is the cross-entropy, exactly. The second is any objective of the inputs' energy, the classes summed out: contrastive,
//! with chains, as it was published; or denoising score matching, which needs none and cannot diverge.
//!
//! ## References
//! - Grathwohl, Wang, Jacobsen, Duvenaud, Norouzi and Swersky, "Your classifier is secretly an energy based model and you should treat it
//!   like one", 2020.

use super::batch::{check_weights, refuse_missing, shares};
use super::{Objective, Report};
use crate::linalg::{axpy, col, normals_to};
use crate::models::neural::{JointEnergy, NeuralEnergy};
use crate::rng::derive;
use crate::samplers::Chains;
use crate::{Batch, Energy, Error, Mat, Params, Result, Resume, Saved};

/// `∇ -log p(y | x) - g log p(x)`, averaged over the batch, of a [`JointEnergy`], whose samples are inputs, then classes; the loss that it
/// reports is the first term.
#[derive(Clone, Debug)]
pub struct JointLearning<O> {
    /// How the energy of the inputs learns.
    pub inputs: O,
    /// `g`: how much that counts; 0 leaves a plain classifier.
    pub generative: f32,
    /// Standard deviation of the normal noise that the classifier's inputs get in every update.
    pub noise: f32,
    noisy: Chains,
    weights: Vec<f32>,
    own: Option<Params>,
}
impl<O> JointLearning<O> {
    /// Both terms in full, without noise.
    pub fn new(inputs: O, seed: u64) -> Self {
        let noisy = Chains::new(Mat::zeros(0, 0), derive(seed, "noise of inputs"));
        Self { inputs, generative: 1.0, noise: 0.0, noisy, weights: vec![], own: None }
    }
}

impl<O: Objective<NeuralEnergy>> Objective<JointEnergy> for JointLearning<O> {
    /// # Errors
    /// [`Error::Shape`] if the batch has not the model's rows or a weight for each sample, [`Error::Value`] if entries are missing or a
    /// setting is no number, and those of the inputs' objective.
    fn gradient(&mut self, model: &JointEnergy, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        check_weights(batch)?;
        if batch.x.nrows() != model.n_rows() {
            return Err(Error::shape("rows of inputs and classes", model.n_rows(), batch.x.nrows()));
        }
        refuse_missing(batch, "missing entries of the data", "none, for joint learning")?;
        for (what, value) in
            [("the weight of the inputs' energy", self.generative), ("the noise of inputs", self.noise)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::value(what, "a number, at least 0", value));
            }
        }
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        self.disturb(model, batch);
        let x = self.noisy.states.x();
        let loss = model.add_cross_entropy(x, &self.weights, grad);
        if self.generative == 0.0 {
            return Ok(Report { loss: Some(loss), ..Report::default() });
        }
        let own = self.own.get_or_insert_with(|| grad.zeros_like());
        if own.slots() != grad.slots() {
            *own = grad.zeros_like();
        }
        let inputs = Batch { x: batch.x.rows_range(model.inputs()), missing: None, ..*batch };
        let report = self.inputs.gradient(model.marginal(), &inputs, own)?;
        axpy(self.generative, own.as_slice(), grad.as_mut_slice());
        Ok(Report { loss: Some(loss), ..report })
    }
}
impl<O> JointLearning<O> {
    /// The batch with noise in its inputs, and zeros where samples are absent.
    fn disturb(&mut self, model: &JointEnergy, batch: &Batch<'_>) {
        let (noise, weights, inputs) = (self.noise, &self.weights, model.inputs());
        self.noisy.reshape(model.n_rows(), batch.x.ncols());
        self.noisy.each_at(|columns, slab, rng| {
            for (mut x, (j, n)) in slab.x_mut().column_iter_mut().zip(columns.enumerate()) {
                let x = x.as_mut_slice();
                normals_to(&mut x[inputs.clone()], rng.column(j));
                if weights[n] == 0.0 {
                    x.fill(0.0);
                    continue;
                }
                let (units, classes) = col(&batch.x, n).split_at(inputs.end);
                x[inputs.clone()].iter_mut().zip(units).for_each(|(x, u)| *x = u + noise * *x);
                x[inputs.end..].copy_from_slice(classes);
            }
        });
    }
}
/// What the inputs' objective keeps, and the streams of the noise.
impl<O: Resume> Resume for JointLearning<O> {
    fn save(&self, to: &mut Saved) {
        self.inputs.save(to.child_mut("inputs"));
        self.noisy.streams().save(to.child_mut("noise"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.inputs.load(from.child("inputs")?)?;
        self.noisy.streams_mut().load(from.child("noise")?)
    }
}
