//! Pictures of a run while it learns: what it dreams, how its weights are spread, which hidden units answer which cases.
//!
//! A few looks, close together at first, where most happens. It draws from streams of its own, so that a run with it has the bits of
//! one without. Nothing is drawn as a picture here; `report` does that.

use super::{Monitor, Progress};
use crate::io::{Checkpoint, read};
use crate::params::Role;
use crate::rng::derive;
use crate::samplers::BlockGibbs;
use crate::{Chains, Error, Gibbs, Learn, Mat, Result, Resume, Saved, States};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// How many values lie where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The smallest value.
    pub low: f32,
    /// The largest value.
    pub high: f32,
    /// Values in each of so many equal parts of the range; one part if all values are the same.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Parts of the range.
    pub const PARTS: usize = 48;

    /// Of finite values; without any, it is empty.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let values = values.filter(|x| x.is_finite());
        let Some(low) = values.clone().reduce(f32::min) else { return Self::default() };
        let high = values.clone().fold(low, f32::max);
        // In double precision, where the width of any range is finite.
        let width = high as f64 - low as f64;
        let mut counts = vec![0; if width > 0.0 { Self::PARTS } else { 1 }];
        for x in values {
            let place = (x as f64 - low as f64) / width * counts.len() as f64;
            let last = counts.len() - 1;
            counts[(place as usize).min(last)] += 1;
        }
        Self { low, high, counts }
    }
}

impl Resume for Histogram {
    fn save(&self, to: &mut Saved) {
        to.put("range", &[self.low, self.high]);
        to.put_words("counts", self.counts.clone());
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        let mut range = [0.0; 2];
        from.floats_to("range", &mut range)?;
        *self = Self { low: range[0], high: range[1], counts: from.words("counts")?.to_vec() };
        Ok(())
    }
}

/// One look at a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Updates done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Means of the visible units (visible units × chains) after [`Snapshots::SWEEPS`] sweeps of chains that start at zero.
    pub samples: Mat,
    /// All weights.
    pub weights: Histogram,
    /// All biases.
    pub biases: Histogram,
    /// What the last update added to the weights.
    pub updates: Histogram,
}

impl Resume for Look {
    fn save(&self, to: &mut Saved) {
        to.put_words("step", vec![self.step]);
        to.put_doubles("epoch", &[self.epoch]);
        save_mat(&self.samples, to.child_mut("samples"));
        self.weights.save(to.child_mut("weights"));
        self.biases.save(to.child_mut("biases"));
        self.updates.save(to.child_mut("updates"));
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        [self.step] = from.word_array("step")?;
        self.epoch = f64::from_bits(from.word_array::<1>("epoch")?[0]);
        self.samples = load_mat(from.child("samples")?)?;
        self.weights.load(from.child("weights")?)?;
        self.biases.load(from.child("biases")?)?;
        self.updates.load(from.child("updates")?)
    }
}

fn save_mat(m: &Mat, to: &mut Saved) {
    to.put("values", m.as_slice());
    to.put_words("shape", vec![m.nrows() as u64, m.ncols() as u64]);
}
fn load_mat(from: &Saved) -> Result<Mat> {
    let ([rows, columns], values) = (from.word_array("shape")?.map(|n| n as usize), from.floats("values")?);
    match rows.checked_mul(columns) == Some(values.len()) {
        true => Ok(Mat::from_column_slice(rows, columns, values)),
        false => Err(Error::Missing { name: "shape".into() }),
    }
}

/// Looks at a run now and then, and keeps what it saw, in a file if it has a path.
///
/// ```
/// use harmonium::{data::bars_and_stripes, models::Rbm, objectives::Contrastive, optim::Sgd, units::Bernoulli};
/// use harmonium::train::{Fit, Run, Snapshots};
/// let data = bars_and_stripes(3)?.patterns;
/// let mut rbm = Rbm::new((9, Bernoulli), (4, Bernoulli));
/// rbm.initialise(&[0.5; 9], 0.0, 1)?;
/// let fit = Fit { epochs: 20, batch: 7, ..Fit::default() };
/// let mut snapshots = Snapshots::new(fit.steps(14), data.clone(), 1);
/// fit.run(&mut Run::new(&mut rbm, &mut Contrastive::cd(1, 1), &mut Sgd::default(), &mut snapshots), &data)?;
/// assert_eq!(snapshots.looks.last().unwrap().samples.nrows(), 9);
/// assert_eq!(snapshots.activity.shape(), (4, 14)); // hidden units × cases
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshots {
    /// Updates after which it looks; it does after the last, too.
    pub at: Vec<u64>,
    /// What it saw.
    pub looks: Vec<Look>,
    /// Means of the latent units (at most [`Snapshots::MOST`] of them × cases) at the last look.
    pub activity: Mat,
    /// A file that holds what it saw at any time.
    pub path: Option<PathBuf>,
    cases: Mat,
    seed: u64,
}

