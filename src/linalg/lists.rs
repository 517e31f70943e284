//! Sums of listed columns: the product with a mostly-zero column is the sum of a few columns of the matrix.
#![allow(unsafe_code)]

use super::bits::{SLACK, WORD, places};
use super::panels::{HEIGHT, Panels};
use super::simd::{Kernel, Level};
use crate::MatMut;
use std::ops::Range;

/// Lists of column numbers, some with a factor for every entry. A list is cut into pieces of some words of bits, so that what
/// all lists add at a time stays in a near cache.
#[derive(Debug, Default)]
pub(super) struct Lists {
    words: usize, // of a piece
    room: usize,
    pieces: usize,
    lengths: Vec<usize>, // of the pieces of one list after the other
    weighted: Vec<bool>,
    index: Vec<u32>, // counted from the first column of the piece
    value: Vec<f32>, // in use where a list is weighted
}

/// A piece of a list.
#[derive(Clone, Copy, Debug)]
struct List<'a> {
    index: &'a [u32],
    value: Option<&'a [f32]>,
}

impl Lists {
    /// Becomes empty, with room for lists of so many words, in pieces of `piece` words.
    pub(super) fn clear(&mut self, words: usize, piece: usize) {
        self.words = piece;
        self.room = piece.min(words) * WORD + SLACK;
        self.pieces = words.div_ceil(piece);
        self.lengths.clear();
        self.weighted.clear();
    }
    /// Adds the list of the bits that are set in `words`.
    pub(super) fn push(&mut self, level: Level, words: &[u64]) {
        for words in words.chunks(self.words) {
            let start = self.lengths.len() * self.room;
            self.index.resize(self.index.len().max(start + self.room), 0);
            self.lengths.push(places(level, words, &mut self.index[start..][..self.room]));
            self.weighted.push(false);
        }
    }
    /// Adds the same list with a factor for every entry.
    pub(super) fn push_weighted(&mut self, level: Level, words: &[u64], factor: impl Fn(usize) -> f32) {
        let first = self.lengths.len();
        self.push(level, words);
        for k in first..self.lengths.len() {
            let (start, n) = (k * self.room, self.lengths[k]);
            self.value.resize(self.value.len().max(start + self.room), 0.0);
            let entries = self.value[start..].iter_mut().zip(&self.index[start..][..n]);
            entries.for_each(|(v, &i)| *v = factor((k - first) * self.words * WORD + i as usize));
            self.weighted[k] = true;
        }
    }
    /// How many lists there are.
    fn count(&self) -> usize {
        self.lengths.len() / self.pieces.max(1)
    }
    /// Piece `piece` of list `k`.
    #[inline]
    fn get(&self, k: usize, piece: usize) -> List<'_> {
        let k = k * self.pieces + piece;
        let range = k * self.room..k * self.room + self.lengths[k];
        List { index: &self.index[range.clone()], value: self.weighted[k].then(|| &self.value[range]) }
    }
    /// Adds to the column `columns[k]` of `out` what list `k` says of the columns of some rows of `a`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub(super) fn add_to(
        &self,
        level: Level,
        (a, rows): (&Panels, Range<usize>),
        columns: &[usize],
        mut out: MatMut<'_>,
    ) {
        assert!(rows.end <= a.shape().0 && rows.len() == out.nrows(), "rows of the product");
        assert!(columns.len() == self.count() && columns.iter().all(|&j| j < out.ncols()), "columns of the product");
        let (first, apart) = (out.as_mut_ptr(), out.strides().1);
        // Panels outside, columns inside: a panel of `a` stays in the cache.
        for (p, part) in Panels::touched(rows.clone()) {
            let at = p * HEIGHT + part.start - rows.start;
            let to = |k: usize| first.wrapping_add(columns[k] * apart + at);
            // SAFETY: `out` is borrowed mutably, has the columns, and in them the rows that are touched.
            unsafe { self.add_panel(level, a.panel(p), part, true, to) }
        }
    }
    /// Adds, for every list, what it says of the columns of some rows of a panel, or puts it there if not `keep`.
    ///
    /// # Panics
    /// If a list names a column that is not in the panel, or there are no such rows.
    ///
    /// # Safety
    /// For every list `k` there must be a value a row at `to(k)`, which nobody else reads or writes meanwhile.
    #[inline]
    pub(super) unsafe fn add_panel(
        &self,
        level: Level,
        panel: &[f32],
        rows: Range<usize>,
        keep: bool,
        to: impl Fn(usize) -> *mut f32,
    ) {
        assert!(rows.start <= rows.end && rows.end <= HEIGHT, "rows of a panel");
        for piece in 0..self.pieces {
            let panel = &panel[(piece * self.words * WORD * HEIGHT).min(panel.len())..];
            let keep = keep || piece > 0;
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => {
                    assert!(is_x86_feature_detected!("avx512f"), "this machine has no AVX-512");
                    // SAFETY: the feature was detected, and the rest is the caller's.
                    unsafe { avx512::add_piece(self, piece, panel, rows.clone(), keep, &to) }
                }
                _ => {
                    for k in 0..self.count() {
                        // SAFETY: the caller's.
                        let to = unsafe { std::slice::from_raw_parts_mut(to(k), rows.len()) };
                        level.run(Panel { list: self.get(k, piece), panel, from: rows.start, keep, to });
                    }
                }
            }
        }
    }
}

