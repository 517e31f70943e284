//! Model files: an RBM or a replicated softmax as safetensors, readable wherever safetensors are.
//!
//! Tensors `weights` (hidden × visible, row-major), `visible_bias`, `hidden_bias`, and `visible_theta`, `hidden_theta` if
//! the units have parameters of their own; unit kinds with their numbers (`softmax(10)`), version and settings are metadata. A layer
//! of several ranges names them with their rows: `784 bernoulli, 10 softmax(10)`.
//! The kind of the model is the note `model`. A replicated softmax (`replicated_softmax`, hidden × words) has no kind of visible units,
//! and its words as the note `vocabulary`, a JSON list.
//! A file without metadata is an RBM of Bernoulli units. From Python: `safetensors.numpy.load_file(path)["weights"]`.

use super::{Tensor, TensorFile, Values, read};
use crate::models::{Kind, Rbm, ReplicatedSoftmax};
use crate::units::{
    Bernoulli, Binomial, Gaussian, LogPrecision, Real, Relu, Softmax, Spin, TruncatedExponential, label,
};
use crate::{Block, Energy, Error, Learn, Mat, Params, Result, Train, Unit};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The version of the format that is written; files of no other are read.
pub const MODEL_FORMAT: &str = "1";
/// Metadata that the format itself uses.
const FORMAT: &str = "harmonium_format";
const KIND: &str = "model";
const VISIBLE: &str = "visible_unit";
const HIDDEN: &str = "hidden_unit";
const VOCABULARY: &str = "vocabulary";
/// Kinds of models.
const RBM: &str = "rbm";
const REPLICATED_SOFTMAX: &str = "replicated_softmax";

/// Writes an RBM, with the caller's own `notes` (training settings, say) beside the format's metadata.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written, [`Error::Value`] if a parameter is not finite or a unit kind is none that
/// model files know.
pub fn save_rbm(rbm: &Rbm, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    let own = [(KIND, RBM.to_string()), (VISIBLE, layer(rbm.visible())), (HIDDEN, layer(rbm.hidden()))];
    save(rbm, (rbm.blocks(), &own), notes, path)
}

/// Writes a replicated softmax with its vocabulary, one word a visible unit or none at all, and the caller's own `notes`.
///
/// # Errors
/// Those of [`save_rbm`]; [`Error::Shape`] if there are words, but not one for each unit.
pub fn save_replicated_softmax(
    model: &ReplicatedSoftmax,
    vocabulary: &[String],
    notes: &BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    if !vocabulary.is_empty() && vocabulary.len() != model.n_words() {
        return Err(Error::shape("the vocabulary of a model file", model.n_words(), vocabulary.len()));
    }
    let hidden = &model.blocks()[ReplicatedSoftmax::HIDDEN..=ReplicatedSoftmax::HIDDEN];
    let words = serde_json::Value::from(vocabulary).to_string();
    let own = [(KIND, REPLICATED_SOFTMAX.to_string()), (HIDDEN, layer(hidden)), (VOCABULARY, words)];
    save(model, (hidden, &own), notes, path)
}

/// Writes the parameters of a model whose blocks `named` are told by the metadata `own`.
fn save(
    model: &dyn Learn,
    (named, own): (&[Block], &[(&str, String)]),
    notes: &BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    check_kinds(named)?;
    write(model.params(), own, notes, path)
}

/// Whether model files know the kinds of these units.
pub(super) fn check_kinds(named: &[Block]) -> Result<()> {
    for Block { unit, .. } in named {
        kind(&label(&**unit)).map_err(|known| Error::value("the unit kind of a model file", known, unit.name()))?;
    }
    Ok(())
}

/// Writes parameters with the metadata `own`.
pub(super) fn write(
    params: &Params,
    own: &[(&str, String)],
    notes: &BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    write_with(params, BTreeMap::new(), own, notes, path)
}

