//! The general Boltzmann machine, dense: units that are coupled to any others, those of their own layer among them. Fully visible, with
//! hidden units beside, or semi-restricted: visible units coupled to each other, hidden ones to visible ones alone.
//!
//! Units that are coupled to each other are drawn one after the other, each a block and a group of its own; what makes that as fast as
//! block Gibbs is in `tiles.rs`. Hidden units that are not coupled to each other are one block, and sum out. Those that are have a
//! posterior without closed form, which is approximated by mean field. A machine whose couplings are few is
//! [`SparseBoltzmann`](super::SparseBoltzmann); a Hopfield network is this machine with weights from a storage rule.
//!
//! ## References
//! - Ackley, Hinton and Sejnowski, "A learning algorithm for Boltzmann machines", 1985.
//! - Peterson and Anderson, "A mean field theory learning algorithm for neural networks", 1987.
//! - Osindero and Hinton, "Modeling image patches with a directed hierarchy of Markov random fields", 2008 (semi-restricted).

mod tiles;

use super::{Kind, MeanField, pairwise};
use crate::base_rate::base_rate;
use crate::conditionals;
use crate::linalg::{Outer, TwoValues, Working, add_columns, add_outer, col, dot, fill_columns, gemm, set_outers};
use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::sweep::first_group;
use crate::{
    Block, Conditionals, Energy, Error, Gibbs, Learn, Marginal, Mat, MatMut, MatRef, Params, Phase, Response, Result,
    Score, Slab, States, Train, Unit, Version,
};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;
use std::sync::Arc;

const W: usize = 0; // hidden × visible
const LATERAL: [usize; 2] = [1, 2]; // of both layers
const BIAS: [usize; 2] = [3, 4];
const VISIBLE: usize = 0;
const HIDDEN: usize = 1;

/// Which layers have couplings within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateral {
    /// Visible units are coupled to each other.
    pub visible: bool,
    /// Hidden units are coupled to each other.
    pub hidden: bool,
}

/// `E(v, h) = U(v) + U(h) - bᵀv - cᵀh - hᵀWv - ½ vᵀLv - ½ hᵀKh`, with `L` and `K` symmetric and zero within a unit; a state is the
/// visible rows, then the hidden rows.
///
/// Parameters: `weights` W (hidden × visible), `visible_lateral` L and `hidden_lateral` K (both halves are kept, equal; none where a
/// layer has no couplings within), `visible_bias` b, `hidden_bias` c. Units are of kinds without parameters of their own. The gradient by
/// an entry of L or K is that of its half of a pair, `-½ xᵢxⱼ`: at one learning rate, a lateral coupling moves half as far as one of
/// `weights`.
///
/// ```
/// use harmonium::{Chains, Energy, models::Boltzmann, samplers::BlockGibbs, units::{Bernoulli, Spin}};
/// let machine = Boltzmann::new((5, Spin));
/// assert_eq!((machine.n_rows(), machine.blocks().len()), (5, 5));
/// let machine = Boltzmann::semi_restricted((5, Bernoulli), (3, Bernoulli));
/// assert_eq!((machine.n_rows(), machine.blocks().len()), (8, 6)); // the hidden units are one block
/// Chains::zeros(&machine, 10, 1).advance(&BlockGibbs::new(3), &machine);
/// ```
#[derive(Clone, Debug)]
pub struct Boltzmann {
    params: Params,
    working: [Working; 3], // copies of W, L and K
    layers: [Layer; 2],
    blocks: Vec<Block>,
    inference: MeanField,
}

/// One of the two layers.
#[derive(Clone, Debug)]
struct Layer {
    rows: Range<usize>,
    blocks: Range<usize>,
    lateral: bool,
    runs: Vec<Run>,
}

/// Rows of units of one kind, one after the other.
#[derive(Clone, Debug)]
struct Run {
    rows: Range<usize>,
    first_block: usize,
    width: usize,
    values: Option<TwoValues>,
}

