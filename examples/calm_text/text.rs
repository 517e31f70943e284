//! The text, as numbers, and its parts.

use super::Settings;
use harmonium::data::{Alphabet, Samples, Windows, parse_text, read_text, split_text};
use harmonium::{Error, MatMut, Result};
use std::path::Path;

/// Docs and sources of this crate, as they once were.
const OWN: &[u8] = include_bytes!("../../datasets/text/harmonium.txt.gz");
/// Stretches that a text is cut into; the end of each is for judging.
const PIECES: usize = 20;
/// The share of a stretch that is not learned from, and of what is left if some of that is held out.
const SHARE: f64 = 0.1;
/// Characters that a smoke run takes.
const QUICK: usize = 20_000;

/// A text as numbers.
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) alphabet: Alphabet,
    tokens: Vec<u32>,
}
/// Parts of it that are learned from, and that models are judged by.
pub(crate) struct Split<'a> {
    pub(crate) training: Vec<&'a [u32]>,
    pub(crate) told: Vec<&'a [u32]>,
}

pub(crate) fn read(s: &Settings) -> Result<Text> {
    let (name, mut text) = match &s.text {
        Some(path) => (path.display().to_string(), read_text(path)?),
        None => ("the crate's own text".into(), parse_text(OWN.to_vec(), Path::new("datasets/text/harmonium.txt.gz"))?),
    };
    if s.quick {
        text = text.chars().take(QUICK).collect();
    }
    // Of the whole text: which characters there are is no secret of its end.
    let alphabet = Alphabet::of(&text, s.alphabet)?;
    let tokens = alphabet.encode(&text);
    Ok(Text { name, alphabet, tokens })
}
impl Text {
    pub(crate) fn split(&self, s: &Settings) -> Result<Split<'_>> {
        // A short text in fewer pieces, so that the end of each has room for a context and what follows it.
        let least = (s.window + 2 * s.patch.iter().max().unwrap_or(&4).max(&4)) as f64 / (SHARE * (1.0 - SHARE));
        let pieces = (self.tokens.len() as f64 / least).floor();
        if pieces < 1.0 {
            let expected =
                format!("at least {:.0}: a context is to be judged by that is not learned from", least.ceil());
            return Err(Error::value(format!("characters of {}", self.name), expected, self.tokens.len()));
        }
        let [training, test] = split_text(&self.tokens, PIECES.min(pieces as usize), SHARE)?;
        if !s.held_out {
            return Ok(Split { training, told: test });
        }
        let parts = training.iter().map(|t| split_text(t, 1, SHARE)).collect::<Result<Vec<_>>>()?;
        let (mut training, mut told) = (vec![], vec![]);
        parts.into_iter().for_each(|[a, b]| {
            training.extend(a);
            told.extend(b);
        });
        Ok(Split { training, told })
    }
}

/// Windows of which an epoch is every fourth: passes then end by quarters.
pub(crate) struct Quarters(pub(crate) Windows);
impl Quarters {
    pub(crate) const PARTS: u64 = 4;
}
impl Samples for Quarters {
    fn n_rows(&self) -> usize {
        self.0.n_rows()
    }
    fn n_samples(&self) -> usize {
        (self.0.n_samples() / Self::PARTS as usize).max(1)
    }
    fn gather(&self, epoch: u64, index: &[usize], out: MatMut<'_>) {
        let (pass, part) = (epoch / Self::PARTS, (epoch % Self::PARTS) as usize);
        let all: Vec<usize> = index.iter().map(|i| (i * Self::PARTS as usize + part) % self.0.n_samples()).collect();
        self.0.gather(pass, &all, out);
    }
}
