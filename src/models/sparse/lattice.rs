//! Lattices of any dimension, open or periodic: the graph, and sweeps without an index, for a neighbour is a step away.
//!
//! A state is the lattice row by row, the last side fastest. Where the last side is even (and all sides are, if periodic), the sites of a
//! colour are every second one, as on a checkerboard. A sweep parts them into two arrays, in which the neighbours of a row of one colour
//! are rows of the other: fields are sums of rows, at vector speed. Other lattices are swept as any graph is.

use super::{SparseBoltzmann, check_unit};
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
    /// [`Error::Value`] if there is no side, one is shorter than two, or shorter than three in a periodic lattice, where a site would have
    /// one neighbour twice; and those of [`SparseBoltzmann::with_units`].
    pub fn lattice(sides: &[usize], boundary: Boundary, unit: Arc<dyn Unit>) -> Result<Self> {
        check_unit(&*unit)?;
        let least = if boundary == Boundary::Periodic { 3 } else { 2 };
        if sides.is_empty() || sides.iter().any(|&side| side < least) {
            return Err(Error::value(
                "the sides of a lattice",
                format!("one or more, each at least {least}"),
                format!("{sides:?}"),
            ));
        }
        let n = sides.iter().try_fold(1usize, |n, &side| n.checked_mul(side)).filter(|n| *n < 1 << 31);
        let n = n.ok_or_else(|| Error::value("the sites of a lattice", "below 2³¹", format!("{sides:?}")))?;
        let shape = Shape { sides: sides.to_vec(), periodic: boundary == Boundary::Periodic };
        let edges: Vec<(usize, usize)> = shape.edges().map(|(_, from, to)| (from, to)).collect();
        let mut model = if shape.periodic && sides.iter().any(|side| side % 2 == 1) {
            Self::with_units((n, unit), 0, &edges)?
        } else {
            let colours: Vec<usize> = (0..n).map(|site| shape.parity(site)).collect();
            let mut model = Self::from_parts((n, unit), 0, &edges, &colours);
            let paired = sides[sides.len() - 1].is_multiple_of(2);
            model.checkerboard = (model.width() == 1 && paired).then(|| Checkerboard::new(shape));
            model
        };
        model.lattice = Some((sides.to_vec(), boundary));
        Ok(model)
    }
}

/// Where sites are, and which are neighbours.
#[derive(Clone, Debug)]
struct Shape {
    sides: Vec<usize>,
    periodic: bool,
}

impl Shape {
    fn n(&self) -> usize {
        self.sides.iter().product()
    }
    /// Steps of the sides in memory, the slowest first.
    fn strides(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sides.len()).map(|d| self.sides[d + 1..].iter().product())
    }
    /// The colour of a site on a checkerboard.
    fn parity(&self, site: usize) -> usize {
        self.strides().zip(&self.sides).map(|(stride, side)| site / stride % side).sum::<usize>() % 2
    }
    /// Dimension, site and next site of every edge.
    fn edges(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let of = move |(d, stride): (usize, usize)| {
            let side = self.sides[d];
            let next = move |site: usize| match site / stride % side + 1 < side {
                true => Some(site + stride),
                false => self.periodic.then(|| site - (side - 1) * stride),
            };
            (0..self.n()).filter_map(move |site| Some((d, site, next(site)?)))
        };
        self.strides().enumerate().flat_map(of)
    }
}

/// A lattice whose sites are of two colours in turn, and what its sweep needs to know, colour by colour.
#[derive(Clone, Debug)]
pub(super) struct Checkerboard {
    shape: Shape,
    sites: [Vec<usize>; 2],
    /// Whether the first site of each row is of colour 1.
    odd: Vec<bool>,
    /// Rows before and after each row along every side but the last; its own number where there is none.
    beside: Vec<[usize; 2]>,
    bias: [Vec<f32>; 2],
    /// Side by side, of every site of a colour, with the one before and with the one after; zero where there is none.
    couplings: [Vec<[Vec<f32>; 2]>; 2],
    /// The coupling, where all are equal and every site has all neighbours.
    uniform: Option<f32>,
}

impl Checkerboard {
    fn new(shape: Shape) -> Self {
        let (n, last) = (shape.n(), shape.sides[shape.sides.len() - 1]);
        let sites = [0, 1].map(|c| (0..n).filter(|&site| shape.parity(site) == c).collect::<Vec<usize>>());
        let odd = (0..n).step_by(last).map(|site| shape.parity(site) == 1).collect();
        let mut beside = vec![];
        for site in (0..n).step_by(last) {
            for (stride, &side) in shape.strides().zip(&shape.sides).take(shape.sides.len() - 1) {
                let at = site / stride % side;
                let to = |step: usize| {
                    let inside = if step == 1 { at + 1 < side } else { at > 0 };
                    let other = site - at * stride + (at + step) % side * stride;
                    (if inside || shape.periodic { other } else { site }) / last
                };
                beside.push([to(side - 1), to(1)]);
            }
        }
        let none = || shape.sides.iter().map(|_| [vec![0.0; n / 2], vec![0.0; n / 2]]).collect::<Vec<_>>();
        let couplings = [none(), none()];
        let bias = [vec![0.0; n / 2], vec![0.0; n / 2]];
        Self { shape, sites, odd, beside, bias, couplings, uniform: None }
    }
    /// Takes over couplings, one an edge, and biases.
    pub(super) fn refresh(&mut self, couplings: &[f32], bias: &[f32]) {
        for ((d, from, to), j) in self.shape.edges().zip(couplings) {
            // A site stands at half its number among those of its colour.
            let colour = self.shape.parity(from);
            self.couplings[colour][d][1][from / 2] = *j;
            self.couplings[1 - colour][d][0][to / 2] = *j;
        }
        for (bias_of, sites) in self.bias.iter_mut().zip(&self.sites) {
            bias_of.iter_mut().zip(sites).for_each(|(b, &site)| *b = bias[site]);
        }
        let equal = couplings.first().filter(|first| self.shape.periodic && couplings.iter().all(|j| j == *first));
        self.uniform = equal.copied();
    }
    /// The sites of a colour, in their order.
    pub(super) fn sites(&self, colour: usize) -> &[usize] {
        &self.sites[colour]
    }
    /// Parts a state into both colours.
    pub(super) fn part(&self, x: &[f32], colours: [&mut [f32]; 2]) {
        Level::best().run(Part { board: self, x, colours });
    }
    /// Puts both colours together again.
    pub(super) fn join(&self, colours: [&[f32]; 2], x: &mut [f32]) {
        Level::best().run(Join { board: self, colours, x });
    }
    /// The fields of a colour, given the other.
    pub(super) fn fields(&self, colour: usize, other: &[f32], out: &mut [f32]) {
        Level::best().run(Fields { board: self, colour, other, out });
    }
    /// Half the length of a row.
    fn half(&self) -> usize {
        self.shape.sides[self.shape.sides.len() - 1] / 2
    }
}

