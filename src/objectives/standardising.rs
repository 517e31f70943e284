//! Standardised gradients: the gradient with respect to the parameters of the energy of `x̂ = (x - μ)/s` and `ŷ = (y - λ)/t`,
//! carried back to the parameters of the plain energy.
//!
//! Couplings and biases are both those of standardised units (`S` and `T` are the diagonal matrices of `s` and `t`):
//!
//! ```text
//! E = U(x) + U(y) - ŷᵀŴx̂ - b̂ᵀx̂ - ĉᵀŷ
//! ```
//!
//! Multiplied out, and but for a constant, this is the plain energy with
//!
//! ```text
//! W = T⁻¹ŴS⁻¹      b = S⁻¹b̂ - Wᵀλ      c = T⁻¹ĉ - Wμ
//! ```
//!
//! With `G` the plain gradient, the chain rule gives those by `Ŵ`, `b̂` and `ĉ`; a step along them moves the plain parameters
//! along `H`, which has every scale twice, once for each way:
//!
//! ```text
//! Ĝ_W = T⁻¹(G_W - G_c μᵀ - λ G_bᵀ)S⁻¹      Ĝ_b = S⁻¹G_b               Ĝ_c = T⁻¹G_c
//! H_W = T⁻²(G_W - G_c μᵀ - λ G_bᵀ)S⁻²      H_b = S⁻²G_b - H_Wᵀλ      H_c = T⁻²G_c - H_W μ
//! ```
//!
//! With all scales one it is the centred gradient. As there, the model is never reparametrised, so moving offsets and scales
//! cannot change its distribution. What scales add to offsets: learning no longer depends on the unit of measure. If `αx + β`
//! takes the place of `x`, the steps change such that the distributions stay the same. So bits learn as spins do, and rare
//! states and small pixels as fast as others. Learning rates mean something else: between bits that are fair coins, weights
//! move 16 times as far as with centred gradients, and biases 4 times.
//!
//! Offsets and variances slide over the data phase. The variance of a latent unit is that of its conditional mean over the data
//! plus the mean of its conditional variance, `Var h = Var E[h|v] + E Var[h|v]`; that of a data unit is over the data.
//!
//! **The floor.** A unit that is constant in the data has no scale, and one that is nearly so a small one, by which the noise of
//! few negative states is divided. So no variance counts as less than a share of the variance that the unit has at field 0,
//! where its kind, its unit of measure and its own parameters are known, and the data play no part.
//!
//! It does not touch the gradients of units' own parameters, nor of weights that couple no two blocks.
//!
//! ## References
//! - Cossio and others, RestrictedBoltzmannMachines.jl, `StandardizedRBM` (a reparametrised model, with unscaled biases).
//! - Montavon and Müller, "Deep Boltzmann machines and the centering trick", 2012 (offsets, and the way back).
//! - LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998 (why inputs of one variance learn faster).

use super::Centring;
use crate::linalg::{axpy, col};
use crate::params::Role;
use crate::{Block, Error, Learn, MatRef, Params, Result, Resume, Saved, States};
use rayon::prelude::*;
use std::ops::Range;

/// Rows handled by one task, up to whole units.
const ROWS: usize = 128;

/// Offsets and variances of all units that have biases, and how fast they slide.
#[derive(Clone, Debug)]
pub struct Standardising {
    /// The offsets, and the weight of the newest batch in the sliding means and variances.
    pub centring: Centring,
    /// The least variance, as a share of the variance at field 0; above 0.
    pub floor: f32,
    variances: Vec<f32>, // one for every parameter; those of biases are in use
    before: Vec<f32>,    // the offsets before the newest batch, in the same places
    gains: Vec<f32>,     // one over the variances, none less than the floor; one where there is no bias
    scratch: [Vec<f32>; 2],
}

impl Default for Standardising {
    fn default() -> Self {
        Self::new(0.01)
    }
}

