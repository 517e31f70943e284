//! Law 18: parallel tempering leaves the distribution of every temperature alone, swaps as often as it should, and evens its
//! ladder.

use crate::cases::{self, name};
use crate::draws::excess;
use crate::reference::{Oracle, Side, product};
use harmonium::models::Rbm;
use harmonium::rng::derive;
use harmonium::samplers::{BlockGibbs, Kernel, Moves, Tempering};
use harmonium::{Annealed, Chains, Gibbs, Mat, Response, Resume, Saved, Slab, States, Streams, laws};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const BETAS: [f32; 4] = [1.0, 0.7, 0.3, 0.0];
const BASE: [f32; 7] = [0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.0];
const SYSTEMS: usize = 10_000;

fn oracles(rbm: &Rbm, betas: &[f32]) -> Vec<Oracle> {
    betas.iter().map(|&beta| Oracle::of(rbm).annealed(beta.into(), &BASE)).collect()
}
/// Exact draws of every temperature.
fn exact(oracles: &[Oracle], systems: usize, seed: u64) -> Vec<Mat> {
    oracles.iter().zip(0..).map(|(oracle, k)| oracle.draw(systems, seed + 100 * k)).collect()
}
fn tempering(rbm: &Rbm, betas: &[f32], systems: usize, seed: u64) -> Tempering {
    Tempering::new(rbm, betas.to_vec(), BASE.to_vec(), systems, seed).unwrap()
}
/// A ladder at exact draws.
fn at_equilibrium(rbm: &Rbm, betas: &[f32], systems: usize, seed: u64) -> Tempering {
    let mut tempering = tempering(rbm, betas, systems, seed);
    for (k, x) in exact(&oracles(rbm, betas), systems, seed).iter().enumerate() {
        tempering.x_mut(k).copy_from(x);
    }
    tempering
}

