//! A file is replaced whole or left alone: write beside it, then rename over it.
//!
//! A reader, or a run that is cut off, sees the old content or the new and never a half. No lock is taken: of two
//! writers the last wins. A link at the path is replaced, not followed.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::{Error, Result};

/// Replaces the file at `path` by what `fill` writes (buffered), with the permissions of any new file.
///
/// The bytes have reached the disk before the rename, so a power cut cannot leave an empty file under the name.
///
/// # Errors
///
/// [`Error::Io`] about `path` if its folder is missing or refuses the file, if `fill` fails, or if the disk does; what
/// was at `path` is then still there, and nothing is left beside it.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    // Only a rename within one file system is atomic, hence a neighbour and not the system's folder for such files.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    replace(path, folder, fill).map_err(|source| Error::io(path, source))
}

/// Creates the folder `dir` and those above it, as far as they are not there yet.
///
/// # Errors
///
/// [`Error::Io`] about `dir` if the system refuses, or if a file has the name.
pub fn create_folder(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))
}

fn replace(path: &Path, folder: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = neighbour(folder).map_err(|refused| {
        // The system's own words would name a file that nobody asked for.
        let what = format!("cannot create a file in the folder {}: {}", folder.display(), refused.kind());
        io::Error::new(refused.kind(), what)
    })?;
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// An empty file in `folder` that vanishes when dropped.
fn neighbour(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Files of this kind are born private; the user's mask narrows this wish as it does for any new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn writes_and_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        for text in ["a first and longer text", "second"] {
            write_atomically(&path, |out| out.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn a_failure_keeps_the_old_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), format!("{}: no more", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn refusals_name_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let lost = dir.path().join("missing").join("a.txt");
        let message = write_atomically(&lost, |_| Ok(())).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: cannot create a file in the folder", lost.display())), "{message}");
        assert!(matches!(write_atomically(dir.path(), |_| Ok(())), Err(Error::Io { path, .. }) if path == dir.path()));
        assert!(matches!(write_atomically(Path::new(""), |_| Ok(())), Err(Error::Io { .. })));

        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(create_folder(&file), Err(Error::Io { path, .. }) if path == file));
        create_folder(&dir.path().join("b/c")).unwrap();
        create_folder(&dir.path().join("b/c")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, usual) = (dir.path().join("ours"), dir.path().join("usual"));
        write_atomically(&ours, |_| Ok(())).unwrap();
        fs::write(&usual, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
