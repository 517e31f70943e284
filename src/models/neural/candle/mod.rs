//! Any candle module as an energy: `E(x | u) = U(x; θ) - bᵀx + f(u, x)` with `f` a module of one number a sample.
//!
//! candle (candle-core, candle-nn) brings the layers and differentiates them. The parameters are this crate's, one flat vector with a
//! slot for every variable of the module; the module's variables are copies, written after every update. The dense networks of
//! [`super::Mlp`] are faster and need no feature; this is for convolutions, and for whatever else there is.
//!
//! A module must map every sample by itself: normalisation over a batch and dropout make no energy.
//!
//! Slabs of samples are what is parallel here. candle shares sums of more than 65,535 numbers among threads of its own, which spin while they
//! wait, and are in the way: programs set `CANDLE_NUM_THREADS=1` in their environment (this repository does for `cargo run`, `test`, `bench`).
//!
//! ```
//! use candle_core::Module;
//! use candle_nn::{VarBuilder, conv1d, linear};
//! use harmonium::models::neural::candle::CandleEnergy;
//! use harmonium::{Energy, Mat, Score, units::Gaussian};
//! use std::sync::Arc;
//! // Eight numbers, of which four filters look at three neighbours each.
//! let build = |variables: VarBuilder<'_>| {
//!     let filters = conv1d(1, 4, 3, Default::default(), variables.pp("filters"))?;
//!     let last = linear(4 * 6, 1, variables.pp("last"))?;
//!     Ok(move |x: &candle_core::Tensor| {
//!         let samples = x.dim(0)?; // samples × 8
//!         let active = filters.forward(&x.reshape((samples, 1, 8))?)?.silu()?;
//!         last.forward(&active.reshape((samples, 4 * 6))?)
//!     })
//! };
//! let mut model = CandleEnergy::new("filters of three, silu", 0, &[(8, Arc::new(Gaussian))], build)?;
//! model.initialise(&[], 1)?;
//! let (x, mut energies, mut slopes) = (Mat::from_element(8, 5, 0.5), [0.0; 5], Mat::zeros(8, 5));
//! model.energy_and_grad_x(x.as_view(), &mut energies, slopes.as_view_mut());
//! assert!(energies.iter().all(|e| e.is_finite()));
//! # Ok::<(), harmonium::Error>(())
//! ```
//!
//! ## References
//! - LeCun, Chopra, Hadsell, Ranzato and Huang, "A tutorial on energy-based learning", 2006.
//! - Grathwohl, Swersky, Hashemi, Duvenaud and Maddison, "Oops I took a gradient: scalable sampling for discrete distributions", 2021
//!   (an energy beside a base rate; the residual network).

mod attention;
mod gates;
mod linear;
mod networks;
mod norms;
mod operations;
mod owned;
mod variables;
pub(crate) use attention::{Waves, attend};
pub(crate) use gates::gated;
pub use linear::Linear;
pub(crate) use networks::gain;
pub use networks::{Image, Residual};
pub(crate) use norms::Norm;
pub(crate) use operations::values;
pub use operations::{activate, convolve, dense};
pub(crate) use owned::Owned;
pub(crate) use variables::{fitting, read};

