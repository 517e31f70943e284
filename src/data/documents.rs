//! Documents as counts of words: how often each word of a vocabulary is in each of them; their order is forgotten.
//!
//! As [`Samples`], a document is a column of `1 + V` rows: **a given row, then data rows**. Row 0 is the length of the
//! document, `D = Σ_k n_k`, and row `1 + k` is the count `n_k` of word `k` of the `V` in the vocabulary. A model of
//! documents is a model of the counts given the length. What is kept is sparse; only batches are dense.
//!
//! A corpus is read with all its words. For training: split it, choose the vocabulary by the training part, and put the
//! same vocabulary upon the other:
//!
//! ```
//! use harmonium::data::{Documents, Samples, Tokens, Vocabulary};
//! let texts = ["a cat sat on a mat", "a dog sat", "the cat and the dog", "no mat, no cat"];
//! let all = Documents::from_texts(&texts, &Tokens::default())?;
//! let (train, held_out) = all.split(1, 7)?;
//! let train = train.choose(&Vocabulary { words: 3, least: 2, share: 1.0 })?;
//! let held_out = held_out.with_vocabulary(&train.vocabulary)?; // unknown words are dropped
//! let x = train.to_mat(); // (1 + words) × documents
//! assert!(x.column_iter().all(|x| x[0] == x.rows(1, x.len() - 1).sum()));
//! # assert_eq!(held_out.n_rows(), train.n_rows());
//! # Ok::<(), harmonium::Error>(())
//! ```

use super::{Samples, fill_columns, order};
use crate::rng::derive;
use crate::{Error, Mat, MatMut, Result};
use std::collections::HashMap;

/// The counts of words in documents, none of them empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// The words that are counted.
    pub vocabulary: Vec<String>,
    /// Of each document the words in it, as places in the vocabulary, increasing, and how often each is there.
    pub counts: Vec<Vec<(u32, u32)>>,
    /// What each document is called: the name of its file, or its line.
    pub names: Vec<String>,
    /// The class of each document, a place in `classes`; empty if they have none.
    pub labels: Vec<u8>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How many documents were left out because no word of the vocabulary is in them.
    pub dropped: usize,
}

/// Which words are worth counting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vocabulary {
    /// At most so many words: those that are in most documents, of equals the first in order.
    pub words: usize,
    /// Words are in at least so many documents.
    pub least: usize,
    /// Words are in at most this share of the documents.
    pub share: f64,
}

impl Default for Vocabulary {
    /// 2000 words, in at least 2 documents and at most half of them.
    fn default() -> Self {
        Self { words: 2000, least: 2, share: 0.5 }
    }
}

impl Documents {
    /// The length of document `i`, `D = Σ_k n_k`, which is also its row 0: words of the vocabulary, repetitions
    /// counted.
    ///
    /// # Panics
    ///
    /// If there is no document `i`.
    pub fn length(&self, i: usize) -> u64 {
        self.counts[i].iter().map(|&(_, count)| u64::from(count)).sum()
    }

    /// In how many documents each word is.
    ///
    /// # Panics
    ///
    /// If a count is of a word outside the vocabulary.
    pub fn frequencies(&self) -> Vec<usize> {
        let mut frequencies = vec![0; self.vocabulary.len()];
        self.counts.iter().flatten().for_each(|&(word, _)| frequencies[word as usize] += 1);
        frequencies
    }

