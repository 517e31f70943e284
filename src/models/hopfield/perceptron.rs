//! Every spin learns by itself to take its value in every pattern given the other spins: a perceptron each, with a margin.

use super::spins::check_size;
use super::{Hopfield, check_spins};
use crate::linalg::{Kernel, Level, col, gemm_nt, spin_products};
use crate::{Error, Mat, MatMut, MatRef, Result};
use rayon::prelude::*;

/// Columns of W that one task computes.
const STRIP: usize = 64;

/// Couplings with `γ_i^μ = ξ_i^μ Σ_j W_ij ξ_j^μ / |W_i| ≥ κ` for all spins and patterns, where there are any; W is not symmetric.
///
/// Sweeps over the patterns; where spin i is not held with the margin, `W_ij += ξ_i ξ_j / N`. This ends if some couplings have a
/// larger margin. Random patterns have some up to `P = 2N` for κ = 0, and fewer for more.
///
/// Kept is, for every spin, how often each pattern was learned: then what a pattern's field is and what learning one changes follow
/// from the whole numbers `ξ^μ·ξ^ν`, without errors and in `O(P)`. The couplings are scaled by a power of two next to 1/N, so that
/// they have no errors either.
///
/// Source: Gardner, "The space of interactions in neural network models", 1988; Krauth and Mézard, "Learning algorithms with optimal
/// stability in neural networks", 1987.
#[derive(Clone, Debug, PartialEq)]
pub struct Perceptron {
    patterns: Mat,
    margin: f64,
    strengths: Vec<Vec<u32>>, // for every spin, how often each pattern was learned
}

/// What came of learning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Sweeps over the patterns, of the spin that took most; the last one, which changed nothing, included.
    pub epochs: usize,
    /// Pairs of spin and pattern that are not held with the margin.
    pub unstable: usize,
    /// The least stability `min γ_i^μ`; infinite if there are no patterns.
    pub least: f64,
}

impl Learned {
    /// Whether all patterns are held with the margin.
    pub fn is_stable(&self) -> bool {
        self.unstable == 0
    }
    fn nothing() -> Self {
        Self { epochs: 0, unstable: 0, least: f64::INFINITY }
    }
    fn and(self, other: Self) -> Self {
        Self {
            epochs: self.epochs.max(other.epochs),
            unstable: self.unstable + other.unstable,
            least: self.least.min(other.least),
        }
    }
}

impl Perceptron {
    /// Nothing stored in N spins; the margin κ is that of [`Hopfield::stabilities`].
    ///
    /// # Errors
    /// [`Error::Value`] if there are no spins, or the margin is below 0 or not finite.
    pub fn new(n: usize, margin: f64) -> Result<Self> {
        check_size(n)?;
        check_margin(margin)?;
        Ok(Self { patterns: Mat::zeros(n, 0), margin, strengths: vec![vec![]; n] })
    }
    /// Adds the columns of `patterns` (N × patterns) to what is to be learned.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a spin, [`Error::Value`] if an entry is neither 1 nor -1.
    pub fn store(&mut self, patterns: MatRef<'_>) -> Result<()> {
        check_spins("pattern", patterns, self.patterns.nrows())?;
        append(&mut self.patterns, patterns);
        let all = self.patterns.ncols();
        self.strengths.iter_mut().for_each(|s| s.resize(all, 0));
        Ok(())
    }
    /// How many patterns there are.
    pub fn n_patterns(&self) -> usize {
        self.patterns.ncols()
    }
    /// Goes on learning for at most so many sweeps, spins in parallel.
    pub fn learn(&mut self, epochs: usize) -> Learned {
        let products = spin_products(self.patterns.as_view());
        let Self { patterns, margin, strengths } = self;
        let of_spin = |(i, strengths): (usize, &mut Vec<u32>)| {
            let values: Vec<f64> = patterns.row(i).iter().map(|&x| f64::from(x)).collect();
            Spin::new(products.as_view(), &values, strengths, *margin).learn(epochs)
        };
        strengths.par_iter_mut().enumerate().map(of_spin).reduce(Learned::nothing, Learned::and)
    }
    /// The network of what was learned.
    pub fn network(&self) -> Hopfield {
        let (n, p) = self.patterns.shape();
        let scale = next_to_one_over(n);
        let learned = Mat::from_fn(n, p, |i, k| self.patterns[(i, k)] * self.strengths[i][k] as f32);
        let mut weights = Mat::zeros(n, n);
        weights.as_mut_slice().par_chunks_mut(n * STRIP).enumerate().for_each(|(k, strip)| {
            let columns = strip.len() / n;
            let others = self.patterns.rows(k * STRIP, columns);
            gemm_nt(scale, learned.as_view(), others, 0.0, MatMut::from_slice(strip, n, columns));
        });
        weights.fill_diagonal(0.0);
        let symmetric = super::is_symmetric(&weights);
        Hopfield::of(weights, symmetric)
    }
}