/// The same beside other tensors.
pub(super) fn write_with(
    params: &Params,
    tensors: BTreeMap<String, Tensor>,
    own: &[(&str, String)],
    notes: &BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    let mut file = TensorFile { metadata: notes.clone(), tensors };
    file.metadata.extend(own.iter().map(|(k, v)| (k.to_string(), v.clone())));
    file.metadata.insert(FORMAT.to_string(), MODEL_FORMAT.to_string());
    for (k, slot) in params.slots().iter().enumerate().filter(|(_, s)| s.rows * s.columns > 0) {
        // Row-major is the transpose in column-major memory.
        let values = params.mat(k).transpose().as_slice().to_vec();
        let shape = if slot.role.is_weights() { vec![slot.rows, slot.columns] } else { vec![slot.rows] };
        file.tensors.insert(slot.name.clone(), Tensor { shape, values: Values::F32(values) });
    }
    file.write(path)
}

/// Reads an RBM and the metadata of its file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is of another version or model, names an unknown
/// unit kind, lacks a tensor, or has one of another shape or with a value that is not finite.
pub fn load_rbm(path: &Path) -> Result<(Rbm, BTreeMap<String, String>)> {
    parse_rbm(&read(path)?, path)
}

/// [`load_rbm`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`load_rbm`].
pub fn parse_rbm(bytes: &[u8], path: &Path) -> Result<(Rbm, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    let [h, d] = shape(&file, RBM, path)?;
    let note = |key: &str| file.metadata.get(key).map(String::as_str);
    let (visible, hidden) =
        (kinds(note(VISIBLE), VISIBLE, Some(d), path)?, kinds(note(HIDDEN), HIDDEN, Some(h), path)?);
    let mut rbm = Rbm::with_layers(&visible, &hidden);
    load(&mut rbm, &file, path)?;
    Ok((rbm, file.metadata))
}

/// Reads a replicated softmax, its vocabulary (empty if the file has none), and the metadata of its file.
///
/// # Errors
/// Those of [`load_rbm`]; [`Error::Format`] if the vocabulary is no JSON list of as many texts as there are words.
pub fn load_replicated_softmax(path: &Path) -> Result<(ReplicatedSoftmax, Vec<String>, BTreeMap<String, String>)> {
    parse_replicated_softmax(&read(path)?, path)
}

/// [`load_replicated_softmax`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`load_replicated_softmax`].
pub fn parse_replicated_softmax(
    bytes: &[u8],
    path: &Path,
) -> Result<(ReplicatedSoftmax, Vec<String>, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    let [h, words] = shape(&file, REPLICATED_SOFTMAX, path)?;
    if words == 0 {
        return Err(Error::format(path, "a replicated softmax must have words, and this has none"));
    }
    let note = |key: &str| file.metadata.get(key).map(String::as_str);
    let [hidden] = &kinds(note(HIDDEN), HIDDEN, Some(h), path)?[..] else {
        return Err(Error::format(path, format!("`{HIDDEN}` must be one kind")));
    };
    let vocabulary: Vec<String> = serde_json::from_str(note(VOCABULARY).unwrap_or("[]"))
        .map_err(|why| Error::format(path, format!("`{VOCABULARY}` must be a JSON list of words: {why}")))?;
    if !vocabulary.is_empty() && vocabulary.len() != words {
        let what = format!("`{VOCABULARY}` must have {words} words, and has {}", vocabulary.len());
        return Err(Error::format(path, what));
    }
    let mut model = ReplicatedSoftmax::with_hidden(words, hidden.clone());
    load(&mut model, &file, path)?;
    Ok((model, vocabulary, file.metadata))
}

/// Whether a file is of this version, and holds a model of this kind.
pub(super) fn check_version(file: &TensorFile, kind: &str, path: &Path) -> Result<()> {
    let note = |key: &str| file.metadata.get(key).map(String::as_str);
    if let Some(version) = note(FORMAT).filter(|v| *v != MODEL_FORMAT) {
        let what = format!("this is a model file of version {version}; this library reads version {MODEL_FORMAT}");
        return Err(Error::format(path, what));
    }
    // Where nothing is said, it is an RBM.
    let found = note(KIND).unwrap_or(RBM);
    if found != kind {
        return Err(Error::format(path, format!("this is the file of a model of kind `{found}`, not of an `{kind}`")));
    }
    Ok(())
}

