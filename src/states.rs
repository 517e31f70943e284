//! Many states at once, what was computed about them, and their parallel pieces.
//!
//! A matrix of states is cut into slabs of whole columns; a slab is one contiguous piece of memory that one thread moves.
//! The cut depends on the number of columns alone, so the bits of a chain depend neither on threads nor on the machine's
//! size. Fields and means are cached with the version of the model that they were computed for, so an update can never
//! leave a stale one behind.

use crate::linalg::col;
use crate::rng::GROUP;
use crate::sweep::Column;
use crate::{Block, Energy, Error, Gibbs, Mask, MaskRef, Mat, MatMut, MatRef, Response, Result, Version};
use nalgebra::{Dyn, U1};
use rayon::prelude::*;
use std::ops::Range;

/// The most columns of a slab (measured; see DESIGN.md): tables of partial sums are filled for each slab anew, and its states
/// and fields should stay in the cache.
pub(crate) const WIDEST: usize = 64;

/// States in columns, cached fields and means, and which units are frozen.
///
/// ```
/// use harmonium::{Mat, States, models::Rbm, units::Bernoulli};
/// let rbm = Rbm::new((3, Bernoulli), (2, Bernoulli));
/// let mut states = States::new(Mat::zeros(5, 100));
/// assert_eq!(states.mean(&rbm, Rbm::HIDDEN), Mat::from_element(2, 100, 0.5));
/// ```
#[derive(Clone, Debug, Default)]
pub struct States {
    x: Mat,
    fields: Mat,
    means: Mat,
    known: Vec<Known>,
    frozen: Option<Mask>,
    spare: Option<Mask>, // a mask that is not in use, kept for its memory
}

/// What a slab knows of its columns, block by block, and its scratch memory.
#[derive(Clone, Debug, Default)]
struct Known {
    fields: Vec<Version>,
    means: Vec<Version>,
    inferred: Option<Version>, // the version that mean field was made for
    only: Option<usize>,       // if told, all that is known is of blocks of this group
    scratch: Vec<f32>,
}

