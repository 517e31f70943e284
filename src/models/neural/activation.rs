//! What a unit of a network does with its field.

use crate::linalg::{sigmoid, sigmoid_to};

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
            Self::Softplus => each(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
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
}