use crate::linalg::{add_columns, col, dot};
use crate::models::{Kind, grad_theta};
use crate::params::Role;
use crate::{Block, Energy, Error, Learn, MatMut, MatRef, Params, Result, Score, Train, Version};
use candle_core::backprop::GradStore;
use candle_core::{Device, Module, Tensor, Var, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use std::fmt;
use std::ops::Range;

/// Samples that a module gets at once: as many always, for the bits of candle's own products depend on how many there are where they are
/// few.
const CHUNK: usize = 64;
/// Where all products are this crate's, samples come in multiples of this; and as many at once as have so many numbers of one activity:
/// they stay in a core's cache, and below what candle shares among threads of its own, which wait for one another without sleep.
const OWN: usize = 2;
const AT_ONCE: usize = 64 * 1024 - 1;

type Shared = Box<dyn Module + Send + Sync>;

/// `E(x | u) = U(x; θ) - bᵀx + f(u, x)` with a candle module `f`; a state is the inputs `u`, if there are some, which are given, then the
/// units `x`. The module gets all of it, samples × rows, 64 samples at once; if there
/// are fewer, some of them come twice. (The ready networks get fewer at once.)
///
/// Parameters: the variables of the module in the order in which it asks for them, by their names, and `visible_bias` b and
/// `visible_theta` (the units' own).
///
/// The same seed gives the same bits for any number of threads, if the module does: the operations here do ([`convolve`], [`dense`],
/// [`activate`]), and products and convolutions of candle have been seen to. They take their threads from the pool that asks. (Sums of
/// more than 65,535 numbers candle itself shares among threads, which costs more than it gains here, up to half of all time: with modules
/// of your own set `CANDLE_NUM_THREADS=1`.) Passes allocate, as candle does. If a pass fails, which those at construction did not, its
/// energies and derivatives are not numbers.
pub struct CandleEnergy {
    architecture: String,
    module: Owned<Shared>,
    blocks: Vec<Block>,
    thetas: Vec<Range<usize>>, // of every block, in their slot
    given: usize,
    group: usize, // samples come in multiples of it
    chunk: usize, // and so many at once
}

impl fmt::Debug for CandleEnergy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, module, blocks, .. } = self;
        let named = [("architecture", architecture as &dyn fmt::Debug), ("blocks", blocks), ("module", module)];
        let mut out = f.debug_struct("CandleEnergy");
        named.iter().for_each(|(name, value)| _ = out.field(name, value));
        out.finish_non_exhaustive()
    }
}

