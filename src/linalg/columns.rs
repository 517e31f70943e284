//! Columns of a matrix made in parallel, piece by piece: the pieces depend on the number of columns alone.

use crate::{Mat, MatMut};
use nalgebra::Dyn;
use rayon::prelude::*;
use std::ops::Range;

/// `f` of every `width` columns of `out`, in parallel: which columns, and their place.
pub fn for_columns(out: &mut Mat, width: usize, f: impl Fn(Range<usize>, MatMut<'_>) + Sync) {
    let rows = out.nrows();
    if rows > 0 && width > 0 {
        out.as_mut_slice().par_chunks_mut(rows * width).enumerate().for_each(|(k, piece)| {
            let columns = piece.len() / rows;
            f(k * width..k * width + columns, place(piece, rows, columns));
        });
    }
}
/// [`for_columns`] with something of its own for every piece, kept from call to call.
///
/// # Panics
/// If there are fewer of those than pieces.
pub fn for_columns_with<T: Send>(
    out: &mut Mat,
    width: usize,
    own: &mut [T],
    f: impl Fn(Range<usize>, MatMut<'_>, &mut T) + Sync,
) {
    let (rows, columns) = out.shape();
    assert!(own.len() >= columns.div_ceil(width.max(1)), "something for every piece of {columns} columns");
    if rows > 0 && width > 0 {
        out.as_mut_slice().par_chunks_mut(rows * width).zip(own).enumerate().for_each(|(k, (piece, own))| {
            let columns = piece.len() / rows;
            f(k * width..k * width + columns, place(piece, rows, columns), own);
        });
    }
}
fn place(piece: &mut [f32], rows: usize, columns: usize) -> MatMut<'_> {
    MatMut::from_slice_generic(piece, Dyn(rows), Dyn(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_where_they_say() {
        for n in [0, 1, 6, 7, 8, 40] {
            let (mut out, mut own) = (Mat::zeros(3, n), vec![0; 6]);
            for_columns(&mut out, 7, |columns, mut piece| {
                assert_eq!(piece.ncols(), columns.len());
                columns.enumerate().for_each(|(k, j)| piece.column_mut(k).fill(j as f32));
            });
            assert_eq!(out, Mat::from_fn(3, n, |_, j| j as f32));
            for_columns_with(&mut out, 7, &mut own, |columns, mut piece, own| {
                *own = columns.len();
                piece.fill(1.0);
            });
            assert_eq!((out.sum(), own.iter().sum::<usize>()), (3.0 * n as f32, n));
        }
    }
    #[test]
    fn a_matrix_without_rows_has_no_pieces() {
        for_columns(&mut Mat::zeros(0, 5), 2, |_, _| panic!("no piece"));
    }
}
