//! From deep machines to networks of the same weights, and back: where discriminative learning, or learning to give the input back,
//! begins. The networks are [`Predictor`]s like any other; nothing here learns.
//!
//! ## References
//! - Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006 (the unrolled autoencoder).
//! - Salakhutdinov and Hinton, "Deep Boltzmann machines", 2009, section 3.3 (a network whose inputs are the data and what mean field
//!   makes of the second hidden layer).

use super::dbn::kinds;
use super::neural::{Activation, Mlp, Predictor};
use super::{Dbm, Dbn, Rbm};
use crate::units::{Bernoulli, Gaussian, Softmax, Spin};
use crate::{Block, Energy, Error, Learn, Mat, MatRef, Result, States, Train};
use std::any::Any;
use std::sync::Arc;

fn check_classes(classes: usize) -> Result<()> {
    match classes {
        0 => Err(Error::value("the number of classes", "at least 1", 0)),
        _ => Ok(()),
    }
}
/// What a layer of these units does as a layer of a network: its means.
fn activation(blocks: &[Block]) -> Result<Activation> {
    let of = |b: &Block| {
        let any = &*b.unit as &dyn Any;
        match any.is::<Bernoulli>() {
            true => Some(Activation::Sigmoid),
            false if any.is::<Spin>() => Some(Activation::Tanh),
            false if any.is::<Gaussian>() => Some(Activation::Linear),
            false => None,
        }
    };
    let first = blocks.first().and_then(of);
    first.filter(|_| blocks.iter().all(|b| of(b) == first)).ok_or_else(|| {
        Error::value("units of a layer of a network", "all bernoulli, spin or gaussian", kinds(blocks).join(", "))
    })
}

impl Dbn {
    /// The machines that answer upwards, the one at the top the last.
    fn upwards(&self) -> Vec<&Rbm> {
        (1..=self.n_lower()).map(|l| self.recognition(l)).chain([self.top()]).collect()
    }
    /// The network of the recognition weights and of the hidden units of the top, whose outputs predict one of `classes`: the start of
    /// discriminative learning. The output's weights are those of the label where the top has one of so many classes; otherwise zero.
    /// Activities of its layers are the net's means.
    ///
    /// # Errors
    /// [`Error::Value`] if a layer has units whose mean is no [`Activation`], or there are no classes.
    pub fn to_classifier(&self, classes: usize) -> Result<Predictor> {
        check_classes(classes)?;
        let machines = self.upwards();
        let hidden =
            machines.iter().map(|m| Ok((m.n_hidden(), activation(m.hidden())?))).collect::<Result<Vec<_>>>()?;
        let mut net = Predictor::new(self.n_visible(), &hidden, &[(classes, Arc::new(Softmax { q: classes }))]);
        for (k, machine) in machines.iter().enumerate() {
            let inputs = if k == self.n_lower() { self.n_below_top() } else { machine.n_visible() };
            net.network_mut().set_layer(k + 1, machine.weights().columns(0, inputs), machine.hidden_bias())?;
        }
        let below = self.n_below_top();
        if self.n_label() == classes {
            let weights = self.top().weights().columns(below, classes).transpose();
            net.network_mut().set_layer(machines.len() + 1, weights.as_view(), &self.top().visible_bias()[below..])?;
        }
        Ok(net)
    }
    /// The unrolled net (Hinton and Salakhutdinov 2006): recognition up to the hidden units of the top, the code, and generation down
    /// again, as one network that predicts its own inputs. A code of Gaussian units is linear.
    ///
    /// # Errors
    /// [`Error::Value`] if a layer has units whose mean is no [`Activation`], or the top has a label.
    pub fn to_autoencoder(&self) -> Result<Predictor> {
        if self.n_label() > 0 {
            return Err(Error::value("a deep belief net to unroll", "one without a label", self.describe()));
        }
        let (up, mut down) = (self.upwards(), vec![self.top()]);
        down.extend((1..=self.n_lower()).rev().map(|l| self.generative(l)));
        let above = up.iter().map(|m| Ok((m.n_hidden(), activation(m.hidden())?)));
        let below = down[..down.len() - 1].iter().map(|m| Ok((m.n_visible(), activation(m.visible())?)));
        let hidden = above.chain(below).collect::<Result<Vec<_>>>()?;
        let last = down[down.len() - 1];
        let outputs: Vec<_> = last.visible().iter().map(|b| (b.rows.len(), b.unit.clone())).collect();
        let mut net = Predictor::new(self.n_visible(), &hidden, &outputs);
        for (k, m) in up.iter().enumerate() {
            net.network_mut().set_layer(k + 1, m.weights(), m.hidden_bias())?;
        }
        for (k, m) in down.iter().enumerate() {
            net.network_mut().set_layer(up.len() + k + 1, m.weights().transpose().as_view(), m.visible_bias())?;
        }
        let theta = last.params().slice(4).to_vec();
        net.update(&mut |p| p.slice_mut(p.slots().len() - 1).copy_from_slice(&theta));
        Ok(net)
    }
    /// Takes the recognition weights and those of the hidden units of the top from a network of the shape of
    /// [`Dbn::to_classifier`]: its activities are then the network's.
    ///
    /// # Errors
    /// [`Error::Shape`] if it has another shape.
    pub fn take_recognition(&mut self, net: &Mlp) -> Result<()> {
        let below = self.n_below_top();
        let machines = self.upwards();
        for (k, m) in machines.iter().enumerate() {
            let inputs = if k == self.n_lower() { below } else { m.n_visible() };
            let expected = (m.n_hidden(), inputs);
            if net.n_layers() <= k || net.weights(k + 1).shape() != expected {
                return Err(Error::shape(format!("layer {} of a network", k + 1), format!("{expected:?}"), "another"));
            }
        }
        let (first, lower) = (self.top_slots().0, self.n_lower());
        self.update(&mut |p| {
            for k in 0..=lower {
                let slot = if k == lower { first } else { 10 * k };
                p.mat_mut(slot).columns_mut(0, net.weights(k + 1).ncols()).copy_from(&net.weights(k + 1));
                p.slice_mut(slot + 2).copy_from_slice(net.bias(k + 1));
            }
        });
        Ok(())
    }
}

