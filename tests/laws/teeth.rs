//! Planted bugs, of the kinds that others have shipped: each must be caught by a law of the kit, and the same subject
//! without its bug must pass. `--nocapture` shows what a user would read.

use crate::cases;
use harmonium::laws::{self, Verdict};
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, Objective, Persistent, Report};
use harmonium::rng::{GROUP, Streams};
use harmonium::samplers::{BlockGibbs, Kernel, Moves};
use harmonium::units::{Bernoulli, Gaussian, LogPrecision, Spin};
use harmonium::{
    Annealed, Batch, Block, ChainRng, Chains, Collapsed, Energy, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params,
    Phase, Response, Result, Resume, Saved, Score, Slab, States, Train, Unit, Version,
};
use rand::RngExt;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const SEED: u64 = 5;

/// The law broke, it is the right one, and the message tells.
#[track_caller]
fn caught(verdict: Verdict, law: &str, bug: &str) {
    match verdict {
        Ok(kept) => panic!("{bug} went unseen: {kept:?}"),
        Err(broken) => {
            let text = broken.to_string();
            eprintln!("{bug}: {text}");
            assert!(broken.law() == law && text.contains(&format!("the law of {law} is broken")), "{bug}: {text}");
        }
    }
}
#[track_caller]
fn passes(verdict: Verdict, what: &str) {
    verdict.unwrap_or_else(|broken| panic!("{what}: {broken}"));
}

/// A transition that is a closure.
struct Move<F>(F);
impl<F: Fn(&Rbm, &mut Slab<'_>, &mut Streams<'_>) + Sync> Kernel<Rbm> for Move<F> {
    fn advance(&self, model: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        (self.0)(model, slab, rng);
        Moves::default()
    }
}
/// A closure, with its arguments' types spelled out for inference.
fn kernel(f: impl Fn(&Rbm, &mut Slab<'_>, &mut Streams<'_>) + Sync + 'static) -> Box<dyn Kernel<Rbm>> {
    Box::new(Move(f))
}
fn too_hot(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let base = vec![0.0; rbm.n_rows()];
    BlockGibbs::new(1).advance(&Annealed::new(rbm, &base, 1.0 / 1.2), slab, rng);
}
fn reseeded(rbm: &Rbm, slab: &mut Slab<'_>, _: &mut Streams<'_>) {
    let mut same = vec![ChainRng::new(7); slab.ncols().div_ceil(GROUP)];
    BlockGibbs::new(1).advance(rbm, slab, &mut Streams(&mut same));
}
fn mean_for_sample(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    slab.respond(rbm, Rbm::HIDDEN, &mut Response::sample(rng));
    slab.respond(rbm, Rbm::VISIBLE, &mut Response::mean());
}
/// Both sides answer the state before: marginals survive one such step, the joint distribution does not.
fn both_at_once(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let fields = [0, 1].map(|b| slab.field(rbm, b).clone_owned());
    for (b, field) in fields.iter().enumerate() {
        slab.respond_to(rbm, b, field.as_view(), &mut Response::sample(rng));
    }
}
/// The hidden field outlives the visible units that it was computed from.
fn stale_field(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    let field = slab.field(rbm, Rbm::HIDDEN).clone_owned();
    slab.respond(rbm, Rbm::VISIBLE, &mut Response::sample(rng));
    slab.respond_to(rbm, Rbm::HIDDEN, field.as_view(), &mut Response::sample(rng));
}
fn with_weights(rbm: &Rbm, f: impl Fn(&Mat) -> Mat) -> Rbm {
    let (mut wrong, w) = (rbm.clone(), f(&rbm.weights().clone_owned()));
    wrong.update(&mut |p| p.mat_mut(0).copy_from(&w));
    wrong
}
fn transposed(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    BlockGibbs::new(1).advance(&with_weights(rbm, Mat::transpose), slab, rng);
}
fn rolled(m: &Mat) -> Mat {
    Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[((i + 1) % m.nrows(), j)])
}
fn off_by_one(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    rbm.sweep(slab, &mut Response::sample(rng));
    let field = rolled(&slab.field(rbm, Rbm::VISIBLE).clone_owned());
    slab.respond_to(rbm, Rbm::VISIBLE, field.as_view(), &mut Response::sample(rng));
}
/// The visible units answer the field of the hidden ones.
fn blocks_off_by_one(rbm: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
    rbm.sweep(slab, &mut Response::sample(rng));
    let field = slab.field(rbm, Rbm::HIDDEN).clone_owned();
    slab.respond_to(rbm, Rbm::VISIBLE, field.as_view(), &mut Response::sample(rng));
}

