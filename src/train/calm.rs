//! Models with an energy head, and those of language, as what can be trained.

use super::Learner;
use crate::models::calm::{Autoencoder, ContinuousLanguageModel, ImplicitDensity, LanguageModel};
use crate::units::Gaussian;
use crate::{Block, Params};
use std::sync::Arc;

/// A learner by what the model says of itself; tokens are checked by the objectives, real numbers are in a block.
macro_rules! learner {
    ($model:ty, $rows:expr, $blocks:expr) => {
        impl Learner for $model {
            fn parameters(&self) -> &Params {
                self.params()
            }
            fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
                self.update(f);
            }
            fn n_data_rows(&self) -> usize {
                $rows(self)
            }
            fn data_blocks(&self) -> Vec<Block> {
                $blocks(self)
            }
            fn describe(&self) -> String {
                self.architecture()
            }
        }
    };
}
learner!(ImplicitDensity, |m: &ImplicitDensity| m.n_inputs() + m.n_outputs(), real);
learner!(Autoencoder, |m: &Autoencoder| m.settings().patch, |_: &Autoencoder| vec![]);
learner!(LanguageModel, |m: &LanguageModel| m.transformer().length + 1, |_: &LanguageModel| vec![]);
learner!(ContinuousLanguageModel, ContinuousLanguageModel::n_rows, |_: &ContinuousLanguageModel| vec![]);

fn real(model: &ImplicitDensity) -> Vec<Block> {
    vec![Block { rows: 0..model.n_inputs() + model.n_outputs(), unit: Arc::new(Gaussian), group: 0 }]
}
