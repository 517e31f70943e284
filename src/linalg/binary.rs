//! Products with a mostly-zero factor: binary states are lists of active units, and a product with a list is a sum of
//! columns. Exact (it differs from the dense product by the order of summation alone) and several times faster.
//!
//! It does not pack bits, nor use tables of partial sums.

use super::active::{SLACK, active};
use super::gemm::{gemm, gemm_nt};
use super::simd::{Kernel, Level};
use super::{Padded, col, scaled_columns, span};
use crate::rng::GROUP;
use crate::{MatMut, MatRef};
use rayon::prelude::*;
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// A group of columns takes the sparse route below this share of non-zero entries (measured; see DESIGN.md).
const SPARSE: f32 = 0.4;
/// Columns of an outer product computed by one task: a constant, so that bits do not depend on threads.
const STRIP: usize = 32;

thread_local! {
    /// Lists of active entries, kept from call to call so that products allocate nothing.
    static LISTS: RefCell<Lists> = RefCell::new(Lists::default());
    /// The factors of an outer product. Taken while in use: a thread that waits may begin another product.
    static PACKED: Cell<Padded> = Cell::new(Padded::default());
    static ROWS: Cell<Lists> = Cell::new(Lists::default());
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
    let mut packed = PACKED.take();
    packed.copy_from(a);
    let a = packed.view();
    let mut lists = ROWS.take();
    lists.of_rows(dense_x, dense_scale);
    out.par_chunks_mut(m * STRIP).enumerate().for_each(|(s, strip)| {
        let (first, columns) = (s * STRIP, strip.len() / m);
        let out = MatMut::from_slice(strip, m, columns);
        if lists.count(first..first + columns) < SPARSE * (columns * dense_x.ncols()) as f32 {
            lists.add_combinations(Level::best(), a, first, out);
        } else {
            gemm_nt(dense_scale, a, dense_x.rows(first, columns), 1.0, out);
        }
    });
    ROWS.set(lists);
    PACKED.set(packed);
}

/// For every column of a result, which columns of the left factor to add, and how often.
#[derive(Debug, Default)]
struct Lists {
    starts: Vec<usize>,
    ends: Vec<usize>,
    index: Vec<u32>,
    value: Vec<f32>, // unused where all values are one
    ones: bool,
    scale: f32,
    column: Vec<u32>, // the active entries of one column, while lists of rows are made
}

impl Lists {
    /// The active entries of every column of `x`.
    fn of_columns(&mut self, x: MatRef<'_>) {
        let (level, rows) = (Level::best(), x.nrows());
        self.reset(x.ncols(), rows + SLACK, 1.0);
        self.ones = (0..x.ncols()).all(|j| is_binary(col(&x, j)));
        for j in 0..x.ncols() {
            let start = self.starts[j];
            let index = &mut self.index[start..start + rows + SLACK];
            let n = active(level, col(&x, j), index);
            self.ends[j] = start + n;
            if !self.ones {
                let value = self.value[start..].iter_mut().zip(&index[..n]);
                value.for_each(|(v, &i)| *v = x[(i as usize, j)]);
            }
        }
    }
    /// The active entries of every row of `x`, to be multiplied by `scale`.
    fn of_rows(&mut self, x: MatRef<'_>, scale: f32) {
        let (level, rows) = (Level::best(), x.nrows());
        self.reset(rows, x.ncols(), scale);
        self.ones = (0..x.ncols()).all(|j| is_binary(col(&x, j)));
        self.column.resize(self.column.len().max(rows + SLACK), 0);
        for n in 0..x.ncols() {
            let count = active(level, col(&x, n), &mut self.column);
            for &i in &self.column[..count] {
                let end = &mut self.ends[i as usize];
                self.index[*end] = n as u32;
                if !self.ones {
                    self.value[*end] = x[(i as usize, n)];
                }
                *end += 1;
            }
        }
    }
    /// Lists with room for `room` entries each, all empty.
    fn reset(&mut self, lists: usize, room: usize, scale: f32) {
        self.index.resize(self.index.len().max(lists * room), 0);
        self.value.resize(self.value.len().max(lists * room), 0.0);
        self.starts.clear();
        self.starts.extend((0..lists).map(|k| k * room));
        self.ends.clone_from(&self.starts);
        self.scale = scale;
    }
    /// Entries of some lists.
    fn count(&self, lists: std::ops::Range<usize>) -> f32 {
        lists.map(|k| self.ends[k] - self.starts[k]).sum::<usize>() as f32
    }
    /// Adds to column `j` of `out` what list `first + j` says.
    fn add_combinations(&self, level: Level, a: MatRef<'_>, first: usize, mut out: MatMut<'_>) {
        let rows = out.nrows();
        let width = WIDTHS.into_iter().find(|&w| w <= rows && w <= widest(level)).unwrap_or(1);
        // Panels outside, columns inside: the rows of one panel of `a` stay in the cache. The last panel overlaps the one
        // before it and writes its new rows alone.
        for row in (0..rows).step_by(width) {
            let panel = row.min(rows - width)..row.min(rows - width) + width;
            level.run(Panel { lists: self, a, first, new: row - panel.start, rows: panel, out: out.as_view_mut() });
        }
    }
}

