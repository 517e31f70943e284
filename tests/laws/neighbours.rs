//! Objectives by states that differ in one unit: against enumeration in double precision, and what they find.

use harmonium::models::{Boltzmann, Kind, Rbm};
use harmonium::objectives::{NeighbourLoss, Neighbours, Objective, PseudoLikelihood};
use harmonium::params::Role;
use harmonium::units::{Bernoulli, Binomial, Gaussian, Softmax, Spin};
use harmonium::{
    Batch, Block, ChainRng, Configurations, Energy, Error, Learn, Mask, Mat, MatRef, Params, Train, Version, laws,
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

const LOSSES: [NeighbourLoss; 3] = [NeighbourLoss::Pseudo, NeighbourLoss::Ratio, NeighbourLoss::Flow];

/// The most general energy of a few discrete units: a number for each of their states.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    params: Params,
    blocks: Vec<Block>,
    states: Option<Configurations>,
}
impl Table {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let (mut at, mut blocks) = (0, vec![]);
        for (group, (rows, unit)) in kinds.iter().enumerate() {
            blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group });
            at += rows;
        }
        let mut table = Self { params: Params::zeros(&[]), blocks, states: None };
        let states = Configurations::new(&table, &(0..kinds.len()).collect::<Vec<_>>()).unwrap();
        table.params = Params::zeros(&[("table", Role::Unit, states.count().unwrap() as usize, 1)]);
        table.states = Some(states);
        table
    }
    pub(crate) fn bits(n: usize) -> Self {
        Self::new(&vec![(1, Arc::new(Bernoulli) as _); n])
    }
    /// All states, as the columns of a matrix.
    pub(crate) fn all(&self) -> Mat {
        self.states.as_ref().unwrap().all(1 << 16).unwrap()
    }
    pub(crate) fn number(&self, x: &[f32]) -> Option<usize> {
        self.states.as_ref().unwrap().number(x).map(|k| k as usize)
    }
    /// `exp(-E)` of all states.
    pub(crate) fn weights(&self) -> Vec<f64> {
        self.params.as_slice().iter().map(|e| (-f64::from(*e)).exp()).collect()
    }
}
impl Energy for Table {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let of = |k: usize| f64::from(self.params.as_slice()[k]);
        x.column_iter().zip(out).for_each(|(x, o)| *o = self.number(x.as_slice()).map_or(f64::NAN, of));
    }
}
impl Learn for Table {
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let present = x.column_iter().zip(weights).filter(|(_, w)| **w != 0.0);
        present.for_each(|(x, w)| grad.as_mut_slice()[self.number(x.as_slice()).unwrap()] += w);
    }
}
impl Train for Table {
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
    }
}

pub(crate) fn random<M: Train>(mut model: M, scale: f32, seed: u64) -> M {
    let mut rng = ChainRng::new(seed);
    model.update(&mut |p| {
        for w in p.as_mut_slice() {
            let z: f32 = StandardNormal.sample(&mut rng);
            *w = scale * z;
        }
    });
    model
}
fn mixed(seed: u64) -> Table {
    let kinds: [Kind; 4] = [
        (1, Arc::new(Bernoulli)),
        (2, Arc::new(Spin)),
        (3, Arc::new(Softmax { q: 3 })),
        (1, Arc::new(Binomial { n: 2 })),
    ];
    random(Table::new(&kinds), 1.0, seed)
}
/// The gradient and the loss of a weighted batch.
pub(crate) fn gradient<M: Learn + ?Sized, O: Objective<M> + ?Sized>(
    objective: &mut O,
    model: &M,
    x: &Mat,
    weights: &[f32],
) -> (Vec<f32>, f64) {
    let mut grad = model.params().zeros_like();
    let batch = Batch { x: x.as_view(), weights, missing: None, step: 0 };
    let report = objective.gradient(model, &batch, &mut grad).unwrap();
    (grad.as_slice().to_vec(), report.loss.unwrap())
}
/// Gradient descent with momentum, at a constant rate.
pub(crate) fn descend<M: Train, O: Objective<M> + ?Sized>(
    (model, objective): (&mut M, &mut O),
    (x, weights): (&Mat, &[f32]),
    (rate, steps): (f32, usize),
) {
    let mut velocity = vec![0.0; model.params().as_slice().len()];
    for _ in 0..steps {
        let (grad, _) = gradient(objective, model, x, weights);
        velocity.iter_mut().zip(&grad).for_each(|(v, g)| *v = 0.9 * *v - rate * g);
        model.update(&mut |p| p.as_mut_slice().iter_mut().zip(&velocity).for_each(|(p, v)| *p += v));
    }
}

