//! The restricted Boltzmann machine: two layers of units of any kinds, coupled to each other and not within.
//!
//! ## References
//! - Smolensky, "Information processing in dynamical systems: foundations of harmony theory", 1986.
//! - Hinton, "A practical guide to training restricted Boltzmann machines", 2010.

use super::{grad_theta, grad_theta_expected};
use crate::base_rate::base_rate;
use crate::linalg::{Outer, Working, add_columns, add_outer, col, dot, fill_columns, set_outers};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::sweep::energies_without;
use crate::{
    Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Result, States, Train, Unit,
    Version,
};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;
use std::sync::Arc;

const W: usize = 0; // hidden × visible, column-major: the weights of a visible unit are contiguous
const B: usize = 1;
const C: usize = 2;
const THETA: [usize; 2] = [3, 4]; // by block

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
    blocks: [Block; 2],
}

impl Rbm {
    /// The block of hidden units; first, because a sweep goes v → h → v.
    pub const HIDDEN: usize = 0;
    /// The block of visible units.
    pub const VISIBLE: usize = 1;
    /// Standard deviation of the initial weights (Hinton 2010, section 8).
    pub const INITIAL_DEVIATION: f32 = 0.01;

    /// So many visible and hidden units of these kinds, all parameters zero.
    pub fn new((d, visible): (usize, impl Unit), (h, hidden): (usize, impl Unit)) -> Self {
        Self::with_units((d, Arc::new(visible)), (h, Arc::new(hidden)))
    }
    /// [`Rbm::new`] with kinds that are known at run time. Numbers are of rows: ten one-of-five units are fifty.
    ///
    /// # Panics
    /// If rows are not those of whole units.
    pub fn with_units((d, visible): (usize, Arc<dyn Unit>), (h, hidden): (usize, Arc<dyn Unit>)) -> Self {
        let whole = |rows: usize, unit: &dyn Unit| unit.width() > 0 && rows.is_multiple_of(unit.width());
        assert!(
            whole(d, &*visible) && whole(h, &*hidden),
            "rows of whole units: {d} of {visible:?}, {h} of {hidden:?}"
        );
        let params = Params::zeros(&[
            ("weights", Role::Coupling { rows: C, columns: B }, h, d),
            ("visible_bias", Role::Bias, d, 1),
            ("hidden_bias", Role::Bias, h, 1),
            ("hidden_theta", Role::Unit, h * hidden.n_theta(), 1),
            ("visible_theta", Role::Unit, d * visible.n_theta(), 1),
        ]);
        let blocks = [Block { rows: d..d + h, unit: hidden, group: 0 }, Block { rows: 0..d, unit: visible, group: 1 }];
        Self { params, working: Working::zeros(h, d), blocks }
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
    /// Number of visible units.
    pub fn n_visible(&self) -> usize {
        self.blocks[Self::VISIBLE].rows.len()
    }
    /// Number of hidden units.
    pub fn n_hidden(&self) -> usize {
        self.blocks[Self::HIDDEN].rows.len()
    }
    /// The kind of the visible units.
    pub fn visible_unit(&self) -> &Arc<dyn Unit> {
        &self.blocks[Self::VISIBLE].unit
    }
    /// The kind of the hidden units.
    pub fn hidden_unit(&self) -> &Arc<dyn Unit> {
        &self.blocks[Self::HIDDEN].unit
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
        energies_without(self, &[Self::HIDDEN], v)
    }
    /// `F(h) = -log Σ_v exp(-E(v, h))` of hidden × samples, in nats; the sum is an integral where the visible units are real.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a hidden unit.
    pub fn hidden_free_energy(&self, h: MatRef<'_>) -> Result<Vec<f64>> {
        energies_without(self, &[Self::VISIBLE], self.around(Self::HIDDEN, h)?.as_view())
    }
    /// `E[h | v]` of visible × samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit.
    pub fn hidden_mean(&self, v: MatRef<'_>) -> Result<Mat> {
        Ok(States::new(self.around(Self::VISIBLE, v)?).mean(self, Self::HIDDEN).clone_owned())
    }
    /// `E[v | h]` of hidden × samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a hidden unit.
    pub fn visible_mean(&self, h: MatRef<'_>) -> Result<Mat> {
        Ok(States::new(self.around(Self::HIDDEN, h)?).mean(self, Self::VISIBLE).clone_owned())
    }
    /// States with these values of one block, the other at zero.
    fn around(&self, block: usize, values: MatRef<'_>) -> Result<Mat> {
        let rows = self.blocks[block].rows.clone();
        if values.nrows() != rows.len() {
            return Err(Error::shape("rows of samples", rows.len(), values.nrows()));
        }
        let mut x = Mat::zeros(self.n_rows(), values.ncols());
        x.rows_range_mut(rows).copy_from(&values);
        Ok(x)
    }
    /// `U(x_b) - biasᵀx_b`
    fn alone(&self, block: usize, x: &[f32]) -> f64 {
        let b = &self.blocks[block];
        let x = &x[b.rows.clone()];
        let bias = if block == Self::HIDDEN { self.hidden_bias() } else { self.visible_bias() };
        b.unit.base_energy(self.theta(block), x) - dot(x, bias)
    }
    /// The part of the gradient that is linear in the states: `-Σ wₙ hvᵀ`, `-Σ wₙ v`, `-Σ wₙ h`.
    fn grad_linear(v: MatRef<'_>, h: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        add_outer(-1.0, h, v, weights, grad.slice_mut(W));
        Self::grad_biases(v, h, weights, grad);
    }
    fn grad_biases(v: MatRef<'_>, h: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let [b, c] = grad.pair_mut(B, C);
        rayon::join(|| add_columns(b, -1.0, v, weights), || add_columns(c, -1.0, h, weights));
    }
    /// The expected gradient of the units' own parameters.
    fn grad_units(&self, states: &mut States, weights: &[f32], grad: &mut Params) {
        let (hidden, visible) = (Self::HIDDEN, Self::VISIBLE);
        let slot = grad.slice_mut(THETA[visible]);
        grad_theta(&self.blocks[visible], self.theta(visible), states.x(), weights, slot);
        if self.hidden_unit().n_theta() > 0 {
            let (field, slot) = (states.field(self, hidden), grad.slice_mut(THETA[hidden]));
            grad_theta_expected(&self.blocks[hidden], self.theta(hidden), field, weights, slot);
        }
    }
}

impl Energy for Rbm {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta(&self, block: usize) -> &[f32] {
        self.params.slice(THETA[block])
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

impl Marginal for Rbm {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let kept = |b: usize| !summed.contains(&b);
        for (j, o) in out.iter_mut().enumerate() {
            *o = (0..2).filter(|&b| kept(b)).map(|b| self.alone(b, col(&x, j))).sum();
        }
        if kept(Self::HIDDEN) && kept(Self::VISIBLE) {
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
        for (b, slot) in THETA.into_iter().enumerate() {
            grad_theta(&self.blocks[b], self.theta(b), x, weights, grad.slice_mut(slot));
        }
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (rows, d) = (&self.blocks[block].rows, self.n_visible());
        let (slot, first) = if rows.start < d { (B, 0) } else { (C, d) };
        let offset = self.params.slots()[slot].offset;
        Some(offset + rows.start - first..offset + rows.end - first)
    }
    fn infer(&self, states: &mut States) {
        states.mean(self, Self::HIDDEN);
    }
    /// Exact in both phases, which are the same: hidden units are independent given the visible ones.
    fn grad_expected(&self, states: &mut States, _: Phase, weights: &[f32], grad: &mut Params) {
        let (x, mean) = states.x_and_mean(self, Self::HIDDEN);
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
        for slot in [B, C, THETA[0], THETA[1]] {
            grad.slice_mut(slot).fill(0.0);
        }
        let (x, mean) = data.x_and_mean(self, Self::HIDDEN);
        let data_outer = Outer { scale: -1.0, a: mean, x: x.rows(0, self.n_visible()), weights: data_weights };
        Self::grad_biases(data_outer.x, mean, data_weights, grad);
        between(grad);
        let (x, mean) = model.x_and_mean(self, Self::HIDDEN);
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
        f(&mut self.params);
        // Whole parameters may have come from a model of other unit kinds, whose means are others at equal parameters.
        self.params.as_mut_slice();
        assert_eq!(self.params.mat(W).shape(), (self.n_hidden(), self.n_visible()), "shape of the weights");
        self.working.copy_from(self.params.mat(W));
    }
}
