//! A picture becomes a PNG file, whole or not at all.
//!
//! Nothing is scaled, annotated or read back.

use std::io;
use std::path::Path;

use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::io::write_atomically;
use crate::{Error, Result};

/// Writes `image` at `path` as a PNG, replacing what is there.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) if the file cannot be written, or `image` has no pixels.
pub fn save_png(image: &RgbImage, path: &Path) -> Result<()> {
    write_atomically(path, |out| encode(image, out))
}

/// The bytes of `image` as a PNG.
///
/// # Errors
///
/// [`Error::Value`](crate::Error::Value) if `image` has no pixels.
pub fn png_bytes(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shape = || Error::value("the size of a picture", "at least 1 × 1", format!("{:?}", image.dimensions()));
    encode(image, &mut bytes).map_err(|_| shape())?;
    Ok(bytes)
}

fn encode(image: &RgbImage, out: &mut dyn io::Write) -> io::Result<()> {
    let encoder = PngEncoder::new_with_quality(out, CompressionType::Default, FilterType::Adaptive);
    image.write_with_encoder(encoder).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{ImageFormat, Rgb};

    use super::*;

    #[test]
    fn a_picture_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let image = RgbImage::from_fn(7, 5, |x, y| Rgb([x as u8 * 30, y as u8 * 50, 9]));
        save_png(&image, &path).unwrap();
        let back = image::load_from_memory_with_format(&fs::read(&path).unwrap(), ImageFormat::Png).unwrap();
        assert_eq!(back.into_rgb8(), image);
        assert_eq!(png_bytes(&image).unwrap(), fs::read(&path).unwrap());
        assert!(matches!(save_png(&RgbImage::new(0, 3), &path), Err(Error::Io { .. })));
        assert!(matches!(save_png(&image, &dir.path().join("missing/a.png")), Err(Error::Io { .. })));
    }
}
