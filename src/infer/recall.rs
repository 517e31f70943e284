//! Recall: a Hopfield network moves from cues to what it remembers, many cues side by side, each on its own.

use crate::linalg::{col, fill_columns};
use crate::models::hopfield::{BATCH, Hopfield, Local, check_spins};
use crate::rng::{derive, keyed};
use crate::{Error, Mat, MatMut, MatRef, Result};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// In which order spins take the signs of their fields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dynamics {
    /// One at a time, from the first to the last.
    InOrder,
    /// One at a time, in a new random order every sweep.
    Random,
    /// All at once.
    Synchronous,
    /// One at a time, in a new random order every sweep, drawn from `exp(-E/T)` given the others (heat bath). Self-couplings, which
    /// are a constant of the energy, have no part in it; couplings that are not symmetric leave no known distribution unchanged.
    HeatBath {
        /// T, above 0
        temperature: f64,
    },
}

/// How cues are recalled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    /// The order of the spins.
    pub dynamics: Dynamics,
    /// The most sweeps (or steps, of all spins at once) of a cue.
    pub sweeps: usize,
    /// What orders and draws come from, for every cue a stream of its own.
    pub seed: u64,
    /// Whether the energies on the way are kept.
    pub trace: bool,
}
impl Default for Recall {
    fn default() -> Self {
        Self { dynamics: Dynamics::Random, sweeps: 100, seed: 0, trace: false }
    }
}

/// How a recall ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No spin's field has the other sign.
    FixedPoint,
    /// All spins at once go to the state before the last, and back: one of the two is given.
    TwoCycle,
    /// Neither within [`Recall::sweeps`]. At a temperature nothing comes to rest.
    Unsettled,
}

/// What came of the cues, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// The last states (N × cues).
    pub states: Mat,
    /// How each ended.
    pub ended: Vec<Ended>,
    /// Sweeps that each took: one by one, until all were at rest; all at once, including the step that found it.
    pub sweeps: Vec<usize>,
    /// If asked for, the energy of every cue and that after each of its sweeps; otherwise empty.
    pub energies: Vec<Vec<f64>>,
}

/// Lets the network move from every one of the cues (N × cues) until it comes to rest, in parallel over cues.
///
/// If W is symmetric: one spin at a time, with no self-coupling below 0, the energy never rises, and it ends in a fixed point
/// (Hopfield 1982); all at once, it ends in a fixed point or in a cycle of two (Goles, Fogelman and Pellegrin, "Decreasing energy
/// functions as a tool for studying threshold networks", 1985). Signs of fields are those of sums in double precision.
///
/// ```
/// use harmonium::infer::{Ended, Recall, recall};
/// use harmonium::{Mat, models::hopfield::Hebb};
/// let patterns = Mat::from_fn(64, 2, |i, j| if i >> (3 * j) & 1 == 1 { 1.0 } else { -1.0 });
/// let mut hebb = Hebb::new(64)?;
/// hebb.store(patterns.as_view())?;
/// let mut cues = patterns.clone();
/// cues.rows_mut(0, 9).apply(|s| *s = -*s); // nine spins wrong
/// let recalled = recall(&hebb.network()?, cues.as_view(), &Recall::default())?;
/// assert_eq!((recalled.states, recalled.ended), (patterns, vec![Ended::FixedPoint; 2]));
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if there is not one row a spin; [`Error::Value`] if an entry is neither 1 nor -1, the temperature is not above 0
/// and finite, or energies are asked for and W is not symmetric.
pub fn recall(network: &Hopfield, cues: MatRef<'_>, how: &Recall) -> Result<Recalled> {
    check_spins("cue", cues, network.n())?;
    if how.trace {
        network.check_energy()?;
    }
    if let Dynamics::HeatBath { temperature } = how.dynamics
        && !(temperature > 0.0 && temperature.is_finite())
    {
        return Err(Error::value("the temperature", "above 0 and finite", temperature));
    }
    let mut all = Recalled { states: cues.clone_owned(), ended: vec![], sweeps: vec![], energies: vec![] };
    for (k, batch) in all.states.as_mut_slice().chunks_mut(network.n() * BATCH).enumerate() {
        let ends = match how.dynamics {
            Dynamics::Synchronous => at_once(network, batch, how),
            _ => one_by_one(network, batch, k * BATCH, how),
        };
        for (ended, sweeps, energies) in ends {
            all.ended.push(ended);
            all.sweeps.push(sweeps);
            all.energies.extend(how.trace.then_some(energies));
        }
    }
    Ok(all)
}

/// How a cue ended, after how many sweeps, and by which energies.
type End = (Ended, usize, Vec<f64>);

