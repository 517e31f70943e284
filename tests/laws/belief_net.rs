//! Deep belief nets against the sum over all their states, in double precision: bounds, dreams, classes, up-down learning.

use crate::reference::{log_sum_exp, normal, product};
use harmonium::data::{Samples, bars_and_stripes};
use harmonium::eval::{LogPartition, belief_net_bounds, exact_log_partition};
use harmonium::infer::{Draws, dream, label_by_gibbs};
use harmonium::models::{Dbn, Rbm};
use harmonium::objectives::{Contrastive, Objective, UpDown};
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Activities, Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian};
use harmonium::{Batch, Mat, Resume, Saved};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;

fn random(stack: Vec<Rbm>, seed: u64) -> Dbn {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut dbn = Dbn::from_stack(stack).unwrap();
    dbn.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|v| *v = 0.8 * normal(&mut rng) as f32));
    dbn
}
/// Recognition of its own, generation of its own, three layers; and with a label at the top.
fn nets() -> [Dbn; 3] {
    let machine = |d: usize, h: usize| Rbm::new((d, Bernoulli), (h, Bernoulli));
    let label = Rbm::with_label((3, Arc::new(Bernoulli)), 3, (2, Arc::new(Bernoulli)));
    [
        random(vec![machine(4, 3), machine(3, 2)], 1),
        random(vec![machine(4, 3), machine(3, 3), machine(3, 2)], 2),
        random(vec![machine(4, 3), label], 3),
    ]
}
const BITS: [f64; 2] = [0.0, 1.0];
fn mat(values: &[f64]) -> Mat {
    Mat::from_fn(values.len(), 1, |i, _| values[i] as f32)
}
/// `log p(x_{l-1} | x_l)` of Bernoulli units, from the definition.
fn log_down(machine: &Rbm, v: &[f64], h: &[f64]) -> f64 {
    let unit = |i: usize| {
        let pull: f64 = h.iter().enumerate().map(|(j, h)| f64::from(machine.weights()[(j, i)]) * h).sum();
        let field = f64::from(machine.visible_bias()[i]) + pull;
        v[i] * field - field.exp().ln_1p()
    };
    (0..v.len()).map(unit).sum()
}
/// `log p(x)` of the layer below the top, its label and hidden units summed out.
fn log_top(dbn: &Dbn, x: &[f64], log_z: f64) -> f64 {
    let (top, n) = (dbn.top(), dbn.n_label());
    let states = |label: &[f64]| {
        let all = [x, label].concat();
        -top.free_energy(mat(&all).as_view()).unwrap()[0]
    };
    if n == 0 {
        return states(&[]) - log_z;
    }
    let labels = (0..n).map(|k| (0..n).map(|i| f64::from(u8::from(i == k))).collect::<Vec<f64>>());
    log_sum_exp(&labels.map(|l| states(&l)).collect::<Vec<_>>()) - log_z
}
/// Exact `log p(v)`, over all states of the layers between.
fn log_p(dbn: &Dbn, v: &[f64], log_z: f64) -> f64 {
    fn below(dbn: &Dbn, l: usize, x: &[f64], log_z: f64) -> f64 {
        if l > dbn.n_lower() {
            return log_top(dbn, x, log_z);
        }
        let machine = dbn.generative(l);
        let each = product(&BITS, machine.n_hidden());
        log_sum_exp(&each.iter().map(|h| log_down(machine, x, h) + below(dbn, l + 1, h, log_z)).collect::<Vec<_>>())
    }
    below(dbn, 1, v, log_z)
}

