//! The law of log-partitions.

use super::chance::{ROUNDING, Sample};
use super::marginal::Summed;
use super::probes::{energies, largest};
use super::verdict::{Tally, Verdict};
use crate::eval::{Ais, ais, exact_log_partition, log_mean_exp};
use crate::rng::derive;
use crate::sweep::groups;
use crate::{Configurations, Energy, Error, Marginal, Mat, Result};

/// The most states that are enumerated.
const LIMIT: u64 = 1 << 16;

/// All states of a small model are counted:
///
/// ```text
/// log Z = log Σ exp(-E(x))
/// ```
///
/// from [`Energy::energy`] alone, real units of one group integrated out by the law of [`super::marginal()`].
/// [`exact_log_partition`] is that number, and the weights of 2,000 runs of annealed importance sampling, `Z` on
/// average, agree with it. (Where real units are on both sides there is no definition to sum, and annealing is held
/// against the closed form.)
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if more than 2¹⁶ states would have to be enumerated.
///
/// ```
/// use harmonium::{laws, models::Rbm, units::{Bernoulli, Spin}};
/// let mut rbm = Rbm::new((4, Bernoulli), (3, Spin));
/// rbm.initialise(&[0.2; 4], 0.0, 1)?;
/// laws::partition(&rbm, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn partition<M: Marginal + ?Sized>(model: &M, seed: u64) -> Verdict {
    let mut tally = Tally::new("log-partitions");
    let exact = exact_log_partition(model);
    let log_z = match Enumeration::of(model) {
        Ok(all) => {
            let log_z = all.log_z();
            if let Ok(got) = exact {
                tally.near(got, log_z, ROUNDING * (1.0 + all.scale), || "exact_log_partition".into())?;
            }
            log_z
        }
        Err(_) => tally.possible(exact)?,
    };
    let settings = Ais { betas: Ais::linear(100), runs: 2000, seed: derive(seed, "law of log-partitions") };
    let got = tally.possible(ais(model, &vec![0.0; model.n_rows()], &settings))?;
    let weights = Sample::of(got.log_weights.iter().map(|w| (w - log_z).exp()));
    tally.near(weights.mean, 1.0, weights.allowed(1) + ROUNDING * (1.0 + log_z.abs()), || {
        "the mean weight of annealed importance sampling, divided by Z,".into()
    })?;
    tally.kept()
}

/// All states of some blocks with the energies of the rest summed out.
pub(super) struct Enumeration {
    /// One state a column; the rows of the rest are zero.
    pub(super) states: Mat,
    /// Their numbers.
    pub(super) numbers: Configurations,
    /// Minus the logarithms of their unnormalised probabilities.
    energies: Vec<f64>,
    /// The blocks that were summed out: none, if every state was enumerated.
    pub(super) rest: Vec<usize>,
    /// The size of the energies.
    scale: f64,
}

impl Enumeration {
    /// All states; or, where units are real or too many, all but those of one group.
    pub(super) fn of<M: Energy + ?Sized>(model: &M) -> Result<Self> {
        let blocks = model.blocks().len();
        let mut refused = None;
        for rest in [vec![]].into_iter().chain(groups(model)) {
            let kept: Vec<usize> = (0..blocks).filter(|b| !rest.contains(b)).collect();
            let numbers = Configurations::new(model, &kept);
            match numbers.and_then(|numbers| Ok((numbers.all(LIMIT)?, numbers))) {
                Ok((states, numbers)) => return Self::over(model, states, numbers, rest),
                Err(e) => refused = Some(e),
            }
        }
        Err(refused.unwrap_or_else(|| Error::value("the number of blocks", "at least 1", 0)))
    }
    fn over<M: Energy + ?Sized>(model: &M, states: Mat, numbers: Configurations, rest: Vec<usize>) -> Result<Self> {
        if rest.is_empty() {
            let energies = energies(model, &states);
            let scale = largest(&energies);
            return Ok(Self { states, numbers, energies, rest, scale });
        }
        let sums: Vec<Summed> =
            states.column_iter().map(|x| Summed::of(model, &rest, x.as_slice())).collect::<Result<_>>()?;
        let scale = sums.iter().fold(0f64, |m, s| m.max(s.scale));
        Ok(Self { states, numbers, energies: sums.iter().map(|s| s.free).collect(), rest, scale })
    }
    pub(super) fn log_z(&self) -> f64 {
        let minus: Vec<f64> = self.energies.iter().map(|e| -e).collect();
        log_mean_exp(&minus) + (minus.len() as f64).ln()
    }
    /// The probabilities of the states.
    pub(super) fn probabilities(&self) -> Vec<f64> {
        let log_z = self.log_z();
        self.energies.iter().map(|e| (-e - log_z).exp()).collect()
    }
}
