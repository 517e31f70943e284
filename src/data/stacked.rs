//! Several data sets of the same samples as one: the rows of the first, below them those of the second, and so on. So pixels
//! get their labels, and the inputs of a conditional machine their outputs.
//!
//! It copies nothing: rows are gathered where they are.

use super::Samples;
use crate::{Error, MaskMut, MatMut, Result};

/// The same samples in several data sets, one's rows below another's. The weight of a sample is the product of those it has in
/// them.
///
/// ```
/// use harmonium::{Mat, data::{Samples, Stacked}};
/// let (pixels, labels) = (Mat::zeros(784, 5), Mat::from_element(10, 5, 1.0));
/// let both = Stacked::new(vec![&pixels, &labels])?;
/// assert_eq!((both.n_rows(), both.n_samples()), (794, 5));
/// # Ok::<(), harmonium::Error>(())
/// ```
pub struct Stacked<'a> {
    parts: Vec<&'a dyn Samples>,
}

impl<'a> Stacked<'a> {
    /// These data, from the first row to the last.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none, [`Error::Shape`] if they have not the same number of samples.
    pub fn new(parts: Vec<&'a dyn Samples>) -> Result<Self> {
        let Some(first) = parts.first() else { return Err(Error::value("the number of data sets", "at least 1", 0)) };
        match parts.iter().find(|p| p.n_samples() != first.n_samples()) {
            Some(other) => Err(Error::shape("samples of data to stack", first.n_samples(), other.n_samples())),
            None => Ok(Self { parts }),
        }
    }
    /// Every part with its first row.
    fn placed(&self) -> impl Iterator<Item = (usize, &dyn Samples)> {
        let first = |at: &mut usize, part: &&'a dyn Samples| {
            let from = *at;
            *at += part.n_rows();
            Some((from, *part))
        };
        self.parts.iter().scan(0, first)
    }
}

impl std::fmt::Debug for Stacked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|p| (p.n_rows(), p.n_samples()))).finish()
    }
}

impl Samples for Stacked<'_> {
    fn n_rows(&self) -> usize {
        self.parts.iter().map(|p| p.n_rows()).sum()
    }
    fn n_samples(&self) -> usize {
        self.parts[0].n_samples()
    }
    fn gather(&self, epoch: u64, index: &[usize], mut out: MatMut<'_>) {
        assert_eq!(out.shape(), (self.n_rows(), index.len()), "the shape to gather into");
        self.placed().for_each(|(at, part)| part.gather(epoch, index, out.rows_range_mut(at..at + part.n_rows())));
    }
    fn weigh(&self, index: &[usize], out: &mut [f32]) {
        self.parts.iter().for_each(|part| part.weigh(index, out));
    }
    fn has_missing(&self) -> bool {
        self.parts.iter().any(|p| p.has_missing())
    }
    fn mark_missing(&self, index: &[usize], mut out: MaskMut<'_>) {
        self.placed().for_each(|(at, part)| part.mark_missing(index, out.rows_range_mut(at..at + part.n_rows())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Masked, Weighted};
    use super::*;
    use crate::{Mask, Mat};

    #[test]
    fn rows_weights_and_gaps_are_those_of_the_parts() {
        let (a, b) = (Mat::from_fn(2, 4, |i, j| (10 * i + j) as f32), Mat::from_fn(1, 4, |_, j| j as f32));
        let mut gaps = Mask::repeat(1, 4, false);
        gaps[(0, 2)] = true;
        let (a, b) = (Weighted::new(a, vec![1.0, 2.0, 0.5, 0.0]).unwrap(), Masked::new(b, gaps).unwrap());
        let both = Stacked::new(vec![&a, &b]).unwrap();
        let (mut x, mut w, mut m) = (Mat::zeros(3, 2), [1.0; 2], Mask::repeat(3, 2, false));
        both.gather(0, &[2, 1], x.columns_mut(0, 2));
        both.weigh(&[2, 1], &mut w);
        both.mark_missing(&[2, 1], m.columns_mut(0, 2));
        let mean = 4.0 / 3.0; // of those that are known: 0, 1, 3
        assert_eq!(x, Mat::from_row_slice(3, 2, &[2., 1., 12., 11., mean, 1.]));
        assert_eq!((w, both.has_missing()), ([0.5, 2.0], true));
        assert_eq!(m, Mask::from_row_slice(3, 2, &[false, false, false, false, true, false]));
        let short = Mat::zeros(1, 3);
        assert!(Stacked::new(vec![&a, &short]).is_err() && Stacked::new(vec![]).is_err());
    }
}
