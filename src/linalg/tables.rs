//! Products with two-valued columns by tables: for every four entries of a column there are sixteen possible
//! contributions, so these are added up once and looked up for each column (the method of the four Russians: Arlazarov,
//! Dinic, Kronrod and Faradžev, "On economical construction of the transitive closure of a directed graph", 1970).
//!
//! A quarter of the additions of a dense product, whatever the density, and exact: it differs from the dense product by the
//! order of summation alone.
#![allow(unsafe_code)]

use super::bits::WORD;
use super::simd::{Kernel, Level};
use super::span;
use crate::{MatMut, MatRef};

/// Entries of a column that share a table.
const ENTRIES: usize = 4;
/// Values of a table.
const PATTERNS: usize = 1 << ENTRIES;
/// Tables in use at a time: 24 kB, which the nearest cache holds beside what is added to.
const TABLES: usize = 12;
/// Values of a cache line.
const LINE: usize = 16;

/// Some values on a cache line of their own.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);
const ZERO: Line = Line([0.0; LINE]);
/// Lines that are added up together.
const WIDTH: usize = 2;
/// The sums of four columns, some lines of them, by pattern.
type Table = [[Line; WIDTH]; PATTERNS];

/// The columns of a factor as patterns of four entries.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    stride: usize,
    patterns: Vec<u8>,
    low: f32,
}

impl Patterns {
    /// Becomes empty, for columns of so many entries that are `low` or 1.
    pub(super) fn clear(&mut self, entries: usize, low: f32) {
        self.stride = entries.div_ceil(ENTRIES);
        self.patterns.clear();
        self.low = low;
    }
    /// Adds a column whose entries are 1 where `words` have bits.
    pub(super) fn push(&mut self, words: &[u64]) {
        let end = self.patterns.len() + self.stride;
        let of_word = |&w: &u64| (0..WORD / ENTRIES).map(move |q| (w >> (ENTRIES * q)) as u8 % PATTERNS as u8);
        self.patterns.extend(words.iter().flat_map(of_word));
        self.patterns.truncate(end);
    }
    /// Adds `a` times pattern `k` to the column `columns[k]` of `out`.
    pub(super) fn add_to(&self, level: Level, a: MatRef<'_>, columns: &[usize], mut out: MatMut<'_>) {
        if !columns.is_empty() && !a.is_empty() {
            let product = Product { patterns: self, a, columns, out: out.as_view_mut() };
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 if is_x86_feature_detected!("avx512f") => avx512::run(product),
                level => level.run(product),
            }
        }
    }
}

