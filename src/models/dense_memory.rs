//! Dense associative memories: spins whose energy counts every memory by a steep function of its overlap with the state, so that
//! the nearest one outweighs all others, and many more can be stored than there are units.
//!
//! It neither stores by a rule of its own (memories are the patterns themselves, or learned) nor knows of samplers: recall is its own
//! [`Gibbs`] sweep with the mode for an answer. As a classifier: [`super::memory_classes`], and
//! [`MemoryClassification`](crate::objectives::MemoryClassification), which learns one.
//!
//! ## References
//! - Krotov and Hopfield, "Dense associative memory for pattern recognition", 2016.
//! - Demircigil, Heusel, Löwe, Upgang and Vermet, "On a model of associative memory with huge storage capacity", 2017.

use super::{Interaction, RecallEnd};
use crate::linalg::{add_outer, col, dot, for_columns, gemm};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::units::Spin;
use crate::{
    Block, Energy, Error, Gibbs, Learn, Mat, MatMut, MatRef, Params, Response, Result, Score, Slab, States, Train,
    Version,
};
use rand_distr::{Distribution, StandardNormal};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

const MEMORIES: usize = 0; // units × memories, column-major: a memory is contiguous
/// Columns of a task.
const CHUNK: usize = 64;

thread_local! {
    /// Overlaps with the states of a slab, kept from call to call so that a sweep allocates nothing. Taken while in use.
    static OVERLAPS: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
    /// And the values of a unit before it answers.
    static BEFORE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static FIELDS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// `E(s) = -β Σ_μ F(m_μ)` over spins `s`, with the overlaps `m_μ = ξ_μᵀ s / N` and an [`Interaction`] `F` for which `F(1) = 1`.
///
/// `β` is the depth of a well in nats, of a memory of ±1 that no other is near; it is explicit, for nothing is natural. In terms of
/// the published energies: Krotov and Hopfield's `-Σ F(ξᵀs)` of degree `n` is this one at `β = Nⁿ`; Hopfield's
/// `-(1/2N) Σ (ξᵀs)²` is degree 2 at `β = N/2`; Demircigil's `-Σ exp(ξᵀs)` is the exponential one of rate `N` at `β = e^N`. Recall
/// does not depend on `β`.
///
/// Parameters: `memories` ξ (units × memories). Every spin is a block of its own, for no two are independent; a sweep costs `O(N P)`.
///
/// ```
/// use harmonium::{Mat, States, models::{DenseMemory, Interaction, RecallEnd}};
/// let patterns = Mat::from_fn(16, 3, |i, k| if (i >> k) & 1 == 0 { 1.0 } else { -1.0 });
/// let memory = DenseMemory::storing(patterns.as_view(), Interaction::Polynomial { degree: 3 }, 16.0)?;
/// let mut cues = States::new(patterns.clone());
/// cues.x_mut()[(0, 1)] *= -1.0; // one spin of the second is wrong
/// let ends = memory.recall(&mut cues, 10)?;
/// assert_eq!((cues.x(), ends[1]), (patterns.as_view(), RecallEnd::Settled { steps: 1 }));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DenseMemory {
    params: Params,
    by_unit: Mat, // memories × units: the values of a unit are contiguous
    blocks: Vec<Block>,
    interaction: Interaction,
    beta: f64,
    bound: Option<f32>,
}

