//! Kernels that follow gradients: each leaves the model's distribution alone, on Gaussians, machines with hidden units summed out,
//! machines of spins and of softmax units, and units with walls; what they claim of steps, acceptance and bias; and planted bugs.

use crate::cases;
use harmonium::laws::{self, Verdict};
use harmonium::models::neural::{Activation, NoisyEnergy};
use harmonium::models::{Boltzmann, Boundary, DenseMemory, Interaction, Rbm, SparseBoltzmann};
use harmonium::rng::ChainRng;
use harmonium::samplers::{
    AnnealedLangevin, DiscreteLangevin, GibbsWithGradients, Hmc, Kernel, Langevin, Mala, Moves, ProbabilityFlow,
    UnderdampedLangevin, WarmUp,
};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Real, Relu, Softmax, Spin, TruncatedExponential};
use harmonium::{
    Block, Chains, Collapsed, Energy, Mat, MatMut, MatRef, Score, Slab, Streams, Train, Unit, Version, linalg,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

#[track_caller]
fn kept(verdict: Verdict, what: &str) {
    let kept = verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    assert!(kept.checks > 0 && kept.worst <= 1.0, "{what}: {kept:?}");
}
#[track_caller]
fn broken(verdict: Verdict, what: &str) {
    assert!(verdict.is_err(), "{what} was not caught");
}
/// Normal numbers with the seed's own stream.
fn normals(n: usize, scale: f32, seed: u64) -> Vec<f32> {
    let (mut z, mut rng) = (vec![0.0; n], ChainRng::new(seed));
    linalg::normals_to(&mut z, &mut rng);
    z.iter_mut().for_each(|z| *z *= scale);
    z
}

/// `E = ½ xᵀ(I - L)x - bᵀx`: a Gaussian with correlations up to 0.7.
fn gaussian() -> Boltzmann {
    let mut machine = Boltzmann::new((4, Gaussian));
    machine.update(&mut |p| {
        for (i, j, w) in [(0, 1, 0.6), (1, 2, -0.4), (2, 3, 0.3), (0, 3, 0.1)] {
            let mut l = p.mat_mut(1);
            (l[(i, j)], l[(j, i)]) = (w, w);
        }
        p.slice_mut(3).copy_from_slice(&[0.5, -0.3, 0.0, 1.0]);
    });
    machine
}
/// Exact draws: `x = P⁻¹b + L⁻ᵀz` with `P = LLᵀ` the precision, read off the gradient.
fn gaussian_draws(machine: &Boltzmann, columns: usize, seed: u64) -> Mat {
    let n = machine.n_rows();
    let unit_vectors = Mat::from_fn(n, n + 1, |i, j| f32::from(u8::from(i + 1 == j)));
    let mut gradients = Mat::zeros(n, n + 1);
    machine.grad_x(unit_vectors.as_view(), gradients.as_view_mut());
    let bias = harmonium::nalgebra::DVector::from_fn(n, |i, _| -f64::from(gradients[(i, 0)]));
    let precision = harmonium::nalgebra::DMatrix::from_fn(n, n, |i, j| f64::from(gradients[(i, j + 1)]) + bias[i]);
    let cholesky = precision.cholesky().expect("a minimum");
    let mean = cholesky.solve(&bias);
    let z = normals(n * columns, 1.0, seed);
    let upper = cholesky.l().transpose();
    let mut x = Mat::zeros(n, columns);
    for (z, mut column) in z.chunks(n).zip(x.column_iter_mut()) {
        let z = harmonium::nalgebra::DVector::from_fn(n, |i, _| f64::from(z[i]));
        let y = upper.solve_upper_triangular(&z).expect("positive") + &mean;
        column.iter_mut().zip(y.iter()).for_each(|(x, y)| *x = *y as f32);
    }
    x
}
/// Machines with a real visible layer, bounded or not.
fn real_machines(seed: u64) -> Vec<Rbm> {
    let kinds: [Arc<dyn Unit>; 4] =
        [Arc::new(Gaussian), Arc::new(LogPrecision), Arc::new(Relu), Arc::new(TruncatedExponential)];
    kinds.into_iter().map(|kind| cases::strong((4, kind), (3, Arc::new(Bernoulli)), seed)).collect()
}
/// Exact draws of the visible units.
fn visible_draws(rbm: &Rbm, columns: usize, seed: u64) -> Mat {
    laws::exact_draws(rbm, columns, seed).unwrap().rows(0, rbm.n_visible()).clone_owned()
}
/// A machine of units that are coupled each to each, of random strength.
fn coupled(n: usize, unit: impl Unit, scale: f32, seed: u64) -> Boltzmann {
    let mut machine = Boltzmann::new((n, unit));
    machine.update(&mut |p| {
        let z = normals(p.as_slice().len(), scale, seed);
        p.as_mut_slice().copy_from_slice(&z);
    });
    machine
}

const DRAWS: usize = 20_000;

#[test]
fn scores_of_machines_keep_the_law() {
    for seed in 0..3 {
        kept(laws::score(&gaussian(), seed), "a Gaussian machine");
        kept(laws::score(&coupled(5, Spin, 0.6, seed + 1), seed), "spins");
        kept(laws::score(&coupled(6, Softmax { q: 3 }, 0.6, seed + 1), seed), "softmax units");
        let mut hidden = Boltzmann::with_hidden((4, Gaussian), (3, Bernoulli));
        hidden.update(&mut |p| {
            let z = normals(p.as_slice().len(), 0.2, seed);
            p.as_mut_slice().copy_from_slice(&z);
        });
        kept(laws::score(&hidden, seed), "a machine with hidden units");
        let mut lattice = SparseBoltzmann::ising(&[4, 3], Boundary::Open, 0.4).unwrap();
        kept(laws::score(&lattice, seed), "a lattice");
        lattice.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(k, p)| *p += 0.01 * k as f32));
        kept(laws::score(&lattice, seed), "a lattice that has changed");
        for rbm in real_machines(seed + 1) {
            kept(laws::score(&rbm, seed), &cases::name(&rbm));
            same_energies(&rbm);
        }
        same_energies(&hidden);
        same_energies(&lattice);
    }
}
/// One pass gives what two give.
fn same_energies<M: Score + Energy>(model: &M) {
    let x = Mat::from_vec(model.n_rows(), 9, normals(9 * model.n_rows(), 0.7, 3)).map(f32::abs);
    let (mut two, mut one) = ([0.0; 9], [f64::NAN; 9]);
    let (mut gradient, mut again) = (Mat::zeros(x.nrows(), 9), Mat::from_element(x.nrows(), 9, f32::NAN));
    model.energy(x.as_view(), &mut two);
    model.grad_x(x.as_view(), gradient.as_view_mut());
    model.energy_and_grad_x(x.as_view(), &mut one, again.as_view_mut());
    for (a, b) in one.iter().zip(two) {
        cases::close(*a, b, x.nrows() as f64, "the energy");
    }
    gradient
        .iter()
        .zip(again.iter())
        .for_each(|(a, b)| cases::close(f64::from(*b), f64::from(*a), 1.0, "the gradient"));
}

