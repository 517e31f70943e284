//! Markov transitions and the chains they move. They know nothing of models beyond the contract, but for cluster updates, which need the
//! edges of a graph.

mod annealed_langevin;
mod chains;
mod cluster;
mod discrete;
mod discrete_langevin;
mod gibbs;
mod gibbs_with_gradients;
mod hmc;
mod langevin;
mod mala;
mod metropolis_gibbs;
mod probability_flow;
mod real;
mod tempering;
mod underdamped;
mod warm_up;
pub use annealed_langevin::AnnealedLangevin;
pub use chains::Chains;
pub use cluster::SwendsenWang;
pub use discrete_langevin::DiscreteLangevin;
pub use gibbs::{BlockGibbs, Descend};
pub use gibbs_with_gradients::GibbsWithGradients;
pub use hmc::Hmc;
pub use langevin::Langevin;
pub use mala::Mala;
pub use metropolis_gibbs::MetropolisGibbs;
pub(crate) use metropolis_gibbs::Sweep;
pub use probability_flow::ProbabilityFlow;
pub use tempering::{Advance, Tempering};
pub use underdamped::UnderdampedLangevin;
pub use warm_up::{Stepped, Warm, WarmUp};

use crate::{Slab, Streams};
use std::ops::Add;

/// Tally of proposals; Gibbs kernels accept everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Moves offered.
    pub proposed: u64,
    /// Moves made.
    pub accepted: u64,
    /// Moves that were not made because the energy there, or a step on the way, is not finite or absurdly high: steps too large for the
    /// model, which no number of further moves would mend.
    pub diverged: u64,
}
impl Moves {
    /// So many moves, all of them made.
    pub fn all(made: u64) -> Self {
        Self { proposed: made, accepted: made, diverged: 0 }
    }
    /// The share of moves that were made; not a number if none was offered.
    pub fn rate(self) -> f64 {
        self.accepted as f64 / self.proposed as f64
    }
}
impl Add for Moves {
    type Output = Self;
    fn add(self, more: Self) -> Self {
        Self {
            proposed: self.proposed + more.proposed,
            accepted: self.accepted + more.accepted,
            diverged: self.diverged + more.diverged,
        }
    }
}
impl std::iter::Sum for Moves {
    fn sum<I: Iterator<Item = Self>>(moves: I) -> Self {
        moves.fold(Self::default(), Self::add)
    }
}

/// A Markov transition that leaves `exp(-E)` invariant. Single-threaded: it moves one slab, but for what is frozen.
pub trait Kernel<M: ?Sized>: Sync {
    /// Moves every column of the slab.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves;
}
