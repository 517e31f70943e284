//! Pictures as PNG files: batches of images side by side, curves over time, and maps of points.
//!
//! Everything is drawn in memory with a font that is built in: no window, no font or library of the system. What is
//! worth drawing is the caller's choice; nothing here knows a model.

mod axis;
mod grid;
mod map;
mod plot;
mod png;

pub(crate) use axis::{Axis, drawable};
pub use grid::{Grid, Shade};
pub use map::map;
pub use plot::{Panel, Series, curves};
pub use png::{png_bytes, save_png};
