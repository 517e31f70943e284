//! What gradient kernels of discrete units share: which units they move, and the memory of a slab.
//!
//! They move units of two values ([`Bernoulli`], [`Spin`]) and of one of `q` ([`Softmax`]), but for what is frozen. To first order, the
//! energy changes by `∂E/∂x · (y - x)` when one unit changes from `x` to `y`; what that is off by, acceptance corrects. Units of other
//! kinds, given rows and rows in no block stay as they are.

use crate::states::WIDEST;
use crate::units::{Bernoulli, Softmax, Spin};
use crate::{Block, Energy, MatMut, MatRef, Score, Slab};
use std::any::Any;
use std::cell::Cell;
use std::ops::Range;

/// What is known of a kind of units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
    /// `low` or 1, a row each.
    Two {
        /// The lower value.
        low: f32,
    },
    /// One of so many rows is 1, the others 0.
    OneOf(usize),
}

impl Values {
    fn of(block: &Block) -> Option<Self> {
        let unit = &*block.unit as &dyn Any;
        if unit.is::<Bernoulli>() {
            return Some(Self::Two { low: 0.0 });
        }
        if unit.is::<Spin>() {
            return Some(Self::Two { low: -1.0 });
        }
        unit.downcast_ref::<Softmax>().map(|softmax| Self::OneOf(softmax.q))
    }
    /// Rows of one unit.
    pub(super) fn width(self) -> usize {
        if let Self::OneOf(q) = self { q } else { 1 }
    }
    /// Makes values of whatever stands there (zeros where chains begin, means): the nearest, the first if there are several.
    fn make(self, x: &mut [f32]) {
        match self {
            Self::Two { low } => {
                // As `Unit::mode` has it: a spin of zero points up.
                let up = if low < 0.0 { x[0] >= 0.0 } else { x[0] > 0.5 };
                x[0] = if up { 1.0 } else { low };
            }
            Self::OneOf(_) => {
                let best = chosen(x);
                x.fill(0.0);
                x[best] = 1.0;
            }
        }
    }
}

/// The first of the largest.
pub(super) fn chosen(x: &[f32]) -> usize {
    x.iter().enumerate().fold(0, |best, (k, value)| if *value > x[best] { k } else { best })
}

/// Neighbouring rows of units of one kind.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) rows: Range<usize>,
    pub(super) values: Values,
}

thread_local! {
    /// The rows of the model at work, found once an advance: a machine may have a block for every unit. Taken while in use.
    static SPANS: Cell<Vec<Span>> = const { Cell::new(Vec::new()) };
}

/// The rows that discrete kernels move.
fn spans<M: Energy + ?Sized>(model: &M) -> impl Iterator<Item = Span> + '_ {
    let joined = |a: &Block, b: &Block| a.rows.end == b.rows.start && Values::of(a) == Values::of(b);
    model.blocks().chunk_by(joined).filter_map(|run| {
        let rows = run[0].rows.start..run[run.len() - 1].rows.end;
        Values::of(&run[0]).map(|values| Span { rows, values })
    })
}

/// The memory of a slab for discrete moves: rows × columns each, and two columns.
pub(super) struct Hop<'a, M: ?Sized> {
    pub(super) model: &'a M,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Where the chains are.
    pub(super) x: &'a mut [f32],
    /// `∂E/∂x` there.
    pub(super) gradient: &'a mut [f32],
    /// Where they may go.
    pub(super) y: &'a mut [f32],
    /// `∂E/∂x` at `y`.
    pub(super) gradient_y: &'a mut [f32],
    /// Numbers of one column.
    pub(super) one: &'a mut [f32],
    /// Others.
    pub(super) two: &'a mut [f32],
    /// The rows that may move.
    pub(super) spans: Vec<Span>,
    frozen: Option<&'a [bool]>,
}
impl<M: ?Sized> Drop for Hop<'_, M> {
    fn drop(&mut self) {
        SPANS.set(std::mem::take(&mut self.spans));
    }
}

