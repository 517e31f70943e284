//! Whatever becomes of a tensor file, reading it gives a value or an error, and what was read can be written again.

use std::path::Path;

use harmonium::io::{Tensor, TensorFile, Values};
use harmonium::{Error, Result};
use proptest::collection::{btree_map, vec};
use proptest::num::f32::{NORMAL, SUBNORMAL, ZERO};
use proptest::prelude::*;
use proptest::sample::Index;

fn tensor() -> impl Strategy<Value = Tensor> {
    (vec(0usize..4, 0..4), any::<bool>()).prop_flat_map(|(shape, whole)| {
        let count: usize = shape.iter().product();
        let values = if whole {
            vec(any::<u64>(), count).prop_map(Values::U64).boxed()
        } else {
            vec(NORMAL | SUBNORMAL | ZERO, count).prop_map(Values::F32).boxed()
        };
        values.prop_map(move |values| Tensor { shape: shape.clone(), values })
    })
}

fn tensor_file() -> impl Strategy<Value = TensorFile> {
    (btree_map(".{0,8}", ".{0,8}", 0..4), btree_map(".{0,8}", tensor(), 0..5))
        .prop_map(|(metadata, tensors)| TensorFile { metadata, tensors })
}

fn parse(bytes: &[u8]) -> Result<TensorFile> {
    TensorFile::parse(bytes, Path::new("x.st"))
}

/// Reads `bytes`: an error must be about the format, and a value must survive another round.
fn survive(bytes: &[u8]) -> std::result::Result<(), TestCaseError> {
    match parse(bytes) {
        Ok(file) => prop_assert_eq!(parse(&file.to_bytes().unwrap()).unwrap(), file),
        Err(error) => prop_assert!(matches!(error, Error::Format { .. }), "{error}"),
    }
    Ok(())
}

/// A file around any header text, whose length is claimed as it is.
fn with_header(header: &str, body: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), body].concat()
}

proptest! {
    #[test]
    fn round_trip(file in tensor_file()) {
        let bytes = file.to_bytes().unwrap();
        let back = parse(&bytes).unwrap();
        prop_assert_eq!(back.to_bytes().unwrap(), bytes);
        prop_assert_eq!(back, file);
    }

    #[test]
    fn flipped_bits(file in tensor_file(), flips in vec((any::<Index>(), 0..8u8), 1..6)) {
        let mut bytes = file.to_bytes().unwrap();
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        survive(&bytes)?;
    }

    #[test]
    fn cut_short(file in tensor_file(), end in any::<Index>()) {
        let bytes = file.to_bytes().unwrap();
        prop_assert!(parse(&bytes[..end.index(bytes.len())]).is_err());
    }

    #[test]
    fn another_header_length(file in tensor_file(), length in prop_oneof![any::<u64>(), 0..400u64]) {
        let mut bytes = file.to_bytes().unwrap();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        survive(&bytes)?;
    }

    #[test]
    fn another_header_text(
        file in tensor_file(),
        place in any::<Index>(),
        text in r#"[\[\]{}":,0-9]{1,3}|18446744073709551615|null|-1|1e9|"F64"|"U8""#,
    ) {
        let bytes = file.to_bytes().unwrap();
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let (header, body) = bytes[8..].split_at(length);
        let mut header = String::from_utf8(header.to_vec()).unwrap();
        let mut place = place.index(header.len());
        while !header.is_char_boundary(place) {
            place -= 1;
        }
        let end = (place + text.len()).min(header.len());
        if header.is_char_boundary(end) {
            header.replace_range(place..end, &text);
        } else {
            header.insert_str(place, &text);
        }
        survive(&with_header(&header, body))?;
    }

    #[test]
    fn any_numbers_in_the_header(
        entries in vec((0usize..3, vec(big(), 0..4), big(), big()), 0..10),
        body in vec(any::<u8>(), 0..64),
    ) {
        let entries: Vec<_> = entries
            .iter()
            .enumerate()
            .map(|(i, (dtype, shape, start, end))| {
                let dtype = ["F32", "F64", "U8"][*dtype];
                format!(r#""t{i}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
            })
            .collect();
        survive(&with_header(&format!("{{{}}}", entries.join(",")), &body))?;
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..200)) {
        survive(&bytes)?;
    }
}

/// Lengths a file may claim: small ones, powers of two and their neighbours up to the largest.
fn big() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..20u64,
        (0..64u32, 0..3u64).prop_map(|(power, near)| (1u64 << power).wrapping_add(near).wrapping_sub(1))
    ]
}
