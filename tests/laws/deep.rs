//! Deep Boltzmann machines: the laws of models at two, three and four layers; energies against their definition in double
//! precision; bounds below the exact likelihood, annealing within its error; and with one hidden layer the RBM, in every number.

use crate::cases::{self, close};
use crate::reference::{log_sum_exp, normal, product};
use harmonium::data::{Masked, bars_and_stripes};
use harmonium::eval::{
    Ais, LogPartition, ais, annealed_log_likelihoods, exact_log_partition, log_likelihood_bound, log_likelihood_bounds,
    log_likelihoods,
};
use harmonium::infer::{Draws, features, impute};
use harmonium::models::{Dbm, MeanField, Rbm};
use harmonium::objectives::{Contrastive, Objective};
use harmonium::optim::{Schedule, Sgd};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Binomial, Gaussian, LogPrecision, Softmax, Spin};
use harmonium::{Batch, Chains, Conditioned, Energy, Gibbs, Learn, Mask, Mat, States, Train, Unit, laws};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;

type Layer = (usize, Arc<dyn Unit>);
fn bernoulli(n: usize) -> Layer {
    (n, Arc::new(Bernoulli))
}
fn with(n: usize, unit: impl Unit) -> Layer {
    (n, Arc::new(unit))
}

/// Normal parameters: couplings of this size, the others half as large.
fn random(mut dbm: Dbm, scale: f64, seed: u64) -> Dbm {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let slots = dbm.params().layout();
    dbm.update(&mut |p| {
        for slot in slots.iter() {
            let size = if slot.role.is_weights() { scale } else { 0.5 };
            p.as_mut_slice()[slot.range()].iter_mut().for_each(|v| *v = (size * normal(&mut rng)) as f32);
        }
    });
    dbm
}
/// Machines of two, three and four layers (hidden ones counted apart: one, two and three) and of several kinds of units.
fn machines(seed: u64) -> Vec<Dbm> {
    let layers: Vec<Vec<Layer>> = vec![
        vec![bernoulli(4), bernoulli(3)],
        vec![bernoulli(4), bernoulli(3), bernoulli(3)],
        vec![bernoulli(3), bernoulli(3), bernoulli(2), bernoulli(2)],
        vec![bernoulli(2), bernoulli(2), bernoulli(2), bernoulli(2), bernoulli(2)],
        vec![with(3, Spin), bernoulli(3), with(2, Spin)],
        vec![bernoulli(3), with(4, Softmax { q: 2 }), bernoulli(2), with(3, Softmax { q: 3 })],
        vec![with(3, Binomial { n: 2 }), bernoulli(2), with(2, Binomial { n: 2 })],
        vec![with(3, LogPrecision), bernoulli(3), bernoulli(2)],
        vec![with(3, Gaussian), with(2, Spin), bernoulli(2)],
    ];
    layers.iter().map(|l| random(Dbm::new(l), 0.7, seed)).collect()
}
fn name(dbm: &Dbm) -> String {
    dbm.blocks().iter().map(|b| format!("{} {}", b.rows.len(), b.unit.name())).collect::<Vec<_>>().join(", ")
}
fn discrete() -> impl Iterator<Item = Dbm> {
    let all = (1..4).flat_map(machines);
    all.filter(|m| m.blocks().iter().all(|b| b.unit.support().is_some()))
}
/// All states of the visible units, one a column.
fn visible_states(dbm: &Dbm) -> Mat {
    let block = dbm.blocks().iter().find(|b| b.rows.start == 0).expect("visible units");
    let values: Vec<f64> = block.unit.support().expect("discrete units").iter().map(|v| f64::from(v[0])).collect();
    let states = product(&values, dbm.n_visible());
    Mat::from_fn(dbm.n_visible(), states.len(), |i, j| states[j][i] as f32)
}

