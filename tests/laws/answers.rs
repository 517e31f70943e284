//! Losses of energies of answers: slopes against differences, margins, and which of them collapse where the architecture lets them.

use crate::neighbours::{gradient, random};
use harmonium::models::Boltzmann;
use harmonium::models::neural::{Activation, ImplicitRegression, Predictor};
use harmonium::objectives::{AnswerLoss, Answers, Objective};
use harmonium::units::{Bernoulli, Gaussian, Real, Softmax};
use harmonium::{Batch, ChainRng, Error, Learn, Mask, Mat, Train, laws};
use rand::RngExt;
use std::sync::Arc;

const M: f64 = 1.0;
const LOSSES: [AnswerLoss; 10] = [
    AnswerLoss::Energy,
    AnswerLoss::Perceptron,
    AnswerLoss::Lvq2 { most: 2.0 },
    AnswerLoss::Hinge { margin: M },
    AnswerLoss::Log,
    AnswerLoss::Mce,
    AnswerLoss::SquareSquare { margin: M },
    AnswerLoss::SquareExponential { weight: 1.0 },
    AnswerLoss::Likelihood { beta: 1.5 },
    AnswerLoss::Mee { beta: 1.5 },
];
/// The first three have no margin, or one of 0.
const WITHOUT_MARGIN: usize = 3;

