//! What keeps weights small: penalties added to the gradient, a bound on its norm, a bound on the norm of every unit's
//! weights. Biases are never touched.

use crate::Params;
use crate::linalg;
use crate::params::Slot;

/// `l1 Σ|w| + ½ l2 Σw²` over all weights: part of the loss, so that its gradient is clipped, and goes through the
/// optimiser, with the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Strength of the sum of absolute values.
    pub l1: f32,
    /// Strength of half the sum of squares: weight decay.
    pub l2: f32,
}

impl Penalty {
    /// `grad += l1 sign(w) + l2 w`
    ///
    /// # Panics
    /// If the two are not points of the same space.
    pub fn add(self, params: &Params, grad: &mut Params) {
        if self == Self::default() {
            return;
        }
        for slot in weights(&params.layout()) {
            let (w, g) = (&params.as_slice()[slot.range()], &mut grad.as_mut_slice()[slot.range()]);
            linalg::zip_ref(g, w, |g, w| {
                // `signum` of zero is one: at zero, the subgradient nearest to none is taken instead.
                let sign = |w: f32| if w == 0.0 { 0.0 } else { w.signum() };
                g.iter_mut().zip(w).for_each(|(g, &w)| *g += self.l1 * sign(w) + self.l2 * w);
            });
        }
    }
}

/// Scales a gradient down to this Euclidean norm, if it is longer.
pub fn clip_norm(grad: &mut Params, limit: f32) {
    let grad = grad.as_mut_slice();
    let norm = linalg::sum(grad, |g| linalg::dot(g, g)).sqrt();
    if norm > limit as f64 {
        let scale = (limit as f64 / norm) as f32;
        linalg::for_each(grad, |g| *g *= scale);
    }
}

/// Scales the weights into each unit (a row of every weight matrix) down to this norm, if they are longer; a row of zeros
/// stays as it is (Srivastava and others 2014, section 5.1).
pub fn max_norm(params: &mut Params, limit: f32) {
    for slot in weights(&params.layout()) {
        let w = &mut params.as_mut_slice()[slot.range()];
        let mut squares = vec![0f64; slot.rows];
        for column in w.chunks(slot.rows) {
            squares.iter_mut().zip(column).for_each(|(s, &w)| *s += (w as f64).powi(2));
        }
        let scale = |s: &f64| if s.sqrt() > limit as f64 { (limit as f64 / s.sqrt()) as f32 } else { 1.0 };
        let scales: Vec<f32> = squares.iter().map(scale).collect();
        for column in w.chunks_mut(slot.rows) {
            column.iter_mut().zip(&scales).for_each(|(w, s)| *w *= s);
        }
    }
}

fn weights(layout: &[Slot]) -> impl Iterator<Item = &Slot> {
    layout.iter().filter(|s| s.role.is_weights() && s.rows * s.columns > 0)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Role;

    fn point(values: &[f32]) -> Params {
        let mut p = Params::zeros(&[("w", Role::Weights, 2, 2), ("b", Role::Bias, 1, 1)]);
        p.as_mut_slice().copy_from_slice(values);
        p
    }
    #[test]
    fn penalties_are_the_derivatives_of_what_they_say_and_spare_biases() {
        let (p, mut g) = (point(&[2.0, -3.0, 0.0, 1.0, 7.0]), point(&[0.0; 5]));
        Penalty { l1: 0.5, l2: 0.1 }.add(&p, &mut g);
        assert_eq!(g, point(&[0.7, -0.8, 0.0, 0.6, 0.0]));
    }
    #[test]
    fn norms_are_bounded_and_zero_rows_survive() {
        let mut p = point(&[3.0, 0.0, 4.0, 0.0, 7.0]);
        max_norm(&mut p, 1.0);
        assert_eq!(p, point(&[0.6, 0.0, 0.8, 0.0, 7.0]));
        let mut g = point(&[0.0, 3.0, 0.0, 4.0, 0.0]);
        clip_norm(&mut g, 10.0);
        assert_eq!(g.as_slice()[1], 3.0);
        clip_norm(&mut g, 1.0);
        assert!((linalg::dot(g.as_slice(), g.as_slice()) - 1.0).abs() < 1e-6);
        let mut zero = point(&[0.0; 5]);
        clip_norm(&mut zero, 0.0);
        assert_eq!(zero, point(&[0.0; 5]));
    }
}
