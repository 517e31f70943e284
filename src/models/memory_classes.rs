//! A dense associative memory as a classifier: its last units are labels, and an image is of the class whose label, flipped from -1 to
//! 1, lowers the energy most.
//!
//! With all labels at -1 the overlaps of the memories with a state are one product; a label that is flipped changes them by twice the
//! memory's value there, so that all classes cost one product and a few powers. How it is learned is the business of
//! [`MemoryClassification`](crate::objectives::MemoryClassification).
//!
//! ## References
//! - Krotov and Hopfield, "Dense associative memory for pattern recognition", 2016, section 4.

use super::{DenseMemory, Interaction};
use crate::linalg::{self, Kernel, Level, col, for_columns, gemm};
use crate::{Error, Mat, MatMut, MatRef, Result};
use std::ops::Range;

/// Columns of a task, of so many in all: an even number of tasks, for two threads to share, and not so narrow that packing the memories
/// costs more than their product.
pub(crate) fn chunk(columns: usize) -> usize {
    columns.div_ceil(2 * columns.div_ceil(WIDEST).max(1)).max(1)
}
const WIDEST: usize = 128;
const LANES: usize = 16;

impl DenseMemory {
    /// The fields `φ_α` of the last `classes` units, labels (classes × samples), given the units before them and all other labels at
    /// -1. Half the energy by which -1 lies above 1: Krotov and Hopfield's output is `tanh φ_α`, the mean of that spin (their β is
    /// half of this model's).
    ///
    /// Rows of labels may be absent from `x`, and are not looked at. Powers are taken in single precision.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no classes, or no units beside them; [`Error::Shape`] if `x` has not its rows.
    pub fn class_fields(&self, classes: usize, x: MatRef<'_>) -> Result<Mat> {
        let label = self.label_rows(classes)?;
        if x.nrows() != label.start && x.nrows() != label.end {
            return Err(Error::shape("rows of samples without labels", label.start, x.nrows()));
        }
        let mut fields = Mat::zeros(classes, x.ncols());
        for_columns(&mut fields, chunk(x.ncols()), |columns, mut fields| {
            let (mut z, mut scratch) = (Mat::zeros(self.n_memories(), columns.len()), vec![]);
            self.class_overlaps(&label, x.columns_range(columns), z.as_view_mut());
            for (k, mut fields) in fields.column_iter_mut().enumerate() {
                self.fields_of_overlaps(&label, col(&z.as_view(), k), &mut scratch, fields.as_mut_slice());
            }
        });
        Ok(fields)
    }
    /// The class of every sample: the label whose field is highest.
    ///
    /// # Errors
    /// Those of [`DenseMemory::class_fields`].
    pub fn classify(&self, classes: usize, x: MatRef<'_>) -> Result<Vec<usize>> {
        Ok(self.class_fields(classes, x)?.column_iter().map(|fields| fields.imax()).collect())
    }
    /// Where the labels are: the last units.
    pub(crate) fn label_rows(&self, classes: usize) -> Result<Range<usize>> {
        match classes {
            1.. if classes < self.n_units() => Ok(self.n_units() - classes..self.n_units()),
            _ => Err(Error::value("the number of classes", format!("in 1..{}", self.n_units()), classes)),
        }
    }
    /// `ξᵀs` of all memories with all labels at -1 (memories × samples).
    pub(crate) fn class_overlaps(&self, label: &Range<usize>, x: MatRef<'_>, mut z: MatMut<'_>) {
        gemm(1.0, self.of_first_units(label.start), x.rows(0, label.start), 0.0, z.as_view_mut());
        for mut z in z.column_iter_mut() {
            label.clone().for_each(|i| linalg::axpy(-1.0, self.of_unit(i), z.as_mut_slice()));
        }
    }
    /// The labels' fields from those overlaps; `scratch` becomes one number a memory.
    pub(crate) fn fields_of_overlaps(
        &self,
        label: &Range<usize>,
        overlaps: &[f32],
        scratch: &mut Vec<f32>,
        fields: &mut [f32],
    ) {
        let (interaction, per_unit) = (self.interaction(), 1.0 / self.n_units() as f32);
        scratch.resize(overlaps.len(), 0.0);
        Level::best().run(Map::<false> { interaction, per_unit, overlaps, out: scratch });
        for (field, i) in fields.iter_mut().zip(label.clone()) {
            let work = Gap { interaction, per_unit, overlaps, label: self.of_unit(i), base: scratch };
            *field = (0.5 * self.beta() * f64::from(Level::best().run(work))) as f32;
        }
    }
    /// What memories learn of one sample whose loss has the derivatives `pulls` by the fields: `overlaps` become the factors of the
    /// sample, `D_μ = Σ_α p_α ½β/N (F'(u_αμ) - F'(v_μ))` with `u` the overlap with label `α` at 1 and `v` that with none, and
    /// `labels += 2 p_α ½β/N F'(u_αμ) - D_μ` (memories × classes).
    pub(crate) fn pull_memories(
        &self,
        label: &Range<usize>,
        pulls: &[f32],
        (overlaps, scratch): (&mut [f32], &mut Pulling),
        labels: &mut [f32],
    ) {
        let (interaction, per_unit) = (self.interaction(), 1.0 / self.n_units() as f32);
        let scale = 0.5 * self.beta() as f32 * per_unit;
        let Pulling { base, factors } = scratch;
        base.resize(overlaps.len(), 0.0);
        factors.clear();
        factors.resize(overlaps.len(), 0.0);
        Level::best().run(Map::<true> { interaction, per_unit, overlaps, out: base });
        for ((pull, i), own) in pulls.iter().zip(label.clone()).zip(labels.chunks_exact_mut(overlaps.len())) {
            let label = self.of_unit(i);
            let pull = scale * pull;
            Level::best().run(Pull { interaction, per_unit, overlaps, label, base, pull, factors, own });
        }
        labels.chunks_exact_mut(overlaps.len()).for_each(|own| linalg::axpy(-1.0, factors, own));
        overlaps.copy_from_slice(factors);
    }
}

