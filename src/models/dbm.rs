//! The deep Boltzmann machine: layers of units of any kinds, each coupled to the one below and to the one above, and none within.
//! Odd layers are independent given the even ones, and even ones given the odd: a Gibbs sweep is two half steps, whatever the depth.
//!
//! With one layer of hidden units it is the restricted Boltzmann machine, in every number. With more, the posterior of the hidden
//! units is not independent: it is approximated by mean field (`mean_field.rs`), and `log p(v)` has bounds
//! ([`crate::eval::likelihood_bounds`]) instead of a closed form. How it is pretrained, layer by layer, is in `compose.rs`.
//!
//! ## References
//! - Salakhutdinov and Hinton, "Deep Boltzmann machines", 2009.
//! - Montavon and Müller, "Deep Boltzmann machines and the centering trick", 2012.

use super::mean_field::MeanField;
use super::{Kind, grad_theta, grad_theta_expected};
use crate::base_rate::base_rate;
use crate::linalg::{Outer, Working, add_columns, add_outer, col, dot, fill_columns, set_outers};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::{
    Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Result, States, Train, Version,
};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// `E(x) = Σ_l (U(x_l) - b_lᵀx_l) - Σ_l x_lᵀ W_l x_{l-1}` over layers `l`, of which 0 is visible; a state is the layers, one after
/// the other.
///
/// Parameters: `weights1` W₁ (first hidden × visible), `weights2` W₂ (second hidden × first hidden) …, the biases `visible_bias`,
/// `hidden1_bias`, `hidden2_bias` …, and the units' own.
///
/// ```
/// use harmonium::{Energy, models::Dbm, units::Bernoulli};
/// use std::sync::Arc;
/// let layer = |n: usize| (n, Arc::new(Bernoulli) as _);
/// let dbm = Dbm::new(&[layer(6), layer(4), layer(3)]);
/// assert_eq!((dbm.n_visible(), dbm.n_layers(), dbm.n_rows()), (6, 3, 13));
/// assert_eq!(dbm.weights(2).shape(), (3, 4));
/// ```
#[derive(Clone, Debug)]
pub struct Dbm {
    params: Params,
    working: Vec<Working>, // of every coupling
    layers: Vec<Range<usize>>,
    blocks: Vec<Block>,
    layer: Vec<usize>,         // of every block
    thetas: Vec<Range<usize>>, // of every block, in the slot of its layer
    pub(super) inference: MeanField,
}

impl Dbm {
    /// Standard deviation of the initial weights ([`Dbm::initialise`]).
    pub const INITIAL_DEVIATION: f32 = 0.01;

