//! Bounds on `log p(v)` of a deep belief net, by draws from its recognition layers.
//!
//! For every distribution `q` of the hidden layers below the top, `log p(v) ≥ ⟨log p(v, x) - log q(x | v)⟩_q`, where the machine at
//! the top gives `log p(x_{L-1}) = -F(x_{L-1}) - log Z`. Estimates `log Z` of the top: [`super::ais`].
//!
//! ## References
//! - Salakhutdinov and Murray, "On the quantitative analysis of deep belief networks", 2008.
//! - Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016 (the mean of weights as a tighter bound).

use super::likelihood::{check_values, discrete_units};
use super::{Estimate, LogPartition, log_mean_exp};
use crate::data::{Samples, in_chunks};
use crate::linalg::{col, dot};
use crate::models::{Dbn, Rbm};
use crate::rng::derive;
use crate::samplers::Chains;
use crate::sweep::energies_without;
use crate::{Energy, Error, Mat, MatRef, Response, Result};
use std::ops::Range;

/// What is known of `log p(v)` of one sample, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeliefNetBound {
    /// The variational bound, `⟨log w⟩` over draws of the hidden layers, `w = p(v, x) / q(x | v)`; its error is that of the average.
    pub bound: Estimate,
    /// `log ⟨w⟩`: on average between the bound and `log p(v)`, and nearer to it the more draws there are.
    pub weighted: f64,
}

/// Bounds on `log p(v)` of every sample (of epoch 0), from so many draws of its hidden layers; `log_partition` is that of the machine
/// at the top. A label is summed out.
///
/// ```
/// use harmonium::eval::{LogPartition, belief_net_bounds, exact_log_partition};
/// use harmonium::{Mat, models::{Dbn, Rbm}, units::Bernoulli};
/// let stack = vec![Rbm::new((3, Bernoulli), (4, Bernoulli)), Rbm::new((4, Bernoulli), (2, Bernoulli))];
/// let dbn = Dbn::from_stack(stack)?; // all parameters zero
/// let log_z = LogPartition::exact(exact_log_partition(dbn.top())?);
/// let bounds = belief_net_bounds(&dbn, &Mat::identity(3, 3), &log_z, 10, 1)?;
/// assert!(bounds.iter().all(|b| (b.bound.value + 8f64.ln()).abs() < 1e-6));
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the samples do not fit, [`Error::Value`] if there are no samples or no draws, or a sample has a value that its
/// unit does not take.
pub fn belief_net_bounds(
    dbn: &Dbn,
    samples: &dyn Samples,
    log_partition: &LogPartition,
    draws: usize,
    seed: u64,
) -> Result<Vec<BeliefNetBound>> {
    if samples.n_rows() != dbn.n_visible() {
        return Err(Error::shape("rows of samples", dbn.n_visible(), samples.n_rows()));
    }
    if draws == 0 {
        return Err(Error::value("draws of the hidden layers", "at least 1", 0));
    }
    let lowest = if dbn.n_lower() > 0 { dbn.generative(1) } else { dbn.top() };
    let units: Vec<_> = discrete_units(lowest).into_iter().filter(|(row, _)| *row < dbn.n_visible()).collect();
    let mut chains: Vec<Chains> = (0..dbn.n_lower())
        .map(|l| Chains::new(Mat::zeros(0, 0), derive(seed, &format!("recognition of layer {l}"))))
        .collect();
    let mut found = vec![];
    in_chunks(samples, |_, v| {
        check_values(&units, v, found.len())?;
        let mut weights = vec![Vec::with_capacity(draws); v.ncols()];
        for _ in 0..draws {
            let log_w = log_weights(dbn, v, &mut chains)?;
            weights.iter_mut().zip(log_w).for_each(|(all, w)| all.push(w - log_partition.value));
        }
        found.extend(weights.iter().map(|w| BeliefNetBound { bound: Estimate::of(w), weighted: log_mean_exp(w) }));
        Ok(())
    })?;
    Ok(found)
}

/// `log p*(v, x) - log q(x | v)` of one draw of the hidden layers of every sample, `p*` without the `Z` of the top.
fn log_weights(dbn: &Dbn, v: MatRef<'_>, chains: &mut [Chains]) -> Result<Vec<f64>> {
    let (mut x, mut log_w) = (v.clone_owned(), vec![0.0; v.ncols()]);
    for (l, chains) in chains.iter_mut().enumerate() {
        let (up, down) = (dbn.recognition(l + 1), dbn.generative(l + 1));
        chains.reshape(up.n_rows(), x.ncols());
        chains.states.clamp(up.n_rows(), x.as_view());
        chains.each(|slab, rng| up.hidden_blocks().for_each(|b| slab.respond(up, b, &mut Response::sample(rng))));
        add_log_probabilities(-1.0, up, up.hidden_blocks(), chains, &mut log_w);
        add_log_probabilities(1.0, down, down.visible_blocks(), chains, &mut log_w);
        x = chains.states.x().rows(up.n_visible(), up.n_hidden()).clone_owned();
    }
    let free = free_energies_of_top(dbn, &x)?;
    log_w.iter_mut().zip(free).for_each(|(w, f)| *w -= f);
    Ok(log_w)
}

/// `out += sign Σ (φᵀx - U(x) - Γ(φ))` over blocks of one side of a machine, given the other side.
fn add_log_probabilities(sign: f64, machine: &Rbm, blocks: Range<usize>, chains: &mut Chains, out: &mut [f64]) {
    for b in blocks {
        let fields = chains.states.field(machine, b).clone_owned();
        let (block, theta, x, fields) =
            (&machine.blocks()[b], machine.theta(b, &[]), chains.states.x(), fields.as_view());
        for (j, o) in out.iter_mut().enumerate() {
            let (x, field) = (&col(&x, j)[block.rows.clone()], col(&fields, j));
            let unit = &block.unit;
            *o += sign * (dot(field, x) - unit.base_energy(theta, x) - unit.log_partition(theta, field));
        }
    }
}

/// `F(x)` of the top, with its label summed out.
fn free_energies_of_top(dbn: &Dbn, x: &Mat) -> Result<Vec<f64>> {
    let (top, below, label) = (dbn.top(), dbn.n_below_top(), dbn.n_label());
    if label == 0 {
        return top.free_energy(x.as_view());
    }
    top.label_rows()?;
    let hidden: Vec<usize> = top.hidden_blocks().collect();
    let mut all = vec![vec![]; x.ncols()];
    for class in 0..label {
        let mut with = Mat::zeros(below + label, x.ncols());
        with.rows_mut(0, below).copy_from(x);
        with.row_mut(below + class).fill(1.0);
        all.iter_mut().zip(energies_without(top, &hidden, with.as_view())?).for_each(|(all, f)| all.push(-f));
    }
    Ok(all.iter().map(|minus| -(log_mean_exp(minus) + (label as f64).ln())).collect())
}
