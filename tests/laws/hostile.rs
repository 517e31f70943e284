//! Law 15: settings and data that make no sense give a clear error, those at the edge of sense the right result, and no
//! run ever leaves a model with parameters that are not finite.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side};
use harmonium::base_rate::base_rate;
use harmonium::data::{Samples, Standardise, bars_and_stripes, one_hot};
use harmonium::eval::{Ais, ais};
use harmonium::io::Checkpoint;
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, Objective, Report};
use harmonium::optim::{Adam, Optimizer, Penalty, Schedule, Sgd};
use harmonium::train::{Checkpoints, EarlyStopping, Fit, Named, Progress, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, Spin};
use harmonium::{Batch, Chains, Error, Learn, Mat, Params, Result, Resume, Saved, Train, Unit};
use std::sync::Arc;

fn patterns() -> Mat {
    bars_and_stripes(3).unwrap().patterns
}
fn fit(settings: &Fit, rbm: &mut Rbm, objective: &mut dyn Objective<Rbm>, data: &dyn Samples) -> Result<u64> {
    let (mut optimizer, mut silent) = (Sgd::default(), Silent);
    let mut run = Run::new(rbm, objective, &mut optimizer, &mut silent);
    settings.run(&mut run, data).map(|_| run.step)
}
fn small() -> Rbm {
    cases::bernoulli(9, 4, 1)
}
/// The message of a run that must fail before it has touched the model.
#[track_caller]
fn refusal(settings: &Fit, mut rbm: Rbm, data: &Mat) -> String {
    let before = rbm.params().clone();
    let e = fit(settings, &mut rbm, &mut Contrastive::cd(1, 1), data).expect_err("a refusal");
    assert_eq!(rbm.params(), &before);
    e.to_string()
}