#[test]
fn bugs_of_kernels_are_caught() {
    let square = cases::bernoulli(3, 3, 4);
    let mixed = cases::strong((4, Arc::new(Gaussian)), (3, Arc::new(Spin)), 2);
    let bugs = [
        ("a kernel that is 20 % too hot", kernel(too_hot)),
        ("a kernel that seeds its generator at every draw", kernel(reseeded)),
        ("a kernel that puts means for samples", kernel(mean_for_sample)),
        ("a kernel that moves both sides at once", kernel(both_at_once)),
        ("a kernel with a stale hidden field", kernel(stale_field)),
        ("a kernel with fields one row off", kernel(off_by_one)),
        ("a kernel with transposed weights (square)", kernel(transposed)),
        ("a kernel with the field of the other block (square)", kernel(blocks_off_by_one)),
    ];
    for (bug, kernel) in &bugs {
        caught(laws::no_drift(&square, kernel.as_ref(), SEED), "no drift", bug);
        if !bug.contains("square") {
            caught(laws::no_drift(&mixed, kernel.as_ref(), SEED), "no drift", &format!("{bug}, real units"));
        }
    }
    let honest = kernel(|rbm, slab, rng| {
        BlockGibbs::new(1).advance(rbm, slab, rng);
    });
    passes(laws::no_drift(&square, honest.as_ref(), SEED), "Gibbs");
    passes(laws::no_drift(&mixed, honest.as_ref(), SEED), "Gibbs, real units");
    let shared = Mutex::new(vec![ChainRng::new(3); 200]);
    let shared = kernel(move |rbm, slab, _| {
        BlockGibbs::new(1).advance(rbm, slab, &mut Streams(&mut shared.lock().unwrap()));
    });
    caught(
        laws::chains_threads(&square, shared.as_ref(), SEED),
        "threads",
        "a kernel with a generator shared by threads",
    );
    let by_width = kernel(|rbm, slab, rng| {
        BlockGibbs::new(1 + slab.ncols() % 2).advance(rbm, slab, rng);
    });
    caught(
        laws::chains_threads(&square, by_width.as_ref(), SEED),
        "threads",
        "a kernel that depends on the slab's width",
    );
    let blind = kernel(|rbm, slab, rng| {
        for block in [Rbm::HIDDEN, Rbm::VISIBLE] {
            let field = slab.field(rbm, block).clone_owned();
            let rows = rbm.blocks()[block].rows.clone();
            let mut x = slab.x_mut();
            for (k, j) in (0..rows.len()).flat_map(|k| (0..field.ncols()).map(move |j| (k, j))) {
                x[(rows.start + k, j)] = (field[(k, j)] + rng.column(j).random::<f32>() > 0.5) as u8 as f32;
            }
        }
    });
    caught(laws::frozen(&square, blind.as_ref(), SEED), "frozen units", "a kernel that does not see what is frozen");
    passes(laws::frozen(&square, honest.as_ref(), SEED), "Gibbs, frozen units");
    let count = AtomicU64::new(0);
    caught(laws::threads("a count", || count.fetch_add(1, Relaxed)), "threads", "a function that remembers");
}
#[test]
fn draws_that_are_not_exact_are_caught() {
    let rbm = cases::bernoulli(3, 3, 4);
    let x = laws::exact_draws(&rbm, 20_000, 1).unwrap();
    let swapped = Mat::from_fn(6, x.ncols(), |i, j| x[((i + 3) % 6, j)]);
    caught(laws::no_drift_from(&rbm, &BlockGibbs::new(1), swapped, SEED), "no drift", "draws with their sides swapped");
    passes(laws::no_drift_from(&rbm, &BlockGibbs::new(1), x, SEED), "exact draws");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    TransposedField,
    RowsOffByOne,
    BlocksOffByOne,
    FieldOfFirstRows,
    FieldReadsItself,
    FreeEnergyForgetsBias,
    WrongSign,
    ForgottenWeight,
    WeightZeroCounted,
    VersionNeverChanges,
    StaleMeans,
    ContrastAdds,
    SampledMeans,
    BiasesOfTheOther,
    BiasesOffByOne,
}
/// An RBM with a bug.
#[derive(Debug)]
struct Faulty {
    rbm: Rbm,
    bug: Bug,
    version: Version,
    kept: Mutex<Option<Mat>>,
}
impl Faulty {
    fn new(rbm: Rbm, bug: Bug) -> Self {
        Self { rbm, bug, version: Version::fresh(), kept: Mutex::new(None) }
    }
}
impl Energy for Faulty {
    fn blocks(&self) -> &[Block] {
        self.rbm.blocks()
    }
    fn theta<'a>(&'a self, block: usize, given: &'a [f32]) -> &'a [f32] {
        self.rbm.theta(block, given)
    }
    fn version(&self) -> Version {
        if self.bug == Bug::VersionNeverChanges { self.version } else { self.rbm.version() }
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.rbm.energy(x, out);
    }
}
impl Gibbs for Faulty {
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        match self.bug {
            Bug::TransposedField => with_weights(&self.rbm, Mat::transpose).field(rows, x, out),
            Bug::RowsOffByOne => {
                self.rbm.field(rows, x, out.as_view_mut());
                let wrong = rolled(&out.clone_owned());
                out.copy_from(&wrong);
            }
            Bug::BlocksOffByOne => {
                let (d, n) = (self.rbm.n_visible(), self.rbm.n_rows());
                self.rbm.field((rows.start + d) % n..(rows.end + d - 1) % n + 1, x, out);
            }
            Bug::FieldOfFirstRows => {
                let start = if rows.start < self.rbm.n_visible() { 0 } else { self.rbm.n_visible() };
                self.rbm.field(start..start + rows.len(), x, out);
            }
            Bug::FieldReadsItself => {
                self.rbm.field(rows.clone(), x, out.as_view_mut());
                out += 1e-3 * x.rows_range(rows);
            }
            _ => self.rbm.field(rows, x, out),
        }
    }
}
impl Marginal for Faulty {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        self.rbm.energy_at_zero(summed, x, out);
        if self.bug == Bug::FreeEnergyForgetsBias && summed == [Rbm::HIDDEN] {
            let bias = self.rbm.visible_bias();
            for (j, o) in out.iter_mut().enumerate() {
                *o += bias.iter().zip(x.column(j).iter()).map(|(b, x)| (b * x) as f64).sum::<f64>();
            }
        }
    }
}
impl Learn for Faulty {
    fn n_visible(&self) -> usize {
        self.rbm.n_visible()
    }
    fn params(&self) -> &Params {
        self.rbm.params()
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        match self.bug {
            Bug::BiasesOfTheOther => self.rbm.biases(1 - block),
            Bug::BiasesOffByOne => self.rbm.biases(block).map(|places| places.start - 1..places.end - 1),
            _ => self.rbm.biases(block),
        }
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        let with = |f: &dyn Fn(f32) -> f32| weights.iter().map(|w| f(*w)).collect::<Vec<f32>>();
        match self.bug {
            Bug::WrongSign => self.rbm.grad_params(x, &with(&|w| -w), grad),
            Bug::ForgottenWeight => self.rbm.grad_params(x, &with(&|w| if w == 0.0 { 0.0 } else { 0.25 }), grad),
            Bug::WeightZeroCounted => {
                self.rbm.grad_params(x, weights, grad);
                let absent = weights.iter().enumerate().filter(|(_, w)| **w == 0.0);
                grad.slice_mut(1)[0] += absent.map(|(j, w)| w * x[(0, j)]).sum::<f32>();
            }
            _ => self.rbm.grad_params(x, weights, grad),
        }
    }
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        let kept = &mut *self.kept.lock().unwrap();
        let mean = match (self.bug, kept) {
            (Bug::StaleMeans, Some(old)) if old.ncols() == states.ncols() => old.clone(),
            (Bug::StaleMeans, kept) => kept.insert(states.mean(&self.rbm, Rbm::HIDDEN).clone_owned()).clone(),
            (Bug::VersionNeverChanges, _) => states.mean(self, Rbm::HIDDEN).clone_owned(),
            (Bug::SampledMeans, _) => {
                let mut one = Chains::new(states.x().clone_owned(), 1);
                one.each(|slab, rng| slab.respond(&self.rbm, Rbm::HIDDEN, &mut Response::sample(rng)));
                one.states.x().rows_range(self.rbm.blocks()[Rbm::HIDDEN].rows.clone()).clone_owned()
            }
            _ => return self.rbm.grad_expected(states, phase, weights, grad),
        };
        let mut x = states.x().clone_owned();
        x.rows_range_mut(self.rbm.blocks()[Rbm::HIDDEN].rows.clone()).copy_from(&mean);
        self.rbm.grad_params(x.as_view(), weights, grad);
    }
    fn grad_contrast(
        &self,
        (data, data_weights): (&mut States, &[f32]),
        (model, model_weights): (&mut States, &[f32]),
        grad: &mut Params,
        between: &mut dyn FnMut(&Params),
    ) {
        if self.bug != Bug::ContrastAdds {
            grad.as_mut_slice().fill(0.0);
        }
        self.grad_expected(data, Phase::Data, data_weights, grad);
        between(grad);
        self.grad_expected(model, Phase::Model, model_weights, grad);
    }
}
impl Train for Faulty {
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.rbm.update(f);
    }
}
/// One law of a model.
type Law = fn(&mut Faulty) -> Verdict;
const LAWS: [(&str, Law); 5] = [
    ("fields", |m| laws::field(m, SEED)),
    ("marginals", |m| laws::marginal(m, SEED)),
    ("log-partitions", |m| laws::partition(m, SEED)),
    ("gradients", |m| laws::gradient(m, SEED)),
    ("expected gradients", |m| laws::expected_gradient(m, SEED)),
];

