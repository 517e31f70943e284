//! Which documents are read, and how they are parted.

use crate::common::at_least_one;
use crate::{debian, truth};
use clap::Args;
use harmonium::data::{Documents, Fields, Tokens, Vocabulary};
use harmonium::models::ReplicatedSoftmax;
use harmonium::{Error, Result};
use std::path::PathBuf;

/// Flags of examples that read documents; without any, they are drawn from a known model.
#[derive(Args, Clone, Debug)]
pub(crate) struct Corpus {
    /// Folder whose subfolders are classes, of text files
    #[arg(long, value_name = "DIR", group = "source")]
    pub(crate) docs: Option<PathBuf>,
    /// File of JSON lines, each an object
    #[arg(long, value_name = "FILE", group = "source")]
    pub(crate) jsonl: Option<PathBuf>,
    /// The field of an object with the text
    #[arg(long, value_name = "FIELD", default_value = "text")]
    pub(crate) text: String,
    /// The field of an object with the class
    #[arg(long, value_name = "FIELD")]
    pub(crate) label: Option<String>,
    /// Descriptions of Debian packages, in a folder of plain lists; sections are classes
    #[arg(long, value_name = "DIR", group = "source", num_args = 0..=1, default_missing_value = "/var/lib/apt/lists")]
    pub(crate) debian: Option<PathBuf>,
    /// Words in the vocabulary: those in most documents
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = at_least_one())]
    pub(crate) words: usize,
    /// The share of the documents that is the test set
    #[arg(long, value_name = "F", default_value_t = 0.2)]
    pub(crate) test: f64,
    /// Keep so many training documents out of training and evaluate on them; the test set is not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) held_out: usize,
}

impl Corpus {
    pub(crate) fn is_known(&self) -> bool {
        self.docs.is_none() && self.jsonl.is_none() && self.debian.is_none()
    }
    /// The documents with all their words; and the model that they were drawn from, if it is known.
    pub(crate) fn read(&self, quick: bool, seed: u64) -> Result<(Documents, Option<ReplicatedSoftmax>)> {
        let tokens = Tokens { latin_1: true, ..Tokens::english() };
        if let Some(dir) = &self.docs {
            return Ok((Documents::read_classes(dir, &tokens)?, None));
        }
        if let Some(path) = &self.jsonl {
            let fields = Fields { text: self.text.clone(), label: self.label.clone() };
            return Ok((Documents::read_json_lines(path, &fields, &tokens)?, None));
        }
        if let Some(dir) = &self.debian {
            return Ok((debian::read(dir, &tokens)?, None));
        }
        let (truth, all) = truth::draw(if quick { 2000 } else { 20_000 }, seed)?;
        Ok((all, Some(truth)))
    }
    /// The training part and that which is evaluated, with one vocabulary.
    pub(crate) fn split(&self, all: &Documents, seed: u64) -> Result<(Documents, Documents)> {
        if !(0.0..1.0).contains(&self.test) {
            return Err(Error::value("--test", "at least 0 and below 1", self.test));
        }
        let n = (self.test * all.counts.len() as f64).round() as usize;
        let (mut train, mut evaluated) = all.split(n, seed)?;
        if self.held_out > 0 {
            (train, evaluated) = train.split(self.held_out, seed)?;
        }
        if self.is_known() {
            return Ok((train, evaluated));
        }
        let train = train.choose(&Vocabulary { words: self.words, ..Vocabulary::default() })?;
        let evaluated = evaluated.with_vocabulary(&train.vocabulary)?;
        Ok((train, evaluated))
    }
    pub(crate) fn source(&self) -> String {
        let path = self.docs.as_ref().or(self.jsonl.as_ref()).or(self.debian.as_ref());
        path.map_or("a known model".into(), |path| path.display().to_string())
    }
}
