//! Standard normal numbers, many at once: what gradient samplers are shaken with.
//!
//! Pairs by the transform of Box and Muller ("A note on the generation of random normal deviates", 1958): a radius `√(-2 log u)` and
//! an angle, both from one word of 64 bits. There is no rejection, so the arithmetic is branch-free and vectorises, and a number of
//! draws takes the same words from the stream whatever they are. It knows nothing of means and covariances.

use super::simd::{Kernel, Level};
use crate::rng::{ChainRng, LANES};
use std::f32::consts::FRAC_PI_4;

/// Pairs that are made together, from two steps of the lanes: they fill the widest vectors.
const PAIRS: usize = 2 * LANES;
/// Their numbers.
const BLOCK: usize = 2 * PAIRS;

/// Fills `out` with independent standard normal numbers.
///
/// `u` has 31 bits, from the middles of equal cells, and the angle 26: no number is beyond ±6.67, where one of 4·10¹⁰ right ones is.
/// Tested up to ±5 and to the resolution of 2·10⁶ draws. The same bits on every instruction set.
pub fn normals_to(out: &mut [f32], rng: &mut ChainRng) {
    normals_to_at(Level::best(), out, rng);
}
/// [`normals_to`] on a given instruction set.
pub fn normals_to_at(level: Level, out: &mut [f32], rng: &mut ChainRng) {
    level.run(NormalsTo { out, rng });
}
struct NormalsTo<'a> {
    out: &'a mut [f32],
    rng: &'a mut ChainRng,
}
impl Kernel for NormalsTo<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mut rng = self.rng.clone(); // in registers, not behind a reference
        let (blocks, rest) = self.out.as_chunks_mut::<BLOCK>();
        for out in blocks {
            *out = normals(&mut rng);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&normals(&mut rng)[..rest.len()]);
        }
        *self.rng = rng;
    }
}

/// Sixteen pairs, the first of each before the second of each.
#[inline(always)]
fn normals(rng: &mut ChainRng) -> [f32; BLOCK] {
    const CELL: f32 = 1.0 / (1u32 << 31) as f32;
    const ANGLE: f32 = FRAC_PI_4 / (1u32 << 23) as f32;
    let (one, two) = (rng.step(), rng.step());
    let mut bits = [0; PAIRS];
    bits[..LANES].copy_from_slice(&one);
    bits[LANES..].copy_from_slice(&two);
    let mut out = [0f32; BLOCK];
    for k in 0..PAIRS {
        let (high, low) = ((bits[k] >> 33) as u32, bits[k] as u32);
        let u = (high as i32 as f32 + 0.5) * CELL;
        let radius = (-2.0 * ln(u)).sqrt();
        // Within a quarter of the circle, ±π/4; two more bits say which quarter.
        let angle = ((low >> 8) as i32 as f32 - (8_388_608.0 - 0.5)) * ANGLE;
        let (sin, cos) = sin_cos(angle);
        let cos = f32::from_bits(cos.to_bits() ^ (low << 31));
        let turned = low & 2 == 0;
        out[k] = radius * if turned { cos } else { sin };
        out[k + PAIRS] = radius * if turned { sin } else { cos };
    }
    out
}

/// `log u` for `0 < u ≤ 1`, relative error below 3e-7: `k log 2 + 2 artanh s`, `s = (m - 1)/(m + 1)`, of `u = 2ᵏ m` with
/// `√½ ≤ m < √2`, by five terms of its series (the next is below 2e-9).
#[inline(always)]
fn ln(u: f32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3; // √½
    let bits = u.to_bits().wrapping_sub(HALF_ROOT);
    let k = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(HALF_ROOT));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    k * std::f32::consts::LN_2 + (2.0 * s + 2.0 * s * series)
}

