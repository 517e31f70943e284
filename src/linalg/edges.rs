//! Products of states along the edges of a graph, summed over samples: the gradient by the couplings of a sparse machine.

use super::col;
use crate::MatRef;
use rayon::prelude::*;

/// Edges that one task takes: a constant, so that bits do not depend on threads.
const CHUNK: usize = 1024;

/// `out += scale Σₙ wₙ aᵢ b_jᵀ` for every edge (i, j) of units of `width` rows, a column-major square matrix an edge, in parallel over
/// edges. A sample of weight zero is absent, whatever it holds.
///
/// # Panics
/// If the shapes do not fit.
pub fn edge_products(
    scale: f32,
    (edges, width): (&[(usize, usize)], usize),
    [a, b]: [MatRef<'_>; 2],
    weights: &[f32],
    out: &mut [f32],
) {
    assert_eq!(out.len(), edges.len() * width * width, "a matrix for every edge");
    assert_eq!([a.ncols(), b.ncols()], [weights.len(); 2], "a weight for every sample");
    if out.is_empty() {
        return;
    }
    let chunks = edges.par_chunks(CHUNK).zip(out.par_chunks_mut(CHUNK * width * width));
    chunks.for_each(|(edges, out)| {
        for (n, &weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let (a, b) = (col(&a, n), col(&b, n));
            let weight = scale * weight;
            for (&(i, j), out) in edges.iter().zip(out.chunks_exact_mut(width * width)) {
                let (of_i, of_j) = (&a[i * width..(i + 1) * width], &b[j * width..(j + 1) * width]);
                for (out, b) in out.chunks_exact_mut(width).zip(of_j) {
                    out.iter_mut().zip(of_i).for_each(|(o, a)| *o += weight * a * b);
                }
            }
        }
    });
}
