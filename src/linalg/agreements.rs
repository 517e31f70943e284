//! Spins as bits, and inner products of many spin vectors by counting the bits in which they differ: sixty-four products and
//! sums are one exclusive or and one population count. The sums are whole numbers, so that every order gives the same.
#![allow(unsafe_code)]

use super::simd::{Kernel, Level};
use crate::{Mat, MatRef};
use rayon::prelude::*;

/// Spins of a word.
const WORD: usize = u32::BITS as usize;
/// Entries of a column that are counted at a time.
const LANES: usize = 64;

/// Vectors of spins, stored bit by bit: entry `k` of all vectors at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpinBits {
    vectors: usize,
    entries: usize,
    words: Vec<u32>, // entries 0..32 of all vectors, then entries 32..64 …
}

impl SpinBits {
    /// So many vectors without any entry.
    pub fn new(vectors: usize) -> Self {
        Self { vectors, entries: 0, words: vec![] }
    }
    /// The number of vectors.
    pub fn vectors(&self) -> usize {
        self.vectors
    }
    /// The number of entries of each.
    pub fn entries(&self) -> usize {
        self.entries
    }
    /// Adds an entry to every vector: 1 where the value is above 0, -1 elsewhere.
    ///
    /// # Panics
    /// If there is not one value a vector.
    pub fn push(&mut self, values: impl ExactSizeIterator<Item = f32>) {
        assert_eq!(values.len(), self.vectors, "an entry for every vector");
        let bit = self.entries % WORD;
        if bit == 0 {
            self.words.resize(self.words.len() + self.vectors, 0);
        }
        let last = self.words.len() - self.vectors;
        for (word, value) in self.words[last..].iter_mut().zip(values) {
            *word |= u32::from(value > 0.0) << bit;
        }
        self.entries += 1;
    }
    /// Entry `k` of all vectors.
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn entry(&self, k: usize) -> impl ExactSizeIterator<Item = f32> + '_ {
        assert!(k < self.entries, "entry {k} of {}", self.entries);
        let words = &self.words[k / WORD * self.vectors..][..self.vectors];
        words.iter().map(move |w| if w >> (k % WORD) & 1 == 1 { 1.0 } else { -1.0 })
    }
    /// The inner products of all pairs of vectors, each divided by `by` (the nearest `f32`); the diagonal is `diagonal`. In
    /// parallel over columns.
    ///
    /// # Panics
    /// If there are more entries than `f32` counts exactly.
    pub fn products(&self, by: f32, diagonal: f32) -> Mat {
        assert!(self.entries < 1 << 24, "products of {} entries in single precision", self.entries);
        let mut out = Mat::zeros(self.vectors, self.vectors);
        let columns = out.as_mut_slice().par_chunks_mut(self.vectors.max(1)).enumerate();
        columns.for_each(|(j, column)| {
            count(Level::best(), Column { bits: self, j, by, out: column });
            column[j] = diagonal;
        });
        out
    }
}

/// Column `j` of the products.
struct Column<'a> {
    bits: &'a SpinBits,
    j: usize,
    by: f32,
    out: &'a mut [f32],
}
impl Kernel for Column<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Self { bits: SpinBits { vectors, entries, words }, j, by, out } = self;
        for (k, out) in out.chunks_mut(LANES).enumerate() {
            let mut differ = [0u32; LANES];
            for words in words.chunks_exact((*vectors).max(1)) {
                let own = words[j];
                match words[k * LANES..].first_chunk::<LANES>() {
                    Some(words) => {
                        for (d, w) in differ.iter_mut().zip(words) {
                            *d += (w ^ own).count_ones();
                        }
                    }
                    None => {
                        for (d, w) in differ.iter_mut().zip(&words[k * LANES..]) {
                            *d += (w ^ own).count_ones();
                        }
                    }
                }
            }
            for (out, d) in out.iter_mut().zip(&differ) {
                *out = (*entries as i32 - 2 * *d as i32) as f32 / by;
            }
        }
    }
}

/// Counts with the processor's own instruction for it, where there is one.
fn count(level: Level, column: Column<'_>) {
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") {
        // SAFETY: the features were detected.
        return unsafe { count_avx512(column) };
    }
    level.run(column);
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
fn count_avx512(column: Column<'_>) {
    column.run();
}

/// The inner products of the columns of a matrix of spins (entries × vectors), as whole numbers.
///
/// # Panics
/// As [`SpinBits::products`].
pub fn spin_products(x: MatRef<'_>) -> Mat {
    let mut bits = SpinBits::new(x.ncols());
    x.row_iter().for_each(|row| bits.push(row.iter().copied()));
    bits.products(1.0, x.nrows() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::probes::ODD;

    #[test]
    fn counting_matches_the_plain_product_on_every_level() {
        for (n, m) in [(1, 1), (64, 32), (65, 33), (130, 200), (3, 500)].into_iter().chain(ODD.map(|n| (70, n))) {
            let x = Mat::from_fn(m, n, |i, j| if (i * i + 3 * j * i + j) % 7 < 3 { 1.0 } else { -1.0 });
            let expected = x.transpose() * &x;
            assert_eq!(spin_products(x.as_view()), expected, "{m} × {n}");
            let mut bits = SpinBits::new(n);
            x.row_iter().for_each(|row| bits.push(row.iter().copied()));
            assert!((0..m).all(|k| bits.entry(k).eq(x.row(k).iter().copied())));
            for level in Level::available() {
                for j in 0..n {
                    let mut out = vec![0.0; n];
                    count(level, Column { bits: &bits, j, by: 3.0, out: &mut out });
                    assert!(out.iter().zip(&expected.column(j)).all(|(o, e)| *o == e / 3.0), "{level:?}, {m} × {n}");
                }
            }
        }
    }
    #[test]
    fn vectors_without_entries_are_orthogonal() {
        assert_eq!(SpinBits::new(3).products(3.0, 0.0), Mat::zeros(3, 3));
        assert_eq!(SpinBits::new(0).products(1.0, 0.0), Mat::zeros(0, 0));
    }
}
