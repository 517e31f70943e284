//! Small squares cut out of larger images at random places: what models of the statistics of images learn from.
//!
//! Patch `k` is drawn from a stream of its own, so that more patches begin with the same ones. Values are grey levels
//! in \[0, 1\]; nothing is centred or whitened here ([`Whiten`](super::Whiten) does that).

use super::Images;
use super::synthetic::zeros;
use crate::rng::{derive, keyed};
use crate::{Error, Mat, Result};
use rand::{Rng, RngExt};

/// `n` patches of `side` × `side` pixels, flattened row by row: side² × `n`, with values `intensity / 255`.
///
/// Each is of an image drawn uniformly and of a place in it drawn uniformly, with replacement; so patches may overlap.
///
/// # Errors
///
/// [`Error::Value`] if there are no images, if `side` is 0 or more than the images' height or width, or if `n` is 0 or
/// more than memory can hold.
///
/// ```
/// use harmonium::data::{DeadLeaves, Whiten, Whitening, patches};
/// let images = DeadLeaves { height: 64, width: 64, ..DeadLeaves::default() }.images(10, 1)?;
/// let mut data = patches(&images, 1000, 8, 1)?;
/// Whiten::fit(&data, Whitening::Zca, 1e-3)?.apply(&mut data)?;
/// assert_eq!(data.shape(), (64, 1000));
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn patches(images: &Images, n: usize, side: usize, seed: u64) -> Result<Mat> {
    if images.n() == 0 {
        return Err(Error::value("the number of images to cut patches from", "at least 1", 0));
    }
    check_side(side, images.height, images.width)?;
    let mut patches = nothing_yet(n, side)?;
    for (k, column) in patches.column_iter_mut().enumerate() {
        let (image, rng) = draw(seed, k, images.n());
        cut(images.image(image), images.width, side, rng, column.data.into_slice_mut());
    }
    Ok(patches)
}

/// Refuses patches that images are too small for.
pub(super) fn check_side(side: usize, height: usize, width: usize) -> Result<()> {
    let most = height.min(width);
    match (1..=most).contains(&side) {
        true => Ok(()),
        false => Err(Error::value(
            format!("the side of a patch of {height} × {width} pixels"),
            format!("in 1..={most}"),
            side,
        )),
    }
}

/// Memory for the patches.
pub(super) fn nothing_yet(n: usize, side: usize) -> Result<Mat> {
    zeros(side.saturating_mul(side), n)
}

/// Which of `images` patch `k` is of, and what its place is drawn from.
pub(super) fn draw(seed: u64, k: usize, images: usize) -> (usize, impl Rng) {
    let mut rng = keyed(derive(seed, "patches"), &[k as u64]);
    (rng.random_range(0..images), rng)
}

/// Cuts a patch at a place drawn from `rng` out of an image at least as large.
pub(super) fn cut(image: &[u8], width: usize, side: usize, mut rng: impl Rng, patch: &mut [f32]) {
    let height = image.len() / width;
    let (top, left) = (rng.random_range(0..=height - side), rng.random_range(0..=width - side));
    for (row, line) in patch.chunks_exact_mut(side).enumerate() {
        let pixels = &image[(top + row) * width + left..][..side];
        line.iter_mut().zip(pixels).for_each(|(value, &pixel)| *value = f32::from(pixel) / 255.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels that tell image, row and column.
    fn images(n: usize, height: usize, width: usize) -> Images {
        let pixel = |at: usize| (at / (height * width) * 64 + at / width % height * 8 + at % width) as u8;
        Images { pixels: (0..n * height * width).map(pixel).collect(), height, width }
    }

    #[test]
    fn patches_are_squares_of_the_images_and_every_place_is_as_likely() {
        let (images, n) = (images(3, 5, 7), 54_000);
        let patches = patches(&images, n, 3, 4).unwrap();
        let mut counts = std::collections::BTreeMap::<u8, f64>::new();
        for patch in patches.column_iter() {
            let at = |i: usize| (patch[i] * 255.0).round() as u8;
            assert!((0..9).all(|i| at(i) == at(0) + (i / 3 * 8 + i % 3) as u8));
            *counts.entry(at(0)).or_default() += 1.0;
        }
        // Three images, three rows and five columns to begin at; 44 degrees of freedom: above 100 once in four hundred thousand.
        let chi2: f64 = counts.values().map(|count| (count - 1200.0).powi(2) / 1200.0).sum();
        assert!(counts.len() == 45 && chi2 < 100.0, "{} {chi2}", counts.len());
    }

    #[test]
    fn more_patches_begin_with_the_same() {
        let images = images(3, 5, 7);
        let of = |n, seed| patches(&images, n, 4, seed).unwrap();
        assert_eq!(of(5, 1), of(9, 1).columns(0, 5));
        assert_ne!(of(5, 1), of(5, 2));
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let message = |images: &Images, n, side| patches(images, n, side, 1).unwrap_err().to_string();
        let side = "the side of a patch of 5 × 7 pixels must be in 1..=5, got";
        assert_eq!(message(&images(1, 5, 7), 1, 6), format!("{side} 6"));
        assert_eq!(message(&images(1, 5, 7), 1, 0), format!("{side} 0"));
        assert_eq!(
            message(&images(0, 5, 7), 1, 3),
            "the number of images to cut patches from must be at least 1, got 0"
        );
        let memory = "the number of samples of 9 units must be at least 1, and fit into memory, got";
        assert_eq!(message(&images(1, 5, 7), 0, 3), format!("{memory} 0"));
        assert_eq!(message(&images(1, 5, 7), usize::MAX, 3), format!("{memory} {}", usize::MAX));
    }
}
