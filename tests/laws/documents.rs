//! Replicated softmax, held against the RBM that it is for one length: as many softmax units as words, all with the same weights.

use crate::cases;
use crate::reference::pick;
use harmonium::base_rate::base_rate;
use harmonium::eval::{Ais, ais, exact_log_partition};
use harmonium::laws;
use harmonium::models::{Rbm, ReplicatedSoftmax};
use harmonium::objectives::Contrastive;
use harmonium::samplers::BlockGibbs;
use harmonium::units::{Bernoulli, LogPrecision, Multinomial, Softmax};
use harmonium::{ChainRng, Chains, Conditioned, Energy, Learn, Marginal, Mat, Train, Unit};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// All counts of `q` kinds with this sum.
fn compositions(q: usize, total: usize) -> Vec<Vec<f32>> {
    if q == 1 {
        return vec![vec![total as f32]];
    }
    let with = |first: usize| {
        compositions(q - 1, total - first).into_iter().map(move |rest| [vec![first as f32], rest].concat())
    };
    (0..=total).flat_map(with).collect()
}

#[test]
fn the_unit_is_what_its_sum_says() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for (q, d) in [(1, 3), (2, 5), (3, 4), (4, 7), (3, 0), (5, 1)] {
        let unit = Multinomial { q };
        let (field, theta): (Vec<f32>, _) = ((0..q).map(|_| rng.random_range(-2.0..2.0)).collect(), [d as f32]);
        let values = compositions(q, d);
        let log_p: Vec<f64> = values
            .iter()
            .map(|x| x.iter().zip(&field).map(|(x, f)| f64::from(x * f)).sum::<f64>() - unit.base_energy(&theta, x))
            .collect();
        let z: f64 = log_p.iter().map(|l| l.exp()).sum();
        cases::close(unit.log_partition(&theta, &field), z.ln(), 20.0, "Γ");
        let (mut mean, mut variance, mut mode) = (vec![0.0; q], vec![0.0; q], vec![0.0; q]);
        unit.mean(&theta, &field, &mut mean);
        unit.variance(&theta, &field, &mut variance);
        unit.mode(&theta, &field, &mut mode);
        let average =
            |f: &dyn Fn(&[f32]) -> f64| values.iter().zip(&log_p).map(|(x, l)| l.exp() / z * f(x)).sum::<f64>();
        for k in 0..q {
            let expected = average(&|x| x[k].into());
            cases::close(mean[k].into(), expected, 5.0, "mean");
            let squares = average(&|x| (f64::from(x[k]) - expected).powi(2));
            cases::close(variance[k].into(), squares, 10.0, "variance");
        }
        let best = values.iter().zip(&log_p).max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(&mode, best.0, "mode of {q}, {d}");
        // Every value as often as it should, within five deviations.
        let (mut counts, mut x, mut chain) = (vec![0f64; values.len()], vec![9.0; q], ChainRng::new(q as u64));
        let n = 40_000;
        for _ in 0..n {
            unit.sample(&theta, &field, &mut x, &mut chain);
            counts[values.iter().position(|v| *v == x).expect("counts of the right sum")] += 1.0;
        }
        for (count, l) in counts.iter().zip(&log_p) {
            let p = l.exp() / z;
            let off = (count / n as f64 - p).abs();
            assert!(
                off <= 5.0 * (p * (1.0 - p) / n as f64).sqrt() + 5.0 / n as f64,
                "{q} {d}: {count} of {n}, p = {p}"
            );
        }
    }
}
#[test]
fn without_a_total_it_is_a_softmax_unit_and_extreme_fields_are_finite() {
    let (one, two) = (Multinomial { q: 3 }, Softmax { q: 3 });
    let field = [0.3, -1.0, 2.0];
    assert_eq!(one.log_partition(&[], &field), two.log_partition(&[], &field));
    let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
    one.mean(&[], &field, &mut a);
    two.mean(&[], &field, &mut b);
    assert_eq!(a, b);
    let extreme = [1e30, -1e30, 0.0];
    one.mean(&[7.0], &extreme, &mut a);
    assert_eq!(a, [7.0, 0.0, 0.0]);
    one.mode(&[7.0], &extreme, &mut a);
    assert_eq!(a, [7.0, 0.0, 0.0]);
    one.sample(&[7.0], &extreme, &mut a, &mut ChainRng::new(1));
    assert_eq!(a, [7.0, 0.0, 0.0]);
    one.field_of_mean(&[4.0], &[1.0, 2.0, 1.0], &mut a);
    let mut back = [0.0; 3];
    one.mean(&[4.0], &a, &mut back);
    [1.0, 2.0, 1.0].iter().zip(back).for_each(|(m, b)| cases::close(b.into(), *m, 1.0, "mean of its field"));
}

