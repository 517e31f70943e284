//! Two half circles, each reaching into the other, with normal noise: the smallest data whose density has an odd shape. It is known, so
//! that likelihoods can be held against the truth.

use crate::rng::keyed;
use crate::{Error, Mat, Result};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{PI, TAU};

/// Half circles of radius 1, the upper about `(-½, -¼)`, the lower about `(½, ¼)`; so their mean is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoMoons {
    noise: f64,
}

/// Moons with noise of this standard deviation.
///
/// # Errors
/// [`Error::Value`] if it is not a number above 0.
///
/// ```
/// let moons = harmonium::data::two_moons(0.1)?;
/// let x = moons.sample(1000, 1)?;
/// assert_eq!(x.shape(), (2, 1000));
/// assert!(moons.log_density([0.5, -0.75]) > moons.log_density([0.0, 2.0]));
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn two_moons(noise: f64) -> Result<TwoMoons> {
    match noise > 0.0 && noise.is_finite() {
        true => Ok(TwoMoons { noise }),
        false => Err(Error::value("the noise of two moons", "a number above 0", noise)),
    }
}

impl TwoMoons {
    /// Where a moon is without noise, at an angle within 0..π.
    fn place(upper: bool, angle: f64) -> [f64; 2] {
        let (x, y) = (angle.cos(), angle.sin());
        if upper { [x - 0.5, y - 0.25] } else { [0.5 - x, 0.25 - y] }
    }
    /// Independent samples, 2 × `n`.
    ///
    /// # Errors
    /// [`Error::Value`] if `n` is 0.
    pub fn sample(&self, n: usize, seed: u64) -> Result<Mat> {
        if n == 0 {
            return Err(Error::value("the number of samples", "at least 1", n));
        }
        let mut x = Mat::zeros(2, n);
        for (j, mut column) in x.column_iter_mut().enumerate() {
            let mut rng = keyed(seed, &[j as u64]);
            let place = Self::place(rng.random(), PI * rng.random::<f64>());
            for (x, p) in column.iter_mut().zip(place) {
                let z: f64 = StandardNormal.sample(&mut rng);
                *x = (p + self.noise * z) as f32;
            }
        }
        Ok(x)
    }
    /// `log p(x)` in nats, the angle integrated out by the midpoint rule, whose steps are far below the noise.
    pub fn log_density(&self, x: [f64; 2]) -> f64 {
        let steps = (20.0 * PI / self.noise).ceil().clamp(64.0, 1e6) as usize;
        let variance = self.noise * self.noise;
        let mut squares = Vec::with_capacity(2 * steps);
        for upper in [true, false] {
            for k in 0..steps {
                let [a, b] = Self::place(upper, PI * (k as f64 + 0.5) / steps as f64);
                squares.push(-((x[0] - a).powi(2) + (x[1] - b).powi(2)) / (2.0 * variance));
            }
        }
        let most = squares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = squares.iter().map(|s| (s - most).exp()).sum::<f64>() / squares.len() as f64;
        most + mean.ln() - (TAU * variance).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_density_is_one_and_that_of_the_samples() {
        let moons = two_moons(0.2).unwrap();
        let (n, half) = (160, 4.0);
        let cell = 2.0 * half / n as f64;
        let at = |k: usize| -half + (k as f64 + 0.5) * cell;
        let grid: Vec<[f64; 2]> = (0..n * n).map(|k| [at(k / n), at(k % n)]).collect();
        let p: Vec<f64> = grid.iter().map(|x| moons.log_density(*x).exp() * cell * cell).collect();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        // Moments by the density and by 40,000 samples: within five standard errors of about 0.7/200.
        let x = moons.sample(40_000, 1).unwrap();
        for f in [|x: [f64; 2]| x[0], |x| x[1], |x| x[0] * x[0], |x| x[0] * x[1], |x| x[1] * x[1] * x[0]] {
            let exact: f64 = grid.iter().zip(&p).map(|(x, p)| p * f(*x)).sum();
            let values: Vec<f64> = x.column_iter().map(|c| f([c[0].into(), c[1].into()])).collect();
            let mean = values.iter().sum::<f64>() / 4e4;
            let error = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4e4 / 4e4).sqrt();
            assert!((mean - exact).abs() < 5.0 * error, "{mean} ± {error} instead of {exact}");
        }
        assert!(two_moons(0.0).is_err() && two_moons(f64::NAN).is_err() && moons.sample(0, 1).is_err());
    }
}
