//! Mutated model files and checkpoints; the states of sound checkpoints are loaded into a run, which then makes an update.

use crate::mutate::{Rng, damage, float, one, rarely, size};
use crate::{Reached, Target};
use harmonium::io::{
    Checkpoint, TensorFile, parse_boltzmann, parse_dbm, parse_dbn, parse_dense_memory, parse_modern_hopfield,
    parse_predictor, parse_rbm, parse_replicated_softmax, parse_sparse_boltzmann, save_boltzmann, save_dbm, save_dbn,
    save_dense_memory, save_modern_hopfield, save_predictor, save_rbm, save_replicated_softmax, save_sparse_boltzmann,
};
use harmonium::models::neural::{Activation, Predictor};
use harmonium::models::{
    Boltzmann, Boundary, Dbm, Dbn, DenseMemory, Interaction, ModernHopfield, Rbm, ReplicatedSoftmax, SparseBoltzmann,
};
use harmonium::objectives::{Contrastive, Objective};
use harmonium::optim::{Adam, Schedule, Sgd};
use harmonium::train::{EarlyStopping, Fit, History, Monitor, PseudoLogLikelihood, Run};
use harmonium::units::{Bernoulli, Gaussian, Spin};
use harmonium::{Chains, Mat, Resume, Saved};
use rand::RngExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, LazyLock};

pub(crate) fn targets() -> [Target; 8] {
    // JSON becomes maps of strings, which take some ten times its size.
    let memory = |bytes| 40 * bytes + 8192;
    let model = |bytes: &[u8]| reached(parse_rbm(bytes, Path::new("f")).map(drop));
    let topics = |bytes: &[u8]| reached(parse_replicated_softmax(bytes, Path::new("f")).map(drop));
    let deep = |bytes: &[u8]| {
        let path = Path::new("f");
        best([
            parse_dbm(bytes, path).map(drop),
            parse_dbn(bytes, path).map(drop),
            parse_predictor(bytes, path).map(drop),
        ])
    };
    let memories = |bytes: &[u8]| {
        let path = Path::new("f");
        best([parse_dense_memory(bytes, path).map(drop), parse_modern_hopfield(bytes, path).map(drop)])
    };
    let pairwise = |bytes: &[u8]| {
        let path = Path::new("f");
        best([parse_boltzmann(bytes, path).map(drop), parse_sparse_boltzmann(bytes, path).map(drop)])
    };
    let checkpoint = |bytes: &[u8]| reached(Checkpoint::parse(bytes, Path::new("f")).map(drop));
    [
        Target { name: "model", share: 0.2, memory, make: |rng| mutated(rng, &MODEL), read: model },
        Target { name: "model of documents", share: 0.1, memory, make: |rng| mutated(rng, &TOPICS), read: topics },
        Target { name: "deep model", share: 0.1, memory: |bytes| 64 * bytes + 16_384, make: deep_file, read: deep },
        Target { name: "memories", share: 0.1, memory: |bytes| 64 * bytes + 16_384, make: memory_file, read: memories },
        Target {
            name: "general machine",
            share: 0.1,
            memory: |bytes| 64 * bytes + 65_536,
            make: pairwise_file,
            read: pairwise,
        },
        Target { name: "tensors", share: 0.06, memory, make: |rng| mutated(rng, &CHECKPOINT), read: tensors },
        Target { name: "checkpoint", share: 0.1, memory, make: |rng| mutated(rng, &CHECKPOINT), read: checkpoint },
        Target { name: "checkpoint, sealed", share: 0.05, memory: |bytes| 60 * bytes + RUN, make: sealed, read: go_on },
    ]
}
/// How far a file came that is of one kind, and is offered to all of them.
fn best<const N: usize>(all: [harmonium::Result<()>; N]) -> Reached {
    let far = |r: &Reached| (*r == Reached::Content) as u8 + 2 * (*r == Reached::Whole) as u8;
    all.into_iter().map(reached).max_by_key(far).unwrap_or(Reached::Header)
}
/// What a small run takes for itself in an update.
const RUN: usize = 4_000_000;
fn tensors(bytes: &[u8]) -> Reached {
    reached(TensorFile::parse(bytes, Path::new("f")).map(drop))
}
fn reached(read: harmonium::Result<()>) -> Reached {
    let Err(error) = read else { return Reached::Whole };
    let text = error.to_string();
    let early = ["at least 8 bytes", "the header claims", "the header of the tensor file"];
    if early.iter().any(|part| text.contains(part)) { Reached::Header } else { Reached::Content }
}

