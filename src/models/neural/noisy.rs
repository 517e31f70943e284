//! The energies of data with normal noise of every size, as one network: `E(x | σ)`, from which samples are led out of noise.
//!
//! Data of mean m and standard deviation s with noise σ have, but for their shape, the energy `½‖x - m‖²/(s² + σ²)`; the network adds the
//! shape. Its input is divided by `√(s² + σ²)` and its output multiplied by `s/σ`, so that at every level its slope has variance one and
//! is what the noise leaves open (Karras and others 2022, whose preconditioning of a denoiser this is, written as an energy):
//!
//! ```text
//! E(x | σ) = ½‖x - m‖²/(s² + σ²) + s/σ f(c(σ), (x - m)/√(s² + σ²))
//! x - σ² ∂E/∂x = ⟨data | x⟩        if it has learned all
//! ```
//!
//! The level is told to the network by bumps `c(σ)` over log σ, one of which is on: a bias for every level.
//!
//! ## References
//! - Karras, Aittala, Aila and Laine, "Elucidating the design space of diffusion-based generative models", 2022.
//! - Salimans and Ho, "Should EBMs model the energy or the score?", 2021.

use super::{Activation, NeuralEnergy};
use crate::linalg::{col, dot};
use crate::units::Real;
use crate::{Block, Directional, Energy, Error, Learn, Mat, MatMut, MatRef, Params, Result, Score, Train, Version};
use std::cell::Cell;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Bumps over the levels.
const BUMPS: usize = 24;

thread_local! {
    /// Inputs of the network and its slopes, kept from call to call. Taken while in use.
    static BUFFERS: Cell<[Mat; 2]> = Cell::new([Mat::zeros(0, 0), Mat::zeros(0, 0)]);
}

/// `E(x | σ) = ½‖x - m‖²/(s² + σ²) + s/σ f(c(σ), (x - m)/√(s² + σ²))`; a state is σ, which is given and above 0, then the units `x`,
/// real numbers. (The derivative by σ is not for it to say: [`Score::grad_x`] gives 0 there.)
///
/// Parameters: those of the [`NeuralEnergy`] within; m, s and the levels are settings.
///
/// ```
/// use harmonium::models::neural::{Activation, NoisyEnergy};
/// use harmonium::{Mat, Score};
/// let mut model = NoisyEnergy::new(&[0.5, -0.5], 0.5, 0.01..=10.0, &[(16, Activation::Silu)])?;
/// model.initialise(1);
/// let x = Mat::from_element(3, 4, 1.0); // σ = 1 above two units, of four states
/// model.grad_x(x.as_view(), Mat::zeros(3, 4).as_view_mut());
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NoisyEnergy {
    inner: NeuralEnergy,
    mean: Vec<f32>,
    deviation: f32,
    levels: RangeInclusive<f32>,
    blocks: Vec<Block>,
}

