//! Sweeps without a target distribution of their own: the annealed one against its plain twin, mean field at its fixed
//! point, descent down the energy.

use crate::cases::{self, name};
use harmonium::models::Rbm;
use harmonium::rng::StreamSet;
use harmonium::samplers::{BlockGibbs, Descend};
use harmonium::{Annealed, Chains, Energy, Gibbs, Response, States, Streams, eval, sweep};

/// An annealed model sweeps by the model's own sweep at a temperature: the same bits as block by block with the fields of
/// the annealed model itself.
#[test]
fn an_annealed_sweep_is_the_plain_sweep_of_the_annealed_model() {
    for rbm in cases::all() {
        let base: Vec<f32> = (0..rbm.n_rows()).map(|i| 0.1 * i as f32 - 0.2).collect();
        let annealed = Annealed::new(&rbm, &base, 0.6);
        let run = |plain: bool| {
            let (mut states, mut set) = (States::new(cases::probes(&rbm, 24)), StreamSet::new(1, 24));
            for (_, mut slab) in states.slabs() {
                let mut rng = Streams(set.as_mut_slice());
                for _ in 0..5 {
                    match plain {
                        true => sweep::blocks(&annealed, &mut slab, &mut Response::sample(&mut rng)),
                        false => annealed.sweep(&mut slab, &mut Response::sample(&mut rng)),
                    }
                }
            }
            states.x().clone_owned()
        };
        assert_eq!(run(true), run(false), "{}", name(&rbm));
    }
}
/// After enough iterations every block is its mean given the rest, to rounding.
#[test]
fn mean_field_comes_to_rest() {
    for rbm in cases::all() {
        let mut states = States::new(cases::probes(&rbm, 9));
        sweep::mean_field(&rbm, &mut states, 0, 2000);
        let x = states.x().clone_owned();
        for block in [Rbm::HIDDEN, Rbm::VISIBLE] {
            let here = x.rows_range(rbm.blocks()[block].rows.clone());
            let off = (states.mean(&rbm, block) - here).amax();
            assert!(off < 1e-4 * (1.0 + here.amax()), "{}: block {block} off by {off}", name(&rbm));
        }
    }
}
/// Descent never raises the energy, and ends where no unit wants to change.
#[test]
fn descent_goes_down_and_stops() {
    for rbm in cases::discrete() {
        let mut chains = Chains::new(cases::probes(&rbm, 30), 1);
        chains.advance(&BlockGibbs::new(1), &rbm); // onto values that the units take
        let energies = |chains: &Chains| eval::energies_without(&rbm, &[], chains.states.x()).unwrap();
        let mut before = energies(&chains);
        for _ in 0..50 {
            chains.advance(&Descend { sweeps: 1 }, &rbm);
            let after = energies(&chains);
            assert!(before.iter().zip(&after).all(|(b, a)| *a <= b + 1e-5), "{}", name(&rbm));
            before = after;
        }
        let rest = chains.states.x().clone_owned();
        chains.advance(&Descend { sweeps: 1 }, &rbm);
        assert_eq!(chains.states.x(), rest, "{}", name(&rbm));
    }
}
