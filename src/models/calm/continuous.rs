//! A transformer that predicts the next few tokens at once, as one vector: CALM.

use super::head::{EnergyHead, HeadSettings, add_noise};
use super::layers::{Backbone, Transformer, plain_norm};
use super::tokens::{check_known, check_tokens, tokens_of};
use super::writer::{Contexts, Writer, last_of};
use super::{Autoencoder, AutoencoderSettings};
use crate::models::neural::Activation::Silu;
use crate::models::neural::candle::{Linear, Norm, Owned, activate, fitting, read};
use crate::{ChainRng, Mat, MatRef, Params, Result};
use candle_core::{Device, Result as Candle, Tensor};
use candle_nn::{Embedding, Init, Module, VarBuilder};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::ops::Range;

/// Contexts that pass at once.
const AT_ONCE: usize = 2;

/// The tokens of a patch become a position; at each, an [`EnergyHead`] draws the vector of the next patch, which an [`Autoencoder`] decodes.
/// No likelihood is known; [`crate::objectives::ScoredDraws`] learns it. A sample is a window of one patch more than positions.
///
/// The autoencoder stays as it is: its parameters are not among those of the model. Patches enter by their tokens, not by their vectors,
/// which is better (Shao et al. 2025).
#[derive(Debug)]
pub struct ContinuousLanguageModel {
    module: Owned<Drawing>,
    autoencoder: Autoencoder,
    transformer: Transformer,
    head: HeadSettings,
}
pub(crate) struct Drawing {
    patch: usize,
    embedding: Embedding,
    joint: [Linear; 2],
    norm: Norm,
    backbone: Backbone,
    head: EnergyHead,
}
impl Drawing {
    fn new(variables: VarBuilder<'_>, coder: AutoencoderSettings, t: Transformer, head: HeadSettings) -> Candle<Self> {
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let embedding = variables.get_with_hints((coder.tokens, t.width), "embedding", normal)?;
        let linear = |name: &str, from: usize, to: usize, gain: f64| Linear::new(variables.pp(name), from, to, gain);
        Ok(Self {
            patch: coder.patch,
            embedding: Embedding::new(embedding, t.width),
            joint: [
                linear("joint", coder.patch * t.width, 2 * t.width, 1.0)?,
                linear("input", 2 * t.width, t.width, 2.0)?,
            ],
            norm: plain_norm(variables.pp("norm"), t.width)?,
            backbone: Backbone::new(variables.pp("backbone"), t)?,
            head: EnergyHead::new(variables.pp("head"), t.width, coder.latent, head)?,
        })
    }
    /// What is seen at every position of `tokens` (samples × (positions · K)): samples × positions × width.
    fn contexts(&self, tokens: &Tensor) -> Candle<Tensor> {
        let (n, positions) = (tokens.dim(0)?, tokens.dim(1)? / self.patch);
        let embedded = self.embedding.forward(tokens)?.reshape((n * positions, ()))?;
        let input = self.joint[1].of(&activate(&self.joint[0].of(&embedded)?, Silu)?)?;
        self.backbone.of(&self.norm.of(&input)?.reshape((n, positions, ()))?)
    }
    /// Draws of the vector after every position, from noise (positions of all samples × draws × numbers).
    pub(crate) fn draws(&self, tokens: &Tensor, noise: &Tensor) -> Candle<Tensor> {
        self.head.draw(&self.contexts(tokens)?.flatten_to(1)?, noise)
    }
    /// Draws of the vector after the last position.
    fn last_draws(&self, tokens: &Tensor, noise: &Tensor) -> Candle<Tensor> {
        let contexts = self.contexts(tokens)?;
        self.head.draw(&contexts.narrow(1, contexts.dim(1)? - 1, 1)?.squeeze(1)?, noise)
    }
}

