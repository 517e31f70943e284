//! What kernels of real units share: which rows they move, the walls of bounded units, and the memory of a slab as places, momenta
//! and gradients.
//!
//! They move the units that have no finite list of values, but for what is frozen. Discrete units, given rows and rows in no block stay
//! as they are: as in a product of kernels, others move them.

use crate::linalg::{self, Level, axpy, dot, normals_to};
use crate::states::WIDEST;
use crate::units::{Bernoulli, Binomial, Multinomial, Softmax, Spin};
use crate::{Block, Energy, MatMut, MatRef, Score, Slab, Streams};
use std::any::Any;
use std::cell::Cell;
use std::ops::Range;

/// A rise of the total energy, in nats, that no accepted move makes: the path has left what its step size can follow (Betancourt, "A
/// conceptual introduction to Hamiltonian Monte Carlo", 2017; the limit is Stan's).
pub(super) const ABSURD: f64 = 1000.0;

/// Neighbouring rows of real units with the same ends of their range.
#[derive(Clone, Debug)]
struct Span {
    rows: Range<usize>,
    walls: Walls,
}

/// The ends of a unit's range; infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Walls {
    low: f32,
    high: f32,
}

impl Walls {
    fn of(block: &Block) -> Self {
        let (low, high) = (*block.unit.range().start(), *block.unit.range().end());
        let low = if low <= f32::MIN { f32::NEG_INFINITY } else { low };
        Self { low, high: if high >= f32::MAX { f32::INFINITY } else { high } }
    }
    /// Places beyond the range at its end. What is not finite stays where it is.
    fn hold(self, places: &mut [f32]) {
        let inside = |x: f32| if x.abs() < f32::INFINITY { x.max(self.low).min(self.high) } else { x };
        places.iter_mut().for_each(|x| *x = inside(*x));
    }
    /// Places within the range, where straight paths that are thrown back by the walls end; momenta as they come back: turned round by an
    /// odd number of walls. What is not finite stays where it is.
    fn throw_back(self, places: &mut [f32], momenta: &mut [f32]) {
        let Self { low, high } = self;
        let level = Level::best();
        match (low.is_finite(), high.is_finite()) {
            (false, false) => {}
            (true, true) => level.run(Reflect { low, high, places, momenta, f: between(low, high) }),
            (true, false) => level.run(Reflect { low, high, places, momenta, f: |x| (low + (low - x), true) }),
            (false, true) => level.run(Reflect { low, high, places, momenta, f: |x| (high - (x - high), true) }),
        }
    }
}

/// Where a path between two walls ends, and whether by an odd number of them.
fn between(low: f32, high: f32) -> impl Fn(f32) -> (f32, bool) {
    let (width, there_and_back) = (high - low, 2.0 * (high - low));
    move |x| {
        let turns = (x - low) / there_and_back;
        let around = (turns - turns.floor()) * there_and_back;
        (low + around.min(there_and_back - around), around > width)
    }
}

/// Puts every place beyond the walls where `f` says, without a branch.
struct Reflect<'a, F> {
    low: f32,
    high: f32,
    places: &'a mut [f32],
    momenta: &'a mut [f32],
    f: F,
}
impl<F: Fn(f32) -> (f32, bool)> linalg::Kernel for Reflect<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Self { low, high, .. } = self;
        for (x, p) in self.places.iter_mut().zip(self.momenta) {
            let beyond = ((*x < low) | (*x > high)) & (x.abs() < f32::INFINITY);
            let (place, odd) = (self.f)(*x);
            *p = if beyond & odd { -*p } else { *p };
            *x = if beyond { place.max(low).min(high) } else { *x };
        }
    }
}

/// Whether continuous moves are for it. Known discrete kinds are told by their type, for a list of values is memory.
fn is_real(block: &Block) -> bool {
    let unit = &*block.unit as &dyn Any;
    let discrete = unit.is::<Bernoulli>()
        || unit.is::<Spin>()
        || unit.is::<Softmax>()
        || unit.is::<Binomial>()
        || unit.is::<Multinomial>();
    !discrete && block.unit.support().is_none()
}

