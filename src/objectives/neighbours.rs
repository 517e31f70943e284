//! What a discrete energy learns from its neighbours: the states that differ from a datum in one unit. Their energies alone are asked
//! for, no field, no chain, no log Z; so any energy of discrete units without latent rows can learn, networks on bits among them.
//!
//! A flip of a bit is one neighbour, another value of a unit of `q` values is one of `q - 1`. Every loss here is a sum over units of a
//! function of the differences `d_y = E(x) - E(x with unit i at y)`, so its gradient is a signed weighting of the datum and its
//! neighbours. They are made and judged in pieces of bounded memory. Machines whose units have fields learn the pseudo-likelihood faster
//! by [`super::PseudoLikelihood`], from the fields.
//!
//! ## References
//! - Besag, "Statistical analysis of non-lattice data", 1975 (pseudo-likelihood).
//! - Hyvärinen, "Some extensions of score matching", 2007 (ratio matching).
//! - Sohl-Dickstein, Battaglino and DeWeese, "Minimum probability flow learning", 2011.

use super::batch::{check_values, check_weights, refuse_missing, shares};
use super::{Objective, Report};
use crate::conditionals::{DiscreteUnit, discrete_units};
use crate::linalg::{by_columns, col};
use crate::rng::{ChainRng, StreamSet, Streams, derive};
use crate::{Batch, Error, Learn, Mat, Params, Result, Resume, Saved};
use rand::RngExt;
use std::ops::Range;

/// Numbers in the states that are judged at once, unless one unit alone has more.
const AT_ONCE: usize = 1 << 20;
/// States that are judged at once.
const MOST: usize = 1 << 12;
/// States whose energies one task computes.
const CHUNK: usize = 256;

/// What a unit of a datum costs, by the differences `d_y = E(x) - E(x with the unit at y)` to all other values `y` of it. Each is least
/// on average, over any distribution of data, where the energy is that distribution's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourLoss {
    /// `-log p(x_i | all others) = log(1 + Σ_y exp d_y)`, in nats (Besag 1975).
    Pseudo,
    /// `Σ_y σ(d_y)²`, with `σ(d_y) = 1 / (1 + p(x) / p(y))` (Hyvärinen 2007, there for bits: one neighbour a unit).
    Ratio,
    /// `Σ_y exp(½ d_y)`: how fast probability begins to flow from the datum to its neighbours, if all of it were at the data and the
    /// model's dynamics took it away (Sohl-Dickstein and others 2011). The paper leaves out neighbours that are data themselves. Here
    /// they count, so that the loss is a mean over the data, and least at the truth where the data are all states.
    Flow,
}

/// `∇` of a [`NeighbourLoss`], summed over units (of which `units` are drawn anew for every sample and update, if told) and averaged
/// over the batch; the loss it reports is that average.
///
/// ```
/// use harmonium::objectives::{NeighbourLoss, Neighbours, Objective};
/// use harmonium::{Batch, Learn, Mat, models::Boltzmann, units::Spin};
/// let machine = Boltzmann::new((3, Spin)); // its energy is zero: all states are equally probable
/// let x = Mat::from_element(3, 4, 1.0);
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step: 0 };
/// let mut objective = Neighbours::new(NeighbourLoss::Ratio, 1);
/// let report = objective.gradient(&machine, &batch, &mut machine.params().zeros_like())?;
/// assert!((report.loss.unwrap_or(0.0) - 3.0 * 0.25).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// What a unit costs.
    pub loss: NeighbourLoss,
    /// How many units of each sample are looked at in an update, at random without repetition, their costs scaled so that the mean is
    /// that of all; all units, if none is told.
    pub units: Option<usize>,
    streams: StreamSet,
    weights: Vec<f32>,
    order: Vec<usize>,
    piece: Piece,
}

