//! Dense products; the only file that names the GEMM engine.
//!
//! A column of a product has the same bits however many columns are computed with it, for slabs rely on that: `gemm` 0.19
//! keeps this from two columns on, and a single one is padded. Products are single-threaded: parallelism is over slabs.
#![allow(unsafe_code)]

use crate::{Mat, MatMut, MatRef};

/// `c = alpha a b + beta c`
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm(alpha: f32, a: MatRef<'_>, b: MatRef<'_>, beta: f32, c: MatMut<'_>) {
    product(alpha, Strided::plain(&a), Strided::plain(&b), beta, c);
}
/// `c = alpha a bᵀ + beta c`
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm_nt(alpha: f32, a: MatRef<'_>, b: MatRef<'_>, beta: f32, c: MatMut<'_>) {
    product(alpha, Strided::plain(&a), Strided::transposed(&b), beta, c);
}

/// `c = alpha aᵀ b + beta c`. The bits of a column may depend on how many there are: not for slabs, whose width is no part of a result.
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm_tn(alpha: f32, a: MatRef<'_>, b: MatRef<'_>, beta: f32, c: MatMut<'_>) {
    product(alpha, Strided::transposed(&a), Strided::plain(&b), beta, c);
}

/// A borrowed matrix as the engine wants it.
#[derive(Clone, Copy)]
struct Strided {
    data: *const f32,
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl Strided {
    fn plain(m: &MatRef<'_>) -> Self {
        let ((rows, columns), column_stride) = (m.shape(), m.strides().1 as isize);
        Self { data: m.as_ptr(), rows, columns, row_stride: 1, column_stride }
    }
    fn transposed(m: &MatRef<'_>) -> Self {
        let ((columns, rows), row_stride) = (m.shape(), m.strides().1 as isize);
        Self { data: m.as_ptr(), rows, columns, row_stride, column_stride: 1 }
    }
}

fn product(alpha: f32, a: Strided, b: Strided, beta: f32, mut c: MatMut<'_>) {
    assert_eq!(a.columns, b.rows, "inner dimensions of {}×{} by {}×{}", a.rows, a.columns, b.rows, b.columns);
    assert_eq!((a.rows, b.columns), c.shape(), "shape of the product");
    if b.columns == 1 {
        let mut two = Mat::zeros(a.rows, 2);
        two.column_mut(0).copy_from(&c.column(0));
        // The second column repeats the first: a column stride of zero.
        engine(alpha, a, Strided { columns: 2, column_stride: 0, ..b }, beta, two.as_view_mut());
        c.column_mut(0).copy_from(&two.column(0));
    } else {
        engine(alpha, a, b, beta, c);
    }
}

/// Says when the engine copies its factors before it multiplies: not at all where it need not. A slab has few columns, and a copy of the
/// weights for each costs as much as a fifth of the product; unless columns lie a power of two apart, which the cache takes for one place.
/// The engine keeps the setting for the whole process: another thread's may come between, which changes times and no bits.
fn copy_only_where_it_pays(a: Strided) {
    const NEVER: usize = 1 << 20;
    let aliased = a.row_stride == 1 && a.column_stride % 1024 == 0;
    let lhs = if aliased { gemm::DEFAULT_LHS_PACKING_THRESHOLD_SINGLE_THREAD } else { NEVER };
    if gemm::get_lhs_packing_threshold_single_thread() != lhs {
        gemm::set_lhs_packing_threshold_single_thread(lhs);
    }
    if gemm::get_rhs_packing_threshold() != NEVER {
        gemm::set_rhs_packing_threshold(NEVER);
    }
}

fn engine(alpha: f32, a: Strided, b: Strided, beta: f32, mut c: MatMut<'_>) {
    let (rows, columns, stride) = (a.rows, b.columns, c.strides().1 as isize);
    copy_only_where_it_pays(a);
    // SAFETY: `product` checked that the shapes fit; pointers, strides and lengths come from the views themselves (whose
    // row stride is one by type), which outlive the call; `c` is borrowed mutably, so it overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            a.columns,
            c.as_mut_ptr(),
            stride,
            1,
            beta != 0.0,
            a.data,
            a.column_stride,
            a.row_stride,
            b.data,
            b.column_stride,
            b.row_stride,
            beta,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::probes::ODD;

    #[test]
    fn bits_of_a_column_do_not_depend_on_the_width() {
        for (m, k) in [(500, 784), (70, 300), (32, 90), (10, 5), (1, 7)] {
            let a = Mat::from_fn(m, k, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08);
            let b = Mat::from_fn(k, 100, |i, j| ((i * 31 + j * 17) % 23) as f32 * 0.19 - 1.0);
            let mut whole = Mat::from_element(m, 100, 0.1);
            gemm(1.0, a.as_view(), b.as_view(), 1.0, whole.as_view_mut());
            for w in [1, 2, 3, 8, 9, 24, 32, 56] {
                let mut cut = Mat::from_element(m, 100, 0.1);
                for j in (0..100).step_by(w) {
                    let n = w.min(100 - j);
                    gemm(1.0, a.as_view(), b.columns(j, n), 1.0, cut.columns_mut(j, n));
                }
                assert!(cut == whole, "{m}×{k}, width {w}");
            }
        }
    }
    /// Integers, so that every order of summation is exact; row strides and odd shapes that broke nalgebra's own kernels.
    #[test]
    fn products_match_the_definition_on_strided_views() {
        let shapes = [(5, 3, 4), (1, 1, 1), (2, 5, 1), (17, 4, 63), (3, 65, 5)];
        for (m, k, n) in shapes.into_iter().chain(ODD.map(|n| (19, n, n))) {
            let a = Mat::from_fn(m + 3, k, |i, j| ((i * 5 + j * 3) % 7) as f32 - 3.0);
            let b = Mat::from_fn(k + 2, n, |i, j| ((i * 3 + j * 5) % 5) as f32 - 2.0);
            let (a, b) = (a.rows(2, m), b.rows(1, k));
            let plain = |i: usize, j: usize| (0..k).map(|l| a[(i, l)] * b[(l, j)]).sum::<f32>();
            let mut c = Mat::from_element(m + 1, n, 1.0);
            gemm(2.0, a, b, 3.0, c.rows_mut(0, m));
            assert_eq!(c, Mat::from_fn(m + 1, n, |i, j| if i < m { 2.0 * plain(i, j) + 3.0 } else { 1.0 }));
            gemm_nt(1.0, a, b.transpose().as_view(), 0.0, c.rows_mut(0, m));
            assert_eq!(c.rows(0, m), Mat::from_fn(m, n, plain));
            gemm_tn(1.0, a.transpose().as_view(), b, 0.0, c.rows_mut(0, m));
            assert_eq!(c.rows(0, m), Mat::from_fn(m, n, plain));
        }
    }
}
