//! Pseudo-likelihood: every unit is predicted from all others.
//!
//! ## References
//! - Besag, "Statistical analysis of non-lattice data", 1975.

use super::likelihood::{check_values, discrete_units};
use super::{Estimate, energies_without, latent_group};
use crate::{Error, Learn, Marginal, Mat, MatRef, Result};

/// `Σᵢ log p(vᵢ | rest)`, averaged over samples (visible units × samples), in nats: exact, over all units, with latent
/// units summed out, at the price of a free energy for every unit of every sample. It is no likelihood: it ignores how far apart the modes are.
///
/// # Errors
/// [`Error::Intractable`] if a visible unit is real or latent units do not sum out, [`Error::Shape`] if the rows are not
/// the visible units, [`Error::Value`] if there are no samples or a unit has a value that its kind does
/// not take.
pub fn pseudo_log_likelihood<M: Marginal + Learn + ?Sized>(model: &M, v: MatRef<'_>) -> Result<Estimate> {
    let summed = latent_group(model)?;
    if v.nrows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), v.nrows()));
    }
    if v.ncols() == 0 {
        return Err(Error::value("the number of samples", "at least 1", 0));
    }
    let visible = model.blocks().iter().filter(|b| b.rows.end <= model.n_visible());
    if let Some(real) = visible.into_iter().find(|b| b.unit.support().is_none()) {
        let what = format!("the pseudo-likelihood of {} units, which are real", real.unit.name());
        return Err(Error::Intractable { what, instead: "the free-energy gap" });
    }
    let units = discrete_units(model);
    check_values(&units, v, 0)?;
    let each = |n: usize| one(model, &summed, &units, v.columns(n, 1));
    Ok(Estimate::of(&(0..v.ncols()).map(each).collect::<Result<Vec<f64>>>()?))
}

/// The pseudo-likelihood of a sample: it beside all states that differ from it in one unit.
fn one<M: Marginal + Learn + ?Sized>(
    model: &M,
    summed: &[usize],
    units: &[(usize, Vec<Vec<f32>>)],
    v: MatRef<'_>,
) -> Result<f64> {
    let other = |(row, values): &'_ (usize, Vec<Vec<f32>>)| -> Vec<Vec<f32>> {
        let own = v.rows(*row, values[0].len());
        values.iter().filter(|w| !own.iter().eq(*w)).cloned().collect()
    };
    let others: Vec<Vec<Vec<f32>>> = units.iter().map(other).collect();
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
    let log_p = |values: &Vec<Vec<f32>>| {
        let (own, tail) = rest.split_at(values.len());
        rest = tail;
        -own.iter().map(|f| (free[0] - f).exp()).sum::<f64>().ln_1p()
    };
    Ok(others.iter().map(log_p).sum())
}
