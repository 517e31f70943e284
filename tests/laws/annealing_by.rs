//! Annealing of any energy by any kernel, forth and back: against exact `log Z` of machines of spins, of RBMs with hidden units summed
//! out, and of Gaussians; on average from the right side; and a sample's reverse estimate against where the process itself ends.

use crate::cases;
use harmonium::eval::{
    Ais, Bracketing, LowerBound, Raise, ais, ais_by, bracket_by, exact_log_partition, log_mean_exp, raise_by,
};
use harmonium::models::{Boltzmann, Rbm};
use harmonium::rng::ChainRng;
use harmonium::samplers::{DiscreteLangevin, GibbsWithGradients, Hmc, Kernel, Mala, Moves};
use harmonium::units::{Bernoulli, Gaussian, Real, Softmax, Spin, TruncatedExponential};
use harmonium::{Annealed, Block, Chains, Collapsed, Energy, Mat, MatMut, MatRef, Score, Train, Version, laws, linalg};
use std::sync::Arc;

fn coupled(n: usize, scale: f32, seed: u64) -> Boltzmann {
    random(Boltzmann::new((n, Spin)), scale, seed)
}
fn random(mut machine: Boltzmann, scale: f32, seed: u64) -> Boltzmann {
    machine.update(&mut |p| {
        linalg::normals_to(p.as_mut_slice(), &mut ChainRng::new(seed));
        p.as_mut_slice().iter_mut().for_each(|p| *p *= scale);
    });
    machine
}
fn settings(steps: usize, runs: usize, seed: u64) -> Ais {
    Ais { betas: Ais::linear(steps), runs, seed }
}
/// The mean of the weights is `Z`, for any number of temperatures.
#[track_caller]
fn unbiased<M: Energy, K: for<'a> Kernel<Annealed<'a, M>>>(model: &M, base: &[f32], kernel: &K, log_z: f64) {
    for steps in [1, 3, 20] {
        let got = ais_by(model, base, &settings(steps, 20_000, 1), kernel).unwrap();
        let off = ((got.value - log_z).exp() - 1.0) / (got.standard_error + 1e-6);
        assert!(off.abs() < 4.5, "{steps} steps: {} instead of {log_z}, {off} standard errors", got.value);
    }
}

#[test]
fn weights_are_the_partition_function_on_average() {
    for seed in 1..3 {
        let spins = coupled(6, 0.4, seed);
        let log_z = exact_log_partition(&spins).unwrap();
        let base = [0.3, -0.2, 0.0, 0.5, -0.4, 0.1];
        unbiased(&spins, &base, &GibbsWithGradients::new(2), log_z);
        unbiased(&spins, &base, &DiscreteLangevin::new(0.6, 1), log_z);
        let potts = random(Boltzmann::new((6, Softmax { q: 3 })), 0.5, seed);
        unbiased(&potts, &base, &GibbsWithGradients::new(2), exact_log_partition(&potts).unwrap());
        let reals = random(Boltzmann::new((4, Gaussian)), 0.15, seed);
        let log_z = exact_log_partition(&reals).unwrap();
        unbiased(&reals, &base[..4], &Mala::new(0.6, 2), log_z);
        unbiased(&reals, &base[..4], &Hmc::new(0.6, 3), log_z);
        let grey = cases::strong((4, Arc::new(TruncatedExponential)), (3, Arc::new(Bernoulli)), seed);
        let free = Collapsed::new(&grey, &[Rbm::HIDDEN]);
        unbiased(&free, &base[..4], &Hmc::new(0.2, 3), exact_log_partition(&grey).unwrap());
        let bits = cases::bernoulli(5, 4, seed);
        let free = Collapsed::new(&bits, &[Rbm::HIDDEN]);
        unbiased(&free, &base[..5], &GibbsWithGradients::new(2), exact_log_partition(&bits).unwrap());
    }
}

