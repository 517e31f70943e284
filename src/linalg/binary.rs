//! Products with a mostly-zero factor: binary states are lists of active units, and a product with a list is a sum of
//! columns. Exact (it differs from the dense product by the order of summation alone) and several times faster.
//!
//! It does not pack bits, nor use tables of partial sums.

use super::gemm::{gemm, gemm_nt};
use super::simd::{Kernel, Level};
use super::{col, scaled_columns};
use crate::rng::GROUP;
use crate::{MatMut, MatRef};
use rayon::prelude::*;
use std::cell::RefCell;

/// A group of columns takes the sparse route below this share of non-zero entries (measured; see DESIGN.md).
const SPARSE: f32 = 0.4;
/// Columns of an outer product computed by one task: a constant, so that bits do not depend on threads.
const STRIP: usize = 32;
/// Rows of the result kept in registers while the active columns are added.
const PANEL: usize = 64;

thread_local! {
    /// Lists of active entries, kept from call to call so that products allocate nothing.
    static LISTS: RefCell<Lists> = RefCell::new(Lists::default());
}

/// `out += w x`: the sum of the active columns of `w` where `x` is sparse, the dense product where it is not.
///
/// The route is chosen for each group of eight columns (those that share a random stream), never for the slab:
/// otherwise the bits would depend on how the columns were cut.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_product(w: MatRef<'_>, x: MatRef<'_>, mut out: MatMut<'_>) {
    assert_eq!((w.nrows(), x.ncols()), out.shape(), "shape of the product");
    assert_eq!(w.ncols(), x.nrows(), "inner dimensions");
    LISTS.with_borrow_mut(|lists| {
        lists.of_columns(x);
        let n = x.ncols();
        let sparse = |j: usize| lists.count(j..(j + GROUP).min(n)) < SPARSE * (x.nrows() * GROUP.min(n - j)) as f32;
        let mut from = 0;
        while from < n {
            let route = sparse(from);
            let mut to = (from + GROUP).min(n);
            while to < n && sparse(to) == route {
                to = (to + GROUP).min(n);
            }
            let part = out.columns_mut(from, to - from);
            if route {
                lists.add_combinations(Level::best(), w, from, part);
            } else {
                gemm(1.0, w, x.columns(from, to - from), 1.0, part);
            }
            from = to;
        }
    });
}

/// `out += scale Σₙ wₙ aₙ xₙᵀ`, `out` a column-major matrix of `a.nrows()` rows, in parallel over its columns, so that
/// nothing is reduced between threads. A column of weight zero is absent, whatever it holds.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_outer(scale: f32, a: MatRef<'_>, x: MatRef<'_>, weights: &[f32], out: &mut [f32]) {
    let m = a.nrows();
    assert_eq!((a.ncols(), weights.len()), (x.ncols(), x.ncols()), "columns of the factors, and their weights");
    assert_eq!(out.len(), m * x.nrows(), "shape of the outer product");
    if out.is_empty() {
        return;
    }
    let plain = weights.windows(2).all(|w| w[0] == w[1]) && weights.first().is_some_and(|&w| w != 0.0);
    // Weights that differ are put into a copy of the dense factor, which leaves out absent columns.
    let weighted = (!plain).then(|| scaled_columns(a, x, weights));
    let (a, dense_x, dense_scale) = match &weighted {
        Some((a, x)) => (a.as_view(), x.as_view(), scale),
        None => (a, x, weights.first().map_or(0.0, |w| scale * w)),
    };
    out.par_chunks_mut(m * STRIP).enumerate().for_each(|(s, strip)| {
        let columns = strip.len() / m;
        let rows = dense_x.rows(s * STRIP, columns);
        let out = MatMut::from_slice(strip, m, columns);
        LISTS.with_borrow_mut(|lists| {
            lists.of_rows(rows, dense_scale);
            if lists.count(0..columns) < SPARSE * (rows.nrows() * rows.ncols()) as f32 {
                lists.add_combinations(Level::best(), a, 0, out);
            } else {
                gemm_nt(dense_scale, a, rows, 1.0, out);
            }
        });
    });
}

/// For every column of a result, which columns of the left factor to add, and how often.
#[derive(Debug, Default)]
struct Lists {
    starts: Vec<usize>,
    ends: Vec<usize>,
    index: Vec<u32>,
    value: Vec<f32>,
}

