//! Tables of text, as they are in use and with mistakes, of which line and column are told.

use harmonium::data::{Column, Csv, Table};
use harmonium::{Error, Mat};
use proptest::{collection::vec, prelude::*};
use std::path::Path;

fn parse(csv: &Csv, text: &str) -> Table {
    csv.parse(text.as_bytes(), Path::new("f")).unwrap()
}
fn refused(csv: &Csv, text: &str) -> String {
    let error = csv.parse(text.as_bytes(), Path::new("f")).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    error.to_string()
}
fn plain() -> Csv {
    Csv::default()
}
fn label(column: Column) -> Csv {
    Csv { label: Some(column), ..plain() }
}

#[test]
fn numbers_with_or_without_a_header() {
    let expected = Mat::from_row_slice(2, 3, &[1.0, -2.5, 1e-3, 4.0, 5.0, 6.0]);
    for text in ["1,4\n-2.5,5\n1e-3,6\n", "1, 4\r\n-2.5 ,\t5\r\n\r\n\"1e-3\",+6", "\u{feff}1,4\n-2.5,5\n.001,6."] {
        let table = parse(&plain(), text);
        assert_eq!((&table.values, table.names.len()), (&expected, 0), "{text}");
        assert!(!table.missing.iter().any(|&missing| missing) && table.labels.is_empty() && table.classes.is_empty());
        let table = parse(&plain(), &format!("a,\"b, c\"\n{}", text.trim_start_matches('\u{feff}')));
        assert_eq!((&table.values, table.names), (&expected, vec!["a".into(), "b, c".into()]));
    }
    // Told, the first line is what one says.
    let years = "2001,2002\n1,2\n";
    assert_eq!(parse(&plain(), years).values.ncols(), 2);
    let table = parse(&Csv { header: Some(true), ..plain() }, years);
    assert_eq!((table.values.ncols(), table.names), (1, vec!["2001".into(), "2002".into()]));
    let message = refused(&Csv { header: Some(false), ..plain() }, "1,b\n1,2\n");
    assert!(message.starts_with("f: line 1, column 2: expected a finite number"), "{message}");
    assert_eq!(parse(&Csv { delimiter: b';', ..plain() }, "1;2\n").values.nrows(), 2);
    assert_eq!(parse(&Csv { delimiter: b'\t', ..plain() }, "1\t2\n\t4").values.as_slice(), [1.0, 2.0, 0.0, 4.0]);
}

#[test]
fn missing_entries_are_0_and_in_the_mask() {
    let table = parse(&plain(), "1,,3\nNA,nan,NaN\n?, na ,9\n");
    assert_eq!(table.values, Mat::from_row_slice(3, 3, &[1., 0., 0., 0., 0., 0., 3., 0., 9.]));
    let missing: Vec<bool> = [0, 1, 0, 1, 1, 1, 1, 1, 0].map(|bit| bit == 1).into();
    assert_eq!(table.missing.as_slice(), missing);
}

