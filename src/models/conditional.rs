//! The conditional RBM: inputs shift the biases of both layers, so that the machine is a distribution of the visible units for every
//! input. It predicts with uncertainty: several answers, where there are several.
//!
//! Nothing is said of how inputs are distributed, and nothing is learned about it.
//!
//! ## References
//! - Taylor, Hinton and Roweis, "Modeling human motion using binary latent variables", 2007.
//! - Mnih, Larochelle and Hinton, "Conditional restricted Boltzmann machines for structured output prediction", 2011.

use super::Rbm;
use crate::linalg::{Working, add_outer, col, dot};
use crate::params::Role;
use crate::{
    Block, Energy, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Result, States, Train, Version,
};
use std::ops::Range;

const INPUT_HIDDEN: usize = 5; // after the slots of an RBM
const INPUT_VISIBLE: usize = 6;

/// `E(v, h | u) = E(v, h) - vᵀAu - hᵀBu`, with `E(v, h)` that of an [`Rbm`]; a state is the inputs `u`, which are given, then the
/// visible rows, then the hidden rows.
///
/// Parameters: those of the RBM, and `input_hidden` B (hidden × inputs), `input_visible` A (visible × inputs).
///
/// Learn it by contrastive divergence: its chains start at the data, and so have their inputs. Persistent chains keep the inputs
/// that they are made with; let those be of many samples ([`crate::Chains::at_visible`]).
///
/// ```
/// use harmonium::{Energy, Learn, models::{ConditionalRbm, Rbm}, units::{Bernoulli, LogPrecision}};
/// let model = ConditionalRbm::new(5, Rbm::new((2, LogPrecision), (20, Bernoulli)));
/// assert_eq!((model.n_given(), model.n_visible(), model.n_rows()), (5, 7, 27));
/// ```
#[derive(Clone, Debug)]
pub struct ConditionalRbm {
    params: Params,
    machine: Rbm, // with the parameters that it shares
    to_hidden: Working,
    to_visible: Working,
    blocks: Vec<Block>,
    inputs: usize,
}

impl ConditionalRbm {
    /// So many inputs to the two layers of a machine, which keeps its parameters; the inputs' weights are zero.
    pub fn new(inputs: usize, machine: Rbm) -> Self {
        let (d, h) = (machine.n_visible(), machine.n_hidden());
        let slots = machine.params().slots().iter().map(|s| (s.name.as_str(), s.role, s.rows, s.columns));
        let own = [("input_hidden", Role::Weights, h, inputs), ("input_visible", Role::Weights, d, inputs)];
        let mut params = Params::zeros(&slots.chain(own).collect::<Vec<_>>());
        let shared = machine.params().as_slice();
        params.as_mut_slice()[..shared.len()].copy_from_slice(shared);
        let shifted = |b: &Block| Block { rows: b.rows.start + inputs..b.rows.end + inputs, ..b.clone() };
        let blocks = machine.blocks().iter().map(shifted).collect();
        let (to_hidden, to_visible) = (Working::zeros(h, inputs), Working::zeros(d, inputs));
        Self { params, machine, to_hidden, to_visible, blocks, inputs }
    }
    /// The machine without its inputs: that of the input 0.
    pub fn machine(&self) -> &Rbm {
        &self.machine
    }
    /// Number of inputs.
    pub fn n_inputs(&self) -> usize {
        self.inputs
    }
    /// A starting point as that of [`Rbm::initialise`], from the means of the visible units; the inputs' weights become zero.
    ///
    /// # Errors
    /// Those of [`Rbm::initialise`].
    pub fn initialise(&mut self, mean: &[f32], smoothing: f32, seed: u64) -> Result<()> {
        let mut machine = self.machine.clone();
        machine.initialise(mean, smoothing, seed)?;
        let shared = machine.params().as_slice();
        self.update(&mut |p| {
            p.as_mut_slice().fill(0.0);
            p.as_mut_slice()[..shared.len()].copy_from_slice(shared);
        });
        Ok(())
    }
    /// What the states hold of the machine.
    fn inner<'x>(&self, x: &'x MatRef<'_>) -> MatRef<'x> {
        x.rows(self.inputs, x.nrows() - self.inputs)
    }
    /// Visible and hidden rows of the states of the machine.
    fn layers(&self) -> [Range<usize>; 2] {
        let (d, h) = (self.machine.n_visible(), self.machine.n_hidden());
        [0..d, d..d + h]
    }
    /// `-Σ wₙ huᵀ`, `-Σ wₙ vuᵀ`
    fn grad_inputs(&self, x: MatRef<'_>, h: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let u = x.rows(0, self.inputs);
        add_outer(-1.0, h, u, weights, grad.slice_mut(INPUT_HIDDEN));
        add_outer(-1.0, x.rows(self.inputs, self.machine.n_visible()), u, weights, grad.slice_mut(INPUT_VISIBLE));
    }
}