impl Lists {
    /// The active entries of every column of `x`.
    fn of_columns(&mut self, x: MatRef<'_>) {
        self.reset(x.ncols(), x.nrows());
        for j in 0..x.ncols() {
            let mut end = self.starts[j];
            for (i, &v) in col(&x, j).iter().enumerate() {
                // Written always, kept only where active: no branch to mispredict.
                (self.index[end], self.value[end]) = (i as u32, v);
                end += (v != 0.0) as usize;
            }
            self.ends[j] = end;
        }
    }
    /// The active entries of every row of `x`, their values times `scale`.
    fn of_rows(&mut self, x: MatRef<'_>, scale: f32) {
        self.reset(x.nrows(), x.ncols());
        for n in 0..x.ncols() {
            for (end, &v) in self.ends.iter_mut().zip(col(&x, n)) {
                (self.index[*end], self.value[*end]) = (n as u32, scale * v);
                *end += (v != 0.0) as usize;
            }
        }
    }
    /// Room for `lists` lists of up to `longest` entries, all empty.
    fn reset(&mut self, lists: usize, longest: usize) {
        let room = longest + 1; // the entry after the last is written, though never kept
        self.index.resize(self.index.len().max(lists * room), 0);
        self.value.resize(self.value.len().max(lists * room), 0.0);
        self.starts.clear();
        self.starts.extend((0..lists).map(|k| k * room));
        self.ends.clone_from(&self.starts);
    }
    /// Entries of some lists.
    fn count(&self, lists: std::ops::Range<usize>) -> f32 {
        lists.map(|k| self.ends[k] - self.starts[k]).sum::<usize>() as f32
    }
    /// Adds to column `j` of `out` what list `first + j` says.
    fn add_combinations(&self, level: Level, a: MatRef<'_>, first: usize, mut out: MatMut<'_>) {
        let (rows, columns) = out.shape();
        let (all, stride) = (super::span(&a), a.strides().1);
        let mut row = 0;
        // Panels outside, columns inside: the rows of one panel of `a` stay in the cache.
        while row < rows {
            let width = [PANEL, 16, 4, 1].into_iter().find(|&w| row + w <= rows).unwrap_or(1);
            for j in 0..columns {
                let list = self.starts[first + j]..self.ends[first + j];
                let add = Add {
                    a: all,
                    at: row,
                    stride,
                    index: &self.index[list.clone()],
                    value: &self.value[list],
                    out: &mut out.column_mut(j).data.into_slice_mut()[row..row + width],
                };
                level.run(add);
            }
            row += width;
        }
    }
}

/// `out += Σ_k value_k a[at.., index_k]` for a few rows.
struct Add<'a> {
    a: &'a [f32],
    at: usize,
    stride: usize,
    index: &'a [u32],
    value: &'a [f32],
    out: &'a mut [f32],
}
impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        match self.out.len() {
            PANEL => self.rows::<PANEL>(),
            16 => self.rows::<16>(),
            4 => self.rows::<4>(),
            _ => self.rows::<1>(),
        }
    }
}
impl Add<'_> {
    #[inline(always)]
    fn rows<const N: usize>(self) {
        let Some(out) = self.out.first_chunk_mut::<N>() else { return };
        let mut sum = *out;
        for (&k, &v) in self.index.iter().zip(self.value) {
            let from = k as usize * self.stride + self.at;
            let Some(column) = self.a[from..].first_chunk::<N>() else { return };
            for i in 0..N {
                sum[i] += v * column[i];
            }
        }
        *out = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::rng::ChainRng;
    use rand::RngExt;

    fn sparse(rows: usize, columns: usize, density: f64, binary: bool) -> Mat {
        let mut rng = ChainRng::new(rows as u64 ^ columns as u64);
        Mat::from_fn(rows, columns, |_, _| {
            let value = if binary { 1.0 } else { rng.random::<f32>() - 0.5 };
            if rng.random::<f64>() < density { value } else { 0.0 }
        })
    }
    fn dense(rows: usize, columns: usize) -> Mat {
        Mat::from_fn(rows, columns, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08)
    }
    fn product(a: &Mat, x: &Mat, weight: impl Fn(usize) -> f64) -> nalgebra::DMatrix<f64> {
        let x = nalgebra::DMatrix::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] as f64 * weight(i));
        a.map(|v| v as f64) * x
    }
    fn agree(got: &Mat, plain: &nalgebra::DMatrix<f64>) {
        let worst = got.iter().zip(plain.iter()).map(|(&a, b)| (a as f64 - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5 * plain.amax().max(1.0), "off by {worst}");
    }

    #[test]
    fn both_routes_match_the_plain_product() {
        for (m, k, n) in [(500, 784, 100), (64, 30, 1), (65, 31, 2), (1, 1, 3), (3, 200, 5), (85, 63, 65)] {
            for (density, binary) in [(0.0, true), (0.13, true), (0.3, false), (0.9, true)] {
                let (w, x) = (dense(m, k), sparse(k, n, density, binary));
                let mut out = Mat::from_element(m, n, 0.25);
                add_product(w.as_view(), x.as_view(), out.as_view_mut());
                agree(&out, &product(&w, &x, |_| 1.0).add_scalar(0.25));
            }
        }
    }
    #[test]
    fn combinations_have_the_same_bits_on_every_level() {
        let (w, x) = (dense(133, 70), sparse(70, 9, 0.3, false));
        let run = |level| {
            let (mut lists, mut out) = (Lists::default(), Mat::zeros(133, 9));
            lists.of_columns(x.as_view());
            lists.add_combinations(level, w.as_view(), 0, out.as_view_mut());
            out
        };
        assert!(Level::available().into_iter().all(|l| run(l) == run(Level::Plain)));
    }
    #[test]
    fn outer_products_match_and_leave_out_absent_columns() {
        for (m, d, n) in [(500, 784, 100), (7, 3, 1), (64, 65, 5), (1, 40, 63)] {
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
    #[test]
    fn bits_do_not_depend_on_the_cut() {
        let w = dense(90, 50);
        let mut x = sparse(50, 40, 0.1, true);
        x.columns_mut(8, 8).fill(1.0); // a dense group between sparse ones
        let mut whole = Mat::zeros(90, 40);
        add_product(w.as_view(), x.as_view(), whole.as_view_mut());
        for width in [8, 16, 24] {
            let mut cut = Mat::zeros(90, 40);
            for from in (0..40).step_by(width) {
                let n = width.min(40 - from);
                add_product(w.as_view(), x.columns(from, n), cut.columns_mut(from, n));
            }
            assert_eq!(cut, whole, "width {width}");
        }
    }
}
