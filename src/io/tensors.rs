//! Named tensors and notes in one safetensors file, checked as they come in.
//!
//! A file is an 8-byte length, a JSON header of that length (names, types, shapes, offsets, notes), and the values,
//! little-endian and row-major. Floats are always finite, both ways: a file that can be written can be read. Nothing is
//! mapped into memory, compressed or converted, save that F64 is narrowed to F32 on reading.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;

use super::{read, write_atomically};
use crate::{Error, Result};

/// The header's name for the notes, which no tensor can have.
const NOTES: &str = "__metadata__";

/// The content of a safetensors file; equal contents make equal bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorFile {
    /// Notes about the whole, by name.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// An array of any rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The length along each axis, slowest first; empty for a single number.
    pub shape: Vec<usize>,
    /// The values, row-major: as many as the product of `shape`.
    pub values: Values,
}

/// The values of a tensor: model parameters, or counts and the words of a generator's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Single-precision numbers.
    F32(Vec<f32>),
    /// Unsigned integers.
    U64(Vec<u64>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U64(_) => Dtype::U64,
        }
    }
}

impl TensorFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, and those of [`TensorFile::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read(path)?, path)
    }

    /// Writes the file at `path`, or leaves what is there.
    ///
    /// # Errors
    ///
    /// Those of [`TensorFile::to_bytes`], and [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check()?;
        write_atomically(path, |out| self.encode(out))
    }

    /// Reads the content of a file from its `bytes`; errors speak of `path`.
    ///
    /// Tensors of type F32 and U64 are kept to the bit, those of type F64 are rounded to F32. Whatever the header
    /// claims, the memory taken is within a small multiple of what `bytes` take.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if the bytes are cut short, the header is no valid one or does not fit the values, a tensor
    /// has another type, or a float is not finite (an F64 beyond the range of F32 counts as infinite).
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let wrong = |what: String| Error::format(path, what);
        // `SafeTensors::deserialize` adds up lengths that the file claims, which can overflow; its `Metadata` checks
        // the header with care, and comparing the sum with what is there needs no addition.
        let (length, rest) = bytes
            .split_first_chunk()
            .ok_or_else(|| wrong(format!("a tensor file has at least 8 bytes, this has {}", bytes.len())))?;
        let length = u64::from_le_bytes(*length);
        let (header, body) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| wrong(format!("the header claims {length} bytes, {} are there", rest.len())))?;
        let header: Metadata =
            serde_json::from_slice(header).map_err(|why| wrong(format!("the header of the tensor file: {why}")))?;
        if header.data_len() != body.len() {
            let claimed = header.data_len();
            return Err(wrong(format!("the tensors claim {claimed} bytes of values, {} are there", body.len())));
        }
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let values = decode(info, &body[start..end]).map_err(|what| wrong(format!("tensor `{name}`: {what}")))?;
            Ok((name, Tensor { shape: info.shape.clone(), values }))
        });
        Ok(Self {
            tensors: tensors.collect::<Result<_>>()?,
            metadata: header.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect(),
        })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if a tensor has not as many values as its shape says; [`Error::Value`] if a float is not
    /// finite, or a tensor has the reserved name `__metadata__`.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut bytes = Vec::new();
        self.encode(&mut bytes).expect("a vector takes all that is written");
        Ok(bytes)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`], with the names there are, if there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| {
            let names: Vec<_> = self.tensors.keys().map(|name| format!("`{name}`")).collect();
            let names = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
            Error::value("the tensors of the file", format!("a set with `{name}`"), names)
        })
    }

    /// The row-major values of the float tensor called `name`, which must have this `shape`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if there is none or it holds integers, [`Error::Shape`] if it has another shape.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        match &self.shaped(name, shape)?.values {
            Values::F32(values) => Ok(values),
            other => Err(Error::value(format!("the type of tensor `{name}`"), "F32", other.dtype())),
        }
    }

    /// The row-major values of the integer tensor called `name`, which must have this `shape`.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if there is none or it holds floats, [`Error::Shape`] if it has another shape.
    pub fn integers(&self, name: &str, shape: &[usize]) -> Result<&[u64]> {
        match &self.shaped(name, shape)?.values {
            Values::U64(values) => Ok(values),
            other => Err(Error::value(format!("the type of tensor `{name}`"), "U64", other.dtype())),
        }
    }

    fn shaped(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let tensor = self.tensor(name)?;
        if tensor.shape != shape {
            let (expected, got) = (format!("{shape:?}"), format!("{:?}", tensor.shape));
            return Err(Error::shape(format!("the shape of tensor `{name}`"), expected, got));
        }
        Ok(tensor)
    }

    /// Whether [`TensorFile::parse`] would take what [`TensorFile::encode`] makes of this.
    fn check(&self) -> Result<()> {
        for (name, Tensor { shape, values }) in &self.tensors {
            if name == NOTES {
                return Err(Error::value("the name of a tensor", format!("other than `{NOTES}`"), name));
            }
            if shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side)) != Some(values.len()) {
                let what = format!("tensor `{name}`");
                return Err(Error::shape(what, format!("as many values as {shape:?} says"), values.len()));
            }
            if let Values::F32(floats) = values
                && let Some(index) = floats.iter().position(|x| !x.is_finite())
            {
                return Err(Error::value(format!("value {index} of tensor `{name}`"), "finite", floats[index]));
            }
        }
        Ok(())
    }

    fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        // The wider type first, so that a reader that maps the file finds every value aligned.
        let mut order: Vec<_> = self.tensors.iter().collect();
        order.sort_by_key(|(_, tensor)| tensor.values.dtype() != Dtype::U64);

        // Written here and not by `safetensors::serialize`, whose notes come in another order on each run.
        let mut header = BTreeMap::new();
        if !self.metadata.is_empty() {
            header.insert(NOTES, json!(self.metadata));
        }
        let mut start = 0;
        for (name, Tensor { shape, values }) in &order {
            let end = start + values.len() * values.dtype().bitsize() / 8;
            header.insert(name, json!({ "dtype": values.dtype(), "shape": shape, "data_offsets": [start, end] }));
            start = end;
        }
        let mut header = serde_json::to_vec(&header)?;
        header.resize(header.len().next_multiple_of(8), b' ');

        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for (_, tensor) in order {
            match &tensor.values {
                Values::F32(values) => values.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?,
                Values::U64(values) => values.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?,
            }
        }
        Ok(())
    }
}

