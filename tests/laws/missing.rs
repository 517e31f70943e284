//! Data with missing entries and with weights: what is filled in has the distribution of what is missing given what is known,
//! and what is absent leaves no trace.

use crate::{cases, kinds};
use harmonium::data::{Masked, Samples, Stacked, Weighted, bars_and_stripes};
use harmonium::eval::{LogPartition, exact_log_partition, log_likelihood};
use harmonium::models::Rbm;
use harmonium::objectives::{Clamped, Contrastive, Filled, Objective, Positive};
use harmonium::optim::Sgd;
use harmonium::train::{Fit, Run, Silent, check_data};
use harmonium::units::Bernoulli;
use harmonium::{Batch, Configurations, Energy, Learn, Mask, Mat, Params, Phase, States};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The gradient of `-log Σ p(v)` over all values of the missing entries of one sample, negative phase apart.
fn exact_positive(rbm: &Rbm, v: &[f32], missing: &[bool]) -> Params {
    let all = Configurations::new(rbm, &rbm.visible_blocks().collect::<Vec<_>>()).unwrap().all(1 << 16).unwrap();
    let all = all.rows(0, rbm.n_visible()).clone_owned();
    let known = |c: &usize| all.column(*c).iter().zip(v).zip(missing).all(|((x, v), m)| *m || x == v);
    let fits: Vec<usize> = (0..all.ncols()).filter(known).collect();
    let fitting = all.select_columns(&fits);
    let free = rbm.free_energy(fitting.as_view()).unwrap();
    let lowest = free.iter().copied().fold(f64::INFINITY, f64::min);
    let p: Vec<f64> = free.iter().map(|f| (lowest - f).exp()).collect();
    let weights: Vec<f32> = p.iter().map(|w| (w / p.iter().sum::<f64>()) as f32).collect();
    let (mut states, mut grad) = (States::default(), rbm.params().zeros_like());
    states.clamp(rbm.n_rows(), fitting.as_view());
    rbm.grad_expected(&mut states, Phase::Data, &weights, &mut grad);
    grad
}

#[test]
fn what_is_filled_in_is_distributed_as_the_missing_given_the_known() {
    const N: usize = 40_000;
    let mixed = kinds::ranges(3)[1].clone(); // a label of three beside a count
    let cases = [
        (cases::bernoulli(5, 3, 2), vec![1.0, 0.0, 1.0, 1.0, 0.0], vec![false, true, true, false, true], 0.5),
        (mixed, vec![0.0, 1.0, 0.0, 2.0], vec![true, true, true, false], 2.0),
    ];
    for (rbm, v, missing, deviation) in cases {
        let x = Mat::from_fn(v.len(), N, |i, _| if missing[i] { 0.3 } else { v[i] });
        let mask = Mask::from_fn(v.len(), N, |i, _| missing[i]);
        let weights = vec![1.0 / N as f32; N];
        let batch = Batch { x: x.as_view(), weights: &weights, missing: Some(mask.columns(0, N)), step: 0 };
        let mut filled = Filled::sweeps(60, 4);
        let states = filled.draw(&rbm, &batch).unwrap();
        let kept = states.x().rows(0, v.len()).column_iter().all(|c| (0..v.len()).all(|i| missing[i] || c[i] == v[i]));
        assert!(kept, "what is known stays");
        let mut got = rbm.params().zeros_like();
        rbm.grad_expected(states, Phase::Data, &weights, &mut got);
        let expected = exact_positive(&rbm, &v, &missing);
        // Every entry is a mean over independent chains of products of a mean activity with a value: of deviation ½ at
        // most, where both are in [0, 1].
        let tolerance = 5.0 * deviation / (N as f32).sqrt();
        for (k, (got, expected)) in got.as_slice().iter().zip(expected.as_slice()).enumerate() {
            let slot = &rbm.params().slot_of(k).name;
            assert!((got - expected).abs() < tolerance, "{slot} {k}: {got}, exactly {expected} (± {tolerance})");
        }
    }
}

/// The same draw with too few sweeps, from a start far away, is told from a right one by the test above.
#[test]
fn chains_that_do_not_move_are_no_draws() {
    let rbm = cases::bernoulli(5, 3, 2);
    let (x, mask) = (Mat::from_element(5, 100, 0.3), Mask::repeat(5, 100, true));
    let weights = [0.01; 100];
    let batch = Batch { x: x.as_view(), weights: &weights, missing: Some(mask.columns(0, 100)), step: 0 };
    let states = Filled::sweeps(0, 4).draw(&rbm, &batch).unwrap().x().clone_owned();
    assert!(states.rows(0, 5).iter().all(|&v| v == 0.3));
}

