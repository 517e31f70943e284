//! Tables of numbers as text: a line is a sample, a column a unit, save one that may be the label.
//!
//! Entries may be missing: they become 0 in the values and `true` in a mask, which together make
//! [`Masked`](super::Masked) data; how they came to be missing is not known here. Columns of words other than the label
//! are refused, not encoded. Lines and columns are counted from 1, as editors do.

use super::classes::classes;
use crate::io::read;
use crate::{Error, Mask, Mat, Result};
use ::csv::{ByteRecord, ReaderBuilder};
use std::path::Path;

/// What stands for a missing entry, in any case; nothing at all does, too.
const MISSING: [&str; 3] = ["na", "nan", "?"];
/// Letters of a cell that an error shows.
const SHOWN: usize = 40;

/// How a table is written.
///
/// ```
/// use harmonium::data::{Column, Csv};
/// let text = "length, width, kind\n5.1, 3.5, setosa\n7.0, ?, versicolor\n";
/// let table = Csv { label: Some(Column::Name("kind".into())), ..Csv::default() }
///     .parse(text.as_bytes(), "iris.csv".as_ref())?;
/// assert_eq!(table.values.column(1).as_slice(), [7.0, 0.0]); // units × samples
/// assert!(table.missing[(1, 1)]);
/// assert_eq!((table.labels, table.classes), (vec![0, 1], vec!["setosa".into(), "versicolor".into()]));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    /// What parts the cells of a line; a comma unless set.
    pub delimiter: u8,
    /// Whether the first line has the names of the columns. Unless set, it has if there is a label column by name, or
    /// if one of its cells, the label aside, is neither a number nor missing.
    pub header: Option<bool>,
    /// The column that is not a unit but the class.
    pub label: Option<Column>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { delimiter: b',', header: None, label: None }
    }
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The one of this name.
    Name(String),
    /// The one of this number, counted from 1.
    Number(usize),
    /// The last.
    Last,
}

/// The numbers of a table, with what is missing, and the class of each line.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of the units, the label's not among them; empty if the table does not tell.
    pub names: Vec<String>,
    /// The numbers, units × samples, all of them finite; 0 where there is none.
    pub values: Mat,
    /// `true` where there is no number, units × samples.
    pub missing: Mask,
    /// The class of each sample, a place in `classes`; empty if there is no label column.
    pub labels: Vec<u8>,
    /// The names of the classes: in the order of the numbers if all are integers, else of the text.
    pub classes: Vec<String>,
}

impl Csv {
    /// Reads the table at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, and those of [`Csv::parse`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        self.parse(&read(path.as_ref())?, path.as_ref())
    }

    /// Reads a table from the bytes of a file; `path` is what errors name. Empty lines are passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if a line has more or fewer cells than the first, or a cell is no finite number and not
    /// missing either; if the label column is not there, or named twice, or a label is missing; if there are more than
    /// 256 classes; or if there are no samples or no units. It names the line and the column. [`Error::Value`] if
    /// settings contradict each other: a column by name without a header, or number 0.
    pub fn parse(&self, bytes: &[u8], path: &Path) -> Result<Table> {
        match (&self.label, self.header) {
            (Some(Column::Name(name)), Some(false)) => {
                return Err(Error::value("the label column of a table without header", "a number", name));
            }
            (Some(Column::Number(0)), _) => {
                return Err(Error::value("the number of the label column", "at least 1", 0));
            }
            _ => {}
        }
        self.rows(bytes).and_then(Rows::finish).map_err(|what| Error::format(path, what))
    }

    /// All lines, or what is wrong with one.
    fn rows(&self, bytes: &[u8]) -> Result<Rows, String> {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(self.delimiter).from_reader(bytes);
        let mut record = ByteRecord::new();
        // The source is memory, and lines may be of any length: there is nothing that could fail.
        let mut next = |record: &mut ByteRecord| reader.read_byte_record(record).map_err(|why| why.to_string());
        let mut rows = Rows::default();
        if !next(&mut record)? {
            return Err("there are no lines in it".into());
        }
        let first = Line::of(&record, bytes)?;
        rows.columns = first.cells.len();
        rows.label = self.label_of(&first)?;
        if self.header.unwrap_or_else(|| self.looks_like_a_header(&first, rows.label)) {
            let names = first.cells.iter().enumerate().filter(|(column, _)| Some(*column) != rows.label);
            rows.names = names.map(|(_, name)| name.to_string()).collect();
        } else {
            rows.push(&first)?;
        }
        while next(&mut record)? {
            rows.push(&Line::of(&record, bytes)?)?;
        }
        Ok(rows)
    }

    /// The place of the label column, from 0.
    fn label_of(&self, first: &Line<'_>) -> Result<Option<usize>, String> {
        let count = first.cells.len();
        match &self.label {
            None => Ok(None),
            Some(Column::Last) => Ok(count.checked_sub(1)),
            Some(Column::Number(number)) if *number <= count => Ok(Some(number - 1)),
            Some(Column::Number(number)) => {
                Err(format!("there is no column {number} for the label: there are {count}"))
            }
            Some(Column::Name(name)) => {
                let mut places =
                    first.cells.iter().enumerate().filter(|(_, cell)| *cell == name).map(|(place, _)| place);
                match (places.next(), places.next()) {
                    (Some(place), None) => Ok(Some(place)),
                    (Some(_), Some(_)) => Err(format!("two columns have the name `{name}`")),
                    (None, _) => {
                        let cells: Vec<String> = first.cells.iter().take(20).map(|cell| shown(cell)).collect();
                        Err(format!("no column has the name `{name}`; the first line has {}", cells.join(", ")))
                    }
                }
            }
        }
    }

    fn looks_like_a_header(&self, first: &Line<'_>, label: Option<usize>) -> bool {
        let is_word = |(column, cell): (usize, &&str)| Some(column) != label && number(cell).is_none();
        matches!(self.label, Some(Column::Name(_))) || first.cells.iter().enumerate().any(is_word)
    }
}

