//! The IDX files that MNIST, Fashion-MNIST and KMNIST come in: a magic number, the sizes, then one byte a value.
//!
//! A header is a claim, not a fact: nothing is allocated on its word, and a file that holds less or more than it says
//! is an error. Plain files and gzip are told apart by their first bytes, not by name. Only unsigned bytes in one
//! dimension (labels) or three (images) are read; nothing is written, and nothing is downloaded.
//!
//! Format: Y. LeCun, C. Cortes & C. J. C. Burges, "The MNIST database of handwritten digits".

use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Deflate spends at least two bits on 258 bytes, so it never expands by more than this.
pub(super) const DEFLATE_RATIO: u64 = 1032;

/// Grey images of one size, one byte a pixel: 0 is background, 255 is full ink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The pixels of one image after another, each image row by row.
    pub pixels: Vec<u8>,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
}

impl Images {
    /// The number of pixels of an image, `height · width`.
    pub fn n_pixels(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// The number of whole images.
    pub fn n(&self) -> usize {
        self.pixels.len().checked_div(self.n_pixels()).unwrap_or(0)
    }

    /// The pixels of image `i`, row by row.
    ///
    /// # Panics
    ///
    /// If there is no image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.pixels[i * self.n_pixels()..][..self.n_pixels()]
    }
}

/// Images and the class of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The images.
    pub images: Images,
    /// The class of each image.
    pub labels: Vec<u8>,
}

/// A data set as it is distributed: four files in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The training set (`train-…`).
    pub train: Labelled,
    /// The test set (`t10k-…`).
    pub test: Labelled,
}

impl Folder {
    /// Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte` from the folder `dir`; each name may have `.idx` for `-idx`, and may end in `.gz`.
    ///
    /// # Errors
    ///
    /// Those of [`read_images`] and [`read_labels`]; [`Error::Io`] if a file is missing; [`Error::Shape`] if a set has
    /// another number of labels than of images, or the images of the two sets differ in size.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let (train, test) = (labelled(dir, "train")?, labelled(dir, "t10k")?);
        let size = |set: &Labelled| format!("{} × {}", set.images.height, set.images.width);
        if size(&train) != size(&test) {
            let what = format!("{}: the size of the test images", dir.display());
            return Err(Error::shape(what, size(&train), size(&test)));
        }
        Ok(Self { train, test })
    }
}

fn labelled(dir: &Path, set: &str) -> Result<Labelled> {
    let images = read_images(find(dir, &format!("{set}-images"), "idx3-ubyte")?)?;
    let labels = read_labels(find(dir, &format!("{set}-labels"), "idx1-ubyte")?)?;
    if labels.len() != images.n() {
        let what = format!("{}: the number of `{set}` labels", dir.display());
        return Err(Error::shape(what, images.n(), labels.len()));
    }
    Ok(Labelled { images, labels })
}

/// The first file there is among the names in use.
fn find(dir: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let names = ["-", "."].map(|dash| ["", ".gz"].map(|end| format!("{stem}{dash}{kind}{end}"))).concat();
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let tried = format!("none of these files is there: {}", names.join(", "));
        Error::io(dir, io::Error::new(io::ErrorKind::NotFound, tried))
    })
}

/// Reads images from an IDX file, gzipped or not.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, and the errors of [`parse_images`].
pub fn read_images(path: impl AsRef<Path>) -> Result<Images> {
    parse_images(&read(path.as_ref())?, path.as_ref())
}

/// Reads labels from an IDX file, gzipped or not.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, and the errors of [`parse_labels`].
pub fn read_labels(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    parse_labels(&read(path.as_ref())?, path.as_ref())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::io(path, source))
}

/// Reads images from the bytes of an IDX file, gzipped or not; `path` is what errors name.
///
/// # Errors
///
/// [`Error::Format`] if the bytes are empty, damaged, not images, fewer or more than their header says, or hold no
/// image or images of no size.
pub fn parse_images(bytes: &[u8], path: &Path) -> Result<Images> {
    let ([n, height, width], pixels) = parse(bytes, "images", path)?;
    if n == 0 {
        return Err(Error::format(path, "there are no images in it"));
    }
    if height == 0 || width == 0 {
        return Err(Error::format(path, format!("its images have no size ({height} × {width})")));
    }
    Ok(Images { pixels, height: height as usize, width: width as usize })
}

