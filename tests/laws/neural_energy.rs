//! Neural energies under the laws of models; slopes and curvatures along directions, and all their gradients, against differences.

use harmonium::models::Kind;
use harmonium::models::neural::{Activation, JointEnergy, NeuralEnergy, NoisyEnergy};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Curved, Directional, Energy, Learn, Mat, Params, Score, Train, laws};
use std::sync::Arc;

fn waves(rows: usize, columns: usize, phase: f32) -> Mat {
    Mat::from_fn(rows, columns, |i, j| ((3 * i + 5 * j) as f32 + phase).sin())
}
fn shaken<M: Train>(mut model: M) -> M {
    model.update(&mut |p| {
        p.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v = 1.3 * *v + 0.4 * (1.7 * i as f32).cos());
    });
    model
}
/// Networks of every smooth activation over units of every kind, with and without inputs that are given.
fn energies() -> Vec<NeuralEnergy> {
    let units: Vec<Vec<Kind>> = vec![
        vec![(3, Arc::new(Gaussian))],
        vec![(2, Arc::new(LogPrecision)), (1, Arc::new(Gaussian))],
        vec![(3, Arc::new(Bernoulli))],
        vec![(2, Arc::new(Spin)), (3, Arc::new(Softmax { q: 3 }))],
    ];
    let layers: [&[(usize, Activation)]; 4] = [
        &[(6, Activation::Silu), (5, Activation::Tanh)],
        &[(5, Activation::Softplus)],
        &[(4, Activation::Sigmoid), (6, Activation::Silu), (3, Activation::Softplus)],
        &[],
    ];
    let mut all = vec![];
    for (k, units) in units.iter().enumerate() {
        for (l, layers) in layers.iter().enumerate() {
            let mut model = NeuralEnergy::new((k + l) % 3, units, layers);
            model.initialise(&[], (4 * k + l) as u64).unwrap();
            all.push(shaken(model));
        }
    }
    all
}
fn joint() -> JointEnergy {
    let units: Vec<Kind> = vec![(2, Arc::new(LogPrecision)), (1, Arc::new(Gaussian))];
    let mut model = JointEnergy::new(&units, &[(6, Activation::Silu), (5, Activation::Tanh)], 4);
    model.initialise(&[], 7).unwrap();
    shaken(model)
}

