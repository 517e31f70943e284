//! How the slope of an energy along a direction depends on the parameters, by differences of gradients: any model can have it.

use crate::linalg::col;
use crate::{Learn, Mat, MatRef, Params};

/// How far to each side of a sample, along its direction.
const REACH: f64 = 0.03;

/// The provided body of [`crate::Directional::grad_slopes`]: `[∂E(x + hu)/∂θ - ∂E(x - hu)/∂θ] / 2h` with `h = 0.03 / ‖u‖`.
pub(crate) fn by_differences<M: Learn + ?Sized>(
    model: &M,
    x: MatRef<'_>,
    u: MatRef<'_>,
    weights: &[f32],
    grad: &mut Params,
) {
    let n = x.ncols();
    let (mut states, mut signed) = (Mat::zeros(x.nrows(), 2 * n), vec![0.0; 2 * n]);
    for (j, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
        let (x, u) = (col(&x, j), col(&u, j));
        let norm = crate::linalg::dot(u, u).sqrt();
        if norm == 0.0 {
            continue;
        }
        let h = (REACH / norm) as f32;
        for (to, sign) in [(j, 1.0), (n + j, -1.0)] {
            states.column_mut(to).iter_mut().zip(x.iter().zip(u)).for_each(|(s, (x, u))| *s = x + sign * h * u);
            signed[to] = sign * w / (2.0 * h);
        }
    }
    model.grad_params(states.as_view(), &signed, grad);
}
