//! How far apart the distributions of two sets of samples are, by distances or similarities of pairs: energy distance, MMD.
//!
//! Both are zero where the distributions are equal, and nowhere else; both are averages over pairs, without the pairs of a sample with
//! itself, and so unbiased: near zero they are as often below it as above. The energy distance is the MMD of the similarity `-‖x - y‖`
//! (Sejdinovic, Sriperumbudur, Gretton and Fukumizu, "Equivalence of distance-based and RKHS-based statistics in hypothesis testing",
//! 2013). The samples of a set are taken for independent: of chains, thin them first.
//!
//! ## References
//! - Székely and Rizzo, "Energy statistics: a class of statistics based on distances", 2013.
//! - Gretton, Borgwardt, Rasch, Schölkopf and Smola, "A kernel two-sample test", 2012.
//! - Efron and Stein, "The jackknife estimate of variance", 1981.

use super::Estimate;
use crate::linalg::{col, in_order, squared_distance};
use crate::{Error, MatRef, Result};

/// Samples of each set that the median heuristic looks at.
const LOOKED_AT: usize = 500;

/// How alike two states are, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Similarity {
    /// `exp(-‖x - y‖² / 2w²)` of this width `w`; see [`Similarity::median`].
    Gaussian {
        /// The width.
        width: f64,
    },
    /// `exp(-h)` with `h` the share of rows in which the two differ: the exponentiated average Hamming distance of discrete states
    /// (Grathwohl, Swersky, Hashemi, Duvenaud and Maddison, "Oops I took a gradient", 2021).
    Hamming,
}

impl Similarity {
    /// The Gaussian one whose width is the median distance of two samples, whichever set they are from, of at most 500 of each set,
    /// evenly spread over it (Gretton et al. 2012).
    ///
    /// # Errors
    /// Those of [`mmd`]; [`Error::Value`] if more than half of the pairs are equal.
    pub fn median(a: MatRef<'_>, b: MatRef<'_>) -> Result<Self> {
        check(a, b)?;
        let some = |x: MatRef<'_>| {
            let n = x.ncols().min(LOOKED_AT);
            x.select_columns(&(0..n).map(|k| k * x.ncols() / n).collect::<Vec<_>>())
        };
        let all = [some(a), some(b)];
        let all: Vec<&[f32]> = all.iter().flat_map(|x| x.as_slice().chunks_exact(x.nrows().max(1))).collect();
        let of = |k: u64| {
            let k = k as usize;
            all[..k].iter().map(|x| squared_distance(x, all[k])).collect::<Vec<f64>>()
        };
        let mut squares = in_order(all.len() as u64, of).concat();
        let middle = squares.len() / 2;
        let width = squares.select_nth_unstable_by(middle, f64::total_cmp).1.sqrt();
        match width > 0.0 {
            true => Ok(Self::Gaussian { width }),
            false => Err(Error::value("the median distance of two samples", "above 0", width)),
        }
    }
    fn of(self, x: &[f32], y: &[f32]) -> f64 {
        match self {
            Self::Gaussian { width } => (-squared_distance(x, y) / (2.0 * width * width)).exp(),
            Self::Hamming => {
                let differ: u32 = x.iter().zip(y).map(|(x, y)| u32::from(x != y)).sum();
                (-f64::from(differ) / x.len().max(1) as f64).exp()
            }
        }
    }
}

/// `2⟨‖x - y‖⟩ - ⟨‖x - x'‖⟩ - ⟨‖y - y'‖⟩` of samples `x` of `a` and `y` of `b` (rows × samples each), without a sample beside itself;
/// with its standard error by the jackknife. In parallel, with the same bits for any number of threads.
///
/// Where the distributions are equal, the error is rather too large than too small.
///
/// # Errors
/// [`Error::Shape`] if the sets differ in their rows; [`Error::Value`] if one has fewer than 3 samples, or a number is not finite.
///
/// ```
/// use harmonium::{Mat, eval::energy_distance};
/// let (near, far) = (Mat::from_fn(1, 9, |_, j| j as f32), Mat::from_fn(1, 9, |_, j| j as f32 + 20.0));
/// let apart = energy_distance(near.as_view(), far.as_view())?;
/// assert!(apart.value > 3.0 * apart.standard_error);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn energy_distance(a: MatRef<'_>, b: MatRef<'_>) -> Result<Estimate> {
    check(a, b)?;
    Ok(discrepancy(a, b, |x, y| -squared_distance(x, y).sqrt()))
}

