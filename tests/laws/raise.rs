//! Law 18: what annealing and reverse annealing say of likelihoods. A reverse estimate has as its mean the probability that the
//! annealing process itself gives, which is computed from all states; with more temperatures both directions close in on the truth.

use crate::annealed::{Bug, Process, reverse, states};
use crate::cases::{self, close, name};
use crate::reference::{Kind, Oracle, Side, columns, estimate, wide};
use harmonium::eval::{self, Ais, Bracketing, LogPartition, LowerBound, Raise, ais, bracket, raise};
use harmonium::models::Rbm;
use harmonium::params::Role;
use harmonium::units::{Bernoulli, Spin};
use harmonium::{Block, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Train, Version};
use std::ops::Range;
use std::sync::Arc;

const BETAS: [f32; 4] = [0.0, 0.3, 0.75, 1.0];
const BASE: [f32; 7] = [0.4, -0.3, 0.6, 0.2, -0.5, 0.3, -0.1];

fn settings(betas: &[f32], chains: usize, seed: u64) -> Raise {
    Raise { betas: betas.to_vec(), samples: 0, chains, seed }
}
/// Every pair of kinds: few units, one where they are real, and couplings that annealing in three steps cannot follow.
fn machines() -> Vec<Rbm> {
    let kinds = cases::kinds();
    let units = |kind: &Arc<dyn harmonium::Unit>, n| if kind.support().is_some() { n } else { 1 };
    let pairs = kinds.iter().flat_map(|v| kinds.iter().map(move |h| (v.clone(), h.clone())));
    pairs.map(|(v, h)| cases::strong((units(&v, 3), v), (units(&h, 2), h), 4)).collect()
}
/// Samples of a machine that has been made: all states, or some.
fn samples(oracle: &Oracle) -> Vec<Vec<f64>> {
    match oracle.visible.values() {
        Some(_) => states(oracle.visible, oracle.d),
        None => vec![vec![-1.3], vec![0.2], vec![2.1]],
    }
}
/// The worst deviation of means from what they should be, in standard errors.
fn worst(means: &[(f64, f64)], expected: &[f64]) -> f64 {
    let off = |((mean, error), p): (&(f64, f64), &f64)| (mean - p).abs() / (error + 1e-6 * p);
    means.iter().zip(expected).map(off).fold(0.0, f64::max)
}
/// Mean and error of `p̂` of every sample.
fn means(bound: &LowerBound) -> Vec<(f64, f64)> {
    bound.samples.iter().map(|s| (s.log_p.exp(), s.log_p.exp() * s.chain_error)).collect()
}

#[test]
fn the_mean_estimate_is_the_probability_of_the_annealing_process() {
    for rbm in machines() {
        let oracle = Oracle::of(&rbm);
        let (base, v) = (&BASE[..oracle.d + oracle.h], samples(&oracle));
        for betas in [&BETAS[..], &[0.0, 1.0]] {
            let expected = Process::of(&oracle, base).end(betas, &v);
            let got = raise(&rbm, base, &columns(&v), &settings(betas, 20_000, 1)).unwrap();
            let off = worst(&means(&got), &expected);
            assert!(off < 4.5, "{}, {betas:?}: {off} errors from the process", name(&rbm));
            if betas.len() > 2 && oracle.countable().is_some() {
                // It is another distribution than the model's, and the two can be told apart.
                let log_z = oracle.log_z();
                let p: Vec<f64> = v.iter().map(|v| (-oracle.free_energy(Side::Hidden, v) - log_z).exp()).collect();
                assert!(worst(&means(&got), &p) > 8.0, "{}: three steps are as good as many", name(&rbm));
            }
        }
    }
}

