use super::{Unit, map};
use crate::linalg;
use crate::rng::ChainRng;
use std::ops::RangeInclusive;

/// `x ∈ {0, 1}`, `Γ = log(1 + e^φ)`, mean `1 / (1 + e^{-φ})`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bernoulli;

impl Unit for Bernoulli {
    fn name(&self) -> &'static str {
        "bernoulli"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Some(vec![vec![0.0], vec![1.0]])
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        linalg::softplus_sum(1.0, field)
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        linalg::sigmoid_to(1.0, field, (1.0, 0.0), out);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| linalg::sigmoid(f) * linalg::sigmoid(-f));
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| (f > 0.0) as u8 as f32);
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        linalg::two_valued(1.0, field, 0.0, out, rng);
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        map(mean, out, |m| (m / (1.0 - m)).ln());
    }
}
