//! Objectives: what the gradient of a batch is.

mod batch;
mod centring;
mod contrastive;
mod coordinates;
mod discriminative;
mod fast_weights;
mod memory_classification;
mod negative;
mod neighbours;
mod positive;
mod pseudo;
mod sparsity;
mod standardising;
mod sum;
mod supervised;
mod tempered;
mod up_down;
pub use centring::Centring;
pub use contrastive::Contrastive;
pub use coordinates::Coordinates;
pub use discriminative::Discriminative;
pub use fast_weights::FastWeights;
pub use memory_classification::{LabelLoss, MemoryClassification};
pub use negative::{Ends, Enumerated, FromData, Negative, Negatives, Persistent};
pub use neighbours::{NeighbourLoss, Neighbours};
pub use positive::{Clamped, Filled, Positive};
pub use pseudo::PseudoLikelihood;
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
