//! The base-rate model, in which every unit is independent: `E₀(x) = U(x; θ) - baseᵀx`. It is where annealing starts, and
//! where biases start.

use crate::linalg::dot;
use crate::sweep::among;
use crate::{Energy, Error, Result};

/// Fields of every row of a model such that the visible units have the means `mean`, and the latent units field 0.
///
/// The means are drawn towards those at field 0 by the share `smoothing`: a unit that is constant in the data would have
/// an infinite field.
///
/// # Errors
/// [`Error::Shape`] if the means do not end where a block does, [`Error::Value`] if a mean has no finite field or
/// `smoothing` is not within 0..1.
pub fn base_rate<M: Energy + ?Sized>(model: &M, mean: &[f32], smoothing: f32) -> Result<Vec<f32>> {
    let n = model.n_rows();
    let ends: Vec<usize> = model.blocks().iter().map(|b| b.rows.end).collect();
    if !mean.is_empty() && !ends.contains(&mean.len()) {
        return Err(Error::shape("means of visible units", format!("one of {ends:?}, where blocks end"), mean.len()));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Error::value("smoothing", "at least 0 and below 1", smoothing));
    }
    let mut base = vec![0.0; n];
    for (b, block) in model.blocks().iter().enumerate().filter(|(_, b)| b.rows.end <= mean.len()) {
        let rows = block.rows.clone();
        let mut smooth = vec![0.0; rows.len()];
        block.unit.mean(model.theta(b, mean), &base[rows.clone()], &mut smooth);
        smooth.iter_mut().zip(&mean[rows.clone()]).for_each(|(s, m)| *s = smoothing * *s + (1.0 - smoothing) * m);
        block.unit.field_of_mean(model.theta(b, mean), &smooth, &mut base[rows.clone()]);
    }
    match base.iter().position(|b| !b.is_finite()) {
        Some(i) => Err(Error::value(
            format!("mean of visible unit {i}"),
            "inside the range of its kind (or use some smoothing)",
            mean[i],
        )),
        None => Ok(base),
    }
}

/// `E₀(x) = U(x; θ) - baseᵀx` of one state, without the blocks in `skip`.
pub fn base_rate_energy<M: Energy + ?Sized>(model: &M, base: &[f32], skip: &[usize], x: &[f32]) -> f64 {
    let skipped = among(skip);
    let kept = model.blocks().iter().enumerate().filter(|(b, _)| !skipped(b));
    let one = |(b, k): (usize, &crate::Block)| {
        let rows = k.rows.clone();
        k.unit.base_energy(model.theta(b, x), &x[rows.clone()]) - dot(&base[rows.clone()], &x[rows])
    };
    kept.map(one).sum()
}

/// `log Z₀ = Σ Γ(base; θ)` over all blocks.
pub fn base_rate_log_partition<M: Energy + ?Sized>(model: &M, base: &[f32]) -> f64 {
    let blocks = model.blocks().iter().enumerate();
    blocks.map(|(b, k)| k.unit.log_partition(model.theta(b, base), &base[k.rows.clone()])).sum()
}
