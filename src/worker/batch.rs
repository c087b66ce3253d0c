//! How long to gather before a commit. Pure.
//!
//! The first request opens the batch; what waits already joins it. With an age of 0 that is all: under light load nothing is
//! delayed, and under heavy load the batch is what came while the last one was committed. A greater age waits that long for
//! more.

/// The bounds of a batch, by the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchLimits {
    /// Requests at most; at least 1.
    pub requests: usize,
    /// Milliseconds that the first request of a batch may wait for others.
    pub age_ms: u64,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gather {
    /// Take one that waits.
    Take,
    /// Wait this many milliseconds for another, then ask again.
    Wait(u64),
    /// Commit what was gathered.
    Commit,
}

impl BatchLimits {
    /// With `len` (at least 1) gathered in `elapsed_ms` since the first, and the queue as it is.
    pub const fn next(&self, len: usize, elapsed_ms: u64, is_queue_empty: bool) -> Gather {
        if len >= self.requests {
            Gather::Commit
        } else if !is_queue_empty {
            Gather::Take
        } else if elapsed_ms < self.age_ms {
            Gather::Wait(self.age_ms - elapsed_ms)
        } else {
            Gather::Commit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_size_and_by_age_and_never_waits_at_age_zero() {
        let eager = BatchLimits { requests: 3, age_ms: 0 };
        let lazy = BatchLimits { requests: 3, age_ms: 5 };
        for (limits, len, elapsed, empty, expect) in [
            (eager, 1, 0, true, Gather::Commit),
            (eager, 1, 0, false, Gather::Take),
            (eager, 2, 999, false, Gather::Take),
            (eager, 3, 0, false, Gather::Commit),
            (lazy, 1, 0, true, Gather::Wait(5)),
            (lazy, 1, 4, true, Gather::Wait(1)),
            (lazy, 1, 5, true, Gather::Commit),
            (lazy, 2, 1, false, Gather::Take),
            (lazy, 3, 1, true, Gather::Commit),
        ] {
            assert_eq!(limits.next(len, elapsed, empty), expect, "{len} in {elapsed} ms");
        }
    }
}
