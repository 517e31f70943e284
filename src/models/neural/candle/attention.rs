//! Attention of positions to those before them, as one operation: rotations, products, shares, and their derivatives.
//!
//! candle composes it of two dozen operations, each a pass over all pairs of positions, and shares the larger ones among threads of its own.
//! Here a head of a sample is four products, and nothing is computed twice: what the way back needs is kept from the way there.
//!
//! ## References
//! - Vaswani and others, "Attention is all you need", 2017.
//! - Su, Lu, Pan, Wen and Liu, "RoFormer: enhanced transformer with rotary position embedding", 2021.

use super::operations::values;
use crate::linalg::{gemm, gemm_nt, gemm_tn, softmax};
use crate::{Mat, MatMut, MatRef};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::{Arc, OnceLock};

/// What each position takes from those up to it: `all` samples × positions × (queries, keys, values, each as wide as all heads); samples ×
/// positions × width. Shares are `softmax(qᵀk / √d)` of queries and keys that `waves` turned.
pub(crate) fn attend(all: &Tensor, waves: &Arc<Waves>, heads: usize) -> Result<Tensor> {
    let op = Attend { waves: waves.clone(), heads, kept: OnceLock::new() };
    all.contiguous()?.apply_op1(op)
}

/// Positions as rotations: pair `k` of a head, its numbers `k` and `k + d/2`, turns by `p · longest^(-2k/d)` at position `p`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waves {
    half: usize,
    cosines: Vec<f32>, // half of a head a position
    sines: Vec<f32>,
}
impl Waves {
    /// For heads of `2 · half` numbers, and so many positions.
    pub(crate) fn new(half: usize, positions: usize, longest: f64) -> Self {
        let angle = |p: usize, k: usize| p as f64 * longest.powf(-(k as f64) / half as f64);
        let of = |f: fn(f64) -> f64| {
            (0..positions).flat_map(|p| (0..half).map(move |k| f(angle(p, k)) as f32)).collect::<Vec<f32>>()
        };
        Self { half, cosines: of(f64::cos), sines: of(f64::sin) }
    }
    fn positions(&self) -> usize {
        self.cosines.len() / self.half.max(1)
    }
    /// `to = scale · turned(from)`, a column a position; backwards with `way` -1.
    fn turn(&self, from: MatRef<'_>, (scale, way): (f32, f32), mut to: MatMut<'_>) {
        let half = self.half;
        let angles = self.cosines.chunks_exact(half).zip(self.sines.chunks_exact(half));
        for ((from, mut to), (cosines, sines)) in from.column_iter().zip(to.column_iter_mut()).zip(angles) {
            for k in 0..half {
                let (a, b, c, s) = (from[k], from[half + k], scale * cosines[k], scale * way * sines[k]);
                to[k] = a * c - b * s;
                to[half + k] = b * c + a * s;
            }
        }
    }
}

