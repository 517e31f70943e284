//! Replay buffers, the energies of both phases, and joint learning.

use harmonium::models::neural::{Activation, JointEnergy, NeuralEnergy};
use harmonium::models::{Boltzmann, Rbm};
use harmonium::objectives::{Contrastive, Energies, JointLearning, Negative, Noise, Objective, Replay};
use harmonium::optim::Schedule;
use harmonium::samplers::{BlockGibbs, Kernel, Moves};
use harmonium::units::{Bernoulli, Gaussian, Spin};
use harmonium::{Batch, Energy, Error, Learn, Mat, Resume, Saved, Slab, States, Streams, Train, laws};
use std::sync::Arc;

fn machine() -> Boltzmann {
    let mut machine = Boltzmann::new((5, Spin));
    machine.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v = 0.2 * (i as f32).cos()));
    machine
}
fn replay(machine: &Boltzmann, sizes: [usize; 2]) -> Replay<BlockGibbs> {
    Replay::new(machine, BlockGibbs::new(1), Noise::BaseRate(vec![0.0; 5]), sizes, 7).unwrap()
}
fn spins(n: usize) -> Mat {
    Mat::from_fn(5, n, |i, j| if (i * 7 + j * 3) % 5 < 2 { 1.0 } else { -1.0 })
}
fn batch<'a>(x: &'a Mat, weights: &'a [f32], step: u64) -> Batch<'a> {
    Batch { x: x.as_view(), weights, missing: None, step }
}

/// Adds one to everything: who was moved is told by how often.
struct Count;
impl<M: ?Sized> Kernel<M> for Count {
    fn advance(&self, _: &M, slab: &mut Slab<'_>, _: &mut Streams<'_>) -> Moves {
        slab.x_mut().iter_mut().for_each(|x| *x += 1.0);
        Moves::all(slab.ncols() as u64)
    }
}
#[test]
fn chains_take_turns_each_at_most_once_and_are_put_back() {
    let (machine, x) = (machine(), spins(8));
    let start = Noise::Uniform(0.0..=0.0);
    let mut replay = Replay::new(&machine, Count, start, [40, 10], 3).unwrap().restarting(0.0).unwrap();
    replay.k = Schedule::Constant(2.0);
    for step in 0..60u64 {
        let before = replay.buffer().clone_owned();
        let (data, batch) = (States::new(x.clone()), batch(&x, &[1.0; 8], step));
        let moved = replay.draw(&machine, &data, &batch).unwrap();
        assert_eq!((moved.states.ncols(), moved.moves.proposed), (10, 20));
        let steps: Vec<f32> = (replay.buffer() - before).row(0).iter().copied().collect();
        assert!(steps.iter().all(|s| *s == 0.0 || *s == 2.0) && steps.iter().filter(|s| **s == 2.0).count() == 10);
    }
    // 60 updates of a quarter of them: each was moved 15 times on average, with a binomial deviation of 3.4.
    let turns: Vec<f32> = replay.buffer().row(0).iter().map(|t| t / 2.0).collect();
    assert!(turns.iter().sum::<f32>() == 600.0 && turns.iter().all(|t| (1.0..33.0).contains(t)), "{turns:?}");
}
#[test]
fn the_share_starts_anew_from_noise() {
    let (machine, x) = (machine(), spins(8));
    let anew = |share: f32| {
        let mut replay = Replay::new(&machine, Count, Noise::Uniform(-8.0..=-4.0), [100, 100], 3).unwrap();
        replay = replay.restarting(share).unwrap();
        let mut young = 0;
        for step in 0..50 {
            replay.draw(&machine, &States::new(x.clone()), &batch(&x, &[1.0; 8], step)).unwrap();
            let age_one = |c: f32| (-7.0..=-3.0).contains(&c);
            if step >= 10 {
                young += replay.buffer().row(0).iter().filter(|c| age_one(**c)).count();
            }
        }
        young
    };
    assert_eq!((anew(0.0), anew(1.0)), (0, 4000));
    // Chains that started up to four updates ago can still be in that range: 0.2 of them start in each, 4,000 draws.
    let some = anew(0.2) as f64 / 4000.0;
    assert!((0.2..0.8).contains(&some), "{some}");
}
/// Chains that all start anew and then mix are independent draws of the model: the gradient is that of the likelihood.
#[test]
fn a_buffer_of_chains_that_mix_gives_the_gradient_of_the_likelihood() {
    let (mut machine, x) = (machine(), spins(16));
    let noise = Noise::BaseRate(vec![0.0; 5]);
    let mut replay = Replay::new(&machine, BlockGibbs::new(1), noise, [400, 200], 1).unwrap().restarting(1.0).unwrap();
    replay.k = Schedule::Constant(60.0);
    laws::exact_gradient(&mut machine, &mut Contrastive::new(replay).plain(), x.as_view(), 60).unwrap();
}
#[test]
fn objectives_with_a_buffer_obey_their_laws() {
    let machine = machine();
    laws::objective(&machine, || Contrastive::new(replay(&machine, [20, 10])), spins(8).as_view()).unwrap();
    laws::objective(
        &machine,
        || Contrastive::new(replay(&machine, [20, 20])).watched(Energies::penalised(0.1)),
        spins(8).as_view(),
    )
    .unwrap();
}
#[test]
fn buffers_that_cannot_be_are_refused() {
    let machine = machine();
    let new = |noise: Noise, sizes: [usize; 2]| Replay::new(&machine, Count, noise, sizes, 1);
    assert!(matches!(new(Noise::BaseRate(vec![0.0; 4]), [4, 2]), Err(Error::Shape { .. })));
    assert!(matches!(new(Noise::BaseRate(vec![f32::INFINITY; 5]), [4, 2]), Err(Error::Value { .. })));
    assert!(matches!(new(Noise::Uniform(1.0..=0.0), [4, 2]), Err(Error::Value { .. })));
    for sizes in [[4, 5], [4, 0]] {
        assert!(matches!(new(Noise::Uniform(0.0..=1.0), sizes), Err(Error::Value { .. })));
    }
    assert!(new(Noise::Uniform(0.0..=1.0), [4, 2]).unwrap().restarting(1.5).is_err());
    let given = NeuralEnergy::new(1, &[(2, Arc::new(Gaussian))], &[]);
    assert!(Replay::new(&given, Count, Noise::Uniform(0.0..=1.0), [4, 2], 1).is_err());
    // A buffer of another size is not that of the run.
    let mut saved = Saved::default();
    replay(&machine, [20, 10]).save(&mut saved);
    assert!(replay(&machine, [30, 10]).load(&saved).is_err());
}

