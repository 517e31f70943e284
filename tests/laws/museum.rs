//! Law 13: bugs that others have shipped (the table of the style guide, section 7.3), each with its test.

use crate::cases::{self, close, name};
use harmonium::data::Standardise;
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::{Adam, At, Optimizer, Schedule, Sgd, max_norm};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Energy, Learn, Mat, Phase, States, Train};
use std::path::Path;
use std::sync::Arc;

#[test]
fn gradients_leave_out_what_has_no_weight() {
    for rbm in cases::all() {
        let mut x = cases::probes(&rbm, 13);
        let mut weights = vec![0.3; 13];
        let clean = [x.columns(0, 5).clone_owned(), x.columns(6, 7).clone_owned()];
        x.column_mut(5).fill(f32::NAN);
        weights[5] = 0.0;
        let (mut with, mut without) = (
            [rbm.params().zeros_like(), rbm.params().zeros_like()],
            [rbm.params().zeros_like(), rbm.params().zeros_like()],
        );
        rbm.grad_params(x.as_view(), &weights, &mut with[0]);
        rbm.grad_expected(&mut States::new(x), Phase::Data, &weights, &mut with[1]);
        for part in clean {
            let weights = vec![0.3; part.ncols()];
            rbm.grad_params(part.as_view(), &weights, &mut without[0]);
            rbm.grad_expected(&mut States::new(part), Phase::Data, &weights, &mut without[1]);
        }
        for (a, b) in with.iter().zip(&without) {
            let pairs = a.as_slice().iter().zip(b.as_slice());
            pairs.for_each(|(a, b)| close(*a as f64, *b as f64, 10.0, &name(&rbm)));
        }
    }
}
#[test]
fn one_step_moves_every_slot_that_has_a_gradient() {
    for rbm in cases::all() {
        let v = cases::probes(&rbm, 16).rows(0, 4).clone_owned();
        let optimizers: [Box<dyn Optimizer>; 2] =
            [Box::new(Sgd::new(Schedule::Constant(0.5))), Box::new(Adam::default())];
        for mut optimizer in optimizers {
            let (mut model, mut silent) = (rbm.clone(), Silent);
            let mut objective = Contrastive::cd(1, 1);
            let fit = Fit { epochs: 1, batch: 16, ..Fit::default() };
            fit.run(&mut Run::new(&mut model, &mut objective, &mut optimizer, &mut silent), &v).unwrap();
            for slot in rbm.params().slots().iter().filter(|s| s.rows * s.columns > 0) {
                let (a, b) = (&rbm.params().as_slice()[slot.range()], &model.params().as_slice()[slot.range()]);
                assert!(a.iter().zip(b).any(|(a, b)| a != b), "{} stays, {}", slot.name, name(&rbm));
            }
            // And what is derived of the parameters follows them: a model made of them afresh has the same fields.
            let mut afresh = rbm.clone();
            afresh.update(&mut |p| p.as_mut_slice().copy_from_slice(model.params().as_slice()));
            assert_eq!(fields(&afresh), fields(&model), "{}", name(&rbm));
        }
    }
}
/// The fields of both layers at some states.
fn fields(rbm: &Rbm) -> [Mat; 2] {
    let mut states = States::new(cases::probes(rbm, 9));
    [Rbm::HIDDEN, Rbm::VISIBLE].map(|block| states.field(rbm, block).clone_owned())
}
#[test]
fn a_constant_unit_is_standardised_to_zero() {
    let mut data = Mat::from_fn(3, 7, |i, j| if i == 1 { 0.1 } else { (i + j) as f32 });
    let map = Standardise::fit(&data).unwrap();
    map.apply(&mut data).unwrap();
    assert!(data.row(1).iter().all(|x| *x == 0.0) && data.iter().all(|x| x.is_finite()));
}
/// Bits as spins and back: every state keeps its probability, so energies differ by one constant.
#[test]
fn a_change_of_units_keeps_the_distribution() {
    let change = |x: &Mat, rows: std::ops::Range<usize>, f: fn(f32) -> f32| {
        let mut x = x.clone();
        x.rows_range_mut(rows).apply(|v| *v = f(*v));
        x
    };
    let to_spin: fn(f32) -> f32 = |v| 2.0 * v - 1.0;
    let bits = cases::bernoulli(6, 5, 3);
    let x = Mat::from_fn(11, 2048, |i, j| (j >> i & 1) as f32);
    let of = |rbm: &Rbm, x: &Mat| {
        let mut e = vec![0.0; x.ncols()];
        rbm.energy(x.as_view(), &mut e);
        e
    };
    let same = |a: &[f64], b: &[f64], what: &str| {
        a.iter().zip(b).for_each(|(p, q)| close(p - a[0], q - b[0], 10.0, what));
    };
    let both = bits.converted(Spin, Spin).unwrap();
    same(&of(&bits, &x), &of(&both, &change(&x, 0..11, to_spin)), "both sides");
    let visible = bits.converted(Spin, Bernoulli).unwrap();
    same(&of(&bits, &x), &of(&visible, &change(&x, 0..6, to_spin)), "visible side");
    let hidden = bits.converted(Bernoulli, Spin).unwrap();
    same(&of(&bits, &x), &of(&hidden, &change(&x, 6..11, to_spin)), "hidden side");
    let back = both.converted(Bernoulli, Bernoulli).unwrap();
    back.params()
        .as_slice()
        .iter()
        .zip(bits.params().as_slice())
        .for_each(|(a, b)| close(*a as f64, *b as f64, 5.0, "back"));
    assert!(bits.converted(Gaussian, Bernoulli).is_err());
    let real = cases::strong((3, Arc::new(LogPrecision)), (4, Arc::new(Bernoulli)), 1);
    let spins = real.converted(LogPrecision, Spin).unwrap();
    assert_eq!(real.theta(Rbm::VISIBLE, &[]), spins.theta(Rbm::VISIBLE, &[]));
    assert!(real.converted(LogPrecision, Softmax { q: 2 }).is_err());
}
#[test]
fn a_row_of_zeros_survives_a_bound_on_its_norm() {
    let mut rbm = cases::bernoulli(4, 3, 1);
    rbm.update(&mut |p| {
        p.mat_mut(0).row_mut(1).fill(0.0);
        max_norm(p, 0.5);
    });
    let norms: Vec<f32> = rbm.weights().row_iter().map(|r| r.norm()).collect();
    assert!(norms[1] == 0.0 && norms.iter().all(|n| *n <= 0.5 + 1e-6), "{norms:?}");
}
/// What the documentation of Adam promises is what `default` gives: step 1 has length η wherever there is a gradient.
#[test]
fn adam_starts_with_steps_of_the_learning_rate() {
    let rbm = cases::bernoulli(4, 3, 1);
    let (mut grad, mut adam) = (rbm.params().clone(), Adam::default());
    assert_eq!((adam.beta1, adam.beta2, adam.epsilon), (0.9, 0.999, 1e-8));
    let far = adam.direct(&mut grad, At { step: 0, learning_rate: 0.01 });
    let pairs = grad.as_slice().iter().zip(rbm.params().as_slice());
    pairs.for_each(|(step, g)| close((far * step) as f64, 0.01 * g.signum() as f64, 0.0, "first step"));
}

/// Every source file is named by a `mod` of the file above it.
#[test]
fn no_file_is_an_orphan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && path != root.join("lib.rs") {
                seen += 1;
                assert!(is_declared(&path, &root), "{} is in no module", path.display());
            }
        }
    }
    assert!(seen > 30);
}
fn is_declared(path: &Path, root: &Path) -> bool {
    let stem = |p: &Path| p.file_stem().unwrap().to_str().unwrap().to_owned();
    let (name, above) = match stem(path).as_str() {
        "mod" => (stem(path.parent().unwrap()), path.parent().unwrap().parent().unwrap()),
        own => (own.to_owned(), path.parent().unwrap()),
    };
    let files = [above.join("mod.rs"), above.with_extension("rs"), root.join("lib.rs")];
    let parent = files.iter().find(|f| f.exists() && (f.file_name() != Some("lib.rs".as_ref()) || above == root));
    let text = std::fs::read_to_string(parent.unwrap()).unwrap();
    text.lines().any(|l| l.trim_start_matches("pub ").trim() == format!("mod {name};"))
}
