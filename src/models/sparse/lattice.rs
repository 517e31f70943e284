//! Lattices of any dimension, open or periodic: the graph, and fields without an index, for a neighbour is a step away.
//!
//! A state is the lattice row by row, the last side fastest. Where the last side is even (and all sides are, if periodic), the sites of a
//! colour are every second one, as on a checkerboard; what the colours are else, the colouring says.

use super::SparseBoltzmann;
use crate::linalg::{Kernel, Level};
use crate::units::Spin;
use crate::{Error, Result, Unit};
use std::sync::Arc;

/// What lies beyond the last site of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Nothing.
    Open,
    /// The first one.
    Periodic,
}

impl SparseBoltzmann {
    /// The Ising model without external field: spins on a lattice with these sides, `E = -J Σ sᵢsⱼ` over neighbours; the temperature is
    /// in `J`.
    ///
    /// # Errors
    /// Those of [`SparseBoltzmann::lattice`]; [`Error::Value`] if `coupling` is not finite.
    pub fn ising(sides: &[usize], boundary: Boundary, coupling: f32) -> Result<Self> {
        let mut model = Self::lattice(sides, boundary, Arc::new(Spin))?;
        model.set_uniform(coupling, 0.0)?;
        Ok(model)
    }
    /// Units of any kind on a lattice with these sides, the first the slowest, all parameters zero. The edges go side by side: first all
    /// along the first side, in the order of the sites they begin at, then all along the next.
    ///
    /// # Errors
    /// [`Error::Value`] if there is no side, one is empty, or one is shorter than three in a periodic lattice, where a site would have one
    /// neighbour twice; and those of [`SparseBoltzmann::with_units`].
    pub fn lattice(sides: &[usize], boundary: Boundary, unit: Arc<dyn Unit>) -> Result<Self> {
        let least = if boundary == Boundary::Periodic { 3 } else { 1 };
        if sides.is_empty() || sides.iter().any(|&side| side < least) {
            return Err(Error::value(
                "the sides of a lattice",
                format!("one or more, each at least {least}"),
                format!("{sides:?}"),
            ));
        }
        let n = sides.iter().try_fold(1usize, |n, &side| n.checked_mul(side)).filter(|n| *n < 1 << 31);
        let n = n.ok_or_else(|| Error::value("the sites of a lattice", "below 2³¹", format!("{sides:?}")))?;
        let stencil = Stencil::new(sides, boundary, n);
        let edges: Vec<(usize, usize)> = stencil.edges().map(|(_, from, to)| (from, to)).collect();
        if boundary == Boundary::Periodic && sides.iter().any(|side| side % 2 == 1) {
            return Self::with_units((n, unit), 0, &edges);
        }
        let colours: Vec<usize> = (0..n).map(|site| stencil.parity(site)).collect();
        let mut model = Self::from_parts((n, unit), 0, &edges, &colours);
        model.stencil = (model.width() == 1).then_some(stencil);
        Ok(model)
    }
}

/// A lattice of two colours.
#[derive(Clone, Debug)]
pub(super) struct Stencil {
    sides: Vec<usize>,
    boundary: Boundary,
    n: usize,
    couplings: Vec<f32>, // dimension by dimension, of every site with the next one; zero where there is none
    odd_rows: Vec<bool>, // of the last side: whether its first site is of colour 1
    sites: [Vec<usize>; 2], // of both colours
}

