//! The layers of a transformer of today: RMS norms before each part, rotary positions, gated feed-forward parts.
//!
//! Norms, rotations and softmax are candle-nn's, in the form that can be differentiated; products are this crate's.
//!
//! ## References
//! - Vaswani and others, "Attention is all you need", 2017.
//! - Shazeer, "GLU variants improve transformer", 2020.
//! - Su, Lu, Pan, Wen and Liu, "RoFormer: enhanced transformer with rotary position embedding", 2021.
//! - Touvron and others, "LLaMA: open and efficient foundation language models", 2023.

use crate::models::neural::candle::Linear;
use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::{LayerNorm, RmsNorm, VarBuilder, layer_norm_no_bias, ops, rms_norm, rotary_emb::rope_slow};

/// What keeps a norm above zero.
const EPSILON: f64 = 1e-6;
/// The longest wave of rotary positions.
const WAVES: f64 = 10_000.0;

/// `x / rms(x)`, times a learned number for each.
pub(super) fn norm(variables: VarBuilder<'_>, width: usize) -> Result<RmsNorm> {
    rms_norm(width, EPSILON, variables)
}

/// `(x - mean) / deviation`, times a learned number for each. Without a bias, with which candle's cannot be differentiated; a layer follows
/// that has one.
pub(super) fn plain_norm(variables: VarBuilder<'_>, width: usize) -> Result<LayerNorm> {
    layer_norm_no_bias(width, EPSILON, variables)
}

/// `x + W (silu(Ux) ∘ Vx)` after a norm.
pub(super) struct GatedLayer {
    norm: RmsNorm,
    up: Linear, // both U and V
    down: Linear,
}
impl GatedLayer {
    /// `share` divides the variance of what is added: so many such parts are added one after the other.
    pub(super) fn new(variables: VarBuilder<'_>, width: usize, inner: usize, share: usize) -> Result<Self> {
        let norm = norm(variables.pp("norm"), width)?;
        let up = Linear::new(variables.pp("up"), width, 2 * inner, 1.0)?;
        Ok(Self { norm, up, down: Linear::new(variables.pp("down"), inner, width, 1.0 / share as f64)? })
    }
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor> {
        x + self.down.of(&ops::swiglu(&self.up.of(&self.norm.forward_diff(x)?)?)?)?
    }
}

/// How wide and how deep a transformer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transformer {
    /// Layers, of attention and a gated part each.
    pub layers: usize,
    /// Numbers at a position.
    pub width: usize,
    /// Heads of attention; width over heads is even.
    pub heads: usize,
    /// Units of a gated part.
    pub inner: usize,
    /// Positions that it sees at most.
    pub length: usize,
}
impl Transformer {
    /// Multiplications of one position forwards, without those of attention between positions.
    pub fn multiplications(&self) -> f64 {
        (self.layers * self.width * (4 * self.width + 3 * self.inner)) as f64
    }
}

/// `x +` what each position takes from those before it and itself, after a norm.
struct Attention {
    norm: RmsNorm,
    all: Linear, // queries, keys, values
    out: Linear,
    heads: usize,
}
impl Attention {
    fn new(variables: VarBuilder<'_>, t: Transformer) -> Result<Self> {
        let norm = norm(variables.pp("norm"), t.width)?;
        let all = Linear::new(variables.pp("all"), t.width, 3 * t.width, 1.0)?;
        let out = Linear::new(variables.pp("out"), t.width, t.width, 1.0 / (2 * t.layers) as f64)?;
        Ok(Self { norm, all, out, heads: t.heads })
    }
    fn of(&self, x: &Tensor, waves: &Waves) -> Result<Tensor> {
        let (n, length, width) = x.dims3()?;
        let all = self.all.of(&self.norm.forward_diff(x)?)?.reshape((n, length, 3, self.heads, width / self.heads))?;
        let part = |k: usize| all.narrow(2, k, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (queries, keys, values) = (waves.turn(&part(0)?)?, waves.turn(&part(1)?)?, part(2)?);
        let scale = ((width / self.heads) as f64).sqrt();
        let alike = (queries.matmul(&keys.transpose(2, 3)?.contiguous()?)? / scale)?;
        let weights = ops::softmax(&alike.broadcast_add(&waves.mask(length)?)?, D::Minus1)?;
        let taken = weights.matmul(&values)?.transpose(1, 2)?.reshape((n, length, width))?;
        x + self.out.of(&taken)?
    }
}

/// Positions as rotations, and who sees whom.
struct Waves {
    cosines: Tensor, // positions × half of a head
    sines: Tensor,
    mask: Tensor, // 0 where a position may look, else -∞
}
impl Waves {
    fn new(t: Transformer) -> Result<Self> {
        let half = t.width / t.heads / 2;
        let angles: Vec<f64> = (0..t.length)
            .flat_map(|p| (0..half).map(move |k| p as f64 * WAVES.powf(-(k as f64) / half as f64)))
            .collect();
        let of = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|a| f(*a) as f32).collect();
            Tensor::from_vec(values, (t.length, half), &Device::Cpu)
        };
        let sees = |k: usize| if k % t.length > k / t.length { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..t.length * t.length).map(sees).collect();
        let mask = Tensor::from_vec(mask, (t.length, t.length), &Device::Cpu)?;
        Ok(Self { cosines: of(f64::cos)?, sines: of(f64::sin)?, mask })
    }
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        rope_slow(x, &self.cosines, &self.sines)
    }
    fn mask(&self, length: usize) -> Result<Tensor> {
        self.mask.narrow(0, 0, length)?.narrow(1, 0, length)
    }
}

/// Layers of a transformer: samples × positions × width to the same, a position from those up to it.
pub(super) struct Backbone {
    layers: Vec<(Attention, GatedLayer)>,
    norm: RmsNorm,
    waves: Waves,
    length: usize,
}
impl Backbone {
    pub(super) fn new(variables: VarBuilder<'_>, t: Transformer) -> Result<Self> {
        if t.heads == 0 || !t.width.is_multiple_of(2 * t.heads) || t.width == 0 {
            bail!("a transformer's width must be an even multiple of its heads: {} of {}", t.width, t.heads);
        }
        let layer = |l: usize| {
            let own = variables.pp(format!("layer{}", l + 1));
            let gated = GatedLayer::new(own.pp("gated"), t.width, t.inner, 2 * t.layers)?;
            Ok((Attention::new(own.pp("attention"), t)?, gated))
        };
        let layers = (0..t.layers).map(layer).collect::<Result<Vec<_>>>()?;
        Ok(Self { layers, norm: norm(variables.pp("norm"), t.width)?, waves: Waves::new(t)?, length: t.length })
    }
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor> {
        if x.dim(1)? > self.length {
            bail!("{} positions of a transformer of {}", x.dim(1)?, self.length);
        }
        let mut x = x.clone();
        for (attention, gated) in &self.layers {
            x = gated.of(&attention.of(&x, &self.waves)?)?;
        }
        self.norm.forward_diff(&x)
    }
}