impl Boltzmann {
    /// Standard deviation of the initial weights ([`Boltzmann::initialise`]).
    pub const INITIAL_DEVIATION: f32 = 0.01;

    /// A fully visible machine, so many rows of units coupled each to each; all parameters zero.
    ///
    /// # Panics
    /// If rows are not those of whole units, or the units have parameters of their own; so do the others.
    pub fn new((n, unit): (usize, impl Unit)) -> Self {
        let none = Lateral { visible: true, hidden: false };
        Self::with_layers(&[(n, Arc::new(unit))], &[], none)
    }
    /// So many rows of visible units, coupled each to each and to hidden ones, which are not coupled to each other; all parameters zero.
    pub fn semi_restricted((d, visible): (usize, impl Unit), (h, hidden): (usize, impl Unit)) -> Self {
        let lateral = Lateral { visible: true, hidden: false };
        Self::with_layers(&[(d, Arc::new(visible))], &[(h, Arc::new(hidden))], lateral)
    }
    /// So many rows of visible and of hidden units, all coupled each to each; all parameters zero.
    pub fn with_hidden((d, visible): (usize, impl Unit), (h, hidden): (usize, impl Unit)) -> Self {
        let lateral = Lateral { visible: true, hidden: true };
        Self::with_layers(&[(d, Arc::new(visible))], &[(h, Arc::new(hidden))], lateral)
    }
    /// Layers made of ranges of different units (no hidden ones, for a fully visible machine); all parameters zero.
    pub fn with_layers(visible: &[Kind], hidden: &[Kind], lateral: Lateral) -> Self {
        let (mut blocks, mut layers) = (vec![], vec![]);
        let d: usize = visible.iter().map(|(rows, _)| rows).sum();
        // Hidden units first, for a sweep goes v → h → v.
        for (kinds, start, within) in [(hidden, d, lateral.hidden), (visible, 0, lateral.visible)] {
            layers.push(Layer::new(kinds, start, within, &mut blocks));
        }
        let h = layers[0].rows.len();
        let lateral = Lateral { hidden: lateral.hidden && h > 0, ..lateral };
        let size = |n: usize, within: bool| if within { n } else { 0 };
        let (l, k) = (size(d, lateral.visible), size(h, lateral.hidden));
        let within = |layer: usize, kinds: &[Kind]| match kinds {
            [(_, unit), rest @ ..] if rest.iter().all(|(_, u)| u.width() == unit.width()) => {
                Role::Lateral { units: BIAS[layer], width: unit.width() }
            }
            _ => Role::Weights,
        };
        let params = Params::zeros(&[
            ("weights", Role::Coupling { rows: BIAS[HIDDEN], columns: BIAS[VISIBLE] }, h, d),
            ("visible_lateral", within(VISIBLE, visible), l, l),
            ("hidden_lateral", within(HIDDEN, hidden), k, k),
            ("visible_bias", Role::Bias, d, 1),
            ("hidden_bias", Role::Bias, h, 1),
        ]);
        let working = [Working::zeros(h, d), Working::zeros(l, l), Working::zeros(k, k)];
        layers.reverse();
        let layers = layers.try_into().expect("two layers");
        Self { params, working, layers, blocks, inference: MeanField::default() }
    }
    /// Small normal weights, hidden biases 0, visible biases such that the visible units have their means over the data, drawn
    /// towards those at field 0 by `smoothing`, as [`super::Rbm::initialise`] does it. Lateral weights start at zero.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one mean a visible unit, and those of [`base_rate`].
    pub fn initialise(&mut self, mean: &[f32], smoothing: f32, seed: u64) -> Result<()> {
        let d = self.n_visible();
        if mean.len() != d {
            return Err(Error::shape("means of visible units", d, mean.len()));
        }
        let base = base_rate(self, mean, smoothing)?;
        let mut rng = ChainRng::new(derive(seed, "weights"));
        self.update(&mut |p| {
            for w in p.slice_mut(W) {
                let z: f32 = StandardNormal.sample(&mut rng);
                *w = Self::INITIAL_DEVIATION * z;
            }
            LATERAL.into_iter().for_each(|slot| p.slice_mut(slot).fill(0.0));
            p.slice_mut(BIAS[HIDDEN]).fill(0.0);
            p.slice_mut(BIAS[VISIBLE]).copy_from_slice(&base[..d]);
        });
        Ok(())
    }
    /// How the posterior of hidden units that are coupled to each other is approximated.
    pub fn inference(&self) -> MeanField {
        self.inference
    }
    /// Changes it; what was inferred before is forgotten.
    pub fn set_inference(&mut self, inference: MeanField) {
        self.inference = inference;
        self.params.as_mut_slice(); // a new version
    }
    /// Number of visible rows.
    pub fn n_visible(&self) -> usize {
        self.layers[VISIBLE].rows.len()
    }
    /// Number of hidden rows.
    pub fn n_hidden(&self) -> usize {
        self.layers[HIDDEN].rows.len()
    }
    /// Which layers have couplings within.
    pub fn lateral(&self) -> Lateral {
        let [visible, hidden] = [VISIBLE, HIDDEN].map(|l| self.layers[l].lateral);
        Lateral { visible, hidden }
    }
    /// The ranges of visible units.
    pub fn visible_kinds(&self) -> Vec<Kind> {
        self.kinds(VISIBLE)
    }
    /// The ranges of hidden units.
    pub fn hidden_kinds(&self) -> Vec<Kind> {
        self.kinds(HIDDEN)
    }
    fn kinds(&self, layer: usize) -> Vec<Kind> {
        let of_run = |run: &Run| (run.rows.len(), self.blocks[run.first_block].unit.clone());
        self.layers[layer].runs.iter().filter(|run| !run.rows.is_empty()).map(of_run).collect()
    }
    /// `W`, hidden × visible units.
    pub fn weights(&self) -> MatRef<'_> {
        self.params.mat(W)
    }
    /// `L`, visible × visible units, symmetric; 0 × 0 if there are no couplings within.
    pub fn visible_lateral(&self) -> MatRef<'_> {
        self.params.mat(LATERAL[VISIBLE])
    }
    /// `K`, hidden × hidden units, symmetric; 0 × 0 if there are no couplings within.
    pub fn hidden_lateral(&self) -> MatRef<'_> {
        self.params.mat(LATERAL[HIDDEN])
    }
    /// `b`, one a visible row.
    pub fn visible_bias(&self) -> &[f32] {
        self.params.slice(BIAS[VISIBLE])
    }
    /// `c`, one a hidden row.
    pub fn hidden_bias(&self) -> &[f32] {
        self.params.slice(BIAS[HIDDEN])
    }
    /// The layer that rows are of, and where they are in it.
    fn place(&self, rows: &Range<usize>) -> (usize, Range<usize>) {
        let d = self.n_visible();
        match rows.start >= d && self.n_hidden() > 0 {
            true => (HIDDEN, rows.start - d..rows.end - d),
            false => (VISIBLE, rows.clone()),
        }
    }
    /// A layer of states.
    fn of<'a>(&self, layer: usize, x: &'a MatRef<'_>) -> MatRef<'a> {
        x.rows(self.layers[layer].rows.start, self.layers[layer].rows.len())
    }
    /// `out = b + W…`, for some units of a layer: their fields but for couplings within.
    fn field_from_other(&self, layer: usize, units: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        fill_columns(&self.params.slice(BIAS[layer])[units.clone()], &mut out);
        match layer {
            _ if self.n_hidden() == 0 => (),
            VISIBLE => self.working[W].transposed().add_to(units, self.of(HIDDEN, &x), out),
            _ => self.working[W].plain().add_to(units, self.of(VISIBLE, &x), out),
        }
    }
    /// Full states in whose visible rows, and others in whose hidden rows, the gradient of a phase is found. `kept` is memory for them.
    ///
    /// Where a group of blocks is averaged out, its means stand for it: the energy is linear in each of its units given the rest, and
    /// none is coupled to another.
    fn averaged<'a>(&self, states: &'a mut States, phase: Phase, kept: &'a mut Mat) -> [MatRef<'a>; 2] {
        let hidden = &self.layers[HIDDEN];
        if !hidden.lateral && !hidden.blocks.is_empty() {
            let (x, means) = states.x_and_all_means(self, hidden.blocks.clone());
            return [x, means];
        }
        if phase == Phase::Data {
            self.infer(states);
            return [states.x(), states.x()];
        }
        *kept = states.x().clone_owned();
        for b in first_group(self) {
            kept.rows_range_mut(self.blocks[b].rows.clone()).copy_from(&states.mean(self, b));
        }
        [kept.as_view(), kept.as_view()]
    }
}

