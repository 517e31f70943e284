//! Unit kinds that the oracle does not know, judged by the kit alone: of more than one row, of many values, real with a range
//! that ends; and one of a user's own, `Interval`.

use crate::cases;
use harmonium::eval::exact_log_partition;
use harmonium::io::{load_rbm, save_rbm};
use harmonium::models::{Kind, Rbm, zero_sum};
use harmonium::units::{
    Bernoulli, Binomial, Gaussian, LogPrecision, Real, Relu, Softmax, Spin, TruncatedExponential, label,
};
use harmonium::{ChainRng, Energy, Learn, Mat, Train, Unit, laws};
use rand::RngExt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// `x ∈ [0, 1]`, `U = 0`: `Γ = log (e^φ - 1)/φ` (Loaiza-Ganem and Cunningham, "The continuous Bernoulli", 2019).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval;

/// `Γ'`, by its series near zero.
fn mean(f: f64) -> f64 {
    if f.abs() < 1e-3 { 0.5 + f / 12.0 - f.powi(3) / 720.0 } else { -1.0 / (-f).exp_m1() - 1.0 / f }
}
fn map(field: &[f32], out: &mut [f32], f: impl Fn(f64) -> f64) {
    out.iter_mut().zip(field).for_each(|(o, &x)| *o = f(x as f64) as f32);
}
impl Unit for Interval {
    fn name(&self) -> &'static str {
        "interval"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        let one = |&f: &f32| match f.abs() as f64 {
            size if size < 1e-6 => 0.5 * f as f64,
            size => f.max(0.0) as f64 + (-(-size).exp_m1() / size).ln(),
        };
        field.iter().map(one).sum()
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, mean);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| match f.abs() < 1e-3 {
            true => 1.0 / 12.0 - f * f / 240.0,
            false => 1.0 / (f * f) - 0.25 / (0.5 * f).sinh().powi(2),
        });
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        map(field, out, |f| (f > 0.0) as u8 as f64);
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        for (o, &f) in out.iter_mut().zip(field) {
            let (u, down) = (rng.random::<f64>(), -f.abs() as f64);
            let x = if down == 0.0 { u } else { (u * down.exp_m1()).ln_1p() / down };
            *o = if f > 0.0 { 1.0 - x } else { x } as f32;
        }
    }
    fn field_of_mean(&self, _: &[f32], m: &[f32], out: &mut [f32]) {
        map(m, out, |m| {
            let (mut low, mut high) = (-1e4, 1e4);
            for _ in 0..80 {
                let middle = 0.5 * (low + high);
                *(if mean(middle) < m { &mut low } else { &mut high }) = middle;
            }
            low
        });
    }
}

