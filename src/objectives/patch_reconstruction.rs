//! Learning to give patches of tokens back: the loss of a variational autoencoder, with a floor.

use super::batch::{check_weights, refuse_missing, shares, without_absent};
use super::next_token::surprises;
use super::{Objective, Report};
use crate::models::calm::{Autoencoder, tokens_of};
use crate::rng::{derive, keyed};
use crate::{Batch, Error, MatRef, Params, Result, Resume, Saved};
use candle_core::{Device, Result as Candle, Tensor};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// Patches that pass at once.
const AT_ONCE: usize = 128;

/// `∇ (-Σ log p(token | z) + β Σ max(KL, floor))`, averaged over the batch of patches: `z` drawn from the posterior of the patch, the
/// divergence of each of its numbers from a standard Gaussian, `½(μ² + σ² - 1 - log σ²)`. The loss it reports is that average, in nats a patch.
///
/// Tokens are taken for token 0 before they enter, and numbers of the vector for 0, at random. Random numbers depend on the seed, the update
/// and the sample alone.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchReconstruction {
    /// What a nat of divergence counts, `β`.
    pub divergence: f64,
    /// Below so many nats a number, divergence costs nothing to have and gains nothing to lose.
    pub floor: f64,
    /// Share of tokens that are left out.
    pub drop_tokens: f64,
    /// Share of numbers that are left out; the others are larger by as much.
    pub drop_numbers: f64,
    seed: u64,
    weights: Vec<f32>,
}
impl PatchReconstruction {
    /// As in the publication: `β = 0.001`, a floor of 0.5 nats, 15 % of tokens and of numbers left out.
    pub fn new(seed: u64) -> Self {
        let seed = derive(seed, "reconstruction of patches");
        Self { divergence: 1e-3, floor: 0.5, drop_tokens: 0.15, drop_numbers: 0.15, seed, weights: vec![] }
    }
    fn check(&self) -> Result<()> {
        let shares = [self.drop_tokens, self.drop_numbers];
        if let Some(s) = shares.iter().find(|s| !(0.0..1.0).contains(*s)) {
            return Err(Error::value("the share that is left out", "0 and more, below 1", s));
        }
        match [self.divergence, self.floor].iter().find(|v| !v.is_finite() || **v < 0.0) {
            Some(v) => Err(Error::value("the weight of divergence, or its floor", "at least 0", v)),
            None => Ok(()),
        }
    }
    /// Tokens that enter; what is added to means, in deviations; and by how much numbers are multiplied.
    fn noise(&self, x: MatRef<'_>, samples: Range<usize>, latent: usize, step: u64) -> Candle<[Tensor; 3]> {
        let (n, k) = (samples.len(), x.nrows());
        let (mut tokens, mut blur, mut kept) = (vec![], vec![], vec![]);
        for j in samples {
            let mut rng = keyed(self.seed, &[step, j as u64]);
            tokens.extend(x.column(j).iter().map(|t| if rng.random_bool(self.drop_tokens) { 0 } else { *t as u32 }));
            blur.extend((0..latent).map(|_| -> f32 { StandardNormal.sample(&mut rng) }));
            let scale = (1.0 / (1.0 - self.drop_numbers)) as f32;
            kept.extend((0..latent).map(|_| if rng.random_bool(self.drop_numbers) { 0.0 } else { scale }));
        }
        Ok([
            Tensor::from_vec(tokens, (n, k), &Device::Cpu)?,
            Tensor::from_vec(blur, (n, latent), &Device::Cpu)?,
            Tensor::from_vec(kept, (n, latent), &Device::Cpu)?,
        ])
    }
}

impl Objective<Autoencoder> for PatchReconstruction {
    /// # Errors
    /// [`Error::Shape`] if samples are not patches of the model; [`Error::Value`] if a number is no token, entries are missing, settings are
    /// outside their range, or candle cannot do it.
    fn gradient(&mut self, model: &Autoencoder, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.check()?;
        check_weights(batch)?;
        refuse_missing(batch, "missing tokens", "none")?;
        if shares(batch.weights, &mut self.weights) <= 0.0 {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default());
        }
        let clean = without_absent(batch.x, &self.weights);
        let x = clean.as_ref().map_or(batch.x, |x| x.as_view());
        model.check(x)?;
        let (k, latent) = (x.nrows(), model.settings().latent);
        let loss = model.module().gradient(
            x.ncols(),
            AT_ONCE,
            |net, samples| {
                let n = samples.len();
                let [entering, blur, kept] = self.noise(x, samples.clone(), latent, batch.step)?;
                let [mean, log_deviation] = net.encode(&entering)?;
                let z = ((&mean + (log_deviation.exp()? * blur)?)? * kept)?;
                let whole = tokens_of(x, 0..k, samples.clone())?.flatten_all()?;
                let surprise = surprises(&net.decode(&z)?, &whole)?.reshape((n, k))?.sum(1)?;
                let divergence = ((mean.sqr()? + (&log_deviation * 2.0)?.exp()?)? - (log_deviation * 2.0)?)?;
                let divergence = divergence.affine(0.5, -0.5)?.maximum(self.floor)?.sum(1)?;
                let weights = Tensor::from_slice(&self.weights[samples], n, &Device::Cpu)?;
                ((surprise + (divergence * self.divergence)?)? * weights)?.sum_all()
            },
            grad,
        )?;
        Ok(Report { loss: Some(loss), ..Report::default() })
    }
}
/// Nothing: random numbers follow from the update.
impl Resume for PatchReconstruction {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    /// Tokens and numbers are left out as often as asked for; numbers that stay are larger by as much as others are missing.
    #[test]
    fn leaves_out_the_shares_that_were_asked_for() {
        let mut objective = PatchReconstruction::new(1);
        (objective.drop_tokens, objective.drop_numbers) = (0.2, 0.4);
        let x = Mat::from_element(4, 5000, 3.0);
        let [tokens, _, kept] = objective.noise(x.as_view(), 0..5000, 4, 1).unwrap();
        let tokens = tokens.flatten_all().unwrap().to_vec1::<u32>().unwrap();
        let kept = kept.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let share = |left_out: usize, of: f64| {
            let error = (of * (1.0 - of) / 20_000.0).sqrt();
            assert!((left_out as f64 / 20_000.0 - of).abs() < 4.5 * error, "{left_out} of 20,000, asked for {of}");
        };
        share(tokens.iter().filter(|t| **t == 0).count(), 0.2);
        share(kept.iter().filter(|k| **k == 0.0).count(), 0.4);
        assert!(tokens.iter().all(|t| [0, 3].contains(t)));
        assert!(kept.iter().all(|k| [0.0, 1.0 / 0.6].contains(k)));
    }
}