/// All states of so many spins.
fn all_spins(n: usize) -> Mat {
    Mat::from_fn(n, 1 << n, |i, j| if j >> i & 1 == 1 { 1.0 } else { -1.0 })
}
/// Where the process ends, of so many chains: shares of all states.
fn ends<K>(model: &Boltzmann, base: &[f32], betas: &[f32], kernel: &K, n: usize) -> Vec<f64>
where
    K: for<'a> Kernel<Annealed<'a, Boltzmann>>,
{
    let mut chains = Chains::from_base(model, base, n, 77);
    for &beta in &betas[1..] {
        chains.advance(kernel, &Annealed::new(model, base, beta));
    }
    let mut shares = vec![0.0; 1 << model.n_rows()];
    for x in chains.states.x().column_iter() {
        let index: usize = x.iter().enumerate().map(|(i, x)| usize::from(*x > 0.0) << i).sum();
        shares[index] += 1.0 / n as f64;
    }
    shares
}
fn estimates(bound: &LowerBound) -> Vec<(f64, f64)> {
    bound.samples.iter().map(|s| (s.log_p.exp(), s.log_p.exp() * s.chain_error)).collect()
}
/// The worst deviation of the estimates from the shares of so many chains, in standard errors.
fn worst(estimates: &[(f64, f64)], shares: &[f64], n: usize) -> f64 {
    let off = |((mean, error), p): (&(f64, f64), &f64)| {
        let of_shares = (mean * (1.0 - mean) / n as f64).sqrt();
        (mean - p).abs() / error.hypot(of_shares).hypot(1e-7)
    };
    estimates.iter().zip(shares).map(off).fold(0.0, f64::max)
}
/// Flips the first spin by heat bath, and then the second one: each is reversible, one after the other is not.
struct FirstThenSecond;
impl<M: Score> Kernel<M> for FirstThenSecond {
    fn advance(&self, model: &M, slab: &mut harmonium::Slab<'_>, rng: &mut harmonium::Streams<'_>) -> Moves {
        use harmonium::rand::RngExt;
        let columns = slab.ncols();
        let (mut up, mut down) = (vec![0.0; columns], vec![0.0; columns]);
        for row in 0..3 {
            for (value, energies) in [(1.0, &mut up), (-1.0, &mut down)] {
                slab.x_mut().row_mut(row).fill(value);
                model.energy(slab.x(), energies);
            }
            for j in 0..columns {
                let p = 1.0 / (1.0 + (up[j] - down[j]).exp());
                slab.x_mut()[(row, j)] = if rng.column(j).random::<f64>() < p { 1.0 } else { -1.0 };
            }
        }
        Moves::default()
    }
}
/// The mean of a reverse estimate is the probability that the process ends there, and not that of the model, at few temperatures; by a
/// kernel that is not its own reversal, it is neither.
#[test]
fn reverse_estimates_are_where_the_process_ends() {
    let (n, betas) = (400_000, [0.0, 0.4, 1.0]);
    let (spins, base) = (coupled(3, 1.2, 5), [0.5, -0.5, 0.2]);
    let raised = |kernel: &dyn Fn(&Raise) -> LowerBound| {
        estimates(&kernel(&Raise { betas: betas.to_vec(), samples: 0, chains: 20_000, seed: 1 }))
    };
    let all = all_spins(3);
    let (gwg, dmala) = (GibbsWithGradients::new(1), DiscreteLangevin::new(1.0, 1));
    let by_gwg = raised(&|s| raise_by(&spins, &base, &all, s, &gwg).unwrap());
    let by_dmala = raised(&|s| raise_by(&spins, &base, &all, s, &dmala).unwrap());
    let off = worst(&by_gwg, &ends(&spins, &base, &betas, &gwg, n), n);
    assert!(off < 4.5, "by Gibbs with gradients: {off} errors");
    let off = worst(&by_dmala, &ends(&spins, &base, &betas, &dmala, n), n);
    assert!(off < 4.5, "by discrete Langevin: {off} errors");
    let log_z = exact_log_partition(&spins).unwrap();
    let mut energies = [0.0; 8];
    spins.energy(all.as_view(), &mut energies);
    let p: Vec<f64> = energies.iter().map(|e| (-e - log_z).exp()).collect();
    assert!(worst(&by_gwg, &p, n) > 8.0, "three temperatures are as good as many");
    let by_order = raised(&|s| raise_by(&spins, &base, &all, s, &FirstThenSecond).unwrap());
    let off = worst(&by_order, &ends(&spins, &base, &betas, &FirstThenSecond, n), n);
    assert!(off > 8.0, "a kernel that is not its own reversal is not told: {off}");
    for estimates in [by_gwg, by_dmala, by_order] {
        let (sum, error) = estimates.iter().fold((0.0, 0f64), |(s, e), (p, error)| (s + p, e.hypot(*error)));
        assert!((sum - 1.0).abs() < 4.5 * error, "probabilities sum to {sum} ± {error}");
    }
}

