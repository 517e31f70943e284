//! Mutations of bytes and numbers that every format shares.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

pub(crate) type Rng = Xoshiro256PlusPlus;

/// One of several.
pub(crate) fn one<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())].clone()
}
/// True once in `n` times.
pub(crate) fn rarely(rng: &mut Rng, n: u32) -> bool {
    rng.random_range(0..n) == 0
}
/// A size near a true one, or one of those that break arithmetic.
pub(crate) fn size(rng: &mut Rng, truth: u64) -> u64 {
    match rng.random_range(0..8) {
        0..=3 => rng.random_range(0..2 * truth + 3),
        4 => truth,
        5 => one(rng, &[0, 1, 255, 256, 65_536, 1 << 31, (1 << 32) - 1]),
        6 => one(rng, &[u64::MAX, 1 << 63, (1 << 63) - 1, u64::MAX / 3, 1 << 61]),
        _ => 1 << rng.random_range(0..64),
    }
}
/// A single-precision number that is more or less of one.
pub(crate) fn float(rng: &mut Rng) -> f32 {
    match rng.random_range(0..4) {
        0 => rng.random::<f32>() - 0.5,
        1 => f32::from_bits(rng.random()),
        _ => one(rng, &[0.0, -0.0, 1.0, -1.0, f32::MAX, f32::MIN_POSITIVE, 1e30, f32::NAN, f32::INFINITY]),
    }
}
/// Damage that knows nothing of the format: bytes changed, cut off, put in or doubled.
pub(crate) fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.random()),
        2 => bytes.extend((0..rng.random_range(0..9)).map(|_| 7u8)),
        3 => bytes.extend_from_within(at..),
        _ if bytes.is_empty() => {}
        4 => (0..rng.random_range(1..5)).for_each(|_| {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }),
        _ => {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
    }
}
