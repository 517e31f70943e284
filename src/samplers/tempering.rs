//! Parallel tempering, or replica exchange: every system is sampled at a ladder of temperatures at once, and neighbours
//! on the ladder exchange their states, so that what is found where it is warm is seen at `β = 1`.
//!
//! The temperatures are those of [`Annealed`], `E_β = E₀ + β (E - E₀)`: from the model at `β = 1` towards the base-rate model.
//! An advance leaves the distribution of all replicas, `Π_k p_k(x_k)` with `p_k ∝ exp(-E_βk)`, alone:
//!
//! 1. The kernel moves every temperature, and leaves its `p_k` alone.
//! 2. A swap exchanges all rows but those of the model's first group of blocks. It is accepted with probability
//!    `min(1, r)`, the Metropolis rule for the marginals of the rows it moves,
//!
//!    ```text
//!    log r = g(v_hot) - g(v_cold),   g(v) = F_hot(v) - F_cold(v),   F_β(v) = -log Σ_h exp(-E_β(v, h))
//!    ```
//!
//!    and `g` follows from the field of the group at `v`, which depends on no temperature: it is computed once, travels
//!    with the state, and serves the next draw or the gradient.
//! 3. The group is drawn anew given the rest, at either temperature. Marginal and conditional are both right, and so is the
//!    joint distribution.
//!
//! Summing the group out first makes swaps likelier than the joint energies would, and costs no product. Even and odd
//! pairs take turns, which carries replicas along the ladder faster than pairs chosen at random.
//!
//! Every state is free to move: units cannot be frozen here. It is for models that can sum a group out ([`Marginal`]).
//!
//! ## References
//! - Swendsen and Wang, "Replica Monte Carlo simulation of spin-glasses", 1986.
//! - Geyer, "Markov chain Monte Carlo maximum likelihood", 1991.
//! - Syed, Bouchard-Côté, Deligiannidis and Doucet, "Non-reversible parallel tempering", 2022 (pairs in turn, ladders from
//!   rates of rejection).

use super::chains::Part;
use super::{BlockGibbs, Chains, Kernel, Moves};
use crate::adapters::tempered_log_partition;
use crate::base_rate::base_rate_energy;
use crate::linalg::col;
use crate::rng::derive;
use crate::states::WIDEST;
use crate::sweep::first_group;
use crate::{Annealed, Energy, Error, Marginal, MatMut, Response, Result, Resume, Saved, Slab, States, Streams};
use rand::RngExt;

/// Replicas of many systems at falling inverse temperatures, the model at `β = 1` first.
///
/// ```
/// use harmonium::{Energy, models::Rbm, samplers::Tempering, units::Bernoulli};
/// let mut rbm = Rbm::new((6, Bernoulli), (4, Bernoulli));
/// rbm.initialise(&[0.3; 6], 0.0, 1)?;
/// let (betas, base) = (Tempering::linear(5, 0.0), vec![0.0; rbm.n_rows()]);
/// let mut tempering = Tempering::new(&rbm, betas, base, 100, 1)?;
/// tempering.sample(&rbm, 50); // warm up
/// tempering.tune()?; // and only then: a ladder on which all swaps are equally likely
/// let states = tempering.sample(&rbm, 50);
/// assert_eq!(states.x().shape(), (10, 100));
/// assert!(tempering.swap_rates().iter().all(|&rate| rate > 0.5));
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tempering<K = BlockGibbs> {
    /// How the chains move at every temperature.
    pub kernel: K,
    betas: Vec<f32>,
    base: Vec<f32>,
    chains: Vec<Chains>, // by temperature; a column a system
    rounds: u64,         // of swaps
    tallies: Vec<Tally>, // by the colder of two temperatures
    last: Vec<End>,      // by temperature and system: where the replica was last
    round_trips: u64,
}

/// Swaps of one pair of temperatures.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    offered: u64,
    probability: f64, // of being accepted, summed
}

