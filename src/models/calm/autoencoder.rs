//! An autoencoder of a few tokens at once: a vector from which all of them come back, whatever noise is in it.
//!
//! A variational one whose vectors need not look like a Gaussian: the divergence from it counts little, and not at all below a floor, so that
//! each number of the vector carries something. Tokens and numbers are dropped while it learns. What is left is a smooth space: near a
//! vector lies what decodes to the same tokens.
//!
//! ## References
//! - Kingma and Welling, "Auto-encoding variational Bayes", 2014.
//! - Kingma and others, "Improved variational inference with inverse autoregressive flow", 2016 (the floor).
//! - Shao, Li, Meng and Zhou, "Continuous autoregressive language models", 2025.

use super::layers::{GatedLayer, norm};
use super::tokens::{check_known, check_tokens};
use crate::models::neural::candle::{Linear, Norm, Owned, fitting, read};
use crate::rng::keyed;
use crate::{Error, Mat, MatMut, MatRef, Params, Result};
use candle_core::{D, Device, Result as Candle, Tensor, bail};
use candle_nn::{Embedding, Init, Module, VarBuilder};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Patches that pass at once.
const AT_ONCE: usize = 128;
/// Largest `log σ` either way: what is beyond is held there, and learns nothing.
const WIDEST: f64 = 8.0;

/// How an autoencoder is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoencoderSettings {
    /// Different tokens.
    pub tokens: usize,
    /// Tokens of a patch, `K`.
    pub patch: usize,
    /// Numbers of a token's embedding, and of all layers.
    pub width: usize,
    /// Units of gated parts.
    pub inner: usize,
    /// Numbers of a vector.
    pub latent: usize,
}

/// Patches of `K` tokens as vectors, and back. A sample is the tokens of a patch. [`crate::objectives::PatchReconstruction`] learns it.
///
/// Two gated layers in each direction: one for every token, one for the patch (Shao et al. 2025). Logits are by a layer of their own;
/// those of the publication are by the embeddings of tokens.
///
/// ```
/// use harmonium::models::calm::{Autoencoder, AutoencoderSettings};
/// let settings = AutoencoderSettings { tokens: 20, patch: 4, width: 16, inner: 32, latent: 8 };
/// let mut autoencoder = Autoencoder::new(settings)?;
/// autoencoder.initialise(1);
/// let [means, deviations] = autoencoder.encode(&[1, 2, 3, 4, 5, 6, 7, 8])?; // two patches
/// assert_eq!((means.shape(), deviations.shape()), ((8, 2), (8, 2)));
/// assert_eq!(autoencoder.decode(means.as_view())?.len(), 8);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug)]
pub struct Autoencoder {
    module: Owned<Coder>,
    settings: AutoencoderSettings,
}
/// Both directions.
pub(crate) struct Coder {
    settings: AutoencoderSettings,
    embedding: Embedding,
    each: [GatedLayer; 2], // of every token: up, down
    joint: [Linear; 2],
    all: [GatedLayer; 2], // of the patch: up, down
    norms: [Norm; 2],
    posterior: Linear,
    first: Linear,
    last: Linear,
}
impl Coder {
    fn new(variables: VarBuilder<'_>, settings: AutoencoderSettings) -> Candle<Self> {
        let AutoencoderSettings { tokens, patch, width, inner, latent } = settings;
        if [tokens, patch, width, inner, latent].contains(&0) {
            bail!("an autoencoder has tokens, units and numbers: {settings:?}");
        }
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let embedding = variables.get_with_hints((tokens, width), "embedding", normal)?;
        let gated = |name: &str| GatedLayer::new(variables.pp(name), width, inner, 2);
        let linear = |name: &str, from: usize, to: usize| Linear::new(variables.pp(name), from, to, 1.0);
        Ok(Self {
            settings,
            embedding: Embedding::new(embedding, width),
            each: [gated("encoder.each")?, gated("decoder.each")?],
            joint: [linear("encoder.joint", patch * width, width)?, linear("decoder.joint", width, patch * width)?],
            all: [gated("encoder.all")?, gated("decoder.all")?],
            norms: [norm(variables.pp("encoder.norm"), width)?, norm(variables.pp("decoder.norm"), width)?],
            posterior: linear("posterior", width, 2 * latent)?,
            first: linear("decoder.first", latent, width)?,
            last: linear("decoder.last", width, tokens)?,
        })
    }
    /// Means and `log σ` of patches (samples × K tokens), samples × numbers each.
    pub(crate) fn encode(&self, tokens: &Tensor) -> Candle<[Tensor; 2]> {
        let (n, s) = (tokens.dim(0)?, self.settings);
        let each = self.each[0].of(&self.embedding.forward(tokens)?.reshape((n * s.patch, s.width))?)?;
        let joint = self.all[0].of(&self.joint[0].of(&each.reshape((n, s.patch * s.width))?)?)?;
        let both = self.posterior.of(&self.norms[0].of(&joint)?)?;
        let log_deviations = both.narrow(1, s.latent, s.latent)?.clamp(-WIDEST, WIDEST)?;
        Ok([both.narrow(1, 0, s.latent)?, log_deviations])
    }
    /// Logits of vectors (samples × numbers), (samples · K) × tokens.
    pub(crate) fn decode(&self, z: &Tensor) -> Candle<Tensor> {
        let (n, s) = (z.dim(0)?, self.settings);
        let joint = self.joint[1].of(&self.all[1].of(&self.first.of(z)?)?)?;
        let each = self.each[1].of(&joint.reshape((n * s.patch, s.width))?)?;
        self.last.of(&self.norms[1].of(&each)?)
    }
}

