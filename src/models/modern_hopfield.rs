//! Modern continuous Hopfield networks: real states whose energy has a well at every stored pattern; one update of it is the attention
//! of transformers.
//!
//! As a density it is a mixture of Gaussians of precision β around the patterns, with weights that grow with their norms, so that its
//! partition function is known. It stores patterns or learns them; it projects neither states nor patterns, which attention layers do
//! before they come here.
//!
//! ## References
//! - Ramsauer et al., "Hopfield networks is all you need", 2020.
//! - Yuille and Rangarajan, "The concave-convex procedure (CCCP)", 2001: why the energy never rises.

use super::RecallEnd;
use crate::linalg::{add_outer, col, dot, for_columns, for_columns_with, gemm, softmax};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::units::Gaussian;
use crate::{Block, Energy, Error, Learn, Mat, MatMut, MatRef, Params, Result, Score, Train, Version};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;
use std::sync::Arc;

const MEMORIES: usize = 0; // units × memories, column-major: a memory is contiguous
/// Columns of a task.
const CHUNK: usize = 64;

/// `E(ξ) = ½β ξᵀξ - log Σ_μ exp(β x_μᵀξ)`, in nats, so that `p(ξ) ∝ exp(-E)` is what samplers draw from.
///
/// Ramsauer's energy is `E_R = -lse(β, Xᵀξ) + ½ξᵀξ + (1/β) log N + ½M²`, with `M` the largest norm of a memory; then
/// `E = β E_R - log N - ½βM²`: β is the inverse temperature of `E_R`, and the constants, which depend on the memories, are left
/// out of what is sampled and learned. [`ModernHopfield::published_energy`] gives `E_R`.
///
/// Parameters: `memories` X (units × memories); β is a setting.
///
/// ```
/// use harmonium::{Mat, models::{ModernHopfield, RecallEnd}};
/// let patterns = Mat::from_fn(16, 5, |i, k| if i % 5 == k { 1.0 } else { 0.0 });
/// let memory = ModernHopfield::storing(patterns.as_view(), 8.0)?;
/// let cue = 0.7 * patterns.columns(2, 1);
/// let (recalled, ends) = memory.recall(cue.as_view(), 10, 1e-4)?;
/// assert!((&recalled - patterns.columns(2, 1)).amax() < 1e-3 && ends[0].is_settled());
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModernHopfield {
    params: Params,
    by_unit: Mat, // memories × units: of plain products alone the bits of a column do not depend on how many others there are
    blocks: Vec<Block>,
    beta: f64,
}

/// What a fixed point of the update is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FixedPoint {
    /// One memory.
    Pattern(usize),
    /// Several memories that are near each other, in order.
    Metastable(Vec<usize>),
    /// All of them alike: the state is their mean.
    Average,
}