#[test]
fn gradients_by_state_and_parameters_are_derivatives_of_the_energy() {
    /// The law takes long steps, of a quarter: weak weights, so that energies are smooth on that scale.
    fn obeys<M: Train + Score>(mut model: M) {
        model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|v| *v *= 0.4));
        laws::score(&model, 1).unwrap();
        laws::gradient(&mut model, 1).unwrap();
    }
    energies().into_iter().for_each(obeys);
    obeys(joint().marginal().clone());
    obeys(joint());
}
/// The same of strong weights, by short steps.
#[test]
fn gradients_of_strong_networks_are_derivatives_of_the_energy() {
    for mut model in energies() {
        let (x, weights) = (waves(model.n_rows(), 11, 0.0), waves(11, 1, 1.0));
        let mut grad = model.params().zeros_like();
        model.grad_params(x.as_view(), weights.as_slice(), &mut grad);
        let home = model.params().as_slice().to_vec();
        for (k, got) in grad.as_slice().iter().enumerate() {
            let mut at = |h: f32| {
                model.update(&mut |p| {
                    p.as_mut_slice().copy_from_slice(&home);
                    p.as_mut_slice()[k] += h;
                });
                let mut energies = [0.0; 11];
                model.energy(x.as_view(), &mut energies);
                energies.iter().zip(weights.iter()).map(|(e, w)| e * f64::from(*w)).sum::<f64>()
            };
            let slope = five_points(1.0 / 32.0, &mut at);
            assert!((f64::from(*got) - slope).abs() < 5e-5 * (1.0 + slope.abs()), "{got} instead of {slope}");
        }
    }
}
/// The derivative at 0, with an error of fourth order.
fn five_points(h: f32, at: &mut dyn FnMut(f32) -> f64) -> f64 {
    let [a, b, c, d] = [-2.0 * h, -h, h, 2.0 * h].map(at);
    (a - 8.0 * b + 8.0 * c - d) / (12.0 * f64::from(h))
}
/// `E(x | u) = U - bᵀx + f(u, x)` in double precision, of widths that are no multiples of a vector, for more samples than a slab has.
#[test]
fn the_energy_is_what_the_definition_says() {
    for model in energies() {
        let (x, net) = (waves(model.n_rows(), 150, 0.3), model.network());
        let mut got = vec![0.0; 150];
        model.energy(x.as_view(), &mut got);
        for (j, got) in got.iter().enumerate() {
            let state: Vec<f64> = x.column(j).iter().map(|v| f64::from(*v)).collect();
            let mut active = state.clone();
            for l in 1..=net.n_layers() {
                let weights = net.weights(l);
                active = (0..net.rows(l).len())
                    .map(|i| {
                        let z = f64::from(net.bias(l)[i])
                            + active.iter().enumerate().map(|(k, a)| f64::from(weights[(i, k)]) * a).sum::<f64>();
                        match net.activation(l) {
                            Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
                            Activation::Tanh => z.tanh(),
                            Activation::Softplus => z.exp().ln_1p(),
                            Activation::Silu => z / (1.0 + (-z).exp()),
                            Activation::Relu => z.max(0.0),
                            Activation::Linear => z,
                        }
                    })
                    .collect();
            }
            let units = &state[model.n_given()..];
            let mut energy =
                active[0] - units.iter().zip(model.visible_bias()).map(|(x, b)| x * f64::from(*b)).sum::<f64>();
            for (b, block) in model.blocks().iter().enumerate() {
                let column = x.column(j);
                let rows = &column.as_slice()[block.rows.clone()];
                energy += block.unit.base_energy(model.theta(b, &[]), rows);
            }
            assert!((got - energy).abs() < 2e-5 * (1.0 + energy.abs()), "{got} instead of {energy}");
        }
    }
}
#[test]
fn one_pass_gives_what_two_give() {
    for model in energies() {
        let x = waves(model.n_rows(), 130, 0.1);
        let (mut plain, mut both) =
            ((vec![0.0; 130], Mat::zeros(x.nrows(), 130)), (vec![1.0; 130], waves(x.nrows(), 130, 2.0)));
        model.energy(x.as_view(), &mut plain.0);
        model.grad_x(x.as_view(), plain.1.as_view_mut());
        model.energy_and_grad_x(x.as_view(), &mut both.0, both.1.as_view_mut());
        assert_eq!(plain, both);
    }
    let model = joint();
    let x = waves(model.n_rows(), 70, 0.1);
    let (mut plain, mut both) = (vec![0.0; 70], vec![0.0; 70]);
    model.energy(x.as_view(), &mut plain);
    model.energy_and_grad_x(x.as_view(), &mut both, Mat::zeros(x.nrows(), 70).as_view_mut());
    assert_eq!(plain, both);
}
/// `E(x, y)` summed over the classes is the energy of the inputs; and the classes' probabilities are their shares.
#[test]
fn a_joint_energy_sums_out_to_its_marginal() {
    let model = joint();
    let (inputs, n) = (waves(3, 20, 0.7), model.n_classes());
    let (mut free, mut e) = (vec![0.0; 20], vec![vec![0.0; 20]; n]);
    model.marginal().energy(inputs.as_view(), &mut free);
    for (class, e) in e.iter_mut().enumerate() {
        let x = Mat::from_fn(3 + n, 20, |i, j| if i < 3 { inputs[(i, j)] } else { f32::from(i - 3 == class) });
        model.energy(x.as_view(), e);
    }
    let p = model.predict(inputs.as_view()).unwrap();
    for j in 0..20 {
        let sum: f64 = e.iter().map(|e| (-e[j]).exp()).sum();
        assert!((free[j] + sum.ln()).abs() < 1e-5, "{} instead of {}", free[j], -sum.ln());
        for (class, e) in e.iter().enumerate() {
            assert!((f64::from(p[(class, j)]) - (free[j] - e[j]).exp()).abs() < 1e-5);
        }
    }
    assert_eq!(model.classify(inputs.as_view()).unwrap()[3], p.column(3).imax());
    assert!(model.predict(waves(4, 2, 0.0).as_view()).is_err());
}

