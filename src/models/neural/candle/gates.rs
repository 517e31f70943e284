//! Gates as one operation: `silu(a) ∘ b` of the halves of every row, and its derivatives.
//!
//! ## References
//! - Shazeer, "GLU variants improve transformer", 2020.

use super::operations::values;
use crate::models::neural::Activation::Silu;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// `silu(a) ∘ b` of the halves `a` and `b` of the last axis.
pub(crate) fn gated(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gates)
}
struct Gates;
impl CustomOp1 for Gates {
    fn name(&self) -> &'static str {
        "gates"
    }
    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut shape = layout.dims().to_vec();
        let Some(last) = shape.last_mut().filter(|n| **n > 0 && n.is_multiple_of(2)) else {
            bail!("gates of numbers of shape {:?}, whose last axis has no halves", layout.shape());
        };
        let width = *last;
        *last = width / 2;
        let x = values(x, layout)?;
        let mut out = vec![0.0; x.len() / 2];
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width / 2)) {
            let (a, b) = x.split_at(width / 2);
            Silu.apply(a, out);
            out.iter_mut().zip(b).for_each(|(o, b)| *o *= b);
        }
        Ok((CpuStorage::F32(out), shape.into()))
    }
    fn bwd(&self, x: &Tensor, _: &Tensor, slope: &Tensor) -> Result<Option<Tensor>> {
        slope.contiguous()?.apply_op2_no_bwd(x, &Back).map(Some)
    }
}
struct Back;
impl CustomOp2 for Back {
    fn name(&self) -> &'static str {
        "gates-back"
    }
    fn cpu_fwd(&self, slope: &CpuStorage, ls: &Layout, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let (half, slope, x) = (lx.dims().last().map_or(1, |n| n / 2), values(slope, ls)?, values(x, lx)?);
        let (mut out, mut active) = (vec![0.0; x.len()], vec![0.0; half]);
        let rows = x.chunks_exact(2 * half).zip(slope.chunks_exact(half));
        for ((x, slope), out) in rows.zip(out.chunks_exact_mut(2 * half)) {
            let ((a, b), (by_a, by_b)) = (x.split_at(half), out.split_at_mut(half));
            Silu.apply(a, &mut active);
            by_b.iter_mut().zip(slope).zip(&active).for_each(|((o, s), v)| *o = s * v);
            by_a.iter_mut().zip(slope).zip(b).for_each(|((o, s), b)| *o = s * b);
            Silu.chain(a, &active, by_a);
        }
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::operations::tests::{agree, random, slopes};
    use super::*;
    use candle_core::Var;

    #[test]
    fn as_candle_composes_them() {
        let x = Var::from_tensor(&random((2, 3, 22), 1)).unwrap();
        let weights = random((2, 3, 11), 2);
        let ways = [gated(&x).unwrap(), candle_nn::ops::swiglu(&x).unwrap()];
        let [a, b] = ways.map(|y| (slopes(&(&y * &weights).unwrap(), &x), y));
        agree(&a.1, &b.1, 1e-6);
        agree(&a.0, &b.0, 1e-6);
        assert!(gated(&random((2, 3), 1)).is_err());
    }
}
