//! Learning to predict the next token: the cross-entropy of a softmax.

use super::batch::{check_weights, refuse_missing, shares, without_absent};
use super::{Objective, Report};
use crate::models::calm::{LanguageModel, tokens_of};
use crate::{Batch, Params, Result, Resume, Saved};
use candle_core::{D, Device, Result as Candle, Tensor};
use candle_nn::ops::log_softmax;

/// Windows that pass at once.
const AT_ONCE: usize = 1;

/// `∇ -⟨log p(next | tokens so far)⟩`, averaged over positions and the batch, of a [`LanguageModel`]; the loss it reports is that average, in
/// nats a token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NextToken {
    weights: Vec<f32>,
}
impl Objective<LanguageModel> for NextToken {
    /// # Errors
    /// [`crate::Error::Shape`] if samples are not windows of the model; [`crate::Error::Value`] if a number is no token, entries are missing,
    /// or candle cannot do it.
    fn gradient(&mut self, model: &LanguageModel, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        check_weights(batch)?;
        refuse_missing(batch, "missing tokens", "none")?;
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        model.check(x)?;
        let length = model.transformer().length;
        let loss = model.module().gradient(
            x.ncols(),
            AT_ONCE,
            |net, windows| {
                let logits = net.logits(&tokens_of(x, 0..length, windows.clone())?)?.flatten_to(1)?;
                let next = tokens_of(x, 1..length + 1, windows.clone())?.flatten_all()?;
                let losses = surprises(&logits, &next)?.reshape((windows.len(), length))?.mean(1)?;
                let weights = &self.weights[windows];
                (losses * Tensor::from_slice(weights, weights.len(), &Device::Cpu)?)?.sum_all()
            },
            grad,
        )?;
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// `-log p` of tokens by their logits (samples × tokens).
pub(super) fn surprises(logits: &Tensor, tokens: &Tensor) -> Candle<Tensor> {
    log_softmax(logits, D::Minus1)?.gather(&tokens.unsqueeze(1)?, 1)?.squeeze(1)?.neg()
}
/// Nothing.
impl Resume for NextToken {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
