//! What can go wrong with a caller's data, files or settings; each variant carries what is needed to act.
//!
//! Mistakes inside the library (two of its own shapes that disagree) are assertions, and poor statistics (a rejected
//! move, a small effective sample size) are data: neither appears here.

use std::io;
use std::path::{Path, PathBuf};

/// The result of everything that reads a caller's data, files or settings.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes of a file are not what its format asks for.
    #[error("{}: {what}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
    },
    /// Two shapes that must agree do not.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Which shape.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A setting or a datum is outside its range.
    #[error("{what} must be {expected}, got {got}")]
    Value {
        /// Which setting or datum, and where it lies.
        what: String,
        /// Its range.
        expected: String,
        /// What it is.
        got: String,
    },
    /// An update would have made a parameter infinite or not a number; the model keeps the last finite parameters.
    #[error(
        "training stopped at step {step}: the update of `{slot}` is not finite (the model keeps its last finite parameters; try a smaller learning rate, or gradient clipping){}",
        last_good(checkpoint)
    )]
    NonFinite {
        /// The update, counted from 0.
        step: u64,
        /// The parameter.
        slot: String,
        /// The last good checkpoint, where there is one.
        checkpoint: Option<PathBuf>,
    },
    /// The energies of data and negative states have drifted apart: the chains do not follow the model any more, and what it learns from
    /// them means nothing.
    #[error(
        "training stopped at step {step}: the energies of data and of negative states are {gap} nats apart, more than {limit} (try a smaller learning rate, more steps of the chains, or a penalty on energies)"
    )]
    Diverged {
        /// The update, counted from 0.
        step: u64,
        /// Mean energy of the data less that of the negative states, in nats.
        gap: f64,
        /// How far apart they may be.
        limit: f64,
    },
    /// Another process uses a folder that only one can use.
    #[error("{}: another process is using it", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The system does not let this process handle signals.
    #[error("cannot handle signals: {source}")]
    Signals {
        /// What the system said.
        source: io::Error,
    },
    /// Something that can only be done exactly was asked of a model that is too large, or has no closed form.
    #[error("{what}; use {instead} instead")]
    Intractable {
        /// What was asked, and what makes it impossible.
        what: String,
        /// What works.
        instead: &'static str,
    },
    /// A saved state lacks an entry.
    #[error("the saved state has no usable entry `{name}`")]
    Missing {
        /// The entry.
        name: String,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
    /// An [`Error::Format`] about `path`.
    pub fn format(path: &Path, what: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), what: what.into() }
    }
    /// An [`Error::Shape`].
    pub fn shape(what: impl Into<String>, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }
    /// An [`Error::Value`].
    pub fn value(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Value { what: what.into(), expected: expected.into(), got: got.to_string() }
    }
}

/// A sentence about the last good checkpoint.
fn last_good(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map_or(String::new(), |path| format!("; the last good checkpoint is {}", path.display()))
}
