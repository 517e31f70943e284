//! Networks: activations and back-propagation against differences, predictors under the laws of models, dropout on average.

use harmonium::eval::exact_log_partition;
use harmonium::models::Kind;
use harmonium::models::neural::{Activation, Mlp, Noise, Predictor, Work};
use harmonium::objectives::{Contrastive, Objective, Supervised};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Batch, Conditioned, Energy, Learn, Mat, Train, laws};
use std::sync::Arc;

fn waves(rows: usize, columns: usize, phase: f32) -> Mat {
    Mat::from_fn(rows, columns, |i, j| ((3 * i + 5 * j) as f32 + phase).sin())
}
/// A network of two hidden layers with this activation, and random parameters.
fn network(activation: Activation) -> Mlp {
    let mut net = Mlp::new(4, &[(6, activation), (5, activation), (3, Activation::Linear)]);
    net.initialise(1);
    for l in 1..=3 {
        let (weights, bias) = (net.weights(l).clone_owned(), waves(net.bias(l).len(), 1, l as f32) * 0.3);
        net.set_layer(l, weights.as_view(), bias.as_slice()).unwrap();
    }
    net
}
fn predictors() -> Vec<Predictor> {
    let kinds: Vec<Vec<Kind>> = vec![
        vec![(3, Arc::new(Softmax { q: 3 }))],
        vec![(2, Arc::new(Bernoulli))],
        vec![(2, Arc::new(Gaussian))],
        vec![(2, Arc::new(LogPrecision)), (1, Arc::new(Spin))],
    ];
    let one = |(k, outputs): (usize, Vec<Kind>)| {
        // The laws take differences, which kinks would spoil.
        let smooth = [Activation::Sigmoid, Activation::Tanh, Activation::Softplus, Activation::Linear];
        let hidden = [(6, smooth[k]), (5, Activation::Silu)];
        let mut net = Predictor::new(4, &hidden, &outputs);
        net.network_mut().initialise(k as u64);
        net.update(&mut |p| {
            let n = p.as_slice().len();
            p.as_mut_slice()[n - 6..].iter_mut().enumerate().for_each(|(i, v)| *v += 0.3 * (i as f32).cos());
        });
        net
    };
    kinds.into_iter().enumerate().map(one).collect()
}

