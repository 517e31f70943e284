//! The deep belief net: an RBM at the top, and below it layers that are drawn one from the other, downwards.
//!
//! `p(x) = p(x_{L-1}, x_L) Π p(x_{l-1} | x_l)`: it is a distribution of all layers with a hierarchy, and deliberately no
//! [`crate::Energy`]. Nothing samples it by Gibbs sweeps, and no field of a middle layer is a sum of what both sides tell. It is
//! learned greedily as a stack of RBMs ([`crate::train::Activities`]) and then, if wanted, all at once by
//! [`crate::objectives::UpDown`]; drawn from by [`crate::infer::dream`], and bounded by [`crate::eval::belief_net_bounds`].
//!
//! Beside the generative layers it has recognition layers, `q(x_l | x_{l-1})`, which go upwards: at first the same weights, untied
//! from then on.
//!
//! ## References
//! - Hinton, Osindero and Teh, "A fast learning algorithm for deep belief nets", 2006.

use super::{Rbm, grad_theta, grad_theta_expected};
use crate::linalg::{Outer, add_columns, set_outers};
use crate::params::Role;
use crate::{Block, Energy, Error, Learn, Mat, MatRef, Params, Result, States, Train};
use std::ops::Range;

/// A layer that is drawn from its neighbour: two machines that began as one, of which one answers upwards alone, `q(h | v)`, and the
/// other downwards alone, `p(v | h)`. What a machine says in the other direction is not used.
#[derive(Clone, Debug)]
struct Directed {
    recognition: Rbm,
    generative: Rbm,
}

/// Layers of units from the visible one upwards; the two last are an RBM, which may have a label beside its lower layer.
///
/// Parameters: those of every machine, under its name: `recognition1.weights`, `generative1.weights` …, `top.weights`; those that a
/// directed layer does not use stay as they were. [`crate::train::Fit::max_norm`] bounds rows of all weights, which are those out of a unit in
/// generative layers.
///
/// ```
/// use harmonium::{Mat, models::{Dbn, Rbm}, units::Bernoulli};
/// let stack = vec![Rbm::new((6, Bernoulli), (4, Bernoulli)), Rbm::new((4, Bernoulli), (3, Bernoulli))];
/// let dbn = Dbn::from_stack(stack)?;
/// assert_eq!((dbn.n_visible(), dbn.n_lower(), dbn.top().n_hidden()), (6, 1, 3));
/// assert_eq!(dbn.up(Mat::zeros(6, 2).as_view())?, Mat::from_element(4, 2, 0.5)); // all parameters are zero
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dbn {
    params: Params,
    lower: Vec<Directed>,
    top: Rbm,
}

