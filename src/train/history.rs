//! The record of a run: metrics measured every so often, kept, and written to a file as they come.

use super::{Metric, Monitor, Progress};
use crate::io::write_atomically;
use crate::{Result, Saved};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// One look at a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Updates done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Since the run began, those of an earlier process included.
    pub seconds: f64,
    /// The learning rate of the last update.
    pub learning_rate: f64,
    /// The metrics, in their order.
    pub values: Vec<f64>,
}

/// Measures metrics and keeps them.
pub struct History<'a, M: ?Sized> {
    /// Updates between two looks.
    pub every: u64,
    /// What is measured.
    pub metrics: Vec<Box<dyn Metric<M> + 'a>>,
    /// What was measured.
    pub records: Vec<Record>,
    /// A file that holds the records at any time, one JSON object a line.
    pub path: Option<PathBuf>,
    began: Option<Instant>,
    earlier: f64,
}

impl<'a, M: ?Sized> History<'a, M> {
    /// Looks every `every` updates, and after the last.
    pub fn new(every: u64, metrics: Vec<Box<dyn Metric<M> + 'a>>) -> Self {
        Self { every, metrics, records: vec![], path: None, began: None, earlier: 0.0 }
    }
    /// The names of the metrics.
    pub fn names(&self) -> Vec<&str> {
        self.metrics.iter().map(|m| m.name()).collect()
    }
    /// `(epoch, value)` of a metric over the run.
    pub fn curve(&self, name: &str) -> Vec<(f64, f64)> {
        let k = self.metrics.iter().position(|m| m.name() == name);
        k.map_or(vec![], |k| self.records.iter().map(|r| (r.epoch, r.values[k])).collect())
    }
    /// The last value of a metric.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.curve(name).last().map(|(_, value)| *value)
    }
    /// The records as JSON, one object a line; numbers that JSON does not know are null.
    pub fn to_json_lines(&self) -> String {
        let line = |r: &Record| {
            let own = [("epoch", r.epoch), ("seconds", r.seconds), ("learning_rate", r.learning_rate)];
            let values = own.into_iter().chain(self.names().into_iter().zip(r.values.iter().copied()));
            let mut object: serde_json::Map<_, _> = values.map(|(k, v)| (k.to_string(), v.into())).collect();
            object.insert("step".into(), r.step.into());
            serde_json::Value::Object(object).to_string() + "\n"
        };
        self.records.iter().map(line).collect()
    }
    fn seconds(&self) -> f64 {
        self.earlier + self.began.map_or(0.0, |t| t.elapsed().as_secs_f64())
    }
}

impl<M: ?Sized> std::fmt::Debug for History<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("names", &self.names()).field("records", &self.records).finish_non_exhaustive()
    }
}

impl<M: ?Sized> Monitor<M> for History<'_, M> {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        self.began.get_or_insert_with(Instant::now);
        if !progress.is_due(self.every) {
            return Ok(ControlFlow::Continue(()));
        }
        let values = self.metrics.iter_mut().map(|m| m.measure(progress)).collect::<Result<_>>()?;
        let (step, epoch, seconds) = (progress.done, progress.epochs(), self.seconds());
        self.records.push(Record { step, epoch, seconds, learning_rate: progress.learning_rate as f64, values });
        if let Some(path) = &self.path {
            write_atomically(path, |f| f.write_all(self.to_json_lines().as_bytes()))?;
        }
        Ok(ControlFlow::Continue(()))
    }
    /// What depends on the clock is apart: all else is the same in every run with the same settings.
    fn save(&self, to: &mut Saved) {
        let seconds = self.records.iter().map(|r| r.seconds).chain([self.seconds()]);
        to.put_doubles("seconds", &seconds.collect::<Vec<f64>>());
        to.put_words("steps", self.records.iter().map(|r| r.step).collect());
        let flat = |r: &Record| [vec![r.epoch, r.learning_rate], r.values.clone()].concat();
        to.put_doubles("values", &self.records.iter().flat_map(flat).collect::<Vec<f64>>());
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        let (steps, values, seconds) = (from.words("steps")?, from.doubles("values")?, from.doubles("seconds")?);
        let width = 2 + self.metrics.len();
        for (name, expected, got) in
            [("values", steps.len() * width, values.len()), ("seconds", steps.len() + 1, seconds.len())]
        {
            if got != expected {
                return Err(crate::Error::Missing { name: name.into() });
            }
        }
        let record = |((&step, v), &seconds): ((&u64, &[f64]), &f64)| Record {
            step,
            epoch: v[0],
            seconds,
            learning_rate: v[1],
            values: v[2..].to_vec(),
        };
        self.records = steps.iter().zip(values.chunks(width)).zip(&seconds).map(record).collect();
        self.earlier = seconds[steps.len()];
        self.began = None;
        Ok(())
    }
}
