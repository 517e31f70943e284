//! Models: energies with parameters. They know nothing of samplers, objectives or evaluators.

mod algebra;
mod boltzmann;
#[cfg(feature = "candle")]
pub mod calm;
mod compose;
mod conditional;
mod convert;
mod dbm;
mod dbn;
mod dense_memory;
mod gauge;
pub mod hopfield;
mod interaction;
mod label;
mod mean_field;
mod memory_classes;
mod memory_rbm;
mod modern_hopfield;
pub mod neural;
mod normalised;
mod pairwise;
mod rbm;
mod recall_end;
mod replicated_softmax;
mod sparse;
mod unrolled;
pub use algebra::{Mixture, Part, Product};
pub use boltzmann::{Boltzmann, Lateral};
pub use conditional::ConditionalRbm;
pub use dbm::Dbm;
pub use dbn::Dbn;
pub use dense_memory::DenseMemory;
pub(crate) use gauge::Gauge;
pub use gauge::zero_sum;
pub use interaction::Interaction;
pub use mean_field::MeanField;
pub(crate) use memory_classes::{Pulling, chunk as class_chunk};
pub use memory_rbm::{hebbian_patterns, hebbian_rbm};
pub use modern_hopfield::{FixedPoint, ModernHopfield};
pub use normalised::Normalised;
pub use rbm::{Kind, Rbm};
pub use recall_end::RecallEnd;
pub use replicated_softmax::ReplicatedSoftmax;
pub use sparse::{Boundary, SparseBoltzmann};

use crate::linalg::col;
use crate::{Block, MatRef};

/// `grad += Σ wₙ ∂U/∂θ` of a block whose rows of `x` are values.
fn grad_theta(block: &Block, theta: &[f32], x: MatRef<'_>, weights: &[f32], grad: &mut [f32]) {
    if block.unit.n_theta() == 0 {
        return;
    }
    for (j, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
        block.unit.base_grad_theta(theta, &col(&x, j)[block.rows.clone()], w, grad);
    }
}
/// `grad += Σ wₙ ⟨∂U/∂θ⟩` of a block with these fields.
fn grad_theta_expected(block: &Block, theta: &[f32], field: MatRef<'_>, weights: &[f32], grad: &mut [f32]) {
    for (j, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
        block.unit.expected_grad_theta(theta, col(&field, j), w, grad);
    }
}