/// `out = b + Σ J x` over neighbours.
struct Fields<'a> {
    board: &'a Checkerboard,
    colour: usize,
    other: &'a [f32],
    out: &'a mut [f32],
}
impl Kernel for Fields<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Self { board, colour, other, out } = self;
        let (m, along) = (board.half(), board.shape.sides.len() - 1);
        let bias = &board.bias[colour];
        for (r, out) in out.chunks_exact_mut(m).enumerate() {
            let own = r * m..(r + 1) * m;
            let same = &other[own.clone()];
            // The first site of the row is of this colour: the one before it is at the other end.
            let first = board.odd[r] == (colour == 1);
            let sides = board.beside[r * along..(r + 1) * along].iter();
            let rows = sides.map(|pair| pair.map(|b| &other[b * m..(b + 1) * m]));
            if let Some(j) = board.uniform {
                within(first, same, out);
                rows.for_each(|[before, after]| add_both(out, before, after));
                scale(out, j, &bias[own]);
            } else {
                out.copy_from_slice(&bias[own.clone()]);
                let coupled = &board.couplings[colour];
                for ([before, after], [j_before, j_after]) in rows.zip(coupled) {
                    add(out, &j_before[own.clone()], before);
                    add(out, &j_after[own.clone()], after);
                }
                let [j_before, j_after] = &coupled[along];
                let (j_near, j_far) = if first { (j_after, j_before) } else { (j_before, j_after) };
                add(out, &j_near[own.clone()], same);
                let far = &j_far[own];
                if first {
                    add(&mut out[1..], &far[1..], &same[..m - 1]);
                    out[0] += far[0] * same[m - 1];
                } else {
                    add(&mut out[..m - 1], &far[..m - 1], &same[1..]);
                    out[m - 1] += far[m - 1] * same[0];
                }
            }
        }
    }
}
/// `out = ` both neighbours within the row.
#[inline(always)]
fn within(first: bool, same: &[f32], out: &mut [f32]) {
    let m = out.len();
    if first {
        out[0] = same[0] + same[m - 1];
        for k in 1..m {
            out[k] = same[k] + same[k - 1];
        }
    } else {
        out[m - 1] = same[m - 1] + same[0];
        for k in 0..m - 1 {
            out[k] = same[k] + same[k + 1];
        }
    }
}
#[inline(always)]
fn add_both(out: &mut [f32], a: &[f32], b: &[f32]) {
    let n = out.len();
    let (a, b) = (&a[..n], &b[..n]);
    for k in 0..n {
        out[k] += a[k] + b[k];
    }
}
#[inline(always)]
fn scale(out: &mut [f32], j: f32, bias: &[f32]) {
    out.iter_mut().zip(bias).for_each(|(o, b)| *o = b + j * *o);
}
#[inline(always)]
fn add(out: &mut [f32], j: &[f32], x: &[f32]) {
    let n = out.len();
    let (j, x) = (&j[..n], &x[..n]);
    for k in 0..n {
        out[k] += j[k] * x[k];
    }
}

/// Every second value of each row.
struct Part<'a> {
    board: &'a Checkerboard,
    x: &'a [f32],
    colours: [&'a mut [f32]; 2],
}
impl Kernel for Part<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (m, [zero, one]) = (self.board.half(), self.colours);
        let rows = self.x.chunks_exact(2 * m).zip(zero.chunks_exact_mut(m).zip(one.chunks_exact_mut(m)));
        for ((x, (zero, one)), odd) in rows.zip(&self.board.odd) {
            let (first, second) = if *odd { (one, zero) } else { (zero, one) };
            for ((pair, a), b) in x.chunks_exact(2).zip(first).zip(second) {
                (*a, *b) = (pair[0], pair[1]);
            }
        }
    }
}

/// And back.
struct Join<'a> {
    board: &'a Checkerboard,
    colours: [&'a [f32]; 2],
    x: &'a mut [f32],
}
impl Kernel for Join<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (m, [zero, one]) = (self.board.half(), self.colours);
        let rows = self.x.chunks_exact_mut(2 * m).zip(zero.chunks_exact(m).zip(one.chunks_exact(m)));
        for ((x, (zero, one)), odd) in rows.zip(&self.board.odd) {
            let (first, second) = if *odd { (one, zero) } else { (zero, one) };
            for ((pair, a), b) in x.chunks_exact_mut(2).zip(first).zip(second) {
                (pair[0], pair[1]) = (*a, *b);
            }
        }
    }
}
