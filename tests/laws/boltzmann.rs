//! General Boltzmann machines, dense and sparse: all laws of the kit, their fast sweeps against the plain one, and what a small machine
//! has in common with others of the same energy.

use harmonium::eval::{LogPartition, exact_log_partition, log_likelihood_bounds, log_likelihoods};
use harmonium::infer::{Dynamics, Recall, recall};
use harmonium::io::{
    Tensor, TensorFile, Values, load_boltzmann, load_sparse_boltzmann, save_boltzmann, save_sparse_boltzmann,
};
use harmonium::laws::{self, Verdict};
use harmonium::models::hopfield::Hopfield;
use harmonium::models::{Boltzmann, Boundary, Lateral, Rbm, SparseBoltzmann};
use harmonium::objectives::{Contrastive, Enumerated, Objective};
use harmonium::samplers::{BlockGibbs, Descend, Kernel};
use harmonium::units::{Bernoulli, Binomial, Gaussian, Softmax, Spin};
use harmonium::{
    Batch, ChainRng, Chains, Energy, Gibbs, Learn, Marginal, Mat, Response, Slab, States, Train, Unit, sweep,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

#[track_caller]
fn kept(verdicts: Vec<Verdict>, what: &str) {
    assert!(verdicts.len() >= 8, "{what}: {} laws", verdicts.len());
    for verdict in verdicts {
        match verdict {
            Ok(kept) => assert!(kept.checks > 0 && kept.worst <= 1.0, "{what}: {kept:?}"),
            Err(broken) => panic!("{what}: {broken}"),
        }
    }
}
/// Parameters of this size.
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
fn kind(n: usize, unit: impl Unit) -> (usize, Arc<dyn Unit>) {
    (n, Arc::new(unit))
}
fn dense() -> Vec<(&'static str, Boltzmann)> {
    let both =
        |visible: &[_], hidden: &[_], v, h| Boltzmann::with_layers(visible, hidden, Lateral { visible: v, hidden: h });
    vec![
        ("spins", Boltzmann::new((6, Spin))),
        ("bits", Boltzmann::new((6, Bernoulli))),
        ("Potts", Boltzmann::new((9, Softmax { q: 3 }))),
        ("binomial", Boltzmann::new((4, Binomial { n: 2 }))),
        ("semi-restricted bits", Boltzmann::semi_restricted((4, Bernoulli), (3, Bernoulli))),
        ("semi-restricted spins over bits", Boltzmann::semi_restricted((4, Bernoulli), (3, Spin))),
        ("semi-restricted spins under real units", Boltzmann::semi_restricted((5, Spin), (2, Gaussian))),
        ("with hidden units", Boltzmann::with_hidden((4, Spin), (3, Bernoulli))),
        ("hidden couplings alone", both(&[kind(4, Bernoulli)], &[kind(3, Spin)], false, true)),
        ("no couplings within", both(&[kind(4, Bernoulli)], &[kind(3, Spin)], false, false)),
        (
            "bits beside a label",
            both(&[kind(3, Bernoulli), kind(3, Softmax { q: 3 })], &[kind(3, Bernoulli)], true, false),
        ),
    ]
}
fn sparse() -> Vec<(&'static str, SparseBoltzmann)> {
    let wheel: Vec<(usize, usize)> = (0..5).map(|i| (i, (i + 1) % 5)).chain((0..5).map(|i| (i, 5))).collect();
    let lattice =
        |sides: &[usize], boundary, unit: Arc<dyn Unit>| SparseBoltzmann::lattice(sides, boundary, unit).unwrap();
    let bipartite: Vec<(usize, usize)> = (0..4).flat_map(|i| (4..7).map(move |j| (i, j))).collect();
    vec![
        ("a wheel of spins", SparseBoltzmann::new((6, Spin), &wheel).unwrap()),
        ("a wheel of bits", SparseBoltzmann::new((6, Bernoulli), &wheel).unwrap()),
        ("a wheel of Potts units", SparseBoltzmann::new((6, Softmax { q: 3 }), &wheel).unwrap()),
        ("a chain", lattice(&[6], Boundary::Open, Arc::new(Spin))),
        ("a ring", lattice(&[8], Boundary::Periodic, Arc::new(Bernoulli))),
        ("an odd ring", lattice(&[7], Boundary::Periodic, Arc::new(Spin))),
        ("an open lattice", lattice(&[3, 3], Boundary::Open, Arc::new(Spin))),
        ("an open lattice of even rows", lattice(&[3, 4], Boundary::Open, Arc::new(Spin))),
        ("a cube", lattice(&[2, 2, 3], Boundary::Open, Arc::new(Bernoulli))),
        ("a Potts lattice", lattice(&[2, 3], Boundary::Open, Arc::new(Softmax { q: 3 }))),
        ("an RBM as a graph", SparseBoltzmann::with_units((7, Arc::new(Bernoulli)), 3, &bipartite).unwrap()),
        ("a wheel with hidden units", SparseBoltzmann::with_units((6, Arc::new(Spin)), 2, &wheel).unwrap()),
    ]
}

#[test]
fn dense_machines_keep_all_laws() {
    for (seed, (what, machine)) in dense().into_iter().enumerate() {
        kept(laws::model(&mut random(machine, 0.4, seed as u64), seed as u64), what);
    }
}
#[test]
fn sparse_machines_keep_all_laws() {
    for (seed, (what, machine)) in sparse().into_iter().enumerate() {
        kept(laws::model(&mut random(machine, 0.6, seed as u64), seed as u64), what);
    }
}

/// The sweep that a model would have without its own.
struct Plain;
impl<M: Gibbs + ?Sized> Kernel<M> for Plain {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, _: &mut harmonium::Streams<'_>) -> harmonium::samplers::Moves {
        sweep::blocks(model, slab, &mut Response::mode());
        Default::default()
    }
}
struct Fast;
impl<M: Gibbs + ?Sized> Kernel<M> for Fast {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, _: &mut harmonium::Streams<'_>) -> harmonium::samplers::Moves {
        model.sweep(slab, &mut Response::mode());
        Default::default()
    }
}
/// Random values that the units can take.
fn states<M: Energy>(model: &M, columns: usize, seed: u64) -> Mat {
    let mut rng = ChainRng::new(seed);
    let mut x = Mat::zeros(model.n_rows(), columns);
    for block in model.blocks() {
        let Some(support) = block.unit.support() else { continue };
        for start in block.rows.clone().step_by(block.unit.width()) {
            for j in 0..columns {
                let value = &support[rng.random_range(0..support.len())];
                x.column_mut(j).rows_mut(start, value.len()).copy_from_slice(value);
            }
        }
    }
    x
}
#[track_caller]
fn same_descent<M: Gibbs>(model: &M, what: &str) {
    let start = states(model, 70, 5);
    let [mut plain, mut fast] = [(); 2].map(|()| Chains::new(start.clone(), 1));
    for sweep in 0..3 {
        plain.advance(&Plain, model);
        fast.advance(&Fast, model);
        assert_eq!(plain.states.x(), fast.states.x(), "{what}, sweep {sweep}");
    }
}
/// At zero temperature nothing is drawn, so both sweeps go through the same states.
#[test]
fn fast_sweeps_go_where_the_plain_one_goes() {
    for (seed, (what, machine)) in dense().into_iter().enumerate() {
        same_descent(&random(machine, 0.4, seed as u64), what);
    }
    for (seed, (what, machine)) in sparse().into_iter().enumerate() {
        same_descent(&random(machine, 0.6, seed as u64), what);
    }
    // More units than a tile, and lattices of some size.
    same_descent(&random(Boltzmann::new((75, Spin)), 0.2, 1), "75 spins");
    same_descent(&random(Boltzmann::semi_restricted((70, Bernoulli), (40, Bernoulli)), 0.2, 1), "70 and 40 bits");
    for (sides, boundary) in
        [(&[18, 16][..], Boundary::Periodic), (&[5, 4, 6], Boundary::Open), (&[4, 6, 4], Boundary::Periodic)]
    {
        let lattice = SparseBoltzmann::lattice(sides, boundary, Arc::new(Spin)).unwrap();
        same_descent(&random(lattice, 0.6, 3), &format!("{sides:?} {boundary:?}"));
    }
}

