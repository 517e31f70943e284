//! What pauses a run between two updates, to go on later: a signal, a time that has passed, a number of updates.
//!
//! A pause is no end: a run with checkpoints writes one, and goes on from it as if nothing had happened. What ends a run is
//! its last epoch, or a [`Monitor`](super::Monitor).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// When a run pauses; never, unless something is set.
#[derive(Clone, Debug, Default)]
pub struct Pause {
    /// As soon as someone sets it: another thread, a user interface, a signal ([`Pause::on_signals`]).
    pub interrupt: Option<Arc<AtomicBool>>,
    /// So long after [`Fit::run`](super::Fit::run) began.
    pub after: Option<Duration>,
    /// Once so many updates are done, earlier processes included.
    pub at: Option<u64>,
}

/// Why [`Fit::run`](super::Fit::run) came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Done,
    /// A monitor ended it: patience is exhausted, a target reached.
    Stopped,
    /// [`Pause::interrupt`] was set.
    Interrupted,
    /// [`Pause::after`] has passed.
    TimeUp,
    /// [`Pause::at`] is reached.
    Paused,
}

impl Ended {
    /// Whether nothing is left to do.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Stopped)
    }
}

impl Pause {
    /// Pauses on SIGINT (Ctrl-C) and SIGTERM; the second such signal ends the process at once, as does the first after
    /// [`Pause::disarm`].
    ///
    /// # Errors
    /// [`crate::Error::Signals`] if the system does not let this process handle them.
    #[cfg(feature = "signals")]
    pub fn on_signals() -> crate::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag::{register, register_conditional_default};
        let interrupt = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down, and raises it.
            register_conditional_default(signal, interrupt.clone())
                .and_then(|_| register(signal, interrupt.clone()))
                .map_err(|source| crate::Error::Signals { source })?;
        }
        Ok(Self { interrupt: Some(interrupt), ..Self::default() })
    }
    /// From now on a signal ends the process: what follows a run needs no clean end.
    pub fn disarm(&self) {
        self.interrupt.iter().for_each(|flag| flag.store(true, Relaxed));
    }
    /// Whether a run that began then pauses after `done` updates.
    pub(super) fn is_due(&self, done: u64, began: Instant) -> Option<Ended> {
        if self.interrupt.as_ref().is_some_and(|flag| flag.load(Relaxed)) {
            return Some(Ended::Interrupted);
        }
        if self.after.is_some_and(|after| began.elapsed() >= after) {
            return Some(Ended::TimeUp);
        }
        self.at.is_some_and(|at| done >= at).then_some(Ended::Paused)
    }
}
