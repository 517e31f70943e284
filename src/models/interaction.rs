//! What a memory adds to the energy, as a function of its overlap with the state: the separation of a dense associative memory.
//!
//! Values are in double precision, and what is summed over memories is kept as a number and the logarithm of its scale: at degree 30
//! the terms of one sum lie a hundred orders of magnitude apart, and those of the exponential more, while the sign of the sum
//! is all that a recall needs. It knows nothing of units.

use crate::linalg::{Kernel, Level};
use crate::{Error, Result};

/// `F(m)` of an overlap `m = ξᵀs / N`, scaled such that `F(1) = 1`: a memory that is the state counts one.
///
/// | | `F(m)` | source |
/// |---|---|---|
/// | [`Interaction::Polynomial`] | `mⁿ` | Krotov and Hopfield 2016; at `n = 2` Hopfield 1982 |
/// | [`Interaction::Rectified`] | `max(m, 0)ⁿ` | Krotov and Hopfield 2016 |
/// | [`Interaction::Exponential`] | `e^{λ(m - 1)}` | Demircigil et al. 2017, with `λ = N` |
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interaction {
    /// `mⁿ`: where `n` is even, a state and its negative are the same.
    Polynomial {
        /// `n`, from 1 on.
        degree: u32,
    },
    /// `max(m, 0)ⁿ`: a memory opposite to the state counts nothing.
    Rectified {
        /// `n`, from 1 on; differentiable from 2 on.
        degree: u32,
    },
    /// `e^{λ(m - 1)}`.
    Exponential {
        /// `λ`: the number of units in the published memory, whose `e^{ξᵀs}` is `e^N` times this.
        rate: f64,
    },
}

impl Interaction {
    /// Whether its number makes sense.
    ///
    /// # Errors
    /// [`Error::Value`] if a degree is 0, or a rate is not a number above 0.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Polynomial { degree: 0 } | Self::Rectified { degree: 0 } => {
                Err(Error::value("the degree of an interaction", "at least 1", 0))
            }
            Self::Exponential { rate } if !(rate > 0.0 && rate.is_finite()) => {
                Err(Error::value("the rate of an interaction", "a number above 0", rate))
            }
            _ => Ok(()),
        }
    }
    /// `F(m)`
    pub fn value(self, m: f64) -> f64 {
        match self {
            Self::Polynomial { degree } => power(m, degree),
            Self::Rectified { degree } => power(m.max(0.0), degree),
            Self::Exponential { rate } => (rate * (m - 1.0)).exp(),
        }
    }
    /// `F'(m)`
    pub fn slope(self, m: f64) -> f64 {
        match self {
            Self::Polynomial { degree } => f64::from(degree) * power(m, degree - 1),
            // At degree 1 the slope jumps at 0.
            Self::Rectified { .. } if m <= 0.0 => 0.0,
            Self::Rectified { degree } => f64::from(degree) * power(m, degree - 1),
            Self::Exponential { rate } => rate * (rate * (m - 1.0)).exp(),
        }
    }
    /// `Σ_μ F((z_μ + ξ_μ (1 - s))/N) - F((z_μ - ξ_μ (1 + s))/N)`: what a unit that has `s` now adds to the sum at 1 more than at -1, for
    /// `overlaps` `z = ξᵀs` with the state as it is, and the unit's values `memories` in all memories.
    ///
    /// # Panics
    /// If there is not one value a memory.
    pub(crate) fn gap(self, overlaps: &[f64], memories: &[f32], s: f64, units: f64) -> Scaled {
        assert_eq!(overlaps.len(), memories.len(), "overlaps and values of one unit in all memories");
        let (size, log_size) = match self {
            Self::Polynomial { .. } => self.unit_of(Level::best().run(Largest { overlaps, memories, s }), units),
            Self::Rectified { .. } => self.unit_of(Level::best().run(Highest { overlaps, memories, s }), units),
            Self::Exponential { rate } => {
                let most = Level::best().run(Highest { overlaps, memories, s });
                (most, rate * (most / units - 1.0))
            }
        };
        let number = match self {
            Self::Polynomial { degree } => {
                Level::best().run(Powers::<false> { overlaps, memories, s, scale: 1.0 / size, degree })
            }
            Self::Rectified { degree } => {
                Level::best().run(Powers::<true> { overlaps, memories, s, scale: 1.0 / size, degree })
            }
            Self::Exponential { rate } => {
                // What is below the least normal number costs much, and is nothing beside the largest.
                let scaled = |z: f64| {
                    let exponent = rate / units * (z - size);
                    if exponent < -708.0 { 0.0 } else { exponent.exp() }
                };
                let terms = overlaps.iter().zip(memories).map(|(&z, &x)| {
                    let without = z - f64::from(x) * s;
                    scaled(without + f64::from(x)) - scaled(without - f64::from(x))
                });
                terms.sum()
            }
        };
        Scaled { number, log_scale: log_size }
    }
    /// The overlap that powers are taken in units of, and the logarithm of its power; one where all vanish.
    fn unit_of(self, most: f64, units: f64) -> (f64, f64) {
        let degree = match self {
            Self::Polynomial { degree } | Self::Rectified { degree } => degree,
            Self::Exponential { .. } => 0,
        };
        if most > 0.0 { (most, f64::from(degree) * (most / units).ln()) } else { (1.0, 0.0) }
    }
}

