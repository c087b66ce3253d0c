//! Heartbeats: a ping when the peer was silent for one interval, the end when it was for two (RFC 6455 §5.5.2).

use crate::time::Mono;

/// When the peer was heard last, in milliseconds and doubled; plus one when a ping was sent since. One word of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive(u64);

/// What silence calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a ping.
    Ping,
    /// Give the peer up.
    Dead,
}

impl Keepalive {
    /// The peer is there now.
    pub const fn new(now: Mono) -> Self {
        Self(now.0 << 1)
    }

    /// Anything came in.
    pub fn on_heard(&mut self, now: Mono) {
        *self = Self::new(now);
    }

    /// When to look again.
    pub const fn deadline(self, interval_ms: u64) -> Mono {
        let intervals = if self.is_pinged() { 2 } else { 1 };
        Mono(self.0 >> 1).plus(intervals * interval_ms)
    }

    /// Looks.
    pub fn on_deadline(&mut self, now: Mono, interval_ms: u64) -> Beat {
        if now < self.deadline(interval_ms) {
            Beat::Wait
        } else if self.is_pinged() {
            Beat::Dead
        } else {
            self.0 |= 1;
            Beat::Ping
        }
    }

    const fn is_pinged(self) -> bool {
        self.0 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_after_once_and_then_believed() {
        let mut keepalive = Keepalive::new(Mono(0));
        for (now, expect) in [(9, Beat::Wait), (10, Beat::Ping), (19, Beat::Wait), (20, Beat::Dead)]
        {
            assert_eq!(keepalive.on_deadline(Mono(now), 10), expect, "at {now}");
        }
    }

    #[test]
    fn any_byte_starts_the_count_anew() {
        let mut keepalive = Keepalive::new(Mono(0));
        assert_eq!(keepalive.on_deadline(Mono(10), 10), Beat::Ping);
        keepalive.on_heard(Mono(15));
        assert_eq!(keepalive.on_deadline(Mono(20), 10), Beat::Wait);
        assert_eq!(keepalive.on_deadline(Mono(25), 10), Beat::Ping);
    }
}