    /// These documents with a smaller vocabulary, in the order of the words, chosen by how many documents a word is in.
    ///
    /// Documents with no word of it are left out, and counted in `dropped`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if fewer than 2 words meet the conditions (a document of one word says nothing but its length),
    /// or `share` is not in 0..=1.
    pub fn choose(&self, by: &Vocabulary) -> Result<Self> {
        if !(0.0..=1.0).contains(&by.share) {
            return Err(Error::value("the largest share of documents that a word is in", "in 0..=1", by.share));
        }
        let (frequencies, n) = (self.frequencies(), self.counts.len());
        let fits = |word: &usize| frequencies[*word] >= by.least && frequencies[*word] as f64 <= by.share * n as f64;
        let mut chosen: Vec<usize> = (0..frequencies.len()).filter(fits).collect();
        chosen.sort_by_key(|&word| (std::cmp::Reverse(frequencies[word]), &self.vocabulary[word]));
        chosen.truncate(by.words);
        if chosen.len() < 2 {
            let what = format!(
                "the number of words (at most {}) that are in {} to {} of {n} documents",
                by.words,
                by.least,
                (by.share * n as f64).floor()
            );
            let words: Vec<&str> = chosen.iter().map(|&word| self.vocabulary[word].as_str()).collect();
            let got = format!("{} of {} ({})", chosen.len(), frequencies.len(), words.join(", "));
            return Err(Error::value(what, "at least 2", got));
        }
        let mut words: Vec<String> = chosen.into_iter().map(|word| self.vocabulary[word].clone()).collect();
        words.sort_unstable();
        self.with_vocabulary(&words)
    }

    /// These documents counted by another vocabulary, such as that of the training set: words it lacks are dropped.
    ///
    /// Documents with no word of it are left out, and counted in `dropped`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the vocabulary has a word twice, or no document has a word of it.
    pub fn with_vocabulary(&self, vocabulary: &[String]) -> Result<Self> {
        let mut places = HashMap::new();
        for (place, word) in (0u32..).zip(vocabulary) {
            if places.insert(word.as_str(), place).is_some() {
                return Err(Error::value("the words of a vocabulary", "distinct", format!("`{word}` twice")));
            }
        }
        let places: Vec<Option<u32>> = self.vocabulary.iter().map(|word| places.get(word.as_str()).copied()).collect();
        let counts = self.counts.iter().map(|document| {
            let mut known: Vec<(u32, u32)> =
                document.iter().filter_map(|&(word, count)| Some((places[word as usize]?, count))).collect();
            known.sort_unstable();
            known
        });
        let all = Self { counts: counts.collect(), vocabulary: vocabulary.to_vec(), ..self.clone() };
        let kept: Vec<usize> = (0..all.counts.len()).filter(|&i| !all.counts[i].is_empty()).collect();
        if kept.is_empty() {
            let what = format!("the number of documents with a word of the vocabulary of {}", vocabulary.len());
            return Err(Error::value(what, "at least 1", 0));
        }
        let mut some = all.select(&kept);
        some.dropped += all.counts.len() - kept.len();
        Ok(some)
    }

    /// The documents `index`, in that order.
    ///
    /// # Panics
    ///
    /// If there is no such document.
    pub fn select(&self, index: &[usize]) -> Self {
        let labels = if self.labels.is_empty() { vec![] } else { index.iter().map(|&i| self.labels[i]).collect() };
        Self {
            vocabulary: self.vocabulary.clone(),
            counts: index.iter().map(|&i| self.counts[i].clone()).collect(),
            names: index.iter().map(|&i| self.names[i].clone()).collect(),
            labels,
            classes: self.classes.clone(),
            dropped: self.dropped,
        }
    }

    /// Two parts, the second of `held_out` documents drawn by the seed; in both they stay in order.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if `held_out` is 0, or leaves nothing.
    pub fn split(&self, held_out: usize, seed: u64) -> Result<(Self, Self)> {
        let n = self.counts.len();
        if held_out == 0 || held_out >= n {
            return Err(Error::value(format!("the number held out of {n} documents"), format!("in 1..{n}"), held_out));
        }
        let mut drawn = order(n, derive(seed, "held-out documents"), 0);
        let mut kept = drawn.split_off(held_out);
        drawn.sort_unstable();
        kept.sort_unstable();
        Ok((self.select(&kept), self.select(&drawn)))
    }

    /// The weight of each word by how rare it is, `ln(n / f)`, of a word in `f` of `n` documents; one in none counts as
    /// in one.
    ///
    /// # Panics
    ///
    /// As [`Documents::frequencies`].
    pub fn inverse_frequencies(&self) -> Vec<f64> {
        let n = self.counts.len() as f64;
        self.frequencies().into_iter().map(|f| (n / f.max(1) as f64).ln()).collect()
    }

