//! The law of marginals.

use super::chance::ROUNDING;
use super::probes::{energies, states};
use super::terms::Terms;
use super::verdict::{Step, Tally, Verdict};
use crate::rng::derive;
use crate::sweep::{groups, leading_rows};
use crate::{ChainRng, Energy, Marginal, Mat, Result};

const STATES: usize = 6;

/// Summing a group of blocks out is a sum over all their values:
///
/// ```text
/// energy_without(group, x) = -log Σ exp(-E) = E₀ - Σ_units log Σ_values exp(E₀ - E(unit = value))
/// E₀ = E(x with the group at 0)
/// ```
///
/// from [`Energy::energy`] alone; the sum over a real unit is an integral. The units of a group are independent given
/// the rest, so that the sum splits. The blocks of every group are summed out together, and one by one; their rows hold
/// no numbers meanwhile, and are left out where they come last. [`Marginal::energy_at_zero`] is `E₀`.
///
/// It takes as many energies as the group has values (some thousand for a real unit), so it is for models of moderate
/// size.
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if an integral is not finite.
///
/// ```
/// use harmonium::{laws, models::Rbm, units::{Bernoulli, Gaussian}};
/// let mut rbm = Rbm::new((4, Gaussian), (3, Bernoulli));
/// rbm.initialise(&[0.5; 4], 0.0, 1)?;
/// laws::marginal(&rbm, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn marginal<M: Marginal + ?Sized>(model: &M, seed: u64) -> Verdict {
    let (mut tally, mut rng) = (Tally::new("marginals"), ChainRng::new(derive(seed, "law of marginals")));
    let x = states(model, STATES, &mut rng);
    let mut sums: Vec<Vec<usize>> = (0..model.blocks().len()).map(|b| vec![b]).collect();
    sums.extend(groups(model));
    sums.sort();
    sums.dedup();
    for summed in sums {
        one(model, &summed, &x, &mut tally)?;
    }
    tally.kept()
}

fn one<M: Marginal + ?Sized>(model: &M, summed: &[usize], x: &Mat, tally: &mut Tally) -> Step {
    let mut empty = x.clone();
    for &b in summed {
        empty.rows_range_mut(model.blocks()[b].rows.clone()).fill(f32::NAN);
    }
    let expected: Vec<Summed> =
        x.column_iter().map(|x| tally.possible(Summed::of(model, summed, x.as_slice()))).collect::<Step<_>>()?;
    let cut = empty.rows(0, leading_rows(model, summed)).clone_owned();
    for (x, state) in [(&empty, "state"), (&cut, "shortened state")] {
        let (mut at_zero, mut free) = (vec![f64::NAN; x.ncols()], vec![f64::NAN; x.ncols()]);
        model.energy_at_zero(summed, x.as_view(), &mut at_zero);
        model.energy_without(summed, x.as_view(), &mut free);
        for (j, e) in expected.iter().enumerate() {
            let allowed = ROUNDING * (1.0 + e.scale) * e.units.max(1.0).sqrt();
            let what = |name: &str| format!("{name} blocks {summed:?} of {state} {j}");
            tally.near(at_zero[j], e.at_zero, allowed, || what("the energy with zeros in"))?;
            tally.near(free[j], e.free, allowed, || what("the energy without"))?;
        }
    }
    Ok(())
}

/// A free energy by its definition.
pub(super) struct Summed {
    /// The energy with the summed blocks at zero.
    pub(super) at_zero: f64,
    /// `-log Σ exp(-E)`
    pub(super) free: f64,
    /// The size of the energies that were added.
    pub(super) scale: f64,
    /// How many units were summed out.
    units: f64,
}

impl Summed {
    /// Over all blocks of one group, or some of them; whatever their rows hold.
    pub(super) fn of<M: Energy + ?Sized>(model: &M, summed: &[usize], x: &[f32]) -> Result<Self> {
        let mut home = Mat::from_column_slice(x.len(), 1, x);
        let all: Vec<_> = summed.iter().map(|&b| &model.blocks()[b]).collect();
        all.iter().for_each(|b| home.rows_range_mut(b.rows.clone()).fill(0.0));
        let at_zero = energies(model, &home)[0];
        let mut out = Self { at_zero, free: at_zero, scale: at_zero.abs(), units: 0.0 };
        for block in all {
            let w = block.unit.width();
            for row in block.rows.clone().step_by(w) {
                let mut exponents = |values: &[f32]| {
                    let mut x = Mat::zeros(home.nrows(), values.len() / w);
                    for (mut column, value) in x.column_iter_mut().zip(values.chunks(w)) {
                        column.copy_from(&home);
                        column.rows_mut(row, w).copy_from_slice(value);
                    }
                    energies(model, &x).iter().map(|e| at_zero - e).collect()
                };
                let terms = Terms::of(&*block.unit, &mut exponents)?;
                out.free -= terms.log_sum();
                out.scale = out.scale.max(terms.peak.abs());
                out.units += 1.0;
            }
        }
        Ok(out)
    }
}
