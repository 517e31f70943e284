//! Noise whose density is known: what data are told from.
//!
//! A [`NoiseDensity`] draws the rows of states that are not given, independently of those that are, and says how dense it is there. Noise
//! that is like the data tells most of how they differ from it: a [`GaussianNoise`] has their mean and covariance, a [`BaseRateNoise`]
//! their means, in units of any kind.

use crate::base_rate::base_rate;
use crate::linalg::{col, dot};
use crate::rng::{StreamSet, Streams};
use crate::{Block, Energy, Error, Mat, MatMut, MatRef, Result};
use nalgebra::{DMatrix, DVector};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;

/// The share of a variance that must be left given other rows.
const LEAST_LEFT: f64 = 1e-10;
/// Deviations that are a smaller share of the mean are rounding of single precision.
const RESOLUTION: f64 = 1e-6;
/// What a covariance must be.
const POSITIVE: &str = "positive definite (or add some ridge)";

/// A distribution that can be drawn from and whose density is known. Users can add their own.
pub trait NoiseDensity: Sync {
    /// Rows that it draws: those of a state that are not given.
    fn n_rows(&self) -> usize;
    /// Draws every column of `out` (rows × draws) from the stream of that column.
    fn draw(&self, out: MatMut<'_>, rng: &mut Streams<'_>);
    /// `out = log p_n(xₙ)` of the columns of `x`, in nats; by all values of discrete rows, by volume of real ones.
    fn log_density(&self, x: MatRef<'_>, out: &mut [f64]);
}
impl<N: NoiseDensity + ?Sized> NoiseDensity for Box<N> {
    fn n_rows(&self) -> usize {
        (**self).n_rows()
    }
    fn draw(&self, out: MatMut<'_>, rng: &mut Streams<'_>) {
        (**self).draw(out, rng);
    }
    fn log_density(&self, x: MatRef<'_>, out: &mut [f64]) {
        (**self).log_density(x, out);
    }
}
/// A normal distribution in so many dimensions; sums and the Cholesky factor are in double precision.
///
/// ```
/// use harmonium::{Mat, objectives::{GaussianNoise, NoiseDensity}};
/// let data = Mat::from_fn(2, 50, |i, j| ((3 * i + 7 * j) as f32).sin());
/// let noise = GaussianNoise::of(data.as_view(), 0.0)?;
/// let mut log_p = [0.0; 50];
/// noise.log_density(data.as_view(), &mut log_p);
/// assert!(log_p.iter().all(|l| l.is_finite()));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    mean: DVector<f64>,
    factor: DMatrix<f64>, // lower triangular
    log_norm: f64,
}
impl GaussianNoise {
    /// With this mean and covariance.
    ///
    /// # Errors
    /// [`Error::Shape`] if the covariance has not the mean's rows and columns, [`Error::Value`] if it is not positive definite, or a mean
    /// is no number.
    pub fn new(mean: DVector<f64>, covariance: DMatrix<f64>) -> Result<Self> {
        let n = mean.len();
        if covariance.shape() != (n, n) {
            return Err(Error::shape("covariance of noise", format!("{n} × {n}"), format!("{:?}", covariance.shape())));
        }
        if let Some(m) = mean.iter().find(|m| !m.is_finite()) {
            return Err(Error::value("a mean of noise", "a number", m));
        }
        let variances = covariance.diagonal();
        let factor = covariance.cholesky().map(|c| c.unpack());
        // What is left of a variance given the rows before must be more than rounding.
        let proper = |f: &DMatrix<f64>| (0..n).all(|i| f[(i, i)].powi(2) > LEAST_LEFT * variances[i]);
        let Some(factor) = factor.filter(proper) else {
            return Err(Error::value("the covariance of noise", POSITIVE, "one that is not"));
        };
        let log_det: f64 = factor.diagonal().iter().map(|d| d.ln()).sum();
        Ok(Self { mean, factor, log_norm: -log_det - 0.5 * n as f64 * TAU.ln() })
    }
    /// With the mean and the covariance of samples (rows × samples), and `ridge` added to all variances: for rows that do not vary.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no samples, `ridge` is below 0, or the covariance is not positive definite.
    pub fn of(x: MatRef<'_>, ridge: f64) -> Result<Self> {
        let (rows, n) = x.shape();
        if n == 0 {
            return Err(Error::value("the number of samples", "at least 1", 0));
        }
        if ridge < 0.0 || !ridge.is_finite() {
            return Err(Error::value("the ridge of noise", "a number, at least 0", ridge));
        }
        let mut centred = x.map(f64::from);
        let mean = centred.column_mean();
        centred.column_iter_mut().for_each(|mut c| c -= &mean);
        let covariance = &centred * centred.transpose() / n as f64 + DMatrix::identity(rows, rows) * ridge;
        let still = |i: &usize| covariance[(*i, *i)] <= (RESOLUTION * mean[*i]).powi(2);
        match (0..rows).find(still) {
            Some(i) => Err(Error::value("the covariance of noise", POSITIVE, format!("no variance of row {i}"))),
            None => Self::new(mean, covariance),
        }
    }
}
impl NoiseDensity for GaussianNoise {
    fn n_rows(&self) -> usize {
        self.mean.len()
    }
    fn draw(&self, mut out: MatMut<'_>, rng: &mut Streams<'_>) {
        let mut z = DVector::<f64>::zeros(self.n_rows());
        for (j, mut column) in out.column_iter_mut().enumerate() {
            z.iter_mut().for_each(|z| *z = StandardNormal.sample(rng.column(j)));
            for (i, x) in column.iter_mut().enumerate() {
                let pull = (0..=i).map(|k| self.factor[(i, k)] * z[k]).sum::<f64>();
                *x = (self.mean[i] + pull) as f32;
            }
        }
    }
    fn log_density(&self, x: MatRef<'_>, out: &mut [f64]) {
        let mut off = DVector::zeros(self.n_rows());
        for (column, out) in x.column_iter().zip(out) {
            off.iter_mut().zip(&column).zip(&self.mean).for_each(|((o, x), m)| *o = f64::from(*x) - m);
            self.factor.solve_lower_triangular_mut(&mut off);
            *out = self.log_norm - 0.5 * off.norm_squared();
        }
    }
}

