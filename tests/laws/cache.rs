//! Law 11: whatever is done to states or to the model, no field or mean is ever read that belongs to another state or to
//! other parameters.

use crate::cases::{self, name};
use harmonium::models::Rbm;
use harmonium::samplers::{BlockGibbs, Descend};
use harmonium::units::Spin;
use harmonium::{Annealed, Chains, Learn, Mask, Mat, Response, States, Train, sweep};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Fields and means are those that new states compute.
fn fresh(states: &mut States, rbm: &Rbm, what: &str) {
    let mut new = States::new(states.x().clone_owned());
    for block in [Rbm::HIDDEN, Rbm::VISIBLE] {
        assert_eq!(states.mean(rbm, block), new.mean(rbm, block), "mean of block {block} after {what}, {}", name(rbm));
        assert_eq!(
            states.field(rbm, block),
            new.field(rbm, block),
            "field of block {block} after {what}, {}",
            name(rbm)
        );
    }
}
/// One random thing that can happen to chains.
fn happen(what: usize, chains: &mut Chains, rbm: &mut Rbm, rng: &mut Xoshiro256PlusPlus) -> &'static str {
    let (rows, base) = (chains.states.x().nrows(), [0.2; 7]);
    let columns = chains.states.ncols();
    match what {
        0 => rbm.update(&mut |p| p.as_mut_slice()[rng.random_range(0..19)] += 0.125),
        1 => chains.states.x_mut()[(rng.random_range(0..rows), 3)] = 1.0,
        2 => drop(chains.advance(&BlockGibbs { sweeps: 1, backward: rng.random() }, rbm)),
        3 => drop(chains.advance(&BlockGibbs::new(1), &Annealed::new(rbm, &base, 0.5))),
        4 => drop(chains.advance(&Descend { sweeps: 1 }, rbm)),
        5 => sweep::mean_field(rbm, &mut chains.states, rbm.n_visible(), 1),
        6 => {
            let block = rng.random_range(0..2);
            chains.each(|slab, rng| slab.respond(rbm, block, &mut Response::sample(rng)));
        }
        7 => {
            let mut other = States::new(cases::probes(rbm, columns));
            other.field(rbm, Rbm::HIDDEN);
            chains.restart(rbm, &other);
        }
        8 => chains.states.freeze(Mask::from_fn(rows, columns, |i, j| (i + j) % 3 == 0)).unwrap(),
        9 => chains.states.thaw(),
        10 => chains.states.reshape(rows, columns).fill(1.0),
        _ => {
            let grown = cases::probes(rbm, [5, 40, 70][rng.random_range(0..3)]);
            chains.restart(rbm, &States::new(grown));
        }
    }
    [
        "update",
        "write",
        "sweep",
        "annealed sweep",
        "descent",
        "mean field",
        "respond",
        "restart",
        "freeze",
        "thaw",
        "reshape",
        "restart with others",
    ][what]
}
#[test]
fn nothing_stale_is_read() {
    for mut rbm in cases::all() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let mut chains = Chains::new(cases::probes(&rbm, 40), 2);
        for _ in 0..300 {
            let what = rng.random_range(0..12);
            let what = happen(what, &mut chains, &mut rbm, &mut rng);
            if rng.random::<bool>() {
                fresh(&mut chains.states, &rbm, what);
            }
        }
    }
}
/// A response changes the fields of the other group alone: its own field is still known, and still right.
#[test]
fn after_a_response_the_field_of_its_own_group_survives() {
    let rbm = cases::bernoulli(4, 3, 1);
    let mut states = States::new(cases::probes(&rbm, 16));
    states.par(|_, slab| {
        let before = slab.field(&rbm, Rbm::VISIBLE).clone_owned();
        slab.respond(&rbm, Rbm::VISIBLE, &mut Response::mode());
        assert_eq!(slab.field(&rbm, Rbm::VISIBLE), before);
    });
    fresh(&mut states, &rbm, "a response");
}
#[test]
fn models_that_take_turns_do_not_read_each_others_fields() {
    let (mut a, b) = (cases::bernoulli(4, 3, 1), cases::bernoulli(4, 3, 2));
    let twin = a.clone();
    let mut states = States::new(cases::probes(&a, 40));
    for rbm in [&a, &b, &a, &twin, &b] {
        fresh(&mut states, rbm, "another model");
    }
    a.update(&mut |p| p.as_mut_slice()[0] += 1.0);
    fresh(&mut states, &twin, "an update of its clone");
    fresh(&mut states, &a, "an update");
}
/// Parameters may be handed from model to model as a whole: kinds are not part of them, but means depend on kinds.
#[test]
fn parameters_of_a_model_of_other_kinds_bring_no_means_along() {
    let a = cases::bernoulli(4, 3, 1);
    let mut b = Rbm::new((4, Spin), (3, Spin));
    b.update(&mut |p| p.clone_from(a.params()));
    let mut states = States::new(Mat::from_element(7, 9, 1.0));
    for rbm in [&a, &b, &a] {
        fresh(&mut states, rbm, "parameters of another kind");
    }
}
