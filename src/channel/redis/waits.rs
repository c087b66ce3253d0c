//! The thread that ends what waits for a time: early messages, groups that linger, conversations that are remembered. It asks
//! nobody anything, so that no wait is longer than it should be.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Hub;
use crate::limits::{BUS_PLACE_MS, BUS_SWEEP_MS};
use crate::time::Mono;

/// Wakes the thread; ringing twice wakes it once.
#[derive(Debug)]
pub(super) struct Bell {
    rings: Sender<()>,
    heard: Receiver<()>,
}

impl Default for Bell {
    fn default() -> Self {
        let (rings, heard) = bounded(1);
        Self { rings, heard }
    }
}

impl Bell {
    /// Something waits that did not before.
    pub(super) fn ring(&self) {
        _ = self.rings.try_send(());
    }

    fn wait(&self, ms: u64) {
        _ = self.heard.recv_timeout(Duration::from_millis(ms));
    }
}

/// The life of the thread.
pub(super) fn run(hub: &Hub) {
    let now = hub.now().mono;
    let mut sweep = Sweep { next: now.plus(BUS_SWEEP_MS), whole_since: now, forgotten: now };
    while !hub.is_closing() {
        let now = hub.now().mono;
        let due = hub.expire_waits(now);
        if sweep.next <= now {
            sweep.turn(hub, now);
        }
        let next = due.map_or(sweep.next, |due| due.min(sweep.next));
        hub.bell().wait(next.since(hub.now().mono).max(1));
    }
}

/// What is looked for from time to time.
struct Sweep {
    next: Mono,
    /// Since when nothing is known to have been missed: what is remembered tells doubles from what is brought up.
    whole_since: Mono,
    /// When conversations were last forgotten.
    forgotten: Mono,
}

impl Sweep {
    fn turn(&mut self, hub: &Hub, now: Mono) {
        self.next = now.plus(BUS_SWEEP_MS);
        hub.expire_interest(now);
        if !hub.is_whole() {
            self.whole_since = now;
        }
        let is_steady = now.since(self.whole_since) >= BUS_PLACE_MS;
        if is_steady && now.since(self.forgotten) >= BUS_PLACE_MS / 10 {
            self.forgotten = now;
            hub.forget(now, BUS_PLACE_MS);
        }
    }
}
