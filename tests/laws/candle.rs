//! Energies by candle: under the laws of scores, gradients and threads; the same dense network by candle and by `Mlp`.

use candle_core::{Device, Module, Tensor, Var, bail};
use candle_nn::{Conv2dConfig, Init, VarBuilder, conv2d, linear};
use harmonium::models::Kind;
use harmonium::models::neural::candle::{CandleEnergy, Image, Residual, convolve, dense};
use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::objectives::{Contrastive, FromData};
use harmonium::optim::{Adam, Schedule};
use harmonium::params::Role;
use harmonium::samplers::{Kernel, Moves};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{ChainRng, Energy, Learn, Mat, Score, Slab, Streams, Train, Unit, laws};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Parameters of the size of one where the draws are small.
fn shaken(mut model: CandleEnergy, seed: u64) -> CandleEnergy {
    model.initialise(&[], seed).unwrap();
    model.update(&mut |p| {
        p.as_mut_slice().iter_mut().enumerate().for_each(|(k, v)| *v += 0.2 * (1.3 * k as f32).cos());
    });
    model
}
fn plain() -> CandleEnergy {
    let units: [Kind; 2] = [(3, Arc::new(Gaussian)), (2, Arc::new(LogPrecision))];
    CandleEnergy::dense(2, &units, &[(6, Activation::Silu), (5, Activation::Tanh)]).unwrap()
}
fn convolutional(unit: Arc<dyn Unit>) -> CandleEnergy {
    let image = Image { height: 5, width: 6, channels: 2 };
    CandleEnergy::convolutional(unit, image, &[3, 4], Activation::Silu).unwrap()
}
fn residual() -> CandleEnergy {
    let settings = Residual { channels: 3, blocks: 3, halving: 1, activation: Activation::Softplus };
    CandleEnergy::residual(Arc::new(Bernoulli), Image::grey(5, 4), settings).unwrap()
}
/// All of it candle's own: channels first, a convolution, a product.
fn candles(unit: Arc<dyn Unit>) -> CandleEnergy {
    CandleEnergy::new("candle's own", 0, &[(36, unit)], |variables| {
        let config = Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
        let filters = conv2d(1, 4, 3, config, variables.pp("filters"))?;
        let [middle, last] = [(36, 7, "middle"), (7, 1, "last")].map(|(n, m, name)| linear(n, m, variables.pp(name)));
        let (middle, last) = (middle?, last?);
        Ok(move |x: &Tensor| {
            let n = x.dim(0)?;
            let active = filters.forward(&x.reshape((n, 1, 6, 6))?)?.tanh()?;
            last.forward(&middle.forward(&active.reshape((n, 36))?)?.silu()?)?.squeeze(1)
        })
    })
    .unwrap()
}
fn models(seed: u64) -> Vec<(&'static str, CandleEnergy)> {
    let all = [
        ("dense", plain()),
        ("convolutional", convolutional(Arc::new(Gaussian))),
        ("convolutional, spins", convolutional(Arc::new(Spin))),
        ("residual", residual()),
        ("candle's own", candles(Arc::new(Gaussian))),
        ("candle's own, softmax", candles(Arc::new(Softmax { q: 3 }))),
    ];
    all.into_iter().map(|(name, model)| (name, shaken(model, seed))).collect()
}
/// Unadjusted Langevin, in a few lines.
struct Walk(f32);
impl<M: Score> Kernel<M> for Walk {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let mut slopes = Mat::zeros(model.n_rows(), slab.ncols());
        model.grad_x(slab.x(), slopes.as_view_mut());
        let mut x = slab.x_mut();
        for j in 0..x.ncols() {
            for (x, slope) in x.column_mut(j).iter_mut().zip(slopes.column(j).iter()).skip(model.n_given()) {
                let z: f32 = StandardNormal.sample(rng.column(j));
                *x += self.0 * z - 0.5 * self.0 * self.0 * slope;
            }
        }
        Moves::default()
    }
}
fn states(model: &CandleEnergy, n: usize) -> Mat {
    Mat::from_fn(model.n_rows(), n, |i, j| (0.7 * i as f32 + 1.9 * j as f32).sin())
}
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn scores_and_gradients_keep_the_laws() {
    for seed in 0..2 {
        for (name, mut model) in models(seed) {
            for verdict in [laws::score(&model, seed), laws::gradient(&mut model, seed)] {
                let kept = verdict.unwrap_or_else(|broken| panic!("{name}, seed {seed}: {broken}"));
                assert!(kept.checks > 10 && kept.worst <= 1.0, "{name}");
            }
        }
    }
}
#[test]
fn one_pass_gives_what_two_give() {
    for (name, model) in models(1) {
        for n in [1, 2, 5, 130] {
            let x = states(&model, n);
            let [mut apart, mut both] = [vec![0.0; n], vec![0.0; n]];
            let [mut a, mut b] = [Mat::zeros(x.nrows(), n), Mat::zeros(x.nrows(), n)];
            model.energy(x.as_view(), &mut apart);
            model.grad_x(x.as_view(), a.as_view_mut());
            model.energy_and_grad_x(x.as_view(), &mut both, b.as_view_mut());
            assert!(apart == both && a == b, "{name}");
            // Some columns of a larger matrix, whose columns lie further apart.
            let mut more = Mat::from_element(x.nrows() + 3, n, f32::NAN);
            more.rows_mut(2, x.nrows()).copy_from(&x);
            model.energy(more.rows(2, x.nrows()), &mut apart);
            assert!(apart == both, "{name}");
        }
    }
}
/// Energies, derivatives and chains: the same bits for one thread, two and five, and whatever other columns there are.
#[test]
fn bits_depend_on_no_threads() {
    let narrow =
        CandleEnergy::convolutional(Arc::new(Gaussian), Image::grey(9, 9), &[1, 1, 2], Activation::Silu).unwrap();
    for (name, model) in models(3).into_iter().chain([("narrow", shaken(narrow, 3))]) {
        laws::chains_threads(&model, &Walk(0.1), 1).unwrap_or_else(|broken| panic!("{name}: {broken}"));
        let x = states(&model, 203);
        let weights: Vec<f32> = (0..203).map(|j| (j % 4) as f32 - 1.0).collect();
        let pass = || {
            let (mut energies, mut grad) = (vec![0.0; 203], model.params().zeros_like());
            model.energy(x.as_view(), &mut energies);
            model.grad_params(x.as_view(), &weights, &mut grad);
            (energies.iter().map(|e| e.to_bits()).collect::<Vec<u64>>(), bits(grad.as_slice()))
        };
        laws::threads(name, pass).unwrap_or_else(|broken| panic!("{name}: {broken}"));
    }
}
/// The same numbers in both networks; weights lie the other way round.
fn twins(hidden: &[(usize, Activation)]) -> (CandleEnergy, NeuralEnergy) {
    let units: [Kind; 2] = [(12, Arc::new(Gaussian)), (8, Arc::new(LogPrecision))];
    let mut candle = CandleEnergy::dense(3, &units, hidden).unwrap();
    candle.initialise(&[], 5).unwrap();
    candle.update(&mut |p| {
        let biases: Vec<_> = p.slots().iter().filter(|s| s.role != Role::Weights).map(|s| s.range()).collect();
        for k in biases.into_iter().flatten() {
            p.as_mut_slice()[k] = 0.3 * (k as f32).sin();
        }
    });
    let mut plain = NeuralEnergy::new(3, &units, hidden);
    // A slot of candle's is outputs × inputs as well, for it lies as inputs × outputs row by row.
    plain.update(&mut |p| p.as_mut_slice().copy_from_slice(candle.params().as_slice()));
    (candle, plain)
}
#[test]
fn a_dense_network_is_the_same_by_both_routes() {
    for hidden in [vec![], vec![(30, Activation::Silu)], vec![(64, Activation::Softplus), (33, Activation::Tanh)]] {
        let (candle, plain) = twins(&hidden);
        let (n, x) = (150, states(&candle, 150));
        let weights: Vec<f32> = (0..n).map(|j| 0.01 * (j % 7) as f32).collect();
        let of = |model: &dyn Score| {
            let (mut energies, mut slopes) = (vec![0.0; n], Mat::zeros(23, n));
            model.energy_and_grad_x(x.as_view(), &mut energies, slopes.as_view_mut());
            (energies, slopes)
        };
        let by = |model: &dyn Learn| {
            let mut grad = model.params().zeros_like();
            model.grad_params(x.as_view(), &weights, &mut grad);
            grad.as_slice().to_vec()
        };
        let ((energies, slopes), (expected, by_x)) = (of(&candle), of(&plain));
        let off = energies.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Sums of 23 to 64 products of the size of one, in another order.
        assert!(off < 1e-5 && (&slopes - &by_x).amax() < 2e-5, "{hidden:?}: {off}, {}", (&slopes - &by_x).amax());
        for (a, b) in by(&candle).iter().zip(by(&plain)) {
            assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{hidden:?}: {a} instead of {b}");
        }
    }
}
/// With a module of zeros, the units are independent and have the means they were told.
#[test]
fn the_base_measure_is_that_of_the_units() {
    let mut model = convolutional(Arc::new(Bernoulli));
    let mean: Vec<f32> = (0..60).map(|i| 0.1 + 0.013 * i as f32).collect();
    model.initialise(&mean, 1).unwrap();
    for (b, m) in model.visible_bias().iter().zip(&mean) {
        assert!((b - (m / (1.0 - m)).ln()).abs() < 1e-4);
    }
    let n = model.params().slots().len() - 2;
    model.update(&mut |p| (0..n).for_each(|k| p.slice_mut(k).fill(0.0)));
    let (x, mut energies) = (Mat::from_fn(60, 3, |i, j| ((i + j) % 3 % 2) as f32), [0.0; 3]);
    model.energy(x.as_view(), &mut energies);
    for (j, e) in energies.iter().enumerate() {
        let base: f64 = x.column(j).iter().zip(model.visible_bias()).map(|(x, b)| f64::from(x * b)).sum();
        assert!((e + base).abs() < 1e-5);
    }
    assert!(model.initialise(&mean[..59], 1).is_err() && model.initialise(&[1.0; 60], 1).is_err());
    let name = |k: usize| model.params().slots()[k].name.clone();
    assert_eq!((name(0), name(5), name(n)), ("layer1.weights".into(), "last.bias".into(), "visible_bias".into()));
}
/// Draws follow from the seed, and are those the module asked for.
#[test]
fn variables_are_drawn_as_they_were_asked_for() {
    let build = |variables: VarBuilder<'_>| {
        let normal = Init::Randn { mean: 2.0, stdev: 0.5 };
        let uniform = Init::Uniform { lo: -1.0, up: 3.0 };
        let all = [
            variables.get_with_hints((30, 40), "a", normal)?,
            variables.get_with_hints((40, 30), "b", uniform)?,
            variables.get_with_hints((50, 24), "c", candle_nn::init::DEFAULT_KAIMING_UNIFORM)?,
            variables.get_with_hints((1200, 1), "d", Init::Const(0.25))?,
        ];
        Ok(move |x: &Tensor| {
            let mut sum = all[0].sum_all()?;
            for t in &all[1..] {
                sum = (sum + t.sum_all()?)?;
            }
            x.sum(1)?.broadcast_mul(&sum)
        })
    };
    let mut model = CandleEnergy::new("draws", 0, &[(4, Arc::new(Gaussian))], build).unwrap();
    let mut draw = |seed: u64| {
        model.initialise(&[], seed).unwrap();
        model.params().clone()
    };
    let [one, same, other] = [1, 1, 2].map(&mut draw);
    assert!(one == same && one != other);
    let spread = (4.0f64 / 12.0).sqrt() * 2.0;
    let kaiming = (2.0f64 / 24.0).sqrt();
    for (k, (mean, deviation)) in [(2.0, 0.5), (1.0, spread), (0.0, kaiming), (0.25, 0.0)].into_iter().enumerate() {
        let values: Vec<f64> = one.slice(k).iter().map(|v| f64::from(*v)).collect();
        let average = values.iter().sum::<f64>() / 1200.0;
        let variance = values.iter().map(|v| (v - average).powi(2)).sum::<f64>() / 1200.0;
        // Five deviations of a mean, and of a variance (of normal numbers; less of uniform ones), of 1200 draws.
        assert!((average - mean).abs() <= 5.0 * deviation / 1200f64.sqrt() + 1e-6, "{k}: {average}");
        let square = deviation * deviation;
        assert!((variance - square).abs() <= 5.0 * square * (2.0f64 / 1200.0).sqrt() + 1e-9, "{k}: {variance}");
    }
    assert!(one.slice(1).iter().all(|v| (-1.0..3.0).contains(v)));
}
/// Six real units and the module `f` of them and of six weights.
fn of_six(f: fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>) -> harmonium::Result<CandleEnergy> {
    CandleEnergy::new("", 0, &[(6, Arc::new(Gaussian))], move |variables| {
        let w = variables.get((6, 1), "w")?;
        Ok(move |x: &Tensor| f(x, &w))
    })
}
#[test]
fn modules_that_are_no_energies_are_refused() {
    assert!(of_six(|x, w| x.matmul(w)).is_ok() && of_six(|x, w| x.matmul(w)?.squeeze(1)).is_ok());
    let shape = of_six(|x, _| Ok(x.clone())).unwrap_err().to_string();
    assert!(shape.contains("a candle module gives for 1 samples") && shape.contains("[1, 6]"), "{shape}");
    assert!(of_six(|_, _| bail!("no\nsuch thing")).unwrap_err().to_string().ends_with("no"));
    let wrong: [fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>; 5] = [
        |x, w| x.matmul(w)?.sum_all(),
        |x, w| w.matmul(x),
        |x, w| x.matmul(w)?.t(),
        |x, w| if x.dim(0)? > 3 { bail!("too many") } else { x.matmul(w) },
        |x, w| x.matmul(w)?.to_dtype(candle_core::DType::F64),
    ];
    assert!(wrong.into_iter().all(|f| of_six(f).is_err()));
}
#[test]
fn units_and_variables_that_do_not_fit_are_refused() {
    let units = || -> [Kind; 1] { [(6, Arc::new(Gaussian))] };
    let empty = CandleEnergy::new("", 0, &units(), |_| Ok(|x: &Tensor| x.sum(1)));
    assert!(empty.unwrap_err().to_string().contains("at least one"));
    let broken = |_: VarBuilder<'_>| -> candle_core::Result<fn(&Tensor) -> candle_core::Result<Tensor>> { bail!("no") };
    assert!(CandleEnergy::new("", 0, &units(), broken).is_err());
    let linear = |variables: VarBuilder<'_>| candle_nn::linear(6, 1, variables);
    for units in [vec![], vec![(0, Arc::new(Gaussian) as Arc<dyn Unit>)], vec![(6, Arc::new(Softmax { q: 4 }))]] {
        assert!(CandleEnergy::new("", 0, &units, linear).is_err());
    }
    assert!(CandleEnergy::new("", 2, &[(4, Arc::new(Gaussian))], linear).is_ok());
    assert!(CandleEnergy::convolutional(Arc::new(Spin), Image::grey(0, 3), &[2], Activation::Silu).is_err());
    let asked_twice = |variables: VarBuilder<'_>| {
        let (w, again) = (variables.get((6, 1), "w")?, variables.get((6, 1), "w")?);
        assert!(variables.contains_tensor("w") && variables.get((6, 2), "w").is_err());
        let none = Tensor::zeros(1, candle_core::DType::F32, variables.device())?;
        Ok(move |x: &Tensor| dense(x, &w, &none)? + x.matmul(&again)?)
    };
    let model = CandleEnergy::new("", 0, &units(), asked_twice).unwrap();
    assert_eq!(model.params().slots().len(), 3);
}
/// What fails only where a caller's data are strange gives no numbers, and no panic.
#[test]
fn passes_that_fail_give_no_numbers() {
    let large = |x: &Tensor, w: &Tensor| {
        if x.max_all()?.to_scalar::<f32>()? > 10.0 { bail!("too large") } else { x.matmul(w) }
    };
    let model = of_six(large).unwrap();
    let (mut x, mut energies, mut slopes) = (Mat::zeros(6, 70), vec![0.0; 70], Mat::zeros(6, 70));
    x[(2, 69)] = 20.0; // in the second 64
    model.energy_and_grad_x(x.as_view(), &mut energies, slopes.as_view_mut());
    assert!(energies[63] == 0.0 && energies[64].is_nan() && slopes[(0, 63)] == 0.0 && slopes[(0, 69)].is_nan());
    model.energy(x.as_view(), &mut energies);
    assert!(energies[63] == 0.0 && energies[64].is_nan());
    let mut grad = model.params().zeros_like();
    model.grad_params(x.as_view(), &[1.0; 70], &mut grad);
    assert!(grad.slice(0).iter().all(|g| g.is_nan()) && grad.slice(1).iter().all(|g| g.is_finite()));
}
/// Two modes, which no Gaussian has: CD by Langevin finds them, and a run that is cut goes on as it was.
#[test]
fn training_learns_and_goes_on() {
    let mut rng = ChainRng::new(7);
    let data = Mat::from_fn(1, 600, |_, j| {
        let z: f32 = StandardNormal.sample(&mut rng);
        if j % 2 == 0 { 1.5 + 0.3 * z } else { -1.5 + 0.3 * z }
    });
    let begun = |activation: Activation| {
        let mut model = CandleEnergy::dense(0, &[(1, Arc::new(Gaussian))], &[(16, activation)]).unwrap();
        model.initialise(&[], 3).unwrap();
        model
    };
    let objective = || {
        let mut negative = FromData::new(Walk(0.2), 5);
        negative.k = Schedule::Constant(10.0);
        Contrastive::new(negative).plain()
    };
    let fit = |epochs: u64| Fit { epochs, batch: 60, learning_rate: Schedule::Constant(0.02), ..Fit::default() };
    let mut model = begun(Activation::Silu);
    let (mut cd, mut adam) = (objective(), Adam::default());
    fit(60).run(&mut Run::new(&mut model, &mut cd, &mut adam, &mut Silent), &data).unwrap();
    let grid = Mat::from_fn(1, 801, |_, j| 0.01 * j as f32 - 4.0);
    let (mut energies, mut at) = (vec![0.0; 801], vec![0.0; 600]);
    model.energy(grid.as_view(), &mut energies);
    model.energy(data.as_view(), &mut at);
    let log_z = (energies.iter().map(|e| (-e).exp()).sum::<f64>() * 0.01).ln();
    let mean = -at.iter().sum::<f64>() / 600.0 - log_z;
    // The best Gaussian has -½ log(2πe (1.5² + 0.3²)) = -1.844 nats, the truth itself -log 2 - ½ log(2πe 0.3²) = -0.908.
    assert!(mean > -1.3, "{mean}");
    assert_ne!(begun(Activation::Silu).architecture(), begun(Activation::Tanh).architecture());
    let verdict = laws::resume(&fit(2), &data, 7, |hand_over| {
        let (mut model, mut cd, mut adam) = (begun(Activation::Silu), objective(), Adam::default());
        hand_over(&mut Run::new(&mut model, &mut cd, &mut adam, &mut Silent))
    });
    verdict.unwrap_or_else(|broken| panic!("{broken}"));
}