impl States {
    /// States with nothing known about them.
    pub fn new(x: Mat) -> Self {
        let mut states = Self { x, ..Self::default() };
        states.fit();
        states
    }
    /// States at zero.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self::new(Mat::zeros(rows, columns))
    }
    /// Number of states.
    pub fn ncols(&self) -> usize {
        self.x.ncols()
    }
    /// The states.
    pub fn x(&self) -> MatRef<'_> {
        self.x.as_view()
    }
    /// The states alone.
    pub(crate) fn into_x(self) -> Mat {
        self.x
    }
    /// Some rows of the states.
    pub(crate) fn rows(&self, rows: Range<usize>) -> MatRef<'_> {
        self.x.rows_range(rows)
    }
    /// The states, one after the other.
    pub fn as_slice(&self) -> &[f32] {
        self.x.as_slice()
    }
    /// Access for writing; forgets what was known.
    pub fn x_mut(&mut self) -> MatMut<'_> {
        self.forget();
        self.x.as_view_mut()
    }
    /// Becomes a matrix of this shape with unknown contents, keeping its buffers where they fit; forgets the rest.
    pub fn reshape(&mut self, rows: usize, columns: usize) -> MatMut<'_> {
        if self.x.shape() != (rows, columns) {
            self.x = resized(std::mem::take(&mut self.x), rows, columns);
            self.fit();
        }
        self.thaw();
        self.x_mut()
    }
    /// Becomes states of this height with these leading rows (visible units × samples) and zeros below them, in its own
    /// buffers; nothing is frozen.
    ///
    /// # Panics
    /// If there are more leading rows than `height`.
    pub fn clamp(&mut self, height: usize, v: MatRef<'_>) {
        self.reshape(height, v.ncols());
        self.par(|columns, slab| {
            for (k, j) in columns.enumerate() {
                let (visible, latent) = slab.x[k * height..][..height].split_at_mut(v.nrows());
                visible.copy_from_slice(col(&v, j));
                latent.fill(0.0);
            }
        });
    }
    /// Becomes a copy of states of `model`, with the fields that are known of them, in its own buffers; nothing is frozen.
    pub fn copy_from<M: Energy + ?Sized>(&mut self, model: &M, other: &States) {
        let (height, columns) = other.x.shape();
        self.reshape(height, columns);
        for (to, from) in self.known.iter_mut().zip(&other.known) {
            to.fields.clone_from(&from.fields);
            to.only = from.only;
        }
        self.par(|columns, slab| {
            let range = columns.start * height..columns.end * height;
            slab.x.copy_from_slice(&other.x.as_slice()[range.clone()]);
            let blocks = model.blocks().iter().zip(&slab.known.fields).filter(|(_, v)| **v != Version::NONE);
            for (block, _) in blocks {
                let columns =
                    slab.fields.chunks_exact_mut(height).zip(other.fields.as_slice()[range.clone()].chunks(height));
                columns.for_each(|(to, from)| to[block.rows.clone()].copy_from_slice(&from[block.rows.clone()]));
            }
        });
    }
    /// Freezes units of samples: no kernel touches them. A mask of the shape of the states, `true` where frozen.
    ///
    /// # Errors
    /// [`Error::Shape`] if the mask has another shape.
    pub fn freeze(&mut self, mask: Mask) -> Result<()> {
        if mask.shape() != self.x.shape() {
            return Err(Error::shape(
                "mask of frozen units",
                format!("{:?}", self.x.shape()),
                format!("{:?}", mask.shape()),
            ));
        }
        self.frozen = Some(mask);
        Ok(())
    }
    /// Freezes rows of every sample, beside what is frozen already.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no such rows.
    pub fn freeze_rows(&mut self, rows: Range<usize>) -> Result<()> {
        let (height, columns) = self.x.shape();
        if rows.start > rows.end || rows.end > height {
            return Err(Error::shape("rows to freeze", format!("within 0..{height}"), format!("{rows:?}")));
        }
        let mask = self.frozen.get_or_insert_with(|| Mask::repeat(height, columns, false));
        mask.rows_range_mut(rows).fill(true);
        Ok(())
    }
    /// [`States::clamp`] with all that is known frozen: the leading rows, but for the entries that `missing` marks (visible units ×
    /// samples).
    ///
    /// # Panics
    /// If there are more leading rows than `height`, or the mask has not their shape.
    pub fn clamp_known(&mut self, height: usize, v: MatRef<'_>, missing: &MaskRef<'_>) {
        assert_eq!(v.shape(), missing.shape(), "shapes of samples and of the mask of missing entries");
        self.clamp(height, v);
        let kept = self.spare.take().filter(|m| m.shape() == (height, v.ncols()));
        let mut mask = kept.unwrap_or_else(|| Mask::repeat(height, v.ncols(), false));
        mask.rows_range_mut(0..v.nrows()).zip_apply(missing, |frozen, missing| *frozen = !missing);
        mask.rows_range_mut(v.nrows()..).fill(false);
        self.frozen = Some(mask);
    }
    /// Lets every unit move again.
    pub fn thaw(&mut self) {
        self.spare = self.frozen.take().or(self.spare.take());
    }
    /// What is frozen.
    pub fn frozen(&self) -> Option<&Mask> {
        self.frozen.as_ref()
    }
    /// Drops what was computed about the states.
    pub fn forget(&mut self) {
        for known in &mut self.known {
            known.fields.clear();
            known.means.clear();
            known.inferred = None;
        }
    }
    /// The parallel pieces with their columns, in order.
    pub fn slabs(&mut self) -> Vec<(Range<usize>, Slab<'_>)> {
        let (rows, columns) = self.x.shape();
        let (mut x, mut fields, mut means) =
            (self.x.as_mut_slice(), self.fields.as_mut_slice(), self.means.as_mut_slice());
        let mut frozen = self.frozen.as_ref().map(|m| m.as_slice());
        let piece = |(cols, known): (Range<usize>, _)| {
            let n = rows * cols.len();
            let frozen = frozen.as_mut().map(|m| m.split_off(..n).expect("the mask has the shape of x"));
            let x = x.split_off_mut(..n).expect("the cuts cover x");
            let fields = fields.split_off_mut(..n).expect("the cuts cover x");
            let means = means.split_off_mut(..n).expect("the cuts cover x");
            let columns = cols.len();
            (cols, Slab { rows, columns, x, fields, means, known, frozen })
        };
        cuts(columns).zip(&mut self.known).map(piece).collect()
    }
    /// Applies `f` to every slab in parallel, each with some memory of its own, `kept` from call to call.
    pub fn par_with<T: Default + Send>(
        &mut self,
        kept: &mut Vec<T>,
        f: impl Fn(Range<usize>, &mut Slab<'_>, &mut T) + Sync,
    ) {
        let slabs = self.slabs();
        kept.resize_with(slabs.len(), T::default);
        slabs.into_par_iter().zip(kept).for_each(|((columns, mut slab), own)| f(columns, &mut slab, own));
    }
    /// Applies `f` to every slab in parallel; results in column order.
    pub fn par<R: Send>(&mut self, f: impl Fn(Range<usize>, &mut Slab<'_>) -> R + Sync) -> Vec<R> {
        self.slabs().into_par_iter().map(|(cols, mut slab)| f(cols, &mut slab)).collect()
    }
    /// The field of a block (its rows × columns), computed in parallel unless known.
    pub fn field<M: Gibbs + ?Sized>(&mut self, model: &M, block: usize) -> MatRef<'_> {
        if !self.all_know(|known| &known.fields, model.version(), block) {
            self.par(|_, slab| {
                slab.field(model, block);
            });
        }
        self.fields.rows_range(model.blocks()[block].rows.clone())
    }
    /// `E[x_block | rest]` (its rows × columns), computed in parallel unless known; of frozen units too, whose value it is
    /// not.
    pub fn mean<M: Gibbs + ?Sized>(&mut self, model: &M, block: usize) -> MatRef<'_> {
        if !self.all_know(|known| &known.means, model.version(), block) {
            self.par(|_, slab| {
                slab.mean(model, block);
            });
        }
        self.known_mean(&model.blocks()[block])
    }
    /// The states beside the means of some blocks, whose rows follow each other, computed unless known.
    ///
    /// # Panics
    /// If the rows of the blocks do not follow each other.
    pub fn x_and_means<M: Gibbs + ?Sized>(&mut self, model: &M, blocks: Range<usize>) -> (MatRef<'_>, MatRef<'_>) {
        let Some(first) = model.blocks().get(blocks.start) else { return (self.x(), self.means.rows(0, 0)) };
        let mut rows = first.rows.start..first.rows.start;
        for b in blocks {
            let own = &model.blocks()[b].rows;
            assert_eq!(own.start, rows.end, "blocks whose rows follow each other");
            rows.end = own.end;
            self.mean(model, b);
        }
        (self.x(), self.means.rows_range(rows))
    }
    /// The states beside the means of all rows, of which those of some blocks are computed unless known.
    pub(crate) fn x_and_all_means<M: Gibbs + ?Sized>(
        &mut self,
        model: &M,
        blocks: Range<usize>,
    ) -> (MatRef<'_>, MatRef<'_>) {
        blocks.for_each(|b| _ = self.mean(model, b));
        (self.x(), self.means.as_view())
    }
    /// The states beside what was left in the place of fields.
    pub(crate) fn x_and_fields(&self) -> (MatRef<'_>, MatRef<'_>) {
        (self.x(), self.fields.as_view())
    }
    /// Whether mean field was made for this version of the model, and the states have not changed since.
    pub(crate) fn is_inferred<M: Energy + ?Sized>(&self, model: &M) -> bool {
        self.known.iter().all(|known| known.inferred == Some(model.version()))
    }
    /// Whether the means of some blocks are known.
    pub(crate) fn knows_means<M: Energy + ?Sized>(&self, model: &M, mut blocks: impl Iterator<Item = usize>) -> bool {
        blocks.all(|b| self.all_know(|known| &known.means, model.version(), b))
    }
    /// The field and the mean of a block, if both are known.
    pub(crate) fn known<M: Energy + ?Sized>(&self, model: &M, block: usize) -> Option<(MatRef<'_>, MatRef<'_>)> {
        let version = model.version();
        let both = self.all_know(|k| &k.fields, version, block) && self.all_know(|k| &k.means, version, block);
        let b = &model.blocks()[block];
        both.then(|| (self.fields.rows_range(b.rows.clone()), self.known_mean(b)))
    }
    /// Whether every slab knows what is kept of a block, under this version of the model.
    fn all_know(&self, kept: impl Fn(&Known) -> &Vec<Version>, version: Version, block: usize) -> bool {
        self.known.iter().all(|known| kept(known).get(block) == Some(&version))
    }
    fn known_mean(&self, block: &Block) -> MatRef<'_> {
        self.means.rows_range(block.rows.clone())
    }
    /// Buffers and slabs for the shape of `x`.
    fn fit(&mut self) {
        let (rows, columns) = self.x.shape();
        self.fields = resized(std::mem::take(&mut self.fields), rows, columns);
        self.means = resized(std::mem::take(&mut self.means), rows, columns);
        self.known.resize_with(cuts(columns).count(), Known::default);
        self.forget();
    }
}