/// Units that are independent of each other, with the means of data: the base-rate model, `log p_n = base·x - U(x) - Σ Γ(base)`.
///
/// ```
/// use harmonium::{Mat, models::Boltzmann, objectives::{BaseRateNoise, NoiseDensity}, units::Bernoulli};
/// let noise = BaseRateNoise::new(&Boltzmann::new((3, Bernoulli)), &[0.5, 0.5, 0.9], 0.0)?;
/// let mut log_p = [0.0];
/// noise.log_density(Mat::from_element(3, 1, 1.0).as_view(), &mut log_p);
/// assert!((log_p[0].exp() - 0.5 * 0.5 * 0.9).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BaseRateNoise {
    rows: usize,
    blocks: Vec<(Block, Vec<f32>)>, // rows without those that are given; the units' own parameters
    base: Vec<f32>,
    log_partition: f64,
}
impl BaseRateNoise {
    /// Units of the kinds of this model, with its parameters of single units as they are now, and fields such that their means are
    /// `mean` (a row each, of given rows as well), drawn towards those at field 0 by the share `smoothing`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not a mean for every row, and those of [`base_rate`].
    pub fn new<M: Energy + ?Sized>(model: &M, mean: &[f32], smoothing: f32) -> Result<Self> {
        if mean.len() != model.n_rows() {
            return Err(Error::shape("means of noise", model.n_rows(), mean.len()));
        }
        let (given, base) = (model.n_given(), base_rate(model, mean, smoothing)?);
        let one = |(b, block): (usize, &Block)| {
            let rows = block.rows.start - given..block.rows.end - given;
            (Block { rows, ..block.clone() }, model.theta(b, mean).to_vec())
        };
        let blocks: Vec<(Block, Vec<f32>)> = model.blocks().iter().enumerate().map(one).collect();
        let base = base[given..].to_vec();
        let all = |(block, theta): &(Block, Vec<f32>)| block.unit.log_partition(theta, &base[block.rows.clone()]);
        let log_partition = blocks.iter().map(all).sum();
        Ok(Self { rows: base.len(), blocks, base, log_partition })
    }
}
impl NoiseDensity for BaseRateNoise {
    fn n_rows(&self) -> usize {
        self.rows
    }
    fn draw(&self, mut out: MatMut<'_>, rng: &mut Streams<'_>) {
        for (j, mut column) in out.column_iter_mut().enumerate() {
            for (block, theta) in &self.blocks {
                let rows = block.rows.clone();
                let x = &mut column.as_mut_slice()[rows.clone()];
                block.unit.sample(theta, &self.base[rows], x, rng.column(j));
            }
        }
    }
    fn log_density(&self, x: MatRef<'_>, out: &mut [f64]) {
        for (j, out) in out.iter_mut().enumerate() {
            let x = col(&x, j);
            let one = |(block, theta): &(Block, Vec<f32>)| {
                let rows = block.rows.clone();
                dot(&self.base[rows.clone()], &x[rows.clone()]) - block.unit.base_energy(theta, &x[rows])
            };
            *out = self.blocks.iter().map(one).sum::<f64>() - self.log_partition;
        }
    }
}

/// Draws of some noise that are made once and then used again and again, column by column, from the first in every update. With all data
/// in every batch the loss is then one function of the parameters, which an optimiser can follow to its bottom.
#[derive(Clone, Debug)]
pub struct KeptNoise<N> {
    noise: N,
    draws: Mat,
}
impl<N: NoiseDensity> KeptNoise<N> {
    /// So many draws; a batch that needs more has some of them again.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none.
    pub fn new(noise: N, draws: usize, seed: u64) -> Result<Self> {
        if draws == 0 {
            return Err(Error::value("the number of draws", "at least 1", 0));
        }
        let (mut kept, mut streams) = (Mat::zeros(noise.n_rows(), draws), StreamSet::new(seed, draws));
        noise.draw(kept.columns_mut(0, draws), &mut Streams(streams.as_mut_slice()));
        Ok(Self { noise, draws: kept })
    }
}
impl<N: NoiseDensity> NoiseDensity for KeptNoise<N> {
    fn n_rows(&self) -> usize {
        self.noise.n_rows()
    }
    fn draw(&self, mut out: MatMut<'_>, _: &mut Streams<'_>) {
        let n = self.draws.ncols();
        out.column_iter_mut().enumerate().for_each(|(j, mut column)| column.copy_from(&self.draws.column(j % n)));
    }
    fn log_density(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.noise.log_density(x, out);
    }
}
