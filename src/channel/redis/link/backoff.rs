//! When a connection may be tried again. Pure.

use crate::limits::{BUS_RETRY_MS_MAX, BUS_RETRY_MS_MIN};

/// How often in a row connecting has failed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A try failed: milliseconds until the next one. Anything up to a bound that doubles from [`BUS_RETRY_MS_MIN`] to
    /// [`BUS_RETRY_MS_MAX`], as `random` has it, so that the nodes of a fleet do not come all at once.
    pub fn on_failure(&mut self, random: u64) -> u64 {
        let longest_ms = BUS_RETRY_MS_MAX.min(BUS_RETRY_MS_MIN << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        random % (longest_ms + 1)
    }

    /// A try succeeded.
    pub fn on_success(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_a_success_forgets_them() {
        let mut backoff = Backoff::default();
        for longest_ms in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let mut same = backoff;
            assert_eq!(backoff.on_failure(longest_ms), longest_ms);
            assert_eq!(same.on_failure(longest_ms + 1), 0);
        }
        for random in 0..10_000 {
            assert!(backoff.on_failure(random) <= BUS_RETRY_MS_MAX);
        }
        backoff.on_success();
        assert_eq!(backoff.on_failure(50), 50);
        assert_eq!(backoff.on_failure(101 + 7), 7);
    }
}
