//! Asking a trained model: samples, what is not known given what is, features, scores. All by Gibbs sampling or in closed form, for
//! any model that has fields; nothing here learns, and nothing says how good the model is (see [`crate::eval`]).
//!
//! ```
//! use harmonium::infer::{Draws, complete, features, impute, sample, scores};
//! use harmonium::{Mask, Mat, models::Rbm, units::Bernoulli};
//! let rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
//! let draws = Draws { sweeps: 50, seed: 1, ..Draws::default() };
//! let v = sample(&rbm, &[0.0; 7], 10, &draws)?; // ten samples, from chains that start at independent units
//! let unknown = Mask::from_fn(4, 10, |i, _| i >= 2); // the lower half of each
//! let other_halves = complete(&rbm, v.as_view(), &unknown, &draws)?;
//! let guess = impute(&rbm, v.as_view(), &unknown, &draws)?;
//! assert_eq!(other_halves.rows(0, 2), v.rows(0, 2));
//! assert_eq!((guess.mean[(3, 0)], guess.deviation[(3, 0)]), (0.5, 0.5)); // all parameters are zero
//! assert_eq!((features(&rbm, v.as_view())?.shape(), scores(&rbm, v.as_view())?.len()), ((3, 10), 10));
//! # Ok::<(), harmonium::Error>(())
//! ```

mod density;
mod dream;
mod recall;
mod sharpen;
#[cfg(feature = "candle")]
mod write;
pub use density::Densities;
pub use dream::{Dreams, dream, label_by_gibbs};
pub use recall::{Attractor, Dynamics, Ended, Recall, Recalled, classify, overlaps, recall};
pub use sharpen::{sharpened, sharpened_exactly};
#[cfg(feature = "candle")]
pub use write::write_sharpened;

use crate::eval::latent_group;
use crate::rng::derive;
use crate::samplers::{BlockGibbs, Chains};
use crate::sweep::energies_without;
use crate::{Error, Gibbs, Learn, Marginal, Mask, Mat, MatRef, Result, States, linalg};
use nalgebra::DMatrix;

/// How chains are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// Gibbs sweeps before the first draw.
    pub sweeps: usize,
    /// Chains of a sample whose draws are averaged ([`impute`]); at least 1. One chain may stay with one of several answers.
    pub chains: usize,
    /// Draws of a chain that are averaged, a sweep apart ([`impute`]); at least 1.
    pub averaged: usize,
    /// What all is drawn from.
    pub seed: u64,
}
impl Default for Draws {
    fn default() -> Self {
        Self { sweeps: 50, chains: 10, averaged: 20, seed: 0 }
    }
}

/// `n` samples (visible units × n) from `n` chains that start at the base-rate model with fields `base`, one a row
/// ([`crate::base_rate::base_rate`]). Chains that mix slowly end near where they began: see [`crate::eval::Diagnostics`].
///
/// # Errors
/// [`Error::Shape`] if there is not one field a row, [`Error::Intractable`] if the model has inputs: [`complete`] takes them.
pub fn sample<M: Gibbs + Learn + ?Sized>(model: &M, base: &[f32], n: usize, draws: &Draws) -> Result<Mat> {
    crate::configurations::refuse_given(model, "samples")?;
    if base.len() != model.n_rows() {
        return Err(Error::shape("fields of the base-rate model", model.n_rows(), base.len()));
    }
    let mut chains = Chains::from_base(model, base, n, derive(draws.seed, "samples"));
    chains.advance(&BlockGibbs::new(draws.sweeps), model);
    Ok(chains.states.x().rows(0, model.n_visible()).clone_owned())
}

/// The samples `x` (visible units × samples, inputs included) with what `unknown` marks drawn given the rest, by a chain for each.
///
/// Chains begin at what `x` holds in unknown places; where that is no value of the unit (NaN, say), at its mean at field 0.
///
/// # Errors
/// [`Error::Shape`] if `x` has not one row an input and visible unit, or `unknown` another shape; [`Error::Value`] if something
/// known is not in the range of its unit.
pub fn complete<M: Gibbs + Learn + ?Sized>(model: &M, x: MatRef<'_>, unknown: &Mask, draws: &Draws) -> Result<Mat> {
    let mut chains = begin(model, x, unknown, draws)?;
    chains.advance(&BlockGibbs::new(draws.sweeps), model);
    Ok(chains.states.x().rows(0, model.n_visible()).clone_owned())
}

/// What is expected in unknown places, and how sure that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Imputed {
    /// The samples with the conditional mean in unknown places (visible units × samples).
    pub mean: Mat,
    /// The conditional standard deviation there; zero elsewhere.
    pub deviation: Mat,
}

