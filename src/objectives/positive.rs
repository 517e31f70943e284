//! Where the positive states come from: samples as they are, or samples whose missing entries are drawn given the known ones.
//!
//! The gradient of `log p(v_known)` is `⟨∂E/∂θ⟩` over what is not known given what is, minus `⟨∂E/∂θ⟩` of the model: so a
//! missing entry is a latent unit, in those samples that miss it. It is not left out of the machine, whose distribution of
//! the other units would be another one.

use crate::rng::derive;
use crate::samplers::{BlockGibbs, Chains, Kernel};
use crate::{Batch, Energy, Error, Mat, Result, Resume, Saved, States};

/// A source of positive states.
pub trait Positive<M: ?Sized>: Resume {
    /// States whose visible units are those of the batch, latent units whatever they are.
    ///
    /// # Errors
    /// If the batch has missing entries, and there is no way to fill them.
    fn draw<'s>(&'s mut self, model: &M, batch: &Batch<'_>) -> Result<&'s mut States>;
}

/// Samples as they are; none may miss an entry.
#[derive(Clone, Debug, Default)]
pub struct Clamped {
    states: States,
}
impl<M: Energy + ?Sized> Positive<M> for Clamped {
    fn draw<'s>(&'s mut self, model: &M, batch: &Batch<'_>) -> Result<&'s mut States> {
        // A sample of weight zero is absent, and misses nothing.
        let present = |missing: &crate::MaskRef<'_>| {
            missing.column_iter().zip(batch.weights).filter(|(_, w)| **w != 0.0).any(|(m, _)| m.iter().any(|&m| m))
        };
        if batch.missing.as_ref().is_some_and(present) {
            let allowed = "none, or an objective that fills them (`Contrastive::filling`)";
            return Err(Error::value("missing entries of the data", allowed, "some"));
        }
        self.states.clamp(model.n_rows(), batch.x);
        Ok(&mut self.states)
    }
}
/// It has no state: every batch is clamped anew.
impl Resume for Clamped {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}

/// Samples whose missing entries are drawn, by chains that start at what the batch holds in their place and leave what is
/// known alone. Chains that are too short draw missing entries that are too near to that start.
#[derive(Clone, Debug)]
pub struct Filled<K> {
    /// How the chains move.
    pub kernel: K,
    chains: Chains,
}
impl<K> Filled<K> {
    /// Chains that move by `kernel`.
    pub fn new(kernel: K, seed: u64) -> Self {
        Self { kernel, chains: Chains::new(Mat::zeros(0, 0), derive(seed, "missing entries")) }
    }
}
impl Filled<BlockGibbs> {
    /// Chains of so many Gibbs sweeps.
    pub fn sweeps(sweeps: usize, seed: u64) -> Self {
        Self::new(BlockGibbs::new(sweeps), seed)
    }
}
impl<M: Energy + ?Sized, K: Kernel<M>> Positive<M> for Filled<K> {
    fn draw<'s>(&'s mut self, model: &M, batch: &Batch<'_>) -> Result<&'s mut States> {
        let Some(missing) = &batch.missing else {
            self.chains.states.clamp(model.n_rows(), batch.x);
            return Ok(&mut self.chains.states);
        };
        self.chains.clamp_known(model.n_rows(), batch.x, missing);
        self.chains.advance(&self.kernel, model);
        Ok(&mut self.chains.states)
    }
}
/// Its streams alone.
impl<K> Resume for Filled<K> {
    fn save(&self, to: &mut Saved) {
        self.chains.streams().save(to.child_mut("filled"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.chains.streams_mut().load(from.child("filled")?)
    }
}
