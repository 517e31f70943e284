//! The gradient of a pseudo-likelihood by its definition: a state is weighed against all that differ from it in one unit.
//!
//! Any discrete model can have it, at the price of a gradient for each value of each unit; real units have none here.

use crate::linalg::{col, dot};
use crate::{Block, Conditionals, Gibbs, Mat, MatRef, Params, States, Unit};
use std::ops::Range;
use std::sync::Arc;

/// The provided body of [`Conditionals::grad_conditionals`]: `∂C/∂θ = Σ_i [∂E(x) - Σ_y p(y | rest) ∂E(x with x_i = y)]`.
///
/// # Panics
/// If a unit is real.
pub(crate) fn by_values<M: Conditionals + ?Sized>(model: &M, x: MatRef<'_>, weights: &[f32], grad: &mut Params) -> f64 {
    let mut total = 0.0;
    for (n, &weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
        let own = x.columns(n, 1);
        let (states, signs, cost) = beside(model, own);
        let signed: Vec<f32> = signs.iter().map(|s| weight * s).collect();
        model.grad_params(states.as_view(), &signed, grad);
        total += f64::from(weight) * cost;
    }
    total
}

/// A state and all that differ from it in one unit, each with its part in the gradient; and `C`.
fn beside<M: Conditionals + ?Sized>(model: &M, x: MatRef<'_>) -> (Mat, Vec<f32>, f64) {
    let (mut states, mut signs, mut cost) = (vec![], vec![], 0.0);
    for (b, block) in model.blocks().iter().enumerate() {
        let (unit, width) = (&block.unit, block.unit.width());
        let values = unit.support().expect("the pseudo-likelihood of discrete units");
        let mut field = Mat::zeros(block.rows.len(), 1);
        model.field(block.rows.clone(), x, field.as_view_mut());
        for start in block.rows.clone().step_by(width) {
            let field = &field.as_slice()[start - block.rows.start..][..width];
            let theta = model.theta(b, col(&x, 0));
            let log_p = |y: &[f32]| -> f64 {
                let pull: f64 = y.iter().zip(field).map(|(y, f)| f64::from(*y) * f64::from(*f)).sum();
                pull - unit.base_energy(theta, y) - unit.log_partition(theta, field)
            };
            cost -= log_p(&col(&x, 0)[start..start + width]);
            for y in &values {
                let mut state = x.clone_owned();
                state.rows_mut(start, width).copy_from_slice(y);
                states.push(state);
                signs.push(-log_p(y).exp() as f32);
            }
            states.push(x.clone_owned());
            signs.push(1.0);
        }
    }
    let all = Mat::from_iterator(x.nrows(), states.len(), states.iter().flat_map(|s| s.iter().copied()));
    (all, signs, cost)
}

/// Turns the fields of all rows of states without latent units into `x - ⟨x | rest⟩`, in parallel; gives `C` of every state. Of units
/// without parameters of their own.
pub(crate) fn residues<M: Gibbs + ?Sized>(model: &M, x: MatRef<'_>, fields: &mut Mat) -> Vec<f64> {
    let runs = runs(model.blocks());
    let mut states = States::new(std::mem::take(fields));
    let costs = states.par(|columns, slab| {
        let mut fields = slab.x_mut();
        let mut mean = vec![];
        let one = |(k, j): (usize, usize)| {
            let (x, mut fields, mut cost) = (col(&x, j), fields.column_mut(k), 0.0);
            for (rows, unit) in &runs {
                let (x, field) = (&x[rows.clone()], &mut fields.as_mut_slice()[rows.clone()]);
                cost += unit.log_partition(&[], field) + unit.base_energy(&[], x) - dot(x, field);
                mean.resize(x.len(), 0.0);
                unit.mean(&[], field, &mut mean);
                field.iter_mut().zip(x).zip(&mean).for_each(|((f, x), m)| *f = x - m);
            }
            cost
        };
        columns.enumerate().map(one).collect::<Vec<f64>>()
    });
    *fields = states.into_x();
    costs.concat()
}

/// A discrete unit: the first of its rows, and the values that it can take.
#[derive(Clone, Debug)]
pub(crate) struct DiscreteUnit {
    pub(crate) row: usize,
    pub(crate) values: Arc<[Vec<f32>]>,
}
/// All units of some blocks; the first real kind, if there is one.
pub(crate) fn discrete_units(blocks: &[Block]) -> Result<Vec<DiscreteUnit>, &Arc<dyn Unit>> {
    let mut units = vec![];
    for block in blocks {
        let values: Arc<[Vec<f32>]> = block.unit.support().ok_or(&block.unit)?.into();
        let rows = block.rows.clone().step_by(block.unit.width());
        units.extend(rows.map(|row| DiscreteUnit { row, values: values.clone() }));
    }
    Ok(units)
}

/// Rows of blocks of one kind that follow each other: a kind answers for many units at once.
pub(crate) fn runs(blocks: &[Block]) -> Vec<(Range<usize>, &Arc<dyn Unit>)> {
    let mut sorted: Vec<&Block> = blocks.iter().collect();
    sorted.sort_by_key(|b| b.rows.start);
    let mut runs: Vec<(Range<usize>, &Arc<dyn Unit>)> = vec![];
    for block in sorted {
        match runs.last_mut().filter(|(rows, unit)| rows.end == block.rows.start && Arc::ptr_eq(unit, &block.unit)) {
            Some((rows, _)) => rows.end = block.rows.end,
            None => runs.push((block.rows.clone(), &block.unit)),
        }
    }
    runs
}

/// `Σ wₙ cₙ`; a state of weight zero is absent.
pub(crate) fn weighted(weights: &[f32], costs: &[f64]) -> f64 {
    weights.iter().zip(costs).filter(|(w, _)| **w != 0.0).map(|(w, c)| f64::from(*w) * c).sum()
}
