//! Modern Hopfield networks against their definition in double precision; memories as restricted Boltzmann machines, in all states where
//! there are few.

use crate::cases::close;
use crate::memories::{all_spins, energies, inner, kept, normals, spins};
use crate::reference::log_sum_exp;
use harmonium::laws;
use harmonium::models::{DenseMemory, FixedPoint, ModernHopfield, Rbm, RecallEnd, hebbian_patterns, hebbian_rbm};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Error, Mat, MatRef, Score, Train, Unit};

pub(crate) fn modern() -> Vec<ModernHopfield> {
    let one = |(units, memories, beta): (usize, usize, f64), seed| {
        ModernHopfield::storing(normals(units, memories, 1.0, seed).as_view(), beta).unwrap()
    };
    [(4, 3, 1.0), (3, 7, 0.3), (5, 1, 2.0), (2, 40, 4.0)].into_iter().zip(1..).map(|(s, seed)| one(s, seed)).collect()
}
#[test]
fn modern_energies_are_their_definition() {
    for m in modern() {
        let (x, memories) = (normals(m.n_units(), 30, 1.5, 9), m.memories().clone_owned());
        let (n, most) =
            (m.n_memories(), (0..m.n_memories()).map(|k| inner(&memories, k, &memories, k)).fold(0.0, f64::max));
        let (nats, published) = (energies(&m, &x), m.published_energy(x.as_view()).unwrap());
        for j in 0..30 {
            let exponents: Vec<f64> = (0..n).map(|k| m.beta() * inner(&memories, k, &x, j)).collect();
            let e = -log_sum_exp(&exponents) / m.beta()
                + 0.5 * inner(&x, j, &x, j)
                + (n as f64).ln() / m.beta()
                + 0.5 * most;
            assert!((published[j] - e).abs() < 1e-11 * (1.0 + e.abs()) && published[j] >= 0.0);
            let e = m.beta() * e - (n as f64).ln() - 0.5 * m.beta() * most;
            assert!((nats[j] - e).abs() < 1e-11 * (1.0 + e.abs()));
        }
    }
}
#[test]
fn modern_networks_keep_the_laws() {
    for seed in 1..4 {
        for mut m in modern() {
            kept(laws::gradient(&mut m, seed), &m.architecture());
            kept(laws::score(&m, seed), &m.architecture());
        }
    }
}
/// `log Z` by the trapezoid rule in one and two dimensions.
#[test]
fn the_partition_function_of_a_modern_network_is_an_integral() {
    for (d, beta) in [(1, 0.7), (1, 3.0), (2, 1.3)] {
        let m = ModernHopfield::storing(normals(d, 4, 1.0, 3).as_view(), beta).unwrap();
        let (step, n) = (0.125, 161usize);
        let at = |k: usize| (k as f64 - 80.0) * step;
        let x = Mat::from_fn(d, n.pow(d as u32), |i, j| at(if i == 0 { j % n } else { j / n }) as f32);
        let minus: Vec<f64> = energies(&m, &x).iter().map(|e| -e).collect();
        close(m.log_partition(), log_sum_exp(&minus) + d as f64 * f64::ln(step), 0.0, "log Z");
    }
}
/// Means and second moments of draws, within five standard errors of those of the mixture.
#[test]
fn draws_of_a_modern_network_are_those_of_its_mixture() {
    let (memories, beta, n) = (normals(3, 5, 1.0, 4), 1.7, 40_000);
    let m = ModernHopfield::storing(memories.as_view(), beta).unwrap();
    let exponents: Vec<f64> = (0..5).map(|k| 0.5 * beta * inner(&memories, k, &memories, k)).collect();
    let p: Vec<f64> = exponents.iter().map(|e| (e - log_sum_exp(&exponents)).exp()).collect();
    let draws = m.sample(n, 5);
    let compare = |values: Vec<f64>, expected: f64, what: &str| {
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - expected).abs() < 5.0 * (variance / n as f64).sqrt(), "{what}: {mean} {expected}");
    };
    for i in 0..3 {
        let x = |k: usize| f64::from(memories[(i, k)]);
        let mean = (0..5).map(|k| p[k] * x(k)).sum();
        compare(draws.row(i).iter().map(|v| f64::from(*v)).collect(), mean, "mean");
        for l in 0..=i {
            let second = |k: usize| p[k] * (x(k) * f64::from(memories[(l, k)]) + if i == l { 1.0 / beta } else { 0.0 });
            let values = (0..n).map(|j| f64::from(draws[(i, j)]) * f64::from(draws[(l, j)])).collect();
            compare(values, (0..5).map(second).sum(), "second moment");
        }
    }
    assert_eq!(draws, m.sample(n, 5));
}
/// An update is a step of length 1/β against the gradient, to what attention is; and it never raises the energy.
#[test]
fn updates_descend() {
    for m in modern() {
        let mut x = normals(m.n_units(), 100, 2.0, 6);
        let mut before = energies(&m, &x);
        for _ in 0..20 {
            let mut grad = Mat::zeros(m.n_units(), 100);
            m.grad_x(x.as_view(), grad.as_view_mut());
            let next = m.updated(x.as_view()).unwrap();
            let expected = &x - grad / m.beta() as f32;
            assert!((&next - expected).amax() < 1e-5, "an update");
            let after = energies(&m, &next);
            for (a, b) in after.iter().zip(&before) {
                assert!(*a <= b + 1e-6 * (1.0 + b.abs()), "the energy rose from {b} to {a}");
            }
            (x, before) = (next, after);
        }
    }
}
#[test]
fn modern_recall_ends_at_fixed_points_of_three_kinds() {
    // Two patterns near each other, others far from them and each other.
    let mut patterns = normals(64, 12, 1.0, 7);
    let near = patterns.column(0) + 0.05 * normals(64, 1, 1.0, 8).column(0);
    patterns.column_mut(1).copy_from(&near);
    // Of one length: a longer one would win over the other at both.
    patterns.column_iter_mut().for_each(|mut x| x.scale_mut(8.0 / x.norm()));
    let ended = |beta: f64, cue: &Mat| {
        let m = ModernHopfield::storing(patterns.as_view(), beta).unwrap();
        let (x, ends) = m.recall(cue.as_view(), 200, 1e-5).unwrap();
        let moved = (m.updated(x.as_view()).unwrap() - &x).amax();
        assert!(ends.iter().all(|e| e.is_settled()) && moved <= 1e-5, "{ends:?} {moved}");
        (m.fixed_points(x.as_view(), 0.9).unwrap(), x)
    };
    let cues = &patterns + normals(64, 12, 0.2, 9);
    let (kinds, x) = ended(1.0, &cues);
    assert_eq!(kinds[0], FixedPoint::Metastable(vec![0, 1]));
    assert_eq!(kinds[1], FixedPoint::Metastable(vec![0, 1]));
    (2..12).for_each(|k| assert_eq!(kinds[k], FixedPoint::Pattern(k)));
    (2..12).for_each(|k| assert!((x.column(k) - patterns.column(k)).amax() < 1e-3));
    // Sharper, each has a well of its own.
    let (kinds, _) = ended(200.0, &patterns);
    (0..12).for_each(|k| assert_eq!(kinds[k], FixedPoint::Pattern(k)));
    // Blunter, all cues end at the mean.
    let (kinds, x) = ended(1e-4, &cues);
    assert!(kinds.iter().all(|k| *k == FixedPoint::Average));
    let mean = patterns.column_mean();
    x.column_iter().for_each(|x| assert!((x - &mean).amax() < 0.01));
    // One memory alone is a pattern, and at most as many steps are made as are allowed.
    let one = ModernHopfield::storing(patterns.columns(0, 1).clone_owned().as_view(), 1e-3).unwrap();
    assert_eq!(one.fixed_points(cues.as_view(), 0.9).unwrap()[5], FixedPoint::Pattern(0));
    let (x, ends) = one.recall(cues.as_view(), 0, 0.0).unwrap();
    assert!(x == cues && ends == [RecallEnd::Unsettled; 12]);
    assert_eq!(one.recall(cues.as_view(), 9, 1e-6).unwrap().1, [RecallEnd::Settled { steps: 1 }; 12]);
}
/// A state that has settled does not depend on how long others go on, nor on how many there are.
#[test]
fn recall_of_many_is_that_of_each() {
    let m = ModernHopfield::storing(normals(10, 30, 1.0, 10).as_view(), 0.8).unwrap();
    let cues = normals(10, 150, 1.0, 11);
    let (all, ends) = m.recall(cues.as_view(), 500, 1e-5).unwrap();
    let mut lengths: Vec<usize> = vec![];
    for j in (0..150).step_by(11) {
        let (one, end) = m.recall(cues.columns(j, 1), 500, 1e-5).unwrap();
        assert!(one.column(0) == all.column(j), "state {j}: {:?} {:?}", one.column(0), all.column(j).as_slice());
        assert_eq!(end[0], ends[j]);
        if let RecallEnd::Settled { steps } = end[0] {
            lengths.push(steps)
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 2, "a case that is none: {lengths:?}");
    let recalled = || m.recall(cues.as_view(), 50, 1e-5).unwrap().0.as_slice().to_vec();
    kept(laws::threads("a recall", recalled), "modern");
}
/// `softmax(QKᵀ/√d)V` of a transformer, head by head in double precision.
#[test]
fn reading_is_attention() {
    let (d, keys, queries, width) = (16, 40, 130, 7);
    let (k, q, v) = (normals(d, keys, 1.0, 12), normals(d, queries, 1.0, 13), normals(width, keys, 1.0, 14));
    let got =
        ModernHopfield::storing(k.as_view(), 1.0 / (d as f64).sqrt()).unwrap().read(v.as_view(), q.as_view()).unwrap();
    for j in 0..queries {
        let logits: Vec<f64> = (0..keys).map(|i| inner(&k, i, &q, j) / (d as f64).sqrt()).collect();
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        for r in 0..width {
            let expected: f64 = (0..keys).map(|i| logits[i].exp() / sum * f64::from(v[(r, i)])).sum();
            close(got[(r, j)].into(), expected, 1.0, "attention");
        }
    }
}
#[test]
fn what_is_no_modern_network_is_refused() {
    let value = |e: Result<ModernHopfield, Error>| assert!(matches!(e.unwrap_err(), Error::Value { .. }));
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
        value(ModernHopfield::new(3, 2, beta));
    }
    value(ModernHopfield::new(0, 2, 1.0));
    value(ModernHopfield::new(3, 0, 1.0));
    value(ModernHopfield::storing(Mat::from_element(3, 2, f32::NAN).as_view(), 1.0));
}
#[test]
fn what_is_no_state_of_a_modern_network_is_refused() {
    let ok = || ModernHopfield::storing(normals(3, 2, 1.0, 1).as_view(), 1.0).unwrap();
    let (short, nan) = (Mat::zeros(2, 1), Mat::from_element(3, 1, f32::NAN));
    type Ask = fn(&ModernHopfield, MatRef<'_>) -> Option<Error>;
    let asks: [Ask; 5] = [
        |m, x| m.published_energy(x).err(),
        |m, x| m.attention(x).err(),
        |m, x| m.updated(x).err(),
        |m, x| m.recall(x, 1, 0.0).err(),
        |m, x| m.fixed_points(x, 0.9).err(),
    ];
    for ask in asks {
        assert!(matches!(ask(&ok(), short.as_view()), Some(Error::Shape { .. })));
        assert!(matches!(ask(&ok(), nan.as_view()), Some(Error::Value { .. })));
        assert!(ask(&ok(), Mat::zeros(3, 1).as_view()).is_none());
    }
}
#[test]
fn what_cannot_be_read_of_a_modern_network_is_refused() {
    let ok = || ModernHopfield::storing(normals(3, 2, 1.0, 1).as_view(), 1.0).unwrap();
    let x = Mat::zeros(3, 1);
    assert!(matches!(ok().read(Mat::zeros(4, 3).as_view(), x.as_view()), Err(Error::Shape { .. })));
    assert!(matches!(ok().read(Mat::from_element(4, 2, f32::NAN).as_view(), x.as_view()), Err(Error::Value { .. })));
    assert!(matches!(ok().recall(x.as_view(), 1, f32::NAN), Err(Error::Value { .. })));
    for share in [0.5, 1.0, f64::NAN] {
        assert!(matches!(ok().fixed_points(x.as_view(), share), Err(Error::Value { .. })));
    }
}

/// Hopfield's energy is the free energy of a machine of spins and Gaussian hidden units, in all states, but for one constant.
#[test]
fn hopfield_networks_are_machines_with_gaussian_hidden_units() {
    let (n, p) = (8, 3);
    for (patterns, beta) in [(spins(n, p, 1), 0.6), (normals(n, p, 1.0, 2), 2.3)] {
        let rbm = hebbian_rbm(patterns.as_view(), beta).unwrap();
        let x = all_spins(n);
        let constant = -0.5 * p as f64 * std::f64::consts::TAU.ln();
        for (j, free) in rbm.free_energy(x.as_view()).unwrap().into_iter().enumerate() {
            let e: f64 = -(0..p).map(|k| inner(&patterns, k, &x, j).powi(2)).sum::<f64>() / (2.0 * n as f64);
            close(free, beta * e + constant, 0.0, "the free energy");
        }
        let back = hebbian_patterns(&rbm, beta).unwrap();
        assert!((&back - &patterns).amax() < 1e-6);
        // At another temperature, the same machine is a network of longer patterns.
        let longer = hebbian_patterns(&rbm, beta / 4.0).unwrap();
        assert!((longer - 2.0 * &patterns).amax() < 1e-5);
    }
    // The dense memory of degree 2 is the same network.
    let patterns = spins(n, p, 3);
    let (memory, rbm) =
        (DenseMemory::hebbian(patterns.as_view(), 1.4).unwrap(), hebbian_rbm(patterns.as_view(), 1.4).unwrap());
    let (x, constant) = (all_spins(n), -0.5 * p as f64 * std::f64::consts::TAU.ln());
    for (free, e) in rbm.free_energy(x.as_view()).unwrap().into_iter().zip(energies(&memory, &x)) {
        close(free, e + constant, 0.0, "the dense memory");
    }
}
#[test]
fn modern_networks_are_machines_with_one_softmax_hidden_unit() {
    for m in modern() {
        let (x, rbm) = (normals(m.n_units(), 50, 1.5, 3), m.to_rbm());
        let e = energies(&m, &x);
        // e^{log β} of single precision is off by as much.
        let allowed = |j: usize| 4.0 * f64::from(f32::EPSILON) * m.beta() * (1.0 + inner(&x, j, &x, j)) + 1e-5;
        for (j, free) in rbm.free_energy(x.as_view()).unwrap().into_iter().enumerate() {
            assert!((free - e[j]).abs() < allowed(j), "{free} {}", e[j]);
        }
        let back = ModernHopfield::from_rbm(&rbm).unwrap();
        assert!((back.memories() - m.memories()).amax() < 1e-5 && (back.beta() / m.beta() - 1.0).abs() < 1e-6);
        // With Gaussian visible units it is the machine of √β ξ; biases of hidden units alike, and of visible ones, change nothing.
        let n = m.n_memories();
        let mut unit = Rbm::new((m.n_units(), Gaussian), (n, Softmax { q: n }));
        let root = m.beta().sqrt() as f32;
        let b = normals(m.n_units(), 1, 0.5, 4);
        unit.update(&mut |p| {
            let shifted = Mat::from_fn(n, m.n_units(), |k, i| root * m.memories()[(i, k)] - b[(i, 0)]);
            p.mat_mut(0).copy_from(&shifted);
            p.slice_mut(1).copy_from_slice(b.as_slice());
            p.slice_mut(2).fill(0.7);
        });
        for (j, free) in unit.free_energy((root * &x).as_view()).unwrap().into_iter().enumerate() {
            close(free, e[j] - f64::from(0.7f32), 10.0 + inner(&x, j, &x, j), "the scaled machine");
        }
        let back = ModernHopfield::from_rbm(&unit).unwrap();
        assert!((back.memories() - root * m.memories()).amax() < 1e-5 && back.beta() == 1.0);
    }
}
#[test]
fn machines_that_are_no_memories_are_refused() {
    fn spoiled(mut rbm: Rbm, slot: usize, value: f32) -> Rbm {
        rbm.update(&mut |p| p.slice_mut(slot)[1] = value);
        rbm
    }
    fn machine(visible: impl Unit, hidden: impl Unit) -> Rbm {
        Rbm::new((4, visible), (4, hidden))
    }
    assert!(hebbian_patterns(&machine(Spin, Gaussian), 1.0).is_ok());
    for rbm in [
        machine(Bernoulli, Gaussian),
        machine(Spin, Spin),
        spoiled(machine(Spin, Gaussian), 1, 0.1),
        spoiled(machine(Spin, Gaussian), 2, 0.1),
    ] {
        assert!(matches!(hebbian_patterns(&rbm, 1.0), Err(Error::Value { .. })));
    }
    for beta in [0.0, f64::NAN] {
        assert!(
            hebbian_patterns(&machine(Spin, Gaussian), beta).is_err()
                && hebbian_rbm(spins(3, 2, 1).as_view(), beta).is_err()
        );
    }
    assert!(
        hebbian_rbm(Mat::zeros(0, 1).as_view(), 1.0).is_err() && hebbian_rbm(Mat::zeros(1, 0).as_view(), 1.0).is_err()
    );
    assert!(hebbian_rbm(Mat::from_element(2, 2, f32::INFINITY).as_view(), 1.0).is_err());
    let softmax = || Softmax { q: 4 };
    assert!(ModernHopfield::from_rbm(&machine(Gaussian, softmax())).is_ok());
    assert!(ModernHopfield::from_rbm(&machine(LogPrecision, softmax())).is_ok());
    let refused = [
        machine(Bernoulli, softmax()),
        machine(Gaussian, Bernoulli),
        machine(Gaussian, Softmax { q: 2 }),
        spoiled(machine(Gaussian, softmax()), 2, 0.5),
        spoiled(machine(LogPrecision, softmax()), 4, 0.5),
        spoiled(machine(Gaussian, softmax()), 0, f32::NAN),
    ];
    refused
        .iter()
        .for_each(|rbm| assert!(matches!(ModernHopfield::from_rbm(rbm), Err(Error::Value { .. })), "{rbm:?}"));
}
