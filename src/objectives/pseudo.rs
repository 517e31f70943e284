//! Pseudo-likelihood as an objective: every unit is predicted from all others, which needs no log Z and no chain.
//!
//! For machines without latent units, fully visible Boltzmann machines above all: convex there, and consistent; so it finds the couplings
//! of an Ising model from samples of it.
//!
//! ## References
//! - Besag, "Statistical analysis of non-lattice data", 1975.
//! - Ravikumar, Wainwright and Lafferty, "High-dimensional Ising model selection using l₁-regularized logistic regression", 2010.
//! - Nguyen, Zecchina and Berg, "Inverse statistical problems: from the inverse Ising problem to data science", 2017.

use super::batch::{check_values, check_weights, refuse_missing, shares, without_absent};
use super::{Objective, Report};
use crate::{Batch, Conditionals, Error, Params, Result, Resume, Saved};

/// `∇ -Σᵢ log p(xᵢ | all others)`, averaged over the batch; the loss it reports is that average, in nats.
///
/// ```
/// use harmonium::{Batch, Learn, Mat, models::Boltzmann, objectives::{Objective, PseudoLikelihood}, units::Spin};
/// let machine = Boltzmann::new((3, Spin));
/// let x = Mat::from_element(3, 4, 1.0);
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step: 0 };
/// let report = PseudoLikelihood::default().gradient(&machine, &batch, &mut machine.params().zeros_like())?;
/// assert!((report.loss.unwrap_or(0.0) - 3.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PseudoLikelihood {
    weights: Vec<f32>,
}

impl<M: Conditionals + ?Sized> Objective<M> for PseudoLikelihood {
    /// # Errors
    /// [`Error::Intractable`] if the model has latent or real units, [`Error::Shape`] if the batch has not its rows or a weight for each
    /// sample, [`Error::Value`] if entries are missing, a unit has a value that is none of its kind, or a weight is no number.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        check(model, batch)?;
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        let loss = model.grad_conditionals(x, &self.weights, grad);
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}

fn check<M: Conditionals + ?Sized>(model: &M, batch: &Batch<'_>) -> Result<()> {
    if model.n_visible() != model.n_rows() {
        let what = "the pseudo-likelihood of a machine with latent units, as an objective".into();
        return Err(Error::Intractable { what, instead: "contrastive divergence" });
    }
    check_weights(batch)?;
    if batch.x.nrows() != model.n_rows() {
        return Err(Error::shape("rows of samples", model.n_rows(), batch.x.nrows()));
    }
    refuse_missing(batch, "missing entries of the data", "none, for a pseudo-likelihood")?;
    check_values(model, batch, "a pseudo-likelihood")
}
/// It has no state.
impl Resume for PseudoLikelihood {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