thread_local! {
    /// The rows of the model at work, found once an advance: a machine may have a block for every unit. Taken while in use.
    static SPANS: Cell<Vec<Span>> = const { Cell::new(Vec::new()) };
}

/// The rows that continuous kernels move.
fn spans<M: Energy + ?Sized>(model: &M) -> impl Iterator<Item = Span> + '_ {
    let joined =
        |a: &Block, b: &Block| a.rows.end == b.rows.start && is_real(a) && is_real(b) && Walls::of(a) == Walls::of(b);
    let real = model.blocks().chunk_by(joined).filter(|run| is_real(&run[0]));
    real.map(|run| Span { rows: run[0].rows.start..run[run.len() - 1].rows.end, walls: Walls::of(&run[0]) })
}

/// The memory of a slab for continuous moves: rows × columns each, but for what is frozen.
pub(super) struct Flight<'a, M: ?Sized> {
    model: &'a M,
    rows: usize,
    pub(super) columns: usize,
    /// Where the chains are.
    pub(super) x: &'a mut [f32],
    /// `∂E/∂x` there.
    pub(super) gradient: &'a mut [f32],
    /// Where they may go.
    pub(super) y: &'a mut [f32],
    /// Their momenta; or noise.
    pub(super) momentum: &'a mut [f32],
    /// `∂E/∂x` at `y`.
    pub(super) gradient_y: &'a mut [f32],
    spans: Vec<Span>,
    frozen: Option<&'a [bool]>,
}
impl<M: ?Sized> Drop for Flight<'_, M> {
    fn drop(&mut self) {
        SPANS.set(std::mem::take(&mut self.spans));
    }
}