impl ContinuousLanguageModel {
    /// On the vectors of an autoencoder; all parameters zero.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if there are no positions or gated units, heads do not fit the width, or the head has no
    /// noise or no units.
    pub fn new(autoencoder: Autoencoder, transformer: Transformer, head: HeadSettings) -> Result<Self> {
        let coder = autoencoder.settings();
        let module = Owned::build(&[], |variables| Drawing::new(variables, coder, transformer, head))?;
        Ok(Self { module, autoencoder, transformer, head })
    }
    /// Draws all parameters from `seed`, but for the last layer of the head, which is zero.
    pub fn initialise(&mut self, seed: u64) {
        self.module.draw(seed);
    }
    /// Multiplications of a patch forwards, with so many draws of the head; without the autoencoder, which encodes what is to be drawn while
    /// it learns, and decodes what is.
    pub fn multiplications(&self, draws: usize) -> f64 {
        let (width, coder, h) = (self.transformer.width, self.autoencoder.settings(), self.head);
        let input = (coder.patch + 1) * 2 * width * width;
        let once = width * h.width + h.blocks * h.width * h.width;
        let each = h.noise * h.width + h.blocks * 5 * h.width * h.width + h.width * h.width + h.width * coder.latent;
        self.transformer.multiplications() + (input + once + draws * each) as f64
    }
    /// What makes vectors of patches, and patches of vectors.
    pub fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }
    /// How the transformer is built.
    pub fn transformer(&self) -> Transformer {
        self.transformer
    }
    /// `n` draws of the patch that follows a context, K tokens each, one after the other.
    ///
    /// # Errors
    /// Those of [`Writer::next`].
    pub fn candidates(&self, context: &[u32], n: usize, rng: &mut ChainRng) -> Result<Vec<u32>> {
        let length = last_of(&[context], std::slice::from_ref(rng), self)?;
        check_known(context, self.autoencoder.settings().tokens)?;
        self.patches(&[&context[context.len() - length..]], n, std::slice::from_mut(rng))
    }
    /// `n` patches after each context, all of one length.
    fn patches(&self, contexts: &[&[u32]], n: usize, streams: &mut [ChainRng]) -> Result<Vec<u32>> {
        let coder = self.autoencoder.settings();
        let mut z = Mat::zeros(coder.latent, contexts.len() * n);
        let length = contexts.first().map_or(0, |c| c.len());
        let pieces = contexts.par_chunks(AT_ONCE).zip(streams.par_chunks_mut(AT_ONCE));
        let outs = z.as_mut_slice().par_chunks_mut((AT_ONCE * n * coder.latent).max(1));
        let one = |((contexts, streams), z): (Contexts<'_>, &mut [f32])| -> Candle<()> {
            let tokens: Vec<u32> = contexts.iter().flat_map(|c| c.iter().copied()).collect();
            let tokens = Tensor::from_vec(tokens, (contexts.len(), length), &Device::Cpu)?;
            let mut noise = vec![];
            streams.iter_mut().for_each(|rng| add_noise(rng, n * self.head.noise, &mut noise));
            let noise = Tensor::from_vec(noise, (contexts.len(), n, self.head.noise), &Device::Cpu)?;
            let draws = self.module.fixed().last_draws(&tokens, &noise)?;
            read(&draws, |from| z.copy_from_slice(from))
        };
        fitting(pieces.zip(outs).map(one).collect::<Candle<Vec<()>>>())?;
        self.autoencoder.decode(z.as_view())
    }
    /// Tokens of a window.
    pub fn n_rows(&self) -> usize {
        (self.transformer.length + 1) * self.autoencoder.settings().patch
    }
    /// Whether samples are windows.
    pub(crate) fn check(&self, x: MatRef<'_>) -> Result<()> {
        check_tokens(x, self.n_rows(), self.autoencoder.settings().tokens)
    }
    pub(crate) fn module(&self) -> &Owned<Drawing> {
        &self.module
    }
    /// Tokens that are seen of some windows; noise for the draws at each position; `targets` draws of the vectors of the patches that
    /// follow. All random numbers of a window are from a stream of its own.
    pub(crate) fn prepare<R: Rng>(
        &self,
        x: MatRef<'_>,
        windows: Range<usize>,
        [draws, targets]: [usize; 2],
        stream: impl Fn(usize) -> R,
    ) -> Candle<[Tensor; 3]> {
        let (coder, positions, n) = (self.autoencoder.settings(), self.transformer.length, windows.len());
        let seen = tokens_of(x, 0..positions * coder.patch, windows.clone())?;
        let next = tokens_of(x, coder.patch..self.n_rows(), windows.clone())?.reshape((n * positions, coder.patch))?;
        let [mean, log_deviation] = self.autoencoder.module().fixed().encode(&next)?;
        let (mut noise, mut blur) = (vec![], Vec::with_capacity(n * positions * targets * coder.latent));
        for j in windows {
            let mut rng = stream(j);
            add_noise(&mut rng, positions * draws * self.head.noise, &mut noise);
            blur.extend((0..positions * targets * coder.latent).map(|_| -> f32 { StandardNormal.sample(&mut rng) }));
        }
        let noise = Tensor::from_vec(noise, (n * positions, draws, self.head.noise), &Device::Cpu)?;
        let blur = Tensor::from_vec(blur, (n * positions, targets, coder.latent), &Device::Cpu)?;
        let targets = blur.broadcast_mul(&log_deviation.exp()?.unsqueeze(1)?)?.broadcast_add(&mean.unsqueeze(1)?)?;
        Ok([seen, noise, targets])
    }
    /// The parameters, without those of the autoencoder.
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
    /// What parameters do not tell of it, the autoencoder's own among it.
    pub fn architecture(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        self.autoencoder.params().as_slice().iter().for_each(|v| crc.update(&v.to_le_bytes()));
        let own = format!("{:?}, {:?}", self.transformer, self.head);
        format!("{own}, on {} with parameters {:08x}", self.autoencoder.architecture(), crc.finalize())
    }
}