/// Rows and columns of the weights of a file that is of this version and holds a model of this kind; biases are as many.
fn shape(file: &TensorFile, kind: &str, path: &Path) -> Result<[usize; 2]> {
    check_version(file, kind, path)?;
    let weights = file.tensor("weights").map_err(|e| Error::format(path, e.to_string()))?;
    let [h, d] = weights.shape[..] else {
        return Err(Error::format(
            path,
            format!("`weights` must be hidden × visible, but have shape {:?}", weights.shape),
        ));
    };
    // Biases first: `weights` without elements could claim any number of units.
    for (name, n) in [("visible_bias", d), ("hidden_bias", h)] {
        file.floats(name, &[n]).map_err(|e| Error::format(path, e.to_string()))?;
    }
    Ok([h, d])
}

/// Fills a model with the tensors of a file.
fn load(model: &mut dyn Train, file: &TensorFile, path: &Path) -> Result<()> {
    let mut read = Ok(());
    model.update(&mut |params| read = fill(params, file, path));
    read
}

/// Copies every tensor to its slot.
pub(super) fn fill(params: &mut Params, file: &TensorFile, path: &Path) -> Result<()> {
    for (k, slot) in params.slots().to_vec().iter().enumerate().filter(|(_, s)| s.rows * s.columns > 0) {
        let shape = if slot.role.is_weights() { vec![slot.rows, slot.columns] } else { vec![slot.rows] };
        let values = file.floats(&slot.name, &shape).map_err(|e| Error::format(path, e.to_string()))?;
        params.mat_mut(k).copy_from(&Mat::from_row_slice(slot.rows, slot.columns, values));
    }
    Ok(())
}

/// The unit kinds of a layer: their name, or the names of ranges with their rows.
fn layer(blocks: &[Block]) -> String {
    match blocks {
        [one] => label(&*one.unit),
        several => layer_with_rows(several),
    }
}

/// The names of a layer's ranges with their rows.
pub(super) fn layer_with_rows(blocks: &[Block]) -> String {
    let range = |b: &Block| format!("{} {}", b.rows.len(), label(&*b.unit));
    blocks.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// The ranges of units that `layer` told, of so many rows in all; where that is not known, every range must have its rows.
pub(super) fn kinds(note: Option<&str>, key: &str, rows: Option<usize>, path: &Path) -> Result<Vec<Kind>> {
    let note = note.unwrap_or(Bernoulli.name());
    let wrong = |what: String| Error::format(path, format!("`{key}` is `{note}`: {what}"));
    let range = |text: &str| -> Result<Kind> {
        let (rows, name) = match text.split_once(' ') {
            Some((rows, name)) => (rows.parse().map_err(|_| wrong(format!("`{rows}` is no number of rows")))?, name),
            None => (rows.ok_or_else(|| wrong(format!("`{text}` has no number of rows")))?, text),
        };
        let unit = kind(name).map_err(|known| wrong(format!("it must be {known}")))?;
        if !rows.is_multiple_of(unit.width()) {
            return Err(wrong(format!("units of {} rows each, which do not divide {rows}", unit.width())));
        }
        Ok((rows, unit))
    };
    let ranges: Vec<Kind> = note.split(", ").map(range).collect::<Result<_>>()?;
    match ranges.iter().try_fold(0usize, |sum, (n, _)| sum.checked_add(*n)) {
        Some(n) if rows.is_none_or(|rows| rows == n) => Ok(ranges),
        _ => Err(wrong(rows.map_or("too many rows".into(), |n| format!("its ranges must have {n} rows in all")))),
    }
}

/// The unit kind of a name, `softmax(10)` say, or the names there are: the only place where kinds are found by name.
fn kind(name: &str) -> std::result::Result<Arc<dyn Unit>, String> {
    let plain: [Arc<dyn Unit>; 7] = [
        Arc::new(Bernoulli),
        Arc::new(Spin),
        Arc::new(Gaussian),
        Arc::new(LogPrecision),
        Arc::new(Relu),
        Arc::new(TruncatedExponential),
        Arc::new(Real),
    ];
    let (stem, number) = match name.strip_suffix(')').and_then(|name| name.split_once('(')) {
        Some((stem, number)) => (stem, number.parse::<u16>().ok().filter(|n| *n > 0)),
        None => (name, None),
    };
    match (stem, number) {
        ("softmax", Some(q)) => return Ok(Arc::new(Softmax { q: q.into() })),
        ("binomial", Some(n)) => return Ok(Arc::new(Binomial { n })),
        _ => {}
    }
    let known = plain.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ");
    plain.into_iter().find(|k| k.name() == name).ok_or(format!("one of {known}, softmax(q), binomial(n)"))
}
