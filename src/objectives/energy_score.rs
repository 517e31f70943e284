//! The energy score: a loss of distributions that can be drawn from, and of which nothing else is known.
//!
//! Draws should lie near what is seen, and as far from one another: by distances alone, so that no likelihood is needed. It is strictly
//! proper: of all distributions the one that the data come from has the least expected loss, and no other has as little. Twice the
//! distance to a sample of the truth, less the distance of two draws, is the energy distance of the two distributions
//! ([`crate::eval::energy_distance`]), but for what the truth alone decides.
//!
//! It trains [`crate::models::calm`], and whatever else draws.
//!
//! ## References
//! - Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007.
//! - Shao, Li, Meng and Zhou, "Continuous autoregressive language models", 2025 (the estimate from a few draws).

use crate::linalg::{col, squared_distance};
use crate::{Error, MatMut, MatRef, Result};

/// `2⟨‖x - y‖^α⟩ - d⟨‖x - x'‖^α⟩` of draws `x` and targets `y`, a draw without itself: an unbiased estimate of the loss
/// `2E‖x - y‖^α - E‖x - x'‖^α` if `d = 1`.
///
/// ```
/// use harmonium::{Mat, objectives::EnergyScore};
/// let (draws, targets) = (Mat::from_row_slice(1, 2, &[0.0, 2.0]), Mat::from_element(1, 1, 1.0));
/// let mut slopes = Mat::zeros(1, 2);
/// let loss = EnergyScore::default().loss_and_grad(draws.as_view(), targets.as_view(), slopes.as_view_mut())?;
/// assert_eq!((loss, slopes.as_slice()), (0.0, &[0.0, 0.0][..])); // 2 · 1 - 2; and either draw is pulled as much as it is pushed
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergyScore {
    /// The power of distances `α`, above 0; strictly proper below 2.
    pub alpha: f64,
    /// How much the distance of draws from one another counts, `d`: at 1 the score is proper; at 0 the best draws are all alike, where
    /// `E‖x - y‖^α` is least: for `α = 1` at the median.
    pub diversity: f64,
}
impl Default for EnergyScore {
    /// Distances themselves, proper.
    fn default() -> Self {
        Self { alpha: 1.0, diversity: 1.0 }
    }
}
impl EnergyScore {
    /// The loss of draws `x` (rows × draws) at `targets` (rows × targets), which are draws of the truth.
    ///
    /// # Errors
    /// [`Error::Shape`] if the two differ in their rows; [`Error::Value`] if there are fewer than 2 draws, no targets, a number that is
    /// not finite, a power outside 0..2, or a diversity that is negative or not a number.
    pub fn loss(&self, x: MatRef<'_>, targets: MatRef<'_>) -> Result<f64> {
        self.check(x, targets)?;
        Ok(self.add(x, targets, None))
    }
    /// The same, and its slopes `∂loss/∂x` (rows × draws). Where two points coincide the distance has no slope, and counts as flat: so
    /// draws that are all alike at first have finite slopes.
    ///
    /// # Errors
    /// Those of [`EnergyScore::loss`]; [`Error::Shape`] if `slopes` is not of the draws' shape.
    pub fn loss_and_grad(&self, x: MatRef<'_>, targets: MatRef<'_>, mut slopes: MatMut<'_>) -> Result<f64> {
        self.check(x, targets)?;
        if slopes.shape() != x.shape() {
            return Err(Error::shape("slopes of draws", format!("{:?}", x.shape()), format!("{:?}", slopes.shape())));
        }
        slopes.fill(0.0);
        Ok(self.add(x, targets, Some(&mut slopes)))
    }
    /// Whether the settings are those of a loss.
    ///
    /// # Errors
    /// [`Error::Value`] if not.
    pub fn validate(&self) -> Result<()> {
        if !(self.alpha > 0.0 && self.alpha < 2.0) {
            return Err(Error::value("the power of distances of an energy score", "above 0, below 2", self.alpha));
        }
        match self.diversity >= 0.0 && self.diversity.is_finite() {
            true => Ok(()),
            false => Err(Error::value("the diversity of an energy score", "at least 0", self.diversity)),
        }
    }
    fn check(&self, x: MatRef<'_>, targets: MatRef<'_>) -> Result<()> {
        self.validate()?;
        if x.nrows() != targets.nrows() {
            return Err(Error::shape("rows of the targets of draws", x.nrows(), targets.nrows()));
        }
        for (m, what, least) in [(x, "draws", 2), (targets, "targets", 1)] {
            if m.ncols() < least {
                return Err(Error::value(format!("{what} of an energy score"), format!("at least {least}"), m.ncols()));
            }
            if let Some(v) = m.iter().find(|v| !v.is_finite()) {
                return Err(Error::value(format!("{what} of an energy score"), "finite", v));
            }
        }
        Ok(())
    }
    /// The loss; its slopes are added to `slopes`.
    pub(crate) fn add(&self, x: MatRef<'_>, targets: MatRef<'_>, mut slopes: Option<&mut MatMut<'_>>) -> f64 {
        let (n, m) = (x.ncols(), targets.ncols());
        let near = 2.0 / (n * m) as f64;
        let apart = self.diversity / (n * (n - 1)) as f64;
        let (mut pulled, mut pushed) = (0.0, 0.0);
        for i in 0..n {
            let (own, mut slope) = (col(&x, i), slopes.as_mut().map(|s| s.column_mut(i)));
            let mut to = slope.as_mut().map(|s| s.as_mut_slice());
            pulled += (0..m).map(|k| self.distance(own, col(&targets, k), near, to.as_deref_mut())).sum::<f64>();
            // Every pair comes twice, once for each of its ends; a slope has it from both.
            let others = (0..n).filter(|j| *j != i);
            pushed += others.map(|j| self.distance(own, col(&x, j), -2.0 * apart, to.as_deref_mut())).sum::<f64>();
        }
        near * pulled - apart * pushed
    }
    /// `‖x - y‖^α`, whose slope by `x`, times `weight`, is added to `slope`.
    fn distance(&self, x: &[f32], y: &[f32], weight: f64, slope: Option<&mut [f32]>) -> f64 {
        let square = squared_distance(x, y);
        if square == 0.0 {
            return 0.0;
        }
        let distance = if self.alpha == 1.0 { square.sqrt() } else { square.powf(0.5 * self.alpha) };
        if let Some(slope) = slope {
            // Held within single precision: the slope of points that nearly coincide stays finite.
            let by = (weight * self.alpha * distance / square).clamp(f32::MIN.into(), f32::MAX.into()) as f32;
            slope.iter_mut().zip(x).zip(y).for_each(|((s, x), y)| *s += by * (x - y));
        }
        distance
    }
}

/// The loss `2⟨‖x - y‖^α⟩ - ⟨‖x - x'‖^α⟩` of draws `x` (rows × draws) at `targets` (rows × targets): unbiased, and strictly proper for
/// `0 < α < 2`.
///
/// # Errors
/// Those of [`EnergyScore::loss`].
///
/// ```
/// use harmonium::{Mat, objectives::energy_score};
/// // All draws at 0, as those of a network whose last layer is zero: twice the mean length of the targets.
/// let (draws, targets) = (Mat::zeros(2, 8), Mat::from_column_slice(2, 2, &[3.0, 4.0, 0.0, 1.0]));
/// assert_eq!(energy_score(draws.as_view(), targets.as_view(), 1.0)?, 6.0);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn energy_score(x: MatRef<'_>, targets: MatRef<'_>, alpha: f64) -> Result<f64> {
    EnergyScore { alpha, diversity: 1.0 }.loss(x, targets)
}
