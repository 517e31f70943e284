//! Law 17: evaluators compute what their definitions say.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, columns, estimate, wide};
use harmonium::base_rate::{base_rate, base_rate_energy, base_rate_log_partition};
use harmonium::eval::{self, LogPartition, log_mean_exp};
use harmonium::{Chains, Error, Mat};

/// `log p(vᵢ | rest)` over all units, each from the joint probabilities of two states.
fn pseudo(oracle: &Oracle, v: &[f64]) -> f64 {
    let log_p = |i: usize| {
        let at = |value: f64| {
            let mut w = v.to_vec();
            w[i] = value;
            -oracle.free_energy(Side::Hidden, &w)
        };
        let [a, b] = oracle.visible.values().unwrap();
        let (a, b) = (at(a), at(b));
        at(v[i]) - (a.exp() + b.exp()).ln()
    };
    (0..v.len()).map(log_p).sum()
}

#[test]
fn pseudo_likelihoods_are_conditional_probabilities() {
    for rbm in cases::all() {
        let (oracle, v) = (Oracle::of(&rbm), cases::probes(&rbm, 33).rows(0, 4).clone_owned());
        let got = eval::pseudo_log_likelihood(&rbm, v.as_view());
        if oracle.visible.values().is_none() {
            assert!(matches!(got, Err(Error::Intractable { .. })), "{}", name(&rbm));
            continue;
        }
        let (mean, error) = estimate(&(0..33).map(|j| pseudo(&oracle, &wide(&v, j))).collect::<Vec<f64>>());
        let got = got.unwrap();
        close(got.value, mean, 10.0, &name(&rbm));
        close(got.standard_error, error, 10.0, &name(&rbm));
        let mut odd = v.clone();
        odd[(2, 5)] = 0.5;
        let text = eval::pseudo_log_likelihood(&rbm, odd.as_view()).unwrap_err().to_string();
        assert!(text.contains("unit 2 of sample 5"), "{text}");
    }
}
#[test]
fn the_reconstruction_error_is_that_of_means_of_means() {
    for rbm in cases::all() {
        let (oracle, v) = (Oracle::of(&rbm), cases::probes(&rbm, 75).rows(0, 4).clone_owned());
        let one = |j: usize| {
            let v = wide(&v, j);
            let h: Vec<f64> = (0..3).map(|k| oracle.mean(Side::Hidden, k, &v)).collect();
            (0..4).map(|i| (v[i] - oracle.mean(Side::Visible, i, &h)).powi(2)).sum::<f64>()
        };
        let expected = (0..75).map(one).sum::<f64>() / 75.0;
        close(eval::reconstruction_error(&rbm, v.as_view()).unwrap(), expected, 10.0, &name(&rbm));
    }
}
#[test]
fn the_log_likelihood_is_that_of_the_enumerated_model() {
    for rbm in cases::all() {
        let oracle = Oracle::of(&rbm);
        let v = cases::probes(&rbm, 45).rows(0, 4).clone_owned();
        let log_z = LogPartition { standard_error: 0.01, ..LogPartition::exact(oracle.log_z()) };
        let free: Vec<f64> = (0..45).map(|j| -oracle.free_energy(Side::Hidden, &wide(&v, j))).collect();
        let (mean, error) = estimate(&free);
        let got = eval::log_likelihood(&rbm, &v, &log_z).unwrap();
        close(got.value, mean - oracle.log_z(), 20.0, &name(&rbm));
        close(got.sampling_error, error, 10.0, &name(&rbm));
        assert_eq!(got.standard_error, 0.01);
        let each = eval::log_likelihoods(&rbm, &v, &log_z).unwrap();
        each.iter().zip(&free).for_each(|(p, f)| close(*p, f - oracle.log_z(), 20.0, &name(&rbm)));
        assert_eq!(each.len(), 45);
        assert!((each.iter().sum::<f64>() / 45.0 - got.value).abs() < 1e-12 * (1.0 + got.value.abs()));
    }
    for rbm in cases::discrete() {
        // Over all states, probabilities sum to one.
        let (states, p) = Oracle::of(&rbm).marginal(Side::Visible);
        let log_z = LogPartition::exact(eval::exact_log_partition(&rbm).unwrap());
        let free = rbm.free_energy(columns(&states).as_view()).unwrap();
        close(free.iter().map(|f| (-f - log_z.value).exp()).sum(), 1.0, 20.0, &name(&rbm));
        free.iter().zip(p).for_each(|(f, p)| close((-f - log_z.value).exp(), p, 5.0, &name(&rbm)));
    }
}
#[test]
fn without_samples_there_is_no_number() {
    let (rbm, none) = (cases::bernoulli(4, 3, 1), Mat::zeros(4, 0));
    assert!(eval::log_likelihood(&rbm, &none, &LogPartition::exact(0.0)).is_err());
    assert!(eval::log_likelihoods(&rbm, &none, &LogPartition::exact(0.0)).is_err());
    assert!(eval::reconstruction_error(&rbm, none.as_view()).is_err());
    assert!(eval::pseudo_log_likelihood(&rbm, none.as_view()).is_err());
    assert!(eval::mean_of(&none).is_err());
    for rows in [0, 3, 5, 7] {
        let wrong = Mat::zeros(rows, 3);
        assert!(eval::reconstruction_error(&rbm, wrong.as_view()).is_err(), "{rows}");
        assert!(eval::pseudo_log_likelihood(&rbm, wrong.as_view()).is_err(), "{rows}");
    }
}
/// The base-rate model is the annealed model at β = 0: independent units, whose sums are known one by one.
#[test]
fn the_base_rate_model_is_the_annealed_model_at_zero() {
    for rbm in cases::all() {
        let means = [0.3, 0.6, 0.45, 0.71];
        let base = base_rate(&rbm, &means, 0.0).unwrap();
        let oracle = Oracle::of(&rbm).annealed(0.0, &base);
        close(base_rate_log_partition(&rbm, &base), oracle.log_z(), 20.0, &name(&rbm));
        let x = cases::probes(&rbm, 8);
        for j in 0..8 {
            let got = base_rate_energy(&rbm, &base, &[], x.column(j).as_slice());
            close(got, oracle.energy(&wide(&x, j)), 10.0, &name(&rbm));
        }
        let (mean, _) = oracle.moments();
        means.iter().zip(mean.iter()).for_each(|(&m, e)| close(m as f64, *e, 1.0, &name(&rbm)));
        let drawn = Chains::from_base(&rbm, &base, 40_000, 3).states.x().clone_owned();
        let e = crate::draws::excess(&oracle, &drawn);
        assert!(e < 1.0, "{}: {e}", name(&rbm));
        let smooth = base_rate(&rbm, &means, 0.25).unwrap();
        let (towards, _) = Oracle::of(&rbm).annealed(0.0, &[0.0; 7]).moments();
        let (mean, _) = Oracle::of(&rbm).annealed(0.0, &smooth).moments();
        for (i, &m) in means.iter().enumerate() {
            close(mean[i], 0.25 * towards[i] + 0.75 * m as f64, 1.0, &name(&rbm));
        }
    }
}
#[test]
fn log_means_do_not_overflow() {
    close(log_mean_exp(&[1000.0, 1000.0 + 3f64.ln()]), 1000.0 + 2f64.ln(), 1e3, "large");
    close(log_mean_exp(&[-1e5, -2e5]), -1e5 - 2f64.ln(), 1e5, "small");
    assert_eq!(log_mean_exp(&[f64::NEG_INFINITY; 3]), f64::NEG_INFINITY);
    let even = LogPartition::from_log_weights(vec![2.5; 100]);
    assert_eq!((even.standard_error, even.warning()), (0.0, None));
    close(even.effective_sample_size, 100.0, 0.0, "even weights");
}
#[test]
fn means_of_samples_are_means() {
    let v = Mat::from_fn(3, 4321, |i, j| ((i * 31 + j * 17) % 101) as f32 * 0.01);
    for (i, m) in eval::mean_of(&v).unwrap().iter().enumerate() {
        close(*m as f64, v.row(i).iter().map(|&x| x as f64).sum::<f64>() / 4321.0, 0.0, "mean");
    }
}
