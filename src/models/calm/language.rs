//! A transformer that predicts the next token by a softmax: what a continuous model is compared with.

use super::layers::{Backbone, Transformer};
use super::tokens::{check_known, check_tokens, tokens_of};
use super::writer::{Contexts, Writer, last_of};
use crate::models::neural::candle::{Linear, Owned, fitting, read};
use crate::{ChainRng, Error, Mat, MatRef, Params, Result, linalg};
use candle_core::{D, Device, Result as Candle, Tensor, bail};
use candle_nn::{Embedding, Init, Module, VarBuilder};
use rand::RngExt;
use rayon::prelude::*;

/// Contexts that pass at once.
const AT_ONCE: usize = 1;

/// `p(next | tokens so far) = softmax`, by a [`Transformer`]. A sample is a window of one token more than positions.
/// [`crate::objectives::NextToken`] learns it.
///
/// ```
/// use harmonium::ChainRng;
/// use harmonium::models::calm::{LanguageModel, Transformer, Writer};
/// let transformer = Transformer { layers: 1, width: 16, heads: 2, inner: 32, length: 8 };
/// let mut model = LanguageModel::new(20, transformer)?;
/// model.initialise(1);
/// let text = model.write(&[1, 2, 3], 5, &mut ChainRng::new(1))?;
/// assert_eq!(text.len(), 5);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug)]
pub struct LanguageModel {
    module: Owned<Predicting>,
    tokens: usize,
    transformer: Transformer,
    /// Draws have the probabilities `pⁿ/Σpⁿ`: a temperature of `1/n`, `n` at least 0. 1 at first.
    pub sharpness: f32,
}
pub(crate) struct Predicting {
    embedding: Embedding,
    backbone: Backbone,
    last: Linear,
}
impl Predicting {
    fn new(variables: VarBuilder<'_>, tokens: usize, t: Transformer) -> Candle<Self> {
        if tokens == 0 {
            bail!("a model of language has tokens");
        }
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let embedding = Embedding::new(variables.get_with_hints((tokens, t.width), "embedding", normal)?, t.width);
        let backbone = Backbone::new(variables.pp("backbone"), t)?;
        Ok(Self { embedding, backbone, last: Linear::new(variables.pp("last"), t.width, tokens, 1.0)? })
    }
    /// Logits after every position of `tokens` (samples × positions): samples × positions × tokens.
    pub(crate) fn logits(&self, tokens: &Tensor) -> Candle<Tensor> {
        self.last.of(&self.backbone.of(&self.embedding.forward(tokens)?)?)
    }
    /// Those after the last position, samples × tokens.
    fn last_logits(&self, tokens: &Tensor) -> Candle<Tensor> {
        let seen = self.backbone.of(&self.embedding.forward(tokens)?)?;
        self.last.of(&seen.narrow(1, tokens.dim(1)? - 1, 1)?.squeeze(1)?)
    }
}

