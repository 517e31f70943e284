//! Parameters as one flat vector with named matrix views, so that gradients, momenta, moving averages and checkpoints
//! are the same type, and an optimiser is a loop over slices.

use crate::{MatMut, MatRef};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a slot is for: decides about penalties (on weights alone) and centring (of couplings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `W` of a term `-yᵀWx`; the biases of `y` and `x` are the slots `rows` and `columns`.
    Coupling {
        /// Slot of the biases of the units that index the rows of `W`.
        rows: usize,
        /// Slot of the biases of the units that index the columns of `W`.
        columns: usize,
    },
    /// `W` of a term `-½ xᵀWx` between units of one layer: symmetric, zero within a unit.
    Lateral {
        /// Slot of the biases of the units.
        units: usize,
        /// Rows of each unit.
        width: usize,
    },
    /// Weights that couple no two blocks of units.
    Weights,
    /// `b` of a term `-bᵀx`.
    Bias,
    /// The units' own parameters.
    Unit,
}

impl Role {
    /// Whether penalties and norms apply.
    pub fn is_weights(self) -> bool {
        matches!(self, Self::Coupling { .. } | Self::Lateral { .. } | Self::Weights)
    }
}

/// Name, role, shape and place of one parameter matrix (column-major).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name it has in model files and messages.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Where it begins in the flat vector.
    pub offset: usize,
}

impl Slot {
    /// Its place in the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.rows * self.columns
    }
}

/// A number that no two states of a model share: what was computed under one version holds for that version alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// The version of nothing: equal to no other.
    pub const NONE: Self = Self(0);
    /// A version that was never given before in this process.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// A point in parameter space. Gradients, momenta and moving averages are points of the same space.
#[derive(Clone, Debug)]
pub struct Params {
    data: Vec<f32>,
    slots: Arc<[Slot]>,
    version: Version,
}

impl PartialEq for Params {
    /// The same values at the same places, whatever their version.
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data && self.slots == other.slots
    }
}

impl Params {
    /// All zero, one slot for every `(name, role, rows, columns)`.
    pub fn zeros(shapes: &[(&str, Role, usize, usize)]) -> Self {
        let mut offset = 0;
        let place = |&(name, role, rows, columns): &(&str, Role, usize, usize)| {
            let slot = Slot { name: name.to_string(), role, rows, columns, offset };
            offset += rows * columns;
            slot
        };
        let slots: Arc<[Slot]> = shapes.iter().map(place).collect();
        Self { data: vec![0.0; offset], slots, version: Version::fresh() }
    }
    /// The origin of the same space.
    pub fn zeros_like(&self) -> Self {
        Self { data: vec![0.0; self.data.len()], slots: self.slots.clone(), version: Version::fresh() }
    }
    /// What lies where.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
    /// What lies where, to keep while the values are written.
    pub fn layout(&self) -> Arc<[Slot]> {
        self.slots.clone()
    }
    /// The slot that the entry `index` of the flat vector belongs to.
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn slot_of(&self, index: usize) -> &Slot {
        let found = self.slots.iter().rev().find(|s| s.offset <= index && s.rows * s.columns > 0);
        found.filter(|_| index < self.data.len()).expect("an entry of the parameters")
    }
    /// Renewed whenever the values may have changed.
    pub fn version(&self) -> Version {
        self.version
    }
    /// Everything, flat.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }
    /// Everything, flat, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        self.version = Version::fresh();
        &mut self.data
    }
    /// Exchanges the values of two points of one space, without a copy.
    ///
    /// # Panics
    /// If the two are not points of the same space.
    pub fn exchange(&mut self, other: &mut Self) {
        assert_eq!(self.slots, other.slots, "points of one space");
        std::mem::swap(&mut self.data, &mut other.data);
        (self.version, other.version) = (Version::fresh(), Version::fresh());
    }
    /// Slot `k`, flat.
    pub fn slice(&self, k: usize) -> &[f32] {
        &self.data[self.slots[k].range()]
    }
    /// Slot `k`, flat, mutable.
    pub fn slice_mut(&mut self, k: usize) -> &mut [f32] {
        let range = self.slots[k].range();
        &mut self.as_mut_slice()[range]
    }
    /// Two slots, flat, mutable, in the order of the slots.
    ///
    /// # Panics
    /// If `first` does not come before `second`.
    pub fn pair_mut(&mut self, first: usize, second: usize) -> [&mut [f32]; 2] {
        assert!(first < second, "slots in order");
        let (a, b) = (self.slots[first].range(), self.slots[second].range());
        let (head, tail) = self.as_mut_slice()[..b.end].split_at_mut(b.start);
        [&mut head[a], tail]
    }
    /// Slot `k` as a matrix.
    pub fn mat(&self, k: usize) -> MatRef<'_> {
        let s = &self.slots[k];
        MatRef::from_slice(self.slice(k), s.rows, s.columns)
    }
    /// Slot `k` as a mutable matrix.
    pub fn mat_mut(&mut self, k: usize) -> MatMut<'_> {
        let (r, c) = (self.slots[k].rows, self.slots[k].columns);
        MatMut::from_slice(self.slice_mut(k), r, c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_change_with_every_mutable_access_and_survive_a_clone() {
        let mut p = Params::zeros(&[("a", Role::Bias, 2, 1), ("none", Role::Unit, 0, 1), ("w", Role::Weights, 2, 3)]);
        let before = p.version();
        assert_eq!(p.clone().version(), before);
        p.slice_mut(2)[5] = 1.0;
        assert_ne!(p.version(), before);
        assert_ne!(p.version(), Version::NONE);
        assert_eq!((p.as_slice()[7], p.mat(2)[(1, 2)]), (1.0, 1.0));
        let [a, w] = p.pair_mut(0, 2);
        (a[0], w[0]) = (3.0, 4.0);
        assert_eq!((p.slice(0), p.slice(2)), (&[3.0, 0.0][..], &[4.0, 0.0, 0.0, 0.0, 0.0, 1.0][..]));
        assert_eq!((p.slot_of(1).name.as_str(), p.slot_of(2).name.as_str()), ("a", "w"));
    }
}