/// What must come of a hostile setting.
enum Must {
    /// An error with these words.
    Say(&'static str),
    /// A finite model after so many updates.
    Work(u64),
}
use Must::{Say, Work};

/// A run with one thing about it that is hostile.
fn with(fit: Fit, rbm: Rbm, data: Mat) -> Result<u64> {
    let k1 = Contrastive::cd(1, 1);
    run_of(fit, rbm, data, k1)
}
fn run_of(settings: Fit, mut rbm: Rbm, data: Mat, mut objective: impl Objective<Rbm>) -> Result<u64> {
    let done = fit(&settings, &mut rbm, &mut objective, &data);
    assert!(rbm.params().as_slice().iter().all(|p| p.is_finite()));
    done
}
/// Whether it is finite, as a count.
fn standardised(mut data: Mat) -> Result<u64> {
    Standardise::fit(&data)?.apply(&mut data)?;
    Ok(data.iter().all(|x| x.is_finite()) as u64)
}
/// Hostile settings in one place; what is behind the subtler ones has tests of its own below.
#[test]
fn hostile_settings_say_so_or_work() {
    let plain = || Fit { epochs: 2, batch: 5, ..Fit::default() };
    let rate = |rate| Fit { learning_rate: Schedule::Constant(rate), ..plain() };
    let constant = |value| Mat::from_element(9, 14, value);
    let none = |d, h| Rbm::new((d, Bernoulli), (h, Bernoulli));
    let pcd = |chains| Contrastive::pcd(1, Chains::zeros(&small(), chains, 1));
    let one = || patterns().columns(3, 1).clone_owned();
    let labels = |labels: &[u8], classes| one_hot(labels, classes).map(|m| m.ncols() as u64);
    let annealed = |betas, runs| ais(&small(), &[0.0; 13], &Ais { betas, runs, seed: 1 }).map(|_| 1);
    let table: Vec<(&str, Result<u64>, Must)> = vec![
        (
            "a batch of zero",
            with(Fit { batch: 0, ..plain() }, small(), patterns()),
            Say("the batch size must be at least 1"),
        ),
        ("a batch larger than the data", with(Fit { batch: 1_000_000, ..plain() }, small(), patterns()), Work(2)),
        ("no epochs", with(Fit { epochs: 0, ..plain() }, small(), patterns()), Work(0)),
        ("no hidden units", with(plain(), none(9, 0), patterns()), Work(6)),
        ("no visible units", with(plain(), none(0, 3), Mat::zeros(0, 14)), Work(6)),
        ("k = 0, CD", run_of(plain(), small(), patterns(), Contrastive::cd(0, 1)), Work(6)),
        ("no chains", run_of(plain(), small(), patterns(), pcd(0)), Say("the number of chains must be at least 1")),
        ("one chain", run_of(plain(), small(), patterns(), pcd(1)), Work(6)),
        (
            "a learning rate of NaN",
            with(rate(f32::NAN), small(), patterns()),
            Say("the learning rate must be a number"),
        ),
        (
            "a negative learning rate",
            with(rate(-0.1), small(), patterns()),
            Say("the learning rate must be a number, at least 0"),
        ),
        ("a learning rate of zero", with(rate(0.0), small(), patterns()), Work(6)),
        ("no data", with(plain(), small(), Mat::zeros(9, 0)), Say("the number of samples must be at least 1")),
        ("one sample", with(plain(), small(), one()), Work(2)),
        ("pixels that are always off", with(plain(), small(), constant(0.0)), Work(6)),
        ("pixels that are always on", with(plain(), small(), constant(1.0)), Work(6)),
        (
            "pixels of NaN",
            with(plain(), small(), constant(f32::NAN)),
            Say("unit 0 of sample 0 must be within 0.0..=1.0"),
        ),
        ("pixels of 255", with(plain(), small(), constant(255.0)), Say("unit 0 of sample 0 must be within 0.0..=1.0")),
        ("images of another size", with(plain(), small(), Mat::zeros(10, 5)), Say("expected 9 visible units, got 10")),
        ("a label out of range", labels(&[1, 3], 3), Say("label 1")),
        ("no classes", labels(&[], 0), Say("the number of classes")),
        ("constant pixels, standardised", standardised(constant(0.3)), Work(1)),
        ("one sample, standardised", standardised(one()), Work(1)),
        ("annealing without runs", annealed(Ais::linear(10), 0), Say("runs")),
        ("annealing without temperatures", annealed(vec![], 5), Say("temperatures")),
        ("annealing with NaN", annealed(vec![0.0, f32::NAN, 1.0], 5), Say("temperatures")),
    ];
    for (what, got, must) in table {
        match (got, must) {
            (Err(e), Say(words)) => assert!(e.to_string().contains(words), "{what}: {e}"),
            (Ok(steps), Work(expected)) => assert_eq!(steps, expected, "{what}"),
            (got, _) => panic!("{what}: {got:?}"),
        }
    }
}

#[test]
fn settings_without_sense_are_refused_by_name() {
    let rate = |rate| Fit { learning_rate: Schedule::Constant(rate), ..Fit::default() };
    for bad in [f32::NAN, f32::INFINITY, -0.1] {
        assert!(refusal(&rate(bad), small(), &patterns()).contains("learning rate"), "{bad}");
        for penalty in [Penalty { l1: bad, l2: 0.0 }, Penalty { l1: 0.0, l2: bad }] {
            assert!(refusal(&Fit { penalty, ..Fit::default() }, small(), &patterns()).contains("penalty"), "{bad}");
        }
    }
    for bad in [f32::NAN, 0.0, -1.0] {
        let (max, clip) =
            (Fit { max_norm: Some(bad), ..Fit::default() }, Fit { clip_norm: Some(bad), ..Fit::default() });
        assert!(refusal(&max, small(), &patterns()).contains("norm of weights"), "{bad}");
        assert!(refusal(&clip, small(), &patterns()).contains("norm of a gradient"), "{bad}");
    }
    assert!(refusal(&Fit { batch: 0, ..Fit::default() }, small(), &patterns()).contains("batch size"));
    let falls_too_far = Schedule::Linear { from: 0.1, to: -0.1, steps: 10 };
    assert!(
        refusal(&Fit { learning_rate: falls_too_far, ..Fit::default() }, small(), &patterns())
            .contains("last learning rate")
    );
}
/// Settings of optimisers, at the first step and at the last.
#[test]
fn optimisers_without_sense_are_refused_by_name() {
    let rises_too_far = Schedule::Linear { from: 0.5, to: 1.5, steps: 10 };
    let nan = Schedule::Constant(f32::NAN);
    let adam = |set: fn(&mut Adam)| {
        let mut adam = Adam::default();
        set(&mut adam);
        Box::new(adam)
    };
    let bad: [(Box<dyn Optimizer>, &str); 6] = [
        (Box::new(Sgd::new(Schedule::Constant(1.0))), "momentum"),
        (Box::new(Sgd::new(nan)), "momentum"),
        (Box::new(Sgd::new(rises_too_far)), "momentum"),
        (adam(|a| a.beta1 = -0.1), "decay of the mean"),
        (adam(|a| a.beta2 = 1.0), "mean square"),
        (adam(|a| a.epsilon = 0.0), "epsilon"),
    ];
    for (mut optimizer, name) in bad {
        let (mut rbm, mut objective, mut silent) = (small(), Contrastive::cd(1, 1), Silent);
        let before = rbm.params().clone();
        let mut run = Run::new(&mut rbm, &mut objective, &mut optimizer, &mut silent);
        let text = Fit::default().run(&mut run, &patterns()).unwrap_err().to_string();
        assert!(text.contains(name), "{text}");
        assert_eq!(rbm.params(), &before);
    }
}
#[test]
fn data_that_do_not_fit_are_refused_with_their_place() {
    let text = refusal(&Fit::default(), small(), &Mat::zeros(8, 5));
    assert!(text.contains("9 visible units") && text.contains('8'), "{text}");
    assert!(refusal(&Fit::default(), small(), &Mat::zeros(9, 0)).contains("number of samples"));
    let wrong: [(Arc<dyn Unit>, Vec<f32>); 4] = [
        (Arc::new(Bernoulli), vec![f32::NAN, -0.01, 1.01, f32::INFINITY]),
        (Arc::new(Spin), vec![f32::NAN, -1.01, 2.0]),
        (Arc::new(Gaussian), vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        (Arc::new(harmonium::units::LogPrecision), vec![f32::NAN]),
    ];
    for (unit, values) in wrong {
        for value in values {
            let rbm = cases::strong((9, unit.clone()), (4, Arc::new(Bernoulli)), 1);
            let mut data = Mat::zeros(9, 1234);
            data[(7, 1100)] = value;
            let text = refusal(&Fit::default(), rbm, &data);
            assert!(text.contains("unit 7 of sample 1100") && text.contains(unit.name()), "{text}");
        }
    }
}
#[test]
fn edges_of_sense_work() {
    for (epochs, batch, steps) in [(0, 5, 0), (2, 14, 2), (2, 1_000_000, 2), (2, usize::MAX, 2), (3, 13, 6), (1, 1, 14)]
    {
        let settings = Fit { epochs, batch, ..Fit::default() };
        assert_eq!(fit(&settings, &mut small(), &mut Contrastive::cd(1, 1), &patterns()).unwrap(), steps);
        assert_eq!(settings.steps(14), steps);
    }
    let one = patterns().columns(3, 1).clone_owned();
    let mut rbm = small();
    let mut pcd = Contrastive::pcd(0, Chains::zeros(&rbm, 1, 1));
    fit(&Fit::default(), &mut rbm, &mut pcd, &one).unwrap();
    fit(&Fit { learning_rate: Schedule::Constant(0.0), ..Fit::default() }, &mut rbm, &mut Contrastive::cd(1, 1), &one)
        .unwrap();
    let before = rbm.params().clone();
    fit(&Fit { learning_rate: Schedule::Constant(0.0), ..Fit::default() }, &mut rbm, &mut Contrastive::cd(0, 1), &one)
        .unwrap();
    assert_eq!(rbm.params(), &before, "a learning rate of zero moves nothing");
    let mut none = Rbm::new((9, Bernoulli), (0, Bernoulli));
    let settings = Fit { epochs: 2000, ..Fit::default() };
    let mut exact = Contrastive::exact(&none).unwrap();
    fit(&settings, &mut none, &mut exact, &patterns()).unwrap();
    // Without hidden units, biases alone: every pixel is on half of the time.
    assert!(none.visible_bias().iter().all(|b| b.abs() < 1e-3), "{:?}", none.visible_bias());
}
/// A run "until the monitor ends it" asks for as many epochs as there are.
#[test]
fn epochs_without_end_do_not_overflow() {
    let (mut rbm, mut objective, mut optimizer) = (small(), Contrastive::cd(1, 1), Sgd::default());
    let mut monitor = |p: &Progress<'_, Rbm>| {
        assert!(p.steps >= u64::MAX / 2);
        if p.done == 20 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    };
    let settings = Fit { epochs: u64::MAX, batch: 7, ..Fit::default() };
    let mut run = Run::new(&mut rbm, &mut objective, &mut optimizer, &mut monitor);
    settings.run(&mut run, &patterns()).unwrap();
    assert_eq!(run.step, 20);
    assert_eq!(settings.steps(14), u64::MAX);
}
#[test]
fn a_pixel_that_never_varies_stays_finite() {
    let mut data = patterns();
    data.row_mut(0).fill(0.0);
    data.row_mut(8).fill(1.0);
    let means: Vec<f32> = data.row_iter().map(|r| r.mean()).collect();
    let mut rbm = Rbm::new((9, Bernoulli), (4, Bernoulli));
    let text = rbm.initialise(&means, 0.0, 1).unwrap_err().to_string();
    assert!(text.contains("visible unit 0"), "{text}");
    rbm.initialise(&means, 0.01, 1).unwrap();
    fit(&Fit { epochs: 200, ..Fit::default() }, &mut rbm, &mut Contrastive::cd(1, 1), &data).unwrap();
    assert!(rbm.params().as_slice().iter().all(|p| p.is_finite()));
}

/// A gradient of ones, but for one value at one step.
struct Poison {
    step: u64,
    place: usize,
    value: f32,
}
impl Objective<Rbm> for Poison {
    fn gradient(&mut self, _: &Rbm, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        grad.as_mut_slice().fill(1.0);
        if batch.step == self.step {
            grad.as_mut_slice()[self.place] = self.value;
        }
        Ok(Report::default())
    }
}
impl Resume for Poison {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
/// Where each slot of a 9 × 4 machine lies.
const PLACES: [(usize, &str); 3] = [(7, "weights"), (36 + 8, "visible_bias"), (36 + 9, "hidden_bias")];

#[test]
fn an_update_that_is_not_finite_ends_the_run_before_it_is_taken() {
    for (place, slot) in PLACES {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let optimizers: [Box<dyn Optimizer>; 2] = [Box::new(Sgd::default()), Box::new(Adam::default())];
            for mut optimizer in optimizers {
                let mut rbm = small();
                let mut kept = vec![];
                let mut poison = Poison { step: 3, place, value };
                let mut watch = |p: &Progress<'_, Rbm>| {
                    kept = p.model.params().as_slice().to_vec();
                    std::ops::ControlFlow::Continue(())
                };
                let mut run = Run::new(&mut rbm, &mut poison, &mut optimizer, &mut watch);
                let e = Fit { batch: 2, ..Fit::default() }.run(&mut run, &patterns()).unwrap_err();
                assert!(matches!(&e, Error::NonFinite { step: 3, slot: s, .. } if s == slot), "{e}");
                assert_eq!(run.step, 3);
                assert_eq!(rbm.params().as_slice(), kept, "{slot} {value}");
            }
        }
    }
}
#[test]
fn a_run_that_breaks_down_names_its_last_good_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rbm, mut poison, mut optimizer, mut silent) =
        (small(), Poison { step: 5, place: 7, value: f32::NAN }, Sgd::default(), Silent);
    let mut run = Run::new(&mut rbm, &mut poison, &mut optimizer, &mut silent);
    let mut checkpoints = Checkpoints::open(dir.path(), Default::default()).unwrap();
    checkpoints.every = Some(2);
    run.checkpoints = Some(checkpoints);
    let settings = Fit { batch: 2, ..Fit::default() };
    let text = settings.run(&mut run, &patterns()).unwrap_err().to_string();
    assert!(text.contains("at step 5") && text.contains("the last good checkpoint is"), "{text}");
    assert!(text.ends_with("step-0000000004.safetensors"), "{text}");
    // With a remedy, that is another learning rate, it is another run; the state itself can be taken over.
    let kept = Checkpoint::read(run.checkpoints.as_ref().unwrap().last().unwrap()).unwrap();
    assert!(kept.state.floats("params").unwrap().iter().all(|p| p.is_finite()));
}
#[test]
fn an_update_that_overflows_ends_the_run_too() {
    // The rate times the gradient, and the difference of two finite numbers.
    let huge = Fit { learning_rate: Schedule::Constant(f32::MAX), batch: 14, ..Fit::default() };
    let (mut rbm, before) = (small(), small());
    let e = fit(&huge, &mut rbm, &mut Poison { step: 0, place: 7, value: 10.0 }, &patterns()).unwrap_err();
    assert!(matches!(&e, Error::NonFinite { step: 0, slot, .. } if slot == "weights"), "{e}");
    assert_eq!(rbm.params(), before.params());
    rbm.update(&mut |p| p.as_mut_slice()[44] = -f32::MAX);
    let before = rbm.params().clone();
    let e = fit(&huge, &mut rbm, &mut Poison { step: 9, place: 0, value: 0.0 }, &patterns()).unwrap_err();
    assert!(matches!(&e, Error::NonFinite { step: 0, slot, .. } if slot == "visible_bias"), "{e}");
    assert_eq!(rbm.params(), &before);
}
#[test]
fn a_huge_learning_rate_ends_in_an_error_or_a_finite_model() {
    for rbm in cases::all() {
        for rate in [1e3, 1e10, 1e30, f32::MAX] {
            let mut model = rbm.clone();
            let data = cases::probes(&rbm, 20).rows(0, 4).clone_owned();
            let settings = Fit { learning_rate: Schedule::Constant(rate), epochs: 30, batch: 5, ..Fit::default() };
            let ended = fit(&settings, &mut model, &mut Contrastive::cd(1, 1), &data);
            assert!(ended.is_ok() || matches!(ended, Err(Error::NonFinite { .. })), "{} {rate}", name(&rbm));
            assert!(model.params().as_slice().iter().all(|p| p.is_finite()), "{} {rate}", name(&rbm));
        }
    }
}

