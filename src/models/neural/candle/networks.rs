//! Ready networks: dense, convolutional, residual.
//!
//! Their activities are samples × height × width × channels (see [`super::convolve`]), as pixels with their colours side by side are.

use super::{CandleEnergy, Linear, activate, convolve};
use crate::models::Kind;
use crate::models::neural::Activation;
use crate::{Error, Result, Unit};
use candle_core::{Result as Candle, Tensor};
use candle_nn::{Init, VarBuilder};
use std::sync::Arc;

/// The size of images; a state is their pixels row by row, the channels of a pixel side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Numbers a pixel: 1 if grey, 3 if coloured.
    pub channels: usize,
}
impl Image {
    /// Grey images.
    pub fn grey(height: usize, width: usize) -> Self {
        Self { height, width, channels: 1 }
    }
    /// Rows of a state.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }
    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn units(&self, unit: Arc<dyn Unit>) -> Result<[Kind; 1]> {
        match self.is_empty() {
            true => Err(Error::value("the size of images", "at least one number", format!("{self:?}"))),
            false => Ok([(self.len(), unit)]),
        }
    }
    fn reshape(&self, x: &Tensor) -> Candle<Tensor> {
        x.reshape((x.dim(0)?, self.height, self.width, self.channels))
    }
}

/// How deep and how wide a residual network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    /// Channels of all its activities.
    pub channels: usize,
    /// Residual blocks, of two convolutions each.
    pub blocks: usize,
    /// The first so many of them halve height and width.
    pub halving: usize,
    /// The activation before every convolution but the first.
    pub activation: Activation,
}
impl Default for Residual {
    /// 8 blocks of 64 channels, of which 2 halve, with SiLU, as of Grathwohl et al. 2021.
    fn default() -> Self {
        Self { channels: 64, blocks: 8, halving: 2, activation: Activation::Silu }
    }
}

/// Weights and biases of one layer: a product of patches.
struct Layer {
    kernels: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
}
impl Layer {
    /// `[height, width, channels]` of a kernel to so many channels: normal weights, with the variance `gain` over the numbers in a patch.
    fn new(
        variables: VarBuilder<'_>,
        [height, width, channels]: [usize; 3],
        outputs: usize,
        stride: usize,
        gain: f64,
    ) -> Candle<Self> {
        let deviation = (gain / (height * width * channels).max(1) as f64).sqrt();
        let normal = Init::Randn { mean: 0.0, stdev: deviation };
        let kernels = variables.get_with_hints((height, width, channels, outputs), "weights", normal)?;
        let bias = variables.get_with_hints(outputs, "bias", Init::Const(0.0))?;
        Ok(Self { kernels, bias, stride, padding: height / 2 })
    }
    fn of(&self, x: &Tensor) -> Candle<Tensor> {
        convolve(x, &self.kernels, &self.bias, self.stride, self.padding)
    }
}
/// By how much an activation's weights are larger than those of a linear layer, in variance, so that activities do not fade.
pub(crate) fn gain(activation: Activation) -> f64 {
    match activation {
        Activation::Relu | Activation::Silu | Activation::Softplus => 2.0,
        Activation::Sigmoid => 16.0,
        Activation::Tanh | Activation::Linear => 1.0,
    }
}
fn halved(size: usize, times: usize) -> usize {
    (0..times).fold(size, |size, _| size.div_ceil(2))
}

