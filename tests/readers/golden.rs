//! Files that version 0.1 wrote keep loading, with the numbers they had.
//!
//! `cargo test --release --test readers -- --ignored golden` writes them anew: only when a format is made, never to make a
//! test pass.

use harmonium::io::{load_rbm, save_rbm};
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::{Adam, Schedule};
use harmonium::train::{Checkpoints, EarlyStopping, Ended, Fit, History, Monitor, PseudoLogLikelihood, Resumed, Run};
use harmonium::units::{Bernoulli, Gaussian, Spin};
use harmonium::{Chains, Learn, Mat, Result, Train};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::tempdir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}
const MODEL: &str = "rbm-0.1.safetensors";
const CHECKPOINT: &str = "checkpoint-0.1.safetensors";
/// The update it was written after.
const STEP: u64 = 7;

/// Parameters that binary fractions hold exactly.
fn machine() -> Rbm {
    let mut rbm = Rbm::new((3, Gaussian), (2, Spin));
    rbm.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(k, v)| *v = 0.25 * k as f32 - 1.0));
    rbm
}
/// A run of four epochs, five updates each, with checkpoints in `folder`; it pauses at an update.
fn train(folder: &Path, pause: Option<u64>) -> Result<(Resumed, Ended, Rbm, u64)> {
    let data = Mat::from_fn(4, 10, |i, j| ((j >> i) & 1) as f32);
    let mut rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    rbm.initialise(&[0.5, 0.4, 0.4, 0.2], 0.0, 1)?;
    let mut pcd = Contrastive::pcd(1, Chains::zeros(&rbm, 4, 1));
    let mut adam = Adam::default();
    let likelihood = || Box::new(PseudoLogLikelihood(data.clone()));
    let mut monitors: Vec<Box<dyn Monitor<Rbm>>> = vec![
        Box::new(History::new(2, vec![likelihood()])),
        Box::new(EarlyStopping::new(PseudoLogLikelihood(data.clone()), 2, 1000)),
    ];
    let fit = Fit {
        epochs: 4,
        batch: 2,
        learning_rate: Schedule::Linear { from: 0.05, to: 0.0, steps: 20 },
        ..Fit::default()
    };
    let mut run = Run::new(&mut rbm, &mut pcd, &mut adam, &mut monitors);
    run.checkpoints = Some(Checkpoints::open(folder, [("method".into(), "pcd".into())].into())?);
    run.pause.at = pause;
    let (resumed, ended) = (fit.resume(&mut run, &data)?, fit.run(&mut run, &data)?);
    let step = run.step;
    Ok((resumed, ended, rbm, step))
}

#[test]
fn a_model_of_version_0_1_loads() {
    let (rbm, notes) = load_rbm(&golden(MODEL)).unwrap();
    assert_eq!(rbm.params(), machine().params());
    assert_eq!((rbm.visible()[0].unit.name(), rbm.hidden()[0].unit.name()), ("gaussian", "spin"));
    assert_eq!(notes["epochs"], "3");
}
/// The numbers that follow differ between processors, so the bits of the end are not compared.
#[test]
fn a_run_of_version_0_1_goes_on() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("checkpoints")).unwrap();
    fs::copy(golden(CHECKPOINT), dir.path().join(format!("checkpoints/step-{STEP:010}.safetensors"))).unwrap();
    let (resumed, ended, rbm, step) = train(dir.path(), None).unwrap();
    assert_eq!((resumed, ended, step), (Resumed::At(STEP), Ended::Done, 20));
    let state = harmonium::io::Checkpoint::read(&golden(CHECKPOINT)).unwrap().state;
    let before = state.floats("params").unwrap();
    let moved = before.iter().zip(rbm.params().as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Adam's steps are at most about the learning rate, which falls from 0.033 to 0 over thirteen updates.
    assert!(moved > 0.01 && moved < 0.5, "{moved}");
    assert_eq!(state.child("monitor").unwrap().child("0").unwrap().words("steps").unwrap(), [2, 4, 6]);
}

/// The folder of a whole run, and its page.
#[cfg(feature = "viz")]
#[test]
fn a_run_folder_of_version_0_1_is_reported() {
    let report = harmonium::report::Report::read(&golden(FOLDER)).unwrap();
    let (html, text) = (report.to_html(), report.to_string());
    for part in ["−2.25", "± 0.50", "pseudo log likelihood", "epoch 4", "an example", "seed 7"] {
        assert!(html.contains(part), "{part} is not in the page");
    }
    assert!(text.contains("-2.25 ± 0.50"), "{text}");
    assert_eq!(html.matches("data:image/png").count(), 7, "looks at six updates, and hidden activity");
}
#[cfg(feature = "viz")]
const FOLDER: &str = "run-0.1";
#[cfg(feature = "viz")]
fn write_run_folder() {
    use harmonium::report::About;
    use harmonium::train::Snapshots;
    let (folder, data) = (golden(FOLDER), Mat::from_fn(4, 10, |i, j| ((j >> i) & 1) as f32));
    fs::create_dir_all(&folder).unwrap();
    let mut about = About::now("an example", [("seed".to_string(), "7".to_string())].into());
    (about.image, about.began, about.machine) = (Some((2, 2)), "2000-01-01T00:00:00Z".into(), Default::default());
    about.write(&folder).unwrap();
    let mut rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    let fit = Fit { epochs: 4, batch: 2, ..Fit::default() };
    let mut history = History::new(5, vec![Box::new(PseudoLogLikelihood(data.clone()))]);
    history.path = Some(folder.join("metrics.jsonl"));
    let mut snapshots = Snapshots::new(fit.steps(10), data.clone(), 1);
    (snapshots.path, snapshots.at) = (Some(folder.join("snapshots.safetensors")), vec![1, 2, 4, 8, 15, 20]);
    let mut monitor = (history, snapshots);
    fit.run(&mut Run::new(&mut rbm, &mut Contrastive::cd(1, 1), &mut Adam::default(), &mut monitor), &data).unwrap();
    fs::write(folder.join("summary.json"), r#"{"test_log_likelihood": -2.25, "test_log_likelihood_stderr": 0.5}"#)
        .unwrap();
}

#[test]
#[ignore = "writes the golden files"]
fn write_golden_files() {
    fs::create_dir_all(golden("")).unwrap();
    save_rbm(&machine(), &[("epochs".to_string(), "3".to_string())].into(), &golden(MODEL)).unwrap();
    let dir = tempdir().unwrap();
    train(dir.path(), Some(STEP)).unwrap();
    fs::copy(dir.path().join(format!("checkpoints/step-{STEP:010}.safetensors")), golden(CHECKPOINT)).unwrap();
    #[cfg(feature = "viz")]
    write_run_folder();
}
