//! Samples some of whose entries are not known.
//!
//! A missing entry has no value. What stands in its place, the mean of the known entries of its row, is where filling it in
//! starts, and no datum.

use super::{Samples, in_chunks};
use crate::{Error, Mask, MaskMut, MatMut, Result};

/// Data with a mask, `true` where an entry is missing (units × samples). What the data hold there is never looked at.
///
/// ```
/// use harmonium::{Mask, Mat, data::{Masked, Samples}};
/// let mut missing = Mask::repeat(1, 3, false);
/// missing[(0, 1)] = true;
/// let data = Masked::new(Mat::from_row_slice(1, 3, &[0.0, f32::NAN, 1.0]), missing)?;
/// assert_eq!(data.to_mat().as_slice(), [0.0, 0.5, 1.0]);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Masked<S> {
    samples: S,
    missing: Mask,
    means: Vec<f32>,
}

impl<S: Samples> Masked<S> {
    /// These samples without the entries that `missing` marks. A row of which nothing is known has mean 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if the mask has not the shape of the data, [`Error::Value`] if there are no samples.
    pub fn new(samples: S, missing: Mask) -> Result<Self> {
        let shape = (samples.n_rows(), samples.n_samples());
        if missing.shape() != shape {
            let got = format!("{:?}", missing.shape());
            return Err(Error::shape("mask of missing entries", format!("{shape:?}"), got));
        }
        let mut sums = vec![(0f64, 0u64); samples.n_rows()];
        in_chunks(&samples, |first, x| {
            for (x, gaps) in x.column_iter().zip(missing.columns_range(first..).column_iter()) {
                for ((sum, n), (x, _)) in sums.iter_mut().zip(x.iter().zip(gaps.iter())).filter(|(_, (_, gap))| !**gap)
                {
                    (*sum, *n) = (*sum + f64::from(*x), *n + 1);
                }
            }
            Ok(())
        })?;
        let means = sums.into_iter().map(|(sum, n)| if n == 0 { 0.0 } else { (sum / n as f64) as f32 }).collect();
        Ok(Self { samples, missing, means })
    }
}

impl<S: Samples> Samples for Masked<S> {
    fn n_rows(&self) -> usize {
        self.samples.n_rows()
    }
    fn n_samples(&self) -> usize {
        self.samples.n_samples()
    }
    fn gather(&self, epoch: u64, index: &[usize], mut out: MatMut<'_>) {
        self.samples.gather(epoch, index, out.as_view_mut());
        for (mut column, &i) in out.column_iter_mut().zip(index) {
            let gaps = self.missing.column(i);
            let entries = column.iter_mut().zip(gaps.iter()).zip(&self.means);
            entries.filter(|((_, gap), _)| **gap).for_each(|((x, _), mean)| *x = *mean);
        }
    }
    fn weigh(&self, index: &[usize], out: &mut [f32]) {
        self.samples.weigh(index, out);
    }
    fn has_missing(&self) -> bool {
        true
    }
    fn mark_missing(&self, index: &[usize], mut out: MaskMut<'_>) {
        self.samples.mark_missing(index, out.as_view_mut());
        for (mut column, &i) in out.column_iter_mut().zip(index) {
            column.iter_mut().zip(self.missing.column(i).iter()).for_each(|(gap, own)| *gap |= own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    #[test]
    fn masks_of_another_shape_are_refused() {
        let e = Masked::new(Mat::zeros(2, 3), Mask::repeat(3, 2, false)).unwrap_err();
        assert_eq!(e.to_string(), "mask of missing entries: expected (2, 3), got (3, 2)");
    }
    #[test]
    fn a_row_without_values_is_no_failure() {
        let data = Masked::new(Mat::from_element(1, 2, f32::NAN), Mask::repeat(1, 2, true)).unwrap();
        assert_eq!(data.to_mat().as_slice(), [0.0, 0.0]);
    }
}
