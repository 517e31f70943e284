//! Model files of layered models: deep Boltzmann machines, deep belief nets, networks. Tensors have the names of the parameters
//! ([`Dbm`], [`Dbn`], [`Predictor`]), weights row-major, units above × units below; the layers are the note `layers`, from the lowest
//! one upwards: `784 bernoulli; 500 bernoulli; 1000 bernoulli`, ranges of one layer with commas between them. A belief net has its
//! label as the note `label`. The layers of a network are its inputs, hidden units by their activation, and outputs:
//! `784 inputs; 500 sigmoid; 10 softmax(10)`.

use super::model::{check_kinds, check_version, fill, kinds, layer_with_rows, write};
use super::{TensorFile, read};
use crate::models::neural::{Activation, Predictor};
use crate::models::{Dbm, Dbn, Kind, Rbm};
use crate::{Block, Energy, Error, Learn, Result, Train};
use std::collections::BTreeMap;
use std::path::Path;

/// The notes that have the layers, and the label of a belief net.
pub(super) const LAYERS: &str = "layers";
const LABEL: &str = "label";
/// What the inputs of a network are called.
const INPUTS: &str = "inputs";
/// Kinds of models.
const DBM: &str = "dbm";
const DBN: &str = "dbn";
const PREDICTOR: &str = "predictor";

/// Writes a deep Boltzmann machine, with the caller's own `notes` beside the format's metadata. How it infers is not part of it.
///
/// # Errors
/// Those of [`super::save_rbm`].
pub fn save_dbm(dbm: &Dbm, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    check_kinds(dbm.blocks())?;
    let blocks = |l: usize| dbm.blocks_of(l).map(|b| dbm.blocks()[b].clone()).collect::<Vec<Block>>();
    let layers = text(&(0..dbm.n_layers()).map(blocks).collect::<Vec<_>>());
    write(dbm.params(), &[("model", DBM.to_string()), (LAYERS, layers)], notes, path)
}

/// Reads a deep Boltzmann machine and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`].
pub fn load_dbm(path: &Path) -> Result<(Dbm, BTreeMap<String, String>)> {
    parse_dbm(&read(path)?, path)
}

/// [`load_dbm`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`super::load_rbm`].
pub fn parse_dbm(bytes: &[u8], path: &Path) -> Result<(Dbm, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, DBM, path)?;
    let layers = parse_layers(&file, path)?;
    if layers.len() < 2 {
        return Err(Error::format(path, format!("`{LAYERS}` must name a visible and a hidden layer at least")));
    }
    // Tensors first: a note alone could claim any number of units.
    for (l, layer) in layers.iter().enumerate() {
        let name = if l == 0 { "visible_bias".to_string() } else { format!("hidden{l}_bias") };
        has(&file, &name, &[rows(layer)], path)?;
        if l > 0 {
            has(&file, &format!("weights{l}"), &[rows(layer), rows(&layers[l - 1])], path)?;
        }
    }
    let mut dbm = Dbm::with_layers(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut read = Ok(());
    dbm.update(&mut |params| read = fill(params, &file, path));
    read?;
    Ok((dbm, file.metadata))
}

/// Writes a deep belief net, with the caller's own `notes` beside the format's metadata.
///
/// # Errors
/// Those of [`super::save_rbm`].
pub fn save_dbn(dbn: &Dbn, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    let machines = || (1..=dbn.n_lower()).map(|l| dbn.generative(l)).chain([dbn.top()]);
    machines().try_for_each(|m| check_kinds(m.blocks()))?;
    let below = dbn.n_below_top();
    let (label, lowest): (Vec<Block>, Vec<Block>) =
        dbn.top().visible().iter().cloned().partition(|b| b.rows.start >= below);
    let first = if dbn.n_lower() > 0 { dbn.generative(1).visible().to_vec() } else { lowest };
    let layers: Vec<Vec<Block>> = [first].into_iter().chain(machines().map(|m| m.hidden().to_vec())).collect();
    let mut own = vec![("model", DBN.to_string()), (LAYERS, text(&layers))];
    own.extend((!label.is_empty()).then(|| (LABEL, layer_with_rows(&label))));
    write(dbn.params(), &own, notes, path)
}

/// Reads a deep belief net and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`].
pub fn load_dbn(path: &Path) -> Result<(Dbn, BTreeMap<String, String>)> {
    parse_dbn(&read(path)?, path)
}