/// Exact draws of a machine and its mean log-likelihood of them.
fn samples_of(machine: &Boltzmann, n: usize) -> (Mat, f64) {
    let x = laws::exact_draws(machine, n, 3).unwrap();
    let mut energies = vec![0.0; n];
    machine.energy(x.as_view(), &mut energies);
    let log_z = exact_log_partition(machine).unwrap();
    let mean = -energies.iter().sum::<f64>() / n as f64 - log_z;
    (x, mean)
}
/// Ten times the temperatures, a tenth of the bias or so; the Monte-Carlo error is below half of what is allowed.
#[test]
fn brackets_close_in_on_the_truth() {
    let spins = coupled(8, 0.6, 2);
    let (x, exact) = samples_of(&spins, 40);
    let bits = cases::bernoulli(6, 5, 4);
    let all: Vec<Vec<f32>> = (0..64).map(|j| (0..6).map(|i| (j >> i & 1) as f32).collect()).collect();
    let v = Mat::from_fn(6, 64, |i, j| all[j][i]);
    let free = Collapsed::new(&bits, &[Rbm::HIDDEN]);
    let of_bits =
        -bits.free_energy(v.as_view()).unwrap().iter().sum::<f64>() / 64.0 - exact_log_partition(&bits).unwrap();
    let reals = random(Boltzmann::new((5, Gaussian)), 0.15, 3);
    let mut draws = Chains::zeros(&reals, 40, 1);
    (0..50).for_each(|_| _ = draws.advance(&Hmc::new(0.5, 5), &reals));
    let y = draws.states.x().clone_owned();
    let mut energies = vec![0.0; 40];
    reals.energy(y.as_view(), &mut energies);
    let of_reals = -energies.iter().sum::<f64>() / 40.0 - exact_log_partition(&reals).unwrap();
    for (steps, allowed) in [(10, 0.6), (100, 0.1), (1000, 0.02)] {
        let how = Bracketing { betas: Ais::linear(steps), runs: 600, samples: 0, chains: 20, seed: 1, exact: false };
        let gwg = GibbsWithGradients::new(2);
        let near = |what: &str, got: harmonium::eval::Bracket, exact: f64| {
            for (end, estimate) in [("lower", got.lower), ("upper", got.upper)] {
                let off = estimate.value - exact;
                eprintln!("{what}, {steps} steps, {end}: off by {off:.4} ± {:.4}", estimate.standard_error);
                assert!(
                    estimate.standard_error < 0.5 * allowed,
                    "{what}, {steps} steps, {end}: ± {}",
                    estimate.standard_error
                );
                assert!(off.abs() < allowed, "{what}, {steps} steps, {end}: off by {off}");
            }
        };
        near("spins", bracket_by(&spins, &[0.0; 8], &x, &how, &gwg).unwrap(), exact);
        near("bits", bracket_by(&free, &[0.0; 6], &v, &how, &gwg).unwrap(), of_bits);
        near("reals by HMC", bracket_by(&reals, &[0.0; 5], &y, &how, &Hmc::new(0.6, 3)).unwrap(), of_reals);
        near("reals by MALA", bracket_by(&reals, &[0.0; 5], &y, &how, &Mala::new(0.8, 2)).unwrap(), of_reals);
    }
}
/// Few temperatures and runs: a bias larger than the noise of a median, each in its own direction.
#[test]
fn each_end_errs_in_its_own_direction() {
    let spins = coupled(8, 0.8, 2);
    let (x, exact) = samples_of(&spins, 40);
    let (mut lower, mut upper) = (vec![], vec![]);
    for seed in 0..21 {
        let how = Bracketing { betas: Ais::linear(4), runs: 4, samples: 10, chains: 4, seed, exact: false };
        let got = bracket_by(&spins, &[0.0; 8], &x, &how, &GibbsWithGradients::new(1)).unwrap();
        lower.push(got.lower.value);
        upper.push(got.upper.value);
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (lower, upper) = (median(lower), median(upper));
    assert!(lower < exact - 0.05 && exact + 0.05 < upper, "{lower}, {exact}, {upper}");
}
/// Summing units out or not, the same number; and less noise with fewer units to draw.
#[test]
fn the_same_log_z_as_with_units_summed_out() {
    let rbm = cases::bernoulli(6, 5, 1);
    let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
    let base = [0.2f32; 11];
    let by_sum = ais(&rbm, &base, &settings(300, 400, 1)).unwrap();
    let by_kernel = ais_by(&free, &base[..6], &settings(300, 400, 2), &GibbsWithGradients::new(3)).unwrap();
    let joint = ais_by(&rbm, &base, &settings(300, 400, 3), &GibbsWithGradients::new(3)).unwrap();
    for other in [by_kernel, joint] {
        let error = by_sum.standard_error.hypot(other.standard_error);
        assert!((other.value - by_sum.value).abs() < 4.5 * error + 0.01, "{} {}", other.value, by_sum.value);
        assert!((log_mean_exp(&other.log_weights) - other.value).abs() < 1e-12);
    }
}
#[test]
fn threads_do_not_matter() {
    let (spins, x) = (coupled(6, 0.5, 1), all_spins(6));
    let how = Bracketing { betas: Ais::linear(20), runs: 100, samples: 0, chains: 3, seed: 1, exact: false };
    let kernel = GibbsWithGradients::new(1);
    let ends = || {
        let got = bracket_by(&spins, &[0.0; 6], &x, &how, &kernel).unwrap();
        [got.lower.value.to_bits(), got.upper.value.to_bits()]
    };
    laws::threads("the bracket", ends).unwrap();
}

/// One real unit without a density of its own.
struct Bowl([Block; 1], Version);
impl Energy for Bowl {
    fn blocks(&self) -> &[Block] {
        &self.0
    }
    fn version(&self) -> Version {
        self.1
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        out.iter_mut().zip(x.iter()).for_each(|(o, x)| *o = 0.5 * f64::from(*x).powi(2));
    }
}
impl Score for Bowl {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        out.copy_from(&x);
    }
}
#[test]
fn what_cannot_be_annealed_is_refused() {
    let bowl = Bowl([Block { rows: 0..1, unit: Arc::new(Real), group: 0 }], Version::fresh());
    let mala = Mala::new(0.5, 1);
    let refused = ais_by(&bowl, &[0.0], &settings(10, 10, 1), &mala).unwrap_err().to_string();
    assert!(refused.contains("base-rate model") && refused.contains("inf"), "{refused}");
    let raise = Raise { betas: Ais::linear(3), samples: 0, chains: 2, seed: 1 };
    assert!(raise_by(&bowl, &[0.0], &Mat::zeros(1, 3), &raise, &mala).is_err());
    let (spins, gwg, base) = (coupled(4, 0.3, 1), GibbsWithGradients::new(1), [0.0; 4]);
    let with = |x: &Mat| raise_by(&spins, &base, x, &raise, &gwg);
    assert!(with(&Mat::from_element(4, 3, 1.0)).is_ok());
    assert!(with(&Mat::from_element(3, 3, 1.0)).is_err() && with(&Mat::from_element(4, 3, 0.5)).is_err());
    assert!(with(&Mat::zeros(4, 0)).is_err());
    assert!(
        raise_by(&spins, &base, &Mat::from_element(4, 3, 1.0), &Raise { chains: 0, ..raise.clone() }, &gwg).is_err()
    );
    assert!(raise_by(&spins, &[0.0; 3], &Mat::from_element(4, 3, 1.0), &raise, &gwg).is_err());
    assert!(ais_by(&spins, &base, &settings(10, 0, 1), &gwg).is_err());
    assert!(ais_by(&spins, &base, &Ais { betas: vec![0.0, 0.5], runs: 3, seed: 1 }, &gwg).is_err());
    let reals = Boltzmann::new((2, Gaussian));
    let with = |x: f32| raise_by(&reals, &[0.0; 2], &Mat::from_element(2, 3, x), &raise, &mala);
    assert!(with(1.0).is_ok() && with(f32::NAN).is_err() && with(f32::INFINITY).is_err());
    let grey = random(Boltzmann::new((2, TruncatedExponential)), 0.1, 1);
    let with = |x: f32| raise_by(&grey, &[0.0; 2], &Mat::from_element(2, 3, x), &raise, &mala);
    assert!(with(0.25).is_ok() && with(1.5).is_err());
}

