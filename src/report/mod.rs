//! The folder of a run as one page to look at: `report.html`, which needs nothing beside itself, and a few lines for the terminal.
//!
//! A page is made of the files that a run leaves, so it can be made at any time and anywhere, and of a run that is not finished;
//! what is missing is left out, and said to be. Nothing is computed anew: every number is that of a file.
//!
//! | file | what it gives |
//! |---|---|
//! | `run.json` ([`About`]) | settings, seed, machine, time |
//! | `metrics.jsonl` ([`History`](crate::train::History)) | learning curves |
//! | `snapshots.safetensors` ([`Snapshots`]) | samples over time, histograms, hidden activity |
//! | `doctor.json` ([`CheckUp`](crate::doctor::CheckUp)) | what is out of its range, and what to do |
//! | `summary.json` | likelihood and other final numbers: `name`, with its error as `name_stderr` |
//! | `filters.png`, `samples.png` | pictures as they are |

mod about;
mod chart;
mod page;
pub use about::{ABOUT_FORMAT, About};

use crate::doctor::DIAGNOSIS_FORMAT;
use crate::io::write_atomically;
use crate::train::Snapshots;
use crate::{Error, Result};
use chart::sparkline;
use serde_json::{Map, Value};
use std::fmt::{self, Display};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What the folder of a run tells.
///
/// ```no_run
/// use harmonium::report::Report;
/// let folder = std::path::Path::new("target/mnist_rbm");
/// let report = Report::read(folder)?;
/// println!("{report}");
/// report.write(folder)?; // report.html
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    folder: PathBuf,
    about: Option<About>,
    records: Vec<Map<String, Value>>,
    snapshots: Option<Snapshots>,
    summary: Map<String, Value>,
    findings: Option<Vec<Found>>,
    pictures: Vec<(&'static str, Vec<u8>)>,
}

/// What the doctor found at the last look.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    severity: String,
    about: String,
    what: String,
    advice: String,
}
/// A final number of a run.
#[derive(Clone, Debug, PartialEq)]
struct Number {
    name: String,
    value: f64,
    error: Option<f64>,
}
/// A metric over a run: `(epoch, value)`, not a number where it was none.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Pictures that are shown if they are there.
const PICTURES: [&str; 2] = ["filters.png", "samples.png"];
/// The version of `summary.json`, under the name `format`; one that does not say it is taken for this.
pub const SUMMARY_FORMAT: u64 = 1;
/// Larger ones are left to their files, for the page's sake.
const LARGEST: usize = 1_500_000;

