//! Learning from noise whose density is known: densities, losses and gradients against definitions in double precision, optima that are
//! known, densities and normalisers that are found.

use crate::neighbours::{Table, descend, gradient, random};
use harmonium::eval::exact_log_partition;
use harmonium::laws::HandOver;
use harmonium::models::{Boltzmann, Kind, Normalised, Rbm};
use harmonium::objectives::{
    BaseRateNoise, Contrastive, GaussianNoise, KeptNoise, NeighbourLoss, Neighbours, NoiseContrastive, NoiseDensity,
    NoiseRanking, Objective,
};
use harmonium::optim::Adam;
use harmonium::params::Role;
use harmonium::rng::StreamSet;
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Binomial, Gaussian, Softmax, Spin};
use harmonium::{
    Batch, Block, ChainRng, Energy, Error, Learn, Mask, Mat, MatMut, MatRef, Params, Streams, Train, Version, laws,
};
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::TAU;
use std::sync::Arc;

/// `E(y | u) = ½ yᵀAy - (b + a u)ᵀy` of real `y`, with `u` one given row or none; `A` is used symmetrically.
#[derive(Clone, Debug)]
struct Quadratic {
    params: Params,
    blocks: Vec<Block>,
    given: usize,
}
impl Quadratic {
    fn new(given: usize, n: usize) -> Self {
        let shapes = [("a", Role::Weights, n, n), ("b", Role::Bias, n, 1), ("u", Role::Weights, n, given)];
        let mut params = Params::zeros(&shapes);
        params.mat_mut(0).fill_with_identity();
        Self { params, blocks: vec![Block { rows: given..given + n, unit: Arc::new(Gaussian), group: 0 }], given }
    }
    fn n(&self) -> usize {
        self.blocks[0].rows.len()
    }
    fn precision(&self) -> DMatrix<f64> {
        let a = self.params.mat(0).map(f64::from);
        0.5 * (&a + a.transpose())
    }
    fn pull(&self, x: &[f32]) -> DVector<f64> {
        let (b, u) = (self.params.slice(1), self.params.slice(2));
        DVector::from_fn(self.n(), |i, _| {
            f64::from(b[i]) + x[..self.given].iter().map(|x| f64::from(u[i]) * f64::from(*x)).sum::<f64>()
        })
    }
    /// `log Z`, without given rows.
    fn log_partition(&self) -> f64 {
        let (a, b) = (self.precision(), self.pull(&[]));
        let cholesky = a.cholesky().unwrap();
        0.5 * (self.n() as f64 * TAU.ln() - cholesky.determinant().ln() + b.dot(&cholesky.solve(&b)))
    }
    /// Exact draws, without given rows.
    fn draw(&self, draws: usize, seed: u64) -> Mat {
        let cholesky = self.precision().cholesky().unwrap();
        let noise = GaussianNoise::new(cholesky.solve(&self.pull(&[])), cholesky.inverse()).unwrap();
        KeptDraws::of(&noise, draws, seed)
    }
}
struct KeptDraws;
impl KeptDraws {
    fn of(noise: &impl NoiseDensity, draws: usize, seed: u64) -> Mat {
        let (mut out, mut streams) = (Mat::zeros(noise.n_rows(), draws), StreamSet::new(seed, draws));
        noise.draw(out.columns_mut(0, draws), &mut Streams(streams.as_mut_slice()));
        out
    }
}
impl Energy for Quadratic {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn n_given(&self) -> usize {
        self.given
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let a = self.precision();
        for (x, o) in x.column_iter().zip(out) {
            let y = DVector::from_iterator(self.n(), x.as_slice()[self.given..].iter().map(|y| f64::from(*y)));
            *o = 0.5 * y.dot(&(&a * &y)) - self.pull(x.as_slice()).dot(&y);
        }
    }
}
impl Learn for Quadratic {
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let (n, mut sums) = (self.n(), vec![0f64; grad.as_slice().len()]); // in double precision, for there may be many states
        for (x, w) in x.column_iter().zip(weights).filter(|(_, w)| **w != 0.0) {
            let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let ((u, y), w) = (wide.split_at(self.given), f64::from(*w));
            for (k, own) in y.iter().enumerate() {
                (0..n).for_each(|i| sums[k * n + i] += 0.5 * w * own * y[i]);
                sums[n * n + k] -= w * own;
                u.iter().enumerate().for_each(|(i, u)| sums[n * n + n + i * n + k] -= w * own * u);
            }
        }
        grad.as_mut_slice().iter_mut().zip(sums).for_each(|(g, s)| *g += s as f32);
    }
}
impl Train for Quadratic {
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
    }
}
fn kept(verdict: laws::Verdict, what: &str) {
    let kept = verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    assert!(kept.checks > 0, "{what}");
}

