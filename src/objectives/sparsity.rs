//! A target for the mean activity of hidden units: each is pulled towards being as active, on average over the data, as was
//! asked.
//!
//! With `m` the means of the hidden units over the data phase of a batch, and `q` their sliding means,
//!
//! ```text
//! q ← decay · q + (1 - decay) m       added to the gradient by the hidden biases: cost (q - p)
//! ```
//!
//! and to nothing else. For `decay = 0` this is the gradient by the hidden biases, weights held, of
//!
//! ```text
//! cost Σⱼ ⟨Γⱼ(φⱼ) - p φⱼ⟩      Γ and φ as in `units`, the mean over the data of the batch
//! ```
//!
//! which for bits is the cross entropy of the target and the probability of being on, and which any unit kind has; for
//! `∂Γ/∂c = Γ'(φ)` is the conditional mean. It is convex in the biases, and least where the mean activity is the target. A decay
//! takes the mean over the batches before as well, at the parameters that they met.
//!
//! **Biases alone**, as Lee, Ekanadham and Ng do: the gradient of this loss by the weights would pull every single case to the
//! target, where only their mean should go. Hinton adds `(q - p)` to the incoming weights too, times the mean of what comes in;
//! in centred coordinates, where that mean is zero, his rule is this one. So it is added to the gradient after that was carried
//! back to the plain parameters: it moves all fields of a unit alike, in any coordinates. In standardised ones it has the gain of
//! the bias, as all that is added to a bias there, so that it does not depend on the unit of measure either.
//!
//! It is a pull, not a constraint: where the likelihood disagrees, both meet in between.
//!
//! ## References
//! - Lee, Ekanadham and Ng, "Sparse deep belief net model for visual area V2", 2008 (a target, by biases alone; their loss is the
//!   squared difference, whose gradient vanishes for units that are always off).
//! - Hinton, "A practical guide to training restricted Boltzmann machines", 2010, section 11 (cross entropy and sliding means).

use crate::{Error, Learn, Params, Result, Resume, Saved};
use std::ops::Range;

/// What the mean of every hidden unit should be, how much that counts, and what it was of late.
///
/// ```
/// use harmonium::objectives::{Contrastive, Sparsity};
/// let cd = Contrastive::cd(1, 1).sparse(Sparsity::new(0.1, 0.5)); // hidden bits that are on a tenth of the time
/// # assert!(cd.sparsity.is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Sparsity {
    /// The mean that every hidden unit should have: inside the range of its kind; of one-of-`q` units, `1/q`.
    pub target: f32,
    /// How much it counts beside the likelihood, at least 0.
    pub cost: f32,
    /// Weight of the past in the sliding means, at least 0 and below 1.
    pub decay: f32,
    activity: Vec<f32>, // of the latent units with biases, block by block
}

impl Sparsity {
    /// A target and its cost, with a decay of 0.9; the first batch sets the means.
    pub fn new(target: f32, cost: f32) -> Self {
        Self { target, cost, decay: 0.9, activity: vec![] }
    }
    /// The sliding means of the hidden units, block by block; empty before the first batch.
    pub fn activity(&self) -> &[f32] {
        &self.activity
    }
    /// Whether the settings make sense for the hidden units of a model.
    ///
    /// # Errors
    /// [`Error::Value`] if a setting is out of its range, or the model has no hidden units with biases of known places
    /// ([`Learn::biases`]); [`Error::Shape`] if the means are those of another model: only a saved state can bring them.
    pub fn check<M: Learn + ?Sized>(&self, model: &M) -> Result<()> {
        if !(0.0..1.0).contains(&self.decay) {
            return Err(Error::value("the decay of the mean activity", "at least 0 and below 1", self.decay));
        }
        if !(self.cost >= 0.0 && self.cost.is_finite()) {
            return Err(Error::value("the cost of sparsity", "a number, at least 0", self.cost));
        }
        for (b, _) in latent(model) {
            let unit = &model.blocks()[b].unit;
            let (range, width) = (unit.range(), unit.width());
            if !(self.target > *range.start() && self.target < *range.end()) {
                let expected = format!("inside {range:?} for {} units", unit.name());
                return Err(Error::value("the target of sparsity", expected, self.target));
            }
            if width > 1 && (self.target * width as f32 - 1.0).abs() > 1e-5 {
                let expected = format!("1/{width}, for {width} rows of which one is on");
                return Err(Error::value("the target of sparsity", expected, self.target));
            }
        }
        let units = latent(model).map(|(_, places)| places.len()).reduce(|a, b| a + b);
        match units {
            None => Err(Error::value("the model of a sparsity target", "one of hidden units that have biases", "none")),
            Some(n) if !self.activity.is_empty() && self.activity.len() != n => {
                Err(Error::shape("the mean activities", format!("{n} hidden units"), self.activity.len()))
            }
            Some(_) => Ok(()),
        }
    }
    /// Moves the mean activities towards those of the data phase, which are minus the gradient of the biases in that phase.
    pub fn observe<M: Learn + ?Sized>(&mut self, model: &M, positive: &Params) {
        let share = if self.activity.is_empty() { 1.0 } else { 1.0 - self.decay };
        self.activity.resize(latent(model).map(|(_, places)| places.len()).sum(), 0.0);
        let means = latent(model).flat_map(|(_, places)| &positive.as_slice()[places]).map(|g| -g);
        self.activity.iter_mut().zip(means).for_each(|(q, m)| *q += share * (m - *q));
    }
    /// `grad += cost (q - p)` in the places of the hidden biases, times their gains if there are any.
    pub(super) fn add<M: Learn + ?Sized>(&self, model: &M, gains: Option<&[f32]>, grad: &mut Params) {
        let grad = grad.as_mut_slice();
        let places = latent(model).flat_map(|(_, places)| places);
        for (k, q) in places.zip(&self.activity) {
            grad[k] += self.cost * (q - self.target) * gains.map_or(1.0, |gains| gains[k]);
        }
    }
}

/// The latent blocks whose biases have known places.
fn latent<M: Learn + ?Sized>(model: &M) -> impl Iterator<Item = (usize, Range<usize>)> {
    let blocks = model.blocks().iter().enumerate().filter(|(_, b)| b.rows.start >= model.n_visible());
    blocks.filter_map(|(b, _)| model.biases(b).map(|places| (b, places)))
}

impl Resume for Sparsity {
    fn save(&self, to: &mut Saved) {
        to.put("activity", &self.activity);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.activity = from.floats("activity")?.to_vec();
        Ok(())
    }
}
