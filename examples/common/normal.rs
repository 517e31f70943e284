//! What examples of real units share: normal distributions to compare densities with, and how a machine of them starts.

use harmonium::models::Rbm;
use harmonium::nalgebra::{Cholesky, DMatrix, Dyn};
use harmonium::{Error, Mat, Result, Train};
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

/// Scales weights that were just initialised to this standard deviation, for where the covariance is that of the machine already
/// (whitened data), only higher moments can pull on weights, and those on small ones next to not at all. And sets hidden biases so
/// that each unit alone is on with the probability `share`, whose odds are `exp(c + ½|w|²)`: it shall learn what is special in some
/// samples, not what all have in common (Melchior, Wang and Wiskott 2017).
pub fn start(rbm: &mut Rbm, deviation: f32, share: f32) {
    const WEIGHTS: usize = 0;
    const HIDDEN_BIAS: usize = 2;
    rbm.update(&mut |p| {
        p.slice_mut(WEIGHTS).iter_mut().for_each(|w| *w *= deviation / Rbm::INITIAL_DEVIATION);
        let halves: Vec<f32> = p.mat(WEIGHTS).row_iter().map(|w| 0.5 * w.norm_squared()).collect();
        let odds = (share / (1.0 - share)).ln();
        p.slice_mut(HIDDEN_BIAS).iter_mut().zip(halves).for_each(|(c, half)| *c = odds - half);
    });
}

/// A share that is neither none nor all, on the command line.
pub fn share(text: &str) -> std::result::Result<f32, String> {
    text.parse().ok().filter(|&p| p > 0.0 && p < 1.0).ok_or_else(|| "not a number between 0 and 1".into())
}
