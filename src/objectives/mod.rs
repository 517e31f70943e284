//! Objectives: what the gradient of a batch is.

mod answers;
mod batch;
mod centring;
mod contrastive;
mod coordinates;
mod denoising;
mod discriminative;
mod energies;
mod fast_weights;
mod joint;
mod memory_classification;
mod negative;
mod neighbours;
mod noise;
mod noise_contrastive;
mod noise_ranking;
mod positive;
mod pseudo;
mod replay;
mod score_matching;
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
pub use fast_weights::FastWeights;
pub use joint::JointLearning;
pub use memory_classification::{LabelLoss, MemoryClassification};
pub use negative::{Ends, Enumerated, FromData, Negative, Negatives, Persistent};
pub use neighbours::{NeighbourLoss, Neighbours};
pub use noise::{BaseRateNoise, GaussianNoise, KeptNoise, NoiseDensity};
pub use noise_contrastive::NoiseContrastive;
pub use noise_ranking::NoiseRanking;
pub use positive::{Clamped, Filled, Positive};
pub use pseudo::PseudoLikelihood;
pub use replay::{Noise, Replay};
pub use score_matching::{ScoreMatching, SlicedScoreMatching};
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
