//! Negative states from a replay buffer: many chains that take turns, so that each is moved seldom and all of them are remembered.
//!
//! A gradient sampler needs thousands of steps from noise to where an energy is low, and an update can afford some tens. So chains are
//! kept in a buffer; an update takes some of them at random, moves them and puts them back. A share is started anew from noise every time,
//! so that no chain grows old, and every mode is looked for again. With no share it is persistent CD over more chains than an update
//! moves; with all of it, short-run sampling from noise, which remembers nothing (Nijkamp and others 2019).
//!
//! ## References
//! - Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient", 2008.
//! - Du and Mordatch, "Implicit generation and modeling with energy based models", 2019.
//! - Nijkamp, Hill, Zhu and Wu, "Learning non-convergent non-persistent short-run MCMC toward energy-based model", 2019.

use super::negative::{Repeated, check_states, times};
use super::{Ends, Negative, Negatives};
use crate::linalg::uniforms_to;
use crate::optim::Schedule;
use crate::rng::{StreamSet, derive};
use crate::samplers::{Chains, Kernel, Moves};
use crate::{Batch, Energy, Error, Mat, MatRef, Params, Result, Resume, Saved, States};
use rand::RngExt;
use std::ops::RangeInclusive;

/// Where chains begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Noise {
    /// Draws of the base-rate model with these fields, one a row (see [`crate::base_rate`]): of bits and other discrete units as well.
    BaseRate(Vec<f32>),
    /// Every unit uniformly within this range.
    Uniform(RangeInclusive<f32>),
}
impl Noise {
    fn check<M: Energy + ?Sized>(&self, model: &M) -> Result<()> {
        match self {
            Self::BaseRate(base) if base.len() != model.n_rows() => {
                Err(Error::shape("fields of the noise that chains start from", model.n_rows(), base.len()))
            }
            Self::BaseRate(base) if base.iter().any(|b| !b.is_finite()) => {
                Err(Error::value("fields of the noise that chains start from", "finite", format!("{base:?}")))
            }
            Self::Uniform(range)
                if !(range.start() <= range.end() && range.start().is_finite() && range.end().is_finite()) =>
            {
                Err(Error::value(
                    "the range of the noise that chains start from",
                    "finite, from low to high",
                    format!("{range:?}"),
                ))
            }
            _ => Ok(()),
        }
    }
    /// So many starts.
    fn draw<M: Energy + ?Sized>(&self, model: &M, columns: usize, seed: u64) -> Mat {
        match self {
            Self::BaseRate(base) => Chains::from_base(model, base, columns, seed).states.into_x(),
            Self::Uniform(range) => {
                let mut chains = Chains::zeros(model, columns, seed);
                chains.each(|slab, rng| {
                    for (j, mut x) in slab.x_mut().column_iter_mut().enumerate() {
                        uniforms_to(x.as_mut_slice(), rng.column(j));
                        x.iter_mut().for_each(|x| *x = range.start() + (range.end() - range.start()) * *x);
                    }
                });
                chains.states.into_x()
            }
        }
    }
}

/// A buffer of chains.
///
/// ```
/// use harmonium::{models::Boltzmann, objectives::{Contrastive, Noise, Replay}, samplers::BlockGibbs, units::Bernoulli};
/// let machine = Boltzmann::new((9, Bernoulli));
/// // 1,000 chains, of which an update moves 100, five of them from noise
/// let replay = Replay::new(&machine, BlockGibbs::new(1), Noise::BaseRate(vec![0.0; 9]), [1000, 100], 7)?;
/// let objective = Contrastive::new(replay.restarting(0.05)?);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Replay<K> {
    /// How the chains move.
    pub kernel: K,
    /// How often in an update, by step; rounded to whole numbers.
    pub k: Schedule,
    noise: Noise,
    share: f32,
    buffer: Mat,
    moved: Chains,
    chosen: Vec<usize>,
    choice: StreamSet,
    seed: u64,
    updates: u64,
}

