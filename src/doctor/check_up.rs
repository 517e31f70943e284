//! The doctor as a monitor: looks at a run now and then.

use super::{Activity, Diagnosis, Doctor, Measured, Mixing, examine_data};
use crate::eval::Estimate;
use crate::train::{Monitor, Progress, update_ratio};
use crate::{Error, Learn, Marginal, Mat, Result, Saved};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Looks at a run every so many updates, and at its end; a run with it has the bits of one without.
///
/// ```
/// use harmonium::{data::bars_and_stripes, models::Rbm, objectives::Contrastive, optim::Sgd, units::Bernoulli};
/// use harmonium::doctor::{CheckUp, Doctor};
/// use harmonium::train::{Fit, Run};
/// let data = bars_and_stripes(3)?.patterns;
/// let mut rbm = Rbm::new((9, Bernoulli), (4, Bernoulli));
/// rbm.initialise(&[0.5; 9], 0.0, 1)?;
/// let fit = Fit { epochs: 20, batch: 7, ..Fit::default() };
/// let doctor = Doctor { persistent: false, sweeps: 300, ..Doctor::default() };
/// let mut check_up = CheckUp::new(doctor, 20, data.clone());
/// fit.run(&mut Run::new(&mut rbm, &mut Contrastive::cd(1, 1), &mut Sgd::default(), &mut check_up), &data)?;
/// println!("{}", check_up.diagnosis(&rbm)?.expect("it has looked"));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CheckUp {
    /// How closely it looks.
    pub doctor: Doctor,
    /// Updates between two looks.
    pub every: u64,
    /// Samples of those trained on (visible units × samples), some thousands.
    pub train: Mat,
    /// Samples that are not trained on, if there are any.
    pub held_out: Option<Mat>,
    /// What was measured at each look.
    pub looks: Vec<Measured>,
    /// A file that holds the last look's findings at any time, for the report of a run.
    pub path: Option<PathBuf>,
    ratios: (f64, u64), // of updates since the last look: their sum and number
}

impl CheckUp {
    /// Updates before a look whose sizes are averaged.
    const AVERAGED: u64 = 20;

    /// Looks with `doctor` every `every` updates, at the samples `train`.
    pub fn new(doctor: Doctor, every: u64, train: Mat) -> Self {
        Self { doctor, every: every.max(1), train, held_out: None, looks: vec![], path: None, ratios: (0.0, 0) }
    }
    /// What the last look found in a run of `model`, if there was a look; and what earlier looks found and it did not, as they saw
    /// it last.
    ///
    /// # Errors
    /// [`Error::Shape`] if the samples have not one row a visible unit of the model.
    pub fn diagnosis<M: Learn + ?Sized>(&self, model: &M) -> Result<Option<Diagnosis>> {
        let Some(last) = self.looks.last() else { return Ok(None) };
        let mut findings = examine_data(model, &self.train)?;
        findings.extend(self.doctor.judge(last));
        for look in self.looks.iter().rev().skip(1) {
            for mut finding in self.doctor.judge(look) {
                if findings.iter().all(|f| (f.about, &f.advice) != (finding.about, &finding.advice)) {
                    finding.what = format!("at {:.0} % of the run, {}", 100.0 * look.done, finding.what);
                    findings.push(finding);
                }
            }
        }
        Ok(Some(Diagnosis::new(findings, last.clone())))
    }
    fn look<M: Marginal + Learn + ?Sized>(&mut self, progress: &Progress<'_, M>) -> Result<()> {
        let measured = self.doctor.measure(progress.model, &self.train, self.held_out.as_ref())?;
        let (sum, n) = std::mem::take(&mut self.ratios);
        let done = progress.done as f64 / progress.steps as f64;
        self.looks.push(Measured { done, update_ratio: sum / n as f64, ..measured });
        if let (Some(path), Some(diagnosis)) = (&self.path, self.diagnosis(progress.model)?) {
            diagnosis.write(path)?;
        }
        Ok(())
    }
}

impl<M: Marginal + Learn + ?Sized> Monitor<M> for CheckUp {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        let left = (self.every - progress.done % self.every) % self.every;
        if left.min(progress.steps - progress.done) < Self::AVERAGED {
            self.ratios.0 += update_ratio(progress.before, progress.model.params());
            self.ratios.1 += 1;
        }
        if progress.is_due(self.every) {
            self.look(progress)?;
        }
        Ok(ControlFlow::Continue(()))
    }
    fn save(&self, to: &mut Saved) {
        to.put_doubles("looks", &self.looks.iter().flat_map(numbers).collect::<Vec<f64>>());
        to.put_doubles("ratios", &[self.ratios.0, self.ratios.1 as f64]);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        let (looks, ratios) = (from.doubles("looks")?, from.doubles("ratios")?);
        let (looks, rest) = looks.as_chunks();
        let ([sum, n], []) = (ratios.as_slice(), rest) else { return Err(Error::Missing { name: "looks".into() }) };
        self.looks = looks.iter().map(measured).collect();
        self.ratios = (*sum, *n as u64);
        Ok(())
    }
}

/// Numbers of a look in a saved state.
const NUMBERS: usize = 14;

fn numbers(m: &Measured) -> [f64; NUMBERS] {
    let Measured { activity: a, mixing, free_energy_gap: gap, .. } = m;
    let counts = [a.units, a.dead, a.saturated, a.silent, mixing.sweeps].map(|n| n as f64);
    let [units, dead, saturated, silent, sweeps] = counts;
    [
        m.done,
        m.update_ratio,
        units,
        dead,
        saturated,
        silent,
        a.mean,
        sweeps,
        mixing.autocorrelation_time,
        mixing.split_r_hat,
        mixing.effective_sample_size,
        f64::from(u8::from(mixing.ran_away)),
        gap.value,
        gap.standard_error,
    ]
}
fn measured(x: &[f64; NUMBERS]) -> Measured {
    let count = |k: usize| x[k] as usize;
    Measured {
        done: x[0],
        update_ratio: x[1],
        activity: Activity { units: count(2), dead: count(3), saturated: count(4), silent: count(5), mean: x[6] },
        mixing: Mixing {
            sweeps: count(7),
            autocorrelation_time: x[8],
            split_r_hat: x[9],
            effective_sample_size: x[10],
            ran_away: x[11] != 0.0,
        },
        free_energy_gap: Estimate { value: x[12], standard_error: x[13] },
    }
}