fn waves(shape: &[usize], phase: f32) -> Tensor {
    let n: usize = shape.iter().product();
    let data: Vec<f32> = (0..n).map(|k| (1.7 * k as f32 + phase).sin()).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}
fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
/// candle's own convolution, channels first, is the twin: results and all three derivatives.
#[test]
fn convolutions_are_those_of_candle() {
    for (image, [n, channels, outputs], kernel, (stride, padding)) in [
        ([7, 5], [3, 2, 4], [3, 3], (1, 1)),
        ([8, 6], [2, 3, 5], [3, 3], (2, 1)),
        ([6, 6], [1, 1, 2], [2, 4], (2, 0)),
        ([5, 4], [4, 3, 2], [1, 1], (1, 0)),
        ([5, 5], [2, 2, 3], [1, 1], (2, 0)),
        ([3, 3], [2, 1, 1], [5, 5], (1, 2)),
    ] {
        let x = Var::from_tensor(&waves(&[n, image[0], image[1], channels], 0.0)).unwrap();
        let kernels = Var::from_tensor(&waves(&[kernel[0], kernel[1], channels, outputs], 1.0)).unwrap();
        let bias = Var::from_tensor(&waves(&[outputs], 2.0)).unwrap();
        let own = convolve(&x, &kernels, &bias, stride, padding).unwrap();
        let first = x.permute((0, 3, 1, 2)).unwrap();
        let theirs = first.conv2d(&kernels.permute((3, 2, 0, 1)).unwrap(), padding, stride, 1, 1).unwrap();
        let theirs = theirs.permute((0, 2, 3, 1)).unwrap().broadcast_add(&bias).unwrap();
        assert!(largest_difference(&own, &theirs) < 1e-5, "{image:?} {kernel:?} {stride} {padding}");
        let pull = waves(own.dims(), 3.0);
        let [own, theirs] = [own, theirs].map(|y| (y * &pull).unwrap().sum_all().unwrap().backward().unwrap());
        for var in [&x, &kernels, &bias] {
            let (own, theirs) = (own.get(var).unwrap(), theirs.get(var).unwrap());
            assert!(largest_difference(own, theirs) < 1e-4, "{image:?} {kernel:?} {stride} {padding}");
        }
    }
}
#[test]
fn images_and_kernels_that_do_not_fit_are_errors() {
    let (x, bias) = (waves(&[2, 4, 4, 3], 0.0), waves(&[5], 0.0));
    let kernels = |shape: &[usize]| waves(shape, 1.0);
    assert!(convolve(&x, &kernels(&[3, 3, 3, 5]), &bias, 1, 1).is_ok());
    for (shape, stride) in [([3, 3, 2, 5], 1), ([3, 3, 3, 4], 1), ([7, 3, 3, 5], 1), ([3, 3, 3, 5], 0)] {
        assert!(convolve(&x, &kernels(&shape), &bias, stride, 1).is_err(), "{shape:?}");
    }
    assert!(convolve(&x, &kernels(&[3, 3, 3]), &bias, 1, 1).is_err());
    assert!(dense(&x, &kernels(&[3, 5]), &bias).is_err());
}
