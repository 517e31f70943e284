//! The law of no drift.

use super::chance::{ROUNDING, Sample, log_odds};
use super::partition::Enumeration;
use super::probes::{energies, largest};
use super::verdict::{Step, Tally, Verdict};
use crate::rng::derive;
use crate::samplers::Kernel;
use crate::{ChainRng, Chains, Energy, Error, Gibbs, Mat, Response, Result};
use rand::RngExt;

/// Chains that [`no_drift`] draws.
const CHAINS: usize = 20_000;
/// Advances after which one looks, counted from the start.
const LOOKS: [usize; 3] = [1, 4, 16];
/// Pairs of rows whose second moment is looked at.
const PAIRS: usize = 600;

/// A kernel leaves the model's distribution alone: chains that start as exact draws are exact draws after any number of
/// advances, whether or not they mix.
///
/// ```text
/// Σ_x p(x) K(x → y) = p(y),   p ∝ exp(-E)
/// ```
///
/// 20,000 chains start at [`exact_draws`], and are looked at after 1, 4 and 16 advances: by [`no_drift_from`]; and,
/// where all states can be enumerated, by the total variation distance of their frequencies from `p`. That distance has
/// the mean `½ Σ E|nₓ/n - pₓ|` of binomial counts, and exceeds it by `t` with probability below `exp(-2nt²)` (McDiarmid
/// 1989).
///
/// A field that is wrong in the same way as the energy is not seen here, but by [`super::field()`]; nor is a temperature that is
/// wrong by few percent, or what else moves `p` by less than a hundredth.
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if there are no exact draws (bring your own to [`no_drift_from`]).
///
/// ```
/// use harmonium::{laws, models::Rbm, samplers::BlockGibbs, units::{Bernoulli, Spin}};
/// let mut rbm = Rbm::new((4, Bernoulli), (3, Spin));
/// rbm.initialise(&[0.2; 4], 0.0, 1)?;
/// laws::no_drift(&rbm, &BlockGibbs::new(1), 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn no_drift<M: Gibbs + ?Sized, K: Kernel<M> + ?Sized>(model: &M, kernel: &K, seed: u64) -> Verdict {
    let mut tally = Tally::new("no drift");
    let all = tally.possible(Enumeration::of(model))?;
    let draws = drawn(model, &all, CHAINS, seed);
    let p = if all.rest.is_empty() { all.probabilities() } else { vec![] };
    watch(model, kernel, draws, seed, &mut tally, &mut |x, when, tally| match p.is_empty() {
        true => Ok(()),
        false => distance(&all, &p, x, when, tally),
    })?;
    tally.kept()
}

/// The law of [`no_drift`] for any model, real units included, by exact draws (states × chains) that the caller brings.
///
/// What is looked at after 1, 4 and 16 advances are all first and second moments (600 of the latter, if there are more)
/// and the energy: the mean over chains of their change since the start is zero, within the empirical Bernstein bound
/// (Maurer and Pontil, "Empirical Bernstein bounds and sample-variance penalization", 2009). A change is measured chain
/// by chain, so slow kernels are held to it more strictly, not less.
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if the draws have not the height of the model's states, or are
/// fewer than two.
///
/// ```
/// use harmonium::{laws, models::Rbm, samplers::BlockGibbs, units::{Bernoulli, Gaussian}};
/// let mut rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// rbm.initialise(&[0.2; 4], 0.0, 1)?;
/// let draws = laws::exact_draws(&rbm, 2000, 1)?;
/// laws::no_drift_from(&rbm, &BlockGibbs::backward(1), draws, 2)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn no_drift_from<M: Energy + ?Sized, K: Kernel<M> + ?Sized>(
    model: &M,
    kernel: &K,
    draws: Mat,
    seed: u64,
) -> Verdict {
    let mut tally = Tally::new("no drift");
    tally.possible(match draws.shape() {
        (rows, _) if rows != model.n_rows() => Err(Error::shape("rows of exact draws", model.n_rows(), rows)),
        (_, columns) if columns < 2 => Err(Error::value("the number of exact draws", "at least 2", columns)),
        _ => Ok(()),
    })?;
    watch(model, kernel, draws, seed, &mut tally, &mut |_, _, _| Ok(()))?;
    tally.kept()
}

