//! Warm-up: a step size that gives the wished acceptance, found before sampling begins.
//!
//! All chains share one step. It starts where about half of the moves are accepted, is adapted advance by advance by dual averaging, and
//! ends as the average of what it was: a kernel with a fixed step, for one that goes on adapting need not leave the model's distribution
//! alone. What chains saw during warm-up is no sample.
//!
//! ## References
//! - Hoffman and Gelman, "The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian Monte Carlo", 2014.
//! - Nesterov, "Primal-dual subgradient methods for convex problems", 2009.

use super::{DiscreteLangevin, Hmc, Kernel, Mala};
use crate::{Chains, Energy, Error, Result};

/// A kernel whose moves are accepted or not, the less often the longer its step.
pub trait Stepped: Clone {
    /// The acceptance at which it mixes best, as theory has it for many independent units.
    const TARGET: f64;
    /// Its step.
    fn step(&self) -> f32;
    /// The same with another step.
    fn with_step(&self, step: f32) -> Self;
}
impl Stepped for Mala {
    /// Roberts and Rosenthal, "Optimal scaling of discrete approximations to Langevin diffusions", 1998.
    const TARGET: f64 = 0.574;
    fn step(&self) -> f32 {
        self.step
    }
    fn with_step(&self, step: f32) -> Self {
        Self { step, ..*self }
    }
}
impl Stepped for Hmc {
    /// 0.65 by theory (Beskos and others, "Optimal tuning of the hybrid Monte Carlo algorithm", 2013); in practice more is safer.
    const TARGET: f64 = 0.8;
    fn step(&self) -> f32 {
        self.step
    }
    fn with_step(&self, step: f32) -> Self {
        Self { step, ..*self }
    }
}
impl Stepped for DiscreteLangevin {
    /// Sun, Dai, Sutton, Schuurmans and Dai, "Any-scale balanced samplers for discrete space", 2023.
    const TARGET: f64 = 0.574;
    fn step(&self) -> f32 {
        self.step
    }
    fn with_step(&self, step: f32) -> Self {
        Self { step, ..*self }
    }
}

/// Settings of a warm-up.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::{Hmc, WarmUp}, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((20, Gaussian), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 50, 1);
/// let warm = WarmUp::new(100).run(&mut chains, &free, &Hmc::new(0.01, 5))?;
/// let moves = chains.advance(&warm.kernel, &free);
/// assert!((moves.rate() - 0.8).abs() < 0.2);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// Advances of all chains.
    pub advances: usize,
    /// The share of moves that should be accepted; the kernel's own [`Stepped::TARGET`], if not told.
    pub target: Option<f64>,
}

/// What a warm-up ends with.
#[derive(Clone, Debug, PartialEq)]
pub struct Warm<K> {
    /// The kernel with the step that was found.
    pub kernel: K,
    /// The share of moves that were accepted in the second half of the advances, at steps near it.
    pub acceptance: f64,
    /// The steps that were tried, one an advance.
    pub steps: Vec<f32>,
    /// Moves that diverged in the second half: where there are any, smaller steps are safer than what acceptance says.
    pub diverged: u64,
}

/// Hoffman and Gelman's settings: `γ`, `t₀` and `κ`.
const GAIN: f64 = 0.05;
const LATE: f64 = 10.0;
const FORGETTING: f64 = 0.75;
/// Doublings or halvings until half of the moves are accepted.
const TRIES: usize = 60;

impl WarmUp {
    /// So many advances, to the kernel's own target.
    pub const fn new(advances: usize) -> Self {
        Self { advances, target: None }
    }
    /// Warms chains up, which end where the advances have led them, and finds a step.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no advances or no chains, the target is not between 0 and 1, the kernel's step not positive, or no
    /// step is accepted: then the chains are where the energy or its gradient is no number.
    pub fn run<M, K>(&self, chains: &mut Chains, model: &M, kernel: &K) -> Result<Warm<K>>
    where
        M: Energy + ?Sized,
        K: Kernel<M> + Stepped,
    {
        let target = self.target.unwrap_or(K::TARGET);
        self.check(chains, target, kernel.step())?;
        let first = f64::from(self.first(chains, model, kernel)?);
        let (mut owed, mut average, mut steps) = (0.0, first.ln(), Vec::with_capacity(self.advances));
        let (mut log_step, mut late) = (first.ln(), super::Moves::default());
        for t in 1..=self.advances {
            let step = log_step.exp() as f32;
            let moves = chains.advance(&kernel.with_step(step), model);
            steps.push(step);
            if 2 * t > self.advances {
                late = late + moves;
            }
            let t = t as f64;
            owed += target - moves.rate();
            log_step = (10.0 * first).ln() - t.sqrt() / GAIN * owed / (t + LATE);
            let weight = t.powf(-FORGETTING);
            average = weight * log_step + (1.0 - weight) * average;
        }
        let kernel = kernel.with_step(average.exp() as f32);
        Ok(Warm { kernel, acceptance: late.rate(), steps, diverged: late.diverged })
    }
    fn check(&self, chains: &Chains, target: f64, step: f32) -> Result<()> {
        if self.advances == 0 || chains.states.ncols() == 0 {
            let got = format!("{} and {}", self.advances, chains.states.ncols());
            return Err(Error::value("the numbers of advances and of chains of a warm-up", "at least 1", got));
        }
        if !(0.0 < target && target < 1.0) {
            return Err(Error::value("the share of moves to accept", "between 0 and 1", target));
        }
        if !(step > 0.0 && step.is_finite()) {
            return Err(Error::value("the step of a kernel", "positive", step));
        }
        Ok(())
    }
    /// A step at which about half of the moves are accepted, from where the chains are; they stay there.
    fn first<M: Energy + ?Sized, K: Kernel<M> + Stepped>(&self, chains: &Chains, model: &M, kernel: &K) -> Result<f32> {
        let accepts = |step: f32| chains.clone().advance(&kernel.with_step(step), model).rate() > 0.5;
        let mut step = kernel.step();
        let longer = accepts(step);
        for _ in 0..TRIES {
            step *= if longer { 2.0 } else { 0.5 };
            if accepts(step) != longer {
                return Ok(step);
            }
        }
        match longer {
            true => Ok(kernel.step()), // any step is accepted: nothing to adapt to
            false => Err(Error::value("the acceptance of moves", "above a half at some step", "none above a half")),
        }
    }
}
