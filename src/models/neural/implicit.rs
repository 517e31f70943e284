//! Implicit regression: two networks meet in a space of codes, `E(y | u) = ½‖G₁(u) - G₂(y)‖²`.
//!
//! Any relation of `u` and `y` can be learned, several answers to one input among them, for `y` goes through a network of its own; but a
//! loss that only pulls energies down makes both networks constant. See [`crate::objectives::Answers`].
//!
//! ## References
//! - LeCun, Chopra, Hadsell, Ranzato and Huang, "A tutorial on energy-based learning", 2006 (section 2.2.3).
//! - Chopra, Hadsell and LeCun, "Learning a similarity metric discriminatively, with application to face verification", 2005.

use super::{Activation, Mlp, Noise, Work};
use crate::linalg::{axpy, col};
use crate::models::Kind;
use crate::params::Role;
use crate::rng::derive;
use crate::{Block, Energy, Learn, Mat, MatMut, MatRef, Params, Score, Train, Version};

/// `E(y | u) = ½‖G₁(u) - G₂(y)‖²` with two networks; a state is the inputs `u`, which are given, then the rows of the answer `y`.
///
/// Parameters: those of `G₁` under the names `input_weights1`, `input_bias1` …, those of `G₂` as `answer_weights1` …
///
/// ```
/// use harmonium::models::neural::{Activation, ImplicitRegression};
/// use harmonium::{Energy, Mat, units::Real};
/// use std::sync::Arc;
/// let hidden = [(8, Activation::Tanh)];
/// let mut model = ImplicitRegression::new((2, &hidden), ((1, Arc::new(Real)), &hidden), 3);
/// model.initialise(1);
/// let mut energies = [-1.0; 4];
/// model.energy(Mat::from_element(3, 4, 0.5).as_view(), &mut energies);
/// assert!(energies.iter().all(|e| *e >= 0.0));
/// ```
#[derive(Clone, Debug)]
pub struct ImplicitRegression {
    params: Params,
    networks: [Mlp; 2], // of inputs and of answers, with copies of the parameters
    blocks: Vec<Block>,
}

