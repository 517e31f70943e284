//! Samples out of noise by the probability flow: a differential equation that carries the density of data with much noise into that with
//! little, and every noisy state to one sample.
//!
//! ```text
//! dx/dσ = σ ∂E(x | σ)/∂x,   from σ_max to 0
//! ```
//!
//! It is solved by Heun's method, two gradients a level, with some noise put back before each step if told: which corrects what energies and
//! steps got wrong before, as Langevin steps do. Some tens of levels are enough where [`super::AnnealedLangevin`] takes hundreds of steps;
//! but it leaves no distribution alone, and an energy at one level plays no part in it.
//!
//! ## References
//! - Song, Sohl-Dickstein, Kingma, Kumar, Ermon and Poole, "Score-based generative modeling through stochastic differential equations",
//!   2021.
//! - Karras, Aittala, Aila and Laine, "Elucidating the design space of diffusion-based generative models", 2022: the levels, Heun's method,
//!   and churn.

use crate::linalg::{axpy, normals_to};
use crate::rng::Streams;
use crate::{Chains, Error, Mat, Result, Score, Slab};

/// Levels of noise, and how much noise is put back.
///
/// ```
/// use harmonium::models::neural::{Activation, NoisyEnergy};
/// use harmonium::{Chains, Mat, samplers::ProbabilityFlow};
/// let model = NoisyEnergy::new(&[1.0, -1.0], 0.5, 0.01..=20.0, &[(4, Activation::Silu)])?; // normal, of deviation 0.5
/// let mut chains = Chains::new(Mat::from_element(3, 10, 20.0), 1);
/// ProbabilityFlow::new(20.0, 0.01, 40)?.run_given(&mut chains, &model, |sigma, given| given[0] = sigma)?;
/// assert!((chains.states.x()[(1, 0)] - 1.0 - 19.0 / 20.0 * 0.5).abs() < 0.01); // as far out as it was, in deviations
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProbabilityFlow {
    /// Deviations of noise, falling.
    pub sigmas: Vec<f32>,
    /// The noise that is left after the last level: 0 for samples, the next level for a part of the way.
    pub end: f32,
    /// The share by which noise is raised before every step, `S_churn / levels` of the paper; 0 solves the equation alone.
    pub churn: f32,
}

impl ProbabilityFlow {
    /// So many levels whose seventh roots are evenly spaced, as Karras and others have them; no churn.
    ///
    /// # Errors
    /// [`Error::Value`] if the deviations do not fall, or there are no levels.
    pub fn new(first: f32, last: f32, levels: usize) -> Result<Self> {
        const ROOT: f32 = 7.0;
        let (high, low) = (first.powf(1.0 / ROOT), last.powf(1.0 / ROOT));
        let share = |k: usize| k as f32 / (levels.max(2) - 1) as f32;
        let sigmas = (0..levels).map(|k| (high + share(k) * (low - high)).powf(ROOT)).collect();
        let all = Self { sigmas, end: 0.0, churn: 0.0 };
        all.check()?;
        Ok(all)
    }
    fn check(&self) -> Result<()> {
        let falls = self.sigmas.windows(2).all(|s| s[0] > s[1]);
        if !falls || self.sigmas.is_empty() || self.sigmas.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            return Err(Error::value("levels of noise", "some, positive and falling", format!("{:?}", self.sigmas)));
        }
        let last = self.sigmas.last().copied().unwrap_or(0.0);
        if !(self.end >= 0.0 && self.end < last) {
            return Err(Error::value("noise after the last level", format!("at least 0, below {last}"), self.end));
        }
        match self.churn >= 0.0 && self.churn.is_finite() {
            true => Ok(()),
            false => Err(Error::value("the share of noise that is put back", "a number, at least 0", self.churn)),
        }
    }
    /// All levels of one model, `E(x | σ)`, for chains at noise of the first; `encode` writes what the model is given of `σ` into the given
    /// rows of a chain. All units are moved but for those that are frozen.
    ///
    /// # Errors
    /// [`Error::Value`] if the levels do not fall or the churn is below 0; [`Error::Shape`] if the chains have not the height of the model's
    /// states.
    pub fn run_given<M: Score + ?Sized>(
        &self,
        chains: &mut Chains,
        model: &M,
        encode: impl Fn(f32, &mut [f32]) + Sync,
    ) -> Result<()> {
        self.check()?;
        if chains.states.x().nrows() != model.n_rows() {
            return Err(Error::shape("rows of the chains", model.n_rows(), chains.states.x().nrows()));
        }
        chains.each(|slab, rng| self.slab(model, slab, rng, &encode));
        Ok(())
    }
    /// All levels for one slab: slabs never wait for each other.
    fn slab<M: Score + ?Sized>(
        &self,
        model: &M,
        slab: &mut Slab<'_>,
        rng: &mut Streams<'_>,
        encode: &(impl Fn(f32, &mut [f32]) + Sync),
    ) {
        let (rows, columns, given) = (slab.x().nrows(), slab.ncols(), model.n_given());
        let frozen: Vec<Option<Vec<bool>>> =
            (0..columns).map(|j| slab.frozen(&(0..rows), j).map(<[bool]>::to_vec)).collect();
        let (mut slope, mut next) = (Mat::zeros(rows, columns), Mat::zeros(rows, columns));
        let (mut x, mut noise) = (slab.x().clone_owned(), vec![0.0; rows - given]);
        let start = x.clone();
        // σ ∂E/∂x of the units that move.
        let flow = |x: &mut Mat, sigma: f32, out: &mut Mat| {
            x.column_iter_mut().for_each(|mut x| encode(sigma, &mut x.as_mut_slice()[..given]));
            model.grad_x(x.as_view(), out.as_view_mut());
            *out *= sigma;
            for (mut out, frozen) in out.column_iter_mut().zip(&frozen) {
                out.as_mut_slice()[..given].fill(0.0);
                for (o, _) in out.iter_mut().zip(frozen.iter().flatten()).filter(|(_, f)| **f) {
                    *o = 0.0;
                }
            }
        };
        for (k, &sigma) in self.sigmas.iter().enumerate() {
            let raised = sigma * (1.0 + self.churn);
            if raised > sigma {
                let more = (raised * raised - sigma * sigma).sqrt();
                for (j, mut x) in x.column_iter_mut().enumerate() {
                    normals_to(&mut noise, rng.column(j));
                    axpy(more, &noise, &mut x.as_mut_slice()[given..]);
                }
                keep(&frozen, &start, &mut x);
            }
            let after = self.sigmas.get(k + 1).copied().unwrap_or(self.end);
            flow(&mut x, raised, &mut slope);
            next.copy_from(&x);
            axpy(after - raised, slope.as_slice(), next.as_mut_slice());
            if after > 0.0 {
                let mut second = std::mem::replace(&mut slope, Mat::zeros(0, 0));
                axpy(0.5 * (after - raised), second.as_slice(), x.as_mut_slice());
                flow(&mut next, after, &mut second);
                axpy(0.5 * (after - raised), second.as_slice(), x.as_mut_slice());
                slope = second;
            } else {
                x.copy_from(&next);
            }
        }
        slab.x_mut().copy_from(&x);
    }
}
/// Puts frozen units back where they were.
fn keep(frozen: &[Option<Vec<bool>>], start: &Mat, x: &mut Mat) {
    for ((mut x, start), frozen) in x.column_iter_mut().zip(start.column_iter()).zip(frozen) {
        for ((x, start), _) in x.iter_mut().zip(start.iter()).zip(frozen.iter().flatten()).filter(|(_, f)| **f) {
            *x = *start;
        }
    }
}
