//! Mean 0 and deviation 1 for each unit, which Gaussian units with unit variance ask for.
//!
//! The statistics of the training set serve the test set too. Units are scaled one by one: correlations stay.

use super::Samples;
use crate::{Error, Mat, Result};

/// The affine map `x ↦ (x − mean) / deviation` of each unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardise {
    /// The mean of each unit.
    pub mean: Vec<f32>,
    /// The standard deviation of each unit over the samples (divided by n); 1 for a unit that never varies.
    pub deviation: Vec<f32>,
}

impl Standardise {
    /// The statistics of `samples` at epoch 0, by two passes in `f64`.
    ///
    /// A unit that never varies, like the border of MNIST, is only shifted: its deviation is put at 1.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if there are no samples, or a value is infinite or not a number.
    pub fn fit<S: Samples + ?Sized>(samples: &S) -> Result<Self> {
        let n = samples.n_samples();
        if n == 0 {
            return Err(Error::value("the number of samples to standardise by", "at least 1", n));
        }
        let (mut sum, mut squares) = (vec![0.0; samples.n_rows()], vec![0.0; samples.n_rows()]);
        for_each_value(samples, |row, value| sum[row] += value)?;
        let mean: Vec<f64> = sum.iter().map(|sum| sum / n as f64).collect();
        // The second pass spares the cancellation of E[x²] − E[x]², and gives a constant unit exactly 0.
        for_each_value(samples, |row, value| squares[row] += (value - mean[row]).powi(2))?;
        let deviation = squares.iter().map(|sum| (sum / n as f64).sqrt() as f32);
        Ok(Self {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            deviation: deviation.map(|deviation| if deviation > 0.0 { deviation } else { 1.0 }).collect(),
        })
    }

    /// Standardises `data` (units × samples) in place.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if `data` has another number of units.
    pub fn apply(&self, data: &mut Mat) -> Result<()> {
        self.map(data, |x, mean, deviation| (x - mean) / deviation)
    }

    /// Undoes [`apply`](Self::apply): `x ↦ x · deviation + mean`.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if `data` has another number of units.
    pub fn invert(&self, data: &mut Mat) -> Result<()> {
        self.map(data, |x, mean, deviation| x * deviation + mean)
    }

    fn map(&self, data: &mut Mat, f: impl Fn(f32, f32, f32) -> f32) -> Result<()> {
        if data.nrows() != self.mean.len() {
            return Err(Error::shape("the units of data to standardise", self.mean.len(), data.nrows()));
        }
        for mut column in data.column_iter_mut() {
            for ((x, &mean), &deviation) in column.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *x = f(*x, mean, deviation);
            }
        }
        Ok(())
    }
}

/// Calls `f(row, value)` for all values, a block of samples at a time so that bytes need not all become floats at once.
fn for_each_value<S: Samples + ?Sized>(samples: &S, mut f: impl FnMut(usize, f64)) -> Result<()> {
    let all: Vec<usize> = (0..samples.n_samples()).collect();
    let mut block = Mat::zeros(samples.n_rows(), all.len().min(256));
    for index in all.chunks(256) {
        samples.gather(0, index, block.columns_mut(0, index.len()));
        for (column, sample) in block.column_iter().zip(index) {
            for (row, &value) in column.iter().enumerate() {
                if !value.is_finite() {
                    return Err(Error::value(format!("row {row} of sample {sample}"), "finite", value));
                }
                f(row, f64::from(value));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_get_mean_0_and_deviation_1_and_come_back() {
        // More samples than a block; the second unit's mean is large beside its spread, the third never varies.
        let data = Mat::from_fn(3, 1000, |r, c| [c as f32 / 7.0, 4096.0 + (c % 2) as f32, 0.1][r]);
        let fit = Standardise::fit(&data).unwrap();
        assert_eq!((fit.mean[1], fit.deviation[1]), (4096.5, 0.5));
        assert_eq!((fit.mean[2], fit.deviation[2]), (0.1, 1.0));
        let mut moved = data.clone();
        fit.apply(&mut moved).unwrap();
        for row in moved.row_iter().take(2) {
            assert!(row.mean().abs() < 1e-5 && (row.variance() - 1.0).abs() < 1e-4);
        }
        assert!(moved.row(2).iter().all(|&x| x == 0.0));
        fit.invert(&mut moved).unwrap();
        assert!((moved - data).amax() < 1e-3);
    }

    #[test]
    fn what_cannot_be_standardised_is_named() {
        let message = |data: Mat| Standardise::fit(&data).unwrap_err().to_string();
        let mut data = Mat::zeros(2, 300);
        data[(1, 270)] = f32::NAN;
        assert_eq!(message(data.clone()), "row 1 of sample 270 must be finite, got NaN");
        data[(0, 3)] = f32::INFINITY;
        assert_eq!(message(data), "row 0 of sample 3 must be finite, got inf");
        assert_eq!(message(Mat::zeros(2, 0)), "the number of samples to standardise by must be at least 1, got 0");
        let fit = Standardise::fit(&Mat::zeros(2, 1)).unwrap();
        for result in [fit.apply(&mut Mat::zeros(3, 1)), fit.invert(&mut Mat::zeros(3, 1))] {
            assert_eq!(result.unwrap_err().to_string(), "the units of data to standardise: expected 2, got 3");
        }
    }
}
