//! The energy score: a slow reference, the closed form of a Gaussian, and propriety over discrete distributions. And what judges draws
//! alone: BrierLM, and lower temperatures.

use harmonium::eval::{Estimate, brier_lm};
use harmonium::infer::{sharpened, sharpened_exactly};
use harmonium::objectives::{EnergyScore, energy_score};
use harmonium::{ChainRng, Mat, MatRef, Result};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

#[track_caller]
fn near(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got} instead of {expected} ± {tolerance:.1e}");
}
fn normals(rows: usize, columns: usize, rng: &mut ChainRng) -> Mat {
    Mat::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}
/// Straight from the formula, in double precision, all pairs of draws included: those of a draw with itself are zero.
fn slow(score: EnergyScore, x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    let far = |a: &[f64], b: &[f64]| {
        let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
        square.sqrt().powf(score.alpha)
    };
    let (n, m) = (x.len() as f64, y.len() as f64);
    let pulled: f64 = x.iter().flat_map(|x| y.iter().map(|y| far(x, y))).sum();
    let pushed: f64 = x.iter().flat_map(|a| x.iter().map(|b| far(a, b))).sum();
    2.0 * pulled / (n * m) - score.diversity * pushed / (n * (n - 1.0))
}
fn wide(x: MatRef<'_>) -> Vec<Vec<f64>> {
    x.column_iter().map(|c| c.iter().map(|v| f64::from(*v)).collect()).collect()
}

#[test]
fn loss_and_slopes_are_those_of_the_formula() {
    let mut rng = ChainRng::new(1);
    for (alpha, diversity, [d, n, m]) in [
        (1.0, 1.0, [3, 2, 1]),
        (0.5, 1.0, [1, 5, 4]),
        (1.5, 1.0, [20, 8, 10]),
        (1.0, 0.0, [2, 3, 3]),
        (1.2, 0.5, [9, 4, 1]),
    ] {
        let score = EnergyScore { alpha, diversity };
        let (x, y) = (normals(d, n, &mut rng), normals(d, m, &mut rng));
        let mut slopes = Mat::zeros(d, n);
        let loss = score.loss_and_grad(x.as_view(), y.as_view(), slopes.as_view_mut()).unwrap();
        assert_eq!(loss, score.loss(x.as_view(), y.as_view()).unwrap());
        let (mut at, y) = (wide(x.as_view()), wide(y.as_view()));
        near(loss, slow(score, &at, &y), 1e-12, "loss");
        for (j, i) in (0..n).flat_map(|j| (0..d).map(move |i| (j, i))) {
            let middle = at[j][i];
            let mut on = |h: f64| {
                at[j][i] = middle + h;
                slow(score, &at, &y)
            };
            let slope = (on(1e-5) - on(-1e-5)) / 2e-5;
            at[j][i] = middle;
            near(f64::from(slopes[(i, j)]), slope, 1e-6, "slope");
        }
    }
}
#[test]
fn points_that_coincide_have_finite_slopes() {
    let (x, y) = (Mat::zeros(4, 3), Mat::from_fn(4, 2, |i, j| if j == 0 { 0.0 } else { i as f32 }));
    for alpha in [0.5, 1.0, 1.9] {
        let score = EnergyScore { alpha, diversity: 1.0 };
        let mut slopes = Mat::from_element(4, 3, f32::NAN);
        score.loss_and_grad(x.as_view(), y.as_view(), slopes.as_view_mut()).unwrap();
        // Only the second target pulls: the three draws alike.
        let square = 14f64;
        for (i, j) in (0..4).flat_map(|i| (0..3).map(move |j| (i, j))) {
            let pull = -2.0 / 6.0 * alpha * square.powf(0.5 * alpha - 1.0) * i as f64;
            near(f64::from(slopes[(i, j)]), pull, 1e-7, "the pull of the other target");
        }
    }
}
/// However near: also where the power of distances that slopes have is more than a number can be.
#[test]
fn points_that_nearly_coincide_have_finite_slopes() {
    for (alpha, apart) in [(0.01, 1e-45f32), (0.5, 1e-38), (1.0, 1e-42), (1.9, 1e-45)] {
        let x = Mat::from_column_slice(2, 3, &[0.0, 0.0, apart, 0.0, 0.0, 1.0]);
        let mut slopes = Mat::from_element(2, 3, f32::NAN);
        let score = EnergyScore { alpha, diversity: 1.0 };
        score.loss_and_grad(x.as_view(), x.columns(0, 1).clone_owned().as_view(), slopes.as_view_mut()).unwrap();
        assert!(slopes.iter().all(|s| s.is_finite()), "{alpha}, {apart}: {slopes}");
    }
}
/// `E|x - y| = 2/√π` for standard Gaussian x and y.
#[test]
fn the_estimate_is_unbiased() {
    let mut rng = ChainRng::new(2);
    for (n, m) in [(2, 1), (3, 2), (8, 1)] {
        let one = |_| {
            let (x, y) = (normals(1, n, &mut rng), normals(1, m, &mut rng));
            energy_score(x.as_view(), y.as_view(), 1.0).unwrap()
        };
        let mean = Estimate::of(&(0..20_000).map(one).collect::<Vec<_>>());
        near(mean.value, 2.0 / std::f64::consts::PI.sqrt(), 4.5 * mean.standard_error, "mean loss");
    }
}

