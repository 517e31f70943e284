//! Sums of columns in double precision: products of a matrix with spins that are right to the last places of an `f64`, whatever
//! the order, and what changes in them when one spin turns. Columns of `f32` whose sizes differ by less than some 2²⁰ add up
//! without any error. Products of two `f32` are exact in an `f64`, so that one instruction for a product and a sum, where the machine has
//! it, gives the bits of two.

use super::col;
use super::simd::{Kernel, Level};
use crate::MatRef;
use nalgebra::{DMatrixViewMut, Dyn, U1};

/// Mutably borrowed columns in double precision.
pub type WideMut<'a> = DMatrixViewMut<'a, f64, U1, Dyn>;

/// Rows that are added up at a time: those of some states stay in the nearest cache.
const TILE: usize = 256;
/// The fewest rows that are worth a task of their own, if a thread is free.
const ROWS: usize = 256;
/// Columns of the matrix that are added at a time.
const COLUMNS: usize = 8;
/// Rows that are added up in a register.
const LANES: usize = 8;

/// `out += w x` in double precision, every sum in the order of the columns of `w`, in parallel over rows.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_product(w: MatRef<'_>, x: MatRef<'_>, out: WideMut<'_>) {
    assert_eq!(w.ncols(), x.nrows(), "inner dimensions");
    assert_eq!((w.nrows(), x.ncols()), out.shape(), "shape of the product");
    by_rows(w, x, out, Level::best());
}
fn by_rows(w: MatRef<'_>, x: MatRef<'_>, mut out: WideMut<'_>, level: Level) {
    let rows = w.nrows();
    if rows < 2 * ROWS {
        return match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => level.run(Product::<true> { w, x, out }),
            _ => level.run(Product::<false> { w, x, out }),
        };
    }
    let middle = rows.div_ceil(2 * ROWS) * ROWS;
    let (above, below) = out.rows_range_pair_mut(..middle, middle..);
    let (upper, lower) = (w.rows_range(..middle), w.rows_range(middle..));
    rayon::join(|| by_rows(upper, x, above, level), || by_rows(lower, x, below, level));
}

