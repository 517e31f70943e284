//! `log Z` of a replicated softmax at every length of a document, by one annealing that adds words.
//!
//! The hidden units of a document of `D` words have `p(h) ∝ exp(-U(h)) f(h)ᴰ` with `f(h) = exp(cᵀh) Σₖ exp(bₖ + (Wᵀh)ₖ)`: the
//! length is an inverse temperature. So the chains need not begin anew for each length: they go from no words to the shortest
//! documents, from there to the next length, and leave an estimate of `log Z` at each. The words that a stage adds enter at the
//! base rates (`β = 0`), and are coupled more and more until they are like the others (`β = 1`). For a single length that is
//! annealed importance sampling from the base-rate model, [`ais`](super::ais), with the words summed out.
//!
//! Estimates at two lengths share their chains, and so their errors. What [`ais`](super::ais) says of errors holds here too: a small
//! effective sample size is the sign of an underestimate, and a mode that all chains miss shows no sign.
//!
//! ## References
//! - Neal, "Annealed importance sampling", 2001.
//! - Salakhutdinov and Hinton, "Replicated softmax: an undirected topic model", 2009 (a run for each length).

use super::LogPartition;
use super::ais::check_base;
use crate::linalg::{dot, mix};
use crate::models::ReplicatedSoftmax;
use crate::rng::{Streams, derive};
use crate::samplers::Chains;
use crate::units::Multinomial;
use crate::{Energy, Error, Mat, Response, Result, Slab, Unit};
use libm::lgamma;

/// Documents of more words are refused: their counts would not be exact.
pub(super) const LONGEST: u64 = 1 << 24;

/// Settings of an annealing through lengths.
#[derive(Clone, Debug, PartialEq)]
pub struct ByLength {
    /// Temperatures up to the first length, and from there on for every e-fold of the length.
    pub steps: usize,
    /// Independent runs.
    pub runs: usize,
    /// What they are drawn from.
    pub seed: u64,
}

impl Default for ByLength {
    /// 1000 temperatures, 100 runs.
    fn default() -> Self {
        Self { steps: 1000, runs: 100, seed: 0 }
    }
}

/// Estimates `log Z(D)` of the counts at these lengths, in nats, each as [`Conditioned`](crate::Conditioned) has it; from the base
/// rates of words with fields `base` (one a row; see [`crate::base_rate`]; only those of the words are used).
///
/// The log-weights of run `r` belong together over all lengths.
///
/// # Errors
/// [`Error::Value`] if the lengths do not rise from at least 1 to at most 2²⁴, there are no steps or no runs, or a field is not
/// finite, [`Error::Shape`] if `base` has not one field a row.
///
/// ```
/// use harmonium::eval::{ByLength, log_partitions_by_length};
/// use harmonium::{models::ReplicatedSoftmax, units::Bernoulli};
/// let model = ReplicatedSoftmax::new(4, (3, Bernoulli)); // all parameters zero: Z = 2³ 4ᴰ / D!
/// let log_z = log_partitions_by_length(&model, &[0.0; 8], &[1, 5], &ByLength { steps: 3, runs: 10, seed: 1 })?;
/// assert!((log_z[1].value - (8.0 * 1024.0 / 120.0f64).ln()).abs() < 1e-5);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn log_partitions_by_length(
    model: &ReplicatedSoftmax,
    base: &[f32],
    lengths: &[u64],
    settings: &ByLength,
) -> Result<Vec<LogPartition>> {
    check_base(model, base)?;
    if !lengths.is_sorted_by(|a, b| a < b) || lengths.iter().any(|d| !(1..=LONGEST).contains(d)) {
        let ends = (lengths.first(), lengths.last());
        return Err(Error::value(
            "lengths of documents",
            "rising from at least 1 to at most 2^24",
            format!("{ends:?}"),
        ));
    }
    for (what, n) in [("temperatures of a length", settings.steps), ("runs", settings.runs)] {
        if n == 0 {
            return Err(Error::value(format!("the number of {what}"), "at least 1", 0));
        }
    }
    let mut chains = Chains::zeros(model, settings.runs, derive(settings.seed, "annealing through lengths"));
    let path = Path { model, words: &base[1..=model.n_words()], steps: settings.steps };
    let slabs = chains.each(|slab, rng| path.run(lengths, slab, rng));
    let log_z0 = path.log_partition_of_no_words();
    let estimate = |(k, &d): (usize, &u64)| {
        let weights = slabs.iter().flat_map(|gains| &gains[k]);
        LogPartition::from_log_weights(weights.map(|g| log_z0 + g - lgamma(d as f64 + 1.0)).collect())
    };
    Ok(lengths.iter().enumerate().map(estimate).collect())
}

