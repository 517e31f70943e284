//! Gibbs sweeps of a machine as proposals for what it is tilted by.
//!
//! Latent units are drawn given the visible ones, of which a tilt depends on nothing else: a Gibbs step. All visible units are then drawn
//! from the machine, and that draw is taken with the probability `min(1, e^{f(v) - f(v')})`: Metropolis-Hastings, whose proposal is the
//! machine's own distribution given the latent units. Every visible unit may change at once, for one pass forwards of the tilt and no
//! gradient; how often, falls with how much the tilt differs between one sweep's two ends. Of the visible units alone, a move is its own
//! reversal.
//!
//! ## References
//! - Hastings, "Monte Carlo sampling methods using Markov chains and their applications", 1970.

use super::{Kernel, Moves};
use crate::linalg::col;
use crate::rng::Streams;
use crate::{Energy, Gibbs, Marginal, Response, Slab, Tilted, Train};
use rand::RngExt;
use std::cell::Cell;

/// So many sweeps of a [`Tilted`] machine, each of which is taken or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetropolisGibbs {
    /// Proposals of an advance.
    pub proposals: usize,
}
impl MetropolisGibbs {
    /// So many proposals an advance.
    pub const fn new(proposals: usize) -> Self {
        Self { proposals }
    }
}
impl<M: Marginal + Train, F: Train> Kernel<Tilted<M, F>> for MetropolisGibbs {
    fn advance(&self, model: &Tilted<M, F>, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let mut tilts = vec![0.0; slab.ncols()];
        let sweep = Sweep { machine: model.machine(), tilt: model.tilt(), visible: model.tilt().n_rows(), at: None };
        sweep.tilts(slab, &mut tilts);
        (0..self.proposals).map(|_| sweep.offer(slab, rng, &mut tilts)).sum()
    }
}

thread_local! {
    /// The visible units before a proposal, and the tilts after it. Taken while in use.
    static BEFORE: Cell<(Vec<f32>, Vec<f64>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// A machine and what tilts it; at a temperature, the machine above fields `base`, and so much of the tilt.
pub(crate) struct Sweep<'a, M: ?Sized, F: ?Sized> {
    pub(crate) machine: &'a M,
    pub(crate) tilt: &'a F,
    /// Rows of visible units.
    pub(crate) visible: usize,
    /// Inverse temperature and base fields; the model itself without them.
    pub(crate) at: Option<(f32, &'a [f32])>,
}
impl<M: Gibbs + ?Sized, F: Energy + ?Sized> Sweep<'_, M, F> {
    /// `out = f(v)`
    pub(crate) fn tilts(&self, slab: &Slab<'_>, out: &mut [f64]) {
        self.tilt.energy(slab.x().rows(0, self.visible), out);
    }
    /// One proposal for every column; `tilts` are those of the states, before and after.
    pub(crate) fn offer(&self, slab: &mut Slab<'_>, rng: &mut Streams<'_>, tilts: &mut [f64]) -> Moves {
        let (mut before, mut there) = BEFORE.take();
        self.respond(false, slab, rng);
        before.clear();
        (0..slab.ncols()).for_each(|j| before.extend_from_slice(&col(&slab.x(), j)[..self.visible]));
        self.respond(true, slab, rng);
        there.resize(tilts.len(), 0.0);
        self.tilts(slab, &mut there);
        let beta = self.at.map_or(1.0, |(beta, _)| f64::from(beta));
        let (mut moves, mut x) = (Moves::default(), slab.x_mut());
        for (j, (here, there)) in tilts.iter_mut().zip(&there).enumerate() {
            let (lot, log_ratio) = (rng.column(j).random::<f64>(), beta * (*here - there));
            moves.proposed += 1;
            if lot.ln() < log_ratio {
                moves.accepted += 1;
                *here = *there;
            } else {
                moves.diverged += u64::from(log_ratio.is_nan() || log_ratio == f64::NEG_INFINITY);
                let old = &before[j * self.visible..(j + 1) * self.visible];
                x.column_mut(j).as_mut_slice()[..self.visible].copy_from_slice(old);
            }
        }
        BEFORE.set((before, there));
        moves
    }
    /// A layer is drawn given the other, by the machine.
    fn respond(&self, visible: bool, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        for b in 0..self.machine.blocks().len() {
            if (self.machine.blocks()[b].rows.end <= self.visible) != visible {
                continue;
            }
            let mut response = Response::sample(rng);
            match self.at {
                Some((beta, base)) => slab.respond(self.machine, b, &mut response.tempered(beta, base)),
                None => slab.respond(self.machine, b, &mut response),
            }
        }
    }
}
