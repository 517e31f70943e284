//! A mean log-likelihood as a bracket: exactly where that is cheap, otherwise from below by reverse annealing and from above by
//! annealing.
//!
//! Each estimate is wrong in one direction only, on average: annealing finds too small a log Z, and reverse annealing too small a
//! likelihood. What lies between them is the bias of both, so the gap says what an effective sample size cannot.
//! It cannot tell what neither sees: probability of the model that is far from the data and from where annealing leads.
//!
//! ## References
//! - Burda, Grosse and Salakhutdinov, "Accurate and conservative estimates of MRF log-likelihood using reverse annealing",
//!   2015.

use super::exact::exact_work;
use super::{Ais, Estimate, LogLikelihood, LogPartition, LowerBound, Raise};
use super::{ais, ais_by, exact_log_partition, log_likelihood, raise, raise_by};
use crate::data::Samples;
use crate::samplers::Kernel;
use crate::{Annealed, Energy, Learn, Marginal, Result};
use std::fmt;

/// Settings of [`bracket`].
#[derive(Clone, Debug, PartialEq)]
pub struct Bracketing {
    /// Inverse temperatures, rising from 0 to 1, for both directions.
    pub betas: Vec<f32>,
    /// Runs of annealing.
    pub runs: usize,
    /// Samples that reverse annealing starts from; 0 for all.
    pub samples: usize,
    /// Reverse chains of each.
    pub chains: usize,
    /// What all are drawn from.
    pub seed: u64,
    /// Whether log Z is computed exactly where that takes less than about a second.
    pub exact: bool,
}

impl Default for Bracketing {
    /// The settings of [`Ais`] and [`Raise`]; exactly where that is cheap.
    fn default() -> Self {
        let (Ais { betas, runs, seed }, Raise { samples, chains, .. }) = (Ais::default(), Raise::default());
        Self { betas, runs, samples, chains, seed, exact: true }
    }
}

impl Bracketing {
    /// Settings to watch a run with: 1,000 temperatures spread like those of Salakhutdinov and Murray, 50 runs, 5 chains from each of
    /// 10 samples. Some forty times as fast as the default, and the bracket wider for it.
    pub fn quick() -> Self {
        Self { betas: Ais::like_sm08(1000), runs: 50, samples: 10, chains: 5, ..Self::default() }
    }
    pub(super) fn forward(&self) -> Ais {
        Ais { betas: self.betas.clone(), runs: self.runs, seed: self.seed }
    }
    pub(super) fn backward(&self) -> Raise {
        Raise { betas: self.betas.clone(), samples: self.samples, chains: self.chains, seed: self.seed }
    }
}

/// An end of a [`Bracket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// From below, by reverse annealing.
    Lower,
    /// From above, by annealing.
    Upper,
}

/// Where the mean log-likelihood of a data set lies, in nats a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Bracket {
    /// From below, by reverse annealing; with the error of its chains and of the choice of samples that they start from.
    pub lower: Estimate,
    /// From above, by annealing; with the error of its runs.
    pub upper: Estimate,
    /// The standard error over samples: how well these samples stand for all that could have been drawn.
    pub sampling_error: f64,
    /// `log Z`, exactly or by annealing.
    pub log_partition: LogPartition,
    /// Samples that reverse annealing started from; none if the number is exact.
    pub samples: usize,
}

/// Multiplications that an exact log Z may take: less than a second.
const CHEAP: f64 = (1u64 << 33) as f64;