#[test]
fn normalised_models_keep_the_laws_of_models() {
    let mut rbm = Normalised::new(random(Rbm::new((4, Bernoulli), (3, Spin)), 0.5, 1));
    rbm.set_log_partition(1.5);
    laws::model(&mut rbm, 1).into_iter().for_each(|v| kept(v, "normalised RBM"));
    let machine = random(Boltzmann::new((6, Softmax { q: 3 })), 0.5, 1);
    let mut machine = Normalised::new(machine);
    laws::model(&mut machine, 1).into_iter().for_each(|v| kept(v, "normalised machine"));
    let before = exact_log_partition(machine.model()).unwrap();
    machine.set_log_partition(before as f32);
    assert!(exact_log_partition(&machine).unwrap().abs() < 1e-5);
    assert_eq!(machine.log_partition(), before as f32);
    // What a model demands of its parameters is told to whoever looks at them.
    machine.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(k, p)| *p = k as f32));
    let n = machine.model().params().as_slice().len();
    assert_eq!(machine.params().as_slice()[..n], *machine.model().params().as_slice());
    assert_eq!(machine.clone().into_model().params(), machine.model().params());
    let mut real = Normalised::new(random(Quadratic::new(1, 2), 0.5, 2));
    real.set_log_partition(0.7);
    kept(laws::gradient(&mut real, 1), "normalised quadratic energy");
}
/// For all other objectives the log-partition is nothing to learn.
#[test]
fn contrastive_learning_leaves_the_log_partition_alone() {
    let rbm = Normalised::new(random(Rbm::new((4, Bernoulli), (3, Spin)), 0.5, 1));
    let x = Mat::from_fn(4, 20, |i, j| f32::from(u8::from((3 * i + j) % 4 < 2)));
    for mut cd in [Contrastive::cd(2, 1), Contrastive::cd(2, 1).plain()] {
        let (mut grad, mut own) = (rbm.params().zeros_like(), rbm.model().params().zeros_like());
        let batch = Batch { x: x.as_view(), weights: &[1.0; 20], missing: None, step: 0 };
        cd.clone().gradient(&rbm, &batch, &mut grad).unwrap();
        cd.gradient(rbm.model(), &batch, &mut own).unwrap();
        let (c, rest) = grad.as_slice().split_last().unwrap();
        assert!(c.abs() < 1e-6, "{c}");
        rest.iter().zip(own.as_slice()).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
    }
}