struct Product<'a> {
    patterns: &'a Patterns,
    a: MatRef<'a>,
    columns: &'a [usize],
    out: MatMut<'a>,
}
impl Kernel for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let rows = self.out.nrows();
        let mut tables = [[[ZERO; WIDTH]; PATTERNS]; TABLES];
        let lines = rows / LINE;
        for panel in 0..lines / WIDTH {
            self.panel::<WIDTH>(&mut tables, WIDTH * panel * LINE, WIDTH * LINE);
        }
        for line in lines / WIDTH * WIDTH..lines {
            self.panel::<1>(&mut tables, line * LINE, LINE);
        }
        if rows % LINE > 0 {
            self.panel::<1>(&mut tables, lines * LINE, rows % LINE);
        }
    }
}
impl Product<'_> {
    /// `height` rows from `row` on, on `L` lines.
    #[inline(always)]
    fn panel<const L: usize>(&mut self, tables: &mut [Table; TABLES], row: usize, height: usize) {
        let n = self.patterns.stride;
        for from in (0..n).step_by(TABLES) {
            let group = from..n.min(from + TABLES);
            for (table, k) in tables.iter_mut().zip(group.clone()) {
                self.fill::<L>(k, row, height, table);
            }
            for (patterns, &j) in self.patterns.patterns.chunks_exact(n).zip(self.columns) {
                let out = &mut self.out.column_mut(j).data.into_slice_mut()[row..row + height];
                let mut sum = load::<L>(out);
                add_up(tables, &patterns[group.clone()], &mut sum);
                store(&sum, out);
            }
        }
    }
    /// The sums of the four columns from `ENTRIES k` on, for every pattern of entries.
    #[inline(always)]
    fn fill<const L: usize>(&self, k: usize, row: usize, height: usize, table: &mut Table) {
        let (data, stride, low) = (span(&self.a), self.a.strides().1, self.patterns.low);
        let there = self.a.ncols() - k * ENTRIES;
        let column = |e: usize| match e < there {
            true => load::<L>(&data[(k * ENTRIES + e) * stride + row..][..height]),
            false => [[0.0; LINE]; L],
        };
        let mut columns: [_; ENTRIES] = std::array::from_fn(column);
        for l in 0..L {
            let mut none = [0.0; LINE];
            if self.patterns.low != 0.0 {
                for column in &mut columns {
                    for (n, c) in none.iter_mut().zip(&mut column[l]) {
                        *n += low * *c;
                        *c *= 1.0 - low; // what it adds to be 1 instead of `low`
                    }
                }
            }
            table[0][l].0 = none;
        }
        for (e, column) in columns.iter().enumerate() {
            for p in 0..1 << e {
                for l in 0..L {
                    for i in 0..LINE {
                        table[p | 1 << e][l].0[i] = table[p][l].0[i] + column[l][i];
                    }
                }
            }
        }
    }
}
/// Adds what the patterns name, table by table.
#[inline(always)]
fn add_up<const L: usize>(tables: &[Table; TABLES], patterns: &[u8], sum: &mut [[f32; LINE]; L]) {
    let mut own = *sum; // in registers
    for (table, &p) in tables.iter().zip(patterns) {
        let value = &table[p as usize % PATTERNS];
        for l in 0..L {
            for i in 0..LINE {
                own[l][i] += value[l].0[i];
            }
        }
    }
    *sum = own;
}
/// `L` lines, the last one filled up with zeros.
#[inline(always)]
fn load<const L: usize>(a: &[f32]) -> [[f32; LINE]; L] {
    match a.as_chunks::<LINE>().0.first_chunk::<L>() {
        Some(lines) => *lines,
        None => {
            let mut lines = [[0.0; LINE]; L];
            lines.as_flattened_mut()[..a.len()].copy_from_slice(a);
            lines
        }
    }
}
/// The front of some lines.
#[inline(always)]
fn store<const L: usize>(lines: &[[f32; LINE]; L], out: &mut [f32]) {
    match out.as_chunks_mut::<LINE>().0.first_chunk_mut::<L>() {
        Some(out) => *out = *lines,
        None => out.copy_from_slice(&lines.as_flattened()[..out.len()]),
    }
}

