//! Schedules: pure functions of the step, with nothing to save.

/// A number that changes over a run.
///
/// ```
/// use harmonium::optim::Schedule;
/// let rate = Schedule::Linear { from: 0.1, to: 0.0, steps: 100 };
/// assert_eq!((rate.at(0), rate.at(50), rate.at(1000)), (0.1, 0.05, 0.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant(f32),
    /// A straight line from `from` at step 0 to `to` at step `steps`, and `to` ever after.
    Linear {
        /// At step 0.
        from: f32,
        /// At step `steps`.
        to: f32,
        /// Length of the line.
        steps: u64,
    },
    /// `from` before step `steps`, `to` from there on (momentum, in Hinton's guide).
    Switch {
        /// Before step `steps`.
        from: f32,
        /// From step `steps` on.
        to: f32,
        /// When.
        steps: u64,
    },
    /// `from · factor^step`.
    Exponential {
        /// At step 0.
        from: f32,
        /// Ratio of two steps.
        factor: f32,
    },
    /// `from · √(g / (g + step))` (Grosse and Salakhutdinov 2015).
    InverseRoot {
        /// At step 0.
        from: f32,
        /// Step at which it has fallen to `from / √2`.
        g: f32,
    },
}

impl Schedule {
    /// Its value at a step.
    pub fn at(self, step: u64) -> f32 {
        match self {
            Self::Constant(value) => value,
            Self::Linear { from, to, steps } => {
                let share = if steps == 0 { 1.0 } else { step.min(steps) as f64 / steps as f64 };
                (from as f64 + (to as f64 - from as f64) * share) as f32
            }
            Self::Switch { from, to, steps } => {
                if step < steps {
                    from
                } else {
                    to
                }
            }
            Self::Exponential { from, factor } => (from as f64 * (factor as f64).powf(step as f64)) as f32,
            Self::InverseRoot { from, g } => (from as f64 * (g as f64 / (g as f64 + step as f64)).sqrt()) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_at_their_marks() {
        let switch = Schedule::Switch { from: 0.5, to: 0.9, steps: 5 };
        assert_eq!((switch.at(4), switch.at(5)), (0.5, 0.9));
        assert_eq!(Schedule::Linear { from: 1.0, to: 3.0, steps: 0 }.at(0), 3.0);
        assert_eq!(Schedule::Exponential { from: 2.0, factor: 0.5 }.at(3), 0.25);
        assert!((Schedule::InverseRoot { from: 1.0, g: 1000.0 }.at(1000) - 0.5f32.sqrt()).abs() < 1e-7);
    }
}
