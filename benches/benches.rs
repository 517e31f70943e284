//! What the hot loops cost. Sizes are visible × hidden × columns; all states are of Bernoulli units.
//!
//! ```text
//! cargo bench
//! ```
#![allow(missing_docs, reason = "criterion makes a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use harmonium::eval::{Ais, Raise, ais, raise};
use harmonium::linalg::{self, Level, Outer, Working};
#[cfg(feature = "candle")]
use harmonium::models::neural::candle::{CandleEnergy, Image};
use harmonium::models::neural::{Activation, NeuralEnergy, Predictor};
use harmonium::models::{
    Boltzmann, Boundary, Dbm, DenseMemory, Interaction, MeanField, ModernHopfield, Rbm, SparseBoltzmann,
};
use harmonium::objectives::{Contrastive, Objective, Supervised};
use harmonium::optim::{At, Optimizer, Sgd};
use harmonium::rng::ChainRng;
use harmonium::samplers::{BlockGibbs, DiscreteLangevin, GibbsWithGradients, Langevin, Mala, SwendsenWang, Tempering};
use harmonium::units::{Bernoulli, Gaussian, Softmax};
use harmonium::{Annealed, Batch, Chains, Collapsed, Energy, Learn, Mat, Score, States, Train};
use rand::RngExt;
use rayon::ThreadPoolBuilder;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const VISIBLE: usize = 784;
const HIDDEN: usize = 500;
const COLUMNS: usize = 100;

fn bits(rows: usize, columns: usize, density: f64) -> Mat {
    let mut rng = ChainRng::new(1);
    Mat::from_fn(rows, columns, |_, _| (rng.random::<f64>() < density) as u8 as f32)
}

/// A machine whose pixels are on about as often as those of MNIST.
fn rbm() -> Rbm {
    let mut rbm = Rbm::new((VISIBLE, Bernoulli), (HIDDEN, Bernoulli));
    let mean: Vec<f32> = (0..VISIBLE).map(|i| 0.02 + 0.24 * (i % 28) as f32 / 28.0).collect();
    rbm.initialise(&mean, 0.0, 1).expect("means within range");
    rbm
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("product");
    group.throughput(Throughput::Elements((VISIBLE * HIDDEN * COLUMNS) as u64));
    let w = Mat::from_fn(HIDDEN, VISIBLE, |i, j| ((i * 7 + j * 13) % 17) as f32 * 0.01);
    let mut working = Working::default();
    working.copy_from(w.as_view());
    let size = format!("{VISIBLE}x{HIDDEN}x{COLUMNS}");
    let one = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let mut routed = |name: String, x: &Mat| {
        let mut out = Mat::zeros(HIDDEN, COLUMNS);
        let mut product = || working.plain().add_to(0..HIDDEN, x.as_view(), out.as_view_mut());
        group.bench_function(BenchmarkId::new(name, &size), |b| one.install(|| b.iter(&mut product)));
    };
    for density in [0.13, 0.2, 0.3, 0.5] {
        routed(format!("bits, {density} on"), &bits(VISIBLE, COLUMNS, density));
    }
    routed("spins".into(), &bits(VISIBLE, COLUMNS, 0.5).map(|x| 2.0 * x - 1.0));
    routed("numbers, 0.3 not zero".into(), &bits(VISIBLE, COLUMNS, 0.3).map(|x| 0.5 * x));
    let (x, mut out) = (bits(VISIBLE, COLUMNS, 0.5), Mat::zeros(HIDDEN, COLUMNS));
    group.bench_function(BenchmarkId::new("dense", &size), |b| {
        one.install(|| b.iter(|| linalg::gemm(1.0, w.as_view(), x.as_view(), 1.0, out.as_view_mut())));
    });
    let (h, x, weights) = (bits(HIDDEN, COLUMNS, 0.5), bits(VISIBLE, COLUMNS, 0.13), vec![1.0; COLUMNS]);
    let mut grad = vec![0.0; HIDDEN * VISIBLE];
    group.bench_function(BenchmarkId::new("outer, 0.13 on", &size), |b| {
        one.install(|| b.iter(|| linalg::add_outer(-0.01, h.as_view(), x.as_view(), &weights, &mut grad)));
    });
    group.bench_function(BenchmarkId::new("two outers, 0.13 on, all threads", &size), |b| {
        let outer = |scale| Outer { scale, a: h.as_view(), x: x.as_view(), weights: &weights };
        b.iter(|| linalg::set_outers([outer(0.01), outer(-0.01)], &mut grad));
    });
    group.bench_function(BenchmarkId::new("working copies, all threads", &size), |b| {
        b.iter(|| working.copy_from(w.as_view()));
    });
    group.finish();
}