impl Neighbours {
    /// Of all units; `seed` is for the choice of some ([`Neighbours::some`]).
    pub fn new(loss: NeighbourLoss, seed: u64) -> Self {
        let streams = StreamSet::new(derive(seed, "units of samples"), 0);
        Self { loss, units: None, streams, weights: vec![], order: vec![], piece: Piece::default() }
    }
    /// The same with so many units a sample and update.
    pub fn some(self, units: usize) -> Self {
        Self { units: Some(units), ..self }
    }
}

/// Data and neighbours that are judged at once.
#[derive(Clone, Debug, Default)]
struct Piece {
    states: Mat,
    filled: usize,
    own: Option<(usize, usize)>, // the sample that was written last, and its column
    groups: Vec<Group>,
    energies: Vec<f64>,
    parts: Vec<f64>,
    signs: Vec<f32>,
}
/// A unit of a sample: the column of the sample, those of its neighbours, and its weight.
#[derive(Clone, Debug)]
struct Group {
    own: usize,
    others: Range<usize>,
    weight: f64,
}

impl Piece {
    /// Empty, with room for at least one unit's values.
    fn begin(&mut self, rows: usize, units: &[DiscreteUnit]) {
        let most = units.iter().map(|u| u.values.len()).max().unwrap_or(0);
        let columns = (AT_ONCE / rows.max(1)).clamp(1, MOST).max(1 + most);
        if self.states.shape() != (rows, columns) {
            self.states = Mat::zeros(rows, columns);
        }
        self.clear();
    }
    fn clear(&mut self) {
        (self.filled, self.own) = (0, None);
        self.groups.clear();
    }
    /// Whether the neighbours by a unit of a sample still fit.
    fn has_room(&self, sample: usize, unit: &DiscreteUnit) -> bool {
        let own = usize::from(self.own.is_none_or(|(s, _)| s != sample));
        self.filled + own + unit.values.len() <= self.states.ncols()
    }
    /// Adds the neighbours of a sample by a unit, and the sample unless it was the last.
    fn add(&mut self, (sample, x): (usize, &[f32]), unit: &DiscreteUnit, weight: f64) {
        let own = match self.own {
            Some((last, column)) if last == sample => column,
            _ => self.write(x),
        };
        self.own = Some((sample, own));
        let (from, place) = (self.filled, unit.row..unit.row + unit.values[0].len());
        for y in unit.values.iter().filter(|y| x[place.clone()] != y[..]) {
            let column = self.write(x);
            self.states.column_mut(column).as_mut_slice()[place.clone()].copy_from_slice(y);
        }
        self.groups.push(Group { own, others: from..self.filled, weight });
    }
    fn write(&mut self, x: &[f32]) -> usize {
        self.states.column_mut(self.filled).copy_from_slice(x);
        self.filled += 1;
        self.filled - 1
    }
    /// The weighted loss of what was added; its gradient is added to `grad`.
    fn judge<M: Learn + ?Sized>(&mut self, model: &M, loss: NeighbourLoss, grad: &mut Params) -> f64 {
        let n = self.filled;
        if n == 0 {
            return 0.0;
        }
        let states = self.states.columns(0, n);
        self.energies.resize(n, 0.0);
        by_columns(states, CHUNK, &mut self.energies, |x, out| model.energy(x, out));
        self.parts.clear();
        self.parts.resize(n, 0.0);
        let mut total = 0.0;
        for Group { own, others, weight } in &self.groups {
            let slopes = &mut self.parts[others.clone()];
            let differences = slopes.iter_mut().zip(&self.energies[others.clone()]);
            differences.for_each(|(d, e)| *d = self.energies[*own] - e);
            total += weight * loss.cost(slopes);
            slopes.iter_mut().for_each(|s| *s *= -weight);
            let back: f64 = slopes.iter().sum();
            self.parts[*own] -= back;
        }
        self.signs.clear();
        self.signs.extend(self.parts.iter().map(|s| *s as f32));
        model.grad_params(states, &self.signs, grad);
        self.clear();
        total
    }
}