#[test]
fn adjusted_kernels_of_real_units_keep_the_law_of_no_drift() {
    for seed in 0..2 {
        let machine = gaussian();
        let draws = || gaussian_draws(&machine, DRAWS, seed + 7);
        for step in [0.3, 1.2] {
            kept(laws::no_drift_from(&machine, &Mala::new(step, 2), draws(), seed), "MALA of a Gaussian");
            kept(laws::no_drift_from(&machine, &Hmc::new(step, 4), draws(), seed), "HMC of a Gaussian");
        }
        for rbm in real_machines(seed + 1) {
            let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
            let draws = || visible_draws(&rbm, DRAWS, seed + 7);
            for step in [0.1, 0.7] {
                let what = format!("{} at step {step}", cases::name(&rbm));
                kept(laws::no_drift_from(&free, &Mala::new(step, 2), draws(), seed), &format!("MALA, {what}"));
                let hmc = Hmc { trajectories: 2, ..Hmc::new(step, 3) };
                kept(laws::no_drift_from(&free, &hmc, draws(), seed), &format!("HMC, {what}"));
            }
        }
    }
}
/// `n` steps from exact draws of variance one move it by `¼nε⁴`; at ε = 0.1 and 160 steps by 0.004, and in a step of BAOAB less. What the
/// law allows is about 0.02.
#[test]
fn unadjusted_kernels_of_real_units_keep_it_at_small_steps() {
    let machine = gaussian();
    let draws = || gaussian_draws(&machine, DRAWS, 7);
    kept(laws::no_drift_from(&machine, &Langevin::new(0.05, 10), draws(), 1), "Langevin");
    kept(laws::no_drift_from(&machine, &UnderdampedLangevin::new(0.1, 1.0, 10), draws(), 1), "underdamped Langevin");
    for rbm in real_machines(2) {
        let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
        let draws = || visible_draws(&rbm, DRAWS, 7);
        // Walls make the bias one of order ε beside them, ten times that of the inside.
        kept(laws::no_drift_from(&free, &Langevin::new(0.01, 10), draws(), 1), &cases::name(&rbm));
        kept(laws::no_drift_from(&free, &UnderdampedLangevin::new(0.03, 1.0, 10), draws(), 1), &cases::name(&rbm));
    }
}
/// The places of BAOAB have the variance of a Gaussian at any stable step, when the momenta's beginning is forgotten: here by `e^{-γεn}` =
/// e⁻⁴⁰. Precisions of the machine are 0.3 to 1.7, so a step of 1.4 is near the end of what is stable (1.53).
#[test]
fn underdamped_places_of_a_gaussian_have_no_bias() {
    let machine = gaussian();
    for (step, friction) in [(0.7, 1.0), (1.4, 1.0), (1.4, 0.5)] {
        let n = (40.0 / (step * friction)) as usize;
        let kernel = UnderdampedLangevin::new(step, friction, n);
        kept(laws::no_drift_from(&machine, &kernel, gaussian_draws(&machine, DRAWS, 9), 1), &format!("{kernel:?}"));
    }
}
#[test]
fn kernels_of_discrete_units_keep_the_law_of_no_drift() {
    for seed in 0..2 {
        let gwg = GibbsWithGradients::new(3);
        let spins = coupled(5, Spin, 0.5, seed + 1);
        let bits = coupled(5, Bernoulli, 1.0, seed + 1);
        let potts = coupled(9, Softmax { q: 3 }, 0.6, seed + 1);
        let patterns = Mat::from_vec(6, 3, normals(18, 1.0, seed)).map(f32::signum);
        let memory = DenseMemory::storing(patterns.as_view(), Interaction::Polynomial { degree: 3 }, 2.0).unwrap();
        kept(laws::no_drift(&spins, &gwg, seed), "spins");
        kept(laws::no_drift(&bits, &gwg, seed), "bits");
        kept(laws::no_drift(&potts, &gwg, seed), "softmax units");
        kept(laws::no_drift(&memory, &gwg, seed), "a memory");
        for step in [0.3, 1.5] {
            let dmala = DiscreteLangevin::new(step, 3);
            kept(laws::no_drift(&spins, &dmala, seed), &format!("{dmala:?}, spins"));
            kept(laws::no_drift(&bits, &dmala, seed), &format!("{dmala:?}, bits"));
            kept(laws::no_drift(&potts, &dmala, seed), &format!("{dmala:?}, softmax units"));
            kept(laws::no_drift(&memory, &dmala, seed), &format!("{dmala:?}, a memory"));
        }
        let kinds: [Arc<dyn Unit>; 3] = [Arc::new(Bernoulli), Arc::new(Spin), Arc::new(Softmax { q: 2 })];
        for kind in kinds {
            let rbm = cases::strong((4, kind), (3, Arc::new(Bernoulli)), seed + 1);
            let (free, draws) = (Collapsed::new(&rbm, &[Rbm::HIDDEN]), visible_draws(&rbm, DRAWS, seed));
            kept(laws::no_drift_from(&free, &gwg, draws.clone(), seed), &cases::name(&rbm));
            kept(laws::no_drift_from(&free, &DiscreteLangevin::new(0.5, 3), draws, seed), &cases::name(&rbm));
        }
    }
}
/// Where few units change at once, the first order is nearly all of a change of energy that is quadratic.
#[test]
fn discrete_langevin_without_acceptance_keeps_it_at_small_steps() {
    for seed in 0..2 {
        let spins = coupled(5, Spin, 0.5, seed + 1);
        kept(laws::no_drift(&spins, &DiscreteLangevin::unadjusted(0.25, 2), seed), "spins");
        broken(laws::no_drift(&spins, &DiscreteLangevin::unadjusted(5.0, 2), seed), "the bias of a long step");
    }
}
/// A kernel of real units and one of discrete ones, one after the other: each moves its own.
struct Both(Hmc, GibbsWithGradients);
impl<M: Score> Kernel<M> for Both {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        self.0.advance(model, slab, rng) + self.1.advance(model, slab, rng)
    }
}
#[test]
fn mixed_models_are_moved_by_two_kernels() {
    for rbm in real_machines(3) {
        let (hmc, gwg) = (Hmc::new(0.4, 3), GibbsWithGradients::new(2));
        kept(laws::no_drift(&rbm, &hmc, 1), &cases::name(&rbm));
        kept(laws::no_drift(&rbm, &gwg, 1), &cases::name(&rbm));
        kept(laws::no_drift(&rbm, &Both(hmc, gwg), 1), &cases::name(&rbm));
        let mut chains = Chains::new(laws::exact_draws(&rbm, 50, 1).unwrap(), 1);
        let start = chains.states.x().clone_owned();
        chains.advance(&hmc, &rbm);
        assert_eq!(chains.states.x().rows(4, 3), start.rows(4, 3));
        assert!(chains.states.x().rows(0, 4) != start.rows(0, 4));
        chains.states.x_mut().copy_from(&start);
        chains.advance(&gwg, &rbm);
        assert_eq!(chains.states.x().rows(0, 4), start.rows(0, 4));
        assert!(chains.states.x().rows(4, 3) != start.rows(4, 3));
    }
}

