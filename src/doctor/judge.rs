//! From numbers to findings: limits, and what to do beyond them.

use super::{Doctor, Finding, Measured};

/// Share of hidden units of no use that is worth a word, and one that is worth a warning.
const IDLE: [f64; 2] = [0.01, 0.1];
/// Factor between the mean activity and its target.
const OFF_TARGET: f64 = 2.0;
/// Updates beside the weights: about 1e-3 is usual (Hinton 2010, section 7).
const UPDATES: std::ops::RangeInclusive<f64> = 1e-4..=1e-2;
/// The part of a run in which weights that grow from almost nothing make any update large.
const YOUNG: f64 = 0.05;
/// The part of a run from which on a falling learning rate makes updates small.
const OLD: f64 = 0.5;
/// Beyond it chains tell where they began (Vehtari et al. 2021 ask for 1.01, of chains that are used for inference).
const R_HAT: f64 = 1.1;
/// Autocorrelation times that sweeps of CD may fall short by.
const SHORT: f64 = 10.0;
/// How far weights may move, as a share of themselves, while chains of PCD renew themselves once.
const LAG: f64 = 0.5;
/// A gap of free energies that is worth a word, in nats and in standard errors.
const GAP: [f64; 2] = [1.0, 3.0];

impl Doctor {
    /// What is out of its range.
    pub fn judge(&self, of: &Measured) -> Vec<Finding> {
        let findings = [self.of_activity(of), self.of_target(of), of_updates(of), self.of_chains(of), of_gap(of)];
        findings.into_iter().flatten().chain(self.of_sweeps(of)).collect()
    }
    fn of_activity(&self, Measured { activity: a, .. }: &Measured) -> Option<Finding> {
        let share = a.idle();
        let what = format!(
            "{:.0} % of {} hidden units are of no use: {} dead, {} saturated, {} silent",
            100.0 * share,
            a.units,
            a.dead,
            a.saturated,
            a.silent
        );
        let advice = match a {
            _ if a.silent > a.dead + a.saturated => {
                "they answer all samples alike: train longer, or take fewer hidden units"
            }
            _ if a.dead > 0 || a.saturated > 0 => {
                "a smaller learning rate at the start, centred gradients, or a target of sparsity keep units alive"
            }
            _ => "",
        };
        match share {
            s if s > IDLE[1] => Some(Finding::warning("hidden units", what, advice)),
            s if s > IDLE[0] => Some(Finding::note("hidden units", what, advice)),
            _ => None,
        }
    }
    fn of_target(&self, Measured { activity, .. }: &Measured) -> Option<Finding> {
        let target = f64::from(self.target?);
        let ratio = activity.mean / target;
        let off = !(1.0 / OFF_TARGET..=OFF_TARGET).contains(&ratio) && !ratio.is_nan();
        let what = format!("the mean activity is {:.3}, its target {target:.3}", activity.mean);
        off.then(|| {
            Finding::warning("hidden units", what, "raise the cost of sparsity, or the target: data disagree with it")
        })
    }
    /// Chains that do not come together, or run away.
    fn of_chains(&self, Measured { mixing, .. }: &Measured) -> Option<Finding> {
        if mixing.ran_away {
            let what = "states grow beyond all bounds: the energy has no minimum, and the machine no distribution";
            let advice = "weights between real units are too large: a smaller learning rate, weight decay, or bounded hidden units";
            return Some(Finding::warning("chains", what, advice));
        }
        let apart = mixing.split_r_hat > R_HAT;
        let what = format!(
            "after {} sweeps, chains that began at the data and at independent units are still apart (split R̂ {:.2})",
            mixing.sweeps, mixing.split_r_hat
        );
        let advice = "samples tell where they began, and likelihoods may miss a mode: sample by `Tempering`; train with more chains, \
                      more sweeps, or tempered PCD";
        apart.then(|| Finding::warning("chains", what, advice))
    }
    /// Sweeps of an update beside the autocorrelation time.
    fn of_sweeps(&self, Measured { mixing, update_ratio, .. }: &Measured) -> Option<Finding> {
        let (k, time) = (self.k? as f64, mixing.autocorrelation_time);
        if !self.persistent {
            let what = format!("CD-{k} stops after {k} sweeps, and chains need some {time:.0} to forget the data");
            let advice = "the machine learns the neighbourhood of the data alone: use PCD, or let k rise";
            return (time > SHORT * k).then(|| Finding::warning("chains", what, advice));
        }
        let moved = update_ratio * time / k;
        let what = format!(
            "chains of PCD-{k} need {:.0} updates to renew themselves, in which weights move by up to {:.0} %",
            time / k,
            100.0 * moved
        );
        let advice = "they lag behind the machine: a smaller learning rate, more sweeps an update, or tempered PCD";
        (moved > LAG).then(|| Finding::warning("chains", what, advice))
    }
}

