//! Markov transitions and the chains they move. They know nothing of models beyond the contract.

mod chains;
mod gibbs;
pub use chains::Chains;
pub use gibbs::{BlockGibbs, Descend};

use crate::{Slab, Streams};

/// Tally of proposals; Gibbs kernels accept everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Moves offered.
    pub proposed: u64,
    /// Moves made.
    pub accepted: u64,
}
impl std::iter::Sum for Moves {
    fn sum<I: Iterator<Item = Self>>(moves: I) -> Self {
        moves
            .fold(Self::default(), |a, b| Self { proposed: a.proposed + b.proposed, accepted: a.accepted + b.accepted })
    }
}

/// A Markov transition that leaves `exp(-E)` invariant. Single-threaded: it moves one slab, but for what is frozen.
pub trait Kernel<M: ?Sized>: Sync {
    /// Moves every column of the slab.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves;
}
