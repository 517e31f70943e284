//! The Hopfield network: spins with dense couplings, and the rules that store patterns as its fixed points.
//!
//! A rule (a file each) is an object that keeps what it needs to go on pattern by pattern, and gives the network so far. Here
//! are what a network is, its energy, and how firmly it holds a pattern; how it recalls one is [`mod@crate::infer`]'s
//! ([`crate::infer::recall`]). Continuous and higher-order memories are not this model.
//!
//! | rule | learns | recalls random patterns up to P/N of about |
//! |---|---|---|
//! | [`Hebb`] | in one pass, incremental, local | 0.138, with 1.5 % of errors |
//! | [`Storkey`] | in one pass, incremental, local | more than Hebb |
//! | [`PseudoInverse`] | incremental, not local | 1, if independent |
//! | [`Perceptron`], [`SymmetricPerceptron`] | by sweeps, with a margin | 2 (symmetric: less) |
//! | [`Unlearning`] | dreams away what was never stored | beyond its network's |
//!
//! ## References
//! - Hopfield, "Neural networks and physical systems with emergent collective computational abilities", 1982.
//! - Amit, Gutfreund and Sompolinsky, "Storing infinite numbers of patterns in a spin-glass model of neural networks", 1985.

mod hebb;
mod local;
mod machine;
mod perceptron;
mod pseudo_inverse;
mod spins;
mod storkey;
mod symmetric;
mod unlearning;
pub use hebb::Hebb;
pub(crate) use local::Local;
pub use perceptron::{Learned, Perceptron};
pub use pseudo_inverse::{Projected, PseudoInverse};
pub(crate) use spins::check_spins;
pub use storkey::Storkey;
pub use symmetric::SymmetricPerceptron;
pub use unlearning::Unlearning;

use crate::linalg::{self, Working, add_product, col, dot};
use crate::{Error, Mat, MatRef, Result};
use nalgebra::DMatrix;
use std::sync::OnceLock;

/// States whose fields are computed together.
pub(crate) const BATCH: usize = 128;

/// A network of N spins `s_i ∈ {-1, 1}` with fields `φ_i = Σ_{j≠i} W_ij s_j + own_i s_i + b_i`.
///
/// A spin takes the sign of its field; where the field is 0, it stays. If W is symmetric, there is an energy
/// `E(s) = -½ sᵀWs - ½ Σ own_i s_i² - bᵀs`. **Self-couplings `own` are kept apart from W**, whose diagonal is zero: as `s_i² = 1`,
/// they are a constant of the energy, and so of no consequence at a temperature; but they are part of the field, and so of the
/// dynamics: with `own_i > 0` more states are fixed, with `own_i < 0` the energy can rise.
///
/// Parameters: W (N × N, W_ij from spin j to spin i), own (N, zero unless asked for), the biases b (N; minus the thresholds).
///
/// ```
/// use harmonium::{Mat, models::hopfield::Hopfield};
/// let ferromagnet = Hopfield::new(Mat::from_fn(3, 3, |i, j| if i == j { 0.0 } else { 1.0 }))?;
/// let s = Mat::from_column_slice(3, 2, &[1.0, 1.0, 1.0, 1.0, 1.0, -1.0]);
/// assert_eq!(ferromagnet.energies(s.as_view())?, [-3.0, 1.0]);
/// assert_eq!(ferromagnet.are_fixed(s.as_view())?, [true, false]);
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hopfield {
    weights: Mat,
    own: Vec<f32>,
    bias: Vec<f32>,
    symmetric: bool,
    fast: OnceLock<Fast>,
}

/// What products with many states need, made when they are first asked for.
#[derive(Clone, Debug)]
pub(crate) struct Fast {
    /// Panels of W.
    pub(crate) working: Working,
    /// How far a field in single precision may be from the exact one, a unit.
    pub(crate) doubt: Vec<f64>,
}

