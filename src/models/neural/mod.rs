//! Neural networks: functions with parameters, and the energies that are made of them. There is one back-propagation in the crate,
//! that of [`Mlp`].

mod activation;
#[cfg(feature = "candle")]
pub mod candle;
mod mlp;
mod predictor;
pub use activation::Activation;
pub use mlp::{AtOutput, Mlp, Noise, Work};
pub use predictor::Predictor;
