//! Token buckets as the generic cell rate algorithm: one word of state, no refill to run.
//!
//! A bucket remembers the instant at which it will be full again (ITU-T I.371's "theoretical arrival time"). Taking one moves
//! that instant one interval further; what is taken never passes `burst` intervals.

use crate::time::Mono;

const NANOS_PER_MS: u64 = 1_000_000;

/// How fast, and how many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Between two at the steady rate, nanoseconds; 0 says that there is no limit.
    interval_ns: u64,
    /// A full bucket's content, at least 1.
    burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { interval_ns: 0, burst: u32::MAX };

    /// `per_second` at the steady rate, `burst` at once (0 counts as 1, since nothing would ever pass).
    ///
    /// A `per_second` that is 0, negative or no number is no limit: so an operator turns one off. Above 10⁹ it is none either.
    pub fn new(per_second: f64, burst: u32) -> Self {
        if per_second > 0.0 {
            Self { interval_ns: (1e9 / per_second) as u64, burst: burst.max(1) }
        } else {
            Self::UNLIMITED
        }
    }

    /// True exactly when nothing is ever refused.
    pub const fn is_unlimited(&self) -> bool {
        self.interval_ns == 0
    }

    /// The steady rate; 0 where there is no limit.
    pub fn per_second(&self) -> f64 {
        if self.is_unlimited() { 0.0 } else { 1e9 / self.interval_ns as f64 }
    }

    /// A full bucket's content.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// From empty to full, milliseconds, rounded up.
    pub const fn window_ms(&self) -> u64 {
        self.capacity_ns().div_ceil(NANOS_PER_MS)
    }

    /// From empty to full, nanoseconds.
    const fn capacity_ns(&self) -> u64 {
        self.interval_ns.saturating_mul(self.burst as u64)
    }
}

/// What one user, connection or address has left. The default is full.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    /// When it is full again, nanoseconds of [`Mono`].
    full_at_ns: u64,
}

impl Bucket {
    /// Takes one.
    ///
    /// # Errors
    ///
    /// There is none; nothing was taken. The value says in how many milliseconds there will be one, at least 1.
    pub const fn take(&mut self, now: Mono, rate: &Rate) -> Result<(), u64> {
        if rate.is_unlimited() {
            return Ok(());
        }
        let used = self.used_ns(now).saturating_add(rate.interval_ns);
        let over = used.saturating_sub(rate.capacity_ns());
        if over > 0 {
            return Err(over.div_ceil(NANOS_PER_MS));
        }
        self.full_at_ns = nanos(now).saturating_add(used);
        Ok(())
    }

    /// How many could be taken now.
    pub const fn remaining(&self, now: Mono, rate: &Rate) -> u32 {
        if rate.is_unlimited() {
            return u32::MAX;
        }
        (rate.capacity_ns().saturating_sub(self.used_ns(now)) / rate.interval_ns) as u32
    }

    /// True exactly when the bucket is as good as a new one: whoever keeps it may forget it.
    pub const fn is_full(&self, now: Mono) -> bool {
        self.used_ns(now) == 0
    }

    /// Milliseconds until the bucket is full, rounded up; 0 where it is.
    pub const fn full_in_ms(&self, now: Mono) -> u64 {
        self.used_ns(now).div_ceil(NANOS_PER_MS)
    }

    /// What is taken and not yet back, as the time it takes to come back.
    const fn used_ns(self, now: Mono) -> u64 {
        self.full_at_ns.saturating_sub(nanos(now))
    }
}

const fn nanos(now: Mono) -> u64 {
    now.0.saturating_mul(NANOS_PER_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_is_one_word() {
        assert_eq!(size_of::<Bucket>(), 8);
    }

    #[test]
    fn a_burst_passes_then_the_steady_rate_holds() {
        let rate = Rate::new(5.0, 10);
        let mut bucket = Bucket::default();
        let start = Mono(1_000);
        for left in (0..10).rev() {
            assert_eq!(bucket.take(start, &rate), Ok(()));
            assert_eq!(bucket.remaining(start, &rate), left);
        }
        assert_eq!(bucket.take(start, &rate), Err(200));
        assert_eq!(bucket.take(start.plus(199), &rate), Err(1));
        assert_eq!(bucket.take(start.plus(200), &rate), Ok(()));
        assert_eq!(bucket.full_in_ms(start.plus(200)), 2_000);
        assert!(!bucket.is_full(start.plus(2_199)));
        assert!(bucket.is_full(start.plus(2_200)));
    }

    #[test]
    fn no_rate_is_no_limit() {
        for per_second in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, f64::INFINITY, 2e9] {
            let rate = Rate::new(per_second, 1);
            let mut bucket = Bucket::default();
            assert!(rate.is_unlimited());
            assert!((0..1_000).all(|_| bucket.take(Mono(0), &rate).is_ok()));
            assert!(bucket.is_full(Mono(0)));
            assert_eq!(bucket.remaining(Mono(0), &rate), u32::MAX);
        }
    }

    #[test]
    fn extreme_rates_neither_overflow_nor_pass_more_than_a_burst() {
        for (per_second, burst) in [(1e-300, 3), (1e-9, u32::MAX), (1e-10, 2), (999_999_999.0, 0)] {
            let rate = Rate::new(per_second, burst);
            let mut bucket = Bucket::default();
            assert!(bucket.take(Mono(0), &rate).is_ok());
            for _ in 0..10 {
                let _ = bucket.take(Mono(u64::MAX), &rate);
            }
            assert!(bucket.remaining(Mono(0), &rate) <= rate.burst());
        }
    }

    /// The algorithm as one tells it: tokens drip in, a token goes out. In nanoseconds' worth of a token, so exact.
    struct Naive {
        level_ns: u64,
        at_ms: u64,
    }

    impl Naive {
        fn take(&mut self, now_ms: u64, rate: &Rate) -> bool {
            let dripped = (now_ms - self.at_ms) * NANOS_PER_MS;
            self.level_ns = (self.level_ns + dripped).min(rate.capacity_ns());
            self.at_ms = now_ms;
            let has_one = self.level_ns >= rate.interval_ns;
            if has_one {
                self.level_ns -= rate.interval_ns;
            }
            has_one
        }
    }

    proptest! {
        #[test]
        fn a_bucket_does_what_the_naive_one_does(
            per_second in 0.1_f64..2_000.0,
            burst in 1_u32..20,
            pauses_ms in prop::collection::vec(prop_oneof![Just(0), 0_u64..50, 0_u64..5_000], 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let mut naive = Naive { level_ns: rate.capacity_ns(), at_ms: 0 };
            let mut bucket = Bucket::default();
            let mut now = Mono(0);
            for pause in pauses_ms {
                now = now.plus(pause);
                let taken = bucket.take(now, &rate);
                prop_assert_eq!(taken.is_ok(), naive.take(now.0, &rate));
                let left = naive.level_ns / rate.interval_ns;
                prop_assert_eq!(u64::from(bucket.remaining(now, &rate)), left);
                prop_assert_eq!(bucket.is_full(now), naive.level_ns == rate.capacity_ns());
                if let Err(retry_after_ms) = taken {
                    prop_assert!(bucket.clone().take(now.plus(retry_after_ms), &rate).is_ok());
                    prop_assert!(bucket.clone().take(now.plus(retry_after_ms - 1), &rate).is_err());
                }
            }
        }
    }
}
