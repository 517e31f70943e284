//! The restricted Boltzmann machine: two layers of units of any kinds, coupled to each other and not within. A layer may be made
//! of ranges of different kinds, pixels beside a label beside real values, each of which is a block of its own.
//!
//! ## References
//! - Smolensky, "Information processing in dynamical systems: foundations of harmony theory", 1986.
//! - Hinton, "A practical guide to training restricted Boltzmann machines", 2010.

use super::{grad_theta, grad_theta_expected, pairwise};
use crate::base_rate::base_rate;
use crate::linalg::{Outer, Working, add_columns, add_outer, col, dot, fill_columns, set_outers};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::sweep::energies_without;
use crate::{
    Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Result, Score, States, Train,
    Unit, Version,
};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;
use std::sync::Arc;

const W: usize = 0; // hidden × visible, column-major: the weights of a visible unit are contiguous
const B: usize = 1;
const C: usize = 2;
const HIDDEN_THETA: usize = 3;
const VISIBLE_THETA: usize = 4;

/// So many rows of units of one kind: ten one-of-five units are fifty.
pub type Kind = (usize, Arc<dyn Unit>);

/// `E(v, h) = U(v) + U(h) - bᵀv - cᵀh - hᵀWv`; a state is the visible rows, then the hidden rows.
///
/// Parameters: `weights` W (hidden × visible), `visible_bias` b, `hidden_bias` c, and the units' own, if they have any.
///
/// ```
/// use harmonium::{Energy, Mat, models::Rbm, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// assert_eq!((rbm.n_visible(), rbm.n_hidden(), rbm.n_rows()), (4, 3, 7));
/// assert_eq!(rbm.free_energy(Mat::zeros(4, 1).as_view())?, [-(8f64.ln())]); // -log Σ_h exp(-0)
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rbm {
    params: Params,
    working: Working, // copies of W
    blocks: Vec<Block>,
    thetas: Vec<Range<usize>>, // of every block, in the slot of its layer
    n_hidden_blocks: usize,
}

impl Rbm {
    /// The first block of hidden units, and the only one if they are of one kind. They come first, because a sweep goes
    /// v → h → v.
    pub const HIDDEN: usize = 0;
    /// The first block of visible units of a machine whose hidden units are of one kind; see [`Rbm::visible_blocks`].
    pub const VISIBLE: usize = 1;
    /// Standard deviation of the initial weights (Hinton 2010, section 8).
    pub const INITIAL_DEVIATION: f32 = 0.01;

