//! Energies made of energies: products of densities, whose energies add; powers and quotients, which scale them; mixtures, whose densities
//! add.
//!
//! ```text
//! Product    E(x) = Σ cₖ Eₖ(x)                     p ∝ Π pₖ^{cₖ}: c = β is a temperature, c = -1 a negation, "and not"
//! Mixture    E(x) = -log Σ exp(aₖ - Eₖ(x))         p ∝ Σ e^{aₖ} Zₖ pₖ: "or"
//! ```
//!
//! Every part brings all of its own energy, the units' `U` too. The parameters are those of all parts, one after the other; so what is made
//! is trained, sampled and saved as any other model.
//!
//! ## References
//! - Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
//! - Du, Li and Mordatch, "Compositional visual generation with energy based models", 2020.

use crate::linalg::axpy;
use crate::params::Role;
use crate::units::label;
use crate::{Block, Energy, Error, Learn, Mat, MatMut, MatRef, Params, Result, Score, Train, Version};
use std::fmt;

/// What energies are made of: any that gives its slopes and owns its parameters.
pub trait Part: Score + Train + Send {}
impl<M: Score + Train + Send> Part for M {}

/// Parts of the same units, and their parameters side by side.
struct Parts {
    all: Vec<Box<dyn Part>>,
    params: Params,
}

impl Parts {
    /// # Errors
    /// [`Error::Value`] if there are none; [`Error::Shape`] if they have not the same units in the same rows.
    fn new(all: Vec<Box<dyn Part>>, more: &[(&str, Role, usize)]) -> Result<Self> {
        let units = |part: &dyn Part| {
            let blocks = part.blocks().iter().map(|b| format!("{} in rows {:?}", label(&*b.unit), b.rows));
            blocks.chain([format!("{} given", part.n_given())]).collect::<Vec<_>>().join(", ")
        };
        let Some(first) = all.first() else { return Err(Error::value("parts of an energy", "at least 1", 0)) };
        for (k, part) in all.iter().enumerate() {
            let (expected, got) = (units(&**first), units(&**part));
            if expected != got || part.n_visible() != part.n_rows() {
                let got = if expected == got { "latent units".into() } else { got };
                return Err(Error::shape(format!("units of part {k} of an energy"), expected, got));
            }
        }
        let mut slots: Vec<(String, Role, usize, usize)> = vec![];
        for (k, part) in all.iter().enumerate() {
            // Biases of one part are none of the whole: plain weights and biases, for no coordinates to be carried.
            let slot = |s: &crate::params::Slot| {
                let role = if s.role.is_weights() { Role::Weights } else { s.role };
                (format!("part{}.{}", k + 1, s.name), role, s.rows, s.columns)
            };
            slots.extend(part.params().slots().iter().map(slot));
        }
        slots.extend(more.iter().map(|(name, role, n)| (name.to_string(), *role, *n, 1)));
        let slots: Vec<_> = slots.iter().map(|(n, role, r, c)| (&**n, *role, *r, *c)).collect();
        let mut parts = Self { params: Params::zeros(&slots), all };
        parts.collect();
        Ok(parts)
    }
    /// Takes over the parameters of the parts.
    fn collect(&mut self) {
        let mut at = 0;
        for part in &self.all {
            let own = part.params().as_slice();
            self.params.as_mut_slice()[at..at + own.len()].copy_from_slice(own);
            at += own.len();
        }
    }
    /// The only way in; what a part makes of its parameters (a limit of norms) is taken over.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
        let mut at = 0;
        for part in &mut self.all {
            let n = part.params().as_slice().len();
            let own = &self.params.as_slice()[at..at + n];
            part.update(&mut |p| p.as_mut_slice().copy_from_slice(own));
            at += n;
        }
        self.collect();
    }
    /// `grad += Σ wₙ cₖₙ ∂Eₖ/∂θₖ` of every part.
    fn add_gradient(&self, x: MatRef<'_>, weights: impl Fn(usize) -> Vec<f32>, grad: &mut Params) {
        let mut at = 0;
        for (k, part) in self.all.iter().enumerate() {
            let mut own = part.params().zeros_like();
            part.grad_params(x, &weights(k), &mut own);
            let n = own.as_slice().len();
            axpy(1.0, own.as_slice(), &mut grad.as_mut_slice()[at..at + n]);
            at += n;
        }
    }
    /// Energies of every part, parts × samples.
    fn energies(&self, x: MatRef<'_>) -> Vec<Vec<f64>> {
        let one = |part: &dyn Part| {
            let mut energies = vec![0.0; x.ncols()];
            part.energy(x, &mut energies);
            energies
        };
        self.all.iter().map(|part| one(&**part)).collect()
    }
    fn architecture(&self) -> String {
        self.all.iter().map(|p| p.architecture()).collect::<Vec<_>>().join("; ")
    }
}

