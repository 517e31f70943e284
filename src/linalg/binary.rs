//! `out += w x` by the route that suits `x`: lists of active entries where they are few, tables of partial sums where they
//! are many but of two values, and the dense product, their plain twin, for anything else.
//!
//! Lists and tables are exact: they differ from the dense product by the order of summation alone.

use super::bits::{Bits, Values, WORD};
use super::gemm::gemm;
use super::lists::Lists;
use super::panels::{HEIGHT, Panels};
use super::simd::Level;
use super::tables::{Patterns, tables_pay};
use crate::rng::GROUP;
use crate::{MatMut, MatRef};
use std::cell::Cell;
use std::ops::Range;

/// Bits take the route of lists below this share of ones (measured; see DESIGN.md): less where the columns that are added do
/// not stay in a near cache.
fn few_bits(entries: usize) -> f32 {
    if entries <= 1024 { 0.37 } else { 0.27 }
}
/// And numbers below this share of non-zeros.
const FEW_NUMBERS: f32 = 0.4;
/// Words of a piece of a list.
const PIECE: usize = 16;
/// The fewest rows of a product that are worth a task of their own, if a thread is free.
const ROWS: usize = 128;

thread_local! {
    /// Kept from call to call so that products allocate nothing. Taken while in use: a thread that waits may begin another
    /// product.
    static SCRATCH: Cell<Routed> = Cell::new(Routed::default());
    static ROWS_OF_W: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Working copies of a matrix for products with states: it and its transpose in panels.
#[derive(Clone, Debug, Default)]
pub struct Working {
    plain: Panels,
    transposed: Panels,
    symmetric: bool, // `plain` serves as both
}

impl Working {
    /// Copies of a matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { plain: Panels::zeros(rows, columns), transposed: Panels::zeros(columns, rows), symmetric: false }
    }
    /// Copies of `w`, made in parallel.
    pub fn copy_from(&mut self, w: MatRef<'_>) {
        self.symmetric = false;
        rayon::join(|| self.plain.copy_from(w), || self.transposed.transpose_from(w));
    }
    /// One copy of a `w` that equals its transpose, made in parallel: it serves as both.
    ///
    /// # Panics
    /// If `w` is not square; whether it is symmetric is the caller's word.
    pub fn copy_symmetric(&mut self, w: MatRef<'_>) {
        assert_eq!(w.nrows(), w.ncols(), "a symmetric matrix is square");
        (self.symmetric, self.transposed) = (true, Panels::default());
        self.plain.copy_from(w);
    }
    /// The matrix as a left factor.
    pub fn plain(&self) -> Factor<'_> {
        Factor { plain: &self.plain, transposed: self.other() }
    }
    /// Its transpose as a left factor.
    pub fn transposed(&self) -> Factor<'_> {
        Factor { plain: self.other(), transposed: &self.plain }
    }
    fn other(&self) -> &Panels {
        if self.symmetric { &self.plain } else { &self.transposed }
    }
}

/// The left factor of a product: `w` and its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    plain: &'a Panels,
    transposed: &'a Panels,
}

impl Factor<'_> {
    /// `out += w x`, for some rows of `w`.
    ///
    /// The route is chosen for each group of columns that share a random stream, never for all: otherwise the bits would
    /// depend on how the columns were cut. Threads that have nothing to do take some of the rows.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn add_to(&self, rows: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        assert!(rows.len() == out.nrows() && x.ncols() == out.ncols(), "shape of the product");
        assert_eq!(self.plain.shape().1, x.nrows(), "inner dimensions");
        let mut routed = SCRATCH.take();
        routed.sort(Level::best(), x);
        routed.add_by_rows(Level::best(), self, rows, x, out);
        SCRATCH.set(routed);
    }
    /// The dense product with some runs of columns. The engine wants rows that follow each other, so they are copied.
    fn add_dense(&self, rows: Range<usize>, runs: &[Range<usize>], x: MatRef<'_>, mut out: MatMut<'_>) {
        if runs.is_empty() || rows.is_empty() {
            return;
        }
        let (height, width) = (rows.len(), self.plain.shape().1);
        let mut copy = ROWS_OF_W.take();
        copy.resize(copy.len().max(height * width), 0.0);
        for (p, part) in Panels::touched(rows.clone()) {
            let at = p * HEIGHT + part.start - rows.start;
            for (to, from) in copy.chunks_exact_mut(height).zip(self.plain.panel(p).chunks_exact(HEIGHT)) {
                to[at..at + part.len()].copy_from_slice(&from[part.clone()]);
            }
        }
        let w = MatRef::from_slice(&copy[..height * width], height, width);
        for run in runs {
            gemm(1.0, w, x.columns_range(run.clone()), 1.0, out.columns_range_mut(run.clone()));
        }
        ROWS_OF_W.set(copy);
    }
}

