//! Hopfield networks: every rule and every dynamics against its definition, written out in double precision one spin at a time; what
//! symmetry promises of energies and ends; the heat bath against enumeration.

use crate::reference::{normal, pick};
use harmonium::infer::{Attractor, Dynamics, Ended, Recall, Recalled, classify, overlaps, recall};
use harmonium::models::hopfield::{
    Hebb, Hopfield, Perceptron, Projected, PseudoInverse, Storkey, SymmetricPerceptron, Unlearning,
};
use harmonium::nalgebra::DMatrix;
use harmonium::{Error, Mat};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn spins(n: usize, columns: usize, seed: u64) -> Mat {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Mat::from_fn(n, columns, |_, _| if rng.random::<bool>() { 1.0 } else { -1.0 })
}
/// Couplings of a kind: normal ones, or -1, 0 and 1, whose fields are often zero.
fn couplings(n: usize, whole: bool, symmetric: bool, rng: &mut Xoshiro256PlusPlus) -> Mat {
    let mut w = Mat::from_fn(n, n, |_, _| if whole { rng.random_range(-1..=1) as f32 } else { normal(rng) as f32 });
    for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
        if i == j {
            w[(i, i)] = 0.0;
        } else if symmetric {
            w[(i, j)] = w[(j, i)];
        }
    }
    w
}
/// A network with biases, and self-couplings of at least this size.
fn network(n: usize, whole: bool, symmetric: bool, least_own: f32, seed: u64) -> Hopfield {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let w = couplings(n, whole, symmetric, &mut rng);
    let mut numbers = |least: f32| -> Vec<f32> {
        let number =
            |_| if whole { rng.random_range(0..=2) as f32 + least } else { rng.random_range(0.0..2.0f32) + least };
        (0..n).map(number).collect()
    };
    let (own, bias) = (numbers(least_own), numbers(-1.0));
    Hopfield::new(w).unwrap().with_own(own).unwrap().with_bias(bias).unwrap()
}
/// φ_i, from the definition.
fn field(h: &Hopfield, s: &[f32], i: usize) -> f64 {
    let coupled: f64 = (0..h.n()).map(|j| f64::from(h.weights()[(i, j)]) * f64::from(s[j])).sum();
    coupled + f64::from(h.own()[i]) * f64::from(s[i]) + f64::from(h.bias()[i])
}
/// E, from the definition.
fn energy(h: &Hopfield, s: &[f32]) -> f64 {
    let of_spin = |i: usize| {
        let s_i = f64::from(s[i]);
        let coupled: f64 = (0..h.n()).map(|j| f64::from(h.weights()[(i, j)]) * f64::from(s[j])).sum();
        -0.5 * s_i * coupled - 0.5 * f64::from(h.own()[i]) * s_i * s_i - f64::from(h.bias()[i]) * s_i
    };
    (0..h.n()).map(of_spin).sum()
}
fn answer(field: f64, s: f32) -> f32 {
    if field == 0.0 { s } else { field.signum() as f32 }
}
/// One spin at a time, from the first to the last, every field anew; the state, whether it rests, the sweeps, and whether the energy
/// ever rose.
fn in_order(h: &Hopfield, s: &[f32], sweeps: usize) -> (Vec<f32>, bool, usize, bool) {
    let (mut s, mut rose) = (s.to_vec(), false);
    let rests = |s: &[f32]| (0..h.n()).all(|i| answer(field(h, s, i), s[i]) == s[i]);
    let mut used = 0;
    while used < sweeps && !rests(&s) {
        for i in 0..h.n() {
            let before = energy(h, &s);
            s[i] = answer(field(h, &s, i), s[i]);
            rose |= energy(h, &s) > before + 1e-12 * (1.0 + before.abs());
        }
        used += 1;
    }
    let end = rests(&s);
    (s, end, used, rose)
}
/// All at once; the state, how it ended, the steps.
fn at_once(h: &Hopfield, s: &[f32], steps: usize) -> (Vec<f32>, Ended, usize) {
    let mut states = vec![s.to_vec()];
    for used in 1..=steps {
        let now = &states[used - 1];
        let next: Vec<f32> = (0..h.n()).map(|i| answer(field(h, now, i), now[i])).collect();
        if next == *now {
            return (next, Ended::FixedPoint, used);
        }
        if used > 1 && next == states[used - 2] {
            return (next, Ended::TwoCycle, used);
        }
        states.push(next);
    }
    (states.pop().unwrap(), Ended::Unsettled, steps)
}
fn how(dynamics: Dynamics) -> Recall {
    Recall { dynamics, sweeps: 300, seed: 3, trace: false }
}

