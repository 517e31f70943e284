//! Hot loops allocate nothing: once a slab has its memory, kernels that follow gradients take no more, whatever the number of steps. A
//! program of its own, for the allocator counts all threads.

use harmonium::rng::ChainRng;
use harmonium::samplers::{DiscreteLangevin, GibbsWithGradients, Hmc, Kernel, Langevin, Mala, UnderdampedLangevin};
use harmonium::units::{Gaussian, Softmax, Spin, TruncatedExponential};
use harmonium::{Annealed, Block, Energy, MatMut, MatRef, Score, States, Streams, Unit, Version};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// `E = U(x) - ¼ Σ xᵢxᵢ₊₁`, which allocates nothing.
struct Line {
    blocks: [Block; 2],
    version: Version,
}
impl Line {
    fn new(unit: Arc<dyn Unit>) -> Self {
        let block = |rows, group| Block { rows, unit: unit.clone(), group };
        Self { blocks: [block(0..12, 0), block(12..24, 1)], version: Version::fresh() }
    }
}
impl Energy for Line {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }
    fn version(&self) -> Version {
        self.version
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.column_iter()) {
            let x = x.data.into_slice();
            let own: f64 = self.blocks.iter().map(|b| b.unit.base_energy(&[], &x[b.rows.clone()])).sum();
            *o = own - x.windows(2).map(|w| 0.25 * f64::from(w[0] * w[1])).sum::<f64>();
        }
    }
}
impl Score for Line {
    fn grad_x(&self, x: MatRef<'_>, mut out: MatMut<'_>) {
        for (mut out, x) in out.column_iter_mut().zip(x.column_iter()) {
            let (out, x) = (out.as_mut_slice(), x.data.into_slice());
            for i in 0..x.len() {
                out[i] = -0.25 * (if i > 0 { x[i - 1] } else { 0.0 } + x.get(i + 1).unwrap_or(&0.0));
            }
            for b in &self.blocks {
                b.unit.base_grad_x(&[], &x[b.rows.clone()], &mut out[b.rows.clone()]);
            }
        }
    }
}

/// The same with a copy of the states at every gradient.
struct Wasteful(Line);
impl Energy for Wasteful {
    fn blocks(&self) -> &[Block] {
        self.0.blocks()
    }
    fn version(&self) -> Version {
        self.0.version()
    }
    fn energy(&self, x: MatRef<'_>, out: &mut [f64]) {
        self.0.energy(x, out);
    }
}
impl Score for Wasteful {
    fn grad_x(&self, x: MatRef<'_>, out: MatMut<'_>) {
        self.0.grad_x(x.clone_owned().as_view(), out);
    }
}

/// Allocations of an advance of every slab that has its memory: the fewest of ten, for the harness has a thread of its own, which now
/// and then allocates too.
fn allocations<M: Score>(model: &M, kernel: &dyn Kernel<M>) -> usize {
    let mut states = States::zeros(24, 100);
    states.x_mut().iter_mut().enumerate().for_each(|(k, x)| *x = if k % 3 == 0 { 1.0 } else { 0.0 });
    let mut frozen = harmonium::Mask::repeat(24, 100, false);
    frozen.column_mut(3).rows_mut(6, 6).fill(true);
    states.freeze(frozen).expect("a mask of the shape of the states");
    let mut streams: Vec<ChainRng> = (0..50).map(ChainRng::new).collect();
    let mut count = 0;
    for (columns, mut slab) in states.slabs() {
        let own = &mut streams[columns.start / 2..columns.end.div_ceil(2)];
        kernel.advance(model, &mut slab, &mut Streams(own));
        let mut once = || {
            let region = Region::new(MEMORY);
            kernel.advance(model, &mut slab, &mut Streams(own));
            let change = region.change();
            change.allocations + change.reallocations
        };
        count += (0..10).map(|_| once()).min().expect("ten advances");
    }
    count
}

/// One test: two at a time would count each other's. Energies that allocate are seen.
#[test]
fn an_advance_allocates_nothing() {
    assert!(allocations(&Wasteful(Line::new(Arc::new(Gaussian))), &Mala::new(0.2, 7)) >= 2 * 8);
    let real: [Arc<dyn Unit>; 2] = [Arc::new(Gaussian), Arc::new(TruncatedExponential)];
    for unit in real {
        let line = Line::new(unit.clone());
        let (base, beta) = (vec![0.1; 24], 0.5);
        let annealed = Annealed::new(&line, &base, beta);
        let (mala, hmc) = (Mala::new(0.2, 7), Hmc { trajectories: 3, ..Hmc::new(0.2, 4) });
        let (langevin, underdamped) = (Langevin::new(0.2, 7), UnderdampedLangevin::new(0.2, 1.0, 7));
        for kernel in [&mala as &dyn Kernel<Line>, &hmc, &langevin, &underdamped] {
            assert_eq!(allocations(&line, kernel), 0, "{unit:?}");
        }
        for kernel in [&mala as &dyn Kernel<Annealed<'_, Line>>, &hmc] {
            assert_eq!(allocations(&annealed, kernel), 0, "annealed {unit:?}");
        }
    }
    let discrete: [Arc<dyn Unit>; 2] = [Arc::new(Spin), Arc::new(Softmax { q: 3 })];
    for unit in discrete {
        let line = Line::new(unit.clone());
        let (gwg, dmala, dula) =
            (GibbsWithGradients::new(7), DiscreteLangevin::new(0.5, 7), DiscreteLangevin::unadjusted(0.5, 7));
        for kernel in [&gwg as &dyn Kernel<Line>, &dmala, &dula] {
            assert_eq!(allocations(&line, kernel), 0, "{unit:?}");
        }
    }
}
