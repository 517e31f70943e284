//! Tokens as candle has them, and what all models of tokens say of themselves.

use crate::linalg::col;
use crate::{Error, MatRef, Result};
use candle_core::{Device, Tensor};
use std::ops::Range;

/// Whether every number of some samples is one of so many tokens.
///
/// # Errors
/// [`Error::Shape`] if a sample has other rows, [`Error::Value`] if a number is no token.
pub(crate) fn check_tokens(x: MatRef<'_>, rows: usize, tokens: usize) -> Result<()> {
    if x.nrows() != rows {
        return Err(Error::shape("tokens of a sample", rows, x.nrows()));
    }
    let is_token = |v: f32| v >= 0.0 && v.fract() == 0.0 && v < tokens as f32;
    match x.iter().position(|v| !is_token(*v)) {
        None => Ok(()),
        Some(at) => {
            let what = format!("token {} of sample {}", at % rows, at / rows);
            Err(Error::value(what, format!("a whole number below {tokens}"), x[(at % rows, at / rows)]))
        }
    }
}
/// Whether tokens are some of so many.
pub(super) fn check_known(tokens: &[u32], of: usize) -> Result<()> {
    match tokens.iter().find(|t| **t as usize >= of) {
        Some(t) => Err(Error::value("a token", format!("below {of}"), t)),
        None => Ok(()),
    }
}
/// Some rows of some columns, samples × rows.
pub(crate) fn tokens_of(x: MatRef<'_>, rows: Range<usize>, columns: Range<usize>) -> candle_core::Result<Tensor> {
    let shape = (columns.len(), rows.len());
    let values: Vec<u32> = columns.flat_map(|j| col(&x, j)[rows.clone()].iter().map(|v| *v as u32)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}
