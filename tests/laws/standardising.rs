//! Law 18: the standardised gradient is the gradient in the coordinates of the energy of `(x-μ)/s` and `(y-λ)/t`, carried back:
//! found here by differences alone, without the formula that the library uses.

use crate::cases::{self, close, name};
use crate::kinds;
use crate::reference::{Oracle, Side::Hidden, wide};
use harmonium::eval::{LogPartition, exact_log_partition, log_likelihood};
use harmonium::models::Rbm;
use harmonium::objectives::{Centring, Contrastive, Coordinates, Objective, Sparsity, Standardising};
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Batch, ChainRng, Chains, Collapsed, Energy, Learn, Mat, Params, Resume, Saved, States, Train, Unit};
use rand_distr::{Distribution, StandardNormal};
use std::ops::RangeInclusive;
use std::sync::Arc;

const SLIDE: f32 = 0.3;
const FLOOR: f64 = 0.2f32 as f64;

/// Moments of the units, hidden then visible as the parameters have them: slots 2 and 1.
#[derive(Clone)]
struct Units {
    mean: [Vec<f64>; 2],
    square: [Vec<f64>; 2],
    /// Variances at field 0.
    most: [Vec<f64>; 2],
}
/// Means and variances of a unit's rows given its field: sums over its values, or Simpson's rule.
fn moments(unit: &dyn Unit, theta: &[f32], field: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let values: Vec<Vec<f32>> = unit.support().unwrap_or_else(|| {
        let (start, end) = (unit.range().start().max(-30.0), unit.range().end().min(30.0));
        (0..=8_000).map(|k| vec![start + (end - start) * k as f32 / 8_000.0]).collect()
    });
    let share = |k: usize| match unit.support() {
        Some(_) => 1.0,
        None if k == 0 || k == 8_000 => 1.0,
        None => [2.0, 4.0][k % 2],
    };
    let log = |x: &Vec<f32>| x.iter().zip(field).map(|(x, f)| *x as f64 * f).sum::<f64>() - unit.base_energy(theta, x);
    let most = values.iter().map(log).fold(f64::NEG_INFINITY, f64::max);
    let p: Vec<f64> = values.iter().enumerate().map(|(k, x)| share(k) * (log(x) - most).exp()).collect();
    let total: f64 = p.iter().sum();
    let sum = |f: &dyn Fn(f64) -> f64, row: usize| {
        values.iter().zip(&p).map(|(x, p)| p * f(x[row] as f64)).sum::<f64>() / total
    };
    let mean: Vec<f64> = (0..field.len()).map(|row| sum(&|x| x, row)).collect();
    let variance = (0..field.len()).map(|row| sum(&|x| (x - mean[row]).powi(2), row)).collect();
    (mean, variance)
}
/// A side given fields of all its rows.
fn side(rbm: &Rbm, block: usize, field: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (unit, theta) = (&rbm.blocks()[block].unit, rbm.theta(block, &[]));
    let one = |(k, field): (usize, &[f64])| {
        let own = unit.n_theta() * unit.width();
        moments(&**unit, &theta[k * own..(k + 1) * own], field)
    };
    let all: Vec<_> = field.chunks(unit.width()).enumerate().map(one).collect();
    (all.iter().flat_map(|m| m.0.clone()).collect(), all.iter().flat_map(|m| m.1.clone()).collect())
}
impl Units {
    fn of_data(rbm: &Rbm, v: &Mat) -> Self {
        let (d, h, n) = (rbm.n_visible(), rbm.n_hidden(), v.ncols() as f64);
        let mut units = Self {
            mean: [vec![0.0; h], vec![0.0; d]],
            square: [vec![0.0; h], vec![0.0; d]],
            most: [side(rbm, Rbm::HIDDEN, &vec![0.0; h]).1, side(rbm, Rbm::VISIBLE, &vec![0.0; d]).1],
        };
        for j in 0..v.ncols() {
            let x = wide(v, j);
            let into = |k: usize| rbm.weights().row(k).iter().zip(&x).map(|(&w, x)| w as f64 * x).sum::<f64>();
            let field: Vec<f64> = (0..h).map(|k| rbm.hidden_bias()[k] as f64 + into(k)).collect();
            let (mean, variance) = side(rbm, Rbm::HIDDEN, &field);
            for k in 0..h {
                units.mean[0][k] += mean[k] / n;
                units.square[0][k] += (mean[k].powi(2) + variance[k]) / n;
            }
            for (i, x) in x.iter().enumerate() {
                units.mean[1][i] += x / n;
                units.square[1][i] += x * x / n;
            }
        }
        units
    }
    /// Moments slide, and so the variance is that of a mixture.
    fn slide(&mut self, by: f64, to: &Self) {
        for s in 0..2 {
            self.mean[s].iter_mut().zip(&to.mean[s]).for_each(|(a, b)| *a += by * (b - *a));
            self.square[s].iter_mut().zip(&to.square[s]).for_each(|(a, b)| *a += by * (b - *a));
        }
    }
    fn variance(&self, side: usize, k: usize) -> f64 {
        (self.square[side][k] - self.mean[side][k].powi(2)).max(FLOOR * self.most[side][k])
    }
    fn deviation(&self, side: usize, k: usize) -> f64 {
        self.variance(side, k).sqrt()
    }
    fn n(&self) -> (usize, usize) {
        (self.mean[1].len(), self.mean[0].len())
    }
    /// Parameters of the plain energy from those of the standardised one: `(ŷ - …)` multiplied out. What comes behind weights and
    /// biases stays.
    fn plain(&self, hat: &[f64]) -> Vec<f64> {
        let ((d, h), mut out) = (self.n(), hat.to_vec());
        (0..d).for_each(|i| out[d * h + i] /= self.deviation(1, i));
        (0..h).for_each(|j| out[d * h + d + j] /= self.deviation(0, j));
        for (i, j) in (0..d).flat_map(|i| (0..h).map(move |j| (i, j))) {
            let w = hat[i * h + j] / (self.deviation(0, j) * self.deviation(1, i));
            out[i * h + j] = w;
            out[d * h + i] -= w * self.mean[0][j];
            out[d * h + d + j] -= w * self.mean[1][i];
        }
        out
    }
    /// The other way round.
    fn hat(&self, plain: &[f64]) -> Vec<f64> {
        let ((d, h), mut out) = (self.n(), plain.to_vec());
        for (i, j) in (0..d).flat_map(|i| (0..h).map(move |j| (i, j))) {
            let w = plain[i * h + j];
            out[d * h + i] += w * self.mean[0][j];
            out[d * h + d + j] += w * self.mean[1][i];
            out[i * h + j] = w * self.deviation(0, j) * self.deviation(1, i);
        }
        (0..d).for_each(|i| out[d * h + i] *= self.deviation(1, i));
        (0..h).for_each(|j| out[d * h + d + j] *= self.deviation(0, j));
        out
    }
    /// `J Jᵀ g`, with the columns of `J` as differences of [`Units::plain`], which is linear.
    fn carried(&self, g: &[f64]) -> Vec<f64> {
        let unit = |k: usize| (0..g.len()).map(|l| (l == k) as u8 as f64).collect::<Vec<f64>>();
        let mut out = vec![0.0; g.len()];
        for k in 0..g.len() {
            let column = self.plain(&unit(k));
            let slope: f64 = column.iter().zip(g).map(|(c, g)| c * g).sum();
            out.iter_mut().zip(&column).for_each(|(o, c)| *o += c * slope);
        }
        out
    }
}
/// Other parameters.
fn with(oracle: &Oracle, p: Vec<f64>) -> Oracle {
    let mut other = oracle.clone();
    other.p = p;
    other
}
fn gradient(objective: &mut dyn Objective<Rbm>, rbm: &Rbm, v: &Mat, step: u64) -> Params {
    let (mut grad, weights) = (rbm.params().zeros_like(), vec![2.0; v.ncols()]);
    grad.as_mut_slice().fill(f32::NAN);
    objective.gradient(rbm, &Batch { x: v.as_view(), weights: &weights, missing: None, step }, &mut grad).unwrap();
    grad
}
fn standardised() -> Coordinates {
    Coordinates::Standardised(Standardising::new(SLIDE))
}
/// The first entry that is off by more than rounding of single precision.
fn deviation(got: &[f32], expected: &[f64]) -> Option<String> {
    let scale = expected.iter().fold(1.0, |m: f64, e| m.max(e.abs()));
    let near = |(g, e): (&f32, &f64)| (*g as f64 - e).abs() <= 1e-5 * scale;
    let (k, (g, e)) = got.iter().zip(expected).enumerate().find(|(_, pair)| !near(*pair))?;
    Some(format!("entry {k}: {g} instead of {e}"))
}

