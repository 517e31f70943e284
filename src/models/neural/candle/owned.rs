//! A candle module, and the parameters that its variables are copies of.

use super::variables::{self, Named};
use crate::linalg::axpy;
use crate::params::Role;
use crate::{Params, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use std::fmt;
use std::ops::Range;

/// A module built twice over the same memory, of variables and of what has no derivatives, and the parameters that own it: a slot for every
/// variable, in the order in which the module asks for them, then others.
pub(crate) struct Owned<N> {
    pub(super) params: Params,
    named: Vec<Named>,
    learned: N,
    fixed: N,
}
impl<N> fmt::Debug for Owned<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned").field("slots", &self.params.slots()).finish_non_exhaustive()
    }
}
impl<N> Owned<N> {
    /// All parameters zero; `more` of them are not the module's.
    ///
    /// # Errors
    /// [`crate::Error::Value`] if candle cannot build the module.
    pub(crate) fn build(
        more: &[(&str, Role, usize)],
        build: impl Fn(VarBuilder<'_>) -> candle_core::Result<N>,
    ) -> Result<Self> {
        let ([learned, fixed], named) = variables::fitting(variables::twice(build))?;
        Ok(Self { params: variables::params(&named, more), named, learned, fixed })
    }
    /// The module with its derivatives.
    pub(crate) fn learned(&self) -> &N {
        &self.learned
    }
    /// The module without derivatives by its variables.
    pub(crate) fn fixed(&self) -> &N {
        &self.fixed
    }
    pub(crate) fn params(&self) -> &Params {
        &self.params
    }
    /// Slots of the module; the others come after them.
    pub(super) fn n_slots(&self) -> usize {
        self.named.len()
    }
    /// Numbers in the module's variables.
    pub(super) fn n_variables(&self) -> usize {
        self.named.iter().map(|n| n.var.elem_count()).sum()
    }
    /// Draws the variables as the module asked for them.
    pub(crate) fn draw(&mut self, seed: u64) {
        variables::draw(&self.named, seed, &mut self.params);
        variables::write(&self.params, &self.named);
    }
    /// The one way in.
    ///
    /// # Panics
    /// If `f` makes parameters of other shapes.
    pub(crate) fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        self.params.as_mut_slice(); // whole parameters may have come from another model: a new version
        variables::write(&self.params, &self.named);
    }
    /// `grad += ` the derivatives of one pass.
    pub(super) fn add(&self, one: &GradStore, grad: &mut Params) -> candle_core::Result<()> {
        for (k, named) in self.named.iter().enumerate() {
            if let Some(by) = one.get(&named.var) {
                let to = grad.slice_mut(k);
                if by.elem_count() != to.len() {
                    bail!("a derivative of shape {:?}", by.shape());
                }
                variables::read(by, |by| axpy(1.0, by, to))?;
            }
        }
        Ok(())
    }
    /// The sum of losses of `n` samples, which `loss` tells as one number for a range of them, `piece` at once and in parallel; `grad`
    /// becomes its gradient. The bits do not depend on threads.
    ///
    /// # Errors
    /// [`crate::Error::Value`] if candle cannot do it.
    pub(crate) fn gradient(
        &self,
        n: usize,
        piece: usize,
        loss: impl Fn(&N, Range<usize>) -> candle_core::Result<Tensor> + Sync,
        grad: &mut Params,
    ) -> Result<f64>
    where
        N: Sync,
    {
        let pieces = n.div_ceil(piece);
        let one = |k: usize| -> candle_core::Result<(f64, GradStore)> {
            let loss = loss(&self.learned, k * piece..((k + 1) * piece).min(n))?;
            let value = loss.to_scalar::<f32>()?;
            Ok((f64::from(value), loss.backward()?))
        };
        let done: Vec<_> = (0..pieces).into_par_iter().map(one).collect();
        grad.as_mut_slice().fill(0.0);
        let mut total = 0.0;
        for one in done {
            let (value, by) = variables::fitting(one)?;
            total += value;
            variables::fitting(self.add(&by, grad))?;
        }
        Ok(total)
    }
}
