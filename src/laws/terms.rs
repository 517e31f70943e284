//! The terms of a sum over all values of one unit, or of an integral.
//!
//! Nothing is known of a real unit but its range and the exponent at a value: the mass is looked for on a ladder of
//! values of all sizes, and integrated by Simpson's rule, with nodes on the ends of the range, at zero, and at steps
//! that are powers of two, so that single precision holds them exactly. Two narrow peaks of very different widths could
//! be missed.

use crate::eval::log_mean_exp;
use crate::{Error, Result, Unit};
use std::ops::RangeInclusive;

/// Exponents this far below the largest do not count: `e⁻⁴⁵` is 3·10⁻²⁰.
const DROP: f64 = 45.0;
/// An end of a range beyond this is no end.
const ENDLESS: f32 = 1e30;
/// Steps in the distance in which the exponent falls by a half.
const FINENESS: f64 = 16.0;

/// The most nodes, before they are refined.
const MOST: f64 = 1e6;

/// Gives the exponents of values, which lie one after the other.
pub(super) type Exponents<'a> = &'a mut dyn FnMut(&[f32]) -> Vec<f64>;

/// The values of one unit, and the logarithms of their terms in `Σ exp(g)` or `∫ exp(g)`.
pub(super) struct Terms {
    width: usize,
    values: Vec<f32>,
    logs: Vec<f64>,
    /// The largest exponent.
    pub(super) peak: f64,
}

impl Terms {
    /// Over all values of a unit with these exponents.
    pub(super) fn of(unit: &dyn Unit, exponents: Exponents<'_>) -> Result<Self> {
        let width = unit.width();
        match unit.support() {
            Some(values) => {
                let values = values.concat();
                let logs = exponents(&values);
                let peak = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Ok(Self { width, values, logs, peak })
            }
            None if width == 1 => integrate(&unit.range(), exponents).ok_or_else(|| {
                Error::value(format!("∫ exp(φx - U) of {} units", unit.name()), "a finite positive number", "another")
            }),
            None => Err(Error::Intractable {
                what: format!("integrating {} units, which are real and {width} rows wide", unit.name()),
                instead: "a test of your own",
            }),
        }
    }
    /// `log Σ exp(g)`
    pub(super) fn log_sum(&self) -> f64 {
        log_mean_exp(&self.logs) + (self.logs.len() as f64).ln()
    }
    /// Values with their probabilities.
    pub(super) fn probabilities(&self) -> impl Iterator<Item = (&[f32], f64)> {
        let log_sum = self.log_sum();
        self.values.chunks(self.width).zip(&self.logs).map(move |(x, g)| (x, (g - log_sum).exp()))
    }
    /// The expectation of a function of the value.
    pub(super) fn mean_of(&self, f: impl Fn(&[f32]) -> f64) -> f64 {
        self.probabilities().map(|(x, p)| p * f(x)).sum()
    }
}

/// Whether an end of a range is one.
pub(super) fn is_end(end: f32) -> bool {
    end.abs() < ENDLESS
}

