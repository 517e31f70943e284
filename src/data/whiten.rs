//! Whitening: a linear map after which the units have covariance 1, so that a model need not learn what two points have
//! in common.
//!
//! Of centred data with covariance `C = V diag(λ) Vᵀ`, both maps scale the direction of each eigenvector by
//! `1 / √max(λ, floor)`:
//! - ZCA, `V D Vᵀ` with `D = diag(max(λ, floor)^(-1/2))`, turns back into the units it came from. Of all whitening maps
//!   it moves the data least: whitened images look like images with their edges sharpened (Bell & Sejnowski 1997, "The
//!   'independent components' of natural scenes are edge filters").
//! - PCA, `D Vᵀ`, leaves the principal components, largest first, and can leave out the last.
//!
//! Directions of almost no variance are noise; without the floor they would be blown up to variance 1. The statistics
//! of the training set serve the test set too. Units on scales of their own are better standardised first; nothing is
//! done about dependence beyond covariance.

use super::{Samples, in_chunks};
use crate::linalg::gemm;
use crate::{Error, Mat, Result};
use nalgebra::{DMatrix, SymmetricEigen};

/// Which of the maps with covariance 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whitening {
    /// Back in the units it came from: as many rows as before.
    Zca,
    /// The principal components of largest variance.
    Pca {
        /// How many.
        components: usize,
    },
}

/// The affine map `x ↦ W (x − mean)` whose results have covariance 1, and the way back.
///
/// ```
/// use harmonium::{Mat, data::{Whiten, Whitening}};
/// let mut data = Mat::from_row_slice(2, 4, &[1.0, 2.0, 3.0, 4.0, 2.0, 3.0, 7.0, 8.0]);
/// Whiten::fit(&data, Whitening::Zca, 1e-6)?.apply(&mut data)?;
/// assert!((data.row(0).dot(&data.row(1)) / 4.0).abs() < 1e-5);
/// assert!((data.row(0).norm_squared() / 4.0 - 1.0).abs() < 1e-5);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Whiten {
    /// The mean of each unit.
    pub mean: Vec<f32>,
    /// The eigenvalues of the covariance (divided by n), largest first, all of them and before the floor.
    pub eigenvalues: Vec<f64>,
    /// `W`: rows of the results × units.
    pub forward: Mat,
    /// The way back: units × rows of the results. With all components it is the inverse of `W`.
    pub backward: Mat,
}

impl Whiten {
    /// The map for `samples` at epoch 0; sums and eigenvectors in `f64`.
    ///
    /// Whitened training data has covariance 1 along eigenvectors with `λ ≥ floor`, and `λ / floor` along others.
    /// `floor` is in the squared units of the data.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if there are no samples, a value is not finite, `floor` is not finite and above 0, or there are
    /// no components or more than units.
    pub fn fit<S: Samples + ?Sized>(samples: &S, whitening: Whitening, floor: f64) -> Result<Self> {
        let units = samples.n_rows();
        if units == 0 {
            return Err(Error::value("the number of units to whiten", "at least 1", 0));
        }
        if !(floor > 0.0 && floor.is_finite()) {
            return Err(Error::value("the floor of the eigenvalues", "finite and above 0", floor));
        }
        if let Whitening::Pca { components } = whitening
            && !(1..=units).contains(&components)
        {
            return Err(Error::value("the number of principal components", format!("in 1..={units}"), components));
        }
        let (mean, covariance) = moments(&samples)?;
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..units).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        // The covariance has no negative eigenvalue but for rounding.
        let eigenvalues: Vec<f64> = order.iter().map(|&k| eigen.eigenvalues[k].max(0.0)).collect();
        let kept = if let Whitening::Pca { components } = whitening { components } else { units };
        let vectors = DMatrix::from_fn(units, kept, |i, k| eigen.eigenvectors[(i, order[k])]);
        let scaled =
            |power: f64| DMatrix::from_fn(units, kept, |i, k| vectors[(i, k)] * eigenvalues[k].max(floor).powf(power));
        let (forward, backward) = match whitening {
            Whitening::Zca => (scaled(-0.5) * vectors.transpose(), scaled(0.5) * vectors.transpose()),
            Whitening::Pca { .. } => (scaled(-0.5).transpose(), scaled(0.5)),
        };
        let mean = mean.iter().map(|&mean| mean as f32).collect();
        Ok(Self { mean, eigenvalues, forward: forward.map(|x| x as f32), backward: backward.map(|x| x as f32) })
    }

    /// Whitens `data` (units × samples): it becomes `W (x − mean)`, which for PCA may have fewer rows.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if `data` has another number of units.
    pub fn apply(&self, data: &mut Mat) -> Result<()> {
        check("data to whiten", self.mean.len(), data)?;
        for mut column in data.column_iter_mut() {
            column.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x -= mean);
        }
        *data = product(&self.forward, data);
        Ok(())
    }

    /// Undoes [`apply`](Self::apply); what components left out held comes back as the mean.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if `data` has another number of rows than whitened data.
    pub fn invert(&self, data: &mut Mat) -> Result<()> {
        check("whitened data", self.forward.nrows(), data)?;
        *data = product(&self.backward, data);
        for mut column in data.column_iter_mut() {
            column.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x += mean);
        }
        Ok(())
    }
}

