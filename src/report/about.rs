//! What is known of a run when it begins: its settings, its seed, the machine, the time. For people to read; a run never depends on it.

use crate::io::{create_folder, rename, write_atomically};
use crate::linalg::Level;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// The version of the format that is written; files of no other are read.
pub const ABOUT_FORMAT: u64 = 1;
/// The name of the file in the folder of a run.
pub(super) const FILE: &str = "run.json";

/// What runs leave in their folder, beside checkpoints.
const LEFT: [&str; 16] = [
    FILE,
    "metrics.jsonl",
    "snapshots.safetensors",
    "summary.json",
    "doctor.json",
    "model.safetensors",
    "filters.png",
    "samples.png",
    "curves.png",
    "report.html",
    "network.safetensors",
    "dreams.png",
    "reconstructions.png",
    "map.png",
    "retrieval.png",
    "wrong.png",
];

/// A run when it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    format: u64,
    /// What ran: the name of an example or program.
    pub program: String,
    /// The version of this library.
    pub version: String,
    /// Settings by name, the seed among them.
    pub settings: BTreeMap<String, String>,
    /// Height and width of a sample, if it is an image.
    pub image: Option<(usize, usize)>,
    /// When it began, in UTC.
    pub began: String,
    /// The machine, by what: processor, cores, threads, instruction set, operating system.
    pub machine: BTreeMap<String, String>,
}

impl About {
    /// A run of `program` that begins now, on this machine.
    pub fn now(program: &str, settings: BTreeMap<String, String>) -> Self {
        Self {
            format: ABOUT_FORMAT,
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            settings,
            image: None,
            began: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            machine: machine(),
        }
    }
    /// Begins the folder of a run: what an earlier one left under the names that runs use goes to `earlier` in it, to a folder
    /// named after the time when that one began, so that no report mixes the two; then writes `run.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be moved or written.
    pub fn begin(&self, folder: &Path) -> Result<()> {
        let left: Vec<&str> = LEFT.into_iter().filter(|name| folder.join(name).exists()).collect();
        if !left.is_empty() {
            let began =
                std::fs::read(folder.join(FILE)).ok().and_then(|b| Self::parse(&b, folder).ok()).map(|a| a.began);
            // A name for any system; the time is that of a file, which could hold anything.
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            let name: String = began.unwrap_or("unknown".into()).chars().take(40).map(plain).collect();
            let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
            let earlier = names.map(|name| folder.join("earlier").join(name)).find(|path| !path.exists());
            let earlier = earlier.unwrap_or_else(|| folder.join("earlier"));
            create_folder(&earlier)?;
            left.iter().try_for_each(|name| rename(&folder.join(name), &earlier.join(name)))?;
        }
        self.write(folder)
    }
    /// Writes `run.json` in the folder of a run.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(FILE), |f| Ok(serde_json::to_writer_pretty(f, self)?))
    }
    /// What [`About::write`] wrote, from the bytes of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Format`] if it is something else, or of another version.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let wrong = |e: serde_json::Error| Error::format(path, format!("this does not tell of a run: {e}"));
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(wrong)?;
        match &value["format"] {
            format if *format == ABOUT_FORMAT => serde_json::from_value(value).map_err(wrong),
            serde_json::Value::Null => {
                Err(Error::format(path, "this does not tell of a run: it does not say its version"))
            }
            other => {
                let what = format!("this tells of a run in version {other}; this library reads version {ABOUT_FORMAT}");
                Err(Error::format(path, what))
            }
        }
    }
}

/// What there is to say of this machine, as far as it tells.
fn machine() -> BTreeMap<String, String> {
    let mut machine = BTreeMap::from([
        ("operating system".to_string(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("threads".to_string(), rayon::current_num_threads().to_string()),
        ("instruction set".to_string(), format!("{:?}", Level::best())),
    ]);
    if let Ok(cores) = std::thread::available_parallelism() {
        machine.insert("cores".into(), cores.to_string());
    }
    machine.extend(processor().map(|name| ("processor".to_string(), name)));
    machine
}
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
