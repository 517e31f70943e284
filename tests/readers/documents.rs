//! Texts in folders and in JSON lines.

use harmonium::Error;
use harmonium::data::{Documents, Fields, Samples, Tokens};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// A folder of files, by their paths in it.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}
fn fields(label: Option<&str>) -> Fields {
    Fields { text: "text".into(), label: label.map(String::from) }
}
fn lines(text: &str, label: Option<&str>) -> harmonium::Result<Documents> {
    Documents::parse_json_lines(text.as_bytes(), Path::new("f"), &fields(label), &Tokens::default())
}
fn refused(text: &str, label: Option<&str>) -> String {
    let error = lines(text, label).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    error.to_string()
}
/// What is said of a folder, less its name.
fn said(dir: &TempDir, error: Error) -> String {
    let message = error.to_string();
    let name = dir.path().display().to_string();
    assert!(message.starts_with(&name), "{message}");
    message[name.len()..].to_owned()
}

#[test]
fn a_folder_is_read_in_the_order_of_names() {
    let dir = folder(&[("b.txt", b"dog cat"), ("a", b"cat cat"), (".hidden", b"no"), ("c/d", b"no"), ("e", b"12 ...")]);
    let documents = Documents::read_folder(&dir, &Tokens::default()).unwrap();
    assert_eq!(
        (documents.vocabulary, documents.names),
        (vec!["cat".into(), "dog".into()], vec!["a".into(), "b.txt".into()])
    );
    assert_eq!(documents.counts, [vec![(0, 2)], vec![(0, 1), (1, 1)]]);
    assert_eq!((documents.dropped, documents.labels.len()), (1, 0));
}

#[test]
fn folders_are_classes() {
    let dir = folder(&[
        ("sport/2", b"ball"),
        ("sport/10", b"goal"),
        ("art/1", b"paint ball"),
        ("none/1", b"?"),
        ("x", b"no"),
    ]);
    let documents = Documents::read_classes(&dir, &Tokens::default()).unwrap();
    assert_eq!(documents.names, ["art/1", "sport/10", "sport/2"]);
    assert_eq!((documents.labels, documents.classes), (vec![0, 1, 1], vec!["art".into(), "sport".into()]));
    assert_eq!((documents.vocabulary, documents.dropped), (["ball", "goal", "paint"].map(String::from).to_vec(), 1));
}

#[test]
fn json_lines_have_texts_and_labels() {
    let text = "{\"text\": \"Cat and\\ncat\", \"kind\": 10, \"more\": [1]}\n\n{\"kind\": 9, \"text\": \"dog\"}\r\n{\"text\":\"1\",\"kind\":7}";
    let documents = lines(text, Some("kind")).unwrap();
    assert_eq!((&documents.labels[..], &documents.classes[..]), (&[1, 0][..], &["9".into(), "10".into()][..]));
    assert_eq!((&documents.names[..], documents.dropped), (&["line 1".into(), "line 3".into()][..], 1));
    assert_eq!(documents.counts, [vec![(0, 1), (1, 2)], vec![(2, 1)]]);
    assert!(lines(text, None).unwrap().labels.is_empty());
    let dir = folder(&[("f.jsonl", text.as_bytes())]);
    let read =
        Documents::read_json_lines(dir.path().join("f.jsonl"), &fields(Some("kind")), &Tokens::default()).unwrap();
    assert_eq!(read, documents);
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    let sound = "{\"text\": \"cat\", \"kind\": \"a\"}\n";
    let after = |line: &str| refused(&format!("{sound}{line}"), Some("kind"));
    assert!(after("[1]").starts_with("f: line 2: expected an object of JSON: invalid type"), "{}", after("[1]"));
    assert!(after("{\"text\": \"c").starts_with("f: line 2: expected an object of JSON: EOF"));
    assert!(after(&"[".repeat(1000)).starts_with("f: line 2: expected an object of JSON"));
    assert!(after(&format!("{{\"a\":{}", "[".repeat(1000))).contains("recursion limit"));
    assert_eq!(after("{\"text\": \"cat\"}"), "f: line 2: there is no field `kind`; there are text");
    assert_eq!(after("{\"kind\": 1, \"body\": \"x\"}"), "f: line 2: there is no field `text`; there are body");
    assert_eq!(after("{\"kind\": 1, \"text\": 3}"), "f: line 2: field `text`: expected a text, got a number");
    assert_eq!(
        after("{\"kind\": 1.5, \"text\": \"x\"}"),
        "f: line 2: field `kind`: expected a text or an integer, got a number"
    );
    let bytes = [sound.as_bytes(), b"{\"text\": \"\xff\"}"].concat();
    let error = Documents::parse_json_lines(&bytes, Path::new("f"), &fields(None), &Tokens::default()).unwrap_err();
    assert!(error.to_string().starts_with("f: line 2: expected an object of JSON: invalid unicode"), "{error}");
    let many: String = (0..300).map(|i| format!("{{\"text\": \"cat\", \"kind\": \"{i}\"}}\n")).collect();
    assert_eq!(refused(&many, Some("kind")), "f: there are 300 different labels in it, and 256 can be told apart");
}

