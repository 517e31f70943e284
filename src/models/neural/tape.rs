//! One network over one slab of samples, forwards and backwards, with the derivatives along a direction that score matching asks for.
//!
//! Along `x + εu` every field is a power series in ε. A pass forwards carries its first coefficients,
//!
//! ```text
//! z₀ = W a₀ + b     z₁ = W a₁     z₂ = W a₂                   (of the layer below: x, u, 0)
//! a₀ = f(z₀)        a₁ = f' z₁    a₂ = f'' z₁² + f' z₂        (values, first and second derivatives by ε)
//! ```
//!
//! so that the outputs come with their exact slopes and curvatures; and the pass backwards is the derivative of all that. One order is
//! plain back-propagation, two give `∂/∂θ uᵀ∇f`, three `∂/∂θ uᵀ∇²f u`. Everything is single-threaded: parallelism is over slabs.
//!
//! ## References
//! - Pearlmutter, "Fast exact multiplication by the Hessian", 1994.

use super::activation::OfSeries;
use super::{Activation, Mlp};
use crate::linalg::{Kernel, Level, add_columns, add_outer, axpy, col, dot, gemm};
use crate::{Mat, MatMut, MatRef, Params};
use nalgebra::Dyn;
use std::ops::Range;

/// Coefficients of a power series at most.
const ORDERS: usize = 3;

/// What a pass over a slab keeps: fields and activities of the hidden layers, by layer and by order, and the outputs.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    columns: usize,
    layers: Vec<Layer>,
    /// Outputs × samples, by order; in double precision.
    pub(super) out: [Vec<f64>; ORDERS],
    /// The derivatives of a loss by them, which are to be propagated back.
    pub(super) back: [Vec<f32>; ORDERS],
    /// One for every sample, or zero: it is absent from the gradient then, whatever it holds.
    pub(super) there: Vec<f32>,
    spread: [Vec<f32>; ORDERS], // the same by the activities of one layer
    row: Vec<f32>,
}

/// Units × columns of a hidden layer.
#[derive(Clone, Debug, Default)]
struct Layer {
    fields: [Vec<f32>; ORDERS], // in a pass of one order, slopes in their place; after the pass backwards, the derivatives by them
    active: [Vec<f32>; ORDERS],
}

/// A direction for every sample, and whether the second derivative along it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along<'a> {
    pub(super) u: MatRef<'a>,
    pub(super) curvature: bool,
}
fn orders(along: Option<Along<'_>>) -> usize {
    along.map_or(1, |a| if a.curvature { 3 } else { 2 })
}

fn view(m: &[f32], rows: usize) -> MatRef<'_> {
    MatRef::from_slice_generic(m, Dyn(rows), Dyn(m.len().checked_div(rows).unwrap_or(0)))
}
fn view_mut(m: &mut [f32], rows: usize) -> MatMut<'_> {
    let columns = m.len().checked_div(rows).unwrap_or(0);
    MatMut::from_slice_generic(m, Dyn(rows), Dyn(columns))
}

