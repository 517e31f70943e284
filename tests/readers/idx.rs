//! IDX files, sound and damaged: whatever the bytes are, they are read as what they say or refused with the reason.

use flate2::{Compression, write::GzEncoder};
use harmonium::data::{Folder, Images, bernoulli, parse_images, parse_labels, read_images, read_labels};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{fs, io::Write, path::Path};

/// A header of `magic` and `sizes`, then `values`.
fn idx(magic: u32, sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let header = [&[magic], sizes].concat();
    [header.iter().flat_map(|word| word.to_be_bytes()).collect(), values.to_vec()].concat()
}

/// `n` images of 2 rows and 3 columns: height and width differ, so that confusing them shows.
fn images(n: u32) -> Vec<u8> {
    idx(0x803, &[n, 2, 3], &(0..6 * n).map(|i| i as u8).collect::<Vec<_>>())
}

fn labels(n: u32) -> Vec<u8> {
    idx(0x801, &[n], &(0..n).map(|i| i as u8 % 10).collect::<Vec<_>>())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refused(bytes: &[u8]) -> String {
    parse_images(bytes, Path::new("f")).unwrap_err().to_string()
}

/// A folder of 4 training and 2 test images, with the names and the gzip that `name` gives.
fn folder(name: impl Fn(&str, &str) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (set, n) in [("train", 4), ("t10k", 2)] {
        for (stem, kind, bytes) in [("images", "idx3-ubyte", images(n)), ("labels", "idx1-ubyte", labels(n))] {
            let name = name(&format!("{set}-{stem}"), kind);
            let bytes = if name.ends_with(".gz") { gzip(&bytes) } else { bytes };
            fs::write(dir.path().join(name), bytes).unwrap();
        }
    }
    dir
}

fn plain(stem: &str, kind: &str) -> String {
    format!("{stem}-{kind}")
}

/// What loading `dir` says, less the folder's name.
fn not_loaded(dir: &tempfile::TempDir) -> String {
    let message = Folder::load(dir).unwrap_err().to_string();
    let folder = dir.path().display().to_string();
    assert!(message.starts_with(&folder), "{message}");
    message[folder.len()..].to_owned()
}

#[test]
fn images_and_labels_are_read_plain_or_gzipped() {
    let whole = images(2);
    let two_members = [gzip(&whole[..20]), gzip(&whole[20..])].concat();
    for bytes in [gzip(&whole), two_members, whole] {
        let read = parse_images(&bytes, Path::new("f")).unwrap();
        assert_eq!((read.n(), read.height, read.width, read.n_pixels()), (2, 2, 3, 6));
        assert_eq!(read.image(1), [6, 7, 8, 9, 10, 11]);
    }
    assert_eq!(parse_labels(&gzip(&labels(3)), Path::new("f")).unwrap(), [0, 1, 2]);
}

#[test]
fn all_names_in_use_are_found() {
    let names: [fn(&str, &str) -> String; 4] =
        [plain, |s, k| format!("{s}.{k}"), |s, k| format!("{s}-{k}.gz"), |s, k| format!("{s}.{k}.gz")];
    for name in names {
        let data = Folder::load(folder(name)).unwrap();
        assert_eq!((data.train.images.n(), data.test.images.n()), (4, 2));
        assert_eq!((data.train.labels, data.test.labels), (vec![0, 1, 2, 3], vec![0, 1]));
    }
}

#[test]
fn what_is_not_an_idx_file_is_said() {
    assert_eq!(refused(&[]), "f: the file is empty");
    assert_eq!(refused(&gzip(&[])), "f: truncated: 0 bytes are too few for IDX images");
    assert_eq!(refused(&[0, 0, 8]), "f: truncated: 3 bytes are too few for IDX images");
    let magic = "f: not IDX images: the magic number must be 0x00000803, but is";
    assert_eq!(refused(b"<html>"), format!("{magic} 0x3c68746d"));
    assert_eq!(refused(&gzip(&labels(9))), format!("{magic} 0x00000801 (these are labels)"));
    assert_eq!(
        parse_labels(&images(9), Path::new("f")).unwrap_err().to_string(),
        "f: not IDX labels: the magic number must be 0x00000801, but is 0x00000803 (these are images)"
    );
}

#[test]
fn too_few_and_too_many_bytes_are_said() {
    let whole = images(2);
    for pack in [<[u8]>::to_vec, gzip] {
        assert_eq!(refused(&pack(&whole[..9])), "f: truncated: the header ends after 9 bytes");
        assert_eq!(refused(&pack(&whole[..27])), "f: truncated: 11 of 2 × 2 × 3 = 12 bytes are there");
        let more = [&whole[..], &[0]].concat();
        assert_eq!(refused(&pack(&more)), "f: bytes follow the 2 × 2 × 3 = 12 that the header claims");
    }
    let (no_images, no_labels) = (idx(0x803, &[0, 2, 3], &[]), idx(0x801, &[0], &[]));
    assert_eq!(refused(&no_images), "f: there are no images in it");
    assert_eq!(parse_labels(&no_labels, Path::new("f")).unwrap_err().to_string(), "f: there are no labels in it");
    assert_eq!(refused(&idx(0x803, &[5, 0, 3], &[])), "f: its images have no size (0 × 3)");
    assert_eq!(refused(&idx(0x803, &[5, 2, 0], &[])), "f: its images have no size (2 × 0)");
}

#[test]
fn a_header_is_not_believed() {
    let most = u32::MAX;
    let overflow = "f: the header claims 4294967295 × 4294967295 × 4294967295 bytes, which no file can hold";
    for pack in [<[u8]>::to_vec, gzip] {
        assert_eq!(refused(&pack(&idx(0x803, &[most; 3], &[1, 2]))), overflow);
    }
    // This one has a product of exactly 2⁶⁴ − 1.
    let (sizes, claim) = ([most, 6_700_417, 641], "4294967295 × 6700417 × 641 = 18446744073709551615 bytes");
    let lie = idx(0x803, &sizes, &[1, 2]);
    assert_eq!(refused(&lie), format!("f: truncated: 2 of {claim} are there"));
    let gzipped = format!("f: truncated: the header claims {claim}, more than its gzip can hold");
    assert_eq!(refused(&gzip(&lie)), gzipped);
}

#[test]
fn damaged_gzip_is_said() {
    let whole = gzip(&images(200));
    let damaged = "f: the gzip data is damaged: ";
    for end in 2..whole.len() {
        let message = refused(&whole[..end]);
        assert!(message.starts_with(damaged), "{end}: {message}");
    }
    // The last eight bytes are the checksum and the length.
    for at in whole.len() - 8..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(refused(&bytes).starts_with(damaged));
    }
    assert!(refused(&[&whole[..], b"rest"].concat()).starts_with(damaged));
}

