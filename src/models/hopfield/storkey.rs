//! The rule of Storkey: what a pattern's own fields already say is not learned again.

use super::spins::check_size;
use super::{Hopfield, check_spins};
use crate::linalg::{add_product, col};
use crate::{Mat, MatRef, Result};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// `W_ij += (ξ_i ξ_j - ξ_i h_ji - h_ij ξ_j) / N`, `h_ij = Σ_{k≠i,j} W_ik ξ_k`, pattern by pattern.
///
/// Incremental and local as [`super::Hebb`] is, of a higher capacity: without errors, `N / √(2 ln N)` instead of `N / (2 ln N)`. The
/// order of the patterns matters a little. `O(N²)` a pattern, for `h_ij = h_i - W_ij ξ_j` where `h = Wξ`:
/// `W_ij ← (1 + 2/N) W_ij + (ξ_i ξ_j - ξ_i h_j - h_i ξ_j) / N`. The fields h are summed in double precision.
///
/// Source: Storkey, "Increasing the capacity of a Hopfield network without sacrificing functionality", 1997.
#[derive(Clone, Debug, PartialEq)]
pub struct Storkey {
    weights: Mat,
    n_patterns: usize,
}

impl Storkey {
    /// Nothing stored in N spins.
    ///
    /// # Errors
    /// [`crate::Error::Value`] if there are none.
    pub fn new(n: usize) -> Result<Self> {
        check_size(n)?;
        Ok(Self { weights: Mat::zeros(n, n), n_patterns: 0 })
    }
    /// Stores the columns of `patterns` (N × patterns), one after the other.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if there is not one row a spin, [`crate::Error::Value`] if an entry is neither 1 nor -1; nothing is
    /// stored then.
    pub fn store(&mut self, patterns: MatRef<'_>) -> Result<()> {
        check_spins("pattern", patterns, self.weights.nrows())?;
        (0..patterns.ncols()).for_each(|k| self.store_one(patterns.columns(k, 1)));
        Ok(())
    }
    fn store_one(&mut self, pattern: MatRef<'_>) {
        let (n, xi) = (self.weights.nrows(), col(&pattern, 0));
        let mut h = DMatrix::zeros(n, 1);
        add_product(self.weights.columns(0, n), pattern, h.columns_mut(0, 1));
        let h: Vec<f32> = h.iter().map(|&h| h as f32).collect();
        let (kept, share) = (1.0 + 2.0 / n as f32, 1.0 / n as f32);
        self.weights.as_mut_slice().par_chunks_mut(n).enumerate().for_each(|(j, column)| {
            // Both roundings are the same with i and j exchanged, so that W stays symmetric.
            for (w, (x, h_i)) in column.iter_mut().zip(xi.iter().zip(&h)) {
                *w = kept * *w + share * (x * xi[j] - (x * h[j] + h_i * xi[j]));
            }
            column[j] = 0.0;
        });
        self.n_patterns += 1;
    }
    /// How many patterns are stored.
    pub fn n_patterns(&self) -> usize {
        self.n_patterns
    }
    /// The network of what is stored.
    ///
    /// # Errors
    /// [`crate::Error::Value`] if couplings have grown beyond all bounds.
    pub fn network(&self) -> Result<Hopfield> {
        Hopfield::new(self.weights.clone())
    }
}