#[test]
fn bugs_of_models_are_caught() {
    let bugs = [
        ("a field with transposed weights", Bug::TransposedField, "fields"),
        ("a field one row off", Bug::RowsOffByOne, "fields"),
        ("a field of the other block", Bug::BlocksOffByOne, "fields"),
        ("a field of the first rows, whichever are asked for", Bug::FieldOfFirstRows, "fields"),
        ("a field with a thousandth of its own unit", Bug::FieldReadsItself, "fields"),
        ("a free energy that forgets a bias", Bug::FreeEnergyForgetsBias, "marginals"),
        ("a log-partition of a free energy that forgets a bias", Bug::FreeEnergyForgetsBias, "log-partitions"),
        ("the gradient of a free energy that forgets a bias", Bug::FreeEnergyForgetsBias, "expected gradients"),
        ("a gradient with the wrong sign", Bug::WrongSign, "gradients"),
        ("a gradient that forgets the weights", Bug::ForgottenWeight, "gradients"),
        ("a gradient that multiplies by zero to leave out", Bug::WeightZeroCounted, "gradients"),
        ("a version that never changes", Bug::VersionNeverChanges, "gradients"),
        ("a version that never changes (derivatives)", Bug::VersionNeverChanges, "expected gradients"),
        ("hidden means kept over an update", Bug::StaleMeans, "expected gradients"),
        ("a contrast that adds to what is there", Bug::ContrastAdds, "gradients"),
        ("hidden samples for means", Bug::SampledMeans, "expected gradients"),
        ("the biases of the other side", Bug::BiasesOfTheOther, "gradients"),
        ("biases one place off", Bug::BiasesOffByOne, "gradients"),
    ];
    for (bug, which, law) in bugs {
        let check = LAWS.iter().find(|(name, _)| *name == law).unwrap().1;
        caught(check(&mut Faulty::new(cases::bernoulli(3, 3, 4), which)), law, bug);
    }
    for (law, check) in LAWS {
        passes(check(&mut Faulty::new(cases::bernoulli(3, 3, 4), Bug::None)), law);
    }
    let (mut faulty, mut sound) =
        (Faulty::new(cases::bernoulli(3, 3, 4), Bug::WrongSign), Faulty::new(cases::bernoulli(3, 3, 4), Bug::None));
    let broken = laws::model(&mut faulty, SEED).into_iter().filter_map(|v| v.err());
    assert_eq!(broken.map(|b| b.law()).collect::<Vec<_>>(), ["gradients"]);
    assert!(laws::model(&mut sound, SEED).iter().all(|v| v.is_ok()));
}

