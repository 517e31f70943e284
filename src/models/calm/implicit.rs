//! A conditional distribution that can be drawn from and nothing else: a network of the inputs with an energy head.

use super::head::{EnergyHead, HeadSettings, add_noise};
use crate::linalg::col;
use crate::models::neural::Activation;
use crate::models::neural::candle::{Linear, Owned, activate, fitting, gain, read};
use crate::rng::{derive, keyed};
use crate::{Error, Mat, MatRef, Params, Result};
use candle_core::{Device, Module, Tensor};
use candle_nn::VarBuilder;
use rand::Rng;
use rayon::prelude::*;
use std::ops::Range;

/// Draws that a head makes at once.
const AT_ONCE: usize = 256;

/// `y = g(h(u), ε)`: draws of outputs given inputs `u`, by an [`EnergyHead`] on any network `h`. A sample is its inputs, then its outputs.
/// [`crate::objectives::ScoredDraws`] learns it; a regression so learned is called engression (Shen and Meinshausen, "Engression:
/// extrapolation through the lens of distributional regression", 2023).
///
/// Parameters: those of the network, then of the head, by the names of their layers. The same seed gives the same bits for any number of
/// threads, if the network's operations do.
///
/// ```
/// use harmonium::models::calm::{HeadSettings, ImplicitDensity};
/// use harmonium::{Mat, models::neural::Activation, objectives::ScoredDraws, optim::Adam, train::{Fit, Run, Silent}};
/// let data = Mat::from_fn(2, 500, |i, j| if i == 0 { j as f32 / 500.0 } else { 1.0 }); // u within 0..1, y = 1
/// let mut model = ImplicitDensity::new(1, &[(16, Activation::Silu)], 1, HeadSettings::default())?;
/// model.initialise(1);
/// let fit = Fit { epochs: 5, batch: 50, learning_rate: harmonium::optim::Schedule::Constant(0.003), ..Fit::default() };
/// let (mut objective, mut adam) = (ScoredDraws::new(8, 1), Adam::default());
/// fit.run(&mut Run::new(&mut model, &mut objective, &mut adam, &mut Silent), &data)?;
/// let draws = model.sample(Mat::from_element(1, 3, 0.5).as_view(), 4, 1)?; // four for each of three inputs
/// assert_eq!(draws.shape(), (1, 12));
/// assert!(draws.iter().all(|y| (y - 1.0).abs() < 0.4));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug)]
pub struct ImplicitDensity {
    module: Owned<Headed>,
    inputs: usize,
    outputs: usize,
    head: HeadSettings,
    architecture: String,
}
/// A network and its head.
pub(crate) struct Headed {
    network: Box<dyn Module + Send + Sync>,
    head: EnergyHead,
}
impl Headed {
    /// Draws of samples `u` × inputs from noise, samples × draws × numbers.
    pub(crate) fn draw(&self, u: &Tensor, noise: &Tensor) -> candle_core::Result<Tensor> {
        self.head.draw(&self.network.forward(u)?, noise)
    }
}