/// How far the states of the worst temperature are from being draws of it, after 1, 2 and 16 advances; above one is wrong.
/// Each odd and even round is looked at once at least.
fn drift(oracles: &[Oracle], mut advance: impl FnMut() -> Vec<Mat>) -> f64 {
    let (mut done, mut worst) = (0, 0f64);
    for look_at in [1, 2, 16] {
        let mut x = vec![];
        for _ in done..look_at {
            x = advance();
        }
        done = look_at;
        worst = oracles.iter().zip(&x).fold(worst, |worst, (oracle, x)| worst.max(excess(oracle, x)));
    }
    worst
}
fn drift_of<K: for<'a> Kernel<Annealed<'a, Rbm>>>(rbm: &Rbm, kernel: K, seed: u64) -> f64 {
    let mut tempering = at_equilibrium(rbm, &BETAS, SYSTEMS, seed).moved_by(kernel);
    drift(&oracles(rbm, &BETAS), || {
        tempering.advance(rbm);
        (0..BETAS.len()).map(|k| tempering.states(k).x().clone_owned()).collect()
    })
}
/// Block by block, with fields that it keeps under the version of the annealed model.
struct ByBlocks;
impl<M: Gibbs> Kernel<M> for ByBlocks {
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        (0..model.blocks().len()).for_each(|b| slab.respond(model, b, &mut Response::sample(rng)));
        Moves::all(1)
    }
}
#[test]
fn no_temperature_drifts() {
    for rbm in cases::all() {
        let e = drift_of(&rbm, BlockGibbs::backward(1), 7);
        assert!(e < 1.0, "{}: {e}", name(&rbm));
    }
    let rbm = cases::bernoulli(4, 3, 1);
    for (e, what) in [
        (drift_of(&rbm, BlockGibbs::new(2), 8), "two sweeps in order"),
        (drift_of(&rbm, BlockGibbs::new(0), 9), "swaps alone"),
        (drift_of(&rbm, ByBlocks, 10), "a kernel with fields of its own"),
    ] {
        assert!(e < 1.0, "{what}: {e}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    WrongSign,
    NoBase,
    HotterIgnored,
    LatentUnitsKept,
    LatentUnitsOfTheOther,
    AlwaysSwapped,
}
/// The swaps again, from free energies of the oracle in double precision, and perhaps wrong.
struct Twin {
    free: Vec<Vec<f64>>,       // by temperature and number of the visible state
    means: Vec<Vec<[f64; 3]>>, // of the hidden units, likewise
    rng: Xoshiro256PlusPlus,
    rounds: usize,
    bug: Bug,
}
impl Twin {
    fn new(oracles: &[Oracle], bug: Bug) -> Self {
        let states = product(&[0.0, 1.0], 4);
        let base = |v: &[f64]| v.iter().zip(BASE).map(|(v, b)| v * f64::from(b)).sum::<f64>();
        let free = |(oracle, beta): (&Oracle, &f32)| {
            let wrong = if bug == Bug::NoBase { 1.0 - f64::from(*beta) } else { 0.0 };
            states.iter().map(|v| oracle.free_energy(Side::Hidden, v) + wrong * base(v)).collect()
        };
        let means =
            |oracle: &Oracle| states.iter().map(|v| std::array::from_fn(|h| oracle.mean(Side::Hidden, h, v))).collect();
        Self {
            free: oracles.iter().zip(&BETAS).map(free).collect(),
            means: oracles.iter().map(means).collect(),
            rng: Xoshiro256PlusPlus::seed_from_u64(3),
            rounds: 0,
            bug,
        }
    }
    fn swap(&mut self, x: &mut [Mat], k: usize) {
        let number = |x: &Mat, j: usize| (0..4).fold(0, |n, i| 2 * n + x[(i, j)] as usize);
        for j in 0..x[k].ncols() {
            let (a, b) = (number(&x[k], j), number(&x[k + 1], j));
            let (cold, hot) = (&self.free[k], &self.free[k + 1]);
            let log_ratio = match self.bug {
                Bug::AlwaysSwapped => 0.0,
                Bug::HotterIgnored => cold[a] - cold[b],
                Bug::WrongSign => cold[b] + hot[a] - cold[a] - hot[b],
                _ => cold[a] + hot[b] - cold[b] - hot[a],
            };
            if self.rng.random::<f64>().ln() >= log_ratio {
                continue;
            }
            for i in 0..if self.bug == Bug::LatentUnitsOfTheOther { 7 } else { 4 } {
                (x[k][(i, j)], x[k + 1][(i, j)]) = (x[k + 1][(i, j)], x[k][(i, j)]);
            }
            if !matches!(self.bug, Bug::LatentUnitsKept | Bug::LatentUnitsOfTheOther) {
                for (k, v) in [(k, b), (k + 1, a)] {
                    let mean = self.means[k][v];
                    (0..3).for_each(|h| x[k][(4 + h, j)] = (self.rng.random::<f64>() < mean[h]) as u8 as f32);
                }
            }
        }
    }
    /// Swaps alone.
    fn advance(&mut self, x: &mut [Mat]) {
        (self.rounds % 2..x.len() - 1).step_by(2).for_each(|k| self.swap(x, k));
        self.rounds += 1;
    }
}
/// The check has teeth: swaps that are wrong in any of these ways are seen.
#[test]
fn wrong_swaps_are_caught() {
    let rbm = cases::bernoulli(4, 3, 1);
    let bugs = [
        Bug::WrongSign,
        Bug::NoBase,
        Bug::HotterIgnored,
        Bug::LatentUnitsKept,
        Bug::LatentUnitsOfTheOther,
        Bug::AlwaysSwapped,
    ];
    for bug in [Bug::None].into_iter().chain(bugs) {
        let oracles = oracles(&rbm, &BETAS);
        let mut x = exact(&oracles, SYSTEMS, 7);
        let mut twin = Twin::new(&oracles, bug);
        let e = drift(&oracles, || {
            twin.advance(&mut x);
            x.clone()
        });
        println!("{bug:?}: {e:.2}");
        assert_eq!(e < 1.0, bug == Bug::None, "{bug:?}: {e}");
    }
}

/// `Σ p_cold(a) p_hot(b) min(1, r(a, b))` over all visible states of a pair: the mean, and the variance of one swap's.
fn rate(cold: &Oracle, hot: &Oracle) -> (f64, f64) {
    let ((states, p), (_, q)) = (cold.marginal(Side::Visible), hot.marginal(Side::Visible));
    let (mut mean, mut square) = (0.0, 0.0);
    for a in 0..states.len() {
        for b in 0..states.len() {
            let probability = (p[b] * q[a] / (p[a] * q[b])).min(1.0);
            mean += p[a] * q[b] * probability;
            square += p[a] * q[b] * probability * probability;
        }
    }
    (mean, square - mean * mean)
}
fn rates(rbm: &Rbm, betas: &[f32]) -> Vec<f64> {
    oracles(rbm, betas).windows(2).map(|pair| rate(&pair[0], &pair[1]).0).collect()
}
#[test]
fn rates_of_swaps_are_those_of_the_exact_sum() {
    for rbm in cases::discrete() {
        let mut tempering = at_equilibrium(&rbm, &BETAS, SYSTEMS, 3);
        let both: Moves = (0..2).map(|_| tempering.advance(&rbm).swaps).sum(); // even pairs, then odd ones
        let mut accepted = 0.0;
        for (k, pair) in oracles(&rbm, &BETAS).windows(2).enumerate() {
            let (mean, variance) = rate(&pair[0], &pair[1]);
            let (got, error) = (tempering.swap_rates()[k], (variance / SYSTEMS as f64).sqrt());
            assert!((got - mean).abs() < 4.5 * error + 1e-6, "{} pair {k}: {got}, not {mean} ± {error}", name(&rbm));
            accepted += mean;
        }
        assert_eq!(both.proposed, 3 * SYSTEMS as u64);
        let error = (0.25 / both.proposed as f64).sqrt();
        assert!((both.rate() - accepted / 3.0).abs() < 4.5 * error, "{}", name(&rbm));
    }
}

/// A machine with two modes, black and white, and little in between.
fn two_modes() -> Rbm {
    use harmonium::{Train, units::Bernoulli};
    let mut rbm = Rbm::new((4, Bernoulli), (3, Bernoulli));
    rbm.update(&mut |p| {
        p.slice_mut(0).fill(5.0);
        p.slice_mut(1).fill(-7.5);
        p.slice_mut(2).fill(-10.0);
    });
    rbm
}
/// By the rates it has seen, the ladder is moved until those of the exact sum are equal.
#[test]
fn tuning_makes_all_rates_equal() {
    let rbm = two_modes();
    let spread = |betas: &[f32]| {
        let rates = rates(&rbm, betas);
        rates.iter().fold(0f64, |m, &r| m.max(r)) - rates.iter().fold(1f64, |m, &r| m.min(r))
    };
    let bad = [1.0, 0.95, 0.9, 0.85, 0.0];
    let mut tempering = tempering(&rbm, &bad, 2000, 1);
    for _ in 0..6 {
        tempering.sample(&rbm, 40);
        tempering.tune().unwrap();
        assert!(tempering.swap_rates().iter().all(|r| r.is_nan()));
    }
    let (before, after) = (spread(&bad), spread(tempering.betas()));
    println!("{bad:?}: {:?}\n{:?}: {:?}", rates(&rbm, &bad), tempering.betas(), rates(&rbm, tempering.betas()));
    assert!(before > 0.3 && after < 0.03, "{before} to {after}");
    assert_eq!((tempering.betas()[0], tempering.betas()[4]), (1.0, 0.0));
    // As many temperatures as a rate asks for give it, once they are tuned.
    tempering.sample(&rbm, 40);
    let n = tempering.temperatures_for(0.8).unwrap();
    let mut longer = Tempering::new(&rbm, tempering.evened(n).unwrap(), BASE.to_vec(), 2000, 2).unwrap();
    for _ in 0..4 {
        longer.sample(&rbm, 40);
        longer.tune().unwrap();
    }
    let rates = rates(&rbm, longer.betas());
    println!("{n} temperatures for 0.8: {rates:?}");
    assert!(n == 7 && rates.iter().all(|r| (0.78..0.86).contains(r)), "{n}: {rates:?}");
}
#[test]
fn a_ladder_that_cannot_be_evened_says_so() {
    let rbm = cases::bernoulli(4, 3, 1);
    let mut ladder = tempering(&rbm, &BETAS, 10, 1);
    assert!(ladder.tune().unwrap_err().to_string().contains("swaps offered to pair 0"));
    ladder.advance(&rbm);
    assert!(ladder.tune().unwrap_err().to_string().contains("swaps offered to pair 1"));
    assert_eq!(ladder.betas(), BETAS);
    ladder.advance(&rbm);
    assert!(ladder.evened(1).is_err() && ladder.temperatures_for(1.0).is_err());
    assert_eq!(ladder.evened(2).unwrap(), [1.0, 0.0]);
    let mut alone = tempering(&rbm, &[1.0], 10, 1);
    alone.sample(&rbm, 3);
    assert!(alone.tune().is_err() && alone.swap_rates().is_empty());
    // Where temperature changes nothing, there is nothing to even, and steps are equal.
    let flat = Rbm::new((4, harmonium::units::Bernoulli), (3, harmonium::units::Bernoulli));
    let mut same = Tempering::new(&flat, vec![1.0, 0.9, 0.0], vec![0.0; 7], 10, 1).unwrap();
    same.sample(&flat, 4);
    assert_eq!((same.barrier(), same.temperatures_for(0.5).unwrap()), (0.0, 2));
    assert_eq!(same.evened(3).unwrap(), [1.0, 0.5, 0.0]);
}
/// Where every swap is accepted, replicas go straight up and down: the first round trips of four temperatures end in round
/// eight.
#[test]
fn round_trips_are_counted() {
    let flat = Rbm::new((4, harmonium::units::Bernoulli), (3, harmonium::units::Bernoulli));
    let mut ladder = Tempering::new(&flat, Tempering::linear(4, 0.0), vec![0.0; 7], 5, 1).unwrap();
    let trips: Vec<u64> = (0..24)
        .map(|_| {
            ladder.advance(&flat);
            ladder.round_trips()
        })
        .collect();
    // By hand: a permutation of four places, (01)(23) and (12) in turn, and where each replica was last.
    let (mut at, mut last, mut count) = ([0, 1, 2, 3], [0; 4], 0);
    for (round, &trips) in trips.iter().enumerate() {
        if round % 2 == 0 {
            at.swap(0, 1);
            at.swap(2, 3);
        } else {
            at.swap(1, 2);
        }
        count += (last[at[0]] == 2) as u64;
        last[at[0]] = 1;
        if last[at[3]] == 1 {
            last[at[3]] = 2;
        }
        assert_eq!(trips, 5 * count, "round {round}");
    }
    assert!(trips[7] == 0 && trips[23] > 0, "{trips:?}");
}

/// One temperature is nothing but chains.
#[test]
fn a_ladder_of_one_is_the_chains() {
    for rbm in cases::all() {
        let mut alone = tempering(&rbm, &[1.0], 30, 4);
        let mut chains = Chains::from_base(&rbm, &BASE, 30, derive(4, "temperature 0"));
        alone.sample(&rbm, 3);
        for _ in 0..3 {
            chains.advance(&BlockGibbs::backward(1), &rbm);
        }
        assert_eq!(alone.states(0).x(), chains.states.x(), "{}", name(&rbm));
    }
}
/// What is known of states that were exchanged is known of the right ones.
#[test]
fn fields_travel_with_their_states() {
    for rbm in cases::all().into_iter().map(cases::in_64ths) {
        let mut ladder = tempering(&rbm, &BETAS, 70, 4);
        for advance in 0..4 {
            ladder.advance(&rbm);
            for (k, beta) in BETAS.iter().enumerate() {
                let (mut states, mut new) = (ladder.states(k).clone(), States::new(ladder.states(k).x().clone_owned()));
                for b in 0..2 {
                    let what = format!("{} block {b} at β = {beta} after {advance}", name(&rbm));
                    assert_eq!(states.field(&rbm, b), new.field(&rbm, b), "{what}");
                    assert_eq!(states.mean(&rbm, b), new.mean(&rbm, b), "{what}");
                }
            }
        }
    }
}
#[test]
fn systems_depend_neither_on_threads_nor_on_their_number() {
    for rbm in [cases::random(Rbm::new((300, harmonium::units::Bernoulli), (70, harmonium::units::Bernoulli)), 0.1, 1)]
    {
        let run = |systems: usize| {
            let base = vec![0.1; 370];
            let mut ladder = Tempering::new(&rbm, vec![1.0, 0.9, 0.8], base, systems, 5).unwrap();
            let swaps = (0..4).map(|_| ladder.advance(&rbm).swaps).sum::<Moves>();
            let x: Vec<Mat> = (0..3).map(|k| ladder.states(k).x().clone_owned()).collect();
            let rates: Vec<u64> = ladder.swap_rates().iter().map(|r| r.to_bits()).collect();
            (x, swaps, rates, ladder.round_trips())
        };
        laws::threads("tempering", || run(203)).unwrap();
        let (all, swaps, ..) = run(203);
        assert!(swaps.accepted > 100 && swaps.accepted + 100 < swaps.proposed, "{swaps:?}");
        for n in [2, 8, 64, 200] {
            let some: Vec<Mat> = all.iter().map(|x| x.columns(0, n).clone_owned()).collect();
            assert!(run(n).0 == some, "{n} systems are not the first of 203");
        }
    }
}
#[test]
fn tempering_resumes() {
    let rbm = cases::bernoulli(4, 3, 1);
    let mut ladder = tempering(&rbm, &BETAS, 21, 5);
    ladder.sample(&rbm, 9);
    ladder.tune().unwrap();
    ladder.sample(&rbm, 5);
    let mut saved = Saved::default();
    ladder.save(&mut saved);
    let mut other = tempering(&rbm, &BETAS, 21, 5);
    other.load(&saved).unwrap();
    let end = |t: &mut Tempering| {
        t.sample(&rbm, 30);
        let mut saved = Saved::default();
        t.save(&mut saved);
        saved
    };
    let ends = [end(&mut ladder), end(&mut other)];
    assert_eq!(ends[0], ends[1]);
    assert!(ladder.round_trips() > 0 && other.betas() == ladder.betas());
    for (betas, systems) in [(&BETAS[..], 20), (&BETAS[..3], 21)] {
        assert!(tempering(&rbm, betas, systems, 5).load(&saved).is_err());
    }
    for entry in ["last", "offered", "rounds"] {
        let mut broken = saved.clone();
        broken.put_words(entry, vec![9]);
        let e = tempering(&rbm, &BETAS, 21, 5).load(&broken).unwrap_err().to_string();
        assert!(e.contains(entry), "{e}");
    }
    let mut broken = saved;
    broken.put("betas", &[1.0, 0.5, 0.7, 0.0]);
    assert!(tempering(&rbm, &BETAS, 21, 5).load(&broken).unwrap_err().to_string().contains("betas"));
}
#[test]
fn ladders_that_make_no_sense_are_refused() {
    let rbm = cases::bernoulli(4, 3, 1);
    let refusal = |betas: &[f32], base: &[f32], systems: usize| {
        Tempering::new(&rbm, betas.to_vec(), base.to_vec(), systems, 1).unwrap_err().to_string()
    };
    let wrong: [&[f32]; 7] = [&[], &[0.9], &[0.0, 1.0], &[1.0, 1.0], &[1.0, -0.1], &[1.0, f32::NAN, 0.0], &[f32::NAN]];
    for betas in wrong {
        assert!(refusal(betas, &BASE, 3).contains("inverse temperatures must be falling from 1"), "{betas:?}");
    }
    assert!(refusal(&BETAS, &BASE[1..], 3).contains("fields of the base-rate model: expected 7, got 6"));
    assert!(refusal(&BETAS, &[f32::INFINITY; 7], 3).contains("field 0"));
    assert!(refusal(&BETAS, &BASE, 0).contains("number of systems"));
    assert_eq!(Tempering::linear(5, 0.0), [1.0, 0.75, 0.5, 0.25, 0.0]);
    assert_eq!((Tempering::linear(1, 0.3), Tempering::linear(0, 0.3).len()), (vec![1.0], 0));
    assert_eq!(product(&[0.0, 1.0], 2).len(), 4);
}
