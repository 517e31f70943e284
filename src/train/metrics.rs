//! Numbers that tell how a run goes. Those that need data own them, so that they cost the same at every look.

use super::{Learner, Progress};
use crate::eval;
use crate::{Gibbs, Learn, Marginal, Mat, Params, Result};

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

/// One end of [`eval::bracket`] of some samples (visible units × samples), in nats; two of these, one an end, follow the
/// log-likelihood of a run from below and from above.
///
/// Every look starts anew from the base-rate model, and owes nothing to the looks before it: an error does not live on, and there
/// is no state to keep. All looks draw the same random numbers, so that the curve is smoother than its error.
///
/// (Annealing from the last look's parameters to this one's costs less, and is accurate where training is slow and even. But its
/// error only grows, and at rates that are common for PCD soon exceeds the log-likelihood, unseen by its error bar.)
#[derive(Clone, Debug)]
pub struct LogLikelihoodEnd {
    /// Which end.
    pub end: eval::End,
    /// The samples.
    pub samples: Mat,
    /// Fields of the base-rate model, one a row: see [`crate::base_rate`].
    pub base: Vec<f32>,
    /// How they are annealed; [`eval::Bracketing::quick`] is meant for this.
    pub settings: eval::Bracketing,
}
impl<M: Marginal + Learn + ?Sized> Metric<M> for LogLikelihoodEnd {
    fn name(&self) -> &str {
        match self.end {
            eval::End::Lower => "log_likelihood_from_below",
            eval::End::Upper => "log_likelihood_from_above",
        }
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        Ok(eval::bracket_end(progress.model, &self.base, &self.samples, &self.settings, self.end)?.value)
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
        Ok(eval::free_energy_gap(progress.model, &self.train, &self.held_out)?.value)
    }
}

/// Norm of the update over norm of the parameters, weights alone: about 1e-3 in a run that learns (Hinton 2010, section
/// 7).
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateRatio;
impl<M: Learner + ?Sized> Metric<M> for UpdateRatio {
    fn name(&self) -> &str {
        "update_ratio"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        Ok(update_ratio(progress.before, progress.model.parameters()))
    }
}
/// Norm of the difference over norm of the parameters after it, weights alone.
pub(crate) fn update_ratio(before: &Params, after: &Params) -> f64 {
    let (mut step, mut size) = (0.0, 0.0);
    for slot in after.slots().iter().filter(|s| s.role.is_weights()) {
        for (a, b) in after.as_slice()[slot.range()].iter().zip(&before.as_slice()[slot.range()]) {
            step += (*a as f64 - *b as f64).powi(2);
            size += (*a as f64).powi(2);
        }
    }
    (step / size).sqrt()
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

/// Mean energy of the data less that of the negative states at the last update, in nats ([`crate::objectives::Energies`]): near zero in a
/// run that learns; far below it, the chains lag behind the model, and the run is about to diverge. Not a number where the objective
/// does not look.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnergyGap;
impl<M: ?Sized> Metric<M> for EnergyGap {
    fn name(&self) -> &str {
        "energy_gap"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        Ok(progress.report.gap.unwrap_or(f64::NAN))
    }
}

/// The share of its chains' moves that the last update accepted; not a number where nothing was offered.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptanceRate;
impl<M: ?Sized> Metric<M> for AcceptanceRate {
    fn name(&self) -> &str {
        "acceptance_rate"
    }
    fn measure(&mut self, progress: &Progress<'_, M>) -> Result<f64> {
        Ok(progress.report.moves.rate())
    }
}
