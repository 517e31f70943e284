//! Products and fused element-wise kernels over columns. The only folder that may hold `unsafe`, and only where the
//! instruction set is chosen and the GEMM engine is called; with `states`, most of the code that knows of threads.

mod agreements;
mod binary;
mod bits;
mod columns;
mod edges;
mod fused;
mod gemm;
mod lists;
mod normals;
mod outer;
mod panels;
mod pass;
#[cfg(test)]
mod probes;
mod reduce;
mod simd;
mod softmax;
mod sums;
mod tables;
mod tile;
mod transpose;

pub use agreements::{SpinBits, spin_products};
pub use binary::{Factor, Working};
pub use columns::{for_columns, for_columns_with};
pub use edges::edge_products;
pub use fused::{
    exp, mix, sigmoid, sigmoid_to, softplus, softplus_sum, softplus_sum_at, two_valued, two_valued_at, uniforms_to,
};
pub use gemm::{gemm, gemm_nt, gemm_tn};
pub use normals::{normals_to, normals_to_at};
pub use outer::{Outer, add_outer, set_outers};
pub use pass::{by_columns, first, for_each, in_order, step_from, sum, zip_ref, zip2};
pub use reduce::{add_columns, axpy, dot, squared_distance};
pub use simd::{Kernel, Level};
pub use softmax::{softmax, softmax_at};
pub use sums::{WideMut, add_product, axpy_wide};
pub(crate) use tile::{Tile, TwoValues};
pub use transpose::transpose_to;

use crate::{MatMut, MatRef};

/// Column `j` as a slice.
///
/// # Panics
/// If there is no such column.
pub fn col<'a>(x: &'a MatRef<'_>, j: usize) -> &'a [f32] {
    x.column(j).data.into_slice()
}
/// Broadcasts `bias` into every column.
///
/// # Panics
/// If the bias has not one entry a row.
pub fn fill_columns(bias: &[f32], c: &mut MatMut<'_>) {
    for mut column in c.column_iter_mut() {
        column.copy_from_slice(bias);
    }
}
