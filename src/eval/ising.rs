//! Exact results on the two-dimensional Ising model without external field, one coupling `K = J/T` along all edges: oracles for
//! samplers and for annealing.
//!
//! On a periodic lattice of any size the partition function is a sum of four products (Kaufman); for one without end there are the energy
//! (Onsager) and the magnetisation (Yang). It computes nothing of other lattices.
//!
//! ## References
//! - Onsager, "Crystal statistics. I. A two-dimensional model with an order-disorder transition", 1944.
//! - Kaufman, "Crystal statistics. II. Partition function evaluated by spinor analysis", 1949.
//! - Yang, "The spontaneous magnetization of a two-dimensional Ising model", 1952.
//! - Ferdinand and Fisher, "Bounded and inhomogeneous Ising models. I. Specific-heat anomaly of a finite lattice", 1969 (the four
//!   products as they are here).

use crate::{Error, Result};
use std::f64::consts::PI;

/// The critical coupling `½ log(1 + √2)`.
pub const CRITICAL_COUPLING: f64 = 0.440_686_793_509_771_5;
/// Step of the difference that the energy is, relative to the coupling.
const STEP: f64 = 1e-4;

fn check([rows, columns]: [usize; 2], coupling: f64) -> Result<()> {
    if rows < 3 || columns < 3 {
        return Err(Error::value("the sides of a periodic lattice", "at least 3", format!("{rows} × {columns}")));
    }
    check_coupling(coupling)
}
fn check_coupling(coupling: f64) -> Result<()> {
    match coupling > 0.0 && coupling <= 300.0 {
        true => Ok(()),
        false => Err(Error::value("the coupling of a ferromagnet", "above 0 and at most 300", coupling)),
    }
}

/// `log Z` of the periodic lattice with these sides, `Z = Σ exp(K Σ sᵢsⱼ)`, in nats:
/// `Z = ½ (2 sinh 2K)^{mn/2} (Π 2 cosh ½mγ_odd + Π 2 sinh ½mγ_odd + Π 2 cosh ½mγ_even + Π 2 sinh ½mγ_even)`, with
/// `cosh γ_l = cosh 2K coth 2K - cos(πl/n)` and `γ₀ = 2K + log tanh K`.
///
/// # Errors
/// [`Error::Value`] if a side is below 3, or the coupling is not a number above 0.
///
/// ```
/// use harmonium::eval::{exact_log_partition, ising};
/// use harmonium::models::{Boundary, SparseBoltzmann};
/// let lattice = SparseBoltzmann::ising(&[3, 4], Boundary::Periodic, 0.4)?;
/// let (summed, kaufman) = (exact_log_partition(&lattice)?, ising::log_partition([3, 4], f64::from(0.4f32))?);
/// assert!((summed - kaufman).abs() < 1e-6);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn log_partition(sides: [usize; 2], coupling: f64) -> Result<f64> {
    check(sides, coupling)?;
    Ok(kaufman(sides, coupling))
}

fn kaufman([m, n]: [usize; 2], k: f64) -> f64 {
    let (half_m, spins) = (0.5 * m as f64, m as f64 * n as f64);
    // cosh 2K coth 2K - cos(πl/n) = cosh γ
    let gamma = |l: usize| match l {
        0 => 2.0 * k + k.tanh().ln(),
        l => ((2.0 * k).cosh() / (2.0 * k).tanh() - (PI * l as f64 / n as f64).cos()).acosh(),
    };
    // The logarithm and the sign of a product of 2 cosh, or of 2 sinh.
    let product = |first: usize, sinh: bool| -> (f64, f64) {
        let factor = |l: usize| {
            let x = half_m * gamma(l);
            let small = (-2.0 * x.abs()).exp();
            match sinh {
                true => (x.abs() + (-small).ln_1p(), x.signum()),
                false => (x.abs() + small.ln_1p(), 1.0),
            }
        };
        (0..n).map(|r| factor(2 * r + first)).fold((0.0, 1.0), |(log, sign), (l, s)| (log + l, sign * s))
    };
    let products = [product(1, false), product(1, true), product(0, false), product(0, true)];
    let most = products.iter().map(|(log, _)| *log).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = products.iter().map(|(log, sign)| sign * (log - most).exp()).sum();
    0.5 * spins * (2.0 * (2.0 * k).sinh()).ln() + most + (0.5 * sum).ln()
}

