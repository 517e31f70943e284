//! Training data: a matrix of units × samples that minibatches are drawn from.
//!
//! The one idea is [`Samples`]: whatever can write chosen samples as columns is data, be it a matrix in memory, a byte
//! a pixel, or bits that are drawn anew each epoch. The module knows matrices and files; it knows no model and no
//! training.
//!
//! | to read or make | see |
//! |---|---|
//! | MNIST and its kin | [`Folder`], [`read_images`] |
//! | NumPy arrays | [`read_npy`], [`read_npz`], [`write_npy`] |
//! | tables of numbers, with missing entries and labels | [`Csv`] |
//! | folders of pictures | `read_image_folder`, `read_image_classes` (feature `images`) |
//! | patches of images | [`patches`], `read_patches`, [`DeadLeaves`] |
//! | texts as bags of words | [`Documents`] |
//! | a text, character by character | [`read_text`], [`Alphabet`], [`Windows`] |
//! | small sets whose distribution is known | [`bars_and_stripes`], [`shifter`] |

mod batches;
mod classes;
mod corpus;
mod csv;
mod dead_leaves;
mod documents;
mod encode;
mod idx;
#[cfg(feature = "images")]
mod images;
mod listing;
mod masked;
mod npy;
mod npz;
mod patches;
mod stacked;
mod standardise;
mod synthetic;
mod text;
mod tokens;
mod two_moons;
mod weighted;
mod whiten;

pub use batches::{Batches, Minibatch, order};
pub use corpus::Fields;
pub use csv::{Column, Csv, Table};
pub use dead_leaves::DeadLeaves;
pub use documents::{Documents, Vocabulary};
pub use encode::{Pixels, Redrawn, bernoulli, one_hot, real, threshold};
pub use idx::{Folder, Images, Labelled, parse_images, parse_labels, read_images, read_labels};
#[cfg(feature = "images")]
pub use images::{Sizing, parse_image, read_image_classes, read_image_folder, read_patches};
pub use masked::Masked;
pub use npy::{parse_npy, read_npy, read_npy_missing, write_npy};
pub use npz::{parse_npz, read_npz, read_npz_missing};
pub use patches::patches;
pub use stacked::Stacked;
pub use standardise::Standardise;
pub use synthetic::{BarsAndStripes, FourModes, bars_and_stripes, four_modes, shifter};
pub use text::{Alphabet, Windows, parse_text, read_text, split_text};
pub use tokens::{STOP_WORDS, Tokens};
pub use two_moons::{TwoMoons, two_moons};
pub use weighted::Weighted;
pub use whiten::{Whiten, Whitening};

use crate::{Error, MaskMut, Mat, MatMut, MatRef, Result};
use rayon::prelude::*;
use std::ops::Range;

/// Data that a trainer can draw minibatches from: rows are units, columns are samples.
pub trait Samples: Sync {
    /// The number of units of a sample.
    fn n_rows(&self) -> usize;

    /// The number of samples.
    fn n_samples(&self) -> usize;

