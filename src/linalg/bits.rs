//! Columns of states as bits: one for every entry that is not zero, and whether that says all about the column.
//!
//! Here states are looked at, once a product; lists and tables work from the bits.
#![allow(unsafe_code)]

use super::col;
use super::simd::Level;
use crate::MatRef;
use rayon::prelude::*;

/// Entries of a word.
pub(super) const WORD: usize = u64::BITS as usize;
/// Columns that are worth a task of their own, if a thread is free.
const COLUMNS: usize = 32;
/// Places beyond the last that may be written.
pub(super) const SLACK: usize = 16;

/// What the entries of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// 0 and 1: the bits say all.
    Binary,
    /// -1 and 1, at least one of them -1; the bits are the entries that are 1.
    Spin,
    /// Anything; the bits are the entries that are not zero.
    Real,
}

/// The bits of some columns.
#[derive(Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    stride: usize,
    known: Vec<(usize, Values)>, // how many bits are set, and what the entries are
}

impl Bits {
    /// Becomes the bits of `x`.
    pub(super) fn of(&mut self, level: Level, x: MatRef<'_>) {
        self.of_all(level, std::iter::once(x));
    }
    /// Becomes the bits of some matrices of one height, side by side.
    pub(super) fn of_all<'a>(&mut self, level: Level, all: impl Iterator<Item = MatRef<'a>>) {
        let mut end = 0;
        for x in all {
            let (stride, columns) = (x.nrows().div_ceil(WORD), end..end + x.ncols());
            self.stride = stride;
            self.words.resize(self.words.len().max(stride * columns.end), 0);
            self.known.resize(self.known.len().max(columns.end), (0, Values::Binary));
            let words = self.words[stride * end..].par_chunks_mut(stride.max(1));
            let known = self.known[columns.clone()].par_iter_mut();
            known.zip(words).with_min_len(COLUMNS).enumerate().for_each(|(j, (known, words))| {
                let values = look(level, col(&x, j), words);
                *known = (words.iter().map(|w| w.count_ones() as usize).sum(), values);
            });
            end = columns.end;
        }
    }
    /// The bits of column `j`, the first entry lowest; those beyond the last are zero.
    pub(super) fn column(&self, j: usize) -> &[u64] {
        &self.words[j * self.stride..][..self.stride]
    }
    /// How many bits of column `j` are set.
    pub(super) fn count(&self, j: usize) -> usize {
        self.known[j].0
    }
    /// What the entries of column `j` are.
    pub(super) fn values(&self, j: usize) -> Values {
        self.known[j].1
    }
}

/// Writes the bits of one column.
fn look(level: Level, x: &[f32], words: &mut [u64]) -> Values {
    let mut differ = 0;
    each_word(level, x, |k, nonzero, one| {
        words[k] = nonzero;
        differ |= nonzero ^ one;
    });
    if differ == 0 {
        return Values::Binary;
    }
    if x.iter().fold(true, |all, v| all & (v.abs() == 1.0)) {
        each_word(level, x, |k, _, one| words[k] = one);
        return Values::Spin;
    }
    Values::Real
}

