//! Folders of runs with a mutated file, made into a page.

use crate::mutate::{Rng, damage, one, rarely};
use crate::tensors::change_state;
use crate::{Reached, Target};
use harmonium::Mat;
use harmonium::io::Checkpoint;
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::Sgd;
use harmonium::report::{About, Report};
use harmonium::train::{Fit, Run, Snapshots};
use harmonium::units::Bernoulli;
use rand::RngExt;
use serde_json::{Value, json};
use std::fs;
use std::sync::LazyLock;
use tempfile::{TempDir, tempdir};

pub(crate) fn targets() -> [Target; 2] {
    // A page has pictures and charts, whatever it is made of.
    let memory = |bytes| 200 * bytes + 4_000_000;
    [
        Target {
            name: "report, snapshots",
            share: 0.005,
            memory,
            make: snapshots,
            read: |bytes| page("snapshots.safetensors", bytes),
        },
        Target {
            name: "report, records",
            share: 0.005,
            memory,
            make: records,
            read: |bytes| page("metrics.jsonl", bytes),
        },
    ]
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempdir().unwrap());
fn page(name: &str, bytes: &[u8]) -> Reached {
    let folder = FOLDER.path();
    ["snapshots.safetensors", "metrics.jsonl"].iter().for_each(|old| drop(fs::remove_file(folder.join(old))));
    fs::write(folder.join(name), bytes).unwrap();
    match Report::read(folder) {
        Ok(report) => {
            let (html, text) = (report.to_html(), report.to_string());
            assert!(html.ends_with("</html>\n") && !html.contains("<script") && !text.is_empty());
            Reached::Whole
        }
        Err(_) => Reached::Content,
    }
}
static SEEN: LazyLock<Checkpoint> = LazyLock::new(|| {
    About::now("fuzz", Default::default()).write(FOLDER.path()).unwrap();
    let path = FOLDER.path().join("seen");
    let (data, mut rbm) = (Mat::zeros(4, 6), Rbm::new((4, Bernoulli), (3, Bernoulli)));
    let mut snapshots = Snapshots::new(4, data.clone(), 1);
    snapshots.path = Some(path.clone());
    let (mut cd, mut sgd) = (Contrastive::cd(1, 1), Sgd::default());
    let fit = Fit { epochs: 2, batch: 3, ..Fit::default() };
    fit.run(&mut Run::new(&mut rbm, &mut cd, &mut sgd, &mut snapshots), &data).unwrap();
    Checkpoint::read(&path).unwrap()
});
fn snapshots(rng: &mut Rng) -> Vec<u8> {
    let mut seen = SEEN.clone();
    (0..rng.random_range(1..4)).for_each(|_| change_state(rng, &mut seen.state));
    seen.to_bytes().unwrap_or_else(|_| snapshots(rng))
}
fn records(rng: &mut Rng) -> Vec<u8> {
    let values: [Value; 8] =
        [json!(1), json!(-1e308), json!(1e-320), json!(null), json!("<script>"), json!([]), json!(1e19), json!(0.5)];
    let names = ["epoch", "seconds", "learning_rate", "step", "loss", "<script>alert(1)</script>", "\u{0}", ""];
    let mut text = String::new();
    for _ in 0..rng.random_range(0..6) {
        let entries = (0..rng.random_range(0..6)).map(|_| (one(rng, &names).to_string(), one(rng, &values)));
        text += &(Value::Object(entries.collect()).to_string() + "\n");
    }
    let mut bytes = text.into_bytes();
    if rarely(rng, 4) {
        damage(rng, &mut bytes);
    }
    bytes
}
