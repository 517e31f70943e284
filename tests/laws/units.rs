//! Law 8: the values and the own energy of every kind are those of the definition. What follows from them is for the kit.

use crate::cases::{close, kinds};
use crate::reference::Kind;

#[test]
fn values_and_own_energies_are_those_of_the_definition() {
    let (theta, x) = ([0.3, -0.4, 0.8, 0.0, -0.9, 0.5, 0.1], [-3.0, -0.7, -0.05, 0.0, 0.4, 1.3, 2.5f32]);
    for unit in kinds() {
        let kind = Kind::named(unit.name());
        let values: Option<Vec<f64>> = unit.support().map(|values| values.iter().map(|v| v[0] as f64).collect());
        assert_eq!(values, kind.values().map(|v| v.to_vec()), "{unit:?}");
        let theta = &theta[..7 * unit.n_theta()];
        let precision = |k: usize| kind.precision(*theta.get(k).unwrap_or(&0.0) as f64);
        let u: f64 = (0..7).map(|k| 0.5 * precision(k) * (x[k] as f64).powi(2)).sum();
        close(unit.base_energy(theta, &x), u, u, unit.name());
    }
}
