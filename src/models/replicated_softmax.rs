//! Replicated softmax: an RBM over the words of documents of any length.
//!
//! Every word of a document is one softmax unit, and all of them share their weights, so that only the counts of the words matter.
//! The hidden biases are scaled by the length of the document: otherwise long documents would saturate the hidden units.
//!
//! ## References
//! - Salakhutdinov and Hinton, "Replicated softmax: an undirected topic model", 2009.

use super::{Kind, grad_theta, grad_theta_expected};
use crate::linalg::{Working, add_columns, add_outer, col, dot, fill_columns};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::units::Multinomial;
use crate::{
    Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Result, States, Train, Unit,
    Version,
};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;
use std::sync::Arc;

const W: usize = 0; // hidden × words
const B: usize = 1;
const C: usize = 2;
const THETA: usize = 3;

/// `E(v, h | D) = Σ log vₖ! + U(h) - bᵀv - D cᵀh - hᵀWv` of documents of length `D = Σ vₖ`; a state is the length, which is
/// given, then the counts of the words, then the hidden rows.
///
/// Parameters: `weights` W (hidden × words), `visible_bias` b, `hidden_bias` c, and the hidden units' own, if they have any.
/// `p(v | D)` is the probability of the counts; that of the words in their order is less by `log D! - Σ log vₖ!`
/// ([`ReplicatedSoftmax::log_orders`]).
///
/// ```
/// use harmonium::{Collapsed, Energy, Learn, models::ReplicatedSoftmax, units::Bernoulli};
/// let model = ReplicatedSoftmax::new(2000, (50, Bernoulli));
/// assert_eq!((model.n_given(), model.n_visible(), model.n_rows()), (1, 2001, 2051));
/// ```
#[derive(Clone, Debug)]
pub struct ReplicatedSoftmax {
    params: Params,
    working: Working,
    blocks: [Block; 2],
}

impl ReplicatedSoftmax {
    /// The block of hidden units.
    pub const HIDDEN: usize = 0;
    /// The block of counts.
    pub const VISIBLE: usize = 1;

    /// A vocabulary of so many words, and hidden units of this kind; all parameters zero.
    ///
    /// # Panics
    /// If there are no words, or rows are not those of whole units.
    pub fn new(words: usize, (h, hidden): (usize, impl Unit)) -> Self {
        Self::with_hidden(words, (h, Arc::new(hidden)))
    }
    /// The same with hidden units of a kind that is known at run time.
    ///
    /// # Panics
    /// As [`ReplicatedSoftmax::new`].
    pub fn with_hidden(words: usize, (h, hidden): Kind) -> Self {
        assert!(words > 0 && h.is_multiple_of(hidden.width()), "words, and rows of whole units");
        let params = Params::zeros(&[
            ("weights", Role::Weights, h, words),
            ("visible_bias", Role::Bias, words, 1),
            ("hidden_bias", Role::Bias, h, 1),
            ("hidden_theta", Role::Unit, h * hidden.n_theta(), 1),
        ]);
        let counts: Arc<dyn Unit> = Arc::new(Multinomial { q: words });
        let blocks = [
            Block { rows: 1 + words..1 + words + h, unit: hidden, group: 0 },
            Block { rows: 1..1 + words, unit: counts, group: 1 },
        ];
        Self { params, working: Working::zeros(h, words), blocks }
    }
    /// Small normal weights (deviation 0.01), hidden biases zero, and visible biases such that words have their frequencies in
    /// documents with these means (the length, then the counts), drawn by the share `smoothing` towards equal ones.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one mean a row of the data, [`Error::Value`] if a word has no frequency above 0, or
    /// `smoothing` is not within 0..1.
    pub fn initialise(&mut self, mean: &[f32], smoothing: f32, seed: u64) -> Result<()> {
        if mean.len() != self.n_visible() {
            return Err(Error::shape("means of the length and of the counts", self.n_visible(), mean.len()));
        }
        let base = crate::base_rate::base_rate(self, mean, smoothing)?;
        let mut rng = ChainRng::new(derive(seed, "weights"));
        self.update(&mut |p| {
            p.slice_mut(C).fill(0.0);
            p.slice_mut(W).iter_mut().for_each(|w| {
                let z: f32 = StandardNormal.sample(&mut rng);
                *w = super::Rbm::INITIAL_DEVIATION * z;
            });
            let words = p.slice(B).len();
            p.slice_mut(B).copy_from_slice(&base[1..1 + words]);
        });
        Ok(())
    }
    /// Number of words in the vocabulary.
    pub fn n_words(&self) -> usize {
        self.params.slice(B).len()
    }
    /// Number of hidden rows.
    pub fn n_hidden(&self) -> usize {
        self.params.slice(C).len()
    }
    /// `W`, hidden × words: what each hidden unit says of every word.
    pub fn weights(&self) -> MatRef<'_> {
        self.params.mat(W)
    }
    /// `b`, one a word.
    pub fn visible_bias(&self) -> &[f32] {
        self.params.slice(B)
    }
    /// `c`, which counts as often as the document has words.
    pub fn hidden_bias(&self) -> &[f32] {
        self.params.slice(C)
    }
    /// `E[h | v]` of documents (length, then counts × documents): the topics of a document.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not the rows of documents.
    pub fn hidden_mean(&self, documents: MatRef<'_>) -> Result<Mat> {
        if documents.nrows() != self.n_visible() {
            return Err(Error::shape("rows of documents", self.n_visible(), documents.nrows()));
        }
        let mut states = States::default();
        states.clamp(self.n_rows(), documents);
        Ok(states.mean(self, Self::HIDDEN).clone_owned())
    }
    /// `log D! - Σ log vₖ!` of counts: the number of orders that their words can have, in nats.
    pub fn log_orders(counts: &[f32]) -> f64 {
        let total: f64 = counts.iter().map(|&v| f64::from(v)).sum();
        libm::lgamma(total + 1.0) - counts.iter().map(|&v| libm::lgamma(f64::from(v) + 1.0)).sum::<f64>()
    }
    /// `-Σ wₙ hvᵀ`, `-Σ wₙ v`, `-Σ wₙ Dₙ h`.
    fn grad_linear(x: MatRef<'_>, h: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let words = grad.slice(B).len();
        add_outer(-1.0, h, x.rows(1, words), weights, grad.slice_mut(W));
        add_columns(grad.slice_mut(B), -1.0, x.rows(1, words), weights);
        // A sample of weight zero is absent, whatever it holds.
        let of_length = |(j, &w): (usize, &f32)| if w == 0.0 { 0.0 } else { w * x[(0, j)] };
        let scaled: Vec<f32> = weights.iter().enumerate().map(of_length).collect();
        add_columns(grad.slice_mut(C), -1.0, h, &scaled);
    }
}

