//! Underdamped Langevin dynamics: momenta that are slowed by friction and shaken by noise; without acceptance.
//!
//! Split into kicks (B), drifts (A) and the exact solution of friction and noise (O) in the order BAOAB, whose bias in the places is of
//! order `ε⁴` at high friction, and none at all for a Gaussian, at any stable step. That is said of one long run: an advance begins with
//! new momenta, for they are not part of a chain's state, and forgets within a time of `1/friction` that it did; so an advance should
//! be longer than that. The real units of a model move, discrete ones stay.
//!
//! ## References
//! - Leimkuhler and Matthews, "Rational construction of stochastic numerical methods for molecular sampling", 2013.

use super::real::Flight;
use super::{Kernel, Moves};
use crate::{Score, Slab, Streams};

/// So many BAOAB steps of unit masses, from momenta that are drawn anew.
///
/// A chain that is no longer made of finite numbers at the end of an advance is put back where it was before, and its steps are counted in
/// [`Moves::diverged`]. Units with a bounded range are thrown back at its ends.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::UnderdampedLangevin, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 100, 1);
/// assert_eq!(chains.advance(&UnderdampedLangevin::new(0.5, 1.0, 20), &free).accepted, 2000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnderdampedLangevin {
    /// The step `ε`; stable below twice the smallest standard deviation.
    pub step: f32,
    /// `γ`: momenta are forgotten within a time of `1/γ`.
    pub friction: f32,
    /// Steps of an advance, each of one gradient.
    pub steps: usize,
}

impl UnderdampedLangevin {
    /// Steps `ε` at friction `γ`, so many an advance.
    pub const fn new(step: f32, friction: f32, steps: usize) -> Self {
        Self { step, friction, steps }
    }
}

impl<M: Score + ?Sized> Kernel<M> for UnderdampedLangevin {
    /// # Panics
    /// If the model has no real units.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let mut flight = Flight::new(model, slab);
        let (columns, decay) = (flight.columns, (-self.friction * self.step).exp());
        let noise = (-(-2.0 * self.friction * self.step).exp_m1()).sqrt();
        flight.draw_momenta(rng);
        for k in 0..self.steps {
            flight.gradient_y();
            // The last kick of a step and the first of the next are one; the very last only moves momenta that are forgotten.
            let kick = if k == 0 { 0.5 * self.step } else { self.step };
            for j in 0..columns {
                flight.kick(j, kick, false);
                flight.drift(j, 0.5 * self.step);
            }
            flight.refresh_momenta((decay, noise), rng);
            (0..columns).for_each(|j| flight.drift(j, 0.5 * self.step));
        }
        let (columns, lost) = (columns as u64, flight.settle());
        let steps = self.steps as u64;
        Moves { proposed: steps * columns, accepted: steps * (columns - lost), diverged: steps * lost }
    }
}