    /// Layers of one kind of unit each, from the visible one upwards; all parameters zero.
    ///
    /// # Panics
    /// If there is no hidden layer, or rows are not those of whole units.
    pub fn new(layers: &[Kind]) -> Self {
        let layers: Vec<&[Kind]> = layers.iter().map(std::slice::from_ref).collect();
        Self::with_layers(&layers)
    }
    /// Layers made of ranges of different units, pixels beside a label say; all parameters zero.
    ///
    /// # Panics
    /// As [`Dbm::new`], or if a layer has no range.
    pub fn with_layers(layers: &[&[Kind]]) -> Self {
        assert!(layers.len() > 1 && layers.iter().all(|l| !l.is_empty()), "a visible and a hidden layer at least");
        let (ranges, params) = layout(layers);
        // Odd layers first, for a sweep goes from the data upwards.
        let order: Vec<usize> = (1..layers.len())
            .step_by(2)
            .chain((0..layers.len()).step_by(2).collect::<Vec<_>>().into_iter().rev())
            .collect();
        let (mut blocks, mut layer, mut thetas) = (vec![], vec![], vec![]);
        for l in order {
            let (mut at, mut theta) = (ranges[l].start, 0);
            for (rows, unit) in layers[l] {
                let whole = unit.width() > 0 && rows.is_multiple_of(unit.width());
                assert!(whole, "rows of whole units: {rows} of {unit:?}");
                blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group: 1 - l % 2 });
                layer.push(l);
                thetas.push(theta..theta + rows * unit.n_theta());
                (at, theta) = (at + rows, theta + rows * unit.n_theta());
            }
        }
        let working = ranges.windows(2).map(|p| Working::zeros(p[1].len(), p[0].len())).collect();
        Self { params, working, layers: ranges, blocks, layer, thetas, inference: MeanField::default() }
    }
    /// Small normal weights, hidden biases 0, visible biases such that the visible units have their means over the data, drawn
    /// towards those at field 0 by `smoothing`, as [`super::Rbm::initialise`] does it.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one mean a visible unit, and those of [`base_rate`].
    pub fn initialise(&mut self, mean: &[f32], smoothing: f32, seed: u64) -> Result<()> {
        if mean.len() != self.n_visible() {
            return Err(Error::shape("means of visible units", self.n_visible(), mean.len()));
        }
        let base = base_rate(self, mean, smoothing)?;
        let mut rng = ChainRng::new(derive(seed, "weights"));
        let (depth, visible) = (self.n_layers(), self.bias_slot(0));
        self.update(&mut |p| {
            for l in 0..depth - 1 {
                for w in p.slice_mut(l) {
                    let z: f32 = StandardNormal.sample(&mut rng);
                    *w = Self::INITIAL_DEVIATION * z;
                }
            }
            (visible..visible + depth).for_each(|slot| p.slice_mut(slot).fill(0.0));
            let d = p.slice(visible).len();
            p.slice_mut(visible).copy_from_slice(&base[..d]);
        });
        Ok(())
    }
    /// How the posterior of the hidden units is approximated.
    pub fn inference(&self) -> MeanField {
        self.inference
    }
    /// Changes it; what was inferred before is forgotten.
    pub fn set_inference(&mut self, inference: MeanField) {
        self.inference = inference;
        self.params.as_mut_slice(); // a new version
    }
    /// Number of visible rows.
    pub fn n_visible(&self) -> usize {
        self.layers[0].len()
    }
    /// Number of layers, the visible one among them.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }
    /// The rows of layer `l` in a state.
    ///
    /// # Panics
    /// If there is no such layer; so do the others that take one.
    pub fn rows(&self, l: usize) -> Range<usize> {
        self.layers[l].clone()
    }
    /// The blocks of layer `l`.
    pub fn blocks_of(&self, l: usize) -> impl Iterator<Item = usize> + '_ {
        self.layer.iter().enumerate().filter(move |(_, of)| **of == l).map(|(b, _)| b)
    }
    /// `W_l`, units of layer `l` × units of layer `l - 1`.
    ///
    /// # Panics
    /// If `l` is 0, too.
    pub fn weights(&self, l: usize) -> MatRef<'_> {
        self.params.mat(l - 1)
    }
    /// `b_l`
    pub fn bias(&self, l: usize) -> &[f32] {
        self.params.slice(self.bias_slot(l))
    }
    pub(super) fn bias_slot(&self, l: usize) -> usize {
        self.n_layers() - 1 + l
    }
    pub(super) fn theta_slot(&self, l: usize) -> usize {
        2 * self.n_layers() - 1 + l
    }
    /// The layer that rows are of.
    fn layer_of(&self, rows: &Range<usize>) -> usize {
        self.layers.iter().rposition(|l| l.start <= rows.start).unwrap_or(0)
    }
    /// Layer `l` of states.
    pub(super) fn of<'a>(&self, l: usize, x: &'a MatRef<'_>) -> MatRef<'a> {
        x.rows(self.layers[l].start, self.layers[l].len())
    }
    /// `out += W_l x_{l-1}`, for some units of layer `l`.
    pub(super) fn add_below(&self, l: usize, units: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        if l > 0 {
            self.working[l - 1].plain().add_to(units, self.of(l - 1, &x), out);
        }
    }
    /// `out += W_{l+1}ᵀ x_{l+1}`, for some units of layer `l`.
    pub(super) fn add_above(&self, l: usize, units: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        if l + 1 < self.n_layers() {
            self.working[l].transposed().add_to(units, self.of(l + 1, &x), out);
        }
    }
    /// Where the gradient finds a layer: even layers in the states, odd ones in the means given them.
    fn found<'a>(&self, l: usize, x: &'a MatRef<'_>, means: &'a MatRef<'_>) -> MatRef<'a> {
        self.of(l, if l.is_multiple_of(2) { x } else { means })
    }
    /// The part of the gradient that biases have, added up.
    fn grad_biases(&self, (x, means): (MatRef<'_>, MatRef<'_>), weights: &[f32], grad: &mut Params) {
        for l in 0..self.n_layers() {
            add_columns(grad.slice_mut(self.bias_slot(l)), -1.0, self.found(l, &x, &means), weights);
        }
    }
    /// The part of the gradient that the units' own parameters have: hidden ones averaged where `phase` averages them out.
    fn grad_units(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        for (b, block) in self.blocks.iter().enumerate().filter(|(_, b)| b.unit.n_theta() > 0) {
            let l = self.layer[b];
            let slot = &mut grad.slice_mut(self.theta_slot(l))[self.thetas[b].clone()];
            if l > 0 && (phase == Phase::Data || l % 2 == 1) {
                grad_theta_expected(block, self.theta(b, &[]), states.field(self, b), weights, slot);
            } else {
                grad_theta(block, self.theta(b, &[]), states.x(), weights, slot);
            }
        }
    }
    /// The states and the means of odd layers; in the data phase after inference.
    fn average<'a>(&self, states: &'a mut States, phase: Phase) -> (MatRef<'a>, MatRef<'a>) {
        if phase == Phase::Data {
            self.infer(states);
        }
        states.x_and_all_means(self, self.odd_blocks())
    }
    /// Where the blocks of odd layers stand among all: they come first.
    pub(super) fn odd_blocks(&self) -> Range<usize> {
        0..self.layer.iter().filter(|l| **l % 2 == 1).count()
    }
}

