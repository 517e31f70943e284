//! NumPy arrays, those that NumPy wrote and damaged ones.
//!
//! `tests/golden/numpy.npz` and `numpy-deflated.npz` were written by NumPy 2.4: `x = numpy.arange(24).reshape(4, 2, 3)`, as
//! `little_<type>` and `big_<type>` `x % 2 == 1` for bool, `x` for unsigned types and `x - 5` for others; and some more.

use harmonium::data::{parse_npy, parse_npz, read_npy, read_npy_missing, read_npz, read_npz_missing, write_npy};
use harmonium::{Error, Mat};
use proptest::{collection::vec, prelude::*, sample::Index};
use rawzip::{CompressionMethod, ZipArchiveWriter};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}
const ARCHIVES: [&str; 2] = ["numpy.npz", "numpy-deflated.npz"];

/// An array as a file: version 1, any header, any bytes.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
}
fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
}
fn refused(bytes: &[u8]) -> String {
    let error = parse_npy(bytes, Path::new("f")).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    error.to_string()
}
/// An archive of one array.
fn npz(name: &str, content: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut bytes = vec![];
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    let (mut entry, config) = archive.new_file(name).compression_method(method).start().unwrap();
    let mut writer = config.wrap(&mut entry);
    writer.write_all(content).unwrap();
    let (_, descriptor) = writer.finish().unwrap();
    entry.finish(descriptor).unwrap();
    archive.finish().unwrap();
    bytes
}

#[test]
fn every_type_and_order_that_numpy_writes() {
    let kinds = ["b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"];
    for archive in ARCHIVES {
        for (order, kind) in ["little", "big"].iter().flat_map(|order| kinds.map(|kind| (order, kind))) {
            let read = read_npz(golden(archive), &format!("{order}_{kind}")).unwrap();
            let expected = Mat::from_fn(6, 4, |unit, sample| match (6 * sample + unit, &kind[..1]) {
                (x, "b") => (x % 2) as f32,
                (x, "u") => x as f32,
                (x, _) => x as f32 - 5.0,
            });
            assert_eq!(read, expected, "{archive} {order} {kind}");
        }
        let fortran = read_npz(golden(archive), "fortran").unwrap();
        assert_eq!(fortran, Mat::from_fn(6, 4, |unit, sample| (6 * sample + unit) as f32));
        assert_eq!(read_npz(golden(archive), "vector").unwrap(), Mat::from_row_slice(1, 3, &[0.0, 1.0, 2.0]));
    }
}

#[test]
fn nan_is_missing_where_that_is_asked_for() {
    let (values, missing) = read_npz_missing(golden(ARCHIVES[1]), "gaps").unwrap();
    assert_eq!(values, Mat::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 4.0]));
    assert_eq!(missing.as_slice(), [false, true, true, false]);
    let refused = |name| read_npz(golden(ARCHIVES[0]), name).unwrap_err().to_string();
    assert!(
        refused("gaps").ends_with("numpy.npz/gaps.npy: row 1 of sample 0 must be finite, got NaN"),
        "{}",
        refused("gaps")
    );
    assert!(refused("infinite").ends_with("row 1 of sample 0 must be finite, got inf"));
    let infinite = read_npz_missing(golden(ARCHIVES[0]), "infinite").unwrap_err().to_string();
    assert!(infinite.ends_with("row 1 of sample 0 must be finite, got inf"));
    let wide = npy(&header("<f8", "(1,)"), &1e39f64.to_le_bytes());
    assert_eq!(self::refused(&wide), "f: row 0 of sample 0 must be finite, got inf");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gaps.npy");
    fs::write(&path, npy(&header("<f4", "(2,)"), &[f32::NAN.to_le_bytes(), 2f32.to_le_bytes()].concat())).unwrap();
    let (values, missing) = read_npy_missing(&path).unwrap();
    assert_eq!((values.as_slice(), missing.as_slice()), (&[0.0, 2.0][..], &[true, false][..]));
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let data = Mat::from_fn(3, 5, |unit, sample| [f32::MIN_POSITIVE / 8.0, -0.0, 0.1][unit] * sample as f32);
    write_npy(&path, &data).unwrap();
    let back = read_npy(&path).unwrap();
    assert!(back.iter().zip(&data).all(|(a, b)| a.to_bits() == b.to_bits()) && back.shape() == (3, 5));
    let bytes = fs::read(&path).unwrap();
    let start = format!("\x01\0v\0{}", "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }");
    assert_eq!(&bytes[6..6 + start.len()], start.as_bytes());
    assert_eq!((bytes.len(), bytes[127]), (128 + 60, b'\n'));
    let none = |rows, n| write_npy(&path, &Mat::zeros(rows, n)).unwrap_err().to_string();
    assert_eq!(none(3, 0), "the number of samples to write must be at least 1, got 0");
    assert_eq!(none(0, 3), "the number of units to write must be at least 1, got 0");
    assert!(matches!(write_npy(dir.path().join("no/a.npy"), &data), Err(Error::Io { .. })));
    assert!(matches!(read_npy(dir.path()), Err(Error::Io { .. })));
}

