//! Score matching in all its forms: against its closed form on normal distributions, whose precision it must recover, and against
//! differences of its own loss on networks.

use harmonium::linalg::dot;
use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::objectives::{DenoisingScoreMatching, NoiseLevels, Objective, ScoreMatching, SlicedScoreMatching};
use harmonium::optim::{Schedule, Sgd};
use harmonium::params::Role;
use harmonium::rng::ChainRng;
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Relu};
use harmonium::{
    Batch, Block, Curved, Directional, Energy, Error, Learn, Mat, MatMut, MatRef, Params, Score, Train, Version, Weigh,
    laws,
};
use rand_distr::{Distribution, StandardNormal};
use std::sync::{Arc, Mutex};

/// `E = ½xᵀx + ½xᵀAx - bᵀx` with a symmetric `A`: the precision is `1 + A`.
struct Quadratic {
    params: Params,
    blocks: Vec<Block>,
}
impl Quadratic {
    fn new(n: usize) -> Self {
        let params = Params::zeros(&[("a", Role::Weights, n, n), ("b", Role::Bias, n, 1)]);
        Self { params, blocks: vec![Block { rows: 0..n, unit: Arc::new(Gaussian), group: 0 }] }
    }
    fn precision(&self) -> Mat {
        let a = self.params.mat(0);
        (a + a.transpose()) * 0.5 + Mat::identity(a.nrows(), a.nrows())
    }
    fn at(precision: &Mat, mean: &Mat) -> Self {
        let mut model = Self::new(mean.nrows());
        model.params.mat_mut(0).copy_from(&(precision - Mat::identity(mean.nrows(), mean.nrows())));
        model.params.mat_mut(1).copy_from(&(precision * mean));
        model
    }
}
impl Energy for Quadratic {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let ax = self.precision() * x;
        for (j, o) in out.iter_mut().enumerate() {
            *o = 0.5 * dot(ax.column(j).as_slice(), x.column(j).as_slice())
                - dot(self.params.slice(1), x.column(j).as_slice());
        }
    }
}
impl Score for Quadratic {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        out.copy_from(&(self.precision() * x));
        out.column_iter_mut().for_each(|mut c| c -= self.params.mat(1).column(0));
    }
}
impl Learn for Quadratic {
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        for (x, w) in x.column_iter().zip(weights).filter(|(_, w)| **w != 0.0) {
            let mut a = grad.mat_mut(0);
            a += x * x.transpose() * (0.5 * w);
            let mut b = grad.mat_mut(1);
            b -= x * *w;
        }
    }
}
impl Train for Quadratic {
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
    }
}
impl Directional for Quadratic {}
impl Curved for Quadratic {
    fn grad_curvatures(&self, x: MatRef<'_>, u: MatRef<'_>, weigh: &Weigh<'_>, grad: &mut Params) {
        let precision = self.precision();
        for (n, (x, u)) in x.column_iter().zip(u.column_iter()).enumerate() {
            let au = &precision * u;
            let slope = au.dot(&x) - self.params.mat(1).column(0).dot(&u);
            let [s, c] = weigh(n, f64::from(slope), f64::from(au.dot(&u))).map(|w| w as f32);
            if (s, c) != (0.0, 0.0) {
                let mut a = grad.mat_mut(0);
                a += (u * x.transpose() + x * u.transpose()) * (0.5 * s) + u * u.transpose() * c;
                let mut b = grad.mat_mut(1);
                b -= u * s;
            }
        }
    }
}

fn slices(directions: usize, variance_reduced: bool, seed: u64) -> SlicedScoreMatching {
    let mut objective = SlicedScoreMatching::new(seed);
    (objective.directions, objective.variance_reduced) = (directions, variance_reduced);
    objective
}
fn denoising(levels: NoiseLevels, data_deviation: Option<f32>) -> DenoisingScoreMatching {
    let mut objective = DenoisingScoreMatching::new(levels, 3).unwrap();
    objective.data_deviation = data_deviation;
    objective
}

