//! Random states to hold a law at.

use super::terms::is_end;
use crate::{ChainRng, Energy, Mat, Unit};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

pub(super) fn normal(rng: &mut ChainRng) -> f32 {
    StandardNormal.sample(rng)
}

/// A value of the unit: any of its finitely many, or one of ordinary size inside its range.
fn value(unit: &dyn Unit, rng: &mut ChainRng) -> Vec<f32> {
    if let Some(values) = unit.support() {
        return values[rng.random_range(0..values.len())].clone();
    }
    let (start, end) = (*unit.range().start(), *unit.range().end());
    let one = |rng: &mut ChainRng| match (is_end(start), is_end(end)) {
        (true, true) => start + rng.random_range(0.2..0.8f32) * (end - start),
        (true, false) => start + 0.5 + normal(rng).abs(),
        (false, true) => end - 0.5 - normal(rng).abs(),
        (false, false) => normal(rng),
    };
    (0..unit.width()).map(|_| one(rng)).collect()
}

/// Another value of the unit, not too close to the present one; the present one if there is no other.
pub(super) fn other(unit: &dyn Unit, present: &[f32], rng: &mut ChainRng) -> Vec<f32> {
    if let Some(mut values) = unit.support() {
        values.retain(|v| v != present);
        return if values.is_empty() { present.to_vec() } else { values[rng.random_range(0..values.len())].clone() };
    }
    let range = unit.range();
    let moved = |x: &f32| {
        let by = rng.random_range(0.5..1.5f32);
        let (up, down) = (x + by, x - by);
        match (range.contains(&up), range.contains(&down)) {
            (true, false) => up,
            (false, true) => down,
            (true, true) => {
                if rng.random::<bool>() {
                    up
                } else {
                    down
                }
            }
            (false, false) => 0.5 * (range.start() + x),
        }
    };
    present.iter().map(moved).collect()
}

/// States whose units have values that they can take; given rows are normal numbers.
pub(super) fn states<M: Energy + ?Sized>(model: &M, columns: usize, rng: &mut ChainRng) -> Mat {
    let mut x = Mat::zeros(model.n_rows(), columns);
    for j in 0..columns {
        let mut column = x.column_mut(j);
        column.rows_mut(0, model.n_given()).iter_mut().for_each(|x| *x = normal(rng));
        for block in model.blocks() {
            for row in block.rows.clone().step_by(block.unit.width()) {
                let value = value(&*block.unit, rng);
                column.rows_mut(row, value.len()).copy_from_slice(&value);
            }
        }
    }
    x
}

pub(super) fn energies<M: Energy + ?Sized>(model: &M, x: &Mat) -> Vec<f64> {
    let mut out = vec![0.0; x.ncols()];
    model.energy(x.as_view(), &mut out);
    out
}

/// The largest magnitude, or not a number if there is one that is none.
pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, v| if v.is_nan() { f64::NAN } else { v.abs().max(m) })
}