/// A score that forgets the half of `½x²`.
struct Doubled<'a>(Collapsed<'a, Rbm>);
impl Energy for Doubled<'_> {
    fn blocks(&self) -> &[Block] {
        self.0.blocks()
    }
    fn version(&self) -> Version {
        self.0.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.0.energy(x, out);
    }
}
impl Score for Doubled<'_> {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        self.0.grad_x(x, out.as_view_mut());
        out += x;
    }
}
#[test]
fn a_score_without_its_half_is_caught() {
    let rbm = cases::strong((4, Arc::new(Gaussian)), (3, Arc::new(Spin)), 2);
    caught(laws::score(&Doubled(Collapsed::new(&rbm, &[Rbm::HIDDEN])), SEED), "scores", "a score of x² for ½x²");
    passes(laws::score(&Collapsed::new(&rbm, &[Rbm::HIDDEN]), SEED), "the score");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum UnitBug {
    None,
    BaseWithoutHalf,
    LogPartitionWithoutHalf,
    MeanDraws,
    SampleIsMean,
    Reseeded,
    DeviationForVariance,
    BaseGradientWithoutHalf,
    GradientOfTheMean,
    BaseNotZero,
}
/// Gaussian units of a learned precision, with a bug.
#[derive(Clone, Copy, Debug)]
struct FaultyUnit(UnitBug);
impl Unit for FaultyUnit {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn n_theta(&self) -> usize {
        1
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        None
    }
    fn range(&self) -> RangeInclusive<f32> {
        LogPrecision.range()
    }
    fn log_partition(&self, theta: &[f32], field: &[f32]) -> f64 {
        let extra = |(t, f): (&f32, &f32)| 0.5 * (-t as f64).exp() * (*f as f64).powi(2);
        let more: f64 = theta.iter().zip(field).map(extra).sum();
        LogPrecision.log_partition(theta, field) + if self.0 == UnitBug::LogPartitionWithoutHalf { more } else { 0.0 }
    }
    fn mean(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        match self.0 {
            UnitBug::MeanDraws => {
                LogPrecision.sample(theta, field, out, &mut ChainRng::new(NEXT.fetch_add(1, Relaxed)))
            }
            _ => LogPrecision.mean(theta, field, out),
        }
    }
    fn variance(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        LogPrecision.variance(theta, field, out);
        if self.0 == UnitBug::DeviationForVariance {
            out.iter_mut().for_each(|v| *v = v.sqrt());
        }
    }
    fn mode(&self, theta: &[f32], field: &[f32], out: &mut [f32]) {
        LogPrecision.mode(theta, field, out);
    }
    fn sample(&self, theta: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        match self.0 {
            UnitBug::SampleIsMean => LogPrecision.mean(theta, field, out),
            UnitBug::Reseeded => LogPrecision.sample(theta, field, out, &mut ChainRng::new(7)),
            _ => LogPrecision.sample(theta, field, out, rng),
        }
    }
    fn field_of_mean(&self, theta: &[f32], mean: &[f32], out: &mut [f32]) {
        LogPrecision.field_of_mean(theta, mean, out);
    }
    fn base_energy(&self, theta: &[f32], x: &[f32]) -> f64 {
        let (times, more) = match self.0 {
            UnitBug::BaseWithoutHalf => (2.0, 0.0),
            UnitBug::BaseNotZero => (1.0, 0.1),
            _ => (1.0, 0.0),
        };
        times * LogPrecision.base_energy(theta, x) + more
    }
    fn base_grad_x(&self, theta: &[f32], x: &[f32], out: &mut [f32]) {
        LogPrecision.base_grad_x(theta, x, out);
        if self.0 == UnitBug::BaseGradientWithoutHalf {
            LogPrecision.base_grad_x(theta, x, out);
        }
    }
    fn base_grad_theta(&self, theta: &[f32], x: &[f32], weight: f32, grad: &mut [f32]) {
        LogPrecision.base_grad_theta(theta, x, weight, grad);
    }
    fn expected_grad_theta(&self, theta: &[f32], field: &[f32], weight: f32, grad: &mut [f32]) {
        if self.0 != UnitBug::GradientOfTheMean {
            return LogPrecision.expected_grad_theta(theta, field, weight, grad);
        }
        let mut mean = vec![0.0; field.len()];
        LogPrecision.mean(theta, field, &mut mean);
        LogPrecision.base_grad_theta(theta, &mean, weight, grad);
    }
}
/// A discrete kind with a bug, of which there is one for the sums and one for draws.
#[derive(Clone, Copy, Debug)]
struct FaultyBit {
    overflows: bool,
}
impl Unit for FaultyBit {
    fn name(&self) -> &'static str {
        "faulty bit"
    }
    fn support(&self) -> Option<Vec<Vec<f32>>> {
        Bernoulli.support()
    }
    fn range(&self) -> RangeInclusive<f32> {
        Bernoulli.range()
    }
    fn log_partition(&self, _: &[f32], field: &[f32]) -> f64 {
        match self.overflows {
            true => field.iter().map(|f| f.exp().ln_1p() as f64).sum(),
            false => Bernoulli.log_partition(&[], field),
        }
    }
    fn mean(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        Bernoulli.mean(&[], field, out);
    }
    fn variance(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        Bernoulli.variance(&[], field, out);
    }
    fn mode(&self, _: &[f32], field: &[f32], out: &mut [f32]) {
        Bernoulli.mode(&[], field, out);
    }
    fn sample(&self, _: &[f32], field: &[f32], out: &mut [f32], rng: &mut ChainRng) {
        Bernoulli.sample(&[], field, out, rng);
        if !self.overflows {
            out.iter_mut().for_each(|x| *x = 2.0 * *x - 1.0); // the values of a spin
        }
    }
    fn field_of_mean(&self, _: &[f32], mean: &[f32], out: &mut [f32]) {
        Bernoulli.field_of_mean(&[], mean, out);
    }
}

