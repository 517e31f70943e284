//! The laws of gradients: by the parameters, with units summed out or not, and by the state.

use super::chance::{NOISE, ROUNDING};
use super::probes::{energies, largest, normal, states};
use super::slope::{Along, slope};
use super::verdict::{Step, Tally, Verdict};
use crate::eval::latent_group;
use crate::params::{Role, Slot};
use crate::rng::derive;
use crate::sweep::first_group;
use crate::{ChainRng, Marginal, Mat, Params, Phase, Score, States, Train};
use rand::RngExt;

/// Parameters that are looked at.
const MOST: usize = 256;
/// What a gradient holds before it is added to.
const HELD: f32 = 0.25;

/// [`Learn::grad_params`](crate::Learn::grad_params) adds the derivative of the energy by the parameters,
///
/// ```text
/// grad += Σ wₙ ∂E(xₙ)/∂θ
/// ```
///
/// found by moving every parameter (256 of them, if there are more) through [`Train::update`]; a state of weight zero
/// is absent, even one that holds no numbers. What [`Learn::biases`](crate::Learn::biases) calls the bias of a row is in a
/// slot of biases, and the derivative by it is minus the row. [`Learn::grad_contrast`](crate::Learn::grad_contrast) overwrites, and is
/// the sum of [`Learn::grad_expected`](crate::Learn::grad_expected) over both phases; `between` is called once, with
/// the biases of the data phase. After an update, the same [`States`] give what new ones give: nothing that was kept of
/// the old parameters is used.
///
/// The model ends with the parameters that it had.
///
/// # Errors
/// The first deviation.
///
/// ```
/// use harmonium::{laws, models::Rbm, units::{Bernoulli, Spin}};
/// let mut rbm = Rbm::new((4, Bernoulli), (3, Spin));
/// rbm.initialise(&[0.2; 4], 0.0, 1)?;
/// laws::gradient(&mut rbm, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn gradient<M: Train + ?Sized>(model: &mut M, seed: u64) -> Verdict {
    let (mut tally, mut rng) = (Tally::new("gradients"), ChainRng::new(derive(seed, "law of gradients")));
    let x = states(model, 11, &mut rng);
    let weights = weights(11);
    let mut with_nothing = x.clone();
    with_nothing.column_mut(0).fill(f32::NAN); // its weight is zero
    let mut grad = model.params().zeros_like();
    grad.as_mut_slice().fill(HELD);
    model.grad_params(with_nothing.as_view(), &weights, &mut grad);
    let size = size(&weights, &energies(model, &x));
    let f = |m: &M| weighted(&weights, &energies(m, &x));
    derivatives(model, &f, size, &grad, (&mut tally, &mut rng), "grad_params")?;
    biases(model, &mut tally, &mut rng)?;
    contrast(model, &mut tally, &mut rng)?;
    updated(model, &mut tally, &mut rng)?;
    tally.kept()
}

/// [`Learn::grad_expected`](crate::Learn::grad_expected) adds the derivative of the free energy,
///
/// ```text
/// grad += Σ wₙ ∂F(xₙ)/∂θ,   F(x) = -log Σ exp(-E)
/// ```
///
/// the sum running over the blocks of the first group in [`Phase::Model`], and in [`Phase::Data`] over the latent units, where
/// they are one group or none. The free energy is [`Marginal::energy_without`], which [`super::marginal()`] holds against its
/// definition. The states stay where they are in the model's phase; a state of weight zero is absent; and after an
/// update the same [`States`] give the derivative at the new parameters.
///
/// The model ends with the parameters that it had.
///
/// # Errors
/// The first deviation.
///
/// ```
/// use harmonium::{laws, models::Rbm, units::{Bernoulli, Spin}};
/// let mut rbm = Rbm::new((4, Bernoulli), (3, Spin));
/// rbm.initialise(&[0.2; 4], 0.0, 1)?;
/// laws::expected_gradient(&mut rbm, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn expected_gradient<M: Train + Marginal + ?Sized>(model: &mut M, seed: u64) -> Verdict {
    let mut rng = ChainRng::new(derive(seed, "law of expected gradients"));
    let mut tally = Tally::new("expected gradients");
    let (x, weights) = (states(model, 11, &mut rng), weights(11));
    let free = |m: &M, summed: &[usize]| {
        let mut out = vec![f64::NAN; x.ncols()];
        m.energy_without(summed, x.as_view(), &mut out);
        out
    };
    let mut with_nothing = x.clone();
    with_nothing.column_mut(0).fill(f32::NAN); // its weight is zero
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let mut phases = vec![(Phase::Model, first_group(model))];
    phases.extend(latent_group(model).ok().map(|latent| (Phase::Data, latent)));
    let home = model.params().as_slice().to_vec();
    for (phase, summed) in phases {
        let mut states = States::new(with_nothing.clone());
        for when in ["", " after an update"] {
            let mut grad = model.params().zeros_like();
            grad.as_mut_slice().fill(HELD);
            model.grad_expected(&mut states, phase, &weights, &mut grad);
            if phase == Phase::Model {
                tally.holds(bits(states.as_slice()) == bits(with_nothing.as_slice()), || {
                    "grad_expected in the model's phase moves the states".into()
                })?;
            }
            let size = size(&weights, &free(model, &summed)) + size(&weights, &energies(model, &x));
            let f = |m: &M| weighted(&weights, &free(m, &summed));
            let what = format!("grad_expected in the {phase:?} phase{when}");
            derivatives(model, &f, size, &grad, (&mut tally, &mut rng), &what)?;
            shake(model, &mut rng);
        }
        put_back(model, &home);
    }
    tally.kept()
}