impl Layer {
    /// A layer that begins at this row, and its blocks.
    fn new(kinds: &[Kind], start: usize, lateral: bool, blocks: &mut Vec<Block>) -> Self {
        let (first, mut at, mut runs) = (blocks.len(), start, vec![]);
        let shared = blocks.iter().map(|b| b.group + 1).max().unwrap_or(0);
        for (rows, unit) in kinds {
            let width = unit.width();
            assert!(width > 0 && rows.is_multiple_of(width), "rows of whole units: {rows} of {unit:?}");
            assert_eq!(unit.n_theta(), 0, "units without parameters of their own, not {unit:?}");
            runs.push(Run { rows: at..at + rows, first_block: blocks.len(), width, values: two_values(&**unit) });
            if lateral {
                for start in (at..at + rows).step_by(width) {
                    let group = blocks.last().map_or(0, |b| b.group + 1);
                    blocks.push(Block { rows: start..start + width, unit: unit.clone(), group });
                }
            } else {
                blocks.push(Block { rows: at..at + rows, unit: unit.clone(), group: shared });
            }
            at += rows;
        }
        Self { rows: start..at, blocks: first..blocks.len(), lateral, runs }
    }
}

/// The values of a unit that has two, of equal energy.
fn two_values(unit: &dyn Unit) -> Option<TwoValues> {
    let support = unit.support().filter(|s| s.len() == 2 && unit.width() == 1)?;
    let (a, b) = (support[0][0], support[1][0]);
    let mut at_tie = [0.0];
    unit.mode(&[], &[0.0], &mut at_tie);
    let level = unit.base_energy(&[], &[a]) == unit.base_energy(&[], &[b]);
    level.then(|| TwoValues { low: a.min(b), high: a.max(b), at_tie: at_tie[0] })
}