/// A matrix of this shape in the memory of another, contents unknown.
fn resized(m: Mat, rows: usize, columns: usize) -> Mat {
    let mut data: Vec<f32> = m.data.into();
    data.resize(rows * columns, 0.0);
    Mat::from_vec(rows, columns, data)
}

/// Column ranges of the slabs: an even number of them, for two threads to share, of whole groups; their sizes differ by at
/// most one group.
fn cuts(columns: usize) -> impl Iterator<Item = Range<usize>> {
    let groups = columns.div_ceil(GROUP);
    let pieces = (2 * columns.div_ceil(2 * WIDEST)).min(groups);
    let at = move |k: usize| (k * groups / pieces * GROUP).min(columns);
    (0..pieces).map(move |k| at(k)..at(k + 1))
}

/// Some columns of [`States`]: contiguous, whole chains, moved by one thread.
#[derive(Debug)]
pub struct Slab<'a> {
    rows: usize,
    columns: usize,
    x: &'a mut [f32],
    fields: &'a mut [f32],
    means: &'a mut [f32],
    known: &'a mut Known,
    frozen: Option<&'a [bool]>,
}

/// What a model's own passes write: states, fields and means (rows × columns each), whatever they take them for.
pub(crate) struct Open<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) x: &'a mut [f32],
    pub(crate) fields: &'a mut [f32],
    pub(crate) means: &'a mut [f32],
    pub(crate) scratch: &'a mut Vec<f32>,
    pub(crate) frozen: Option<&'a [bool]>,
}

