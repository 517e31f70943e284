//! Annealed Langevin dynamics: from noise to samples, through a family of energies from the most blurred to the least.
//!
//! Level `σ` belongs to the energy of data with normal noise of that deviation. Chains take so many Langevin steps at each level, of
//! variance `ε σ²`, so that signal and noise of a step keep their ratio; and a last step without noise, `x - σ_L² ∂E/∂x`, takes away the
//! noise of the last level as well (it is the mean of the data given the noisy state). It leaves no distribution alone, and has no
//! acceptance: a procedure on chains, not a kernel.
//!
//! ## References
//! - Song and Ermon, "Generative modeling by estimating gradients of the data distribution", 2019.
//! - Jolicoeur-Martineau, Piché-Taillefer, Tachet des Combes and Mitliagkas, "Adversarial score matching and improved sampling for image
//!   generation", 2020 (the last step).

use super::{Langevin, Moves};
use crate::{Chains, Error, Result, Score};
use std::ops::Deref;

/// Levels of noise, and what is done at each.
///
/// A family whose levels are models or adapters, `E_σ(x)`:
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::AnnealedLangevin, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]); // the same at all levels, for once
/// let mut chains = Chains::zeros(&free, 100, 1);
/// let levels = AnnealedLangevin::geometric(1.0, 0.1, 5, 10)?;
/// let moves = levels.run(&mut chains, |_sigma| &free)?;
/// assert_eq!(moves.accepted, 100 * (5 * 10 + 1));
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// One model with `σ` (or a function of it) among its given rows, `E(x | σ)`: [`AnnealedLangevin::run_given`].
#[derive(Clone, Debug, PartialEq)]
pub struct AnnealedLangevin {
    /// Deviations of noise, falling.
    pub sigmas: Vec<f32>,
    /// Steps at each.
    pub steps: usize,
    /// `ε` in units of the last variance: the step at level `σ` is of variance `epsilon σ²`.
    pub epsilon: f32,
    /// Whether the last step, without noise, is made.
    pub denoise: bool,
}

impl AnnealedLangevin {
    /// So many levels from the first to the last, each a fixed share of the one before; `epsilon` 0.2 (2·10⁻⁵ at `σ_L` = 0.01, as in the
    /// paper), and the last step without noise.
    ///
    /// # Errors
    /// [`Error::Value`] if the deviations do not fall, or there are no levels.
    pub fn geometric(first: f32, last: f32, levels: usize, steps: usize) -> Result<Self> {
        let ratio = (f64::from(last) / f64::from(first)).powf(1.0 / (levels.max(2) - 1) as f64);
        let sigmas = (0..levels).map(|k| (f64::from(first) * ratio.powi(k as i32)) as f32).collect();
        let all = Self { sigmas, steps, epsilon: 0.2, denoise: true };
        all.check()?;
        Ok(all)
    }
    fn check(&self) -> Result<()> {
        let falls = self.sigmas.windows(2).all(|s| s[0] > s[1]);
        if !falls || self.sigmas.is_empty() || self.sigmas.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            return Err(Error::value("levels of noise", "some, positive and falling", format!("{:?}", self.sigmas)));
        }
        match self.epsilon > 0.0 && self.epsilon.is_finite() {
            true => Ok(()),
            false => Err(Error::value("the step at a level of noise", "positive", self.epsilon)),
        }
    }
    /// All levels, of the model that `at` gives for each `σ`: a reference, or something boxed that is made for the level.
    ///
    /// # Errors
    /// [`Error::Value`] if the levels do not fall or the step is not positive; [`Error::Shape`] if the chains have not the height of a
    /// model's states.
    ///
    /// # Panics
    /// If a model has no real units.
    pub fn run<S>(&self, chains: &mut Chains, mut at: impl FnMut(f32) -> S) -> Result<Moves>
    where
        S: Deref,
        S::Target: Score,
    {
        self.check()?;
        let mut moves = Moves::default();
        for &sigma in &self.sigmas {
            moves = moves + self.level(chains, &*at(sigma), sigma)?;
        }
        if let (true, Some(&last)) = (self.denoise, self.sigmas.last()) {
            moves = moves + take(chains, &*at(last), &Langevin::short_run(last * last, 0.0, 1))?;
        }
        Ok(moves)
    }
    /// All levels of one model, `E(x | σ)`: before each, `encode` writes what the model is given of `σ` into the given rows of every chain.
    ///
    /// ```
    /// use harmonium::{Chains, Score, samplers::AnnealedLangevin};
    /// fn draw(model: &impl Score, chains: &mut Chains) -> harmonium::Result<()> {
    ///     let levels = AnnealedLangevin::geometric(1.0, 0.01, 10, 100)?;
    ///     levels.run_given(chains, model, |sigma, given| given[0] = sigma.ln())?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`AnnealedLangevin::run`].
    ///
    /// # Panics
    /// If the model has no real units.
    pub fn run_given<M: Score + ?Sized>(
        &self,
        chains: &mut Chains,
        model: &M,
        encode: impl Fn(f32, &mut [f32]),
    ) -> Result<Moves> {
        self.check()?;
        let mut moves = Moves::default();
        for &sigma in &self.sigmas {
            let n = model.n_given().min(chains.states.x().nrows());
            for mut column in chains.states.x_mut().column_iter_mut() {
                encode(sigma, &mut column.as_mut_slice()[..n]);
            }
            moves = moves + self.level(chains, model, sigma)?;
        }
        if let (true, Some(&last)) = (self.denoise, self.sigmas.last()) {
            moves = moves + take(chains, model, &Langevin::short_run(last * last, 0.0, 1))?;
        }
        Ok(moves)
    }
    /// The steps of one level.
    fn level<M: Score + ?Sized>(&self, chains: &mut Chains, model: &M, sigma: f32) -> Result<Moves> {
        take(chains, model, &Langevin::new(self.epsilon.sqrt() * sigma, self.steps))
    }
}

fn take<M: Score + ?Sized>(chains: &mut Chains, model: &M, steps: &Langevin) -> Result<Moves> {
    let (rows, height) = (chains.states.x().nrows(), model.n_rows());
    if rows != height {
        return Err(Error::shape("rows of the chains", height, rows));
    }
    Ok(chains.advance(steps, model))
}
