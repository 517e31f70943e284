//! Sums: inner products in double precision, weighted sums of columns.
//!
//! The order of every sum is fixed by the lengths alone.

use super::col;
use super::simd::{Kernel, Level};
use crate::MatRef;
use rayon::prelude::*;

const LANES: usize = 16;
/// Rows of a sum of columns that are worth a task of their own.
const ROWS: usize = 128;

/// `aᵀb`, products and sums in double precision.
///
/// # Panics
/// If the lengths differ.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "inner product of different lengths");
    Level::best().run(Dot { a, b })
}
struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}
impl Kernel for Dot<'_> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut sums = [0f64; LANES];
        let (a, b) = (self.a.chunks_exact(LANES), self.b.chunks_exact(LANES));
        let rest = a.remainder().iter().zip(b.remainder()).map(|(&x, &y)| x as f64 * y as f64).sum::<f64>();
        for (a, b) in a.zip(b) {
            for k in 0..LANES {
                sums[k] += a[k] as f64 * b[k] as f64;
            }
        }
        sums.iter().sum::<f64>() + rest
    }
}

/// `‖a - b‖²`, differences, products and sums in double precision.
///
/// # Panics
/// If the lengths differ.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "distance of different lengths");
    Level::best().run(Distance { a, b })
}
struct Distance<'a> {
    a: &'a [f32],
    b: &'a [f32],
}
impl Kernel for Distance<'_> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let square = |x: f32, y: f32| (x as f64 - y as f64) * (x as f64 - y as f64);
        let mut sums = [0f64; LANES];
        let (a, b) = (self.a.chunks_exact(LANES), self.b.chunks_exact(LANES));
        let rest = a.remainder().iter().zip(b.remainder()).map(|(&x, &y)| square(x, y)).sum::<f64>();
        for (a, b) in a.zip(b) {
            for k in 0..LANES {
                sums[k] += square(a[k], b[k]);
            }
        }
        sums.iter().sum::<f64>() + rest
    }
}

/// `y += alpha x`
///
/// # Panics
/// If the lengths differ.
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "sum of different lengths");
    Level::best().run(Axpy { alpha, x, y });
}
struct Axpy<'a> {
    alpha: f32,
    x: &'a [f32],
    y: &'a mut [f32],
}
impl Kernel for Axpy<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y += self.alpha * x;
        }
    }
}

/// `y += scale Σₙ wₙ xₙ`, the weighted sum of the columns, in parallel over rows; a column of weight zero is
/// absent, whatever it holds.
///
/// # Panics
/// If there is not one weight for every column.
pub fn add_columns(y: &mut [f32], scale: f32, x: MatRef<'_>, weights: &[f32]) {
    assert_eq!(weights.len(), x.ncols(), "a weight for every column");
    y.par_chunks_mut(ROWS).enumerate().for_each(|(k, y)| {
        for (j, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            axpy(scale * w, &col(&x, j)[k * ROWS..][..y.len()], y);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_is_exact_to_double_precision() {
        for n in [0, 1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 1000] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32).sin() * 1e4).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
            let plain: f64 = a.iter().zip(&b).map(|(&x, &y)| x as f64 * y as f64).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-9);
            let plain: f64 = a.iter().zip(&b).map(|(&x, &y)| (x as f64 - y as f64).powi(2)).sum();
            assert!((squared_distance(&a, &b) - plain).abs() <= 1e-13 * plain);
        }
    }
}
