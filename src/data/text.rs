//! A text as characters in their order, cut into windows: what models of language learn from.
//!
//! A character is a number: its place in an [`Alphabet`]. Nothing is changed in a text, and no words are known; for bags of words see
//! [`super::Documents`].

use super::idx::GZIP;
use super::{Samples, fill_columns};
use crate::io::read;
use crate::rng::{ChainRng, derive};
use crate::{Error, MatMut, Result};
use flate2::read::MultiGzDecoder;
use rand::RngExt;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

/// What stands for a character that an alphabet has not.
const UNKNOWN: char = '\u{fffd}';
/// Whole numbers that single precision has, all of them.
const LARGEST: usize = 1 << 24;

/// Reads a file of text, gzipped or not.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is empty, is not UTF-8, or has zero bytes as binary files have, or if its gzip
/// is damaged.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    parse_text(read(path.as_ref())?, path.as_ref())
}
/// The text that the bytes of a file are, gzipped or not; errors name `path`.
///
/// # Errors
/// [`Error::Format`] as [`read_text`].
pub fn parse_text(mut bytes: Vec<u8>, path: &Path) -> Result<String> {
    if bytes.starts_with(&GZIP) {
        let mut plain = vec![];
        let taken = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain);
        taken.map_err(|e| Error::format(path, format!("the gzip data is damaged: {e}")))?;
        bytes = plain;
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(Error::format(path, format!("byte {at} is zero, as in no text")));
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Err(Error::format(path, "the text is empty".to_string())),
        Ok(text) => Ok(text),
        Err(e) => Err(Error::format(path, format!("not UTF-8 from byte {} on", e.utf8_error().valid_up_to()))),
    }
}

/// Characters and their numbers: 1 and on in the order of Unicode; 0 is every other character.
///
/// ```
/// use harmonium::data::Alphabet;
/// let alphabet = Alphabet::of("banana", 3)?; // two characters have numbers of their own
/// assert_eq!(alphabet.encode("ban"), [0, 1, 2]);
/// assert_eq!(alphabet.decode(&[2, 1, 0]), "na\u{fffd}");
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alphabet {
    characters: Vec<char>, // rising, without the one that stands for others
    numbers: HashMap<char, u32>,
}
impl Alphabet {
    /// The most frequent characters of a text, `most - 1` of them; of equally frequent ones the first in Unicode.
    ///
    /// # Errors
    /// [`Error::Value`] if the text is empty, or `most` is below 2.
    pub fn of(text: &str, most: usize) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::value("characters of a text", "at least 1", 0));
        }
        if !(2..=LARGEST).contains(&most) {
            return Err(Error::value("characters of an alphabet", format!("2..={LARGEST}"), most));
        }
        let mut counts = BTreeMap::new();
        text.chars().filter(|c| *c != UNKNOWN).for_each(|c| *counts.entry(c).or_insert(0usize) += 1);
        let mut counts: Vec<(char, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        Ok(Self::with(counts.into_iter().take(most - 1).map(|(c, _)| c)))
    }
    /// These characters, in whatever order, each once.
    pub fn with(characters: impl IntoIterator<Item = char>) -> Self {
        let mut characters: Vec<char> = characters.into_iter().filter(|c| *c != UNKNOWN).collect();
        characters.sort_unstable();
        characters.dedup();
        let numbers = characters.iter().copied().zip(1..).collect();
        Self { characters, numbers }
    }
    /// Numbers in use: one more than characters.
    pub fn len(&self) -> usize {
        self.characters.len() + 1
    }
    /// Whether no character has a number of its own.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }
    /// The characters with a number of their own, from 1 on.
    pub fn characters(&self) -> &[char] {
        &self.characters
    }
    /// The numbers of a text's characters.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        text.chars().map(|c| self.numbers.get(&c).copied().unwrap_or(0)).collect()
    }
    /// The text of these numbers; `\u{fffd}` where there is no such character.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let one = |t: &u32| (*t as usize).checked_sub(1).and_then(|t| self.characters.get(t)).copied();
        tokens.iter().map(|t| one(t).unwrap_or(UNKNOWN)).collect()
    }
}