#[test]
fn deep_machines_keep_all_laws_of_models() {
    for seed in 1..3 {
        for mut dbm in machines(seed) {
            let verdicts = laws::model(&mut dbm, seed);
            assert!(verdicts.len() >= 8, "{}", name(&dbm));
            for verdict in verdicts {
                let kept = verdict.unwrap_or_else(|broken| panic!("{}: {broken}", name(&dbm)));
                assert!(kept.checks > 0, "{kept:?}");
            }
        }
    }
}
/// Pixels beside a label, and hidden units of two kinds in one layer.
#[test]
fn layers_of_several_kinds_keep_all_laws() {
    let visible = [bernoulli(2), with(3, Softmax { q: 3 })];
    let hidden = [bernoulli(2), with(1, Spin)];
    let mut dbm = random(Dbm::with_layers(&[&visible, &hidden, &[bernoulli(2)]]), 0.7, 1);
    for verdict in laws::model(&mut dbm, 1) {
        verdict.unwrap();
    }
}
#[test]
fn energies_match_the_definition() {
    for dbm in machines(1).iter().filter(|m| m.blocks().iter().all(|b| b.unit.n_theta() == 0)) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let x = Mat::from_fn(dbm.n_rows(), 7, |_, _| (normal(&mut rng) > 0.0) as u8 as f32);
        let mut got = vec![0.0; 7];
        dbm.energy(x.as_view(), &mut got);
        for (j, got) in got.into_iter().enumerate() {
            let value = |i: usize| f64::from(x[(i, j)]);
            let mut expected = 0.0;
            for l in 0..dbm.n_layers() {
                let rows = dbm.rows(l);
                expected -= rows.clone().zip(dbm.bias(l)).map(|(i, b)| f64::from(*b) * value(i)).sum::<f64>();
                for b in dbm.blocks_of(l) {
                    let block = &dbm.blocks()[b];
                    expected += block.unit.base_energy(&[], &x.column(j).as_slice()[block.rows.clone()]);
                }
                if l > 0 {
                    for (u, i) in rows.enumerate() {
                        for (d, k) in dbm.rows(l - 1).enumerate() {
                            expected -= value(i) * f64::from(dbm.weights(l)[(u, d)]) * value(k);
                        }
                    }
                }
            }
            close(got, expected, expected, &name(dbm));
        }
    }
}

