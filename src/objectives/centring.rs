//! Centred gradients: the gradient with respect to the parameters of `E = -(y-λ)ᵀW(x-μ) - b̃ᵀ(x-μ) - c̃ᵀ(y-λ)`, carried back
//! to the parameters of the plain energy.
//!
//! The model is never reparametrised, so moving the offsets cannot change its distribution. With `G` the plain gradient
//! and `H` the centred one:
//!
//! ```text
//! H_W = G_W - G_c μᵀ - λ G_bᵀ      H_b = G_b - H_Wᵀ λ      H_c = G_c - H_W μ
//! ```
//!
//! Of couplings within a layer, `-½ (x-μ)ᵀL(x-μ)`, each pair is there twice: `H_L = G_L - ½ (G_b μᵀ + μ G_bᵀ)`, zero within a unit, and
//! `H_b = G_b - H_L μ`.
//!
//! The offsets are sliding means over the data phase: of the data and of the latent units' expectations.
//!
//! ## References
//! - Montavon and Müller, "Deep Boltzmann machines and the centering trick", 2012.
//! - Melchior, Fischer and Wiskott, "How to center deep Boltzmann machines", 2016 (data means on both sides; sliding
//!   average with factor 0.01).

use crate::linalg::{Kernel, Level, axpy, dot};
use crate::params::{Role, Slot};
use crate::{Error, Params, Result, Resume, Saved};
use rayon::prelude::*;

/// Columns handled by one task: a constant, so that bits do not depend on threads.
const STRIP: usize = 32;

/// Offsets of all units that have biases, and how fast they slide.
#[derive(Clone, Debug)]
pub struct Centring {
    /// Weight of the newest batch in the sliding means, within 0..=1.
    pub slide: f32,
    offsets: Vec<f32>, // one for every parameter; those of biases are in use
    biases: Vec<f32>,  // the plain gradient of the biases, in the same places
    dots: Vec<f32>,    // H_Wᵀ λ
    sums: Vec<f32>,    // the parts of H_W μ that the strips found
}

impl Default for Centring {
    fn default() -> Self {
        Self::new(0.01)
    }
}