/// The table of the tutorial, word for word.
fn table(loss: AnswerLoss, e: &[f64], correct: usize, may_offend: &dyn Fn(usize) -> bool) -> f64 {
    let own = e[correct];
    let least = e.iter().fold(f64::INFINITY, |m, e| m.min(*e));
    let others = (0..e.len()).filter(|k| *k != correct && may_offend(*k));
    let other = others.map(|k| e[k]).fold(f64::INFINITY, f64::min);
    let sum = |beta: f64| e.iter().map(|e| (-beta * e).exp()).sum::<f64>();
    match loss {
        AnswerLoss::Energy => own,
        AnswerLoss::Perceptron => own - least,
        AnswerLoss::Hinge { margin } => (margin + own - other).max(0.0),
        AnswerLoss::Log => (1.0 + (own - other).exp()).ln(),
        AnswerLoss::Lvq2 { most } => most.min((own - other).max(0.0)),
        AnswerLoss::Mce => 1.0 / (1.0 + (-(own - other)).exp()),
        AnswerLoss::SquareSquare { margin } => own.powi(2) + (margin - other).max(0.0).powi(2),
        AnswerLoss::SquareExponential { weight } => own.powi(2) + weight * (-other).exp(),
        AnswerLoss::Likelihood { beta } => own + sum(beta).ln() / beta,
        AnswerLoss::Mee { beta } => 1.0 - (-beta * own).exp() / sum(beta),
    }
}
#[test]
fn losses_are_those_of_the_table_and_slopes_their_differences() {
    let mut rng = ChainRng::new(1);
    let mut moved = [0; 10];
    for n in 0..200 {
        let energies: Vec<f64> = (0..5).map(|_| 3.0 * rng.random::<f64>() - 0.5).collect();
        let (correct, near) = (n % 5, (n + 1) % 5);
        let may_offend = |k: usize| n % 2 == 0 || k != near;
        for (l, loss) in LOSSES.into_iter().enumerate() {
            let mut slopes = [f64::NAN; 5];
            let got = loss.judge(&energies, correct, may_offend, &mut slopes);
            let expected = table(loss, &energies, correct, &may_offend);
            assert!((got - expected).abs() < 1e-12, "{loss:?}: {got}, not {expected}");
            for (k, slope) in slopes.iter().enumerate() {
                let at = |by: f64| {
                    let mut there = energies.clone();
                    there[k] += by;
                    table(loss, &there, correct, &may_offend)
                };
                // Random energies are no nearer to a kink than this.
                let difference = (at(1e-7) - at(-1e-7)) / 2e-7;
                assert!((slope - difference).abs() < 1e-6, "{loss:?}, {k}: {slope}, not {difference}");
                moved[l] += usize::from(*slope < 0.0);
            }
        }
    }
    // Every loss but that of the energy alone pushes something up.
    assert!(moved[0] == 0 && moved[1..].iter().all(|n| *n > 20), "{moved:?}");
    let mut slopes = [0.0; 3];
    let far = AnswerLoss::Likelihood { beta: 1.0 }.judge(&[2000.0, 0.0, 900.0], 0, |_| true, &mut slopes);
    assert!((far - 2000.0).abs() < 1e-9 && slopes == [1.0, -1.0, 0.0], "{far} {slopes:?}");
    let alone = AnswerLoss::Hinge { margin: 1.0 }.judge(&[1.0, 0.0], 0, |_| false, &mut slopes[..2]);
    assert!(alone == 0.0 && slopes[..2] == [0.0; 2], "nobody offends");
}
/// Where all energies are the same, what has a margin drives the correct answer and others apart, and what has none is content. What has
/// a margin `m` is at rest from there on.
#[test]
fn margins_are_those_of_the_table() {
    for (l, loss) in LOSSES.into_iter().enumerate() {
        // The slope by the energy of the most offending answer.
        let apart = |own: f64, other: f64| {
            let mut slopes = [0.0; 3];
            loss.judge(&[own, other, other + 5.0], 0, |_| true, &mut slopes);
            slopes[1]
        };
        let flat = apart(0.5, 0.5);
        assert_eq!(flat < 0.0, l >= WITHOUT_MARGIN, "{loss:?}: {flat}");
        if let AnswerLoss::Hinge { margin } = loss {
            assert!(apart(0.5, 0.5 + 0.99 * margin) < 0.0 && apart(0.5, 0.5 + margin) == 0.0);
        }
        if let AnswerLoss::SquareSquare { margin } = loss {
            assert!(apart(0.0, 0.99 * margin) < 0.0 && apart(0.0, margin) == 0.0);
        }
    }
}
fn implicit(seed: u64) -> ImplicitRegression {
    let hidden = [(12, Activation::Tanh)];
    let classes = (4, Arc::new(Softmax { q: 4 }) as _);
    let mut model = ImplicitRegression::new((2, &hidden), (classes, &hidden), 3);
    model.initialise(seed);
    model
}
#[test]
fn implicit_regression_keeps_the_laws_of_models() {
    let real = |seed: u64| {
        let hidden = [(5, Activation::Tanh), (4, Activation::Silu)];
        let mut model = ImplicitRegression::new((3, &hidden), ((2, Arc::new(Real)), &hidden[..1]), 3);
        model.initialise(seed);
        model
    };
    for seed in 0..2 {
        for verdict in [
            laws::gradient(&mut real(seed), seed),
            laws::score(&real(seed), seed),
            laws::gradient(&mut implicit(seed), seed),
            laws::score(&implicit(seed), seed),
        ] {
            assert!(verdict.unwrap_or_else(|broken| panic!("{broken}")).checks > 0);
        }
    }
}
#[test]
fn answers_keep_the_law_of_objectives() {
    let (model, x) = (implicit(1), noisy_classes().0);
    for loss in LOSSES {
        let make = || Answers::new(Mat::identity(4, 4), loss);
        let verdicts = [
            laws::objective(&model, make, x.as_view()),
            laws::threads("answers", || gradient(&mut make(), &model, &x, &[1.0; 16]).0),
        ];
        verdicts.into_iter().for_each(|v| assert!(v.unwrap_or_else(|b| panic!("{loss:?}: {b}")).checks > 0));
    }
}
/// With `β = 1` the likelihood of answers is that of a predictor's classes.
#[test]
fn the_likelihood_of_answers_is_that_of_classes() {
    let mut net = Predictor::new(2, &[(6, Activation::Tanh)], &[(4, Arc::new(Softmax { q: 4 }))]);
    net.network_mut().initialise(1);
    let (x, weights) = noisy_classes();
    let mut answers = Answers::new(Mat::identity(4, 4), AnswerLoss::Likelihood { beta: 1.0 });
    let (grad, loss) = gradient(&mut answers, &net, &x, &weights);
    let mut supervised = harmonium::objectives::Supervised::new(1);
    let (expected, same) = gradient(&mut supervised, &net, &x, &weights);
    assert!((loss - same).abs() < 1e-6, "{loss} {same}");
    grad.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
}
/// Reals are rounded to the grid, those near the correct one pass, and pieces add up.
#[test]
fn reals_are_answered_on_a_grid() {
    let hidden = [(5, Activation::Tanh)];
    let mut model = ImplicitRegression::new((1, &hidden), ((1, Arc::new(Real)), &hidden), 2);
    model.initialise(3);
    let grid = Mat::from_fn(1, 101, |_, k| k as f32 * 0.02 - 1.0);
    let x = Mat::from_fn(2, 90, |i, j| ((3 * i + 7 * j) as f32).sin());
    for loss in LOSSES {
        let make = || Answers::new(grid.clone(), loss).tolerant(0.1);
        let (together, cost) = gradient(&mut make(), &model, &x, &[1.0; 90]);
        let (mut sum, mut costs) = (vec![0.0; together.len()], 0.0);
        let energies = make().energies(&model, x.as_view()).unwrap();
        for (j, own) in energies.iter().enumerate() {
            let correct = ((f64::from(x[(1, j)]) + 1.0) / 0.02).round() as usize;
            let far = |k: usize| k.abs_diff(correct) > 5;
            costs += table(loss, own, correct, &far) / 90.0;
            let (grad, _) = gradient(&mut make(), &model, &x.columns(j, 1).clone_owned(), &[1.0]);
            sum.iter_mut().zip(grad).for_each(|(s, g)| *s += f64::from(g) / 90.0);
        }
        assert!((cost - costs).abs() < 1e-5 * (1.0 + costs), "{loss:?}: {cost}, not {costs}");
        sum.iter().zip(&together).for_each(|(s, g)| assert!((s - f64::from(*g)).abs() < 1e-5, "{loss:?}: {s} {g}"));
    }
}