impl DenseMemory {
    /// So many units and memories, the memories zero.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no units or memories, the interaction is none, or `beta` is not a number above 0.
    pub fn new(units: usize, memories: usize, interaction: Interaction, beta: f64) -> Result<Self> {
        interaction.check()?;
        if !(beta > 0.0 && beta.is_finite()) {
            return Err(Error::value("β of a dense associative memory", "a number above 0", beta));
        }
        for (what, n) in [("units", units), ("memories", memories)] {
            if n == 0 {
                return Err(Error::value(format!("the number of {what}"), "at least 1", n));
            }
        }
        let unit = Arc::new(Spin);
        let block = |i: usize| Block { rows: i..i + 1, unit: unit.clone(), group: i };
        Ok(Self {
            params: Params::zeros(&[("memories", Role::Weights, units, memories)]),
            by_unit: Mat::zeros(memories, units),
            blocks: (0..units).map(block).collect(),
            interaction,
            beta,
            bound: None,
        })
    }
    /// A memory of `patterns` of ±1 (units × patterns).
    ///
    /// # Errors
    /// Those of [`DenseMemory::new`]; [`Error::Value`] with the first entry that is no spin.
    pub fn storing(patterns: MatRef<'_>, interaction: Interaction, beta: f64) -> Result<Self> {
        check_spins("pattern", patterns)?;
        let mut memory = Self::new(patterns.nrows(), patterns.ncols(), interaction, beta)?;
        memory.update(&mut |p| p.mat_mut(MEMORIES).copy_from(&patterns));
        Ok(memory)
    }
    /// The same, whose memories stay within ±`bound` after every update.
    ///
    /// # Errors
    /// [`Error::Value`] if `bound` is not above 0.
    pub fn bounded(mut self, bound: f32) -> Result<Self> {
        if bound.is_nan() || bound <= 0.0 {
            return Err(Error::value("the bound of memories", "above 0", bound));
        }
        self.bound = Some(bound);
        self.update(&mut |_| ());
        Ok(self)
    }
    /// Draws all memories from a normal distribution, to learn from there.
    ///
    /// # Errors
    /// [`Error::Value`] if the mean or the deviation is not a number, or the deviation is below 0.
    pub fn initialise(&mut self, mean: f32, deviation: f32, seed: u64) -> Result<()> {
        if !mean.is_finite() || !deviation.is_finite() || deviation < 0.0 {
            let got = format!("{mean} ± {deviation}");
            return Err(Error::value("mean and deviation of memories", "numbers, the second at least 0", got));
        }
        let mut rng = ChainRng::new(derive(seed, "memories"));
        self.update(&mut |p| {
            for x in p.slice_mut(MEMORIES) {
                let z: f32 = StandardNormal.sample(&mut rng);
                *x = mean + deviation * z;
            }
        });
        Ok(())
    }
    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.blocks.len()
    }
    /// Number of memories.
    pub fn n_memories(&self) -> usize {
        self.by_unit.nrows()
    }
    /// `ξ`, units × memories.
    pub fn memories(&self) -> MatRef<'_> {
        self.params.mat(MEMORIES)
    }
    /// The values of one unit in all memories.
    pub(crate) fn of_unit(&self, unit: usize) -> &[f32] {
        &self.by_unit.as_slice()[unit * self.n_memories()..][..self.n_memories()]
    }
    /// `F`
    pub fn interaction(&self) -> Interaction {
        self.interaction
    }
    /// `β`
    pub fn beta(&self) -> f64 {
        self.beta
    }
    /// What memories stay within, if there is a bound.
    pub fn bound(&self) -> Option<f32> {
        self.bound
    }
    /// `m_μ = ξ_μᵀ s / N` of states (units × samples), as memories × samples, in parallel.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state has not one row a unit.
    pub fn overlaps(&self, x: MatRef<'_>) -> Result<Mat> {
        self.check_rows(x)?;
        let mut m = self.products(x);
        m *= 1.0 / self.n_units() as f32;
        Ok(m)
    }
    /// Lets states fall to where no single spin changes any more: sweeps at zero temperature, each spin in turn taking the value that
    /// has the lower energy (1 at a tie), at most `most` of them; how each ended. The energy never rises. Frozen units stay.
    ///
    /// # Errors
    /// [`Error::Shape`] if the states have not one row a unit, [`Error::Value`] if an entry is no spin.
    pub fn recall(&self, states: &mut States, most: usize) -> Result<Vec<RecallEnd>> {
        self.check_rows(states.x())?;
        check_spins("state", states.x())?;
        let ends = states.par(|_, slab| {
            let mut ends = vec![RecallEnd::Unsettled; slab.ncols()];
            let mut before = slab.x().clone_owned();
            for steps in 0..most {
                self.sweep(slab, &mut Response::mode());
                let after = slab.x();
                for (j, end) in ends.iter_mut().enumerate().filter(|(_, end)| !end.is_settled()) {
                    if col(&after, j) == col(&before.as_view(), j) {
                        *end = RecallEnd::Settled { steps };
                    }
                }
                if ends.iter().all(|end| end.is_settled()) {
                    break;
                }
                before.copy_from(&after);
            }
            ends
        });
        Ok(ends.concat())
    }
    /// Whether no single spin of a state would change: of stored patterns, whether they are kept.
    ///
    /// # Errors
    /// Those of [`DenseMemory::recall`].
    pub fn are_fixed(&self, x: MatRef<'_>) -> Result<Vec<bool>> {
        let ends = self.recall(&mut States::new(x.clone_owned()), 1)?;
        Ok(ends.iter().map(|end| end.is_settled()).collect())
    }
    fn check_rows(&self, x: MatRef<'_>) -> Result<()> {
        match x.nrows() == self.n_units() {
            true => Ok(()),
            false => Err(Error::shape("rows of states", format!("{} units", self.n_units()), x.nrows())),
        }
    }
    /// `z = ξᵀx`, from the copy by units: of [`crate::linalg::gemm`] alone the bits of a column do not depend on how many others there
    /// are.
    fn multiply(&self, x: MatRef<'_>, z: MatMut<'_>) {
        gemm(1.0, self.by_unit.as_view(), x, 0.0, z);
    }
    /// The values of the first units in all memories, memories × units.
    pub(crate) fn of_first_units(&self, units: usize) -> MatRef<'_> {
        self.by_unit.columns(0, units)
    }
    /// `ξᵀx`, memories × samples, in parallel.
    fn products(&self, x: MatRef<'_>) -> Mat {
        let mut z = Mat::zeros(self.n_memories(), x.ncols());
        for_columns(&mut z, CHUNK, |columns, z| self.multiply(x.columns_range(columns), z));
        z
    }
    /// `-β/N F'(m)` of every memory and state, in parallel.
    fn slopes(&self, x: MatRef<'_>) -> Mat {
        let (n, factor) = (self.n_units() as f64, -self.beta / self.n_units() as f64);
        let mut z = Mat::zeros(self.n_memories(), x.ncols());
        for_columns(&mut z, CHUNK, |columns, mut z| {
            self.multiply(x.columns_range(columns), z.as_view_mut());
            z.iter_mut().for_each(|z| *z = (factor * self.interaction.slope(f64::from(*z) / n)) as f32);
        });
        z
    }
    /// The field of a unit that has the value `s` in a state with these overlaps `ξᵀs`.
    fn unit_field(&self, unit: usize, overlaps: &[f64], s: f64) -> f32 {
        let gap = self.interaction.gap(overlaps, self.of_unit(unit), s, self.n_units() as f64);
        gap.times(0.5 * self.beta)
    }
}

