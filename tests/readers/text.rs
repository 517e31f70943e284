//! Texts as characters in their order.

use harmonium::Error;
use harmonium::data::{Alphabet, Samples, Windows, parse_text, read_text, split_text};
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;

fn refused(bytes: &[u8]) -> String {
    let error = parse_text(bytes.to_vec(), Path::new("f")).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    error.to_string()
}
#[test]
fn what_is_no_text_is_refused() {
    assert!(refused(b"").contains("the text is empty"));
    assert!(refused(b"abc\0def").contains("byte 3 is zero"));
    assert!(refused(b"abcd\xff").contains("not UTF-8 from byte 4 on"));
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read_text(dir.path().join("none")).unwrap_err(), Error::Io { .. }));
    assert_eq!(parse_text("a é\n".into(), Path::new("f")).unwrap(), "a é\n");
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    packed.write_all("a é\n".as_bytes()).unwrap();
    let mut packed = packed.finish().unwrap();
    assert_eq!(parse_text(packed.clone(), Path::new("f")).unwrap(), "a é\n");
    packed.pop();
    assert!(refused(&packed).contains("the gzip data is damaged"));
}
#[test]
fn the_most_frequent_characters_have_numbers() {
    let alphabet = Alphabet::of("bbbaaacéé", 3).unwrap();
    assert_eq!(alphabet.characters(), ['a', 'b']); // three times each
    assert_eq!(alphabet.encode("cab\u{fffd}"), [0, 1, 2, 0]);
    assert_eq!(Alphabet::of("banana", 300).unwrap().characters(), ['a', 'b', 'n']);
    assert_eq!(alphabet.decode(&[1, 9, u32::MAX]), "a\u{fffd}\u{fffd}");
    assert!(Alphabet::of("", 3).is_err() && Alphabet::of("a", 1).is_err());
}
#[test]
fn windows_stay_within_their_stretch() {
    let tokens: Vec<u32> = (0..100).collect();
    let windows = Windows::new(&[&tokens[..35], &tokens[35..43], &tokens[43..]], 10).unwrap();
    let all = windows.to_mat();
    assert_eq!(all.ncols(), 3 + 5);
    let first: Vec<f32> = all.row(0).iter().copied().collect();
    assert_eq!(first, [0.0, 10.0, 20.0, 43.0, 53.0, 63.0, 73.0, 83.0]);
    let shifted = windows.shifted(1);
    assert_eq!(shifted.n_samples(), 2 + 4);
    let mut starts = std::collections::HashSet::new();
    for epoch in 0..200 {
        let (mut x, index) = (harmonium::Mat::zeros(10, 6), [0, 1, 2, 3, 4, 5]);
        shifted.gather(epoch, &index, x.as_view_mut());
        for c in x.column_iter() {
            assert!(c.iter().zip(c.iter().skip(1)).all(|(a, b)| b - a == 1.0));
            assert!(c[9] < 35.0 || c[0] >= 43.0);
        }
        assert_eq!(x[(0, 1)] - x[(0, 0)], 10.0);
        starts.insert(x[(0, 0)] as u32);
    }
    assert_eq!(starts.len(), 16); // 35 - 20 tokens of room, and none
}
#[test]
fn windows_refuse_what_is_too_short() {
    let message = Windows::new(&[&[1, 2, 3]], 4).unwrap_err().to_string();
    assert!(message.contains("at least one window, of 4") && message.contains('3'), "{message}");
    assert!(Windows::new(&[], 4).is_err() && Windows::new(&[&[1]], 0).is_err());
    assert!(Windows::new(&[&[1 << 25]], 1).is_err());
}
#[test]
fn a_text_is_split_everywhere() {
    let tokens: Vec<u32> = (0..103).collect();
    let [training, held] = split_text(&tokens, 4, 0.2).unwrap();
    let lengths = |s: &[&[u32]]| s.iter().map(|s| s.len()).collect::<Vec<_>>();
    assert_eq!((lengths(&training), lengths(&held)), (vec![20, 21, 21, 21], vec![5, 5, 5, 5]));
    let joined: Vec<u32> = training.iter().zip(&held).flat_map(|(a, b)| [*a, *b].concat()).collect();
    assert_eq!(joined, tokens);
    for (pieces, share) in [(0, 0.1), (2, 1.0), (2, -0.1), (2, f64::NAN)] {
        assert!(split_text(&tokens, pieces, share).is_err());
    }
}
proptest! {
    #[test]
    fn any_text_comes_back(text in ".{1,60}") {
        let alphabet = Alphabet::of(&text, 1000).unwrap();
        prop_assert_eq!(alphabet.decode(&alphabet.encode(&text)), text);
    }
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        match parse_text(bytes.clone(), Path::new("f")) {
            Ok(text) => prop_assert_eq!(text.into_bytes(), bytes),
            Err(error) => prop_assert!(matches!(error, Error::Format { .. }), "{}", error),
        }
    }
}
