//! Law 19: what the kinds of negative phase have in common is the same to the bit, and what sets them apart is what they say.

use crate::cases::{self, name};
use harmonium::data::bars_and_stripes;
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, FastWeights, FromData, Objective, Persistent, Report};
use harmonium::optim::{Schedule, Sgd};
use harmonium::rng::derive;
use harmonium::samplers::{BlockGibbs, Moves, Tempering};
use harmonium::train::{Fit, History, Run, SwapRate};
use harmonium::{Batch, Chains, Energy, Learn, Mat, Train};

/// Gradients and reports of ten updates of plain descent.
fn run(rbm: &Rbm, mut objective: impl Objective<Rbm>) -> (Vec<u32>, Vec<Report>) {
    let (mut rbm, mut bits, mut reports) = (rbm.clone(), vec![], vec![]);
    let v = cases::probes(&rbm, 12).rows(0, rbm.n_visible()).clone_owned();
    let mut grad = rbm.params().zeros_like();
    for step in 0..10 {
        let batch = Batch { x: v.as_view(), weights: &[1.0; 12], missing: None, step };
        reports.push(objective.gradient(&rbm, &batch, &mut grad).unwrap());
        rbm.update(&mut |p| p.as_mut_slice().iter_mut().zip(grad.as_slice()).for_each(|(p, g)| *p -= 0.05 * g));
        bits.extend(grad.as_slice().iter().map(|g| g.to_bits()));
    }
    (bits, reports)
}
fn chains(rbm: &Rbm) -> Chains {
    Chains::new(cases::probes(rbm, 21), 5)
}

/// A constant `k` is `k` sweeps of one call of the kernel.
#[test]
fn k_times_one_sweep_is_one_time_k_sweeps() {
    for rbm in cases::all() {
        for k in [0, 1, 3] {
            let cd = Contrastive::new(FromData::new(BlockGibbs::new(k), 5));
            assert!(run(&rbm, Contrastive::cd(k, 5)) == run(&rbm, cd), "CD-{k}, {}", name(&rbm));
            let pcd = Contrastive::new(Persistent::new(BlockGibbs::backward(k), chains(&rbm)));
            assert!(run(&rbm, Contrastive::pcd(k, chains(&rbm))) == run(&rbm, pcd), "PCD-{k}, {}", name(&rbm));
        }
    }
}
/// Three CDs that each take over where `k` changes are the one whose `k` follows a schedule.
#[test]
fn k_follows_its_schedule() {
    let rbm = cases::bernoulli(9, 4, 1);
    let rising = Schedule::Linear { from: 1.0, to: 4.0, steps: 9 };
    let sweeps = |moves: &[Report], n: u64| moves.iter().map(|r| r.moves.proposed / n).collect::<Vec<u64>>();
    let mut cd = Contrastive::cd(7, 5);
    cd.negative.k = rising;
    let mut pcd = Contrastive::pcd(7, chains(&rbm));
    pcd.negative.k = rising;
    let (cd, pcd) = (run(&rbm, cd), run(&rbm, pcd));
    assert_eq!(sweeps(&cd.1, 12), [1, 1, 2, 2, 2, 3, 3, 3, 4, 4]);
    assert_eq!(sweeps(&pcd.1, 21), [1, 1, 2, 2, 2, 3, 3, 3, 4, 4]);
    let mut fpcd = Contrastive::fpcd(&rbm, 7, chains(&rbm), 0.1);
    fpcd.negative.persistent.k = rising;
    assert_eq!(sweeps(&run(&rbm, fpcd).1, 21), sweeps(&pcd.1, 21));
    let mut tempered = Contrastive::tempered(7, ladder(&rbm, &[1.0, 0.5]));
    tempered.negative.k = rising;
    assert_eq!(sweeps(&run(&rbm, tempered).1, 2 * 21), sweeps(&pcd.1, 21));
    let switch = |k| {
        let mut pcd = Contrastive::pcd(2, chains(&rbm));
        pcd.negative.k = k;
        run(&rbm, pcd)
    };
    assert!(switch(Schedule::Constant(2.0)) == run(&rbm, Contrastive::pcd(2, chains(&rbm))));
    let early = switch(Schedule::Switch { from: 2.0, to: 5.0, steps: 6 });
    let constant = switch(Schedule::Constant(2.0));
    let n = early.0.len() / 10;
    assert!(early.0[..6 * n] == constant.0[..6 * n] && early.0[6 * n..] != constant.0[6 * n..]);
}
#[test]
fn a_k_that_is_no_number_is_refused() {
    let rbm = cases::bernoulli(9, 4, 1);
    for k in [f32::NAN, -1.0, f32::INFINITY] {
        let mut cd = Contrastive::cd(1, 5);
        cd.negative.k = Schedule::Switch { from: 1.0, to: k, steps: 3 };
        let (x, mut grad) = (Mat::zeros(9, 4), rbm.params().zeros_like());
        let mut at =
            |step| cd.gradient(&rbm, &Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step }, &mut grad);
        assert!(at(2).is_ok());
        let e = at(3).unwrap_err().to_string();
        assert!(e.contains("k at step 3 must be a number, at least 0"), "{e}");
    }
}

