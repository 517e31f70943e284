//! Energy-based models, `p(x) ∝ exp(-E(x))`: trained, sampled, and evaluated with likelihoods that can be trusted.
//!
//! A model says what its energy is and which of a few small capabilities it has ([`Energy`], [`Gibbs`], [`Score`],
//! [`Learn`], [`Train`], [`Marginal`]); samplers, objectives and evaluators ask for capabilities, never for a model.
//! States are the columns of a matrix, a chain or a sample each; one row is one unit.
//!
//! | to | see |
//! |---|---|
//! | build a model | [`models`], [`models::neural`], [`units`] |
//! | read or make data | [`data`] |
//! | train | [`train`], [`objectives`], [`optim`] |
//! | sample | [`Chains`], [`samplers`] |
//! | ask it: samples, missing values, features, scores | [`infer`] |
//! | know how good it is | [`eval`] |
//! | know what is wrong with a run | [`doctor`] |
//! | keep it, see it | [`io`], [`mod@viz`], [`mod@report`] |
//! | check your own model | [`laws`] |
//!
//! A machine that learns bars and stripes, small enough for its likelihood to be exact:
//!
//! ```
//! use harmonium::data::bars_and_stripes;
//! use harmonium::eval::{LogPartition, exact_log_partition, log_likelihood, mean_of};
//! use harmonium::train::{Fit, Run, Silent};
//! use harmonium::{Chains, models::Rbm, objectives::Contrastive, optim::Sgd, units::Bernoulli};
//! # fn main() -> harmonium::Result<()> {
//! let data = bars_and_stripes(3)?.sample(1000, 1)?; // units × samples
//! let mut rbm = Rbm::new((9, Bernoulli), (16, Bernoulli));
//! rbm.initialise(&mean_of(&data)?, 0.01, 1)?;
//! let mut pcd = Contrastive::pcd(1, Chains::zeros(&rbm, 100, 1));
//! let fit = Fit { epochs: 200, batch: 50, ..Fit::default() };
//! fit.run(&mut Run::new(&mut rbm, &mut pcd, &mut Sgd::default(), &mut Silent), &data)?;
//! let log_z = LogPartition::exact(exact_log_partition(&rbm)?);
//! assert!(log_likelihood(&rbm, &data, &log_z)?.value > -3.5); // nats a pattern; -6.24 is chance
//! # Ok(()) }
//! ```
//!
//! The same seed on the same machine gives the same bits, for any number of threads.

pub mod adapters;
pub mod base_rate;
mod conditionals;
mod configurations;
pub mod data;
mod directional;
pub mod doctor;
pub mod energy;
pub mod error;
pub mod eval;
pub mod infer;
pub mod io;
pub mod laws;
pub mod linalg;
pub mod models;
pub mod objectives;
pub mod optim;
pub mod params;
#[cfg(feature = "viz")]
pub mod report;
pub mod rng;
pub mod samplers;
mod saved;
mod states;
pub mod sweep;
mod tilted;
pub mod train;
pub mod units;
#[cfg(feature = "viz")]
pub mod viz;

/// The matrix types of the interface are this crate's.
pub use nalgebra;
use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, Dyn, U1};
/// What draws from a [`ChainRng`]: unit kinds and kernels of one's own need the same version.
pub use rand;

/// A batch: one column per sample (or chain), one row per unit.
pub type Mat = DMatrix<f32>;
/// Borrowed columns; the rows of a column are contiguous.
pub type MatRef<'a> = DMatrixView<'a, f32, U1, Dyn>;
/// Mutably borrowed columns; the rows of a column are contiguous.
pub type MatMut<'a> = DMatrixViewMut<'a, f32, U1, Dyn>;
/// A flag for every unit of every sample: `true` where it is frozen, missing or unknown, as who takes it says.
pub type Mask = DMatrix<bool>;
/// Borrowed columns of a mask.
pub type MaskRef<'a> = DMatrixView<'a, bool, U1, Dyn>;
/// Mutably borrowed columns of a mask.
pub type MaskMut<'a> = DMatrixViewMut<'a, bool, U1, Dyn>;

pub use adapters::{Annealed, Collapsed, Conditioned};
pub use configurations::Configurations;
pub use energy::{
    Batch, Block, Conditionals, Curved, Directional, Energy, Gibbs, Learn, Marginal, Phase, Score, Train, Weigh,
};
pub use error::{Error, Result};
pub use params::{Params, Version};
pub use rng::{ChainRng, Streams};
pub use samplers::Chains;
pub use saved::{Resume, Saved};
pub use states::{Slab, States};
pub use sweep::Response;
pub use tilted::Tilted;
pub use units::Unit;

/// The program of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
