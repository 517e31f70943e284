//! A lower temperature without probabilities: draws of `pⁿ/Σpⁿ` from draws of `p`.
//!
//! `n` draws are alike with a probability of `pⁿ`: so the temperature is `1/n` if a draw is taken where `n` in a row are alike, which takes
//! many; and nearly if, of many draws at once, each value counts for the sets of `n` draws that have it. It is for what can be drawn from
//! and no more, and has values that come twice; for energies, see [`crate::Annealed`].
//!
//! ## References
//! - Shao, Li, Meng and Zhou, "Continuous autoregressive language models", 2025.

use crate::{ChainRng, Error, Result};
use rand::RngExt;
use std::collections::HashMap;
use std::hash::Hash;

/// Draws one of `draws` with the probability of its value at temperature `1/n`, nearly: a value that is there `c` times has the weight
/// `c! / (c-n)! n!`. If none is there `n` times, `n` is one less. Biased towards what comes seldom, the less so the more draws there are.
///
/// # Errors
/// [`Error::Value`] if there are no draws, or `n` is 0.
///
/// ```
/// use harmonium::{ChainRng, infer::sharpened};
/// let draws = ["a", "b", "a", "c"];
/// assert_eq!(draws[sharpened(&draws, 2, &mut ChainRng::new(1))?], "a"); // the only one there twice
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn sharpened<T: Eq + Hash>(draws: &[T], n: usize, rng: &mut ChainRng) -> Result<usize> {
    if draws.is_empty() || n == 0 {
        let got = format!("{} draws, n = {n}", draws.len());
        return Err(Error::value("draws at a temperature of 1/n", "at least one, and n at least 1", got));
    }
    let (mut first, mut counts) = (HashMap::new(), vec![]);
    for (i, draw) in draws.iter().enumerate() {
        let k = *first.entry(draw).or_insert(counts.len());
        if k == counts.len() {
            counts.push((i, 0usize));
        }
        counts[k].1 += 1;
    }
    let most = counts.iter().map(|c| c.1).max().unwrap_or(1);
    let weights: Vec<f64> = counts.iter().map(|c| sets(c.1, n.min(most), most)).collect();
    let mut at = rng.random::<f64>() * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|w| {
        at -= w;
        at < 0.0
    });
    // Rounding may leave a rest: it is of the last that has a weight.
    let last = weights.iter().rposition(|w| *w > 0.0).unwrap_or(0);
    Ok(counts[chosen.unwrap_or(last)].0)
}
/// Sets of `n` out of `c`, as a share of those out of `most`, which are themselves too many for a number.
fn sets(c: usize, n: usize, most: usize) -> f64 {
    (0..n).map(|k| c.saturating_sub(k) as f64 / (most - k) as f64).product()
}

/// Draws at temperature `1/n` exactly: the first of `n` draws in a row that are alike, rows after rows. `None` if none of `tries` rows is.
///
/// # Errors
/// Those of `draw`; [`Error::Value`] if `n` is 0.
pub fn sharpened_exactly<T: Eq>(mut draw: impl FnMut() -> Result<T>, n: usize, tries: usize) -> Result<Option<T>> {
    if n == 0 {
        return Err(Error::value("draws at a temperature of 1/n", "n at least 1", n));
    }
    for _ in 0..tries {
        let first = draw()?;
        let mut alike = true;
        for _ in 1..n {
            // All are drawn, alike or not: how many draws a row takes is then no matter of its values.
            alike &= draw()? == first;
        }
        if alike {
            return Ok(Some(first));
        }
    }
    Ok(None)
}
