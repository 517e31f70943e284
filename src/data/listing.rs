//! What lies in a folder, always in the order of the names: systems list folders in an order of their own.

use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a folder whose names do not begin with a dot; what is in its folders is not looked at.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    listed(dir, Path::is_file)
}

/// The folders of a folder whose names do not begin with a dot, each with its name.
pub(super) fn folders(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    Ok(listed(dir, Path::is_dir)?.into_iter().map(|path| (path.clone(), name(&path))).collect())
}

/// The last part of a path, for people.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn listed(dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let refused = |source| Error::io(dir, source);
    let mut paths = vec![];
    for entry in fs::read_dir(dir).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        if !name(&path).starts_with('.') && wanted(&path) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
