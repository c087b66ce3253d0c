//! What people do besides sending: before some messages they are seen to type, and some that they heard they say they have read.

use std::time::Duration;

use crate::pace::Pace;
use crate::rng::Rng;

/// How long before a message its sender is seen to type.
const LEAD: Duration = Duration::from_secs(1);

/// What is done, and how much of it was.
pub(super) struct Mix {
    typing: f64,
    receipts: f64,
    seed: u64,
    rng: Rng,
    /// The next message before which its sender may be seen to type.
    next: u64,
    /// How often somebody was seen to type.
    pub(super) typed: u64,
    /// How often somebody said to have read.
    pub(super) read: u64,
    /// What sessions heard of both.
    pub(super) told: u64,
}

impl Mix {
    /// Shares are percent.
    pub(super) fn new(typing: f64, receipts: f64, seed: u64) -> Self {
        Self {
            typing: typing / 100.0,
            receipts: receipts / 100.0,
            seed,
            rng: Rng::of(seed, "receipts"),
            next: 0,
            typed: 0,
            read: 0,
            told: 0,
        }
    }

    /// When messages begin, where typing begins at `now`.
    pub(super) fn start(&self, now: Duration) -> Duration {
        if self.typing > 0.0 { now + LEAD } else { now }
    }

    /// The next message before which its sender is seen to type, where it is time for that; of at most `count`.
    pub(super) fn typing(&mut self, pace: &Pace, now: Duration, count: u64) -> Option<u64> {
        while self.next < count && pace.is_due(self.next, now + LEAD) {
            let n = self.next;
            self.next += 1;
            if self.types(n) {
                return Some(n);
            }
        }
        None
    }

    /// True exactly when the sender of message `n` is seen to type before it.
    pub(super) fn types(&mut self, n: u64) -> bool {
        // By number, so that the same are in every run of this seed.
        let types = Rng::new(self.seed ^ (n << 20)).part() < self.typing;
        self.typed += u64::from(types);
        types
    }

    /// True exactly when a message that was heard is said to have been read.
    pub(super) fn reads(&mut self) -> bool {
        let reads = self.receipts > 0.0 && self.rng.part() < self.receipts;
        self.read += u64::from(reads);
        reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_sender_types_before_its_message() {
        let mut mix = Mix::new(30.0, 60.0, 1);
        let pace = Pace::new(mix.start(Duration::ZERO), 1_000.0);
        assert_eq!(mix.typing(&pace, Duration::ZERO, 0), None);
        let now = Duration::from_secs(10);
        let typed = std::iter::from_fn(|| mix.typing(&pace, now, 1_000)).count();
        assert!((200..400).contains(&typed) && mix.typed == typed as u64, "{typed}");
        let read = (0..1_000).filter(|_| mix.reads()).count();
        assert!((500..700).contains(&read), "{read}");
        let first = Mix::new(100.0, 0.0, 1).typing(&pace, Duration::ZERO, 9);
        assert_eq!((first, Mix::new(0.0, 0.0, 1).start(now)), (Some(0), now));
    }
}
