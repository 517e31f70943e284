//! The perceptron rule for couplings that stay symmetric, so that the network keeps its energy.

use super::perceptron::{append, check_margin, is_held, next_to_one_over};
use super::spins::check_size;
use super::{Hopfield, Learned, check_spins};
use crate::linalg::{add_product, col};
use crate::{Mat, MatRef, Result};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// [`super::Perceptron`] with `W = Wᵀ`: where spins i are not held with the margin (ε_i = 1), `W_ij += (ε_i + ε_j) ξ_i ξ_j / N`.
///
/// It ends if some symmetric couplings have a larger margin. All is counted in whole numbers, without errors up to 2²⁴ changes of
/// one coupling; `O(N²)` a pattern and sweep.
///
/// Source: Gardner, "The space of interactions in neural network models", 1988.
#[derive(Clone, Debug, PartialEq)]
pub struct SymmetricPerceptron {
    patterns: Mat,
    margin: f64,
    counts: Mat,       // N W
    squares: Vec<f64>, // N² |W_i|²
}

impl SymmetricPerceptron {
    /// Nothing stored in N spins; the margin κ is that of [`Hopfield::stabilities`].
    ///
    /// # Errors
    /// [`crate::Error::Value`] if there are no spins, or the margin is below 0 or not finite.
    pub fn new(n: usize, margin: f64) -> Result<Self> {
        check_size(n)?;
        check_margin(margin)?;
        Ok(Self { patterns: Mat::zeros(n, 0), margin, counts: Mat::zeros(n, n), squares: vec![0.0; n] })
    }
    /// Adds the columns of `patterns` (N × patterns) to what is to be learned.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if there is not one row a spin, [`crate::Error::Value`] if an entry is neither 1 nor -1.
    pub fn store(&mut self, patterns: MatRef<'_>) -> Result<()> {
        check_spins("pattern", patterns, self.patterns.nrows())?;
        append(&mut self.patterns, patterns);
        Ok(())
    }
    /// How many patterns there are.
    pub fn n_patterns(&self) -> usize {
        self.patterns.ncols()
    }
    /// Goes on learning for at most so many sweeps.
    pub fn learn(&mut self, epochs: usize) -> Learned {
        let (mut used, mut changed) = (0, true);
        while changed && used < epochs {
            (changed, used) = (false, used + 1);
            for k in 0..self.n_patterns() {
                changed |= self.learn_one(k);
            }
        }
        let mut learned = Learned { epochs: used, unstable: 0, least: f64::INFINITY };
        for k in 0..self.n_patterns() {
            for (o, square) in self.aligned(k).iter().zip(&self.squares) {
                learned.unstable += usize::from(!is_held(*o, *square, self.margin));
                learned.least = learned.least.min(if *o == 0.0 { 0.0 } else { o / square.sqrt() });
            }
        }
        learned
    }
    /// `N ξ_i φ_i` of a pattern.
    fn aligned(&self, k: usize) -> Vec<f64> {
        let (n, pattern) = (self.patterns.nrows(), self.patterns.columns(k, 1));
        let mut fields = DMatrix::zeros(n, 1);
        add_product(self.counts.columns(0, n), pattern, fields.columns_mut(0, 1));
        fields.iter().zip(&pattern).map(|(f, x)| f * f64::from(*x)).collect()
    }
    /// Whether a pattern was not held, and so learned.
    fn learn_one(&mut self, k: usize) -> bool {
        let n = self.patterns.nrows();
        let held = |(o, square): (&f64, &f64)| !is_held(*o, *square, self.margin);
        let weak: Vec<f32> = self.aligned(k).iter().zip(&self.squares).map(|p| f32::from(u8::from(held(p)))).collect();
        if n == 1 || weak.iter().all(|&w| w == 0.0) {
            return false;
        }
        let pattern = self.patterns.columns(k, 1);
        let xi = col(&pattern, 0);
        let columns = self.counts.as_mut_slice().par_chunks_mut(n).zip(&mut self.squares).enumerate();
        columns.for_each(|(j, (column, square))| {
            for (w, (x, e)) in column.iter_mut().zip(xi.iter().zip(&weak)) {
                *w += (e + weak[j]) * (x * xi[j]);
            }
            column[j] = 0.0;
            *square = column.iter().map(|w| f64::from(*w).powi(2)).sum();
        });
        true
    }
    /// The network of what was learned, its couplings scaled by a power of two next to 1/N, which rounds nothing.
    pub fn network(&self) -> Hopfield {
        Hopfield::of(&self.counts * next_to_one_over(self.counts.nrows()), true)
    }
}