impl Standardising {
    /// Nothing is known yet: the first batch sets offsets and variances. With a floor of a fifth.
    pub fn new(slide: f32) -> Self {
        let (centring, scratch) = (Centring::new(slide), [vec![], vec![]]);
        Self { centring, floor: 0.2, variances: vec![], before: vec![], gains: vec![], scratch }
    }
    /// Whether a model can be standardised, the floor is one, and what is known is of this model.
    ///
    /// # Errors
    /// [`Error::Value`] if the floor is not a number above 0, or there are biases of which [`Learn::biases`] does not tell whose
    /// they are; [`Error::Shape`] if offsets or variances are of another model: only a saved state can bring them.
    pub fn check<M: Learn + ?Sized>(&self, model: &M) -> Result<()> {
        if !(self.floor > 0.0 && self.floor.is_finite()) {
            return Err(Error::value("the floor of standardising", "a number above 0", self.floor));
        }
        let slots = model.params().slots().iter().filter(|s| s.role == Role::Bias);
        let all: usize = slots.map(|s| s.rows * s.columns).sum();
        let told: usize = places(model).map(|(_, places)| places.len()).sum();
        if all != told {
            let expected = format!("told of {all} biases, for standardised gradients");
            return Err(Error::value("the units of the model", expected, told));
        }
        self.centring.check(model.params())?;
        match (self.variances.len(), model.params().as_slice().len()) {
            (got, expected) if got != 0 && got != expected => {
                Err(Error::shape("the variances of standardising", format!("{expected} parameters"), got))
            }
            _ => Ok(()),
        }
    }
    /// Moves the offsets towards the means of the data phase, as [`Centring::observe`] does; [`Standardising::measure`] is to
    /// follow.
    pub fn observe(&mut self, positive: &Params) {
        self.before.resize(positive.as_slice().len(), 0.0);
        for (k, slot) in positive.slots().iter().enumerate().filter(|(_, s)| s.role == Role::Bias) {
            let offsets = self.centring.offsets(positive, k);
            self.before[slot.range()][..offsets.len()].copy_from_slice(offsets);
        }
        self.centring.observe(positive);
    }
    /// Moves the variances towards those of the data phase: states after [`Learn::infer`], with weights that add up to one.
    ///
    /// With `m` and `s²` the sliding mean and variance before, `m'` the mean after, `a` the factor: the variance of a mixture,
    /// `s'² = (1-a)(s² + (m - m')²) + a ⟨(x - m')²⟩`.
    ///
    /// # Errors
    /// [`Error::Value`] if the means of a latent block are not known.
    pub fn measure<M: Learn + ?Sized>(&mut self, model: &M, (states, weights): (&States, &[f32])) -> Result<()> {
        let n = model.params().as_slice().len();
        let slide = if self.variances.is_empty() { 1.0 } else { self.centring.slide };
        self.variances.resize(n, 0.0);
        self.gains.resize(n, 1.0);
        let offsets = self.centring.all();
        for (b, places) in places(model) {
            let (block, theta) = (&model.blocks()[b], model.theta(b, &[]));
            let seen = Seen::of(model, states, b)?;
            let [squares, zeros] = &mut self.scratch;
            let about = &offsets[places.clone()];
            [&mut *squares, &mut *zeros].into_iter().for_each(|s| s.resize(places.len(), 0.0));
            seen.spread((block, theta), weights, about, (squares, zeros));
            let known = self.variances[places.clone()].iter_mut().zip(&self.before[places.clone()]);
            for (((variance, before), after), square) in known.zip(about).zip(&*squares) {
                *variance = (1.0 - slide) * (*variance + (before - after).powi(2)) + slide * square;
            }
            // The variances at field 0, in the place of the squares.
            zeros.fill(0.0);
            block.unit.variance(theta, zeros, squares);
            let gains = self.gains[places.clone()].iter_mut().zip(&self.variances[places]).zip(&*squares);
            gains.for_each(|((gain, variance), most)| {
                let variance = variance.max(self.floor * most);
                // A unit of one value never has a gradient.
                *gain = if variance > 0.0 { 1.0 / variance } else { 1.0 };
            });
        }
        Ok(())
    }
    /// The variances of the units whose biases are slot `k`; empty before the first batch.
    pub fn variances(&self, params: &Params, k: usize) -> &[f32] {
        self.variances.get(params.slots()[k].range()).unwrap_or(&[])
    }
    /// Turns a plain gradient into a standardised one; before the first batch it stays plain.
    pub fn apply(&mut self, grad: &mut Params) {
        if !self.gains.is_empty() {
            self.centring.carry(grad, Some(&self.gains));
        }
    }
    /// One over the variances, in the places of the biases.
    pub(super) fn gains(&self) -> &[f32] {
        &self.gains
    }
}

/// The blocks whose biases have known places.
fn places<M: Learn + ?Sized>(model: &M) -> impl Iterator<Item = (usize, Range<usize>)> {
    (0..model.blocks().len()).filter_map(|b| model.biases(b).map(|places| (b, places)))
}

/// A block in the data phase: means (of data units, their values), and the fields that latent units have.
struct Seen<'a> {
    means: MatRef<'a>,
    fields: Option<MatRef<'a>>,
}
impl<'a> Seen<'a> {
    fn of<M: Learn + ?Sized>(model: &M, states: &'a States, block: usize) -> Result<Self> {
        let rows = model.blocks()[block].rows.clone();
        if rows.end <= model.n_visible() {
            return Ok(Self { means: states.rows(rows), fields: None });
        }
        let known = states.known(model, block).map(|(fields, means)| Self { means, fields: Some(fields) });
        known.ok_or_else(|| Error::value(format!("the means of block {block}"), "known after `Learn::infer`", "none"))
    }
    /// `out = Σ wₙ ⟨(xₙ - about)²⟩`, row by row, in parallel over whole units; `scratch` is as long.
    fn spread(
        &self,
        (block, theta): (&Block, &[f32]),
        weights: &[f32],
        about: &[f32],
        (out, scratch): (&mut [f32], &mut [f32]),
    ) {
        let (width, own) = (block.unit.width(), block.unit.n_theta());
        let rows = width * ROWS.div_ceil(width);
        let pieces = out.par_chunks_mut(rows).zip(scratch.par_chunks_mut(rows)).enumerate();
        pieces.for_each(|(k, (out, scratch))| {
            let at = k * rows..k * rows + out.len();
            let theta = &theta[at.start * own..at.end * own];
            out.fill(0.0);
            for (j, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                let far = col(&self.means, j)[at.clone()].iter().zip(&about[at.clone()]).map(|(x, o)| x - o);
                out.iter_mut().zip(far).for_each(|(s, far)| *s += w * far * far);
                if let Some(fields) = &self.fields {
                    block.unit.variance(theta, &col(fields, j)[at.clone()], scratch);
                    axpy(w, scratch, out);
                }
            }
        });
    }
}

impl Resume for Standardising {
    fn save(&self, to: &mut Saved) {
        self.centring.save(to);
        to.put("variances", &self.variances);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.centring.load(from)?;
        self.variances = from.floats("variances")?.to_vec();
        Ok(())
    }
}
