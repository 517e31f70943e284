//! A classifier as an energy (JEM): the logits `o(x)` give `E(x, y) = U(x) - bᵀx - yᵀo(x)` of inputs and class together.
//!
//! So `p(y | x)` is the classifier's softmax, and `E(x) = U(x) - bᵀx - log Σ exp o(x)` the energy of the inputs alone, which says how
//! much an input looks like the data. Gradient samplers move the inputs; a class that is held gives samples of it.
//!
//! ## References
//! - Grathwohl, Wang, Jacobsen, Duvenaud, Norouzi and Swersky, "Your classifier is secretly an energy based model and you should treat it
//!   like one", 2020.

use super::energy::NeuralEnergy;
use super::tape::Tape;
use super::{Activation, Mlp};
use crate::linalg::col;
use crate::models::Kind;
use crate::units::Softmax;
use crate::{Block, Energy, Learn, Mat, MatMut, MatRef, Params, Result, Score, Train, Version};
use std::ops::Range;
use std::sync::Arc;

/// `E(x, y) = U(x; θ) - bᵀx - yᵀo(x)` with the outputs `o` of a network; a state is the units `x`, then the class `y`, one row each.
///
/// Parameters: those of its [`NeuralEnergy`].
///
/// ```
/// use harmonium::{Mat, models::neural::{Activation, JointEnergy}, units::Gaussian};
/// use std::sync::Arc;
/// let pixels = [(4, Arc::new(Gaussian) as _)];
/// let mut model = JointEnergy::new(&pixels, &[(8, Activation::Silu)], 3);
/// model.initialise(&[], 1)?;
/// let p = model.predict(Mat::from_element(4, 2, 0.5).as_view())?; // of three classes, for two samples
/// assert!((p.column(0).sum() - 1.0).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JointEnergy {
    marginal: NeuralEnergy,
    blocks: Vec<Block>,
}

impl JointEnergy {
    /// An energy of these units and so many classes, by a network with these hidden layers; all parameters zero.
    ///
    /// # Panics
    /// If there are no units, fewer than two classes, or rows are not those of whole units.
    pub fn new(units: &[Kind], hidden: &[(usize, Activation)], classes: usize) -> Self {
        assert!(classes > 1, "two classes at least");
        let marginal = NeuralEnergy::with_outputs(0, units, hidden, classes);
        let (rows, mut blocks) = (marginal.n_rows(), marginal.blocks().to_vec());
        blocks.push(Block { rows: rows..rows + classes, unit: Arc::new(Softmax { q: classes }), group: blocks.len() });
        Self { marginal, blocks }
    }
    /// The same, whose layers keep a spectral norm of at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Value`] if `limit` is not above 0.
    pub fn spectral(self, limit: f32) -> Result<Self> {
        Ok(Self { marginal: self.marginal.spectral(limit)?, ..self })
    }
    /// Random weights, and biases of the units such that the base measure has these means: see [`NeuralEnergy::initialise`].
    ///
    /// # Errors
    /// Those of [`NeuralEnergy::initialise`].
    pub fn initialise(&mut self, mean: &[f32], seed: u64) -> Result<()> {
        self.marginal.initialise(mean, seed)
    }
    /// `E(x) = U(x; θ) - bᵀx - log Σ exp o(x)`, the classes summed out.
    pub fn marginal(&self) -> &NeuralEnergy {
        &self.marginal
    }
    /// The network of the logits.
    pub fn network(&self) -> &Mlp {
        self.marginal.network()
    }
    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.network().n_outputs()
    }
    /// `p(y | x)` of inputs (units × samples): classes × samples.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if there is not one row a unit.
    pub fn predict(&self, x: MatRef<'_>) -> Result<Mat> {
        let mut p = self.network().forward(x)?;
        let field = p.clone();
        for (mut p, field) in p.column_iter_mut().zip(field.column_iter()) {
            self.blocks[self.label()].unit.mean(&[], field.as_slice(), p.as_mut_slice());
        }
        Ok(p)
    }
    /// The most probable class of every sample.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if there is not one row a unit.
    pub fn classify(&self, x: MatRef<'_>) -> Result<Vec<usize>> {
        Ok(self.network().forward(x)?.column_iter().map(|o| o.imax()).collect())
    }
    /// The block of the class.
    pub fn label(&self) -> usize {
        self.blocks.len() - 1
    }
    /// Rows of the inputs.
    pub fn inputs(&self) -> Range<usize> {
        0..self.marginal.n_rows()
    }
    fn classes<'a>(&self, x: &'a MatRef<'_>, j: usize) -> &'a [f32] {
        &col(x, j)[self.inputs().end..]
    }
}

