//! One pass over the blocks with a response (sample, mean or mode); mean field; closed-form sums.
//!
//! A temperature is part of the response, so that an annealed model rides on any model's own sweep.

use crate::linalg::{self, col};
use crate::rng::Streams;
use crate::{Block, Energy, Error, Gibbs, Marginal, Mat, MatRef, Result, Slab, States, Unit};
use std::collections::BTreeMap;

/// Columns of an energy that one task takes.
const CHUNK: usize = 64;

/// How a unit answers its field, and at which temperature.
#[derive(Debug)]
pub struct Response<'a> {
    how: How<'a>,
    tempered: Option<Tempered<'a>>,
    backward: bool,
}
#[derive(Debug)]
enum How<'a> {
    Sample(Streams<'a>),
    Mean,
    Mode,
}
/// What kind of answer a [`Response`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A mean, which is no value.
    None,
    /// The most probable value.
    Best,
    /// A draw.
    Drawn,
}
/// The response is to `base + beta (φ - base)`.
#[derive(Clone, Copy, Debug)]
struct Tempered<'a> {
    beta: f32,
    base: &'a [f32],
}

impl<'a> Response<'a> {
    /// A draw given the field: Gibbs.
    pub fn sample(rng: &'a mut Streams<'_>) -> Self {
        Self::new(How::Sample(rng.reborrow()))
    }
    /// The mean given the field: mean field.
    pub fn mean() -> Self {
        Self::new(How::Mean)
    }
    /// The most probable value given the field: zero temperature, iterated conditional modes.
    pub fn mode() -> Self {
        Self::new(How::Mode)
    }
    fn new(how: How<'a>) -> Self {
        Self { how, tempered: None, backward: false }
    }
    /// The same response to `base + beta (φ - base)`; `base` has one entry a row of the state.
    pub fn tempered<'s>(&'s mut self, beta: f32, base: &'s [f32]) -> Response<'s> {
        let how = match &mut self.how {
            How::Sample(rng) => How::Sample(rng.reborrow()),
            How::Mean => How::Mean,
            How::Mode => How::Mode,
        };
        Response { tempered: Some(Tempered { beta, base }), backward: self.backward, ..Response::new(how) }
    }
    /// Asks for the blocks in reverse order; a model's own sweep may ignore it, every order being valid.
    pub fn in_order(mut self, backward: bool) -> Self {
        self.backward = backward;
        self
    }
    /// Whether the blocks are asked for in reverse order.
    pub fn is_backward(&self) -> bool {
        self.backward
    }
    /// Whether a temperature is set.
    pub fn is_tempered(&self) -> bool {
        self.tempered.is_some()
    }
    /// The inverse temperature and the base fields, if a temperature is set.
    pub(crate) fn temperature(&self) -> Option<(f32, &'a [f32])> {
        self.tempered.map(|t| (t.beta, t.base))
    }
    /// Whether it is one of the units' values, and whether it is drawn.
    pub(crate) fn choice(&self) -> Choice {
        match self.how {
            How::Sample(_) => Choice::Drawn,
            How::Mean => Choice::None,
            How::Mode => Choice::Best,
        }
    }
    /// What units of column `j` are drawn with, `u` of [`linalg::two_valued`]; only where something is drawn.
    pub(crate) fn uniforms(&mut self, j: usize, out: &mut [f32]) {
        if let How::Sample(rng) = &mut self.how {
            linalg::uniforms_to(out, rng.column(j));
        }
    }
    /// Replaces the states of a column of a block, but for those that are frozen.
    pub(crate) fn apply(&mut self, block: &Block, column: Column<'_>, scratch: &mut Vec<f32>) {
        let tempered = self.tempered.map(|t| (t.beta, &t.base[block.rows.clone()]));
        self.apply_units(&*block.unit, tempered, column, scratch);
    }
    /// The same for units wherever they are, with their own base fields if there is a temperature.
    pub(crate) fn apply_units(
        &mut self,
        unit: &dyn Unit,
        tempered: Option<(f32, &[f32])>,
        column: Column<'_>,
        scratch: &mut Vec<f32>,
    ) {
        let Column { j, theta, field, x, frozen } = column;
        scratch.resize(scratch.len().max(2 * x.len()), 0.0);
        let (mixed, old) = scratch[..2 * x.len()].split_at_mut(x.len());
        let field = match tempered {
            Some((beta, base)) => {
                linalg::mix(beta, base, field, mixed);
                mixed
            }
            None => field,
        };
        if frozen.is_some() {
            old.copy_from_slice(x);
        }
        match &mut self.how {
            How::Sample(rng) => unit.sample(theta, field, x, rng.column(j)),
            How::Mean => unit.mean(theta, field, x),
            How::Mode => unit.mode(theta, field, x),
        }
        for (i, _) in frozen.into_iter().flatten().enumerate().filter(|(_, f)| **f) {
            x[i] = old[i];
        }
    }
}

