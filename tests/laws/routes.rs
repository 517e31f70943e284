//! Law 7: the fast routes of products with states (lists of active units, tables of partial sums) sample what plain
//! arithmetic samples, on machines large enough that several panels, blocks and pieces take part.

use crate::reference::{estimate, pick, wide};
use harmonium::models::Rbm;
use harmonium::samplers::BlockGibbs;
use harmonium::units::{Bernoulli, Spin};
use harmonium::{Block, ChainRng, Chains, Energy, Gibbs, Learn, Mat, MatMut, MatRef, Response, States, Train, Version};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// The same machine with fields by definition, in double precision.
struct Plain<'a> {
    rbm: &'a Rbm,
    version: Version,
}
impl Energy for Plain<'_> {
    fn blocks(&self) -> &[Block] {
        self.rbm.blocks()
    }
    fn version(&self) -> Version {
        self.version
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.rbm.energy(x, out);
    }
}
impl Gibbs for Plain<'_> {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let (d, w) = (Learn::n_visible(self.rbm), self.rbm.weights());
        let (b, c) = (self.rbm.visible_bias(), self.rbm.hidden_bias());
        for j in 0..x.ncols() {
            for (k, row) in rows.clone().enumerate() {
                let term = |other: usize, weight: f32| x[(other, j)] as f64 * weight as f64;
                let sum: f64 = match row < d {
                    true => b[row] as f64 + (0..w.nrows()).map(|h| term(d + h, w[(h, row)])).sum::<f64>(),
                    false => c[row - d] as f64 + (0..d).map(|v| term(v, w[(row - d, v)])).sum::<f64>(),
                };
                out[(k, j)] = sum as f32;
            }
        }
    }
}

/// Normal weights, one bias for all units of a layer.
fn machine(mut rbm: Rbm, deviation: f32, biases: [f32; 2], seed: u64) -> Rbm {
    let mut rng = ChainRng::new(seed);
    rbm.update(&mut |p| {
        let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
        p.slice_mut(0).iter_mut().for_each(|w| *w = deviation * normal());
        p.slice_mut(1).iter_mut().for_each(|b| *b = biases[0] + 0.3 * normal());
        p.slice_mut(2).iter_mut().for_each(|c| *c = biases[1] + 0.3 * normal());
    });
    rbm
}
/// One for every route: lists both ways, tables both ways, one of each, tables of spins, and more units than a piece of a
/// list has.
fn machines() -> Vec<(&'static str, Rbm)> {
    let bits = || Rbm::new((150, Bernoulli), (90, Bernoulli));
    vec![
        ("lists", machine(bits(), 0.2, [-2.0, -2.0], 1)),
        ("tables", machine(bits(), 0.2, [0.5, 0.5], 2)),
        ("lists and tables", machine(bits(), 0.2, [-2.0, 1.0], 3)),
        ("between lists and tables", machine(bits(), 0.2, [-0.6, -0.6], 4)),
        ("spins", machine(Rbm::new((130, Spin), (67, Spin)), 0.1, [0.2, 0.0], 5)),
        ("long lists", machine(Rbm::new((1100, Bernoulli), (35, Bernoulli)), 0.1, [-2.0, 0.0], 6)),
    ]
}
/// States that chains come to.
fn typical(rbm: &Rbm, columns: usize) -> Mat {
    let mut chains = Chains::zeros(rbm, columns, 11);
    chains.advance(&BlockGibbs::new(5), rbm);
    chains.states.x().clone_owned()
}

