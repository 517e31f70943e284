//! Steps whose length does not depend on that of the gradient: every column of weights, a memory say, moves equally far.

use super::{At, Optimizer, Schedule, check_decay, check_state};
use crate::{Params, Result, Resume, Saved};

/// `v ← μv + g`, step `η v / max |v|`, the maximum that of each column of a matrix of weights; other parameters have one maximum for
/// all of a slot (Krotov and Hopfield, "Unsupervised learning by competing hidden units", 2019, and their programs for dense
/// associative memories). A column whose velocity is below [`Normalised::LEAST`] everywhere moves as if it had that length.
///
/// The learning rate is then the largest step of any weight. Losses with a high power, whose gradients shrink by orders of magnitude as
/// outputs come near their targets, need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalised {
    /// Momentum, at least 0 and below 1.
    pub momentum: Schedule,
    velocity: Vec<f32>,
}

impl Normalised {
    /// The least length that a velocity is divided by.
    pub const LEAST: f32 = 1e-30;

    /// At rest.
    pub fn new(momentum: Schedule) -> Self {
        Self { momentum, velocity: vec![] }
    }
}
impl Optimizer for Normalised {
    fn direct(&mut self, grad: &mut Params, at: At) -> f32 {
        let momentum = self.momentum.at(at.step);
        let layout = grad.layout();
        let grad = grad.as_mut_slice();
        self.velocity.resize(grad.len(), 0.0);
        for slot in layout.iter().filter(|s| s.rows * s.columns > 0) {
            let width = if slot.role.is_weights() { slot.rows } else { slot.rows * slot.columns };
            let columns = grad[slot.range()].chunks_exact_mut(width);
            for (g, v) in columns.zip(self.velocity[slot.range()].chunks_exact_mut(width)) {
                let mut most = Self::LEAST;
                for (g, v) in g.iter().zip(&mut *v) {
                    *v = momentum * *v + g;
                    most = most.max(v.abs());
                }
                g.iter_mut().zip(v).for_each(|(g, v)| *g = *v / most);
            }
        }
        at.learning_rate
    }
    fn check(&self, steps: u64, parameters: usize) -> Result<()> {
        check_state("the velocity", &self.velocity, parameters)?;
        [0, steps].into_iter().try_for_each(|step| check_decay("the momentum", self.momentum.at(step)))
    }
}
impl Resume for Normalised {
    fn save(&self, to: &mut Saved) {
        to.put("velocity", &self.velocity);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.velocity = from.floats("velocity")?.to_vec();
        Ok(())
    }
}
