//! Learning which answer has the lowest energy: the loss functionals of energies `E(u, y)` with a finite set of answers `y`, classes or a
//! grid of reals.
//!
//! A loss is a function of the energies of all answers and of which is correct, so its gradient is a signed weighting of the answers. Not
//! every loss will do: one that only pulls the energy of correct answers down can be content with an energy that is the same everywhere
//! ("collapse"), unless the architecture forbids it. What pushes other answers up has a margin:
//!
//! | loss | `L`, with `E⁺` of the correct answer, `E⁻` of the most offending other | margin |
//! |---|---|---|
//! | [`AnswerLoss::Energy`] | `E⁺` | none |
//! | [`AnswerLoss::Perceptron`] | `E⁺ - min E` | 0 |
//! | [`AnswerLoss::Hinge`] | `max(0, m + E⁺ - E⁻)` | `m` |
//! | [`AnswerLoss::Log`] | `log(1 + exp(E⁺ - E⁻))` | above 0 |
//! | [`AnswerLoss::Lvq2`] | `min(M, max(0, E⁺ - E⁻))` | 0 |
//! | [`AnswerLoss::Mce`] | `1 / (1 + exp(E⁻ - E⁺))` | above 0 |
//! | [`AnswerLoss::SquareSquare`] | `(E⁺)² + max(0, m - E⁻)²` | `m` |
//! | [`AnswerLoss::SquareExponential`] | `(E⁺)² + γ exp(-E⁻)` | above 0 |
//! | [`AnswerLoss::Likelihood`] | `E⁺ + 1/β log Σ exp(-βE)` | above 0 |
//! | [`AnswerLoss::Mee`] | `1 - exp(-βE⁺) / Σ exp(-βE)` | above 0 |
//!
//! ## References
//! - LeCun, Chopra, Hadsell, Ranzato and Huang, "A tutorial on energy-based learning", 2006 (table 1, whose square-square loss is printed
//!   with a minus sign for the plus of its text).
//! - LeCun and Huang, "Loss functions for discriminative training of energy-based models", 2005.

use super::batch::{check_weights, refuse_missing, shares};
use super::{Objective, Report};
use crate::linalg::{by_columns, col};
use crate::{Batch, Energy, Error, Learn, Mat, MatRef, Params, Result, Resume, Saved};

/// Numbers in the states that are judged at once, unless one datum alone has more.
const AT_ONCE: usize = 1 << 20;
/// States that are judged at once, unless one datum alone has more.
const MOST: usize = 1 << 12;
/// States whose energies one task computes.
const CHUNK: usize = 256;

/// What the energies of all answers cost, if one of them is correct.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnswerLoss {
    /// The energy of the correct answer.
    Energy,
    /// The same less the lowest energy of all.
    Perceptron,
    /// How much the most offending answer lacks of a margin.
    Hinge {
        /// `m`, above 0.
        margin: f64,
    },
    /// The soft hinge.
    Log,
    /// How much lower the most offending answer is, up to a limit.
    Lvq2 {
        /// `M`, above 0.
        most: f64,
    },
    /// Minimum classification error: a soft count of errors.
    Mce,
    /// Correct answers to 0, others above a margin: for energies that are not below 0.
    SquareSquare {
        /// `m`, above 0.
        margin: f64,
    },
    /// Correct answers to 0, others up without end: for energies that are not below 0.
    SquareExponential {
        /// `γ`, above 0.
        weight: f64,
    },
    /// `-log p(y | u) / β`, the negative log-likelihood; all answers count.
    Likelihood {
        /// `β`, above 0.
        beta: f64,
    },
    /// Minimum empirical error: the probability of a wrong answer.
    Mee {
        /// `β`, above 0.
        beta: f64,
    },
}

