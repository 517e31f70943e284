//! Checkpoints of a run in a folder: which there are, when the next is due, and which one a run goes on from.
//!
//! A checkpoint is a file of its own, named after the update; it gets its name when all of it is on the disk, and only then
//! are those removed that came before the last one. So there is a whole one at every moment, and if the newest is damaged
//! later, there is one before it. What a checkpoint holds is [`Run`](super::Run)'s matter, how it is written [`crate::io`]'s.

use crate::io::{Checkpoint, Unusable, create_folder, is_leftover, read, remove, rename};
use crate::{Error, Result, Saved};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where in the folder of a run its checkpoints lie.
const FOLDER: &str = "checkpoints";
/// Where those of an earlier run go, with a number behind it.
const EARLIER: &str = "earlier-";
const LOCK: &str = "lock";

/// The checkpoints of a run folder. While this exists, no other process can use them.
///
/// ```
/// use harmonium::{data::bars_and_stripes, models::Rbm, objectives::Contrastive, optim::Sgd, units::Bernoulli};
/// use harmonium::train::{Checkpoints, Ended, Fit, Pause, Resumed, Run, Silent};
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let data = bars_and_stripes(3)?.patterns;
/// let fit = Fit { epochs: 20, batch: 7, ..Fit::default() };
/// let settings = || [("k".to_string(), "1".to_string())].into();
/// for (stop, found, ended) in [(Some(9), Resumed::Afresh, Ended::Paused), (None, Resumed::At(9), Ended::Done)] {
///     let mut rbm = Rbm::new((9, Bernoulli), (8, Bernoulli)); // as if each were a process of its own
///     let (mut objective, mut optimizer, mut monitor) = (Contrastive::cd(1, 1), Sgd::default(), Silent);
///     let mut run = Run::new(&mut rbm, &mut objective, &mut optimizer, &mut monitor);
///     run.checkpoints = Some(Checkpoints::open(folder, settings())?);
///     run.pause = Pause { at: stop, ..Pause::default() };
///     assert_eq!(fit.resume(&mut run, &data)?, found);
///     assert_eq!(fit.run(&mut run, &data)?, ended);
/// }
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Debug)]
pub struct Checkpoints {
    /// Updates between two checkpoints; `None` if they are not counted.
    pub every: Option<u64>,
    /// Time between two checkpoints, whichever comes first; a minute unless it is set.
    pub interval: Option<Duration>,
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    identity: BTreeMap<String, String>,
    last: Option<(u64, PathBuf)>,
    written: Instant,
    begun: bool,
    lock: File,
}

/// Where a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// There is no checkpoint: it begins.
    Afresh,
    /// So many updates are done.
    At(u64),
    /// So many updates are done; newer checkpoints are damaged and were passed over.
    Earlier(u64),
}