/// Of the exact log-likelihood, by differences in standardised coordinates.
#[test]
fn the_standardised_gradient_is_the_gradient_in_standardised_coordinates() {
    for rbm in cases::all().into_iter().filter(|m| m.visible()[0].unit.support().is_some()) {
        let (oracle, x) = (Oracle::of(&rbm), cases::probes(&rbm, 17));
        let batches = [x.view((0, 0), (4, 10)).clone_owned(), x.view((0, 10), (4, 7)).clone_owned()];
        let mut exact = Contrastive::exact(&rbm).unwrap();
        exact.coordinates = standardised();
        let mut units = Units::of_data(&rbm, &batches[0]);
        for (step, v) in batches.iter().enumerate() {
            units.slide(if step == 0 { 1.0 } else { SLIDE as f64 }, &Units::of_data(&rbm, v));
            let at = |p: Vec<f64>| with(&oracle, p);
            let loss = |o: &Oracle| {
                let free = |k: usize| o.free_energy(Hidden, &wide(v, k));
                (0..v.ncols()).map(free).sum::<f64>() / v.ncols() as f64 + o.log_z()
            };
            let hat = at(units.hat(&oracle.p));
            let slope = hat.derivative(|o| loss(&at(units.plain(&o.p))));
            let expected = units.plain(&slope); // it is linear: the way of a step is that of a point
            let got = gradient(&mut exact, &rbm, v, step as u64);
            if let Some(off) = deviation(got.as_slice(), &expected) {
                panic!("{} batch {step}, {off}", name(&rbm));
            }
            let Coordinates::Standardised(s) = &exact.coordinates else { unreachable!() };
            for (slot, side) in [(2, 0), (1, 1)] {
                for (k, &variance) in s.variances(rbm.params(), slot).iter().enumerate() {
                    let expected = units.square[side][k] - units.mean[side][k].powi(2);
                    close(variance as f64, expected, 10.0, &format!("{} variance {k} of {slot}", name(&rbm)));
                }
            }
        }
    }
}

