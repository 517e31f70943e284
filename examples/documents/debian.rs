//! The descriptions of a Debian machine's packages as documents, their sections as labels.

use harmonium::data::{Documents, Fields, Tokens};
use harmonium::{Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What the package manager knows of installed packages.
const STATUS: &str = "/var/lib/dpkg/status";

/// One package of each source, for those of one source say nearly the same: of the lists in `dir`, or else of those installed.
pub(crate) fn read(dir: &Path, tokens: &Tokens) -> Result<Documents> {
    let mut lists = named(dir, "Packages")?;
    let mut translations = named(dir, "Translation-en")?;
    if lists.is_empty() {
        (lists, translations) = (vec![PathBuf::from(STATUS)], vec![]);
    }
    let long = descriptions(&translations)?;
    let (mut sources, mut lines) = (HashSet::new(), String::new());
    for path in &lists {
        for stanza in text(path)?.split("\n\n") {
            let fields = fields(stanza);
            let (Some(name), Some(section), Some(short)) =
                (fields.get("Package"), fields.get("Section"), fields.get("Description"))
            else {
                continue;
            };
            let source = fields.get("Source").unwrap_or(name).split(' ').next().unwrap_or(name);
            if sources.insert(source.to_string()) {
                let section = section.rsplit('/').next().unwrap_or(section);
                let text = long.get(name).unwrap_or(short);
                lines += &serde_json::json!({ "text": text, "label": section }).to_string();
                lines.push('\n');
            }
        }
    }
    let by = Fields { text: "text".into(), label: Some("label".into()) };
    Documents::parse_json_lines(lines.as_bytes(), dir, &by, tokens).map_err(|e| {
        let update = "apt-get -o Acquire::GzipIndexes=false -o Acquire::Languages=en update";
        let what =
            format!("no package descriptions, neither here nor in {STATUS} ({e}); plain lists come by `{update}`");
        Error::format(dir, what)
    })
}

/// The files of a folder whose names end so, in order; none, if there is no folder.
fn named(dir: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(vec![]) };
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|e| Error::io(dir, e))?;
    paths.retain(|path| path.to_string_lossy().ends_with(end));
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The long descriptions of packages by name.
fn descriptions(translations: &[PathBuf]) -> Result<HashMap<String, String>> {
    let mut long = HashMap::new();
    for path in translations {
        for stanza in text(path)?.split("\n\n") {
            let mut fields = fields(stanza);
            if let (Some(name), Some(text)) = (fields.remove("Package"), fields.remove("Description-en")) {
                long.entry(name).or_insert(text);
            }
        }
    }
    Ok(long)
}

/// The fields of a stanza; lines that begin with a space go on with the field before.
fn fields(stanza: &str) -> BTreeMap<&str, String> {
    let mut fields = BTreeMap::new();
    let mut last = "";
    for line in stanza.lines() {
        match line.split_once(':') {
            Some((name, value)) if !line.starts_with(' ') => {
                last = name;
                fields.insert(name, value.trim().to_string());
            }
            _ => {
                let text: &mut String = fields.entry(last).or_default();
                text.push('\n');
                text.push_str(line);
            }
        }
    }
    fields
}