impl Snapshots {
    /// Sweeps before a sample is looked at.
    pub const SWEEPS: usize = 200;
    /// Chains, and so samples of a look.
    pub const CHAINS: usize = 10;
    /// Looks at a run.
    pub const LOOKS: u32 = 10;
    /// Latent units whose activity is kept.
    pub const MOST: usize = 1000;

    /// About ten looks at a run of so many updates, in geometric progression; `cases` (visible units × cases, some dozens) are
    /// those whose hidden activity is seen.
    pub fn new(steps: u64, cases: Mat, seed: u64) -> Self {
        let place = |k: u32| (steps.max(1) as f64).powf(f64::from(k) / f64::from(Self::LOOKS - 1)).round() as u64;
        let mut at: Vec<u64> = (0..Self::LOOKS).map(place).collect();
        at.dedup();
        Self { at, cases, seed: derive(seed, "snapshots"), ..Self::default() }
    }
    /// What a file holds that [`Snapshots::path`] named.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is damaged or of another kind or version.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read(path)?, path)
    }
    /// [`Snapshots::read`] from the `bytes` of a file; errors speak of `path`.
    ///
    /// # Errors
    /// [`Error::Format`] as [`Snapshots::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut snapshots = Self::default();
        match snapshots.load_looks(&Checkpoint::parse(bytes, path)?.state) {
            Ok(()) => Ok(snapshots),
            Err(error) => Err(Error::format(path, format!("these are no snapshots of a run: {error}"))),
        }
    }
    pub(crate) fn save_looks(&self, to: &mut Saved) {
        to.put_words("looks", vec![self.looks.len() as u64]);
        self.looks.iter().enumerate().for_each(|(k, look)| look.save(to.child_mut(&k.to_string())));
        save_mat(&self.activity, to.child_mut("activity"));
    }
    fn load_looks(&mut self, from: &Saved) -> Result<()> {
        let [n] = from.word_array("looks")?;
        self.looks.clear();
        for k in 0..n {
            let mut look = Look::default();
            look.load(from.child(&k.to_string())?)?;
            self.looks.push(look);
        }
        self.activity = load_mat(from.child("activity")?)?;
        Ok(())
    }
    fn look<M: Gibbs + Learn + ?Sized>(&mut self, progress: &Progress<'_, M>) -> Result<()> {
        let model = progress.model;
        let (after, before) = (model.params(), progress.before.as_slice());
        let of = |keep: fn(Role) -> bool| {
            let slots = after.slots().iter().filter(move |s| keep(s.role));
            slots.flat_map(|s| s.range())
        };
        let values = |keep| Histogram::of(of(keep).map(|k| after.as_slice()[k]));
        self.looks.push(Look {
            step: progress.done,
            epoch: progress.epochs(),
            samples: dreams(model, self.seed),
            weights: values(|role| role.is_weights()),
            biases: values(|role| role == Role::Bias),
            updates: Histogram::of(of(|role| role.is_weights()).map(|k| after.as_slice()[k] - before[k])),
        });
        self.activity = activity(model, &self.cases)?;
        let Some(path) = &self.path else { return Ok(()) };
        let mut state = Saved::default();
        self.save_looks(&mut state);
        Checkpoint { state, ..Checkpoint::default() }.write(path)
    }
}

/// Means of the visible units after some sweeps from zero.
fn dreams<M: Gibbs + Learn + ?Sized>(model: &M, seed: u64) -> Mat {
    let mut chains = Chains::zeros(model, Snapshots::CHAINS, seed);
    chains.advance(&BlockGibbs::new(Snapshots::SWEEPS), model);
    let mut means = Mat::zeros(model.n_visible(), Snapshots::CHAINS);
    for (b, block) in model.blocks().iter().enumerate().filter(|(_, b)| b.rows.end <= model.n_visible()) {
        means.rows_range_mut(block.rows.clone()).copy_from(&chains.states.mean(model, b));
    }
    finite(means)
}

/// A chain of real units may run away; what it says then is nothing, and no reason to fail.
fn finite(mut means: Mat) -> Mat {
    means.apply(|x| {
        if !x.is_finite() {
            *x = 0.0;
        }
    });
    means
}