/// Sine and cosine of `|a| ≤ π/4`, absolute error below 1.2e-7, by Taylor polynomials (remainders below 3e-9).
#[inline(always)]
fn sin_cos(a: f32) -> (f32, f32) {
    let q = a * a;
    let sin = q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * (-1.0 / 5040.0 + q * (1.0 / 362_880.0))));
    let cos = -0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q * (1.0 / 40_320.0 + q * (-1.0 / 3_628_800.0))));
    (a + a * sin, 1.0 + q * cos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libm::erfc;
    use rand_distr::{Distribution, StandardNormal};
    use std::hint::black_box;
    use std::time::Instant;

    fn draws(n: usize, seed: u64) -> Vec<f32> {
        let (mut out, mut rng) = (vec![0.0; n], ChainRng::new(seed));
        out.chunks_mut(784).for_each(|out| normals_to(out, &mut rng));
        out
    }
    /// `Φ(x)`
    fn distribution(x: f64) -> f64 {
        0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }

    #[test]
    fn logarithm_and_angle_against_double_precision() {
        let (mut log, mut circle) = (0f64, 0f64);
        for i in 0..=2_000_000u32 {
            let u = (f64::from(i) * 1_073.741_824 + 0.5) as f32 / (1u32 << 31) as f32;
            let exact = f64::from(u).ln();
            log = log.max((f64::from(ln(u)) - exact).abs() / (exact.abs() + 1e-7));
            let a = (f64::from(i) / 1e6 - 1.0) * std::f64::consts::FRAC_PI_4;
            let (s, c) = sin_cos(a as f32);
            let (es, ec) = f64::from(a as f32).sin_cos();
            circle = circle.max((f64::from(s) - es).abs()).max((f64::from(c) - ec).abs());
        }
        println!("log {log:.2e} (relative), sine and cosine {circle:.2e}");
        assert!(log < 3e-7 && circle < 1.2e-7, "{log:e} {circle:e}");
        assert_eq!((ln(1.0), ln(0.5)), (0.0, -std::f32::consts::LN_2));
        assert!(((-2.0 * ln(0.5 / (1u32 << 31) as f32)).sqrt() - 6.66).abs() < 0.01);
    }
    #[test]
    fn normals_have_the_same_bits_on_every_level_and_length() {
        for n in [0, 1, 2, 7, 8, 9, 15, 16, 17, 100, 784] {
            let draw = |level| {
                let (mut rng, mut out) = (ChainRng::new(n as u64), vec![9.0; n]);
                (0..20).for_each(|_| normals_to_at(level, &mut out, &mut rng));
                (out, rng)
            };
            let plain = draw(Level::Plain);
            assert!(Level::available().into_iter().all(|level| draw(level) == plain));
            let (mut rng, mut longer) = (ChainRng::new(n as u64), vec![9.0; n + 32]);
            let mut shorter = vec![9.0; n];
            normals_to(&mut shorter, &mut rng.clone());
            normals_to(&mut longer, &mut rng);
            assert_eq!(shorter, longer[..n]);
        }
    }
    /// Standard errors of the mean of `xᵏ` are `√((E x²ᵏ - (E xᵏ)²)/n)`: 1, √2, √15, √96 for k = 1 … 4, and √(10395) for k = 6.
    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let (n, x) = (8_000_000, draws(8_000_000, 1));
        for (k, expected, deviation) in
            [(1, 0.0, 1.0), (2, 1.0, 2f64), (3, 0.0, 15.0), (4, 3.0, 96.0), (6, 15.0, 10_170.0)]
        {
            let mean = x.iter().map(|&x| f64::from(x).powi(k)).sum::<f64>() / f64::from(n);
            let off = (mean - expected) / (deviation / f64::from(n)).sqrt();
            assert!(off.abs() < 4.5, "moment {k} is {mean}: {off} standard errors from {expected}");
        }
    }
    /// Kolmogorov and Smirnov: `√n sup |Fₙ - F| > 2.6` has a probability of 2.7e-6.
    #[test]
    fn the_distribution_function_is_the_normal_one() {
        for part in 0..3 {
            let mut x = draws(2_000_000, 10 + part);
            x.sort_unstable_by(f32::total_cmp);
            let n = x.len() as f64;
            let gap = |(k, &x): (usize, &f32)| {
                let p = distribution(f64::from(x));
                (p - k as f64 / n).abs().max((p - (k + 1) as f64 / n).abs())
            };
            let most = x.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt();
            assert!(most < 2.6, "√n D = {most}");
        }
    }
    #[test]
    fn tails_are_as_heavy_as_they_should_be() {
        let (n, mut rng, mut out) = (100_000_000u64, ChainRng::new(3), vec![0.0; 8192]);
        let limits = [3.0f32, 4.0, 4.5, 5.0];
        let mut counts = [[0u64; 4]; 2];
        for _ in 0..n / 8192 {
            normals_to(&mut out, &mut rng);
            for (k, limit) in limits.iter().enumerate() {
                counts[0][k] += out.iter().filter(|x| **x > *limit).count() as u64;
                counts[1][k] += out.iter().filter(|x| **x < -limit).count() as u64;
            }
        }
        for (k, &limit) in limits.iter().enumerate() {
            let expected = (n / 8192 * 8192) as f64 * distribution(-f64::from(limit));
            for count in [counts[0][k], counts[1][k]] {
                let off = (count as f64 - expected) / expected.sqrt();
                assert!(off.abs() < 4.5, "beyond {limit}: {count} instead of {expected:.1}");
            }
        }
    }
    /// Of neighbours in the stream, of both numbers of a pair, and of their squares.
    #[test]
    fn numbers_are_uncorrelated() {
        let x = draws(4_000_000, 4);
        let n = x.len() as f64;
        for lag in [1, 2, 4, 7, 8, 9, 15, 16, 17, 32, 33, 784] {
            let pairs = || x.iter().zip(&x[lag..]).map(|(&a, &b)| (f64::from(a), f64::from(b)));
            let plain = pairs().map(|(a, b)| a * b).sum::<f64>() / n.sqrt();
            let squares = pairs().map(|(a, b)| (a * a - 1.0) * (b * b - 1.0)).sum::<f64>() / (2.0 * n.sqrt());
            assert!(plain.abs() < 4.5 && squares.abs() < 4.5, "lag {lag}: {plain} and {squares} standard errors");
        }
    }
    /// Not a law but a number: `cargo test --release --lib -- --nocapture --ignored nanoseconds_a_number`.
    #[test]
    #[ignore = "a measurement"]
    fn nanoseconds_a_number() {
        let (mut rng, mut out) = (ChainRng::new(5), vec![0f32; 784]);
        let rounds = 20_000;
        for _ in 0..3 {
            let time = |f: &mut dyn FnMut(&mut [f32])| {
                let mut out = vec![0f32; 784];
                let start = Instant::now();
                (0..rounds).for_each(|_| f(black_box(&mut out)));
                start.elapsed().as_secs_f64() * 1e9 / (f64::from(rounds) * 784.0)
            };
            for level in Level::available() {
                println!("{level:?}: {:.2} ns", time(&mut |out| normals_to_at(level, out, &mut rng)));
            }
            let one = time(&mut |out| out.iter_mut().for_each(|x| *x = StandardNormal.sample(&mut rng)));
            println!("StandardNormal: {one:.2} ns");
        }
        normals_to(&mut out, &mut rng);
    }
}