const N: usize = 3;
/// Samples of a normal distribution with correlations, and a mean that is not zero.
fn normal(samples: usize, seed: u64) -> Mat {
    let mixing = Mat::from_row_slice(N, N, &[1.0, 0.0, 0.0, 0.5, 0.8, 0.0, -0.4, 0.3, 1.2]);
    let mut rng = ChainRng::new(seed);
    let z = Mat::from_fn(N, samples, |_, _| StandardNormal.sample(&mut rng));
    let mut x = mixing * z;
    x.column_iter_mut().for_each(|mut c| c += Mat::from_column_slice(N, 1, &[0.5, -0.3, 0.2]).column(0));
    x
}
/// Mean and covariance of samples, in the place where the closed forms want them.
fn moments(x: &Mat) -> (Mat, Mat) {
    let n = x.ncols() as f32;
    let mean = Mat::from_fn(x.nrows(), 1, |i, _| x.row(i).sum() / n);
    let mut centred = x.clone();
    centred.column_iter_mut().for_each(|mut c| c -= mean.column(0));
    (mean, &centred * centred.transpose() / n)
}
fn of_all<M: Learn>(objective: &mut dyn Objective<M>, model: &M, x: &Mat, step: u64) -> (f64, Params) {
    let (weights, mut grad) = (vec![1.0; x.ncols()], model.params().zeros_like());
    let batch = Batch { x: x.as_view(), weights: &weights, missing: None, step };
    let report = objective.gradient(model, &batch, &mut grad).unwrap();
    (report.loss.unwrap(), grad)
}

/// At the precision and the mean of the samples, the gradient is zero, whatever the samples; elsewhere it is
/// `sym((P S + ...) ) - 1`: here by differences of the loss `½⟨‖Px - b‖²⟩ - tr P`.
#[test]
fn exact_score_matching_has_its_minimum_at_the_samples_precision() {
    let x = normal(500, 1);
    let (mean, covariance) = moments(&x);
    let precision = covariance.clone().try_inverse().unwrap();
    let (loss, grad) = of_all(&mut ScoreMatching::default(), &Quadratic::at(&precision, &mean), &x, 0);
    assert!(grad.as_slice().iter().all(|g| g.abs() < 2e-5), "{:?}", grad.as_slice());
    assert!((loss + 0.5 * f64::from(precision.trace())).abs() < 1e-4, "{loss}");
    let model = Quadratic::at(&(precision * 0.7), &mean);
    let (loss, grad) = of_all(&mut ScoreMatching::default(), &model, &x, 0);
    let closed = |m: &Quadratic| {
        let mut slopes = Mat::zeros(N, x.ncols());
        m.grad_x(x.as_view(), slopes.as_view_mut());
        0.5 * f64::from(slopes.norm_squared()) / x.ncols() as f64 - f64::from(m.precision().trace())
    };
    assert!((loss - closed(&model)).abs() < 1e-4);
    for k in 0..grad.as_slice().len() {
        let at = |h: f32| {
            let mut moved = Quadratic::new(N);
            moved.params.as_mut_slice().copy_from_slice(model.params.as_slice());
            moved.params.as_mut_slice()[k] += h;
            closed(&moved)
        };
        let slope = (at(0.125) - at(-0.125)) / 0.25; // a quadratic
        assert!((f64::from(grad.as_slice()[k]) - slope).abs() < 1e-4 * (1.0 + slope.abs()));
    }
}
/// Means over draws are those of the exact gradient, within five standard errors.
fn unbiased(mut make: impl FnMut(u64) -> Params, exact: &Params) {
    let draws: Vec<Params> = (0..400).map(&mut make).collect();
    for (k, exact) in exact.as_slice().iter().enumerate() {
        let values: Vec<f64> = draws.iter().map(|d| f64::from(d.as_slice()[k])).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
        let error = (variance / values.len() as f64).sqrt();
        assert!((mean - f64::from(*exact)).abs() < 5.0 * error + 1e-5, "{k}: {mean} ± {error} instead of {exact}");
    }
}
#[test]
fn slices_are_right_on_average_and_less_noisy_with_the_first_term_exact() {
    let x = normal(20, 2);
    let (mean, covariance) = moments(&x);
    let model = Quadratic::at(&(covariance.try_inverse().unwrap() * 0.8), &mean);
    let (_, exact) = of_all(&mut ScoreMatching::default(), &model, &x, 0);
    let noise = |reduced: bool| {
        let mut objective = slices(1, reduced, 3);
        let mut spread = 0.0;
        unbiased(
            |step| {
                let (_, grad) = of_all(&mut objective, &model, &x, step);
                spread +=
                    grad.as_slice().iter().zip(exact.as_slice()).map(|(g, e)| f64::from(g - e).powi(2)).sum::<f64>();
                grad
            },
            &exact,
        );
        spread
    };
    let (plain, reduced) = (noise(false), noise(true));
    assert!(reduced < 0.8 * plain, "{reduced} and {plain}");
}
/// The noisy data's precision is `(C + σ²)⁻¹`: there the gradient is zero on average.
#[test]
fn denoising_has_its_minimum_at_the_noisy_datas_precision() {
    let (x, sigma) = (normal(30, 3), 0.6f32);
    let (mean, covariance) = moments(&x);
    let precision = (covariance + Mat::identity(N, N) * (sigma * sigma)).try_inverse().unwrap();
    let model = Quadratic::at(&precision, &mean);
    let mut objective = DenoisingScoreMatching::new(NoiseLevels::One(sigma), 4).unwrap();
    unbiased(|step| of_all(&mut objective, &model, &x, step).1, &model.params().zeros_like());
}
/// Trained from nothing, every form finds the precision that generated the data, within what so many samples allow.
#[test]
fn every_form_recovers_the_precision_of_a_normal_distribution() {
    let x = normal(20_000, 5);
    let (_, covariance) = moments(&normal(1_000_000, 6));
    let plain = covariance.clone().try_inverse().unwrap();
    let noisy = (covariance + Mat::identity(N, N) * 0.09).try_inverse().unwrap();
    let forms: Vec<(Box<dyn Objective<Quadratic>>, &Mat, f32)> = vec![
        (Box::new(ScoreMatching::default()), &plain, 0.1),
        (Box::new(SlicedScoreMatching::new(1)), &plain, 0.1),
        (Box::new(denoising(NoiseLevels::One(0.3), None)), &noisy, 1.0),
    ];
    for (mut objective, precision, rate) in forms {
        let mut model = Quadratic::new(N);
        let fit = Fit {
            epochs: 12,
            batch: 200,
            learning_rate: Schedule::Linear { from: rate, to: 0.0, steps: 1200 },
            ..Fit::default()
        };
        fit.run(&mut Run::new(&mut model, &mut *objective, &mut Sgd::default(), &mut Silent), &x).unwrap();
        // Relative errors of a covariance of n samples are some √(2/n); those of slopes, a few times more.
        let error = (model.precision() - precision).norm() / precision.norm();
        assert!(error < 0.05, "{error}: {} instead of {precision}", model.precision());
    }
}