/// [`Score::grad_x`] is the derivative of the energy by the state, `∂E/∂x`, at random states; by rows, of discrete
/// units too.
///
/// # Errors
/// The first deviation.
///
/// ```
/// use harmonium::{Collapsed, laws, models::Rbm, units::{Bernoulli, Gaussian}};
/// let mut rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// rbm.initialise(&[0.2; 4], 0.0, 1)?;
/// laws::score(&Collapsed::new(&rbm, &[Rbm::HIDDEN]), 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn score<M: Score + ?Sized>(model: &M, seed: u64) -> Verdict {
    let (mut tally, mut rng) = (Tally::new("scores"), ChainRng::new(derive(seed, "law of scores")));
    let x = states(model, 7, &mut rng).map(|x| (64.0 * x).round() / 64.0);
    let mut grad = Mat::from_element(x.nrows(), x.ncols(), f32::NAN);
    model.grad_x(x.as_view(), grad.as_view_mut());
    for (b, block) in model.blocks().iter().enumerate() {
        for (row, j) in block.rows.clone().flat_map(|r| (0..x.ncols()).map(move |j| (r, j))) {
            let at = |value: f32| {
                let mut y = x.columns(j, 1).clone_owned();
                y[(row, 0)] = value;
                energies(model, &y)[0]
            };
            let s = slope(x[(row, j)], NOISE * (1.0 + at(x[(row, j)]).abs()), at);
            tally.near(grad[(row, j)] as f64, s.value, s.allowed + ROUNDING, || {
                format!("∂E/∂x of row {row} (block {b}, {}) at state {j}", block.unit.name())
            })?;
        }
    }
    tally.kept()
}

/// Weights of several sizes, some of them zero.
fn weights(n: usize) -> Vec<f32> {
    (0..n).map(|k| (k % 5) as f32 * 0.0625).collect()
}
fn weighted(weights: &[f32], values: &[f64]) -> f64 {
    weights.iter().zip(values).map(|(&w, v)| w as f64 * v).sum()
}
/// The size of a weighted sum of energies.
fn size(weights: &[f32], energies: &[f64]) -> f64 {
    weights.iter().map(|w| w.abs() as f64).sum::<f64>() * (1.0 + largest(energies))
}
fn put_back<M: Train + ?Sized>(model: &mut M, parameters: &[f32]) {
    model.update(&mut |p| p.as_mut_slice().copy_from_slice(parameters));
}
/// Moves all parameters a little.
fn shake<M: Train + ?Sized>(model: &mut M, rng: &mut ChainRng) {
    model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|p| *p += 0.25 * normal(rng)));
}

/// `grad - HELD` is the derivative of `f`, whose values are of this size.
pub(super) fn derivatives<M: Train + ?Sized>(
    model: &mut M,
    f: &dyn Fn(&M) -> f64,
    size: f64,
    grad: &Params,
    (tally, rng): (&mut Tally, &mut ChainRng),
    what: &str,
) -> Step {
    for k in some_parameters(grad, rng) {
        let Some(along) = Along::parameter(model, k, NOISE * size, f) else { continue };
        let got = along.by(|k| (grad.as_slice()[k] - HELD) as f64);
        let allowed = along.slope.allowed + ROUNDING * (1.0 + size);
        tally.near(got, along.slope.value, allowed, || format!("{what}: ∂/∂{}", name(grad, k)))?;
    }
    Ok(())
}
/// All parameters, or random ones.
pub(super) fn some_parameters(params: &Params, rng: &mut ChainRng) -> Vec<usize> {
    let n = params.as_slice().len();
    let draw = |k| if n <= MOST { k } else { rng.random_range(0..n) };
    (0..n.min(MOST)).map(draw).collect()
}
/// A parameter, for messages.
pub(super) fn name(params: &Params, k: usize) -> String {
    let slot = params.slot_of(k);
    let at = k - slot.offset;
    format!("{}[{}, {}]", slot.name, at % slot.rows, at / slot.rows)
}