impl LanguageModel {
    /// Of so many different tokens; all parameters zero.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no tokens, positions or gated units, or heads do not fit the width.
    pub fn new(tokens: usize, transformer: Transformer) -> Result<Self> {
        let module = Owned::build(&[], |variables| Predicting::new(variables, tokens, transformer))?;
        Ok(Self { module, tokens, transformer, sharpness: 1.0 })
    }
    /// Draws all parameters from `seed`.
    pub fn initialise(&mut self, seed: u64) {
        self.module.draw(seed);
    }
    /// `log p(next | tokens so far)` after every position of windows (one row more than there are positions; at most those of the transformer),
    /// in nats: positions × windows.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no positions or too many, or a number is no token.
    pub fn log_probabilities(&self, x: MatRef<'_>) -> Result<Mat> {
        let positions = x.nrows().saturating_sub(1);
        if !(1..=self.transformer.length).contains(&positions) {
            let expected = format!("2..={}", self.transformer.length + 1);
            return Err(Error::value("tokens of a window", expected, x.nrows()));
        }
        check_tokens(x, x.nrows(), self.tokens)?;
        let mut out = Mat::zeros(positions, x.ncols());
        let one = |(k, out): (usize, &mut [f32])| -> Candle<()> {
            let windows = k * AT_ONCE..k * AT_ONCE + out.len() / positions;
            let logits = self.module.fixed().logits(&tokens_of(x, 0..positions, windows.clone())?)?.flatten_to(1)?;
            let next = tokens_of(x, 1..positions + 1, windows)?.flatten_all()?.unsqueeze(1)?;
            let log_p = candle_nn::ops::log_softmax(&logits, D::Minus1)?.gather(&next, 1)?;
            read(&log_p, |log_p| out.copy_from_slice(log_p))
        };
        let pieces = out.as_mut_slice().par_chunks_mut(AT_ONCE * positions);
        fitting(pieces.enumerate().map(one).collect::<Candle<Vec<()>>>())?;
        Ok(out)
    }
    /// Multiplications of a token forwards: those of the transformer, and of the logits.
    pub fn multiplications(&self) -> f64 {
        self.transformer.multiplications() + (self.transformer.width * self.tokens) as f64
    }
    /// How it is built.
    pub fn transformer(&self) -> Transformer {
        self.transformer
    }
    /// Whether samples are windows.
    pub(crate) fn check(&self, x: MatRef<'_>) -> Result<()> {
        check_tokens(x, self.transformer.length + 1, self.tokens)
    }
    pub(crate) fn module(&self) -> &Owned<Predicting> {
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
        format!("{} tokens, {:?}", self.tokens, self.transformer)
    }
}

impl Writer for LanguageModel {
    fn step(&self) -> usize {
        1
    }
    fn longest(&self) -> usize {
        self.transformer.length
    }
    /// # Errors
    /// Also [`Error::Value`] if the sharpness is negative, or something is not finite: it or a logit.
    fn next(&self, contexts: &[&[u32]], streams: &mut [ChainRng]) -> Result<Vec<u32>> {
        if !(self.sharpness >= 0.0 && self.sharpness.is_finite()) {
            return Err(Error::value("the sharpness of a model of language", "at least 0", self.sharpness));
        }
        let length = last_of(contexts, streams, self)?;
        contexts.iter().try_for_each(|c| check_known(c, self.tokens))?;
        let mut out = vec![0; contexts.len()];
        let pieces = contexts.par_chunks(AT_ONCE).zip(streams.par_chunks_mut(AT_ONCE)).zip(out.par_chunks_mut(AT_ONCE));
        let one = |((contexts, streams), out): (Contexts<'_>, &mut [u32])| -> Candle<()> {
            let tokens: Vec<u32> = contexts.iter().flat_map(|c| &c[c.len() - length..]).copied().collect();
            let tokens = Tensor::from_vec(tokens, (contexts.len(), length), &Device::Cpu)?;
            let logits = read(&self.module.fixed().last_logits(&tokens)?, <[f32]>::to_vec)?;
            for ((logits, rng), out) in logits.chunks_exact(self.tokens).zip(streams).zip(out) {
                if let Some(wrong) = logits.iter().find(|v| !v.is_finite()) {
                    bail!("a logit of the next token is {wrong}");
                }
                let mut p = logits.to_vec();
                linalg::softmax(self.sharpness, &mut p);
                *out = drawn(&p, rng.random()) as u32;
            }
            Ok(())
        };
        fitting(pieces.map(one).collect::<Candle<Vec<()>>>())?;
        Ok(out)
    }
}
/// The place in `p` that a uniform number falls on.
fn drawn(p: &[f32], at: f32) -> usize {
    let mut left = at * p.iter().sum::<f32>();
    let found = p.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    // Rounding may leave a rest.
    found.unwrap_or_else(|| p.iter().rposition(|p| *p > 0.0).unwrap_or(0))
}
