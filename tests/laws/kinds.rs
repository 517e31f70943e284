//! Unit kinds that the kit must be able to judge, though none like them is shipped: of more than one row, and real with
//! a range that ends.

use crate::cases;
use harmonium::{ChainRng, Unit, laws};
use rand::RngExt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// One of three: exactly one row of three is 1.
#[derive(Clone, Copy, Debug)]
struct OneOf3;

fn exponentials(field: &[f32]) -> [f64; 3] {
    let most = field.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    [0, 1, 2].map(|k| (field[k] as f64 - most as f64).exp())
}
/// By units of three rows.
fn by_threes(field: &[f32], out: &mut [f32], mut f: impl FnMut(&[f32], usize) -> f64) {
    for (field, out) in field.chunks(3).zip(out.chunks_mut(3)) {
        out.iter_mut().enumerate().for_each(|(k, o)| *o = f(field, k) as f32);
    }
}
fn share(field: &[f32], k: usize) -> f64 {
    let e = exponentials(field);
    e[k] / e.iter().sum::<f64>()
}
impl Unit for OneOf3 {
    fn name(&self) -> &'static str {
        "one of three"
    }
    fn width(&self) -> usize {
        3
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Some((0..3).map(|k| (0..3).map(|r| (r == k) as u8 as f32).collect()).collect())
    }
    fn range(&self) -> RangeInclusive<f32> {
        0.0..=1.0
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        let most = |f: &[f32]| f.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        field.chunks(3).map(|f| most(f) + exponentials(f).iter().sum::<f64>().ln()).sum()
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        by_threes(field, out, share);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        by_threes(field, out, |f, k| share(f, k) * (share(f, (k + 1) % 3) + share(f, (k + 2) % 3)));
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        let best = |f: &[f32]| (0..3).max_by(|&a, &b| f[a].total_cmp(&f[b])).unwrap();
        by_threes(field, out, |f, k| (best(f) == k) as u8 as f64);
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        for (f, out) in field.chunks(3).zip(out.chunks_mut(3)) {
            let u = rng.random::<f64>();
            let k = (u >= share(f, 0)) as usize + (u >= share(f, 0) + share(f, 1)) as usize;
            out.iter_mut().enumerate().for_each(|(r, o)| *o = (r == k) as u8 as f32);
        }
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(mean).for_each(|(o, m)| *o = m.ln());
    }
}

/// `x ∈ [0, 1]`, `U = 0`: `Γ = log (e^φ - 1)/φ` (Loaiza-Ganem and Cunningham, "The continuous Bernoulli", 2019).
#[derive(Clone, Copy, Debug)]
struct Interval;

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

#[test]
fn kinds_of_many_rows_and_of_bounded_range_can_be_judged() {
    let kinds: [Arc<dyn Unit>; 2] = [Arc::new(OneOf3), Arc::new(Interval)];
    for seed in 0..3 {
        for (visible, d) in kinds.iter().zip([6, 3]) {
            for (hidden, h) in kinds.iter().zip([3, 2]) {
                let mut rbm = cases::strong((d, visible.clone()), (h, hidden.clone()), seed + 1);
                let verdicts = laws::model(&mut rbm, seed);
                assert!(verdicts.len() >= 8);
                for verdict in verdicts {
                    verdict.unwrap_or_else(|broken| panic!("{}: {broken}", cases::name(&rbm)));
                }
            }
        }
    }
}