#[test]
fn the_bound_is_below_the_exact_likelihood_and_near_it() {
    let mut checked = 0;
    for dbm in discrete().filter(|m| m.n_rows() < 12) {
        let log_z = LogPartition::exact(exact_log_partition(&dbm).unwrap());
        let block = dbm.blocks().iter().find(|b| b.rows.start == 0).expect("visible units");
        if block.unit.width() > 1 {
            continue;
        }
        let v = visible_states(&dbm);
        let bounds = log_likelihood_bounds(&dbm, &v, &log_z).unwrap();
        let mut total = vec![];
        for (j, bound) in bounds.into_iter().enumerate() {
            let sample = v.column(j).clone_owned();
            let at = Conditioned::new(&dbm, sample.as_slice()).unwrap();
            let exact = if dbm.n_layers() == 2 {
                log_likelihoods(&dbm, &v.columns(j, 1).clone_owned(), &log_z).unwrap()[0]
            } else {
                exact_log_partition(&at).unwrap() - log_z.value
            };
            assert!(bound <= exact + 1e-4, "{}: {bound} above {exact}", name(&dbm));
            assert!(bound > exact - 2.0, "{}: {bound} far below {exact}", name(&dbm));
            if dbm.n_layers() == 2 {
                assert!((bound - exact).abs() < 1e-6, "{bound} and {exact}");
            }
            total.push(exact);
            checked += 1;
        }
        // Exact likelihoods of all samples there are sum to one.
        close(log_sum_exp(&total), 0.0, 10.0, &name(&dbm));
    }
    assert!(checked > 100, "{checked}");
}
/// Bounds rise with the passes of mean field, up to rounding, and even one pass gives a bound.
#[test]
fn more_passes_never_lower_the_bound() {
    for mut dbm in
        machines(2).into_iter().filter(|m| m.n_layers() > 2 && m.blocks().iter().all(|b| b.unit.width() == 1))
    {
        let discrete = dbm.blocks().iter().all(|b| b.unit.support().is_some());
        let v =
            if discrete { visible_states(&dbm) } else { Mat::from_fn(3, 4, |i, j| 0.3 * i as f32 - 0.2 * j as f32) };
        let mut last = vec![f64::NEG_INFINITY; v.ncols()];
        for passes in [1, 2, 3, 5, 10, 30] {
            dbm.set_inference(MeanField { tolerance: 0.0, passes });
            let bounds = log_likelihood_bounds(&dbm, &v, &LogPartition::exact(0.0)).unwrap();
            for (now, before) in bounds.iter().zip(&last) {
                assert!(now >= &(before - 1e-4), "{}, {passes} passes: {now} after {before}", name(&dbm));
            }
            last = bounds;
        }
    }
}
/// A sample's mean field does not depend on who is beside it, and its means answer their fields.
#[test]
fn mean_field_is_a_fixed_point_sample_by_sample() {
    let mut dbm = random(Dbm::new(&[bernoulli(6), bernoulli(5), bernoulli(4), bernoulli(3)]), 0.7, 3);
    dbm.set_inference(MeanField { tolerance: 1e-6, passes: 1000 });
    let v = Mat::from_fn(6, 40, |i, j| ((j >> i) & 1) as f32);
    let infer = |v: &Mat| {
        let mut states = States::default();
        states.clamp(dbm.n_rows(), v.as_view());
        dbm.infer(&mut states);
        states
    };
    let mut all = infer(&v);
    let means: Vec<Mat> = (0..3).map(|b| all.mean(&dbm, b).clone_owned()).collect();
    let mut at_means = all.x().clone_owned();
    for (b, mean) in means.iter().enumerate() {
        at_means.rows_range_mut(dbm.blocks()[b].rows.clone()).copy_from(mean);
    }
    for (b, mean) in means.iter().enumerate() {
        let rows = dbm.blocks()[b].rows.clone();
        let mut field = Mat::zeros(rows.len(), 40);
        dbm.field(rows, at_means.as_view(), field.as_view_mut());
        assert!(field.map(|f| 1.0 / (1.0 + (-f).exp())).relative_eq(mean, 1e-4, 1e-4));
    }
    for j in [0, 7, 39] {
        let mut alone = infer(&v.columns(j, 1).clone_owned());
        for (b, mean) in means.iter().enumerate() {
            assert_eq!(alone.mean(&dbm, b).clone_owned(), mean.columns(j, 1).clone_owned());
        }
    }
}
#[test]
fn annealing_is_within_its_error_of_exact_for_two_to_four_layers() {
    for dbm in discrete().filter(|m| m.n_layers() > 1 && m.n_layers() < 5) {
        let exact = exact_log_partition(&dbm).unwrap();
        let settings = Ais { betas: Ais::linear(300), runs: 1000, seed: 4 };
        let found = ais(&dbm, &vec![0.0; dbm.n_rows()], &settings).unwrap();
        let off = (found.value - exact).abs();
        assert!(off < 5.0 * found.standard_error, "{}: {found:?} instead of {exact}", name(&dbm));
        assert!(found.standard_error < 0.02, "{}: {}", name(&dbm), found.standard_error);
    }
}
#[test]
fn annealing_given_a_sample_is_within_its_error_of_exact() {
    for dbm in discrete().filter(|m| m.n_layers() > 2 && m.blocks().iter().all(|b| b.unit.width() == 1)) {
        let v = visible_states(&dbm).columns(0, 4).clone_owned();
        let settings = Ais { betas: Ais::linear(50), runs: 500, seed: 4 };
        let found = annealed_log_likelihoods(&dbm, v.as_view(), &LogPartition::exact(0.0), &settings).unwrap();
        let bounds = log_likelihood_bounds(&dbm, &v, &LogPartition::exact(0.0)).unwrap();
        for (j, found) in found.iter().enumerate() {
            let sample = v.column(j).clone_owned();
            let exact = exact_log_partition(&Conditioned::new(&dbm, sample.as_slice()).unwrap()).unwrap();
            let off = (found.value - exact).abs();
            assert!(off < 5.0 * found.standard_error + 1e-5, "{}: {found:?} instead of {exact}", name(&dbm));
            assert!(found.standard_error < 0.03 && bounds[j] < exact + 1e-4);
        }
    }
}