/// The expected loss of draws from `p` where the truth is `q`, over the same points, by enumeration: from two draws and one target.
fn expected(score: EnergyScore, points: &Mat, p: &[f64], q: &[f64]) -> f64 {
    let k = p.len();
    let mut sum = 0.0;
    for (a, b, t) in (0..k * k * k).map(|c| (c / (k * k), c / k % k, c % k)) {
        let (x, y) = (points.select_columns(&[a, b]), points.select_columns(&[t]));
        sum += p[a] * p[b] * q[t] * score.loss(x.as_view(), y.as_view()).unwrap();
    }
    sum
}
fn distribution(k: usize, rng: &mut ChainRng) -> Vec<f64> {
    let raw: Vec<f64> = (0..k).map(|_| -rng.random::<f64>().ln()).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|v| v / sum).collect()
}
#[test]
fn the_truth_has_the_least_expected_loss() {
    let mut rng = ChainRng::new(3);
    let mut better_if_improper = 0;
    for round in 0..60 {
        let (points, alpha) = (normals(2, 4, &mut rng), [0.3, 1.0, 1.7][round % 3]);
        let (p, q) = (distribution(4, &mut rng), distribution(4, &mut rng));
        let score = EnergyScore { alpha, diversity: 1.0 };
        let margin = expected(score, &points, &p, &q) - expected(score, &points, &q, &q);
        // The margin is a sum over pairs: -Σ (p - q)(p - q)' distance, above 0 for powers below 2.
        let apart =
            |a: usize, b: usize| (points.column(a).map(f64::from) - points.column(b).map(f64::from)).norm().powf(alpha);
        let pairs = (0..16).map(|c| (c / 4, c % 4));
        let exact: f64 = pairs.map(|(a, b)| -(p[a] - q[a]) * (p[b] - q[b]) * apart(a, b)).sum();
        near(margin, exact, 1e-10, "margin");
        assert!(margin > 1e-6, "{p:?} beats the truth {q:?} by {margin}");
        let improper = EnergyScore { alpha, diversity: 0.3 };
        better_if_improper +=
            u32::from(expected(improper, &points, &p, &q) < expected(improper, &points, &q, &q) - 1e-6);
    }
    assert!(better_if_improper > 5, "with less diversity the truth must not always be best");
}
#[test]
fn what_is_no_loss_is_refused() {
    let (two, one) = (Mat::zeros(2, 2), Mat::zeros(2, 1));
    let refused = |alpha: f64, x: &Mat, y: &Mat| energy_score(x.as_view(), y.as_view(), alpha).unwrap_err().to_string();
    for alpha in [0.0, 2.0, -1.0, f64::NAN] {
        assert!(refused(alpha, &two, &one).contains("power of distances"));
    }
    assert!(refused(1.0, &one, &one).contains("draws of an energy score"));
    assert!(refused(1.0, &two, &Mat::zeros(2, 0)).contains("targets of an energy score"));
    assert!(refused(1.0, &two, &Mat::zeros(3, 1)).contains("rows of the targets"));
    assert!(refused(1.0, &two, &Mat::from_element(2, 1, f32::NAN)).contains("finite"));
}

