//! The law of units.

use super::chance::{NOISE, ROUNDING, Sample, allowed_share};
use super::probes::normal;
use super::slope::{STEP, Slope, extrapolate, slope};
use super::terms::{Terms, is_end};
use super::verdict::{Step, Tally, Verdict};
use crate::linalg::dot;
use crate::rng::derive;
use crate::{ChainRng, Unit};
use rand::RngExt;
use std::collections::BTreeMap;

/// Units that are looked at together.
const UNITS: usize = 7;
/// Draws of each of them.
const DRAWS: usize = 40_000;
const EXTREME: [f32; 6] = [-1000.0, -80.0, -30.0, 30.0, 80.0, 1000.0];

/// Everything about a unit kind follows from its own energy `U` and its values:
///
/// ```text
/// Γ(φ; θ) = log Σ_x exp(φ·x - U(x; θ))     mean = Γ'     variance = Γ''     ⟨∂U/∂θ⟩ = -∂Γ/∂θ     U(0) = 0
/// ```
///
/// The sum runs over [`Unit::support`], or is an integral over [`Unit::range`]. 40,000 draws have the values, the
/// frequencies or the mean and variance that it gives; the mode minimises `U - φ·x`; [`Unit::field_of_mean`] inverts
/// the mean; [`Unit::base_grad_x`] (of real units) and [`Unit::base_grad_theta`] are derivatives; and fields of ±1000
/// do no harm. Fields and parameters are drawn from `seed`, the parameters from `½ N(0, 1)`.
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if the sum is not finite, or a real unit is more than one row
/// wide.
///
/// ```
/// use harmonium::{laws, units::Bernoulli};
/// let kept = laws::unit(&Bernoulli, 1)?;
/// assert!(kept.checks > 100 && kept.worst < 1.0);
/// # Ok::<(), laws::Broken>(())
/// ```
pub fn unit(unit: &dyn Unit, seed: u64) -> Verdict {
    let (mut tally, mut rng) = (Tally::new("units"), ChainRng::new(derive(seed, "law of units")));
    if let Some(values) = unit.support() {
        let right = !values.is_empty() && values.iter().all(|v| v.len() == unit.width());
        tally.holds(right, || {
            format!("{} units, {} rows wide, have the values {values:?}", unit.name(), unit.width())
        })?;
    }
    let n = UNITS * unit.width();
    let theta: Vec<f32> = (0..n * unit.n_theta()).map(|_| (32.0 * normal(&mut rng)).round() / 64.0).collect();
    let mut field: Vec<f32> = (0..n).map(|_| 1.5 * normal(&mut rng)).collect();
    field[..unit.width()].fill(0.0);
    let column = Column { unit, theta, field };
    column.base(&mut tally)?;
    column.sums(&mut tally)?;
    column.inverse(&mut tally)?;
    column.parameters(&mut tally)?;
    column.draws(&mut tally, &mut rng)?;
    column.longer(&mut tally, &mut rng)?;
    for extreme in EXTREME {
        let mut far = Column { field: column.field.clone(), theta: column.theta.clone(), unit };
        far.field.iter_mut().step_by(unit.width()).for_each(|f| *f = extreme);
        far.sums(&mut tally)?;
        far.possible_draws(&mut tally, &mut rng)?;
    }
    tally.kept()
}

/// Some units with their parameters and fields.
struct Column<'a> {
    unit: &'a dyn Unit,
    theta: Vec<f32>,
    field: Vec<f32>,
}

