//! Whether a queue may have overflowed: a sender of Django's drops in silence what finds no room.

use crate::time::{Mono, Timestamp};

/// While a queue stays full, how often that is told, milliseconds.
const TOLD_EVERY_MS: u64 = 1_000;

/// How full a queue was when it was read, over time.
#[derive(Debug)]
pub(super) struct Depth {
    /// From this many messages on something may have been dropped.
    full: usize,
    /// Since when something may have been dropped that nobody was told of.
    since: Option<Timestamp>,
    told: Option<Mono>,
}

impl Depth {
    /// Of a queue that takes `capacity` messages. Four fifths of it count as full: senders count, then add, and not in one
    /// step.
    pub(super) fn new(capacity: u32) -> Self {
        Self { full: (capacity as usize * 4 / 5).max(1), since: None, told: None }
    }

    /// The queue had at most `depth` messages when it was read, and `last_read` is when it was read before. The time since
    /// when something may be missing, when that is to be told: at the end of a flood, and now and then within one.
    pub(super) fn on_read(
        &mut self,
        depth: usize,
        last_read: Timestamp,
        now: Mono,
    ) -> Option<Timestamp> {
        let is_full = depth >= self.full;
        if is_full && self.since.is_none() {
            self.since = Some(last_read);
            self.told = Some(now);
        }
        let told = self.told?;
        if is_full && now.since(told) < TOLD_EVERY_MS {
            return None;
        }
        self.told = is_full.then_some(now);
        let since = self.since.take();
        self.since = is_full.then_some(last_read);
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_told_of_when_it_is_empty_again() {
        let mut depth = Depth::new(10);
        assert_eq!(depth.on_read(7, Timestamp(1), Mono(0)), None);
        assert_eq!(depth.on_read(8, Timestamp(2), Mono(10)), None);
        assert_eq!(depth.on_read(10, Timestamp(3), Mono(20)), None);
        assert_eq!(depth.on_read(1, Timestamp(4), Mono(30)), Some(Timestamp(2)));
        assert_eq!(depth.on_read(1, Timestamp(5), Mono(40)), None);
    }

    #[test]
    fn a_queue_that_stays_full_is_told_of_every_second() {
        let mut depth = Depth::new(10);
        let told: Vec<i64> = (0..=3_000)
            .filter_map(|ms| depth.on_read(10, Timestamp(ms), Mono(ms as u64)))
            .map(|since| since.0)
            .collect();
        assert_eq!(told, [0, 1_000, 2_000]);
        assert_eq!(depth.on_read(0, Timestamp(3_001), Mono(3_001)), Some(Timestamp(3_000)));
    }

    #[test]
    fn the_smallest_queue_can_be_full() {
        let mut depth = Depth::new(1);
        assert_eq!(depth.on_read(0, Timestamp(1), Mono(0)), None);
        assert_eq!(depth.on_read(1, Timestamp(2), Mono(0)), None);
        assert_eq!(depth.on_read(0, Timestamp(3), Mono(1)), Some(Timestamp(2)));
    }
}