#[test]
fn labels_by_name_by_number_or_last() {
    let text = "width,kind,height\n1,rose,2\n3,oak,4\n5,rose,?\n";
    for csv in [label(Column::Name("kind".into())), label(Column::Number(2))] {
        let table = parse(&csv, text);
        assert_eq!((table.labels, table.classes), (vec![1, 0, 1], vec!["oak".into(), "rose".into()]));
        assert_eq!(table.names, ["width", "height"]);
        assert_eq!(table.values, Mat::from_row_slice(2, 3, &[1., 3., 5., 2., 4., 0.]));
        assert_eq!(table.missing.iter().position(|&missing| missing), Some(5));
    }
    // Words in the label column make no header of the first line.
    let table = parse(&label(Column::Last), "1,2,rose\n3,4,oak\n");
    assert_eq!((table.labels, table.values.ncols()), (vec![1, 0], 2));
    let table = parse(&label(Column::Number(1)), "10,1\n9,2\n10,3\n-3,4\n");
    assert_eq!((table.labels, table.classes), (vec![2, 1, 2, 0], ["-3", "9", "10"].map(String::from).to_vec()));
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let number = "expected a finite number, or nothing, NA, nan or ? for a missing one, got";
    assert_eq!(refused(&plain(), "a,b\n1,2\n\n3,x y\n"), format!("f: line 4, column 2: {number} `x y`"));
    assert_eq!(refused(&plain(), "a,b\r\n1,2\r\n\r\n3,x y\r\n"), format!("f: line 4, column 2: {number} `x y`"));
    assert_eq!(refused(&plain(), "\na,\"b\n\"\n1,2\n3,x"), format!("f: line 5, column 2: {number} `x`"));
    assert_eq!(refused(&plain(), "1,2\n1e39,4\n"), format!("f: line 2, column 1: {number} `1e39`"));
    assert_eq!(refused(&plain(), "1,2\n-inf,4\n"), format!("f: line 2, column 1: {number} `-inf`"));
    assert_eq!(refused(&plain(), "1,2\n-nan,4\n"), format!("f: line 2, column 1: {number} `-nan`"));
    assert_eq!(refused(&plain(), "1\n\"2\n3\n"), format!("f: line 2, column 1: {number} `2\\n3`"));
    let long = refused(&plain(), &format!("1\n{}\n", "x".repeat(100)));
    assert_eq!(long, format!("f: line 2, column 1: {number} `{}…`", "x".repeat(40)));
    assert_eq!(refused(&plain(), "1,2\n3\n"), "f: line 2: expected 2 columns, got 1");
    assert_eq!(refused(&plain(), "a,b\n3,4,5\n"), "f: line 2: expected 2 columns, got 3");
    let csv = plain().parse(b"1\n\xff\n", Path::new("f")).unwrap_err().to_string();
    assert_eq!(csv, "f: line 2, column 1: this is not UTF-8");
    assert_eq!(refused(&label(Column::Last), "1,a\n2,\n"), "f: line 2, column 2: expected a label, got ``");
    assert_eq!(refused(&label(Column::Last), "1,a\n2,?\n"), "f: line 2, column 2: expected a label, got `?`");
}

#[test]
fn tables_that_lack_something_are_refused() {
    for (text, what) in [("", "lines"), ("\n\n", "lines"), ("a,b\n", "samples")] {
        assert_eq!(refused(&plain(), text), format!("f: there are no {what} in it"));
    }
    assert_eq!(refused(&label(Column::Last), "a\nb\n"), "f: there are no columns of numbers in it");
    assert_eq!(refused(&label(Column::Number(3)), "1,2\n"), "f: there is no column 3 for the label: there are 2");
    let named = label(Column::Name("c".into()));
    assert_eq!(refused(&named, "a,b\n1,2\n"), "f: no column has the name `c`; the first line has a, b");
    assert_eq!(refused(&named, "c,c\n1,2\n"), "f: two columns have the name `c`");
    let many: String = (0..300).map(|i| format!("1,{i}\n")).collect();
    assert_eq!(
        refused(&label(Column::Last), &many),
        "f: there are 300 different labels in it, and 256 can be told apart"
    );
    let setting = |csv: Csv| csv.parse(b"1,2\n", Path::new("f")).unwrap_err().to_string();
    let headless = Csv { header: Some(false), ..named };
    assert_eq!(setting(headless), "the label column of a table without header must be a number, got c");
    assert_eq!(setting(label(Column::Number(0))), "the number of the label column must be at least 1, got 0");
    assert!(matches!(plain().read("/nowhere/f"), Err(Error::Io { .. })));
}

proptest! {
    /// What is written is read, whatever the numbers and the gaps.
    #[test]
    fn round_trip(columns in 1usize..5, cells in vec(proptest::option::of(proptest::num::f32::NORMAL), 1..60)) {
        let lines = cells.chunks_exact(columns);
        prop_assume!(lines.len() > 0);
        // A mark, for a line of one empty cell would be an empty line.
        let cell = |cell: &Option<f32>| cell.map_or("?".into(), |x| x.to_string());
        let text: String = lines.clone().map(|line| line.iter().map(cell).collect::<Vec<_>>().join(",") + "\n").collect();
        let table = parse(&plain(), &text);
        prop_assert_eq!(table.values.shape(), (columns, lines.len()));
        let back = table.values.iter().zip(table.missing.iter()).map(|(&x, &missing)| (!missing).then_some(x));
        prop_assert!(back.eq(lines.flatten().copied()));
    }

    #[test]
    fn any_text_is_survived(text in r#"[0-9a,;"\n\r .?é-]{0,80}"#, header in proptest::option::of(any::<bool>()), last: bool, delimiter: u8) {
        let csv = Csv { header, label: last.then_some(Column::Last), delimiter };
        let _ = csv.parse(text.as_bytes(), Path::new("f"));
    }
}