/// Reads labels from the bytes of an IDX file, gzipped or not; `path` is what errors name.
///
/// # Errors
///
/// [`Error::Format`] if the bytes are empty, damaged, not labels, fewer or more than their header says, or hold no
/// label.
pub fn parse_labels(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let ([n], labels) = parse(bytes, "labels", path)?;
    if n == 0 {
        return Err(Error::format(path, "there are no labels in it"));
    }
    Ok(labels)
}

/// The sizes and the values of an IDX file of unsigned bytes in `D` dimensions.
fn parse<const D: usize>(bytes: &[u8], kind: &str, path: &Path) -> Result<([u32; D], Vec<u8>)> {
    if bytes.is_empty() {
        return Err(Error::format(path, "the file is empty"));
    }
    if bytes.starts_with(&GZIP) {
        let most = DEFLATE_RATIO.saturating_mul(bytes.len() as u64);
        parse_plain(MultiGzDecoder::new(bytes), most, kind, path)
    } else {
        parse_plain(bytes, u64::MAX, kind, path)
    }
}

/// As [`parse`], from a stream that is known not to hold more than `most` bytes.
fn parse_plain<const D: usize>(
    mut source: impl Read,
    most: u64,
    kind: &str,
    path: &Path,
) -> Result<([u32; D], Vec<u8>)> {
    // The source is memory, so what fails here is the gzip, not the disk; and what is allocated is what is there.
    let mut take = |limit: u64| {
        let mut bytes = Vec::new();
        let taken = source.by_ref().take(limit).read_to_end(&mut bytes);
        taken.map(|_| bytes).map_err(|e| Error::format(path, format!("the gzip data is damaged: {e}")))
    };
    let header = take(4 + 4 * D as u64)?;
    check_magic(&header, D, kind, path)?;
    if header.len() < 4 + 4 * D {
        return Err(Error::format(path, format!("truncated: the header ends after {} bytes", header.len())));
    }
    let sizes: [u32; D] = std::array::from_fn(|i| word(&header[4 + 4 * i..]));
    let claim = sizes.map(|size| size.to_string()).join(" × ");
    let Some(expected) = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size.into())) else {
        return Err(Error::format(path, format!("the header claims {claim} bytes, which no file can hold")));
    };
    if expected > most {
        return Err(Error::format(
            path,
            format!("truncated: the header claims {claim} = {expected} bytes, more than its gzip can hold"),
        ));
    }
    // One byte more than expected makes trailing bytes show, and makes the decoder compare its checksum.
    let values = take(expected.saturating_add(1))?;
    let found = values.len() as u64;
    if found < expected {
        return Err(Error::format(path, format!("truncated: {found} of {claim} = {expected} bytes are there")));
    }
    if found > expected {
        return Err(Error::format(path, format!("bytes follow the {claim} = {expected} that the header claims")));
    }
    Ok((sizes, values))
}

/// Checks the magic number: two zero bytes, 8 for unsigned bytes, and the number of dimensions.
fn check_magic(header: &[u8], dimensions: usize, kind: &str, path: &Path) -> Result<()> {
    if header.len() < 4 {
        return Err(Error::format(path, format!("truncated: {} bytes are too few for IDX {kind}", header.len())));
    }
    let (expected, found) = (0x0800 + dimensions as u32, word(header));
    let hint = match found {
        _ if found == expected => return Ok(()),
        0x0801 => " (these are labels)",
        0x0803 => " (these are images)",
        _ => "",
    };
    let what = format!("not IDX {kind}: the magic number must be {expected:#010x}, but is {found:#010x}{hint}");
    Err(Error::format(path, what))
}

/// The big-endian number that `bytes` begins with.
fn word(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |word, &byte| word << 8 | u32::from(byte))
}
