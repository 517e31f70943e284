//! Densities on a grid against closed forms.

use harmonium::infer::Densities;
use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::units::{Bernoulli, Gaussian, Real};
use harmonium::{Energy, Error, Learn, Mat, Train};
use std::f64::consts::TAU;
use std::sync::Arc;

/// The 95th percentile of the standard normal distribution, and the 75th.
const Z95: f64 = 1.644_853_626_951_472_7;
const Z75: f64 = 0.674_489_750_196_081_7;

fn normal(y: f64, mean: f64, deviation: f64) -> f64 {
    (-0.5 * ((y - mean) / deviation).powi(2)).exp() / (deviation * TAU.sqrt())
}
fn near(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b} within {tolerance}");
}

/// `E = ½y² - by + cu`: the normal distribution around b, `log Z = ½ log 2π + ½b² - cu`, by way of a network without hidden layers.
#[test]
fn a_normal_distribution_has_its_moments_quantiles_and_normaliser() {
    let mut model = NeuralEnergy::new(1, &[(1, Arc::new(Gaussian))], &[]);
    model.update(&mut |p| {
        p.slice_mut(0).copy_from_slice(&[0.5, 0.0]);
        p.slice_mut(2)[0] = 0.75;
    });
    let inputs = Mat::from_row_slice(1, 3, &[-1.0, 0.0, 2.0]);
    let p = Densities::of(&model, inputs.as_view(), -8.0..=9.0, 3401).unwrap();
    assert_eq!((p.n_inputs(), p.points().len()), (3, 3401));
    for (j, u) in [-1.0, 0.0, 2.0].into_iter().enumerate() {
        near(p.log_partition(j), 0.5 * TAU.ln() + 0.5 * 0.75 * 0.75 - 0.5 * u, 1e-6);
        near(p.mean(j), 0.75, 1e-6);
        // Straight lines between points that are 0.005 apart: relative errors of some 1e-6.
        for (share, z) in [(0.05, -Z95), (0.25, -Z75), (0.5, 0.0), (0.75, Z75), (0.95, Z95)] {
            near(p.quantile(j, share).unwrap(), 0.75 + z, 1e-5);
        }
        let [(from, to)] = p.highest(j, 0.9).unwrap()[..] else { panic!("one interval") };
        near(from, 0.75 - Z95, 2e-5);
        near(to, 0.75 + Z95, 2e-5);
        near(p.at(j, 1.0), normal(1.0, 0.75, 1.0), 1e-5);
        near(p.denser(j, 0.75 + Z75), 0.5, 1e-5);
        near(p.denser(j, 0.75 - Z95), 0.9, 1e-5);
        assert_eq!((p.at(j, -8.1), p.at(j, 9.1)), (0.0, 0.0));
        near(p.denser(j, 9.1), 1.0, 1e-12);
    }
}

/// Two peaks far apart, of unequal weight and width: each has its own interval, both cut at the same density.
#[test]
fn two_peaks_have_two_intervals_of_one_level() {
    let mixture = |y: f64| 0.7 * normal(y, -2.0, 0.3) + 0.3 * normal(y, 2.0, 0.5);
    let p = Densities::from_log(1, -5.0..=6.0, 5501, |_, y| mixture(y).ln() + 3.0).unwrap();
    near(p.log_partition(0), 3.0, 1e-9);
    near(p.mean(0), -0.8, 1e-9);
    let region = p.highest(0, 0.9).unwrap();
    assert_eq!(region.len(), 2);
    let level = mixture(region[0].0);
    let mut mass = 0.0;
    for (from, to) in region {
        near(mixture(from), level, 1e-4);
        near(mixture(to), level, 1e-4);
        let step = (to - from) / 4000.0; // Simpson's rule would do with less
        mass += (0..4000).map(|k| step * mixture(from + (k as f64 + 0.5) * step)).sum::<f64>();
    }
    near(mass, 0.9, 1e-5);
    near(p.above(0, level), 0.9, 1e-4);
}

/// A density that is a straight line is known on the grid without error: `p = 2y` within 0..1.
#[test]
fn straight_lines_are_exact() {
    let p = Densities::from_log(1, 0.0..=1.0, 11, |_, y| y.ln()).unwrap();
    near(p.log_partition(0), 0.5f64.ln(), 1e-12);
    for share in [0.001f64, 0.1, 0.36, 0.64, 0.999] {
        near(p.quantile(0, share).unwrap(), share.sqrt(), 1e-12);
        let [(from, to)] = p.highest(0, share).unwrap()[..] else { panic!("one interval") };
        near(from, (1.0 - share).sqrt(), 1e-9);
        assert_eq!(to, 1.0);
        near(p.denser(0, share), 1.0 - share * share, 1e-12);
    }
    let flat = Densities::from_log(2, -1.0..=3.0, 5, |j, _| j as f64).unwrap();
    near(flat.quantile(1, 0.3).unwrap(), 0.2, 1e-12);
    assert_eq!(flat.highest(1, 0.3).unwrap(), [(-1.0, 3.0)]); // all numbers are equally likely: none is left out
}