/// The mean log-likelihood of samples (of epoch 0) from below and from above, with the base-rate model of fields `base` (one a row; see
/// [`crate::base_rate`]): exactly, where that takes less than about a second.
///
/// # Errors
/// Those of [`ais()`], [`raise()`] and [`log_likelihood()`].
///
/// ```
/// use harmonium::eval::{Bracketing, bracket};
/// use harmonium::{Mat, models::Rbm, units::Bernoulli};
/// let rbm = Rbm::new((6, Bernoulli), (4, Bernoulli)); // all parameters zero: 64 images, equally likely
/// let got = bracket(&rbm, &[0.0; 10], &Mat::identity(6, 6), &Bracketing::default())?;
/// assert!(got.is_exact() && got.warning().is_none());
/// assert_eq!(got.to_string(), "-4.159 nats, exactly");
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn bracket<M: Marginal + Learn + ?Sized>(
    model: &M,
    base: &[f32],
    samples: &dyn Samples,
    settings: &Bracketing,
) -> Result<Bracket> {
    if let Some(exact) = exactly(model, samples, settings)? {
        return Ok(exact);
    }
    // First what may find fault with the samples.
    let lower = raise(model, base, samples, &settings.backward())?;
    Ok(Bracket::between(&lower, ais(model, base, &settings.forward())?))
}

/// [`bracket`] of any energy by any kernel that is its own time reversal, with no units summed out: by [`super::raise_by`] from below and
/// [`super::ais_by`] from above. Samples have all rows of a state. What is exact is not looked for: [`Bracketing::exact`] is for models
/// whose units sum out.
///
/// # Errors
/// Those of [`super::ais_by`] and [`super::raise_by`].
///
/// ```
/// use harmonium::eval::{Ais, Bracketing, bracket_by};
/// use harmonium::{Mat, models::Boltzmann, samplers::Hmc, units::Gaussian};
/// let machine = Boltzmann::new((3, Gaussian)); // all parameters zero: three normal numbers
/// let settings = Bracketing { betas: Ais::linear(10), ..Bracketing::default() };
/// let got = bracket_by(&machine, &[0.0; 3], &Mat::zeros(3, 4), &settings, &Hmc::new(0.5, 3))?;
/// assert!((got.lower.value + 1.5 * std::f64::consts::TAU.ln()).abs() < 1e-4 && got.gap().value.abs() < 1e-4);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn bracket_by<M, K>(
    model: &M,
    base: &[f32],
    samples: &dyn Samples,
    settings: &Bracketing,
    kernel: &K,
) -> Result<Bracket>
where
    M: Energy + ?Sized,
    K: for<'a> Kernel<Annealed<'a, M>>,
{
    // First what may find fault with the samples.
    let lower = raise_by(model, base, samples, &settings.backward(), kernel)?;
    Ok(Bracket::between(&lower, ais_by(model, base, &settings.forward(), kernel)?))
}

/// One end of [`bracket`] alone: the same number, without the work for the other.
///
/// # Errors
/// Those of [`bracket`].
pub fn bracket_end<M: Marginal + Learn + ?Sized>(
    model: &M,
    base: &[f32],
    samples: &dyn Samples,
    settings: &Bracketing,
    end: End,
) -> Result<Estimate> {
    if let Some(exact) = exactly(model, samples, settings)? {
        return Ok(exact.lower);
    }
    let (value, standard_error) = match end {
        End::Lower => {
            let lower = raise(model, base, samples, &settings.backward())?;
            (lower.value, lower.standard_error)
        }
        End::Upper => {
            let log_z = ais(model, base, &settings.forward())?;
            (log_likelihood(model, samples, &log_z)?.value, log_z.standard_error)
        }
    };
    Ok(Estimate { value, standard_error })
}

/// The bracket without a gap, where it is asked for and cheap.
fn exactly<M: Marginal + Learn + ?Sized>(
    model: &M,
    samples: &dyn Samples,
    settings: &Bracketing,
) -> Result<Option<Bracket>> {
    if !settings.exact || exact_work(model).is_none_or(|work| work > CHEAP) {
        return Ok(None);
    }
    let log_z = LogPartition::exact(exact_log_partition(model)?);
    Ok(Some(Bracket::exact(log_likelihood(model, samples, &log_z)?, log_z)))
}

