//! Several objectives at once: the gradient is the weighted sum of theirs.

use super::{Objective, Report};
use crate::{Batch, Error, Params, Result, Resume, Saved};

/// `Σ cₖ Lₖ`: hybrid learning is `(1, discriminative), (α, generative)`; with unlabelled samples among the data, semi-supervised
/// learning.
pub struct Sum<M: ?Sized> {
    /// Every objective with its weight.
    pub terms: Vec<(f32, Box<dyn Objective<M>>)>,
    own: Option<Params>,
}

impl<M: ?Sized> Sum<M> {
    /// The sum of these.
    pub fn new(terms: Vec<(f32, Box<dyn Objective<M>>)>) -> Self {
        Self { terms, own: None }
    }
}

impl<M: ?Sized> std::fmt::Debug for Sum<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.terms.iter().map(|(c, _)| c)).finish()
    }
}

impl<M: ?Sized> Objective<M> for Sum<M> {
    /// The loss is told if all of the terms tell theirs.
    ///
    /// # Errors
    /// [`Error::Value`] if a weight is not finite, and those of the terms.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        grad.as_mut_slice().fill(0.0);
        let own = self.own.get_or_insert_with(|| grad.zeros_like());
        if own.slots() != grad.slots() {
            *own = grad.zeros_like();
        }
        let mut sum = Report { loss: Some(0.0), ..Report::default() };
        for (k, (c, term)) in self.terms.iter_mut().enumerate() {
            if !c.is_finite() {
                return Err(Error::value(format!("the weight of objective {k}"), "a number", *c));
            }
            let Report { loss, moves, swaps, gap } = term.gradient(model, batch, own)?;
            crate::linalg::zip_ref(grad.as_mut_slice(), own.as_slice(), |sum, own| {
                sum.iter_mut().zip(own).for_each(|(s, o)| *s += *c * o);
            });
            sum.loss = sum.loss.zip(loss).map(|(sum, loss)| sum + f64::from(*c) * loss);
            (sum.moves, sum.swaps, sum.gap) = (sum.moves + moves, sum.swaps + swaps, sum.gap.or(gap));
        }
        Ok(sum)
    }
}
impl<M: ?Sized> Resume for Sum<M> {
    fn save(&self, to: &mut Saved) {
        self.terms.iter().enumerate().for_each(|(k, (_, term))| term.save(to.child_mut(&k.to_string())));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.terms.iter_mut().enumerate().try_for_each(|(k, (_, term))| term.load(from.child(&k.to_string())?))
    }
}