/// Whether all entries are ±1.
pub(super) fn check_spins(what: &str, x: MatRef<'_>) -> Result<()> {
    let wrong = x.iter().position(|x| x.abs() != 1.0);
    wrong.map_or(Ok(()), |k| {
        let (row, column) = (k % x.nrows(), k / x.nrows());
        Err(Error::value(format!("unit {row} of {what} {column}"), "a spin, 1 or -1", x[(row, column)]))
    })
}

impl Energy for DenseMemory {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// Overlaps and their sum in double precision.
    ///
    /// # Panics
    /// If a state has not one row a unit.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!((x.nrows(), x.ncols()), (self.n_units(), out.len()), "shape of the states, and places for energies");
        let (memories, n) = (self.memories(), self.n_units() as f64);
        for (j, out) in out.iter_mut().enumerate() {
            let term = |k: usize| self.interaction.value(dot(col(&memories, k), col(&x, j)) / n);
            *out = -self.beta * (0..self.n_memories()).map(term).sum::<f64>();
        }
    }
}

impl Gibbs for DenseMemory {
    /// `φ_i = ½ [E(s_i = -1) - E(s_i = 1)] = ½ β Σ_μ F(m_μ | s_i = 1) - F(m_μ | s_i = -1)`, saturated at the ends of single precision,
    /// but never without its sign.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let (memories, mut overlaps) = (self.memories(), OVERLAPS.take());
        for (k, i) in rows.enumerate() {
            for j in 0..x.ncols() {
                let s = col(&x, j);
                overlaps.clear();
                // Nothing of the unit itself is read.
                overlaps.extend(memories.column_iter().map(|m| {
                    let m = m.data.into_slice();
                    dot(&m[..i], &s[..i]) + dot(&m[i + 1..], &s[i + 1..])
                }));
                out[(k, j)] = self.unit_field(i, &overlaps, 0.0);
            }
        }
        OVERLAPS.set(overlaps);
    }
    /// Keeps the overlaps up to date from spin to spin: `O(N P)`, where the plain sweep computes them anew for each.
    fn sweep(&self, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        let (columns, p, n) = (slab.ncols(), self.n_memories(), self.n_units());
        let (mut overlaps, mut before, mut fields) = (OVERLAPS.take(), BEFORE.take(), FIELDS.take());
        let (memories, x) = (self.memories(), slab.x());
        overlaps.clear();
        for s in x.column_iter() {
            let s = s.data.into_slice();
            overlaps.extend(memories.column_iter().map(|m| dot(m.data.into_slice(), s)));
        }
        for k in 0..n {
            let i = if response.is_backward() { n - 1 - k } else { k };
            before.clear();
            before.extend(slab.x().row(i).iter());
            fields.clear();
            fields.extend((0..columns).map(|j| self.unit_field(i, &overlaps[j * p..][..p], f64::from(before[j]))));
            slab.respond_to(self, i, MatRef::from_slice(&fields, 1, columns), response);
            for (j, (&new, &old)) in
                slab.x().row(i).iter().zip(&before).enumerate().filter(|(_, (new, old))| new != old)
            {
                let step = f64::from(new) - f64::from(old);
                overlaps[j * p..][..p].iter_mut().zip(self.of_unit(i)).for_each(|(z, &m)| *z += step * f64::from(m));
            }
        }
        OVERLAPS.set(overlaps);
        BEFORE.set(before);
        FIELDS.set(fields);
    }
}

