//! The Boltzmann machine on a graph: units of one kind, coupled along its edges alone. Ising and Potts models, lattices, and any sparse
//! machine, with hidden units or none.
//!
//! Units that no edge joins are independent given the rest. The graph is coloured, and the units of a colour are drawn together: that
//! is what makes the sweep fast, whatever the order. Every unit is a block; the blocks of a colour are a group, and states keep the
//! caller's order of units. Lattices (`lattice.rs`) have a route of their own, which knows neighbours by where they stand. What moves
//! many units at once is [`crate::samplers::SwendsenWang`]. A machine where most pairs are coupled is [`super::Boltzmann`].
//!
//! ## References
//! - Ising, "Beitrag zur Theorie des Ferromagnetismus", 1925; Potts, "Some generalized order-disorder transformations", 1952.
//! - Brélaz, "New methods to color the vertices of a graph", 1979 (the order in which units are coloured).
//! - Gonzalez, Low, Gretton and Guestrin, "Parallel Gibbs sampling: from colored fields to thin junction trees", 2011.

mod lattice;

use super::{MeanField, pairwise};
use crate::conditionals;
use crate::linalg::{add_columns, col, dot, edge_products};
use crate::params::Role;
use crate::states::Open;
use crate::sweep::Column;
use crate::{
    Block, Conditionals, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Response, Result,
    Score, Slab, States, Train, Unit, Version,
};
pub use lattice::Boundary;
use lattice::Checkerboard;
use nalgebra_sparse::{CooMatrix, CsrMatrix};
use petgraph::algo::dsatur_coloring;
use petgraph::graph::UnGraph;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

const J: usize = 0;
const B: usize = 1;

/// `E(x) = U(x) - bᵀx - Σ_{(i,j)} xᵢᵀ J_ij x_j` over the edges of a graph; `J_ij` is a number, or a square matrix for units of several
/// rows (Potts).
///
/// Parameters: `couplings`, a column an edge in the order they were given (column-major if matrices), and `bias` b.
///
/// ```
/// use harmonium::{Chains, Energy, models::{Boundary, SparseBoltzmann}, samplers::BlockGibbs, units::Spin};
/// let mut ring = SparseBoltzmann::new((4, Spin), &[(0, 1), (1, 2), (2, 3), (3, 0)])?;
/// assert_eq!(ring.n_colours(), 2);
/// let ising = SparseBoltzmann::ising(&[64, 64], Boundary::Periodic, 0.44)?;
/// let mut chains = Chains::zeros(&ising, 10, 1);
/// chains.advance(&BlockGibbs::new(3), &ising);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseBoltzmann {
    params: Params,
    n_visible: usize,
    edges: Vec<(usize, usize)>,
    blocks: Vec<Block>,       // colour by colour
    colours: Vec<Vec<usize>>, // rows
    weights: CsrMatrix<f32>,  // both ways
    places: Vec<[usize; 2]>,  // of every entry of the couplings, in the values of `weights`
    lattice: Option<(Vec<usize>, Boundary)>,
    checkerboard: Option<Checkerboard>,
    inference: MeanField,
}