/// Memory of [`DenseMemory::pull_memories`], kept from sample to sample.
#[derive(Debug, Default)]
pub(crate) struct Pulling {
    base: Vec<f32>,
    factors: Vec<f32>,
}

/// `xⁿ` of several numbers at once.
#[inline(always)]
fn powers(mut x: [f32; LANES], mut n: u32) -> [f32; LANES] {
    let mut product = [1.0; LANES];
    while n > 0 {
        if n & 1 == 1 {
            (0..LANES).for_each(|k| product[k] *= x[k]);
        }
        n >>= 1;
        if n > 0 {
            (0..LANES).for_each(|k| x[k] *= x[k]);
        }
    }
    product
}
/// `F(m)` in single precision; its twin is [`Interaction::value`].
#[inline(always)]
fn values(f: Interaction, mut m: [f32; LANES]) -> [f32; LANES] {
    match f {
        Interaction::Polynomial { degree } => powers(m, degree),
        Interaction::Rectified { degree } => {
            (0..LANES).for_each(|k| m[k] = m[k].max(0.0));
            powers(m, degree)
        }
        Interaction::Exponential { rate } => {
            (0..LANES).for_each(|k| m[k] = linalg::exp(rate as f32 * (m[k] - 1.0)));
            m
        }
    }
}
/// `F'(m)` likewise; [`Interaction::slope`].
#[inline(always)]
fn slopes(f: Interaction, mut m: [f32; LANES]) -> [f32; LANES] {
    let (degree, rectified) = match f {
        Interaction::Polynomial { degree } => (degree, false),
        Interaction::Rectified { degree } => (degree, true),
        Interaction::Exponential { rate } => {
            (0..LANES).for_each(|k| m[k] = rate as f32 * linalg::exp(rate as f32 * (m[k] - 1.0)));
            return m;
        }
    };
    let mut on = [degree as f32; LANES];
    if rectified {
        (0..LANES).for_each(|k| on[k] = if m[k] > 0.0 { on[k] } else { 0.0 });
        (0..LANES).for_each(|k| m[k] = m[k].max(0.0));
    }
    let slopes = powers(m, degree - 1);
    (0..LANES).for_each(|k| on[k] *= slopes[k]);
    on
}
/// So many numbers of `x` as there are from `from` on, zeros behind them.
#[inline(always)]
fn lanes(x: &[f32], from: usize) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    let n = LANES.min(x.len() - from);
    out[..n].copy_from_slice(&x[from..from + n]);
    out
}

