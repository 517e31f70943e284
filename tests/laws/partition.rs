//! Law 5: `log Z`, exactly and by annealed importance sampling, whose error bars must mean what they say.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, estimate};
use harmonium::base_rate::base_rate;
use harmonium::eval::{Ais, LogPartition, ais, exact_log_partition};
use harmonium::models::Rbm;
use harmonium::units::{Bernoulli, Gaussian, Relu, Spin};
use harmonium::{Error, Train};
use std::sync::Arc;

fn settings(seed: u64) -> Ais {
    Ais { betas: Ais::linear(60), runs: 200, seed }
}

#[test]
fn the_exact_sum_is_the_oracles() {
    for rbm in cases::all() {
        let expected = Oracle::of(&rbm).log_z();
        close(exact_log_partition(&rbm).unwrap(), expected, 20.0, &name(&rbm));
    }
    let none = cases::strong((3, Arc::new(Relu)), (2, Arc::new(Gaussian)), 1);
    let e = exact_log_partition(&none).unwrap_err().to_string();
    assert!(e.contains("annealed importance sampling"), "{e}");
}
#[test]
fn any_side_may_be_the_larger() {
    for (d, h) in [(1, 12), (12, 1), (3, 11), (0, 4), (4, 0)] {
        let rbm = cases::strong((d, Arc::new(Spin)), (h, Arc::new(Bernoulli)), 3);
        close(exact_log_partition(&rbm).unwrap(), Oracle::of(&rbm).log_z(), 40.0, &format!("{d} × {h}"));
    }
}
#[test]
fn an_energy_without_minimum_has_an_infinite_log_partition() {
    for (w, finite) in [(0.4, true), (0.6, false)] {
        let mut rbm = Rbm::new((2, Gaussian), (2, Gaussian));
        rbm.update(&mut |p| p.slice_mut(0).fill(w)); // spectral norm 2w
        let log_z = exact_log_partition(&rbm).unwrap();
        assert_eq!(Oracle::of(&rbm).log_z().is_finite(), finite);
        assert!(if finite { log_z.is_finite() } else { log_z == f64::INFINITY }, "{w}: {log_z}");
    }
}
#[test]
fn too_many_states_are_refused_and_the_way_out_is_named() {
    for rbm in [Rbm::new((31, Bernoulli), (31, Spin)), Rbm::new((70, Spin), (3000, Bernoulli))] {
        let e = exact_log_partition(&rbm).unwrap_err();
        assert!(
            matches!(e, Error::Intractable { .. }) && e.to_string().contains("annealed importance sampling"),
            "{e}"
        );
    }
}
/// One estimate lies within 4.5 of its own errors, and over seeds the errors are the spread: with `k` estimates the mean
/// of `(estimate - exact)²/error²` is one within `√(2/k)`, for near-normal estimates.
#[test]
fn annealing_agrees_and_its_error_is_honest() {
    for rbm in cases::all() {
        let exact = Oracle::of(&rbm).log_z();
        let base = base_rate(&rbm, &[0.1; 4], 0.1).unwrap();
        let scores: Vec<f64> = (0..24)
            .map(|seed| {
                let got = ais(&rbm, &base, &settings(seed)).unwrap();
                assert!(got.standard_error > 0.0 && got.standard_error < 0.1, "{}: {}", name(&rbm), got.standard_error);
                assert!(got.warning().is_none(), "{}", name(&rbm));
                (got.value - exact) / got.standard_error
            })
            .collect();
        assert!(scores.iter().all(|z| z.abs() < 4.5), "{}: {scores:?}", name(&rbm));
        let chi2 = scores.iter().map(|z| z * z).sum::<f64>() / 24.0;
        // Four deviations above; below, χ² with 24 degrees is under 0.3 of its mean once in three thousand times.
        assert!((0.3..1.0 + 4.0 * (2.0f64 / 24.0).sqrt()).contains(&chi2), "{}: {chi2}", name(&rbm));
        let (mean, error) = estimate(&scores);
        assert!(mean.abs() < 4.5 * error, "{}: biased by {mean} ± {error} of its errors", name(&rbm));
    }
}
#[test]
fn one_step_from_the_base_rate_is_plain_importance_sampling() {
    let rbm = cases::bernoulli(4, 3, 2);
    let base = base_rate(&rbm, &[0.5; 4], 0.0).unwrap();
    let got = ais(&rbm, &base, &Ais { betas: vec![0.0, 1.0], runs: 20_000, seed: 1 }).unwrap();
    assert!((got.value - Oracle::of(&rbm).log_z()).abs() < 4.5 * got.standard_error, "{got:?}");
    assert!((got.effective_sample_size - ess(&got.log_weights)).abs() < 1e-6 * got.effective_sample_size);
}
fn ess(log_weights: &[f64]) -> f64 {
    let w: Vec<f64> = log_weights.iter().map(|w| w.exp()).collect();
    w.iter().sum::<f64>().powi(2) / w.iter().map(|w| w * w).sum::<f64>()
}
#[test]
fn without_weights_annealing_is_exact() {
    for mut rbm in cases::all() {
        rbm.update(&mut |p| p.slice_mut(0).fill(0.0));
        let base = [rbm.visible_bias(), rbm.hidden_bias()].concat();
        let got = ais(&rbm, &base, &settings(1)).unwrap();
        close(got.value, Oracle::of(&rbm).log_z(), 20.0, &name(&rbm));
        assert!(got.standard_error < 1e-6, "{}: {}", name(&rbm), got.standard_error);
    }
    let zero = Rbm::new((5, Bernoulli), (2, Spin));
    let got = ais(&zero, &[0.0; 7], &settings(1)).unwrap();
    assert_eq!(got.standard_error, 0.0);
    close(got.value, 7.0 * 2f64.ln(), 1.0, "all parameters zero");
}
#[test]
fn settings_that_make_no_sense_are_refused() {
    let rbm = cases::bernoulli(4, 3, 1);
    let bad: [&[f32]; 9] = [
        &[],
        &[0.0],
        &[1.0],
        &[1.0, 0.0],
        &[0.0, 0.9],
        &[0.1, 1.0],
        &[0.0, 0.5, 0.5, 1.0],
        &[0.0, f32::NAN, 1.0],
        &[0.0, 0.6, 0.4, 1.0],
    ];
    for betas in bad {
        let e = ais(&rbm, &[0.0; 7], &Ais { betas: betas.to_vec(), runs: 10, seed: 0 }).unwrap_err();
        assert!(e.to_string().contains("inverse temperatures"), "{betas:?}: {e}");
    }
    assert!(ais(&rbm, &[0.0; 7], &Ais { runs: 0, ..settings(0) }).is_err());
    assert!(matches!(ais(&rbm, &[0.0; 4], &settings(0)), Err(Error::Shape { .. })));
    let mut base = [0.0; 7];
    base[2] = f32::NAN;
    assert!(ais(&rbm, &base, &settings(0)).is_err(), "a field that is no number");
}
#[test]
fn one_run_has_no_error_bar_and_says_so() {
    let rbm = cases::bernoulli(4, 3, 1);
    let got = ais(&rbm, &[0.0; 7], &Ais { runs: 1, ..settings(0) }).unwrap();
    assert!(got.value.is_finite() && got.standard_error.is_nan() && got.warning().is_some());
    assert!(LogPartition::exact(1.0).warning().is_none());
}
#[test]
fn schedules_rise_from_zero_to_one() {
    let sm08 = Ais::sm08();
    assert_eq!(sm08.len(), 14_501);
    assert_eq!((sm08[500], sm08[4_500]), (0.5, 0.9));
    for betas in [sm08, Ais::linear(1), Ais::linear(1000), Ais::like_sm08(3), Ais::like_sm08(1000)] {
        assert!(betas[0] == 0.0 && betas[betas.len() - 1] == 1.0 && betas.windows(2).all(|b| b[0] < b[1]));
    }
}
