//! Annealed importance sampling: an estimate of `log Z` with a standard error, by chains that go from the base-rate model
//! to the model through many temperatures.
//!
//! One group of blocks is summed out. Its field at the present state serves both to weigh the state and to sample the
//! group, so an RBM pays two products a temperature. Z is estimated without bias, so log Z is underestimated on average,
//! and a likelihood overestimated; a small effective sample size is the sign of it. Chains that all miss a mode of the
//! model show no sign.
//!
//! ## References
//! - Neal, "Annealed importance sampling", 2001.
//! - Salakhutdinov and Murray, "On the quantitative analysis of deep belief networks", 2008.

use crate::adapters::tempered_log_partition;
use crate::base_rate::{base_rate_energy, base_rate_log_partition};
use crate::configurations::refuse_given;
use crate::linalg::col;
use crate::rng::{Streams, derive};
use crate::samplers::{BlockGibbs, Chains, Kernel};
use crate::sweep::{among, first_group};
use crate::{Annealed, Energy, Error, Marginal, Response, Result, Slab};

/// Settings of annealed importance sampling.
#[derive(Clone, Debug, PartialEq)]
pub struct Ais {
    /// Inverse temperatures, rising from 0 to 1.
    pub betas: Vec<f32>,
    /// Independent runs.
    pub runs: usize,
    /// What they are drawn from.
    pub seed: u64,
}

impl Default for Ais {
    /// The schedule of Salakhutdinov and Murray, 100 runs.
    fn default() -> Self {
        Self { betas: Self::sm08(), runs: 100, seed: 0 }
    }
}

impl Ais {
    /// The 14,500 temperatures of Salakhutdinov and Murray (2008): 500 uniform in 0..0.5, 4,000 in 0.5..0.9, 10,000 in
    /// 0.9..1.
    pub fn sm08() -> Vec<f32> {
        Self::piecewise(&[(0.0, 500), (0.5, 4_000), (0.9, 10_000)])
    }
    /// `n` steps of one size.
    pub fn linear(n: usize) -> Vec<f32> {
        Self::piecewise(&[(0.0, n)])
    }
    /// The densities of [`Ais::sm08`] with `n` steps in all, and at least one in each part.
    pub fn like_sm08(n: usize) -> Vec<f32> {
        let (first, second) = ((n / 29).max(1), (8 * n / 29).max(1));
        Self::piecewise(&[(0.0, first), (0.5, second), (0.9, n.saturating_sub(first + second).max(1))])
    }
    /// From every `start` on, so many uniform steps to the next start, the last to 1.
    pub fn piecewise(parts: &[(f64, usize)]) -> Vec<f32> {
        let ends = parts.iter().skip(1).map(|p| p.0).chain([1.0]);
        let part = |(&(start, n), end): (&(f64, usize), f64)| {
            (0..n).map(move |k| (start + (end - start) * k as f64 / n as f64) as f32)
        };
        let mut betas: Vec<f32> = parts.iter().zip(ends).flat_map(part).chain([1.0]).collect();
        betas.dedup(); // steps finer than f32 can tell apart
        betas
    }
}

/// Whether inverse temperatures rise from 0 to 1.
pub(super) fn check_betas(betas: &[f32]) -> Result<()> {
    let rises = betas.windows(2).all(|b| b[0] < b[1]);
    if !rises || betas.first() != Some(&0.0) || betas.last() != Some(&1.0) {
        let ends = (betas.first(), betas.last());
        return Err(Error::value("inverse temperatures", "rising from 0 to 1", format!("{ends:?}")));
    }
    Ok(())
}

/// Whether there is a finite field of the base-rate model for every row.
pub(super) fn check_base<M: Energy + ?Sized>(model: &M, base: &[f32]) -> Result<()> {
    if base.len() != model.n_rows() {
        return Err(Error::shape("fields of the base-rate model", model.n_rows(), base.len()));
    }
    match base.iter().position(|b| !b.is_finite()) {
        Some(i) => Err(Error::value(format!("field {i} of the base-rate model"), "finite", base[i])),
        None => Ok(()),
    }
}

/// `log Z`, in nats, and how well it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPartition {
    /// `log Z`
    pub value: f64,
    /// Its standard error; 0 if exact.
    pub standard_error: f64,
    /// `(Σw)² / Σw²` over the weights of the runs; infinite if exact.
    pub effective_sample_size: f64,
    /// The log-weights of the runs; none if exact.
    pub log_weights: Vec<f64>,
}

