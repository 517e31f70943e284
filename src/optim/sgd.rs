//! Stochastic gradient descent with momentum.

use super::{At, Optimizer, Schedule, check_decay, check_state};
use crate::{Params, Result, Resume, Saved, linalg};

/// `v ← μv + g`, step `ηv` (Polyak 1964), with a momentum `μ` that may change over the run; schedules count updates.
///
/// Hinton (2010, section 9) keeps the learning rate inside the velocity; the two differ while the rate changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// Momentum, at least 0 and below 1.
    pub momentum: Schedule,
    velocity: Vec<f32>,
}

impl Sgd {
    /// At rest.
    pub fn new(momentum: Schedule) -> Self {
        Self { momentum, velocity: vec![] }
    }
}
impl Default for Sgd {
    /// No momentum.
    fn default() -> Self {
        Self::new(Schedule::Constant(0.0))
    }
}
impl Optimizer for Sgd {
    fn direct(&mut self, grad: &mut Params, at: At) -> f32 {
        let momentum = self.momentum.at(at.step);
        if self.velocity.is_empty() && momentum == 0.0 {
            return at.learning_rate;
        }
        let grad = grad.as_mut_slice();
        self.velocity.resize(grad.len(), 0.0);
        linalg::zip2(grad, &mut self.velocity, |g, v| {
            for (g, v) in g.iter_mut().zip(v) {
                *v = momentum * *v + *g;
                *g = *v;
            }
        });
        at.learning_rate
    }
    fn check(&self, steps: u64, parameters: usize) -> Result<()> {
        check_state("the velocity", &self.velocity, parameters)?;
        [0, steps].into_iter().try_for_each(|step| check_decay("the momentum", self.momentum.at(step)))
    }
}
impl Resume for Sgd {
    fn save(&self, to: &mut Saved) {
        to.put("velocity", &self.velocity);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.velocity = from.floats("velocity")?.to_vec();
        Ok(())
    }
}
