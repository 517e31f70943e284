//! Which parameters the gradient is with respect to, before it is carried back to those of the plain energy.
//!
//! The plain parameters are the only ones that a model has. A gradient in other coordinates is the plain one times `J Jᵀ`, where
//! `J` holds the derivatives of the plain parameters by the others: another direction downhill, with the same places to rest.

use super::{Centring, Standardising};
use crate::{Learn, Params, Result, Resume, Saved, States};

/// The coordinates of a gradient.
#[derive(Clone, Debug)]
pub enum Coordinates {
    /// The parameters of the energy as it stands: the textbook gradient.
    Plain,
    /// Those of the energy of units less their means.
    Centred(Centring),
    /// Those of the energy of units less their means, over their standard deviations.
    Standardised(Standardising),
}

impl Default for Coordinates {
    /// Centred.
    fn default() -> Self {
        Self::Centred(Centring::default())
    }
}

impl Coordinates {
    /// Whether they are those of such a model.
    pub(super) fn check<M: Learn + ?Sized>(&self, model: &M) -> Result<()> {
        match self {
            Self::Plain => Ok(()),
            Self::Centred(centring) => centring.check(model.params()),
            Self::Standardised(standardising) => standardising.check(model),
        }
    }
    /// Sees the biases of the data phase.
    pub(super) fn observe(&mut self, positive: &Params) {
        match self {
            Self::Plain => {}
            Self::Centred(centring) => centring.observe(positive),
            Self::Standardised(standardising) => standardising.observe(positive),
        }
    }
    /// Sees the data phase, and makes of a plain gradient the one in these coordinates, carried back.
    pub(super) fn carry<M: Learn + ?Sized>(
        &mut self,
        model: &M,
        positive: (&States, &[f32]),
        grad: &mut Params,
    ) -> Result<()> {
        match self {
            Self::Plain => {}
            Self::Centred(centring) => centring.apply(grad),
            Self::Standardised(standardising) => {
                standardising.measure(model, positive)?;
                standardising.apply(grad);
            }
        }
        Ok(())
    }
    /// What the gradients by biases are multiplied with, one for every parameter; `None` if with nothing.
    pub(super) fn gains(&self) -> Option<&[f32]> {
        match self {
            Self::Plain | Self::Centred(_) => None,
            Self::Standardised(standardising) => Some(standardising.gains()),
        }
    }
}

/// Under a name of its own for each kind: a run does not go on in other coordinates.
impl Resume for Coordinates {
    fn save(&self, to: &mut Saved) {
        match self {
            Self::Plain => {}
            Self::Centred(centring) => centring.save(to.child_mut("centring")),
            Self::Standardised(standardising) => standardising.save(to.child_mut("standardising")),
        }
    }
    fn load(&mut self, from: &Saved) -> Result<()> {
        match self {
            Self::Plain => Ok(()),
            Self::Centred(centring) => centring.load(from.child("centring")?),
            Self::Standardised(standardising) => standardising.load(from.child("standardising")?),
        }
    }
}