impl<'a, M: Score + ?Sized> Hop<'a, M> {
    /// The chains stand at `x` and at `y`, at values of their units.
    ///
    /// # Panics
    /// If the model has no units of two values or of one of `q`.
    pub(super) fn new(model: &'a M, slab: &'a mut Slab<'_>) -> Self {
        let mut rows_that_move = SPANS.take();
        rows_that_move.clear();
        rows_that_move.extend(spans(model));
        let any = !rows_that_move.is_empty();
        assert!(any, "discrete moves need a model with Bernoulli, spin or softmax units");
        let open = slab.open();
        let (rows, columns, n) = (open.rows, open.columns, open.rows * open.columns);
        assert!(columns <= WIDEST, "{columns} columns in a slab of at most {WIDEST}");
        let scratch = open.scratch;
        scratch.resize(scratch.len().max(n + 2 * rows), 0.0);
        let (gradient_y, rest) = scratch[..n + 2 * rows].split_at_mut(n);
        let (one, two) = rest.split_at_mut(rows);
        let (x, gradient, y) = (open.x, open.fields, open.means);
        let (spans, frozen) = (rows_that_move, open.frozen);
        let hop = Self { model, rows, columns, x, gradient, y, gradient_y, one, two, spans, frozen };
        for j in 0..columns {
            for Span { rows, values } in hop.spans.iter().cloned() {
                for unit in rows.step_by(values.width()) {
                    let at = hop.at(j, unit..unit + values.width());
                    if hop.moves(j, unit, values) {
                        values.make(&mut hop.x[at]);
                    }
                }
            }
        }
        hop.y.copy_from_slice(hop.x);
        hop
    }
    /// Rows of column `j` as places in the slab's memory.
    pub(super) fn at(&self, j: usize, rows: Range<usize>) -> Range<usize> {
        j * self.rows + rows.start..j * self.rows + rows.end
    }
    /// Whether the unit from row `unit` on may move: none of its rows is frozen.
    pub(super) fn moves(&self, j: usize, unit: usize, values: Values) -> bool {
        let at = self.at(j, unit..unit + values.width());
        self.frozen.is_none_or(|frozen| !frozen[at].contains(&true))
    }
    /// Which rows of a span are frozen in column `j`.
    pub(super) fn frozen(&self, j: usize, rows: &Range<usize>) -> Option<&'a [bool]> {
        self.frozen.map(|frozen| &frozen[self.at(j, rows.clone())])
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
    /// `∂E/∂x` at `x`, in its place.
    pub(super) fn gradient(&mut self) {
        let out = MatMut::from_slice(self.gradient, self.rows, self.columns);
        self.model.grad_x(MatRef::from_slice(self.x, self.rows, self.columns), out);
    }
    /// Column `j` moves to `y`.
    pub(super) fn accept(&mut self, j: usize) {
        let at = self.at(j, 0..self.rows);
        self.x[at.clone()].copy_from_slice(&self.y[at.clone()]);
        self.gradient[at.clone()].copy_from_slice(&self.gradient_y[at]);
    }
    /// Column `j` stays where it is.
    pub(super) fn reject(&mut self, j: usize) {
        let at = self.at(j, 0..self.rows);
        self.y[at.clone()].copy_from_slice(&self.x[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_there_becomes_a_value() {
        let made = |values: Values, x: &[f32]| {
            let mut x = x.to_vec();
            values.make(&mut x);
            x
        };
        let (bits, spins) = (Values::Two { low: 0.0 }, Values::Two { low: -1.0 });
        for (x, bit, spin) in
            [(0.0, 0.0, 1.0), (0.5, 0.0, 1.0), (0.7, 1.0, 1.0), (-0.1, 0.0, -1.0), (f32::NAN, 0.0, -1.0)]
        {
            assert_eq!((made(bits, &[x])[0], made(spins, &[x])[0]), (bit, spin), "{x}");
        }
        assert_eq!(made(Values::OneOf(3), &[0.0; 3]), [1.0, 0.0, 0.0]);
        assert_eq!(made(Values::OneOf(3), &[0.2, 0.1, 0.7]), [0.0, 0.0, 1.0]);
        assert_eq!(made(Values::OneOf(3), &[f32::NAN, 0.1, 0.7]).iter().sum::<f32>(), 1.0);
    }
}
