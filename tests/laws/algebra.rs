//! Energies made of energies: products, powers, negations and mixtures against their parts, and under the laws of models.

use harmonium::models::neural::{Activation, NeuralEnergy};
use harmonium::models::{Mixture, Part, Product};
use harmonium::units::{Bernoulli, Gaussian};
use harmonium::{Energy, Error, Learn, Mat, Train, laws};
use std::sync::Arc;

fn part(units: usize, seed: u64) -> Box<NeuralEnergy> {
    let mut model =
        NeuralEnergy::new(0, &[(units, Arc::new(Gaussian))], &[(4, Activation::Silu), (3, Activation::Tanh)]);
    model.initialise(&[], seed).unwrap();
    model.update(&mut |p| p.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v += 0.1 * (i as f32).cos()));
    Box::new(model)
}
fn states() -> Mat {
    Mat::from_fn(3, 9, |i, j| ((3 * i + 5 * j) as f32).sin())
}
fn energies(model: &dyn Energy) -> Vec<f64> {
    let mut out = vec![0.0; 9];
    model.energy(states().as_view(), &mut out);
    out
}

#[test]
fn energies_of_a_product_add_with_their_powers() {
    let (a, b) = (part(3, 1), part(3, 2));
    let parts = [energies(&*a), energies(&*b)];
    let mut model = Product::of(vec![(1.5, a), (-0.5, b)]).unwrap();
    for (j, e) in energies(&model).iter().enumerate() {
        assert!((e - (1.5 * parts[0][j] - 0.5 * parts[1][j])).abs() < 1e-9);
    }
    laws::score(&model, 1).unwrap();
    laws::gradient(&mut model, 1).unwrap();
    assert_eq!((model.powers(), model.part(1).n_rows()), (&[1.5, -0.5][..], 3));
}
#[test]
fn densities_of_a_mixture_add() {
    let (a, b) = (part(3, 1), part(3, 2));
    let parts = [energies(&*a), energies(&*b)];
    let mut model = Mixture::of(vec![a, b]).unwrap();
    let last = model.params().slots().len() - 1;
    model.update(&mut |p| p.slice_mut(last).copy_from_slice(&[0.5, -0.25]));
    for (j, e) in energies(&model).iter().enumerate() {
        let density = (0.5 - parts[0][j]).exp() + (-0.25 - parts[1][j]).exp();
        assert!((e + density.ln()).abs() < 1e-9);
    }
    laws::score(&model, 1).unwrap();
    laws::gradient(&mut model, 1).unwrap();
    assert_eq!(model.log_weights(), &[0.5, -0.25]);
}
/// What a part makes of its parameters is seen outside.
#[test]
fn constraints_of_parts_hold_in_the_whole() {
    let limited: Box<dyn Part> = Box::new(part(3, 1).spectral(0.5).unwrap());
    let mut model = Product::of(vec![(1.0, limited), (1.0, part(3, 2))]).unwrap();
    let before = model.version();
    model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|v| *v *= 1.5));
    let own = model.part(0).params().as_slice();
    assert_eq!(own, &model.params().as_slice()[..own.len()]);
    assert!(model.params().mat(0).clone_owned().singular_values().max() < 0.52 && before != model.version());
    let names: Vec<&str> = model.params().slots().iter().map(|s| &*s.name).take(2).collect();
    assert_eq!(names, ["part1.weights1", "part1.bias1"]);
    laws::score(&model, 2).unwrap();
}
#[test]
fn parts_that_do_not_fit_are_refused() {
    assert!(matches!(Product::of(vec![]), Err(Error::Value { .. })));
    assert!(matches!(Product::of(vec![(f32::NAN, part(3, 1) as _)]), Err(Error::Value { .. })));
    assert!(matches!(Product::of(vec![(1.0, part(3, 1) as _), (1.0, part(2, 1) as _)]), Err(Error::Shape { .. })));
    let other = NeuralEnergy::new(0, &[(3, Arc::new(Bernoulli))], &[]);
    assert!(matches!(Mixture::of(vec![part(3, 1) as _, Box::new(other)]), Err(Error::Shape { .. })));
}
