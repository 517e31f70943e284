//! Associative memories: dense ones over spins and modern ones over real units, held against their definitions in double precision, all
//! states where there are few; what they are as restricted Boltzmann machines; and what a dense one learns as a classifier.

use crate::cases::close;
use crate::reference::{log_sum_exp, normal, product};
use harmonium::io::{
    Tensor, TensorFile, Values, load_dense_memory, load_modern_hopfield, save_dense_memory, save_modern_hopfield,
};
use harmonium::laws::{self, Verdict};
use harmonium::models::{
    DenseMemory, FixedPoint, Interaction, ModernHopfield, Rbm, Recall, hebbian_patterns, hebbian_rbm,
};
use harmonium::objectives::{LabelLoss, MemoryClassification, Objective};
use harmonium::optim::{At, Normalised, Optimizer, Schedule};
use harmonium::samplers::{BlockGibbs, Descend, Kernel, Moves};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{
    Annealed, Batch, Chains, Energy, Error, Gibbs, Learn, Mask, Mat, MatMut, MatRef, Response, Score, Slab, States,
    Streams, Train, Unit, Version, sweep,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;

type Rng = Xoshiro256PlusPlus;
fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}
fn spins(rows: usize, columns: usize, seed: u64) -> Mat {
    let mut rng = rng(seed);
    Mat::from_fn(rows, columns, |_, _| if rng.random() { 1.0 } else { -1.0 })
}
fn normals(rows: usize, columns: usize, scale: f64, seed: u64) -> Mat {
    let mut rng = rng(seed);
    Mat::from_fn(rows, columns, |_, _| (scale * normal(&mut rng)) as f32)
}
#[track_caller]
fn kept(verdict: Verdict, what: &str) {
    let kept = verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    assert!(kept.checks > 0 && kept.worst <= 1.0, "{what}: {kept:?}");
}
fn energies<M: Energy>(model: &M, x: &Mat) -> Vec<f64> {
    let mut out = vec![f64::NAN; x.ncols()];
    model.energy(x.as_view(), &mut out);
    out
}
/// All states of so many spins.
fn all_spins(n: usize) -> Mat {
    let states = product(&[-1.0, 1.0], n);
    Mat::from_fn(n, states.len(), |i, j| states[j][i] as f32)
}
fn inner(a: &Mat, i: usize, b: &Mat, j: usize) -> f64 {
    a.column(i).iter().zip(b.column(j).iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

const INTERACTIONS: [Interaction; 8] = [
    Interaction::Polynomial { degree: 1 },
    Interaction::Polynomial { degree: 2 },
    Interaction::Polynomial { degree: 3 },
    Interaction::Polynomial { degree: 8 },
    Interaction::Rectified { degree: 2 },
    Interaction::Rectified { degree: 3 },
    Interaction::Rectified { degree: 20 },
    Interaction::Exponential { rate: 6.0 },
];
/// `F`, again.
fn plain(f: Interaction, m: f64) -> f64 {
    match f {
        Interaction::Polynomial { degree } => m.powi(degree as i32),
        Interaction::Rectified { degree } => m.max(0.0).powi(degree as i32),
        Interaction::Exponential { rate } => (rate * (m - 1.0)).exp(),
    }
}
/// Small memories of all interactions, of spins and of other numbers; of an odd number of spins, so that no overlap is 0, where the
/// slope of a rectified square has a corner.
fn memories(seed: u64) -> Vec<DenseMemory> {
    let one = |f: Interaction| {
        let of_spins = DenseMemory::storing(spins(7, 5, seed).as_view(), f, 3.0).unwrap();
        let mut of_reals = DenseMemory::new(7, 19, f, 1.5).unwrap();
        of_reals.initialise(0.1, 0.8, seed).unwrap();
        [of_spins, of_reals]
    };
    INTERACTIONS.into_iter().flat_map(one).collect()
}

#[test]
fn dense_energies_are_their_definition() {
    for m in memories(1) {
        let (x, n) = (all_spins(7), 7.0);
        let xi = m.memories().clone_owned();
        for (j, got) in energies(&m, &x).into_iter().enumerate() {
            let e: f64 = (0..xi.ncols()).map(|k| plain(m.interaction(), inner(&xi, k, &x, j) / n)).sum();
            let e = -m.beta() * e;
            assert!((got - e).abs() <= 1e-12 * (1.0 + e.abs()), "{:?}: {got} {e}", m.interaction());
        }
    }
}
#[test]
fn dense_memories_keep_the_laws() {
    for seed in 1..3 {
        for mut m in memories(seed) {
            let what = format!("{:?}, {} memories", m.interaction(), m.n_memories());
            kept(laws::field(&m, seed), &what);
            // Where an overlap may be near 0, differences fail at the corner in the derivatives of low rectified powers; of spins, none is.
            let corner = matches!(m.interaction(), Interaction::Rectified { degree } if degree < 5);
            if !corner || m.n_memories() == 5 {
                kept(laws::gradient(&mut m, seed), &what);
                kept(laws::score(&m, seed), &what);
            }
            for kernel in [BlockGibbs::new(1), BlockGibbs::backward(1)] {
                kept(laws::no_drift(&m, &kernel, seed), &what);
                kept(laws::frozen(&m, &kernel, seed), &what);
                kept(laws::chains_threads(&m, &kernel, seed), &what);
            }
            kept(laws::frozen(&m, &Descend { sweeps: 1 }, seed), &what);
        }
    }
}
/// Both gradients by the formula in double precision, corners and all.
#[test]
fn dense_gradients_are_their_formula() {
    for m in memories(3) {
        let (x, xi, n) = (normals(7, 40, 0.7, 4), m.memories().clone_owned(), 7.0);
        let weights: Vec<f32> = (0..40).map(|j| (j % 3) as f32 * 0.5).collect();
        let slope = |k: usize, j: usize| -> f64 {
            let overlap = inner(&xi, k, &x, j) / n;
            -m.beta() / n
                * match m.interaction() {
                    Interaction::Polynomial { degree } => f64::from(degree) * overlap.powi(degree as i32 - 1),
                    Interaction::Rectified { degree } => f64::from(degree) * overlap.max(0.0).powi(degree as i32 - 1),
                    Interaction::Exponential { rate } => rate * (rate * (overlap - 1.0)).exp(),
                }
        };
        let (mut by_state, mut grad) = (Mat::zeros(7, 40), m.params().zeros_like());
        m.grad_x(x.as_view(), by_state.as_view_mut());
        m.grad_params(x.as_view(), &weights, &mut grad);
        let slopes = Mat::from_fn(xi.ncols(), 40, |k, j| slope(k, j) as f32);
        let scale = f64::from(slopes.amax()) * 40.0;
        for (i, j) in (0..7).flat_map(|i| (0..40).map(move |j| (i, j))) {
            let expected = (0..xi.ncols()).map(|k| slope(k, j) * f64::from(xi[(i, k)])).sum();
            close(by_state[(i, j)].into(), expected, scale, "by the state");
        }
        for (i, k) in (0..7).flat_map(|i| (0..xi.ncols()).map(move |k| (i, k))) {
            let expected = (0..40).map(|j| f64::from(weights[j]) * slope(k, j) * f64::from(x[(i, j)])).sum();
            close(grad.mat(0)[(i, k)].into(), expected, scale, "by a memory");
        }
    }
}
/// The same model with the plain sweep.
struct Plain<'a>(&'a DenseMemory);
impl Energy for Plain<'_> {
    fn blocks(&self) -> &[harmonium::energy::Block] {
        self.0.blocks()
    }
    fn version(&self) -> Version {
        self.0.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.0.energy(x, out);
    }
}
impl Gibbs for Plain<'_> {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, out: MatMut<'_>) {
        self.0.field(rows, x, out);
    }
}
/// One sweep of the model, or of its plain twin.
struct Answer {
    mode: bool,
    backward: bool,
}
impl<M: Gibbs> Kernel<M> for Answer {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let response = if self.mode { Response::mode() } else { Response::sample(rng) };
        model.sweep(slab, &mut response.in_order(self.backward));
        Moves::default()
    }
}
/// The sweep that keeps overlaps makes the states that fields computed anew make: of both orders, of draws and modes, tempered, frozen.
#[test]
fn the_sweep_is_its_plain_twin() {
    for f in INTERACTIONS {
        let of_spins = DenseMemory::storing(spins(23, 17, 2).as_view(), f, 8.0).unwrap();
        let mut of_reals = DenseMemory::new(23, 40, f, 5.0).unwrap();
        of_reals.initialise(0.0, 1.0, 3).unwrap();
        for m in [of_spins, of_reals] {
            for (mode, backward) in [(false, false), (false, true), (true, false), (true, true)] {
                let start = spins(23, 131, 4);
                let mask = Mask::from_fn(23, 131, |i, j| (i + j) % 5 == 0);
                let chains = || {
                    let mut chains = Chains::new(start.clone(), 7);
                    chains.states.freeze(mask.clone()).unwrap();
                    chains
                };
                let (mut fast, mut slow, kernel) = (chains(), chains(), Answer { mode, backward });
                let (mut hot, mut plain_hot, base) = (chains(), chains(), vec![0.1; 23]);
                for _ in 0..3 {
                    fast.advance(&kernel, &m);
                    slow.advance(&kernel, &Plain(&m));
                    hot.advance(&kernel, &Annealed::new(&m, &base, 0.4));
                    plain_hot.advance(&kernel, &Annealed::new(&Plain(&m), &base, 0.4));
                }
                assert_eq!(fast.states.as_slice(), slow.states.as_slice(), "{f:?}");
                assert_eq!(hot.states.as_slice(), plain_hot.states.as_slice(), "{f:?}, annealed");
                assert_ne!(fast.states.as_slice(), start.as_slice());
            }
        }
    }
}
/// Where energies are beyond any number, the field has the sign of their difference: held against sums of logarithms.
#[test]
fn fields_keep_their_sign_where_powers_vanish() {
    let (n, p) = (600, 40);
    let (patterns, x) = (spins(n, p, 5), spins(n, 3, 6));
    let steep = [
        Interaction::Exponential { rate: n as f64 },
        Interaction::Rectified { degree: 400 },
        Interaction::Polynomial { degree: 401 },
    ];
    for f in steep {
        let m = DenseMemory::storing(patterns.as_view(), f, 1.0).unwrap();
        let mut signs = [0, 0];
        for i in (0..n).step_by(7) {
            let mut field = Mat::zeros(1, 3);
            m.field(i..i + 1, x.as_view(), field.as_view_mut());
            for j in 0..3 {
                // log |F| of every memory with the unit at 1 and at -1, those that lower the energy apart from those that raise it.
                let (mut up, mut down) = (vec![], vec![]);
                for k in 0..p {
                    let own = f64::from(patterns[(i, k)]);
                    let rest = inner(&patterns, k, &x, j) - own * f64::from(x[(i, j)]);
                    for (z, at_one) in [(rest + own, true), (rest - own, false)] {
                        let log = match f {
                            Interaction::Exponential { .. } => z - n as f64,
                            Interaction::Rectified { .. } if z <= 0.0 => continue,
                            Interaction::Rectified { degree } | Interaction::Polynomial { degree } => {
                                f64::from(degree) * (z.abs() / n as f64).ln()
                            }
                        };
                        let positive = !matches!(f, Interaction::Polynomial { .. }) || z > 0.0;
                        if positive == at_one { up.push(log) } else { down.push(log) }
                    }
                }
                let (up, down) = (log_sum_exp(&up), log_sum_exp(&down));
                assert!(up.max(down) < -200.0, "a case that is none: {up} {down}");
                let got = field[(0, j)];
                assert_eq!(got > 0.0, up > down, "{f:?}, unit {i}: {got}, logarithms {up} and {down}");
                assert!(got != 0.0 && got.is_finite());
                signs[usize::from(got > 0.0)] += 1;
            }
        }
        assert!(signs.iter().all(|&s| s > 20), "{signs:?}");
    }
}
/// And at the other end: an energy of e^700 nats is told as it is, and its field saturates.
#[test]
fn fields_saturate_where_energies_are_huge() {
    let m =
        DenseMemory::storing(Mat::from_element(50, 1, 1.0).as_view(), Interaction::Exponential { rate: 50.0 }, 1e300);
    let (m, x) = (m.unwrap(), Mat::from_element(50, 1, 1.0));
    assert_eq!(energies(&m, &x), [-1e300]);
    let mut field = Mat::zeros(1, 1);
    m.field(3..4, x.as_view(), field.as_view_mut());
    assert_eq!(field[(0, 0)], f32::MAX);
}
#[test]
fn published_energies_are_this_one() {
    let (n, x) = (9, all_spins(9));
    let patterns = spins(n, 4, 7);
    let hebb = DenseMemory::hebbian(patterns.as_view(), 0.7).unwrap();
    let cubic = DenseMemory::storing(patterns.as_view(), Interaction::Polynomial { degree: 3 }, 729.0).unwrap();
    let exponential =
        DenseMemory::storing(patterns.as_view(), Interaction::Exponential { rate: 9.0 }, 9f64.exp()).unwrap();
    let (hebb, cubic, exponential) = (energies(&hebb, &x), energies(&cubic, &x), energies(&exponential, &x));
    for j in 0..x.ncols() {
        let sum = |f: &dyn Fn(f64) -> f64| -(0..4).map(|k| f(inner(&patterns, k, &x, j))).sum::<f64>();
        close(hebb[j], 0.7 * sum(&|z| z * z / 18.0), 0.0, "Hopfield");
        close(cubic[j], sum(&|z| z.powi(3)), 0.0, "Krotov and Hopfield");
        close(exponential[j], sum(&f64::exp), 0.0, "Demircigil et al.");
    }
}

