use super::{Unit, map};
use crate::rng::ChainRng;
use libm::erfc;
use rand::RngExt;
use rand_distr::{Distribution, Exp1, StandardNormal};
use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};
use std::ops::RangeInclusive;

/// `x ≥ 0`, `U = ½x²`: a rectified unit, that is a normal one of mean φ and variance one, given that it is not negative.
/// `Γ = ½φ² + ½ log 2π + log Φ(φ)` with the normal distribution function `Φ`.
///
/// Exact, unlike the noisy rectification of Nair and Hinton ("Rectified linear units improve restricted Boltzmann machines",
/// 2010), which samples `max(0, φ + noise)`. Between a layer of them and one of real units, energies may have no minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu;

/// Below this field, tails are continued fractions; above, error functions lose few digits.
const TAIL: f64 = -7.0;
/// Terms of the continued fraction; 40 give double precision from -7 on.
const TERMS: u32 = 40;

/// `k/(t + (k+1)/(t + …))`, of which Mills' ratio `(1 - Φ(t)) / Φ'(t) = 1/(t + 1/(t + 2/(t + …)))` is made (Laplace 1805).
fn fraction(t: f64, k: u32) -> f64 {
    (k..k + TERMS).rev().fold(0.0, |rest, k| f64::from(k) / (t + rest))
}
/// `Φ'(φ) / Φ(φ)` above the tail.
fn hazard(f: f64) -> f64 {
    (2.0 / PI).sqrt() * (-0.5 * f * f).exp() / erfc(-f * FRAC_1_SQRT_2)
}
/// `Γ` of one unit.
fn gamma(f: f64) -> f64 {
    if f < TAIL {
        return -(-f + fraction(-f, 1)).ln();
    }
    0.5 * f * f + 0.5 * TAU.ln() + (0.5 * erfc(-f * FRAC_1_SQRT_2)).ln()
}
fn mean(f: f64) -> f64 {
    // In the tail 1/M - t, which is the rest of the fraction.
    if f < TAIL { fraction(-f, 1) } else { f + hazard(f) }
}
/// `1 - m (m - φ)` for the mean `m`; in the tail, where that has no digits, by the fraction `a = 1/(t + b)`, `b = 2/(t + …)`:
/// `1 - a² - ta = ab - a²`.
fn variance(f: f64) -> f64 {
    if f < TAIL {
        let (a, b) = (fraction(-f, 1), fraction(-f, 2));
        return a * (b - a);
    }
    let h = hazard(f);
    1.0 - h * (f + h)
}
/// The field of a mean: Newton's method from the mean itself, which lies above, for means are convex in the field.
fn field_of(m: f64) -> f64 {
    if m <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let mut f = m;
    for _ in 0..200 {
        let step = (mean(f) - m) / variance(f);
        f -= step;
        if step.abs() <= 1e-14 * (1.0 + f.abs()) {
            break;
        }
    }
    f
}

impl Unit for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=f32::MAX
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        field.iter().map(|&f| gamma(f as f64)).sum()
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| mean(f as f64) as f32);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| variance(f as f64) as f32);
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| f.max(0.0));
    }
    /// Normal draws until one is positive; where few are, exponential ones under the tail (Robert, "Simulation of truncated
    /// normal variables", 1995).
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        map(field, out, |f| {
            let f = f as f64;
            if !f.is_finite() {
                return if f == f64::NEG_INFINITY { 0.0 } else { f as f32 };
            }
            if f > -0.5 {
                loop {
                    let z: f64 = StandardNormal.sample(rng);
                    if f + z >= 0.0 {
                        return (f + z) as f32;
                    }
                }
            }
            let rate = 0.5 * (-f + (f * f + 4.0).sqrt());
            loop {
                let e: f64 = Exp1.sample(rng);
                let x = e / rate;
                if rng.random::<f64>() <= (-0.5 * (x - f - rate).powi(2)).exp() {
                    return x as f32;
                }
            }
        });
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        map(mean, out, |m| field_of(m as f64) as f32);
    }
    fn base_energy(&self, _: &[f32], x: &[f32]) -> f64 {
        x.iter().map(|&x| 0.5 * (x as f64).powi(2)).sum()
    }
    fn base_grad_x(&self, _: &[f32], x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(o, x)| *o += x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both routes at the same field, just above the tail, where both have all their digits.
    #[test]
    fn the_tail_continues_the_body() {
        for f in [-7.0, -6.5, -6.0f64] {
            let (a, b) = (fraction(-f, 1), fraction(-f, 2));
            let near = |x: f64, y: f64, what: &str| assert!((x / y - 1.0).abs() < 1e-9, "{what} at {f}: {x} and {y}");
            near(a, mean(f), "mean");
            near(a * (b - a), variance(f), "variance");
            near(-(-f + a).ln(), gamma(f), "log-partition");
        }
        assert!((mean(-1e6) * 1e6 - 1.0).abs() < 1e-9 && (variance(-1e6) * 1e12 - 1.0).abs() < 1e-9);
        for f in [-1e4, -100.0, -8.0, -3.0, 0.0, 2.0, 50.0] {
            assert!((field_of(mean(f)) / f - 1.0).abs() < 1e-6 || f == 0.0, "{f}");
        }
    }
}