/// So many independent draws of a model, exact up to rounding: all states are enumerated, or all but those of one group
/// of blocks, which is integrated out (as [`super::marginal()`] does) and then drawn given the rest, by the model's own
/// field and units (which [`super::field()`] and [`super::unit()`] check).
///
/// # Errors
/// [`crate::Error::Intractable`] if every way needs more than 2¹⁶ states, or has real units among those to enumerate.
pub fn exact_draws<M: Gibbs + ?Sized>(model: &M, columns: usize, seed: u64) -> Result<Mat> {
    Ok(drawn(model, &Enumeration::of(model)?, columns, seed))
}

fn drawn<M: Gibbs + ?Sized>(model: &M, all: &Enumeration, columns: usize, seed: u64) -> Mat {
    let mut rng = ChainRng::new(derive(seed, "exact draws"));
    let mut sum = 0.0;
    let up_to: Vec<f64> = all
        .probabilities()
        .iter()
        .map(|p| {
            sum += p;
            sum
        })
        .collect();
    let mut x = Mat::zeros(model.n_rows(), columns);
    for mut column in x.column_iter_mut() {
        let u = sum * rng.random::<f64>();
        column.copy_from(&all.states.column(up_to.partition_point(|s| *s <= u).min(up_to.len() - 1)));
    }
    let mut chains = Chains::new(x, derive(seed, "the rest of exact draws"));
    chains.each(|slab, rng| {
        all.rest.iter().for_each(|&b| slab.respond(model, b, &mut Response::sample(rng)));
    });
    chains.states.x().clone_owned()
}

/// What else to look at: states, when, and where to count.
type Look<'a> = &'a mut dyn FnMut(&Mat, &str, &mut Tally) -> Step;

fn watch<M: Energy + ?Sized, K: Kernel<M> + ?Sized>(
    model: &M,
    kernel: &K,
    draws: Mat,
    seed: u64,
    tally: &mut Tally,
    look: Look<'_>,
) -> Step {
    let start = Functions::of(model, &draws, &mut ChainRng::new(derive(seed, "moments to look at")));
    let mut chains = Chains::new(draws, derive(seed, "law of no drift"));
    let mut done = 0;
    for look_at in LOOKS {
        for _ in done..look_at {
            chains.advance(kernel, model);
        }
        done = look_at;
        let (x, when) = (chains.states.x().clone_owned(), format!("after {done} advances"));
        look(&x, &when, tally)?;
        start.compare(model, &x, &when, tally)?;
    }
    Ok(())
}

/// Where the chains were, and what of it is compared.
struct Functions {
    rows: Vec<Vec<f32>>,
    pairs: Vec<(usize, usize)>,
    energies: Vec<f64>,
}

fn by_rows(x: &Mat) -> Vec<Vec<f32>> {
    x.row_iter().map(|r| r.iter().copied().collect()).collect()
}