impl Tape {
    /// Makes room; what the buffers hold is unknown.
    fn fit(&mut self, net: &Mlp, columns: usize, orders: usize) {
        self.columns = columns;
        self.there.clear();
        self.there.resize(columns, 1.0);
        self.layers.resize_with(net.n_layers() - 1, Layer::default);
        for (k, layer) in self.layers.iter_mut().enumerate() {
            let n = net.rows(k + 1).len() * columns;
            layer.fields[..orders].iter_mut().chain(&mut layer.active[..orders]).for_each(|b| b.resize(n, 0.0));
        }
        let n = net.n_outputs() * columns;
        self.out[..orders].iter_mut().for_each(|b| b.resize(n, 0.0));
        self.back[..orders].iter_mut().for_each(|b| b.resize(n, 0.0));
    }
    /// The pass forwards over samples `x` (inputs × samples) of a network whose last layer is linear.
    pub(super) fn forward(&mut self, net: &Mlp, x: MatRef<'_>, along: Option<Along<'_>>) {
        let orders = orders(along);
        self.fit(net, x.ncols(), orders);
        for l in 1..net.n_layers() {
            let (below, own) = self.layers.split_at_mut(l - 1);
            let (below, own, units) = (below.last(), &mut own[0], net.rows(l).len());
            for c in 0..orders {
                let from = match (below, c, along) {
                    (Some(below), ..) => view(&below.active[c], net.rows(l - 1).len()),
                    (None, 0, _) => x,
                    (None, 1, Some(along)) => along.u,
                    _ => {
                        own.fields[c].fill(0.0);
                        continue;
                    }
                };
                gemm(1.0, net.weights(l), from, 0.0, view_mut(&mut own.fields[c], units));
            }
            own.respond(net.activation(l), net.bias(l), orders);
        }
        self.read_out(net, x, along);
    }
    /// The linear outputs.
    fn read_out(&mut self, net: &Mlp, x: MatRef<'_>, along: Option<Along<'_>>) {
        let (last, outputs) = (net.n_layers(), net.n_outputs());
        let (weights, below) = (net.weights(last), net.rows(last - 1).len());
        for k in 0..outputs {
            self.row.clear();
            self.row.extend(weights.row(k).iter());
            for c in 0..orders(along) {
                for j in 0..self.columns {
                    let active = match (self.layers.last(), c, &along) {
                        (Some(layer), ..) => &layer.active[c][j * below..][..below],
                        (None, 0, _) => col(&x, j),
                        (None, 1, Some(along)) => col(&along.u, j),
                        _ => &[],
                    };
                    let sum = if active.is_empty() { 0.0 } else { dot(&self.row, active) };
                    self.out[c][j * outputs + k] = if c == 0 { sum + f64::from(net.bias(last)[k]) } else { sum };
                }
            }
        }
    }
    /// The pass backwards, from what stands in `back`: leaves the derivatives by the fields of all hidden layers. `transposed` are the
    /// weights of every layer, the other way round.
    pub(super) fn backward(&mut self, net: &Mlp, transposed: &[Mat], along: Option<Along<'_>>) {
        let Self { layers, back, spread, columns, .. } = self;
        for l in (1..net.n_layers()).rev() {
            let (lower, upper) = layers.split_at_mut(l);
            let (own, units) = (&mut lower[l - 1], net.rows(l).len());
            for c in 0..orders(along) {
                spread[c].resize(units * *columns, 0.0);
                let out = &mut spread[c][..units * *columns];
                match upper.first() {
                    Some(above) => {
                        let deltas = view(&above.fields[c], net.rows(l + 1).len());
                        gemm(1.0, transposed[l].as_view(), deltas, 0.0, view_mut(out, units));
                    }
                    None => spread_out(&transposed[l], &back[c], out),
                }
            }
            own.chain(net.activation(l), spread, orders(along));
        }
    }
    /// `out = ∂loss/∂x` (inputs × samples), after a pass backwards of one order.
    pub(super) fn inputs(&self, net: &Mlp, transposed: &[Mat], out: &mut MatMut<'_>) {
        match self.layers.first() {
            Some(first) => {
                let deltas = view(&first.fields[0], net.rows(1).len());
                gemm(1.0, transposed[0].as_view(), deltas, 0.0, out.as_view_mut());
            }
            None => gemm(1.0, transposed[0].as_view(), view(&self.back[0], net.n_outputs()), 0.0, out.as_view_mut()),
        }
    }
    /// `grad += ∂loss/∂θ`, summed over the samples that are there, after a pass backwards; in parallel.
    pub(super) fn add_gradient(&self, net: &Mlp, x: MatRef<'_>, along: Option<Along<'_>>, grad: &mut Params) {
        let there = &self.there;
        for l in 1..=net.n_layers() {
            let units = net.rows(l).len();
            for c in 0..orders(along) {
                let deltas = match self.layers.get(l - 1) {
                    Some(own) => view(&own.fields[c], units),
                    None => view(&self.back[c], units),
                };
                if c == 0 {
                    add_columns(grad.slice_mut(2 * l - 1), 1.0, deltas, there);
                }
                let below = match (l, c, &along) {
                    (2.., ..) => view(&self.layers[l - 2].active[c], net.rows(l - 1).len()),
                    (_, 0, _) => x,
                    (_, 1, Some(along)) => along.u,
                    _ => continue,
                };
                add_outer(1.0, deltas, below, there, grad.slice_mut(2 * l - 2));
            }
        }
    }
}

/// `out = Wᵀ back` of few outputs: inputs of the layer × samples.
fn spread_out(transposed: &Mat, back: &[f32], out: &mut [f32]) {
    let (below, outputs) = transposed.shape();
    for (out, back) in out.chunks_exact_mut(below.max(1)).zip(back.chunks_exact(outputs)) {
        out.fill(0.0);
        for (b, weights) in back.iter().zip(transposed.column_iter()) {
            axpy(*b, weights.as_slice(), out);
        }
    }
}

