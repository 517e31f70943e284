//! The rule of Hebb: spins that are alike in many patterns are coupled strongly.

use super::spins::check_size;
use super::{Hopfield, check_spins};
use crate::linalg::SpinBits;
use crate::{Error, Mat, MatRef, Result};

/// `W = (1/N) Σ_μ ξ^μ ξ^μᵀ` without the diagonal. Incremental and local: a pattern is added, and is a bit a spin.
///
/// Every coupling is the `f32` nearest to it, for whole numbers are counted and divided once.
///
/// Random patterns are recalled, each with some 1.5 % of wrong spins, up to `P = 0.138 N` (Amit, Gutfreund and Sompolinsky 1985).
///
/// ```
/// use harmonium::{Mat, models::hopfield::Hebb};
/// let mut hebb = Hebb::new(4)?;
/// hebb.store(Mat::from_column_slice(4, 1, &[1.0, 1.0, -1.0, -1.0]).as_view())?;
/// assert_eq!(hebb.network()?.weights()[(0, 2)], -0.25);
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// Source: Hopfield, "Neural networks and physical systems with emergent collective computational abilities", 1982.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hebb {
    bits: SpinBits,
}

impl Hebb {
    /// Nothing stored in N spins.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none.
    pub fn new(n: usize) -> Result<Self> {
        check_size(n)?;
        Ok(Self { bits: SpinBits::new(n) })
    }
    /// Stores the columns of `patterns` (N × patterns).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a spin, [`Error::Value`] if an entry is neither 1 nor -1; nothing is stored then.
    pub fn store(&mut self, patterns: MatRef<'_>) -> Result<()> {
        check_spins("pattern", patterns, self.bits.vectors())?;
        patterns.column_iter().for_each(|pattern| self.bits.push(pattern.iter().copied()));
        Ok(())
    }
    /// How many patterns are stored.
    pub fn n_patterns(&self) -> usize {
        self.bits.entries()
    }
    /// The patterns (N × patterns).
    pub fn patterns(&self) -> Mat {
        let (n, p) = (self.bits.vectors(), self.n_patterns());
        Mat::from_iterator(n, p, (0..p).flat_map(|k| self.bits.entry(k)))
    }
    /// The network of what is stored.
    ///
    /// # Errors
    /// [`Error::Value`] if more than 2²⁴ patterns are stored, which cannot be counted in single precision.
    pub fn network(&self) -> Result<Hopfield> {
        if self.n_patterns() >= 1 << 24 {
            return Err(Error::value("the number of patterns", "below 2²⁴", self.n_patterns()));
        }
        Ok(Hopfield::of(self.bits.products(self.bits.vectors() as f32, 0.0), true))
    }
}
