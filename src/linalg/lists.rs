//! Sums of listed columns: the product with a mostly-zero column is the sum of a few columns of the matrix.
#![allow(unsafe_code)]

use super::bits::{SLACK, WORD, places};
use super::simd::{Kernel, Level};
use super::span;
use crate::{MatMut, MatRef};
use std::ops::Range;

/// Lists of column numbers, some with a factor for every entry.
#[derive(Debug, Default)]
pub(super) struct Lists {
    room: usize,
    lengths: Vec<usize>,
    weighted: Vec<bool>,
    index: Vec<u32>,
    value: Vec<f32>, // in use where a list is weighted
    end: usize,      // no entry is as large
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub(super) index: &'a [u32],
    pub(super) value: Option<&'a [f32]>,
}

impl Lists {
    /// Becomes empty, with room for lists of so many words.
    pub(super) fn clear(&mut self, words: usize) {
        self.room = words * WORD + SLACK;
        self.lengths.clear();
        self.weighted.clear();
        self.end = 0;
    }
    /// A number that no entry of a list reaches.
    pub(super) fn end(&self) -> usize {
        self.end
    }
    /// Adds the list of the bits that are set in `words`.
    pub(super) fn push(&mut self, level: Level, words: &[u64]) {
        let start = self.lengths.len() * self.room;
        self.index.resize(self.index.len().max(start + self.room), 0);
        let length = places(level, words, &mut self.index[start..][..self.room]);
        self.end = self.end.max(self.index[start..][..length].last().map_or(0, |&k| k as usize + 1));
        self.lengths.push(length);
        self.weighted.push(false);
    }
    /// Adds the same list with a factor for every entry.
    pub(super) fn push_weighted(&mut self, level: Level, words: &[u64], factor: impl Fn(usize) -> f32) {
        self.push(level, words);
        let k = self.lengths.len() - 1;
        let (start, n) = (k * self.room, self.lengths[k]);
        self.value.resize(self.value.len().max(start + self.room), 0.0);
        let entries = self.value[start..].iter_mut().zip(&self.index[start..][..n]);
        entries.for_each(|(v, &i)| *v = factor(i as usize));
        self.weighted[k] = true;
    }
    /// List `k`.
    pub(super) fn get(&self, k: usize) -> List<'_> {
        let range = k * self.room..k * self.room + self.lengths[k];
        List { index: &self.index[range.clone()], value: self.weighted[k].then(|| &self.value[range]) }
    }
    /// Adds to the column `columns[k]` of `out` what list `k` says of the columns of `a`.
    pub(super) fn add_to(&self, level: Level, a: MatRef<'_>, columns: &[usize], mut out: MatMut<'_>) {
        #[cfg(target_arch = "x86_64")]
        if level == Level::Avx512 {
            return avx512::add_to(self, a, columns, out);
        }
        let rows = out.nrows();
        let width = WIDTHS.into_iter().find(|&w| w <= rows).unwrap_or(1);
        // Panels outside, columns inside: the rows of one panel of `a` stay in the cache. The last panel overlaps the one
        // before it and writes its new rows alone.
        for row in (0..rows).step_by(width) {
            let panel = row.min(rows - width)..row.min(rows - width) + width;
            level.run(Panel { lists: self, a, columns, new: row - panel.start, rows: panel, out: out.as_view_mut() });
        }
    }
}

