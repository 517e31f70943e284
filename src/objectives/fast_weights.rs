//! Fast weights (Tieleman and Hinton, "Using fast weights to improve persistent contrastive divergence", 2009): the
//! persistent chains move under `θ + θ_fast`, whose second part is quick to raise the energy of where the chains are, and
//! quick to forget. So they leave a mode that learning alone would take long to push them out of.
//!
//! ```text
//! θ_fast ← decay (θ_fast - rate · gradient)
//! ```
//!
//! The gradient is the one that the model learns from, of the parameters `θ` alone, with the chains as its negative states.
//! Where it is centred, the fast weights learn from the centred one: they are to run ahead in the direction in which the
//! parameters go, and the plain gradient is another. The chains are then no draws of the model: what they cost in bias is
//! what they gain in mixing, and it vanishes with the rate.

use super::{Negative, Negatives, Persistent};
use crate::samplers::{BlockGibbs, Kernel};
use crate::{Batch, Error, Params, Result, Resume, Saved, States, Train, linalg};

/// Persistent chains that move under a model of their own: that of the parameters and the fast weights together.
#[derive(Clone, Debug)]
pub struct FastWeights<M, K = BlockGibbs> {
    /// The chains, and how they move.
    pub persistent: Persistent<K>,
    /// The learning rate of the fast weights: constant, while that of the parameters may fall.
    pub rate: f32,
    /// What is left of the fast weights after an update, within 0..=1.
    pub decay: f32,
    fast: Params,
    sum: M,
}

impl<M> FastWeights<M> {
    /// The decay of Tieleman and Hinton.
    pub const DECAY: f32 = 19.0 / 20.0;
}
impl<M: Train + Clone, K> FastWeights<M, K> {
    /// Fast weights at zero, with the decay [`FastWeights::DECAY`].
    pub fn new(model: &M, persistent: Persistent<K>, rate: f32) -> Self {
        let (fast, sum) = (model.params().zeros_like(), model.clone());
        Self { persistent, rate, decay: FastWeights::<M>::DECAY, fast, sum }
    }
}
impl<M, K> FastWeights<M, K> {
    /// `θ_fast`
    pub fn fast(&self) -> &Params {
        &self.fast
    }
    fn check(&self, params: &Params) -> Result<()> {
        if !(self.rate.is_finite() && self.rate >= 0.0) {
            return Err(Error::value("the learning rate of the fast weights", "a number, at least 0", self.rate));
        }
        if !(0.0..=1.0).contains(&self.decay) {
            return Err(Error::value("the decay of the fast weights", "within 0..=1", self.decay));
        }
        if params.slots() != self.fast.slots() {
            let shapes =
                |p: &Params| format!("{:?}", p.slots().iter().map(|s| (s.rows, s.columns)).collect::<Vec<_>>());
            return Err(Error::shape("parameters of the fast weights", shapes(params), shapes(&self.fast)));
        }
        Ok(())
    }
}

impl<M: Train, K: Kernel<M>> Negative<M> for FastWeights<M, K> {
    fn draw<'s>(&'s mut self, model: &M, positive: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>> {
        self.check(model.params())?;
        let fast = self.fast.as_slice();
        self.sum.update(&mut |sum| {
            sum.as_mut_slice().copy_from_slice(model.params().as_slice());
            linalg::zip_ref(sum.as_mut_slice(), fast, |sum, fast| linalg::axpy(1.0, fast, sum));
        });
        self.persistent.draw(&self.sum, positive, batch)
    }
    fn learned(&mut self, gradient: &Params) {
        let (rate, decay) = (self.rate, self.decay);
        linalg::zip_ref(self.fast.as_mut_slice(), gradient.as_slice(), |fast, gradient| {
            fast.iter_mut().zip(gradient).for_each(|(f, g)| *f = decay * (*f - rate * g));
        });
    }
}
impl<M, K> Resume for FastWeights<M, K> {
    fn save(&self, to: &mut Saved) {
        to.put("fast", self.fast.as_slice());
        self.persistent.save(to.child_mut("persistent"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        from.floats_to("fast", self.fast.as_mut_slice())?;
        self.persistent.load(from.child("persistent")?)
    }
}
