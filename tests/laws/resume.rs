//! Law 9: a run that is cut, kept in a file and continued has the bits of one that never was, for every training method.

use crate::cases;
use harmonium::data::bars_and_stripes;
use harmonium::doctor::{CheckUp, Doctor};
use harmonium::eval::{Ais, Bracketing, End};
use harmonium::laws::{self, HandOver, Verdict};
use harmonium::models::neural::{Activation, Noise, Predictor};
use harmonium::models::{Dbm, Dbn, Rbm};
use harmonium::objectives::{
    Centring, Contrastive, Coordinates, Objective, Report, Sparsity, Standardising, Supervised, UpDown,
};
use harmonium::optim::{Adam, Normalised, Optimizer, Penalty, Schedule, Sgd};
use harmonium::samplers::Tempering;
use harmonium::train::{
    EarlyStopping, Fit, History, LogLikelihoodEnd, Named, Progress, PseudoLogLikelihood, Run, Silent, UpdateRatio,
};
use harmonium::units::Bernoulli;
use harmonium::{Batch, Chains, Energy, Learn, Mask, Mat, Params, Result, Resume, Saved};
use std::sync::Arc;

type Method = fn(&Rbm) -> Box<dyn Objective<Rbm>>;
/// Training methods: a new one is one line here.
const METHODS: [(&str, Method); 15] = [
    ("CD, centred", |_| Box::new(Contrastive::cd(2, 5))),
    ("CD, plain", |_| Box::new(Contrastive::cd(2, 5).plain())),
    ("PCD, centred", |m| Box::new(Contrastive::pcd(2, Chains::zeros(m, 21, 5)))),
    ("PCD, plain", |m| Box::new(Contrastive::pcd(2, Chains::zeros(m, 21, 5)).plain())),
    ("PCD, centred at once", |m| {
        let mut pcd = Contrastive::pcd(1, Chains::zeros(m, 8, 5));
        pcd.coordinates = Coordinates::Centred(Centring::new(1.0));
        Box::new(pcd)
    }),
    ("CD, filling", |_| Box::new(WithGaps(Contrastive::cd(1, 5).filling(2, 5)))),
    ("CD, standardised", |_| Box::new(Contrastive::cd(2, 5).standardised())),
    ("PCD, standardised, fast", |m| {
        let (mut pcd, mut fast) = (Contrastive::pcd(1, Chains::zeros(m, 21, 5)), Standardising::new(0.3));
        fast.floor = 0.5;
        pcd.coordinates = Coordinates::Standardised(fast);
        Box::new(pcd)
    }),
    ("PCD, sparse", |m| Box::new(Contrastive::pcd(1, Chains::zeros(m, 21, 5)).sparse(Sparsity::new(0.2, 1.0)))),
    ("CD, plain, sparse", |_| {
        let mut sparsity = Sparsity::new(0.3, 0.5);
        sparsity.decay = 0.5;
        Box::new(Contrastive::cd(1, 5).plain().sparse(sparsity))
    }),
    ("exact", |m| Box::new(Contrastive::exact(m).unwrap())),
    ("CD with a rising k", |_| {
        let mut cd = Contrastive::cd(1, 5);
        cd.negative.k = Schedule::Linear { from: 1.0, to: 4.0, steps: 20 };
        Box::new(cd)
    }),
    ("fast PCD, centred", |m| Box::new(Contrastive::fpcd(m, 1, Chains::zeros(m, 21, 5), 0.2))),
    ("fast PCD, plain", |m| Box::new(Contrastive::fpcd(m, 2, Chains::zeros(m, 10, 5), 0.1).plain())),
    ("tempered PCD", |m| {
        let base = vec![0.1; m.n_rows()];
        let tempering = Tempering::new(m, Tempering::linear(4, 0.2), base, 21, 5).unwrap();
        Box::new(Contrastive::tempered(1, tempering))
    }),
];
/// An objective whose batches all miss the same entries.
struct WithGaps<O>(O);
impl<O: Objective<Rbm>> Objective<Rbm> for WithGaps<O> {
    fn gradient(&mut self, model: &Rbm, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let mask = Mask::from_fn(batch.x.nrows(), batch.x.ncols(), |i, j| (i + j) % 3 == 0);
        self.0.gradient(model, &Batch { missing: Some(mask.columns(0, mask.ncols())), ..*batch }, grad)
    }
}
impl<O: Resume> Resume for WithGaps<O> {
    fn save(&self, to: &mut Saved) {
        self.0.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.0.load(from)
    }
}
type Build = fn() -> Box<dyn Optimizer>;
/// Optimisers: a new one is one line here.
const OPTIMIZERS: [(&str, Build); 4] = [
    ("SGD", || Box::new(Sgd::default())),
    ("momentum", || Box::new(Sgd::new(Schedule::Switch { from: 0.0, to: 0.9, steps: 5 }))),
    ("Adam", || Box::new(Adam::default())),
    ("normalised", || Box::new(Normalised::new(Schedule::Constant(0.6)))),
];

