//! Ising models: cluster updates, pseudo-likelihood and what it finds, lattices against exact results.

use harmonium::eval::{Ais, Diagnostics, ais, exact_log_partition, ising};
use harmonium::laws;
use harmonium::models::{Boltzmann, Boundary, SparseBoltzmann};
use harmonium::objectives::{Contrastive, Objective, PseudoLikelihood};
use harmonium::optim::{Adam, Schedule};
use harmonium::samplers::{BlockGibbs, SwendsenWang};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Softmax, Spin};
use harmonium::{
    Batch, Block, ChainRng, Chains, Conditionals, Energy, Gibbs, Learn, Mat, MatMut, MatRef, Params, Train, Version,
};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

fn random<M: Train>(mut model: M, scale: f32, seed: u64) -> M {
    let mut rng = ChainRng::new(seed);
    model.update(&mut |p| {
        for w in p.as_mut_slice() {
            let z: f32 = StandardNormal.sample(&mut rng);
            *w = scale * z;
        }
    });
    model
}
fn wheel() -> Vec<(usize, usize)> {
    (0..5).map(|i| (i, (i + 1) % 5)).chain((0..5).map(|i| (i, 5))).collect()
}

#[test]
fn cluster_updates_keep_the_laws_of_kernels() {
    for seed in 0..3 {
        let spins = random(SparseBoltzmann::new((6, Spin), &wheel()).unwrap(), 0.7, seed);
        let clusters = SwendsenWang::new(&spins, 1).unwrap();
        for verdict in [
            laws::no_drift(&spins, &clusters, seed),
            laws::frozen(&spins, &clusters, seed),
            laws::chains_threads(&spins, &clusters, seed),
        ] {
            let kept = verdict.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            assert!(kept.checks > 0);
        }
    }
    let bits = SparseBoltzmann::new((6, Bernoulli), &wheel()).unwrap();
    assert!(SwendsenWang::new(&bits, 1).is_err());
}

/// A model without what it overrides.
struct Plain<'a, M>(&'a M);
impl<M: Conditionals> Energy for Plain<'_, M> {
    fn blocks(&self) -> &[Block] {
        self.0.blocks()
    }
    fn version(&self) -> Version {
        self.0.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.0.energy(x, out);
    }
}
impl<M: Conditionals> Gibbs for Plain<'_, M> {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        self.0.field(rows, x, out);
    }
}
impl<M: Conditionals> Learn for Plain<'_, M> {
    fn params(&self) -> &Params {
        self.0.params()
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.0.grad_params(x, weights, grad);
    }
}
impl<M: Conditionals> Conditionals for Plain<'_, M> {}

/// `C` of every state, from energies alone.
fn cost<M: Gibbs>(model: &M, x: &Mat) -> Vec<f64> {
    let energy = |x: &Mat| {
        let mut out = [0.0];
        model.energy(x.as_view(), &mut out);
        out[0]
    };
    let of = |j: usize| {
        let own = x.columns(j, 1).clone_owned();
        let mut cost = 0.0;
        for block in model.blocks() {
            for start in block.rows.clone().step_by(block.unit.width()) {
                let beside: f64 = block
                    .unit
                    .support()
                    .unwrap()
                    .iter()
                    .map(|value| {
                        let mut y = own.clone();
                        y.rows_mut(start, value.len()).copy_from_slice(value);
                        (energy(&own) - energy(&y)).exp()
                    })
                    .sum();
                cost += beside.ln();
            }
        }
        cost
    };
    (0..x.ncols()).map(of).collect()
}
fn check_conditionals<M: Conditionals + Train + Clone>(model: &M, what: &str) {
    let x = laws::exact_draws(model, 9, 1).unwrap();
    let weights: Vec<f32> = (0..9).map(|k| [0.5, 0.0, 1.0][k % 3]).collect();
    let (mut grad, mut plain) = (model.params().zeros_like(), model.params().zeros_like());
    let value = model.grad_conditionals(x.as_view(), &weights, &mut grad);
    let of_plain = Plain(model).grad_conditionals(x.as_view(), &weights, &mut plain);
    let total = |m: &M| cost(m, &x).iter().zip(&weights).map(|(c, w)| c * f64::from(*w)).sum::<f64>();
    assert!(
        (value - total(model)).abs() < 1e-4 && (of_plain - value).abs() < 1e-4,
        "{what}: {value} {of_plain} {}",
        total(model)
    );
    for (k, (a, b)) in grad.as_slice().iter().zip(plain.as_slice()).enumerate() {
        assert!((a - b).abs() < 1e-4, "{what}, entry {k}: {a} {b}");
    }
    for k in 0..grad.as_slice().len() {
        let at = |step: f32| {
            let mut moved = model.clone();
            moved.update(&mut |p| p.as_mut_slice()[k] += step);
            total(&moved)
        };
        // The door moves both halves of a pair by half.
        let difference = (at(0.02) - at(-0.02)) / 0.04;
        assert!(
            (f64::from(grad.as_slice()[k]) - difference).abs() < 2e-3,
            "{what}, entry {k}: {} {difference}",
            grad.as_slice()[k]
        );
    }
}
#[test]
fn gradients_of_pseudo_likelihoods_are_their_derivatives() {
    check_conditionals(&random(Boltzmann::new((5, Spin)), 0.5, 1), "dense spins");
    check_conditionals(&random(Boltzmann::new((6, Softmax { q: 3 })), 0.5, 2), "dense Potts");
    check_conditionals(&random(SparseBoltzmann::new((6, Bernoulli), &wheel()).unwrap(), 0.5, 3), "sparse bits");
    check_conditionals(&random(SparseBoltzmann::new((6, Softmax { q: 2 }), &wheel()).unwrap(), 0.5, 4), "sparse Potts");
    let machine = random(Boltzmann::new((5, Spin)), 0.5, 1);
    let x = laws::exact_draws(&machine, 12, 1).unwrap();
    laws::objective(&machine, PseudoLikelihood::default, x.as_view()).unwrap();
    let hidden = Boltzmann::semi_restricted((3, Spin), (2, Spin));
    let x = Mat::zeros(3, 2);
    let batch = Batch { x: x.as_view(), weights: &[1.0; 2], missing: None, step: 0 };
    assert!(PseudoLikelihood::default().gradient(&hidden, &batch, &mut hidden.params().zeros_like()).is_err());
}

