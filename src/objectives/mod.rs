//! Objectives: what the gradient of a batch is.

mod answers;
mod batch;
mod centring;
mod contrastive;
mod coordinates;
mod denoising;
mod discriminative;
mod energies;
mod energy_score;
#[cfg(feature = "candle")]
mod energy_score_loss;
mod fast_weights;
mod joint;
mod memory_classification;
mod negative;
mod neighbours;
#[cfg(feature = "candle")]
mod next_token;
mod noise;
mod noise_contrastive;
mod noise_ranking;
#[cfg(feature = "candle")]
mod patch_reconstruction;
mod positive;
mod pseudo;
mod replay;
mod score_matching;
#[cfg(feature = "candle")]
mod scored_draws;
mod sparsity;
mod standardising;
mod sum;
mod supervised;
mod tempered;
mod up_down;
pub use answers::{AnswerLoss, Answers};
pub use centring::Centring;
pub use contrastive::Contrastive;
pub use coordinates::Coordinates;
pub use denoising::{DenoisingScoreMatching, NoiseLevels};
pub use discriminative::Discriminative;
pub use energies::Energies;
pub use energy_score::{EnergyScore, energy_score};
#[cfg(feature = "candle")]
pub use energy_score_loss::energy_score_loss;
pub use fast_weights::FastWeights;
pub use joint::JointLearning;
pub use memory_classification::{LabelLoss, MemoryClassification};
pub use negative::{Ends, Enumerated, FromData, Negative, Negatives, Persistent};
pub use neighbours::{NeighbourLoss, Neighbours};
#[cfg(feature = "candle")]
pub use next_token::NextToken;
pub use noise::{BaseRateNoise, GaussianNoise, KeptNoise, NoiseDensity};
pub use noise_contrastive::NoiseContrastive;
pub use noise_ranking::NoiseRanking;
#[cfg(feature = "candle")]
pub use patch_reconstruction::PatchReconstruction;
pub use positive::{Clamped, Filled, Positive};
pub use pseudo::PseudoLikelihood;
pub use replay::{Noise, Replay};
pub use score_matching::{ScoreMatching, SlicedScoreMatching};
#[cfg(feature = "candle")]
pub use scored_draws::ScoredDraws;
pub use sparsity::Sparsity;
pub use standardising::Standardising;
pub use sum::Sum;
pub use supervised::Supervised;
pub use tempered::Tempered;
pub use up_down::UpDown;

use crate::samplers::Moves;
use crate::{Batch, Params, Result, Resume};

/// What an objective says of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The loss, where it is known.
    pub loss: Option<f64>,
    /// What the chains did.
    pub moves: Moves,
    /// Swaps between neighbouring temperatures; none without tempering.
    pub swaps: Moves,
    /// Mean energy of the data less that of the negative states, in nats, where it was asked for.
    pub gap: Option<f64>,
}

/// Turns a batch into an estimate of the gradient of a loss.
pub trait Objective<M: ?Sized>: Resume {
    /// `grad = ∂loss/∂θ`; whatever `grad` held is overwritten.
    ///
    /// # Errors
    /// If the objective was made for another model, or for none.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report>;
}
impl<M: ?Sized, O: Objective<M> + ?Sized> Objective<M> for Box<O> {
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        (**self).gradient(model, batch, grad)
    }
}
