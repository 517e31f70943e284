//! Unlearning: from random starts a network mostly falls into states that were never stored; what it dreams is weakened.

use super::{Hopfield, Local};
use crate::rng::{derive, keyed};
use crate::{Error, Result};
use rand::RngExt;
use rayon::prelude::*;

/// `W_ij -= ε ξ_i ξ_j / N`, where ξ is the state that a random start comes to rest in.
///
/// Spurious states are weakened more than patterns, and patterns become more alike in depth; with too many dreams, patterns go as
/// well.
///
/// Source: Hopfield, Feinstein and Palmer, "'Unlearning' has a stabilizing effect in collective memories", 1983.
#[derive(Clone, Debug)]
pub struct Unlearning {
    network: Hopfield,
    strength: f32,
    seed: u64,
    dreams: u64,
}

impl Unlearning {
    /// Sweeps after which a dream that has not come to rest is taken as it is.
    pub const SWEEPS: usize = 1000;

    /// Dreams of this network, each weakened by the strength ε.
    ///
    /// # Errors
    /// [`Error::Value`] if the couplings are not symmetric, or ε is not above 0 and at most 1.
    pub fn new(network: Hopfield, strength: f32, seed: u64) -> Result<Self> {
        network.check_energy()?;
        if !(strength > 0.0 && strength <= 1.0) {
            return Err(Error::value("the strength of unlearning", "above 0 and at most 1", strength));
        }
        Ok(Self { network, strength, seed: derive(seed, "dreams"), dreams: 0 })
    }
    /// So many more dreams, one after the other; dream k is the same, whether it comes now or later. The number that came to rest.
    pub fn dream(&mut self, times: usize) -> usize {
        (0..times).filter(|_| self.dream_once()).count()
    }
    fn dream_once(&mut self) -> bool {
        let n = self.network.n();
        let mut rng = keyed(self.seed, &[self.dreams]);
        self.dreams += 1;
        let mut s: Vec<f32> = (0..n).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
        let mut fields = self.network.local_fields(crate::MatRef::from_slice(&s, n, 1));
        let rests = Local::new(&self.network, &mut s, fields.as_mut_slice()).relax(Self::SWEEPS, &mut rng);
        let share = self.strength / n as f32;
        self.network.change(|j, column| {
            column.iter_mut().zip(&s).for_each(|(w, x)| *w -= share * (x * s[j]));
            column[j] = 0.0;
        });
        rests
    }
    /// How many dreams there were.
    pub fn dreams(&self) -> u64 {
        self.dreams
    }
    /// The network so far.
    pub fn network(&self) -> &Hopfield {
        &self.network
    }
}

impl Hopfield {
    /// Changes W column by column, in parallel, in a way that keeps its symmetry and its zero diagonal.
    fn change(&mut self, f: impl Fn(usize, &mut [f32]) + Sync) {
        let n = self.n();
        self.fast.take();
        self.weights.as_mut_slice().par_chunks_mut(n).enumerate().for_each(|(j, column)| f(j, column));
    }
}
