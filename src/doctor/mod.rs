//! A doctor for machines and runs: looks at data, hidden units, updates, chains and free energies, finds what is out of its
//! range, and says what to do about it.
//!
//! Every [`Finding`] is made of numbers that [`Measured`] keeps, and of limits that stand here as constants. A machine without
//! findings may still be a poor one: how good it is, the likelihood tells ([`crate::eval`]). What falls while a machine learns and
//! says little of it, the reconstruction error, is not looked at: it falls as well where chains stop to move.
//!
//! | looks at | finds |
//! |---|---|
//! | data | values that their unit kind cannot have, or makes little of; the kind that they ask for |
//! | hidden units | dead, saturated, and silent ones; activity far from its target |
//! | updates | too large or too small beside the weights (in a run) |
//! | chains | too few sweeps for their autocorrelation time; those that do not come together; those that run away |
//! | free energies | held-out samples that are less probable than those trained on |
//!
//! ## References
//! - Hinton, "A practical guide to training restricted Boltzmann machines", 2010 (updates, activity, free-energy gap).
//! - Decelle, Furtlehner and Seoane, "Equilibrium and non-equilibrium regimes in the learning of restricted Boltzmann
//!   machines", 2021 (sweeps of an update beside the mixing time).

mod chains;
mod check_up;
mod data;
mod hidden;
mod judge;
pub use chains::Mixing;
pub use check_up::CheckUp;
pub use data::examine_data;
pub use hidden::Activity;

use crate::data::{Samples, spread};
use crate::eval::{Estimate, free_energy_gap};
use crate::io::write_atomically;
use crate::train::check_data;
use crate::{Error, Learn, Marginal, Mat, Result};
use std::fmt::{self, Display};
use std::path::Path;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// It costs quality, or makes numbers that cannot be trusted.
    Warning,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
        }
    }
}

/// Something that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at: `data`, `hidden units`, `updates`, `chains`, `free energy`.
    pub about: &'static str,
    /// What was found, with its numbers.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Finding {
    fn new(severity: Severity, about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity, about, what: what.into(), advice: advice.into() }
    }
    fn note(about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Note, about, what, advice)
    }
    fn warning(about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Warning, about, what, advice)
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}; {}", self.severity.name(), self.about, self.what, self.advice)
    }
}

/// How a machine was trained, and how closely to look.
#[derive(Clone, Debug, PartialEq)]
pub struct Doctor {
    /// Gibbs sweeps of an update, if the machine was trained by CD or PCD.
    pub k: Option<usize>,
    /// Whether chains go on from update to update (PCD), or start at the data (CD).
    pub persistent: bool,
    /// What the mean activity of hidden units should be, if there is a target.
    pub target: Option<f32>,
    /// Samples that are looked at, spread evenly over the data.
    pub cases: usize,
    /// Chains, half of which start at the data and half at independent units; at least 2.
    pub chains: usize,
    /// Gibbs sweeps of the chains, a third of which come before the first look; at least 30.
    pub sweeps: usize,
    /// What all is drawn from.
    pub seed: u64,
}

impl Default for Doctor {
    /// PCD-1, looked at for a second or two at 784 × 500.
    fn default() -> Self {
        Self { k: Some(1), persistent: true, target: None, cases: 2000, chains: 40, sweeps: 1500, seed: 0 }
    }
}

/// The numbers that findings are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Share of the run that was done, from 0 to 1; not a number for a machine that is not in training.
    pub done: f64,
    /// Of the hidden units.
    pub activity: Activity,
    /// Mean norm of an update over that of the weights ([`crate::train::UpdateRatio`]); not a number outside of training.
    pub update_ratio: f64,
    /// Of the chains.
    pub mixing: Mixing,
    /// Mean free energy of held-out samples less that of training samples, in nats, with its standard error; not a number
    /// without held-out samples.
    pub free_energy_gap: Estimate,
}

/// What the doctor found, and the numbers behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Warnings first.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub measured: Measured,
}

/// The version of `doctor.json`, which files of no other have.
pub const DIAGNOSIS_FORMAT: u64 = 1;

impl Diagnosis {
    fn new(mut findings: Vec<Finding>, measured: Measured) -> Self {
        findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
        Self { findings, measured }
    }
    /// Writes it as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let Measured { activity, mixing, free_energy_gap, .. } = &self.measured;
        let finding = |f: &Finding| {
            let (severity, about) = (f.severity.name(), f.about);
            serde_json::json!({ "severity": severity, "about": about, "what": f.what, "advice": f.advice })
        };
        let all = serde_json::json!({
            "format": DIAGNOSIS_FORMAT,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "hidden_units": activity.units,
            "dead": activity.dead,
            "saturated": activity.saturated,
            "silent": activity.silent,
            "mean_activity": activity.mean,
            "update_ratio": self.measured.update_ratio,
            "autocorrelation_time": mixing.autocorrelation_time,
            "split_r_hat": mixing.split_r_hat,
            "effective_sample_size": mixing.effective_sample_size,
            "free_energy_gap": free_energy_gap.value,
            "free_energy_gap_stderr": free_energy_gap.standard_error,
        });
        write_atomically(path, |f| Ok(serde_json::to_writer_pretty(f, &all)?))
    }
}

