//! Negative states by parallel tempering: chains at `β = 1` that exchange states with warmer ones, so that they reach modes
//! which those of PCD would not.
//!
//! ## References
//! - Desjardins, Courville, Bengio, Vincent and Delalleau, "Tempered Markov chain Monte Carlo for training of restricted
//!   Boltzmann machines", 2010.
//! - Cho, Raiko and Ilin, "Parallel tempering is efficient for learning restricted Boltzmann machines", 2010.

use super::negative::{check_states, times};
use super::{Negative, Negatives};
use crate::optim::Schedule;
use crate::samplers::{Advance, BlockGibbs, Kernel, Tempering};
use crate::{Annealed, Batch, Marginal, Params, Result, Resume, Saved, States};

/// Persistent replicas at all temperatures; those at `β = 1` are the negative states.
///
/// The share of swaps that an update made is in its [`super::Report`], and a metric ([`crate::train::SwapRate`]); rates by
/// pair are those of the tempering, which can be read, and its ladder evened, between two calls of
/// [`crate::train::Fit::run`]:
///
/// ```
/// use harmonium::{Energy, data::bars_and_stripes, models::Rbm, objectives::Contrastive, optim::Sgd};
/// use harmonium::{samplers::Tempering, train::{Fit, Run, Silent}, units::Bernoulli};
/// let data = bars_and_stripes(3)?.patterns;
/// let mut rbm = Rbm::new((9, Bernoulli), (8, Bernoulli));
/// let tempering = Tempering::new(&rbm, Tempering::linear(4, 0.0), vec![0.0; rbm.n_rows()], 50, 1)?;
/// let (mut tempered, mut sgd, mut silent) = (Contrastive::tempered(1, tempering), Sgd::default(), Silent);
/// let mut step = 0;
/// for epochs in [10, 20] {
///     let mut run = Run { step, ..Run::new(&mut rbm, &mut tempered, &mut sgd, &mut silent) };
///     Fit { epochs, batch: 14, ..Fit::default() }.run(&mut run, &data)?;
///     step = run.step;
///     println!("{:?}", tempered.negative.tempering.swap_rates());
///     tempered.negative.tempering.tune()?;
/// }
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tempered<K = BlockGibbs> {
    /// The replicas, and how they move.
    pub tempering: Tempering<K>,
    /// How often all of them advance in an update, by step; rounded to whole numbers.
    pub k: Schedule,
}

impl<M: Marginal + ?Sized, K: for<'a> Kernel<Annealed<'a, M>>> Negative<M> for Tempered<K> {
    fn draw<'s>(&'s mut self, model: &M, _: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>> {
        check_states(model, self.tempering.states(0))?;
        let mut done = Advance::default();
        for _ in 0..times(self.k, batch.step)? {
            let Advance { moves, swaps } = self.tempering.advance(model);
            done = Advance { moves: done.moves + moves, swaps: done.swaps + swaps };
        }
        let Advance { moves, swaps } = done;
        Ok(Negatives { states: self.tempering.cold_mut(), weights: None, moves, swaps })
    }
    fn learned(&mut self, _: &Params) {}
}
impl<K> Resume for Tempered<K> {
    fn save(&self, to: &mut Saved) {
        self.tempering.save(to.child_mut("tempering"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.tempering.load(from.child("tempering")?)
    }
}