/// A cue: each spin of the pattern flipped with some probability.
fn flipped(patterns: &Mat, share: f64, seed: u64) -> Mat {
    let mut rng = rng(seed);
    patterns.map(|s| if rng.random::<f64>() < share { -s } else { s })
}
#[test]
fn recall_never_raises_the_energy_and_tells_how_it_ended() {
    let patterns = spins(40, 12, 8);
    let mut cues = spins(40, 150, 9);
    cues.columns_mut(0, 12).copy_from(&flipped(&patterns, 0.1, 10));
    for f in [
        Interaction::Polynomial { degree: 2 },
        Interaction::Rectified { degree: 3 },
        Interaction::Exponential { rate: 40.0 },
    ] {
        let m = DenseMemory::storing(patterns.as_view(), f, 40.0).unwrap();
        let mut states = States::new(cues.clone());
        let mut energy = energies(&m, &cues);
        let mut steps_seen = vec![0; 150];
        for step in 0..30 {
            let before = states.x().clone_owned();
            let once = m.recall(&mut states, 1).unwrap();
            let now = energies(&m, &states.x().clone_owned());
            for j in 0..150 {
                let same = states.x().column(j) == before.column(j);
                assert!(
                    if same { now[j] == energy[j] } else { now[j] <= energy[j] },
                    "{f:?}: {} {}",
                    energy[j],
                    now[j]
                );
                assert_eq!(once[j].is_settled(), same);
                steps_seen[j] = if same { steps_seen[j] } else { step + 1 };
            }
            energy = now;
        }
        let mut whole = States::new(cues.clone());
        let ends = m.recall(&mut whole, 30).unwrap();
        assert_eq!(whole.x(), states.x());
        for (end, steps) in ends.iter().zip(&steps_seen) {
            assert_eq!(*end, Recall::Settled { steps: *steps });
        }
        assert!(m.are_fixed(whole.x()).unwrap().iter().all(|f| *f));
        let mut short = States::new(cues.clone());
        let ends = m.recall(&mut short, 1).unwrap();
        assert!(ends.contains(&Recall::Unsettled) && m.recall(&mut short, 0).unwrap() == [Recall::Unsettled; 150]);
        assert_eq!(
            m.are_fixed(cues.as_view()).unwrap().iter().filter(|f| **f).count(),
            ends.iter().filter(|e| e.is_settled()).count()
        );
    }
}
/// Ten times as many patterns as units, each recalled from a fifth of its spins wrong: random patterns of 100 spins have an overlap
/// of 60 with a cue, 10 ± with others, and e^60 is more than 1000 e^45.
#[test]
fn an_exponential_memory_stores_more_patterns_than_it_has_units() {
    let patterns = spins(100, 1000, 11);
    let m = DenseMemory::storing(patterns.as_view(), Interaction::Exponential { rate: 100.0 }, 1.0).unwrap();
    assert!(m.are_fixed(patterns.as_view()).unwrap().iter().all(|f| *f));
    let mut cues = States::new(patterns.clone());
    cues.x_mut().rows_mut(0, 15).apply(|s| *s = -*s);
    let ends = m.recall(&mut cues, 5).unwrap();
    assert_eq!(cues.x(), patterns);
    assert!(ends.iter().all(|end| *end == Recall::Settled { steps: 1 }));
    // The classical one keeps none of them.
    let classical = DenseMemory::hebbian(patterns.as_view(), 1.0).unwrap();
    assert!(classical.are_fixed(patterns.as_view()).unwrap().iter().all(|f| !*f));
}
#[test]
fn frozen_spins_stay_in_a_recall() {
    let patterns = spins(30, 3, 12);
    let m = DenseMemory::storing(patterns.as_view(), Interaction::Rectified { degree: 4 }, 1.0).unwrap();
    let mut cues = States::new(flipped(&patterns, 0.2, 13));
    let start = cues.x().clone_owned();
    cues.freeze_rows(0..15).unwrap();
    m.recall(&mut cues, 10).unwrap();
    assert_eq!(cues.x().rows(0, 15), start.rows(0, 15));
    assert_eq!(cues.x().rows(15, 15), patterns.rows(15, 15));
}
#[test]
fn overlaps_are_means_of_agreement() {
    let patterns = spins(30, 70, 14);
    let m = DenseMemory::storing(patterns.as_view(), Interaction::Rectified { degree: 4 }, 1.0).unwrap();
    let overlaps = m.overlaps(patterns.as_view()).unwrap();
    for (k, j) in (0..70).flat_map(|k| (0..70).map(move |j| (k, j))) {
        close(overlaps[(k, j)].into(), inner(&patterns, k, &patterns, j) / 30.0, 0.0, "overlap");
    }
}
#[test]
fn bounded_memories_stay_within_their_bound() {
    let mut m = DenseMemory::new(5, 3, Interaction::Rectified { degree: 2 }, 1.0).unwrap().bounded(0.5).unwrap();
    m.initialise(0.0, 2.0, 1).unwrap();
    assert_eq!(m.memories().amax(), 0.5);
    m.update(&mut |p| p.slice_mut(0)[7] = -3.0);
    assert_eq!(m.memories()[(2, 1)], -0.5);
}
#[test]
fn what_is_no_dense_memory_is_refused() {
    let f = Interaction::Polynomial { degree: 3 };
    let ok = || DenseMemory::storing(spins(4, 2, 1).as_view(), f, 1.0).unwrap();
    let value = |e: Result<DenseMemory, Error>| assert!(matches!(e.unwrap_err(), Error::Value { .. }));
    value(DenseMemory::storing(Mat::from_element(4, 2, 0.5).as_view(), f, 1.0));
    value(DenseMemory::storing(Mat::from_element(4, 2, f32::NAN).as_view(), f, 1.0));
    value(DenseMemory::storing(Mat::zeros(0, 2).as_view(), f, 1.0));
    value(DenseMemory::storing(Mat::zeros(4, 0).as_view(), f, 1.0));
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        value(DenseMemory::new(4, 2, f, beta));
        value(DenseMemory::new(4, 2, Interaction::Exponential { rate: beta }, 1.0));
    }
    value(DenseMemory::new(4, 2, Interaction::Polynomial { degree: 0 }, 1.0));
    value(DenseMemory::new(4, 2, Interaction::Rectified { degree: 0 }, 1.0));
    value(ok().bounded(f32::NAN));
    value(ok().bounded(0.0));
}
#[test]
fn what_is_no_state_of_a_dense_memory_is_refused() {
    let ok = || DenseMemory::storing(spins(4, 2, 1).as_view(), Interaction::Polynomial { degree: 3 }, 1.0).unwrap();
    assert!(matches!(ok().initialise(f32::NAN, 1.0, 1), Err(Error::Value { .. })));
    assert!(matches!(ok().initialise(0.0, -1.0, 1), Err(Error::Value { .. })));
    assert!(matches!(ok().overlaps(Mat::zeros(5, 1).as_view()), Err(Error::Shape { .. })));
    assert!(matches!(ok().recall(&mut States::zeros(5, 1), 1), Err(Error::Shape { .. })));
    let wrong = ok().recall(&mut States::zeros(4, 1), 1).unwrap_err();
    assert!(wrong.to_string().contains("unit 0 of state 0 must be a spin"), "{wrong}");
    for classes in [0, 4, 5] {
        assert!(matches!(ok().class_fields(classes, Mat::zeros(4, 1).as_view()), Err(Error::Value { .. })));
    }
    assert!(matches!(ok().classify(2, Mat::zeros(3, 1).as_view()), Err(Error::Shape { .. })));
}

