//! Files: written whole or not at all; named tensors in the safetensors format; models as such tensors.
//!
//! Data sets are read elsewhere, and a training run is not written yet.

mod atomic;
mod model;
mod tensors;

pub use atomic::{create_folder, write_atomically};
pub use model::{MODEL_FORMAT, load_rbm, save_rbm};
pub use tensors::{Tensor, TensorFile, Values};
