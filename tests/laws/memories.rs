//! Dense associative memories over spins, held against their definition in double precision, all states where there are few; model
//! files of memories.

use crate::cases::close;
use crate::modern_hopfield::modern;
use crate::reference::{log_sum_exp, normal, product};
use harmonium::io::{
    Tensor, TensorFile, Values, load_dense_memory, load_modern_hopfield, save_dense_memory, save_modern_hopfield,
};
use harmonium::laws::{self, Verdict};
use harmonium::models::{DenseMemory, Interaction, ModernHopfield, RecallEnd};
use harmonium::samplers::{BlockGibbs, Descend, Kernel, Moves};
use harmonium::{
    Annealed, Chains, Energy, Error, Gibbs, Learn, Mask, Mat, MatMut, MatRef, Response, Score, Slab, States, Streams,
    Train, Version, sweep,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;

pub(crate) type Rng = Xoshiro256PlusPlus;
pub(crate) fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}
pub(crate) fn spins(rows: usize, columns: usize, seed: u64) -> Mat {
    let mut rng = rng(seed);
    Mat::from_fn(rows, columns, |_, _| if rng.random() { 1.0 } else { -1.0 })
}
pub(crate) fn normals(rows: usize, columns: usize, scale: f64, seed: u64) -> Mat {
    let mut rng = rng(seed);
    Mat::from_fn(rows, columns, |_, _| (scale * normal(&mut rng)) as f32)
}
#[track_caller]
pub(crate) fn kept(verdict: Verdict, what: &str) {
    let kept = verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    assert!(kept.checks > 0 && kept.worst <= 1.0, "{what}: {kept:?}");
}
pub(crate) fn energies<M: Energy>(model: &M, x: &Mat) -> Vec<f64> {
    let mut out = vec![f64::NAN; x.ncols()];
    model.energy(x.as_view(), &mut out);
    out
}
/// All states of so many spins.
pub(crate) fn all_spins(n: usize) -> Mat {
    let states = product(&[-1.0, 1.0], n);
    Mat::from_fn(n, states.len(), |i, j| states[j][i] as f32)
}
pub(crate) fn inner(a: &Mat, i: usize, b: &Mat, j: usize) -> f64 {
    a.column(i).iter().zip(b.column(j).iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

pub(crate) const INTERACTIONS: [Interaction; 8] = [
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
pub(crate) fn plain(f: Interaction, m: f64) -> f64 {
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
            assert_eq!(*end, RecallEnd::Settled { steps: *steps });
        }
        assert!(m.are_fixed(whole.x()).unwrap().iter().all(|f| *f));
        let mut short = States::new(cues.clone());
        let ends = m.recall(&mut short, 1).unwrap();
        assert!(
            ends.contains(&RecallEnd::Unsettled) && m.recall(&mut short, 0).unwrap() == [RecallEnd::Unsettled; 150]
        );
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
    assert!(ends.iter().all(|end| *end == RecallEnd::Settled { steps: 1 }));
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
        (complaint(|f| f.tensors.clear()), "memories"),
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
