//! The only reader of clocks; everything else is told the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts from the start of the run.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts at zero.
    #[expect(clippy::disallowed_methods, reason = "the shell that reads the clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub(crate) fn now(&self) -> Duration {
        self.0.elapsed()
    }

    /// From `then` to now.
    pub(crate) fn since(&self, then: Duration) -> Duration {
        self.now().saturating_sub(then)
    }
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "the shell that reads the clock")]
pub(crate) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