impl Score for DenseMemory {
    /// `∂E/∂s_i = -(β/N) Σ_μ F'(m_μ) ξ_iμ`, of the same formula for real `s`.
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        gemm(1.0, self.memories(), self.slopes(x).as_view(), 0.0, out.as_view_mut());
    }
}

impl Learn for DenseMemory {
    fn params(&self) -> &Params {
        &self.params
    }
    /// `∂E/∂ξ_iμ = -(β/N) F'(m_μ) s_i`
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        add_outer(1.0, x, self.slopes(x).as_view(), weights, grad.slice_mut(MEMORIES));
    }
}

impl Train for DenseMemory {
    /// The interaction and β, which parameters do not tell.
    fn architecture(&self) -> String {
        format!("{:?}, beta {}, bound {:?}", self.interaction, self.beta, self.bound)
    }
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let shape = (self.n_units(), self.n_memories());
        f(&mut self.params);
        if let Some(bound) = self.bound {
            crate::linalg::for_each(self.params.slice_mut(MEMORIES), |x| *x = x.clamp(-bound, bound));
        }
        self.params.as_mut_slice();
        assert_eq!(self.params.mat(MEMORIES).shape(), shape, "shape of the memories");
        self.by_unit.tr_copy_from(&self.params.mat(MEMORIES));
    }
}
