//! The data of a layer: samples passed up through the machines below it, whose hidden units they become.
//!
//! Greedy learning is one [`super::Fit`] after another, each on the activities of those before:
//!
//! ```
//! use harmonium::train::{Activities, Fit, Run, Silent};
//! use harmonium::{data::bars_and_stripes, models::Rbm, objectives::Contrastive, optim::Sgd, units::Bernoulli};
//! let data = bars_and_stripes(3)?.sample(200, 1)?;
//! let mut layers = [Rbm::new((9, Bernoulli), (8, Bernoulli)), Rbm::new((8, Bernoulli), (6, Bernoulli))];
//! for k in 0..layers.len() {
//!     let (below, rest) = layers.split_at_mut(k);
//!     let activities = Activities::new(below, &data)?;
//!     rest[0].initialise(&activities.mean()?, 0.01, k as u64)?;
//!     let (mut cd, fit) = (Contrastive::cd(1, k as u64), Fit { epochs: 1, ..Fit::default() });
//!     fit.run(&mut Run::new(&mut rest[0], &mut cd, &mut Sgd::default(), &mut Silent), &activities)?;
//! }
//! # Ok::<(), harmonium::Error>(())
//! ```
//!
//! ## References
//! - Hinton, Osindero and Teh, "A fast learning algorithm for deep belief nets", 2006.

use crate::data::Samples;
use crate::models::Rbm;
use crate::rng::{ChainRng, keyed};
use crate::{Energy, Error, Mat, MatMut, Result, States, linalg};
use rand::RngExt;

/// The hidden units of a stack of machines, given the samples below it.
#[derive(Clone, Copy)]
pub struct Activities<'a> {
    layers: &'a [Rbm],
    samples: &'a dyn Samples,
    /// What the samples are multiplied by: 2 for a machine that sees them twice ([`crate::models::Dbm::machine_of_layer`]).
    pub factor: f32,
    /// Drawn from this seed, anew in each epoch, if there is one; otherwise they are means.
    pub drawn: Option<u64>,
}

impl<'a> Activities<'a> {
    /// The means of the hidden units of the last of these machines, each of which has the hidden units of the one before as its
    /// visible ones; the samples themselves if there are none.
    ///
    /// # Errors
    /// [`Error::Shape`] if machines and samples do not fit each other, [`Error::Value`] if entries are missing.
    pub fn new(layers: &'a [Rbm], samples: &'a dyn Samples) -> Result<Self> {
        let mut rows = samples.n_rows();
        for (k, machine) in layers.iter().enumerate() {
            if machine.n_visible() != rows {
                return Err(Error::shape(format!("visible units of layer {}", k + 1), rows, machine.n_visible()));
            }
            rows = machine.n_hidden();
        }
        if samples.has_missing() && !layers.is_empty() {
            return Err(Error::value("missing entries of data that are passed up", "none", "some"));
        }
        Ok(Self { layers, samples, factor: 1.0, drawn: None })
    }
    /// The mean of every row over all samples.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no samples.
    pub fn mean(&self) -> Result<Vec<f32>> {
        crate::eval::mean_of(self)
    }
}

impl std::fmt::Debug for Activities<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (layers, samples) = (self.layers.len(), self.samples.n_samples());
        write!(f, "activities of {layers} layers over {samples} samples, factor {}", self.factor)
    }
}

impl Samples for Activities<'_> {
    fn n_rows(&self) -> usize {
        self.layers.last().map_or(self.samples.n_rows(), Rbm::n_hidden)
    }
    fn n_samples(&self) -> usize {
        self.samples.n_samples()
    }
    fn gather(&self, epoch: u64, index: &[usize], mut out: MatMut<'_>) {
        if self.layers.is_empty() {
            self.samples.gather(epoch, index, out.as_view_mut());
            if self.factor != 1.0 {
                out *= self.factor;
            }
            return;
        }
        let mut x = Mat::zeros(self.samples.n_rows(), index.len());
        self.samples.gather(epoch, index, x.columns_mut(0, index.len()));
        if self.factor != 1.0 {
            x *= self.factor;
        }
        for (l, machine) in self.layers.iter().enumerate() {
            let mut states = States::default();
            states.clamp(machine.n_rows(), x.as_view());
            let stream = |b: usize, j: usize| {
                let seed = self.drawn?;
                Some(ChainRng::new(keyed(seed, &[l as u64, epoch, index[j] as u64, b as u64]).random()))
            };
            let (d, mut up) = (machine.n_visible(), Mat::zeros(machine.n_hidden(), index.len()));
            for b in machine.hidden_blocks() {
                let rows = machine.blocks()[b].rows.clone();
                if self.drawn.is_none() {
                    up.rows_range_mut(rows.start - d..rows.end - d).copy_from(&states.mean(machine, b));
                    continue;
                }
                let (fields, theta) = (states.field(machine, b), machine.theta(b, &[]));
                for (j, mut column) in up.column_iter_mut().enumerate() {
                    let to = &mut column.as_mut_slice()[rows.start - d..rows.end - d];
                    if let Some(mut rng) = stream(b, j) {
                        machine.blocks()[b].unit.sample(theta, linalg::col(&fields, j), to, &mut rng);
                    }
                }
            }
            x = up;
        }
        out.copy_from(&x);
    }
    fn weigh(&self, index: &[usize], out: &mut [f32]) {
        self.samples.weigh(index, out);
    }
    fn has_missing(&self) -> bool {
        self.samples.has_missing()
    }
    fn mark_missing(&self, index: &[usize], out: crate::MaskMut<'_>) {
        self.samples.mark_missing(index, out);
    }
}
