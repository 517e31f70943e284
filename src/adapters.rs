//! Temperature, marginalisation and conditioning as adapters over a model, so that no other function takes them as arguments.
//!
//! [`Annealed`] interpolates between the base-rate model and the model; [`Collapsed`] sums some blocks out; [`Conditioned`] fixes
//! leading rows: inputs, or the data.

use crate::base_rate::base_rate_energy;
use crate::linalg::col;
use crate::{
    Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Response, Result, Score, Slab,
    States, Version, linalg, sweep,
};
use std::cell::Cell;
use std::ops::Range;

/// `E_β = E₀ + β (E - E₀)` with the base-rate model `E₀ = U(x; θ) - baseᵀx`: every unit independent at `β = 0`, the model
/// itself at `β = 1`.
#[derive(Debug)]
pub struct Annealed<'a, M: ?Sized> {
    model: &'a M,
    base: &'a [f32],
    beta: f32,
    version: Version,
}

impl<'a, M: Energy + ?Sized> Annealed<'a, M> {
    /// The model at inverse temperature `beta`, above fields `base`, one a row.
    ///
    /// # Panics
    /// If there is not one field a row.
    pub fn new(model: &'a M, base: &'a [f32], beta: f32) -> Self {
        assert_eq!(base.len(), model.n_rows(), "a base field for every row");
        Self { model, base, beta, version: Version::fresh() }
    }
}

impl<M: Energy + ?Sized> Energy for Annealed<'_, M> {
    fn blocks(&self) -> &[Block] {
        self.model.blocks()
    }
    fn theta<'s>(&'s self, block: usize, given: &'s [f32]) -> &'s [f32] {
        self.model.theta(block, given)
    }
    fn n_given(&self) -> usize {
        self.model.n_given()
    }
    fn version(&self) -> Version {
        self.version
    }
    /// The base-rate model's alone at `β = 0`, the model's alone at `β = 1`.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        if self.beta != 0.0 {
            self.model.energy(x, out);
        }
        self.mix_energies(x, out);
    }
}
impl<M: Energy + ?Sized> Annealed<'_, M> {
    /// From the model's energies to those at this temperature.
    fn mix_energies(&self, x: MatRef<'_>, out: &mut [f64]) {
        if self.beta == 1.0 {
            return;
        }
        for (j, o) in out.iter_mut().enumerate() {
            let base = base_rate_energy(self.model, self.base, &[], col(&x, j));
            *o = if self.beta == 0.0 { base } else { base + self.beta as f64 * (*o - base) };
        }
    }
    /// From the model's gradients to those at this temperature, in their place: `βg + (1-β)(U' - base)` as `(1-β)` times
    /// `β/(1-β) g - base`, to which units add their `U'`.
    fn mix_gradients(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        if self.beta == 1.0 {
            return;
        }
        let (rest, ratio) = (1.0 - self.beta, self.beta / (1.0 - self.beta));
        for (j, mut out) in out.column_iter_mut().enumerate() {
            let (state, out) = (col(&x, j), out.as_mut_slice());
            match self.beta == 0.0 {
                true => out.fill(0.0),
                false => out.iter_mut().for_each(|g| *g *= ratio),
            }
            for (b, block) in self.model.blocks().iter().enumerate() {
                let (rows, out) = (block.rows.clone(), &mut out[block.rows.clone()]);
                out.iter_mut().zip(&self.base[rows.clone()]).for_each(|(g, base)| *g -= base);
                block.unit.base_grad_x(self.model.theta(b, state), &state[rows], out);
            }
            out.iter_mut().for_each(|g| *g *= rest);
        }
    }
}
impl<M: Gibbs + ?Sized> Gibbs for Annealed<'_, M> {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        self.model.field(rows.clone(), x, out.as_view_mut());
        for mut column in out.column_iter_mut() {
            column.iter_mut().zip(&self.base[rows.clone()]).for_each(|(f, b)| *f = b + self.beta * (*f - b));
        }
    }
    /// The model's own sweep; cached fields stay those of the model, so a change of temperature keeps them. One
    /// temperature over another goes block by block; at `β = 1` there is none, and the bits are those of the model.
    fn sweep(&self, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        if self.beta == 1.0 {
            self.model.sweep(slab, response);
        } else if response.is_tempered() {
            sweep::blocks(self, slab, response);
        } else {
            self.model.sweep(slab, &mut response.tempered(self.beta, self.base));
        }
    }
}
impl<M: Score + ?Sized> Score for Annealed<'_, M> {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        if self.beta != 0.0 {
            self.model.grad_x(x, out.as_view_mut());
        }
        self.mix_gradients(x, out);
    }
    /// By one pass of the model; none at `β = 0`.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        if self.beta != 0.0 {
            self.model.energy_and_grad_x(x, energies, out.as_view_mut());
        }
        self.mix_energies(x, energies);
        self.mix_gradients(x, out);
    }
}

