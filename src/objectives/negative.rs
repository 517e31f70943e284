//! Where the negative states come from: the only difference between CD, PCD and the exact gradient.
//!
//! How far chains go in an update, the `k` of CD-k and PCD-k, is a schedule: constant, or rising as mixing slows down
//! (Salakhutdinov and Murray 2008: from 1 to 25).

use crate::optim::Schedule;
use crate::rng::{Streams, derive};
use crate::samplers::{Chains, Kernel, Moves};
use crate::sweep::first_group;
use crate::{Batch, Configurations, Energy, Error, Gibbs, Marginal, Mat, Params, Result, Resume, Saved, Slab, States};

/// States with weights (of any positive sum) that stand for the model's distribution.
#[derive(Debug)]
pub struct Negatives<'a> {
    /// The states.
    pub states: &'a mut States,
    /// One weight a state; all the same if there are none.
    pub weights: Option<&'a [f32]>,
    /// What the chains did.
    pub moves: Moves,
    /// Swaps between temperatures, where there are some.
    pub swaps: Moves,
}

/// A source of negative states.
pub trait Negative<M: ?Sized>: Resume {
    /// States distributed (nearly) as the model; `positive` is the data phase with its cached fields.
    ///
    /// # Errors
    /// If there are no states, or they are those of another model.
    fn draw<'s>(&'s mut self, model: &M, positive: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>>;
    /// Is shown the gradient of the loss that was made of the states, as the model will learn from it: centred, if it is.
    fn learned(&mut self, gradient: &Params);
}

/// Negative states that are where chains of the last update ended.
pub trait Ends {
    /// Those states.
    fn ends(&self) -> &States;
}

/// A kernel so many times.
pub(super) struct Repeated<'a, K> {
    pub(super) kernel: &'a K,
    pub(super) times: usize,
}
impl<M: ?Sized, K: Kernel<M>> Kernel<M> for Repeated<'_, K> {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        (0..self.times).map(|_| self.kernel.advance(model, slab, rng)).sum()
    }
}

/// `k` at a step, rounded to whole numbers.
pub(super) fn times(k: Schedule, step: u64) -> Result<usize> {
    match k.at(step) {
        k if k.is_finite() && k >= 0.0 => Ok(k.round() as usize),
        k => Err(Error::value(format!("k at step {step}"), "a number, at least 0", k)),
    }
}

/// Whether there are states, of the model's height.
pub(super) fn check_states<M: Energy + ?Sized>(model: &M, states: &States) -> Result<()> {
    match states.x().shape() {
        (_, 0) => Err(Error::value("the number of chains", "at least 1", 0)),
        (rows, _) if rows != model.n_rows() => Err(Error::shape("rows of the chains", model.n_rows(), rows)),
        _ => Ok(()),
    }
}

