//! The classification RBM: its conditional probabilities and their gradient, held against the joint model's energies.

use crate::cases;
use harmonium::data::{Masked, Stacked, one_hot};
use harmonium::models::{Kind, Rbm};
use harmonium::objectives::{Contrastive, Discriminative, Objective, Sum};
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Relu, Softmax, Spin};
use harmonium::{Batch, Energy, Learn, Mask, Mat, Params, Phase, Saved, States};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;

const CLASSES: usize = 3;

/// Machines with labels, over units of several kinds.
fn machines(seed: u64) -> Vec<Rbm> {
    let label: Kind = (CLASSES, Arc::new(Softmax { q: CLASSES }));
    let (bits, reals): (Kind, Kind) = ((4, Arc::new(Bernoulli)), (2, Arc::new(Gaussian)));
    let rbms = [
        Rbm::with_label(bits.clone(), CLASSES, (5, Arc::new(Bernoulli))),
        Rbm::with_label((4, Arc::new(Spin)), CLASSES, (3, Arc::new(Relu))),
        Rbm::with_layers(&[bits, reals, label.clone()], &[(2, Arc::new(LogPrecision)), (3, Arc::new(Spin)), label]),
    ];
    rbms.into_iter().map(|rbm| cases::random(rbm, 0.7, seed)).collect()
}
/// Random samples with labels; the last has a soft one.
fn samples(rbm: &Rbm, n: usize, seed: u64) -> Mat {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let d = rbm.n_visible() - CLASSES;
    let labels: Vec<usize> = (0..n).map(|_| rng.random_range(0..CLASSES)).collect();
    let mut x = Mat::from_fn(d + CLASSES, n, |i, j| match i.checked_sub(d) {
        Some(k) => f32::from(labels[j] == k),
        None => rng.random_range(0..2) as f32,
    });
    x.column_mut(n - 1).rows_mut(d, CLASSES).copy_from_slice(&[0.25, 0.5, 0.25]);
    x
}
/// The sample with every class as its label, in turn.
fn every_class(rbm: &Rbm, x: &[f32]) -> Mat {
    let d = rbm.n_visible() - CLASSES;
    Mat::from_fn(d + CLASSES, CLASSES, |i, k| if i < d { x[i] } else { f32::from(i - d == k) })
}
/// `p(y | x) ∝ exp(-F(x, y))`
fn probabilities(rbm: &Rbm, x: &[f32]) -> Vec<f64> {
    let free = rbm.free_energy(every_class(rbm, x).as_view()).unwrap();
    let p: Vec<f64> = free.iter().map(|f| (free[0] - f).exp()).collect();
    p.iter().map(|q| q / p.iter().sum::<f64>()).collect()
}

#[test]
fn class_probabilities_are_those_of_the_joint_model() {
    for seed in 0..5 {
        for rbm in machines(seed) {
            let x = samples(&rbm, 70, seed);
            let (got, log_got) =
                (rbm.class_probabilities(x.as_view()).unwrap(), rbm.class_log_probabilities(x.as_view()).unwrap());
            let without = rbm.class_log_probabilities(x.rows(0, x.nrows() - CLASSES).as_view()).unwrap();
            assert_eq!(log_got, without, "the label is not looked at");
            let classes = rbm.classify(x.as_view()).unwrap();
            for (j, column) in x.column_iter().enumerate() {
                let expected = probabilities(&rbm, column.as_slice());
                for (k, &p) in expected.iter().enumerate() {
                    cases::close(got[(k, j)].into(), p, 5.0, "p(y | x)");
                    cases::close(log_got[(k, j)].into(), p.ln(), 5.0, "log p(y | x)");
                    assert!(expected[classes[j]] >= p);
                }
            }
        }
    }
}

/// `Σ wₙ (Σ_k t_k ∂F(x, k) - Σ_k p_k ∂F(x, k))`, by the machine's own gradient of its free energy.
fn plain(rbm: &Rbm, x: &Mat, weights: &[f32]) -> Params {
    let (mut grad, d) = (rbm.params().zeros_like(), rbm.n_visible() - CLASSES);
    let total: f32 = weights.iter().sum();
    for (j, column) in x.column_iter().enumerate().filter(|(j, _)| weights[*j] != 0.0) {
        let p = probabilities(rbm, column.as_slice());
        let signed: Vec<f32> = (0..CLASSES).map(|k| (column[d + k] - p[k] as f32) * weights[j] / total).collect();
        let mut states = States::default();
        states.clamp(rbm.n_rows(), every_class(rbm, column.as_slice()).as_view());
        rbm.grad_expected(&mut states, Phase::Data, &signed, &mut grad);
    }
    grad
}

#[test]
fn the_discriminative_gradient_is_exact() {
    for seed in 0..5 {
        for rbm in machines(seed) {
            let x = samples(&rbm, 67, seed);
            let weights: Vec<f32> = (0..67).map(|j| (j % 3) as f32).collect();
            let (mut got, mut objective) = (rbm.params().zeros_like(), Discriminative::default());
            let batch = Batch { x: x.as_view(), weights: &weights, missing: None, step: 0 };
            let report = objective.gradient(&rbm, &batch, &mut got).unwrap();
            let expected = plain(&rbm, &x, &weights);
            for (k, (a, b)) in got.as_slice().iter().zip(expected.as_slice()).enumerate() {
                cases::close((*a).into(), (*b).into(), 3.0, &format!("{} {k}", got.slot_of(k).name));
            }
            let log_p = rbm.class_log_probabilities(x.as_view()).unwrap();
            let d = rbm.n_visible() - CLASSES;
            let of = |j: usize| -> f64 { (0..CLASSES).map(|k| f64::from(x[(d + k, j)] * log_p[(k, j)])).sum() };
            let loss = -(0..67).map(|j| f64::from(weights[j]) * of(j)).sum::<f64>()
                / weights.iter().map(|w| f64::from(*w)).sum::<f64>();
            cases::close(report.loss.unwrap(), loss, 5.0, "loss");
        }
    }
}