impl Column<'_> {
    /// Parameters and field of unit `k`.
    fn one(&self, k: usize) -> (&[f32], &[f32]) {
        let w = self.unit.width();
        (&self.theta[k * w * self.unit.n_theta()..][..w * self.unit.n_theta()], &self.field[k * w..][..w])
    }
    fn n(&self) -> usize {
        self.field.len() / self.unit.width()
    }
    fn terms(&self, tally: &Tally, k: usize) -> Step<Terms> {
        let (theta, field) = self.one(k);
        tally.possible(terms(self.unit, theta, field))
    }
    /// What a function of the kind gives of the whole column.
    fn filled(&self, f: impl FnOnce(&[f32], &[f32], &mut [f32])) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.field.len()];
        f(&self.theta, &self.field, &mut out);
        out
    }
    fn at(&self, what: &str, k: usize, row: usize) -> String {
        let (theta, field) = self.one(k);
        format!("{what} of a {} unit (row {row}) with field {field:?} and parameters {theta:?}", self.unit.name())
    }
    /// `Γ`, the mean, the variance and the mode, against the sum itself.
    fn sums(&self, tally: &mut Tally) -> Step {
        let (unit, w) = (self.unit, self.unit.width());
        let mean = self.filled(|t, f, out| unit.mean(t, f, out));
        let variance = self.filled(|t, f, out| unit.variance(t, f, out));
        let mode = self.filled(|t, f, out| unit.mode(t, f, out));
        let mut total = 0.0;
        for k in 0..self.n() {
            let ((theta, field), terms) = (self.one(k), self.terms(tally, k)?);
            let gamma = terms.log_sum();
            total += gamma;
            let allowed = ROUNDING * (1.0 + gamma.abs());
            tally.near(unit.log_partition(theta, field), gamma, allowed, || self.at("the log-partition", k, 0))?;
            for row in 0..w {
                let (got, m) = (mean[k * w + row] as f64, terms.mean_of(|x| x[row] as f64));
                let inside = unit.range().contains(&mean[k * w + row]);
                tally.near(got, m, ROUNDING * (1.0 + m.abs()), || self.at("the mean", k, row))?;
                tally.holds(inside, || self.at(&format!("{got} is out of range, as the mean"), k, row))?;
                let (got, v) = (variance[k * w + row] as f64, terms.mean_of(|x| (x[row] as f64 - m).powi(2)));
                tally.near(got, v, ROUNDING * (1.0 + v), || self.at("the variance", k, row))?;
            }
            let own = &mode[k * w..][..w];
            self.is_value(tally, own, || self.at("the mode", k, 0))?;
            let at_mode = exponent(unit, theta, field, own);
            let (peak, slack) = (terms.peak, ROUNDING * (1.0 + terms.peak.abs()));
            tally.holds(at_mode >= peak - slack, || {
                let what = format!("φ·x - U is {at_mode} at {own:?}, and {peak} elsewhere, so that is not the mode");
                self.at(&what, k, 0)
            })?;
        }
        let got = unit.log_partition(&self.theta, &self.field);
        tally.near(got, total, ROUNDING * (1.0 + total.abs()) * self.n() as f64, || {
            format!("the log-partition of {} {} units together", self.n(), unit.name())
        })
    }
    fn is_value(&self, tally: &mut Tally, x: &[f32], what: impl Fn() -> String) -> Step {
        match self.unit.support() {
            Some(values) => {
                tally.holds(values.iter().any(|v| v == x), || format!("{x:?} is none of the values: {}", what()))
            }
            None => tally.holds(x.iter().all(|x| self.unit.range().contains(x)), || {
                format!("{x:?} is out of range: {}", what())
            }),
        }
    }
    /// `U(0) = 0`, `U` adds up over units, and its gradients are derivatives.
    fn base(&self, tally: &mut Tally) -> Step {
        let (unit, w) = (self.unit, self.unit.width());
        let name = unit.name();
        let zero = vec![0.0; self.field.len()];
        tally.near(unit.base_energy(&self.theta, &zero), 0.0, 0.0, || format!("U(0) of {name} units"))?;
        let x: Vec<f32> = self.field.iter().map(|f| self.inside(*f)).collect();
        let mut of_x = vec![0.25; x.len()];
        unit.base_grad_x(&self.theta, &x, &mut of_x);
        let mut of_theta = vec![0.25; self.theta.len()];
        unit.base_grad_theta(&self.theta, &x, 0.5, &mut of_theta);
        let mut sum = 0.0;
        for k in 0..self.n() {
            let ((theta, _), x) = (self.one(k), &x[k * w..][..w]);
            let u = unit.base_energy(theta, x);
            sum += u;
            for row in 0..if unit.support().is_none() { w } else { 0 } {
                let s = slope(x[row], NOISE * (1.0 + u.abs()), |to| unit.base_energy(theta, &replaced(x, row, to)));
                let got = of_x[k * w + row] as f64 - 0.25;
                tally.near(got, s.value, s.allowed + ROUNDING, || format!("∂U/∂x of a {name} unit at {x:?}"))?;
            }
            for p in 0..theta.len() {
                let s = slope(theta[p], NOISE * (1.0 + u.abs()), |to| unit.base_energy(&replaced(theta, p, to), x));
                let got = of_theta[k * theta.len() + p] as f64;
                tally.near(got, 0.25 + 0.5 * s.value, s.allowed + ROUNDING, || {
                    format!("¼ + ½ ∂U/∂θ (parameter {p}) of a {name} unit at {x:?}, parameters {theta:?}")
                })?;
            }
        }
        let together = unit.base_energy(&self.theta, &x);
        tally.near(together, sum, ROUNDING * (1.0 + sum.abs()), || format!("U of {} {name} units", self.n()))
    }
    /// A value near `x` from which a step does not leave the range.
    fn inside(&self, x: f32) -> f32 {
        let (start, end) = (*self.unit.range().start(), *self.unit.range().end());
        let x = (64.0 * x).round() / 64.0;
        match (is_end(start), is_end(end)) {
            (true, _) if x < start + STEP => (start + STEP + x.abs()).min(end - STEP),
            (_, true) if x > end - STEP => end - STEP,
            _ => x,
        }
    }
    /// The mean at the field of a mean is that mean. (Fields that differ may have the same mean, if a unit is many rows
    /// wide.)
    fn inverse(&self, tally: &mut Tally) -> Step {
        let unit = self.unit;
        let mean = self.filled(|t, f, out| unit.mean(t, f, out));
        let mut field = vec![f32::NAN; mean.len()];
        unit.field_of_mean(&self.theta, &mean, &mut field);
        let mut again = vec![f32::NAN; mean.len()];
        unit.mean(&self.theta, &field, &mut again);
        for (row, (&m, &got)) in mean.iter().zip(&again).enumerate() {
            tally.near(got as f64, m as f64, ROUNDING * (1.0 + m.abs() as f64), || {
                format!("the mean of a {} unit at the field {} of this mean", unit.name(), field[row])
            })?;
        }
        Ok(())
    }
    /// `⟨∂U/∂θ⟩ = -∂Γ/∂θ`
    fn parameters(&self, tally: &mut Tally) -> Step {
        let unit = self.unit;
        let mut got = vec![0.25; self.theta.len()];
        unit.expected_grad_theta(&self.theta, &self.field, 0.5, &mut got);
        for k in 0..self.n() {
            let (theta, field) = self.one(k);
            for p in 0..theta.len() {
                let gamma = |to: f32| -> Step<f64> {
                    Ok(tally.possible(terms(unit, &replaced(theta, p, to), field))?.log_sum())
                };
                let mut quotients = [0.0; 3];
                for (q, h) in quotients.iter_mut().zip([STEP, STEP / 2.0, STEP / 4.0]) {
                    *q = (gamma(theta[p] + h)? - gamma(theta[p] - h)?) / (2.0 * h as f64);
                }
                let size = 1.0 + gamma(theta[p])?.abs();
                let Slope { value, allowed } = extrapolate(quotients, (STEP / 4.0) as f64, NOISE * size);
                let got = got[k * theta.len() + p] as f64;
                tally.near(got, 0.25 - 0.5 * value, allowed + ROUNDING, || {
                    self.at(&format!("¼ + ½ ⟨∂U/∂θ⟩ (parameter {p})"), k, 0)
                })?;
            }
        }
        Ok(())
    }
    /// Many draws: how often every value comes, or their mean and their variance.
    fn draws(&self, tally: &mut Tally, rng: &mut ChainRng) -> Step {
        let (unit, w, rows) = (self.unit, self.unit.width(), self.field.len());
        let mut drawn = vec![f32::NAN; rows * DRAWS];
        drawn.chunks_mut(rows).for_each(|x| unit.sample(&self.theta, &self.field, x, rng));
        let values = unit.support().map_or(2, |values| values.len());
        let comparisons = self.n() * values;
        for k in 0..self.n() {
            let terms = self.terms(tally, k)?;
            let draws = || drawn.chunks(rows).map(|x| &x[k * w..][..w]);
            if unit.support().is_some() {
                // Zeros of either sign are the same value.
                let key = |x: &[f32]| x.iter().map(|x| (x + 0.0).to_bits()).collect::<Vec<u32>>();
                let mut counts: BTreeMap<Vec<u32>, (&[f32], usize)> = BTreeMap::new();
                draws().for_each(|x| counts.entry(key(x)).or_insert((x, 0)).1 += 1);
                for (x, _) in counts.values() {
                    self.is_value(tally, x, || self.at("a draw", k, 0))?;
                }
                for (value, p) in terms.probabilities() {
                    let seen = counts.get(&key(value)).map_or(0, |(_, n)| *n) as f64 / DRAWS as f64;
                    tally.near(seen, p, allowed_share(p, DRAWS, comparisons), || {
                        self.at(&format!("the frequency of {value:?} among {DRAWS} draws"), k, 0)
                    })?;
                }
                continue;
            }
            for x in draws() {
                self.is_value(tally, x, || self.at("a draw", k, 0))?;
            }
            let mean = terms.mean_of(|x| x[0] as f64);
            let variance = terms.mean_of(|x| (x[0] as f64 - mean).powi(2));
            let seen = Sample::of(draws().map(|x| x[0] as f64));
            let rounding = ROUNDING * (1.0 + mean.abs());
            let allowed = rounding + seen.allowed(comparisons);
            tally.near(seen.mean, mean, allowed, || self.at(&format!("the mean of {DRAWS} draws"), k, 0))?;
            let seen = Sample::of(draws().map(|x| (x[0] as f64 - mean).powi(2)));
            let allowed = rounding + seen.allowed(comparisons);
            tally.near(seen.mean, variance, allowed, || self.at(&format!("the variance of {DRAWS} draws"), k, 0))?;
        }
        Ok(())
    }
    /// Draws at any field are values that have some probability: all but `e⁻⁶⁰` of it lies above `e⁻⁶⁰` of the largest,
    /// or so.
    fn possible_draws(&self, tally: &mut Tally, rng: &mut ChainRng) -> Step {
        let (unit, w) = (self.unit, self.unit.width());
        let draw = self.filled(|t, f, out| unit.sample(t, f, out, rng));
        for k in 0..self.n() {
            let ((theta, field), x) = (self.one(k), &draw[k * w..][..w]);
            self.is_value(tally, x, || self.at("a draw", k, 0))?;
            let (got, peak) = (exponent(unit, theta, field, x), self.terms(tally, k)?.peak);
            tally.holds(got > peak - 60.0 - ROUNDING * peak.abs(), || {
                self.at(&format!("{x:?}, which has no probability to speak of, is a draw"), k, 0)
            })?;
        }
        Ok(())
    }
    /// Columns of any length are their units one by one; an empty one has the log-partition zero.
    fn longer(&self, tally: &mut Tally, rng: &mut ChainRng) -> Step {
        let (unit, w) = (self.unit, self.unit.width());
        for n in [0, 1, 15, 16, 17, 33, 500] {
            let theta = self.theta.iter().copied().cycle().take(n * w * unit.n_theta()).collect();
            let field = (0..n * w).map(|_| rng.random_range(-4.0..4.0f32)).collect();
            let long = Column { unit, theta, field };
            let [mean, variance] =
                [long.filled(|t, f, out| unit.mean(t, f, out)), long.filled(|t, f, out| unit.variance(t, f, out))];
            let mut sum = 0.0;
            for k in 0..n {
                let (theta, field) = long.one(k);
                sum += unit.log_partition(theta, field);
                let (mut m, mut v) = (vec![f32::NAN; w], vec![f32::NAN; w]);
                unit.mean(theta, field, &mut m);
                unit.variance(theta, field, &mut v);
                for row in 0..w {
                    let size = |x: f32| ROUNDING * (1.0 + x.abs() as f64);
                    let (a, b) = (mean[k * w + row], variance[k * w + row]);
                    tally.near(a as f64, m[row] as f64, size(m[row]), || {
                        long.at(&format!("among {n}, the mean"), k, row)
                    })?;
                    tally.near(b as f64, v[row] as f64, size(v[row]), || {
                        long.at(&format!("among {n}, the variance"), k, row)
                    })?;
                }
            }
            let together = unit.log_partition(&long.theta, &long.field);
            let allowed = ROUNDING * (sum.abs() + n as f64);
            tally
                .near(together, sum, allowed, || format!("the log-partition of {n} {} units together", unit.name()))?;
        }
        Ok(())
    }
}

/// `φ·x - U(x)`
fn exponent(unit: &dyn Unit, theta: &[f32], field: &[f32], x: &[f32]) -> f64 {
    dot(field, x) - unit.base_energy(theta, x)
}
fn terms(unit: &dyn Unit, theta: &[f32], field: &[f32]) -> crate::Result<Terms> {
    Terms::of(unit, &mut |x| x.chunks(unit.width()).map(|x| exponent(unit, theta, field, x)).collect())
}
fn replaced(x: &[f32], k: usize, to: f32) -> Vec<f32> {
    let mut x = x.to_vec();
    x[k] = to;
    x
}