/// Starting values give the visible units the means of the data, whatever parameters the units have of their own.
#[test]
fn initial_biases_have_the_means_of_the_data() {
    for mut rbm in cases::all() {
        let means = [0.3, 0.6, 0.45, 0.71];
        rbm.initialise(&means, 0.0, 5).unwrap();
        rbm.update(&mut |p| p.slice_mut(0).fill(0.0));
        let oracle = Oracle::of(&rbm);
        for (i, &m) in means.iter().enumerate() {
            close(oracle.mean(Side::Visible, i, &[0.0; 3]), m as f64, 1.0, &name(&rbm));
        }
    }
}
#[test]
fn means_that_do_not_fit_are_refused() {
    let mut rbm = small();
    let before = rbm.params().clone();
    for n in [0, 3, 8, 10, 13, 14] {
        assert!(matches!(rbm.initialise(&vec![0.5; n], 0.0, 1), Err(Error::Shape { .. })), "{n} means");
    }
    for bad in [f32::NAN, f32::INFINITY, -0.1, 1.1, 1.0, 0.0] {
        let mut means = [0.5; 9];
        means[4] = bad;
        let text = rbm.initialise(&means, 0.0, 1).unwrap_err().to_string();
        assert!(text.contains("visible unit 4"), "{bad}: {text}");
    }
    for smoothing in [f32::NAN, -0.1, 1.0, f32::INFINITY] {
        assert!(base_rate(&rbm, &[0.5; 9], smoothing).unwrap_err().to_string().contains("smoothing"));
    }
    assert_eq!(rbm.params(), &before);
}

/// A number that does not exist is no best value: what comes after it still counts.
#[test]
fn early_stopping_is_not_caught_by_nan() {
    let values = [f64::NAN, -3.0, -2.0, f64::NAN, -2.5, -2.6, -2.7];
    let (mut rbm, mut objective, mut optimizer) = (small(), Poison { step: 99, place: 0, value: 0.0 }, Sgd::default());
    let measure = move |p: &Progress<'_, Rbm>| Ok(values[(p.done as usize - 1).min(6)]);
    let mut stopping = EarlyStopping::new(Named { name: "given".into(), measure }, 1, 2);
    let mut run = Run::new(&mut rbm, &mut objective, &mut optimizer, &mut stopping);
    Fit { batch: 14, epochs: 50, ..Fit::default() }.run(&mut run, &patterns()).unwrap();
    assert_eq!(run.step, 6, "three looks without improvement");
    stopping.restore(&mut rbm).unwrap();
    assert_eq!(stopping.best.as_ref().unwrap().0, -2.0);
    let expected = small().weights()[(0, 0)] - 0.05 - 0.05 - 0.05;
    close(rbm.weights()[(0, 0)] as f64, expected as f64, 1.0, "the parameters after update 3");
}
