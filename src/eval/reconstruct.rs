//! Reconstruction: how much of a sample survives the way to the latent units and back.

use crate::{Error, Gibbs, Learn, MatRef, Response, Result, States};

/// `Σᵢ (vᵢ - v̂ᵢ)²`, averaged over samples (visible units × samples), with `v̂` the visible means given the latent means
/// given `v`. Deterministic; it says whether a model learns, not how well.
///
/// # Errors
/// [`Error::Shape`] if the rows are not the visible units, [`Error::Value`] if there are no samples.
pub fn reconstruction_error<M: Gibbs + Learn + ?Sized>(model: &M, v: MatRef<'_>) -> Result<f64> {
    let d = model.n_visible();
    if v.nrows() != d {
        return Err(Error::shape("rows of samples", d, v.nrows()));
    }
    if v.ncols() == 0 {
        return Err(Error::value("the number of samples", "at least 1", 0));
    }
    let mut states = States::default();
    states.clamp(model.n_rows(), v);
    let blocks = model.blocks();
    let (visible, latent): (Vec<usize>, Vec<usize>) = (0..blocks.len()).partition(|&b| blocks[b].rows.end <= d);
    model.infer(&mut states);
    let errors = states.par(|cols, slab| {
        for &b in latent.iter().chain(&visible) {
            slab.respond(model, b, &mut Response::mean());
        }
        let squares = |j: usize| {
            let (x, v) = (slab.x(), v.column(cols.start + j));
            x.column(j).rows(0, d).iter().zip(v.iter()).map(|(a, b)| ((a - b) as f64).powi(2)).sum::<f64>()
        };
        (0..slab.ncols()).map(squares).sum::<f64>()
    });
    Ok(errors.iter().sum::<f64>() / v.ncols() as f64)
}
