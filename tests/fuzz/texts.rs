//! Mutated tables and JSON lines.

use crate::mutate::{Rng, damage, one, rarely};
use crate::{Reached, Target};
use harmonium::data::{Column, Csv, Documents, Fields, Tokens};
use rand::RngExt;
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn targets() -> [Target; 2] {
    [
        // Cells of two bytes become texts of the line, numbers, marks and labels; buffers of the parser.
        Target { name: "CSV", share: 0.1, memory: |bytes| 100 * bytes + 40_000, make: table, read: read_table },
        // Objects of JSON and maps of words.
        Target { name: "JSON lines", share: 0.06, memory: |bytes| 60 * bytes + 16_384, make: lines, read: read_lines },
    ]
}
fn read_table(bytes: &[u8]) -> Reached {
    // The settings follow from the bytes, as the file does from the seed.
    let label = match bytes.len() % 4 {
        0 => None,
        1 => Some(Column::Last),
        2 => Some(Column::Number(1)),
        _ => Some(Column::Name("b".into())),
    };
    let header = [None, None, Some(true), None][bytes.len() / 4 % 4];
    match (Csv { header, label, ..Csv::default() }).parse(bytes, Path::new("f")) {
        Ok(table) => {
            assert!(table.values.iter().all(|x| x.is_finite()) && table.values.shape() == table.missing.shape());
            assert!(table.labels.iter().all(|&label| usize::from(label) < table.classes.len()));
            Reached::Whole
        }
        Err(error) if error.to_string().contains("there are no lines") => Reached::Header,
        Err(_) => Reached::Content,
    }
}
fn table(rng: &mut Rng) -> Vec<u8> {
    let (columns, mut text) = (rng.random_range(1..5), String::new());
    let cells = ["1", "-2.5", "3e-9", "", "NA", "?", "1e39", "inf", "é", "\"a\"\"b\"", "\"1\n2\"", "nan", " 7 ", "0x1"];
    if rng.random() {
        text += &["a", "b", "c", "d"][..columns].join(",");
        text.push('\n');
    }
    for _ in 0..rng.random_range(0..6) {
        let strange = rarely(rng, 6);
        let count = if rarely(rng, 12) { rng.random_range(0..7) } else { columns };
        let line: Vec<&str> = (0..count).map(|_| one(rng, if strange { &cells[..] } else { &cells[..3] })).collect();
        text += &(line.join(",") + one(rng, &["\n", "\n", "\r\n", "\n\n"]));
    }
    let mut bytes = text.into_bytes();
    if rarely(rng, 4) {
        damage(rng, &mut bytes);
    }
    bytes
}
fn read_lines(bytes: &[u8]) -> Reached {
    let fields = Fields { text: "text".into(), label: bytes.len().is_multiple_of(2).then(|| "label".into()) };
    match Documents::parse_json_lines(bytes, Path::new("f"), &fields, &Tokens::default()) {
        Ok(documents) => {
            let known = |&(word, count): &(u32, u32)| (word as usize) < documents.vocabulary.len() && count > 0;
            assert!(documents.counts.iter().all(|counts| !counts.is_empty() && counts.iter().all(known)));
            Reached::Whole
        }
        Err(error) if error.to_string().contains("expected an object") => Reached::Header,
        Err(_) => Reached::Content,
    }
}
fn lines(rng: &mut Rng) -> Vec<u8> {
    let texts = ["the cat sat", "a b c d", "", "12", "ÉTÉ ß İ \u{0}", "x\n\"y\"", "word word word"];
    let others = [json!(1), json!(-3), json!(1.5), json!("sport"), json!(null), json!([[{}]]), json!(u64::MAX)];
    let mut bytes = vec![];
    for _ in 0..rng.random_range(0..5) {
        let text = if rarely(rng, 10) { one(rng, &others) } else { json!(one(rng, &texts)) };
        let labels = if rarely(rng, 10) { &others[..] } else { &others[..2] };
        let label = one(rng, labels);
        let mut line = json!({"text": text, "label": label});
        if rarely(rng, 10) {
            let name = one(rng, &["text", "label"]);
            line.as_object_mut().unwrap().remove(name);
        }
        bytes.extend(serde_json::to_vec(&if rarely(rng, 20) { Value::Array(vec![line]) } else { line }).unwrap());
        bytes.extend(one(rng, &[&b"\n"[..], b"\r\n", b"\n\n"]));
    }
    if rarely(rng, 4) {
        damage(rng, &mut bytes);
    }
    bytes
}
