//! Derivatives by central differences, extrapolated to steps of zero.

use super::chance::ROUNDING;
use crate::Train;

/// A derivative, and how far rounding and the length of the steps can have moved it.
pub(super) struct Slope {
    pub(super) value: f64,
    pub(super) allowed: f64,
}

/// The largest step; the others are its half and its quarter. All are exact in binary.
pub(super) const STEP: f32 = 0.25;

/// Romberg's scheme over the quotients of three steps, each half of the one before, the last of length `shortest`;
/// `noise` is the rounding of one value of the function.
pub(super) fn extrapolate([one, two, three]: [f64; 3], shortest: f64, noise: f64) -> Slope {
    let (coarse, fine) = ((4.0 * two - one) / 3.0, (4.0 * three - two) / 3.0);
    let value = fine + (fine - coarse) / 15.0;
    Slope { value, allowed: (fine - coarse).abs() / 10.0 + 2.0 * noise / shortest + ROUNDING * value.abs() }
}

/// The derivative of `f`, a function of `x`, at `x`; every value of it has the rounding `noise`.
pub(super) fn slope(x: f32, noise: f64, mut f: impl FnMut(f32) -> f64) -> Slope {
    let quotients = [STEP, STEP / 2.0, STEP / 4.0].map(|h| {
        let (up, down) = (x + h, x - h);
        (f(up) - f(down)) / (up as f64 - down as f64)
    });
    extrapolate(quotients, (STEP / 4.0) as f64, noise)
}

/// The derivative of a function of a model along the direction in which the model moves when one parameter is changed:
/// it may move others too, where it has constraints to restore.
pub(super) struct Along {
    pub(super) slope: Slope,
    direction: Vec<(usize, f64)>,
}

impl Along {
    /// The slope of `f` for a change of parameter `k`; the model ends where it was. `None` if the parameter cannot
    /// change.
    pub(super) fn parameter<M: Train + ?Sized>(
        model: &mut M,
        k: usize,
        noise: f64,
        f: &dyn Fn(&M) -> f64,
    ) -> Option<Self> {
        let home = model.params().as_slice().to_vec();
        let first = STEP.max(home[k].abs() / 4096.0);
        let mut direction = vec![];
        let quotients = [first, first / 2.0, first / 4.0].map(|h| {
            let mut at = |value: f32| {
                model.update(&mut |p| {
                    p.as_mut_slice().copy_from_slice(&home);
                    p.as_mut_slice()[k] = value;
                });
                (f(model), model.params().as_slice().to_vec())
            };
            let ((up, above), (down, below)) = (at(home[k] + h), at(home[k] - h));
            let moved: Vec<f64> = above.iter().zip(&below).map(|(a, b)| *a as f64 - *b as f64).collect();
            let length = moved.iter().fold(0f64, |m, d| m.max(d.abs()));
            let entries = moved.iter().enumerate().filter(|(_, d)| **d != 0.0);
            direction = entries.map(|(k, d)| (k, d / length)).collect();
            (up - down) / length
        });
        model.update(&mut |p| p.as_mut_slice().copy_from_slice(&home));
        let slope = extrapolate(quotients, (first / 4.0) as f64, noise);
        (!direction.is_empty()).then_some(Self { slope, direction })
    }
    /// What a gradient says of the same slope.
    pub(super) fn by(&self, gradient: impl Fn(usize) -> f64) -> f64 {
        self.direction.iter().map(|&(k, d)| d * gradient(k)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_derivatives_within_what_they_allow() {
        let exact = |x: f32| (2.0 * x as f64).sin();
        for x in [-1.5, 0.0, 0.3f32] {
            let s = slope(x, 1e-12, exact);
            let off = (s.value - 2.0 * (2.0 * x as f64).cos()).abs();
            assert!(off <= s.allowed && s.allowed < 1e-3, "{x}: off by {off}, allowed {}", s.allowed);
        }
    }
}