impl Energy for JointEnergy {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        if block == self.label() { &[] } else { self.marginal.theta(block, given) }
    }
    fn version(&self) -> Version {
        self.marginal.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let (outputs, k) = (self.marginal.outputs(x.rows_range(self.inputs())), self.n_classes());
        for (j, (e, o)) in out.iter_mut().zip(outputs.chunks_exact(k)).enumerate() {
            let pull: f64 = self.classes(&x, j).iter().zip(o).map(|(y, o)| f64::from(*y) * o).sum();
            *e = self.marginal.base_energy(&col(&x, j)[self.inputs()]) - pull;
        }
    }
}
impl Score for JointEnergy {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.energy_and_grad_x(x, &mut vec![0.0; x.ncols()], out);
    }
    /// One pass forwards and one backwards.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        let (inputs, k) = (self.inputs(), self.n_classes());
        for from in (0..x.ncols()).step_by(super::energy::CHUNK) {
            let n = super::energy::CHUNK.min(x.ncols() - from);
            let (x, mut out) = (x.columns(from, n), out.columns_mut(from, n));
            super::energy::with_tape(|tape| {
                let units = x.rows_range(inputs.clone());
                tape.forward(self.network(), units, None);
                for j in 0..n {
                    let (o, y) = (&tape.out[0][j * k..(j + 1) * k], self.classes(&x, j));
                    let pull: f64 = y.iter().zip(o).map(|(y, o)| f64::from(*y) * o).sum();
                    energies[from + j] = self.marginal.base_energy(col(&units, j)) - pull;
                    let mut of_classes = out.rows_range_mut(inputs.end..);
                    of_classes.column_mut(j).iter_mut().zip(o).for_each(|(g, o)| *g = -o as f32);
                    tape.back[0][j * k..(j + 1) * k].iter_mut().zip(y).for_each(|(b, y)| *b = -y);
                }
                tape.backward(self.network(), &self.marginal.transposed, None);
                tape.inputs(self.network(), &self.marginal.transposed, &mut out.rows_range_mut(inputs.clone()));
            });
            for (j, mut out) in out.column_iter_mut().enumerate() {
                self.marginal.add_base_slope(&col(&x, j)[inputs.clone()], &mut out.as_mut_slice()[inputs.clone()]);
            }
        }
    }
}
impl Learn for JointEnergy {
    fn params(&self) -> &Params {
        self.marginal.params()
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        (block != self.label()).then(|| self.marginal.biases(block))?
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let k = self.n_classes();
        let at_outputs = |from: usize, tape: &mut Tape| {
            for (j, back) in tape.back[0].chunks_exact_mut(k).enumerate() {
                let weight = weights[from + j];
                tape.there[j] = f32::from(weight != 0.0);
                back.iter_mut().zip(self.classes(&x, from + j)).for_each(|(b, y)| *b = -weight * y);
            }
        };
        let units = x.rows_range(self.inputs());
        self.marginal.add_gradient(units, None, &at_outputs, grad);
        self.marginal.add_base_gradient(units, weights, grad);
    }
}
impl JointEnergy {
    /// `-Σ wₙ log p(yₙ | xₙ)` of inputs and classes, and its gradient, added.
    pub(crate) fn add_cross_entropy(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) -> f64 {
        let (k, costs) = (self.n_classes(), std::sync::Mutex::new(vec![0.0; x.ncols()]));
        let at_outputs = |from: usize, tape: &mut Tape| {
            let Tape { out, back, there, .. } = tape;
            for (j, (o, back)) in out[0].chunks_exact(k).zip(back[0].chunks_exact_mut(k)).enumerate() {
                let (weight, y) = (weights[from + j], self.classes(&x, from + j));
                let all = super::head::log_sum_exp(o);
                for ((b, o), y) in back.iter_mut().zip(o).zip(y) {
                    *b = weight * ((o - all).exp() as f32 - y);
                }
                there[j] = f32::from(weight != 0.0);
                let cost: f64 = o.iter().zip(y).map(|(o, y)| f64::from(*y) * (all - o)).sum();
                costs.lock().unwrap_or_else(|e| e.into_inner())[from + j] = cost;
            }
        };
        self.marginal.add_gradient(x.rows_range(self.inputs()), None, &at_outputs, grad);
        let costs = costs.into_inner().unwrap_or_else(|e| e.into_inner());
        crate::conditionals::weighted(weights, &costs)
    }
}
impl Train for JointEnergy {
    fn architecture(&self) -> String {
        self.marginal.architecture()
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.marginal.update(f);
    }
}
