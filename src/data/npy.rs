//! NumPy arrays (`.npy`): a header that is a Python dictionary of three entries, then the numbers.
//!
//! NumPy puts samples along the first axis; here they are columns. So an array of shape `(n, a, b, …)` becomes `n`
//! samples of `a · b · …` units, flattened with the last axis fastest, whichever order the file has them in; and one of
//! shape `(n,)` becomes `n` samples of one unit. Booleans, integers of 8 to 64 bits and floats of 16 to 64 are read, of
//! either byte order, and rounded to the nearest `f32`; complex numbers, texts, records and pickled objects are not.
//! Nothing is allocated on a header's word.
//!
//! Format: NumPy Enhancement Proposal 1 (R. Kern, 2007, "A simple file format for NumPy arrays"), versions 1 to 3.

use crate::io::{read, write_atomically};
use crate::{Error, Mask, Mat, Result};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself has no more axes.
const MOST_AXES: usize = 64;

/// Reads an array whose first axis is the samples, as units × samples.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, and those of [`parse_npy`].
///
/// ```
/// use harmonium::{Mat, data::{read_npy, write_npy}};
/// let path = std::env::temp_dir().join(format!("harmonium-{}.npy", std::process::id()));
/// let data = Mat::from_fn(2, 3, |unit, sample| (10 * unit + sample) as f32);
/// write_npy(&path, &data)?; // for NumPy an array of shape (3, 2)
/// assert_eq!(read_npy(&path)?, data);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), harmonium::Error>(())
/// ```
pub fn read_npy(path: impl AsRef<Path>) -> Result<Mat> {
    parse_npy(&read(path.as_ref())?, path.as_ref())
}

/// As [`read_npy`], with NaN for a missing entry: it becomes 0, and `true` in the mask.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, and those of [`parse_npy`], save that NaN is none.
pub fn read_npy_missing(path: impl AsRef<Path>) -> Result<(Mat, Mask)> {
    let path = path.as_ref();
    missing(array(&read(path)?, path)?, path)
}

/// Reads an array from the bytes of a file, as units × samples; `path` is what errors name.
///
/// # Errors
///
/// [`Error::Format`] if the bytes are no such array, fewer or more than the header says, of a type that is not read or
/// of no samples or units; or if a number is not finite (a 64-bit float beyond the range of `f32` counts as infinite).
pub fn parse_npy(bytes: &[u8], path: &Path) -> Result<Mat> {
    finite(array(bytes, path)?, path)
}

/// Writes `data` (units × samples) as an array of shape (samples, units) of little-endian `f32`; the file at `path` is
/// replaced whole or left alone.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be written; [`Error::Value`] if there are no samples or no units.
pub fn write_npy(path: impl AsRef<Path>, data: &Mat) -> Result<()> {
    let (units, samples) = data.shape();
    for (what, size) in [("samples", samples), ("units", units)] {
        if size == 0 {
            return Err(Error::value(format!("the number of {what} to write"), "at least 1", 0));
        }
    }
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({samples}, {units}), }}");
    // With magic, version, length and line end a multiple of 64 bytes, so that the numbers can be mapped into memory.
    let padding = (header.len() + MAGIC.len() + 5).next_multiple_of(64) - (MAGIC.len() + 5);
    header = format!("{header:padding$}\n");
    write_atomically(path.as_ref(), |out| {
        out.write_all(MAGIC)?;
        out.write_all(&[1, 0])?;
        out.write_all(&(header.len() as u16).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        data.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
}

/// The numbers as they are, NaN and infinity among them.
pub(super) fn array(bytes: &[u8], path: &Path) -> Result<Mat> {
    decode(bytes).map_err(|what| Error::format(path, what))
}

/// An array all of whose numbers are finite.
pub(super) fn finite(values: Mat, path: &Path) -> Result<Mat> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => Err(not_finite(&values, at, path)),
    }
}

/// An array with 0 for NaN, and where that was.
pub(super) fn missing(mut values: Mat, path: &Path) -> Result<(Mat, Mask)> {
    if let Some(at) = values.iter().position(|value| value.is_infinite()) {
        return Err(not_finite(&values, at, path));
    }
    let missing = values.map(f32::is_nan);
    values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
    Ok((values, missing))
}

fn not_finite(values: &Mat, at: usize, path: &Path) -> Error {
    let (row, sample) = (at % values.nrows(), at / values.nrows());
    Error::format(path, format!("row {row} of sample {sample} must be finite, got {}", values[at]))
}

