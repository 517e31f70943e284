//! Optimisers: from a gradient to a step. Schedules and penalties: pure functions.

mod adam;
mod normalised;
mod penalty;
mod schedule;
mod sgd;
pub use adam::Adam;
pub use normalised::Normalised;
pub use penalty::{Penalty, clip_norm, max_norm};
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::{Error, Params, Result, Resume};

/// Whether a decay is at least 0 and below 1.
fn check_decay(what: &str, decay: f32) -> Result<()> {
    if (0.0..1.0).contains(&decay) { Ok(()) } else { Err(Error::value(what, "at least 0 and below 1", decay)) }
}

/// Whether a state that is kept for every parameter, once there was an update, is of so many.
fn check_state(what: &str, state: &[f32], parameters: usize) -> Result<()> {
    if state.is_empty() || state.len() == parameters {
        return Ok(());
    }
    Err(Error::shape(what, format!("{parameters} parameters"), state.len()))
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// The update, counted from 0.
    pub step: u64,
    /// The learning rate there.
    pub learning_rate: f32,
}

/// Turns gradients into steps.
pub trait Optimizer: Resume {
    /// Replaces the gradient by a direction, and returns how far to go: the trainer subtracts so many times the direction
    /// from the parameters.
    ///
    /// The optimiser never sees the parameters, so that a step can be checked before it is taken.
    fn direct(&mut self, grad: &mut Params, at: At) -> f32;
    /// Whether its settings make sense in a run of so many updates, and its state, if it has one, is of so many parameters.
    ///
    /// # Errors
    /// [`crate::Error::Value`] with the setting that does not, [`crate::Error::Shape`] if the state is of another model.
    fn check(&self, steps: u64, parameters: usize) -> Result<()>;
}
impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn direct(&mut self, grad: &mut Params, at: At) -> f32 {
        (**self).direct(grad, at)
    }
    fn check(&self, steps: u64, parameters: usize) -> Result<()> {
        (**self).check(steps, parameters)
    }
}