impl SparseBoltzmann {
    /// So many units of a kind (units, not rows), coupled along these edges between them; all parameters zero.
    ///
    /// # Errors
    /// [`Error::Value`] if an edge names a unit that is not there, joins a unit to itself, or is there twice; or if the units have
    /// parameters of their own.
    pub fn new((n, unit): (usize, impl Unit), edges: &[(usize, usize)]) -> Result<Self> {
        Self::with_units((n, Arc::new(unit)), 0, edges)
    }
    /// The same where the last `hidden` of the `n` units are latent.
    ///
    /// # Errors
    /// Those of [`SparseBoltzmann::new`]; [`Error::Value`] if there are more latent units than units.
    pub fn with_units((n, unit): (usize, Arc<dyn Unit>), hidden: usize, edges: &[(usize, usize)]) -> Result<Self> {
        check_unit(&*unit)?;
        if hidden > n {
            return Err(Error::value("latent units", format!("at most {n}"), hidden));
        }
        check_edges(n, edges)?;
        let colours = coloured(n, n - hidden, edges);
        Ok(Self::from_parts((n, unit), hidden, edges, &colours))
    }
    /// A machine whose colouring is known.
    fn from_parts(
        (n, unit): (usize, Arc<dyn Unit>),
        hidden: usize,
        edges: &[(usize, usize)],
        colour: &[usize],
    ) -> Self {
        let q = unit.width();
        let n_colours = colour.iter().max().map_or(0, |c| c + 1);
        let mut colours = vec![vec![]; n_colours];
        let mut blocks = vec![];
        for (c, rows) in colours.iter_mut().enumerate() {
            for i in (0..n).filter(|&i| colour[i] == c) {
                rows.extend(i * q..(i + 1) * q);
                blocks.push(Block { rows: i * q..(i + 1) * q, unit: unit.clone(), group: c });
            }
        }
        let (weights, places) = pattern(n, q, edges);
        let params = Params::zeros(&[("couplings", Role::Weights, q * q, edges.len()), ("bias", Role::Bias, n * q, 1)]);
        let n_visible = (n - hidden) * q;
        let (edges, inference) = (edges.to_vec(), MeanField::default());
        Self {
            params,
            n_visible,
            edges,
            blocks,
            colours,
            weights,
            places,
            lattice: None,
            checkerboard: None,
            inference,
        }
    }
    /// The same coupling along all edges, times the identity for units of several rows, so that two equal Potts values have it and two
    /// others do not; and the same bias of all rows.
    ///
    /// # Errors
    /// [`Error::Value`] if one is not finite.
    pub fn set_uniform(&mut self, coupling: f32, bias: f32) -> Result<()> {
        if !(coupling.is_finite() && bias.is_finite()) {
            return Err(Error::value("the coupling and the bias", "finite", format!("{coupling}, {bias}")));
        }
        let q = self.width();
        self.update(&mut |p| {
            let entries = p.slice_mut(J).chunks_exact_mut((q * q).max(1));
            entries.for_each(|j| {
                j.iter_mut().enumerate().for_each(|(k, j)| *j = if k % (q + 1) == 0 { coupling } else { 0.0 })
            });
            p.slice_mut(B).fill(bias);
        });
        Ok(())
    }
    /// Couplings, one an edge in their order (times the identity, for units of several rows), and biases, one a row.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one for each, [`Error::Value`] if one is not finite.
    pub fn set(&mut self, couplings: &[f32], biases: &[f32]) -> Result<()> {
        let (edges, rows) = (self.edges.len(), self.n_rows());
        if (couplings.len(), biases.len()) != (edges, rows) {
            let got = format!("{} and {}", couplings.len(), biases.len());
            return Err(Error::shape("couplings and biases", format!("{edges} and {rows}"), got));
        }
        if let Some(bad) = couplings.iter().chain(biases).find(|w| !w.is_finite()) {
            return Err(Error::value("a coupling or a bias", "finite", bad));
        }
        let q = self.width();
        self.update(&mut |p| {
            for (j, coupling) in p.slice_mut(J).chunks_exact_mut((q * q).max(1)).zip(couplings) {
                j.iter_mut().enumerate().for_each(|(k, j)| *j = if k % (q + 1) == 0 { *coupling } else { 0.0 });
            }
            p.slice_mut(B).copy_from_slice(biases);
        });
        Ok(())
    }
    /// The edges, as they were given.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }
    /// The sides of the lattice it was made as, and what lies beyond them.
    pub fn lattice_sides(&self) -> Option<(&[usize], Boundary)> {
        self.lattice.as_ref().map(|(sides, boundary)| (&sides[..], *boundary))
    }
    /// `J`, a column an edge.
    pub fn couplings(&self) -> MatRef<'_> {
        self.params.mat(J)
    }
    /// `b`, one a row.
    pub fn bias(&self) -> &[f32] {
        self.params.slice(B)
    }
    /// How many colours the units have: a sweep takes so many steps.
    pub fn n_colours(&self) -> usize {
        self.colours.len()
    }
    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.blocks.len()
    }
    /// Rows of a unit.
    pub fn width(&self) -> usize {
        self.blocks.first().map_or(1, |b| b.unit.width())
    }
    /// How the posterior of latent units is approximated.
    pub fn inference(&self) -> MeanField {
        self.inference
    }
    /// Changes it; what was inferred before is forgotten.
    pub fn set_inference(&mut self, inference: MeanField) {
        self.inference = inference;
        self.params.as_mut_slice(); // a new version
    }
    /// The field of a row of one state.
    fn field_of(&self, row: usize, x: &[f32]) -> f32 {
        let (from, to) = (self.weights.row_offsets()[row], self.weights.row_offsets()[row + 1]);
        let (columns, values) = (&self.weights.col_indices()[from..to], &self.weights.values()[from..to]);
        columns.iter().zip(values).fold(self.bias()[row], |field, (&c, w)| field + w * x[c])
    }
    /// Units of one colour that stand in these rows become their means.
    fn average(&self, rows: &[usize], x: &mut [f32], (field, mean): (&mut Vec<f32>, &mut Vec<f32>)) {
        let Some(unit) = self.blocks.first().map(|b| &b.unit) else { return };
        field.clear();
        field.extend(rows.iter().map(|&r| self.field_of(r, x)));
        mean.resize(rows.len(), 0.0);
        unit.mean(&[], field, mean);
        rows.iter().zip(&*mean).for_each(|(&r, m)| x[r] = *m);
    }
}