/// Densities sum to one, and draws have them.
#[test]
fn base_rate_noise_is_distributed_as_it_says() {
    let kinds: [Kind; 4] = [
        (2, Arc::new(Bernoulli)),
        (1, Arc::new(Spin)),
        (3, Arc::new(Softmax { q: 3 })),
        (1, Arc::new(Binomial { n: 2 })),
    ];
    let table = Table::new(&kinds);
    let (all, n) = (table.all(), 40_000);
    let noise = BaseRateNoise::new(&table, &[0.2, 0.6, -0.3, 0.5, 0.3, 0.2, 0.8], 0.1).unwrap();
    let mut log_p = vec![0.0; all.ncols()];
    noise.log_density(all.as_view(), &mut log_p);
    assert!((log_p.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-6);
    let mut counts = vec![0.0; all.ncols()];
    KeptDraws::of(&noise, n, 1).column_iter().for_each(|x| counts[table.number(x.as_slice()).unwrap()] += 1.0);
    for (k, (count, log_p)) in counts.iter().zip(&log_p).enumerate() {
        let (p, n) = (log_p.exp(), n as f64);
        assert!((count - n * p).abs() < 4.5 * (n * p * (1.0 - p)).sqrt() + 1.0, "state {k}: {count} of {}", n * p);
    }
}
#[test]
fn gaussian_noise_is_distributed_as_it_says() {
    let covariance = DMatrix::from_row_slice(3, 3, &[1.5, 0.6, -0.4, 0.6, 0.9, 0.2, -0.4, 0.2, 2.0]);
    let mean = DVector::from_column_slice(&[0.5, -1.0, 2.0]);
    let noise = GaussianNoise::new(mean.clone(), covariance.clone()).unwrap();
    let n = 40_000;
    let x = KeptDraws::of(&noise, n, 1);
    let (inverse, det) = (covariance.clone().try_inverse().unwrap(), covariance.determinant());
    let mut log_p = vec![0.0; n];
    noise.log_density(x.as_view(), &mut log_p);
    for (x, got) in x.column_iter().zip(&log_p).take(100) {
        let off = x.map(f64::from) - &mean;
        let expected = -0.5 * (off.dot(&(&inverse * &off)) + det.ln() + 3.0 * TAU.ln());
        assert!((got - expected).abs() < 1e-9, "{got} {expected}");
    }
    let again = GaussianNoise::of(x.as_view(), 0.0).unwrap();
    let wide = x.map(f64::from);
    for i in 0..3 {
        let centre = wide.row(i).mean();
        let error = (covariance[(i, i)] / n as f64).sqrt();
        assert!((centre - mean[i]).abs() < 4.5 * error, "mean {i}: {centre}");
        for k in 0..3 {
            let product = |c: nalgebra::DVectorView<'_, f64>| (c[i] - mean[i]) * (c[k] - mean[k]);
            let got = wide.column_iter().map(product).sum::<f64>() / n as f64;
            // By Isserlis, the variance of a product of two of them.
            let error = ((covariance[(i, i)] * covariance[(k, k)] + covariance[(i, k)].powi(2)) / n as f64).sqrt();
            assert!((got - covariance[(i, k)]).abs() < 4.5 * error, "covariance {i}, {k}: {got}");
        }
    }
    // The density of its own samples is least uncertain where mean and covariance are those of the samples.
    let mut fitted = vec![0.0; n];
    again.log_density(x.as_view(), &mut fitted);
    assert!(fitted.iter().sum::<f64>() > log_p.iter().sum::<f64>());
    let flat = Mat::from_fn(2, 9, |i, j| if i == 0 { j as f32 } else { 1.0 });
    assert!(GaussianNoise::of(flat.as_view(), 0.0).is_err() && GaussianNoise::of(flat.as_view(), 0.1).is_ok());
    assert!(GaussianNoise::of(flat.columns(0, 0), 0.1).is_err() && GaussianNoise::of(flat.as_view(), -0.1).is_err());
    assert!(GaussianNoise::new(mean.clone(), DMatrix::identity(2, 2)).is_err());
    assert!(GaussianNoise::new(mean * f64::NAN, DMatrix::identity(3, 3)).is_err());
}

/// A user's own noise: these columns one after the other, each with its share of them.
#[derive(Clone)]
struct Listed(Mat);
impl NoiseDensity for Listed {
    fn n_rows(&self) -> usize {
        self.0.nrows()
    }
    fn draw(&self, mut out: MatMut<'_>, _: &mut Streams<'_>) {
        let n = self.0.ncols();
        out.column_iter_mut().enumerate().for_each(|(j, mut c)| c.copy_from(&self.0.column(j % n)));
    }
    fn log_density(&self, x: MatRef<'_>, out: &mut [f64]) {
        for (x, o) in x.column_iter().zip(out) {
            let same = self.0.column_iter().filter(|c| *c == x).count();
            *o = (same as f64 / self.0.ncols() as f64).ln();
        }
    }
}
/// Sixteen columns in which each state of three bits has its share: one to four of them.
fn quotas() -> Listed {
    let all = Table::bits(3).all();
    let shares = [1, 3, 2, 1, 4, 2, 1, 2];
    let columns: Vec<usize> = (0..8).flat_map(|k| vec![k; shares[k]]).collect();
    Listed(all.select_columns(&columns))
}
/// All states, each sixteen times, so that each meets each column of the noise; with their probabilities.
fn every_pair(truth: &Table) -> (Mat, Vec<f32>) {
    let (all, p) = (truth.all(), truth.weights());
    let columns: Vec<usize> = (0..8 * 16).map(|k| k / 16).collect();
    let z: f64 = p.iter().sum();
    (all.select_columns(&columns), columns.iter().map(|&k| (p[k] / z / 16.0) as f32).collect())
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_definition() {
    let model = Normalised::new(random(Table::bits(3), 1.0, 1));
    let all = model.model().all();
    let x = all.select_columns(&(0..20).map(|k| (5 * k) % 8).collect::<Vec<_>>());
    let weights: Vec<f32> = (0..20).map(|k| (k % 4) as f32).collect();
    let noise = quotas();
    for ratio in [1, 3] {
        let home: Vec<f64> = model.params().as_slice().iter().map(|p| f64::from(*p)).collect();
        let log_noise = |x: &[f32]| {
            let mut out = [0.0];
            noise.log_density(MatRef::from_slice(x, 3, 1), &mut out);
            out[0]
        };
        // The probability that a state is a datum, by Bayes.
        let datum = |p: &[f64], x: &[f32]| {
            let own = (-p[model.model().number(x).unwrap()] - p[8]).exp();
            own / (own + ratio as f64 * log_noise(x).exp())
        };
        let mean = |p: &[f64]| {
            let one = |j: usize| {
                let own = -datum(p, x.column(j).as_slice()).ln();
                let noise = (0..ratio).map(|k| noise.0.column((j * ratio + k) % 16));
                let noise: f64 = noise.map(|y| -(1.0 - datum(p, y.as_slice())).ln()).sum();
                f64::from(weights[j]) * (own + noise)
            };
            (0..20).map(one).sum::<f64>() / weights.iter().map(|w| f64::from(*w)).sum::<f64>()
        };
        let (grad, told) = gradient(&mut NoiseContrastive::new(noise.clone(), ratio, 1), &model, &x, &weights);
        assert!((told - mean(&home)).abs() < 1e-6, "{told}, not {}", mean(&home));
        for (k, g) in grad.iter().enumerate() {
            let moved = |by: f64| {
                let mut there = home.clone();
                there[k] += by;
                mean(&there)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((f64::from(*g) - slope).abs() < 2e-6, "{k}: {g} instead of {slope}");
        }
    }
}
/// If the model is the noise, nothing is better than chance: `log(1 + ν)` for the datum, `log(1 + 1/ν)` for each of `ν`.
#[test]
fn a_model_that_is_its_noise_has_the_loss_of_chance() {
    let mut model = Normalised::new(Boltzmann::new((3, Spin)));
    model.set_log_partition(8f32.ln());
    let x = Mat::from_fn(3, 10, |i, j| if (i + j) % 3 == 0 { 1.0 } else { -1.0 });
    for ratio in [1, 2, 7] {
        let noise = BaseRateNoise::new(&model, &[0.0; 3], 0.0).unwrap();
        let (grad, loss) = gradient(&mut NoiseContrastive::new(noise, ratio, 1), &model, &x, &[1.0; 10]);
        let nu = ratio as f64;
        assert!((loss - (1.0 + nu).ln() - nu * (1.0 + 1.0 / nu).ln()).abs() < 1e-6, "{loss} at {ratio}");
        assert!(grad[grad.len() - 1].abs() < 1e-6, "the log-partition rests");
    }
}
/// Data and noise are all pairs of states with their probabilities: the optimum is the truth, with its normaliser.
#[test]
fn the_probabilities_of_three_bits_are_found_with_their_normaliser() {
    for ratio in [1, 3] {
        let truth = random(Table::bits(3), 1.0, 5);
        let (x, weights) = every_pair(&truth);
        let mut found = Normalised::new(Table::bits(3));
        descend((&mut found, &mut NoiseContrastive::new(quotas(), ratio, 1)), (&x, &weights), (0.2, 4000));
        let (p, z) = (truth.weights(), truth.weights().iter().sum::<f64>());
        let (q, c) = (found.model().weights(), f64::from(found.log_partition()));
        for (k, (p, q)) in p.iter().zip(&q).enumerate() {
            let density = q * (-c).exp();
            assert!((p / z - density).abs() < 2e-5, "state {k}: {density} instead of {}", p / z);
        }
        let log_z = q.iter().sum::<f64>().ln();
        assert!((c - log_z).abs() < 1e-4, "{c} instead of {log_z}");
    }
}
/// Over samples, what is found is the truth on average, within 4.5 standard errors of the mean of ten runs, and near it in each.
#[test]
fn the_precision_of_a_gaussian_is_found_with_its_normaliser() {
    let mut truth = Quadratic::new(0, 2);
    truth.update(&mut |p| p.as_mut_slice().copy_from_slice(&[1.5, -0.5, -0.5, 0.8, 0.4, -0.3]));
    let known: Vec<f64> = {
        let own = truth.params().as_slice().iter().map(|p| f64::from(*p));
        own.chain([truth.log_partition()]).collect()
    };
    let runs: Vec<Vec<f64>> = (0..10)
        .map(|seed| {
            let x = truth.draw(2000, seed);
            let noise = GaussianNoise::of(x.as_view(), 0.0).unwrap();
            let noise = KeptNoise::new(noise, 4000, 100 + seed).unwrap();
            let mut found = Normalised::new(Quadratic::new(0, 2));
            found.set_log_partition(1.0);
            let mut objective = NoiseContrastive::new(noise, 2, 1);
            descend((&mut found, &mut objective), (&x, &[1.0; 2000]), (0.2, 300));
            let (grad, _) = gradient(&mut objective, &found, &x, &[1.0; 2000]);
            assert!(grad.iter().all(|g| g.abs() < 1e-4), "not at rest: {grad:?}");
            found.params().as_slice().iter().map(|p| f64::from(*p)).collect()
        })
        .collect();
    for (k, known) in known.iter().enumerate() {
        let of = |run: &Vec<f64>| run[k];
        let mean = runs.iter().map(of).sum::<f64>() / 10.0;
        let error = (runs.iter().map(|r| (r[k] - mean).powi(2)).sum::<f64>() / 90.0).sqrt();
        assert!((mean - known).abs() < 4.5 * error, "{k}: {mean} ± {error}, not {known}");
        assert!(error < 0.04, "{k}: {error}");
        assert!(runs.iter().map(of).all(|r| (r - known).abs() < 0.3), "{k}: {known}");
    }
}

#[test]
fn learning_from_noise_keeps_the_law_of_objectives() {
    let model = Normalised::new(random(Boltzmann::new((4, Spin)), 0.4, 1));
    let spins = Mat::from_fn(4, 12, |i, j| if (3 * i + 5 * j) % 4 < 2 { 1.0 } else { -1.0 });
    let base = BaseRateNoise::new(&model, &[0.1, -0.2, 0.3, 0.0], 0.0).unwrap();
    let contrastive = || NoiseContrastive::new(base.clone(), 3, 1);
    kept(laws::objective(&model, contrastive, spins.as_view()), "base-rate noise");
    let mut real = Normalised::new(random(Quadratic::new(1, 2), 0.2, 1));
    real.set_log_partition(0.5);
    let x = Mat::from_fn(3, 12, |i, j| ((3 * i + 5 * j) as f32).sin());
    let gaussian = GaussianNoise::of(x.rows(1, 2).clone_owned().as_view(), 0.1).unwrap();
    let contrastive = || NoiseContrastive::new(gaussian.clone(), 2, 1);
    kept(laws::objective(&real, contrastive, x.as_view()), "Gaussian noise and a given row");
    let still = KeptNoise::new(gaussian.clone(), 24, 1).unwrap();
    let contrastive = || NoiseContrastive::new(still.clone(), 2, 1);
    kept(laws::objective(&real, contrastive, x.as_view()), "kept noise");
    for blur in [0.0, 0.1] {
        let ranking = || NoiseRanking::new(9, &[0.3, 1.0], 1).blurred(blur);
        kept(laws::objective(&real, ranking, x.as_view()), "ranking");
        kept(laws::threads("ranking", || gradient(&mut ranking(), &real, &x, &[1.0; 12]).0), "ranking");
    }
    let fresh = || NoiseContrastive::new(gaussian.clone(), 2, 1);
    kept(laws::threads("contrast", || gradient(&mut fresh(), &real, &x, &[1.0; 12]).0), "contrast");
}

/// A run that is cut and continued has the bits of one that never was.
#[test]
fn runs_that_draw_noise_or_units_resume() {
    let settings = Fit { epochs: 4, batch: 4, ..Fit::default() };
    let spins = Mat::from_fn(4, 14, |i, j| if (3 * i + 5 * j) % 4 < 2 { 1.0 } else { -1.0 });
    let reals = Mat::from_fn(3, 14, |i, j| ((3 * i + 5 * j) as f32).sin());
    let machine = || random(Boltzmann::new((4, Spin)), 0.4, 1);
    let contrast = |hand_over: HandOver<'_, Normalised<Boltzmann>>| {
        let mut model = Normalised::new(machine());
        let noise = BaseRateNoise::new(&model, &[0.1, -0.2, 0.3, 0.0], 0.0)?;
        let mut objective = NoiseContrastive::new(noise, 3, 1);
        hand_over(&mut Run::new(&mut model, &mut objective, &mut Adam::default(), &mut Silent))
    };
    let some = |hand_over: HandOver<'_, Boltzmann>| {
        let mut objective = Neighbours::new(NeighbourLoss::Flow, 1).some(2);
        hand_over(&mut Run::new(&mut machine(), &mut objective, &mut Adam::default(), &mut Silent))
    };
    let rank = |hand_over: HandOver<'_, Quadratic>| {
        let mut objective = NoiseRanking::new(9, &[0.3, 1.0], 1).blurred(0.1);
        hand_over(&mut Run::new(&mut Quadratic::new(1, 2), &mut objective, &mut Adam::default(), &mut Silent))
    };
    for cut in [1, 6] {
        kept(laws::resume(&settings, &spins, cut, contrast), "contrast");
        kept(laws::resume(&settings, &spins, cut, some), "some units");
        kept(laws::resume(&settings, &reals, cut, rank), "ranking");
    }
}