/// The mean and the standard deviation of what `unknown` marks given the rest, over [`Draws::averaged`] sweeps of
/// [`Draws::chains`] chains for each sample. Both are made of conditional means and variances of the units given their neighbours,
/// not of draws.
///
/// For a conditional model with everything but the inputs unknown, it is the prediction and its uncertainty.
///
/// # Errors
/// Those of [`complete`], and [`Error::Value`] if nothing is averaged.
pub fn impute<M: Gibbs + Learn + ?Sized>(model: &M, x: MatRef<'_>, unknown: &Mask, draws: &Draws) -> Result<Imputed> {
    if draws.averaged * draws.chains == 0 {
        return Err(Error::value("the number of draws that are averaged", "at least 1", 0));
    }
    // The chains of a sample stand side by side.
    let beside = |j: usize| j / draws.chains;
    let many = Mat::from_fn(x.nrows(), x.ncols() * draws.chains, |i, j| x[(i, beside(j))]);
    let unknown_of_many = Mask::from_fn(x.nrows(), many.ncols(), |i, j| unknown[(i, beside(j))]);
    let mut chains = begin(model, many.as_view(), &unknown_of_many, draws)?;
    chains.advance(&BlockGibbs::new(draws.sweeps), model);
    let d = model.n_visible();
    let blocks: Vec<usize> = (0..model.blocks().len()).filter(|&b| model.blocks()[b].rows.end <= d).collect();
    let (mut mean, mut deviation) = (x.clone_owned(), Mat::zeros(d, x.ncols()));
    let (mut first, mut second) = (DMatrix::<f64>::zeros(d, x.ncols()), DMatrix::<f64>::zeros(d, x.ncols()));
    for _ in 0..draws.averaged {
        chains.advance(&BlockGibbs::new(1), model);
        for &b in &blocks {
            let rows = model.blocks()[b].rows.clone();
            let (means, variances) = moments(model, &mut chains.states, b);
            for (j, (m, v)) in means.column_iter().zip(variances.column_iter()).enumerate() {
                for (i, (&m, &v)) in rows.clone().zip(m.iter().zip(v.iter())) {
                    first[(i, beside(j))] += f64::from(m);
                    second[(i, beside(j))] += f64::from(v) + f64::from(m).powi(2);
                }
            }
        }
    }
    let n = (draws.averaged * draws.chains) as f64;
    for (k, _) in unknown.iter().enumerate().filter(|(_, u)| **u) {
        let m = first[k] / n;
        (mean[k], deviation[k]) = (m as f32, (second[k] / n - m * m).max(0.0).sqrt() as f32);
    }
    Ok(Imputed { mean, deviation })
}

/// `E[latent units | x]` (latent units × samples): features for other methods. Exact where the latent units are independent given the
/// data; of a deep Boltzmann machine, by mean field.
///
/// # Errors
/// [`Error::Intractable`] if they are not, and the model infers nothing, [`Error::Shape`] if `x` has not one row an input and visible
/// unit.
pub fn features<M: Gibbs + Learn + ?Sized>(model: &M, x: MatRef<'_>) -> Result<Mat> {
    check_rows(model, &x)?;
    let mut states = States::default();
    states.clamp(model.n_rows(), x);
    model.infer(&mut states);
    let d = model.n_visible();
    let latent: Vec<usize> = (0..model.blocks().len()).filter(|&b| model.blocks()[b].rows.start >= d).collect();
    if !states.knows_means(model, latent.iter().copied()) {
        latent_group(model)?;
    }
    let mut out = Mat::zeros(model.n_rows() - d, x.ncols());
    for b in latent {
        let rows = model.blocks()[b].rows.clone();
        out.rows_range_mut(rows.start - d..rows.end - d).copy_from(&states.mean(model, b));
    }
    Ok(out)
}

/// `F(x)`, in nats, a sample: the free energy, higher where the model finds a sample less probable. Scores of one model compare;
/// those of two differ by their `log Z`.
///
/// # Errors
/// [`Error::Intractable`] if the model has no closed free energy, [`Error::Shape`] if `x` has not one row an input and visible unit.
pub fn scores<M: Marginal + Learn + ?Sized>(model: &M, x: MatRef<'_>) -> Result<Vec<f64>> {
    let latent = latent_group(model)?;
    check_rows(model, &x)?;
    energies_without(model, &latent, x)
}

fn check_rows<M: Learn + ?Sized>(model: &M, x: &MatRef<'_>) -> Result<()> {
    match (model.n_visible(), x.nrows()) {
        (expected, got) if expected == got => Ok(()),
        (expected, got) => Err(Error::shape("rows of samples", expected, got)),
    }
}

/// Chains at the samples, with all that is known frozen.
fn begin<M: Gibbs + Learn + ?Sized>(model: &M, x: MatRef<'_>, unknown: &Mask, draws: &Draws) -> Result<Chains> {
    check_rows(model, &x)?;
    if unknown.shape() != x.shape() {
        let (expected, got) = (format!("{:?}", x.shape()), format!("{:?}", unknown.shape()));
        return Err(Error::shape("mask of unknown entries", expected, got));
    }
    let mut start = x.clone_owned();
    for (b, block) in model.blocks().iter().enumerate().filter(|(_, b)| b.rows.end <= model.n_visible()) {
        let (range, rows) = (block.unit.range(), block.rows.clone());
        for j in 0..x.ncols() {
            let mut neutral = vec![0.0; rows.len()];
            let theta = model.theta(b, linalg::col(&x, j));
            block.unit.mean(theta, &vec![0.0; rows.len()], &mut neutral);
            for i in rows.clone().filter(|&i| !range.contains(&x[(i, j)])) {
                if !unknown[(i, j)] {
                    let what = format!("unit {i} of sample {j}");
                    return Err(Error::value(what, format!("within {range:?}"), x[(i, j)]));
                }
                start[(i, j)] = neutral[i - rows.start];
            }
        }
    }
    let mut chains = Chains::new(Mat::zeros(0, 0), derive(draws.seed, "unknown units"));
    chains.clamp_known(model.n_rows(), start.as_view(), &unknown.columns(0, unknown.ncols()));
    Ok(chains)
}

/// Conditional means and variances of a block given the rest (its rows × samples).
fn moments<M: Gibbs + ?Sized>(model: &M, states: &mut States, b: usize) -> (Mat, Mat) {
    let (means, fields) = (states.mean(model, b).clone_owned(), states.field(model, b).clone_owned());
    let (mut variances, x) = (Mat::zeros(means.nrows(), means.ncols()), states.x());
    for (j, mut column) in variances.column_iter_mut().enumerate() {
        let theta = model.theta(b, linalg::col(&x, j));
        model.blocks()[b].unit.variance(theta, linalg::col(&fields.as_view(), j), column.as_mut_slice());
    }
    (means, variances)
}
