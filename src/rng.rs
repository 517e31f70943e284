//! Random streams: one seed, split into independent streams, one for every two columns, so that the bits of a chain
//! depend neither on the number of threads nor on how the columns are cut into slabs.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021) in eight
//! interleaved lanes, which vectorise; every lane is seeded with 256 bits of its own from `rand_xoshiro`. Two of `n`
//! lanes that draw `L` numbers each overlap with probability below `n² L / 2²⁵⁵`. Not for cryptography.

use crate::{Error, Result, Resume, Saved};
use rand::{Rng, SeedableRng, TryRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::convert::Infallible;

/// Columns that share a stream; slabs are cut at multiples of it.
pub const GROUP: usize = 2;
/// Generators inside one [`ChainRng`].
pub(crate) const LANES: usize = 8;

/// The generator of everything that is sampled: eight xoshiro256++ lanes that step together.
///
/// ```
/// use harmonium::rng::ChainRng;
/// use rand::RngExt;
/// let (mut a, mut b) = (ChainRng::new(7), ChainRng::new(7));
/// assert_eq!(a.random::<u64>(), b.random::<u64>());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ChainRng {
    state: [[u64; LANES]; 4],
    ready: [u64; LANES],
    left: usize,
}

impl ChainRng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self::from_words(&mut Xoshiro256PlusPlus::seed_from_u64(seed))
    }
    fn from_words(source: &mut Xoshiro256PlusPlus) -> Self {
        let state = std::array::from_fn(|_| std::array::from_fn(|_| source.next_u64()));
        Self { state, ready: [0; LANES], left: 0 }
    }
    /// One step of all lanes: 512 random bits.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> [u64; LANES] {
        let mut out = [0; LANES];
        let [a, b, c, d] = &mut self.state;
        for k in 0..LANES {
            out[k] = a[k].wrapping_add(d[k]).rotate_left(23).wrapping_add(a[k]);
            let t = b[k] << 17;
            c[k] ^= a[k];
            d[k] ^= b[k];
            b[k] ^= c[k];
            a[k] ^= d[k];
            c[k] ^= t;
            d[k] = d[k].rotate_left(45);
        }
        out
    }
}

impl TryRng for ChainRng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        Ok((self.next_u64() >> 32) as u32)
    }
    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        if self.left == 0 {
            self.ready = self.step();
            self.left = LANES;
        }
        self.left -= 1;
        Ok(self.ready[self.left])
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A seed for one `purpose` out of the seed of a run, so that no two parts of a run share a stream.
///
/// ```
/// use harmonium::rng::derive;
/// assert_ne!(derive(1, "chains"), derive(1, "weights"));
/// ```
pub fn derive(seed: u64, purpose: &str) -> u64 {
    let named = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3));
    mix(seed ^ mix(named))
}

/// The generator of what `keys` name under `seed`: what is drawn for sample 7 of epoch 3 is then the same whichever thread
/// draws it, and whatever was drawn before.
///
/// Each key is folded in by a bijection of 64 bits, so under one prefix no two keys share a stream.
pub(crate) fn keyed(seed: u64, keys: &[u64]) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(keys.iter().fold(mix(seed), |state, key| mix(state ^ key)))
}

/// One output of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a bijection
/// that scatters neighbouring numbers.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The streams of a slab: column `j` draws from stream `j / GROUP`, the columns of a group in order.
#[derive(Debug)]
pub struct Streams<'a>(pub &'a mut [ChainRng]);

impl Streams<'_> {
    /// The generator of column `j` of the slab.
    pub fn column(&mut self, j: usize) -> &mut ChainRng {
        &mut self.0[j / GROUP]
    }
    /// The same streams for a shorter time.
    pub fn reborrow(&mut self) -> Streams<'_> {
        Streams(&mut *self.0)
    }
}

/// The streams of many columns, grown on demand: stream `k` is the same whatever the number of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSet {
    streams: Vec<ChainRng>,
    source: Xoshiro256PlusPlus,
}

impl StreamSet {
    /// Streams for `columns` columns.
    pub fn new(seed: u64, columns: usize) -> Self {
        let mut set = Self { streams: vec![], source: Xoshiro256PlusPlus::seed_from_u64(seed) };
        set.cover(columns);
        set
    }
    /// Makes sure that `columns` columns have a stream.
    pub fn cover(&mut self, columns: usize) {
        while self.streams.len() < columns.div_ceil(GROUP) {
            self.streams.push(ChainRng::from_words(&mut self.source));
        }
    }
    /// All streams, one for every group of columns.
    pub fn as_mut_slice(&mut self) -> &mut [ChainRng] {
        &mut self.streams
    }
}

