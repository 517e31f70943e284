//! Laws that every unit kind, model, kernel and objective must obey, as functions that say whether one does.
//!
//! Whoever writes one calls the law and gets [`Kept`], or [`Broken`] with what is wrong, where, and by how much. The
//! oracle is the subject's own definition: the energy of a model, the values and the energy `U` of a unit; sums over
//! all values, integrals and differences of those. No formula that follows from a definition is trusted where the
//! definition can be used.
//!
//! | of | law | what it holds against what |
//! |---|---|---|
//! | units | [`unit()`] | everything a kind says: sums and integrals of `exp(φx - U)` |
//! | models | [`field()`] | fields: differences of energies |
//! | | [`marginal()`] | summing out: sums and integrals of `exp(-E)` |
//! | | [`partition()`] | `log Z`, exact and annealed: all states |
//! | | [`gradient()`], [`expected_gradient()`], [`score()`] | gradients: differences of energies |
//! | | [`model()`] | all of these |
//! | kernels | [`no_drift()`], [`no_drift_from()`], [`chains_threads()`] | chains that start as exact draws |
//! | | [`frozen()`] | frozen units: where they were |
//! | objectives | [`objective()`], [`exact_gradient()`] | weights, saved state; the derivative of the likelihood |
//! | runs | [`resume()`] | a run that is cut: one that never was |
//! | anything | [`threads()`] | the same bits with any number of threads |
//!
//! ```
//! use harmonium::{laws, models::Rbm, units::{Bernoulli, Spin}};
//! let mut rbm = Rbm::new((4, Bernoulli), (3, Spin));
//! rbm.initialise(&[0.2; 4], 0.0, 1)?;
//! for verdict in laws::model(&mut rbm, 1) {
//!     let kept = verdict?;
//!     println!("{}: {} checks, the worst at {:.2} of what is allowed", kept.law, kept.checks, kept.worst);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Small models with strong couplings tell most: of a few units a side, weights and biases of the size of one. What is
//! allowed is derived: from the rounding of single precision, and, where chance plays a part, from a bound by which a
//! call whose subject is right fails at most once in 10⁶ calls, whatever the number of its comparisons. (The bound is
//! the empirical Bernstein bound with the observed range, which is rigorous for discrete units; of real ones it is near
//! enough.) The same seed gives the same verdict.
//!
//! It does not measure how well a kernel mixes, nor how fast anything is.

mod chance;
mod drift;
mod field;
mod frozen;
mod gradient;
mod marginal;
mod objective;
mod partition;
mod probes;
mod resume;
mod slope;
mod terms;
mod threads;
mod units;
mod verdict;
pub use drift::{exact_draws, no_drift, no_drift_from};
pub use field::field;
pub use frozen::frozen;
pub use gradient::{expected_gradient, gradient, score};
pub use marginal::marginal;
pub use objective::{exact_gradient, objective};
pub use partition::partition;
pub use resume::{HandOver, resume};
pub use threads::{chains_threads, threads};
pub use units::unit;
pub use verdict::{Broken, Kept, Verdict};

use crate::samplers::BlockGibbs;
use crate::{Marginal, Train};

/// All laws of a model with these capabilities, of its units, and of Gibbs sampling of it in both orders; those that
/// its size or its units do not allow are left out. The model ends with the parameters that it had.
pub fn model<M: Train + Marginal + ?Sized>(model: &mut M, seed: u64) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = model.blocks().iter().map(|b| unit(&*b.unit, seed)).collect();
    verdicts.extend([
        field(model, seed),
        marginal(model, seed),
        partition(model, seed),
        gradient(model, seed),
        expected_gradient(model, seed),
    ]);
    for kernel in [BlockGibbs::new(1), BlockGibbs::backward(1)] {
        verdicts.extend([
            no_drift(model, &kernel, seed),
            chains_threads(model, &kernel, seed),
            frozen(model, &kernel, seed),
        ]);
    }
    verdicts.retain(|v| !matches!(v, Err(broken) if broken.is_intractable()));
    verdicts
}
