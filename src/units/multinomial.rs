use super::Unit;
use super::binomial::digamma;
use crate::rng::ChainRng;
use libm::lgamma;
use rand::RngExt;
use std::ops::RangeInclusive;

/// Counts of `q` kinds that sum to a total `D`: the words of a document of length `D`, each of which is one of `q`. `U = Σ log xₖ!`,
/// `Γ = D log Σ e^{φₖ} - log D!`, means `D e^{φₖ} / Σ e^{φₖ}`.
///
/// The total is no parameter that is learned: it comes with the state, as the single number in `theta` (see
/// [`Energy::theta`](crate::Energy::theta)). Without one it is 1, and the unit a [`Softmax`](super::Softmax) unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multinomial {
    /// The number of kinds; at least 1.
    pub q: usize,
}

/// `D`
fn total(theta: &[f32]) -> f64 {
    theta.first().map_or(1.0, |&d| f64::from(d))
}
/// The largest field, and `Σ e^{φₖ - largest}`.
fn sum(field: &[f32]) -> (f64, f64) {
    let most = f64::from(field.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    (most, field.iter().map(|&f| (f64::from(f) - most).exp()).sum())
}
/// `out[k] = f(share of kind k)`.
fn shares(field: &[f32], out: &mut [f32], f: impl Fn(f64) -> f64) {
    let (most, sum) = sum(field);
    out.iter_mut().zip(field).for_each(|(o, &x)| *o = f((f64::from(x) - most).exp() / sum) as f32);
}

impl Unit for Multinomial {
    fn name(&self) -> &'static str {
        "multinomial"
    }
    fn size(&self) -> Option<usize> {
        Some(self.q)
    }
    fn width(&self) -> usize {
        self.q
    }
    /// None: how many values there are depends on the total.
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=f32::MAX
    }
    fn log_partition(&self, theta: &[f32], field: &[f32]) -> f64 {
        let d = total(theta);
        let one = |field: &[f32]| {
            let (most, sum) = sum(field);
            d * (most + sum.ln()) - lgamma(d + 1.0)
        };
        field.chunks_exact(self.q).map(one).sum()
    }
    fn mean(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        let d = total(theta);
        field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)).for_each(|(f, o)| shares(f, o, |p| d * p));
    }
    fn variance(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        super::Softmax { q: self.q }.variance(&[], field, out);
        out.iter_mut().for_each(|v| *v *= total(theta) as f32);
    }
    /// From `⌊D pₖ⌋`, which no most probable value falls below, one by one where the probability grows most.
    fn mode(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        let d = total(theta).round();
        for (field, out) in field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            shares(field, out, |p| (d * p).floor());
            let given: f64 = out.iter().map(|&x| f64::from(x)).sum();
            for _ in 0..(d - given).max(0.0) as u64 {
                let gain = |k: &usize| f64::from(field[*k]) - f64::from(out[*k] + 1.0).ln();
                let Some(best) = (0..self.q).max_by(|a, b| gain(a).total_cmp(&gain(b))) else { break };
                out[best] += 1.0;
            }
        }
    }
    /// The shares' running sum, at `D` uniform numbers in rising order, which are drawn one after the other: the smallest of `n`
    /// that are left is `1 - (1 - last) u^{1/n}`.
    fn sample(&self, theta: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        for (field, out) in field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            out.fill(0.0);
            let (most, sum) = sum(field);
            let mut left = total(theta).round() as u64;
            let mut above = 1.0f64; // one minus the number drawn last
            let mut next = |left: u64| {
                above *= rng.random::<f64>().powf(1.0 / left as f64);
                1.0 - above
            };
            let (mut running, mut chosen) = (0.0, 0);
            let mut at = if left > 0 { next(left) * sum } else { f64::INFINITY };
            for (k, &f) in field.iter().enumerate() {
                let share = (f64::from(f) - most).exp();
                running += share;
                if share > 0.0 {
                    chosen = k;
                }
                while left > 0 && at < running {
                    out[k] += 1.0;
                    left -= 1;
                    at = if left > 0 { next(left) * sum } else { f64::INFINITY };
                }
            }
            out[chosen] += left as f32; // what rounding has left over
        }
    }
    /// The field whose exponentials sum to one.
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        for (mean, out) in mean.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            let total: f64 = mean.iter().map(|&m| f64::from(m)).sum();
            super::map(mean, out, |m| (f64::from(m) / total).ln() as f32);
        }
    }
    fn base_energy(&self, _: &[f32], x: &[f32]) -> f64 {
        // log 0! = log 1! = 0: most counts are one of the two.
        x.iter().filter(|x| **x != 0.0 && **x != 1.0).map(|&x| lgamma(f64::from(x) + 1.0)).sum()
    }
    fn base_grad_x(&self, _: &[f32], x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(o, &x)| *o += digamma(f64::from(x) + 1.0) as f32);
    }
}
