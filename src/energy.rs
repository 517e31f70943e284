//! The contract: what a model says about itself. Samplers, objectives and evaluators ask for these and nothing else.
//!
//! ```
//! use harmonium::{Energy, models::Rbm, units::Bernoulli};
//! let rbm = Rbm::new((3, Bernoulli), (2, Bernoulli)); // all parameters zero: E = 0 everywhere
//! let states = harmonium::Mat::from_element(5, 4, 1.0); // four states: three visible rows, two hidden ones
//! let mut energies = [1.0; 4];
//! rbm.energy(states.as_view(), &mut energies);
//! assert_eq!(energies, [0.0; 4]);
//! ```

use crate::{MaskRef, MatMut, MatRef, Params, Response, Slab, States, Unit, Version, conditionals, sweep};
use std::ops::Range;
use std::sync::Arc;

/// Rows of the state and the kind of unit that lives there. Blocks of one group are independent given the rest: changing
/// one leaves the fields of the others as they are.
#[derive(Clone, Debug)]
pub struct Block {
    /// Rows of the state.
    pub rows: Range<usize>,
    /// The kind of unit.
    pub unit: Arc<dyn Unit>,
    /// A number shared by blocks that are independent given the rest.
    pub group: usize,
}

/// An unnormalised density `p(x) ∝ exp(-E(x))`; columns of `x` are states: given rows, then data rows, then latent rows.
pub trait Energy: Sync {
    /// Who lives where, in sweep order where [`Gibbs`] applies.
    fn blocks(&self) -> &[Block];
    /// The units' own parameters: learned ones, `n_theta` a row of the block; or what a state brings with it, for the first
    /// rows of a state, the `given` ones at least, are known here (the length of a document).
    fn theta<'a>(&'a self, _block: usize, _given: &'a [f32]) -> &'a [f32] {
        &[]
    }
    /// Leading rows that are inputs, `E(y | x)`: never sampled, in no block.
    fn n_given(&self) -> usize {
        0
    }
    /// Height of a state.
    fn n_rows(&self) -> usize {
        self.blocks().iter().map(|b| b.rows.end).max().unwrap_or(self.n_given())
    }
    /// Changes whenever the energy does: cached fields hold for one version.
    fn version(&self) -> Version;
    /// `out = E(xₙ)`, in nats.
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]);
}

/// Units of a block are independent given the rest: `E(x) = U(x_b) - φ_bᵀx_b + const`.
pub trait Gibbs: Energy {
    /// `out = φ` of any rows of one block; reads only rows outside the block's group.
    fn field(&self, rows: Range<usize>, x: MatRef<'_>, out: MatMut<'_>);
    /// One pass over the blocks; overridden where structure pays (tiles, lattices).
    fn sweep(&self, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        sweep::blocks(self, slab, response);
    }
}

/// The energy is differentiable in `x`.
pub trait Score: Energy {
    /// `out = ∂E/∂x`, whatever it held.
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>);
    /// `energies = E(xₙ)`, in nats, and `out = ∂E/∂x`: what a move with acceptance asks for. Overridden where one pass gives both.
    fn energy_and_grad_x(&self, x: MatRef<'_>, energies: &mut [f64], out: MatMut<'_>) {
        self.energy(x, energies);
        self.grad_x(x, out);
    }
}

/// The energy is differentiable in its parameters.
pub trait Learn: Energy {
    /// Given and data rows; the others are latent.
    fn n_visible(&self) -> usize {
        self.n_rows()
    }
    /// The parameters.
    fn params(&self) -> &Params;
    /// Where in the flat parameters the biases of a block are, one for each of its rows in their order; `None` if it has none,
    /// or shares them. What looks at single units asks for them: standardised gradients, sparsity, the zero-sum gauge.
    fn biases(&self, _block: usize) -> Option<Range<usize>> {
        None
    }
    /// Makes what the data phase needs to know of the latent rows, and keeps it in the states: so that negative states which
    /// start at the data find it there. Without latent rows there is nothing to make; with them, a model that leaves it out
    /// still computes in [`Learn::grad_expected`] what it needs. Standardised gradients need the latent blocks' means
    /// ([`States::mean`]) to be known afterwards.
    fn infer(&self, _states: &mut States) {}
    /// `grad += Σ wₙ ∂E(xₙ)/∂θ`; a state of weight zero is absent, whatever it holds.
    fn grad_params(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params);
    /// The same with the latent rows averaged out as far as is known. A model that has any must say how.
    ///
    /// # Panics
    /// The provided body, if there are latent rows: what they hold in the data phase means nothing.
    fn grad_expected(&self, states: &mut States, _phase: Phase, weights: &[f32], grad: &mut Params) {
        assert_eq!(self.n_visible(), self.n_rows(), "a model with latent rows needs a `grad_expected` of its own");
        self.grad_params(states.x(), weights, grad);
    }
    /// `grad = Σ wₙ ⟨∂E/∂θ⟩` over the states of both phases (with weights of opposite sign, their difference), whatever
    /// `grad` held; overridden where one pass can do both.
    ///
    /// `between` is called once with a gradient whose biases are those of the data phase alone, all else undefined.
    fn grad_contrast(
        &self,
        (data, data_weights): (&mut States, &[f32]),
        (model, model_weights): (&mut States, &[f32]),
        grad: &mut Params,
        between: &mut dyn FnMut(&Params),
    ) {
        grad.as_mut_slice().fill(0.0);
        self.grad_expected(data, Phase::Data, data_weights, grad);
        between(grad);
        self.grad_expected(model, Phase::Model, model_weights, grad);
    }
}

