//! The kit of `harmonium::laws` over everything that is shipped: every pair of unit kinds, the adapters, both orders of
//! Gibbs sampling, every objective; over 3 seeds, or as many as the environment variable `HARMONIUM_SEEDS` says.

use crate::cases::{self, kinds, name};
use crate::reference::{Oracle, pick};
use harmonium::laws::{self, Verdict};
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, FromData, Objective, Sparsity};
use harmonium::optim::Schedule;
use harmonium::samplers::{BlockGibbs, Kernel, Moves, Tempering};
use harmonium::units::Gaussian;
use harmonium::{Annealed, Chains, Collapsed, Gibbs, Mat, Slab, Streams};
use rand::RngExt;
use std::sync::Arc;

const ONE: [f32; 7] = [0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.0];
const TWO: [f32; 7] = [-0.6, 0.4, 0.0, 0.9, 0.3, -0.1, 0.2];

fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("HARMONIUM_SEEDS").map_or(3, |n| n.parse().expect("a number of seeds"))
}
/// All pairs of kinds, with other parameters for every seed; between real units, the first of which the energy has a
/// minimum.
fn models(seed: u64) -> Vec<Rbm> {
    let again = |rbm: Rbm| {
        let (visible, hidden) = (&rbm.visible()[0].unit, &rbm.hidden()[0].unit);
        let draw = |more: u64| cases::strong((4, visible.clone()), (3, hidden.clone()), 1 + seed + 1000 * more);
        let proper = |rbm: &Rbm| Oracle::of(rbm).countable().is_some() || Oracle::of(rbm).log_z().is_finite();
        (0..).map(draw).find(proper).expect("a model whose energy has a minimum")
    };
    cases::all().into_iter().map(again).collect()
}
#[track_caller]
fn kept(verdict: Verdict, what: &str, seed: u64) {
    match verdict {
        Ok(kept) => assert!(kept.checks > 0 && kept.worst <= 1.0, "{what}, seed {seed}: {kept:?}"),
        Err(broken) => panic!("{what}, seed {seed}: {broken}"),
    }
}