/// Visible units coupled to each other as well: the reversal of a transition draws them in the reverse order.
struct Lateral {
    params: Params, // couplings of all units, symmetric, and biases
    visible: usize,
    blocks: [Block; 3],
}
impl Lateral {
    fn new(visible: usize) -> Self {
        let mut params = Params::zeros(&[("couplings", Role::Weights, 5, 5), ("bias", Role::Bias, 5, 1)]);
        let couplings = [(0, 2, 1.4), (1, 2, -1.7), (0, 3, 0.9), (1, 3, -0.6), (2, 3, 1.1), (0, 4, -1.2), (2, 4, 0.8)];
        for (i, j, w) in couplings {
            let mut m = params.mat_mut(0);
            (m[(i, j)], m[(j, i)]) = (w, w);
        }
        params.slice_mut(1).copy_from_slice(&[-0.5, 0.7, 0.2, -0.3, 0.4]);
        let block = |rows, group| Block { rows, unit: Arc::new(Bernoulli), group };
        Self { params, visible, blocks: [block(3..5, 0), block(0..2, 1), block(2..3, 2)] }
    }
    /// `E₀ + β (E - E₀)`
    fn annealed(&self, beta: f64, base: &[f32]) -> crate::annealed::Energy {
        let (couplings, bias, base) = (self.params.mat(0).map(f64::from), self.params.slice(1).to_vec(), base.to_vec());
        Box::new(move |x| {
            let own = |i: usize| x[i] * (base[i] as f64 + beta * (bias[i] as f64 - base[i] as f64));
            let pairs = (0..5).flat_map(|i| (0..i).map(move |j| (i, j)));
            -(0..5).map(own).sum::<f64>() - beta * pairs.map(|(i, j)| couplings[(i, j)] * x[i] * x[j]).sum::<f64>()
        })
    }
    /// Blocks in the order of their rows: 0 and 1 are visible, 2 hidden.
    fn process<'a>(&'a self, base: &'a [f32], order: [usize; 3]) -> Process<'a> {
        let bits = |n| states(Kind::Bernoulli, n);
        let energy = move |beta| self.annealed(beta, base);
        Process { energy: Box::new(energy), states: vec![bits(2), bits(1), bits(2)], order: order.to_vec() }
    }
}
impl Energy for Lateral {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.energy_at_zero(&[], x, out);
    }
}
impl Gibbs for Lateral {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let (couplings, bias) = (self.params.mat(0), self.params.slice(1));
        for j in 0..x.ncols() {
            for (k, i) in rows.clone().enumerate() {
                let others = (0..x.nrows()).filter(|l| couplings[(i, *l)] != 0.0);
                out[(k, j)] = bias[i] + others.map(|l| couplings[(i, l)] * x[(l, j)]).sum::<f32>();
            }
        }
    }
}
impl Marginal for Lateral {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let energy = self.annealed(1.0, &[0.0; 5]);
        for (j, o) in out.iter_mut().enumerate() {
            let mut state = wide(&x.clone_owned(), j);
            state.resize(5, 0.0);
            summed.iter().for_each(|&b| state[self.blocks[b].rows.clone()].fill(0.0));
            *o = energy(&state);
        }
    }
}
impl Learn for Lateral {
    fn n_visible(&self) -> usize {
        self.visible
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, _: MatRef<'_>, _: &[f32], _: &mut Params) {
        unreachable!("nothing is learned here")
    }
}
#[test]
fn transitions_are_reversed_block_by_block() {
    let (lateral, base, v) = (Lateral::new(3), &BASE[..5], states(Kind::Bernoulli, 3));
    harmonium::laws::field(&lateral, 1).unwrap();
    harmonium::laws::marginal(&lateral, 1).unwrap();
    let got = means(&raise(&lateral, base, &columns(&v), &settings(&BETAS, 50_000, 1)).unwrap());
    let off = |order| worst(&got, &lateral.process(base, order).end(&BETAS, &v));
    assert!(off([2, 0, 1]) < 4.5, "{} errors from the process", off([2, 0, 1]));
    assert!(off([2, 1, 0]) > 8.0, "the order of the visible blocks makes no difference: {}", off([2, 1, 0]));
    // And annealing goes the way that is reversed: it finds the same log Z.
    let log_z = eval::exact_log_partition(&lateral).unwrap();
    let forward = ais(&lateral, base, &Ais { betas: BETAS.to_vec(), runs: 20_000, seed: 1 }).unwrap();
    assert!((forward.value - log_z).abs() < 4.5 * forward.standard_error, "{} for {log_z}", forward.value);
}

