//! What comes from outside as spins is looked at here, once, before anything is done with it.

use crate::linalg::{self, col};
use crate::{Error, MatRef, Result};

/// Refuses a matrix (N × samples) of other than N rows, or with an entry that is neither 1 nor -1 (NaN included).
pub(crate) fn check_spins(what: &str, x: MatRef<'_>, n: usize) -> Result<()> {
    if x.nrows() != n {
        return Err(Error::shape(format!("spins of a {what}"), n, x.nrows()));
    }
    let is_spin = |v: &f32| v.abs() == 1.0;
    let Some(j) = linalg::first(x.ncols(), |j| !col(&x, j).iter().all(is_spin)) else { return Ok(()) };
    let i = col(&x, j).iter().position(|v| !is_spin(v)).unwrap_or(0);
    Err(Error::value(format!("spin {i} of {what} {j}"), "1 or -1", x[(i, j)]))
}
/// Refuses no spins at all.
pub(super) fn check_size(n: usize) -> Result<()> {
    if n == 0 { Err(Error::value("the number of spins", "at least 1", 0)) } else { Ok(()) }
}