/// All kernels of real units.
fn of_reals<M: Score>() -> Vec<Box<dyn Kernel<M>>> {
    vec![
        Box::new(Langevin { clip: Some(0.5), ..Langevin::new(0.3, 3) }),
        Box::new(Mala::new(0.5, 3)),
        Box::new(Hmc { trajectories: 2, ..Hmc::new(0.3, 3) }),
        Box::new(UnderdampedLangevin::new(0.3, 1.0, 3)),
    ]
}
/// And of discrete ones.
fn of_discrete<M: Score>() -> Vec<Box<dyn Kernel<M>>> {
    vec![
        Box::new(GibbsWithGradients::new(4)),
        Box::new(DiscreteLangevin::new(0.5, 3)),
        Box::new(DiscreteLangevin::unadjusted(0.5, 3)),
    ]
}
#[test]
fn frozen_units_stay_and_threads_do_not_matter() {
    for rbm in real_machines(4) {
        let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
        for (k, kernel) in of_reals().iter().enumerate() {
            kept(laws::frozen(&free, &**kernel, 1), &format!("kernel {k}, {}", cases::name(&rbm)));
            kept(laws::chains_threads(&free, &**kernel, 1), &format!("kernel {k}, {}", cases::name(&rbm)));
        }
        for kernel in of_reals().iter().chain(of_discrete().iter()) {
            kept(laws::frozen(&rbm, &**kernel, 2), &cases::name(&rbm));
        }
    }
    let (spins, potts) = (coupled(20, Spin, 0.2, 1), coupled(12, Softmax { q: 3 }, 0.2, 1));
    for (k, kernel) in of_discrete().iter().enumerate() {
        for model in [&spins, &potts] {
            kept(laws::frozen(model, &**kernel, 1), &format!("kernel {k}"));
            kept(laws::chains_threads(model, &**kernel, 1), &format!("kernel {k}"));
        }
    }
}
/// Whatever it is: beyond the walls of its range, or minus zero.
#[test]
fn what_is_frozen_keeps_its_bits() {
    let grey = coupled(4, TruncatedExponential, 0.3, 1);
    for kernel in of_reals() {
        let start = Mat::from_fn(4, 30, |i, j| [[1.5, -0.0, -0.5, 0.25][i], 0.5][usize::from(i > 2 && j > 9)]);
        let mut chains = Chains::new(start.clone(), 1);
        chains.states.freeze_rows(0..3).unwrap();
        chains.advance(&*kernel, &grey);
        for (got, expected) in chains.states.x().rows(0, 3).iter().zip(start.rows(0, 3).iter()) {
            assert_eq!(got.to_bits(), expected.to_bits());
        }
        assert!(chains.states.x().row(3).iter().all(|x| (0.0..=1.0).contains(x)));
    }
}
/// With what is frozen, the others are sampled given it: the mean of one of two correlated normal units, given the other.
#[test]
fn what_is_free_is_sampled_given_what_is_frozen() {
    let mut pair = Boltzmann::new((2, Gaussian));
    pair.update(&mut |p| {
        let mut l = p.mat_mut(1);
        (l[(0, 1)], l[(1, 0)]) = (0.8, 0.8);
    });
    for kernel in
        [&Mala::new(1.0, 20) as &dyn Kernel<Boltzmann>, &Hmc::new(0.5, 3), &UnderdampedLangevin::new(0.5, 1.0, 40)]
    {
        let mut chains = Chains::new(Mat::from_fn(2, 4000, |i, _| if i == 0 { 1.5 } else { 0.0 }), 1);
        chains.states.freeze_rows(0..1).unwrap();
        (0..20).for_each(|_| _ = chains.advance(kernel, &pair));
        let mean = chains.states.x().row(1).iter().map(|x| f64::from(*x)).sum::<f64>() / 4000.0;
        assert!((mean - 1.2).abs() < 4.5 / 4000f64.sqrt(), "{mean}");
    }
}

