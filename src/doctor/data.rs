//! Whether data are what their unit kinds are for.

use super::Finding;
use super::hidden::has_ends;
use crate::data::{Samples, in_chunks};
use crate::units::label;
use crate::{Block, Error, Learn, Mask, Result, Unit};

const ABOUT: &str = "data";
/// A rounding error of data that were added up.
const ROUNDING: f64 = 1e-3;

/// What is wrong with data for the visible units of a model: values that a kind cannot have or makes little of, with the kind that
/// they ask for. Looks at all samples of epoch 0; entries that are missing are passed over.
///
/// ```
/// use harmonium::{Mat, doctor::examine_data, models::Rbm, units::Bernoulli};
/// let rbm = Rbm::new((2, Bernoulli), (2, Bernoulli));
/// let grey = Mat::from_row_slice(2, 3, &[0.0, 255.0, 31.0, 255.0, 0.0, 64.0]);
/// let findings = examine_data(&rbm, &grey)?;
/// assert!(findings[0].what.contains("255") && findings[0].advice.contains("255"));
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the data have not one row a visible unit, [`Error::Value`] if there are no samples.
pub fn examine_data<M: Learn + ?Sized>(model: &M, data: &dyn Samples) -> Result<Vec<Finding>> {
    let d = model.n_visible();
    if data.n_rows() != d {
        return Err(Error::shape("rows of the data", format!("{d} visible units"), data.n_rows()));
    }
    let mut rows = vec![Row::default(); d];
    let visible: Vec<&Block> = model.blocks().iter().filter(|b| b.rows.end <= d).collect();
    let mut sums = vec![0u64; visible.len()]; // units whose rows do not sum to one
    in_chunks(data, |first, x| {
        let index: Vec<usize> = (first..first + x.ncols()).collect();
        let mut missing = Mask::repeat(d, x.ncols(), false);
        data.mark_missing(&index, missing.columns_mut(0, x.ncols()));
        for (x, missing) in x.column_iter().zip(missing.column_iter()) {
            for (row, (x, _)) in rows.iter_mut().zip(x.iter().zip(missing.iter())).filter(|(_, (_, m))| !**m) {
                row.take(*x);
            }
            for (wrong, block) in sums.iter_mut().zip(&visible).filter(|(_, b)| is_one_of(&*b.unit)) {
                let units = block.rows.clone().step_by(block.unit.width());
                let rows = |at: usize| at..at + block.unit.width();
                let known = units.filter(|&at| !rows(at).any(|i| missing[i]));
                let off = |at: &usize| (rows(*at).map(|i| f64::from(x[i])).sum::<f64>() - 1.0).abs() > ROUNDING;
                *wrong += known.filter(off).count() as u64;
            }
        }
        Ok(())
    })?;
    let mut findings = vec![];
    for (block, wrong) in visible.iter().zip(sums) {
        let theta = |row: usize| {
            let n = block.unit.n_theta();
            let all = model.theta(model.blocks().iter().position(|b| b.rows == block.rows).unwrap_or(0), &[]);
            all.get(n * row..n * (row + 1)).unwrap_or(&[])
        };
        let noise = if has_ends(&block.unit.range()) { f64::NAN } else { noise(&*block.unit, theta(0)) };
        findings.extend(of_block(block, &rows[block.rows.clone()], noise));
        if wrong > 0 {
            let what = format!("{wrong} units of kind {} have rows that do not sum to one", label(&*block.unit));
            findings.push(Finding::warning(ABOUT, what, "one row of each is 1 and the others 0: see `data::one_hot`"));
        }
    }
    Ok(findings)
}

/// Whether a unit is one of several values, a row each.
fn is_one_of(unit: &dyn Unit) -> bool {
    unit.width() > 1 && unit.support().is_some_and(|values| values.iter().all(|v| v.iter().sum::<f32>() == 1.0))
}
/// Standard deviation of a unit at field 0.
fn noise(unit: &dyn Unit, theta: &[f32]) -> f64 {
    let mut variance = [f32::NAN];
    if unit.width() == 1 && theta.len() == unit.n_theta() {
        unit.variance(theta, &[0.0], &mut variance);
    }
    f64::from(variance[0]).sqrt()
}