/// At `β = 0` there is nothing of the model in the annealed one, not even what is no number; at `β = 1` it is the model to the bit.
#[test]
fn annealed_models_are_exact_at_both_ends() {
    let machine = random(Boltzmann::new((5, Gaussian)), 0.2, 1);
    let mut wild = machine.clone();
    wild.update(&mut |p| p.as_mut_slice().fill(f32::NAN));
    let base = [0.3, -0.2, 0.0, 0.5, -0.4];
    let mut x = Mat::zeros(5, 7);
    linalg::normals_to(x.as_mut_slice(), &mut ChainRng::new(1));
    let both = |m: &dyn Score| {
        let (mut energies, mut gradient) = (vec![f64::NAN; 7], Mat::from_element(5, 7, f32::NAN));
        m.energy_and_grad_x(x.as_view(), &mut energies, gradient.as_view_mut());
        let (mut apart, mut alone) = (vec![f64::NAN; 7], Mat::from_element(5, 7, f32::NAN));
        m.energy(x.as_view(), &mut apart);
        m.grad_x(x.as_view(), alone.as_view_mut());
        apart.iter().zip(&energies).for_each(|(a, b)| cases::close(*b, *a, 10.0, "the energy"));
        assert_eq!(alone, gradient);
        (energies, gradient)
    };
    assert_eq!(both(&Annealed::new(&machine, &base, 1.0)), both(&machine));
    let (energies, gradient) = both(&Annealed::new(&wild, &base, 0.0));
    for (j, x) in x.column_iter().enumerate() {
        let (mut expected, column) = (0.0, gradient.column(j));
        for (i, x) in x.iter().enumerate() {
            expected += 0.5 * f64::from(*x).powi(2) - f64::from(base[i]) * f64::from(*x);
            assert_eq!(column[i], x - base[i]);
        }
        cases::close(energies[j], expected, 5.0, "the base rate");
    }
    for beta in [1e-4, 0.3, 0.9, 0.999_999_9] {
        laws::score(&Annealed::new(&machine, &base, beta), 1).unwrap();
    }
}
