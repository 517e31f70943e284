//! Model files of general Boltzmann machines. Tensors have the names of the parameters ([`Boltzmann`], [`SparseBoltzmann`]).
//!
//! A dense one has its layers as the note `layers`, `784 bernoulli; 500 bernoulli` (one, if it is fully visible), and the layers that are
//! coupled within as the note `lateral`: `visible`, `hidden`, `visible hidden` or nothing. A sparse one has its edges as the tensor
//! `edges` (edges × 2), the kind of its units as the note `unit`, how many are latent as the note `hidden`, and, if it is a lattice, its
//! sides as the note `lattice`: `64 64 periodic`.

use super::layered::{LAYERS, has, parse_layers, rows};
use super::model::{check_kinds, check_version, fill, kinds, write_with};
use super::{Tensor, TensorFile, Values, read};
use crate::models::{Boltzmann, Boundary, Kind, Lateral, SparseBoltzmann};
use crate::units::label;
use crate::{Energy, Error, Learn, Result, Train};
use std::collections::BTreeMap;
use std::path::Path;

const BOLTZMANN: &str = "boltzmann";
const SPARSE: &str = "sparse_boltzmann";
const LATERAL: &str = "lateral";
const UNIT: &str = "unit";
const HIDDEN: &str = "hidden";
const LATTICE: &str = "lattice";
const EDGES: &str = "edges";

/// Writes a Boltzmann machine, with the caller's own `notes` beside the format's metadata. How it infers is not part of it.
///
/// # Errors
/// Those of [`super::save_rbm`].
pub fn save_boltzmann(machine: &Boltzmann, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    check_kinds(machine.blocks())?;
    let text = |kinds: Vec<Kind>| {
        kinds.iter().map(|(rows, unit)| format!("{rows} {}", label(&**unit))).collect::<Vec<_>>().join(", ")
    };
    let layers: Vec<String> = [machine.visible_kinds(), machine.hidden_kinds()].into_iter().map(text).collect();
    let layers = layers.into_iter().filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
    let Lateral { visible, hidden } = machine.lateral();
    let lateral: Vec<&str> = [("visible", visible), ("hidden", hidden)].iter().filter(|l| l.1).map(|l| l.0).collect();
    let own = [("model", BOLTZMANN.to_string()), (LAYERS, layers), (LATERAL, lateral.join(" "))];
    write_with(machine.params(), BTreeMap::new(), &own, notes, path)
}

/// Reads a Boltzmann machine and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`].
pub fn load_boltzmann(path: &Path) -> Result<(Boltzmann, BTreeMap<String, String>)> {
    parse_boltzmann(&read(path)?, path)
}

/// [`load_boltzmann`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`super::load_rbm`].
pub fn parse_boltzmann(bytes: &[u8], path: &Path) -> Result<(Boltzmann, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, BOLTZMANN, path)?;
    let wrong = |what: String| Error::format(path, what);
    let layers = parse_layers(&file, path)?;
    let words: Vec<&str> = file.metadata.get(LATERAL).map(|l| l.split_whitespace().collect()).unwrap_or_default();
    if let Some(word) = words.iter().find(|w| !["visible", "hidden"].contains(w)) {
        return Err(wrong(format!("`{LATERAL}` must be of the words visible and hidden, not `{word}`")));
    }
    let lateral = Lateral { visible: words.contains(&"visible"), hidden: words.contains(&"hidden") };
    let (visible, hidden): (&[Kind], &[Kind]) = match &layers[..] {
        [visible] => (visible, &[]),
        [visible, hidden] => (visible, hidden),
        _ => return Err(wrong(format!("`{LAYERS}` must name a visible layer, and a hidden one or none"))),
    };
    // Tensors first: a note alone could claim any number of units.
    let (d, h) = (rows(visible), rows(hidden));
    has(&file, "visible_bias", &[d], path)?;
    if !hidden.is_empty() {
        has(&file, "hidden_bias", &[h], path)?;
        has(&file, "weights", &[h, d], path)?;
    }
    for (name, n, within) in [("visible_lateral", d, lateral.visible), ("hidden_lateral", h, lateral.hidden)] {
        if within {
            has(&file, name, &[n, n], path)?;
        }
    }
    if let Some((_, unit)) = visible.iter().chain(hidden).find(|(_, unit)| unit.n_theta() > 0) {
        return Err(wrong(format!("`{LAYERS}`: {} units have parameters of their own", unit.name())));
    }
    let mut machine = Boltzmann::with_layers(visible, hidden, lateral);
    let mut filled = Ok(());
    machine.update(&mut |params| filled = fill(params, &file, path));
    filled?;
    for (name, kept) in [("visible_lateral", machine.visible_lateral()), ("hidden_lateral", machine.hidden_lateral())] {
        let n = kept.nrows();
        if n > 0 && file.floats(name, &[n, n]).map_err(|e| wrong(e.to_string()))? != kept.transpose().as_slice() {
            return Err(wrong(format!("`{name}` must be symmetric, and zero within a unit")));
        }
    }
    Ok((machine, file.metadata))
}

