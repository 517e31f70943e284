//! What a unit of a network does with its field.

use crate::linalg::{Kernel, Level, exp, sigmoid, sigmoid_to};

/// A function of the field φ, unit by unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `1 / (1 + e^{-φ})`: the mean of a Bernoulli unit
    Sigmoid,
    /// `tanh φ`: the mean of a spin
    Tanh,
    /// `max(φ, 0)`
    Relu,
    /// `log(1 + e^φ)`
    Softplus,
    /// `φ / (1 + e^{-φ})` (Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018)
    Silu,
    /// `φ`
    Linear,
}

impl Activation {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Sigmoid, Self::Tanh, Self::Relu, Self::Softplus, Self::Silu, Self::Linear];

    /// The name it has in model files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Softplus => "softplus",
            Self::Silu => "silu",
            Self::Linear => "linear",
        }
    }
    /// The activation of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
    /// `out = f(φ)`
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(self, field: &[f32], out: &mut [f32]) {
        assert_eq!(field.len(), out.len(), "as many fields as units");
        let mut each = |f: fn(f32) -> f32| out.iter_mut().zip(field).for_each(|(o, &x)| *o = f(x));
        match self {
            Self::Sigmoid => sigmoid_to(1.0, field, (1.0, 0.0), out),
            Self::Tanh => sigmoid_to(2.0, field, (2.0, -1.0), out), // tanh φ = 2σ(2φ) - 1
            Self::Relu => each(|x| if x < 0.0 { 0.0 } else { x }),  // what is no number stays none
            Self::Softplus => each(|x| softplus_pair(x).0),
            Self::Silu => each(|x| x * sigmoid(x)),
            Self::Linear => out.copy_from_slice(field),
        }
    }
    /// `back ← back f'(φ)`, given the fields and the activities `f(φ)`; at the kink of [`Activation::Relu`], 0.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn chain(self, field: &[f32], active: &[f32], back: &mut [f32]) {
        assert!(field.len() == back.len() && active.len() == back.len(), "as many fields and activities as units");
        let of_active = |back: &mut [f32], f: fn(f32) -> f32| {
            back.iter_mut().zip(active).for_each(|(b, &a)| *b *= f(a));
        };
        let of_field = |back: &mut [f32], f: fn(f32) -> f32| back.iter_mut().zip(field).for_each(|(b, &x)| *b *= f(x));
        match self {
            Self::Sigmoid => of_active(back, |a| a * (1.0 - a)),
            Self::Tanh => of_active(back, |a| 1.0 - a * a),
            Self::Relu => of_field(back, |x| if x > 0.0 { 1.0 } else { 0.0 }),
            Self::Softplus => of_field(back, sigmoid),
            Self::Silu => of_field(back, |x| {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }),
            Self::Linear => {}
        }
    }
    /// `active = f(φ + b)` and `fields ← f'(φ + b)`, for columns of units with these biases: all that a pass forwards and one backwards
    /// need, from one exponential.
    ///
    /// # Panics
    /// If the lengths differ, or are not those of whole columns.
    pub(super) fn with_slopes(self, bias: &[f32], fields: &mut [f32], active: &mut [f32]) {
        assert_eq!(fields.len(), active.len(), "as many fields as units");
        assert!(bias.is_empty() || fields.len().is_multiple_of(bias.len()), "whole columns");
        let level = Level::best();
        match self {
            Self::Sigmoid => level.run(Pairs { bias, fields, active, f: sigmoid_pair }),
            Self::Tanh => level.run(Pairs { bias, fields, active, f: tanh_pair }),
            Self::Relu => level.run(Pairs { bias, fields, active, f: relu_pair }),
            Self::Softplus => level.run(Pairs { bias, fields, active, f: softplus_pair }),
            Self::Silu => level.run(Pairs { bias, fields, active, f: silu_pair }),
            Self::Linear => level.run(Pairs { bias, fields, active, f: |x| (x, 1.0) }),
        }
    }
    /// `f(φ)` and its first, second and third derivative; at the kink of [`Activation::Relu`], as below it.
    pub fn derivatives(self, x: f32) -> [f32; 4] {
        match self {
            Self::Sigmoid => logistic(x),
            Self::Tanh => tanh_series(x),
            Self::Relu => relu_series(x),
            Self::Softplus => softplus_series(x),
            Self::Silu => silu_series(x),
            Self::Linear => linear_series(x),
        }
    }
    /// Work that asks for all of these derivatives, compiled for each activation.
    pub(super) fn of_series(self, work: impl OfSeries) {
        let level = Level::best();
        match self {
            Self::Sigmoid => level.run(Series { work, f: logistic }),
            Self::Tanh => level.run(Series { work, f: tanh_series }),
            Self::Relu => level.run(Series { work, f: relu_series }),
            Self::Softplus => level.run(Series { work, f: softplus_series }),
            Self::Silu => level.run(Series { work, f: silu_series }),
            Self::Linear => level.run(Series { work, f: linear_series }),
        }
    }
}

