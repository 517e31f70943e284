//! The posterior of a deep Boltzmann machine's hidden units by mean field: the independent distribution `q` that is nearest to it,
//! `log p(v) ≥ ⟨-E(v, h)⟩_q + H(q) - log Z`.
//!
//! Each pass gives odd layers their means given the even ones, then even ones theirs given the odd, and raises that bound. It starts
//! from a pass upwards with doubled weights, each layer making up for the one above that is not known yet, and ends sample by
//! sample. It knows no other models: what is exact needs none of it.
//!
//! ## References
//! - Salakhutdinov and Hinton, "Deep Boltzmann machines", 2009.
//! - Salakhutdinov and Larochelle, "Efficient learning of deep Boltzmann machines", 2010 (what few passes cost).

use super::Dbm;
use crate::linalg::fill_columns;
use crate::states::Open;
use crate::{Energy, MatMut, MatRef, Slab, States};
use std::ops::Range;

/// When mean field ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanField {
    /// A sample is done when no mean of an even layer changed by more in a pass.
    pub tolerance: f32,
    /// Passes at most; at least one is made.
    pub passes: usize,
}
impl Default for MeanField {
    fn default() -> Self {
        Self { tolerance: 1e-3, passes: 30 }
    }
}

impl Dbm {
    /// [`Learn::infer`]
    pub(super) fn mean_field(&self, states: &mut States) {
        if states.is_inferred(self) {
            return;
        }
        let hidden = || (0..self.blocks().len()).filter(|b| self.blocks()[*b].rows.start >= self.n_visible());
        states.par(|_, slab| {
            self.approach(slab);
            for b in hidden() {
                slab.vouch(self, b);
                slab.mean(self, b);
            }
            slab.mark_inferred(self);
        });
    }
    /// Mean field of the columns of a slab, whose hidden rows may hold anything. Fields of odd layers are left as those given the
    /// even ones, and those of even ones as they were when these became their means.
    fn approach(&self, slab: &mut Slab<'_>) {
        let mut open = slab.open();
        let mut scratch = std::mem::take(open.scratch);
        let (columns, first) = (open.columns, self.rows(1).len());
        let largest = (1..self.n_layers()).map(|l| self.rows(l).len()).max().unwrap_or(0);
        let sizes = [first * columns, columns, columns, largest];
        scratch.resize(scratch.len().max(sizes.iter().sum()), 0.0);
        let (pull, rest) = scratch.split_at_mut(sizes[0]);
        let (changes, rest) = rest.split_at_mut(columns);
        let (last, means) = rest.split_at_mut(columns);
        self.pull_of_data(&open, pull);
        last.fill(f32::INFINITY);
        self.upwards(&mut open, pull, means);
        // Not a number is not within any tolerance.
        let moves = |change: f32| change.is_nan() || change > self.inference.tolerance;
        for _ in 0..if self.n_layers() > 2 { self.inference.passes.max(1) } else { 0 } {
            if !last.iter().any(|c| moves(*c)) {
                break;
            }
            changes.fill(0.0);
            for l in (1..self.n_layers()).step_by(2) {
                self.fields(l, &mut open, pull);
                self.respond(l, &mut open, (&|j| moves(last[j]), means), &mut |_, _| ());
            }
            for l in (2..self.n_layers()).step_by(2) {
                self.fields(l, &mut open, pull);
                let changed = &mut |j: usize, change: f32| changes[j] = changes[j].max(change);
                self.respond(l, &mut open, (&|j| moves(last[j]), means), changed);
            }
            last.copy_from_slice(changes); // of columns that did not move, zero
        }
        (1..self.n_layers()).step_by(2).for_each(|l| self.fields(l, &mut open, pull));
        *open.scratch = scratch;
    }
    /// `b₁ + W₁v`, which does not change (first hidden units × columns).
    fn pull_of_data(&self, open: &Open<'_>, pull: &mut [f32]) {
        let n = self.rows(1).len();
        let mut out = MatMut::from_slice(pull, n, open.columns);
        fill_columns(self.bias(1), &mut out);
        self.add_below(1, 0..n, MatRef::from_slice(open.x, open.rows, open.columns), out);
    }
    /// The start: every layer given the one below with doubled weights, `b + 2Wx`; the top one has no layer above to make up for.
    fn upwards(&self, open: &mut Open<'_>, pull: &[f32], means: &mut [f32]) {
        for column in open.x.chunks_exact_mut(open.rows) {
            column[self.n_visible()..].fill(0.0);
        }
        for l in 1..self.n_layers() {
            self.fields(l, open, pull);
            if l + 1 < self.n_layers() {
                for column in open.fields.chunks_exact_mut(open.rows) {
                    column[self.rows(l)].iter_mut().zip(self.bias(l)).for_each(|(f, b)| *f = 2.0 * *f - b);
                }
            }
            self.respond(l, open, (&|_| true, means), &mut |_, _| ());
        }
    }
    /// The fields of layer `l` at the present means.
    fn fields(&self, l: usize, open: &mut Open<'_>, pull: &[f32]) {
        let Range { start, end } = self.rows(l);
        let x = MatRef::from_slice(open.x, open.rows, open.columns);
        let mut fields = MatMut::from_slice(open.fields, open.rows, open.columns);
        let mut out = fields.rows_range_mut(start..end);
        if l == 1 {
            out.copy_from(&MatRef::from_slice(pull, end - start, open.columns));
        } else {
            fill_columns(self.bias(l), &mut out);
            self.add_below(l, 0..end - start, x, out.as_view_mut());
        }
        self.add_above(l, 0..end - start, x, out);
    }
    /// Layer `l` becomes its means at its fields in the columns that `moves` names; `changed` is told by how much a column changes.
    fn respond(
        &self,
        l: usize,
        open: &mut Open<'_>,
        (moves, means): (&dyn Fn(usize) -> bool, &mut [f32]),
        changed: &mut dyn FnMut(usize, f32),
    ) {
        let n = open.rows;
        for b in self.blocks_of(l) {
            let (rows, unit) = (self.blocks()[b].rows.clone(), &self.blocks()[b].unit);
            let means = &mut means[..rows.len()];
            for j in (0..open.columns).filter(|&j| moves(j)) {
                unit.mean(self.theta(b, &[]), &open.fields[j * n..][rows.clone()], means);
                let x = &mut open.x[j * n..][rows.clone()];
                let change = x.iter().zip(&*means).fold(0f32, |most, (x, m)| most.max((x - m).abs()));
                x.copy_from_slice(means);
                changed(j, change);
            }
        }
    }
}
