//! How well a score tells two kinds of samples apart.

use crate::{Error, Result};

/// The area under the receiver operating characteristic: the probability that a positive sample has a higher score than a negative
/// one, half of it where the scores are equal (Hanley and McNeil, "The meaning and use of the area under a receiver operating
/// characteristic (ROC) curve", 1982). ½ is chance.
///
/// # Errors
/// [`Error::Value`] if there are no samples of a kind, or a score is NaN.
///
/// ```
/// use harmonium::eval::roc_area;
/// assert_eq!(roc_area(&[1.0, 3.0], &[0.0, 2.0])?, 0.75);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn roc_area(positive: &[f64], negative: &[f64]) -> Result<f64> {
    for (scores, what) in [(positive, "positive"), (negative, "negative")] {
        if scores.is_empty() {
            return Err(Error::value(format!("the number of {what} samples"), "at least 1", 0));
        }
        if let Some(i) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::value(format!("the score of {what} sample {i}"), "a number", f64::NAN));
        }
    }
    let mut sorted = negative.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |score: &f64| {
        let (less, not_more) = (sorted.partition_point(|s| s < score), sorted.partition_point(|s| s <= score));
        0.5 * (less + not_more) as f64
    };
    Ok(positive.iter().map(below).sum::<f64>() / (positive.len() * negative.len()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainRng;
    use rand::RngExt;

    #[test]
    fn it_is_the_share_of_pairs_in_order() {
        let mut rng = ChainRng::new(1);
        let mut draw = |n: usize| (0..n).map(|_| f64::from(rng.random_range(0..9u8))).collect::<Vec<f64>>();
        let (a, b) = (draw(40), draw(70));
        let pair = |x: f64, y: f64| if x > y { 1.0 } else { f64::from(u8::from(x == y)) * 0.5 };
        let plain: f64 = a.iter().flat_map(|&x| b.iter().map(move |&y| pair(x, y))).sum();
        assert!((roc_area(&a, &b).unwrap() - plain / 2800.0).abs() < 1e-12);
        assert_eq!(roc_area(&[f64::INFINITY], &[f64::NEG_INFINITY]).unwrap(), 1.0);
        assert!(roc_area(&[], &[1.0]).is_err() && roc_area(&[1.0], &[f64::NAN]).is_err());
    }
}