impl Writer for ContinuousLanguageModel {
    fn step(&self) -> usize {
        self.autoencoder.settings().patch
    }
    fn longest(&self) -> usize {
        self.transformer.length * self.step()
    }
    fn next(&self, contexts: &[&[u32]], streams: &mut [ChainRng]) -> Result<Vec<u32>> {
        let length = last_of(contexts, streams, self)?;
        contexts.iter().try_for_each(|c| check_known(c, self.autoencoder.settings().tokens))?;
        let seen: Vec<&[u32]> = contexts.iter().map(|c| &c[c.len() - length..]).collect();
        self.patches(&seen, 1, streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;
    use rand::RngExt;

    const CODER: AutoencoderSettings = AutoencoderSettings { tokens: 7, patch: 3, width: 8, inner: 6, latent: 4 };
    const TRANSFORMER: Transformer = Transformer { layers: 2, width: 8, heads: 2, inner: 6, length: 5 };

    fn model() -> ContinuousLanguageModel {
        let mut coder = Autoencoder::new(CODER).unwrap();
        coder.initialise(1);
        let head = HeadSettings { noise: 3, width: 6, blocks: 1 };
        let mut model = ContinuousLanguageModel::new(coder, TRANSFORMER, head).unwrap();
        model.initialise(2);
        let mut rng = ChainRng::new(3);
        let mut stir = |v: &mut f32| *v += rng.random_range(-0.5f32..0.5);
        model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(&mut stir));
        model
    }
    fn windows() -> Mat {
        let mut rng = ChainRng::new(4);
        Mat::from_fn(18, 3, |_, _| rng.random_range(0..7u32) as f32)
    }
    fn numbers(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// What learns sees at a position what writes sees after a text that ends there: all of that, and no more.
    #[test]
    fn what_learns_sees_what_writes_sees() {
        let (model, x) = (model(), windows());
        let [seen, noise, _] = model.prepare(x.as_view(), 0..3, [2, 1], |j| keyed(5, &[j as u64])).unwrap();
        let net = model.module.fixed();
        let draws = net.draws(&seen, &noise).unwrap().reshape((3, 5, 8)).unwrap();
        let noise = noise.reshape((3, 5, 2, 3)).unwrap();
        for p in 0..5 {
            let text = seen.narrow(1, 0, 3 * (p + 1)).unwrap();
            let own = noise.narrow(1, p, 1).unwrap().squeeze(1).unwrap();
            let written = numbers(&net.last_draws(&text, &own).unwrap());
            for (a, b) in numbers(&draws.narrow(1, p, 1).unwrap()).iter().zip(&written) {
                assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "position {p}: {a}, {b}");
            }
        }
    }
    /// What is to be drawn at a position is the vector of the patch after it, with the spread that it has there.
    #[test]
    fn targets_are_vectors_of_the_patch_that_follows() {
        const N: usize = 20_000;
        let (model, x) = (model(), windows());
        let [_, _, targets] = model.prepare(x.as_view(), 1..3, [2, N], |j| keyed(5, &[j as u64])).unwrap();
        let (targets, mut checked) = (numbers(&targets), 0);
        for (j, of_window) in targets.chunks(5 * N * 4).enumerate() {
            let window: Vec<u32> = x.column(1 + j).iter().map(|t| *t as u32).collect();
            let [means, deviations] = model.autoencoder.encode(&window[3..]).unwrap();
            for (p, of_position) in of_window.chunks(N * 4).enumerate() {
                for i in 0..4 {
                    let (mean, deviation) = (f64::from(means[(i, p)]), f64::from(deviations[(i, p)]));
                    let z = of_position.iter().skip(i).step_by(4).map(|v| (f64::from(*v) - mean) / deviation);
                    let [sum, squares] = z.fold([0.0, 0.0], |[s, q], z| [s + z, q + z * z]);
                    // 80 numbers, and their squares, whose standard errors are 1 and √2 over √N.
                    let n = N as f64;
                    assert!(sum.abs() < 4.5 * n.sqrt(), "window {j}, position {p}, number {i}: {}", sum / n);
                    assert!((squares - n).abs() < 4.5 * (2.0 * n).sqrt(), "{j}, {p}, {i}: {}", squares / n);
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 40);
    }
}