/// How the states of a batch, one after the other, end.
fn one_by_one(network: &Hopfield, batch: &mut [f32], first: usize, how: &Recall) -> Vec<End> {
    let n = network.n();
    let mut fields = network.local_fields(MatRef::from_slice(batch, n, batch.len() / n));
    let columns = batch.par_chunks_mut(n).zip(fields.as_mut_slice().par_chunks_mut(n));
    let moved = columns.enumerate().map(|(j, (s, field))| move_one(Local::new(network, s, field), first + j, how));
    moved.collect()
}
/// Moves one state to its end.
fn move_one(mut local: Local<'_>, cue: usize, how: &Recall) -> End {
    let mut rng = keyed(derive(how.seed, "recall"), &[cue as u64]);
    let mut order: Vec<usize> = (0..local.s.len()).collect();
    let mut energies = vec![];
    for sweep in 0..=how.sweeps {
        if how.trace {
            energies.push(local.energy());
        }
        let hot = matches!(how.dynamics, Dynamics::HeatBath { .. });
        if !hot && local.is_fixed() {
            return (Ended::FixedPoint, sweep, energies);
        }
        if sweep == how.sweeps {
            break;
        }
        if how.dynamics != Dynamics::InOrder {
            order.shuffle(&mut rng);
        }
        match how.dynamics {
            Dynamics::HeatBath { temperature } => local.heat_bath(&order, temperature, &mut rng),
            _ => drop(local.sweep(&order)),
        }
    }
    (Ended::Unsettled, how.sweeps, energies)
}

/// States that move all spins at once; those that have ended leave, so that the products get smaller.
struct Moving {
    n: usize,
    cues: Vec<usize>,
    now: Vec<f32>,
    before: Vec<f32>,
    next: Vec<f32>,
}

impl Moving {
    /// The next state of every column, found from fields in single precision; where rounding could have changed the sign, from one
    /// in double precision.
    fn step(&mut self, network: &Hopfield) {
        let (n, k, fast) = (self.n, self.cues.len(), network.fast());
        let now = &self.now[..n * k];
        let mut fields = MatMut::from_slice(&mut self.next[..n * k], n, k);
        fill_columns(network.bias(), &mut fields);
        fast.working.plain().add_to(0..n, MatRef::from_slice(now, n, k), fields);
        self.next[..n * k].par_chunks_mut(n).zip(now.par_chunks(n)).for_each(|(next, s)| {
            for i in 0..n {
                let near = f64::from(next[i]) + f64::from(network.own()[i]) * f64::from(s[i]);
                let field = if near.abs() > fast.doubt[i] { near } else { network.exact_field(i, s) };
                next[i] = if field > 0.0 {
                    1.0
                } else if field < 0.0 {
                    -1.0
                } else {
                    s[i]
                };
            }
        });
    }
    fn column(&self, k: usize) -> std::ops::Range<usize> {
        k * self.n..(k + 1) * self.n
    }
    /// How column `k` ended, if the step that was just found does it.
    fn ended(&self, k: usize, steps: usize) -> Option<Ended> {
        let next = &self.next[self.column(k)];
        if next == &self.now[self.column(k)] {
            return Some(Ended::FixedPoint);
        }
        (steps > 1 && next == &self.before[self.column(k)]).then_some(Ended::TwoCycle)
    }
    /// The last column takes the place of column `k`.
    fn remove(&mut self, k: usize) {
        let (last, to) = (self.column(self.cues.len() - 1), k * self.n);
        for states in [&mut self.now, &mut self.before, &mut self.next] {
            states.copy_within(last.clone(), to);
        }
        self.cues.swap_remove(k);
    }
}

fn at_once(network: &Hopfield, batch: &mut [f32], how: &Recall) -> Vec<End> {
    let (n, columns) = (network.n(), batch.len() / network.n());
    let now = batch.to_vec();
    let mut moving = Moving { n, cues: (0..columns).collect(), before: now.clone(), next: now.clone(), now };
    let mut ends: Vec<End> = vec![(Ended::Unsettled, how.sweeps, vec![]); columns];
    note_energies(network, &moving, how, &mut ends);
    for steps in 1..=how.sweeps {
        if moving.cues.is_empty() {
            break;
        }
        moving.step(network);
        for k in (0..moving.cues.len()).rev() {
            if let Some(ended) = moving.ended(k, steps) {
                let cue = moving.cues[k];
                (ends[cue].0, ends[cue].1) = (ended, steps);
                batch[cue * n..(cue + 1) * n].copy_from_slice(&moving.next[moving.column(k)]);
                if how.trace {
                    let last = MatRef::from_slice(&moving.next[moving.column(k)], n, 1);
                    ends[cue].2.extend(network.energies(last).unwrap_or_default());
                }
                moving.remove(k);
            }
        }
        std::mem::swap(&mut moving.before, &mut moving.now);
        std::mem::swap(&mut moving.now, &mut moving.next);
        note_energies(network, &moving, how, &mut ends);
    }
    for (k, &cue) in moving.cues.iter().enumerate() {
        batch[cue * n..(cue + 1) * n].copy_from_slice(&moving.now[moving.column(k)]);
    }
    ends
}
/// Adds the energies of all states that move.
fn note_energies(network: &Hopfield, moving: &Moving, how: &Recall, ends: &mut [End]) {
    if how.trace {
        let states = MatRef::from_slice(&moving.now[..moving.n * moving.cues.len()], moving.n, moving.cues.len());
        let energies = network.energies(states).unwrap_or_default(); // symmetric, and spins: both were checked
        moving.cues.iter().zip(energies).for_each(|(&cue, energy)| ends[cue].2.push(energy));
    }
}