fn of_updates(&Measured { update_ratio: ratio, done, .. }: &Measured) -> Option<Finding> {
    let what = format!("an update is {ratio:.1e} of the weights; from 1e-4 to 1e-2 is usual");
    if ratio > *UPDATES.end() && done > YOUNG {
        return Some(Finding::warning("updates", what, "lower the learning rate"));
    }
    if ratio < *UPDATES.start() && done < OLD {
        return Some(Finding::warning("updates", what, "raise the learning rate, or stop: little will change"));
    }
    None
}

fn of_gap(Measured { free_energy_gap: gap, .. }: &Measured) -> Option<Finding> {
    let wide = gap.value > GAP[0] && gap.value > GAP[1] * gap.standard_error;
    let what = format!(
        "held-out samples are less probable than those trained on, by {:.1} ± {:.1} nats each",
        gap.value, gap.standard_error
    );
    let advice =
        "the machine overfits: stop earlier, use weight decay, fewer hidden units, or bits drawn anew in every epoch";
    wide.then(|| Finding::warning("free energy", what, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Activity, Mixing};
    use crate::eval::Estimate;

    /// What a good run looks like in its middle.
    fn sound() -> Measured {
        Measured {
            done: 0.4,
            activity: Activity { units: 100, mean: 0.2, ..Activity::default() },
            update_ratio: 1e-3,
            mixing: Mixing {
                sweeps: 1000,
                autocorrelation_time: 8.0,
                split_r_hat: 1.01,
                effective_sample_size: 1e3,
                ran_away: false,
            },
            free_energy_gap: Estimate { value: 0.5, standard_error: 0.1 },
        }
    }
    fn told(doctor: &Doctor, change: impl FnOnce(&mut Measured)) -> String {
        let mut measured = sound();
        change(&mut measured);
        doctor.judge(&measured).iter().map(|f| format!("{f}\n")).collect()
    }
    #[test]
    fn each_limit_is_seen_from_both_sides() {
        let pcd = Doctor::default();
        let cd = Doctor { persistent: false, ..Doctor::default() };
        assert_eq!(told(&pcd, |_| {}) + &told(&cd, |_| {}), "");
        for (text, change) in [
            ("warning, hidden units: 11 %", (|m| m.activity.dead = 11) as fn(&mut Measured)),
            ("note, hidden units: 5 %", |m| m.activity.saturated = 5),
            ("answer all samples alike", |m| m.activity.silent = 20),
            ("lower the learning rate", |m| m.update_ratio = 2e-2),
            ("raise the learning rate", |m| m.update_ratio = 5e-5),
            ("still apart (split R̂ 1.20)", |m| m.mixing.split_r_hat = 1.2),
            ("no distribution", |m| m.mixing.ran_away = true),
            ("need 600 updates", |m| m.mixing.autocorrelation_time = 600.0),
            ("by 1.5 ± 0.1 nats", |m| m.free_energy_gap.value = 1.5),
        ] {
            let found = told(&pcd, change);
            assert!(found.contains(text) && found.lines().count() == 1, "{text}: {found}");
        }
        assert!(told(&cd, |m| m.mixing.autocorrelation_time = 11.0).contains("CD-1 stops after 1 sweeps"));
        assert_eq!(told(&pcd, |m| (m.update_ratio, m.done) = (2e-2, 0.01)), "", "weights are small at first");
        assert_eq!(told(&pcd, |m| (m.update_ratio, m.done) = (1e-5, 0.9)), "", "the rate has fallen");
        assert_eq!(
            told(&pcd, |m| m.free_energy_gap = Estimate { value: 2.0, standard_error: 1.0 }),
            "",
            "within its error"
        );
        assert_eq!(told(&pcd, |m| m.activity.silent = 1), "");
    }
    #[test]
    fn a_target_is_compared_with_the_mean_activity() {
        let doctor = Doctor { target: Some(0.05), ..Doctor::default() };
        assert!(told(&doctor, |_| {}).contains("0.200, its target 0.050"));
        assert_eq!(told(&doctor, |m| m.activity.mean = 0.08), "");
        assert_eq!(told(&doctor, |m| m.activity.mean = f64::NAN), "");
    }
    #[test]
    fn what_is_not_known_is_no_finding() {
        for doctor in [Doctor::default(), Doctor { persistent: false, ..Doctor::default() }] {
            assert_eq!(doctor.judge(&Measured::nothing()), []);
        }
    }
}
