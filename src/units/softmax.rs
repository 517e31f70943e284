use super::Unit;
use crate::rng::ChainRng;
use rand::RngExt;
use std::ops::RangeInclusive;

/// One of `q` (a Potts unit): `q` rows of which exactly one is 1; `Γ = log Σ e^{φₖ}`, means `e^{φₖ - Γ}`. Two of them are a
/// [`Bernoulli`](super::Bernoulli) unit whose field is the difference of theirs.
///
/// Fields that differ by a constant mean the same. For labels beside pixels, and for sites with `q` states (amino acids).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The number of values; at least 1.
    pub q: usize,
}

impl Softmax {
    /// The largest field of a unit, and `Σ e^{φₖ - largest}`.
    fn sum(field: &[f32]) -> (f64, f64) {
        let most = field.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        (most, field.iter().map(|&f| (f as f64 - most).exp()).sum())
    }
    /// `out[k] = f(share of value k)` of every unit.
    fn shares(&self, field: &[f32], out: &mut [f32], f: impl Fn(f64) -> f64) {
        for (field, out) in field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            let (most, sum) = Self::sum(field);
            out.iter_mut().zip(field).for_each(|(o, &x)| *o = f((x as f64 - most).exp() / sum) as f32);
        }
    }
}

impl Unit for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn size(&self) -> Option<usize> {
        Some(self.q)
    }
    fn width(&self) -> usize {
        self.q
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Some((0..self.q).map(|k| (0..self.q).map(|row| (row == k) as u8 as f32).collect()).collect())
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        field.chunks_exact(self.q).map(Self::sum).map(|(most, sum)| most + sum.ln()).sum()
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        self.shares(field, out, |p| p);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        for (field, out) in field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            let (most, sum) = Self::sum(field);
            for k in 0..self.q {
                // The share of the others is summed, for one less nearly one has no digits left.
                let others = field.iter().enumerate().filter(|(i, _)| *i != k).map(|(_, &f)| (f as f64 - most).exp());
                out[k] = ((field[k] as f64 - most).exp() / sum * (others.sum::<f64>() / sum)) as f32;
            }
        }
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (field, out) in field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            let best = (0..self.q).max_by(|&a, &b| field[a].total_cmp(&field[b])).unwrap_or(0);
            out[best] = 1.0;
        }
    }
    /// By the running sum of the shares: one uniform number a unit.
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        out.fill(0.0);
        for (field, out) in field.chunks_exact(self.q).zip(out.chunks_exact_mut(self.q)) {
            let (most, sum) = Self::sum(field);
            let mut left = sum * rng.random::<f64>();
            // Rounding may leave a rest behind the last value, which then is the one; never one of no weight.
            let mut chosen = 0;
            for (k, &f) in field.iter().enumerate() {
                let weight = (f as f64 - most).exp();
                if weight > 0.0 {
                    chosen = k;
                    if left < weight {
                        break;
                    }
                    left -= weight;
                }
            }
            out[chosen] = 1.0;
        }
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        super::map(mean, out, f32::ln);
    }
}