impl Energy for Boltzmann {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn n_rows(&self) -> usize {
        self.layers[HIDDEN].rows.end
    }
    fn version(&self) -> Version {
        self.params.version()
    }
    /// # Panics
    /// If a state has not one row a unit.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        self.energy_at_zero(&[], x, out);
    }
}

impl Gibbs for Boltzmann {
    /// `b + Wᵀh + Lv` of visible rows, `c + Wv + Kh` of hidden ones.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, mut out: MatMut<'_>) {
        let (layer, units) = self.place(&rows);
        self.field_from_other(layer, units.clone(), x, out.as_view_mut());
        if self.layers[layer].lateral {
            // Not the rows themselves, which may be absent; and zero times what is no number is none.
            let (w, first) = (self.params.mat(LATERAL[layer]), self.layers[layer].rows.start);
            for others in [0..units.start, units.end..w.ncols()].into_iter().filter(|o| !o.is_empty()) {
                let part = w.view((units.start, others.start), (units.len(), others.len()));
                gemm(1.0, part, x.rows(first + others.start, others.len()), 1.0, out.as_view_mut());
            }
        }
    }
    fn sweep(&self, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        let layers = if response.is_backward() { [VISIBLE, HIDDEN] } else { [HIDDEN, VISIBLE] };
        for layer in layers {
            self.sweep_layer(layer, slab, response);
        }
    }
}

