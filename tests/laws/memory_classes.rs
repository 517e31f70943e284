//! Dense associative memories as classifiers: fields of labels against those of Gibbs sampling, what is learned against differences of
//! the loss in double precision.

use crate::cases::close;
use crate::memories::{INTERACTIONS, energies, kept, normals, plain, rng, spins};
use crate::reference::log_sum_exp;
use harmonium::laws;
use harmonium::models::{DenseMemory, Interaction};
use harmonium::objectives::{LabelLoss, MemoryClassification, Objective};
use harmonium::optim::{At, Normalised, Optimizer, Schedule};
use harmonium::train::{Fit, Run, Silent};
use harmonium::{Batch, Error, Gibbs, Learn, Mask, Mat};
use rand::RngExt;

/// Pixels within ±1 and one label on, of three.
fn labelled(samples: usize, seed: u64) -> Mat {
    let mut rng = rng(seed);
    let mut x = Mat::from_fn(9, samples, |_, _| rng.random_range(-1.0..1.0f32));
    for mut x in x.column_iter_mut() {
        let class = rng.random_range(0..3);
        (0..3).for_each(|k| x[6 + k] = if k == class { 1.0 } else { -1.0 });
    }
    x
}
/// Memories of nine units, the last three labels, whose fields are of the size of one.
fn classifiers() -> Vec<DenseMemory> {
    let one = |f: Interaction| {
        let with = |beta: f64| {
            let mut m = DenseMemory::new(9, 37, f, beta).unwrap();
            m.initialise(0.1, 0.6, 4).unwrap();
            m
        };
        let most = with(1.0).class_fields(3, labelled(200, 3).as_view()).unwrap().amax();
        with(2.0 / f64::from(most))
    };
    INTERACTIONS.into_iter().map(one).collect()
}
/// With all other labels at -1, the field is that of Gibbs sampling; and the exponential of twice it, normalised, is what the energies
/// of all states with one label on say.
#[test]
fn class_fields_are_those_of_the_labels() {
    for m in classifiers() {
        let mut x = labelled(200, 5);
        let fields = m.class_fields(3, x.as_view()).unwrap();
        assert_eq!(
            fields,
            m.class_fields(3, x.rows(0, 6).clone_owned().as_view()).unwrap(),
            "labels are not looked at"
        );
        x.rows_mut(6, 3).fill(-1.0);
        let base = energies(&m, &x);
        let scale: f64 = base.iter().fold(0.0, |s, e| e.abs().max(s));
        for k in 0..3 {
            let mut field = Mat::zeros(1, 200);
            m.field(6 + k..7 + k, x.as_view(), field.as_view_mut());
            let mut on = x.clone();
            on.row_mut(6 + k).fill(1.0);
            for (j, e) in energies(&m, &on).into_iter().enumerate() {
                close(fields[(k, j)].into(), field[(0, j)].into(), scale, &format!("{:?}", m.interaction()));
                close(2.0 * f64::from(fields[(k, j)]), base[j] - e, scale, &format!("{:?}", m.interaction()));
            }
        }
        let classes = m.classify(3, x.as_view()).unwrap();
        assert!((0..200).all(|j| (0..3).all(|k| fields[(classes[j], j)] >= fields[(k, j)])));
    }
}
/// The loss in double precision, from memories (units × memories, flat).
fn loss(m: &DenseMemory, memories: &[f64], loss: LabelLoss, x: &Mat, weights: &[f32]) -> f64 {
    let whole: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    let one = |j: usize| -> f64 {
        let energy = |on: Option<usize>| -> f64 {
            let s = |i: usize| match i {
                0..6 => f64::from(x[(i, j)]),
                _ => {
                    if on == Some(i - 6) {
                        1.0
                    } else {
                        -1.0
                    }
                }
            };
            let f =
                |xi: &[f64]| plain(m.interaction(), xi.iter().enumerate().map(|(i, xi)| xi * s(i)).sum::<f64>() / 9.0);
            -m.beta() * memories.chunks(9).map(f).sum::<f64>()
        };
        let fields: Vec<f64> = (0..3).map(|k| 0.5 * (energy(None) - energy(Some(k)))).collect();
        match loss {
            LabelLoss::Power { m } => {
                let off = |k: usize| (fields[k].tanh() - f64::from(x[(6 + k, j)])).powi(2 * m as i32);
                (0..3).map(off).sum()
            }
            LabelLoss::CrossEntropy => {
                let on = (0..3).find(|k| x[(6 + k, j)] > 0.0).unwrap();
                log_sum_exp(&fields.iter().map(|f| 2.0 * f).collect::<Vec<f64>>()) - 2.0 * fields[on]
            }
        }
    };
    (0..x.ncols()).filter(|j| weights[*j] != 0.0).map(|j| f64::from(weights[j]) / whole * one(j)).sum()
}
#[test]
fn what_classifiers_learn_is_the_derivative_of_their_loss() {
    for m in classifiers() {
        for kind in [LabelLoss::Power { m: 1 }, LabelLoss::Power { m: 3 }, LabelLoss::CrossEntropy] {
            let (x, samples) = (labelled(150, 6), 150);
            let weights: Vec<f32> = (0..samples).map(|j| (j % 4) as f32 * 0.5).collect();
            let mut with_nothing = x.clone();
            with_nothing.column_mut(4).fill(f32::NAN); // its weight is zero
            let batch = Batch { x: with_nothing.as_view(), weights: &weights, missing: None, step: 0 };
            let mut grad = m.params().zeros_like();
            grad.as_mut_slice().fill(f32::NAN);
            let mut objective = MemoryClassification::new(3, kind);
            let report = objective.gradient(&m, &batch, &mut grad).unwrap();
            let flat: Vec<f64> = m.params().as_slice().iter().map(|p| f64::from(*p)).collect();
            let plain = loss(&m, &flat, kind, &x, &weights);
            let what = format!("{kind:?} of {:?}", m.interaction());
            assert!((report.loss.unwrap() - plain).abs() < 1e-4 * (1.0 + plain), "{what}: {report:?} {plain}");
            let size = grad.as_slice().iter().fold(0f32, |s, g| g.abs().max(s));
            assert!(size > 1e-4, "{what}: a case that is none");
            // Rectified powers of low degree have corners in their derivatives: differences over 1e-5 err by as much of the curvature.
            let step = 1e-5;
            for k in (0..flat.len()).step_by(7) {
                let at = |d: f64| {
                    let mut moved = flat.clone();
                    moved[k] += d;
                    loss(&m, &moved, kind, &x, &weights)
                };
                let expected = (at(step) - at(-step)) / (2.0 * step);
                let got = f64::from(grad.as_slice()[k]);
                let allowed = 1e-4 * f64::from(size) + 1e-5 * expected.abs();
                assert!((got - expected).abs() < allowed, "{what}, {k}: {got} {expected} of {size}");
            }
        }
    }
}
#[test]
fn the_objective_of_classifiers_keeps_the_laws() {
    for m in classifiers() {
        for kind in [LabelLoss::Power { m: 2 }, LabelLoss::CrossEntropy] {
            let make = || MemoryClassification::new(3, kind);
            kept(laws::objective(&m, make, labelled(40, 7).as_view()), &format!("{kind:?}"));
            let x = labelled(700, 8);
            let batch = Batch { x: x.as_view(), weights: &[1.0; 700], missing: None, step: 0 };
            let bits = || {
                let mut grad = m.params().zeros_like();
                make().gradient(&m, &batch, &mut grad).unwrap();
                grad.as_slice().iter().map(|g| g.to_bits()).collect::<Vec<u32>>()
            };
            kept(laws::threads("the gradient of a classifier", bits), &format!("{kind:?}"));
        }
    }
}
#[test]
fn what_cannot_be_classified_is_refused() {
    let (m, x) = (&classifiers()[2], labelled(4, 9));
    let tell = |classes: usize, kind, x: &Mat, missing: Option<&Mask>| {
        let weights = [0.0, 1.0, 1.0, 1.0];
        let missing = missing.map(|m| m.columns(0, 4));
        let batch = Batch { x: x.as_view(), weights: &weights[..x.ncols()], missing, step: 0 };
        MemoryClassification::new(classes, kind).gradient(m, &batch, &mut m.params().zeros_like())
    };
    let power = LabelLoss::Power { m: 2 };
    assert!(tell(3, power, &x, None).is_ok());
    assert!(matches!(tell(0, power, &x, None), Err(Error::Value { .. })));
    assert!(matches!(tell(9, power, &x, None), Err(Error::Value { .. })));
    assert!(matches!(tell(3, power, &x.rows(0, 8).clone_owned(), None), Err(Error::Shape { .. })));
    assert!(matches!(tell(3, LabelLoss::Power { m: 0 }, &x, None), Err(Error::Value { .. })));
    let mut none = x.clone();
    none.rows_mut(6, 3).fill(-1.0);
    assert!(tell(3, power, &none, None).unwrap_err().to_string().contains("the label of sample 1"));
    let mut grey = x.clone();
    grey[(7, 2)] = 0.5;
    assert!(tell(3, power, &grey, None).unwrap_err().to_string().contains("the label of sample 2"));
    let gap = |j: usize| Mask::from_fn(9, 4, |i, k| i == 0 && j == k);
    assert!(tell(3, power, &x, Some(&gap(0))).is_ok(), "a sample of weight zero is absent");
    assert!(matches!(tell(3, power, &x, Some(&gap(1))), Err(Error::Value { .. })));
}
/// A few hundred updates classify what prototypes with noise are.
#[test]
fn a_memory_learns_to_classify() {
    let (prototypes, mut rng) = (spins(20, 6, 15), rng(16));
    let x = Mat::from_fn(23, 300, |i, j| match i {
        0..20 if rng.random::<f64>() < 0.15 => -prototypes[(i, j % 6)],
        0..20 => prototypes[(i, j % 6)],
        _ => {
            if i - 20 == j % 3 {
                1.0
            } else {
                -1.0
            }
        }
    });
    let mut m = DenseMemory::new(23, 12, Interaction::Rectified { degree: 3 }, 40.0).unwrap().bounded(1.0).unwrap();
    m.initialise(0.0, 0.3, 1).unwrap();
    let (mut objective, mut optimizer) =
        (MemoryClassification::new(3, LabelLoss::CrossEntropy), Normalised::new(Schedule::Constant(0.6)));
    let wrong =
        |m: &DenseMemory| m.classify(3, x.as_view()).unwrap().iter().enumerate().filter(|(j, k)| **k != j % 3).count();
    let before = wrong(&m);
    let fit = Fit { epochs: 30, batch: 30, learning_rate: Schedule::Constant(0.02), seed: 1, ..Fit::default() };
    fit.run(&mut Run::new(&mut m, &mut objective, &mut optimizer, &mut Silent), &x).unwrap();
    assert!(before > 100 && wrong(&m) < 10, "{before} {}", wrong(&m));
    assert!(m.memories().amax() <= 1.0);
}
#[test]
fn normalised_steps_are_their_definition() {
    let m = DenseMemory::new(4, 3, Interaction::Rectified { degree: 2 }, 1.0).unwrap();
    let mut optimizer = Normalised::new(Schedule::Constant(0.5));
    let mut velocity = Mat::zeros(4, 3);
    for step in 0..4 {
        let g = normals(4, 3, 10f64.powi(-(step as i32)), 20 + step);
        let mut grad = m.params().zeros_like();
        grad.as_mut_slice().copy_from_slice(g.as_slice());
        assert_eq!(optimizer.direct(&mut grad, At { step, learning_rate: 0.25 }), 0.25);
        velocity = 0.5 * velocity + g;
        for (k, v) in velocity.column_iter().enumerate() {
            for i in 0..4 {
                close(grad.mat(0)[(i, k)].into(), f64::from(v[i] / v.amax()), 0.0, "a step");
            }
            assert_eq!(grad.mat(0).column(k).amax(), 1.0);
        }
    }
    let mut still = m.params().zeros_like();
    Normalised::new(Schedule::Constant(0.0)).direct(&mut still, At { step: 0, learning_rate: 1.0 });
    assert!(still.as_slice().iter().all(|g| *g == 0.0));
    assert!(Normalised::new(Schedule::Constant(1.0)).check(1, 12).is_err() && optimizer.check(9, 13).is_err());
}
