//! Law 12: what is frozen stays, sample by sample, and the rest follows the distribution given what is frozen.

use crate::cases::{self, name};
use crate::draws;
use crate::reference::Oracle;
use harmonium::samplers::{BlockGibbs, Descend};
use harmonium::{Chains, Error, Mask, Mat, States, sweep};

const CHAINS: usize = 40_000;

fn pattern(i: usize, j: usize) -> bool {
    (i * 5 + j).is_multiple_of(4) || j % 7 == 3 && i < 4 || j % 11 == 1 && i >= 4
}
fn kept(before: &Mat, after: &Mat, mask: &Mask) -> bool {
    (0..mask.len()).all(|k| !mask[k] || before[k] == after[k])
}

/// The conditional transitions leave the joint distribution alone: exact draws stay exact, whatever is frozen.
#[test]
fn frozen_units_stay_and_nothing_drifts() {
    for rbm in cases::all() {
        let (oracle, mask) = (Oracle::of(&rbm), Mask::from_fn(7, CHAINS, pattern));
        let start = oracle.draw(CHAINS, 9);
        let mut chains = Chains::new(start.clone(), 4);
        chains.states.freeze(mask.clone()).unwrap();
        for _ in 0..3 {
            chains.advance(&BlockGibbs::new(2), &rbm);
            let x = chains.states.x().clone_owned();
            assert!(kept(&start, &x, &mask), "{}", name(&rbm));
            let e = draws::excess(&oracle, &x);
            assert!(e < 1.0, "{}: {e}", name(&rbm));
        }
        assert!(chains.states.x() != start, "the others move");
    }
}
/// And from anywhere, the free units find their distribution given the frozen ones.
#[test]
fn free_units_find_their_conditional() {
    for rbm in cases::discrete() {
        let oracle = Oracle::of(&rbm);
        let frozen = [0, 2, 5];
        let mut chains = Chains::new(Mat::from_element(7, CHAINS, 1.0), 4);
        for row in frozen {
            chains.states.freeze_rows(row..row + 1).unwrap();
        }
        chains.advance(&BlockGibbs::new(40), &rbm);
        let (states, mut p) = oracle.joint();
        for (s, p) in states.iter().zip(&mut p) {
            *p *= frozen.iter().all(|&i| s[i] == 1.0) as u8 as f64;
        }
        let total: f64 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= total);
        let e = draws::distance(&states, &p, &chains.states.x().clone_owned());
        assert!(e < 1.0, "{}: {e}", name(&rbm));
    }
}
#[test]
fn no_kernel_touches_what_is_frozen() {
    for rbm in cases::all() {
        let (start, mask) = (cases::probes(&rbm, 61), Mask::from_fn(7, 61, pattern));
        let mut chains = Chains::new(start.clone(), 4);
        chains.states.freeze(mask.clone()).unwrap();
        chains.advance(&Descend { sweeps: 2 }, &rbm);
        sweep::mean_field(&rbm, &mut chains.states, 4, 2);
        assert!(kept(&start, &chains.states.x().clone_owned(), &mask), "{}", name(&rbm));
        chains.states.freeze_rows(0..7).unwrap();
        let before = chains.states.x().clone_owned();
        chains.advance(&BlockGibbs::new(3), &rbm);
        assert_eq!(chains.states.x(), before);
        chains.states.thaw();
        chains.advance(&BlockGibbs::new(3), &rbm);
        assert!(chains.states.x() != before);
    }
}
#[test]
fn masks_and_rows_that_do_not_fit_are_refused() {
    let mut states = States::zeros(7, 10);
    for (rows, columns) in [(7, 9), (6, 10), (10, 7), (0, 0), (70, 1)] {
        let e = states.freeze(Mask::repeat(rows, columns, true)).unwrap_err();
        assert!(matches!(e, Error::Shape { .. }) && e.to_string().contains("(7, 10)"), "{e}");
    }
    assert!(states.freeze_rows(5..8).is_err() && states.frozen().is_none());
    states.freeze_rows(0..0).unwrap();
    states.freeze_rows(0..7).unwrap();
}
