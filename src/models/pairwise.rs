//! Scores of models whose units are coupled in pairs: everything follows from the fields of all units at once.
//!
//! With `E(x) = U(x) - bᵀx - ½ xᵀJx`, `J` symmetric and zero within a unit, the fields are `φ = b + Jx`, and
//!
//! ```text
//! ∂E/∂x = U'(x) - φ        E = U(x) - ½ xᵀ(φ + b)
//! ```

use crate::linalg::{col, dot};
use crate::{Block, Energy, MatMut, MatRef, Unit};
use std::ops::Range;
use std::sync::Arc;

/// Rows of one kind of units that follow each other, with their parameters: a machine may have a block for every unit.
fn runs<'a, M: Energy + ?Sized>(
    model: &'a M,
    state: &'a [f32],
) -> impl Iterator<Item = (Range<usize>, &'a dyn Unit, &'a [f32])> {
    let joined =
        |a: &Block, b: &Block| Arc::ptr_eq(&a.unit, &b.unit) && a.rows.end == b.rows.start && a.unit.n_theta() == 0;
    let mut first = 0;
    model.blocks().chunk_by(joined).map(move |run| {
        let theta = model.theta(first, state);
        first += run.len();
        (run[0].rows.start..run[run.len() - 1].rows.end, &*run[0].unit, theta)
    })
}

/// The energies, where `fields` holds those of all rows; `biases` are those of the rows, in pieces one after the other.
pub(super) fn energies<M: Energy + ?Sized>(
    model: &M,
    biases: &[&[f32]],
    x: MatRef<'_>,
    fields: MatRef<'_>,
    energies: &mut [f64],
) {
    for (j, e) in energies.iter_mut().enumerate() {
        let state = col(&x, j);
        *e = -0.5 * dot(state, col(&fields, j));
        let mut first = 0;
        for bias in biases {
            *e -= 0.5 * dot(&state[first..first + bias.len()], bias);
            first += bias.len();
        }
        *e += runs(model, state).map(|(rows, unit, theta)| unit.base_energy(theta, &state[rows])).sum::<f64>();
    }
}

/// `out ← U'(x) - out`, where it held the fields of all rows.
pub(super) fn gradients<M: Energy + ?Sized>(model: &M, x: MatRef<'_>, mut out: MatMut<'_>) {
    for (j, mut out) in out.column_iter_mut().enumerate() {
        let (state, out) = (col(&x, j), out.as_mut_slice());
        out.iter_mut().for_each(|o| *o = -*o);
        for (rows, unit, theta) in runs(model, state) {
            unit.base_grad_x(theta, &state[rows.clone()], &mut out[rows]);
        }
    }
}