/// Findings, a line each with what to do on the next; then the numbers.
impl Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            writeln!(f, "nothing is out of its range")?;
        }
        for Finding { severity, about, what, advice } in &self.findings {
            writeln!(f, "{}, {about}: {what}\n  → {advice}", severity.name())?;
        }
        let Measured { activity: a, update_ratio, mixing, free_energy_gap: gap, .. } = &self.measured;
        writeln!(f, "measured:")?;
        if a.units > 0 {
            let mean = if a.mean.is_nan() { String::new() } else { format!(", mean activity {:.3}", a.mean) };
            writeln!(
                f,
                "  {} hidden units, of which {} dead, {} saturated, {} silent{mean}",
                a.units, a.dead, a.saturated, a.silent
            )?;
        }
        if update_ratio.is_finite() {
            writeln!(f, "  updates are {update_ratio:.1e} of the weights")?;
        }
        if mixing.sweeps > 0 {
            writeln!(f, "  {mixing}")?;
        }
        if gap.value.is_finite() {
            writeln!(f, "  free-energy gap {:.2} ± {:.2} nats", gap.value, gap.standard_error)?;
        }
        Ok(())
    }
}

impl Doctor {
    /// Looks at a machine, the data it was trained on, and others like them, if there are any.
    ///
    /// Training data out of their range are a finding, not an error; of units, chains and free energies nothing is known then.
    ///
    /// ```
    /// use harmonium::{Mat, data::bars_and_stripes, doctor::Doctor, models::Rbm, units::Gaussian};
    /// let data = bars_and_stripes(3)?.patterns; // bits
    /// let rbm = Rbm::new((9, Gaussian), (4, Gaussian));
    /// let diagnosis = Doctor::default().examine(&rbm, &data, None)?;
    /// assert!(diagnosis.findings[0].advice.contains("Bernoulli"));
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the data have not one row a visible unit, [`Error::Value`] if there are none, held-out ones are out
    /// of their range, or a setting is; [`Error::Intractable`] if the model's latent units do not sum out at once.
    pub fn examine<M: Marginal + Learn + ?Sized>(
        &self,
        model: &M,
        train: &dyn Samples,
        held_out: Option<&dyn Samples>,
    ) -> Result<Diagnosis> {
        self.check()?;
        let mut findings = examine_data(model, train)?;
        held_out.map_or(Ok(()), |held_out| check_data(model, held_out))?;
        let measured = match check_data(model, train).is_ok() {
            true => {
                self.measure(model, &spread(train, self.cases), held_out.map(|h| spread(h, self.cases)).as_ref())?
            }
            false => Measured::nothing(),
        };
        findings.extend(self.judge(&measured));
        Ok(Diagnosis::new(findings, measured))
    }
    /// The numbers of [`Doctor::examine`], of samples (visible units × samples) that fit the model.
    ///
    /// # Errors
    /// As [`Doctor::examine`].
    pub fn measure<M: Marginal + Learn + ?Sized>(
        &self,
        model: &M,
        train: &Mat,
        held_out: Option<&Mat>,
    ) -> Result<Measured> {
        self.check()?;
        let gap = match held_out {
            Some(held_out) => free_energy_gap(model, train, held_out)?,
            None => Estimate { value: f64::NAN, standard_error: f64::NAN },
        };
        Ok(Measured {
            activity: Activity::of(model, train)?,
            // Chains of a model with inputs have another distribution each.
            mixing: if model.n_given() > 0 { Mixing::default() } else { Mixing::of(self, model, train)? },
            free_energy_gap: gap,
            ..Measured::nothing()
        })
    }
    fn check(&self) -> Result<()> {
        for (what, least, got) in [
            ("the number of chains to look at", 2, self.chains),
            ("the sweeps to look at", 30, self.sweeps),
            ("the number of samples to look at", 1, self.cases),
            ("the sweeps of an update", 1, self.k.unwrap_or(1)),
        ] {
            if got < least {
                return Err(Error::value(what, format!("at least {least}"), got));
            }
        }
        Ok(())
    }
}

impl Measured {
    fn nothing() -> Self {
        Self {
            done: f64::NAN,
            activity: Activity::default(),
            update_ratio: f64::NAN,
            mixing: Mixing::default(),
            free_energy_gap: Estimate { value: f64::NAN, standard_error: f64::NAN },
        }
    }
}
