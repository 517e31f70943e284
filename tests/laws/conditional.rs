//! Models with given rows: the conditional RBM, held against the RBM that it is at one input.

use crate::cases;
use crate::kinds::ranges;
use harmonium::eval::{Ais, LogPartition, ais, exact_log_partition, log_likelihood};
use harmonium::laws;
use harmonium::models::{ConditionalRbm, Rbm};
use harmonium::objectives::Contrastive;
use harmonium::optim::{Schedule, Sgd};
use harmonium::samplers::BlockGibbs;
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::Bernoulli;
use harmonium::{Chains, Conditioned, Energy, Gibbs, Learn, Mat, Train};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const INPUTS: usize = 3;

/// Conditional machines over several kinds of units, with random parameters.
fn machines(seed: u64) -> Vec<ConditionalRbm> {
    let plain = cases::bernoulli(4, 3, seed);
    let conditional = |machine: Rbm| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed + 7);
        let mut model = ConditionalRbm::new(INPUTS, machine);
        model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|x| *x = rng.random_range(-0.6..0.6)));
        model
    };
    ranges(seed).into_iter().chain([plain]).map(conditional).collect()
}
/// The RBM that it is at this input: `b + Au`, `c + Bu`.
fn at(model: &ConditionalRbm, u: &[f32]) -> Rbm {
    let mut machine = model.machine().clone();
    let u = Mat::from_column_slice(INPUTS, 1, u);
    let [to_hidden, to_visible] = [5, 6].map(|k| model.params().mat(k) * &u);
    machine.update(&mut |p| {
        p.slice_mut(1).iter_mut().zip(to_visible.iter()).for_each(|(b, a)| *b += a);
        p.slice_mut(2).iter_mut().zip(to_hidden.iter()).for_each(|(c, a)| *c += a);
    });
    machine
}

#[test]
fn it_is_an_rbm_whose_biases_the_inputs_shift() {
    let u = [0.5, -1.0, 2.0];
    for model in machines(3) {
        let (plain, given) = (at(&model, &u), Conditioned::new(&model, &u).unwrap());
        let x = laws::exact_draws(&plain, 40, 1).unwrap();
        let (mut expected, mut got) = ([0.0; 40], [0.0; 40]);
        plain.energy(x.as_view(), &mut expected);
        given.energy(x.as_view(), &mut got);
        got.iter().zip(expected).for_each(|(g, e)| cases::close(*g, e, 20.0, "energy"));
        for block in plain.blocks() {
            let (mut expected, mut got) = (Mat::zeros(block.rows.len(), 40), Mat::zeros(block.rows.len(), 40));
            plain.field(block.rows.clone(), x.as_view(), expected.as_view_mut());
            given.field(block.rows.clone(), x.as_view(), got.as_view_mut());
            got.iter().zip(expected.iter()).for_each(|(g, e)| cases::close((*g).into(), (*e).into(), 5.0, "field"));
        }
        let exact = exact_log_partition(&given).unwrap();
        cases::close(exact, exact_log_partition(&plain).unwrap(), 10.0, "log Z");
        assert!(exact_log_partition(&model).is_err(), "log Z depends on the input");
        let v = x.rows(0, plain.n_visible()).clone_owned();
        if let Ok(expected) = log_likelihood(&plain, &v, &LogPartition::exact(exact)) {
            let got = log_likelihood(&given, &v, &LogPartition::exact(exact)).unwrap();
            cases::close(got.value, expected.value, 10.0, "log-likelihood");
        }
    }
}
#[test]
fn conditional_machines_keep_the_laws() {
    for seed in 0..3 {
        for mut model in machines(seed) {
            let mut verdicts = vec![
                laws::field(&model, seed),
                laws::marginal(&model, seed),
                laws::gradient(&mut model, seed),
                laws::expected_gradient(&mut model, seed),
                laws::frozen(&model, &BlockGibbs::new(1), seed),
                laws::chains_threads(&model, &BlockGibbs::new(1), seed),
            ];
            let given = Conditioned::new(&model, &[0.5, -1.0, 1.0]).unwrap();
            verdicts.extend([
                laws::field(&given, seed),
                laws::marginal(&given, seed),
                laws::partition(&given, seed),
                laws::no_drift(&given, &BlockGibbs::new(1), seed),
            ]);
            for verdict in verdicts {
                verdict.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            }
        }
    }
}
/// Gibbs sampling of states that have their inputs with them, and of the model at that input, are the same draws.
#[test]
fn states_bring_their_inputs() {
    let u = [1.0, 0.5, -0.5];
    for model in machines(2) {
        let given = Conditioned::new(&model, &u).unwrap();
        let start = laws::exact_draws(&at(&model, &u), 30, 2).unwrap();
        let with_inputs =
            Mat::from_fn(INPUTS + start.nrows(), 30, |i, j| if i < INPUTS { u[i] } else { start[(i - INPUTS, j)] });
        let (mut whole, mut part) = (Chains::new(with_inputs, 9), Chains::new(start, 9));
        whole.advance(&BlockGibbs::new(3), &model);
        part.advance(&BlockGibbs::new(3), &given);
        assert_eq!(whole.states.x().rows(INPUTS, part.states.x().nrows()), part.states.x());
        assert!(whole.states.x().column_iter().all(|x| x.as_slice()[..INPUTS] == u));
    }
}
#[test]
fn what_needs_one_log_partition_refuses_models_with_inputs() {
    let model = &machines(1)[3];
    let base = vec![0.0; model.n_rows()];
    let e = ais(model, &base, &Ais { betas: Ais::linear(5), runs: 5, seed: 1 }).unwrap_err();
    assert!(e.to_string().contains("Conditioned"), "{e}");
    assert!(Contrastive::exact(model).is_err());
    let e = log_likelihood(model, &Mat::zeros(7, 3), &LogPartition::exact(0.0)).unwrap_err();
    assert!(e.to_string().contains("Conditioned"), "{e}");
    assert!(Conditioned::new(model, &[0.0]).is_err());
}

