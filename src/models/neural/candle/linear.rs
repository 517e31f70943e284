//! Weights and biases of one layer, its product this crate's own.

use super::dense;
use candle_core::{D, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// `Wx + b` along the last axis, by [`dense`].
#[derive(Clone, Debug)]
pub struct Linear {
    weights: Tensor, // inputs × outputs
    bias: Tensor,
}
impl Linear {
    /// Normal weights with the variance `gain` over the number of inputs, zero biases; a `gain` of zero is a layer that gives zeros.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(variables: VarBuilder<'_>, inputs: usize, outputs: usize, gain: f64) -> Result<Self> {
        let normal = Init::Randn { mean: 0.0, stdev: (gain / inputs.max(1) as f64).sqrt() };
        let weights = variables.get_with_hints((inputs, outputs), "weights", normal)?;
        Ok(Self { weights, bias: variables.get_with_hints(outputs, "bias", Init::Const(0.0))? })
    }
    /// What the layer makes of `x`, whatever axes come before the last.
    ///
    /// # Errors
    /// Those of candle, if the last axis is not the inputs.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        let (inputs, mut shape) = (x.dim(D::Minus1)?, x.dims().to_vec());
        let out = dense(&x.reshape(((), inputs))?, &self.weights, &self.bias)?;
        let last = shape.len() - 1;
        shape[last] = out.dim(1)?;
        out.reshape(shape)
    }
}
