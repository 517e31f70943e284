//! The method of Broyden, Fletcher, Goldfarb and Shanno, for few parameters: it finds the bottom of a loss to the last digits that single
//! precision has, kinks or not, and can tell that it did.
//!
//! Lewis and Overton, "Nonsmooth optimization via quasi-Newton methods", 2013.

use harmonium::nalgebra::{DMatrix, DVector};

/// A loss that writes its gradient.
pub(crate) type Loss<'a> = dyn FnMut(&DVector<f64>) -> (f64, DVector<f64>) + 'a;

/// Where a loss is least.
pub(crate) struct Minimum {
    /// The place.
    pub(crate) at: DVector<f64>,
    /// The loss there.
    pub(crate) loss: f64,
    /// How far the last start from there, without memory, still moved: zero at rest.
    pub(crate) moved: f64,
}

/// Goes down until a start anew moves less than `rest`, or six times.
pub(crate) fn minimise(loss: &mut Loss<'_>, start: DVector<f64>, rest: f64) -> Minimum {
    let mut here = Minimum { at: start, loss: f64::INFINITY, moved: f64::INFINITY };
    for _ in 0..6 {
        let (at, value) = descend(loss, here.at.clone());
        here = Minimum { moved: (&at - &here.at).norm(), at, loss: value };
        if here.moved < rest {
            break;
        }
    }
    here
}

/// One descent, until a step is nothing or no step goes down.
fn descend(loss: &mut Loss<'_>, mut x: DVector<f64>) -> (DVector<f64>, f64) {
    let n = x.len();
    let (mut f, mut g) = loss(&x);
    let mut inverse = DMatrix::identity(n, n) / g.norm().max(1e-9) * 0.1; // a first step of a tenth
    for k in 0..200 {
        let direction = -(&inverse * &g);
        let Some((to, f_to, g_to)) = search(loss, (&x, f, &g), &direction) else { break };
        let (step, change) = (&to - &x, &g_to - &g);
        (x, f, g) = (to, f_to, g_to);
        let along = step.dot(&change);
        if step.norm() < 1e-7 {
            break;
        }
        if along > 1e-14 {
            if k == 0 {
                inverse = DMatrix::identity(n, n) * (along / change.norm_squared());
            }
            let left = DMatrix::identity(n, n) - &step * change.transpose() / along;
            inverse = &left * inverse * left.transpose() + &step * step.transpose() / along;
        }
    }
    (x, f)
}

/// A step that goes down enough (Armijo) and far enough (Wolfe, weakly), by bisection.
fn search(
    loss: &mut Loss<'_>,
    (x, f, g): (&DVector<f64>, f64, &DVector<f64>),
    direction: &DVector<f64>,
) -> Option<(DVector<f64>, f64, DVector<f64>)> {
    let slope = g.dot(direction);
    if slope >= 0.0 || !slope.is_finite() {
        return None;
    }
    let (mut low, mut high, mut t) = (0.0, f64::INFINITY, 1.0);
    let mut best = None;
    for _ in 0..30 {
        let to = x + t * direction;
        let (f_to, g_to) = loss(&to);
        if f_to.is_nan() || f_to > f + 1e-4 * t * slope {
            high = t;
        } else {
            let far = g_to.dot(direction) >= 0.9 * slope;
            best = Some((to, f_to, g_to));
            if far {
                break;
            }
            low = t;
        }
        t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    best
}
