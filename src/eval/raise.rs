//! Reverse annealing: lower bounds of log-likelihoods, by chains that go from a sample back to the base-rate model.
//!
//! Annealing is a generative model itself: `x₀ ~ p₀`, then `xₖ ~ Tₖ(· | xₖ₋₁)` for `k = 1 … K`, where `Tₖ` leaves
//! `pₖ = fₖ/Zₖ` alone and `f_K = f` is the model. It ends in a sample v with probability `p_ann(v)`. From `x_K = v` on, with
//! the time reversals of the transitions,
//!
//! ```text
//! xₖ₋₁ ~ T̃ₖ(· | xₖ),   T̃ₖ(x | x') = Tₖ(x' | x) fₖ(x) / fₖ(x')        k = K … 1
//! p̂(v) = f(v) / Ẑ,      1/Ẑ = 1/Z₀ Π fₖ₋₁(xₖ₋₁) / fₖ(xₖ₋₁)
//! ```
//!
//! the mean of `p̂(v)` is `p_ann(v)`: each fraction turns a reversal into the transition, and they leave `p₀(x₀) Π Tₖ`. So the
//! mean of `log p̂(v)` is at most `log p_ann(v)`, and is that of `log p(v)` with ever more temperatures.
//!
//! `p_ann` is no better a model of data than `p` where data are like the model's own draws; then this is a lower bound of the
//! mean log-likelihood. It is none where the model has much of its probability far from the data, and annealing does not find
//! it: [`super::Bracket::warning`] tells.
//!
//! One group of blocks is summed out. Given the others it is drawn first, so the reversal of a sweep draws it first, too, and then the
//! other blocks from the last to the first. Its field weighs a state and serves the next draw: two products a temperature
//! for an RBM, as in [`super::ais()`].
//!
//! ## References
//! - Burda, Grosse and Salakhutdinov, "Accurate and conservative estimates of MRF log-likelihood using reverse annealing",
//!   2015.

use super::ais::{Annealing, ByKernel, Transitions, check_base, check_betas, start};
use super::likelihood::{check_ranges, check_values, discrete_units_of};
use super::{Ais, Estimate, LogPartition, latent_group, log_likelihoods};
use crate::configurations::refuse_given;
use crate::data::{Samples, in_chunks, order};
use crate::rng::derive;
use crate::samplers::Kernel;
use crate::{Annealed, Chains, Energy, Error, Learn, Marginal, Mat, Result};

/// Settings of reverse annealing.
#[derive(Clone, Debug, PartialEq)]
pub struct Raise {
    /// Inverse temperatures, rising from 0 to 1, as for [`Ais`]; passed through from the last to the first.
    pub betas: Vec<f32>,
    /// Samples that chains start from, drawn without replacement; 0 for all, and all if there are not as many.
    pub samples: usize,
    /// Chains of each: the more, the tighter its bound.
    pub chains: usize,
    /// What they are drawn from.
    pub seed: u64,
}

impl Default for Raise {
    /// The schedule of Salakhutdinov and Murray, 10 chains from each of 20 samples.
    fn default() -> Self {
        Self { betas: Ais::sm08(), samples: 20, chains: 10, seed: 0 }
    }
}

/// The lower bound of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleBound {
    /// Which sample.
    pub index: usize,
    /// `log p̂(v) = log f(v) - log Ẑ`, with the mean of `p̂` over the chains, in nats.
    pub log_p: f64,
    /// `log Ẑ`: that it should be the same for all samples tells how far the bounds can be trusted.
    pub log_partition: f64,
    /// The standard error that it has from its chains; not a number for a single one.
    pub chain_error: f64,
}

/// A lower bound of the mean log-likelihood of a data set, in nats a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LowerBound {
    /// `⟨log f(v)⟩` over all samples, less `⟨log Ẑ⟩` over those that chains started from: what samples differ in, `log f(v)`, is
    /// known of all, and is no part of the error (the control variate of the paper, with coefficient 1).
    pub value: f64,
    /// The standard error of `⟨log Ẑ⟩`, by its spread over samples: chains and choice of samples together. Of a single sample,
    /// its chains' error.
    pub standard_error: f64,
    /// The part of it that more chains would remove; not a number if there is one chain a sample.
    pub chain_error: f64,
    /// The standard error over samples: how well these samples stand for all that could have been drawn.
    pub sampling_error: f64,
    /// `⟨log f(v)⟩` over all samples.
    pub unnormalised: f64,
    /// `⟨log Ẑ⟩` over those that chains started from: on average above log Z, where `value` is a lower bound.
    pub log_partition: f64,
    /// The bounds of the samples that chains started from, in the order of the data.
    pub samples: Vec<SampleBound>,
}

