//! The layers of a transformer of today: RMS norms before each part, rotary positions, gated feed-forward parts.
//!
//! candle composes and differentiates; attention, norms, gates and products are operations of this crate.
//!
//! ## References
//! - Vaswani and others, "Attention is all you need", 2017.
//! - Shazeer, "GLU variants improve transformer", 2020.
//! - Su, Lu, Pan, Wen and Liu, "RoFormer: enhanced transformer with rotary position embedding", 2021.
//! - Touvron and others, "LLaMA: open and efficient foundation language models", 2023.

use crate::models::neural::candle::{Linear, Norm, Waves, attend, gated};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use std::sync::Arc;

/// What keeps a norm above zero.
const EPSILON: f64 = 1e-6;
/// The longest wave of rotary positions.
const WAVES: f64 = 10_000.0;

/// `x / rms(x)`, times a learned number for each.
pub(super) fn norm(variables: VarBuilder<'_>, width: usize) -> Result<Norm> {
    Norm::root_mean_square(variables, width, EPSILON)
}

/// `(x - mean) / deviation`, times a learned number for each. Without a bias: a layer follows that has one.
pub(super) fn plain_norm(variables: VarBuilder<'_>, width: usize) -> Result<Norm> {
    Norm::centred(variables, width, EPSILON)
}

/// `x + W (silu(Ux) ∘ Vx)` after a norm.
pub(super) struct GatedLayer {
    norm: Norm,
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
        x + self.down.of(&gated(&self.up.of(&self.norm.of(x)?)?)?)?
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
    /// Multiplications of one position forwards, in a window as long as it can be; all pairs of positions count, as all are computed.
    pub fn multiplications(&self) -> f64 {
        (self.layers * self.width * (4 * self.width + 3 * self.inner + 2 * self.length)) as f64
    }
}

/// `x +` what each position takes from those before it and itself, after a norm.
struct Attention {
    norm: Norm,
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
    fn of(&self, x: &Tensor, waves: &Arc<Waves>) -> Result<Tensor> {
        x + self.out.of(&attend(&self.all.of(&self.norm.of(x)?)?, waves, self.heads)?)?
    }
}

/// Layers of a transformer: samples × positions × width to the same, a position from those up to it.
pub(super) struct Backbone {
    layers: Vec<(Attention, GatedLayer)>,
    norm: Norm,
    waves: Arc<Waves>,
}
impl Backbone {
    pub(super) fn new(variables: VarBuilder<'_>, t: Transformer) -> Result<Self> {
        if t.length == 0 || t.inner == 0 {
            bail!("a transformer has positions and gated units: {t:?}");
        }
        if t.heads == 0 || !t.width.is_multiple_of(2 * t.heads) || t.width == 0 {
            bail!("a transformer's width must be an even multiple of its heads: {} of {}", t.width, t.heads);
        }
        let layer = |l: usize| {
            let own = variables.pp(format!("layer{}", l + 1));
            let gated = GatedLayer::new(own.pp("gated"), t.width, t.inner, 2 * t.layers)?;
            Ok((Attention::new(own.pp("attention"), t)?, gated))
        };
        let layers = (0..t.layers).map(layer).collect::<Result<Vec<_>>>()?;
        let waves = Arc::new(Waves::new(t.width / t.heads / 2, t.length, WAVES));
        Ok(Self { layers, norm: norm(variables.pp("norm"), t.width)?, waves })
    }
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (attention, gated) in &self.layers {
            x = gated.of(&attention.of(&x, &self.waves)?)?;
        }
        self.norm.of(&x)
    }
}