/// The squared maximum mean discrepancy `⟨k(x, x')⟩ + ⟨k(y, y')⟩ - 2⟨k(x, y)⟩` of samples `x` of `a` and `y` of `b` (rows × samples
/// each), without a sample beside itself; with its standard error by the jackknife. In parallel, with the same bits for any number of
/// threads.
///
/// Where the distributions are equal, the error is rather too large than too small.
///
/// # Errors
/// [`Error::Shape`] if the sets differ in their rows; [`Error::Value`] if one has fewer than 3 samples, a number is not finite, or the
/// width is not above 0.
///
/// ```
/// use harmonium::{Mat, eval::{Similarity, mmd}};
/// let (zeros, ones) = (Mat::zeros(4, 5), Mat::from_element(4, 6, 1.0));
/// assert!((mmd(zeros.as_view(), ones.as_view(), Similarity::Hamming)?.value - 2.0 * (1.0 - (-1f64).exp())).abs() < 1e-12);
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn mmd(a: MatRef<'_>, b: MatRef<'_>, similarity: Similarity) -> Result<Estimate> {
    check(a, b)?;
    match similarity {
        Similarity::Gaussian { width } if width.is_nan() || width <= 0.0 => {
            Err(Error::value("the width of a similarity", "above 0", width))
        }
        _ => Ok(discrepancy(a, b, |x, y| similarity.of(x, y))),
    }
}

fn check(a: MatRef<'_>, b: MatRef<'_>) -> Result<()> {
    if a.nrows() != b.nrows() {
        return Err(Error::shape("rows of the second set of samples", a.nrows(), b.nrows()));
    }
    for (x, which) in [(a, "first"), (b, "second")] {
        if x.ncols() < 3 {
            return Err(Error::value(format!("the number of samples of the {which} set"), "at least 3", x.ncols()));
        }
        if let Some(j) = (0..x.ncols()).find(|&j| col(&x, j).iter().any(|x| !x.is_finite())) {
            return Err(Error::value(format!("sample {j} of the {which} set"), "finite numbers", "another"));
        }
    }
    Ok(())
}

/// Sums over all other samples of the own set and over those of the other, for each sample of a set.
struct Sums {
    own: Vec<f64>,
    other: Vec<f64>,
}
impl Sums {
    fn of(a: MatRef<'_>, b: MatRef<'_>, k: &(impl Fn(&[f32], &[f32]) -> f64 + Sync)) -> Self {
        let one = |i: u64| {
            let i = i as usize;
            let x = col(&a, i);
            let own: f64 = (0..a.ncols()).filter(|&j| j != i).map(|j| k(x, col(&a, j))).sum();
            (own, (0..b.ncols()).map(|j| k(x, col(&b, j))).sum::<f64>())
        };
        let (own, other) = in_order(a.ncols() as u64, one).into_iter().unzip();
        Self { own, other }
    }
    /// The average of pairs of this set, without sample `i` if one is told.
    fn within(&self, without: Option<usize>) -> f64 {
        let (n, total) = (self.own.len() as f64, self.own.iter().sum::<f64>());
        match without {
            None => total / (n * (n - 1.0)),
            Some(i) => (total - 2.0 * self.own[i]) / ((n - 1.0) * (n - 2.0)),
        }
    }
    /// The average of pairs with the other set, of so many, likewise.
    fn between(&self, others: f64, without: Option<usize>) -> f64 {
        let (n, total) = (self.own.len() as f64, self.other.iter().sum::<f64>());
        match without {
            None => total / (n * others),
            Some(i) => (total - self.other[i]) / ((n - 1.0) * others),
        }
    }
    /// The jackknife's variance of the discrepancy, the part of this set.
    fn variance(&self, others: f64) -> f64 {
        let n = self.own.len();
        let without = |i| self.within(Some(i)) - 2.0 * self.between(others, Some(i));
        let values: Vec<f64> = (0..n).map(without).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() * (n as f64 - 1.0) / n as f64
    }
}

fn discrepancy(a: MatRef<'_>, b: MatRef<'_>, k: impl Fn(&[f32], &[f32]) -> f64 + Sync) -> Estimate {
    let (of_a, of_b) = (Sums::of(a, b, &k), Sums::of(b, a, &k));
    let (m, n) = (a.ncols() as f64, b.ncols() as f64);
    let value = of_a.within(None) + of_b.within(None) - 2.0 * of_a.between(n, None);
    Estimate { value, standard_error: (of_a.variance(n) + of_b.variance(m)).sqrt() }
}
