use super::{Unit, map2};
use crate::rng::ChainRng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

/// `x ∈ ℝ` with a learned precision `e^λ`: `U = ½ e^λ x²`, `Γ = ½ e^{-λ} φ² - ½ λ + ½ log 2π`; mean `e^{-λ} φ`, variance `e^{-λ}`.
///
/// The parameter is the log-precision λ, one a unit, which may be any number: a step of any size leaves the precision positive,
/// where one on a variance may not. At λ = 0 it is a [`Gaussian`](super::Gaussian) unit. A bias `b` puts the mean of a free unit
/// at `e^{-λ} b`, so that a change of the precision moves it: centring and small learning rates help
/// (Melchior, Wang and Wiskott, "Gaussian-binary restricted Boltzmann machines for modeling natural image statistics", 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPrecision;

impl Unit for LogPrecision {
    fn name(&self) -> &'static str {
        "log_precision"
    }
    fn n_theta(&self) -> usize {
        1
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        f32::MIN..=f32::MAX
    }
    fn log_partition(&self, theta: &[f32], field: &[f32]) -> f64 {
        let one = |(&t, &f): (&f32, &f32)| 0.5 * ((-t as f64).exp() * (f as f64).powi(2) - t as f64 + TAU.ln());
        theta.iter().zip(field).map(one).sum()
    }
    fn mean(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        map2(theta, field, out, |t, f| (-t).exp() * f);
    }
    fn variance(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        map2(theta, field, out, |t, _| (-t).exp());
    }
    fn mode(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        self.mean(theta, field, out);
    }
    fn sample(&self, theta: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        map2(theta, field, out, |t, f| {
            let z: f32 = StandardNormal.sample(rng);
            (-t).exp() * f + (-0.5 * t).exp() * z
        });
    }
    fn field_of_mean(&self, theta: &[f32], mean: &[f32], out: &mut [f32]) {
        map2(theta, mean, out, |t, m| t.exp() * m);
    }
    fn base_energy(&self, theta: &[f32], x: &[f32]) -> f64 {
        theta.iter().zip(x).map(|(&t, &x)| 0.5 * (t as f64).exp() * (x as f64).powi(2)).sum()
    }
    fn base_grad_x(&self, theta: &[f32], x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(theta).zip(x).for_each(|((o, t), x)| *o += t.exp() * x);
    }
    fn base_grad_theta(&self, theta: &[f32], x: &[f32], weight: f32, grad: &mut [f32]) {
        grad.iter_mut().zip(theta).zip(x).for_each(|((g, t), x)| *g += weight * 0.5 * t.exp() * x * x);
    }
    fn expected_grad_theta(&self, theta: &[f32], field: &[f32], weight: f32, grad: &mut [f32]) {
        grad.iter_mut().zip(theta).zip(field).for_each(|((g, t), f)| *g += weight * 0.5 * ((-t).exp() * f * f + 1.0));
    }
}