impl CandleEnergy {
    /// An energy of these `units`, given so many inputs, by the module that `build` makes of its variables; all parameters zero. It is
    /// called twice, and tried with a few samples. `architecture` says what variables do not: activations, strides; a checkpoint of
    /// another is refused.
    ///
    /// # Errors
    /// [`Error::Value`] if candle cannot build, run or differentiate the module; if it asks for no variables; or if there are no units,
    /// or rows are not those of whole units. [`Error::Shape`] if it does not give one number a sample.
    pub fn new<N: Module + Send + Sync + 'static>(
        architecture: &str,
        given: usize,
        units: &[Kind],
        build: impl Fn(VarBuilder<'_>) -> candle_core::Result<N>,
    ) -> Result<Self> {
        let (blocks, thetas) = blocks(given, units)?;
        let rows = blocks.last().map_or(given, |b| b.rows.end);
        let theta = thetas.last().map_or(0, |t| t.end);
        let more = [("visible_bias", Role::Bias, rows - given), ("visible_theta", Role::Unit, theta)];
        let module = Owned::build(&more, |variables| Ok(Box::new(build(variables)?) as Shared))?;
        if module.n_variables() == 0 {
            return Err(Error::value("the variables of a candle module", "at least one", "none"));
        }
        let model =
            Self { architecture: architecture.into(), module, blocks, thetas, given, group: CHUNK, chunk: CHUNK };
        model.probe()?;
        Ok(model)
    }
    /// Draws the variables as the module asked for them, from `seed`; biases such that the base measure has these means, or zero if none
    /// are told.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one mean for each row of the units, [`Error::Value`] if one has no finite field (draw means of
    /// bits towards ½, see [`crate::base_rate::base_rate`]).
    pub fn initialise(&mut self, mean: &[f32], seed: u64) -> Result<()> {
        let mut bias = vec![0.0; self.n_rows() - self.given];
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
        let slot = self.module.n_slots();
        self.module.draw(seed);
        self.update(&mut |p| p.slice_mut(slot).copy_from_slice(&bias));
        Ok(())
    }
    /// Its products are all this crate's; `largest` numbers a sample has its largest activity.
    fn of_own_products(self, largest: usize) -> Self {
        let chunk = (AT_ONCE / largest.max(1) / OWN * OWN).clamp(OWN, CHUNK);
        Self { group: OWN, chunk, ..self }
    }
    /// `b`, which with a module of zeros is the field of every unit.
    pub fn visible_bias(&self) -> &[f32] {
        self.module.params.slice(self.module.n_slots())
    }
    /// Tries the module with a few samples: whether it gives a number for each, and can be differentiated.
    fn probe(&self) -> Result<()> {
        for n in [1, 2, 3, CHUNK] {
            let x = vec![0.5; n * self.n_rows()];
            let tensor = variables::fitting(Tensor::from_slice(&x, (n, self.n_rows()), &Device::Cpu))?;
            let shape = variables::fitting(self.module.learned().forward(&tensor))?.dims().to_vec();
            if shape.first() != Some(&n) || shape.iter().product::<usize>() != n {
                return Err(Error::shape(
                    format!("what a candle module gives for {n} samples"),
                    format!("[{n}, 1]"),
                    format!("{shape:?}"),
                ));
            }
            let x = MatRef::from_slice(&x, self.n_rows(), n);
            variables::fitting(self.module_slopes(x))?;
            variables::fitting(self.module_gradient(x, &vec![1.0; n]))?;
        }
        Ok(())
    }
    /// Samples as candle has them, filled up to whole groups with what is there: of zeros, the module may know no derivative.
    fn samples(&self, x: MatRef<'_>) -> (Vec<f32>, (usize, usize)) {
        let n = x.ncols().next_multiple_of(self.group);
        let mut data = Vec::with_capacity(n * self.n_rows());
        (0..n).for_each(|j| data.extend_from_slice(col(&x, j % x.ncols())));
        (data, (n, self.n_rows()))
    }
    /// `f(x)` of at most 64 samples.
    fn module_energies(&self, x: MatRef<'_>) -> candle_core::Result<Vec<f32>> {
        let (data, shape) = self.samples(x);
        let out = self.module.fixed().forward(&Tensor::from_vec(data, shape, &Device::Cpu)?)?;
        numbers(&out, shape.0)
    }
    /// `f(x)` and `∂f/∂x` of at most 64 samples.
    fn module_slopes(&self, x: MatRef<'_>) -> candle_core::Result<(Vec<f32>, Option<Tensor>)> {
        let (data, shape) = self.samples(x);
        let x = Var::from_vec(data, shape, &Device::Cpu)?;
        let out = self.module.fixed().forward(&x)?;
        Ok((numbers(&out, shape.0)?, out.backward()?.remove(&x)))
    }
    /// `∂(Σ wₙ f(xₙ))/∂θ` of at most 64 samples.
    fn module_gradient(&self, x: MatRef<'_>, weights: &[f32]) -> candle_core::Result<GradStore> {
        let (data, shape) = self.samples(x);
        let mut weights = weights.to_vec();
        weights.resize(shape.0, 0.0);
        let out = self.module.learned().forward(&Tensor::from_vec(data, shape, &Device::Cpu)?)?;
        let weights = Tensor::from_vec(weights, shape.0, &Device::Cpu)?;
        (out.flatten_all()? * weights)?.backward()
    }
    /// `U(x) - bᵀx` of a state.
    fn base_energy(&self, x: &[f32]) -> f64 {
        let unit = |(b, block): (usize, &Block)| block.unit.base_energy(self.theta(b, &[]), &x[block.rows.clone()]);
        self.blocks.iter().enumerate().map(unit).sum::<f64>() - dot(self.visible_bias(), &x[self.given..])
    }
    /// Energies and `∂E/∂x` of at most 64 samples.
    fn slab_slopes(&self, x: MatRef<'_>, energies: Option<&mut [f64]>, mut out: MatMut<'_>) {
        let done = self.module_slopes(x).and_then(|(values, slopes)| {
            let Some(slopes) = slopes else {
                out.fill(0.0);
                return Ok(values);
            };
            variables::read(&slopes, |slopes| {
                let columns = out.column_iter_mut().zip(slopes.chunks_exact(x.nrows()));
                columns.for_each(|(mut to, from)| to.copy_from_slice(from));
            })?;
            Ok(values)
        });
        let Ok(values) = done else {
            energies.into_iter().for_each(|energies| energies.fill(f64::NAN));
            return out.fill(f32::NAN);
        };
        for (j, e) in energies.into_iter().flatten().enumerate() {
            *e = self.base_energy(col(&x, j)) + f64::from(values[j]);
        }
        for (j, mut out) in out.column_iter_mut().enumerate() {
            let (x, out) = (col(&x, j), out.as_mut_slice());
            out[self.given..].iter_mut().zip(self.visible_bias()).for_each(|(o, b)| *o -= b);
            for (b, block) in self.blocks.iter().enumerate() {
                let rows = block.rows.clone();
                block.unit.base_grad_x(self.theta(b, &[]), &x[rows.clone()], &mut out[rows]);
            }
        }
    }
}

