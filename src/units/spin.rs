use super::{Unit, map};
use crate::linalg;
use crate::rng::ChainRng;
use std::ops::RangeInclusive;

/// `x ∈ {-1, 1}`, `Γ = log 2 cosh φ = log(1 + e^{2φ}) - φ`, mean `tanh φ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spin;

impl Unit for Spin {
    fn name(&self) -> &'static str {
        "spin"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Some(vec![vec![-1.0], vec![1.0]])
    }
    fn range(&self) -> RangeInclusive<f32> {
        -1.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        linalg::softplus_sum(2.0, field) - field.iter().map(|&f| f as f64).sum::<f64>()
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        linalg::sigmoid_to(2.0, field, (2.0, -1.0), out);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| 4.0 * linalg::sigmoid(2.0 * f) * linalg::sigmoid(-2.0 * f));
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| if f >= 0.0 { 1.0 } else { -1.0 });
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        linalg::two_valued(2.0, field, -1.0, out, rng);
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        map(mean, out, f32::atanh);
    }
}