#[test]
fn bugs_of_units_are_caught() {
    let bugs = [
        ("a base energy of x² for ½x²", UnitBug::BaseWithoutHalf),
        ("a log-partition of φ² for ½φ²", UnitBug::LogPartitionWithoutHalf),
        ("a mean that draws", UnitBug::MeanDraws),
        ("a draw that is the mean", UnitBug::SampleIsMean),
        ("a draw that seeds its generator", UnitBug::Reseeded),
        ("a deviation for a variance", UnitBug::DeviationForVariance),
        ("a base gradient of 2x for x", UnitBug::BaseGradientWithoutHalf),
        ("∂U/∂θ at the mean for the mean of ∂U/∂θ", UnitBug::GradientOfTheMean),
        ("a base energy that is not zero at zero", UnitBug::BaseNotZero),
    ];
    for (bug, which) in bugs {
        caught(laws::unit(&FaultyUnit(which), SEED), "units", bug);
    }
    passes(laws::unit(&FaultyUnit(UnitBug::None), SEED), "a unit without a bug");
    caught(laws::unit(&FaultyBit { overflows: true }, SEED), "units", "a softplus that overflows");
    caught(laws::unit(&FaultyBit { overflows: false }, SEED), "units", "a bit that draws spins");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ObjectiveBug {
    None,
    ForgetsStreams,
    ForgetsCentring,
    WeightZeroCounted,
    Adds,
    SumForMean,
    SharedSeed,
    WrongSign,
}
/// PCD with a bug.
#[derive(Clone, Debug)]
struct FaultyObjective {
    pcd: Contrastive<Persistent<BlockGibbs>>,
    bug: ObjectiveBug,
}
impl FaultyObjective {
    fn new(rbm: &Rbm, bug: ObjectiveBug) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let seed = if bug == ObjectiveBug::SharedSeed { NEXT.fetch_add(1, Relaxed) } else { SEED };
        Self { pcd: Contrastive::pcd(1, Chains::zeros(rbm, 10, seed)), bug }
    }
}
impl Objective<Rbm> for FaultyObjective {
    fn gradient(&mut self, rbm: &Rbm, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let before = grad.clone();
        let ones = vec![1.0; batch.weights.len()];
        let weights = if self.bug == ObjectiveBug::WeightZeroCounted { &ones } else { batch.weights };
        let report = self.pcd.gradient(rbm, &Batch { weights, ..*batch }, grad)?;
        let times = match self.bug {
            ObjectiveBug::SumForMean => batch.weights.iter().sum(),
            ObjectiveBug::WrongSign => -1.0,
            _ => 1.0,
        };
        let adds = if self.bug == ObjectiveBug::Adds { 1.0 } else { 0.0 };
        let pairs = grad.as_mut_slice().iter_mut().zip(before.as_slice());
        pairs.for_each(|(g, b)| *g = times * *g + if adds == 0.0 { 0.0 } else { *b });
        Ok(report)
    }
}
impl Resume for FaultyObjective {
    fn save(&self, to: &mut Saved) {
        self.pcd.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        let before = self.pcd.clone();
        self.pcd.load(from)?;
        match self.bug {
            ObjectiveBug::ForgetsStreams => {
                let x = self.pcd.negative.chains.states.x().clone_owned();
                self.pcd.negative.chains = Chains::new(x, SEED);
            }
            ObjectiveBug::ForgetsCentring => self.pcd.coordinates = before.coordinates,
            _ => (),
        }
        Ok(())
    }
}

