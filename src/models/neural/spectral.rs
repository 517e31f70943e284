//! The largest singular value of a matrix, and keeping it below a limit.
//!
//! A layer whose weights have spectral norm `c` stretches no difference of its inputs by more than `c` times; so an energy's slope is
//! bounded, and Langevin chains cannot fall off a cliff that a network grew between two updates.
//!
//! ## References
//! - Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial networks", 2018: divides the weights by
//!   their norm.
//! - Gouk, Frank, Pfahringer and Cree, "Regularisation of neural networks by enforcing Lipschitz continuity", 2021: projects them, as is
//!   done here, so that weights below the limit are left alone.

use crate::linalg::{axpy, dot};
use crate::{MatMut, MatRef};

/// Steps of power iteration. It finds the norm from below: by a factor of `1 - (σ₂/σ₁)^{2·steps}` at worst.
const STEPS: usize = 12;

/// The spectral norm of a matrix, by power iteration from a fixed start: never above it, and a few per cent below at worst where the two
/// largest singular values are all but equal.
pub(super) fn spectral_norm(w: MatRef<'_>) -> f64 {
    // A start with a part in every direction, the same every time: nothing to keep between updates.
    let mut v: Vec<f32> = (0..w.ncols()).map(|i| 1.0 + 0.5 * (1.7 * i as f32).sin()).collect();
    let (mut u, mut norm) = (vec![0f32; w.nrows()], 0.0);
    for _ in 0..STEPS {
        scale_to_one(&mut v);
        u.fill(0.0);
        w.column_iter().zip(&v).for_each(|(c, v)| axpy(*v, c.data.into_slice(), &mut u));
        norm = scale_to_one(&mut u);
        v.iter_mut().zip(w.column_iter()).for_each(|(v, c)| *v = dot(c.data.into_slice(), &u) as f32);
    }
    norm.max(dot(&v, &v).sqrt())
}
/// Divides by the norm, which it gives; a vector of zeros stays.
fn scale_to_one(v: &mut [f32]) -> f64 {
    let norm = dot(v, v).sqrt();
    if norm > 0.0 {
        v.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
    }
    norm
}
/// Scales a matrix down to a spectral norm of `limit`, if it has a larger one.
pub(super) fn limit_spectral_norm(w: &mut MatMut<'_>, limit: f32) {
    let norm = spectral_norm(w.as_view());
    if norm > f64::from(limit) {
        *w *= (f64::from(limit) / norm) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    #[test]
    fn the_norm_is_the_largest_singular_value() {
        for (m, n) in [(1, 1), (5, 3), (3, 40), (30, 30)] {
            let mut w = Mat::from_fn(m, n, |i, j| ((3 * i + 7 * j * j + 1) as f32).sin());
            let exact = f64::from(w.singular_values().max());
            let got = spectral_norm(w.as_view());
            assert!(got <= exact * (1.0 + 1e-5) && got > 0.95 * exact, "{m} × {n}: {got} instead of {exact}");
            limit_spectral_norm(&mut w.as_view_mut(), 0.5);
            assert!(w.singular_values().max() < 0.5 / 0.95);
        }
        let mut small = Mat::from_element(2, 2, 0.1);
        limit_spectral_norm(&mut small.as_view_mut(), 0.5);
        assert_eq!((small, spectral_norm(Mat::zeros(3, 2).as_view())), (Mat::from_element(2, 2, 0.1), 0.0));
    }
}
