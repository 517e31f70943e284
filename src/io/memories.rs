//! Model files of associative memories: one tensor `memories` (units × memories, row-major), and as notes what parameters do not tell,
//! `beta`, and of a dense memory its `interaction` (`rectified(3)`, `polynomial(2)`, `exponential(784)`) and its `bound`, if it has one.

use super::model::{check_version, fill, write};
use super::{TensorFile, read};
use crate::models::{DenseMemory, Interaction, ModernHopfield};
use crate::{Error, Learn, Result, Train};
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

const MEMORIES: &str = "memories";
const BETA: &str = "beta";
const INTERACTION: &str = "interaction";
const BOUND: &str = "bound";
/// Kinds of models.
const DENSE: &str = "dense_memory";
const MODERN: &str = "modern_hopfield";

/// Writes a dense associative memory, with the caller's own `notes` beside the format's metadata.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written, [`Error::Value`] if a memory is not finite.
pub fn save_dense_memory(memory: &DenseMemory, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    let interaction = match memory.interaction() {
        Interaction::Polynomial { degree } => format!("polynomial({degree})"),
        Interaction::Rectified { degree } => format!("rectified({degree})"),
        Interaction::Exponential { rate } => format!("exponential({rate})"),
    };
    let mut own = vec![("model", DENSE.to_string()), (INTERACTION, interaction), (BETA, memory.beta().to_string())];
    own.extend(memory.bound().map(|bound| (BOUND, bound.to_string())));
    write(memory.params(), &own, notes, path)
}

/// Reads a dense associative memory and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`].
pub fn load_dense_memory(path: &Path) -> Result<(DenseMemory, BTreeMap<String, String>)> {
    parse_dense_memory(&read(path)?, path)
}

/// [`load_dense_memory`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`super::load_rbm`].
pub fn parse_dense_memory(bytes: &[u8], path: &Path) -> Result<(DenseMemory, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, DENSE, path)?;
    let wrong = |e: Error| Error::format(path, e.to_string());
    let [units, memories] = shape(&file, path)?;
    let text = note(&file, INTERACTION, path)?;
    let interaction = parse_interaction(text).ok_or_else(|| {
        let known = "polynomial(n), rectified(n), exponential(rate)";
        Error::format(path, format!("`{INTERACTION}` is `{text}`: it must be one of {known}"))
    })?;
    let mut memory = DenseMemory::new(units, memories, interaction, number(&file, BETA, path)?).map_err(wrong)?;
    load(&mut memory, &file, path)?;
    if file.metadata.contains_key(BOUND) {
        memory = memory.bounded(number(&file, BOUND, path)?).map_err(wrong)?;
    }
    Ok((memory, file.metadata))
}

/// Writes a modern Hopfield network, with the caller's own `notes` beside the format's metadata.
///
/// # Errors
/// Those of [`save_dense_memory`].
pub fn save_modern_hopfield(network: &ModernHopfield, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    write(network.params(), &[("model", MODERN.to_string()), (BETA, network.beta().to_string())], notes, path)
}

/// Reads a modern Hopfield network and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`].
pub fn load_modern_hopfield(path: &Path) -> Result<(ModernHopfield, BTreeMap<String, String>)> {
    parse_modern_hopfield(&read(path)?, path)
}

/// [`load_modern_hopfield`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`super::load_rbm`].
pub fn parse_modern_hopfield(bytes: &[u8], path: &Path) -> Result<(ModernHopfield, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, MODERN, path)?;
    let [units, memories] = shape(&file, path)?;
    let network = ModernHopfield::new(units, memories, number(&file, BETA, path)?);
    let mut network = network.map_err(|e| Error::format(path, e.to_string()))?;
    load(&mut network, &file, path)?;
    Ok((network, file.metadata))
}

/// Units and memories of a file that has as many values.
fn shape(file: &TensorFile, path: &Path) -> Result<[usize; 2]> {
    let wrong = |e: Error| Error::format(path, e.to_string());
    let [units, memories] = file.tensor(MEMORIES).map_err(wrong)?.shape[..] else {
        return Err(Error::format(path, format!("`{MEMORIES}` must be units × memories")));
    };
    file.floats(MEMORIES, &[units, memories]).map_err(wrong)?;
    // Without memories, it could claim any number of units.
    if memories == 0 {
        return Err(Error::format(path, format!("`{MEMORIES}`: there are none")));
    }
    Ok([units, memories])
}
fn note<'a>(file: &'a TensorFile, name: &str, path: &Path) -> Result<&'a str> {
    let note = file.metadata.get(name).map(String::as_str);
    note.ok_or_else(|| Error::format(path, format!("the note `{name}` is missing")))
}
fn number<T: FromStr>(file: &TensorFile, name: &str, path: &Path) -> Result<T> {
    let text = note(file, name, path)?;
    text.parse().map_err(|_| Error::format(path, format!("`{name}` is `{text}`, which is no number")))
}
fn parse_interaction(text: &str) -> Option<Interaction> {
    let (name, number) = text.strip_suffix(')')?.split_once('(')?;
    Some(match name {
        "polynomial" => Interaction::Polynomial { degree: number.parse().ok()? },
        "rectified" => Interaction::Rectified { degree: number.parse().ok()? },
        "exponential" => Interaction::Exponential { rate: number.parse().ok()? },
        _ => return None,
    })
}
fn load(model: &mut dyn Train, file: &TensorFile, path: &Path) -> Result<()> {
    let mut read = Ok(());
    model.update(&mut |params| read = fill(params, file, path));
    read
}
