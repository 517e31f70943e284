//! What hidden units do over some cases: which answer nothing, and how active they are.

use crate::eval::latent_group;
use crate::{Gibbs, Learn, Mat, Result, States, linalg};
use std::ops::RangeInclusive;

/// Hidden units over some cases.
///
/// With `m` the conditional mean of a unit, taken as a share of its range where that has two ends:
/// a unit is *dead* if its mean over the cases is below [`Activity::EDGE`], *saturated* if it is above one less that, and *silent* if
/// `Var(m) / (Var(m) + ⟨conditional variance⟩)`, the part of its variance that the cases explain, is below [`Activity::SILENT`].
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Hidden rows.
    pub units: usize,
    /// Those that are hardly ever on.
    pub dead: usize,
    /// Those that are hardly ever off.
    pub saturated: usize,
    /// Those, neither dead nor saturated, that answer all cases alike.
    pub silent: usize,
    /// Mean of `m` over units and cases, in the units of the model; not a number without bounded units.
    pub mean: f64,
}

impl Default for Activity {
    /// Of no units.
    fn default() -> Self {
        Self { units: 0, dead: 0, saturated: 0, silent: 0, mean: f64::NAN }
    }
}

impl Activity {
    /// How near to an end of its range the mean of a unit must be for the unit to be of no use.
    pub const EDGE: f64 = 1e-3;
    /// How little of the variance of a unit must be due to the cases for the unit to say nothing of them.
    pub const SILENT: f64 = 1e-4;

    /// Of the hidden units of a model, given some cases (visible units × cases).
    ///
    /// # Errors
    /// [`crate::Error::Intractable`] if the latent units are not independent given the data.
    pub fn of<M: Gibbs + Learn + ?Sized>(model: &M, cases: &Mat) -> Result<Self> {
        let latent = latent_group(model)?;
        let mut states = States::default();
        states.clamp(model.n_rows(), cases.as_view());
        let mut found = Self::default();
        let (mut sum, mut bounded) = (0.0, 0);
        for b in latent {
            let range = model.blocks()[b].unit.range();
            for moments in moments(model, &mut states, b) {
                found.units += 1;
                found.tally(&range, moments);
                if has_ends(&range) {
                    (sum, bounded) = (sum + moments.mean, bounded + 1);
                }
            }
        }
        found.mean = sum / f64::from(bounded);
        Ok(found)
    }
    fn tally(&mut self, range: &RangeInclusive<f32>, of: Moments) {
        let (low, high) = (f64::from(*range.start()), f64::from(*range.end()));
        let place = if has_ends(range) { (of.mean - low) / (high - low) } else { 0.5 };
        match place {
            p if p < Self::EDGE => self.dead += 1,
            p if p > 1.0 - Self::EDGE => self.saturated += 1,
            _ if of.between / (of.between + of.within) < Self::SILENT => self.silent += 1,
            _ => {}
        }
    }
    /// Dead, saturated and silent units, as a share of all.
    pub fn idle(&self) -> f64 {
        (self.dead + self.saturated + self.silent) as f64 / (self.units as f64).max(1.0)
    }
}

/// Whether a unit has a least and a greatest value that it can come near to.
pub(super) fn has_ends(range: &RangeInclusive<f32>) -> bool {
    *range.start() > f32::MIN && *range.end() < f32::MAX
}

/// A unit over some cases.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    mean: f64,
    /// Variance of the conditional mean.
    between: f64,
    /// Mean of the conditional variance.
    within: f64,
}

/// Moments of every row of a block.
fn moments<M: Gibbs + ?Sized>(model: &M, states: &mut States, b: usize) -> Vec<Moments> {
    let (means, fields) = (states.mean(model, b).clone_owned(), states.field(model, b).clone_owned());
    let (n, x) = (means.ncols() as f64, states.x());
    let mut all = vec![Moments::default(); means.nrows()];
    let mut variance = vec![0.0; means.nrows()];
    for j in 0..means.ncols() {
        let theta = model.theta(b, linalg::col(&x, j));
        model.blocks()[b].unit.variance(theta, linalg::col(&fields.as_view(), j), &mut variance);
        for ((row, m), v) in all.iter_mut().zip(means.column(j).iter()).zip(&variance) {
            row.mean += f64::from(*m) / n;
            row.within += f64::from(*v) / n;
        }
    }
    for column in means.column_iter() {
        for (row, m) in all.iter_mut().zip(column.iter()) {
            row.between += (f64::from(*m) - row.mean).powi(2) / n;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Rbm;
    use crate::units::{Bernoulli, Gaussian, Spin};
    use crate::{Train, Unit};
    use std::sync::Arc;

    fn machine(hidden: Arc<dyn Unit>) -> Rbm {
        let mut rbm = Rbm::with_units((2, Arc::new(Bernoulli)), (4, hidden));
        rbm.update(&mut |p| {
            // Of hidden units 0 to 3: one that listens, one far down, one far up, one that does not listen.
            p.slice_mut(0).copy_from_slice(&[1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 1e-3]);
            p.slice_mut(2).copy_from_slice(&[0.0, -9.0, 9.0, 0.0]);
        });
        rbm
    }
    #[test]
    fn units_that_say_nothing_are_counted() {
        let cases = Mat::from_column_slice(2, 4, &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let bits = Activity::of(&machine(Arc::new(Bernoulli)), &cases).unwrap();
        assert_eq!((bits.units, bits.dead, bits.saturated, bits.silent), (4, 1, 1, 1));
        // Means ½ (by symmetry), e^-9, 1 - e^-9, ½.
        assert!((bits.mean - 0.5).abs() < 1e-4 && bits.idle() == 0.75, "{bits:?}");
        let spins = Activity::of(&machine(Arc::new(Spin)), &cases).unwrap();
        assert_eq!((spins.dead, spins.saturated, spins.silent), (1, 1, 1));
        let real = Activity::of(&machine(Arc::new(Gaussian)), &cases).unwrap();
        // Variance of the first unit's mean: of 0, 1, -1, 0, one half, beside 1; the others do not listen.
        assert_eq!((real.dead, real.saturated, real.silent), (0, 0, 3));
        assert!(real.mean.is_nan());
    }
}
