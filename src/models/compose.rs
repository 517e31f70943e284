//! Layer-wise pretraining of a deep Boltzmann machine: which RBM each layer is learned as, and how they are put together.
//!
//! A hidden layer that is learned alone takes all its input from one side; in the machine it has two. So the RBM of the first layer
//! sees its data twice, through one set of weights, and that of the last its hidden units twice: two Bernoulli units of one field
//! are a [`Binomial`] unit of `n = 2`, so these are RBMs like any other. One between keeps its kinds, and its weights are halved.
//! Every layer then gets half of what either side told it when it was alone. Training is [`crate::train`]'s; nothing here learns.
//!
//! ## References
//! - Salakhutdinov and Hinton, "Deep Boltzmann machines", 2009, section 3.1.

use super::{Dbm, Kind, Rbm};
use crate::units::{Bernoulli, Binomial, label};
use crate::{Energy, Error, Learn, Result, Train, Unit};
use std::any::Any;
use std::sync::Arc;

/// Two copies of a unit that have one field, as one unit of their sum.
fn twice(unit: &Arc<dyn Unit>) -> Result<Arc<dyn Unit>> {
    let any = &**unit as &dyn Any;
    match any.downcast_ref::<Binomial>() {
        Some(Binomial { n }) if *n <= u16::MAX / 2 => Ok(Arc::new(Binomial { n: 2 * n })),
        _ if any.is::<Bernoulli>() => Ok(Arc::new(Binomial { n: 2 })),
        _ => {
            let expected = "bernoulli or binomial in the first and the last layer (joint learning takes any)";
            Err(Error::value("the unit kind of a layer to be pretrained", expected, label(&**unit)))
        }
    }
}

impl Dbm {
    /// The RBM that the units of layers `l - 1` and `l` are pretrained as, all parameters zero. Where there are several hidden
    /// layers, its data for `l = 1` are twice the data ([`crate::train::Activities::factor`]).
    ///
    /// # Errors
    /// [`Error::Value`] if there is no layer `l` above another, or it has units that cannot be doubled.
    pub fn machine_of_layer(&self, l: usize) -> Result<Rbm> {
        let top = self.n_layers() - 1;
        if l == 0 || l > top {
            return Err(Error::value("the layer to be pretrained", format!("from 1 to {top}"), l));
        }
        let kinds = |l: usize, doubled: bool| -> Result<Vec<Kind>> {
            let kind = |b: usize| {
                let block = &self.blocks()[b];
                Ok((block.rows.len(), if doubled { twice(&block.unit)? } else { block.unit.clone() }))
            };
            self.blocks_of(l).map(kind).collect()
        };
        let several = top > 1;
        Ok(Rbm::with_layers(&kinds(l - 1, several && l == 1)?, &kinds(l, several && l == top)?))
    }
    /// Takes over what the machines of all layers learned, from the first upwards.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one for each layer, of the units of [`Dbm::machine_of_layer`], whose errors it has, too.
    pub fn compose(&mut self, machines: &[Rbm]) -> Result<()> {
        let top = self.n_layers() - 1;
        if machines.len() != top {
            return Err(Error::shape("machines to compose", top, machines.len()));
        }
        for (k, machine) in machines.iter().enumerate() {
            let (expected, got) = (self.weights(k + 1).shape(), machine.weights().shape());
            if expected != got {
                let [expected, got] = [expected, got].map(|shape| format!("{shape:?}"));
                return Err(Error::shape(format!("weights of machine {}", k + 1), expected, got));
            }
            let kinds = |m: &Rbm| {
                m.blocks().iter().map(|b| format!("{} {}", b.rows.len(), label(&*b.unit))).collect::<Vec<_>>()
            };
            let (expected, got) = (kinds(&self.machine_of_layer(k + 1)?).join(", "), kinds(machine).join(", "));
            if expected != got {
                return Err(Error::shape(format!("units of machine {}", k + 1), expected, got));
            }
        }
        let visible = self.bias_slot(0);
        self.update(&mut |p| {
            for (k, machine) in machines.iter().enumerate() {
                let l = k + 1;
                let share = if l > 1 && l < top { 0.5 } else { 1.0 };
                let weights = p.slice_mut(k).iter_mut().zip(machine.params().slice(0));
                weights.for_each(|(to, from)| *to = share * from);
                // A layer between two machines: the mean of what they say.
                let below: &[f32] = if l < top { machines[l].visible_bias() } else { machine.hidden_bias() };
                let both = machine.hidden_bias().iter().zip(below);
                p.slice_mut(visible + l).iter_mut().zip(both).for_each(|(to, (a, b))| *to = 0.5 * (a + b));
            }
            p.slice_mut(visible).copy_from_slice(machines[0].visible_bias());
        });
        self.compose_units(machines);
        Ok(())
    }
    /// The units' own parameters: the mean of what both sides say, of visible and top units what their machine says.
    fn compose_units(&mut self, machines: &[Rbm]) {
        let top = self.n_layers() - 1;
        let mut found: Vec<(usize, Vec<f32>)> = vec![];
        for l in 0..=top {
            let own = |machine: &Rbm, name: &str| {
                let slot = machine.params().slots().iter().position(|s| s.name == name);
                slot.map(|k| machine.params().slice(k).to_vec()).unwrap_or_default()
            };
            let below = (l > 0).then(|| own(&machines[l - 1], "hidden_theta"));
            let above = (l < top).then(|| own(&machines[l], "visible_theta"));
            let values = match (below, above) {
                (Some(a), Some(b)) => a.iter().zip(&b).map(|(a, b)| 0.5 * (a + b)).collect(),
                (a, b) => a.or(b).unwrap_or_default(),
            };
            found.push((l, values));
        }
        let slots: Vec<usize> = found.iter().map(|(l, _)| self.theta_slot(*l)).collect();
        self.update(&mut |p| {
            for ((_, values), slot) in found.iter().zip(&slots) {
                if values.len() == p.slice(*slot).len() {
                    p.slice_mut(*slot).copy_from_slice(values);
                }
            }
        });
    }
}