    /// Writes the samples `index` as the columns of `out` (`n_rows` × `index.len()`), in that order.
    ///
    /// The result depends on `epoch` and `index` alone, so that data which is drawn anew each epoch ([`Redrawn`]) can
    /// be reproduced; data that is fixed ignores `epoch`.
    ///
    /// # Panics
    ///
    /// If `out` has another shape, or an index is not below [`n_samples`](Self::n_samples).
    fn gather(&self, epoch: u64, index: &[usize], out: MatMut<'_>);

    /// Multiplies `out` by the weights of the samples `index`: all one, unless the data say otherwise ([`Weighted`]).
    ///
    /// # Panics
    ///
    /// As [`gather`](Self::gather), whose `index` may be another.
    fn weigh(&self, _index: &[usize], _out: &mut [f32]) {}

    /// Whether an entry may be missing ([`Masked`]).
    fn has_missing(&self) -> bool {
        false
    }

    /// Marks the entries of the samples `index` that are missing (`n_rows` × `index.len()`); leaves other marks alone.
    ///
    /// # Panics
    ///
    /// As [`gather`](Self::gather).
    fn mark_missing(&self, _index: &[usize], _out: MaskMut<'_>) {}

    /// All samples of epoch 0 as one matrix, `n_rows` × `n_samples`.
    fn to_mat(&self) -> Mat {
        let index: Vec<usize> = (0..self.n_samples()).collect();
        let mut all = Mat::zeros(self.n_rows(), index.len());
        self.gather(0, &index, all.columns_mut(0, index.len()));
        all
    }
}

impl<T: Samples + ?Sized> Samples for &T {
    fn n_rows(&self) -> usize {
        (**self).n_rows()
    }
    fn n_samples(&self) -> usize {
        (**self).n_samples()
    }
    fn gather(&self, epoch: u64, index: &[usize], out: MatMut<'_>) {
        (**self).gather(epoch, index, out);
    }
    fn weigh(&self, index: &[usize], out: &mut [f32]) {
        (**self).weigh(index, out);
    }
    fn has_missing(&self) -> bool {
        (**self).has_missing()
    }
    fn mark_missing(&self, index: &[usize], out: MaskMut<'_>) {
        (**self).mark_missing(index, out);
    }
}

impl Samples for Mat {
    fn n_rows(&self) -> usize {
        self.nrows()
    }
    fn n_samples(&self) -> usize {
        self.ncols()
    }
    fn gather(&self, _: u64, index: &[usize], out: MatMut<'_>) {
        fill_columns(self.nrows(), index, out, |i, column| column.copy_from_slice(self.column(i).as_slice()));
    }
}

/// Columns that are worth a task of their own.
const COLUMNS: usize = 16;

/// Calls `fill(sample, column)` for each of `index` and the column of `out` it belongs to, in parallel.
fn fill_columns(rows: usize, index: &[usize], mut out: MatMut<'_>, fill: impl Fn(usize, &mut [f32]) + Sync) {
    assert_eq!(out.shape(), (rows, index.len()), "the shape to gather into");
    let columns = out.par_column_iter_mut().with_min_len(COLUMNS).zip(index);
    columns.for_each(|(mut column, &i)| fill(i, column.as_mut_slice()));
}

/// Samples gathered at a time by [`in_chunks`].
const GATHER: usize = 2000;

/// Calls `f` with the number of a first sample and some thousands from it on, until it has seen all samples of epoch 0.
///
/// # Errors
/// [`Error::Value`] if there are no samples, and those of `f`.
pub(crate) fn in_chunks(samples: &dyn Samples, mut f: impl FnMut(usize, MatRef<'_>) -> Result<()>) -> Result<()> {
    let n = samples.n_samples();
    if n == 0 {
        return Err(Error::value("the number of samples", "at least 1", 0));
    }
    let mut buffer = Mat::zeros(samples.n_rows(), GATHER.min(n));
    for from in (0..n).step_by(GATHER) {
        let index: Vec<usize> = (from..(from + GATHER).min(n)).collect();
        samples.gather(0, &index, buffer.columns_mut(0, index.len()));
        f(from, buffer.columns(0, index.len()))?;
    }
    Ok(())
}

/// About `n` samples of epoch 0, evenly spread over the data, as a matrix: `n_rows` × samples; all of them if there are no more.
///
/// ```
/// use harmonium::{Mat, data::spread};
/// let all = Mat::from_row_slice(1, 5, &[0.0, 1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(spread(&all, 3), Mat::from_row_slice(1, 3, &[0.0, 2.0, 4.0]));
/// assert_eq!(spread(&all, 100), all);
/// ```
pub fn spread(samples: &dyn Samples, n: usize) -> Mat {
    let step = samples.n_samples().div_ceil(n.max(1)).max(1);
    let index: Vec<usize> = (0..samples.n_samples()).step_by(step).collect();
    let mut x = Mat::zeros(samples.n_rows(), index.len());
    samples.gather(0, &index, x.columns_mut(0, index.len()));
    x
}

/// Samples that a part asks its whole for at a time.
const SHIFTED: usize = 128;

/// Consecutive samples of other data, such as a training set without the samples held out from it.
#[derive(Debug)]
pub struct Part<'a, S: ?Sized> {
    /// The data it is a part of.
    pub samples: &'a S,
    /// Which samples of it.
    pub range: Range<usize>,
}

/// The samples `range` of `samples`; sample 0 of the part is sample `range.start` of the whole.
///
/// # Errors
///
/// [`Error::Value`] if the range runs backwards or past the last sample.
///
/// ```
/// use harmonium::{Mat, data::{Samples, slice}};
/// let all = Mat::from_row_slice(1, 4, &[0.0, 1.0, 2.0, 3.0]);
/// let (train, held_out) = (slice(&all, 0..3)?, slice(&all, 3..4)?);
/// assert_eq!((train.n_samples(), held_out.to_mat()[0]), (3, 3.0));
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn slice<S: Samples + ?Sized>(samples: &S, range: Range<usize>) -> Result<Part<'_, S>> {
    let n = samples.n_samples();
    if range.start > range.end || range.end > n {
        return Err(Error::value("a range of samples", format!("within 0..{n}"), format!("{range:?}")));
    }
    Ok(Part { samples, range })
}

impl<S: Samples + ?Sized> Samples for Part<'_, S> {
    fn n_rows(&self) -> usize {
        self.samples.n_rows()
    }
    fn n_samples(&self) -> usize {
        self.range.len()
    }
    fn gather(&self, epoch: u64, index: &[usize], mut out: MatMut<'_>) {
        assert_eq!(out.ncols(), index.len(), "the columns to gather into");
        self.in_whole(index, |at, whole| self.samples.gather(epoch, whole, out.columns_mut(at, whole.len())));
    }
    fn weigh(&self, index: &[usize], out: &mut [f32]) {
        self.in_whole(index, |at, whole| self.samples.weigh(whole, &mut out[at..at + whole.len()]));
    }
    fn has_missing(&self) -> bool {
        self.samples.has_missing()
    }
    fn mark_missing(&self, index: &[usize], mut out: MaskMut<'_>) {
        self.in_whole(index, |at, whole| self.samples.mark_missing(whole, out.columns_mut(at, whole.len())));
    }
}

