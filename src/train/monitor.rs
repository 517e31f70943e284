//! What watches a run, and may end it. A monitor sees; it never changes what it sees.

use super::{Learner, Metric};
use crate::objectives::Report;
use crate::{Error, Params, Result, Saved};
use std::ops::ControlFlow;

/// What a monitor sees after every update.
#[derive(Debug)]
pub struct Progress<'a, M: ?Sized> {
    /// The model after the update.
    pub model: &'a M,
    /// Updates done.
    pub done: u64,
    /// Updates of the whole run.
    pub steps: u64,
    /// Updates of an epoch.
    pub per_epoch: u64,
    /// The parameters before the update.
    pub before: &'a Params,
    /// What the objective said.
    pub report: Report,
    /// The learning rate.
    pub learning_rate: f32,
}

impl<M: ?Sized> Progress<'_, M> {
    /// Epochs done, with their fraction.
    pub fn epochs(&self) -> f64 {
        self.done as f64 / self.per_epoch as f64
    }
    /// Whether `every` updates have passed again, or all of them.
    pub fn is_due(&self, every: u64) -> bool {
        self.done.is_multiple_of(every.max(1)) || self.done == self.steps
    }
}

/// Watches a run and may end it. Closures from [`Progress`] to [`ControlFlow`] are monitors without a state.
///
/// ```
/// use harmonium::{eval::reconstruction_error, models::Rbm, train::Progress};
/// use std::ops::ControlFlow;
/// # let probe = harmonium::Mat::zeros(4, 10);
/// let mut monitor = |p: &Progress<'_, Rbm>| {
///     if p.is_due(100) {
///         println!("{:.1} epochs: {:?}", p.epochs(), reconstruction_error(p.model, probe.as_view()));
///     }
///     ControlFlow::Continue(())
/// };
/// # fn is_monitor(_: &mut dyn harmonium::train::Monitor<Rbm>) {}
/// # is_monitor(&mut monitor);
/// ```
pub trait Monitor<M: ?Sized> {
    /// Looks at an update.
    ///
    /// # Errors
    /// Whatever keeps it from doing its work: an error ends the run.
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>>;
    /// Writes what must outlive the process.
    fn save(&self, to: &mut Saved);
    /// Continues where [`Monitor::save`] left off.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] if an entry is absent.
    fn load(&mut self, from: &Saved) -> Result<()>;
}

impl<M: ?Sized, F: FnMut(&Progress<'_, M>) -> ControlFlow<()>> Monitor<M> for F {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        Ok(self(progress))
    }
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;
impl<M: ?Sized> Monitor<M> for Silent {
    fn observe(&mut self, _: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}

/// Two monitors: both observe, either may end the run. More are pairs of pairs.
impl<M: ?Sized, A: Monitor<M>, B: Monitor<M>> Monitor<M> for (A, B) {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        let flows = [self.0.observe(progress)?, self.1.observe(progress)?];
        Ok(flows.into_iter().find(|flow| flow.is_break()).unwrap_or(ControlFlow::Continue(())))
    }
    fn save(&self, to: &mut Saved) {
        self.0.save(to.child_mut("0"));
        self.1.save(to.child_mut("1"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.0.load(from.child("0")?)?;
        self.1.load(from.child("1")?)
    }
}

/// A monitor that may be absent. One that was when the state was saved begins where the run is.
impl<M: ?Sized, A: Monitor<M>> Monitor<M> for Option<A> {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        self.as_mut().map_or(Ok(ControlFlow::Continue(())), |monitor| monitor.observe(progress))
    }
    fn save(&self, to: &mut Saved) {
        self.iter().for_each(|monitor| monitor.save(to.child_mut("some")));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        match (self, from.child("some")) {
            (Some(monitor), Ok(state)) => monitor.load(state),
            _ => Ok(()),
        }
    }
}

/// Several monitors: all observe, any may end the run.
impl<M: ?Sized> Monitor<M> for Vec<Box<dyn Monitor<M> + '_>> {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        for monitor in self.iter_mut() {
            if monitor.observe(progress)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }
    fn save(&self, to: &mut Saved) {
        self.iter().enumerate().for_each(|(k, m)| m.save(to.child_mut(&k.to_string())));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.iter_mut().enumerate().try_for_each(|(k, m)| m.load(from.child(&k.to_string())?))
    }
}

/// Ends a run when a metric has not improved for a while, and keeps the best parameters. Higher is better: of an error or
/// a gap, watch the negative ([`super::Named`]).
pub struct EarlyStopping<'a, M: ?Sized> {
    /// What is watched: higher is better.
    pub metric: Box<dyn Metric<M> + 'a>,
    /// Updates between two looks.
    pub every: u64,
    /// Looks without improvement that are borne.
    pub patience: u64,
    /// The best value so far, with its parameters, flat.
    pub best: Option<(f64, Vec<f32>)>,
    waited: u64,
}

impl<'a, M: ?Sized> EarlyStopping<'a, M> {
    /// Looks at `metric` (higher is better) every `every` updates.
    pub fn new(metric: impl Metric<M> + 'a, every: u64, patience: u64) -> Self {
        Self { metric: Box::new(metric), every, patience, best: None, waited: 0 }
    }
    /// Gives a model the best parameters, if there were any.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the model has not as many.
    pub fn restore(&self, model: &mut M) -> Result<()>
    where
        M: Learner,
    {
        let (Some((_, best)), n) = (&self.best, model.parameters().as_slice().len()) else { return Ok(()) };
        if best.len() != n {
            return Err(Error::shape("best parameters", n, best.len()));
        }
        model.change(&mut |p| p.as_mut_slice().copy_from_slice(best));
        Ok(())
    }
}
impl<M: ?Sized> std::fmt::Debug for EarlyStopping<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let best = self.best.as_ref().map(|(value, _)| value);
        f.debug_struct("EarlyStopping").field("best", &best).field("waited", &self.waited).finish_non_exhaustive()
    }
}

impl<M: Learner + ?Sized> Monitor<M> for EarlyStopping<'_, M> {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        if !progress.is_due(self.every) {
            return Ok(ControlFlow::Continue(()));
        }
        let value = self.metric.measure(progress)?;
        // A value that is no number is never the best.
        if !value.is_nan() && self.best.as_ref().is_none_or(|(best, _)| value > *best) {
            (self.best, self.waited) = (Some((value, progress.model.parameters().as_slice().to_vec())), 0);
        } else {
            self.waited += 1;
        }
        Ok(if self.waited > self.patience { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
    fn save(&self, to: &mut Saved) {
        to.put_words("waited", vec![self.waited]);
        if let Some((value, params)) = &self.best {
            to.put_doubles("best", &[*value]);
            to.put("params", params);
        }
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        [self.waited] = from.word_array("waited")?;
        self.best = match from.doubles("best") {
            Ok(value) => value.first().copied().zip(Some(from.floats("params")?.to_vec())),
            Err(_) => None,
        };
        Ok(())
    }
}
