//! Law 18, continued: the two directions of annealing have the truth between them, and what lies between them is told honestly.

use crate::cases;
use crate::reference::Oracle;
use harmonium::data::bars_and_stripes;
use harmonium::eval::{self, Ais, Bracket, Bracketing, End, Estimate, LogPartition, LowerBound, Raise};
use harmonium::eval::{ais, bracket, bracket_end, exact_log_partition, log_likelihood, raise};
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Fit, History, LogLikelihoodEnd, Monitor, Named, Progress, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian};
use harmonium::{Mat, Train};

/// The sixteen equally likely outcomes of bars and stripes of nine pixels.
fn outcomes() -> Mat {
    let all = bars_and_stripes(3).unwrap();
    let times = |p: &f64| (16.0 * p).round() as usize;
    let index: Vec<usize> = all.probabilities.iter().enumerate().flat_map(|(k, p)| vec![k; times(p)]).collect();
    Mat::from_fn(9, 16, |i, j| all.patterns[(i, index[j])])
}
/// 9 × 16 units that have learned them by the exact gradient, to -2.74 nats (-2.60 is the limit).
fn learned(monitor: &mut dyn Monitor<Rbm>) -> Rbm {
    let mut rbm = Rbm::new((9, Bernoulli), (16, Bernoulli));
    rbm.initialise(&[0.5; 9], 0.0, 1).unwrap();
    let mut exact = Contrastive::exact(&rbm).unwrap();
    let fit = Fit { epochs: 500, batch: 16, learning_rate: Schedule::Constant(0.5), ..Fit::default() };
    fit.run(&mut Run::new(&mut rbm, &mut exact, &mut Sgd::default(), monitor), &outcomes()).unwrap();
    rbm
}
fn exact(rbm: &Rbm, v: &Mat) -> f64 {
    log_likelihood(rbm, v, &LogPartition::exact(exact_log_partition(rbm).unwrap())).unwrap().value
}
fn settings(steps: usize, runs: usize, chains: usize, seed: u64) -> Bracketing {
    Bracketing { betas: Ais::linear(steps), runs, samples: 0, chains, seed, exact: false }
}

