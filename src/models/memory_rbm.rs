//! Associative memories as restricted Boltzmann machines: a memory is a hidden unit, and summing it out leaves the energy of the
//! memory.
//!
//! A Gaussian hidden unit with field `φ` leaves `-½φ²`, the square of an overlap: Hopfield's energy. One softmax unit leaves
//! `-log Σ exp φ_μ`: the modern one. Both ways are exact, and say what does not have that form.
//!
//! ## References
//! - Barra, Bernacchia, Santucci and Contucci, "On the equivalence of Hopfield networks and Boltzmann machines", 2012.
//! - Ramsauer et al., "Hopfield networks is all you need", 2020.

use super::modern_hopfield::check_numbers;
use super::{DenseMemory, Interaction, ModernHopfield, Rbm};
use crate::units::{Gaussian, LogPrecision, Softmax, Spin};
use crate::{Energy, Error, Mat, MatRef, Result, Train, Unit};
use std::any::Any;

/// Slots of an RBM's parameters.
const WEIGHTS: usize = 0;
const VISIBLE_THETA: usize = 4;

fn check_beta(beta: f64) -> Result<()> {
    match beta > 0.0 && beta.is_finite() {
        true => Ok(()),
        false => Err(Error::value("the inverse temperature β", "a number above 0", beta)),
    }
}
/// The only range of units of a layer, if it is of this kind.
fn only<U: Unit>(layer: &[crate::Block], what: &str, kind: &str) -> Result<()> {
    match layer {
        [one] if (&*one.unit as &dyn Any).is::<U>() => Ok(()),
        _ => {
            let got: Vec<String> = layer.iter().map(|b| crate::units::label(&*b.unit)).collect();
            Err(Error::value(format!("the {what} units of the machine"), kind, got.join(", ")))
        }
    }
}
fn all_equal(what: &str, x: &[f32], expected: f32) -> Result<()> {
    match x.iter().position(|x| *x != expected) {
        Some(k) => Err(Error::value(format!("{what} {k}"), format!("{expected}, as that of the others"), x[k])),
        None => Ok(()),
    }
}

/// Hopfield's network of `patterns` (units × patterns) at the inverse temperature β as a machine of spins and Gaussian hidden units,
/// one a pattern: `W = √(β/N) ξᵀ`, all biases zero. With `P` patterns its free energy over the spins is
///
/// ```text
/// F(s) = β E(s) - ½ P log 2π,   E(s) = -(1/2N) Σ_μ (ξ_μᵀs)²
/// ```
///
/// (the sum with its diagonal, a constant of spins).
///
/// # Errors
/// [`Error::Value`] if there are no units or patterns, an entry is no number, or β is not above 0.
///
/// ```
/// use harmonium::{Mat, models::{hebbian_patterns, hebbian_rbm}};
/// let patterns = Mat::from_row_slice(4, 1, &[1.0, -1.0, -1.0, 1.0]);
/// let rbm = hebbian_rbm(patterns.as_view(), 2.0)?;
/// let recalled = rbm.free_energy(patterns.as_view())?[0] - rbm.free_energy(Mat::from_element(4, 1, 1.0).as_view())?[0];
/// assert!((recalled + 2.0 * 2.0).abs() < 1e-6); // E is -N/2 at the pattern, 0 at what is orthogonal
/// assert!((hebbian_patterns(&rbm, 2.0)? - patterns).amax() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn hebbian_rbm(patterns: MatRef<'_>, beta: f64) -> Result<Rbm> {
    check_beta(beta)?;
    check_numbers("pattern", patterns)?;
    let (n, p) = patterns.shape();
    if n == 0 || p == 0 {
        return Err(Error::value("units and patterns", "at least 1 of each", format!("{n} and {p}")));
    }
    let mut rbm = Rbm::new((n, Spin), (p, Gaussian));
    let scale = (beta / n as f64).sqrt();
    rbm.update(&mut |params| {
        params.mat_mut(WEIGHTS).zip_apply(&patterns.transpose(), |w, x| *w = (scale * f64::from(x)) as f32);
    });
    Ok(rbm)
}
/// The way back from [`hebbian_rbm`]: the patterns (units × patterns) of Hopfield's network that a machine is at the inverse
/// temperature β, `ξ = √(N/β) Wᵀ`. β is not told by the machine: of patterns of another length it is another.
///
/// # Errors
/// [`Error::Value`] if the units are not spins and Gaussian, a bias is not zero, or β is not above 0.
pub fn hebbian_patterns(rbm: &Rbm, beta: f64) -> Result<Mat> {
    check_beta(beta)?;
    only::<Spin>(rbm.visible(), "visible", "spin")?;
    only::<Gaussian>(rbm.hidden(), "hidden", "gaussian")?;
    all_equal("visible bias", rbm.visible_bias(), 0.0)?;
    all_equal("hidden bias", rbm.hidden_bias(), 0.0)?;
    let scale = (rbm.n_visible() as f64 / beta).sqrt();
    Ok(rbm.weights().transpose().map(|w| (scale * f64::from(w)) as f32))
}

