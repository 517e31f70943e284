//! A dense network as an energy: `E(x | u) = U(x; θ) - bᵀx + f(u, x)`.
//!
//! What the units bring, `U(x; θ) - bᵀx`, is the base measure: independent units, Gaussian, bits or numbers within 0..1, of which the
//! network makes something else; annealing begins there. The network's output is a number that may be anything. With several outputs it is
//! a classifier whose logits are an energy too, `f = -log Σ exp`: see [`super::JointEnergy`].
//!
//! It is no [`crate::Gibbs`] model, for all of its units depend on each other: gradient samplers move it. Layers and images in two
//! dimensions are for the feature `candle`.
//!
//! ## References
//! - LeCun, Chopra, Hadsell, Ranzato and Huang, "A tutorial on energy-based learning", 2006.
//! - Du and Mordatch, "Implicit generation and modeling with energy based models", 2019.

use super::head::Head;
use super::spectral::limit_spectral_norm;
use super::tape::{Along, Tape};
use super::{Activation, Mlp};
use crate::linalg::{add_columns, col, dot, transpose_to};
use crate::models::{Kind, grad_theta};
use crate::params::Role;
use crate::{Block, Energy, Error, Learn, Mat, MatMut, MatRef, Params, Result, Score, Train, Version};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Samples that one thread takes through the network at a time.
pub(super) const CHUNK: usize = 64;

thread_local! {
    /// What passes keep, from call to call, so that they allocate nothing. Taken while in use: a thread that waits may begin another.
    static TAPE: Cell<Tape> = Cell::default();
    static TAPES: Cell<Vec<Tape>> = const { Cell::new(Vec::new()) };
}

/// `E(x | u) = U(x; θ) - bᵀx + f(u, x)` with a network `f` of smooth activations; a state is the inputs `u`, if there are some, which are
/// given, then the units `x`.
///
/// Parameters: those of the [`Mlp`], and `visible_bias` b and `visible_theta` (the units' own).
///
/// ```
/// use harmonium::models::neural::{Activation, NeuralEnergy};
/// use harmonium::{Energy, Mat, Score, units::Gaussian};
/// use std::sync::Arc;
/// let mut model = NeuralEnergy::new(0, &[(2, Arc::new(Gaussian))], &[(8, Activation::Silu), (8, Activation::Silu)]);
/// model.initialise(&[], 1)?;
/// let (x, mut energies, mut slopes) = (Mat::from_element(2, 3, 0.5), [0.0; 3], Mat::zeros(2, 3));
/// model.energy_and_grad_x(x.as_view(), &mut energies, slopes.as_view_mut());
/// assert!(energies.iter().all(|e| e.is_finite()));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NeuralEnergy {
    pub(super) network: Mlp,
    pub(super) transposed: Vec<Mat>, // the weights of every layer, the other way round
    pub(super) given: usize,
    pub(super) blocks: Vec<Block>,
    pub(super) thetas: Vec<Range<usize>>, // of every block, in their slot
    spectral: Option<f32>,
    pub(super) head: Head,
}