/// The rows of every layer, and parameters at zero.
fn layout(layers: &[&[Kind]]) -> (Vec<Range<usize>>, Params) {
    let (mut at, depth, mut ranges, mut n_theta) = (0, layers.len(), vec![], vec![]);
    for layer in layers {
        let rows: usize = layer.iter().map(|(rows, _)| rows).sum();
        ranges.push(at..at + rows);
        n_theta.push(layer.iter().map(|(rows, unit)| rows * unit.n_theta()).sum::<usize>());
        at += rows;
    }
    let name = |l: usize, what: &str| if l == 0 { format!("visible_{what}") } else { format!("hidden{l}_{what}") };
    let mut slots: Vec<(String, Role, usize, usize)> = vec![];
    for l in 1..depth {
        let role = Role::Coupling { rows: depth - 1 + l, columns: depth - 2 + l };
        slots.push((format!("weights{l}"), role, ranges[l].len(), ranges[l - 1].len()));
    }
    slots.extend((0..depth).map(|l| (name(l, "bias"), Role::Bias, ranges[l].len(), 1)));
    slots.extend((0..depth).map(|l| (name(l, "theta"), Role::Unit, n_theta[l], 1)));
    let slots: Vec<(&str, Role, usize, usize)> =
        slots.iter().map(|(n, role, r, c)| (n.as_str(), *role, *r, *c)).collect();
    (ranges, Params::zeros(&slots))
}

impl Energy for Dbm {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, _: &'a [f32]) -> &'a [f32] {
        &self.params.slice(self.theta_slot(self.layer[block]))[self.thetas[block].clone()]
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// # Panics
    /// If a state has not one row a unit.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        self.energy_at_zero(&[], x, out);
    }
}

impl Gibbs for Dbm {
    /// `b_l + W_l x_{l-1} + W_{l+1}ᵀ x_{l+1}` of rows of layer `l`.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let l = self.layer_of(&rows);
        let units = rows.start - self.layers[l].start..rows.end - self.layers[l].start;
        fill_columns(&self.bias(l)[units.clone()], &mut out);
        self.add_below(l, units.clone(), x, out.as_view_mut());
        self.add_above(l, units, x, out);
    }
}

impl Marginal for Dbm {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let kept = |b: &usize| !summed.contains(b);
        out.fill(0.0);
        for b in (0..self.blocks.len()).filter(kept) {
            let Block { rows, unit, .. } = &self.blocks[b];
            let start = self.layers[self.layer[b]].start;
            let bias = &self.bias(self.layer[b])[rows.start - start..rows.end - start];
            for (j, o) in out.iter_mut().enumerate() {
                let x = &col(&x, j)[rows.clone()];
                *o += unit.base_energy(self.theta(b, &[]), x) - dot(x, bias);
            }
        }
        for l in 1..self.n_layers() {
            if self.blocks_of(l).any(|b| kept(&b)) && self.blocks_of(l - 1).any(|b| kept(&b)) {
                self.take_coupling(l, summed, x, out);
            }
        }
    }
}

