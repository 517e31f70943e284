//! Likelihoods of tilted machines: annealing along the machine's own path, latent units summed out, with as much of the tilt as the
//! temperature says,
//!
//! ```text
//! f_β(v) = Σ_h exp(-E₀ - β (E_M - E₀))(v, h) · e^{-β f(v)}
//! ```
//!
//! moved at each temperature by a sweep of the machine that is taken or not ([`crate::samplers::MetropolisGibbs`]), a move that is its own
//! reversal. Weights are exact: fields of latent units as in [`super::ais()`], and one pass forwards of the tilt a temperature.

use super::ais::{Annealing, Transitions, check_base, check_betas, forth, start};
use super::likelihood::{check_values, discrete_units};
use super::raise::bounds;
use super::{Bracket, Bracketing, LogPartition};
use crate::data::{Samples, in_chunks};
use crate::rng::Streams;
use crate::samplers::Sweep;
use crate::{Energy, Error, Learn, Marginal, Result, Slab, Tilted, Train};

/// `log Z` of a tilted machine by annealed importance sampling from the base-rate model with fields `base` (one a row; see
/// [`crate::base_rate`]).
///
/// # Errors
/// Those of [`super::ais()`].
///
/// ```
/// use harmonium::eval::{Ais, Bracketing, bracket_tilted};
/// use harmonium::models::{Rbm, neural::NeuralEnergy};
/// use harmonium::{Mat, Tilted, units::Bernoulli};
/// use std::sync::Arc;
/// let tilt = NeuralEnergy::new(0, &[(6, Arc::new(Bernoulli))], &[]);
/// let model = Tilted::new(Rbm::new((6, Bernoulli), (4, Bernoulli)), tilt)?; // all parameters zero: 64 images, equally likely
/// let settings = Bracketing { betas: Ais::linear(10), ..Bracketing::default() };
/// let got = bracket_tilted(&model, &[0.0; 10], &Mat::identity(6, 6), &settings)?;
/// assert!((got.upper.value + 64f64.ln()).abs() < 1e-6 && got.gap().value.abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn bracket_tilted<M: Marginal + Train, F: Train>(
    model: &Tilted<M, F>,
    base: &[f32],
    samples: &dyn Samples,
    settings: &Bracketing,
) -> Result<Bracket> {
    let (machine, tilt, summed) = (model.machine(), model.tilt(), model.latent());
    check_betas(&settings.betas)?;
    check_base(machine, base)?;
    let annealing = Annealing { model: machine, base, summed: &summed };
    let path = TiltedAnnealing { annealing, tilt, visible: model.n_visible() };
    let log_f = minus_free_energies(model, samples)?;
    let lower = bounds(machine, &path, (samples, log_f), &settings.backward(), start(machine, base)?)?;
    Ok(Bracket::between(&lower, log_partition(machine, base, settings, &path)?))
}

fn log_partition<M: Marginal>(
    machine: &M,
    base: &[f32],
    settings: &Bracketing,
    path: &impl Transitions,
) -> Result<LogPartition> {
    forth(machine, base, &settings.forward(), path)
}

/// `log Σ_h exp(-E)` of all samples.
fn minus_free_energies<M: Marginal + Train, F: Train>(model: &Tilted<M, F>, samples: &dyn Samples) -> Result<Vec<f64>> {
    if samples.n_rows() != model.n_visible() {
        return Err(Error::shape("rows of samples", model.n_visible(), samples.n_rows()));
    }
    let (units, mut log_f) = (discrete_units(model), vec![]);
    in_chunks(samples, |first, v| {
        check_values(&units, v, first)?;
        log_f.extend(model.free_energy(v)?.into_iter().map(|f| -f));
        Ok(())
    })?;
    Ok(log_f)
}

/// The machine's annealing, and the tilt's share.
struct TiltedAnnealing<'a, M: ?Sized, F: ?Sized> {
    annealing: Annealing<'a, M>,
    tilt: &'a F,
    visible: usize,
}
impl<M: Marginal + ?Sized, F: Energy + ?Sized> TiltedAnnealing<'_, M, F> {
    fn sweep(&self, beta: f32) -> Sweep<'_, M, F> {
        let Annealing { model, base, .. } = self.annealing;
        Sweep { machine: model, tilt: self.tilt, visible: self.visible, at: Some((beta, base)) }
    }
    fn weigh_both(&self, (before, after): (f32, f32), slab: &mut Slab<'_>, of: Memory<'_>) {
        self.annealing.weigh(before, after, slab, of.energies, of.gains);
        let rise = f64::from(after) - f64::from(before);
        of.gains.iter_mut().zip(of.tilts).for_each(|(g, tilt)| *g -= rise * *tilt);
    }
}
struct Memory<'a> {
    energies: &'a mut [f64],
    tilts: &'a mut [f64],
    gains: &'a mut [f64],
}
/// Both directions keep the tilts of the present states, so that a temperature takes one pass of it.
impl<M: Marginal + ?Sized, F: Energy + ?Sized> Transitions for TiltedAnnealing<'_, M, F> {
    fn weigh(&self, before: f32, after: f32, slab: &mut Slab<'_>, energies: &mut [f64], gains: &mut [f64]) {
        let mut tilts = vec![0.0; slab.ncols()];
        self.sweep(before).tilts(slab, &mut tilts);
        self.weigh_both((before, after), slab, Memory { energies, tilts: &mut tilts, gains });
    }
    fn forth(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        let (sweep, mut tilts) = (self.sweep(beta), vec![0.0; slab.ncols()]);
        sweep.tilts(slab, &mut tilts);
        sweep.offer(slab, rng, &mut tilts);
    }
    fn back(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        self.forth(beta, slab, rng);
    }
    fn run(&self, betas: &[f32], slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Vec<f64> {
        let n = slab.ncols();
        let (mut gains, mut energies, mut tilts) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        self.sweep(1.0).tilts(slab, &mut tilts);
        for pair in betas.windows(2) {
            let memory = Memory { energies: &mut energies, tilts: &mut tilts, gains: &mut gains };
            self.weigh_both((pair[0], pair[1]), slab, memory);
            if pair[1] < 1.0 {
                self.sweep(pair[1]).offer(slab, rng, &mut tilts);
            }
        }
        gains
    }
    fn run_back(&self, betas: &[f32], slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Vec<f64> {
        let n = slab.ncols();
        let (mut gains, mut energies, mut tilts) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        self.sweep(1.0).tilts(slab, &mut tilts);
        for pair in betas.windows(2).rev() {
            self.sweep(pair[1]).offer(slab, rng, &mut tilts);
            let memory = Memory { energies: &mut energies, tilts: &mut tilts, gains: &mut gains };
            self.weigh_both((pair[1], pair[0]), slab, memory);
        }
        gains
    }
}