/// 24 updates, with a rate that falls and everything that bounds weights.
fn settings() -> Fit {
    Fit {
        epochs: 6,
        batch: 4,
        learning_rate: Schedule::Exponential { from: 0.1, factor: 0.97 },
        penalty: Penalty { l1: 1e-4, l2: 1e-3 },
        max_norm: Some(2.0),
        zero_sum: false,
        clip_norm: Some(1.0),
        seed: 3,
    }
}
fn patterns() -> Mat {
    bars_and_stripes(3).unwrap().patterns
}
/// A run with monitors of every kind that has a state, which ends after so many looks without improvement.
fn run(objective: &Method, optimizer: &Build, patience: u64, hand_over: HandOver<'_, Rbm>) -> Result<()> {
    let mut rbm = cases::bernoulli(9, 5, 1);
    let (mut objective, mut optimizer) = (objective(&rbm), optimizer());
    let best_at_8 = |p: &Progress<'_, Rbm>| Ok(-(p.done as f64 - 8.0).abs());
    let watched = Named { name: "best at 8".into(), measure: best_at_8 };
    let annealed = LogLikelihoodEnd {
        end: End::Lower,
        samples: patterns(),
        base: vec![0.0; 14],
        settings: Bracketing { betas: Ais::linear(3), chains: 1, exact: false, ..Bracketing::quick() },
    };
    let check_up = CheckUp::new(Doctor { chains: 2, sweeps: 30, ..Doctor::default() }, 7, patterns());
    let mut monitor = (
        History::new(3, vec![Box::new(PseudoLogLikelihood(patterns())), Box::new(annealed)]),
        ((Some(EarlyStopping::new(watched, 2, patience)), None::<Silent>), check_up),
    );
    hand_over(&mut Run::new(&mut rbm, &mut objective, &mut optimizer, &mut monitor))
}
#[track_caller]
fn kept(verdict: Verdict, what: &str) {
    assert!(verdict.unwrap_or_else(|broken| panic!("{what}: {broken}")).checks > 20);
}

#[test]
fn a_run_that_was_cut_has_the_same_bits() {
    for (what, objective) in METHODS {
        for (how, optimizer) in OPTIMIZERS {
            for cut in [1, 7, 12] {
                let begin = |hand_over: HandOver<'_, Rbm>| run(&objective, &optimizer, 1000, hand_over);
                kept(laws::resume(&settings(), &patterns(), cut, begin), &format!("{what}, {how}, cut at {cut}"));
            }
        }
    }
}
/// Deep models, and what is no single energy, with the objectives that are theirs.
#[test]
fn deep_runs_that_were_cut_have_the_same_bits() {
    let layer = |n: usize| (n, Arc::new(Bernoulli) as _);
    for (k, (what, optimizer)) in OPTIMIZERS.into_iter().enumerate() {
        let dbm = |hand_over: HandOver<'_, Dbm>| {
            let mut dbm = Dbm::new(&[layer(9), layer(5), layer(4)]);
            dbm.initialise(&[0.5; 9], 0.0, 1)?;
            let mut pcd = Contrastive::pcd(2, Chains::zeros(&dbm, 21, 5));
            hand_over(&mut Run::new(&mut dbm, &mut pcd, &mut *optimizer(), &mut Silent))
        };
        kept(laws::resume(&settings(), &patterns(), 7, dbm), what);
        let dbn = |hand_over: HandOver<'_, Dbn>| {
            let mut dbn = Dbn::from_stack(vec![cases::bernoulli(9, 5, 1), cases::bernoulli(5, 4, 2)])?;
            let mut up_down = UpDown::new(2, 5).with_k(Schedule::Linear { from: 1.0, to: 3.0, steps: 20 });
            let mut history = History::new(3, vec![Box::new(UpdateRatio)]);
            hand_over(&mut Run::new(&mut dbn, &mut up_down, &mut *optimizer(), &mut history))
        };
        kept(laws::resume(&settings(), &patterns(), 7 + k as u64, dbn), what);
        let persistent = |hand_over: HandOver<'_, Dbn>| {
            let mut dbn = Dbn::from_stack(vec![cases::bernoulli(9, 5, 1), cases::bernoulli(5, 4, 2)])?;
            let mut up_down = UpDown::persistent(2, Chains::zeros(dbn.top(), 21, 3), 5);
            hand_over(&mut Run::new(&mut dbn, &mut up_down, &mut *optimizer(), &mut Silent))
        };
        kept(laws::resume(&settings(), &patterns(), 7, persistent), what);
        let net = |hand_over: HandOver<'_, Predictor>| {
            let mut net = Predictor::new(6, &[(7, Activation::Sigmoid), (5, Activation::Relu)], &[layer(3)]);
            net.network_mut().initialise(1);
            let noise = Noise { drop_inputs: 0.2, drop_hidden: 0.5, fields: Some((1, 0.5)) };
            let mut objective = Supervised::new(5).with_noise(noise);
            hand_over(&mut Run::new(&mut net, &mut objective, &mut *optimizer(), &mut Silent))
        };
        kept(laws::resume(&settings(), &patterns(), 7, net), what);
    }
}
/// One that patience has ended stays ended.
#[test]
fn a_run_that_ended_does_not_go_on() {
    let ended_at = |patience: u64| {
        let mut step = 0;
        run(&METHODS[0].1, &OPTIMIZERS[0].1, patience, &mut |run| {
            settings().run(run, &patterns())?;
            step = run.step;
            Ok(())
        })
        .unwrap();
        step
    };
    assert_eq!((ended_at(1), ended_at(1000)), (12, 24));
    for cut in [11, 12] {
        let begin = |hand_over: HandOver<'_, Rbm>| run(&METHODS[0].1, &OPTIMIZERS[0].1, 1, hand_over);
        kept(laws::resume(&settings(), &patterns(), cut, begin), &format!("cut at {cut}"));
    }
}

