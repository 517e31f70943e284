//! What a run carries from step to step.

use super::{Checkpoints, Learner, Monitor, Pause};
use crate::objectives::Objective;
use crate::optim::Optimizer;
use crate::{Result, Resume, Saved};

/// A model in training: saved and loaded as one, a run goes on bit for bit.
pub struct Run<'a, M: ?Sized> {
    /// What is trained.
    pub model: &'a mut M,
    /// What its gradient is.
    pub objective: &'a mut dyn Objective<M>,
    /// What is made of the gradient.
    pub optimizer: &'a mut dyn Optimizer,
    /// What watches.
    pub monitor: &'a mut dyn Monitor<M>,
    /// Updates done.
    pub step: u64,
    /// Whether a monitor has ended it.
    pub stopped: bool,
    /// Where its state is kept while it goes on; nowhere, unless set.
    pub checkpoints: Option<Checkpoints>,
    /// What pauses it.
    pub pause: Pause,
}

impl<'a, M: ?Sized> Run<'a, M> {
    /// A run that begins.
    pub fn new(
        model: &'a mut M,
        objective: &'a mut dyn Objective<M>,
        optimizer: &'a mut dyn Optimizer,
        monitor: &'a mut dyn Monitor<M>,
    ) -> Self {
        let (checkpoints, pause) = (None, Pause::default());
        Self { model, objective, optimizer, monitor, step: 0, stopped: false, checkpoints, pause }
    }
}

impl<M: ?Sized> std::fmt::Debug for Run<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("step", &self.step).finish_non_exhaustive()
    }
}

impl<M: Learner + ?Sized> Run<'_, M> {
    /// Writes a checkpoint, if there is a place for it.
    pub(super) fn keep(&mut self) -> Result<()> {
        let Some(mut checkpoints) = self.checkpoints.take() else { return Ok(()) };
        let kept = checkpoints.write(self.step, || {
            let mut state = Saved::default();
            self.save(&mut state);
            state
        });
        self.checkpoints = Some(checkpoints);
        kept
    }
}

impl<M: Learner + ?Sized> Resume for Run<'_, M> {
    fn save(&self, to: &mut Saved) {
        to.put_words("step", vec![self.step]);
        to.put_words("stopped", vec![self.stopped.into()]);
        to.put("params", self.model.parameters().as_slice());
        self.objective.save(to.child_mut("objective"));
        self.optimizer.save(to.child_mut("optimizer"));
        self.monitor.save(to.child_mut("monitor"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        [self.step] = from.word_array("step")?;
        self.stopped = from.word_array::<1>("stopped")? != [0];
        let mut loaded = Ok(());
        self.model.change(&mut |p| loaded = from.floats_to("params", p.as_mut_slice()));
        loaded?;
        self.objective.load(from.child("objective")?)?;
        self.optimizer.load(from.child("optimizer")?)?;
        self.monitor.load(from.child("monitor")?)
    }
}
