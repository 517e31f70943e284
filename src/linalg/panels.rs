//! A matrix cut into panels of some rows, the columns of a panel one after the other: what is worked on at a time lies
//! together, on few pages of memory, and every column begins on a cache line.
#![allow(unsafe_code)]

use super::col;
use super::simd::Level;
use crate::MatRef;
use rayon::prelude::*;
use std::ops::Range;

/// Values of a cache line.
pub(super) const LINE: usize = 16;

/// Rows of a panel: so few that those of some hundred columns stay in the nearest cache (measured; see DESIGN.md).
pub(super) const HEIGHT: usize = 32;

/// Panels of [`HEIGHT`] rows; the last is filled up with zeros.
#[derive(Debug, Default)]
pub(super) struct Panels {
    data: Vec<f32>,
    start: usize,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// A matrix of zeros.
    pub(super) fn zeros(rows: usize, columns: usize) -> Self {
        let mut panels = Self::default();
        panels.reshape(rows, columns);
        panels
    }
    /// Becomes a matrix of this shape, contents unknown, in the same memory where that is large enough.
    fn reshape(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        let needed = self.count() * HEIGHT * columns + LINE;
        if self.data.len() < needed {
            self.data = vec![0.0; needed];
            self.start = self.data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        }
    }
    /// Rows and columns.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }
    /// How many panels there are.
    pub(super) fn count(&self) -> usize {
        self.rows.div_ceil(HEIGHT)
    }
    /// Panel `p`: its rows, column by column.
    pub(super) fn panel(&self, p: usize) -> &[f32] {
        &self.data[self.start + p * HEIGHT * self.columns..][..HEIGHT * self.columns]
    }
    /// The panels that `rows` touch, with the part of each.
    pub(super) fn touched(rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let within = rows.clone();
        let part = move |p: usize| {
            (p, within.start.max(p * HEIGHT) - p * HEIGHT..within.end.min((p + 1) * HEIGHT) - p * HEIGHT)
        };
        (rows.start / HEIGHT..rows.end.div_ceil(HEIGHT)).map(part).filter(|(_, part)| !part.is_empty())
    }
    fn panels_mut(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [f32])> {
        let end = self.start + self.count() * HEIGHT * self.columns;
        self.data[self.start..end].par_chunks_mut((HEIGHT * self.columns).max(1)).enumerate()
    }
    /// Writes every column of every panel, in parallel: `f(rows, column, to)`, where `to` is as long as `rows`.
    pub(super) fn fill_with(
        &mut self,
        rows: usize,
        columns: usize,
        f: impl Fn(Range<usize>, usize, &mut [f32]) + Sync,
    ) {
        self.reshape(rows, columns);
        self.panels_mut().for_each(|(p, panel)| {
            let rows = p * HEIGHT..rows.min((p + 1) * HEIGHT);
            for (k, column) in panel.chunks_exact_mut(HEIGHT).enumerate() {
                let (there, beyond) = column.split_at_mut(rows.len());
                f(rows.clone(), k, there);
                beyond.fill(0.0);
            }
        });
    }
    /// Becomes a copy of `m`, in parallel.
    pub(super) fn copy_from(&mut self, m: MatRef<'_>) {
        self.fill_with(m.nrows(), m.ncols(), |rows, k, to| {
            let from = &col(&m, k)[rows];
            match (from.first_chunk::<HEIGHT>(), to.first_chunk_mut::<HEIGHT>()) {
                (Some(from), Some(to)) => *to = *from, // without a call
                _ => to.copy_from_slice(from),
            }
        });
    }
    /// Becomes `mᵀ`, in parallel.
    pub(super) fn transpose_from(&mut self, m: MatRef<'_>) {
        self.transpose_from_at(Level::best(), m);
    }
    fn transpose_from_at(&mut self, level: Level, m: MatRef<'_>) {
        let (columns, rows) = m.shape();
        self.reshape(rows, columns);
        self.panels_mut().for_each(|(p, panel)| {
            for (k, part) in panel.chunks_mut(HEIGHT * LINE).enumerate() {
                for line in (0..HEIGHT).step_by(LINE) {
                    block(level, m, (k * LINE, p * HEIGHT + line), &mut part[line..]);
                }
            }
        });
    }
    /// The matrix as one of the library's: for tests.
    #[cfg(test)]
    fn to_mat(&self) -> crate::Mat {
        crate::Mat::from_fn(self.rows, self.columns, |i, k| self.panel(i / HEIGHT)[k * HEIGHT + i % HEIGHT])
    }
}

