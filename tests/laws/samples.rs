//! Sets of samples beside each other: energy distance and MMD against closed forms, averages over seeds and plain sums; calibration.

use harmonium::eval::{Estimate, Similarity, calibration, energy_distance, mmd};
use harmonium::{ChainRng, Mat, MatRef, laws};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;

fn normals(rows: usize, n: usize, (mean, deviation): (f32, f32), rng: &mut ChainRng) -> Mat {
    Mat::from_fn(rows, n, |_, _| {
        let z: f32 = StandardNormal.sample(rng);
        mean + deviation * z
    })
}
fn bits(rows: usize, n: usize, p: f32, rng: &mut ChainRng) -> Mat {
    Mat::from_fn(rows, n, |_, _| f32::from(u8::from(rng.random::<f32>() < p)))
}
/// `Φ(x)`, by Simpson's rule.
fn phi(x: f64) -> f64 {
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * PI).sqrt();
    let (n, h) = (2000, x / 2000.0);
    let inner: f64 = (1..n).map(|k| if k % 2 == 1 { 4.0 } else { 2.0 } * density(k as f64 * h)).sum();
    0.5 + h / 3.0 * (density(0.0) + inner + density(x))
}
/// `E|Z|` of a normal number.
fn folded(mean: f64, deviation: f64) -> f64 {
    let r = mean / deviation;
    deviation * (2.0 / PI).sqrt() * (-0.5 * r * r).exp() + mean * (2.0 * phi(r) - 1.0)
}
/// The same by all pairs and all that leave one sample out, each time anew.
fn plain(a: &Mat, b: &Mat, k: &dyn Fn(&[f32], &[f32]) -> f64) -> Estimate {
    let value = |a: &Mat, b: &Mat| {
        let mean = |x: &Mat, y: &Mat, same: bool| {
            let pairs = (0..x.ncols()).flat_map(|i| (0..y.ncols()).map(move |j| (i, j)));
            let values: Vec<f64> = pairs
                .filter(|(i, j)| !same || i != j)
                .map(|(i, j)| k(x.column(i).as_slice(), y.column(j).as_slice()))
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        mean(a, a, true) + mean(b, b, true) - 2.0 * mean(a, b, false)
    };
    let variance = |values: Vec<f64>| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() * (n - 1.0) / n
    };
    let left = (0..a.ncols()).map(|i| value(&a.clone().remove_column(i), b)).collect();
    let right = (0..b.ncols()).map(|i| value(a, &b.clone().remove_column(i))).collect();
    Estimate { value: value(a, b), standard_error: (variance(left) + variance(right)).sqrt() }
}
fn distance(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>().sqrt()
}
type Measure = fn(MatRef<'_>, MatRef<'_>) -> Estimate;
const DISTANCE: Measure = |a, b| energy_distance(a, b).unwrap();
const GAUSSIAN: Measure = |a, b| mmd(a, b, Similarity::Gaussian { width: 0.8 }).unwrap();
const HAMMING: Measure = |a, b| mmd(a, b, Similarity::Hamming).unwrap();

