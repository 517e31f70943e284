//! `p(y | u)` of one real unit, made a density on a grid: prediction with its uncertainty, whatever its shape, of any energy `E(y | u)`.
//!
//! The normaliser that no network gives is one integral per input here, by the trapezoidal rule, which for smooth densities that vanish at
//! both ends of the grid is exact but for rounding as soon as the points lie closer than the narrowest peak is wide. Between points a density
//! is taken for a straight line, and outside of the grid for zero: nothing is known there. For one unit; several need samplers.
//!
//! ## References
//! - Gustafsson, Danelljan, Bhat and Schön, "Energy-based models for deep probabilistic regression", 2020.
//! - Hyndman, "Computing and graphing highest density regions", 1996.

use crate::linalg::by_columns;
use crate::{Energy, Error, Mat, MatRef, Result};
use std::ops::RangeInclusive;

/// States whose energies are computed together.
const AT_ONCE: usize = 1 << 14;
/// States whose energies one task computes.
const CHUNK: usize = 256;
/// Halvings of an interval of levels.
const HALVINGS: usize = 50;

/// Densities of one number on a grid, one for every input.
///
/// ```
/// use harmonium::{Mat, infer::Densities, models::neural::NeuralEnergy, units::Gaussian};
/// use std::sync::Arc;
/// let model = NeuralEnergy::new(1, &[(1, Arc::new(Gaussian))], &[]); // all parameters zero: the standard normal one
/// let p = Densities::of(&model, Mat::zeros(1, 2).as_view(), -8.0..=8.0, 1601)?;
/// assert!((p.log_partition(0) - 0.5 * std::f64::consts::TAU.ln()).abs() < 1e-6);
/// let region = p.highest(0, 0.9)?; // 1.645 deviations on both sides
/// assert!(region.len() == 1 && (region[0].1 - 1.6449).abs() < 1e-3);
/// assert!((p.quantile(1, 0.975)? - 1.96).abs() < 1e-3);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Densities {
    points: Vec<f64>,
    logs: Vec<f64>,   // points × inputs
    values: Vec<f64>, // their exponentials
    log_partitions: Vec<f64>,
}

