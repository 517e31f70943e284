//! Contrastive learning: the positive and the negative phase are the same average, under the data and under the model.
//!
//! CD, PCD, its fast and tempered kinds and the exact gradient differ in where the negative states come from, and in
//! nothing else.
//!
//! ## References
//! - Ackley, Hinton and Sejnowski, "A learning algorithm for Boltzmann machines", 1985.
//! - Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
//! - Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient", 2008.

use super::{
    Clamped, Coordinates, Energies, Enumerated, FastWeights, Filled, FromData, Negative, Negatives, Objective,
    Persistent, Positive, Report, Sparsity, Standardising, Tempered,
};
use crate::optim::Schedule;
use crate::samplers::{BlockGibbs, Chains, Tempering};
use crate::{Batch, Gibbs, Learn, Params, Result, Resume, Saved, Train};

/// `∇ = ⟨∂E/∂θ⟩_data - ⟨∂E/∂θ⟩_negative`: an estimate of the gradient of the mean of `-log p(v)`.
///
/// Latent units are averaged out in both phases as far as the model knows how, never sampled.
#[derive(Clone, Debug)]
pub struct Contrastive<N, P = Clamped> {
    /// Where the positive states come from.
    pub positive: P,
    /// Where the negative states come from.
    pub negative: N,
    /// What the gradient is with respect to.
    pub coordinates: Coordinates,
    /// What hidden units should be like on average, if anything.
    pub sparsity: Option<Sparsity>,
    /// What is done about the energies of both phases, if anything.
    pub energies: Option<Energies>,
    weights: [Vec<f32>; 2], // of the data and of the negative states
}

impl<N> Contrastive<N> {
    /// Centred, with the sliding factor that [`Centring::default`](super::Centring::default) has, and without a target of
    /// sparsity.
    pub fn new(negative: N) -> Self {
        let (coordinates, positive) = (Coordinates::default(), Clamped::default());
        Self { positive, negative, coordinates, sparsity: None, energies: None, weights: [vec![], vec![]] }
    }
}
impl<N, P> Contrastive<N, P> {
    /// The same for data with missing entries ([`crate::data::Masked`]), which are drawn given the known ones by so many Gibbs
    /// sweeps of every sample, in every update.
    ///
    /// ```
    /// use harmonium::objectives::Contrastive;
    /// let objective = Contrastive::cd(1, 7).filling(10, 7);
    /// ```
    pub fn filling(self, sweeps: usize, seed: u64) -> Contrastive<N, Filled<BlockGibbs>> {
        let Self { negative, coordinates, sparsity, energies, weights, .. } = self;
        Contrastive { positive: Filled::sweeps(sweeps, seed), negative, coordinates, sparsity, energies, weights }
    }
    /// The same with plain gradients, not centred ones.
    pub fn plain(self) -> Self {
        Self { coordinates: Coordinates::Plain, ..self }
    }
    /// The same with standardised gradients, as [`Standardising::default`] makes them.
    pub fn standardised(self) -> Self {
        Self { coordinates: Coordinates::Standardised(Standardising::default()), ..self }
    }
    /// The same with the energies of both phases watched, and kept small if [`Energies::penalty`] says so: for energies without latent
    /// units, such as networks.
    pub fn watched(self, energies: Energies) -> Self {
        Self { energies: Some(energies), ..self }
    }
    /// The same with a target for the mean activity of hidden units.
    pub fn sparse(self, sparsity: Sparsity) -> Self {
        Self { sparsity: Some(sparsity), ..self }
    }
}
impl Contrastive<FromData<BlockGibbs>> {
    /// CD-k: `k` sweeps that start at the data. Centred: [`Contrastive::plain`] gives the textbook gradient.
    ///
    /// Negative visible units are sampled, never replaced by their means. With `k = 0` the two phases cancel.
    ///
    /// `k` may rise over a run, for PCD as well:
    ///
    /// ```
    /// use harmonium::{objectives::Contrastive, optim::Schedule};
    /// let mut cd = Contrastive::cd(1, 1);
    /// cd.negative.k = Schedule::Linear { from: 1.0, to: 25.0, steps: 150_000 };
    /// ```
    pub fn cd(k: usize, seed: u64) -> Self {
        let mut from_data = FromData::new(BlockGibbs::new(1), seed);
        from_data.k = Schedule::Constant(k as f32);
        Self::new(from_data)
    }
}
impl Contrastive<Persistent<BlockGibbs>> {
    /// PCD-k: `k` sweeps of each of these chains, which go on from update to update.
    ///
    /// For an RBM, a sweep draws v given h, then h given v, so that the last field computed is the one that the gradient
    /// needs. Centred: [`Contrastive::plain`] gives the textbook gradient.
    pub fn pcd(k: usize, chains: Chains) -> Self {
        Self::new(persistent(k, chains))
    }
}
fn persistent(k: usize, chains: Chains) -> Persistent<BlockGibbs> {
    Persistent { k: Schedule::Constant(k as f32), ..Persistent::new(BlockGibbs::backward(1), chains) }
}
impl<M: Train + Clone> Contrastive<FastWeights<M>> {
    /// Fast PCD-k: as [`Contrastive::pcd`], but the chains move under the sum of the parameters and of fast weights, which
    /// learn at the constant rate `rate` from the same gradient, and decay by [`FastWeights::DECAY`] an update.
    ///
    /// ```
    /// use harmonium::{Chains, models::Rbm, objectives::Contrastive, units::Bernoulli};
    /// let rbm = Rbm::new((9, Bernoulli), (8, Bernoulli));
    /// let fpcd = Contrastive::fpcd(&rbm, 1, Chains::zeros(&rbm, 100, 1), 0.05);
    /// ```
    pub fn fpcd(model: &M, k: usize, chains: Chains, rate: f32) -> Self {
        Self::new(FastWeights::new(model, persistent(k, chains), rate))
    }
}
impl<K> Contrastive<Tempered<K>> {
    /// PCD whose negative states are those at `β = 1` of parallel tempering, which advances `k` times an update.
    ///
    /// ```
    /// use harmonium::{Energy, models::Rbm, objectives::Contrastive, samplers::Tempering, units::Bernoulli};
    /// let rbm = Rbm::new((9, Bernoulli), (8, Bernoulli));
    /// let base = vec![0.0; rbm.n_rows()];
    /// let tempering = Tempering::new(&rbm, Tempering::linear(10, 0.0), base, 100, 1)?;
    /// let tempered = Contrastive::tempered(1, tempering);
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn tempered(k: usize, tempering: Tempering<K>) -> Self {
        Self::new(Tempered { tempering, k: Schedule::Constant(k as f32) })
    }
}
impl Contrastive<Enumerated> {
    /// The exact gradient, by summing over all states: the oracle of the others, for small machines of discrete units.
    ///
    /// # Errors
    /// [`crate::Error::Intractable`] if there are too many states to sum, or infinitely many.
    pub fn exact<M: Gibbs + ?Sized>(model: &M) -> Result<Self> {
        Ok(Self::new(Enumerated::new(model)?))
    }
}

