//! How a network's outputs become an energy: the only output itself, or minus the log-sum-exp of several.

/// `f` of one output `o`, or `-log Σ exp(o)` of several: a classifier's logits (Grathwohl and others 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Output,
    LogSumExp,
}

impl Head {
    /// For so many outputs.
    pub(super) fn of(outputs: usize) -> Self {
        if outputs == 1 { Self::Output } else { Self::LogSumExp }
    }
    /// The energy.
    pub(super) fn energy(self, out: &[f64]) -> f64 {
        match self {
            Self::Output => out[0],
            Self::LogSumExp => -log_sum_exp(out),
        }
    }
    /// `back = weight ∂E/∂o`
    pub(super) fn slope(self, out: &[f64], weight: f32, back: &mut [f32]) {
        match self {
            Self::Output => back[0] = weight,
            Self::LogSumExp => {
                let all = log_sum_exp(out);
                back.iter_mut().zip(out).for_each(|(b, o)| *b = -weight * (o - all).exp() as f32);
            }
        }
    }
    /// First and second derivative of the energy by ε, where the outputs are `o + ε o' + ½ε² o''`.
    pub(super) fn along(self, [out, first, second]: [&[f64]; 3]) -> [f64; 2] {
        match self {
            Self::Output => [first[0], second.first().copied().unwrap_or(0.0)],
            Self::LogSumExp => {
                let m = Moments::of([out, first, second]);
                [-m.first, -(m.second + m.squares - m.first * m.first)]
            }
        }
    }
    /// The derivatives of `w₁ E' + w₂ E''` by `o`, `o'` and `o''`.
    pub(super) fn slope_along(self, outs: [&[f64]; 3], [w1, w2]: [f64; 2], back: [&mut [f32]; 3]) {
        let [b0, b1, b2] = back;
        match self {
            Self::Output => {
                (b0[0], b1[0]) = (0.0, w1 as f32);
                b2.iter_mut().for_each(|b| *b = w2 as f32);
            }
            Self::LogSumExp => {
                let (m, all) = (Moments::of(outs), log_sum_exp(outs[0]));
                for (k, o) in outs[0].iter().enumerate() {
                    let (p, first) = ((o - all).exp(), outs[1][k] - m.first);
                    let second = outs[2].get(k).map_or(0.0, |o| o - m.second);
                    let spread = second + outs[1][k].powi(2) - m.squares - 2.0 * m.first * first;
                    b0[k] = (-p * (w1 * first + w2 * spread)) as f32;
                    b1[k] = (-p * (w1 + 2.0 * w2 * first)) as f32;
                    if let Some(b) = b2.get_mut(k) {
                        *b = (-p * w2) as f32;
                    }
                }
            }
        }
    }
}

/// Means under the softmax of the outputs.
struct Moments {
    first: f64,   // of o'
    squares: f64, // of o'²
    second: f64,  // of o''
}
impl Moments {
    fn of([out, first, second]: [&[f64]; 3]) -> Self {
        let all = log_sum_exp(out);
        let mut m = Self { first: 0.0, squares: 0.0, second: 0.0 };
        for (k, o) in out.iter().enumerate() {
            let p = (o - all).exp();
            m.first += p * first[k];
            m.squares += p * first[k] * first[k];
            m.second += p * second.get(k).unwrap_or(&0.0);
        }
        m
    }
}

/// `log Σ exp(x)`, without overflow.
pub(super) fn log_sum_exp(x: &[f64]) -> f64 {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return most;
    }
    most + x.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}