impl<'a, M: Score + ?Sized> Flight<'a, M> {
    /// The chains stand at `x` and at `y`.
    ///
    /// # Panics
    /// If the model has no real units.
    pub(super) fn new(model: &'a M, slab: &'a mut Slab<'_>) -> Self {
        let mut rows_that_move = SPANS.take();
        rows_that_move.clear();
        rows_that_move.extend(spans(model));
        assert!(!rows_that_move.is_empty(), "continuous moves need a model with real units");
        let open = slab.open();
        let (rows, columns, n) = (open.rows, open.columns, open.rows * open.columns);
        assert!(columns <= WIDEST, "{columns} columns in a slab of at most {WIDEST}");
        let scratch = open.scratch;
        scratch.resize(scratch.len().max(2 * n), 0.0);
        let (momentum, gradient_y) = scratch[..2 * n].split_at_mut(n);
        let (x, gradient, y) = (open.x, open.fields, open.means);
        y.copy_from_slice(x);
        let (spans, frozen) = (rows_that_move, open.frozen);
        Self { model, rows, columns, x, gradient, y, momentum, gradient_y, spans, frozen }
    }
    /// Rows of column `j` as places in the slab's memory.
    fn at(&self, j: usize, rows: &Range<usize>) -> Range<usize> {
        j * self.rows + rows.start..j * self.rows + rows.end
    }
    /// Column `j` as places.
    pub(super) fn column(&self, j: usize) -> Range<usize> {
        j * self.rows..(j + 1) * self.rows
    }
    /// `f` of the places of every span of column `j`.
    fn each(&mut self, j: usize, mut f: impl FnMut(&mut Self, Range<usize>, Walls)) {
        for k in 0..self.spans.len() {
            let Span { rows, walls } = self.spans[k].clone();
            let at = self.at(j, &rows);
            f(self, at, walls);
        }
    }
    /// `∂E/∂x` at `x`, and the energies there.
    pub(super) fn measure(&mut self, energies: &mut [f64]) {
        let out = MatMut::from_slice(self.gradient, self.rows, self.columns);
        self.model.energy_and_grad_x(MatRef::from_slice(self.x, self.rows, self.columns), energies, out);
    }
    /// The same at `y`.
    pub(super) fn measure_y(&mut self, energies: &mut [f64]) {
        let out = MatMut::from_slice(self.gradient_y, self.rows, self.columns);
        self.model.energy_and_grad_x(MatRef::from_slice(self.y, self.rows, self.columns), energies, out);
    }
    /// `∂E/∂x` at `y`, in its place.
    pub(super) fn gradient_y(&mut self) {
        let out = MatMut::from_slice(self.gradient_y, self.rows, self.columns);
        self.model.grad_x(MatRef::from_slice(self.y, self.rows, self.columns), out);
    }
    /// Standard normal momenta; none where units are frozen: adding -0 changes no number, not even by its sign.
    pub(super) fn draw_momenta(&mut self, rng: &mut Streams<'_>) {
        for j in 0..self.columns {
            self.draw_momentum(j, rng);
        }
    }
    /// The same of column `j`.
    pub(super) fn draw_momentum(&mut self, j: usize, rng: &mut Streams<'_>) {
        self.each(j, |my, at, _| {
            normals_to(&mut my.momentum[at.clone()], rng.column(j));
            if let Some(frozen) = my.frozen {
                still(&frozen[at.clone()], &mut my.momentum[at], -0.0);
            }
        });
    }
    /// `p ← decay p + noise z` with new normal numbers `z`, which are written over the gradient at `y`.
    pub(super) fn refresh_momenta(&mut self, (decay, noise): (f32, f32), rng: &mut Streams<'_>) {
        for j in 0..self.columns {
            self.each(j, |my, at, _| {
                let (p, z) = (&mut my.momentum[at.clone()], &mut my.gradient_y[at.clone()]);
                normals_to(z, rng.column(j));
                p.iter_mut().zip(&*z).for_each(|(p, z)| *p = decay * *p + noise * z);
                if let Some(frozen) = my.frozen {
                    still(&frozen[at], p, -0.0);
                }
            });
        }
    }
    /// `½ |p|²` of column `j`.
    pub(super) fn kinetic(&self, j: usize) -> f64 {
        let one = |span: &Span| {
            let p = &self.momentum[self.at(j, &span.rows)];
            0.5 * dot(p, p)
        };
        self.spans.iter().map(one).sum()
    }
    /// `p ← p - time ∂E/∂x` of column `j`, by the gradient at `x` or at `y`.
    pub(super) fn kick(&mut self, j: usize, time: f32, at_x: bool) {
        self.each(j, |my, at, _| {
            let gradient = if at_x { &mut *my.gradient } else { &mut *my.gradient_y };
            if let Some(frozen) = my.frozen {
                still(&frozen[at.clone()], &mut gradient[at.clone()], 0.0);
            }
            axpy(-time, &gradient[at.clone()], &mut my.momentum[at]);
        });
    }
    /// `y ← y + time p` of column `j`, thrown back at walls.
    pub(super) fn drift(&mut self, j: usize, time: f32) {
        self.each(j, |my, at, walls| {
            axpy(time, &my.momentum[at.clone()], &mut my.y[at.clone()]);
            my.throw_back(at, walls);
        });
    }
    /// `y ← y - time ∂E/∂x + noise z` of column `j`, by the gradient at `y` and with the numbers `z` in the place of momenta; held or thrown
    /// back at walls.
    pub(super) fn slide(&mut self, j: usize, (time, noise): (f32, f32), hold: bool) {
        self.each(j, |my, at, walls| {
            if let Some(frozen) = my.frozen {
                still(&frozen[at.clone()], &mut my.gradient_y[at.clone()], 0.0);
            }
            axpy(-time, &my.gradient_y[at.clone()], &mut my.y[at.clone()]);
            axpy(noise, &my.momentum[at.clone()], &mut my.y[at.clone()]);
            if hold {
                walls.hold(&mut my.y[at.clone()]);
            }
            my.throw_back(at, walls);
        });
    }
    /// Places within the walls, but for what is frozen, wherever it is.
    fn throw_back(&mut self, at: Range<usize>, walls: Walls) {
        walls.throw_back(&mut self.y[at.clone()], &mut self.momentum[at.clone()]);
        if let Some(frozen) = self.frozen {
            let places = self.y[at.clone()].iter_mut().zip(&self.x[at.clone()]);
            places.zip(&frozen[at]).filter(|(_, f)| **f).for_each(|((y, x), _)| *y = *x);
        }
    }
    /// Column `j` moves to `y`, with the gradient there if it is known.
    pub(super) fn accept(&mut self, j: usize, with_gradient: bool) {
        let at = self.column(j);
        self.x[at.clone()].copy_from_slice(&self.y[at.clone()]);
        if with_gradient {
            self.gradient[at.clone()].copy_from_slice(&self.gradient_y[at]);
        }
    }
    /// Column `j` stays where it is.
    pub(super) fn reject(&mut self, j: usize) {
        let at = self.column(j);
        self.y[at.clone()].copy_from_slice(&self.x[at]);
    }
    /// Every column whose `y` is all numbers moves there; how many do not.
    pub(super) fn settle(&mut self) -> u64 {
        let mut lost = 0;
        for j in 0..self.columns {
            if all_finite(&self.y[self.column(j)]) {
                self.accept(j, false);
            } else {
                lost += 1;
            }
        }
        lost
    }
}

