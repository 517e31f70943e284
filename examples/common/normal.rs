//! What a density is compared with: normal distributions, fitted by their moments.

use harmonium::nalgebra::{Cholesky, DMatrix, Dyn};
use harmonium::{Error, Mat, Result};
use std::f64::consts::TAU;

/// A normal distribution of units × samples.
#[derive(Clone, Debug)]
pub struct Normal {
    pub mean: Vec<f64>,
    pub covariance: DMatrix<f64>,
    factor: Cholesky<f64, Dyn>,
}

impl Normal {
    /// The most likely one, with a full covariance.
    pub fn fit(data: &Mat) -> Result<Self> {
        let (n, wide) = (data.ncols() as f64, data.map(f64::from));
        let mean = wide.column_mean();
        let centred = DMatrix::from_fn(data.nrows(), data.ncols(), |i, j| wide[(i, j)] - mean[i]);
        Self::new(mean.as_slice().to_vec(), &centred * centred.transpose() / n)
    }
    fn new(mean: Vec<f64>, covariance: DMatrix<f64>) -> Result<Self> {
        let expected = "positive definite: no column a sum of others, and more samples than columns";
        let factor = Cholesky::new(covariance.clone())
            .ok_or_else(|| Error::value("the covariance of the training samples", expected, "one that is not"))?;
        Ok(Self { mean, covariance, factor })
    }
    /// The same with covariances (not variances) drawn towards 0 by this share; with the share 1, units are independent.
    pub fn shrunk(&self, share: f64) -> Result<Self> {
        let c = &self.covariance;
        let entry = |i: usize, j: usize| if i == j { c[(i, i)] } else { (1.0 - share) * c[(i, j)] };
        Self::new(self.mean.clone(), DMatrix::from_fn(c.nrows(), c.ncols(), entry))
    }
    /// The log-density of every sample, in nats.
    pub fn log_p(&self, data: &Mat) -> Vec<f64> {
        let lower = self.factor.l();
        let mut far = DMatrix::from_fn(data.nrows(), data.ncols(), |i, j| f64::from(data[(i, j)]) - self.mean[i]);
        lower.solve_lower_triangular_mut(&mut far);
        let log_det: f64 = lower.diagonal().iter().map(|x| x.ln()).sum();
        let constant = 0.5 * data.nrows() as f64 * TAU.ln() + log_det;
        far.column_iter().map(|x| -0.5 * x.norm_squared() - constant).collect()
    }
    /// The precision of every unit given all others.
    pub fn conditional_precisions(&self) -> Vec<f64> {
        self.factor.inverse().diagonal().as_slice().to_vec()
    }
    /// The map to coordinates in which it is the standard normal one: of all such, that which moves samples least.
    pub fn whitening(&self) -> Linear {
        let eigen = self.covariance.clone().symmetric_eigen();
        let scaled = DMatrix::from_fn(self.mean.len(), self.mean.len(), |i, k| {
            eigen.eigenvectors[(i, k)] * eigen.eigenvalues[k].powf(-0.5)
        });
        let log_det = -0.5 * eigen.eigenvalues.iter().map(|x| x.ln()).sum::<f64>();
        Linear { mean: self.mean.clone(), map: scaled * eigen.eigenvectors.transpose(), log_det }
    }
}

/// `x ↦ A (x - mean)`, which has an inverse: log-densities before it are those after it plus `log |det A|`.
#[derive(Clone, Debug)]
pub struct Linear {
    mean: Vec<f64>,
    map: DMatrix<f64>,
    pub log_det: f64,
}

impl Linear {
    /// The samples in the new coordinates.
    pub fn apply(&self, data: &Mat) -> Mat {
        let far = DMatrix::from_fn(data.nrows(), data.ncols(), |i, j| f64::from(data[(i, j)]) - self.mean[i]);
        (&self.map * far).map(|x| x as f32)
    }
}
