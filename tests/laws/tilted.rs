//! Tilted machines: their energies and gradients, Metropolis proposals by sweeps, annealing there and back against exact sums; and free
//! energies as networks.

use crate::cases;
use harmonium::eval::{Ais, Bracketing, bracket_tilted};
use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::models::{Kind, Product, Rbm};
use harmonium::objectives::{Contrastive, Objective, Persistent};
use harmonium::rng::ChainRng;
use harmonium::samplers::{Kernel, MetropolisGibbs, Moves};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Batch, Chains, Configurations, Energy, Learn, Mat, Slab, Streams, Tilted, Train, Unit, laws, linalg};
use std::sync::Arc;

type Model = Tilted<Rbm, NeuralEnergy>;

fn network(units: &[Kind], seed: u64) -> NeuralEnergy {
    let mut network = NeuralEnergy::new(0, units, &[(6, Activation::Silu), (5, Activation::Tanh)]);
    network.update(&mut |p| {
        linalg::normals_to(p.as_mut_slice(), &mut ChainRng::new(seed));
        p.as_mut_slice().iter_mut().for_each(|p| *p *= 0.8);
    });
    network
}
fn tilted(visible: Kind, hidden: Kind, seed: u64) -> Model {
    let rbm = cases::strong(visible.clone(), hidden, seed);
    Tilted::new(rbm, network(&[visible], seed + 10)).unwrap()
}
fn bits(n: usize) -> Kind {
    (n, Arc::new(Bernoulli))
}
fn models() -> Vec<Model> {
    vec![
        tilted(bits(4), bits(3), 1),
        tilted((4, Arc::new(Spin)), bits(3), 2),
        tilted((4, Arc::new(Softmax { q: 2 })), (3, Arc::new(Spin)), 3),
    ]
}
/// All states, their probabilities, and `log Z`.
fn enumerated(model: &Model) -> (Mat, Vec<f64>, f64) {
    let blocks: Vec<usize> = (0..model.blocks().len()).collect();
    let all = Configurations::new(model.machine(), &blocks).unwrap().all(1 << 16).unwrap();
    let mut energies = vec![0.0; all.ncols()];
    model.energy(all.as_view(), &mut energies);
    let z: f64 = energies.iter().map(|e| (-e).exp()).sum();
    (all, energies.iter().map(|e| (-e).exp() / z).collect(), z.ln())
}
/// Exact draws, in the shares of the states.
fn draws(model: &Model, n: usize) -> Mat {
    let (all, p, _) = enumerated(model);
    let mut sum = 0.0;
    let up_to: Vec<f64> = p
        .iter()
        .map(|p| {
            sum += p;
            sum
        })
        .collect();
    let place = |k: usize| up_to.partition_point(|s| *s <= sum * (k as f64 + 0.5) / n as f64).min(p.len() - 1);
    Mat::from_fn(all.nrows(), n, |i, k| all[(i, place(k))])
}

