//! Writing at a lower temperature by a model of patches that knows no probabilities.

use super::sharpened;
use crate::models::calm::{ContinuousLanguageModel, Writer};
use crate::{ChainRng, Result};

/// `n` tokens that follow `context`, every patch [`sharpened`] to a temperature of `1/alike` from so many `candidates`: 200 in the
/// publication (Shao, Li, Meng and Zhou 2025, "Continuous autoregressive language models").
///
/// # Errors
/// Those of [`ContinuousLanguageModel::candidates`] and of [`sharpened`].
pub fn write_sharpened(
    model: &ContinuousLanguageModel,
    context: &[u32],
    n: usize,
    [alike, candidates]: [usize; 2],
    rng: &mut ChainRng,
) -> Result<Vec<u32>> {
    let (mut text, patch) = (context.to_vec(), model.step());
    while text.len() < context.len() + n {
        let seen = &text[text.len() - text.len().min(model.longest())..];
        let drawn = model.candidates(seen, candidates, rng)?;
        let patches: Vec<&[u32]> = drawn.chunks_exact(patch).collect();
        let next = patches[sharpened(&patches, alike, rng)?];
        text.extend(next);
    }
    text.truncate(context.len() + n);
    Ok(text.split_off(context.len()))
}
