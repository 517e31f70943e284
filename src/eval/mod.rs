//! Evaluation: how good a model is, in numbers with error bars. Evaluators read models; they never change them.

mod ais;
mod belief_net;
mod bound;
mod bracket;
mod brier;
mod by_length;
mod calibration;
mod diagnostics;
mod discrepancy;
mod exact;
pub mod ising;
mod likelihood;
mod perplexity;
mod pseudo;
mod raise;
mod reconstruct;
mod roc;
mod tilted;
pub use crate::sweep::energies_without;
pub use ais::{Ais, LogPartition, ais, ais_by, log_mean_exp};
pub use belief_net::{BeliefNetBound, belief_net_bounds};
pub use bound::{annealed_log_likelihoods, log_likelihood_bound, log_likelihood_bounds};
pub use bracket::{Bracket, Bracketing, End, bracket, bracket_by, bracket_end};
pub use brier::{BrierLm, brier_lm};
pub use by_length::{ByLength, log_partitions_by_length};
pub use calibration::{Bin, Calibration, calibration};
pub use diagnostics::Diagnostics;
pub use discrepancy::{Similarity, energy_distance, mmd};
pub use exact::exact_log_partition;
pub(crate) use likelihood::free_energy_gap;
pub use likelihood::{LogLikelihood, latent_group, log_likelihood, log_likelihoods, mean_of};
pub use perplexity::{Perplexing, Perplexities, Perplexity, perplexity};
pub use pseudo::pseudo_log_likelihood;
pub use raise::{LowerBound, Raise, SampleBound, raise, raise_by};
pub use reconstruct::reconstruction_error;
pub use roc::roc_area;
pub use tilted::bracket_tilted;

/// An average and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The average.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Estimate {
    /// Of independent values; the error of fewer than two is not a number.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0);
        Self { value, standard_error: (variance / n).sqrt() }
    }
}
