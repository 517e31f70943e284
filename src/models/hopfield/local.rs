//! One state that moves spin by spin, with the fields of all spins kept beside it: looking at a spin costs nothing, turning it a
//! column of W. Fields are sums in double precision of couplings in single precision, which add up without errors in practice; so
//! a state reached here is the one that computing every field anew would reach.

use super::Hopfield;
use crate::linalg::{axpy_wide, col};
use rand::{Rng, RngExt, seq::SliceRandom};

/// A state and its fields without self-couplings, `Ws + b`.
#[derive(Debug)]
pub(crate) struct Local<'a> {
    network: &'a Hopfield,
    pub(crate) s: &'a mut [f32],
    field: &'a mut [f64],
}

impl<'a> Local<'a> {
    /// A state with its local fields ([`Hopfield::local_fields`]).
    pub(crate) fn new(network: &'a Hopfield, s: &'a mut [f32], field: &'a mut [f64]) -> Self {
        assert!(s.len() == network.n() && field.len() == network.n(), "{} spins, {} fields", s.len(), field.len());
        Self { network, s, field }
    }
    fn flip(&mut self, i: usize) {
        self.s[i] = -self.s[i];
        axpy_wide(2.0 * f64::from(self.s[i]), col(&self.network.weights(), i), self.field);
    }
    /// Whether the field of spin `i` points the other way: `s_i φ_i < 0`.
    fn wants_to_turn(&self, i: usize) -> bool {
        let s = f64::from(self.s[i]);
        s * self.field[i] + f64::from(self.network.own[i]) < 0.0
    }
    /// Every spin in turn takes the sign of its field; the number that turned.
    pub(crate) fn sweep(&mut self, order: &[usize]) -> usize {
        let mut turned = 0;
        for &i in order {
            if self.wants_to_turn(i) {
                self.flip(i);
                turned += 1;
            }
        }
        turned
    }
    /// Every spin in turn is drawn given the others, at the temperature `t`: the heat bath, `p(s_i = 1) = σ(2 (φ_i - own_i s_i)/t)`.
    /// Self-couplings have no part in it: they cancel from the ratio of the two probabilities.
    pub(crate) fn heat_bath(&mut self, order: &[usize], t: f64, rng: &mut impl Rng) {
        for &i in order {
            let up = rng.random::<f64>() < 1.0 / (1.0 + libm::exp(-2.0 * self.field[i] / t));
            if up != (self.s[i] > 0.0) {
                self.flip(i);
            }
        }
    }
    /// Whether no spin would turn.
    pub(crate) fn is_fixed(&self) -> bool {
        (0..self.s.len()).all(|i| !self.wants_to_turn(i))
    }
    /// `E(s)`, if W is symmetric.
    pub(crate) fn energy(&self) -> f64 {
        let of_spin = |i: usize| {
            let s = f64::from(self.s[i]);
            -0.5 * (s * (self.field[i] + f64::from(self.network.bias[i])) + f64::from(self.network.own[i]))
        };
        (0..self.s.len()).map(of_spin).sum()
    }
    /// Sweeps in a new random order each until nothing moves, at most `sweeps` times; whether it came to rest.
    pub(crate) fn relax(&mut self, sweeps: usize, rng: &mut impl Rng) -> bool {
        let mut order: Vec<usize> = (0..self.s.len()).collect();
        for _ in 0..sweeps {
            if self.is_fixed() {
                return true;
            }
            order.shuffle(rng);
            self.sweep(&order);
        }
        self.is_fixed()
    }
}
