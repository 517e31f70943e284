//! Law 1: switching one unit changes the energy by its own energy less field times the change, for any rows of a block,
//! annealed models included.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, wide};
use harmonium::models::Rbm;
use harmonium::{Annealed, Gibbs, Mat};

/// The difference quotient of the energy, without the unit's own part, is the field.
fn obeys<M: Gibbs>(model: &M, rbm: &Rbm, oracle: &Oracle, what: &str) {
    let x = cases::probes(rbm, 19);
    let mut energies = vec![0.0; x.ncols()];
    model.energy(x.as_view(), &mut energies);
    for (j, e) in energies.iter().enumerate() {
        close(*e, oracle.energy(&wide(&x, j)), 20.0, &format!("energy of {what}"));
    }
    for side in [Side::Visible, Side::Hidden] {
        let all = model.blocks()[side.block()].rows.clone();
        for from in all.clone() {
            for to in from + 1..=all.end {
                let mut field = Mat::zeros(to - from, x.ncols());
                model.field(from..to, x.as_view(), field.as_view_mut());
                for (r, j) in (from..to).flat_map(|r| (0..x.ncols()).map(move |j| (r, j))) {
                    let expected = quotient(oracle, &wide(&x, j), side, r);
                    close(field[(r - from, j)] as f64, expected, 5.0, &format!("field {r} of {from}..{to} of {what}"));
                }
            }
        }
    }
}
fn quotient(oracle: &Oracle, x: &[f64], side: Side, row: usize) -> f64 {
    let [low, high] = oracle.kind(side).values().unwrap_or([-0.7, 1.6]);
    let at = |value: f64| {
        let mut x = x.to_vec();
        x[row] = value;
        let k = if side == Side::Visible { row } else { row - oracle.d };
        oracle.energy(&x) - 0.5 * oracle.precision(side, k) * value * value
    };
    (at(low) - at(high)) / (high - low)
}

#[test]
fn fields_are_energy_differences() {
    let (one, two) = ([0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.0], [-0.6, 0.4, 0.0, 0.9, 0.3, -0.1, 0.2]);
    for rbm in cases::all() {
        let oracle = Oracle::of(&rbm);
        obeys(&rbm, &rbm, &oracle, &name(&rbm));
        let annealed = Annealed::new(&rbm, &one, 0.3);
        let colder = oracle.annealed(0.3f32 as f64, &one);
        obeys(&annealed, &rbm, &colder, &format!("annealed {}", name(&rbm)));
        let again = Annealed::new(&annealed, &two, 0.7);
        let twice = colder.annealed(0.7f32 as f64, &two);
        obeys(&again, &rbm, &twice, &format!("twice annealed {}", name(&rbm)));
    }
}
