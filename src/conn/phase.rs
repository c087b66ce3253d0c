//! Where a connection is in its life.

/// The phases, in the order of a life.
///
/// ```text
///          on_request           on_upgrade
///   Head ------------> Deciding -----------> Open
///    ^ |                |   |                  | on_close
///    | | on_upgrade     |   | on_close         v
///    | +--> Open        |   +-------------> Closing ---- on_drained ----> Lingering
///    +------------------+      (also from Head)                             | on_lost
///        on_response                                                        v
///                                                                         Closed
///   on_lost: from every phase to Closed
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Reads HTTP requests.
    #[default]
    Head,
    /// A request was taken; its answer is awaited and nothing is read meanwhile.
    Deciding,
    /// Speaks WebSocket.
    Open,
    /// The last bytes are queued: a response or a close frame. What comes in is only looked at for the peer's close frame.
    Closing,
    /// The last bytes have left and our half is shut; waits for the peer's half, so that no reset overtakes them.
    Lingering,
    /// Over: the slot is freed at the end of the turn.
    Closed,
}

impl Phase {
    /// A request was taken from [`Phase::Head`].
    pub(super) fn on_request(&mut self) {
        self.step(*self == Self::Head, Self::Deciding);
    }

    /// A response was queued and the connection stays.
    pub(super) fn on_response(&mut self) {
        self.step(matches!(self, Self::Head | Self::Deciding), Self::Head);
    }

    /// `101 Switching Protocols` was queued.
    pub(super) fn on_upgrade(&mut self) {
        self.step(matches!(self, Self::Head | Self::Deciding), Self::Open);
    }

    /// The last bytes were queued. Later causes change nothing.
    pub(super) fn on_close(&mut self) {
        if matches!(self, Self::Head | Self::Deciding | Self::Open) {
            *self = Self::Closing;
        }
    }

    /// The last bytes have left.
    pub(super) fn on_drained(&mut self) {
        self.step(*self == Self::Closing, Self::Lingering);
    }

    /// The peer is gone, or its time is up.
    pub(super) fn on_lost(&mut self) {
        *self = Self::Closed;
    }

    fn step(&mut self, is_legal: bool, next: Self) {
        debug_assert!(is_legal, "{self:?} cannot become {next:?}");
        if is_legal {
            *self = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    const PHASES: [Phase; 6] = [
        Phase::Head,
        Phase::Deciding,
        Phase::Open,
        Phase::Closing,
        Phase::Lingering,
        Phase::Closed,
    ];

    fn check(event: fn(&mut Phase), expect: [Option<Phase>; 6]) {
        for (phase, expect) in PHASES.into_iter().zip(expect) {
            let result = catch_unwind(|| {
                let mut next = phase;
                event(&mut next);
                next
            });
            assert_eq!(result.ok(), expect, "from {phase:?}");
        }
    }

    #[test]
    fn every_event_in_every_phase() {
        use Phase::{Closed, Closing, Deciding, Head, Lingering, Open};
        check(Phase::on_request, [Some(Deciding), None, None, None, None, None]);
        check(Phase::on_response, [Some(Head), Some(Head), None, None, None, None]);
        check(Phase::on_upgrade, [Some(Open), Some(Open), None, None, None, None]);
        check(Phase::on_close, [Closing, Closing, Closing, Closing, Lingering, Closed].map(Some));
        check(Phase::on_drained, [None, None, None, Some(Lingering), None, None]);
        check(Phase::on_lost, [Some(Closed); 6]);
    }
}