/// Whether a machine can have such units.
fn check_unit(unit: &dyn Unit) -> Result<()> {
    match (unit.n_theta(), unit.width()) {
        (0, 1..) => Ok(()),
        (0, 0) => Err(Error::value("rows of a unit", "at least 1", 0)),
        _ => Err(Error::value("units of a sparse machine", "without parameters of their own", unit.name())),
    }
}

/// Whether the edges join different units that are there, each pair once.
fn check_edges(n: usize, edges: &[(usize, usize)]) -> Result<()> {
    let mut seen = HashSet::with_capacity(edges.len());
    for &(i, j) in edges {
        if i >= n || j >= n || i == j {
            return Err(Error::value("an edge", format!("between two of {n} units"), format!("({i}, {j})")));
        }
        if !seen.insert((i.min(j), i.max(j))) {
            return Err(Error::value("an edge", "there once", format!("({i}, {j}) again")));
        }
    }
    Ok(())
}

/// A colour for every unit, so that no edge joins two of one colour. Latent units (from `n_visible` on) that are not coupled to each other
/// are the first colour, and no other unit has it: then they sum out.
fn coloured(n: usize, n_visible: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let apart = n_visible < n && !edges.iter().any(|&(i, j)| i >= n_visible && j >= n_visible);
    let (among, first) = if apart { (n_visible, 1) } else { (n, 0) };
    let mut graph = UnGraph::<(), (), usize>::with_capacity(among, edges.len());
    (0..among).for_each(|_| _ = graph.add_node(()));
    for &(i, j) in edges.iter().filter(|(i, j)| *i < among && *j < among) {
        graph.add_edge(i.into(), j.into(), ());
    }
    let (colour, _) = dsatur_coloring(&graph);
    let coloured = graph.node_indices().map(|node| first + colour[&node]);
    coloured.chain(std::iter::repeat_n(0, n - among)).collect()
}

