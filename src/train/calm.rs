//! Models with an energy head, and those of language, as what can be trained. Tokens are checked by the objectives; real numbers are in a block.

use super::Learner;
use crate::models::calm::{Autoencoder, ContinuousLanguageModel, ImplicitDensity, LanguageModel};
use crate::units::Gaussian;
use crate::{Block, Params};
use std::sync::Arc;

impl Learner for ImplicitDensity {
    fn parameters(&self) -> &Params {
        self.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.update(f);
    }
    fn n_data_rows(&self) -> usize {
        self.n_inputs() + self.n_outputs()
    }
    fn data_blocks(&self) -> Vec<Block> {
        vec![Block { rows: 0..self.n_data_rows(), unit: Arc::new(Gaussian), group: 0 }]
    }
    fn describe(&self) -> String {
        self.architecture()
    }
}

impl Learner for Autoencoder {
    fn parameters(&self) -> &Params {
        self.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.update(f);
    }
    fn n_data_rows(&self) -> usize {
        self.settings().patch
    }
    fn data_blocks(&self) -> Vec<Block> {
        vec![]
    }
    fn describe(&self) -> String {
        self.architecture()
    }
}

impl Learner for LanguageModel {
    fn parameters(&self) -> &Params {
        self.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.update(f);
    }
    fn n_data_rows(&self) -> usize {
        self.transformer().length + 1
    }
    fn data_blocks(&self) -> Vec<Block> {
        vec![]
    }
    fn describe(&self) -> String {
        self.architecture()
    }
}

impl Learner for ContinuousLanguageModel {
    fn parameters(&self) -> &Params {
        self.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        self.update(f);
    }
    fn n_data_rows(&self) -> usize {
        self.n_rows()
    }
    fn data_blocks(&self) -> Vec<Block> {
        vec![]
    }
    fn describe(&self) -> String {
        self.architecture()
    }
}