/// With the same seed the proposals are the same, and the loss is a function of the parameters alone.
#[test]
fn ranking_goes_down_its_own_loss() {
    let mut rng = ChainRng::new(3);
    for (blur, proposals) in [(0.0, 20), (0.1, 20), (0.05, 3000)] {
        let mut model = random(Quadratic::new(1, 2), 0.4, 2);
        let x = Mat::from_fn(3, 6, |_, _| rng.random::<f32>() - 0.5);
        let weights = [1.0, 0.5, 0.0, 2.0, 1.0, 1.0];
        let make = || NoiseRanking::new(proposals, &[0.3, 1.0], 1).blurred(blur);
        let (grad, _) = gradient(&mut make(), &model, &x, &weights);
        let home = model.params().as_slice().to_vec();
        for (k, g) in grad.iter().enumerate() {
            let mut at = |by: f32| {
                model.update(&mut |p| {
                    p.as_mut_slice().copy_from_slice(&home);
                    p.as_mut_slice()[k] += by;
                });
                (gradient(&mut make(), &model, &x, &weights).1, f64::from(model.params().as_slice()[k]))
            };
            let ((up, right), (down, left)) = (at(1e-4), at(-1e-4));
            let slope = (up - down) / (right - left);
            // Differences of this width are off by h² / 6 times a third derivative, which is of the size of 100.
            assert!((f64::from(*g) - slope).abs() < 3e-5, "{k}: {g} instead of {slope}");
        }
    }
}
/// Where the energy is minus the logarithm of the proposals' density, none of them stands out.
#[test]
fn a_model_that_is_its_proposals_has_the_loss_of_chance() {
    let mut model = Quadratic::new(0, 2);
    model.update(&mut |p| p.as_mut_slice().copy_from_slice(&[4.0, 0.0, 0.0, 4.0, 0.0, 0.0]));
    // Around zero, with a deviation of ½.
    let (_, loss) = gradient(&mut NoiseRanking::new(30, &[0.5], 1), &model, &Mat::zeros(2, 5), &[1.0; 5]);
    assert!((loss - 31f64.ln()).abs() < 1e-6, "{loss}");
}
/// `y = 0.8 u + normal noise`: precision ⟨4⟩, and the slope and offset that belong to it.
#[test]
fn ranking_finds_a_conditional_density() {
    let runs: Vec<Vec<f64>> = (0..10)
        .map(|seed| {
            let mut rng = ChainRng::new(50 + seed);
            let x = Mat::from_columns(
                &(0..300)
                    .map(|_| {
                        let (u, z): (f32, f32) = (2.0 * rng.random::<f32>() - 1.0, StandardNormal.sample(&mut rng));
                        nalgebra::DVector::from_column_slice(&[u, 0.8 * u + 0.1 + 0.5 * z])
                    })
                    .collect::<Vec<_>>(),
            );
            let mut found = Quadratic::new(1, 1);
            let mut objective = NoiseRanking::new(30, &[0.2, 1.0], seed);
            descend((&mut found, &mut objective), (&x, &[1.0; 300]), (0.2, 120));
            // Then slower, so that the noise of the draws averages out.
            descend((&mut found, &mut objective), (&x, &[1.0; 300]), (0.01, 120));
            found.params().as_slice().iter().map(|p| f64::from(*p)).collect()
        })
        .collect();
    for (k, known) in [4.0, 0.4, 3.2].into_iter().enumerate() {
        let mean = runs.iter().map(|r| r[k]).sum::<f64>() / 10.0;
        let error = (runs.iter().map(|r| (r[k] - mean).powi(2)).sum::<f64>() / 90.0).sqrt();
        println!("{k}: {mean:.3} ± {error:.3} of {known}");
        assert!((mean - known).abs() < 4.5 * error && error < 0.25, "{k}: {mean} ± {error}, not {known}");
    }
}

