//! Law 6: the same seed gives the same bits for any number of threads, and a chain does not depend on how many others
//! there are.

use crate::cases;
use harmonium::data::bars_and_stripes;
use harmonium::eval::{Ais, Raise, ais, energies_without, raise};
use harmonium::models::Rbm;
use harmonium::objectives::{Contrastive, Objective};
use harmonium::optim::{Schedule, Sgd};
use harmonium::samplers::{BlockGibbs, Tempering};
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::{Bernoulli, Gaussian, Spin};
use harmonium::{Chains, Learn, Mat, Train, laws};

#[track_caller]
fn invariant<T: PartialEq + Send>(what: &str, f: impl Fn() -> T + Sync) {
    laws::threads(what, f).unwrap_or_else(|broken| panic!("{broken}"));
}
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}
/// 300 × 70 units: with visible biases of -2, few units are on and products take the sparse route; with 2, the dense one.
fn machines() -> Vec<(&'static str, Rbm)> {
    let with_bias = |bias: f32| {
        let mut rbm = cases::random(Rbm::new((300, Bernoulli), (70, Bernoulli)), 0.1, 1);
        rbm.update(&mut |p| {
            p.slice_mut(1).fill(bias);
            p.slice_mut(2).fill(bias);
        });
        rbm
    };
    let spins = cases::random(Rbm::new((300, Spin), (70, Spin)), 0.1, 2);
    let reals = cases::random(Rbm::new((300, Gaussian), (70, Bernoulli)), 0.1, 3);
    vec![("sparse", with_bias(-2.0)), ("dense", with_bias(2.0)), ("spins", spins), ("reals", reals)]
}
fn chains(rbm: &Rbm, columns: usize) -> Mat {
    let mut chains = Chains::zeros(rbm, columns, 5);
    chains.advance(&BlockGibbs::new(3), rbm);
    chains.advance(&BlockGibbs::backward(2), rbm);
    chains.states.x().clone_owned()
}

#[test]
fn chains_depend_neither_on_threads_nor_on_their_number() {
    for (what, rbm) in &machines() {
        for kernel in [BlockGibbs::new(2), BlockGibbs::backward(1)] {
            laws::chains_threads(rbm, &kernel, 5).unwrap_or_else(|broken| panic!("{what}: {broken}"));
        }
    }
}
#[test]
fn evaluation_does_not_depend_on_threads() {
    for (what, rbm) in &machines() {
        let v = chains(rbm, 203);
        invariant(what, || energies_without(rbm, &[Rbm::HIDDEN], v.as_view()).unwrap());
        let settings = Ais { betas: Ais::linear(10), runs: 43, seed: 1 };
        invariant(what, || ais(rbm, &vec![0.1; 370], &settings).unwrap().log_weights);
        let (v, settings) =
            (v.rows(0, 300).clone_owned(), Raise { betas: Ais::linear(5), samples: 43, chains: 3, seed: 1 });
        invariant(what, || raise(rbm, &vec![0.1; 370], &v, &settings).unwrap());
    }
}

type Make = fn(&Rbm) -> Box<dyn Objective<Rbm>>;
const OBJECTIVES: [(&str, Make); 5] = [
    ("CD", |_| Box::new(Contrastive::cd(2, 3))),
    ("PCD", |rbm| Box::new(Contrastive::pcd(2, Chains::zeros(rbm, 43, 3)))),
    ("fast PCD", |rbm| Box::new(Contrastive::fpcd(rbm, 1, Chains::zeros(rbm, 43, 3), 0.01))),
    ("tempered PCD", |rbm| {
        let tempering = Tempering::new(rbm, Tempering::linear(3, 0.9), vec![0.0; 370], 43, 3).unwrap();
        Box::new(Contrastive::tempered(1, tempering))
    }),
    ("exact", |rbm| Box::new(Contrastive::exact(rbm).unwrap())),
];
fn trained(rbm: &Rbm, data: &Mat, make: Make) -> Vec<u32> {
    let (mut rbm, mut optimizer, mut silent) = (rbm.clone(), Sgd::new(Schedule::Constant(0.5)), Silent);
    let mut objective = make(&rbm);
    let fit = Fit { epochs: 2, batch: 33, ..Fit::default() };
    fit.run(&mut Run::new(&mut rbm, &mut objective, &mut optimizer, &mut silent), data).unwrap();
    bits(rbm.params().as_slice())
}
#[test]
fn training_does_not_depend_on_threads() {
    for (what, rbm) in &machines() {
        let data = chains(rbm, 150).rows(0, 300).clone_owned();
        for (name, make) in &OBJECTIVES[..4] {
            invariant(&format!("{name}, {what}"), || trained(rbm, &data, *make));
        }
    }
    let (small, data) = (cases::bernoulli(9, 5, 1), bars_and_stripes(3).unwrap().patterns);
    invariant("exact gradient", || trained(&small, &data, OBJECTIVES[4].1));
}