/// The distributions on the way: `n` words of the model, and `m` more that are coupled by `β`.
struct Path<'a> {
    model: &'a ReplicatedSoftmax,
    words: &'a [f32], // the fields of the base rates
    steps: usize,
}
/// So many words, and so many that come.
#[derive(Clone, Copy)]
struct Stage {
    n: u64,
    m: u64,
}

impl Path<'_> {
    /// `Γ` of the hidden units at field 0.
    fn log_partition_of_no_words(&self) -> f64 {
        let hidden = ReplicatedSoftmax::HIDDEN;
        let none = vec![0.0; self.model.n_hidden()];
        self.model.blocks()[hidden].unit.log_partition(self.model.theta(hidden, &[0.0]), &none)
    }
    /// Temperatures of a stage.
    fn steps_of(&self, Stage { n, m }: Stage) -> usize {
        match n {
            0 => self.steps,
            n => ((self.steps as f64 * (m as f64 / n as f64).ln_1p()).ceil() as usize).max(1),
        }
    }
    /// All lengths for one slab: of each the log-weights of its runs.
    fn run(&self, lengths: &[u64], slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Vec<Vec<f64>> {
        let mut gains = vec![0.0; slab.ncols()];
        let mut scratch = Mat::zeros(self.model.n_words(), 2);
        slab.x_mut().fill(0.0);
        slab.respond(self.model, ReplicatedSoftmax::HIDDEN, &mut Response::sample(rng));
        let mut n = 0;
        let mut stage = |&d: &u64| {
            let stage = Stage { n, m: d - n };
            n = d;
            let steps = self.steps_of(stage);
            let beta = |k: usize| (k as f64 / steps as f64) as f32;
            for k in 0..steps {
                self.weigh(stage, [beta(k), beta(k + 1)], slab, &mut gains, &mut scratch);
                self.advance(stage, beta(k + 1), slab, rng, &mut scratch);
            }
            gains.clone()
        };
        lengths.iter().map(&mut stage).collect()
    }
    /// `gains += log f_after(h) - log f_before(h)`, the words summed out; words that come at `β = 0` add their own `Γ`.
    fn weigh(&self, stage: Stage, betas: [f32; 2], slab: &mut Slab<'_>, gains: &mut [f64], scratch: &mut Mat) {
        let (model, m) = (self.model, stage.m as f64);
        let unit = Multinomial { q: model.n_words() };
        let (words, hidden) = (1..=model.n_words(), 1 + model.n_words()..model.n_rows());
        slab.field(model, ReplicatedSoftmax::VISIBLE);
        let mixed = &mut scratch.as_mut_slice()[..unit.q];
        for ((field, x), g) in slab.known_fields_and_x().zip(gains) {
            let mut gamma = |beta: f32| {
                mix(beta, self.words, &field[words.clone()], mixed);
                unit.log_partition(&[1.0], mixed)
            };
            let [before, after] = betas;
            let start = if before == 0.0 { 0.0 } else { gamma(before) };
            let bias = dot(model.hidden_bias(), &x[hidden.clone()]) * f64::from(after - before);
            *g += m * (gamma(after) - start + bias);
        }
    }
    /// A Gibbs sweep at `β`: all words given the hidden units, and these given the words.
    fn advance(&self, stage: Stage, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>, scratch: &mut Mat) {
        let (model, unit) = (self.model, Multinomial { q: self.words.len() });
        let words = 1..=unit.q;
        slab.field(model, ReplicatedSoftmax::VISIBLE);
        let (mixed, coming) = scratch.as_mut_slice().split_at_mut(unit.q);
        for (j, (field, x)) in slab.fields_and_x().enumerate() {
            let (field, counts) = (&field[words.clone()], &mut x[words.clone()]);
            unit.sample(&[stage.n as f32], field, counts, rng.column(j));
            mix(beta, self.words, field, mixed);
            unit.sample(&[stage.m as f32], mixed, coming, rng.column(j));
            counts.iter_mut().zip(&*coming).for_each(|(v, w)| *v += beta * w);
            x[0] = stage.n as f32 + beta * stage.m as f32;
        }
        // The field of the hidden units is linear in the length and the counts.
        slab.respond(model, ReplicatedSoftmax::HIDDEN, &mut Response::sample(rng));
    }
}
