//! Unit kinds: what a unit does with its field φ, `p(x | φ) ∝ exp(φ·x - U(x; θ))`.
//!
//! Everything follows from the log-partition `Γ(φ; θ) = log Σ_x exp(φ·x - U(x; θ))`. A kind knows nothing of weights,
//! and is one file with the same functions in the same order.
//!
//! | kind | values | `U` | `Γ` |
//! |---|---|---|---|
//! | [`Bernoulli`] | 0, 1 | 0 | `log(1 + e^φ)` |
//! | [`Spin`] | -1, 1 | 0 | `log 2 cosh φ` |
//! | [`Softmax`] | one of `q` | 0 | `log Σ e^{φₖ}` |
//! | [`Binomial`] | 0, 1, …, `n` | `-log C(n, x)` | `n log(1 + e^φ)` |
//! | [`Multinomial`] | counts of sum `D` | `Σ log xₖ!` | `D log Σ e^{φₖ} - log D!` |
//! | [`Gaussian`] | ℝ | `½x²` | `½φ² + ½ log 2π` |
//! | [`LogPrecision`] | ℝ | `½ e^λ x²` | `½ e^{-λ} φ² - ½ λ + ½ log 2π` |
//! | [`Relu`] | `x ≥ 0` | `½x²` | `½φ² + ½ log 2π + log Φ(φ)` |
//! | [`TruncatedExponential`] | `0 ≤ x ≤ 1` | 0 | `log (e^φ - 1)/φ` |
//! | [`Real`] | ℝ | 0 | +∞: improper on its own |

mod bernoulli;
mod binomial;
mod gaussian;
mod log_precision;
mod multinomial;
mod real;
mod relu;
mod softmax;
mod spin;
mod truncated_exponential;
pub use bernoulli::Bernoulli;
pub use binomial::Binomial;
pub use gaussian::Gaussian;
pub use log_precision::LogPrecision;
pub use multinomial::Multinomial;
pub use real::Real;
pub use relu::Relu;
pub use softmax::Softmax;
pub use spin::Spin;
pub use truncated_exponential::TruncatedExponential;

use crate::rng::ChainRng;
use std::any::Any;
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// A unit kind. Slices are one column of one block, or of some whole units of it; `theta` holds [`Unit::n_theta`] numbers
/// a row. Users can add kinds.
pub trait Unit: Any + Send + Sync + Debug {
    /// The name it has in model files.
    fn name(&self) -> &'static str;
    /// The number that it is made with, if there is one: the values of a [`Softmax`] unit, the `n` of a [`Binomial`] one.
    fn size(&self) -> Option<usize> {
        None
    }
    /// Rows of one unit.
    fn width(&self) -> usize {
        1
    }
    /// Learned parameters of a row.
    fn n_theta(&self) -> usize {
        0
    }
    /// The values that a discrete unit can take, each of `width` rows; `None` if real.
    fn support(&self) -> Option<Vec<Vec<f32>>>;
    /// What data may be: the convex hull of the values, for means are data too.
    fn range(&self) -> RangeInclusive<f32>;
    /// `Σ Γ(φ; θ)`, in nats.
    fn log_partition(&self, theta: &[f32], field: &[f32]) -> f64;
    /// `Γ'(φ)`: the mean of every row.
    fn mean(&self, theta: &[f32], field: &[f32], out: &mut [f32]);
    /// The diagonal of `Γ''(φ)`: the variance of every row.
    fn variance(&self, theta: &[f32], field: &[f32], out: &mut [f32]);
    /// The most probable value.
    fn mode(&self, theta: &[f32], field: &[f32], out: &mut [f32]);
    /// A draw.
    fn sample(&self, theta: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng);
    /// The field whose mean is `mean`, the inverse of [`Unit::mean`]; infinite at the ends of the range.
    fn field_of_mean(&self, theta: &[f32], mean: &[f32], out: &mut [f32]);
    /// `Σ U(x; θ)`, in nats; zero at `x = 0`.
    fn base_energy(&self, _theta: &[f32], _x: &[f32]) -> f64 {
        0.0
    }
    /// `out += ∂U/∂x`
    fn base_grad_x(&self, _theta: &[f32], _x: &[f32], _out: &mut [f32]) {}
    /// `grad += weight ∂U/∂θ`
    fn base_grad_theta(&self, _theta: &[f32], _x: &[f32], _weight: f32, _grad: &mut [f32]) {}
    /// `grad += weight ⟨∂U/∂θ⟩ = -weight ∂Γ/∂θ`, which is not `base_grad_theta` of the mean.
    fn expected_grad_theta(&self, _theta: &[f32], _field: &[f32], _weight: f32, _grad: &mut [f32]) {}
}

/// The name of a kind with its number: `softmax(10)`.
pub fn label(unit: &dyn Unit) -> String {
    unit.size().map_or(unit.name().into(), |n| format!("{}({n})", unit.name()))
}

/// `out = [f(φ)]`
fn map(field: &[f32], out: &mut [f32], mut f: impl FnMut(f32) -> f32) {
    out.iter_mut().zip(field).for_each(|(o, &x)| *o = f(x));
}
/// `out = [f(θ, φ)]`
fn map2(theta: &[f32], field: &[f32], out: &mut [f32], mut f: impl FnMut(f32, f32) -> f32) {
    out.iter_mut().zip(theta).zip(field).for_each(|((o, &t), &x)| *o = f(t, x));
}
