//! Matrices and products by definition, for the tests of products.

use crate::Mat;
use crate::rng::ChainRng;
use rand::RngExt;

/// Numbers of columns around which kernels change their ways.
pub(super) const ODD: [usize; 7] = [1, 2, 3, 5, 63, 64, 65];

pub(super) fn sparse(rows: usize, columns: usize, density: f64, binary: bool) -> Mat {
    let mut rng = ChainRng::new(rows as u64 ^ columns as u64);
    Mat::from_fn(rows, columns, |_, _| {
        let value = if binary { 1.0 } else { rng.random::<f32>() - 0.5 };
        if rng.random::<f64>() < density { value } else { 0.0 }
    })
}
pub(super) fn dense(rows: usize, columns: usize) -> Mat {
    Mat::from_fn(rows, columns, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.017 - 0.08)
}
pub(super) fn product(a: &Mat, x: &Mat, weight: impl Fn(usize) -> f64) -> nalgebra::DMatrix<f64> {
    let x = nalgebra::DMatrix::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] as f64 * weight(i));
    a.map(|v| v as f64) * x
}
pub(super) fn agree(got: &Mat, plain: &nalgebra::DMatrix<f64>) {
    let worst = got.iter().zip(plain.iter()).map(|(&a, b)| (a as f64 - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-5 * plain.amax().max(1.0), "off by {worst}");
}