#[test]
fn one_spin_at_a_time_energy_never_rises_and_it_ends_in_the_fixed_point_of_the_plain_loop() {
    let mut moved = 0;
    for seed in 0..60 {
        let (n, whole) = (1 + (seed as usize * 7) % 23, seed % 2 == 1);
        let h = network(n, whole, true, 0.0, seed);
        let cues = spins(n, 7, 1000 + seed);
        let recalled = recall(&h, cues.as_view(), &how(Dynamics::InOrder)).unwrap();
        for (j, cue) in cues.column_iter().enumerate() {
            let (state, rests, sweeps, rose) = in_order(&h, cue.as_slice(), 300);
            assert!(rests && !rose, "seed {seed}, cue {j}");
            assert_eq!((recalled.states.column(j).as_slice(), recalled.ended[j]), (&state[..], Ended::FixedPoint));
            assert_eq!(recalled.sweeps[j], sweeps);
            moved += sweeps;
        }
    }
    assert!(moved > 300, "{moved} sweeps are no test");
}
#[test]
fn in_random_order_traced_energies_are_those_of_the_definition_and_never_rise() {
    for seed in 0..60 {
        let (n, whole) = (2 + (seed as usize * 5) % 31, seed % 2 == 1);
        let h = network(n, whole, true, 0.0, seed);
        let cues = spins(n, 5, 2000 + seed);
        let traced = Recall { trace: true, ..how(Dynamics::Random) };
        let recalled = recall(&h, cues.as_view(), &traced).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * (1.0 + a.abs());
        for j in 0..5 {
            let (trace, state) = (&recalled.energies[j], recalled.states.column(j).clone_owned());
            assert_eq!((recalled.ended[j], trace.len()), (Ended::FixedPoint, recalled.sweeps[j] + 1));
            assert!(close(trace[0], energy(&h, cues.column(j).as_slice())), "seed {seed}");
            assert!(close(*trace.last().unwrap(), energy(&h, state.as_slice())), "seed {seed}");
            assert!(trace.windows(2).all(|t| t[1] <= t[0] + 1e-12), "seed {seed}: {trace:?}");
            assert!((0..n).all(|i| answer(field(&h, state.as_slice(), i), state[i]) == state[i]));
        }
        let reported = h.energies(recalled.states.as_view()).unwrap();
        assert!(reported.iter().zip(recalled.states.column_iter()).all(|(e, s)| close(*e, energy(&h, s.as_slice()))));
        let again = recall(&h, cues.as_view(), &how(Dynamics::Random)).unwrap();
        assert_eq!((again.states, again.sweeps), (recalled.states, recalled.sweeps), "a trace changes nothing");
    }
}
#[test]
fn all_at_once_it_ends_in_a_fixed_point_or_a_cycle_of_two_as_the_plain_loop_does() {
    let (mut cycles, mut points) = (0, 0);
    for seed in 0..60 {
        // Self-couplings of both signs: the theorem asks for symmetry alone.
        let (n, whole) = (1 + (seed as usize * 11) % 70, seed % 2 == 1);
        let h = network(n, whole, true, -1.0, seed);
        let cues = spins(n, 9, 3000 + seed);
        let traced = Recall { trace: true, ..how(Dynamics::Synchronous) };
        let recalled = recall(&h, cues.as_view(), &traced).unwrap();
        for (j, cue) in cues.column_iter().enumerate() {
            let (state, ended, steps) = at_once(&h, cue.as_slice(), 300);
            assert_ne!(ended, Ended::Unsettled, "seed {seed}");
            let state_of = recalled.states.column(j).clone_owned();
            assert_eq!(
                (state_of.as_slice(), recalled.ended[j], recalled.sweeps[j]),
                (&state[..], ended, steps),
                "{seed}"
            );
            assert_eq!(recalled.energies[j].len(), steps + 1);
            assert!((recalled.energies[j][steps] - energy(&h, &state)).abs() < 1e-9 * (1.0 + energy(&h, &state).abs()));
            (cycles, points) =
                (cycles + (ended == Ended::TwoCycle) as u32, points + (ended == Ended::FixedPoint) as u32);
        }
    }
    assert!(cycles > 20 && points > 20, "{cycles} cycles, {points} fixed points are no test");
}
/// Large enough for tables and for tasks of rows. Of Hebbian couplings some fields are zero: exactly so if N is a power of two, and
/// otherwise but for the rounding of the couplings, which sums in single precision do not tell from zero.
#[test]
fn large_networks_move_as_the_plain_loops_do() {
    let hebb = |n: usize| {
        let mut hebb = Hebb::new(n).unwrap();
        hebb.store(spins(n, 62, 1).as_view()).unwrap();
        hebb.network().unwrap()
    };
    let mut asymmetric = Perceptron::new(300, 0.3).unwrap();
    asymmetric.store(spins(300, 100, 2).as_view()).unwrap();
    asymmetric.learn(3);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    let random = Hopfield::new(couplings(600, false, false, &mut rng)).unwrap();
    for (k, h) in [hebb(512), hebb(600), asymmetric.network(), random].iter().enumerate() {
        let cues = spins(h.n(), 6, 40 + k as u64);
        for steps in [0, 1, 4] {
            let few = |dynamics| recall(h, cues.as_view(), &Recall { sweeps: steps, ..how(dynamics) }).unwrap();
            let (one, all) = (few(Dynamics::InOrder), few(Dynamics::Synchronous));
            for (j, cue) in cues.column_iter().enumerate() {
                let (state, rests, sweeps, _) = in_order_quietly(h, cue.as_slice(), steps);
                assert_eq!(
                    (one.states.column(j).as_slice(), one.sweeps[j]),
                    (&state[..], sweeps),
                    "{k}, {steps} sweeps"
                );
                assert_eq!(one.ended[j] == Ended::FixedPoint, rests);
                let (state, ended, used) = at_once(h, cue.as_slice(), steps);
                assert_eq!(all.states.column(j).as_slice(), &state[..], "{k}, {steps} steps");
                assert_eq!((all.ended[j], all.sweeps[j]), (ended, used));
            }
        }
    }
}
/// [`in_order`] without energies.
fn in_order_quietly(h: &Hopfield, s: &[f32], sweeps: usize) -> (Vec<f32>, bool, usize, bool) {
    let mut s = s.to_vec();
    let rests = |s: &[f32]| (0..h.n()).all(|i| answer(field(h, s, i), s[i]) == s[i]);
    let mut used = 0;
    while used < sweeps && !rests(&s) {
        (0..h.n()).for_each(|i| s[i] = answer(field(h, &s, i), s[i]));
        used += 1;
    }
    let end = rests(&s);
    (s, end, used, false)
}
/// From exact draws, one sweep; every state must be as frequent as before. Self-couplings must not matter.
#[test]
fn the_heat_bath_leaves_boltzmanns_distribution_unchanged() {
    const N: usize = 5;
    const DRAWS: usize = 200_000;
    for (seed, t) in [(1, 0.7), (2, 1.5), (3, 4.0)] {
        let h = network(N, false, true, -1.0, seed);
        let state = |k: usize| Mat::from_fn(N, 1, |i, _| if k >> i & 1 == 1 { 1.0 } else { -1.0 });
        let weights: Vec<f64> = (0..1 << N).map(|k| (-energy(&h, state(k).as_slice()) / t).exp()).collect();
        let p: Vec<f64> = weights.iter().map(|w| w / weights.iter().sum::<f64>()).collect();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut cues = Mat::zeros(N, DRAWS);
        for mut cue in cues.column_iter_mut() {
            cue.copy_from(&state(pick(&p, rng.random())));
        }
        let hot = Recall { dynamics: Dynamics::HeatBath { temperature: t }, sweeps: 1, seed, trace: false };
        let recalled = recall(&h, cues.as_view(), &hot).unwrap();
        assert!(recalled.ended.iter().all(|e| *e == Ended::Unsettled));
        let moved = recalled.states.column_iter().zip(cues.column_iter()).filter(|(a, b)| a != b).count();
        assert!(moved > DRAWS / 20, "{moved} moves are no test");
        let number = |s: &[f32]| (0..N).map(|i| usize::from(s[i] > 0.0) << i).sum::<usize>();
        let mut counts = [0f64; 1 << N];
        recalled.states.column_iter().for_each(|s| counts[number(s.as_slice())] += 1.0);
        for (k, (count, p)) in counts.iter().zip(&p).enumerate() {
            // Counts are binomial; 96 of them within 5 deviations, and one for rare states.
            let deviation = (DRAWS as f64 * p * (1.0 - p)).sqrt();
            assert!((count - DRAWS as f64 * p).abs() < 5.0 * deviation + 1.0, "T {t}, state {k}: {count}, {p}");
        }
    }
}
#[test]
fn bits_depend_neither_on_threads_nor_on_other_cues() {
    let mut storkey = Storkey::new(700).unwrap();
    storkey.store(spins(700, 40, 1).as_view()).unwrap();
    let cues = spins(700, 150, 2);
    let dynamics =
        [Dynamics::InOrder, Dynamics::Random, Dynamics::Synchronous, Dynamics::HeatBath { temperature: 0.4 }];
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| -> Vec<Recalled> {
            let mut storkey = Storkey::new(700).unwrap();
            storkey.store(spins(700, 40, 1).as_view()).unwrap();
            let mut projection = PseudoInverse::new(700).unwrap();
            projection.store(spins(700, 40, 1).as_view()).unwrap();
            let mut dreamt = Unlearning::new(projection.network(Projected::Dropped), 0.01, 1).unwrap();
            dreamt.dream(2);
            let networks = [storkey.network().unwrap(), dreamt.network().clone()];
            let all =
                networks.iter().flat_map(|h| dynamics.map(|d| Recall { sweeps: 3, ..how(d) }).map(|how| (h, how)));
            all.map(|(h, how)| recall(h, cues.as_view(), &how).unwrap()).collect()
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
    for d in dynamics {
        let few = Recall { sweeps: 3, ..how(d) };
        let network = storkey.network().unwrap();
        let all = recall(&network, cues.as_view(), &few).unwrap();
        let some = recall(&network, cues.columns(0, 7), &few).unwrap();
        assert_eq!(some.states, all.states.columns(0, 7), "{d:?}");
    }
}

/// `W_ij = (1/N) Σ ξ_i ξ_j`, every coupling the nearest `f32`.
#[test]
fn hebb_is_its_definition_and_incremental() {
    for (n, p) in [(1, 1), (7, 3), (100, 33), (130, 200)] {
        let patterns = spins(n, p, n as u64);
        let mut hebb = Hebb::new(n).unwrap();
        hebb.store(patterns.columns(0, p / 2)).unwrap();
        hebb.network().unwrap();
        hebb.store(patterns.columns(p / 2, p - p / 2)).unwrap();
        assert_eq!((hebb.n_patterns(), hebb.patterns()), (p, patterns.clone()));
        let (x, network) = (patterns.map(f64::from), hebb.network().unwrap());
        let w = &x * x.transpose() / n as f64;
        let expected = Mat::from_fn(n, n, |i, j| if i == j { 0.0 } else { w[(i, j)] as f32 });
        assert_eq!(network.weights(), expected);
        assert!(network.is_symmetric() && Hopfield::new(expected).unwrap().is_symmetric());
    }
}
/// The rule as it is printed, with every `h_ij` by itself.
#[test]
fn storkey_is_its_definition() {
    for (n, p) in [(1, 1), (5, 4), (40, 20)] {
        let patterns = spins(n, p, 50 + n as u64);
        let mut w = DMatrix::<f64>::zeros(n, n);
        for xi in patterns.column_iter() {
            let x = |i: usize| f64::from(xi[i]);
            let h = |i: usize, j: usize| (0..n).filter(|&k| k != i && k != j).map(|k| w[(i, k)] * x(k)).sum::<f64>();
            let more = DMatrix::from_fn(n, n, |i, j| (x(i) * x(j) - x(i) * h(j, i) - h(i, j) * x(j)) / n as f64);
            w += more;
            w.fill_diagonal(0.0);
        }
        let mut storkey = Storkey::new(n).unwrap();
        storkey.store(patterns.columns(0, p / 2)).unwrap();
        storkey.store(patterns.columns(p / 2, p - p / 2)).unwrap();
        let network = storkey.network().unwrap();
        // P roundings of terms that are no larger than a few N-ths.
        let bound = p as f64 * 8.0 * f64::from(f32::EPSILON) * w.amax().max(1.0 / n as f64);
        assert!((network.weights().map(f64::from) - w).amax() <= bound);
        assert!(network.is_symmetric() && storkey.n_patterns() == p);
    }
}
#[test]
fn the_projection_is_that_on_the_patterns_and_dependent_ones_are_told() {
    for (n, p) in [(6, 2), (50, 30), (90, 89), (140, 100)] {
        let patterns = spins(n, p, 70 + n as u64);
        let x = patterns.map(f64::from);
        let projection = &x * x.clone().pseudo_inverse(1e-9).unwrap();
        let mut rule = PseudoInverse::new(n).unwrap();
        let first = rule.store(patterns.columns(0, p / 2)).unwrap();
        let new = [first, rule.store(patterns.columns(p / 2, p - p / 2)).unwrap()].concat();
        assert_eq!(new.iter().filter(|&&new| new).count(), rule.rank());
        assert_eq!(rule.rank(), x.rank(1e-9));
        let before = rule.clone();
        assert!(rule.store((-&patterns).as_view()).unwrap().iter().all(|new| !new));
        assert!(rule == before, "what is dependent changes nothing");
        let network = rule.network(Projected::WithOwn);
        let own = |i: usize| f64::from(network.own()[i]);
        let w = DMatrix::from_fn(n, n, |i, j| if i == j { own(i) } else { f64::from(network.weights()[(i, j)]) });
        assert!((w - projection).amax() < 4.0 * f64::from(f32::EPSILON), "{n} × {p}");
        assert!(network.is_symmetric() && Hopfield::new(network.weights().clone_owned()).unwrap().is_symmetric());
        let dropped = rule.network(Projected::Dropped);
        assert!(dropped.weights() == network.weights() && dropped.own().iter().all(|&o| o == 0.0));
    }
}
#[test]
fn projected_patterns_are_fixed_up_to_one_less_than_there_are_spins() {
    for (n, p) in [(200, 190), (200, 199), (333, 332)] {
        let patterns = spins(n, p, p as u64);
        let mut rule = PseudoInverse::new(n).unwrap();
        assert!(rule.store(patterns.as_view()).unwrap().iter().all(|&new| new));
        let network = rule.network(Projected::WithOwn);
        assert_eq!(network.are_fixed(patterns.as_view()).unwrap(), vec![true; p]);
        // Every pattern is its own field.
        let fields = network.fields(patterns.as_view()).unwrap();
        assert!((fields - patterns.map(f64::from)).amax() < 1e-4);
    }
}
/// The plain rule over the couplings themselves, in whole numbers.
fn plain_perceptron(patterns: &Mat, margin: f64, epochs: usize) -> (DMatrix<f64>, Vec<usize>) {
    let (n, p) = patterns.shape();
    let (mut w, mut used) = (DMatrix::<f64>::zeros(n, n), vec![0; n]);
    for i in 0..n {
        let mut changed = true;
        while changed && used[i] < epochs {
            (changed, used[i]) = (false, used[i] + 1);
            for k in 0..p {
                let x = |j: usize| f64::from(patterns[(j, k)]);
                let aligned: f64 = x(i) * (0..n).map(|j| w[(i, j)] * x(j)).sum::<f64>();
                let length = w.row(i).iter().map(|w| w * w).sum::<f64>().sqrt();
                if aligned <= 0.0 || aligned < margin * length {
                    (0..n).filter(|&j| j != i).for_each(|j| w[(i, j)] += x(i) * x(j));
                    changed = true;
                }
            }
        }
    }
    (w, used)
}
#[test]
fn the_perceptron_is_the_plain_rule_and_holds_with_its_margin() {
    for (n, p, margin, epochs) in [(20, 10, 0.0, 500), (40, 30, 0.3, 500), (33, 40, 0.1, 5), (60, 80, 0.0, 500)] {
        let patterns = spins(n, p, 90 + n as u64);
        let mut rule = Perceptron::new(n, margin).unwrap();
        rule.store(patterns.as_view()).unwrap();
        let (learned, (w, used)) = (rule.learn(epochs), plain_perceptron(&patterns, margin, epochs));
        assert_eq!(learned.epochs, *used.iter().max().unwrap());
        let network = rule.network();
        let scaled = w.map(|w| (w / n.next_power_of_two() as f64) as f32);
        assert_eq!(network.weights(), scaled);
        let gamma = network.stabilities(patterns.as_view()).unwrap();
        assert!((gamma.min() - learned.least).abs() < 1e-9, "{} and {}", gamma.min(), learned.least);
        if learned.is_stable() {
            assert!(learned.least >= margin && network.are_fixed(patterns.as_view()).unwrap().iter().all(|&f| f));
        }
        assert_eq!(learned.is_stable(), epochs > 5, "{learned:?}");
        // Learning goes on where it stopped, and with more patterns.
        let mut slowly = Perceptron::new(n, margin).unwrap();
        slowly.store(patterns.as_view()).unwrap();
        for _ in 0..learned.epochs {
            slowly.learn(1);
        }
        assert_eq!(slowly.network().weights(), network.weights());
        slowly.store(spins(n, 2, 5).as_view()).unwrap();
        assert!(slowly.n_patterns() == p + 2 && slowly.learn(5).epochs > 0);
    }
}
#[test]
fn the_symmetric_perceptron_is_the_plain_rule_keeps_its_energy_and_its_margin() {
    for (n, p, margin, epochs) in [(20, 8, 0.0, 500), (40, 20, 0.3, 500), (30, 60, 0.1, 4)] {
        let patterns = spins(n, p, 110 + n as u64);
        let mut rule = SymmetricPerceptron::new(n, margin).unwrap();
        rule.store(patterns.as_view()).unwrap();
        let learned = rule.learn(epochs);
        let (mut w, mut used, mut changed) = (DMatrix::<f64>::zeros(n, n), 0, true);
        while changed && used < epochs {
            (changed, used) = (false, used + 1);
            for k in 0..p {
                let x = |j: usize| f64::from(patterns[(j, k)]);
                let weak: Vec<f64> = (0..n)
                    .map(|i| {
                        let aligned: f64 = x(i) * (0..n).map(|j| w[(i, j)] * x(j)).sum::<f64>();
                        let length = w.row(i).iter().map(|w| w * w).sum::<f64>().sqrt();
                        f64::from(u8::from(aligned <= 0.0 || aligned < margin * length))
                    })
                    .collect();
                changed |= weak.iter().any(|&e| e > 0.0);
                w += DMatrix::from_fn(n, n, |i, j| if i == j { 0.0 } else { (weak[i] + weak[j]) * x(i) * x(j) });
            }
        }
        let network = rule.network();
        assert_eq!(
            (network.weights().clone_owned(), learned.epochs),
            (w.map(|w| (w / n.next_power_of_two() as f64) as f32), used)
        );
        assert!(Hopfield::new(network.weights().clone_owned()).unwrap().is_symmetric());
        let gamma = network.stabilities(patterns.as_view()).unwrap();
        assert!((gamma.min() - learned.least).abs() < 1e-9);
        assert_eq!((learned.is_stable(), gamma.min() >= margin), (epochs > 4, epochs > 4), "{learned:?}");
    }
}
#[test]
fn unlearning_takes_a_fixed_point_off() {
    let mut hebb = Hebb::new(60).unwrap();
    hebb.store(spins(60, 9, 1).as_view()).unwrap();
    let before = hebb.network().unwrap();
    let mut rule = Unlearning::new(before.clone(), 0.02, 7).unwrap();
    for k in 1..=5 {
        let w = rule.network().weights().clone_owned();
        let energy_before = rule.network().clone();
        assert_eq!((rule.dream(1), rule.dreams()), (1, k));
        let change = (&w - rule.network().weights()) * (60.0 / 0.02);
        // ξξᵀ: its first row tells ξ up to its sign.
        let xi = Mat::from_fn(60, 1, |i, _| if i == 0 { 1.0 } else { change[(i, 0)].round() });
        let outer = Mat::from_fn(60, 60, |i, j| if i == j { 0.0 } else { xi[i] * xi[j] });
        assert!((change - outer).amax() < 1e-3);
        let either = Mat::from_columns(&[xi.column(0), (-&xi).column(0)]);
        assert_eq!(energy_before.are_fixed(either.as_view()).unwrap(), [true; 2]);
        assert!(Hopfield::new(rule.network().weights().clone_owned()).unwrap().is_symmetric());
    }
    let mut at_once = Unlearning::new(before, 0.02, 7).unwrap();
    at_once.dream(5);
    assert_eq!(at_once.network().weights(), rule.network().weights());
}
#[test]
fn stabilities_and_fixed_points_are_those_of_the_definition() {
    for seed in 0..20 {
        let (n, symmetric) = (2 + seed as usize, seed % 2 == 0);
        let (h, states) = (network(n, seed % 3 == 0, symmetric, -1.0, seed), spins(n, 6, seed));
        assert_eq!(h.is_symmetric(), symmetric || h.weights() == h.weights().transpose());
        let (gamma, fixed) = (h.stabilities(states.as_view()).unwrap(), h.are_fixed(states.as_view()).unwrap());
        for (j, s) in states.column_iter().enumerate() {
            let phi: Vec<f64> = (0..n).map(|i| field(&h, s.as_slice(), i)).collect();
            assert_eq!(fixed[j], (0..n).all(|i| answer(phi[i], s[i]) == s[i]));
            for i in 0..n {
                let length = h.weights().row(i).iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
                let held = phi[i] * f64::from(s[i]);
                let expected = if held == 0.0 { 0.0 } else { held / length };
                assert!(gamma[(i, j)] == expected || (gamma[(i, j)] - expected).abs() < 1e-9 * (1.0 + expected.abs()));
            }
        }
    }
}
#[test]
fn attractors_are_told_apart() {
    let (n, patterns) = (400, spins(400, 12, 1));
    let mixture = |of: &[(usize, f32)]| {
        let sum = |i: usize| of.iter().map(|(k, sign)| sign * patterns[(i, *k)]).sum::<f32>();
        Mat::from_fn(n, 1, |i, _| sum(i).signum())
    };
    let three = mixture(&[(2, 1.0), (5, -1.0), (7, 1.0)]);
    let five = mixture(&[(0, 1.0), (3, 1.0), (4, -1.0), (8, 1.0), (11, -1.0)]);
    let mut near = patterns.columns(4, 1).clone_owned();
    near.rows_mut(0, 8).apply(|s| *s = -*s); // overlap 0.96
    let mut far = near.clone();
    far.rows_mut(0, 30).copy_from(&(-patterns.view((0, 4), (30, 1)))); // overlap 0.85
    let all = [near, -patterns.columns(6, 1), three, five, spins(n, 1, 99), far];
    let states = Mat::from_columns(&all.iter().map(|s| s.column(0).clone_owned()).collect::<Vec<_>>());
    let found = classify(patterns.as_view(), states.as_view(), 0.95).unwrap();
    assert_eq!(found[..2], [Attractor::Stored(4), Attractor::Mirrored(6)]);
    let sorted = |a: &Attractor| match a {
        Attractor::Mixture(of) => {
            let mut of = of.clone();
            of.sort_unstable();
            of
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(sorted(&found[2]), [(2, false), (5, true), (7, false)]);
    assert_eq!(sorted(&found[3]), [(0, false), (3, false), (4, true), (8, false), (11, true)]);
    assert_eq!(found[4..], [Attractor::SpinGlass, Attractor::SpinGlass]);
    assert_eq!(classify(Mat::zeros(n, 0).as_view(), states.columns(0, 1), 0.9).unwrap(), [Attractor::SpinGlass]);
    let m = overlaps(patterns.as_view(), states.as_view()).unwrap();
    let expected = (patterns.transpose() * &states) / n as f32;
    assert_eq!((m[(4, 0)], m), (0.96, expected));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    #[track_caller]
    fn refused<T>(result: Result<T, Error>, says: &str) {
        let error = result.err().expect("an error").to_string();
        assert!(error.contains(says), "{error}");
    }
    let square = |n: usize| Mat::from_element(n, n, 0.5);
    refused(Hopfield::new(Mat::zeros(2, 3)), "2 × 3");
    refused(Hopfield::new(Mat::zeros(0, 0)), "at least 1");
    refused(Hopfield::new(square(3)), "itself");
    let mut w = square(3);
    w.fill_diagonal(0.0);
    w[(2, 1)] = f32::NAN;
    refused(Hopfield::new(w.clone()), "spin 2 to spin 1");
    w[(2, 1)] = 0.7;
    let asymmetric = Hopfield::new(w).unwrap();
    refused(asymmetric.clone().with_own(vec![0.0; 2]), "got 2");
    refused(asymmetric.clone().with_own(vec![0.0, f32::INFINITY, 0.0]), "self-coupling of spin 1");
    refused(asymmetric.clone().with_bias(vec![f32::NAN; 3]), "bias of spin 0");
    let good = spins(3, 2, 1);
    refused(asymmetric.energies(good.as_view()), "symmetric");
    refused(Unlearning::new(asymmetric.clone(), 0.1, 1), "symmetric");
    refused(recall(&asymmetric, good.as_view(), &Recall { trace: true, ..Recall::default() }), "symmetric");
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(recall(&asymmetric, good.as_view(), &how(Dynamics::HeatBath { temperature })), "temperature");
    }
    let hebb = || Hebb::new(3).unwrap();
    for (bad, says) in [(0.0, "spin 1 of"), (f32::NAN, "spin 1 of"), (2.0, "got 2"), (f32::INFINITY, "1 or -1")] {
        let mut x = good.clone();
        x[(1, 1)] = bad;
        let x = x.as_view();
        refused(hebb().store(x), says);
        refused(Storkey::new(3).unwrap().store(x), says);
        refused(PseudoInverse::new(3).unwrap().store(x), says);
        refused(Perceptron::new(3, 0.0).unwrap().store(x), says);
        refused(SymmetricPerceptron::new(3, 0.0).unwrap().store(x), says);
        refused(recall(&asymmetric, x, &Recall::default()), says);
        refused(asymmetric.stabilities(x), says);
        refused(asymmetric.fields(x), says);
        refused(overlaps(x, good.as_view()), says);
        refused(overlaps(good.as_view(), x), says);
    }
    refused(hebb().store(spins(4, 1, 1).as_view()), "expected 3, got 4");
    refused(overlaps(good.as_view(), spins(4, 1, 1).as_view()), "expected 3, got 4");
    refused(classify(good.as_view(), good.as_view(), 0.0), "least overlap");
    refused(classify(good.as_view(), good.as_view(), f32::NAN), "least overlap");
    refused(Hebb::new(0), "at least 1");
    refused(Storkey::new(0), "at least 1");
    refused(PseudoInverse::new(0), "at least 1");
    refused(Perceptron::new(3, -0.1), "margin");
    refused(SymmetricPerceptron::new(3, f64::NAN), "margin");
    refused(Unlearning::new(hebb().network().unwrap(), 0.0, 1), "strength");
    refused(Unlearning::new(hebb().network().unwrap(), f32::NAN, 1), "strength");
}
/// Nothing stored, nothing asked, one spin alone.
#[test]
fn the_smallest_cases_hold() {
    for n in [1, 3] {
        let none = Mat::zeros(n, 0);
        let networks = [
            Hebb::new(n).unwrap().network().unwrap(),
            Storkey::new(n).unwrap().network().unwrap(),
            PseudoInverse::new(n).unwrap().network(Projected::WithOwn),
            Perceptron::new(n, 0.5).unwrap().network(),
            SymmetricPerceptron::new(n, 0.5).unwrap().network(),
        ];
        let cue = spins(n, 1, 1);
        for h in &networks {
            assert!(h.weights().iter().all(|&w| w == 0.0) && h.is_symmetric());
            for d in [Dynamics::InOrder, Dynamics::Random, Dynamics::Synchronous] {
                let recalled = recall(h, cue.as_view(), &how(d)).unwrap();
                assert_eq!((recalled.states, recalled.ended), (cue.clone(), vec![Ended::FixedPoint]));
                assert_eq!(recall(h, none.as_view(), &how(d)).unwrap().ended, []);
            }
            assert_eq!((h.energies(none.as_view()).unwrap(), h.energies(cue.as_view()).unwrap()), (vec![], vec![0.0]));
            assert_eq!(h.stabilities(cue.as_view()).unwrap()[0], 0.0);
        }
        assert!(Perceptron::new(n, 0.5).unwrap().learn(10).is_stable());
        assert!(SymmetricPerceptron::new(n, 0.5).unwrap().learn(10).is_stable());
    }
    let mut alone = Perceptron::new(1, 0.0).unwrap();
    alone.store(spins(1, 2, 1).as_view()).unwrap();
    let learned = alone.learn(10);
    assert!(learned.unstable == 2 && learned.epochs == 1 && alone.network().weights()[0] == 0.0);
}