/// The cells of a line, trimmed.
struct Line<'a> {
    number: u64,
    cells: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn of(record: &'a ByteRecord, bytes: &[u8]) -> Result<Self, String> {
        // The position is that of the empty lines which were passed over before the record.
        let (line, byte) = record.position().map_or((1, 0), |at| (at.line(), at.byte() as usize));
        let ends = bytes[byte.min(bytes.len())..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let number = line + ends.filter(|&&byte| byte == b'\n').count() as u64;
        let cell = |(column, cell): (usize, &'a [u8])| {
            let text = std::str::from_utf8(cell);
            text.map(str::trim).map_err(|_| format!("line {number}, column {}: this is not UTF-8", column + 1))
        };
        Ok(Self { number, cells: record.iter().enumerate().map(cell).collect::<Result<_, _>>()? })
    }
}

/// What the lines held so far.
#[derive(Default)]
struct Rows {
    columns: usize,
    label: Option<usize>,
    names: Vec<String>,
    values: Vec<f32>,
    missing: Vec<bool>,
    labels: Vec<String>,
    samples: usize,
}

impl Rows {
    fn push(&mut self, line: &Line<'_>) -> Result<(), String> {
        if line.cells.len() != self.columns {
            return Err(format!("line {}: expected {} columns, got {}", line.number, self.columns, line.cells.len()));
        }
        for (column, cell) in line.cells.iter().enumerate() {
            let wrong = |expected: &str| {
                Err(format!("line {}, column {}: expected {expected}, got `{}`", line.number, column + 1, shown(cell)))
            };
            if Some(column) == self.label {
                if is_missing(cell) {
                    return wrong("a label");
                }
                self.labels.push((*cell).into());
                continue;
            }
            let Some(value) = number(cell).filter(|value| !value.is_infinite()) else {
                return wrong("a finite number, or nothing, NA, nan or ? for a missing one");
            };
            self.missing.push(value.is_nan());
            self.values.push(if value.is_nan() { 0.0 } else { value });
        }
        self.samples += 1;
        Ok(())
    }

    fn finish(self) -> Result<Table, String> {
        let units = self.columns - usize::from(self.label.is_some());
        for (what, count) in [("samples", self.samples), ("columns of numbers", units)] {
            if count == 0 {
                return Err(format!("there are no {what} in it"));
            }
        }
        let (labels, classes) = classes(&self.labels)?;
        Ok(Table {
            names: self.names,
            values: Mat::from_vec(units, self.samples, self.values),
            missing: Mask::from_vec(units, self.samples, self.missing),
            labels,
            classes,
        })
    }
}

fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING.iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

/// The number in a cell; NaN if it is missing, and nothing if it is neither.
fn number(cell: &str) -> Option<f32> {
    if is_missing(cell) { Some(f32::NAN) } else { cell.parse().ok().filter(|value: &f32| !value.is_nan()) }
}

/// A cell for a message: short, and on one line.
fn shown(cell: &str) -> String {
    let mut chars = cell.chars();
    let start: String = chars.by_ref().take(SHOWN).collect();
    format!("{}{}", start.escape_debug(), if chars.next().is_some() { "…" } else { "" })
}
