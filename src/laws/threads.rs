//! The law of threads.

use super::probes::states;
use super::verdict::{Tally, Verdict};
use crate::rng::derive;
use crate::samplers::Kernel;
use crate::{ChainRng, Chains, Energy, Error, Mat};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Advances of the chains that are compared.
const ADVANCES: usize = 3;
/// Chains: several slabs, the last one odd.
const CHAINS: usize = 203;

/// `f` gives the same, whether one thread works at it, or two, or five; and the same when called again. `what` names it
/// in the message. Floats are best compared by their bits (`to_bits`).
///
/// # Errors
/// The first difference; [`super::Broken::Unchecked`] if the system starts no threads.
///
/// ```
/// use harmonium::{Chains, laws, models::Rbm, samplers::BlockGibbs, units::Bernoulli};
/// let rbm = Rbm::new((20, Bernoulli), (10, Bernoulli));
/// laws::threads("the chains", || {
///     let mut chains = Chains::zeros(&rbm, 100, 1);
///     chains.advance(&BlockGibbs::new(1), &rbm);
///     chains.states.as_slice().to_vec()
/// })?;
/// # Ok::<(), laws::Broken>(())
/// ```
pub fn threads<T: PartialEq + Send>(what: &str, f: impl Fn() -> T + Sync) -> Verdict {
    let mut tally = Tally::new("threads");
    let first = tally.possible(pool(1))?.install(&f);
    for n in [1, 2, 5] {
        let same = tally.possible(pool(n))?.install(&f) == first;
        tally.holds(same, || match n {
            1 => format!("with one thread, {what}: the second time is not the first"),
            _ => format!("with {n} threads, {what}: not the same as with one"),
        })?;
    }
    tally.kept()
}

pub(super) fn pool(threads: usize) -> crate::Result<ThreadPool> {
    let built = ThreadPoolBuilder::new().num_threads(threads).build();
    built.map_err(|e| Error::value("the number of threads", "one that the system starts", format!("{threads} ({e})")))
}

/// Chains of a kernel have the same bits with one thread, two, and five; and a chain does not depend on how many others
/// there are: the first 8, 16, 40, 64 and 200 of 203 are what so many alone are.
///
/// # Errors
/// The first difference.
///
/// ```
/// use harmonium::{laws, models::Rbm, samplers::BlockGibbs, units::Bernoulli};
/// laws::chains_threads(&Rbm::new((20, Bernoulli), (10, Bernoulli)), &BlockGibbs::new(1), 1)?;
/// # Ok::<(), laws::Broken>(())
/// ```
pub fn chains_threads<M: Energy + ?Sized, K: Kernel<M> + ?Sized>(model: &M, kernel: &K, seed: u64) -> Verdict {
    let mut tally = Tally::new("threads");
    let start = states(model, CHAINS, &mut ChainRng::new(derive(seed, "law of threads")));
    let run = |columns: usize| {
        let mut chains = Chains::new(start.columns(0, columns).clone_owned(), derive(seed, "chains"));
        for _ in 0..ADVANCES {
            chains.advance(kernel, model);
        }
        chains.states.x().clone_owned()
    };
    let one = tally.possible(pool(1))?.install(|| run(CHAINS));
    let mut same = |got: Mat, what: &dyn Fn() -> String| {
        let differ = got.iter().zip(one.iter()).position(|(a, b)| a.to_bits() != b.to_bits());
        let k = differ.unwrap_or(0);
        let (row, chain) = (k % got.nrows().max(1), k / got.nrows().max(1));
        tally.holds(differ.is_none(), || {
            format!("{}, row {row} of chain {chain} is {} instead of {}", what(), got[(row, chain)], one[(row, chain)])
        })
    };
    for n in [1, 2, 5] {
        let got = pool(n).map(|p| p.install(|| run(CHAINS)));
        let got = got.map_err(|source| super::Broken::Unchecked { law: "threads", source })?;
        same(got, &|| if n == 1 { "with one thread once more".into() } else { format!("with {n} threads") })?;
    }
    for n in [8, 16, 40, 64, 200] {
        same(run(n), &|| format!("without the chains from {n} on"))?;
    }
    tally.kept()
}