impl NoisyEnergy {
    /// For data of this mean and standard deviation, and noise of these levels; all parameters zero.
    ///
    /// # Errors
    /// [`Error::Value`] if the mean or the deviation is no number, the deviation or the smallest level is not above 0, there is no mean, or
    /// the levels have no range.
    pub fn new(
        mean: &[f32],
        deviation: f32,
        levels: RangeInclusive<f32>,
        hidden: &[(usize, Activation)],
    ) -> Result<Self> {
        if mean.is_empty() || !mean.iter().all(|m| m.is_finite()) {
            return Err(Error::value("the mean of data with noise", "a number for every unit", format!("{mean:?}")));
        }
        if !(deviation > 0.0 && deviation.is_finite()) {
            return Err(Error::value("the standard deviation of data with noise", "a number above 0", deviation));
        }
        let (low, high) = (*levels.start(), *levels.end());
        if !(low > 0.0 && low < high && high.is_finite()) {
            return Err(Error::value("levels of noise", "from above 0 to more", format!("{levels:?}")));
        }
        let inner = NeuralEnergy::new(BUMPS, &[(mean.len(), Arc::new(Real))], hidden);
        let blocks = vec![Block { rows: 1..mean.len() + 1, unit: Arc::new(Real), group: 0 }];
        Ok(Self { inner, mean: mean.to_vec(), deviation, levels, blocks })
    }
    /// Random weights, those of the output 0: the energy is at first that of a normal distribution.
    pub fn initialise(&mut self, seed: u64) {
        let started = self.inner.initialise(&[], seed);
        debug_assert!(started.is_ok(), "no means are asked for");
        let output = 2 * self.inner.network().n_layers() - 2;
        self.inner.update(&mut |p| p.slice_mut(output).fill(0.0));
    }
    /// m
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }
    /// s
    pub fn deviation(&self) -> f32 {
        self.deviation
    }
    /// The levels of noise that it is for.
    pub fn levels(&self) -> &RangeInclusive<f32> {
        &self.levels
    }
    /// The network `f`, with its bumps, as an energy.
    pub fn inner(&self) -> &NeuralEnergy {
        &self.inner
    }
    /// `x - σ² ∂E/∂x`, the mean of the data that a state with noise can come from, of states (σ, then units × samples): units × samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state has not its rows.
    pub fn denoise(&self, x: MatRef<'_>) -> Result<Mat> {
        if x.nrows() != self.n_rows() {
            return Err(Error::shape("rows of states with their noise", self.n_rows(), x.nrows()));
        }
        let mut slopes = Mat::zeros(x.nrows(), x.ncols());
        let mut states = crate::States::new(x.clone_owned());
        let parts = states.par(|_, slab| {
            let mut out = Mat::zeros(x.nrows(), slab.ncols());
            self.grad_x(slab.x(), out.as_view_mut());
            out
        });
        let mut at = 0;
        for part in parts {
            slopes.columns_mut(at, part.ncols()).copy_from(&part);
            at += part.ncols();
        }
        let clean = |i: usize, j: usize| x[(i + 1, j)] - x[(0, j)] * x[(0, j)] * slopes[(i + 1, j)];
        Ok(Mat::from_fn(x.nrows() - 1, x.ncols(), clean))
    }
    /// `1/√(s² + σ²)` and `s/σ`.
    fn scales(&self, sigma: f32) -> [f32; 2] {
        let (s, sigma) = (self.deviation, sigma.max(f32::MIN_POSITIVE));
        [1.0 / (s * s + sigma * sigma).sqrt(), s / sigma]
    }
    /// What the network sees of states.
    fn inputs(&self, x: MatRef<'_>, out: &mut Mat) {
        resize(out, BUMPS + self.mean.len(), x.ncols());
        let (low, high) = (self.levels.start().ln(), self.levels.end().ln());
        for (x, mut z) in x.column_iter().zip(out.column_iter_mut()) {
            let (x, z) = (x.data.into_slice(), z.as_mut_slice());
            let ([narrow, _], place) = (self.scales(x[0]), (x[0].ln() - low) / (high - low) * (BUMPS - 1) as f32);
            let (bumps, units) = z.split_at_mut(BUMPS);
            bumps.iter_mut().enumerate().for_each(|(k, b)| *b = (-0.5 * (place - k as f32).powi(2)).exp());
            units.iter_mut().zip(&x[1..]).zip(&self.mean).for_each(|((z, x), m)| *z = narrow * (x - m));
        }
    }
    fn with_buffers<R>(f: impl FnOnce(&mut [Mat; 2]) -> R) -> R {
        let mut buffers = BUFFERS.replace([Mat::zeros(0, 0), Mat::zeros(0, 0)]);
        let result = f(&mut buffers);
        BUFFERS.set(buffers);
        result
    }
    /// `½‖x - m‖²/(s² + σ²)`
    fn outer(&self, x: &[f32], narrow: f32) -> f64 {
        let square = |(x, m): (&f32, &f32)| f64::from(x - m).powi(2);
        0.5 * f64::from(narrow).powi(2) * x[1..].iter().zip(&self.mean).map(square).sum::<f64>()
    }
    fn slopes(&self, x: MatRef<'_>, mut energies: Option<&mut [f64]>, mut out: MatMut<'_>) {
        Self::with_buffers(|[z, slopes]| {
            self.inputs(x, z);
            resize(slopes, z.nrows(), z.ncols());
            match &mut energies {
                Some(energies) => self.inner.energy_and_grad_x(z.as_view(), energies, slopes.as_view_mut()),
                None => self.inner.grad_x(z.as_view(), slopes.as_view_mut()),
            }
            for (j, mut out) in out.column_iter_mut().enumerate() {
                let x = col(&x, j);
                let [narrow, wide] = self.scales(x[0]);
                if let Some(energies) = &mut energies {
                    energies[j] = self.outer(x, narrow) + f64::from(wide) * energies[j];
                }
                let (out, own) = (out.as_mut_slice(), &slopes.column(j).data.into_slice()[BUMPS..]);
                out[0] = 0.0;
                for (((o, x), m), s) in out[1..].iter_mut().zip(&x[1..]).zip(&self.mean).zip(own) {
                    *o = narrow * narrow * (x - m) + wide * narrow * s;
                }
            }
        });
    }
}
fn resize(m: &mut Mat, rows: usize, columns: usize) {
    if m.shape() != (rows, columns) {
        let mut data: Vec<f32> = std::mem::replace(m, Mat::zeros(0, 0)).data.into();
        data.resize(rows * columns, 0.0);
        *m = Mat::from_vec(rows, columns, data);
    }
}

