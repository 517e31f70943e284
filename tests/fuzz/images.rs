//! Mutated pictures of all kinds that are read.

use crate::mutate::{Rng, damage, one, rarely, size};
use crate::{Reached, Target};
use harmonium::data::parse_image;
use image::{DynamicImage, ImageFormat};
use rand::RngExt;
use std::io::Cursor;
use std::path::Path;

pub(crate) fn targets() -> [Target; 1] {
    // Pixels that a byte can hold (1032 bytes of 8 pixels), of at most 8 bytes, and once more in grey; tables of decoders.
    let memory = |bytes| 2 * 8 * 8 * 1032 * bytes + 4_000_000;
    [Target { name: "picture", share: 0.01, memory, make: picture, read }]
}
fn read(bytes: &[u8]) -> Reached {
    match parse_image(bytes, Path::new("f")) {
        Ok(image) => {
            assert!(image.n() == 1 && image.pixels.len() == image.n_pixels());
            Reached::Whole
        }
        Err(error) if error.to_string().contains("this is no picture") => Reached::Header,
        Err(_) => Reached::Content,
    }
}
fn picture(rng: &mut Rng) -> Vec<u8> {
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Pnm];
    let (format, width, height) = (one(rng, &formats), rng.random_range(1..20), rng.random_range(1..20));
    let grey = rng.random();
    let blank = if grey { DynamicImage::new_luma8(width, height) } else { DynamicImage::new_rgb8(width, height) };
    let mut out = Cursor::new(vec![]);
    blank.write_to(&mut out, format).unwrap();
    let mut bytes = out.into_inner();
    if rng.random() {
        // A number of the header, where those of all four kinds are.
        let at = rng.random_range(2..bytes.len().min(60));
        let (wide, old) = (rng.random(), u64::from(bytes[at]));
        let new = size(rng, old);
        match format {
            ImageFormat::Bmp if wide && at + 4 <= bytes.len() => {
                bytes[at..at + 4].copy_from_slice(&(new as u32).to_le_bytes());
            }
            ImageFormat::Pnm => drop(bytes.splice(at..at, new.to_string().into_bytes())),
            _ => bytes[at] = new as u8,
        }
        if format == ImageFormat::Png && bytes.len() > 33 {
            let sealed = crc32fast::hash(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&sealed.to_be_bytes());
        }
    }
    if rarely(rng, 3) {
        damage(rng, &mut bytes);
    }
    bytes
}