/// `out = sign · wₙ / Σ w` for `n` states; zero if all weights are.
fn normalise(sign: f64, n: usize, weights: Option<&[f32]>, out: &mut Vec<f32>) {
    out.clear();
    match weights {
        None => out.resize(n, (sign / n as f64) as f32),
        Some(weights) => {
            let total: f64 = weights.iter().map(|&w| w as f64).sum();
            let scale = if total == 0.0 { 0.0 } else { sign / total };
            out.extend(weights.iter().map(|&w| (w as f64 * scale) as f32));
        }
    }
}

impl<M: Learn + ?Sized, N: Negative<M>, P: Positive<M>> Objective<M> for Contrastive<N, P> {
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.coordinates.check(model)?;
        self.sparsity.iter().try_for_each(|s| s.check(model))?;
        if batch.weights.iter().all(|&w| w == 0.0) {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default()); // the negative phase must not push alone
        }
        let positive = self.positive.draw(model, batch)?;
        model.infer(positive);
        let Negatives { states, weights, moves, swaps } = self.negative.draw(model, positive, batch)?;
        let [data_weights, model_weights] = &mut self.weights;
        normalise(1.0, batch.x.ncols(), Some(batch.weights), data_weights);
        normalise(-1.0, states.ncols(), weights, model_weights);
        let gap = match &mut self.energies {
            Some(e) => Some(e.weigh(model, (&*positive, data_weights), (&*states, model_weights), batch.step)?),
            None => None,
        };
        let mut observe = |data: &Params| {
            self.coordinates.observe(data);
            self.sparsity.iter_mut().for_each(|s| s.observe(model, data));
        };
        if self.energies.as_ref().is_some_and(|e| e.penalty > 0.0) {
            // The penalty weighs states as they are, of which nothing may be averaged out.
            grad.as_mut_slice().fill(0.0);
            model.grad_params(positive.x(), data_weights, grad);
            observe(grad);
            model.grad_params(states.x(), model_weights, grad);
        } else {
            model.grad_contrast((positive, data_weights), (states, model_weights), grad, &mut observe);
        }
        self.coordinates.carry(model, (positive, data_weights), grad)?;
        if let Some(sparsity) = &self.sparsity {
            sparsity.add(model, self.coordinates.gains(), grad);
        }
        self.negative.learned(grad);
        Ok(Report { loss: None, moves, swaps, gap })
    }
}

impl<N: Resume, P: Resume> Resume for Contrastive<N, P> {
    fn save(&self, to: &mut Saved) {
        self.positive.save(to);
        self.negative.save(to.child_mut("negative"));
        self.coordinates.save(to);
        if let Some(sparsity) = &self.sparsity {
            sparsity.save(to.child_mut("sparsity"));
        }
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.coordinates.load(from)?;
        if let Some(sparsity) = &mut self.sparsity {
            sparsity.load(from.child("sparsity")?)?;
        }
        self.positive.load(from)?;
        self.negative.load(from.child("negative")?)
    }
}
