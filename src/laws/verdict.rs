//! How a law was kept or broken.

use crate::Error;

/// How well a law was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// The law.
    pub law: &'static str,
    /// How many numbers were compared.
    pub checks: usize,
    /// The largest deviation, in units of what is allowed; at most 1.
    pub worst: f64,
}

/// How a law was broken, or why it could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A number is not what the law says.
    #[error(
        "the law of {law} is broken: {what} is {}, and should be {} ({})",
        short(*got), short(*expected), within(*allowed)
    )]
    Number {
        /// The law.
        law: &'static str,
        /// Which number, and where.
        what: String,
        /// What it should be.
        expected: f64,
        /// What it is.
        got: f64,
        /// How far it may be off, by rounding or by chance.
        allowed: f64,
    },
    /// Something holds that the law forbids.
    #[error("the law of {law} is broken: {what}")]
    Fact {
        /// The law.
        law: &'static str,
        /// What holds, and where.
        what: String,
    },
    /// The law could not be checked.
    #[error("the law of {law} cannot be checked: {source}")]
    Unchecked {
        /// The law.
        law: &'static str,
        /// Why not.
        source: Error,
    },
}

/// A number, for messages.
fn short(x: f64) -> String {
    match x.abs() {
        size if x == 0.0 || (1e-3..1e7).contains(&size) => format!("{}", (x * 1e7).round() / 1e7),
        _ => format!("{x:.4e}"),
    }
}
fn within(allowed: f64) -> String {
    if allowed == 0.0 { "exactly".into() } else { format!("within {allowed:.1e}") }
}

impl Broken {
    /// The law that was broken.
    pub fn law(&self) -> &'static str {
        match self {
            Self::Number { law, .. } | Self::Fact { law, .. } | Self::Unchecked { law, .. } => law,
        }
    }
    /// Whether the law was not broken but does not apply: the model is too large for it, or has no closed form.
    pub fn is_intractable(&self) -> bool {
        matches!(self, Self::Unchecked { source: Error::Intractable { .. }, .. })
    }
}

/// What a law says of its subject.
pub type Verdict = std::result::Result<Kept, Broken>;
/// A step of a law.
pub(super) type Step<T = ()> = std::result::Result<T, Broken>;

/// Counts the checks of one law.
pub(super) struct Tally(Kept);

impl Tally {
    pub(super) fn new(law: &'static str) -> Self {
        Self(Kept { law, checks: 0, worst: 0.0 })
    }
    /// `|got - expected| ≤ allowed`; what is no number fails.
    pub(super) fn near(&mut self, got: f64, expected: f64, allowed: f64, what: impl FnOnce() -> String) -> Step {
        self.0.checks += 1;
        if got == expected {
            return Ok(());
        }
        let off = (got - expected).abs() / allowed;
        if off <= 1.0 {
            self.0.worst = self.0.worst.max(off);
            return Ok(());
        }
        Err(Broken::Number { law: self.0.law, what: what(), expected, got, allowed })
    }
    /// The law allows this.
    pub(super) fn holds(&mut self, fact: bool, otherwise: impl FnOnce() -> String) -> Step {
        self.0.checks += 1;
        if fact { Ok(()) } else { Err(Broken::Fact { law: self.0.law, what: otherwise() }) }
    }
    /// An error of the library means that the law cannot be checked.
    pub(super) fn possible<T>(&self, result: crate::Result<T>) -> Step<T> {
        result.map_err(|source| Broken::Unchecked { law: self.0.law, source })
    }
    pub(super) fn kept(self) -> Verdict {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_tell_what_where_and_by_how_much() {
        let mut tally = Tally::new("fields");
        assert!(tally.near(0.25, 0.5, 1.0, String::new).is_ok() && tally.near(2.0, 2.0, 0.0, String::new).is_ok());
        let text = |got, allowed| tally_of(got, allowed).to_string();
        fn tally_of(got: f64, allowed: f64) -> Broken {
            Tally::new("fields").near(got, 1.5, allowed, || "the field of row 3".into()).unwrap_err()
        }
        let start = "the law of fields is broken: the field of row 3 is ";
        assert_eq!(text(0.1 + 0.2, 1e-3), format!("{start}0.3, and should be 1.5 (within 1.0e-3)"));
        assert_eq!(text(1.23456e-9, 0.0), format!("{start}1.2346e-9, and should be 1.5 (exactly)"));
        assert!(text(f64::NAN, 1.0).contains("NaN") && text(f64::INFINITY, 1.0).contains("inf"));
        let kept = tally.kept().unwrap();
        assert_eq!((kept.law, kept.checks, kept.worst), ("fields", 2, 0.25));
    }
}
