//! Law 4, beside the kit's law of marginals: a model's own functions, shapes, and what is refused.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, wide};
use harmonium::models::Rbm;
use harmonium::{Collapsed, Energy, Marginal, Mat, States, eval};

#[test]
fn summed_rows_that_come_last_may_be_absent() {
    for rbm in cases::all() {
        let v = cases::probes(&rbm, 70).rows(0, rbm.n_visible()).clone_owned();
        let padded = v.clone().resize_vertically(rbm.n_rows(), 7.0);
        let free = rbm.free_energy(v.as_view()).unwrap();
        assert_eq!(free, eval::energies_without(&rbm, &[Rbm::HIDDEN], padded.as_view()).unwrap());
        let mut collapsed = vec![0.0; v.ncols()];
        Collapsed::new(&rbm, &[Rbm::HIDDEN]).energy(v.as_view(), &mut collapsed);
        free.iter().zip(&collapsed).for_each(|(a, b)| close(*a, *b, 20.0, "collapsed"));
    }
}
/// The model's own functions, for one layer at a time.
#[test]
fn layers_have_free_energies_and_means_given_each_other() {
    for rbm in cases::all() {
        let (oracle, x) = (Oracle::of(&rbm), cases::probes(&rbm, 20));
        let (v, h) = (x.rows(0, rbm.n_visible()), x.rows(rbm.n_visible(), rbm.n_hidden()));
        let free = rbm.hidden_free_energy(h.clone_owned().as_view()).unwrap();
        let h_mean = rbm.hidden_mean(v.clone_owned().as_view()).unwrap();
        let v_mean = rbm.visible_mean(h.clone_owned().as_view()).unwrap();
        assert_eq!((h_mean.shape(), v_mean.shape()), (h.shape(), v.shape()));
        let mut states = States::new(x.clone());
        assert_eq!(states.mean(&rbm, Rbm::HIDDEN), h_mean);
        assert_eq!(states.mean(&rbm, Rbm::VISIBLE), v_mean);
        for (j, f) in free.iter().enumerate() {
            let expected = oracle.free_energy(Side::Visible, &wide(&h.clone_owned(), j));
            close(*f, expected, 20.0, &format!("{} of hidden", name(&rbm)));
        }
        assert!(rbm.hidden_mean(x.as_view()).is_err() && rbm.visible_mean(x.as_view()).is_err());
        assert!(rbm.hidden_free_energy(x.as_view()).is_err());
    }
}
#[test]
fn energy_at_zero_reads_nothing_of_what_is_summed() {
    for rbm in cases::all() {
        let (oracle, x) = (Oracle::of(&rbm), cases::probes(&rbm, 9));
        for summed in [vec![], vec![0], vec![1], vec![0, 1]] {
            let (mut at_zero, mut garbage, mut out) = (x.clone(), x.clone(), vec![0.0; 9]);
            for &b in &summed {
                at_zero.rows_range_mut(rbm.blocks()[b].rows.clone()).fill(0.0);
                garbage.rows_range_mut(rbm.blocks()[b].rows.clone()).fill(f32::NAN);
            }
            rbm.energy_at_zero(&summed, garbage.as_view(), &mut out);
            for (j, e) in out.iter().enumerate() {
                close(*e, oracle.energy(&wide(&at_zero, j)), 20.0, &format!("{} {summed:?}", name(&rbm)));
            }
        }
    }
}
#[test]
fn wrong_heights_are_refused() {
    let rbm = cases::bernoulli(4, 3, 1);
    for rows in [0, 3, 5, 6, 8] {
        let x = Mat::zeros(rows, 2);
        assert!(rbm.free_energy(x.as_view()).is_err(), "{rows} rows");
    }
    for rows in [0, 3, 4, 6, 8] {
        let x = Mat::zeros(rows, 2);
        assert!(eval::energies_without(&rbm, &[Rbm::VISIBLE], x.as_view()).is_err(), "{rows} rows, hidden ones kept");
    }
}
#[test]
#[should_panic(expected = "different groups")]
fn dependent_blocks_do_not_sum_out_together() {
    let rbm = cases::bernoulli(4, 3, 1);
    rbm.energy_without(&[Rbm::HIDDEN, Rbm::VISIBLE], Mat::zeros(7, 1).as_view(), &mut [0.0]);
}
