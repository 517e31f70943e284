//! Asking a deep belief net: what it dreams, of a class if wanted, and which class it sees, by sampling.

use super::{Draws, impute};
use crate::models::Dbn;
use crate::rng::derive;
use crate::samplers::{BlockGibbs, Chains};
use crate::{Energy, Error, Mask, Mat, MatRef, Response, Result};

/// What a net dreams: draws, and the means that they were drawn from (visible units × dreams each).
#[derive(Clone, Debug, PartialEq)]
pub struct Dreams {
    /// `E[v | x_1]`
    pub mean: Mat,
    /// `v`, drawn
    pub drawn: Mat,
}

/// `n` ancestral draws: the machine at the top runs for [`Draws::sweeps`] from independent units, its label held at `class` if there
/// is one, and every layer below is drawn from the one above.
///
/// ```
/// use harmonium::infer::{Draws, dream};
/// use harmonium::{models::{Dbn, Rbm}, units::Bernoulli};
/// let stack = vec![Rbm::new((6, Bernoulli), (4, Bernoulli)), Rbm::new((4, Bernoulli), (3, Bernoulli))];
/// let dreams = dream(&Dbn::from_stack(stack)?, None, 10, &Draws { sweeps: 5, ..Draws::default() })?;
/// assert_eq!((dreams.drawn.shape(), dreams.mean[(0, 0)]), ((6, 10), 0.5));
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] if there is no such class.
pub fn dream(dbn: &Dbn, class: Option<usize>, n: usize, draws: &Draws) -> Result<Dreams> {
    let (top, below) = (dbn.top(), dbn.n_below_top());
    let base = [top.visible_bias(), &vec![0.0; top.n_hidden()]].concat();
    let mut chains = Chains::from_base(top, &base, n, derive(draws.seed, "dreams"));
    if let Some(class) = class {
        if class >= dbn.n_label() {
            return Err(Error::value("the class to dream of", format!("below {} classes", dbn.n_label()), class));
        }
        let mut x = chains.states.x_mut();
        x.rows_mut(below, dbn.n_label()).fill(0.0);
        x.row_mut(below + class).fill(1.0);
        chains.states.freeze_rows(below..top.n_visible())?;
    }
    chains.advance(&BlockGibbs::new(draws.sweeps), top);
    if dbn.n_lower() == 0 {
        let mean = chains.states.x_and_means(top, top.visible_blocks()).1.rows(0, below).clone_owned();
        return Ok(Dreams { mean, drawn: chains.states.x().rows(0, below).clone_owned() });
    }
    let mut x = chains.states.x().rows(0, below).clone_owned();
    let mut mean = Mat::zeros(0, n);
    for l in (1..=dbn.n_lower()).rev() {
        let machine = dbn.generative(l);
        let d = machine.n_visible();
        let mut states = Mat::zeros(machine.n_rows(), n);
        states.rows_mut(d, machine.n_hidden()).copy_from(&x);
        let mut chains = Chains::new(states, derive(draws.seed, &format!("dreams of layer {l}")));
        mean = chains.states.x_and_means(machine, machine.visible_blocks()).1.clone_owned();
        chains.each(|slab, rng| {
            machine.visible_blocks().for_each(|b| slab.respond(machine, b, &mut Response::sample(rng)));
        });
        x = chains.states.x().rows(0, d).clone_owned();
    }
    Ok(Dreams { mean, drawn: x })
}

/// The probability of every class (classes × samples) by sampling: the lower layer of the top is held at its means given the
/// sample, and its hidden units and the label answer each other. [`Dbn::class_log_probabilities`] is the exact answer to it.
///
/// # Errors
/// [`Error::Value`] if the net has no label, [`Error::Shape`] if there is not one row a visible unit.
pub fn label_by_gibbs(dbn: &Dbn, v: MatRef<'_>, draws: &Draws) -> Result<Mat> {
    let label = dbn.top().label_rows()?;
    let (up, classes) = (dbn.up(v)?, label.len());
    let mut x = Mat::from_element(label.end, v.ncols(), 1.0 / classes as f32);
    x.rows_mut(0, label.start).copy_from(&up);
    let unknown = Mask::from_fn(label.end, v.ncols(), |i, _| i >= label.start);
    Ok(impute(dbn.top(), x.as_view(), &unknown, draws)?.mean.rows(label.start, classes).clone_owned())
}