/// A symmetric matrix with a zero for every coupling, and where each coupling has its two places.
fn pattern(n: usize, q: usize, edges: &[(usize, usize)]) -> (CsrMatrix<f32>, Vec<[usize; 2]>) {
    let mut entries = CooMatrix::new(n * q, n * q);
    for &(i, j) in edges {
        for (a, b) in (0..q).flat_map(|b| (0..q).map(move |a| (a, b))) {
            entries.push(i * q + a, j * q + b, 0.0);
            entries.push(j * q + b, i * q + a, 0.0);
        }
    }
    let weights = CsrMatrix::from(&entries);
    let place = |r: usize, c: usize| {
        let (from, to) = (weights.row_offsets()[r], weights.row_offsets()[r + 1]);
        from + weights.col_indices()[from..to].binary_search(&c).expect("an entry of the pattern")
    };
    let of_edge = |&(i, j): &(usize, usize)| {
        let all = (0..q).flat_map(move |b| (0..q).map(move |a| (i * q + a, j * q + b)));
        all.map(|(r, c)| [place(r, c), place(c, r)])
    };
    let places = edges.iter().flat_map(of_edge).collect();
    (weights, places)
}

impl Energy for SparseBoltzmann {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn n_rows(&self) -> usize {
        self.weights.nrows()
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// # Panics
    /// If a state has not the rows of all units.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        let q = self.width();
        for (j, o) in out.iter_mut().enumerate() {
            let x = col(&x, j);
            let units: f64 = self.blocks.iter().map(|b| b.unit.base_energy(&[], &x[b.rows.clone()])).sum();
            let mut pairs = 0.0;
            for (&(i, k), coupling) in self.edges.iter().zip(self.params.slice(J).chunks_exact((q * q).max(1))) {
                for (b, part) in coupling.chunks_exact(q).enumerate() {
                    let own: f32 = x[i * q..(i + 1) * q].iter().zip(part).map(|(x, w)| x * w).sum();
                    pairs += f64::from(own) * f64::from(x[k * q + b]);
                }
            }
            *o = units - dot(self.bias(), x) - pairs;
        }
    }
}

impl Gibbs for SparseBoltzmann {
    /// `bᵢ + Σⱼ J_ij x_j` over neighbours.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        for (j, mut out) in out.column_iter_mut().enumerate() {
            let x = col(&x, j);
            rows.clone().zip(out.iter_mut()).for_each(|(row, out)| *out = self.field_of(row, x));
        }
    }
    /// Colour by colour, all units of a colour at once.
    fn sweep(&self, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        let n = self.colours.len();
        let mut open = slab.open();
        for j in 0..open.columns {
            if let Some(board) = &self.checkerboard {
                self.sweep_board(board, j, &mut open, response);
                continue;
            }
            for c in 0..n {
                self.respond(if response.is_backward() { n - 1 - c } else { c }, j, &mut open, response);
            }
        }
    }
}