/// Work over slices with a function and its derivatives; `run` must be `#[inline(always)]`.
pub(super) trait OfSeries {
    fn run(self, f: impl Fn(f32) -> [f32; 4]);
}
struct Series<W, F> {
    work: W,
    f: F,
}
impl<W: OfSeries, F: Fn(f32) -> [f32; 4]> Kernel for Series<W, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.work.run(self.f);
    }
}

#[inline(always)]
fn logistic(x: f32) -> [f32; 4] {
    let s = sigmoid(x);
    let first = s * (1.0 - s);
    [s, first, first * (1.0 - 2.0 * s), first * (1.0 - 6.0 * first)]
}
#[inline(always)]
fn tanh_series(x: f32) -> [f32; 4] {
    let (t, first) = tanh_pair(x);
    [t, first, -2.0 * t * first, first * (6.0 * t * t - 2.0)]
}
#[inline(always)]
fn relu_series(x: f32) -> [f32; 4] {
    let (value, slope) = relu_pair(x);
    [value, slope, 0.0, 0.0]
}
#[inline(always)]
fn softplus_series(x: f32) -> [f32; 4] {
    let [s, first, second, _] = logistic(x);
    [softplus_pair(x).0, s, first, second]
}
#[inline(always)]
fn silu_series(x: f32) -> [f32; 4] {
    let [s, first, second, third] = logistic(x);
    [x * s, s + x * first, 2.0 * first + x * second, 3.0 * second + x * third]
}
#[inline(always)]
fn linear_series(x: f32) -> [f32; 4] {
    [x, 1.0, 0.0, 0.0]
}

/// A function and its slope over columns.
struct Pairs<'a, F> {
    bias: &'a [f32],
    fields: &'a mut [f32],
    active: &'a mut [f32],
    f: F,
}
impl<F: Fn(f32) -> (f32, f32)> Kernel for Pairs<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let n = self.bias.len().max(1);
        for (fields, active) in self.fields.chunks_exact_mut(n).zip(self.active.chunks_exact_mut(n)) {
            for ((field, active), b) in fields.iter_mut().zip(active).zip(self.bias) {
                (*active, *field) = (self.f)(*field + b);
            }
        }
    }
}

#[inline(always)]
fn sigmoid_pair(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (s, s * (1.0 - s))
}
#[inline(always)]
fn tanh_pair(x: f32) -> (f32, f32) {
    let t = 2.0 * sigmoid(2.0 * x) - 1.0;
    (t, 1.0 - t * t)
}
#[inline(always)]
fn relu_pair(x: f32) -> (f32, f32) {
    // What is no number stays none.
    (if x < 0.0 { 0.0 } else { x }, if x > 0.0 { 1.0 } else { 0.0 })
}
#[inline(always)]
fn silu_pair(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}
/// `log(1 + e^x)` and its slope. With `u = e^{-|x|}` and `s = u / (2 + u) ≤ 1/3`, `log(1 + u) = 2 artanh s`, a series whose remainder
/// after seven terms is below 2e-8.
#[inline(always)]
fn softplus_pair(x: f32) -> (f32, f32) {
    let u = exp(-x.abs());
    let s = u / (2.0 + u);
    let q = s * s;
    let series = 1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0)))));
    let share = 1.0 / (1.0 + u);
    let above = if x < 0.0 { 0.0 } else { x };
    (above + 2.0 * s * series, if x < 0.0 { u * share } else { share })
}