/// `1/(1 - ¼ε²)`: from `x' = (1 - ½ε²) x + εz`, whose variance `V = (1 - ½ε²)² V + ε²`.
#[test]
fn langevin_steps_have_the_bias_that_they_claim() {
    let free = Boltzmann::new((4, Gaussian));
    for step in [0.5f32, 1.0, 1.5] {
        let mut chains = Chains::zeros(&free, DRAWS, 2);
        chains.advance(&Langevin::new(step, 200), &free);
        let x = chains.states.x();
        let n = x.len() as f64;
        let (variance, expected) =
            (x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n, 1.0 / (1.0 - 0.25 * f64::from(step).powi(2)));
        let off = (variance / expected - 1.0) / (2.0 / n).sqrt();
        assert!(off.abs() < 4.5, "at step {step}: {variance} instead of {expected}");
    }
}
/// The temperature of short runs is `noise² / (2 gradient step)` at small steps; gradients can be cut.
#[test]
fn short_runs_choose_step_and_noise_apart() {
    let free = Boltzmann::new((4, Gaussian));
    let mut chains = Chains::zeros(&free, DRAWS, 3);
    chains.advance(&Langevin::short_run(0.02, 0.05, 500), &free);
    let variance = chains.states.x().iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / (4 * DRAWS) as f64;
    let expected = 0.0025 / (1.0 - 0.98f64.powi(2));
    assert!((variance / expected - 1.0).abs() < 4.5 * (2.0 / (4 * DRAWS) as f64).sqrt(), "{variance} {expected}");
    let mut far = Chains::new(Mat::from_element(4, 10, 100.0), 1);
    far.advance(&Langevin { clip: Some(2.0), ..Langevin::short_run(0.5, 0.0, 10) }, &free);
    assert_eq!(far.states.x(), Mat::from_element(4, 10, 90.0));
}
/// A steady slope and long steps: held, every unit comes to rest at its end; thrown back, it never does.
#[test]
fn units_pressed_on_an_end_rest_there_where_they_are_held() {
    let mut grey = Boltzmann::new((4, TruncatedExponential));
    grey.update(&mut |p| {
        let bias = p.slots().iter().position(|s| s.name == "visible_bias").unwrap();
        p.slice_mut(bias).copy_from_slice(&[1.0, -1.0, 1.0, -1.0]);
    });
    let run = |hold: bool| {
        let mut chains = Chains::new(Mat::from_element(4, 3, 0.45), 1);
        chains.advance(&Langevin { hold, ..Langevin::short_run(0.7, 0.0, 5) }, &grey);
        chains.states.x().clone_owned()
    };
    assert_eq!(run(true), Mat::from_fn(4, 3, |i, _| if i % 2 == 0 { 1.0 } else { 0.0 }));
    assert!(run(false).iter().all(|x| *x > 0.01 && *x < 0.99));
}
#[test]
fn acceptance_falls_with_the_step() {
    let machine = gaussian();
    let rates = |make: &dyn Fn(f32) -> Box<dyn Kernel<Boltzmann>>, steps: &[f32]| -> Vec<f64> {
        let rate = |&s: &f32| Chains::new(gaussian_draws(&machine, 4000, 1), 2).advance(&*make(s), &machine).rate();
        steps.iter().map(rate).collect()
    };
    let falls = |rates: &[f64]| rates.windows(2).all(|r| r[0] > r[1]);
    let mala = rates(&|s| Box::new(Mala::new(s, 5)), &[0.05, 0.6, 1.0, 1.4]);
    let hmc = rates(&|s| Box::new(Hmc::new(s, 5)), &[0.05, 0.5, 1.0, 1.4]);
    assert!(falls(&mala) && mala[0] > 0.999, "{mala:?}");
    assert!(falls(&hmc) && hmc[0] > 0.999, "{hmc:?}");
    let spins = coupled(8, Spin, 0.6, 1);
    let at = |step: f32| {
        let mut chains = Chains::new(laws::exact_draws(&spins, 4000, 1).unwrap(), 2);
        chains.advance(&DiscreteLangevin::new(step, 5), &spins).rate()
    };
    let dmala = [0.2, 0.8, 3.0].map(at);
    assert!(falls(&dmala) && dmala[0] > 0.95, "{dmala:?}");
}
/// For a fixed length of trajectories, rejections fall as `ε²`: half the step, a quarter of them.
#[test]
fn errors_of_energy_are_of_second_order() {
    let machine = gaussian();
    let rejected = |step: f32, n: usize| {
        let mut chains = Chains::new(gaussian_draws(&machine, 100_000, 1), 2);
        1.0 - chains.advance(&Hmc { jitter: 0.0, ..Hmc::new(step, n) }, &machine).rate()
    };
    let (long, short) = (rejected(0.4, 3), rejected(0.2, 6));
    // Of 10⁵ trajectories, the shorter step has some 400 rejections: 5 % of chance.
    assert!((long / short - 4.0).abs() < 1.0, "{long} and {short}");
}