/// The end of the ladder that a replica was at last.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It has not been at `β = 1` yet.
    Neither,
    Cold,
    /// And at `β = 1` before.
    Hot,
}

/// What one advance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// Moves of the kernel, at all temperatures.
    pub moves: Moves,
    /// Swaps between neighbouring temperatures.
    pub swaps: Moves,
}

impl Tempering {
    /// So many systems at every one of the inverse temperatures `betas`, above the base-rate model with fields `base` (one
    /// a row; see [`crate::base_rate`]), from which all of them are drawn. Moved by one backward sweep of [`BlockGibbs`],
    /// whose last field is the one that swaps and gradients need; [`Tempering::moved_by`] says otherwise.
    ///
    /// # Errors
    /// [`Error::Value`] if the inverse temperatures do not fall from 1 to 0 or above, a field is not finite, or there are no
    /// systems; [`Error::Shape`] if `base` has not one field a row.
    pub fn new<M: Energy + ?Sized>(
        model: &M,
        betas: Vec<f32>,
        base: Vec<f32>,
        systems: usize,
        seed: u64,
    ) -> Result<Self> {
        check_ladder(&betas)?;
        if base.len() != model.n_rows() {
            return Err(Error::shape("fields of the base-rate model", model.n_rows(), base.len()));
        }
        if let Some(i) = base.iter().position(|b| !b.is_finite()) {
            return Err(Error::value(format!("field {i} of the base-rate model"), "finite", base[i]));
        }
        if systems == 0 {
            return Err(Error::value("the number of systems", "at least 1", 0));
        }
        let chains = |k: usize| Chains::from_base(model, &base, systems, derive(seed, &format!("temperature {k}")));
        Ok(Self {
            kernel: BlockGibbs::backward(1),
            chains: (0..betas.len()).map(chains).collect(),
            rounds: 0,
            tallies: vec![Tally::default(); betas.len() - 1],
            last: vec![End::Neither; betas.len() * systems],
            round_trips: 0,
            betas,
            base,
        })
    }
    /// `n` inverse temperatures from 1 to `last` in equal steps: a ladder to begin with.
    pub fn linear(n: usize, last: f32) -> Vec<f32> {
        let share = |k: usize| if n < 2 { 0.0 } else { k as f64 / (n - 1) as f64 };
        (0..n).map(|k| (1.0 - share(k) * (1.0 - last as f64)) as f32).collect()
    }
}

fn check_ladder(betas: &[f32]) -> Result<()> {
    let falls = betas.windows(2).all(|b| b[0] > b[1]);
    match (betas.first(), betas.last()) {
        (Some(&1.0), Some(&last)) if falls && last >= 0.0 => Ok(()),
        _ => Err(Error::value("inverse temperatures", "falling from 1, the last at least 0", format!("{betas:?}"))),
    }
}

