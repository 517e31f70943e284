//! A network as a conditional energy: its outputs are the fields of the units that it predicts, `E(y | u) = U(y) - yᵀf(u)`.
//!
//! So `p(y | u)` is normalised, exact, and of the kind of the units: a class ([`crate::units::Softmax`]), bits, a real number with its
//! uncertainty ([`crate::units::LogPrecision`]). `-log p` is the cross-entropy of classes and bits, and half the squared error of
//! [`crate::units::Gaussian`] units. [`crate::objectives::Supervised`] learns it. Units of the output are independent given the input.

use super::{Activation, Mlp, Noise, Work};
use crate::linalg::{axpy, col, dot};
use crate::models::{Kind, grad_theta, grad_theta_expected};
use crate::params::Role;
use crate::units::Softmax;
use crate::{
    Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Result, States, Train, Version,
};
use std::any::Any;
use std::ops::Range;

/// `E(y | u) = U(y) - yᵀf(u)` with a network `f`; a state is the inputs `u`, which are given, then the rows of `y`.
///
/// Parameters: those of the [`Mlp`], and `output_theta`, the units' own.
///
/// ```
/// use harmonium::models::neural::{Activation, Predictor};
/// use harmonium::{Energy, Mat, units::Softmax};
/// use std::sync::Arc;
/// let mut net = Predictor::new(4, &[(8, Activation::Relu)], &[(3, Arc::new(Softmax { q: 3 }))]);
/// net.network_mut().initialise(1);
/// assert_eq!((net.n_given(), net.n_rows()), (4, 7));
/// let p = net.predict(Mat::zeros(4, 2).as_view())?; // the probabilities of three classes for two samples
/// assert!(p.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Predictor {
    network: Mlp,
    blocks: Vec<Block>,
    thetas: Vec<Range<usize>>, // of every block, in their slot
}

impl Predictor {
    /// So many inputs, hidden layers, and ranges of units that are predicted; all parameters zero.
    ///
    /// # Panics
    /// If nothing is predicted, or rows are not those of whole units.
    pub fn new(inputs: usize, hidden: &[(usize, Activation)], outputs: &[Kind]) -> Self {
        assert!(!outputs.is_empty(), "units to predict");
        let (mut at, mut theta, mut blocks, mut thetas) = (inputs, 0, vec![], vec![]);
        for (rows, unit) in outputs {
            let whole = unit.width() > 0 && rows.is_multiple_of(unit.width());
            assert!(whole, "rows of whole units: {rows} of {unit:?}");
            blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group: 0 });
            thetas.push(theta..theta + rows * unit.n_theta());
            (at, theta) = (at + rows, theta + rows * unit.n_theta());
        }
        let layers: Vec<_> = hidden.iter().copied().chain([(at - inputs, Activation::Linear)]).collect();
        let network = Mlp::with_more(inputs, &layers, &[("output_theta", Role::Unit, theta)]);
        Self { network, blocks, thetas }
    }
    /// The function of the inputs that gives the fields.
    pub fn network(&self) -> &Mlp {
        &self.network
    }
    /// The same, to be changed.
    pub fn network_mut(&mut self) -> &mut Mlp {
        &mut self.network
    }
    /// `E[y | u]` of inputs × samples: probabilities of classes and bits, means of real units.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row an input.
    pub fn predict(&self, u: MatRef<'_>) -> Result<Mat> {
        let mut out = self.network.forward(u)?;
        let mut field = vec![0.0; out.nrows()];
        for mut column in out.column_iter_mut() {
            field.copy_from_slice(column.as_slice());
            self.means(&field, column.as_mut_slice());
        }
        Ok(out)
    }
    /// The most probable class of every sample, where one softmax unit is predicted.
    ///
    /// # Errors
    /// [`Error::Value`] if it is another, and those of [`Predictor::predict`].
    pub fn classify(&self, u: MatRef<'_>) -> Result<Vec<usize>> {
        let is_class = |b: &Block| (&*b.unit as &dyn Any).is::<Softmax>() && b.rows.len() == b.unit.width();
        if !matches!(&self.blocks[..], [one] if is_class(one)) {
            let got = self.blocks.iter().map(|b| format!("{} {}", b.rows.len(), b.unit.name())).collect::<Vec<_>>();
            return Err(Error::value("what a classifier predicts", "one softmax unit", got.join(", ")));
        }
        Ok(self.network.forward(u)?.column_iter().map(|f| f.imax()).collect())
    }
    /// `log p(y | u)` of every sample, in nats, of states (inputs, then what is predicted × samples); of samples whose `y` is a mean,
    /// the expected one but for a constant.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state has not its rows.
    pub fn log_probabilities(&self, x: MatRef<'_>) -> Result<Vec<f64>> {
        if x.nrows() != self.n_rows() {
            return Err(Error::shape("rows of inputs and outputs", self.n_rows(), x.nrows()));
        }
        let fields = self.network.forward(x.rows(0, self.n_given()))?;
        Ok((0..x.ncols()).map(|j| -self.loss(col(&fields.as_view(), j), col(&x, j))).collect())
    }
    /// `-log p(y | u) = U(y) - φᵀy + Γ(φ)`, of a state with these fields of its outputs.
    pub(crate) fn loss(&self, field: &[f32], x: &[f32]) -> f64 {
        let n = self.n_given();
        let one = |(b, block): (usize, &Block)| {
            let (own, theta) = (block.rows.start - n..block.rows.end - n, self.theta(b, x));
            let (field, y) = (&field[own], &x[block.rows.clone()]);
            block.unit.base_energy(theta, y) - dot(field, y) + block.unit.log_partition(theta, field)
        };
        self.blocks.iter().enumerate().map(one).sum()
    }
    /// Means of the outputs at these fields.
    pub(crate) fn means(&self, field: &[f32], out: &mut [f32]) {
        let n = self.n_given();
        for (b, block) in self.blocks.iter().enumerate() {
            let own = block.rows.start - n..block.rows.end - n;
            block.unit.mean(self.theta(b, &[]), &field[own.clone()], &mut out[own]);
        }
    }
    /// The slot of the units' own parameters.
    fn theta_slot(&self) -> usize {
        2 * self.network.n_layers()
    }
    /// What the units' own parameters learn from states `x`, whose outputs have the fields `fields`: `Σ wₙ (∂U/∂θ - ⟨∂U/∂θ⟩)`, or
    /// one of the two with weights of zero for the other.
    pub(crate) fn grad_units(&self, x: MatRef<'_>, fields: MatRef<'_>, weights: [&[f32]; 2], grad: &mut Params) {
        let n = self.n_given();
        for (b, block) in self.blocks.iter().enumerate().filter(|(_, b)| b.unit.n_theta() > 0) {
            let slot = &mut grad.slice_mut(self.theta_slot())[self.thetas[b].clone()];
            grad_theta(block, self.theta(b, &[]), x, weights[0], slot);
            let fields = fields.rows(block.rows.start - n, block.rows.len());
            grad_theta_expected(block, self.theta(b, &[]), fields, weights[1], slot);
        }
    }
    /// `grad += -Σ wₙ yₙᵀ ∂f(uₙ)/∂θ` for outputs `y` (or their means).
    fn grad_network(&self, u: MatRef<'_>, y: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let (mut work, mut own) = (Work::new(0), grad.zeros_like());
        // A sample of weight zero is absent, whatever it holds.
        let kept: Vec<usize> = (0..weights.len()).filter(|&j| weights[j] != 0.0).collect();
        let u = u.select_columns(&kept);
        self.network.pass(&mut work, u.as_view(), Noise::default(), &|j, _, delta| {
            delta.iter_mut().zip(col(&y, kept[j])).for_each(|(d, y)| *d = -weights[kept[j]] * y);
        });
        self.network.pass_back(&mut work, Noise::default(), &mut own);
        axpy(1.0, own.as_slice(), grad.as_mut_slice());
    }
    fn outputs<'a>(&self, x: &'a MatRef<'_>) -> MatRef<'a> {
        x.rows(self.n_given(), self.n_rows() - self.n_given())
    }
    fn fields_of(&self, x: MatRef<'_>) -> Mat {
        let mut work = Work::new(0);
        self.network.pass(&mut work, x.rows(0, self.n_given()), Noise::default(), &|_, _, _| ());
        work.activities(self.network.rows(self.network.n_layers())).clone_owned()
    }
}

