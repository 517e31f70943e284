//! Folders of pictures as data: PNG, JPEG, BMP and PNM, made grey, in the order of their names.
//!
//! What kind of picture a file holds is told by its first bytes, and only files whose names end like a picture's are
//! opened. How large a picture says it is, is looked at before it is decoded. A file that was cut is refused; of damage
//! within one, PNG knows by its checksums, and the others do not. Transparency and notes (such as which side is up) are
//! ignored, 16 bits a colour are rounded to 8, and nothing is written.

use super::listing::{files, folders};
use super::patches::{check_side, cut, draw, nothing_yet};
use super::{Images, Labelled};
use crate::io::read;
use crate::{Error, Mat, Result};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

/// How the names of pictures end, in any case.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "pnm", "pbm", "pgm", "ppm"];
/// The most pixels of a picture.
const MOST_PIXELS: u64 = 1 << 26;
/// The most pixels that a byte can hold: deflate (of PNG) makes at most 1032 bytes of one, and 8 pixels of two colours
/// fit into each. No other format that is read packs more.
const PIXELS_A_BYTE: u64 = 8 * 1032;
/// Bytes of a pixel with four colours of 16 bits.
const MOST_BYTES: u64 = 8;

/// What is done to pictures so that all have one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizing {
    /// Nothing: another size than that of the first is an error.
    Same,
    /// They are stretched or shrunk, by linear interpolation that averages when it shrinks; proportions may change.
    Resize {
        /// Rows of the result.
        height: usize,
        /// Columns of the result.
        width: usize,
    },
    /// Their middle is cut out; a smaller one is an error.
    Crop {
        /// Rows of the result.
        height: usize,
        /// Columns of the result.
        width: usize,
    },
}

/// Reads all pictures of the folder `dir`, but not of folders in it, in the order of their names.
///
/// A grey picture keeps its levels; of a coloured one the luma is kept, `0.2126 R + 0.7152 G + 0.0722 B` of the values
/// in the file. Here 255 is white, which is what IDX files call full ink.
///
/// # Errors
///
/// [`Error::Io`] if the folder or a file cannot be read, or there are no pictures; those of [`parse_image`]; and
/// [`Error::Shape`] if a picture has another size than the first, or is too small to be cropped; [`Error::Value`] if
/// the size asked for is 0 or above 2²⁶ pixels. All name the file.
pub fn read_image_folder(dir: impl AsRef<Path>, sizing: Sizing) -> Result<Images> {
    let mut all = Gathered::new(sizing)?;
    pictures(dir.as_ref())?.iter().try_for_each(|path| all.add(path))?;
    Ok(all.images)
}

/// Reads the pictures of all folders in `dir`, each folder a class, and tells their names: class 0 is the first in
/// order.
///
/// Pictures that lie in `dir` itself are of no class and not read.
///
/// # Errors
///
/// Those of [`read_image_folder`], for each folder; [`Error::Format`] if there are no folders, or more than 256.
pub fn read_image_classes(dir: impl AsRef<Path>, sizing: Sizing) -> Result<(Labelled, Vec<String>)> {
    let (mut all, mut labels, mut names) = (Gathered::new(sizing)?, vec![], vec![]);
    let folders = folders(dir.as_ref())?;
    if !(1..=256).contains(&folders.len()) {
        let what = format!("expected 1 to 256 folders of pictures in it, got {}", folders.len());
        return Err(Error::format(dir.as_ref(), what));
    }
    for (class, (folder, name)) in (0..=u8::MAX).zip(folders) {
        for path in pictures(&folder)? {
            all.add(&path)?;
            labels.push(class);
        }
        names.push(name);
    }
    Ok((Labelled { images: all.images, labels }, names))
}

/// `n` patches of `side` × `side` pixels of the pictures of a folder, which may differ in size: side² × `n`.
///
/// If they do not differ, these are the patches of [`patches`](super::patches) of [`read_image_folder`]. One picture at
/// a time is in memory.
///
/// # Errors
///
/// Those of [`read_image_folder`]; [`Error::Value`] if a picture is smaller than a patch, or as
/// [`patches`](super::patches).
pub fn read_patches(dir: impl AsRef<Path>, n: usize, side: usize, seed: u64) -> Result<Mat> {
    let paths = pictures(dir.as_ref())?;
    let mut patches = nothing_yet(n, side)?;
    let mut places: Vec<(usize, usize)> = (0..n).map(|k| (draw(seed, k, paths.len()).0, k)).collect();
    places.sort_unstable();
    let mut places = places.into_iter().peekable();
    for (image, path) in paths.iter().enumerate() {
        // Those that no patch is of are read too, so that it does not depend on the seed what is an error.
        let picture = parse_image(&read(path)?, path)?;
        check_side(side, picture.height, picture.width).map_err(|why| Error::format(path, why.to_string()))?;
        while let Some((_, k)) = places.next_if(|(of, _)| *of == image) {
            let rng = draw(seed, k, paths.len()).1;
            cut(&picture.pixels, picture.width, side, rng, patches.column_mut(k).data.into_slice_mut());
        }
    }
    Ok(patches)
}

