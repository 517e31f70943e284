//! Gibbs with gradients: which single unit should change, and to what, is drawn by how much the gradient says that the energy falls; and
//! the change is accepted or not.
//!
//! A change of energy `d`, to first order `∂E/∂x · (y - x)`, is proposed with probability `∝ exp(-½d)` among all changes of one unit, which
//! is locally balanced (Zanella 2020): the factor ½ makes a proposal and its reverse nearly equally likely under the model. One gradient
//! and one energy a proposal, whatever the number of units. Where there is a field for every unit, [`super::BlockGibbs`] changes many for
//! the same price.
//!
//! ## References
//! - Grathwohl, Swersky, Hashemi, Duvenaud and Maddison, "Oops I took a gradient: scalable sampling for discrete distributions", 2021.
//! - Zanella, "Informed proposals for local MCMC in discrete spaces", 2020.

use super::discrete::{Hop, Span, Values, chosen};
use super::{Kernel, Moves};
use crate::linalg::{self, Level, exp};
use crate::rng::{ChainRng, Streams};
use crate::states::WIDEST;
use crate::{Score, Slab};
use rand::RngExt;
use std::ops::Range;

/// So many proposals to change one unit.
///
/// Bernoulli, spin and softmax units move, all others stay. What is none of a unit's values (zeros where chains begin, means) becomes one
/// first.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::GibbsWithGradients, units::Bernoulli};
/// let rbm = Rbm::new((8, Bernoulli), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 100, 1);
/// assert_eq!(chains.advance(&GibbsWithGradients::new(10), &free).rate(), 1.0); // all states are equally likely
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GibbsWithGradients {
    /// Proposals of an advance.
    pub proposals: usize,
}

impl GibbsWithGradients {
    /// So many proposals an advance.
    pub const fn new(proposals: usize) -> Self {
        Self { proposals }
    }
}

impl<M: Score + ?Sized> Kernel<M> for GibbsWithGradients {
    /// # Panics
    /// If the model has no units of these kinds.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let mut hop = Hop::new(model, slab);
        let (columns, mut moves) = (hop.columns, Moves::default());
        let (mut here, mut there) = ([0f64; WIDEST], [0f64; WIDEST]);
        let mut changes = [Change::default(); WIDEST];
        hop.measure(&mut here[..columns]);
        for _ in 0..self.proposals {
            (0..columns).for_each(|j| changes[j] = propose(&mut hop, j, rng.column(j)));
            hop.measure_y(&mut there[..columns]);
            for j in 0..columns {
                let lot = rng.column(j).random::<f64>();
                moves.proposed += 1;
                let back = log_back(&mut hop, j, changes[j]);
                let log_ratio = here[j] - there[j] + back - changes[j].log_probability;
                if !log_ratio.is_finite() {
                    // A change that cannot be undone is none that was proposed with these numbers: the energies or gradients are none.
                    moves.diverged += u64::from(changes[j].width > 0);
                    hop.reject(j);
                } else if lot.ln() < log_ratio {
                    moves.accepted += 1;
                    here[j] = there[j];
                    hop.accept(j);
                } else {
                    hop.reject(j);
                }
            }
        }
        moves
    }
}

/// A change of one unit that was drawn.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    /// The row that becomes it when the change is undone.
    back: usize,
    /// Rows of the unit; none if there is nothing to change.
    width: usize,
    log_probability: f64,
}

/// The logarithms of the weights of all changes of column `j` in `hop.one`, `-½ ∂E/∂x · (y - x)`: for a unit of two values, that it
/// flips; for a row of a softmax unit, that it becomes 1. `-∞` where there is nothing to change.
fn log_weights<M: Score + ?Sized>(hop: &mut Hop<'_, M>, j: usize, at_x: bool) {
    hop.one.fill(f32::NEG_INFINITY);
    for k in 0..hop.spans.len() {
        let Span { rows, values } = hop.spans[k].clone();
        let (at, frozen) = (hop.at(j, rows.clone()), hop.frozen(j, &rows));
        let (x, g) = if at_x { (&*hop.x, &*hop.gradient) } else { (&*hop.y, &*hop.gradient_y) };
        let (x, g, out) = (&x[at.clone()], &g[at], &mut hop.one[rows]);
        match values {
            Values::Two { low } => {
                let all = out.iter_mut().zip(g).zip(x);
                all.for_each(|((o, g), x)| *o = -0.5 * g * (low + 1.0 - 2.0 * x));
            }
            Values::OneOf(q) => {
                for ((out, g), x) in out.chunks_exact_mut(q).zip(g.chunks_exact(q)).zip(x.chunks_exact(q)) {
                    let now = chosen(x);
                    out.iter_mut().zip(g).for_each(|(o, to)| *o = -0.5 * (to - g[now]));
                    out[now] = f32::NEG_INFINITY;
                }
            }
        }
        if let Some(frozen) = frozen {
            let units = out.chunks_exact_mut(values.width()).zip(frozen.chunks_exact(values.width()));
            units.filter(|(_, frozen)| frozen.contains(&true)).for_each(|(o, _)| o.fill(f32::NEG_INFINITY));
        }
    }
}