impl SparseBoltzmann {
    /// The units of a colour in column `j` respond to their fields. The places of fields and means, of which none is known now, hold what
    /// is computed.
    fn respond(&self, colour: usize, j: usize, open: &mut Open<'_>, response: &mut Response<'_>) {
        let rows = &self.colours[colour];
        let n = rows.len();
        let column = j * open.rows..(j + 1) * open.rows;
        let x = &mut open.x[column.clone()];
        let (field, new) = (&mut open.fields[column.clone()][..n], &mut open.means[column.clone()][..n]);
        field.iter_mut().zip(rows).for_each(|(f, &r)| *f = self.field_of(r, x));
        new.iter_mut().zip(rows).for_each(|(new, &r)| *new = x[r]);
        let frozen = open.frozen.map(|f| &f[column]);
        self.choose(rows, (j, field, new), (response, open.scratch), frozen);
        rows.iter().zip(&*new).for_each(|(&r, new)| x[r] = *new);
    }
    /// Both colours of a lattice in column `j`.
    fn sweep_board(&self, board: &Checkerboard, j: usize, open: &mut Open<'_>, response: &mut Response<'_>) {
        let column = j * open.rows..(j + 1) * open.rows;
        let (x, half) = (&mut open.x[column.clone()], open.rows / 2);
        let (field, parts) = (&mut open.fields[column.clone()][..half], &mut open.means[column.clone()]);
        let (zero, one) = parts.split_at_mut(half);
        let frozen = open.frozen.map(|f| &f[column]);
        board.part(x, [&mut *zero, &mut *one]);
        for step in 0..2 {
            let colour = if response.is_backward() { 1 - step } else { step };
            let (own, other) = if colour == 0 { (&mut *zero, &*one) } else { (&mut *one, &*zero) };
            board.fields(colour, other, field);
            self.choose(board.sites(colour), (j, field, own), (response, open.scratch), frozen);
        }
        board.join([&*zero, &*one], x);
    }
    /// New values of units that stand in these rows, in the place of the old ones, given their fields; what is frozen stays.
    fn choose(
        &self,
        rows: &[usize],
        (j, field, x): (usize, &mut [f32], &mut [f32]),
        (response, scratch): (&mut Response<'_>, &mut Vec<f32>),
        frozen: Option<&[bool]>,
    ) {
        let Some(unit) = self.blocks.first().map(|b| &b.unit) else { return };
        if let Some((beta, base)) = response.temperature() {
            field.iter_mut().zip(rows).for_each(|(f, &r)| *f = base[r] + beta * (*f - base[r]));
        }
        let old: Vec<f32> = if frozen.is_some() { x.to_vec() } else { vec![] };
        response.apply_units(&**unit, None, Column { j, theta: &[], field, x: &mut *x, frozen: None }, scratch);
        if let Some(frozen) = frozen {
            let kept = x.iter_mut().zip(&old).zip(rows).filter(|(_, r)| frozen[**r]);
            kept.for_each(|((x, old), _)| *x = *old);
        }
    }
    /// Mean field of the latent units given the visible ones, from zeros, colour by colour; sample by sample until nothing changes by
    /// more than the tolerance. Where no two latent units are coupled, the first pass is exact.
    fn mean_field(&self, slab: &mut Slab<'_>) {
        let latent = self.n_visible..self.n_rows();
        let (mut field, mut mean, mut before) = (vec![], vec![], vec![]);
        let of_colour: Vec<&[usize]> =
            self.colours.iter().map(|rows| &rows[rows.partition_point(|r| *r < self.n_visible)..]).collect();
        let coupled = of_colour.iter().filter(|rows| !rows.is_empty()).count() > 1;
        for mut x in slab.x_mut().column_iter_mut() {
            let x = x.as_mut_slice();
            x[latent.clone()].fill(0.0);
            for _ in 0..if coupled { self.inference.passes.max(1) } else { 1 } {
                before.clear();
                before.extend_from_slice(&x[latent.clone()]);
                of_colour.iter().for_each(|rows| self.average(rows, x, (&mut field, &mut mean)));
                // Not a number is not within any tolerance.
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= self.inference.tolerance;
                if x[latent.clone()].iter().zip(&before).all(near) {
                    break;
                }
            }
        }
        let of_latent = |block: &Block| block.rows.start >= self.n_visible;
        for b in (0..self.blocks.len()).filter(|&b| of_latent(&self.blocks[b])) {
            slab.mean(self, b);
        }
        slab.mark_inferred(self);
    }
}

/// `∂E/∂x = U'(x) - φ`, by the formula of real `x`.
impl Score for SparseBoltzmann {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        self.field(0..self.n_rows(), x, out.as_view_mut());
        pairwise::gradients(self, x, out);
    }
    /// Both from the fields of all units.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        self.field(0..self.n_rows(), x, out.as_view_mut());
        pairwise::energies(self, &[self.bias()], x, out.as_view(), energies);
        pairwise::gradients(self, x, out);
    }
}