/// Kinds that the oracle does not know, with how many rows of each.
pub(crate) fn kinds() -> [(Arc<dyn Unit>, usize); 5] {
    [
        (Arc::new(Softmax { q: 3 }), 6),
        (Arc::new(Binomial { n: 4 }), 3),
        (Arc::new(Relu), 3),
        (Arc::new(Interval), 3),
        (Arc::new(Bernoulli), 3),
    ]
}
#[test]
fn every_pair_keeps_all_laws() {
    for seed in 0..3 {
        for (visible, d) in kinds() {
            for (hidden, h) in kinds() {
                let mut rbm = cases::strong((d, visible.clone()), (h, hidden.clone()), seed + 1);
                let verdicts = laws::model(&mut rbm, seed);
                assert!(verdicts.len() >= 8);
                for verdict in verdicts {
                    verdict.unwrap_or_else(|broken| panic!("{}, seed {seed}: {broken}", cases::name(&rbm)));
                }
            }
        }
    }
}
/// Units on [0, 1] on either side, and against the kind of a user's own that is the same.
#[test]
fn grey_units_keep_all_laws() {
    let grey: Arc<dyn Unit> = Arc::new(TruncatedExponential);
    let others: [(usize, Arc<dyn Unit>); 3] = [(3, Arc::new(Bernoulli)), (3, grey.clone()), (2, Arc::new(Relu))];
    for (seed, (n, other)) in (1..).zip(others) {
        for mut rbm in [
            cases::strong((3, grey.clone()), (n, other.clone()), seed),
            cases::strong((n, other.clone()), (3, grey.clone()), seed),
        ] {
            for verdict in laws::model(&mut rbm, seed) {
                verdict.unwrap_or_else(|broken| panic!("{}, seed {seed}: {broken}", cases::name(&rbm)));
            }
        }
    }
    for f in [-300.0f32, -9.0, -0.3, -1e-3, 0.0, 1e-7, 0.02, 0.5, 12.0, 300.0] {
        let own = |unit: &dyn Unit| {
            let [mut mean, mut variance, mut back] = [[0.0f32]; 3];
            unit.mean(&[], &[f], &mut mean);
            unit.variance(&[], &[f], &mut variance);
            unit.field_of_mean(&[], &mean, &mut back);
            [unit.log_partition(&[], &[f]), mean[0].into(), variance[0].into(), back[0].into()]
        };
        for (a, b) in own(&TruncatedExponential).into_iter().zip(own(&Interval)) {
            assert!((a - b).abs() <= 3e-6 * (1.0 + b.abs()), "{f}: {a} and {b}");
        }
    }
}
/// Units without a density of their own say so, and give no numbers that could be taken for some.
#[test]
fn real_units_have_nothing_of_their_own() {
    let (mut out, mut rng) = ([0.0; 2], ChainRng::new(1));
    assert_eq!((Real.log_partition(&[], &[0.0, 1.0]), Real.log_partition(&[], &[])), (f64::INFINITY, 0.0));
    assert_eq!((Real.base_energy(&[], &[3.0]), Real.range(), Real.support()), (0.0, Gaussian.range(), None));
    Real.sample(&[], &[0.0; 2], &mut out, &mut rng);
    assert!(out.iter().all(|x| x.is_nan()));
    let rbm = Rbm::new((2, Real), (2, Bernoulli));
    assert!(harmonium::base_rate::base_rate(&rbm, &[0.0; 2], 0.0).is_err());
    assert!(harmonium::eval::ais(&rbm, &[0.0; 4], &Default::default()).is_err());
}
/// Machines whose layers are made of ranges of different units.
pub(crate) fn ranges(seed: u64) -> [Rbm; 3] {
    let bits: Kind = (2, Arc::new(Bernoulli));
    let (label, reals): (Kind, Kind) = ((3, Arc::new(Softmax { q: 3 })), (2, Arc::new(LogPrecision)));
    let (counts, positive): (Kind, Kind) = ((1, Arc::new(Binomial { n: 3 })), (2, Arc::new(Relu)));
    let rbms = [
        Rbm::with_layers(&[bits.clone(), label.clone(), reals.clone()], &[bits.clone(), label.clone()]),
        Rbm::with_layers(&[label, counts.clone()], &[reals, counts]),
        Rbm::with_layers(&[positive, bits.clone()], &[bits.clone(), (1, Arc::new(Spin)), bits]),
    ];
    rbms.map(|rbm| cases::random(rbm, 0.5, seed))
}
#[test]
fn layers_of_ranges_keep_all_laws() {
    for seed in 0..3 {
        for (k, mut rbm) in ranges(seed + 1).into_iter().enumerate() {
            let verdicts = laws::model(&mut rbm, seed);
            assert!(verdicts.len() >= 12, "{}", verdicts.len());
            for verdict in verdicts {
                verdict.unwrap_or_else(|broken| panic!("machine {k}, seed {seed}: {broken}"));
            }
        }
    }
}
/// One range in two pieces is the same machine, to the bit where sums are exact.
#[test]
fn a_layer_in_pieces_is_the_layer() {
    let whole = cases::in_64ths(cases::bernoulli(5, 4, 1));
    let bits = |n: usize| -> Kind { (n, Arc::new(Bernoulli)) };
    let mut pieces = Rbm::with_layers(&[bits(2), bits(3)], &[bits(1), bits(3)]);
    pieces.update(&mut |p| p.as_mut_slice().copy_from_slice(whole.params().as_slice()));
    let v = cases::probes(&whole, 20).rows(0, 5).clone_owned();
    assert_eq!(whole.hidden_mean(v.as_view()).unwrap(), pieces.hidden_mean(v.as_view()).unwrap());
    let [one, two] = [&whole, &pieces].map(|m| m.free_energy(v.as_view()).unwrap());
    one.iter().zip(&two).for_each(|(a, b)| cases::close(*a, *b, 1.0, "free energy"));
    let [one, two] = [&whole, &pieces].map(|m| exact_log_partition(m).unwrap());
    cases::close(one, two, 1.0, "log Z");
}
#[test]
fn files_and_conversions_know_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ranges.safetensors");
    let grey: [Kind; 2] = [(3, Arc::new(TruncatedExponential)), (2, Arc::new(Real))];
    let more = cases::random(Rbm::with_layers(&grey, &[(2, Arc::new(Bernoulli))]), 0.5, 1);
    for rbm in ranges(5).into_iter().chain([more]) {
        save_rbm(&rbm, &[].into(), &path).unwrap();
        let (back, _) = load_rbm(&path).unwrap();
        let kinds = |m: &Rbm| m.blocks().iter().map(|b| (b.rows.clone(), label(&*b.unit))).collect::<Vec<_>>();
        assert_eq!((kinds(&back), back.params()), (kinds(&rbm), rbm.params()));
    }
    let rbm = ranges(5)[0].clone();
    let spins = rbm.converted(Spin, Spin).unwrap();
    assert_eq!(spins.visible().iter().map(|b| b.unit.name()).collect::<Vec<_>>(), ["spin", "softmax", "log_precision"]);
    let x = laws::exact_draws(&rbm, 50, 1).unwrap();
    let mut y = x.clone();
    for rows in [0..2, 7..9] {
        y.rows_range_mut(rows).apply(|v| *v = 2.0 * *v - 1.0);
    }
    let (mut old, mut new) = ([0.0; 50], [0.0; 50]);
    rbm.energy(x.as_view(), &mut old);
    spins.energy(y.as_view(), &mut new);
    let constant = new[0] - old[0];
    old.iter().zip(new).for_each(|(a, b)| cases::close(b - a, constant, 20.0, "energies differ by a constant"));
}
#[test]
fn units_keep_the_law_whatever_their_number() {
    for seed in 0..20 {
        let kinds: [Arc<dyn Unit>; 9] = [
            Arc::new(Softmax { q: 1 }),
            Arc::new(Softmax { q: 2 }),
            Arc::new(Softmax { q: 10 }),
            Arc::new(Binomial { n: 1 }),
            Arc::new(Binomial { n: 2 }),
            Arc::new(Binomial { n: 255 }),
            Arc::new(Relu),
            Arc::new(LogPrecision),
            Arc::new(TruncatedExponential),
        ];
        for kind in kinds {
            laws::unit(&*kind, seed).unwrap_or_else(|broken| panic!("{kind:?}, seed {seed}: {broken}"));
        }
    }
}
/// A softmax of two is a Bernoulli unit whose field is the difference; a binomial of one is one too.
#[test]
fn kinds_that_are_another_agree_with_it() {
    let fields = [-30.0f32, -2.5, 0.0, 0.75, 12.0];
    for f in fields {
        let (pair, mut two, mut one, mut same) = ([0.25, 0.25 + f], [0.0; 2], [0.0], [0.0]);
        Softmax { q: 2 }.mean(&[], &pair, &mut two);
        Bernoulli.mean(&[], &[f], &mut one);
        Binomial { n: 1 }.mean(&[], &[f], &mut same);
        cases::close(two[1].into(), one[0].into(), 0.0, "softmax");
        cases::close(same[0].into(), one[0].into(), 0.0, "binomial");
        let gamma = Bernoulli.log_partition(&[], &[f]);
        cases::close(Softmax { q: 2 }.log_partition(&[], &pair) - 0.25, gamma, 1.0, "softmax");
        cases::close(Binomial { n: 1 }.log_partition(&[], &[f]), gamma, 1.0, "binomial");
        cases::close(LogPrecision.log_partition(&[0.0], &[f]), Gaussian.log_partition(&[], &[f]), 1.0, "precision one");
    }
}

