//! How many random patterns a Hopfield network of N spins recalls, by rule, and where the rule of Hebb loses them all at once.
//!
//! ```text
//! cargo run --release --example hopfield_capacity
//! ```
//!
//! On two cores, shared with others' work, it takes 531 s. Half of Hebb's patterns are kept up to P/N = 0.1684 ± 0.0007 (500 spins), 0.1597 ± 0.0005 (1,000),
//! 0.1546 ± 0.0006 (2,000), 0.1506 ± 0.0005 (4,000), 0.1480 ± 0.0004 (8,000): for N → ∞ 0.1412 ± 0.0005 by a law in N^-1/2 (chi² 0.4
//! a degree of freedom), 0.1444 ± 0.0004 by one in N^-2/3 (0.5); one in 1/N does not fit (7.1). Of 500 spins, half are kept up to
//! 0.170 by Hebb, 0.213 after dreams, 0.514 by Storkey, 0.950 and beyond by the projection, 1.157 by the symmetric and 1.780 by the
//! plain perceptron. All 999 patterns projected in 1,000 spins are fixed; 1,600 patterns are learned in 448 sweeps.
//! Memories of degree 2, 3 and 4 hold N^1.00, N^2.04 and N^3.08 patterns; the exponential one holds 20,000 patterns of 100 spins, and recalls
//! 300 of 300 from a fifth of their spins turned. (Seed 1.)
#[path = "../common/mod.rs"]
mod common;
mod dense;

use clap::Parser;
use common::{Common, out_folder, print_table, say, write_json};
use harmonium::data::order;
use harmonium::infer::{Recall, overlaps, recall};
use harmonium::models::hopfield::{
    Hebb, Hopfield, Perceptron, Projected, PseudoInverse, Storkey, SymmetricPerceptron, Unlearning,
};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::{ChainRng, derive};
use harmonium::viz::{Panel, Series, curves, save_png};
use harmonium::{Mat, Result};
use rand::RngExt;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// How many random patterns a Hopfield network recalls, by rule.
#[derive(Parser, Clone, Debug)]
struct Settings {
    #[command(flatten)]
    common: Common,
    /// Folder for what is written [default: target/hopfield_capacity]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A smoke run: small networks, few of them
    #[arg(long)]
    quick: bool,
}

/// A pattern counts as kept if the state that it settles in overlaps with it more.
const KEPT: f64 = 0.95;
/// Patterns of a network that are looked at.
const LOOKED_AT: usize = 100;
/// Where the first-order transition of Hebb's rule lies (Amit, Gutfreund and Sompolinsky 1985).
const HEBB: f64 = 0.138;

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.common.threads, || measure(&settings))
}

/// A rule, its name, and the loads at which it is looked at.
struct Rule {
    name: &'static str,
    loads: Vec<f64>,
    network: fn(&Mat, u64) -> Result<Hopfield>,
}

fn rules() -> Vec<Rule> {
    let grid = |from: usize, to: usize, step: usize| (from..=to).step_by(step).map(|k| k as f64 / 100.0).collect();
    vec![
        Rule { name: "Hebb", loads: grid(6, 30, 2), network: hebb },
        Rule { name: "Hebb, dreams unlearned", loads: grid(6, 42, 4), network: unlearned },
        Rule { name: "Storkey", loads: grid(6, 96, 6), network: storkey },
        Rule {
            name: "pseudo-inverse, own dropped",
            loads: grid(10, 100, 10),
            network: |x, _| projection(x, Projected::Dropped),
        },
        Rule {
            name: "pseudo-inverse, own kept",
            loads: grid(10, 100, 10),
            network: |x, _| projection(x, Projected::WithOwn),
        },
        Rule { name: "symmetric perceptron", loads: grid(5, 155, 30), network: symmetric },
        Rule { name: "perceptron", loads: grid(5, 185, 15), network: perceptron },
    ]
}
fn hebb(x: &Mat, _: u64) -> Result<Hopfield> {
    let mut rule = Hebb::new(x.nrows())?;
    rule.store(x.as_view())?;
    rule.network()
}
fn unlearned(x: &Mat, seed: u64) -> Result<Hopfield> {
    let mut rule = Unlearning::new(hebb(x, seed)?, 0.01, seed)?;
    rule.dream(4 * x.ncols());
    Ok(rule.network().clone())
}
fn storkey(x: &Mat, _: u64) -> Result<Hopfield> {
    let mut rule = Storkey::new(x.nrows())?;
    rule.store(x.as_view())?;
    rule.network()
}
fn projection(x: &Mat, diagonal: Projected) -> Result<Hopfield> {
    let mut rule = PseudoInverse::new(x.nrows())?;
    rule.store(x.as_view())?;
    Ok(rule.network(diagonal))
}
fn symmetric(x: &Mat, _: u64) -> Result<Hopfield> {
    let mut rule = SymmetricPerceptron::new(x.nrows(), 0.0)?;
    rule.store(x.as_view())?;
    rule.learn(60);
    Ok(rule.network())
}
fn perceptron(x: &Mat, _: u64) -> Result<Hopfield> {
    let mut rule = Perceptron::new(x.nrows(), 0.0)?;
    rule.store(x.as_view())?;
    rule.learn(3000);
    Ok(rule.network())
}

