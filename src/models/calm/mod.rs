//! The hybrid: an energy head on another network, which draws from it in one step; and models of language with it, CALM.
//!
//! The head has no likelihood and no energy that can be asked for. What it is trained by is the energy score
//! ([`crate::objectives::EnergyScore`]), a loss of its draws alone. So it goes on whatever network gives a context: on a network of inputs,
//! for regression ([`ImplicitDensity`]), or on a transformer, whose next token is then a vector ([`ContinuousLanguageModel`]) that stands for
//! several tokens ([`Autoencoder`]). [`LanguageModel`], with a softmax, is what that compares with.
//!
//! None of this is an [`crate::Energy`]: all are [`crate::train::Learner`]s, trained by [`crate::train::Fit`]. candle differentiates them.
//!
//! ## References
//! - Shao, Li, Meng and Zhou, "Continuous autoregressive language models", 2025.
//! - Shen and Meinshausen, "Engression: extrapolation through the lens of distributional regression", 2023.

mod autoencoder;
mod continuous;
mod head;
mod implicit;
mod language;
mod layers;
mod tokens;
mod writer;
pub use autoencoder::{Autoencoder, AutoencoderSettings};
pub use continuous::ContinuousLanguageModel;
pub use head::{EnergyHead, HeadSettings, head_noise};
pub use implicit::ImplicitDensity;
pub(crate) use implicit::columns_of;
pub use language::LanguageModel;
pub use layers::Transformer;
pub(crate) use tokens::tokens_of;
pub use writer::Writer;
