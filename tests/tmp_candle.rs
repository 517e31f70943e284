#![cfg(feature = "candle")]
#[path = "laws/candle.rs"]
mod candle;