fn fast(rbm: &Rbm, rate: f32, decay: f32) -> Contrastive<FastWeights<Rbm>> {
    let mut fpcd = Contrastive::fpcd(rbm, 2, chains(rbm), rate);
    fpcd.negative.decay = decay;
    fpcd
}
/// Fast weights that are always zero, because they are forgotten at once or never learn, leave PCD.
#[test]
fn without_fast_weights_it_is_pcd() {
    for rbm in cases::all() {
        let pcd = run(&rbm, Contrastive::pcd(2, chains(&rbm)));
        assert!(run(&rbm, fast(&rbm, 0.3, 0.0)) == pcd, "{}", name(&rbm));
        assert!(run(&rbm, fast(&rbm, 0.0, 0.95)) == pcd, "{}", name(&rbm));
        assert!(run(&rbm, fast(&rbm, 0.3, 0.95)) != pcd, "{}", name(&rbm));
        let plain = run(&rbm, Contrastive::pcd(2, chains(&rbm)).plain());
        assert!(run(&rbm, fast(&rbm, 0.3, 0.0).plain()) == plain && plain != pcd, "{}", name(&rbm));
    }
}
/// `θ_fast ← decay (θ_fast - rate · gradient)`, with the gradient that the model sees; and the chains move under the sum: as
/// those of PCD of a model that has the sum for its parameters.
#[test]
fn fast_weights_follow_the_gradient_and_move_the_chains() {
    let (mut rbm, v) = (cases::bernoulli(9, 4, 1), bars_and_stripes(3).unwrap().patterns);
    let batch = |step| Batch { x: v.as_view(), weights: &[1.0; 14], missing: None, step };
    let mut fpcd = fast(&rbm, 0.5, 0.9);
    let (mut grad, mut expected) = (rbm.params().zeros_like(), vec![0f32; rbm.params().as_slice().len()]);
    for step in 0..5 {
        let before = fpcd.negative.clone();
        fpcd.gradient(&rbm, &batch(step), &mut grad).unwrap();
        let mut sum = rbm.clone();
        sum.update(&mut |p| p.as_mut_slice().iter_mut().zip(&expected).for_each(|(p, f)| *p += f));
        let mut alone = before.persistent.chains;
        alone.advance(&BlockGibbs::backward(2), &sum);
        assert_eq!(fpcd.negative.persistent.chains.states.x(), alone.states.x());
        expected.iter_mut().zip(grad.as_slice()).for_each(|(f, g)| *f = 0.9 * (*f - 0.5 * g));
        assert_eq!(fpcd.negative.fast().as_slice(), expected);
        assert!(expected.iter().all(|f| *f != 0.0));
        rbm.update(&mut |p| p.as_mut_slice().iter_mut().zip(grad.as_slice()).for_each(|(p, g)| *p -= 0.1 * g));
    }
    // What a batch without weight leaves is what was there.
    fpcd.gradient(&rbm, &Batch { weights: &[0.0; 14], ..batch(5) }, &mut grad).unwrap();
    assert_eq!(fpcd.negative.fast().as_slice(), expected);
}
#[test]
fn fast_weights_that_make_no_sense_are_refused() {
    let (rbm, other) = (cases::bernoulli(9, 4, 1), cases::bernoulli(4, 9, 1));
    let refused = |rate, decay, of: &Rbm, words: &str| {
        let mut objective = fast(of, rate, decay);
        let (x, mut grad) = (Mat::zeros(9, 4), rbm.params().zeros_like());
        let e = objective
            .gradient(&rbm, &Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step: 0 }, &mut grad)
            .unwrap_err();
        assert!(e.to_string().contains(words), "{e}");
    };
    refused(f32::NAN, 0.9, &rbm, "the learning rate of the fast weights must be a number");
    refused(-0.1, 0.9, &rbm, "the learning rate of the fast weights");
    refused(0.1, 1.1, &rbm, "the decay of the fast weights must be within 0..=1");
    refused(0.1, f32::NAN, &rbm, "the decay");
    refused(0.1, 0.9, &other, "parameters of the fast weights: expected");
}