impl Autoencoder {
    /// All parameters zero.
    ///
    /// # Errors
    /// [`Error::Value`] if a setting is zero.
    pub fn new(settings: AutoencoderSettings) -> Result<Self> {
        Ok(Self { module: Owned::build(&[], |variables| Coder::new(variables, settings))?, settings })
    }
    /// Draws all parameters from `seed`.
    pub fn initialise(&mut self, seed: u64) {
        self.module.draw(seed);
    }
    /// Multiplications of a patch forwards: to encode it, and to decode it.
    pub fn multiplications(&self) -> [f64; 2] {
        let AutoencoderSettings { tokens, patch, width, inner, latent } = self.settings;
        let layers = (patch + 1) * 3 * width * inner + patch * width * width; // of every token and of the patch
        [layers + 2 * width * latent, layers + width * latent + patch * width * tokens].map(|n| n as f64)
    }
    /// How it is built.
    pub fn settings(&self) -> AutoencoderSettings {
        self.settings
    }
    /// Means and deviations of the vectors of patches, K tokens each, one after the other: numbers × patches each.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not whole patches, [`Error::Value`] if a token is none.
    pub fn encode(&self, tokens: &[u32]) -> Result<[Mat; 2]> {
        let (latent, k) = (self.settings.latent, self.settings.patch);
        if !tokens.len().is_multiple_of(k) {
            return Err(Error::shape("tokens of patches", format!("a multiple of {k}"), tokens.len()));
        }
        check_known(tokens, self.settings.tokens)?;
        let n = tokens.len() / k;
        let mut out = [Mat::zeros(latent, n), Mat::zeros(latent, n)];
        let [means, deviations] = &mut out;
        let chunk = latent * AT_ONCE;
        let pieces = means.as_mut_slice().par_chunks_mut(chunk).zip(deviations.as_mut_slice().par_chunks_mut(chunk));
        let one = |((means, deviations), tokens): ((&mut [f32], &mut [f32]), &[u32])| -> Candle<()> {
            let patches = Tensor::from_slice(tokens, (tokens.len() / k, k), &Device::Cpu)?;
            let [mean, log_deviation] = self.module.fixed().encode(&patches)?;
            read(&mean, |from| means.copy_from_slice(from))?;
            read(&log_deviation.exp()?, |from| deviations.copy_from_slice(from))
        };
        fitting(pieces.zip(tokens.par_chunks(k * AT_ONCE)).map(one).collect::<Candle<Vec<()>>>())?;
        Ok(out)
    }
    /// The most probable tokens of vectors (numbers × patches), K each, one patch after the other.
    ///
    /// # Errors
    /// [`Error::Shape`] if vectors have other rows.
    pub fn decode(&self, z: MatRef<'_>) -> Result<Vec<u32>> {
        let (latent, k) = (self.settings.latent, self.settings.patch);
        if z.nrows() != latent {
            return Err(Error::shape("numbers of a vector", latent, z.nrows()));
        }
        let mut out = vec![0; k * z.ncols()];
        let one = |(from, out): (usize, &mut [u32])| -> Candle<()> {
            let n = out.len() / k;
            let z = z.columns(from * AT_ONCE, n);
            let z: Vec<f32> = z.column_iter().flat_map(|c| c.iter().copied().collect::<Vec<_>>()).collect();
            let logits = self.module.fixed().decode(&Tensor::from_vec(z, (n, latent), &Device::Cpu)?)?;
            out.copy_from_slice(&logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
            Ok(())
        };
        fitting(out.par_chunks_mut(k * AT_ONCE).enumerate().map(one).collect::<Candle<Vec<()>>>())?;
        Ok(out)
    }
    /// The share of tokens that come back from the means of their patches with Gaussian noise of this deviation added.
    ///
    /// # Errors
    /// Those of [`Autoencoder::encode`]; [`Error::Value`] if there are no tokens.
    pub fn accuracy(&self, tokens: &[u32], deviation: f32, seed: u64) -> Result<f64> {
        if tokens.is_empty() {
            return Err(Error::value("tokens that an autoencoder is tried on", "at least 1", 0));
        }
        let [mut z, _] = self.encode(tokens)?;
        blur(z.as_view_mut(), deviation, seed);
        let back = self.decode(z.as_view())?;
        Ok(back.iter().zip(tokens).filter(|(a, b)| a == b).count() as f64 / tokens.len() as f64)
    }
    /// Whether samples are patches.
    pub(crate) fn check(&self, x: MatRef<'_>) -> Result<()> {
        check_tokens(x, self.settings.patch, self.settings.tokens)
    }
    pub(crate) fn module(&self) -> &Owned<Coder> {
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
        format!("{:?}", self.settings)
    }
}

/// Adds Gaussian noise, each column's from a stream of its own.
fn blur(mut z: MatMut<'_>, deviation: f32, seed: u64) {
    for (j, mut column) in z.column_iter_mut().enumerate() {
        let mut rng = keyed(seed, &[j as u64]);
        column.iter_mut().for_each(|v| {
            let e: f32 = StandardNormal.sample(&mut rng);
            *v += deviation * e;
        });
    }
}