impl Checkpoints {
    /// The checkpoints of the run in `folder`, made with these settings: everything that the numbers of the run depend on
    /// and [`Fit`](super::Fit), the model and the data do not say already (how many sweeps, which optimiser …).
    ///
    /// What a killed process left half-written in the folder is removed.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be used; [`Error::Busy`] if another process has it.
    pub fn open(folder: &Path, settings: BTreeMap<String, String>) -> Result<Self> {
        let own = folder.join(FOLDER);
        create_folder(&own)?;
        let path = own.join(LOCK);
        let lock = File::create(&path).map_err(|e| Error::io(&path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: folder.to_owned() }),
            Err(TryLockError::Error(e)) => return Err(Error::io(&path, e)),
        }
        for folder in [folder, &own] {
            let leftovers = names(folder)?.into_iter().filter(|path| path.file_name().is_some_and(is_leftover));
            leftovers.into_iter().try_for_each(|path| remove(&path))?;
        }
        let interval = Some(Duration::from_secs(60));
        let written = Instant::now();
        let (every, identity, last, begun) = (None, BTreeMap::new(), None, false);
        Ok(Self { every, interval, folder: own, settings, identity, last, written, begun, lock })
    }
    /// The last good checkpoint of this process: written, or gone on from.
    pub fn last(&self) -> Option<&Path> {
        self.last.as_ref().map(|(_, path)| path.as_path())
    }
    /// The folder they lie in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    /// The newest good checkpoint of the run that has, beside its settings, this identity: its state, and where it was.
    ///
    /// Newer ones that are damaged get another name, so that they are never taken for the one to fall back on.
    pub(super) fn load(&mut self, identity: BTreeMap<String, String>) -> Result<Option<(Saved, Resumed)>> {
        (self.begun, self.written, self.identity) = (true, Instant::now(), identity);
        let (mut found, mut damaged) = (steps(&self.folder)?, vec![]);
        while let Some((step, path)) = found.pop() {
            let bytes = read(&path).map_err(Unusable::Damaged);
            match bytes.and_then(|bytes| Checkpoint::examine(&bytes, &path)) {
                Ok(checkpoint) if checkpoint.state.word_array("step").ok() != Some([step]) => {
                    damaged.push((path.clone(), Error::format(&path, "its name is not that of its update")));
                }
                Ok(checkpoint) => {
                    self.check(&checkpoint.settings, &path)?;
                    let resumed = if damaged.is_empty() { Resumed::At(step) } else { Resumed::Earlier(step) };
                    damaged
                        .iter()
                        .try_for_each(|(path, _): &(PathBuf, Error)| rename(path, &path.with_extension(DAMAGED)))?;
                    self.last = Some((step, path));
                    return Ok(Some((checkpoint.state, resumed)));
                }
                Err(Unusable::Refused(error)) => return Err(error),
                Err(Unusable::Damaged(error)) => damaged.push((path, error)),
            }
        }
        match damaged.into_iter().next() {
            Some((_, Error::Format { path, what })) => Err(Error::Format {
                path,
                what: what + "; no other checkpoint is whole: the run can only begin afresh",
            }),
            Some((_, error)) => Err(error),
            None => Ok(None),
        }
    }
    /// Whether a checkpoint was made with these settings; the caller's own are looked at first, whose names are known best.
    fn check(&self, theirs: &BTreeMap<String, String>, path: &Path) -> Result<()> {
        let ours = |name: &str| self.settings.get(name).or(self.identity.get(name));
        let names =
            self.settings.keys().chain(theirs.keys().filter(|name| ours(name).is_none())).chain(self.identity.keys());
        let Some(name) = names.into_iter().find(|name| ours(name) != theirs.get(*name)) else { return Ok(()) };
        let told = |value: Option<&String>| value.map_or("absent".into(), |value| format!("`{value}`"));
        let what = format!("to go on from {}, the setting `{name}`", path.display());
        Err(Error::value(what, told(theirs.get(name)), told(ours(name))))
    }
    /// A run with this identity begins, unless it has: puts away what others left, in a folder of its own beside the new ones.
    pub(super) fn begin(&mut self, identity: impl FnOnce() -> BTreeMap<String, String>) -> Result<()> {
        if self.begun {
            return Ok(());
        }
        (self.begun, self.written, self.identity) = (true, Instant::now(), identity());
        // Whole ones, and those that were found damaged.
        let ours = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("step-"));
        let mut found: Vec<PathBuf> = names(&self.folder)?.into_iter().filter(ours).collect();
        if found.is_empty() {
            return Ok(());
        }
        let free = (1..).map(|n| self.folder.join(format!("{EARLIER}{n}"))).find(|folder| !folder.exists());
        let earlier = free.unwrap_or_else(|| self.folder.join(EARLIER));
        create_folder(&earlier)?;
        // The newest first: whatever interrupts this, those that stay are older ones of the same run.
        found.sort();
        let away = |path: &PathBuf| rename(path, &earlier.join(path.file_name().unwrap_or_default()));
        found.iter().rev().try_for_each(away)
    }
    /// Whether one is due after `done` updates.
    pub(super) fn is_due(&self, done: u64) -> bool {
        self.every.is_some_and(|every| done.is_multiple_of(every.max(1)))
            || self.interval.is_some_and(|interval| self.written.elapsed() >= interval)
    }
    /// Writes the state after `step` updates, unless that is done; then removes those before the one before.
    pub(super) fn write(&mut self, step: u64, state: impl FnOnce() -> Saved) -> Result<()> {
        if self.last.as_ref().is_some_and(|(last, _)| *last == step) {
            return Ok(());
        }
        let path = self.folder.join(format!("step-{step:010}{SUFFIX}"));
        let settings = self.identity.clone().into_iter().chain(self.settings.clone()).collect();
        Checkpoint { settings, state: state() }.write(&path)?;
        let before: Vec<_> = steps(&self.folder)?.into_iter().filter(|(s, _)| *s < step).collect();
        (self.last, self.written) = (Some((step, path)), Instant::now());
        before.iter().rev().skip(1).try_for_each(|(_, path)| remove(path))
    }
}
impl Drop for Checkpoints {
    /// Said aloud: a process that is being started elsewhere in this one holds a copy of the handle for a moment.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}
const SUFFIX: &str = ".safetensors";
const DAMAGED: &str = "damaged";

/// The checkpoints in a folder, oldest first.
fn steps(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let step_of =
        |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(SUFFIX)?.parse().ok();
    let mut found: Vec<_> = names(folder)?.into_iter().filter_map(|p| Some((step_of(&p)?, p))).collect();
    found.sort();
    Ok(found)
}

/// The paths of what is in a folder.
fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    entries.map_err(|e| Error::io(folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bars_and_stripes;
    use crate::io::faults::{Fault, plan, taken};
    use crate::models::Rbm;
    use crate::objectives::Contrastive;
    use crate::optim::Adam;
    use crate::train::{Ended, Fit, Named, Pause, Run};
    use crate::train::{History, Progress};
    use crate::units::Bernoulli;
    use crate::{Chains, Learn};
    use std::process::Command;

    const STEPS: u64 = 12;

    /// A whole process of training: goes on from what is in the folder, as far as `stop`; its parameters.
    fn process(folder: &Path, k: &str, stop: u64) -> Result<(Resumed, Vec<f32>)> {
        let data = bars_and_stripes(3)?.patterns;
        let mut rbm = Rbm::new((9, Bernoulli), (5, Bernoulli));
        rbm.initialise(&[0.4; 9], 0.0, 1)?;
        let mut pcd = Contrastive::pcd(2, Chains::zeros(&rbm, 10, 1));
        let (mut adam, metric) = (Adam::default(), |p: &Progress<'_, Rbm>| Ok(p.model.weights()[(0, 0)] as f64));
        let mut history = History::new(1, vec![Box::new(Named { name: "first".into(), measure: metric })]);
        history.path = Some(folder.join("metrics.jsonl"));
        let mut run = Run::new(&mut rbm, &mut pcd, &mut adam, &mut history);
        let mut checkpoints = Checkpoints::open(folder, [("k".into(), k.into())].into())?;
        checkpoints.every = Some(2);
        run.checkpoints = Some(checkpoints);
        run.pause = Pause { at: Some(stop), ..Pause::default() };
        let fit = Fit { epochs: 3, batch: 4, ..Fit::default() };
        let resumed = fit.resume(&mut run, &data)?;
        let ended = fit.run(&mut run, &data)?;
        assert_eq!((ended, run.step), if stop < STEPS { (Ended::Paused, stop) } else { (Ended::Done, STEPS) });
        Ok((resumed, rbm.params().as_slice().to_vec()))
    }
    fn whole() -> Vec<f32> {
        process(tempfile::tempdir().unwrap().path(), "2", STEPS).unwrap().1
    }
    fn kept(folder: &Path) -> Vec<u64> {
        super::steps(&folder.join(FOLDER)).unwrap().into_iter().map(|(step, _)| step).collect()
    }

    #[test]
    fn a_run_goes_on_from_wherever_it_stopped() {
        for stop in 0..=STEPS {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(process(dir.path(), "2", stop).unwrap().0, Resumed::Afresh);
            let (resumed, params) = process(dir.path(), "2", STEPS).unwrap();
            assert_eq!((resumed, params), (Resumed::At(stop), whole()), "stopped at {stop}");
            let before = if stop == 11 { 11 } else { 10 };
            assert_eq!(kept(dir.path()), [before, 12], "the last two are kept");
            let records = fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
            assert_eq!(records.lines().count() as u64, STEPS);
        }
    }

    /// Every step of writing fails in turn: the run ends with an error, and what is there is enough to go on.
    #[test]
    fn no_failure_of_the_disk_loses_the_run() {
        let dir = tempfile::tempdir().unwrap();
        plan(None);
        process(dir.path(), "2", STEPS).unwrap();
        let all = taken().len();
        assert!(all > 50, "{all} steps");
        for fault in [Fault::Full, Fault::Once] {
            for at in 0..all {
                let dir = tempfile::tempdir().unwrap();
                plan(Some((at, fault)));
                let failed = process(dir.path(), "2", STEPS);
                plan(None);
                assert!(matches!(failed, Err(Error::Io { .. })), "{fault:?} at {at}: {failed:?}");
                let (resumed, params) = process(dir.path(), "2", STEPS).unwrap();
                assert!(!matches!(resumed, Resumed::Earlier(_)), "{fault:?} at {at}: nothing is damaged");
                assert_eq!(params, whole(), "{fault:?} at {at}");
            }
        }
    }

    /// The process ends at every step of writing. This test starts itself again as that process.
    #[test]
    fn no_end_of_the_process_loses_the_run() {
        const FOLDER_AND_STEP: &str = "HARMONIUM_TEST_END";
        if let Ok(told) = std::env::var(FOLDER_AND_STEP) {
            let (at, folder) = told.split_once(' ').unwrap();
            plan(Some((at.parse().unwrap(), Fault::End)));
            process(Path::new(folder), "2", STEPS).unwrap();
            return;
        }
        let end = |folder: &Path, at: usize| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "train::checkpoints::tests::no_end_of_the_process_loses_the_run"]);
            child.env(FOLDER_AND_STEP, format!("{at} {}", folder.display())).output().unwrap().status
        };
        let dir = tempfile::tempdir().unwrap();
        plan(None);
        process(dir.path(), "2", STEPS).unwrap();
        let all = taken().len();
        for at in 0..all {
            let dir = tempfile::tempdir().unwrap();
            assert!(!end(dir.path(), at).success(), "the process ends at step {at}");
            let (resumed, params) = process(dir.path(), "2", STEPS).unwrap();
            assert!(!matches!(resumed, Resumed::Earlier(_)), "ended at {at}: nothing is damaged");
            assert_eq!(params, whole(), "ended at {at}");
            let left = names(dir.path()).unwrap();
            assert!(!left.iter().any(|p| is_leftover(p.file_name().unwrap())), "{left:?}");
        }
        assert!(end(tempfile::tempdir().unwrap().path(), all).success(), "and without a fault it does not");
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), "2", 9).unwrap();
        assert_eq!(kept(dir.path()), [8, 9]);
        let newest = dir.path().join(FOLDER).join("step-0000000009.safetensors");
        let bytes = fs::read(&newest).unwrap();
        for damaged in
            [&bytes[..0], &bytes[..bytes.len() / 2], &[&bytes[..bytes.len() - 1], &[!bytes[bytes.len() - 1]]].concat()]
        {
            let copy = tempfile::tempdir().unwrap();
            fs::create_dir(copy.path().join(FOLDER)).unwrap();
            for path in names(&dir.path().join(FOLDER)).unwrap() {
                fs::copy(&path, copy.path().join(FOLDER).join(path.file_name().unwrap())).unwrap();
            }
            fs::write(copy.path().join(FOLDER).join("step-0000000009.safetensors"), damaged).unwrap();
            assert_eq!(process(copy.path(), "2", STEPS).unwrap(), (Resumed::Earlier(8), whole()));
            assert!(
                copy.path().join(FOLDER).join("step-0000000009.damaged").exists(),
                "it is kept, under another name"
            );
        }
        let copied = dir.path().join(FOLDER).join("step-0000000777.safetensors");
        fs::copy(&newest, &copied).unwrap();
        assert_eq!(
            process(dir.path(), "2", 9).unwrap().0,
            Resumed::Earlier(9),
            "one with another's name is passed over"
        );
        for step in [8, 9] {
            fs::write(dir.path().join(FOLDER).join(format!("step-{step:010}{SUFFIX}")), "no").unwrap();
        }
        let told = process(dir.path(), "2", STEPS).unwrap_err().to_string();
        assert!(told.contains("step-0000000009") && told.contains("begin afresh"), "{told}");
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), "2", 5).unwrap();
        let told = process(dir.path(), "3", STEPS).unwrap_err().to_string();
        assert!(told.contains("the setting `k` must be `2`, got `3`"), "{told}");
        let data = bars_and_stripes(3).unwrap().patterns;
        let refusal = |fit: Fit, hidden: usize, data: &crate::Mat| {
            let mut rbm = Rbm::new((9, Bernoulli), (hidden, Bernoulli));
            let (mut cd, mut adam, mut silent) = (Contrastive::cd(2, 1), Adam::default(), crate::train::Silent);
            let mut run = Run::new(&mut rbm, &mut cd, &mut adam, &mut silent);
            run.checkpoints = Some(Checkpoints::open(dir.path(), [("k".into(), "2".into())].into()).unwrap());
            fit.resume(&mut run, data).unwrap_err().to_string()
        };
        let same = || Fit { epochs: 3, batch: 4, ..Fit::default() };
        for (told, name) in [
            (refusal(Fit { epochs: 4, ..same() }, 5, &data), "`Fit::epochs` must be `3`, got `4`"),
            (refusal(Fit { seed: 7, ..same() }, 5, &data), "`Fit::seed`"),
            (refusal(Fit { max_norm: Some(1.0), ..same() }, 5, &data), "`Fit::max_norm`"),
            (refusal(Fit { zero_sum: true, ..same() }, 5, &data), "`Fit::zero_sum` must be absent, got `true`"),
            (refusal(same(), 6, &data), "blocks of the model"),
            (refusal(same(), 5, &data.columns(0, 13).clone_owned()), "`data`"),
            (refusal(same(), 5, &data.map(|x| 1.0 - 0.5 * x)), "`data`"),
            (refusal(same(), 5, &data), "no usable entry"), // another objective
        ] {
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn a_new_run_puts_the_old_one_away_and_another_process_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), "2", 5).unwrap();
        let mut new = Checkpoints::open(dir.path(), BTreeMap::new()).unwrap();
        assert!(matches!(Checkpoints::open(dir.path(), BTreeMap::new()), Err(Error::Busy { .. })));
        new.begin(BTreeMap::new).unwrap();
        assert!(kept(dir.path()).is_empty());
        assert_eq!(names(&new.folder().join("earlier-1")).unwrap().len(), 2);
        drop(new);
        assert_eq!(process(dir.path(), "2", 5).unwrap().0, Resumed::Afresh);
        Checkpoints::open(dir.path(), BTreeMap::new()).unwrap().begin(BTreeMap::new).unwrap();
        assert_eq!(names(&dir.path().join(FOLDER).join("earlier-2")).unwrap().len(), 2, "none replaces another");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Checkpoints::open(&file, BTreeMap::new()), Err(Error::Io { .. })));
    }
}
