//! Pseudo-likelihood: every unit is predicted from all others.
//!
//! ## References
//! - Besag, "Statistical analysis of non-lattice data", 1975.

use super::{Estimate, energies_without, latent_group};
use crate::{Error, Learn, Marginal, Mat, MatRef, Result};

/// `Σᵢ log p(vᵢ | rest)`, averaged over samples (visible units × samples), in nats: exact, over all units, with latent
/// units summed out. It is no likelihood: it ignores how far apart the modes are.
///
/// # Errors
/// [`Error::Intractable`] if a visible unit is real or latent units do not sum out, [`Error::Shape`] if the rows are not
/// the visible units, [`Error::Value`] if a unit has a value that its kind does not take.
pub fn pseudo_log_likelihood<M: Marginal + Learn + ?Sized>(model: &M, v: MatRef<'_>) -> Result<Estimate> {
    let summed = latent_group(model)?;
    if v.nrows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), v.nrows()));
    }
    let units = units(model)?;
    let each = |n: usize| one(model, &summed, &units, v.columns(n, 1), n);
    Ok(Estimate::of(&(0..v.ncols()).map(each).collect::<Result<Vec<f64>>>()?))
}

/// First row and values of every visible unit.
fn units<M: Learn + ?Sized>(model: &M) -> Result<Vec<(usize, Vec<Vec<f32>>)>> {
    let mut units = vec![];
    for block in model.blocks().iter().filter(|b| b.rows.end <= model.n_visible()) {
        let values = block.unit.support().ok_or_else(|| Error::Intractable {
            what: format!("the pseudo-likelihood of {} units, which are real", block.unit.name()),
            instead: "the free-energy gap",
        })?;
        units.extend(block.rows.clone().step_by(block.unit.width()).map(|row| (row, values.clone())));
    }
    Ok(units)
}

/// The pseudo-likelihood of sample `n`: the sample beside all states that differ from it in one unit.
fn one<M: Marginal + Learn + ?Sized>(
    model: &M,
    summed: &[usize],
    units: &[(usize, Vec<Vec<f32>>)],
    v: MatRef<'_>,
    n: usize,
) -> Result<f64> {
    let mut others = vec![];
    for (row, values) in units {
        let own = v.rows(*row, values[0].len());
        if !values.iter().any(|w| own.iter().eq(w)) {
            let what = format!("unit {row} of sample {n}");
            return Err(Error::value(what, format!("one of {values:?}"), format!("{own:?}")));
        }
        others.push(values.iter().filter(|w| !own.iter().eq(*w)).collect::<Vec<_>>());
    }
    let total = others.iter().map(Vec::len).sum::<usize>();
    let mut states = Mat::from_fn(v.nrows(), 1 + total, |i, _| v[(i, 0)]);
    let mut column = 1;
    for ((row, _), values) in units.iter().zip(&others) {
        for value in values {
            states.column_mut(column).rows_mut(*row, value.len()).copy_from_slice(value);
            column += 1;
        }
    }
    let free = energies_without(model, summed, states.as_view())?;
    let mut rest = &free[1..];
    let log_p = |values: &Vec<&Vec<f32>>| {
        let (own, tail) = rest.split_at(values.len());
        rest = tail;
        -own.iter().map(|f| (free[0] - f).exp()).sum::<f64>().ln_1p()
    };
    Ok(others.iter().map(log_p).sum())
}
