//! Documents are read from folders of text files, from files of JSON lines, or given as texts.
//!
//! All words are kept here: which of them are worth counting is chosen later, when it is known in how many documents
//! they are. Texts without a word are left out, and how many is told.

use super::Documents;
use super::classes::classes;
use super::listing::{files, folders, name};
use super::tokens::Tokens;
use crate::io::read;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;

/// Names of fields that an error lists.
const LISTED: usize = 20;

/// Where the objects of JSON lines have what is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// The field with the text.
    pub text: String,
    /// The field with the class, a text or an integer.
    pub label: Option<String>,
}

impl Documents {
    /// Counts the words of `texts`, which are called `text 1`, `text 2` and so on.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if no text has a word.
    pub fn from_texts(texts: &[&str], tokens: &Tokens) -> Result<Self> {
        let mut corpus = Corpus::default();
        (1..).zip(texts).for_each(|(i, text)| corpus.add(text, format!("text {i}"), None, tokens));
        corpus.finish().map_err(|_| Error::value("the number of texts with words", "at least 1", 0))
    }

    /// Reads all files of the folder `dir`, but not of folders in it, in the order of their names: a file is a
    /// document.
    ///
    /// Files whose names begin with a dot are passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder or a file cannot be read; [`Error::Format`] if a file is not UTF-8, unless
    /// [`Tokens::latin_1`] is set, or if no file has a word.
    pub fn read_folder(dir: impl AsRef<Path>, tokens: &Tokens) -> Result<Self> {
        let mut corpus = Corpus::default();
        corpus.add_files(dir.as_ref(), None, tokens)?;
        corpus.finish().map_err(|what| Error::format(dir.as_ref(), what))
    }

    /// Reads the files of all folders in `dir`, each folder a class: class 0 is the first in the order of names.
    ///
    /// Files that lie in `dir` itself are of no class and not read.
    ///
    /// # Errors
    ///
    /// Those of [`Documents::read_folder`]; [`Error::Format`] if there are more than 256 folders with words.
    pub fn read_classes(dir: impl AsRef<Path>, tokens: &Tokens) -> Result<Self> {
        let mut corpus = Corpus::default();
        for (folder, name) in folders(dir.as_ref())? {
            corpus.add_files(&folder, Some(&name), tokens)?;
        }
        corpus.finish().map_err(|what| Error::format(dir.as_ref(), what))
    }

    /// Reads a file of JSON lines: every line is an object, and a document.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, and those of [`Documents::parse_json_lines`].
    pub fn read_json_lines(path: impl AsRef<Path>, fields: &Fields, tokens: &Tokens) -> Result<Self> {
        Self::parse_json_lines(&read(path.as_ref())?, path.as_ref(), fields, tokens)
    }

    /// Reads JSON lines from the bytes of a file; `path` is what errors name. Empty lines are passed over.
    ///
    /// Classes are in the order of the numbers if all labels are integers, else of the text.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], with the line, if one is no object, lacks a field, or a field is no text (for labels: neither
    /// text nor integer); if there are more than 256 classes; or if no text has a word.
    pub fn parse_json_lines(bytes: &[u8], path: &Path, fields: &Fields, tokens: &Tokens) -> Result<Self> {
        let mut corpus = Corpus::default();
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let (text, label) =
                object(line, fields).map_err(|what| Error::format(path, format!("line {number}: {what}")))?;
            corpus.add(&text, format!("line {number}"), label.as_deref(), tokens);
        }
        corpus.finish().map_err(|what| Error::format(path, what))
    }
}

/// The text and the label of an object.
fn object(line: &[u8], fields: &Fields) -> Result<(String, Option<String>), String> {
    let mut object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|why| format!("expected an object of JSON: {why}"))?;
    let mut take = |field: &String| match object.remove(field) {
        Some(value) => Ok(value),
        None => {
            let names: Vec<String> = object.keys().take(LISTED).map(|name| name.escape_debug().to_string()).collect();
            Err(format!("there is no field `{field}`; there are {}", names.join(", ")))
        }
    };
    let wrong = |field: &String, expected: &str, value: &Value| {
        let got = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        format!("field `{field}`: expected {expected}, got {got}")
    };
    let label = match &fields.label {
        None => None,
        Some(field) => match take(field)? {
            Value::String(label) => Some(label),
            Value::Number(label) if label.is_i64() => Some(label.to_string()),
            other => return Err(wrong(field, "a text or an integer", &other)),
        },
    };
    match take(&fields.text)? {
        Value::String(text) => Ok((text, label)),
        other => Err(wrong(&fields.text, "a text", &other)),
    }
}

/// What was read so far, words in the order in which they came.
#[derive(Default)]
struct Corpus {
    words: HashMap<String, u32>,
    counts: Vec<Vec<(u32, u32)>>,
    names: Vec<String>,
    labels: Vec<String>,
    dropped: usize,
}

impl Corpus {
    fn add_files(&mut self, dir: &Path, label: Option<&str>, tokens: &Tokens) -> Result<()> {
        for path in files(dir)? {
            let text = tokens.text(read(&path)?).map_err(|what| Error::format(&path, what))?;
            let name = name(&path);
            self.add(&text, label.map_or(name.clone(), |label| format!("{label}/{name}")), label, tokens);
        }
        Ok(())
    }

    fn add(&mut self, text: &str, name: String, label: Option<&str>, tokens: &Tokens) {
        let mut words = vec![];
        tokens.each(text, |word| {
            words.push(self.words.get(word).copied().unwrap_or_else(|| {
                let new = self.words.len() as u32;
                self.words.insert(word.to_owned(), new);
                new
            }));
        });
        if words.is_empty() {
            self.dropped += 1;
            return;
        }
        words.sort_unstable();
        self.counts.push(words.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect());
        self.names.push(name);
        self.labels.extend(label.map(String::from));
    }

    /// The documents, words in order.
    fn finish(self) -> Result<Documents, String> {
        if self.counts.is_empty() {
            return Err(format!("there are no documents with words in it, and {} without", self.dropped));
        }
        let (labels, classes) = classes(&self.labels)?;
        let mut words: Vec<(String, u32)> = self.words.into_iter().collect();
        words.sort_unstable();
        let mut places = vec![0; words.len()];
        for (place, (_, word)) in (0..).zip(&words) {
            places[*word as usize] = place;
        }
        let mut counts = self.counts;
        for document in &mut counts {
            document.iter_mut().for_each(|(word, _)| *word = places[*word as usize]);
            document.sort_unstable();
        }
        let vocabulary = words.into_iter().map(|(word, _)| word).collect();
        Ok(Documents { vocabulary, counts, names: self.names, labels, classes, dropped: self.dropped })
    }
}