impl Stencil {
    fn new(sides: &[usize], boundary: Boundary, n: usize) -> Self {
        let mut new = Self {
            sides: sides.to_vec(),
            boundary,
            n,
            couplings: vec![0.0; n * sides.len()],
            odd_rows: vec![],
            sites: [vec![], vec![]],
        };
        let last = sides[sides.len() - 1];
        new.odd_rows = (0..n).step_by(last).map(|site| new.parity(site) == 1).collect();
        new.sites = [0, 1].map(|c| (0..n).filter(|&site| new.parity(site) == c).collect());
        new
    }
    /// Steps of the sides in memory, the slowest first.
    fn strides(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sides.len()).map(|d| self.sides[d + 1..].iter().product())
    }
    fn parity(&self, site: usize) -> usize {
        self.strides().zip(&self.sides).map(|(stride, side)| site / stride % side).sum::<usize>() % 2
    }
    /// Dimension, site and next site of every edge.
    fn edges(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let of = move |(d, stride): (usize, usize)| {
            let side = self.sides[d];
            let next = move |site: usize| match site / stride % side + 1 < side {
                true => Some(site + stride),
                false => (self.boundary == Boundary::Periodic).then(|| site - (side - 1) * stride),
            };
            (0..self.n).filter_map(move |site| Some((d, site, next(site)?)))
        };
        self.strides().enumerate().flat_map(of)
    }
    pub(super) fn sides(&self) -> (&[usize], Boundary) {
        (&self.sides, self.boundary)
    }
    /// Takes over the couplings, one an edge.
    pub(super) fn refresh(&mut self, couplings: &[f32]) {
        let places: Vec<usize> = self.edges().map(|(d, site, _)| d * self.n + site).collect();
        places.into_iter().zip(couplings).for_each(|(place, j)| self.couplings[place] = *j);
    }
    /// Whether the sites of a colour are every second one.
    pub(super) fn paired(&self) -> bool {
        self.sides[self.sides.len() - 1].is_multiple_of(2)
    }
    /// The fields of a colour, those of its first site first, in `out`; `all` is memory for as many as there are sites.
    pub(super) fn fields(&self, bias: &[f32], colour: usize, x: &[f32], (out, all): (&mut [f32], &mut [f32])) {
        all.copy_from_slice(bias);
        Level::best().run(Fields { stencil: self, x, out: &mut *all });
        if self.paired() {
            Level::best().run(Take { stencil: self, colour, from: all, out });
        } else {
            out.iter_mut().zip(&self.sites[colour]).for_each(|(o, &site)| *o = all[site]);
        }
    }
    /// Puts values of a colour where its sites are.
    pub(super) fn put(&self, colour: usize, values: &[f32], x: &mut [f32]) {
        Level::best().run(Put { stencil: self, colour, values, x });
    }
    fn last(&self) -> usize {
        self.sides[self.sides.len() - 1]
    }
}

/// `out += Σ J x` over neighbours, for all sites.
struct Fields<'a> {
    stencil: &'a Stencil,
    x: &'a [f32],
    out: &'a mut [f32],
}
impl Kernel for Fields<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Self { stencil, x, out } = self;
        let mut stride = stencil.n;
        for (couplings, &side) in stencil.couplings.chunks_exact(stencil.n).zip(&stencil.sides) {
            let block = stride;
            stride /= side;
            let parts = x.chunks_exact(block).zip(couplings.chunks_exact(block)).zip(out.chunks_exact_mut(block));
            for ((x, j), out) in parts {
                let inner = block - stride;
                add(&mut out[..inner], &j[..inner], &x[stride..]);
                add(&mut out[stride..], &j[..inner], &x[..inner]);
                if stencil.boundary == Boundary::Periodic {
                    add(&mut out[inner..], &j[inner..], &x[..stride]);
                    add(&mut out[..stride], &j[inner..], &x[inner..]);
                }
            }
        }
    }
}
#[inline(always)]
fn add(out: &mut [f32], j: &[f32], x: &[f32]) {
    let n = out.len();
    let (j, x) = (&j[..n], &x[..n]);
    for k in 0..n {
        out[k] += j[k] * x[k];
    }
}

/// Every second value of each row of the lattice.
struct Take<'a> {
    stencil: &'a Stencil,
    colour: usize,
    from: &'a [f32],
    out: &'a mut [f32],
}
impl Kernel for Take<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let last = self.stencil.last();
        let rows = self.from.chunks_exact(last).zip(self.out.chunks_exact_mut(last / 2));
        for ((from, out), odd) in rows.zip(&self.stencil.odd_rows) {
            if usize::from(*odd) == self.colour {
                out.iter_mut().zip(from.chunks_exact(2)).for_each(|(o, pair)| *o = pair[0]);
            } else {
                out.iter_mut().zip(from.chunks_exact(2)).for_each(|(o, pair)| *o = pair[1]);
            }
        }
    }
}

/// Values into every second place of each row.
struct Put<'a> {
    stencil: &'a Stencil,
    colour: usize,
    values: &'a [f32],
    x: &'a mut [f32],
}
impl Kernel for Put<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let last = self.stencil.last();
        let rows = self.x.chunks_exact_mut(last).zip(self.values.chunks_exact(last / 2));
        for ((x, values), odd) in rows.zip(&self.stencil.odd_rows) {
            if usize::from(*odd) == self.colour {
                x.chunks_exact_mut(2).zip(values).for_each(|(pair, v)| *pair.first_mut().unwrap_or(&mut 0.0) = *v);
            } else {
                x.chunks_exact_mut(2).zip(values).for_each(|(pair, v)| pair[1] = *v);
            }
        }
    }
}
