//! Model files of layered models: a deep Boltzmann machine, say. Tensors have the names of the parameters ([`crate::models::Dbm`]),
//! weights row-major, units above × units below; the layers are the note `layers`, from the visible one upwards:
//! `784 bernoulli; 500 bernoulli; 1000 bernoulli`, ranges of one layer with commas between them.

use super::model::{check_kinds, check_version, fill, kinds, layer_with_rows, write};
use super::{TensorFile, read};
use crate::models::{Dbm, Kind};
use crate::{Block, Energy, Error, Learn, Result, Train};
use std::collections::BTreeMap;
use std::path::Path;

/// The note that has the layers.
pub(super) const LAYERS: &str = "layers";
/// Kind of model.
const DBM: &str = "dbm";

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
    // Biases first: a note alone could claim any number of units.
    for (l, layer) in layers.iter().enumerate() {
        let name = if l == 0 { "visible_bias".to_string() } else { format!("hidden{l}_bias") };
        let rows = layer.iter().map(|(rows, _)| rows).sum();
        file.floats(&name, &[rows]).map_err(|e| Error::format(path, e.to_string()))?;
    }
    let mut dbm = Dbm::with_layers(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut read = Ok(());
    dbm.update(&mut |params| read = fill(params, &file, path));
    read?;
    Ok((dbm, file.metadata))
}

/// The layers as a note.
pub(super) fn text(layers: &[Vec<Block>]) -> String {
    layers.iter().map(|blocks| layer_with_rows(blocks)).collect::<Vec<_>>().join("; ")
}

/// The layers that the note tells: every range with its rows.
pub(super) fn parse_layers(file: &TensorFile, path: &Path) -> Result<Vec<Vec<Kind>>> {
    let note = file.metadata.get(LAYERS).ok_or_else(|| Error::format(path, format!("the note `{LAYERS}` is missing")))?;
    note.split("; ").map(|layer| kinds(Some(layer), LAYERS, None, path)).collect()
}
