//! The energy head: a small network that turns a context and noise into a draw, in one step.

use super::layers::plain_norm;
use crate::models::neural::Activation::Silu;
use crate::models::neural::candle::{Linear, Norm, activate, gated};
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::{Rng, RngExt};

/// How wide and how deep an energy head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSettings {
    /// Numbers of noise, uniform within ±½.
    pub noise: usize,
    /// Units of its layers.
    pub width: usize,
    /// Gated residual blocks.
    pub blocks: usize,
}
impl Default for HeadSettings {
    /// As for small problems; in the publication 64 numbers of noise, 4 blocks, and the width of the transformer.
    fn default() -> Self {
        Self { noise: 16, width: 64, blocks: 2 }
    }
}

/// `y = g(h, ε)`: draws of `p(y | h)` for a context `h`, from noise `ε`. The last layer is zero at first, and so are all draws.
///
/// Noise and context are embedded, each with a norm; blocks add `W (silu(gate) ∘ up)` to the embedded noise, gate and up from a small
/// network of both; a last network makes the draw of it (Shao, Li, Meng and Zhou 2025). It is a module of candle, to put on any network:
/// [`super::ImplicitDensity`] and [`super::ContinuousLanguageModel`] have one.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use harmonium::{ChainRng, models::calm::{EnergyHead, HeadSettings, head_noise}};
/// let variables = VarMap::new();
/// let head = EnergyHead::new(VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu), 10, 3, HeadSettings::default())?;
/// let contexts = Tensor::ones((5, 10), DType::F32, &Device::Cpu)?;
/// let noise = head_noise(&mut ChainRng::new(1), (5, 8, 16))?; // eight draws for each of five contexts
/// assert_eq!(head.draw(&contexts, &noise)?.dims(), [5, 8, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EnergyHead {
    noise: (Linear, Norm),
    context: (Linear, Norm),
    blocks: Vec<Block>,
    last: (Norm, Linear, Linear),
    width: usize,
}
#[derive(Clone, Debug)]
struct Block {
    norm: Norm,
    of_noise: Linear, // the first layer, of noise and context side by side, in two parts: that of the context is shared by all draws
    of_context: Linear,
    inner: Linear,
    gates: Linear,
    out: Linear,
}

impl EnergyHead {
    /// For contexts of so many numbers, and draws of so many.
    ///
    /// # Errors
    /// Those of candle; if there is no noise, no unit, or nothing to draw.
    pub fn new(variables: VarBuilder<'_>, contexts: usize, outputs: usize, settings: HeadSettings) -> Result<Self> {
        let HeadSettings { noise, width, blocks } = settings;
        if noise == 0 || width == 0 || outputs == 0 {
            bail!("an energy head needs noise, units and something to draw: {settings:?}, {outputs} numbers a draw");
        }
        let embed = |name: &str, inputs: usize| -> Result<_> {
            let own = variables.pp(name);
            Ok((Linear::new(own.pp("embed"), inputs, width, 1.0)?, plain_norm(own.pp("norm"), width)?))
        };
        let (of_noise, of_context) = (embed("noise", noise)?, embed("context", contexts)?);
        let block = |k: usize| Block::new(variables.pp(format!("block{}", k + 1)), width, blocks);
        let blocks = (0..blocks).map(block).collect::<Result<Vec<_>>>()?;
        let own = variables.pp("last");
        let inner = Linear::new(own.pp("inner"), width, width, 2.0)?;
        let last = (plain_norm(own.pp("norm"), width)?, inner, Linear::new(own.pp("out"), width, outputs, 0.0)?);
        Ok(Self { noise: of_noise, context: of_context, blocks, last, width })
    }
    /// Draws: `context` samples × numbers, `noise` samples × draws × numbers ([`head_noise`]); samples × draws × numbers of a draw.
    ///
    /// # Errors
    /// Those of candle, if shapes do not fit.
    pub fn draw(&self, context: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let (n, draws, _) = noise.dims3()?;
        if context.dim(0)? != n {
            bail!("noise for {n} samples, and {} contexts", context.dim(0)?);
        }
        let context = self.context.1.of(&self.context.0.of(context)?)?;
        let mut x = self.noise.1.of(&self.noise.0.of(&noise.flatten_to(1)?)?)?;
        for block in &self.blocks {
            x = block.of(&x, &context, (n, draws, self.width))?;
        }
        let (norm, inner, out) = &self.last;
        let y = out.of(&activate(&inner.of(&norm.of(&x)?)?, Silu)?)?;
        y.reshape((n, draws, y.dim(1)?))
    }
}
impl Block {
    fn new(variables: VarBuilder<'_>, width: usize, blocks: usize) -> Result<Self> {
        let layer = |name: &str, outputs: usize, gain: f64| Linear::new(variables.pp(name), width, outputs, gain);
        Ok(Self {
            norm: plain_norm(variables.pp("norm"), width)?,
            of_noise: layer("of_noise", width, 0.5)?,
            of_context: layer("of_context", width, 0.5)?,
            inner: layer("inner", width, 2.0)?,
            gates: layer("gates", 2 * width, 2.0)?,
            out: layer("out", width, 1.0 / blocks as f64)?,
        })
    }
    fn of(&self, x: &Tensor, context: &Tensor, shape: (usize, usize, usize)) -> Result<Tensor> {
        let (n, draws, width) = shape;
        let first = self.of_noise.of(&self.norm.of(x)?)?.reshape(shape)?;
        let first = first.broadcast_add(&self.of_context.of(context)?.reshape((n, 1, width))?)?;
        let first = activate(&first.reshape((n * draws, width))?, Silu)?;
        let inner = activate(&self.inner.of(&first)?, Silu)?;
        x + self.out.of(&gated(&self.gates.of(&inner)?)?)?
    }
}
/// Noise for a head: uniform within ±½, samples × draws × numbers.
///
/// # Errors
/// Those of candle.
pub fn head_noise(rng: &mut (impl Rng + ?Sized), shape: (usize, usize, usize)) -> Result<Tensor> {
    let mut values = Vec::with_capacity(shape.0 * shape.1 * shape.2);
    add_noise(rng, shape.0 * shape.1 * shape.2, &mut values);
    Tensor::from_vec(values, shape, &Device::Cpu)
}
/// So many numbers of noise more.
pub(super) fn add_noise(rng: &mut (impl Rng + ?Sized), n: usize, to: &mut Vec<f32>) {
    to.extend((0..n).map(|_| rng.random_range(-0.5f32..0.5)));
}
