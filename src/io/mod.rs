//! Files: written whole or not at all; named tensors in the safetensors format; models and checkpoints as such tensors.
//!
//! Data sets are read elsewhere; when a checkpoint is written, and which is the last good one, is decided in
//! [`crate::train`].

mod atomic;
mod checkpoint;
mod layered;
mod memories;
mod model;
mod pairwise;
mod tensors;

#[cfg(test)]
pub(crate) use atomic::faults;
pub use atomic::{create_folder, write_atomically};
pub(crate) use atomic::{is_leftover, read, remove, rename};
pub(crate) use checkpoint::Unusable;
pub use checkpoint::{CHECKPOINT_FORMAT, Checkpoint};
pub use layered::{
    load_dbm, load_dbn, load_predictor, parse_dbm, parse_dbn, parse_predictor, save_dbm, save_dbn, save_predictor,
};
pub use memories::{
    load_dense_memory, load_modern_hopfield, parse_dense_memory, parse_modern_hopfield, save_dense_memory,
    save_modern_hopfield,
};
pub use model::{
    MODEL_FORMAT, load_rbm, load_replicated_softmax, parse_rbm, parse_replicated_softmax, save_rbm,
    save_replicated_softmax,
};
pub use pairwise::{
    load_boltzmann, load_sparse_boltzmann, parse_boltzmann, parse_sparse_boltzmann, save_boltzmann,
    save_sparse_boltzmann,
};
pub use tensors::{Tensor, TensorFile, Values};
