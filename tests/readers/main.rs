//! Whatever the bytes of a file are, a reader gives a sound value or an error that says what is wrong.

mod csv;
mod documents;
mod golden;
mod idx;
#[cfg(feature = "images")]
mod images;
mod models;
mod npy;
mod tensors;
mod text;