/// Half a nat at 100 temperatures, a twentieth at 1,000, a two-hundredth at 10,000; the Monte-Carlo error is below two fifths of that.
#[test]
fn errors_shrink_with_temperatures() {
    let (rbm, v) = (learned(&mut Silent), outcomes());
    let (exact, base) = (exact(&rbm, &v), [0.0; 25]);
    assert!((-2.8..-2.6).contains(&exact), "{exact}");
    for (steps, chains, allowed) in [(100, 30, 0.5), (1_000, 30, 0.05), (10_000, 40, 0.005)] {
        let betas = Ais::linear(steps);
        let forward = ais(&rbm, &base, &Ais { betas: betas.clone(), runs: 16 * chains, seed: 1 }).unwrap();
        let upper = log_likelihood(&rbm, &v, &forward).unwrap();
        let lower = raise(&rbm, &base, &v, &Raise { betas, samples: 0, chains, seed: 1 }).unwrap();
        for (way, value, error) in
            [("annealing", upper.value, upper.standard_error), ("reversed", lower.value, lower.chain_error)]
        {
            let off = value - exact;
            eprintln!("{steps} temperatures, {way}: off by {off:.5}, Monte-Carlo error {error:.5}");
            assert!(error < 0.4 * allowed, "{way}, {steps} temperatures: an error of {error} tells nothing");
            assert!(off.abs() < allowed, "{way}, {steps} temperatures: off by {off} nats");
        }
    }
}
/// Few temperatures, few runs: a bias larger than the noise of a median, each in its own direction.
#[test]
fn the_truth_lies_between_the_medians() {
    let (rbm, v) = (learned(&mut Silent), outcomes());
    let (exact, base) = (exact(&rbm, &v), [0.0; 25]);
    for steps in [5, 10, 20] {
        let ends: Vec<Bracket> =
            (0..401).map(|seed| bracket(&rbm, &base, &v, &settings(steps, 5, 1, seed)).unwrap()).collect();
        let median = |end: fn(&Bracket) -> f64| {
            let mut all: Vec<f64> = ends.iter().map(end).collect();
            all.sort_by(f64::total_cmp);
            (all[200], all[300] - all[100])
        };
        let ((lower, low_spread), (upper, high_spread)) = (median(|b| b.lower.value), median(|b| b.upper.value));
        eprintln!(
            "{steps} temperatures: {lower:.3} < {exact:.3} < {upper:.3}, quartiles {low_spread:.2} and {high_spread:.2} apart"
        );
        // A median of 401 normal numbers has a deviation of 0.046 times the distance of their quartiles.
        assert!(lower < exact - 3.0 * 0.046 * low_spread, "{steps} temperatures: {lower} and {exact}");
        assert!(upper > exact + 3.0 * 0.046 * high_spread, "{steps} temperatures: {upper} and {exact}");
    }
}
#[test]
fn ends_are_what_annealing_and_its_reversal_say() {
    let (rbm, v) =
        (cases::bernoulli(6, 4, 11), cases::probes(&cases::bernoulli(6, 4, 11), 40).rows(0, 6).clone_owned());
    let base = [0.1; 10];
    let s = Bracketing { samples: 9, ..settings(7, 30, 3, 4) };
    let got = bracket(&rbm, &base, &v, &s).unwrap();
    let lower = raise(&rbm, &base, &v, &Raise { betas: s.betas.clone(), samples: 9, chains: 3, seed: 4 }).unwrap();
    let log_z = ais(&rbm, &base, &Ais { betas: s.betas.clone(), runs: 30, seed: 4 }).unwrap();
    let upper = log_likelihood(&rbm, &v, &log_z).unwrap();
    let end = |value, standard_error| Estimate { value, standard_error };
    assert_eq!(
        (got.lower, got.upper),
        (end(lower.value, lower.standard_error), end(upper.value, upper.standard_error))
    );
    assert_eq!((got.sampling_error, got.samples, got.is_exact()), (upper.sampling_error, 9, false));
    assert_eq!(got.log_partition, log_z);
    let gap = got.gap();
    assert_eq!(gap.value, upper.value - lower.value);
    assert!((gap.standard_error.powi(2) - lower.standard_error.powi(2) - upper.standard_error.powi(2)).abs() < 1e-12);
    for (which, end) in [(End::Lower, got.lower), (End::Upper, got.upper)] {
        assert_eq!(bracket_end(&rbm, &base, &v, &s, which).unwrap(), end);
    }
}
#[test]
fn what_is_cheap_is_exact() {
    for rbm in cases::all() {
        let v = cases::probes(&rbm, 20).rows(0, 4).clone_owned();
        let got = bracket(&rbm, &[0.1; 7], &v, &Bracketing::default()).unwrap();
        let log_z = Oracle::of(&rbm).log_z();
        cases::close(got.log_partition.value, log_z, 20.0, &cases::name(&rbm));
        let expected = log_likelihood(&rbm, &v, &got.log_partition).unwrap();
        assert!(got.is_exact() && got.lower == got.upper && got.gap().value == 0.0 && got.warning().is_none());
        assert_eq!((got.lower.value, got.sampling_error), (expected.value, expected.sampling_error));
        assert_eq!(got.to_string(), format!("{:.3} nats, exactly", expected.value));
        for end in [End::Lower, End::Upper] {
            assert_eq!(bracket_end(&rbm, &[0.1; 7], &v, &Bracketing::default(), end).unwrap(), got.lower);
        }
    }
    // 2^24 states of 24 units beside 30: some seconds, and so it is annealed.
    let large = Rbm::new((30, Bernoulli), (24, Bernoulli));
    let got = bracket(&large, &[0.0; 54], &Mat::zeros(30, 3), &Bracketing::quick()).unwrap();
    assert!(!got.is_exact() && (got.upper.value + 30.0 * 2f64.ln()).abs() < 1e-6, "{got}");
    let mut without_minimum = Rbm::new((2, Gaussian), (2, Gaussian));
    without_minimum.update(&mut |p| p.slice_mut(0).fill(0.6));
    let got = bracket(&without_minimum, &[0.0; 4], &Mat::zeros(2, 3), &Bracketing::default()).unwrap();
    assert!(got.warning().unwrap().contains("no minimum"), "{got}");
}

