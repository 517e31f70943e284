//! Perplexity of held-out documents: `exp` of minus the mean log-likelihood of a word, the words taken in their order.
//!
//! A model of counts says `p(counts | D)`; the words in their order have that probability divided by the number of orders that
//! the counts can have. So the number compares with those of models of words, such as LDA. Two averages are in use, and differ:
//! that over documents, each by its mean word (published for replicated softmax), and that over words, in which long documents
//! count more. Perplexity depends on the vocabulary: only numbers of one vocabulary and one set of documents compare.
//!
//! ## References
//! - Salakhutdinov and Hinton, "Replicated softmax: an undirected topic model", 2009.

use super::by_length::LONGEST;
use super::exact::exact_work;
use super::{ByLength, LogPartition, exact_log_partition, log_partitions_by_length};
use crate::data::{Samples, in_chunks, order};
use crate::models::ReplicatedSoftmax;
use crate::rng::derive;
use crate::sweep::energies_without;
use crate::{Conditioned, Error, Learn, Mat, MatRef, Result, linalg};

/// Multiplications that an exact sum over all lengths may take: some seconds.
const CHEAP: f64 = 1e10;

/// How perplexities are measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Perplexing {
    /// How `log Z` is estimated where it is not summed exactly.
    pub annealing: ByLength,
    /// So many of the documents alone, drawn by the seed of the annealing; all, if there are no more.
    pub subset: Option<usize>,
}

/// `exp(-⟨log p⟩)` of a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    /// The perplexity: as hard to guess as one of so many equally likely words.
    pub value: f64,
    /// Its standard error from `log Z`: how well the number is known for these very documents.
    pub standard_error: f64,
    /// Its standard error over documents: how well these documents stand for all that could have been drawn.
    pub sampling_error: f64,
}

/// The perplexities of some documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Perplexities {
    /// `exp(-(1/N) Σₙ (1/Dₙ) log p(vₙ))`: the mean over documents.
    pub by_document: Perplexity,
    /// `exp(-Σₙ log p(vₙ) / Σₙ Dₙ)`: the mean over words.
    pub by_word: Perplexity,
    /// `log p(vₙ)` of the words of every document in their order, in nats.
    pub log_p: Vec<f64>,
    /// Which documents these are.
    pub documents: Vec<usize>,
    /// The lengths that they have, rising.
    pub lengths: Vec<u64>,
    /// `log Z` of the counts at each of them.
    pub log_partitions: Vec<LogPartition>,
}

impl Perplexities {
    /// What to tell the user, if the error bar of `log Z` cannot be trusted at some length: of the worst of them.
    pub fn warning(&self) -> Option<String> {
        let size = |z: &LogPartition| z.effective_sample_size;
        let worst = self.log_partitions.iter().zip(&self.lengths).min_by(|a, b| size(a.0).total_cmp(&size(b.0)));
        worst.and_then(|(z, d)| z.warning().map(|warning| format!("documents of {d} words: {warning}")))
    }
}

/// Perplexity of documents (of epoch 0; the length, then the counts) under a model. `log Z` is found once for each length: exactly where
/// that is cheap, else by [`log_partitions_by_length`] from the base rates of words with fields `base`.
///
/// # Errors
/// [`Error::Shape`] if the documents or the fields do not fit the model, [`Error::Value`] if there are no documents, a document has
/// no words, more than 2²⁴, or counts that are no whole numbers with its length as their sum; and those of
/// [`log_partitions_by_length`].
///
/// ```
/// use harmonium::eval::{Perplexing, perplexity};
/// use harmonium::{Mat, models::ReplicatedSoftmax, units::Bernoulli};
/// let model = ReplicatedSoftmax::new(4, (3, Bernoulli)); // all parameters zero: words are equally likely
/// let documents = Mat::from_column_slice(5, 2, &[3.0, 1.0, 2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
/// let found = perplexity(&model, &documents, &[0.0; 8], &Perplexing::default())?;
/// assert!((found.by_document.value - 4.0).abs() < 1e-5 && (found.by_word.value - 4.0).abs() < 1e-5);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn perplexity(
    model: &ReplicatedSoftmax,
    documents: &dyn Samples,
    base: &[f32],
    settings: &Perplexing,
) -> Result<Perplexities> {
    let (index, own) = chosen(documents, settings)?;
    let documents: &dyn Samples = own.as_ref().map_or(documents, |own| own);
    let (of_document, mut log_p) = orderless(model, documents)?;
    let mut lengths = of_document.clone();
    lengths.sort_unstable();
    lengths.dedup();
    let log_partitions = log_partitions(model, base, &lengths, &settings.annealing)?;
    let place = |d: &u64| lengths.binary_search(d).expect("a length of the documents");
    let places: Vec<usize> = of_document.iter().map(place).collect();
    log_p.iter_mut().zip(&places).for_each(|(p, &k)| *p -= log_partitions[k].value);
    let (n, words) = (of_document.len() as f64, of_document.iter().sum::<u64>() as f64);
    let by = |share: &dyn Fn(f64) -> f64| {
        let shares: Vec<f64> = of_document.iter().map(|&d| share(d as f64)).collect();
        averaged(&log_p, &of_document, &shares, (&places, &log_partitions))
    };
    let (by_document, by_word) = (by(&|d| 1.0 / (n * d)), by(&|_| 1.0 / words));
    Ok(Perplexities { by_document, by_word, log_p, documents: index, lengths, log_partitions })
}

