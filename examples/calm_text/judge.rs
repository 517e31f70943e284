//! How good what a model writes is: BrierLM, from its draws.

use super::text::Split;
use harmonium::eval::{BrierLm, Estimate, brier_lm};
use harmonium::models::calm::{Autoencoder, LanguageModel, Writer};
use harmonium::rng::derive;
use harmonium::{ChainRng, Error, Mat, Result};

/// Characters that BrierLM looks forward to.
const NEXT: usize = 4;
/// Deviation of the noise on vectors that an autoencoder is tried with.
pub(crate) const NOISE: f32 = 0.3;

/// What draws of a model are worth, and what it took.
pub(crate) struct Judged {
    pub(crate) brier: BrierLm,
    pub(crate) contexts: usize,
    pub(crate) seconds: f64,
}

/// `n` stretches of `length` tokens, spread evenly over the text to judge by, and the few that follow each.
pub(crate) fn contexts<'a>(split: &Split<'a>, length: usize, n: usize) -> Result<(Vec<&'a [u32]>, Vec<u32>)> {
    let starts = |s: &&[u32]| (s.len() + 1).saturating_sub(length + NEXT);
    let all: usize = split.told.iter().map(starts).sum();
    if all == 0 {
        let longest = split.told.iter().map(|s| s.len()).max().unwrap_or(0);
        return Err(Error::value(
            "characters of a stretch to judge by",
            format!("at least {}", length + NEXT),
            longest,
        ));
    }
    let n = n.min(all);
    let at = |i: usize| {
        let mut left = i * all / n;
        let found = split.told.iter().find(|s| {
            let here = starts(s);
            let inside = left < here;
            left -= if inside { 0 } else { here };
            inside
        });
        found.map(|s| s[left..left + length + NEXT].split_at(length))
    };
    let (contexts, next): (Vec<_>, Vec<&[u32]>) = (0..n).filter_map(at).unzip();
    Ok((contexts, next.concat()))
}

/// BrierLM of what a model writes after these contexts.
pub(crate) fn brier(writer: &dyn Writer, (contexts, next): (&[&[u32]], &[u32]), seed: u64) -> Result<BrierLm> {
    let draw = |k: usize| {
        let stream = |i: usize| ChainRng::new(derive(seed, &format!("continuation {k} of context {i}")));
        let mut streams: Vec<ChainRng> = (0..contexts.len()).map(stream).collect();
        writer.follow(contexts, NEXT, &mut streams)
    };
    brier_lm(next, [&draw(0)?, &draw(1)?], NEXT)
}
pub(crate) fn judge(
    writer: &dyn Writer,
    split: &Split<'_>,
    of: [usize; 2],
    (seed, seconds): (u64, f64),
) -> Result<Judged> {
    let [length, n] = of;
    let (contexts, next) = contexts(split, length, n)?;
    Ok(Judged { brier: brier(writer, (&contexts, &next), seed)?, contexts: contexts.len(), seconds })
}

/// Nats a character of the text to judge by, each with at least half a window before it: not those of the first half window of a stretch, nor
/// those after its last whole one; by at most so many windows.
pub(crate) fn nats(model: &LanguageModel, split: &Split<'_>, most: usize) -> Result<Estimate> {
    let length = model.longest();
    let half = length / 2;
    let stride = length - half;
    let windows: Vec<&[u32]> =
        split.told.iter().flat_map(|s| (0..).map(|i| i * stride).map_while(|i| s.get(i..i + length + 1))).collect();
    if windows.is_empty() {
        return Err(Error::value("characters of a stretch to judge by", format!("at least {}", length + 1), "fewer"));
    }
    let n = windows.len().min(most);
    let chosen = |i: usize| windows[i * windows.len() / n];
    let x = Mat::from_fn(length + 1, n, |t, i| chosen(i)[t] as f32);
    let log_p = model.log_probabilities(x.as_view())?;
    // A window's mean is one number: characters beside each other are alike.
    let mean = |i: usize| -> f64 {
        let last = log_p.view((half, i), (stride, 1));
        -last.iter().map(|p| f64::from(*p)).sum::<f64>() / last.len() as f64
    };
    Ok(Estimate::of(&(0..n).map(mean).collect::<Vec<_>>()))
}

/// Shares of characters that come back, from vectors as they are and with noise on them.
pub(crate) fn accuracies(model: &Autoencoder, split: &Split<'_>, most: usize, seed: u64) -> Result<[f64; 2]> {
    let k = model.settings().patch;
    let whole = split.told.iter().flat_map(|s| s[..s.len() / k * k].iter().copied());
    let tokens: Vec<u32> = whole.take(most / k * k).collect();
    let seed = derive(seed, "noise on vectors");
    Ok([model.accuracy(&tokens, 0.0, seed)?, model.accuracy(&tokens, NOISE, seed)?])
}