impl Hopfield {
    /// A network of these couplings (N × N, zero diagonal), without self-couplings and biases.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not square, [`Error::Value`] if there are none, one is not finite, or one of the diagonal is
    /// not zero.
    pub fn new(weights: Mat) -> Result<Self> {
        let (n, columns) = weights.shape();
        if n != columns {
            return Err(Error::shape("couplings", format!("{n} × {n}"), format!("{n} × {columns}")));
        }
        if n == 0 {
            return Err(Error::value("the number of spins", "at least 1", 0));
        }
        let bad = |j: usize| weights.column(j).iter().any(|w| !w.is_finite());
        if let Some(j) = linalg::first(n, bad) {
            let i = weights.column(j).iter().position(|w| !w.is_finite()).unwrap_or(0);
            return Err(Error::value(format!("the coupling of spin {i} to spin {j}"), "finite", weights[(i, j)]));
        }
        if let Some(i) = (0..n).find(|&i| weights[(i, i)] != 0.0) {
            let what = format!("the coupling of spin {i} to itself");
            return Err(Error::value(what, "0: self-couplings are given apart (with_own)", weights[(i, i)]));
        }
        let symmetric = is_symmetric(&weights);
        Ok(Self::of(weights, symmetric))
    }
    /// [`Hopfield::new`] of couplings that were made here.
    fn of(weights: Mat, symmetric: bool) -> Self {
        let n = weights.nrows();
        Self { weights, own: vec![0.0; n], bias: vec![0.0; n], symmetric, fast: OnceLock::new() }
    }
    /// The network with these self-couplings (N).
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one a spin, [`Error::Value`] if one is not finite.
    pub fn with_own(self, own: Vec<f32>) -> Result<Self> {
        check_numbers("self-coupling", &own, self.n())?;
        Ok(Self { own, fast: OnceLock::new(), ..self })
    }
    /// The network with these biases (N): minus the thresholds.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one a spin, [`Error::Value`] if one is not finite.
    pub fn with_bias(self, bias: Vec<f32>) -> Result<Self> {
        check_numbers("bias", &bias, self.n())?;
        Ok(Self { bias, fast: OnceLock::new(), ..self })
    }
    /// The number of spins N.
    pub fn n(&self) -> usize {
        self.weights.nrows()
    }
    /// W, N × N, with zero diagonal.
    pub fn weights(&self) -> MatRef<'_> {
        self.weights.columns(0, self.n())
    }
    /// The self-couplings.
    pub fn own(&self) -> &[f32] {
        &self.own
    }
    /// The biases.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }
    /// Whether `W = Wᵀ`, bit for bit, so that there is an energy.
    pub fn is_symmetric(&self) -> bool {
        self.symmetric
    }
    /// `E(s) = -½ sᵀWs - ½ Σ own_i s_i² - bᵀs` of every state (N × states), summed in double precision.
    ///
    /// # Errors
    /// [`Error::Value`] if W is not symmetric: such a network has no energy; those of [`Hopfield::stabilities`].
    pub fn energies(&self, states: MatRef<'_>) -> Result<Vec<f64>> {
        self.check_energy()?;
        check_spins("state", states, self.n())?;
        let own = self.own.iter().map(|&o| f64::from(o)).sum::<f64>() / 2.0;
        let mut energies = Vec::with_capacity(states.ncols());
        self.each_field(states, |s, h| {
            let of_spin = |((s, h), b): ((&f32, &f64), &f32)| -f64::from(*s) * (h + f64::from(*b)) / 2.0;
            energies.push(s.iter().zip(h).zip(&self.bias).map(of_spin).sum::<f64>() - own);
        });
        Ok(energies)
    }
    /// The fields φ of all spins in every state (N × states), in double precision, self-couplings and biases included.
    ///
    /// # Errors
    /// Those of [`Hopfield::stabilities`].
    pub fn fields(&self, states: MatRef<'_>) -> Result<DMatrix<f64>> {
        check_spins("state", states, self.n())?;
        let mut fields = self.local_fields(states);
        for (j, mut column) in fields.column_iter_mut().enumerate() {
            for (i, f) in column.iter_mut().enumerate() {
                *f += f64::from(self.own[i]) * f64::from(states[(i, j)]);
            }
        }
        Ok(fields)
    }
    /// The stabilities `γ_i^μ = ξ_i^μ φ_i(ξ^μ) / |W_i|` (N × patterns), where `|W_i|` is the length of the couplings to spin i. A
    /// pattern is fixed if none is negative. Of a spin without couplings they are infinite, or 0 if it has no field.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a spin, [`Error::Value`] if an entry is neither 1 nor -1.
    pub fn stabilities(&self, patterns: MatRef<'_>) -> Result<DMatrix<f64>> {
        let mut gamma = self.fields(patterns)?;
        let mut squares = vec![0f64; self.n()];
        for column in self.weights.column_iter() {
            squares.iter_mut().zip(column.iter()).for_each(|(q, w)| *q += f64::from(*w).powi(2));
        }
        for (j, mut column) in gamma.column_iter_mut().enumerate() {
            for (i, g) in column.iter_mut().enumerate() {
                let held = *g * f64::from(patterns[(i, j)]);
                *g = if held == 0.0 { 0.0 } else { held / squares[i].sqrt() };
            }
        }
        Ok(gamma)
    }
    /// Whether every one of the states (N × states) is a fixed point: no spin's field has the other sign.
    ///
    /// # Errors
    /// Those of [`Hopfield::stabilities`].
    pub fn are_fixed(&self, states: MatRef<'_>) -> Result<Vec<bool>> {
        let fields = self.fields(states)?;
        let fixed =
            |j: usize| fields.column(j).iter().zip(states.column(j).iter()).all(|(f, s)| f * f64::from(*s) >= 0.0);
        Ok((0..states.ncols()).map(fixed).collect())
    }
    /// Refuses a network that has no energy.
    pub(crate) fn check_energy(&self) -> Result<()> {
        if self.symmetric {
            return Ok(());
        }
        Err(Error::value("the couplings of a network whose energy is asked for", "symmetric", "asymmetric ones"))
    }
    /// `Ws + b` of all spins in every state, which are known to be spins: the fields without self-couplings.
    pub(crate) fn local_fields(&self, states: MatRef<'_>) -> DMatrix<f64> {
        let mut fields = DMatrix::from_fn(self.n(), states.ncols(), |i, _| f64::from(self.bias[i]));
        add_product(self.weights(), states, fields.columns_mut(0, states.ncols()));
        fields
    }
    /// `f(state, its local fields)`, state by state, in batches that bound the memory.
    fn each_field(&self, states: MatRef<'_>, mut f: impl FnMut(&[f32], &[f64])) {
        for from in (0..states.ncols()).step_by(BATCH) {
            let batch = states.columns(from, BATCH.min(states.ncols() - from));
            let fields = self.local_fields(batch);
            fields.column_iter().enumerate().for_each(|(j, h)| f(col(&batch, j), h.data.into_slice()));
        }
    }
    /// Panels of W and bounds of the errors of fields in single precision, made at the first call.
    pub(crate) fn fast(&self) -> &Fast {
        self.fast.get_or_init(|| {
            let mut working = Working::default();
            if self.symmetric {
                working.copy_symmetric(self.weights())
            } else {
                working.copy_from(self.weights())
            }
            Fast { working, doubt: self.doubts() }
        })
    }
    /// A sum of n numbers is within `n u / (1 - n u)` of the sum of their sizes, in whatever order it is rounded (Higham,
    /// "Accuracy and stability of numerical algorithms", 2002, section 4.2); `u = 2⁻²⁴`. Some terms are counted more than once.
    fn doubts(&self) -> Vec<f64> {
        let u = (self.n() + 8) as f64 * f64::from(f32::EPSILON) / 2.0;
        let share = if u < 0.5 { u / (1.0 - u) } else { f64::INFINITY };
        let mut sizes: Vec<f64> =
            self.own.iter().zip(&self.bias).map(|(o, b)| f64::from(o.abs()) + f64::from(b.abs())).collect();
        for column in self.weights.column_iter() {
            sizes.iter_mut().zip(column.iter()).for_each(|(s, w)| *s += f64::from(w.abs()));
        }
        sizes.iter_mut().for_each(|s| *s = (*s * share).min(f64::MAX));
        sizes
    }
    /// The field of spin `i` in double precision.
    pub(crate) fn exact_field(&self, i: usize, s: &[f32]) -> f64 {
        let coupled = match self.symmetric {
            true => dot(col(&self.weights(), i), s),
            false => self.weights.row(i).iter().zip(s).map(|(w, s)| f64::from(*w) * f64::from(*s)).sum(),
        };
        coupled + f64::from(self.bias[i]) + f64::from(self.own[i]) * f64::from(s[i])
    }
}

/// Side of the squares in which symmetry is looked at.
const SQUARE: usize = 64;

fn is_symmetric(w: &Mat) -> bool {
    let n = w.nrows();
    let differs = |b: usize| {
        let columns = b * SQUARE..n.min((b + 1) * SQUARE);
        (columns.start..n).step_by(SQUARE).any(|top| {
            let rows = top..n.min(top + SQUARE);
            columns.clone().any(|j| rows.clone().any(|i| w[(i, j)] != w[(j, i)]))
        })
    };
    linalg::first(n.div_ceil(SQUARE), differs).is_none()
}

fn check_numbers(what: &str, values: &[f32], n: usize) -> Result<()> {
    if values.len() != n {
        return Err(Error::shape(format!("a {what} for every spin"), n, values.len()));
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::value(format!("the {what} of spin {i}"), "finite", values[i])),
        None => Ok(()),
    }
}
