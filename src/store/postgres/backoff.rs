//! When a connection may be tried again. Pure.

use crate::time::Timestamp;

/// The longest wait after the first failure, ms; it doubles with each further one.
const FIRST_MS: u64 = 100;
/// The longest wait at all, ms.
const LONGEST_MS: u64 = 5_000;

/// Since when, and how often in a row, connecting has failed.
#[derive(Default, Debug)]
pub(super) struct Backoff {
    failures: u32,
    since: Timestamp,
    wait_ms: u64,
}

impl Backoff {
    /// Milliseconds until the next try; `None` where it may be now. A clock that was set back delays nothing.
    pub(super) const fn wait_ms(&self, now: Timestamp) -> Option<u64> {
        let elapsed_ms = (now.0 - self.since.0).div_euclid(1_000);
        if elapsed_ms < 0 || elapsed_ms as u64 >= self.wait_ms {
            return None;
        }
        Some(self.wait_ms - elapsed_ms as u64)
    }

    /// A try failed: the next one is to wait a while of its own (`random` is any number), so that a thousand do not come at once.
    pub(super) fn on_failure(&mut self, now: Timestamp, random: u64) {
        let longest_ms = LONGEST_MS.min(FIRST_MS << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.since = now;
        self.wait_ms = random % (longest_ms + 1);
    }

    /// A try succeeded.
    pub(super) fn on_success(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

    #[test]
    fn waits_double_up_to_a_bound_and_a_success_forgets_them() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait_ms(NOW), None);
        for longest_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            backoff.on_failure(NOW, longest_ms);
            assert_eq!(backoff.wait_ms(NOW), Some(longest_ms));
            assert_eq!(backoff.wait_ms(NOW.plus_ms(longest_ms as i64 - 1)), Some(1));
            assert_eq!(backoff.wait_ms(NOW.plus_ms(longest_ms as i64)), None);
        }
        for random in 0..10_000 {
            backoff.on_failure(NOW, random);
            assert!(backoff.wait_ms(NOW).unwrap_or(0) <= LONGEST_MS);
        }
        backoff.on_success();
        assert_eq!(backoff.wait_ms(NOW), None);
        backoff.on_failure(NOW, 101 + 7);
        assert_eq!(backoff.wait_ms(NOW), Some(7));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing() {
        let mut backoff = Backoff::default();
        backoff.on_failure(NOW, 99);
        assert_eq!(backoff.wait_ms(NOW.plus_ms(-3_600_000)), None);
        assert_eq!(backoff.wait_ms(NOW.plus_ms(3_600_000)), None);
    }
}
