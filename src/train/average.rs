//! A moving average of the parameters of a run: less noisy than any of them, and often the better model.
//!
//! ## References
//! - Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

use super::{Learner, Monitor, Progress};
use crate::{Error, Params, Result, Saved};
use std::ops::ControlFlow;

/// `a ← d a + (1 - d) θ` after every update, from the first parameters on; `d` grows from 0 to `decay`, so that the start is forgotten:
/// at update `t` it is at most `(1 + t) / (10 + t)`.
///
/// ```
/// use harmonium::{Train, Learn, models::Rbm, train::MovingAverage, units::Bernoulli};
/// let mut rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
/// let average = MovingAverage::new(rbm.params(), 0.999)?; // a monitor, alone or in a tuple with others
/// rbm.update(&mut |p| average.copy_to(p));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MovingAverage {
    decay: f32,
    average: Params,
}
impl MovingAverage {
    /// Begins at these parameters.
    ///
    /// # Errors
    /// [`Error::Value`] if `decay` is not within 0..1.
    pub fn new(params: &Params, decay: f32) -> Result<Self> {
        match (0.0..1.0).contains(&decay) {
            true => Ok(Self { decay, average: params.clone() }),
            false => Err(Error::value("the decay of an average", "at least 0 and below 1", decay)),
        }
    }
    /// The average.
    pub fn params(&self) -> &Params {
        &self.average
    }
    /// Writes it over parameters of the same space.
    ///
    /// # Panics
    /// If they have another number of entries.
    pub fn copy_to(&self, params: &mut Params) {
        params.as_mut_slice().copy_from_slice(self.average.as_slice());
    }
}
impl<M: Learner + ?Sized> Monitor<M> for MovingAverage {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        let (now, t) = (progress.model.parameters().as_slice(), progress.done as f32);
        let keep = self.decay.min((1.0 + t) / (10.0 + t));
        crate::linalg::zip_ref(self.average.as_mut_slice(), now, |average, now| {
            average.iter_mut().zip(now).for_each(|(a, n)| *a += (1.0 - keep) * (n - *a));
        });
        Ok(ControlFlow::Continue(()))
    }
    fn save(&self, to: &mut Saved) {
        to.put("average", self.average.as_slice());
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        from.floats_to("average", self.average.as_mut_slice())
    }
}