#[test]
fn the_energy_is_the_sum_and_the_free_energy_sums_the_hidden_units_out() {
    for model in models() {
        let (all, _, _) = enumerated(&model);
        let d = model.n_visible();
        let (mut e, mut own, mut tilt) = (vec![0.0; all.ncols()], vec![0.0; all.ncols()], vec![0.0; all.ncols()]);
        model.energy(all.as_view(), &mut e);
        model.machine().energy(all.as_view(), &mut own);
        model.tilt().energy(all.rows(0, d), &mut tilt);
        assert!(e.iter().zip(own.iter().zip(&tilt)).all(|(e, (a, b))| (e - a - b).abs() < 1e-12));
        let v = all.column(all.ncols() / 3).rows(0, d).clone_owned();
        let same = (0..all.ncols()).filter(|&k| all.column(k).rows(0, d) == v);
        let exact = -same.map(|k| (-e[k]).exp()).sum::<f64>().ln();
        let got = model.free_energy(Mat::from_column_slice(d, 1, v.as_slice()).as_view()).unwrap();
        assert!((got[0] - exact).abs() < 1e-5, "{} instead of {exact}", got[0]);
    }
}
#[test]
fn gradients_keep_the_law() {
    for mut model in models() {
        assert!(laws::gradient(&mut model, 1).unwrap().checks > 0);
    }
}
/// What is averaged over hidden units is the sum over their states.
#[test]
fn expected_gradients_are_sums_over_hidden_units() {
    for model in models() {
        let ((all, p, _), d) = (enumerated(&model), model.n_visible());
        let v = all.column(all.ncols() / 3).rows(0, d).clone_owned();
        let same: Vec<f32> = (0..all.ncols()).map(|k| f32::from(u8::from(all.column(k).rows(0, d) == v))).collect();
        let total: f64 = p.iter().zip(&same).map(|(p, s)| p * f64::from(*s)).sum();
        let shares: Vec<f32> = p.iter().zip(&same).map(|(p, s)| (p / total) as f32 * s).collect();
        let (mut exact, mut got) = (model.params().zeros_like(), model.params().zeros_like());
        model.grad_params(all.as_view(), &shares, &mut exact);
        let mut state = Mat::zeros(model.n_rows(), 1);
        state.rows_mut(0, d).copy_from(&v);
        model.grad_expected(&mut harmonium::States::new(state), harmonium::Phase::Data, &[1.0], &mut got);
        for (a, b) in got.as_slice().iter().zip(exact.as_slice()) {
            assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} instead of {b}");
        }
    }
}
/// Weights of both phases, with biases of the data phase alone shown between.
#[test]
fn one_pass_over_both_phases_is_two_passes() {
    for model in models() {
        let all = draws(&model, 12);
        let (weights, minus) = ([0.1f32; 12], [-0.2f32; 12]);
        let states = || harmonium::States::new(all.clone());
        let (mut both, mut apart, mut shown) = (model.params().zeros_like(), model.params().zeros_like(), vec![]);
        both.as_mut_slice().fill(5.0);
        model.grad_contrast((&mut states(), &weights), (&mut states(), &minus), &mut both, &mut |data| {
            shown.push(data.clone());
        });
        model.grad_expected(&mut states(), harmonium::Phase::Data, &weights, &mut apart);
        for (k, slot) in apart.slots().iter().enumerate().filter(|(_, s)| s.role == harmonium::params::Role::Bias) {
            let close = shown[0].slice(k).iter().zip(apart.slice(k)).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(shown.len() == 1 && close, "{}", slot.name);
        }
        model.grad_expected(&mut states(), harmonium::Phase::Model, &minus, &mut apart);
        for (a, b) in both.as_slice().iter().zip(apart.as_slice()) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    }
}
#[test]
fn proposals_keep_the_law_of_no_drift() {
    for (k, model) in models().iter().enumerate() {
        let verdict = laws::no_drift_from(model, &MetropolisGibbs::new(2), draws(model, 20_000), k as u64);
        assert!(verdict.unwrap().checks > 0);
    }
}
/// The same sweeps, all of them taken, are those of the machine, and drift.
#[test]
fn sweeps_without_acceptance_drift() {
    struct All;
    impl Kernel<Model> for All {
        fn advance(&self, model: &Model, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
            harmonium::samplers::BlockGibbs::new(1).advance(model.machine(), slab, rng)
        }
    }
    let model = &models()[0];
    assert!(laws::no_drift_from(model, &All, draws(model, 20_000), 1).is_err());
}
#[test]
fn proposals_keep_the_laws_of_threads_and_of_what_is_frozen() {
    let model = &models()[0];
    laws::chains_threads(model, &MetropolisGibbs::new(3), 1).unwrap();
    let mut chains = Chains::new(draws(model, 100), 1);
    let before = chains.states.x().rows(1, 2).clone_owned();
    chains.states.freeze_rows(1..3).unwrap();
    let moves = chains.advance(&MetropolisGibbs::new(10), model);
    assert!(moves.proposed == 1000 && moves.accepted > 100 && moves.diverged == 0);
    assert_eq!(chains.states.x().rows(1, 2), before);
}
/// `Z` on average, for any number of temperatures, and `1/Z` from exact draws.
#[test]
fn annealing_is_right_on_average_there_and_back() {
    for (k, model) in models().iter().enumerate() {
        let (_, _, log_z) = enumerated(model);
        let base: Vec<f32> = (0..model.n_rows()).map(|i| 0.4 * (i as f32 + 0.5).sin()).collect();
        let v = draws(model, 1000).rows(0, model.n_visible()).clone_owned();
        for steps in [1, 2, 15] {
            let settings = Bracketing {
                betas: Ais::linear(steps),
                runs: 20_000,
                samples: 0,
                chains: 20,
                seed: 1 + k as u64,
                exact: false,
            };
            let got = bracket_tilted(model, &base, &v, &settings).unwrap();
            let log = &got.log_partition;
            let off = ((log.value - log_z).exp() - 1.0) / (log.standard_error + 1e-6);
            assert!(off.abs() < 4.5, "{steps} steps: {} instead of {log_z}", log.value);
            // The mean over samples of what is below each: its error is that of samples and chains.
            let exact = got.upper.value + log.value - log_z;
            assert!(got.lower.value < exact + 4.5 * got.lower.standard_error + 1e-4, "{steps} steps: {got}");
        }
        let many = Bracketing { betas: Ais::linear(500), runs: 1000, chains: 5, exact: false, ..Bracketing::default() };
        let got = bracket_tilted(model, &base, &v, &many).unwrap();
        assert!(got.gap().value.abs() < 0.1 && (got.log_partition.value - log_z).abs() < 0.05, "{got}");
    }
}
/// Learning by exact chains moves the model to the data's distribution.
#[test]
fn the_gradient_vanishes_at_the_models_own_draws() {
    let model = &models()[0];
    let x = draws(model, 20_000);
    let chains = Chains::new(x.clone(), 3);
    let mut objective = Contrastive::new(Persistent::new(MetropolisGibbs::new(3), chains));
    let (v, weights) = (x.rows(0, model.n_visible()).clone_owned(), vec![1.0; x.ncols()]);
    let mut grad = model.params().zeros_like();
    let batch = Batch { x: v.as_view(), weights: &weights, missing: None, step: 0 };
    objective.gradient(model, &batch, &mut grad).unwrap();
    // Each entry is a mean over 20,000 chains of numbers of order one.
    let scale = 1.0 + model.params().as_slice().iter().fold(0f32, |m, p| m.max(p.abs())).powi(2);
    let worst = grad.as_slice().iter().fold(0f32, |m, g| m.max(g.abs()));
    assert!(worst > 0.0 && worst < 5.0 * scale / (20_000f32).sqrt(), "{worst} of {scale}");
}
#[test]
fn other_units_and_deeper_machines_are_refused() {
    let rbm = || Rbm::new((4, Bernoulli), (3, Bernoulli));
    assert!(Tilted::new(rbm(), network(&[bits(5)], 1)).is_err());
    assert!(Tilted::new(rbm(), network(&[(4, Arc::new(Spin))], 1)).is_err());
    let deep = harmonium::models::Dbm::new(&[bits(4), bits(3), bits(2)]);
    assert!(Tilted::new(deep, network(&[bits(4)], 1)).is_err());
    assert!(models()[0].free_energy(Mat::zeros(3, 1).as_view()).is_err());
}