impl<K> Replay<K> {
    /// `size` chains that start from noise, of which an update moves `columns`; a twentieth of those start anew.
    ///
    /// # Errors
    /// [`Error::Value`] if no chains are moved, or more than there are, the noise is no numbers, or the model has inputs, which are no
    /// chain's to choose; [`Error::Shape`] if there is not one field of noise a row.
    pub fn new<M: Energy + ?Sized>(
        model: &M,
        kernel: K,
        noise: Noise,
        [size, columns]: [usize; 2],
        seed: u64,
    ) -> Result<Self> {
        noise.check(model)?;
        if columns == 0 || columns > size {
            let got = format!("{columns} of {size}");
            return Err(Error::value(
                "the number of chains that an update moves",
                "at least 1, of as many or more",
                got,
            ));
        }
        if model.n_given() > 0 {
            return Err(Error::value("given rows of a model with a replay buffer", "none", model.n_given()));
        }
        Ok(Self {
            kernel,
            k: Schedule::Constant(1.0),
            share: 0.05,
            buffer: noise.draw(model, size, derive(seed, "replay buffer")),
            noise,
            moved: Chains::zeros(model, columns, derive(seed, "replayed chains")),
            chosen: vec![],
            choice: StreamSet::new(derive(seed, "which chains are replayed"), 1),
            seed,
            updates: 0,
        })
    }
    /// The same with this share of the chains starting anew from noise in every update, on average.
    ///
    /// # Errors
    /// [`Error::Value`] if it is not within 0..=1.
    pub fn restarting(self, share: f32) -> Result<Self> {
        match (0.0..=1.0).contains(&share) {
            true => Ok(Self { share, ..self }),
            false => Err(Error::value("the share of chains that start anew", "from 0 to 1", share)),
        }
    }
    /// All chains, one a column.
    pub fn buffer(&self) -> MatRef<'_> {
        self.buffer.as_view()
    }
    /// Chooses chains, each at most once, and starts some of them anew.
    fn take<M: Energy + ?Sized>(&mut self, model: &M) {
        let (size, columns) = (self.buffer.ncols(), self.moved.states.ncols());
        let rng = &mut self.choice.as_mut_slice()[0];
        self.chosen.clear();
        self.chosen.extend(0..size);
        for k in 0..columns {
            let other = rng.random_range(k..size); // Fisher and Yates, as far as is needed
            self.chosen.swap(k, other);
        }
        self.chosen.truncate(columns);
        let anew: Vec<bool> = (0..columns).map(|_| rng.random::<f32>() < self.share).collect();
        let starts = self.noise.draw(
            model,
            anew.iter().filter(|a| **a).count(),
            derive(derive(self.seed, "restarts"), &self.updates.to_string()),
        );
        let mut next = starts.column_iter();
        let mut x = self.moved.states.x_mut();
        for ((mut to, &from), anew) in x.column_iter_mut().zip(&self.chosen).zip(anew) {
            match anew.then(|| next.next()).flatten() {
                Some(start) => to.copy_from(&start),
                None => to.copy_from(&self.buffer.column(from)),
            }
        }
        self.updates += 1;
    }
}
impl<K> Ends for Replay<K> {
    fn ends(&self) -> &States {
        &self.moved.states
    }
}
impl<M: Energy + ?Sized, K: Kernel<M>> Negative<M> for Replay<K> {
    fn draw<'s>(&'s mut self, model: &M, _: &States, batch: &'s Batch<'_>) -> Result<Negatives<'s>> {
        check_states(model, &self.moved.states)?;
        let times = times(self.k, batch.step)?;
        self.take(model);
        let moves = self.moved.advance(&Repeated { kernel: &self.kernel, times }, model);
        for (from, &to) in self.moved.states.x().column_iter().zip(&self.chosen) {
            self.buffer.column_mut(to).copy_from(&from);
        }
        Ok(Negatives { states: &mut self.moved.states, weights: None, moves, swaps: Moves::default() })
    }
    fn learned(&mut self, _: &Params) {}
}
/// The buffer and all streams.
impl<K> Resume for Replay<K> {
    fn save(&self, to: &mut Saved) {
        to.put("buffer", self.buffer.as_slice());
        to.put_words("updates", vec![self.updates]);
        self.choice.save(to.child_mut("choice"));
        self.moved.streams().save(to.child_mut("moved"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        from.floats_to("buffer", self.buffer.as_mut_slice())?;
        self.choice.load(from.child("choice")?)?;
        self.moved.streams_mut().load(from.child("moved")?)?;
        [self.updates] = from.word_array("updates")?;
        Ok(())
    }
}