impl ImplicitRegression {
    /// So many inputs and the hidden layers of their network; an answer of units of this kind, and the hidden layers of its network; and
    /// the length of codes. All parameters are zero.
    ///
    /// # Panics
    /// If there are no units of the answer, or rows are not those of whole units.
    pub fn new(
        (inputs, of_inputs): (usize, &[(usize, Activation)]),
        ((rows, unit), of_answers): (Kind, &[(usize, Activation)]),
        code: usize,
    ) -> Self {
        let whole = rows > 0 && unit.width() > 0 && rows.is_multiple_of(unit.width());
        assert!(whole, "rows of whole units: {rows} of {unit:?}");
        let network = |n: usize, hidden: &[(usize, Activation)]| {
            Mlp::new(n, &hidden.iter().copied().chain([(code, Activation::Linear)]).collect::<Vec<_>>())
        };
        let networks = [network(inputs, of_inputs), network(rows, of_answers)];
        let named = |(name, network): (&str, &Mlp)| -> Vec<(String, Role, usize, usize)> {
            let slots = network.params().slots().iter();
            slots.map(|s| (format!("{name}_{}", s.name), s.role, s.rows, s.columns)).collect()
        };
        let slots: Vec<_> = ["input", "answer"].into_iter().zip(&networks).flat_map(named).collect();
        let slots: Vec<(&str, Role, usize, usize)> =
            slots.iter().map(|(n, role, r, c)| (&**n, *role, *r, *c)).collect();
        let blocks = vec![Block { rows: inputs..inputs + rows, unit, group: 0 }];
        Self { params: Params::zeros(&slots), networks, blocks }
    }
    /// Random weights ([`Mlp::initialise`]) of both networks.
    pub fn initialise(&mut self, seed: u64) {
        self.networks[0].initialise(derive(seed, "network of inputs"));
        self.networks[1].initialise(derive(seed, "network of answers"));
        let all = self.networks.each_ref().map(|n| n.params().as_slice()).concat();
        self.params.as_mut_slice().copy_from_slice(&all);
    }
    /// `G₁`
    pub fn of_inputs(&self) -> &Mlp {
        &self.networks[0]
    }
    /// `G₂`
    pub fn of_answers(&self) -> &Mlp {
        &self.networks[1]
    }
    /// Inputs and answers of states.
    fn parts<'a>(&self, x: &'a MatRef<'_>) -> [MatRef<'a>; 2] {
        let n = self.n_given();
        [x.rows(0, n), x.rows(n, self.n_rows() - n)]
    }
    /// `G₁(u) - G₂(y)` of states (codes × states).
    fn differences(&self, x: MatRef<'_>) -> Mat {
        let [a, b] = [0, 1].map(|k| {
            let (network, mut work) = (&self.networks[k], Work::new(0));
            network.pass(&mut work, self.parts(&x)[k], Noise::default(), &|_, _, _| ());
            work.activities(network.rows(network.n_layers())).clone_owned()
        });
        a - b
    }
    /// Takes `Σ wₙ E` back through both networks: what `each` is shown is the number of a network, what it worked with, and its gradient.
    fn back(&self, x: MatRef<'_>, weights: &[f32], mut each: impl FnMut(usize, &mut Work, &Params)) {
        let off = self.differences(x);
        let off = off.as_view();
        for (k, (network, sign)) in self.networks.iter().zip([1.0, -1.0]).enumerate() {
            let (mut work, mut own) = (Work::new(0), network.params().zeros_like());
            network.pass(&mut work, self.parts(&x)[k], Noise::default(), &|j, _, delta| {
                delta.iter_mut().zip(col(&off, j)).for_each(|(d, o)| *d = sign * weights[j] * o);
            });
            network.pass_back(&mut work, Noise::default(), &mut own);
            each(k, &mut work, &own);
        }
    }
}

impl Energy for ImplicitRegression {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn n_given(&self) -> usize {
        self.networks[0].n_inputs()
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        let square = |off: &[f32]| off.iter().map(|o| f64::from(*o).powi(2)).sum::<f64>();
        let off = self.differences(x);
        out.iter_mut().zip(off.column_iter()).for_each(|(e, off)| *e = 0.5 * square(off.as_slice()));
    }
}
impl Score for ImplicitRegression {
    /// Of given rows too.
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        let starts = [0, self.n_given(), self.n_rows()];
        self.back(x, &vec![1.0; x.ncols()], |k, work, _| {
            self.networks[k].grad_inputs(work, out.rows_range_mut(starts[k]..starts[k + 1]));
        });
    }
}
impl Learn for ImplicitRegression {
    fn params(&self) -> &Params {
        &self.params
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        // A sample of weight zero is absent, whatever it holds.
        let kept: Vec<usize> = (0..weights.len()).filter(|&j| weights[j] != 0.0).collect();
        let (x, weights) = (x.select_columns(&kept), kept.iter().map(|&j| weights[j]).collect::<Vec<f32>>());
        let mut at = 0;
        self.back(x.as_view(), &weights, |_, _, own| {
            let own = own.as_slice();
            axpy(1.0, own, &mut grad.as_mut_slice()[at..at + own.len()]);
            at += own.len();
        });
    }
}
impl Train for ImplicitRegression {
    fn architecture(&self) -> String {
        let of = |n: &Mlp| (1..n.n_layers()).map(|l| n.activation(l).name()).collect::<Vec<_>>().join(" ");
        let [inputs, answers] = self.networks.each_ref().map(of);
        format!("activations {inputs}; {answers}")
    }
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        self.params.as_mut_slice(); // whole parameters may have come from another model: a new version
        let mut at = 0;
        for network in &mut self.networks {
            let own = network.params_mut().as_mut_slice();
            own.copy_from_slice(&self.params.as_slice()[at..at + own.len()]);
            at += own.len();
        }
    }
}