/// Free energies as networks, of visible units of any kind, with parameters of their own; and their product with another network is the
/// tilted machine without its hidden units.
#[test]
fn a_free_energy_is_a_network_of_one_layer() {
    let kinds: Vec<Arc<dyn Unit>> = vec![
        Arc::new(Bernoulli),
        Arc::new(Spin),
        Arc::new(Gaussian),
        Arc::new(Softmax { q: 2 }),
        Arc::new(LogPrecision),
    ];
    for (k, kind) in kinds.into_iter().enumerate() {
        let visible = (4, kind);
        let rbm = cases::strong(visible.clone(), bits(3), k as u64);
        let v = Mat::from_fn(4, 30, |i, j| f32::from(u8::from((3 * i + 5 * j) % 7 > 2)));
        let network_of = NeuralEnergy::from_rbm(&rbm).unwrap();
        let mut got = vec![0.0; 30];
        network_of.energy(v.as_view(), &mut got);
        let exact = rbm.free_energy(v.as_view()).unwrap();
        let close =
            |got: &[f64], exact: &[f64]| got.iter().zip(exact).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs()));
        assert!(close(&got, &exact), "{got:?} instead of {exact:?}");
        let other = network(&[visible], 9);
        let product = Product::of(vec![(1.0, Box::new(network_of)), (1.0, Box::new(other.clone()))]).unwrap();
        product.energy(v.as_view(), &mut got);
        let exact = Tilted::new(rbm, other).unwrap().free_energy(v.as_view()).unwrap();
        assert!(close(&got, &exact), "{got:?} instead of {exact:?}");
    }
    assert!(NeuralEnergy::from_rbm(&Rbm::new((4, Bernoulli), (3, Spin))).is_err());
}