impl ModernHopfield {
    /// So many units and memories, the memories zero.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no units or memories, or `beta` is not a number above 0.
    pub fn new(units: usize, memories: usize, beta: f64) -> Result<Self> {
        if !(beta > 0.0 && beta.is_finite() && (beta as f32) > 0.0 && (beta as f32).is_finite()) {
            return Err(Error::value("β of a modern Hopfield network", "a number above 0", beta));
        }
        for (what, n) in [("units", units), ("memories", memories)] {
            if n == 0 {
                return Err(Error::value(format!("the number of {what}"), "at least 1", n));
            }
        }
        Ok(Self {
            params: Params::zeros(&[("memories", Role::Weights, units, memories)]),
            by_unit: Mat::zeros(memories, units),
            blocks: vec![Block { rows: 0..units, unit: Arc::new(Gaussian), group: 0 }],
            beta,
        })
    }
    /// A memory of `patterns` (units × patterns).
    ///
    /// # Errors
    /// Those of [`ModernHopfield::new`]; [`Error::Value`] with the first entry that is no number.
    pub fn storing(patterns: MatRef<'_>, beta: f64) -> Result<Self> {
        check_numbers("pattern", patterns)?;
        let mut memory = Self::new(patterns.nrows(), patterns.ncols(), beta)?;
        memory.update(&mut |p| p.mat_mut(MEMORIES).copy_from(&patterns));
        Ok(memory)
    }
    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.memories().nrows()
    }
    /// Number of memories.
    pub fn n_memories(&self) -> usize {
        self.memories().ncols()
    }
    /// `X`, units × memories.
    pub fn memories(&self) -> MatRef<'_> {
        self.params.mat(MEMORIES)
    }
    /// `β`
    pub fn beta(&self) -> f64 {
        self.beta
    }
    /// Ramsauer's energy `E_R = -lse(β, Xᵀξ) + ½ξᵀξ + (1/β) log N + ½M²` of states (units × samples), which is never below 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state has not one row a unit, [`Error::Value`] if an entry is no number.
    pub fn published_energy(&self, x: MatRef<'_>) -> Result<Vec<f64>> {
        self.check(x)?;
        let mut energies = vec![0.0; x.ncols()];
        crate::linalg::by_columns(x, CHUNK, &mut energies, |x, out| self.energy(x, out));
        let most = self.square_norms().into_iter().fold(0.0, f64::max);
        let constant = (self.n_memories() as f64).ln() / self.beta + 0.5 * most;
        energies.iter_mut().for_each(|e| *e = *e / self.beta + constant);
        Ok(energies)
    }
    /// `log Z = log Σ_μ exp(½β x_μᵀx_μ) + ½ d log(2π/β)`: exact, for the density is a mixture of Gaussians.
    pub fn log_partition(&self) -> f64 {
        let exponents: Vec<f64> = self.square_norms().iter().map(|n| 0.5 * self.beta * n).collect();
        log_sum_exp(&exponents) + 0.5 * self.n_units() as f64 * (TAU / self.beta).ln()
    }
    /// Exact draws of the density, units × samples: a memory with probability `∝ exp(½β x_μᵀx_μ)`, and noise of variance `1/β`.
    pub fn sample(&self, samples: usize, seed: u64) -> Mat {
        let mut rng = ChainRng::new(derive(seed, "draws of a modern Hopfield network"));
        let exponents: Vec<f64> = self.square_norms().iter().map(|n| 0.5 * self.beta * n).collect();
        let whole = log_sum_exp(&exponents);
        let up_to: Vec<f64> = exponents
            .iter()
            .scan(0.0, |sum, e| {
                *sum += (e - whole).exp();
                Some(*sum)
            })
            .collect();
        let deviation = (1.0 / self.beta).sqrt() as f32;
        let mut out = Mat::zeros(self.n_units(), samples);
        for mut x in out.column_iter_mut() {
            let u = rand::RngExt::random::<f64>(&mut rng) * up_to[up_to.len() - 1];
            let k = up_to.partition_point(|sum| *sum <= u).min(up_to.len() - 1);
            for (x, m) in x.iter_mut().zip(self.memories().column(k).iter()) {
                let z: f32 = StandardNormal.sample(&mut rng);
                *x = m + deviation * z;
            }
        }
        out
    }
    /// `softmax(β Xᵀξ)`, memories × samples: how much of every memory the next state is made of.
    ///
    /// # Errors
    /// Those of [`ModernHopfield::published_energy`].
    pub fn attention(&self, x: MatRef<'_>) -> Result<Mat> {
        self.check(x)?;
        Ok(self.shares(x))
    }
    /// One update of every state, `ξ' = X softmax(β Xᵀξ)`; the energy never rises.
    ///
    /// # Errors
    /// Those of [`ModernHopfield::published_energy`].
    pub fn updated(&self, x: MatRef<'_>) -> Result<Mat> {
        self.read(self.memories(), x)
    }
    /// Hetero-association: `Y softmax(β Xᵀξ)`, what is read out of `values` Y (rows × memories), one column a memory, whose keys are
    /// the memories. With `β = 1/√d`, keys as memories and queries as states it is the attention of transformers,
    /// `softmax(QKᵀ/√d)V`, transposed.
    ///
    /// # Errors
    /// Those of [`ModernHopfield::published_energy`], of `values` too; [`Error::Shape`] if there is not one value a memory.
    pub fn read(&self, values: MatRef<'_>, x: MatRef<'_>) -> Result<Mat> {
        self.check(x)?;
        check_numbers("value", values)?;
        if values.ncols() != self.n_memories() {
            return Err(Error::shape("values to read", format!("{} memories", self.n_memories()), values.ncols()));
        }
        let mut out = Mat::zeros(values.nrows(), x.ncols());
        let mut shares = vec![Mat::zeros(0, 0); x.ncols().div_ceil(CHUNK)];
        for_columns_with(&mut out, CHUNK, &mut shares, |columns, out, shares| {
            *shares = Mat::zeros(self.n_memories(), columns.len());
            self.shares_to(x.columns_range(columns), shares.as_view_mut());
            gemm(1.0, values, shares.as_view(), 0.0, out);
            *shares = Mat::zeros(0, 0);
        });
        Ok(out)
    }
    /// Updates every state until no entry changes by more than `tolerance`, at most `most` times: where they ended, and how.
    ///
    /// # Errors
    /// Those of [`ModernHopfield::published_energy`]; [`Error::Value`] if `tolerance` is below 0 or no number.
    pub fn recall(&self, x: MatRef<'_>, most: usize, tolerance: f32) -> Result<(Mat, Vec<RecallEnd>)> {
        self.check(x)?;
        if tolerance.is_nan() || tolerance < 0.0 {
            return Err(Error::value("the tolerance of a recall", "at least 0", tolerance));
        }
        let mut states = x.clone_owned();
        let mut ends: Vec<Vec<RecallEnd>> = vec![vec![]; x.ncols().div_ceil(CHUNK)];
        for_columns_with(&mut states, CHUNK, &mut ends, |_, states, ends| {
            *ends = self.recall_some(states, most, tolerance);
        });
        Ok((states, ends.concat()))
    }
    /// What fixed points (units × samples) are made of. A memory alone if it has at least `share` of the attention; all alike if the
    /// attention is spread over at least `share` of the memories, `exp(H) ≥ share N` with `H` its entropy; else the fewest memories
    /// that have `share` of it together (Ramsauer et al. count these, at a share of 0.9).
    ///
    /// # Errors
    /// Those of [`ModernHopfield::published_energy`]; [`Error::Value`] if `share` is not above ½ and below 1.
    pub fn fixed_points(&self, x: MatRef<'_>, share: f64) -> Result<Vec<FixedPoint>> {
        if !(share > 0.5 && share < 1.0) {
            return Err(Error::value("the share of a fixed point", "above 0.5 and below 1", share));
        }
        let shares = self.attention(x)?;
        Ok(shares.column_iter().map(|p| fixed_point(p.data.into_slice(), share)).collect())
    }
    fn check(&self, x: MatRef<'_>) -> Result<()> {
        if x.nrows() != self.n_units() {
            return Err(Error::shape("rows of states", format!("{} units", self.n_units()), x.nrows()));
        }
        check_numbers("state", x)
    }
    fn square_norms(&self) -> Vec<f64> {
        self.memories().column_iter().map(|m| dot(m.data.into_slice(), m.data.into_slice())).collect()
    }
    fn shares_to(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        gemm(1.0, self.by_unit.as_view(), x, 0.0, out.as_view_mut());
        out.column_iter_mut().for_each(|mut z| softmax(self.beta as f32, z.as_mut_slice()));
    }
    /// `softmax(β Xᵀξ)`, in parallel.
    fn shares(&self, x: MatRef<'_>) -> Mat {
        let mut out = Mat::zeros(self.n_memories(), x.ncols());
        for_columns(&mut out, CHUNK, |columns, out| self.shares_to(x.columns_range(columns), out));
        out
    }
    fn recall_some(&self, mut states: MatMut<'_>, most: usize, tolerance: f32) -> Vec<RecallEnd> {
        let (d, n) = states.shape();
        let (mut shares, mut next) = (Mat::zeros(self.n_memories(), n), Mat::zeros(d, n));
        let mut ends = vec![RecallEnd::Unsettled; n];
        for steps in 0..most {
            self.shares_to(states.as_view(), shares.as_view_mut());
            gemm(1.0, self.memories(), shares.as_view(), 0.0, next.as_view_mut());
            // Those that have settled stay where they are, however many others go on.
            for (j, end) in ends.iter_mut().enumerate().filter(|(_, end)| !end.is_settled()) {
                let (mut from, to) = (states.column_mut(j), next.column(j));
                match from.iter().zip(to.iter()).all(|(a, b)| (a - b).abs() <= tolerance) {
                    true => *end = RecallEnd::Settled { steps },
                    false => from.copy_from(&to),
                }
            }
            if ends.iter().all(|end| end.is_settled()) {
                break;
            }
        }
        ends
    }
}

