//! Law 20: the zero-sum gauge of softmax units moves every energy by one constant, which it tells, and leaves no machine of the
//! same meaning with smaller weights.

use crate::cases::{self, close, name};
use crate::kinds;
use harmonium::data::Samples;
use harmonium::eval::exact_log_partition;
use harmonium::models::{Rbm, zero_sum};
use harmonium::objectives::Contrastive;
use harmonium::optim::{Penalty, Sgd};
use harmonium::train::{Fit, Progress, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, Softmax, Spin};
use harmonium::{ChainRng, Energy, Learn, Mat, Train, Unit, laws};
use rand::RngExt;
use std::ops::ControlFlow;
use std::sync::Arc;

fn softmax(q: usize) -> Arc<dyn Unit> {
    Arc::new(Softmax { q })
}
/// Machines with softmax units on one side or on both, beside units of all other kinds.
fn machines() -> Vec<Rbm> {
    let mut all: Vec<(Arc<dyn Unit>, usize)> = kinds::kinds().to_vec();
    all.extend([(Arc::new(Spin) as Arc<dyn Unit>, 3), (Arc::new(Gaussian), 3), (softmax(2), 4), (softmax(5), 5)]);
    let pair = |(k, (unit, n)): (usize, (Arc<dyn Unit>, usize))| {
        let other = (n, unit);
        let seed = k as u64 + 1;
        [cases::strong((6, softmax(3)), other.clone(), seed), cases::strong(other, (6, softmax(3)), seed)]
    };
    all.into_iter().enumerate().flat_map(pair).collect()
}
/// States that the units can take.
fn states(rbm: &Rbm, columns: usize) -> Mat {
    let (mut x, mut rng) = (Mat::zeros(rbm.n_rows(), columns), ChainRng::new(5));
    for (b, block) in rbm.blocks().iter().enumerate() {
        for mut column in x.column_iter_mut() {
            let field: Vec<f32> = block.rows.clone().map(|_| rng.random::<f32>() - 0.5).collect();
            let out = &mut column.as_mut_slice()[block.rows.clone()];
            block.unit.sample(rbm.theta(b, &[]), &field, out, &mut rng);
        }
    }
    x
}
fn energies(rbm: &Rbm, x: &Mat) -> Vec<f64> {
    let mut out = vec![0.0; x.ncols()];
    rbm.energy(x.as_view(), &mut out);
    out
}
/// The largest sum of what a softmax unit has in one column or row of the weights, or in the biases.
fn largest_sum(rbm: &Rbm) -> f64 {
    let (w, mut largest) = (rbm.weights().clone_owned(), 0f64);
    let mut look = |values: &mut dyn Iterator<Item = &f32>| {
        largest = largest.max(values.map(|&v| v as f64).sum::<f64>().abs());
    };
    for (block, bias) in [(Rbm::VISIBLE, rbm.visible_bias()), (Rbm::HIDDEN, rbm.hidden_bias())] {
        let (unit, w) = (&rbm.blocks()[block].unit, if block == Rbm::VISIBLE { w.clone() } else { w.transpose() });
        if unit.name() == "softmax" {
            for first in (0..bias.len()).step_by(unit.width()) {
                look(&mut bias[first..first + unit.width()].iter());
                (0..w.nrows()).for_each(|j| look(&mut w.view((j, first), (1, unit.width())).iter()));
            }
        }
    }
    largest
}

