//! Small data whose distribution is known, so that a model's likelihood can be held against the truth.
//!
//! Nothing here is read from files, and nothing imitates real images.

use crate::rng::keyed;
use crate::{Error, Mat, Result};
use rand::RngExt;

/// The largest side of [`bars_and_stripes`]: 131 070 patterns of 256 pixels, 134 MB.
const MAX_SIDE: usize = 16;

/// Every pattern of bars and stripes, with its probability under the process that generates them.
#[derive(Debug, Clone, PartialEq)]
pub struct BarsAndStripes {
    /// The distinct patterns: `side²` pixels, row by row, × `2·2^side − 2` patterns.
    pub patterns: Mat,
    /// The probability of each pattern.
    pub probabilities: Vec<f64>,
}

/// The bars and stripes of a square of `side` × `side` pixels (MacKay 2003, *Information theory, inference, and
/// learning algorithms*, §43).
///
/// The generator picks an orientation, then turns each of the `side` columns (bars) or rows (stripes) on with
/// probability one half. Its `2·2^side` outcomes are equally likely; the empty and the full square arise in both
/// orientations, so they are twice as likely as any other pattern.
///
/// # Errors
///
/// [`Error::Value`] unless `side` is in 1..=16.
pub fn bars_and_stripes(side: usize) -> Result<BarsAndStripes> {
    if !(1..=MAX_SIDE).contains(&side) {
        return Err(Error::value("the side of bars and stripes", format!("in 1..={MAX_SIDE}"), side));
    }
    let full = (1 << side) - 1;
    // The stripes that are empty or full are left out: they are among the bars.
    let outcomes = (0..=full).map(|lines| (true, lines)).chain((1..full).map(|lines| (false, lines)));
    let pixels = outcomes.clone().flat_map(|(bars, lines)| {
        (0..side * side).map(move |at| (lines >> if bars { at % side } else { at / side } & 1) as f32)
    });
    let outcome = 0.5 / (full + 1) as f64;
    Ok(BarsAndStripes {
        patterns: Mat::from_iterator(side * side, 2 * full, pixels),
        probabilities: outcomes.map(|(_, lines)| if lines % full == 0 { 2.0 * outcome } else { outcome }).collect(),
    })
}

impl BarsAndStripes {
    /// The entropy `−Σ p ln p` in nats: under the generator, no model's mean log-likelihood exceeds its negative.
    pub fn entropy(&self) -> f64 {
        -self.probabilities.iter().map(|p| p * p.ln()).sum::<f64>()
    }

    /// `n` independent patterns of the generator, `side²` × `n`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if `n` is 0 or more than memory can hold.
    ///
    /// # Panics
    ///
    /// If the fields were changed so that the probabilities no longer sum to 1, or are not one for each pattern.
    pub fn sample(&self, n: usize, seed: u64) -> Result<Mat> {
        let mut samples = zeros(self.patterns.nrows(), n)?;
        let mut rng = keyed(seed, &[]);
        // Sums of multiples of a power of two: the last is exactly 1, above every uniform number.
        let mut sum = 0.0;
        let add = |p: &f64| {
            sum += p;
            sum
        };
        let cumulative: Vec<f64> = self.probabilities.iter().map(add).collect();
        for mut sample in samples.column_iter_mut() {
            let uniform: f64 = rng.random();
            sample.copy_from(&self.patterns.column(cumulative.partition_point(|&sum| sum <= uniform)));
        }
        Ok(samples)
    }
}