/// Means of the first latent units, given the cases.
fn activity<M: Gibbs + Learn + ?Sized>(model: &M, cases: &Mat) -> Result<Mat> {
    let (d, height) = (model.n_visible(), model.n_rows());
    if cases.nrows() != d {
        return Err(Error::shape("rows of the cases of snapshots", format!("{d} visible units"), cases.nrows()));
    }
    let mut states = States::default();
    states.clamp(height, cases.as_view());
    model.infer(&mut states);
    let mut means = Mat::zeros(height - d, cases.ncols());
    for (b, block) in model.blocks().iter().enumerate().filter(|(_, b)| b.rows.start >= d) {
        means.rows_range_mut(block.rows.start - d..block.rows.end - d).copy_from(&states.mean(model, b));
    }
    let shown = means.nrows().min(Snapshots::MOST);
    Ok(finite(means.rows(0, shown).clone_owned()))
}

impl<M: Gibbs + Learn + ?Sized> Monitor<M> for Snapshots {
    fn observe(&mut self, progress: &Progress<'_, M>) -> Result<ControlFlow<()>> {
        if self.at.contains(&progress.done) || progress.done == progress.steps {
            self.look(progress)?;
        }
        Ok(ControlFlow::Continue(()))
    }
    fn save(&self, to: &mut Saved) {
        self.save_looks(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.load_looks(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::bars_and_stripes;
    use crate::models::Rbm;
    use crate::objectives::Contrastive;
    use crate::optim::Sgd;
    use crate::train::{Fit, Run, Silent};
    use crate::units::{Bernoulli, Gaussian};

    #[test]
    fn values_fall_into_their_part_of_the_range() {
        let h = Histogram::of([0.0, 1.0, 0.999, 0.51, 0.49, f32::NAN, f32::INFINITY].into_iter());
        assert_eq!((h.low, h.high, h.counts.len(), h.counts.iter().sum()), (0.0, 1.0, Histogram::PARTS, 5u64));
        assert_eq!((h.counts[0], h.counts[23], h.counts[24], h.counts[47]), (1, 1, 1, 2));
        assert_eq!(Histogram::of([2.5; 7].into_iter()), Histogram { low: 2.5, high: 2.5, counts: vec![7] });
        assert_eq!(Histogram::of([f32::NAN].into_iter()), Histogram::default());
        let extreme = Histogram::of([-f32::MAX, f32::MAX, 0.0].into_iter());
        assert_eq!((extreme.counts[0], extreme.counts[24], extreme.counts[47]), (1, 1, 1));
    }
    fn run(snapshots: Option<&mut Snapshots>) -> Vec<f32> {
        let data = bars_and_stripes(3).unwrap().patterns;
        let mut rbm = Rbm::new((9, Bernoulli), (4, Bernoulli));
        rbm.initialise(&[0.5; 9], 0.0, 1).unwrap();
        let fit = Fit { epochs: 30, batch: 7, ..Fit::default() };
        let (mut cd, mut sgd, mut silent) = (Contrastive::cd(1, 1), Sgd::default(), Silent);
        let monitor: &mut dyn Monitor<Rbm> = match snapshots {
            Some(snapshots) => snapshots,
            None => &mut silent,
        };
        fit.run(&mut Run::new(&mut rbm, &mut cd, &mut sgd, monitor), &data).unwrap();
        crate::Learn::params(&rbm).as_slice().to_vec()
    }
    #[test]
    fn looking_changes_nothing_and_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshots.safetensors");
        let mut seen = Snapshots::new(60, bars_and_stripes(3).unwrap().patterns, 1);
        seen.path = Some(path.clone());
        assert_eq!(run(Some(&mut seen)), run(None));
        let steps: Vec<u64> = seen.looks.iter().map(|l| l.step).collect();
        assert_eq!((steps[0], steps[steps.len() - 1], &steps), (1, 60, &seen.at));
        assert_eq!(seen.looks[3].weights.counts.iter().sum::<u64>(), 36);
        assert_eq!(seen.looks[3].biases.counts.iter().sum::<u64>(), 13);
        let read = Snapshots::read(&path).unwrap();
        assert_eq!((read.looks, read.activity), (seen.looks, seen.activity));
        Checkpoint::default().write(&path).unwrap();
        let told = Snapshots::read(&path).unwrap_err().to_string();
        assert!(told.contains("no snapshots of a run"), "{told}");
    }
    #[test]
    fn a_machine_whose_chains_run_away_is_looked_at_all_the_same() {
        let mut rbm = Rbm::new((3, Gaussian), (2, Gaussian));
        crate::Train::update(&mut rbm, &mut |p| p.as_mut_slice().fill(3.0)); // no energy has a minimum there
        assert!(dreams(&rbm, 1).iter().all(|x| x.is_finite()));
    }
    #[test]
    fn cases_that_do_not_fit_are_refused() {
        let rbm = Rbm::new((9, Bernoulli), (4, Bernoulli));
        assert!(matches!(activity(&rbm, &Mat::zeros(8, 2)), Err(Error::Shape { .. })));
        assert_eq!(activity(&rbm, &Mat::zeros(9, 2)).unwrap(), Mat::from_element(4, 2, 0.5));
    }
}