    /// So many visible and hidden units of these kinds, all parameters zero.
    pub fn new((d, visible): (usize, impl Unit), (h, hidden): (usize, impl Unit)) -> Self {
        Self::with_units((d, Arc::new(visible)), (h, Arc::new(hidden)))
    }
    /// [`Rbm::new`] with kinds that are known at run time.
    ///
    /// # Panics
    /// If rows are not those of whole units.
    pub fn with_units(visible: Kind, hidden: Kind) -> Self {
        Self::with_layers(&[visible], &[hidden])
    }
    /// Layers made of ranges of different units, all parameters zero.
    ///
    /// ```
    /// use harmonium::{models::Rbm, units::{Bernoulli, Gaussian, Softmax}};
    /// use std::sync::Arc;
    /// let pixels = (784, Arc::new(Bernoulli) as _);
    /// let (label, age) = ((10, Arc::new(Softmax { q: 10 }) as _), (1, Arc::new(Gaussian) as _));
    /// let rbm = Rbm::with_layers(&[pixels, label, age], &[(500, Arc::new(Bernoulli))]);
    /// assert_eq!((rbm.n_visible(), rbm.visible().len(), rbm.visible()[1].rows.clone()), (795, 3, 784..794));
    /// ```
    ///
    /// # Panics
    /// If rows are not those of whole units, or a layer has no range.
    pub fn with_layers(visible: &[Kind], hidden: &[Kind]) -> Self {
        assert!(!visible.is_empty() && !hidden.is_empty(), "a layer has at least one range of units");
        let rows = |layer: &[Kind]| layer.iter().map(|(rows, _)| rows).sum::<usize>();
        let (d, h) = (rows(visible), rows(hidden));
        let (mut blocks, mut thetas, mut n_theta) = (vec![], vec![], [0, 0]);
        for (group, (layer, mut at)) in [(hidden, d), (visible, 0)].into_iter().enumerate() {
            for (rows, unit) in layer {
                let whole = unit.width() > 0 && rows.is_multiple_of(unit.width());
                assert!(whole, "rows of whole units: {rows} of {unit:?}");
                blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group });
                thetas.push(n_theta[group]..n_theta[group] + rows * unit.n_theta());
                (at, n_theta[group]) = (at + rows, n_theta[group] + rows * unit.n_theta());
            }
        }
        let params = Params::zeros(&[
            ("weights", Role::Coupling { rows: C, columns: B }, h, d),
            ("visible_bias", Role::Bias, d, 1),
            ("hidden_bias", Role::Bias, h, 1),
            ("hidden_theta", Role::Unit, n_theta[0], 1),
            ("visible_theta", Role::Unit, n_theta[1], 1),
        ]);
        Self { params, working: Working::zeros(h, d), blocks, thetas, n_hidden_blocks: hidden.len() }
    }
    /// Starts as Hinton's guide asks: small normal weights, hidden biases 0, visible biases such that the visible units
    /// have their means over the data (`log p / (1 - p)` for Bernoulli units).
    ///
    /// The means are first drawn towards those at field 0, `(1 - s) mean + s mean₀` with `s = smoothing` in 0..1: units
    /// that are constant in the data need some. `1 / (n + 1)` for `n` samples is one sample more.
    /// The units' own parameters stay as they are.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one mean a visible unit, and those of [`base_rate`].
    pub fn initialise(&mut self, mean: &[f32], smoothing: f32, seed: u64) -> Result<()> {
        if mean.len() != self.n_visible() {
            return Err(Error::shape("means of visible units", self.n_visible(), mean.len()));
        }
        let base = base_rate(self, mean, smoothing)?;
        let mut rng = ChainRng::new(derive(seed, "weights"));
        self.update(&mut |p| {
            p.slice_mut(C).fill(0.0);
            for w in p.slice_mut(W) {
                let z: f32 = StandardNormal.sample(&mut rng);
                *w = Self::INITIAL_DEVIATION * z;
            }
            let d = p.slice(B).len();
            p.slice_mut(B).copy_from_slice(&base[..d]);
        });
        Ok(())
    }
    /// Number of visible rows.
    pub fn n_visible(&self) -> usize {
        self.weights().ncols()
    }
    /// Number of hidden rows.
    pub fn n_hidden(&self) -> usize {
        self.weights().nrows()
    }
    /// Where the blocks of hidden units stand among all blocks.
    pub fn hidden_blocks(&self) -> Range<usize> {
        0..self.n_hidden_blocks
    }
    /// Where the blocks of visible units stand among all blocks.
    pub fn visible_blocks(&self) -> Range<usize> {
        self.n_hidden_blocks..self.blocks.len()
    }
    /// The ranges of visible units.
    pub fn visible(&self) -> &[Block] {
        &self.blocks[self.visible_blocks()]
    }
    /// The ranges of hidden units.
    pub fn hidden(&self) -> &[Block] {
        &self.blocks[self.hidden_blocks()]
    }
    /// `W`, hidden × visible.
    pub fn weights(&self) -> MatRef<'_> {
        self.params.mat(W)
    }
    /// `b`
    pub fn visible_bias(&self) -> &[f32] {
        self.params.slice(B)
    }
    /// `c`
    pub fn hidden_bias(&self) -> &[f32] {
        self.params.slice(C)
    }
    /// `F(v) = -log Σ_h exp(-E(v, h))` of visible × samples, in nats.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if there is not one row a visible unit.
    pub fn free_energy(&self, v: MatRef<'_>) -> Result<Vec<f64>> {
        if v.nrows() != self.n_visible() {
            return Err(Error::shape("rows of samples", self.n_visible(), v.nrows()));
        }
        energies_without(self, &self.hidden_blocks().collect::<Vec<_>>(), v)
    }
    /// `F(h) = -log Σ_v exp(-E(v, h))` of hidden × samples, in nats; the sum is an integral where the visible units are real.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a hidden unit.
    pub fn hidden_free_energy(&self, h: MatRef<'_>) -> Result<Vec<f64>> {
        let summed: Vec<usize> = self.visible_blocks().collect();
        energies_without(self, &summed, self.around(self.hidden_rows(), h)?.as_view())
    }
    /// `E[h | v]` of visible × samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit.
    pub fn hidden_mean(&self, v: MatRef<'_>) -> Result<Mat> {
        Ok(States::new(self.around(0..self.n_visible(), v)?).x_and_means(self, self.hidden_blocks()).1.clone_owned())
    }
    /// `E[v | h]` of hidden × samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a hidden unit.
    pub fn visible_mean(&self, h: MatRef<'_>) -> Result<Mat> {
        Ok(States::new(self.around(self.hidden_rows(), h)?).x_and_means(self, self.visible_blocks()).1.clone_owned())
    }
    /// Where hidden units are in a state.
    fn hidden_rows(&self) -> Range<usize> {
        self.n_visible()..self.n_visible() + self.n_hidden()
    }
    /// States with these values of one layer, the other at zero.
    fn around(&self, rows: Range<usize>, values: MatRef<'_>) -> Result<Mat> {
        if values.nrows() != rows.len() {
            return Err(Error::shape("rows of samples", rows.len(), values.nrows()));
        }
        let mut x = Mat::zeros(self.n_rows(), values.ncols());
        x.rows_range_mut(rows).copy_from(&values);
        Ok(x)
    }
    /// States with the rows of some blocks at zero, which `x` may lack where they come last.
    fn without(&self, blocks: &[usize], x: MatRef<'_>) -> Mat {
        let mut all = Mat::zeros(self.n_rows(), x.ncols());
        all.rows_mut(0, x.nrows()).copy_from(&x);
        blocks.iter().for_each(|&b| all.rows_range_mut(self.blocks[b].rows.clone()).fill(0.0));
        all
    }
    /// Biases of all rows of the block.
    fn bias(&self, block: usize) -> &[f32] {
        let (rows, d) = (&self.blocks[block].rows, self.n_visible());
        if block < self.n_hidden_blocks {
            &self.hidden_bias()[rows.start - d..rows.end - d]
        } else {
            &self.visible_bias()[rows.clone()]
        }
    }
    /// `U(x_b) - biasᵀx_b`
    fn alone(&self, block: usize, x: &[f32]) -> f64 {
        let b = &self.blocks[block];
        let x = &x[b.rows.clone()];
        b.unit.base_energy(self.theta(block, &[]), x) - dot(x, self.bias(block))
    }
    /// The part of the gradient that is linear in the states: `-Σ wₙ hvᵀ`, `-Σ wₙ v`, `-Σ wₙ h`.
    pub(super) fn grad_linear(v: MatRef<'_>, h: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        add_outer(-1.0, h, v, weights, grad.slice_mut(W));
        Self::grad_biases(v, h, weights, grad);
    }
    fn grad_biases(v: MatRef<'_>, h: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let [b, c] = grad.pair_mut(B, C);
        rayon::join(|| add_columns(b, -1.0, v, weights), || add_columns(c, -1.0, h, weights));
    }
    /// The gradient of the units' own parameters, those of visible units at their values.
    pub(super) fn grad_visible_units(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        for b in self.visible_blocks() {
            let slot = &mut grad.slice_mut(VISIBLE_THETA)[self.thetas[b].clone()];
            grad_theta(&self.blocks[b], self.theta(b, &[]), x, weights, slot);
        }
    }
    /// The expected gradient of the hidden units' own parameters, at their fields in states of `model`, whose hidden units are
    /// those of this machine.
    pub(super) fn grad_hidden_units<M: Gibbs>(
        &self,
        model: &M,
        states: &mut States,
        weights: &[f32],
        grad: &mut Params,
    ) {
        for b in self.hidden_blocks().filter(|&b| self.blocks[b].unit.n_theta() > 0) {
            let slot = &mut grad.slice_mut(HIDDEN_THETA)[self.thetas[b].clone()];
            grad_theta_expected(&self.blocks[b], self.theta(b, &[]), states.field(model, b), weights, slot);
        }
    }
    /// The expected gradient of the units' own parameters.
    fn grad_units(&self, states: &mut States, weights: &[f32], grad: &mut Params) {
        self.grad_visible_units(states.x(), weights, grad);
        self.grad_hidden_units(self, states, weights, grad);
    }
}