/// The real units of a model, whose energy is differentiable along directions.
fn real() -> Vec<NeuralEnergy> {
    energies().into_iter().take(8).chain([joint().marginal().clone()]).collect()
}
fn directions(model: &NeuralEnergy, n: usize) -> (Mat, Mat) {
    let mut u = waves(model.n_rows(), n, 4.0);
    u.rows_mut(0, model.n_given()).fill(0.0);
    (waves(model.n_rows(), n, 0.9), u)
}
/// `E(x + εu)` for every ε.
fn on_the_line(model: &NeuralEnergy, x: &Mat, u: &Mat, step: f32) -> Vec<f64> {
    let mut out = vec![0.0; x.ncols()];
    model.energy((x + u * step).as_view(), &mut out);
    out
}
#[test]
fn slopes_and_curvatures_are_derivatives_along_the_line() {
    for model in real() {
        let (x, u) = directions(&model, 70);
        let seen = std::sync::Mutex::new(vec![[0.0; 2]; 70]);
        let look = |n: usize, s: f64, c: f64| {
            seen.lock().unwrap()[n] = [s, c];
            [0.0; 2]
        };
        let mut grad = model.params().zeros_like();
        model.grad_curvatures(x.as_view(), u.as_view(), &look, &mut grad);
        assert!(grad.as_slice().iter().all(|g| *g == 0.0));
        let h = 1.0 / 16.0;
        let at = |k: f32| on_the_line(&model, &x, &u, k * h);
        let ([a, b, c, d, e], h) = ([-2.0, -1.0, 0.0, 1.0, 2.0].map(at), f64::from(h));
        let mut slopes = Mat::zeros(x.nrows(), 70);
        model.grad_x(x.as_view(), slopes.as_view_mut());
        for (j, [s, k]) in seen.into_inner().unwrap().into_iter().enumerate() {
            // Five points: errors of fourth order, and of the rounding of energies.
            let slope = (a[j] - 8.0 * b[j] + 8.0 * d[j] - e[j]) / (12.0 * h);
            let curvature = (-a[j] + 16.0 * b[j] - 30.0 * c[j] + 16.0 * d[j] - e[j]) / (12.0 * h * h);
            assert!((s - slope).abs() < 1e-3 * (1.0 + slope.abs()), "{s} instead of {slope}");
            assert!((k - curvature).abs() < 5e-3 * (1.0 + curvature.abs()), "{k} instead of {curvature}");
            assert!((s - f64::from(u.column(j).dot(&slopes.column(j)))).abs() < 1e-4 * (1.0 + s.abs()));
        }
    }
}
/// `Σ aₙ sₙ + bₙ cₙ` with fixed weights.
fn along(model: &NeuralEnergy, (x, u): &(Mat, Mat), weights: &[[f64; 2]]) -> (f64, Params) {
    let sum = std::sync::Mutex::new(vec![0.0; weights.len()]);
    let mut grad = model.params().zeros_like();
    let weigh = |n: usize, s: f64, c: f64| {
        sum.lock().unwrap()[n] = weights[n][0] * s + weights[n][1] * c;
        weights[n]
    };
    model.grad_curvatures(x.as_view(), u.as_view(), &weigh, &mut grad);
    (sum.into_inner().unwrap().iter().sum(), grad)
}
#[test]
fn gradients_of_slopes_and_curvatures_are_their_derivatives() {
    for (m, mut model) in real().into_iter().enumerate() {
        let states = directions(&model, 9);
        let weights: Vec<[f64; 2]> = (0..9).map(|n| [(n as f64).cos(), (2.0 * n as f64).sin()]).collect();
        let (_, grad) = along(&model, &states, &weights);
        let home = model.params().as_slice().to_vec();
        for k in 0..home.len() {
            let mut at = |h: f32| {
                model.update(&mut |p| {
                    p.as_mut_slice().copy_from_slice(&home);
                    p.as_mut_slice()[k] = home[k] + h;
                });
                along(&model, &states, &weights).0
            };
            let slope = five_points(1.0 / 32.0, &mut at);
            let got = f64::from(grad.as_slice()[k]);
            assert!(
                (got - slope).abs() < 1e-3 * (2.0 + slope.abs()),
                "model {m}, parameter {k}: {got} instead of {slope}"
            );
            model.update(&mut |p| p.as_mut_slice().copy_from_slice(&home));
        }
    }
}
#[test]
fn slopes_alone_and_by_differences_have_the_same_gradient() {
    /// The provided body, of the same energy.
    struct Plain<'a>(&'a NeuralEnergy);
    impl Energy for Plain<'_> {
        fn blocks(&self) -> &[harmonium::Block] {
            self.0.blocks()
        }
        fn version(&self) -> harmonium::Version {
            self.0.version()
        }
        fn energy(&self, x: harmonium::MatRef<'_>, out: &mut [f64]) {
            self.0.energy(x, out);
        }
    }
    impl Score for Plain<'_> {
        fn grad_x(&self, x: harmonium::MatRef<'_>, out: harmonium::MatMut<'_>) {
            self.0.grad_x(x, out);
        }
    }
    impl Learn for Plain<'_> {
        fn params(&self) -> &Params {
            self.0.params()
        }
        fn grad_params(&self, x: harmonium::MatRef<'_>, weights: &[f32], grad: &mut Params) {
            self.0.grad_params(x, weights, grad);
        }
    }
    impl Directional for Plain<'_> {}
    for model in real() {
        let (x, u) = directions(&model, 40);
        let mut with_nothing = x.clone();
        with_nothing.column_mut(0).fill(f32::NAN); // its weight is zero
        let weights: Vec<f32> = (0..40).map(|n| if n == 0 { 0.0 } else { (n as f32).cos() }).collect();
        let (mut exact, mut near) = (model.params().zeros_like(), model.params().zeros_like());
        model.grad_slopes(with_nothing.as_view(), u.as_view(), &weights, &mut exact);
        Plain(&model).grad_slopes(with_nothing.as_view(), u.as_view(), &weights, &mut near);
        let wide: Vec<[f64; 2]> = weights.iter().map(|w| [f64::from(*w), 0.0]).collect();
        let (_, full) = along(&model, &(with_nothing, u), &wide);
        let size = exact.as_slice().iter().fold(0f32, |m, g| m.max(g.abs()));
        for ((a, b), c) in exact.as_slice().iter().zip(near.as_slice()).zip(full.as_slice()) {
            assert!((a - b).abs() < 3e-3 * (1.0 + size), "{a} or {b}");
            assert!((a - c).abs() < 1e-5 * (1.0 + size), "{a} or {c}");
        }
    }
}
#[test]
fn layers_keep_their_spectral_norm() {
    let mut model = NeuralEnergy::new(0, &[(5, Arc::new(Gaussian))], &[(9, Activation::Silu), (7, Activation::Silu)]);
    model.initialise(&[], 1).unwrap();
    let mut model = model.spectral(0.8).unwrap();
    model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|v| *v *= 9.0));
    for l in 1..=3 {
        let norm = model.network().weights(l).clone_owned().singular_values().max();
        assert!((0.78..0.83).contains(&norm), "{norm}");
    }
    laws::score(&model, 1).unwrap();
    assert!(model.clone().spectral(0.0).is_err() && model.architecture().contains("0.8"));
}
#[test]
fn bits_do_not_depend_on_threads_or_on_other_samples() {
    let model = &energies()[0];
    let x = waves(model.n_rows(), 200, 0.0);
    let weights = vec![0.01; 200];
    laws::threads("a neural energy", || {
        let (mut e, mut g, mut grad) = (vec![0.0; 200], Mat::zeros(x.nrows(), 200), model.params().zeros_like());
        model.energy_and_grad_x(x.as_view(), &mut e, g.as_view_mut());
        model.grad_params(x.as_view(), &weights, &mut grad);
        (e, g, grad.as_slice().to_vec())
    })
    .unwrap();
    let (mut all, mut few) = (vec![0.0; 200], vec![0.0; 3]);
    model.energy(x.as_view(), &mut all);
    model.energy(x.columns(70, 3), &mut few);
    assert_eq!(all[70..73], few);
}
#[test]
fn means_that_do_not_fit_are_refused() {
    let mut model = NeuralEnergy::new(1, &[(2, Arc::new(Bernoulli))], &[(3, Activation::Silu)]);
    assert!(model.initialise(&[0.5], 1).is_err() && model.initialise(&[0.5, 1.0], 1).is_err());
    model.initialise(&[0.5, 0.25], 1).unwrap();
    assert!((model.visible_bias()[1] + 3f32.ln()).abs() < 1e-6);
}