/// Four inputs, and four classes of each: its own with probability 0.7, others with 0.1. Only energies that are the same for all answers
/// have no energy at all answers that occur.
fn noisy_classes() -> (Mat, Vec<f32>) {
    let corner = |k: usize| [if k & 1 == 1 { 1.0 } else { -1.0 }, if k & 2 == 2 { 1.0 } else { -1.0 }];
    let x = Mat::from_fn(6, 16, |i, j| match i {
        0 | 1 => corner(j / 4)[i],
        _ => f32::from(u8::from(i - 2 == j % 4)),
    });
    (x, (0..16).map(|j| if j / 4 == j % 4 { 0.7 } else { 0.1 }).collect())
}
/// Descends; parameters from `free` on stay where they are.
fn train(model: &mut ImplicitRegression, objective: &mut Answers, (x, weights): (&Mat, &[f32]), free: usize) {
    let mut velocity = vec![0.0; free];
    for _ in 0..2000 {
        let (grad, _) = gradient(objective, model, x, weights);
        velocity.iter_mut().zip(&grad).for_each(|(v, g)| *v = 0.9 * *v - 0.02 * g);
        model.update(&mut |p| p.as_mut_slice().iter_mut().zip(&velocity).for_each(|(p, v)| *p += v));
    }
}
/// How far apart the highest and the lowest energy of answers are, averaged over inputs; and by how much the energy of the own class is
/// below all others, at least.
fn spread(model: &ImplicitRegression, objective: &Answers, x: &Mat) -> (f64, f64) {
    let energies = objective.energies(model, x.select_columns(&[0, 4, 8, 12]).as_view()).unwrap();
    let width = |e: &Vec<f64>| e.iter().fold(0f64, |m, e| m.max(*e)) - e.iter().fold(f64::INFINITY, |m, e| m.min(*e));
    let gap =
        |(k, e): (usize, &Vec<f64>)| (0..4).filter(|l| *l != k).map(|l| e[l]).fold(f64::INFINITY, f64::min) - e[k];
    let gaps = energies.iter().enumerate().map(gap).fold(f64::INFINITY, f64::min);
    (energies.iter().map(width).sum::<f64>() / 4.0, gaps)
}
#[test]
fn implicit_regression_collapses_by_losses_without_margin_alone() {
    let (x, weights) = noisy_classes();
    for (l, loss) in LOSSES.into_iter().enumerate() {
        let (mut model, mut objective) = (implicit(1), Answers::new(Mat::identity(4, 4), loss));
        let (before, _) = spread(&model, &objective, &x);
        let free = model.params().as_slice().len();
        train(&mut model, &mut objective, (&x, &weights), free);
        let (after, gap) = spread(&model, &objective, &x);
        println!(
            "{loss:?}: energies of answers spread over {before:.3}, then {after:.4}; the right one is {gap:.4} below"
        );
        if l < WITHOUT_MARGIN {
            assert!(after < 0.05 * before, "{loss:?} does not collapse: {before}, then {after}");
        } else {
            assert!(gap > 0.2, "{loss:?} collapses: {gap}");
        }
        // Classes of 0.7 and 0.1 are log 7 apart at `β = 1`; a hinge is content with its margin.
        match loss {
            AnswerLoss::Likelihood { beta } => assert!((gap - 7f64.ln() / beta).abs() < 0.02, "{gap}"),
            AnswerLoss::Hinge { margin } => assert!(gap > 0.9 * margin, "{gap}"),
            _ => (),
        }
    }
}
/// With an answer that is its own code, `E = ½‖G₁(u) - y‖²`, the loss of the energy is the squared error: no collapse is possible.
#[test]
fn plain_regression_does_not_collapse_by_the_loss_of_the_energy() {
    let hidden = [(12, Activation::Tanh)];
    let mut model = ImplicitRegression::new((2, &hidden), ((4, Arc::new(Gaussian)), &[]), 4);
    model.initialise(1);
    let free = model.of_inputs().params().as_slice().len();
    model.update(&mut |p| {
        let slot = p.slots().len() - 2;
        p.mat_mut(slot).fill_with_identity();
    });
    let ((x, weights), mut objective) = (noisy_classes(), Answers::new(Mat::identity(4, 4), AnswerLoss::Energy));
    train(&mut model, &mut objective, (&x, &weights), free);
    let (width, gap) = spread(&model, &objective, &x);
    println!("plain regression: {width:.3}, {gap:.3}");
    // G₁ are the probabilities 0.7, 0.1, 0.1, 0.1, so that energies are G₁ₖ apart.
    assert!((gap - 0.6).abs() < 0.05 && (width - 0.6).abs() < 0.05, "{width} {gap}");
}