fn ladder(rbm: &Rbm, betas: &[f32]) -> Tempering {
    Tempering::new(rbm, betas.to_vec(), vec![0.1; rbm.n_rows()], 21, 5).unwrap()
}
/// A ladder of one temperature is PCD; one of more is not.
#[test]
fn without_temperatures_it_is_pcd() {
    for rbm in cases::all() {
        let start = Chains::from_base(&rbm, &[0.1; 7], 21, derive(5, "temperature 0"));
        let (pcd, alone) =
            (run(&rbm, Contrastive::pcd(2, start)), run(&rbm, Contrastive::tempered(2, ladder(&rbm, &[1.0]))));
        assert!(pcd == alone, "{}", name(&rbm));
        let more = run(&rbm, Contrastive::tempered(2, ladder(&rbm, &[1.0, 0.5])));
        assert!(more.0 != pcd.0, "{}", name(&rbm));
        assert!(more.1.iter().all(|r| r.swaps.proposed == 21 && r.swaps.accepted <= 21), "{:?}", more.1);
    }
}
/// The metric of a run is the share of swaps made; it is no number without temperatures.
#[test]
fn rates_of_swaps_can_be_watched() {
    let data = bars_and_stripes(3).unwrap().patterns;
    let watch = |objective: &mut dyn Objective<Rbm>| {
        let mut rbm = cases::bernoulli(9, 4, 1);
        let mut history = History::new(4, vec![Box::new(SwapRate)]);
        let fit = Fit { epochs: 4, batch: 7, ..Fit::default() };
        fit.run(&mut Run::new(&mut rbm, objective, &mut Sgd::default(), &mut history), &data).unwrap();
        history.last("swap_rate").unwrap()
    };
    let rbm = cases::bernoulli(9, 4, 1);
    let mut tempered = Contrastive::tempered(2, ladder(&rbm, &[1.0, 0.7, 0.4]));
    let rate = watch(&mut tempered);
    assert!(rate > 0.2 && rate < 1.0, "{rate}");
    assert!(tempered.negative.tempering.swap_rates().iter().all(|r| (0.2..1.0).contains(r)));
    assert!(watch(&mut Contrastive::cd(1, 1)).is_nan() && Moves::default().rate().is_nan());
}
#[test]
fn a_ladder_of_another_model_is_refused() {
    let (rbm, other) = (cases::bernoulli(9, 4, 1), cases::bernoulli(9, 5, 1));
    let mut tempered = Contrastive::tempered(1, ladder(&other, &[1.0, 0.5]));
    let (x, mut grad) = (Mat::zeros(9, 4), rbm.params().zeros_like());
    let e = tempered
        .gradient(&rbm, &Batch { x: x.as_view(), weights: &[1.0; 4], missing: None, step: 0 }, &mut grad)
        .unwrap_err();
    assert!(e.to_string().contains("rows of the chains: expected 13, got 14"), "{e}");
}