impl Functions {
    fn of<M: Energy + ?Sized>(model: &M, x: &Mat, rng: &mut ChainRng) -> Self {
        let n = x.nrows();
        let mut pairs: Vec<(usize, usize)> = (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
        while pairs.len() > PAIRS {
            pairs.swap_remove(rng.random_range(0..pairs.len()));
        }
        Self { rows: by_rows(x), pairs, energies: energies(model, x) }
    }
    /// The mean change of every function is zero.
    fn compare<M: Energy + ?Sized>(&self, model: &M, x: &Mat, when: &str, tally: &mut Tally) -> Step {
        let (now, energies) = (by_rows(x), energies(model, x));
        // Half of the chance to fail is left for the distance.
        let comparisons = 2 * LOOKS.len() * (self.rows.len() + self.pairs.len() + 1);
        let mut zero = |changes: Sample, size: f64, what: &dyn Fn() -> String| {
            let allowed = changes.allowed(comparisons) + ROUNDING * size;
            tally.near(changes.mean, 0.0, allowed, || format!("{when}, the mean change of {}", what()))
        };
        for (i, (a, b)) in self.rows.iter().zip(&now).enumerate() {
            let changes = a.iter().zip(b).map(|(a, b)| *b as f64 - *a as f64);
            zero(Sample::of(changes), 1.0, &|| format!("row {i}, {}", place(model, i)))?;
        }
        for &(i, j) in &self.pairs {
            let product = |rows: &[Vec<f32>], n: usize| rows[i][n] as f64 * rows[j][n] as f64;
            let changes = (0..x.ncols()).map(|n| product(&now, n) - product(&self.rows, n));
            let what = || format!("row {i} times row {j}, {} and {}", place(model, i), place(model, j));
            zero(Sample::of(changes), 1.0, &what)?;
        }
        let changes = energies.iter().zip(&self.energies).map(|(after, before)| after - before);
        zero(Sample::of(changes), 1.0 + largest(&energies), &|| "the energy".into())
    }
}

/// The block of a row, for messages.
fn place<M: Energy + ?Sized>(model: &M, row: usize) -> String {
    match model.blocks().iter().enumerate().find(|(_, b)| b.rows.contains(&row)) {
        Some((b, block)) => format!("block {b} ({})", block.unit.name()),
        None => "given".into(),
    }
}

/// The frequencies of all states are the probabilities.
fn distance(all: &Enumeration, p: &[f64], x: &Mat, when: &str, tally: &mut Tally) -> Step {
    let n = x.ncols();
    let mut counts = vec![0.0; p.len()];
    for (j, column) in x.column_iter().enumerate() {
        let number = all.numbers.number(column.as_slice());
        tally.holds(number.is_some(), || {
            format!("{when}, chain {j} is at {:?}, where units have values that they cannot take", column.as_slice())
        })?;
        counts[number.unwrap_or(0) as usize] += 1.0;
    }
    let gaps = counts.iter().zip(p).map(|(c, p)| (c / n as f64 - p).abs());
    let floor = 0.5 * p.iter().map(|&p| binomial_deviation(n, p)).sum::<f64>();
    let excess = 0.5 * gaps.sum::<f64>() - floor;
    // Smaller than the floor is no fault, and no comparison of this kind is two-sided.
    let allowed = (log_odds(LOOKS.len() * 2) / (2.0 * n as f64)).sqrt();
    tally.near(excess.max(0.0), 0.0, allowed, || {
        format!("{when}, the total variation distance from the exact distribution, less {floor:.4} for {n} draws,")
    })
}

/// `E|X/n - p|` of a binomial `X`: `2 (m+1) C(n, m+1) p^{m+1} (1-p)^{n-m} / n` with `m = ⌊np⌋` (de Moivre 1730).
fn binomial_deviation(n: usize, p: f64) -> f64 {
    let m = (n as f64 * p).floor() as usize;
    if m >= n || p <= 0.0 {
        return 0.0;
    }
    let log_choose: f64 = (0..=m).map(|k| ((n - k) as f64 / (k + 1) as f64).ln()).sum();
    let log = log_choose + (m + 1) as f64 * p.ln() + (n - m) as f64 * (-p).ln_1p();
    2.0 * (m + 1) as f64 * log.exp() / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_deviation_of_a_binomial_is_its_sum() {
        for (n, p) in [(1, 0.3), (7, 0.5), (10, 0.01), (12, 0.99), (5, 1.0), (5, 0.0)] {
            let (mut sum, mut choose) = (0.0, 1.0);
            for k in 0..=n {
                sum += choose * f64::powi(p, k) * (1.0 - p).powi(n - k) * (k as f64 / n as f64 - p).abs();
                choose *= (n - k) as f64 / (k + 1) as f64;
            }
            assert!((binomial_deviation(n as usize, p) - sum).abs() < 1e-12, "{n}, {p}");
        }
    }
}
