//! Buckets of fixed bounds: an observation is one addition to a bucket and one to the sum.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// From 100 µs to 10 s.
pub(super) const MICROS_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// Up to the most requests of a batch.
pub(super) const COUNT_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];
/// From nobody to everybody.
pub(super) const SESSION_BOUNDS: &[u64] =
    &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024, 4_096, 16_384, 65_536];

/// Most bounds that a histogram has.
pub(super) const BOUNDS_MAX: usize = 16;

/// Counts of one histogram on one thread.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Observations by bucket, not cumulative; the one after the last bound takes the rest.
    counts: [AtomicU64; BOUNDS_MAX + 1],
    sum: AtomicU64,
}

impl Buckets {
    pub(super) const fn new() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BOUNDS_MAX + 1], sum: AtomicU64::new(0) }
    }

    /// Counts `value` into the first bucket of `bounds` that holds it.
    pub(super) fn observe(&self, bounds: &[u64], value: u64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Adds these counts to `totals`.
    pub(super) fn add_to(&self, totals: &mut Totals) {
        for (total, count) in totals.counts.iter_mut().zip(&self.counts) {
            *total += count.load(Relaxed);
        }
        totals.sum += self.sum.load(Relaxed);
    }
}

/// Counts of one histogram over all threads.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Totals {
    pub(super) counts: [u64; BOUNDS_MAX + 1],
    pub(super) sum: u64,
}

impl Totals {
    /// Observations in all.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

const _: () = {
    let tables = [MICROS_BOUNDS, COUNT_BOUNDS, SESSION_BOUNDS];
    let mut table = 0;
    while table < tables.len() {
        assert!(tables[table].len() <= BOUNDS_MAX);
        let mut bound = 1;
        while bound < tables[table].len() {
            assert!(tables[table][bound - 1] < tables[table][bound]);
            bound += 1;
        }
        table += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let buckets = Buckets::new();
        for value in [0, 10, 11, 20, 21, u64::from(u32::MAX)] {
            buckets.observe(&[10, 20], value);
        }
        let mut totals = Totals::default();
        buckets.add_to(&mut totals);
        assert_eq!(totals.counts[..3], [2, 2, 2]);
        assert_eq!((totals.count(), totals.sum), (6, 62 + u64::from(u32::MAX)));
    }
}