/// The values of a row.
#[derive(Clone, Copy, Debug)]
struct Row {
    n: u64,
    broken: u64, // not finite
    low: f32,
    high: f32,
    whole: bool, // all are integers
    grey: u64,   // that are neither the least nor the greatest of 0 and 1, or of -1 and 1
    mean: f64,
    squares: f64, // of distances to the mean
}

impl Default for Row {
    fn default() -> Self {
        let (low, high) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { n: 0, broken: 0, low, high, whole: true, grey: 0, mean: 0.0, squares: 0.0 }
    }
}

impl Row {
    fn take(&mut self, x: f32) {
        if !x.is_finite() {
            self.broken += 1;
            return;
        }
        self.n += 1;
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
        self.whole &= x.fract() == 0.0;
        self.grey += u64::from(x.abs() != 1.0 && x != 0.0);
        let apart = f64::from(x) - self.mean;
        self.mean += apart / self.n as f64;
        self.squares += apart * (f64::from(x) - self.mean);
    }
    fn deviation(&self) -> f64 {
        (self.squares / self.n.max(1) as f64).sqrt()
    }
}

/// Findings about a range of units of one kind, whose standard deviation without input is `noise` if they are real.
fn of_block(block: &Block, rows: &[Row], noise: f64) -> Vec<Finding> {
    let kind = label(&*block.unit);
    let mut findings = vec![];
    let broken: u64 = rows.iter().map(|r| r.broken).sum();
    if broken > 0 {
        let what = format!("{broken} values of {kind} units are not finite");
        findings.push(Finding::warning(ABOUT, what, "mark them as missing: `data::Masked` and `Contrastive::filling`"));
    }
    let seen: Vec<&Row> = rows.iter().filter(|r| r.n > 0).collect();
    if seen.is_empty() {
        return findings;
    }
    let low = seen.iter().map(|r| r.low).fold(f32::INFINITY, f32::min);
    let high = seen.iter().map(|r| r.high).fold(f32::NEG_INFINITY, f32::max);
    let range = block.unit.range();
    if low < *range.start() || high > *range.end() {
        let what = format!("{kind} units take {range:?}, and values go from {low} to {high}");
        findings.push(Finding::warning(ABOUT, what, asked_for(&seen, low, high)));
        return findings;
    }
    if has_ends(&range) {
        findings.extend(of_bounded(block, &seen, (low, high)));
    } else {
        findings.extend(of_real(&kind, &seen, (low, high), noise));
    }
    let constant = seen.iter().filter(|r| r.low == r.high).count();
    if constant > 0 {
        let what = format!("{constant} of {} {kind} units have the same value in all samples", rows.len());
        let advice = "they do no harm; biases of visible units need some smoothing (`Rbm::initialise`)";
        findings.push(Finding::note(ABOUT, what, advice));
    }
    findings
}

/// The kind of unit for values that another cannot have.
fn asked_for(rows: &[&Row], low: f32, high: f32) -> String {
    let whole = rows.iter().all(|r| r.whole);
    match (whole, low, high) {
        (true, -1.0, 1.0) if rows.iter().all(|r| r.grey == 0) => "Spin units take -1 and 1".into(),
        (true, 0.0.., 1.0) => "Bernoulli units take 0 and 1".into(),
        (true, 0.0.., 255.0) => {
            "if these are grey levels, divide them by 255 for Bernoulli units; if counts, `ReplicatedSoftmax` takes those of words".into()
        }
        (true, 0.0.., ..32.0) => format!("Binomial units of n = {high} take 0, 1, … {high}"),
        (true, 0.0.., _) => "`ReplicatedSoftmax` takes counts of words; others, standardised, LogPrecision units".into(),
        (false, 0.0.., ..=1.0) => "Bernoulli units take shares from 0 to 1 as means".into(),
        (false, -1.0.., ..=1.0) => "Spin units take means from -1 to 1; or standardise, for LogPrecision units".into(),
        _ => "standardise (`data::Standardise`), and take LogPrecision units".into(),
    }
}