#[test]
fn units_keep_the_law() {
    for seed in seeds() {
        kinds().iter().for_each(|unit| kept(laws::unit(&**unit, seed), unit.name(), seed));
    }
}
#[test]
fn models_keep_all_laws_at_once() {
    for mut rbm in models(1) {
        let verdicts = laws::model(&mut rbm, 1);
        assert!(verdicts.len() >= 8);
        verdicts.into_iter().for_each(|v| kept(v, &name(&rbm), 1));
    }
}
#[test]
fn fields_keep_the_law() {
    for seed in seeds() {
        for rbm in models(seed) {
            kept(laws::field(&rbm, seed), &name(&rbm), seed);
            let annealed = Annealed::new(&rbm, &ONE, 0.3);
            kept(laws::field(&annealed, seed), &format!("annealed {}", name(&rbm)), seed);
            let twice = Annealed::new(&annealed, &TWO, 0.7);
            kept(laws::field(&twice, seed), &format!("twice annealed {}", name(&rbm)), seed);
        }
    }
}
#[test]
fn marginals_and_log_partitions_keep_the_law() {
    for seed in seeds() {
        for rbm in models(seed) {
            kept(laws::marginal(&rbm, seed), &name(&rbm), seed);
            match laws::partition(&rbm, seed) {
                Err(broken) if broken.is_intractable() => assert!(Oracle::of(&rbm).countable().is_none()),
                verdict => kept(verdict, &name(&rbm), seed),
            }
        }
    }
}
#[test]
fn gradients_keep_the_law() {
    for seed in seeds() {
        for mut rbm in models(seed) {
            kept(laws::gradient(&mut rbm, seed), &name(&rbm), seed);
            kept(laws::expected_gradient(&mut rbm, seed), &name(&rbm), seed);
        }
    }
}
#[test]
fn scores_keep_the_law() {
    for seed in seeds() {
        for rbm in models(seed) {
            let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
            kept(laws::score(&free, seed), &name(&rbm), seed);
            let annealed = Annealed::new(&free, &ONE[..4], 0.3);
            kept(laws::score(&annealed, seed), &format!("annealed {}", name(&rbm)), seed);
            let twice = Annealed::new(&annealed, &TWO[..4], 0.5);
            kept(laws::score(&twice, seed), &format!("twice annealed {}", name(&rbm)), seed);
        }
    }
}
/// With exact draws of its own where one side can be enumerated, and with those of the oracle where both are real.
fn no_drift<M: Gibbs>(model: &M, kernel: &dyn Kernel<M>, oracle: &Oracle, what: &str, seed: u64) {
    let verdict = match oracle.countable() {
        Some(_) => laws::no_drift(model, kernel, seed),
        None => laws::no_drift_from(model, kernel, oracle.draw(20_000, seed), seed),
    };
    kept(verdict, what, seed);
}
#[test]
fn gibbs_sampling_keeps_the_law_of_no_drift() {
    for seed in seeds() {
        for rbm in models(seed) {
            for kernel in [BlockGibbs::new(1), BlockGibbs::backward(1)] {
                no_drift(&rbm, &kernel, &Oracle::of(&rbm), &format!("{} {kernel:?}", name(&rbm)), seed);
            }
        }
    }
}
#[test]
fn annealed_gibbs_sampling_keeps_the_law_of_no_drift() {
    for seed in seeds() {
        for rbm in models(seed) {
            let (annealed, oracle) = (Annealed::new(&rbm, &ONE, 0.6), Oracle::of(&rbm).annealed(0.6f32 as f64, &ONE));
            no_drift(&annealed, &BlockGibbs::new(1), &oracle, &format!("annealed {}", name(&rbm)), seed);
            let (twice, oracle) = (Annealed::new(&annealed, &TWO, 0.5), oracle.annealed(0.5, &TWO));
            no_drift(&twice, &BlockGibbs::backward(1), &oracle, &format!("twice annealed {}", name(&rbm)), seed);
        }
    }
}
#[test]
fn chains_keep_the_law_of_threads() {
    for seed in seeds() {
        for rbm in models(seed) {
            for kernel in [BlockGibbs::new(2), BlockGibbs::backward(1)] {
                kept(laws::chains_threads(&rbm, &kernel, seed), &name(&rbm), seed);
            }
        }
    }
}

type Make = fn(&Rbm, u64) -> Box<dyn Objective<Rbm>>;
const OBJECTIVES: [(&str, Make); 9] = [
    ("CD", |_, seed| Box::new(Contrastive::cd(3, seed))),
    ("PCD", |rbm, seed| Box::new(Contrastive::pcd(2, Chains::zeros(rbm, 20, seed)))),
    ("plain CD", |_, seed| Box::new(Contrastive::cd(1, seed).plain())),
    ("standardised CD", |_, seed| Box::new(Contrastive::cd(1, seed).standardised())),
    ("sparse PCD", |rbm, seed| {
        let pcd = Contrastive::pcd(2, Chains::zeros(rbm, 20, seed)).standardised();
        Box::new(pcd.sparse(Sparsity::new(0.25, 1.0)))
    }),
    ("exact", |rbm, _| Box::new(Contrastive::exact(rbm).unwrap())),
    ("CD with a rising k", |_, seed| {
        let mut cd = Contrastive::cd(1, seed);
        cd.negative.k = Schedule::Linear { from: 1.0, to: 3.0, steps: 3 };
        Box::new(cd)
    }),
    ("fast PCD", |rbm, seed| Box::new(Contrastive::fpcd(rbm, 1, Chains::zeros(rbm, 20, seed), 0.1))),
    ("tempered PCD", |rbm, seed| {
        let tempering = Tempering::new(rbm, Tempering::linear(3, 0.0), ONE.to_vec(), 20, seed).unwrap();
        Box::new(Contrastive::tempered(2, tempering))
    }),
];
#[test]
fn objectives_keep_the_law() {
    for seed in seeds() {
        for rbm in models(seed) {
            let v = cases::probes(&rbm, 9).rows(0, 4).clone_owned();
            for (what, make) in OBJECTIVES {
                if what != "exact" || rbm.visible()[0].unit.support().is_some() {
                    let verdict = laws::objective(&rbm, || make(&rbm, seed), v.as_view());
                    kept(verdict, &format!("{what}, {}", name(&rbm)), seed);
                }
            }
        }
    }
}