fn network(given: usize) -> NeuralEnergy {
    let layers = [(6, Activation::Silu), (5, Activation::Tanh)];
    let mut model = NeuralEnergy::new(given, &[(2, Arc::new(LogPrecision)), (1, Arc::new(Gaussian))], &layers);
    model.initialise(&[], 1).unwrap();
    model.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v += 0.2 * (i as f32).cos()));
    model
}
/// The derivative of the reported loss, by differences over all parameters; objectives are made anew, so that all draw the same numbers.
fn is_gradient_of_its_loss(given: usize, make: &dyn Fn() -> Box<dyn Objective<NeuralEnergy>>) {
    let mut model = network(given);
    let mut x = normal(40, 7);
    if given > 0 {
        x = x.insert_row(0, 0.0);
    }
    let (_, grad) = of_all(&mut *make(), &model, &x, 0);
    let home = model.params().as_slice().to_vec();
    for (k, got) in grad.as_slice().iter().enumerate() {
        let mut at = |h: f32| {
            model.update(&mut |p| {
                p.as_mut_slice().copy_from_slice(&home);
                p.as_mut_slice()[k] += h;
            });
            of_all(&mut *make(), &model, &x, 0).0
        };
        let h = 1.0 / 32.0;
        let [a, b, c, d] = [-2.0 * h, -h, h, 2.0 * h].map(&mut at);
        let slope = (a - 8.0 * b + 8.0 * c - d) / (12.0 * f64::from(h));
        let name = &grad.slot_of(k).name;
        assert!((f64::from(*got) - slope).abs() < 1e-3 * (1.0 + slope.abs()), "{name}: {got} instead of {slope}");
    }
}
#[test]
fn gradients_are_those_of_the_loss() {
    is_gradient_of_its_loss(0, &|| Box::new(ScoreMatching::default()));
    for reduced in [false, true] {
        is_gradient_of_its_loss(0, &|| Box::new(slices(2, reduced, 2)));
    }
    let levels = [
        NoiseLevels::One(0.5),
        NoiseLevels::Several(vec![1.0, 0.3]),
        NoiseLevels::LogNormal { mean: -1.0, deviation: 0.7 },
    ];
    for (given, levels) in [0, 1, 1].into_iter().zip(levels) {
        for data_deviation in [None, Some(0.5)] {
            is_gradient_of_its_loss(given, &|| Box::new(denoising(levels.clone(), data_deviation)));
        }
    }
}
/// Given rows are no directions, and have no noise.
#[test]
fn what_is_given_is_left_alone() {
    let seen = Mutex::new(vec![]);
    struct Spy<'a>(NeuralEnergy, &'a Mutex<Vec<(Mat, Mat)>>);
    impl Energy for Spy<'_> {
        fn blocks(&self) -> &[Block] {
            self.0.blocks()
        }
        fn n_given(&self) -> usize {
            self.0.n_given()
        }
        fn version(&self) -> Version {
            self.0.version()
        }
        fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
            self.0.energy(x, out);
        }
    }
    impl Score for Spy<'_> {
        fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
            self.0.grad_x(x, out);
        }
    }
    impl Learn for Spy<'_> {
        fn params(&self) -> &Params {
            self.0.params()
        }
        fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
            self.0.grad_params(x, weights, grad);
        }
    }
    impl Directional for Spy<'_> {
        fn grad_slopes(&self, x: MatRef<'_>, u: MatRef<'_>, _: &[f32], _: &mut Params) {
            self.1.lock().unwrap().push((x.clone_owned(), u.clone_owned()));
        }
    }
    impl Curved for Spy<'_> {
        fn grad_curvatures(&self, x: MatRef<'_>, u: MatRef<'_>, _: &Weigh<'_>, _: &mut Params) {
            self.1.lock().unwrap().push((x.clone_owned(), u.clone_owned()));
        }
    }
    let (model, x) = (Spy(network(1), &seen), normal(9, 1).insert_row(0, 4.0));
    of_all(&mut ScoreMatching::default(), &model, &x, 0);
    of_all(&mut SlicedScoreMatching::new(1), &model, &x, 0);
    of_all(&mut DenoisingScoreMatching::new(NoiseLevels::One(0.5), 3).unwrap(), &model, &x, 0);
    of_all(&mut DenoisingScoreMatching::new(NoiseLevels::Several(vec![0.25]), 3).unwrap(), &model, &x, 0);
    let seen = seen.into_inner().unwrap();
    assert!(seen.len() >= 5 && seen.iter().all(|(_, u)| u.row(0).iter().all(|u| *u == 0.0)));
    let (last, others) = seen.split_last().unwrap();
    assert!(others.iter().all(|(x, _)| x.row(0).iter().all(|g| *g == 4.0)) && last.0.row(0).iter().all(|g| *g == 0.25));
}
#[test]
fn objectives_obey_their_laws() {
    let (model, x) = (network(0), normal(12, 8));
    laws::objective(&model, ScoreMatching::default, x.as_view()).unwrap();
    laws::objective(&model, || slices(3, true, 1), x.as_view()).unwrap();
    laws::objective(&model, || DenoisingScoreMatching::new(NoiseLevels::One(0.5), 1).unwrap(), x.as_view()).unwrap();
    laws::threads("sliced score matching", || {
        of_all(&mut SlicedScoreMatching::new(1), &model, &normal(300, 1), 0).1.as_slice().to_vec()
    })
    .unwrap();
}
#[test]
fn models_and_settings_that_do_not_fit_are_refused() {
    let kinds: [Arc<dyn harmonium::Unit>; 2] = [Arc::new(Bernoulli), Arc::new(Relu)];
    for unit in kinds {
        let model = NeuralEnergy::new(0, &[(3, unit)], &[(2, Activation::Silu)]);
        let (weights, mut grad) = ([1.0; 4], model.params().zeros_like());
        let x = Mat::zeros(3, 4);
        let batch = Batch { x: x.as_view(), weights: &weights, missing: None, step: 0 };
        let refused = ScoreMatching::default().gradient(&model, &batch, &mut grad);
        assert!(matches!(refused, Err(Error::Intractable { .. })));
    }
    for levels in [NoiseLevels::One(0.0), NoiseLevels::Several(vec![]), NoiseLevels::Several(vec![1.0, f32::NAN])] {
        assert!(DenoisingScoreMatching::new(levels, 1).is_err());
    }
    let (model, x) = (network(0), normal(4, 1));
    let (weights, mut grad) = ([1.0; 4], model.params().zeros_like());
    let batch = Batch { x: x.as_view(), weights: &weights, missing: None, step: 0 };
    let mut annealed = DenoisingScoreMatching::new(NoiseLevels::Several(vec![1.0]), 1).unwrap();
    assert!(matches!(annealed.gradient(&model, &batch, &mut grad), Err(Error::Value { .. })));
    let mut none = slices(0, true, 1);
    assert!(none.gradient(&model, &batch, &mut grad).is_err());
    let levels = NoiseLevels::geometric(1.0, 0.01, 3);
    assert!((levels[1] - 0.1).abs() < 1e-6 && levels.len() == 3);
}