/// The model with some blocks summed out: `F(x) = -log Σ exp(-E)`. They are the trailing rows, so that its states are the
/// leading rows alone.
#[derive(Debug)]
pub struct Collapsed<'a, M: ?Sized> {
    model: &'a M,
    summed: Vec<usize>,
    kept: Vec<usize>,
    blocks: Vec<Block>,
}

impl<'a, M: Marginal + ?Sized> Collapsed<'a, M> {
    /// The model without the blocks `summed`, all of one group.
    ///
    /// # Panics
    /// If rows of other blocks come after theirs.
    pub fn new(model: &'a M, summed: &[usize]) -> Self {
        let all = model.blocks();
        let is_summed = sweep::among(summed);
        let kept: Vec<usize> = (0..all.len()).filter(|b| !is_summed(b)).collect();
        let blocks: Vec<Block> = kept.iter().map(|&b| all[b].clone()).collect();
        let end = blocks.iter().map(|b| b.rows.end).max().unwrap_or(0);
        assert!(summed.iter().all(|&b| all[b].rows.start >= end), "only trailing rows can be collapsed");
        Self { model, summed: summed.to_vec(), kept, blocks }
    }
    /// The states with the summed rows at zero.
    fn full(&self, x: MatRef<'_>) -> Mat {
        let mut full = Mat::zeros(self.model.n_rows(), x.ncols());
        full.rows_mut(0, x.nrows()).copy_from(&x);
        full
    }
}
impl<M: Marginal + ?Sized> Energy for Collapsed<'_, M> {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'s>(&'s self, block: usize, given: &'s [f32]) -> &'s [f32] {
        self.model.theta(self.kept[block], given)
    }
    fn n_given(&self) -> usize {
        self.model.n_given()
    }
    fn version(&self) -> Version {
        self.model.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.model.energy_without(&self.summed, x, out);
    }
}
/// `∂F/∂x = U'(x) - φ(x, E[summed | x])`: the average over the summed units commutes with the derivative.
impl<M: Marginal + ?Sized> Score for Collapsed<'_, M> {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.pass(x, None, out);
    }
    /// One field of the summed units gives `Γ` and their means.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], out: MatMut<'_>) {
        self.pass(x, Some(energies), out);
    }
}
thread_local! {
    /// States with the means of the summed units, and fields of these, kept from call to call. Taken while in use.
    static WITH_MEANS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}
impl<M: Marginal + ?Sized> Collapsed<'_, M> {
    fn pass(&self, x: MatRef<'_>, mut energies: Option<&mut [f64]>, mut out: MatMut<'_>) {
        let (height, columns) = (self.model.n_rows(), x.ncols());
        let [mut full, mut fields] = WITH_MEANS.take();
        full.clear();
        full.resize(height * columns, 0.0);
        for (j, to) in full.chunks_exact_mut(height.max(1)).enumerate() {
            to[..x.nrows()].copy_from_slice(col(&x, j));
        }
        if let Some(energies) = &mut energies {
            self.model.energy_at_zero(&self.summed, x, energies);
        }
        for &b in &self.summed {
            let Block { rows, unit, .. } = &self.model.blocks()[b];
            fields.resize(rows.len() * columns, 0.0);
            let states = MatRef::from_slice(&full, height, columns);
            self.model.field(rows.clone(), states, MatMut::from_slice(&mut fields, rows.len(), columns));
            for (j, field) in fields.chunks_exact(rows.len().max(1)).enumerate() {
                let (state, means) = full[j * height..j * height + rows.end].split_at_mut(rows.start);
                let theta = self.model.theta(b, state);
                if let Some(energies) = &mut energies {
                    energies[j] -= unit.log_partition(theta, field);
                }
                unit.mean(theta, field, means);
            }
        }
        let states = MatRef::from_slice(&full, height, columns);
        for (k, block) in self.blocks.iter().enumerate() {
            let rows = block.rows.clone();
            self.model.field(rows.clone(), states, out.rows_range_mut(rows.clone()));
            for (j, mut column) in out.column_iter_mut().enumerate() {
                let part = &mut column.as_mut_slice()[rows.clone()];
                part.iter_mut().for_each(|o| *o = -*o);
                block.unit.base_grad_x(self.theta(k, col(&x, j)), &col(&x, j)[rows.clone()], part);
            }
        }
        WITH_MEANS.set([full, fields]);
    }
}
/// Exact where the model's posterior is: `∂F/∂θ = E[∂E/∂θ | x]`.
impl<M: Marginal + Learn + ?Sized> Learn for Collapsed<'_, M> {
    fn params(&self) -> &Params {
        self.model.params()
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.model.grad_expected(&mut States::new(self.full(x)), Phase::Data, weights, grad);
    }
}

