//! Hamiltonian Monte Carlo: a chain is thrown with a random momentum, follows the forces `-∂E/∂x` for a while, and the end is accepted
//! by how well the path has kept the total energy.
//!
//! Paths are made by leapfrog steps, which are reversible and keep volumes, so that acceptance makes the kernel exact at any step; units
//! with a bounded range are thrown back at its ends. The real units of a model move, discrete ones stay. It does not choose the step:
//! [`super::WarmUp`] does.
//!
//! ## References
//! - Duane, Kennedy, Pendleton and Roweth, "Hybrid Monte Carlo", 1987.
//! - Neal, "MCMC using Hamiltonian dynamics", 2011.

use super::real::{ABSURD, Flight};
use super::{Kernel, Moves};
use crate::rng::Streams;
use crate::states::WIDEST;
use crate::{Score, Slab};
use rand::RngExt;

/// So many trajectories of leapfrog steps, each accepted or not.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::Hmc, units::{Bernoulli, Gaussian}};
/// let rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 100, 1);
/// let moves = chains.advance(&Hmc::new(0.3, 5), &free);
/// assert!(moves.rate() > 0.9 && moves.diverged == 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hmc {
    /// The step `ε`: about a fraction of the smallest standard deviation.
    pub step: f32,
    /// Leapfrog steps of a trajectory, each of one gradient; 1 at least.
    pub leapfrogs: usize,
    /// Trajectories of an advance.
    pub trajectories: usize,
    /// Every trajectory of every chain has a step of its own, uniform within `ε (1 ± jitter)`, so that no period of the model is met by the
    /// length of all. (Lengths vary by the step and not by the number of steps, for the chains of a slab share their gradients.)
    pub jitter: f32,
}

impl Hmc {
    /// One trajectory an advance, steps of 10 % jitter.
    pub const fn new(step: f32, leapfrogs: usize) -> Self {
        Self { step, leapfrogs, trajectories: 1, jitter: 0.1 }
    }
}

impl<M: Score + ?Sized> Kernel<M> for Hmc {
    /// # Panics
    /// If the model has no real units, or there are no leapfrog steps.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        assert!(self.leapfrogs > 0, "a trajectory has a step");
        fly(self, Flight::new(model, slab), rng)
    }
}

/// All trajectories. The energies and the gradients of where chains are, are computed once, and then known.
pub(super) fn fly<M: Score + ?Sized>(hmc: &Hmc, mut flight: Flight<'_, M>, rng: &mut Streams<'_>) -> Moves {
    let (columns, mut moves) = (flight.columns, Moves::default());
    let (mut here, mut there, mut thrown) = ([0f64; WIDEST], [0f64; WIDEST], [0f64; WIDEST]);
    let mut steps = [hmc.step; WIDEST];
    flight.measure(&mut here[..columns]);
    for _ in 0..hmc.trajectories {
        if hmc.jitter > 0.0 {
            let mut own = |j| hmc.step * (1.0 + hmc.jitter * (2.0 * rng.column(j).random::<f32>() - 1.0));
            (0..columns).for_each(|j| steps[j] = own(j));
        }
        flight.draw_momenta(rng);
        (0..columns).for_each(|j| thrown[j] = flight.kinetic(j));
        leapfrog(&mut flight, &steps[..columns], hmc.leapfrogs, &mut there[..columns]);
        for j in 0..columns {
            let rise = there[j] + flight.kinetic(j) - here[j] - thrown[j];
            let lot = rng.column(j).random::<f64>();
            moves.proposed += 1;
            if !(rise.is_finite() && rise < ABSURD) {
                moves.diverged += 1;
                flight.reject(j);
            } else if lot.ln() < -rise {
                moves.accepted += 1;
                here[j] = there[j];
                flight.accept(j, true);
            } else {
                flight.reject(j);
            }
        }
    }
    moves
}

