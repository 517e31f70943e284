//! How far draws of several chains can be trusted: autocorrelation time, effective sample size, split R̂.
//!
//! A number (an energy, an activity) is followed over chains that all sample one distribution. What no chain has seen, nothing
//! here can tell.
//!
//! ## References
//! - Geyer, "Practical Markov chain Monte Carlo", 1992 (initial positive and monotone sequences).
//! - Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and localization: an improved R̂ for
//!   assessing convergence of MCMC", 2021 (split R̂, effective sample size of several chains; without the ranks).

use crate::{Error, Result};
use nalgebra::DMatrix;

/// What draws of several chains say of a mean and of themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diagnostics {
    /// The mean of all draws.
    pub mean: f64,
    /// Standard error of the mean, autocorrelation and disagreement of the chains included.
    pub standard_error: f64,
    /// Independent draws that would tell as much of the mean.
    pub effective_sample_size: f64,
    /// `τ = 1 + 2 Σ ρ_t`: draws that are worth one.
    pub autocorrelation_time: f64,
    /// `R̂ = √(V/W)`, the spread of all draws over that within half-chains: 1 where chains agree; above 1.01 they do not yet.
    pub split_r_hat: f64,
}

impl Diagnostics {
    /// Of the draws of a number (draws × chains, in order of time).
    ///
    /// Where all draws are the same, there is nothing to tell by: all but the mean is NaN.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no chain, fewer than 8 draws a chain, or a draw is not finite.
    ///
    /// ```
    /// use harmonium::eval::Diagnostics;
    /// use harmonium::nalgebra::DMatrix;
    /// let stuck = DMatrix::from_fn(100, 2, |t, chain| (t % 2) as f64 + 10.0 * chain as f64);
    /// assert!(Diagnostics::of(&stuck)?.split_r_hat > 5.0);
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn of(draws: &DMatrix<f64>) -> Result<Self> {
        let (n, chains) = draws.shape();
        if chains == 0 || n < 8 {
            return Err(Error::value(
                "the draws to diagnose",
                "at least one chain of at least 8",
                format!("{n} × {chains}"),
            ));
        }
        if let Some(k) = draws.iter().position(|x| !x.is_finite()) {
            return Err(Error::value(format!("draw {} of chain {}", k % n, k / n), "finite", draws[k]));
        }
        // From the first draw on: a constant whose mean is rounded would seem to vary, and to agree with itself for ever.
        let moved = draws.add_scalar(-draws[0]);
        // Halves, so that a chain that drifts disagrees with itself; the middle draw of an odd number is left out.
        let half = n / 2;
        let halves: Vec<&[f64]> =
            moved.as_slice().chunks(n).flat_map(|chain| [&chain[..half], &chain[n - half..]]).collect();
        let means: Vec<f64> = halves.iter().map(|x| mean(x)).collect();
        let within = mean(&halves.iter().zip(&means).map(|(x, m)| covariance(x, *m, 0)).collect::<Vec<f64>>());
        let (h, m) = (half as f64, halves.len() as f64);
        let unbiased = within * h / (h - 1.0);
        let all = mean(&means);
        let between = means.iter().map(|x| (x - all).powi(2)).sum::<f64>() / (m - 1.0);
        let spread = within + between;
        let correlation = |t: usize| {
            let covariances: Vec<f64> = halves.iter().zip(&means).map(|(x, m)| covariance(x, *m, t)).collect();
            1.0 - (unbiased - mean(&covariances) * h / (h - 1.0)) / spread
        };
        // Antithetic draws may be worth more than one each, but no estimate of that can be trusted far.
        let time = time(half, correlation);
        let time = if time.is_nan() { time } else { time.max(1.0 / (m * h).log10()) };
        let size = m * h / time;
        Ok(Self {
            mean: mean(draws.as_slice()),
            standard_error: (spread / size).sqrt(),
            effective_sample_size: size,
            autocorrelation_time: time,
            split_r_hat: (spread / unbiased).sqrt(),
        })
    }
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}
/// At lag `t`, divided by all of `n`, which makes the sequence of them positive definite.
fn covariance(x: &[f64], mean: f64, t: usize) -> f64 {
    x.iter().zip(&x[t..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / x.len() as f64
}
/// `1 + 2 Σ ρ_t` over pairs of lags, as long as the pairs are positive, none counted above the one before: beyond, there is
/// nothing but noise.
fn time(n: usize, correlation: impl Fn(usize) -> f64) -> f64 {
    if correlation(0).is_nan() {
        return f64::NAN;
    }
    let (mut sum, mut least) = (0.0, f64::INFINITY);
    for t in (0..n.saturating_sub(1)).step_by(2) {
        // The correlation with itself is one, whatever disagreement between chains does to its estimate.
        let pair = if t == 0 { 1.0 } else { correlation(t) } + correlation(t + 1);
        if pair.is_nan() || pair <= 0.0 {
            break;
        }
        least = least.min(pair);
        sum += least;
    }
    2.0 * sum - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainRng;
    use rand_distr::{Distribution, StandardNormal};

    /// Chains of `x ← ρx + √(1-ρ²) z`, stationary from the start: `τ = (1+ρ)/(1-ρ)`.
    fn autoregressive(rho: f64, n: usize, chains: usize, seed: u64) -> DMatrix<f64> {
        let mut rng = ChainRng::new(seed);
        let mut draws = DMatrix::zeros(n, chains);
        for mut chain in draws.column_iter_mut() {
            let mut x: f64 = StandardNormal.sample(&mut rng);
            for draw in chain.iter_mut() {
                *draw = x;
                let z: f64 = StandardNormal.sample(&mut rng);
                x = rho * x + (1.0 - rho * rho).sqrt() * z;
            }
        }
        draws
    }

    #[test]
    fn known_autocorrelation_times_are_found() {
        for (rho, seed) in [(0.0, 1), (0.5, 2), (0.9, 3), (0.97, 4), (-0.3, 5)] {
            let d = Diagnostics::of(&autoregressive(rho, 20_000, 8, seed)).unwrap();
            let expected = (1.0 + rho) / (1.0 - rho);
            // The sum runs over some six times τ lags, so its relative error is about √(2·6τ/n).
            let error = 4.0 * (12.0 * expected.max(1.0) / 160_000.0f64).sqrt();
            assert!((d.autocorrelation_time / expected - 1.0).abs() < error.max(0.03), "{rho}: {d:?}");
            assert!((d.split_r_hat - 1.0).abs() < 0.01, "{rho}: {d:?}");
            assert!(d.mean.abs() < 4.5 * d.standard_error, "{rho}: {d:?}");
        }
    }
    /// Over many repetitions the mean lies within its error as often as it should.
    #[test]
    fn the_standard_error_is_honest() {
        let z: Vec<f64> = (0..400)
            .map(|seed| Diagnostics::of(&autoregressive(0.8, 400, 4, seed)).unwrap())
            .map(|d| d.mean / d.standard_error)
            .collect();
        let square = mean(&z.iter().map(|z| z * z).collect::<Vec<f64>>());
        // The mean of 400 squares of normal numbers is 1 ± 0.07.
        assert!((square - 1.0).abs() < 0.3, "{square}");
    }
    #[test]
    fn chains_that_disagree_or_drift_are_told() {
        let fine = autoregressive(0.3, 1000, 4, 7);
        assert!(Diagnostics::of(&fine).unwrap().split_r_hat < 1.01);
        let mut apart = fine.clone();
        apart.column_mut(2).add_scalar_mut(1.0);
        let d = Diagnostics::of(&apart).unwrap();
        assert!(d.split_r_hat > 1.05 && d.effective_sample_size < 50.0, "{d:?}");
        let drifting = DMatrix::from_fn(1000, 4, |t, c| fine[(t, c)] + 2.0 * t as f64 / 1000.0);
        assert!(Diagnostics::of(&drifting).unwrap().split_r_hat > 1.05);
    }
    #[test]
    fn too_little_is_refused_and_constants_tell_nothing() {
        for (n, chains) in [(0, 0), (7, 3), (100, 0)] {
            assert!(Diagnostics::of(&DMatrix::zeros(n, chains)).is_err());
        }
        let mut broken = DMatrix::zeros(10, 2);
        broken[(3, 1)] = f64::NAN;
        assert!(Diagnostics::of(&broken).unwrap_err().to_string().contains("draw 3 of chain 1"));
        let d = Diagnostics::of(&DMatrix::from_element(9, 2, 2.5)).unwrap();
        assert!(d.mean == 2.5 && d.split_r_hat.is_nan() && d.effective_sample_size.is_nan(), "{d:?}");
        // The mean of these is not exact.
        let d = Diagnostics::of(&DMatrix::from_element(2001, 7, -(3f64.ln()))).unwrap();
        assert!(d.split_r_hat.is_nan() && d.autocorrelation_time.is_nan(), "{d:?}");
    }
}
