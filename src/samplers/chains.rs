//! Parallel chains: states and their random streams.

use super::{Kernel, Moves};
use crate::rng::{ChainRng, GROUP, StreamSet, Streams};
use crate::{Energy, Error, Learn, MaskRef, Mat, MatRef, Response, Result, Resume, Saved, Slab, States};
use rayon::prelude::*;

/// Many chains side by side, one a column, every two with a random stream of its own.
///
/// ```
/// use harmonium::{Chains, models::Rbm, samplers::BlockGibbs, units::Spin};
/// let rbm = Rbm::new((10, Spin), (5, Spin));
/// let mut chains = Chains::zeros(&rbm, 100, 1);
/// chains.advance(&BlockGibbs::new(3), &rbm);
/// assert!(chains.states.x().iter().all(|x| x.abs() == 1.0));
/// ```
#[derive(Clone, Debug)]
pub struct Chains {
    /// Where the chains are, and what of them is frozen.
    pub states: States,
    streams: StreamSet,
}

impl Chains {
    /// Chains that start at the columns of `x`.
    pub fn new(x: Mat, seed: u64) -> Self {
        Self { streams: StreamSet::new(seed, x.ncols()), states: States::new(x) }
    }
    /// Chains at zero.
    pub fn zeros<M: Energy + ?Sized>(model: &M, columns: usize, seed: u64) -> Self {
        Self::new(Mat::zeros(model.n_rows(), columns), seed)
    }
    /// Chains at these visible values (visible units × chains), latent units at zero; nothing is frozen yet.
    ///
    /// To fill in what is unknown of some samples, freeze what is known, and let the chains run:
    ///
    /// ```
    /// use harmonium::{Chains, Mask, Mat, models::Rbm, samplers::BlockGibbs, units::Bernoulli};
    /// let rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    /// let mut chains = Chains::at_visible(&rbm, Mat::from_element(4, 10, 1.0).as_view(), 1)?;
    /// chains.states.freeze_rows(0..2)?; // of every sample; `freeze` takes a mask by unit and sample
    /// chains.advance(&BlockGibbs::new(5), &rbm);
    /// assert!(chains.states.x().rows(0, 2).iter().all(|&v| v == 1.0));
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit.
    pub fn at_visible<M: Learn + ?Sized>(model: &M, v: MatRef<'_>, seed: u64) -> Result<Self> {
        let d = model.n_visible();
        if v.nrows() != d {
            return Err(Error::shape("rows of samples", d, v.nrows()));
        }
        let mut chains = Self::new(Mat::zeros(0, 0), seed);
        chains.streams.cover(v.ncols());
        chains.states.clamp(model.n_rows(), v);
        Ok(chains)
    }
    /// Chains drawn from the base-rate model with these fields, one a row: exact samples of it.
    ///
    /// # Panics
    /// If there is not one field a row.
    pub fn from_base<M: Energy + ?Sized>(model: &M, base: &[f32], columns: usize, seed: u64) -> Self {
        assert_eq!(base.len(), model.n_rows(), "a base field for every row");
        let mut chains = Self::zeros(model, columns, seed);
        chains.each(|slab, rng| {
            for (b, block) in model.blocks().iter().enumerate() {
                let rows = block.rows.clone();
                let field = Mat::from_fn(rows.len(), slab.ncols(), |i, _| base[rows.start + i]);
                slab.respond_to(model, b, field.columns(0, field.ncols()), &mut Response::sample(rng));
            }
        });
        chains
    }
    /// Puts the chains where these states of `model` are, with what is known about them; nothing is frozen, and the streams
    /// run on.
    pub fn restart<M: Energy + ?Sized>(&mut self, model: &M, states: &States) {
        self.streams.cover(states.ncols());
        self.states.copy_from(model, states);
    }
    /// Puts the chains at these visible values, latent units at zero, and freezes what is known; the streams run on. See
    /// [`States::clamp_known`].
    ///
    /// # Panics
    /// As [`States::clamp_known`].
    pub fn clamp_known(&mut self, height: usize, v: MatRef<'_>, missing: &MaskRef<'_>) {
        self.streams.cover(v.ncols());
        self.states.clamp_known(height, v, missing);
    }
    /// Becomes so many columns of this height with unknown contents; the streams run on.
    pub(crate) fn reshape(&mut self, rows: usize, columns: usize) {
        self.streams.cover(columns);
        self.states.reshape(rows, columns);
    }
    /// [`Chains::each`], with the columns of the slab.
    pub(crate) fn each_at<R: Send>(
        &mut self,
        f: impl Fn(std::ops::Range<usize>, &mut Slab<'_>, &mut Streams<'_>) -> R + Sync,
    ) -> Vec<R> {
        let columns: Vec<_> = self.states.slabs().into_iter().map(|(columns, _)| columns).collect();
        let parts: Vec<_> = columns.into_iter().zip(self.parts()).collect();
        parts.into_par_iter().map(|(columns, (mut slab, mut rng))| f(columns, &mut slab, &mut rng)).collect()
    }
    pub(crate) fn streams(&self) -> &StreamSet {
        &self.streams
    }
    pub(crate) fn streams_mut(&mut self) -> &mut StreamSet {
        &mut self.streams
    }
    /// Moves every chain, slab by slab in parallel.
    ///
    /// # Panics
    /// If the chains have not the height of the model's states.
    pub fn advance<M: Energy + ?Sized, K: Kernel<M> + ?Sized>(&mut self, kernel: &K, model: &M) -> Moves {
        assert_eq!(self.states.x().nrows(), model.n_rows(), "height of the chains and of the model's states");
        self.each(|slab, rng| kernel.advance(model, slab, rng)).into_iter().sum()
    }
    /// Applies `f` to every slab with its streams, in parallel; results in column order.
    pub fn each<R: Send>(&mut self, f: impl Fn(&mut Slab<'_>, &mut Streams<'_>) -> R + Sync) -> Vec<R> {
        Self::each_of(std::slice::from_mut(self), |_, slab, rng| f(slab, rng))
    }
    /// Applies `f` to every slab of all these chains, of which it gets the number, in parallel; results chains by chains, in
    /// column order.
    pub(crate) fn each_of<R: Send>(
        all: &mut [Self],
        f: impl Fn(usize, &mut Slab<'_>, &mut Streams<'_>) -> R + Sync,
    ) -> Vec<R> {
        let tasks: Vec<_> = all.iter_mut().enumerate().flat_map(|(k, c)| c.parts().map(move |p| (k, p))).collect();
        tasks.into_par_iter().map(|(k, (mut slab, mut rng))| f(k, &mut slab, &mut rng)).collect()
    }
    /// Applies `f` to the slabs of the same columns of two neighbours (0 and 1, 2 and 3 …) and the number of the pair, in
    /// parallel; results pair by pair, in column order.
    pub(crate) fn each_pair<R: Send>(
        all: &mut [Self],
        f: impl Fn(usize, &mut Part<'_>, &mut Part<'_>) -> R + Sync,
    ) -> Vec<R> {
        let mut tasks = vec![];
        for (k, [a, b]) in all.as_chunks_mut().0.iter_mut().enumerate() {
            tasks.extend(a.parts().zip(b.parts()).map(|(a, b)| (k, a, b)));
        }
        tasks.into_par_iter().map(|(k, mut a, mut b)| f(k, &mut a, &mut b)).collect()
    }
    /// The slabs with their streams.
    fn parts(&mut self) -> impl Iterator<Item = Part<'_>> {
        let mut rngs: &mut [ChainRng] = self.streams.as_mut_slice();
        self.states.slabs().into_iter().map(move |(cols, slab)| {
            let own = rngs.split_off_mut(..cols.len().div_ceil(GROUP));
            (slab, Streams(own.expect("a stream for every group")))
        })
    }
}
/// A slab and its streams.
pub(crate) type Part<'a> = (Slab<'a>, Streams<'a>);

impl Resume for Chains {
    fn save(&self, to: &mut Saved) {
        let (rows, columns) = self.states.x().shape();
        to.put("x", self.states.as_slice());
        to.put_words("shape", vec![rows as u64, columns as u64]);
        self.streams.save(to);
    }
    /// Continues chains of the same height. What is frozen is not part of the state: whoever froze it does so again.
    fn load(&mut self, from: &Saved) -> Result<()> {
        let [rows, columns] = from.word_array("shape")?.map(|n| n as usize);
        let x = from.floats("x")?;
        if rows != self.states.x().nrows() && self.states.ncols() > 0 || rows.checked_mul(columns) != Some(x.len()) {
            return Err(Error::Missing { name: "x".into() });
        }
        self.streams.load(from)?;
        if self.streams.as_mut_slice().len() < columns.div_ceil(GROUP) {
            return Err(Error::Missing { name: "streams".into() });
        }
        self.states = States::new(Mat::from_column_slice(rows, columns, x));
        Ok(())
    }
}