/// A machine of bits, with softmax units of two in their place on one side or on both: one row for off, one for on.
fn doubled(bits: &Rbm, visible: bool, hidden: bool) -> Rbm {
    let side = |n: usize, is: bool| -> (usize, Arc<dyn Unit>) {
        if is { (2 * n, Arc::new(Softmax { q: 2 })) } else { (n, Arc::new(Bernoulli)) }
    };
    let mut rbm = Rbm::with_units(side(bits.n_visible(), visible), side(bits.n_hidden(), hidden));
    let place = |k: usize, is: bool| if is { 2 * k + 1 } else { k };
    rbm.update(&mut |p| {
        for (i, b) in bits.visible_bias().iter().enumerate() {
            p.slice_mut(1)[place(i, visible)] = *b;
            (0..bits.n_hidden()).for_each(|j| {
                p.mat_mut(0)[(place(j, hidden), place(i, visible))] = bits.weights()[(j, i)];
            });
        }
        bits.hidden_bias().iter().enumerate().for_each(|(j, c)| p.slice_mut(2)[place(j, hidden)] = *c);
    });
    rbm
}
/// Bits as the states of softmax units of two.
fn one_hot(x: &Mat) -> Mat {
    Mat::from_fn(2 * x.nrows(), x.ncols(), |i, j| if i % 2 == 1 { x[(i / 2, j)] } else { 1.0 - x[(i / 2, j)] })
}
/// Every state keeps its energy, every sample its free energy, every mean and `log Z` its value; in the zero-sum gauge, where the
/// two rows of a unit have opposite weights, energies move by one constant.
#[test]
fn a_machine_of_softmax_units_of_two_is_one_of_bits() {
    let bits = cases::bernoulli(5, 4, 2);
    let x = Mat::from_fn(9, 512, |i, j| (j >> i & 1) as f32);
    let (v, h) = (x.rows(0, 5).clone_owned(), x.rows(5, 4).clone_owned());
    for (visible, hidden) in [(true, false), (false, true), (true, true)] {
        let mut two = doubled(&bits, visible, hidden);
        let of = |x: &Mat, is: bool| if is { one_hot(x) } else { x.clone() };
        let (v2, h2) = (of(&v, visible), of(&h, hidden));
        let states = Mat::from_fn(v2.nrows() + h2.nrows(), 512, |i, j| {
            if i < v2.nrows() { v2[(i, j)] } else { h2[(i - v2.nrows(), j)] }
        });
        let mut shift = 0.0;
        for gauge in [false, true] {
            if gauge {
                shift = zero_sum(&mut two);
                assert!(two.params().as_slice() != doubled(&bits, visible, hidden).params().as_slice());
            }
            let [mut a, mut b] = [vec![0.0; 512], vec![0.0; 512]];
            bits.energy(x.as_view(), &mut a);
            two.energy(states.as_view(), &mut b);
            let free = [bits.free_energy(v.as_view()).unwrap(), two.free_energy(v2.as_view()).unwrap()];
            for k in 0..512 {
                cases::close(b[k], a[k] + shift, 10.0, "energy");
                cases::close(free[1][k], free[0][k] + shift, 10.0, "free energy");
            }
            let log_z = [&bits, &two].map(|rbm| exact_log_partition(rbm).unwrap());
            cases::close(log_z[1], log_z[0] - shift, 10.0, "log Z");
            let on = |mean: Mat, is: bool| {
                if is { Mat::from_fn(mean.nrows() / 2, 512, |i, j| mean[(2 * i + 1, j)]) } else { mean }
            };
            let means = [
                (bits.hidden_mean(v.as_view()).unwrap(), on(two.hidden_mean(v2.as_view()).unwrap(), hidden)),
                (bits.visible_mean(h.as_view()).unwrap(), on(two.visible_mean(h2.as_view()).unwrap(), visible)),
            ];
            for (a, b) in means {
                a.iter().zip(b.iter()).for_each(|(a, b)| cases::close(*b as f64, *a as f64, 1.0, "mean"));
            }
        }
    }
}