impl LogPartition {
    /// One that was computed exactly.
    pub fn exact(value: f64) -> Self {
        Self { value, standard_error: 0.0, effective_sample_size: f64::INFINITY, log_weights: vec![] }
    }
    /// The log-mean of the weights; the error of the mean, carried to the logarithm (not a number for a single run).
    pub fn from_log_weights(log_weights: Vec<f64>) -> Self {
        let (value, n) = (log_mean_exp(&log_weights), log_weights.len() as f64);
        let relative: Vec<f64> = log_weights.iter().map(|w| (w - value).exp()).collect(); // of mean one
        let squares = relative.iter().map(|w| w * w).sum::<f64>();
        let variance = relative.iter().map(|w| (w - 1.0).powi(2)).sum::<f64>() / (n - 1.0);
        Self { value, standard_error: (variance / n).sqrt(), effective_sample_size: n * n / squares, log_weights }
    }
    /// What to tell the user, if the weights are so uneven that the error bar cannot be trusted.
    pub fn warning(&self) -> Option<String> {
        let (ess, n) = (self.effective_sample_size, self.log_weights.len());
        // A mean of fewer than ten equal weights, or carried by less than a tenth of the runs, has no reliable variance.
        let poor = n > 0 && (!ess.is_finite() || ess < 10.0 || ess < 0.1 * n as f64);
        poor.then(|| {
            format!(
                "the effective sample size is {ess:.1} of {n} runs: log Z and its error cannot be trusted (log Z is \
                 probably too low, likelihoods too high); use more temperatures or more runs"
            )
        })
    }
}

/// Estimates `log Z` from the base-rate model with fields `base` (one a row; see [`crate::base_rate`]).
///
/// The blocks of the model's first group are summed out.
///
/// # Errors
/// [`Error::Value`] if the temperatures do not rise from 0 to 1, there are no runs, or a field is not finite,
/// [`Error::Shape`] if `base` has not one field a row.
pub fn ais<M: Marginal + ?Sized>(model: &M, base: &[f32], settings: &Ais) -> Result<LogPartition> {
    let summed = first_group(model);
    forth(model, base, settings, &Annealing { model, base, summed: &summed })
}

/// [`ais()`] of any energy by any kernel: no units are summed out, and states are weighed by their whole energies.
///
/// `log w = log Z₀ - Σ (β' - β) (E - E₀)(x)` at each rise of the temperature from `β` to `β'`, `x` being moved by the kernel at each `β`
/// between (one advance, of [`Annealed`] over the model). One energy a temperature beyond what the kernel computes. Where units can be
/// summed out, [`ais()`] has the smaller error; this is for energies that are no sums, as networks.
///
/// A kernel with a step has one for all temperatures: between the scales of the base-rate model and of the model, the smaller (which
/// [`crate::samplers::WarmUp`] finds for each). A kernel without acceptance leaves no temperature alone, and the estimate is biased by what
/// it is biased by.
///
/// # Errors
/// Those of [`ais()`]; and [`Error::Value`] if units have no distribution of their own ([`crate::units::Real`]), where annealing would have
/// no start.
///
/// ```
/// use harmonium::eval::{Ais, ais_by};
/// use harmonium::{Collapsed, models::Rbm, samplers::GibbsWithGradients, units::Bernoulli};
/// let rbm = Rbm::new((6, Bernoulli), (4, Bernoulli)); // all parameters zero
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let settings = Ais { betas: Ais::linear(10), ..Ais::default() };
/// let log_z = ais_by(&free, &[0.0; 6], &settings, &GibbsWithGradients::new(1))?;
/// assert!((log_z.value - 1024f64.ln()).abs() < 1e-4);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn ais_by<M, K>(model: &M, base: &[f32], settings: &Ais, kernel: &K) -> Result<LogPartition>
where
    M: Energy + ?Sized,
    K: for<'a> Kernel<Annealed<'a, M>>,
{
    forth(model, base, settings, &ByKernel { model, base, kernel })
}

/// All runs, from draws of the base-rate model.
pub(super) fn forth<M: Energy + ?Sized>(
    model: &M,
    base: &[f32],
    settings: &Ais,
    transitions: &impl Transitions,
) -> Result<LogPartition> {
    check_betas(&settings.betas)?;
    refuse_given(model, "log Z")?;
    check_base(model, base)?;
    let log_z0 = start(model, base)?;
    if settings.runs == 0 {
        return Err(Error::value("the number of runs", "at least 1", 0));
    }
    let mut chains = Chains::from_base(model, base, settings.runs, derive(settings.seed, "annealing"));
    let gains = chains.each(|slab, rng| transitions.run(&settings.betas, slab, rng));
    Ok(LogPartition::from_log_weights(gains.concat().into_iter().map(|g| log_z0 + g).collect()))
}

/// `log Z₀`, if there is a base-rate model.
pub(super) fn start<M: Energy + ?Sized>(model: &M, base: &[f32]) -> Result<f64> {
    let log_z0 = base_rate_log_partition(model, base);
    match log_z0.is_finite() {
        true => Ok(log_z0),
        false => Err(Error::value("log Z of the base-rate model", "finite: units with a density of their own", log_z0)),
    }
}