/// Reverse annealing by its definition passes as the library's does; with a bug it does not.
#[test]
fn bugs_of_reverse_annealing_are_caught() {
    let rbm = cases::strong((3, Arc::new(Bernoulli)), (2, Arc::new(Spin)), 4);
    let oracle = Oracle::of(&rbm);
    let (base, v) = (&BASE[..5], states(oracle.visible, 3));
    let expected = Process::of(&oracle, base).end(&BETAS, &v);
    let off = |bug: Bug| {
        let chains = |(seed, v): (usize, &Vec<f64>)| reverse(&oracle, base, &BETAS, v, bug, seed as u64);
        let means: Vec<(f64, f64)> = v.iter().enumerate().map(|v| estimate(&chains(v))).collect();
        worst(&means, &expected)
    };
    assert!(off(Bug::None) < 4.5, "{}", off(Bug::None));
    for bug in [
        Bug::Ascending,
        Bug::WeightBeforeMove,
        Bug::ColderMove,
        Bug::NoGamma,
        Bug::VisibleBaseAlone,
        Bug::Inverted,
        Bug::Restarts,
        Bug::Unweighted,
    ] {
        let off = off(bug);
        eprintln!("{bug:?}: {off:.1} errors from the process");
        assert!(off > 6.0, "{bug:?} went unseen: {off}");
    }
}

#[test]
fn with_many_temperatures_the_bound_is_the_log_likelihood() {
    for rbm in machines() {
        let oracle = Oracle::of(&rbm);
        let (base, v, log_z) = (&BASE[..oracle.d + oracle.h], samples(&oracle), oracle.log_z());
        let got = raise(&rbm, base, &columns(&v), &settings(&Ais::linear(400), 200, 2)).unwrap();
        for (s, v) in got.samples.iter().zip(&v) {
            let exact = -oracle.free_energy(Side::Hidden, v) - log_z;
            let off = (s.log_p - exact).abs();
            assert!(s.chain_error < 0.02 && off < 4.5 * s.chain_error + 0.003, "{}: {s:?} for {exact}", name(&rbm));
        }
    }
}

#[test]
fn without_weights_every_chain_is_exact() {
    for mut rbm in machines() {
        rbm.update(&mut |p| p.slice_mut(0).fill(0.0));
        let oracle = Oracle::of(&rbm);
        let (v, base) = (samples(&oracle), [rbm.visible_bias(), rbm.hidden_bias()].concat());
        let got = raise(&rbm, &base, &columns(&v), &settings(&BETAS, 3, 1)).unwrap();
        close(got.log_partition, oracle.log_z(), 20.0, &name(&rbm));
        assert!(got.chain_error < 1e-6 && got.standard_error < 1e-6, "{}: {got:?}", name(&rbm));
    }
}

/// A machine with samples that a few temperatures bring into trouble.
fn twelve() -> (Rbm, Mat) {
    let rbm = cases::bernoulli(6, 4, 11);
    let v = cases::probes(&rbm, 40).rows(0, 6).clone_owned();
    (rbm, v)
}
#[test]
fn a_few_samples_stand_for_all_by_what_is_known_of_all() {
    let (rbm, v) = twelve();
    let log_f = eval::log_likelihoods(&rbm, &v, &LogPartition::exact(0.0)).unwrap();
    let got = raise(&rbm, &BASE10, &v, &Raise { samples: 7, ..settings(&BETAS, 3, 5) }).unwrap();
    assert!(got.samples.len() == 7 && got.samples.windows(2).all(|s| s[0].index < s[1].index));
    let (mean, spread) = estimate(&got.samples.iter().map(|s| s.log_partition).collect::<Vec<f64>>());
    got.samples.iter().for_each(|s| assert_eq!(s.log_p, log_f[s.index] - s.log_partition));
    let (all, sampling) = estimate(&log_f);
    close(got.value, all - mean, 1.0, "the mean over all, by log Z of some");
    close(got.unnormalised, all, 1.0, "log f over all");
    close(got.standard_error, spread, 1.0, "the spread of log Z");
    close(got.sampling_error, sampling, 1.0, "the spread of samples");
    let chains = got.samples.iter().map(|s| s.chain_error.powi(2)).sum::<f64>().sqrt() / 7.0;
    close(got.chain_error, chains, 1.0, "the error of the chains");
    // Other seeds choose others; more than there are is all.
    let index = |b: &LowerBound| b.samples.iter().map(|s| s.index).collect::<Vec<usize>>();
    let again = raise(&rbm, &BASE10, &v, &Raise { samples: 7, ..settings(&BETAS, 3, 6) }).unwrap();
    assert_ne!(index(&got), index(&again));
    for samples in [0, 40, 1000] {
        let all = raise(&rbm, &BASE10, &v, &Raise { samples, ..settings(&BETAS, 1, 5) }).unwrap();
        assert_eq!(index(&all), (0..40).collect::<Vec<usize>>());
        assert!(all.chain_error.is_nan() && all.standard_error > 0.0, "one chain a sample");
    }
    let one = raise(&rbm, &BASE10, &v, &Raise { samples: 1, ..settings(&BETAS, 30, 5) }).unwrap();
    assert_eq!(one.standard_error, one.samples[0].chain_error);
}
const BASE10: [f32; 10] = [0.2, -0.4, 0.1, 0.6, -0.2, 0.3, -0.1, 0.0, 0.5, -0.3];

