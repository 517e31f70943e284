//! Energies with latent units summed out, and the log-likelihood that they and a log-partition give.

use super::{Estimate, LogPartition};
use crate::configurations::refuse_given;
use crate::data::{Samples, in_chunks};
use crate::sweep::{energies_without, first_group};
use crate::{Error, Gibbs, Learn, Marginal, MatRef, Result, linalg};

/// The blocks of the first group, if summing them out leaves the visible units alone.
///
/// # Errors
/// [`Error::Intractable`] if latent units remain: then `log p(v)` has no closed form, only bounds.
pub fn latent_group<M: Gibbs + Learn + ?Sized>(model: &M) -> Result<Vec<usize>> {
    let summed = first_group(model);
    let visible = |b: usize| model.blocks()[b].rows.end <= model.n_visible();
    match (0..model.blocks().len()).all(|b| summed.contains(&b) != visible(b)) {
        true => Ok(summed),
        false => Err(Error::Intractable {
            what: "the free energy of a model whose latent units do not all sum out at once has no closed form".into(),
            instead: "a model whose latent units are independent given the data",
        }),
    }
}

/// The mean log-likelihood of a data set, in nats a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogLikelihood {
    /// `⟨-F(v)⟩ - log Z`
    pub value: f64,
    /// The standard error that it has from `log Z`: how well the number is known for these very samples.
    pub standard_error: f64,
    /// The standard error over samples: how well these samples stand for all that could have been drawn.
    pub sampling_error: f64,
}

/// `⟨log p(v)⟩ = ⟨-F(v)⟩ - log Z` over samples (of epoch 0).
///
/// # Errors
/// [`Error::Shape`] if the samples do not fit, [`Error::Intractable`] if the model has no closed free energy,
/// [`Error::Value`] if there are no samples, or a sample has a value that its unit does not take: at grey pixels, the
/// formula of a machine of bits gives a number that is no likelihood.
pub fn log_likelihood<M: Marginal + Learn + ?Sized>(
    model: &M,
    samples: &dyn Samples,
    log_partition: &LogPartition,
) -> Result<LogLikelihood> {
    let summed = latent_group(model)?;
    refuse_given(model, "one log Z for all samples")?;
    if samples.n_rows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), samples.n_rows()));
    }
    let mut free = vec![];
    let units = discrete_units(model);
    in_chunks(samples, |_, v| {
        check_values(&units, v, free.len())?;
        free.extend(energies_without(model, &summed, v)?);
        Ok(())
    })?;
    let Estimate { value, standard_error } = Estimate::of(&free);
    Ok(LogLikelihood {
        value: -value - log_partition.value,
        standard_error: log_partition.standard_error,
        sampling_error: standard_error,
    })
}

/// First row and values of every visible unit that is discrete.
pub(super) fn discrete_units<M: Learn + ?Sized>(model: &M) -> Vec<(usize, Vec<Vec<f32>>)> {
    let mut units = vec![];
    for block in model.blocks().iter().filter(|b| b.rows.end <= model.n_visible()) {
        if let Some(values) = block.unit.support() {
            units.extend(block.rows.clone().step_by(block.unit.width()).map(|row| (row, values.clone())));
        }
    }
    units
}

/// Whether every unit of every sample has one of its values; the first sample is number `first`.
pub(super) fn check_values(units: &[(usize, Vec<Vec<f32>>)], v: MatRef<'_>, first: usize) -> Result<()> {
    for n in 0..v.ncols() {
        let sample = linalg::col(&v, n);
        let has = |(row, values): &&(usize, Vec<Vec<f32>>)| !values.iter().any(|w| sample[*row..].starts_with(w));
        if let Some((row, values)) = units.iter().find(has) {
            let own = &sample[*row..row + values[0].len()];
            let what = format!("unit {row} of sample {}", first + n);
            return Err(Error::value(what, format!("one of {values:?}"), format!("{own:?}")));
        }
    }
    Ok(())
}

/// The mean of every row over samples (of epoch 0), summed in double precision.
///
/// # Errors
/// [`Error::Value`] if there are no samples.
pub fn mean_of(samples: &dyn Samples) -> Result<Vec<f32>> {
    let mut sums = vec![0f64; samples.n_rows()];
    in_chunks(samples, |_, v| {
        for column in v.column_iter() {
            sums.iter_mut().zip(column.iter()).for_each(|(s, &v)| *s += v as f64);
        }
        Ok(())
    })?;
    Ok(sums.iter().map(|s| (s / samples.n_samples() as f64) as f32).collect())
}