/// The gap, and the derivative of `gap + α (⟨E²⟩ + ⟨E²⟩)` with the negative states held.
#[test]
fn energies_are_told_and_penalised() {
    let mut machine = machine();
    let x = spins(12);
    let weights: Vec<f32> = (0..12).map(|n| 1.0 + n as f32).collect();
    let objective = |penalty: f32| {
        let mut replay = Replay::new(&machine, BlockGibbs::new(0), Noise::BaseRate(vec![0.3; 5]), [9, 9], 5).unwrap();
        replay = replay.restarting(0.0).unwrap();
        Contrastive::new(replay).plain().watched(Energies::penalised(penalty))
    };
    let mut made = objective(0.1);
    let mut grad = machine.params().zeros_like();
    let report = made.gradient(&machine, &batch(&x, &weights, 0), &mut grad).unwrap();
    let negative = made.negative.buffer().clone_owned();
    let loss = |m: &Boltzmann| {
        let (mut data, mut model) = ([0.0; 12], [0.0; 9]);
        m.energy(x.as_view(), &mut data);
        m.energy(negative.as_view(), &mut model);
        let total: f32 = weights.iter().sum();
        let mean =
            |f: fn(f64) -> f64| data.iter().zip(&weights).map(|(e, w)| f64::from(w / total) * f(*e)).sum::<f64>();
        let of_model = |f: fn(f64) -> f64| model.iter().map(|e| f(*e)).sum::<f64>() / 9.0;
        let gap = mean(|e| e) - of_model(|e| e);
        (gap, gap + 0.1 * (mean(|e| e * e) + of_model(|e| e * e)))
    };
    assert!((report.gap.unwrap() - loss(&machine).0).abs() < 1e-5);
    let home = machine.params().as_slice().to_vec();
    let (offset, n) = (machine.params().slots()[1].offset, 5);
    // The biases: couplings are symmetric, and move in pairs.
    let biases = (0..machine.params().slots().len())
        .find(|k| machine.params().slots()[*k].role == harmonium::params::Role::Bias);
    let slot = &machine.params().slots()[biases.unwrap()];
    let (offset, n) = if slot.rows == n { (slot.offset, n) } else { (offset, n) };
    for k in offset..offset + n {
        let mut at = |h: f32| {
            machine.update(&mut |p| {
                p.as_mut_slice().copy_from_slice(&home);
                p.as_mut_slice()[k] += h;
            });
            loss(&machine).1
        };
        let slope = (at(0.125) - at(-0.125)) / 0.25;
        assert!(
            (f64::from(grad.as_slice()[k]) - slope).abs() < 1e-4 * (1.0 + slope.abs()),
            "{} instead of {slope}",
            grad.as_slice()[k]
        );
    }
}
#[test]
fn a_run_whose_energies_drift_apart_stops_with_the_reason() {
    let (machine, x) = (machine(), spins(8));
    let mut objective = Contrastive::new(replay(&machine, [20, 10])).watched(Energies::default().within(1e-9));
    let mut grad = machine.params().zeros_like();
    let stopped = objective.gradient(&machine, &batch(&x, &[1.0; 8], 3), &mut grad);
    assert!(matches!(&stopped, Err(Error::Diverged { step: 3, .. })), "{stopped:?}");
    assert!(stopped.unwrap_err().to_string().contains("nats apart"));
    let rbm = Rbm::new((5, Bernoulli), (2, Bernoulli));
    let mut latent = Contrastive::cd(1, 1).watched(Energies::default());
    let refused = latent.gradient(&rbm, &batch(&Mat::zeros(5, 8), &[1.0; 8], 0), &mut rbm.params().zeros_like());
    assert!(matches!(refused, Err(Error::Intractable { .. })));
    let mut wrong = Contrastive::new(replay(&machine, [20, 10])).watched(Energies::penalised(f32::NAN));
    assert!(wrong.gradient(&machine, &batch(&x, &[1.0; 8], 0), &mut grad).is_err());
}