/// A model with an energy that ends: beyond |x| = 3 it is no number.
struct Cliff(Vec<Block>, Version);
impl Cliff {
    fn new() -> Self {
        Self(vec![Block { rows: 0..2, unit: Arc::new(Real), group: 0 }], Version::fresh())
    }
}
impl Energy for Cliff {
    fn blocks(&self) -> &[Block] {
        &self.0
    }
    fn version(&self) -> Version {
        self.1
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.column_iter()) {
            *o = x.iter().map(|&x| if x.abs() < 3.0 { 0.5 * f64::from(x).powi(2) } else { f64::NAN }).sum();
        }
    }
}
impl Score for Cliff {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        out.zip_apply(&x, |o, x| *o = if x.abs() < 3.0 { x } else { f32::NAN });
    }
}
#[test]
fn what_diverges_is_counted_and_stays() {
    let cliff = Cliff::new();
    for kernel in [&Mala::new(2.5, 5) as &dyn Kernel<Cliff>, &Hmc::new(1.9, 5)] {
        let mut chains = Chains::zeros(&cliff, 400, 1);
        let moves: Moves = (0..5).map(|_| chains.advance(kernel, &cliff)).sum();
        assert!(
            moves.diverged > 100 && moves.accepted > 0 && moves.accepted + moves.diverged <= moves.proposed,
            "{moves:?}"
        );
        assert!(chains.states.x().iter().all(|x| x.abs() < 3.0));
    }
    for kernel in [&Langevin::new(1.5, 4) as &dyn Kernel<Cliff>, &UnderdampedLangevin::new(1.5, 0.1, 4)] {
        let start = Mat::from_element(2, 400, 1.0);
        let mut chains = Chains::new(start.clone(), 1);
        let moves = chains.advance(kernel, &cliff);
        let lost = chains.states.x().column_iter().filter(|x| *x == start.column(0)).count() as u64;
        assert!(lost > 20 && moves.diverged == 4 * lost && moves.accepted == 4 * (400 - lost), "{moves:?} {lost}");
        // A step may end beyond the cliff, but no number is none.
        assert!(chains.states.x().iter().all(|x| x.is_finite()));
    }
    // Steps far too long: energies rise beyond all reason, or overflow.
    let machine = gaussian();
    let mut chains = Chains::new(gaussian_draws(&machine, 100, 1), 1);
    let before = chains.states.x().clone_owned();
    let moves = chains.advance(&Hmc::new(30.0, 20), &machine);
    assert_eq!((moves.diverged, chains.states.x()), (100, before.as_view()));
    let mut spins = coupled(4, Spin, 0.5, 1);
    spins.update(&mut |p| p.slice_mut(3)[0] = f32::NAN);
    let mut chains = Chains::new(Mat::from_element(4, 10, 1.0), 1);
    for kernel in of_discrete().iter() {
        let moves = chains.advance(&**kernel, &spins);
        assert!(moves.diverged == moves.proposed && chains.states.x().iter().all(|x| *x == 1.0), "{moves:?}");
    }
}
/// Chains begin anywhere: zeros are no spins, and become some.
#[test]
fn discrete_kernels_make_values_of_what_is_none() {
    let (spins, potts) = (coupled(5, Spin, 0.3, 1), coupled(6, Softmax { q: 3 }, 0.3, 1));
    for kernel in of_discrete().iter() {
        let mut chains = Chains::zeros(&spins, 30, 1);
        chains.advance(&**kernel, &spins);
        assert!(chains.states.x().iter().all(|x| x.abs() == 1.0));
        let mut chains = Chains::zeros(&potts, 30, 1);
        chains.advance(&**kernel, &potts);
        for column in chains.states.x().column_iter() {
            for unit in column.as_slice().chunks(3) {
                assert!(unit.iter().sum::<f32>() == 1.0 && unit.iter().filter(|x| **x == 1.0).count() == 1);
            }
        }
    }
}
#[test]
#[should_panic(expected = "real units")]
fn continuous_kernels_need_real_units() {
    let spins = coupled(3, Spin, 0.1, 1);
    Chains::zeros(&spins, 2, 1).advance(&Mala::new(0.1, 1), &spins);
}
#[test]
#[should_panic(expected = "Bernoulli, spin or softmax")]
fn discrete_kernels_need_discrete_units() {
    Chains::zeros(&gaussian(), 2, 1).advance(&GibbsWithGradients::new(1), &gaussian());
}