/// Windows of a text as samples: a row a token, as a number. Each stretch of text is cut into windows of one length, side by side; none
/// reaches over its end.
///
/// ```
/// use harmonium::data::{Samples, Windows};
/// let windows = Windows::new(&[&[5, 6, 7, 8, 9], &[1, 2]], 2)?;
/// assert_eq!(windows.to_mat().as_slice(), [5.0, 6.0, 7.0, 8.0, 1.0, 2.0]);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    tokens: Vec<u32>,
    stretches: Vec<Stretch>,
    owners: Vec<usize>, // the stretch of every window
    length: usize,
    shifted: Option<u64>,
}
/// Where its tokens begin, how many there are, and its first window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from: usize,
    len: usize,
    first: usize,
    windows: usize,
}
impl Windows {
    /// Windows of `length` tokens; stretches that have fewer give none.
    ///
    /// # Errors
    /// [`Error::Value`] if no stretch is so long, the length is 0, or a token is above 2²⁴, which single precision has not.
    pub fn new(stretches: &[&[u32]], length: usize) -> Result<Self> {
        let longest = stretches.iter().map(|s| s.len()).max().unwrap_or(0);
        if length == 0 || longest < length {
            let what = "tokens of a text that is cut into windows";
            return Err(Error::value(what, format!("at least one window, of {length} (itself at least 1)"), longest));
        }
        let mut windows = Self { tokens: vec![], stretches: vec![], owners: vec![], length, shifted: None };
        for stretch in stretches {
            if let Some(t) = stretch.iter().find(|t| **t as usize > LARGEST) {
                return Err(Error::value("a token", format!("at most {LARGEST}"), t));
            }
            windows.add(stretch, stretch.len() / length);
        }
        Ok(windows)
    }
    fn add(&mut self, tokens: &[u32], windows: usize) {
        let (from, first) = (self.tokens.len(), self.owners.len());
        self.tokens.extend_from_slice(tokens);
        self.owners.extend(std::iter::repeat_n(self.stretches.len(), windows));
        self.stretches.push(Stretch { from, len: tokens.len(), first, windows });
    }
    /// The same, but that in every epoch the windows of a stretch begin somewhere else, as `seed` says; a stretch that is long enough gives
    /// one window less, so that there is room.
    pub fn shifted(self, seed: u64) -> Self {
        let mut out =
            Self { tokens: vec![], stretches: vec![], owners: vec![], length: self.length, shifted: Some(seed) };
        for s in &self.stretches {
            let windows = if s.windows > 1 { s.windows - 1 } else { s.windows };
            out.add(&self.tokens[s.from..s.from + s.len], windows);
        }
        out
    }
    /// The tokens of a window in an epoch.
    fn window(&self, epoch: u64, i: usize) -> &[u32] {
        let stretch = self.stretches[self.owners[i]];
        let room = stretch.len - stretch.windows * self.length;
        let shift = self.shifted.map_or(0, |seed| {
            let own =
                derive(derive(seed, &format!("windows of epoch {epoch}")), &format!("stretch {}", self.owners[i]));
            ChainRng::new(own).random_range(0..=room)
        });
        let from = stretch.from + shift + (i - stretch.first) * self.length;
        &self.tokens[from..from + self.length]
    }
}
impl Samples for Windows {
    fn n_rows(&self) -> usize {
        self.length
    }
    fn n_samples(&self) -> usize {
        self.owners.len()
    }
    fn gather(&self, epoch: u64, index: &[usize], out: MatMut<'_>) {
        fill_columns(self.length, index, out, |i, column| {
            column.iter_mut().zip(self.window(epoch, i)).for_each(|(to, t)| *to = *t as f32);
        });
    }
}

/// Cuts a text into `pieces` stretches of equal length, and each into what is kept for training and a last share that is `held_out`: so
/// that both are of all parts of the text. Training, then held out.
///
/// # Errors
/// [`Error::Value`] if there are no pieces, or the share is not within 0..1.
pub fn split_text(tokens: &[u32], pieces: usize, held_out: f64) -> Result<[Vec<&[u32]>; 2]> {
    if pieces == 0 || !(0.0..1.0).contains(&held_out) {
        let got = format!("{pieces} pieces, a share of {held_out}");
        return Err(Error::value("how a text is split", "at least one piece, a share of 0 and more, below 1", got));
    }
    let cut = |k: usize| k * tokens.len() / pieces;
    let piece = |k: usize| {
        let own = &tokens[cut(k)..cut(k + 1)];
        own.split_at(own.len() - (own.len() as f64 * held_out) as usize)
    };
    let (training, held): (Vec<_>, Vec<_>) = (0..pieces).map(piece).unzip();
    Ok([training, held])
}