impl Clone for Panels {
    /// Alignment is a matter of the memory, so that a copy has to find its own.
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.fill_with(self.rows, self.columns, |rows, k, to| {
            to.copy_from_slice(&self.panel(rows.start / HEIGHT)[k * HEIGHT..][..rows.len()]);
        });
        copy
    }
}

/// The transpose of at most sixteen rows and columns of `m` from `top` and `left` on; rows of `out` are `HEIGHT` apart, and what
/// is beyond `m` is zero.
#[inline]
fn block(level: Level, m: MatRef<'_>, (top, left): (usize, usize), out: &mut [f32]) {
    let height = LINE.min(m.nrows() - top);
    let width = LINE.min(m.ncols().saturating_sub(left));
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if height == LINE && width == LINE && is_x86_feature_detected!("avx512f") => {
            let corner = &mut out[..(LINE - 1) * HEIGHT + LINE];
            // SAFETY: the feature was detected; the block lies within `m`, as its view checks, and within `out`.
            unsafe { turn(m.view((top, left), (LINE, LINE)), corner.as_mut_ptr(), HEIGHT) }
        }
        _ => {
            for (j, row) in out.chunks_mut(HEIGHT).enumerate().take(height) {
                for (i, value) in row[..LINE].iter_mut().enumerate() {
                    *value = if i < width { m[(top + j, left + i)] } else { 0.0 };
                }
            }
        }
    }
}
/// A whole block: pairs of values, then pairs of pairs, then quarters of registers change places. No closures: they would
/// be compiled without the feature.
///
/// # Safety
/// `a` must be a block, and there must be room for one at `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(clippy::needless_range_loop, reason = "registers are named by number")]
unsafe fn turn(a: MatRef<'_>, out: *mut f32, stride: usize) {
    use std::arch::x86_64::*;
    let (from, apart) = (a.as_ptr(), a.strides().1);
    let mut c = [_mm512_setzero_ps(); LINE];
    for k in 0..LINE {
        // SAFETY: column `k` of `a` has sixteen values.
        c[k] = unsafe { _mm512_loadu_ps(from.add(k * apart)) };
    }
    let mut pairs = [_mm512_setzero_pd(); LINE];
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
    for k in 0..LINE {
        // SAFETY: there is room for row `k`.
        unsafe { _mm512_storeu_ps(out.add(k * stride), rows[k]) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    #[test]
    fn contents_survive_and_columns_begin_on_cache_lines() {
        for (r, c) in [(1, 1), (16, 3), (64, 64), (65, 17), (512, 2), (0, 4), (40, 0), (500, 70), (31, 129)] {
            let a = Mat::from_fn(r, c, |i, j| (i * 1000 + j) as f32);
            let mut p = Panels::zeros(0, 0);
            p.fill_with(r + 64, c, |_, _, to| to.fill(9.0)); // what lay there before
            p.copy_from(a.as_view());
            assert_eq!((p.to_mat(), p.clone().to_mat(), p.shape()), (a.clone(), a.clone(), (r, c)));
            for level in Level::available() {
                let mut t = Panels::default();
                t.fill_with(c + 64, r, |_, _, to| to.fill(9.0));
                t.transpose_from_at(level, a.as_view());
                assert_eq!(t.to_mat(), a.transpose(), "{level:?}, {r} × {c}");
                let beyond = (0..t.count()).flat_map(|k| t.panel(k).chunks(HEIGHT).map(move |column| (k, column)));
                assert!(beyond.into_iter().all(|(k, column)| column.iter().skip(c - k * HEIGHT).all(|&v| v == 0.0)));
            }
            assert!((0..p.count()).all(|k| (p.panel(k).as_ptr() as usize).is_multiple_of(64)));
        }
    }
    #[test]
    fn parts_of_panels_cover_the_rows() {
        let parts = |rows| Panels::touched(rows).collect::<Vec<_>>();
        assert_eq!(parts(0..32), [(0, 0..32)]);
        assert_eq!(parts(30..66), [(0, 30..32), (1, 0..32), (2, 0..2)]);
        assert_eq!(parts(40..41), [(1, 8..9)]);
        assert_eq!(parts(5..5), []);
    }
}
