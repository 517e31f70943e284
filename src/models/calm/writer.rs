//! What writes: a model that draws the tokens that come next.

use crate::{ChainRng, Error, Result};

/// Draws what comes after a text, a few tokens at once.
pub trait Writer: Sync {
    /// Tokens that come at once.
    fn step(&self) -> usize;
    /// Tokens of a context that are looked at.
    fn longest(&self) -> usize;
    /// The next tokens of each context, [`Writer::step`] each, one context after the other; each drawn from a stream of its own. All contexts
    /// are cut to the length of the shortest, and to [`Writer::longest`]: their last tokens count.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one stream a context; [`Error::Value`] if a context is shorter than a step, or a token is none.
    fn next(&self, contexts: &[&[u32]], streams: &mut [ChainRng]) -> Result<Vec<u32>>;
    /// What follows each context, `n` tokens each, one context after the other.
    ///
    /// # Errors
    /// Those of [`Writer::next`].
    fn follow(&self, contexts: &[&[u32]], n: usize, streams: &mut [ChainRng]) -> Result<Vec<u32>> {
        let mut texts: Vec<Vec<u32>> =
            contexts.iter().map(|c| c[c.len() - c.len().min(self.longest())..].to_vec()).collect();
        let starts: Vec<usize> = texts.iter().map(Vec::len).collect();
        for _ in 0..n.div_ceil(self.step()) {
            let seen: Vec<&[u32]> = texts.iter().map(|t| &t[t.len() - t.len().min(self.longest())..]).collect();
            let next = self.next(&seen, streams)?;
            texts.iter_mut().zip(next.chunks_exact(self.step())).for_each(|(t, next)| t.extend(next));
        }
        Ok(texts.iter().zip(starts).flat_map(|(t, from)| t[from..from + n].iter().copied()).collect())
    }
    /// `n` tokens that follow one context.
    ///
    /// # Errors
    /// Those of [`Writer::next`].
    fn write(&self, context: &[u32], n: usize, rng: &mut ChainRng) -> Result<Vec<u32>> {
        self.follow(&[context], n, std::slice::from_mut(rng))
    }
}

/// Some contexts, each with its stream.
pub(super) type Contexts<'a> = (&'a [&'a [u32]], &'a mut [ChainRng]);

/// The length that all contexts are cut to: whole steps, as many as all have.
pub(super) fn last_of<W: Writer + ?Sized>(contexts: &[&[u32]], streams: &[ChainRng], writer: &W) -> Result<usize> {
    if contexts.len() != streams.len() {
        return Err(Error::shape("streams of contexts", contexts.len(), streams.len()));
    }
    let (shortest, step) = (contexts.iter().map(|c| c.len()).min().unwrap_or(0), writer.step());
    let length = shortest.min(writer.longest()) / step * step;
    match length > 0 || contexts.is_empty() {
        true => Ok(length),
        false => Err(Error::value("tokens of a context", format!("at least {step}"), shortest)),
    }
}