impl Energy for Rbm {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, _: &'a [f32]) -> &'a [f32] {
        let slot = if block < self.n_hidden_blocks { HIDDEN_THETA } else { VISIBLE_THETA };
        &self.params.slice(slot)[self.thetas[block].clone()]
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

impl Gibbs for Rbm {
    /// `c + Wv` of hidden rows, `b + Wᵀh` of visible rows.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let d = self.n_visible();
        if rows.start >= d {
            let rows = rows.start - d..rows.end - d;
            fill_columns(&self.hidden_bias()[rows.clone()], &mut out);
            self.working.plain().add_to(rows, x.rows(0, d), out);
        } else {
            fill_columns(&self.visible_bias()[rows.clone()], &mut out);
            self.working.transposed().add_to(rows, x.rows(d, self.n_hidden()), out);
        }
    }
}

/// `∂E/∂x = U'(x) - φ` of all units, hidden ones too, by the formula of real `x`.
impl Score for Rbm {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        for rows in [0..self.n_visible(), self.hidden_rows()] {
            self.field(rows.clone(), x, out.rows_range_mut(rows));
        }
        pairwise::gradients(self, x, out);
    }
    /// Both from the fields of all units.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        for rows in [0..self.n_visible(), self.hidden_rows()] {
            self.field(rows.clone(), x, out.rows_range_mut(rows));
        }
        pairwise::energies(self, &[self.visible_bias(), self.hidden_bias()], x, out.as_view(), energies);
        pairwise::gradients(self, x, out);
    }
}