    /// TF-IDF vectors, words × documents: counts times `weights`, scaled to length 1, so that the product of two is the
    /// cosine of their angle (G. Salton & C. Buckley 1988, "Term-weighting approaches in automatic text retrieval").
    ///
    /// `weights` are the [`inverse_frequencies`](Self::inverse_frequencies) of the training documents, which serve
    /// others too. A document all of whose words have weight 0 (they are in every training document) is the vector 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if there is not a weight for each word.
    pub fn tf_idf(&self, weights: &[f64]) -> Result<Mat> {
        if weights.len() != self.vocabulary.len() {
            return Err(Error::shape("the weights of words", self.vocabulary.len(), weights.len()));
        }
        let mut vectors = Mat::zeros(weights.len(), self.counts.len());
        for (document, mut vector) in self.counts.iter().zip(vectors.column_iter_mut()) {
            let weighted =
                document.iter().map(|&(word, count)| (word as usize, f64::from(count) * weights[word as usize]));
            let length = weighted.clone().map(|(_, x)| x * x).sum::<f64>().sqrt();
            for (word, x) in weighted.filter(|_| length > 0.0) {
                vector[word] = (x / length) as f32;
            }
        }
        Ok(vectors)
    }
}

impl Samples for Documents {
    /// The length, and a count a word.
    fn n_rows(&self) -> usize {
        1 + self.vocabulary.len()
    }
    fn n_samples(&self) -> usize {
        self.counts.len()
    }
    fn gather(&self, _: u64, index: &[usize], out: MatMut<'_>) {
        fill_columns(self.n_rows(), index, out, |i, column| {
            column.fill(0.0);
            column[0] = self.length(i) as f32;
            for &(word, count) in &self.counts[i] {
                column[1 + word as usize] = count as f32;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Tokens;

    fn documents(texts: &[&str]) -> Documents {
        Documents::from_texts(texts, &Tokens { shortest: 1, ..Tokens::default() }).unwrap()
    }
    fn words(documents: &Documents) -> Vec<&str> {
        documents.vocabulary.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_column_is_the_length_and_then_the_counts() {
        let documents = documents(&["b a b", "...", "c c c a"]);
        assert_eq!((words(&documents), documents.dropped), (vec!["a", "b", "c"], 1));
        assert_eq!(documents.to_mat(), Mat::from_row_slice(4, 2, &[3., 4., 1., 1., 2., 0., 0., 3.]));
        // What was in the buffer is gone.
        let mut out = Mat::repeat(4, 1, 9.0);
        documents.gather(3, &[1], out.columns_mut(0, 1));
        assert_eq!(out.as_slice(), [4.0, 1.0, 0.0, 3.0]);
    }

    #[test]
    fn words_are_chosen_by_the_documents_they_are_in() {
        // a is in 4, b and c in 3, d in 2, e in 1 (four times).
        let all = documents(&["a b c", "a b c d", "a b d", "a c", "e e e e"]);
        assert_eq!(all.frequencies(), [4, 3, 3, 2, 1]);
        let choose = |words, least, share| all.choose(&Vocabulary { words, least, share }).unwrap();
        assert_eq!(words(&choose(10, 1, 1.0)), ["a", "b", "c", "d", "e"]);
        assert_eq!(words(&choose(10, 2, 1.0)), ["a", "b", "c", "d"]);
        assert_eq!(words(&choose(10, 1, 0.6)), ["b", "c", "d", "e"]);
        // Of equals the first in order.
        assert_eq!(words(&choose(2, 1, 1.0)), ["a", "b"]);
        let chosen = choose(2, 2, 0.6);
        assert_eq!((words(&chosen), chosen.dropped, chosen.names.len()), (vec!["b", "c"], 1, 4));
        assert_eq!(chosen.counts, [vec![(0, 1), (1, 1)], vec![(0, 1), (1, 1)], vec![(0, 1)], vec![(1, 1)]]);
    }

    #[test]
    fn other_documents_are_counted_by_the_same_words() {
        let mut new = documents(&["z q a z", "unknown", "b"]);
        (new.labels, new.classes) = (vec![2, 1, 0], vec!["x".into(), "y".into(), "z".into()]);
        // An order of its own.
        let vocabulary = ["z", "never", "a", "b"].map(String::from);
        let counted = new.with_vocabulary(&vocabulary).unwrap();
        assert_eq!(counted.vocabulary, vocabulary);
        assert_eq!(counted.counts, [vec![(0, 2), (2, 1)], vec![(3, 1)]]);
        assert_eq!((counted.labels, counted.dropped, counted.classes.len()), (vec![2, 0], 1, 3));
        assert_eq!(counted.names, ["text 1", "text 3"]);
    }

    #[test]
    fn parts_are_disjoint_in_order_and_by_seed() {
        let texts: Vec<String> = (0..40u8).map(|i| format!("common {}", char::from(b'a' + i % 26))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = documents(&texts);
        let (train, held_out) = all.split(10, 3).unwrap();
        assert_eq!((train.n_samples(), held_out.n_samples()), (30, 10));
        let number = |name: &String| name.strip_prefix("text ").unwrap().parse::<usize>().unwrap();
        let numbers = |of: &Documents| of.names.iter().map(number).collect::<Vec<usize>>();
        assert!(numbers(&train).is_sorted() && numbers(&held_out).is_sorted());
        let mut both = [numbers(&train), numbers(&held_out)].concat();
        both.sort_unstable();
        assert!(both.into_iter().eq(1..=40));
        assert_eq!(all.split(10, 3).unwrap().1, held_out);
        assert_ne!(all.split(10, 4).unwrap().1, held_out);
    }

    #[test]
    fn tf_idf_is_what_its_formula_says() {
        // a is in all, b in two, c in one of three documents.
        let all = documents(&["a b b c", "a b", "a"]);
        let weights = all.inverse_frequencies();
        let by_hand = [0.0, 1.5f64.ln(), 3f64.ln()];
        assert!(weights.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-12));
        let vectors = all.tf_idf(&weights).unwrap();
        let (b, c) = (2.0 * 1.5f64.ln(), 3f64.ln());
        let expected = [0.0, b / b.hypot(c), c / b.hypot(c), 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert!(vectors.iter().zip(expected).all(|(&x, y)| (f64::from(x) - y).abs() < 1e-6), "{vectors}");
        // A word of no training document weighs as if it were in one.
        let with = all.with_vocabulary(&["b", "new"].map(String::from)).unwrap();
        assert_eq!(with.inverse_frequencies(), [0.0, 2f64.ln()]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let all = documents(&["a b", "a b", "a"]);
        let choose = |words, least, share| all.choose(&Vocabulary { words, least, share }).unwrap_err().to_string();
        assert_eq!(
            choose(9, 3, 1.0),
            "the number of words (at most 9) that are in 3 to 3 of 3 documents must be at least 2, got 1 of 2 (a)"
        );
        assert_eq!(
            choose(9, 1, 0.1),
            "the number of words (at most 9) that are in 1 to 0 of 3 documents must be at least 2, got 0 of 2 ()"
        );
        assert_eq!(
            choose(9, 1, f64::NAN),
            "the largest share of documents that a word is in must be in 0..=1, got NaN"
        );
        let one = documents(&["word word", "word"]).choose(&Vocabulary { words: 9, least: 1, share: 1.0 });
        assert!(one.unwrap_err().to_string().ends_with("must be at least 2, got 1 of 1 (word)"));
        let with = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.into()).collect();
            all.with_vocabulary(&words).unwrap_err().to_string()
        };
        assert_eq!(with(&["a", "c", "a"]), "the words of a vocabulary must be distinct, got `a` twice");
        let none = "the number of documents with a word of the vocabulary of 1 must be at least 1, got 0";
        assert_eq!(with(&["z"]), none);
        let split = |n| all.split(n, 1).unwrap_err().to_string();
        assert_eq!(split(0), "the number held out of 3 documents must be in 1..3, got 0");
        assert_eq!(split(3), "the number held out of 3 documents must be in 1..3, got 3");
        assert_eq!(all.tf_idf(&[1.0]).unwrap_err().to_string(), "the weights of words: expected 2, got 1");
    }
}