impl AnswerLoss {
    /// The loss of some energies, of which number `correct` is that of the correct answer; its derivatives by all of them are written to
    /// `slopes`. At a kink, the derivative of the side that is at rest; of answers with the same energy, the first is the most offending.
    /// `may_offend` says which of the others are incorrect: those near the correct one may be good enough.
    ///
    /// ```
    /// use harmonium::objectives::AnswerLoss;
    /// let mut slopes = [0.0; 3];
    /// let loss = AnswerLoss::Hinge { margin: 1.0 }.judge(&[0.5, 2.0, 0.75], 0, |_| true, &mut slopes);
    /// assert_eq!((loss, slopes), (0.75, [1.0, 0.0, -1.0])); // answer 2 is only ¼ above the correct one
    /// ```
    ///
    /// # Panics
    /// If there is no such answer, or not a slope for each.
    pub fn judge(
        self,
        energies: &[f64],
        correct: usize,
        may_offend: impl Fn(usize) -> bool,
        slopes: &mut [f64],
    ) -> f64 {
        assert_eq!(energies.len(), slopes.len(), "a slope for every energy");
        slopes.fill(0.0);
        let lowest = |among: &dyn Fn(usize) -> bool| {
            (0..energies.len()).filter(|k| among(*k)).min_by(|a, b| energies[*a].total_cmp(&energies[*b]))
        };
        match self {
            Self::Energy => {
                slopes[correct] = 1.0;
                energies[correct]
            }
            Self::Perceptron => {
                let least = lowest(&|_| true).filter(|k| energies[*k] < energies[correct]).unwrap_or(correct);
                slopes[correct] += 1.0;
                slopes[least] -= 1.0;
                energies[correct] - energies[least]
            }
            Self::Likelihood { beta } | Self::Mee { beta } => {
                let least = lowest(&|_| true).map_or(0.0, |k| energies[k]);
                slopes.iter_mut().zip(energies).for_each(|(p, e)| *p = (-beta * (e - least)).exp());
                let sum: f64 = slopes.iter().sum();
                slopes.iter_mut().for_each(|p| *p /= sum);
                self.by_probabilities(beta, sum.ln() / beta + energies[correct] - least, correct, slopes)
            }
            _ => {
                let others = |k: usize| k != correct && may_offend(k);
                let Some(most_offending) = lowest(&others) else { return 0.0 };
                let (loss, [own, other]) = self.by_pair(energies[correct], energies[most_offending]);
                (slopes[correct], slopes[most_offending]) = (own, other);
                loss
            }
        }
    }
    /// The losses by all probabilities, which the slopes hold, and `-log p / β` of the correct answer.
    fn by_probabilities(self, beta: f64, cost: f64, correct: usize, slopes: &mut [f64]) -> f64 {
        let p = slopes[correct];
        let own = |k: usize| if k == correct { 1.0 } else { 0.0 };
        match self {
            Self::Mee { .. } => {
                slopes.iter_mut().enumerate().for_each(|(k, q)| *q = beta * p * (own(k) - *q));
                -(-beta * cost).exp_m1()
            }
            _ => {
                slopes.iter_mut().enumerate().for_each(|(k, q)| *q = own(k) - *q);
                cost
            }
        }
    }
    /// The losses by two energies, and their derivatives by both.
    fn by_pair(self, own: f64, other: f64) -> (f64, [f64; 2]) {
        let apart = own - other;
        let share = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Hinge { margin } if margin + apart > 0.0 => (margin + apart, [1.0, -1.0]),
            Self::Log => (apart.max(0.0) + (-apart.abs()).exp().ln_1p(), [share(apart), -share(apart)]),
            Self::Lvq2 { most } if apart >= most => (most, [0.0; 2]),
            Self::Lvq2 { .. } if apart > 0.0 => (apart, [1.0, -1.0]),
            Self::Mce => {
                let slope = share(apart) * share(-apart);
                (share(apart), [slope, -slope])
            }
            Self::SquareSquare { margin } => {
                let lacks = (margin - other).max(0.0);
                (own * own + lacks * lacks, [2.0 * own, -2.0 * lacks])
            }
            Self::SquareExponential { weight } => {
                let push = weight * (-other).exp();
                (own * own + push, [2.0 * own, -push])
            }
            _ => (0.0, [0.0; 2]),
        }
    }
    /// Whether its number is one that makes sense.
    fn check(self) -> Result<()> {
        let (what, value) = match self {
            Self::Energy | Self::Perceptron | Self::Log | Self::Mce => return Ok(()),
            Self::Hinge { margin } | Self::SquareSquare { margin } => ("the margin of a loss", margin),
            Self::Lvq2 { most } => ("the most that an answer costs", most),
            Self::SquareExponential { weight } => ("the weight of other answers", weight),
            Self::Likelihood { beta } | Self::Mee { beta } => ("the inverse temperature of a loss", beta),
        };
        match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::value(what, "above 0", value)),
        }
    }
}

