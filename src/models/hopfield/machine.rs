//! A Hopfield network as the Boltzmann machine that it is at a temperature, and back.

use super::Hopfield;
use crate::models::Boltzmann;
use crate::units::Spin;
use crate::{Energy, Error, Result, Train};
use std::any::Any;

impl Hopfield {
    /// The fully visible machine of spins with these couplings and biases at temperature 1. Its energy is that of the network plus
    /// `½ Σ own_i`: self-couplings are a constant of the energy, and the machine has none. Its sweep at zero temperature is recall, one
    /// spin after the other, of a network without self-couplings (but a spin without a field points up instead of staying).
    ///
    /// # Errors
    /// [`Error::Value`] if W is not symmetric: such a network has no energy.
    ///
    /// ```
    /// use harmonium::{Energy, Mat, models::hopfield::Hebb};
    /// let mut hebb = Hebb::new(8)?;
    /// hebb.store(Mat::from_fn(8, 1, |i, _| if i < 4 { 1.0 } else { -1.0 }).as_view())?;
    /// let network = hebb.network()?;
    /// let (states, mut energies) = (Mat::from_element(8, 1, 1.0), [0.0]);
    /// network.boltzmann()?.energy(states.as_view(), &mut energies);
    /// assert_eq!(network.energies(states.as_view())?, energies);
    /// # Ok::<(), harmonium::Error>(())
    /// ```
    pub fn boltzmann(&self) -> Result<Boltzmann> {
        self.check_energy()?;
        let mut machine = Boltzmann::new((self.n(), Spin));
        machine.update(&mut |p| {
            let slots = p.layout();
            let place = |name: &str| slots.iter().position(|s| s.name == name);
            if let (Some(couplings), Some(bias)) = (place("visible_lateral"), place("visible_bias")) {
                p.slice_mut(couplings).copy_from_slice(self.weights.as_slice());
                p.slice_mut(bias).copy_from_slice(&self.bias);
            }
        });
        Ok(machine)
    }
}

impl TryFrom<&Boltzmann> for Hopfield {
    type Error = Error;

    /// The network with the couplings and biases of a fully visible machine of spins; no self-couplings.
    ///
    /// # Errors
    /// [`Error::Value`] if the machine has hidden units or others than spins, no couplings, or some that are not finite.
    fn try_from(machine: &Boltzmann) -> Result<Self> {
        let spins = machine.blocks().iter().all(|b| (&*b.unit as &dyn Any).is::<Spin>());
        if machine.n_hidden() > 0 || !spins || !machine.lateral().visible {
            return Err(Error::value(
                "a Hopfield network",
                "of spins, all visible and coupled to each other",
                "others",
            ));
        }
        Self::new(machine.visible_lateral().clone_owned())?.with_bias(machine.visible_bias().to_vec())
    }
}
