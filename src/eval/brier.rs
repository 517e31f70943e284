//! BrierLM: how good a model of language is, from nothing but its draws.
//!
//! The Brier score of a distribution, `2P(y) - Σ P²` at what was seen, has an unbiased estimate from two draws: whether either is right, less
//! whether they are alike. It is strictly proper, and needs no likelihood, so that models which can only be drawn from are compared with
//! those that have one. BrierLM is the geometric mean of such scores of the next 1, 2, 3 and 4 tokens, times 100.
//!
//! ## References
//! - Brier, "Verification of forecasts expressed in terms of probability", 1950.
//! - Shao, Li, Meng and Zhou, "Continuous autoregressive language models", 2025.

use super::Estimate;
use crate::{Error, Result};

/// Brier scores of the next tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct BrierLm {
    /// `⟨1[x = y] + 1[x' = y] - 1[x = x']⟩` of the next 1, 2, … tokens: `E[2P(y) - Σ P²]`, at most 1.
    pub by_length: Vec<Estimate>,
    /// 100 times the geometric mean of these; 0 if one of them is not above 0. Its error is by the jackknife over contexts; that of neighbours
    /// in a text, which are alike, is too small.
    pub score: Estimate,
}

/// BrierLM of `n` tokens, from two independent continuations of every context beside what the text has: `n` tokens a context, one context
/// after the other. It is 4 in the publication.
///
/// The mean of a score is unbiased, the geometric mean of several is not: it is right for many contexts.
///
/// # Errors
/// [`Error::Value`] if `n` is 0 or there are fewer than 2 contexts; [`Error::Shape`] if the three differ in length, or have not whole
/// contexts.
///
/// ```
/// use harmonium::eval::brier_lm;
/// let text = [1, 2, 3, 4, 5, 6]; // three contexts of two tokens each
/// assert_eq!(brier_lm(&text, [&text, &text], 2)?.score.value, 100.0);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn brier_lm(truth: &[u32], draws: [&[u32]; 2], n: usize) -> Result<BrierLm> {
    if n == 0 || truth.len() / n < 2 {
        let got = format!("{} tokens, {n} each", truth.len());
        return Err(Error::value("contexts of BrierLM", "at least 2, of at least 1 token", got));
    }
    for of in [truth, draws[0], draws[1]] {
        if of.len() != truth.len() || !of.len().is_multiple_of(n) {
            let expected = format!("{} of the text, {n} a context", truth.len());
            return Err(Error::shape("tokens of continuations", expected, of.len()));
        }
    }
    let contexts = truth.chunks_exact(n).zip(draws[0].chunks_exact(n)).zip(draws[1].chunks_exact(n));
    let scores: Vec<Vec<f64>> =
        contexts.map(|((y, a), b)| (1..=n).map(|l| of_one(&y[..l], &a[..l], &b[..l])).collect()).collect();
    let by_length: Vec<Estimate> =
        (0..n).map(|l| Estimate::of(&scores.iter().map(|s| s[l]).collect::<Vec<_>>())).collect();
    let count = scores.len() as f64;
    let sums: Vec<f64> = (0..n).map(|l| scores.iter().map(|s| s[l]).sum()).collect();
    let value = geometric(sums.iter().map(|s| s / count));
    // Without one context at a time.
    let without = |s: &Vec<f64>| geometric(sums.iter().zip(s).map(|(sum, s)| (sum - s) / (count - 1.0)));
    let left: Vec<f64> = scores.iter().map(without).collect();
    let mean = left.iter().sum::<f64>() / count;
    let variance = (count - 1.0) / count * left.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    Ok(BrierLm { by_length, score: Estimate { value, standard_error: variance.sqrt() } })
}
fn of_one(y: &[u32], a: &[u32], b: &[u32]) -> f64 {
    f64::from(i8::from(a == y) + i8::from(b == y) - i8::from(a == b))
}
/// 100 times the geometric mean; 0 if a score is not above 0.
fn geometric(scores: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = scores.len() as f64;
    100.0 * scores.map(|s| s.max(0.0)).product::<f64>().powf(1.0 / n)
}
