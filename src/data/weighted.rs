//! Samples that count more or less than others.

use super::Samples;
use crate::{Error, MaskMut, MatMut, Result};

/// Data with a weight for every sample: a sample of weight 2 counts as two, one of weight 0 is absent, whatever it holds.
///
/// An update takes the weighted mean over its batch. Evaluators take all samples alike.
///
/// ```
/// use harmonium::{Mat, data::{Samples, Weighted}};
/// let data = Weighted::new(Mat::zeros(3, 2), vec![1.0, 0.5])?;
/// let mut weights = [1.0; 2];
/// data.weigh(&[1, 0], &mut weights);
/// assert_eq!(weights, [0.5, 1.0]);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weighted<S> {
    samples: S,
    weights: Vec<f32>,
}

impl<S: Samples> Weighted<S> {
    /// These samples with these weights, which multiply the ones that they may have already.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one weight a sample, [`Error::Value`] if one is negative or not finite.
    pub fn new(samples: S, weights: Vec<f32>) -> Result<Self> {
        if weights.len() != samples.n_samples() {
            return Err(Error::shape("weights of samples", samples.n_samples(), weights.len()));
        }
        match weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
            Some(i) => Err(Error::value(format!("the weight of sample {i}"), "a number, at least 0", weights[i])),
            None => Ok(Self { samples, weights }),
        }
    }
}

impl<S: Samples> Samples for Weighted<S> {
    fn n_rows(&self) -> usize {
        self.samples.n_rows()
    }
    fn n_samples(&self) -> usize {
        self.samples.n_samples()
    }
    fn gather(&self, epoch: u64, index: &[usize], out: MatMut<'_>) {
        self.samples.gather(epoch, index, out);
    }
    fn weigh(&self, index: &[usize], out: &mut [f32]) {
        self.samples.weigh(index, out);
        out.iter_mut().zip(index).for_each(|(w, &i)| *w *= self.weights[i]);
    }
    fn has_missing(&self) -> bool {
        self.samples.has_missing()
    }
    fn mark_missing(&self, index: &[usize], out: MaskMut<'_>) {
        self.samples.mark_missing(index, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    #[test]
    fn weights_that_are_none_are_refused() {
        let of = |weights: Vec<f32>| Weighted::new(Mat::zeros(2, 2), weights).unwrap_err().to_string();
        assert_eq!(of(vec![1.0]), "weights of samples: expected 2, got 1");
        assert_eq!(of(vec![1.0, -1.0]), "the weight of sample 1 must be a number, at least 0, got -1");
        assert!(of(vec![f32::NAN, 1.0]).contains("sample 0"));
    }
}