impl NeuralEnergy {
    /// An energy of these `units`, given so many inputs, by a network with these hidden layers; all parameters zero.
    ///
    /// # Panics
    /// If there are no units, or rows are not those of whole units.
    pub fn new(given: usize, units: &[Kind], hidden: &[(usize, Activation)]) -> Self {
        Self::with_outputs(given, units, hidden, 1)
    }
    /// The same of a network with several outputs `o`: `f = -log Σ exp(o)`.
    pub(super) fn with_outputs(given: usize, units: &[Kind], hidden: &[(usize, Activation)], outputs: usize) -> Self {
        assert!(units.iter().any(|(rows, _)| *rows > 0), "units of an energy");
        let (mut at, mut theta, mut blocks, mut thetas) = (given, 0, vec![], vec![]);
        for (rows, unit) in units {
            let whole = unit.width() > 0 && rows.is_multiple_of(unit.width());
            assert!(whole, "rows of whole units: {rows} of {unit:?}");
            blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group: blocks.len() });
            thetas.push(theta..theta + rows * unit.n_theta());
            (at, theta) = (at + rows, theta + rows * unit.n_theta());
        }
        let layers: Vec<_> = hidden.iter().copied().chain([(outputs, Activation::Linear)]).collect();
        let more = [("visible_bias", Role::Bias, at - given), ("visible_theta", Role::Unit, theta)];
        let network = Mlp::with_more(at, &layers, &more);
        let transposed = (1..=network.n_layers()).map(|l| network.weights(l).transpose()).collect();
        Self { network, transposed, given, blocks, thetas, spectral: None, head: Head::of(outputs) }
    }
    /// The same, whose layers keep a spectral norm of at most `limit`: weights that grow beyond it in an update are scaled down.
    ///
    /// # Errors
    /// [`Error::Value`] if `limit` is not above 0.
    pub fn spectral(mut self, limit: f32) -> Result<Self> {
        if limit.is_nan() || limit <= 0.0 {
            return Err(Error::value("the spectral norm of layers", "above 0", limit));
        }
        self.spectral = Some(limit);
        self.update(&mut |_| ());
        Ok(self)
    }
    /// Random weights ([`Mlp::initialise`]); biases such that the base measure has these means, or zero if none are told.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one mean for each row of the units, [`Error::Value`] if one has no finite field (draw means of
    /// bits towards ½, see [`crate::base_rate`]).
    pub fn initialise(&mut self, mean: &[f32], seed: u64) -> Result<()> {
        let mut bias = vec![0.0; self.n_units()];
        if !mean.is_empty() {
            if mean.len() != bias.len() {
                return Err(Error::shape("means of units", bias.len(), mean.len()));
            }
            for (b, block) in self.blocks.iter().enumerate() {
                let own = block.rows.start - self.given..block.rows.end - self.given;
                block.unit.field_of_mean(self.theta(b, &[]), &mean[own.clone()], &mut bias[own]);
            }
            if let Some(i) = bias.iter().position(|b| !b.is_finite()) {
                return Err(Error::value(format!("the mean of unit {i}"), "inside the range of its kind", mean[i]));
            }
        }
        let slot = self.bias_slot();
        self.network.initialise(seed);
        self.update(&mut |p| p.slice_mut(slot).copy_from_slice(&bias));
        Ok(())
    }
    /// The network `f`.
    pub fn network(&self) -> &Mlp {
        &self.network
    }
    /// `b`, which with a network of zeros is the field of every unit.
    pub fn visible_bias(&self) -> &[f32] {
        self.network.params().slice(self.bias_slot())
    }
    /// The limit of the layers' spectral norms, if there is one.
    pub fn spectral_limit(&self) -> Option<f32> {
        self.spectral
    }
    /// Rows of the units, without those that are given.
    pub(super) fn n_units(&self) -> usize {
        self.network.n_inputs() - self.given
    }
    pub(super) fn bias_slot(&self) -> usize {
        2 * self.network.n_layers()
    }
    /// The outputs of the network (outputs × samples) of states, in parallel.
    pub(super) fn outputs(&self, x: MatRef<'_>) -> Vec<f64> {
        let k = self.network.n_outputs();
        let mut out = vec![0.0; k * x.ncols()];
        out.par_chunks_mut(k * CHUNK).enumerate().for_each(|(piece, out)| {
            with_tape(|tape| {
                tape.forward(&self.network, x.columns(piece * CHUNK, out.len() / k), None);
                out.copy_from_slice(&tape.out[0]);
            });
        });
        out
    }
    /// `∂B/∂x` of the base measure `B = U - bᵀx`, added to the rows of the units.
    pub(super) fn add_base_slope(&self, x: &[f32], out: &mut [f32]) {
        out[self.given..].iter_mut().zip(self.visible_bias()).for_each(|(o, b)| *o -= b);
        for (b, block) in self.blocks.iter().enumerate() {
            let rows = block.rows.clone();
            block.unit.base_grad_x(self.theta(b, &[]), &x[rows.clone()], &mut out[rows]);
        }
    }
    /// `grad += Σ wₙ ∂B/∂θ` of the base measure.
    pub(super) fn add_base_gradient(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let units = x.rows(self.given, self.n_units());
        add_columns(grad.slice_mut(self.bias_slot()), -1.0, units, weights);
        for (b, block) in self.blocks.iter().enumerate() {
            let slot = &mut grad.slice_mut(self.bias_slot() + 1)[self.thetas[b].clone()];
            grad_theta(block, self.theta(b, &[]), x, weights, slot);
        }
    }
    /// Takes samples through the network in pieces, in parallel: `at_outputs` is told the first of a piece, and leaves in `back` of its
    /// tape what is propagated back; the gradient of it all is added.
    pub(super) fn add_gradient(
        &self,
        x: MatRef<'_>,
        along: Option<Along<'_>>,
        at_outputs: &(dyn Fn(usize, &mut Tape) + Sync),
        grad: &mut Params,
    ) {
        // An even number of pieces, for two threads to share; no function of the number of threads.
        let pieces = (2 * x.ncols().div_ceil(4 * CHUNK)).max(1);
        let width = x.ncols().div_ceil(pieces).max(1);
        let mut tapes = TAPES.take();
        tapes.resize_with(x.ncols().div_ceil(width), Tape::default);
        let piece = |k: usize| {
            let (from, n) = (k * width, width.min(x.ncols() - k * width));
            let along = along.as_ref().map(|a| Along { u: a.u.columns(from, n), ..*a });
            (from, x.columns(from, n), along)
        };
        tapes.par_iter_mut().enumerate().for_each(|(k, tape)| {
            let (from, x, along) = piece(k);
            tape.forward(&self.network, x, along);
            at_outputs(from, tape);
            tape.backward(&self.network, &self.transposed, along);
        });
        for (k, tape) in tapes.iter().enumerate() {
            let (_, x, along) = piece(k);
            tape.add_gradient(&self.network, x, along, grad);
        }
        TAPES.set(tapes);
    }
}