impl Dbn {
    /// The net that a stack of machines makes, each of which was learned on the hidden units of the one before: recognition and
    /// generation have the same weights. The last may have one more visible range after these, its label.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no machine, or the last has more than a label beside these units; [`Error::Shape`] if one does not
    /// fit the one before.
    pub fn from_stack(mut stack: Vec<Rbm>) -> Result<Self> {
        let top = stack.pop().ok_or_else(|| Error::value("machines of a deep belief net", "at least 1", 0))?;
        for (k, below) in stack.iter().enumerate() {
            let above = stack.get(k + 1).unwrap_or(&top);
            let (own, visible) = (kinds(below.hidden()), kinds(above.visible()));
            if !visible.starts_with(&own) || visible.len() > own.len() && k + 1 < stack.len() {
                let what = format!("visible units of layer {}", k + 2);
                return Err(Error::shape(what, own.join(", "), visible.join(", ")));
            }
        }
        let below = stack.last().map_or(0, Rbm::n_hidden);
        let more = top.visible().iter().filter(|b| !stack.is_empty() && b.rows.start >= below).count();
        if more > 1 || more == 1 && top.label_rows().is_err() {
            let got = kinds(top.visible()).join(", ");
            return Err(Error::value("what is beside the lower layer of the top", "one softmax unit, the label", got));
        }
        let lower: Vec<Directed> =
            stack.into_iter().map(|rbm| Directed { recognition: rbm.clone(), generative: rbm }).collect();
        let mut dbn = Self { params: layout(&lower, &top), lower, top };
        dbn.collect();
        Ok(dbn)
    }
    /// Number of visible rows.
    pub fn n_visible(&self) -> usize {
        self.lower.first().map_or(self.n_below_top(), |l| l.generative.n_visible())
    }
    /// Number of directed layers below the machine at the top.
    pub fn n_lower(&self) -> usize {
        self.lower.len()
    }
    /// Rows of the lower layer of the machine at the top, the label not among them.
    pub fn n_below_top(&self) -> usize {
        self.lower.last().map_or_else(|| self.top.n_visible() - self.label_of_shallow(), |l| l.generative.n_hidden())
    }
    fn label_of_shallow(&self) -> usize {
        self.top.label_rows().map_or(0, |label| label.len())
    }
    /// Rows of the label, beside the lower layer of the machine at the top; none if it has no label.
    pub fn n_label(&self) -> usize {
        self.top.n_visible() - self.n_below_top()
    }
    /// The machine at the top.
    pub fn top(&self) -> &Rbm {
        &self.top
    }
    /// The machine whose hidden units answer in layer `l`, from 1 on, to the layer below: `q(x_l | x_{l-1})`.
    ///
    /// # Panics
    /// If there is no such directed layer.
    pub fn recognition(&self, l: usize) -> &Rbm {
        &self.lower[l - 1].recognition
    }
    /// The machine whose visible units are layer `l - 1` given layer `l`: `p(x_{l-1} | x_l)`.
    ///
    /// # Panics
    /// If there is no such directed layer.
    pub fn generative(&self, l: usize) -> &Rbm {
        &self.lower[l - 1].generative
    }
    /// All parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }
    /// The only way to change them.
    ///
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    pub fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        let (values, mut at) = (self.params.as_slice(), 0);
        for machine in machines_mut(&mut self.lower, &mut self.top) {
            let n = machine.params().as_slice().len();
            machine.update(&mut |p| p.as_mut_slice().copy_from_slice(&values[at..at + n]));
            at += n;
        }
        self.params.as_mut_slice(); // a new version
    }
    /// The means of the lower layer of the machine at the top, by means all the way up (units × samples).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit.
    pub fn up(&self, v: MatRef<'_>) -> Result<Mat> {
        if v.nrows() != self.n_visible() {
            return Err(Error::shape("rows of samples", self.n_visible(), v.nrows()));
        }
        self.lower.iter().try_fold(v.clone_owned(), |x, layer| layer.recognition.hidden_mean(x.as_view()))
    }
    /// The means of the visible units, by means all the way down from the lower layer of the machine at the top.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a unit of that layer.
    pub fn down(&self, x: MatRef<'_>) -> Result<Mat> {
        if x.nrows() != self.n_below_top() {
            return Err(Error::shape("rows of the layer below the top", self.n_below_top(), x.nrows()));
        }
        self.lower.iter().rev().try_fold(x.clone_owned(), |x, layer| layer.generative.visible_mean(x.as_view()))
    }
    /// `log p(y | x)` of the machine at the top, of classes × samples, in nats, by its free energies with every label; `x` are
    /// the means of its lower layer.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit, [`Error::Value`] if the net has no label.
    pub fn class_log_probabilities(&self, v: MatRef<'_>) -> Result<Mat> {
        self.top.class_log_probabilities(self.up(v)?.as_view())
    }
    /// The most probable class of every sample, by [`Dbn::class_log_probabilities`].
    ///
    /// # Errors
    /// Those of [`Dbn::class_log_probabilities`].
    pub fn classify(&self, v: MatRef<'_>) -> Result<Vec<usize>> {
        self.top.classify(self.up(v)?.as_view())
    }
    /// Who lives where in a sample: the visible units, then the label.
    pub(crate) fn data_blocks(&self) -> Vec<Block> {
        let lowest = self.lower.first().map_or(&self.top, |l| &l.generative);
        let (d, below) = (self.n_visible(), self.n_below_top());
        let visible = lowest.visible().iter().filter(|b| b.rows.end <= d).cloned();
        let moved = |b: &Block| Block { rows: b.rows.start - below + d..b.rows.end - below + d, ..b.clone() };
        visible.chain(self.top.visible().iter().filter(|b| b.rows.start >= below).map(moved)).collect()
    }
    /// The layers, for messages and for what a checkpoint is of.
    pub(crate) fn describe(&self) -> String {
        let machine = |rbm: &Rbm| format!("{} × {}", kinds(rbm.visible()).join(", "), kinds(rbm.hidden()).join(", "));
        let all = self.lower.iter().map(|l| &l.generative).chain([&self.top]);
        all.map(machine).collect::<Vec<_>>().join("; ")
    }
    /// Copies the machines' parameters into the flat ones.
    fn collect(&mut self) {
        let mut at = 0;
        for machine in machines_mut(&mut self.lower, &mut self.top) {
            let values = machine.params().as_slice();
            self.params.as_mut_slice()[at..at + values.len()].copy_from_slice(values);
            at += values.len();
        }
    }
    /// Where the slots of the machine at the top begin, and where its parameters do.
    pub(crate) fn top_slots(&self) -> (usize, Range<usize>) {
        let n = self.params.as_slice().len();
        (10 * self.lower.len(), n - self.top.params().as_slice().len()..n)
    }
    /// `∇ = Σ wₙ ∂/∂θ (-log p(x_{l-1} | x_l))` of states of the generative machine of layer `l`, written over its part of `grad`.
    pub(crate) fn grad_generative(&self, l: usize, states: &mut States, weights: &[f32], grad: &mut Params) {
        let (machine, slot) = (self.generative(l), 10 * (l - 1) + 5);
        let d = machine.n_visible();
        let (x, mean) = states.x_and_means(machine, machine.visible_blocks());
        let (v, h) = (x.rows(0, d), x.rows(d, machine.n_hidden()));
        let outer = |scale, x| Outer { scale, a: h, x, weights };
        set_outers([outer(-1.0, v), outer(1.0, mean)], grad.slice_mut(slot));
        grad_bias(grad.slice_mut(slot + 1), (v, mean), weights);
        grad_units(machine, machine.visible_blocks(), states, weights, grad.slice_mut(slot + 4));
    }
    /// `∇ = Σ wₙ ∂/∂θ (-log q(x_l | x_{l-1}))` of states of the recognition machine of layer `l`, written over its part of `grad`.
    pub(crate) fn grad_recognition(&self, l: usize, states: &mut States, weights: &[f32], grad: &mut Params) {
        let (machine, slot) = (self.recognition(l), 10 * (l - 1));
        let d = machine.n_visible();
        let (x, mean) = states.x_and_means(machine, machine.hidden_blocks());
        let (v, h) = (x.rows(0, d), x.rows(d, machine.n_hidden()));
        let outer = |scale, a| Outer { scale, a, x: v, weights };
        set_outers([outer(-1.0, h), outer(1.0, mean)], grad.slice_mut(slot));
        grad_bias(grad.slice_mut(slot + 2), (h, mean), weights);
        grad_units(machine, machine.hidden_blocks(), states, weights, grad.slice_mut(slot + 3));
    }
}

