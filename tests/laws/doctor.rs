//! The doctor against machines and runs whose ailment is known.

use harmonium::data::{bars_and_stripes, four_modes};
use harmonium::doctor::{CheckUp, Diagnosis, Doctor, Measured};
use harmonium::models::Rbm;
use harmonium::objectives::Contrastive;
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, Spin};
use harmonium::{Chains, Mat, Resume, Saved, Train};

/// Two spins, coupled by `w`: the visible one is a chain with `⟨v_t v_{t+1}⟩ = tanh² w`.
fn pair(w: f32) -> Rbm {
    let mut rbm = Rbm::new((1, Spin), (1, Spin));
    rbm.update(&mut |p| p.slice_mut(0).fill(w));
    rbm
}
fn of(rbm: &Rbm, data: &Mat, doctor: &Doctor) -> Diagnosis {
    doctor.examine(rbm, data, None).unwrap()
}
fn found(diagnosis: &Diagnosis, text: &str) -> bool {
    diagnosis.findings.iter().any(|f| f.what.contains(text))
}

#[test]
fn autocorrelation_times_are_those_of_the_chain() {
    let data = Mat::from_row_slice(1, 2, &[-1.0, 1.0]);
    let doctor = Doctor { chains: 40, sweeps: 6000, ..Doctor::default() };
    for w in [0.0f32, 0.5, 1.0, 1.5] {
        let rho = f64::from(w).tanh().powi(2);
        let time = (1.0 + rho) / (1.0 - rho);
        let mixing = of(&pair(w), &data, &doctor).measured.mixing;
        // 40 chains of 4,000 draws, of which the sum takes some six times τ: relative error √(12 τ / n).
        let error = 4.5 * (12.0 * time / 160_000.0).sqrt();
        assert!((mixing.autocorrelation_time / time - 1.0).abs() < error, "{w}: {mixing:?}, not {time}");
        assert!((mixing.split_r_hat - 1.0).abs() < 0.01, "{w}: {mixing:?}");
    }
}
#[test]
fn chains_that_stay_where_they_began_are_told() {
    let far = pair(4.0); // a flip every thousand sweeps or so
    let one_side = Mat::from_row_slice(1, 2, &[1.0, 1.0]);
    let doctor = Doctor { sweeps: 300, ..Doctor::default() };
    let stuck = of(&far, &one_side, &doctor);
    assert!(found(&stuck, "still apart"), "{stuck}");
    let near = of(&pair(0.5), &Mat::from_row_slice(1, 2, &[-1.0, 1.0]), &doctor);
    assert!(!found(&near, "still apart") && near.findings.is_empty(), "{near}");
}
#[test]
fn an_energy_without_a_minimum_is_told() {
    let mut rbm = Rbm::new((2, Gaussian), (2, Gaussian));
    rbm.update(&mut |p| p.slice_mut(0).fill(2.0));
    let data = Mat::from_row_slice(2, 4, &[-1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0]);
    let diagnosis = of(&rbm, &data, &Doctor::default());
    assert!(diagnosis.measured.mixing.ran_away && found(&diagnosis, "no minimum"), "{diagnosis}");
}
#[test]
fn short_sweeps_are_told_of_cd_on_data_with_far_modes() {
    let data = four_modes(0.001).unwrap().sample(1000, 1).unwrap();
    let mut rbm = Rbm::new((16, Bernoulli), (10, Bernoulli));
    rbm.initialise(&[0.5; 16], 0.0, 1).unwrap();
    let fit = Fit { epochs: 200, batch: 100, learning_rate: Schedule::Constant(0.2), ..Fit::default() };
    fit.run(&mut Run::new(&mut rbm, &mut Contrastive::cd(1, 1), &mut Sgd::default(), &mut Silent), &data).unwrap();
    let cd = Doctor { persistent: false, ..Doctor::default() };
    let diagnosis = of(&rbm, &data, &cd);
    assert!(found(&diagnosis, "CD-1 stops after 1 sweeps"), "{diagnosis}");
    // The same chains are given the sweeps that they need.
    let enough = diagnosis.measured.mixing.autocorrelation_time as usize;
    assert!(!found(&of(&rbm, &data, &Doctor { k: Some(enough), ..cd }), "stops after"));
}
#[test]
fn overfitting_is_told() {
    // Ten patterns of nothing but noise, learned by heart.
    let noise = |seed| Chains::from_base(&Rbm::new((20, Bernoulli), (1, Bernoulli)), &[0.0; 21], 10, seed);
    let rows = |seed| noise(seed).states.x().rows(0, 20).clone_owned();
    let (train, held_out) = (rows(1), rows(2));
    let mut rbm = Rbm::new((20, Bernoulli), (30, Bernoulli));
    rbm.initialise(&[0.5; 20], 0.0, 1).unwrap();
    let fit = Fit { epochs: 300, batch: 10, learning_rate: Schedule::Constant(0.1), ..Fit::default() };
    let examine = |rbm: &Rbm| Doctor::default().examine(rbm, &train, Some(&held_out)).unwrap();
    assert!(!found(&examine(&rbm), "less probable"));
    fit.run(&mut Run::new(&mut rbm, &mut Contrastive::cd(5, 1), &mut Sgd::default(), &mut Silent), &train).unwrap();
    assert!(found(&examine(&rbm), "less probable"), "{}", examine(&rbm));
}

