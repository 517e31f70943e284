use super::Unit;
use crate::rng::ChainRng;
use std::ops::RangeInclusive;

/// `x ∈ ℝ`, `U = 0`: for energies that have all of their shape in themselves, as neural ones, and need no unit to add to it.
///
/// It is improper on its own: `∫ e^{φx} dx` is infinite for any field. So `Γ = +∞`, and mean, variance, mode and draws given a field are
/// not numbers; there is no base-rate model of such units, and annealing from one is refused. Gradient samplers move them. For an energy
/// with a base measure, and so a start of annealing, take [`Gaussian`](super::Gaussian) units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Real;

impl Unit for Real {
    fn name(&self) -> &'static str {
        "real"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        f32::MIN..=f32::MAX
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        if field.is_empty() { 0.0 } else { f64::INFINITY }
    }
    fn mean(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(f32::NAN);
    }
    fn variance(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(f32::NAN);
    }
    fn mode(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(f32::NAN);
    }
    fn sample(&self, _: &[f32], _: &[f32], out: &mut [f32], _: &mut ChainRng) {
        out.fill(f32::NAN);
    }
    fn field_of_mean(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(f32::NAN);
    }
}