fn grad_bias(grad: &mut [f32], (x, mean): (MatRef<'_>, MatRef<'_>), weights: &[f32]) {
    grad.fill(0.0);
    add_columns(grad, -1.0, x, weights);
    add_columns(grad, 1.0, mean, weights);
}
fn grad_units(machine: &Rbm, blocks: Range<usize>, states: &mut States, weights: &[f32], grad: &mut [f32]) {
    grad.fill(0.0);
    let (minus, mut at) = (weights.iter().map(|w| -w).collect::<Vec<f32>>(), 0);
    for b in blocks {
        let (block, theta) = (&machine.blocks()[b], machine.theta(b, &[]));
        let slot = &mut grad[at..at + theta.len()];
        grad_theta(block, theta, states.x(), weights, slot);
        grad_theta_expected(block, theta, states.field(machine, b), &minus, slot);
        at += theta.len();
    }
}

/// All machines in the order of their parameters.
fn machines_mut<'a>(lower: &'a mut [Directed], top: &'a mut Rbm) -> impl Iterator<Item = &'a mut Rbm> {
    lower.iter_mut().flat_map(|l| [&mut l.recognition, &mut l.generative]).chain([top])
}
/// Slots of all machines, five each. Couplings of an energy are those of the top alone.
fn layout(lower: &[Directed], top: &Rbm) -> Params {
    let mut slots: Vec<(String, Role, usize, usize)> = vec![];
    let mut add = |name: &str, machine: &Rbm, directed: bool| {
        let first = slots.len();
        for s in machine.params().slots() {
            let role = match s.role {
                Role::Coupling { .. } if directed => Role::Weights,
                Role::Coupling { rows, columns } => Role::Coupling { rows: rows + first, columns: columns + first },
                role => role,
            };
            slots.push((format!("{name}.{}", s.name), role, s.rows, s.columns));
        }
    };
    for (k, layer) in lower.iter().enumerate() {
        add(&format!("recognition{}", k + 1), &layer.recognition, true);
        add(&format!("generative{}", k + 1), &layer.generative, true);
    }
    add("top", top, false);
    let slots: Vec<(&str, Role, usize, usize)> = slots.iter().map(|(n, role, r, c)| (&**n, *role, *r, *c)).collect();
    Params::zeros(&slots)
}
/// Rows and kinds of the ranges of a layer.
pub(super) fn kinds(blocks: &[Block]) -> Vec<String> {
    blocks.iter().map(|b| format!("{} {}", b.rows.len(), crate::units::label(&*b.unit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::ChainRng;
    use crate::units::{Bernoulli, LogPrecision};
    use rand::RngExt;

    /// Gradients of what directed layers say of each other, against differences of `-log p` in double precision of its definition.
    #[test]
    fn directed_layers_have_the_gradients_of_their_conditional_likelihood() {
        let mut rng = ChainRng::new(5);
        let stack = vec![Rbm::new((4, LogPrecision), (3, Bernoulli)), Rbm::new((3, Bernoulli), (2, Bernoulli))];
        let mut dbn = Dbn::from_stack(stack).unwrap();
        dbn.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|v| *v = rng.random_range(-0.8..0.8)));
        let x = Mat::from_fn(7, 6, |i, j| if i < 4 { (i + 2 * j) as f32 * 0.3 - 1.0 } else { ((i * j) % 2) as f32 });
        let weights = [0.5, 0.25, 0.0, 1.0, 0.5, 0.125];
        let loss = |dbn: &Dbn, up: bool| {
            let machine = if up { dbn.recognition(1) } else { dbn.generative(1) };
            let blocks = if up { machine.hidden_blocks() } else { machine.visible_blocks() };
            let mut states = States::new(x.clone());
            let mut total = 0.0;
            for b in blocks {
                let (fields, block) = (states.field(machine, b).clone_owned(), &machine.blocks()[b]);
                for (j, w) in weights.iter().enumerate() {
                    let (x, f) = (&x.column(j).as_slice()[block.rows.clone()].to_vec(), fields.column(j).clone_owned());
                    let (theta, unit) = (machine.theta(b, &[]), &block.unit);
                    let minus = unit.base_energy(theta, x) + unit.log_partition(theta, f.as_slice());
                    let pull: f64 = f.iter().zip(x).map(|(f, x)| f64::from(*f) * f64::from(*x)).sum();
                    total += f64::from(*w) * (minus - pull);
                }
            }
            total
        };
        let mut grad = dbn.params().zeros_like();
        grad.as_mut_slice().fill(0.0);
        dbn.grad_recognition(1, &mut States::new(x.clone()), &weights, &mut grad);
        dbn.grad_generative(1, &mut States::new(x.clone()), &weights, &mut grad);
        let ends = dbn.params().slots()[9].range().end;
        let split = dbn.params().slots()[5].offset;
        for k in 0..ends {
            let home = dbn.params().as_slice()[k];
            let mut at = |h: f32| {
                dbn.update(&mut |p| p.as_mut_slice()[k] = home + h);
                let value = loss(&dbn, k < split);
                dbn.update(&mut |p| p.as_mut_slice()[k] = home);
                value
            };
            let coarse = (at(0.06) - at(-0.06)) / 0.12;
            let fine = (at(0.03) - at(-0.03)) / 0.06;
            let slope = (4.0 * fine - coarse) / 3.0;
            let got = f64::from(grad.as_slice()[k]);
            assert!((got - slope).abs() < 2e-3, "{}: {got} instead of {slope}", dbn.params().slot_of(k).name);
        }
    }
}
