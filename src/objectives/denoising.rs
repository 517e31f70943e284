//! Denoising score matching: at a sample with noise of known size added, the slope of the noisy data's density is known on average, and
//! the energy's slope is fitted to it.
//!
//! ```text
//! x̃ = x + σz,  z ~ N(0, 1)        ½⟨λ(σ) ‖∇E(x̃) - z/σ‖²⟩        ∇E*(x̃) = ⟨x̃ - x | x̃⟩ / σ²
//! ```
//!
//! What is learned is the energy of the data with that noise, whose minimum of slope says where the sample came from: it denoises. With one
//! level of noise it is one energy; with levels from large to small, an energy given the level, from whose largest to whose smallest noise
//! samples can be led ([`crate::samplers`]). No second derivative is needed, and the gradient is that of a slope along a direction.
//!
//! ## References
//! - Vincent, "A connection between score matching and denoising autoencoders", 2011.
//! - Song and Ermon, "Generative modeling by estimating gradients of the data distribution", 2019.
//! - Karras, Aittala, Aila and Laine, "Elucidating the design space of diffusion-based generative models", 2022: log-normal levels, and the
//!   weighting by which all count alike.

use super::batch::shares;
use super::score_matching::{check, noise_to};
use super::{Objective, Report};
use crate::linalg::{col, dot};
use crate::rng::derive;
use crate::samplers::Chains;
use crate::{Batch, Directional, Error, Mat, MatMut, MatRef, Params, Result, Resume, Saved};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// How much noise samples get, the standard deviation σ of each unit.
#[derive(Clone, Debug, PartialEq)]
pub enum NoiseLevels {
    /// The same for all; the model does not know it.
    One(f32),
    /// One of these, all equally likely; the model is given it as its first row.
    Several(Vec<f32>),
    /// `log σ` is normal; the model is given σ as its first row.
    LogNormal {
        /// Mean of `log σ`.
        mean: f32,
        /// Standard deviation of `log σ`.
        deviation: f32,
    },
}
impl NoiseLevels {
    /// So many levels from `largest` to `smallest`, each by the same factor below the one before (Song and Ermon 2019).
    pub fn geometric(largest: f32, smallest: f32, levels: usize) -> Vec<f32> {
        let share = |k: usize| if levels < 2 { 0.0 } else { k as f32 / (levels - 1) as f32 };
        (0..levels).map(|k| largest * (smallest / largest).powf(share(k))).collect()
    }
    fn check(&self) -> Result<()> {
        let positive = |s: &f32| s.is_finite() && *s > 0.0;
        let fine = match self {
            Self::One(sigma) => positive(sigma),
            Self::Several(all) => !all.is_empty() && all.iter().all(positive),
            Self::LogNormal { mean, deviation } => mean.is_finite() && deviation.is_finite() && *deviation >= 0.0,
        };
        match fine {
            true => Ok(()),
            false => Err(Error::value("noise of denoising score matching", "numbers above 0", format!("{self:?}"))),
        }
    }
    fn is_given(&self) -> bool {
        !matches!(self, Self::One(_))
    }
    fn draw(&self, rng: &mut crate::ChainRng) -> f32 {
        match self {
            Self::One(sigma) => *sigma,
            Self::Several(all) => all[rng.random_range(0..all.len())],
            Self::LogNormal { mean, deviation } => {
                let z: f32 = StandardNormal.sample(rng);
                (mean + deviation * z).exp()
            }
        }
    }
}

