//! Which entries of a column are not zero.
#![allow(unsafe_code)]

use super::simd::Level;

/// Entries of the output beyond those that can be active, which may be written.
pub(super) const SLACK: usize = 16;

/// Writes the places of all entries of `x` that are not zero to the front of `out`, and returns how many there are; what
/// follows them is left undefined.
///
/// # Panics
/// If `out` is shorter than `x` and [`SLACK`] together.
pub(super) fn active(level: Level, x: &[f32], out: &mut [u32]) -> usize {
    assert!(out.len() >= x.len() + SLACK, "room for all entries");
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if is_x86_feature_detected!("avx512f") => {
            // SAFETY: the feature was detected, and `out` has room for all entries and one vector more.
            unsafe { compressed(x, out) }
        }
        _ => plain(x, out),
    }
}

fn plain(x: &[f32], out: &mut [u32]) -> usize {
    let mut n = 0;
    for (i, &v) in x.iter().enumerate() {
        // Written always, kept only where active: no branch to mispredict.
        out[n] = i as u32;
        n += (v != 0.0) as usize;
    }
    n
}

/// Sixteen at a time: compare, compress the places, store all sixteen, keep the first.
///
/// # Safety
/// `out` must be at least 16 longer than `x`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,popcnt")]
unsafe fn compressed(x: &[f32], out: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let mut places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let (sixteen, zero) = (_mm512_set1_epi32(16), _mm512_setzero_ps());
    let mut n = 0;
    let blocks = x.chunks_exact(16);
    let rest = blocks.remainder();
    for block in blocks {
        // SAFETY: a block has 16 values.
        let values = unsafe { _mm512_loadu_ps(block.as_ptr()) };
        let mask = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, zero); // unordered: NaN is not zero
        let kept = _mm512_maskz_compress_epi32(mask, places);
        // SAFETY: `n` entries were kept of at most `x.len()` seen, and `out` has room for 16 more.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(n).cast(), kept) };
        n += mask.count_ones() as usize;
        places = _mm512_add_epi32(places, sixteen);
    }
    let seen = (x.len() - rest.len()) as u32;
    for (k, _) in rest.iter().enumerate().filter(|(_, v)| **v != 0.0) {
        out[n] = seen + k as u32;
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_levels_find_what_is_not_zero() {
        for n in [0, 1, 15, 16, 17, 100, 784] {
            for period in [1, 2, 7, 1000] {
                let mut x: Vec<f32> = (0..n).map(|i| if i % period == 0 { i as f32 - 3.0 } else { -0.0 }).collect();
                x.iter_mut().skip(5).take(1).for_each(|v| *v = f32::NAN);
                let expected: Vec<u32> = (0..n as u32).filter(|&i| x[i as usize] != 0.0).collect();
                for level in Level::available() {
                    let mut out = vec![0; n + SLACK];
                    let found = active(level, &x, &mut out);
                    assert_eq!(out[..found], expected, "{level:?}, {n} entries");
                }
            }
        }
    }
}
