//! Up-down learning of a deep belief net, the contrastive form of wake-sleep.
//!
//! Up: the recognition layers draw all units from the data; every generative layer learns to give each layer from the one above.
//! At the top, the machine learns by contrastive divergence from there. Down: from where its chains end, the generative layers draw
//! all units; every recognition layer learns to give each layer from the one below. All of it is one gradient of all parameters, so
//! that optimisers, penalties and checkpoints are those of any run. It is no gradient of one loss: what recognition learns is the
//! other direction of the divergence.
//!
//! ## References
//! - Hinton, Dayan, Frey and Neal, "The wake-sleep algorithm for unsupervised neural networks", 1995.
//! - Hinton, Osindero and Teh, "A fast learning algorithm for deep belief nets", 2006, appendix B.

use super::batch::refuse_missing;
use super::{Contrastive, Ends, FromData, Negative, Objective, Persistent, Report};
use crate::models::{Dbn, Rbm};
use crate::optim::Schedule;
use crate::rng::derive;
use crate::samplers::{BlockGibbs, Chains};
use crate::{Batch, Energy, Error, Learn, Mat, MatRef, Params, Response, Result, Resume, Saved};

/// Contrastive wake-sleep for a [`Dbn`], whose samples are the visible units, then the label, if the top has one.
///
/// ```
/// use harmonium::{Batch, Mat, models::{Dbn, Rbm}, objectives::{Objective, UpDown}, units::Bernoulli};
/// let stack = vec![Rbm::new((6, Bernoulli), (4, Bernoulli)), Rbm::new((4, Bernoulli), (3, Bernoulli))];
/// let dbn = Dbn::from_stack(stack)?;
/// let x = Mat::zeros(6, 5);
/// let batch = Batch { x: x.as_view(), weights: &[1.0; 5], missing: None, step: 0 };
/// UpDown::new(3, 1).gradient(&dbn, &batch, &mut dbn.params().zeros_like())?;
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct UpDown<N = FromData<BlockGibbs>> {
    /// How the machine at the top learns: by contrastive divergence, whose `k` may rise over a run (3, 6 and 10 in the publication), or
    /// by persistent chains.
    pub top: Contrastive<N>,
    /// Whether dreams end with the means of the visible units, as suits grey levels, or with draws, as suits bits.
    pub mean_dreams: bool,
    wake: Vec<Chains>,
    sleep: Vec<Chains>,
    of_top: Option<Params>,
    weights: [Vec<f32>; 2], // of the data, and of dreams
    seed: u64,
}

impl UpDown {
    /// Contrastive divergence of `k` sweeps at the top, by plain gradients; dreams end with means.
    pub fn new(k: usize, seed: u64) -> Self {
        Self::with_top(Contrastive::cd(k, derive(seed, "top of a belief net")).plain(), seed)
    }
    /// The same with as many sweeps at the top as this says, by step.
    pub fn with_k(mut self, k: Schedule) -> Self {
        self.top.negative.k = k;
        self
    }
}
impl UpDown<Persistent<BlockGibbs>> {
    /// With these persistent chains at the top, of `k` sweeps an update, by centred gradients: they go where the machine has probability,
    /// far from the data too, which contrastive divergence over many updates leaves there. Dreams begin where they are.
    pub fn persistent(k: usize, chains: Chains, seed: u64) -> Self {
        Self::with_top(Contrastive::pcd(k, chains), seed)
    }
}
impl<N> UpDown<N> {
    /// With any contrastive objective for the machine at the top.
    pub fn with_top(top: Contrastive<N>, seed: u64) -> Self {
        Self { top, mean_dreams: true, wake: vec![], sleep: vec![], of_top: None, weights: [vec![], vec![]], seed }
    }
    /// Streams for every directed layer, both ways.
    fn fit(&mut self, lower: usize) {
        let make = |way: &str, l: usize| Chains::new(Mat::zeros(0, 0), derive(self.seed, &format!("{way} {l}")));
        (self.wake.len()..lower).for_each(|l| self.wake.push(make("wake", l)));
        (self.sleep.len()..lower).for_each(|l| self.sleep.push(make("sleep", l)));
    }
    /// Draws all layers upwards; each generative layer's gradient. What is left is the lower layer of the top.
    fn up(&mut self, dbn: &Dbn, v: MatRef<'_>, grad: &mut Params) -> Mat {
        let mut x = v.clone_owned();
        for l in 1..=dbn.n_lower() {
            let (machine, chains) = (dbn.recognition(l), &mut self.wake[l - 1]);
            chains.reshape(machine.n_rows(), x.ncols());
            chains.states.clamp(machine.n_rows(), x.as_view());
            respond(chains, machine, true, true);
            dbn.grad_generative(l, &mut chains.states, &self.weights[0], grad);
            x = chains.states.x().rows(machine.n_visible(), machine.n_hidden()).clone_owned();
        }
        x
    }
    /// Draws all layers downwards from the lower layer of the top; each recognition layer's gradient.
    fn down(&mut self, dbn: &Dbn, mut x: Mat, grad: &mut Params) {
        for l in (1..=dbn.n_lower()).rev() {
            let (machine, chains) = (dbn.generative(l), &mut self.sleep[l - 1]);
            let d = machine.n_visible();
            chains.reshape(machine.n_rows(), x.ncols());
            chains.states.thaw();
            let mut states = chains.states.x_mut();
            states.rows_mut(0, d).fill(0.0);
            states.rows_mut(d, machine.n_hidden()).copy_from(&x);
            respond(chains, machine, false, l > 1 || !self.mean_dreams);
            dbn.grad_recognition(l, &mut chains.states, &self.weights[1], grad);
            x = chains.states.x().rows(0, d).clone_owned();
        }
    }
}

