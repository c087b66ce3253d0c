//! Open-loop pacing: when each of many things is meant to happen, whatever became of those before.

use std::time::Duration;

/// A steady rate from a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: Duration,
    per_second: f64,
}

impl Pace {
    /// `per_second` is positive; the first is meant to happen at `start`.
    pub(crate) fn new(start: Duration, per_second: f64) -> Self {
        debug_assert!(per_second > 0.0, "a rate of nothing never ends");
        Self { start, per_second }
    }

    /// When number `n`, counted from 0, is meant to happen.
    pub(crate) fn intended(&self, n: u64) -> Duration {
        self.start + Duration::from_secs_f64(n as f64 / self.per_second)
    }

    /// True exactly when number `n` is meant to have happened at `now`.
    pub(crate) fn is_due(&self, n: u64, now: Duration) -> bool {
        self.intended(n) <= now
    }

    /// How long from `now` until number `n` is due; zero where it is, and never more than `most`.
    pub(crate) fn wait(&self, n: u64, now: Duration, most: Duration) -> Duration {
        self.intended(n).saturating_sub(now).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn times_follow_from_the_start_alone_so_that_a_late_one_delays_none() {
        let pace = Pace::new(5 * MS, 200.0);
        let times: Vec<_> = (0..4).map(|n| pace.intended(n)).collect();
        assert_eq!(times, [5 * MS, 10 * MS, 15 * MS, 20 * MS]);
        // After a second of standing still, all that were due in it are due.
        let now = 1_005 * MS;
        assert!(pace.is_due(200, now));
        assert!(!pace.is_due(201, now));
    }

    #[test]
    fn a_wait_ends_when_the_next_is_due_and_is_bounded() {
        let pace = Pace::new(Duration::ZERO, 10.0);
        assert_eq!(pace.wait(1, 40 * MS, 1_000 * MS), 60 * MS);
        assert_eq!(pace.wait(1, 40 * MS, 20 * MS), 20 * MS);
        assert_eq!(pace.wait(1, 140 * MS, 20 * MS), Duration::ZERO);
    }
}
