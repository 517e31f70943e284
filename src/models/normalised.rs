//! An energy with its log-partition as a parameter: `E(x) = E_M(x) + c`, so that `exp(-E)` itself is meant to be the density.
//!
//! Only objectives that tell whether the density sums to one can learn `c`: noise-contrastive estimation
//! ([`crate::objectives::NoiseContrastive`]). For all others it changes nothing, and has no gradient.
//!
//! ## References
//! - Gutmann and Hyvärinen, "Noise-contrastive estimation: a new estimation principle for unnormalized statistical models", 2010.

use crate::linalg::axpy;
use crate::params::Role;
use crate::{
    Block, Curved, Directional, Energy, Gibbs, Learn, Marginal, MatMut, MatRef, Params, Phase, Response, Score, Slab,
    States, Train, Version, Weigh,
};
use std::ops::Range;

/// `E(x) = E_M(x) + c` with a model `M` and a number `c` for its log-partition; `log p(x) = -E(x)`, as far as `c` is right.
///
/// Parameters: those of the model, and `log_partition` c.
///
/// ```
/// use harmonium::{Energy, Mat, models::{Boltzmann, Normalised}, units::Spin};
/// let mut density = Normalised::new(Boltzmann::new((3, Spin))); // all of the 8 states have the same probability
/// density.set_log_partition(8f32.ln());
/// let mut energy = [0.0];
/// density.energy(Mat::from_element(3, 1, 1.0).as_view(), &mut energy);
/// assert!((energy[0] - 8f64.ln()).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Normalised<M> {
    model: M,
    params: Params, // those of the model, then `c`
}

impl<M: Train> Normalised<M> {
    /// The model with `c = 0`.
    pub fn new(model: M) -> Self {
        let own = model.params();
        let slots = own.slots().iter().map(|s| (s.name.as_str(), s.role, s.rows, s.columns));
        let mut params = Params::zeros(&slots.chain([("log_partition", Role::Unit, 1, 1)]).collect::<Vec<_>>());
        params.as_mut_slice()[..own.as_slice().len()].copy_from_slice(own.as_slice());
        Self { model, params }
    }
    /// The model, which knows nothing of `c`.
    pub fn model(&self) -> &M {
        &self.model
    }
    /// The model alone, as it is now.
    pub fn into_model(self) -> M {
        self.model
    }
    /// `c`
    pub fn log_partition(&self) -> f32 {
        self.params.as_slice()[self.shared()]
    }
    /// Sets `c`.
    pub fn set_log_partition(&mut self, c: f32) {
        let place = self.shared();
        self.update(&mut |p| p.as_mut_slice()[place] = c);
    }
    /// How many parameters are the model's.
    fn shared(&self) -> usize {
        self.params.as_slice().len() - 1
    }
    /// Adds to `grad` what `f` adds to a gradient of the model, and the derivative by `c`.
    fn add(&self, weights: &[f32], grad: &mut Params, f: impl FnOnce(&mut Params)) {
        let (mut own, n) = (self.model.params().zeros_like(), self.shared());
        f(&mut own);
        let grad = grad.as_mut_slice();
        axpy(1.0, own.as_slice(), &mut grad[..n]);
        grad[n] += weights.iter().map(|w| f64::from(*w)).sum::<f64>() as f32;
    }
    fn raise(&self, energies: &mut [f64]) {
        let c = f64::from(self.log_partition());
        energies.iter_mut().for_each(|e| *e += c);
    }
}

impl<M: Train> Energy for Normalised<M> {
    fn blocks(&self) -> &[Block] {
        self.model.blocks()
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        self.model.theta(block, given)
    }
    fn n_given(&self) -> usize {
        self.model.n_given()
    }
    fn n_rows(&self) -> usize {
        self.model.n_rows()
    }
    /// The model's: fields do not know of `c`, and whatever changes `c` updates the model as well.
    fn version(&self) -> Version {
        self.model.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.model.energy(x, out);
        self.raise(out);
    }
}
impl<M: Train + Gibbs> Gibbs for Normalised<M> {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        self.model.field(rows, x, out);
    }
    fn sweep(&self, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        self.model.sweep(slab, response);
    }
}
impl<M: Train + Score> Score for Normalised<M> {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.model.grad_x(x, out);
    }
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], out: MatMut<'_>) {
        self.model.energy_and_grad_x(x, energies, out);
        self.raise(energies);
    }
}
impl<M: Train + Marginal> Marginal for Normalised<M> {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        self.model.energy_at_zero(summed, x, out);
        self.raise(out);
    }
    fn energy_without(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        self.model.energy_without(summed, x, out);
        self.raise(out);
    }
}
impl<M: Train> Learn for Normalised<M> {
    fn n_visible(&self) -> usize {
        self.model.n_visible()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        self.model.biases(block)
    }
    fn infer(&self, states: &mut States) {
        self.model.infer(states);
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.add(weights, grad, |own| self.model.grad_params(x, weights, own));
    }
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        self.add(weights, grad, |own| self.model.grad_expected(states, phase, weights, own));
    }
}
impl<M: Train + Directional> Directional for Normalised<M> {
    fn grad_slopes(&self, x: MatRef<'_>, u: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.add(&[], grad, |own| self.model.grad_slopes(x, u, weights, own));
    }
}
impl<M: Train + Curved> Curved for Normalised<M> {
    fn grad_curvatures(&self, x: MatRef<'_>, u: MatRef<'_>, weigh: &Weigh<'_>, grad: &mut Params) {
        self.add(&[], grad, |own| self.model.grad_curvatures(x, u, weigh, own));
    }
}
impl<M: Train> Train for Normalised<M> {
    fn architecture(&self) -> String {
        self.model.architecture()
    }
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        let n = self.shared();
        let own = &self.params.as_slice()[..n];
        self.model.update(&mut |p| p.as_mut_slice().copy_from_slice(own));
        // The model may have restored what it demands of its parameters.
        self.params.as_mut_slice()[..n].copy_from_slice(self.model.params().as_slice());
    }
}
