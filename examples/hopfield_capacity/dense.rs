//! Memories of higher order: how many random patterns they hold grows as a power of the spins, or exponentially.

use super::{Settings, patterns};
use crate::common::say;
use harmonium::models::{DenseMemory, Interaction};
use harmonium::rng::{ChainRng, derive};
use harmonium::viz::{Panel, Series};
use harmonium::{Mat, Result, States};
use rand::RngExt;
use serde_json::{Value, json};

/// A memory holds its patterns while fewer of their spins turn in a sweep.
const WRONG: f64 = 0.01;
/// Patterns of a memory that are looked at.
const LOOKED_AT: usize = 200;

/// How many patterns memories of some degrees hold, by the number of spins, and the slope of its logarithm in that of the spins.
pub(crate) struct Dense {
    sizes: Vec<usize>,
    degrees: Vec<(u32, Vec<f64>, f64)>,
    exponential: Vec<Value>,
}

/// By polynomials of degree 2 to 4, and by the exponential.
pub(crate) fn measure(s: &Settings) -> Result<Dense> {
    let sizes = if s.quick { vec![20, 30, 45] } else { vec![30, 45, 70, 100, 150] };
    let mut dense = Dense { sizes, degrees: vec![], exponential: vec![] };
    for degree in 2..=if s.quick { 3 } else { 4 } {
        let held: Vec<f64> = dense.sizes.iter().map(|&n| held(s, n, degree)).collect::<Result<_>>()?;
        let slope = slope(&dense.sizes, &held);
        let told: Vec<String> = dense.sizes.iter().zip(&held).map(|(n, p)| format!("{p:.0} by {n} spins")).collect();
        say(format_args!("degree {degree}: {} patterns; slope {slope:.2} (theory {})", told.join(", "), degree - 1));
        dense.degrees.push((degree, held, slope));
    }
    for (n, turned) in if s.quick { vec![(30, 3)] } else { vec![(50, 5), (100, 20)] } {
        let p = if s.quick { 1000 } else { 20_000 };
        let (fixed, recalled, looked) = exponential(s, n, p, turned)?;
        say(format_args!(
            "exponential, {n} spins, {p} patterns: of {looked}, {fixed} are fixed, {recalled} recalled with {turned} spins turned"
        ));
        dense.exponential.push(json!({ "n": n, "patterns": p, "turned": turned, "looked_at": looked, "fixed": fixed, "recalled": recalled }));
    }
    Ok(dense)
}

/// The number of patterns at which one spin in a hundred turns: halved until two numbers are next to each other, within 2 %.
fn held(s: &Settings, n: usize, degree: u32) -> Result<f64> {
    let (mut few, mut many) = (1usize, 2usize);
    while wrong(s, n, many, degree)? < WRONG {
        (few, many) = (many, 2 * many);
    }
    while many - few > 1 && many - few > few / 50 {
        let middle = few.midpoint(many);
        *(if wrong(s, n, middle, degree)? < WRONG { &mut few } else { &mut many }) = middle;
    }
    Ok(few.midpoint(many) as f64)
}
/// The share of spins that turn in a sweep from the patterns, of six memories.
fn wrong(s: &Settings, n: usize, p: usize, degree: u32) -> Result<f64> {
    let (mut turned, mut all) = (0, 0);
    for k in 0..if s.quick { 2u64 } else { 6 } {
        let x = patterns(n, p, derive(s.common.seed, &format!("{n} spins, {p} patterns, memory {k}")));
        let memory = DenseMemory::storing(x.as_view(), Interaction::Polynomial { degree }, 1.0)?;
        let looked = x.columns(0, p.min(LOOKED_AT)).clone_owned();
        let mut states = States::new(looked.clone());
        memory.recall(&mut states, 1)?;
        turned += states.x().iter().zip(looked.iter()).filter(|(a, b)| a != b).count();
        all += looked.len();
    }
    Ok(turned as f64 / all as f64)
}
/// Least squares in logarithms.
fn slope(sizes: &[usize], held: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> = sizes.iter().zip(held).map(|(n, p)| ((*n as f64).ln(), p.ln())).collect();
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    above / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}
/// Of some patterns of an exponential memory, how many are fixed, how many are recalled from so many turned spins; and of how many.
fn exponential(s: &Settings, n: usize, p: usize, turned: usize) -> Result<(usize, usize, usize)> {
    let x = patterns(n, p, derive(s.common.seed, &format!("exponential, {n} spins")));
    let memory = DenseMemory::storing(x.as_view(), Interaction::Exponential { rate: n as f64 }, 1.0)?;
    let looked = x.columns(0, p.min(300)).clone_owned();
    let fixed = memory.are_fixed(looked.as_view())?.iter().filter(|f| **f).count();
    let mut rng = ChainRng::new(derive(s.common.seed, "turned spins"));
    let mut cues: Mat = looked.clone();
    for mut cue in cues.column_iter_mut() {
        let mut left = turned;
        // Each of the remaining spins with the chance that makes the number right.
        for i in 0..n {
            if rng.random_range(0..n - i) < left {
                cue[i] = -cue[i];
                left -= 1;
            }
        }
    }
    let mut states = States::new(cues);
    memory.recall(&mut states, 20)?;
    let recalled = states.x().column_iter().zip(looked.column_iter()).filter(|(a, b)| a == b).count();
    Ok((fixed, recalled, looked.ncols()))
}

impl Dense {
    pub(crate) fn panel(&self) -> Panel {
        let log = |n: usize, p: f64| ((n as f64).log10(), p.log10());
        let series = self.degrees.iter().map(|(degree, held, slope)| Series {
            name: format!("degree {degree}: slope {slope:.2}"),
            points: self.sizes.iter().zip(held).map(|(&n, &p)| log(n, p)).collect(),
        });
        let title = "memories of higher order: patterns held (decimal logarithm)".into();
        Panel { title, x_label: "spins (decimal logarithm)".into(), series: series.collect() }
    }
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let of_degree = |(degree, _, slope): &(u32, Vec<f64>, f64)| {
            (format!("degree {degree}: slope of log P in log N (theory {})", degree - 1), format!("{slope:.2}"))
        };
        let of_size = |v: &Value| {
            let text = format!("{} fixed, {} recalled of {}", v["fixed"], v["recalled"], v["looked_at"]);
            (format!("exponential, {} spins, {} patterns, {} spins turned", v["n"], v["patterns"], v["turned"]), text)
        };
        self.degrees.iter().map(of_degree).chain(self.exponential.iter().map(of_size)).collect()
    }
    pub(crate) fn json(&self) -> Value {
        let of_degree =
            |(degree, held, slope): &(u32, Vec<f64>, f64)| json!({ "degree": degree, "held": held, "slope": slope });
        json!({ "sizes": self.sizes, "degrees": self.degrees.iter().map(of_degree).collect::<Vec<_>>(), "exponential": self.exponential })
    }
}