/// The documents that are asked for: which, and a copy of them if they are not all.
fn chosen(documents: &dyn Samples, settings: &Perplexing) -> Result<(Vec<usize>, Option<Mat>)> {
    let n = documents.n_samples();
    match settings.subset {
        Some(0) => Err(Error::value("the number of documents of a subset", "at least 1", 0)),
        Some(some) if some < n => {
            let mut index = order(n, derive(settings.annealing.seed, "subset of documents"), 0);
            index.truncate(some);
            index.sort_unstable();
            let mut copy = Mat::zeros(documents.n_rows(), some);
            documents.gather(0, &index, copy.columns_mut(0, some));
            Ok((index, Some(copy)))
        }
        _ => Ok(((0..n).collect(), None)),
    }
}

/// Of every document its length, and `-F(v)` less the log of the number of orders: all of `log p` but `log Z`.
fn orderless(model: &ReplicatedSoftmax, documents: &dyn Samples) -> Result<(Vec<u64>, Vec<f64>)> {
    if documents.n_rows() != model.n_visible() {
        return Err(Error::shape("rows of documents", model.n_visible(), documents.n_rows()));
    }
    let (mut lengths, mut log_f) = (vec![], vec![]);
    in_chunks(documents, |first, v| {
        (0..v.ncols()).try_for_each(|j| check_document(v, j, first))?;
        let free = energies_without(model, &[ReplicatedSoftmax::HIDDEN], v)?;
        let orders = v.column_iter().map(|v| ReplicatedSoftmax::log_orders(&v.as_slice()[1..]));
        log_f.extend(free.iter().zip(orders).map(|(f, orders)| -f - orders));
        lengths.extend(v.row(0).iter().map(|&d| d as u64));
        Ok(())
    })?;
    Ok((lengths, log_f))
}

/// Whether a document has words, and as many as it says.
fn check_document(v: MatRef<'_>, j: usize, first: usize) -> Result<()> {
    let (length, counts) = linalg::col(&v, j).split_first().expect("a row for the length");
    let whole = |x: &f32| *x >= 0.0 && x.fract() == 0.0;
    if !whole(length) || !(1.0..=LONGEST as f32).contains(length) {
        return Err(Error::value(format!("the length of document {}", first + j), "in 1..=2^24", length));
    }
    if let Some(k) = counts.iter().position(|x| !whole(x)) {
        return Err(Error::value(format!("count {k} of document {}", first + j), "a whole number", counts[k]));
    }
    let total: f64 = counts.iter().map(|&x| f64::from(x)).sum();
    match total == f64::from(*length) {
        true => Ok(()),
        false => {
            Err(Error::value(format!("the sum of the counts of document {}", first + j), length.to_string(), total))
        }
    }
}

/// `log Z` at each length, exactly if all of them are cheap.
fn log_partitions(
    model: &ReplicatedSoftmax,
    base: &[f32],
    lengths: &[u64],
    annealing: &ByLength,
) -> Result<Vec<LogPartition>> {
    let given: Vec<[f32; 1]> = lengths.iter().map(|&d| [d as f32]).collect();
    let at = |given| Conditioned::new(model, given);
    let work = exact_work(&at(&given[0])?);
    if work.is_none_or(|work| work * lengths.len() as f64 > CHEAP) {
        return log_partitions_by_length(model, base, lengths, annealing);
    }
    given.iter().map(|given| exact_log_partition(&at(given)?).map(LogPartition::exact)).collect()
}

/// `exp(-Σ aₙ log p(vₙ))` with the errors of a ratio, for shares with `Σ aₙ Dₙ = 1`.
fn averaged(
    log_p: &[f64],
    lengths: &[u64],
    shares: &[f64],
    (places, log_partitions): (&[usize], &[LogPartition]),
) -> Perplexity {
    let n = log_p.len() as f64;
    let mean: f64 = log_p.iter().zip(shares).map(|(p, a)| a * p).sum();
    // As far as a document is off the mean of its words.
    let squares = log_p.iter().zip(lengths).zip(shares).map(|((p, &d), a)| (a * (p - mean * d as f64)).powi(2));
    let over_documents = (squares.sum::<f64>() * n / (n - 1.0)).sqrt();
    // The runs of all lengths belong together: how far each takes the mean with it.
    let mut of_length = vec![0.0; log_partitions.len()];
    places.iter().zip(shares).for_each(|(&k, a)| of_length[k] += a);
    let runs = log_partitions.first().map_or(0, |z| z.log_weights.len());
    let mut pulls = vec![0.0; runs];
    for (z, a) in log_partitions.iter().zip(&of_length) {
        pulls.iter_mut().zip(&z.log_weights).for_each(|(pull, w)| *pull += a * ((w - z.value).exp() - 1.0));
    }
    let squares = pulls.iter().map(|pull| pull * pull).sum::<f64>();
    let of_partition = if runs == 0 { 0.0 } else { (squares / (runs as f64 * (runs as f64 - 1.0))).sqrt() };
    let value = (-mean).exp();
    Perplexity { value, standard_error: value * of_partition, sampling_error: value * over_documents }
}