/// Writes a sparse Boltzmann machine, with the caller's own `notes` beside the format's metadata.
///
/// # Errors
/// Those of [`super::save_rbm`].
pub fn save_sparse_boltzmann(machine: &SparseBoltzmann, notes: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    check_kinds(machine.blocks())?;
    let unit = machine.blocks().first().map_or("spin".to_string(), |b| label(&*b.unit));
    let hidden = (machine.n_rows() - machine.n_visible()) / machine.width();
    let mut own = vec![("model", SPARSE.to_string()), (UNIT, unit), (HIDDEN, hidden.to_string())];
    if let Some((sides, boundary)) = machine.lattice_sides() {
        let sides: Vec<String> = sides.iter().map(usize::to_string).collect();
        own.push((LATTICE, format!("{} {}", sides.join(" "), name(boundary))));
    }
    let ends = machine.edges().iter().flat_map(|&(i, j)| [i as u64, j as u64]).collect();
    let edges = Tensor { shape: vec![machine.edges().len(), 2], values: Values::U64(ends) };
    write_with(machine.params(), BTreeMap::from([(EDGES.to_string(), edges)]), &own, notes, path)
}
fn name(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Open => "open",
        Boundary::Periodic => "periodic",
    }
}

/// Reads a sparse Boltzmann machine and the metadata of its file.
///
/// # Errors
/// Those of [`super::load_rbm`]; [`Error::Format`] if the edges are none of a graph, or not those of the lattice it says it is.
pub fn load_sparse_boltzmann(path: &Path) -> Result<(SparseBoltzmann, BTreeMap<String, String>)> {
    parse_sparse_boltzmann(&read(path)?, path)
}

/// [`load_sparse_boltzmann`] from the `bytes` of a file; errors speak of `path`.
///
/// # Errors
/// [`Error::Format`] as [`load_sparse_boltzmann`].
pub fn parse_sparse_boltzmann(bytes: &[u8], path: &Path) -> Result<(SparseBoltzmann, BTreeMap<String, String>)> {
    let file = TensorFile::parse(bytes, path)?;
    check_version(&file, SPARSE, path)?;
    let wrong = |what: String| Error::format(path, what);
    let of_tensor = |e: Error| wrong(e.to_string());
    let note = |key: &str| file.metadata.get(key).map(String::as_str);
    let rows = file.tensor("bias").map_err(of_tensor)?.values.len();
    let [(_, unit)] = &kinds(note(UNIT), UNIT, Some(rows), path)?[..] else {
        return Err(wrong(format!("`{UNIT}` must be one kind")));
    };
    let n = rows / unit.width();
    let count = file.tensor(EDGES).map_err(of_tensor)?.values.len() / 2;
    let ends = file.integers(EDGES, &[count, 2]).map_err(of_tensor)?;
    let edges: Vec<(usize, usize)> = ends.chunks_exact(2).map(|e| (e[0] as usize, e[1] as usize)).collect();
    if count > 0 {
        has(&file, "couplings", &[unit.width().pow(2), count], path)?;
    }
    let hidden = note(HIDDEN).unwrap_or("0");
    let hidden: usize = hidden.parse().map_err(|_| wrong(format!("`{HIDDEN}` is `{hidden}`: it must be a number")))?;
    let mut machine = match note(LATTICE) {
        None => SparseBoltzmann::with_units((n, unit.clone()), hidden, &edges).map_err(of_tensor)?,
        Some(text) => {
            let (sides, boundary) =
                lattice(text).filter(|(sides, _)| sides.iter().product::<usize>() == n).ok_or_else(|| {
                    wrong(format!("`{LATTICE}` is `{text}`: it must be the sides of {n} sites, and open or periodic"))
                })?;
            let lattice = SparseBoltzmann::lattice(&sides, boundary, unit.clone()).map_err(of_tensor)?;
            if lattice.edges() != edges || hidden != 0 {
                return Err(wrong(format!("`{EDGES}` must be those of the lattice {text}")));
            }
            lattice
        }
    };
    let mut filled = Ok(());
    machine.update(&mut |params| filled = fill(params, &file, path));
    filled?;
    Ok((machine, file.metadata))
}

/// Sides and boundary, of a product that fits.
fn lattice(text: &str) -> Option<(Vec<usize>, Boundary)> {
    let (sides, boundary) = text.rsplit_once(' ')?;
    let boundary = [Boundary::Open, Boundary::Periodic].into_iter().find(|b| name(*b) == boundary)?;
    let sides: Vec<usize> = sides.split(' ').map(|s| s.parse().ok()).collect::<Option<_>>()?;
    sides.iter().try_fold(1usize, |n, side| n.checked_mul(*side))?;
    Some((sides, boundary))
}