fn ask<M: Learn>(model: &M, objective: &mut Answers, x: &Mat, missing: Option<&Mask>) -> Error {
    let batch = Batch { x: x.as_view(), weights: &[1.0; 16], missing: missing.map(|m| m.as_view()), step: 0 };
    objective.gradient(model, &batch, &mut model.params().zeros_like()).unwrap_err()
}
#[test]
fn answers_that_make_no_sense_are_refused() {
    let (model, (x, _)) = (implicit(1), noisy_classes());
    let with = |answers: Mat, loss: AnswerLoss| Answers::new(answers, loss);
    let classes = || with(Mat::identity(4, 4), AnswerLoss::Log);
    let latent = random(Boltzmann::semi_restricted((6, Bernoulli), (2, Bernoulli)), 0.1, 1);
    assert!(matches!(ask(&latent, &mut classes(), &x, None), Error::Intractable { .. }));
    let gaps = Mask::from_fn(6, 16, |i, j| i == j);
    for error in [
        ask(&model, &mut classes(), &x.rows(0, 5).clone_owned(), None),
        ask(&model, &mut with(Mat::zeros(5, 3), AnswerLoss::Log), &x, None),
        ask(&model, &mut with(Mat::zeros(0, 3), AnswerLoss::Log), &x, None),
    ] {
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    for error in [
        ask(&model, &mut classes(), &x, Some(&gaps)),
        ask(&model, &mut classes().tolerant(-1.0), &x, None),
        ask(&model, &mut with(Mat::zeros(4, 1), AnswerLoss::Log), &x, None),
        ask(&model, &mut with(Mat::identity(4, 4), AnswerLoss::Hinge { margin: 0.0 }), &x, None),
        ask(&model, &mut with(Mat::identity(4, 4), AnswerLoss::Likelihood { beta: f64::NAN }), &x, None),
    ] {
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }
    assert!(classes().energies(&model, x.rows(0, 3).clone_owned().as_view()).is_err());
}
