//! Products with two-valued columns by tables: for every four entries of a column there are sixteen possible
//! contributions, so these are added up once and looked up for each column (the method of the four Russians: Arlazarov,
//! Dinic, Kronrod and Faradžev, "On economical construction of the transitive closure of a directed graph", 1970).
//!
//! A quarter of the additions of a dense product, whatever the density, and exact: it differs from the dense product by the
//! order of summation alone. With AVX-512 a table is a register: it is made for one row of the matrix, and one instruction
//! looks up the entries of sixteen columns.
#![allow(unsafe_code)]

use super::bits::WORD;
use super::panels::{HEIGHT, Panels};
use super::simd::Level;
use crate::MatMut;
use std::ops::Range;

/// Entries of a column that share a table.
const ENTRIES: usize = 4;
/// Values of a table.
const PATTERNS: usize = 1 << ENTRIES;
/// Columns that are looked up at a time.
const LANES: usize = 16;

/// Whether tables are faster than the dense product: where they fit into registers.
pub(super) fn tables_pay(level: Level) -> bool {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => true,
        _ => false,
    }
}

/// The columns of a factor as patterns of four entries.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    columns: usize,
    stride: usize,
    patterns: Vec<u8>, // those of all columns for the first four entries, then for the next four …
    tables: usize,
    low: f32,
}

impl Patterns {
    /// Becomes empty, for at most `columns` columns of so many entries that are `low` or 1.
    pub(super) fn clear(&mut self, entries: usize, columns: usize, low: f32) {
        (self.columns, self.stride) = (0, columns.max(1).next_multiple_of(LANES));
        (self.tables, self.low) = (entries.div_ceil(ENTRIES), low);
        self.patterns.resize(self.patterns.len().max(self.stride * self.tables), 0);
    }
    /// Adds a column whose entries are 1 where `words` have bits.
    pub(super) fn push(&mut self, words: &[u64]) {
        let column = self.patterns.iter_mut().skip(self.columns).step_by(self.stride).take(self.tables);
        let of_word = |&w: &u64| (0..WORD / ENTRIES).map(move |q| (w >> (ENTRIES * q)) as u8 % PATTERNS as u8);
        column.zip(words.iter().flat_map(of_word)).for_each(|(to, pattern)| *to = pattern);
        self.columns += 1;
    }
    /// Adds some rows of the product of the transpose of `a` and column `k` to the column `columns[k]` of `out`.
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
        let (entries, all) = a.shape();
        assert!(rows.end <= all && rows.len() == out.nrows(), "rows of the product");
        assert!(entries.div_ceil(ENTRIES) == self.tables, "inner dimension of the product");
        assert!(columns.len() == self.columns && columns.iter().all(|&j| j < out.ncols()), "columns of the product");
        if columns.is_empty() {
            return;
        }
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::add_to(self, a, rows, columns, out),
            _ => rows.enumerate().for_each(|(k, i)| self.add_row((a, i), k, columns, &mut out)),
        }
    }
    /// One row of the product, row `row` of `out`.
    fn add_row(&self, (a, i): (&Panels, usize), row: usize, columns: &[usize], out: &mut MatMut<'_>) {
        let weights = (0..a.count()).flat_map(|p| a.panel(p)[i * HEIGHT..][..HEIGHT].chunks(ENTRIES));
        for (weights, patterns) in weights.zip(self.patterns.chunks(self.stride)).take(self.tables) {
            let table = self.table(weights);
            for (&j, &p) in columns.iter().zip(patterns) {
                out[(row, j)] += table[p as usize % PATTERNS];
            }
        }
    }
    /// The contribution of every pattern of four entries, added up in their order.
    fn table(&self, weights: &[f32]) -> [f32; PATTERNS] {
        let mut table = [0.0; PATTERNS];
        for (e, w) in weights.iter().enumerate() {
            for (p, t) in table.iter_mut().enumerate() {
                *t += if p >> e & 1 == 1 { *w } else { self.low * w };
            }
        }
        table
    }
}

/// The same sums in the same order. No closures: they would be compiled without the feature.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop, reason = "registers are named by number")]
mod avx512 {
    use super::*;
    use std::arch::x86_64::*;

    /// Rows that are added up at a time; a power of two that divides a register's quarter.
    const ROWS: usize = 4;
    /// Registers of columns that are added up at a time.
    const BLOCKS: usize = 4;

    /// # Panics
    /// If the machine has no AVX-512.
    pub(super) fn add_to(patterns: &Patterns, a: &Panels, rows: Range<usize>, columns: &[usize], mut out: MatMut<'_>) {
        assert!(is_x86_feature_detected!("avx512f"), "this machine has no AVX-512");
        let whole = rows.len() / ROWS * ROWS;
        for (b, columns) in columns.chunks(BLOCKS * LANES).enumerate() {
            let product = Product { patterns, a, first: b * BLOCKS * LANES, columns };
            for row in (0..whole).step_by(ROWS) {
                // SAFETY: the feature was detected, the caller checked the shapes, and the rows are there.
                unsafe {
                    match columns.len().div_ceil(LANES) {
                        1 => product.add::<1>(rows.start + row, row, &mut out),
                        2 => product.add::<2>(rows.start + row, row, &mut out),
                        3 => product.add::<3>(rows.start + row, row, &mut out),
                        _ => product.add::<BLOCKS>(rows.start + row, row, &mut out),
                    }
                }
            }
        }
        (whole..rows.len()).for_each(|k| patterns.add_row((a, rows.start + k), k, columns, &mut out));
    }