/// Whether all entries are 0 or 1.
fn is_binary(x: &[f32]) -> bool {
    x.iter().fold(true, |binary, &v| binary & ((v == 0.0) | (v == 1.0)))
}

/// Rows of a result that can be kept in registers while columns are added to them.
const WIDTHS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// The most that the registers of an instruction set hold twice.
fn widest(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => 64,
        _ => 32,
    }
}

/// `out += scale Σ_k value_k a_k` for some rows of all columns of `out`.
struct Panel<'a> {
    lists: &'a Lists,
    a: MatRef<'a>,
    first: usize,
    rows: Range<usize>,
    new: usize,
    out: MatMut<'a>,
}
impl Kernel for Panel<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        match self.rows.len() {
            64 => self.wide::<64>(),
            32 => self.wide::<32>(),
            16 => self.wide::<16>(),
            8 => self.wide::<8>(),
            4 => self.wide::<4>(),
            2 => self.wide::<2>(),
            _ => self.wide::<1>(),
        }
    }
}
impl Panel<'_> {
    #[inline(always)]
    fn wide<const N: usize>(mut self) {
        let (lists, a, stride) = (self.lists, span(&self.a), self.a.strides().1);
        let a = &a[self.rows.start.min(a.len())..];
        for j in 0..self.out.ncols() {
            let list = lists.starts[self.first + j]..lists.ends[self.first + j];
            if list.is_empty() {
                continue;
            }
            let index = &lists.index[list.clone()];
            let sum = if lists.ones {
                add_up::<N>(index, |k| chunk(a, k as usize * stride))
            } else {
                weigh_up::<N>(index, &lists.value[list], |k| chunk(a, k as usize * stride))
            };
            let out = &mut self.out.column_mut(j).data.into_slice_mut()[self.rows.clone()];
            for (o, s) in out[self.new..].iter_mut().zip(&sum[self.new..]) {
                *o += lists.scale * s;
            }
        }
    }
}
/// The sum of the columns `index`: two sums, of every other column, so that one addition need not wait for the last.
#[inline(always)]
fn add_up<'a, const N: usize>(index: &[u32], column: impl Fn(u32) -> &'a [f32; N]) -> [f32; N] {
    let (mut even, mut odd) = ([0f32; N], [0f32; N]);
    let pairs = index.chunks_exact(2);
    for &k in pairs.remainder() {
        let a = column(k);
        for i in 0..N {
            even[i] += a[i];
        }
    }
    for pair in pairs {
        let (a, b) = (column(pair[0]), column(pair[1]));
        for i in 0..N {
            even[i] += a[i];
            odd[i] += b[i];
        }
    }
    for i in 0..N {
        even[i] += odd[i];
    }
    even
}
/// The sum of the columns `index` times their values.
#[inline(always)]
fn weigh_up<'a, const N: usize>(index: &[u32], value: &[f32], column: impl Fn(u32) -> &'a [f32; N]) -> [f32; N] {
    let mut sum = [0f32; N];
    for (&k, &v) in index.iter().zip(value) {
        let a = column(k);
        for i in 0..N {
            sum[i] += v * a[i];
        }
    }
    sum
}
/// `N` values from `at` on.
#[inline(always)]
fn chunk<const N: usize>(a: &[f32], at: usize) -> &[f32; N] {
    match a.get(at..at + N).and_then(|a| a.first_chunk()) {
        Some(chunk) => chunk,
        None => panic!("a list names a column that is not there"),
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
