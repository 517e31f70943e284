//! Whatever the bytes of a file are, a reader gives a sound value or an error that says what is wrong.

mod golden;
mod idx;
mod models;
mod tensors;