#[test]
fn a_machine_without_lateral_couplings_is_the_restricted_one() {
    let lateral = Lateral { visible: false, hidden: false };
    let machine = Boltzmann::with_layers(&[kind(5, Bernoulli)], &[kind(4, Spin)], lateral);
    let machine = random(machine, 0.5, 3);
    let mut rbm = Rbm::new((5, Bernoulli), (4, Spin));
    rbm.update(&mut |p| p.as_mut_slice().copy_from_slice(harmonium::Learn::params(&machine).as_slice()));
    let x = states(&rbm, 20, 1);
    let (mut a, mut b) = (vec![0.0; 20], vec![0.0; 20]);
    machine.energy(x.as_view(), &mut a);
    rbm.energy(x.as_view(), &mut b);
    assert_eq!(a, b);
    let [mut of_machine, mut of_rbm] = [(); 2].map(|()| Chains::new(x.clone(), 7));
    of_machine.advance(&BlockGibbs::new(5), &machine);
    of_rbm.advance(&BlockGibbs::new(5), &rbm);
    assert_eq!(of_machine.states.x(), of_rbm.states.x());
}

#[test]
fn a_sparse_machine_has_the_energy_of_the_dense_one() {
    for (unit, q) in [(Arc::new(Spin) as Arc<dyn Unit>, 1), (Arc::new(Softmax { q: 3 }), 3)] {
        let edges: Vec<(usize, usize)> =
            (0..5).flat_map(|i| (i + 1..5).map(move |j| (i, j))).filter(|(i, j)| (i + j) % 3 != 0).collect();
        let sparse = random(SparseBoltzmann::with_units((5, unit.clone()), 0, &edges).unwrap(), 0.5, 1);
        let mut dense = Boltzmann::with_layers(&[(5 * q, unit)], &[], Lateral { visible: true, hidden: false });
        dense.update(&mut |p| {
            let mut w = p.mat_mut(1);
            for (e, &(i, j)) in edges.iter().enumerate() {
                for (a, b) in (0..q).flat_map(|b| (0..q).map(move |a| (a, b))) {
                    let coupling = sparse.couplings()[(b * q + a, e)];
                    (w[(i * q + a, j * q + b)], w[(j * q + b, i * q + a)]) = (coupling, coupling);
                }
            }
            p.slice_mut(3).copy_from_slice(sparse.bias());
        });
        let x = states(&sparse, 30, 1);
        let (mut a, mut b) = (vec![0.0; 30], vec![0.0; 30]);
        sparse.energy(x.as_view(), &mut a);
        dense.energy(x.as_view(), &mut b);
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
        assert_eq!(sparse.n_colours(), 3);
    }
}

