//! Unadjusted Langevin steps: downhill, and a random part; without acceptance, and so with a bias that falls with the step.
//!
//! With gradient step `½ε²` and noise `ε` the bias is of order `ε²`: a Gaussian of variance 1 becomes one of `1/(1 - ¼ε²)`. Short runs that
//! train energies choose both parts by themselves, and the noise far below; that is no sampler of `exp(-E)`, but one of `exp(-E/T)` with
//! `T = noise² / (2 gradient step)` (if it ran long enough). The real units of a model move, discrete ones stay.
//!
//! ## References
//! - Roberts and Tweedie, "Exponential convergence of Langevin distributions and their discrete approximations", 1996.
//! - Nijkamp, Hill, Zhu and Wu, "Learning non-convergent non-persistent short-run MCMC toward energy-based model", 2019.
//! - Du and Mordatch, "Implicit generation and modeling with energy-based models", 2019.

use super::real::Flight;
use super::{Kernel, Moves};
use crate::{Score, Slab, Streams};

/// `x ← x - gradient_step ∂E/∂x + noise z`, so many times.
///
/// A chain that is no longer made of finite numbers at the end of an advance is put back where it was before, and its steps are counted in
/// [`Moves::diverged`]. Units with a bounded range are thrown back at its ends, or held there.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::Langevin, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 100, 1);
/// assert_eq!(chains.advance(&Langevin::new(0.1, 20), &free).accepted, 2000);
/// chains.advance(&Langevin { clip: Some(0.03), ..Langevin::short_run(10.0, 0.005, 60) }, &free);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Langevin {
    /// What the gradient is multiplied by.
    pub gradient_step: f32,
    /// The standard deviation of the random part.
    pub noise: f32,
    /// Steps of an advance.
    pub steps: usize,
    /// Every entry of the gradient is cut to `±clip`, if told: another bias, for energies that are not yet learned.
    pub clip: Option<f32>,
    /// Whether units with a bounded range stop at its ends instead of being thrown back. One more bias, of steps that are large: where a
    /// steady slope presses on an end, what is thrown back by a long step never rests there, as the pixels of most images do.
    pub hold: bool,
}

impl Langevin {
    /// Steps of Langevin's equation, `½ε²` and `ε`.
    pub const fn new(step: f32, steps: usize) -> Self {
        Self::short_run(0.5 * step * step, step, steps)
    }
    /// Steps whose parts are chosen apart.
    pub const fn short_run(gradient_step: f32, noise: f32, steps: usize) -> Self {
        Self { gradient_step, noise, steps, clip: None, hold: false }
    }
}

impl<M: Score + ?Sized> Kernel<M> for Langevin {
    /// # Panics
    /// If the model has no real units.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let mut flight = Flight::new(model, slab);
        for _ in 0..self.steps {
            flight.gradient_y();
            if let Some(clip) = self.clip {
                flight.gradient_y.iter_mut().for_each(|g| *g = g.clamp(-clip, clip));
            }
            // Column by column, so that the numbers drawn are still in the first cache.
            for j in 0..flight.columns {
                flight.draw_momentum(j, rng);
                flight.slide(j, (self.gradient_step, self.noise), self.hold);
            }
        }
        let (columns, lost) = (flight.columns as u64, flight.settle());
        let steps = self.steps as u64;
        Moves { proposed: steps * columns, accepted: steps * (columns - lost), diverged: steps * lost }
    }
}
