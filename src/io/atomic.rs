//! A file is replaced whole or left alone: write beside it, then rename over it.
//!
//! A reader, or a run that is cut off, sees the old content or the new and never a half. No lock is taken: of two
//! writers the last wins. A link at the path is replaced, not followed. A process that is killed may leave a hidden file
//! `.….part` behind, which nobody reads.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::{Error, Result};

/// Replaces the file at `path` by what `fill` writes (buffered), with the permissions of any new file.
///
/// The bytes have reached the disk before the rename, so a power cut cannot leave an empty file under the name; and the
/// rename has when this returns.
///
/// # Errors
///
/// [`Error::Io`] about `path` if its folder is missing or refuses the file, if `fill` fails, or if the disk does; what
/// was at `path` is then still there, and nothing is left beside it.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    replace(path, fill).map_err(|source| Error::io(path, source))
}

/// The folder that a path lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates the folder `dir` and those above it, as far as they are not there yet.
///
/// # Errors
///
/// [`Error::Io`] about `dir` if the system refuses, or if a file has the name.
pub fn create_folder(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|source| Error::io(dir, source))
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::io(path, source))
}

/// Puts a file under another name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    let renamed = step(Step::Rename).and_then(|()| fs::rename(from, to)).and_then(|()| sync_parent(to));
    renamed.map_err(|source| Error::io(from, source))
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match step(Step::Remove).and_then(|()| fs::remove_file(path)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io(path, source)),
        _ => Ok(()),
    }
}

/// Whether a file of this name is what a writer left that was killed.
pub(crate) fn is_leftover(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(LEFTOVER.0) && name.ends_with(LEFTOVER.1))
}
/// How the names of unfinished files begin and end.
const LEFTOVER: (&str, &str) = (".", ".part");

fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // Only a rename within one file system is atomic, hence a neighbour and not the system's folder for such files.
    let folder = folder_of(path);
    let file = step(Step::Create).and_then(|()| neighbour(folder)).map_err(|refused| {
        // The system's own words would name a file that nobody asked for.
        let what = format!("cannot create a file in the folder {}: {}", folder.display(), refused.kind());
        io::Error::new(refused.kind(), what)
    })?;
    let mut writer = BufWriter::new(Stepped(file));
    fill(&mut writer)?;
    let Stepped(file) = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    step(Step::Sync)?;
    file.as_file().sync_all()?;
    step(Step::Rename)?;
    file.persist(path)?;
    sync_parent(path)
}

/// An empty file in `folder` that vanishes when dropped.
fn neighbour(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(LEFTOVER.0).suffix(LEFTOVER.1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Files of this kind are born private; the user's mask narrows this wish as it does for any new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the names in the folder of `path` durable. Where folders cannot be opened, the system does so by itself.
fn sync_parent(path: &Path) -> io::Result<()> {
    step(Step::SyncFolder)?;
    #[cfg(unix)]
    fs::File::open(folder_of(path))?.sync_all()?;
    Ok(())
}

/// A file whose every write is a step.
struct Stepped(NamedTempFile);
impl Write for Stepped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        step(Step::Write)?;
        self.0.as_file_mut().write(bytes) // whose errors do not name the unfinished file
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.as_file_mut().flush()
    }
}

/// What is asked of the system, in this order; tests make each fail in turn, and end the process there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new file beside the old.
    Create,
    /// Some of its bytes.
    Write,
    /// Its bytes to the disk.
    Sync,
    /// The new name.
    Rename,
    /// The name to the disk.
    SyncFolder,
    /// Removal of what is no longer needed.
    Remove,
}

#[cfg(not(test))]
#[inline(always)]
fn step(_: Step) -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
pub(crate) use faults::step;

/// Faults for tests: the step of this thread at which something happens, and what.
#[cfg(test)]
pub(crate) mod faults {
    use super::Step;
    use std::cell::RefCell;
    use std::io;

    /// What happens at a step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// The system says that the disk is full, from there on.
        Full,
        /// The system fails once.
        Once,
        /// The process ends, with nothing cleaned up.
        End,
    }
    #[derive(Default)]
    struct Plan {
        fault: Option<(usize, Fault)>,
        taken: Vec<Step>,
    }
    thread_local! {
        static PLAN: RefCell<Plan> = RefCell::default();
    }
    /// From now on, this happens at a step, counted from 0.
    pub(crate) fn plan(fault: Option<(usize, Fault)>) {
        PLAN.set(Plan { fault, taken: vec![] });
    }
    /// The steps since the plan.
    pub(crate) fn taken() -> Vec<Step> {
        PLAN.with_borrow(|plan| plan.taken.clone())
    }
    pub(crate) fn step(step: Step) -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
            let now = plan.taken.len();
            plan.taken.push(step);
            match plan.fault {
                Some((at, Fault::Full)) if now >= at => Err(io::Error::new(io::ErrorKind::StorageFull, "disk full")),
                Some((at, Fault::Once)) if now == at => Err(io::Error::other("planted")),
                Some((at, Fault::End)) if now == at => std::process::abort(),
                _ => Ok(()),
            }
        })
    }
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
        faults::plan(None);
        for text in ["a first and longer text", "second"] {
            write_atomically(&path, |out| out.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(dir.path()), ["a.txt"]);
        use Step::{Create, Rename, Sync, SyncFolder, Write};
        assert_eq!(faults::taken()[..5], [Create, Write, Sync, Rename, SyncFolder]);
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