#[test]
fn mean_field_of_coupled_hidden_units_is_a_fixed_point_and_a_bound() {
    let machine = random(Boltzmann::with_hidden((5, Bernoulli), (4, Bernoulli)), 0.5, 3);
    let v = states(&machine, 40, 2);
    let mut states = States::zeros(9, 40);
    states.clamp(9, v.rows(0, 5));
    harmonium::Learn::infer(&machine, &mut states);
    let x = states.x().clone_owned();
    let mut fields = Mat::zeros(4, 40);
    for i in 0..4 {
        machine.field(5 + i..6 + i, x.as_view(), fields.rows_range_mut(i..i + 1));
    }
    for (field, mean) in fields.iter().zip(x.rows(5, 4).iter()) {
        assert!((1.0 / (1.0 + (-field).exp()) - mean).abs() < 2e-3, "{field} {mean}");
    }
    // ⟨-E⟩ + H below log Σ_h exp(-E), and near it.
    let mut energies = vec![0.0; 40];
    machine.energy_at_zero(&[], x.as_view(), &mut energies);
    let mut worst = 0f64;
    for j in 0..40 {
        let entropy = |m: f64| -m * m.ln() - (1.0 - m) * (1.0 - m).ln();
        let h: f64 = x.column(j).rows(5, 4).iter().map(|&m| entropy(f64::from(m))).sum();
        let all = Mat::from_fn(9, 16, |i, k| if i < 5 { x[(i, j)] } else { (k >> (i - 5) & 1) as f32 });
        let mut of_all = vec![0.0; 16];
        machine.energy(all.as_view(), &mut of_all);
        let exact = of_all.iter().map(|e| (-e).exp()).sum::<f64>().ln();
        assert!(h - energies[j] <= exact + 1e-6, "{} above {exact}", h - energies[j]);
        worst = worst.max(exact - (h - energies[j]));
    }
    assert!(worst < 0.5, "{worst}");
}

