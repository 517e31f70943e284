//! Bounds on `log p(v)` of models whose latent units do not sum out, and per-sample estimates that tell how tight the bounds are.
//!
//! For any distribution `q` of the latent units, `log p(v) ≥ ⟨-E(v, h)⟩_q + H(q) - log Z`; the difference is `KL(q ‖ p(h | v))`.
//! Here `q` is what [`Learn::infer`] finds: independent units, nearest to the posterior. It holds for models whose energy is
//! linear in every unit but for its own `U`. It estimates no `log Z`: see [`super::ais`]; if that is too low, a bound is too high.
//!
//! ## References
//! - Salakhutdinov and Hinton, "Deep Boltzmann machines", 2009 (the bound, and how annealing given each image tells how tight it is).

use super::likelihood::{check_values, discrete_units};
use super::{Ais, Estimate, LogLikelihood, LogPartition, ais};
use crate::configurations::refuse_given;
use crate::data::{Samples, in_chunks};
use crate::linalg::{col, dot};
use crate::rng::derive;
use crate::sweep::{among, energies_without, first_group};
use crate::{Conditioned, Error, Learn, Marginal, MatRef, Result, States};

/// A lower bound on the mean log-likelihood of samples (of epoch 0): the mean of [`log_likelihood_bounds`], with its errors.
///
/// # Errors
/// Those of [`log_likelihood_bounds`].
pub fn log_likelihood_bound<M: Marginal + Learn + ?Sized>(
    model: &M,
    samples: &dyn Samples,
    log_partition: &LogPartition,
) -> Result<LogLikelihood> {
    Ok(LogLikelihood::of(&log_likelihood_bounds(model, samples, &LogPartition::exact(0.0))?, log_partition))
}

/// A lower bound on `log p(v)` of every sample (of epoch 0), in nats:
///
/// ```text
/// log p(v) ≥ -F(v, μ) + Σ (U(μ) + Γ(φ) - φᵀμ) - log Z
/// ```
///
/// `F` has the first group of blocks summed out; the sum is over the other latent blocks, whose means `μ` answer fields `φ`. Where
/// there are none, as in an RBM, it is [`super::log_likelihoods`] and no bound.
///
/// ```
/// use harmonium::eval::{LogPartition, exact_log_partition, log_likelihood_bounds};
/// use harmonium::{Mat, models::Dbm, units::Bernoulli};
/// use std::sync::Arc;
/// let dbm = Dbm::new(&[3, 2, 2].map(|n| (n, Arc::new(Bernoulli) as _))); // all parameters zero
/// let log_z = LogPartition::exact(exact_log_partition(&dbm)?);
/// let bounds = log_likelihood_bounds(&dbm, &Mat::identity(3, 3), &log_z)?;
/// assert!(bounds.iter().all(|p| (p + 8f64.ln()).abs() < 1e-6)); // hidden units are independent: the bound is tight
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the samples do not fit, [`Error::Value`] if there are no samples, or a sample has a value that its unit does
/// not take, [`Error::Intractable`] if the model has inputs, or does not infer its latent units.
pub fn log_likelihood_bounds<M: Marginal + Learn + ?Sized>(
    model: &M,
    samples: &dyn Samples,
    log_partition: &LogPartition,
) -> Result<Vec<f64>> {
    refuse_given(model, "one log Z for all samples")?;
    if samples.n_rows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), samples.n_rows()));
    }
    let (units, mut states, mut bounds) = (discrete_units(model), States::default(), vec![]);
    in_chunks(samples, |_, v| {
        check_values(&units, v, bounds.len())?;
        states.clamp(model.n_rows(), v);
        bounds.extend(unnormalised(model, &mut states)?.into_iter().map(|f| f - log_partition.value));
        Ok(())
    })?;
    Ok(bounds)
}

/// The bound on `log f(v) = log Σ_h exp(-E(v, h))` of states with these visible rows, after inference.
fn unnormalised<M: Marginal + Learn + ?Sized>(model: &M, states: &mut States) -> Result<Vec<f64>> {
    let visible = model.n_visible();
    // What is visible is known, and no part of a sum.
    let all_latent = |summed: &Vec<usize>| summed.iter().all(|&b| model.blocks()[b].rows.start >= visible);
    let summed = Some(first_group(model)).filter(all_latent).unwrap_or_default();
    let is_summed = among(&summed);
    model.infer(states);
    let others = (0..model.blocks().len()).filter(|b| model.blocks()[*b].rows.start >= visible && !is_summed(b));
    if !states.knows_means(model, others) {
        return Err(not_inferred());
    }
    let mut bounds: Vec<f64> = energies_without(model, &summed, states.x())?.into_iter().map(|f| -f).collect();
    for (b, block) in model.blocks().iter().enumerate() {
        if block.rows.start < visible || is_summed(&b) {
            continue;
        }
        let fields = states.field(model, b).clone_owned();
        let (x, fields) = (states.x(), fields.as_view());
        for (j, bound) in bounds.iter_mut().enumerate() {
            let (theta, field) = (model.theta(b, col(&x, j)), col(&fields, j));
            let mean = &col(&x, j)[block.rows.clone()];
            *bound += block.unit.base_energy(theta, mean) + block.unit.log_partition(theta, field) - dot(field, mean);
        }
    }
    Ok(bounds)
}

fn not_inferred() -> Error {
    Error::Intractable {
        what: "a bound on the likelihood of a model that does not infer its latent units".into(),
        instead: "a model whose `Learn::infer` makes their means",
    }
}

/// An estimate of `log p(v)` of every column of `v` (visible units × samples), in nats, with its standard error: annealing of the
/// latent units given the sample, from the independent units of mean field to the posterior. Beside [`log_likelihood_bounds`] of the
/// same samples it tells how tight they are. Errors are those of the annealing; that of `log Z` is common to all.
///
/// A sample costs as much as an estimate of `log Z`; fewer runs and temperatures are enough, for the start is near.
///
/// # Errors
/// Those of [`log_likelihood_bounds`], and of [`ais`].
pub fn annealed_log_likelihoods<M: Marginal + Learn + ?Sized>(
    model: &M,
    v: MatRef<'_>,
    log_partition: &LogPartition,
    settings: &Ais,
) -> Result<Vec<Estimate>> {
    refuse_given(model, "one log Z for all samples")?;
    if v.nrows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), v.nrows()));
    }
    check_values(&discrete_units(model), v, 0)?;
    let mut states = States::default();
    states.clamp(model.n_rows(), v);
    model.infer(&mut states);
    let latent = || model.blocks().iter().enumerate().filter(|(_, b)| b.rows.start >= model.n_visible());
    latent().for_each(|(b, _)| _ = states.field(model, b));
    let estimate = |j: usize| {
        let mut base = vec![0.0; model.n_rows() - model.n_visible()];
        for (b, block) in latent() {
            let at = block.rows.start - model.n_visible();
            let (field, _) = states.known(model, b).ok_or_else(not_inferred)?;
            base[at..at + block.rows.len()].copy_from_slice(col(&field, j));
        }
        let settings = Ais { seed: derive(settings.seed, &format!("sample {j}")), ..settings.clone() };
        let found = ais(&Conditioned::new(model, col(&v, j))?, &base, &settings)?;
        Ok(Estimate { value: found.value - log_partition.value, standard_error: found.standard_error })
    };
    (0..v.ncols()).map(estimate).collect()
}