#[test]
fn other_versions_and_other_dictionaries() {
    let values: Vec<u8> = (0..6).collect();
    let texts = [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }  \n",
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"|u1\"}",
        "{'fortran_order': False, 'descr': '<u1', 'shape': (2L, 3L)}",
        " { 'shape' : ( 2 , 1 , 3 , ) , 'fortran_order' : False , 'descr' : '>u1' }\n",
    ];
    for text in texts {
        let read = parse_npy(&npy(text, &values), Path::new("f")).unwrap();
        assert_eq!(read.column(1).as_slice(), [3.0, 4.0, 5.0], "{text}");
        for version in [2, 3] {
            let long = (text.len() as u32).to_le_bytes();
            let bytes = [b"\x93NUMPY", &[version, 0][..], &long, text.as_bytes(), &values].concat();
            assert_eq!(parse_npy(&bytes, Path::new("f")).unwrap(), read);
        }
    }
    let fortran = npy(&texts[0].replace("False", "True"), &values);
    assert_eq!(parse_npy(&fortran, Path::new("f")).unwrap().column(1).as_slice(), [1.0, 3.0, 5.0]);
}

#[test]
fn what_is_no_array_is_said() {
    assert_eq!(refused(&[]), "f: the file is empty");
    assert_eq!(refused(b"PK\x03\x04"), "f: not a NumPy array: it does not begin with \\x93NUMPY");
    assert_eq!(refused(b"\x93NUMPY\x04\x00"), "f: a NumPy array of version 4; versions 1 to 3 are known");
    for cut in [&b"\x93NUMPY\x01\x00\x10"[..], b"\x93NUMPY\x01\x00\x10\x00{", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"] {
        assert_eq!(refused(cut), "f: truncated: the header is not all there");
    }
    assert!(refused(b"\x93NUMPY\x01\x00\x01\x00\xff").starts_with("f: the header: invalid utf-8"));
}
#[test]
fn what_is_no_header_is_said() {
    let of = |text: &str| refused(&npy(text, &[]));
    assert_eq!(of("[1]"), "f: the header is not NumPy's: expected `{` before `[1]`");
    assert_eq!(of("{}"), "f: the header has no entry `descr`");
    assert_eq!(of("{'descr': '<f4'}"), "f: the header has no entry `fortran_order`");
    assert_eq!(of("{'descr': '<f4', 'fortran_order': True}"), "f: the header has no entry `shape`");
    assert_eq!(of("{'order': 3}"), "f: the header has an entry `order`, which is unknown");
    assert_eq!(of("{'descr': '<f4"), "f: the header is not NumPy's: expected a text's end before `<f4`");
    assert_eq!(of("{'fortran_order': 1}"), "f: the header is not NumPy's: expected True or False before `}`");
    assert_eq!(of("{'shape': (-1,)}"), "f: the header is not NumPy's: expected the length of an axis before `-1,)}`");
    assert_eq!(of("{'shape': 3}"), "f: the header is not NumPy's: expected `(` before `3}`");
}
#[test]
fn what_is_no_number_is_said() {
    let kind = |descr| refused(&npy(&header(descr, "(3,)"), &[]));
    for descr in ["<c16", "<U4", "|O", "f4", "=f4", "|f4", "<f16", "<M8[ns]", "", "é"] {
        assert_eq!(
            kind(descr),
            format!("f: numbers of type `{descr}` are not read: expected bool, integers or floats")
        );
    }
    let records = read_npz(golden(ARCHIVES[0]), "records").unwrap_err().to_string();
    assert!(records.ends_with("records are not read: expected numbers"), "{records}");
    for (name, says) in [("complex", "`<c16` are not read"), ("text", "`<U1` are not read")] {
        assert!(read_npz(golden(ARCHIVES[0]), name).unwrap_err().to_string().contains(says));
    }
}

#[test]
fn a_header_is_not_believed() {
    let of = |shape: &str, bytes: usize| refused(&npy(&header("<f4", shape), &vec![0; bytes]));
    assert_eq!(of("()", 4), "f: a single number is no set of samples");
    assert_eq!(of("(0, 3)", 0), "f: there are no numbers in it (0 × 3)");
    assert_eq!(of("(2, 3)", 20), "f: truncated: 2 × 3 numbers of 4 bytes are 24 bytes, of which 20 are there");
    assert_eq!(of("(2, 3)", 25), "f: 1 bytes follow the array: 2 × 3 numbers of 4 bytes are 24 bytes");
    let most = usize::MAX;
    let claim = format!("f: the header claims {most} × 2 numbers, which no file can hold");
    assert_eq!(of(&format!("({most}, 2)"), 4), claim);
    let claim = format!("f: the header claims 2 × {most} × {most} numbers, which no file can hold");
    assert_eq!(of(&format!("(2, {most}, {most})"), 4), claim);
    assert!(of(&format!("({most}, )"), 4).ends_with("numbers, which no file can hold"));
    assert_eq!(of(&format!("({})", "1,".repeat(65)), 4), "f: an array of 65 axes; at most 64 are read");
    assert!(parse_npy(&npy(&header("<f4", &format!("({})", "1,".repeat(64))), &[0; 4]), Path::new("f")).is_ok());
    for (name, says) in [("scalar", "a single number is no set of samples"), ("empty", "no numbers in it (0 × 3)")] {
        assert!(read_npz(golden(ARCHIVES[0]), name).unwrap_err().to_string().contains(says));
    }
}

