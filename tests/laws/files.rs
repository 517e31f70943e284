//! Law 16: a model file holds a model to the bit, and what is wrong with a file is said by name.

use crate::cases::{self, name};
use crate::kinds::Interval;
use harmonium::infer::features;
use harmonium::io::{
    Tensor, TensorFile, Values, load_dbm, load_dbn, load_predictor, load_rbm, load_replicated_softmax, save_dbm,
    save_dbn, save_predictor, save_rbm, save_replicated_softmax,
};
use harmonium::models::neural::{Activation, Predictor};
use harmonium::models::{Dbm, Dbn, Rbm, ReplicatedSoftmax};
use harmonium::units::{Bernoulli, Binomial, Gaussian, LogPrecision, Relu, Softmax, Spin, label};
use harmonium::{Energy, Error, Learn, States, Train, Unit};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rbm.safetensors");
    (folder, path)
}
/// A saved 4 × 3 machine, changed by `spoil`, and what reading it says.
fn complaint(spoil: impl FnOnce(&mut TensorFile)) -> String {
    let (_folder, path) = place();
    save_rbm(&cases::bernoulli(4, 3, 1), &BTreeMap::new(), &path).unwrap();
    let mut file = TensorFile::read(&path).unwrap();
    spoil(&mut file);
    file.write(&path).unwrap();
    let e = load_rbm(&path).expect_err("a complaint");
    assert!(matches!(e, Error::Format { .. }), "{e}");
    let text = e.to_string();
    assert!(text.contains("rbm.safetensors"), "{text}");
    text
}

