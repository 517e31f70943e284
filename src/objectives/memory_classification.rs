//! What a dense associative memory learns as a classifier: the gradient of a loss of its labels' fields, by all its memories at once.
//!
//! One product of the memories with the batch, one of what they learn with the batch; the ten flips of a label are powers in between.

use super::batch::{check_weights, refuse_missing, shares};
use super::{Objective, Report};
use crate::linalg::{add_outer, col, for_columns_with};
use crate::models::{DenseMemory, Pulling, class_chunk};
use crate::{Batch, Error, Mat, MatRef, Params, Result, Resume, Saved};
use std::ops::Range;

/// The highest power of a loss.
const MOST: u32 = 1000;

/// What a classification costs, with `φ_α` the field of label `α`, all other labels at -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelLoss {
    /// `Σ_α |tanh φ_α - t_α|^{2m}`, for targets `t` of ±1 (Krotov and Hopfield 2016, with `m` their power).
    Power {
        /// `m`, from 1 to 1000: large ones look at the worst outputs alone.
        m: u32,
    },
    /// `-log p(label | image)` of the model's own distribution over states with one label on: `p ∝ exp(2 φ_α)`.
    CrossEntropy,
}

/// `∇` of a [`LabelLoss`], averaged over the batch, of a [`DenseMemory`] whose last `classes` units are labels: 1 at the class of the
/// sample and -1 elsewhere. The loss it reports is that average.
///
/// ```
/// use harmonium::models::{DenseMemory, Interaction};
/// use harmonium::objectives::{LabelLoss, MemoryClassification, Objective};
/// use harmonium::{Batch, Learn, Mat};
/// let mut memory = DenseMemory::new(6, 4, Interaction::Rectified { degree: 3 }, 6.0)?;
/// memory.initialise(0.0, 0.3, 1)?;
/// let x = Mat::from_fn(6, 5, |i, j| if i == 4 + j % 2 || i == j { 1.0 } else { -1.0 }); // four pixels, two labels
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
/// let mut objective = MemoryClassification::new(2, LabelLoss::CrossEntropy);
/// let report = objective.gradient(&memory, &batch, &mut memory.params().zeros_like())?;
/// assert!(report.loss.is_some_and(|loss| loss > 0.0));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryClassification {
    classes: usize,
    loss: LabelLoss,
    factors: Mat,
    parts: Vec<Part>,
    weights: Vec<f32>,
    present: Vec<f32>,
}

/// What one task sums, and its memory.
#[derive(Debug, Default)]
struct Part {
    loss: f64,
    labels: Vec<f32>,
    fields: Vec<f32>,
    pulls: Vec<f32>,
    scratch: Vec<f32>,
    pulling: Pulling,
}

impl MemoryClassification {
    /// For so many labels, the last units.
    pub fn new(classes: usize, loss: LabelLoss) -> Self {
        Self { classes, loss, factors: Mat::zeros(0, 0), parts: vec![], weights: vec![], present: vec![] }
    }
    /// Weights that sum to one, and which samples are present.
    fn weigh(&mut self, batch: &Batch<'_>) {
        shares(batch.weights, &mut self.weights);
        self.present.clear();
        self.present.extend(self.weights.iter().map(|w| f32::from(u8::from(*w != 0.0))));
    }
    /// Whether a sample that is present lacks an entry, or has a label that is none.
    fn check(&self, label: &Range<usize>, batch: &Batch<'_>) -> Result<()> {
        let present = |j: &usize| self.weights[*j] != 0.0;
        let present_alone = Batch { weights: &self.weights, ..*batch };
        refuse_missing(&present_alone, "missing entries of data to classify", "none")?;
        for j in (0..batch.x.ncols()).filter(present) {
            let labels = &col(&batch.x, j)[label.clone()];
            let on = labels.iter().filter(|t| **t == 1.0).count();
            if on != 1 || labels.iter().any(|t| t.abs() != 1.0) {
                let got = format!("{labels:?}");
                return Err(Error::value(format!("the label of sample {j}"), "1 at one class and -1 elsewhere", got));
            }
        }
        Ok(())
    }
}