/// The columns of a factor, sorted by route.
#[derive(Debug, Default)]
struct Routed {
    bits: Bits,
    lists: Lists,
    listed: Vec<usize>,
    zero_one: Patterns,
    zeros_ones: Vec<usize>,
    spin: Patterns,
    spins: Vec<usize>,
    dense: Vec<Range<usize>>,
}

/// Which way a group of columns takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Lists,
    ZeroOne,
    Spin,
    Dense,
}

impl Routed {
    /// Looks at all columns and notes what their routes need.
    fn sort(&mut self, level: Level, x: MatRef<'_>) {
        let (entries, n) = x.shape();
        self.bits.of(level, x);
        self.lists.clear(entries.div_ceil(WORD), PIECE);
        self.zero_one.clear(entries, n, 0.0);
        self.spin.clear(entries, n, -1.0);
        for columns in [&mut self.listed, &mut self.zeros_ones, &mut self.spins] {
            columns.clear();
        }
        self.dense.clear();
        for from in (0..n).step_by(GROUP) {
            let group = from..(from + GROUP).min(n);
            match self.route(level, entries, group.clone()) {
                Route::Lists => group.for_each(|j| self.list(level, x, j)),
                Route::ZeroOne => group.for_each(|j| {
                    self.zero_one.push(self.bits.column(j));
                    self.zeros_ones.push(j);
                }),
                Route::Spin => group.for_each(|j| {
                    self.spin.push(self.bits.column(j));
                    self.spins.push(j);
                }),
                Route::Dense => match self.dense.last_mut().filter(|run| run.end == from) {
                    Some(run) => run.end = group.end,
                    None => self.dense.push(group),
                },
            }
        }
    }
    fn route(&self, level: Level, entries: usize, group: Range<usize>) -> Route {
        let count: usize = group.clone().map(|j| self.bits.count(j)).sum();
        let share = count as f32 / (entries * group.len()) as f32;
        let all = |is: &dyn Fn(usize) -> bool| group.clone().all(is);
        let binary = |j: usize| self.bits.values(j) == Values::Binary;
        let spin = |j: usize| self.bits.values(j) == Values::Spin || binary(j) && self.bits.count(j) == entries;
        match () {
            () if all(&binary) && share < few_bits(entries) => Route::Lists,
            () if all(&binary) && tables_pay(level) => Route::ZeroOne,
            () if all(&spin) && tables_pay(level) => Route::Spin,
            () if all(&|j| self.bits.values(j) != Values::Spin) && share < FEW_NUMBERS => Route::Lists,
            () => Route::Dense,
        }
    }
    fn list(&mut self, level: Level, x: MatRef<'_>, j: usize) {
        self.listed.push(j);
        match self.bits.values(j) {
            Values::Binary => self.lists.push(level, self.bits.column(j)),
            _ => self.lists.push_weighted(level, self.bits.column(j), |i| x[(i, j)]),
        }
    }
    /// All routes, in parallel over rows if a thread is free: no bit depends on it.
    fn add_by_rows(&self, level: Level, w: &Factor<'_>, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        if rows.len() >= 2 * ROWS {
            let middle = rows.start + rows.len().div_ceil(2 * ROWS) * ROWS;
            let (upper, lower) = out.rows_range_pair_mut(..middle - rows.start, middle - rows.start..);
            let (above, below) = (rows.start..middle, middle..rows.end);
            rayon::join(|| self.add_by_rows(level, w, above, x, upper), || self.add_by_rows(level, w, below, x, lower));
            return;
        }
        w.add_dense(rows.clone(), &self.dense, x, out.as_view_mut());
        self.lists.add_to(level, (w.plain, rows.clone()), &self.listed, out.as_view_mut());
        self.zero_one.add_to(level, (w.transposed, rows.clone()), &self.zeros_ones, out.as_view_mut());
        self.spin.add_to(level, (w.transposed, rows), &self.spins, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::linalg::probes::{ODD, agree, dense, product, sparse};

    #[test]
    fn both_routes_match_the_plain_product() {
        let shapes = [(500, 784, 100), (64, 30, 1), (65, 31, 2), (1, 1, 3), (3, 200, 5), (85, 63, 65), (0, 9, 4)];
        for (m, k, n) in shapes.into_iter().chain(ODD.map(|n| (37, 66, n))) {
            for (density, binary) in [(0.0, true), (0.13, true), (0.3, false), (0.9, true), (0.9, false)] {
                let (w, x) = (dense(m, k), sparse(k, n, density, binary));
                let (mut working, turned) = (Working::default(), w.transpose());
                working.copy_from(w.as_view());
                let expected = product(&w, &x, |_| 1.0).add_scalar(0.25);
                for rows in [0..m, m / 3..m] {
                    let mut out = Mat::from_element(rows.len(), n, 0.25);
                    working.plain().add_to(rows.clone(), x.as_view(), out.as_view_mut());
                    agree(&out, &expected.rows_range(rows.clone()).into_owned());
                    let mut other = Working::default();
                    other.copy_from(turned.as_view());
                    let mut out = Mat::from_element(rows.len(), n, 0.25);
                    other.transposed().add_to(rows.clone(), x.as_view(), out.as_view_mut());
                    agree(&out, &expected.rows_range(rows).into_owned());
                }
            }
        }
    }
    #[test]
    fn one_copy_of_a_symmetric_matrix_serves_as_both() {
        for n in [1, 31, 65, 130] {
            let half = dense(n, n);
            let w = &half + half.transpose();
            let (mut one, mut two) = (Working::default(), Working::zeros(n, n));
            one.copy_from(dense(3, 5).as_view()); // what lay there before
            one.copy_symmetric(w.as_view());
            two.copy_from(w.as_view());
            let spins = Mat::from_fn(n, 6, |i, j| if (i * i + j) % 3 == 0 { 1.0 } else { -1.0 });
            for x in [spins, sparse(n, 6, 0.2, true), sparse(n, 6, 0.9, false)] {
                for (a, b) in [(one.plain(), two.plain()), (one.transposed(), two.transposed())] {
                    let (mut left, mut right) = (Mat::zeros(n, 6), Mat::zeros(n, 6));
                    a.add_to(0..n, x.as_view(), left.as_view_mut());
                    b.add_to(0..n, x.as_view(), right.as_view_mut());
                    assert_eq!(left, right, "{n} units");
                }
            }
        }
    }
    #[test]
    fn bits_do_not_depend_on_the_cut() {
        let w = dense(90, 50);
        let mut x = sparse(50, 40, 0.1, true);
        x.columns_mut(8, 8).fill(1.0); // a dense group between sparse ones
        let mut working = Working::default();
        working.copy_from(w.as_view());
        let factor = working.plain();
        let mut whole = Mat::zeros(90, 40);
        factor.add_to(0..90, x.as_view(), whole.as_view_mut());
        for width in [8, 16, 24] {
            let mut cut = Mat::zeros(90, 40);
            for from in (0..40).step_by(width) {
                let n = width.min(40 - from);
                factor.add_to(0..90, x.columns(from, n), cut.columns_mut(from, n));
            }
            assert_eq!(cut, whole, "width {width}");
        }
    }
}
