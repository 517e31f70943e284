//! Where the negative states come from: the only difference between CD, PCD and the exact gradient.

use crate::rng::derive;
use crate::samplers::{Chains, Kernel, Moves};
use crate::sweep::first_group;
use crate::{Batch, Configurations, Energy, Error, Gibbs, Marginal, Mat, Result, Resume, Saved, States};

/// States with weights (of any positive sum) that stand for the model's distribution.
#[derive(Debug)]
pub struct Negatives<'a> {
    /// The states.
    pub states: &'a mut States,
    /// One weight a state; all the same if there are none.
    pub weights: Option<&'a [f32]>,
    /// What the chains did.
    pub moves: Moves,
}

/// A source of negative states.
pub trait Negative<M: ?Sized>: Resume {
    /// States distributed (nearly) as the model; `positive` is the data phase with its cached fields.
    ///
    /// # Errors
    /// If there are no states, or they are those of another model.
    fn draw<'s>(&'s mut self, model: &M, positive: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>>;
}

/// Whether there are states, of the model's height.
fn check_states<M: Energy + ?Sized>(model: &M, states: &States) -> Result<()> {
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
    chains: Chains,
}
impl<K> FromData<K> {
    /// Chains that move by `kernel`.
    pub fn new(kernel: K, seed: u64) -> Self {
        Self { kernel, chains: Chains::new(Mat::zeros(0, 0), derive(seed, "negative phase")) }
    }
}
impl<M: Energy + ?Sized, K: Kernel<M>> Negative<M> for FromData<K> {
    fn draw<'s>(&'s mut self, model: &M, positive: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>> {
        self.chains.restart(model, positive);
        let moves = self.chains.advance(&self.kernel, model);
        Ok(Negatives { states: &mut self.chains.states, weights: Some(batch.weights), moves })
    }
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
#[derive(Clone, Debug)]
pub struct Persistent<K> {
    /// How the chains move.
    pub kernel: K,
    /// The chains.
    pub chains: Chains,
}
impl<M: Energy + ?Sized, K: Kernel<M>> Negative<M> for Persistent<K> {
    fn draw<'s>(&'s mut self, model: &M, _: &States, _: &'s Batch<'_>) -> Result<Negatives<'s>> {
        check_states(model, &self.chains.states)?;
        let moves = self.chains.advance(&self.kernel, model);
        Ok(Negatives { states: &mut self.chains.states, weights: None, moves })
    }
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
        Ok(Negatives { states: &mut self.states, weights: Some(&self.weights), moves: Moves::default() })
    }
}
impl Resume for Enumerated {
    /// It has no state.
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