#[test]
fn every_energy_moves_by_the_constant_that_is_told() {
    for mut rbm in machines() {
        let (x, before) = (states(&rbm, 200), rbm.clone());
        let shift = zero_sum(&mut rbm);
        assert!(shift.abs() > 1e-3, "{}: nothing moved", name(&rbm));
        for (k, (a, b)) in energies(&rbm, &x).iter().zip(energies(&before, &x)).enumerate() {
            close(a - b, shift, 30.0, &format!("{} state {k}", name(&rbm)));
        }
        let log_z = [&before, &rbm].map(|rbm| exact_log_partition(rbm).ok().filter(|z| z.is_finite()));
        if let [Some(a), Some(b)] = log_z {
            close(a - b, shift, 10.0, &format!("{} log Z", name(&rbm)));
        }
    }
}
#[test]
fn it_is_a_gauge_of_least_norm_and_stays_there() {
    let norm = |rbm: &Rbm| rbm.weights().iter().map(|&w| (w as f64).powi(2)).sum::<f64>();
    let mut rng = ChainRng::new(3);
    for mut rbm in machines() {
        let start = norm(&rbm);
        zero_sum(&mut rbm);
        assert!(largest_sum(&rbm) < 1e-6, "{}: {}", name(&rbm), largest_sum(&rbm));
        assert!(norm(&rbm) < start);
        let (mut again, once) = (rbm.clone(), rbm.clone());
        assert!(zero_sum(&mut again).abs() < 1e-6);
        for (a, b) in again.params().as_slice().iter().zip(once.params().as_slice()) {
            assert!((a - b).abs() < 1e-6, "{}: {a} and {b}", name(&rbm));
        }
        // Any other machine of the same meaning has larger weights; and comes back.
        for block in [Rbm::VISIBLE, Rbm::HIDDEN] {
            if rbm.blocks()[block].unit.name() != "softmax" {
                continue;
            }
            let (mut other, x) = (rbm.clone(), states(&rbm, 50));
            other.update(&mut |p| {
                let (rows, columns) = p.mat(0).shape();
                for first in
                    (0..if block == Rbm::VISIBLE { columns } else { rows }).step_by(rbm.blocks()[block].unit.width())
                {
                    for k in 0..if block == Rbm::VISIBLE { rows } else { columns } {
                        let by = rng.random::<f32>() - 0.5;
                        for state in first..first + rbm.blocks()[block].unit.width() {
                            let place = if block == Rbm::VISIBLE { (k, state) } else { (state, k) };
                            p.mat_mut(0)[place] += by;
                        }
                        p.slice_mut(if block == Rbm::VISIBLE { 2 } else { 1 })[k] -= by;
                    }
                }
            });
            energies(&other, &x).iter().zip(energies(&rbm, &x)).for_each(|(a, b)| close(*a, b, 30.0, "a gauge move"));
            assert!(norm(&other) > norm(&rbm) + 0.01);
            zero_sum(&mut other);
            for (a, b) in other.params().as_slice().iter().zip(rbm.params().as_slice()) {
                assert!((a - b).abs() < 1e-5, "{}: {a} and {b}", name(&rbm));
            }
        }
    }
}
#[test]
fn other_units_are_left_alone() {
    let one = cases::strong((3, softmax(1)), (2, Arc::new(Bernoulli)), 1);
    for mut rbm in cases::all().into_iter().chain([one]) {
        let before = rbm.clone();
        assert_eq!(zero_sum(&mut rbm), 0.0);
        assert_eq!((rbm.params(), rbm.version()), (before.params(), before.version()));
    }
}

/// Amino-acid-like data: four sites of three states, some of them rare.
fn sites() -> Mat {
    let mut rng = ChainRng::new(8);
    let mut data = Mat::zeros(12, 60);
    for mut column in data.column_iter_mut() {
        let first = (rng.random::<f32>() < 0.3) as usize;
        for site in 0..4 {
            let state = if rng.random::<f32>() < 0.8 { first } else { 2 };
            column[3 * site + state] = 1.0;
        }
    }
    data
}
fn potts() -> Rbm {
    let mut rbm = Rbm::new((12, Softmax { q: 3 }), (4, Softmax { q: 2 }));
    rbm.initialise(&[1.0 / 3.0; 12], 0.0, 1).unwrap();
    rbm
}
/// The largest sum seen during a run, and the machine at its end.
fn trained(fit: &Fit) -> (f64, Rbm) {
    let (mut rbm, mut cd, mut largest) = (potts(), Contrastive::cd(1, 4), 0f64);
    let mut watch = |p: &Progress<'_, Rbm>| {
        largest = largest.max(largest_sum(p.model));
        ControlFlow::Continue(())
    };
    fit.run(&mut Run::new(&mut rbm, &mut cd, &mut Sgd::default(), &mut watch), &sites()).unwrap();
    (largest, rbm)
}
#[test]
fn a_run_can_stay_in_it() {
    let free = Fit { epochs: 10, batch: 20, ..Fit::default() };
    let decayed = Fit { penalty: Penalty { l1: 0.0, l2: 0.01 }, ..free.clone() };
    for fit in [free, decayed] {
        assert!(trained(&fit).0 > 1e-2);
        let kept = trained(&Fit { zero_sum: true, ..fit }).0;
        assert!(kept < 1e-6, "{kept}");
    }
}
/// One update with it is one without, then the projection: the same distribution.
#[test]
fn an_update_in_it_has_the_distribution_of_one_that_is_not() {
    let fit = Fit { epochs: 1, batch: sites().n_samples(), ..Fit::default() };
    let (mut free, kept) = (trained(&fit).1, trained(&Fit { zero_sum: true, ..fit }).1);
    zero_sum(&mut free);
    assert_eq!(free.params(), kept.params());
}
#[test]
fn a_run_in_it_that_was_cut_has_the_same_bits() {
    let fit = Fit { epochs: 4, batch: 20, zero_sum: true, ..Fit::default() };
    let kept = laws::resume(&fit, &sites(), 5, |hand_over| {
        let (mut rbm, mut cd) = (potts(), Contrastive::cd(1, 4));
        hand_over(&mut Run::new(&mut rbm, &mut cd, &mut Sgd::default(), &mut Silent))
    });
    assert!(kept.unwrap().checks > 5);
    // Nor does it change a run without softmax units.
    let run = |zero_sum: bool| {
        let (mut rbm, mut cd) = (cases::bernoulli(12, 4, 1), Contrastive::cd(1, 4));
        let fit = Fit { zero_sum, ..fit.clone() };
        fit.run(&mut Run::new(&mut rbm, &mut cd, &mut Sgd::default(), &mut Silent), &sites()).unwrap();
        rbm.params().clone()
    };
    assert_eq!(run(true), run(false));
}