/// Langevin proposals that are accepted by energies alone, as if they were symmetric.
struct Unbalanced(f32);
impl<M: Score> Kernel<M> for Unbalanced {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let x = slab.x().clone_owned();
        let mut gradient = Mat::zeros(x.nrows(), x.ncols());
        let (mut before, mut after) = (vec![0.0; x.ncols()], vec![0.0; x.ncols()]);
        model.energy_and_grad_x(x.as_view(), &mut before, gradient.as_view_mut());
        let mut y = x.clone();
        for (j, mut column) in y.column_iter_mut().enumerate() {
            let mut z = vec![0.0; x.nrows()];
            linalg::normals_to(&mut z, rng.column(j));
            let g = gradient.column(j);
            let all = column.iter_mut().zip(g.iter()).zip(z);
            all.for_each(|((y, g), z)| *y += self.0 * z - 0.5 * self.0 * self.0 * g);
        }
        model.energy(y.as_view(), &mut after);
        for j in 0..x.ncols() {
            if rng.column(j).random::<f64>().ln() < before[j] - after[j] {
                slab.x_mut().column_mut(j).copy_from(&y.column(j));
            }
        }
        Moves::default()
    }
}
/// Gibbs with gradients whose changes are accepted by energies alone.
struct Oneway;
impl<M: Score> Kernel<M> for Oneway {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let x = slab.x().clone_owned();
        let mut gradient = Mat::zeros(x.nrows(), x.ncols());
        model.grad_x(x.as_view(), gradient.as_view_mut());
        let mut y = x.clone();
        for (j, mut column) in y.column_iter_mut().enumerate() {
            let g = gradient.column(j);
            let weights: Vec<f64> = column.iter().zip(g.iter()).map(|(x, g)| f64::from(x * g).exp()).collect();
            let mut left = rng.column(j).random::<f64>() * weights.iter().sum::<f64>();
            let k = weights.iter().position(|w| {
                left -= w;
                left < 0.0
            });
            column[k.unwrap_or(0)] *= -1.0;
        }
        let (mut before, mut after) = (vec![0.0; x.ncols()], vec![0.0; x.ncols()]);
        model.energy(x.as_view(), &mut before);
        model.energy(y.as_view(), &mut after);
        for j in 0..x.ncols() {
            if rng.column(j).random::<f64>().ln() < before[j] - after[j] {
                slab.x_mut().column_mut(j).copy_from(&y.column(j));
            }
        }
        Moves::default()
    }
}
#[test]
fn wrong_ratios_of_proposals_are_caught() {
    let machine = gaussian();
    let draws = gaussian_draws(&machine, DRAWS, 3);
    broken(
        laws::no_drift_from(&machine, &Unbalanced(0.7), draws.clone(), 1),
        "a Langevin proposal taken for symmetric",
    );
    broken(laws::no_drift_from(&machine, &Langevin::new(1.0, 1), draws, 1), "the bias of a long Langevin step");
    broken(laws::no_drift(&coupled(5, Spin, 0.5, 1), &Oneway, 1), "a proposal by gradients taken for symmetric");
}

