//! Law 19: what a target of sparsity adds is the derivative of the loss that it states, by the hidden biases, and nothing else;
//! with it, hidden units learn to be as active as was asked.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, wide};
use harmonium::eval::{LogPartition, exact_log_partition, log_likelihood};
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, Coordinates, Objective, Sparsity};
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, Softmax, Spin};
use harmonium::{Batch, ChainRng, Chains, Learn, Mat, Params, Resume, Saved};
use rand::RngExt;
use std::sync::Arc;

fn gradient(objective: &mut dyn Objective<Rbm>, rbm: &Rbm, v: &Mat, weights: &[f32]) -> Params {
    let mut grad = rbm.params().zeros_like();
    objective.gradient(rbm, &Batch { x: v.as_view(), weights, missing: None, step: 0 }, &mut grad).unwrap();
    grad
}
fn at_once(target: f32, cost: f32) -> Sparsity {
    let mut sparsity = Sparsity::new(target, cost);
    sparsity.decay = 0.0;
    sparsity
}

#[test]
fn what_is_added_is_the_derivative_of_the_stated_loss() {
    let (target, cost) = (0.3f32, 0.7f32);
    for rbm in cases::all() {
        let (oracle, v) = (Oracle::of(&rbm), cases::probes(&rbm, 12).rows(0, rbm.n_visible()).clone_owned());
        let weights = [0.5, 1.0, 0.0, 2.0, 0.3, 1.0, 1.0, 0.0, 4.0, 0.1, 1.0, 0.7];
        let with = gradient(&mut Contrastive::cd(1, 1).plain().sparse(at_once(target, cost)), &rbm, &v, &weights);
        let without = gradient(&mut Contrastive::cd(1, 1).plain(), &rbm, &v, &weights);
        let total: f64 = weights.iter().map(|&w| w as f64).sum();
        // Γ by the values of a unit or by quadrature, as the oracle knows it.
        let loss = |o: &Oracle| {
            let one = |n: usize, k: usize| {
                let field = o.field(Side::Hidden, k, &wide(&v, n));
                let lambda = -(1.0 / o.precision(Side::Hidden, k)).ln();
                let gamma = o.kind(Side::Hidden).log_sum(if lambda.is_finite() { lambda } else { 0.0 }, field);
                weights[n] as f64 / total * (gamma - target as f64 * field)
            };
            cost as f64 * (0..12).flat_map(|n| (0..3).map(move |k| (n, k))).map(|(n, k)| one(n, k)).sum::<f64>()
        };
        let (slope, biases) = (oracle.derivative(loss), rbm.params().slots()[2].range());
        for (k, &slope) in slope.iter().enumerate() {
            let (with, without) = (with.as_slice()[k], without.as_slice()[k]);
            if biases.contains(&k) {
                close((with - without) as f64, slope, 10.0, &format!("{} bias {k}", name(&rbm)));
            } else {
                assert_eq!(with, without, "{} entry {k}", name(&rbm));
            }
        }
        let moved = biases.map(|k| slope[k].abs()).fold(0.0, f64::max);
        assert!(moved > 0.05, "{}: {moved}", name(&rbm));
    }
}
/// In all coordinates it is added to the hidden biases alone, after the way back; with the gain of a bias where it has one.
#[test]
fn coordinates_leave_it_as_it_is() {
    let rbm = cases::bernoulli(6, 4, 1);
    let (v, ones) = (cases::probes(&rbm, 30).rows(0, 6).clone_owned(), [1.0; 30]);
    let added = |coordinates: &Coordinates| {
        let mut cd = Contrastive::cd(1, 1);
        cd.coordinates = coordinates.clone();
        let without = gradient(&mut cd.clone(), &rbm, &v, &ones);
        let with = gradient(&mut cd.sparse(Sparsity::new(0.2, 1.0)), &rbm, &v, &ones);
        with.as_slice().iter().zip(without.as_slice()).map(|(a, b)| (a - b) as f64).collect::<Vec<f64>>()
    };
    let standardised = Contrastive::cd(1, 1).standardised().coordinates;
    let (plain, centred, standardised) =
        (added(&Coordinates::Plain), added(&Coordinates::default()), added(&standardised));
    let (biases, oracle) = (rbm.params().slots()[2].range(), Oracle::of(&rbm));
    for k in 0..plain.len() {
        close(centred[k], plain[k], 5.0, "centred");
        if biases.contains(&k) {
            let q: f64 = (0..30).map(|n| oracle.mean(Side::Hidden, k - biases.start, &wide(&v, n))).sum::<f64>() / 30.0;
            close(plain[k], q - 0.2f32 as f64, 5.0, "plain");
            close(
                standardised[k],
                (q - 0.2f32 as f64) / (q * (1.0 - q)).max(0.2f32 as f64 * 0.25),
                100.0,
                "standardised",
            );
        } else {
            assert_eq!([plain[k], centred[k], standardised[k]], [0.0; 3]);
        }
    }
}
#[test]
fn mean_activities_slide() {
    let rbm = cases::bernoulli(4, 3, 1);
    let mut sparsity = Sparsity::new(0.2, 1.0);
    sparsity.decay = 0.75;
    let (mut cd, oracle) = (Contrastive::cd(1, 1).sparse(sparsity), Oracle::of(&rbm));
    let (x, mut expected) = (cases::probes(&rbm, 30).rows(0, 4).clone_owned(), [0.0; 3]);
    for batch in 0..3 {
        let v = x.columns(10 * batch, 10).clone_owned();
        gradient(&mut cd, &rbm, &v, &[1.0; 10]);
        for (j, q) in expected.iter_mut().enumerate() {
            let m: f64 = (0..10).map(|n| oracle.mean(Side::Hidden, j, &wide(&v, n))).sum::<f64>() / 10.0;
            *q = if batch == 0 { m } else { 0.75 * *q + 0.25 * m };
            close(cd.sparsity.as_ref().unwrap().activity()[j] as f64, *q, 1.0, "activity");
        }
    }
    let mut saved = Saved::default();
    cd.save(&mut saved);
    let without = Contrastive::cd(1, 1).load(&saved); // what is not asked for is left alone
    let with = Contrastive::cd(1, 1).sparse(Sparsity::new(0.2, 1.0)).load(&Saved::default());
    assert!(without.is_ok() && with.is_err());
}
#[test]
fn settings_that_make_no_sense_are_refused() {
    let bits = cases::bernoulli(4, 3, 1);
    let of = |hidden| cases::strong((4, Arc::new(Bernoulli)), hidden, 1);
    let (spins, one_of_three) = (of((3, Arc::new(Spin))), of((3, Arc::new(Softmax { q: 3 }))));
    let reals = of((3, Arc::new(Gaussian)));
    let told = |rbm: &Rbm, sparsity: Sparsity| {
        let (v, mut grad) = (Mat::zeros(4, 5), rbm.params().zeros_like());
        let batch = Batch { x: v.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
        Contrastive::cd(1, 1).sparse(sparsity).gradient(rbm, &batch, &mut grad).map_err(|e| e.to_string())
    };
    let slow = |decay: f32| {
        let mut sparsity = Sparsity::new(0.1, 1.0);
        sparsity.decay = decay;
        sparsity
    };
    for (rbm, sparsity, words) in [
        (&bits, Sparsity::new(0.0, 1.0), "the target of sparsity must be inside 0.0..=1.0 for bernoulli units, got 0"),
        (&bits, Sparsity::new(f32::NAN, 1.0), "the target of sparsity"),
        (&bits, Sparsity::new(-0.5, 1.0), "the target of sparsity"),
        (&bits, Sparsity::new(0.1, -1.0), "the cost of sparsity must be a number, at least 0"),
        (&bits, Sparsity::new(0.1, f32::INFINITY), "the cost of sparsity"),
        (&bits, slow(1.0), "the decay of the mean activity must be at least 0 and below 1"),
        (&one_of_three, Sparsity::new(0.1, 1.0), "1/3, for 3 rows of which one is on"),
    ] {
        let e = told(rbm, sparsity).unwrap_err();
        assert!(e.contains(words), "{e}");
    }
    for (rbm, target) in [(&spins, -0.5), (&one_of_three, 1.0 / 3.0), (&reals, 7.0)] {
        told(rbm, Sparsity::new(target, 1.0)).unwrap();
    }
}

/// Images of 4 × 4 pixels, of each of whose bars and stripes a fifth is there, one by one.
fn bars() -> Mat {
    let (mut x, mut rng) = (Mat::zeros(16, 1000), ChainRng::new(6));
    for mut image in x.column_iter_mut() {
        for line in (0..8).filter(|_| rng.random::<f32>() < 0.2) {
            (0..4).for_each(|k| image[if line < 4 { 4 * line + k } else { 4 * k + line - 4 }] = 1.0);
        }
    }
    x
}
/// The mean distance from 0.2 of the mean activities over the data, and the exact log-likelihood.
fn learned(data: &Mat, sparsity: Option<Sparsity>) -> (f32, f64) {
    let mut rbm = Rbm::new((16, Bernoulli), (12, Bernoulli));
    rbm.initialise(data.column_mean().as_slice(), 0.0, 2).unwrap();
    let mut pcd = Contrastive::pcd(1, Chains::zeros(&rbm, 100, 3));
    pcd.sparsity = sparsity;
    let learning_rate = Schedule::Linear { from: 0.1, to: 0.0, steps: 4000 };
    let fit = Fit { epochs: 200, batch: 50, learning_rate, ..Fit::default() };
    fit.run(&mut Run::new(&mut rbm, &mut pcd, &mut Sgd::default(), &mut Silent), data).unwrap();
    let log_z = LogPartition::exact(exact_log_partition(&rbm).unwrap());
    let off = rbm.hidden_mean(data.as_view()).unwrap().column_mean().map(|q| (q - 0.2).abs()).mean();
    (off, log_likelihood(&rbm, data, &log_z).unwrap().value)
}
/// A small cost moves units towards their target and leaves the likelihood what it was or better, for the target is that of the
/// data; a large one takes them there, at a price.
#[test]
fn hidden_units_learn_their_target_and_the_data() {
    let data = bars();
    let runs = [None, Some(0.1), Some(0.3), Some(3.0)].map(|cost| {
        let (off, nats) = learned(&data, cost.map(|cost| Sparsity::new(0.2, cost)));
        println!("cost {cost:?}: mean activities {off:.3} from 0.2, {nats:.3} nats");
        (off, nats)
    });
    let [free, little, some, much] = runs;
    assert!(free.0 > 0.25 && little.0 < free.0 - 0.1 && some.0 < 0.14 && much.0 < 0.03, "{runs:?}");
    assert!(little.1 > free.1 - 0.2 && some.1 > free.1 - 0.5 && much.1 > free.1 - 2.0, "{runs:?}");
}
