//! Slopes and curvatures of a neural energy along directions, and their gradients: exactly, by the passes of [`super::tape`].
//!
//! The part of the units, `U`, is taken by differences over `±u`, which are exact, for `U` is quadratic in every real unit.

use super::NeuralEnergy;
use super::tape::{Along, Tape};
use crate::linalg::{add_columns, col, dot};
use crate::{Curved, Directional, Energy, MatRef, Params, Weigh};
use std::sync::Mutex;

impl Directional for NeuralEnergy {
    /// Exactly, by a pass of two orders.
    fn grad_slopes(&self, x: MatRef<'_>, u: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let weigh = |n: usize, _: f64, _: f64| [f64::from(weights[n]), 0.0];
        self.add_gradient_along(x, Along { u, curvature: false }, &weigh, grad);
    }
}
impl Curved for NeuralEnergy {
    fn grad_curvatures(&self, x: MatRef<'_>, u: MatRef<'_>, weigh: &Weigh<'_>, grad: &mut Params) {
        self.add_gradient_along(x, Along { u, curvature: true }, weigh, grad);
    }
}

impl NeuralEnergy {
    fn add_gradient_along(&self, x: MatRef<'_>, along: Along<'_>, weigh: &Weigh<'_>, grad: &mut Params) {
        let (k, given) = (self.network.n_outputs(), vec![[0.0f64; 2]; x.ncols()]);
        let given = Mutex::new(given);
        let at_outputs = |from: usize, tape: &mut Tape| {
            let mut slope = vec![];
            for j in 0..tape.there.len() {
                let (n, o) = (from + j, j * k..(j + 1) * k);
                let outs = tape.outputs_along(o.clone(), along.curvature);
                let [mut s, mut c] = self.head.along(outs);
                let [of_base, curved] = self.base_along(col(&x, n), col(&along.u, n), &mut slope);
                (s, c) = (s + of_base, c + curved);
                let weights = weigh(n, s, c);
                tape.put_back_along(o, along.curvature, |outs, back| self.head.slope_along(outs, weights, back));
                tape.there[j] = f32::from(weights != [0.0; 2]);
                given.lock().unwrap_or_else(|e| e.into_inner())[n] = weights;
            }
        };
        self.add_gradient(x, Some(along), &at_outputs, grad);
        let given = given.into_inner().unwrap_or_else(|e| e.into_inner());
        self.add_base_gradient_along(x, along.u, &given, grad);
    }
    /// Slope and curvature of the base measure `U - bᵀx`.
    fn base_along(&self, x: &[f32], u: &[f32], scratch: &mut Vec<f32>) -> [f64; 2] {
        scratch.clear();
        scratch.resize(x.len(), 0.0);
        self.add_base_slope(x, scratch);
        let slope = dot(scratch, u);
        scratch.fill(0.0);
        self.add_base_slope(u, scratch);
        let at_u = dot(scratch, u);
        scratch.fill(0.0);
        self.add_base_slope(&vec![0.0; u.len()], scratch);
        [slope, at_u - dot(scratch, u)]
    }
    /// What bias and units learn of it. Of `U`, second differences over `±u` and first ones: both exact for a quadratic.
    fn add_base_gradient_along(&self, x: MatRef<'_>, u: MatRef<'_>, weights: &[[f64; 2]], grad: &mut Params) {
        let slopes: Vec<f32> = weights.iter().map(|w| w[0] as f32).collect();
        let units = u.rows(self.given, self.n_units());
        add_columns(grad.slice_mut(self.bias_slot()), -1.0, units, &slopes);
        for (b, block) in self.blocks.iter().enumerate().filter(|(_, b)| b.unit.n_theta() > 0) {
            let slot = &mut grad.slice_mut(self.bias_slot() + 1)[self.thetas[b].clone()];
            for (n, [s, c]) in weights.iter().enumerate().filter(|(_, w)| **w != [0.0; 2]) {
                let (x, u) = (&col(&x, n)[block.rows.clone()], &col(&u, n)[block.rows.clone()]);
                for (side, weight) in [(1.0, 0.5 * s + c), (0.0, -2.0 * c), (-1.0, c - 0.5 * s)] {
                    let at: Vec<f32> = x.iter().zip(u).map(|(x, u)| x + side * u).collect();
                    block.unit.base_grad_theta(self.theta(b, &[]), &at, weight as f32, slot);
                }
            }
        }
    }
}
