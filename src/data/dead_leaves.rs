//! Images of leaves that have fallen on each other for ever: opaque disks of random sizes and grey levels, seen from
//! above.
//!
//! If radii have the density `∝ r⁻³` on `[smallest, largest]`, the image looks alike at all scales between the two, and
//! has edges, occlusion and the long correlations of photographs. It needs no file and its covariance is known:
//!
//! `corr(d) = γ(d) / (2 γ(0) − γ(d))`, `γ(d) = ∫ A(r, d) r⁻³ dr`,
//!
//! where `A(r, d)` is the area that two disks of radius `r` at distance `d` share: of the leaves that reach one of two
//! pixels, the topmost decides, and they have one grey level if it covers both.
//!
//! There is no lighting, no texture within a leaf and no blur: pixels are what covers their centres.
//!
//! Source: A. B. Lee, D. Mumford & J. Huang (2001), "Occlusion models for natural images: a statistical study of a
//! scale-invariant dead leaves model"; the model is Matheron's (1968, "Modèle séquentiel de partition aléatoire"), and
//! to draw leaves from the topmost down, which ends after finitely many, is in W. S. Kendall & E. Thönnes (1999),
//! "Perfect simulation in stochastic geometry".

use super::Images;
use crate::rng::{derive, keyed};
use crate::{Error, Result};
use rand::{Rng, RngExt};
use rayon::prelude::*;

/// The least radius: smaller leaves lie between pixels, and it would take ever more of them to cover all.
const LEAST: f64 = 0.5;
/// The largest radius; beyond it the edges of leaves would be known to less than a millionth of a pixel.
const MOST: f64 = 1e9;

/// Images of fallen leaves, and how large both are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeadLeaves {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// The least radius of a leaf, in pixels.
    pub smallest: f64,
    /// The largest radius of a leaf, in pixels.
    pub largest: f64,
}

impl Default for DeadLeaves {
    /// 128 × 128 pixels, radii from 1 to 128.
    fn default() -> Self {
        Self { height: 128, width: 128, smallest: 1.0, largest: 128.0 }
    }
}

impl DeadLeaves {
    /// `n` independent images, each from a stream of its own; grey levels are uniform on 0..=255.
    ///
    /// They are exact draws of the stationary model: no leaf is missing at the border, and none below.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] unless `0.5 ≤ smallest < largest ≤ 10⁹`, or if `n` or the size is 0 or more than memory can
    /// hold.
    pub fn images(&self, n: usize, seed: u64) -> Result<Images> {
        self.check()?;
        let size = self.height.checked_mul(self.width).filter(|&size| size > 0);
        let Some(size) = size.filter(|&size| size <= 1 << 32) else {
            let got = format!("{} × {}", self.height, self.width);
            return Err(Error::value("the size of images of leaves", "at least 1 × 1, and at most 2³² pixels", got));
        };
        let mut pixels = Vec::new();
        let len = size.checked_mul(n).filter(|&len| len > 0 && pixels.try_reserve_exact(len).is_ok());
        let what = || format!("the number of images of {} × {} pixels", self.height, self.width);
        pixels.resize(len.ok_or_else(|| Error::value(what(), "at least 1, and fit into memory", n))?, 0);
        let (leaves, seed) = (Leaves::new(self), derive(seed, "dead leaves"));
        let images = pixels.par_chunks_exact_mut(size).enumerate();
        images.for_each(|(i, image)| leaves.cover(image, self.width, keyed(seed, &[i as u64])));
        Ok(Images { pixels, height: self.height, width: self.width })
    }

    fn check(&self) -> Result<()> {
        match LEAST <= self.smallest && self.smallest < self.largest && self.largest <= MOST {
            true => Ok(()),
            false => {
                let expected = format!("increasing, and in {LEAST}..={MOST:e}");
                Err(Error::value("the radii of leaves", expected, format!("{} and {}", self.smallest, self.largest)))
            }
        }
    }
}

/// The leaves that can reach an image: of radius `r` those whose centre is in the image or less than `r` beside it, a
/// window of `(height + 2r)(width + 2r)` pixels. So their radii have the density `∝ (h w) r⁻³ + 2 (h + w) r⁻² + 4 r⁻¹`.
struct Leaves {
    height: f64,
    width: f64,
    smallest: f64,
    largest: f64,
    /// The integrals of the first term, and of the first two, as shares of all.
    shares: [f64; 2],
}

