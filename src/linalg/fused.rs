//! The exponential, the functions built on it, and the fused draw "sigmoid, uniform, compare" of two-valued units.
//!
//! Everything here is branch-free `f32` arithmetic that vectorises; its accuracy is stated with each function and tested
//! against `f64`.

use super::simd::{Kernel, Level};
use crate::rng::{ChainRng, LANES};

/// Values handled together: two uniforms from every 64 bits of the lanes.
const BLOCK: usize = 2 * LANES;

/// `eˣ`, relative error below 2.5e-7; arguments are clamped to ±87.
///
/// Cody–Waite reduction to `|r| ≤ ½ ln 2`, then the Taylor polynomial of degree 7 (remainder below 6e-9).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let p = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * p))));
    // The low bits of `rounded` hold the integer k, within ±126: k + 127, shifted, is the exponent of 2ᵏ.
    p * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// `1 / (1 + e⁻ˣ)`, relative error below 4e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `log(1 + eˣ) = max(x, 0) + log(1 + e^{-|x|})` in double precision: the plain twin of [`softplus_sum`].
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `Σ log(1 + e^{scale·xᵢ})`, absolute error below 1e-7 for every term.
///
/// The logarithm is taken of the product of 32 factors `1 + e^{-|x|} ≤ 2`, not of each: a third of the work.
pub fn softplus_sum(scale: f32, x: &[f32]) -> f64 {
    softplus_sum_at(Level::best(), scale, x)
}
/// [`softplus_sum`] on a given instruction set.
pub fn softplus_sum_at(level: Level, scale: f32, x: &[f32]) -> f64 {
    level.run(SoftplusSum { scale, x })
}
struct SoftplusSum<'a> {
    scale: f32,
    x: &'a [f32],
}
/// Factors whose product is taken before the logarithm.
const FACTORS: usize = 32;
impl Kernel for SoftplusSum<'_> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let (mut sum, mut logs) = (0.0f64, 0.0f64);
        for chunk in self.x.chunks(BLOCK * FACTORS) {
            let (mut positive, mut product) = ([0f64; BLOCK], [1f32; BLOCK]);
            let blocks = chunk.chunks_exact(BLOCK);
            for (k, &x) in blocks.remainder().iter().enumerate() {
                let x = self.scale * x;
                positive[k] += x.max(0.0) as f64;
                product[k] *= 1.0 + exp(-x.abs());
            }
            for block in blocks {
                for k in 0..BLOCK {
                    let x = self.scale * block[k];
                    positive[k] += x.max(0.0) as f64;
                    product[k] *= 1.0 + exp(-x.abs());
                }
            }
            sum += positive.iter().sum::<f64>();
            // 16 products of up to 32 factors: at most 2^512 together, within reach of f64.
            logs += product.iter().map(|&p| p as f64).product::<f64>().ln();
        }
        sum + logs
    }
}

/// `out = scale_out · sigmoid(scale · x) + shift`.
pub fn sigmoid_to(scale: f32, x: &[f32], (scale_out, shift): (f32, f32), out: &mut [f32]) {
    Level::best().run(SigmoidTo { scale, x, scale_out, shift, out });
}
struct SigmoidTo<'a> {
    scale: f32,
    x: &'a [f32],
    scale_out: f32,
    shift: f32,
    out: &'a mut [f32],
}
impl Kernel for SigmoidTo<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (o, &x) in self.out.iter_mut().zip(self.x) {
            *o = self.scale_out * sigmoid(self.scale * x) + self.shift;
        }
    }
}

/// `out = base + beta (field - base)`.
pub fn mix(beta: f32, base: &[f32], field: &[f32], out: &mut [f32]) {
    Level::best().run(Mix { beta, base, field, out });
}
struct Mix<'a> {
    beta: f32,
    base: &'a [f32],
    field: &'a [f32],
    out: &'a mut [f32],
}
impl Kernel for Mix<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for ((o, &b), &f) in self.out.iter_mut().zip(self.base).zip(self.field) {
            *o = b + self.beta * (f - b);
        }
    }
}