struct Attend {
    waves: Arc<Waves>,
    heads: usize,
    kept: OnceLock<Vec<Kept>>, // of every head of every sample, if there is a way back
}
/// What a head of a sample computed: turned queries, over √d, and keys; shares, keys × queries.
struct Kept {
    queries: Mat,
    keys: Mat,
    shares: Mat,
}
/// Sizes of one attention.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    length: usize,
    width: usize,
    head: usize,
}
impl Sizes {
    /// Columns of a sample in `x`, positions of so many numbers.
    fn sample<'a>(&self, x: &'a [f32], rows: usize, j: usize) -> MatRef<'a> {
        MatRef::from_slice(&x[j * rows * self.length..(j + 1) * rows * self.length], rows, self.length)
    }
    fn sample_mut<'a>(&self, x: &'a mut [f32], rows: usize, j: usize) -> MatMut<'a> {
        MatMut::from_slice(&mut x[j * rows * self.length..(j + 1) * rows * self.length], rows, self.length)
    }
}
impl Attend {
    fn sizes(&self, all: &[usize]) -> Result<Sizes> {
        let &[n, length, three] = all else { bail!("attention of numbers of shape {all:?}, not three axes") };
        let (width, head) = (three / 3, 2 * self.waves.half);
        if three != 3 * width || self.heads * head != width {
            bail!("attention of {} heads of {head} numbers, of {three} numbers a position", self.heads);
        }
        if length > self.waves.positions() {
            bail!("{length} positions of at most {}", self.waves.positions());
        }
        Ok(Sizes { n, length, width, head })
    }
    /// What a head sees of a sample.
    fn look(&self, sample: MatRef<'_>, s: Sizes, h: usize) -> Kept {
        let mut kept = Kept {
            queries: Mat::zeros(s.head, s.length),
            keys: Mat::zeros(s.head, s.length),
            shares: Mat::zeros(s.length, s.length),
        };
        let scale = 1.0 / (s.head as f32).sqrt();
        self.waves.turn(sample.rows(h * s.head, s.head), (scale, 1.0), kept.queries.as_view_mut());
        self.waves.turn(sample.rows(s.width + h * s.head, s.head), (1.0, 1.0), kept.keys.as_view_mut());
        gemm_tn(1.0, kept.keys.as_view(), kept.queries.as_view(), 0.0, kept.shares.as_view_mut());
        for (j, column) in kept.shares.as_mut_slice().chunks_exact_mut(s.length).enumerate() {
            softmax(1.0, &mut column[..=j]);
            column[j + 1..].fill(0.0);
        }
        kept
    }
    /// Derivatives by what a head sees of a sample, from those by what it gives.
    fn back(&self, (sample, kept): (MatRef<'_>, &Kept), slope: MatRef<'_>, s: Sizes, h: usize, by: &mut MatMut<'_>) {
        let [queries, keys, values] = [0, 1, 2].map(|k| k * s.width + h * s.head);
        gemm_nt(1.0, slope, kept.shares.as_view(), 0.0, by.rows_mut(values, s.head));
        let mut by_shares = Mat::zeros(s.length, s.length);
        gemm_tn(1.0, sample.rows(values, s.head), slope, 0.0, by_shares.as_view_mut());
        let columns = by_shares.as_mut_slice().chunks_exact_mut(s.length);
        for ((j, by), shares) in columns.enumerate().zip(kept.shares.as_slice().chunks_exact(s.length)) {
            let mean: f32 = by[..=j].iter().zip(shares).map(|(b, p)| b * p).sum();
            by.iter_mut().zip(shares).for_each(|(b, p)| *b = p * (*b - mean));
        }
        let mut turned = Mat::zeros(s.head, s.length);
        gemm(1.0, kept.keys.as_view(), by_shares.as_view(), 0.0, turned.as_view_mut());
        let scale = 1.0 / (s.head as f32).sqrt();
        self.waves.turn(turned.as_view(), (scale, -1.0), by.rows_mut(queries, s.head));
        gemm_nt(1.0, kept.queries.as_view(), by_shares.as_view(), 0.0, turned.as_view_mut());
        self.waves.turn(turned.as_view(), (1.0, -1.0), by.rows_mut(keys, s.head));
    }
}
impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }
    fn cpu_fwd(&self, all: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (s, all) = (self.sizes(layout.dims())?, values(all, layout)?);
        let (mut out, mut seen) = (vec![0.0; s.n * s.length * s.width], Vec::with_capacity(s.n * self.heads));
        for j in 0..s.n {
            let (sample, mut out) = (s.sample(all, 3 * s.width, j), s.sample_mut(&mut out, s.width, j));
            for h in 0..self.heads {
                let kept = self.look(sample, s, h);
                let values = sample.rows(2 * s.width + h * s.head, s.head);
                gemm(1.0, values, kept.shares.as_view(), 0.0, out.rows_mut(h * s.head, s.head));
                seen.push(kept);
            }
        }
        _ = self.kept.set(seen);
        Ok((CpuStorage::F32(out), (s.n, s.length, s.width).into()))
    }
    fn bwd(&self, all: &Tensor, _: &Tensor, slope: &Tensor) -> Result<Option<Tensor>> {
        let (s, slope) = (self.sizes(all.dims())?, slope.contiguous()?);
        let Some(kept) = self.kept.get() else { bail!("the way back of attention, before the way there") };
        slope.apply_op2_no_bwd(all, &Back { op: self, kept, s }).map(Some)
    }
}
struct Back<'a> {
    op: &'a Attend,
    kept: &'a [Kept],
    s: Sizes,
}
impl candle_core::CustomOp2 for Back<'_> {
    fn name(&self) -> &'static str {
        "attend-back"
    }
    fn cpu_fwd(&self, slope: &CpuStorage, ls: &Layout, all: &CpuStorage, la: &Layout) -> Result<(CpuStorage, Shape)> {
        let (s, slope, all) = (self.s, values(slope, ls)?, values(all, la)?);
        let mut by = vec![0.0; all.len()];
        for j in 0..s.n {
            let (sample, slope) = (s.sample(all, 3 * s.width, j), s.sample(slope, s.width, j));
            let mut by = s.sample_mut(&mut by, 3 * s.width, j);
            for h in 0..self.op.heads {
                let seen = (sample, &self.kept[j * self.op.heads + h]);
                self.op.back(seen, slope.rows(h * s.head, s.head), s, h, &mut by);
            }
        }
        Ok((CpuStorage::F32(by), la.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::operations::tests::{agree, random, slopes};
    use super::*;
    use candle_core::{D, Device, Var};
    use candle_nn::{ops, rotary_emb::rope_slow};
    use std::hint::black_box;
    use std::time::Instant;

    /// The same, of candle's operations.
    fn plain(all: &Tensor, waves: &Waves, heads: usize) -> Result<Tensor> {
        let (n, length, three) = all.dims3()?;
        let (width, half) = (three / 3, waves.half);
        let table = |of: &[f32]| Tensor::from_slice(&of[..length * half], (length, half), &Device::Cpu);
        let (cosines, sines) = (table(&waves.cosines)?, table(&waves.sines)?);
        let all = all.reshape((n, length, 3, heads, width / heads))?;
        let part = |k: usize| all.narrow(2, k, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let turn = |x: Tensor| rope_slow(&x, &cosines, &sines);
        let (queries, keys, values) = (turn(part(0)?)?, turn(part(1)?)?, part(2)?);
        let alike = (queries.matmul(&keys.transpose(2, 3)?.contiguous()?)? / ((2 * half) as f64).sqrt())?;
        let sees = |k: usize| if k % length > k / length { f32::NEG_INFINITY } else { 0.0 };
        let mask = Tensor::from_vec((0..length * length).map(sees).collect(), (length, length), &Device::Cpu)?;
        let shares = ops::softmax(&alike.broadcast_add(&mask)?, D::Minus1)?;
        shares.matmul(&values)?.transpose(1, 2)?.reshape((n, length, width))
    }
    #[test]
    fn as_candle_composes_it() {
        for (n, length, heads, half) in [(1, 1, 1, 1), (2, 7, 3, 2), (3, 33, 4, 8)] {
            let waves = Arc::new(Waves::new(half, 40, 100.0));
            let all = Var::from_tensor(&random((n, length, 6 * heads * half), 1)).unwrap();
            let weights = random((n, length, 2 * heads * half), 2);
            let ways = [attend(&all, &waves, heads).unwrap(), plain(&all, &waves, heads).unwrap()];
            let [a, b] = ways.map(|y| (slopes(&(&y * &weights).unwrap(), &all), y));
            agree(&a.1, &b.1, 1e-5);
            agree(&a.0, &b.0, 2e-5);
        }
    }
    #[test]
    fn refuses_what_does_not_fit() {
        let waves = Arc::new(Waves::new(2, 5, 100.0));
        for shape in [(1, 6, 12), (1, 5, 13), (1, 5, 24)] {
            assert!(attend(&random(shape, 1), &waves, 1).is_err());
        }
        assert!(attend(&random((1, 5, 12), 1).flatten_all().unwrap(), &waves, 1).is_err());
    }
    /// Not a law but a number: `cargo test --release --features candle --lib -- --nocapture --ignored microseconds_of_attention`.
    #[test]
    #[ignore = "a measurement"]
    fn microseconds_of_attention() {
        let (waves, rounds) = (Arc::new(Waves::new(16, 120, 10_000.0)), 300);
        let all = Var::from_tensor(&random((1, 120, 3 * 128), 1)).unwrap();
        for _ in 0..3 {
            let time = |f: &dyn Fn() -> Tensor| {
                let start = Instant::now();
                (0..rounds).for_each(|_| drop(black_box(slopes(&f(), &all))));
                start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
            };
            println!("one operation: {:.0} µs", time(&|| attend(&all, &waves, 4).unwrap()));
            println!("of candle's: {:.0} µs", time(&|| plain(&all, &waves, 4).unwrap()));
        }
    }
}