fn ask<M: Learn, O: Objective<M>>(model: &M, objective: &mut O, x: &Mat, missing: Option<&Mask>) -> Error {
    let batch = Batch { x: x.as_view(), weights: &[1.0; 3], missing: missing.map(|m| m.as_view()), step: 0 };
    objective.gradient(model, &batch, &mut model.params().zeros_like()).unwrap_err()
}
#[test]
fn noise_that_does_not_fit_is_refused() {
    let x = Mat::from_element(4, 3, 1.0);
    let (machine, rbm) = (Boltzmann::new((4, Bernoulli)), Rbm::new((4, Bernoulli), (2, Bernoulli)));
    let (real, gaps) = (Boltzmann::new((4, Gaussian)), Mask::from_fn(4, 3, |i, j| i == j));
    let noise = |n: usize| GaussianNoise::new(DVector::zeros(n), DMatrix::identity(n, n)).unwrap();
    let mut contrast = NoiseContrastive::new(noise(4), 1, 1);
    let mut rank = NoiseRanking::new(3, &[1.0], 1);
    for error in
        [ask(&rbm, &mut rank, &x, None), ask(&machine, &mut rank, &x, None), ask(&rbm, &mut contrast, &x, None)]
    {
        assert!(matches!(error, Error::Intractable { .. }), "{error}");
    }
    let short = x.rows(0, 3).clone_owned();
    for error in [
        ask(&real, &mut contrast, &short, None),
        ask(&real, &mut rank, &short, None),
        ask(&real, &mut NoiseContrastive::new(noise(3), 1, 1), &x, None),
    ] {
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    for error in [
        ask(&real, &mut contrast, &x, Some(&gaps)),
        ask(&real, &mut rank, &x, Some(&gaps)),
        ask(&real, &mut NoiseContrastive::new(noise(4), 0, 1), &x, None),
        ask(&real, &mut NoiseRanking::new(0, &[1.0], 1), &x, None),
        ask(&real, &mut NoiseRanking::new(3, &[], 1), &x, None),
        ask(&real, &mut NoiseRanking::new(3, &[0.0], 1), &x, None),
        ask(&real, &mut NoiseRanking::new(3, &[1.0], 1).blurred(f32::NAN), &x, None),
    ] {
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }
    assert!(KeptNoise::new(noise(2), 0, 1).is_err() && BaseRateNoise::new(&machine, &[0.5; 3], 0.1).is_err());
}
