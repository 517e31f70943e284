//! What objectives ask of a batch before they learn from it: weights, and which samples are there.

use crate::conditionals::runs;
use crate::linalg::col;
use crate::{Batch, Energy, Error, MaskRef, Mat, MatRef, Result};

/// Whether a batch has a finite weight for each sample.
pub(super) fn check_weights(batch: &Batch<'_>) -> Result<()> {
    if batch.weights.len() != batch.x.ncols() {
        return Err(Error::shape("weights of samples", batch.x.ncols(), batch.weights.len()));
    }
    match batch.weights.iter().find(|w| !w.is_finite()) {
        Some(w) => Err(Error::value("the weight of a sample", "finite", w)),
        None => Ok(()),
    }
}
/// Refuses missing entries, for which there must be what is `expected`; a sample of weight zero is absent, and misses nothing.
pub(super) fn refuse_missing(batch: &Batch<'_>, what: &str, expected: &str) -> Result<()> {
    let gaps = |m: &MaskRef<'_>| {
        m.column_iter().zip(batch.weights).any(|(m, w)| *w != 0.0 && m.iter().any(|missing| *missing))
    };
    match batch.missing.as_ref().is_some_and(gaps) {
        true => Err(Error::value(what, expected, "some")),
        false => Ok(()),
    }
}
/// Whether every unit of the samples that are present is discrete and has one of its values, as `what` asks for: means are no data here.
pub(super) fn check_values<M: Energy + ?Sized>(model: &M, batch: &Batch<'_>, what: &str) -> Result<()> {
    for (rows, unit) in runs(model.blocks()) {
        let Some(values) = unit.support() else {
            let what = format!("{what} of {} units, which are real", unit.name());
            return Err(Error::Intractable { what, instead: "contrastive divergence" });
        };
        for j in (0..batch.x.ncols()).filter(|&j| batch.weights[j] != 0.0) {
            let units = col(&batch.x, j)[rows.clone()].chunks_exact(unit.width());
            if let Some(other) = units.into_iter().find(|x| !values.iter().any(|v| v == x)) {
                let what = format!("sample {j} of {what}");
                return Err(Error::value(what, format!("values of {} units", unit.name()), format!("{other:?}")));
            }
        }
    }
    Ok(())
}
/// `out` becomes weights that sum to one, or zeros if their sum is not above zero; gives that sum.
pub(super) fn shares(weights: &[f32], out: &mut Vec<f32>) -> f64 {
    let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    out.clear();
    out.extend(weights.iter().map(|w| if total > 0.0 { (f64::from(*w) / total) as f32 } else { 0.0 }));
    total
}
/// The samples with zeros where their weight is zero, for those are absent, whatever they hold; `None` if all are there.
pub(super) fn without_absent(x: MatRef<'_>, weights: &[f32]) -> Option<Mat> {
    weights.contains(&0.0).then(|| {
        let mut x = x.clone_owned();
        x.column_iter_mut().zip(weights).filter(|(_, w)| **w == 0.0).for_each(|(mut c, _)| c.fill(0.0));
        x
    })
}