/// The derivative of the energies by the bias of a row is minus the row.
fn biases<M: Train + ?Sized>(model: &M, tally: &mut Tally, rng: &mut ChainRng) -> Step {
    let (x, weights) = (states(model, 11, rng), weights(11));
    let mut grad = model.params().zeros_like();
    model.grad_params(x.as_view(), &weights, &mut grad);
    let allowed = ROUNDING * (1.0 + x.amax() as f64);
    for (b, block) in model.blocks().iter().enumerate() {
        let Some(places) = model.biases(b) else { continue };
        let fits = |s: &Slot| s.role == Role::Bias && s.range().start <= places.start && places.end <= s.range().end;
        tally.holds(places.len() == block.rows.len() && grad.slots().iter().any(fits), || {
            format!("`biases` of block {b} are {places:?}, which are not one bias for each of its rows")
        })?;
        for (k, row) in places.zip(block.rows.clone()) {
            let sum: f64 = weights.iter().zip(x.row(row).iter()).map(|(&w, &x)| w as f64 * x as f64).sum();
            tally.near(grad.as_slice()[k] as f64, -sum, allowed, || {
                format!("grad_params: ∂/∂{}, the bias of row {row}", name(&grad, k))
            })?;
        }
    }
    Ok(())
}

/// Both phases at once are both phases one after the other.
fn contrast<M: Train + ?Sized>(model: &M, tally: &mut Tally, rng: &mut ChainRng) -> Step {
    let (data, negative) = (states(model, 13, rng), states(model, 7, rng));
    let (up, down) = (weights(13), weights(7).iter().map(|w| -w).collect::<Vec<f32>>());
    let mut parts = [model.params().zeros_like(), model.params().zeros_like()];
    model.grad_expected(&mut States::new(data.clone()), Phase::Data, &up, &mut parts[0]);
    model.grad_expected(&mut States::new(negative.clone()), Phase::Model, &down, &mut parts[1]);
    let (mut grad, mut seen) = (model.params().zeros_like(), vec![]);
    grad.as_mut_slice().fill(f32::NAN);
    let [mut a, mut b] = [&data, &negative].map(|x| {
        let mut x = x.clone();
        x.column_mut(0).fill(f32::NAN); // its weight is zero
        States::new(x)
    });
    model.grad_contrast((&mut a, &up), (&mut b, &down), &mut grad, &mut |g| seen.push(g.clone()));
    let most = [data, negative].iter().map(|x| x.amax() as f64).fold(1.0, f64::max).powi(2);
    let allowed = ROUNDING * (up.iter().chain(&down).map(|w| w.abs() as f64).sum::<f64>() + 1.0) * most;
    let [data, negative] = parts.each_ref().map(|p| p.as_slice());
    for (k, &got) in grad.as_slice().iter().enumerate() {
        let expected = data[k] as f64 + negative[k] as f64;
        tally.near(got as f64, expected, allowed, || format!("grad_contrast: ∂/∂{}", name(&grad, k)))?;
    }
    tally.near(seen.len() as f64, 1.0, 0.0, || "how often grad_contrast calls `between`".into())?;
    for slot in grad.slots().iter().filter(|s| s.role == Role::Bias) {
        for k in slot.range() {
            let got = seen[0].as_slice()[k] as f64;
            tally.near(got, data[k] as f64, allowed, || {
                format!("in grad_contrast, what `between` is told: ∂/∂{}", name(&grad, k))
            })?;
        }
    }
    Ok(())
}

/// After an update, states that were used before give what new ones give.
fn updated<M: Train + ?Sized>(model: &mut M, tally: &mut Tally, rng: &mut ChainRng) -> Step {
    let (home, weights) = (model.params().as_slice().to_vec(), weights(9));
    for phase in [Phase::Data, Phase::Model] {
        let mut used = States::new(states(model, 9, rng));
        let mut gradients = [model.params().zeros_like(), model.params().zeros_like()];
        model.infer(&mut used);
        model.grad_expected(&mut used, phase, &weights, &mut gradients[0]);
        shake(model, rng);
        gradients[0].as_mut_slice().fill(0.0);
        let mut new = States::new(used.x().clone_owned());
        let most = (1.0 + new.x().amax() as f64).powi(2);
        model.grad_expected(&mut used, phase, &weights, &mut gradients[0]);
        model.grad_expected(&mut new, phase, &weights, &mut gradients[1]);
        let [got, expected] = &gradients;
        for (k, (&g, &e)) in got.as_slice().iter().zip(expected.as_slice()).enumerate() {
            tally.near(g as f64, e as f64, ROUNDING * (1.0 + e.abs() as f64) * most, || {
                let name = name(expected, k);
                format!("grad_expected in the {phase:?} phase after an update, with states used before: ∂/∂{name}")
            })?;
        }
        put_back(model, &home);
    }
    Ok(())
}
