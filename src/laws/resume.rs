//! The law of resuming.

use super::threads::pool;
use super::verdict::{Step, Tally, Verdict};
use crate::data::Samples;
use crate::train::{Checkpoints, Fit, Learner, Pause, Resumed, Run};
use crate::{Error, Result, Resume, Saved};

/// What depends on the clock, by the name of its entry ([`crate::train::History`]).
const CLOCK: &str = "seconds";

/// A run that is cut after `cut` updates, kept in a file, loaded into objects made anew and continued, has the bits of one that
/// was never cut: parameters, objective, optimiser and monitors; whether one thread works at it, or two, or five.
///
/// ```text
/// train 2n = train n, checkpoint, load, train n
/// ```
///
/// `begin` makes a run afresh, as a process would that starts, and hands it over; it must make the same run every time. Only
/// entries called `seconds` may differ. The files go to a temporary folder.
///
/// # Errors
/// The first entry that differs; [`super::Broken::Unchecked`] if a run fails, no checkpoint can be written or read, or the run
/// has ended before `cut`.
///
/// ```
/// use harmonium::{data::bars_and_stripes, laws, models::Rbm, objectives::Contrastive, units::Bernoulli};
/// use harmonium::{optim::Adam, train::{Fit, Run, Silent}};
/// let data = bars_and_stripes(3)?.patterns;
/// let fit = Fit { epochs: 4, batch: 5, ..Fit::default() };
/// laws::resume(&fit, &data, 6, |hand_over| {
///     let mut rbm = Rbm::new((9, Bernoulli), (4, Bernoulli));
///     rbm.initialise(&[0.5; 9], 0.0, 1)?;
///     let (mut cd, mut adam, mut silent) = (Contrastive::cd(1, 1), Adam::default(), Silent);
///     hand_over(&mut Run::new(&mut rbm, &mut cd, &mut adam, &mut silent))
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn resume<M, B>(fit: &Fit, data: &dyn Samples, cut: u64, begin: B) -> Verdict
where
    M: Learner + ?Sized,
    B: Fn(HandOver<'_, M>) -> Result<()> + Sync,
{
    let mut tally = Tally::new("resuming");
    let begin: Begin<'_, M> = &begin;
    let whole = tally.possible(leg(fit, data, begin, None, None))?.1;
    let updates = whole.word_array::<1>("step").map_or(0, |[step]| step);
    if !(1..=updates).contains(&cut) {
        let range = format!("from 1 to {updates}, the updates of the run that was handed over");
        tally.possible(Err::<(), _>(Error::value("the update to cut at", range, cut)))?;
    }
    for threads in [1, 2, 5] {
        let dir = tally.possible(tempfile::tempdir().map_err(|e| Error::io(&std::env::temp_dir(), e)))?;
        let folder = Some(dir.path());
        let pool = tally.possible(pool(threads))?;
        let leg = |stop| pool.install(|| leg(fit, data, begin, folder, stop));
        let (first, _) = tally.possible(leg(Some(cut)))?;
        let (second, both) = tally.possible(leg(None))?;
        tally.holds((first, second) == (Resumed::Afresh, Resumed::At(cut)), || {
            format!("a run that was cut at {cut} goes on as {second:?}")
        })?;
        same(&both, &whole, "", &mut tally, &format!("after a cut at {cut} ({threads} threads)"))?;
    }
    tally.kept()
}

/// What is done with a run once it is made.
pub type HandOver<'a, M> = &'a mut dyn FnMut(&mut Run<'_, M>) -> Result<()>;
type Begin<'a, M> = &'a (dyn Fn(HandOver<'_, M>) -> Result<()> + Sync);

/// As one process: from what the folder holds to `stop`, or the end; where it went on, and the state it leaves.
fn leg<M: Learner + ?Sized>(
    fit: &Fit,
    data: &dyn Samples,
    begin: Begin<'_, M>,
    folder: Option<&std::path::Path>,
    stop: Option<u64>,
) -> Result<(Resumed, Saved)> {
    let (mut state, mut resumed) = (Saved::default(), Resumed::Afresh);
    begin(&mut |run| {
        run.checkpoints = folder.map(|folder| Checkpoints::open(folder, Default::default())).transpose()?;
        run.pause = Pause { at: stop, ..Pause::default() };
        resumed = fit.resume(run, data)?;
        fit.run(run, data)?;
        run.save(&mut state);
        Ok(())
    })?;
    Ok((resumed, state))
}

/// Two states have the same entries with the same bits.
fn same(got: &Saved, expected: &Saved, path: &str, tally: &mut Tally, when: &str) -> Step {
    let names = |s: &Saved| {
        let [floats, words] = [s.all_floats().keys().cloned().collect(), s.all_words().keys().cloned().collect()];
        [floats, words, s.children().keys().cloned().collect::<Vec<String>>()]
    };
    for (got, expected) in names(got).into_iter().zip(names(expected)) {
        tally.holds(got == expected, || format!("{when}, `{path}` has the entries {got:?} instead of {expected:?}"))?;
    }
    for (name, expected) in expected.all_floats() {
        let bits = |values: &[f32]| values.iter().map(|v| u64::from(v.to_bits())).collect::<Vec<_>>();
        equal(&bits(&got.all_floats()[name]), &bits(expected), &format!("{path}{name}"), tally, when)?;
    }
    for (name, expected) in expected.all_words().iter().filter(|(name, _)| *name != CLOCK) {
        equal(&got.all_words()[name], expected, &format!("{path}{name}"), tally, when)?;
    }
    for (name, expected) in expected.children() {
        same(&got.children()[name], expected, &format!("{path}{name}/"), tally, when)?;
    }
    Ok(())
}
fn equal(got: &[u64], expected: &[u64], entry: &str, tally: &mut Tally, when: &str) -> Step {
    tally.holds(got.len() == expected.len(), || {
        format!("{when}, `{entry}` has {} values instead of {}", got.len(), expected.len())
    })?;
    let differ = got.iter().zip(expected).filter(|(a, b)| a != b).count();
    tally.holds(differ == 0, || format!("{when}, {differ} of {} values of `{entry}` have other bits", got.len()))
}