/// The largest power of two that is at most 1/N.
pub(super) fn next_to_one_over(n: usize) -> f32 {
    1.0 / n.next_power_of_two() as f32
}
pub(super) fn check_margin(margin: f64) -> Result<()> {
    if margin >= 0.0 && margin.is_finite() {
        return Ok(());
    }
    Err(Error::value("the margin", "at least 0 and finite", margin))
}
pub(super) fn append(all: &mut Mat, more: MatRef<'_>) {
    let p = all.ncols();
    let mut both = std::mem::take(all).resize_horizontally(p + more.ncols(), 0.0);
    both.columns_mut(p, more.ncols()).copy_from(&more);
    *all = both;
}
/// Whether a spin is held: `N` times its aligned field against `N` times the length of its couplings.
pub(super) fn is_held(aligned: f64, square: f64, margin: f64) -> bool {
    aligned > 0.0 && aligned >= margin * square.sqrt()
}

/// One spin that learns. With `W_ij = (1/N) Σ_ν a_ν ξ_i^ν ξ_j^ν` it is `N ξ_i^μ φ_i^μ = Σ_ν a_ν (ξ_i^μ ξ_i^ν ξ^μ·ξ^ν - 1)`, the last
/// for the coupling to itself that there is not.
struct Spin<'a> {
    products: MatRef<'a>,
    values: &'a [f64],
    strengths: &'a mut [u32],
    margin: f64,
    aligned: Vec<f64>, // N ξ_i^μ φ_i^μ: whole numbers
    square: f64,       // N² |W_i|²
}

impl<'a> Spin<'a> {
    fn new(products: MatRef<'a>, values: &'a [f64], strengths: &'a mut [u32], margin: f64) -> Self {
        let mut spin = Self { products, values, strengths, margin, aligned: vec![0.0; values.len()], square: 0.0 };
        for k in 0..values.len() {
            if spin.strengths[k] > 0 {
                spin.add(k, f64::from(spin.strengths[k]));
            }
        }
        let squares = spin.strengths.iter().zip(&spin.aligned).map(|(&a, o)| f64::from(a) * o);
        spin.square = squares.sum();
        spin
    }
    fn add(&mut self, k: usize, times: f64) {
        let (products, values, own) = (col(&self.products, k), self.values, self.values[k]);
        Level::best().run(Add { times, own, products, values, aligned: &mut self.aligned });
    }
    fn learn(mut self, epochs: usize) -> Learned {
        let (n, mut used) = (self.products.get((0, 0)).map_or(0.0, |&n| f64::from(n)), 0);
        let mut changed = true;
        while changed && used < epochs {
            (changed, used) = (false, used + 1);
            for k in 0..self.values.len() {
                if !is_held(self.aligned[k], self.square, self.margin) && self.strengths[k] < u32::MAX {
                    self.square += 2.0 * self.aligned[k] + n - 1.0;
                    self.add(k, 1.0);
                    self.strengths[k] += 1;
                    changed = n > 1.0; // one spin alone learns nothing
                }
            }
        }
        let held = |o: &&f64| !is_held(**o, self.square, self.margin);
        let unstable = self.aligned.iter().filter(held).count();
        let length = self.square.sqrt();
        let least = self.aligned.iter().map(|&o| if o == 0.0 { 0.0 } else { o / length });
        Learned { epochs: used, unstable, least: least.fold(f64::INFINITY, f64::min) }
    }
}

/// `aligned_μ += times (ξ_i^μ ξ_i^ν ξ^μ·ξ^ν - 1)`
struct Add<'a> {
    times: f64,
    own: f64,
    products: &'a [f32],
    values: &'a [f64],
    aligned: &'a mut [f64],
}
impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (o, (p, v)) in self.aligned.iter_mut().zip(self.products.iter().zip(self.values)) {
            *o += self.times * (self.own * v * f64::from(*p) - 1.0);
        }
    }
}