/// Runs `f` with memory that this thread keeps.
pub(super) fn with_tape<R>(f: impl FnOnce(&mut Tape) -> R) -> R {
    let mut tape = TAPE.take();
    let result = f(&mut tape);
    TAPE.set(tape);
    result
}

impl Energy for NeuralEnergy {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, _: &'a [f32]) -> &'a [f32] {
        &self.network.params().slice(self.bias_slot() + 1)[self.thetas[block].clone()]
    }
    fn n_given(&self) -> usize {
        self.given
    }
    fn version(&self) -> Version {
        self.network.params().version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let k = self.network.n_outputs();
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(piece, out)| {
            let x = x.columns(piece * CHUNK, out.len());
            with_tape(|tape| {
                tape.forward(&self.network, x, None);
                for (j, (e, o)) in out.iter_mut().zip(tape.out[0].chunks_exact(k)).enumerate() {
                    *e = self.base_energy(col(&x, j)) + self.head.energy(o);
                }
            });
        });
    }
}
impl NeuralEnergy {
    /// `U(x) - bᵀx` of a state.
    pub(super) fn base_energy(&self, x: &[f32]) -> f64 {
        let units = self.blocks.iter().enumerate().map(|(b, block)| {
            let rows = block.rows.clone();
            block.unit.base_energy(self.theta(b, &[]), &x[rows])
        });
        units.sum::<f64>() - dot(self.visible_bias(), &x[self.given..])
    }
    /// `energy_and_grad_x` of at most a slab.
    fn slab_slopes(&self, x: MatRef<'_>, mut energies: Option<&mut [f64]>, mut out: MatMut<'_>) {
        let k = self.network.n_outputs();
        with_tape(|tape| {
            tape.forward(&self.network, x, None);
            for j in 0..x.ncols() {
                let o = j * k..(j + 1) * k;
                if let Some(energies) = &mut energies {
                    energies[j] = self.base_energy(col(&x, j)) + self.head.energy(&tape.out[0][o.clone()]);
                }
                self.head.slope(&tape.out[0][o.clone()], 1.0, &mut tape.back[0][o]);
            }
            tape.backward(&self.network, &self.transposed, None);
            tape.inputs(&self.network, &self.transposed, &mut out);
        });
        for (j, mut out) in out.column_iter_mut().enumerate() {
            self.add_base_slope(col(&x, j), out.as_mut_slice());
        }
    }
}
impl Score for NeuralEnergy {
    /// Of given rows too.
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        for from in (0..x.ncols()).step_by(CHUNK) {
            let n = CHUNK.min(x.ncols() - from);
            self.slab_slopes(x.columns(from, n), None, out.columns_mut(from, n));
        }
    }
    /// One pass forwards and one backwards.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        for from in (0..x.ncols()).step_by(CHUNK) {
            let n = CHUNK.min(x.ncols() - from);
            self.slab_slopes(x.columns(from, n), Some(&mut energies[from..from + n]), out.columns_mut(from, n));
        }
    }
}
impl Learn for NeuralEnergy {
    fn params(&self) -> &Params {
        self.network.params()
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (rows, offset) = (&self.blocks[block].rows, self.params().slots()[self.bias_slot()].offset);
        Some(offset + rows.start - self.given..offset + rows.end - self.given)
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let k = self.network.n_outputs();
        let at_outputs = |from: usize, tape: &mut Tape| {
            for (j, (o, back)) in tape.out[0].chunks_exact(k).zip(tape.back[0].chunks_exact_mut(k)).enumerate() {
                let weight = weights[from + j];
                self.head.slope(o, weight, back);
                tape.there[j] = f32::from(weight != 0.0);
            }
        };
        self.add_gradient(x, None, &at_outputs, grad);
        self.add_base_gradient(x, weights, grad);
    }
}
impl Train for NeuralEnergy {
    fn architecture(&self) -> String {
        let hidden = (1..self.network.n_layers()).map(|l| self.network.activation(l).name());
        let limit = self.spectral.map_or(String::new(), |limit| format!(", spectral norms up to {limit}"));
        format!("activations {}{limit}", hidden.collect::<Vec<_>>().join(" "))
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.network.params().layout();
        f(self.network.params_mut());
        assert_eq!(*slots, *self.network.params().layout(), "shape of the parameters");
        let layers = self.network.n_layers();
        let params = self.network.params_mut();
        if let Some(limit) = self.spectral {
            (0..layers).for_each(|l| limit_spectral_norm(&mut params.mat_mut(2 * l), limit));
        }
        params.as_mut_slice(); // whole parameters may have come from another model: a new version
        for (l, to) in self.transposed.iter_mut().enumerate() {
            transpose_to(self.network.weights(l + 1), to);
        }
    }
}