impl ImplicitDensity {
    /// Hidden layers of the inputs, then the head; all parameters zero.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no inputs (for a distribution without any, let one be constant), no hidden layers or one of no units, or
    /// nothing to draw; and if the head has no noise or no units.
    pub fn new(inputs: usize, hidden: &[(usize, Activation)], outputs: usize, head: HeadSettings) -> Result<Self> {
        let Some(contexts) = hidden.last().map(|h| h.0) else {
            return Err(Error::value("hidden layers before an energy head", "at least 1", 0));
        };
        if inputs == 0 || hidden.iter().any(|h| h.0 == 0) {
            let got = format!("{inputs}, and hidden layers of {hidden:?}");
            return Err(Error::value("inputs of a conditional distribution", "at least 1, and no empty layer", got));
        }
        let names: Vec<&str> = hidden.iter().map(|h| h.1.name()).collect();
        let architecture = format!("dense, {}", names.join(" "));
        Self::with_network(&architecture, [inputs, contexts, outputs], head, |variables| {
            let (mut layers, mut below) = (vec![], inputs);
            for (l, &(n, activation)) in hidden.iter().enumerate() {
                let layer = Linear::new(variables.pp(format!("layer{}", l + 1)), below, n, gain(activation))?;
                layers.push((layer, activation));
                below = n;
            }
            Ok(move |x: &Tensor| {
                let through = |x: Tensor, (layer, a): &(Linear, Activation)| activate(&layer.of(&x)?, *a);
                layers.iter().try_fold(x.clone(), through)
            })
        })
    }
    /// The same with any network, of samples × inputs to samples × contexts: `[inputs, contexts, outputs]`. `architecture` says what
    /// variables do not; a checkpoint of another is refused.
    ///
    /// # Errors
    /// [`Error::Value`] if candle cannot build the network or the head.
    pub fn with_network<N: Module + Send + Sync + 'static>(
        architecture: &str,
        [inputs, contexts, outputs]: [usize; 3],
        head: HeadSettings,
        build: impl Fn(VarBuilder<'_>) -> candle_core::Result<N>,
    ) -> Result<Self> {
        let module = Owned::build(&[], |variables| {
            let network = Box::new(build(variables.pp("network"))?);
            Ok(Headed { network, head: EnergyHead::new(variables.pp("head"), contexts, outputs, head)? })
        })?;
        let architecture = format!("{architecture}, energy head of {head:?}");
        Ok(Self { module, inputs, outputs, head, architecture })
    }
    /// Draws all parameters from `seed`, but for the last layer of the head, which is zero: so is every draw then.
    pub fn initialise(&mut self, seed: u64) {
        self.module.draw(seed);
    }
    /// Rows of a sample that are inputs.
    pub fn n_inputs(&self) -> usize {
        self.inputs
    }
    /// Rows of a sample that are drawn.
    pub fn n_outputs(&self) -> usize {
        self.outputs
    }
    /// Draws for each column of `u` (inputs × samples), side by side: outputs × (samples · draws).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row an input, [`Error::Value`] if candle cannot do it.
    pub fn sample(&self, u: MatRef<'_>, draws: usize, seed: u64) -> Result<Mat> {
        if u.nrows() != self.inputs {
            return Err(Error::shape("rows of inputs", self.inputs, u.nrows()));
        }
        let mut out = Mat::zeros(self.outputs, u.ncols() * draws);
        if out.is_empty() {
            return Ok(out);
        }
        let (at_once, seed) = ((AT_ONCE / draws).max(1), derive(seed, "draws of a head"));
        let one = |(k, out): (usize, &mut [f32])| -> Result<()> {
            let columns = k * at_once..(k * at_once + out.len() / (self.outputs * draws));
            let inputs = fitting(columns_of(u, 0..self.inputs, columns.clone()))?;
            let noise = self.noise(columns, draws, |j| keyed(seed, &[j as u64]));
            let drawn = noise.and_then(|noise| self.module.fixed().draw(&inputs, &noise));
            fitting(drawn.and_then(|drawn| read(&drawn, |drawn| out.copy_from_slice(drawn))))
        };
        let pieces = out.as_mut_slice().par_chunks_mut(at_once * draws * self.outputs);
        pieces.enumerate().map(one).collect::<Result<Vec<()>>>()?;
        Ok(out)
    }
    /// Noise for some samples, each from a stream of its own.
    pub(crate) fn noise<R: Rng>(
        &self,
        samples: Range<usize>,
        draws: usize,
        stream: impl Fn(usize) -> R,
    ) -> candle_core::Result<Tensor> {
        let (n, each) = (samples.len(), draws * self.head.noise);
        let mut values = Vec::with_capacity(n * each);
        samples.for_each(|j| add_noise(&mut stream(j), each, &mut values));
        Tensor::from_vec(values, (n, draws, self.head.noise), &Device::Cpu)
    }
    pub(crate) fn module(&self) -> &Owned<Headed> {
        &self.module
    }
    /// The parameters.
    pub fn params(&self) -> &Params {
        self.module.params()
    }
    /// The one way in: what `f` makes of the parameters.
    ///
    /// # Panics
    /// If `f` makes parameters of other shapes.
    pub fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.module.update(f);
    }
    /// What parameters do not tell of it.
    pub fn architecture(&self) -> String {
        format!("{} inputs, {} outputs, {}", self.inputs, self.outputs, self.architecture)
    }
}

/// Some rows of some columns, samples × rows.
pub(crate) fn columns_of(x: MatRef<'_>, rows: Range<usize>, columns: Range<usize>) -> candle_core::Result<Tensor> {
    let shape = (columns.len(), rows.len());
    let values: Vec<f32> = columns.flat_map(|j| col(&x, j)[rows.clone()].iter().copied()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}
