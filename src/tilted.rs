//! A machine that can be swept, times what an energy of its visible units makes of it: `p(v, h) ∝ exp(-E_M(v, h) - f(v))`, the machine's
//! distribution tilted by `e^{-f}`.
//!
//! A network is slow to sample, for it gives no field; a machine gives one, but its energy is of one form. Tilted, the machine stays what
//! proposes ([`crate::samplers::MetropolisGibbs`]) and what annealing goes along ([`crate::eval::bracket_tilted`]), and the network corrects
//! what it gets wrong. Of what the machine cannot say at all, such as a mode that it has not, it is no cure: proposals do not go there.
//!
//! ## References
//! - Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
//! - Xiao, Kreis, Kautz and Vahdat, "VAEBM: a symbiosis between variational autoencoders and energy-based models", 2021 (an energy times
//!   a model that can be sampled, and learned after it).

use crate::linalg::axpy;
use crate::params::Role;
use crate::sweep::energies_without;
use crate::units::label;
use crate::{Block, Energy, Error, Learn, Marginal, MatRef, Params, Phase, Result, States, Train, Version};
use std::ops::Range;

/// `E(v, h) = E_M(v, h) + f(v)` of a machine `M` whose visible units are independent given the latent ones, and these given the visible
/// ones; `f` is any energy of the visible rows, all of which counts, what its units bring too.
///
/// A state is one of the machine. Parameters: those of the machine, then those of the tilt, whose names begin with `tilt.`.
///
/// ```
/// use harmonium::models::{Rbm, neural::{Activation, NeuralEnergy}};
/// use harmonium::{Chains, Learn, Tilted, samplers::MetropolisGibbs, units::Bernoulli};
/// use std::sync::Arc;
/// let rbm = Rbm::new((8, Bernoulli), (3, Bernoulli));
/// let network = NeuralEnergy::new(0, &[(8, Arc::new(Bernoulli))], &[(5, Activation::Silu)]); // zero, as yet
/// let model = Tilted::new(rbm, network)?;
/// let mut chains = Chains::zeros(&model, 100, 1);
/// assert_eq!(chains.advance(&MetropolisGibbs::new(10), &model).rate(), 1.0); // no proposal is wrong
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tilted<M, F> {
    machine: M,
    tilt: F,
    params: Params,
}

impl<M: Marginal + Train, F: Train> Tilted<M, F> {
    /// The machine, tilted.
    ///
    /// # Errors
    /// [`Error::Shape`] if the tilt has not the visible units of the machine in the same rows; [`Error::Value`] if the machine's visible
    /// units, or its latent ones, are not all of one group, or it has given rows.
    pub fn new(machine: M, tilt: F) -> Result<Self> {
        let d = machine.n_visible();
        let units = |blocks: &[Block]| {
            let own = blocks.iter().filter(|b| b.rows.end <= d);
            own.map(|b| format!("{} in rows {:?}", label(&*b.unit), b.rows)).collect::<Vec<_>>().join(", ")
        };
        let (expected, got) = (units(machine.blocks()), units(tilt.blocks()));
        if expected != got || tilt.n_rows() != d {
            return Err(Error::shape("units of a tilt", expected, format!("{got}; {} rows in all", tilt.n_rows())));
        }
        let of_one_group = |visible: bool| {
            let mut blocks = machine.blocks().iter().filter(|b| (b.rows.end <= d) == visible);
            let first = blocks.next().map(|b| b.group);
            blocks.all(|b| Some(b.group) == first)
        };
        if machine.n_given() > 0 || !of_one_group(true) || !of_one_group(false) {
            let expected = "two layers, each of which is independent given the other, and no inputs";
            return Err(Error::value("a machine to be tilted", expected, "another"));
        }
        let mut slots: Vec<_> =
            machine.params().slots().iter().map(|s| (s.name.clone(), s.role, s.rows, s.columns)).collect();
        slots.extend(tilt.params().slots().iter().map(|s| {
            // Slots of biases have other numbers here: no coordinates are carried to the weights of a tilt.
            let role = if s.role.is_weights() { Role::Weights } else { s.role };
            (format!("tilt.{}", s.name), role, s.rows, s.columns)
        }));
        let slots: Vec<_> = slots.iter().map(|(name, role, r, c)| (&**name, *role, *r, *c)).collect();
        let mut tilted = Self { machine, tilt, params: Params::zeros(&slots) };
        tilted.collect();
        Ok(tilted)
    }
    /// Takes over the parameters of both.
    fn collect(&mut self) {
        let (of_machine, of_tilt) = self.params.as_mut_slice().split_at_mut(self.machine.params().as_slice().len());
        of_machine.copy_from_slice(self.machine.params().as_slice());
        of_tilt.copy_from_slice(self.tilt.params().as_slice());
    }
    /// `F(v) + f(v)` of visible × samples, in nats: latent units summed out.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit.
    pub fn free_energy(&self, v: MatRef<'_>) -> Result<Vec<f64>> {
        if v.nrows() != self.machine.n_visible() {
            return Err(Error::shape("rows of samples", self.machine.n_visible(), v.nrows()));
        }
        let (mut all, mut tilts) = (energies_without(&self.machine, &self.latent(), v)?, vec![0.0; v.ncols()]);
        self.tilt.energy(v, &mut tilts);
        all.iter_mut().zip(tilts).for_each(|(a, t)| *a += t);
        Ok(all)
    }
    /// The machine's latent blocks.
    pub(crate) fn latent(&self) -> Vec<usize> {
        let d = self.machine.n_visible();
        (0..self.machine.blocks().len()).filter(|&b| self.machine.blocks()[b].rows.start >= d).collect()
    }
    /// Adds what was found for the machine's and the tilt's own parameters.
    fn add(&self, of_machine: &Params, of_tilt: &Params, grad: &mut Params) {
        let n = of_machine.as_slice().len();
        let (first, second) = grad.as_mut_slice().split_at_mut(n);
        axpy(1.0, of_machine.as_slice(), first);
        axpy(1.0, of_tilt.as_slice(), second);
    }
}
impl<M, F> Tilted<M, F> {
    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }
    /// `f`
    pub fn tilt(&self) -> &F {
        &self.tilt
    }
}

