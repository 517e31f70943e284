//! Law 10: the centred gradient is the gradient in the coordinates of `E = -(h-λ)ᵀW(v-μ) - b̃ᵀ(v-μ) - c̃ᵀ(h-λ)`, carried
//! back: found here by differences alone, without the formula that the library uses.

use crate::cases::{self, close, name};
use crate::reference::{Oracle, Side, wide};
use harmonium::models::Rbm;
use harmonium::objectives::{Centring, Contrastive, Coordinates, Objective};
use harmonium::params::Role;
use harmonium::{Batch, Learn, Mat, Params};

/// Offsets of the hidden and of the visible units.
#[derive(Clone)]
struct Offsets {
    lambda: Vec<f64>,
    mu: Vec<f64>,
}
impl Offsets {
    fn of_data(oracle: &Oracle, v: &Mat) -> Self {
        let n = v.ncols() as f64;
        let sum = |f: &dyn Fn(&[f64]) -> f64| (0..v.ncols()).map(|k| f(&wide(v, k))).sum::<f64>() / n;
        Self {
            lambda: (0..oracle.h).map(|j| sum(&|v| oracle.mean(Side::Hidden, j, v))).collect(),
            mu: (0..oracle.d).map(|i| sum(&|v| v[i])).collect(),
        }
    }
    fn slide(&mut self, by: f64, to: &Self) {
        self.lambda.iter_mut().zip(&to.lambda).for_each(|(a, b)| *a += by * (b - *a));
        self.mu.iter_mut().zip(&to.mu).for_each(|(a, b)| *a += by * (b - *a));
    }
    /// Parameters of the plain energy from those of the centred one (`sign` -1), or back (`sign` 1): multiplying out,
    /// `b = b̃ - Wᵀλ` and `c = c̃ - Wμ`.
    fn carry(&self, sign: f64, oracle: &Oracle) -> Oracle {
        let (mut out, n) = (oracle.clone(), oracle.d * oracle.h);
        for i in 0..oracle.d {
            for j in 0..oracle.h {
                out.p[n + i] += sign * oracle.w(j, i) * self.lambda[j];
                out.p[n + oracle.d + j] += sign * oracle.w(j, i) * self.mu[i];
            }
        }
        out
    }
    /// Differences of the loss in centred coordinates, then the direction that a step along them has in plain ones.
    fn gradient(&self, plain: &Oracle, loss: impl Fn(&Oracle) -> f64) -> Vec<f64> {
        let centred = self.carry(1.0, plain);
        let grad = centred.derivative(|c| loss(&self.carry(-1.0, c)));
        let moved = |t: f64| {
            let mut c = centred.clone();
            c.p.iter_mut().zip(&grad).for_each(|(p, g)| *p += t * g);
            self.carry(-1.0, &c).p
        };
        moved(0.5).iter().zip(moved(-0.5)).map(|(a, b)| a - b).collect() // it is linear: any step will do
    }
}
fn loss(oracle: &Oracle, v: &Mat) -> f64 {
    let free = |k: usize| oracle.free_energy(Side::Hidden, &wide(v, k));
    (0..v.ncols()).map(free).sum::<f64>() / v.ncols() as f64 + oracle.log_z()
}

#[test]
fn the_centred_gradient_is_the_gradient_in_centred_coordinates() {
    for rbm in cases::all().into_iter().filter(|m| m.visible()[0].unit.support().is_some()) {
        let oracle = Oracle::of(&rbm);
        let x = cases::probes(&rbm, 17);
        let batches = [x.view((0, 0), (4, 10)).clone_owned(), x.view((0, 10), (4, 7)).clone_owned()];
        let mut objective = Contrastive::exact(&rbm).unwrap();
        objective.coordinates = Coordinates::Centred(Centring::new(0.3));
        let mut offsets = Offsets::of_data(&oracle, &batches[0]);
        for (k, v) in batches.iter().enumerate() {
            offsets.slide(if k == 0 { 1.0 } else { 0.3f32 as f64 }, &Offsets::of_data(&oracle, v));
            let mut grad = rbm.params().zeros_like();
            let weights = vec![2.0; v.ncols()];
            objective
                .gradient(&rbm, &Batch { x: v.as_view(), weights: &weights, missing: None, step: k as u64 }, &mut grad)
                .unwrap();
            let expected = offsets.gradient(&oracle, |o| loss(o, v));
            for (i, (&g, e)) in grad.as_slice().iter().zip(expected).enumerate() {
                close(g as f64, e, 20.0, &format!("{} batch {k} entry {i}", name(&rbm)));
            }
            let Coordinates::Centred(centring) = &objective.coordinates else { unreachable!() };
            for (slot, expected) in [(1, &offsets.mu), (2, &offsets.lambda)] {
                let got = centring.offsets(rbm.params(), slot);
                got.iter().zip(expected).for_each(|(&o, e)| close(o as f64, *e, 5.0, "offset"));
            }
        }
    }
}
#[test]
fn centred_coordinates_name_the_same_distribution() {
    let oracle = Oracle::of(&cases::bernoulli(4, 3, 1));
    let offsets = Offsets { lambda: vec![0.3, -2.0, 0.9], mu: vec![0.5, 0.1, 4.0, -1.0] };
    let back = offsets.carry(-1.0, &offsets.carry(1.0, &oracle));
    assert!(oracle.joint().1.iter().zip(back.joint().1).all(|(a, b)| (a - b).abs() < 1e-12));
}
fn random(like: &Params, seed: u64) -> Params {
    let mut p = like.zeros_like();
    let mut z = seed;
    for x in p.as_mut_slice() {
        z = z.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *x = (z >> 40) as f32 / (1 << 24) as f32 - 0.5;
    }
    p
}
/// Centring is `G ← J Jᵀ G` with `J` invertible: a step along it goes downhill, and it vanishes only with `G`.
#[test]
fn centring_keeps_descent_and_stationary_points() {
    for rbm in [
        cases::bernoulli(70, 33, 1),
        cases::bernoulli(3, 100, 1),
        Rbm::new((0, harmonium::units::Spin), (2, harmonium::units::Spin)),
    ] {
        for seed in 0..5 {
            let mut centring = Centring::new(1.0);
            centring.observe(&random(rbm.params(), seed + 50));
            let plain = random(rbm.params(), seed);
            let (mut centred, mut zero) = (plain.clone(), rbm.params().zeros_like());
            centring.apply(&mut centred);
            let product: f64 =
                plain.as_slice().iter().zip(centred.as_slice()).map(|(a, b)| *a as f64 * *b as f64).sum();
            assert!(product > 0.0, "{product}");
            centring.apply(&mut zero);
            assert!(zero.as_slice().iter().all(|g| *g == 0.0));
        }
    }
    let roles: Vec<Role> = cases::bernoulli(2, 2, 1).params().slots().iter().map(|s| s.role).collect();
    assert_eq!(roles[..3], [Role::Coupling { rows: 2, columns: 1 }, Role::Bias, Role::Bias]);
}
