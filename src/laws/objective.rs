//! The laws of objectives.

use super::chance::{NOISE, ROUNDING, Sample};
use super::gradient::{name, some_parameters};
use super::slope::Along;
use super::verdict::{Step, Tally, Verdict};
use crate::eval::{exact_log_partition, latent_group};
use crate::objectives::Objective;
use crate::rng::{GROUP, derive};
use crate::sweep::energies_without;
use crate::{Batch, ChainRng, Error, Learn, Marginal, Mat, MatRef, Params, Saved, Train};

/// What every objective owes its caller, whatever its loss:
///
/// - the same settings give the same bits, and what the gradient held before is overwritten;
/// - a sample of weight zero is absent, whatever it holds, even no numbers;
/// - weights count in proportion: four times all of them changes nothing but rounding;
/// - without any weight the gradient is zero: no phase may push alone;
/// - saved and loaded into an objective newly made, it goes on with the same bits.
///
/// `make` makes an objective, always with the same settings and seeds; `data` are visible units × samples, at least
/// four.
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if the objective refuses the model or the data.
///
/// ```
/// use harmonium::{Chains, Mat, laws, models::Rbm, objectives::Contrastive, units::Bernoulli};
/// let (rbm, data) = (Rbm::new((4, Bernoulli), (3, Bernoulli)), Mat::from_element(4, 6, 1.0));
/// laws::objective(&rbm, || Contrastive::pcd(1, Chains::zeros(&rbm, 10, 1)), data.as_view())?;
/// # Ok::<(), laws::Broken>(())
/// ```
pub fn objective<M: Learn + ?Sized, O: Objective<M>>(model: &M, make: impl Fn() -> O, data: MatRef<'_>) -> Verdict {
    let mut tally = Tally::new("objectives");
    tally.possible(check_rows(model, data))?;
    let n = data.ncols() / GROUP * GROUP; // whole groups: those that follow keep their random streams
    if n < 4 {
        return tally.possible(Err(Error::value("the number of samples", "at least 4", data.ncols())));
    }
    let subject = Subject { model, x: data.columns(0, n).clone_owned() };
    subject.same_bits(&make, &mut tally)?;
    subject.absent(&make, &mut tally)?;
    subject.proportional(&make, &mut tally)?;
    subject.resumed(&make, &mut tally)?;
    tally.kept()
}

fn check_rows<M: Learn + ?Sized>(model: &M, data: MatRef<'_>) -> crate::Result<()> {
    match data.nrows() == model.n_visible() {
        true => Ok(()),
        false => Err(Error::shape("rows of samples", model.n_visible(), data.nrows())),
    }
}

/// A model and its data.
struct Subject<'a, M: ?Sized> {
    model: &'a M,
    x: Mat,
}

impl<M: Learn + ?Sized> Subject<'_, M> {
    /// Weights that are not all the same, and others at every step: a state that follows the data would stand still
    /// otherwise.
    fn weights(&self, step: u64) -> Vec<f32> {
        (0..self.x.ncols()).map(|k| 0.5 + ((k as u64 + step) % 3) as f32 * 0.25).collect()
    }
    /// Gradients one after the other, written over `held`.
    fn run<O: Objective<M>>(&self, objective: &mut O, held: f32, steps: u64) -> crate::Result<Vec<Params>> {
        (0..steps).map(|step| self.gradient(objective, (&self.x, &self.weights(step)), held, step)).collect()
    }
    fn gradient<O: Objective<M>>(
        &self,
        objective: &mut O,
        (x, weights): (&Mat, &[f32]),
        held: f32,
        step: u64,
    ) -> crate::Result<Params> {
        let mut grad = self.model.params().zeros_like();
        grad.as_mut_slice().fill(held);
        objective.gradient(self.model, &Batch { x: x.as_view(), weights, missing: None, step }, &mut grad)?;
        Ok(grad)
    }
    fn same_bits<O: Objective<M>>(&self, make: &impl Fn() -> O, tally: &mut Tally) -> Step {
        let first = tally.possible(self.run(&mut make(), 0.0, 3))?;
        for (held, what) in [(0.0, "made and run again"), (f32::NAN, "with no numbers in the gradient before")] {
            let again = tally.possible(self.run(&mut make(), held, 3))?;
            bits(&again, &first, tally, what)?;
        }
        Ok(())
    }
    fn absent<O: Objective<M>>(&self, make: &impl Fn() -> O, tally: &mut Tally) -> Step {
        let (n, weights) = (self.x.ncols(), self.weights(0));
        let without = tally.possible(self.gradient(&mut make(), (&self.x, &weights), 0.0, 0))?;
        let mut more = self.x.clone().resize_horizontally(n + 1, 0.0);
        let zero_at_end = [&weights[..], &[0.0]].concat();
        for value in [self.x[(0, 0)], f32::NAN, f32::INFINITY] {
            more.column_mut(n).fill(value);
            let got = tally.possible(self.gradient(&mut make(), (&more, &zero_at_end), 0.0, 0))?;
            self.close(&got, &without, tally, &format!("with one more sample of weight zero, all {value},"))?;
        }
        let mut zeros = weights;
        zeros[..GROUP].fill(0.0);
        let expected = tally.possible(self.gradient(&mut make(), (&self.x, &zeros), 0.0, 0))?;
        let mut hidden = self.x.clone();
        hidden.columns_mut(0, GROUP).fill(f32::NAN);
        let got = tally.possible(self.gradient(&mut make(), (&hidden, &zeros), 0.0, 0))?;
        self.close(&got, &expected, tally, "with no numbers in the first samples, whose weight is zero,")?;
        let nothing = vec![0.0; n];
        let got = tally.possible(self.gradient(&mut make(), (&self.x, &nothing), 0.5, 0))?;
        for (k, g) in got.as_slice().iter().enumerate() {
            tally.near(*g as f64, 0.0, 0.0, || format!("without any weight, the gradient by {}", name(&got, k)))?;
        }
        Ok(())
    }
    fn proportional<O: Objective<M>>(&self, make: &impl Fn() -> O, tally: &mut Tally) -> Step {
        let weights = self.weights(0);
        let four: Vec<f32> = weights.iter().map(|w| 4.0 * w).collect();
        let expected = tally.possible(self.gradient(&mut make(), (&self.x, &weights), 0.0, 0))?;
        let got = tally.possible(self.gradient(&mut make(), (&self.x, &four), 0.0, 0))?;
        self.close(&got, &expected, tally, "with four times all weights,")
    }
    /// Within rounding of what was added up.
    fn close(&self, got: &Params, expected: &Params, tally: &mut Tally, what: &str) -> Step {
        let most = expected.as_slice().iter().fold(0f32, |m, g| m.max(g.abs()));
        let allowed = ROUNDING * (1.0 + most as f64 + (self.x.amax() as f64).powi(2));
        for (k, (&g, &e)) in got.as_slice().iter().zip(expected.as_slice()).enumerate() {
            tally.near(g as f64, e as f64, allowed, || format!("{what} the gradient by {}", name(expected, k)))?;
        }
        Ok(())
    }
    fn resumed<O: Objective<M>>(&self, make: &impl Fn() -> O, tally: &mut Tally) -> Step {
        let (mut objective, mut other, mut saved) = (make(), make(), Saved::default());
        tally.possible(self.run(&mut objective, 0.0, 2))?;
        objective.save(&mut saved);
        tally.possible(other.load(&saved))?;
        let [a, b] = [&mut objective, &mut other].map(|o| self.run(o, 0.0, 3));
        bits(&tally.possible(b)?, &tally.possible(a)?, tally, "saved after two and loaded")
    }
}