impl Boltzmann {
    /// The fields of all rows. (Weights within a unit are zero, so what a unit has is no part of its own.)
    fn all_fields(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        for (k, layer) in self.layers.iter().enumerate().filter(|(_, l)| !l.rows.is_empty()) {
            let mut out = out.rows_range_mut(layer.rows.clone());
            self.field_from_other(k, 0..layer.rows.len(), x, out.as_view_mut());
            if layer.lateral {
                self.working[LATERAL[k]].plain().add_to(0..layer.rows.len(), self.of(k, &x), out);
            }
        }
    }
}

/// `∂E/∂x = U'(x) - φ`, by the formula of real `x`.
impl Score for Boltzmann {
    /// # Panics
    /// If a state has not one row a unit.
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        self.all_fields(x, out.as_view_mut());
        pairwise::gradients(self, x, out);
    }
    /// Both from the fields of all units, which are one product.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], mut out: MatMut<'_>) {
        assert_eq!(x.nrows(), self.n_rows(), "rows of the states and units of the model");
        self.all_fields(x, out.as_view_mut());
        pairwise::energies(self, &BIAS.map(|slot| self.params.slice(slot)), x, out.as_view(), energies);
        pairwise::gradients(self, x, out);
    }
}

impl Marginal for Boltzmann {
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        out.fill(0.0);
        // Rows of what is summed are zero, and may be absent.
        let kept = (!summed.is_empty()).then(|| {
            let mut kept = Mat::zeros(self.n_rows(), x.ncols());
            kept.rows_mut(0, x.nrows()).copy_from(&x);
            summed.iter().for_each(|&b| kept.rows_range_mut(self.blocks[b].rows.clone()).fill(0.0));
            kept
        });
        let x = kept.as_ref().map_or(x, |kept| kept.as_view());
        for layer in [VISIBLE, HIDDEN] {
            self.add_energy_of(layer, summed, x, out);
        }
        let hidden_remain = self.layers[HIDDEN].blocks.clone().any(|b| !summed.contains(&b));
        if hidden_remain {
            let (hidden, visible) = (self.of(HIDDEN, &x), self.of(VISIBLE, &x));
            let mut pull = Mat::zeros(hidden.nrows(), x.ncols());
            self.working[W].plain().add_to(0..hidden.nrows(), visible, pull.as_view_mut());
            let pull = pull.as_view();
            out.iter_mut().enumerate().for_each(|(j, o)| *o -= dot(col(&hidden, j), col(&pull, j)));
        }
    }
}