/// Unbiased random patterns, N × P.
fn patterns(n: usize, p: usize, seed: u64) -> Mat {
    let mut rng = ChainRng::new(derive(seed, "patterns"));
    Mat::from_fn(n, p, |_, _| if rng.random::<bool>() { 1.0 } else { -1.0 })
}
/// The share of patterns that the network keeps when it starts at them, with every `turned`-th spin turned (none if 0).
fn kept(network: &Hopfield, x: &Mat, turned: usize, seed: u64) -> Result<f64> {
    let looked: Vec<usize> = order(x.ncols(), seed, 0).into_iter().take(LOOKED_AT).collect();
    let truth = x.select_columns(&looked);
    let mut cues = truth.clone();
    for (j, mut cue) in cues.column_iter_mut().enumerate() {
        let places = order(x.nrows(), derive(seed, "turned spins"), j as u64);
        places.iter().take(x.nrows().checked_div(turned).unwrap_or(0)).for_each(|&i| cue[i] = -cue[i]);
    }
    let settled = recall(network, cues.as_view(), &Recall { sweeps: 200, seed, ..Recall::default() })?;
    let overlap =
        |j: usize| -> Result<f64> { Ok(f64::from(overlaps(truth.columns(j, 1), settled.states.columns(j, 1))?[0])) };
    let mut n_kept = 0;
    for j in 0..looked.len() {
        n_kept += usize::from(overlap(j)? > KEPT);
    }
    Ok(n_kept as f64 / looked.len() as f64)
}