impl Leaves {
    fn new(of: &DeadLeaves) -> Self {
        let (height, width, smallest, largest) = (of.height as f64, of.width as f64, of.smallest, of.largest);
        let terms = [
            height * width * (smallest.powi(-2) - largest.powi(-2)) / 2.0,
            2.0 * (height + width) * (1.0 / smallest - 1.0 / largest),
            4.0 * (largest / smallest).ln(),
        ];
        let all: f64 = terms.iter().sum();
        Self { height, width, smallest, largest, shares: [terms[0] / all, (terms[0] + terms[1]) / all] }
    }

    fn radius(&self, rng: &mut impl Rng) -> f64 {
        let (term, u): (f64, f64) = (rng.random(), rng.random());
        let (a, b) = (self.smallest, self.largest);
        match self.shares {
            [first, _] if term < first => (a.powi(-2) - u * (a.powi(-2) - b.powi(-2))).powf(-0.5),
            [_, second] if term < second => 1.0 / (1.0 / a - u * (1.0 / a - 1.0 / b)),
            _ => a * (b / a).powf(u),
        }
    }

    /// Lays leaf below leaf until every pixel is covered: a pixel has the grey of the first that covers its centre.
    fn cover(&self, image: &mut [u8], width: usize, mut rng: impl Rng) {
        let mut bare = vec![true; image.len()];
        let mut left = image.len();
        while left > 0 {
            let r = self.radius(&mut rng);
            let y = rng.random::<f64>() * (self.height + 2.0 * r) - r;
            let x = rng.random::<f64>() * (self.width + 2.0 * r) - r;
            let grey: u8 = rng.random();
            for row in within(y, r, self.height) {
                let half = (r.powi(2) - (row as f64 + 0.5 - y).powi(2)).max(0.0).sqrt();
                for at in within(x, half, self.width).map(|column| row * width + column) {
                    if bare[at] {
                        (bare[at], image[at]) = (false, grey);
                        left -= 1;
                    }
                }
            }
        }
    }
}

