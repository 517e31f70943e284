//! The oracle: an RBM in double precision, straight from its definition, naive on purpose. It takes the values of the
//! parameters from the library and nothing else.

use harmonium::models::Rbm;
use harmonium::{Learn, Mat};
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What a unit's values and its own energy are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Bernoulli,
    Spin,
    Gaussian,
    LogPrecision,
}
impl Kind {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "bernoulli" => Self::Bernoulli,
            "spin" => Self::Spin,
            "gaussian" => Self::Gaussian,
            "log_precision" => Self::LogPrecision,
            _ => panic!("the oracle does not know {name}"),
        }
    }
    /// All values, if they are finitely many.
    pub(crate) fn values(self) -> Option<[f64; 2]> {
        match self {
            Self::Bernoulli => Some([0.0, 1.0]),
            Self::Spin => Some([-1.0, 1.0]),
            Self::Gaussian | Self::LogPrecision => None,
        }
    }
    /// `a` of `U = ½ a x²`.
    pub(crate) fn precision(self, lambda: f64) -> f64 {
        match self {
            Self::Bernoulli | Self::Spin => 0.0,
            Self::Gaussian => 1.0,
            Self::LogPrecision => lambda.exp(),
        }
    }
    /// `log Σ_x exp(φx - U)`: two terms, or the trapezoid rule around the stationary point, which for a Gaussian integrand
    /// is exact to rounding.
    pub(crate) fn log_sum(self, lambda: f64, field: f64) -> f64 {
        if let Some(values) = self.values() {
            return log_sum_exp(&values.map(|x| field * x));
        }
        let a = self.precision(lambda);
        let (centre, step) = (field / a, 0.25 / a.sqrt());
        let exponent = |k: i32| {
            let x = centre + k as f64 * step;
            field * x - 0.5 * a * x * x
        };
        log_sum_exp(&(-60..=60).map(exponent).collect::<Vec<f64>>()) + step.ln()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    Visible,
    Hidden,
}
use Side::{Hidden, Visible};
impl Side {
    pub(crate) fn other(self) -> Self {
        if self == Visible { Hidden } else { Visible }
    }
}

/// `E = U(v) + U(h) - bᵀv - cᵀh - hᵀWv` with flat parameters in the library's order.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    pub(crate) d: usize,
    pub(crate) h: usize,
    pub(crate) visible: Kind,
    pub(crate) hidden: Kind,
    pub(crate) p: Vec<f64>,
    at: [usize; 5],
}