impl NeighbourLoss {
    /// The cost of a unit by its differences, in whose place its derivatives by them are left.
    fn cost(self, d: &mut [f64]) -> f64 {
        match self {
            Self::Pseudo => {
                let most = d.iter().fold(0f64, |m, d| m.max(*d));
                let sum = (-most).exp() + d.iter().map(|d| (d - most).exp()).sum::<f64>();
                d.iter_mut().for_each(|d| *d = (*d - most).exp() / sum);
                most + sum.ln()
            }
            Self::Ratio => {
                let one = |d: &mut f64| {
                    let (s, rest) = (1.0 / (1.0 + (-*d).exp()), 1.0 / (1.0 + d.exp()));
                    *d = 2.0 * s * s * rest;
                    s * s
                };
                d.iter_mut().map(one).sum()
            }
            Self::Flow => {
                let one = |d: &mut f64| {
                    let flow = (0.5 * *d).exp();
                    *d = 0.5 * flow;
                    flow
                };
                d.iter_mut().map(one).sum()
            }
        }
    }
    /// Its name, for messages.
    fn name(self) -> &'static str {
        match self {
            Self::Pseudo => "a pseudo-likelihood",
            Self::Ratio => "ratio matching",
            Self::Flow => "minimum probability flow",
        }
    }
}

/// Puts `k` of `0..n`, drawn without repetition, in front of the order.
fn choose(order: &mut Vec<usize>, n: usize, k: usize, rng: &mut ChainRng) {
    order.clear();
    order.extend(0..n);
    (0..k).for_each(|i| order.swap(i, rng.random_range(i..n)));
}

impl<M: Learn + ?Sized> Objective<M> for Neighbours {
    /// # Errors
    /// [`Error::Intractable`] if the model has latent or real units, [`Error::Shape`] if the batch has not its rows or a weight for each
    /// sample, [`Error::Value`] if entries are missing, a unit has a value that is none of its kind, a weight is no number, or no unit
    /// is to be looked at.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.check(model, batch)?;
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let units = discrete_units(model.blocks()).expect("discrete units, as was checked");
        let n = units.len();
        let k = self.units.map_or(n, |k| k.min(n));
        let (scale, mut loss) = (n as f64 / k.max(1) as f64, 0.0);
        self.streams.cover(batch.x.ncols());
        let mut streams = Streams(self.streams.as_mut_slice());
        self.piece.begin(model.n_rows(), &units);
        self.order.clear();
        self.order.extend(0..n);
        for j in (0..batch.x.ncols()).filter(|&j| self.weights[j] != 0.0) {
            if k < n {
                choose(&mut self.order, n, k, streams.column(j));
            }
            let weight = scale * f64::from(self.weights[j]);
            for unit in self.order[..k].iter().map(|&i| &units[i]) {
                if !self.piece.has_room(j, unit) {
                    loss += self.piece.judge(model, self.loss, grad);
                }
                self.piece.add((j, col(&batch.x, j)), unit, weight);
            }
        }
        loss += self.piece.judge(model, self.loss, grad);
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
impl Neighbours {
    fn check<M: Learn + ?Sized>(&self, model: &M, batch: &Batch<'_>) -> Result<()> {
        let name = self.loss.name();
        if model.n_visible() != model.n_rows() {
            let what = format!("{name} of a machine with latent units");
            return Err(Error::Intractable { what, instead: "contrastive divergence" });
        }
        if self.units == Some(0) {
            return Err(Error::value("how many units of a sample are looked at", "at least 1", 0));
        }
        check_weights(batch)?;
        if batch.x.nrows() != model.n_rows() {
            return Err(Error::shape("rows of samples", model.n_rows(), batch.x.nrows()));
        }
        refuse_missing(batch, "missing entries of the data", &format!("none, for {name}"))?;
        check_values(model, batch, name)
    }
}
/// The streams that units are drawn from.
impl Resume for Neighbours {
    fn save(&self, to: &mut Saved) {
        self.streams.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.streams.load(from)
    }
}