/// The numbers of a module's output, one a sample.
fn numbers(out: &Tensor, n: usize) -> candle_core::Result<Vec<f32>> {
    let values = variables::read(out, <[f32]>::to_vec)?;
    if values.len() != n {
        bail!("{} numbers for {n} samples", values.len());
    }
    Ok(values)
}

/// Blocks of units after so many given rows, and where their own parameters are.
fn blocks(given: usize, units: &[Kind]) -> Result<(Vec<Block>, Vec<Range<usize>>)> {
    let (mut at, mut theta, mut blocks, mut thetas) = (given, 0, vec![], vec![]);
    for (rows, unit) in units {
        if unit.width() == 0 || !rows.is_multiple_of(unit.width()) {
            let expected = format!("those of whole units of {} rows", unit.width());
            return Err(Error::value(format!("rows of {} units", unit.name()), expected, rows));
        }
        blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group: blocks.len() });
        thetas.push(theta..theta + rows * unit.n_theta());
        (at, theta) = (at + rows, theta + rows * unit.n_theta());
    }
    if at == given {
        return Err(Error::value("the units of an energy", "at least one", "none"));
    }
    Ok((blocks, thetas))
}

impl Energy for CandleEnergy {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, _: &'a [f32]) -> &'a [f32] {
        &self.module.params.slice(self.module.n_slots() + 1)[self.thetas[block].clone()]
    }
    fn n_given(&self) -> usize {
        self.given
    }
    fn version(&self) -> Version {
        self.module.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        out.par_chunks_mut(self.chunk).enumerate().for_each(|(piece, out)| {
            let x = x.columns(piece * self.chunk, out.len());
            match self.module_energies(x) {
                Ok(values) => {
                    let columns = out.iter_mut().zip(values).enumerate();
                    columns.for_each(|(j, (e, f))| *e = self.base_energy(col(&x, j)) + f64::from(f));
                }
                Err(_) => out.fill(f64::NAN),
            }
        });
    }
}
impl Score for CandleEnergy {
    /// Of given rows too.
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        for from in (0..x.ncols()).step_by(self.chunk) {
            let n = self.chunk.min(x.ncols() - from);
            self.slab_slopes(x.columns(from, n), None, out.columns_mut(from, n));
        }
    }
    /// One pass forwards and one backwards.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        for from in (0..x.ncols()).step_by(self.chunk) {
            let n = self.chunk.min(x.ncols() - from);
            self.slab_slopes(x.columns(from, n), Some(&mut energies[from..from + n]), out.columns_mut(from, n));
        }
    }
}
impl Learn for CandleEnergy {
    fn params(&self) -> &Params {
        &self.module.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (rows, offset) = (&self.blocks[block].rows, self.module.params.slots()[self.module.n_slots()].offset);
        Some(offset + rows.start - self.given..offset + rows.end - self.given)
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        // A state of weight zero is absent, whatever it holds.
        let kept: Vec<usize> = (0..weights.len()).filter(|&j| weights[j] != 0.0).collect();
        // An even number of pieces, for two threads to share; no function of the number of threads.
        let width = kept.len().div_ceil(2 * kept.len().div_ceil(2 * self.chunk).max(1)).max(1);
        let one = |columns: &[usize]| {
            let weights: Vec<f32> = columns.iter().map(|&j| weights[j]).collect();
            self.module_gradient(x.select_columns(columns).as_view(), &weights)
        };
        let pieces: Vec<_> = kept.par_chunks(width).map(one).collect();
        let added = pieces.into_iter().try_for_each(|one| self.module.add(&one?, grad));
        let n = self.module.n_slots();
        if added.is_err() {
            (0..n).for_each(|k| grad.slice_mut(k).fill(f32::NAN));
        }
        add_columns(grad.slice_mut(n), -1.0, x.rows_range(self.given..), weights);
        for (b, block) in self.blocks.iter().enumerate() {
            let slot = &mut grad.slice_mut(n + 1)[self.thetas[b].clone()];
            grad_theta(block, self.theta(b, &[]), x, weights, slot);
        }
    }
}
impl Train for CandleEnergy {
    fn architecture(&self) -> String {
        format!("candle: {}", self.architecture)
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.module.update(f);
    }
}
