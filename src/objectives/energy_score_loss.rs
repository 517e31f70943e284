//! The energy score of draws that candle made, on its tape.

use super::EnergyScore;
use crate::models::neural::candle::values;
use crate::{MatMut, MatRef};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// The loss of each sample, from `draws` (samples × draws × numbers) and `targets` (samples × targets × numbers), which are taken as
/// constants: [`EnergyScore::loss`] one sample after the other, and its slopes on the way back.
///
/// # Errors
/// Those of candle, if shapes do not fit, there are fewer than 2 draws, or the settings are not those of a loss.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use harmonium::objectives::{EnergyScore, energy_score_loss};
/// let draws = Var::from_vec(vec![0f32, 1.0], (1, 2, 1), &Device::Cpu)?; // one sample, two draws of one number
/// let targets = Tensor::new(&[[[3f32]]], &Device::Cpu)?;
/// let loss = energy_score_loss(&draws, &targets, EnergyScore::default())?; // 2 (3 + 2) / 2 - 1
/// assert_eq!(loss.to_vec1::<f32>()?, [4.0]);
/// let slopes = loss.sum_all()?.backward()?.get(&draws).unwrap().flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(slopes, [0.0, -2.0]); // both are pulled by 1; apart they are pushed by 1
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn energy_score_loss(draws: &Tensor, targets: &Tensor, score: EnergyScore) -> Result<Tensor> {
    score.validate().map_err(candle_core::Error::wrap)?;
    let op = Score { score, slopes: OnceLock::new() };
    draws.contiguous()?.apply_op2(&targets.detach().contiguous()?, op)
}

struct Score {
    score: EnergyScore,
    slopes: OnceLock<Vec<f32>>, // by the draws, from the pass forwards
}
impl CustomOp2 for Score {
    fn name(&self) -> &'static str {
        "energy-score"
    }
    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, draws, d), (samples, targets, rows)) = (lx.shape().dims3()?, ly.shape().dims3()?);
        if samples != n || rows != d || draws < 2 || targets == 0 {
            bail!("an energy score of draws {:?} at targets {:?}", lx.shape(), ly.shape());
        }
        let (x, y) = (values(x, lx)?, values(y, ly)?);
        let (mut losses, mut slopes) = (vec![0f32; n], vec![0f32; n * draws * d]);
        for (j, loss) in losses.iter_mut().enumerate() {
            let own = j * draws * d..(j + 1) * draws * d;
            let x = MatRef::from_slice(&x[own.clone()], d, draws);
            let y = MatRef::from_slice(&y[j * targets * d..(j + 1) * targets * d], d, targets);
            *loss = self.score.add(x, y, Some(&mut MatMut::from_slice(&mut slopes[own], d, draws))) as f32;
        }
        _ = self.slopes.set(slopes);
        Ok((CpuStorage::F32(losses), n.into()))
    }
    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, by: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(slopes) = self.slopes.get() else { bail!("the slopes of an energy score, before it is known") };
        let slopes = Tensor::from_slice(slopes, x.shape(), x.device())?;
        Ok((Some(slopes.broadcast_mul(&by.reshape((x.dim(0)?, 1, 1))?)?), None))
    }
}