/// `f(k, entries that are not zero, entries that are one)` for every 64 entries.
#[inline]
fn each_word(level: Level, x: &[f32], f: impl FnMut(usize, u64, u64)) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if is_x86_feature_detected!("avx512f") => {
            // SAFETY: the feature was detected.
            unsafe { compared(x, f) }
        }
        _ => plain(x, f),
    }
}
fn plain(x: &[f32], mut f: impl FnMut(usize, u64, u64)) {
    for (k, chunk) in x.chunks(WORD).enumerate() {
        let (mut nonzero, mut one) = (0, 0);
        for (i, &v) in chunk.iter().enumerate() {
            nonzero |= ((v != 0.0) as u64) << i;
            one |= ((v == 1.0) as u64) << i;
        }
        f(k, nonzero, one);
    }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn compared(x: &[f32], mut f: impl FnMut(usize, u64, u64)) {
    use std::arch::x86_64::*;
    let (zero, unit) = (_mm512_setzero_ps(), _mm512_set1_ps(1.0));
    for (k, chunk) in x.chunks(WORD).enumerate() {
        let (mut nonzero, mut one) = (0, 0);
        for (q, part) in chunk.chunks(16).enumerate() {
            let there = u16::MAX >> (16 - part.len());
            // SAFETY: only the entries that are there are read.
            let v = unsafe { _mm512_maskz_loadu_ps(there, part.as_ptr()) };
            // Unordered: NaN is not zero.
            nonzero |= (_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(v, zero) as u64) << (16 * q);
            one |= (_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(v, unit) as u64) << (16 * q);
        }
        f(k, nonzero, one);
    }
}

/// Writes the places of the bits of `words` to the front of `out`, in order, and returns how many there are; what follows
/// them is left undefined.
///
/// # Panics
/// If `out` has not room for all bits and [`SLACK`] more.
pub(super) fn places(level: Level, words: &[u64], out: &mut [u32]) -> usize {
    assert!(out.len() >= words.len() * WORD + SLACK, "room for all places");
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if is_x86_feature_detected!("avx512f") => {
            // SAFETY: the feature was detected, and `out` has room for all places and one vector more.
            unsafe { compressed(words, out) }
        }
        _ => one_by_one(words, out),
    }
}
fn one_by_one(words: &[u64], out: &mut [u32]) -> usize {
    let mut n = 0;
    for (k, &word) in words.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            out[n] = (k * WORD) as u32 + rest.trailing_zeros();
            n += 1;
            rest &= rest - 1;
        }
    }
    n
}
/// Sixteen places at a time: compress them, store all sixteen, keep the first.
///
/// # Safety
/// `out` must be at least 16 longer than there are bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,popcnt")]
unsafe fn compressed(words: &[u64], out: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut n = 0;
    for (k, &word) in words.iter().enumerate().filter(|(_, w)| **w != 0) {
        for q in 0..4 {
            let mask = (word >> (16 * q)) as u16;
            let here = _mm512_add_epi32(first, _mm512_set1_epi32((k * WORD + 16 * q) as i32));
            let kept = _mm512_maskz_compress_epi32(mask, here);
            // SAFETY: `n` places were kept of as many bits, and `out` has room for 16 more than there are bits.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(n).cast(), kept) };
            n += mask.count_ones() as usize;
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    fn bits_of(level: Level, x: &[f32]) -> (Vec<u64>, Values, usize) {
        let mut bits = Bits::default();
        bits.of(level, Mat::from_column_slice(x.len(), 1, x).as_view());
        (bits.column(0).to_vec(), bits.values(0), bits.count(0))
    }
    #[test]
    fn all_levels_find_what_is_not_zero_and_where() {
        for n in [0, 1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 100, 784] {
            for period in [1, 2, 7, 1000] {
                let mut x: Vec<f32> = (0..n).map(|i| if i % period == 0 { i as f32 - 3.0 } else { -0.0 }).collect();
                x.iter_mut().skip(5).take(1).for_each(|v| *v = f32::NAN);
                let expected: Vec<u32> = (0..n as u32).filter(|&i| x[i as usize] != 0.0).collect();
                for level in Level::available() {
                    let (words, _, count) = bits_of(level, &x);
                    let mut out = vec![0; words.len() * WORD + SLACK];
                    let found = places(level, &words, &mut out);
                    assert_eq!((&out[..found], count), (&expected[..], expected.len()), "{level:?}, {n} entries");
                }
            }
        }
    }
    #[test]
    fn all_levels_know_bits_from_spins_from_numbers() {
        for n in [1, 2, 3, 5, 63, 64, 65, 200] {
            let with = |at: usize, special: f32, low: f32| -> Vec<f32> {
                (0..n)
                    .map(|i| {
                        if i == at % n {
                            special
                        } else if i % 3 == 0 {
                            1.0
                        } else {
                            low
                        }
                    })
                    .collect()
            };
            for (x, values) in [
                (with(0, 1.0, 0.0), Values::Binary),
                (with(n, 0.0, -0.0), Values::Binary),
                (with(n - 1, -1.0, -1.0), Values::Spin),
                (with(n - 1, f32::NAN, -1.0), Values::Real),
                (with(n - 1, f32::NAN, 0.0), Values::Real),
                (with(n / 2, 0.5, 0.0), Values::Real),
                (with(n / 2, 2.0, -1.0), Values::Real),
            ] {
                for level in Level::available() {
                    let (words, found, _) = bits_of(level, &x);
                    assert_eq!(found, values, "{level:?} {x:?}");
                    let set = |i: usize| words[i / WORD] >> (i % WORD) & 1 == 1;
                    let expected = |v: f32| if values == Values::Spin { v == 1.0 } else { v != 0.0 };
                    assert!(x.iter().enumerate().all(|(i, &v)| set(i) == expected(v)));
                }
            }
        }
    }
}
