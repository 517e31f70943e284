//! The law of frozen units.

use super::probes::states;
use super::verdict::{Tally, Verdict};
use crate::rng::derive;
use crate::samplers::Kernel;
use crate::{ChainRng, Chains, Energy, Mask};
use rand::RngExt;

/// Chains that are looked at: several slabs.
const CHAINS: usize = 203;
/// Advances.
const ADVANCES: usize = 4;

/// A kernel leaves frozen units alone, whichever they are: of random states, about half of the units are frozen, others in every
/// chain, and keep their bits over four advances.
///
/// Units of several rows are frozen as a whole. That what is not frozen is sampled given the rest is not seen here.
///
/// # Errors
/// The first unit that moved.
///
/// ```
/// use harmonium::{laws, models::Rbm, samplers::BlockGibbs, units::Bernoulli};
/// laws::frozen(&Rbm::new((20, Bernoulli), (10, Bernoulli)), &BlockGibbs::new(1), 1)?;
/// # Ok::<(), laws::Broken>(())
/// ```
pub fn frozen<M: Energy + ?Sized, K: Kernel<M> + ?Sized>(model: &M, kernel: &K, seed: u64) -> Verdict {
    let (mut tally, mut rng) = (Tally::new("frozen units"), ChainRng::new(derive(seed, "law of frozen units")));
    let start = states(model, CHAINS, &mut rng);
    let mut mask = Mask::repeat(start.nrows(), CHAINS, false);
    for block in model.blocks() {
        for j in 0..CHAINS {
            for unit in block.rows.clone().step_by(block.unit.width()) {
                let end = (unit + block.unit.width()).min(block.rows.end);
                mask.view_range_mut(unit..end, j..j + 1).fill(rng.random());
            }
        }
    }
    let mut chains = Chains::new(start.clone(), derive(seed, "chains"));
    tally.possible(chains.states.freeze(mask.clone()))?;
    for advance in 1..=ADVANCES {
        chains.advance(kernel, model);
        let x = chains.states.x();
        for (row, j) in (0..CHAINS).flat_map(|j| (0..start.nrows()).map(move |row| (row, j))).filter(|at| mask[*at]) {
            let (got, expected) = (x[(row, j)], start[(row, j)]);
            tally.holds(got.to_bits() == expected.to_bits(), || {
                format!("after {advance} advances, row {row} of chain {j}, which is frozen at {expected}, is {got}")
            })?;
        }
    }
    tally.kept()
}