#[test]
fn fields_are_those_of_the_definition() {
    for (what, rbm) in &machines() {
        let (plain, mut states) = (Plain { rbm, version: Version::fresh() }, States::new(typical(rbm, 70)));
        let (mut seen, mut scale) = (0f32, 0f32);
        for block in 0..2 {
            let rows = rbm.blocks()[block].rows.clone();
            let mut expected = Mat::zeros(rows.len(), 70);
            plain.field(rows, states.x(), expected.as_view_mut());
            let got = states.field(rbm, block);
            seen = seen.max((got - &expected).amax());
            scale = scale.max(expected.amax());
        }
        // Some hundred additions, each rounded to half of 2⁻²³ of a sum that stays below the largest field or so.
        assert!(seen < 100.0 * f32::EPSILON * scale, "{what}: off by {seen}, fields up to {scale}");
    }
}
/// From the same streams the same draws, but where a field differs in its last bits: a probability of at most ¼ of the
/// difference.
#[test]
fn draws_are_those_of_the_definition() {
    for (what, rbm) in &machines() {
        let start = typical(rbm, 300);
        let plain = Plain { rbm, version: Version::fresh() };
        let (mut fast, mut slow) = (Chains::new(start.clone(), 7), Chains::new(start, 7));
        fast.advance(&BlockGibbs::new(1), rbm);
        slow.advance(&BlockGibbs::new(1), &plain);
        let differ = fast.states.x().iter().zip(slow.states.x().iter()).filter(|(a, b)| a != b).count();
        // Differences of 1e-5 would flip 3e-6 of at most 340,500 draws, and what they flip changes its column.
        assert!(differ < 150, "{what}: {differ} of {} draws differ", fast.states.x().len());
    }
}
#[test]
fn moments_are_those_of_the_plain_route() {
    const CHAINS: usize = 1500;
    for (what, rbm) in machines().iter().filter(|(what, _)| *what != "long lists") {
        let start = typical(rbm, CHAINS);
        let plain = Plain { rbm, version: Version::fresh() };
        let (mut fast, mut slow) = (Chains::new(start.clone(), 21), Chains::new(start, 22));
        fast.advance(&BlockGibbs::new(10), rbm);
        slow.advance(&BlockGibbs::new(10), &plain);
        let row = |chains: &Chains, i: usize| chains.states.x().row(i).iter().map(|&v| v as f64).collect::<Vec<_>>();
        let compare = |a: &[f64], b: &[f64], unit: &str| {
            let ((a, ea), (b, eb)) = (estimate(a), estimate(b));
            // 240 units and 60 pairs on each of five machines: 5.5 deviations once in ten thousand runs.
            assert!((a - b).abs() <= 5.5 * ea.hypot(eb).max(1e-3), "{what}, {unit}: {a} and {b}");
        };
        let n = rbm.n_rows();
        (0..n).for_each(|i| compare(&row(&fast, i), &row(&slow, i), &format!("unit {i}")));
        let d = Learn::n_visible(rbm);
        for k in 0..60 {
            let (i, j) = (k * 7 % d, d + k * 11 % (n - d));
            let pair = |c: &Chains| row(c, i).iter().zip(row(c, j)).map(|(a, b)| a * b).collect::<Vec<f64>>();
            compare(&pair(&fast), &pair(&slow), &format!("units {i} and {j}"));
        }
    }
}
/// Exact draws of a machine of 60 × 10 random bits, from all 1024 hidden states, stay exact draws.
#[test]
fn a_random_machine_does_not_drift() {
    const CHAINS: usize = 20_000;
    for biases in [[-1.5, -1.0], [0.3, 0.0]] {
        let rbm = machine(Rbm::new((60, Bernoulli), (10, Bernoulli)), 0.3, biases, 8);
        let hidden = Mat::from_fn(10, 1024, |i, k| (k >> i & 1) as f32);
        let free = rbm.hidden_free_energy(hidden.as_view()).unwrap();
        let lowest = free.iter().copied().fold(f64::INFINITY, f64::min);
        let weight: Vec<f64> = free.iter().map(|f| (lowest - f).exp()).collect();
        let total: f64 = weight.iter().sum();
        let p: Vec<f64> = weight.iter().map(|w| w / total).collect();
        let mut rng = ChainRng::new(3);
        let mut start = Mat::zeros(70, CHAINS);
        for mut column in start.column_iter_mut() {
            column.rows_mut(60, 10).copy_from(&hidden.column(pick(&p, rng.random())));
        }
        let mut chains = Chains::new(start, 4);
        chains.each(|slab, rng| slab.respond(&rbm, Rbm::VISIBLE, &mut Response::sample(rng)));
        let means = rbm.visible_mean(hidden.as_view()).unwrap();
        let expected = |i: usize| -> f64 {
            let value = |k: usize| if i < 60 { means[(i, k)] as f64 } else { wide(&hidden, k)[i - 60] };
            p.iter().enumerate().map(|(k, p)| p * value(k)).sum()
        };
        for sweeps in [0, 1, 4, 16] {
            chains.advance(&BlockGibbs::new(sweeps), &rbm);
            for i in 0..70 {
                let unit: Vec<f64> = chains.states.x().row(i).iter().map(|&v| v as f64).collect();
                let (mean, error) = estimate(&unit);
                // 560 comparisons: five deviations once in three thousand runs.
                assert!((mean - expected(i)).abs() < 5.0 * error.max(1e-4), "unit {i} after {sweeps} sweeps: {mean}");
            }
        }
    }
}