/// `number · e^{log_scale}`, which may be no number of any precision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaled {
    pub(crate) number: f64,
    pub(crate) log_scale: f64,
}
impl Scaled {
    /// It times `factor` in single precision, with its sign wherever it is not zero: a spin answers a field of 10³⁸ as it answers
    /// 100, and one of 10⁻³⁸ as it answers 0, but for the sign.
    pub(crate) fn times(self, factor: f64) -> f32 {
        let product = self.number * factor;
        if product == 0.0 || product.is_nan() {
            return product as f32;
        }
        let size = (product.abs().ln() + self.log_scale).exp();
        (size.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)) as f32).copysign(product as f32)
    }
}

/// `xⁿ`, by squaring.
#[inline(always)]
pub(crate) fn power(x: f64, n: u32) -> f64 {
    powers([x], n)[0]
}
/// `xⁿ` of several numbers at once.
#[inline(always)]
fn powers<const L: usize>(mut x: [f64; L], mut n: u32) -> [f64; L] {
    let mut product = [1.0; L];
    while n > 0 {
        if n & 1 == 1 {
            (0..L).for_each(|k| product[k] *= x[k]);
        }
        n >>= 1;
        if n > 0 {
            (0..L).for_each(|k| x[k] *= x[k]);
        }
    }
    product
}

const LANES: usize = 8;
/// `f` of the overlap without the unit and of the unit's value, of eight memories at a time; those that are missing at the end are zero.
#[inline(always)]
fn in_lanes(overlaps: &[f64], memories: &[f32], s: f64, mut f: impl FnMut([f64; LANES], [f64; LANES])) {
    let (z, x) = (overlaps.chunks_exact(LANES), memories.chunks_exact(LANES));
    let (last_z, last_x) = (z.remainder(), x.remainder());
    for (z, x) in z.zip(x) {
        let mut own = [0.0; LANES];
        let mut without = [0.0; LANES];
        for k in 0..LANES {
            own[k] = f64::from(x[k]);
            without[k] = z[k] - own[k] * s;
        }
        f(without, own);
    }
    if !last_z.is_empty() {
        let (mut without, mut own) = ([0.0; LANES], [0.0; LANES]);
        for (k, (z, x)) in last_z.iter().zip(last_x).enumerate() {
            own[k] = f64::from(*x);
            without[k] = z - own[k] * s;
        }
        f(without, own);
    }
}

/// The largest magnitude of an overlap, the unit being 1 or -1.
struct Largest<'a> {
    overlaps: &'a [f64],
    memories: &'a [f32],
    s: f64,
}
impl Kernel for Largest<'_> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut most = [0f64; LANES];
        in_lanes(self.overlaps, self.memories, self.s, |z, x| {
            (0..LANES).for_each(|k| most[k] = most[k].max(z[k].abs() + x[k].abs()));
        });
        most.into_iter().fold(0.0, f64::max)
    }
}
/// The highest overlap, the unit being 1 or -1; never below that of nothing.
struct Highest<'a> {
    overlaps: &'a [f64],
    memories: &'a [f32],
    s: f64,
}
impl Kernel for Highest<'_> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut most = [f64::NEG_INFINITY; LANES];
        let (whole, rest) = self.overlaps.split_at(self.overlaps.len() / LANES * LANES);
        let (whole_x, rest_x) = self.memories.split_at(whole.len());
        in_lanes(whole, whole_x, self.s, |z, x| {
            (0..LANES).for_each(|k| most[k] = most[k].max(z[k] + x[k].abs()));
        });
        let last = rest.iter().zip(rest_x).map(|(z, x)| z - f64::from(*x) * self.s + f64::from(x.abs()));
        last.chain(most).fold(f64::NEG_INFINITY, f64::max)
    }
}
/// `Σ ((z + ξ) scale)ⁿ - ((z - ξ) scale)ⁿ`, of what is above zero alone if `RECTIFIED`.
struct Powers<'a, const RECTIFIED: bool> {
    overlaps: &'a [f64],
    memories: &'a [f32],
    s: f64,
    scale: f64,
    degree: u32,
}
impl<const RECTIFIED: bool> Kernel for Powers<'_, RECTIFIED> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut sums = [0f64; LANES];
        in_lanes(self.overlaps, self.memories, self.s, |z, x| {
            let (mut up, mut down) = ([0.0; LANES], [0.0; LANES]);
            for k in 0..LANES {
                up[k] = (z[k] + x[k]) * self.scale;
                down[k] = (z[k] - x[k]) * self.scale;
                if RECTIFIED {
                    up[k] = up[k].max(0.0);
                    down[k] = down[k].max(0.0);
                }
            }
            let (up, down) = (powers(up, self.degree), powers(down, self.degree));
            (0..LANES).for_each(|k| sums[k] += up[k] - down[k]);
        });
        sums.iter().sum()
    }
}
