//! Element-wise passes over parameters, in parallel over chunks of constant size: the bits do not depend on threads.

use crate::{Mat, MatRef};
use rayon::prelude::*;

/// Values handled by one task.
const CHUNK: usize = 1 << 14;
/// Side of the square blocks of a transposition, so that reads and writes both stay within a few cache lines.
const BLOCK: usize = 16;

/// `f` of every value.
pub fn for_each(a: &mut [f32], f: impl Fn(&mut f32) + Sync) {
    a.par_chunks_mut(CHUNK).for_each(|a| a.iter_mut().for_each(&f));
}
/// `f(a, b)` over pairs of chunks of two vectors of one length.
///
/// # Panics
/// If the lengths differ.
pub fn zip2(a: &mut [f32], b: &mut [f32], f: impl Fn(&mut [f32], &mut [f32]) + Sync) {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.par_chunks_mut(CHUNK).zip(b.par_chunks_mut(CHUNK)).for_each(|(a, b)| f(a, b));
}
/// `f(a, b)` over pairs of chunks, the second read only.
///
/// # Panics
/// If the lengths differ.
pub fn zip_ref(a: &mut [f32], b: &[f32], f: impl Fn(&mut [f32], &[f32]) + Sync) {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    a.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(a, b)| f(a, b));
}
/// The sum of `f` over chunks, in the order of the chunks.
pub fn sum(a: &[f32], f: impl Fn(&[f32]) -> f64 + Sync + Send) -> f64 {
    a.par_chunks(CHUNK).map(f).collect::<Vec<f64>>().into_iter().sum()
}
/// The place of the first value that is infinite or not a number.
pub fn first_non_finite(a: &[f32]) -> Option<usize> {
    // One pass that vectorises over all: 0·x is NaN just where x is not finite.
    let clean = |chunk: &[f32]| chunk.iter().fold(0u32, |bad, x| bad | !x.is_finite() as u32) == 0;
    if a.par_chunks(CHUNK).all(clean) { None } else { a.iter().position(|x| !x.is_finite()) }
}
/// `f` of every `width` columns and their places in `out`, in parallel.
///
/// # Panics
/// If there is not one place a column.
pub fn by_columns<T: Send>(x: MatRef<'_>, width: usize, out: &mut [T], f: impl Fn(MatRef<'_>, &mut [T]) + Sync) {
    assert_eq!(x.ncols(), out.len(), "a place for every column");
    let pieces = out.par_chunks_mut(width).enumerate();
    pieces.for_each(|(k, out)| f(x.columns(k * width, out.len()), out));
}
/// `f(0), …, f(n - 1)` in parallel, the results in this order.
pub fn in_order<T: Send>(n: u64, f: impl Fn(u64) -> T + Sync + Send) -> Vec<T> {
    (0..n).into_par_iter().map(f).collect()
}
/// `out = aᵀ`
///
/// # Panics
/// If the shapes do not fit.
pub fn transpose_to(a: MatRef<'_>, out: &mut Mat) {
    let (rows, columns) = a.shape();
    assert_eq!((columns, rows), out.shape(), "shape of the transpose");
    if out.is_empty() {
        return;
    }
    out.as_mut_slice().par_chunks_mut(columns * BLOCK).enumerate().for_each(|(s, strip)| {
        let width = strip.len() / columns;
        for from in (0..columns).step_by(BLOCK) {
            for i in from..(from + BLOCK).min(columns) {
                let part = &super::col(&a, i)[s * BLOCK..][..width];
                part.iter().enumerate().for_each(|(j, &v)| strip[j * columns + i] = v);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes() {
        for (r, c) in [(1, 1), (3, 40), (40, 3), (17, 33), (0, 4), (4, 0)] {
            let a = Mat::from_fn(r, c, |i, j| (i * 100 + j) as f32);
            let mut t = Mat::zeros(c, r);
            transpose_to(a.as_view(), &mut t);
            assert_eq!(t, a.transpose());
        }
    }
    #[test]
    fn finds_what_is_not_finite() {
        let mut a = vec![1.0; 40_000];
        assert_eq!(first_non_finite(&a), None);
        (a[39_999], a[33_333]) = (f32::NAN, f32::INFINITY);
        assert_eq!(first_non_finite(&a), Some(33_333));
    }
}