impl Boltzmann {
    /// `out += U(x) - bᵀx - ½ xᵀLx` of a layer.
    fn add_energy_of(&self, layer: usize, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        let (l, own) = (&self.layers[layer], self.of(layer, &x));
        for b in l.blocks.clone().filter(|b| !summed.contains(b)) {
            let Block { rows, unit, .. } = &self.blocks[b];
            for (j, o) in out.iter_mut().enumerate() {
                *o += unit.base_energy(&[], &col(&x, j)[rows.clone()]);
            }
        }
        let bias = self.params.slice(BIAS[layer]);
        out.iter_mut().enumerate().for_each(|(j, o)| *o -= dot(col(&own, j), bias));
        if l.lateral {
            let mut pull = Mat::zeros(own.nrows(), x.ncols());
            self.working[LATERAL[layer]].plain().add_to(0..own.nrows(), own, pull.as_view_mut());
            let pull = pull.as_view();
            out.iter_mut().enumerate().for_each(|(j, o)| *o -= 0.5 * dot(col(&own, j), col(&pull, j)));
        }
    }
    /// The outer products of every coupling that there is: its slot, and the rows of states that it couples.
    fn couplings(&self) -> impl Iterator<Item = (usize, f32, usize, usize)> {
        let all =
            [(W, -1.0, HIDDEN, VISIBLE), (LATERAL[0], -0.5, VISIBLE, VISIBLE), (LATERAL[1], -0.5, HIDDEN, HIDDEN)];
        let there = |&(slot, ..): &(usize, f32, usize, usize)| !self.params.slice(slot).is_empty();
        all.into_iter().filter(there)
    }
    fn grad_biases(&self, of: &[MatRef<'_>; 2], weights: &[f32], grad: &mut Params) {
        for layer in [VISIBLE, HIDDEN] {
            add_columns(grad.slice_mut(BIAS[layer]), -1.0, self.of(layer, &of[layer]), weights);
        }
    }
    /// The gradient, of which lateral slots get some within units, too.
    fn grad_at(&self, of: &[MatRef<'_>; 2], weights: &[f32], grad: &mut Params) {
        self.grad_biases(of, weights, grad);
        let held = self.own_of(grad);
        for (slot, scale, a, x) in self.couplings() {
            add_outer(scale, self.of(a, &of[a]), self.of(x, &of[x]), weights, grad.slice_mut(slot));
        }
        self.put_own(&held, grad);
    }
    /// What lateral slots hold within units, in order.
    fn own_of(&self, params: &Params) -> Vec<f32> {
        self.own_places().map(|(slot, i, j)| params.mat(slot)[(i, j)]).collect()
    }
    fn put_own(&self, values: &[f32], params: &mut Params) {
        for ((slot, i, j), value) in self.own_places().zip(values) {
            params.mat_mut(slot)[(i, j)] = *value;
        }
    }
    /// Slot, row and column of every lateral weight within a unit.
    fn own_places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        [VISIBLE, HIDDEN].into_iter().filter(|l| self.layers[*l].lateral).flat_map(|l| {
            let start = self.layers[l].rows.start;
            self.blocks[self.layers[l].blocks.clone()].iter().flat_map(move |block| {
                let rows = block.rows.start - start..block.rows.end - start;
                rows.clone().flat_map(move |j| rows.clone().map(move |i| (LATERAL[l], i, j)))
            })
        })
    }
}

impl Learn for Boltzmann {
    fn n_visible(&self) -> usize {
        self.n_visible()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn biases(&self, block: usize) -> Option<Range<usize>> {
        let (layer, units) = self.place(&self.blocks[block].rows);
        let offset = self.params.slots()[BIAS[layer]].offset;
        Some(offset + units.start..offset + units.end)
    }
    /// Means of hidden units: exact where they are not coupled to each other, else by mean field, which
    /// writes them into the states, whatever is frozen there.
    fn infer(&self, states: &mut States) {
        let hidden = self.layers[HIDDEN].blocks.clone();
        if !self.layers[HIDDEN].lateral {
            hidden.for_each(|b| _ = states.mean(self, b));
        } else if !states.is_inferred(self) {
            states.par(|_, slab| self.mean_field(slab));
        }
    }
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        self.grad_at(&[x, x], weights, grad);
    }
    /// Data: hidden units averaged out, by mean field where they are coupled to each other. Model: the first group of blocks averaged
    /// out given the rest.
    fn grad_expected(&self, states: &mut States, phase: Phase, weights: &[f32], grad: &mut Params) {
        let mut kept = Mat::zeros(0, 0);
        let of = self.averaged(states, phase, &mut kept);
        self.grad_at(&of, weights, grad);
    }
    /// The two outer products of every coupling in one pass over its gradient.
    fn grad_contrast(
        &self,
        (data, data_weights): (&mut States, &[f32]),
        (model, model_weights): (&mut States, &[f32]),
        grad: &mut Params,
        between: &mut dyn FnMut(&Params),
    ) {
        BIAS.into_iter().for_each(|slot| grad.slice_mut(slot).fill(0.0));
        let mut kept = [Mat::zeros(0, 0), Mat::zeros(0, 0)];
        let [for_data, for_model] = &mut kept;
        let of_data = self.averaged(data, Phase::Data, for_data);
        self.grad_biases(&of_data, data_weights, grad);
        between(grad);
        let of_model = self.averaged(model, Phase::Model, for_model);
        self.grad_biases(&of_model, model_weights, grad);
        for (slot, scale, a, x) in self.couplings() {
            let outers = [(&of_data, data_weights), (&of_model, model_weights)].map(|(of, weights)| Outer {
                scale,
                a: self.of(a, &of[a]),
                x: self.of(x, &of[x]),
                weights,
            });
            set_outers(outers, grad.slice_mut(slot));
        }
        let none = self.own_places().map(|_| 0.0).collect::<Vec<f32>>();
        self.put_own(&none, grad);
    }
}

impl Train for Boltzmann {
    fn architecture(&self) -> String {
        format!("{:?}", self.lateral())
    }
    /// Lateral weights are made symmetric, each pair its mean, and zero within a unit.
    ///
    /// # Panics
    /// If `f` exchanges the parameters for others of another shape.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params)) {
        let slots = self.params.layout();
        f(&mut self.params);
        self.params.as_mut_slice(); // whole parameters may have come from elsewhere
        assert_eq!(*slots, *self.params.layout(), "shape of the parameters");
        let own: Vec<_> = self.own_places().collect();
        own.into_iter().for_each(|(slot, i, j)| self.params.mat_mut(slot)[(i, j)] = 0.0);
        LATERAL.into_iter().for_each(|slot| symmetrise(&mut self.params.mat_mut(slot)));
        self.working[W].copy_from(self.params.mat(W));
        LATERAL.into_iter().for_each(|slot| self.working[slot].copy_symmetric(self.params.mat(slot)));
    }
}