#[test]
fn a_corpus_without_words_is_refused() {
    assert_eq!(refused("", None), "f: there are no documents with words in it, and 0 without");
    assert_eq!(refused("{\"text\": \"1 2\"}\n", None), "f: there are no documents with words in it, and 1 without");
    let none = Documents::from_texts(&["", "3"], &Tokens::default()).unwrap_err().to_string();
    assert_eq!(none, "the number of texts with words must be at least 1, got 0");
    let dir = folder(&[("a", b""), ("b/c", b"")]);
    let message = said(&dir, Documents::read_folder(&dir, &Tokens::default()).unwrap_err());
    assert_eq!(message, ": there are no documents with words in it, and 1 without");
    let message = said(&dir, Documents::read_classes(&dir, &Tokens::default()).unwrap_err());
    assert_eq!(message, ": there are no documents with words in it, and 1 without");
    assert!(matches!(Documents::read_folder(dir.path().join("no"), &Tokens::default()), Err(Error::Io { .. })));
    let lost = Documents::read_json_lines(dir.path().join("no"), &fields(None), &Tokens::default());
    assert!(matches!(lost, Err(Error::Io { .. })));
}

#[test]
fn what_is_not_utf_8_is_refused_or_read_as_latin_1() {
    let dir = folder(&[("a", b"fa\xe7ade caf\xe9")]);
    let message = said(&dir, Documents::read_folder(&dir, &Tokens::default()).unwrap_err());
    assert_eq!(message, "/a: not UTF-8 from byte 3 on (`Tokens::latin_1` reads older texts)");
    let tokens = Tokens { latin_1: true, ..Tokens::default() };
    assert_eq!(Documents::read_folder(&dir, &tokens).unwrap().vocabulary, ["café", "façade"]);
}

proptest! {
    #[test]
    fn columns_are_lengths_and_counts_of_the_words(texts in proptest::collection::vec("[ab ]{0,9}", 1..6)) {
        let tokens = Tokens { shortest: 1, ..Tokens::default() };
        let given: Vec<&str> = texts.iter().map(String::as_str).collect();
        let words: Vec<Vec<&str>> = given.iter().map(|text| text.split_whitespace().collect()).collect();
        let words: Vec<&Vec<&str>> = words.iter().filter(|words| !words.is_empty()).collect();
        match Documents::from_texts(&given, &tokens) {
            Err(_) => prop_assert!(words.is_empty()),
            Ok(documents) => {
                let x = documents.to_mat();
                prop_assert_eq!(x.shape(), (1 + documents.vocabulary.len(), words.len()));
                prop_assert_eq!(documents.dropped, given.len() - words.len());
                for (column, words) in x.column_iter().zip(words) {
                    prop_assert_eq!(column[0], words.len() as f32);
                    for (k, word) in documents.vocabulary.iter().enumerate() {
                        prop_assert_eq!(column[1 + k], words.iter().filter(|w| *w == word).count() as f32);
                    }
                }
            }
        }
    }

    #[test]
    fn any_lines_are_survived(text in r#"[{}\[\]":,a-c0-9\n\\]{0,80}"#) {
        let _ = lines(&text, Some("a"));
    }
}
