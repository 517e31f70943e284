//! How the recall of an associative memory ended.

/// How a recall ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecallEnd {
    /// At a state that another step leaves as it is: exactly, of spins; within a tolerance, of real units.
    Settled {
        /// Sweeps or updates that changed something.
        steps: usize,
    },
    /// After as many steps as were allowed, the last of which still changed something.
    Unsettled,
}

impl RecallEnd {
    /// Whether it came to a fixed point.
    pub fn is_settled(self) -> bool {
        self != Self::Unsettled
    }
}
