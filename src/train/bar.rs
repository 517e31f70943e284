//! A progress bar with live metrics and the time that is left; silent where standard error is no terminal.

use super::{History, Monitor, Progress};
use crate::{Result, Saved};
use indicatif::ProgressStyle;
use std::ops::ControlFlow;

/// A [`History`] that is shown while it grows.
#[derive(Debug)]
pub struct ProgressBar<'a, M: ?Sized> {
    /// What is shown.
    pub history: History<'a, M>,
    /// What is trained, where several are, one after the other: a layer, say.
    pub name: String,
    bar: indicatif::ProgressBar,
}

impl<'a, M: ?Sized> ProgressBar<'a, M> {
    /// Shows a history.
    pub fn new(history: History<'a, M>) -> Self {
        let bar = indicatif::ProgressBar::new(0); // on standard error; hides itself where that is no terminal
        let template = "{elapsed_precise} {bar:24.cyan/blue} {prefix}, {eta} left  {wide_msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()).progress_chars("━╸─"),
        );
        Self { history, name: String::new(), bar }
    }
    fn message(&self) -> String {
        let Some(last) = self.history.records.last() else { return String::new() };
        let metric = |(name, &value): (&str, &f64)| format!("{} {}", name.replace('_', " "), short(value));
        self.history.names().into_iter().zip(&last.values).map(metric).collect::<Vec<_>>().join(" · ")
    }
}

/// Four significant digits.
fn short(value: f64) -> String {
    let before_point = value.abs().max(1e-9).log10().floor() as i32 + 1;
    format!("{value:.*}", (4 - before_point).clamp(0, 6) as usize)
}

impl<M: ?Sized> Monitor<M> for ProgressBar<'_, M> {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        let (known, flow) = (self.history.records.len(), self.history.observe(progress)?);
        if self.bar.length() != Some(progress.steps) {
            self.bar.set_length(progress.steps);
            // A run that goes on is not as fast as it looks from its beginning.
            self.bar.set_position(progress.done);
            self.bar.reset_eta();
        }
        if self.history.records.len() > known {
            self.bar.set_message(self.message());
        }
        if progress.done.is_multiple_of(progress.per_epoch) || self.bar.prefix().is_empty() {
            let epochs = progress.steps / progress.per_epoch;
            let name = if self.name.is_empty() { String::new() } else { format!("{}, ", self.name) };
            let epoch = (progress.done / progress.per_epoch + 1).min(epochs);
            self.bar.set_prefix(format!("{name}epoch {epoch}/{epochs}"));
        }
        self.bar.set_position(progress.done);
        if progress.done == progress.steps {
            self.bar.finish();
        }
        Ok(flow)
    }
    fn save(&self, to: &mut Saved) {
        self.history.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.history.load(from)
    }
}
