//! The same distribution said otherwise: bits as spins, spins as bits; a machine without its hidden bits as a network.

use super::neural::{Activation, NeuralEnergy};
use super::{Kind, Rbm};
use crate::units::{Bernoulli, Spin, label};
use crate::{Block, Error, Learn, Result, Train, Unit};
use nalgebra::DVector;
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

/// The kinds of a layer after its ranges of bits and spins have become `new`, and the map of every row.
fn layer(blocks: &[Block], new: Arc<dyn Unit>) -> Result<(Vec<Kind>, Vec<Map>)> {
    let (mut kinds, mut maps) = (vec![], vec![]);
    for Block { rows, unit, .. } in blocks {
        let (unit, map) = match map(&**unit, &*new) {
            Some(map) => (new.clone(), map),
            None if blocks.len() > 1 => (unit.clone(), Map { scale: 1.0, shift: 0.0 }),
            None => {
                let expected = format!("{} units, or bits for spins, or spins for bits", label(&**unit));
                return Err(Error::value("the kind to convert to", expected, label(&*new)));
            }
        };
        kinds.push((rows.len(), unit));
        maps.extend(std::iter::repeat_n(map, rows.len()));
    }
    Ok((kinds, maps))
}

impl Rbm {
    /// The machine with the same distribution over units of these kinds: what was a bit is a spin, or the other way round; a layer
    /// may stay as it is. In a layer of several ranges, those that are neither bits nor spins stay.
    ///
    /// With `v = α v' + β`, `h = γ h' + δ`: `W' = αγ W`, `b' = α (b + Wᵀδ)`, `c' = γ (c + Wβ)`; energies differ by a constant,
    /// and so does `log Z`.
    ///
    /// # Errors
    /// [`Error::Value`] if a layer would change otherwise than between [`Bernoulli`] and [`Spin`].
    ///
    /// ```
    /// use harmonium::{models::Rbm, units::{Bernoulli, Spin}};
    /// let rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    /// assert_eq!(rbm.converted(Spin, Bernoulli)?.visible()[0].unit.name(), "spin");
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn converted(&self, visible: impl Unit, hidden: impl Unit) -> Result<Self> {
        let (visible, v) = layer(self.visible(), Arc::new(visible))?;
        let (hidden, h) = layer(self.hidden(), Arc::new(hidden))?;
        let mut new = Self::with_layers(&visible, &hidden);
        let w = self.weights().map(f64::from);
        let shifts = |maps: &[Map]| DVector::from_iterator(maps.len(), maps.iter().map(|m| m.shift));
        let (of_visible, of_hidden) = (w.tr_mul(&shifts(&h)), &w * shifts(&v));
        new.update(&mut |p| {
            // Units with parameters of their own stay, and keep them.
            p.as_mut_slice().copy_from_slice(self.params().as_slice());
            for (i, mut column) in p.mat_mut(0).column_iter_mut().enumerate() {
                let scaled = |(w, h): (&mut f32, &Map)| *w = (f64::from(*w) * v[i].scale * h.scale) as f32;
                column.iter_mut().zip(&h).for_each(scaled);
            }
            for (slot, maps, shift) in [(1, &v, &of_visible), (2, &h, &of_hidden)] {
                let biases = p.slice_mut(slot).iter_mut().zip(maps).zip(shift.iter());
                biases.for_each(|((b, map), shift)| *b = (map.scale * (f64::from(*b) + shift)) as f32);
            }
        });
        Ok(new)
    }
}

impl NeuralEnergy {
    /// The free energy of a machine with hidden bits as a network of one layer: `F(v) = U(v) - bᵀv - Σ softplus(c + Wv)`, to rounding.
    ///
    /// Its output weights are parameters as any others: what is trained from here on is a network.
    ///
    /// # Errors
    /// [`Error::Value`] if a hidden unit is not [`Bernoulli`].
    ///
    /// ```
    /// use harmonium::models::{Rbm, neural::NeuralEnergy};
    /// use harmonium::{Energy, Mat, units::Bernoulli};
    /// let rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    /// let (network, mut energy) = (NeuralEnergy::from_rbm(&rbm)?, [0.0]);
    /// network.energy(Mat::zeros(4, 1).as_view(), &mut energy);
    /// assert!((energy[0] + 8f64.ln()).abs() < 1e-6);
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn from_rbm(rbm: &Rbm) -> Result<Self> {
        let other = rbm.hidden().iter().find(|b| !(&*b.unit as &dyn Any).is::<Bernoulli>());
        if let Some(block) = other {
            return Err(Error::value("hidden units of a machine to be a network", "bernoulli", label(&*block.unit)));
        }
        let visible: Vec<Kind> = rbm.visible().iter().map(|b| (b.rows.len(), b.unit.clone())).collect();
        let mut network = Self::new(0, &visible, &[(rbm.n_hidden(), Activation::Softplus)]);
        network.update(&mut |p| {
            p.slice_mut(0).copy_from_slice(rbm.params().slice(0));
            p.slice_mut(1).copy_from_slice(rbm.hidden_bias());
            p.slice_mut(2).fill(-1.0);
            p.slice_mut(4).copy_from_slice(rbm.visible_bias());
            // The units' own parameters come last in both.
            p.slice_mut(5).copy_from_slice(rbm.params().slice(rbm.params().slots().len() - 1));
        });
        Ok(network)
    }
}