/// Gradients with the same bits.
fn bits(got: &[Params], expected: &[Params], tally: &mut Tally, what: &str) -> Step {
    for (step, (got, expected)) in got.iter().zip(expected).enumerate() {
        for (k, (&g, &e)) in got.as_slice().iter().zip(expected.as_slice()).enumerate() {
            if g.to_bits() != e.to_bits() {
                let what = || format!("{what}, gradient {step} by {}", name(expected, k));
                tally.near(g as f64, e as f64, 0.0, what)?;
            }
        }
    }
    tally.holds(true, String::new)
}

/// An objective that claims to be the gradient of the likelihood is so on average:
///
/// ```text
/// ⟨grad⟩ = ∂/∂θ (⟨F(v)⟩ + log Z) = -∂/∂θ ⟨log p(v)⟩
/// ```
///
/// with the mean over `data` (visible units × samples), by differences through [`Train::update`]. `n` gradients are
/// averaged; they must be independent draws, so persistent chains do not qualify; and plain, for a centred gradient is
/// another one. The mean may be off by the empirical Bernstein bound, which is zero for gradients that are all the
/// same. `F` and `log Z` are [`Marginal::energy_without`] and [`exact_log_partition`], which the laws of marginals and
/// log-partitions check.
///
/// The model ends with the parameters that it had.
///
/// # Errors
/// The first deviation; [`super::Broken::Unchecked`] if the model's likelihood has no closed form, or fewer than two
/// gradients are asked for.
///
/// ```
/// use harmonium::{Mat, laws, models::Rbm, objectives::Contrastive, units::Bernoulli};
/// let (mut rbm, data) = (Rbm::new((4, Bernoulli), (3, Bernoulli)), Mat::from_element(4, 6, 1.0));
/// let mut exact = Contrastive::exact(&rbm)?.plain();
/// laws::exact_gradient(&mut rbm, &mut exact, data.as_view(), 2)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn exact_gradient<M: Train + Marginal + ?Sized, O: Objective<M> + ?Sized>(
    model: &mut M,
    objective: &mut O,
    data: MatRef<'_>,
    n: usize,
) -> Verdict {
    let mut tally = Tally::new("exact gradients");
    if n < 2 {
        return tally.possible(Err(Error::value("the number of gradients", "at least 2", n)));
    }
    tally.possible(check_rows(model, data))?;
    let summed = tally.possible(latent_group(model))?;
    tally.possible(exact_log_partition(model))?;
    let free = tally.possible(energies_without(model, &summed, data))?;
    let weights = vec![1.0; data.ncols()];
    let mut gradients = vec![];
    for step in 0..n as u64 {
        let mut grad = model.params().zeros_like();
        tally.possible(objective.gradient(
            model,
            &Batch { x: data, weights: &weights, missing: None, step },
            &mut grad,
        ))?;
        gradients.push(grad);
    }
    let size = 1.0 + super::probes::largest(&free) + (data.amax() as f64).powi(2);
    let loss = |m: &M| {
        let free = energies_without(m, &summed, data).map(|f| f.iter().sum::<f64>() / f.len() as f64);
        free.and_then(|f| Ok(f + exact_log_partition(m)?)).unwrap_or(f64::NAN)
    };
    let parameters = some_parameters(&gradients[0], &mut ChainRng::new(derive(0, "parameters")));
    for &k in &parameters {
        let Some(along) = Along::parameter(model, k, NOISE * size, &loss) else { continue };
        let seen = Sample::of(gradients.iter().map(|g| along.by(|k| g.as_slice()[k] as f64)));
        let allowed = seen.allowed(parameters.len()) + along.slope.allowed + ROUNDING * size;
        tally.near(seen.mean, along.slope.value, allowed, || {
            format!("the mean of {n} gradients by {}", name(&gradients[0], k))
        })?;
    }
    tally.kept()
}