/// Exact draws of spins, by the energies of all states.
fn draws(model: &Boltzmann, n: usize, seed: u64) -> Mat {
    let d = model.n_visible();
    let state = |index: usize, out: &mut [f32]| {
        out.iter_mut().enumerate().for_each(|(i, s)| *s = if index >> i & 1 == 1 { 1.0 } else { -1.0 });
    };
    let mut up_to = Vec::with_capacity(1 << d);
    let mut sum = 0.0;
    for first in (0..1usize << d).step_by(1 << 12) {
        let mut x = Mat::zeros(d, 1 << 12);
        x.column_iter_mut().enumerate().for_each(|(k, mut c)| state(first + k, c.as_mut_slice()));
        let mut energies = vec![0.0; 1 << 12];
        model.energy(x.as_view(), &mut energies);
        for e in energies {
            sum += (-e).exp();
            up_to.push(sum);
        }
    }
    let mut rng = ChainRng::new(seed);
    let mut out = Mat::zeros(d, n);
    for mut column in out.column_iter_mut() {
        let u = rng.random::<f64>() * sum;
        state(up_to.partition_point(|p| *p <= u), column.as_mut_slice());
    }
    out
}
/// Root mean square error of the couplings that are learned from so many samples.
fn recovered(truth: &Boltzmann, samples: &Mat) -> f64 {
    let mut found = Boltzmann::new((truth.n_visible(), Spin));
    let n = samples.ncols();
    let fit = Fit {
        epochs: 400,
        batch: n,
        learning_rate: Schedule::Linear { from: 0.05, to: 0.0, steps: 400 },
        seed: 1,
        ..Fit::default()
    };
    let mut objective = PseudoLikelihood::default();
    fit.run(&mut Run::new(&mut found, &mut objective, &mut Adam::default(), &mut Silent), samples).unwrap();
    let (a, b) = (truth.visible_lateral(), found.visible_lateral());
    let pairs = (truth.n_visible() * (truth.n_visible() - 1)) as f64;
    (a.iter().zip(b.iter()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / pairs).sqrt()
}
/// The error of couplings found by pseudo-likelihood falls as one over the square root of the samples: from 1,000 to 16,000. The
/// error itself is a root mean square over 190 couplings, known to some `1 / √(2·190)` = 5 %; the slope in logarithms over a factor of
/// 16 to ±0.07 / ln 16 = 0.026, of which four are allowed.
#[test]
fn couplings_of_twenty_spins_are_found_from_samples() {
    let mut truth = random(Boltzmann::new((20, Spin)), 1.0, 5);
    truth.update(&mut |p| {
        p.slice_mut(1).iter_mut().for_each(|w| *w *= 0.5 / 20f32.sqrt() * 2f32.sqrt());
        p.slice_mut(3).iter_mut().for_each(|b| *b *= 0.1);
    });
    let draws = draws(&truth, 16_000, 7);
    let errors: Vec<f64> =
        [1_000, 4_000, 16_000].map(|n| recovered(&truth, &draws.columns(0, n).clone_owned())).to_vec();
    let slope = (errors[2] / errors[0]).ln() / 16f64.ln();
    println!("errors {errors:.5?}, slope {slope:.3}");
    assert!((slope + 0.5).abs() < 0.104, "errors {errors:?}, slope {slope}");
    assert!(errors[2] < 0.02);
}
/// Exact gradients of a lattice: a chain of contrastive divergence with the exact negative phase finds the couplings too.
#[test]
fn exact_learning_finds_the_couplings_of_a_wheel() {
    let truth = random(SparseBoltzmann::new((6, Spin), &wheel()).unwrap(), 0.5, 3);
    let samples = laws::exact_draws(&truth, 40_000, 1).unwrap();
    let mut found = SparseBoltzmann::new((6, Spin), &wheel()).unwrap();
    let mut exact = Contrastive::exact(&found).unwrap();
    let fit = Fit {
        epochs: 300,
        batch: 40_000,
        learning_rate: Schedule::Linear { from: 0.05, to: 0.0, steps: 300 },
        seed: 1,
        ..Fit::default()
    };
    fit.run(&mut Run::new(&mut found, &mut exact, &mut Adam::default(), &mut Silent), &samples).unwrap();
    // A standard error is some 1/√n over the standard deviation of a product, below one.
    for (a, b) in truth.couplings().iter().zip(found.couplings().iter()) {
        assert!((a - b).abs() < 5.0 / 40_000f32.sqrt() * 2.0, "{a} {b}");
    }
}

/// Energies of a 16 × 16 lattice against Kaufman's, both ways to move it, with errors that know the autocorrelation.
#[test]
fn energies_of_a_lattice_are_kaufmans() {
    for (k, coupling) in [0.3f32, 0.43, 0.6].into_iter().enumerate() {
        let model = SparseBoltzmann::ising(&[16, 16], Boundary::Periodic, coupling).unwrap();
        let exact = ising::energy([16, 16], f64::from(coupling)).unwrap();
        let clusters = SwendsenWang::new(&model, 1).unwrap();
        for by_clusters in [false, true] {
            let mut chains = Chains::new(Mat::from_element(256, 16, 1.0), k as u64);
            let mut step = || {
                match by_clusters {
                    true => chains.advance(&clusters, &model),
                    false => chains.advance(&BlockGibbs::new(4), &model),
                };
                let mut energies = vec![0.0; 16];
                model.energy(chains.states.x(), &mut energies);
                energies.into_iter().map(|e| e / f64::from(coupling) / 256.0).collect::<Vec<f64>>()
            };
            (0..200).for_each(|_| _ = step());
            let draws: Vec<f64> = (0..1000).flat_map(|_| step()).collect();
            let found = Diagnostics::of(&DMatrix::from_row_slice(1000, 16, &draws)).unwrap();
            let off = (found.mean - exact) / found.standard_error;
            assert!(off.abs() < 4.0, "coupling {coupling}, clusters {by_clusters}: {found:?}, exact {exact}");
        }
    }
}
#[test]
fn log_z_of_lattices_by_annealing() {
    let small = SparseBoltzmann::ising(&[4, 4], Boundary::Periodic, 0.4).unwrap();
    let exact = exact_log_partition(&small).unwrap();
    assert!((exact - ising::log_partition([4, 4], f64::from(0.4f32)).unwrap()).abs() < 1e-5);
    for (sides, temperatures) in [([4, 4], 200), ([8, 8], 1000)] {
        let model = SparseBoltzmann::ising(&sides, Boundary::Periodic, 0.4).unwrap();
        let settings = Ais { betas: Ais::linear(temperatures), runs: 100, seed: 1 };
        let found = ais(&model, &vec![0.0; model.n_rows()], &settings).unwrap();
        let exact = ising::log_partition(sides, f64::from(0.4f32)).unwrap();
        assert!((found.value - exact).abs() < 4.0 * found.standard_error, "{sides:?}: {found:?}, exact {exact}");
    }
}

#[test]
fn what_is_no_spin_becomes_one() {
    let ising = SparseBoltzmann::ising(&[4, 4], Boundary::Periodic, 0.3).unwrap();
    let mut chains = Chains::zeros(&ising, 6, 1);
    chains.advance(&SwendsenWang::new(&ising, 3).unwrap(), &ising);
    assert!(chains.states.x().iter().all(|s| s.abs() == 1.0));
}
#[test]
fn data_of_a_pseudo_likelihood_are_values_of_their_units() {
    let machine = Boltzmann::new((3, Spin));
    let said = |x: &Mat, weights: &[f32]| {
        let batch = Batch { x: x.as_view(), weights, missing: None, step: 0 };
        let objective = &mut PseudoLikelihood::default();
        objective.gradient(&machine, &batch, &mut machine.params().zeros_like()).map(drop).map_err(|e| e.to_string())
    };
    let spins = Mat::from_element(3, 2, 1.0);
    assert!(said(&spins, &[1.0; 2]).is_ok());
    assert!(said(&Mat::zeros(3, 2), &[1.0; 2]).unwrap_err().contains("spin"));
    assert!(said(&spins, &[1.0]).unwrap_err().contains("weights"));
    assert!(said(&spins, &[1.0, f32::NAN]).unwrap_err().contains("weight"));
}
