//! Law 8: everything about a unit kind follows from its log-partition; draws have the mean and the variance that it says.

use crate::cases::{close, kinds};
use crate::reference::{Kind, estimate};
use harmonium::{ChainRng, Unit};
use std::sync::Arc;

/// Unit parameters that are not all zero.
const THETA: [f32; 7] = [0.3, -0.4, 0.8, 0.0, -0.9, 0.5, 0.1];
const FIELDS: [f32; 7] = [-3.0, -0.7, -0.05, 0.0, 0.4, 1.3, 2.5];

fn theta(unit: &Arc<dyn Unit>, n: usize) -> Vec<f32> {
    THETA.iter().copied().cycle().take(unit.n_theta() * n).collect()
}
fn log_sum(unit: &Arc<dyn Unit>, theta: &[f32], field: &[f64]) -> f64 {
    let one = |(k, f): (usize, &f64)| Kind::named(unit.name()).log_sum(*theta.get(k).unwrap_or(&0.0) as f64, *f);
    field.iter().enumerate().map(one).sum()
}

#[test]
fn the_log_partition_is_the_oracles() {
    for unit in kinds() {
        let theta = theta(&unit, 7);
        let field = FIELDS.map(|f| f as f64);
        close(unit.log_partition(&theta, &FIELDS), log_sum(&unit, &theta, &field), 20.0, unit.name());
        assert_eq!(unit.log_partition(&[], &[]), 0.0);
        // Long columns take other loops than short ones.
        for n in [1, 15, 16, 17, 33, 700] {
            let long: Vec<f32> = (0..n).map(|k| (k as f32 * 0.37).sin() * 4.0).collect();
            let theta: Vec<f32> = theta.iter().copied().cycle().take(unit.n_theta() * n).collect();
            let wide: Vec<f64> = long.iter().map(|&f| f as f64).collect();
            close(unit.log_partition(&theta, &long), log_sum(&unit, &theta, &wide), n as f64, unit.name());
        }
    }
}
#[test]
fn mean_and_variance_are_its_derivatives() {
    for unit in kinds() {
        let (theta, mut mean, mut variance) = (theta(&unit, 7), [0.0; 7], [0.0; 7]);
        unit.mean(&theta, &FIELDS, &mut mean);
        unit.variance(&theta, &FIELDS, &mut variance);
        for k in 0..7 {
            let at = |step: f64| log_sum(&unit, theta.get(k..=k).unwrap_or(&[]), &[FIELDS[k] as f64 + step]);
            let (a, b, c) = (at(-1e-3), at(0.0), at(1e-3));
            // Central differences err by h²/6 Γ''' < 1e-6 and by h²/12 Γ'''' and rounding / h² < 1e-6.
            assert!((mean[k] as f64 - (c - a) / 2e-3).abs() < 3e-6, "{unit:?} mean at {}", FIELDS[k]);
            assert!((variance[k] as f64 - (a + c - 2.0 * b) / 1e-6).abs() < 1e-5, "{unit:?} variance at {}", FIELDS[k]);
        }
    }
}
#[test]
fn gradients_by_unit_parameters_are_derivatives() {
    for unit in kinds().into_iter().filter(|u| u.n_theta() > 0) {
        let (theta, x) = (theta(&unit, 7), FIELDS.map(|f| 0.6 * f + 0.1));
        let (mut of_u, mut of_gamma) = ([1.0; 7], [1.0; 7]);
        unit.base_grad_theta(&theta, &x, 0.5, &mut of_u);
        unit.expected_grad_theta(&theta, &FIELDS, 0.5, &mut of_gamma);
        let kind = Kind::named(unit.name());
        for k in 0..7 {
            let t = theta[k] as f64;
            let u = |t: f64| 0.5 * kind.precision(t) * (x[k] as f64).powi(2);
            let gamma = |t: f64| kind.log_sum(t, FIELDS[k] as f64);
            close(of_u[k] as f64, 1.0 + 0.5 * (u(t + 1e-4) - u(t - 1e-4)) / 2e-4, 5.0, "∂U/∂θ");
            close(of_gamma[k] as f64, 1.0 - 0.5 * (gamma(t + 1e-4) - gamma(t - 1e-4)) / 2e-4, 5.0, "-∂Γ/∂θ");
        }
    }
}
#[test]
fn the_base_energy_is_zero_at_zero_and_its_gradient_a_derivative() {
    for unit in kinds() {
        let (theta, x) = (theta(&unit, 7), FIELDS);
        assert_eq!(unit.base_energy(&theta, &[0.0; 7]), 0.0);
        let precision = |k: usize| Kind::named(unit.name()).precision(*theta.get(k).unwrap_or(&0.0) as f64);
        let u: f64 = (0..7).map(|k| 0.5 * precision(k) * (x[k] as f64).powi(2)).sum();
        close(unit.base_energy(&theta, &x), u, u, unit.name());
        let mut grad = [2.0; 7];
        unit.base_grad_x(&theta, &x, &mut grad);
        for k in 0..7 {
            let step = |h: f32| {
                let mut y = x;
                y[k] += h;
                unit.base_energy(&theta, &y)
            };
            let (h, got) = (1.0 / 64.0, grad[k] as f64 - 2.0); // the step is exact in binary, U quadratic
            close(got, (step(h) - step(-h)) / (2.0 * h as f64), 5.0, unit.name());
        }
    }
}
#[test]
fn a_million_draws_have_the_mean_and_the_variance() {
    for unit in kinds() {
        let (n, mut rng) = (1_000_000 / 7, ChainRng::new(8));
        let theta = theta(&unit, 7);
        let mut draws: Vec<Vec<f64>> = vec![vec![]; 7];
        let mut out = [0.0; 7];
        for _ in 0..n {
            unit.sample(&theta, &FIELDS, &mut out, &mut rng);
            draws.iter_mut().zip(out).for_each(|(d, x)| d.push(x as f64));
        }
        let (mut mean, mut variance) = ([0.0; 7], [0.0; 7]);
        unit.mean(&theta, &FIELDS, &mut mean);
        unit.variance(&theta, &FIELDS, &mut variance);
        for (i, draws) in draws.iter().enumerate() {
            let (m, error) = estimate(draws);
            assert!((m - mean[i] as f64).abs() < 4.5 * error, "{unit:?} mean at {}: {m}", FIELDS[i]);
            let squares: Vec<f64> = draws.iter().map(|x| (x - mean[i] as f64).powi(2)).collect();
            let (v, error) = estimate(&squares);
            let rounding = 1e-6;
            assert!((v - variance[i] as f64).abs() < 4.5 * error + rounding, "{unit:?} variance at {}: {v}", FIELDS[i]);
            if let Some(values) = unit.support() {
                assert!(draws.iter().all(|x| values.iter().any(|v| v[0] as f64 == *x)), "{unit:?} takes its values");
            }
        }
    }
}
#[test]
fn extreme_fields_stay_finite_and_right() {
    let extreme = [-1000.0, -80.0, -30.0, 30.0, 80.0, 1000.0];
    for unit in kinds() {
        let (theta, kind) = (theta(&unit, 6), Kind::named(unit.name()));
        let (mut mean, mut variance, mut mode, mut draw) = ([9.0; 6], [9.0; 6], [9.0; 6], [9.0; 6]);
        unit.mean(&theta, &extreme, &mut mean);
        unit.variance(&theta, &extreme, &mut variance);
        unit.mode(&theta, &extreme, &mut mode);
        unit.sample(&theta, &extreme, &mut draw, &mut ChainRng::new(1));
        let wide = extreme.map(|f| f as f64);
        let expected = log_sum(&unit, &theta, &wide);
        close(unit.log_partition(&theta, &extreme), expected, 0.0, unit.name());
        for k in 0..6 {
            let (f, lambda) = (wide[k], *theta.get(k).unwrap_or(&0.0) as f64);
            let (m, v) = match kind.values() {
                Some([a, b]) => {
                    let up = 1.0 / (1.0 + (-(b - a) * f).exp());
                    (a + (b - a) * up, (b - a).powi(2) * up / (1.0 + ((b - a) * f).exp()))
                }
                None => (f / kind.precision(lambda), 1.0 / kind.precision(lambda)),
            };
            close(mean[k] as f64, m, 0.0, unit.name());
            close(variance[k] as f64, v, 0.0, unit.name());
            close(mode[k] as f64, m, 0.0, unit.name());
            let sure = kind.values().is_some();
            assert!(if sure { draw[k] == mode[k] } else { (draw[k] as f64 - m).abs() < 8.0 * v.sqrt() }, "{unit:?}");
        }
    }
}
/// The mode minimises the energy of a unit in its field, and the field of a mean is the inverse of the mean.
#[test]
fn modes_are_minima_and_means_invert() {
    for unit in kinds() {
        let (theta, kind) = (theta(&unit, 7), Kind::named(unit.name()));
        let (mut mode, mut mean, mut field) = ([0.0; 7], [0.0; 7], [0.0; 7]);
        unit.mode(&theta, &FIELDS, &mut mode);
        unit.mean(&theta, &FIELDS, &mut mean);
        unit.field_of_mean(&theta, &mean, &mut field);
        for k in 0..7 {
            let a = kind.precision(*theta.get(k).unwrap_or(&0.0) as f64);
            let energy = |x: f64| 0.5 * a * x * x - FIELDS[k] as f64 * x;
            let others = kind.values().map_or(vec![mode[k] as f64 - 0.1, mode[k] as f64 + 0.1], |v| v.to_vec());
            assert!(others.iter().all(|&x| energy(mode[k] as f64) <= energy(x)), "{unit:?} mode at {}", FIELDS[k]);
            // A mean near the end of the range has lost digits: rounding is divided by the variance, at least 0.009.
            assert!((field[k] - FIELDS[k]).abs() < 2.0 * f32::EPSILON / 0.009, "{unit:?} field of mean {}", mean[k]);
            assert!(unit.range().contains(&mean[k]));
        }
    }
}