/// `E(x) = Σ cₖ Eₖ(x)`, the product of densities, each to a power.
///
/// ```
/// use harmonium::{Energy, Mat, models::{Product, neural::{Activation, NeuralEnergy}}, units::Gaussian};
/// use std::sync::Arc;
/// let part = || Box::new(NeuralEnergy::new(0, &[(2, Arc::new(Gaussian))], &[(3, Activation::Silu)]));
/// let both = Product::of(vec![(1.0, part()), (0.5, part())])?; // ½‖x‖² + ¼‖x‖²
/// let mut energy = [0.0];
/// both.energy(Mat::from_element(2, 1, 1.0).as_view(), &mut energy);
/// assert_eq!(energy, [1.5]);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub struct Product {
    parts: Parts,
    powers: Vec<f32>,
}
impl Product {
    /// These energies, each with its factor.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none, or a factor is no number; [`Error::Shape`] if they have not the same units in the same rows, or
    /// latent ones.
    pub fn of(parts: Vec<(f32, Box<dyn Part>)>) -> Result<Self> {
        let (powers, all): (Vec<f32>, Vec<Box<dyn Part>>) = parts.into_iter().unzip();
        match powers.iter().find(|c| !c.is_finite()) {
            Some(c) => Err(Error::value("the factor of an energy", "a number", c)),
            None => Ok(Self { parts: Parts::new(all, &[])?, powers }),
        }
    }
    /// The factors.
    pub fn powers(&self) -> &[f32] {
        &self.powers
    }
    /// Part `k`.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part(&self, k: usize) -> &dyn Part {
        &*self.parts.all[k]
    }
}

/// `E(x) = -log Σ exp(aₖ - Eₖ(x))`, the mixture of densities. The `aₖ` are learned; a component's share of the probability is proportional
/// to `e^{aₖ} Zₖ`.
///
/// Parameters: those of the parts, and `log_weights` a.
pub struct Mixture {
    parts: Parts,
}
impl Mixture {
    /// These energies, all `a` zero.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none; [`Error::Shape`] if they have not the same units in the same rows, or latent ones.
    pub fn of(parts: Vec<Box<dyn Part>>) -> Result<Self> {
        let n = parts.len();
        Ok(Self { parts: Parts::new(parts, &[("log_weights", Role::Unit, n)])? })
    }
    /// `a`
    pub fn log_weights(&self) -> &[f32] {
        self.parts.params.slice(self.parts.params.slots().len() - 1)
    }
    /// Part `k`.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part(&self, k: usize) -> &dyn Part {
        &*self.parts.all[k]
    }
    /// `p(k | x)` of every part and sample, from their energies; and the energies of the whole.
    fn shares(&self, mut energies: Vec<Vec<f64>>) -> (Vec<Vec<f64>>, Vec<f64>) {
        let a = self.log_weights();
        let n = energies.first().map_or(0, Vec::len);
        let whole = (0..n).map(|j| {
            let log = |k: usize| f64::from(a[k]) - energies[k][j];
            let most = (0..a.len()).map(log).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..a.len()).map(|k| (log(k) - most).exp()).sum();
            let all = most + sum.ln();
            (0..a.len()).for_each(|k| energies[k][j] = (f64::from(a[k]) - energies[k][j] - all).exp());
            -all
        });
        let whole = whole.collect();
        (energies, whole)
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Product").field("powers", &self.powers).finish_non_exhaustive()
    }
}
impl fmt::Debug for Mixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mixture").field("log_weights", &self.log_weights()).finish_non_exhaustive()
    }
}

