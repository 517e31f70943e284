//! The zero-sum gauge of softmax units: of all parameters that mean the same, those of least norm.
//!
//! Exactly one row of a one-of-`q` unit is 1. So a constant added to all weights between its rows and a unit `j` of the other
//! side is the same as one added to the bias of `j`, and a constant added to the biases of its rows only shifts the energy: there
//! are directions in which parameters can drift, by noise or by penalties, without a change of the distribution. Here every unit
//! loses the mean over its rows:
//!
//! ```text
//! W_jk ← W_jk - a_j      c_j ← c_j + a_j      a_j = 1/q Σₖ W_jk      for every softmax unit of the columns, and of the rows likewise
//! b_k ← b_k - m          E ← E + m            m = 1/q Σₖ b_k         for every softmax unit, after that
//! ```
//!
//! `Σ (W_jk - a)²` is least where `a` is the mean, and the projections of both sides commute; so the norm of the weights is the
//! least, and, with these weights, that of the biases.
//!
//! Only biases and couplings that the model tells apart are moved: [`Learn::biases`] of the block, and slots of the role
//! [`Role::Coupling`]. Units of one value, `q = 1`, are left alone, and so is every other kind.
//!
//! ## References
//! - Ekeberg, Lövkvist, Lan, Weigt and Aurell, "Improved contact prediction in proteins: using pseudolikelihoods to infer Potts
//!   models", 2013 (the gauge, between sites).
//! - Tubiana, Cocco and Monasson, "Learning protein constitutive motifs from sequence data", 2019 (for machines of Potts units).

use crate::params::{Role, Slot};
use crate::units::Softmax;
use crate::{Learn, Params, Train};
use std::any::Any;
use std::ops::Range;

/// Takes a model to the zero-sum gauge of its softmax units, and returns by how much the energy of every state grew, in nats:
/// `E' = E + shift`, `log Z' = log Z - shift`, and `p` is what it was. A model without such units stays as it is.
///
/// ```
/// use harmonium::models::{Rbm, zero_sum};
/// use harmonium::{Train, units::{Bernoulli, Softmax}};
/// let mut rbm = Rbm::new((6, Softmax { q: 3 }), (2, Bernoulli));
/// rbm.update(&mut |p| p.as_mut_slice().fill(1.0)); // all states of a unit alike: it says nothing
/// assert_eq!(zero_sum(&mut rbm), 2.0);
/// assert!(rbm.weights().iter().all(|w| *w == 0.0));
/// assert_eq!(rbm.hidden_bias(), [3.0, 3.0]);
/// ```
pub fn zero_sum<M: Train + ?Sized>(model: &mut M) -> f64 {
    let (gauge, mut shift) = (Gauge::of(&*model), 0.0);
    if !gauge.layers.is_empty() {
        model.update(&mut |params| shift = gauge.fix(params));
    }
    shift
}

/// Where the softmax units of a model are.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    layers: Vec<Layer>,
}
/// Biases of whole units of `q` rows, in the flat parameters.
#[derive(Clone, Debug)]
struct Layer {
    biases: Range<usize>,
    q: usize,
}

impl Gauge {
    pub(crate) fn of<M: Learn + ?Sized>(model: &M) -> Self {
        let layer = |(b, block): (usize, &crate::Block)| {
            let q = (&*block.unit as &dyn Any).downcast_ref::<Softmax>()?.q;
            model.biases(b).filter(|_| q > 1).map(|biases| Layer { biases, q })
        };
        Self { layers: model.blocks().iter().enumerate().filter_map(layer).collect() }
    }
    /// Into the gauge; returns by how much the energy grew.
    pub(crate) fn fix(&self, params: &mut Params) -> f64 {
        if self.layers.is_empty() {
            return 0.0; // not even a new version
        }
        let slots = params.layout();
        for (layer, weights) in self.layers.iter().flat_map(|l| slots.iter().map(move |s| (l, s))) {
            let Role::Coupling { rows, columns } = weights.role else { continue };
            if let Some(units) = layer.within(&slots[columns]) {
                over_columns(params.as_mut_slice(), weights, (units, layer.q), &slots[rows]);
            }
            if let Some(units) = layer.within(&slots[rows]) {
                over_rows(params.as_mut_slice(), weights, (units, layer.q), &slots[columns]);
            }
        }
        let values = params.as_mut_slice();
        let layers = self.layers.iter().flat_map(|l| l.biases.clone().step_by(l.q).map(move |k| k..k + l.q));
        layers.map(|unit| take_mean(&mut values[unit])).sum()
    }
}
impl Layer {
    /// Which biases of a slot they are, if they are.
    fn within(&self, slot: &Slot) -> Option<Range<usize>> {
        let inside = slot.offset <= self.biases.start && self.biases.end <= slot.range().end;
        inside.then(|| self.biases.start - slot.offset..self.biases.end - slot.offset)
    }
}

/// Subtracts the mean, and returns it.
fn take_mean(values: &mut [f32]) -> f64 {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|v| *v = (f64::from(*v) - mean) as f32);
    mean
}
/// The units are columns of these weights: what their `q` columns have in common goes to the biases of the rows.
fn over_columns(values: &mut [f32], weights: &Slot, (units, q): (Range<usize>, usize), rows: &Slot) {
    let mut taken = vec![0f64; weights.rows];
    let mut mean = vec![0f64; weights.rows];
    for first in units.step_by(q) {
        let at = weights.offset + first * weights.rows;
        let unit = &mut values[at..at + q * weights.rows];
        mean.fill(0.0);
        for column in unit.chunks(weights.rows.max(1)) {
            mean.iter_mut().zip(column).for_each(|(m, &w)| *m += f64::from(w) / q as f64);
        }
        for column in unit.chunks_mut(weights.rows.max(1)) {
            column.iter_mut().zip(&mean).for_each(|(w, m)| *w = (f64::from(*w) - m) as f32);
        }
        taken.iter_mut().zip(&mean).for_each(|(t, m)| *t += m);
    }
    let biases = values[rows.range()].iter_mut().zip(&taken);
    biases.for_each(|(c, t)| *c = (f64::from(*c) + t) as f32);
}
/// The units are rows of these weights: what their `q` rows have in common goes to the biases of the columns.
fn over_rows(values: &mut [f32], weights: &Slot, (units, q): (Range<usize>, usize), columns: &Slot) {
    for column in 0..weights.columns {
        let at = weights.offset + column * weights.rows;
        let taken: f64 = values[at + units.start..at + units.end].chunks_mut(q).map(take_mean).sum();
        let bias = &mut values[columns.offset + column];
        *bias = (f64::from(*bias) + taken) as f32;
    }
}