/// Rows of a result that can be kept in registers while columns are added to them.
const WIDTHS: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// `out += Σ_k value_k a_k` for some rows of some columns of `out`.
struct Panel<'a> {
    lists: &'a Lists,
    a: MatRef<'a>,
    columns: &'a [usize],
    rows: Range<usize>,
    new: usize,
    out: MatMut<'a>,
}
impl Kernel for Panel<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        match self.rows.len() {
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
        let (a, stride) = (span(&self.a), self.a.strides().1);
        let a = &a[self.rows.start.min(a.len())..];
        for (k, &j) in self.columns.iter().enumerate() {
            let list = self.lists.get(k);
            if list.index.is_empty() {
                continue;
            }
            let column = |k: u32| chunk(a, k as usize * stride);
            let sum = match list.value {
                None => add_up::<N>(list.index, column),
                Some(value) => weigh_up::<N>(list.index, value, column),
            };
            let out = &mut self.out.column_mut(j).data.into_slice_mut()[self.rows.clone()];
            for (o, s) in out[self.new..].iter_mut().zip(&sum[self.new..]) {
                *o += s;
            }
        }
    }
}
/// The sum of the columns `index`: two sums, of every other column, so that one addition need not wait for the last.
#[inline(always)]
pub(super) fn add_up<'a, const N: usize>(index: &[u32], column: impl Fn(u32) -> &'a [f32; N]) -> [f32; N] {
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
pub(super) fn weigh_up<'a, const N: usize>(
    index: &[u32],
    value: &[f32],
    column: impl Fn(u32) -> &'a [f32; N],
) -> [f32; N] {
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
pub(super) fn chunk<const N: usize>(a: &[f32], at: usize) -> &[f32; N] {
    match a.get(at..at + N).and_then(|a| a.first_chunk()) {
        Some(chunk) => chunk,
        None => panic!("a list names a column that is not there"),
    }
}

/// The same sums in the same order: compilers shuffle the registers about that hold them. No closures: they would be
/// compiled without the feature.
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use super::*;
    use std::arch::x86_64::*;

    /// Values of a register.
    const LINE: usize = 16;
    /// Registers that are added to at a time, twice.
    const LINES: usize = 4;

    /// # Panics
    /// If the machine has no AVX-512, or the shapes do not fit.
    pub(in super::super) fn add_to(lists: &Lists, a: MatRef<'_>, columns: &[usize], mut out: MatMut<'_>) {
        assert!(is_x86_feature_detected!("avx512f"), "this machine has no AVX-512");
        assert!(a.nrows() == out.nrows() && lists.end() <= a.ncols(), "shape of the product");
        assert!(columns.iter().all(|&j| j < out.ncols()), "columns of the product");
        // Panels outside, columns inside: the rows of one panel of `a` stay in the cache.
        for row in (0..out.nrows()).step_by(LINES * LINE) {
            // SAFETY: the feature was detected, and the shapes fit.
            unsafe { panel(lists, &a, columns, row, &mut out) }
        }
    }
    /// # Safety
    /// `a` and `out` must have the rows and columns that are named.
    #[target_feature(enable = "avx512f")]
    unsafe fn panel(lists: &Lists, a: &MatRef<'_>, columns: &[usize], row: usize, out: &mut MatMut<'_>) {
        let (height, apart) = (out.nrows() - row, out.strides().1);
        let (from, to) = (a.as_ptr().wrapping_add(row), out.as_mut_ptr().wrapping_add(row));
        for (k, &j) in columns.iter().enumerate() {
            let list = lists.get(k);
            // SAFETY: the column is there, and of its rows no more than `height` are touched.
            unsafe { add::<LINES>(from, a.strides().1, list, true, to.wrapping_add(j * apart), height) }
        }
    }
    /// `to += Σ_k value_k a_k` (`to = ` unless `keep`) of `height` values, but at most `L` registers of them; the
    /// columns of `a` begin at `from`, `stride` apart.
    ///
    /// # Safety
    /// There must be so many values at `to` and in every column of `a` that the list names.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) unsafe fn add<const L: usize>(
        from: *const f32,
        stride: usize,
        list: List<'_>,
        keep: bool,
        to: *mut f32,
        height: usize,
    ) {
        let keep = if keep { u16::MAX } else { 0 };
        if height >= L * LINE {
            // SAFETY: all values of the registers are there.
            unsafe {
                let sum = sum::<L, true>(from, stride, list, [u16::MAX; L]);
                for l in 0..L {
                    let to = to.add(l * LINE);
                    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_maskz_loadu_ps(keep, to), sum[l]));
                }
            }
        } else {
            let mut masks = [0; L];
            for l in 0..L.min(height.div_ceil(LINE)) {
                masks[l] = u16::MAX >> (LINE - (height - l * LINE).min(LINE));
            }
            // SAFETY: the masks let through no value that is not there.
            unsafe {
                let sum = sum::<L, false>(from, stride, list, masks);
                for l in 0..L {
                    let to = to.wrapping_add(l * LINE);
                    let old = _mm512_maskz_loadu_ps(masks[l] & keep, to);
                    _mm512_mask_storeu_ps(to, masks[l], _mm512_add_ps(old, sum[l]));
                }
            }
        }
    }
    /// # Safety
    /// There must be the values that the masks let through, and all of them if `FULL`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn sum<const L: usize, const FULL: bool>(
        from: *const f32,
        stride: usize,
        list: List<'_>,
        masks: [u16; L],
    ) -> [__m512; L] {
        let (mut even, mut odd) = ([_mm512_setzero_ps(); L], [_mm512_setzero_ps(); L]);
        if let Some(value) = list.value {
            for (&k, &v) in list.index.iter().zip(value) {
                // SAFETY: the caller's.
                let (a, v) = (unsafe { column::<L, FULL>(from, k as usize * stride, masks) }, _mm512_set1_ps(v));
                for l in 0..L {
                    even[l] = _mm512_add_ps(even[l], _mm512_mul_ps(v, a[l]));
                }
            }
            return even;
        }
        let pairs = list.index.chunks_exact(2);
        for &k in pairs.remainder() {
            // SAFETY: the caller's.
            even = unsafe { column::<L, FULL>(from, k as usize * stride, masks) };
        }
        for pair in pairs {
            // SAFETY: the caller's.
            let a = unsafe { column::<L, FULL>(from, pair[0] as usize * stride, masks) };
            // SAFETY: the caller's.
            let b = unsafe { column::<L, FULL>(from, pair[1] as usize * stride, masks) };
            for l in 0..L {
                even[l] = _mm512_add_ps(even[l], a[l]);
                odd[l] = _mm512_add_ps(odd[l], b[l]);
            }
        }
        for l in 0..L {
            even[l] = _mm512_add_ps(even[l], odd[l]);
        }
        even
    }
    /// # Safety
    /// As of [`sum`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn column<const L: usize, const FULL: bool>(from: *const f32, at: usize, masks: [u16; L]) -> [__m512; L] {
        let mut a = [_mm512_setzero_ps(); L];
        for l in 0..L {
            let from = from.wrapping_add(at + l * LINE);
            // SAFETY: the caller's.
            a[l] = unsafe { if FULL { _mm512_loadu_ps(from) } else { _mm512_maskz_loadu_ps(masks[l], from) } };
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::linalg::bits::Bits;

    #[test]
    fn sums_have_the_same_bits_on_every_level() {
        let a = Mat::from_fn(133, 70, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08);
        let x = Mat::from_fn(70, 9, |i, j| if (i * 31 + j * 17) % 10 < 3 { 1.0 + j as f32 * 0.1 } else { 0.0 });
        let run = |level| {
            let (mut bits, mut lists, mut out) = (Bits::default(), Lists::default(), Mat::zeros(133, 9));
            bits.of(level, x.as_view());
            lists.clear(2);
            (0..9).for_each(|j| match j {
                0 => lists.push(level, bits.column(0)),
                _ => lists.push_weighted(level, bits.column(j), |i| x[(i, j)]),
            });
            lists.add_to(level, a.as_view(), &[0, 1, 2, 3, 4, 5, 6, 7, 8], out.as_view_mut());
            out
        };
        let plain = run(Level::Plain);
        assert!((&plain - &a * &x).amax() < 1e-5);
        assert!(Level::available().into_iter().all(|l| run(l) == plain));
    }
}