impl Energy for NoisyEnergy {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn n_given(&self) -> usize {
        1
    }
    fn version(&self) -> Version {
        self.inner.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        Self::with_buffers(|[z, _]| {
            self.inputs(x, z);
            self.inner.energy(z.as_view(), out);
        });
        for (j, o) in out.iter_mut().enumerate() {
            let x = col(&x, j);
            let [narrow, wide] = self.scales(x[0]);
            *o = self.outer(x, narrow) + f64::from(wide) * *o;
        }
    }
}
impl Score for NoisyEnergy {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.slopes(x, None, out);
    }
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], out: MatMut<'_>) {
        self.slopes(x, Some(energies), out);
    }
}
impl Learn for NoisyEnergy {
    fn params(&self) -> &Params {
        self.inner.params()
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let scaled = |(j, w): (usize, &f32)| if *w == 0.0 { 0.0 } else { w * self.scales(x[(0, j)])[1] };
        let weights: Vec<f32> = weights.iter().enumerate().map(scaled).collect();
        let mut z = Mat::zeros(0, 0);
        self.inputs(x, &mut z);
        self.inner.grad_params(z.as_view(), &weights, grad);
    }
}
impl Directional for NoisyEnergy {
    /// Exactly. Directions have no part along σ.
    fn grad_slopes(&self, x: MatRef<'_>, u: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let scaled = |(j, w): (usize, &f32)| match *w == 0.0 {
            true => 0.0,
            false => w * self.scales(x[(0, j)]).iter().product::<f32>(),
        };
        let weights: Vec<f32> = weights.iter().enumerate().map(scaled).collect();
        let (mut z, mut along) = (Mat::zeros(0, 0), Mat::zeros(BUMPS + self.mean.len(), x.ncols()));
        self.inputs(x, &mut z);
        along.rows_mut(BUMPS, self.mean.len()).copy_from(&u.rows(1, self.mean.len()));
        self.inner.grad_slopes(z.as_view(), along.as_view(), &weights, grad);
    }
}
impl Train for NoisyEnergy {
    fn architecture(&self) -> String {
        let size = dot(&self.mean, &self.mean).sqrt();
        let (s, levels) = (self.deviation, &self.levels);
        format!(
            "{}, noise {levels:?} of data of deviation {s} about a mean of length {size}",
            self.inner.architecture()
        )
    }
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.inner.update(f);
    }
}