impl<K> Tempering<K> {
    /// The same with another kernel.
    pub fn moved_by<L>(self, kernel: L) -> Tempering<L> {
        let Self { betas, base, chains, rounds, tallies, last, round_trips, .. } = self;
        Tempering { kernel, betas, base, chains, rounds, tallies, last, round_trips }
    }
    /// The inverse temperatures, falling from 1.
    pub fn betas(&self) -> &[f32] {
        &self.betas
    }
    /// The states at inverse temperature number `k`, a system a column; those at 0 are the model's.
    ///
    /// # Panics
    /// If there is no such temperature.
    pub fn states(&self, k: usize) -> &States {
        &self.chains[k].states
    }
    /// The same for writing, to start elsewhere (all rows × systems). Given rows are those of a system, the same at every
    /// temperature.
    ///
    /// # Panics
    /// If there is no such temperature.
    pub fn x_mut(&mut self, k: usize) -> MatMut<'_> {
        self.chains[k].states.x_mut()
    }
    /// The states at `β = 1`, whose fields and means can be computed.
    pub(crate) fn cold_mut(&mut self) -> &mut States {
        &mut self.chains[0].states
    }
    /// Moves every temperature by the kernel, then offers a swap to every other pair of neighbours in every system. After
    /// the first time nothing is allocated but lists of slabs.
    ///
    /// # Panics
    /// If the model's states have another height.
    pub fn advance<M: Marginal + ?Sized>(&mut self, model: &M) -> Advance
    where
        K: for<'a> Kernel<Annealed<'a, M>>,
    {
        let (kernel, betas, base) = (&self.kernel, &self.betas, &self.base);
        let moves = Chains::each_of(&mut self.chains, |k, slab, rng| {
            kernel.advance(&Annealed::new(model, base, betas[k]), slab, rng)
        });
        Advance { moves: moves.into_iter().sum(), swaps: self.swap(model) }
    }
    /// Advances so many times; the states that are then at `β = 1`.
    ///
    /// # Panics
    /// If the model's states have another height.
    pub fn sample<M: Marginal + ?Sized>(&mut self, model: &M, advances: usize) -> &States
    where
        K: for<'a> Kernel<Annealed<'a, M>>,
    {
        for _ in 0..advances {
            self.advance(model);
        }
        self.states(0)
    }
    fn swap<M: Marginal + ?Sized>(&mut self, model: &M) -> Moves {
        let (first, summed) = ((self.rounds % 2) as usize, first_group(model));
        let (betas, base) = (&self.betas, &self.base[..]);
        let from = first.min(self.chains.len());
        let found = Chains::each_pair(&mut self.chains[from..], |pair, cold, hot| {
            let k = first + 2 * pair;
            Pair { model, base, summed: &summed, betas: [betas[k], betas[k + 1]] }.swap(cold, hot)
        });
        self.rounds += 1;
        self.count(first, &found)
    }
    /// Counts what was found, pair by pair, and follows the replicas.
    fn count(&mut self, first: usize, found: &[Found]) -> Moves {
        let n = self.chains[0].states.ncols();
        let (mut swaps, mut k, mut at) = (Moves::default(), first, 0);
        for f in found {
            let tally = &mut self.tallies[k];
            tally.offered += f.columns as u64;
            tally.probability += f.probability;
            swaps.proposed += f.columns as u64;
            swaps.accepted += u64::from(f.accepted.count_ones());
            for j in f.swapped() {
                self.last.swap(k * n + at + j, (k + 1) * n + at + j);
            }
            at += f.columns;
            if at == n {
                (at, k) = (0, k + 2);
            }
        }
        let hottest = self.last.len() - n;
        for j in (0..n).filter(|_| hottest > 0) {
            self.round_trips += u64::from(self.last[j] == End::Hot);
            self.last[j] = End::Cold;
            let hot = &mut self.last[hottest + j];
            *hot = if *hot == End::Neither { End::Neither } else { End::Hot };
        }
        swaps
    }
    /// The rate of swaps of every pair of neighbours, coldest first: the mean over all that were offered, since the start or
    /// since [`Tempering::tune`], of the probability of being accepted (less noisy than the share that was). Not a number
    /// where none was offered yet.
    pub fn swap_rates(&self) -> Vec<f64> {
        self.tallies.iter().map(|t| t.probability / t.offered as f64).collect()
    }
    /// Forgets the rates so far.
    pub fn reset_rates(&mut self) {
        self.tallies.fill(Tally::default());
    }
    /// How often a replica went from `β = 1` to the hottest temperature and back, over all systems.
    pub fn round_trips(&self) -> u64 {
        self.round_trips
    }
    /// `Λ = Σ (1 - rate)` over all pairs: how hard it is to cross the ladder. It depends on the model and the base rates,
    /// and little on the temperatures between, as long as no rate is near 0 (where it is too small, and grows with the
    /// temperatures).
    pub fn barrier(&self) -> f64 {
        self.swap_rates().iter().map(|rate| 1.0 - rate).sum()
    }
    /// How many temperatures give the pairs of an evened ladder this rate: `1 + Λ / (1 - rate)`, rounded up, and two at
    /// least.
    ///
    /// # Errors
    /// [`Error::Value`] if the rate is not within 0..1, or a pair was never offered a swap.
    pub fn temperatures_for(&self, rate: f64) -> Result<usize> {
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::value("the rate of swaps to aim at", "at least 0 and below 1", rate));
        }
        self.rejections()?;
        Ok(1 + (self.barrier() / (1.0 - rate)).ceil().max(1.0) as usize)
    }
    /// `n` inverse temperatures between the same ends on which, by the rates so far, all swaps are equally likely: `Λ`, as a
    /// function of `β` that is linear between the present temperatures, is cut into equal parts (Syed et al. 2022).
    ///
    /// # Errors
    /// [`Error::Value`] if `n` is below 2, a pair was never offered a swap, or the temperatures would be closer than single
    /// precision can tell apart.
    pub fn evened(&self, n: usize) -> Result<Vec<f32>> {
        if n < 2 || self.betas.len() < 2 {
            return Err(Error::value("the number of temperatures", "at least 2", n.min(self.betas.len())));
        }
        let (rejections, barrier) = (self.rejections()?, self.barrier());
        if barrier == 0.0 {
            return Ok(Tempering::linear(n, self.betas[self.betas.len() - 1]));
        }
        let (mut k, mut below) = (0, 0.0);
        let inner = (1..n - 1).map(|i| {
            let aim = barrier * i as f64 / (n - 1) as f64;
            while below + rejections[k] < aim && k + 1 < rejections.len() {
                below += rejections[k];
                k += 1;
            }
            let share = ((aim - below) / rejections[k]).min(1.0);
            let (from, to) = (self.betas[k] as f64, self.betas[k + 1] as f64);
            (from + share * (to - from)) as f32
        });
        let betas: Vec<f32> = [1.0].into_iter().chain(inner).chain(self.betas.last().copied()).collect();
        check_ladder(&betas)?;
        Ok(betas)
    }
    /// Moves the inverse temperatures between the two ends so that all rates would be equal, by the rates so far, which are
    /// then forgotten. Repeat it: rates near 0 say little about where the difficulty lies.
    ///
    /// Only to warm up: a ladder that follows the states makes them no draws of a Markov chain. Draw with one that stays.
    ///
    /// # Errors
    /// Those of [`Tempering::evened`]; the ladder is then left alone.
    pub fn tune(&mut self) -> Result<()> {
        self.betas = self.evened(self.betas.len())?;
        self.reset_rates();
        Ok(())
    }
    /// `1 - rate` of every pair.
    fn rejections(&self) -> Result<Vec<f64>> {
        match self.tallies.iter().position(|t| t.offered == 0) {
            Some(k) => Err(Error::value(format!("the number of swaps offered to pair {k}"), "at least 1", 0)),
            None => Ok(self.swap_rates().iter().map(|rate| 1.0 - rate).collect()),
        }
    }
}

