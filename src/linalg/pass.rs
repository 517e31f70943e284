//! Element-wise passes over parameters, in parallel over chunks of constant size: the bits do not depend on threads.

use crate::MatRef;
use rayon::prelude::*;

/// Values handled by one task.
const CHUNK: usize = 1 << 14;

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
/// `b ← a - scale b`, and the place of the first entry that is then infinite or not a number.
///
/// # Panics
/// If the lengths differ.
pub fn step_from(a: &[f32], scale: f32, b: &mut [f32]) -> Option<usize> {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let step = |(a, b): (&[f32], &mut [f32])| {
        // All of a chunk, without a branch, so that it vectorises.
        let finite = a.iter().zip(&mut *b).fold(true, |finite, (a, b)| {
            *b = a - scale * *b;
            finite & b.is_finite()
        });
        !finite
    };
    let any = a.par_chunks(CHUNK).zip(b.par_chunks_mut(CHUNK)).map(step).reduce(|| false, |a, b| a | b);
    if any { b.iter().position(|b| !b.is_finite()) } else { None }
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
/// The first of `0..n` that `f` is true of, looked for in parallel.
pub fn first(n: usize, f: impl Fn(usize) -> bool + Sync) -> Option<usize> {
    (0..n).into_par_iter().with_min_len(CHUNK / 256).find_first(|&k| f(k))
}
/// `f(0), …, f(n - 1)` in parallel, the results in this order.
pub fn in_order<T: Send>(n: u64, f: impl Fn(u64) -> T + Sync + Send) -> Vec<T> {
    (0..n).into_par_iter().map(f).collect()
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_not_finite() {
        let (mut a, mut b) = (vec![1.0; 40_000], vec![2.0; 40_000]);
        let find = |a: &[f32], b: &[f32]| {
            let mut stepped = b.to_vec();
            let found = step_from(a, 0.5, &mut stepped);
            assert!(stepped.iter().zip(a.iter().zip(b)).all(|(s, (a, b))| (a - 0.5 * b).to_bits() == s.to_bits()));
            found
        };
        assert_eq!(find(&a, &b), None);
        (a[39_999], b[39_998]) = (f32::NAN, f32::INFINITY);
        assert_eq!(find(&a, &b), Some(39_998));
        (a[33_333], b[33_333]) = (f32::MAX, f32::MIN);
        assert_eq!(find(&a, &b), Some(33_333));
    }
}