static MODEL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("harmonium-fuzz-{}", std::process::id()));
    let mut rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
    rbm.initialise(&[0.5; 4], 0.0, 1).unwrap();
    save_rbm(&rbm, &[("epochs".into(), "3".into())].into(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
});
static TOPICS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("harmonium-fuzz-topics-{}", std::process::id()));
    let model = ReplicatedSoftmax::new(3, (2, Bernoulli));
    save_replicated_softmax(&model, &["a", "b", "c"].map(String::from), &Default::default(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
});
static DEEP: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("harmonium-fuzz-deep-{}", std::process::id()));
    let layer = |n: usize| (n, Arc::new(Bernoulli) as _);
    let machine = |d: usize, h: usize| Rbm::new((d, Bernoulli), (h, Bernoulli));
    let save: [&dyn Fn(); 3] = [
        &|| save_dbm(&Dbm::new(&[layer(3), layer(2), layer(2)]), &Default::default(), &path).unwrap(),
        &|| {
            let dbn = Dbn::from_stack(vec![machine(3, 2), Rbm::with_label(layer(2), 2, layer(2))]).unwrap();
            save_dbn(&dbn, &Default::default(), &path).unwrap();
        },
        &|| {
            let net = Predictor::new(3, &[(2, Activation::Relu)], &[layer(2)]);
            save_predictor(&net, &Default::default(), &path).unwrap();
        },
    ];
    save.map(|save| {
        save();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    })
});
fn deep_file(rng: &mut Rng) -> Vec<u8> {
    let kind = rng.random_range(0..DEEP.len());
    mutated(rng, &DEEP[kind])
}
static MEMORIES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("harmonium-fuzz-memories-{}", std::process::id()));
    let dense = DenseMemory::new(3, 2, Interaction::Rectified { degree: 3 }, 2.0).unwrap().bounded(1.0).unwrap();
    let save: [&dyn Fn(); 2] = [&|| save_dense_memory(&dense, &Default::default(), &path).unwrap(), &|| {
        save_modern_hopfield(&ModernHopfield::new(3, 2, 1.0).unwrap(), &Default::default(), &path).unwrap()
    }];
    save.map(|save| {
        save();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    })
});
fn memory_file(rng: &mut Rng) -> Vec<u8> {
    let kind = rng.random_range(0..MEMORIES.len());
    mutated(rng, &MEMORIES[kind])
}
static PAIRWISE: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("harmonium-fuzz-pairwise-{}", std::process::id()));
    let dense = Boltzmann::semi_restricted((3, Bernoulli), (2, Spin));
    let wheel = SparseBoltzmann::with_units((4, Arc::new(Spin)), 1, &[(0, 1), (1, 2), (2, 0), (0, 3)]).unwrap();
    let lattice = SparseBoltzmann::ising(&[3, 4], Boundary::Open, 0.5).unwrap();
    let save: [&dyn Fn(); 3] = [
        &|| save_boltzmann(&dense, &Default::default(), &path).unwrap(),
        &|| save_sparse_boltzmann(&wheel, &Default::default(), &path).unwrap(),
        &|| save_sparse_boltzmann(&lattice, &Default::default(), &path).unwrap(),
    ];
    save.map(|save| {
        save();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    })
});
fn pairwise_file(rng: &mut Rng) -> Vec<u8> {
    let kind = rng.random_range(0..PAIRWISE.len());
    mutated(rng, &PAIRWISE[kind])
}
static CHECKPOINT: LazyLock<Vec<u8>> = LazyLock::new(|| of_run(0).to_bytes().unwrap());
/// Checkpoints of runs of different kinds.
static STATES: LazyLock<Vec<Checkpoint>> = LazyLock::new(|| (0..KINDS).map(of_run).collect());
const KINDS: usize = 3;