/// Two modes that no chain leaves at low temperatures: the samples are of the one with a tenth of the probability.
#[test]
fn a_model_that_is_elsewhere_than_its_data_is_told() {
    let mut rbm = Rbm::new((20, Bernoulli), (1, Bernoulli));
    rbm.update(&mut |p| {
        p.slice_mut(0).fill(6.0);
        p.slice_mut(1).fill(-3.0);
        p.slice_mut(2).fill(-60.0 + 9f64.ln() as f32);
    });
    let v = Mat::from_fn(20, 50, |i, j| ((7 * i + j) % 21 == 0) as u8 as f32);
    let truth = exact(&rbm, &v);
    let s = Bracketing { samples: 20, ..settings(300, 200, 5, 1) };
    let got = bracket(&rbm, &[0.0; 21], &v, &s).unwrap();
    let text = got.warning().expect("a warning");
    eprintln!("exactly {truth:.3}: {got}");
    assert!(got.lower.value > truth + 0.5 && text.contains("above the upper one"), "{truth}: {got}");
    assert!((got.upper.value - truth).abs() < 4.5 * got.upper.standard_error, "{truth}: {got}");
}
/// A bracket with these ends, of even weights.
fn made(lower: (f64, f64), upper: (f64, f64)) -> Bracket {
    let log_z = LogPartition { standard_error: upper.1, ..LogPartition::from_log_weights(vec![-upper.0; 100]) };
    let bound = LowerBound {
        value: lower.0,
        standard_error: lower.1,
        chain_error: lower.1,
        sampling_error: 0.3,
        unnormalised: 0.0,
        log_partition: -lower.0,
        samples: vec![eval::SampleBound { index: 0, log_p: lower.0, log_partition: -lower.0, chain_error: lower.1 }],
    };
    Bracket::between(&bound, log_z)
}
#[test]
fn warnings_come_when_they_should() {
    let cases = [
        ((-86.5, 0.1), (-86.4, 0.1), None),
        ((-86.4, 0.1), (-86.5, 0.1), None),
        ((-86.9, 0.01), (-86.5, 0.01), None),
        ((-87.2, 0.1), (-86.4, 0.1), Some("0.80 ± 0.14 nats wide: use more temperatures")),
        ((-87.2, 0.4), (-86.4, 0.1), Some("use more samples and chains")),
        ((-86.4, 0.3), (-86.4, 0.1), Some("0.00 ± 0.32 nats wide")),
        ((-86.0, 0.05), (-86.4, 0.05), Some("0.40 ± 0.07 nats above the upper one")),
        ((-86.4, f64::NAN), (-86.4, 0.1), Some("not known")),
        ((f64::NEG_INFINITY, 0.1), (-86.4, 0.1), Some("wide")),
    ];
    for (lower, upper, expected) in cases {
        let got = made(lower, upper).warning();
        match expected {
            None => assert_eq!(got, None, "{lower:?} {upper:?}"),
            Some(text) => assert!(got.as_ref().is_some_and(|w| w.contains(text)), "{lower:?} {upper:?}: {got:?}"),
        }
    }
    let told = made((-86.5, 0.1), (-86.4, 0.1)).to_string();
    assert_eq!(told, "from -86.500 ± 0.100 to -86.400 ± 0.100 nats (gap 0.100 ± 0.141)");
    let mut uneven = made((-86.5, 0.1), (-86.4, 0.1));
    uneven.log_partition.effective_sample_size = 3.0;
    let told = uneven.to_string();
    assert!(told.lines().count() == 2 && told.contains("\nwarning: the effective sample size is 3.0 of 100"), "{told}");
}

/// Both ends as metrics of a run, beside the truth: at every look it lies between them, within their errors.
#[test]
fn a_run_is_followed_from_both_sides() {
    let v = outcomes();
    let s = settings(200, 100, 6, 1);
    let metric = |end| LogLikelihoodEnd { end, samples: v.clone(), base: vec![0.0; 25], settings: s.clone() };
    let truth = Named { name: "truth".into(), measure: |p: &Progress<'_, Rbm>| Ok(exact(p.model, &outcomes())) };
    let base = vec![0.0; 25];
    let errors = Named {
        name: "error".into(),
        measure: |p: &Progress<'_, Rbm>| Ok(bracket(p.model, &base, &v, &s)?.gap().standard_error),
    };
    let mut history = History::new(
        50,
        vec![Box::new(metric(End::Lower)), Box::new(metric(End::Upper)), Box::new(truth), Box::new(errors)],
    );
    learned(&mut history);
    assert_eq!(history.names()[..2], ["log_likelihood_from_below", "log_likelihood_from_above"]);
    assert_eq!(history.records.len(), 10);
    for record in &history.records {
        let [lower, upper, truth, error] = record.values[..] else { panic!("four numbers") };
        eprintln!("{}: {lower:.3} {truth:.3} {upper:.3} ± {error:.3}", record.step);
        assert!(error < 0.15 && lower < truth + 4.5 * error && truth < upper + 4.5 * error, "{record:?}");
        assert!((upper - lower).abs() < 0.1 + 4.5 * error, "{record:?}");
    }
}
