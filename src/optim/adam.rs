//! Adaptive moments.

use super::{At, Optimizer, check_decay, check_state};
use crate::{Error, Params, Result, Resume, Saved, linalg};

/// Adam (Kingma and Ba 2015): `m ← β₁m + (1-β₁)g`, `s ← β₂s + (1-β₂)g²`, step `η m̂ / (√ŝ + ε)` with both moments
/// corrected for their start at zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean.
    pub beta1: f32,
    /// Decay of the mean square.
    pub beta2: f32,
    /// Added to the root mean square.
    pub epsilon: f32,
    mean: Vec<f32>,
    square: Vec<f32>,
    taken: u64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, mean: vec![], square: vec![], taken: 0 }
    }
}
impl Optimizer for Adam {
    fn direct(&mut self, grad: &mut Params, at: At) -> f32 {
        let grad = grad.as_mut_slice();
        self.mean.resize(grad.len(), 0.0);
        self.square.resize(grad.len(), 0.0);
        self.taken = self.taken.saturating_add(1);
        let (b1, b2, epsilon) = (self.beta1, self.beta2, self.epsilon);
        let corrected = |beta: f32| (1.0 - (beta as f64).powf(self.taken as f64)) as f32;
        let (c1, c2) = (corrected(b1), corrected(b2));
        linalg::zip2(grad, &mut self.square, |g, s| {
            g.iter().zip(s).for_each(|(g, s)| *s = b2 * *s + (1.0 - b2) * g * g);
        });
        linalg::zip2(grad, &mut self.mean, |g, m| {
            for (g, m) in g.iter_mut().zip(m) {
                *m = b1 * *m + (1.0 - b1) * *g;
                *g = *m;
            }
        });
        linalg::zip_ref(grad, &self.square, |g, s| {
            g.iter_mut().zip(s).for_each(|(g, s)| *g /= c1 * ((s / c2).sqrt() + epsilon));
        });
        at.learning_rate
    }
    fn check(&self, _: u64, parameters: usize) -> Result<()> {
        check_state("Adam's means", &self.mean, parameters)?;
        check_state("Adam's mean squares", &self.square, parameters)?;
        check_decay("Adam's decay of the mean", self.beta1)?;
        check_decay("Adam's decay of the mean square", self.beta2)?;
        match self.epsilon > 0.0 && self.epsilon.is_finite() {
            true => Ok(()),
            false => Err(Error::value("Adam's epsilon", "above 0", self.epsilon)),
        }
    }
}
impl Resume for Adam {
    fn save(&self, to: &mut Saved) {
        to.put("mean", &self.mean);
        to.put("square", &self.square);
        to.put_words("taken", vec![self.taken]);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.mean = from.floats("mean")?.to_vec();
        self.square = from.floats("square")?.to_vec();
        [self.taken] = from.word_array("taken")?;
        Ok(())
    }
}
