//! A model of one's own: what it takes to learn, to be sampled and to be evaluated is an energy and its derivatives, by hand.

use harmonium::linalg::col;
use harmonium::params::Role;
use harmonium::units::Real;
use harmonium::{Block, Curved, Directional, Energy, Learn, Mat, MatMut, MatRef, Params, Score, Train, Version, Weigh};
use std::f64::consts::{LN_2, SQRT_2};
use std::sync::Arc;

/// `E(x) = √2 Σᵢ |bᵢᵀx|`: independent Laplacian sources `bᵢᵀx` of unit variance. Its parameters are the filters `bᵢ`, the columns of one
/// matrix.
///
/// With `sharpness` κ, `|s|` is `log cosh(κs) / κ`, whose derivative is `tanh κs`: for score matching, which needs a second one.
#[derive(Clone, Debug)]
pub(crate) struct Ica {
    params: Params,
    blocks: Vec<Block>,
    sharpness: Option<f64>,
}

/// In double precision; four factors need no fast kernel.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

impl Ica {
    /// With these filters as rows of `b`.
    pub(crate) fn new(b: &Mat, sharpness: Option<f64>) -> Self {
        let n = b.ncols();
        let mut params = Params::zeros(&[("filters", Role::Weights, n, b.nrows())]);
        params.mat_mut(0).copy_from(&b.transpose());
        Self { params, blocks: vec![Block { rows: 0..n, unit: Arc::new(Real), group: 0 }], sharpness }
    }
    /// The filters as rows.
    pub(crate) fn filters(&self) -> Mat {
        self.params.mat(0).transpose()
    }
    /// `log Z = n log √2 - log |det B|`: each source has the density `exp(-√2 |s|) / √2`, and volumes shrink by the determinant.
    pub(crate) fn log_partition(b: &Mat) -> f64 {
        0.5 * LN_2 * b.nrows() as f64 - b.map(f64::from).determinant().abs().ln()
    }
    fn n(&self) -> usize {
        self.blocks[0].rows.len()
    }
    fn filter(&self, i: usize) -> &[f32] {
        &self.params.as_slice()[i * self.n()..(i + 1) * self.n()]
    }
    /// `√2 |s|`, or what stands for it.
    fn cost(&self, s: f64) -> f64 {
        let log_cosh = |a: f64| a + (-2.0 * a).exp().ln_1p() - LN_2;
        SQRT_2 * self.sharpness.map_or(s.abs(), |k| log_cosh((k * s).abs()) / k)
    }
    /// Its first three derivatives.
    fn derivatives(&self, s: f64) -> [f64; 3] {
        let Some(k) = self.sharpness else { return [SQRT_2 * s.signum(), 0.0, 0.0] };
        let t = (k * s).tanh();
        let bend = k * (1.0 - t * t);
        [SQRT_2 * t, SQRT_2 * bend, -2.0 * SQRT_2 * k * t * bend]
    }
}

impl Energy for Ica {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        for (j, o) in out.iter_mut().enumerate() {
            *o = (0..self.n()).map(|i| self.cost(dot(self.filter(i), col(&x, j)))).sum();
        }
    }
}
impl Score for Ica {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        for (j, mut out) in out.column_iter_mut().enumerate() {
            out.fill(0.0);
            for i in 0..self.n() {
                let slope = self.derivatives(dot(self.filter(i), col(&x, j)))[0] as f32;
                out.iter_mut().zip(self.filter(i)).for_each(|(o, b)| *o += slope * b);
            }
        }
    }
}
impl Learn for Ica {
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let n = self.n();
        let mut sums = vec![0.0; n * n]; // in double precision, for there are many samples
        for (j, w) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let x = col(&x, j);
            for (i, own) in sums.chunks_exact_mut(n).enumerate() {
                let pull = f64::from(*w) * self.derivatives(dot(self.filter(i), x))[0];
                own.iter_mut().zip(x).for_each(|(s, x)| *s += pull * f64::from(*x));
            }
        }
        grad.as_mut_slice().iter_mut().zip(sums).for_each(|(g, s)| *g += s as f32);
    }
}
impl Train for Ica {
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(&mut self.params);
    }
}
/// By differences, as provided: nothing here learns from slopes alone.
impl Directional for Ica {}
/// Of the smooth energy `Σ φ(sᵢ)` along `u`: the slope is `Σ φ'(sᵢ) tᵢ` with `tᵢ = bᵢᵀu`, the curvature `Σ φ''(sᵢ) tᵢ²`.
impl Curved for Ica {
    fn grad_curvatures(&self, x: MatRef<'_>, u: MatRef<'_>, weigh: &Weigh<'_>, grad: &mut Params) {
        let n = self.n();
        let (mut sums, mut sources) = (vec![0.0; n * n], vec![([0.0; 3], 0.0); n]);
        for j in 0..x.ncols() {
            let (x, u) = (col(&x, j), col(&u, j));
            for (i, own) in sources.iter_mut().enumerate() {
                *own = (self.derivatives(dot(self.filter(i), x)), dot(self.filter(i), u));
            }
            let slope = sources.iter().map(|(d, t)| d[0] * t).sum();
            let curvature = sources.iter().map(|(d, t)| d[1] * t * t).sum();
            let [a, b] = weigh(j, slope, curvature);
            if a == 0.0 && b == 0.0 {
                continue;
            }
            for ((d, t), own) in sources.iter().zip(sums.chunks_exact_mut(n)) {
                let by_x = a * d[1] * t + b * d[2] * t * t;
                let by_u = a * d[0] + 2.0 * b * d[1] * t;
                let both = x.iter().zip(u).map(|(x, u)| by_x * f64::from(*x) + by_u * f64::from(*u));
                own.iter_mut().zip(both).for_each(|(s, g)| *s += g);
            }
        }
        grad.as_mut_slice().iter_mut().zip(sums).for_each(|(g, s)| *g += s as f32);
    }
}