/// The overlaps `m = ξ·s / N` of patterns (N × P) with states (N × states): P × states.
///
/// # Errors
/// [`Error::Shape`] if their heights differ, [`Error::Value`] if an entry is neither 1 nor -1.
pub fn overlaps(patterns: MatRef<'_>, states: MatRef<'_>) -> Result<Mat> {
    let n = patterns.nrows();
    check_spins("pattern", patterns, n)?;
    check_spins("state", states, n)?;
    let mut m = Mat::zeros(patterns.ncols(), states.ncols());
    let columns = m.as_mut_slice().par_chunks_mut((BATCH * patterns.ncols()).max(1)).enumerate();
    columns.for_each(|(k, m)| {
        let width = m.len() / patterns.ncols();
        let part = states.columns(k * BATCH, width);
        crate::linalg::gemm_tn(1.0, patterns, part, 0.0, MatMut::from_slice(m, patterns.ncols(), width));
        m.iter_mut().for_each(|m| *m /= n as f32); // whole numbers until here
    });
    Ok(m)
}

/// What a state is, as far as the stored patterns tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attractor {
    /// A pattern, by its number.
    Stored(usize),
    /// A pattern with all spins turned.
    Mirrored(usize),
    /// `sign(±ξ¹ ± ξ² ± ξ³ …)` of an odd number of patterns: their numbers, and whether they are turned.
    Mixture(Vec<(usize, bool)>),
    /// None of these.
    SpinGlass,
}

/// The largest mixtures that are looked for.
const LARGEST: usize = 7;

/// What every state (N × states) is: the first of a pattern, a mirrored one, and the mixtures of 3, 5 and 7 patterns that its overlap
/// with is at least `least`. The patterns of a mixture are those that the state overlaps with most.
///
/// Source: Amit, Gutfreund and Sompolinsky, "Spin-glass models of neural networks", 1985.
///
/// # Errors
/// Those of [`overlaps`], and [`Error::Value`] if `least` is not above 0 and at most 1.
pub fn classify(patterns: MatRef<'_>, states: MatRef<'_>, least: f32) -> Result<Vec<Attractor>> {
    if !(least > 0.0 && least <= 1.0) {
        return Err(Error::value("the least overlap with an attractor", "above 0 and at most 1", least));
    }
    let m = overlaps(patterns, states)?;
    let of_state = |j: usize| {
        let (s, m) = (col(&states, j), m.column(j));
        let mut order: Vec<usize> = (0..m.len()).collect();
        let largest = order.len().min(LARGEST);
        if order.len() > largest {
            order.select_nth_unstable_by(largest, |a, b| m[*b].abs().total_cmp(&m[*a].abs()).then(a.cmp(b)));
        }
        order.truncate(largest);
        order.sort_by(|a, b| m[*b].abs().total_cmp(&m[*a].abs()).then(a.cmp(b)));
        match order.first() {
            Some(&k) if m[k] >= least => return Attractor::Stored(k),
            Some(&k) if m[k] <= -least => return Attractor::Mirrored(k),
            _ => {}
        }
        let turned: Vec<(usize, bool)> = order.iter().map(|&k| (k, m[k] < 0.0)).collect();
        let sizes = (3..=turned.len()).step_by(2);
        let found = sizes.map(|k| &turned[..k]).find(|of| overlap_with_mixture(patterns, of, s) >= least);
        found.map_or(Attractor::SpinGlass, |of| Attractor::Mixture(of.to_vec()))
    };
    Ok((0..states.ncols()).into_par_iter().map(of_state).collect())
}
fn overlap_with_mixture(patterns: MatRef<'_>, of: &[(usize, bool)], s: &[f32]) -> f32 {
    let sum =
        |i: usize| of.iter().map(|&(k, turned)| if turned { -patterns[(i, k)] } else { patterns[(i, k)] }).sum::<f32>();
    let alike: f32 = s.iter().enumerate().map(|(i, s)| s * sum(i).signum()).sum();
    alike / s.len() as f32
}