impl Centring {
    /// No offsets yet: the first batch sets them.
    pub fn new(slide: f32) -> Self {
        Self { slide, offsets: vec![], biases: vec![], dots: vec![], sums: vec![] }
    }
    /// Whether there are offsets of another model: only a saved state can bring them.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are.
    pub fn check(&self, params: &Params) -> Result<()> {
        match (self.offsets.len(), params.as_slice().len()) {
            (got, expected) if got != 0 && got != expected => {
                Err(Error::shape("the offsets of centring", format!("{expected} parameters"), got))
            }
            _ => Ok(()),
        }
    }
    /// Moves the offsets towards the means of the data phase, which are minus the gradient of the biases in that phase.
    pub fn observe(&mut self, positive: &Params) {
        let slide = if self.offsets.is_empty() { 1.0 } else { self.slide };
        self.offsets.resize(positive.as_slice().len(), 0.0);
        for slot in positive.slots().iter().filter(|s| s.role == Role::Bias) {
            let means = positive.as_slice()[slot.range()].iter().map(|g| -g);
            self.offsets[slot.range()].iter_mut().zip(means).for_each(|(o, m)| *o += slide * (m - *o));
        }
    }
    /// The offsets of the units whose biases are slot `k`; empty before the first batch.
    pub fn offsets(&self, params: &Params, k: usize) -> &[f32] {
        self.offsets.get(params.slots()[k].range()).unwrap_or(&[])
    }
    /// The offsets of all units, in the places of their biases; empty before the first batch.
    pub(super) fn all(&self) -> &[f32] {
        &self.offsets
    }
    /// Turns a plain gradient into a centred one; before the first batch, when there are no offsets, it stays plain.
    pub fn apply(&mut self, grad: &mut Params) {
        self.carry(grad, None);
    }
    /// The same, with the gradients by biases times these gains, one for every parameter, and those by couplings times the
    /// gains of both sides: what standardising does with offsets.
    pub(super) fn carry(&mut self, grad: &mut Params, gains: Option<&[f32]>) {
        if self.offsets.is_empty() {
            return;
        }
        let slots = grad.layout();
        self.biases.resize(grad.as_slice().len(), 0.0);
        for slot in slots.iter().filter(|s| s.role == Role::Bias) {
            let biases = &mut grad.as_mut_slice()[slot.range()];
            self.biases[slot.range()].copy_from_slice(biases);
            if let Some(gains) = gains {
                biases.iter_mut().zip(&gains[slot.range()]).for_each(|(b, gain)| *b *= gain);
            }
        }
        for weights in slots.iter() {
            match weights.role {
                Role::Coupling { rows, columns } => {
                    self.centre(weights, (&slots[rows], &slots[columns], None), grad.as_mut_slice(), gains);
                }
                Role::Lateral { units, width } => {
                    self.centre(weights, (&slots[units], &slots[units], Some(width)), grad.as_mut_slice(), gains);
                }
                _ => (),
            }
        }
    }
    /// One coupling, in one pass over its columns. Of a lateral one, with units of this width, every pair is there twice, and each
    /// half of it gives up half: `-½ (x-μ)ᵀW(x-μ)` is `-½ xᵀWx + (Wμ)ᵀx` and a constant.
    fn centre(
        &mut self,
        weights: &Slot,
        (rows, columns, lateral): (&Slot, &Slot, Option<usize>),
        grad: &mut [f32],
        gains: Option<&[f32]>,
    ) {
        let (height, width) = (weights.rows, weights.columns);
        if height * width == 0 {
            return;
        }
        let (lambda, mu) = (&self.offsets[rows.range()], &self.offsets[columns.range()]);
        let (of_rows, of_columns) = (&self.biases[rows.range()], &self.biases[columns.range()]);
        self.dots.resize(width, 0.0);
        self.sums.clear();
        self.sums.resize(height * width.div_ceil(STRIP), 0.0);
        let strips = grad[weights.range()].par_chunks_mut(height * STRIP);
        let strips = strips.zip(self.dots.par_chunks_mut(STRIP)).zip(self.sums.par_chunks_mut(height)).enumerate();
        strips.for_each(|(s, ((strip, dots), sum))| {
            for (k, (w, d)) in strip.chunks_mut(height).zip(dots).enumerate() {
                let (mu, of_column) = (mu[s * STRIP + k], of_columns[s * STRIP + k]);
                let part = if lateral.is_some() { 0.5 } else { 1.0 };
                // No unit is coupled to itself: what will be zero.
                let own = lateral.map_or(0..0, |width| {
                    let first = (s * STRIP + k) / width * width;
                    first..first + width
                });
                own.for_each(|i| w[i] = part * (mu * of_rows[i] + of_column * lambda[i]));
                let column = Column { w, lambda, of_rows, mu, of_column, part, sum };
                *d = match gains {
                    None => Level::best().run(column),
                    Some(gains) => {
                        let gain = gains[columns.offset + s * STRIP + k];
                        Level::best().run(Scaled { column, of_rows: &gains[rows.range()], gain })
                    }
                };
            }
        });
        if lateral.is_none() {
            axpy(-1.0, &self.dots, &mut grad[columns.range()]);
        }
        // In the order of the strips, whichever thread made them.
        self.sums.chunks(height).for_each(|sum| axpy(-1.0, sum, &mut grad[rows.range()]));
    }
}

/// One column of a coupling: `w ← w - μ G_c - G_b λ`, which is `H_W`; `sum += μ w`; returns `λᵀw`.
struct Column<'a> {
    w: &'a mut [f32],
    lambda: &'a [f32],
    of_rows: &'a [f32],
    mu: f32,
    of_column: f32,
    part: f32, // of what is taken from `w`
    sum: &'a mut [f32],
}
impl Kernel for Column<'_> {
    type Output = f32;
    #[inline(always)]
    fn run(self) -> f32 {
        let n = self.w.len();
        let (w, sum) = (&mut self.w[..n], &mut self.sum[..n]);
        let (lambda, of_rows) = (&self.lambda[..n], &self.of_rows[..n]);
        for k in 0..n {
            let centred = w[k] - self.part * (self.mu * of_rows[k] + self.of_column * lambda[k]);
            w[k] = centred;
            sum[k] += self.mu * centred;
        }
        dot(lambda, w) as f32
    }
}

/// The same, every entry times the gains of its row and of its column.
struct Scaled<'a> {
    column: Column<'a>,
    of_rows: &'a [f32],
    gain: f32,
}
impl Kernel for Scaled<'_> {
    type Output = f32;
    #[inline(always)]
    fn run(self) -> f32 {
        let (Column { w, lambda, of_rows, mu, of_column, part, sum }, n) = (self.column, self.of_rows.len());
        let (w, sum, gains) = (&mut w[..n], &mut sum[..n], &self.of_rows[..n]);
        let (lambda, of_rows) = (&lambda[..n], &of_rows[..n]);
        for k in 0..n {
            // With all gains one, to the bit what `Column` makes.
            let scaled = (w[k] - part * (mu * of_rows[k] + of_column * lambda[k])) * (self.gain * gains[k]);
            w[k] = scaled;
            sum[k] += mu * scaled;
        }
        dot(lambda, w) as f32
    }
}

impl Resume for Centring {
    fn save(&self, to: &mut Saved) {
        to.put("offsets", &self.offsets);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.offsets = from.floats("offsets")?.to_vec();
        Ok(())
    }
}