/// A chain of three states; the probability of what follows a state, by enumeration.
struct Chain([[f64; 3]; 3]);
impl Chain {
    fn draw(&self, mut state: usize, n: usize, rng: &mut ChainRng, out: &mut Vec<u32>) {
        for _ in 0..n {
            let mut at: f64 = rng.random();
            state = self.0[state]
                .iter()
                .position(|p| {
                    at -= p;
                    at < 0.0
                })
                .unwrap_or(2);
            out.push(state as u32);
        }
    }
    fn probability(&self, mut state: usize, next: usize, n: usize) -> f64 {
        let one = |k: u32| {
            let to = next / 3usize.pow(k) % 3;
            let p = self.0[state][to];
            state = to;
            p
        };
        (0..n as u32).map(one).product()
    }
}
/// The mean of the estimate against `Σ q (2p) - Σ p²`, of a model that is not the truth.
#[test]
fn brier_scores_are_unbiased() {
    let truth = Chain([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]);
    let model = Chain([[0.5, 0.25, 0.25], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6]]);
    let (mut rng, contexts) = (ChainRng::new(4), 60_000);
    let (mut text, mut draws) = (vec![], [vec![], vec![]]);
    for c in 0..contexts {
        truth.draw(c % 3, 4, &mut rng, &mut text);
        draws.iter_mut().for_each(|d| model.draw(c % 3, 4, &mut rng, d));
    }
    let [a, b] = &draws;
    let score = brier_lm(&text, [a, b], 4).unwrap();
    let mut product = 1.0;
    for n in 1..=4 {
        let one = |state: usize| {
            let each = (0..3usize.pow(n as u32)).map(|next| {
                let (p, q) = (model.probability(state, next, n), truth.probability(state, next, n));
                2.0 * q * p - p * p
            });
            each.sum::<f64>()
        };
        let exact = (0..3).map(one).sum::<f64>() / 3.0;
        let got = score.by_length[n - 1];
        near(got.value, exact, 4.5 * got.standard_error, &format!("{n} tokens"));
        assert!(got.standard_error < 0.006);
        product *= exact;
    }
    near(score.score.value, 100.0 * product.powf(0.25), 4.5 * score.score.standard_error, "BrierLM");
    // The jackknife beside the spread of twenty parts of the data.
    let part = |k: usize| {
        let own = k * 12_000..(k + 1) * 12_000;
        brier_lm(&text[own.clone()], [&a[own.clone()], &b[own]], 4).unwrap().score.value
    };
    let parts = Estimate::of(&(0..20).map(part).collect::<Vec<_>>());
    // The deviation of twenty values is known to 16 %.
    let ratio = score.score.standard_error / parts.standard_error;
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
}
#[test]
fn brier_scores_refuse_what_does_not_fit() {
    let refused = |t: &[u32], a: &[u32], n: usize| brier_lm(t, [a, t], n).unwrap_err().to_string();
    assert!(refused(&[1, 1], &[1, 1], usize::MAX).contains("at least 2"));
    assert!(refused(&[1, 2], &[1, 2], 0).contains("contexts of BrierLM"));
    assert!(refused(&[1, 2], &[1, 2], 2).contains("contexts of BrierLM"));
    assert!(refused(&[1, 2, 3], &[1, 2], 1).contains("tokens of continuations"));
    assert!(refused(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5], 2).contains("tokens of continuations"));
    // Never right, and always alike: below zero.
    let none = brier_lm(&[1, 1], [&[2, 2], &[2, 2]], 1).unwrap();
    assert_eq!((none.by_length[0].value, none.score.value), (-1.0, 0.0));
}

const P: [f64; 4] = [0.5, 0.3, 0.15, 0.05];
fn draw(rng: &mut ChainRng) -> usize {
    let mut at: f64 = rng.random();
    P.iter()
        .position(|p| {
            at -= p;
            at < 0.0
        })
        .unwrap_or(3)
}
#[track_caller]
fn frequencies(n: i32, tolerance: f64, rounds: usize, mut one: impl FnMut() -> usize) {
    let mut counts = [0.0; 4];
    (0..rounds).for_each(|_| counts[one()] += 1.0 / rounds as f64);
    let sum: f64 = P.iter().map(|p| p.powi(n)).sum();
    for (c, p) in counts.iter().zip(P) {
        let p = p.powi(n) / sum;
        near(*c, p, tolerance + 4.5 * (p * (1.0 - p) / rounds as f64).sqrt(), "frequency");
    }
}
#[test]
fn lower_temperatures_are_powers_of_the_distribution() {
    let mut rng = ChainRng::new(5);
    for n in 1..=3 {
        let (mut own, mut choose) = (ChainRng::new(6), ChainRng::new(7));
        frequencies(n, 0.0, 20_000, || sharpened_exactly(|| Ok(draw(&mut own)), n as usize, 10_000).unwrap().unwrap());
        // A ratio of means is no mean of ratios: with 400 draws the bias is some thousandths at most.
        frequencies(n, 0.004, 20_000, || {
            let draws: Vec<usize> = (0..400).map(|_| draw(&mut rng)).collect();
            draws[sharpened(&draws, n as usize, &mut choose).unwrap()]
        });
    }
}
#[test]
fn temperatures_fall_back_and_refuse() {
    let mut rng = ChainRng::new(8);
    // No value is there three times, one is twice; and then none twice.
    assert!((0..50).all(|_| [1, 3].contains(&sharpened(&[1, 2, 3, 2], 3, &mut rng).unwrap())));
    assert!((0..50).map(|_| sharpened(&[1, 2, 3], 9, &mut rng).unwrap()).any(|k| k == 2));
    assert!(sharpened::<u8>(&[], 1, &mut rng).is_err() && sharpened(&[1], 0, &mut rng).is_err());
    assert!(sharpened_exactly(|| Ok(1), 0, 5).is_err());
    // Sets of 1,000 out of 2,000 are more than a number can be; out of 1,999, half as many.
    let many: Vec<bool> = (0..3999).map(|i| i < 2000).collect();
    let first = (0..900).filter(|_| many[sharpened(&many, 1000, &mut rng).unwrap()]).count();
    assert!((first as f64 - 600.0).abs() < 4.5 * 200f64.sqrt(), "{first} of 900");
    let mut count = 0;
    let never = sharpened_exactly(
        || -> Result<u32> {
            count += 1;
            Ok(count)
        },
        2,
        10,
    );
    assert_eq!((never.unwrap(), count), (None, 20));
}
