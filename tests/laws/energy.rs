//! Law 1: energies are those of the definition, annealed models' included. From there on the energy is the oracle: the
//! kit holds fields, marginals and gradients against it.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, wide};
use harmonium::models::Rbm;
use harmonium::{Annealed, Energy};

fn obeys<M: Energy>(model: &M, rbm: &Rbm, oracle: &Oracle, what: &str) {
    let x = cases::probes(rbm, 19);
    let mut energies = vec![0.0; x.ncols()];
    model.energy(x.as_view(), &mut energies);
    for (j, e) in energies.iter().enumerate() {
        close(*e, oracle.energy(&wide(&x, j)), 20.0, what);
    }
}

#[test]
fn energies_are_those_of_the_definition() {
    let (one, two) = ([0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.0], [-0.6, 0.4, 0.0, 0.9, 0.3, -0.1, 0.2]);
    for rbm in cases::all() {
        let oracle = Oracle::of(&rbm);
        obeys(&rbm, &rbm, &oracle, &name(&rbm));
        let annealed = Annealed::new(&rbm, &one, 0.3);
        let colder = oracle.annealed(0.3f32 as f64, &one);
        obeys(&annealed, &rbm, &colder, &format!("annealed {}", name(&rbm)));
        let again = Annealed::new(&annealed, &two, 0.7);
        obeys(&again, &rbm, &colder.annealed(0.7f32 as f64, &two), &format!("twice annealed {}", name(&rbm)));
    }
}