#[test]
fn samples_without_a_label_are_absent_and_other_gaps_are_refused() {
    let rbm = machines(1).swap_remove(0);
    let x = samples(&rbm, 20, 1);
    let mut mask = Mask::repeat(x.nrows(), 20, false);
    mask.row_mut(5).columns_mut(0, 12).fill(true); // a row of the label
    let weights = [1.0; 20];
    let batch = Batch { x: x.as_view(), weights: &weights, missing: Some(mask.columns(0, 20)), step: 0 };
    let mut got = rbm.params().zeros_like();
    Discriminative::default().gradient(&rbm, &batch, &mut got).unwrap();
    let some: Vec<f32> = (0..20).map(|j| f32::from(j >= 12)).collect();
    for (a, b) in got.as_slice().iter().zip(plain(&rbm, &x, &some).as_slice()) {
        cases::close((*a).into(), (*b).into(), 3.0, "gradient");
    }
    let mut more = mask.clone();
    more[(0, 15)] = true; // a pixel
    let batch = Batch { missing: Some(more.columns(0, 20)), ..batch };
    assert!(Discriminative::default().gradient(&rbm, &batch, &mut got).is_err());
    let plain_rbm = cases::bernoulli(7, 3, 1);
    let batch = Batch { missing: None, ..batch };
    let e = Discriminative::default().gradient(&plain_rbm, &batch, &mut plain_rbm.params().zeros_like()).unwrap_err();
    assert!(e.to_string().contains("one softmax unit, the label"), "{e}");
    assert!(rbm.classify(Mat::zeros(5, 1).as_view()).is_err() && plain_rbm.classify(x.as_view()).is_err());
}

#[test]
fn a_sum_is_the_sum_and_keeps_the_state_of_its_terms() {
    let rbm = machines(1).swap_remove(0);
    let x = samples(&rbm, 20, 1).columns(0, 19).clone_owned();
    let weights = [1.0; 19];
    let batch = Batch { x: x.as_view(), weights: &weights, missing: None, step: 0 };
    let gradient = |objective: &mut dyn Objective<Rbm>| {
        let mut grad = rbm.params().zeros_like();
        objective.gradient(&rbm, &batch, &mut grad).unwrap();
        grad
    };
    let (one, two) = (gradient(&mut Discriminative::default()), gradient(&mut Contrastive::cd(1, 3)));
    let make =
        || Sum::new(vec![(0.5, Box::new(Discriminative::default()) as _), (2.0, Box::new(Contrastive::cd(1, 3)) as _)]);
    let mut sum = make();
    let both = gradient(&mut sum);
    for ((s, a), b) in both.as_slice().iter().zip(one.as_slice()).zip(two.as_slice()) {
        assert!((s - (0.5 * a + 2.0 * b)).abs() < 1e-6);
    }
    let (mut saved, mut other) = (Saved::default(), make());
    harmonium::Resume::save(&sum, &mut saved);
    harmonium::Resume::load(&mut other, &saved).unwrap();
    assert_eq!(gradient(&mut sum), gradient(&mut other));
}

/// Two classes of bit patterns; a tenth of the samples have labels. With the others, which teach the pixels, fewer test samples
/// are taken for the wrong class.
#[test]
fn samples_without_labels_help() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let mut draw = |n: usize| {
        let labels: Vec<u8> = (0..n).map(|j| (j % 4) as u8).collect();
        // Four prototypes of 20 bits, each bit wrong with probability 0.2.
        let bit = |i: usize, k: u8| (i * (2 * k as usize + 3) / 4).is_multiple_of(2);
        let x = Mat::from_fn(20, n, |i, j| f32::from(bit(i, labels[j]) != rng.random_bool(0.2)));
        (x, labels)
    };
    let ((x, y), (test, truth)) = (draw(800), draw(2000));
    let y = one_hot(&y, 4).unwrap();
    let both = Stacked::new(vec![&x, &y]).unwrap();
    let data = Masked::new(both, Mask::from_fn(24, 800, |i, j| i >= 20 && j >= 16)).unwrap();
    let errors = |generative: f32| {
        let mut rbm = Rbm::with_label((20, Arc::new(Bernoulli)), 4, (16, Arc::new(Bernoulli)));
        rbm.initialise(&[vec![0.5; 20], vec![0.25; 4]].concat(), 0.0, 1).unwrap();
        let generate = Contrastive::cd(1, 3).filling(3, 3);
        let mut objective =
            Sum::new(vec![(1.0, Box::new(Discriminative::default()) as _), (generative, Box::new(generate) as _)]);
        let fit = Fit { epochs: 150, batch: 40, learning_rate: Schedule::Constant(0.1), ..Fit::default() };
        fit.run(&mut Run::new(&mut rbm, &mut objective, &mut Sgd::default(), &mut Silent), &data).unwrap();
        let found = rbm.classify(test.as_view()).unwrap();
        found.iter().zip(&truth).filter(|(a, b)| **a != usize::from(**b)).count()
    };
    let (alone, helped) = (errors(0.0), errors(1.0));
    assert!(helped * 3 < alone * 2, "{helped} of 2000 wrong with unlabelled samples, {alone} without");
}
