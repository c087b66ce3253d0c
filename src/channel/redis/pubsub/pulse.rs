//! Whether a receiving connection lives, and up to when everything that was published on it has come. Pure.
//!
//! A `PING` is answered behind all that was published before it, so that its answer says both. How long ago something was
//! received says neither: Redis drops what waits for a receiver that it cuts off.

use crate::limits::{BUS_IDLE_MS, BUS_SILENCE_MS};
use crate::time::{Mono, Now, Timestamp};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pulse {
    /// When something came last.
    heard_at: Mono,
    /// When the `PING` was sent that is not answered.
    pinged_at: Option<Now>,
    /// When the last one was answered.
    answered_at: Mono,
    /// What was published before has come.
    caught_up: Timestamp,
}

impl Pulse {
    /// Of a connection that is made now.
    pub(super) const fn new(now: Now) -> Self {
        Self { heard_at: now.mono, pinged_at: None, answered_at: now.mono, caught_up: now.wall }
    }

    /// Something came.
    pub(super) const fn on_heard(&mut self, now: Mono) {
        self.heard_at = now;
    }

    /// The answer to the `PING` came.
    pub(super) const fn on_pong(&mut self, now: Mono) {
        self.heard_at = now;
        self.answered_at = now;
        if let Some(pinged) = self.pinged_at.take() {
            self.caught_up = pinged.wall;
        }
    }

    /// True exactly when a `PING` is to be sent now; then it counts as sent.
    pub(super) fn is_ping_due(&mut self, now: Now) -> bool {
        let is_due = self.pinged_at.is_none() && now.mono.since(self.answered_at) >= BUS_IDLE_MS;
        if is_due {
            self.pinged_at = Some(now);
        }
        is_due
    }

    /// True exactly when a `PING` is not answered and nothing else has come for [`BUS_SILENCE_MS`]. To be asked when nothing was
    /// there to be read: a node that was itself paused finds what came meanwhile.
    pub(super) fn is_dead(&self, now: Mono) -> bool {
        self.pinged_at.is_some() && now.since(self.heard_at) >= BUS_SILENCE_MS
    }

    /// How long to wait for something to come, milliseconds, more than none: until the next `PING`, or the end.
    pub(super) fn wait_ms(&self, now: Mono) -> u64 {
        let until = match self.pinged_at {
            None => self.answered_at.plus(BUS_IDLE_MS),
            Some(_) => self.heard_at.plus(BUS_SILENCE_MS),
        };
        until.since(now).clamp(1, BUS_IDLE_MS)
    }

    /// What was published before has come.
    pub(super) const fn caught_up(&self) -> Timestamp {
        self.caught_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Now {
        Now { mono: Mono(ms), wall: Timestamp(ms as i64 * 1_000) }
    }

    #[test]
    fn a_silent_connection_is_dead_and_one_that_only_lags_is_not() {
        let mut pulse = Pulse::new(at(0));
        assert!(!pulse.is_ping_due(at(BUS_IDLE_MS - 1)));
        assert!(pulse.is_ping_due(at(BUS_IDLE_MS)));
        assert!(!pulse.is_ping_due(at(BUS_IDLE_MS + 1)), "one at a time");
        assert!(!pulse.is_dead(Mono(BUS_SILENCE_MS - 1)));
        assert_eq!(pulse.wait_ms(Mono(BUS_SILENCE_MS - 7)), 7);
        assert!(pulse.is_dead(Mono(BUS_SILENCE_MS)));
        pulse.on_heard(Mono(BUS_SILENCE_MS));
        assert!(!pulse.is_dead(Mono(BUS_SILENCE_MS + 1)));
    }

    #[test]
    fn what_has_come_is_what_was_published_before_the_ping() {
        let mut pulse = Pulse::new(at(0));
        assert!(pulse.is_ping_due(at(1_000)));
        pulse.on_heard(Mono(5_000));
        assert_eq!(pulse.caught_up(), at(0).wall);
        pulse.on_pong(Mono(6_000));
        assert_eq!(pulse.caught_up(), at(1_000).wall);
        assert!(!pulse.is_ping_due(at(6_500)));
        assert_eq!(pulse.wait_ms(Mono(6_500)), 500);
        assert_eq!(pulse.wait_ms(Mono(9_000)), 1);
        assert!(pulse.is_ping_due(at(9_000)));
    }
}