/// Columns that are annealed at a time.
const COLUMNS: usize = 1024;

/// Lower bounds of log-likelihoods (of epoch 0), by chains from the samples to the base-rate model with fields `base` (one a row;
/// see [`crate::base_rate`]).
///
/// A sample's bound depends on the seed, its place among those chosen and the number of chains; not on how many others there are.
///
/// # Errors
/// [`Error::Value`] if the temperatures do not rise from 0 to 1, there are no chains or no samples, a field is not finite, or a
/// sample has a value that its unit does not take; [`Error::Shape`] if `base` has not one field a row or the samples do not fit;
/// [`Error::Intractable`] if the latent units do not sum out at once.
///
/// ```
/// use harmonium::eval::{Ais, LogPartition, Raise, exact_log_partition, log_likelihood, raise};
/// use harmonium::{Mat, models::Rbm, units::Bernoulli};
/// let mut rbm = Rbm::new((6, Bernoulli), (4, Bernoulli));
/// rbm.initialise(&[0.3; 6], 0.0, 1)?;
/// let bound = raise(&rbm, &[0.0; 10], &Mat::identity(6, 6), &Raise { betas: Ais::linear(200), ..Raise::default() })?;
/// let exact = log_likelihood(&rbm, &Mat::identity(6, 6), &LogPartition::exact(exact_log_partition(&rbm)?))?;
/// assert!((bound.value - exact.value).abs() < 0.05);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn raise<M: Marginal + Learn + ?Sized>(
    model: &M,
    base: &[f32],
    samples: &dyn Samples,
    settings: &Raise,
) -> Result<LowerBound> {
    settings.check()?;
    check_base(model, base)?;
    let summed = latent_group(model)?;
    let log_f = log_likelihoods(model, samples, &LogPartition::exact(0.0))?;
    let annealing = Annealing { model, base, summed: &summed };
    bounds(model, &annealing, (samples, log_f), settings, start(model, base)?)
}

/// [`raise()`] of any energy by any kernel that is its own time reversal: no units are summed out, and states are weighed by their whole
/// energies, as in [`super::ais_by`]. Samples have all rows of a state.
///
/// Metropolis-Hastings kernels are reversible ([`crate::samplers::Mala`], [`crate::samplers::Hmc`],
/// [`crate::samplers::GibbsWithGradients`], [`crate::samplers::DiscreteLangevin`] with acceptance), and so many moves of one kernel after
/// the other; of two kernels A and B, the order A B is not, but A B A is, and drawing one of the two. [`BlockGibbs`] is not. By one that is
/// not, the number is no bound; which cannot be checked here.
///
/// [`BlockGibbs`]: crate::samplers::BlockGibbs
///
/// # Errors
/// Those of [`raise()`] but for latent units, which this takes for data; and [`Error::Value`] if units have no distribution of their own.
///
/// ```
/// use harmonium::eval::{Ais, Raise, raise_by};
/// use harmonium::{Mat, models::Boltzmann, samplers::GibbsWithGradients, units::Spin};
/// let machine = Boltzmann::new((6, Spin)); // all parameters zero
/// let settings = Raise { betas: Ais::linear(10), ..Raise::default() };
/// let bound = raise_by(&machine, &[0.0; 6], &Mat::from_element(6, 4, 1.0), &settings, &GibbsWithGradients::new(1))?;
/// assert!((bound.value + 64f64.ln()).abs() < 1e-4);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn raise_by<M, K>(
    model: &M,
    base: &[f32],
    samples: &dyn Samples,
    settings: &Raise,
    kernel: &K,
) -> Result<LowerBound>
where
    M: Energy + ?Sized,
    K: for<'a> Kernel<Annealed<'a, M>>,
{
    settings.check()?;
    check_base(model, base)?;
    let log_z0 = start(model, base)?;
    let log_f = minus_energies(model, samples)?;
    bounds(model, &ByKernel { model, base, kernel }, (samples, log_f), settings, log_z0)
}