#[test]
fn discrepancies_are_sums_over_pairs() {
    let mut rng = ChainRng::new(1);
    for (m, n, rows) in [(3, 5, 1), (8, 4, 20), (13, 17, 33)] {
        let real = [normals(rows, m, (0.0, 1.0), &mut rng), normals(rows, n, (0.3, 1.4), &mut rng)];
        let discrete = [bits(rows, m, 0.5, &mut rng), bits(rows, n, 0.7, &mut rng)];
        let hamming = |x: &[f32], y: &[f32]| {
            (-x.iter().zip(y).map(|(x, y)| f64::from((x - y).abs())).sum::<f64>() / x.len() as f64).exp()
        };
        let gaussian = |x: &[f32], y: &[f32]| (-0.5 * (distance(x, y) / 0.8).powi(2)).exp();
        let negative = |x: &[f32], y: &[f32]| -distance(x, y);
        type OfPair<'a> = &'a dyn Fn(&[f32], &[f32]) -> f64;
        let cases: [(Measure, &[Mat; 2], OfPair<'_>); 3] =
            [(DISTANCE, &real, &negative), (GAUSSIAN, &real, &gaussian), (HAMMING, &discrete, &hamming)];
        for (measure, [a, b], k) in cases {
            let (got, expected) = (measure(a.as_view(), b.as_view()), plain(a, b, k));
            assert!((got.value - expected.value).abs() < 1e-11, "{got:?} instead of {expected:?}");
            assert!((got.standard_error - expected.standard_error).abs() < 1e-11, "{got:?} instead of {expected:?}");
        }
    }
}
/// The mean of many estimates is the truth, and their errors are what they scatter by; where the distributions are equal, the truth is
/// zero, and errors are no smaller than that.
#[test]
fn estimates_are_unbiased_and_their_errors_honest() {
    let ((m1, s1), (m2, s2)) = ((0.2f64, 1.0f64), (0.9, 0.5));
    let apart = 2.0 * folded(m1 - m2, (s1 * s1 + s2 * s2).sqrt()) - 2.0 / PI.sqrt() * (s1 + s2);
    let k = |delta: f64, square: f64| 0.8 / (0.64 + square).sqrt() * (-delta * delta / (2.0 * (0.64 + square))).exp();
    let mean = k(0.0, 2.0 * s1 * s1) + k(0.0, 2.0 * s2 * s2) - 2.0 * k(m1 - m2, s1 * s1 + s2 * s2);
    let (one, other) = ((m1 as f32, s1 as f32), (m2 as f32, s2 as f32));
    let cases: [(Measure, (f32, f32), f64); 4] =
        [(DISTANCE, other, apart), (GAUSSIAN, other, mean), (DISTANCE, one, 0.0), (GAUSSIAN, one, 0.0)];
    for (case, (measure, second, truth)) in cases.into_iter().enumerate() {
        let all: Vec<Estimate> = (0..400)
            .map(|seed| {
                let mut rng = ChainRng::new(seed);
                let (a, b) = (normals(1, 40, one, &mut rng), normals(1, 60, second, &mut rng));
                measure(a.as_view(), b.as_view())
            })
            .collect();
        let found = Estimate::of(&all.iter().map(|e| e.value).collect::<Vec<_>>());
        assert!((found.value - truth).abs() < 4.5 * found.standard_error, "{case}: {found:?} instead of {truth}");
        let said = (all.iter().map(|e| e.standard_error.powi(2)).sum::<f64>() / 400.0).sqrt();
        let scatter = found.standard_error * 20.0;
        // A deviation of 400 numbers is known within 3.5 %; four times that, and the jackknife's own upward bias of some 1/40.
        let most = if truth == 0.0 { 3.0 } else { 1.2 };
        assert!((0.86..most).contains(&(said / scatter)), "{case}: {said} for {scatter}");
    }
}
#[test]
fn bits_that_differ_are_told_apart() {
    let mut rng = ChainRng::new(3);
    let [a, same, other] = [0.3, 0.3, 0.4].map(|p| bits(50, 300, p, &mut rng));
    for measure in [DISTANCE, HAMMING] {
        let (equal, apart) = (measure(a.as_view(), same.as_view()), measure(a.as_view(), other.as_view()));
        assert!(equal.value.abs() < 4.0 * equal.standard_error && apart.value > 8.0 * apart.standard_error);
    }
    let width = |x: &Mat, y: &Mat| match Similarity::median(x.as_view(), y.as_view()).unwrap() {
        Similarity::Gaussian { width } => width,
        Similarity::Hamming => f64::NAN,
    };
    // Two rows of bits differ with probability 2p(1-p) = 0.42: 21 of 50, whose deviation is 3.5.
    assert!((width(&a, &same).powi(2) - 21.0).abs() <= 1.0);
    let many = Mat::from_fn(1, 3000, |_, j| j as f32);
    assert!((width(&many, &many) - 0.29 * 3000.0).abs() < 30.0); // 1 - 1/√2 of the whole
}
#[test]
fn discrepancies_have_the_same_bits_for_any_threads() {
    let mut rng = ChainRng::new(5);
    let (a, b) = (normals(30, 201, (0.0, 1.0), &mut rng), normals(30, 77, (0.1, 1.0), &mut rng));
    let of = || {
        [DISTANCE, GAUSSIAN]
            .map(|f| f(a.as_view(), b.as_view()))
            .map(|e| (e.value.to_bits(), e.standard_error.to_bits()))
    };
    laws::threads("discrepancies", of).unwrap_or_else(|broken| panic!("{broken}"));
}
#[test]
fn sets_that_cannot_be_compared_are_refused() {
    let (a, mut broken) = (Mat::zeros(3, 5), Mat::zeros(3, 5));
    broken[(1, 4)] = f32::NAN;
    for b in [&Mat::zeros(2, 5), &Mat::zeros(3, 2), &Mat::zeros(3, 0), &broken] {
        assert!(
            energy_distance(a.as_view(), b.as_view()).is_err() && energy_distance(b.as_view(), a.as_view()).is_err()
        );
        assert!(Similarity::median(a.as_view(), b.as_view()).is_err());
    }
    for width in [0.0, -1.0, f64::NAN] {
        assert!(mmd(a.as_view(), a.as_view(), Similarity::Gaussian { width }).is_err());
    }
    assert!(Similarity::median(a.as_view(), a.as_view()).is_err());
    assert_eq!(energy_distance(a.as_view(), a.as_view()).unwrap().value, 0.0);
    assert!(mmd(Mat::zeros(0, 3).as_view(), Mat::zeros(0, 3).as_view(), Similarity::Hamming).is_ok());
}

/// Classes drawn from what is predicted are calibrated, up to the bias that a bin of n samples has; too much confidence is told.
#[test]
fn calibration_tells_honest_probabilities_from_others() {
    let (n, mut rng) = (40_000, ChainRng::new(9));
    let honest = Mat::from_columns(
        &(0..n)
            .map(|_| {
                let e = exponentials(&mut rng);
                &e / e.sum()
            })
            .collect::<Vec<_>>(),
    );
    let labels: Vec<usize> = honest
        .column_iter()
        .map(|p| {
            let mut u = rng.random::<f32>();
            p.iter()
                .position(|p| {
                    u -= p;
                    u < 0.0
                })
                .unwrap_or(2)
        })
        .collect();
    let told = calibration(honest.as_view(), &labels, 15).unwrap();
    // Of 15 bins, each is off by √(2 p(1-p) / π n_b): less than 0.4 √(15 / n) on average.
    assert!(told.error < 0.4 * (15.0 / n as f64).sqrt() * 1.5, "{}", told.error);
    assert_eq!(told.bins.iter().map(|b| b.samples).sum::<usize>(), n);
    for (k, bin) in told.bins.iter().enumerate().filter(|(_, b)| b.samples > 0) {
        assert!(bin.confidence > k as f64 / 15.0 && bin.confidence <= (k + 1) as f64 / 15.0 + 1e-6);
        let deviation = (0.25 / bin.samples as f64).sqrt();
        assert!((bin.accuracy - bin.confidence).abs() < 4.5 * deviation, "{bin:?}");
    }
    let squared = honest.map(|p| p.powi(4));
    let sure = Mat::from_fn(3, n, |i, j| squared[(i, j)] / squared.column(j).sum());
    let told = calibration(sure.as_view(), &labels, 15).unwrap();
    let confidence = sure.column_iter().map(|p| f64::from(p.max())).sum::<f64>() / n as f64;
    assert!((told.error - (confidence - told.accuracy)).abs() < 0.01 && told.error > 0.1, "{told:?}");
}
fn exponentials(rng: &mut ChainRng) -> harmonium::nalgebra::DVector<f32> {
    harmonium::nalgebra::DVector::from_fn(3, |_, _| -rng.random_range(f32::MIN_POSITIVE..1.0).ln())
}
#[test]
fn predictions_that_are_none_are_refused() {
    let p = Mat::from_element(2, 3, 0.5);
    let with = |value: f32| {
        let mut p = p.clone();
        p[(0, 1)] = value;
        p
    };
    let told = calibration(p.as_view(), &[0, 1, 0], 2).unwrap();
    assert_eq!((told.bins[0].samples, told.bins[1].samples), (3, 0)); // the upper end belongs to a bin
    assert!((told.accuracy - 2.0 / 3.0).abs() < 1e-12 && (told.error - 1.0 / 6.0).abs() < 1e-12);
    for wrong in [with(f32::NAN), with(-0.5), with(1.5), with(0.4)] {
        assert!(calibration(wrong.as_view(), &[0, 1, 0], 2).is_err());
    }
    assert!(calibration(p.as_view(), &[0, 1], 2).is_err() && calibration(p.as_view(), &[0, 1, 2], 2).is_err());
    assert!(calibration(p.as_view(), &[0, 1, 0], 0).is_err() && calibration(p.columns(0, 0), &[], 2).is_err());
}