/// Chains that start at the data and reuse its hidden field: CD-k. They keep the weights of their data.
#[derive(Clone, Debug)]
pub struct FromData<K> {
    /// How the chains move.
    pub kernel: K,
    /// How often, by step; rounded to whole numbers.
    pub k: Schedule,
    chains: Chains,
}
impl<K> FromData<K> {
    /// Chains that `kernel` moves once an update.
    pub fn new(kernel: K, seed: u64) -> Self {
        let chains = Chains::new(Mat::zeros(0, 0), derive(seed, "negative phase"));
        Self { kernel, k: Schedule::Constant(1.0), chains }
    }
}
impl<K> Ends for FromData<K> {
    fn ends(&self) -> &States {
        &self.chains.states
    }
}
impl<K> Ends for Persistent<K> {
    fn ends(&self) -> &States {
        &self.chains.states
    }
}
impl<M: Energy + ?Sized, K: Kernel<M>> Negative<M> for FromData<K> {
    fn draw<'s>(&'s mut self, model: &M, positive: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>> {
        let kernel = Repeated { kernel: &self.kernel, times: times(self.k, batch.step)? };
        self.chains.restart(model, positive);
        let moves = self.chains.advance(&kernel, model);
        let swaps = Moves::default();
        Ok(Negatives { states: &mut self.chains.states, weights: Some(batch.weights), moves, swaps })
    }
    fn learned(&mut self, _: &Params) {}
}
/// Their streams alone: the chains start anew at every batch.
impl<K> Resume for FromData<K> {
    fn save(&self, to: &mut Saved) {
        self.chains.streams().save(to.child_mut("from data"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.chains.streams_mut().load(from.child("from data")?)
    }
}

/// Chains that go on from where they were: PCD-k (stochastic maximum likelihood).
///
/// Any [`Kernel`] moves them, for instance one that goes through the blocks there and back:
///
/// ```
/// use harmonium::{Chains, Gibbs, Slab, Streams, models::Rbm, units::Bernoulli};
/// use harmonium::objectives::{Contrastive, Persistent};
/// use harmonium::samplers::{BlockGibbs, Kernel, Moves};
/// struct ThereAndBack;
/// impl<M: Gibbs> Kernel<M> for ThereAndBack {
///     fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
///         let passes = [BlockGibbs::new(1), BlockGibbs::backward(1)];
///         passes.iter().map(|pass| pass.advance(model, slab, rng)).sum()
///     }
/// }
/// let rbm = Rbm::new((9, Bernoulli), (8, Bernoulli));
/// harmonium::laws::no_drift(&Rbm::new((4, Bernoulli), (3, Bernoulli)), &ThereAndBack, 1)?; // it is a kernel
/// let mut pcd = Contrastive::new(Persistent::new(ThereAndBack, Chains::zeros(&rbm, 100, 1)));
/// # use harmonium::{Batch, Learn, Mat, objectives::Objective};
/// # let x = Mat::zeros(9, 5);
/// # let batch = Batch { x: x.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
/// # pcd.gradient(&rbm, &batch, &mut rbm.params().zeros_like())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Persistent<K> {
    /// How the chains move.
    pub kernel: K,
    /// How often in an update, by step; rounded to whole numbers.
    pub k: Schedule,
    /// The chains.
    pub chains: Chains,
}
impl<K> Persistent<K> {
    /// Chains that `kernel` moves once an update.
    pub fn new(kernel: K, chains: Chains) -> Self {
        Self { kernel, k: Schedule::Constant(1.0), chains }
    }
}
impl<M: Energy + ?Sized, K: Kernel<M>> Negative<M> for Persistent<K> {
    fn draw<'s>(&'s mut self, model: &M, _: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>> {
        check_states(model, &self.chains.states)?;
        let kernel = Repeated { kernel: &self.kernel, times: times(self.k, batch.step)? };
        let moves = self.chains.advance(&kernel, model);
        Ok(Negatives { states: &mut self.chains.states, weights: None, moves, swaps: Moves::default() })
    }
    fn learned(&mut self, _: &Params) {}
}
impl<K> Resume for Persistent<K> {
    fn save(&self, to: &mut Saved) {
        self.chains.save(to.child_mut("chains"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.chains.load(from.child("chains")?)
    }
}

/// All states of the units that [`crate::Phase::Model`] does not average out, weighted by their exact probability.
#[derive(Clone, Debug)]
pub struct Enumerated {
    summed: Vec<usize>,
    states: States,
    energies: Vec<f64>,
    weights: Vec<f32>,
}
impl Enumerated {
    /// The most states that are enumerated.
    pub const LIMIT: u64 = 1 << 20;

    /// All states of a model's blocks but those of the first group.
    ///
    /// # Errors
    /// [`crate::Error::Intractable`] if there are more than [`Enumerated::LIMIT`], or infinitely many.
    pub fn new<M: Gibbs + ?Sized>(model: &M) -> Result<Self> {
        let summed = first_group(model);
        let kept: Vec<usize> = (0..model.blocks().len()).filter(|b| !summed.contains(b)).collect();
        let states = Configurations::new(model, &kept)?.all(Self::LIMIT)?;
        Ok(Self { summed, states: States::new(states), energies: vec![], weights: vec![] })
    }
}
impl<M: Marginal + ?Sized> Negative<M> for Enumerated {
    fn draw<'s>(&'s mut self, model: &M, _: &States, _: &'s Batch<'_>) -> Result<Negatives<'s>> {
        check_states(model, &self.states)?;
        self.energies.resize(self.states.ncols(), 0.0);
        model.energy_without(&self.summed, self.states.x(), &mut self.energies);
        let lowest = self.energies.iter().copied().fold(f64::INFINITY, f64::min);
        self.weights.clear();
        self.weights.extend(self.energies.iter().map(|e| (lowest - e).exp() as f32));
        let (moves, swaps) = (Moves::default(), Moves::default());
        Ok(Negatives { states: &mut self.states, weights: Some(&self.weights), moves, swaps })
    }
    fn learned(&mut self, _: &Params) {}
}
impl Resume for Enumerated {
    /// It has no state.
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