/// A model with its leading rows fixed: `E(x | u)` as an energy of `x` alone, so that its `log Z`, which depends on them, can be
/// summed, estimated and checked like any other. The rows are the inputs of a conditional model; or the visible units as well, whose
/// posterior over the latent units it then is, and `log Z` the `log Σ_h exp(-E(v, h))` of one sample.
#[derive(Debug)]
pub struct Conditioned<'a, M: ?Sized> {
    model: &'a M,
    given: &'a [f32],
    kept: Vec<usize>, // the model's blocks that are left
    blocks: Vec<Block>,
    version: Version,
}

impl<'a, M: Energy + ?Sized> Conditioned<'a, M> {
    /// The model with these values of its leading rows: all given ones, and those of whole blocks.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one value for every given row, or some of a block alone.
    pub fn new(model: &'a M, given: &'a [f32]) -> Result<Self> {
        let (n, all) = (given.len(), model.blocks());
        if n < model.n_given() || n > model.n_rows() || all.iter().any(|b| b.rows.start < n && n < b.rows.end) {
            let expected = format!("{}, and rows of whole blocks", model.n_given());
            return Err(Error::shape("values of the given rows", expected, n));
        }
        let kept: Vec<usize> = (0..all.len()).filter(|&b| all[b].rows.start >= n).collect();
        let shifted = |&b: &usize| Block { rows: all[b].rows.start - n..all[b].rows.end - n, ..all[b].clone() };
        let blocks = kept.iter().map(shifted).collect();
        Ok(Self { model, given, kept, blocks, version: Version::fresh() })
    }
    /// States with the given rows above.
    fn full(&self, x: MatRef<'_>) -> Mat {
        let n = self.given.len();
        let mut full = Mat::zeros(n + x.nrows(), x.ncols());
        for (mut to, from) in full.column_iter_mut().zip(x.column_iter()) {
            to.rows_mut(0, n).copy_from_slice(self.given);
            to.rows_mut(n, x.nrows()).copy_from(&from);
        }
        full
    }
}
impl<M: Energy + ?Sized> Energy for Conditioned<'_, M> {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'s>(&'s self, block: usize, _: &'s [f32]) -> &'s [f32] {
        self.model.theta(self.kept[block], self.given)
    }
    fn version(&self) -> Version {
        self.version
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.model.energy(self.full(x).as_view(), out);
    }
}
impl<M: Gibbs + ?Sized> Gibbs for Conditioned<'_, M> {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        let n = self.given.len();
        self.model.field(rows.start + n..rows.end + n, self.full(x).as_view(), out);
    }
}
impl<M: Marginal + ?Sized> Marginal for Conditioned<'_, M> {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let summed: Vec<usize> = summed.iter().map(|&b| self.kept[b]).collect();
        self.model.energy_at_zero(&summed, self.full(x).as_view(), out);
    }
}
impl<M: Learn + ?Sized> Learn for Conditioned<'_, M> {
    fn n_visible(&self) -> usize {
        self.model.n_visible().saturating_sub(self.given.len())
    }
    fn params(&self) -> &Params {
        self.model.params()
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.model.grad_params(self.full(x).as_view(), weights, grad);
    }
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        if self.given.len() > self.model.n_visible() {
            return self.grad_params(states.x(), weights, grad); // some latent units are fixed, and none averaged out
        }
        self.model.grad_expected(&mut States::new(self.full(states.x())), phase, weights, grad);
    }
}

/// Log-partition of a block at fields `base + beta (φ - base)`, given the first rows of the state, with scratch memory of the length of the field.
pub(crate) fn tempered_log_partition<M: Energy + ?Sized>(
    model: &M,
    block: usize,
    (beta, base): (f32, &[f32]),
    (given, field): (&[f32], &[f32]),
    scratch: &mut [f32],
) -> f64 {
    let b = &model.blocks()[block];
    linalg::mix(beta, &base[b.rows.clone()], field, scratch);
    b.unit.log_partition(model.theta(block, given), scratch)
}