#[test]
fn a_bound_does_not_depend_on_the_samples_beside_it() {
    let (rbm, v) = twelve();
    // 300 chains a sample: three samples at a time.
    let of = |n: usize| raise(&rbm, &BASE10, &v.columns(0, n).clone_owned(), &settings(&BETAS, 300, 5)).unwrap();
    assert_eq!(of(8).samples[..], of(13).samples[..8]);
    assert_ne!(of(8).samples[0].log_partition, of(8).samples[3].log_partition);
}
/// Over seeds the errors are the spread: the mean of the squared errors is its variance, within 4.5 deviations of χ² with 39 degrees.
#[test]
fn the_errors_of_the_bound_are_honest() {
    let (rbm, v) = twelve();
    let bounds = |samples: usize| -> Vec<LowerBound> {
        let one = |seed| raise(&rbm, &BASE10, &v, &Raise { samples, ..settings(&Ais::linear(20), 10, seed) }).unwrap();
        (0..40).map(one).collect()
    };
    let ratio = |bounds: &[LowerBound], error: fn(&LowerBound) -> f64| {
        let (_, spread) = estimate(&bounds.iter().map(|b| b.value).collect::<Vec<f64>>());
        40.0 * spread.powi(2) / (bounds.iter().map(|b| error(b).powi(2)).sum::<f64>() / 40.0)
    };
    let (some, all) = (bounds(8), bounds(0));
    let honest = 0.35..1.0 + 4.5 * (2.0f64 / 39.0).sqrt();
    let (chosen, chains) = (ratio(&some, |b| b.standard_error), ratio(&all, |b| b.chain_error));
    assert!(honest.contains(&chosen), "a choice of samples: {chosen}");
    assert!(honest.contains(&chains), "chains of all samples: {chains}");
    // The spread over samples errs on the safe side where all are taken.
    assert!(ratio(&all, |b| b.standard_error) < honest.end);
}
#[test]
fn what_cannot_be_bounded_is_refused() {
    let (rbm, v) = twelve();
    let bad: [&[f32]; 5] = [&[], &[0.0], &[0.0, 0.9], &[0.0, 0.5, 0.5, 1.0], &[0.0, f32::NAN, 1.0]];
    for betas in bad {
        let e = raise(&rbm, &BASE10, &v, &settings(betas, 3, 1)).unwrap_err();
        assert!(e.to_string().contains("inverse temperatures"), "{betas:?}: {e}");
    }
    let good = settings(&BETAS, 3, 1);
    let text = |base: &[f32], v: &Mat, settings: &Raise| raise(&rbm, base, v, settings).unwrap_err().to_string();
    assert!(text(&BASE10, &v, &settings(&BETAS, 0, 1)).contains("chains of a sample"));
    assert!(text(&BASE10[..6], &v, &good).contains("base-rate model"));
    assert!(text(&[f32::NAN; 10], &v, &good).contains("field 0"));
    assert!(text(&BASE10, &Mat::zeros(6, 0), &good).contains("number of samples"));
    assert!(text(&BASE10, &Mat::zeros(5, 3), &good).contains("rows of samples"));
    assert!(text(&BASE10, &Mat::from_element(6, 3, 0.5), &good).contains("unit 0 of sample 0"));
    let deep = raise(&Lateral::new(2), &BASE[..5], &Mat::zeros(2, 3), &good);
    assert!(matches!(deep, Err(Error::Intractable { .. })), "{deep:?}");
    let bracketing = Bracketing { exact: false, ..Bracketing::quick() };
    assert!(bracket(&rbm, &BASE10, &Mat::zeros(6, 0), &bracketing).is_err());
    assert!(bracket(&rbm, &BASE10, &v, &Bracketing { runs: 0, ..bracketing }).is_err());
}