/// The loss of one sample, and its derivatives by the fields.
fn judge(loss: LabelLoss, fields: &[f32], targets: &[f32], pulls: &mut [f32]) -> f64 {
    match loss {
        LabelLoss::Power { m } => {
            let one = |((pull, &field), &target): ((&mut f32, &f32), &f32)| {
                let output = f64::from(field).tanh();
                let off = output - f64::from(target);
                let below = off.powi(2 * m as i32 - 1);
                *pull = (2.0 * f64::from(m) * below * (1.0 - output * output)) as f32;
                below * off
            };
            pulls.iter_mut().zip(fields).zip(targets).map(one).sum()
        }
        LabelLoss::CrossEntropy => {
            let most = fields.iter().fold(f32::NEG_INFINITY, |m, f| m.max(*f));
            let share = |field: f32| (2.0 * f64::from(field - most)).exp();
            let sum: f64 = fields.iter().map(|f| share(*f)).sum();
            let mut loss = sum.ln();
            for ((pull, &field), &target) in pulls.iter_mut().zip(fields).zip(targets) {
                let on = f64::from(u8::from(target > 0.0));
                *pull = (2.0 * (share(field) / sum - on)) as f32;
                loss -= on * 2.0 * f64::from(field - most);
            }
            loss
        }
    }
}

impl Objective<DenseMemory> for MemoryClassification {
    /// # Errors
    /// [`Error::Shape`] if the batch has not the model's rows or a weight for each sample, [`Error::Value`] if it has not so many labels,
    /// entries are missing, a label is none, a weight is no number, or the power of the loss is not in 1..=1000.
    fn gradient(&mut self, model: &DenseMemory, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let label = model.label_rows(self.classes)?;
        if batch.x.nrows() != label.end {
            return Err(Error::shape("rows of samples with labels", label.end, batch.x.nrows()));
        }
        if let LabelLoss::Power { m } = self.loss
            && !(1..=MOST).contains(&m)
        {
            return Err(Error::value("the power of a loss", format!("in 1..={MOST}"), m));
        }
        check_weights(batch)?;
        self.weigh(batch);
        self.check(&label, batch)?;
        grad.as_mut_slice().fill(0.0);
        self.pass(model, &label, batch.x);
        add_outer(1.0, batch.x, self.factors.as_view(), &self.present, grad.slice_mut(0));
        // Labels are no inputs: what they learn was summed apart.
        let (p, mut memories) = (model.n_memories(), grad.mat_mut(0));
        for (k, i) in label.enumerate() {
            let mut row = memories.row_mut(i);
            row.fill(0.0);
            for part in &self.parts {
                row.iter_mut().zip(&part.labels[k * p..][..p]).for_each(|(g, l)| *g += l);
            }
        }
        Ok(Report { loss: Some(self.parts.iter().map(|p| p.loss).sum()), ..Report::default() })
    }
}
impl MemoryClassification {
    /// The pass over samples: what memories learn of each is left in the factors, the rest in the parts.
    fn pass(&mut self, model: &DenseMemory, label: &Range<usize>, x: MatRef<'_>) {
        let (p, classes) = (model.n_memories(), label.len());
        if self.factors.shape() != (p, x.ncols()) {
            self.factors = Mat::zeros(p, x.ncols());
        }
        let width = class_chunk(x.ncols());
        self.parts.resize_with(x.ncols().div_ceil(width), Part::default);
        let (weights, loss) = (&self.weights, self.loss);
        for_columns_with(&mut self.factors, width, &mut self.parts, |columns, mut z, part| {
            part.loss = 0.0;
            part.labels.clear();
            part.labels.resize(classes * p, 0.0);
            part.fields.resize(classes, 0.0);
            part.pulls.resize(classes, 0.0);
            model.class_overlaps(label, x.columns_range(columns.clone()), z.as_view_mut());
            for (j, mut z) in columns.zip(z.column_iter_mut()).filter(|(j, _)| weights[*j] != 0.0) {
                let z = z.as_mut_slice();
                model.fields_of_overlaps(label, z, &mut part.scratch, &mut part.fields);
                let own = judge(loss, &part.fields, &col(&x, j)[label.clone()], &mut part.pulls);
                part.loss += f64::from(weights[j]) * own;
                part.pulls.iter_mut().for_each(|pull| *pull *= weights[j]);
                model.pull_memories(label, &part.pulls, (z, &mut part.pulling), &mut part.labels);
            }
        });
    }
}
/// It has no state.
impl Resume for MemoryClassification {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