/// `∇ ½⟨λ(σ) ‖∇E(x̃) - z/σ‖²⟩`. Without [`DenoisingScoreMatching::data_deviation`], `λ = σ²`, by which the loss of a model that knows nothing
/// is half the number of units at every level.
///
/// A model that is given the level has it as its first given row: the data have a row of zeros there (they are without noise), which is
/// overwritten.
///
/// ```
/// use harmonium::models::neural::{Activation, NeuralEnergy};
/// use harmonium::objectives::{DenoisingScoreMatching, NoiseLevels, Objective};
/// use harmonium::{Batch, Learn, Mat, units::Gaussian};
/// use std::sync::Arc;
/// let model = NeuralEnergy::new(0, &[(2, Arc::new(Gaussian))], &[(4, Activation::Silu)]);
/// let x = Mat::from_element(2, 5, 1.0);
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
/// let mut objective = DenoisingScoreMatching::new(NoiseLevels::One(0.1), 1)?;
/// objective.gradient(&model, &batch, &mut model.params().zeros_like())?;
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DenoisingScoreMatching {
    levels: NoiseLevels,
    /// The standard deviation `s` of the data's units, if levels are to count alike: `λ = σ² (σ² + s²) / s²`, by which the part of the
    /// noise that can be told has variance one at every level (Karras and others 2022).
    pub data_deviation: Option<f32>,
    noisy: Chains,
    weights: Vec<f32>,
}
impl DenoisingScoreMatching {
    /// With these levels of noise.
    ///
    /// # Errors
    /// [`Error::Value`] if one is not a number above 0, or there are none.
    pub fn new(levels: NoiseLevels, seed: u64) -> Result<Self> {
        levels.check()?;
        let noisy = Chains::new(Mat::zeros(0, 0), derive(seed, "noise of denoising"));
        Ok(Self { levels, data_deviation: None, noisy, weights: vec![] })
    }
    /// The levels of noise.
    pub fn levels(&self) -> &NoiseLevels {
        &self.levels
    }
    fn scale(&self, sigma: f32) -> f32 {
        let plain = sigma * sigma;
        self.data_deviation.map_or(plain, |s| plain * (plain + s * s) / (s * s))
    }
}

impl<M: Directional + ?Sized> Objective<M> for DenoisingScoreMatching {
    /// # Errors
    /// Those of [`super::ScoreMatching`]; [`Error::Value`] if the model has no given row for a level that it must know.
    fn gradient(&mut self, model: &M, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        check(model, batch)?;
        if self.levels.is_given() && model.n_given() == 0 {
            return Err(Error::value(
                "given rows of a model of several levels of noise",
                "at least 1, for the level",
                0,
            ));
        }
        grad.as_mut_slice().fill(0.0);
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            return Ok(Report::default());
        }
        let loss = self.residuals(model, batch.x);
        let (x, residuals) = self.noisy.states.x_and_fields();
        model.grad_slopes(x, residuals, &self.weights, grad);
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
impl DenoisingScoreMatching {
    /// Leaves noisy samples as states, what their slopes are off by as fields, and their weights times λ; gives the loss.
    fn residuals<M: Directional + ?Sized>(&mut self, model: &M, clean: MatRef<'_>) -> f64 {
        let (given, height) = (model.n_given(), clean.nrows());
        let mut noisy = std::mem::replace(&mut self.noisy, Chains::new(Mat::zeros(0, 0), 0));
        noisy.reshape(height, clean.ncols());
        let drawn = noisy.each_at(|columns, slab, rng| {
            let open = slab.open();
            let mut sigmas = Vec::with_capacity(columns.len());
            for (j, n) in columns.clone().enumerate() {
                let (x, noise) = (&mut open.x[j * height..][..height], &mut open.means[j * height..][..height]);
                let sigma = self.levels.draw(rng.column(j));
                sigmas.push(sigma);
                noise_to(noise, given, rng.column(j));
                if self.weights[n] == 0.0 {
                    x.fill(0.0); // absent, whatever it holds
                    continue;
                }
                x.iter_mut().zip(col(&clean, n)).zip(&*noise).for_each(|((x, c), z)| *x = c + sigma * z);
                if self.levels.is_given() {
                    x[0] = sigma;
                }
            }
            let x = MatRef::from_slice(open.x, height, open.columns);
            model.grad_x(x, MatMut::from_slice(open.fields, height, open.columns));
            let mut losses = Vec::with_capacity(columns.len());
            for (j, sigma) in sigmas.iter().enumerate() {
                let slope = &mut open.fields[j * height..][..height];
                slope[..given].fill(0.0);
                let noise = &open.means[j * height..][..height];
                slope[given..].iter_mut().zip(&noise[given..]).for_each(|(s, z)| *s -= z / sigma);
                losses.push((self.scale(*sigma), 0.5 * dot(slope, slope)));
            }
            losses
        });
        self.noisy = noisy;
        let mut loss = 0.0;
        for (w, (scale, l)) in self.weights.iter_mut().zip(drawn.concat()) {
            *w *= scale;
            loss += f64::from(*w) * l;
        }
        loss
    }
}
/// The streams of the noise.
impl Resume for DenoisingScoreMatching {
    fn save(&self, to: &mut Saved) {
        self.noisy.streams().save(to.child_mut("noise"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.noisy.streams_mut().load(from.child("noise")?)
    }
}