/// `n` samples of the shifter problem, `2·width + 3` × `n` (Hinton & Sejnowski 1986, "Learning and relearning in
/// Boltzmann machines").
///
/// The first `width` units are random bits; the next `width` are the same bits shifted by −1, 0 or +1 places, with
/// wrap-around; the last three say which, in that order. No single bit tells anything about the shift; only pairs
/// of bits do, so hidden units are needed.
///
/// # Errors
///
/// [`Error::Value`] if `width` is below 3, where the shifts left and right coincide, or if `n` is 0 or the samples are
/// more than memory can hold.
pub fn shifter(n: usize, width: usize, seed: u64) -> Result<Mat> {
    if width < 3 {
        return Err(Error::value("the width of the shifter", "at least 3", width));
    }
    let mut samples = zeros(width.saturating_mul(2).saturating_add(3), n)?;
    let mut rng = keyed(seed, &[]);
    for mut sample in samples.column_iter_mut() {
        let shift = rng.random_range(0..3);
        for i in 0..width {
            let bit = f32::from(u8::from(rng.random::<bool>()));
            sample[i] = bit;
            sample[width + (i + width + shift - 1) % width] = bit;
        }
        sample[2 * width + shift] = 1.0;
    }
    Ok(samples)
}

/// Four images of 4 × 4 pixels, as far from each other as four can be, and noise around them: data with modes that chains do
/// not pass between (after Desjardins, Courville, Bengio, Vincent and Delalleau 2010, "Tempered Markov chain Monte Carlo
/// for training of restricted Boltzmann machines"; their images were others of this kind).
///
/// ```text
/// p(v) = ¼ Σ_m flip^d (1 - flip)^(16 - d),   d = the number of pixels in which v and image m differ
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FourModes {
    /// The images, pixels row by row: 16 × 4, any two of them 10 or 11 pixels apart.
    pub modes: Mat,
    /// The probability that a pixel is not that of its image, independently of the others.
    pub flip: f64,
}

/// The four modes with pixels that flip with this probability. At 0.1 chains still mix; at 0.001 they do not.
///
/// # Errors
///
/// [`Error::Value`] unless `flip` is within 0..=1/2.
pub fn four_modes(flip: f64) -> Result<FourModes> {
    if !(0.0..=0.5).contains(&flip) {
        return Err(Error::value("the probability of a flip", "within 0..=0.5", flip));
    }
    // A pixel tells two of the images from the other two, in one of three ways: five, five and six pixels of each. More
    // than 64 of the 6 · 16 differences there cannot be, and these are shared out as evenly as they can be.
    let on = |pixel: usize, mode: usize| match pixel % 3 {
        0 => mode % 2 == 1,
        1 => mode / 2 == 1,
        _ => mode == 1 || mode == 2,
    };
    Ok(FourModes { modes: Mat::from_fn(16, 4, |pixel, mode| f32::from(u8::from(on(pixel, mode)))), flip })
}

impl FourModes {
    /// `n` samples, 16 × `n`: of image 0, 1, 2, 3, 0, 1 … in turn, so that four images in a row have one of each.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if `n` is 0 or more than memory can hold.
    pub fn sample(&self, n: usize, seed: u64) -> Result<Mat> {
        let mut samples = zeros(self.modes.nrows(), n)?;
        let mut rng = keyed(seed, &[]);
        for (k, mut sample) in samples.column_iter_mut().enumerate() {
            for (pixel, of_mode) in sample.iter_mut().zip(self.modes.column(k % 4).iter()) {
                *pixel = if rng.random::<f64>() < self.flip { 1.0 - of_mode } else { *of_mode };
            }
        }
        Ok(samples)
    }

    /// In how many pixels an image differs from each of the four.
    fn distances(&self, v: &[f32]) -> [usize; 4] {
        std::array::from_fn(|m| self.modes.column(m).iter().zip(v).filter(|(a, b)| a != b).count())
    }

    /// `p(v)` of an image of 16 pixels.
    ///
    /// # Panics
    ///
    /// If it has not 16 pixels.
    pub fn probability(&self, v: &[f32]) -> f64 {
        assert_eq!(v.len(), 16, "pixels of an image");
        let of_mode = |d: usize| self.flip.powi(d as i32) * (1.0 - self.flip).powi(16 - d as i32);
        0.25 * self.distances(v).map(of_mode).iter().sum::<f64>()
    }

    /// The mode that an image of 16 pixels is nearest to; none if it is as near to two.
    ///
    /// # Panics
    ///
    /// If it has not 16 pixels.
    pub fn nearest(&self, v: &[f32]) -> Option<usize> {
        assert_eq!(v.len(), 16, "pixels of an image");
        let distances = self.distances(v);
        let least = *distances.iter().min()?;
        let mut nearest = (0..4).filter(|&m| distances[m] == least);
        nearest.next().filter(|_| nearest.next().is_none())
    }