#[test]
fn a_missing_file_is_named_with_its_folder() {
    let dir = folder(plain);
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert_eq!(
        not_loaded(&dir),
        ": none of these files is there: t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz, \
         t10k-labels.idx1-ubyte, t10k-labels.idx1-ubyte.gz"
    );
    let nowhere = dir.path().join("nowhere");
    for result in [read_images(&nowhere).map(drop), read_labels(&nowhere).map(drop), read_images(&dir).map(drop)] {
        assert!(matches!(result, Err(harmonium::Error::Io { .. })));
    }
}

#[test]
fn sets_that_disagree_are_refused() {
    let dir = folder(plain);
    fs::write(dir.path().join("train-labels-idx1-ubyte"), labels(3)).unwrap();
    assert_eq!(not_loaded(&dir), ": the number of `train` labels: expected 4, got 3");
    let dir = folder(plain);
    fs::write(dir.path().join("t10k-images-idx3-ubyte"), idx(0x803, &[2, 3, 2], &[0; 12])).unwrap();
    assert_eq!(not_loaded(&dir), ": the size of the test images: expected 2 × 3, got 3 × 2");
}

/// The files of `datasets/mnist` are not part of the published crate: without them there is nothing to test.
#[test]
fn mnist_is_what_it_is_known_to_be() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/mnist"));
    if !dir.is_dir() {
        return;
    }
    let Folder { train, test } = Folder::load(dir).unwrap();
    assert_eq!((train.images.n(), test.images.n(), train.images.height, train.images.width), (60_000, 10_000, 28, 28));
    assert_eq!((&train.labels[..5], &test.labels[..5]), (&[5, 0, 4, 1, 9][..], &[7, 2, 1, 0, 4][..]));
    // The mean intensity of the test set is 0.132515, and the standard error of a mean of its bits 0.000049.
    let bits = bernoulli(&test.images, 1).bytes;
    let mean = bits.iter().map(|&bit| f64::from(bit)).sum::<f64>() / bits.len() as f64;
    assert!((mean - 0.132_515).abs() < 2.5e-4, "{mean}");
}

/// One way to damage a file.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Truncate(Index),
    Extend(Vec<u8>),
    Header(usize, u32),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<Index>(), 1_u8..).prop_map(|(at, mask)| Self::Flip(at, mask)),
            any::<Index>().prop_map(Self::Truncate),
            vec(any::<u8>(), 1..20).prop_map(Self::Extend),
            (0_usize..4, prop_oneof![0_u32..8, 0x800_u32..0x805, any::<u32>()]).prop_map(|(at, x)| Self::Header(at, x)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip(at, mask) if !bytes.is_empty() => *at.get_mut(bytes.as_mut_slice()) ^= mask,
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Self::Extend(more) => bytes.extend(more),
            Self::Header(at, x) if bytes.len() >= 16 => bytes[4 * at..][..4].copy_from_slice(&x.to_be_bytes()),
            _ => {}
        }
    }
}

/// Whether `read` is neither more nor less than what the plain file `bytes` says.
fn says(bytes: &[u8], read: &Images) -> bool {
    let sizes = [read.n(), read.height, read.width].map(|size| size as u32);
    !sizes.contains(&0) && idx(0x803, &sizes, &read.pixels) == bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_read_as_what_they_say_or_refused(n in 1_u32..5, damage in vec(Damage::any(), 1..4)) {
        let mut bytes = images(n);
        damage.iter().for_each(|damage| damage.apply(&mut bytes));
        for packed in [bytes.clone(), gzip(&bytes)] {
            if let Ok(read) = parse_images(&packed, Path::new("f")) {
                prop_assert!(says(&bytes, &read));
            }
            if let Ok(read) = parse_labels(&packed, Path::new("f")) {
                prop_assert_eq!(idx(0x801, &[read.len() as u32], &read), &bytes[..]);
            }
        }
    }

    #[test]
    fn a_damaged_gzip_is_refused_or_unharmed(n in 1_u32..50, damage in vec(Damage::any(), 1..4)) {
        let whole = images(n);
        let mut bytes = gzip(&whole);
        damage.iter().for_each(|damage| damage.apply(&mut bytes));
        // A flipped bit of the time stamp is harmless; one of the contents meets the checksum.
        if let Ok(read) = parse_images(&bytes, Path::new("f")) {
            prop_assert!(says(&whole, &read));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..64), gzipped: bool) {
        let bytes = if gzipped { [&[0x1f, 0x8b, 8, 0], &bytes[..]].concat() } else { bytes };
        let _ = parse_images(&bytes, Path::new("f"));
        let _ = parse_labels(&bytes, Path::new("f"));
    }
}