impl Energy for ReplicatedSoftmax {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    /// Of the counts, the length of the document.
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        if block == Self::VISIBLE { given.get(..1).unwrap_or(&[]) } else { self.params.slice(THETA) }
    }
    fn n_given(&self) -> usize {
        1
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// # Panics
    /// If a state has not one row for the length and one a unit.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        self.energy_at_zero(&[], x, out);
    }
}

impl Gibbs for ReplicatedSoftmax {
    /// `D c + Wv` of hidden rows, `b + Wᵀh` of words.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let first_hidden = 1 + self.n_words();
        if rows.start >= first_hidden {
            let rows = rows.start - first_hidden..rows.end - first_hidden;
            let c = &self.params.slice(C)[rows.clone()];
            for (j, mut column) in out.column_iter_mut().enumerate() {
                column.iter_mut().zip(c).for_each(|(o, c)| *o = x[(0, j)] * c);
            }
            self.working.plain().add_to(rows, x.rows(1, self.n_words()), out);
        } else {
            let rows = rows.start - 1..rows.end - 1;
            fill_columns(&self.params.slice(B)[rows.clone()], &mut out);
            self.working.transposed().add_to(rows, x.rows(first_hidden, self.n_hidden()), out);
        }
    }
}

impl Marginal for ReplicatedSoftmax {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let kept = |b: usize| !summed.contains(&b);
        let [hidden, counts] = [Self::HIDDEN, Self::VISIBLE].map(|b| &self.blocks[b]);
        for (j, o) in out.iter_mut().enumerate() {
            let x = col(&x, j);
            *o = 0.0;
            if kept(Self::VISIBLE) {
                let v = &x[counts.rows.clone()];
                *o += counts.unit.base_energy(&x[..1], v) - dot(self.params.slice(B), v);
            }
            if kept(Self::HIDDEN) {
                let h = &x[hidden.rows.clone()];
                *o += hidden.unit.base_energy(self.params.slice(THETA), h)
                    - f64::from(x[0]) * dot(self.params.slice(C), h);
            }
        }
        if kept(Self::HIDDEN) && kept(Self::VISIBLE) {
            let mut wv = Mat::zeros(self.n_hidden(), x.ncols());
            self.working.plain().add_to(0..self.n_hidden(), x.rows(1, self.n_words()), wv.as_view_mut());
            let hv = |j: usize| dot(&col(&x, j)[hidden.rows.clone()], col(&wv.as_view(), j));
            out.iter_mut().enumerate().for_each(|(j, o)| *o -= hv(j));
        }
    }
}

impl Learn for ReplicatedSoftmax {
    fn n_visible(&self) -> usize {
        1 + self.n_words()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn infer(&self, states: &mut States) {
        states.mean(self, Self::HIDDEN);
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let block = &self.blocks[Self::HIDDEN];
        Self::grad_linear(x, x.rows(block.rows.start, block.rows.len()), weights, grad);
        grad_theta(block, self.params.slice(THETA), x, weights, grad.slice_mut(THETA));
    }
    /// Exact in both phases, which are the same: hidden units are independent given the words.
    fn grad_expected(&self, states: &mut States, _: Phase, weights: &[f32], grad: &mut Params) {
        let (x, mean) = states.x_and_means(self, Self::HIDDEN..Self::HIDDEN + 1);
        Self::grad_linear(x, mean, weights, grad);
        if self.blocks[Self::HIDDEN].unit.n_theta() > 0 {
            let (field, slot) = (states.field(self, Self::HIDDEN), grad.slice_mut(THETA));
            grad_theta_expected(&self.blocks[Self::HIDDEN], self.params.slice(THETA), field, weights, slot);
        }
    }
}

impl Train for ReplicatedSoftmax {
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let shape = (self.n_hidden(), self.n_words());
        f(&mut self.params);
        assert_eq!(self.params.mat(W).shape(), shape, "shape of the weights");
        self.working.copy_from(self.params.mat(W));
    }
}