impl Dbm {
    /// What the network of [`Dbm::to_classifier`] takes of samples (visible units × samples): with one hidden layer, the samples; with
    /// more, the samples and below them the means of the second hidden layer, by mean field.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one row a visible unit.
    pub fn network_inputs(&self, v: MatRef<'_>) -> Result<Mat> {
        let d = self.n_visible();
        if v.nrows() != d {
            return Err(Error::shape("rows of samples", d, v.nrows()));
        }
        if self.n_layers() == 2 {
            return Ok(v.clone_owned());
        }
        let (second, mut states) = (self.rows(2), States::default());
        let mut out = Mat::zeros(d + second.len(), v.ncols());
        const AT_ONCE: usize = 2048;
        for from in (0..v.ncols()).step_by(AT_ONCE) {
            let n = AT_ONCE.min(v.ncols() - from);
            states.clamp(self.n_rows(), v.columns(from, n));
            self.infer(&mut states);
            let x = states.x();
            let mut out = out.columns_mut(from, n);
            out.rows_mut(0, d).copy_from(&v.columns(from, n));
            out.rows_mut(d, second.len()).copy_from(&x.rows(second.start, second.len()));
        }
        Ok(out)
    }
    /// The network whose inputs are [`Dbm::network_inputs`], whose layers are the hidden ones, and whose outputs predict one of
    /// `classes`: the start of discriminative learning. The first layer gets what it gets in the machine, from both sides; a layer
    /// between has twice the weights from below, for there is no layer above it. The output's weights are zero.
    ///
    /// # Errors
    /// [`Error::Value`] if a layer has units whose mean is no [`Activation`], or there are no classes.
    pub fn to_classifier(&self, classes: usize) -> Result<Predictor> {
        check_classes(classes)?;
        let depth = self.n_layers();
        let layer = |l: usize| {
            let blocks: Vec<Block> = self.blocks_of(l).map(|b| self.blocks()[b].clone()).collect();
            Ok((self.rows(l).len(), activation(&blocks)?))
        };
        let hidden = (1..depth).map(layer).collect::<Result<Vec<_>>>()?;
        let (d, several) = (self.n_visible(), depth > 2);
        let inputs = if several { d + self.rows(2).len() } else { d };
        let mut net = Predictor::new(inputs, &hidden, &[(classes, Arc::new(Softmax { q: classes }))]);
        let mut first = Mat::zeros(hidden[0].0, inputs);
        first.columns_mut(0, d).copy_from(&self.weights(1));
        if several {
            first.columns_mut(d, inputs - d).copy_from(&self.weights(2).transpose());
        }
        net.network_mut().set_layer(1, first.as_view(), self.bias(1))?;
        for l in 2..depth {
            let weights = self.weights(l) * if l + 1 < depth { 2.0 } else { 1.0 };
            net.network_mut().set_layer(l, weights.as_view(), self.bias(l))?;
        }
        Ok(net)
    }
}
