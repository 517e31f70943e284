//! Learning from draws by the energy score: models with an energy head.

use super::batch::{check_weights, refuse_missing, shares, without_absent};
use super::{EnergyScore, Objective, Report, energy_score_loss};
use crate::models::calm::{ContinuousLanguageModel, ImplicitDensity, columns_of};
use crate::rng::{derive, keyed};
use crate::{Batch, Error, Params, Result, Resume, Saved};
use candle_core::{Device, Tensor};

/// Draws that pass at once.
const AT_ONCE: usize = 256;

/// `∇ 2⟨‖x - y‖^α⟩ - ⟨‖x - x'‖^α⟩`, averaged over the batch, for `draws` draws `x` of the model at each target `y`; the loss it reports is
/// that average.
///
/// For an [`ImplicitDensity`] the target of a sample is its outputs; for a [`ContinuousLanguageModel`] the targets of a position are `targets`
/// draws of the vector of the next patch, and losses are means over the positions of a window. Random numbers depend on the seed, the
/// update and the sample alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredDraws {
    /// The loss.
    pub score: EnergyScore,
    /// Draws of the model for each target, at least 2; 8 in the publication.
    pub draws: usize,
    /// Draws of the autoencoder for each patch; 100 in the publication.
    pub targets: usize,
    seed: u64,
    weights: Vec<f32>,
}
impl ScoredDraws {
    /// By distances themselves, with so many draws; of patches with 16 targets.
    pub fn new(draws: usize, seed: u64) -> Self {
        Self { score: EnergyScore::default(), draws, targets: 16, seed: derive(seed, "scored draws"), weights: vec![] }
    }
    /// Whether settings and batch are in order; false if there is nothing to learn from.
    fn check(&mut self, batch: &Batch<'_>) -> Result<bool> {
        self.score.validate()?;
        if self.draws < 2 || self.targets == 0 {
            let got = format!("{} and {}", self.draws, self.targets);
            return Err(Error::value("draws that are scored, and targets", "at least 2 and 1", got));
        }
        check_weights(batch)?;
        refuse_missing(batch, "missing entries of what is drawn", "none")?;
        Ok(shares(batch.weights, &mut self.weights) > 0.0)
    }
    /// `Σ wₙ lossₙ`
    fn weighted(losses: &Tensor, weights: &[f32]) -> candle_core::Result<Tensor> {
        (losses * Tensor::from_slice(weights, weights.len(), &Device::Cpu)?)?.sum_all()
    }
}

impl Objective<ImplicitDensity> for ScoredDraws {
    /// # Errors
    /// [`Error::Shape`] if the batch has not the model's rows or a weight for each sample; [`Error::Value`] if entries are missing, settings
    /// are outside their range, or candle cannot do it.
    fn gradient(&mut self, model: &ImplicitDensity, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let (inputs, rows) = (model.n_inputs(), model.n_inputs() + model.n_outputs());
        if batch.x.nrows() != rows {
            return Err(Error::shape("rows of inputs and outputs", rows, batch.x.nrows()));
        }
        if !self.check(batch)? {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        let piece = (AT_ONCE / self.draws).max(1);
        let loss = model.module().gradient(
            x.ncols(),
            piece,
            |net, samples| {
                let noise = model.noise(samples.clone(), self.draws, |j| keyed(self.seed, &[batch.step, j as u64]))?;
                let draws = net.draw(&columns_of(x, 0..inputs, samples.clone())?, &noise)?;
                let targets = columns_of(x, inputs..rows, samples.clone())?.unsqueeze(1)?;
                Self::weighted(&energy_score_loss(&draws, &targets, self.score)?, &self.weights[samples])
            },
            grad,
        )?;
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
impl Objective<ContinuousLanguageModel> for ScoredDraws {
    /// # Errors
    /// [`Error::Shape`] if samples are not windows of the model; [`Error::Value`] if a number is no token, entries are missing, settings are
    /// outside their range, or candle cannot do it.
    fn gradient(&mut self, model: &ContinuousLanguageModel, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        if !self.check(batch)? {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        model.check(x)?;
        let positions = model.transformer().length;
        let piece = (AT_ONCE / (self.draws * positions)).max(1);
        let loss = model.module().gradient(
            x.ncols(),
            piece,
            |net, windows| {
                let stream = |j: usize| keyed(self.seed, &[batch.step, j as u64]);
                let [seen, noise, targets] = model.prepare(x, windows.clone(), [self.draws, self.targets], stream)?;
                let losses = energy_score_loss(&net.draws(&seen, &noise)?, &targets, self.score)?;
                Self::weighted(&losses.reshape((windows.len(), positions))?.mean(1)?, &self.weights[windows])
            },
            grad,
        )?;
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// Nothing: random numbers follow from the update.
impl Resume for ScoredDraws {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
