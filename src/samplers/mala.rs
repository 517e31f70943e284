//! The Metropolis-adjusted Langevin algorithm: a step downhill and a random one, accepted so that the kernel is exact at any step.
//!
//! A step `y = x - ½ε² ∂E/∂x + ε z` is a trajectory of one leapfrog step with momentum `z`, and the ratio of its proposals is the change
//! of the kinetic energy; so it is computed, and units with a bounded range are thrown back at its ends as trajectories are. The real
//! units of a model move, discrete ones stay.
//!
//! ## References
//! - Besag, "Comments on 'Representations of knowledge in complex systems' by Grenander and Miller", 1994.
//! - Roberts and Tweedie, "Exponential convergence of Langevin distributions and their discrete approximations", 1996.

use super::hmc::{Hmc, fly};
use super::real::Flight;
use super::{Kernel, Moves};
use crate::{Score, Slab, Streams};

/// So many Langevin steps, each accepted or not: one energy and one gradient a step.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::Mala, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 100, 1);
/// let moves = chains.advance(&Mala::new(0.5, 10), &free);
/// assert!(moves.proposed == 1000 && moves.rate() > 0.8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mala {
    /// `ε`, the standard deviation of the random part.
    pub step: f32,
    /// Steps of an advance.
    pub steps: usize,
}

impl Mala {
    /// Steps `ε`, so many an advance.
    pub const fn new(step: f32, steps: usize) -> Self {
        Self { step, steps }
    }
}

impl<M: Score + ?Sized> Kernel<M> for Mala {
    /// # Panics
    /// If the model has no real units.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let one = Hmc { step: self.step, leapfrogs: 1, trajectories: self.steps, jitter: 0.0 };
        fly(&one, Flight::new(model, slab), rng)
    }
}