/// Units whose range has two ends.
fn of_bounded(block: &Block, rows: &[&Row], (low, high): (f32, f32)) -> Vec<Finding> {
    let (kind, range) = (label(&*block.unit), block.unit.range());
    let mut findings = vec![];
    let used = (high - low) / (range.end() - range.start());
    if low < high && used < 0.1 {
        let what = format!("values of {kind} units go from {low} to {high} only, {:.1} % of their range", 100.0 * used);
        findings.push(Finding::warning(
            ABOUT,
            what,
            "were they divided by their largest value twice? Scale them to the range",
        ));
    }
    let (all, grey) = (rows.iter().map(|r| r.n).sum::<u64>(), rows.iter().map(|r| r.grey).sum::<u64>());
    let share = grey as f64 / all as f64;
    if block.unit.support().is_some() && block.unit.size().is_none() && share > 0.01 && used >= 0.1 {
        let what = format!("{:.0} % of the values of {kind} units lie between the two that they take", 100.0 * share);
        let advice =
            "they are learned as means, but have no likelihood: draw bits (`data::bernoulli`, `data::Redrawn`)";
        findings.push(Finding::note(ABOUT, what, advice));
    }
    findings
}

/// Units whose range has no end.
fn of_real(kind: &str, rows: &[&Row], (low, high): (f32, f32), noise: f64) -> Vec<Finding> {
    let mut deviations: Vec<f64> = rows.iter().map(|r| r.deviation()).filter(|d| *d > 0.0).collect();
    deviations.sort_by(f64::total_cmp);
    let Some(typical) = deviations.get(deviations.len() / 2).copied() else { return vec![] };
    let told =
        format!("the standard deviation of values is {typical:.2}, that of {kind} units without input {noise:.2}");
    let standardise = "standardise (`data::Standardise`) or whiten (`data::Whiten`)";
    let mut findings = vec![];
    if low >= 0.0 && high <= 1.0 {
        let what = format!("values of {kind} units go from {low} to {high}, like those of pixels; {told}");
        let advice = format!("take Bernoulli units, for which these are means; or {standardise}");
        findings.push(Finding::warning(ABOUT, what, advice));
        return findings;
    }
    let (small, large) = (typical < noise / 3.0, typical > 3.0 * noise);
    if small || large {
        let why = if small { "noise hides the data" } else { "steps will be too large" };
        findings.push(Finding::warning(
            ABOUT,
            format!("{told}: {why}"),
            format!("{standardise}; LogPrecision units learn the rest"),
        ));
    }
    let (least, most) = (deviations[0], deviations[deviations.len() - 1]);
    if most > 30.0 * least && !large && !small {
        let what = format!("standard deviations of {kind} units go from {least:.1e} to {most:.1e}");
        findings.push(Finding::warning(ABOUT, what, standardise));
    }
    let far = rows.iter().filter(|r| r.mean.abs() > 3.0 * r.deviation() && r.low < r.high).count();
    if far * 10 > rows.len() {
        let what = format!("{far} of {} {kind} units have means of more than three standard deviations", rows.len());
        findings.push(Finding::warning(ABOUT, what, standardise));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;
    use crate::data::{Masked, one_hot};
    use crate::models::Rbm;
    use crate::units::{Bernoulli, Binomial, Gaussian, LogPrecision, Relu, Softmax, Spin};
    use std::sync::Arc;

    /// Findings about two units of a kind with these values, as one text.
    fn told(unit: impl Unit, values: &[f32]) -> String {
        let rbm = Rbm::new((2, unit), (1, Bernoulli));
        let data = Mat::from_fn(2, values.len(), |i, j| values[(j + i) % values.len()]);
        examine_data(&rbm, &data).unwrap().iter().map(|f| format!("{f}\n")).collect()
    }
    #[test]
    fn data_that_suit_their_units_are_not_complained_of() {
        assert_eq!(told(Bernoulli, &[0.0, 1.0, 1.0]), "");
        assert_eq!(told(Spin, &[-1.0, 1.0]), "");
        assert_eq!(told(Binomial { n: 3 }, &[0.0, 1.0, 3.0]), "");
        for values in [[-1.2, 0.1, 1.1], [-0.5, 1.0, -0.5]] {
            assert_eq!(told(Gaussian, &values), "");
            assert_eq!(told(LogPrecision, &values), "");
        }
        assert_eq!(told(Relu, &[0.0, 0.5, 2.0]), "");
    }
    #[test]
    fn values_out_of_range_are_told_with_the_kind_they_ask_for() {
        for (values, kind) in [
            (&[-1.0, 1.0][..], "Spin"),
            (&[0.0, 3.0, 1.0], "Binomial units of n = 3"),
            (&[0.0, 128.0, 255.0], "divide them by 255"),
            (&[0.0, 1000.0, 7.0], "ReplicatedSoftmax"),
            (&[-3.0, 0.5, 2.0], "LogPrecision"),
            (&[-0.5, 0.25, 1.0], "Spin units take means"),
        ] {
            let told = told(Bernoulli, values);
            assert!(told.starts_with("warning") && told.contains(kind), "{told}");
        }
        assert!(told(Spin, &[0.0, 1.5]).contains("standardise"));
        assert!(told(Binomial { n: 2 }, &[0.0, 3.0]).contains("n = 3"));
        assert!(told(Relu, &[-1.0, 1.0]).contains("Spin"));
    }
    #[test]
    fn values_that_a_kind_makes_little_of_are_told() {
        assert!(told(Bernoulli, &[0.0, 0.004, 0.002]).contains("twice"));
        assert!(told(Bernoulli, &[0.0, 0.5, 1.0]).contains("33 %"));
        assert!(told(Gaussian, &[0.0, 1.0]).contains("take Bernoulli units"));
        assert!(told(Gaussian, &[-0.01, 0.02, 0.03]).contains("noise hides"));
        assert!(told(LogPrecision, &[-300.0, 200.0, 100.0]).contains("too large"));
        assert!(told(Gaussian, &[9.0, 10.0, 11.0]).contains("means of more than three"));
        assert!(told(Bernoulli, &[1.0, 1.0]).contains("2 of 2 bernoulli units have the same value"));
        let rbm = Rbm::new((2, Gaussian), (1, Bernoulli));
        let uneven = Mat::from_row_slice(2, 4, &[-1.0, 1.0, -1.0, 1.0, -0.01, 0.01, 0.01, -0.01]);
        assert!(examine_data(&rbm, &uneven).unwrap()[0].what.contains("1.0e-2 to 1.0e0"));
    }
    #[test]
    fn missing_entries_are_passed_over_and_gaps_without_a_mark_are_told() {
        let rbm = Rbm::new((1, Bernoulli), (1, Bernoulli));
        let gaps = Mat::from_row_slice(1, 3, &[0.0, f32::NAN, 1.0]);
        assert!(examine_data(&rbm, &gaps).unwrap()[0].advice.contains("Masked"));
        let marked = Masked::new(gaps, Mask::from_row_slice(1, 3, &[false, true, false])).unwrap();
        assert!(examine_data(&rbm, &marked).unwrap().is_empty());
    }
    #[test]
    fn rows_of_one_unit_sum_to_one() {
        let rbm =
            Rbm::with_layers(&[(1, Arc::new(Bernoulli)), (3, Arc::new(Softmax { q: 3 }))], &[(1, Arc::new(Bernoulli))]);
        let mut data = Mat::zeros(4, 3);
        data.rows_mut(1, 3).copy_from(&one_hot(&[0, 1, 2], 3).unwrap());
        data[(0, 1)] = 1.0;
        assert!(examine_data(&rbm, &data).unwrap().is_empty());
        data[(1, 1)] = 1.0;
        assert!(examine_data(&rbm, &data).unwrap()[0].what.starts_with("1 units of kind softmax(3)"));
    }
    #[test]
    fn data_of_another_shape_are_refused() {
        let rbm = Rbm::new((2, Bernoulli), (1, Bernoulli));
        assert!(matches!(examine_data(&rbm, &Mat::zeros(3, 1)), Err(Error::Shape { .. })));
        assert!(matches!(examine_data(&rbm, &Mat::zeros(2, 0)), Err(Error::Value { .. })));
    }
}
