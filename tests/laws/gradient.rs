//! Law 3, where the kit does not reach: the gradient of a collapsed model, which learns but does not own its parameters, by
//! central differences of the oracle.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, wide};
use harmonium::models::Rbm;
use harmonium::{Collapsed, Learn};

#[test]
fn the_gradient_of_a_collapsed_model_is_the_derivative_of_its_free_energy() {
    for rbm in cases::all() {
        let (oracle, v) = (Oracle::of(&rbm), cases::probes(&rbm, 13).rows(0, rbm.n_visible()).clone_owned());
        let weights: Vec<f32> = (0..13).map(|k| (k % 5) as f32 * 0.05).collect(); // some of them zero
        let mut grad = rbm.params().zeros_like();
        Collapsed::new(&rbm, &[Rbm::HIDDEN]).grad_params(v.as_view(), &weights, &mut grad);
        let free = |o: &Oracle, j: usize| o.free_energy(Side::Hidden, &wide(&v, j));
        let expected = oracle.derivative(|o| weights.iter().enumerate().map(|(j, &w)| w as f64 * free(o, j)).sum());
        for (k, (&g, &e)) in grad.as_slice().iter().zip(&expected).enumerate() {
            close(g as f64, e, 10.0, &format!("{}, {} {k}", name(&rbm), grad.slot_of(k).name));
        }
    }
}