impl Slab<'_> {
    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.columns
    }
    /// The states.
    pub fn x(&self) -> MatRef<'_> {
        MatRef::from_slice(self.x, self.rows, self.columns)
    }
    /// Access for writing; forgets what was known. The caller respects [`Slab::frozen`].
    pub fn x_mut(&mut self) -> MatMut<'_> {
        self.forget();
        MatMut::from_slice(self.x, self.rows, self.columns)
    }
    /// Column by column, the fields that were made last (a row for every row of the state, whatever it is where none was made) and
    /// the state, for writing; forgets what was known.
    pub fn fields_and_x(&mut self) -> impl Iterator<Item = (&[f32], &mut [f32])> {
        self.forget();
        self.fields.chunks_exact(self.rows.max(1)).zip(self.x.chunks_exact_mut(self.rows.max(1)))
    }
    /// The same for reading; forgets nothing.
    pub(crate) fn known_fields_and_x(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        self.fields.chunks_exact(self.rows.max(1)).zip(self.x.chunks_exact(self.rows.max(1)))
    }
    /// Which of `rows` are frozen in column `j`.
    pub fn frozen(&self, rows: &Range<usize>, j: usize) -> Option<&[bool]> {
        self.frozen.map(|m| &m[j * self.rows..][rows.clone()])
    }
    /// Drops what was computed about the columns.
    pub fn forget(&mut self) {
        self.known.fields.clear();
        self.known.means.clear();
        self.known.inferred = None;
    }
    /// The field of a block given the present state, computed unless known.
    pub fn field<M: Gibbs + ?Sized>(&mut self, model: &M, block: usize) -> MatRef<'_> {
        let (version, rows) = (model.version(), model.blocks()[block].rows.clone());
        self.known.fields.resize(model.blocks().len(), Version::NONE);
        if self.known.fields[block] != version {
            let mut fields = MatMut::from_slice(self.fields, self.rows, self.columns);
            let x = MatRef::from_slice(self.x, self.rows, self.columns);
            model.field(rows.clone(), x, fields.rows_range_mut(rows.clone()));
            self.known.fields[block] = version;
            self.now_knows(model, block);
        }
        view_rows(self.fields, self.rows, rows)
    }
    /// All of it for writing, and scratch memory; forgets what was known.
    pub(crate) fn open(&mut self) -> Open<'_> {
        self.forget();
        let (x, fields, means, scratch) = (&mut *self.x, &mut *self.fields, &mut *self.means, &mut self.known.scratch);
        Open { rows: self.rows, columns: self.columns, x, fields, means, scratch, frozen: self.frozen }
    }
    /// Says that mean field was made.
    pub(crate) fn mark_inferred<M: Energy + ?Sized>(&mut self, model: &M) {
        self.known.inferred = Some(model.version());
    }
    /// Says that the fields of a block are those that the model gives at the present states: whoever wrote them so.
    pub(crate) fn vouch<M: Energy + ?Sized>(&mut self, model: &M, block: usize) {
        self.known.fields.resize(model.blocks().len(), Version::NONE);
        self.known.fields[block] = model.version();
        self.now_knows(model, block);
    }
    /// Something of a block is known from now on.
    fn now_knows<M: Energy + ?Sized>(&mut self, model: &M, block: usize) {
        if self.known.only != Some(model.blocks()[block].group) {
            self.known.only = None;
        }
    }
    /// The states, the field of a block, and scratch memory for one column of it.
    pub(crate) fn x_field_and_scratch<M: Gibbs + ?Sized>(
        &mut self,
        model: &M,
        block: usize,
    ) -> (MatRef<'_>, MatRef<'_>, &mut [f32]) {
        self.field(model, block);
        let (rows, scratch) = (model.blocks()[block].rows.clone(), &mut self.known.scratch);
        scratch.resize(scratch.len().max(rows.len()), 0.0);
        let scratch = &mut scratch[..rows.len()];
        let x = MatRef::from_slice(self.x, self.rows, self.columns);
        (x, view_rows(self.fields, self.rows, rows), scratch)
    }
    /// Exchanges columns with a slab of the same shape: states, and what both know about them under the same version.
    /// What is frozen stays where it is.
    pub(crate) fn exchange(&mut self, other: &mut Slab<'_>, columns: impl Iterator<Item = usize>) {
        assert_eq!((self.rows, self.columns), (other.rows, other.columns), "slabs of one shape");
        (self.known.inferred, other.known.inferred) = (None, None);
        (self.known.only, other.known.only) = (None, None);
        agree(&mut self.known.fields, &mut other.known.fields);
        agree(&mut self.known.means, &mut other.known.means);
        for j in columns {
            let column = j * self.rows..(j + 1) * self.rows;
            self.x[column.clone()].swap_with_slice(&mut other.x[column.clone()]);
            self.fields[column.clone()].swap_with_slice(&mut other.fields[column.clone()]);
            self.means[column.clone()].swap_with_slice(&mut other.means[column]);
        }
    }
    /// `E[x_block | rest]`, computed unless known.
    pub fn mean<M: Gibbs + ?Sized>(&mut self, model: &M, block: usize) -> MatRef<'_> {
        let (version, Block { rows, unit, .. }) = (model.version(), &model.blocks()[block]);
        self.field(model, block);
        self.known.means.resize(model.blocks().len(), Version::NONE);
        if self.known.means[block] != version {
            for j in 0..self.columns {
                let at = j * self.rows;
                let theta = model.theta(block, &self.x[at..][..self.rows]);
                unit.mean(theta, &self.fields[at..][rows.clone()], &mut self.means[at..][rows.clone()]);
            }
            self.known.means[block] = version;
            self.now_knows(model, block);
        }
        view_rows(self.means, self.rows, rows.clone())
    }
    /// Replaces a block by its response to its field; whatever else was known of blocks outside its group is forgotten.
    pub fn respond<M: Gibbs + ?Sized>(&mut self, model: &M, block: usize, response: &mut Response<'_>) {
        let b = &model.blocks()[block];
        if self.all_frozen(&b.rows) {
            return;
        }
        self.field(model, block);
        for j in 0..self.columns {
            let at = j * self.rows;
            let (before, x) = self.x[at..at + b.rows.end].split_at_mut(b.rows.start);
            let column = Column {
                j,
                theta: model.theta(block, before),
                field: &self.fields[at..][b.rows.clone()],
                x,
                frozen: self.frozen.map(|m| &m[at..][b.rows.clone()]),
            };
            response.apply(b, column, &mut self.known.scratch);
        }
        self.known.inferred = None;
        // Once for a group, whatever the number of its blocks.
        if self.known.only != Some(b.group) {
            let changed = |(k, v): (usize, &mut Version)| {
                if model.blocks()[k].group != b.group {
                    *v = Version::NONE;
                }
            };
            self.known.fields.iter_mut().enumerate().for_each(changed);
            self.known.means.iter_mut().enumerate().for_each(changed);
            self.known.only = Some(b.group);
        }
    }
    /// For sweeps that compute fields of their own (tiles): replaces a block by its response to `field`, whose rows are
    /// those of the block.
    pub fn respond_to<M: Energy + ?Sized>(
        &mut self,
        model: &M,
        block: usize,
        field: MatRef<'_>,
        response: &mut Response<'_>,
    ) {
        let b = &model.blocks()[block];
        self.forget();
        for j in 0..self.columns {
            let at = j * self.rows;
            let (before, x) = self.x[at..at + b.rows.end].split_at_mut(b.rows.start);
            let column = Column {
                j,
                theta: model.theta(block, before),
                field: col(&field, j),
                x,
                frozen: self.frozen.map(|m| &m[at..][b.rows.clone()]),
            };
            response.apply(b, column, &mut self.known.scratch);
        }
    }
    fn all_frozen(&self, rows: &Range<usize>) -> bool {
        self.frozen.is_some() && (0..self.columns).all(|j| self.frozen(rows, j).is_some_and(|m| m.iter().all(|&f| f)))
    }
}