/// Words of a saved stream: four states of the lanes, the words not yet handed out, and how many.
const SAVED_WORDS: usize = 5 * LANES + 1;

impl Resume for StreamSet {
    fn save(&self, to: &mut Saved) {
        let words = |r: &ChainRng| [r.state.concat(), r.ready.to_vec(), vec![r.left as u64]].concat();
        to.put_words("streams", self.streams.iter().flat_map(words).collect());
    }
    /// Continues the streams; those that were never drawn from follow from the seed that `self` was made with.
    fn load(&mut self, from: &Saved) -> Result<()> {
        let words = from.words("streams")?;
        if !words.len().is_multiple_of(SAVED_WORDS) {
            return Err(Error::Missing { name: "streams".into() });
        }
        self.cover(words.len() / SAVED_WORDS * GROUP);
        for (rng, w) in self.streams.iter_mut().zip(words.chunks(SAVED_WORDS)) {
            for (k, lane) in rng.state.iter_mut().flatten().enumerate() {
                *lane = w[k];
            }
            rng.ready.copy_from_slice(&w[4 * LANES..5 * LANES]);
            rng.left = (w[5 * LANES] as usize).min(LANES);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use std::collections::HashSet;

    #[test]
    fn every_lane_is_xoshiro256_plus_plus() {
        let mut rng = ChainRng::new(3);
        let mut words = Xoshiro256PlusPlus::seed_from_u64(3);
        let state: [[u64; LANES]; 4] = std::array::from_fn(|_| std::array::from_fn(|_| words.next_u64()));
        let mut lanes: Vec<Xoshiro256PlusPlus> = (0..LANES)
            .map(|k| {
                let bytes: Vec<u8> = state.iter().flat_map(|s| s[k].to_le_bytes()).collect();
                Xoshiro256PlusPlus::from_seed(bytes.try_into().unwrap())
            })
            .collect();
        for _ in 0..1000 {
            let got = rng.step();
            let expected: Vec<u64> = lanes.iter_mut().map(|l| l.next_u64()).collect();
            assert_eq!(got.as_slice(), expected);
        }
    }
    #[test]
    fn streams_do_not_depend_on_how_many_there_are() {
        let (mut few, mut many) = (StreamSet::new(5, 9), StreamSet::new(5, 900));
        assert_eq!(few.streams[1], many.streams[1]);
        few.cover(900);
        assert_eq!(few.as_mut_slice(), many.as_mut_slice());
    }
    #[test]
    fn streams_resume() {
        let mut set = StreamSet::new(5, 20);
        let draw = |s: &mut StreamSet| -> Vec<u64> { s.as_mut_slice().iter_mut().map(|r| r.random()).collect() };
        draw(&mut set);
        let mut saved = Saved::default();
        set.save(&mut saved);
        let mut other = StreamSet::new(5, 0);
        other.load(&saved).unwrap();
        set.cover(40);
        other.cover(40);
        // Growth after loading continues the source: `cover` replays it for the streams that were loaded.
        assert_eq!(draw(&mut set), draw(&mut other));
    }
    #[test]
    fn lanes_are_uniform_and_uncorrelated() {
        let (mut rng, n) = (ChainRng::new(11), 200_000);
        let (mut sum, mut cross) = ([0f64; LANES], [0f64; LANES]);
        for _ in 0..n {
            let u = rng.step().map(|w| (w >> 11) as f64 / (1u64 << 53) as f64 - 0.5);
            for k in 0..LANES {
                sum[k] += u[k];
                cross[k] += u[k] * u[(k + 1) % LANES];
            }
        }
        let (sd, sd_cross) = ((n as f64 / 12.0).sqrt(), (n as f64 / 144.0).sqrt());
        assert!(sum.iter().all(|s| s.abs() < 4.5 * sd), "{sum:?}");
        assert!(cross.iter().all(|c| c.abs() < 4.5 * sd_cross), "{cross:?}");
    }
    #[test]
    fn splitmix_gives_the_published_first_output() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn no_two_short_keys_share_a_stream() {
        let mut seen = HashSet::new();
        for seed in 0..8 {
            assert!(seen.insert(keyed(seed, &[]).next_u64()));
            for a in 0..8 {
                assert!(seen.insert(keyed(seed, &[a]).next_u64()));
                assert!((0..8).all(|b| seen.insert(keyed(seed, &[a, b]).next_u64())));
            }
        }
    }
}
