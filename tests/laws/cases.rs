//! The list of models that the laws are run over, and helpers to make others.

use crate::reference::{Kind, Oracle, normal};
use harmonium::models::Rbm;
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Spin};
use harmonium::{Mat, Train, Unit};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;

/// Unit kinds. A new one is one line here, and its values and its `U` in `reference`.
pub(crate) fn kinds() -> Vec<Arc<dyn Unit>> {
    vec![Arc::new(Bernoulli), Arc::new(Spin), Arc::new(Gaussian), Arc::new(LogPrecision)]
}

/// Every pair of kinds, with couplings strong enough to tell a wrong kernel from a right one.
pub(crate) fn all() -> Vec<Rbm> {
    let kinds = kinds();
    kinds.iter().flat_map(|v| kinds.iter().map(|h| strong((4, v.clone()), (3, h.clone()), 1))).collect()
}
/// Those with finitely many states.
pub(crate) fn discrete() -> Vec<Rbm> {
    all().into_iter().filter(|m| Oracle::of(m).is_discrete()).collect()
}
/// For messages.
pub(crate) fn name(rbm: &Rbm) -> String {
    format!("{} × {}", rbm.visible()[0].unit.name(), rbm.hidden()[0].unit.name())
}

/// Couplings 0.7·randn, biases and unit parameters 0.5·randn; couplings 0.2·randn between real units, whose energy has no
/// minimum otherwise.
pub(crate) fn strong(visible: (usize, Arc<dyn Unit>), hidden: (usize, Arc<dyn Unit>), seed: u64) -> Rbm {
    let real = visible.1.support().is_none() && hidden.1.support().is_none();
    random(Rbm::with_units(visible, hidden), if real { 0.2 } else { 0.7 }, seed)
}
/// An RBM of Bernoulli units.
pub(crate) fn bernoulli(d: usize, h: usize, seed: u64) -> Rbm {
    strong((d, Arc::new(Bernoulli)), (h, Arc::new(Bernoulli)), seed)
}
/// The same model with random parameters.
pub(crate) fn random(mut rbm: Rbm, scale: f32, seed: u64) -> Rbm {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let n = rbm.n_visible() * rbm.n_hidden();
    rbm.update(&mut |p| {
        let draw = |(k, v): (usize, &mut f32)| *v = normal(&mut rng) as f32 * if k < n { scale } else { 0.5 };
        p.as_mut_slice().iter_mut().enumerate().for_each(draw);
    });
    rbm
}
/// Random states that the units can take, or rows of some of them.
pub(crate) fn probes(rbm: &Rbm, columns: usize) -> Mat {
    let (oracle, mut rng) = (Oracle::of(rbm), Xoshiro256PlusPlus::seed_from_u64(99));
    let mut draw = |kind: Kind| match kind.values() {
        Some(values) => values[rng.random_range(0..2)] as f32,
        None => normal(&mut rng) as f32,
    };
    Mat::from_fn(rbm.n_visible() + rbm.n_hidden(), columns, |i, _| draw(oracle.kind_of(i)))
}
/// The same model with parameters in 64ths: sums of them over whole numbers are exact, in whatever order a processor takes them.
pub(crate) fn in_64ths(mut rbm: Rbm) -> Rbm {
    rbm.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|v| *v = (64.0 * *v).round() / 64.0));
    rbm
}
/// `|got - expected|` within rounding of `f32` at this scale.
#[track_caller]
pub(crate) fn close(got: f64, expected: f64, scale: f64, what: &str) {
    let tolerance = 32.0 * f32::EPSILON as f64 * (1.0 + scale.abs() + expected.abs());
    assert!((got - expected).abs() <= tolerance, "{what}: {got} instead of {expected} (± {tolerance:.1e})");
}