/// A change of column `j` is drawn, and made at `y`.
fn propose<M: Score + ?Sized>(hop: &mut Hop<'_, M>, j: usize, rng: &mut ChainRng) -> Change {
    log_weights(hop, j, true);
    let total = Level::best().run(Weights { logs: hop.one });
    let left = rng.random::<f64>() * total;
    if !(total > 0.0 && total.is_finite()) {
        // Nothing to change, or a gradient that is no number: the second is counted.
        return Change { width: usize::from(total != 0.0), log_probability: f64::NAN, ..Change::default() };
    }
    let row = drawn(hop.one, left);
    let log_probability = (f64::from(hop.one[row]) / total).ln();
    let (unit, values) = unit_of(hop, row);
    let at = hop.at(j, unit.clone());
    let y = &mut hop.y[at];
    let back = match values {
        Values::Two { low } => {
            y[0] = low + 1.0 - y[0];
            row
        }
        Values::OneOf(_) => {
            let now = chosen(y);
            y[now] = 0.0;
            y[row - unit.start] = 1.0;
            unit.start + now
        }
    };
    Change { back, width: values.width(), log_probability }
}

/// The logarithm of the probability that the change of column `j` is undone from `y`.
fn log_back<M: Score + ?Sized>(hop: &mut Hop<'_, M>, j: usize, change: Change) -> f64 {
    if !change.log_probability.is_finite() {
        return f64::NAN;
    }
    log_weights(hop, j, false);
    let total = Level::best().run(Weights { logs: hop.one });
    (f64::from(hop.one[change.back]) / total).ln()
}

/// The rows and the kind of the unit that has this row.
fn unit_of<M: Score + ?Sized>(hop: &Hop<'_, M>, row: usize) -> (Range<usize>, Values) {
    let Span { rows, values } = hop.spans.iter().find(|s| s.rows.contains(&row)).expect("a row that may change");
    let width = values.width();
    let start = rows.start + (row - rows.start) / width * width;
    (start..start + width, *values)
}

/// Rows whose weights are summed at a time.
const CHUNK: usize = 64;

/// `w = e^{l - most}` in the place of the logarithms `l`, zero where they are `-∞`; their sum, as [`drawn`] goes through it. The
/// exponential need not be exact, for the probabilities are those of these weights.
struct Weights<'a> {
    logs: &'a mut [f32],
}
impl linalg::Kernel for Weights<'_> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let most = self.logs.iter().fold(f32::NEG_INFINITY, |m, l| if *l > m { *l } else { m });
        for l in self.logs.iter_mut() {
            let w = exp(*l - most);
            *l = if *l == f32::NEG_INFINITY { 0.0 } else { w };
        }
        self.logs.chunks(CHUNK).map(sum).sum()
    }
}
/// A sum in double precision.
#[inline(always)]
fn sum(w: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    let (blocks, rest) = w.as_chunks::<8>();
    for block in blocks {
        (0..8).for_each(|k| sums[k] += f64::from(block[k]));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&w| f64::from(w)).sum::<f64>()
}
/// The place of `left` in the running sum of the weights; the last one that is not zero, where rounding leaves a rest.
fn drawn(weights: &[f32], mut left: f64) -> usize {
    let mut last = 0;
    for (k, chunk) in weights.chunks(CHUNK).enumerate() {
        let all = sum(chunk);
        if left >= all {
            left -= all;
            last = if all > 0.0 { k } else { last };
            continue;
        }
        for (i, &w) in chunk.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            if left < f64::from(w) {
                return k * CHUNK + i;
            }
            left -= f64::from(w);
        }
        last = k;
        break;
    }
    let chunk = &weights[last * CHUNK..(last * CHUNK + CHUNK).min(weights.len())];
    last * CHUNK + chunk.iter().rposition(|w| *w > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_drawn_by_their_shares() {
        let logs: Vec<f32> = (0..200)
            .map(|i| if i % 3 == 0 { f32::NEG_INFINITY } else { ((i * 37) % 11) as f32 * 0.3 - 500.0 })
            .collect();
        let mut weights = logs.clone();
        let total = Level::best().run(Weights { logs: &mut weights });
        for level in Level::available() {
            let mut again = logs.clone();
            assert_eq!(level.run(Weights { logs: &mut again }).to_bits(), total.to_bits());
            assert_eq!(again, weights);
        }
        let plain: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        assert!((total / plain - 1.0).abs() < 1e-12 && weights.iter().step_by(3).all(|w| *w == 0.0));
        let mut running = 0.0;
        for (i, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            assert_eq!(drawn(&weights, running + 0.5 * f64::from(w)), i);
            running += f64::from(w);
        }
        assert_eq!((drawn(&weights, total), drawn(&weights, 0.0)), (199, 1));
        assert_eq!(drawn(&[0.0; 70], 0.0), 0);
    }
    #[test]
    fn weights_of_what_is_no_number_are_none() {
        let of = |mut logs: Vec<f32>| Level::best().run(Weights { logs: &mut logs });
        assert_eq!(of(vec![f32::NEG_INFINITY; 5]), 0.0);
        assert!(of(vec![0.0, f32::NAN]).is_nan() && of(vec![0.0, f32::INFINITY]).is_nan());
    }
}