#[test]
fn warm_up_finds_the_step_of_the_wished_acceptance() {
    let machine = coupled(20, Gaussian, 0.05, 1);
    for first in [1e-4f32, 0.3, 50.0] {
        let mut chains = Chains::new(gaussian_draws(&machine, 60, 1), 1);
        let warm = WarmUp::new(300).run(&mut chains, &machine, &Mala::new(first, 2)).unwrap();
        let rate = (0..50).map(|_| chains.advance(&warm.kernel, &machine)).sum::<Moves>().rate();
        assert!((rate - 0.574).abs() < 0.05 && (warm.acceptance - 0.574).abs() < 0.05, "{first}: {rate}, {warm:?}");
        assert_eq!((warm.kernel.steps, warm.steps.len(), warm.diverged), (2, 300, 0));
        let wished = WarmUp { target: Some(0.9), ..WarmUp::new(300) };
        let warm = wished.run(&mut chains, &machine, &Hmc::new(first, 5)).unwrap();
        let rate = (0..50).map(|_| chains.advance(&warm.kernel, &machine)).sum::<Moves>().rate();
        assert!((rate - 0.9).abs() < 0.05 && warm.kernel.leapfrogs == 5, "{first}: {rate}, {warm:?}");
    }
    let spins = coupled(30, Spin, 0.2, 1);
    let mut chains = Chains::zeros(&spins, 60, 1);
    let warm = WarmUp::new(300).run(&mut chains, &spins, &DiscreteLangevin::new(0.01, 2)).unwrap();
    let rate = (0..50).map(|_| chains.advance(&warm.kernel, &spins)).sum::<Moves>().rate();
    assert!((rate - 0.574).abs() < 0.05, "{rate}, {warm:?}");
}
#[test]
fn warm_up_refuses_what_it_cannot_do() {
    let (machine, mala) = (gaussian(), Mala::new(0.1, 1));
    let mut chains = Chains::zeros(&machine, 10, 1);
    let mut none = Chains::zeros(&machine, 0, 1);
    assert!(WarmUp::new(0).run(&mut chains, &machine, &mala).is_err());
    assert!(WarmUp::new(5).run(&mut none, &machine, &mala).is_err());
    assert!(WarmUp { advances: 5, target: Some(1.0) }.run(&mut chains, &machine, &mala).is_err());
    assert!(WarmUp::new(5).run(&mut chains, &machine, &Mala::new(0.0, 1)).is_err());
    let mut nowhere = Chains::new(Mat::from_element(2, 10, 5.0), 1); // beyond the cliff
    let refused = WarmUp::new(5).run(&mut nowhere, &Cliff::new(), &mala).unwrap_err();
    assert!(refused.to_string().contains("acceptance"), "{refused}");
    // All is accepted at any step where all states are equally likely.
    let flat = Boltzmann::new((6, Spin));
    assert!(WarmUp::new(20).run(&mut Chains::zeros(&flat, 10, 1), &flat, &DiscreteLangevin::new(0.5, 1)).is_ok());
}

/// Two points at ±2 with normal noise of deviation `σ`: `E = -log Σ exp(-(x ∓ 2)²/2σ²)`, or with `log σ` as a given row above.
struct Points {
    blocks: Vec<Block>,
    sigma: Option<f32>,
    version: Version,
}
impl Points {
    fn new(sigma: Option<f32>) -> Self {
        let first = usize::from(sigma.is_none());
        let blocks = vec![Block { rows: first..first + 1, unit: Arc::new(Real), group: 0 }];
        Self { blocks, sigma, version: Version::fresh() }
    }
    fn at(&self, x: &[f32]) -> (f32, f32) {
        self.sigma.map_or_else(|| (x[0].exp(), x[x.len() - 1]), |sigma| (sigma, x[0]))
    }
}
impl Energy for Points {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn n_given(&self) -> usize {
        usize::from(self.sigma.is_none())
    }
    fn version(&self) -> Version {
        self.version
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        for (j, o) in out.iter_mut().enumerate() {
            let (s, x) = self.at(linalg::col(&x, j));
            let (s, x) = (f64::from(s), f64::from(x));
            // (x² + 4)/2σ² - log 2 cosh 2x/σ²
            let pull = (2.0 * x / (s * s)).abs();
            *o = (x * x + 4.0) / (2.0 * s * s) - pull - (-2.0 * pull).exp().ln_1p();
        }
    }
}
impl Score for Points {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        out.fill(0.0);
        for j in 0..x.ncols() {
            let (s, place) = self.at(linalg::col(&x, j));
            out[(self.blocks[0].rows.start, j)] = (place - 2.0 * (2.0 * place / (s * s)).tanh()) / (s * s);
        }
    }
}
#[test]
fn annealed_langevin_goes_from_noise_to_the_data() {
    kept(laws::score(&Points::new(Some(0.7)), 1), "points");
    let levels = AnnealedLangevin::geometric(4.0, 0.05, 12, 100).unwrap();
    assert!((levels.sigmas[0], levels.sigmas.len()) == (4.0, 12) && (levels.sigmas[11] - 0.05).abs() < 1e-6);
    let n = 4000;
    let start = Mat::from_vec(1, n, normals(n, 4.0, 5));
    let mut chains = Chains::new(start.clone(), 1);
    let moves = levels.run(&mut chains, |sigma| Box::new(Points::new(Some(sigma)))).unwrap();
    assert_eq!(moves, Moves::all((n * (12 * 100 + 1)) as u64));
    let x = chains.states.x();
    assert!(x.iter().all(|x| (x.abs() - 2.0).abs() < 1e-3), "the mean given the noisy state is the point itself");
    let up = x.iter().filter(|x| **x > 0.0).count() as f64 / n as f64;
    assert!((up - 0.5).abs() < 4.5 * 0.5 / (n as f64).sqrt(), "{up}");
    // Without the last step, the noise of the last level is left: of variance σ²/(1 - ¼·0.2).
    let mut noisy = Chains::new(start.clone(), 1);
    AnnealedLangevin { denoise: false, ..levels.clone() }.run(&mut noisy, |s| Box::new(Points::new(Some(s)))).unwrap();
    let variance = noisy.states.x().iter().map(|x| f64::from(x.abs() - 2.0).powi(2)).sum::<f64>() / n as f64;
    let expected = 0.0025 / 0.95;
    assert!((variance / expected - 1.0).abs() < 4.5 * (2.0 / n as f64).sqrt(), "{variance} {expected}");
    // The same chains, with σ as a given row.
    let model = Points::new(None);
    let mut given = Chains::new(Mat::from_fn(2, n, |i, j| if i == 0 { f32::NAN } else { start[(0, j)] }), 1);
    levels.run_given(&mut given, &model, |sigma, rows| rows.fill(sigma.ln())).unwrap();
    let same = given.states.x().row(1).iter().zip(x.iter()).filter(|(a, b)| (*a - *b).abs() < 1e-3).count();
    assert!(same > n * 99 / 100, "{same} of {n} end at the same point"); // σ is rounded by its logarithm
    let wrong = AnnealedLangevin { sigmas: vec![0.1, 1.0], ..levels.clone() };
    assert!(wrong.run(&mut chains, |_| &model).is_err() && AnnealedLangevin::geometric(1.0, 2.0, 3, 1).is_err());
    assert!(levels.run(&mut chains, |_| &model).is_err(), "chains of another height");
}