/// One side of the machine answers the other: by draws, or by means.
fn respond(chains: &mut Chains, machine: &Rbm, hidden: bool, drawn: bool) {
    let blocks = if hidden { machine.hidden_blocks() } else { machine.visible_blocks() };
    chains.each(|slab, rng| {
        for b in blocks.clone() {
            slab.respond(machine, b, &mut if drawn { Response::sample(rng) } else { Response::mean() });
        }
    });
}

impl<N: Negative<Rbm> + Ends> Objective<Dbn> for UpDown<N> {
    /// # Errors
    /// [`Error::Shape`] if the batch has not the rows of the net's samples, [`Error::Value`] if entries are missing, and those of the
    /// objective of the top.
    fn gradient(&mut self, dbn: &Dbn, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let (d, label, below) = (dbn.n_visible(), dbn.n_label(), dbn.n_below_top());
        if batch.x.nrows() != d + label {
            return Err(Error::shape("rows of samples of a deep belief net", d + label, batch.x.nrows()));
        }
        refuse_missing(batch, "missing entries of data of a deep belief net", "none")?;
        let total: f64 = batch.weights.iter().map(|w| f64::from(*w)).sum();
        if total <= 0.0 {
            grad.as_mut_slice().fill(0.0);
            return Ok(Report::default());
        }
        self.weights[0].clear();
        self.weights[0].extend(batch.weights.iter().map(|w| (f64::from(*w) / total) as f32));
        self.fit(dbn.n_lower());
        // A sample of weight zero is absent, whatever it holds.
        let mut samples = batch.x.clone_owned();
        samples.column_iter_mut().zip(batch.weights).filter(|(_, w)| **w == 0.0).for_each(|(mut x, _)| x.fill(0.0));
        let x = self.up(dbn, samples.rows(0, d), grad);
        let mut at_top = Mat::zeros(below + label, x.ncols());
        at_top.rows_mut(0, below).copy_from(&x);
        at_top.rows_mut(below, label).copy_from(&samples.rows(d, label));
        let mut of_top = self
            .of_top
            .take()
            .filter(|p| p.slots() == dbn.top().params().slots())
            .unwrap_or_else(|| dbn.top().params().zeros_like());
        let report =
            self.top.gradient(dbn.top(), &Batch { x: at_top.as_view(), missing: None, ..*batch }, &mut of_top)?;
        grad.as_mut_slice()[dbn.top_slots().1].copy_from_slice(of_top.as_slice());
        self.of_top = Some(of_top);
        clear_unused(dbn, grad);
        let dreams = self.top.negative.ends().x().rows(0, below).clone_owned();
        let [of_data, of_dreams] = &mut self.weights;
        of_dreams.clear();
        // Chains that start at the data keep its weights.
        match dreams.ncols() == of_data.len() {
            true => of_dreams.extend_from_slice(of_data),
            false => of_dreams.resize(dreams.ncols(), 1.0 / dreams.ncols() as f32),
        }
        self.down(dbn, dreams, grad);
        Ok(report)
    }
}
/// What directed layers do not use learns nothing.
fn clear_unused(dbn: &Dbn, grad: &mut Params) {
    for l in 0..dbn.n_lower() {
        // Of the recognition machine the visible units' parameters, of the generative one the hidden units'.
        [1, 4, 7, 8].iter().for_each(|k| grad.slice_mut(10 * l + k).fill(0.0));
    }
}
impl<N: Resume> Resume for UpDown<N> {
    fn save(&self, to: &mut Saved) {
        self.top.save(to.child_mut("top"));
        for (way, chains) in [("wake", &self.wake), ("sleep", &self.sleep)] {
            for (l, chains) in chains.iter().enumerate() {
                chains.streams().save(to.child_mut(&format!("{way}{l}")));
            }
        }
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        self.top.load(from.child("top")?)?;
        self.fit((0..).take_while(|l| from.child(&format!("wake{l}")).is_ok()).count());
        for (way, chains) in [("wake", &mut self.wake), ("sleep", &mut self.sleep)] {
            for (l, chains) in chains.iter_mut().enumerate() {
                chains.streams_mut().load(from.child(&format!("{way}{l}"))?)?;
            }
        }
        Ok(())
    }
}