/// `∇` of an [`AnswerLoss`], averaged over the batch; the loss it reports is that average. The answers are values of the last rows of a
/// state, and the correct answer of a sample is that which is nearest to what it has there: real answers are rounded to the grid.
///
/// ```
/// use harmonium::models::neural::{Activation, Predictor};
/// use harmonium::objectives::{AnswerLoss, Answers, Objective};
/// use harmonium::{Batch, Learn, Mat, units::Softmax};
/// use std::sync::Arc;
/// let net = Predictor::new(2, &[(4, Activation::Tanh)], &[(3, Arc::new(Softmax { q: 3 }))]);
/// let x = Mat::from_fn(5, 6, |i, j| if i < 2 || i == 2 + j % 3 { 1.0 } else { 0.0 }); // two inputs, and one of three classes
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 6], missing: None, step: 0 };
/// let mut objective = Answers::new(Mat::identity(3, 3), AnswerLoss::Hinge { margin: 1.0 });
/// let report = objective.gradient(&net, &batch, &mut net.params().zeros_like())?;
/// assert!((report.loss.unwrap_or(0.0) - 1.0).abs() < 1e-6); // all energies are the same
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Answers {
    /// All answers, as columns.
    pub answers: Mat,
    /// What their energies cost.
    pub loss: AnswerLoss,
    /// Answers within this distance from the correct one are not incorrect, and offend nobody; 0 for classes.
    pub tolerance: f32,
    weights: Vec<f32>,
    states: Mat,
    energies: Vec<f64>,
    slopes: Vec<f64>,
    signs: Vec<f32>,
}

