//! Neural networks: functions with parameters, and the energies that are made of them. There is one back-propagation in the crate,
//! that of [`Mlp`].

mod activation;
#[cfg(feature = "candle")]
pub mod candle;
mod curved;
mod energy;
mod head;
mod implicit;
mod joint;
mod mlp;
mod noisy;
mod predictor;
mod spectral;
mod tape;
pub use activation::Activation;
pub use energy::NeuralEnergy;
pub use implicit::ImplicitRegression;
pub use joint::JointEnergy;
pub use mlp::{AtOutput, Mlp, Noise, Work};
pub use noisy::NoisyEnergy;
pub use predictor::Predictor;