/// Pixels within ±1 and one label on, of three.
fn labelled(samples: usize, seed: u64) -> Mat {
    let mut rng = rng(seed);
    let mut x = Mat::from_fn(9, samples, |_, _| rng.random_range(-1.0..1.0f32));
    for mut x in x.column_iter_mut() {
        let class = rng.random_range(0..3);
        (0..3).for_each(|k| x[6 + k] = if k == class { 1.0 } else { -1.0 });
    }
    x
}
/// Memories of nine units, the last three labels, whose fields are of the size of one.
fn classifiers() -> Vec<DenseMemory> {
    let one = |f: Interaction| {
        let with = |beta: f64| {
            let mut m = DenseMemory::new(9, 37, f, beta).unwrap();
            m.initialise(0.1, 0.6, 4).unwrap();
            m
        };
        let most = with(1.0).class_fields(3, labelled(200, 3).as_view()).unwrap().amax();
        with(2.0 / f64::from(most))
    };
    INTERACTIONS.into_iter().map(one).collect()
}
/// With all other labels at -1, the field is that of Gibbs sampling; and the exponential of twice it, normalised, is what the energies
/// of all states with one label on say.
#[test]
fn class_fields_are_those_of_the_labels() {
    for m in classifiers() {
        let mut x = labelled(200, 5);
        let fields = m.class_fields(3, x.as_view()).unwrap();
        assert_eq!(
            fields,
            m.class_fields(3, x.rows(0, 6).clone_owned().as_view()).unwrap(),
            "labels are not looked at"
        );
        x.rows_mut(6, 3).fill(-1.0);
        let base = energies(&m, &x);
        let scale: f64 = base.iter().fold(0.0, |s, e| e.abs().max(s));
        for k in 0..3 {
            let mut field = Mat::zeros(1, 200);
            m.field(6 + k..7 + k, x.as_view(), field.as_view_mut());
            let mut on = x.clone();
            on.row_mut(6 + k).fill(1.0);
            for (j, e) in energies(&m, &on).into_iter().enumerate() {
                close(fields[(k, j)].into(), field[(0, j)].into(), scale, &format!("{:?}", m.interaction()));
                close(2.0 * f64::from(fields[(k, j)]), base[j] - e, scale, &format!("{:?}", m.interaction()));
            }
        }
        let classes = m.classify(3, x.as_view()).unwrap();
        assert!((0..200).all(|j| (0..3).all(|k| fields[(classes[j], j)] >= fields[(k, j)])));
    }
}
/// The loss in double precision, from memories (units × memories, flat).
fn loss(m: &DenseMemory, memories: &[f64], loss: LabelLoss, x: &Mat, weights: &[f32]) -> f64 {
    let whole: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    let one = |j: usize| -> f64 {
        let energy = |on: Option<usize>| -> f64 {
            let s = |i: usize| match i {
                0..6 => f64::from(x[(i, j)]),
                _ => {
                    if on == Some(i - 6) {
                        1.0
                    } else {
                        -1.0
                    }
                }
            };
            let f =
                |xi: &[f64]| plain(m.interaction(), xi.iter().enumerate().map(|(i, xi)| xi * s(i)).sum::<f64>() / 9.0);
            -m.beta() * memories.chunks(9).map(f).sum::<f64>()
        };
        let fields: Vec<f64> = (0..3).map(|k| 0.5 * (energy(None) - energy(Some(k)))).collect();
        match loss {
            LabelLoss::Power { m } => {
                let off = |k: usize| (fields[k].tanh() - f64::from(x[(6 + k, j)])).powi(2 * m as i32);
                (0..3).map(off).sum()
            }
            LabelLoss::CrossEntropy => {
                let on = (0..3).find(|k| x[(6 + k, j)] > 0.0).unwrap();
                log_sum_exp(&fields.iter().map(|f| 2.0 * f).collect::<Vec<f64>>()) - 2.0 * fields[on]
            }
        }
    };
    (0..x.ncols()).filter(|j| weights[*j] != 0.0).map(|j| f64::from(weights[j]) / whole * one(j)).sum()
}
#[test]
fn what_classifiers_learn_is_the_derivative_of_their_loss() {
    for m in classifiers() {
        for kind in [LabelLoss::Power { m: 1 }, LabelLoss::Power { m: 3 }, LabelLoss::CrossEntropy] {
            let (x, samples) = (labelled(150, 6), 150);
            let weights: Vec<f32> = (0..samples).map(|j| (j % 4) as f32 * 0.5).collect();
            let mut with_nothing = x.clone();
            with_nothing.column_mut(4).fill(f32::NAN); // its weight is zero
            let batch = Batch { x: with_nothing.as_view(), weights: &weights, missing: None, step: 0 };
            let mut grad = m.params().zeros_like();
            grad.as_mut_slice().fill(f32::NAN);
            let mut objective = MemoryClassification::new(3, kind);
            let report = objective.gradient(&m, &batch, &mut grad).unwrap();
            let flat: Vec<f64> = m.params().as_slice().iter().map(|p| f64::from(*p)).collect();
            let plain = loss(&m, &flat, kind, &x, &weights);
            let what = format!("{kind:?} of {:?}", m.interaction());
            assert!((report.loss.unwrap() - plain).abs() < 1e-4 * (1.0 + plain), "{what}: {report:?} {plain}");
            let size = grad.as_slice().iter().fold(0f32, |s, g| g.abs().max(s));
            assert!(size > 1e-4, "{what}: a case that is none");
            // Rectified powers of low degree have corners in their derivatives: differences over 1e-5 err by as much of the curvature.
            let step = 1e-5;
            for k in (0..flat.len()).step_by(7) {
                let at = |d: f64| {
                    let mut moved = flat.clone();
                    moved[k] += d;
                    loss(&m, &moved, kind, &x, &weights)
                };
                let expected = (at(step) - at(-step)) / (2.0 * step);
                let got = f64::from(grad.as_slice()[k]);
                let allowed = 1e-4 * f64::from(size) + 1e-5 * expected.abs();
                assert!((got - expected).abs() < allowed, "{what}, {k}: {got} {expected} of {size}");
            }
        }
    }
}
#[test]
fn the_objective_of_classifiers_keeps_the_laws() {
    for m in classifiers() {
        for kind in [LabelLoss::Power { m: 2 }, LabelLoss::CrossEntropy] {
            let make = || MemoryClassification::new(3, kind);
            kept(laws::objective(&m, make, labelled(40, 7).as_view()), &format!("{kind:?}"));
            let x = labelled(700, 8);
            let batch = Batch { x: x.as_view(), weights: &[1.0; 700], missing: None, step: 0 };
            let bits = || {
                let mut grad = m.params().zeros_like();
                make().gradient(&m, &batch, &mut grad).unwrap();
                grad.as_slice().iter().map(|g| g.to_bits()).collect::<Vec<u32>>()
            };
            kept(laws::threads("the gradient of a classifier", bits), &format!("{kind:?}"));
        }
    }
}
#[test]
fn what_cannot_be_classified_is_refused() {
    let (m, x) = (&classifiers()[2], labelled(4, 9));
    let tell = |classes: usize, kind, x: &Mat, missing: Option<&Mask>| {
        let weights = [0.0, 1.0, 1.0, 1.0];
        let missing = missing.map(|m| m.columns(0, 4));
        let batch = Batch { x: x.as_view(), weights: &weights[..x.ncols()], missing, step: 0 };
        MemoryClassification::new(classes, kind).gradient(m, &batch, &mut m.params().zeros_like())
    };
    let power = LabelLoss::Power { m: 2 };
    assert!(tell(3, power, &x, None).is_ok());
    assert!(matches!(tell(0, power, &x, None), Err(Error::Value { .. })));
    assert!(matches!(tell(9, power, &x, None), Err(Error::Value { .. })));
    assert!(matches!(tell(3, power, &x.rows(0, 8).clone_owned(), None), Err(Error::Shape { .. })));
    assert!(matches!(tell(3, LabelLoss::Power { m: 0 }, &x, None), Err(Error::Value { .. })));
    let mut none = x.clone();
    none.rows_mut(6, 3).fill(-1.0);
    assert!(tell(3, power, &none, None).unwrap_err().to_string().contains("the label of sample 1"));
    let mut grey = x.clone();
    grey[(7, 2)] = 0.5;
    assert!(tell(3, power, &grey, None).unwrap_err().to_string().contains("the label of sample 2"));
    let gap = |j: usize| Mask::from_fn(9, 4, |i, k| i == 0 && j == k);
    assert!(tell(3, power, &x, Some(&gap(0))).is_ok(), "a sample of weight zero is absent");
    assert!(matches!(tell(3, power, &x, Some(&gap(1))), Err(Error::Value { .. })));
}
/// A few hundred updates classify what prototypes with noise are.
#[test]
fn a_memory_learns_to_classify() {
    let (prototypes, mut rng) = (spins(20, 6, 15), rng(16));
    let x = Mat::from_fn(23, 300, |i, j| match i {
        0..20 if rng.random::<f64>() < 0.15 => -prototypes[(i, j % 6)],
        0..20 => prototypes[(i, j % 6)],
        _ => {
            if i - 20 == j % 3 {
                1.0
            } else {
                -1.0
            }
        }
    });
    let mut m = DenseMemory::new(23, 12, Interaction::Rectified { degree: 3 }, 40.0).unwrap().bounded(1.0).unwrap();
    m.initialise(0.0, 0.3, 1).unwrap();
    let (mut objective, mut optimizer) =
        (MemoryClassification::new(3, LabelLoss::CrossEntropy), Normalised::new(Schedule::Constant(0.6)));
    let wrong =
        |m: &DenseMemory| m.classify(3, x.as_view()).unwrap().iter().enumerate().filter(|(j, k)| **k != j % 3).count();
    let before = wrong(&m);
    let fit = Fit { epochs: 30, batch: 30, learning_rate: Schedule::Constant(0.02), seed: 1, ..Fit::default() };
    fit.run(&mut Run::new(&mut m, &mut objective, &mut optimizer, &mut Silent), &x).unwrap();
    assert!(before > 100 && wrong(&m) < 10, "{before} {}", wrong(&m));
    assert!(m.memories().amax() <= 1.0);
}
#[test]
fn normalised_steps_are_their_definition() {
    let m = DenseMemory::new(4, 3, Interaction::Rectified { degree: 2 }, 1.0).unwrap();
    let mut optimizer = Normalised::new(Schedule::Constant(0.5));
    let mut velocity = Mat::zeros(4, 3);
    for step in 0..4 {
        let g = normals(4, 3, 10f64.powi(-(step as i32)), 20 + step);
        let mut grad = m.params().zeros_like();
        grad.as_mut_slice().copy_from_slice(g.as_slice());
        assert_eq!(optimizer.direct(&mut grad, At { step, learning_rate: 0.25 }), 0.25);
        velocity = 0.5 * velocity + g;
        for (k, v) in velocity.column_iter().enumerate() {
            for i in 0..4 {
                close(grad.mat(0)[(i, k)].into(), f64::from(v[i] / v.amax()), 0.0, "a step");
            }
            assert_eq!(grad.mat(0).column(k).amax(), 1.0);
        }
    }
    let mut still = m.params().zeros_like();
    Normalised::new(Schedule::Constant(0.0)).direct(&mut still, At { step: 0, learning_rate: 1.0 });
    assert!(still.as_slice().iter().all(|g| *g == 0.0));
    assert!(Normalised::new(Schedule::Constant(1.0)).check(1, 12).is_err() && optimizer.check(9, 13).is_err());
}