/// [`load_dbn`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`super::load_rbm`].
pub fn parse_dbn(bytes: &[u8], path: &Path) -> Result<(Dbn, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, DBN, path)?;
    let layers = parse_layers(&file, path)?;
    if layers.len() < 2 {
        return Err(Error::format(path, format!("`{LAYERS}` must name a visible and a hidden layer at least")));
    }
    let label = file.metadata.get(LABEL).map(|note| kinds(Some(note), LABEL, None, path)).transpose()?;
    let (top, mut stack) = (layers.len() - 1, vec![]);
    for l in 1..layers.len() {
        let name = if l == top { "top".to_string() } else { format!("generative{l}") };
        let mut visible = layers[l - 1].clone();
        visible.extend(label.iter().flatten().filter(|_| l == top).cloned());
        has(&file, &format!("{name}.visible_bias"), &[rows(&visible)], path)?;
        has(&file, &format!("{name}.weights"), &[rows(&layers[l]), rows(&visible)], path)?;
        stack.push(Rbm::with_layers(&visible, &layers[l]));
    }
    let mut dbn = Dbn::from_stack(stack)?;
    let mut read = Ok(());
    dbn.update(&mut |params| read = fill(params, &file, path));
    read?;
    Ok((dbn, file.metadata))
}

/// Writes a network and what it predicts, with the caller's own `notes` beside the format's metadata.
///
/// # Errors
/// Those of [`super::save_rbm`].
pub fn save_predictor(net: &Predictor, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    check_kinds(net.blocks())?;
    let network = net.network();
    let hidden = (1..network.n_layers()).map(|l| format!("{} {}", network.rows(l).len(), network.activation(l).name()));
    let layers = [format!("{} {INPUTS}", network.n_inputs())].into_iter().chain(hidden);
    let layers: Vec<String> = layers.chain([layer_with_rows(net.blocks())]).collect();
    write(net.params(), &[("model", PREDICTOR.to_string()), (LAYERS, layers.join("; "))], notes, path)
}

/// Reads a network, what it predicts, and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`].
pub fn load_predictor(path: &Path) -> Result<(Predictor, BTreeMap<String, String>)> {
    parse_predictor(&read(path)?, path)
}

/// [`load_predictor`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`super::load_rbm`].
pub fn parse_predictor(bytes: &[u8], path: &Path) -> Result<(Predictor, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, PREDICTOR, path)?;
    let layers: Vec<&str> = note(&file, path)?.split("; ").collect();
    let wrong = |text: &str| Error::format(path, format!("`{LAYERS}`: `{text}` is no layer of a network"));
    let [inputs, hidden @ .., outputs] = &layers[..] else { return Err(wrong(&layers.join("; "))) };
    let counted = |text: &str| -> Option<(usize, String)> {
        let (rows, name) = text.split_once(' ')?;
        Some((rows.parse().ok()?, name.to_string()))
    };
    let n_inputs = counted(inputs).filter(|(_, name)| name == INPUTS).ok_or_else(|| wrong(inputs))?.0;
    let hidden = hidden.iter().map(|text| {
        let (rows, name) = counted(text).ok_or_else(|| wrong(text))?;
        Ok((rows, Activation::named(&name).ok_or_else(|| wrong(text))?))
    });
    let hidden = hidden.collect::<Result<Vec<_>>>()?;
    let outputs = kinds(Some(outputs), LAYERS, None, path)?;
    let all: Vec<usize> = hidden.iter().map(|h| h.0).chain([rows(&outputs)]).collect();
    let mut below = n_inputs;
    for (k, &n) in all.iter().enumerate() {
        has(&file, &format!("weights{}", k + 1), &[n, below], path)?;
        below = n;
    }
    let mut net = Predictor::new(n_inputs, &hidden, &outputs);
    let mut read = Ok(());
    net.update(&mut |params| read = fill(params, &file, path));
    read?;
    Ok((net, file.metadata))
}

/// Rows of a layer.
pub(super) fn rows(layer: &[Kind]) -> usize {
    layer.iter().fold(0, |sum, (rows, _)| sum.saturating_add(*rows))
}
/// Whether the file has a tensor of this shape; a model of no units is none.
pub(super) fn has(file: &TensorFile, name: &str, shape: &[usize], path: &Path) -> Result<()> {
    if shape.contains(&0) {
        return Err(Error::format(path, format!("`{LAYERS}`: a layer without units")));
    }
    file.floats(name, shape).map(|_| ()).map_err(|e| Error::format(path, e.to_string()))
}
/// The layers as a note.
fn text(layers: &[Vec<Block>]) -> String {
    layers.iter().map(|blocks| layer_with_rows(blocks)).collect::<Vec<_>>().join("; ")
}

/// The layers that the note tells: every range with its rows.
pub(super) fn parse_layers(file: &TensorFile, path: &Path) -> Result<Vec<Vec<Kind>>> {
    note(file, path)?.split("; ").map(|layer| kinds(Some(layer), LAYERS, None, path)).collect()
}

/// The note that has the layers.
fn note<'a>(file: &'a TensorFile, path: &Path) -> Result<&'a str> {
    let note = file.metadata.get(LAYERS).map(String::as_str);
    note.ok_or_else(|| Error::format(path, format!("the note `{LAYERS}` is missing")))
}
