//! The oracle of annealing: what the process ends in, by pushing the probabilities of all states through every draw; and reverse
//! annealing by its definition, with or without a planted bug. Both know energies and nothing else.

use crate::reference::{Kind, Oracle, Side, log_sum_exp, pick, product};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The energy of a state.
pub(crate) type Energy = Box<dyn Fn(&[f64]) -> f64>;

/// An energy at every temperature over blocks of units, with all states of each: values of discrete units, a fine grid of a real
/// one. States are the blocks' rows, block after block.
pub(crate) struct Process<'a> {
    pub(crate) energy: Box<dyn Fn(f64) -> Energy + 'a>,
    /// Of every block.
    pub(crate) states: Vec<Vec<Vec<f64>>>,
    /// In which order a transition draws the blocks; the first is the one that is summed out, and the last in a state.
    pub(crate) order: Vec<usize>,
}

/// Between the points of a grid.
const STEP: f64 = 0.1;

/// All states of so many units of a kind; `exp(-½x²)` is below 1e-40 at the ends of the grid.
pub(crate) fn states(kind: Kind, n: usize) -> Vec<Vec<f64>> {
    match kind.values() {
        Some(values) => product(&values, n),
        None => product(&(-140..=140).map(|k| k as f64 * STEP).collect::<Vec<f64>>(), n),
    }
}

impl<'a> Process<'a> {
    /// Of an RBM from the base-rate model with these fields.
    pub(crate) fn of(oracle: &'a Oracle, base: &'a [f32]) -> Self {
        let energy = move |beta: f64| -> Energy {
            let annealed = oracle.annealed(beta, base);
            Box::new(move |x| annealed.energy(x))
        };
        let states = vec![states(oracle.visible, oracle.d), states(oracle.hidden, oracle.h)];
        Self { energy: Box::new(energy), states, order: vec![1, 0] }
    }
    /// The probability, or density, that annealing ends in each of these states of all blocks but the last.
    pub(crate) fn end(&self, betas: &[f32], ends: &[Vec<f64>]) -> Vec<f64> {
        let p = self.all_ends(betas);
        let (_, kept) = self.states.split_last().unwrap();
        let cell = |block: &Vec<Vec<f64>>| if block.len() > 100 { STEP.powi(block[0].len() as i32) } else { 1.0 };
        let (all, cell) = (joint(kept), kept.iter().map(cell).product::<f64>());
        let same = |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(a, b)| (a - b).abs() < 1e-9);
        ends.iter().map(|v| p[all.iter().position(|x| same(x, v)).unwrap()] / cell).collect()
    }
    /// The probabilities of all states (points of the grid, where units are real) of all blocks but the last.
    fn all_ends(&self, betas: &[f32]) -> Vec<f64> {
        let all = joint(&self.states);
        let weights = |beta: f32| {
            let energy = (self.energy)(beta as f64);
            let minus: Vec<f64> = all.iter().map(|x| -energy(x)).collect();
            let log_z = log_sum_exp(&minus);
            minus.iter().map(|e| (e - log_z).exp()).collect::<Vec<f64>>()
        };
        let mut p = weights(betas[0]);
        for &beta in &betas[1..] {
            let weights = weights(beta);
            self.order.iter().for_each(|&block| self.draw(block, &weights, &mut p));
        }
        p.chunks(self.states.last().unwrap().len()).map(|h| h.iter().sum()).collect()
    }
    /// A block is drawn given the others: `p(x) ← p(others) w(x) / w(others)`.
    fn draw(&self, block: usize, weights: &[f64], p: &mut [f64]) {
        let stride: usize = self.states[block + 1..].iter().map(Vec::len).product();
        let n = self.states[block].len();
        for first in (0..p.len()).filter(|k| (k / stride).is_multiple_of(n)) {
            let places = || (0..n).map(|i| first + i * stride);
            let (mass, weight): (f64, f64) = (places().map(|k| p[k]).sum(), places().map(|k| weights[k]).sum());
            places().for_each(|k| p[k] = if weight > 0.0 { mass * weights[k] / weight } else { 0.0 });
        }
    }
}

/// All states of some blocks together, with those of the last changing fastest.
fn joint(blocks: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    let join = |all: Vec<Vec<f64>>, block: &Vec<Vec<f64>>| {
        all.iter().flat_map(|x| block.iter().map(|y| [&x[..], y].concat())).collect()
    };
    blocks.iter().fold(vec![vec![]], join)
}

/// What may go wrong in reverse annealing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bug {
    None,
    /// From the lowest temperature to the highest.
    Ascending,
    /// The weight of where the chain is, and then the move.
    WeightBeforeMove,
    /// Moves at the temperature that is weighed next.
    ColderMove,
    /// `log f` without the sum over the hidden units.
    NoGamma,
    /// The base-rate model without its hidden units.
    VisibleBaseAlone,
    /// `fₖ/fₖ₋₁`.
    Inverted,
    /// The chain goes on from v at every temperature.
    Restarts,
    /// Annealing without weights.
    Unweighted,
}

/// `p̂(v)` of some chains of an RBM of discrete units.
pub(crate) fn reverse(oracle: &Oracle, base: &[f32], betas: &[f32], v: &[f64], bug: Bug, seed: u64) -> Vec<f64> {
    let models: Vec<Oracle> = betas.iter().map(|&b| oracle.annealed(b as f64, base)).collect();
    let log_f = |k: usize, v: &[f64]| match bug {
        Bug::NoGamma => -models[k].energy(&[v, &vec![0.0; oracle.h]].concat()),
        _ => -models[k].free_energy(Side::Hidden, v),
    };
    let log_z0 = match bug {
        Bug::VisibleBaseAlone => models[0].log_z() - oracle.h as f64 * 2f64.ln(),
        _ => models[0].log_z(),
    };
    let visible = states(oracle.visible, oracle.d);
    let hidden = states(oracle.hidden, oracle.h);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut moved = |k: usize, v: &[f64]| {
        let mut draw = |of: &[Vec<f64>], energy: &dyn Fn(&[f64]) -> f64| {
            let minus: Vec<f64> = of.iter().map(|x| -energy(x)).collect();
            let log_z = log_sum_exp(&minus);
            let p: Vec<f64> = minus.iter().map(|e| (e - log_z).exp()).collect();
            of[pick(&p, rng.random())].clone()
        };
        let h = draw(&hidden, &|h| models[k].energy(&[v, h].concat()));
        draw(&visible, &|v| models[k].energy(&[v, &h].concat()))
    };
    let last = betas.len() - 1;
    let chain = |_| {
        let (mut x, mut log_w) = (v.to_vec(), log_f(last, v) - log_z0);
        for step in 1..=last {
            let k = if bug == Bug::Ascending { step } else { last + 1 - step };
            let before = if bug == Bug::Restarts { v.to_vec() } else { x };
            let after = moved(if bug == Bug::ColderMove { k - 1 } else { k }, &before);
            let at = if bug == Bug::WeightBeforeMove { &before } else { &after };
            let gain = log_f(k - 1, at) - log_f(k, at);
            log_w += match bug {
                Bug::Inverted => -gain,
                Bug::Unweighted => 0.0,
                _ => gain,
            };
            x = after;
        }
        log_w.exp()
    };
    (0..4000).map(chain).collect()
}