impl Report {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such folder or a file cannot be read; [`Error::Format`] if a file is damaged or of another
    /// version.
    pub fn read(folder: &Path) -> Result<Self> {
        fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
        let mut report = Self { folder: folder.to_owned(), ..Self::default() };
        let path = |name: &str| folder.join(name);
        if let Some(bytes) = there(&path(about::FILE))? {
            report.about = Some(About::parse(&bytes, &path(about::FILE))?);
        }
        if let Some(bytes) = there(&path("metrics.jsonl"))? {
            let lines = bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty());
            report.records = lines.map(|line| object(line, &path("metrics.jsonl"))).collect::<Result<_>>()?;
        }
        if path("snapshots.safetensors").exists() {
            report.snapshots = Some(Snapshots::read(&path("snapshots.safetensors"))?);
        }
        if let Some(bytes) = there(&path("summary.json"))? {
            report.summary = object(&bytes, &path("summary.json"))?;
            check_format(report.summary.remove("format"), SUMMARY_FORMAT, "numbers", &path("summary.json"))?;
        }
        if let Some(bytes) = there(&path("doctor.json"))? {
            report.findings = Some(findings(object(&bytes, &path("doctor.json"))?, &path("doctor.json"))?);
        }
        for name in PICTURES {
            let bytes = there(&path(name))?.filter(|bytes| bytes.len() <= LARGEST);
            report.pictures.extend(bytes.map(|bytes| (name, bytes)));
        }
        Ok(report)
    }
    /// The page.
    pub fn to_html(&self) -> String {
        page::page(self)
    }
    /// Writes the page as `report.html`, and says where.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("report.html");
        write_atomically(&path, |f| f.write_all(self.to_html().as_bytes()))?;
        Ok(path)
    }
    /// The name of the run: that of its program, or its folder.
    fn title(&self) -> String {
        let folder = || self.folder.file_name().map_or("a run".into(), |name| name.to_string_lossy().into_owned());
        self.about.as_ref().map_or_else(folder, |about| about.program.clone())
    }
    /// Final numbers, those with an error first.
    fn numbers(&self) -> Vec<Number> {
        let error = |name: &str| self.summary.get(&format!("{name}_stderr")).and_then(Value::as_f64);
        let plain = |name: &&String| !name.ends_with("_stderr");
        let number = |name: &String| {
            Some(Number { name: name.clone(), value: self.summary[name].as_f64()?, error: error(name) })
        };
        let mut numbers: Vec<_> = self.summary.keys().filter(plain).filter_map(number).collect();
        let likelihood = |n: &Number| n.name.ends_with("log_likelihood") && !n.name.starts_with("pseudo");
        numbers.sort_by_key(|n| (n.error.is_none(), !likelihood(n), n.name.starts_with("train")));
        numbers
    }
    /// Metrics over the run, in the order of their names, the learning rate last.
    fn curves(&self) -> Vec<Curve> {
        let own = |name: &&String| !["epoch", "seconds", "step"].contains(&name.as_str());
        let mut names: Vec<&String> = self.records.iter().flat_map(|r| r.keys()).filter(own).collect();
        names.sort_by_key(|name| (*name == "learning_rate", *name));
        names.dedup();
        let number =
            |record: &Map<String, Value>, name: &str| record.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let points = |name: &str| self.records.iter().map(|r| (number(r, "epoch"), number(r, name))).collect();
        names.into_iter().map(|name| Curve { name: name.clone(), points: points(name) }).collect()
    }
    /// Why the likelihood cannot be trusted, if it cannot.
    fn warning(&self) -> Option<&str> {
        self.summary.get("warning")?.as_str()
    }
    /// Seconds of training, by the last record.
    fn seconds(&self) -> Option<f64> {
        self.records.last()?.get("seconds")?.as_f64()
    }
}

/// A few lines: final numbers, metrics from first to last with their shape, time.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.title(), self.folder.display())?;
        let (numbers, curves) = (self.numbers(), self.curves());
        let with_error = || numbers.iter().filter(|n| n.error.is_some());
        let names = with_error().map(|n| &n.name).chain(curves.iter().map(|c| &c.name));
        let width = names.map(|name| words(name).chars().count()).max().unwrap_or(0);
        for Number { name, value, error } in with_error() {
            writeln!(f, "  {:width$}  {value:.2} ± {:.2}", words(name), error.unwrap_or(f64::NAN))?;
        }
        if let Some(warning) = self.warning() {
            writeln!(f, "  warning: {warning}")?;
        }
        if numbers.is_empty() {
            writeln!(f, "  no final numbers yet")?;
        }
        for Curve { name, points } in curves {
            let values: Vec<f64> = points.iter().map(|p| p.1).collect();
            let ends = (short(values.first()), short(values.last()));
            writeln!(f, "  {:width$}  {}  {} → {}", words(&name), sparkline(&values, 24), ends.0, ends.1)?;
        }
        if let Some(seconds) = self.seconds() {
            writeln!(f, "  {:width$}  {}", "training", time(seconds))?;
        }
        for Found { severity, about, what, advice } in self.findings.iter().flatten() {
            writeln!(f, "  {severity}, {about}: {what}\n    → {advice}")?;
        }
        Ok(())
    }
}

