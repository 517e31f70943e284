//! Whether predicted probabilities are what they say: of what is predicted with probability p, a share of p should be right.
//!
//! ## References
//! - Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.
//! - Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", 2005 (reliability plots).

use crate::linalg::col;
use crate::{Error, MatRef, Result};

/// How far probabilities of a sample may be from a sum of one.
const ROUNDING: f64 = 1e-3;

/// Samples whose most probable class has a probability within one range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many there are.
    pub samples: usize,
    /// The mean probability of what is predicted; 0 if there are no samples.
    pub confidence: f64,
    /// The share of what is right; 0 if there are no samples.
    pub accuracy: f64,
}

/// What [`calibration`] says of predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The expected calibration error `Σ n_b/n |accuracy_b - confidence_b|`, at most 1; upward biased where bins have few samples.
    pub error: f64,
    /// The share of what is right.
    pub accuracy: f64,
    /// Equal ranges of confidence from 0 to 1, the upper end belonging to each: what a reliability plot shows.
    pub bins: Vec<Bin>,
}

/// The calibration of probabilities (classes × samples) of which the class of each sample is known, by so many `bins`: 15, as Guo et al.
/// have it. The most probable class is predicted, the first of equals.
///
/// # Errors
/// [`Error::Shape`] if there is not one label a sample; [`Error::Value`] if there are no samples or bins, a probability is not within
/// 0..1, those of a sample do not sum to 1, or there is no such class.
///
/// ```
/// use harmonium::{Mat, eval::calibration};
/// // Two classes, always predicted with 0.75, and three times of four rightly.
/// let p = Mat::from_fn(2, 8, |class, _| [0.75, 0.25][class]);
/// assert_eq!(calibration(p.as_view(), &[0, 0, 0, 1, 0, 0, 1, 0], 15)?.error, 0.0);
/// assert_eq!(calibration(p.as_view(), &[1; 8], 15)?.error, 0.75);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn calibration(probabilities: MatRef<'_>, labels: &[usize], bins: usize) -> Result<Calibration> {
    let (classes, n) = probabilities.shape();
    if labels.len() != n {
        return Err(Error::shape("labels of samples", n, labels.len()));
    }
    if n == 0 || bins == 0 || classes == 0 {
        let got = format!("{n} samples of {classes} classes, {bins} bins");
        return Err(Error::value("predictions to calibrate", "at least one sample, class and bin", got));
    }
    let mut all = vec![Bin::default(); bins];
    for (j, &label) in labels.iter().enumerate() {
        let p = col(&probabilities, j);
        check(p, j, label)?;
        let best = (1..classes).fold(0, |best, k| if p[k] > p[best] { k } else { best });
        let confidence = f64::from(p[best]);
        let bin = &mut all[((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1];
        bin.samples += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(best == label));
    }
    let right: f64 = all.iter().map(|b| b.accuracy).sum();
    let error = all.iter().map(|b| (b.accuracy - b.confidence).abs()).sum::<f64>() / n as f64;
    for bin in all.iter_mut().filter(|b| b.samples > 0) {
        bin.confidence /= bin.samples as f64;
        bin.accuracy /= bin.samples as f64;
    }
    Ok(Calibration { error, accuracy: right / n as f64, bins: all })
}

/// The probabilities of sample `j`, and its class.
fn check(p: &[f32], j: usize, label: usize) -> Result<()> {
    if let Some(p) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::value(format!("a probability of sample {j}"), "within 0..1", p));
    }
    let total: f64 = p.iter().map(|p| f64::from(*p)).sum();
    if (total - 1.0).abs() > ROUNDING {
        return Err(Error::value(format!("the sum of the probabilities of sample {j}"), "1", total));
    }
    if label >= p.len() {
        return Err(Error::value(format!("the class of sample {j}"), format!("below {}", p.len()), label));
    }
    Ok(())
}
