//! Energies with latent units summed out, and the log-likelihood that they and a log-partition give.

use super::{Estimate, LogPartition};
use crate::configurations::refuse_given;
use crate::data::{Samples, in_chunks};
use crate::sweep::{among, energies_without, first_group};
use crate::{Energy, Error, Gibbs, Learn, Marginal, Mat, MatRef, Result, linalg};

/// The blocks of the first group, if summing them out leaves the visible units alone; none, if there are no others.
///
/// # Errors
/// [`Error::Intractable`] if latent units remain: then `log p(v)` has no closed form, only bounds.
pub fn latent_group<M: Gibbs + Learn + ?Sized>(model: &M) -> Result<Vec<usize>> {
    let visible = |b: usize| model.blocks()[b].rows.end <= model.n_visible();
    if (0..model.blocks().len()).all(visible) {
        return Ok(vec![]);
    }
    let summed = first_group(model);
    let apart = {
        let is_summed = among(&summed);
        (0..model.blocks().len()).all(|b| is_summed(&b) != visible(b))
    };
    match apart {
        true => Ok(summed),
        false => Err(Error::Intractable {
            what: "the free energy of a model whose latent units do not all sum out at once has no closed form".into(),
            instead: "`log_likelihood_bounds`, or a model whose latent units are independent given the data",
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

impl LogLikelihood {
    /// The mean of `log f(v)` of every sample less `log Z`.
    pub(super) fn of(log_f: &[f64], log_partition: &LogPartition) -> Self {
        let unnormalised = Estimate::of(log_f);
        Self {
            value: unnormalised.value - log_partition.value,
            standard_error: log_partition.standard_error,
            sampling_error: unnormalised.standard_error,
        }
    }
}

/// `⟨log p(v)⟩ = ⟨-F(v)⟩ - log Z` over samples (of epoch 0): the mean of [`log_likelihoods`], with its errors.
///
/// # Errors
/// Those of [`log_likelihoods`].
pub fn log_likelihood<M: Marginal + Learn + ?Sized>(
    model: &M,
    samples: &dyn Samples,
    log_partition: &LogPartition,
) -> Result<LogLikelihood> {
    // Apart from log Z, which is infinite where the energy has no minimum.
    Ok(LogLikelihood::of(&log_likelihoods(model, samples, &LogPartition::exact(0.0))?, log_partition))
}

/// `log p(v) = -F(v) - log Z` of every sample (of epoch 0), in nats: which samples a model finds likely. All share the error of
/// `log Z`; with `LogPartition::exact(0.0)` they are `log f(v) = -F(v)`.
///
/// # Errors
/// [`Error::Shape`] if the samples do not fit, [`Error::Intractable`] if the model has no closed free energy,
/// [`Error::Value`] if there are no samples, or a sample has a value that its unit does not take: at grey pixels, the
/// formula of a machine of bits gives a number that is no likelihood.
///
/// ```
/// use harmonium::eval::{LogPartition, exact_log_partition, log_likelihoods};
/// use harmonium::{Mat, models::Rbm, units::Bernoulli};
/// let rbm = Rbm::new((3, Bernoulli), (2, Bernoulli)); // all parameters zero: eight states, equally likely
/// let log_z = LogPartition::exact(exact_log_partition(&rbm)?);
/// let log_p = log_likelihoods(&rbm, &Mat::identity(3, 3), &log_z)?;
/// assert!(log_p.iter().all(|p| (p + 8f64.ln()).abs() < 1e-6));
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn log_likelihoods<M: Marginal + Learn + ?Sized>(
    model: &M,
    samples: &dyn Samples,
    log_partition: &LogPartition,
) -> Result<Vec<f64>> {
    let summed = latent_group(model)?;
    refuse_given(model, "one log Z for all samples")?;
    if samples.n_rows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), samples.n_rows()));
    }
    let mut log_p = vec![];
    let units = discrete_units(model);
    in_chunks(samples, |_, v| {
        check_values(&units, v, log_p.len())?;
        log_p.extend(energies_without(model, &summed, v)?.into_iter().map(|f| -f - log_partition.value));
        Ok(())
    })?;
    Ok(log_p)
}

/// Mean free energy of held-out samples less that of training samples (visible units × samples each), in nats, with its standard
/// error: log Z falls out (Hinton 2010, section 6).
pub(crate) fn free_energy_gap<M: Marginal + Learn + ?Sized>(
    model: &M,
    train: &Mat,
    held_out: &Mat,
) -> Result<Estimate> {
    let latent = latent_group(model)?;
    let of = |v: &Mat| energies_without(model, &latent, v.as_view()).map(|f| Estimate::of(&f));
    let (unseen, seen) = (of(held_out)?, of(train)?);
    Ok(Estimate { value: unseen.value - seen.value, standard_error: seen.standard_error.hypot(unseen.standard_error) })
}

/// First row and values of every visible unit that is discrete.
pub(super) fn discrete_units<M: Learn + ?Sized>(model: &M) -> Vec<(usize, Vec<Vec<f32>>)> {
    discrete_units_of(model, model.n_visible())
}
/// The same of the units of so many leading rows.
pub(super) fn discrete_units_of<M: Energy + ?Sized>(model: &M, rows: usize) -> Vec<(usize, Vec<Vec<f32>>)> {
    let mut units = vec![];
    for block in model.blocks().iter().filter(|b| b.rows.end <= rows) {
        if let Some(values) = block.unit.support() {
            units.extend(block.rows.clone().step_by(block.unit.width()).map(|row| (row, values.clone())));
        }
    }
    units
}

/// Whether every unit of every sample is within its range; the first sample is number `first`.
pub(super) fn check_ranges<M: Energy + ?Sized>(model: &M, x: MatRef<'_>, first: usize) -> Result<()> {
    for block in model.blocks() {
        let range = block.unit.range();
        for n in 0..x.ncols() {
            let own = &linalg::col(&x, n)[block.rows.clone()];
            if let Some(k) = own.iter().position(|x| !range.contains(x)) {
                let what = format!("unit {} of sample {}", block.rows.start + k, first + n);
                return Err(Error::value(what, format!("within {range:?}"), own[k]));
            }
        }
    }
    Ok(())
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
