//! Norms of the numbers of a position, as one operation each, with their derivatives.
//!
//! candle's that can be differentiated are ten operations, each a pass over all numbers.
//!
//! ## References
//! - Ba, Kiros and Hinton, "Layer normalization", 2016.
//! - Zhang and Sennrich, "Root mean square layer normalization", 2019.

use super::operations::values;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// `w ∘ x / √(⟨x²⟩ + ε)` along the last axis, or, `centred`, that of `x - ⟨x⟩`.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    weights: Tensor,
    op: Normalise,
}
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normalise {
    centred: bool,
    epsilon: f64,
}
impl Norm {
    /// By the root of the mean square, with weights of 1.
    pub(crate) fn root_mean_square(variables: VarBuilder<'_>, width: usize, epsilon: f64) -> Result<Self> {
        Self::new(variables, width, Normalise { centred: false, epsilon })
    }
    /// By mean and deviation, with weights of 1 and without biases.
    pub(crate) fn centred(variables: VarBuilder<'_>, width: usize, epsilon: f64) -> Result<Self> {
        Self::new(variables, width, Normalise { centred: true, epsilon })
    }
    fn new(variables: VarBuilder<'_>, width: usize, op: Normalise) -> Result<Self> {
        Ok(Self { weights: variables.get_with_hints(width, "weight", Init::Const(1.0))?, op })
    }
    /// What becomes of `x`, whatever axes come before the last.
    pub(crate) fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op2(&self.weights, self.op)
    }
}
impl Normalise {
    /// Mean, or 0, and one over the deviation of a row.
    fn moments(self, x: &[f32]) -> (f32, f32) {
        let n = x.len() as f64;
        let mean = if self.centred { x.iter().map(|v| f64::from(*v)).sum::<f64>() / n } else { 0.0 };
        let square = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        (mean as f32, (1.0 / (square + self.epsilon).sqrt()) as f32)
    }
}
impl CustomOp2 for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (values(x, lx)?, values(w, lw)?);
        if w.is_empty() || lx.dims().last() != Some(&w.len()) {
            bail!("a norm of {} numbers, of shape {:?}", w.len(), lx.shape());
        }
        let mut out = vec![0.0; x.len()];
        for (x, out) in x.chunks_exact(w.len()).zip(out.chunks_exact_mut(w.len())) {
            let (mean, scale) = self.moments(x);
            for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
                *o = (x - mean) * scale * w;
            }
        }
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }
    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, slope: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let slope = slope.contiguous()?;
        let by_x = slope.apply_op3_no_bwd(x, w, &ByNumbers(*self))?;
        let by_w = w.track_op().then(|| slope.apply_op2_no_bwd(x, &ByWeights(*self, w.dim(D::Minus1)?)));
        Ok((Some(by_x), by_w.transpose()?))
    }
}
/// `r (g - ⟨g⟩ - z ⟨g z⟩)` of `g = w ∘ slope`, `z = (x - ⟨x⟩) r`, without `⟨g⟩` if not centred.
struct ByNumbers(Normalise);
impl CustomOp3 for ByNumbers {
    fn name(&self) -> &'static str {
        "normalise-by-numbers"
    }
    fn cpu_fwd(
        &self,
        slope: &CpuStorage,
        slope_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (slope, x, w) = (values(slope, slope_layout)?, values(x, x_layout)?, values(w, w_layout)?);
        let (mut out, n) = (vec![0.0; x.len()], w.len() as f32);
        let rows = x.chunks_exact(w.len()).zip(slope.chunks_exact(w.len()));
        for ((x, slope), out) in rows.zip(out.chunks_exact_mut(w.len())) {
            let (mean, scale) = self.0.moments(x);
            let (mut sum, mut along) = (0.0, 0.0);
            for ((x, slope), w) in x.iter().zip(slope).zip(w) {
                sum += slope * w;
                along += slope * w * (x - mean) * scale;
            }
            let (sum, along) = (if self.0.centred { sum / n } else { 0.0 }, along / n);
            for (((o, x), slope), w) in out.iter_mut().zip(x).zip(slope).zip(w) {
                *o = scale * (slope * w - sum - (x - mean) * scale * along);
            }
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}
struct ByWeights(Normalise, usize);
impl CustomOp2 for ByWeights {
    fn name(&self) -> &'static str {
        "normalise-by-weights"
    }
    fn cpu_fwd(&self, slope: &CpuStorage, ls: &Layout, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let (slope, x) = (values(slope, ls)?, values(x, lx)?);
        let mut out = vec![0.0; self.1];
        for (x, slope) in x.chunks_exact(self.1).zip(slope.chunks_exact(self.1)) {
            let (mean, scale) = self.0.moments(x);
            for ((o, x), slope) in out.iter_mut().zip(x).zip(slope) {
                *o += slope * (x - mean) * scale;
            }
        }
        Ok((CpuStorage::F32(out), self.1.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::operations::tests::{agree, random, slopes};
    use super::*;
    use candle_core::{Module, Var};
    use candle_nn::{LayerNorm, RmsNorm};

    #[test]
    fn as_candle_composes_them() {
        let (x, w) = (Var::from_tensor(&random((3, 5, 7), 1)), Var::from_tensor(&random(7, 2)));
        let (x, w, weights) = (x.unwrap(), w.unwrap(), random((3, 5, 7), 3));
        for centred in [false, true] {
            let own = Norm { weights: w.as_tensor().clone(), op: Normalise { centred, epsilon: 1e-3 } };
            let plain = match centred {
                true => LayerNorm::new_no_bias(w.as_tensor().clone(), 1e-3).forward(&x),
                false => RmsNorm::new(w.as_tensor().clone(), 1e-3).forward_diff(&x),
            };
            let [a, b] = [own.of(&x).unwrap(), plain.unwrap()].map(|y| ((&y * &weights).unwrap(), y));
            agree(&a.1, &b.1, 1e-6);
            for by in [&x, &w] {
                agree(&slopes(&a.0, by), &slopes(&b.0, by), 1e-5);
            }
        }
        let other = Norm { weights: random(6, 1), op: Normalise { centred: true, epsilon: 1e-3 } };
        assert!(other.of(&x).is_err());
    }
}