fn decode(bytes: &[u8]) -> Result<Mat, String> {
    let (text, body) = split(bytes)?;
    let header = Header::parse(text)?;
    let (samples, units, claim) = header.sizes()?;
    let (count, size) = (samples.checked_mul(units), header.item.size);
    let Some(expected) = count.and_then(|count| count.checked_mul(size)) else {
        return Err(format!("the header claims {claim} numbers, which no file can hold"));
    };
    if body.len() != expected {
        let what = format!("{claim} numbers of {size} bytes are {expected} bytes");
        return Err(match body.len() < expected {
            true => format!("truncated: {what}, of which {} are there", body.len()),
            false => format!("{} bytes follow the array: {what}", body.len() - expected),
        });
    }
    let number = |item: &[u8]| header.item.number(item);
    Ok(if header.fortran {
        let offsets = fortran_offsets(&header.shape[1..], samples);
        Mat::from_fn(units, samples, |unit, sample| number(&body[(sample + offsets[unit]) * size..][..size]))
    } else {
        // The last axis is fastest there, and the first here.
        Mat::from_iterator(units, samples, body.chunks_exact(size).map(number))
    })
}

/// The text of the header, and the bytes of the numbers.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let Some([version, _, rest @ ..]) = bytes.strip_prefix(MAGIC) else {
        return Err("not a NumPy array: it does not begin with \\x93NUMPY".into());
    };
    let cut = || "truncated: the header is not all there".to_string();
    let (length, rest) = match version {
        1 => rest.split_first_chunk().map(|(length, rest)| (u32::from(u16::from_le_bytes(*length)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length), rest)),
        _ => return Err(format!("a NumPy array of version {version}; versions 1 to 3 are known")),
    }
    .ok_or_else(cut)?;
    let (text, body) = rest.split_at_checked(length as usize).ok_or_else(cut)?;
    Ok((std::str::from_utf8(text).map_err(|why| format!("the header: {why}"))?, body))
}

/// Where unit `j` of sample 0 lies, in numbers, if the first axis is fastest: `n · Σ_k i_k Π_{m<k} d_m` for the indices
/// `i` of the unit along the axes `d`.
fn fortran_offsets(axes: &[usize], samples: usize) -> Vec<usize> {
    let mut offsets = vec![0];
    let mut stride = samples;
    for &length in axes.iter().filter(|&&length| length > 1) {
        // Later axes are faster in the order of units.
        offsets = offsets.iter().flat_map(|&offset| (0..length).map(move |i| offset + i * stride)).collect();
        stride *= length;
    }
    offsets
}

/// How a number is stored.
#[derive(Clone, Copy)]
struct Item {
    size: usize,
    big_endian: bool,
    /// The number that the bytes make, read as a little-endian word.
    value: fn(u64) -> f32,
}

impl Item {
    fn parse(descr: &str) -> Result<Self, String> {
        let refuse = || format!("numbers of type `{descr}` are not read: expected bool, integers or floats");
        let (order, kind) = descr.split_at_checked(1).ok_or_else(refuse)?;
        let (size, value): (usize, fn(u64) -> f32) = match kind {
            "b1" => (1, |word| f32::from(u8::from(word != 0))),
            "u1" => (1, |word| word as f32),
            "u2" => (2, |word| word as f32),
            "u4" => (4, |word| word as f32),
            "u8" => (8, |word| word as f32),
            "i1" => (1, |word| f32::from(word as i8)),
            "i2" => (2, |word| f32::from(word as i16)),
            "i4" => (4, |word| word as i32 as f32),
            "i8" => (8, |word| word as i64 as f32),
            "f2" => (2, |word| half(word as u16)),
            "f4" => (4, |word| f32::from_bits(word as u32)),
            "f8" => (8, |word| f64::from_bits(word) as f32),
            _ => return Err(refuse()),
        };
        match (order, size) {
            ("<", _) | ("|", 1) => Ok(Self { size, big_endian: false, value }),
            (">", _) => Ok(Self { size, big_endian: true, value }),
            _ => Err(refuse()),
        }
    }

    fn number(self, item: &[u8]) -> f32 {
        let push = |word, &byte| word << 8 | u64::from(byte);
        (self.value)(if self.big_endian { item.iter().fold(0, push) } else { item.iter().rev().fold(0, push) })
    }
}