/// Units are those of the first part.
impl Energy for Product {
    fn blocks(&self) -> &[Block] {
        self.parts.all[0].blocks()
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        self.parts.all[0].theta(block, given)
    }
    fn n_given(&self) -> usize {
        self.parts.all[0].n_given()
    }
    fn version(&self) -> Version {
        self.parts.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        out.fill(0.0);
        for (own, c) in self.parts.energies(x).iter().zip(&self.powers) {
            out.iter_mut().zip(own).for_each(|(o, e)| *o += f64::from(*c) * e);
        }
    }
}
impl Score for Product {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.energy_and_grad_x(x, &mut vec![0.0; x.ncols()], out);
    }
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        let (mut own, mut slopes) = (vec![0.0; x.ncols()], Mat::zeros(x.nrows(), x.ncols()));
        energies.fill(0.0);
        out.fill(0.0);
        for (part, c) in self.parts.all.iter().zip(&self.powers) {
            part.energy_and_grad_x(x, &mut own, slopes.as_view_mut());
            energies.iter_mut().zip(&own).for_each(|(o, e)| *o += f64::from(*c) * e);
            out.zip_apply(&slopes, |o, s| *o += c * s);
        }
    }
}
impl Learn for Product {
    fn params(&self) -> &Params {
        &self.parts.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.parts.add_gradient(x, |k| weights.iter().map(|w| w * self.powers[k]).collect(), grad);
    }
}
impl Train for Product {
    fn architecture(&self) -> String {
        format!("product to the powers {:?} of: {}", self.powers, self.parts.architecture())
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.parts.update(f);
    }
}

/// Units are those of the first part.
impl Energy for Mixture {
    fn blocks(&self) -> &[Block] {
        self.parts.all[0].blocks()
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        self.parts.all[0].theta(block, given)
    }
    fn n_given(&self) -> usize {
        self.parts.all[0].n_given()
    }
    fn version(&self) -> Version {
        self.parts.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        out.copy_from_slice(&self.shares(self.parts.energies(x)).1);
    }
}
impl Score for Mixture {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.energy_and_grad_x(x, &mut vec![0.0; x.ncols()], out);
    }
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        let one = |part: &dyn Part| {
            let (mut own, mut slopes) = (vec![0.0; x.ncols()], Mat::zeros(x.nrows(), x.ncols()));
            part.energy_and_grad_x(x, &mut own, slopes.as_view_mut());
            (own, slopes)
        };
        let (own, slopes): (Vec<_>, Vec<_>) = self.parts.all.iter().map(|part| one(&**part)).unzip();
        let (shares, whole) = self.shares(own);
        energies.copy_from_slice(&whole);
        out.fill(0.0);
        for (shares, slopes) in shares.iter().zip(&slopes) {
            for ((mut out, slope), share) in out.column_iter_mut().zip(slopes.column_iter()).zip(shares) {
                out.zip_apply(&slope, |o, s| *o += *share as f32 * s);
            }
        }
    }
}
impl Learn for Mixture {
    fn params(&self) -> &Params {
        &self.parts.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let (shares, _) = self.shares(self.parts.energies(x));
        // A state of weight zero is absent, whatever its share.
        let shared = |w: &f32, share: &f64| if *w == 0.0 { 0.0 } else { w * *share as f32 };
        let of = |k: usize| weights.iter().zip(&shares[k]).map(|(w, s)| shared(w, s)).collect::<Vec<f32>>();
        self.parts.add_gradient(x, of, grad);
        let last = grad.slots().len() - 1;
        for (k, a) in grad.slice_mut(last).iter_mut().enumerate() {
            *a -= of(k).iter().sum::<f32>();
        }
    }
}
impl Train for Mixture {
    fn architecture(&self) -> String {
        format!("mixture of: {}", self.parts.architecture())
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.parts.update(f);
    }
}
