//! Outer products summed over samples, `out += scale Σₙ wₙ aₙ xₙᵀ`: a column of the result is a sum of those columns of `a`
//! whose sample has the entry on, so that it too is a product with lists.
#![allow(unsafe_code)]

use super::bits::{Bits, Values, WORD};
use super::col;
use super::gemm::gemm_nt;
use super::lists::Lists;
use super::panels::{HEIGHT, Panels};
use super::simd::Level;
use crate::{Mat, MatMut, MatRef};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Columns of the result computed by one task: a constant, so that bits do not depend on threads.
const STRIP: usize = 32;
/// Words of samples whose part of a panel is added at a time.
const PIECE: usize = 8;
/// A strip takes the route of lists below this share of non-zero entries (measured; see DESIGN.md).
const FEW: f32 = 0.7;

thread_local! {
    /// Kept from call to call so that products allocate nothing. Taken while in use: a thread that waits may begin another.
    static FACTORS: Cell<Factors> = Cell::new(Factors::default());
    static LISTS: Cell<(Lists, Vec<u64>)> = Cell::new(Default::default());
}

/// `scale Σₙ wₙ aₙ xₙᵀ` (rows of `a` × rows of `x`). A column of weight zero is absent, whatever it holds.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a> {
    /// What all is multiplied by.
    pub scale: f32,
    /// Rows of the result × samples.
    pub a: MatRef<'a>,
    /// Columns of the result × samples: fast where most of it is zero.
    pub x: MatRef<'a>,
    /// One a sample.
    pub weights: &'a [f32],
}