#[test]
fn missing_entries_need_an_objective_that_fills_them() {
    let (rbm, x) = (cases::bernoulli(3, 2, 1), Mat::zeros(3, 2));
    let mut mask = Mask::repeat(3, 2, false);
    let draw = |mask: &Mask, weights: &[f32]| {
        let batch = Batch { x: x.as_view(), weights, missing: Some(mask.columns(0, 2)), step: 0 };
        Clamped::default().draw(&rbm, &batch).map(|_| ())
    };
    draw(&mask, &[1.0; 2]).unwrap();
    mask[(2, 1)] = true;
    draw(&mask, &[1.0, 0.0]).unwrap();
    assert!(draw(&mask, &[1.0; 2]).unwrap_err().to_string().contains("Contrastive::filling"));
}

/// With nothing missing, filling draws nothing: the bits are those of training without it.
#[test]
fn filling_nothing_changes_nothing() {
    let data = bars_and_stripes(3).unwrap().patterns;
    let train = |objective: &mut dyn Objective<Rbm>| {
        let mut rbm = cases::bernoulli(9, 4, 1);
        let fit = Fit { epochs: 3, batch: 4, ..Fit::default() };
        fit.run(&mut Run::new(&mut rbm, objective, &mut Sgd::default(), &mut Silent), &data).unwrap();
        rbm.params().as_slice().to_vec()
    };
    assert_eq!(train(&mut Contrastive::cd(1, 1)), train(&mut Contrastive::cd(1, 1).filling(5, 1)));
}

/// Bars and stripes of which a fifth of the entries are not known, by the exact gradient of the likelihood of the rest, are
/// learned nearly as well.
#[test]
fn patterns_with_gaps_are_learned() {
    let patterns = bars_and_stripes(3).unwrap();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let data = patterns.sample(1000, 2).unwrap();
    let data = Masked::new(data, Mask::from_fn(9, 1000, |_, _| rng.random_bool(0.2))).unwrap();
    let mut rbm = Rbm::new((9, Bernoulli), (12, Bernoulli));
    rbm.initialise(&[0.5; 9], 0.0, 1).unwrap();
    let mut objective = Contrastive::exact(&rbm).unwrap().filling(3, 1);
    let fit = Fit {
        epochs: 300,
        batch: 50,
        learning_rate: harmonium::optim::Schedule::Linear { from: 0.5, to: 0.0, steps: 6000 },
        ..Fit::default()
    };
    fit.run(&mut Run::new(&mut rbm, &mut objective, &mut Sgd::default(), &mut Silent), &data).unwrap();
    let log_z = LogPartition::exact(exact_log_partition(&rbm).unwrap());
    let found = log_likelihood(&rbm, &patterns.sample(5000, 9).unwrap(), &log_z).unwrap().value;
    let best = -patterns.entropy();
    assert!(found > best - 0.25, "{found}, at best {best}");
}

/// Samples of weight 0 may hold anything; one of weight 2 counts as two.
#[test]
fn weights_are_numbers_of_samples() {
    let rbm = cases::bernoulli(4, 3, 1);
    let x = cases::probes(&rbm, 3).rows(0, 4).clone_owned();
    let mut with_nothing = x.clone().insert_column(3, f32::NAN);
    with_nothing[(0, 3)] = 7.0;
    let weighted = Weighted::new(with_nothing, vec![1.0, 2.0, 1.0, 0.0]).unwrap();
    check_data(&rbm, &weighted).unwrap();
    let twice = x.select_columns(&[0, 1, 1, 2]);
    let train = |data: &dyn Samples| {
        let mut rbm = rbm.clone();
        let mut exact = Contrastive::exact(&rbm).unwrap();
        let fit = Fit { epochs: 5, batch: 4, ..Fit::default() };
        fit.run(&mut Run::new(&mut rbm, &mut exact, &mut Sgd::default(), &mut Silent), data).unwrap();
        rbm.params().as_slice().to_vec()
    };
    for (a, b) in train(&weighted).iter().zip(train(&twice)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
    let nothing = Mat::zeros(0, 4);
    assert!(train(&Stacked::new(vec![&weighted, &nothing]).unwrap()) == train(&weighted));
}
