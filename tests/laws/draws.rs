//! Whether states are draws of the oracle: what the tests of clamping and of base-rate draws ask, which have no law of
//! the kit.

use crate::cases::{self, name};
use crate::reference::{Oracle, estimate, wide};
use harmonium::Mat;

const CHAINS: usize = 40_000;

/// How far states are from being draws of the oracle, in units of what Monte Carlo error allows: above one is wrong.
pub(crate) fn excess(oracle: &Oracle, x: &Mat) -> f64 {
    if oracle.is_discrete() { distance(&oracle.joint().0, &oracle.joint().1, x) } else { moments(oracle, x) }
}
/// Total variation distance over its allowance. The mean of the floor is exact; one sample moves the distance by at
/// most `1/n`, so by McDiarmid's inequality it exceeds its mean by `4/(2√n)` less often than once in 2900 times
/// (`e⁻⁸`).
pub(crate) fn distance(states: &[Vec<f64>], p: &[f64], x: &Mat) -> f64 {
    let n = x.ncols();
    let bits = |s: &[f64]| s.iter().enumerate().map(|(i, v)| ((*v > 0.5) as usize) << i).sum::<usize>();
    let mut counts = vec![0.0; states.len()];
    (0..n).for_each(|j| counts[bits(&wide(x, j))] += 1.0);
    let gap = |(s, p): (&Vec<f64>, &f64)| (counts[bits(s)] / n as f64 - p).abs();
    let tv = 0.5 * states.iter().zip(p).map(gap).sum::<f64>();
    let floor = 0.5 * p.iter().map(|&p| binomial_deviation(n, p)).sum::<f64>();
    tv / (floor + 2.0 / (n as f64).sqrt())
}
/// `E|X/n - p|` of a binomial `X`: `2 (m+1) C(n, m+1) p^{m+1} (1-p)^{n-m} / n` with `m = ⌊np⌋` (de Moivre 1730).
fn binomial_deviation(n: usize, p: f64) -> f64 {
    let m = (n as f64 * p).floor() as usize;
    let log_choose: f64 = (0..=m).map(|k| ((n - k) as f64 / (k + 1) as f64).ln()).sum();
    let log = log_choose + (m + 1) as f64 * p.ln() + (n - m) as f64 * (1.0 - p).ln();
    2.0 * (m + 1) as f64 * log.exp() / n as f64
}
/// The worst first or second moment, in multiples of 4.5 standard errors.
fn moments(oracle: &Oracle, x: &Mat) -> f64 {
    let (mean, second) = oracle.moments();
    let rows: Vec<Vec<f64>> = (0..x.nrows()).map(|i| x.row(i).iter().map(|&v| v as f64).collect()).collect();
    let z = |values: &[f64], expected: f64| {
        let (value, error) = estimate(values);
        (value - expected).abs() / (4.5 * error)
    };
    let mut worst = 0f64;
    for (i, a) in rows.iter().enumerate() {
        worst = worst.max(z(a, mean[i]));
        for (j, b) in rows.iter().enumerate().take(i + 1) {
            let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| a * b).collect();
            // The square of a spin is one, with no error at all.
            if (i, oracle.kind_of(i).values()) != (j, Some([-1.0, 1.0])) {
                worst = worst.max(z(&products, second[(i, j)]));
            }
        }
    }
    worst
}
#[test]
fn exact_draws_pass_the_check_themselves() {
    for rbm in cases::all() {
        let oracle = Oracle::of(&rbm);
        let e = excess(&oracle, &oracle.draw(CHAINS, 5));
        assert!(e < 1.0, "{}: {e}", name(&rbm));
    }
}
#[test]
fn the_check_knows_the_sides_apart() {
    let rbm = cases::bernoulli(3, 3, 4);
    let x = Oracle::of(&rbm).draw(CHAINS, 1);
    let swapped = Mat::from_fn(6, CHAINS, |i, j| x[((i + 3) % 6, j)]);
    assert!(excess(&Oracle::of(&rbm), &swapped) > 1.0);
}