fn units(c: &mut Criterion) {
    let mut group = c.benchmark_group("unit");
    let field: Vec<f32> = (0..51_200).map(|i| (i as f32 * 0.01).sin() * 5.0).collect();
    let (mut out, mut rng) = (vec![0.0; field.len()], ChainRng::new(1));
    group.throughput(Throughput::Elements(field.len() as u64));
    for level in Level::available() {
        group.bench_function(BenchmarkId::new("bernoulli sample", format!("{level:?}")), |b| {
            b.iter(|| linalg::two_valued_at(level, 1.0, &field, 0.0, &mut out, &mut rng));
        });
        group.bench_function(BenchmarkId::new("bernoulli log-partition", format!("{level:?}")), |b| {
            b.iter(|| black_box(linalg::softplus_sum_at(level, 1.0, &field)));
        });
    }
    group.bench_function("bernoulli mean", |b| {
        b.iter(|| linalg::sigmoid_to(1.0, &field, (1.0, 0.0), &mut out));
    });
    group.finish();
}

fn sampling(c: &mut Criterion) {
    let mut group = c.benchmark_group("gibbs sweep");
    let rbm = rbm();
    for columns in [COLUMNS, 1000] {
        let mut chains = Chains::new(bits(VISIBLE + HIDDEN, columns, 0.13), 1);
        group.throughput(Throughput::Elements(columns as u64));
        group.bench_function(format!("{VISIBLE}x{HIDDEN}x{columns}"), |b| {
            b.iter(|| chains.advance(&BlockGibbs::new(1), &rbm));
        });
    }
    group.finish();
}

/// What swaps cost: a sweep of every temperature, alone and with a round of swaps.
fn tempering(c: &mut Criterion) {
    let mut group = c.benchmark_group("tempered sweep");
    let (rbm, temperatures, base) = (rbm(), 10, vec![0.0; VISIBLE + HIDDEN]);
    let size = format!("{VISIBLE}x{HIDDEN}x{COLUMNS}, {temperatures} temperatures");
    group.throughput(Throughput::Elements((temperatures * COLUMNS) as u64));
    let betas = Tempering::linear(temperatures, 0.9);
    let mut chains: Vec<Chains> =
        (0..temperatures as u64).map(|k| Chains::from_base(&rbm, &base, COLUMNS, k)).collect();
    group.bench_function(format!("{size}, no swaps"), |b| {
        b.iter(|| {
            for (chains, &beta) in chains.iter_mut().zip(&betas) {
                chains.advance(&BlockGibbs::backward(1), &Annealed::new(&rbm, &base, beta));
            }
        });
    });
    let mut tempering = Tempering::new(&rbm, betas.clone(), base.clone(), COLUMNS, 1).expect("a ladder");
    group.bench_function(size, |b| b.iter(|| tempering.advance(&rbm)));
    group.finish();
}

fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("update");
    group.throughput(Throughput::Elements(COLUMNS as u64));
    let data = bits(VISIBLE, COLUMNS, 0.13);
    let weights = vec![1.0; COLUMNS];
    let batch = Batch { x: data.as_view(), weights: &weights, missing: None, step: 0 };
    let chains = Chains::new(bits(VISIBLE + HIDDEN, COLUMNS, 0.13), 1);
    let objectives: [(&str, Box<dyn Objective<Rbm>>); 2] =
        [("cd-1", Box::new(Contrastive::cd(1, 1))), ("pcd-1", Box::new(Contrastive::pcd(1, chains)))];
    for (name, mut objective) in objectives {
        let (mut rbm, mut sgd) = (rbm(), Sgd::default());
        let mut grad = rbm.params().zeros_like();
        group.bench_function(format!("{name} {VISIBLE}x{HIDDEN}x{COLUMNS}"), |b| {
            b.iter(|| {
                objective.gradient(&rbm, &batch, &mut grad).expect("chains of this model");
                let far = sgd.direct(&mut grad, At { step: 0, learning_rate: 1e-6 });
                linalg::step_from(rbm.params().as_slice(), far, grad.as_mut_slice());
                rbm.update(&mut |p| p.exchange(&mut grad));
            });
        });
    }
    group.finish();
}

/// A deep machine's inference and update, and an update of a network.
fn deep(c: &mut Criterion) {
    let mut group = c.benchmark_group("deep");
    let layer = |n: usize| (n, Arc::new(Bernoulli) as _);
    let mut dbm = Dbm::new(&[layer(VISIBLE), layer(HIDDEN), layer(2 * HIDDEN)]);
    dbm.initialise(&[0.13; VISIBLE], 0.0, 1).expect("means within range");
    let x = bits(VISIBLE, COLUMNS, 0.13);
    let batch = Batch { x: x.as_view(), weights: &[1.0; COLUMNS], missing: None, step: 0 };
    for passes in [1, 10] {
        dbm.set_inference(MeanField { tolerance: 0.0, passes });
        let mut states = States::default();
        group.bench_function(BenchmarkId::new("mean field", format!("784x500x1000x{COLUMNS}, {passes} passes")), |b| {
            b.iter(|| {
                states.clamp(dbm.n_rows(), x.as_view());
                dbm.infer(&mut states);
            });
        });
    }
    dbm.set_inference(MeanField::default());
    let mut pcd = Contrastive::pcd(1, Chains::zeros(&dbm, COLUMNS, 1));
    let mut grad = dbm.params().zeros_like();
    group.bench_function("PCD-1 gradient, 784x500x1000x100", |b| {
        b.iter(|| pcd.gradient(&dbm, &batch, &mut grad).expect("a gradient"));
    });
    let hidden = [500, 500, 2000].map(|n| (n, Activation::Sigmoid));
    let mut net = Predictor::new(VISIBLE, &hidden, &[(10, Arc::new(Softmax { q: 10 }))]);
    net.network_mut().initialise(1);
    let both = Mat::from_fn(VISIBLE + 10, COLUMNS, |i, j| {
        if i < VISIBLE { x[(i, j)] } else { f32::from(u8::from(i % 10 == j % 10)) }
    });
    let batch = Batch { x: both.as_view(), ..batch };
    let (mut objective, mut grad) = (Supervised::new(1), net.params().zeros_like());
    group.bench_function("back-propagation, 784-500-500-2000-10x100", |b| {
        b.iter(|| objective.gradient(&net, &batch, &mut grad).expect("a gradient"));
    });
    group.finish();
}

