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
    /// Where a straight path that is thrown back by the walls ends, and whether by an odd number of them: then it comes back with the
    /// opposite momentum.
    fn reflect(self, x: f32) -> (f32, bool) {
        let Self { low, high } = self;
        if (low..=high).contains(&x) || !x.is_finite() {
            return (x, false);
        }
        let (place, odd) = match (low.is_finite(), high.is_finite()) {
            (true, true) => {
                let width = high - low;
                let around = (x - low).rem_euclid(2.0 * width);
                (low + if around > width { 2.0 * width - around } else { around }, around > width)
            }
            (true, false) => (low + (low - x), true),
            _ => (high - (x - high), true),
        };
        (place.clamp(low, high), odd)
    }
    /// Places within the range, momenta as they come back.
    fn throw_back(self, places: &mut [f32], momenta: &mut [f32]) {
        if !self.low.is_finite() && !self.high.is_finite() {
            return;
        }
        // Once without a branch; what was thrown beyond the other wall is rare.
        let bounce = Bounce { low: self.low, high: self.high, places: &mut *places, momenta: &mut *momenta };
        if !Level::best().run(bounce) {
            for (x, p) in places.iter_mut().zip(momenta) {
                let (place, odd) = self.reflect(*x);
                *x = place;
                *p = if odd { -*p } else { *p };
            }
        }
    }
}

/// Throws back once; whether all are within the walls then.
struct Bounce<'a> {
    low: f32,
    high: f32,
    places: &'a mut [f32],
    momenta: &'a mut [f32],
}
impl linalg::Kernel for Bounce<'_> {
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        let Self { low, high, .. } = self;
        let mut within = true;
        for (x, p) in self.places.iter_mut().zip(self.momenta) {
            let (below, above) = (*x < low, *x > high);
            let mirrored = 2.0 * if below { low } else { high } - *x;
            *p = if below | above { -*p } else { *p };
            *x = if below | above { mirrored } else { *x };
            within &= (*x >= low) & (*x <= high);
        }
        within
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
    /// `y ← y - time ∂E/∂x + noise z` of column `j`, by the gradient at `y` and with the numbers `z` in the place of momenta; thrown back
    /// at walls.
    pub(super) fn slide(&mut self, j: usize, time: f32, noise: f32) {
        self.each(j, |my, at, walls| {
            if let Some(frozen) = my.frozen {
                still(&frozen[at.clone()], &mut my.gradient_y[at.clone()], 0.0);
            }
            axpy(-time, &my.gradient_y[at.clone()], &mut my.y[at.clone()]);
            axpy(noise, &my.momentum[at.clone()], &mut my.y[at.clone()]);
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
        let box_ = Walls { low: -1.0, high: 2.0 };
        for (x, place, odd) in [
            (0.5, 0.5, false),
            (2.5, 1.5, true),
            (-1.5, -0.5, true),
            (5.5, -0.5, false),
            (-4.5, 1.5, false),
            (9.0, 1.0, true),
        ] {
            assert_eq!(box_.reflect(x), (place, odd), "{x}");
        }
        let half = Walls { low: 0.0, high: f32::INFINITY };
        assert_eq!((half.reflect(-3.0), half.reflect(3.0)), ((3.0, true), (3.0, false)));
        let other = Walls { low: f32::NEG_INFINITY, high: 1.0 };
        assert_eq!(other.reflect(3.0), (-1.0, true));
        assert!(box_.reflect(f32::NAN).0.is_nan() && box_.reflect(f32::INFINITY).0 == f32::INFINITY);
        let mut places = vec![0.5, 2.5, -1.5, 5.5, 9.0, f32::INFINITY, 2.0];
        let mut momenta = vec![1.0; 7];
        box_.throw_back(&mut places, &mut momenta);
        assert!(places[5].is_infinite());
        places[5] = 0.0;
        assert_eq!(places, [0.5, 1.5, -0.5, -0.5, 1.0, 0.0, 2.0]);
        assert_eq!(momenta[..5], [1.0, -1.0, -1.0, 1.0, -1.0]);
        for x in [1e9f32, -1e9, 1e-9, 2.000_000_2] {
            assert!((-1.0..=2.0).contains(&box_.reflect(x).0), "{x}");
        }
    }
    #[test]
    fn numbers_that_are_none_are_found() {
        assert!(all_finite(&[0.0, -1e38, 1e-40]) && all_finite(&[]));
        assert!(!all_finite(&[0.0, f32::NAN]) && !all_finite(&[f32::NEG_INFINITY, 0.0]));
    }
}