/// The RBM of the same parameters.
fn as_rbm(dbm: &Dbm, visible: Layer, hidden: Layer) -> Rbm {
    let mut rbm = Rbm::with_units(visible, hidden);
    rbm.update(&mut |p| {
        for slot in p.layout().iter() {
            let name = match slot.name.as_str() {
                "weights" => "weights1".to_string(),
                other => other.replace("hidden_", "hidden1_"),
            };
            let from = dbm.params().slots().iter().find(|s| s.name == name).expect("a slot of this name");
            let values = dbm.params().as_slice()[from.range()].to_vec();
            p.as_mut_slice()[slot.range()].copy_from_slice(&values);
        }
    });
    rbm
}
#[test]
fn with_one_hidden_layer_it_is_the_rbm_to_the_bit() {
    for (visible, hidden) in
        cases::kinds().into_iter().flat_map(|v| cases::kinds().into_iter().map(move |h| (v.clone(), h)))
    {
        let scale = if visible.support().is_none() && hidden.support().is_none() { 0.2 } else { 0.7 };
        let (visible, hidden) = ((5, visible), (4, hidden));
        let dbm = random(Dbm::new(&[visible.clone(), hidden.clone()]), scale, 1);
        let rbm = as_rbm(&dbm, visible.clone(), hidden.clone());
        let v = Mat::from_fn(5, 12, |i, j| (i + j).is_multiple_of(3) as u8 as f32);
        let mut x = Mat::from_element(9, 12, 1.0);
        x.rows_mut(0, 5).copy_from(&v);
        let [mut a, mut b] = [vec![0.0; 12], vec![0.0; 12]];
        dbm.energy(x.as_view(), &mut a);
        rbm.energy(x.as_view(), &mut b);
        a.iter().zip(&b).for_each(|(a, b)| close(*a, *b, *b, "energies"));
        assert_eq!(
            log_likelihoods(&dbm, &v, &LogPartition::exact(0.0)).ok(),
            log_likelihoods(&rbm, &v, &LogPartition::exact(0.0)).ok()
        );
        if let Ok(bounds) = log_likelihood_bounds(&dbm, &v, &LogPartition::exact(0.0)) {
            assert_eq!(bounds, log_likelihoods(&rbm, &v, &LogPartition::exact(0.0)).unwrap());
        }
        let settings = Ais { betas: Ais::linear(20), runs: 10, seed: 1 };
        let base = vec![0.1; 9];
        let [a, b] = [ais(&dbm, &base, &settings), ais(&rbm, &base, &settings)].map(Result::unwrap);
        a.log_weights.iter().zip(&b.log_weights).for_each(|(a, b)| close(*a, *b, *b, "annealing"));
        let batch = Batch { x: v.as_view(), weights: &[1.0; 12], missing: None, step: 0 };
        let [mut to, mut from] = [dbm.params().zeros_like(), rbm.params().zeros_like()];
        let chains = |n_rows: usize| Chains::new(Mat::from_element(n_rows, 10, 0.0), 3);
        let of_dbm: [Box<dyn Objective<Dbm>>; 2] =
            [Box::new(Contrastive::cd(2, 7)), Box::new(Contrastive::pcd(1, chains(9)))];
        let of_rbm: [Box<dyn Objective<Rbm>>; 2] =
            [Box::new(Contrastive::cd(2, 7)), Box::new(Contrastive::pcd(1, chains(9)))];
        for (mut of_dbm, mut of_rbm) in of_dbm.into_iter().zip(of_rbm) {
            for _ in 0..3 {
                of_dbm.gradient(&dbm, &batch, &mut to).unwrap();
                of_rbm.gradient(&rbm, &batch, &mut from).unwrap();
                for slot in from.slots() {
                    let name = if slot.name == "weights" {
                        "weights1".into()
                    } else {
                        slot.name.replace("hidden_", "hidden1_")
                    };
                    let own = to.slots().iter().find(|s| s.name == name).unwrap();
                    assert_eq!(to.as_slice()[own.range()], from.as_slice()[slot.range()], "{name}");
                }
            }
        }
    }
}
#[test]
fn pretrained_layers_give_half_of_what_either_side_tells() {
    let mut dbm = Dbm::new(&[bernoulli(4), bernoulli(3), bernoulli(3), bernoulli(2)]);
    let mut machines: Vec<Rbm> = (1..4).map(|l| dbm.machine_of_layer(l).unwrap()).collect();
    let kinds = |rbm: &Rbm| (rbm.visible()[0].unit.size(), rbm.hidden()[0].unit.size());
    // Twice the data below, twice the hidden units above, and plain units between.
    assert_eq!(machines.iter().map(kinds).collect::<Vec<_>>(), [(Some(2), None), (None, None), (None, Some(2))]);
    for (k, machine) in machines.iter_mut().enumerate() {
        *machine = cases::random(machine.clone(), 0.7, 1 + k as u64);
    }
    dbm.compose(&machines).unwrap();
    // The field of a layer is the mean of its fields in both machines, of doubled data and doubled units at the ends.
    let x = Mat::from_fn(12, 8, |i, j| ((i + j * 3) % 5) as f32 / 4.0);
    let own = |rows: std::ops::Range<usize>, scale: f32| x.rows_range(rows) * scale;
    let stacked = |below: Mat, above: Mat| {
        Mat::from_fn(below.nrows() + above.nrows(), 8, |i, j| {
            if i < below.nrows() { below[(i, j)] } else { above[(i - below.nrows(), j)] }
        })
    };
    let field = |rbm: &Rbm, x: &Mat, hidden: bool| {
        let rows = if hidden { rbm.n_visible()..rbm.n_rows() } else { 0..rbm.n_visible() };
        let mut out = Mat::zeros(rows.len(), 8);
        rbm.field(rows, x.as_view(), out.as_view_mut());
        out
    };
    let deep = |l: usize| {
        let mut out = Mat::zeros(dbm.rows(l).len(), 8);
        dbm.field(dbm.rows(l), x.as_view(), out.as_view_mut());
        out
    };
    let first = field(&machines[0], &stacked(own(0..4, 2.0), own(4..7, 1.0)), true);
    let second = stacked(own(4..7, 1.0), own(7..10, 1.0));
    let third = stacked(own(7..10, 1.0), own(10..12, 2.0));
    assert!(deep(1).relative_eq(&((first + field(&machines[1], &second, false)) * 0.5), 1e-5, 1e-5));
    let both = field(&machines[1], &second, true) + field(&machines[2], &third, false);
    assert!(deep(2).relative_eq(&(both * 0.5), 1e-5, 1e-5));
    // The ends are what their machines say of one unit of the two.
    assert!(deep(0).relative_eq(&field(&machines[0], &stacked(own(0..4, 2.0), own(4..7, 1.0)), false), 1e-5, 1e-5));
    assert!(deep(3).relative_eq(&field(&machines[2], &third, true), 1e-5, 1e-5));
    assert!(dbm.compose(&machines[..2]).is_err() && dbm.machine_of_layer(4).is_err());
    assert!(Dbm::new(&[with(2, Gaussian), bernoulli(2), bernoulli(2)]).machine_of_layer(1).is_err());
    assert!(Dbm::new(&[with(2, Gaussian), bernoulli(2)]).machine_of_layer(1).is_ok());
}
/// Joint learning from small random weights, on the exact likelihood of a machine that can be enumerated.
#[test]
fn joint_learning_reaches_the_likelihood_of_the_patterns() {
    let data = bars_and_stripes(3).unwrap().sample(600, 1).unwrap();
    let mut dbm = Dbm::new(&[bernoulli(9), bernoulli(8), bernoulli(4)]);
    dbm.initialise(&[0.5; 9], 0.01, 1).unwrap();
    let mut pcd = Contrastive::pcd(3, Chains::zeros(&dbm, 100, 1));
    let fit = Fit { epochs: 300, batch: 50, learning_rate: Schedule::Constant(0.1), ..Fit::default() };
    fit.run(&mut Run::new(&mut dbm, &mut pcd, &mut Sgd::default(), &mut Silent), &data).unwrap();
    let log_z = LogPartition::exact(exact_log_partition(&dbm).unwrap());
    let bound = log_likelihood_bound(&dbm, &data, &log_z).unwrap().value;
    let exact = (0..40).map(|j| {
        let v = data.column(j).clone_owned();
        exact_log_partition(&Conditioned::new(&dbm, v.as_slice()).unwrap()).unwrap() - log_z.value
    });
    let exact = exact.sum::<f64>() / 40.0;
    println!("bound {bound}, exact of forty {exact}");
    // Chance is -6.24, the entropy of the patterns -2.63.
    assert!(bound > -3.6 && bound <= log_likelihood_bound(&dbm, &data, &log_z).unwrap().value + 1e-9);
}
/// What is missing is drawn given the rest, with the hidden layers, and learned from.
#[test]
fn missing_entries_are_filled() {
    let data = bars_and_stripes(3).unwrap().sample(600, 1).unwrap();
    let gaps = Mask::from_fn(9, 600, |i, j| (i * 7 + j * 5) % 9 < 2);
    let masked = Masked::new(&data, gaps).unwrap();
    let mut dbm = Dbm::new(&[bernoulli(9), bernoulli(8), bernoulli(4)]);
    dbm.initialise(&[0.5; 9], 0.01, 1).unwrap();
    let mut pcd = Contrastive::pcd(3, Chains::zeros(&dbm, 100, 1)).filling(5, 1);
    let fit = Fit { epochs: 400, batch: 50, learning_rate: Schedule::Constant(0.1), ..Fit::default() };
    fit.run(&mut Run::new(&mut dbm, &mut pcd, &mut Sgd::default(), &mut Silent), &masked).unwrap();
    let log_z = LogPartition::exact(exact_log_partition(&dbm).unwrap());
    let bound = log_likelihood_bound(&dbm, &data, &log_z).unwrap().value; // of complete patterns
    assert!(bound > -3.5, "{bound}");
    let unknown = Mask::from_fn(9, 1, |i, _| i >= 6);
    let half = Mat::from_column_slice(9, 1, &[1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let guess = impute(&dbm, half.as_view(), &unknown, &Draws { sweeps: 100, ..Draws::default() }).unwrap();
    let row: Vec<f32> = guess.mean.rows(6, 3).iter().copied().collect();
    assert!(row[0] > 0.6 && row[1] < 0.4 && row[2] > 0.6, "columns go on: {row:?}");
    assert_eq!(features(&dbm, half.as_view()).unwrap().nrows(), 12);
}
/// A network that begins with the machine's weights says at first what mean field says.
#[test]
fn the_network_of_a_deep_machine_has_its_means() {
    for layers in [vec![bernoulli(6), bernoulli(5), bernoulli(4)], vec![bernoulli(6), with(5, Spin)]] {
        let mut dbm = random(Dbm::new(&layers), 0.5, 3);
        dbm.set_inference(MeanField { tolerance: 1e-6, passes: 1000 });
        let v = Mat::from_fn(6, 20, |i, j| ((i * 5 + j * 3) % 7) as f32 / 6.0);
        let means = features(&dbm, v.as_view()).unwrap();
        let (net, inputs) = (dbm.to_classifier(3).unwrap(), dbm.network_inputs(v.as_view()).unwrap());
        let first = net.network().forward_to(1, inputs.as_view()).unwrap();
        assert!(first.relative_eq(&means.rows(0, 5), 1e-4, 1e-4));
        if layers.len() == 3 {
            assert!(net.network().forward_to(2, inputs.as_view()).unwrap().relative_eq(&means.rows(5, 4), 1e-4, 1e-4));
        }
        assert!(net.predict(inputs.as_view()).unwrap().iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6));
        assert!(dbm.to_classifier(0).is_err() && dbm.network_inputs(v.rows(0, 5)).is_err());
    }
}
#[test]
fn what_does_not_fit_is_refused() {
    let dbm = random(Dbm::new(&[bernoulli(4), bernoulli(3), bernoulli(2)]), 0.5, 1);
    let log_z = LogPartition::exact(0.0);
    let says = |data: &Mat| log_likelihood_bounds(&dbm, data, &log_z).expect_err("refused").to_string();
    assert!(says(&Mat::zeros(3, 2)).contains("rows of samples"));
    assert!(says(&Mat::from_element(4, 2, 0.5)).contains("unit 0 of sample 0"));
    assert!(says(&Mat::zeros(4, 0)).contains("number of samples"));
    assert!(
        log_likelihoods(&dbm, &Mat::zeros(4, 1), &log_z).expect_err("no closed form").to_string().contains("bounds")
    );
    let settings = Ais { betas: Ais::linear(3), runs: 2, seed: 1 };
    assert!(annealed_log_likelihoods(&dbm, Mat::zeros(3, 1).as_view(), &log_z, &settings).is_err());
    // More fixed than there is; and a part of a block.
    assert!(Conditioned::new(&dbm, &[0.0; 10]).is_err() && Conditioned::new(&dbm, &[0.0; 3]).is_err());
    // Hidden units of which a part is fixed are not inferred, and have no bound.
    let two = Dbm::with_layers(&[&[bernoulli(2), bernoulli(2)], &[bernoulli(3)], &[bernoulli(2)]]);
    let half = Conditioned::new(&two, &[0.0, 1.0]).unwrap();
    assert!(
        log_likelihood_bounds(&half, &Mat::zeros(2, 1), &log_z).expect_err("no bound").to_string().contains("infer")
    );
    let mut machines: Vec<Rbm> = (1..3).map(|l| dbm.machine_of_layer(l).unwrap()).collect();
    machines[0] = Rbm::new((4, Bernoulli), (3, Bernoulli)); // not doubled
    assert!(dbm.clone().compose(&machines).expect_err("other units").to_string().contains("units of machine 1"));
}