/// Machines with couplings within a layer, lattices, memories.
fn pairwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("pairwise");
    let mut machine = Boltzmann::semi_restricted((VISIBLE, Bernoulli), (HIDDEN, Bernoulli));
    machine.update(&mut |p| {
        p.as_mut_slice().iter_mut().enumerate().for_each(|(k, w)| *w = (k % 17) as f32 * 1e-3 - 0.008)
    });
    let mut chains = Chains::new(Mat::zeros(VISIBLE + HIDDEN, COLUMNS), 1);
    group.bench_function(format!("semi-restricted sweep {VISIBLE}x{HIDDEN}x{COLUMNS}"), |b| {
        b.iter(|| chains.advance(&BlockGibbs::new(1), &machine));
    });
    let lattice = SparseBoltzmann::ising(&[64, 64], Boundary::Periodic, 0.4).expect("a lattice");
    let mut chains = Chains::new(Mat::from_element(64 * 64, 64, 1.0), 1);
    group.bench_function("Ising sweep 64x64x64", |b| b.iter(|| chains.advance(&BlockGibbs::new(1), &lattice)));
    let clusters = SwendsenWang::new(&lattice, 1).expect("spins");
    group.bench_function("Ising cluster update 64x64x64", |b| b.iter(|| chains.advance(&clusters, &lattice)));
    let spins = bits(VISIBLE, 1000, 0.5).map(|x| 2.0 * x - 1.0);
    let memory = DenseMemory::storing(spins.as_view(), Interaction::Rectified { degree: 3 }, 1e4).expect("patterns");
    let mut chains = Chains::new(spins.columns(0, COLUMNS).clone_owned(), 1);
    group.bench_function(format!("dense memory sweep {VISIBLE}x1000x{COLUMNS}"), |b| {
        b.iter(|| chains.advance(&BlockGibbs::new(1), &memory));
    });
    let modern = ModernHopfield::storing(spins.as_view(), 1.0).expect("patterns");
    let cues = spins.columns(0, COLUMNS).clone_owned();
    group.bench_function(format!("modern Hopfield update {VISIBLE}x1000x{COLUMNS}"), |b| {
        b.iter(|| black_box(modern.updated(cues.as_view())));
    });
    group.finish();
}

/// Kernels that follow gradients: of an energy that costs nothing, what they cost themselves; of an RBM's marginal, beside block Gibbs.
fn gradients(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradient");
    let mut normals = vec![0.0; 4096];
    let mut rng = ChainRng::new(1);
    group.throughput(Throughput::Elements(normals.len() as u64));
    group.bench_function("normal numbers", |b| b.iter(|| linalg::normals_to(&mut normals, &mut rng)));
    let free = Boltzmann::new((VISIBLE, Gaussian));
    let mut real = Chains::zeros(&free, 128, 1);
    group.throughput(Throughput::Elements(128));
    group.bench_function("Langevin step of 128 free chains", |b| {
        b.iter(|| real.advance(&Langevin::new(0.1, 1), &free));
    });
    group.bench_function("MALA step of them", |b| b.iter(|| real.advance(&Mala::new(0.1, 1), &free)));
    let rbm = rbm();
    let marginal = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
    let mut bits = Chains::new(bits(VISIBLE, COLUMNS, 0.13), 1);
    group.throughput(Throughput::Elements(COLUMNS as u64));
    group.bench_function("Gibbs with gradients, a proposal, marginal of an RBM", |b| {
        b.iter(|| bits.advance(&GibbsWithGradients::new(1), &marginal));
    });
    group.bench_function("discrete Langevin step of it", |b| {
        b.iter(|| bits.advance(&DiscreteLangevin::new(0.1, 1), &marginal));
    });
    group.finish();
}

/// Neural energies of images: `∂E/∂x` of a batch.
fn networks(c: &mut Criterion) {
    let mut group = c.benchmark_group("neural");
    let x = Mat::from_fn(VISIBLE, 128, |i, j| ((i * 7 + j * 13) % 17) as f32 / 17.0);
    let mut slope = Mat::zeros(VISIBLE, 128);
    group.throughput(Throughput::Elements(128));
    let mut dense = NeuralEnergy::new(0, &[(VISIBLE, Arc::new(Gaussian))], &[(256, Activation::Silu); 2]);
    dense.initialise(&[], 1).expect("no means");
    group.bench_function("slope of 784-256-256-1", |b| b.iter(|| dense.grad_x(x.as_view(), slope.as_view_mut())));
    #[cfg(feature = "candle")]
    {
        let image = Image { channels: 1, height: 28, width: 28 };
        let gaussian = Arc::new(Gaussian);
        let mut of = |name: &str, model: CandleEnergy| {
            group.bench_function(name, |b| b.iter(|| model.grad_x(x.as_view(), slope.as_view_mut())));
        };
        let silu = Activation::Silu;
        let dense = CandleEnergy::dense(0, &[(VISIBLE, gaussian.clone())], &[(256, silu); 2]);
        of("slope of 784-256-256-1 by candle", dense.expect("a network"));
        let conv = CandleEnergy::convolutional(gaussian, image, &[16, 32, 32, 64], silu);
        of("slope of convolutions, 16-32-32-64", conv.expect("a network"));
    }
    group.finish();
}