/// The pixels of a line of `length` whose centres are at most `half` from `middle`.
fn within(middle: f64, half: f64, length: f64) -> std::ops::Range<usize> {
    let start = (middle - half - 0.5).ceil().clamp(0.0, length);
    let end = ((middle + half - 0.5).floor() + 1.0).clamp(start, length);
    start as usize..end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `γ(d)` by quadrature over `ln r`.
    fn shared(leaves: &DeadLeaves, d: f64) -> f64 {
        let (from, to, steps) = (leaves.smallest.ln(), leaves.largest.ln(), 20_000);
        let step = (to - from) / f64::from(steps);
        let area = |r: f64| match d < 2.0 * r {
            true => 2.0 * r * r * (d / (2.0 * r)).acos() - d / 2.0 * (4.0 * r * r - d * d).sqrt(),
            false => 0.0,
        };
        (0..steps).map(|k| (from + (f64::from(k) + 0.5) * step).exp()).map(|r| area(r) * r.powi(-2) * step).sum()
    }

    /// Mean and standard error of independent numbers.
    fn mean(of: &[f64]) -> (f64, f64) {
        let n = of.len() as f64;
        let mean = of.iter().sum::<f64>() / n;
        (mean, (of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt())
    }

    /// The correlation of pixels `d` apart, of each image; grey levels have mean 127.5 and variance (256² − 1) / 12.
    fn correlations(images: &Images, d: usize, across: bool) -> Vec<f64> {
        let at = |image: &[u8], i: usize, j: usize| f64::from(image[i * images.width + j]) - 127.5;
        let (h, w) = if across { (images.height, images.width - d) } else { (images.height - d, images.width) };
        let of = |image: &[u8]| {
            let places = (0..h).flat_map(|i| (0..w).map(move |j| (i, j)));
            let other = |i, j| if across { at(image, i, j + d) } else { at(image, i + d, j) };
            places.map(|(i, j)| at(image, i, j) * other(i, j)).sum::<f64>() / (h * w) as f64 * 12.0 / 65_535.0
        };
        (0..images.n()).map(|i| of(images.image(i))).collect()
    }

    #[test]
    fn pixels_are_as_alike_as_the_model_says() {
        // The second has leaves much larger than its images, and these are not square.
        let small = DeadLeaves { height: 24, width: 24, smallest: 1.0, largest: 6.0 };
        let large = DeadLeaves { height: 12, width: 20, smallest: 2.0, largest: 200.0 };
        for leaves in [small, large] {
            let images = leaves.images(4000, 3).unwrap();
            for d in [1, 2, 4, 8, 11] {
                let expected = shared(&leaves, d as f64) / (2.0 * shared(&leaves, 0.0) - shared(&leaves, d as f64));
                for across in [true, false] {
                    let (found, error) = mean(&correlations(&images, d, across));
                    assert!(
                        (found - expected).abs() < 4.5 * error,
                        "{leaves:?} {d}: {found} ± {error}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_border_is_like_the_middle() {
        // Whether a pixel and its neighbour are of one leaf, at the corner and in the middle, over independent images.
        let leaves = DeadLeaves { height: 16, width: 16, smallest: 1.0, largest: 40.0 };
        let images = leaves.images(30_000, 5).unwrap();
        let alike = |at: usize| {
            let alike =
                (0..images.n()).map(|i| images.image(i)).map(|image| f64::from(u8::from(image[at] == image[at + 1])));
            mean(&alike.collect::<Vec<f64>>())
        };
        let (corner, middle) = (alike(0), alike(8 * 16 + 8));
        assert!((corner.0 - middle.0).abs() < 4.5 * corner.1.hypot(middle.1), "{corner:?} {middle:?}");
    }

    #[test]
    fn grey_levels_are_uniform() {
        let leaves = DeadLeaves { height: 1, width: 1, smallest: 1.0, largest: 3.0 };
        let mut counts = [0f64; 256];
        leaves.images(256_000, 2).unwrap().pixels.iter().for_each(|&grey| counts[usize::from(grey)] += 1.0);
        // 255 degrees of freedom: mean 255, standard deviation 22.6.
        let chi2: f64 = counts.iter().map(|count| (count - 1000.0).powi(2) / 1000.0).sum();
        assert!((155.0..357.0).contains(&chi2), "{chi2}");
    }

    #[test]
    fn images_do_not_depend_on_threads_or_on_how_many_there_are() {
        let leaves = DeadLeaves { height: 20, width: 30, ..DeadLeaves::default() };
        let drawn = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| leaves.images(5, 7).unwrap())
        });
        assert!(drawn.iter().all(|images| *images == drawn[0]));
        assert_eq!(leaves.images(2, 7).unwrap().pixels, drawn[0].pixels[..1200]);
        assert_ne!(leaves.images(5, 8).unwrap(), drawn[0]);
    }

    #[test]
    fn leaves_that_make_no_sense_are_refused() {
        let message = |leaves: DeadLeaves, n| leaves.images(n, 1).unwrap_err().to_string();
        let radii = |smallest, largest| message(DeadLeaves { smallest, largest, ..DeadLeaves::default() }, 1);
        let expected = "the radii of leaves must be increasing, and in 0.5..=1e9, got";
        for (a, b) in [(0.0, 3.0), (3.0, 3.0), (f64::NAN, 3.0), (1.0, f64::INFINITY)] {
            assert_eq!(radii(a, b), format!("{expected} {a} and {b}"));
        }
        let size = "the size of images of leaves must be at least 1 × 1, and at most 2³² pixels, got";
        assert_eq!(message(DeadLeaves { height: 0, ..DeadLeaves::default() }, 1), format!("{size} 0 × 128"));
        assert_eq!(
            message(DeadLeaves { height: 1 << 40, ..DeadLeaves::default() }, 1),
            format!("{size} 1099511627776 × 128")
        );
        let memory = "the number of images of 128 × 128 pixels must be at least 1, and fit into memory, got";
        assert_eq!(message(DeadLeaves::default(), 0), format!("{memory} 0"));
        assert_eq!(message(DeadLeaves::default(), usize::MAX / 16_384), format!("{memory} {}", usize::MAX / 16_384));
    }
}
