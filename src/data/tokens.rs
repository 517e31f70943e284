//! A text becomes words: runs of letters in lower case.
//!
//! No stemming, no numbers, no knowledge of a language: what is a letter and what its lower case is, Unicode says.

use std::collections::HashSet;

/// How texts are cut into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Letters that a word must have; 2 unless set.
    pub shortest: usize,
    /// Words that are passed over, in lower case; none unless set, and [`STOP_WORDS`] are some.
    pub stop_words: Vec<String>,
    /// Whether a file that is not UTF-8 is read as Latin-1 (as old news and mails are), instead of being an error.
    pub latin_1: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { shortest: 2, stop_words: vec![], latin_1: false }
    }
}

/// English words that say little of what a text is about.
pub const STOP_WORDS: [&str; 96] = [
    "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "both", "but", "by", "can", "could", "did", "do", "does", "down", "each", "for", "from", "had",
    "has", "have", "he", "her", "here", "him", "his", "how", "if", "in", "into", "is", "it", "its", "just", "may",
    "me", "more", "most", "my", "no", "not", "now", "of", "on", "one", "only", "or", "other", "our", "out", "over",
    "she", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "those", "to", "too", "under", "up", "us", "very", "was", "we", "were", "what", "when", "which", "who",
    "why", "will", "with", "would", "you",
];

impl Tokens {
    /// [`STOP_WORDS`] as the words to pass over.
    pub fn english() -> Self {
        Self { stop_words: STOP_WORDS.map(String::from).to_vec(), ..Self::default() }
    }

    /// Calls `f` with every word of `text`, in order.
    pub fn each(&self, text: &str, mut f: impl FnMut(&str)) {
        let stop: HashSet<&str> = self.stop_words.iter().map(String::as_str).collect();
        for run in text.split(|c: char| !c.is_alphabetic()) {
            if run.is_empty() || run.chars().count() < self.shortest {
                continue;
            }
            let word = run.to_lowercase();
            if !stop.contains(word.as_str()) {
                f(&word);
            }
        }
    }

    /// The text that the bytes of a file are.
    ///
    /// # Errors
    ///
    /// What is wrong, if they are not UTF-8 and Latin-1 was not asked for.
    pub(super) fn text(&self, bytes: Vec<u8>) -> Result<String, String> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(why) if self.latin_1 => Ok(why.as_bytes().iter().map(|&byte| char::from(byte)).collect()),
            Err(why) => Err(format!(
                "not UTF-8 from byte {} on (`Tokens::latin_1` reads older texts)",
                why.utf8_error().valid_up_to() + 1
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokens: &Tokens, text: &str) -> Vec<String> {
        let mut words = vec![];
        tokens.each(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_runs_of_letters_in_lower_case() {
        let text = "The CAT's pyjamas: 3 cats,\nÉTÉ and I_know x2y";
        let all = Tokens { shortest: 1, ..Tokens::default() };
        assert_eq!(words(&all, text), ["the", "cat", "s", "pyjamas", "cats", "été", "and", "i", "know", "x", "y"]);
        assert_eq!(words(&Tokens::english(), text), ["cat", "pyjamas", "cats", "été", "know"]);
        assert_eq!(words(&Tokens { shortest: 5, ..all }, text), ["pyjamas"]);
        assert_eq!(words(&Tokens { shortest: 0, ..Tokens::default() }, " .,"), [""; 0]);
    }

    #[test]
    fn stop_words_are_words() {
        assert!(STOP_WORDS.is_sorted() && STOP_WORDS.iter().all(|word| words(&Tokens::default(), word) == [*word]));
    }
}