impl Layer {
    /// Activities from fields.
    fn respond(&mut self, f: Activation, bias: &[f32], orders: usize) {
        if orders == 1 {
            return f.with_slopes(bias, &mut self.fields[0], &mut self.active[0]);
        }
        f.of_series(Respond { bias, fields: &mut self.fields, active: &mut self.active, curved: orders == ORDERS });
    }
    /// Derivatives by fields, in their place, from those by activities.
    fn chain(&mut self, f: Activation, spread: &[Vec<f32>; ORDERS], orders: usize) {
        if orders == 1 {
            return Level::best().run(Product { x: &spread[0], out: &mut self.fields[0] });
        }
        f.of_series(Chain { fields: &mut self.fields, spread, curved: orders == ORDERS });
    }
}

/// `a₀ = f, a₁ = f' z₁, a₂ = f'' z₁² + f' z₂`, after biases.
struct Respond<'a> {
    bias: &'a [f32],
    fields: &'a mut [Vec<f32>; ORDERS],
    active: &'a mut [Vec<f32>; ORDERS],
    curved: bool,
}
impl OfSeries for Respond<'_> {
    #[inline(always)]
    fn run(self, f: impl Fn(f32) -> [f32; 4]) {
        let ([z0, z1, z2], [a0, a1, a2], n) = (self.fields, self.active, self.bias.len().max(1));
        for at in (0..z0.len()).step_by(n) {
            let (z0, z1) = (&mut z0[at..at + n], &z1[at..at + n]);
            let (a0, a1) = (&mut a0[at..at + n], &mut a1[at..at + n]);
            if self.curved {
                let (z2, a2) = (&z2[at..at + n], &mut a2[at..at + n]);
                for i in 0..n {
                    z0[i] += self.bias[i];
                    let [value, first, second, _] = f(z0[i]);
                    (a0[i], a1[i], a2[i]) = (value, first * z1[i], second * z1[i] * z1[i] + first * z2[i]);
                }
            } else {
                for i in 0..n {
                    z0[i] += self.bias[i];
                    let [value, first, ..] = f(z0[i]);
                    (a0[i], a1[i]) = (value, first * z1[i]);
                }
            }
        }
    }
}

/// The derivative of that by the fields, times those of a loss by the activities.
struct Chain<'a> {
    fields: &'a mut [Vec<f32>; ORDERS],
    spread: &'a [Vec<f32>; ORDERS],
    curved: bool,
}
impl OfSeries for Chain<'_> {
    #[inline(always)]
    fn run(self, f: impl Fn(f32) -> [f32; 4]) {
        let ([z0, z1, z2], [s0, s1, s2]) = (self.fields, self.spread);
        let n = z0.len();
        let (z0, z1, s0, s1) = (&mut z0[..n], &mut z1[..n], &s0[..n], &s1[..n]);
        if self.curved {
            let (z2, s2) = (&mut z2[..n], &s2[..n]);
            for i in 0..n {
                let [_, first, second, third] = f(z0[i]);
                let curved = third * z1[i] * z1[i] + second * z2[i];
                z0[i] = first * s0[i] + second * z1[i] * s1[i] + curved * s2[i];
                z1[i] = first * s1[i] + 2.0 * second * z1[i] * s2[i];
                z2[i] = first * s2[i];
            }
        } else {
            for i in 0..n {
                let [_, first, second, _] = f(z0[i]);
                z0[i] = first * s0[i] + second * z1[i] * s1[i];
                z1[i] = first * s1[i];
            }
        }
    }
}

/// `out ← out x`
struct Product<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}
impl Kernel for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.out.iter_mut().zip(self.x).for_each(|(o, x)| *o *= x);
    }
}

/// What is needed at the outputs `o` of one sample, along a direction.
impl Tape {
    /// Values, slopes and, if they are there, curvatures.
    pub(super) fn outputs_along(&self, o: Range<usize>, curvature: bool) -> [&[f64]; ORDERS] {
        let second = if curvature { &self.out[2][o.clone()] } else { &[] };
        [&self.out[0][o.clone()], &self.out[1][o], second]
    }
    /// The same with what is to be propagated back from there.
    pub(super) fn put_back_along(
        &mut self,
        o: Range<usize>,
        curvature: bool,
        put: impl FnOnce([&[f64]; ORDERS], [&mut [f32]; ORDERS]),
    ) {
        let [b0, b1, b2] = &mut self.back;
        let second: &mut [f32] = if curvature { &mut b2[o.clone()] } else { &mut [] };
        let [o0, o1, o2] = &self.out;
        let curved: &[f64] = if curvature { &o2[o.clone()] } else { &[] };
        put([&o0[o.clone()], &o1[o.clone()], curved], [&mut b0[o.clone()], &mut b1[o], second]);
    }
}
