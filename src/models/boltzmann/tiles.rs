//! Sequential Gibbs at the speed of products: the units of a layer are taken a tile at a time. One product makes the fields of a tile for
//! all columns of a slab; inside it, each unit in turn is drawn, and the fields of those after it are corrected where it changed.
//!
//! The order of the units is that of the plain sweep, so this is the same Markov chain, which spends its numbers in another order.
//! Means (of mean field) and units of more values than two are drawn column by column, others for all columns at once.

use super::{Boltzmann, HIDDEN, LATERAL, Run};
use crate::linalg::{Level, Tile, TwoValues, axpy};
use crate::states::Open;
use crate::sweep::{Choice, Column};
use crate::{MatMut, MatRef, Response, Slab};
use std::ops::Range;

/// Rows of a tile (measured; see DESIGN.md).
const TILE: usize = 32;

impl Boltzmann {
    /// All units of a layer, in order or backwards.
    pub(super) fn sweep_layer(&self, layer: usize, slab: &mut Slab<'_>, response: &mut Response<'_>) {
        let l = &self.layers[layer];
        let backward = response.is_backward();
        if !l.lateral {
            l.blocks.clone().for_each(|b| slab.respond(self, b, response));
            return;
        }
        let tiles = l.runs.iter().flat_map(|run| {
            let step = (TILE / run.width).max(1) * run.width;
            let tile = move |start: usize| start..(start + step).min(run.rows.end);
            run.rows.clone().step_by(step).map(move |start| (run, tile(start)))
        });
        let mut tiles: Vec<(&Run, Range<usize>)> = tiles.collect();
        if backward {
            tiles.reverse();
        }
        let mut open = slab.open();
        for (run, rows) in tiles {
            self.tile(layer, run, rows, &mut open, response);
        }
    }
    fn tile(&self, layer: usize, run: &Run, rows: Range<usize>, open: &mut Open<'_>, response: &mut Response<'_>) {
        self.fields_of_tile(layer, rows.clone(), open);
        match run.values {
            Some(values) if response.choice() != Choice::None => {
                self.all_columns((layer, values), rows, open, response);
            }
            _ => self.by_columns(layer, run, rows, open, response),
        }
    }
    /// The fields of some units, with what the tile itself contributes at its present values.
    fn fields_of_tile(&self, layer: usize, rows: Range<usize>, open: &mut Open<'_>) {
        let x = MatRef::from_slice(open.x, open.rows, open.columns);
        let mut fields = MatMut::from_slice(open.fields, open.rows, open.columns);
        let mut out = fields.rows_range_mut(rows.clone());
        let (_, units) = self.place(&rows);
        self.field_from_other(layer, units.clone(), x, out.as_view_mut());
        self.working[LATERAL[layer]].plain().add_to(units, self.of(layer, &x), out);
    }
    /// Each unit in turn for all columns.
    fn all_columns(
        &self,
        (layer, values): (usize, TwoValues),
        rows: Range<usize>,
        open: &mut Open<'_>,
        response: &mut Response<'_>,
    ) {
        let (n, stride) = (rows.len(), Tile::stride(open.columns));
        let size = n * stride;
        open.scratch.resize(open.scratch.len().max(4 * size + TILE), 0.0);
        let (fields, rest) = open.scratch.split_at_mut(size);
        let (x, rest) = rest.split_at_mut(size);
        let (uniforms, rest) = rest.split_at_mut(size);
        let (frozen, own) = rest.split_at_mut(size);
        let own = &mut own[..n];
        let sampled = response.choice() == Choice::Drawn;
        for j in 0..open.columns {
            let column = j * open.rows + rows.start..j * open.rows + rows.end;
            if sampled {
                response.uniforms(j, own);
            }
            let frozen_here = open.frozen.map(|f| &f[column.clone()]);
            let (of_fields, of_x) = (&open.fields[column.clone()], &open.x[column]);
            for k in 0..n {
                let at = k * stride + j;
                (fields[at], x[at], uniforms[at]) = (of_fields[k], of_x[k], own[k]);
                if let Some(frozen_here) = frozen_here {
                    frozen[at] = f32::from(u8::from(frozen_here[k]));
                }
            }
        }
        // Columns that are none: whatever was left may be no number.
        for k in 0..n {
            let none = k * stride + open.columns..(k + 1) * stride;
            fields[none.clone()].fill(0.0);
            x[none.clone()].fill(0.0);
            uniforms[none].fill(0.5);
        }
        let (_, units) = self.place(&rows);
        let lateral = self.params.mat(LATERAL[layer]);
        Level::best().run(Tile {
            w: lateral.view((units.start, units.start), (n, n)),
            values,
            fields,
            x,
            uniforms: if sampled { uniforms } else { &[] },
            frozen: if open.frozen.is_some() { frozen } else { &[] },
            tempered: response.temperature().map(|(beta, base)| (beta, &base[rows.clone()])),
            backward: response.is_backward(),
        });
        for j in 0..open.columns {
            let to = &mut open.x[j * open.rows + rows.start..][..n];
            to.iter_mut().enumerate().for_each(|(k, to)| *to = x[k * stride + j]);
        }
    }
    /// Each column in turn, unit by unit.
    fn by_columns(
        &self,
        layer: usize,
        run: &Run,
        rows: Range<usize>,
        open: &mut Open<'_>,
        response: &mut Response<'_>,
    ) {
        let lateral = self.params.mat(LATERAL[layer]);
        let first = self.layers[layer].rows.start;
        let units = rows.len() / run.width;
        for j in 0..open.columns {
            for k in 0..units {
                let k = if response.is_backward() { units - 1 - k } else { k };
                let start = rows.start + k * run.width;
                let own = start..start + run.width;
                let block = &self.blocks[run.first_block + (start - run.rows.start) / run.width];
                let at = j * open.rows;
                // Values before, in the place of means, which nobody knows now.
                open.means[at..][own.clone()].copy_from_slice(&open.x[at..][own.clone()]);
                let column = Column {
                    j,
                    theta: &[],
                    field: &open.fields[at..][own.clone()],
                    x: &mut open.x[at..][own.clone()],
                    frozen: open.frozen.map(|f| &f[at..][own.clone()]),
                };
                response.apply(block, column, open.scratch);
                for i in own.clone() {
                    let change = open.x[at + i] - open.means[at + i];
                    if change != 0.0 {
                        let w = &lateral.column(i - first).data.into_slice()[rows.start - first..rows.end - first];
                        axpy(change, w, &mut open.fields[at..][rows.clone()]);
                    }
                }
            }
        }
    }
    /// Mean field of hidden units that are coupled to each other, given the visible ones, from zeros: each in turn becomes its mean given
    /// the rest, which raises the bound `⟨-E⟩_q + H(q)`, until no mean of a sample changes by more than the tolerance.
    pub(super) fn mean_field(&self, slab: &mut Slab<'_>) {
        let rows = self.layers[HIDDEN].rows.clone();
        let mut settled = vec![false; slab.ncols()];
        slab.x_mut().rows_range_mut(rows.clone()).fill(0.0);
        for _ in 0..self.inference.passes.max(1) {
            let before = slab.x().rows_range(rows.clone()).clone_owned();
            self.sweep_layer(HIDDEN, slab, &mut Response::mean());
            let mut x = slab.x_mut();
            for ((mut now, before), settled) in
                x.rows_range_mut(rows.clone()).column_iter_mut().zip(before.column_iter()).zip(&mut settled)
            {
                if *settled {
                    now.copy_from(&before); // no sample depends on others
                }
                // Not a number is not within any tolerance.
                *settled = now.iter().zip(&before).all(|(a, b)| (a - b).abs() <= self.inference.tolerance);
            }
            if settled.iter().all(|s| *s) {
                break;
            }
        }
        // The fields at those means, and the means again, as others ask for them.
        let mut open = slab.open();
        self.fields_of_tile(HIDDEN, rows, &mut open);
        for b in self.layers[HIDDEN].blocks.clone() {
            slab.vouch(self, b);
            slab.mean(self, b);
        }
        slab.mark_inferred(self);
    }
}
