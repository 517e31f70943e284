use super::{Unit, map};
use crate::rng::ChainRng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

/// `x ∈ ℝ`, `U = ½x²`, `Γ = ½φ² + ½ log 2π`: mean φ, variance one. Data should be standardised.
///
/// A bias `b` gives the energy `½x² - bx`, which is `½(x - b)²` less the constant `½b²`. Learning rates must be far smaller
/// than for bits (Hinton 2010, section 13.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaussian;

impl Unit for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        f32::MIN..=f32::MAX
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        field.iter().map(|&f| 0.5 * (f as f64).powi(2)).sum::<f64>() + 0.5 * TAU.ln() * field.len() as f64
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        out.copy_from_slice(field);
    }
    fn variance(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(1.0);
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        out.copy_from_slice(field);
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        for (o, f) in out.iter_mut().zip(field) {
            let z: f32 = StandardNormal.sample(rng);
            *o = f + z;
        }
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        map(mean, out, |m| m);
    }
    fn base_energy(&self, _: &[f32], x: &[f32]) -> f64 {
        x.iter().map(|&x| 0.5 * (x as f64).powi(2)).sum()
    }
    fn base_grad_x(&self, _: &[f32], x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(o, x)| *o += x);
    }
}