#[test]
fn edges_that_are_none_are_refused() {
    for edges in [&[(0, 0)][..], &[(0, 3)], &[(0, 1), (1, 0)]] {
        assert!(SparseBoltzmann::new((3, Spin), edges).is_err(), "{edges:?}");
    }
    assert!(SparseBoltzmann::lattice(&[], Boundary::Open, Arc::new(Spin)).is_err());
    assert!(SparseBoltzmann::lattice(&[4, 2], Boundary::Periodic, Arc::new(Spin)).is_err());
    assert!(SparseBoltzmann::lattice(&[usize::MAX, 4], Boundary::Open, Arc::new(Spin)).is_err());
    assert!(SparseBoltzmann::with_units((3, Arc::new(Spin)), 4, &[]).is_err());
    assert!(SparseBoltzmann::new((3, harmonium::units::LogPrecision), &[]).is_err());
    assert!(SparseBoltzmann::lattice(&[2, 2], Boundary::Open, Arc::new(harmonium::units::LogPrecision)).is_err());
    let mut ring = SparseBoltzmann::new((3, Spin), &[(0, 1), (1, 2)]).unwrap();
    assert!(ring.set(&[1.0], &[0.0; 3]).is_err() && ring.set(&[1.0, f32::NAN], &[0.0; 3]).is_err());
    assert!(ring.set_uniform(f32::INFINITY, 0.0).is_err());
}

/// The centred gradient is `T Tᵀ` times the plain one, where `θ = T θ̃` carries centred coordinates to plain ones: `W = W̃`, `L = L̃`,
/// `b = b̃ - W̃ᵀλ - L̃μ`, `c = c̃ - W̃μ`, and each half of a pair moves both.
#[test]
fn lateral_couplings_are_centred_as_their_coordinates_ask() {
    let machine = random(Boltzmann::semi_restricted((4, Bernoulli), (3, Bernoulli)), 0.5, 9);
    let v = states(&machine, 12, 4).rows(0, 4).clone_owned();
    let batch = Batch { x: v.as_view(), weights: &[1.0; 12], missing: None, step: 0 };
    let of = |mut objective: Contrastive<Enumerated>| {
        let mut grad = machine.params().zeros_like();
        objective.gradient(&machine, &batch, &mut grad).unwrap();
        grad
    };
    let plain = of(Contrastive::exact(&machine).unwrap().plain());
    let centred = of(Contrastive::exact(&machine).unwrap());
    let mut states = States::zeros(7, 12);
    states.clamp(7, v.as_view());
    let lambda: Vec<f64> =
        states.mean(&machine, 0).row_iter().map(|r| r.iter().map(|x| f64::from(*x)).sum::<f64>() / 12.0).collect();
    let mu: Vec<f64> = v.row_iter().map(|r| r.iter().map(|x| f64::from(*x)).sum::<f64>() / 12.0).collect();
    // Slots: W 3 × 4 at 0, L 4 × 4 at 12, K none, b at 28, c at 32.
    let carry = |p: &[f64]| -> Vec<f64> {
        let mut out = p.to_vec();
        for (i, j) in (0..4).flat_map(|j| (0..4).map(move |i| (i, j))) {
            let own = if i == j { 0.0 } else { 0.5 * (p[12 + 4 * j + i] + p[12 + 4 * i + j]) };
            out[12 + 4 * j + i] = own;
            out[28 + i] -= own * mu[j];
        }
        for (h, i) in (0..4).flat_map(|i| (0..3).map(move |h| (h, i))) {
            out[28 + i] -= p[3 * i + h] * lambda[h];
            out[32 + h] -= p[3 * i + h] * mu[i];
        }
        out
    };
    let n = plain.as_slice().len();
    let columns: Vec<Vec<f64>> =
        (0..n).map(|k| carry(&(0..n).map(|i| f64::from(i == k)).collect::<Vec<f64>>())).collect();
    let along: Vec<f64> =
        columns.iter().map(|t| t.iter().zip(plain.as_slice()).map(|(t, g)| t * f64::from(*g)).sum()).collect();
    for (k, got) in centred.as_slice().iter().enumerate() {
        let expected: f64 = (0..n).map(|i| columns[i][k] * along[i]).sum();
        assert!((f64::from(*got) - expected).abs() < 1e-5, "entry {k}: {got} {expected}");
    }
    assert_ne!(plain, centred);
}