/// One picture from the bytes of a file, made grey; `path` is what errors name.
///
/// # Errors
///
/// [`Error::Format`] if the bytes are no picture of a known kind or a damaged one, or if it says that it has more than
/// 2²⁶ pixels, or more than its bytes can hold.
pub fn parse_image(bytes: &[u8], path: &Path) -> Result<Images> {
    let grey = decode(bytes).map_err(|what| Error::format(path, what))?;
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    Ok(Images { pixels: grey.into_raw(), height, width })
}

fn decode(bytes: &[u8]) -> Result<GrayImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|why| why.to_string())?;
    let Some(format) = reader.format() else {
        return Err(format!("this is no picture: expected {}", ENDINGS.join(", ")));
    };
    let most = MOST_PIXELS.min(PIXELS_A_BYTE * bytes.len() as u64);
    let mut limits = Limits::default();
    // What decoders need besides the pixels they make.
    limits.max_alloc = Some(2 * MOST_BYTES * most + (1 << 20));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|why| why.to_string())?;
    let (width, height) = decoder.dimensions();
    match u64::from(width) * u64::from(height) {
        0 => return Err(format!("it has no size ({height} × {width})")),
        pixels if pixels > MOST_PIXELS => {
            return Err(format!("it claims {height} × {width} pixels; at most {MOST_PIXELS} are read"));
        }
        pixels if pixels > most => {
            return Err(format!("it claims {height} × {width} pixels, more than {} bytes can hold", bytes.len()));
        }
        _ => {}
    }
    if format == ImageFormat::Jpeg && is_cut(bytes) {
        return Err("truncated: the end of the JPEG is not there".into());
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|why| format!("damaged: {why}"))?;
    Ok(picture.into_luma8())
}

/// Whether a JPEG ends within its last scan; the decoder would make up the rest in grey. Neither mark can be within a
/// scan.
fn is_cut(bytes: &[u8]) -> bool {
    let scan = bytes.windows(2).rposition(|mark| mark == [0xff, 0xda]);
    scan.is_some_and(|scan| !bytes[scan..].windows(2).any(|mark| mark == [0xff, 0xd9]))
}

/// The pictures of a folder.
fn pictures(dir: &Path) -> Result<Vec<PathBuf>> {
    let ends = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
    };
    let pictures: Vec<PathBuf> = files(dir)?.into_iter().filter(ends).collect();
    if pictures.is_empty() {
        let what = format!("no file in it ends like a picture: {}", ENDINGS.join(", "));
        return Err(Error::io(dir, io::Error::new(io::ErrorKind::NotFound, what)));
    }
    Ok(pictures)
}

/// Pictures of one size.
struct Gathered {
    sizing: Sizing,
    images: Images,
}

impl Gathered {
    fn new(sizing: Sizing) -> Result<Self> {
        if let Sizing::Resize { height, width } | Sizing::Crop { height, width } = sizing {
            let pixels = height.checked_mul(width).filter(|&pixels| pixels > 0 && pixels as u64 <= MOST_PIXELS);
            if pixels.is_none() {
                let expected = format!("at least 1 × 1, and at most {MOST_PIXELS} pixels");
                return Err(Error::value("the size of pictures", expected, format!("{height} × {width}")));
            }
        }
        Ok(Self { sizing, images: Images { pixels: vec![], height: 0, width: 0 } })
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let picture = self.sized(decode(&read(path)?).map_err(|what| Error::format(path, what))?, path)?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if self.images.pixels.is_empty() {
            (self.images.height, self.images.width) = (height, width);
        }
        let size = |height, width| format!("{height} × {width}");
        if (self.images.height, self.images.width) != (height, width) {
            let what = format!("{}: the size of the picture", path.display());
            return Err(Error::shape(what, size(self.images.height, self.images.width), size(height, width)));
        }
        if self.images.pixels.try_reserve(picture.len()).is_err() {
            return Err(Error::format(path, format!("after {} pictures there is no memory for it", self.images.n())));
        }
        self.images.pixels.extend_from_slice(&picture);
        Ok(())
    }

    fn sized(&self, picture: GrayImage, path: &Path) -> Result<GrayImage> {
        let (found_width, found_height) = (picture.width(), picture.height());
        match self.sizing {
            Sizing::Same => Ok(picture),
            // Sizes are at most `MOST_PIXELS` here.
            Sizing::Resize { height, width } => {
                Ok(imageops::resize(&picture, width as u32, height as u32, FilterType::Triangle))
            }
            Sizing::Crop { height, width } => {
                let (width, height) = (width as u32, height as u32);
                if found_width < width || found_height < height {
                    let (what, got) = (
                        format!("{}: the size of the picture", path.display()),
                        format!("{found_height} × {found_width}"),
                    );
                    return Err(Error::shape(what, format!("at least {height} × {width}"), got));
                }
                let (left, top) = ((found_width - width) / 2, (found_height - height) / 2);
                Ok(imageops::crop_imm(&picture, left, top, width, height).to_image())
            }
        }
    }
}