/// With `FUSED`, only where that is one instruction.
struct Product<'a, const FUSED: bool> {
    w: MatRef<'a>,
    x: MatRef<'a>,
    out: WideMut<'a>,
}
impl<const FUSED: bool> Kernel for Product<'_, FUSED> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let (rows, states) = self.out.shape();
        for first in (0..rows).step_by(TILE) {
            let tile = first..rows.min(first + TILE);
            for from in (0..self.w.ncols()).step_by(COLUMNS) {
                if from + COLUMNS > self.w.ncols() {
                    (0..states).for_each(|j| self.add_plain(tile.clone(), from..self.w.ncols(), j));
                    continue;
                }
                let mut j = 0;
                while j < states {
                    match states - j {
                        1 => self.add_block::<1>(tile.clone(), from, j),
                        2 | 3 => self.add_block::<2>(tile.clone(), from, j),
                        _ => self.add_block::<4>(tile.clone(), from, j),
                    }
                    j += [1, 1, 2, 2, 4][(states - j).min(4)];
                }
            }
        }
    }
}
impl<const FUSED: bool> Product<'_, FUSED> {
    /// Some columns of `w`, one after the other, to one state.
    #[inline(always)]
    fn add_plain(&mut self, tile: std::ops::Range<usize>, columns: std::ops::Range<usize>, j: usize) {
        for k in columns {
            let x = f64::from(self.x[(k, j)]);
            let out = &mut self.out.column_mut(j).data.into_slice_mut()[tile.clone()];
            for (o, w) in out.iter_mut().zip(&col(&self.w, k)[tile.clone()]) {
                *o = add_one::<FUSED>(*o, x, *w);
            }
        }
    }
    /// The same sums in the same order: eight columns to some states, some rows at a time in registers. No closures, which would be
    /// compiled without the instructions.
    #[inline(always)]
    fn add_block<const STATES: usize>(&mut self, tile: std::ops::Range<usize>, k: usize, first: usize) {
        let whole = tile.len() / LANES * LANES;
        for j in first..first + STATES {
            self.add_plain(tile.start + whole..tile.end, k..k + COLUMNS, j);
        }
        let mut x = [[0.0; COLUMNS]; STATES];
        for (c, x) in x.iter_mut().enumerate() {
            for (l, x) in x.iter_mut().enumerate() {
                *x = f64::from(self.x[(k + l, first + c)]);
            }
        }
        let mut w: [&[[f32; LANES]]; COLUMNS] = [&[]; COLUMNS];
        for (l, w) in w.iter_mut().enumerate() {
            *w = &col(&self.w, k + l)[tile.clone()].as_chunks().0[..whole / LANES];
        }
        let mut columns = self.out.columns_range_mut(first..first + STATES);
        let mut out: [&mut [[f64; LANES]]; STATES] = std::array::from_fn(|_| Default::default());
        for (out, column) in out.iter_mut().zip(columns.column_iter_mut()) {
            *out = &mut column.data.into_slice_mut()[tile.clone()].as_chunks_mut().0[..whole / LANES];
        }
        for r in 0..whole / LANES {
            let mut sums = [[0.0; LANES]; STATES];
            for c in 0..STATES {
                sums[c] = out[c][r];
            }
            for l in 0..COLUMNS {
                for c in 0..STATES {
                    add::<FUSED>(&mut sums[c], x[c][l], &w[l][r]);
                }
            }
            for c in 0..STATES {
                out[c][r] = sums[c];
            }
        }
    }
}
#[inline(always)]
fn add<const FUSED: bool>(sums: &mut [f64; LANES], x: f64, w: &[f32; LANES]) {
    for l in 0..LANES {
        sums[l] = add_one::<FUSED>(sums[l], x, w[l]);
    }
}
#[inline(always)]
fn add_one<const FUSED: bool>(sum: f64, x: f64, w: f32) -> f64 {
    if FUSED { x.mul_add(f64::from(w), sum) } else { sum + x * f64::from(w) }
}

/// `y += alpha x`, in double precision.
///
/// # Panics
/// If the lengths differ.
pub fn axpy_wide(alpha: f64, x: &[f32], y: &mut [f64]) {
    assert_eq!(x.len(), y.len(), "sum of different lengths");
    match Level::best() {
        #[cfg(target_arch = "x86_64")]
        level @ Level::Avx512 => level.run(Axpy::<true> { alpha, x, y }),
        level => level.run(Axpy::<false> { alpha, x, y }),
    }
}
struct Axpy<'a, const FUSED: bool> {
    alpha: f64,
    x: &'a [f32],
    y: &'a mut [f64],
}
impl<const FUSED: bool> Kernel for Axpy<'_, FUSED> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = add_one::<FUSED>(*y, self.alpha, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use nalgebra::DMatrix;

    #[test]
    fn products_have_the_bits_of_the_plain_sums_on_every_level() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (255, 9, 4), (700, 33, 10), (512, 64, 7), (1300, 6, 13), (0, 3, 2)] {
            let w = Mat::from_fn(m, k, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08);
            let x = Mat::from_fn(k, n, |i, j| if (i * i + j * 17) % 7 < 3 { 1.0 } else { -1.0 });
            let mut plain = DMatrix::from_element(m, n, 0.25);
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                (0..k).for_each(|l| plain[(i, j)] += f64::from(x[(l, j)]) * f64::from(w[(i, l)]));
            }
            for level in Level::available() {
                let mut out = DMatrix::from_element(m, n, 0.25);
                by_rows(w.as_view(), x.as_view(), out.columns_mut(0, n), level);
                assert_eq!(out, plain, "{level:?}, {m} × {k} × {n}");
            }
            let mut out = DMatrix::from_element(m, n, 0.25);
            for (j, mut out) in out.column_iter_mut().enumerate() {
                (0..k).for_each(|l| axpy_wide(f64::from(x[(l, j)]), col(&w.as_view(), l), out.as_mut_slice()));
            }
            assert_eq!(out, plain);
        }
    }
}
