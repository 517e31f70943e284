//! Mutated NumPy arrays, alone and in archives.

use crate::mutate::{Rng, damage, one, rarely, size};
use crate::{Reached, Target};
use flate2::{Compression, write::DeflateEncoder};
use harmonium::data::{parse_npy, parse_npz};
use rand::RngExt;
use rawzip::{CompressionMethod, ZipArchiveWriter};
use std::io::Write;
use std::path::Path;

pub(crate) fn targets() -> [Target; 2] {
    // Single-precision numbers of bytes, and the places of units.
    let plain = |bytes| 12 * bytes + 4096;
    // What deflate holds at most of its own size, in bytes that become numbers; and tables of the decoder.
    let packed = |bytes| 5 * 1032 * bytes + 200_000;
    [
        Target {
            name: "NumPy array",
            share: 0.11,
            memory: plain,
            make: array,
            read: |bytes| reached(parse_npy(bytes, Path::new("f")).map(drop)),
        },
        Target {
            name: "NumPy archive",
            share: 0.04,
            memory: packed,
            make: archive,
            read: |bytes| reached(parse_npz(bytes, "b", Path::new("f")).map(drop)),
        },
    ]
}
fn reached(read: harmonium::Result<()>) -> Reached {
    let Err(error) = read else { return Reached::Whole };
    let text = error.to_string();
    let early =
        ["begin with", "versions 1 to 3", "header is not", "the header:", "header has", "is empty", "not an archive"];
    if early.iter().any(|part| text.contains(part)) { Reached::Header } else { Reached::Content }
}
/// An array with something wrong in its header or its numbers most of the time.
fn array(rng: &mut Rng) -> Vec<u8> {
    let kinds = ["b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c16", "U2", ""];
    let kind = one(rng, &kinds);
    let truth: Vec<u64> = (0..rng.random_range(0..4)).map(|_| rng.random_range(1..5)).collect();
    let mut shape = truth.clone();
    if rarely(rng, 3) && !shape.is_empty() {
        let k = rng.random_range(0..shape.len());
        shape[k] = size(rng, shape[k]);
    }
    let width = kind.get(1..).and_then(|width| width.parse().ok()).unwrap_or(1);
    let count = truth.iter().product::<u64>() as usize * width;
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let (order, fortran) = (one(rng, &["<", ">", "|", "=", "<"]), one(rng, &["True", "False", "False", "1"]));
    let text = format!("{{'descr': '{order}{kind}', 'fortran_order': {fortran}, 'shape': ({lengths}), }}");
    let mut header = text.into_bytes();
    if rarely(rng, 4) {
        damage(rng, &mut header);
    }
    let claimed = if rarely(rng, 12) { size(rng, header.len() as u64) } else { header.len() as u64 };
    let version = if rarely(rng, 12) { rng.random_range(0..5) } else { 2 };
    let values = (0..count).map(|_| if rarely(rng, 3) { rng.random() } else { 0u8 });
    let values: Vec<u8> = values.collect();
    let mut bytes = [b"\x93NUMPY", &[version, 0][..], &(claimed as u32).to_le_bytes(), &header, &values].concat();
    if rarely(rng, 12) {
        damage(rng, &mut bytes);
    }
    bytes
}
/// Some arrays in a zip, stored or deflated, with a name or a number of the zip's own records changed at times.
fn archive(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![];
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for name in ["a.npy", one(rng, &["b.npy", "b.npy", "b.npy", "b", "c.npy"])] {
        let mut content = array(rng);
        if rarely(rng, 8) {
            content.resize(content.len() + rng.random_range(0..3000), 0); // packs a thousandfold
        }
        let method = one(rng, &[CompressionMethod::STORE, CompressionMethod::DEFLATE]);
        let (mut entry, config) = archive.new_file(name).compression_method(method).start().unwrap();
        let descriptor = if method == CompressionMethod::STORE {
            let mut writer = config.wrap(&mut entry);
            writer.write_all(&content).unwrap();
            writer.finish().unwrap().1
        } else {
            let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
            writer.write_all(&content).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        };
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    if rarely(rng, 2) {
        // A number of a header, of the directory or of its end.
        let records: Vec<usize> = bytes.windows(2).enumerate().filter(|(_, w)| *w == b"PK").map(|(at, _)| at).collect();
        let at = one(rng, &records) + rng.random_range(4..32);
        if at + 4 <= bytes.len() {
            let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&(size(rng, u64::from(old)) as u32).to_le_bytes());
        }
    }
    if rarely(rng, 4) {
        damage(rng, &mut bytes);
    }
    bytes
}