/// Models of language of the size of `calm_text`: an update's gradient, of eight windows of 120 characters, on one thread.
#[cfg(feature = "candle")]
fn language(c: &mut Criterion) {
    use harmonium::models::calm::{Autoencoder, AutoencoderSettings, ContinuousLanguageModel, HeadSettings};
    use harmonium::models::calm::{LanguageModel, Transformer};
    use harmonium::objectives::{NextToken, ScoredDraws};
    let pool = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let transformer = Transformer { layers: 4, width: 128, heads: 4, inner: 344, length: 120 };
    let tokens = |rows: usize| Mat::from_fn(rows, 8, |i, j| ((7 * i + 13 * j) % 128) as f32);
    let mut group = c.benchmark_group("language");
    group.throughput(Throughput::Elements(8 * 120));
    let mut softmax = LanguageModel::new(128, transformer).expect("sizes that fit");
    softmax.initialise(1);
    let (x, mut grad) = (tokens(121), softmax.params().zeros_like());
    let batch = Batch { x: x.as_view(), weights: &[1.0; 8], missing: None, step: 1 };
    group.bench_function("transformer with a softmax", |b| {
        b.iter(|| pool.install(|| NextToken::default().gradient(&softmax, &batch, &mut grad).expect("a gradient")));
    });
    let coder = AutoencoderSettings { tokens: 128, patch: 4, width: 64, inner: 128, latent: 32 };
    let mut coder = Autoencoder::new(coder).expect("sizes that fit");
    coder.initialise(1);
    let head = HeadSettings { noise: 64, width: 128, blocks: 2 };
    let mut model =
        ContinuousLanguageModel::new(coder, Transformer { length: 30, ..transformer }, head).expect("sizes");
    model.initialise(1);
    let (x, mut grad, mut objective) = (tokens(124), model.params().zeros_like(), ScoredDraws::new(8, 1));
    let batch = Batch { x: x.as_view(), weights: &[1.0; 8], missing: None, step: 1 };
    group.bench_function("the same with an energy head, four characters at once, 8 draws", |b| {
        b.iter(|| pool.install(|| objective.gradient(&model, &batch, &mut grad).expect("a gradient")));
    });
    group.finish();
}
#[cfg(not(feature = "candle"))]
fn language(_: &mut Criterion) {}

fn annealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("ais");
    let (rbm, temperatures) = (rbm(), 50);
    let base = vec![0.0; VISIBLE + HIDDEN];
    let settings = Ais { betas: Ais::linear(temperatures), runs: COLUMNS, seed: 1 };
    group.throughput(Throughput::Elements(temperatures as u64));
    group.bench_function(format!("{VISIBLE}x{HIDDEN}x{COLUMNS}, a temperature"), |b| {
        b.iter(|| ais(&rbm, &base, &settings).expect("valid settings"));
    });
    let (v, settings) = (bits(VISIBLE, COLUMNS, 0.13), Raise { betas: settings.betas, samples: 0, chains: 1, seed: 1 });
    group.bench_function(format!("{VISIBLE}x{HIDDEN}x{COLUMNS}, a temperature in reverse"), |b| {
        b.iter(|| raise(&rbm, &base, &v, &settings).expect("valid settings"));
    });
    group.finish();
}

fn short() -> Criterion {
    let criterion = Criterion::default().sample_size(20).without_plots();
    criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(2000))
}
criterion_group! {
    name = benches;
    config = short();
    targets = products, units, sampling, tempering, updates, deep, pairwise, gradients, networks, language, annealing
}
criterion_main!(benches);