/// What annealing does at a temperature. Both directions go through all of them for one slab: slabs never wait for each other.
pub(super) trait Transitions: Sync {
    /// `gains += log f_after(x) - log f_before(x)`; `energies` is memory, a number a column.
    fn weigh(&self, before: f32, after: f32, slab: &mut Slab<'_>, energies: &mut [f64], gains: &mut [f64]);
    /// A transition that leaves the temperature's distribution alone.
    fn forth(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>);
    /// Its time reversal.
    fn back(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>);
    /// `Σ log fₖ₊₁(xₖ) - log fₖ(xₖ)` of every column, from the first temperature to the last.
    fn run(&self, betas: &[f32], slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Vec<f64> {
        let (mut gains, mut energies) = (vec![0.0; slab.ncols()], vec![0.0; slab.ncols()]);
        for pair in betas.windows(2) {
            self.weigh(pair[0], pair[1], slab, &mut energies, &mut gains);
            if pair[1] < 1.0 {
                self.forth(pair[1], slab, rng);
            }
        }
        gains
    }
    /// `Σ log fₖ₋₁(xₖ₋₁) - log fₖ(xₖ₋₁)` of every column: from the last temperature to the first, a move at each, and only then
    /// the weight of where it leads.
    fn run_back(&self, betas: &[f32], slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Vec<f64> {
        let (mut gains, mut energies) = (vec![0.0; slab.ncols()], vec![0.0; slab.ncols()]);
        for pair in betas.windows(2).rev() {
            self.back(pair[1], slab, rng);
            self.weigh(pair[1], pair[0], slab, &mut energies, &mut gains);
        }
        gains
    }
}

/// A model above its base-rate model, moved by a kernel that is its own reversal.
pub(super) struct ByKernel<'a, M: ?Sized, K> {
    pub(super) model: &'a M,
    pub(super) base: &'a [f32],
    pub(super) kernel: &'a K,
}
impl<M, K> Transitions for ByKernel<'_, M, K>
where
    M: Energy + ?Sized,
    K: for<'a> Kernel<Annealed<'a, M>>,
{
    fn weigh(&self, before: f32, after: f32, slab: &mut Slab<'_>, energies: &mut [f64], gains: &mut [f64]) {
        let x = slab.x();
        self.model.energy(x, energies);
        for (j, g) in gains.iter_mut().enumerate() {
            let above = energies[j] - base_rate_energy(self.model, self.base, &[], col(&x, j));
            *g -= (f64::from(after) - f64::from(before)) * above;
        }
    }
    fn forth(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        self.kernel.advance(&Annealed::new(self.model, self.base, beta), slab, rng);
    }
    fn back(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        self.forth(beta, slab, rng);
    }
}

/// A model above its base-rate model, with a group of blocks summed out.
pub(super) struct Annealing<'a, M: ?Sized> {
    pub(super) model: &'a M,
    pub(super) base: &'a [f32],
    pub(super) summed: &'a [usize],
}

impl<M: Marginal + ?Sized> Transitions for Annealing<'_, M> {
    /// Both from one field.
    fn weigh(&self, before: f32, after: f32, slab: &mut Slab<'_>, at_zero: &mut [f64], gains: &mut [f64]) {
        let (model, base) = (self.model, self.base);
        model.energy_at_zero(self.summed, slab.x(), at_zero);
        for (j, g) in gains.iter_mut().enumerate() {
            let above = at_zero[j] - base_rate_energy(model, base, self.summed, col(&slab.x(), j));
            *g -= (after as f64 - before as f64) * above;
        }
        for &b in self.summed {
            let (x, field, scratch) = slab.x_field_and_scratch(model, b);
            for (j, g) in gains.iter_mut().enumerate() {
                let at = (col(&x, j), col(&field, j));
                let mut gamma = |beta| tempered_log_partition(model, b, (beta, base), at, scratch);
                *g += gamma(after) - gamma(before);
            }
        }
    }
    fn forth(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        BlockGibbs::new(1).advance(&Annealed::new(self.model, self.base, beta), slab, rng);
    }
    /// The reversal of a sweep: the blocks summed out given all others, then the others from the last to the first.
    fn back(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        let is_summed = among(self.summed);
        let others = (0..self.model.blocks().len()).rev().filter(|b| !is_summed(b));
        for b in self.summed.iter().copied().chain(others) {
            slab.respond(self.model, b, &mut Response::sample(rng).tempered(beta, self.base));
        }
    }
}

/// `log (1/n) Σ exp(xₙ)`, without overflow.
pub fn log_mean_exp(x: &[f64]) -> f64 {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return most;
    }
    most + (x.iter().map(|x| (x - most).exp()).sum::<f64>() / x.len() as f64).ln()
}
