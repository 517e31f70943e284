//! From grey images and labels to what units can be clamped to: bits, numbers in \[0, 1\], one unit a class.
//!
//! Whatever is drawn at random is drawn from a stream of its image, so the bits depend on the seed and the image's
//! place, never on threads or on order. Images are flattened: where a pixel lies is forgotten here.

use super::{Images, Samples, fill_columns};
use crate::rng::keyed;
use crate::{Error, Mat, MatMut, Result};
use rand::Rng;
use rayon::prelude::*;

/// Samples kept at one byte a unit: a unit's value is `byte · scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// Units of a sample.
    pub rows: usize,
    /// The bytes of one sample after another.
    pub bytes: Vec<u8>,
    /// The value of byte 1.
    pub scale: f32,
}

impl Samples for Pixels {
    fn n_rows(&self) -> usize {
        self.rows
    }
    fn n_samples(&self) -> usize {
        self.bytes.len().checked_div(self.rows).unwrap_or(0)
    }
    fn gather(&self, _: u64, index: &[usize], out: MatMut<'_>) {
        fill_columns(self.rows, index, out, |i, column| {
            for (value, &byte) in column.iter_mut().zip(&self.bytes[i * self.rows..][..self.rows]) {
                *value = f32::from(byte) * self.scale;
            }
        });
    }
}

/// Bits that are 1 with probability `intensity / 255`, drawn once and then fixed.
///
/// This is the binarisation of Salakhutdinov & Murray (2008), "On the quantitative analysis of deep belief networks",
/// under which likelihoods of MNIST are reported, in nats per image of 784 bits. Draws under different seeds are
/// different data sets of one distribution: the likelihoods of two models compare only on the same bits, or within the
/// spread that seeds give.
///
/// The probability is exact: a pixel is on if a uniform integer in 0..255 is below its intensity, so 0 is never on and
/// 255 always.
pub fn bernoulli(images: &Images, seed: u64) -> Pixels {
    let rows = images.n_pixels();
    let mut bytes = vec![0; rows * images.n()];
    // A chunk of zero bytes would panic; where images have no size there are no bytes either.
    let columns = bytes.par_chunks_exact_mut(rows.max(1)).enumerate();
    columns.for_each(|(i, bits)| draw(images.image(i), keyed(seed, &[0, i as u64]), bits));
    Pixels { rows, bytes, scale: 1.0 }
}

/// Bits as of [`bernoulli`], but drawn anew in every epoch; those of epoch 0 are `bernoulli(images, seed)`.
///
/// Training sees the grey levels in the long run, instead of one draw of them; evaluate on fixed bits all the same.
#[derive(Debug, Clone, Copy)]
pub struct Redrawn<'a> {
    /// The probabilities, in units of 1/255.
    pub images: &'a Images,
    /// What the bits are drawn from, together with the epoch and the image's index.
    pub seed: u64,
}

impl Samples for Redrawn<'_> {
    fn n_rows(&self) -> usize {
        self.images.n_pixels()
    }
    fn n_samples(&self) -> usize {
        self.images.n()
    }
    fn gather(&self, epoch: u64, index: &[usize], out: MatMut<'_>) {
        fill_columns(self.n_rows(), index, out, |i, column| {
            draw(self.images.image(i), keyed(self.seed, &[epoch, i as u64]), column);
        });
    }
}

/// Draws a bit for each pixel, with probability `pixel / 255`.
fn draw<T: From<bool>>(image: &[u8], mut rng: impl Rng, bits: &mut [T]) {
    for (pixels, bits) in image.chunks(8).zip(bits.chunks_mut(8)) {
        for ((bit, &pixel), uniform) in bits.iter_mut().zip(pixels).zip(below_255(&mut rng)) {
            *bit = T::from(uniform < pixel);
        }
    }
}

/// Eight independent uniform integers in 0..255.
fn below_255(rng: &mut impl Rng) -> [u8; 8] {
    loop {
        let bytes = rng.next_u64().to_le_bytes();
        // All eight are redrawn if one is 255 (3 % of the draws): given that none is, they are uniform and independent.
        if !bytes.iter().fold(false, |any, &byte| any | (byte == u8::MAX)) {
            return bytes;
        }
    }
}

/// Bits that are 1 where the intensity is 128 or more, which is where `intensity / 255` exceeds one half.
///
/// It is deterministic, and another data set than that of [`bernoulli`]: likelihoods on one say nothing about the
/// other.
pub fn threshold(images: &Images) -> Pixels {
    let bytes = images.pixels.iter().map(|&pixel| u8::from(pixel >= 128)).collect();
    Pixels { rows: images.n_pixels(), bytes, scale: 1.0 }
}

/// Values `intensity / 255` in \[0, 1\].
pub fn real(images: &Images) -> Pixels {
    Pixels { rows: images.n_pixels(), bytes: images.pixels.clone(), scale: 1.0 / 255.0 }
}