fn run(rate: f32, epochs: u64, check_up: Option<&mut CheckUp>) -> Rbm {
    let data = bars_and_stripes(3).unwrap().patterns;
    let mut rbm = Rbm::new((9, Bernoulli), (8, Bernoulli));
    rbm.initialise(&[0.5; 9], 0.0, 1).unwrap();
    let learning_rate = Schedule::Constant(rate);
    let fit = Fit { epochs, batch: 14, learning_rate, ..Fit::default() };
    let mut pcd = Contrastive::pcd(1, Chains::zeros(&rbm, 50, 1));
    let (mut sgd, mut silent) = (Sgd::default(), Silent);
    let mut run = match check_up {
        Some(check_up) => Run::new(&mut rbm, &mut pcd, &mut sgd, check_up),
        None => Run::new(&mut rbm, &mut pcd, &mut sgd, &mut silent),
    };
    fit.run(&mut run, &data).unwrap();
    rbm
}
fn check_up(every: u64) -> CheckUp {
    CheckUp::new(Doctor { sweeps: 90, ..Doctor::default() }, every, bars_and_stripes(3).unwrap().patterns)
}
#[test]
fn looking_changes_nothing_and_learning_rates_out_of_range_are_told() {
    for (rate, text) in [(3.0, "lower"), (1e-5, "raise"), (0.1, "")] {
        let mut watch = check_up(100);
        let watched = run(rate, 1000, Some(&mut watch));
        use harmonium::Learn;
        assert_eq!(watched.params().as_slice(), run(rate, 1000, None).params().as_slice());
        assert_eq!(watch.looks.len(), 10);
        // Of the look at 30 % of the run.
        let findings = watch.doctor.judge(&watch.looks[2]);
        let about_updates: Vec<&str> =
            findings.iter().filter(|f| f.about == "updates").map(|f| f.advice.as_str()).collect();
        match text {
            "" => assert!(about_updates.is_empty(), "{rate}: {about_updates:?}"),
            text => assert!(about_updates.len() == 1 && about_updates[0].starts_with(text), "{rate}: {findings:?}"),
        }
        // What was so before the end is told at the end.
        let told = watch.diagnosis(&watched).unwrap().unwrap().to_string();
        assert_eq!(told.contains("% of the run, an update is"), text == "raise", "{rate}: {told}");
    }
}
#[test]
fn a_look_survives_a_saved_state() {
    let mut watch = check_up(40);
    run(0.1, 50, Some(&mut watch));
    let monitor: &mut dyn harmonium::train::Monitor<Rbm> = &mut watch;
    let mut state = Saved::default();
    monitor.save(&mut state);
    let mut other = check_up(40);
    let loaded: &mut dyn harmonium::train::Monitor<Rbm> = &mut other;
    loaded.load(&state).unwrap();
    assert_eq!(other.looks.len(), 2);
    // Debug text, in which not a number equals itself.
    let text = |looks: &[Measured]| format!("{looks:?}");
    assert_eq!(text(&other.looks), text(&watch.looks));
    let chains = Chains::zeros(&Rbm::new((1, Spin), (1, Spin)), 1, 1);
    let mut wrong = Saved::default();
    chains.save(&mut wrong);
    assert!(loaded_from(&wrong).is_err());
}
fn loaded_from(state: &Saved) -> harmonium::Result<()> {
    let monitor: &mut dyn harmonium::train::Monitor<Rbm> = &mut check_up(40);
    monitor.load(state)
}
#[test]
fn settings_without_sense_are_refused() {
    let data = Mat::from_row_slice(1, 2, &[-1.0, 1.0]);
    for doctor in [
        Doctor { chains: 1, ..Doctor::default() },
        Doctor { sweeps: 3, ..Doctor::default() },
        Doctor { cases: 0, ..Doctor::default() },
        Doctor { k: Some(0), ..Doctor::default() },
    ] {
        assert!(doctor.examine(&pair(1.0), &data, None).is_err());
    }
    let wide = Mat::zeros(2, 2);
    assert!(Doctor::default().examine(&pair(1.0), &wide, None).is_err());
    assert!(Doctor::default().examine(&pair(1.0), &data, Some(&wide)).is_err());
}
