//! Element-wise passes over parameters, in parallel over chunks of constant size: the bits do not depend on threads.

use crate::MatRef;
use rayon::prelude::*;

/// Values handled by one task.
const CHUNK: usize = 1 << 14;
/// Side of the blocks of a transposition: the values of one cache line.
const BLOCK: usize = 16;
/// Blocks, one above the other, transposed by one task.
const BLOCKS: usize = 8;

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
/// The place of the first difference `a - b` that is infinite or not a number.
///
/// # Panics
/// If the lengths differ.
pub fn first_non_finite_difference(a: &[f32], b: &[f32]) -> Option<usize> {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let bad = |(a, b): (&f32, &f32)| !(a - b).is_finite();
    // All of a chunk, without a branch, so that it vectorises.
    let some = |(a, b): (&[f32], &[f32])| a.iter().zip(b).fold(false, |any, pair| any | bad(pair));
    let any = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).any(some);
    if any { a.iter().zip(b).position(bad) } else { None }
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
/// `out = aᵀ`, the columns of `out` being `stride` apart, in parallel.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn transpose_into(a: MatRef<'_>, out: &mut [f32], stride: usize) {
    let (rows, columns) = a.shape();
    assert!(stride >= columns && out.len() == stride * rows, "shape of the transpose");
    if rows * columns == 0 {
        return;
    }
    out.par_chunks_mut(stride * BLOCK * BLOCKS).enumerate().for_each(|(s, strip)| {
        // Long pieces of sixteen columns are read, and whole cache lines written, each once.
        for left in (0..columns).step_by(BLOCK) {
            for (k, part) in strip.chunks_mut(stride * BLOCK).enumerate() {
                transpose_block(a, (s * BLOCKS + k) * BLOCK, left, part, stride);
            }
        }
    });
}
/// The part of a transpose that comes from rows `top..` and columns `left..` of `a`, at most a block of each.
fn transpose_block(a: MatRef<'_>, top: usize, left: usize, out: &mut [f32], stride: usize) {
    let (height, width) = (out.len() / stride, BLOCK.min(a.ncols() - left));
    let mut block = [[0f32; BLOCK]; BLOCK];
    for (i, column) in block.iter_mut().enumerate().take(width) {
        column[..height].copy_from_slice(&super::col(&a, left + i)[top..top + height]);
    }
    for (j, row) in out.chunks_mut(stride).enumerate().take(BLOCK) {
        // A whole row of a block is written at once, its part of the cache line.
        let across: [f32; BLOCK] = std::array::from_fn(|i| block[i][j]);
        row[left..left + width].copy_from_slice(&across[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_not_finite() {
        let (mut a, mut b) = (vec![1.0; 40_000], vec![2.0; 40_000]);
        assert_eq!(first_non_finite_difference(&a, &b), None);
        (a[39_999], b[39_998]) = (f32::NAN, f32::INFINITY);
        assert_eq!(first_non_finite_difference(&a, &b), Some(39_998));
        (a[33_333], b[33_333]) = (f32::MAX, f32::MIN);
        assert_eq!(first_non_finite_difference(&a, &b), Some(33_333));
    }
}