/// Forgets what only one of two knows.
fn agree(a: &mut Vec<Version>, b: &mut Vec<Version>) {
    let n = a.len().min(b.len());
    a.truncate(n);
    b.truncate(n);
    for (a, b) in a.iter_mut().zip(b).filter(|(a, b)| a != b) {
        (*a, *b) = (Version::NONE, Version::NONE);
    }
}

/// Some rows of a column-major matrix of this height.
fn view_rows(m: &[f32], height: usize, rows: Range<usize>) -> MatRef<'_> {
    let (n, len) = (m.len().checked_div(height).unwrap_or(0), rows.len());
    let part = if n == 0 { m } else { &m[rows.start..] };
    MatRef::from_slice_with_strides_generic(part, Dyn(len), Dyn(n), U1, Dyn(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_balanced_whole_groups() {
        for n in [0, 1, 7, 8, 9, 63, 64, 65, 100, 128, 1000] {
            let mut s = States::zeros(1, n);
            let cols: Vec<Range<usize>> = s.slabs().into_iter().map(|(c, _)| c).collect();
            assert_eq!(cols.iter().map(|c| c.len()).sum::<usize>(), n);
            assert!(cols.iter().all(|c| c.start % GROUP == 0 && c.len() <= WIDEST));
            let groups = |c: &Range<usize>| c.len().div_ceil(GROUP);
            let (most, least) = (cols.iter().map(groups).max(), cols.iter().map(groups).min());
            assert!(most.unwrap_or(0) - least.unwrap_or(0) <= 1, "{n}: {cols:?}");
        }
    }
    #[test]
    fn reshaping_keeps_the_pieces_right() {
        let mut s = States::zeros(3, 100);
        s.reshape(3, 50).fill(2.0);
        assert_eq!((s.x().sum(), s.slabs().len()), (300.0, 2));
        s.reshape(5, 200).fill(1.0);
        assert_eq!(s.slabs().iter().map(|(c, s)| s.x().sum() / c.len() as f32).sum::<f32>(), 5.0 * 4.0);
        assert!(s.freeze_rows(3..6).is_err() && s.freeze(Mask::repeat(5, 199, true)).is_err());
    }
}