/// Exact gradients of machines of every kind are the derivative of the likelihood.
#[test]
fn exact_gradients_are_the_derivative_of_the_likelihood() {
    for (what, machine) in dense().into_iter().filter(|(what, _)| !what.contains("real") && !what.contains("hidden")) {
        let mut machine = random(machine, 0.4, 2);
        let mut exact = Contrastive::exact(&machine).unwrap().plain();
        let data = states(&machine, 8, 3).rows(0, machine.n_visible()).clone_owned();
        let verdict = laws::exact_gradient(&mut machine, &mut exact, data.as_view(), 2);
        verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    }
    for (what, machine) in sparse().into_iter().filter(|(what, _)| !what.contains("hidden")) {
        let mut machine = random(machine, 0.4, 2);
        let mut exact = Contrastive::exact(&machine).unwrap().plain();
        let data = states(&machine, 8, 3).rows(0, harmonium::Learn::n_visible(&machine)).clone_owned();
        let verdict = laws::exact_gradient(&mut machine, &mut exact, data.as_view(), 2);
        verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    }
}

#[test]
fn machines_come_back_from_files_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let notes = BTreeMap::from([("epochs".to_string(), "20".to_string())]);
    for (what, machine) in dense() {
        let machine = random(machine, 0.5, 1);
        save_boltzmann(&machine, &notes, &path).unwrap();
        let (back, metadata) = load_boltzmann(&path).unwrap();
        assert_eq!((back.params(), back.lateral()), (machine.params(), machine.lateral()), "{what}");
        assert_eq!((back.blocks().len(), metadata["epochs"].as_str()), (machine.blocks().len(), "20"));
        assert!(load_sparse_boltzmann(&path).is_err());
    }
    for (what, machine) in sparse() {
        let machine = random(machine, 0.5, 1);
        save_sparse_boltzmann(&machine, &notes, &path).unwrap();
        let (back, _) = load_sparse_boltzmann(&path).unwrap();
        assert_eq!(
            (back.params(), back.edges(), back.n_visible()),
            (machine.params(), machine.edges(), machine.n_visible()),
            "{what}"
        );
        let draw = |m: &SparseBoltzmann| {
            let mut chains = Chains::new(states(m, 5, 1), 2);
            chains.advance(&BlockGibbs::new(5), m);
            chains.states.x().clone_owned()
        };
        assert_eq!(draw(&back), draw(&machine), "{what}");
    }
}
/// What both readers say of a file that was spoiled.
fn spoiled(save: &dyn Fn(&Path), spoil: &dyn Fn(&mut TensorFile)) -> [String; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save(&path);
    let mut file = TensorFile::read(&path).unwrap();
    spoil(&mut file);
    file.write(&path).unwrap();
    let said = |e: Option<harmonium::Error>| e.map(|e| e.to_string()).unwrap_or_default();
    [said(load_boltzmann(&path).err()), said(load_sparse_boltzmann(&path).err())]
}
fn note(key: &'static str, value: &'static str) -> impl Fn(&mut TensorFile) {
    move |f: &mut TensorFile| {
        f.metadata.insert(key.into(), value.into());
    }
}
#[test]
fn what_is_wrong_with_the_file_of_a_dense_machine_is_said() {
    let machine = Boltzmann::semi_restricted((3, Spin), (2, Bernoulli));
    let save = |path: &Path| save_boltzmann(&machine, &BTreeMap::new(), path).unwrap();
    let said = |spoil: &dyn Fn(&mut TensorFile)| spoiled(&save, spoil)[0].clone();
    assert!(said(&note("lateral", "upwards")).contains("upwards"));
    assert!(said(&note("lateral", "visible hidden")).contains("hidden_lateral"));
    assert!(said(&note("layers", "3 spin; 2 bernoulli; 1 spin")).contains("a hidden one or none"));
    assert!(said(&note("layers", "99999999999 spin; 2 bernoulli")).contains("visible_bias"));
    let real = harmonium::units::label(&harmonium::units::LogPrecision);
    let own = said(&|f| drop(f.metadata.insert("layers".into(), format!("3 {real}; 2 bernoulli"))));
    assert!(own.contains("parameters of their own"), "{own}");
    assert!(said(&|f| drop(f.tensors.remove("visible_lateral"))).contains("visible_lateral"));
}
#[test]
fn what_is_wrong_with_the_file_of_a_sparse_machine_is_said() {
    let ring = SparseBoltzmann::new((3, Spin), &[(0, 1), (1, 2)]).unwrap();
    let save = |path: &Path| save_sparse_boltzmann(&ring, &BTreeMap::new(), path).unwrap();
    let said = |spoil: &dyn Fn(&mut TensorFile)| spoiled(&save, spoil)[1].clone();
    let edges = |ends: &'static [u64]| {
        move |f: &mut TensorFile| {
            let edges = Tensor { shape: vec![ends.len() / 2, 2], values: Values::U64(ends.to_vec()) };
            f.tensors.insert("edges".into(), edges);
        }
    };
    assert!(said(&edges(&[0, 1, 1, 7])).contains("(1, 7)"));
    assert!(said(&edges(&[0, 1, 1, 0])).contains("again"));
    assert!(said(&edges(&[0, 1])).contains("couplings"));
    assert!(said(&note("hidden", "9")).contains("latent"));
    assert!(said(&note("unit", "softmax(3)")).contains("couplings"));
    assert!(said(&note("lattice", "3 open")).is_empty(), "it is a chain");
    let ising = SparseBoltzmann::ising(&[3, 4], Boundary::Open, 0.4).unwrap();
    let save = |path: &Path| save_sparse_boltzmann(&ising, &BTreeMap::new(), path).unwrap();
    let said = |spoil: &dyn Fn(&mut TensorFile)| spoiled(&save, spoil)[1].clone();
    assert!(said(&note("lattice", "4 3 open")).contains("edges"));
    assert!(said(&note("lattice", "9223372036854775807 4 open")).contains("12 sites"));
    assert!(said(&note("lattice", "3 4 round")).contains("open or periodic"));
}

