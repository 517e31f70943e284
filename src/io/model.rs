//! Model files: an RBM as safetensors, readable wherever safetensors are.
//!
//! Tensors `weights` (hidden × visible, row-major), `visible_bias`, `hidden_bias`, and `visible_theta`, `hidden_theta` if
//! the units have parameters of their own; unit kinds with their numbers (`softmax(10)`), version and settings are metadata. A layer
//! of several ranges names them with their rows: `784 bernoulli, 10 softmax(10)`.
//! A file without metadata is an RBM of Bernoulli units. From Python: `safetensors.numpy.load_file(path)["weights"]`.

use super::{Tensor, TensorFile, Values, read};
use crate::models::{Kind, Rbm};
use crate::units::{Bernoulli, Binomial, Gaussian, LogPrecision, Relu, Softmax, Spin, label};
use crate::{Block, Energy, Error, Learn, Mat, Result, Train, Unit};
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

/// Writes an RBM, with the caller's own `notes` (training settings, say) beside the format's metadata.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written, [`Error::Value`] if a parameter is not finite or a unit kind is none that
/// model files know.
pub fn save_rbm(rbm: &Rbm, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    for Block { unit, .. } in rbm.blocks() {
        kind(&label(&**unit)).map_err(|known| Error::value("the unit kind of a model file", known, unit.name()))?;
    }
    let mut file = TensorFile { metadata: notes.clone(), ..TensorFile::default() };
    let own = [
        (FORMAT, MODEL_FORMAT.to_string()),
        (KIND, "rbm".to_string()),
        (VISIBLE, layer(rbm.visible())),
        (HIDDEN, layer(rbm.hidden())),
    ];
    file.metadata.extend(own.map(|(k, v)| (k.to_string(), v)));
    for (k, slot) in rbm.params().slots().iter().enumerate().filter(|(_, s)| s.rows * s.columns > 0) {
        // Row-major is the transpose in column-major memory.
        let values = rbm.params().mat(k).transpose().as_slice().to_vec();
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
    let note = |key: &str| file.metadata.get(key).map(String::as_str);
    if let Some(version) = note(FORMAT).filter(|v| *v != MODEL_FORMAT) {
        let what = format!("this is a model file of version {version}; this library reads version {MODEL_FORMAT}");
        return Err(Error::format(path, what));
    }
    if let Some(kind) = note(KIND).filter(|k| *k != "rbm") {
        return Err(Error::format(path, format!("this is the file of a model of kind `{kind}`, not of an `rbm`")));
    }
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
    let (visible, hidden) = (kinds(note(VISIBLE), VISIBLE, d, path)?, kinds(note(HIDDEN), HIDDEN, h, path)?);
    let mut rbm = Rbm::with_layers(&visible, &hidden);
    let mut read = Ok(());
    rbm.update(&mut |params| read = fill(params, &file, path));
    read.map(|()| (rbm, file.metadata))
}

/// Copies every tensor to its slot.
fn fill(params: &mut crate::Params, file: &TensorFile, path: &Path) -> Result<()> {
    for (k, slot) in params.slots().to_vec().iter().enumerate().filter(|(_, s)| s.rows * s.columns > 0) {
        let shape = if slot.role.is_weights() { vec![slot.rows, slot.columns] } else { vec![slot.rows] };
        let values = file.floats(&slot.name, &shape).map_err(|e| Error::format(path, e.to_string()))?;
        params.mat_mut(k).copy_from(&Mat::from_row_slice(slot.rows, slot.columns, values));
    }
    Ok(())
}

/// The unit kinds of a layer: their name, or the names of ranges with their rows.
fn layer(blocks: &[Block]) -> String {
    let range = |b: &Block| format!("{} {}", b.rows.len(), label(&*b.unit));
    match blocks {
        [one] => label(&*one.unit),
        several => several.iter().map(range).collect::<Vec<_>>().join(", "),
    }
}

/// The ranges of units that `layer` told, of so many rows in all.
fn kinds(note: Option<&str>, key: &str, rows: usize, path: &Path) -> Result<Vec<Kind>> {
    let note = note.unwrap_or(Bernoulli.name());
    let wrong = |what: String| Error::format(path, format!("`{key}` is `{note}`: {what}"));
    let range = |text: &str| -> Result<Kind> {
        let (rows, name) = match text.split_once(' ') {
            Some((rows, name)) => (rows.parse().map_err(|_| wrong(format!("`{rows}` is no number of rows")))?, name),
            None => (rows, text),
        };
        let unit = kind(name).map_err(|known| wrong(format!("it must be {known}")))?;
        if !rows.is_multiple_of(unit.width()) {
            return Err(wrong(format!("units of {} rows each, which do not divide {rows}", unit.width())));
        }
        Ok((rows, unit))
    };
    let ranges: Vec<Kind> = note.split(", ").map(range).collect::<Result<_>>()?;
    match ranges.iter().try_fold(0usize, |sum, (n, _)| sum.checked_add(*n)) {
        Some(n) if n == rows => Ok(ranges),
        _ => Err(wrong(format!("its ranges must have {rows} rows in all"))),
    }
}

/// The unit kind of a name, `softmax(10)` say, or the names there are: the only place where kinds are found by name.
fn kind(name: &str) -> std::result::Result<Arc<dyn Unit>, String> {
    let plain: [Arc<dyn Unit>; 5] =
        [Arc::new(Bernoulli), Arc::new(Spin), Arc::new(Gaussian), Arc::new(LogPrecision), Arc::new(Relu)];
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