fn integrate(range: &RangeInclusive<f32>, exponents: Exponents<'_>) -> Option<Terms> {
    let (start, end) = (*range.start(), *range.end());
    let rungs = (-20..=24).flat_map(|k| (4..8).map(move |m| m as f32 * 0.25 * 2f32.powi(k)));
    let mut ladder: Vec<f32> = rungs.flat_map(|x| [x, -x]).chain([0.0, start, end]).collect();
    ladder.retain(|x| range.contains(x) && is_end(*x));
    ladder.sort_by(f32::total_cmp);
    let on_ladder = exponents(&ladder);
    let best =
        (0..ladder.len()).filter(|&k| !on_ladder[k].is_nan()).max_by(|&a, &b| on_ladder[a].total_cmp(&on_ladder[b]));
    let (mut top, mut peak) = best.map(|k| (ladder[k], on_ladder[k])).filter(|(_, g)| g.is_finite())?;
    climb(range, exponents, &mut top, &mut peak);
    // Mass that lies apart from the top ends before the next rung.
    let counts = |k: &usize| on_ladder[*k] > peak - DROP;
    let rung = |k: usize| ladder[k.min(ladder.len() - 1)] as f64;
    let low = (0..ladder.len()).find(counts).map_or(top as f64, |k| rung(k.saturating_sub(1)));
    let high = (0..ladder.len()).rfind(counts).map_or(top as f64, |k| rung(k + 1));
    let [left, right] = [-1.0, 1.0].map(|way| fall(range, exponents, (top, peak), way, DROP));
    let (low, high) = (low.min(top as f64 - left?), high.max(top as f64 + right?));
    // Where the range ends before the exponent has fallen, its end is no scale.
    let mut scale = high - low;
    for way in [-1.0, 1.0] {
        let half = fall(range, exponents, (top, peak), way, 0.5)?;
        if half > 0.0 && exponents(&[(top as f64 + way * half) as f32])[0] < peak - 0.25 {
            scale = scale.min(half);
        }
    }
    let mut step = scale.log2().floor().exp2() / FINENESS;
    if !step.is_finite() || step == 0.0 || (high - low) / step > MOST {
        return None;
    }
    let mut terms = simpson((low, high), (start, end), step, exponents);
    for _ in 0..4 {
        if (terms.log_sum() - coarser(&terms)).abs() < 1e-6 {
            break;
        }
        step *= 0.5;
        terms = simpson((low, high), (start, end), step, exponents);
    }
    terms.peak = peak;
    Some(terms)
}

/// Uphill by steps that are halved where they no longer help.
fn climb(range: &RangeInclusive<f32>, exponents: Exponents<'_>, top: &mut f32, peak: &mut f64) {
    let mut step = (top.abs() / 4.0).max(2f32.powi(-20));
    for _ in 0..200 {
        let tried = [*top - step, *top + step].map(|x| x.clamp(*range.start(), *range.end()));
        let got = exponents(&tried);
        let k = (got[1] > got[0]) as usize;
        if got[k] > *peak {
            (*top, *peak) = (tried[k], got[k]);
        } else {
            step *= 0.5;
        }
        if *top + step == *top || step < 2f32.powi(-24) {
            break;
        }
    }
}

/// How far from the top the exponent has fallen by `drop`, to a quarter or so; or where the range ends. `None` if it
/// never falls.
fn fall(
    range: &RangeInclusive<f32>,
    exponents: Exponents<'_>,
    (top, peak): (f32, f64),
    way: f64,
    drop: f64,
) -> Option<f64> {
    let end = if way < 0.0 { *range.start() } else { *range.end() };
    let room = if is_end(end) { (end as f64 - top as f64).abs() } else { f64::INFINITY };
    let mut below = |d: f64| exponents(&[(top as f64 + way * d) as f32])[0] < peak - drop;
    let doublings = (-24..=40).map(|k: i32| 2f64.powi(k));
    let far = doublings.map(|d| d.min(room)).find(|&d| d == room || below(d))?;
    Some([0.625, 0.75, 0.875].map(|share| share * far).into_iter().find(|&d| d < room && below(d)).unwrap_or(far))
}

/// Simpson's rule from `low` to `high`, which are widened to multiples of two steps, but not beyond the ends of the
/// range.
fn simpson((low, high): (f64, f64), (start, end): (f32, f32), step: f64, exponents: Exponents<'_>) -> Terms {
    let low = ((low / (4.0 * step)).floor() * 4.0 * step).max(start as f64);
    let n = 4 * ((high - low) / (4.0 * step)).ceil().max(1.0) as usize;
    let over = low + n as f64 * step > end as f64;
    let step = if over { (end as f64 - low) / n as f64 } else { step };
    let values: Vec<f32> = (0..=n).map(|k| ((low + k as f64 * step) as f32).clamp(start, end)).collect();
    let mut logs = exponents(&values);
    for (k, g) in logs.iter_mut().enumerate() {
        *g += (times(k, n) * step / 3.0).ln();
    }
    Terms { width: 1, values, logs, peak: 0.0 }
}

