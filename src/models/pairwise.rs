//! Scores of models whose units are coupled in pairs: everything follows from the fields of all units at once.
//!
//! With `E(x) = U(x) - bᵀx - ½ xᵀJx`, `J` symmetric and zero within a unit, the fields are `φ = b + Jx`, and
//!
//! ```text
//! ∂E/∂x = U'(x) - φ        E = U(x) - ½ xᵀ(φ + b)
//! ```

use crate::linalg::{col, dot};
use crate::{Energy, MatMut, MatRef};

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
        let units = model.blocks().iter().enumerate();
        *e += units.map(|(b, k)| k.unit.base_energy(model.theta(b, state), &state[k.rows.clone()])).sum::<f64>();
    }
}

/// `out ← U'(x) - out`, where it held the fields of all rows.
pub(super) fn gradients<M: Energy + ?Sized>(model: &M, x: MatRef<'_>, mut out: MatMut<'_>) {
    for (j, mut out) in out.column_iter_mut().enumerate() {
        let (state, out) = (col(&x, j), out.as_mut_slice());
        out.iter_mut().for_each(|o| *o = -*o);
        for (b, k) in model.blocks().iter().enumerate() {
            k.unit.base_grad_x(model.theta(b, state), &state[k.rows.clone()], &mut out[k.rows.clone()]);
        }
    }
}