/// Two neighbouring temperatures, the colder first.
struct Pair<'a, M: ?Sized> {
    model: &'a M,
    base: &'a [f32],
    summed: &'a [usize],
    betas: [f32; 2],
}

/// The swaps of some columns.
struct Found {
    columns: usize,
    accepted: u64, // a bit a column
    probability: f64,
}
const _: () = assert!(WIDEST <= u64::BITS as usize);

impl Found {
    /// The columns that were exchanged.
    fn swapped(&self) -> impl Iterator<Item = usize> {
        (0..self.columns).filter(|j| self.accepted >> j & 1 == 1)
    }
}

impl<M: Marginal + ?Sized> Pair<'_, M> {
    fn swap(&self, (cold, cold_rng): &mut Part<'_>, (hot, hot_rng): &mut Part<'_>) -> Found {
        let columns = cold.ncols();
        let (mut at_cold, mut at_hot) = ([0.0; WIDEST], [0.0; WIDEST]);
        self.preference(cold, &mut at_cold[..columns]);
        self.preference(hot, &mut at_hot[..columns]);
        let mut found = Found { columns, accepted: 0, probability: 0.0 };
        for j in 0..columns {
            let log_ratio = at_hot[j] - at_cold[j];
            let accepted = cold_rng.column(j).random::<f64>().ln() < log_ratio;
            found.accepted |= u64::from(accepted) << j;
            found.probability += log_ratio.min(0.0).exp();
        }
        cold.exchange(hot, found.swapped());
        self.redraw(self.betas[0], cold, cold_rng);
        self.redraw(self.betas[1], hot, hot_rng);
        found
    }
    /// `out = F_hot(v) - F_cold(v)`, with the first group summed out: how much rather the state would be where it is cold.
    fn preference(&self, slab: &mut Slab<'_>, out: &mut [f64]) {
        let (model, base, [cold, hot]) = (self.model, self.base, self.betas);
        model.energy_at_zero(self.summed, slab.x(), out);
        for (j, o) in out.iter_mut().enumerate() {
            let above = *o - base_rate_energy(model, base, self.summed, col(&slab.x(), j));
            *o = (hot as f64 - cold as f64) * above;
        }
        for &b in self.summed {
            let (x, field, scratch) = slab.x_field_and_scratch(model, b);
            for (j, o) in out.iter_mut().enumerate() {
                let at = (col(&x, j), col(&field, j));
                let mut gamma = |beta| tempered_log_partition(model, b, (beta, base), at, scratch);
                *o += gamma(cold) - gamma(hot);
            }
        }
    }
    /// Draws the first group given the rest.
    fn redraw(&self, beta: f32, slab: &mut Slab<'_>, rng: &mut Streams<'_>) {
        let mut response = Response::sample(rng);
        for &b in self.summed {
            if beta == 1.0 {
                slab.respond(self.model, b, &mut response);
            } else {
                slab.respond(self.model, b, &mut response.tempered(beta, self.base));
            }
        }
    }
}

