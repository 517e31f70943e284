//! How chains of a model move: autocorrelation, and whether those that begin at the data and those that begin at independent
//! units come together.

use super::Doctor;
use crate::base_rate::base_rate;
use crate::eval::{Diagnostics, latent_group, mean_of};
use crate::linalg::{col, dot};
use crate::rng::derive;
use crate::samplers::BlockGibbs;
use crate::sweep::energies_without;
use crate::{ChainRng, Chains, Learn, Marginal, Mat, Result};
use nalgebra::DMatrix;
use rand_distr::{Distribution, StandardNormal};
use std::fmt::{self, Display};

/// How chains of block Gibbs sampling mix.
///
/// Followed are the free energy and the visible units along [`Mixing::DIRECTIONS`] random directions; told is the worst of them.
/// What no chain has found, no number here can see.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixing {
    /// Sweeps that were looked at; 0 if none were.
    pub sweeps: usize,
    /// Sweeps that are worth one independent draw ([`Diagnostics::autocorrelation_time`]).
    pub autocorrelation_time: f64,
    /// [`Diagnostics::split_r_hat`] over chains from both starts.
    pub split_r_hat: f64,
    /// [`Diagnostics::effective_sample_size`] of all chains.
    pub effective_sample_size: f64,
    /// Whether states grew beyond all bounds: the energy has no minimum.
    pub ran_away: bool,
}

impl Default for Mixing {
    /// Of no chains.
    fn default() -> Self {
        let nan = f64::NAN;
        Self { sweeps: 0, autocorrelation_time: nan, split_r_hat: nan, effective_sample_size: nan, ran_away: false }
    }
}

impl Display for Mixing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ran_away {
            return write!(f, "chains ran away");
        }
        write!(
            f,
            "chains: autocorrelation time {:.0} sweeps, split R̂ {:.3}, effective sample size {:.0}, by {} sweeps",
            self.autocorrelation_time, self.split_r_hat, self.effective_sample_size, self.sweeps
        )
    }
}

impl Mixing {
    /// Random directions along which the visible units are followed.
    pub const DIRECTIONS: usize = 4;

    pub(super) fn of<M: Marginal + Learn + ?Sized>(doctor: &Doctor, model: &M, cases: &Mat) -> Result<Self> {
        let latent = latent_group(model)?;
        let warm = doctor.sweeps / 3;
        let mut chains = from_both(doctor, model, cases)?;
        chains.advance(&BlockGibbs::new(warm), model);
        let directions = directions(model.n_visible(), doctor.seed);
        let (n, width) = (doctor.sweeps - warm, chains.states.ncols());
        let mut followed = vec![DMatrix::<f64>::zeros(n, width); 1 + Self::DIRECTIONS];
        for t in 0..n {
            chains.advance(&BlockGibbs::new(1), model);
            let v = chains.states.x().rows(0, model.n_visible()).clone_owned();
            let free = energies_without(model, &latent, v.as_view())?;
            for (j, free) in free.into_iter().enumerate() {
                followed[0][(t, j)] = free;
                for (draws, direction) in followed[1..].iter_mut().zip(directions.column_iter()) {
                    draws[(t, j)] = dot(col(&v.as_view(), j), direction.as_slice());
                }
            }
        }
        if followed.iter().any(|draws| draws.iter().any(|x| !x.is_finite())) {
            return Ok(Self { sweeps: doctor.sweeps, ran_away: true, ..Self::default() });
        }
        let found: Vec<Diagnostics> = followed.iter().map(Diagnostics::of).collect::<Result<_>>()?;
        let worst = |of: fn(&Diagnostics) -> f64| found.iter().map(of).fold(f64::NAN, f64::max);
        Ok(Self {
            sweeps: doctor.sweeps,
            autocorrelation_time: worst(|d| d.autocorrelation_time),
            split_r_hat: worst(|d| d.split_r_hat),
            effective_sample_size: -worst(|d| -d.effective_sample_size),
            ran_away: false,
        })
    }
}

/// Chains at some of the cases, then as many at draws of the base-rate model.
fn from_both<M: Marginal + Learn + ?Sized>(doctor: &Doctor, model: &M, cases: &Mat) -> Result<Chains> {
    let (half, d) = (doctor.chains / 2, model.n_visible());
    let base = base_rate(model, &mean_of(cases)?, 0.05)?;
    let seed = derive(doctor.seed, "chains to look at");
    let independent = Chains::from_base(model, &base, half, derive(seed, "independent"));
    let mut x = Mat::zeros(d, 2 * half);
    for j in 0..half {
        x.column_mut(j).copy_from(&cases.column(j * cases.ncols() / half));
        x.column_mut(half + j).copy_from(&independent.states.x().column(j).rows(0, d));
    }
    Chains::at_visible(model, x.as_view(), seed)
}

fn directions(rows: usize, seed: u64) -> Mat {
    let mut rng = ChainRng::new(derive(seed, "directions"));
    Mat::from_fn(rows, Mixing::DIRECTIONS, |_, _| StandardNormal.sample(&mut rng))
}
