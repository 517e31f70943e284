//! What a trained model is asked, held against sums over all its states.

use crate::cases;
use crate::kinds::ranges;
use harmonium::eval::exact_log_partition;
use harmonium::infer::{Draws, complete, features, impute, sample, scores};
use harmonium::models::{ConditionalRbm, Rbm};
use harmonium::{Configurations, Learn, Mask, Mat, Train};

/// All visible states with their probabilities.
fn visible(rbm: &Rbm) -> (Mat, Vec<f64>) {
    let all = Configurations::new(rbm, &rbm.visible_blocks().collect::<Vec<_>>()).unwrap().all(1 << 16).unwrap();
    let all = all.rows(0, rbm.n_visible()).clone_owned();
    let log_z = exact_log_partition(rbm).unwrap();
    let p = rbm.free_energy(all.as_view()).unwrap().iter().map(|f| (-f - log_z).exp()).collect();
    (all, p)
}

#[test]
fn what_is_unknown_has_its_conditional_moments() {
    let v = [1.0, 0.0, 1.0, 0.0, 1.0];
    let unknown = [false, true, false, true, true];
    let rbm = cases::bernoulli(5, 4, 3);
    let (all, p) = visible(&rbm);
    let fits: Vec<usize> = (0..all.ncols()).filter(|&c| (0..5).all(|i| unknown[i] || all[(i, c)] == v[i])).collect();
    let total: f64 = fits.iter().map(|&c| p[c]).sum();
    const N: usize = 2000;
    let x = Mat::from_fn(5, N, |i, _| if unknown[i] { f32::NAN } else { v[i] });
    let mask = Mask::from_fn(5, N, |i, _| unknown[i]);
    let draws = Draws { sweeps: 60, chains: 1, averaged: 20, seed: 4 };
    let (drawn, guess) =
        (complete(&rbm, x.as_view(), &mask, &draws).unwrap(), impute(&rbm, x.as_view(), &mask, &draws).unwrap());
    for i in 0..5 {
        let expected = fits.iter().map(|&c| p[c] / total * f64::from(all[(i, c)])).sum::<f64>();
        let frequency = f64::from(drawn.row(i).sum()) / N as f64;
        if !unknown[i] {
            assert_eq!((frequency, guess.mean[(i, 7)], guess.deviation[(i, 7)]), (expected, v[i], 0.0));
            continue;
        }
        let allowed = 5.0 * (expected * (1.0 - expected) / N as f64).sqrt();
        assert!((frequency - expected).abs() < allowed, "{i}: {frequency}, exactly {expected}");
        let mean = f64::from(guess.mean.row(i).sum()) / N as f64;
        assert!((mean - expected).abs() < allowed, "{i}: {mean}, exactly {expected}");
        // A bit's variance is m (1 - m), whatever its mean over a chain.
        for n in 0..N {
            let m = f64::from(guess.mean[(i, n)]);
            cases::close(f64::from(guess.deviation[(i, n)]).powi(2), m * (1.0 - m), 3.0, "variance");
        }
    }
}
#[test]
fn samples_are_those_of_the_model() {
    let rbm = cases::bernoulli(4, 3, 5);
    let (all, p) = visible(&rbm);
    let n = 20_000;
    let v = sample(&rbm, &[0.0; 7], n, &Draws { sweeps: 60, seed: 2, ..Draws::default() }).unwrap();
    for (column, p) in all.column_iter().zip(p) {
        let count = v.column_iter().filter(|w| *w == column).count() as f64;
        assert!((count / n as f64 - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt(), "{count} of {n}, p = {p}");
    }
}
#[test]
fn features_and_scores_are_the_closed_forms() {
    for rbm in ranges(2) {
        let v = harmonium::laws::exact_draws(&rbm, 9, 1).unwrap().rows(0, rbm.n_visible()).clone_owned();
        assert_eq!(features(&rbm, v.as_view()).unwrap(), rbm.hidden_mean(v.as_view()).unwrap());
        assert_eq!(scores(&rbm, v.as_view()).unwrap(), rbm.free_energy(v.as_view()).unwrap());
    }
}
/// The prediction of a conditional machine: its mean and deviation at an input, whatever stands in the places of the outputs.
#[test]
fn predictions_of_a_conditional_machine() {
    let mut model = ConditionalRbm::new(2, cases::bernoulli(2, 3, 1));
    model.update(&mut |p| p.slice_mut(6).copy_from_slice(&[1.0, -1.0, 0.5, 2.0]));
    let shifted = |u: [f32; 2]| {
        let mut rbm = model.machine().clone();
        let by = model.params().mat(6) * Mat::from_column_slice(2, 1, &u);
        rbm.update(&mut |p| p.slice_mut(1).iter_mut().zip(by.iter()).for_each(|(b, s)| *b += s));
        rbm
    };
    let (n, u) = (1000, [1.0, -0.5]);
    let x = Mat::from_fn(4, n, |i, _| if i < 2 { u[i] } else { f32::INFINITY });
    let unknown = Mask::from_fn(4, n, |i, _| i >= 2);
    let guess = impute(&model, x.as_view(), &unknown, &Draws { sweeps: 40, chains: 3, averaged: 10, seed: 1 }).unwrap();
    let (all, p) = visible(&shifted(u));
    for (i, input) in u.iter().enumerate() {
        let expected: f64 = all.row(i).iter().zip(&p).map(|(x, p)| f64::from(*x) * p).sum();
        let mean = f64::from(guess.mean.row(2 + i).sum()) / n as f64;
        assert!((mean - expected).abs() < 5.0 * (expected * (1.0 - expected) / n as f64).sqrt(), "{mean}, {expected}");
        assert_eq!(guess.mean[(i, 3)], *input);
    }
    assert!(sample(&model, &[0.0; 7], 1, &Draws::default()).unwrap_err().to_string().contains("Conditioned"));
}
#[test]
fn what_does_not_fit_is_refused() {
    let rbm = cases::bernoulli(3, 2, 1);
    let (x, mask, draws) = (Mat::from_element(3, 2, 7.0), Mask::repeat(3, 2, true), Draws::default());
    assert!(complete(&rbm, x.as_view(), &mask, &draws).is_ok(), "all is unknown");
    let e = complete(&rbm, x.as_view(), &Mask::repeat(3, 2, false), &draws).unwrap_err().to_string();
    assert!(e.contains("unit 0 of sample 0") && e.contains('7'), "{e}");
    assert!(complete(&rbm, x.as_view(), &Mask::repeat(3, 1, true), &draws).is_err());
    assert!(complete(&rbm, Mat::zeros(5, 2).as_view(), &Mask::repeat(5, 2, true), &draws).is_err());
    assert!(impute(&rbm, x.as_view(), &mask, &Draws { averaged: 0, ..draws }).is_err());
    assert!(impute(&rbm, x.as_view(), &mask, &Draws { chains: 0, ..draws }).is_err());
    assert!(sample(&rbm, &[0.0; 3], 1, &draws).is_err() && features(&rbm, Mat::zeros(5, 2).as_view()).is_err());
    assert!(scores(&rbm, Mat::zeros(2, 2).as_view()).is_err());
}
