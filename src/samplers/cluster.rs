//! Cluster updates of spins (Swendsen and Wang, "Nonuniversal critical dynamics in Monte Carlo simulations", 1987): neighbours whose
//! coupling is satisfied are bound with probability `1 - exp(-2|J|)`, and each cluster of bound spins turns as a whole.
//!
//! Where correlations are long, near a critical point, one such pass does what thousands of sweeps do. A cluster turns by heat bath in
//! the sum of its fields, so biases and couplings of both signs are allowed; with frustration, clusters grow beyond what is correlated,
//! and gain little. Units of other kinds are not for it.

use super::{Kernel, Moves};
use crate::linalg::{sigmoid, uniforms_to};
use crate::models::SparseBoltzmann;
use crate::units::Spin;
use crate::{Energy, Error, Result, Slab, Streams};
use petgraph::unionfind::UnionFind;
use std::any::Any;

/// So many passes of cluster updates over all spins of a sparse machine. Values that are no spins (zeros where chains begin, means) become
/// spins of their sign first.
///
/// ```
/// use harmonium::{Chains, models::{Boundary, SparseBoltzmann}, samplers::SwendsenWang};
/// let ising = SparseBoltzmann::ising(&[16, 16], Boundary::Periodic, 0.44)?;
/// let mut chains = Chains::zeros(&ising, 8, 1);
/// chains.advance(&SwendsenWang::new(&ising, 5)?, &ising);
/// assert!(chains.states.x().iter().all(|s| s.abs() == 1.0));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwendsenWang {
    passes: usize,
}

impl SwendsenWang {
    /// For this machine, and others of spins.
    ///
    /// # Errors
    /// [`Error::Value`] if its units are not spins.
    pub fn new(model: &SparseBoltzmann, passes: usize) -> Result<Self> {
        match model.blocks().iter().find(|b| !is_spin(b)) {
            Some(other) => Err(Error::value("units of cluster updates", "spins", other.unit.name())),
            None => Ok(Self { passes }),
        }
    }
}
fn is_spin(block: &crate::Block) -> bool {
    (&*block.unit as &dyn Any).is::<Spin>()
}

impl Kernel<SparseBoltzmann> for SwendsenWang {
    /// # Panics
    /// If the units are not spins.
    fn advance(&self, model: &SparseBoltzmann, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        assert!(model.blocks().iter().all(is_spin), "cluster updates of spins");
        let (n, columns) = (model.n_rows(), slab.ncols());
        let mut uniforms = vec![0.0; model.edges().len() + n];
        let mut fields = vec![0f32; n];
        for _ in 0..self.passes {
            for j in 0..columns {
                uniforms_to(&mut uniforms, rng.column(j));
                let frozen = slab.frozen(&(0..n), j).map(<[bool]>::to_vec);
                let mut x = slab.x_mut();
                let mut column = x.column_mut(j);
                turn(model, column.as_mut_slice(), (&uniforms, &mut fields), frozen.as_deref());
            }
        }
        let n = (self.passes * columns) as u64;
        Moves::all(n)
    }
}

/// One pass over the spins of a state. What is none yet becomes one first: 1 from zero on.
fn turn(model: &SparseBoltzmann, x: &mut [f32], (u, fields): (&[f32], &mut [f32]), frozen: Option<&[bool]>) {
    for (i, x) in x.iter_mut().enumerate().filter(|(_, x)| x.abs() != 1.0) {
        if !frozen.is_some_and(|f| f[i]) {
            *x = if *x >= 0.0 { 1.0 } else { -1.0 };
        }
    }
    let (of_bonds, of_clusters) = u.split_at(model.edges().len());
    let mut clusters = UnionFind::<usize>::new(x.len());
    for ((&(i, k), &j), u) in model.edges().iter().zip(model.couplings().iter()).zip(of_bonds) {
        let satisfied = j * x[i] * x[k];
        if satisfied > 0.0 && *u > (-2.0 * satisfied).exp() {
            clusters.union(i, k);
        }
    }
    let cluster = clusters.into_labeling();
    fields.fill(0.0);
    for (i, &c) in cluster.iter().enumerate() {
        // A cluster with a frozen spin does not turn: no field is stronger.
        let own = if frozen.is_some_and(|f| f[i]) { f32::INFINITY } else { model.bias()[i] * x[i] };
        fields[c] += own;
    }
    for (i, &c) in cluster.iter().enumerate() {
        // Stays with probability sigmoid(2h), h the sum of b s as they are.
        if fields[c] < f32::INFINITY && of_clusters[c] >= sigmoid(2.0 * fields[c]) {
            x[i] = -x[i];
        }
    }
}