/// `-⟨Σ sᵢsⱼ⟩ / mn` of the periodic lattice with these sides: the energy of a spin in units of `J`, which is the derivative of
/// `-log Z / mn` by the coupling, taken as a difference of fourth order (right to 1e-9).
///
/// # Errors
/// Those of [`log_partition`].
pub fn energy(sides: [usize; 2], coupling: f64) -> Result<f64> {
    check(sides, coupling)?;
    let h = STEP * coupling;
    let at = |steps: f64| kaufman(sides, coupling + steps * h);
    let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
    Ok(-slope / (sides[0] as f64 * sides[1] as f64))
}

/// The same of a lattice without end: `-coth 2K (1 + (2/π) (2 tanh² 2K - 1) K₁(q))`, with `K₁` the complete elliptic integral of the
/// first kind of the modulus `q = 2 sinh 2K / cosh² 2K`.
///
/// # Errors
/// [`Error::Value`] if the coupling is not a number above 0.
pub fn onsager_energy(coupling: f64) -> Result<f64> {
    check_coupling(coupling)?;
    let t = (2.0 * coupling).tanh();
    // √(1 - q²) = |2 tanh² 2K - 1|, without the difference of two numbers near 1.
    let factor = 2.0 * t * t - 1.0;
    // At the critical point the integral is infinite, times zero.
    let integral = if factor == 0.0 { 0.0 } else { factor * PI / (2.0 * arithmetic_geometric_mean(1.0, factor.abs())) };
    Ok(-(1.0 + 2.0 / PI * integral) / t)
}
fn arithmetic_geometric_mean(mut a: f64, mut b: f64) -> f64 {
    for _ in 0..64 {
        (a, b) = (0.5 * (a + b), (a * b).sqrt());
    }
    a
}

/// The magnetisation of a spin in a lattice without end: `(1 - sinh⁻⁴ 2K)^{1/8}` below the critical temperature, 0 above.
///
/// # Errors
/// [`Error::Value`] if the coupling is not a number above 0.
pub fn magnetisation(coupling: f64) -> Result<f64> {
    check_coupling(coupling)?;
    Ok((1.0 - (2.0 * coupling).sinh().powi(-4)).max(0.0).powf(0.125))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All states of a periodic lattice, in double precision.
    fn enumerated([m, n]: [usize; 2], k: f64) -> (f64, f64) {
        let spin = |state: u32, i: usize| if state >> i & 1 == 1 { 1.0 } else { -1.0 };
        let (mut z, mut sum) = (0.0, 0.0);
        for state in 0..1u32 << (m * n) {
            let bonds = (0..m * n).map(|i| {
                let (r, c) = (i / n, i % n);
                spin(state, i) * (spin(state, (r + 1) % m * n + c) + spin(state, r * n + (c + 1) % n))
            });
            let bonds: f64 = bonds.sum();
            z += (k * bonds).exp();
            sum += bonds * (k * bonds).exp();
        }
        (z.ln(), -sum / z / (m * n) as f64)
    }
    #[test]
    fn kaufman_against_all_states() {
        for sides in [[3, 3], [3, 4], [4, 3], [4, 4], [3, 5]] {
            for k in [0.1, 0.3, CRITICAL_COUPLING, 0.6, 1.2] {
                let (log_z, of_spin) = enumerated(sides, k);
                assert!((log_partition(sides, k).unwrap() / log_z - 1.0).abs() < 1e-12, "{sides:?} {k}");
                assert!((energy(sides, k).unwrap() - of_spin).abs() < 1e-9, "{sides:?} {k}");
            }
        }
    }
    #[test]
    fn a_large_lattice_is_nearly_one_without_end() {
        for k in [0.2, 0.35, 0.55, 0.8] {
            let (large, endless) = (energy([256, 256], k).unwrap(), onsager_energy(k).unwrap());
            assert!((large - endless).abs() < 1e-8, "{k}: {large} {endless}");
        }
        assert!((onsager_energy(CRITICAL_COUPLING).unwrap() + 2f64.sqrt()).abs() < 1e-6);
        assert!(((2.0 * CRITICAL_COUPLING).sinh() - 1.0).abs() < 1e-15);
        assert_eq!(magnetisation(0.3).unwrap(), 0.0);
        assert!((magnetisation(2.0).unwrap() - 1.0).abs() < 1e-6);
    }
    #[test]
    fn no_lattice_is_no_number() {
        assert!(log_partition([2, 4], 0.3).is_err() && energy([4, 4], 0.0).is_err());
        assert!(onsager_energy(f64::NAN).is_err() && magnetisation(-1.0).is_err());
    }
}