/// Every pair becomes its mean; one that is equal already keeps its bits. Square by square, for half of what is read is far apart.
fn symmetrise(w: &mut MatMut<'_>) {
    const SQUARE: usize = 32;
    let n = w.ncols();
    for (right, top) in (0..n).step_by(SQUARE).flat_map(|r| (0..=r).step_by(SQUARE).map(move |t| (r, t))) {
        for j in right..n.min(right + SQUARE) {
            for i in top..j.min(top + SQUARE) {
                let mean = 0.5 * (w[(i, j)] + w[(j, i)]);
                (w[(i, j)], w[(j, i)]) = (mean, mean);
            }
        }
    }
}

impl Conditionals for Boltzmann {
    /// With no latent units, all fields are one product, `φ = b + Lx`; with `D = x - ⟨x | rest⟩`, the gradient by the biases is `-ΣD`, and
    /// that by `L` is `-½ Σ (Dxᵀ + xDᵀ)`.
    fn grad_conditionals(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) -> f64 {
        if self.n_hidden() > 0 || !self.layers[VISIBLE].lateral {
            return conditionals::by_values(self, x, weights, grad);
        }
        let mut residues = Mat::zeros(x.nrows(), x.ncols());
        fill_columns(self.visible_bias(), &mut residues.as_view_mut());
        self.working[LATERAL[VISIBLE]].plain().add_to(0..x.nrows(), x, residues.as_view_mut());
        let costs = conditionals::residues(self, x, &mut residues);
        add_columns(grad.slice_mut(BIAS[VISIBLE]), -1.0, residues.as_view(), weights);
        let held = self.own_of(grad);
        let slot = grad.slice_mut(LATERAL[VISIBLE]);
        add_outer(-0.5, residues.as_view(), x, weights, slot);
        add_outer(-0.5, x, residues.as_view(), weights, slot);
        self.put_own(&held, grad);
        conditionals::weighted(weights, &costs)
    }
}
