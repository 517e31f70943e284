//! Law 2: chains that start as exact draws of the target stay exact draws, whatever the mixing; and a table of planted
//! bugs, each of which must be seen.

use crate::cases::{self, name};
use crate::reference::{Oracle, estimate, wide};
use harmonium::models::Rbm;
use harmonium::rng::{GROUP, Streams};
use harmonium::samplers::{BlockGibbs, Kernel, Moves};
use harmonium::units::{Gaussian, Spin};
use harmonium::{Annealed, ChainRng, Chains, Energy, Gibbs, Mat, Response, Slab, Train};
use std::sync::Arc;

const CHAINS: usize = 40_000;

/// How far states are from being draws of the oracle, in units of what Monte Carlo error allows: above one is wrong.
pub(crate) fn excess(oracle: &Oracle, x: &Mat) -> f64 {
    if oracle.is_discrete() { distance(&oracle.joint().0, &oracle.joint().1, x) } else { moments(oracle, x) }
}
/// Total variation distance over its allowance. The mean of the floor is exact; one sample moves the distance by at most
/// `1/n`, so by McDiarmid's inequality it exceeds its mean by `4/(2√n)` less often than once in 2900 times (`e⁻⁸`).
pub(crate) fn distance(states: &[Vec<f64>], p: &[f64], x: &Mat) -> f64 {
    let n = x.ncols();
    let bits = |s: &[f64]| s.iter().enumerate().map(|(i, v)| ((*v > 0.5) as usize) << i).sum::<usize>();
    let mut counts = vec![0.0; states.len()];
    (0..n).for_each(|j| counts[bits(&wide(x, j))] += 1.0);
    let gap = |(s, p): (&Vec<f64>, &f64)| (counts[bits(s)] / n as f64 - p).abs();
    let tv = 0.5 * states.iter().zip(p).map(gap).sum::<f64>();
    let floor = 0.5 * p.iter().map(|&p| binomial_deviation(n, p)).sum::<f64>();
    tv / (floor + 2.0 / (n as f64).sqrt())
}
/// `E|X/n - p|` of a binomial `X`: `2 (m+1) C(n, m+1) p^{m+1} (1-p)^{n-m} / n` with `m = ⌊np⌋` (de Moivre 1730).
fn binomial_deviation(n: usize, p: f64) -> f64 {
    let m = (n as f64 * p).floor() as usize;
    let log_choose: f64 = (0..=m).map(|k| ((n - k) as f64 / (k + 1) as f64).ln()).sum();
    let log = log_choose + (m + 1) as f64 * p.ln() + (n - m) as f64 * (1.0 - p).ln();
    2.0 * (m + 1) as f64 * log.exp() / n as f64
}
/// The worst first or second moment, in multiples of 4.5 standard errors.
fn moments(oracle: &Oracle, x: &Mat) -> f64 {
    let (mean, second) = oracle.moments();
    let rows: Vec<Vec<f64>> = (0..x.nrows()).map(|i| x.row(i).iter().map(|&v| v as f64).collect()).collect();
    let z = |values: &[f64], expected: f64| {
        let (value, error) = estimate(values);
        (value - expected).abs() / (4.5 * error)
    };
    let mut worst = 0f64;
    for (i, a) in rows.iter().enumerate() {
        worst = worst.max(z(a, mean[i]));
        for (j, b) in rows.iter().enumerate().take(i + 1) {
            let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| a * b).collect();
            // The square of a spin is one, with no error at all.
            if (i, oracle.kind_of(i).values()) != (j, Some([-1.0, 1.0])) {
                worst = worst.max(z(&products, second[(i, j)]));
            }
        }
    }
    worst
}
/// The excess after 1, 4 and 16 advances from exact draws.
fn drift<M: Energy + ?Sized>(model: &M, oracle: &Oracle, kernel: &dyn Kernel<M>) -> f64 {
    let mut chains = Chains::new(oracle.draw(CHAINS, 3), 11);
    let mut worst = 0f64;
    for more in [1, 3, 12] {
        (0..more).for_each(|_| {
            chains.advance(kernel, model);
        });
        worst = worst.max(excess(oracle, &chains.states.x().clone_owned()));
    }
    worst
}