impl Oracle {
    pub(crate) fn of(rbm: &Rbm) -> Self {
        let slots = rbm.params().slots();
        let at = |name: &str| slots.iter().find(|s| s.name == name).expect("a slot of this name").offset;
        Self {
            d: rbm.n_visible(),
            h: rbm.n_hidden(),
            visible: Kind::named(rbm.visible()[0].unit.name()),
            hidden: Kind::named(rbm.hidden()[0].unit.name()),
            p: rbm.params().as_slice().iter().map(|&x| x as f64).collect(),
            at: ["weights", "visible_bias", "hidden_bias", "visible_theta", "hidden_theta"].map(at),
        }
    }
    pub(crate) fn n(&self, side: Side) -> usize {
        if side == Visible { self.d } else { self.h }
    }
    pub(crate) fn kind(&self, side: Side) -> Kind {
        if side == Visible { self.visible } else { self.hidden }
    }
    pub(crate) fn kind_of(&self, row: usize) -> Kind {
        if row < self.d { self.visible } else { self.hidden }
    }
    pub(crate) fn is_discrete(&self) -> bool {
        self.visible.values().is_some() && self.hidden.values().is_some()
    }
    /// Weight between visible unit `i` and hidden unit `j`.
    pub(crate) fn w(&self, j: usize, i: usize) -> f64 {
        self.p[self.at[0] + i * self.h + j]
    }
    pub(crate) fn bias(&self, side: Side, k: usize) -> f64 {
        self.p[self.at[if side == Visible { 1 } else { 2 }] + k]
    }
    fn lambda(&self, side: Side, k: usize) -> f64 {
        let at = self.at[if side == Visible { 3 } else { 4 }] + k;
        if self.kind(side) == Kind::LogPrecision { self.p[at] } else { 0.0 }
    }
    pub(crate) fn precision(&self, side: Side, k: usize) -> f64 {
        self.kind(side).precision(self.lambda(side, k))
    }
    /// `U(x) - bias·x` of one side.
    fn own(&self, side: Side, x: &[f64]) -> f64 {
        let one = |(k, x): (usize, &f64)| 0.5 * self.precision(side, k) * x * x - self.bias(side, k) * x;
        x.iter().enumerate().map(one).sum()
    }
    /// Energy of a state: visible rows, then hidden rows.
    pub(crate) fn energy(&self, x: &[f64]) -> f64 {
        let (v, h) = x.split_at(self.d);
        let mut e = self.own(Visible, v) + self.own(Hidden, h);
        for (j, h) in h.iter().enumerate() {
            for (i, v) in v.iter().enumerate() {
                e -= h * self.w(j, i) * v;
            }
        }
        e
    }
    /// Field of unit `k` of `side`, given the values of the other side.
    pub(crate) fn field(&self, side: Side, k: usize, other: &[f64]) -> f64 {
        let w = |l: usize| if side == Visible { self.w(l, k) } else { self.w(k, l) };
        self.bias(side, k) + other.iter().enumerate().map(|(l, x)| w(l) * x).sum::<f64>()
    }
    /// Mean of unit `k` given the other side: by its two values, or `φ/a`.
    pub(crate) fn mean(&self, side: Side, k: usize, other: &[f64]) -> f64 {
        let field = self.field(side, k, other);
        match self.kind(side).values() {
            Some([a, b]) => a + (b - a) / (1.0 + (-(b - a) * field).exp()),
            None => field / self.precision(side, k),
        }
    }
    /// `-log Σ exp(-E)` over one side: over its states one by one, or by quadrature.
    pub(crate) fn free_energy(&self, summed: Side, kept: &[f64]) -> f64 {
        if let Some(values) = self.kind(summed).values() {
            let e =
                |y: &Vec<f64>| -self.energy(&if summed == Hidden { [kept, y].concat() } else { [y, kept].concat() });
            return -log_sum_exp(&product(&values, self.n(summed)).iter().map(e).collect::<Vec<f64>>());
        }
        let one = |k: usize| self.kind(summed).log_sum(self.lambda(summed, k), self.field(summed, k, kept));
        self.own(summed.other(), kept) - (0..self.n(summed)).map(one).sum::<f64>()
    }
    /// The side that can be enumerated, the visible one if both can.
    pub(crate) fn countable(&self) -> Option<Side> {
        [Visible, Hidden].into_iter().find(|&s| self.kind(s).values().is_some())
    }
    /// All states of a discrete side with their probabilities.
    pub(crate) fn marginal(&self, side: Side) -> (Vec<Vec<f64>>, Vec<f64>) {
        let states = product(&self.kind(side).values().expect("a discrete side"), self.n(side));
        let minus: Vec<f64> = states.iter().map(|x| -self.free_energy(side.other(), x)).collect();
        let z = log_sum_exp(&minus);
        (states, minus.iter().map(|e| (e - z).exp()).collect())
    }
    /// All states of both sides with their probabilities.
    pub(crate) fn joint(&self) -> (Vec<Vec<f64>>, Vec<f64>) {
        let side = |s: Side| product(&self.kind(s).values().expect("a discrete side"), self.n(s));
        let (visible, hidden) = (side(Visible), side(Hidden));
        let states: Vec<Vec<f64>> = visible.iter().flat_map(|v| hidden.iter().map(|h| [&v[..], h].concat())).collect();
        let minus: Vec<f64> = states.iter().map(|x| -self.energy(x)).collect();
        let z = log_sum_exp(&minus);
        (states, minus.iter().map(|e| (e - z).exp()).collect())
    }
    pub(crate) fn log_z(&self) -> f64 {
        match self.countable() {
            Some(side) => {
                let states = product(&self.kind(side).values().expect("a discrete side"), self.n(side));
                log_sum_exp(&states.iter().map(|x| -self.free_energy(side.other(), x)).collect::<Vec<f64>>())
            }
            None => {
                let (precision, bias) = self.quadratic();
                if precision.symmetric_eigenvalues().min() <= 0.0 {
                    return f64::INFINITY;
                }
                let mean = precision.clone().lu().solve(&bias).expect("a regular matrix");
                let n = bias.len() as f64;
                0.5 * (n * std::f64::consts::TAU.ln() + bias.dot(&mean) - precision.determinant().ln())
            }
        }
    }
    /// `P` and `b` of the all-real energy `½ xᵀPx - bᵀx`.
    fn quadratic(&self) -> (DMatrix<f64>, DVector<f64>) {
        let (d, n) = (self.d, self.d + self.h);
        let place = |r: usize| if r < d { (Visible, r) } else { (Hidden, r - d) };
        let precision = DMatrix::from_fn(n, n, |r, s| match (place(r), place(s)) {
            ((a, i), (b, j)) if a == b => {
                if i == j {
                    self.precision(a, i)
                } else {
                    0.0
                }
            }
            ((Visible, i), (_, j)) => -self.w(j, i),
            ((_, j), (_, i)) => -self.w(j, i),
        });
        (precision, DVector::from_fn(n, |r, _| self.bias(place(r).0, place(r).1)))
    }
    /// Exact means and second moments `⟨x xᵀ⟩` of all rows.
    pub(crate) fn moments(&self) -> (DVector<f64>, DMatrix<f64>) {
        let Some(side) = self.countable() else {
            let (precision, bias) = self.quadratic();
            let covariance = precision.try_inverse().expect("a regular matrix");
            let mean = &covariance * bias;
            return (mean.clone(), covariance + &mean * mean.transpose());
        };
        let n = self.d + self.h;
        let (mut mean, mut second) = (DVector::zeros(n), DMatrix::zeros(n, n));
        let (states, p) = self.marginal(side);
        for (x, p) in states.iter().zip(p) {
            let y: Vec<f64> = (0..self.n(side.other())).map(|k| self.mean(side.other(), k, x)).collect();
            let m = DVector::from_vec(if side == Visible { [&x[..], &y].concat() } else { [&y[..], x].concat() });
            second += p * &m * m.transpose();
            for (k, y) in y.iter().enumerate() {
                let row = if side == Visible { self.d + k } else { k };
                let square = match self.kind(side.other()).values() {
                    Some([a, b]) => (a + b) * y - a * b, // x is a root of (x - a)(x - b)
                    None => y * y + 1.0 / self.precision(side.other(), k),
                };
                second[(row, row)] += p * (square - y * y);
            }
            mean += p * m;
        }
        (mean, second)
    }
    /// Exact independent draws, one a column.
    pub(crate) fn draw(&self, columns: usize, seed: u64) -> Mat {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let n = self.d + self.h;
        let mut x = Mat::zeros(n, columns);
        let Some(side) = self.countable() else {
            let (precision, _) = self.quadratic();
            let root = precision.try_inverse().expect("a regular matrix").cholesky().expect("a covariance").l();
            let (mean, _) = self.moments();
            for mut column in x.column_iter_mut() {
                let z = DVector::from_fn(n, |_, _| normal(&mut rng));
                column.copy_from(&(&mean + &root * z).map(|v| v as f32));
            }
            return x;
        };
        let (states, p) = self.marginal(side);
        for mut column in x.column_iter_mut() {
            let s = &states[pick(&p, rng.random())];
            let rest: Vec<f64> =
                (0..self.n(side.other())).map(|k| self.draw_unit(side.other(), k, s, &mut rng)).collect();
            let all = if side == Visible { [&s[..], &rest].concat() } else { [&rest[..], s].concat() };
            column.iter_mut().zip(all).for_each(|(c, v)| *c = v as f32);
        }
        x
    }
    fn draw_unit(&self, side: Side, k: usize, other: &[f64], rng: &mut Xoshiro256PlusPlus) -> f64 {
        let mean = self.mean(side, k, other);
        match self.kind(side).values() {
            Some([a, b]) => {
                if rng.random::<f64>() * (b - a) < mean - a {
                    b
                } else {
                    a
                }
            }
            None => mean + normal(rng) / self.precision(side, k).sqrt(),
        }
    }
    /// `E₀ + β (E - E₀)` with `E₀ = U - baseᵀx`: an RBM again.
    pub(crate) fn annealed(&self, beta: f64, base: &[f32]) -> Self {
        let mut out = self.clone();
        let n_weights = self.d * self.h;
        out.p[self.at[0]..][..n_weights].iter_mut().for_each(|w| *w *= beta);
        for (row, &base) in base.iter().enumerate() {
            let at = if row < self.d { self.at[1] + row } else { self.at[2] + row - self.d };
            out.p[at] = base as f64 + beta * (self.p[at] - base as f64);
        }
        out
    }
    /// Central differences of any function of the model with respect to all parameters.
    pub(crate) fn derivative(&self, f: impl Fn(&Self) -> f64) -> Vec<f64> {
        let at = |k: usize, step: f64| {
            let mut moved = self.clone();
            moved.p[k] += step;
            f(&moved)
        };
        (0..self.p.len()).map(|k| (at(k, 1e-4) - at(k, -1e-4)) / 2e-4).collect()
    }
}