fn measure(s: &Settings) -> Result<()> {
    let began = Instant::now();
    let out = out_folder(&s.out, "hopfield_capacity")?;
    let drop = sharp_drop(s)?;
    let rules = by_rule(s)?;
    let checks = promises(s)?;
    let dense = dense::measure(s)?;
    let by_rule = [(0, true), (1, true), (0, false), (1, false)].map(|(which, one_pass)| rules.panel(which, one_pass));
    let panels: Vec<Panel> = [drop.panel()].into_iter().chain(by_rule).chain([dense.panel()]).collect();
    save_png(&curves(&panels)?, &out.join("capacity.png"))?;
    let best = drop.fits[0];
    let mut rows = vec![(
        format!("Hebb: half of the patterns kept up to P/N, N → ∞ ({HEBB} in theory)"),
        format!("{:.4} ± {:.4} (by N^-{:.2})", best.limit, best.error, best.exponent),
    )];
    for (name, shares) in rules.names.iter().zip(&rules.shares) {
        rows.push((
            format!("{name}: half kept from the pattern, from 10 % turned, up to P/N"),
            format!("{} {}", told(&shares[0]), told(&shares[1])),
        ));
    }
    rows.extend(checks.iter().map(|(what, value)| (what.clone(), value.to_string())));
    rows.extend(dense.rows());
    rows.push(("time of it all".into(), format!("{:.0} s", began.elapsed().as_secs_f64())));
    say("");
    print_table(&rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>());
    let summary = json!({
        "format": SUMMARY_FORMAT, "hebb_capacity": best.limit, "hebb_capacity_error": best.error,
        "hebb_laws": drop.fits.iter().map(|f| json!({"exponent": f.exponent, "limit": f.limit, "error": f.error, "chi_square": f.chi_square})).collect::<Vec<_>>(),
        "hebb_by_size": drop.sizes.iter().zip(&drop.halves).map(|(n, a)| json!({"n": n, "half": a.0, "error": a.1})).collect::<Vec<_>>(),
        "rules": rules.names.iter().zip(&rules.half).map(|(r, a)| json!({"rule": r, "n": rules.n, "half": a[0], "half_of_turned": a[1]})).collect::<Vec<_>>(),
        "memories_of_higher_order": dense.json(),
        "checks": checks.into_iter().collect::<serde_json::Map<_, _>>(),
        "settings": { "quick": s.quick, "seed": s.common.seed, "kept_above": KEPT },
        "seconds": began.elapsed().as_secs_f64(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\nwritten to {}: capacity.png, summary.json", out.display()));
    Ok(())
}
/// The load at which half are kept, in words.
fn told(points: &[(f64, f64)]) -> String {
    match (half(points), points.last()) {
        (Some(alpha), _) => format!("{alpha:.3}"),
        (None, Some((load, share))) if *share >= 0.5 => format!("{load:.3} and more"),
        _ => "none".into(),
    }
}
/// Where a falling curve of shares passes one half, between the last point above and the first below; past the end, none.
fn half(points: &[(f64, f64)]) -> Option<f64> {
    let k = points.windows(2).rposition(|w| w[0].1 >= 0.5 && w[1].1 < 0.5)?;
    let ((a, y), (b, z)) = (points[k], points[k + 1]);
    Some(a + (b - a) * (y - 0.5) / (y - z))
}

/// How Hebb's rule loses its patterns, by size.
struct Drop {
    sizes: Vec<usize>,
    curves: Vec<Vec<(f64, f64)>>,
    halves: Vec<(f64, f64)>, // and their errors
    fits: Vec<Fit>,
}
/// `a + c N^-x` through the halves.
#[derive(Clone, Copy)]
struct Fit {
    exponent: f64,
    limit: f64,
    error: f64,
    chi_square: f64, // a degree of freedom
}
/// Networks of so many spins: how many, the first load, and the step to the next.
type Size = (usize, u64, f64, f64);
const SIZES: [Size; 5] = [
    (500, 60, 0.12, 0.006),
    (1000, 30, 0.13, 0.005),
    (2000, 14, 0.13, 0.004),
    (4000, 8, 0.136, 0.0025),
    (8000, 5, 0.138, 0.002),
];
const QUICK: [Size; 3] = [(200, 6, 0.12, 0.01), (400, 4, 0.12, 0.008), (600, 4, 0.12, 0.007)];

/// Of several networks of each size the load at which half of the patterns are kept; and laws through their means.
fn sharp_drop(s: &Settings) -> Result<Drop> {
    let mut drop = Drop { sizes: vec![], curves: vec![], halves: vec![], fits: vec![] };
    for &(n, networks, from, step) in if s.quick { &QUICK[..] } else { &SIZES[..] } {
        let loads: Vec<f64> = (0..14).map(|k| from + step * f64::from(k)).collect();
        let (mut mean, mut halves) = (vec![0.0; loads.len()], vec![]);
        for k in 0..networks {
            let seed = derive(s.common.seed, &format!("size {n}, network {k}"));
            let all = patterns(n, (loads[loads.len() - 1] * n as f64).round() as usize, seed);
            let mut curve = vec![];
            for (load, mean) in loads.iter().zip(&mut mean) {
                let p = (load * n as f64).round() as usize;
                let x = all.columns(0, p).clone_owned();
                let share = kept(&hebb(&x, seed)?, &x, 0, seed)?;
                curve.push((p as f64 / n as f64, share));
                *mean += share / networks as f64;
            }
            halves.extend(half(&curve));
        }
        let (m, error) = mean_and_error(&halves);
        say(format_args!(
            "Hebb, {n} spins: half kept up to P/N = {m:.4} ± {error:.4} ({} of {networks} networks)",
            halves.len()
        ));
        drop.sizes.push(n);
        drop.halves.push((m, error));
        drop.curves.push(loads.iter().copied().zip(mean).collect());
    }
    drop.fits = [0.5, 2.0 / 3.0, 1.0].map(|x| fit(&drop.sizes, &drop.halves, x)).to_vec();
    for f in &drop.fits {
        let Fit { exponent, limit, error, chi_square } = f;
        say(format_args!(
            "  a + c/N^{exponent:.2}: a = {limit:.4} ± {error:.4}, chi² {chi_square:.1} a degree of freedom"
        ));
    }
    drop.fits.sort_by(|a, b| a.chi_square.total_cmp(&b.chi_square));
    Ok(drop)
}
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}
/// The law with this exponent, by weighted least squares.
fn fit(sizes: &[usize], values: &[(f64, f64)], exponent: f64) -> Fit {
    let points = || sizes.iter().zip(values).map(|(&n, &(y, e))| ((n as f64).powf(-exponent), y, e.max(1e-4).powi(-2)));
    let add = |[w, x, y, xx, xy]: [f64; 5], (a, b, c): (f64, f64, f64)| {
        [w + c, x + c * a, y + c * b, xx + c * a * a, xy + c * a * b]
    };
    let [w, x, y, xx, xy] = points().fold([0.0; 5], add);
    let det = w * xx - x * x;
    let (limit, slope) = ((xx * y - x * xy) / det, (w * xy - x * y) / det);
    let off: f64 = points().map(|(a, b, c)| c * (b - limit - slope * a).powi(2)).sum();
    Fit { exponent, limit, error: (xx / det).sqrt(), chi_square: off / (sizes.len() as f64 - 2.0) }
}

impl Drop {
    fn panel(&self) -> Panel {
        let mut series: Vec<Series> = self
            .sizes
            .iter()
            .zip(&self.curves)
            .map(|(n, curve)| Series { name: format!("N = {n}"), points: curve.clone() })
            .collect();
        series.push(lines(&[HEBB]));
        let title = "Hebb: share of patterns that are kept".into();
        Panel { title, x_label: "P/N".into(), series }
    }
}
/// Lines that stand at the loads of theory; what is not a number leaves a gap.
fn lines(loads: &[f64]) -> Series {
    let name = format!("theory: {}", loads.iter().map(f64::to_string).collect::<Vec<_>>().join(", "));
    Series { name, points: loads.iter().flat_map(|&a| [(a, 0.0), (a, 1.0), (a, f64::NAN)]).collect() }
}

/// What every rule keeps, started at the patterns and at patterns of which every tenth spin is turned.
struct ByRule {
    n: usize,
    names: Vec<&'static str>,
    shares: Vec<[Vec<(f64, f64)>; 2]>,
    half: Vec<[Option<f64>; 2]>,
}

fn by_rule(s: &Settings) -> Result<ByRule> {
    let (n, networks) = if s.quick { (100, 1) } else { (500, 4) };
    let mut all = ByRule { n, names: vec![], shares: vec![], half: vec![] };
    for rule in rules() {
        let began = Instant::now();
        let mut shares = [vec![], vec![]];
        for &load in &rule.loads {
            let p = ((load * n as f64).round() as usize).max(1);
            let mut sum = [0.0; 2];
            for k in 0..networks {
                let seed = derive(s.common.seed, &format!("load {load}, network {k}"));
                let x = patterns(n, p, seed);
                let network = (rule.network)(&x, seed)?;
                sum[0] += kept(&network, &x, 0, seed)? / f64::from(networks);
                sum[1] += kept(&network, &x, 10, seed)? / f64::from(networks);
            }
            shares[0].push((load, sum[0]));
            shares[1].push((load, sum[1]));
        }
        let halves = [half(&shares[0]), half(&shares[1])];
        let seconds = began.elapsed().as_secs_f64();
        say(format_args!(
            "{}, {n} spins: {} from the pattern, {} from 10 % turned ({seconds:.1} s)",
            rule.name,
            told(&shares[0]),
            told(&shares[1])
        ));
        all.names.push(rule.name);
        all.shares.push(shares);
        all.half.push(halves);
    }
    Ok(all)
}
impl ByRule {
    /// The rules that learn in one pass, or the others, started at the patterns or near them.
    fn panel(&self, which: usize, one_pass: bool) -> Panel {
        let of_rule = |(name, shares): (&&str, &[Vec<(f64, f64)>; 2])| {
            let learns_once = ["Hebb", "Storkey"].iter().any(|n| name.starts_with(n));
            (learns_once == one_pass).then(|| Series { name: (*name).into(), points: shares[which].clone() })
        };
        let mut series: Vec<Series> = self.names.iter().zip(&self.shares).filter_map(of_rule).collect();
        let theory: &[f64] = if one_pass { &[HEBB] } else { &[1.0, 2.0] };
        series.push(lines(theory));
        let from = ["the patterns", "10 % of their spins turned"][which];
        Panel { title: format!("kept, from {from} (N = {})", self.n), x_label: "P/N".into(), series }
    }
}

/// What the rules promise, looked at: fixed points of the projection, the perceptron beyond 1.5 N.
fn promises(s: &Settings) -> Result<Vec<(String, serde_json::Value)>> {
    let n = if s.quick { 100 } else { 1000 };
    let mut checks = vec![];
    for p in [n * 95 / 100, n - 1] {
        let x = patterns(n, p, derive(s.common.seed, "independent patterns"));
        let fixed = projection(&x, Projected::WithOwn)?.are_fixed(x.as_view())?;
        let n_fixed = fixed.iter().filter(|&&f| f).count();
        checks.push((format!("pseudo-inverse, {n} spins, {p} patterns: fixed points"), json!(n_fixed)));
    }
    for p in [n * 3 / 2, n * 8 / 5] {
        let mut rule = Perceptron::new(n, 0.0)?;
        rule.store(patterns(n, p, derive(s.common.seed, "patterns of the perceptron")).as_view())?;
        let learned = rule.learn(20_000);
        let what = format!(
            "perceptron, {n} spins, {p} patterns: sweeps until all are held ({} spins are not)",
            learned.unstable
        );
        checks.push((what, json!(learned.epochs)));
    }
    Ok(checks)
}