impl<S: Samples + ?Sized> Part<'_, S> {
    /// Calls `f` with some of the samples, by their numbers in the whole, and the place of the first of them.
    fn in_whole(&self, index: &[usize], mut f: impl FnMut(usize, &[usize])) {
        let mut shifted = [0; SHIFTED];
        for (k, index) in index.chunks(SHIFTED).enumerate() {
            let shifted = &mut shifted[..index.len()];
            for (to, &i) in shifted.iter_mut().zip(index) {
                // Checked here: the whole may well have a sample past the end of its part.
                assert!(i < self.range.len(), "sample {i} of a part of {}", self.range.len());
                *to = self.range.start + i;
            }
            f(k * SHIFTED, shifted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> Mat {
        Mat::from_fn(2, 5, |r, c| (10 * r + c) as f32)
    }

    #[test]
    fn a_matrix_gathers_its_columns_in_the_order_asked() {
        let mut out = Mat::zeros(2, 3);
        (&counting() as &dyn Samples).gather(7, &[4, 0, 4], out.columns_mut(0, 3));
        assert_eq!(out, Mat::from_row_slice(2, 3, &[4., 0., 4., 14., 10., 14.]));
        assert_eq!(counting().to_mat(), counting());
    }

    #[test]
    fn a_part_starts_where_its_range_does() {
        let whole = counting();
        let part = slice(&whole, 1..4).unwrap();
        assert_eq!((part.n_rows(), part.n_samples()), (2, 3));
        assert_eq!(part.to_mat(), whole.columns(1, 3));
        let inner = slice(&part, 2..3).unwrap();
        assert_eq!(inner.to_mat(), whole.columns(3, 1));
        assert_eq!(slice(&whole, 5..5).unwrap().n_samples(), 0);
    }

    #[test]
    #[should_panic(expected = "sample 2 of a part of 2")]
    fn a_part_never_shows_what_lies_outside_it() {
        let whole = counting();
        slice(&whole, 0..2).unwrap().gather(0, &[2], Mat::zeros(2, 1).columns_mut(0, 1));
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake under test")]
    fn a_range_outside_is_refused() {
        let whole = counting();
        let message = |range| slice(&whole, range).unwrap_err().to_string();
        assert_eq!(message(3..6), "a range of samples must be within 0..5, got 3..6");
        assert_eq!(message(3..2), "a range of samples must be within 0..5, got 3..2");
    }
}