/// A Hopfield network is a Boltzmann machine: the same energy but for self-couplings, the same recall, and it comes back.
#[test]
fn hopfield_networks_are_boltzmann_machines() {
    let machine = random(Boltzmann::new((12, Spin)), 0.5, 4);
    let network = Hopfield::try_from(&machine).unwrap().with_own(vec![0.25; 12]).unwrap();
    let back = network.boltzmann().unwrap();
    assert_eq!(back.params(), machine.params());
    let x = states(&machine, 40, 3);
    let mut energies = vec![0.0; 40];
    machine.energy(x.as_view(), &mut energies);
    for (of_machine, of_network) in energies.iter().zip(network.energies(x.as_view()).unwrap()) {
        assert!((of_machine - of_network - 0.5 * 12.0 * 0.25).abs() < 1e-5);
    }
    let network = network.with_own(vec![0.0; 12]).unwrap();
    let in_order = Recall { dynamics: Dynamics::InOrder, sweeps: 50, ..Recall::default() };
    let recalled = recall(&network, x.as_view(), &in_order).unwrap();
    let mut chains = Chains::new(x, 1);
    chains.advance(&Descend { sweeps: 50 }, &machine);
    assert_eq!(chains.states.x(), recalled.states);
    assert!(Hopfield::try_from(&Boltzmann::new((3, Bernoulli))).is_err());
    assert!(Hopfield::try_from(&Boltzmann::semi_restricted((3, Spin), (2, Spin))).is_err());
    let mut asymmetric = machine.visible_lateral().clone_owned();
    asymmetric[(0, 1)] += 1.0;
    assert!(Hopfield::new(asymmetric).unwrap().boltzmann().is_err());
}

