//! Langevin steps of discrete units: all units may change at once, each by itself, by the gradient and by how far it would go.
//!
//! ```text
//! q(y | x) ∝ Π_units exp(-½ ∂E/∂x · (y - x) - |y - x|² / 2α)
//! ```
//!
//! With acceptance (DMALA) the kernel is exact at any step `α`; without (DULA), its bias goes to zero with `α`. One gradient and one energy
//! a step. It moves units of two values and of one of `q`; all others stay.
//!
//! ## References
//! - Zhang, Liu and Liu, "A Langevin-like sampler for discrete distributions", 2022.

use super::discrete::{Hop, Span, Values, chosen};
use super::{Kernel, Moves};
use crate::linalg::{self, Level, exp, softplus_sum, uniforms_to};
use crate::rng::{ChainRng, Streams};
use crate::states::WIDEST;
use crate::{Score, Slab};
use rand::RngExt;

/// So many steps of all units, each accepted or not as a whole.
///
/// Bernoulli, spin and softmax units move. What is none of a unit's values (zeros where chains begin, means) becomes one first. A unit's
/// probability is exact to 2⁻²⁴, as it is in Gibbs sampling.
///
/// ```
/// use harmonium::{Chains, Collapsed, models::Rbm, samplers::DiscreteLangevin, units::Bernoulli};
/// let rbm = Rbm::new((8, Bernoulli), (3, Bernoulli));
/// let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
/// let mut chains = Chains::zeros(&free, 100, 1);
/// assert!(chains.advance(&DiscreteLangevin::new(0.5, 10), &free).rate() > 0.999);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscreteLangevin {
    /// `α`: a bit changes with probability `1/(1 + e^{½d + 1/2α})`, if the energy would rise by `d` to first order.
    pub step: f32,
    /// Steps of an advance.
    pub steps: usize,
    /// Whether steps are accepted or not; without, all are made.
    pub adjusted: bool,
}

