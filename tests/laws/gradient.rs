//! Law 3: gradients are derivatives, by central differences of the oracle.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, columns, wide};
use harmonium::models::Rbm;
use harmonium::{Annealed, Collapsed, Learn, Mat, Params, Phase, Score, States};

/// Weights of several sizes, one of them zero.
fn weights(n: usize) -> Vec<f32> {
    (0..n).map(|k| (k % 5) as f32 * 0.05).collect()
}
fn compare(rbm: &Rbm, got: &Params, expected: &[f64], scale: f64, what: &str) {
    for (k, (&g, &e)) in got.as_slice().iter().zip(expected).enumerate() {
        close(g as f64, e, scale, &format!("{what}, {} {}, entry {k}", name(rbm), got.slot_of(k).name));
    }
}
fn weighted(x: &Mat, w: &[f32], f: impl Fn(&[f64]) -> f64) -> f64 {
    w.iter().enumerate().map(|(j, &w)| w as f64 * f(&wide(x, j))).sum()
}

#[test]
fn the_plain_gradient_is_the_derivative_of_the_energy() {
    for rbm in cases::all() {
        let (oracle, x, w) = (Oracle::of(&rbm), cases::probes(&rbm, 21), weights(21));
        let mut grad = rbm.params().zeros_like();
        grad.as_mut_slice().fill(0.25); // it is added to
        rbm.grad_params(x.as_view(), &w, &mut grad);
        let expected = oracle.derivative(|o| weighted(&x, &w, |x| o.energy(x)));
        let expected: Vec<f64> = expected.iter().map(|g| g + 0.25).collect();
        compare(&rbm, &grad, &expected, 5.0, "grad_params");
    }
}
#[test]
fn the_data_phase_is_the_derivative_of_the_free_energy() {
    for rbm in cases::all() {
        let (oracle, x, w) = (Oracle::of(&rbm), cases::probes(&rbm, 13), weights(13));
        let v = x.rows(0, rbm.n_visible()).clone_owned();
        let expected = oracle.derivative(|o| weighted(&v, &w, |v| o.free_energy(Side::Hidden, v)));
        let mut states = States::new(x); // whatever the hidden rows hold
        let mut grad = rbm.params().zeros_like();
        rbm.grad_expected(&mut states, Phase::Data, &w, &mut grad);
        compare(&rbm, &grad, &expected, 10.0, "grad_expected");
        let collapsed = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
        grad.as_mut_slice().fill(0.0);
        collapsed.grad_params(v.as_view(), &w, &mut grad);
        compare(&rbm, &grad, &expected, 10.0, "grad_params of the collapsed model");
    }
}
/// What was in the gradient is gone, the two phases may have different weights and numbers of states, and a state of weight
/// zero is absent.
#[test]
fn the_contrast_is_the_difference_of_two_free_energies() {
    for rbm in cases::all() {
        let (oracle, d) = (Oracle::of(&rbm), rbm.n_visible());
        let probes = cases::probes(&rbm, 20);
        let (data, mut model) = (probes.columns(0, 13).clone_owned(), probes.columns(13, 7).clone_owned());
        let (v, u) = (data.rows(0, d).clone_owned(), model.rows(0, d).clone_owned());
        for absent in [false, true] {
            let mut down: Vec<f32> = weights(7).iter().map(|w| -w).collect();
            if absent {
                down[3] = 0.0;
                model.column_mut(3).fill(f32::NAN);
            }
            let free = |o: &Oracle, v: &[f64]| o.free_energy(Side::Hidden, v);
            let on_data = |o: &_| weighted(&v, &weights(13), |v| free(o, v));
            let expected = oracle.derivative(|o| on_data(o) + weighted(&u, &down, |u| free(o, u)));
            let (mut grad, mut seen) = (rbm.params().zeros_like(), vec![]);
            grad.as_mut_slice().fill(f32::NAN);
            let mut between = |grad: &Params| seen.extend([1, 2].map(|bias| grad.slice(bias).to_vec()));
            let (mut data, mut model) = (States::new(data.clone()), States::new(model.clone()));
            let up = weights(13);
            rbm.grad_contrast((&mut data, &up), (&mut model, &down), &mut grad, &mut between);
            compare(&rbm, &grad, &expected, 10.0, "grad_contrast");
            let alone = oracle.derivative(on_data);
            let biases = [1, 2].map(|bias| rbm.params().slots()[bias].range());
            for (k, (got, expected)) in seen.concat().iter().zip(&alone[biases[0].start..biases[1].end]).enumerate() {
                assert!((*got as f64 - expected).abs() < 1e-4 * expected.abs().max(1.0), "bias {k} between the phases");
            }
            assert_eq!(seen.len(), 2);
        }
    }
}
#[test]
fn the_model_phase_is_the_derivative_of_the_log_partition_and_leaves_states_alone() {
    for rbm in cases::all().into_iter().filter(|m| Oracle::of(m).visible.values().is_some()) {
        let oracle = Oracle::of(&rbm);
        let (visible, p) = oracle.marginal(Side::Visible);
        let p: Vec<f32> = p.iter().map(|&p| p as f32).collect();
        let mut x = Mat::from_element(rbm.n_visible() + rbm.n_hidden(), p.len(), 0.5);
        x.rows_mut(0, rbm.n_visible()).copy_from(&columns(&visible));
        let mut states = States::new(x.clone());
        let mut grad = rbm.params().zeros_like();
        rbm.grad_expected(&mut states, Phase::Model, &p, &mut grad);
        assert_eq!(states.x(), x, "{}", name(&rbm));
        let minus: Vec<f64> = oracle.derivative(|o| o.log_z()).iter().map(|g| -g).collect();
        compare(&rbm, &grad, &minus, 10.0, "the model phase");
    }
    for rbm in cases::discrete() {
        let (states, p) = Oracle::of(&rbm).joint();
        let p: Vec<f32> = p.iter().map(|&p| p as f32).collect();
        let (mut plain, mut averaged) = (rbm.params().zeros_like(), rbm.params().zeros_like());
        rbm.grad_params(columns(&states).as_view(), &p, &mut plain);
        rbm.grad_expected(&mut States::new(columns(&states)), Phase::Model, &p, &mut averaged);
        let plain: Vec<f64> = plain.as_slice().iter().map(|&g| g as f64).collect();
        compare(&rbm, &averaged, &plain, 1.0, "Rao-Blackwell");
    }
}