/// Nothing that is seen is summed out: the bound of a machine without latent units is its likelihood.
#[test]
fn visible_machines_have_likelihoods_and_bounds() {
    let machine = random(Boltzmann::new((5, Spin)), 0.5, 2);
    let log_z = LogPartition::exact(exact_log_partition(&machine).unwrap());
    let x = states(&machine, 30, 1);
    let likelihoods = log_likelihoods(&machine, &x, &log_z).unwrap();
    let bounds = log_likelihood_bounds(&machine, &x, &log_z).unwrap();
    let mut energies = vec![0.0; 30];
    machine.energy(x.as_view(), &mut energies);
    for ((l, b), e) in likelihoods.iter().zip(&bounds).zip(&energies) {
        assert!((l + e + log_z.value).abs() < 1e-6 && (b - l).abs() < 1e-6, "{l} {b} {e}");
    }
}
/// What mean field infers is known afterwards: bounds are below the likelihood of coupled hidden units, and near it; on any graph, too.
#[test]
fn coupled_hidden_units_have_bounds() {
    let dense = random(Boltzmann::with_hidden((4, Bernoulli), (3, Bernoulli)), 0.5, 3);
    check_bounds(&dense, "dense");
    let wheel: Vec<(usize, usize)> = (0..5).map(|i| (i, (i + 1) % 5)).chain((0..5).map(|i| (i, 5))).collect();
    let sparse = SparseBoltzmann::with_units((6, Arc::new(Spin)), 2, &wheel).unwrap();
    check_bounds(&random(sparse, 0.5, 3), "sparse");
}
fn check_bounds<M: Marginal + Learn>(machine: &M, what: &str) {
    let log_z = LogPartition::exact(exact_log_partition(machine).unwrap());
    let (n, d) = (machine.n_rows(), machine.n_visible());
    let v = states(machine, 16, 2).rows(0, d).clone_owned();
    let bounds = log_likelihood_bounds(machine, &v, &log_z).unwrap();
    let values = machine.blocks()[0].unit.support().unwrap();
    for (j, bound) in bounds.iter().enumerate() {
        let all = Mat::from_fn(n, 1 << (n - d), |i, k| if i < d { v[(i, j)] } else { values[k >> (i - d) & 1][0] });
        let mut energies = vec![0.0; all.ncols()];
        machine.energy(all.as_view(), &mut energies);
        let exact = energies.iter().map(|e| (-e).exp()).sum::<f64>().ln() - log_z.value;
        assert!(*bound <= exact + 1e-6 && *bound > exact - 0.5, "{what}: {bound} of {exact}");
    }
}
/// A checkpoint of one graph is none of another with as many units and edges.
#[test]
fn graphs_are_told_apart() {
    let lattice = |sides: &[usize]| SparseBoltzmann::lattice(sides, Boundary::Open, Arc::new(Spin)).unwrap();
    let [a, b, c] = [[4, 6], [6, 4], [4, 6]].map(|sides| lattice(&sides).architecture());
    assert!(a != b && a == c);
}