impl Answers {
    /// These answers (rows × answers).
    pub fn new(answers: Mat, loss: AnswerLoss) -> Self {
        let (weights, energies, slopes, signs) = (vec![], vec![], vec![], vec![]);
        Self { answers, loss, tolerance: 0.0, weights, states: Mat::zeros(0, 0), energies, slopes, signs }
    }
    /// The same that lets answers within this distance from the correct one pass.
    pub fn tolerant(self, tolerance: f32) -> Self {
        Self { tolerance, ..self }
    }
    /// The energies of all answers (answers × samples) to what samples have in their first rows; what they have in the last is not looked
    /// at. The best answer is the one that has the lowest.
    ///
    /// # Errors
    /// [`Error::Shape`] if the samples have not the model's rows, or the answers more than these.
    pub fn energies<M: Energy + ?Sized>(&self, model: &M, x: MatRef<'_>) -> Result<Vec<Vec<f64>>> {
        self.check_rows(model, x.nrows())?;
        let one = |j: usize| {
            let (k, first) = (self.answers.ncols(), x.nrows() - self.answers.nrows());
            let own = col(&x, j);
            let states =
                Mat::from_fn(x.nrows(), k, |i, k| if i < first { own[i] } else { self.answers[(i - first, k)] });
            let mut out = vec![0.0; k];
            by_columns(states.columns(0, k), CHUNK, &mut out, |x, out| model.energy(x, out));
            out
        };
        Ok((0..x.ncols()).map(one).collect())
    }
    fn check_rows<M: Energy + ?Sized>(&self, model: &M, rows: usize) -> Result<()> {
        if rows != model.n_rows() {
            return Err(Error::shape("rows of samples", model.n_rows(), rows));
        }
        if self.answers.nrows() > rows - model.n_given() || self.answers.nrows() == 0 {
            let most = format!("1 to {}", rows - model.n_given());
            return Err(Error::shape("rows of answers", most, self.answers.nrows()));
        }
        Ok(())
    }
    fn check<M: Learn + ?Sized>(&self, model: &M, batch: &Batch<'_>) -> Result<()> {
        if model.n_visible() != model.n_rows() {
            let what = "energies of answers with latent units".into();
            return Err(Error::Intractable {
                what,
                instead: "an energy whose latent units are summed out, `Collapsed`",
            });
        }
        self.loss.check()?;
        check_weights(batch)?;
        self.check_rows(model, batch.x.nrows())?;
        if self.answers.ncols() < 2 {
            return Err(Error::value("the number of answers", "at least 2", self.answers.ncols()));
        }
        if !self.tolerance.is_finite() || self.tolerance < 0.0 {
            return Err(Error::value("the tolerance of answers", "a number, at least 0", self.tolerance));
        }
        refuse_missing(batch, "missing entries of the data", "none, to learn answers from")
    }
    /// The number of the answer that is nearest to `y`.
    fn nearest(&self, y: &[f32]) -> usize {
        let to = |k: &usize| distance(self.answers.column(*k).as_slice(), y);
        (0..self.answers.ncols()).min_by(|a, b| to(a).total_cmp(&to(b))).expect("answers, as was checked")
    }
    /// The weighted loss of samples `first..last`; its gradient is added to `grad`.
    fn judge<M: Learn + ?Sized>(
        &mut self,
        model: &M,
        batch: &Batch<'_>,
        (first, last): (usize, usize),
        grad: &mut Params,
    ) -> f64 {
        let (each, rows) = (self.answers.ncols(), model.n_rows());
        let (top, n) = (rows - self.answers.nrows(), (last - first) * each);
        for j in first..last {
            for k in 0..each {
                let mut column = self.states.column_mut((j - first) * each + k);
                let (above, answer) = column.as_mut_slice().split_at_mut(top);
                answer.copy_from_slice(self.answers.column(k).as_slice());
                match self.weights[j] == 0.0 {
                    true => above.fill(0.0),
                    false => above.copy_from_slice(&col(&batch.x, j)[..top]),
                }
            }
        }
        self.energies.resize(n, 0.0);
        let states = self.states.columns(0, n);
        by_columns(states, CHUNK, &mut self.energies, |x, out| model.energy(x, out));
        let (mut loss, tolerance) = (0.0, f64::from(self.tolerance));
        self.signs.clear();
        let mut slopes = std::mem::take(&mut self.slopes);
        slopes.resize(each, 0.0);
        for (j, energies) in (first..last).zip(self.energies.chunks_exact(each)) {
            let weight = f64::from(self.weights[j]);
            if weight == 0.0 {
                self.signs.resize(self.signs.len() + each, 0.0);
                continue;
            }
            let correct = self.nearest(&col(&batch.x, j)[top..]);
            let own = self.answers.column(correct);
            let far = |k: usize| distance(self.answers.column(k).as_slice(), own.as_slice()).sqrt() > tolerance;
            loss += weight * self.loss.judge(energies, correct, far, &mut slopes);
            self.signs.extend(slopes.iter().map(|s| (weight * s) as f32));
        }
        self.slopes = slopes;
        model.grad_params(states, &self.signs, grad);
        loss
    }
}
/// Squared.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

impl<M: Learn + ?Sized> Objective<M> for Answers {
    /// # Errors
    /// [`Error::Intractable`] if the model has latent units, [`Error::Shape`] if the batch has not its rows or a weight for each sample, or
    /// answers have too many rows, [`Error::Value`] if entries are missing, a weight is no number, there are fewer than two answers, or the
    /// number of the loss or the tolerance is outside its range.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.check(model, batch)?;
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let (n, rows, each) = (batch.x.ncols(), model.n_rows(), self.answers.ncols());
        let at_once = ((AT_ONCE / rows.max(1)).min(MOST) / each).max(1).min(n);
        if self.states.shape() != (rows, at_once * each) {
            self.states = Mat::zeros(rows, at_once * each);
        }
        let pieces = (0..n).step_by(at_once).map(|first| (first, (first + at_once).min(n)));
        let loss = pieces.map(|piece| self.judge(model, batch, piece, grad)).sum();
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// It has no state.
impl Resume for Answers {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