/// From `x` with its momenta to `y` with its own, and the energies there.
fn leapfrog<M: Score + ?Sized>(flight: &mut Flight<'_, M>, steps: &[f32], n: usize, energies: &mut [f64]) {
    for (j, &step) in steps.iter().enumerate() {
        flight.kick(j, 0.5 * step, true);
        flight.drift(j, step);
    }
    for _ in 1..n {
        flight.gradient_y();
        for (j, &step) in steps.iter().enumerate() {
            flight.kick(j, step, false);
            flight.drift(j, step);
        }
    }
    flight.measure_y(energies);
    steps.iter().enumerate().for_each(|(j, &step)| flight.kick(j, 0.5 * step, false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Boltzmann;
    use crate::units::{Gaussian, TruncatedExponential};
    use crate::{ChainRng, States, Train, Unit};

    fn machine(unit: impl Unit) -> Boltzmann {
        let mut machine = Boltzmann::new((5, unit));
        machine.update(&mut |p| {
            let w = |(k, w): (usize, &mut f32)| *w = ((k * 37 % 19) as f32 - 9.0) / 40.0;
            p.as_mut_slice().iter_mut().enumerate().for_each(w);
        });
        machine
    }
    /// Throws chains, lets them fly, turns them round and lets them fly back: how far they are from where they were, and the mean square
    /// of the error of the total energy half way.
    fn there_and_back(model: &Boltzmann, (step, n): (f32, usize), seed: u64) -> (f32, f64) {
        let mut states = States::zeros(5, 40);
        states.x_mut().iter_mut().enumerate().for_each(|(k, x)| *x = (k * 29 % 31) as f32 / 31.0);
        let start = states.x().clone_owned();
        let mut streams: Vec<ChainRng> = (0..20).map(|k| ChainRng::new(seed + k)).collect();
        let (mut far, mut errors, mut first) = (0f32, vec![], 0);
        for (columns, mut slab) in states.slabs() {
            let (mut here, mut there) = ([0.0; WIDEST], [0.0; WIDEST]);
            let mut flight = Flight::new(model, &mut slab);
            flight.draw_momenta(&mut Streams(&mut streams[first / 2..]));
            first += columns.len();
            let total = |f: &Flight<'_, Boltzmann>, e: &[f64]| -> Vec<f64> {
                (0..columns.len()).map(|j| e[j] + f.kinetic(j)).collect()
            };
            flight.measure(&mut here[..columns.len()]);
            let before = total(&flight, &here);
            leapfrog(&mut flight, &vec![step; columns.len()], n, &mut there[..columns.len()]);
            errors.extend(total(&flight, &there).iter().zip(&before).map(|(a, b)| (a - b).powi(2)));
            flight.momentum.iter_mut().for_each(|p| *p = -*p);
            (0..columns.len()).for_each(|j| flight.accept(j, true));
            leapfrog(&mut flight, &vec![step; columns.len()], n, &mut there[..columns.len()]);
            for (k, j) in columns.enumerate() {
                let from = start.column(j);
                let ends = flight.y[flight.column(k)].iter().zip(from.iter());
                far = ends.fold(far, |far, (a, b)| far.max((a - b).abs()));
            }
        }
        (far, errors.iter().sum::<f64>() / errors.len() as f64)
    }
    #[test]
    fn paths_come_back_when_they_are_turned_round() {
        for seed in 0..3 {
            for (step, n) in [(0.1, 20), (0.7, 5)] {
                let far = there_and_back(&machine(Gaussian), (step, n), seed).0;
                assert!(far < 3e-5, "{far} from where it was");
                let far = there_and_back(&machine(TruncatedExponential), (step, n), seed).0;
                assert!(far < 1e-4, "between walls: {far} from where it was");
            }
        }
    }
    /// Half the step and twice as many: a quarter of the error, and so a sixteenth of its square.
    #[test]
    fn the_error_of_the_energy_is_of_second_order() {
        for seed in 0..3 {
            let [long, short] = [(0.2, 5), (0.1, 10)].map(|how| there_and_back(&machine(Gaussian), how, seed).1);
            assert!((long / short / 16.0 - 1.0).abs() < 0.15, "{long} and {short}");
        }
    }
}