/// `out = 1` with probability `sigmoid(scale · field)`, else `low`.
///
/// Draws `u` of 23 bits from the middles of 2²³ equal cells, and tests `u (1 + e^{-scale φ}) < 1`: probabilities are
/// exact to 2⁻²⁴, and those below or above all cells are 0 and 1.
pub fn two_valued(scale: f32, field: &[f32], low: f32, out: &mut [f32], rng: &mut ChainRng) {
    two_valued_at(Level::best(), scale, field, low, out, rng);
}
/// [`two_valued`] on a given instruction set.
pub fn two_valued_at(level: Level, scale: f32, field: &[f32], low: f32, out: &mut [f32], rng: &mut ChainRng) {
    assert_eq!(field.len(), out.len(), "field and states");
    level.run(TwoValued { scale, field, low, out, rng });
}
struct TwoValued<'a> {
    scale: f32,
    field: &'a [f32],
    low: f32,
    out: &'a mut [f32],
    rng: &'a mut ChainRng,
}
impl Kernel for TwoValued<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mut rng = self.rng.clone(); // in registers, not behind a reference
        let mut fields = self.field.chunks_exact(BLOCK);
        let mut outs = self.out.chunks_exact_mut(BLOCK);
        for (f, o) in (&mut fields).zip(&mut outs) {
            let u = uniforms(&mut rng);
            for k in 0..BLOCK {
                o[k] = if u[k] * (1.0 + exp(-self.scale * f[k])) < 1.0 { 1.0 } else { self.low };
            }
        }
        let (f, o) = (fields.remainder(), outs.into_remainder());
        if !f.is_empty() {
            let u = uniforms(&mut rng);
            for k in 0..f.len() {
                o[k] = if u[k] * (1.0 + exp(-self.scale * f[k])) < 1.0 { 1.0 } else { self.low };
            }
        }
        *self.rng = rng;
    }
}
/// Fills `out` with what [`two_valued`] draws: `u` of 23 bits from the middles of 2²³ equal cells.
pub fn uniforms_to(out: &mut [f32], rng: &mut ChainRng) {
    Level::best().run(UniformsTo { out, rng });
}
struct UniformsTo<'a> {
    out: &'a mut [f32],
    rng: &'a mut ChainRng,
}
impl Kernel for UniformsTo<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mut rng = self.rng.clone();
        for out in self.out.chunks_mut(BLOCK) {
            out.copy_from_slice(&uniforms(&mut rng)[..out.len()]);
        }
        *self.rng = rng;
    }
}
/// `(i + ½) 2⁻²³` for 16 random integers of 23 bits.
#[inline(always)]
fn uniforms(rng: &mut ChainRng) -> [f32; BLOCK] {
    const CELL: f32 = 1.0 / (1 << 23) as f32;
    let bits = rng.step();
    let mut u = [0f32; BLOCK];
    for k in 0..LANES {
        u[k] = ((bits[k] >> 41) as u32 as i32 as f32 + 0.5) * CELL;
        u[k + LANES] = ((bits[k] >> 9) as u32 as i32 & 0x7f_ffff) as f32 * CELL + 0.5 * CELL;
    }
    u
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-86_000..=86_000).map(|i| i as f32 * 1e-3)
    }
    #[test]
    fn exp_and_sigmoid_against_double_precision() {
        let worst = |f: fn(f32) -> f32, exact: fn(f64) -> f64| {
            grid().map(|x| (f(x) as f64 / exact(x as f64) - 1.0).abs()).fold(0.0, f64::max)
        };
        let (e, s) = (worst(exp, f64::exp), worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp())));
        println!("relative error: exp {e:.2e}, sigmoid {s:.2e}");
        assert!(e < 2.5e-7 && s < 4e-7);
        for x in [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            assert!(exp(x).is_finite() && (0.0..=1.0).contains(&sigmoid(x)), "{x}");
        }
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }
    #[test]
    fn softplus_sum_against_double_precision_on_every_level() {
        for n in [0, 1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 500, 784, 5000] {
            for scale in [1.0f32, -2.0] {
                let x: Vec<f32> = (0..n).map(|i| ((i * 37 % 201) as f32 - 100.0) * 0.8).collect();
                let exact: f64 = x.iter().map(|&x| softplus((scale * x) as f64)).sum();
                for level in Level::available() {
                    let got = softplus_sum_at(level, scale, &x);
                    assert!((got - exact).abs() <= 1e-7 * (n as f64 + exact), "{level:?} {n}: {got} {exact}");
                }
            }
        }
        assert_eq!(softplus_sum(1.0, &[80.0; 40]), 3200.0);
        assert!(softplus_sum(1.0, &[f32::NAN]).is_nan());
    }
    #[test]
    fn draws_have_the_same_bits_on_every_level() {
        for n in [1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 100, 784] {
            let field: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin() * 6.0).collect();
            let draw = |level| {
                let (mut rng, mut out) = (ChainRng::new(n as u64), vec![9.0; n]);
                (0..20).for_each(|_| two_valued_at(level, 2.0, &field, -1.0, &mut out, &mut rng));
                (out, rng)
            };
            let plain = draw(Level::Plain);
            assert!(Level::available().into_iter().all(|level| draw(level) == plain));
        }
    }
    #[test]
    fn draws_have_the_right_frequency_and_sure_events_are_sure() {
        let field: Vec<f32> = (0..64).map(|i| i as f32 * 0.25 - 8.0).collect();
        let (mut rng, mut out, n) = (ChainRng::new(1), vec![0.0; 64], 100_000);
        let mut on = vec![0f64; 64];
        for _ in 0..n {
            two_valued(1.0, &field, 0.0, &mut out, &mut rng);
            on.iter_mut().zip(&out).for_each(|(c, &x)| *c += x as f64);
        }
        for (c, &f) in on.iter().zip(&field) {
            let p = 1.0 / (1.0 + (-f as f64).exp());
            let sd = (n as f64 * p * (1.0 - p)).sqrt();
            assert!((c - n as f64 * p).abs() < 4.5 * sd + 1.0, "{f}: {c}");
        }
        let sure = [80.0, -80.0, 25.0, -25.0];
        let mut out = [0.5; 4];
        for _ in 0..n {
            two_valued(1.0, &sure, 0.0, &mut out, &mut rng);
            assert_eq!(out, [1.0, 0.0, 1.0, 0.0]);
        }
    }
    #[test]
    fn uniforms_fill_the_cells_evenly() {
        let (mut rng, mut counts, n) = (ChainRng::new(2), [[0f64; 64]; BLOCK], 100_000);
        for _ in 0..n {
            for (k, u) in uniforms(&mut rng).into_iter().enumerate() {
                assert!(u > 0.0 && u < 1.0);
                counts[k][(u * 64.0) as usize] += 1.0;
            }
        }
        let expected = n as f64 / 64.0;
        for c in counts {
            let chi2: f64 = c.iter().map(|c| (c - expected).powi(2) / expected).sum();
            assert!(chi2 < 63.0 + 5.0 * (2.0 * 63.0f64).sqrt(), "χ² = {chi2} with 63 degrees of freedom");
        }
    }
}
