//! Law 9: a run that is saved, loaded into new objects and continued has the same bits as one that was never cut.

use crate::cases;
use harmonium::data::bars_and_stripes;
use harmonium::models::Rbm;
use harmonium::objectives::{Centring, Contrastive, Negative, Objective};
use harmonium::optim::{Adam, Optimizer, Schedule, Sgd};
use harmonium::train::{EarlyStopping, Fit, History, Monitor, Pause, PseudoLogLikelihood, Run};
use harmonium::{Chains, Learn, Mat, Result, Resume, Saved};

type Make<T> = fn(&Rbm, Option<Centring>) -> Box<T>;
const OBJECTIVES: [(&str, Make<dyn Objective<Rbm>>); 3] = [
    ("CD", |_, centring| boxed(Contrastive::cd(2, 5), centring)),
    ("PCD", |m, centring| boxed(Contrastive::pcd(2, Chains::zeros(m, 21, 5)), centring)),
    ("exact", |m, centring| boxed(Contrastive::exact(m).unwrap(), centring)),
];
fn boxed<N: Negative<Rbm> + 'static>(
    mut objective: Contrastive<N>,
    centring: Option<Centring>,
) -> Box<dyn Objective<Rbm>> {
    objective.centring = centring;
    Box::new(objective)
}
type Build = fn() -> Box<dyn Optimizer>;
const OPTIMIZERS: [(&str, Build); 3] = [
    ("SGD", || Box::new(Sgd::default())),
    ("momentum", || Box::new(Sgd::new(Schedule::Switch { from: 0.0, to: 0.9, steps: 5 }))),
    ("Adam", || Box::new(Adam::default())),
];

/// Runs until `stop` updates are done, from `saved` if there is any; what it leaves behind.
fn leg(objective: &mut dyn Objective<Rbm>, optimizer: &mut dyn Optimizer, stop: u64, saved: Option<&Saved>) -> Saved {
    let data = bars_and_stripes(3).unwrap().patterns;
    // What is loaded replaces everything that a new object starts with.
    let mut rbm = if saved.is_some() { cases::bernoulli(9, 5, 77) } else { cases::bernoulli(9, 5, 1) };
    let mut monitors: Vec<Box<dyn Monitor<Rbm>>> = vec![
        Box::new(History::new(3, vec![Box::new(PseudoLogLikelihood(data.clone()))])),
        Box::new(EarlyStopping::new(PseudoLogLikelihood(data.clone()), 2, 1000)),
    ];
    let fit =
        Fit { epochs: 6, batch: 4, learning_rate: Schedule::Exponential { from: 0.1, factor: 0.97 }, ..Fit::default() };
    let mut run = Run::new(&mut rbm, objective, optimizer, &mut monitors);
    run.pause = Pause { at: Some(stop), ..Pause::default() };
    if let Some(saved) = saved {
        run.load(saved).unwrap();
    }
    fit.run(&mut run, &data).unwrap();
    let mut out = Saved::default();
    run.save(&mut out);
    out
}
/// Everything but the times of the records.
fn history(saved: &Saved) -> Result<(Vec<u64>, Vec<f64>)> {
    let history = saved.child("monitor")?.child("0")?;
    let values = history.doubles("values")?.to_vec();
    Ok((history.words("steps")?.to_vec(), values))
}

#[test]
fn a_run_that_was_cut_has_the_same_bits() {
    let model = cases::bernoulli(9, 5, 1);
    for (what, objective) in OBJECTIVES {
        for (how, optimizer) in OPTIMIZERS {
            for centring in [None, Some(Centring::new(0.1))] {
                let make = || (objective(&model, centring.clone()), optimizer());
                let (mut a, mut b) = make();
                let whole = leg(&mut a, &mut b, 24, None);
                for cut in [1, 7, 12] {
                    let ((mut a, mut b), (mut c, mut d)) = (make(), make());
                    let half = leg(&mut a, &mut b, cut, None);
                    let both = leg(&mut c, &mut d, 24, Some(&half));
                    let what = format!("{what} {how} {centring:?} cut at {cut}");
                    for part in ["objective", "optimizer"] {
                        assert_eq!(both.child(part).unwrap(), whole.child(part).unwrap(), "{part}, {what}");
                    }
                    assert_eq!(both.floats("params").unwrap(), whole.floats("params").unwrap(), "{what}");
                    assert_eq!(history(&both).unwrap(), history(&whole).unwrap(), "{what}");
                    let stopping = |s: &Saved| s.child("monitor").unwrap().child("1").unwrap().clone();
                    assert_eq!(stopping(&both), stopping(&whole), "{what}");
                }
            }
        }
    }
}
#[test]
fn cutting_is_seen_where_a_part_forgets() {
    let model = cases::bernoulli(9, 5, 1);
    let make = || (OBJECTIVES[1].1(&model, None), OPTIMIZERS[2].1());
    let ((mut a, mut b), (mut c, mut d)) = (make(), make());
    let half = leg(&mut a, &mut b, 7, None);
    let whole = leg(&mut a, &mut b, 24, Some(&half));
    // The same step and parameters, but chains and moments that start anew.
    let (_, mut fresh) = (leg(&mut c, &mut d, 1, None), half.clone());
    let ((mut e, mut f), (g, h)) = (make(), make());
    g.save(fresh.child_mut("objective"));
    h.save(fresh.child_mut("optimizer"));
    let other = leg(&mut e, &mut f, 24, Some(&fresh));
    assert_ne!(other.floats("params").unwrap(), whole.floats("params").unwrap());
}
#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (model, mut other) = (cases::bernoulli(9, 5, 1), cases::bernoulli(8, 5, 2));
    let mut objective = OBJECTIVES[1].1(&model, None);
    let mut optimizer = OPTIMIZERS[2].1();
    let saved = leg(&mut objective, &mut optimizer, 3, None);
    let before = other.clone();
    let mut silent = harmonium::train::Silent;
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
