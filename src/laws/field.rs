//! The law of fields.

use super::chance::ROUNDING;
use super::probes::{energies, largest, other, states};
use super::verdict::{Step, Tally, Verdict};
use crate::rng::derive;
use crate::{Block, ChainRng, Gibbs, Mat};
use rand::RngExt;
use std::ops::Range;

const STATES: usize = 16;
/// Units of a block, and ranges of its rows, that are looked at.
const MOST: usize = 64;

/// When one unit of block `b` changes from `x` to `y`, all else at rest, the energy changes by what the field says:
///
/// ```text
/// E(… y …) - E(… x …) = U(y) - U(x) - φ·(y - x)
/// ```
///
/// at random states, for every block (for 64 of its units, if there are more). The field of some whole units is that
/// part of the field of all, and no field reads a row of the block's own group: other values there, or none, change
/// nothing.
///
/// # Errors
/// The first deviation.
///
/// ```
/// use harmonium::{laws, models::Rbm, units::{Bernoulli, Spin}};
/// let mut rbm = Rbm::new((4, Bernoulli), (3, Spin));
/// rbm.initialise(&[0.5; 4], 0.0, 1)?;
/// laws::field(&rbm, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn field<M: Gibbs + ?Sized>(model: &M, seed: u64) -> Verdict {
    let (mut tally, mut rng) = (Tally::new("fields"), ChainRng::new(derive(seed, "law of fields")));
    let x = states(model, STATES, &mut rng);
    for (b, block) in model.blocks().iter().enumerate() {
        let field = field_of(model, block.rows.clone(), &x);
        let starts: Vec<usize> = block.rows.clone().step_by(block.unit.width()).collect();
        let some = (0..starts.len().min(MOST)).map(|k| match starts.len() <= MOST {
            true => starts[k],
            false => starts[rng.random_range(0..starts.len())],
        });
        for row in some.collect::<Vec<usize>>() {
            differences(model, b, row, (&x, &field), (&mut tally, &mut rng))?;
        }
        let scale = largest(&energies(model, &x));
        parts(model, block, (&x, &field), scale, (&mut tally, &mut rng))?;
        own_group(model, b, (&x, &field), (&mut tally, &mut rng))?;
    }
    tally.kept()
}

fn field_of<M: Gibbs + ?Sized>(model: &M, rows: Range<usize>, x: &Mat) -> Mat {
    let mut out = Mat::from_element(rows.len(), x.ncols(), f32::NAN);
    model.field(rows, x.as_view(), out.as_view_mut());
    out
}
/// For messages.
fn place(block: &Block, b: usize, row: usize, state: usize) -> String {
    format!("row {row} (block {b}, {}) at state {state}", block.unit.name())
}

/// The unit that begins at `row` takes another value in every state.
fn differences<M: Gibbs + ?Sized>(
    model: &M,
    b: usize,
    row: usize,
    (x, field): (&Mat, &Mat),
    (tally, rng): (&mut Tally, &mut ChainRng),
) -> Step {
    let block = &model.blocks()[b];
    let (w, at) = (block.unit.width(), row - block.rows.start);
    let n_theta = block.unit.n_theta();
    let mut changed = x.clone();
    for j in 0..x.ncols() {
        let value = other(&*block.unit, x.column(j).rows(row, w).clone_owned().as_slice(), rng);
        changed.column_mut(j).rows_mut(row, w).copy_from_slice(&value);
    }
    let (before, after) = (energies(model, x), energies(model, &changed));
    let scale = 1.0 + largest(&before).max(largest(&after));
    for j in 0..x.ncols() {
        let [from, to] = [x, &changed].map(|x| x.column(j).rows(row, w).clone_owned());
        let step = (&to - &from).map(|d| d as f64);
        let theta = model.theta(b, x.column(j).data.into_slice());
        let theta = if n_theta == 0 { theta } else { &theta[at * n_theta..(at + w) * n_theta] };
        let own = block.unit.base_energy(theta, to.as_slice()) - block.unit.base_energy(theta, from.as_slice());
        let expected = own - (after[j] - before[j]);
        let got: f64 = (0..w).map(|k| field[(at + k, j)] as f64 * step[k]).sum();
        // A unit of one row has one field, so the field itself can be told.
        let (by, what) = if w == 1 { (step[0], "the field") } else { (1.0, "φ·(y - x)") };
        if by != 0.0 {
            let allowed = ROUNDING * scale / by.abs();
            tally.near(got / by, expected / by, allowed, || format!("{what} of {}", place(block, b, row, j)))?;
        }
    }
    Ok(())
}

/// Any whole units of a block.
fn parts<M: Gibbs + ?Sized>(
    model: &M,
    block: &Block,
    (x, field): (&Mat, &Mat),
    scale: f64,
    (tally, rng): (&mut Tally, &mut ChainRng),
) -> Step {
    let (w, rows) = (block.unit.width(), block.rows.clone());
    let n = rows.len() / w;
    let mut ranges: Vec<(usize, usize)> = (0..n).flat_map(|a| (a + 1..=n).map(move |z| (a, z))).take(MOST).collect();
    if n * (n + 1) / 2 > MOST {
        ranges.iter_mut().for_each(|r| {
            let (a, z) = (rng.random_range(0..n), rng.random_range(0..n));
            *r = (a.min(z), a.max(z) + 1);
        });
    }
    for (from, to) in ranges {
        let part = rows.start + from * w..rows.start + to * w;
        let got = field_of(model, part.clone(), x);
        for (k, j) in (0..part.len()).flat_map(|k| (0..x.ncols()).map(move |j| (k, j))) {
            let expected = field[(from * w + k, j)] as f64;
            tally.near(got[(k, j)] as f64, expected, ROUNDING * (1.0 + scale), || {
                format!("the field of row {} at state {j}, asked for with rows {part:?},", part.start + k)
            })?;
        }
    }
    Ok(())
}

/// Nothing of the block's group is read.
fn own_group<M: Gibbs + ?Sized>(
    model: &M,
    b: usize,
    (x, field): (&Mat, &Mat),
    (tally, rng): (&mut Tally, &mut ChainRng),
) -> Step {
    let block = &model.blocks()[b];
    let fresh = states(model, x.ncols(), rng);
    let (mut others, mut none) = (x.clone(), x.clone());
    for same in model.blocks().iter().filter(|k| k.group == block.group) {
        others.rows_range_mut(same.rows.clone()).copy_from(&fresh.rows_range(same.rows.clone()));
        none.rows_range_mut(same.rows.clone()).fill(f32::NAN);
    }
    for (what, x) in [("other values", others), ("no numbers", none)] {
        let got = field_of(model, block.rows.clone(), &x);
        for (k, j) in (0..got.nrows()).flat_map(|k| (0..got.ncols()).map(move |j| (k, j))) {
            tally.near(got[(k, j)] as f64, field[(k, j)] as f64, 0.0, || {
                format!("with {what} in its own group, the field of {}", place(block, b, block.rows.start + k, j))
            })?;
        }
    }
    Ok(())
}
