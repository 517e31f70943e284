//! The energies of both phases of contrastive learning: the number to watch where energies are unbounded, and a penalty that keeps them
//! small.
//!
//! The gradient knows only differences of energies, so a network's may drift without end; and where the chains lag behind, data and
//! samples drift apart. `α⟨E²⟩` over both (Du and Mordatch 2019) holds them near zero.

use crate::{Error, Learn, Result, States};

/// Watches the gap `⟨E⟩_data - ⟨E⟩_negative`, and ends a run whose gap is beyond a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Energies {
    /// α of the penalty `α (⟨E²⟩_data + ⟨E²⟩_negative)`, whose gradient is added.
    pub penalty: f32,
    /// The largest gap, up or down, in nats, that is no sign of divergence.
    pub limit: f64,
    energies: [Vec<f64>; 2],
}
impl Default for Energies {
    fn default() -> Self {
        Self { penalty: 0.0, limit: Self::LIMIT, energies: [vec![], vec![]] }
    }
}
impl Energies {
    /// A gap that no run comes back from, in nats.
    pub const LIMIT: f64 = 1e4;
    /// With this penalty.
    pub fn penalised(penalty: f32) -> Self {
        Self { penalty, ..Self::default() }
    }
    /// The same with another limit.
    pub fn within(self, limit: f64) -> Self {
        Self { limit, ..self }
    }
    /// The gap, and the weights of both phases with the penalty in them.
    pub(super) fn weigh<M: Learn + ?Sized>(
        &mut self,
        model: &M,
        data: (&States, &mut [f32]),
        negative: (&States, &mut [f32]),
        step: u64,
    ) -> Result<f64> {
        if model.n_visible() != model.n_rows() {
            let what = "energies of the data of a model with latent units".into();
            return Err(Error::Intractable { what, instead: "free energies (`Collapsed`)" });
        }
        if !(self.penalty >= 0.0 && self.penalty.is_finite()) {
            return Err(Error::value("the penalty on energies", "a number, at least 0", self.penalty));
        }
        let mut gap = 0.0;
        for ((states, weights), energies) in [data, negative].into_iter().zip(&mut self.energies) {
            energies.resize(states.ncols(), 0.0);
            model.energy(states.x(), energies);
            for (w, e) in weights.iter_mut().zip(&*energies).filter(|(w, _)| **w != 0.0) {
                gap += f64::from(*w) * e;
                // Weights of negative states are negative, those of the penalty are not.
                *w += w.abs() * 2.0 * self.penalty * *e as f32;
            }
        }
        match gap.abs() <= self.limit {
            true => Ok(gap),
            false => Err(Error::Diverged { step, gap, limit: self.limit }),
        }
    }
}
