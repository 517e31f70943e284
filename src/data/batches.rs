//! Minibatches: every epoch visits every sample once, in an order that the seed and the epoch alone decide.
//!
//! So a run can be taken up at any step with no state but the step's number. Batches are gathered into one buffer on
//! the calling thread; nothing is prefetched.

use super::Samples;
use crate::rng::keyed;
use crate::{Error, Mask, MaskRef, Mat, MatRef, Result};
use rand::seq::SliceRandom;

/// The order in which epoch `epoch` visits `n` samples: a uniform permutation of `0..n`.
pub fn order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = Vec::new();
    reorder(&mut order, n, seed, epoch);
    order
}

fn reorder(order: &mut Vec<usize>, n: usize, seed: u64, epoch: u64) {
    order.clear();
    order.extend(0..n);
    order.shuffle(&mut keyed(seed, &[epoch]));
}

/// Shuffled minibatches, gathered into a buffer that is used again and again.
///
/// ```
/// use harmonium::{Mat, data::Batches};
/// let data = Mat::from_fn(2, 10, |_, sample| sample as f32);
/// let mut batches = Batches::new(10, 4, 7)?;
/// let sizes: Vec<usize> = (0..batches.per_epoch()).map(|step| batches.load(&data, step).x.ncols()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batches {
    n_samples: usize,
    batch: usize,
    seed: u64,
    /// The epoch that `order` is of.
    epoch: Option<u64>,
    order: Vec<usize>,
    buffer: Mat,
    weights: Vec<f32>,
    missing: Mask,
}

/// The samples of a step.
#[derive(Debug, Clone, Copy)]
pub struct Minibatch<'a> {
    /// Its epoch.
    pub epoch: u64,
    /// Units × samples.
    pub x: MatRef<'a>,
    /// One weight a sample.
    pub weights: &'a [f32],
    /// `true` where an entry is missing, units × samples; none if the data miss nothing.
    pub missing: Option<MaskRef<'a>>,
}

impl Batches {
    /// Batches of `batch` of the `n_samples` samples; the last of an epoch holds what is left.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if `batch` or `n_samples` is 0.
    pub fn new(n_samples: usize, batch: usize, seed: u64) -> Result<Self> {
        for (what, size) in [("the number of samples", n_samples), ("the batch size", batch)] {
            if size == 0 {
                return Err(Error::value(what, "at least 1", size));
            }
        }
        let batch = batch.min(n_samples);
        let (order, buffer, weights, missing) =
            (vec![], Mat::zeros(0, 0), vec![1.0; batch], Mask::from_element(0, 0, false));
        Ok(Self { n_samples, batch, seed, epoch: None, order, buffer, weights, missing })
    }

    /// The number of batches of an epoch, `⌈n_samples / batch⌉`.
    pub fn per_epoch(&self) -> u64 {
        self.n_samples.div_ceil(self.batch) as u64
    }

    /// The batch of step `step`, counted over epochs from 0 (units × batch).
    ///
    /// Any order of steps gives the same batches; going forward shuffles once an epoch.
    ///
    /// # Panics
    ///
    /// If `samples` has another number of samples than [`new`](Self::new) was told.
    pub fn load(&mut self, samples: &dyn Samples, step: u64) -> Minibatch<'_> {
        assert_eq!(samples.n_samples(), self.n_samples, "the samples these batches are of");
        let (epoch, first) = (step / self.per_epoch(), (step % self.per_epoch()) as usize * self.batch);
        if self.epoch != Some(epoch) {
            reorder(&mut self.order, self.n_samples, self.seed, epoch);
            self.epoch = Some(epoch);
        }
        if self.buffer.shape() != (samples.n_rows(), self.batch) {
            self.buffer = Mat::zeros(samples.n_rows(), self.batch);
        }
        let index = &self.order[first..self.n_samples.min(first + self.batch)];
        let n = index.len();
        samples.gather(epoch, index, self.buffer.columns_mut(0, n));
        self.weights[..n].fill(1.0);
        samples.weigh(index, &mut self.weights[..n]);
        if samples.has_missing() {
            if self.missing.shape() != self.buffer.shape() {
                self.missing = Mask::repeat(samples.n_rows(), self.batch, false);
            }
            self.missing.fill(false);
            samples.mark_missing(index, self.missing.columns_mut(0, n));
        }
        let missing = samples.has_missing().then(|| self.missing.columns(0, n));
        Minibatch { epoch, x: self.buffer.columns(0, n), weights: &self.weights[..n], missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Mat {
        Mat::from_fn(1, n, |_, sample| sample as f32)
    }

    fn loaded(batches: &mut Batches, data: &Mat, step: u64) -> (u64, Vec<f32>) {
        let Minibatch { epoch, x, .. } = batches.load(data, step);
        (epoch, x.iter().copied().collect())
    }

    #[test]
    fn an_epoch_visits_every_sample_once() {
        let (data, mut batches) = (numbered(10), Batches::new(10, 4, 7).unwrap());
        assert_eq!(batches.per_epoch(), 3);
        for epoch in 0..3 {
            let steps = (0..3).map(|k| loaded(&mut batches, &data, 3 * epoch + k));
            let (epochs, visited): (Vec<u64>, Vec<Vec<f32>>) = steps.unzip();
            assert_eq!((epochs, visited[2].len()), (vec![epoch; 3], 2));
            let visited: Vec<usize> = visited.concat().iter().map(|&x| x as usize).collect();
            assert_eq!(visited, order(10, 7, epoch));
            let mut sorted = visited;
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..10));
        }
        assert_ne!(order(10, 7, 0), order(10, 7, 1));
        assert_ne!(order(10, 7, 0), order(10, 8, 0));
    }

    #[test]
    fn a_run_can_be_taken_up_at_any_step() {
        let (data, mut through) = (numbered(11), Batches::new(11, 3, 1).unwrap());
        for step in (0..12).chain([30, 2, u64::MAX]) {
            let mut afresh = Batches::new(11, 3, 1).unwrap();
            assert_eq!(loaded(&mut through, &data, step), loaded(&mut afresh, &data, step));
        }
    }

    #[test]
    fn a_batch_larger_than_the_data_is_all_of_it() {
        let mut batches = Batches::new(3, usize::MAX, 1).unwrap();
        assert_eq!((batches.per_epoch(), batches.load(&numbered(3), 0).x.ncols()), (1, 3));
    }

    #[test]
    fn orders_are_uniform() {
        let mut counts = std::collections::HashMap::<_, f64>::new();
        (0..6000).for_each(|epoch| *counts.entry(order(3, 2, epoch)).or_default() += 1.0);
        let chi2: f64 = counts.values().map(|count| (count - 1000.0).powi(2) / 1000.0).sum();
        // 5 degrees of freedom: above 30 once in a hundred thousand.
        assert!(counts.len() == 6 && chi2 < 30.0, "{counts:?}");
    }

    #[test]
    fn the_memory_is_kept() {
        let (data, mut batches) = (numbered(100), Batches::new(100, 9, 1).unwrap());
        batches.load(&data, 0);
        let before = (batches.order.as_ptr(), batches.buffer.as_ptr());
        for step in 1..40 {
            batches.load(&data, step);
        }
        assert_eq!((batches.order.as_ptr(), batches.buffer.as_ptr()), before);
    }

    #[test]
    fn nothing_to_draw_is_refused() {
        let message = |n, batch| Batches::new(n, batch, 0).unwrap_err().to_string();
        assert_eq!(message(0, 4), "the number of samples must be at least 1, got 0");
        assert_eq!(message(4, 0), "the batch size must be at least 1, got 0");
    }
}