/// `to += Σ_k value_k a_k` for some rows of a panel, from `from` on.
struct Panel<'a> {
    list: List<'a>,
    panel: &'a [f32],
    from: usize,
    keep: bool,
    to: &'a mut [f32],
}
impl Kernel for Panel<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let sum = match self.list.value {
            None => add_up(self.list.index, self.panel),
            Some(value) => weigh_up(self.list.index, value, self.panel),
        };
        for (o, s) in self.to.iter_mut().zip(&sum[self.from..]) {
            *o = if self.keep { *o } else { 0.0 } + s;
        }
    }
}
/// The sum of the columns `index`: two sums, of every other column, so that one addition need not wait for the last.
#[inline(always)]
fn add_up(index: &[u32], panel: &[f32]) -> [f32; HEIGHT] {
    let (mut even, mut odd) = ([0f32; HEIGHT], [0f32; HEIGHT]);
    let pairs = index.chunks_exact(2);
    for &k in pairs.remainder() {
        even = *column(panel, k);
    }
    for pair in pairs {
        let (a, b) = (column(panel, pair[0]), column(panel, pair[1]));
        for i in 0..HEIGHT {
            even[i] += a[i];
            odd[i] += b[i];
        }
    }
    for i in 0..HEIGHT {
        even[i] += odd[i];
    }
    even
}
/// The sum of the columns `index` times their values.
#[inline(always)]
fn weigh_up(index: &[u32], value: &[f32], panel: &[f32]) -> [f32; HEIGHT] {
    let mut sum = [0f32; HEIGHT];
    for (&k, &v) in index.iter().zip(value) {
        let a = column(panel, k);
        for i in 0..HEIGHT {
            sum[i] += v * a[i];
        }
    }
    sum
}
/// Column `k` of a panel.
#[inline(always)]
fn column(panel: &[f32], k: u32) -> &[f32; HEIGHT] {
    match panel.get(k as usize * HEIGHT..).and_then(|a| a.first_chunk()) {
        Some(column) => column,
        None => panic!("a list names a column that is not there"),
    }
}

/// The same sums in the same order: compilers shuffle the registers about that hold them. No closures: they would be
/// compiled without the feature.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop, reason = "registers are named by number")]
mod avx512 {
    use super::*;
    use std::arch::x86_64::*;

    /// Values of a register, and registers of a panel.
    const LINE: usize = 16;
    const LINES: usize = HEIGHT / LINE;