/// The content of a file, if there is one.
fn there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}
fn object(bytes: &[u8], path: &Path) -> Result<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::format(path, "each record must be a JSON object")),
        Err(e) => Err(Error::format(path, format!("this is not JSON: {e}"))),
    }
}
/// Refuses a file of another version; one that does not say its version is taken for this one.
fn check_format(format: Option<Value>, own: u64, what: &str, path: &Path) -> Result<()> {
    match format.filter(|format| *format != own) {
        Some(other) => {
            Err(Error::format(path, format!("these are {what} in version {other}; this library reads version {own}")))
        }
        None => Ok(()),
    }
}
/// The findings in a file of the doctor.
fn findings(mut file: Map<String, Value>, path: &Path) -> Result<Vec<Found>> {
    check_format(file.remove("format"), DIAGNOSIS_FORMAT, "findings", path)?;
    let found = |finding: &Value| {
        let text = |key: &str| finding.get(key)?.as_str().map(String::from);
        Some(Found { severity: text("severity")?, about: text("about")?, what: text("what")?, advice: text("advice")? })
    };
    let all = file.get("findings").and_then(Value::as_array).map(|all| all.iter().map(found).collect());
    all.flatten().ok_or_else(|| Error::format(path, "these are no findings of the doctor"))
}
/// A name of a metric as words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}
/// Four significant digits, if there is a number.
fn short(value: Option<&f64>) -> String {
    match value {
        Some(v) if v.is_finite() && *v != 0.0 && (v.abs() < 1e-3 || v.abs() >= 1e6) => format!("{v:.2e}"),
        Some(v) if v.fract() == 0.0 && v.abs() < 1e6 => format!("{v}"),
        Some(v) if v.is_finite() => {
            let before = v.abs().max(1e-3).log10().floor() as i32 + 1;
            format!("{v:.*}", (4 - before).clamp(0, 4) as usize)
        }
        _ => "–".into(),
    }
}
/// A length of time for people.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 6000.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Doctor;
    use crate::models::Rbm;
    use crate::train::{Histogram, Look};
    use crate::units::{Bernoulli, Gaussian};
    use crate::{Mat, Saved, io::Checkpoint};

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let mut about = About::now("<test>", [("seed".to_string(), "1 & 2".to_string())].into());
        about.image = Some((2, 2));
        about.write(dir.path()).unwrap();
        write(
            "summary.json",
            r#"{"test_log_likelihood": -89.125, "test_log_likelihood_stderr": 0.25, "runs": 100, "settings": {}, "warning": "not < to be trusted"}"#,
        );
        write(
            "metrics.jsonl",
            "{\"epoch\":1,\"seconds\":2.5,\"loss\":4.5,\"step\":1}\n{\"epoch\":2,\"seconds\":75,\"loss\":null}\n",
        );
        dir
    }
    fn snapshots(dir: &Path) {
        let h = Histogram::of([0.0, 1.0, 1.0].into_iter());
        let samples = Mat::from_element(4, 3, 0.5);
        let look = Look { step: 5, epoch: 0.5, samples, weights: h.clone(), biases: h.clone(), updates: h };
        let mut seen = Snapshots::default();
        (seen.looks, seen.activity) = (vec![look.clone(), look], Mat::from_element(3, 2, 0.25));
        let mut state = Saved::default();
        seen.save_looks(&mut state);
        Checkpoint { state, ..Checkpoint::default() }.write(&dir.join("snapshots.safetensors")).unwrap();
    }

    #[test]
    fn the_numbers_are_those_of_the_files() {
        let dir = folder();
        snapshots(dir.path());
        let report = Report::read(dir.path()).unwrap();
        let html = fs::read_to_string(report.write(dir.path()).unwrap()).unwrap();
        for part in ["−89.12", "± 0.25", "loss", "&lt;test&gt;", "1 &amp; 2", "data:image/png;base64,", "75.0 s"] {
            assert!(html.contains(part), "{part} is not in the page");
        }
        assert!(
            !html.contains("<test>") && !html.contains("NaN") && !html.contains("http"),
            "nothing raw, broken or remote"
        );
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        let text = report.to_string();
        assert!(text.contains("-89.12 ± 0.25") && text.contains("not < to be trusted"), "{text}");
        assert!(html.contains("not &lt; to be trusted"));
        assert!(text.contains("4.500 → –") && text.contains("75.0 s"), "{text}");
    }
    #[test]
    fn what_the_doctor_found_is_told() {
        let dir = folder();
        let told = || Report::read(dir.path()).map(|r| (r.to_html(), r.to_string())).unwrap();
        assert!(!told().0.contains("Doctor"));
        let data = Mat::from_element(1, 3, 0.5);
        let rbm = Rbm::new((1, Gaussian), (1, Bernoulli));
        let doctor = Doctor { sweeps: 30, ..Doctor::default() };
        doctor.examine(&rbm, &data, None).unwrap().write(&dir.path().join("doctor.json")).unwrap();
        let (html, text) = told();
        assert!(html.contains("Doctor") && html.contains("have the same value"), "{html}");
        assert!(html.contains("<code>Rbm::initialise</code>"));
        assert!(text.contains("note, data: 1 of 1 gaussian units"), "{text}");
        fs::write(dir.path().join("doctor.json"), r#"{"format": 1, "findings": []}"#).unwrap();
        assert!(told().0.contains("nothing is out of its range"));
    }
    #[test]
    fn a_run_that_begins_is_not_taken_for_the_one_before() {
        let dir = folder();
        About::now("new", Default::default()).begin(dir.path()).unwrap();
        let text = Report::read(dir.path()).unwrap().to_string();
        assert!(text.starts_with("new,") && text.contains("no final numbers yet") && !text.contains("loss"), "{text}");
        About::now("newest", Default::default()).begin(dir.path()).unwrap();
        let earlier: Vec<PathBuf> =
            fs::read_dir(dir.path().join("earlier")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(earlier.len(), 2, "none replaces another");
        let before: String = earlier.iter().map(|path| Report::read(path).unwrap().to_string()).collect();
        assert!(before.contains("-89.12 ± 0.25") && before.contains("new,"), "{before}");
    }
    #[test]
    fn what_is_missing_is_left_out() {
        let empty = tempfile::tempdir().unwrap();
        let report = Report::read(empty.path()).unwrap();
        assert!(report.to_html().contains("not there") && report.to_string().contains("no final numbers yet"));
        for name in ["run.json", "summary.json", "metrics.jsonl"] {
            let dir = folder();
            fs::remove_file(dir.path().join(name)).unwrap();
            assert!(Report::read(dir.path()).unwrap().to_html().ends_with("</html>\n"), "{name}");
        }
        assert!(matches!(Report::read(Path::new("no/such/folder")), Err(Error::Io { .. })));
    }
    #[test]
    fn files_that_are_something_else_are_refused_by_name() {
        for (name, text, told) in [
            ("run.json", "{}", "does not say its version"),
            ("run.json", r#"{"format": 9}"#, "version 9; this library reads version 1"),
            ("run.json", r#"{"format": 1}"#, "does not tell of a run"),
            ("run.json", "half", "does not tell of a run"),
            ("summary.json", "[1]", "must be a JSON object"),
            ("summary.json", r#"{"format": 2}"#, "version 2; this library reads version 1"),
            ("metrics.jsonl", "{\"epoch\": 1}\n{\"epo", "not JSON"),
            ("doctor.json", r#"{"format": 3, "findings": []}"#, "version 3; this library reads version 1"),
            ("doctor.json", r#"{"findings": [{"what": 1}]}"#, "no findings"),
            ("snapshots.safetensors", "no", "at least 8 bytes"),
        ] {
            let dir = folder();
            fs::write(dir.path().join(name), text).unwrap();
            let error = Report::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(told), "{error}");
        }
    }
    #[test]
    fn numbers_are_short() {
        let texts = [89.1234, -0.00123, 1e-5, 0.0, 1234567.0, 100.0].map(|v| short(Some(&v)));
        assert_eq!(texts, ["89.12", "-0.0012", "1.00e-5", "0", "1.23e6", "100"]);
        assert_eq!([3.25, 75.0, 100.0, 7300.0].map(time), ["3.2 s", "75.0 s", "1 min 40 s", "2 h 01 min"]);
    }
}
