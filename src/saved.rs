//! Saved state of a training run: a tree of named vectors, and the trait of everything that has a state.
//!
//! It says what to keep, not where: [`crate::io::Checkpoint`] writes the tree to a file.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// Anything whose state outlives a step. There are no defaults: a wrapper that forgets to forward must not compile.
pub trait Resume {
    /// Writes the state into `to`.
    fn save(&self, to: &mut Saved);
    /// Continues where [`Resume::save`] left off.
    ///
    /// # Errors
    /// [`Error::Missing`] if an entry is absent or has the wrong size.
    fn load(&mut self, from: &Saved) -> Result<()>;
}

impl<T: Resume + ?Sized> Resume for Box<T> {
    fn save(&self, to: &mut Saved) {
        (**self).save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        (**self).load(from)
    }
}

/// Named vectors and named children.
///
/// ```
/// use harmonium::Saved;
/// let mut saved = Saved::default();
/// saved.child_mut("optimizer").put("velocity", &[1.0, 2.0]);
/// assert_eq!(saved.child("optimizer")?.floats("velocity")?, [1.0, 2.0]);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    floats: BTreeMap<String, Vec<f32>>,
    words: BTreeMap<String, Vec<u64>>,
    children: BTreeMap<String, Saved>,
}

impl Saved {
    /// The child `name`, created if absent: every component writes under a name that its owner chose.
    pub fn child_mut(&mut self, name: &str) -> &mut Saved {
        self.children.entry(name.into()).or_default()
    }
    /// The child `name`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub fn child(&self, name: &str) -> Result<&Saved> {
        self.children.get(name).ok_or_else(|| missing(name))
    }
    /// Stores floats, in place of whatever had the name.
    pub fn put(&mut self, name: &str, values: &[f32]) {
        self.words.remove(name);
        self.floats.insert(name.into(), values.to_vec());
    }
    /// Stores integers, in place of whatever had the name.
    pub fn put_words(&mut self, name: &str, values: Vec<u64>) {
        self.floats.remove(name);
        self.words.insert(name.into(), values);
    }
    /// Stores double-precision numbers, by their bits.
    pub fn put_doubles(&mut self, name: &str, values: &[f64]) {
        self.put_words(name, values.iter().map(|v| v.to_bits()).collect());
    }
    /// All floats, by name.
    pub fn all_floats(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.floats
    }
    /// All integers, by name.
    pub fn all_words(&self) -> &BTreeMap<String, Vec<u64>> {
        &self.words
    }
    /// All children, by name.
    pub fn children(&self) -> &BTreeMap<String, Saved> {
        &self.children
    }
    /// Stored floats.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are none of this name.
    pub fn floats(&self, name: &str) -> Result<&[f32]> {
        self.floats.get(name).map(Vec::as_slice).ok_or_else(|| missing(name))
    }
    /// Stored integers.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are none of this name.
    pub fn words(&self, name: &str) -> Result<&[u64]> {
        self.words.get(name).map(Vec::as_slice).ok_or_else(|| missing(name))
    }
    /// Stored integers, `N` of them.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are none of this name, or not `N`.
    pub fn word_array<const N: usize>(&self, name: &str) -> Result<[u64; N]> {
        self.words(name)?.try_into().map_err(|_| missing(name))
    }
    /// Stored double-precision numbers.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are none of this name.
    pub fn doubles(&self, name: &str) -> Result<Vec<f64>> {
        Ok(self.words(name)?.iter().map(|&w| f64::from_bits(w)).collect())
    }
    /// Copies stored floats into `out`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are none of this name, or not as many as `out` holds.
    pub fn floats_to(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let stored = self.floats(name)?;
        if stored.len() != out.len() {
            return Err(missing(name));
        }
        out.copy_from_slice(stored);
        Ok(())
    }
}

fn missing(name: &str) -> Error {
    Error::Missing { name: name.into() }
}
