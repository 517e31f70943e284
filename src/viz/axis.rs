//! An axis: a range that holds all values, round numbers on it, and how they are written.
//!
//! Linear only. The drawing library's own axis is not used, as it has no rule for huge, tiny or constant values.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Values as large as this are not drawn, so that no sum or difference of two overflows.
const TOO_LARGE: f64 = 1e300;

/// Whether a point can be drawn: one that is not finite, or too large, leaves a gap.
pub(crate) fn drawable(&(x, y): &(f64, f64)) -> bool {
    x.abs() < TOO_LARGE && y.abs() < TOO_LARGE
}

/// A range with a tick at each multiple of `mantissa · 10^exponent`.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    lo: f64,
    hi: f64,
    mantissa: f64,
    exponent: i32,
}

impl Axis {
    /// An axis with at most about `ticks` ticks that shows all of `values`, which are below [`TOO_LARGE`], and beyond
    /// them on both sides the share `margin` of their range. No values make the range 0..1, equal ones lie mid-way.
    pub(crate) fn around(values: impl Iterator<Item = f64> + Clone, margin: f64, ticks: f64) -> Self {
        let lo = values.clone().reduce(f64::min).unwrap_or(0.0);
        let hi = values.clone().reduce(f64::max).unwrap_or(1.0);
        let size = lo.abs().max(hi.abs());
        // Differences near the rounding error are noise, and their ticks could not be told apart.
        let span = hi - lo;
        let pad = if span > size * 1e-9 && span > 1e-300 {
            span * margin
        } else if size > 1e-300 {
            size * 0.1
        } else {
            1.0
        };
        let (lo, hi) = (lo - pad, hi + pad);

        let least = (hi - lo) / ticks;
        let exponent = least.log10().floor() as i32;
        let mantissa = [1.0, 2.0, 5.0].into_iter().find(|mantissa| mantissa * power(exponent) >= least);
        let (mantissa, exponent) = mantissa.map_or((1.0, exponent + 1), |mantissa| (mantissa, exponent));
        // Half an epoch is no place on an axis of epochs.
        let whole = exponent < 0 && values.clone().all(|x| x.fract() == 0.0) && values.clone().next().is_some();
        let (mantissa, exponent) = if whole { (1.0, 0) } else { (mantissa, exponent) };
        Self { lo, hi, mantissa, exponent }
    }

    /// The tick values from left to right.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let step = self.mantissa * power(self.exponent);
        let (first, last) = ((self.lo / step).ceil() as i64, (self.hi / step).floor() as i64);
        (first..=last).map(|k| k as f64 * step).collect()
    }

    /// How far along the axis `value` lies: 0 at its beginning, 1 at its end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (value - self.lo) / (self.hi - self.lo)
    }

    /// The most characters of a tick's label.
    pub(crate) fn longest_label(&self) -> u32 {
        self.ticks().into_iter().map(|tick| self.label(tick).chars().count() as u32).max().unwrap_or(0)
    }

    /// The tick `value` in as many digits as tell it from its neighbours.
    pub(crate) fn label(&self, value: f64) -> String {
        let size = self.lo.abs().max(self.hi.abs()).log10().floor() as i32;
        let text = if (-4..6).contains(&size) {
            format!("{value:.*}", (-self.exponent).max(0) as usize)
        } else if value == 0.0 {
            "0".to_owned()
        } else {
            format!("{value:.*e}", (size - self.exponent).max(0) as usize)
        };
        text.replace('-', "−")
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        (f64::from(from) + self.share(*value) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks()
    }

    fn range(&self) -> Range<f64> {
        self.lo..self.hi
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

fn power(exponent: i32) -> f64 {
    10f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        let axis = Axis::around(values.iter().copied(), 0.02, 6.0);
        axis.ticks().into_iter().map(|tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&[0.0, 0.9]), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&[-110.5, -88.0]), ["−110", "−105", "−100", "−95", "−90"]);
        assert_eq!(labels(&[0.0, 60_000.0]), ["0", "20000", "40000", "60000"]);
        assert_eq!(labels(&[0.0, 2.5e6]), ["0", "5.0e5", "1.0e6", "1.5e6", "2.0e6", "2.5e6"]);
        assert_eq!(labels(&[1.0, 2.0, 3.0]), ["1", "2", "3"]);
    }

    #[test]
    fn odd_ranges_have_few_and_finite_ticks() {
        let big = TOO_LARGE / 2.0;
        let ranges: [&[f64]; 9] = [
            &[],
            &[0.0],
            &[3.0, 3.0],
            &[0.1, 0.1 + 1e-16],
            &[-big, big],
            &[big],
            &[0.0, 1e-299],
            &[5e-324, 0.0],
            &[1e9, 1e9 + 2.5],
        ];
        for values in ranges {
            let axis = Axis::around(values.iter().copied(), 0.05, 6.0);
            let ticks = axis.ticks();
            assert!((1..9).contains(&ticks.len()), "{values:?}: {ticks:?}");
            assert!(ticks.iter().all(|&tick| axis.lo <= tick && tick <= axis.hi), "{values:?}: {ticks:?}");
            assert!(values.iter().all(|x| axis.range().contains(x)), "{values:?}");
            let mut labels: Vec<_> = ticks.into_iter().map(|tick| axis.label(tick)).collect();
            let count = labels.len();
            labels.dedup();
            assert_eq!(labels.len(), count, "{labels:?}");
        }
    }
}