/// `out = F(z/N)`, or with `SLOPE` `F'(z/N)`.
struct Map<'a, const SLOPE: bool> {
    interaction: Interaction,
    per_unit: f32,
    overlaps: &'a [f32],
    out: &'a mut [f32],
}
impl<const SLOPE: bool> Kernel for Map<'_, SLOPE> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (z, out) in self.overlaps.chunks(LANES).zip(self.out.chunks_mut(LANES)) {
            let n = z.len();
            let mut m = lanes(z, 0);
            (0..LANES).for_each(|k| m[k] *= self.per_unit);
            let f = if SLOPE { slopes(self.interaction, m) } else { values(self.interaction, m) };
            out.copy_from_slice(&f[..n]);
        }
    }
}
/// `Σ F((z + 2ξ)/N) - base`
struct Gap<'a> {
    interaction: Interaction,
    per_unit: f32,
    overlaps: &'a [f32],
    label: &'a [f32],
    base: &'a [f32],
}
impl Kernel for Gap<'_> {
    type Output = f32;
    #[inline(always)]
    fn run(self) -> f32 {
        let (mut sums, whole) = ([0f32; LANES], self.overlaps.len() / LANES * LANES);
        for from in (0..whole).step_by(LANES) {
            let (mut m, x, base) = (lanes(self.overlaps, from), lanes(self.label, from), lanes(self.base, from));
            (0..LANES).for_each(|k| m[k] = (m[k] + 2.0 * x[k]) * self.per_unit);
            let f = values(self.interaction, m);
            (0..LANES).for_each(|k| sums[k] += f[k] - base[k]);
        }
        if whole < self.overlaps.len() {
            let (mut m, x, base) = (lanes(self.overlaps, whole), lanes(self.label, whole), lanes(self.base, whole));
            (0..LANES).for_each(|k| m[k] = (m[k] + 2.0 * x[k]) * self.per_unit);
            let f = values(self.interaction, m);
            (0..self.overlaps.len() - whole).for_each(|k| sums[k] += f[k] - base[k]);
        }
        sums.iter().sum()
    }
}
/// `t = pull F'((z + 2ξ)/N)`; `factors += t - pull base`; `own += 2t`
struct Pull<'a> {
    interaction: Interaction,
    per_unit: f32,
    overlaps: &'a [f32],
    label: &'a [f32],
    base: &'a [f32],
    pull: f32,
    factors: &'a mut [f32],
    own: &'a mut [f32],
}
impl Kernel for Pull<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let outs = self.factors.chunks_mut(LANES).zip(self.own.chunks_mut(LANES));
        for (c, (factors, own)) in outs.enumerate() {
            let from = c * LANES;
            let (mut m, x, base) = (lanes(self.overlaps, from), lanes(self.label, from), lanes(self.base, from));
            (0..LANES).for_each(|k| m[k] = (m[k] + 2.0 * x[k]) * self.per_unit);
            let f = slopes(self.interaction, m);
            for (k, (factor, own)) in factors.iter_mut().zip(own).enumerate() {
                let t = self.pull * f[k];
                *factor += t - self.pull * base[k];
                *own += 2.0 * t;
            }
        }
    }
}