impl Dbm {
    /// `out -= x_lᵀ W_l x_{l-1}` with the blocks `summed` at zero.
    fn take_coupling(&self, l: usize, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let at_zero = |l: usize| {
            let mut part = Mat::zeros(self.layers[l].len(), x.ncols());
            for b in self.blocks_of(l).filter(|b| !summed.contains(b)) {
                let rows = self.blocks[b].rows.clone();
                let start = rows.start - self.layers[l].start;
                part.rows_mut(start, rows.len()).copy_from(&x.rows(rows.start, rows.len()));
            }
            part
        };
        let (upper, lower) = (at_zero(l), at_zero(l - 1));
        let mut pull = Mat::zeros(upper.nrows(), x.ncols());
        self.working[l - 1].plain().add_to(0..upper.nrows(), lower.as_view(), pull.as_view_mut());
        let (upper, pull) = (upper.as_view(), pull.as_view());
        out.iter_mut().enumerate().for_each(|(j, o)| *o -= dot(col(&upper, j), col(&pull, j)));
    }
}

impl Learn for Dbm {
    fn n_visible(&self) -> usize {
        self.n_visible()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (l, rows) = (self.layer[block], &self.blocks[block].rows);
        let offset = self.params.slots()[self.bias_slot(l)].offset;
        let start = self.layers[l].start;
        Some(offset + rows.start - start..offset + rows.end - start)
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.grad_biases((x, x), weights, grad);
        for l in 1..self.n_layers() {
            add_outer(-1.0, self.of(l, &x), self.of(l - 1, &x), weights, grad.slice_mut(l - 1));
        }
        for (b, block) in self.blocks.iter().enumerate() {
            let slot = &mut grad.slice_mut(self.theta_slot(self.layer[b]))[self.thetas[b].clone()];
            grad_theta(block, self.theta(b, &[]), x, weights, slot);
        }
    }
    /// Mean field, unless its result is known: hidden rows of even layers become their means, those of odd ones whatever is near,
    /// and the means of all hidden blocks are known ([`States::mean`]): of odd layers given those of even ones.
    fn infer(&self, states: &mut States) {
        self.mean_field(states);
    }
    /// Data: mean field, which is exact for one layer of hidden units. Model: odd layers averaged out given the even ones.
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        let (x, means) = self.average(states, phase);
        self.grad_biases((x, means), weights, grad);
        for l in 1..self.n_layers() {
            let (upper, lower) = (self.found(l, &x, &means), self.found(l - 1, &x, &means));
            add_outer(-1.0, upper, lower, weights, grad.slice_mut(l - 1));
        }
        self.grad_units(states, phase, weights, grad);
    }
    /// The two outer products of every coupling in one pass over its gradient.
    fn grad_contrast(
        &self,
        (data, data_weights): (&mut States, &[f32]),
        (model, model_weights): (&mut States, &[f32]),
        grad: &mut Params,
        between: &mut dyn FnMut(&Params),
    ) {
        (self.bias_slot(0)..grad.slots().len()).for_each(|slot| grad.slice_mut(slot).fill(0.0));
        let of_data = self.average(data, Phase::Data);
        self.grad_biases(of_data, data_weights, grad);
        between(grad);
        let of_model = self.average(model, Phase::Model);
        self.grad_biases(of_model, model_weights, grad);
        for l in 1..self.n_layers() {
            let both = [(&of_data, data_weights), (&of_model, model_weights)];
            let outers = both.map(|((x, means), weights)| {
                let (a, x) = (self.found(l, x, means), self.found(l - 1, x, means));
                Outer { scale: -1.0, a, x, weights }
            });
            set_outers(outers, grad.slice_mut(l - 1));
        }
        self.grad_units(data, Phase::Data, data_weights, grad);
        self.grad_units(model, Phase::Model, model_weights, grad);
    }
}

impl Train for Dbm {
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        // Whole parameters may have come from a model of other unit kinds, whose means are others at equal parameters.
        self.params.as_mut_slice();
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        for (l, working) in self.working.iter_mut().enumerate() {
            working.copy_from(self.params.mat(l));
        }
    }
}