/// Labels as `classes` units (`classes` × samples), of which the one of the label is 1 and the others are 0.
///
/// # Errors
///
/// [`Error::Value`] if a label is not below `classes`, or `classes` is not in 1..=256, all that a byte can tell apart.
pub fn one_hot(labels: &[u8], classes: usize) -> Result<Mat> {
    if !(1..=256).contains(&classes) {
        return Err(Error::value("the number of classes", "in 1..=256", classes));
    }
    let mut units = Mat::zeros(classes, labels.len());
    for (sample, &label) in labels.iter().enumerate() {
        if usize::from(label) >= classes {
            return Err(Error::value(format!("label {sample}"), format!("below {classes}"), label));
        }
        units[(label.into(), sample)] = 1.0;
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 300 images of 2 × 8 that hold every intensity.
    fn ramp() -> Images {
        Images { pixels: (0..300 * 16).map(|i| (i % 256) as u8).collect(), height: 2, width: 8 }
    }

    #[test]
    fn bits_are_on_as_often_as_the_intensity_says() {
        // 100 000 draws of each intensity: a fraction strays by 5 standard errors once in two million.
        let (n, levels) = (100_000, [0_u8, 1, 51, 127, 128, 254, 255]);
        let images = Images { pixels: levels.repeat(n), height: 1, width: levels.len() };
        let bits = bernoulli(&images, 3);
        for (row, &level) in levels.iter().enumerate() {
            let on: usize = bits.bytes.iter().skip(row).step_by(levels.len()).map(|&bit| usize::from(bit)).sum();
            let p = f64::from(level) / 255.0;
            let allowed = 5.0 * (p * (1.0 - p) / n as f64).sqrt();
            assert!((on as f64 / n as f64 - p).abs() <= allowed, "{level}: {on} of {n}");
        }
    }

    #[test]
    fn uniform_integers_take_each_value_below_255_alike() {
        let (mut counts, n) = ([0_u32; 256], 255 * 8000);
        let mut rng = keyed(1, &[]);
        for _ in 0..n / 8 {
            below_255(&mut rng).iter().for_each(|&value| counts[usize::from(value)] += 1);
        }
        let chi2: f64 = counts[..255].iter().map(|&count| (f64::from(count) - 8000.0).powi(2) / 8000.0).sum();
        // 254 degrees of freedom: mean 254, standard deviation 22.5.
        assert!(counts[255] == 0 && (154.0..354.0).contains(&chi2), "{chi2}");
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let drawn = [1, 2, 3, 8].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bernoulli(&ramp(), 5))
        });
        assert!(drawn.iter().all(|bits| *bits == drawn[0]));
        assert_ne!(bernoulli(&ramp(), 6), drawn[0]);
    }

    #[test]
    fn redrawn_bits_are_the_fixed_ones_in_epoch_0_and_others_later() {
        let images = ramp();
        let redrawn = Redrawn { images: &images, seed: 5 };
        assert_eq!(redrawn.to_mat(), bernoulli(&images, 5).to_mat());
        let at = |epoch, index: &[usize]| {
            let mut out = Mat::zeros(16, index.len());
            redrawn.gather(epoch, index, out.columns_mut(0, index.len()));
            out
        };
        assert_eq!(at(1, &[9, 4]).column(0), at(1, &[9]).column(0));
        assert_ne!(at(1, &[9]), at(0, &[9]));
        assert_ne!(at(1, &[9]), at(2, &[9]));
    }

    #[test]
    fn thresholds_and_grey_values() {
        let images = Images { pixels: (0..=255).collect(), height: 16, width: 16 };
        let (bits, grey) = (threshold(&images).to_mat(), real(&images).to_mat());
        for i in 0..256 {
            assert_eq!(bits[i], f32::from(u8::from(i as f32 / 255.0 > 0.5)));
            assert!((grey[i] - i as f32 / 255.0).abs() < 1e-7 && (0.0..=1.0).contains(&grey[i]));
        }
        assert_eq!((grey[0], grey[255]), (0.0, 1.0));
    }

    #[test]
    fn images_of_no_size_are_no_samples() {
        let none = Images { pixels: vec![], height: 0, width: 3 };
        assert_eq!(bernoulli(&none, 0).n_samples(), 0);
        assert_eq!(real(&none).to_mat().shape(), (0, 0));
    }

    #[test]
    fn labels_become_units() {
        assert_eq!(one_hot(&[2, 0], 3).unwrap(), Mat::from_row_slice(3, 2, &[0., 1., 0., 0., 1., 0.]));
        let message = |labels, classes| one_hot(labels, classes).unwrap_err().to_string();
        assert_eq!(message(&[0, 3], 3), "label 1 must be below 3, got 3");
        assert_eq!(message(&[], 0), "the number of classes must be in 1..=256, got 0");
        assert_eq!(message(&[0], usize::MAX), format!("the number of classes must be in 1..=256, got {}", usize::MAX));
    }
}
