//! Working copies of matrices, laid out for the sparse kernels: every column begins on a cache line, and the distance of
//! two columns is an odd number of cache lines, so that equal rows of neighbouring columns fall into different cache sets.

use super::col;
use super::transpose::transpose_into;
use crate::MatRef;
use nalgebra::{Dyn, U1};
use rayon::prelude::*;

/// Values of a cache line.
const LINE: usize = 16;
/// The fewest columns that are worth a task of their own.
const COLUMNS: usize = 128;

/// A column-major matrix on aligned, padded memory.
#[derive(Debug, Default)]
pub struct Padded {
    data: Vec<f32>,
    start: usize,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl Padded {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        let mut m = Self::default();
        m.reshape(rows, columns);
        m
    }
    /// Becomes a matrix of this shape, contents unknown, in the same memory where that is large enough.
    pub fn reshape(&mut self, rows: usize, columns: usize) {
        self.reshape_to(rows, columns, rows.div_ceil(LINE) | 1);
    }
    /// The same with columns that follow each other closely: for panels that fill the nearest cache.
    pub fn reshape_closely(&mut self, rows: usize, columns: usize) {
        self.reshape_to(rows, columns, rows.div_ceil(LINE));
    }
    fn reshape_to(&mut self, rows: usize, columns: usize, lines: usize) {
        (self.rows, self.columns, self.stride) = (rows, columns, lines * LINE);
        let needed = self.stride * columns + LINE;
        if self.data.len() < needed {
            self.data = vec![0.0; needed];
            self.start = self.data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        }
    }
    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }
    /// The matrix.
    pub fn view(&self) -> MatRef<'_> {
        let data = &self.data[self.start..];
        MatRef::from_slice_with_strides_generic(data, Dyn(self.rows), Dyn(self.columns), U1, Dyn(self.stride))
    }
    /// Writes every column by its number, in parallel if there are many.
    pub fn fill_with(&mut self, f: impl Fn(usize, &mut [f32]) + Sync) {
        let end = self.start + self.stride * self.columns;
        let columns = self.data[self.start..end].par_chunks_mut(self.stride.max(1)).enumerate();
        let columns = columns.with_min_len(COLUMNS.max(self.columns / 4));
        columns.for_each(|(j, column)| f(j, &mut column[..self.rows]));
    }
    /// Becomes a copy of `m`, in parallel if it is large.
    pub fn copy_from(&mut self, m: MatRef<'_>) {
        self.reshape(m.nrows(), m.ncols());
        self.fill_with(|j, to| to.copy_from_slice(col(&m, j)));
    }
    /// Becomes `mᵀ`, in parallel.
    pub fn transpose_from(&mut self, m: MatRef<'_>) {
        self.reshape(m.ncols(), m.nrows());
        let end = self.start + self.stride * self.columns;
        transpose_into(m, &mut self.data[self.start..end], self.stride);
    }
}

impl Clone for Padded {
    /// Alignment is a matter of the memory, so that a copy has to find its own.
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.copy_from(self.view());
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    #[test]
    fn columns_begin_on_cache_lines_and_contents_survive() {
        for (r, c) in [(1, 1), (16, 3), (17, 33), (512, 2), (0, 4), (40, 0)] {
            let a = Mat::from_fn(r, c, |i, j| (i * 100 + j) as f32);
            let mut p = Padded::zeros(0, 0);
            p.copy_from(a.as_view());
            let copy = p.clone();
            assert_eq!((p.view(), copy.view(), p.shape()), (a.as_view(), a.as_view(), (r, c)));
            p.transpose_from(a.as_view());
            assert_eq!(p.view(), a.transpose());
            if r * c > 0 {
                assert!(p.view().column_iter().all(|c| (c.as_ptr() as usize).is_multiple_of(64)));
                assert_eq!(p.view().strides().1 / LINE % 2, 1);
            }
        }
    }
}