impl Densities {
    /// `p(y | u) = exp(-E(u, y)) / Z(u)` of inputs (given rows × inputs) on so many points of a range, both of its ends among them.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a given one, or the model has not one unit; [`Error::Intractable`] if that is discrete;
    /// [`Error::Value`] if the range is empty, there are fewer than two points, or an energy on the grid is not a number.
    pub fn of<M: Energy + ?Sized>(
        model: &M,
        inputs: MatRef<'_>,
        within: RangeInclusive<f64>,
        points: usize,
    ) -> Result<Self> {
        let given = model.n_given();
        if model.n_rows() != given + 1 {
            return Err(Error::shape("units of a density on a grid", 1, model.n_rows().saturating_sub(given)));
        }
        if let Some(block) = model.blocks().iter().find(|b| b.unit.support().is_some()) {
            let what = format!("a density of {} units, which are discrete,", block.unit.name());
            return Err(Error::Intractable { what, instead: "the probabilities of their values" });
        }
        if inputs.nrows() != given {
            return Err(Error::shape("rows of inputs", given, inputs.nrows()));
        }
        let grid = grid(&within, points)?;
        let (mut logs, each) = (vec![0.0; points * inputs.ncols()], (AT_ONCE / points).max(1));
        for (k, out) in logs.chunks_mut(points * each).enumerate() {
            let x = Mat::from_fn(given + 1, out.len(), |i, c| match i < given {
                true => inputs[(i, k * each + c / points)],
                false => grid[c % points] as f32,
            });
            by_columns(x.as_view(), CHUNK, out, |x, out| model.energy(x, out));
            out.iter_mut().for_each(|e| *e = -*e);
        }
        Self::normalised(grid, logs)
    }
    /// Those of logarithms of densities, each up to a constant of its own: `log_p(j, y)` of input `j` at the number `y`.
    ///
    /// # Errors
    /// [`Error::Value`] as [`Densities::of`].
    pub fn from_log(
        inputs: usize,
        within: RangeInclusive<f64>,
        points: usize,
        log_p: impl Fn(usize, f64) -> f64,
    ) -> Result<Self> {
        let grid = grid(&within, points)?;
        let logs = (0..inputs).flat_map(|j| grid.iter().map(move |y| (j, *y))).map(|(j, y)| log_p(j, y)).collect();
        Self::normalised(grid, logs)
    }
    /// From logarithms, which may be `-∞`.
    fn normalised(points: Vec<f64>, mut logs: Vec<f64>) -> Result<Self> {
        let (step, mut values) = (points[1] - points[0], Vec::with_capacity(logs.len()));
        let mut log_partitions = Vec::with_capacity(logs.len() / points.len());
        for (j, log_p) in logs.chunks_exact_mut(points.len()).enumerate() {
            let most = log_p.iter().fold(f64::NEG_INFINITY, |m, v| if *v > m || v.is_nan() { *v } else { m });
            if !most.is_finite() {
                let what = format!("the largest log-density of input {j}");
                return Err(Error::value(what, "a number", most));
            }
            let shares: Vec<f64> = log_p.iter().map(|v| (v - most).exp()).collect();
            let log_z = most + trapezoids(&shares, step).ln();
            log_p.iter_mut().for_each(|v| *v -= log_z);
            values.extend(log_p.iter().map(|v| v.exp()));
            log_partitions.push(log_z);
        }
        Ok(Self { points, logs, values, log_partitions })
    }
    /// The points of the grid, from the lowest to the highest, equally far apart.
    pub fn points(&self) -> &[f64] {
        &self.points
    }
    /// The number of inputs.
    pub fn n_inputs(&self) -> usize {
        self.log_partitions.len()
    }
    /// The density at every point, given input `j`.
    ///
    /// # Panics
    /// If there is no such input; as all that follow.
    pub fn density(&self, j: usize) -> &[f64] {
        &self.values[j * self.points.len()..][..self.points.len()]
    }
    /// Its logarithm.
    pub fn log_density(&self, j: usize) -> &[f64] {
        &self.logs[j * self.points.len()..][..self.points.len()]
    }
    /// `log Z(u) = log ∫ exp(-E(u, y)) dy` over the grid.
    pub fn log_partition(&self, j: usize) -> f64 {
        self.log_partitions[j]
    }
    /// The density at any number; zero outside of the grid.
    pub fn at(&self, j: usize, y: f64) -> f64 {
        let (p, place) = (self.density(j), (y - self.points[0]) / self.step());
        if !(0.0..=(p.len() - 1) as f64).contains(&place) {
            return 0.0;
        }
        let k = (place as usize).min(p.len() - 2);
        p[k] + (place - k as f64) * (p[k + 1] - p[k])
    }
    /// The mean.
    pub fn mean(&self, j: usize) -> f64 {
        let moments: Vec<f64> = self.density(j).iter().zip(&self.points).map(|(p, y)| p * y).collect();
        trapezoids(&moments, self.step())
    }
    /// The number below which `share` of the probability lies. Two of them are an equal-tailed interval.
    ///
    /// # Errors
    /// [`Error::Value`] if `share` is not within 0..1.
    pub fn quantile(&self, j: usize, share: f64) -> Result<f64> {
        check_share(share)?;
        let (p, step, mut below) = (self.density(j), self.step(), 0.0);
        for (k, ends) in p.windows(2).enumerate() {
            let mass = 0.5 * step * (ends[0] + ends[1]);
            if below + mass >= share && mass > 0.0 {
                // The root of a parabola, in the form that is right for flat densities too.
                let (want, slope) = ((share - below) / step, ends[1] - ends[0]);
                let root = (ends[0] * ends[0] + 2.0 * slope * want).max(0.0).sqrt();
                let part = if want > 0.0 { 2.0 * want / (ends[0] + root) } else { 0.0 };
                return Ok(self.points[k] + step * part.min(1.0));
            }
            below += mass;
        }
        Ok(self.points[p.len() - 1])
    }
    /// The probability of all numbers whose density is above `level`.
    pub fn above(&self, j: usize, level: f64) -> f64 {
        let part = |ends: &[f64]| {
            let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            match level {
                _ if level >= high => 0.0,
                _ if level <= low => 0.5 * (low + high),
                _ => 0.5 * (high - level) / (high - low) * (high + level),
            }
        };
        (self.density(j).windows(2).map(part).sum::<f64>() * self.step()).min(1.0)
    }
    /// The probability of all numbers that are more likely than `y`: if `y` is drawn from the density, uniform within 0..1. It is at most
    /// 0.9, say, where `y` is in the region of highest density of 0.9: the share of data for which that is so is the coverage. 1 outside of
    /// the grid.
    pub fn denser(&self, j: usize, y: f64) -> f64 {
        self.above(j, self.at(j, y))
    }
    /// The region of highest density with this `share` of the probability: intervals in their order, as short together as any that have
    /// the share, several where the density has several peaks.
    ///
    /// # Errors
    /// [`Error::Value`] if `share` is not within 0..1.
    pub fn highest(&self, j: usize, share: f64) -> Result<Vec<(f64, f64)>> {
        check_share(share)?;
        let most = self.density(j).iter().fold(0.0, |m: f64, p| m.max(*p));
        let (mut low, mut high) = (0.0, most);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            match self.above(j, middle) >= share {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(self.intervals(j, low))
    }
    /// Where the density is at least `level`.
    fn intervals(&self, j: usize, level: f64) -> Vec<(f64, f64)> {
        let (p, mut all, mut begin) = (self.density(j), vec![], None);
        let crossing = |k: usize| self.points[k - 1] + self.step() * (level - p[k - 1]) / (p[k] - p[k - 1]);
        for (k, &here) in p.iter().enumerate() {
            match begin {
                None if here >= level => begin = Some(if k == 0 { self.points[0] } else { crossing(k) }),
                Some(from) if here < level => {
                    all.push((from, crossing(k)));
                    begin = None;
                }
                _ => (),
            }
        }
        all.extend(begin.map(|from| (from, self.points[p.len() - 1])));
        all
    }
    /// `KL(p ‖ q) = ∫ p log p/q`, in nats, of the density `p` of input `j` and that of `other`; infinite where only `q` vanishes.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not on the same points.
    pub fn divergence(&self, j: usize, other: &Self) -> Result<f64> {
        if self.points != other.points {
            let told = |p: &[f64]| format!("{} points from {} to {}", p.len(), p[0], p[p.len() - 1]);
            return Err(Error::shape("points of densities to compare", told(&self.points), told(&other.points)));
        }
        let one = |(p, (log_p, log_q)): (&f64, (&f64, &f64))| if *p > 0.0 { p * (log_p - log_q) } else { 0.0 };
        let both = self.log_density(j).iter().zip(other.log_density(j));
        let terms: Vec<f64> = self.density(j).iter().zip(both).map(one).collect();
        Ok(trapezoids(&terms, self.step()))
    }
    fn step(&self) -> f64 {
        self.points[1] - self.points[0]
    }
}
/// `∫` of a function that is known at points.
fn trapezoids(values: &[f64], step: f64) -> f64 {
    let last = values.len() - 1;
    step * (values[1..last].iter().sum::<f64>() + 0.5 * (values[0] + values[last]))
}
fn grid(within: &RangeInclusive<f64>, points: usize) -> Result<Vec<f64>> {
    let (low, high) = (*within.start(), *within.end());
    if !(low < high && (high - low).is_finite()) {
        return Err(Error::value("the range of a grid", "finite, its second number the larger", format!("{within:?}")));
    }
    if points < 2 {
        return Err(Error::value("points of a grid", "at least 2", points));
    }
    Ok((0..points).map(|k| low + (high - low) * (k as f64 / (points - 1) as f64)).collect())
}
fn check_share(share: f64) -> Result<()> {
    match share > 0.0 && share < 1.0 {
        true => Ok(()),
        false => Err(Error::value("a share of probability", "above 0 and below 1", share)),
    }
}