impl DiscreteLangevin {
    /// With acceptance (DMALA).
    pub const fn new(step: f32, steps: usize) -> Self {
        Self { step, steps, adjusted: true }
    }
    /// Without (DULA).
    pub const fn unadjusted(step: f32, steps: usize) -> Self {
        Self { step, steps, adjusted: false }
    }
    fn with_acceptance<M: Score + ?Sized>(&self, mut hop: Hop<'_, M>, rng: &mut Streams<'_>) -> Moves {
        let (columns, mut moves) = (hop.columns, Moves::default());
        let (mut here, mut there, mut forth) = ([0f64; WIDEST], [0f64; WIDEST], [0f64; WIDEST]);
        hop.measure(&mut here[..columns]);
        for _ in 0..self.steps {
            (0..columns).for_each(|j| forth[j] = propose(&mut hop, j, self.step, rng.column(j)));
            hop.measure_y(&mut there[..columns]);
            for j in 0..columns {
                let lot = rng.column(j).random::<f64>();
                moves.proposed += 1;
                let log_ratio = here[j] - there[j] + log_back(&mut hop, j, self.step) - forth[j];
                if !log_ratio.is_finite() {
                    moves.diverged += 1;
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
    fn without<M: Score + ?Sized>(&self, mut hop: Hop<'_, M>, rng: &mut Streams<'_>) -> Moves {
        let mut moves = Moves::default();
        for _ in 0..self.steps {
            hop.gradient();
            for j in 0..hop.columns {
                moves.proposed += 1;
                if propose(&mut hop, j, self.step, rng.column(j)).is_finite() {
                    moves.accepted += 1;
                    let at = hop.at(j, 0..hop.rows);
                    hop.x[at.clone()].copy_from_slice(&hop.y[at]);
                } else {
                    moves.diverged += 1;
                    hop.reject(j);
                }
            }
        }
        moves
    }
}

impl<M: Score + ?Sized> Kernel<M> for DiscreteLangevin {
    /// # Panics
    /// If the model has no units of these kinds.
    fn advance(&self, model: &M, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let hop = Hop::new(model, slab);
        if self.adjusted { self.with_acceptance(hop, rng) } else { self.without(hop, rng) }
    }
}

/// Draws all units of column `j` at `y`; the logarithm of the probability of the draw.
fn propose<M: Score + ?Sized>(hop: &mut Hop<'_, M>, j: usize, step: f32, rng: &mut ChainRng) -> f64 {
    uniforms_to(hop.one, rng);
    hop.two.fill(f32::NEG_INFINITY);
    let mut log_q = 0.0;
    for k in 0..hop.spans.len() {
        let Span { rows, values } = hop.spans[k].clone();
        let (at, frozen) = (hop.at(j, rows.clone()), hop.frozen(j, &rows));
        let (x, g, y) = (&hop.x[at.clone()], &hop.gradient[at.clone()], &mut hop.y[at]);
        let (u, logits) = (&hop.one[rows.clone()], &mut hop.two[rows]);
        match values {
            Values::Two { low } => {
                Level::best().run(Flips { step, low, x, g, u, y, logits });
                for i in frozen.into_iter().flat_map(held) {
                    (y[i], logits[i]) = (x[i], f32::NEG_INFINITY);
                }
            }
            Values::OneOf(q) => {
                for k in (0..x.len()).step_by(q).filter(|&k| frozen.is_none_or(|f| !f[k..k + q].contains(&true))) {
                    let (one, to) = (k..k + q, &mut y[k..k + q]);
                    let unit = OneOf { step, now: chosen(&x[one.clone()]), g: &g[one] };
                    let next = unit.drawn(f64::from(u[k]));
                    to.fill(0.0);
                    to[next] = 1.0;
                    log_q += unit.log_share(next);
                }
            }
        }
    }
    log_q - softplus_sum(1.0, hop.two)
}

/// The logarithm of the probability that column `j` is drawn from `y` as it is at `x`.
fn log_back<M: Score + ?Sized>(hop: &mut Hop<'_, M>, j: usize, step: f32) -> f64 {
    hop.two.fill(f32::NEG_INFINITY);
    let mut log_q = 0.0;
    for k in 0..hop.spans.len() {
        let Span { rows, values } = hop.spans[k].clone();
        let (at, frozen) = (hop.at(j, rows.clone()), hop.frozen(j, &rows));
        let (x, y, g) = (&hop.x[at.clone()], &hop.y[at.clone()], &hop.gradient_y[at]);
        let logits = &mut hop.two[rows];
        match values {
            Values::Two { low } => {
                Level::best().run(Back { step, low, x, y, g, logits });
                frozen.into_iter().flat_map(held).for_each(|i| logits[i] = f32::NEG_INFINITY);
            }
            Values::OneOf(q) => {
                for k in (0..x.len()).step_by(q).filter(|&k| frozen.is_none_or(|f| !f[k..k + q].contains(&true))) {
                    let one = k..k + q;
                    let unit = OneOf { step, now: chosen(&y[one.clone()]), g: &g[one.clone()] };
                    log_q += unit.log_share(chosen(&x[one]));
                }
            }
        }
    }
    log_q - softplus_sum(1.0, hop.two)
}

/// Places that are frozen.
fn held(frozen: &[bool]) -> impl Iterator<Item = usize> + '_ {
    frozen.iter().enumerate().filter(|(_, f)| **f).map(|(i, _)| i)
}

/// The log-odds that a unit of two values flips: `-½ g δ - δ²/2α` with `δ = y - x`.
#[inline(always)]
fn log_odds(step: f32, low: f32, x: f32, g: f32) -> f32 {
    let change = low + 1.0 - 2.0 * x;
    -0.5 * g * change - 0.5 * change * change / step
}
/// Draws units of two values; minus the log-odds of what was drawn, whose softplus is minus the logarithm of its probability.
struct Flips<'a> {
    step: f32,
    low: f32,
    x: &'a [f32],
    g: &'a [f32],
    u: &'a [f32],
    y: &'a mut [f32],
    logits: &'a mut [f32],
}
impl linalg::Kernel for Flips<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let all = self.x.iter().zip(self.g).zip(self.u).zip(self.y).zip(self.logits);
        for ((((&x, &g), &u), y), logit) in all {
            let odds = log_odds(self.step, self.low, x, g);
            let flips = u * (1.0 + exp(-odds)) < 1.0;
            *y = if flips { self.low + 1.0 - x } else { x };
            *logit = if flips { -odds } else { odds };
        }
    }
}
/// Minus the log-odds that units of two values are drawn from `y` as they are at `x`.
struct Back<'a> {
    step: f32,
    low: f32,
    x: &'a [f32],
    y: &'a [f32],
    g: &'a [f32],
    logits: &'a mut [f32],
}
impl linalg::Kernel for Back<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (((&x, &y), &g), logit) in self.x.iter().zip(self.y).zip(self.g).zip(self.logits) {
            let odds = log_odds(self.step, self.low, y, g);
            *logit = if x == y { odds } else { -odds };
        }
    }
}

/// A softmax unit at value `now`: value `k` has weight `exp(-½ (g_k - g_now) - 1/α)`, and `now` itself 1.
struct OneOf<'a> {
    step: f32,
    now: usize,
    g: &'a [f32],
}
impl OneOf<'_> {
    fn logit(&self, k: usize) -> f64 {
        let change = -0.5 * (f64::from(self.g[k]) - f64::from(self.g[self.now]));
        if k == self.now { 0.0 } else { change - 1.0 / f64::from(self.step) }
    }
    /// The largest logit, and the sum of the weights relative to it.
    fn whole(&self) -> (f64, f64) {
        let logits = || (0..self.g.len()).map(|k| self.logit(k));
        let most = logits().fold(f64::NEG_INFINITY, f64::max);
        (most, logits().map(|l| (l - most).exp()).sum())
    }
    fn log_share(&self, k: usize) -> f64 {
        let (most, sum) = self.whole();
        self.logit(k) - most - sum.ln()
    }
    /// By the running sum of the weights.
    fn drawn(&self, u: f64) -> usize {
        let (most, sum) = self.whole();
        let mut left = u * sum;
        for k in 0..self.g.len() {
            let weight = (self.logit(k) - most).exp();
            if left < weight {
                return k;
            }
            left -= weight;
        }
        self.now // where rounding leaves a rest
    }
}