impl DenseMemory {
    /// Hopfield's network with Hebb's rule, `E(s) = -(β/2N) Σ_μ (ξ_μᵀs)²`: degree 2, of which [`hebbian_rbm`] is the machine.
    ///
    /// # Errors
    /// Those of [`DenseMemory::storing`].
    pub fn hebbian(patterns: MatRef<'_>, beta: f64) -> Result<Self> {
        Self::storing(patterns, Interaction::Polynomial { degree: 2 }, 0.5 * beta * patterns.nrows() as f64)
    }
}

impl ModernHopfield {
    /// The same density as a machine of real visible units of precision β and one softmax hidden unit, whose values are the memories:
    /// `W = β Xᵀ`, all biases zero. Its free energy over the visible units is the energy of this network, with no constant between.
    ///
    /// The hidden biases are zero though the memories have norms: in the mixture of Gaussians that a softmax unit makes, a bias of
    /// `-½β x_μᵀx_μ` would give all memories equal weight, and the modern energy does not. (With Gaussian visible units, of
    /// precision one, it is the machine of the states `√β ξ`, with `W = √β Xᵀ`.)
    ///
    /// The units of precision are [`LogPrecision`] ones; in single precision, `e^{log β}` is β but for rounding.
    ///
    /// ```
    /// use harmonium::{Energy, Mat, models::ModernHopfield};
    /// let network = ModernHopfield::storing(Mat::identity(3, 3).as_view(), 1.0)?;
    /// let (state, mut energy) = (Mat::from_row_slice(3, 1, &[0.5, -1.0, 2.0]), [0.0]);
    /// network.energy(state.as_view(), &mut energy);
    /// assert!((network.to_rbm().free_energy(state.as_view())?[0] - energy[0]).abs() < 1e-6);
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn to_rbm(&self) -> Rbm {
        let mut rbm = Rbm::new((self.n_units(), LogPrecision), (self.n_memories(), Softmax { q: self.n_memories() }));
        rbm.update(&mut |params| {
            let memories = self.memories().transpose();
            params.mat_mut(WEIGHTS).zip_apply(&memories, |w, x| *w = (self.beta() * f64::from(x)) as f32);
            params.slice_mut(VISIBLE_THETA).fill(self.beta().ln() as f32);
        });
        rbm
    }
    /// The way back: `x_μ = (w_μ + b)/β` of a machine of Gaussian visible units (`β = 1`) or [`LogPrecision`] ones of one precision
    /// `β = e^λ`, and one softmax hidden unit. Its free energy is the energy of this network but for the constant of the hidden
    /// biases; a visible bias `b` adds to all memories, for one of them is always on.
    ///
    /// # Errors
    /// [`Error::Value`] if the units are others, their precisions or the hidden biases differ, or a parameter is no number.
    pub fn from_rbm(rbm: &Rbm) -> Result<Self> {
        let beta = match only::<Gaussian>(rbm.visible(), "visible", "gaussian") {
            Ok(()) => 1.0,
            Err(_) => {
                only::<LogPrecision>(rbm.visible(), "visible", "gaussian, or log_precision")?;
                let precisions = rbm.theta(rbm.visible_blocks().start, &[]);
                let first = precisions.first().copied().unwrap_or_default();
                all_equal("log-precision", precisions, first)?;
                f64::from(first).exp()
            }
        };
        only::<Softmax>(rbm.hidden(), "hidden", "one softmax unit")?;
        if rbm.hidden()[0].unit.width() != rbm.n_hidden() {
            let got = rbm.n_hidden() / rbm.hidden()[0].unit.width();
            return Err(Error::value("the number of softmax units", "1", got));
        }
        all_equal("hidden bias", rbm.hidden_bias(), rbm.hidden_bias()[0])?;
        let (w, b) = (rbm.weights(), rbm.visible_bias());
        let memory = |i: usize, k: usize| ((f64::from(w[(k, i)]) + f64::from(b[i])) / beta) as f32;
        Self::storing(Mat::from_fn(rbm.n_visible(), rbm.n_hidden(), memory).as_view(), beta)
    }
}