#[test]
fn models_come_back_to_the_bit() {
    for mut rbm in cases::all() {
        rbm.update(&mut |p| {
            p.as_mut_slice()[..4].copy_from_slice(&[-0.0, f32::MIN_POSITIVE / 8.0, f32::MAX, 0.1 + 0.2]);
        });
        let (_folder, path) = place();
        let notes = BTreeMap::from([("epochs".to_string(), "20".to_string())]);
        save_rbm(&rbm, &notes, &path).unwrap();
        let (back, metadata) = load_rbm(&path).unwrap();
        let bits = |m: &Rbm| m.params().as_slice().iter().map(|p| p.to_bits()).collect::<Vec<u32>>();
        assert_eq!((bits(&back), name(&back)), (bits(&rbm), name(&rbm)));
        let fields = |m: &Rbm| {
            let mut states = States::new(cases::probes(m, 9));
            [Rbm::HIDDEN, Rbm::VISIBLE].map(|b| states.field(m, b).map(f32::to_bits))
        };
        assert_eq!(fields(&back), fields(&rbm), "what is derived of the weights");
        assert_eq!(metadata["epochs"], "20");
        save_rbm(&back, &metadata, &path).unwrap();
        assert_eq!(load_rbm(&path).unwrap().1, metadata);
    }
}
/// In the file, weights are hidden × visible in row-major order, for readers that know nothing of this library.
#[test]
fn weights_lie_as_documented() {
    let (_folder, path) = place();
    let rbm = cases::bernoulli(4, 3, 1);
    save_rbm(&rbm, &BTreeMap::new(), &path).unwrap();
    let file = TensorFile::read(&path).unwrap();
    let w = file.floats("weights", &[3, 4]).unwrap();
    assert!((0..3).all(|j| (0..4).all(|i| w[j * 4 + i] == rbm.weights()[(j, i)])));
    assert_eq!(file.floats("visible_bias", &[4]).unwrap(), rbm.visible_bias());
    assert_eq!(file.floats("hidden_bias", &[3]).unwrap(), rbm.hidden_bias());
    assert_eq!(file.tensors.len(), 3);
}
#[test]
fn a_file_without_metadata_is_of_bernoulli_units() {
    let (_folder, path) = place();
    save_rbm(&cases::random(Rbm::new((4, Spin), (3, Gaussian)), 0.5, 1), &BTreeMap::new(), &path).unwrap();
    let mut file = TensorFile::read(&path).unwrap();
    file.metadata.clear();
    file.write(&path).unwrap();
    let (rbm, metadata) = load_rbm(&path).unwrap();
    assert_eq!(name(&rbm), "bernoulli × bernoulli");
    assert!(metadata.is_empty());
}
#[test]
fn complaints_name_the_thing() {
    let note = |key: &'static str, value: &'static str| {
        complaint(move |f| {
            f.metadata.insert(key.into(), value.into());
        })
    };
    assert!(note("harmonium_format", "99").contains("version 99"));
    assert!(note("visible_unit", "quark").contains("`quark`"));
    assert!(note("hidden_unit", "quark").contains("`hidden_unit`"));
    assert!(note("model", "dbm").contains("`dbm`"));
    for tensor in ["weights", "visible_bias", "hidden_bias"] {
        let missing = complaint(|f| {
            f.tensors.remove(tensor);
        });
        assert!(missing.contains(&format!("`{tensor}`")), "{missing}");
        for shape in [vec![], vec![2], vec![1, 2], vec![0], vec![2, 2, 2], vec![0, 1 << 40]] {
            let n = shape.iter().product();
            let wrong = Tensor { shape, values: Values::F32(vec![0.5; n]) };
            let text = complaint(|f| drop(f.tensors.insert(tensor.into(), wrong)));
            assert!(text.contains("bias`") || text.contains("`weights`"), "{text}");
        }
        let whole = complaint(|f| {
            let Tensor { shape, values } = f.tensors[tensor].clone();
            f.tensors.insert(tensor.into(), Tensor { shape, values: Values::U64(vec![1; values.len()]) });
        });
        assert!(whole.contains(&format!("`{tensor}`")) && whole.contains("F32"), "{whole}");
    }
}
#[test]
fn numbers_that_are_not_finite_neither_go_in_nor_come_out() {
    let (_folder, path) = place();
    let mut rbm = cases::bernoulli(4, 3, 1);
    rbm.update(&mut |p| p.slice_mut(2)[1] = f32::NAN);
    let text = save_rbm(&rbm, &BTreeMap::new(), &path).unwrap_err().to_string();
    assert!(text.contains("hidden_bias") && !path.exists(), "{text}");
    save_rbm(&cases::bernoulli(4, 3, 1), &BTreeMap::new(), &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let text = load_rbm(&path).unwrap_err().to_string();
    assert!(text.contains("weights") && text.contains("NaN"), "{text}"); // the last tensor by name
    std::fs::write(&path, &bytes[..at]).unwrap();
    assert!(matches!(load_rbm(&path), Err(Error::Format { .. })));
    assert!(matches!(load_rbm(&path.with_extension("none")), Err(Error::Io { .. })));
}
/// Whoever saves a model of kinds that no reader knows hears of it no later than when reading.
#[test]
fn a_kind_of_the_users_own_is_named_when_it_cannot_be_read() {
    let (_folder, path) = place();
    let rbm = cases::strong((4, Arc::new(Interval)), (3, Arc::new(Bernoulli)), 1);
    let text = match save_rbm(&rbm, &BTreeMap::new(), &path) {
        Ok(()) => load_rbm(&path).unwrap_err().to_string(),
        Err(e) => e.to_string(),
    };
    assert!(text.contains("interval"), "{text}");
}
/// The number that a kind is made with is part of its name in a file.
#[test]
fn kinds_with_a_number_come_back_with_it() {
    let kinds: [Arc<dyn Unit>; 4] =
        [Arc::new(Softmax { q: 3 }), Arc::new(Binomial { n: 5 }), Arc::new(Relu), Arc::new(LogPrecision)];
    for kind in kinds {
        let (_folder, path) = place();
        let rbm = cases::strong((6, kind.clone()), (3, Arc::new(Bernoulli)), 1);
        save_rbm(&rbm, &BTreeMap::new(), &path).unwrap();
        let (back, _) = load_rbm(&path).unwrap();
        assert_eq!((back.params(), label(&*back.visible()[0].unit)), (rbm.params(), label(&*kind)));
    }
    for (text, told) in [
        ("softmax", "one of"),
        ("softmax()", "one of"),
        ("softmax(0)", "one of"),
        ("softmax(-3)", "one of"),
        ("softmax(5)", "divide"),
        ("spin(2)", "one of"),
        ("binomial(99999999999)", "one of"),
        ("binomial(0)", "one of"),
    ] {
        let message = complaint(|file| drop(file.metadata.insert("visible_unit".into(), text.into())));
        assert!(message.contains(told), "{text}: {message}");
    }
}

fn topics(kind: Arc<dyn Unit>) -> (ReplicatedSoftmax, Vec<String>) {
    let mut model = ReplicatedSoftmax::with_hidden(3, (2, kind));
    model.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(k, v)| *v = 0.1 + k as f32 / 3.0));
    (model, ["plain", "größe", "\"quoted\", \n"].map(String::from).to_vec())
}
#[test]
fn replicated_softmaxes_come_back_to_the_bit_with_their_words() {
    let kinds: [Arc<dyn Unit>; 3] = [Arc::new(Bernoulli), Arc::new(LogPrecision), Arc::new(Softmax { q: 2 })];
    for kind in kinds {
        let ((model, words), (_folder, path)) = (topics(kind), place());
        let notes = BTreeMap::from([("epochs".to_string(), "20".to_string())]);
        save_replicated_softmax(&model, &words, &notes, &path).unwrap();
        let (back, vocabulary, metadata) = load_replicated_softmax(&path).unwrap();
        assert_eq!((back.params(), &vocabulary, &metadata["epochs"][..]), (model.params(), &words, "20"));
        let fields = |m: &ReplicatedSoftmax| {
            let mut states = States::zeros(6, 2);
            states.x_mut().fill(1.0);
            [0, 1].map(|b| states.field(m, b).map(f32::to_bits))
        };
        assert_eq!(fields(&back), fields(&model), "what is derived of the weights");
        save_replicated_softmax(&model, &[], &notes, &path).unwrap();
        assert_eq!(load_replicated_softmax(&path).unwrap().1, [""; 0]);
        let text = save_replicated_softmax(&model, &words[1..], &notes, &path).unwrap_err().to_string();
        assert!(text.contains("vocabulary") && text.contains('2'), "{text}");
    }
    // In the file, weights are hidden × words in row-major order.
    let ((model, words), (_folder, path)) = (topics(Arc::new(Bernoulli)), place());
    save_replicated_softmax(&model, &words, &BTreeMap::new(), &path).unwrap();
    let file = TensorFile::read(&path).unwrap();
    let w = file.floats("weights", &[2, 3]).unwrap();
    assert!((0..2).all(|j| (0..3).all(|i| w[j * 3 + i] == model.weights()[(j, i)])));
}
#[test]
fn what_is_wrong_with_the_file_of_a_replicated_softmax_is_named() {
    let complaint = |spoil: &dyn Fn(&mut TensorFile)| {
        let ((model, words), (_folder, path)) = (topics(Arc::new(Bernoulli)), place());
        save_replicated_softmax(&model, &words, &BTreeMap::new(), &path).unwrap();
        let mut file = TensorFile::read(&path).unwrap();
        spoil(&mut file);
        file.write(&path).unwrap();
        let e = load_replicated_softmax(&path).expect_err("a complaint");
        assert!(matches!(e, Error::Format { .. }), "{e}");
        e.to_string()
    };
    let note = |key: &str, value: &str| complaint(&|f| drop(f.metadata.insert(key.into(), value.into())));
    assert!(note("harmonium_format", "99").contains("version 99"));
    assert!(note("model", "rbm").contains("`rbm`"));
    assert!(note("hidden_unit", "quark").contains("`quark`"));
    assert!(note("hidden_unit", "1 spin, 1 bernoulli").contains("one kind"));
    assert!(note("vocabulary", "plain").contains("`vocabulary`"));
    assert!(note("vocabulary", "[1, 2, 3]").contains("`vocabulary`"));
    assert!(note("vocabulary", r#"["a", "b"]"#).contains("must have 3 words, and has 2"));
    assert!(complaint(&|f| drop(f.metadata.remove("model"))).contains("`rbm`"));
    for tensor in ["weights", "visible_bias", "hidden_bias"] {
        assert!(complaint(&|f| drop(f.tensors.remove(tensor))).contains(&format!("`{tensor}`")));
    }
    let none = complaint(&|f| {
        let empty = |shape: &[usize]| Tensor { shape: shape.to_vec(), values: Values::F32(vec![]) };
        f.tensors.insert("weights".into(), empty(&[2, 0]));
        f.tensors.insert("visible_bias".into(), empty(&[0]));
    });
    assert!(none.contains("none"), "{none}");
    // The file of one model is not taken for another.
    let ((model, words), (_folder, path)) = (topics(Arc::new(Bernoulli)), place());
    save_replicated_softmax(&model, &words, &BTreeMap::new(), &path).unwrap();
    assert!(load_rbm(&path).unwrap_err().to_string().contains("`replicated_softmax`"));
}

/// A machine of three layers, a net with a label, a network: all layers that a file must tell.
fn deep() -> (Dbm, Dbn, Predictor) {
    let layer = |n: usize| (n, Arc::new(Bernoulli) as Arc<dyn Unit>);
    let mut dbm = Dbm::with_layers(&[&[layer(3), (2, Arc::new(LogPrecision))], &[layer(4)], &[(3, Arc::new(Spin))]]);
    let label = Rbm::with_label(layer(4), 3, layer(2));
    let mut dbn = Dbn::from_stack(vec![Rbm::new((5, Gaussian), (4, Bernoulli)), label]).unwrap();
    let outputs = [layer(2), (3, Arc::new(Softmax { q: 3 }) as _), (1, Arc::new(LogPrecision) as _)];
    let mut net = Predictor::new(4, &[(6, Activation::Silu), (5, Activation::Relu)], &outputs);
    let fill = |p: &mut harmonium::Params| {
        p.as_mut_slice().iter_mut().enumerate().for_each(|(k, v)| *v = (k as f32 * 0.7).sin());
    };
    dbm.update(&mut |p| fill(p));
    dbn.update(&mut |p| fill(p));
    net.update(&mut |p| fill(p));
    (dbm, dbn, net)
}
#[test]
fn deep_models_come_back_to_the_bit() {
    let ((_folder, path), (dbm, dbn, net)) = (place(), deep());
    let notes = BTreeMap::from([("epochs".to_string(), "20".to_string())]);
    let v = harmonium::Mat::from_fn(5, 7, |i, j| ((i + j) % 2) as f32);
    save_dbm(&dbm, &notes, &path).unwrap();
    let (back, metadata) = load_dbm(&path).unwrap();
    assert_eq!((back.params(), metadata["epochs"].as_str()), (dbm.params(), "20"));
    let kinds = |m: &Dbm| m.blocks().iter().map(|b| (b.rows.clone(), label(&*b.unit))).collect::<Vec<_>>();
    assert_eq!(kinds(&back), kinds(&dbm));
    assert_eq!(features(&back, v.as_view()).unwrap(), features(&dbm, v.as_view()).unwrap());
    save_dbn(&dbn, &notes, &path).unwrap();
    let (back, _) = load_dbn(&path).unwrap();
    assert_eq!((back.params(), back.n_label()), (dbn.params(), 3));
    assert_eq!(back.classify(v.as_view()).unwrap(), dbn.classify(v.as_view()).unwrap());
    save_predictor(&net, &notes, &path).unwrap();
    let (back, _) = load_predictor(&path).unwrap();
    assert_eq!(back.params(), net.params());
    assert_eq!(back.predict(v.rows(0, 4)).unwrap(), net.predict(v.rows(0, 4)).unwrap());
}
#[test]
fn what_is_wrong_with_a_deep_file_is_said() {
    let ((_folder, path), (dbm, dbn, net)) = (place(), deep());
    let save: [&dyn Fn(); 3] = [
        &|| save_dbm(&dbm, &BTreeMap::new(), &path).unwrap(),
        &|| save_dbn(&dbn, &BTreeMap::new(), &path).unwrap(),
        &|| save_predictor(&net, &BTreeMap::new(), &path).unwrap(),
    ];
    let load = || [load_dbm(&path).err(), load_dbn(&path).err(), load_predictor(&path).err()];
    for (k, save) in save.iter().enumerate() {
        save();
        for (other, error) in load().into_iter().enumerate() {
            assert_eq!(error.is_some(), other != k, "only its own kind reads it");
            assert!(other == k || error.unwrap().to_string().contains("of a model of kind"));
        }
        let complaint = |spoil: &dyn Fn(&mut TensorFile)| {
            save();
            let mut file = TensorFile::read(&path).unwrap();
            spoil(&mut file);
            file.write(&path).unwrap();
            load().into_iter().nth(k).flatten().expect("a complaint").to_string()
        };
        let layers = |text: &'static str| {
            move |f: &mut TensorFile| {
                f.metadata.insert("layers".into(), text.into());
            }
        };
        assert!(complaint(&|f| drop(f.metadata.remove("layers"))).contains("`layers` is missing"));
        assert!(complaint(&layers("5 bernoulli")).contains("layer"));
        assert!(complaint(&layers("9 inputs; 99999999999 sigmoid; 3 bernoulli")).len() > 10);
        assert!(
            complaint(&layers("18446744073709551615 bernoulli; 18446744073709551615 bernoulli; 2 bernoulli")).len()
                > 10
        );
        assert!(complaint(&layers("bernoulli; 4 bernoulli; 3 spin")).len() > 10);
        let first = |f: &TensorFile| f.tensors.keys().next().unwrap().clone();
        assert!(complaint(&|f| drop(f.tensors.remove(&first(f)))).len() > 10);
    }
}