impl Marginal for SparseBoltzmann {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        if summed.is_empty() && x.nrows() == self.n_rows() {
            return self.energy(x, out);
        }
        let mut kept = Mat::zeros(self.n_rows(), x.ncols());
        kept.rows_mut(0, x.nrows()).copy_from(&x);
        for &b in summed {
            kept.rows_range_mut(self.blocks[b].rows.clone()).fill(0.0);
        }
        self.energy(kept.as_view(), out);
    }
}

impl Learn for SparseBoltzmann {
    fn n_visible(&self) -> usize {
        self.n_visible
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (offset, rows) = (self.params.slots()[B].offset, &self.blocks[block].rows);
        Some(offset + rows.start..offset + rows.end)
    }
    /// Means of latent units, by mean field, in their place, whatever is frozen there.
    fn infer(&self, states: &mut States) {
        if self.n_visible < self.n_rows() && !states.is_inferred(self) {
            states.par(|_, slab| self.mean_field(slab));
        }
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        add_columns(grad.slice_mut(B), -1.0, x, weights);
        edge_products(-1.0, (&self.edges, self.width()), [x, x], weights, grad.slice_mut(J));
    }
    /// Data: latent units by mean field. Model: the first colour averaged out given the rest.
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        if phase == Phase::Data {
            self.infer(states);
            return self.grad_params(states.x(), weights, grad);
        }
        let mut x = States::new(states.x().clone_owned());
        if !self.colours.is_empty() {
            x.par(|_, slab| {
                let (mut field, mut mean) = (vec![], vec![]);
                let mut x = slab.x_mut();
                x.column_iter_mut()
                    .for_each(|mut x| self.average(&self.colours[0], x.as_mut_slice(), (&mut field, &mut mean)));
            });
        }
        self.grad_params(x.x(), weights, grad);
    }
}

impl Train for SparseBoltzmann {
    /// The graph, by a checksum: which edges there are, how many units are visible.
    fn architecture(&self) -> String {
        let mut sum = crc32fast::Hasher::new();
        self.edges.iter().for_each(|(i, j)| sum.update(&[i.to_le_bytes(), j.to_le_bytes()].concat()));
        format!("graph {:08x} of {} edges, {} visible rows", sum.finalize(), self.edges.len(), self.n_visible)
    }
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        self.params.as_mut_slice(); // whole parameters may have come from elsewhere
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        let values = self.weights.values_mut();
        for (coupling, places) in self.params.slice(J).iter().zip(&self.places) {
            places.iter().for_each(|&place| values[place] = *coupling);
        }
        if let Some(board) = &mut self.checkerboard {
            board.refresh(self.params.slice(J), self.params.slice(B));
        }
    }
}

impl Conditionals for SparseBoltzmann {
    /// With no latent units: with `D = x - ⟨x | rest⟩`, the gradient by the biases is `-ΣD`, and that by the coupling of an edge
    /// `-Σ (D_i x_jᵀ + x_i D_jᵀ)`.
    fn grad_conditionals(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) -> f64 {
        if self.n_visible < self.n_rows() {
            return conditionals::by_values(self, x, weights, grad);
        }
        let mut fields = States::zeros(x.nrows(), x.ncols());
        fields.par(|columns, slab| {
            let mut fields = slab.x_mut();
            for (k, j) in columns.enumerate() {
                let (x, mut out) = (col(&x, j), fields.column_mut(k));
                out.iter_mut().enumerate().for_each(|(row, f)| *f = self.field_of(row, x));
            }
        });
        let mut residues = fields.into_x();
        let costs = conditionals::residues(self, x, &mut residues);
        add_columns(grad.slice_mut(B), -1.0, residues.as_view(), weights);
        let edges = (&self.edges[..], self.width());
        edge_products(-1.0, edges, [residues.as_view(), x], weights, grad.slice_mut(J));
        edge_products(-1.0, edges, [x, residues.as_view()], weights, grad.slice_mut(J));
        conditionals::weighted(weights, &costs)
    }
}