impl<M: Marginal + Train, F: Train> Energy for Tilted<M, F> {
    fn blocks(&self) -> &[Block] {
        self.machine.blocks()
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        self.machine.theta(block, given)
    }
    fn n_rows(&self) -> usize {
        self.machine.n_rows()
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let mut tilts = vec![0.0; out.len()];
        self.machine.energy(x, out);
        self.tilt.energy(x.rows(0, self.machine.n_visible()), &mut tilts);
        out.iter_mut().zip(tilts).for_each(|(o, t)| *o += t);
    }
}
/// What the machine averages out, a tilt does not touch.
impl<M: Marginal + Train, F: Train> Learn for Tilted<M, F> {
    fn n_visible(&self) -> usize {
        self.machine.n_visible()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        self.machine.biases(block) // whose parameters come first
    }
    fn infer(&self, states: &mut States) {
        self.machine.infer(states);
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let (mut own, mut tilt) = (self.machine.params().zeros_like(), self.tilt.params().zeros_like());
        self.machine.grad_params(x, weights, &mut own);
        self.tilt.grad_params(x.rows(0, self.n_visible()), weights, &mut tilt);
        self.add(&own, &tilt, grad);
    }
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        let (mut own, mut tilt) = (self.machine.params().zeros_like(), self.tilt.params().zeros_like());
        self.tilt.grad_params(states.x().rows(0, self.n_visible()), weights, &mut tilt);
        self.machine.grad_expected(states, phase, weights, &mut own);
        self.add(&own, &tilt, grad);
    }
    /// The machine's own pass over both phases.
    fn grad_contrast(
        &self,
        (data, data_weights): (&mut States, &[f32]),
        (model, model_weights): (&mut States, &[f32]),
        grad: &mut Params,
        between: &mut dyn FnMut(&Params),
    ) {
        let d = self.n_visible();
        let (mut own, mut tilt) = (self.machine.params().zeros_like(), self.tilt.params().zeros_like());
        self.tilt.grad_params(data.x().rows(0, d), data_weights, &mut tilt);
        let n = own.as_slice().len();
        self.machine.grad_contrast((data, data_weights), (model, model_weights), &mut own, &mut |of_data| {
            let (first, second) = grad.as_mut_slice().split_at_mut(n);
            first.copy_from_slice(of_data.as_slice());
            second.copy_from_slice(tilt.as_slice());
            between(grad);
        });
        self.tilt.grad_params(model.x().rows(0, d), model_weights, &mut tilt);
        let (first, second) = grad.as_mut_slice().split_at_mut(n);
        first.copy_from_slice(own.as_slice());
        second.copy_from_slice(tilt.as_slice());
    }
}
impl<M: Marginal + Train, F: Train> Train for Tilted<M, F> {
    fn architecture(&self) -> String {
        format!("{} tilted by: {}", self.machine.architecture(), self.tilt.architecture())
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
        let (of_machine, of_tilt) = self.params.as_slice().split_at(self.machine.params().as_slice().len());
        self.machine.update(&mut |p| p.as_mut_slice().copy_from_slice(of_machine));
        self.tilt.update(&mut |p| p.as_mut_slice().copy_from_slice(of_tilt));
        self.collect();
    }
}