fn model(seed: u64) -> ReplicatedSoftmax {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut model = ReplicatedSoftmax::new(3, (4, Bernoulli));
    model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0)));
    model
}
/// As many softmax units as words; hidden biases `D c`.
fn untied(model: &ReplicatedSoftmax, d: usize) -> Rbm {
    let (words, w) = (model.n_words(), model.weights());
    let mut rbm = Rbm::new((words * d, Softmax { q: words }), (model.n_hidden(), Bernoulli));
    rbm.update(&mut |p| {
        for word in 0..d {
            p.mat_mut(0).columns_mut(word * words, words).copy_from(&w);
            p.slice_mut(1)[word * words..][..words].copy_from_slice(model.params().slice(1));
        }
        p.slice_mut(2).iter_mut().zip(model.params().slice(2)).for_each(|(c, own)| *c = d as f32 * own);
    });
    rbm
}
#[test]
fn for_one_length_it_is_an_rbm_with_tied_weights() {
    for (seed, d) in [(1, 1), (2, 3), (3, 5)] {
        let model = model(seed);
        let (rbm, given) = (untied(&model, d), [d as f32]);
        let at_length = Conditioned::new(&model, &given).unwrap();
        let orders = libm::lgamma(d as f64 + 1.0);
        let expected = exact_log_partition(&rbm).unwrap();
        cases::close(exact_log_partition(&at_length).unwrap() + orders, expected, 20.0, "log Z");
        for counts in compositions(3, d) {
            // The words in some order, each a softmax unit.
            let words = (0..3).flat_map(|k| std::iter::repeat_n(k, counts[k] as usize));
            let sequence: Vec<f32> = words.flat_map(|w| (0..3).map(move |k| f32::from(k == w))).collect();
            let free = rbm.free_energy(Mat::from_vec(3 * d, 1, sequence.clone()).as_view()).unwrap()[0];
            let document = Mat::from_vec(4, 1, [vec![d as f32], counts.clone()].concat());
            let mut own = [0.0];
            model.energy_without(&[ReplicatedSoftmax::HIDDEN], document.as_view(), &mut own);
            // -F of the counts is that of one order, and 1/Πv! for it.
            let log_orders = ReplicatedSoftmax::log_orders(&counts);
            cases::close(own[0] + orders, free + orders + (orders - log_orders), 20.0, "free energy");
            let mean = model.hidden_mean(document.as_view()).unwrap();
            let other = rbm.hidden_mean(Mat::from_vec(3 * d, 1, sequence).as_view()).unwrap();
            mean.iter().zip(other.iter()).for_each(|(a, b)| cases::close((*a).into(), (*b).into(), 3.0, "E[h | v]"));
        }
    }
}
/// States of three counts of this sum and four bits, with their probabilities.
fn exact_draws<M: Energy>(model: &M, total: usize, seed: u64) -> Mat {
    let states: Vec<Vec<f32>> = compositions(3, total)
        .into_iter()
        .flat_map(|v| (0..16).map(move |h| [v.clone(), (0..4).map(|j| (h >> j & 1) as f32).collect()].concat()))
        .collect();
    let all = Mat::from_fn(7, states.len(), |i, j| states[j][i]);
    let mut energies = vec![0.0; states.len()];
    model.energy(all.as_view(), &mut energies);
    let p: Vec<f64> = energies.iter().map(|e| (-e).exp()).collect();
    let p: Vec<f64> = p.iter().map(|q| q / p.iter().sum::<f64>()).collect();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let chosen: Vec<usize> = (0..20_000).map(|_| pick(&p, rng.random())).collect();
    all.select_columns(&chosen)
}
#[test]
fn it_keeps_the_laws() {
    for seed in 0..3 {
        let (mut model, given) = (model(seed), [4.0]);
        let mut verdicts = vec![
            laws::field(&model, seed),
            laws::gradient(&mut model, seed),
            laws::expected_gradient(&mut model, seed),
        ];
        let at_length = Conditioned::new(&model, &given).unwrap();
        let draws = exact_draws(&at_length, 4, seed);
        let kernels = [BlockGibbs::new(1), BlockGibbs::backward(1)];
        verdicts.extend(kernels.map(|k| laws::no_drift_from(&at_length, &k, draws.clone(), seed)));
        let mut reals = ReplicatedSoftmax::new(3, (2, LogPrecision));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        reals.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|x| *x = rng.random_range(-0.5..0.5)));
        verdicts.extend([laws::gradient(&mut reals, seed), laws::expected_gradient(&mut reals, seed)]);
        for verdict in verdicts {
            verdict.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
    }
}
/// Documents of several lengths in one matrix: lengths stay, and the counts have them as their sums.
#[test]
fn sampling_keeps_the_lengths() {
    let model = model(1);
    let documents = Mat::from_fn(4, 50, |i, j| if i < 2 { (j % 9) as f32 } else { 0.0 });
    let mut chains = Chains::at_visible(&model, documents.as_view(), 3).unwrap();
    chains.advance(&BlockGibbs::new(5), &model);
    for (j, x) in chains.states.x().column_iter().enumerate() {
        assert_eq!((x[0], x.rows(1, 3).sum()), ((j % 9) as f32, (j % 9) as f32));
    }
}
#[test]
fn annealing_finds_its_log_partition() {
    let (model, given) = (model(5), [6.0]);
    let at_length = Conditioned::new(&model, &given).unwrap();
    let exact = exact_log_partition(&at_length).unwrap();
    let base = base_rate(&at_length, &[2.0, 3.0, 1.0], 0.0).unwrap();
    let found = ais(&at_length, &base, &Ais { betas: Ais::linear(500), runs: 200, seed: 2 }).unwrap();
    assert!((found.value - exact).abs() < 4.0 * found.standard_error.max(1e-3), "{found:?}, exactly {exact}");
    assert!(found.standard_error < 0.05);
}
/// Contrastive divergence on documents of many lengths comes near the distribution that they were drawn from.
#[test]
fn it_learns() {
    use harmonium::optim::{Schedule, Sgd};
    use harmonium::train::{Fit, Run, Silent};
    let truth = model(8);
    let lengths = Mat::from_fn(4, 3000, |i, j| if i < 2 { (3 + j % 10) as f32 } else { 0.0 });
    let mut chains = Chains::at_visible(&truth, lengths.as_view(), 3).unwrap();
    chains.advance(&BlockGibbs::new(100), &truth);
    let documents = chains.states.x().rows(0, 4).clone_owned();
    let mut learned = ReplicatedSoftmax::new(3, (4, Bernoulli));
    let mean = harmonium::eval::mean_of(&documents).unwrap();
    learned.initialise(&mean, 0.0, 1).unwrap();
    let log_p = |m: &ReplicatedSoftmax| {
        let log_z: Vec<f64> =
            (0..13).map(|d| exact_log_partition(&Conditioned::new(m, &[d as f32]).unwrap()).unwrap()).collect();
        let mut free = vec![0.0; 3000];
        m.energy_without(&[0], documents.as_view(), &mut free);
        let one = |(j, f): (usize, &f64)| -f - log_z[documents[(0, j)] as usize];
        free.iter().enumerate().map(one).sum::<f64>() / 3000.0
    };
    let (before, best) = (log_p(&learned), log_p(&truth));
    let fit = Fit {
        epochs: 60,
        batch: 50,
        learning_rate: Schedule::Linear { from: 0.02, to: 0.0, steps: 3600 },
        ..Fit::default()
    };
    fit.run(&mut Run::new(&mut learned, &mut Contrastive::cd(5, 1), &mut Sgd::default(), &mut Silent), &documents)
        .unwrap();
    let after = log_p(&learned);
    assert!(best - after < 0.25 * (best - before), "{before} → {after}, the truth {best}");
}