impl Energy for ConditionalRbm {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        self.machine.theta(block, given)
    }
    fn n_given(&self) -> usize {
        self.inputs
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// # Panics
    /// If a state has not one row an input and a unit.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        self.energy_at_zero(&[], x, out);
    }
}

impl Gibbs for ConditionalRbm {
    /// `c + Wv + Bu` of hidden rows, `b + Wᵀh + Au` of visible rows.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let rows = rows.start - self.inputs..rows.end - self.inputs;
        self.machine.field(rows.clone(), self.inner(&x), out.as_view_mut());
        let (u, [visible, hidden]) = (x.rows(0, self.inputs), self.layers());
        if rows.start < visible.end {
            self.to_visible.plain().add_to(rows, u, out);
        } else {
            self.to_hidden.plain().add_to(rows.start - hidden.start..rows.end - hidden.start, u, out);
        }
    }
}

impl Marginal for ConditionalRbm {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        self.machine.energy_at_zero(summed, self.inner(&x), out);
        let u = x.rows(0, self.inputs);
        for (layer, weights) in self.layers().into_iter().zip([&self.to_visible, &self.to_hidden]) {
            let within = |b: &usize| layer.contains(&self.machine.blocks()[*b].rows.start);
            let kept: Vec<usize> = (0..self.blocks.len()).filter(|b| within(b) && !summed.contains(b)).collect();
            if kept.is_empty() {
                continue;
            }
            let mut field = Mat::zeros(layer.len(), x.ncols());
            weights.plain().add_to(0..layer.len(), u, field.as_view_mut());
            let field = field.as_view();
            for (j, o) in out.iter_mut().enumerate() {
                for &b in &kept {
                    let own = self.machine.blocks()[b].rows.clone();
                    let field = &col(&field, j)[own.start - layer.start..own.end - layer.start];
                    *o -= dot(field, &col(&x, j)[self.blocks[b].rows.clone()]);
                }
            }
        }
    }
}

impl Learn for ConditionalRbm {
    fn n_visible(&self) -> usize {
        self.inputs + self.machine.n_visible()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        self.machine.biases(block)
    }
    fn infer(&self, states: &mut States) {
        states.x_and_means(self, self.machine.hidden_blocks());
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.machine.grad_params(self.inner(&x), weights, grad);
        self.grad_inputs(x, x.rows(self.n_visible(), self.machine.n_hidden()), weights, grad);
    }
    /// Exact in both phases, which are the same: hidden units are independent given the others and the inputs.
    fn grad_expected(&self, states: &mut States, _: Phase, weights: &[f32], grad: &mut Params) {
        let (x, mean) = states.x_and_means(self, self.machine.hidden_blocks());
        let v = self.inner(&x);
        Rbm::grad_linear(v.rows(0, self.machine.n_visible()), mean, weights, grad);
        self.machine.grad_visible_units(v, weights, grad);
        self.grad_inputs(x, mean, weights, grad);
        self.machine.grad_hidden_units(self, states, weights, grad);
    }
}

impl Train for ConditionalRbm {
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
        let shared = self.machine.params().as_slice().len();
        assert_eq!(self.params.slots().len(), INPUT_VISIBLE + 1, "slots of the parameters");
        let own = &self.params.as_slice()[..shared];
        self.machine.update(&mut |p| p.as_mut_slice().copy_from_slice(own));
        self.to_hidden.copy_from(self.params.mat(INPUT_HIDDEN));
        self.to_visible.copy_from(self.params.mat(INPUT_VISIBLE));
    }
}