/// A number of half precision: 1 bit of sign, 5 of exponent, 10 of mantissa. All of them are exact in single precision.
fn half(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

struct Header {
    item: Item,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        let mut scan = Scanner { rest: text };
        scan.expect('{')?;
        while !scan.eat('}') {
            let key = scan.string()?;
            scan.expect(':')?;
            match key {
                "descr" if scan.eat('[') => return Err("records are not read: expected numbers".into()),
                "descr" => descr = Some(scan.string()?),
                "fortran_order" => fortran = Some(scan.truth()?),
                "shape" => shape = Some(scan.lengths()?),
                _ => return Err(format!("the header has an entry `{key}`, which is unknown")),
            }
            if !scan.eat(',') {
                scan.expect('}')?;
                break;
            }
        }
        let lacks = |what| format!("the header has no entry `{what}`");
        Ok(Self {
            item: Item::parse(descr.ok_or_else(|| lacks("descr"))?)?,
            fortran: fortran.ok_or_else(|| lacks("fortran_order"))?,
            shape: shape.ok_or_else(|| lacks("shape"))?,
        })
    }

    /// The number of samples, of units, and the shape in words.
    fn sizes(&self) -> Result<(usize, usize, String), String> {
        let Some((&samples, axes)) = self.shape.split_first() else {
            return Err("a single number is no set of samples".into());
        };
        if self.shape.len() > MOST_AXES {
            return Err(format!("an array of {} axes; at most {MOST_AXES} are read", self.shape.len()));
        }
        let claim = self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        if self.shape.contains(&0) {
            return Err(format!("there are no numbers in it ({claim})"));
        }
        let units = axes.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        let units = units.ok_or_else(|| format!("the header claims {claim} numbers, which no file can hold"))?;
        Ok((samples, units, claim))
    }
}

/// What is left of the text of a header.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Whether `c` comes next, after white space; then it is passed.
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(c);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(self.wrong(&format!("`{c}`"))) }
    }

    fn wrong(&self, expected: &str) -> String {
        let next: String = self.rest.chars().take(12).collect();
        format!("the header is not NumPy's: expected {expected} before `{}`", next.escape_debug())
    }

    /// A text in either kind of quotes.
    fn string(&mut self) -> Result<&'a str, String> {
        for quote in ['\'', '"'] {
            if self.eat(quote) {
                let (text, rest) = self.rest.split_once(quote).ok_or_else(|| self.wrong("a text's end"))?;
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(self.wrong("a text"))
    }

    /// Letters and digits.
    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn truth(&mut self) -> Result<bool, String> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(self.wrong("True or False")),
        }
    }

    /// Lengths of axes in parentheses; Python 2 wrote an `L` behind long ones.
    fn lengths(&mut self) -> Result<Vec<usize>, String> {
        let mut lengths = vec![];
        self.expect('(')?;
        while !self.eat(')') {
            let length = self.word();
            let length = length.strip_suffix('L').unwrap_or(length).parse();
            lengths.push(length.map_err(|_| self.wrong("the length of an axis"))?);
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        // Largest, smallest, smallest normal, 1 + 2⁻¹⁰, -2, 65504.
        let known = [(0x7bff, 65504.0), (1, 2f32.powi(-24)), (0x400, 2f32.powi(-14)), (0x3c01, 1.0 + 2f32.powi(-10))];
        known.iter().for_each(|&(bits, value)| assert_eq!(half(bits), value));
        assert_eq!((half(0xc000), half(0x8000).to_bits()), (-2.0, (-0f32).to_bits()));
        assert!(half(0x7c00) == f32::INFINITY && half(0xfc00) == f32::NEG_INFINITY && half(0x7e00).is_nan());
        // Increasing from 0 to the largest: the order of the bits is that of the numbers.
        assert!((0..0x7c00).all(|bits| half(bits) < half(bits + 1)));
    }

    #[test]
    fn fortran_offsets_are_those_of_the_indices() {
        // Units (i, j, k) of 2 × 3 × 4, three samples.
        let by_hand: Vec<usize> = (0..24)
            .map(|unit| (unit / 12, unit / 4 % 3, unit % 4))
            .map(|(i, j, k)| 3 * (i + 2 * (j + 3 * k)))
            .collect();
        assert_eq!(fortran_offsets(&[2, 3, 4], 3), by_hand);
        assert_eq!(fortran_offsets(&[], 3), [0]);
    }

    #[test]
    fn integers_are_rounded_once() {
        // Halfway between two singles but for its last bit, which a double would lose: the way through one gives 2⁶².
        let word = (1 << 62) + (1 << 38) + 1u64;
        for kind in ["<i8", "<u8"] {
            let number = Item::parse(kind).unwrap().number(&word.to_le_bytes());
            assert_eq!(number, 2f32.powi(62) + 2f32.powi(39), "{kind}");
        }
    }
}
