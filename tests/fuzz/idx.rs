//! Mutated IDX files, plain and gzipped.

use crate::mutate::{Rng, damage, one, rarely, size};
use crate::{Reached, Target};
use flate2::{Compression, write::GzEncoder};
use harmonium::data::{parse_images, parse_labels};
use rand::RngExt;
use std::io::Write;
use std::path::Path;

/// What gzip can hold at most of its own size.
const DEFLATE: usize = 1032;
/// Messages, tables of the decoder.
const OVERHEAD: usize = 200_000;

pub(crate) fn targets() -> [Target; 3] {
    let plain = |bytes| 2 * bytes + 4096;
    let packed = |bytes| 3 * DEFLATE * bytes + OVERHEAD;
    let images = |bytes: &[u8]| reached(parse_images(bytes, Path::new("f")).map(drop));
    [
        Target { name: "IDX images", share: 0.14, memory: plain, make: |rng| file(rng, 3), read: images },
        Target { name: "IDX images, gzipped", share: 0.06, memory: packed, make: |rng| gzipped(rng, 3), read: images },
        Target {
            name: "IDX labels",
            share: 0.06,
            memory: plain,
            make: |rng| file(rng, 1),
            read: |bytes| reached(parse_labels(bytes, Path::new("f")).map(drop)),
        },
    ]
}
fn reached(read: harmonium::Result<()>) -> Reached {
    let Err(error) = read else { return Reached::Whole };
    let text = error.to_string();
    let early = ["magic number", "too few for IDX", "is empty", "header ends", "gzip data is damaged"];
    if early.iter().any(|part| text.contains(part)) { Reached::Header } else { Reached::Content }
}
/// A file of one or three dimensions, with something wrong in it most of the time.
fn file(rng: &mut Rng, dimensions: u32) -> Vec<u8> {
    let truth: Vec<u64> = (0..dimensions).map(|_| rng.random_range(1..6)).collect();
    let n = truth.iter().product::<u64>() as usize;
    let mut sizes = truth.clone();
    if rng.random() {
        let k = rng.random_range(0..sizes.len());
        sizes[k] = size(rng, sizes[k]);
    }
    // Half of the time there is as much as the header claims, if that is not much.
    let claimed = sizes.iter().try_fold(1u64, |a, &b| a.checked_mul(b)).filter(|&c| c < 500);
    let n = claimed.map_or(n, |c| if rng.random() { c as usize } else { n });
    let magic = if rarely(rng, 20) { rng.random() } else { 0x800 | dimensions };
    let mut bytes: Vec<u8> = magic.to_be_bytes().to_vec();
    sizes.iter().for_each(|&s| bytes.extend((s as u32).to_be_bytes()));
    bytes.extend((0..n).map(|_| rng.random::<u8>()));
    if rarely(rng, 4) {
        damage(rng, &mut bytes);
    }
    bytes
}
/// Damaged before it is packed, or after, or both.
fn gzipped(rng: &mut Rng, dimensions: u32) -> Vec<u8> {
    let mut bytes = file(rng, dimensions);
    if rarely(rng, 8) {
        bytes.resize(bytes.len() + rng.random_range(0..3000), 0); // packs a thousandfold
    }
    let level = one(rng, &[Compression::none(), Compression::fast(), Compression::best()]);
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(&bytes).unwrap();
    let mut packed = encoder.finish().unwrap();
    if rarely(rng, 3) {
        damage(rng, &mut packed);
    }
    packed
}