#[test]
fn activations_are_what_they_are_called_and_chain_their_slopes() {
    let fields: Vec<f32> = (-40..40).map(|k| 0.2 * k as f32 + 0.05).collect();
    for activation in Activation::ALL {
        let of = |x: f64| match activation {
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::Relu => x.max(0.0),
            Activation::Softplus => x.exp().ln_1p(),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Linear => x,
        };
        let (mut out, mut back) = (vec![0.0; fields.len()], vec![2.0; fields.len()]);
        activation.apply(&fields, &mut out);
        activation.chain(&fields, &out, &mut back);
        for ((&x, &y), &b) in fields.iter().zip(&out).zip(&back) {
            let x = f64::from(x);
            let slope = (of(x + 1e-5) - of(x - 1e-5)) / 1e-5; // twice the slope
            assert!((f64::from(y) - of(x)).abs() < 1e-5, "{activation:?} at {x}: {y}");
            assert!((f64::from(b) - slope).abs() < 1e-5, "{activation:?} at {x}: {b} instead of {slope}");
        }
        assert_eq!(Activation::named(activation.name()), Some(activation));
    }
    assert_eq!(Activation::named("step"), None);
}
/// `∂(wᵀf)/∂x` and by all parameters, against differences of the pass forwards.
#[test]
fn back_propagation_matches_differences() {
    for activation in Activation::ALL {
        let net = network(activation);
        let (x, pull) = (waves(4, 70, 0.0), waves(3, 70, 1.0));
        let (mut work, mut grad) = (Work::new(1), net.params().zeros_like());
        grad.as_mut_slice().fill(7.0);
        net.pass(&mut work, x.as_view(), Noise::default(), &|j, _, delta| {
            delta.copy_from_slice(pull.column(j).as_slice());
        });
        net.pass_back(&mut work, Noise::default(), &mut grad);
        let mut by_inputs = Mat::zeros(4, 70);
        net.grad_inputs(&mut work, by_inputs.as_view_mut());
        let loss = |net: &Mlp, x: &Mat| {
            let out = net.forward(x.as_view()).unwrap();
            out.iter().zip(pull.iter()).map(|(o, p)| f64::from(*o) * f64::from(*p)).sum::<f64>()
        };
        // Richardson's combination of two differences; f32 leaves some 1e-3 of a slope of size one over 70 samples.
        let slope = |f: &dyn Fn(f32) -> f64| {
            let at = |h: f32| (f(h) - f(-h)) / (2.0 * f64::from(h));
            (4.0 * at(0.02) - at(0.04)) / 3.0
        };
        let kinked = activation == Activation::Relu;
        let allowed = if kinked { 0.2 } else { 4e-3 };
        for k in (0..grad.as_slice().len()).step_by(3) {
            let expected = slope(&|h| {
                let mut moved = net.clone();
                moved.params_mut().as_mut_slice()[k] += h;
                loss(&moved, &x)
            });
            let got = f64::from(grad.as_slice()[k]);
            assert!(
                (got - expected).abs() < allowed * (1.0 + expected.abs()),
                "{activation:?} {k}: {got} for {expected}"
            );
        }
        for k in 0..40 {
            let expected = slope(&|h| {
                let mut moved = x.clone();
                moved[k] += h;
                loss(&net, &moved)
            });
            let got = f64::from(by_inputs[k]);
            assert!(
                (got - expected).abs() < allowed * (1.0 + expected.abs()),
                "{activation:?} {k}: {got} for {expected}"
            );
        }
    }
}
#[test]
fn predictors_keep_all_laws_of_models() {
    for mut net in predictors() {
        for verdict in [
            laws::field(&net, 1),
            laws::marginal(&net, 1),
            laws::gradient(&mut net, 1),
            laws::expected_gradient(&mut net, 1),
        ] {
            let kept = verdict.unwrap_or_else(|broken| panic!("{broken}"));
            assert!(kept.checks > 0);
        }
    }
}
#[test]
fn probabilities_are_normalised_and_the_objective_is_their_gradient() {
    for (k, net) in predictors().into_iter().enumerate() {
        let (rows, inputs) = (net.n_rows(), net.n_given());
        let mut x = waves(rows, 9, k as f32);
        if k == 0 {
            x.rows_mut(inputs, 3).copy_from(&Mat::from_fn(3, 9, |i, j| f32::from(u8::from(i == j % 3))));
        } else if k == 1 {
            x.rows_mut(inputs, 2).apply(|v| *v = f32::from(u8::from(*v > 0.0)));
        }
        let log_p = net.log_probabilities(x.as_view()).unwrap();
        let mut energies = vec![0.0; 9];
        net.energy(x.as_view(), &mut energies);
        for j in 0..9 {
            let given = x.column(j).rows(0, inputs).clone_owned();
            if let Ok(log_z) = exact_log_partition(&Conditioned::new(&net, given.as_slice()).unwrap()) {
                assert!((log_p[j] + energies[j] + log_z).abs() < 1e-4);
            }
        }
        let weights: Vec<f32> = (0..9).map(|j| j as f32 * 0.5).collect();
        let batch = Batch { x: x.as_view(), weights: &weights, missing: None, step: 0 };
        let [mut a, mut b] = [net.params().zeros_like(), net.params().zeros_like()];
        a.as_mut_slice().fill(3.0);
        let report = Supervised::new(1).gradient(&net, &batch, &mut a).unwrap();
        // Chains that stay at the data, and means given the inputs: the same gradient, by another way.
        Contrastive::cd(0, 1).plain().gradient(&net, &batch, &mut b).unwrap();
        assert!(a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| (a - b).abs() < 1e-5));
        let loss = -log_p.iter().zip(&weights).map(|(p, w)| p * f64::from(*w)).sum::<f64>() / 18.0;
        assert!((report.loss.unwrap() - loss).abs() < 1e-4);
        if k != 1 {
            let v = laws::objective(&net, || Supervised::new(1), x.as_view());
            v.unwrap();
            let dropout = Noise { drop_inputs: 0.2, drop_hidden: 0.5, ..Noise::default() };
            laws::objective(&net, || Supervised::new(1).with_noise(dropout), x.as_view()).unwrap();
        }
    }
}
/// A linear network: on average over what is dropped, outputs and gradients are those without.
#[test]
fn dropout_leaves_averages_as_they_are() {
    let mut net = Mlp::new(6, &[(8, Activation::Linear), (2, Activation::Linear)]);
    net.initialise(3);
    let n = 20_000;
    let x = Mat::from_element(6, n, 0.7);
    let plain = net.forward(x.columns(0, 1)).unwrap();
    let (mut work, dropout) = (Work::new(1), Noise { drop_inputs: 0.2, drop_hidden: 0.5, ..Noise::default() });
    net.pass(&mut work, x.as_view(), dropout, &|_, _, delta| delta.fill(1.0));
    for (i, row) in work.activities(net.rows(2)).row_iter().enumerate() {
        let values: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * n) as f64).sqrt();
        assert!((mean - f64::from(plain[i])).abs() < 5.0 * deviation, "{mean} instead of {}", plain[i]);
        assert!(deviation > 1e-4, "something is dropped");
    }
    let zeros = work.activities(net.rows(1)).iter().filter(|v| **v == 0.0).count() as f64 / (8 * n) as f64;
    assert!((zeros - 0.5).abs() < 0.01);
    let [mut dropped, mut kept] = [net.params().zeros_like(), net.params().zeros_like()];
    net.pass_back(&mut work, dropout, &mut dropped);
    net.pass(&mut work, x.as_view(), Noise::default(), &|_, _, delta| delta.fill(1.0));
    net.pass_back(&mut work, Noise::default(), &mut kept);
    for (d, k) in dropped.as_slice().iter().zip(kept.as_slice()) {
        // A weight is dropped with a deviation below its size times 1.5 a sample.
        assert!((d - k).abs() < 5.0 * 1.5 * (k.abs() + 0.3 * n as f32) / (n as f32).sqrt(), "{d} instead of {k}");
    }
}
#[test]
fn what_does_not_fit_is_refused() {
    let net = predictors().remove(0);
    let x = Mat::zeros(net.n_rows(), 3);
    let gradient = |noise: Noise, x: &Mat| {
        let batch = Batch { x: x.as_view(), weights: &[1.0; 3], missing: None, step: 0 };
        Supervised::new(1).with_noise(noise).gradient(&net, &batch, &mut net.params().zeros_like())
    };
    assert!(gradient(Noise::default(), &x).is_ok());
    assert!(gradient(Noise::default(), &Mat::zeros(5, 3)).is_err());
    for noise in [
        Noise { drop_inputs: 1.0, ..Noise::default() },
        Noise { drop_hidden: f32::NAN, ..Noise::default() },
        Noise { fields: Some((1, f32::INFINITY)), ..Noise::default() },
        Noise { fields: Some((0, 1.0)), ..Noise::default() },
        Noise { fields: Some((4, 1.0)), ..Noise::default() },
    ] {
        assert!(gradient(noise, &x).is_err(), "{noise:?}");
    }
    assert!(net.predict(Mat::zeros(3, 1).as_view()).is_err() && net.classify(Mat::zeros(4, 1).as_view()).is_ok());
    assert!(predictors()[1].classify(Mat::zeros(4, 1).as_view()).is_err()); // two bits are no class
    let mut not_a_number = [f32::NAN];
    Activation::Relu.apply(&[f32::NAN], &mut not_a_number);
    assert!(not_a_number[0].is_nan());
}
/// Noise in fields has the deviation it is said to have.
#[test]
fn noise_in_fields_is_normal() {
    let mut net = Mlp::new(3, &[(4, Activation::Linear), (2, Activation::Linear)]);
    net.initialise(3);
    let (n, x) = (20_000u32, Mat::from_element(3, 20_000, 0.7));
    let noise = Noise { fields: Some((1, 0.5)), ..Noise::default() };
    let mut work = Work::new(1);
    net.pass(&mut work, x.as_view(), noise, &|_, _, _| ());
    let plain = net.forward_to(1, x.columns(0, 1)).unwrap();
    for (i, row) in work.activities(net.rows(1)).row_iter().enumerate() {
        let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / f64::from(n);
        let variance = row.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((mean - f64::from(plain[i])).abs() < 5.0 * 0.5 / f64::from(n).sqrt());
        assert!((variance / 0.25 - 1.0).abs() < 5.0 * (2.0 / f64::from(n)).sqrt());
    }
}
