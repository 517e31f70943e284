use super::{Unit, map};
use crate::linalg;
use crate::rng::ChainRng;
use libm::lgamma;
use rand_distr::Distribution;
use std::ops::RangeInclusive;

/// `x ∈ {0, 1, …, n}`, `U = -log C(n, x)`, `Γ = n log(1 + e^φ)`: as many of `n` Bernoulli units with one field as are on; mean
/// `n σ(φ)` (Teh and Hinton, "Rate-coded restricted Boltzmann machines for face recognition", 2001).
///
/// For counts with a limit, and for grey levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binomial {
    /// The largest value.
    pub n: u16,
}

impl Binomial {
    fn n(self) -> f64 {
        f64::from(self.n)
    }
}

/// The probability of one of the `n`.
fn sigmoid(f: f32) -> f64 {
    1.0 / (1.0 + (-f as f64).exp())
}

/// `ψ(x)` for `x > 0`: by recurrence to 6 and beyond, where its asymptotic series ends below 1e-10.
pub(super) fn digamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 6.0 {
        below -= 1.0 / x;
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    below + x.ln() - 0.5 / x - s * (1.0 / 12.0 - s * (1.0 / 120.0 - s * (1.0 / 252.0 - s * (1.0 / 240.0 - s / 132.0))))
}

impl Unit for Binomial {
    fn name(&self) -> &'static str {
        "binomial"
    }
    fn size(&self) -> Option<usize> {
        Some(self.n as usize)
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Some((0..=self.n).map(|x| vec![x as f32]).collect())
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=self.n as f32
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        self.n() * linalg::softplus_sum(1.0, field)
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| (self.n() * sigmoid(f)) as f32);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| (self.n() * sigmoid(f) * sigmoid(-f)) as f32);
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| ((self.n() + 1.0) * sigmoid(f)).floor().min(self.n()) as f32);
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        map(field, out, |f| {
            // A probability is what it asks for, and a sigmoid is one unless the field is no number.
            rand_distr::Binomial::new(self.n.into(), sigmoid(f)).map_or(f32::NAN, |draws| draws.sample(rng) as f32)
        });
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        map(mean, out, |m| (m / (self.n as f32 - m)).ln());
    }
    /// Between the integers by the gamma function.
    fn base_energy(&self, _: &[f32], x: &[f32]) -> f64 {
        let all = lgamma(self.n() + 1.0);
        x.iter().map(|&x| lgamma(x as f64 + 1.0) + lgamma(self.n() - x as f64 + 1.0) - all).sum()
    }
    fn base_grad_x(&self, _: &[f32], x: &[f32], out: &mut [f32]) {
        let slope = |x: f64| digamma(x + 1.0) - digamma(self.n() - x + 1.0);
        out.iter_mut().zip(x).for_each(|(o, &x)| *o += slope(x as f64) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_between_the_values_is_that_of_the_energy() {
        let unit = Binomial { n: 7 };
        for x in [0.0f32, 0.25, 1.0, 3.5, 6.75, 7.0] {
            let (mut slope, h) = ([0.0], 1.0 / 128.0);
            unit.base_grad_x(&[], &[x], &mut slope);
            let expected = (unit.base_energy(&[], &[x + h]) - unit.base_energy(&[], &[x - h])) / (2.0 * h as f64);
            assert!((slope[0] as f64 - expected).abs() < 1e-4, "{x}: {} and {expected}", slope[0]);
        }
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-10);
    }
}