#[test]
fn a_run_that_cannot_be_cut_there_is_not_accused() {
    let begin = |hand_over: HandOver<'_, Rbm>| run(&METHODS[0].1, &OPTIMIZERS[0].1, 1, hand_over);
    for cut in [0, 13, 1000] {
        let text = laws::resume(&settings(), &patterns(), cut, begin).expect_err("no verdict").to_string();
        assert!(text.contains("cannot be checked") && text.contains("from 1 to 12"), "{text}");
    }
    let text = laws::resume(&settings(), &patterns(), 3, |_: HandOver<'_, Rbm>| Ok(())).expect_err("none").to_string();
    assert!(text.contains("cannot be checked"), "{text}");
}

/// An objective whose parts are kept, but for what `Keeps` leaves out.
struct Forgets<O>(O, Keeps);
#[derive(Clone, Copy, Debug)]
enum Keeps {
    Nothing,
    Child(&'static str),
}
impl<O: Objective<Rbm>> Objective<Rbm> for Forgets<O> {
    fn gradient(&mut self, model: &Rbm, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        self.0.gradient(model, batch, grad)
    }
}
impl<O: Resume> Resume for Forgets<O> {
    fn save(&self, to: &mut Saved) {
        self.0.save(to);
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        let mut mixed = Saved::default();
        self.0.save(&mut mixed);
        if let Keeps::Child(name) = self.1 {
            *mixed.child_mut(name) = from.child(name)?.clone();
        }
        self.0.load(&mixed)
    }
}
#[test]
fn a_part_that_forgets_is_caught() {
    let broken = |begin: &(dyn Fn(HandOver<'_, Rbm>) -> Result<()> + Sync), bug: &str, entry: &str| {
        let text = laws::resume(&settings(), &patterns(), 7, begin).expect_err(bug).to_string();
        eprintln!("{bug}: {text}");
        assert!(text.contains("the law of resuming is broken") && text.contains(entry), "{bug}: {text}");
    };
    for (keeps, bug) in [
        (Keeps::Nothing, "an objective that forgets everything"),
        (Keeps::Child("centring"), "an objective that forgets its chains"),
    ] {
        let begin = |hand_over: HandOver<'_, Rbm>| {
            let mut rbm = cases::bernoulli(9, 5, 1);
            let mut pcd = Forgets(Contrastive::pcd(1, Chains::zeros(&rbm, 10, 1)), keeps);
            hand_over(&mut Run::new(&mut rbm, &mut pcd, &mut Sgd::default(), &mut Silent))
        };
        broken(&begin, bug, "`params`");
    }
    let clock = std::sync::atomic::AtomicU32::new(0);
    let begin = |hand_over: HandOver<'_, Rbm>| {
        let mut rbm = cases::bernoulli(9, 5, 1);
        let seed = clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed).into();
        let mut cd = Contrastive::cd(1, seed);
        let first = |p: &Progress<'_, Rbm>| Ok(p.model.weights()[(0, 0)] as f64);
        let mut history = History::new(1, vec![Box::new(Named { name: "first".into(), measure: first })]);
        hand_over(&mut Run::new(&mut rbm, &mut cd, &mut Adam::default(), &mut history))
    };
    broken(&begin, "a seed from the clock", "have other bits");
}
#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (model, mut other) = (cases::bernoulli(9, 5, 1), cases::bernoulli(8, 5, 2));
    let (mut objective, mut optimizer, mut saved) = (METHODS[2].1(&model), OPTIMIZERS[2].1(), Saved::default());
    Run::new(&mut model.clone(), &mut objective, &mut optimizer, &mut Silent).save(&mut saved);
    let before = other.clone();
    let mut silent = Silent;
    let mut run = Run::new(&mut other, &mut objective, &mut optimizer, &mut silent);
    let e = run.load(&saved).unwrap_err();
    assert!(e.to_string().contains("`params`"), "{e}");
    assert_eq!(run.load(&Saved::default()).unwrap_err().to_string(), "the saved state has no usable entry `step`");
    assert_eq!(other.params(), before.params());
    let mut chains = Chains::new(Mat::zeros(3, 8), 1);
    let mut of_chains = Saved::default();
    Chains::new(Mat::zeros(4, 8), 1).save(&mut of_chains);
    assert!(chains.load(&of_chains).is_err());
}