/// Columns of `∂f/∂x` against central differences of `f`.
fn check_grad_x<M: Score>(model: &M, v: &Mat, f: impl Fn(&[f64]) -> f64, what: &str) {
    let mut grad = Mat::zeros(v.nrows(), v.ncols());
    model.grad_x(v.as_view(), grad.as_view_mut());
    for (i, j) in (0..v.nrows()).flat_map(|i| (0..v.ncols()).map(move |j| (i, j))) {
        let at = |step: f64| {
            let mut x = wide(v, j);
            x[i] += step;
            f(&x)
        };
        close(grad[(i, j)] as f64, (at(1e-4) - at(-1e-4)) / 2e-4, 10.0, what);
    }
}
#[test]
fn the_score_of_a_collapsed_model_is_the_derivative_of_its_free_energy() {
    let (one, two) = ([0.4, -0.3, 0.2, 0.1], [-0.2, 0.6, 0.0, 0.3]);
    for rbm in cases::all() {
        let oracle = Oracle::of(&rbm);
        let v = cases::probes(&rbm, 9).rows(0, rbm.n_visible()).clone_owned();
        let free = Collapsed::new(&rbm, &[Rbm::HIDDEN]);
        let f = |x: &[f64]| oracle.free_energy(Side::Hidden, x);
        check_grad_x(&free, &v, f, &name(&rbm));
        let base = |x: &[f64], base: &[f32]| -> f64 {
            let one = |i: usize| 0.5 * oracle.precision(Side::Visible, i) * x[i] * x[i] - base[i] as f64 * x[i];
            (0..x.len()).map(one).sum()
        };
        let mixed = |x: &[f64]| base(x, &one) + 0.3f32 as f64 * (f(x) - base(x, &one));
        let annealed = Annealed::new(&free, &one, 0.3);
        check_grad_x(&annealed, &v, mixed, &format!("annealed {}", name(&rbm)));
        let twice = |x: &[f64]| base(x, &two) + 0.5 * (mixed(x) - base(x, &two));
        check_grad_x(&Annealed::new(&annealed, &two, 0.5), &v, twice, &format!("twice annealed {}", name(&rbm)));
    }
}