/// `log Σ exp`
fn log_sum_exp(x: &[f64]) -> f64 {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + x.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

/// Whether all entries are finite.
pub(super) fn check_numbers(what: &str, x: MatRef<'_>) -> Result<()> {
    for (j, column) in x.column_iter().enumerate() {
        if let Some(i) = column.iter().position(|x| !x.is_finite()) {
            return Err(Error::value(format!("unit {i} of {what} {j}"), "a finite number", column[i]));
        }
    }
    Ok(())
}

fn fixed_point(p: &[f32], share: f64) -> FixedPoint {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let mut sum = 0.0;
    let enough = order.iter().position(|&k| {
        sum += f64::from(p[k]);
        sum >= share
    });
    order.truncate(enough.map_or(p.len(), |k| k + 1));
    let entropy: f64 = p.iter().map(|&p| f64::from(p)).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    match order[..] {
        [one] => FixedPoint::Pattern(one),
        _ if entropy.exp() >= share * p.len() as f64 => FixedPoint::Average,
        _ => {
            order.sort_unstable();
            FixedPoint::Metastable(order)
        }
    }
}

impl Energy for ModernHopfield {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// Products and sums in double precision.
    ///
    /// # Panics
    /// If a state has not one row a unit.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!((x.nrows(), x.ncols()), (self.n_units(), out.len()), "shape of the states, and places for energies");
        let memories = self.memories();
        let mut exponents = vec![0.0; self.n_memories()];
        for (j, out) in out.iter_mut().enumerate() {
            let x = col(&x, j);
            exponents.iter_mut().enumerate().for_each(|(k, e)| *e = self.beta * dot(col(&memories, k), x));
            *out = 0.5 * self.beta * dot(x, x) - log_sum_exp(&exponents);
        }
    }
}

impl Score for ModernHopfield {
    /// `∂E/∂ξ = β (ξ - X softmax(β Xᵀξ))`: β times what an update changes.
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        let beta = self.beta as f32;
        out.copy_from(&x);
        gemm(-beta, self.memories(), self.shares(x).as_view(), beta, out);
    }
}

impl Learn for ModernHopfield {
    fn params(&self) -> &Params {
        &self.params
    }
    /// `∂E/∂x_μ = -β softmax(β Xᵀξ)_μ ξ`
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        add_outer(-self.beta as f32, x, self.shares(x).as_view(), weights, grad.slice_mut(MEMORIES));
    }
}

impl Train for ModernHopfield {
    /// β, which parameters do not tell.
    fn architecture(&self) -> String {
        format!("beta {}", self.beta)
    }
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let shape = self.memories().shape();
        f(&mut self.params);
        // Whole parameters may have come from a model of another β.
        self.params.as_mut_slice();
        assert_eq!(self.memories().shape(), shape, "shape of the memories");
        self.by_unit.tr_copy_from(&self.params.mat(MEMORIES));
    }
}