impl Marginal for Rbm {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let kept = |b: usize| !summed.contains(&b);
        for (j, o) in out.iter_mut().enumerate() {
            *o = (0..self.blocks.len()).filter(|&b| kept(b)).map(|b| self.alone(b, col(&x, j))).sum();
        }
        let layer = |mut blocks: Range<usize>| blocks.any(kept);
        if layer(self.hidden_blocks()) && layer(self.visible_blocks()) {
            let partial = (!summed.is_empty()).then(|| self.without(summed, x));
            let x = partial.as_ref().map_or(x, |x| x.as_view());
            let d = self.n_visible();
            let mut wv = Mat::zeros(self.n_hidden(), x.ncols());
            self.working.plain().add_to(0..self.n_hidden(), x.rows(0, d), wv.as_view_mut());
            out.iter_mut().enumerate().for_each(|(j, o)| *o -= dot(&col(&x, j)[d..], col(&wv.as_view(), j)));
        }
    }
}

impl Learn for Rbm {
    fn n_visible(&self) -> usize {
        self.n_visible()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let d = self.n_visible();
        Self::grad_linear(x.rows(0, d), x.rows(d, self.n_hidden()), weights, grad);
        self.grad_visible_units(x, weights, grad);
        for b in self.hidden_blocks() {
            let slot = &mut grad.slice_mut(HIDDEN_THETA)[self.thetas[b].clone()];
            grad_theta(&self.blocks[b], self.theta(b, &[]), x, weights, slot);
        }
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (rows, d) = (&self.blocks[block].rows, self.n_visible());
        let (slot, first) = if rows.start < d { (B, 0) } else { (C, d) };
        let offset = self.params.slots()[slot].offset;
        Some(offset + rows.start - first..offset + rows.end - first)
    }
    fn infer(&self, states: &mut States) {
        states.x_and_means(self, self.hidden_blocks());
    }
    /// Exact in both phases, which are the same: hidden units are independent given the visible ones.
    fn grad_expected(&self, states: &mut States, _: Phase, weights: &[f32], grad: &mut Params) {
        let (x, mean) = states.x_and_means(self, self.hidden_blocks());
        Self::grad_linear(x.rows(0, self.n_visible()), mean, weights, grad);
        self.grad_units(states, weights, grad);
    }
    /// The two outer products in one pass over the gradient of the weights.
    fn grad_contrast(
        &self,
        (data, data_weights): (&mut States, &[f32]),
        (model, model_weights): (&mut States, &[f32]),
        grad: &mut Params,
        between: &mut dyn FnMut(&Params),
    ) {
        for slot in [B, C, HIDDEN_THETA, VISIBLE_THETA] {
            grad.slice_mut(slot).fill(0.0);
        }
        let (x, mean) = data.x_and_means(self, self.hidden_blocks());
        let data_outer = Outer { scale: -1.0, a: mean, x: x.rows(0, self.n_visible()), weights: data_weights };
        Self::grad_biases(data_outer.x, mean, data_weights, grad);
        between(grad);
        let (x, mean) = model.x_and_means(self, self.hidden_blocks());
        let model_outer = Outer { scale: -1.0, a: mean, x: x.rows(0, self.n_visible()), weights: model_weights };
        Self::grad_biases(model_outer.x, mean, model_weights, grad);
        set_outers([data_outer, model_outer], grad.slice_mut(W));
        self.grad_units(data, data_weights, grad);
        self.grad_units(model, model_weights, grad);
    }
}

impl Train for Rbm {
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let shape = (self.n_hidden(), self.n_visible());
        f(&mut self.params);
        // Whole parameters may have come from a model of other unit kinds, whose means are others at equal parameters.
        self.params.as_mut_slice();
        assert_eq!(self.params.mat(W).shape(), shape, "shape of the weights");
        self.working.copy_from(self.params.mat(W));
    }
}
