//! The dense network: layer upon layer, `x_l = f_l(W_l x_{l-1} + b_l)`, forwards and backwards over slabs of samples.
//!
//! It is a function, not an energy: what is made of its output, [`super::Predictor`] says. The activities of a sample are one
//! column, all layers stacked, the inputs first, as the states of other models are; so that it runs over the same slabs.
//!
//! ## References
//! - Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
//! - Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Noise: a simple way to prevent neural networks from
//!   overfitting", 2014.

use super::Activation;
use crate::linalg::{Outer, add_columns, col, fill_columns, gemm, gemm_tn, set_outers, two_valued};
use crate::params::Role;
use crate::rng::{ChainRng, Streams, derive};
use crate::samplers::Chains;
use crate::states::Open;
use crate::{Error, Mat, MatMut, MatRef, Params, Result, Resume, Saved};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// What is drawn anew for every sample of an update, so that a network cannot rely on single units: dropout, which leaves units out
/// (their activities are 0, those of the others larger by as much), and noise in fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// The share of inputs that are dropped, within 0..1.
    pub drop_inputs: f32,
    /// The share of the units of every hidden layer that are dropped, within 0..1.
    pub drop_hidden: f32,
    /// A layer, and the deviation of the normal noise that is added to its fields: its units, to be told apart, become all but binary
    /// (Salakhutdinov and Hinton, "Semantic hashing", 2009).
    pub fields: Option<(usize, f32)>,
}
impl Noise {
    /// Whether shares and the deviation are numbers that make sense, and there is such a layer among so many.
    ///
    /// # Errors
    /// [`Error::Value`] if they do not.
    pub fn check(&self, layers: usize) -> Result<()> {
        if let Some(share) = [self.drop_inputs, self.drop_hidden].into_iter().find(|s| !(0.0..1.0).contains(s)) {
            return Err(Error::value("a share of dropout", "at least 0 and below 1", share));
        }
        match self.fields {
            Some((_, deviation)) if !deviation.is_finite() || deviation < 0.0 => {
                Err(Error::value("the deviation of noise", "a number, at least 0", deviation))
            }
            Some((layer, _)) if layer == 0 || layer > layers => {
                Err(Error::value("the layer with noise in its fields", format!("from 1 to {layers}"), layer))
            }
            _ => Ok(()),
        }
    }
}

/// `x_l = f_l(W_l x_{l-1} + b_l)` for layers `l` from 1 on; `x_0` are the inputs.
///
/// Parameters: `weights1` W₁ (units × inputs), `bias1`, `weights2` …
///
/// ```
/// use harmonium::{Mat, models::neural::{Activation, Mlp}};
/// let mut net = Mlp::new(4, &[(8, Activation::Tanh), (2, Activation::Linear)]);
/// net.initialise(1);
/// assert_eq!(net.forward(Mat::zeros(4, 3).as_view())?, Mat::zeros(2, 3)); // biases are zero
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    params: Params,
    rows: Vec<Range<usize>>, // of every layer in a column, the inputs first
    activations: Vec<Activation>,
}