impl CandleEnergy {
    /// A dense network: hidden layers of so many units, then a linear one of one. The same function as that of
    /// [`crate::models::neural::Mlp`], whose weights lie the other way round.
    ///
    /// # Errors
    /// Those of [`CandleEnergy::new`].
    pub fn dense(given: usize, units: &[Kind], hidden: &[(usize, Activation)]) -> Result<Self> {
        let names: Vec<&str> = hidden.iter().map(|h| h.1.name()).collect();
        let rows = given + units.iter().map(|u| u.0).sum::<usize>();
        let model = Self::new(&format!("dense, {}", names.join(" ")), given, units, |variables| {
            let (mut layers, mut below) = (vec![], rows);
            for (l, &(n, activation)) in hidden.iter().enumerate() {
                let layer = Linear::new(variables.pp(format!("layer{}", l + 1)), below, n, gain(activation))?;
                layers.push((layer, activation));
                below = n;
            }
            let last = Linear::new(variables.pp("last"), below, 1, 1.0)?;
            Ok(move |x: &Tensor| {
                let mut x = x.clone();
                for (layer, activation) in &layers {
                    x = activate(&layer.of(&x)?, *activation)?;
                }
                last.of(&x)
            })
        })?;
        Ok(model.of_own_products(hidden.iter().map(|h| h.0).max().unwrap_or(rows).max(rows)))
    }
    /// A convolutional network: layers of kernels 3 × 3, two pixels apart, each of so many channels and halving height and width; then a
    /// linear layer of all that is left.
    ///
    /// # Errors
    /// Those of [`CandleEnergy::new`]; [`Error::Value`] if images are empty.
    ///
    /// ```
    /// use harmonium::models::neural::{Activation, candle::{CandleEnergy, Image}};
    /// use harmonium::{Energy, Learn, units::Gaussian};
    /// use std::sync::Arc;
    /// let unit = Arc::new(Gaussian);
    /// let mut model = CandleEnergy::convolutional(unit, Image::grey(28, 28), &[32, 64, 64, 128], Activation::Silu)?;
    /// model.initialise(&[], 1)?;
    /// assert_eq!(model.n_rows(), 784);
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn convolutional(
        unit: Arc<dyn Unit>,
        image: Image,
        channels: &[usize],
        activation: Activation,
    ) -> Result<Self> {
        let architecture = format!("convolutional, {image:?}, {}", activation.name());
        let model = Self::new(&architecture, 0, &image.units(unit)?, |variables| {
            let (mut layers, mut below) = (vec![], image.channels);
            for (l, &n) in channels.iter().enumerate() {
                let variables = variables.pp(format!("layer{}", l + 1));
                layers.push(Layer::new(variables, [3, 3, below], n, 2, gain(activation))?);
                below = n;
            }
            let left = halved(image.height, layers.len()) * halved(image.width, layers.len()) * below;
            let last = Linear::new(variables.pp("last"), left, 1, 1.0)?;
            Ok(move |x: &Tensor| {
                let mut x = image.reshape(x)?;
                for layer in &layers {
                    x = activate(&layer.of(&x)?, activation)?;
                }
                last.of(&x.flatten_from(1)?)
            })
        })?;
        let layer = |(l, n): (usize, &usize)| halved(image.height, l + 1) * halved(image.width, l + 1) * n;
        Ok(model.of_own_products(channels.iter().enumerate().map(layer).max().unwrap_or(0).max(image.len())))
    }
    /// A residual network: a convolution, then blocks `x + W₂ a(W₁ a(x))` of two 3 × 3 convolutions, whose activations come before them
    /// (He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", 2016); where they halve the image, `x` by a convolution
    /// 1 × 1. The mean over pixels, then a linear layer.
    ///
    /// The last convolution of each block is drawn with a variance divided by the number of blocks, so that depth does not let activities
    /// grow.
    ///
    /// # Errors
    /// Those of [`CandleEnergy::new`]; [`Error::Value`] if images are empty.
    pub fn residual(unit: Arc<dyn Unit>, image: Image, settings: Residual) -> Result<Self> {
        let Residual { channels, blocks, halving, activation } = settings;
        let architecture = format!("residual, {image:?}, halving {halving}, {}", activation.name());
        let model = Self::new(&architecture, 0, &image.units(unit)?, |variables| {
            let (gain, kernel) = (gain(activation), [3, 3, channels]);
            let first = Layer::new(variables.pp("first"), [3, 3, image.channels], channels, 1, 1.0)?;
            let mut body = vec![];
            for k in 0..blocks {
                let own = variables.pp(format!("block{}", k + 1));
                let stride = if k < halving { 2 } else { 1 };
                let inner = Layer::new(own.pp("inner"), kernel, channels, stride, gain)?;
                let outer = Layer::new(own.pp("outer"), kernel, channels, 1, gain / blocks as f64)?;
                let past = (k < halving).then(|| Layer::new(own.pp("past"), [1, 1, channels], channels, 2, 1.0));
                body.push((inner, outer, past.transpose()?));
            }
            let last = Linear::new(variables.pp("last"), channels, 1, 1.0)?;
            Ok(move |x: &Tensor| {
                let mut x = first.of(&image.reshape(x)?)?;
                for (inner, outer, past) in &body {
                    let inside = inner.of(&activate(&x, activation)?)?;
                    let step = outer.of(&activate(&inside, activation)?)?;
                    x = match past {
                        Some(past) => (past.of(&x)? + step)?,
                        None => (x + step)?,
                    };
                }
                last.of(&activate(&x, activation)?.flatten(1, 2)?.mean(1)?)
            })
        })?;
        Ok(model.of_own_products(image.height * image.width * channels.max(image.channels)))
    }
}