/// The same sums in the same order: a compiler that is left alone fills the tables many times slower.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::*;
    use std::arch::x86_64::*;

    /// Whole lines in registers, and which of their values are there.
    type Lines = [__m512; WIDTH];
    type Masks = [u16; WIDTH];

    /// # Panics
    /// If the machine has no AVX-512.
    pub(super) fn run(mut product: Product<'_>) {
        assert!(is_x86_feature_detected!("avx512f"), "this machine has no AVX-512");
        let (rows, n) = (product.out.nrows(), product.patterns.stride);
        assert!(product.a.nrows() == rows && product.a.ncols() <= n * ENTRIES, "shape of the product");
        assert!(product.columns.iter().all(|&j| j < product.out.ncols()), "columns of the product");
        let mut tables = [[[ZERO; WIDTH]; PATTERNS]; TABLES];
        for row in (0..rows).step_by(WIDTH * LINE) {
            for from in (0..n).step_by(TABLES) {
                // SAFETY: the feature was detected, and the shapes are right.
                unsafe { panel(&mut product, &mut tables, row, from..n.min(from + TABLES)) }
            }
        }
    }
    /// Adds what some tables say of the rows from `row` on.
    ///
    /// # Safety
    /// `a` and `out` must have these rows, and `out` the columns.
    #[target_feature(enable = "avx512f")]
    unsafe fn panel(p: &mut Product<'_>, tables: &mut [Table; TABLES], row: usize, group: std::ops::Range<usize>) {
        let masks: Masks = std::array::from_fn(|l| match p.out.nrows().saturating_sub(row + l * LINE) {
            0 => 0,
            there => u16::MAX >> (LINE - there.min(LINE)),
        });
        // No closures: they would be compiled without the feature.
        for (table, k) in tables.iter_mut().zip(group.clone()) {
            let mut columns = [[_mm512_setzero_ps(); WIDTH]; ENTRIES];
            for e in 0..ENTRIES.min(p.a.ncols() - k * ENTRIES) {
                // SAFETY: the column is there, and the masks let through no row that is not.
                columns[e] = unsafe { load(p.a.as_ptr().add((k * ENTRIES + e) * p.a.strides().1 + row), masks) };
            }
            fill(columns, p.patterns.low, table);
        }
        let (first, stride, n) = (p.out.as_mut_ptr(), p.out.strides().1, p.patterns.stride);
        let patterns = |k: usize| &p.patterns.patterns[k * n..][group.clone()];
        let at = |j: usize| first.wrapping_add(j * stride + row);
        for (k, &j) in p.columns.iter().enumerate() {
            // SAFETY: `out` has the column, and the masks let through no row that it has not.
            unsafe {
                let mut sum = load(at(j), masks);
                for (table, &p) in tables.iter().zip(patterns(k)) {
                    add(&table[p as usize % PATTERNS], &mut sum);
                }
                store(at(j), masks, sum);
            }
        }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(value: &[Line; WIDTH], sum: &mut Lines) {
        for l in 0..WIDTH {
            // SAFETY: a line has 16 values.
            sum[l] = _mm512_add_ps(sum[l], unsafe { _mm512_load_ps(value[l].0.as_ptr()) });
        }
    }
    /// # Safety
    /// There must be room for the values that the masks let through.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store(to: *mut f32, masks: Masks, sum: Lines) {
        for l in 0..WIDTH {
            // SAFETY: the caller's.
            match masks[l] {
                u16::MAX => unsafe { _mm512_storeu_ps(to.add(l * LINE), sum[l]) },
                some => unsafe { _mm512_mask_storeu_ps(to.wrapping_add(l * LINE), some, sum[l]) },
            }
        }
    }
    /// # Safety
    /// The values that the masks let through must be there.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const f32, masks: Masks) -> Lines {
        let mut lines = [_mm512_setzero_ps(); WIDTH];
        for l in 0..WIDTH {
            // SAFETY: the caller's.
            lines[l] = unsafe { _mm512_maskz_loadu_ps(masks[l], from.wrapping_add(l * LINE)) };
        }
        lines
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn fill(columns: [Lines; ENTRIES], low: f32, table: &mut Table) {
        for l in 0..WIDTH {
            let mut of = [columns[0][l], columns[1][l], columns[2][l], columns[3][l]];
            let mut sums = [_mm512_setzero_ps(); PATTERNS];
            if low != 0.0 {
                for column in &mut of {
                    sums[0] = _mm512_add_ps(sums[0], _mm512_mul_ps(_mm512_set1_ps(low), *column));
                    *column = _mm512_mul_ps(*column, _mm512_set1_ps(1.0 - low));
                }
            }
            for p in 1..PATTERNS {
                let entry = p.ilog2() as usize;
                sums[p] = _mm512_add_ps(sums[p - (1 << entry)], of[entry]);
            }
            for (line, sum) in table.iter_mut().zip(sums) {
                // SAFETY: a line has room for 16 values.
                unsafe { _mm512_store_ps(line[l].0.as_mut_ptr(), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::linalg::bits::Bits;

    #[test]
    fn tables_match_the_plain_product_with_the_same_bits_on_every_level() {
        for (m, k) in [(1, 1), (16, 4), (33, 70), (131, 61), (64, 5), (20, 130)] {
            for low in [0.0, -1.0] {
                let a = Mat::from_fn(m, k, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08);
                let x = Mat::from_fn(k, 6, |i, j| if (i * i + j * 17) % 7 < 3 { 1.0 } else { low });
                let run = |level| {
                    let (mut bits, mut patterns, mut out) = (Bits::default(), Patterns::default(), Mat::zeros(m, 8));
                    bits.of(level, x.as_view());
                    patterns.clear(k, low);
                    (0..6).for_each(|j| patterns.push(bits.column(j)));
                    patterns.add_to(level, a.as_view(), &[0, 7, 2, 3, 1, 5], out.as_view_mut());
                    out
                };
                let (plain, expected) = (run(Level::Plain), &a * &x);
                for (k, j) in [0, 7, 2, 3, 1, 5].into_iter().enumerate() {
                    assert!((plain.column(j) - expected.column(k)).amax() < 1e-5, "{m}×{k}, {low}");
                }
                assert!(plain.column(4).iter().chain(plain.column(6).iter()).all(|&v| v == 0.0));
                assert!(Level::available().into_iter().all(|l| run(l) == plain));
            }
        }
    }
}
