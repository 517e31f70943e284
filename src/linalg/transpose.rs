//! The transpose of a matrix, in tiles that fit the cache: a plain double loop misses it at every step of one side.

use crate::{Mat, MatRef};
use rayon::prelude::*;

/// Rows and columns of a tile.
const TILE: usize = 16;

/// `out = mᵀ`, in parallel.
///
/// # Panics
/// If the shapes do not fit.
pub fn transpose_to(m: MatRef<'_>, out: &mut Mat) {
    let (rows, columns) = m.shape();
    assert_eq!(out.shape(), (columns, rows), "shape of the transpose");
    if rows == 0 || columns == 0 {
        return;
    }
    out.as_mut_slice().par_chunks_mut(columns * TILE).enumerate().for_each(|(strip, out)| {
        let first = strip * TILE;
        for from in (0..columns).step_by(TILE) {
            for j in from..(from + TILE).min(columns) {
                let column = m.column(j);
                let part = &column.data.into_slice()[first..first + out.len() / columns];
                part.iter().enumerate().for_each(|(i, v)| out[i * columns + j] = *v);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::probes::ODD;

    #[test]
    fn it_is_the_transpose() {
        for (m, n) in ODD.iter().flat_map(|&m| ODD.iter().map(move |&n| (m, n))) {
            let a = Mat::from_fn(m + 1, n, |i, j| (i * 100 + j) as f32);
            let mut out = Mat::zeros(n, m);
            transpose_to(a.rows(1, m), &mut out);
            assert_eq!(out, a.rows(1, m).transpose());
        }
    }
}