pub(crate) fn log_sum_exp(x: &[f64]) -> f64 {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + x.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}
/// All vectors of `n` of these values.
pub(crate) fn product(values: &[f64], n: usize) -> Vec<Vec<f64>> {
    (0..n)
        .fold(vec![vec![]], |all, _| all.iter().flat_map(|x| values.iter().map(|v| [&x[..], &[*v]].concat())).collect())
}
/// The place at which the running sum of `p` passes `u`.
pub(crate) fn pick(p: &[f64], u: f64) -> usize {
    let mut sum = 0.0;
    let passed = |p: &f64| {
        sum += p;
        sum > u
    };
    p.iter().position(passed).unwrap_or(p.len() - 1)
}
pub(crate) fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    StandardNormal.sample(rng)
}
/// A column in double precision.
pub(crate) fn wide(x: &Mat, j: usize) -> Vec<f64> {
    x.column(j).iter().map(|&v| v as f64).collect()
}
/// States as columns.
pub(crate) fn columns(states: &[Vec<f64>]) -> Mat {
    Mat::from_fn(states[0].len(), states.len(), |i, j| states[j][i] as f32)
}
/// Mean, and standard error of the mean.
pub(crate) fn estimate(x: &[f64]) -> (f64, f64) {
    let (n, mean) = (x.len() as f64, x.iter().sum::<f64>() / x.len() as f64);
    (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}
