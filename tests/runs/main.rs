//! Whole runs of the example `mnist_rbm` as processes of their own: killed, interrupted, and continued.
//!
//! `HARMONIUM_KILLS=50 cargo test --release --examples --test runs` kills fifty runs; without the variable, four. (`--examples`, for the
//! program itself must be built.)
#![cfg(all(unix, feature = "viz", feature = "progress", feature = "signals"))]

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};

/// One run at a time: moments are told by the clock.
fn alone() -> MutexGuard<'static, ()> {
    static RUNS: Mutex<()> = Mutex::new(());
    RUNS.lock().unwrap_or_else(|failed| failed.into_inner())
}
/// The example, built by the command that built this test.
fn mnist_rbm(arguments: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/mnist_rbm");
    assert!(path.exists(), "{} is not there: cargo build --examples, in the same profile", path.display());
    let mut command = Command::new(path);
    command.args(arguments).args(["--temperatures", "10", "--runs", "2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
/// The run that is cut, and the flag that tells where.
fn run(flag: &str, folder: &Path) -> Command {
    mnist_rbm(&["--epochs", "4", "--hidden", "100", flag, folder.to_str().unwrap()])
}
fn finish(flag: &str, folder: &Path) -> Output {
    let output = run(flag, folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
/// The bytes of the model file, and the records without their times.
fn results(folder: &Path) -> (Vec<u8>, Vec<serde_json::Value>) {
    let records = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let timeless = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("seconds").unwrap();
        record
    };
    (std::fs::read(folder.join("model.safetensors")).unwrap(), records.lines().map(timeless).collect())
}
/// An uninterrupted run, and how long it took.
fn whole() -> (TempDir, Duration) {
    let (dir, clock) = (tempdir().unwrap(), Instant::now());
    finish("--out", dir.path());
    (dir, clock.elapsed())
}
fn killed_after(mut child: Child, time: Duration) -> bool {
    sleep(time);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

#[test]
fn runs_that_are_killed_end_with_the_same_bits() {
    let (_alone, (whole, time)) = (alone(), whole());
    let (expected, mut rng) = (results(whole.path()), Xoshiro256PlusPlus::seed_from_u64(1));
    let kills: usize = std::env::var("HARMONIUM_KILLS").map_or(4, |n| n.parse().expect("a number of kills"));
    let (mut hits, mut tries) = (0, 0);
    while hits < kills {
        let (dir, moment) = (tempdir().unwrap(), time.mul_f64(rng.random()));
        hits += killed_after(run("--out", dir.path()).spawn().unwrap(), moment) as usize;
        tries += 1;
        assert!(tries < 3 * kills, "most kills must hit a process that still runs");
        let told = finish("--resume", dir.path()).stdout;
        assert!(results(dir.path()) == expected, "killed after {moment:?}");
        let told = String::from_utf8_lossy(&told);
        println!("killed after {moment:?}: {}", told.lines().nth(1).unwrap_or_default());
    }
    println!("{hits} kills of running processes, {} of ones that had ended", tries - hits);
}
/// Over and over, a little later every time.
#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bits() {
    let (_alone, (whole, time)) = (alone(), whole());
    let (dir, mut kills) = (tempdir().unwrap(), 0);
    while killed_after(run("--resume", dir.path()).spawn().unwrap(), time.mul_f64(0.2 + 0.04 * kills as f64)) {
        kills += 1;
    }
    finish("--resume", dir.path());
    assert!(results(dir.path()) == results(whole.path()) && kills >= 2, "{kills} kills");
}
/// Ctrl-C and SIGTERM end a run cleanly, with a model and a checkpoint of that very moment.
#[test]
fn runs_that_are_interrupted_end_with_a_checkpoint() {
    let (_alone, (whole, time)) = (alone(), whole());
    for (signal, part) in [("-INT", 0.5), ("-TERM", 0.3)] {
        let dir = tempdir().unwrap();
        let child = run("--out", dir.path()).spawn().unwrap();
        sleep(time.mul_f64(part));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(told.contains("interrupted at epoch") && told.contains("--resume"), "{told}");
        assert!(dir.path().join("model.safetensors").exists());
        let told = finish("--resume", dir.path()).stdout;
        assert!(String::from_utf8_lossy(&told).contains("going on from epoch"));
        assert!(results(dir.path()) == results(whole.path()), "{signal}");
    }
}
#[test]
fn what_cannot_be_continued_is_refused_with_the_reason() {
    let _alone = alone();
    let dir = tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let small = |more: &[&str]| {
        let output = mnist_rbm(&[&["--quick", "--hidden", "10"], more].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = small(&["--resume", folder]);
    assert!(code == Some(0) && told.contains("no checkpoint in") && told.contains("the run begins"), "{told}");
    let refusals: [(&[&str], &str); 6] = [
        (&["--k", "2"], "setting `k` must be `1`, got `2`"),
        (&["--seed", "2"], "setting `seed` must be `1`, got `2`"),
        (&["--method", "cd"], "setting `method` must be `pcd`, got `cd`"),
        (&["--hidden", "11"], "setting `hidden` must be `10`, got `11`"),
        (&["--redraw"], "setting `redraw` must be `false`, got `true`"),
        (&["--out", "/elsewhere"], "--out"),
    ];
    for (flags, expected) in refusals {
        let hidden: &[&str] = if flags[0] == "--hidden" { &[] } else { &["--hidden", "10"] };
        let output = mnist_rbm(&[&["--quick", "--resume", folder], hidden, flags].concat()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains(expected), "{flags:?}: {told}");
    }
    let file: PathBuf = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, told) = small(&["--resume", file.to_str().unwrap()]);
    assert!(code == Some(1) && told.contains(file.to_str().unwrap()), "{told}");
    let (code, told) = small(&["--out", folder, "--minutes", "0"]);
    assert!(code == Some(0) && told.contains("the time is up at epoch 0.00 of 1"), "{told}");
}