#[test]
fn exact_draws_pass_the_check_themselves() {
    for rbm in cases::all() {
        let oracle = Oracle::of(&rbm);
        let e = excess(&oracle, &oracle.draw(CHAINS, 5));
        assert!(e < 1.0, "{}: {e}", name(&rbm));
    }
}
#[test]
fn gibbs_does_not_drift() {
    for rbm in cases::all() {
        for kernel in [BlockGibbs::new(1), BlockGibbs::backward(1)] {
            let e = drift(&rbm, &Oracle::of(&rbm), &kernel);
            assert!(e < 1.0, "{} {kernel:?}: {e}", name(&rbm));
        }
    }
}
#[test]
fn annealed_gibbs_does_not_drift() {
    let (one, two) = ([0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.0], [-0.6, 0.4, 0.0, 0.9, 0.3, -0.1, 0.2]);
    for rbm in cases::all() {
        let (annealed, oracle) = (Annealed::new(&rbm, &one, 0.6), Oracle::of(&rbm).annealed(0.6f32 as f64, &one));
        let e = drift(&annealed, &oracle, &BlockGibbs::new(1));
        assert!(e < 1.0, "annealed {}: {e}", name(&rbm));
    }
    for rbm in cases::discrete() {
        let annealed = Annealed::new(&rbm, &one, 0.6);
        let oracle = Oracle::of(&rbm).annealed(0.6f32 as f64, &one).annealed(0.5, &two);
        let e = drift(&Annealed::new(&annealed, &two, 0.5), &oracle, &BlockGibbs::backward(1));
        assert!(e < 1.0, "twice annealed {}: {e}", name(&rbm));
    }
}

/// A transition that is a closure.
struct Bug<F>(F);
impl<F: Fn(&Rbm, &mut Slab<'_>, &mut Streams<'_>) + Sync> Kernel<Rbm> for Bug<F> {
    fn advance(&self, model: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        (self.0)(model, slab, rng);
        Moves::default()
    }
}
/// A closure, with its arguments' types spelled out for inference.
fn bug(f: impl Fn(&Rbm, &mut Slab<'_>, &mut Streams<'_>) + Sync + 'static) -> Box<dyn Kernel<Rbm>> {
    Box::new(Bug(f))
}
fn too_hot(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let base = vec![0.0; rbm.n_rows()];
    BlockGibbs::new(1).advance(&Annealed::new(rbm, &base, 1.0 / 1.2), slab, rng);
}
fn reseeded(rbm: &Rbm, slab: &mut Slab<'_>, _: &mut Streams<'_>) {
    let mut same = vec![ChainRng::new(7); slab.ncols().div_ceil(GROUP)];
    BlockGibbs::new(1).advance(rbm, slab, &mut Streams(&mut same));
}
fn mean_for_sample(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    slab.respond(rbm, Rbm::HIDDEN, &mut Response::sample(rng));
    slab.respond(rbm, Rbm::VISIBLE, &mut Response::mean());
}
/// Both sides answer the state before: marginals survive one such step, the joint distribution does not.
fn both_at_once(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let fields = [0, 1].map(|b| slab.field(rbm, b).clone_owned());
    for (b, field) in fields.iter().enumerate() {
        slab.respond_to(rbm, b, field.as_view(), &mut Response::sample(rng));
    }
}
/// The hidden field outlives the visible units that it was computed from.
fn stale_field(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let field = slab.field(rbm, Rbm::HIDDEN).clone_owned();
    slab.respond(rbm, Rbm::VISIBLE, &mut Response::sample(rng));
    slab.respond_to(rbm, Rbm::HIDDEN, field.as_view(), &mut Response::sample(rng));
}
fn transposed(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let mut wrong = rbm.clone();
    let w = rbm.weights().transpose();
    wrong.update(&mut |p| p.mat_mut(0).copy_from(&w));
    BlockGibbs::new(1).advance(&wrong, slab, rng);
}
fn off_by_one(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    rbm.sweep(slab, &mut Response::sample(rng));
    let field = slab.field(rbm, Rbm::VISIBLE).clone_owned();
    let n = field.nrows();
    let rolled = Mat::from_fn(n, field.ncols(), |i, j| field[((i + 1) % n, j)]);
    slab.respond_to(rbm, Rbm::VISIBLE, rolled.as_view(), &mut Response::sample(rng));
}

#[test]
fn planted_bugs_are_seen() {
    let square = cases::bernoulli(3, 3, 4);
    let mixed = cases::strong((4, Arc::new(Gaussian)), (3, Arc::new(Spin)), 2);
    let bugs = [
        ("too hot", bug(too_hot)),
        ("generator re-seeded", bug(reseeded)),
        ("mean instead of sample", bug(mean_for_sample)),
        ("both at once", bug(both_at_once)),
        ("stale hidden field", bug(stale_field)),
        ("rows off by one", bug(off_by_one)),
        ("transposed weights", bug(transposed)),
    ];
    for (what, kernel) in &bugs {
        let e = drift(&square, &Oracle::of(&square), kernel.as_ref());
        assert!(e > 1.0, "{what} went unseen: {e}");
        if *what != "transposed weights" {
            let e = drift(&mixed, &Oracle::of(&mixed), kernel.as_ref());
            assert!(e > 1.0, "{what} went unseen with real units: {e}");
        }
    }
}
#[test]
fn the_check_knows_the_sides_apart() {
    let rbm = cases::bernoulli(3, 3, 4);
    let x = Oracle::of(&rbm).draw(CHAINS, 1);
    let swapped = Mat::from_fn(6, CHAINS, |i, j| x[((i + 3) % 6, j)]);
    assert!(excess(&Oracle::of(&rbm), &swapped) > 1.0);
}