    /// # Panics
    /// If a list names a column that is not in the panel.
    ///
    /// # Safety
    /// See [`Lists::add_panel`].
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn add_piece(
        lists: &Lists,
        piece: usize,
        panel: &[f32],
        rows: Range<usize>,
        keep: bool,
        to: &impl Fn(usize) -> *mut f32,
    ) {
        for k in 0..lists.count() {
            let list = lists.get(k, piece);
            // Entries rise, so that the last is the largest.
            let columns = list.index.last().map_or(0, |&k| k as usize + 1);
            assert!(columns * HEIGHT <= panel.len(), "a list names a column that is not there");
            // SAFETY: the panel has the columns.
            let (sum, to) = (unsafe { sum(panel.as_ptr(), list) }, to(k));
            // SAFETY: there is a value a row at `to`.
            unsafe {
                if rows.len() == LINES * LINE {
                    for l in 0..LINES {
                        let to = to.add(l * LINE);
                        let old = if keep { _mm512_loadu_ps(to) } else { _mm512_setzero_ps() };
                        _mm512_storeu_ps(to, _mm512_add_ps(old, sum[l]));
                    }
                } else {
                    let mut all = [[0f32; LINE]; LINES];
                    for l in 0..LINES {
                        _mm512_storeu_ps(all[l].as_mut_ptr(), sum[l]);
                    }
                    for (i, s) in all.as_flattened()[rows.clone()].iter().enumerate() {
                        *to.add(i) = if keep { *to.add(i) } else { 0.0 } + s;
                    }
                }
            }
        }
    }
    /// # Safety
    /// There must be the columns that the list names, from `panel` on.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn sum(panel: *const f32, list: List<'_>) -> [__m512; LINES] {
        let (mut even, mut odd) = ([_mm512_setzero_ps(); LINES], [_mm512_setzero_ps(); LINES]);
        if let Some(value) = list.value {
            for (&k, &v) in list.index.iter().zip(value) {
                // SAFETY: the caller's.
                let (a, v) = (unsafe { column(panel, k) }, _mm512_set1_ps(v));
                for l in 0..LINES {
                    even[l] = _mm512_add_ps(even[l], _mm512_mul_ps(v, a[l]));
                }
            }
            return even;
        }
        let pairs = list.index.chunks_exact(2);
        for &k in pairs.remainder() {
            // SAFETY: the caller's.
            even = unsafe { column(panel, k) };
        }
        for pair in pairs {
            // SAFETY: the caller's.
            let (a, b) = unsafe { (column(panel, pair[0]), column(panel, pair[1])) };
            for l in 0..LINES {
                even[l] = _mm512_add_ps(even[l], a[l]);
                odd[l] = _mm512_add_ps(odd[l], b[l]);
            }
        }
        for l in 0..LINES {
            even[l] = _mm512_add_ps(even[l], odd[l]);
        }
        even
    }
    /// # Safety
    /// As of [`sum`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn column(panel: *const f32, k: u32) -> [__m512; LINES] {
        let mut a = [_mm512_setzero_ps(); LINES];
        for l in 0..LINES {
            // SAFETY: the caller's.
            a[l] = unsafe { _mm512_loadu_ps(panel.wrapping_add(k as usize * LINES * LINE + l * LINE)) };
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::linalg::bits::Bits;
    use crate::linalg::probes::ODD;

    #[test]
    fn sums_have_the_same_bits_on_every_level() {
        for n in ODD.into_iter().chain([9]) {
            let a = Mat::from_fn(133, 70, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08);
            let weight = |j: usize| if j == 0 { 1.0 } else { 1.0 + (j % 10) as f32 * 0.1 };
            let x = Mat::from_fn(70, n, |i, j| if (i * 31 + j * 17) % 10 < 3 { weight(j) } else { 0.0 });
            let columns: Vec<usize> = (0..n).collect();
            let run = |level| {
                let (mut bits, mut lists, mut out) = (Bits::default(), Lists::default(), Mat::zeros(133, n));
                bits.of(level, x.as_view());
                lists.clear(2, 1);
                (0..n).for_each(|j| match j {
                    0 => lists.push(level, bits.column(0)),
                    _ => lists.push_weighted(level, bits.column(j), |i| x[(i, j)]),
                });
                let mut panels = Panels::default();
                panels.copy_from(a.as_view());
                let mut part = |rows: Range<usize>| {
                    let out = out.rows_range_mut(rows.clone());
                    lists.add_to(level, (&panels, rows), &columns, out);
                };
                [0..40, 40..41, 41..133].into_iter().for_each(&mut part);
                out
            };
            let plain = run(Level::Plain);
            assert!((&plain - &a * &x).amax() < 1e-5, "{n} columns");
            assert!(Level::available().into_iter().all(|l| run(l) == plain), "{n} columns");
        }
    }
}
