//! The classification RBM: a machine whose last visible range is one softmax unit, the label. Given the other visible units, the
//! probability of every class is exact, for the hidden units sum out:
//!
//! ```text
//! log p(y = k | x) = d_k + Σⱼ Γⱼ(cⱼ + W_j·x + U_jk) - log Σ_l exp(…)
//! ```
//!
//! with `U` the columns of the weights that belong to the label, and `d` its biases. It is an RBM like any other; how its label
//! is learned is the business of objectives.
//!
//! ## References
//! - Larochelle and Bengio, "Classification using discriminative restricted Boltzmann machines", 2008.

use super::{Kind, Rbm};
use crate::linalg::col;
use crate::units::Softmax;
use crate::{Block, Energy, Error, Mat, MatRef, Result, States};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

impl Rbm {
    /// A machine over units and their label, one of `classes`; all parameters zero.
    ///
    /// ```
    /// use harmonium::{Mat, models::Rbm, units::Bernoulli};
    /// use std::sync::Arc;
    /// let rbm = Rbm::with_label((784, Arc::new(Bernoulli)), 10, (500, Arc::new(Bernoulli)));
    /// let p = rbm.class_probabilities(Mat::zeros(784, 3).as_view())?;
    /// assert!(p.shape() == (10, 3) && (p[(7, 2)] - 0.1).abs() < 1e-6); // all parameters are zero
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are no classes, or rows are not those of whole units.
    pub fn with_label(visible: Kind, classes: usize, hidden: Kind) -> Self {
        Self::with_layers(&[visible, (classes, Arc::new(Softmax { q: classes }))], &[hidden])
    }
    /// The rows of the label, if the last visible range is one softmax unit.
    ///
    /// # Errors
    /// [`Error::Value`] if it is not.
    pub fn label_rows(&self) -> Result<Range<usize>> {
        let last = self.visible().last().filter(|b| (&*b.unit as &dyn Any).is::<Softmax>());
        last.filter(|b| b.rows.len() == b.unit.width()).map(|b| b.rows.clone()).ok_or_else(|| {
            let got = self.visible().last().map_or(String::new(), |b| format!("{} rows of {:?}", b.rows.len(), b.unit));
            Error::value("the last range of visible units", "one softmax unit, the label", got)
        })
    }
    /// `log p(y | x)` of every class, in nats (classes × samples), for `x` the visible units without the label, or with it, which
    /// is not looked at then.
    ///
    /// # Errors
    /// [`Error::Value`] if the machine has no label, [`Error::Shape`] if `x` has not its rows.
    pub fn class_log_probabilities(&self, x: MatRef<'_>) -> Result<Mat> {
        let label = self.label_rows()?;
        if x.nrows() != label.start && x.nrows() != label.end {
            return Err(Error::shape("rows of samples without labels", label.start, x.nrows()));
        }
        let mut states = States::default();
        states.clamp(self.n_rows(), x.rows(0, label.start)); // the label at zero
        let columns = states.par(|_, slab| {
            self.hidden_blocks().for_each(|b| _ = slab.field(self, b));
            let (mut log_p, mut shifted) = (vec![0.0; label.len()], vec![0.0; self.n_hidden()]);
            let mut all = Vec::with_capacity(slab.ncols() * label.len());
            for (field, _) in slab.fields_and_x() {
                self.log_probabilities(&label, field, &mut shifted, &mut log_p);
                all.extend(log_p.iter().map(|p| *p as f32));
            }
            all
        });
        Ok(Mat::from_vec(label.len(), x.ncols(), columns.concat()))
    }
    /// `p(y | x)` of every class (classes × samples); `x` as for [`Rbm::class_log_probabilities`].
    ///
    /// # Errors
    /// Those of [`Rbm::class_log_probabilities`].
    pub fn class_probabilities(&self, x: MatRef<'_>) -> Result<Mat> {
        Ok(self.class_log_probabilities(x)?.map(|p| f64::from(p).exp() as f32))
    }
    /// The most probable class of every sample; `x` as for [`Rbm::class_log_probabilities`].
    ///
    /// # Errors
    /// Those of [`Rbm::class_log_probabilities`].
    pub fn classify(&self, x: MatRef<'_>) -> Result<Vec<usize>> {
        Ok(self.class_log_probabilities(x)?.column_iter().map(|p| p.imax()).collect())
    }
    /// `φ + U_k`, the hidden units' fields where the label is `k`, from those where it is zero (of all rows of a state).
    pub(crate) fn fields_of_class(&self, label: &Range<usize>, k: usize, field: &[f32], out: &mut [f32]) {
        let (weights, field) = (self.weights(), &field[self.n_visible()..]);
        out.iter_mut().zip(field).zip(col(&weights, label.start + k)).for_each(|((o, f), u)| *o = f + u);
    }
    /// `log p(y | x)` of one sample, from the hidden units' fields where the label is zero (of all rows of a state).
    pub(crate) fn log_probabilities(&self, label: &Range<usize>, field: &[f32], shifted: &mut [f32], out: &mut [f64]) {
        let d = self.n_visible();
        for (k, score) in out.iter_mut().enumerate() {
            self.fields_of_class(label, k, field, shifted);
            let gamma = |b: usize| {
                let Block { rows, unit, .. } = &self.blocks()[b];
                unit.log_partition(self.theta(b, &[]), &shifted[rows.start - d..rows.end - d])
            };
            *score = f64::from(self.visible_bias()[label.start + k]) + self.hidden_blocks().map(gamma).sum::<f64>();
        }
        let most = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = most + out.iter().map(|s| (s - most).exp()).sum::<f64>().ln();
        out.iter_mut().for_each(|s| *s -= log_sum);
    }
}