/// `log f(x) = -E(x)` of all samples.
fn minus_energies<M: Energy + ?Sized>(model: &M, samples: &dyn Samples) -> Result<Vec<f64>> {
    refuse_given(model, "one log Z for all samples")?;
    if samples.n_rows() != model.n_rows() {
        return Err(Error::shape("rows of samples, which are whole states", model.n_rows(), samples.n_rows()));
    }
    let (units, mut log_f) = (discrete_units_of(model, model.n_rows()), vec![]);
    in_chunks(samples, |first, x| {
        check_values(&units, x, first)?;
        check_ranges(model, x, first)?;
        let mut energies = vec![0.0; x.ncols()];
        model.energy(x, &mut energies);
        log_f.extend(energies.into_iter().map(|e| -e));
        Ok(())
    })?;
    Ok(log_f)
}

/// From the samples that are chosen, back to the base-rate model, with `log f` of all.
pub(super) fn bounds<M: Energy + ?Sized>(
    model: &M,
    transitions: &impl Transitions,
    (samples, log_f): (&dyn Samples, Vec<f64>),
    settings: &Raise,
    log_z0: f64,
) -> Result<LowerBound> {
    let chosen = choose(log_f.len(), settings);
    let mut bounds = Vec::with_capacity(chosen.len());
    for part in chosen.chunks((COLUMNS / settings.chains).max(1)) {
        let gains = back(model.n_rows(), transitions, (samples, part), settings, bounds.len());
        let bound = |(&index, gains): (&usize, &[f64])| {
            let inverse = LogPartition::from_log_weights(gains.to_vec());
            let log_partition = log_z0 - inverse.value;
            let log_p = log_f[index] - log_partition;
            SampleBound { index, log_p, log_partition, chain_error: inverse.standard_error }
        };
        bounds.extend(part.iter().zip(gains.chunks(settings.chains)).map(bound));
    }
    Ok(LowerBound::of(&log_f, bounds))
}

impl Raise {
    fn check(&self) -> Result<()> {
        check_betas(&self.betas)?;
        match self.chains {
            0 => Err(Error::value("the number of chains of a sample", "at least 1", 0)),
            _ => Ok(()),
        }
    }
}

/// Which samples chains start from, in the order of the data.
fn choose(n: usize, settings: &Raise) -> Vec<usize> {
    let wanted = if settings.samples == 0 { n } else { settings.samples.min(n) };
    let mut chosen = order(n, derive(settings.seed, "samples to anneal"), 0);
    chosen.truncate(wanted);
    chosen.sort_unstable();
    chosen
}

/// `log Z₀/Ẑ` of every chain of the samples `part`, of which the first is number `first` of those chosen; states of this height.
fn back(
    height: usize,
    transitions: &impl Transitions,
    (samples, part): (&dyn Samples, &[usize]),
    settings: &Raise,
    first: usize,
) -> Vec<f64> {
    let index: Vec<usize> = part.iter().flat_map(|&n| std::iter::repeat_n(n, settings.chains)).collect();
    let mut v = Mat::zeros(samples.n_rows(), index.len());
    samples.gather(0, &index, v.columns_mut(0, index.len()));
    let seed = derive(derive(settings.seed, "reverse annealing"), &first.to_string());
    let mut chains = Chains::new(v.resize_vertically(height, 0.0), seed);
    chains.each(|slab, rng| transitions.run_back(&settings.betas, slab, rng)).concat()
}

impl LowerBound {
    fn of(log_f: &[f64], samples: Vec<SampleBound>) -> Self {
        let all = Estimate::of(log_f);
        let log_z = Estimate::of(&samples.iter().map(|s| s.log_partition).collect::<Vec<f64>>());
        let squares = samples.iter().map(|s| s.chain_error.powi(2)).sum::<f64>();
        let chain_error = squares.sqrt() / samples.len() as f64;
        Self {
            value: all.value - log_z.value,
            standard_error: if samples.len() == 1 { chain_error } else { log_z.standard_error },
            chain_error,
            sampling_error: all.standard_error,
            unnormalised: all.value,
            log_partition: log_z.value,
            samples,
        }
    }
}
