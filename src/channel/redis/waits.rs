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
        hub.end_doubt();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::channel::redis::hub::Origin;
    use crate::channel::redis::world::{World, message};
    use crate::ids::{ConversationId, ShardId};
    use crate::limits::{BUS_EARLY_MS, BUS_LINGER_MS};
    use crate::model::Group;

    const ROOM: ConversationId = ConversationId(7);
    const ROOM_GROUP: Group = Group::Conversation(ROOM);

    /// Looks again and again, for ten seconds.
    #[track_caller]
    fn comes_true(is_so: impl Fn() -> bool) {
        let is_so = (0..2_000).any(|_| {
            std::thread::park_timeout(Duration::from_millis(5));
            is_so()
        });
        assert!(is_so);
    }

    #[test]
    fn the_thread_ends_each_wait_and_then_itself() {
        let world = World::new();
        let hub = Arc::clone(&world.hub);
        let thread = std::thread::spawn(move || run(&hub));
        world.hub.join(ROOM_GROUP, ShardId(0));
        for seq in [1, 3] {
            let message = Arc::new(message(ROOM_GROUP, ROOM, seq));
            world.hub.deliver(message, true, Origin::Bus);
        }
        world.skip(BUS_EARLY_MS - 1);
        world.hub.bell().ring();
        assert_eq!(world.seqs(), [1]);
        world.skip(1);
        world.hub.bell().ring();
        comes_true(|| world.seqs() == [3]);
        world.hub.leave(ROOM_GROUP, ShardId(0));
        world.skip(BUS_LINGER_MS);
        world.hub.bell().ring();
        comes_true(|| world.hub.interest().is_empty());
        world.hub.close();
        thread.join().unwrap();
    }
}