#[test]
fn bugs_of_objectives_are_caught() {
    let mut rbm = cases::bernoulli(4, 3, 1);
    let v = cases::probes(&rbm, 9).rows(0, 4).clone_owned();
    let bugs = [
        ("an objective that forgets its random streams", ObjectiveBug::ForgetsStreams),
        ("an objective that forgets its centring", ObjectiveBug::ForgetsCentring),
        ("an objective that counts samples of weight zero", ObjectiveBug::WeightZeroCounted),
        ("an objective that adds to what is there", ObjectiveBug::Adds),
        ("an objective that sums instead of averaging", ObjectiveBug::SumForMean),
        ("an objective whose seed is shared", ObjectiveBug::SharedSeed),
    ];
    for (bug, which) in bugs {
        let verdict = laws::objective(&rbm, || FaultyObjective::new(&rbm, which), v.as_view());
        caught(verdict, "objectives", bug);
    }
    passes(laws::objective(&rbm, || FaultyObjective::new(&rbm, ObjectiveBug::None), v.as_view()), "PCD");
    let law = "exact gradients";
    let mut wrong_sign = FaultyObjective::new(&rbm, ObjectiveBug::WrongSign);
    caught(laws::exact_gradient(&mut rbm, &mut wrong_sign, v.as_view(), 500), law, "an objective with the wrong sign");
    let mut cd = Contrastive::cd(1, SEED).plain();
    caught(laws::exact_gradient(&mut rbm, &mut cd, v.as_view(), 2000), law, "CD-1 taken for the gradient");
    let mut centred = Contrastive::exact(&rbm).unwrap();
    caught(
        laws::exact_gradient(&mut rbm, &mut centred, v.as_view(), 2),
        law,
        "a centred gradient taken for the plain one",
    );
}
