//! Numbers that tell how a run goes. Those that need data own them, so that they cost the same at every look.

use super::Progress;
use crate::eval;
use crate::{Gibbs, Learn, Marginal, Mat, Result};

/// A number measured during training.
pub trait Metric<M: ?Sized> {
    /// What it is called in tables, plots and logs.
    fn name(&self) -> &str;
    /// Its value now.
    ///
    /// # Errors
    /// If its data do not fit the model.
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64>;
}

/// A closure as a metric.
#[derive(Clone, Debug)]
pub struct Named<F> {
    /// What it is called.
    pub name: String,
    /// What it measures.
    pub measure: F,
}
impl<M: ?Sized, F: FnMut(&Progress<'_, M>) -> Result<f64>> Metric<M> for Named<F> {
    fn name(&self) -> &str {
        &self.name
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        (self.measure)(progress)
    }
}

/// [`eval::reconstruction_error`] of some samples (visible units × samples).
#[derive(Clone, Debug)]
pub struct ReconstructionError(pub Mat);
impl<M: Gibbs + Learn + ?Sized> Metric<M> for ReconstructionError {
    fn name(&self) -> &str {
        "reconstruction_error"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        eval::reconstruction_error(progress.model, self.0.as_view())
    }
}

/// [`eval::pseudo_log_likelihood`] of some samples (visible units × samples), in nats.
#[derive(Clone, Debug)]
pub struct PseudoLogLikelihood(pub Mat);
impl<M: Marginal + Learn + ?Sized> Metric<M> for PseudoLogLikelihood {
    fn name(&self) -> &str {
        "pseudo_log_likelihood"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        Ok(eval::pseudo_log_likelihood(progress.model, self.0.as_view())?.value)
    }
}

/// Mean free energy of held-out samples less that of training samples, in nats: it grows when the model overfits, and
/// needs no log-partition (Hinton 2010, section 6).
#[derive(Clone, Debug)]
pub struct FreeEnergyGap {
    /// Samples that are trained on (visible units × samples).
    pub train: Mat,
    /// Samples that are not.
    pub held_out: Mat,
}
impl<M: Marginal + Learn + ?Sized> Metric<M> for FreeEnergyGap {
    fn name(&self) -> &str {
        "free_energy_gap"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        let summed = eval::latent_group(progress.model)?;
        let mean = |v: &Mat| -> Result<f64> {
            let f = eval::energies_without(progress.model, &summed, v.as_view())?;
            Ok(f.iter().sum::<f64>() / f.len() as f64)
        };
        Ok(mean(&self.held_out)? - mean(&self.train)?)
    }
}

/// Norm of the update over norm of the parameters, weights alone: about 1e-3 in a run that learns (Hinton 2010, section
/// 7).
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateRatio;
impl<M: Learn + ?Sized> Metric<M> for UpdateRatio {
    fn name(&self) -> &str {
        "update_ratio"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        let (before, after) = (progress.before.as_slice(), progress.model.params());
        let (mut step, mut size) = (0.0, 0.0);
        for slot in after.slots().iter().filter(|s| s.role.is_weights()) {
            for (a, b) in after.as_slice()[slot.range()].iter().zip(&before[slot.range()]) {
                step += (*a as f64 - *b as f64).powi(2);
                size += (*a as f64).powi(2);
            }
        }
        Ok((step / size).sqrt())
    }
}

/// The share of swaps between neighbouring temperatures that the last update made, over all pairs; not a number where the
/// objective does not temper.
#[derive(Clone, Copy, Debug, Default)]
pub struct SwapRate;
impl<M: ?Sized> Metric<M> for SwapRate {
    fn name(&self) -> &str {
        "swap_rate"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        Ok(progress.report.swaps.rate())
    }
}