    /// The probabilities of all 65 536 images; pixel `i` is bit `i` of the number.
    fn probabilities(&self) -> impl Iterator<Item = f64> {
        let image = |number: u32| std::array::from_fn::<f32, 16, _>(|pixel| (number >> pixel & 1) as f32);
        (0..1 << 16).map(move |number| self.probability(&image(number)))
    }

    /// The entropy `−Σ p ln p` in nats: no model's mean log-likelihood exceeds its negative.
    pub fn entropy(&self) -> f64 {
        -self.probabilities().filter(|&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
    }
}

/// Zeros, if there is memory for them.
pub(super) fn zeros(rows: usize, n: usize) -> Result<Mat> {
    let mut values = Vec::new();
    let len = rows.checked_mul(n).filter(|&len| len > 0 && values.try_reserve_exact(len).is_ok());
    let len = len.ok_or_else(|| {
        Error::value(format!("the number of samples of {rows} units"), "at least 1, and fit into memory", n)
    })?;
    values.resize(len, 0.0);
    Ok(Mat::from_vec(rows, n, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::col;
    use std::collections::{HashMap, HashSet};

    fn key(column: impl IntoIterator<Item = f32>) -> Vec<u8> {
        column.into_iter().map(|x| x as u8).collect()
    }

    #[test]
    fn patterns_are_distinct_bars_or_stripes() {
        for side in 1..=6 {
            let data = bars_and_stripes(side).unwrap();
            let keys: HashSet<_> = data.patterns.column_iter().map(|c| key(c.iter().copied())).collect();
            assert_eq!((keys.len(), data.patterns.nrows()), (2 * (1 << side) - 2, side * side));
            assert_eq!(data.probabilities.len(), keys.len());
            for pattern in &keys {
                let bars = (0..side * side).all(|at| pattern[at] == pattern[at % side]);
                let stripes = (0..side * side).all(|at| pattern[at] == pattern[at / side * side]);
                assert!(bars || stripes);
            }
            assert!((data.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_empty_and_the_full_square_are_twice_as_likely() {
        let data = bars_and_stripes(3).unwrap();
        for (pattern, &p) in data.patterns.column_iter().zip(&data.probabilities) {
            assert_eq!(p, if [0.0, 9.0].contains(&pattern.sum()) { 2.0 / 16.0 } else { 1.0 / 16.0 });
        }
        let by_hand = 12.0 / 16.0 * 16_f64.ln() + 4.0 / 16.0 * 8_f64.ln();
        assert!((data.entropy() - by_hand).abs() < 1e-12);
        assert!((bars_and_stripes(1).unwrap().entropy() - 2_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn samples_follow_the_probabilities() {
        let (data, n) = (bars_and_stripes(3).unwrap(), 160_000);
        let mut counts = HashMap::<_, f64>::new();
        for sample in data.sample(n, 4).unwrap().column_iter() {
            *counts.entry(key(sample.iter().copied())).or_default() += 1.0;
        }
        let chi2: f64 = (data.patterns.column_iter().zip(&data.probabilities))
            .map(|(pattern, p)| (counts[&key(pattern.iter().copied())] - p * n as f64).powi(2) / (p * n as f64))
            .sum();
        // 13 degrees of freedom: above 45 once in forty thousand.
        assert!(counts.len() == 14 && chi2 < 45.0, "{chi2}");
        assert_eq!(data.sample(5, 4).unwrap(), data.sample(9, 4).unwrap().columns(0, 5));
    }

    #[test]
    fn the_shifter_shifts_by_what_its_label_says() {
        let (n, width) = (3000, 5);
        let data = shifter(n, width, 9).unwrap();
        assert_eq!(data.shape(), (13, n));
        for sample in data.column_iter() {
            let label = (0..3).find(|&label| sample[2 * width + label] == 1.0).unwrap();
            assert_eq!(sample.rows(2 * width, 3).sum(), 1.0);
            assert!((0..width).all(|i| sample[width + (i + width + label - 1) % width] == sample[i]));
        }
        // Means of 3000 draws: five standard errors around 1/2 and 1/3.
        assert!((0..10).all(|row| (data.row(row).mean() - 0.5).abs() < 0.046));
        assert!((10..13).all(|row| (data.row(row).mean() - 1.0 / 3.0).abs() < 0.043));
    }

    #[test]
    fn the_four_modes_are_as_far_apart_as_can_be() {
        let data = four_modes(0.0).unwrap();
        let apart: Vec<usize> = (0..4)
            .flat_map(|m| data.distances(col(&data.modes.as_view(), m)).into_iter().skip(m + 1).collect::<Vec<_>>())
            .collect();
        // Plotkin's bound: a mean of 32/3.
        assert_eq!((apart.len(), apart.iter().sum::<usize>(), apart.iter().min()), (6, 64, Some(&10)));
        assert!((data.entropy() - 4f64.ln()).abs() < 1e-12);
        assert!((0..4).all(|m| data.nearest(col(&data.modes.as_view(), m)) == Some(m)));
        let noise = four_modes(0.5).unwrap();
        assert!((noise.entropy() - 16.0 * 2f64.ln()).abs() < 1e-9);
    }

    /// The chain rule: at this noise an image tells its mode but once in a hundred thousand times.
    #[test]
    fn the_entropy_of_four_modes_is_that_of_mode_and_noise() {
        let data = four_modes(0.02).unwrap();
        let total: f64 = data.probabilities().sum();
        let pixel = -(0.02 * 0.02_f64.ln() + 0.98 * 0.98_f64.ln());
        assert!((total - 1.0).abs() < 1e-12);
        assert!((data.entropy() - (4f64.ln() + 16.0 * pixel)).abs() < 1e-4, "{}", data.entropy());
    }

    #[test]
    fn samples_of_four_modes_take_turns_and_flip() {
        let (data, n) = (four_modes(0.1).unwrap(), 20_000);
        let samples = data.sample(n, 3).unwrap();
        let mut by_pixel = [0.0; 16];
        for (k, v) in samples.column_iter().enumerate() {
            let mode = data.modes.column(k % 4);
            v.iter().zip(mode.iter()).enumerate().for_each(|(i, (a, b))| by_pixel[i] += f64::from(u8::from(a != b)));
        }
        // Each of 16 shares is within five standard errors.
        assert!(by_pixel.iter().all(|flips| (flips / n as f64 - 0.1).abs() < 5.0 * (0.09 / n as f64).sqrt()));
        assert_eq!(data.sample(5, 3).unwrap(), samples.columns(0, 5));
        assert_eq!(four_modes(0.0).unwrap().sample(8, 1).unwrap().columns(4, 4), data.modes);
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        for flip in [-0.1, 0.6, f64::NAN] {
            assert!(four_modes(flip).unwrap_err().to_string().contains("within 0..=0.5"));
        }
        let side = |side| bars_and_stripes(side).unwrap_err().to_string();
        assert_eq!(side(0), "the side of bars and stripes must be in 1..=16, got 0");
        assert_eq!(side(64), "the side of bars and stripes must be in 1..=16, got 64");
        let shift = |n, width| shifter(n, width, 0).unwrap_err().to_string();
        assert_eq!(shift(1, 2), "the width of the shifter must be at least 3, got 2");
        let memory = "must be at least 1, and fit into memory, got";
        assert_eq!(shift(0, 4), format!("the number of samples of 11 units {memory} 0"));
        assert_eq!(shift(2, usize::MAX), format!("the number of samples of {} units {memory} 2", usize::MAX));
        assert_eq!(
            shift(usize::MAX / 64, 4),
            format!("the number of samples of 11 units {memory} {}", usize::MAX / 64)
        );
        let sample = bars_and_stripes(2).unwrap().sample(0, 1).unwrap_err().to_string();
        assert_eq!(sample, format!("the number of samples of 4 units {memory} 0"));
    }
}
