//! What energies are held against: a network that gives the mean and the deviation of a normal distribution.

use harmonium::models::neural::{Activation, Mlp, Noise, Work};
use harmonium::objectives::{Objective, Report};
use harmonium::train::Learner;
use harmonium::units::Real;
use harmonium::{Batch, Block, Params, Result, Resume, Saved};
use std::f64::consts::TAU;
use std::sync::Arc;

/// `p(y | u)` is normal; the network's outputs are its mean and the logarithm of its precision.
#[derive(Clone, Debug)]
pub(crate) struct NormalRegression(Mlp);

impl NormalRegression {
    pub(crate) fn new(hidden: &[(usize, Activation)], seed: u64) -> Self {
        let layers: Vec<_> = hidden.iter().copied().chain([(2, Activation::Linear)]).collect();
        let mut network = Mlp::new(1, &layers);
        network.initialise(seed);
        Self(network)
    }
    /// The mean and the log-precision given these inputs (1 × inputs).
    pub(crate) fn predict(&self, inputs: &harmonium::Mat) -> Result<harmonium::Mat> {
        self.0.forward(inputs.as_view())
    }
}
/// `log N(y; m, e^{-λ})`
pub(crate) fn log_density(mean: f64, log_precision: f64, y: f64) -> f64 {
    0.5 * (log_precision - TAU.ln() - log_precision.exp() * (y - mean).powi(2))
}

impl Learner for NormalRegression {
    fn parameters(&self) -> &Params {
        self.0.params()
    }
    fn change(&mut self, f: &mut dyn FnMut(&mut Params)) {
        f(self.0.params_mut());
    }
    fn n_data_rows(&self) -> usize {
        2
    }
    fn data_blocks(&self) -> Vec<Block> {
        vec![Block { rows: 1..2, unit: Arc::new(Real), group: 0 }]
    }
    fn describe(&self) -> String {
        "mean and log-precision".into()
    }
}

/// The gradient of `-log p(y | u)`, averaged over the batch.
#[derive(Debug)]
pub(crate) struct Likelihood(Work);
impl Default for Likelihood {
    fn default() -> Self {
        Self(Work::new(0))
    }
}
impl Objective<NormalRegression> for Likelihood {
    fn gradient(&mut self, model: &NormalRegression, batch: &Batch<'_>, grad: &mut Params) -> Result<Report> {
        let total: f32 = batch.weights.iter().sum();
        model.0.pass(&mut self.0, batch.x.rows(0, 1), Noise::default(), &|j, out, delta| {
            let (off, precision) = (batch.x[(1, j)] - out[0], out[1].exp());
            let share = batch.weights[j] / total;
            delta[0] = -share * precision * off;
            delta[1] = share * 0.5 * (precision * off * off - 1.0);
        });
        model.0.pass_back(&mut self.0, Noise::default(), grad);
        let out = self.0.activities(model.0.rows(model.0.n_layers()));
        let one = |(j, w): (usize, &f32)| {
            let [mean, log_precision] = [out[(0, j)], out[(1, j)]].map(f64::from);
            -f64::from(w / total) * log_density(mean, log_precision, f64::from(batch.x[(1, j)]))
        };
        Ok(Report { loss: Some(batch.weights.iter().enumerate().map(one).sum()), ..Report::default() })
    }
}
/// It has no state.
impl Resume for Likelihood {
    fn save(&self, _: &mut Saved) {}
    fn load(&mut self, _: &Saved) -> Result<()> {
        Ok(())
    }
}
