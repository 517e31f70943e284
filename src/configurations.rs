//! All joint values of some discrete blocks, numbered: what exact sums run over.

use crate::{Energy, Error, Mat, Result};

/// The joint values of all units of some blocks; the first unit changes fastest.
#[derive(Clone, Debug)]
pub struct Configurations {
    rows: usize,
    places: Vec<(usize, Vec<Vec<f32>>)>,
    count: Option<u64>,
}

impl Configurations {
    /// The joint values of `blocks`.
    ///
    /// # Errors
    /// [`Error::Intractable`] if a unit is real, or the model has given rows, whose values no number tells.
    pub fn new<M: Energy + ?Sized>(model: &M, blocks: &[usize]) -> Result<Self> {
        refuse_given(model, "the joint values of all units")?;
        let mut places = vec![];
        for &b in blocks {
            let block = &model.blocks()[b];
            let values = block.unit.support().ok_or_else(|| Error::Intractable {
                what: format!("{} units are real: their values cannot be enumerated", block.unit.name()),
                instead: "annealed importance sampling",
            })?;
            places.extend(block.rows.clone().step_by(block.unit.width()).map(|row| (row, values.clone())));
        }
        let count = places.iter().try_fold(1u64, |n, (_, values)| n.checked_mul(values.len() as u64));
        Ok(Self { rows: model.n_rows(), places, count })
    }
    /// How many there are; `None` if more than fit into 64 bits.
    pub fn count(&self) -> Option<u64> {
        self.count
    }
    /// How many bits number them.
    pub fn bits(&self) -> f64 {
        self.places.iter().map(|(_, values)| (values.len() as f64).log2()).sum()
    }
    /// Writes the units of number `index` into a state; other rows are left alone.
    ///
    /// # Panics
    /// If the state is too short.
    pub fn write(&self, mut index: u64, state: &mut [f32]) {
        for (row, values) in &self.places {
            let value = &values[(index % values.len() as u64) as usize];
            state[*row..row + value.len()].copy_from_slice(value);
            index /= values.len() as u64;
        }
    }
    /// The number of a state that [`Configurations::write`] may have written; `None` if a unit has another value.
    ///
    /// # Panics
    /// If the state is too short.
    pub fn number(&self, state: &[f32]) -> Option<u64> {
        self.places.iter().rev().try_fold(0u64, |index, (row, values)| {
            let value = values.iter().position(|v| *v == state[*row..row + v.len()])?;
            index.checked_mul(values.len() as u64)?.checked_add(value as u64)
        })
    }
    /// All of them as the columns of a matrix of the model's height, other rows zero.
    ///
    /// # Errors
    /// [`Error::Intractable`] if there are more than `limit`.
    pub fn all(&self, limit: u64) -> Result<Mat> {
        let count = self.count.filter(|&n| n <= limit).ok_or_else(|| Error::Intractable {
            what: format!("enumerating 2^{:.1} states (at most {limit})", self.bits()),
            instead: "sampling",
        })?;
        let mut x = Mat::zeros(self.rows, count as usize);
        for (index, mut column) in x.column_iter_mut().enumerate() {
            self.write(index as u64, column.as_mut_slice());
        }
        Ok(x)
    }
}

/// Whether the model has no given rows: else what depends on them is not one thing.
///
/// # Errors
/// [`Error::Intractable`] if it has.
pub(crate) fn refuse_given<M: Energy + ?Sized>(model: &M, what: &str) -> Result<()> {
    match model.n_given() {
        0 => Ok(()),
        n => Err(Error::Intractable {
            what: format!("{what} of a model with {n} given rows"),
            instead: "the model at one input, `Conditioned`",
        }),
    }
}