/// Column `j` of a block in its slab: the units' parameters, their field, their states, and which are frozen.
pub(crate) struct Column<'c> {
    pub(crate) j: usize,
    pub(crate) theta: &'c [f32],
    pub(crate) field: &'c [f32],
    pub(crate) x: &'c mut [f32],
    pub(crate) frozen: Option<&'c [bool]>,
}

/// The plain sweep: block by block, in order.
pub fn blocks<M: Gibbs + ?Sized>(model: &M, slab: &mut Slab<'_>, response: &mut Response<'_>) {
    let n = model.blocks().len();
    for k in 0..n {
        slab.respond(model, if response.backward { n - 1 - k } else { k }, response);
    }
}

/// Mean field over the rows from `n_visible` on: `iterations` times, each block in turn becomes its mean given the rest.
pub fn mean_field<M: Gibbs + ?Sized>(model: &M, states: &mut States, n_visible: usize, iterations: usize) {
    let latent: Vec<usize> = (0..model.blocks().len()).filter(|&b| model.blocks()[b].rows.start >= n_visible).collect();
    states.par(|_, slab| {
        for _ in 0..iterations {
            latent.iter().for_each(|&b| slab.respond(model, b, &mut Response::mean()));
        }
    });
}

/// `E(x with the blocks at 0) - Γ(φ)`: the provided body of [`Marginal::energy_without`].
///
/// # Panics
/// If the blocks are of different groups: they are not independent.
pub fn energy_without<M: Marginal + ?Sized>(model: &M, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
    let group = |b: &usize| model.blocks()[*b].group;
    assert!(summed.windows(2).all(|w| group(&w[0]) == group(&w[1])), "blocks of different groups");
    model.energy_at_zero(summed, x, out);
    for &b in summed {
        let Block { rows, unit, .. } = &model.blocks()[b];
        let mut field = Mat::zeros(rows.len(), x.ncols());
        model.field(rows.clone(), x, field.as_view_mut());
        for (j, o) in out.iter_mut().enumerate() {
            *o -= unit.log_partition(model.theta(b, col(&x, j)), col(&field.as_view(), j));
        }
    }
}

/// `-log Σ exp(-E)` over the blocks `summed`, for every column of `x` (rows × samples), in nats, in parallel.
///
/// # Errors
/// [`Error::Shape`] if `x` has neither all rows nor those up to the last that is kept.
pub fn energies_without<M: Marginal + ?Sized>(model: &M, summed: &[usize], x: MatRef<'_>) -> Result<Vec<f64>> {
    let (all, leading) = (model.n_rows(), leading_rows(model, summed));
    if x.nrows() != all && x.nrows() != leading {
        return Err(Error::shape("rows of states", leading, x.nrows()));
    }
    let mut out = vec![0.0; x.ncols()];
    linalg::by_columns(x, CHUNK, &mut out, |x, out| model.energy_without(summed, x, out));
    Ok(out)
}

/// The blocks of every group, by its number.
pub(crate) fn groups<M: Energy + ?Sized>(model: &M) -> Vec<Vec<usize>> {
    let mut groups = BTreeMap::<usize, Vec<usize>>::new();
    model.blocks().iter().enumerate().for_each(|(b, block)| groups.entry(block.group).or_default().push(b));
    groups.into_values().collect()
}

/// Whether a block is among some. There may be a block for every unit, and lists of them mostly rise.
pub(crate) fn among(some: &[usize]) -> impl Fn(&usize) -> bool + '_ {
    let rises = some.is_sorted();
    move |b| if rises { some.binary_search(b).is_ok() } else { some.contains(b) }
}

/// Rows up to the last that is kept when the blocks `summed` are not: all that a state needs.
pub(crate) fn leading_rows<M: Energy + ?Sized>(model: &M, summed: &[usize]) -> usize {
    let is_summed = among(summed);
    let kept = model.blocks().iter().enumerate().filter(|(b, _)| !is_summed(b));
    kept.map(|(_, k)| k.rows.end).max().unwrap_or(0).max(model.n_given())
}

/// The blocks of the first group: those that [`crate::Phase::Model`] averages out, and that evaluators sum out by default.
pub fn first_group<M: Gibbs + ?Sized>(model: &M) -> Vec<usize> {
    let blocks = model.blocks();
    (0..blocks.len()).filter(|&b| blocks[b].group == blocks[0].group).collect()
}