fn modern() -> Vec<ModernHopfield> {
    let one = |(units, memories, beta): (usize, usize, f64), seed| {
        ModernHopfield::storing(normals(units, memories, 1.0, seed).as_view(), beta).unwrap()
    };
    [(4, 3, 1.0), (3, 7, 0.3), (5, 1, 2.0), (2, 40, 4.0)].into_iter().zip(1..).map(|(s, seed)| one(s, seed)).collect()
}
#[test]
fn modern_energies_are_their_definition() {
    for m in modern() {
        let (x, memories) = (normals(m.n_units(), 30, 1.5, 9), m.memories().clone_owned());
        let (n, most) =
            (m.n_memories(), (0..m.n_memories()).map(|k| inner(&memories, k, &memories, k)).fold(0.0, f64::max));
        let (nats, published) = (energies(&m, &x), m.published_energy(x.as_view()).unwrap());
        for j in 0..30 {
            let exponents: Vec<f64> = (0..n).map(|k| m.beta() * inner(&memories, k, &x, j)).collect();
            let e = -log_sum_exp(&exponents) / m.beta()
                + 0.5 * inner(&x, j, &x, j)
                + (n as f64).ln() / m.beta()
                + 0.5 * most;
            assert!((published[j] - e).abs() < 1e-11 * (1.0 + e.abs()) && published[j] >= 0.0);
            let e = m.beta() * e - (n as f64).ln() - 0.5 * m.beta() * most;
            assert!((nats[j] - e).abs() < 1e-11 * (1.0 + e.abs()));
        }
    }
}
#[test]
fn modern_networks_keep_the_laws() {
    for seed in 1..4 {
        for mut m in modern() {
            kept(laws::gradient(&mut m, seed), &m.architecture());
            kept(laws::score(&m, seed), &m.architecture());
        }
    }
}
/// `log Z` by the trapezoid rule in one and two dimensions.
#[test]
fn the_partition_function_of_a_modern_network_is_an_integral() {
    for (d, beta) in [(1, 0.7), (1, 3.0), (2, 1.3)] {
        let m = ModernHopfield::storing(normals(d, 4, 1.0, 3).as_view(), beta).unwrap();
        let (step, n) = (0.125, 161usize);
        let at = |k: usize| (k as f64 - 80.0) * step;
        let x = Mat::from_fn(d, n.pow(d as u32), |i, j| at(if i == 0 { j % n } else { j / n }) as f32);
        let minus: Vec<f64> = energies(&m, &x).iter().map(|e| -e).collect();
        close(m.log_partition(), log_sum_exp(&minus) + d as f64 * f64::ln(step), 0.0, "log Z");
    }
}
/// Means and second moments of draws, within five standard errors of those of the mixture.
#[test]
fn draws_of_a_modern_network_are_those_of_its_mixture() {
    let (memories, beta, n) = (normals(3, 5, 1.0, 4), 1.7, 40_000);
    let m = ModernHopfield::storing(memories.as_view(), beta).unwrap();
    let exponents: Vec<f64> = (0..5).map(|k| 0.5 * beta * inner(&memories, k, &memories, k)).collect();
    let p: Vec<f64> = exponents.iter().map(|e| (e - log_sum_exp(&exponents)).exp()).collect();
    let draws = m.sample(n, 5);
    let compare = |values: Vec<f64>, expected: f64, what: &str| {
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - expected).abs() < 5.0 * (variance / n as f64).sqrt(), "{what}: {mean} {expected}");
    };
    for i in 0..3 {
        let x = |k: usize| f64::from(memories[(i, k)]);
        let mean = (0..5).map(|k| p[k] * x(k)).sum();
        compare(draws.row(i).iter().map(|v| f64::from(*v)).collect(), mean, "mean");
        for l in 0..=i {
            let second = |k: usize| p[k] * (x(k) * f64::from(memories[(l, k)]) + if i == l { 1.0 / beta } else { 0.0 });
            let values = (0..n).map(|j| f64::from(draws[(i, j)]) * f64::from(draws[(l, j)])).collect();
            compare(values, (0..5).map(second).sum(), "second moment");
        }
    }
    assert_eq!(draws, m.sample(n, 5));
}
/// An update is a step of length 1/β against the gradient, to what attention is; and it never raises the energy.
#[test]
fn updates_descend() {
    for m in modern() {
        let mut x = normals(m.n_units(), 100, 2.0, 6);
        let mut before = energies(&m, &x);
        for _ in 0..20 {
            let mut grad = Mat::zeros(m.n_units(), 100);
            m.grad_x(x.as_view(), grad.as_view_mut());
            let next = m.updated(x.as_view()).unwrap();
            let expected = &x - grad / m.beta() as f32;
            assert!((&next - expected).amax() < 1e-5, "an update");
            let after = energies(&m, &next);
            for (a, b) in after.iter().zip(&before) {
                assert!(*a <= b + 1e-6 * (1.0 + b.abs()), "the energy rose from {b} to {a}");
            }
            (x, before) = (next, after);
        }
    }
}
#[test]
fn modern_recall_ends_at_fixed_points_of_three_kinds() {
    // Two patterns near each other, others far from them and each other.
    let mut patterns = normals(64, 12, 1.0, 7);
    let near = patterns.column(0) + 0.05 * normals(64, 1, 1.0, 8).column(0);
    patterns.column_mut(1).copy_from(&near);
    // Of one length: a longer one would win over the other at both.
    patterns.column_iter_mut().for_each(|mut x| x.scale_mut(8.0 / x.norm()));
    let ended = |beta: f64, cue: &Mat| {
        let m = ModernHopfield::storing(patterns.as_view(), beta).unwrap();
        let (x, ends) = m.recall(cue.as_view(), 200, 1e-5).unwrap();
        let moved = (m.updated(x.as_view()).unwrap() - &x).amax();
        assert!(ends.iter().all(|e| e.is_settled()) && moved <= 1e-5, "{ends:?} {moved}");
        (m.fixed_points(x.as_view(), 0.9).unwrap(), x)
    };
    let cues = &patterns + normals(64, 12, 0.2, 9);
    let (kinds, x) = ended(1.0, &cues);
    assert_eq!(kinds[0], FixedPoint::Metastable(vec![0, 1]));
    assert_eq!(kinds[1], FixedPoint::Metastable(vec![0, 1]));
    (2..12).for_each(|k| assert_eq!(kinds[k], FixedPoint::Pattern(k)));
    (2..12).for_each(|k| assert!((x.column(k) - patterns.column(k)).amax() < 1e-3));
    // Sharper, each has a well of its own.
    let (kinds, _) = ended(200.0, &patterns);
    (0..12).for_each(|k| assert_eq!(kinds[k], FixedPoint::Pattern(k)));
    // Blunter, all cues end at the mean.
    let (kinds, x) = ended(1e-4, &cues);
    assert!(kinds.iter().all(|k| *k == FixedPoint::Average));
    let mean = patterns.column_mean();
    x.column_iter().for_each(|x| assert!((x - &mean).amax() < 0.01));
    // One memory alone is a pattern, and at most as many steps are made as are allowed.
    let one = ModernHopfield::storing(patterns.columns(0, 1).clone_owned().as_view(), 1e-3).unwrap();
    assert_eq!(one.fixed_points(cues.as_view(), 0.9).unwrap()[5], FixedPoint::Pattern(0));
    let (x, ends) = one.recall(cues.as_view(), 0, 0.0).unwrap();
    assert!(x == cues && ends == [Recall::Unsettled; 12]);
    assert_eq!(one.recall(cues.as_view(), 9, 1e-6).unwrap().1, [Recall::Settled { steps: 1 }; 12]);
}
/// A state that has settled does not depend on how long others go on, nor on how many there are.
#[test]
fn recall_of_many_is_that_of_each() {
    let m = ModernHopfield::storing(normals(10, 30, 1.0, 10).as_view(), 0.8).unwrap();
    let cues = normals(10, 150, 1.0, 11);
    let (all, ends) = m.recall(cues.as_view(), 500, 1e-5).unwrap();
    let mut lengths: Vec<usize> = vec![];
    for j in (0..150).step_by(11) {
        let (one, end) = m.recall(cues.columns(j, 1), 500, 1e-5).unwrap();
        assert!(one.column(0) == all.column(j), "state {j}: {:?} {:?}", one.column(0), all.column(j).as_slice());
        assert_eq!(end[0], ends[j]);
        if let Recall::Settled { steps } = end[0] {
            lengths.push(steps)
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 2, "a case that is none: {lengths:?}");
    let recalled = || m.recall(cues.as_view(), 50, 1e-5).unwrap().0.as_slice().to_vec();
    kept(laws::threads("a recall", recalled), "modern");
}
/// `softmax(QKᵀ/√d)V` of a transformer, head by head in double precision.
#[test]
fn reading_is_attention() {
    let (d, keys, queries, width) = (16, 40, 130, 7);
    let (k, q, v) = (normals(d, keys, 1.0, 12), normals(d, queries, 1.0, 13), normals(width, keys, 1.0, 14));
    let got =
        ModernHopfield::storing(k.as_view(), 1.0 / (d as f64).sqrt()).unwrap().read(v.as_view(), q.as_view()).unwrap();
    for j in 0..queries {
        let logits: Vec<f64> = (0..keys).map(|i| inner(&k, i, &q, j) / (d as f64).sqrt()).collect();
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        for r in 0..width {
            let expected: f64 = (0..keys).map(|i| logits[i].exp() / sum * f64::from(v[(r, i)])).sum();
            close(got[(r, j)].into(), expected, 1.0, "attention");
        }
    }
}
#[test]
fn what_is_no_modern_network_is_refused() {
    let value = |e: Result<ModernHopfield, Error>| assert!(matches!(e.unwrap_err(), Error::Value { .. }));
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
        value(ModernHopfield::new(3, 2, beta));
    }
    value(ModernHopfield::new(0, 2, 1.0));
    value(ModernHopfield::new(3, 0, 1.0));
    value(ModernHopfield::storing(Mat::from_element(3, 2, f32::NAN).as_view(), 1.0));
}
#[test]
fn what_is_no_state_of_a_modern_network_is_refused() {
    let ok = || ModernHopfield::storing(normals(3, 2, 1.0, 1).as_view(), 1.0).unwrap();
    let (short, nan) = (Mat::zeros(2, 1), Mat::from_element(3, 1, f32::NAN));
    type Ask = fn(&ModernHopfield, MatRef<'_>) -> Option<Error>;
    let asks: [Ask; 5] = [
        |m, x| m.published_energy(x).err(),
        |m, x| m.attention(x).err(),
        |m, x| m.updated(x).err(),
        |m, x| m.recall(x, 1, 0.0).err(),
        |m, x| m.fixed_points(x, 0.9).err(),
    ];
    for ask in asks {
        assert!(matches!(ask(&ok(), short.as_view()), Some(Error::Shape { .. })));
        assert!(matches!(ask(&ok(), nan.as_view()), Some(Error::Value { .. })));
        assert!(ask(&ok(), Mat::zeros(3, 1).as_view()).is_none());
    }
    let x = Mat::zeros(3, 1);
    assert!(matches!(ok().read(Mat::zeros(4, 3).as_view(), x.as_view()), Err(Error::Shape { .. })));
    assert!(matches!(ok().read(Mat::from_element(4, 2, f32::NAN).as_view(), x.as_view()), Err(Error::Value { .. })));
    assert!(matches!(ok().recall(x.as_view(), 1, f32::NAN), Err(Error::Value { .. })));
    for share in [0.5, 1.0, f64::NAN] {
        assert!(matches!(ok().fixed_points(x.as_view(), share), Err(Error::Value { .. })));
    }
}

/// Hopfield's energy is the free energy of a machine of spins and Gaussian hidden units, in all states, but for one constant.
#[test]
fn hopfield_networks_are_machines_with_gaussian_hidden_units() {
    let (n, p) = (8, 3);
    for (patterns, beta) in [(spins(n, p, 1), 0.6), (normals(n, p, 1.0, 2), 2.3)] {
        let rbm = hebbian_rbm(patterns.as_view(), beta).unwrap();
        let x = all_spins(n);
        let constant = -0.5 * p as f64 * std::f64::consts::TAU.ln();
        for (j, free) in rbm.free_energy(x.as_view()).unwrap().into_iter().enumerate() {
            let e: f64 = -(0..p).map(|k| inner(&patterns, k, &x, j).powi(2)).sum::<f64>() / (2.0 * n as f64);
            close(free, beta * e + constant, 0.0, "the free energy");
        }
        let back = hebbian_patterns(&rbm, beta).unwrap();
        assert!((&back - &patterns).amax() < 1e-6);
        // At another temperature, the same machine is a network of longer patterns.
        let longer = hebbian_patterns(&rbm, beta / 4.0).unwrap();
        assert!((longer - 2.0 * &patterns).amax() < 1e-5);
    }
    // The dense memory of degree 2 is the same network.
    let patterns = spins(n, p, 3);
    let (memory, rbm) =
        (DenseMemory::hebbian(patterns.as_view(), 1.4).unwrap(), hebbian_rbm(patterns.as_view(), 1.4).unwrap());
    let (x, constant) = (all_spins(n), -0.5 * p as f64 * std::f64::consts::TAU.ln());
    for (free, e) in rbm.free_energy(x.as_view()).unwrap().into_iter().zip(energies(&memory, &x)) {
        close(free, e + constant, 0.0, "the dense memory");
    }
}
#[test]
fn modern_networks_are_machines_with_one_softmax_hidden_unit() {
    for m in modern() {
        let (x, rbm) = (normals(m.n_units(), 50, 1.5, 3), m.to_rbm());
        let e = energies(&m, &x);
        // e^{log β} of single precision is off by as much.
        let allowed = |j: usize| 4.0 * f64::from(f32::EPSILON) * m.beta() * (1.0 + inner(&x, j, &x, j)) + 1e-5;
        for (j, free) in rbm.free_energy(x.as_view()).unwrap().into_iter().enumerate() {
            assert!((free - e[j]).abs() < allowed(j), "{free} {}", e[j]);
        }
        let back = ModernHopfield::from_rbm(&rbm).unwrap();
        assert!((back.memories() - m.memories()).amax() < 1e-5 && (back.beta() / m.beta() - 1.0).abs() < 1e-6);
        // With Gaussian visible units it is the machine of √β ξ; biases of hidden units alike, and of visible ones, change nothing.
        let n = m.n_memories();
        let mut unit = Rbm::new((m.n_units(), Gaussian), (n, Softmax { q: n }));
        let root = m.beta().sqrt() as f32;
        let b = normals(m.n_units(), 1, 0.5, 4);
        unit.update(&mut |p| {
            let shifted = Mat::from_fn(n, m.n_units(), |k, i| root * m.memories()[(i, k)] - b[(i, 0)]);
            p.mat_mut(0).copy_from(&shifted);
            p.slice_mut(1).copy_from_slice(b.as_slice());
            p.slice_mut(2).fill(0.7);
        });
        for (j, free) in unit.free_energy((root * &x).as_view()).unwrap().into_iter().enumerate() {
            close(free, e[j] - f64::from(0.7f32), 10.0 + inner(&x, j, &x, j), "the scaled machine");
        }
        let back = ModernHopfield::from_rbm(&unit).unwrap();
        assert!((back.memories() - root * m.memories()).amax() < 1e-5 && back.beta() == 1.0);
    }
}
#[test]
fn machines_that_are_no_memories_are_refused() {
    fn spoiled(mut rbm: Rbm, slot: usize, value: f32) -> Rbm {
        rbm.update(&mut |p| p.slice_mut(slot)[1] = value);
        rbm
    }
    fn machine(visible: impl Unit, hidden: impl Unit) -> Rbm {
        Rbm::new((4, visible), (4, hidden))
    }
    assert!(hebbian_patterns(&machine(Spin, Gaussian), 1.0).is_ok());
    for rbm in [
        machine(Bernoulli, Gaussian),
        machine(Spin, Spin),
        spoiled(machine(Spin, Gaussian), 1, 0.1),
        spoiled(machine(Spin, Gaussian), 2, 0.1),
    ] {
        assert!(matches!(hebbian_patterns(&rbm, 1.0), Err(Error::Value { .. })));
    }
    for beta in [0.0, f64::NAN] {
        assert!(
            hebbian_patterns(&machine(Spin, Gaussian), beta).is_err()
                && hebbian_rbm(spins(3, 2, 1).as_view(), beta).is_err()
        );
    }
    assert!(
        hebbian_rbm(Mat::zeros(0, 1).as_view(), 1.0).is_err() && hebbian_rbm(Mat::zeros(1, 0).as_view(), 1.0).is_err()
    );
    assert!(hebbian_rbm(Mat::from_element(2, 2, f32::INFINITY).as_view(), 1.0).is_err());
    let softmax = || Softmax { q: 4 };
    assert!(ModernHopfield::from_rbm(&machine(Gaussian, softmax())).is_ok());
    assert!(ModernHopfield::from_rbm(&machine(LogPrecision, softmax())).is_ok());
    let refused = [
        machine(Bernoulli, softmax()),
        machine(Gaussian, Bernoulli),
        machine(Gaussian, Softmax { q: 2 }),
        spoiled(machine(Gaussian, softmax()), 2, 0.5),
        spoiled(machine(LogPrecision, softmax()), 4, 0.5),
        spoiled(machine(Gaussian, softmax()), 0, f32::NAN),
    ];
    refused
        .iter()
        .for_each(|rbm| assert!(matches!(ModernHopfield::from_rbm(rbm), Err(Error::Value { .. })), "{rbm:?}"));
}
/// The plain sweep of the library is what the twin above means.
#[test]
fn the_plain_sweep_visits_every_spin() {
    let m = DenseMemory::storing(Mat::from_element(5, 1, 1.0).as_view(), Interaction::Rectified { degree: 1 }, 100.0)
        .unwrap();
    let mut states = States::new(Mat::from_element(5, 3, -1.0));
    states.freeze_rows(0..4).unwrap();
    states.par(|_, slab| sweep::blocks(&m, slab, &mut Response::mode()));
    assert_eq!(states.x().row(4).sum(), 3.0);
}

/// In a folder that is there for as long.
fn with_file<T>(f: impl FnOnce(&std::path::Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    f(&folder.path().join("memory.safetensors"))
}
#[test]
fn memories_come_back_to_the_bit() {
    for f in INTERACTIONS {
        let mut m = DenseMemory::new(5, 4, f, 0.1 + 0.2).unwrap();
        m.initialise(0.0, 1.0, 3).unwrap();
        for m in [m.clone(), m.bounded(0.7).unwrap()] {
            with_file(|path| {
                save_dense_memory(&m, &[("epochs".to_string(), "20".to_string())].into(), path).unwrap();
                let (back, metadata) = load_dense_memory(path).unwrap();
                assert_eq!((back.params(), back.architecture()), (m.params(), m.architecture()));
                assert_eq!(metadata["epochs"], "20");
                assert_eq!(energies(&back, &all_spins(5)), energies(&m, &all_spins(5)));
                assert_eq!(back.overlaps(all_spins(5).as_view()).unwrap(), m.overlaps(all_spins(5).as_view()).unwrap());
                let file = TensorFile::read(path).unwrap();
                let values = file.floats("memories", &[5, 4]).unwrap();
                assert!((0..5).all(|i| (0..4).all(|k| values[i * 4 + k] == m.memories()[(i, k)])));
            });
        }
    }
    for m in modern() {
        with_file(|path| {
            save_modern_hopfield(&m, &Default::default(), path).unwrap();
            let (back, _) = load_modern_hopfield(path).unwrap();
            assert_eq!((back.params(), back.architecture()), (m.params(), m.architecture()));
            let x = normals(m.n_units(), 9, 1.0, 1);
            assert_eq!(back.updated(x.as_view()).unwrap(), m.updated(x.as_view()).unwrap());
        });
    }
}
/// What reading a dense memory says whose file was changed.
fn complaint(spoil: impl FnOnce(&mut TensorFile)) -> String {
    with_file(|path| {
        let m = DenseMemory::new(3, 2, Interaction::Rectified { degree: 3 }, 2.0).unwrap().bounded(1.0).unwrap();
        save_dense_memory(&m, &Default::default(), path).unwrap();
        let mut file = TensorFile::read(path).unwrap();
        spoil(&mut file);
        file.write(path).unwrap();
        let e = load_dense_memory(path).expect_err("a complaint");
        assert!(matches!(e, Error::Format { .. }), "{e}");
        e.to_string()
    })
}
#[test]
fn what_is_wrong_with_the_file_of_a_memory_is_said_by_name() {
    let note = |name: &str, value: &str| complaint(|f| drop(f.metadata.insert(name.into(), value.into())));
    let shape = |shape: Vec<usize>| {
        complaint(|f| {
            let values = Values::F32(vec![0.5; shape.iter().product()]);
            f.tensors.insert("memories".into(), Tensor { shape, values });
        })
    };
    let told = [
        (note("model", "modern_hopfield"), "`modern_hopfield`"),
        (note("interaction", "rectified(0)"), "degree"),
        (note("interaction", "rectified(x)"), "exponential(rate)"),
        (note("interaction", "exponential(NaN)"), "rate"),
        (note("interaction", "cubic(3)"), "`cubic(3)`"),
        (note("beta", "-1"), "β"),
        (note("beta", "much"), "`much`"),
        (note("bound", "NaN"), "bound"),
        (complaint(|f| drop(f.metadata.remove("beta"))), "`beta` is missing"),
        (complaint(|f| drop(f.metadata.remove("interaction"))), "`interaction` is missing"),
        (complaint(|f| drop(f.tensors.clear())), "memories"),
        (shape(vec![6]), "units × memories"),
        (shape(vec![6, 0]), "there are none"),
        (shape(vec![0, 6]), "units"),
    ];
    told.iter().for_each(|(text, part)| assert!(text.contains(part) && text.contains("memory.safetensors"), "{text}"));
    with_file(|path| {
        let network = ModernHopfield::new(2, 2, 1.0).unwrap();
        save_modern_hopfield(&network, &Default::default(), path).unwrap();
        assert!(load_dense_memory(path).unwrap_err().to_string().contains("dense_memory"));
        let mut file = TensorFile::read(path).unwrap();
        file.metadata.insert("beta".into(), "0".into());
        file.write(path).unwrap();
        assert!(load_modern_hopfield(path).unwrap_err().to_string().contains("β"));
    });
}