type Side = (Arc<dyn Unit>, usize);
/// Pairs of all kinds, real ones and ones of several rows included, with data that they can take; and sides of more rows than one
/// task takes.
fn every_pair() -> Vec<(Rbm, Mat)> {
    let mut all: Vec<Side> = kinds::kinds().to_vec();
    all.extend([(Arc::new(Spin) as Arc<dyn Unit>, 3), (Arc::new(Gaussian), 3), (Arc::new(LogPrecision), 3)]);
    let pairs = all.iter().flat_map(|v| all.iter().map(move |h| (v.clone(), h.clone())));
    let many: [Side; 2] = [(Arc::new(LogPrecision), 140), (Arc::new(Softmax { q: 5 }), 280)];
    let wide = many.map(|many| [(all[4].clone(), many.clone()), (many, all[4].clone())]).into_iter().flatten();
    let pair = |((visible, d), (hidden, h)): (Side, Side)| {
        let rbm = cases::strong((d, visible.clone()), (h, hidden), 3);
        let (mut v, mut rng) = (Mat::zeros(d, 18), ChainRng::new(1));
        let field: Vec<f32> = (0..d).map(|k| [0.3, -0.7, 1.0][k % 3]).collect();
        v.column_iter_mut().for_each(|mut x| {
            visible.sample(rbm.theta(Rbm::VISIBLE, &[]), &field, x.as_mut_slice(), &mut rng);
        });
        (rbm, v)
    };
    pairs.chain(wide).map(pair).collect()
}
#[test]
fn for_every_kind_it_is_the_plain_gradient_carried_there_and_back() {
    for (rbm, v) in every_pair() {
        let batches = [v.columns(0, 10).clone_owned(), v.columns(10, 8).clone_owned()];
        let (mut plain, mut other) = (Contrastive::cd(1, 7).plain(), Contrastive::cd(1, 7));
        other.coordinates = standardised();
        let mut units = Units::of_data(&rbm, &batches[0]);
        for (step, v) in batches.iter().enumerate() {
            units.slide(if step == 0 { 1.0 } else { SLIDE as f64 }, &Units::of_data(&rbm, v));
            let of = |objective: &mut dyn Objective<Rbm>| gradient(objective, &rbm, v, step as u64);
            let (plain, got) = (of(&mut plain), of(&mut other));
            let wide: Vec<f64> = plain.as_slice().iter().map(|&g| g as f64).collect();
            if let Some(off) = deviation(got.as_slice(), &units.carried(&wide)) {
                panic!("{}, batch {step}, {off}", name(&rbm));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    DeviationForVariance,
    NoWayBackForBiases,
    OneBiasForgotten,
    PlainBiases,
    VarianceOfMeansAlone,
    NoFloor,
}
/// The formula, in double precision, with a bug.
fn formula(units: &Units, g: &[f64], bug: Bug) -> Vec<f64> {
    let ((d, h), mut out) = (units.n(), g.to_vec());
    let gain = |side: usize, k: usize| match bug {
        Bug::DeviationForVariance => 1.0 / units.deviation(side, k),
        Bug::NoFloor => 1.0 / (units.square[side][k] - units.mean[side][k].powi(2)),
        _ => 1.0 / units.variance(side, k),
    };
    if bug != Bug::PlainBiases {
        (0..d).for_each(|i| out[d * h + i] *= gain(1, i));
        (0..h).for_each(|j| out[d * h + d + j] *= gain(0, j));
    }
    for (i, j) in (0..d).flat_map(|i| (0..h).map(move |j| (i, j))) {
        let mut w = g[i * h + j] - g[d * h + d + j] * units.mean[1][i];
        if bug != Bug::OneBiasForgotten {
            w -= units.mean[0][j] * g[d * h + i];
        }
        w *= gain(0, j) * gain(1, i);
        out[i * h + j] = w;
        if bug != Bug::NoWayBackForBiases {
            out[d * h + i] -= w * units.mean[0][j];
            out[d * h + d + j] -= w * units.mean[1][i];
        }
    }
    out
}
/// The differences tell wrong formulas from right ones.
#[test]
fn bugs_of_standardising_are_caught() {
    let rbm = cases::bernoulli(4, 3, 1);
    let mut v = cases::probes(&rbm, 17).rows(0, 4).clone_owned();
    v.row_mut(0).fill(1.0); // a unit that is constant
    let plain = gradient(&mut Contrastive::exact(&rbm).unwrap().plain(), &rbm, &v, 0);
    let g: Vec<f64> = plain.as_slice().iter().map(|&g| g as f64).collect();
    let units = Units::of_data(&rbm, &v);
    let mut means_alone = units.clone();
    means_alone.square[0] = (0..3)
        .map(|j| (0..17).map(|k| Oracle::of(&rbm).mean(Hidden, j, &wide(&v, k)).powi(2)).sum::<f64>() / 17.0)
        .collect();
    let bugs = [
        Bug::DeviationForVariance,
        Bug::NoWayBackForBiases,
        Bug::OneBiasForgotten,
        Bug::PlainBiases,
        Bug::VarianceOfMeansAlone,
        Bug::NoFloor,
        Bug::None,
    ];
    for bug in bugs {
        let moments = if bug == Bug::VarianceOfMeansAlone { &means_alone } else { &units };
        let got: Vec<f32> = formula(moments, &g, bug).iter().map(|&x| x as f32).collect();
        assert_eq!(deviation(&got, &units.carried(&g)).is_none(), bug == Bug::None, "bug {}", bug as u8);
    }
}

/// Offsets and variances of one's own, which then stay.
fn set(rbm: &Rbm, coordinates: Coordinates, offset: impl Fn(usize) -> f32, variance: f32) -> Coordinates {
    let n = rbm.params().as_slice().len();
    let (mut saved, mut coordinates) = (Saved::default(), coordinates);
    for name in ["centring", "standardising"] {
        saved.child_mut(name).put("offsets", &(0..n).map(&offset).collect::<Vec<f32>>());
        saved.child_mut(name).put("variances", &vec![variance; n]);
    }
    coordinates.load(&saved).unwrap();
    coordinates
}
#[test]
fn with_scales_of_one_it_is_the_centred_gradient_and_without_offsets_the_plain_one_to_the_bit() {
    for rbm in [cases::bernoulli(70, 37, 1), cases::strong((5, Arc::new(Gaussian)), (4, Arc::new(Spin)), 2)] {
        let v = cases::probes(&rbm, 20).rows(0, rbm.n_visible()).clone_owned();
        let with = |coordinates: Coordinates| {
            let mut cd = Contrastive::cd(1, 3);
            cd.coordinates = coordinates;
            gradient(&mut cd, &rbm, &v, 0)
        };
        let (one, centring) = (Standardising::new(0.0), Centring::new(0.0));
        let (one, centring) = (Coordinates::Standardised(one), Coordinates::Centred(centring));
        let offset = |k: usize| (k % 7) as f32 * 0.3 - 0.8;
        let centred = with(set(&rbm, centring, offset, 1.0));
        assert_eq!(with(set(&rbm, one.clone(), offset, 1.0)), centred);
        assert_eq!(with(set(&rbm, one.clone(), |_| 0.0, 1.0)), with(Coordinates::Plain));
        assert_ne!(with(set(&rbm, one, offset, 4.0)), centred);
    }
}
/// Offsets and scales move, the model does not.
#[test]
fn standardised_coordinates_name_the_same_distribution() {
    let rbm = cases::bernoulli(4, 3, 1);
    let (oracle, before) = (Oracle::of(&rbm), rbm.params().clone());
    let x = cases::probes(&rbm, 30).rows(0, 4).clone_owned();
    let mut exact = Contrastive::exact(&rbm).unwrap().standardised();
    for step in 0..3 {
        let v = x.columns(10 * step, 10).clone_owned();
        gradient(&mut exact, &rbm, &v, step as u64);
        assert_eq!((rbm.params(), rbm.version()), (&before, before.version()));
        let units = Units::of_data(&rbm, &v);
        let back = with(&oracle, units.plain(&units.hat(&oracle.p)));
        assert!(oracle.joint().1.iter().zip(back.joint().1).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
fn stepped(rbm: &Rbm, grad: &Params, rate: f32) -> Rbm {
    let mut moved = rbm.clone();
    moved.update(&mut |p| p.as_mut_slice().iter_mut().zip(grad.as_slice()).for_each(|(p, g)| *p -= rate * g));
    moved
}
/// The unit of measure does not matter: bits learn as spins do. With centred gradients they do not.
#[test]
fn bits_learn_as_spins_do() {
    let bits = cases::bernoulli(4, 3, 1);
    let spins = bits.converted(Spin, Spin).unwrap();
    let v = cases::probes(&bits, 20).rows(0, 4).clone_owned();
    let far = |coordinates: Coordinates| {
        let learned = |rbm: &Rbm, v: &Mat| {
            let mut exact = Contrastive::exact(rbm).unwrap();
            exact.coordinates = coordinates.clone();
            stepped(rbm, &gradient(&mut exact, rbm, v, 0), 0.1)
        };
        let (a, b) = (learned(&bits, &v), learned(&spins, &v.map(|x| 2.0 * x - 1.0)));
        let [p, q] = [a, b.converted(Bernoulli, Bernoulli).unwrap()].map(|rbm| Oracle::of(&rbm).joint().1);
        p.iter().zip(q).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
    };
    assert!(far(standardised()) < 1e-6, "{}", far(standardised()));
    assert!(far(Coordinates::default()) > 1e-3, "{}", far(Coordinates::default()));
}
/// Nor does it of real units whose precision is learned: small numbers are learned as fast.
#[test]
fn small_numbers_learn_as_large_ones_do() {
    let large = cases::strong((4, Arc::new(LogPrecision)), (3, Arc::new(Bernoulli)), 1);
    let (scale, [d, h]) = (1.0 / 64.0f32, [4, 3]);
    let mut small = large.clone();
    small.update(&mut |p| {
        p.slice_mut(0).iter_mut().for_each(|w| *w /= scale);
        p.slice_mut(1).iter_mut().for_each(|b| *b /= scale);
        p.slice_mut(4).iter_mut().for_each(|t| *t -= 2.0 * scale.ln());
    });
    let v = cases::probes(&large, 20).rows(0, d).clone_owned();
    let of = |rbm: &Rbm, v: &Mat| gradient(&mut Contrastive::cd(1, 5).standardised(), rbm, v, 0);
    let (a, b) = (of(&large, &v), of(&small, &(scale * &v)));
    for (k, (a, b)) in a.as_slice().iter().zip(b.as_slice()).enumerate() {
        let times = if k < d * h + d { scale } else { 1.0 };
        assert!((a - times * b).abs() < 1e-3 * (1.0 + a.abs()), "entry {k}: {a} and {}", times * b);
    }
}

/// A kind of a user's own that never varies.
#[derive(Clone, Copy, Debug)]
struct Constant;
impl Unit for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Some(vec![vec![1.0]])
    }
    fn range(&self) -> RangeInclusive<f32> {
        1.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        field.iter().map(|&f| f as f64).sum()
    }
    fn mean(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(1.0);
    }
    fn variance(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(0.0);
    }
    fn mode(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(1.0);
    }
    fn sample(&self, _: &[f32], _: &[f32], out: &mut [f32], _: &mut ChainRng) {
        out.fill(1.0);
    }
    fn field_of_mean(&self, _: &[f32], _: &[f32], out: &mut [f32]) {
        out.fill(0.0);
    }
}
/// Units that never vary, in the data or at all, leave everything finite.
#[test]
fn constant_units_are_standardised_to_finite_gradients() {
    let rbm = cases::strong((4, Arc::new(Bernoulli)), (3, Arc::new(Constant)), 1);
    for value in [0.0, 1.0] {
        let grad = gradient(&mut Contrastive::cd(1, 1).standardised(), &rbm, &Mat::from_element(4, 5, value), 0);
        assert!(grad.as_slice().iter().all(|g| g.is_finite()));
    }
    let rbm = cases::bernoulli(4, 3, 1);
    let mut cd = Contrastive::cd(1, 1).standardised();
    let grad = gradient(&mut cd, &rbm, &Mat::zeros(4, 5), 0);
    // The noise of a negative state, at most 1, times the gain of the floor.
    assert!(grad.slice(1).iter().all(|g| g.abs() <= 1.0 / (0.2 * 0.25) * (1.0 + 2.0 * 20.0)));
    for floor in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let mut standardising = Standardising::default();
        standardising.floor = floor;
        cd.coordinates = Coordinates::Standardised(standardising);
        let (v, mut grad) = (Mat::zeros(4, 5), rbm.params().zeros_like());
        let batch = Batch { x: v.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
        let told = cd.gradient(&rbm, &batch, &mut grad).unwrap_err().to_string();
        assert!(told.contains("the floor of standardising must be a number above 0"), "{told}");
    }
}
/// A model that does not tell whose its biases are is refused, and so are states of which nothing was inferred, and what was saved
/// of another model.
#[test]
fn what_cannot_be_standardised_is_refused() {
    let rbm = cases::bernoulli(4, 3, 1);
    let silent = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
    let told = Standardising::default().check(&silent).unwrap_err().to_string();
    assert!(told.contains("told of 7 biases, for standardised gradients, got 0"), "{told}");
    let told = Sparsity::new(0.1, 1.0).check(&silent).unwrap_err().to_string();
    assert!(told.contains("hidden units that have biases"), "{told}");
    let (mut standardising, mut states) = (Standardising::default(), States::zeros(7, 3));
    standardising.observe(rbm.params());
    let told = standardising.measure(&rbm, (&states, &[0.25; 3])).unwrap_err().to_string();
    assert!(told.contains("the means of block 0 must be known after `Learn::infer`"), "{told}");
    rbm.infer(&mut states);
    standardising.measure(&rbm, (&states, &[0.25; 3])).unwrap();
    assert!(standardising.check(&rbm).is_ok() && standardising.check(&cases::bernoulli(5, 3, 1)).is_err());
}

/// Real numbers of eight sizes from a tenth to ten, sums of three bits' patterns and noise.
fn of_many_sizes() -> Mat {
    let (mut x, mut rng) = (Mat::zeros(8, 1000), ChainRng::new(9));
    let mut normal = || StandardNormal.sample(&mut rng);
    let patterns = Mat::from_fn(8, 3, |_, _| 2.0 * normal());
    for mut column in x.column_iter_mut() {
        let bits = Mat::from_fn(3, 1, |_, _| (normal() < -0.5) as u8 as f32);
        let noisy = &patterns * bits + Mat::from_fn(8, 1, |_, _| normal());
        (0..8).for_each(|i| column[i] = noisy[i] * 10f32.powf(i as f32 / 3.5 - 1.0));
    }
    x
}
/// The exact log-likelihood after 100 updates at a rate, from the base rates and precisions of the data; `None` if it diverges.
fn learned(data: &Mat, coordinates: &Coordinates, rate: f32) -> Option<f64> {
    let (mut rbm, mean) = (Rbm::new((8, LogPrecision), (6, Bernoulli)), data.column_mean());
    rbm.initialise(mean.as_slice(), 0.0, 1).unwrap();
    rbm.update(&mut |p| {
        for i in 0..8 {
            let precision = 1.0 / data.row(i).variance();
            (p.slice_mut(1)[i], p.slice_mut(4)[i]) = (mean[i] * precision, precision.ln());
        }
    });
    let mut pcd = Contrastive::pcd(1, Chains::from_base(&rbm, &[rbm.visible_bias(), &[0.0; 6]].concat(), 100, 3));
    pcd.coordinates = coordinates.clone();
    let learning_rate = Schedule::Linear { from: rate, to: 0.0, steps: 100 };
    let fit = Fit { epochs: 10, batch: 100, learning_rate, ..Fit::default() };
    fit.run(&mut Run::new(&mut rbm, &mut pcd, &mut Sgd::default(), &mut Silent), data).ok()?;
    let log_z = LogPartition::exact(exact_log_partition(&rbm).ok()?);
    log_likelihood(&rbm, data, &log_z).ok().map(|l| l.value).filter(|l| l.is_finite())
}
/// Where units differ in size, the largest set the rate for all, unless the gradient is standardised: at its best rate, an order of
/// magnitude more is learned.
#[test]
fn units_of_many_sizes_learn_together() {
    let data = of_many_sizes();
    let best = [Coordinates::Plain, Coordinates::default(), standardised()].map(|coordinates| {
        let rates = (0..8).map(|k| 10f32.powf(-0.5 * k as f32));
        rates.filter_map(|rate| learned(&data, &coordinates, rate)).fold(f64::NEG_INFINITY, f64::max)
    });
    let start = learned(&data, &Coordinates::Plain, 0.0).unwrap();
    println!("from {start:.2} nats; the best of plain, centred, standardised: {best:.2?}");
    let gains = best.map(|b| b - start);
    assert!(gains[2] > 0.3 && gains[2] > 3.0 * gains[0] && gains[2] > 3.0 * gains[1], "{gains:?}");
}
