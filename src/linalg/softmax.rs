//! Shares of a whole: `softmax` of one column, in a form that neither overflows nor loses the largest.

use super::fused::exp;
use super::simd::{Kernel, Level};

const LANES: usize = 16;

/// `x ← softmax(scale x)`, for `scale ≥ 0`: relative error below 1e-6 and what rounding of `x` itself makes, which is
/// `scale |x| 2⁻²⁴`; shares below e⁻⁸⁷ are that.
pub fn softmax(scale: f32, x: &mut [f32]) {
    softmax_at(Level::best(), scale, x);
}
/// [`softmax`] on a given instruction set.
pub fn softmax_at(level: Level, scale: f32, x: &mut [f32]) {
    level.run(Softmax { scale, x });
}
struct Softmax<'a> {
    scale: f32,
    x: &'a mut [f32],
}
impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let most = self.x.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
        let mut sums = [0f64; LANES];
        for chunk in self.x.chunks_mut(LANES) {
            for (x, sum) in chunk.iter_mut().zip(&mut sums) {
                *x = exp(self.scale * (*x - most));
                *sum += f64::from(*x);
            }
        }
        let whole = (1.0 / sums.iter().sum::<f64>()) as f32;
        self.x.iter_mut().for_each(|x| *x *= whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_against_double_precision_on_every_level() {
        for n in [1, 2, 15, 16, 17, 100, 5000] {
            for scale in [0.0, 0.1, 8.0, 1000.0f32] {
                let x: Vec<f32> = (0..n).map(|i| ((i * 37 % 201) as f32 - 100.0) * 0.01 + 500.0).collect();
                let most = x.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
                let e: Vec<f64> = x.iter().map(|x| (f64::from(scale) * f64::from(x - most)).exp()).collect();
                let sum: f64 = e.iter().sum();
                let mut plain = x.clone();
                softmax_at(Level::Plain, scale, &mut plain);
                for level in Level::available() {
                    let mut got = x.clone();
                    softmax_at(level, scale, &mut got);
                    assert_eq!(got, plain, "{level:?} {n}");
                    for (g, e) in got.iter().zip(&e) {
                        let expected = e / sum;
                        // The argument of the exponential is rounded once, to 2⁻²⁴ of itself.
                        let allowed = (1e-6 + f64::from(scale) * 2.0 * 2f64.powi(-24)) * expected + 2e-38;
                        assert!((f64::from(*g) - expected).abs() <= allowed, "{n} {scale}: {g} {expected}");
                    }
                }
            }
        }
    }
    #[test]
    fn what_is_no_number_makes_no_panic() {
        let mut x = [1.0, f32::NAN, 2.0];
        softmax(1.0, &mut x);
        assert!(x.iter().all(|x| x.is_nan()));
        softmax(1.0, &mut []);
    }
}
