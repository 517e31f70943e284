//! Exact `log Z`: one side of the model is enumerated, the other summed out in closed form.

use crate::configurations::refuse_given;
use crate::linalg;
use crate::sweep::{among, groups};
use crate::units::{Gaussian, LogPrecision};
use crate::{Configurations, Error, Gibbs, Marginal, Mat, Result};
use nalgebra::{DMatrix, DVector};
use std::any::Any;

/// The most states that are enumerated.
const LIMIT: u64 = 1 << 30;
/// States that one task enumerates.
const CHUNK: u64 = 1 << 8;

/// `log Z`, in nats: every group of independent blocks is tried as the one that is summed out, and the cheapest is taken.
/// Models of nothing but [`Gaussian`] and [`LogPrecision`] units have a closed form; it is +∞ where their energy has no minimum.
///
/// Two to the 20th states of the enumerated side take about a second for an RBM of 784 × 20 units.
///
/// # Errors
/// [`Error::Intractable`] if every way needs more than 2³⁰ states, or has real units on the enumerated side.
pub fn exact_log_partition<M: Marginal + ?Sized>(model: &M) -> Result<f64> {
    refuse_given(model, "log Z")?;
    if let Some(precisions) = precisions(model) {
        return Ok(gaussian_log_partition(model, &precisions));
    }
    let (summed, states) = cheapest(model).ok_or_else(|| too_many("with real units on both sides".into()))?;
    match states.count().filter(|&n| n <= LIMIT) {
        Some(count) => Ok(enumerate(model, &summed, &states, count)),
        None => Err(too_many(format!("over 2^{:.1} states (at most 2^30 are enumerated)", states.bits()))),
    }
}

/// Multiplications that [`exact_log_partition`] takes, nearly; none if it would refuse.
pub(super) fn exact_work<M: Marginal + ?Sized>(model: &M) -> Option<f64> {
    if precisions(model).is_some() {
        return Some((model.n_rows() as f64).powi(3));
    }
    let (summed, states) = cheapest(model)?;
    let count = states.count().filter(|&n| n <= LIMIT)?;
    let units: usize = summed.iter().map(|&b| model.blocks()[b].rows.len()).sum();
    Some(count as f64 * units as f64 * (model.n_rows() - units) as f64)
}

/// The group whose summing out leaves the fewest states, and these.
fn cheapest<M: Marginal + ?Sized>(model: &M) -> Option<(Vec<usize>, Configurations)> {
    let mut cheapest: Option<(Vec<usize>, Configurations)> = None;
    for summed in groups(model) {
        let kept: Vec<usize> = {
            let is_summed = among(&summed);
            (0..model.blocks().len()).filter(|b| !is_summed(b)).collect()
        };
        let Ok(states) = Configurations::new(model, &kept) else { continue };
        if cheapest.as_ref().is_none_or(|(_, best)| states.bits() < best.bits()) {
            cheapest = Some((summed, states));
        }
    }
    cheapest
}

fn too_many(what: String) -> Error {
    Error::Intractable { what: format!("an exact log-partition {what}"), instead: "annealed importance sampling" }
}

/// `log Σ exp(-F)` over all states, chunk by chunk in parallel, added in the order of the chunks.
fn enumerate<M: Marginal + ?Sized>(model: &M, summed: &[usize], states: &Configurations, count: u64) -> f64 {
    let rows = model.n_rows();
    let chunk = |k: u64| {
        let n = CHUNK.min(count - k * CHUNK) as usize;
        let (mut x, mut free) = (Mat::zeros(rows, n), vec![0.0; n]);
        for (j, mut column) in x.column_iter_mut().enumerate() {
            states.write(k * CHUNK + j as u64, column.as_mut_slice());
        }
        model.energy_without(summed, x.as_view(), &mut free);
        free.into_iter().map(|f| -f).fold(LogSum::default(), LogSum::with)
    };
    linalg::in_order(count.div_ceil(CHUNK), chunk).into_iter().fold(LogSum::default(), LogSum::merge).log()
}

/// A sum of exponentials, as its largest exponent and the sum relative to it.
#[derive(Clone, Copy)]
struct LogSum {
    most: f64,
    sum: f64,
}
impl Default for LogSum {
    fn default() -> Self {
        Self { most: f64::NEG_INFINITY, sum: 0.0 }
    }
}
impl LogSum {
    fn with(self, exponent: f64) -> Self {
        self.merge(Self { most: exponent, sum: 1.0 })
    }
    fn merge(self, other: Self) -> Self {
        let most = self.most.max(other.most);
        let at = |s: Self| if s.sum == 0.0 { 0.0 } else { s.sum * (s.most - most).exp() };
        Self { most, sum: at(self) + at(other) }
    }
    fn log(self) -> f64 {
        self.most + self.sum.ln()
    }
}

/// `a` of `U = ½ a x²` for every row, if that is what all energies of units are.
fn precisions<M: Gibbs + ?Sized>(model: &M) -> Option<Vec<f64>> {
    let mut precisions = vec![1.0; model.n_rows()];
    for (b, block) in model.blocks().iter().enumerate() {
        let unit = &*block.unit as &dyn Any;
        if unit.is::<LogPrecision>() {
            let rows = precisions[block.rows.clone()].iter_mut();
            rows.zip(model.theta(b, &[])).for_each(|(a, &lambda)| *a = f64::from(lambda).exp());
        } else if !unit.is::<Gaussian>() {
            return None;
        }
    }
    Some(precisions)
}

/// `½ n log 2π + ½ bᵀP⁻¹b - ½ log det P` with `P` the precision of all units, read off the fields: `φ(x) = b + (A - P)x` with `A`
/// the units' own precisions.
fn gaussian_log_partition<M: Gibbs + ?Sized>(model: &M, own: &[f64]) -> f64 {
    let n = model.n_rows();
    let unit_vectors = Mat::from_fn(n, n + 1, |i, j| (i + 1 == j) as u8 as f32);
    let mut fields = Mat::zeros(n, n + 1);
    for block in model.blocks() {
        model.field(block.rows.clone(), unit_vectors.as_view(), fields.rows_range_mut(block.rows.clone()));
    }
    let bias = DVector::from_fn(n, |i, _| fields[(i, 0)] as f64);
    let precision =
        DMatrix::from_fn(n, n, |i, j| (if i == j { own[i] } else { 0.0 }) - (fields[(i, j + 1)] as f64 - bias[i]));
    let Some(cholesky) = precision.cholesky() else { return f64::INFINITY };
    let log_det = 2.0 * cholesky.l_dirty().diagonal().iter().map(|d| d.ln()).sum::<f64>();
    let energy = bias.dot(&cholesky.solve(&bias));
    0.5 * (n as f64 * std::f64::consts::TAU.ln() + energy - log_det)
}