/// `value` where units are frozen.
fn still(frozen: &[bool], values: &mut [f32], value: f32) {
    values.iter_mut().zip(frozen).filter(|(_, f)| **f).for_each(|(v, _)| *v = value);
}

/// Whether there is neither an infinite number nor what is none, without a branch for each.
pub(super) fn all_finite(x: &[f32]) -> bool {
    !x.iter().fold(false, |found, x| found | (x.to_bits() & 0x7f80_0000 == 0x7f80_0000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_throw_back_as_often_as_they_are_met() {
        /// One by one: the plain twin.
        fn reflect(walls: Walls, mut x: f32) -> (f32, bool) {
            let mut odd = false;
            while x < walls.low || x > walls.high {
                x = if x < walls.low { 2.0 * walls.low - x } else { 2.0 * walls.high - x };
                odd = !odd;
            }
            (x, odd)
        }
        let (inf, all) = (f32::INFINITY, [0.5, 1.9375, -0.9375, 2.5, -1.5, 5.5, -4.5, 8.75, 100.25, -77.75, 2.125]);
        for (low, high) in [(-1.0, 2.0), (0.0, inf), (-inf, 1.0), (-inf, inf), (0.0, 1.0)] {
            let (walls, mut places, mut momenta) = (Walls { low, high }, all.to_vec(), vec![1.0; all.len()]);
            walls.throw_back(&mut places, &mut momenta);
            for ((x, place), momentum) in all.into_iter().zip(&places).zip(momenta) {
                let (expected, odd) = reflect(walls, x);
                assert!((place - expected).abs() < 1e-4, "{x} to {place} instead of {expected}");
                assert_eq!(momentum, if odd { -1.0 } else { 1.0 }, "{x} between {low} and {high}");
            }
        }
        let mut held = [f32::NAN, inf, -inf, 0.5, 3.0, -3.0];
        Walls { low: -1.0, high: inf }.hold(&mut held);
        assert!(held[0].is_nan() && held[1..] == [inf, -inf, 0.5, 3.0, -1.0]);
        let mut strange = [f32::NAN, inf, -inf, 1e9, -1e9, 1e-9, 1.000_000_1];
        Walls { low: 0.0, high: 1.0 }.throw_back(&mut strange, &mut [1.0; 7]);
        assert!(strange[0].is_nan() && strange[1..3] == [inf, -inf]);
        assert!(strange[3..].iter().all(|x| (0.0..=1.0).contains(x)), "{strange:?}");
    }
    #[test]
    fn numbers_that_are_none_are_found() {
        assert!(all_finite(&[0.0, -1e38, 1e-40]) && all_finite(&[]));
        assert!(!all_finite(&[0.0, f32::NAN]) && !all_finite(&[f32::NEG_INFINITY, 0.0]));
    }
}