/// What a pass over samples needs to keep: activities, and what is propagated back; with the streams of noise.
#[derive(Clone, Debug)]
pub struct Work {
    chains: Chains,
    ones: Vec<f32>,
}
impl Work {
    /// Nothing yet; what noise draws follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { chains: Chains::new(Mat::zeros(0, 0), derive(seed, "noise of a network")), ones: vec![] }
    }
    /// The activities of a layer (its rows, [`Mlp::rows`] × samples) after [`Mlp::pass`].
    pub fn activities(&self, rows: Range<usize>) -> MatRef<'_> {
        self.chains.states.rows(rows)
    }
}
/// The streams of noise alone.
impl Resume for Work {
    fn save(&self, to: &mut Saved) {
        self.chains.streams().save(to.child_mut("noise"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.chains.streams_mut().load(from.child("noise")?)
    }
}

/// Gets the number of a sample, its outputs, and their fields, in whose place it leaves what is to be propagated back.
pub type AtOutput<'a> = dyn Fn(usize, &[f32], &mut [f32]) + Sync + 'a;

impl Mlp {
    /// So many inputs, and layers of so many units each; all parameters zero.
    pub fn new(inputs: usize, layers: &[(usize, Activation)]) -> Self {
        Self::with_more(inputs, layers, &[])
    }
    /// The same with more parameters behind those of the network.
    pub(super) fn with_more(inputs: usize, layers: &[(usize, Activation)], more: &[(&str, Role, usize)]) -> Self {
        let (mut rows, mut at, mut below) = (vec![], inputs, inputs);
        rows.push(0..inputs);
        let mut slots: Vec<(String, Role, usize, usize)> = vec![];
        for (k, &(units, _)) in layers.iter().enumerate() {
            slots.push((format!("weights{}", k + 1), Role::Weights, units, below));
            slots.push((format!("bias{}", k + 1), Role::Bias, units, 1));
            rows.push(at..at + units);
            (at, below) = (at + units, units);
        }
        slots.extend(more.iter().map(|(name, role, n)| (name.to_string(), *role, *n, 1)));
        let slots: Vec<(&str, Role, usize, usize)> =
            slots.iter().map(|(n, role, r, c)| (&**n, *role, *r, *c)).collect();
        Self { params: Params::zeros(&slots), rows, activations: layers.iter().map(|l| l.1).collect() }
    }
    /// Normal weights of variance `1 / inputs of the layer`, so that activities neither grow nor fade from layer to layer; twice that
    /// into [`Activation::Relu`] (He and others 2015), and 16 times into [`Activation::Sigmoid`], whose slope is a quarter (Glorot and
    /// Bengio 2010); biases 0.
    pub fn initialise(&mut self, seed: u64) {
        let mut rng = ChainRng::new(derive(seed, "weights of a network"));
        for l in 1..=self.n_layers() {
            let gain = match self.activation(l) {
                Activation::Relu => 2.0,
                Activation::Sigmoid => 16.0,
                _ => 1.0,
            };
            let deviation = (gain / self.rows[l - 1].len().max(1) as f32).sqrt();
            for w in self.params.slice_mut(2 * l - 2) {
                let z: f32 = StandardNormal.sample(&mut rng);
                *w = deviation * z;
            }
            self.params.slice_mut(2 * l - 1).fill(0.0);
        }
    }
    /// Number of inputs.
    pub fn n_inputs(&self) -> usize {
        self.rows[0].len()
    }
    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.rows[self.n_layers()].len()
    }
    /// Number of layers, the inputs not among them.
    pub fn n_layers(&self) -> usize {
        self.activations.len()
    }
    /// The rows of layer `l` in a column of activities; layer 0 are the inputs.
    ///
    /// # Panics
    /// If there is no such layer; so do the others that take one.
    pub fn rows(&self, l: usize) -> Range<usize> {
        self.rows[l].clone()
    }
    /// What layer `l`, from 1 on, does with its fields.
    pub fn activation(&self, l: usize) -> Activation {
        self.activations[l - 1]
    }
    /// `W_l`, units × units of the layer below.
    pub fn weights(&self, l: usize) -> MatRef<'_> {
        self.params.mat(2 * l - 2)
    }
    /// `b_l`
    pub fn bias(&self, l: usize) -> &[f32] {
        self.params.slice(2 * l - 1)
    }
    /// All parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }
    /// All parameters, to be changed.
    pub fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }
    /// Gives layer `l` its weights and biases.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not as many.
    pub fn set_layer(&mut self, l: usize, weights: MatRef<'_>, bias: &[f32]) -> Result<()> {
        let shapes = [(self.weights(l).shape(), weights.shape()), ((self.bias(l).len(), 1), (bias.len(), 1))];
        for (expected, got) in shapes {
            if expected != got {
                let [expected, got] = [expected, got].map(|shape| format!("{shape:?}"));
                return Err(Error::shape(format!("parameters of layer {l}"), expected, got));
            }
        }
        self.params.mat_mut(2 * l - 2).copy_from(&weights);
        self.params.slice_mut(2 * l - 1).copy_from_slice(bias);
        Ok(())
    }
    /// The outputs of samples (inputs × samples).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row an input.
    pub fn forward(&self, x: MatRef<'_>) -> Result<Mat> {
        self.forward_to(self.n_layers(), x)
    }
    /// The activities of layer `l` (units × samples).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row an input.
    pub fn forward_to(&self, l: usize, x: MatRef<'_>) -> Result<Mat> {
        if x.nrows() != self.n_inputs() {
            return Err(Error::shape("inputs of a network", self.n_inputs(), x.nrows()));
        }
        let mut out = Mat::zeros(self.rows[l].len(), x.ncols());
        let mut work = Work::new(0);
        const AT_ONCE: usize = 2048;
        for from in (0..x.ncols()).step_by(AT_ONCE) {
            let n = AT_ONCE.min(x.ncols() - from);
            self.pass(&mut work, x.columns(from, n), Noise::default(), &|_, _, _| ());
            out.columns_mut(from, n).copy_from(&work.activities(self.rows(l)));
        }
        Ok(out)
    }
    /// The pass forwards: the activities of all layers are left in `work`. Then `at_output` gets, column by column, the number of
    /// the sample, its outputs, and their fields, in whose place it leaves what [`Mlp::pass_back`] is to propagate: the derivative of
    /// a loss by these fields.
    ///
    /// # Panics
    /// If there is not one row an input; noise is as [`Noise::check`] wants it, or the numbers are none.
    pub fn pass(&self, work: &mut Work, x: MatRef<'_>, noise: Noise, at_output: &AtOutput<'_>) {
        assert_eq!(x.nrows(), self.n_inputs(), "inputs of a network");
        let last = self.rows(self.n_layers());
        work.chains.reshape(last.end, x.ncols());
        let Work { chains, .. } = work;
        chains.each_at(|columns, slab, rng| {
            let mut open = slab.open();
            for (to, j) in open.x.chunks_exact_mut(last.end).zip(columns.clone()) {
                to[..x.nrows()].copy_from_slice(col(&x, j));
            }
            drop_units(&mut open, &self.rows[0], noise.drop_inputs, rng);
            for l in 1..=self.n_layers() {
                self.step(l, &mut open, noise.fields.filter(|f| f.0 == l).map(|f| (f.1, &mut *rng)));
                if l < self.n_layers() {
                    drop_units(&mut open, &self.rows[l], noise.drop_hidden, rng);
                }
            }
            let both = open.x.chunks_exact(last.end).zip(open.fields.chunks_exact_mut(last.end));
            both.zip(columns).for_each(|((x, fields), j)| at_output(j, &x[last.clone()], &mut fields[last.clone()]));
        });
    }
    /// Layer `l` from the one below.
    fn step(&self, l: usize, open: &mut Open<'_>, noise: Option<(f32, &mut Streams<'_>)>) {
        let (rows, below) = (self.rows(l), &self.rows[l - 1]);
        let x = MatRef::from_slice(open.x, open.rows, open.columns);
        let mut fields = MatMut::from_slice(open.fields, open.rows, open.columns);
        let mut out = fields.rows_range_mut(rows.clone());
        fill_columns(self.bias(l), &mut out);
        gemm(1.0, self.weights(l), x.rows(below.start, below.len()), 1.0, out.as_view_mut());
        if let Some((deviation, rng)) = noise {
            for (j, mut column) in out.column_iter_mut().enumerate() {
                column.iter_mut().for_each(|f| {
                    let z: f32 = StandardNormal.sample(rng.column(j));
                    *f += deviation * z;
                });
            }
        }
        for (x, fields) in open.x.chunks_exact_mut(open.rows).zip(open.fields.chunks_exact(open.rows)) {
            self.activation(l).apply(&fields[rows.clone()], &mut x[rows.clone()]);
        }
    }
    /// The pass backwards, after [`Mlp::pass`] with the same noise: `grad` becomes the derivative of the loss by the network's
    /// parameters, summed over samples; other parameters are left alone.
    pub fn pass_back(&self, work: &mut Work, noise: Noise, grad: &mut Params) {
        let Work { chains, ones } = work;
        chains.states.par(|_, slab| {
            let mut open = slab.open();
            (2..=self.n_layers()).rev().for_each(|l| self.step_back(l, noise, &mut open));
        });
        let (x, deltas) = chains.states.x_and_fields();
        ones.clear();
        ones.resize(x.ncols(), 1.0);
        for l in 1..=self.n_layers() {
            let (rows, below) = (&self.rows[l], &self.rows[l - 1]);
            let (a, x) = (deltas.rows(rows.start, rows.len()), x.rows(below.start, below.len()));
            set_outers([Outer { scale: 1.0, a, x, weights: ones }], grad.slice_mut(2 * l - 2));
            let bias = grad.slice_mut(2 * l - 1);
            bias.fill(0.0);
            add_columns(bias, 1.0, a, ones);
        }
    }
    /// From the derivative by the fields of layer `l`, that by the fields of the layer below.
    fn step_back(&self, l: usize, noise: Noise, open: &mut Open<'_>) {
        let (rows, below, n) = (self.rows(l), self.rows(l - 1), open.columns);
        let mut scratch = std::mem::take(open.scratch);
        scratch.resize(scratch.len().max((below.len() + 1) * n.max(1) + below.len()), 0.0);
        let (back, active) = scratch.split_at_mut(below.len() * n);
        let fields = MatRef::from_slice(open.fields, open.rows, n);
        let out = MatMut::from_slice(back, below.len(), n);
        gemm_tn(1.0, self.weights(l), fields.rows(rows.start, rows.len()), 0.0, out);
        let dropped = noise.drop_hidden > 0.0;
        let active = &mut active[..below.len()];
        for (j, back) in back.chunks_exact_mut(below.len().max(1)).enumerate().take(n) {
            let column = j * open.rows;
            let (x, scales) = (&open.x[column..][below.clone()], &open.means[column..][below.clone()]);
            active.copy_from_slice(x);
            if dropped {
                back.iter_mut().zip(scales).for_each(|(b, s)| *b *= s);
                // Units that were dropped have no part in the sum, whatever is taken for their activities.
                active.iter_mut().zip(scales).filter(|(_, s)| **s != 0.0).for_each(|(a, s)| *a /= s);
            }
            let fields = &mut open.fields[column..][below.clone()];
            self.activation(l - 1).chain(fields, active, back);
            fields.copy_from_slice(back);
        }
        *open.scratch = scratch;
    }
    /// `out = ∂loss/∂x` (inputs × samples), after [`Mlp::pass_back`] without noise.
    ///
    /// # Panics
    /// If `out` has another shape.
    pub fn grad_inputs(&self, work: &mut Work, mut out: MatMut<'_>) {
        let rows = self.rows(1);
        let (_, deltas) = work.chains.states.x_and_fields();
        gemm_tn(1.0, self.weights(1), deltas.rows(rows.start, rows.len()), 0.0, out.as_view_mut());
    }
}

/// Drops units of every column: their scales, 0 or `1 / (1 - share)`, are left in the place of means.
fn drop_units(open: &mut Open<'_>, rows: &Range<usize>, share: f32, rng: &mut Streams<'_>) {
    if share == 0.0 {
        return;
    }
    let (keep, scale) = (vec![((1.0 - share) / share).ln(); rows.len()], 1.0 / (1.0 - share));
    for j in 0..open.columns {
        let scales = &mut open.means[j * open.rows..][rows.clone()];
        two_valued(1.0, &keep, 0.0, scales, rng.column(j));
        let x = &mut open.x[j * open.rows..][rows.clone()];
        scales.iter_mut().zip(x).for_each(|(s, x)| {
            *s *= scale;
            *x *= *s;
        });
    }
}