/// How often node `k` of `0..=n` counts: 1, 4, 2, 4, … 4, 1.
fn times(k: usize, n: usize) -> f64 {
    if k == 0 || k == n { 1.0 } else { 2.0 + 2.0 * (k % 2) as f64 }
}

/// `log ∫` by every second node alone.
fn coarser(terms: &Terms) -> f64 {
    let n = terms.logs.len() - 1;
    let of = |k: usize| terms.logs[k] + (2.0 * times(k / 2, n / 2) / times(k, n)).ln();
    let logs: Vec<f64> = (0..=n).step_by(2).map(of).collect();
    log_mean_exp(&logs) + (logs.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The top of an exponent that is all but flat may lie, by its rounding, a hair's breadth before the end of the range.
    #[test]
    fn a_top_beside_the_end_of_the_range_is_no_narrow_peak() {
        let almost = 1.0 - f32::EPSILON;
        for flat in [0.0, 0.001, 8.0] {
            let mut exponents = |x: &[f32]| -> Vec<f64> {
                x.iter().map(|&x| flat * f64::from(x.min(almost)) - if x > almost { 1e-6 } else { 0.0 }).collect()
            };
            let terms = integrate(&(0.0..=1.0), &mut exponents).expect("an integral");
            let expected = if flat == 0.0 { 0.0 } else { (f64::exp_m1(flat) / flat).ln() };
            assert!((terms.log_sum() - expected).abs() < 1e-5, "{flat}: {} and {expected}", terms.log_sum());
        }
    }

    fn log_integral(range: RangeInclusive<f32>, g: impl Fn(f64) -> f64) -> f64 {
        let mut exponents = |x: &[f32]| x.iter().map(|&x| g(x as f64)).collect::<Vec<f64>>();
        integrate(&range, &mut exponents).expect("a finite integral").log_sum()
    }
    #[test]
    fn integrals_are_right_wherever_the_mass_lies() {
        let all = f32::MIN..=f32::MAX;
        let root = 0.5 * std::f64::consts::TAU.ln();
        for (mean, deviation) in [(0.0, 1.0), (1000.0, 1.0), (-3.7, 0.01), (12345.0, 300.0), (1e-4, 5.0)] {
            let got = log_integral(all.clone(), |x| -0.5 * ((x - mean) / deviation).powi(2));
            assert!((got - root - f64::ln(deviation)).abs() < 1e-6, "{mean} ± {deviation}: {got}");
        }
        for rate in [0.01, 1.0, 80.0, 1000.0] {
            let got = log_integral(0.0..=f32::MAX, |x| -rate * x);
            assert!((got + f64::ln(rate)).abs() < 1e-6, "exponential of rate {rate}: {got}");
        }
        let half = log_integral(0.0..=f32::MAX, |x| -0.5 * x * x);
        assert!((half - root + 2f64.ln()).abs() < 1e-6, "half a Gaussian: {half}");
        let laplace = log_integral(all.clone(), |x| -2.0 * x.abs());
        assert!(laplace.abs() < 1e-6, "a kink at zero: {laplace}");
        let peaks = |x: f64| (-0.5 * x * x).exp() + (-0.5 * (x - 100.0).powi(2)).exp();
        let two = log_integral(all, |x| peaks(x).ln());
        assert!((two - root - 2f64.ln()).abs() < 1e-6, "two peaks: {two}");
        let flat = log_integral(0.3..=2.8, |_| 1.0);
        assert!((flat - 1.0 - 2.5f64.ln()).abs() < 1e-6, "flat: {flat}");
    }
    #[test]
    fn an_integral_without_end_is_seen() {
        let mut flat = |x: &[f32]| vec![0.0; x.len()];
        assert!(integrate(&(f32::MIN..=f32::MAX), &mut flat).is_none());
    }
}