fn data() -> Mat {
    Mat::from_fn(4, 6, |i, j| ((i * j) % 2) as f32)
}
/// A small run of a kind, before its first update; `then` gets it.
fn with_run<T>(kind: usize, then: impl FnOnce(&Fit, &mut Run<'_, Rbm>) -> T) -> T {
    let mut rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    let (mut adam, mut momentum) = (Adam::default(), Sgd::new(Schedule::Constant(0.5)));
    let mut objective: Box<dyn Objective<Rbm>> = match kind {
        0 => Box::new(Contrastive::pcd(1, Chains::zeros(&rbm, 3, 1))),
        1 => Box::new(Contrastive::cd(1, 1)),
        _ => Box::new(Contrastive::exact(&rbm).unwrap()),
    };
    let likelihood = || PseudoLogLikelihood(data());
    let mut monitors: Vec<Box<dyn Monitor<Rbm>>> = vec![
        Box::new(History::new(1, vec![Box::new(likelihood())])),
        Box::new(EarlyStopping::new(likelihood(), 1, 1000)),
    ];
    let fit = Fit { epochs: 2, batch: 3, ..Fit::default() };
    let mut run = match kind {
        0 => Run::new(&mut rbm, &mut *objective, &mut momentum, &mut monitors),
        _ => Run::new(&mut rbm, &mut *objective, &mut adam, &mut monitors),
    };
    then(&fit, &mut run)
}
fn of_run(kind: usize) -> Checkpoint {
    with_run(kind, |fit, run| {
        run.pause.at = Some(3);
        fit.run(run, &data()).unwrap();
        let mut state = Saved::default();
        run.save(&mut state);
        Checkpoint { settings: [("kind".into(), kind.to_string())].into(), state }
    })
}
/// Reads a checkpoint, loads its state and goes on.
fn go_on(bytes: &[u8]) -> Reached {
    let checkpoint = match Checkpoint::parse(bytes, Path::new("f")) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return reached(Err(error)),
    };
    let kind = checkpoint.settings.get("kind").and_then(|k| k.parse().ok()).unwrap_or(0);
    with_run(kind, |fit, run| {
        let went = run.load(&checkpoint.state).and_then(|()| {
            run.pause.at = Some(run.step.saturating_add(1));
            fit.run(run, &data())
        });
        if went.is_ok() { Reached::Whole } else { Reached::Content }
    })
}

/// A file of tensors with something wrong in its header, its values or its bytes.
fn mutated(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(valid[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&valid[8..8 + length]).unwrap();
    let mut body = valid[8 + length..].to_vec();
    for _ in 0..rng.random_range(1..3) {
        match rng.random_range(0..8) {
            0..=3 => change_entry(rng, &mut header, &mut body),
            4 => change_notes(rng, &mut header),
            5 | 6 => change_value(rng, &mut body),
            _ if rarely(rng, 4) => damage(rng, &mut body),
            _ => {}
        }
    }
    let mut text = serde_json::to_vec(&header).unwrap();
    if rarely(rng, 8) {
        damage(rng, &mut text);
    }
    let claimed = if rarely(rng, 20) { size(rng, text.len() as u64) } else { text.len() as u64 };
    let mut bytes = [&claimed.to_le_bytes()[..], &text, &body].concat();
    if rarely(rng, 20) {
        damage(rng, &mut bytes);
    }
    bytes
}
/// One tensor: its type, its shape, its place or its name; sometimes such that all still agree.
fn change_entry(rng: &mut Rng, header: &mut Value, body: &mut Vec<u8>) {
    let entries = header.as_object_mut().unwrap();
    // Those that an earlier change has left an object.
    let names = entries.iter().filter(|(name, entry)| *name != "__metadata__" && entry.is_object());
    let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        return;
    }
    let name = one(rng, &names);
    let entry = &mut entries[&name];
    match rng.random_range(0..8) {
        0 => {
            entry["dtype"] = one(rng, &[json!("F32"), json!("F64"), json!("U64"), json!("BF16"), json!("?"), json!(3)])
        }
        1 => {
            let k = rng.random_range(0..3);
            let shape = entry["shape"].as_array().cloned().unwrap_or_default();
            let sides = shape.iter().map(|v| v.as_u64().unwrap_or(1)).chain([1]);
            let sides: Vec<u64> = sides.enumerate().map(|(i, v)| if i == k { size(rng, v) } else { v }).collect();
            entry["shape"] = json!(sides[..sides.len() - rng.random_range(0..2)]);
        }
        2 => {
            let offsets: Vec<u64> = (0..2).map(|_| size(rng, body.len() as u64)).collect();
            entry["data_offsets"] = json!(offsets);
        }
        3 => {
            let entry = entries.remove(&name).unwrap();
            entries.insert(one(rng, &["weights", "x", "a//b", "", "/", "é\u{0}", "step"]).into(), entry);
        }
        4 => drop(entries.remove(&name)),
        5 => {
            // Another tensor after all others, and the bytes it asks for.
            let (n, start) = (rng.random_range(0..5u64), body.len() as u64);
            body.extend((0..4 * n).map(|_| 0));
            let name = "deep/".repeat(rng.random_range(0..80)) + "more";
            entries.insert(name, json!({"dtype": "F32", "shape": [n], "data_offsets": [start, start + 4 * n]}));
        }
        6 => {
            // The transposed shape: as many values, elsewhere.
            let mut shape = entry["shape"].as_array().cloned().unwrap_or_default();
            shape.reverse();
            entry["shape"] = json!(shape);
        }
        _ => *entry = one(rng, &[json!(null), json!([]), json!({"dtype": "F32"}), json!([[[[[[1]]]]]])]),
    }
}
fn change_notes(rng: &mut Rng, header: &mut Value) {
    let Some(notes) = header.get_mut("__metadata__").and_then(Value::as_object_mut) else { return };
    let names: Vec<String> = notes.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let name = one(rng, &names);
    match rng.random_range(0..3) {
        0 => drop(notes.remove(&name)),
        1 => notes[&name] = one(rng, &[json!("2"), json!("spin"), json!("gaussian"), json!(""), json!(7), json!(null)]),
        _ => drop(notes.insert("note".repeat(rng.random_range(0..50)), json!("\u{1F600}\n"))),
    }
}
fn change_value(rng: &mut Rng, body: &mut [u8]) {
    if body.len() < 4 {
        return;
    }
    let at = rng.random_range(0..=body.len() - 4);
    body[at..at + 4].copy_from_slice(&float(rng).to_le_bytes());
}