fn check(what: &str, rows: usize, data: &Mat) -> Result<()> {
    match data.nrows() == rows {
        true => Ok(()),
        false => Err(Error::shape(format!("the units of {what}"), rows, data.nrows())),
    }
}

fn product(map: &Mat, data: &Mat) -> Mat {
    let mut out = Mat::zeros(map.nrows(), data.ncols());
    gemm(1.0, map.columns(0, map.ncols()), data.columns(0, data.ncols()), 0.0, out.columns_mut(0, data.ncols()));
    out
}

/// The mean and the covariance (divided by n) of finite samples, by two passes.
fn moments(samples: &dyn Samples) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let (units, n) = (samples.n_rows(), samples.n_samples() as f64);
    let mut mean = vec![0.0; units];
    in_chunks(samples, |from, chunk| {
        for (k, column) in chunk.column_iter().enumerate() {
            for (row, (sum, &value)) in mean.iter_mut().zip(column.iter()).enumerate() {
                if !value.is_finite() {
                    return Err(Error::value(format!("row {row} of sample {}", from + k), "finite", value));
                }
                *sum += f64::from(value);
            }
        }
        Ok(())
    })?;
    mean.iter_mut().for_each(|mean| *mean /= n);
    let mut covariance = DMatrix::zeros(units, units);
    in_chunks(samples, |_, chunk| {
        let centred = DMatrix::from_fn(units, chunk.ncols(), |i, j| f64::from(chunk[(i, j)]) - mean[i]);
        // A transposed copy, because products with transposed factors are slow there.
        covariance.gemm(1.0 / n, &centred, &centred.transpose(), 1.0);
        Ok(())
    })?;
    Ok((mean, covariance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;
    use rand::RngExt;

    /// Correlated data of four units on three scales, whose last direction has variance `small`.
    fn data(n: usize, small: f32) -> Mat {
        let mut rng = keyed(1, &[]);
        let mix =
            Mat::from_row_slice(4, 4, &[2., 1., 0., 1., 0., 1., 1., -1., 1., 0., 3., 0., 0., 1., -1., 1.]).qr().q();
        let scale = [4.0, 1.0, 0.25, small.sqrt()];
        let source = Mat::from_fn(4, n, |i, _| scale[i] * 12f32.sqrt() * (rng.random::<f32>() - 0.5));
        mix * source + Mat::from_fn(4, n, |i, _| 10.0 * i as f32)
    }

    fn covariance(data: &Mat) -> DMatrix<f64> {
        moments(data).unwrap().1
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        // More samples than a chunk.
        let data = data(4500, 0.1);
        let (mean, covariance) = moments(&data).unwrap();
        let wide = data.map(f64::from);
        let by_hand = wide.column_mean();
        for i in 0..4 {
            assert!((mean[i] - by_hand[i]).abs() < 1e-10);
            for j in 0..4 {
                let sum: f64 = wide.column_iter().map(|x| (x[i] - by_hand[i]) * (x[j] - by_hand[j])).sum();
                assert!((covariance[(i, j)] - sum / 4500.0).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn whitened_training_data_has_covariance_1() {
        let data = data(4500, 0.01);
        for whitening in [Whitening::Zca, Whitening::Pca { components: 4 }, Whitening::Pca { components: 2 }] {
            let fit = Whiten::fit(&data, whitening, 1e-6).unwrap();
            let mut moved = data.clone();
            fit.apply(&mut moved).unwrap();
            let n = moved.nrows();
            assert_eq!(n, if whitening == (Whitening::Pca { components: 2 }) { 2 } else { 4 });
            assert!((covariance(&moved) - DMatrix::identity(n, n)).amax() < 1e-4, "{whitening:?}");
            assert!(moved.column_mean().amax() < 1e-4);
        }
    }

    #[test]
    fn below_the_floor_the_variance_is_its_share_of_the_floor() {
        let data = data(4500, 0.01);
        let fit = Whiten::fit(&data, Whitening::Pca { components: 4 }, 0.04).unwrap();
        let mut moved = data.clone();
        fit.apply(&mut moved).unwrap();
        assert!(fit.eigenvalues[2] > 0.04 && fit.eigenvalues[3] < 0.011);
        let expected = DMatrix::from_diagonal(&vec![1.0, 1.0, 1.0, fit.eigenvalues[3] / 0.04].into());
        assert!((covariance(&moved) - expected).amax() < 1e-4);
        // ZCA has the same, turned back into the units.
        let (zca, mut turned) = (Whiten::fit(&data, Whitening::Zca, 0.04).unwrap(), data);
        zca.apply(&mut turned).unwrap();
        let values = SymmetricEigen::new(covariance(&turned)).eigenvalues;
        assert!((values.min() - fit.eigenvalues[3] / 0.04).abs() < 1e-4 && (values.max() - 1.0).abs() < 1e-4);
    }

    #[test]
    fn zca_is_symmetric_and_turns_nothing() {
        let fit = Whiten::fit(&data(500, 0.1), Whitening::Zca, 1e-6).unwrap();
        assert!((&fit.forward - fit.forward.transpose()).amax() < 1e-5);
        // A symmetric root with positive eigenvalues is the only one.
        assert!(fit.forward.clone().symmetric_eigenvalues().min() > 0.0);
    }

    #[test]
    fn what_was_whitened_comes_back() {
        // A direction without any variance as well.
        for small in [0.01, 0.0] {
            let data = data(300, small);
            for whitening in [Whitening::Zca, Whitening::Pca { components: 4 }] {
                let (fit, mut moved) = (Whiten::fit(&data, whitening, 1e-4).unwrap(), data.clone());
                fit.apply(&mut moved).unwrap();
                fit.invert(&mut moved).unwrap();
                assert!((&moved - &data).amax() < 1e-3, "{whitening:?}: {}", (moved - data).amax());
            }
        }
        // With one component left out, what is lost is that component.
        let data = data(300, 0.01);
        let (fit, mut moved) = (Whiten::fit(&data, Whitening::Pca { components: 3 }, 1e-4).unwrap(), data.clone());
        fit.apply(&mut moved).unwrap();
        fit.invert(&mut moved).unwrap();
        let lost = covariance(&(moved - data)).trace();
        assert!((lost - fit.eigenvalues[3]).abs() < 1e-5, "{lost}");
    }

    #[test]
    fn what_cannot_be_whitened_is_named() {
        let fit = |data: &Mat, whitening, floor| Whiten::fit(data, whitening, floor).unwrap_err().to_string();
        let mut data = Mat::zeros(2, 2100);
        let floor = "the floor of the eigenvalues must be finite and above 0, got";
        assert_eq!(fit(&data, Whitening::Zca, 0.0), format!("{floor} 0"));
        assert_eq!(fit(&data, Whitening::Zca, f64::NAN), format!("{floor} NaN"));
        let components = "the number of principal components must be in 1..=2, got";
        assert_eq!(fit(&data, Whitening::Pca { components: 0 }, 1.0), format!("{components} 0"));
        assert_eq!(fit(&data, Whitening::Pca { components: 3 }, 1.0), format!("{components} 3"));
        data[(1, 2070)] = f32::NAN;
        assert_eq!(fit(&data, Whitening::Zca, 1.0), "row 1 of sample 2070 must be finite, got NaN");
        assert_eq!(fit(&Mat::zeros(2, 0), Whitening::Zca, 1.0), "the number of samples must be at least 1, got 0");
        assert_eq!(
            fit(&Mat::zeros(0, 2), Whitening::Zca, 1.0),
            "the number of units to whiten must be at least 1, got 0"
        );
        let fit = Whiten::fit(&Mat::zeros(3, 2), Whitening::Pca { components: 2 }, 1.0).unwrap();
        let other = fit.apply(&mut Mat::zeros(2, 1)).unwrap_err().to_string();
        assert_eq!(other, "the units of data to whiten: expected 3, got 2");
        let other = fit.invert(&mut Mat::zeros(3, 1)).unwrap_err().to_string();
        assert_eq!(other, "the units of whitened data: expected 2, got 3");
    }
}