fn classifier() -> JointEnergy {
    let mut model = JointEnergy::new(&[(3, Arc::new(Gaussian))], &[(6, Activation::Silu)], 4);
    model.initialise(&[], 1).unwrap();
    model.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v += 0.2 * (i as f32).cos()));
    model
}
/// Stays where it is: its chains are the buffer.
struct Still;
impl<M: ?Sized> Kernel<M> for Still {
    fn advance(&self, _: &M, slab: &mut Slab<'_>, _: &mut Streams<'_>) -> Moves {
        Moves::all(slab.ncols() as u64)
    }
}
fn joint_learning(model: &JointEnergy, generative: f32) -> JointLearning<Contrastive<Replay<Still>>> {
    let replay = Replay::new(model.marginal(), Still, Noise::Uniform(-1.0..=1.0), [10, 10], 1).unwrap();
    let mut objective = JointLearning::new(Contrastive::new(replay.restarting(0.0).unwrap()), 1);
    objective.generative = generative;
    objective
}
fn labelled(n: usize) -> Mat {
    Mat::from_fn(7, n, |i, j| if i < 3 { ((3 * i + 5 * j) as f32).sin() } else { f32::from(i - 3 == j % 4) })
}
#[test]
fn joint_learning_is_cross_entropy_and_the_energy_of_inputs() {
    let mut model = classifier();
    let x = labelled(12);
    let weights: Vec<f32> = (0..12).map(|n| 1.0 + n as f32).collect();
    let total: f32 = weights.iter().sum();
    for generative in [0.0, 0.7] {
        let mut objective = joint_learning(&model, generative);
        let mut grad = model.params().zeros_like();
        let report = objective.gradient(&model, &batch(&x, &weights, 0), &mut grad).unwrap();
        let negative = objective.inputs.negative.buffer().clone_owned();
        let loss = |m: &JointEnergy| {
            let (mut joint, mut free, mut of_chains) = ([0.0; 12], [0.0; 12], [0.0; 10]);
            m.energy(x.as_view(), &mut joint);
            m.marginal().energy(x.rows(0, 3), &mut free);
            m.marginal().energy(negative.as_view(), &mut of_chains);
            let mean = |e: &[f64]| e.iter().zip(&weights).map(|(e, w)| f64::from(w / total) * e).sum::<f64>();
            let cross_entropy = mean(&joint) - mean(&free);
            let gap = mean(&free) - of_chains.iter().sum::<f64>() / 10.0;
            (cross_entropy, cross_entropy + f64::from(generative) * gap)
        };
        assert!((report.loss.unwrap() - loss(&model).0).abs() < 1e-5);
        let home = model.params().as_slice().to_vec();
        for k in 0..home.len() {
            let mut at = |h: f32| {
                model.update(&mut |p| {
                    p.as_mut_slice().copy_from_slice(&home);
                    p.as_mut_slice()[k] += h;
                });
                loss(&model).1
            };
            let h = 1.0 / 32.0;
            let [a, b, c, d] = [-2.0 * h, -h, h, 2.0 * h].map(&mut at);
            let slope = (a - 8.0 * b + 8.0 * c - d) / (12.0 * f64::from(h));
            let got = grad.as_slice()[k];
            assert!((f64::from(got) - slope).abs() < 2e-4 * (1.0 + slope.abs()), "{got} instead of {slope}");
        }
        model.update(&mut |p| p.as_mut_slice().copy_from_slice(&home));
    }
}
#[test]
fn joint_learning_obeys_the_laws_of_objectives() {
    let model = classifier();
    laws::objective(&model, || joint_learning(&model, 0.5), labelled(8).as_view()).unwrap();
    let noisy = || {
        let mut objective = joint_learning(&model, 0.5);
        objective.noise = 0.3;
        objective
    };
    laws::objective(&model, noisy, labelled(8).as_view()).unwrap();
    let mut grad = model.params().zeros_like();
    let mut wrong = joint_learning(&model, f32::NAN);
    assert!(wrong.gradient(&model, &batch(&labelled(4), &[1.0; 4], 0), &mut grad).is_err());
    assert!(joint_learning(&model, 1.0).gradient(&model, &batch(&Mat::zeros(3, 4), &[1.0; 4], 0), &mut grad).is_err());
}
