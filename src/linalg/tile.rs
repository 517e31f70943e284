//! Some units of two values that are coupled to each other, one after the other, for many columns at a time: what a sequential sweep
//! does inside a tile whose fields one product has made.
//!
//! A unit decides for all columns at once, and the fields of those after it are corrected for the columns in which it changed. It
//! makes no fields, and draws nothing: the numbers that decide are given.

use super::fused::exp;
use super::simd::Kernel;
use crate::MatRef;

/// Columns that a loop takes at a time.
const LANES: usize = 16;
/// The most columns.
const MOST: usize = 64;

/// The values of a unit that has two, of equal energy `U`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TwoValues {
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// The most probable value at field 0.
    pub(crate) at_tie: f32,
}

impl TwoValues {
    /// The most probable value at this field.
    #[inline(always)]
    fn best(self, field: f32) -> f32 {
        match () {
            () if field > 0.0 => self.high,
            () if field < 0.0 => self.low,
            () => self.at_tie,
        }
    }
}

impl TwoValues {
    /// Draws in the place of fields, which are times `high - low`.
    #[inline(always)]
    fn draw(self, fields: &mut [f32], uniforms: &[f32]) {
        for (z, u) in fields.chunks_exact_mut(LANES).zip(uniforms.chunks_exact(LANES)) {
            for i in 0..LANES {
                z[i] = if u[i] * (1.0 + exp(-z[i])) < 1.0 { self.high } else { self.low };
            }
        }
    }
}

/// A tile; numbers are unit by unit, `stride` of them a unit.
#[derive(Debug)]
pub(crate) struct Tile<'a> {
    /// Couplings of the units, symmetric.
    pub(crate) w: MatRef<'a>,
    pub(crate) values: TwoValues,
    pub(crate) fields: &'a mut [f32],
    pub(crate) x: &'a mut [f32],
    /// What decides: `high` where `u (1 + e^{-(high - low) φ}) < 1`. Empty: the most probable value.
    pub(crate) uniforms: &'a [f32],
    /// Not 0 where a unit stays as it is. Empty: nowhere.
    pub(crate) frozen: &'a [f32],
    /// The fields that count are `base + beta (φ - base)`.
    pub(crate) tempered: Option<(f32, &'a [f32])>,
    /// The last unit first.
    pub(crate) backward: bool,
}

impl Tile<'_> {
    /// Numbers of a unit for so many columns.
    ///
    /// # Panics
    /// If there are more than 64.
    pub(crate) fn stride(columns: usize) -> usize {
        assert!(columns <= MOST, "at most {MOST} columns, not {columns}");
        columns.next_multiple_of(LANES)
    }
}

impl Kernel for Tile<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Self { w, values, fields, x, uniforms, frozen, tempered, backward } = self;
        let n = w.ncols();
        let stride = fields.len() / n.max(1);
        assert!(stride <= MOST && stride.is_multiple_of(LANES), "columns of a tile");
        let (scale, mut buffer) = (values.high - values.low, [0f32; MOST]);
        for step in 0..n {
            let k = if backward { n - 1 - step } else { step };
            let own = k * stride..(k + 1) * stride;
            // What each column's field says, then what each becomes, then by how much it changes.
            let change = &mut buffer[..stride];
            change.copy_from_slice(&fields[own.clone()]);
            if let Some((beta, base)) = tempered {
                change.iter_mut().for_each(|f| *f = base[k] + beta * (*f - base[k]));
            }
            change.iter_mut().for_each(|f| *f *= scale);
            if uniforms.is_empty() {
                change.iter_mut().for_each(|z| *z = values.best(*z));
            } else {
                values.draw(change, &uniforms[own.clone()]);
            }
            let x = &mut x[own.clone()];
            if !frozen.is_empty() {
                let kept = change.iter_mut().zip(&*x).zip(&frozen[own]);
                kept.for_each(|((c, x), f)| *c = if *f != 0.0 { *x } else { *c });
            }
            let mut moved = 0.0;
            for (c, x) in change.iter_mut().zip(x) {
                let new = *c;
                *c = new - *x;
                moved += c.abs();
                *x = new;
            }
            if moved != 0.0 {
                let others = if backward { 0..k } else { k + 1..n };
                let weights = &w.column(k).data.into_slice()[others.clone()];
                correct(&mut fields[others.start * stride..others.end * stride], weights, change);
            }
        }
    }
}

/// The fields of other units after a unit changed: `weights` are its couplings to them.
#[inline(always)]
fn correct(fields: &mut [f32], weights: &[f32], change: &[f32]) {
    for (weight, field) in weights.iter().zip(fields.chunks_exact_mut(change.len())) {
        for (f, c) in field.chunks_exact_mut(LANES).zip(change.chunks_exact(LANES)) {
            for i in 0..LANES {
                f[i] += weight * c[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Level;
    use crate::linalg::probes::dense;
    use crate::{ChainRng, Mat};
    use rand::RngExt;

    /// One unit of one column at a time, from the definition, in double precision.
    fn plain(w: &Mat, outside: &Mat, x: &mut Mat, (u, backward): (&Mat, bool), values: TwoValues) {
        for j in 0..x.ncols() {
            for step in 0..w.ncols() {
                let k = if backward { w.ncols() - 1 - step } else { step };
                let inside: f64 = (0..w.ncols()).map(|i| f64::from(w[(k, i)]) * f64::from(x[(i, j)])).sum();
                let z = f64::from(values.high - values.low) * (f64::from(outside[(k, j)]) + inside);
                let p = 1.0 / (1.0 + (-z).exp());
                x[(k, j)] = if f64::from(u[(k, j)]) < p { values.high } else { values.low };
            }
        }
    }
    fn one(n: usize, columns: usize, values: TwoValues, backward: bool) {
        let mut w = dense(n, n);
        w = &w + w.transpose();
        w.fill_diagonal(0.0);
        let mut rng = ChainRng::new(n as u64);
        let mut x = Mat::from_fn(n, columns, |_, _| if rng.random::<bool>() { values.high } else { values.low });
        let outside = Mat::from_fn(n, columns, |_, _| rng.random::<f32>() - 0.5);
        let u = Mat::from_fn(n, columns, |_, _| rng.random::<f32>());
        let stride = Tile::stride(columns);
        let turned = |m: &Mat| {
            let mut out = vec![0.5; n * stride];
            (0..n).for_each(|k| (0..columns).for_each(|j| out[k * stride + j] = m[(k, j)]));
            out
        };
        let (fields, uniforms, start) = (turned(&(&outside + &w * &x)), turned(&u), turned(&x));
        plain(&w, &outside, &mut x, (&u, backward), values);
        for level in Level::available() {
            let (mut fields, mut got) = (fields.clone(), start.clone());
            level.run(Tile {
                w: w.as_view(),
                values,
                fields: &mut fields,
                x: &mut got,
                uniforms: &uniforms,
                frozen: &[],
                tempered: None,
                backward,
            });
            for (k, j) in (0..n).flat_map(|k| (0..columns).map(move |j| (k, j))) {
                assert_eq!(got[k * stride + j], x[(k, j)], "{level:?}, unit {k} of {n}, column {j}");
            }
        }
    }
    #[test]
    fn a_tile_is_one_unit_after_the_other() {
        for (n, columns) in [(1, 1), (5, 3), (32, 64), (31, 17), (7, 16)] {
            for values in [(0.0, 1.0), (-1.0, 1.0)].map(|(low, high)| TwoValues { low, high, at_tie: low }) {
                [false, true].into_iter().for_each(|backward| one(n, columns, values, backward));
            }
        }
    }
}
