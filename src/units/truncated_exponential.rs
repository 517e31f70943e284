use super::{Unit, map};
use crate::rng::ChainRng;
use rand::RngExt;
use std::ops::RangeInclusive;

/// `x ∈ [0, 1]`, `U = 0`: an exponential density between two ends, `Γ = log (e^φ - 1)/φ`, mean `1/(1 - e^{-φ}) - 1/φ`; uniform at
/// `φ = 0`. For grey values as what they are, where a [`Bernoulli`](super::Bernoulli) unit takes them for probabilities.
///
/// Also known as the continuous Bernoulli (Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in
/// variational autoencoders", 2019), in Boltzmann machines as in Bengio, Lamblin, Popovici and Larochelle, "Greedy layer-wise
/// training of deep networks", 2007.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncatedExponential;

/// Below this field, series: their next terms are below 1e-14.
const SMALL: f64 = 0.02;

/// `Γ` of one unit: `½φ + log (sinh ½φ / ½φ)`.
fn gamma(f: f64) -> f64 {
    if f.abs() < SMALL {
        return 0.5 * f + f * f / 24.0 - f.powi(4) / 2880.0;
    }
    f.max(0.0) + (-(-f.abs()).exp_m1() / f.abs()).ln()
}
fn mean(f: f64) -> f64 {
    if f.abs() < SMALL {
        return 0.5 + f / 12.0 - f.powi(3) / 720.0 + f.powi(5) / 30_240.0;
    }
    -1.0 / (-f).exp_m1() - 1.0 / f
}
fn variance(f: f64) -> f64 {
    if f.abs() < SMALL {
        return 1.0 / 12.0 - f * f / 240.0 + f.powi(4) / 6048.0;
    }
    1.0 / (f * f) - 0.25 / (0.5 * f).sinh().powi(2)
}
/// The field of a mean: Newton's method between `-1/m`, whose mean is below `m`, and zero; upper halves by symmetry.
fn field_of(m: f64) -> f64 {
    if m > 0.5 {
        return -field_of(1.0 - m);
    }
    if m <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let (mut low, mut high) = (-1.0 / m, 0.0);
    let mut f = (12.0 * (m - 0.5)).max(low);
    for _ in 0..200 {
        let off = mean(f) - m;
        *(if off < 0.0 { &mut low } else { &mut high }) = f;
        let newton = f - off / variance(f);
        let next = if (low..=high).contains(&newton) { newton } else { 0.5 * (low + high) };
        let step = next - f;
        f = next;
        if step.abs() <= 1e-14 * (1.0 + f.abs()) {
            break;
        }
    }
    f
}

impl Unit for TruncatedExponential {
    fn name(&self) -> &'static str {
        "truncated_exponential"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        field.iter().map(|&f| gamma(f64::from(f))).sum()
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| mean(f64::from(f)) as f32);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| variance(f64::from(f)) as f32);
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| (f > 0.0) as u8 as f32);
    }
    /// The inverse of the distribution function, from the end where the density is highest: one uniform number a unit.
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        map(field, out, |f| {
            let (u, down) = (rng.random::<f64>(), -f64::from(f).abs());
            let x = if down == 0.0 { u } else { (u * down.exp_m1()).ln_1p() / down };
            if f > 0.0 { (1.0 - x) as f32 } else { x as f32 }
        });
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        map(mean, out, |m| field_of(f64::from(m)) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both routes at the same field, where both have nearly all their digits.
    #[test]
    fn series_continue_the_formulas() {
        for f in [SMALL, -SMALL] {
            let inside = f * (1.0 - 1e-12);
            for (name, of, allowed) in
                [("Γ", gamma as fn(f64) -> f64, 1e-13), ("mean", mean, 1e-12), ("variance", variance, 1e-11)]
            {
                assert!((of(f) - of(inside)).abs() < allowed, "{name} at {f}: {} and {}", of(f), of(inside));
            }
        }
        assert_eq!((gamma(0.0), mean(0.0), variance(0.0)), (0.0, 0.5, 1.0 / 12.0));
        for m in [1e-6, 0.01, 0.3, 0.499, 0.5, 0.7, 0.999] {
            assert!((mean(field_of(m)) - m).abs() < 1e-12, "{m}: {}", field_of(m));
        }
        assert_eq!((field_of(0.0), field_of(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
