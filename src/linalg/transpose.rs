//! The transpose of a matrix, by blocks that are turned in registers.
#![allow(unsafe_code)]

use super::col;
use super::simd::Level;
use crate::MatRef;
use rayon::prelude::*;

/// Side of a block: the values of one cache line.
const BLOCK: usize = 16;
/// Blocks, one above the other, transposed by one task.
const BLOCKS: usize = 8;

/// `out = aᵀ`, the columns of `out` being `stride` apart, in parallel.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn transpose_into(a: MatRef<'_>, out: &mut [f32], stride: usize) {
    transpose_into_at(Level::best(), a, out, stride);
}
fn transpose_into_at(level: Level, a: MatRef<'_>, out: &mut [f32], stride: usize) {
    let (rows, columns) = a.shape();
    assert!(stride >= columns && out.len() == stride * rows, "shape of the transpose");
    if rows * columns == 0 {
        return;
    }
    out.par_chunks_mut(stride * BLOCK * BLOCKS).enumerate().for_each(|(s, strip)| {
        // Long pieces of sixteen columns are read, and whole cache lines written, each once.
        for left in (0..columns).step_by(BLOCK) {
            for (k, part) in strip.chunks_mut(stride * BLOCK).enumerate() {
                block(level, a, (s * BLOCKS + k) * BLOCK, left, part, stride);
            }
        }
    });
}
/// The part of a transpose that comes from rows `top..` and columns `left..` of `a`, at most a block of each.
#[inline]
fn block(level: Level, a: MatRef<'_>, top: usize, left: usize, out: &mut [f32], stride: usize) {
    let (height, width) = (out.len() / stride, BLOCK.min(a.ncols() - left));
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if height == BLOCK && width == BLOCK && is_x86_feature_detected!("avx512f") => {
            let corner = &mut out[left..left + (BLOCK - 1) * stride + BLOCK];
            // SAFETY: the feature was detected; the block lies within `a`, as `col` and `rows` check, and within `out`.
            unsafe { turn(a.view((top, left), (BLOCK, BLOCK)), corner.as_mut_ptr(), stride) }
        }
        _ => plain(a, (top, left), (height, width), out, stride),
    }
}
fn plain(a: MatRef<'_>, (top, left): (usize, usize), (height, width): (usize, usize), out: &mut [f32], stride: usize) {
    let mut block = [[0f32; BLOCK]; BLOCK];
    for (i, column) in block.iter_mut().enumerate().take(width) {
        column[..height].copy_from_slice(&col(&a, left + i)[top..top + height]);
    }
    for (j, row) in out.chunks_mut(stride).enumerate().take(BLOCK) {
        // A whole row of a block is written at once, its part of the cache line.
        let across: [f32; BLOCK] = std::array::from_fn(|i| block[i][j]);
        row[left..left + width].copy_from_slice(&across[..width]);
    }
}
/// A whole block: pairs of values, then pairs of pairs, then quarters of registers change places. No closures: they would
/// be compiled without the feature.
///
/// # Safety
/// `a` must be a block, and there must be room for one at `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn turn(a: MatRef<'_>, out: *mut f32, stride: usize) {
    use std::arch::x86_64::*;
    let (from, apart) = (a.as_ptr(), a.strides().1);
    let mut c = [_mm512_setzero_ps(); BLOCK];
    for k in 0..BLOCK {
        // SAFETY: column `k` of `a` has sixteen values.
        c[k] = unsafe { _mm512_loadu_ps(from.add(k * apart)) };
    }
    let mut pairs = [_mm512_setzero_pd(); BLOCK];
    for k in 0..8 {
        pairs[2 * k] = _mm512_castps_pd(_mm512_unpacklo_ps(c[2 * k], c[2 * k + 1]));
        pairs[2 * k + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(c[2 * k], c[2 * k + 1]));
    }
    // fours[4k + i] holds, quarter by quarter q, the values 4k.. of row 4q + i.
    let mut fours = c;
    for k in 0..4 {
        for h in 0..2 {
            let (low, high) = (pairs[4 * k + h], pairs[4 * k + 2 + h]);
            fours[4 * k + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            fours[4 * k + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
    let mut rows = c;
    for i in 0..4 {
        let [a, b, c, d] = [fours[i], fours[4 + i], fours[8 + i], fours[12 + i]];
        let (front, back) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d));
        rows[i] = _mm512_shuffle_f32x4::<0x88>(front, back);
        rows[4 + i] = _mm512_shuffle_f32x4::<0xdd>(front, back);
        let (front, back) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d));
        rows[8 + i] = _mm512_shuffle_f32x4::<0x88>(front, back);
        rows[12 + i] = _mm512_shuffle_f32x4::<0xdd>(front, back);
    }
    for k in 0..BLOCK {
        // SAFETY: there is room for row `k`.
        unsafe { _mm512_storeu_ps(out.add(k * stride), rows[k]) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    #[test]
    fn transposes_of_any_shape_on_every_level() {
        for (rows, columns) in [(1, 1), (16, 16), (17, 33), (160, 40), (31, 129), (0, 3), (500, 70)] {
            let a = Mat::from_fn(rows, columns, |i, j| (i * 1000 + j) as f32);
            let stride = columns + 3;
            for level in Level::available() {
                let mut out = vec![-1.0; stride * rows];
                transpose_into_at(level, a.as_view(), &mut out, stride);
                for (i, row) in out.chunks(stride).enumerate() {
                    assert!(row[..columns].iter().eq(a.row(i).iter()), "{level:?}, {rows} × {columns}");
                    assert_eq!(row[columns..], [-1.0; 3]);
                }
            }
        }
    }
}