#[test]
fn divergences_are_those_of_normal_distributions() {
    let of = |mean: f64, deviation: f64| {
        Densities::from_log(1, -9.0..=9.0, 1801, |_, y| -0.5 * ((y - mean) / deviation).powi(2)).unwrap()
    };
    let (p, q) = (of(0.5, 0.6), of(-0.25, 0.9));
    let closed = (0.9f64 / 0.6).ln() + (0.6 * 0.6 + 0.75 * 0.75) / (2.0 * 0.9 * 0.9) - 0.5;
    near(p.divergence(0, &q).unwrap(), closed, 1e-9);
    assert_eq!(p.divergence(0, &p).unwrap(), 0.0);
    // Where a density is below the smallest number, its logarithm is not: exp(-½·1600).
    let narrow = of(1.0, 0.2);
    assert_eq!(narrow.density(0)[0], 0.0);
    near(p.divergence(0, &narrow).unwrap(), (0.2f64 / 0.6).ln() + (0.36 + 0.25) / 0.08 - 0.5, 1e-8);
    let other = Densities::from_log(1, -9.0..=9.0, 901, |_, _| 0.0).unwrap();
    assert!(matches!(p.divergence(0, &other), Err(Error::Shape { .. })));
    let cut = Densities::from_log(1, -9.0..=9.0, 1801, |_, y| if y < 0.0 { 0.0 } else { f64::NEG_INFINITY }).unwrap();
    assert_eq!(p.divergence(0, &cut).unwrap(), f64::INFINITY);
}

/// Whole grids of many inputs, cut into pieces, are those of one input at a time.
#[test]
fn inputs_do_not_know_of_each_other() {
    let mut model = NeuralEnergy::new(2, &[(1, Arc::new(Real))], &[(5, Activation::Silu)]);
    model.initialise(&[], 3).unwrap();
    let inputs = Mat::from_fn(2, 70, |i, j| ((3 * i + 5 * j) as f32).sin());
    let all = Densities::of(&model, inputs.as_view(), -2.0..=2.0, 401).unwrap();
    for j in [0, 1, 40, 41, 69] {
        let one = Densities::of(&model, inputs.columns(j, 1), -2.0..=2.0, 401).unwrap();
        assert_eq!((one.density(0), one.log_partition(0)), (all.density(j), all.log_partition(j)));
        let mut energy = [0.0];
        let y = all.points()[123];
        model.energy(Mat::from_column_slice(3, 1, &[inputs[(0, j)], inputs[(1, j)], y as f32]).as_view(), &mut energy);
        near(all.density(j)[123].ln(), -energy[0] - all.log_partition(j), 1e-9);
    }
}

#[test]
fn what_has_no_density_on_a_grid_is_refused() {
    let model = NeuralEnergy::new(1, &[(1, Arc::new(Gaussian))], &[]);
    let one = Mat::zeros(1, 1);
    let of = |m: &NeuralEnergy, u: &Mat, low: f64, points| Densities::of(m, u.as_view(), low..=1.0, points);
    assert!(of(&model, &one, 0.0, 2).is_ok());
    assert!(matches!(of(&model, &Mat::zeros(2, 1), 0.0, 9), Err(Error::Shape { .. })));
    for (low, points) in [(1.0, 9), (f64::NAN, 9), (f64::NEG_INFINITY, 9), (0.0, 1)] {
        assert!(matches!(of(&model, &one, low, points), Err(Error::Value { .. })));
    }
    let two = NeuralEnergy::new(0, &[(2, Arc::new(Gaussian))], &[]);
    assert!(matches!(of(&two, &Mat::zeros(0, 1), 0.0, 9), Err(Error::Shape { .. })));
    let bit = NeuralEnergy::new(1, &[(1, Arc::new(Bernoulli))], &[]);
    assert!(matches!(of(&bit, &one, 0.0, 9), Err(Error::Intractable { .. })));
}
#[test]
fn densities_that_are_no_numbers_are_refused() {
    let (mut strange, one) = (NeuralEnergy::new(1, &[(1, Arc::new(Gaussian))], &[]), Mat::zeros(1, 1));
    let of = |m: &NeuralEnergy| Densities::of(m, one.as_view(), 0.0..=1.0, 9);
    let p = of(&strange).unwrap();
    strange.update(&mut |p| p.slice_mut(0)[0] = f32::NAN);
    assert!(strange.params().as_slice()[0].is_nan());
    assert!(matches!(of(&strange), Err(Error::Value { .. })));
    for log_p in [f64::NEG_INFINITY, f64::INFINITY, f64::NAN] {
        let all = Densities::from_log(1, 0.0..=1.0, 9, |_, _| log_p);
        assert!(matches!(all, Err(Error::Value { .. })));
    }
    for share in [0.0, 1.0, f64::NAN, -0.5] {
        assert!(p.highest(0, share).is_err() && p.quantile(0, share).is_err());
    }
}