/// The values in `bytes`, whose length the header's checks have made that of `info`; or what is wrong with them.
fn decode(info: &TensorInfo, bytes: &[u8]) -> std::result::Result<Values, String> {
    match info.dtype {
        Dtype::F32 => finite(bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word).into())),
        Dtype::F64 => finite(bytes.as_chunks().0.iter().map(|&word| f64::from_le_bytes(word))),
        Dtype::U64 => Ok(Values::U64(bytes.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect())),
        other => Err(format!("its type {other} is none of F32, F64 and U64")),
    }
}

/// The `values` narrowed to F32, which changes no bit of those that were widened from it.
fn finite(values: impl Iterator<Item = f64>) -> std::result::Result<Values, String> {
    let narrow = |(index, wide)| match wide as f32 {
        x if x.is_finite() => Ok(x),
        _ => Err(format!("its value {index} is {wide:e}, not a finite F32")),
    };
    values.enumerate().map(narrow).collect::<std::result::Result<_, _>>().map(Values::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TensorFile {
        let floats = vec![0.0, -0.0, 1.5, f32::MIN_POSITIVE / 8.0, f32::MAX, -1.0 / 3.0];
        let words = vec![0, u64::MAX, 1 << 63];
        TensorFile {
            metadata: ["kind", "größe", "\"quoted\""].map(|key| (key.to_owned(), format!("{key}\n1"))).into(),
            tensors: [
                ("a".to_owned(), Tensor { shape: vec![2, 3], values: Values::F32(floats) }),
                ("state".to_owned(), Tensor { shape: vec![3], values: Values::U64(words) }),
                ("scalar".to_owned(), Tensor { shape: vec![], values: Values::F32(vec![2.0]) }),
                ("empty".to_owned(), Tensor { shape: vec![0, 7], values: Values::F32(vec![]) }),
            ]
            .into(),
        }
    }

    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), body].concat()
    }

    fn complaint(bytes: &[u8]) -> String {
        match TensorFile::parse(bytes, Path::new("x.st")) {
            Err(Error::Format { path, what }) if path == Path::new("x.st") => what,
            other => panic!("not a format error: {other:?}"),
        }
    }

    #[test]
    fn round_trips_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.st");
        sample().write(&path).unwrap();
        let back = TensorFile::read(&path).unwrap();
        assert_eq!(back, sample());
        let bits =
            |file: &TensorFile| file.floats("a", &[2, 3]).unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&sample()));
        assert_eq!(read(&path).unwrap(), sample().to_bytes().unwrap());
        let nothing = TensorFile::default();
        assert_eq!(TensorFile::parse(&nothing.to_bytes().unwrap(), &path).unwrap(), nothing);
    }

    #[test]
    fn other_readers_agree() {
        let bytes = sample().to_bytes().unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let a = theirs.tensor("a").unwrap();
        assert_eq!((a.dtype(), a.shape()), (Dtype::F32, &[2, 3][..]));
        assert_eq!(a.data()[8..12], 1.5f32.to_le_bytes());
        let rewritten = safetensors::serialize(theirs.iter(), None).unwrap();
        assert_eq!(TensorFile::parse(&rewritten, Path::new("x.st")).unwrap().tensors, sample().tensors);
    }

    #[test]
    fn doubles_are_narrowed() {
        let header = r#"{"d":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}"#;
        let body = |x: f64| [0.1f64.to_le_bytes(), x.to_le_bytes()].concat();
        let read = TensorFile::parse(&file(header, &body(2.0)), Path::new("x.st")).unwrap();
        assert_eq!(read.floats("d", &[2]).unwrap(), [0.1f32, 2.0]);
        assert_eq!(complaint(&file(header, &body(1e300))), "tensor `d`: its value 1 is 1e300, not a finite F32");
    }

    #[test]
    fn complaints_say_what_and_where() {
        let one = |dtype, end| format!(r#"{{"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{end}]}}}}"#);
        let nan = [1f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        assert_eq!(complaint(&file(&one("F32", 8), &nan)), "tensor `w`: its value 1 is NaN, not a finite F32");
        let half = complaint(&file(&one("F16", 4), &[0; 4]));
        assert_eq!(half, "tensor `w`: its type F16 is none of F32, F64 and U64");
        assert_eq!(complaint(&[1, 2]), "a tensor file has at least 8 bytes, this has 2");
        assert_eq!(complaint(&[255; 20]), format!("the header claims {} bytes, 12 are there", u64::MAX));
        assert_eq!(complaint(&file(&one("F32", 8), &[0; 9])), "the tensors claim 8 bytes of values, 9 are there");
        assert!(complaint(&file(&one("F32", 4), &[0; 4])).starts_with("the header of the tensor file: "));
        assert!(complaint(&file("{", &[])).starts_with("the header of the tensor file: "));
    }

    #[test]
    fn claims_near_the_largest_integer_do_not_overflow() {
        let side = (1u64 << 61) - 1;
        let entry = |i: u64| {
            let (start, end) = (i * side, (i + 1) * side);
            format!(r#""t{i}":{{"dtype":"U8","shape":[{side}],"data_offsets":[{start},{end}]}}"#)
        };
        let entries: Vec<_> = (0..8).map(entry).collect();
        let what = complaint(&file(&format!("{{{}}}", entries.join(",")), &[]));
        assert_eq!(what, format!("the tensors claim {} bytes of values, 0 are there", 8 * side));
    }

    #[test]
    fn getters_are_clear() {
        let message = |name, shape: &[usize]| sample().floats(name, shape).unwrap_err().to_string();
        assert_eq!(
            message("b", &[]),
            "the tensors of the file must be a set with `b`, got `a`, `empty`, `scalar`, `state`"
        );
        assert_eq!(message("a", &[3, 2]), "the shape of tensor `a`: expected [3, 2], got [2, 3]");
        assert_eq!(message("state", &[3]), "the type of tensor `state` must be F32, got U64");
        assert_eq!(sample().integers("state", &[3]).unwrap()[1], u64::MAX);
        assert!(sample().integers("a", &[2, 3]).is_err());
        assert!(TensorFile::default().tensor("a").unwrap_err().to_string().ends_with("got none at all"));
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let with = |name: &str, shape: &[usize], values| {
            let tensor = Tensor { shape: shape.to_vec(), values: Values::F32(values) };
            TensorFile { tensors: [(name.to_owned(), tensor)].into(), ..Default::default() }.to_bytes()
        };
        let message = with("w", &[2], vec![0.0, f32::INFINITY]).unwrap_err().to_string();
        assert_eq!(message, "value 1 of tensor `w` must be finite, got inf");
        assert!(matches!(with("w", &[3], vec![0.0]), Err(Error::Shape { .. })));
        assert!(matches!(with("w", &[usize::MAX, 3], vec![0.0]), Err(Error::Shape { .. })));
        assert!(matches!(with(NOTES, &[], vec![0.0]), Err(Error::Value { .. })));
    }
}
