//! Block Gibbs sampling (Geman and Geman, 1984): every block in turn is drawn given the rest; and its zero-temperature
//! limit.

use super::{Kernel, Moves};
use crate::{Gibbs, Response, Slab, Streams};

/// `sweeps` passes over the blocks; backward, where the last field computed is the one that the gradient needs (PCD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockGibbs {
    /// Passes over all blocks.
    pub sweeps: usize,
    /// Whether the blocks are visited in reverse order.
    pub backward: bool,
}
impl BlockGibbs {
    /// Blocks in order.
    pub const fn new(sweeps: usize) -> Self {
        Self { sweeps, backward: false }
    }
    /// Blocks in reverse order.
    pub const fn backward(sweeps: usize) -> Self {
        Self { sweeps, backward: true }
    }
}
impl<M: Gibbs + ?Sized> Kernel<M> for BlockGibbs {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        (0..self.sweeps).for_each(|_| model.sweep(slab, &mut Response::sample(rng).in_order(self.backward)));
        let n = (self.sweeps * slab.ncols()) as u64;
        Moves::all(n)
    }
}

/// Zero-temperature dynamics: every block in turn becomes its most probable value given the rest. The energy never rises.
/// It is not a Markov transition that leaves `exp(-E)` invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descend {
    /// Passes over all blocks.
    pub sweeps: usize,
}
impl<M: Gibbs + ?Sized> Kernel<M> for Descend {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, _: &mut Streams<'_>) -> Moves {
        (0..self.sweeps).for_each(|_| model.sweep(slab, &mut Response::mode()));
        Moves::default()
    }
}