impl<K> Resume for Tempering<K> {
    fn save(&self, to: &mut Saved) {
        to.put("betas", &self.betas);
        to.put_words("rounds", vec![self.rounds, self.round_trips]);
        to.put_words("offered", self.tallies.iter().map(|t| t.offered).collect());
        to.put_doubles("probability", &self.tallies.iter().map(|t| t.probability).collect::<Vec<f64>>());
        to.put_words("last", self.last.iter().map(|&end| end as u64).collect());
        for (k, chains) in self.chains.iter().enumerate() {
            chains.save(to.child_mut(&format!("temperature {k}")));
        }
    }
    /// Continues as many systems at as many temperatures.
    fn load(&mut self, from: &Saved) -> Result<()> {
        let missing = |name: &str| Error::Missing { name: name.into() };
        let (mut betas, n) = (self.betas.clone(), self.chains[0].states.ncols());
        from.floats_to("betas", &mut betas)?;
        check_ladder(&betas).map_err(|_| missing("betas"))?;
        let (offered, probability, last) = (from.words("offered")?, from.doubles("probability")?, from.words("last")?);
        for (name, expected, got) in [
            ("offered", self.tallies.len(), offered.len()),
            ("probability", self.tallies.len(), probability.len()),
            ("last", self.last.len(), last.len()),
        ] {
            if got != expected {
                return Err(missing(name));
            }
        }
        let ends = [End::Neither, End::Cold, End::Hot];
        let end = |&k: &u64| ends.into_iter().find(|&end| end as u64 == k).ok_or_else(|| missing("last"));
        let last = last.iter().map(end).collect::<Result<_>>()?;
        let [rounds, round_trips] = from.word_array("rounds")?;
        for (k, chains) in self.chains.iter_mut().enumerate() {
            let name = format!("temperature {k}");
            chains.load(from.child(&name)?)?;
            if chains.states.ncols() != n {
                return Err(missing(&name));
            }
        }
        let tally = |(&offered, probability)| Tally { offered, probability };
        self.tallies = offered.iter().zip(probability).map(tally).collect();
        (self.betas, self.rounds, self.last, self.round_trips) = (betas, rounds, last, round_trips);
        Ok(())
    }
}
