//! What is allowed by chance, and what by rounding.

/// How often a whole law may fail by chance.
const CHANCE: f64 = 1e-6;
/// Rounding of results in single precision, relative to the size of their terms.
pub(super) const ROUNDING: f64 = 32.0 * f32::EPSILON as f64;
/// Rounding of one energy, relative to its size.
pub(super) const NOISE: f64 = 2.0 * f32::EPSILON as f64;

/// The logarithm of one over the chance that each of so many comparisons has to fail.
pub(super) fn log_odds(comparisons: usize) -> f64 {
    (comparisons as f64 / CHANCE).ln()
}

/// What a sample of independent values says of their mean.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    n: f64,
    pub(super) mean: f64,
    squares: f64, // of deviations from the mean
    low: f64,
    high: f64,
}

impl Sample {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let start = Self { low: f64::INFINITY, high: f64::NEG_INFINITY, ..Self::default() };
        values.fold(start, |s, x| {
            let (n, off) = (s.n + 1.0, x - s.mean);
            let mean = s.mean + off / n;
            Self { n, mean, squares: s.squares + off * (x - mean), low: s.low.min(x), high: s.high.max(x) }
        })
    }
    /// How far the mean may be from the expectation, as one of so many comparisons: the empirical Bernstein bound
    /// `√(2VL/n) + 7RL/3(n-1)` with `L = log(4/δ)`, on both sides. The range `R` is the one observed.
    pub(super) fn allowed(&self, comparisons: usize) -> f64 {
        let (l, variance) = (4f64.ln() + log_odds(comparisons), self.squares / (self.n - 1.0));
        (2.0 * variance * l / self.n).sqrt() + 7.0 * (self.high - self.low) * l / (3.0 * (self.n - 1.0))
    }
}

/// How far the share of `n` draws with a property of probability `p` may be from it, as one of so many comparisons: Bernstein's
/// inequality with the known variance, `√(2p(1-p)L/n) + L/3n` with `L = log(2/δ)`. Of what is too rare to be drawn, it asks
/// nothing.
pub(super) fn allowed_share(p: f64, n: usize, comparisons: usize) -> f64 {
    let (l, n) = (2f64.ln() + log_odds(comparisons), n as f64);
    (2.0 * p * (1.0 - p) * l / n).sqrt() + l / (3.0 * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_knows_its_mean_and_its_variance() {
        let s = Sample::of([1.0, 2.0, 4.0, 9.0].into_iter());
        assert_eq!((s.n, s.mean, s.low, s.high), (4.0, 4.0, 1.0, 9.0));
        assert!((s.squares - 38.0).abs() < 1e-12);
        let l = (4.0 * 10.0 / CHANCE).ln();
        let expected = (2.0 * 38.0 / 3.0 * l / 4.0).sqrt() + 7.0 * 8.0 * l / 9.0;
        assert!((s.allowed(10) - expected).abs() < 1e-12);
        assert_eq!(Sample::of([3.0; 9].into_iter()).allowed(5), 0.0);
    }
    /// A value that is not drawn is no fault where it is rare, and one where it is not.
    #[test]
    fn rare_values_may_be_absent() {
        let gap = |p: f64| p - allowed_share(p, 40_000, 10);
        assert!(gap(1e-77) < 0.0 && gap(1e-4) < 0.0 && gap(2e-3) > 0.0);
    }
}