    /// A product with some columns: those from `first` on in the patterns, `columns` in the result.
    struct Product<'a> {
        patterns: &'a Patterns,
        a: &'a Panels,
        first: usize,
        columns: &'a [usize],
    }
    /// Rows × registers of columns.
    type Sums<const C: usize> = [[__m512; C]; ROWS];

    impl Product<'_> {
        /// Adds the rows of the product from `i` on to those of `out` from `row` on.
        ///
        /// # Safety
        /// `a` must have the columns, and `out` the rows, and the columns, at most `C` registers of them.
        #[target_feature(enable = "avx512f")]
        unsafe fn add<const C: usize>(&self, i: usize, row: usize, out: &mut MatMut<'_>) {
            let (first, apart) = (out.as_mut_ptr().wrapping_add(row), out.strides().1);
            // SAFETY: the caller's.
            let mut sums: Sums<C> = unsafe { load(first, apart, self.columns) };
            let masks = masks(self.patterns.low);
            for p in 0..self.a.count() {
                let a = &self.a.panel(p)[i * HEIGHT..(i + ROWS) * HEIGHT];
                if p + 1 < self.a.count() {
                    // These rows of the next panel lie far away, where no prefetcher would look for them.
                    let next = &self.a.panel(p + 1)[i * HEIGHT..(i + ROWS) * HEIGHT];
                    for line in next.chunks(LANES) {
                        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
                    }
                }
                let tables = (self.patterns.tables - p * HEIGHT / ENTRIES).min(HEIGHT / ENTRIES);
                for k in 0..tables {
                    let table = p * HEIGHT / ENTRIES + k;
                    let patterns = &self.patterns.patterns[table * self.patterns.stride + self.first..][..C * LANES];
                    // SAFETY: four rows of a panel were cut out, and patterns for so many columns.
                    unsafe { look_up(a.as_ptr().add(k * ENTRIES), patterns.as_ptr(), masks, &mut sums) };
                }
            }
            // SAFETY: the caller's.
            unsafe { store(first, apart, self.columns, &sums) };
        }
    }
    /// Makes a table for each row, of the four values from `a` on (rows lie `HEIGHT` apart), and looks it up.
    ///
    /// # Safety
    /// There must be the values, and so many patterns.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn look_up<const C: usize>(
        a: *const f32,
        patterns: *const u8,
        masks: [__m512; ENTRIES],
        sums: &mut Sums<C>,
    ) {
        let mut index = [_mm512_setzero_si512(); C];
        for c in 0..C {
            // SAFETY: patterns are kept for whole registers of columns.
            index[c] = unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(patterns.wrapping_add(c * LANES).cast())) };
        }
        // The tables of all rows side by side, so that an addition need not wait for the one before it.
        let mut tables = [_mm512_setzero_ps(); ROWS];
        for e in 0..ENTRIES {
            for r in 0..ROWS {
                // SAFETY: the caller's.
                let w = unsafe { *a.wrapping_add(r * HEIGHT + e) };
                // The product is exact, so that this is rounded as the addition is.
                tables[r] = _mm512_fmadd_ps(_mm512_set1_ps(w), masks[e], tables[r]);
            }
        }
        for r in 0..ROWS {
            for c in 0..C {
                sums[r][c] = _mm512_add_ps(sums[r][c], _mm512_permutexvar_ps(index[c], tables[r]));
            }
        }
    }
    /// For every entry, what it is in every pattern.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn masks(low: f32) -> [__m512; ENTRIES] {
        let (low, one) = (_mm512_set1_ps(low), _mm512_set1_ps(1.0));
        [
            _mm512_mask_blend_ps(0b1010_1010_1010_1010, low, one),
            _mm512_mask_blend_ps(0b1100_1100_1100_1100, low, one),
            _mm512_mask_blend_ps(0b1111_0000_1111_0000, low, one),
            _mm512_mask_blend_ps(0b1111_1111_0000_0000, low, one),
        ]
    }
    /// Four rows of some columns, which begin at `first` and lie `apart`; absent columns are zero.
    ///
    /// # Safety
    /// The values must be there.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load<const C: usize>(first: *const f32, apart: usize, columns: &[usize]) -> Sums<C> {
        let mut sums = [[_mm512_setzero_ps(); C]; ROWS];
        for c in 0..C {
            let mut quads = [[0f32; ROWS]; LANES];
            for (quad, &j) in quads.iter_mut().zip(&columns[c * LANES..]) {
                // SAFETY: the caller's.
                unsafe { _mm_storeu_ps(quad.as_mut_ptr(), _mm_loadu_ps(first.wrapping_add(j * apart))) };
            }
            // Register q gets columns 4q..4q + 4, column by column; turned, row by row.
            let mut columns = [_mm512_setzero_ps(); 4];
            for q in 0..4 {
                // SAFETY: sixteen values.
                columns[q] = unsafe { _mm512_loadu_ps(quads[4 * q].as_ptr()) };
            }
            let rows = turn(gather_quarters(columns));
            for r in 0..ROWS {
                sums[r][c] = rows[r];
            }
        }
        sums
    }
    /// The inverse of [`load`].
    ///
    /// # Safety
    /// There must be room for the values.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store<const C: usize>(first: *mut f32, apart: usize, columns: &[usize], sums: &Sums<C>) {
        for c in 0..C {
            let mut quads = [[0f32; ROWS]; LANES];
            let registers = gather_quarters(turn([sums[0][c], sums[1][c], sums[2][c], sums[3][c]]));
            for q in 0..4 {
                // SAFETY: sixteen values.
                unsafe { _mm512_storeu_ps(quads[4 * q].as_mut_ptr(), registers[q]) };
            }
            for (quad, &j) in quads.iter().zip(&columns[c * LANES..]) {
                // SAFETY: the caller's.
                unsafe { _mm_storeu_ps(first.wrapping_add(j * apart), _mm_loadu_ps(quad.as_ptr())) };
            }
        }
    }
    /// Quarter `q` of register `r` becomes quarter `r` of register `q`; its own inverse.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn gather_quarters(v: [__m512; 4]) -> [__m512; 4] {
        let (a, b) = (_mm512_shuffle_f32x4::<0x44>(v[0], v[1]), _mm512_shuffle_f32x4::<0x44>(v[2], v[3]));
        let (c, d) = (_mm512_shuffle_f32x4::<0xee>(v[0], v[1]), _mm512_shuffle_f32x4::<0xee>(v[2], v[3]));
        [
            _mm512_shuffle_f32x4::<0x88>(a, b),
            _mm512_shuffle_f32x4::<0xdd>(a, b),
            _mm512_shuffle_f32x4::<0x88>(c, d),
            _mm512_shuffle_f32x4::<0xdd>(c, d),
        ]
    }
    /// Within every quarter: value `i` of register `r` becomes value `r` of register `i`; its own inverse.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn turn(v: [__m512; 4]) -> [__m512; 4] {
        let low = (_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpacklo_ps(v[2], v[3]));
        let high = (_mm512_unpackhi_ps(v[0], v[1]), _mm512_unpackhi_ps(v[2], v[3]));
        let (low, high) =
            ((_mm512_castps_pd(low.0), _mm512_castps_pd(low.1)), (_mm512_castps_pd(high.0), _mm512_castps_pd(high.1)));
        [
            _mm512_castpd_ps(_mm512_unpacklo_pd(low.0, low.1)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(low.0, low.1)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(high.0, high.1)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(high.0, high.1)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::linalg::bits::Bits;
    use crate::linalg::probes::ODD;

    #[test]
    fn tables_match_the_plain_product_with_the_same_bits_on_every_level() {
        let shapes =
            [(1, 1, 6), (16, 4, 6), (33, 70, 17), (131, 61, 100), (64, 5, 64), (20, 130, 40), (0, 3, 2), (3, 0, 2)];
        for (m, k, n) in shapes.into_iter().chain(ODD.map(|n| (37, 66, n))) {
            for low in [0.0, -1.0] {
                let a = Mat::from_fn(k, m, |j, i| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08);
                let x = Mat::from_fn(k, n, |i, j| if (i * i + j * 17) % 7 < 3 { 1.0 } else { low });
                let columns: Vec<usize> = (0..n).map(|j| n - j).collect();
                let run = |level| {
                    let (mut bits, mut patterns) = (Bits::default(), Patterns::default());
                    let mut out = Mat::from_fn(m, n + 1, |i, j| (i + j) as f32 * 0.1);
                    bits.of(level, x.as_view());
                    patterns.clear(k, n, low);
                    (0..n).for_each(|j| patterns.push(bits.column(j)));
                    let mut panels = Panels::default();
                    panels.copy_from(a.as_view());
                    let middle = m / 3;
                    patterns.add_to(level, (&panels, 0..middle), &columns, out.rows_mut(0, middle));
                    patterns.add_to(level, (&panels, middle..m), &columns, out.rows_mut(middle, m - middle));
                    out
                };
                let (plain, product) = (run(Level::Plain), a.transpose() * &x);
                let mut expected = Mat::from_fn(m, n + 1, |i, j| (i + j) as f32 * 0.1);
                for (k, &j) in columns.iter().enumerate() {
                    expected.column_mut(j).zip_apply(&product.column(k), |e, p| *e += p);
                }
                assert!((&plain - expected).iter().all(|d| d.abs() < 1e-5), "{m}×{k}×{n}, {low}");
                assert!(Level::available().into_iter().all(|l| run(l) == plain), "{m}×{k}×{n}, {low}");
            }
        }
    }
}