impl Bracket {
    /// The widest gap that is no cause for a [`Bracket::warning`], in nats.
    pub const WIDE: f64 = 0.5;

    /// Of a log-likelihood by an exact `log Z`: both ends are the same.
    pub fn exact(likelihood: LogLikelihood, log_partition: LogPartition) -> Self {
        let LogLikelihood { value, sampling_error, .. } = likelihood;
        let end = Estimate { value, standard_error: 0.0 };
        Self { lower: end, upper: end, sampling_error, log_partition, samples: 0 }
    }
    /// Between the two estimates, of the same model and samples.
    pub fn between(lower: &LowerBound, log_partition: LogPartition) -> Self {
        let upper = lower.unnormalised - log_partition.value;
        Self {
            lower: Estimate { value: lower.value, standard_error: lower.standard_error },
            upper: Estimate { value: upper, standard_error: log_partition.standard_error },
            sampling_error: lower.sampling_error,
            log_partition,
            samples: lower.samples.len(),
        }
    }
    /// Whether the number is exact.
    pub fn is_exact(&self) -> bool {
        self.samples == 0
    }
    /// The upper end less the lower, in nats, and its standard error.
    pub fn gap(&self) -> Estimate {
        if self.is_exact() {
            return Estimate { value: 0.0, standard_error: 0.0 };
        }
        let (lower, upper) = (self.lower, self.upper);
        let standard_error = lower.standard_error.hypot(upper.standard_error);
        Estimate { value: upper.value - lower.value, standard_error }
    }
    /// What to tell the user, if the bracket cannot be trusted, or is too wide to tell much:
    ///
    /// - the lower end lies above the upper by more than three standard errors of the gap: the model has much of its
    ///   probability where chains from the samples do not go, and `lower` is no bound (the pathology that the paper names);
    /// - the gap is wider than [`Bracket::WIDE`], or its standard error than half of that, so that it might be;
    /// - the effective sample size of annealing is poor ([`LogPartition::warning`]);
    /// - the energy has no minimum, and no number is a likelihood.
    pub fn warning(&self) -> Option<String> {
        let (Estimate { value: gap, standard_error: error }, mut found) = (self.gap(), vec![]);
        if self.is_exact() && !self.lower.value.is_finite() {
            found.push(format!("the exact log Z is {}: the energy has no minimum", self.log_partition.value));
        }
        if gap < -3.0 * error && gap < 0.0 {
            found.push(format!(
                "the lower bound lies {:.2} ± {error:.2} nats above the upper one: the model has much of its probability \
                 where chains from the samples do not go; the upper one is nearer the truth",
                -gap
            ));
        } else if gap.is_nan() || error.is_nan() {
            found.push("the gap of the bracket or its error is not known: use more runs and samples".into());
        } else if gap > Self::WIDE && gap > 3.0 * error {
            found.push(format!("the bracket is {gap:.2} ± {error:.2} nats wide: use more temperatures"));
        } else if gap.max(2.0 * error) > Self::WIDE {
            let text = format!("the bracket is {gap:.2} ± {error:.2} nats wide");
            found.push(format!("{text}: use more samples and chains, or more temperatures"));
        }
        found.extend(self.log_partition.warning());
        (!found.is_empty()).then(|| found.join("; "))
    }
}

/// A line for the terminal, and one more if there is a warning.
impl fmt::Display for Bracket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lower: l, upper: u, .. } = self;
        if self.is_exact() {
            write!(f, "{:.3} nats, exactly", l.value)?;
        } else {
            let (low, high) = (l.value, u.value);
            write!(f, "from {low:.3} ± {:.3} to {high:.3} ± {:.3} nats", l.standard_error, u.standard_error)?;
            let gap = self.gap();
            write!(f, " (gap {:.3} ± {:.3})", gap.value, gap.standard_error)?;
        }
        self.warning().map_or(Ok(()), |w| write!(f, "\nwarning: {w}"))
    }
}