/// A checkpoint whose checksum is right and whose state is not.
fn sealed(rng: &mut Rng) -> Vec<u8> {
    let mut checkpoint = one(rng, &STATES);
    for _ in 0..rng.random_range(1..4) {
        change_state(rng, &mut checkpoint.state);
    }
    if rarely(rng, 30) {
        checkpoint.settings.insert("kind".into(), rng.random_range(0..KINDS + 1).to_string());
    }
    // A state with a number that is not finite cannot be written.
    checkpoint.to_bytes().unwrap_or_else(|_| sealed(rng))
}
/// Somewhere in the tree, an entry gets other values, another length, another type, or a brother.
pub(crate) fn change_state(rng: &mut Rng, saved: &mut Saved) {
    let children: Vec<String> = saved.children().keys().cloned().collect();
    if !children.is_empty() && !rarely(rng, 3) {
        let child = one(rng, &children);
        return change_state(rng, saved.child_mut(&child));
    }
    let names = |of: &mut dyn Iterator<Item = &String>| of.cloned().collect::<Vec<String>>();
    let (floats, words) = (names(&mut saved.all_floats().keys()), names(&mut saved.all_words().keys()));
    if !floats.is_empty() && (words.is_empty() || rng.random()) {
        let name = one(rng, &floats);
        let mut values = saved.floats(&name).unwrap().to_vec();
        if rarely(rng, 4) {
            return saved.put_words(&name, vec![rng.random(); values.len()]);
        }
        resize_or_change(rng, &mut values, |rng, _| float(rng));
        saved.put(&name, &values);
    } else if !words.is_empty() {
        let name = one(rng, &words);
        let mut values = saved.words(&name).unwrap().to_vec();
        resize_or_change(rng, &mut values, |rng, word| size(rng, word.min(1 << 40)));
        saved.put_words(&name, values);
    }
}
fn resize_or_change<T: Copy + Default>(rng: &mut Rng, values: &mut Vec<T>, change: impl Fn(&mut Rng, T) -> T) {
    if values.is_empty() || rarely(rng, 3) {
        let n = size(rng, values.len() as u64).min(200) as usize;
        values.resize(n, T::default());
    } else {
        let at = rng.random_range(0..values.len());
        values[at] = change(rng, values[at]);
    }
}
