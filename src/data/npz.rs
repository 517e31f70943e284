//! Archives of named NumPy arrays (`.npz`): a zip of `.npy` files, stored as they are or deflated.
//!
//! One array is read at a time and its checksum compared; what a zip may hold besides (encryption, other ways to pack)
//! is refused, and nothing is written.

use super::idx::DEFLATE_RATIO;
use super::npy::{array, finite, missing};
use crate::io::read;
use crate::{Error, Mask, Mat, Result};
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names that an error lists.
const LISTED: usize = 20;

/// Reads the array `name` (without `.npy`), whose first axis is the samples, as units × samples; see
/// [`read_npy`](super::read_npy).
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, and those of [`parse_npz`].
pub fn read_npz(path: impl AsRef<Path>, name: &str) -> Result<Mat> {
    parse_npz(&read(path.as_ref())?, name, path.as_ref())
}

/// As [`read_npz`], with NaN for a missing entry: it becomes 0, and `true` in the mask.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, and those of [`parse_npz`], save that NaN is none.
pub fn read_npz_missing(path: impl AsRef<Path>, name: &str) -> Result<(Mat, Mask)> {
    let path = path.as_ref();
    missing(named(&read(path)?, name, path)?, &inside(path, name))
}

/// Reads the array `name` from the bytes of an archive, as units × samples; `path` is what errors name.
///
/// # Errors
///
/// [`Error::Format`] if the bytes are no archive or a damaged one, if there is no array of that name (the error lists
/// those there are) or it is encrypted or packed in a way that is not known; and as [`parse_npy`](super::parse_npy).
pub fn parse_npz(bytes: &[u8], name: &str, path: &Path) -> Result<Mat> {
    finite(named(bytes, name, path)?, &inside(path, name))
}

fn named(bytes: &[u8], name: &str, path: &Path) -> Result<Mat> {
    let unpacked = unpack(bytes, name).map_err(|what| Error::format(path, what))?;
    array(&unpacked, &inside(path, name))
}

/// What errors about the array itself name.
fn inside(path: &Path, name: &str) -> PathBuf {
    format!("{}/{name}.npy", path.display()).into()
}

/// The file `name.npy` of the archive.
fn unpack(bytes: &[u8], name: &str) -> Result<Vec<u8>, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let not_zip = |why| format!("not an archive of NumPy arrays: {why}");
    let archive = ZipArchive::from_slice(bytes).map_err(not_zip)?;
    let (mut names, mut more) = (vec![], 0);
    for entry in archive.entries() {
        let entry = entry.map_err(not_zip)?;
        let path = entry.file_path();
        let Some(found) = path.as_bytes().strip_suffix(b".npy") else { continue };
        if found == name.as_bytes() {
            let method = entry.compression_method();
            if entry.flags().is_encrypted() {
                return Err(format!("the array `{name}` is encrypted"));
            }
            let packed = archive.get_entry(entry.wayfinder()).map_err(|why| format!("the array `{name}`: {why}"))?;
            let claim = packed.claim_verifier();
            return inflate(packed.data(), method, claim.uncompressed_size, claim.crc)
                .map_err(|why| format!("the array `{name}`: {why}"));
        }
        match names.len() < LISTED {
            true => names.push(String::from_utf8_lossy(found).into_owned()),
            false => more += 1,
        }
    }
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(match names.is_empty() {
        true => format!("there is no array `{name}` in it, nor any other"),
        false => format!("there is no array `{name}` in it; there are {}{more}", names.join(", ")),
    })
}

/// The bytes that `data` packs, which are said to be `size` with a checksum.
fn inflate(data: &[u8], method: CompressionMethod, size: u64, crc: u32) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // A byte more than is claimed, so that those show which follow.
    let limit = size.saturating_add(1);
    match method {
        CompressionMethod::STORE => data.take(limit).read_to_end(&mut bytes),
        CompressionMethod::DEFLATE if size > DEFLATE_RATIO.saturating_mul(data.len() as u64) => {
            return Err(format!("truncated: {size} bytes are claimed, more than can be packed into {}", data.len()));
        }
        CompressionMethod::DEFLATE => DeflateDecoder::new(data).take(limit).read_to_end(&mut bytes),
        other => return Err(format!("packed by method {}; stored and deflated ones are read", other.as_u16())),
    }
    .map_err(|why| format!("the deflated data is damaged: {why}"))?;
    match bytes.len() as u64 == size && crc32fast::hash(&bytes) == crc {
        true => Ok(bytes),
        false => Err("length or checksum do not agree with the content: the file is damaged".into()),
    }
}