#[test]
fn bounds_are_below_the_exact_likelihood_and_weights_unbiased() {
    for dbn in nets() {
        let log_z = LogPartition::exact(exact_log_partition(dbn.top()).unwrap());
        let states = product(&BITS, 4);
        let v = Mat::from_fn(4, 16, |i, j| states[j][i] as f32);
        let exact: Vec<f64> = states.iter().map(|v| log_p(&dbn, v, log_z.value)).collect();
        assert!(log_sum_exp(&exact).abs() < 1e-4, "probabilities sum to one");
        let repeats: Vec<_> = (0..30).map(|k| belief_net_bounds(&dbn, &v, &log_z, 200, k).unwrap()).collect();
        let mut below = 0;
        for (j, exact) in exact.iter().enumerate() {
            for bound in repeats.iter().map(|r| r[j].bound) {
                assert!(bound.value < exact + 5.0 * bound.standard_error, "{bound:?} above {exact}");
                below += usize::from(bound.value + 2.0 * bound.standard_error < *exact);
            }
            let p: Vec<f64> = repeats.iter().map(|r| (r[j].weighted - exact).exp()).collect();
            let mean = p.iter().sum::<f64>() / 30.0;
            let error = (p.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (29.0 * 30.0)).sqrt();
            assert!((mean - 1.0).abs() < 5.0 * error, "{mean} ± {error} instead of 1");
        }
        assert!(below > 200, "recognition is not the posterior here, so most bounds are clearly below: {below}");
    }
}
#[test]
fn dreams_have_the_distribution_of_the_net() {
    for dbn in nets() {
        let log_z = exact_log_partition(dbn.top()).unwrap();
        let n = 20_000;
        let dreams = dream(&dbn, None, n, &Draws { sweeps: 200, seed: 3, ..Draws::default() }).unwrap();
        for state in product(&BITS, 4) {
            let p = log_p(&dbn, &state, log_z).exp();
            let is = |column: usize| dreams.drawn.column(column).iter().zip(&state).all(|(a, b)| f64::from(*a) == *b);
            let share = (0..n).filter(|&j| is(j)).count() as f64 / n as f64;
            assert!((share - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt() + 1e-4, "{share} instead of {p}");
        }
    }
}
#[test]
fn classes_are_those_of_the_top_and_gibbs_agrees() {
    let [_, _, dbn] = nets();
    let v = Mat::from_fn(4, 16, |i, j| ((j >> i) & 1) as f32);
    let up = dbn.recognition(1).hidden_mean(v.as_view()).unwrap();
    assert_eq!(up, dbn.up(v.as_view()).unwrap());
    let exact = dbn.top().class_log_probabilities(up.as_view()).unwrap();
    assert_eq!(exact, dbn.class_log_probabilities(v.as_view()).unwrap());
    let draws = Draws { sweeps: 50, chains: 20, averaged: 500, seed: 1 };
    let sampled = label_by_gibbs(&dbn, v.as_view(), &draws).unwrap();
    // 10,000 draws, which do not depend on each other much.
    assert!(sampled.iter().zip(exact.iter()).all(|(s, e)| (s - e.exp()).abs() < 0.03));
    let dreams = dream(&dbn, Some(2), 50, &Draws::default()).unwrap();
    assert_eq!(dreams.mean.shape(), (4, 50));
    assert!(dream(&dbn, Some(3), 5, &Draws::default()).unwrap_err().to_string().contains("3 classes"));
    assert!(label_by_gibbs(&nets()[0], v.as_view(), &draws).is_err());
}
#[test]
fn networks_have_the_activities_of_the_net_there_and_back() {
    for mut dbn in nets() {
        let v = Mat::from_fn(4, 9, |i, j| ((i * 3 + j * 5) % 7) as f32 / 6.0);
        let net = dbn.to_classifier(3).unwrap();
        let up = dbn.up(v.as_view()).unwrap();
        let lower = dbn.n_lower();
        assert!(net.network().forward_to(lower, v.as_view()).unwrap().relative_eq(&up, 1e-5, 1e-5));
        let before = dbn.clone();
        dbn.update(&mut |p| {
            for l in 0..lower {
                p.slice_mut(10 * l).fill(7.0); // recognition is lost
            }
        });
        assert_ne!(dbn.up(v.as_view()).unwrap(), up);
        dbn.take_recognition(net.network()).unwrap();
        assert_eq!(dbn.up(v.as_view()).unwrap(), up);
        assert_eq!(dbn.params(), before.params());
        assert_eq!(dbn.to_classifier(3).unwrap().network().params(), net.network().params());
        let other = harmonium::models::neural::Mlp::new(4, &[(2, harmonium::models::neural::Activation::Sigmoid)]);
        assert!(dbn.take_recognition(&other).is_err());
    }
    // A code of real units is linear; unrolled, the net gives its own means up and down.
    let stack = vec![Rbm::new((4, Bernoulli), (5, Bernoulli)), Rbm::new((5, Bernoulli), (2, Gaussian))];
    let dbn = random(stack, 4);
    let net = dbn.to_autoencoder().unwrap();
    let v = Mat::from_fn(4, 9, |i, j| ((i * 3 + j * 5) % 7) as f32 / 6.0);
    let code = dbn.top().hidden_mean(dbn.up(v.as_view()).unwrap().as_view()).unwrap();
    let back = dbn.down(dbn.top().visible_mean(code.as_view()).unwrap().as_view()).unwrap();
    assert!(net.network().forward_to(2, v.as_view()).unwrap().relative_eq(&code, 1e-5, 1e-5));
    assert!(net.predict(v.as_view()).unwrap().relative_eq(&back, 1e-5, 1e-5));
    assert!(nets()[2].to_autoencoder().is_err());
}
#[test]
fn stacks_that_do_not_fit_are_refused() {
    let machine = |d: usize, h: usize| Rbm::new((d, Bernoulli), (h, Bernoulli));
    assert!(Dbn::from_stack(vec![]).is_err());
    assert!(Dbn::from_stack(vec![machine(4, 3), machine(2, 2)]).is_err());
    assert!(Dbn::from_stack(vec![machine(4, 3), Rbm::new((3, Gaussian), (2, Bernoulli))]).is_err());
    let label = || Rbm::with_label((3, Arc::new(Bernoulli)), 3, (2, Arc::new(Bernoulli)));
    assert!(Dbn::from_stack(vec![machine(4, 3), label(), machine(2, 2)]).is_err());
    let shallow = Dbn::from_stack(vec![label()]).unwrap();
    assert_eq!((shallow.n_visible(), shallow.n_label(), shallow.n_lower()), (3, 3, 0));
}

/// A batch of bits with labels.
fn batch_of(dbn: &Dbn) -> Mat {
    let (d, rows) = (dbn.n_visible(), dbn.n_visible() + dbn.n_label());
    Mat::from_fn(rows, 12, |i, j| f32::from(u8::from(if i < d { (i * 5 + j * 3) % 4 < 2 } else { i - d == j % 3 })))
}
#[test]
fn up_down_owes_what_every_objective_owes() {
    for dbn in nets() {
        let x = batch_of(&dbn);
        let run = |objective: &mut UpDown, x: &Mat, weights: &[f32], held: f32| {
            let mut grad = dbn.params().zeros_like();
            grad.as_mut_slice().fill(held);
            let batch = Batch { x: x.as_view(), weights, missing: None, step: 0 };
            objective.gradient(&dbn, &batch, &mut grad).unwrap();
            grad
        };
        let ones = [1.0; 12];
        let (mut a, mut b) = (UpDown::new(2, 1), UpDown::new(2, 1));
        assert_eq!(run(&mut a, &x, &ones, 0.0), run(&mut b, &x, &ones, f32::NAN));
        // Saved and loaded, it goes on.
        let mut saved = Saved::default();
        a.save(&mut saved);
        let mut c = UpDown::new(2, 1);
        c.load(&saved).unwrap();
        let next = run(&mut a, &x, &ones, 0.0);
        assert_eq!(next, run(&mut c, &x, &ones, 0.0));
        assert_ne!(next, run(&mut UpDown::new(2, 1), &x, &ones, 0.0));
        // A sample of weight zero is absent, whatever it holds; weights count in proportion.
        let mut absent = ones;
        absent[11] = 0.0;
        let mut nothing = x.clone();
        nothing.column_mut(11).fill(f32::NAN);
        let zero = run(&mut UpDown::new(2, 1), &nothing, &absent, 0.0);
        let mut other = x.clone();
        other.column_mut(11).fill(0.0);
        assert_eq!(zero, run(&mut UpDown::new(2, 1), &other, &absent, 0.0));
        let four = absent.map(|w| 4.0 * w);
        let scaled = run(&mut UpDown::new(2, 1), &other, &four, 0.0);
        assert!(zero.as_slice().iter().zip(scaled.as_slice()).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(run(&mut UpDown::new(2, 1), &x, &[0.0; 12], 1.0).as_slice().iter().all(|g| *g == 0.0));
        let few = x.rows(0, 3).clone_owned();
        let batch = Batch { x: few.as_view(), weights: &ones, missing: None, step: 0 };
        assert!(UpDown::new(1, 1).gradient(&dbn, &batch, &mut dbn.params().zeros_like()).is_err());
    }
}
/// Greedy learning of bars and stripes, then up-down: the exact likelihood grows, and recognition comes nearer to the posterior.
#[test]
fn up_down_learning_raises_the_exact_likelihood() {
    let data = bars_and_stripes(3).unwrap().sample(600, 1).unwrap();
    let mut stack = vec![Rbm::new((9, Bernoulli), (6, Bernoulli)), Rbm::new((6, Bernoulli), (6, Bernoulli))];
    for k in 0..2 {
        let (below, rest) = stack.split_at_mut(k);
        let mut activities = Activities::new(below, &data).unwrap();
        activities.drawn = Some(1);
        rest[0].initialise(&activities.mean().unwrap(), 0.01, k as u64).unwrap();
        let fit = Fit { epochs: 60, batch: 20, learning_rate: Schedule::Constant(0.1), ..Fit::default() };
        let (mut cd, mut sgd) = (Contrastive::cd(1, k as u64), Sgd::default());
        fit.run(&mut Run::new(&mut rest[0], &mut cd, &mut sgd, &mut Silent), &activities).unwrap();
    }
    let mut dbn = Dbn::from_stack(stack).unwrap();
    let patterns = data.columns(0, 100).clone_owned();
    let exact = |dbn: &Dbn| {
        let log_z = exact_log_partition(dbn.top()).unwrap();
        let of = |j: usize| log_p(dbn, &patterns.column(j).iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), log_z);
        (0..100).map(of).sum::<f64>() / 100.0
    };
    let gap = |dbn: &Dbn, exact: f64| {
        let log_z = LogPartition::exact(exact_log_partition(dbn.top()).unwrap());
        let bounds = belief_net_bounds(dbn, &patterns, &log_z, 50, 1).unwrap();
        exact - bounds.iter().map(|b| b.bound.value).sum::<f64>() / 100.0
    };
    let before = exact(&dbn);
    let gap_before = gap(&dbn, before);
    let mut up_down = UpDown::new(3, 5);
    up_down.mean_dreams = false;
    let fit = Fit { epochs: 200, batch: 20, learning_rate: Schedule::Constant(0.05), ..Fit::default() };
    fit.run(&mut Run::new(&mut dbn, &mut up_down, &mut Sgd::default(), &mut Silent), &data).unwrap();
    let after = exact(&dbn);
    assert!(after > before + 0.3, "{after} after {before}");
    assert!(gap(&dbn, after) > -0.05, "a bound is below");
    println!("{before} → {after}, gap {gap_before} → {}", gap(&dbn, after));
    assert_eq!(data.n_samples(), 600);
}
#[test]
fn what_does_not_fit_is_refused() {
    let [dbn, _, labelled] = nets();
    let log_z = LogPartition::exact(0.0);
    let says = |data: &Mat, draws| belief_net_bounds(&dbn, data, &log_z, draws, 1).expect_err("refused").to_string();
    assert!(says(&Mat::zeros(3, 2), 5).contains("rows of samples"));
    assert!(says(&Mat::zeros(4, 2), 0).contains("draws"));
    assert!(says(&Mat::from_element(4, 2, 0.5), 5).contains("unit 0 of sample 0"));
    assert!(dbn.up(Mat::zeros(3, 1).as_view()).is_err() && dbn.down(Mat::zeros(4, 1).as_view()).is_err());
    assert!(dbn.class_log_probabilities(Mat::zeros(4, 1).as_view()).is_err());
    assert!(labelled.class_log_probabilities(Mat::zeros(4, 1).as_view()).is_ok());
    assert!(dbn.to_classifier(0).is_err());
    let machine = Rbm::new((4, Bernoulli), (3, Bernoulli));
    assert!(Activities::new(std::slice::from_ref(&machine), &Mat::zeros(5, 2)).is_err());
    let missing = harmonium::Mask::repeat(4, 2, true);
    let gaps = harmonium::data::Masked::new(Mat::zeros(4, 2), missing).unwrap();
    assert!(Activities::new(std::slice::from_ref(&machine), &gaps).is_err());
    // A top may have one label beside its lower layer, and nothing else.
    let bernoulli = |n: usize| (n, Arc::new(Bernoulli) as Arc<dyn harmonium::Unit>);
    let beside = |more: &[(usize, Arc<dyn harmonium::Unit>)]| {
        let top = Rbm::with_layers(&[&[bernoulli(3)], more].concat(), &[bernoulli(2)]);
        Dbn::from_stack(vec![machine.clone(), top]).is_ok()
    };
    let softmax = || (3, Arc::new(harmonium::units::Softmax { q: 3 }) as Arc<dyn harmonium::Unit>);
    assert!(beside(&[]) && beside(&[softmax()]));
    assert!(!beside(&[bernoulli(2)]) && !beside(&[bernoulli(2), softmax()]));
}