#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let array = npy(&header("|u1", "(2,)"), &[1, 2]);
    let of = |bytes: &[u8], name| parse_npz(bytes, name, Path::new("f")).unwrap_err().to_string();
    let stored = npz("x.npy", &array, CompressionMethod::STORE);
    assert_eq!(parse_npz(&stored, "x", Path::new("f")).unwrap().as_slice(), [1.0, 2.0]);
    assert_eq!(of(&[], "x"), "f: the file is empty");
    assert!(of(&array, "x").starts_with("f: not an archive of NumPy arrays: "));
    assert_eq!(of(&stored, "y"), "f: there is no array `y` in it; there are x");
    assert_eq!(
        of(&npz("x.txt", &array, CompressionMethod::STORE), "x"),
        "f: there is no array `x` in it, nor any other"
    );
    let unknown = npz("x.npy", &array, CompressionMethod::ZSTD);
    assert_eq!(of(&unknown, "x"), "f: the array `x`: packed by method 93; stored and deflated ones are read");
    let lie = npz("x.npy", &[7, 7, 7], CompressionMethod::DEFLATE);
    assert!(of(&lie, "x").starts_with("f: the array `x`: the deflated data is damaged: "), "{}", of(&lie, "x"));
    let mut flipped = stored.clone();
    let at = flipped.windows(6).position(|bytes| bytes == b"\x93NUMPY").unwrap();
    flipped[at + array.len() - 1] ^= 1;
    let damaged = "f: the array `x`: length or checksum do not agree with the content: the file is damaged";
    assert_eq!(of(&flipped, "x"), damaged);
    // In the directory: the length unpacked lies 24 bytes behind its magic number, and bit 0 of the flags 8.
    let directory = stored.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let mut more = stored.clone();
    more[directory + 24] += 1;
    assert_eq!(of(&more, "x"), damaged);
    let mut encrypted = stored;
    encrypted[directory + 8] |= 1;
    assert_eq!(of(&encrypted, "x"), "f: the array `x` is encrypted");
    let names = read_npz(golden(ARCHIVES[0]), "x").unwrap_err().to_string();
    assert!(
        names.contains("there is no array `x` in it; there are little_b1, big_b1,") && names.ends_with("and 13 more"),
        "{names}"
    );
}

#[test]
fn a_length_that_cannot_have_been_packed_is_not_believed() {
    let mut bytes = fs::read(golden(ARCHIVES[1])).unwrap();
    let directory = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    bytes[directory + 24..][..4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let message = parse_npz(&bytes, "little_b1", Path::new("f")).unwrap_err().to_string();
    assert!(
        message
            .starts_with("f: the array `little_b1`: truncated: 2147483647 bytes are claimed, more than can be packed")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the shape and the order, the value of a unit of a sample is that of its indices.
    #[test]
    fn units_are_the_later_axes_with_the_last_fastest(shape in vec(1usize..5, 1..5), fortran: bool) {
        let count: usize = shape.iter().product();
        let text = shape.iter().map(|length| format!("{length}, ")).collect::<String>();
        // The place in C order of what lies at `at` in the file.
        let place = |at: usize| match fortran {
            false => at,
            true => {
                let (mut rest, mut index) = (at, vec![]);
                for length in &shape {
                    index.push(rest % length);
                    rest /= length;
                }
                index.iter().zip(&shape).fold(0, |place, (i, length)| place * length + i)
            }
        };
        let values: Vec<u8> = (0..count).flat_map(|at| (place(at) as u16).to_be_bytes()).collect();
        let order = if fortran { "True" } else { "False" };
        let text = format!("{{'descr': '>u2', 'fortran_order': {order}, 'shape': ({text})}}");
        let read = parse_npy(&npy(&text, &values), Path::new("f")).unwrap();
        prop_assert_eq!(read.shape(), (count / shape[0], shape[0]));
        prop_assert!(read.iter().enumerate().all(|(place, &value)| value == place as f32));
    }

    #[test]
    fn any_archive_is_survived(flips in vec((any::<Index>(), any::<u8>()), 1..5), end in any::<Index>()) {
        let mut bytes = fs::read(golden(ARCHIVES[1])).unwrap();
        let length = bytes.len();
        flips.iter().for_each(|(at, mask)| bytes[at.index(length)] ^= mask);
        let _ = parse_npz(&bytes, "fortran", Path::new("f"));
        let _ = parse_npz(&bytes[..end.index(length)], "big_f8", Path::new("f"));
    }
}
