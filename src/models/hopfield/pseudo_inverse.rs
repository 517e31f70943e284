//! The projection rule: what lies in the span of the patterns is kept as it is.

use super::spins::check_size;
use super::{Hopfield, check_spins};
use crate::linalg::{col, gemm_nt};
use crate::{Mat, MatRef, Result};
use rayon::prelude::*;

/// Rows of a sum of basis vectors that are worth a task of their own.
const ROWS: usize = 256;
/// Columns of the projection that one task computes.
const STRIP: usize = 64;

/// `W = Ξ Ξ⁺`, the projection on the span of the patterns Ξ (N × P): every pattern is its own field, exactly, up to N linearly
/// independent ones.
///
/// Kept is an orthonormal basis in double precision, to which a pattern adds what is new in it (Gram-Schmidt, twice). `O(NP)` a
/// pattern. The rule is not local, and its basins vanish as P nears N.
///
/// ```
/// use harmonium::{Mat, models::hopfield::{Projected, PseudoInverse}};
/// let mut rule = PseudoInverse::new(3)?;
/// let patterns = Mat::from_column_slice(3, 3, &[1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]);
/// assert_eq!(rule.store(patterns.as_view())?, [true, true, false]); // the third is minus the second
/// let network = rule.network(Projected::WithOwn);
/// assert_eq!(network.are_fixed(patterns.as_view())?, [true; 3]);
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// Source: Personnaz, Guyon and Dreyfus, "Information storage and retrieval in spin-glass like neural networks", 1985; Kanter and
/// Sompolinsky, "Associative recall of memory without errors", 1987 (without self-couplings).
#[derive(Clone, Debug, PartialEq)]
pub struct PseudoInverse {
    n: usize,
    basis: Vec<f64>, // orthonormal vectors, one after the other
}

/// What becomes of the diagonal of the projection, which is about P/N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projected {
    /// It becomes the self-couplings: patterns are fixed up to N of them, with the smallest basins.
    WithOwn,
    /// It is dropped, which widens the basins. The field of pattern ξ is `(1 - P_ii) ξ_i`: it is still fixed, while `P_ii < 1`.
    Dropped,
}

impl PseudoInverse {
    /// A pattern is taken for dependent on others if this share of its length, or less, is new.
    pub const DEPENDENT: f64 = 1e-6;

    /// Nothing stored in N spins.
    ///
    /// # Errors
    /// [`crate::Error::Value`] if there are none.
    pub fn new(n: usize) -> Result<Self> {
        check_size(n)?;
        Ok(Self { n, basis: vec![] })
    }
    /// Stores the columns of `patterns` (N × patterns), and says of each whether it was new: a pattern that is a linear combination
    /// of those before it ([`PseudoInverse::DEPENDENT`]) changes nothing, for it is held already.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if there is not one row a spin, [`crate::Error::Value`] if an entry is neither 1 nor -1; nothing is stored then.
    pub fn store(&mut self, patterns: MatRef<'_>) -> Result<Vec<bool>> {
        check_spins("pattern", patterns, self.n)?;
        Ok((0..patterns.ncols()).map(|k| self.store_one(col(&patterns, k))).collect())
    }
    fn store_one(&mut self, pattern: &[f32]) -> bool {
        let mut new: Vec<f64> = pattern.iter().map(|&x| f64::from(x)).collect();
        self.remove_known(&mut new);
        if length(&new) <= Self::DEPENDENT * (self.n as f64).sqrt() {
            return false;
        }
        self.remove_known(&mut new); // what rounding left of the basis: twice is enough
        let length = length(&new);
        self.basis.extend(new.iter().map(|v| v / length));
        true
    }
    /// Takes away what lies in the span of the basis.
    fn remove_known(&self, v: &mut [f64]) {
        let inner = |q: &[f64]| q.iter().zip(&*v).map(|(q, v)| q * v).sum::<f64>();
        let parts: Vec<f64> = self.basis.par_chunks(self.n).map(inner).collect();
        v.par_chunks_mut(ROWS).enumerate().for_each(|(k, v)| {
            for (q, part) in self.basis.chunks(self.n).zip(&parts) {
                v.iter_mut().zip(&q[k * ROWS..]).for_each(|(v, q)| *v -= part * q);
            }
        });
    }
    /// The dimension of the span: how many independent patterns are stored.
    pub fn rank(&self) -> usize {
        self.basis.len() / self.n
    }
    /// The network of what is stored.
    pub fn network(&self, diagonal: Projected) -> Hopfield {
        let n = self.n;
        let basis = Mat::from_iterator(n, self.rank(), self.basis.iter().map(|&q| q as f32));
        let mut weights = Mat::zeros(n, n);
        weights.as_mut_slice().par_chunks_mut(n * STRIP).enumerate().for_each(|(k, strip)| {
            // Down to the diagonal; the rest is its mirror image.
            let (from, columns) = (k * STRIP, strip.len() / n);
            let mut strip = crate::MatMut::from_slice(strip, n, columns);
            let end = from + columns;
            gemm_nt(1.0, basis.rows(0, end), basis.rows(from, columns), 0.0, strip.rows_mut(0, end));
        });
        mirror(&mut weights);
        let own = (0..n).map(|i| weights[(i, i)]).collect();
        weights.fill_diagonal(0.0);
        let network = Hopfield::of(weights, true);
        match diagonal {
            Projected::WithOwn => Hopfield { own, ..network },
            Projected::Dropped => network,
        }
    }
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}
/// Copies what is above the diagonal to below it, square by square.
fn mirror(w: &mut Mat) {
    let n = w.nrows();
    for (left, top) in (0..n).step_by(STRIP).flat_map(|l| (l..n).step_by(STRIP).map(move |t| (l, t))) {
        for j in left..n.min(left + STRIP) {
            for i in top.max(j + 1)..n.min(top + STRIP) {
                w[(i, j)] = w[(j, i)];
            }
        }
    }
}