/// For every input two answers, a pattern and its opposite, each bit of which is wrong with probability 0.05: no prediction by the
/// mean can tell them, for every bit is on in half the answers. The machine's likelihood comes near the true one.
#[test]
fn two_answers_are_learned() {
    const WRONG: f64 = 0.05;
    let pattern = |u: usize, i: usize| [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]][u][i] == 1;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    let data = Mat::from_columns(
        &(0..4000)
            .map(|n| {
                let (u, opposite) = (n % 4, rng.random::<bool>());
                let bits = (0..4).map(|i| f32::from(pattern(u, i) ^ opposite ^ rng.random_bool(WRONG)));
                let inputs = [f32::from(u & 1 == 1), f32::from(u & 2 == 2)];
                nalgebra::DVector::from_iterator(6, inputs.into_iter().chain(bits.collect::<Vec<_>>()))
            })
            .collect::<Vec<_>>(),
    );
    let mut model = ConditionalRbm::new(2, Rbm::new((4, Bernoulli), (12, Bernoulli)));
    model.initialise(&[0.5; 4], 0.0, 1).unwrap();
    let learning_rate = Schedule::Linear { from: 0.3, to: 0.0, steps: 8000 };
    let fit = Fit { epochs: 100, batch: 50, learning_rate, seed: 1, ..Fit::default() };
    let mut cd = Contrastive::cd(5, 1);
    fit.run(&mut Run::new(&mut model, &mut cd, &mut Sgd::default(), &mut Silent), &data).unwrap();
    let (mut found, mut best) = (0.0, 0.0);
    for u in 0..4 {
        let inputs = [f32::from(u & 1 == 1), f32::from(u & 2 == 2)];
        let given = Conditioned::new(&model, &inputs).unwrap();
        let log_z = LogPartition::exact(exact_log_partition(&given).unwrap());
        for answer in 0..16 {
            let y = Mat::from_fn(4, 1, |i, _| f32::from(answer >> i & 1 == 1));
            let wrong = (0..4).filter(|&i| pattern(u, i) != (y[i] == 1.0)).count() as i32;
            let noise = |wrong: i32| WRONG.powi(wrong) * (1.0 - WRONG).powi(4 - wrong);
            let p = 0.5 * (noise(wrong) + noise(4 - wrong));
            found += 0.25 * p * log_likelihood(&given, &y, &log_z).unwrap().value;
            best += 0.25 * p * p.ln();
        }
    }
    // Independent bits reach -4 log 2 = -2.77.
    assert!(found > best - 0.15, "{found} nats an answer, of at best {best}");
}
