//! Data whose conditional distribution is known, and with it the least energy score that draws can have.

use harmonium::Mat;
use harmonium::rng::ChainRng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;

/// Inputs are uniform within minus to plus this.
pub(crate) const SIDE: f64 = 2.0;
/// Deviation of each part of a mixture.
const WIDTH: f64 = 0.25;
/// How far the two parts of the mixture in the plane are from its middle.
const RADIUS: f64 = 1.0;

/// A distribution of answers `y` given an input `u`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toy {
    /// A normal distribution, whose mean is a wave and whose deviation grows with the input.
    Noise,
    /// Two branches, equally probable, that cross.
    Branches,
    /// In the plane: two round normal distributions opposite each other, which turn with the input.
    Plane,
}
impl Toy {
    pub(crate) const ALL: [Self; 3] = [Self::Noise, Self::Branches, Self::Plane];
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Noise => "a wave, growing noise",
            Self::Branches => "two branches",
            Self::Plane => "a mixture in the plane",
        }
    }
    /// Numbers of an answer.
    pub(crate) fn outputs(self) -> usize {
        if self == Self::Plane { 2 } else { 1 }
    }
    fn deviation(u: f64) -> f64 {
        0.1 + 0.2 * (u + SIDE)
    }
    fn draw(self, u: f64, rng: &mut ChainRng) -> [f64; 2] {
        let mut z = || -> f64 { StandardNormal.sample(rng) };
        let z = [z(), z()];
        let side = if rng.random() { 1.0 } else { -1.0 };
        match self {
            Self::Noise => [(2.0 * u).sin() + Self::deviation(u) * z[0], 0.0],
            Self::Branches => [side * 0.75 * u + WIDTH * z[0], 0.0],
            Self::Plane => [side * RADIUS * u.cos() + WIDTH * z[0], side * RADIUS * u.sin() + WIDTH * z[1]],
        }
    }
    /// Inputs above answers, a column a sample.
    pub(crate) fn sample(self, n: usize, seed: u64) -> Mat {
        let mut rng = ChainRng::new(seed);
        let u: Vec<f64> = (0..n).map(|_| rng.random_range(-SIDE..SIDE)).collect();
        self.answers(&u, &mut rng)
    }
    /// Answers to these inputs, below them.
    pub(crate) fn answers(self, u: &[f64], rng: &mut ChainRng) -> Mat {
        let mut out = Mat::zeros(1 + self.outputs(), u.len());
        for (mut column, &u) in out.column_iter_mut().zip(u) {
            let y = self.draw(u, rng);
            column[0] = u as f32;
            (0..self.outputs()).for_each(|i| column[1 + i] = y[i] as f32);
        }
        out
    }
    /// `E‖y - y'‖` of two answers to one input, averaged over inputs: the expected energy score of the truth, which no other draws have. By
    /// a formula, or by quadrature.
    pub(crate) fn least_loss(self) -> f64 {
        // Differences of two answers of one part are normal, with twice the variance.
        let between = 2f64.sqrt() * WIDTH;
        match self {
            Self::Noise => 2.0 / PI.sqrt() * Self::deviation(0.0), // the deviation is linear in the input
            Self::Branches => {
                let steps = 4000;
                let apart = |k: usize| 1.5 * SIDE * (k as f64 + 0.5) / steps as f64;
                let apart = (0..steps).map(|k| mean_length_1(apart(k), between)).sum::<f64>() / steps as f64;
                0.5 * (mean_length_1(0.0, between) + apart)
            }
            Self::Plane => 0.5 * (mean_length_2(0.0, between) + mean_length_2(2.0 * RADIUS, between)),
        }
    }
    /// What of the answers a picture shows.
    pub(crate) fn shown(self) -> [f64; 2] {
        match self {
            Self::Noise => [-3.5, 3.5],
            Self::Branches => [-2.5, 2.5],
            Self::Plane => [-2.0, 2.0],
        }
    }
}
/// `E|x|` of a normal distribution, by the trapezoidal rule over ±12 deviations, which is exact for it but for rounding.
fn mean_length_1(mean: f64, deviation: f64) -> f64 {
    quadrature().map(|(z, w)| w * (mean + deviation * z).abs()).sum()
}
/// `E‖x‖` of a round normal distribution in the plane.
fn mean_length_2(mean: f64, deviation: f64) -> f64 {
    let along = |z: f64| mean + deviation * z;
    quadrature().map(|(a, v)| v * quadrature().map(|(b, w)| w * along(a).hypot(deviation * b)).sum::<f64>()).sum()
}
/// Points and weights of a standard normal distribution; the corner of a length in the middle of one is known to some 1e-5.
fn quadrature() -> impl Iterator<Item = (f64, f64)> {
    let step = 0.01;
    (-1200..1200).map(move |k| {
        let z = (f64::from(k) + 0.5) * step;
        (z, step * (-0.5 * z * z).exp() / (2.0 * PI).sqrt())
    })
}
