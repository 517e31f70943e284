//! What a run trains: whatever has its parameters in one flat vector and one door to them.

use crate::models::{Dbn, Gauge};
use crate::units::label;
use crate::{Block, Learn, Params, Train};
use std::sync::Arc;

/// Has parameters that an optimiser can move, and says what its data are. Every [`Train`] model is one; what is no single energy, as
/// a [`Dbn`], can be one, too, with objectives of its own.
pub trait Learner {
    /// The parameters.
    fn parameters(&self) -> &Params;
    /// The only way in: afterwards whatever was made of the parameters is made anew.
    fn change(&mut self, f: &mut dyn FnMut(&mut Params));
    /// Rows of a sample.
    fn n_data_rows(&self) -> usize;
    /// Who lives where in a sample.
    fn data_blocks(&self) -> Vec<Block>;
    /// All units by name: a checkpoint of others is refused.
    fn describe(&self) -> String;
    /// What takes new parameters to the zero-sum gauge of softmax units ([`crate::models::zero_sum`]); nothing, of what is no one energy.
    fn gauge(&self) -> Box<dyn Fn(&mut Params)> {
        Box::new(|_| ())
    }
}

impl<M: Train + ?Sized> Learner for M {
    fn parameters(&self) -> &Params {
        self.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.update(f);
    }
    fn n_data_rows(&self) -> usize {
        Learn::n_visible(self)
    }
    fn data_blocks(&self) -> Vec<Block> {
        self.blocks().iter().filter(|b| b.rows.end <= Learn::n_visible(self)).cloned().collect()
    }
    fn describe(&self) -> String {
        // A block for every unit is told once.
        let alike = |a: &Block, b: &Block| a.rows.len() == b.rows.len() && Arc::ptr_eq(&a.unit, &b.unit);
        let blocks = self.blocks().chunk_by(alike).flat_map(|run| {
            let one = format!("{} {}", run[0].rows.len(), label(&*run[0].unit));
            if run.len() > 2 { vec![format!("{} times {one}", run.len())] } else { vec![one; run.len()] }
        });
        blocks.chain([self.architecture()].into_iter().filter(|a| !a.is_empty())).collect::<Vec<_>>().join(", ")
    }
    fn gauge(&self) -> Box<dyn Fn(&mut Params)> {
        let gauge = Gauge::of(self);
        Box::new(move |params| _ = gauge.fix(params))
    }
}
impl Learner for Dbn {
    fn parameters(&self) -> &Params {
        self.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.update(f);
    }
    fn n_data_rows(&self) -> usize {
        self.n_visible() + self.n_label()
    }
    fn data_blocks(&self) -> Vec<Block> {
        self.data_blocks()
    }
    fn describe(&self) -> String {
        self.describe()
    }
}