impl Energy for Predictor {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, _: &'a [f32]) -> &'a [f32] {
        &self.network.params().slice(self.theta_slot())[self.thetas[block].clone()]
    }
    fn n_given(&self) -> usize {
        self.network.n_inputs()
    }
    fn version(&self) -> Version {
        self.network.params().version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.energy_at_zero(&[], x, out);
    }
}
impl Gibbs for Predictor {
    /// `f(u)`
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        out.copy_from(&self.fields_of(x).rows(rows.start - self.n_given(), rows.len()));
    }
}
impl Marginal for Predictor {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        out.fill(0.0);
        let kept: Vec<usize> = (0..self.blocks.len()).filter(|b| !summed.contains(b)).collect();
        if kept.is_empty() {
            return;
        }
        let (fields, n) = (self.fields_of(x), self.n_given());
        let fields = fields.as_view();
        for b in kept {
            let (block, rows) = (&self.blocks[b], self.blocks[b].rows.clone());
            for (j, o) in out.iter_mut().enumerate() {
                let (x, field) = (&col(&x, j)[rows.clone()], &col(&fields, j)[rows.start - n..rows.end - n]);
                *o += block.unit.base_energy(self.theta(b, &[]), x) - dot(x, field);
            }
        }
    }
}
impl Learn for Predictor {
    fn params(&self) -> &Params {
        self.network.params()
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (rows, n) = (&self.blocks[block].rows, self.n_given());
        let offset = self.params().slots()[2 * self.network.n_layers() - 1].offset;
        Some(offset + rows.start - n..offset + rows.end - n)
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.grad_network(x.rows(0, self.n_given()), self.outputs(&x), weights, grad);
        let (nothing, fields) = (vec![0.0; weights.len()], Mat::zeros(self.network.n_outputs(), weights.len()));
        self.grad_units(x, fields.as_view(), [weights, &nothing], grad);
    }
    /// Data: the outputs are known. Model: their means given the inputs, exactly.
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        if phase == Phase::Data {
            return self.grad_params(states.x(), weights, grad);
        }
        let (x, n, mut fields) = (states.x(), self.n_given(), self.fields_of(states.x()));
        let nothing = vec![0.0; weights.len()];
        self.grad_units(x, fields.as_view(), [&nothing, weights], grad);
        let mut field = vec![0.0; fields.nrows()];
        for mut column in fields.column_iter_mut() {
            field.copy_from_slice(column.as_slice());
            self.means(&field, column.as_mut_slice());
        }
        self.grad_network(x.rows(0, n), fields.as_view(), weights, grad);
    }
}
impl Train for Predictor {
    fn architecture(&self) -> String {
        let hidden = (1..self.network.n_layers()).map(|l| self.network.activation(l).name());
        format!("activations {}", hidden.collect::<Vec<_>>().join(" "))
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.network.params().layout();
        f(self.network.params_mut());
        assert_eq!(*slots, *self.network.params().layout(), "shape of the parameters");
        self.network.params_mut().as_mut_slice(); // whole parameters may have come from another model: a new version
    }
}