/// The loss of a state of a table of probabilities (times anything), by the definition of each.
fn definition(loss: NeighbourLoss, table: &Table, p: &[f64], x: &[f32]) -> f64 {
    let own = p[table.number(x).unwrap()];
    let mut total = 0.0;
    for block in table.blocks() {
        let width = block.unit.width();
        for row in block.rows.clone().step_by(width) {
            let at = |y: &Vec<f32>| {
                let mut other = x.to_vec();
                other[row..row + width].copy_from_slice(y);
                p[table.number(&other).unwrap()]
            };
            let values = block.unit.support().unwrap();
            let others = values.iter().filter(|y| y[..] != x[row..row + width]).map(at);
            total += match loss {
                NeighbourLoss::Pseudo => -(own / values.iter().map(at).sum::<f64>()).ln(),
                NeighbourLoss::Ratio => others.map(|y| (1.0 / (1.0 + own / y)).powi(2)).sum(),
                NeighbourLoss::Flow => others.map(|y| (y / own).sqrt()).sum(),
            };
        }
    }
    total
}
#[test]
fn losses_and_gradients_are_those_of_the_definitions() {
    for seed in 0..3 {
        let table = mixed(seed);
        let all = table.all();
        let columns: Vec<usize> = (0..40).map(|k| (7 * k + seed as usize) % all.ncols()).collect();
        let x = all.select_columns(&columns);
        let weights: Vec<f32> = (0..40).map(|k| (k % 4) as f32 * 0.5).collect();
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        for loss in LOSSES {
            let mean = |energies: &[f64]| {
                let p: Vec<f64> = energies.iter().map(|e| (-e).exp()).collect();
                let each = x.column_iter().zip(&weights);
                each.map(|(x, w)| f64::from(*w) * definition(loss, &table, &p, x.as_slice())).sum::<f64>() / total
            };
            let home: Vec<f64> = table.params().as_slice().iter().map(|e| f64::from(*e)).collect();
            let (grad, told) = gradient(&mut Neighbours::new(loss, 1), &table, &x, &weights);
            assert!((told - mean(&home)).abs() < 1e-6 * told, "{loss:?}: {told}");
            for (k, g) in grad.iter().enumerate() {
                let moved = |by: f64| {
                    let mut there = home.clone();
                    there[k] += by;
                    mean(&there)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((f64::from(*g) - slope).abs() < 2e-6, "{loss:?}, {k}: {g} instead of {slope}");
            }
        }
    }
}
#[test]
fn some_units_are_all_units_on_average() {
    let table = mixed(1);
    let x = table.all().columns(0, 10).clone_owned();
    for loss in LOSSES {
        let (exact, _) = gradient(&mut Neighbours::new(loss, 1), &table, &x, &[1.0; 10]);
        let mut some = Neighbours::new(loss, 1).some(2);
        let n = 3000;
        let drawn: Vec<Vec<f32>> = (0..n).map(|_| gradient(&mut some, &table, &x, &[1.0; 10]).0).collect();
        for (k, exact) in exact.iter().enumerate() {
            let mean = drawn.iter().map(|g| f64::from(g[k])).sum::<f64>() / n as f64;
            let square = drawn.iter().map(|g| (f64::from(g[k]) - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            let allowed = 4.5 * (square / n as f64).sqrt() + 1e-6;
            assert!((mean - f64::from(*exact)).abs() < allowed, "{loss:?}, {k}: {mean} ± {allowed}, not {exact}");
        }
        // As many as there are, or more, are all.
        let (all, _) = gradient(&mut Neighbours::new(loss, 1).some(9), &table, &x, &[1.0; 10]);
        assert_eq!(all, exact);
    }
}
#[test]
fn pseudo_likelihood_by_energies_is_that_by_fields() {
    let machines = [
        Boltzmann::new((9, Bernoulli)),
        Boltzmann::new((9, Spin)),
        Boltzmann::new((9, Softmax { q: 3 })),
        Boltzmann::new((9, Binomial { n: 4 })),
    ];
    for (seed, machine) in machines.into_iter().enumerate() {
        let machine = random(machine, 0.5, seed as u64);
        let counts = |_| Mat::from_fn(9, 30, |i, j| ((i * j) % 5) as f32); // too many states to draw from, if units count
        let x = laws::exact_draws(&machine, 30, 1).unwrap_or_else(counts);
        let weights: Vec<f32> = (0..30).map(|k| (k % 3) as f32).collect();
        let (fast, cost) = gradient(&mut PseudoLikelihood::default(), &machine, &x, &weights);
        let (plain, same) = gradient(&mut Neighbours::new(NeighbourLoss::Pseudo, 1), &machine, &x, &weights);
        assert!((cost - same).abs() < 1e-5 * cost.abs(), "{cost} {same}");
        let most = fast.iter().fold(1f32, |m, g| m.max(g.abs()));
        fast.iter().zip(&plain).for_each(|(a, b)| assert!((a - b).abs() < 1e-5 * most, "{a} {b}"));
    }
}
/// Many neighbours are judged in pieces: the sum over samples is what they give one by one.
#[test]
fn pieces_add_up() {
    let machine = random(Boltzmann::new((40, Bernoulli)), 0.2, 1);
    let mut rng = ChainRng::new(1);
    let x = Mat::from_fn(40, 230, |_, _| f32::from(u8::from(rng.random::<bool>())));
    for loss in LOSSES {
        let (together, cost) = gradient(&mut Neighbours::new(loss, 1), &machine, &x, &[1.0; 230]);
        let (mut sum, mut costs) = (vec![0f64; together.len()], 0.0);
        for j in 0..230 {
            let (own, cost) = gradient(&mut Neighbours::new(loss, 1), &machine, &x.columns(j, 1).clone_owned(), &[1.0]);
            sum.iter_mut().zip(own).for_each(|(s, g)| *s += f64::from(g) / 230.0);
            costs += cost / 230.0;
        }
        assert!((cost - costs).abs() < 1e-5 * costs, "{loss:?}: {cost}, not {costs}");
        let most = sum.iter().fold(1f64, |m, g| m.max(g.abs()));
        sum.iter().zip(&together).for_each(|(s, g)| assert!((s - f64::from(*g)).abs() < 1e-4 * most, "{s} {g}"));
    }
}
#[test]
fn neighbours_keep_the_law_of_objectives() {
    let (table, machine) = (mixed(2), random(Boltzmann::new((6, Spin)), 0.3, 1));
    let spins = laws::exact_draws(&machine, 12, 1).unwrap();
    for loss in LOSSES {
        for units in [None, Some(2)] {
            let all = || Neighbours::new(loss, 1);
            let make = || units.map_or_else(all, |units| all().some(units));
            let verdicts = [
                laws::objective(&table, make, table.all().columns(0, 12).clone_owned().as_view()),
                laws::objective(&machine, make, spins.as_view()),
                laws::threads("neighbours", || gradient(&mut make(), &machine, &spins, &[1.0; 12]).0),
            ];
            verdicts.into_iter().for_each(|v| assert!(v.unwrap_or_else(|b| panic!("{loss:?}: {b}")).checks > 0));
        }
    }
}
/// The data are all states with their probabilities: no objective may be content before it has them.
#[test]
fn the_probabilities_of_three_bits_are_found() {
    for seed in 0..2 {
        let truth = random(Table::bits(3), 1.0, 5 + seed);
        let (x, p) = (truth.all(), truth.weights());
        let z: f64 = p.iter().sum();
        let weights: Vec<f32> = p.iter().map(|p| (p / z) as f32).collect();
        for loss in LOSSES {
            let (mut found, mut objective) = (Table::bits(3), Neighbours::new(loss, 1));
            descend((&mut found, &mut objective), (&x, &weights), (0.3, 3000));
            let (q, own) = (found.weights(), found.weights().iter().sum::<f64>());
            for (k, (p, q)) in p.iter().zip(&q).enumerate() {
                assert!((p / z - q / own).abs() < 2e-5, "{loss:?}, state {k}: {} instead of {}", q / own, p / z);
            }
        }
    }
}
/// Root mean square of the errors of couplings and biases that are learned from so many exact draws, which are counted as weights of
/// states.
fn error(loss: NeighbourLoss, truth: &Boltzmann, (x, n): (&Mat, usize), seed: u64) -> f64 {
    let draws = laws::exact_draws(truth, n, seed).unwrap();
    let number = |x: &[f32]| x.iter().enumerate().map(|(i, x)| usize::from(*x > 0.0) << i).sum::<usize>();
    let mut weights = vec![0f32; x.ncols()];
    draws.column_iter().for_each(|d| weights[number(d.as_slice())] += 1.0);
    let (mut found, mut objective) = (Boltzmann::new((6, Spin)), Neighbours::new(loss, 1));
    descend((&mut found, &mut objective), (x, &weights), (0.05, 400));
    let pairs = found.params().as_slice().iter().zip(truth.params().as_slice());
    let n = 36 + 6;
    (pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / f64::from(n)).sqrt()
}
/// The error falls as n^-½. Root mean squares of 21 numbers that are estimated vary by 1 / √42 at most a run if they are independent;
/// over six seeds by 0.063, and the slope over `log 64` by 0.021.
#[test]
fn couplings_of_an_ising_machine_are_found_from_exact_draws() {
    let mut truth = random(Boltzmann::new((6, Spin)), 0.3, 3);
    truth.update(&mut |p| (0..6).for_each(|i| p.mat_mut(1)[(i, i)] = 0.0));
    let x = Mat::from_fn(6, 64, |i, j| if j >> i & 1 == 1 { 1.0 } else { -1.0 });
    for loss in LOSSES {
        let of = |n: usize| {
            let errors = (0..6).map(|seed| error(loss, &truth, (&x, n), 10 * n as u64 + seed));
            (errors.map(|e| e * e).sum::<f64>() / 6.0).sqrt()
        };
        let [few, many] = [1000, 64_000].map(of);
        let slope = (many / few).ln() / 64f64.ln();
        println!("{loss:?}: {few:.4} from 1000 draws, {many:.5} from 64,000, slope {slope:.3}");
        assert!((slope + 0.5).abs() < 0.1, "{loss:?}: {slope}");
        assert!(many < 0.01, "{loss:?}: {many}");
    }
}
#[test]
fn what_cannot_be_learned_so_is_refused() {
    let (x, weights) = (Mat::from_element(4, 3, 1.0), [1.0; 3]);
    let ask = |model: &dyn Learn, objective: &mut Neighbours, x: &Mat, weights: &[f32], missing: Option<&Mask>| {
        let batch = Batch { x: x.as_view(), weights, missing: missing.map(|m| m.as_view()), step: 0 };
        objective.gradient(model, &batch, &mut model.params().zeros_like()).unwrap_err()
    };
    for loss in LOSSES {
        let (mut objective, machine) = (Neighbours::new(loss, 1), Boltzmann::new((4, Bernoulli)));
        let latent = ask(&Rbm::new((4, Bernoulli), (2, Bernoulli)), &mut objective, &x, &weights, None);
        let real = ask(&Boltzmann::new((4, Gaussian)), &mut objective, &x, &weights, None);
        for error in [latent, real] {
            assert!(matches!(error, Error::Intractable { .. }), "{error}");
        }
        let short = ask(&machine, &mut objective, &x.rows(0, 3).clone_owned(), &weights, None);
        let few = ask(&machine, &mut objective, &x, &weights[..2], None);
        assert!(matches!((&short, &few), (Error::Shape { .. }, Error::Shape { .. })), "{short} {few}");
        let gaps = Mask::from_fn(4, 3, |i, j| i == j);
        let refused = [
            ask(&machine, &mut objective, &(&x * 0.5), &weights, None),
            ask(&machine, &mut objective, &x, &[1.0, f32::NAN, 1.0], None),
            ask(&machine, &mut objective, &x, &weights, Some(&gaps)),
            ask(&machine, &mut objective.some(0), &x, &weights, None),
        ];
        refused.iter().for_each(|e| assert!(matches!(e, Error::Value { .. }), "{e}"));
    }
}