/// A kernel that forgets where it was: all chains become new draws of these states with these probabilities.
struct Redraw(Vec<Vec<f64>>, Vec<f64>);
impl Kernel<Rbm> for Redraw {
    fn advance(&self, _: &Rbm, slab: &mut Slab<'_>, rng: &mut Streams<'_>) -> Moves {
        let mut x = slab.x_mut();
        for j in 0..x.ncols() {
            let drawn = &self.0[pick(&self.1, rng.column(j).random())];
            x.column_mut(j).iter_mut().zip(drawn).for_each(|(x, d)| *x = *d as f32);
        }
        Moves::default()
    }
}
#[test]
fn gradients_of_the_likelihood_keep_the_law() {
    for seed in seeds() {
        for mut rbm in models(seed) {
            let v = cases::probes(&rbm, 9).rows(0, 4).clone_owned();
            if rbm.visible()[0].unit.support().is_some() {
                let mut exact = Contrastive::exact(&rbm).unwrap().plain();
                kept(laws::exact_gradient(&mut rbm, &mut exact, v.as_view(), 2), &name(&rbm), seed);
            }
        }
    }
}
/// With negative states that are exact draws, the gradient is right on average, and only on average.
#[test]
fn stochastic_gradients_of_the_likelihood_keep_the_law() {
    for seed in seeds() {
        for mut rbm in models(seed).into_iter().filter(|rbm| Oracle::of(rbm).is_discrete()) {
            let v = cases::probes(&rbm, 9).rows(0, 4).clone_owned();
            let (states, p) = Oracle::of(&rbm).joint();
            let mut exact = Contrastive::new(FromData::new(Redraw(states, p), seed)).plain();
            kept(laws::exact_gradient(&mut rbm, &mut exact, v.as_view(), 500), &name(&rbm), seed);
        }
    }
}

/// What cannot be checked is told apart from what is broken, and nothing panics.
#[test]
fn laws_that_do_not_apply_say_so() {
    let (mut rbm, data) = (cases::bernoulli(4, 3, 1), Mat::zeros(4, 6));
    let reals = cases::strong((4, Arc::new(Gaussian)), (3, Arc::new(Gaussian)), 1);
    let large = cases::bernoulli(40, 30, 1);
    let gibbs = BlockGibbs::new(1);
    assert!(laws::no_drift(&reals, &gibbs, 1).unwrap_err().is_intractable());
    assert!(laws::no_drift(&large, &gibbs, 1).unwrap_err().is_intractable());
    assert!(laws::exact_draws(&large, 9, 1).is_err());
    let cd = || Contrastive::cd(1, 1);
    let short = [
        laws::no_drift_from(&rbm, &gibbs, Mat::zeros(6, 100), 1),
        laws::no_drift_from(&rbm, &gibbs, Mat::zeros(7, 1), 1),
        laws::objective(&rbm, cd, data.rows(0, 3).clone_owned().as_view()),
        laws::objective(&rbm, cd, data.columns(0, 3).clone_owned().as_view()),
        laws::exact_gradient(&mut rbm, &mut cd(), Mat::zeros(7, 6).as_view(), 9),
        laws::exact_gradient(&mut rbm, &mut cd(), data.as_view(), 1),
    ];
    for verdict in short {
        let broken = verdict.unwrap_err();
        assert!(matches!(broken, laws::Broken::Unchecked { .. }) && !broken.is_intractable(), "{broken}");
        assert!(broken.to_string().contains("cannot be checked"), "{broken}");
    }
}
