//! Data whose conditional density is known.

use harmonium::Mat;
use harmonium::rng::ChainRng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

/// Inputs are uniform within minus to plus this.
pub(crate) const SIDE: f64 = 3.0;

/// A distribution of answers `y` given an input `u`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toy {
    /// Left of 0 two branches of unequal probability move apart; right of it the noise grows ever more skewed, log-normal.
    Branches,
    /// A normal distribution whose mean is a curve and whose deviation grows eightfold.
    Curve,
}

impl Toy {
    pub(crate) const ALL: [Self; 2] = [Self::Branches, Self::Curve];
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Branches => "branches, skewed noise",
            Self::Curve => "curved mean, growing noise",
        }
    }
    /// Answers that are looked at; those beyond are fewer than one in a million.
    pub(crate) fn range(self) -> RangeInclusive<f64> {
        match self {
            Self::Branches => -3.5..=12.5,
            Self::Curve => -5.0..=7.0,
        }
    }
    /// What of them is drawn.
    pub(crate) fn shown(self) -> [f64; 2] {
        match self {
            Self::Branches => [-2.0, 3.0],
            Self::Curve => [-2.5, 4.0],
        }
    }
    /// `log p(y | u)`.
    pub(crate) fn log_density(self, u: f64, y: f64) -> f64 {
        let normal =
            |mean: f64, deviation: f64| -0.5 * ((y - mean) / deviation).powi(2) - deviation.ln() - 0.5 * TAU.ln();
        match self {
            Self::Branches if u <= 0.0 => {
                let [high, low] = [normal(far(u), WIDTH), normal(-far(u), WIDTH)];
                let [high, low] = [HIGH.ln() + high, (1.0 - HIGH).ln() + low];
                high.max(low) + (-(high - low).abs()).exp().ln_1p()
            }
            // y = w (e^{kz} - 1) / k with a standard normal z
            Self::Branches => {
                let inside = 1.0 + skew(u) * y / WIDTH;
                if inside <= 0.0 {
                    return f64::NEG_INFINITY;
                }
                let z = inside.ln() / skew(u);
                -0.5 * z * z - 0.5 * TAU.ln() - WIDTH.ln() - inside.ln()
            }
            Self::Curve => normal(middle(u), deviation(u)),
        }
    }
    /// An answer to an input.
    pub(crate) fn draw(self, u: f64, rng: &mut ChainRng) -> f64 {
        let z: f64 = StandardNormal.sample(rng);
        match self {
            Self::Branches if u <= 0.0 => (if rng.random_bool(HIGH) { far(u) } else { -far(u) }) + WIDTH * z,
            Self::Branches => WIDTH * (skew(u) * z).exp_m1() / skew(u),
            Self::Curve => middle(u) + deviation(u) * z,
        }
    }
    /// Inputs and their answers (2 × n).
    pub(crate) fn sample(self, n: usize, seed: u64) -> Mat {
        let (mut rng, mut x) = (ChainRng::new(seed), Mat::zeros(2, n));
        for mut column in x.column_iter_mut() {
            let u = SIDE * (2.0 * rng.random::<f64>() - 1.0);
            column[0] = u as f32;
            column[1] = self.draw(f64::from(column[0]), &mut rng) as f32;
        }
        x
    }
}
/// Deviation of a branch, and of the noise that is not skewed yet.
const WIDTH: f64 = 0.25;
/// Probability of the upper branch.
const HIGH: f64 = 0.7;
/// How far each branch is from 0.
fn far(u: f64) -> f64 {
    0.4 * -u
}
fn skew(u: f64) -> f64 {
    0.25 * u
}
fn middle(u: f64) -> f64 {
    (1.5 * u).sin() + 0.3 * u
}
fn deviation(u: f64) -> f64 {
    0.1 + 0.7 / (1.0 + (-1.5 * u).exp())
}