/// `out += scale Σₙ wₙ aₙ xₙᵀ`, `out` a column-major matrix of `a.nrows()` rows, in parallel over its columns, so that
/// nothing is reduced between threads.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_outer(scale: f32, a: MatRef<'_>, x: MatRef<'_>, weights: &[f32], out: &mut [f32]) {
    combine(true, [Outer { scale, a, x, weights }], out);
}
/// `out` becomes the sum of one or two outer products, whatever it held, in one pass over it.
///
/// # Panics
/// If the shapes do not fit.
pub fn set_outers<const N: usize>(outers: [Outer<'_>; N], out: &mut [f32]) {
    const { assert!(N == 1 || N == 2, "one or two") };
    combine(false, outers, out);
}

fn combine<const N: usize>(keep: bool, outers: [Outer<'_>; N], out: &mut [f32]) {
    for o in &outers {
        let (m, samples) = (o.a.nrows(), o.x.ncols());
        assert_eq!((o.a.ncols(), o.weights.len()), (samples, samples), "columns of the factors, and their weights");
        assert_eq!(out.len(), m * o.x.nrows(), "shape of the outer product");
    }
    if out.is_empty() {
        return;
    }
    let m = outers[0].a.nrows();
    let weighted = outers.each_ref().map(Outer::weighted);
    let terms: [_; N] = std::array::from_fn(|k| outers[k].reduced(&weighted[k]));
    let mut factors = FACTORS.take();
    factors.of(&terms);
    if factors.samples == 0 {
        FACTORS.set(factors);
        if !keep {
            out.fill(0.0);
        }
        return;
    }
    out.par_chunks_mut(m * STRIP).enumerate().for_each(|(s, strip)| factors.to_strip(&terms, s * STRIP, keep, strip));
    FACTORS.set(factors);
}

impl Outer<'_> {
    /// Where weights differ: the factors without their columns of weight zero, the columns of `a` times their weights.
    fn weighted(&self) -> Option<(Mat, Mat)> {
        let w = self.weights;
        let equal = w.windows(2).all(|w| w[0] == w[1]) && w.first().is_some_and(|&w| w != 0.0);
        (!equal).then(|| {
            let kept: Vec<usize> = (0..w.len()).filter(|&n| w[n] != 0.0).collect();
            let mut scaled = self.a.select_columns(&kept);
            scaled.column_iter_mut().zip(&kept).for_each(|(mut c, &n)| c *= w[n]);
            (scaled, self.x.select_columns(&kept))
        })
    }
    /// The same with weights of one, which are not looked at again.
    fn reduced<'a>(&'a self, weighted: &'a Option<(Mat, Mat)>) -> Outer<'a> {
        match weighted {
            Some((a, x)) => Outer { scale: self.scale, a: a.as_view(), x: x.as_view(), weights: &[] },
            None => Outer { scale: self.scale * self.weights.first().unwrap_or(&0.0), weights: &[], ..*self },
        }
    }
}

/// What is known of the factors, the samples of all terms side by side.
#[derive(Debug, Default)]
struct Factors {
    samples: usize,
    panels: Panels, // of `a`, times `scale`
    bits: Bits,
}

impl Factors {
    fn of(&mut self, terms: &[Outer<'_>]) {
        let (m, n) = (terms[0].a.nrows(), terms.iter().map(|t| t.x.ncols()).sum::<usize>());
        self.samples = n;
        let Self { panels, bits, .. } = self;
        let scaled = |rows: Range<usize>, k: usize, to: &mut [f32]| {
            let (t, j) = of_term(terms, k);
            to.iter_mut().zip(&col(&terms[t].a, j)[rows]).for_each(|(to, a)| *to = terms[t].scale * a);
        };
        let look = || bits.of_all(Level::best(), terms.iter().map(|t| t.x));
        rayon::join(look, || panels.fill_with(m, n, scaled));
    }
    /// Adds the columns from `first` on to `out`, or puts them there.
    fn to_strip(&self, terms: &[Outer<'_>], first: usize, keep: bool, out: &mut [f32]) {
        let (m, n, level) = (terms[0].a.nrows(), self.samples, Level::best());
        let (columns, stride) = (out.len() / m, n.div_ceil(WORD));
        let (mut lists, mut words) = LISTS.take();
        self.transpose(first, columns, &mut words);
        let active: u32 = words.iter().map(|w| w.count_ones()).sum();
        let all = |is: &dyn Fn(Values) -> bool| (0..n).all(|j| is(self.bits.values(j)));
        if active as f32 >= FEW * (n * columns) as f32 || !all(&|v| v != Values::Spin) {
            let mut keep = keep;
            for t in terms {
                let out = MatMut::from_slice(out, m, columns);
                gemm_nt(t.scale, t.a, t.x.rows(first, columns), keep as u8 as f32, out);
                keep = true;
            }
        } else {
            lists.clear(stride, PIECE);
            let two_valued = all(&|v| v == Values::Binary);
            for (i, words) in words.chunks_exact(stride.max(1)).enumerate().take(columns) {
                if two_valued {
                    lists.push(level, words);
                } else {
                    let value = |(t, j): (usize, usize)| terms[t].x[(first + i, j)];
                    lists.push_weighted(level, words, |k| value(of_term(terms, k)));
                }
            }
            let first = out.as_mut_ptr();
            for p in 0..self.panels.count() {
                let to = |i: usize| first.wrapping_add(i * m + p * HEIGHT);
                // SAFETY: `out` is borrowed mutably, and column `i` of it has so many rows from `HEIGHT · p` on.
                unsafe { lists.add_panel(level, self.panels.panel(p), 0..HEIGHT.min(m - p * HEIGHT), keep, to) }
            }
        }
        LISTS.set((lists, words));
    }
    /// The bits of the rows `first..`, row by row: `out[i · stride..]` has those of row `first + i`.
    fn transpose(&self, first: usize, rows: usize, out: &mut Vec<u64>) {
        let n = self.samples;
        let stride = n.div_ceil(WORD);
        out.clear();
        out.resize(STRIP * stride, 0);
        for block in 0..n.div_ceil(STRIP) {
            let mut square = [0u32; STRIP];
            for (k, row) in square.iter_mut().enumerate().take(n - block * STRIP) {
                // A strip lies within a word, for it is half as long.
                *row = (self.bits.column(block * STRIP + k)[first / WORD] >> (first % WORD)) as u32;
            }
            transpose_bits(&mut square);
            for (i, row) in square.into_iter().enumerate().take(rows) {
                out[i * stride + block / 2] |= (row as u64) << (STRIP * (block % 2));
            }
        }
    }
}

/// Term and column of sample `k` of all terms.
fn of_term(terms: &[Outer<'_>], k: usize) -> (usize, usize) {
    let first = terms[0].x.ncols();
    if k < first { (0, k) } else { (1, k - first) }
}

/// Bit `j` of row `i` becomes bit `i` of row `j`: squares off the diagonal change places, half the size each time.
fn transpose_bits(rows: &mut [u32; STRIP]) {
    let (mut size, mut low) = (STRIP / 2, u32::MAX >> (STRIP / 2));
    while size > 0 {
        for i in (0..STRIP).filter(|i| i & size == 0) {
            let swapped = (rows[i] >> size ^ rows[i + size]) & low;
            rows[i] ^= swapped << size;
            rows[i + size] ^= swapped;
        }
        size /= 2;
        low ^= low << size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::probes::{ODD, agree, dense, product, sparse};

    #[test]
    fn what_was_there_is_gone_even_without_samples() {
        let (a, x) = (dense(40, 9), sparse(33, 9, 0.3, true));
        for weights in [[0.0f32; 9], [0.5; 9]] {
            let mut out = vec![f32::NAN; 40 * 33];
            let outer = |scale| Outer { scale, a: a.as_view(), x: x.as_view(), weights: &weights };
            set_outers([outer(2.0), outer(-1.0)], &mut out);
            agree(&Mat::from_vec(40, 33, out), &product(&a, &x.transpose(), |j| weights[j] as f64));
        }
    }
    #[test]
    fn outer_products_match_and_leave_out_absent_columns() {
        let shapes = [(500, 784, 100), (7, 3, 1), (64, 65, 5), (1, 40, 63)];
        for (m, d, n) in shapes.into_iter().chain(ODD.map(|n| (37, 66, n))) {
            for density in [0.13, 0.9] {
                let (mut a, mut x) = (dense(m, n), sparse(d, n, density, false));
                let same = vec![0.5; n];
                let mut weights: Vec<f32> = (0..n).map(|j| j as f32 * 0.1 + 0.1).collect();
                for (weights, absent) in [(&same, false), (&weights.clone(), false), (&mut weights, true)] {
                    let mut weights = weights.clone();
                    if absent {
                        (weights[n / 2], a[(0, n / 2)], x[(0, n / 2)]) = (0.0, f32::NAN, f32::NAN);
                    }
                    let mut out = vec![1.0; m * d];
                    add_outer(-2.0, a.as_view(), x.as_view(), &weights, &mut out);
                    let clean = |m: &Mat| m.map(|v| if v.is_nan() { 0.0 } else { v });
                    let plain = product(&clean(&a), &clean(&x).transpose(), |j| -2.0 * weights[j] as f64);
                    agree(&Mat::from_vec(m, d, out), &plain.add_scalar(1.0));
                }
            }
        }
    }
}