/// Of data that are normal the flow is linear: a state that is `k` deviations out in all the noise ends `k` deviations out of the data; and
/// frozen units stay.
#[test]
fn the_probability_flow_carries_a_normal_distribution_into_another() {
    let model = NoisyEnergy::new(&[1.0, -2.0], 0.5, 0.01..=10.0, &[(4, Activation::Silu)]).unwrap();
    let first = 10.0f32;
    let wide = (first * first + 0.25).sqrt();
    let outs = |j: usize| 0.3 * j as f32 - 2.0;
    let x = Mat::from_fn(3, 40, |i, j| if i == 0 { first } else { model.mean()[i - 1] + outs(j) * wide });
    let mut chains = Chains::new(x.clone(), 1);
    let flow = ProbabilityFlow::new(first, 0.01, 120).unwrap();
    flow.run_given(&mut chains, &model, |sigma, given| given[0] = sigma).unwrap();
    for j in 0..40 {
        for i in 1..3 {
            let (got, expected) = (chains.states.x()[(i, j)], model.mean()[i - 1] + 0.5 * outs(j));
            assert!((got - expected).abs() < 0.004 * (1.0 + outs(j).abs()), "{got} instead of {expected}");
        }
    }
    // With churn, chains that start as draws end as draws: mean and variance within five standard errors.
    let n = 4000;
    let mut start = Mat::zeros(3, n);
    let mut rng = ChainRng::new(3);
    for mut column in start.column_iter_mut() {
        column[0] = first;
        column.iter_mut().skip(1).zip(model.mean()).for_each(|(x, m)| {
            let z: f32 = StandardNormal.sample(&mut rng);
            *x = m + wide * z;
        });
    }
    let mut chains = Chains::new(start, 2);
    chains.states.freeze_rows(2..3).unwrap();
    let before = chains.states.x().row(2).clone_owned();
    let churned = ProbabilityFlow { churn: 0.2, ..flow.clone() };
    churned.run_given(&mut chains, &model, |sigma, given| given[0] = sigma).unwrap();
    assert_eq!(chains.states.x().row(2), before);
    let values: Vec<f64> = chains.states.x().row(1).iter().map(|x| f64::from(*x)).collect();
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
    let (of_mean, of_variance) = (0.5 / (n as f64).sqrt(), 0.25 * (2.0 / n as f64).sqrt());
    // Heun's steps of 120 levels are off by less than a hundredth, as above.
    assert!((mean - 1.0).abs() < 5.0 * of_mean + 0.005, "{mean}");
    assert!((variance - 0.25).abs() < 5.0 * of_variance + 0.01, "{variance}");
    assert!(ProbabilityFlow::new(1.0, 2.0, 3).is_err());
    assert!(ProbabilityFlow { churn: -0.1, ..flow.clone() }.run_given(&mut chains, &model, |_, _| ()).is_err());
    assert!(ProbabilityFlow { end: 1.0, ..flow.clone() }.run_given(&mut chains, &model, |_, _| ()).is_err());
    assert!(flow.run_given(&mut Chains::new(Mat::zeros(2, 4), 1), &model, |_, _| ()).is_err());
}