fn noisy() -> (NoisyEnergy, Mat) {
    let layers = [(6, Activation::Silu), (5, Activation::Tanh)];
    let mut model = NoisyEnergy::new(&[0.5, -0.25, 0.0], 0.6, 0.05..=5.0, &layers).unwrap();
    model.initialise(3);
    model.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v += 0.2 * (i as f32).cos()));
    let x = Mat::from_fn(4, 70, |i, j| if i == 0 { 0.3 + 0.02 * j as f32 } else { ((3 * i + 5 * j) as f32).sin() });
    (model, x)
}
fn of(model: &NoisyEnergy, x: &Mat) -> Vec<f64> {
    let mut out = vec![0.0; x.ncols()];
    model.energy(x.as_view(), &mut out);
    out
}
/// By their definition from those of the network within.
#[test]
fn energies_given_the_noise_are_what_they_say() {
    let (model, x) = noisy();
    let energies = of(&model, &x);
    let bumps = model.inner().n_given();
    for (j, energy) in energies.iter().enumerate() {
        let sigma = x[(0, j)];
        let (wide, place) = ((0.36 + sigma * sigma).sqrt(), (sigma / 0.05).ln() / 100f32.ln() * (bumps - 1) as f32);
        let unit = |i: usize| (x[(i + 1, j)] - model.mean()[i]) / wide;
        let z = Mat::from_fn(bumps + 3, 1, |i, _| match i.checked_sub(bumps) {
            None => (-0.5 * (place - i as f32).powi(2)).exp(),
            Some(i) => unit(i),
        });
        let mut inner = [0.0];
        model.inner().energy(z.as_view(), &mut inner);
        let outer: f32 = (0..3).map(|i| 0.5 * unit(i) * unit(i)).sum();
        let expected = f64::from(outer) + 0.6 / f64::from(sigma) * inner[0];
        assert!((energy - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{energy} instead of {expected}");
    }
}
#[test]
fn slopes_given_the_noise_are_derivatives_and_denoise() {
    let (model, x) = noisy();
    let (energies, mut slopes, mut again) = (of(&model, &x), Mat::zeros(4, 70), vec![0.0; 70]);
    model.energy_and_grad_x(x.as_view(), &mut again, slopes.as_view_mut());
    assert_eq!(again, energies);
    for i in 1..4 {
        let at = |h: f32| {
            let mut moved = x.clone();
            moved.row_mut(i).add_scalar_mut(h);
            of(&model, &moved)
        };
        let h = 1.0 / 32.0f32;
        let [a, b, c, d] = [-2.0 * h, -h, h, 2.0 * h].map(at);
        for j in 0..70 {
            let slope = (a[j] - 8.0 * b[j] + 8.0 * c[j] - d[j]) / (12.0 * f64::from(h));
            assert!(
                (f64::from(slopes[(i, j)]) - slope).abs() < 1e-3 * (1.0 + slope.abs()),
                "{} for {slope}",
                slopes[(i, j)]
            );
        }
    }
    // What it says of noise: the mean of the data that a state can come from.
    let clean = model.denoise(x.as_view()).unwrap();
    assert!((clean[(1, 7)] - (x[(2, 7)] - x[(0, 7)].powi(2) * slopes[(2, 7)])).abs() < 1e-5);
}
#[test]
fn gradients_given_the_noise_are_derivatives() {
    let (mut model, x) = noisy();
    let (weights, u) = (waves(70, 1, 1.0), waves(4, 70, 2.0));
    let along = |model: &NoisyEnergy| {
        let mut slopes = Mat::zeros(4, 70);
        model.grad_x(x.as_view(), slopes.as_view_mut());
        (0..70).map(|j| f64::from(weights[j]) * f64::from(slopes.column(j).dot(&u.column(j)))).sum::<f64>()
    };
    let total =
        |model: &NoisyEnergy| of(model, &x).iter().zip(weights.iter()).map(|(e, w)| e * f64::from(*w)).sum::<f64>();
    let (mut grad, mut crossed) = (model.params().zeros_like(), model.params().zeros_like());
    model.grad_params(x.as_view(), weights.as_slice(), &mut grad);
    model.grad_slopes(x.as_view(), u.as_view(), weights.as_slice(), &mut crossed);
    let home = model.params().as_slice().to_vec();
    for k in 0..home.len() {
        for (f, got) in [(&total as &dyn Fn(&NoisyEnergy) -> f64, &grad), (&along, &crossed)] {
            let mut at = |h: f32| {
                model.update(&mut |p| {
                    p.as_mut_slice().copy_from_slice(&home);
                    p.as_mut_slice()[k] += h;
                });
                f(&model)
            };
            let (slope, got) = (five_points(1.0 / 32.0, &mut at), f64::from(got.as_slice()[k]));
            assert!((got - slope).abs() < 2e-3 * (2.0 + slope.abs()), "{k}: {got} instead of {slope}");
        }
    }
}
/// Before it has learned, it is the normal distribution of the data with their noise; settings that make no sense are refused.
#[test]
fn an_energy_given_the_noise_begins_at_a_normal_distribution() {
    let mut model = NoisyEnergy::new(&[1.0, 2.0], 0.5, 0.1..=2.0, &[(4, Activation::Silu)]).unwrap();
    model.initialise(1);
    let mut energy = [0.0];
    model.energy(Mat::from_column_slice(3, 1, &[1.0, 2.0, 2.0]).as_view(), &mut energy);
    assert!((energy[0] - 0.5 / 1.25).abs() < 1e-6);
    let layers = [(4, Activation::Silu)];
    assert!(NoisyEnergy::new(&[], 0.5, 0.1..=2.0, &layers).is_err());
    assert!(NoisyEnergy::new(&[f32::NAN], 0.5, 0.1..=2.0, &layers).is_err());
    assert!(NoisyEnergy::new(&[0.0], 0.0, 0.1..=2.0, &layers).is_err());
    assert!(NoisyEnergy::new(&[0.0], 0.5, 2.0..=0.1, &layers).is_err());
    assert!(model.denoise(Mat::zeros(2, 1).as_view()).is_err());
}