/// The energy's slope along a direction is differentiable in the parameters: what denoising score matching learns from.
pub trait Directional: Score + Learn {
    /// `grad += Σ wₙ ∂/∂θ uₙᵀ∇E(xₙ)` for directions `u` (of the shape of `x`); a state of weight zero is absent.
    ///
    /// The provided body takes central differences of [`Learn::grad_params`] over a length of 0.06 a sample: right to some 1e-4 where the
    /// energy is smooth on that scale.
    fn grad_slopes(&self, x: MatRef<'_>, u: MatRef<'_>, weights: &[f32], grad: &mut Params) {
        crate::directional::by_differences(self, x, u, weights, grad);
    }
}

/// The energy's curvature along a direction is differentiable in the parameters: what exact and sliced score matching learn from.
pub trait Curved: Directional {
    /// Slopes `sₙ = uₙᵀ∇E(xₙ)` and curvatures `cₙ = uₙᵀ∇²E(xₙ)uₙ` for directions `u` (of the shape of `x`): each is shown to `weigh`
    /// with the number of its sample, which answers with weights `(aₙ, bₙ)`; and `grad += Σ ∂/∂θ (aₙ sₙ + bₙ cₙ)`, the weights held fixed.
    /// A sample whose weights are both zero is absent.
    fn grad_curvatures(&self, x: MatRef<'_>, u: MatRef<'_>, weigh: &Weigh<'_>, grad: &mut Params);
}
/// Number of a sample, slope and curvature; answers with the weights of the two.
pub type Weigh<'a> = dyn Fn(usize, f64, f64) -> [f64; 2] + Sync + 'a;

/// Owns its parameters. Apart from [`Learn`], because borrowing adapters learn but do not own.
pub trait Train: Learn {
    /// What neither blocks nor parameters tell of the model, such as the activations of a network: a checkpoint of another is refused.
    fn architecture(&self) -> String {
        String::new()
    }
    /// The only way in: afterwards packed copies are refreshed, symmetry and constraints restored.
    fn update(&mut self, f: &mut dyn FnMut(&mut Params));
}

/// Blocks of one group can be summed out: `-log Σ exp(-E) = E(x with them at 0) - Γ(φ)`.
pub trait Marginal: Gibbs {
    /// `out = E(x)` with the blocks `summed` at zero; reads none of their rows, which `x` may lack where they come last.
    fn energy_at_zero(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]);
    /// `out = -log Σ exp(-E)` over the blocks `summed`, all of one group; their rows of `x` may be absent likewise.
    fn energy_without(&self, summed: &[usize], x: MatRef<'_>, out: &mut [f64]) {
        sweep::energy_without(self, summed, x, out);
    }
}

/// Which average [`Learn::grad_expected`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Over the posterior of the latent rows: exact, or mean field (written into the states).
    Data,
    /// Over the first group of blocks given the rest, exactly (Rao-Blackwell). Leaves the chain's state alone.
    Model,
}

/// Every unit given all others: what pseudo-likelihood learns from. For models without latent rows.
pub trait Conditionals: Gibbs + Learn {
    /// `grad += Σ wₙ ∂/∂θ Cₙ` with `C = -Σ_i log p(x_i | all others)` over the units, and `Σ wₙ Cₙ`, in nats; a state of weight zero is
    /// absent. Overridden where the units' fields come from one product.
    fn grad_conditionals(&self, x: MatRef<'_>, weights: &[f32], grad: &mut Params) -> f64 {
        conditionals::by_values(self, x, weights, grad)
    }
}

/// Data for one update.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Visible units × samples.
    pub x: MatRef<'a>,
    /// One weight a sample; zero means absent.
    pub weights: &'a [f32],
    /// `true` where an entry of `x` is missing, visible units × samples. What `x` holds there is where filling it in starts.
    pub missing: Option<MaskRef<'a>>,
    /// The update it is for, counted from 0.
    pub step: u64,
}
