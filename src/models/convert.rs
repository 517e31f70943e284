//! The same distribution with other values: bits as spins, spins as bits.

use super::Rbm;
use crate::units::{Bernoulli, Spin, label};
use crate::{Error, Learn, Result, Train, Unit};
use std::any::Any;
use std::sync::Arc;

/// `x = scale · y + shift` from the new values `y` to the old ones.
#[derive(Clone, Copy)]
struct Map {
    scale: f64,
    shift: f64,
}

/// From units of one kind to the values of another: none if it is no matter of renaming two values.
fn map(old: &dyn Unit, new: &dyn Unit) -> Option<Map> {
    let is_bit = |unit: &dyn Unit| {
        let unit = unit as &dyn Any;
        if unit.is::<Bernoulli>() { Some(true) } else { unit.is::<Spin>().then_some(false) }
    };
    match (is_bit(old), is_bit(new)) {
        (Some(true), Some(false)) => Some(Map { scale: 0.5, shift: 0.5 }), // (1 + s)/2
        (Some(false), Some(true)) => Some(Map { scale: 2.0, shift: -1.0 }), // 2v - 1
        _ if label(old) == label(new) => Some(Map { scale: 1.0, shift: 0.0 }),
        _ => None,
    }
}

impl Rbm {
    /// The machine with the same distribution over units of these kinds: what was a bit is a spin, or the other way round; a side
    /// may stay as it is.
    ///
    /// With `v = α v' + β`, `h = γ h' + δ`: `W' = αγ W`, `b' = α (b + δ Wᵀ1)`, `c' = γ (c + β W1)`; energies differ by a constant,
    /// and so does `log Z`.
    ///
    /// # Errors
    /// [`Error::Value`] if a side would change otherwise than between [`Bernoulli`] and [`Spin`].
    ///
    /// ```
    /// use harmonium::{models::Rbm, units::{Bernoulli, Spin}};
    /// let rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    /// assert_eq!(rbm.converted(Spin, Bernoulli)?.visible_unit().name(), "spin");
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn converted(&self, visible: impl Unit, hidden: impl Unit) -> Result<Self> {
        let to = |old: &dyn Unit, new: &dyn Unit| {
            let expected = format!("{} units, or bits for spins, or spins for bits", label(old));
            map(old, new).ok_or_else(|| Error::value("the kind to convert to", expected, label(new)))
        };
        let (v, h) = (to(&**self.visible_unit(), &visible)?, to(&**self.hidden_unit(), &hidden)?);
        let mut new = Self::with_units((self.n_visible(), Arc::new(visible)), (self.n_hidden(), Arc::new(hidden)));
        let w = self.weights();
        let sum = |weights: &mut dyn Iterator<Item = &f32>| weights.map(|&w| f64::from(w)).sum::<f64>();
        new.update(&mut |p| {
            // Units with parameters of their own stay, and keep them.
            p.as_mut_slice().copy_from_slice(self.params().as_slice());
            p.mat_mut(0).apply(|w| *w = (f64::from(*w) * v.scale * h.scale) as f32);
            for (i, b) in p.slice_mut(1).iter_mut().enumerate() {
                *b = (v.scale * (f64::from(*b) + h.shift * sum(&mut w.column(i).iter()))) as f32;
            }
            for (j, c) in p.slice_mut(2).iter_mut().enumerate() {
                *c = (h.scale * (f64::from(*c) + v.shift * sum(&mut w.row(j).iter()))) as f32;
            }
        });
        Ok(new)
    }
}
